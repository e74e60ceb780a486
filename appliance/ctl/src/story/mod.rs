//! The story of one verdict, so that a help desk can read it aloud: what each stage looked at, what it found where, what it
//! took, and one sentence at the end. `check` tells it of a file, `log story` of a mail that came.

mod sentence;
pub(crate) mod words;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;

use clap::ValueEnum;
use sekisho_core::scan::patterns::rule::Rule;
use sekisho_core::scan::{NAMES, SIGNS};
use sekisho_core::tables::Snapshot;
use sekisho_core::verdict::AuthEvidence;
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
    const ALL: [Self; 8] = [
        Self::Connect,
        Self::Lists,
        Self::Parse,
        Self::Sender,
        Self::Virus,
        Self::Spam,
        Self::Content,
        Self::Decide,
    ];

    /// The stage of this key; that of the spam filter for none.
    pub(crate) fn of(key: &str) -> Self {
        Self::ALL.into_iter().find(|stage| stage.key() == key).unwrap_or(Self::Spam)
    }

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
            let took = told.micros.map(|micros| told.stage.took(self.lang, micros));
            let took = took.unwrap_or_default();
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

    /// Whether malware was found. What could not be read is never called clean.
    pub(crate) fn virus(&mut self, lang: Lang, (has_virus, is_partial): (bool, bool)) {
        self.line(match (has_virus, is_partial) {
            (true, _) => lang.of("malware was found", "ウイルスを検出しました"),
            (false, true) => lang.of(
                "no malware was found in what could be read; not all of it could",
                "読み取れた範囲ではウイルスは検出されませんでした（検査できない部分があります）",
            ),
            (false, false) => lang.of("no malware was found", "ウイルスは検出されませんでした"),
        });
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
    /// What the rule says of itself, in English and Japanese.
    pub(crate) described: Option<(&'h str, &'h str)>,
    /// Place and text, where they are known.
    pub(crate) excerpt: Option<(&'h str, &'h str)>,
}

/// What rules of the tables say of themselves, in English and Japanese, for a story in Japanese: findings are in English.
#[derive(Clone, Debug, Default)]
pub(crate) struct Descriptions(HashMap<String, (String, String)>);

impl Descriptions {
    /// Those of a generation; none for a story in English.
    pub(crate) fn of(tables: &Snapshot, lang: Lang) -> Self {
        let patterns = tables.generation().patterns().filter(|_| lang == Lang::Ja);
        let rules = patterns.map(|patterns| patterns.rules()).unwrap_or_default();
        let described = rules.iter().filter(|rule| !rule.describe_ja.is_empty());
        let words =
            |rule: &Rule| (rule.name.clone(), (rule.describe_en.clone(), rule.describe_ja.clone()));
        Self(described.map(words).collect())
    }

    pub(crate) fn of_rule(&self, rule: &str) -> Option<(&str, &str)> {
        self.0.get(rule).map(|(en, ja)| (en.as_str(), ja.as_str()))
    }
}

/// What a rule found, in the language of the story: it is logged in English, and every built-in name has words in both.
pub(crate) fn told<'d>(
    lang: Lang,
    rule: &str,
    detail: &'d str,
    described: Option<(&str, &str)>,
) -> Cow<'d, str> {
    let sign = SIGNS.iter().find(|sign| sign.name == rule).map(|sign| (sign.en, sign.ja));
    // Those say in their details what they are, before what they found.
    if let Some((en, ja)) = sign.or(described) {
        return match detail.strip_prefix(en).filter(|_| lang == Lang::Ja) {
            Some(found) => format!("{ja}{found}").into(),
            None => detail.into(),
        };
    }
    let named = NAMES.iter().find(|one| one.name == rule).map(|one| lang.of(one.en, one.ja));
    let named = named.or_else(|| {
        let [en, ja] = AuthEvidence::from_rule(rule)?.told();
        Some(lang.of(en, ja))
    });
    match named {
        Some(words) if detail.is_empty() => words.into(),
        Some(words) => format!("{words}: {detail}").into(),
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
    let said = told(lang, hit.rule, hit.detail, hit.described);
    if !said.is_empty() {
        let _ = write!(text, ": {said}");
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

impl Stage {
    /// What it took. Viruses, spam and content are looked for in one walk over the mail.
    fn took(self, lang: Lang, micros: u64) -> String {
        let time = took(micros);
        match self {
            Self::Virus => lang.of(
                format!(" ({time}, with spam and content)"),
                format!("（{time}、迷惑メール・内容の検査を含む）"),
            ),
            _ => format!(" ({time})"),
        }
    }
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
    fn what_a_name_says_is_told_in_the_language_of_the_story() {
        let of = |lang| told(lang, "NO_DATE", "No Date field: x", None).into_owned();
        assert_eq!(of(Lang::En), "No Date field: x");
        assert_eq!(of(Lang::Ja), "Date欄がない: x");
        assert_eq!(told(Lang::Ja, "OTHER", "No Date field", None), "No Date field");
        let rule = Some(("An offer", "特別な申し出"));
        assert_eq!(told(Lang::Ja, "OFFER", "An offer (3 times)", rule), "特別な申し出 (3 times)");
        assert_eq!(
            told(Lang::En, "ATTACH_DANGEROUS", "x.exe", None),
            "attachment that runs when it is opened: x.exe"
        );
        assert_eq!(
            told(Lang::Ja, "ATTACH_DANGEROUS", "x.exe", None),
            "開くと実行される添付ファイル: x.exe"
        );
        assert_eq!(told(Lang::Ja, "DMARC_REJECT", "", None), "DMARC: 失敗（ドメインは拒否を要求）");
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
