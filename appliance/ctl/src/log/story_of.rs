//! The story of a row of the mail log.

use sekisho_core::maillog::{DeliveryRow, EventRow};
use sekisho_core::quarantine::MatchedRule;
use sekisho_core::scan::finding::split_place;

use crate::story::told as story_told;
use crate::story::{Descriptions, End, Hit, Lang, Stage, Story, end, hit, score, took, words};

/// Rules that the last sentence names.
const HEAVIEST_MAX: usize = 3;
/// Actions that keep a mail from being delivered.
const STOPS: [&str; 4] = ["quarantine", "quarantine_hidden", "reject", "drop"];

/// Tells it, with the events of the same recipient.
pub(super) fn row(
    row: &DeliveryRow,
    events: &[&EventRow],
    (lang, described): (Lang, &Descriptions),
) -> Story {
    let mut story = Story::new(lang);
    let micros =
        |stage: &str| row.times.iter().find(|time| time.stage == stage).map(|time| time.micros);
    let told = story.stage(Stage::Connect, micros("connect"));
    let client = row.source_address.map_or_else(|| "?".to_owned(), |address| address.to_string());
    let (helo, from, to) = (&row.helo, &row.from, &row.to);
    told.line(lang.of(
        format!("brought by {client}, which called itself {helo}"),
        format!("接続元 {client}（HELO: {helo}）"),
    ));
    told.line(lang.of(
        format!("envelope from <{from}> to {to}"),
        format!("エンベロープ: 送信者 <{from}>、宛先 {to}"),
    ));
    story.stage(Stage::Lists, None).line(match row.list_entry.as_str() {
        "" => lang.of("no entry applies", "該当する登録はありません"),
        entry => entry.to_owned(),
    });
    let told = story.stage(Stage::Parse, micros("read"));
    told.line(lang.of(
        format!("From: {}; Subject: {}", row.author, row.subject),
        format!("差出人: {}、件名: {}", row.author, row.subject),
    ));
    for one in &row.attachments {
        told.line(lang.of(
            format!("attachment {}: {}, {} octets", one.name, one.mime, one.bytes),
            format!("添付 {}: {}、{} バイト", one.name, one.mime, one.bytes),
        ));
    }
    let told = story.stage(Stage::Sender, micros("sender"));
    if row.auth.is_empty() {
        told.line(lang.of("not checked", "未確認"));
    }
    for one in &row.auth {
        told.line(format!("{}: {} {}", one.method, one.result, one.detail).trim_end());
    }
    let told = story.stage(Stage::Virus, micros("content"));
    told.virus(lang, scan(row));
    for one in &row.engines {
        told.line(format!("engine {}: {} ({})", one.name, one.said, took(one.micros)));
    }
    for one in &row.removed {
        told.line(lang.of(format!("taken out: {one}"), format!("取り除いた部分: {one}")));
    }
    story.stage(Stage::Spam, None);
    for one in &row.rules {
        let (detail, excerpt) = split_place(&one.detail);
        let described = described.of_rule(&one.name);
        let (rule, points, counted) = (&*one.name, one.points, !one.not_counted);
        let line = hit(lang, &Hit { rule, points, counted, detail, described, excerpt });
        story.stage(Stage::of(&one.stage), None).line(line);
    }
    if row.rules.is_empty() {
        let none = lang.of("no rule hit", "該当するルールはありません");
        story.stage(Stage::Spam, None).line(none);
    }
    let times = (micros("verdict"), micros("delivery"));
    decision((row, events), &mut story, times, (lang, described));
    story
}

/// Whether malware was found, and whether a part of the mail could not be read.
fn scan(row: &DeliveryRow) -> (bool, bool) {
    let of_scan = || row.rules.iter().filter(|one| &*one.stage == "virus");
    let unread = |one: &&MatchedRule| {
        let marks = ["SCAN_", "SCANNER_", "AUTH_UNREADABLE", "Heuristics."];
        marks.iter().any(|mark| one.name.starts_with(mark))
    };
    let has_virus = row.classification == "Virus" || of_scan().any(|one| !unread(&one));
    // Rows of before do not say which stage a rule is of.
    let old = ["SCAN_LIMIT", "SCAN_MALFORMED", "SCAN_ENCRYPTED", "SCAN_NOT_READ"];
    let is_partial =
        of_scan().any(|one| unread(&one)) || row.rules.iter().any(|one| old.contains(&&*one.name));
    (has_virus, is_partial)
}

fn decision(
    (row, events): (&DeliveryRow, &[&EventRow]),
    story: &mut Story,
    (micros, delivery): (Option<u64>, Option<u64>),
    (lang, described): (Lang, &Descriptions),
) {
    let told = story.stage(Stage::Decide, micros);
    let (class, total) = (&row.classification, score(row.points));
    told.line(lang.of(
        format!("class {class}, score {total}, likelihood {}", row.likelihood),
        format!("分類 {class}、スコア {total}、確度 {}", row.likelihood),
    ));
    let own = events.iter().filter(|event| event.address == row.address);
    let mut asked: Option<(&EventRow, &str)> = None;
    let mut stopped_by = Vec::new();
    for event in own.filter(|event| event.by.is_empty()) {
        // The memo names the rule, the condition says what it saw (IIJ-74); a standard rule is the name of a setting.
        let (rule, action) = (&event.memo, &event.action);
        let (reason, setting) =
            event.action_details.split_once(" by ").unwrap_or((&event.action_details, ""));
        let name = if setting.is_empty() { rule } else { setting };
        let mut saw = String::new();
        for more in [rule, &event.condition].into_iter().filter(|more| **more != name) {
            saw.push_str(&format!("; {}", words::condition(lang, more)));
        }
        let does = words::action(lang, action);
        told.line(lang.of(
            format!("`{name}` asks for {does}, reason {reason}{saw}"),
            format!("「{name}」の動作: {does}、理由: {reason}{saw}"),
        ));
        let without_effect = rule.ends_with("(log only)") || rule.contains(" (bypassed by ");
        if !without_effect && STOPS.contains(&action.as_str()) {
            stopped_by.push(name);
        }
        let decides = !without_effect && reason == row.reason;
        if decides && asked.is_none() {
            asked = Some((event, name));
        }
    }
    // "held as ..." says it already.
    let status = if row.reply.starts_with(&row.status) { "" } else { &row.status };
    let outcome = format!("{status} {}", row.reply);
    let outcome = match delivery {
        Some(micros) => format!("{} ({})", outcome.trim(), took(micros)),
        None => outcome.trim().to_owned(),
    };
    told.line(lang.of(format!("outcome: {outcome}"), format!("結果: {outcome}")));
    let counted = |one: &&MatchedRule| one.points > 0 && !one.not_counted;
    let mut heaviest: Vec<(&str, i32)> =
        row.rules.iter().filter(counted).map(|one| (&*one.name, one.points)).collect();
    heaviest.sort_by_key(|(_, points)| std::cmp::Reverse(*points));
    heaviest.truncate(HEAVIEST_MAX);
    // The condition of the event is the rule that was the evidence, where it is one.
    let evidence =
        asked.and_then(|(event, _)| row.rules.iter().find(|one| *one.name == *event.condition));
    let first = evidence.or_else(|| row.rules.first());
    let rule = first.map_or("", |one| &one.name);
    let detail = first.map_or("", |one| &one.detail);
    let detail = story_told(lang, rule, detail, described.of_rule(rule));
    let action = asked.map_or_else(|| done_to(row), |(event, _)| &event.action);
    let asked_by = asked.map_or("", |(_, name)| name);
    let end_of = End {
        action,
        delivers: row.action == "Deliver",
        class,
        asked_by,
        besides: stopped_by.iter().find(|name| **name != asked_by).unwrap_or(&""),
        rule,
        detail: &detail,
        entry: row.list_entry.split_once(": ").map_or("", |(_, entry)| entry),
        points: row.points,
        heaviest: &heaviest,
        ..End::default()
    };
    story.end = end(lang, &end_of);
}

/// Key of what became of a row that no event is about.
fn done_to(row: &DeliveryRow) -> &'static str {
    match row.status_class.as_str() {
        "held" => "quarantine",
        "dropped" => "drop",
        "permanent" | "temporary" if row.action == "Rejected" => "reject",
        _ => "deliver",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sekisho_core::maillog::{EngineSaid, StageTime};

    #[test]
    fn a_row_and_its_events_tell_what_was_found_by_whom_and_which_setting_decided() {
        let row_of = DeliveryRow {
            to: "user@demo.test".into(),
            address: "user@demo.test".into(),
            status: "held".into(),
            status_class: "held".into(),
            classification: "Virus".into(),
            reason: "malware".into(),
            action: "Quarantine".into(),
            engines: vec![EngineSaid {
                name: "clamav".into(),
                said: "found A".into(),
                micros: 900,
            }],
            times: vec![StageTime { stage: "content".into(), micros: 1_500 }],
            ..DeliveryRow::default()
        };
        let event = |address: &str| EventRow {
            address: address.into(),
            memo: "virus.in".into(),
            condition: "A".into(),
            action: "quarantine".into(),
            action_details: "malware".into(),
            ..EventRow::default()
        };
        let (ours, other) = (event("user@demo.test"), event("other@demo.test"));
        let told = row(&row_of, &[&other, &ours], (Lang::En, &Descriptions::default())).to_json();
        assert!(told["end"].as_str().unwrap().starts_with("Held (class Virus) because malware"));
        let text = told.to_string();
        assert!(text.contains("engine clamav: found A (900 us)"), "{text}");
        assert_eq!(text.matches("asks for quarantine").count(), 1, "of this recipient only");
        let japanese = row(&row_of, &[&ours], (Lang::Ja, &Descriptions::default()));
        assert!(japanese.end.starts_with("隔離されます"), "{}", japanese.end);
    }

    #[test]
    fn rules_stand_at_their_stages_and_those_of_an_allowed_sender_are_not_told_as_if_they_counted()
    {
        let rule = |name: &str, stage: &str, detail: &str| MatchedRule {
            name: name.into(),
            stage: stage.into(),
            detail: detail.into(),
            ..MatchedRule::default()
        };
        let spam = MatchedRule {
            points: 9_000,
            not_counted: true,
            ..rule("SPAMMY", "", "words; found in body: a [b] c")
        };
        let row_of = DeliveryRow {
            status_class: "success".into(),
            classification: "Whitelisted".into(),
            action: "Deliver".into(),
            rules: vec![
                spam,
                rule("SCAN_ENCRYPTED", "virus", "2: a.zip"),
                rule("ATTACH_DANGEROUS", "content", "x.exe"),
                rule("ATTACH_DANGEROUS", "content", "y.exe"),
            ],
            times: vec![StageTime { stage: "delivery".into(), micros: 2_000 }],
            ..DeliveryRow::default()
        };
        let told = row(&row_of, &[], (Lang::En, &Descriptions::default())).to_json();
        let lines = |stage: &str| {
            let stages = told["stages"].as_array().unwrap();
            stages.iter().find(|one| one["stage"] == stage).unwrap()["lines"].to_string()
        };
        assert!(
            lines("spam")
                .contains("SPAMMY (9 points): words; found in body: a [b] c (not counted)"),
            "{told}"
        );
        assert!(lines("virus").contains("not all of it could"), "never clean: {told}");
        assert!(lines("content").contains("x.exe") && lines("content").contains("y.exe"), "{told}");
        assert!(lines("decide").contains("(2.0 ms)"), "{told}");
    }
}
