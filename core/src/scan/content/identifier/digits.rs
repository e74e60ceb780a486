//! Numbers of digits alone, in groups or not.

use std::ops::Range;

use super::Identifier;

/// Groups of one number that are looked at together: the longest way to write one has five.
const GROUPS_MAX: usize = 6;
/// Digits of the longest number; groups that are longer are no number of ours.
const DIGITS_MAX: usize = 19;
/// Digits of a group of thousands.
const THOUSANDS: usize = 3;

/// A run of digits.
#[derive(Clone, Copy, Debug)]
struct Group<'t> {
    start: usize,
    end: usize,
    digits: &'t [u8],
    /// One separator, and nothing else, stands between the group before and this one.
    joined: bool,
    /// A letter or a point with a digit stands before it, or `+`.
    before: Before,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    Plus,
    /// A letter, `_`, the point of a longer number, or the comma of one in thousands.
    Word,
}

/// Splits text into runs of ASCII digits.
struct Groups<'t> {
    what: Identifier,
    text: &'t str,
    at: usize,
    last_end: Option<usize>,
}

impl<'t> Iterator for Groups<'t> {
    type Item = Group<'t>;

    fn next(&mut self) -> Option<Group<'t>> {
        let octets = self.text.as_bytes();
        let rest = octets.get(self.at..)?;
        let start = self.at + rest.iter().position(u8::is_ascii_digit)?;
        let run = octets.get(start..)?;
        let end = start + run.iter().position(|o| !o.is_ascii_digit()).unwrap_or(run.len());
        self.at = end;
        let between = self.last_end.and_then(|last| self.text.get(last..start));
        self.last_end = Some(end);
        Some(Group {
            start,
            end,
            digits: octets.get(start..end)?,
            joined: between.is_some_and(|between| is_separator(self.what, between)),
            before: before(self.text, start, end),
        })
    }
}

/// One character that people write between groups of digits, with blanks around it or not.
fn is_separator(what: Identifier, text: &str) -> bool {
    // Area codes stand in brackets: (03)1234-5678, 03(1234)5678, +81(0)3-1234-5678.
    if what == Identifier::PhoneNumber && matches!(text, "(" | ")" | ") " | ")-" | " (" | "-(") {
        return true;
    }
    let dashed = text.strip_prefix(' ').and_then(|text| text.strip_suffix(' '));
    let mut chars = dashed.unwrap_or(text).chars();
    let one = chars.next().is_some_and(|c| {
        matches!(c, ' ' | '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | 'ー' | '\u{A0}')
    });
    one && chars.next().is_none()
}

fn before(text: &str, start: usize, end: usize) -> Before {
    match text.get(..start).and_then(|before| before.chars().next_back()) {
        Some('+') => Before::Plus,
        Some(c) if c.is_ascii_alphabetic() || c == '_' => Before::Word,
        Some(mark @ ('.' | ',')) => {
            let two = text.get(..start).and_then(|before| before.chars().nth_back(1));
            let is_part = mark == '.' || end - start == THOUSANDS;
            let follows = two.is_some_and(|c| c.is_ascii_digit());
            if is_part && follows { Before::Word } else { Before::Nothing }
        }
        _ => Before::Nothing,
    }
}

/// The number of a qualified invoice issuer is T and the corporate number.
fn is_behind_t(text: &str, start: usize) -> bool {
    let mut before = text.get(..start).unwrap_or_default().chars().rev();
    before.next().is_some_and(|c| c.eq_ignore_ascii_case(&'t'))
        && before.next().is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_')
}

/// Whether what follows makes the digits, the last `size` of them without a break, a part of something longer. A comma does in
/// thousands only: in exported lists it stands between numbers.
fn goes_on(text: &str, end: usize, size: usize) -> bool {
    let mut chars = text.get(end..).unwrap_or_default().chars();
    match chars.next() {
        Some(c) if c.is_ascii_alphabetic() || c == '_' => true,
        Some('.') => chars.next().is_some_and(|c| c.is_ascii_digit()),
        Some(',') => {
            let digits = chars.take(THOUSANDS + 1).take_while(char::is_ascii_digit).count();
            size <= THOUSANDS && digits == THOUSANDS
        }
        _ => false,
    }
}

pub(super) fn find(
    what: Identifier,
    text: &str,
    within: Range<usize>,
    each: &mut dyn FnMut(Range<usize>) -> bool,
) {
    // A group that began before is not ours, and hides none that does.
    let from = text
        .get(..within.start)
        .map_or(within.start, |before| before.trim_end_matches(|c: char| c.is_ascii_digit()).len());
    let groups = Groups { what, text, at: from, last_end: None };
    let mut window: Vec<Group<'_>> = Vec::with_capacity(GROUPS_MAX);
    for group in groups {
        if !group.joined {
            if !settle(what, text, &mut window, (&within, each)) {
                return;
            }
            window.clear();
        }
        // Whatever begins behind the range is another call's, however long the row goes on.
        if window.first().unwrap_or(&group).start >= within.end {
            return;
        }
        window.push(group);
        if window.len() >= GROUPS_MAX * 2 {
            // A long row of small numbers: as many as can be one number stay to be looked at.
            if !settle_first(what, text, &mut window, (&within, each)) {
                return;
            }
        }
    }
    settle(what, text, &mut window, (&within, each));
}

type Out<'o> = (&'o Range<usize>, &'o mut dyn FnMut(Range<usize>) -> bool);

/// Looks at all groups of a row.
fn settle(what: Identifier, text: &str, window: &mut Vec<Group<'_>>, out: Out<'_>) -> bool {
    let (within, each) = out;
    if matches!(what, Identifier::MyNumber | Identifier::DriversLicence) && is_one(text, window) {
        window.clear();
    }
    while !window.is_empty() {
        if !settle_first(what, text, window, (within, each)) {
            return false;
        }
    }
    true
}

/// Whether four groups of four are one number, and what three of them make is a part of it: a card, or joined by more than a
/// blank. Behind a blank a year may stand.
fn is_one(text: &str, window: &[Group<'_>]) -> bool {
    let [first, _, third, last] = window else { return false };
    let digits: Vec<u8> = window.iter().flat_map(|group| group.digits).copied().collect();
    let fours = digits.len() == 16 && window.iter().all(|group| group.digits.len() == 4);
    let blank = text.get(third.end..last.start) == Some(" ");
    fours && first.before != Before::Word && (!blank || is_card(&digits) && luhn(&digits))
}

/// Looks whether a number begins with the first group, and takes away what it consists of.
fn settle_first(what: Identifier, text: &str, window: &mut Vec<Group<'_>>, out: Out<'_>) -> bool {
    let (within, each) = out;
    let mut digits = [0_u8; DIGITS_MAX];
    let mut sizes = [0_usize; GROUPS_MAX];
    let (mut count, mut found) = (0_usize, None);
    let before = window.first().map_or(Before::Nothing, |group| group.before);
    let begins = before != Before::Word
        || what == Identifier::CorporateNumber
            && window.first().is_some_and(|group| is_behind_t(text, group.start));
    for (index, group) in window.iter().take(GROUPS_MAX).enumerate() {
        let Some(room) = digits.get_mut(count..count + group.digits.len()) else { break };
        room.copy_from_slice(group.digits);
        count += group.digits.len();
        if let Some(size) = sizes.get_mut(index) {
            *size = group.digits.len();
        }
        let (Some(whole), Some(sizes)) = (digits.get(..count), sizes.get(..=index)) else { break };
        if begins && !goes_on(text, group.end, group.digits.len()) && is(what, whole, sizes, before)
        {
            found = Some((index + 1, group.end));
        }
    }
    let start = window.first().map_or(0, |group| group.start);
    let (used, go_on) = match found {
        Some((used, end)) if within.contains(&start) => (used, each(start..end)),
        Some((used, _)) => (used, true),
        None => (1, true),
    };
    window.drain(..used.min(window.len()));
    go_on
}

/// Whether these digits, in groups of these sizes, are one.
fn is(what: Identifier, digits: &[u8], sizes: &[usize], before: Before) -> bool {
    let grouped = |ways: &[&[usize]]| sizes.len() == 1 || ways.contains(&sizes);
    match what {
        Identifier::CardNumber => {
            let first = sizes.first().copied().unwrap_or_default();
            let whole = sizes.len() == 1;
            let middle = sizes.get(1..sizes.len().saturating_sub(1)).unwrap_or_default();
            let ways = matches!(first, 4 | 6 | 8) && middle.iter().all(|size| *size >= 4);
            (whole || ways) && is_card(digits) && luhn(digits)
        }
        Identifier::MyNumber => {
            digits.len() == 12 && grouped(&[&[4, 4, 4]]) && varied(digits) && is_my_number(digits)
        }
        Identifier::CorporateNumber => {
            let ways: [&[usize]; 2] = [&[1, 4, 4, 4], &[1, 12]];
            digits.len() == 13 && grouped(&ways) && varied(digits) && is_corporate(digits)
        }
        Identifier::DriversLicence => {
            digits.len() == 12 && grouped(&[&[4, 4, 4]]) && varied(digits) && is_licence(digits)
        }
        Identifier::BankAccount => {
            digits.len() == 7 && sizes.len() == 1 && before == Before::Nothing
        }
        Identifier::PhoneNumber => is_phone(digits, sizes, before),
        Identifier::UsSsn => sizes == [3, 2, 4] && is_ssn(digits),
        Identifier::Passport | Identifier::Iban | Identifier::EmailAddress => false,
    }
}

/// Not the same digit all the way: what people type to fill a field.
fn varied(digits: &[u8]) -> bool {
    digits.iter().any(|digit| Some(digit) != digits.first())
}

fn value(digit: u8) -> u32 {
    u32::from(digit.wrapping_sub(b'0'))
}

/// The number that the first `count` digits make.
fn prefix(digits: &[u8], count: usize) -> u32 {
    digits.iter().take(count).fold(0, |sum, digit| sum * 10 + value(*digit))
}

/// ISO/IEC 7812-1 annex B; digits only.
pub(in crate::scan::content) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, value(*digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    !digits.is_empty() && sum.is_multiple_of(10)
}

/// Issuers and the lengths of their cards.
fn is_card(digits: &[u8]) -> bool {
    let length = digits.len();
    match (prefix(digits, 2), prefix(digits, 4)) {
        // Visa.
        (40..=49, _) => matches!(length, 13 | 16 | 19),
        // Mastercard.
        (51..=55, _) | (_, 2221..=2720) => length == 16,
        // American Express.
        (34 | 37, _) => length == 15,
        // JCB.
        (_, 3528..=3589) => (16..=19).contains(&length),
        // Diners Club.
        (_, 3000..=3059 | 3095) | (36 | 38 | 39, _) => (14..=19).contains(&length),
        // Discover, and UnionPay.
        (_, 6011 | 6440..=6499) | (62 | 65 | 81, _) => (16..=19).contains(&length),
        // Maestro. Shorter ones exist, and are too easily something else.
        (50 | 56..=58 | 67, _) | (_, 6304 | 6759) => (16..=19).contains(&length),
        _ => false,
    }
}

/// Ordinance of the Ministry of Internal Affairs 85 of 2014, article 5.
fn is_my_number(digits: &[u8]) -> bool {
    let Some((check, base)) = digits.split_last() else { return false };
    let sum: u32 = base
        .iter()
        .rev()
        .zip([2, 3, 4, 5, 6, 7, 2, 3, 4, 5, 6])
        .map(|(digit, weight)| value(*digit) * weight)
        .sum();
    let wanted = match sum % 11 {
        0 | 1 => 0,
        rest => 11 - rest,
    };
    value(*check) == wanted
}

/// Ordinance of the Ministry of Finance 70 of 2014, article 2: the check digit is the first.
fn is_corporate(digits: &[u8]) -> bool {
    let Some((check, base)) = digits.split_first() else { return false };
    let weights = [1, 2].into_iter().cycle();
    let sum: u32 = base.iter().rev().zip(weights).map(|(digit, by)| value(*digit) * by).sum();
    value(*check) == 9 - sum % 9
}

/// Two digits of the commission that issued it first, two of the year, six of its own, the check
/// digit, and how often it was issued anew.
fn is_licence(digits: &[u8]) -> bool {
    let commission = prefix(digits, 2);
    let known = matches!(commission,
        10..=14 | 20..=25 | 30 | 40..=55 | 60..=65 | 70..=74 | 80..=83 | 90..=97);
    let sum: u32 = digits
        .iter()
        .zip([5, 4, 3, 2, 7, 6, 5, 4, 3, 2])
        .map(|(digit, weight)| value(*digit) * weight)
        .sum();
    let check = digits.get(10).copied().map(value);
    known && check == Some((11 - sum % 11) % 10)
}

/// Numbering plan of Japan: 0 and nine digits, ten for mobile and IP numbers; or +81 without the 0.
fn is_phone(digits: &[u8], sizes: &[usize], before: Before) -> bool {
    let national = |digits: &[u8]| {
        let mobile = matches!(prefix(digits, 3), 50 | 60 | 70 | 80 | 90);
        let second = digits.get(1).is_some_and(|digit| *digit != b'0');
        let length = if mobile { 11 } else { 10 };
        digits.first() == Some(&b'0') && second && digits.len() == length
    };
    let written = sizes.len() == 1 || sizes.len() >= 3 && sizes.last() == Some(&4);
    match before {
        Before::Plus if digits.starts_with(b"81") => {
            let rest = digits.get(2..).unwrap_or_default();
            let zero: &[u8] = if rest.starts_with(b"0") { b"" } else { b"0" };
            written && national(&[zero, rest].concat())
        }
        Before::Nothing => written && national(digits),
        Before::Plus | Before::Word => false,
    }
}

/// Area, group and serial that were issued.
fn is_ssn(digits: &[u8]) -> bool {
    let area = prefix(digits, 3);
    let rest = digits.get(3..).unwrap_or_default();
    let (group, serial) = (prefix(rest, 2), prefix(rest.get(2..).unwrap_or_default(), 4));
    area != 0 && area != 666 && area < 900 && group != 0 && serial != 0
}
