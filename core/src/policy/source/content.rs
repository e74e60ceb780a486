//! `content = [...]` of a rule's conditions: what is looked for in texts.
//!
//! ```toml
//! [[domain.settings.rules.when.content]]
//! identifier = "card_number"             # or: words = [...], or: regex = "..."
//! in = ["body", "attachment"]            # default: everywhere
//! count = 3
//! distinct = true
//! near = { words = ["カード"], within = 100 }
//! ```

use super::named::Lists;
use crate::config::walk::Section;
use crate::scan::content::{
    Check, Expression, Identifier, Near, Needle, Place, WordMatch, check_wildcards, compile_regex,
};

/// Octets of one regular expression.
const REGEX_BYTES_MAX: usize = 2_000;
/// Words with wildcards of one expression: they make one regular expression.
const WILDCARDS_MAX: usize = 100;

/// Reads one expression.
pub(super) fn expression(section: &mut Section<'_, '_>, lists: &Lists) -> Option<Expression> {
    let needle = needle(section, lists)?;
    let mut expression = Expression::new(needle);
    for text in section.texts("in").unwrap_or_default() {
        match place(text.value) {
            Some(place) => expression.places.push(place),
            None => {
                let shown: String = text.value.chars().take(80).collect();
                let why = format!(
                    "`{}` is not one of subject, body, header, header:NAME, attachment_name, attachment",
                    shown.escape_debug()
                );
                section.wrong("in", text.start, why);
            }
        }
    }
    expression.places.sort_unstable();
    expression.places.dedup();
    section.number("count", 1..=1_000, &mut expression.count_min);
    // The same number in the text and in the HTML of a mail is one number.
    expression.distinct = matches!(expression.needle, Needle::Identifier(_));
    section.flag("distinct", &mut expression.distinct);
    expression.near = section.table("near", |section| near(section, lists)).flatten();
    Some(expression.identified())
}

fn near(section: &mut Section<'_, '_>, lists: &Lists) -> Option<Near> {
    let mut chars = 100;
    section.number("within", 0..=2_000, &mut chars);
    needle(section, lists).map(|needle| Near { needle, chars })
}

fn place(text: &str) -> Option<Place> {
    Some(match text {
        "subject" => Place::Subject,
        "body" => Place::Body,
        "header" => Place::Header,
        "attachment_name" => Place::AttachmentName,
        "attachment" => Place::Attachment,
        _ => {
            let name = text.strip_prefix("header:")?;
            let fits = !name.is_empty() && name.len() <= 80 && name.bytes().all(is_token);
            return fits.then(|| Place::Field(name.to_ascii_lowercase().into()));
        }
    })
}

/// Octets of a field name, RFC 5322 section 2.2.
pub(super) fn is_token(octet: u8) -> bool {
    octet.is_ascii_graphic() && octet != b':'
}

/// Exactly one of words, a regular expression and an identifier.
fn needle(section: &mut Section<'_, '_>, lists: &Lists) -> Option<Needle> {
    let given = ["words", "regex", "identifier"].iter().filter(|key| section.has(key)).count();
    let how = [
        ("part", WordMatch::Part),
        ("word", WordMatch::Word),
        ("whole", WordMatch::Whole),
        ("wildcard", WordMatch::Wildcard),
    ];
    let mut matching = WordMatch::Part;
    section.choice("match", &how, &mut matching);
    let mut all = false;
    section.flag("all", &mut all);
    let mut check = Check::None;
    let checks = [("none", Check::None), ("luhn", Check::Luhn), ("mod97", Check::Mod97)];
    section.choice("check", &checks, &mut check);
    let words = lists.words(section, "words");
    let regex = section.text("regex");
    let mut identifier = Identifier::CardNumber;
    let kinds = Identifier::ALL.map(|kind| (kind.key(), kind));
    section.choice("identifier", &kinds, &mut identifier);
    if given != 1 {
        let why = "expected one of `words`, `regex` and `identifier`";
        section.problem(section.start(), why);
        return None;
    }
    if let Some(words) = words {
        if words.is_empty() {
            section.wrong("words", section.place_of("words"), "is empty");
        }
        if matching == WordMatch::Wildcard {
            wildcards(section, &words);
        }
        return Some(Needle::Words { words, how: matching, all });
    }
    if let Some(regex) = regex {
        if regex.value.len() > REGEX_BYTES_MAX {
            section.wrong("regex", regex.start, format!("at most {REGEX_BYTES_MAX} octets"));
        } else if let Err(error) = compile_regex(regex.value) {
            section.wrong("regex", regex.start, error);
        }
        return Some(Needle::Regex { expression: regex.value.into(), check });
    }
    section.has("identifier").then_some(Needle::Identifier(identifier))
}

fn wildcards(section: &Section<'_, '_>, words: &[Box<str>]) {
    let place = section.place_of("words");
    let words: Vec<&str> = words.iter().map(|word| &**word).collect();
    if words.len() > WILDCARDS_MAX {
        let count = words.len();
        section.wrong("words", place, format!("{count} with wildcards, at most {WILDCARDS_MAX}"));
    } else if let Err(error) = check_wildcards(&words) {
        section.wrong("words", place, error);
    }
}
