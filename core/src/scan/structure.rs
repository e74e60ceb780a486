//! Signs in the header section: addresses for answers, names, letters of the subject, fields that are missing, dates.
//!
//! Small points: each of them happens to somebody's honest mailer.

use mail_parser::DateTime;

use super::ScanTables;
use super::finding::Finding;
use super::letter::{Letter, is_free};
use super::signs::{self, add};
use crate::message::{disguised_words, is_invisible};

const DAY_SECONDS: i64 = 86_400;
/// Invisible characters of a subject.
const INVISIBLE_MIN: usize = 2;
/// Mathematical letters of a subject.
const FANCY_MIN: usize = 3;

/// All signs of the header section.
pub(super) fn find(letter: &Letter<'_, '_>, tables: &ScanTables<'_>, out: &mut Vec<Finding>) {
    name(letter, out);
    reply_to(letter, tables, out);
    subject(letter, out);
    missing(letter, out);
    dates(letter, out);
}

fn organisation(domain: &str) -> &str {
    psl::domain_str(domain).unwrap_or(domain)
}

fn name(letter: &Letter<'_, '_>, out: &mut Vec<Finding>) {
    let Some(author) = letter.authors.first() else { return };
    if disguised_words(&author.name) > 0 {
        add(out, &signs::AUTHOR_LETTERS_DISGUISED, &author.name);
    }
    // Lists write the poster's address there.
    if let Some((_, domain)) = author.name.rsplit_once('@')
        && !letter.list
        && !letter.bulk
    {
        let end = domain.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-'));
        let domain =
            domain.get(..end.unwrap_or(domain.len())).unwrap_or(domain).to_ascii_lowercase();
        let other = organisation(&domain) != organisation(author.domain());
        if other && psl::suffix(domain.as_bytes()).is_some_and(|suffix| suffix.is_known()) {
            add(out, &signs::AUTHOR_NAME_IS_ADDRESS, &author.name);
        }
    }
    if let [recipient] = letter.recipients.as_slice()
        && *recipient == author.address
    {
        add(out, &signs::AUTHOR_IS_RECIPIENT, recipient);
    }
}

fn reply_to(letter: &Letter<'_, '_>, tables: &ScanTables<'_>, out: &mut Vec<Finding>) {
    let (Some(author), Some(reply)) = (letter.authors.first(), letter.reply_to.first()) else {
        return;
    };
    if letter.list
        || organisation(reply.domain()) == organisation(author.domain())
            && !is_free(author.domain(), tables)
    {
        return;
    }
    match (is_free(author.domain(), tables), is_free(reply.domain(), tables)) {
        (true, true) if reply.address != author.address => {
            add(out, &signs::REPLY_TO_OTHER_FREE_MAIL, &reply.address);
        }
        (false, true) if !letter.bulk => add(out, &signs::REPLY_TO_FREE_MAIL, &reply.address),
        (_, false) if organisation(reply.domain()) != organisation(author.domain()) => {
            add(out, &signs::REPLY_TO_ELSEWHERE, &reply.address);
        }
        _ => {}
    }
}

fn subject(letter: &Letter<'_, '_>, out: &mut Vec<Finding>) {
    let Some(field) = letter.view.fields_named("subject").next() else { return };
    // Emoji are made of several characters that are joined and coloured by invisible ones.
    let joins = |c: char| matches!(u32::from(c), 0x200D | 0xFE00..=0xFE0F | 0xE0020..=0xE007F);
    let invisible = field.value.chars().filter(|c| is_invisible(*c) && !joins(*c)).count();
    if invisible >= INVISIBLE_MIN {
        add(out, &signs::SUBJECT_INVISIBLE, &format!("{invisible} of them"));
    }
    if disguised_words(&field.value) > 0 {
        add(out, &signs::SUBJECT_LETTERS_DISGUISED, &field.value);
    }
    let fancy = field.value.chars().filter(|c| matches!(u32::from(*c), 0x1D400..=0x1D7FF)).count();
    if fancy >= FANCY_MIN {
        add(out, &signs::SUBJECT_FANCY_LETTERS, &field.value);
    }
    let raw = field.raw_value.to_ascii_lowercase();
    let coded =
        memchr::memmem::find(&raw, b"?b?").is_some() && memchr::memmem::find(&raw, b"=?").is_some();
    if coded && field.value.is_ascii() && !field.value.is_empty() {
        add(out, &signs::SUBJECT_ENCODED_FOR_NOTHING, &field.value);
    }
}

fn missing(letter: &Letter<'_, '_>, out: &mut Vec<Finding>) {
    if !letter.has("date") {
        add(out, &signs::NO_DATE, "");
    }
    if !letter.has("message-id") {
        add(out, &signs::NO_MESSAGE_ID, "");
    }
    match letter.field("to") {
        None if !letter.has("cc") => add(out, &signs::NO_TO, ""),
        Some(to) if to.to_ascii_lowercase().contains("undisclosed") => {
            add(out, &signs::TO_UNDISCLOSED, to);
        }
        Some(_) | None => {}
    }
}

/// The Date field against the time at which the last server before us took the mail: no clock of ours.
fn dates(letter: &Letter<'_, '_>, out: &mut Vec<Finding>) {
    let seconds = |text: &str| -> Option<i64> {
        let date = DateTime::parse_rfc822(text)?;
        date.is_valid().then(|| date.to_timestamp())
    };
    let received = letter.field("received").and_then(|field| field.rsplit_once(';'));
    let received = received.and_then(|(_, date)| seconds(date.trim()));
    let Some((written, received)) = letter.field("date").and_then(seconds).zip(received) else {
        return;
    };
    if written > received + DAY_SECONDS {
        add(out, &signs::DATE_FUTURE, letter.field("date").unwrap_or_default());
    } else if written < received - 7 * DAY_SECONDS {
        add(out, &signs::DATE_PAST, letter.field("date").unwrap_or_default());
    }
}
