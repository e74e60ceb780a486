//! `[...rules.when]`: what a rule asks of a mail.

use ipnet::IpNet;

use super::content;
use super::named::Lists;
use crate::config::walk::Section;
use crate::policy::rules::{Combine, Conditions, HeaderCondition, TimeOfDay};
use crate::verdict::{AuthMethod, AuthOutcome, Likelihood, MainClass, Reason};

/// Conditions on texts, fields and networks of one rule.
const CONDITIONS_MAX: usize = 200;

/// Reads the conditions that stand in `section`. All of them: what overrides a rule's conditions takes their
/// place, or a rule would go on asking for what nobody sees in the file.
pub(super) fn read(section: &mut Section<'_, '_>, lists: &Lists) -> Conditions {
    let mut when = Conditions::default();
    let ways = [("all", Combine::All), ("any", Combine::Any)];
    section.choice("match", &ways, &mut when.combine);
    of_verdict(section, &mut when);
    of_envelope(section, lists, &mut when);
    of_attachments(section, &mut when);
    of_texts(section, lists, &mut when);
    when
}

fn of_verdict(section: &mut Section<'_, '_>, when: &mut Conditions) {
    let classes = MainClass::ALL.map(|class| (class.key(), class));
    section.choices("class", &classes, &mut when.classes);
    let reasons = Reason::ALL.map(|reason| (reason.key(), reason));
    section.choices("reason", &reasons, &mut when.reasons);
    let likelihoods =
        [("LOW", Likelihood::Low), ("MEDIUM", Likelihood::Medium), ("HIGH", Likelihood::High)];
    section.choices("likelihood", &likelihoods, &mut when.likelihoods);
    let mut points = 0;
    let given = section.has("points_min");
    section.points("points_min", &mut points);
    when.points_min = given.then_some(points);
    for text in section.texts("auth").unwrap_or_default() {
        match result(text.value) {
            Some(result) => when.auth.push(result),
            None => {
                let shown: String = text.value.chars().take(80).collect();
                let why = "is not a check and its result, as in `spf.fail`";
                section.wrong("auth", text.start, format!("`{}` {why}", shown.escape_debug()));
            }
        }
    }
}

/// `spf.fail`.
fn result(text: &str) -> Option<(AuthMethod, AuthOutcome)> {
    let (method, outcome) = text.split_once('.')?;
    let method = AuthMethod::ALL.into_iter().find(|known| known.key() == method)?;
    let outcome = method.outcomes().iter().find(|known| known.key() == outcome)?;
    Some((method, *outcome))
}

fn of_envelope(section: &mut Section<'_, '_>, lists: &Lists, when: &mut Conditions) {
    let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    when.larger_than_bytes = optional(section, "larger_than_bytes", 1 << 40);
    when.recipients_more_than = optional(section, "recipients_more_than", 100_000).map(count);
    when.envelope_from_blank = switch(section, "envelope_from_blank");
    when.from_differs_from_envelope = switch(section, "from_differs_from_envelope");
    when.from_differs_from_reply_to = switch(section, "from_differs_from_reply_to");
    lists.set(section, "sender", &mut when.senders);
    for text in section.texts("client").unwrap_or_default().into_iter().take(CONDITIONS_MAX) {
        let address = text.value.parse::<std::net::IpAddr>().map(IpNet::from);
        match address.or_else(|_| text.value.parse::<IpNet>()) {
            Ok(net) => when.clients.push(net.trunc()),
            Err(_) => {
                let shown: String = text.value.chars().take(80).collect();
                let why = format!("`{}` is no address or network", shown.escape_debug());
                section.wrong("client", text.start, why);
            }
        }
    }
    when.time = section.table("time", time).flatten();
}

fn of_attachments(section: &mut Section<'_, '_>, when: &mut Conditions) {
    let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    when.attachments_more_than = optional(section, "attachments_more_than", 100_000).map(count);
    when.attachment_larger_than_bytes = optional(section, "attachment_larger_than_bytes", 1 << 40);
    when.attachment_names = patterns(section, "attachment_name");
    when.attachment_types = patterns(section, "attachment_type");
    when.attachment_mime = patterns(section, "attachment_mime");
    when.attachment_true_types = patterns(section, "attachment_true_type");
    when.attachment_encrypted = switch(section, "attachment_encrypted");
    when.attachment_active = switch(section, "attachment_active");
    when.high_risk = switch(section, "high_risk");
}

fn of_texts(section: &mut Section<'_, '_>, lists: &Lists, when: &mut Conditions) {
    when.subject_blank = switch(section, "subject_blank");
    when.body_blank = switch(section, "body_blank");
    when.headers = section.tables("header", |section| {
        let mut header = HeaderCondition { name: "".into(), pattern: "".into() };
        section.line("name", 80, &mut header.name);
        section.line("matches", 400, &mut header.pattern);
        if header.name.is_empty() || !header.name.bytes().all(content::is_token) {
            section.wrong("name", section.place_of("name"), "is not a header field name");
        }
        if header.pattern.is_empty() {
            section.wrong("matches", section.place_of("matches"), "is missing or empty");
        }
        header
    });
    let place = section.place_of("content");
    let expressions = section.tables("content", |section| content::expression(section, lists));
    if expressions.len() > CONDITIONS_MAX {
        let text = format!("{} of them, at most {CONDITIONS_MAX}", expressions.len());
        section.wrong("content", place, text);
    }
    when.content = expressions.into_iter().flatten().take(CONDITIONS_MAX).collect();
}

/// `time = { from = "22:00", to = "06:00", days = ["mon"], zone = "+0900" }`
fn time(section: &mut Section<'_, '_>) -> Option<TimeOfDay> {
    let mut clock = |key: &'static str| {
        let place = section.place_of(key);
        let minute = section.text(key).and_then(|text| minute_of_day(text.value));
        if minute.is_none() {
            section.wrong(key, place, "expected a time of day, as in \"18:30\"");
        }
        minute
    };
    let (from, to) = (clock("from"), clock("to"));
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let choices: Vec<(&'static str, u8)> = days.into_iter().zip(0..).collect();
    let mut chosen: Vec<u8> = Vec::new();
    section.choices("days", &choices, &mut chosen);
    // Japan's, as everywhere in these profiles (U9).
    let mut offset = 9 * 60;
    let place = section.place_of("zone");
    if let Some(text) = section.text("zone") {
        match zone(text.value) {
            Some(minutes) => offset = minutes,
            None => section.wrong("zone", place, "expected an offset, as in \"+0900\""),
        }
    }
    let days = chosen.iter().fold(0, |bits, day| bits | 1 << day);
    Some(TimeOfDay { from: from?, to: to?, days, offset })
}

fn minute_of_day(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |text: &str| text.len() == 2 && text.bytes().all(|octet| octet.is_ascii_digit());
    let (hour, minute) = (hours.parse::<u16>().ok()?, minutes.parse::<u16>().ok()?);
    let fits = two(hours) && two(minutes) && minute < 60 && hour * 60 + minute <= 24 * 60;
    fits.then_some(hour * 60 + minute)
}

fn zone(text: &str) -> Option<i16> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits = digits.replace(':', "");
    let fits = digits.len() == 4 && digits.bytes().all(|octet| octet.is_ascii_digit());
    let number: i16 = digits.parse().ok().filter(|_| fits)?;
    let minutes = number / 100 * 60 + number % 100;
    (number % 100 < 60 && minutes <= 14 * 60).then_some(sign * minutes)
}

/// A number that may be absent.
fn optional(section: &mut Section<'_, '_>, key: &'static str, most: u64) -> Option<u64> {
    let mut number = 0;
    let given = section.has(key);
    section.number(key, 0..=most, &mut number);
    given.then_some(number)
}

/// `true`, `false`, or not asked.
fn switch(section: &mut Section<'_, '_>, key: &'static str) -> Option<bool> {
    let mut flag = false;
    let given = section.has(key);
    section.flag(key, &mut flag);
    given.then_some(flag)
}

/// A list of patterns, none empty.
fn patterns(section: &mut Section<'_, '_>, key: &'static str) -> Vec<Box<str>> {
    let texts = section.texts(key).unwrap_or_default();
    for text in texts.iter().filter(|text| text.value.is_empty() || text.value.len() > 400) {
        section.wrong(key, text.start, "a pattern has 1 to 400 octets");
    }
    texts.into_iter().map(|text| text.value.into()).collect()
}
