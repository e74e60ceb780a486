//! Numbers of known kinds in a text, each with what its issuer made it checkable by. The text is in
//! NFKC, so full-width digits are ASCII by now.
//!
//! A number is taken whole: digits that go on before or behind it make it a part of something longer,
//! which it is not. All of this is linear in the text: a group of digits is looked at a bounded number
//! of times.

use std::ops::Range;

use serde::{Deserialize, Serialize};

mod digits;
mod letters;

pub(super) use digits::luhn;
pub(super) use letters::mod97;

/// Kinds of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identifier {
    /// Payment card: known issuer, its lengths, Luhn.
    CardNumber,
    /// Individual number (個人番号, マイナンバー): 12 digits, check digit.
    MyNumber,
    /// Corporate number (法人番号): 13 digits, check digit in front.
    CorporateNumber,
    /// Japanese driver's licence (運転免許証番号): 12 digits, code of the commission, check digit.
    DriversLicence,
    /// Japanese passport (旅券番号): two letters, seven digits; only near words that say so.
    Passport,
    /// Japanese bank account (口座番号): seven digits; only near words that say so.
    BankAccount,
    /// IBAN: length of its country, MOD 97-10.
    Iban,
    /// Telephone number of Japan, with its leading 0 or +81.
    PhoneNumber,
    /// Social security number of the United States, written 3-2-4.
    UsSsn,
    /// Mail address; with a count, a list of them.
    EmailAddress,
}

impl Identifier {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::CardNumber,
        Self::MyNumber,
        Self::CorporateNumber,
        Self::DriversLicence,
        Self::Passport,
        Self::BankAccount,
        Self::Iban,
        Self::PhoneNumber,
        Self::UsSsn,
        Self::EmailAddress,
    ];

    /// The word in settings and logs.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::CardNumber => "card_number",
            Self::MyNumber => "my_number",
            Self::CorporateNumber => "corporate_number",
            Self::DriversLicence => "drivers_licence",
            Self::Passport => "passport",
            Self::BankAccount => "bank_account",
            Self::Iban => "iban",
            Self::PhoneNumber => "phone_number",
            Self::UsSsn => "us_ssn",
            Self::EmailAddress => "email_address",
        }
    }

    /// Words of which one must stand near where the number has nothing else to be told by, and the
    /// characters that may be between; an expression that names its own words replaces them.
    pub(super) fn near_words(self) -> Option<(&'static [&'static str], u32)> {
        match self {
            Self::Passport => Some((&["旅券", "パスポート", "passport", "travel document"], 100)),
            Self::BankAccount => Some((
                &[
                    "口座",
                    "普通預金",
                    "当座預金",
                    "普通",
                    "当座",
                    "支店",
                    "account no",
                    "account number",
                ],
                60,
            )),
            Self::CardNumber
            | Self::MyNumber
            | Self::CorporateNumber
            | Self::DriversLicence
            | Self::Iban
            | Self::PhoneNumber
            | Self::UsSsn
            | Self::EmailAddress => None,
        }
    }

    /// Calls `each` with every place in `text` that begins in `within`, in order. `each` says whether to
    /// go on.
    pub(super) fn find(
        self,
        text: &str,
        within: Range<usize>,
        each: &mut dyn FnMut(Range<usize>) -> bool,
    ) {
        match self {
            Self::CardNumber
            | Self::MyNumber
            | Self::CorporateNumber
            | Self::DriversLicence
            | Self::BankAccount
            | Self::PhoneNumber
            | Self::UsSsn => digits::find(self, text, within, each),
            Self::Passport => letters::passports(text, within, each),
            Self::Iban => letters::ibans(text, within, each),
            Self::EmailAddress => letters::addresses(text, within, each),
        }
    }
}
