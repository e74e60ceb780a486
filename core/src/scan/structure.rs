//! Signs in the header section: addresses for answers, names, letters of the subject, fields that are missing, dates.
//!
//! Small points: each of them happens to somebody's honest mailer.

use mail_parser::DateTime;

use super::ScanTables;
use super::finding::{Finding, FindingKind};
use super::letter::{Letter, is_called_alike, is_free, organisation};
use super::links::{Links, is_random};
use super::signs::{self, add};
use crate::message::{disguised_words, is_invisible};

const DAY_SECONDS: i64 = 86_400;
/// Invisible characters of a subject.
const INVISIBLE_MIN: usize = 2;
/// Mathematical letters of a subject.
const FANCY_MIN: usize = 3;
/// Letters with marks that do not belong there.
const MARKED_MIN: usize = 3;
/// Octets of a local-part that is a name of its own.
const LOCAL_BYTES_MIN: usize = 4;
/// What stands before a mark that tells one copy of a mail from another.
const SUBJECT_GAP: &str = "     ";
/// Letters of a subject that is shouted.
const CAPITALS_MIN: usize = 10;
/// Turns from letters to digits of a mailbox that nobody chose by hand.
const TURNS_MIN: usize = 3;
/// Digits at the end of a mailbox that nobody chose by hand.
const NUMBER_DIGITS_MIN: usize = 5;

/// All signs of the header section.
pub(super) fn find(
    letter: &Letter<'_, '_>,
    links: &Links,
    tables: &ScanTables<'_>,
    out: &mut Vec<Finding>,
) {
    name(letter, out);
    twice(letter, out);
    let gives = letter.page || links.clickable > 0;
    if !letter.list {
        written(letter, gives, out);
        mailer(letter, out);
    }
    if !letter.list && !letter.answer {
        shouted(letter, out);
        let free = is_free(letter.domain(), tables);
        if free {
            stranger(letter, out);
        }
        if gives {
            recipient(letter, links, free, out);
            if free { bulk(letter, links, out) } else { mailbox(letter, links, out) }
        }
    }
    reply_to(letter, tables, out);
    subject(letter, out);
    missing(letter, out);
    dates(letter, out);
}

fn name(letter: &Letter<'_, '_>, out: &mut Vec<Finding>) {
    let Some(author) = letter.authors.first() else { return };
    if disguised_words(&author.name) > 0 || marked(&author.name) >= MARKED_MIN {
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

/// How the author's field is written: no mailer that people use does so.
/// `gives`: there is a page, or something to click. Reports of mail servers come from `MAILER-DAEMON`.
fn written(letter: &Letter<'_, '_>, gives: bool, out: &mut Vec<Finding>) {
    let Some(field) = letter.field("from").filter(|field| !field.is_empty()) else { return };
    no_domain(letter, field, gives, out);
    let angle = field.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>'));
    if angle.is_some_and(|(address, _)| address.contains(char::is_whitespace)) {
        add(out, &signs::AUTHOR_ADDRESS_SPACE, field);
    }
    // `Acme,(<a@b.example>)`: nothing is left in the brackets.
    let called = letter.called.replace("()", "(");
    let name = called.trim_matches([' ', '"', '\'', '\t']);
    if name.ends_with([',', '_', '(', ';', '|', '[', '{']) || begins_amid(name) {
        add(out, &signs::AUTHOR_NAME_TAIL, &called);
    }
    // Where a field is folded, some mailers leave a tab.
    let is_folded = |raw: &[u8]| raw.trim_ascii_end().contains(&b'\n');
    let folded = letter.view.fields_named("from").any(|field| is_folded(&field.raw_value));
    let gap = |text: &str| text.contains("   ") || text.contains('\t');
    if !folded && (gap(name) || called.trim_start().len() > called.trim().len() + 2) {
        add(out, &signs::AUTHOR_NAME_GAP, &called);
    }
    if name.chars().any(is_picture) {
        add(out, &signs::AUTHOR_NAME_EMOJI, &called);
    }
}

/// An author without an address on the internet. `gives`: see [`written`]. Reports of mail servers have none either.
fn no_domain(letter: &Letter<'_, '_>, field: &str, gives: bool, out: &mut Vec<Finding>) {
    let domain = letter.domain();
    if domain.contains('.') || domain.starts_with('[') || field == "<>" && !letter.page {
        return;
    }
    let daemon = ["daemon", "postmaster"].iter().any(|who| field.to_lowercase().contains(who));
    if daemon || !gives {
        return;
    }
    // Machines of a site write `nagios@monitor`, without a page.
    if !domain.is_empty() && !letter.page {
        return;
    }
    let sign = if domain.is_empty() { &signs::AUTHOR_NO_ADDRESS } else { &signs::AUTHOR_NO_DOMAIN };
    add(out, sign, field);
}

/// Whether a name begins in the middle of punctuation. `.NET`, `-お知らせ-` and `** name **` do not.
fn begins_amid(name: &str) -> bool {
    let mut chars = name.chars();
    let Some(first) = chars.next() else { return false };
    match first {
        '_' | '~' | ',' | ';' | ':' | '|' | '!' => true,
        '.' | '-' | '*' => {
            chars.next().is_none_or(|next| !next.is_alphanumeric()) && !name.ends_with(first)
        }
        _ => false,
    }
}

/// Pictures of Unicode's own planes: stars and notes of older charsets are in many a shop's name.
fn is_picture(c: char) -> bool {
    matches!(u32::from(c), 0x1F300..=0x1FAFF)
}

/// Fields that there is one of (RFC 5322 section 3.6, RFC 2919), and that kits for mass mail write several times.
fn twice(letter: &Letter<'_, '_>, out: &mut Vec<Finding>) {
    const ONCE: [&str; 9] = [
        "from",
        "sender",
        "reply-to",
        "subject",
        "date",
        "message-id",
        "in-reply-to",
        "references",
        "list-id",
    ];
    for name in ONCE {
        if letter.view.fields_named(name).nth(1).is_some() {
            add(out, &signs::FIELD_TWICE, name);
        }
    }
}

/// A mailer that its users know leaves more than its name.
fn mailer(letter: &Letter<'_, '_>, out: &mut Vec<Finding>) {
    let Some(mailer) = letter.field("x-mailer") else { return };
    // The one for Macintosh was another program.
    if mailer.contains("Outlook Express") && !mailer.contains("Mac") && !letter.has("x-mimeole") {
        add(out, &signs::MAILER_FORGED, mailer);
    }
}

/// Bulk mail that no service for newsletters sent: its author has the mailbox of a private person. Whoever gives
/// mailboxes away writes to their owners, too, and leads to himself.
fn bulk(letter: &Letter<'_, '_>, links: &Links, out: &mut Vec<Finding>) {
    // Pictures and links alone are in a signature, too.
    let is_bulk = |found: &Finding| {
        found.kind == FindingKind::Graymail && *found.rule != *signs::GRAY_PAGE.name
    };
    if letter.bulk || !out.iter().any(is_bulk) {
        return;
    }
    let own = organisation(letter.domain());
    if !links.clicks.iter().any(|host| organisation(host) == own) {
        add(out, &signs::FREE_MAIL_BULK, letter.domain());
    }
}

/// A free mailbox that nobody chose, or that hides whom it writes to.
fn stranger(letter: &Letter<'_, '_>, out: &mut Vec<Finding>) {
    let author = letter.authors.first().map_or("", |author| &author.address);
    let local = author.rsplit_once('@').map_or("", |(local, _)| local);
    // Turns from letters to digits: `kate1984` has one, `haru0401yuki0815` two, `we9boig3l9689` three.
    let turns = local
        .as_bytes()
        .windows(2)
        .filter(|pair| pair.first().is_some_and(u8::is_ascii_alphabetic))
        .filter(|pair| pair.last().is_some_and(u8::is_ascii_digit))
        .count();
    if turns >= TURNS_MIN {
        add(out, &signs::AUTHOR_SCRAMBLED, author);
    }
    if letter.recipients.is_empty() {
        add(out, &signs::FREE_MAIL_TO_NOBODY, author);
    }
}

/// What is written in capitals, or is urgent.
fn shouted(letter: &Letter<'_, '_>, out: &mut Vec<Finding>) {
    let subject = letter.view.fields_named("subject").next().map_or("", |field| &*field.value);
    let letters = subject.chars().filter(|c| c.is_alphabetic()).count();
    let capitals = subject.chars().filter(|c| c.is_uppercase()).count();
    if letters >= CAPITALS_MIN && capitals * 5 >= letters * 4 {
        add(out, &signs::SUBJECT_CAPITALS, subject);
    }
    let urgent = ["x-priority", "x-msmail-priority", "importance"].iter().find(|name| {
        let value = letter.field(name).unwrap_or_default();
        value.starts_with(['1', '2']) || value.eq_ignore_ascii_case("high")
    });
    if let Some(field) = urgent.filter(|_| letter.page) {
        add(out, &signs::PRIORITY_HIGH, field);
    }
}

/// The recipient's own address where a stranger would not write it.
fn recipient(letter: &Letter<'_, '_>, links: &Links, free: bool, out: &mut Vec<Finding>) {
    let (Some(author), [recipient]) = (letter.authors.first(), letter.recipients.as_slice()) else {
        return;
    };
    let (local, domain) = recipient.rsplit_once('@').unwrap_or((recipient, ""));
    let own = organisation(domain);
    // Clubs write to themselves, and to the others in BCC.
    if author.address == *recipient
        && !free
        && letter.page
        && links.clickable > 0
        && !letter.is_signed()
        && !links.clicks.iter().any(|host| organisation(host) == own)
        && !letter.is_filled_in()
    {
        add(out, &signs::AUTHOR_IS_RECIPIENT_PAGE, recipient);
    }
    if letter.subject.contains(&**recipient) {
        add(out, &signs::SUBJECT_HAS_RECIPIENT, &letter.subject);
    } else if !letter.bulk && !letter.is_signed() && calls(letter, local) {
        add(out, &signs::SUBJECT_HAS_MAILBOX, &letter.subject);
    }
    let called = author.name.to_lowercase();
    let named =
        called.trim() == local && local.len() >= LOCAL_BYTES_MIN || called.contains(&**recipient);
    if named && own != organisation(author.domain()) {
        add(out, &signs::AUTHOR_NAME_IS_RECIPIENT, &author.name);
    }
    if letter.subject.starts_with("re:") {
        add(out, &signs::SUBJECT_ANSWERS_NOTHING, &letter.subject);
    }
}

/// Whether the subject has the local-part of the recipient's address as a word of its own. Whoever knows somebody's name
/// writes it into To, too; offices are named after what they do.
fn calls(letter: &Letter<'_, '_>, local: &str) -> bool {
    #[rustfmt::skip]
    const OFFICES: [&str; 37] = [
        "account", "admin", "alert", "backup", "billing", "booking", "career", "contact", "cron", "customer", "event", "hello",
        "help", "info", "invoice", "jobs", "mail", "market", "nagios", "news", "notice", "office", "order", "payment", "press",
        "recruit", "report", "reserv", "root", "sales", "secur", "service", "shop", "support", "team", "test", "user",
    ];
    let own = |name: &str| name == local;
    if local.len() < LOCAL_BYTES_MIN || OFFICES.iter().any(|office| local.starts_with(office)) {
        return false;
    }
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    let to = letter.field("to").unwrap_or_default();
    let name = to.rsplit_once('<').map_or("", |(name, _)| name).to_lowercase();
    letter.subject.split(|c| !is_part(c)).any(|word| own(word.trim_matches(['.', '-'])))
        && !name.split(|c| !is_part(c)).any(own)
}

/// Mailboxes that were made by a program, for one mail or for none.
fn mailbox(letter: &Letter<'_, '_>, links: &Links, out: &mut Vec<Finding>) {
    let author = letter.authors.first().map_or("", |author| &author.address);
    let local = author.rsplit_once('@').map_or("", |(local, _)| local);
    let digits = local.len() - local.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let numbered = digits >= NUMBER_DIGITS_MIN
        || digits + 1 == NUMBER_DIGITS_MIN
            && local.trim_end_matches(char::is_numeric).ends_with('_');
    if (numbered && digits < local.len() || is_random(local)) && !letter.is_report() {
        add(out, &signs::AUTHOR_NUMBERED, author);
    }
    let script = ["root@", "www-data@", "apache@", "nobody@", "httpd@"];
    let traces = letter.view.fields_named("received");
    let superuser = traces.into_iter().any(|field| field.value.contains("from userid 0)"));
    let envelope = letter.envelope.as_deref().unwrap_or("?");
    let script = superuser || script.iter().any(|who| envelope.starts_with(who));
    if script && letter.page && links.clickable > 0 && !letter.is_filled_in() {
        add(out, &signs::SENT_BY_SCRIPT, envelope);
    }
    // Reports and automatic answers have none either, and give nothing to click.
    if envelope.is_empty() && letter.page && !letter.has("auto-submitted") {
        add(out, &signs::NO_REVERSE_PATH, author);
    }
}

/// Latin letters and digits with marks on them that no language writes, or with something invisible behind them.
fn marked(text: &str) -> usize {
    use unicode_normalization::UnicodeNormalization as _;
    use unicode_normalization::char::is_combining_mark;
    if text.is_ascii() {
        return 0;
    }
    let (mut found, mut latin) = (0, false);
    for c in text.nfc() {
        let marks = is_combining_mark(c) || is_invisible(c) && c != '\u{AD}';
        found += usize::from(latin && marks);
        latin = c.is_ascii_alphanumeric();
    }
    found
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
        (true, true) if !is_same_mailbox(&reply.address, &author.address) => {
            add(out, &signs::REPLY_TO_OTHER_FREE_MAIL, &reply.address);
        }
        // A form on a site writes to the site itself; whether it is the recipient's is asked where he is known.
        (false, true) if !letter.bulk && !letter.is_to_itself() => {
            add(out, &signs::REPLY_TO_FREE_MAIL, &reply.address);
            // Clubs and lecturers have a second mailbox, and it is called as the first.
            if letter.recipients.is_empty() && !is_called_alike(&author.address, &reply.address) {
                add(out, &signs::REPLY_TO_FREE_MAIL_HIDDEN, &reply.address);
            }
        }
        (_, false) if organisation(reply.domain()) != organisation(author.domain()) => {
            add(out, &signs::REPLY_TO_ELSEWHERE, &reply.address);
        }
        _ => {}
    }
}

/// Whether two addresses (lower case) at providers of free mailboxes are one mailbox: dots and what follows a plus sign name
/// none of its own there, and some providers have two names. The same name elsewhere is how a stolen mailbox is answered for.
fn is_same_mailbox(one: &str, other: &str) -> bool {
    let plain = |address: &str| -> Option<(String, String)> {
        let (local, domain) = address.rsplit_once('@')?;
        let local = local.split('+').next().unwrap_or(local).replace('.', "");
        let domain = match domain {
            "googlemail.com" => "gmail.com",
            "me.com" | "mac.com" => "icloud.com",
            other => other,
        };
        Some((local, domain.to_owned()))
    };
    one == other || plain(one).is_some_and(|one| Some(one) == plain(other))
}

fn subject(letter: &Letter<'_, '_>, out: &mut Vec<Finding>) {
    let Some(field) = letter.view.fields_named("subject").next() else { return };
    // Emoji are made of several characters that are joined and coloured by invisible ones.
    let joins = |c: char| matches!(u32::from(c), 0x200D | 0xFE00..=0xFE0F | 0xE0020..=0xE007F);
    let invisible = field.value.chars().filter(|c| is_invisible(*c) && !joins(*c)).count();
    if invisible >= INVISIBLE_MIN {
        add(out, &signs::SUBJECT_INVISIBLE, &format!("{invisible} of them"));
    }
    if disguised_words(&field.value) > 0 || marked(&field.value) >= MARKED_MIN {
        add(out, &signs::SUBJECT_LETTERS_DISGUISED, &field.value);
    }
    let fancy = field.value.chars().filter(|c| matches!(u32::from(*c), 0x1D400..=0x1D7FF)).count();
    if fancy >= FANCY_MIN {
        add(out, &signs::SUBJECT_FANCY_LETTERS, &field.value);
    }
    let behind = field.value.trim_end().rsplit_once(SUBJECT_GAP);
    if behind.is_some_and(|(before, word)| {
        let word = word.trim_matches(['[', ']']);
        let is_mark = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        !before.trim().is_empty() && word.len() >= 2 && word.chars().all(is_mark)
    }) {
        add(out, &signs::SUBJECT_TAIL, &field.value);
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
    if written > received + 300 * DAY_SECONDS {
        add(out, &signs::DATE_FAR, letter.field("date").unwrap_or_default());
    } else if written > received + DAY_SECONDS {
        add(out, &signs::DATE_FUTURE, letter.field("date").unwrap_or_default());
    } else if written < received - 7 * DAY_SECONDS {
        add(out, &signs::DATE_PAST, letter.field("date").unwrap_or_default());
    }
}
