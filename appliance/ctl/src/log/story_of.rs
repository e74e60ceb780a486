//! The story of a row of the mail log.

use sekisho_core::maillog::{DeliveryRow, EventRow};

use crate::story::{End, Hit, Lang, Stage, Story, end, hit, score, took};

/// Rules that the last sentence names.
const HEAVIEST_MAX: usize = 3;

/// Tells it, with the events of the same recipient.
pub(super) fn row(row: &DeliveryRow, events: &[&EventRow], lang: Lang) -> Story {
    let mut story = Story::new(lang);
    let micros =
        |stage: &str| row.times.iter().find(|time| time.stage == stage).map(|time| time.micros);
    let told = story.stage(Stage::Connect, None);
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
    told.line(match row.classification == "Virus" {
        true => lang.of("malware was found", "ウイルスを検出しました"),
        false => lang.of("no malware was found", "ウイルスは検出されませんでした"),
    });
    for one in &row.engines {
        told.line(format!("engine {}: {} ({})", one.name, one.said, took(one.micros)));
    }
    for one in &row.removed {
        told.line(lang.of(format!("taken out: {one}"), format!("取り除いた部分: {one}")));
    }
    let told = story.stage(Stage::Spam, None);
    for one in &row.rules {
        let (rule, detail, points) = (&*one.name, &*one.detail, one.points);
        told.line(hit(lang, &Hit { rule, points, counted: true, detail, excerpt: None }));
    }
    if row.rules.is_empty() {
        told.line(lang.of("no rule hit", "該当するルールはありません"));
    }
    decision(row, events, &mut story, micros("verdict"), lang);
    story
}

fn decision(
    row: &DeliveryRow,
    events: &[&EventRow],
    story: &mut Story,
    micros: Option<u64>,
    lang: Lang,
) {
    let told = story.stage(Stage::Decide, micros);
    let (class, total) = (&row.classification, score(row.points));
    told.line(lang.of(
        format!("class {class}, score {total}, likelihood {}", row.likelihood),
        format!("分類 {class}、スコア {total}、確度 {}", row.likelihood),
    ));
    let own = events.iter().filter(|event| event.address == row.address);
    let mut asked: Option<(&EventRow, &str)> = None;
    for event in own.filter(|event| event.by.is_empty()) {
        // The memo names the rule, the condition says what it saw (IIJ-74); a standard rule is the name of a setting.
        let (rule, action) = (&event.memo, &event.action);
        let (reason, setting) =
            event.action_details.split_once(" by ").unwrap_or((&event.action_details, ""));
        let name = if setting.is_empty() { rule } else { setting };
        let mut saw = String::new();
        for more in [rule, &event.condition].into_iter().filter(|more| **more != name) {
            saw.push_str(&format!("; {more}"));
        }
        told.line(lang.of(
            format!("`{name}` asks for {action}, reason {reason}{saw}"),
            format!("「{name}」の動作: {action}、理由: {reason}{saw}"),
        ));
        let without_effect = rule.ends_with("(log only)") || rule.contains(" (bypassed by ");
        let decides = !without_effect && reason == row.reason;
        if decides && asked.is_none() {
            asked = Some((event, name));
        }
    }
    // "held as ..." says it already.
    let status = if row.reply.starts_with(&row.status) { "" } else { &row.status };
    let outcome = format!("{status} {}", row.reply);
    told.line(lang.of(format!("outcome: {}", outcome.trim()), format!("結果: {}", outcome.trim())));
    let mut heaviest: Vec<(&str, i32)> =
        row.rules.iter().filter(|one| one.points > 0).map(|one| (&*one.name, one.points)).collect();
    heaviest.sort_by_key(|(_, points)| std::cmp::Reverse(*points));
    heaviest.truncate(HEAVIEST_MAX);
    let first = row.rules.first();
    let action = match (row.status_class.as_str(), asked.map(|(event, _)| event.action.as_str())) {
        (_, Some(action)) => action,
        ("held", None) => "quarantine",
        ("dropped", None) => "drop",
        ("permanent" | "temporary", None) if row.action == "Rejected" => "reject",
        _ => "deliver",
    };
    let end_of = End {
        action,
        delivers: row.action == "Deliver",
        class,
        asked_by: asked.map_or("", |(_, name)| name),
        rule: first.map_or("", |one| &one.name),
        detail: first.map_or("", |one| &one.detail),
        entry: row.list_entry.split_once(": ").map_or("", |(_, entry)| entry),
        points: row.points,
        heaviest: &heaviest,
        ..End::default()
    };
    story.end = end(lang, &end_of);
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
        let told = row(&row_of, &[&other, &ours], Lang::En).to_json();
        assert!(told["end"].as_str().unwrap().starts_with("Held (class Virus) because malware"));
        let text = told.to_string();
        assert!(text.contains("engine clamav: found A (900 us)"), "{text}");
        assert_eq!(text.matches("asks for quarantine").count(), 1, "of this recipient only");
        let japanese = row(&row_of, &[&ours], Lang::Ja);
        assert!(japanese.end.starts_with("隔離されます"), "{}", japanese.end);
    }
}
