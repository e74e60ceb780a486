//! What `check` prints of a file: a line for each thing that scripts look for, then the story; or one object.

use sekisho_core::policy::NoticeTo;
use sekisho_core::scan::finding::{Finding, split_place};
use sekisho_core::verdict;
use serde_json::json;

use super::{Judged, decide, story};
use crate::output::{self, shown};
use crate::quarantine::points;

pub(super) fn show(judged: &Judged, json: bool) {
    if json {
        output::json(&to_json(judged));
        return;
    }
    let Judged { verdict, decision, sender, .. } = judged;
    let line = |name: &str, value: String| output::data(format_args!("{name}\t{value}"));
    line("file", judged.file.display().to_string());
    if let Some(client) = sender.client {
        line("client", format!("{client} {}", shown(sender.helo.as_deref().unwrap_or_default())));
    }
    if let Some(path) = &sender.reverse_path {
        line("from", shown(&path.to_string()));
    }
    let sub_class = verdict.sub_class.as_deref().unwrap_or_default();
    line("class", format!("{} {sub_class}", verdict.main_class.name()).trim_end().to_owned());
    line("reason", verdict.reason.map_or("none", verdict::Reason::key).to_owned());
    line("likelihood", verdict.likelihood.name().to_owned());
    line("points", points(verdict.points));
    line("action", decision.action.key().to_owned());
    for ask in &decision.notices {
        line("notice", format!("{} to {} by {}", ask.template, told(&ask.to), shown(&ask.rule)));
    }
    let mut parts: Vec<_> = judged.parts().collect();
    parts.sort_by_key(|(one, _)| std::cmp::Reverse(one.points.abs()));
    for (one, found) in parts {
        let counted = if one.counted { "" } else { " (not counted)" };
        let detail = detail(found);
        line("rule", format!("{} {}{counted} {detail}", points(one.points), one.rule));
    }
    for (text, share) in &judged.words {
        line("word", format!("{} {}", points(*share), shown(text)));
    }
    for matched in &decision.matched {
        line("matched", shown(&decide::told(matched)));
    }
    for detection in &verdict.detections {
        line("detection", format!("{} by {}", detection.reason.key(), shown(&detection.rule)));
    }
    if judged.checked.not_asked.is_none() {
        for (method, result, detail) in story::results(&judged.checked.authentication) {
            line("auth", format!("{method}={result} {}", shown(&detail)).trim_end().to_owned());
        }
    }
    for one in &judged.examination.scanned {
        line("engine", format!("{} {}", one.name, shown(&one.said)));
    }
    output::data("");
    story::of(judged, judged.lang).print();
}

/// Who gets a notice, in a word.
fn told(to: &NoticeTo) -> String {
    match to {
        NoticeTo::Sender => "sender".to_owned(),
        NoticeTo::Recipient => "recipient".to_owned(),
        NoticeTo::Administrator => "administrator".to_owned(),
        NoticeTo::List(name) => format!("list {}", shown(name)),
    }
}

/// What was found, without the place.
fn detail(found: Option<&Finding>) -> String {
    found.map(|finding| shown(split_place(&finding.detail).0)).unwrap_or_default()
}

pub(super) fn to_json(judged: &Judged) -> serde_json::Value {
    let Judged { verdict, decision, sender, .. } = judged;
    let contributions: Vec<_> = judged
        .parts()
        .map(|(one, found)| {
            let place = judged.place(&one.rule, found);
            json!({
                "rule": one.rule, "points": one.points, "counted": one.counted,
                "detail": detail(found),
                "place": place.map(|(place, _)| place), "excerpt": place.map(|(_, text)| text),
            })
        })
        .collect();
    let auth: Vec<_> = match judged.checked.not_asked {
        Some(_) => Vec::new(),
        None => story::results(&judged.checked.authentication),
    };
    let auth: Vec<_> = auth
        .into_iter()
        .map(|(method, result, detail)| json!({"method": method, "result": result, "detail": detail}))
        .collect();
    let words: Vec<_> =
        judged.words.iter().map(|(text, share)| json!({"word": text, "share": share})).collect();
    json!({
        "file": judged.file.display().to_string(),
        "client": sender.client,
        "helo": sender.helo,
        "from": sender.reverse_path.as_ref().map(ToString::to_string),
        "to": judged.recipient.as_ref().map(ToString::to_string),
        "class": verdict.main_class.name(),
        "sub_class": verdict.sub_class,
        "reason": verdict.reason.map(verdict::Reason::key),
        "likelihood": verdict.likelihood.name(),
        "points": verdict.points,
        "action": decision.action.key(),
        "delivers": decision.action.delivers(),
        "contributions": contributions,
        "auth": auth,
        "auth_evidence": judged.checked.not_asked.is_none().then(|| {
            let evidence = verdict::auth_evidence(&judged.checked.authentication);
            evidence.iter().map(|one| one.key()).collect::<Vec<_>>()
        }),
        "engines": judged.examination.scanned,
        "list_entry": verdict.list,
        "matched": decision.matched,
        "tag": decision.tag,
        "fields": decision.fields,
        "redirect": decision.redirect,
        "bcc": decision.bcc,
        "notices": decision.notices,
        "words": words,
        "story": story::of(judged, judged.lang).to_json(),
    })
}
