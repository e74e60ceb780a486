//! The story of one verdict, so that a help desk can read it aloud: what each stage looked at, what it found where, what it
//! took, and one sentence at the end. `check` tells it of a file, `log story` of a mail that came.

mod sentence;

use std::borrow::Cow;
use std::fmt::Write as _;

use clap::ValueEnum;
use sekisho_core::scan::SIGNS;
use serde_json::{Value, json};

use crate::output::{self, shown};
use crate::quarantine::points;

pub(crate) use sentence::{End, end};

/// Lines of one stage; what is more is counted.
const LINES_MAX: usize = 50;

/// Language of a story.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lang {
    /// English.
    #[default]
    En,
    /// Japanese.
    Ja,
}

impl Lang {
    /// The text in this language.
    pub(crate) fn of(self, en: impl Into<String>, ja: impl Into<String>) -> String {
        match self {
            Self::En => en.into(),
            Self::Ja => ja.into(),
        }
    }
}

/// Stages in the order of unified model 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Who brought it, from where.
    Connect,
    /// Entries that administrators and users wrote.
    Lists,
    /// What it consists of.
    Parse,
    /// Who really sent it.
    Sender,
    /// Malware, and what could not be scanned.
    Virus,
    /// The score.
    Spam,
    /// Attachments and content rules.
    Content,
    /// The verdict, and which setting or rule decides.
    Decide,
}

impl Stage {
    fn key(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Lists => "lists",
            Self::Parse => "parse",
            Self::Sender => "sender",
            Self::Virus => "virus",
            Self::Spam => "spam",
            Self::Content => "content",
            Self::Decide => "decide",
        }
    }

    fn title(self, lang: Lang) -> String {
        match self {
            Self::Connect => lang.of("Connection and envelope", "接続とエンベロープ"),
            Self::Lists => lang.of("Sender and recipient lists", "許可・拒否リスト"),
            Self::Parse => lang.of("Structure of the mail", "メールの構造"),
            Self::Sender => lang.of("Authentication of the sender", "送信者の認証"),
            Self::Virus => lang.of("Viruses", "ウイルス検査"),
            Self::Spam => lang.of("Spam and phishing", "迷惑メール・フィッシング判定"),
            Self::Content => lang.of("Attachments and content", "添付ファイルと内容"),
            Self::Decide => lang.of("Decision", "最終判定"),
        }
    }
}

/// What one stage did.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    stage: Stage,
    micros: Option<u64>,
    lines: Vec<String>,
    more: usize,
}

/// All of it.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    lang: Lang,
    told: Vec<Told>,
    /// The sentence at the end.
    pub(crate) end: String,
}

impl Story {
    pub(crate) fn new(lang: Lang) -> Self {
        Self { lang, told: Vec::new(), end: String::new() }
    }

    /// Begins a stage, or goes on with it.
    pub(crate) fn stage(&mut self, stage: Stage, micros: Option<u64>) -> &mut Told {
        let at = match self.told.iter().position(|told| told.stage == stage) {
            Some(at) => at,
            None => {
                let at = self.told.partition_point(|told| told.stage < stage);
                self.told.insert(at, Told { stage, micros, lines: Vec::new(), more: 0 });
                at
            }
        };
        #[expect(clippy::indexing_slicing, reason = "found or inserted above")]
        let told = &mut self.told[at];
        told.micros = micros.or(told.micros);
        told
    }

    /// For people, on stdout.
    pub(crate) fn print(&self) {
        for (number, told) in (1..).zip(&self.told) {
            let took = told.micros.map(|micros| format!(" ({})", took(micros))).unwrap_or_default();
            output::data(format_args!("{number}. {}{took}", told.stage.title(self.lang)));
            for line in told.all_lines(self.lang) {
                output::data(format_args!("   - {line}"));
            }
        }
        output::data(format_args!("=> {}", self.end));
    }

    pub(crate) fn to_json(&self) -> Value {
        let stages: Vec<Value> = self
            .told
            .iter()
            .map(|told| {
                json!({
                    "stage": told.stage.key(), "title": told.stage.title(self.lang),
                    "micros": told.micros, "lines": told.all_lines(self.lang),
                })
            })
            .collect();
        json!({ "stages": stages, "end": self.end })
    }
}

impl Told {
    /// Adds a sentence; texts of the mail in it are made safe to show.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) {
        if self.lines.len() < LINES_MAX {
            self.lines.push(shown(text.as_ref()));
        } else {
            self.more += 1;
        }
    }

    fn all_lines(&self, lang: Lang) -> Vec<String> {
        let mut lines = self.lines.clone();
        if self.more > 0 {
            let more = self.more;
            lines.push(lang.of(format!("and {more} more"), format!("ほか {more} 件")));
        }
        lines
    }
}

/// A rule that hit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hit<'h> {
    pub(crate) rule: &'h str,
    pub(crate) points: i32,
    pub(crate) counted: bool,
    pub(crate) detail: &'h str,
    /// Place and text, where they are known.
    pub(crate) excerpt: Option<(&'h str, &'h str)>,
}

/// What a sign found: it is logged in English, and each has a text in Japanese.
fn in_language<'d>(lang: Lang, rule: &str, detail: &'d str) -> Cow<'d, str> {
    let sign = SIGNS.iter().find(|sign| lang == Lang::Ja && sign.name == rule);
    match sign.and_then(|sign| Some((sign.ja, detail.strip_prefix(sign.en)?))) {
        Some((told, found)) => format!("{told}{found}").into(),
        None => detail.into(),
    }
}

/// One rule in a sentence.
pub(crate) fn hit(lang: Lang, hit: &Hit<'_>) -> String {
    let mut text = hit.rule.to_owned();
    if hit.points != 0 {
        let points = score(hit.points);
        let _ =
            write!(text, "{}", lang.of(format!(" ({points} points)"), format!("（{points} 点）")));
    }
    if !hit.detail.is_empty() {
        let _ = write!(text, ": {}", in_language(lang, hit.rule, hit.detail));
    }
    if let Some((place, found)) = hit.excerpt {
        let found = lang.of(
            format!("; found in {place}: {found}"),
            format!("。場所: {place}、該当箇所: {found}"),
        );
        text.push_str(&found);
    }
    if !hit.counted {
        text.push_str(&lang.of(" (not counted)", "（判定には使用せず）"));
    }
    text
}

/// Thousandths of points as people say them: `7.5`, `7`.
pub(crate) fn score(thousandths: i32) -> String {
    let text = points(thousandths);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Microseconds in a unit that people read.
pub(crate) fn took(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_is_told_in_the_language_of_the_story() {
        let told = |lang| in_language(lang, "NO_DATE", "No Date field: x").into_owned();
        assert_eq!(told(Lang::En), "No Date field: x");
        assert_eq!(told(Lang::Ja), "Date欄がない: x");
        assert_eq!(in_language(Lang::Ja, "OTHER", "No Date field"), "No Date field");
    }

    #[test]
    fn stages_stand_in_the_order_of_the_mails_way_and_lines_have_a_bound() {
        let mut story = Story::new(Lang::En);
        story.stage(Stage::Decide, None).line("last");
        story.stage(Stage::Connect, Some(1_234)).line("a\u{1b}[2J");
        for number in 0..60 {
            story.stage(Stage::Spam, None).line(number.to_string());
        }
        let told = story.to_json();
        let stages: Vec<_> =
            told["stages"].as_array().unwrap().iter().map(|one| one["stage"].clone()).collect();
        assert_eq!(stages, ["connect", "spam", "decide"]);
        assert_eq!(told["stages"][0]["lines"][0], "a\\u{1b}[2J", "safe to show");
        let lines = told["stages"][1]["lines"].as_array().unwrap();
        assert_eq!((lines.len(), &lines[50]), (51, &json!("and 10 more")));
        assert_eq!(took(1_234), "1.2 ms");
    }
}
