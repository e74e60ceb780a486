//! The octets of a notice.

use jiff::tz::{TimeZone, offset};
use mail_builder::MessageBuilder;
use mail_builder::headers::raw::Raw;

use super::marks::{MARK, shown};
use super::plan::Told;
use super::template::{DEFAULT, Templates, Tongue, fill};
use crate::clock::UnixMillis;
use crate::content::Content;
use crate::envelope::MailId;
use crate::policy::{Action, Language};

/// Characters of one value, and of a subject.
const VALUE_CHARS_MAX: usize = 300;
const SUBJECT_CHARS_MAX: usize = 200;
/// Values of a list that are named; the rest are counted.
const NAMED_MAX: usize = 20;

/// What a notice may tell of the mail that it is about.
#[derive(Clone, Debug, Default)]
pub struct Facts<'m> {
    /// What malware was found; empty if none.
    pub viruses: Vec<&'m str>,
    /// Names of the files that it is about.
    pub files: Vec<&'m str>,
    /// MAIL FROM; empty for the null reverse-path.
    pub sender: String,
    /// `From:`, decoded.
    pub author: &'m str,
    /// `Subject:`, decoded.
    pub subject: &'m str,
    /// `Message-ID:`
    pub message_id: &'m str,
    /// Our id of the mail.
    pub mail: String,
    /// When it came.
    pub received_at: UnixMillis,
    /// Its size in octets.
    pub bytes: u64,
    /// How many attachments it has.
    pub attachments: usize,
    /// Our name.
    pub host_name: &'m str,
}

/// What makes a notice different from any other.
#[derive(Clone, Copy, Debug)]
pub struct Numbered {
    /// Its id.
    pub id: MailId,
    /// Now.
    pub now: UnixMillis,
    /// Notices to the same address that were left out since the last one.
    pub left_out: u32,
    /// The mark of its addressee ([`super::Marks`]).
    pub mark: u64,
}

/// The notice.
#[must_use]
pub fn to_content(
    told: &Told,
    templates: &Templates,
    facts: &Facts<'_>,
    numbered: &Numbered,
) -> Content {
    let (mut subjects, mut bodies): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for tongue in Tongue::ALL {
        let asked = match (told.language, tongue) {
            (Language::Both, _) | (Language::Ja, Tongue::Ja) | (Language::En, Tongue::En) => true,
            (Language::Ja, Tongue::En) | (Language::En, Tongue::Ja) => false,
        };
        let Some(template) = templates.get(tongue, &told.template).filter(|_| asked) else {
            continue;
        };
        let value = |token: &str| value(token, tongue, told, (facts, numbered));
        subjects.push(fill(&template.subject, &value));
        bodies.push(fill(&template.body, &value));
    }
    // An operator's template in one language only is not said twice.
    subjects.dedup();
    bodies.dedup();
    let subject: String = one_line(&subjects.join(" / ")).chars().take(SUBJECT_CHARS_MAX).collect();
    let body = bodies.join("\n----------------------------------------\n\n").replace('\n', "\r\n");
    let from = match &*told.from {
        "" => format!("no-reply@{}", facts.host_name),
        from => from.to_owned(),
    };
    let seconds = i64::try_from(numbered.now.as_secs()).unwrap_or(0);
    let template = match one_line(&told.template) {
        name if name.is_empty() => DEFAULT.to_owned(),
        name => name,
    };
    let mail = MessageBuilder::new()
        .from(("Sekisho", from.as_str()))
        .to(told.to.to_path())
        .subject(subject)
        .date(seconds)
        .message_id(format!("{}@{}", numbered.id, facts.host_name))
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .header("X-Auto-Response-Suppress", Raw::new("All"))
        .header(MARK, Raw::new(format!("{template} {}", shown(numbered.mark))))
        .text_body(body);
    let mut octets = Vec::with_capacity(4096);
    mail.serialize(&mut octets);
    Content::from_octets(octets)
}

/// Fuzz entry: words of a stranger, apart by lines of their own, in every place where a notice tells of a mail, and as
/// an operator's template. Octets of the notice.
///
/// # Panics
/// When a word of the stranger's ends a field, or a line is none.
pub fn fuzz_notice(words: &[u8]) -> usize {
    let text = String::from_utf8_lossy(words);
    let mut pieces = text.split("\n--\n");
    let mut piece = || pieces.next().unwrap_or_default();
    // An address has none: its grammar does not allow them.
    let plain = |text: &str| text.replace(char::is_control, "_");
    let own = [(Tongue::En, "own", piece())];
    let templates = Templates::new(own).or_else(|_| Templates::new([]));
    let Ok(templates) = templates else { return 0 };
    let told = Told {
        to: crate::envelope::Mailbox::new(&plain(piece()), "own.example"),
        template: "own".into(),
        language: Language::Both,
        from: "".into(),
        domain: piece().into(),
        rules: vec![piece().into()],
        recipients: vec![piece().to_owned()],
        actions: vec![Action::Tag, Action::Reject],
        reasons: vec!["virus".into()],
        hourly_max: (1, 1),
    };
    let facts = Facts {
        viruses: vec![piece()],
        files: vec![piece(), piece()],
        sender: piece().to_owned(),
        author: piece(),
        subject: piece(),
        message_id: piece(),
        host_name: "mx.example.net",
        ..Facts::default()
    };
    let id = MailId::from_parts(UnixMillis(1_600_000_000_000), [7; 10]);
    let numbered = Numbered { id, now: UnixMillis(1_600_000_000_000), left_out: 3, mark: 7 };
    let content = to_content(&told, &templates, &facts, &numbered);
    let octets = content.as_memory().map(|octets| octets.to_vec()).unwrap_or_default();
    let end = memchr::memmem::find(&octets, b"\r\n\r\n").unwrap_or(octets.len());
    let section = String::from_utf8_lossy(octets.get(..end).unwrap_or_default()).into_owned();
    let names = section.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
    let names: Vec<&str> = names.map(|line| line.split(':').next().unwrap_or_default()).collect();
    assert!(names.len() <= 11 && !section.replace("\r\n", "").contains(['\r', '\n']), "{names:?}");
    octets.len()
}

/// What stands for a token.
fn value(token: &str, tongue: Tongue, told: &Told, about: (&Facts<'_>, &Numbered)) -> String {
    let (facts, numbered) = about;
    let none = match tongue {
        Tongue::Ja => "(なし)",
        Tongue::En => "(none)",
    };
    let or_none = |text: String| if text.is_empty() { none.to_owned() } else { text };
    let list = |values: &mut dyn Iterator<Item = &str>| or_none(listed(values, ", "));
    match token {
        "ACTION" => list(&mut told.actions.iter().map(|action| words(*action, tongue))),
        "ACTION_LIST" => {
            let actions = told.actions.iter().map(|action| words(*action, tongue));
            actions.map(|words| format!("  - {words}")).collect::<Vec<_>>().join("\n")
        }
        "ATTACHMENTS" => facts.attachments.to_string(),
        "AUTHOR" => or_none(one_line(facts.author)),
        "DATE" => date(facts.received_at),
        "DOMAIN" => one_line(&told.domain),
        "FILES" => list(&mut facts.files.iter().copied()),
        "HOST" => one_line(facts.host_name),
        "LEFT_OUT" => match (numbered.left_out, tongue) {
            (0, _) => String::new(),
            (count, Tongue::Ja) => format!("\nほかに {count} 件の通知が省略されました。\n"),
            (count, Tongue::En) => format!("\n{count} more notices to you were left out.\n"),
        },
        "MAIL_ID" => one_line(&facts.mail),
        "MESSAGE_ID" => or_none(one_line(facts.message_id)),
        "REASON" => list(&mut told.reasons.iter().map(|reason| &**reason)),
        "RECIPIENT" => list(&mut told.recipients.iter().map(String::as_str)),
        "RULE" => list(&mut told.rules.iter().map(|rule| &**rule)),
        "SENDER" => match one_line(&facts.sender) {
            empty if empty.is_empty() => "<>".to_owned(),
            sender => sender,
        },
        "SIZE" => facts.bytes.to_string(),
        "SUBJECT" => or_none(one_line(facts.subject)),
        "VIRUS" => list(&mut facts.viruses.iter().copied()),
        _ => String::new(),
    }
}

/// Values side by side, the first of them.
fn listed(values: &mut dyn Iterator<Item = &str>, between: &str) -> String {
    let (mut all, mut more) = (Vec::new(), 0_usize);
    for value in values.map(one_line).filter(|value| !value.is_empty()) {
        match all.len() < NAMED_MAX {
            true => all.push(value),
            false => more += 1,
        }
    }
    if more > 0 {
        all.push(format!("... (+{more})"));
    }
    all.join(between)
}

/// A value of a stranger's: one line, nothing that turns the direction of what follows, not too long.
fn one_line(text: &str) -> String {
    let odd = |c: &char| matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}');
    let plain = text.chars().filter(|c| !odd(c)).map(|c| if c.is_control() { ' ' } else { c });
    let plain: String = plain.take(VALUE_CHARS_MAX).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What happened, in words.
fn words(action: Action, tongue: Tongue) -> &'static str {
    match (action, tongue) {
        (Action::Deliver | Action::Header, Tongue::Ja) => "配信しました",
        (Action::Deliver | Action::Header, Tongue::En) => "delivered",
        (Action::Stamp, Tongue::Ja) => "本文に注意書きを付けて配信しました",
        (Action::Stamp, Tongue::En) => "delivered with a note in the text",
        (Action::Tag, Tongue::Ja) => "件名に印を付けて配信しました",
        (Action::Tag, Tongue::En) => "delivered with a mark in the subject",
        (Action::Clean, Tongue::Ja) => "該当部分を削除して配信しました",
        (Action::Clean, Tongue::En) => "delivered after the part was removed",
        (Action::Quarantine | Action::QuarantineHidden, Tongue::Ja) => "隔離しました",
        (Action::Quarantine | Action::QuarantineHidden, Tongue::En) => "quarantined",
        (Action::Reject, Tongue::Ja) => "受信を拒否しました",
        (Action::Reject, Tongue::En) => "refused",
        (Action::Drop, Tongue::Ja) => "削除しました",
        (Action::Drop, Tongue::En) => "deleted",
    }
}

/// `2026-11-27 23:45:10 +0900 (JST)`: the zone of unified model U9, which no setting changes yet.
fn date(at: UnixMillis) -> String {
    let seconds = i64::try_from(at.as_secs()).unwrap_or(0);
    let Ok(at) = jiff::Timestamp::from_second(seconds) else { return String::new() };
    let at = at.to_zoned(TimeZone::fixed(offset(9)));
    at.strftime("%Y-%m-%d %H:%M:%S %z (JST)").to_string()
}
