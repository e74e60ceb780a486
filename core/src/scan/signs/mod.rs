//! Signs in the shape of a mail: each has a name, a kind, points, and words for people. What they are found in is in
//! `links`, `brand`, `hidden`, `structure` and `graymail`; those that depend on who receives are in
//! [`crate::verdict::impersonation`].
//!
//! None of them is a word of a text: words age, where a link leads and who signs do not.

mod links;
mod sender;
mod text;

use super::finding::{Finding, FindingKind, MilliPoints};
pub(super) use links::*;
pub(super) use sender::*;
pub(crate) use sender::{REPLY_TO_FREE_MAIL, REPLY_TO_FREE_MAIL_HIDDEN};
pub(super) use text::*;

/// Characters of what was found that a finding keeps.
const FOUND_CHARS_MAX: usize = 120;

/// One sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign {
    /// Name in scores and logs.
    pub name: &'static str,
    /// What it is evidence of.
    pub kind: FindingKind,
    /// What it adds to the score, in thousandths.
    pub points: MilliPoints,
    /// What it says, in English.
    pub en: &'static str,
    /// What it says, in Japanese.
    pub ja: &'static str,
}

impl Sign {
    /// The finding; `found` is what it was found in or on.
    #[must_use]
    pub fn finding(&self, found: &str) -> Finding {
        let found: String = found.chars().take(FOUND_CHARS_MAX).collect();
        let detail =
            if found.is_empty() { self.en.into() } else { format!("{}: {found}", self.en).into() };
        Finding {
            kind: self.kind,
            rule: self.name.into(),
            points: self.points,
            detail,
            log_only: false,
        }
    }
}

/// Adds a sign once: what is there ten times is not ten times as bad.
pub(super) fn add(out: &mut Vec<Finding>, sign: &Sign, found: &str) {
    if !out.iter().any(|finding| &*finding.rule == sign.name) {
        out.push(sign.finding(found));
    }
}

const fn sign(
    name: &'static str,
    kind: FindingKind,
    points: MilliPoints,
    en: &'static str,
    ja: &'static str,
) -> Sign {
    Sign { name, kind, points, en, ja }
}

/// Every sign of this module.
pub const SIGNS: &[&Sign] = &[
    &URL_BAD_HOST,
    &URL_SUSPICIOUS_OBJECT,
    &URL_SHORTENER,
    &LINK_USERINFO,
    &LINK_ADDRESS,
    &LINK_ADDRESS_DISGUISED,
    &LINK_HOST_ENCODED,
    &LINK_SCHEME,
    &LINK_PORT,
    &LINK_FREE_HOSTING,
    &LINK_FORM,
    &LINK_CHEAP_SUFFIX,
    &LINK_RANDOM_HOST,
    &LINK_SHOWN_ELSEWHERE,
    &LINK_SHOWN_BRAND,
    &LINK_EMBEDS_BRAND,
    &LINK_NAMES_BRAND,
    &LINK_LOOKS_LIKE_BRAND,
    &LINK_NEAR_BRAND,
    &LINK_MIXED_SCRIPTS,
    &LINK_TO_RECIPIENT,
    &LINK_DEFANGED,
    &LINKS_ELSEWHERE,
    &LINKS_ELSEWHERE_UNSIGNED,
    &LINKS_ALL_HIDDEN,
    &FORM_IN_MAIL,
    &PASSWORD_IN_MAIL,
    &PASSWORD_IN_ATTACHMENT,
    &HTML_ATTACHED,
    &HTML_SCRIPT_ATTACHED,
    &BRAND_NAME_FOREIGN,
    &BRAND_NAME_WEAK,
    &BRAND_LINKS_ELSEWHERE,
    &BRAND_LINKS_MIXED,
    &BRAND_SUBJECT,
    &BRAND_SUBJECT_WEAK,
    &BRAND_TEXT,
    &BRAND_PICTURES,
    &BRAND_OPEN_REDIRECT,
    &AUTHOR_EMBEDS_BRAND,
    &AUTHOR_LOOKS_LIKE_BRAND,
    &AUTHOR_NEAR_BRAND,
    &AUTHOR_MAILBOX_BRAND,
    &AUTHOR_CHEAP_SUFFIX,
    &AUTHOR_RANDOM,
    &AUTHOR_DISPOSABLE,
    &AUTHOR_FREE_HOSTING,
    &AUTHOR_NAME_IS_ADDRESS,
    &AUTHOR_LETTERS_DISGUISED,
    &AUTHOR_IS_RECIPIENT,
    &AUTHOR_IS_RECIPIENT_PAGE,
    &AUTHOR_NO_DOMAIN,
    &AUTHOR_NO_ADDRESS,
    &AUTHOR_ADDRESS_SPACE,
    &AUTHOR_NAME_TAIL,
    &AUTHOR_NAME_GAP,
    &AUTHOR_NAME_EMOJI,
    &AUTHOR_SCRAMBLED,
    &AUTHOR_NUMBERED,
    &AUTHOR_NAME_IS_RECIPIENT,
    &SUBJECT_HAS_RECIPIENT,
    &SUBJECT_HAS_MAILBOX,
    &SUBJECT_TAIL,
    &SUBJECT_CAPITALS,
    &FREE_MAIL_BULK,
    &FREE_MAIL_TO_NOBODY,
    &MAILER_FORGED,
    &PRIORITY_HIGH,
    &SUBJECT_ANSWERS_NOTHING,
    &SENT_BY_SCRIPT,
    &REPLY_TO_FREE_MAIL,
    &REPLY_TO_OTHER_FREE_MAIL,
    &REPLY_TO_ELSEWHERE,
    &SUBJECT_INVISIBLE,
    &SUBJECT_LETTERS_DISGUISED,
    &SUBJECT_FANCY_LETTERS,
    &SUBJECT_ENCODED_FOR_NOTHING,
    &NO_REVERSE_PATH,
    &REPLY_TO_FREE_MAIL_HIDDEN,
    &FIELD_TWICE,
    &NO_DATE,
    &NO_MESSAGE_ID,
    &NO_TO,
    &TO_UNDISCLOSED,
    &DATE_FUTURE,
    &DATE_FAR,
    &DATE_PAST,
    &HIDDEN_TEXT,
    &HIDDEN_MOST,
    &INVISIBLE_IN_WORDS,
    &LETTERS_DISGUISED,
    &TEXT_SIMPLIFIED,
    &PICTURE_ONLY,
    &COMMENTS_MOST,
    &ALTERNATIVES_DIFFER,
    &GRAY_UNSUBSCRIBE,
    &GRAY_ONE_CLICK,
    &GRAY_LIST,
    &GRAY_PRECEDENCE,
    &GRAY_SENDER,
    &GRAY_BODY,
    &GRAY_CLICKS,
    &GRAY_PAGE,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sign_has_a_name_of_its_own_and_words_in_both_languages() {
        let mut names: Vec<&str> = SIGNS.iter().map(|sign| sign.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SIGNS.len());
        for sign in SIGNS {
            assert!(sign.en.is_ascii() && !sign.ja.is_ascii() && sign.points > 0, "{sign:?}");
            assert!(
                sign.en.len() + FOUND_CHARS_MAX < 200,
                "{sign:?}: findings keep 200 characters"
            );
        }
    }
}
