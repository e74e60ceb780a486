//! What can be asked of a mail: TM-09 and IIJ's filters.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Addresses, AttachmentFact, Facts, glob, is_default};
use crate::clock::UnixMillis;
use crate::envelope::Mailbox;
use crate::scan::content::Expression;
use crate::scan::finding::MilliPoints;
use crate::scan::{as_saved, shows};
use crate::verdict::{AuthMethod, AuthOutcome, Likelihood, MainClass, Reason, Verdict};

/// How conditions are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// All of them must hold.
    #[default]
    All,
    /// One is enough.
    Any,
}

/// One header condition: some field of this name matches the pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeaderCondition {
    /// Field name, any case.
    pub name: Box<str>,
    /// Pattern (`*`, `?`, any case) over the decoded value.
    pub pattern: Box<str>,
}

/// Hours of some days, in one time zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TimeOfDay {
    /// Minute of the day from which on.
    pub from: u16,
    /// Minute of the day up to which, not included; before or at `from`: on the next day.
    pub to: u16,
    /// Days as bits, Monday is the lowest; the day on which the hours begin. 0 = every day.
    pub days: u8,
    /// Minutes east of Greenwich.
    pub offset: i16,
}

const DAY_MINUTES: i64 = 1440;

impl TimeOfDay {
    /// Whether it is then.
    #[must_use]
    pub fn contains(self, at: UnixMillis) -> bool {
        let minutes = i64::try_from(at.0 / 60_000).unwrap_or(i64::MAX / 2) + i64::from(self.offset);
        let (day, minute) = (minutes.div_euclid(DAY_MINUTES), minutes.rem_euclid(DAY_MINUTES));
        let (from, to) = (i64::from(self.from), i64::from(self.to));
        // 1 January 1970 was a Thursday.
        let on = |day: i64| {
            let weekday = (day + 3).rem_euclid(7);
            self.days == 0 || self.days >> weekday & 1 == 1
        };
        if from < to {
            return on(day) && (from..to).contains(&minute);
        }
        on(day) && minute >= from || on(day - 1) && minute < to
    }
}

/// Conditions of a rule. None set: every mail ("no criteria").
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// Whether all must hold or one is enough.
    #[serde(skip_serializing_if = "is_default")]
    pub combine: Combine,
    /// Main class is one of these; empty = any.
    #[serde(skip_serializing_if = "is_default")]
    pub classes: Vec<MainClass>,
    /// Reason of some evidence is one of these; empty = any.
    #[serde(skip_serializing_if = "is_default")]
    pub reasons: Vec<Reason>,
    /// Likelihood is one of these (IIJ-76); empty = any.
    #[serde(skip_serializing_if = "is_default")]
    pub likelihoods: Vec<Likelihood>,
    /// Score at least this.
    #[serde(skip_serializing_if = "is_default")]
    pub points_min: Option<MilliPoints>,
    /// Message larger than this many octets.
    #[serde(skip_serializing_if = "is_default")]
    pub larger_than_bytes: Option<u64>,
    /// More recipients in the envelope than this.
    #[serde(skip_serializing_if = "is_default")]
    pub recipients_more_than: Option<u32>,
    /// More attachments than this.
    #[serde(skip_serializing_if = "is_default")]
    pub attachments_more_than: Option<u32>,
    /// Some attachment larger than this many octets.
    #[serde(skip_serializing_if = "is_default")]
    pub attachment_larger_than_bytes: Option<u64>,
    /// Some attachment's name matches one of these patterns (`*.exe`).
    #[serde(skip_serializing_if = "is_default")]
    pub attachment_names: Vec<Box<str>>,
    /// Some attachment's declared or true type matches one of these patterns (`application/*`).
    #[serde(skip_serializing_if = "is_default")]
    pub attachment_types: Vec<Box<str>>,
    /// Some attachment's declared MIME type matches one of these patterns.
    #[serde(skip_serializing_if = "is_default")]
    pub attachment_mime: Vec<Box<str>>,
    /// Some attachment's true type matches one of these patterns (`pe`, `ooxml*`).
    #[serde(skip_serializing_if = "is_default")]
    pub attachment_true_types: Vec<Box<str>>,
    /// Some attachment is password-protected, or none is.
    #[serde(skip_serializing_if = "is_default")]
    pub attachment_encrypted: Option<bool>,
    /// Some attachment has active content, or none has.
    #[serde(skip_serializing_if = "is_default")]
    pub attachment_active: Option<bool>,
    /// Some attachment is of a kind that is dangerous to open, or none is.
    #[serde(skip_serializing_if = "is_default")]
    pub high_risk: Option<bool>,
    /// The reverse-path is `<>`, or is not.
    #[serde(skip_serializing_if = "is_default")]
    pub envelope_from_blank: Option<bool>,
    /// No author is the reverse-path, or one is.
    #[serde(skip_serializing_if = "is_default")]
    pub from_differs_from_envelope: Option<bool>,
    /// No address of Reply-To is an author, or one is; does not hold without Reply-To.
    #[serde(skip_serializing_if = "is_default")]
    pub from_differs_from_reply_to: Option<bool>,
    /// The Subject is blank or missing, or is not.
    #[serde(skip_serializing_if = "is_default")]
    pub subject_blank: Option<bool>,
    /// No text part shows anything, or one does.
    #[serde(skip_serializing_if = "is_default")]
    pub body_blank: Option<bool>,
    /// Every one of these header conditions holds.
    #[serde(skip_serializing_if = "is_default")]
    pub headers: Vec<HeaderCondition>,
    /// Every one of these is in the texts of the mail.
    #[serde(skip_serializing_if = "is_default")]
    pub content: Vec<Expression>,
    /// Reverse-path or author is one of these.
    #[serde(skip_serializing_if = "is_default")]
    pub senders: Addresses,
    /// Client's address is in one of these.
    #[serde(skip_serializing_if = "is_default")]
    pub clients: Vec<IpNet>,
    /// Some check of the sender had one of these results.
    #[serde(skip_serializing_if = "is_default")]
    pub auth: Vec<(AuthMethod, AuthOutcome)>,
    /// It arrived then.
    #[serde(skip_serializing_if = "is_default")]
    pub time: Option<TimeOfDay>,
}

/// The answer to one condition: what of the mail it was.
type Held = Option<String>;

impl Conditions {
    /// What of the mail fulfils them, in words for the log; nothing if it does not.
    #[must_use]
    pub fn matches(&self, verdict: &Verdict, facts: &Facts<'_>) -> Option<String> {
        let mut answers: Vec<Held> = Vec::new();
        self.of_verdict(verdict, &mut answers);
        self.of_envelope(facts, &mut answers);
        self.of_attachments(facts, &mut answers);
        self.of_texts(facts, &mut answers);
        let asked = answers.len();
        let held: Vec<String> = answers.into_iter().flatten().collect();
        let fulfilled = match self.combine {
            Combine::All => held.len() == asked,
            Combine::Any => asked == 0 || !held.is_empty(),
        };
        fulfilled.then(|| held.join("; "))
    }

    fn of_verdict(&self, verdict: &Verdict, out: &mut Vec<Held>) {
        if !self.classes.is_empty() {
            let class = verdict.main_class;
            let known = self.classes.contains(&class);
            out.push(known.then(|| class.name().to_owned()));
        }
        if !self.reasons.is_empty() {
            let named = |reason: &Reason| self.reasons.contains(reason);
            let found = verdict.detections.iter().map(|found| found.reason).find(named);
            out.push(found.map(|reason| reason.key().to_owned()));
        }
        if !self.likelihoods.is_empty() {
            let likelihood = verdict.likelihood;
            let known = self.likelihoods.contains(&likelihood);
            out.push(known.then(|| likelihood.name().to_owned()));
        }
        if let Some(least) = self.points_min {
            let over = verdict.points >= least;
            out.push(over.then(|| format!("points {}", verdict.points)));
        }
    }

    fn of_envelope(&self, facts: &Facts<'_>, out: &mut Vec<Held>) {
        let mut over = |limit: Option<u64>, value: u64, what: &str| {
            if let Some(limit) = limit {
                out.push((value > limit).then(|| format!("{what} {value} > {limit}")));
            }
        };
        over(self.larger_than_bytes, facts.message_bytes, "size");
        let recipients = u64::from(facts.recipients);
        over(self.recipients_more_than.map(u64::from), recipients, "recipients");
        let attachments = u64::from(facts.attachments_count);
        over(self.attachments_more_than.map(u64::from), attachments, "attachments");
        let mut is = |wanted: Option<bool>, value: bool, (yes, no): (&str, &str)| {
            if let Some(wanted) = wanted {
                out.push((value == wanted).then(|| if wanted { yes } else { no }.to_owned()));
            }
        };
        let words = ("blank envelope sender", "envelope sender not blank");
        is(self.envelope_from_blank, facts.sender.is_none(), words);
        let differs = |one: &[Mailbox], other: &[Mailbox]| {
            !one.is_empty()
                && !other.is_empty()
                && !one.iter().any(|a| other.iter().any(|b| same(a, b)))
        };
        let sender: Vec<Mailbox> = facts.sender.cloned().into_iter().collect();
        let mismatch = differs(facts.authors, &sender);
        let words = (
            "header sender differs from envelope sender",
            "header sender does not differ from envelope sender",
        );
        is(self.from_differs_from_envelope, mismatch, words);
        let mismatch = differs(facts.authors, facts.reply_to);
        let words =
            ("header sender differs from Reply-To", "header sender does not differ from Reply-To");
        is(self.from_differs_from_reply_to, mismatch, words);
        if !self.senders.is_unsaid() {
            let known = facts.sent_by(&self.senders);
            out.push(known.then(|| "sender in the list".to_owned()));
        }
        if !self.clients.is_empty() {
            let client = facts.client.map(|client| client.to_canonical());
            let net =
                client.and_then(|client| self.clients.iter().find(|net| net.contains(&client)));
            out.push(net.map(|net| format!("client in {net}")));
        }
        if !self.auth.is_empty() {
            let named = |one: &&crate::verdict::AuthEvidence| {
                self.auth.contains(&(one.method, one.outcome))
            };
            let found = facts.auth.iter().find(named);
            out.push(found.map(|one| format!("{}.{}", one.method.key(), one.outcome.key())));
        }
        if let Some(time) = self.time {
            out.push(time.contains(facts.at).then(|| "time of day".to_owned()));
        }
    }

    fn of_attachments(&self, facts: &Facts<'_>, out: &mut Vec<Held>) {
        for asked in self.attachment_questions() {
            let found = facts.attachments.iter().find(|one| asked.holds(one));
            let name = |one| shown(asked.name_of(one));
            out.push(found.map(|one| format!("attachment {} {}", asked.word(), name(one))));
        }
        let mut is =
            |wanted: Option<bool>, value: Option<&AttachmentFact>, (yes, no): (&str, &str)| {
                let Some(wanted) = wanted else { return };
                let told = value.map(|one| format!("{yes} {}", shown(&one.name)));
                let told = told.map_or_else(|| no.to_owned(), |told| told.trim_end().to_owned());
                out.push((value.is_some() == wanted).then_some(told));
            };
        let encrypted = facts.attachments.iter().find(|one| one.encrypted);
        let words = ("attachment password-protected", "no attachment password-protected");
        is(self.attachment_encrypted, encrypted, words);
        let active = facts.attachments.iter().find(|one| one.active);
        let words = ("attachment with active content", "no attachment with active content");
        is(self.attachment_active, active, words);
        if let Some(wanted) = self.high_risk {
            let told = if wanted { "high-risk attachment" } else { "no high-risk attachment" };
            out.push((facts.high_risk == wanted).then(|| told.to_owned()));
        }
    }

    fn of_texts(&self, facts: &Facts<'_>, out: &mut Vec<Held>) {
        if let Some(wanted) = self.subject_blank {
            let blank = facts.field("subject").is_none_or(|value| !shows(value));
            let told = if wanted { "blank subject" } else { "subject not blank" };
            out.push((blank == wanted).then(|| told.to_owned()));
        }
        if let Some(wanted) = self.body_blank {
            let told = if wanted { "blank body" } else { "body not blank" };
            out.push((facts.body_blank == wanted).then(|| told.to_owned()));
        }
        for condition in &self.headers {
            let named = |(name, value): &&(&str, &str)| {
                name.eq_ignore_ascii_case(&condition.name) && glob(&condition.pattern, value)
            };
            let found = facts.headers.iter().find(named);
            out.push(found.map(|(name, value)| format!("header {name}: {}", shown(value))));
        }
        for expression in &self.content {
            let found = facts.content.iter().find(|hit| hit.id == expression.id);
            out.push(found.map(|hit| format!("{}: {} x{}", hit.place, hit.excerpt, hit.count)));
        }
    }

    /// Whether it has a condition on attachments (reason `attachment` rather than `content`). That one acts when it is
    /// opened is one on content: TM-09.
    #[must_use]
    pub fn is_about_attachments(&self) -> bool {
        self.names_attachments()
            || self.attachments_more_than.is_some()
            || self.larger_than_bytes.is_some()
            || self.high_risk.is_some()
    }

    fn names_attachments(&self) -> bool {
        !self.attachment_names.is_empty()
            || !self.attachment_types.is_empty()
            || !self.attachment_mime.is_empty()
            || !self.attachment_true_types.is_empty()
            || self.attachment_larger_than_bytes.is_some()
            || self.attachment_encrypted.is_some()
    }

    /// Whether this attachment is one that the conditions are about: what `delete_attachments` takes out.
    #[must_use]
    pub fn is_meant(&self, attachment: &AttachmentFact) -> bool {
        self.attachment_questions().any(|asked| asked.holds(attachment))
            || self.attachment_encrypted == Some(true) && attachment.encrypted
            || self.attachment_active == Some(true) && attachment.active
    }

    fn attachment_questions(&self) -> impl Iterator<Item = Asked<'_>> {
        let lists = [
            Asked::Name(&self.attachment_names),
            Asked::Type(&self.attachment_types),
            Asked::Mime(&self.attachment_mime),
            Asked::TrueType(&self.attachment_true_types),
        ];
        lists
            .into_iter()
            .filter(|asked| asked.is_asked())
            .chain(self.attachment_larger_than_bytes.map(Asked::LargerThan))
    }
}

/// One question about each attachment.
#[derive(Clone, Copy)]
enum Asked<'c> {
    Name(&'c [Box<str>]),
    Type(&'c [Box<str>]),
    Mime(&'c [Box<str>]),
    TrueType(&'c [Box<str>]),
    LargerThan(u64),
}

impl Asked<'_> {
    fn is_asked(self) -> bool {
        match self {
            Self::Name(list) | Self::Type(list) | Self::Mime(list) | Self::TrueType(list) => {
                !list.is_empty()
            }
            Self::LargerThan(_) => true,
        }
    }

    fn holds(self, attachment: &AttachmentFact) -> bool {
        match self {
            Self::Name(patterns) => attachment.names().any(|name| is_named(patterns, name)),
            Self::Type(patterns) => {
                any(patterns, &attachment.content_type) || any(patterns, &attachment.true_type)
            }
            Self::Mime(patterns) => any(patterns, &attachment.content_type),
            Self::TrueType(patterns) => any(patterns, &attachment.true_type),
            Self::LargerThan(limit) => attachment.bytes > limit,
        }
    }

    /// The name that it is asked for by, of an attachment that it holds for.
    fn name_of(self, attachment: &AttachmentFact) -> &str {
        match self {
            Self::Name(patterns) => attachment.names().find(|name| is_named(patterns, name)),
            Self::Type(_) | Self::Mime(_) | Self::TrueType(_) | Self::LargerThan(_) => None,
        }
        .unwrap_or(&attachment.name)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Name(_) => "name",
            Self::Type(_) => "type",
            Self::Mime(_) => "MIME type",
            Self::TrueType(_) => "true type",
            Self::LargerThan(_) => "size",
        }
    }
}

fn any(patterns: &[Box<str>], text: &str) -> bool {
    patterns.iter().any(|pattern| glob(pattern, text))
}

/// Whether a pattern means this file name, as it is written or as it is saved.
fn is_named(patterns: &[Box<str>], name: &str) -> bool {
    any(patterns, name) || any(patterns, &as_saved(name))
}

/// The same mailbox, as rules mean it.
fn same(one: &Mailbox, other: &Mailbox) -> bool {
    one.domain.eq_ignore_ascii_case(&other.domain)
        && one.local_part.to_lowercase() == other.local_part.to_lowercase()
}

/// The beginning of what a sender wrote, for the log.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
