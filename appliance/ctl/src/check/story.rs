//! The story of a file that was judged.

use sekisho_core::authn::{AuthResult, Authentication};
use sekisho_core::policy::{Decision, DomainSettings, ListDecision, MatchedRule, SentTo};
use sekisho_core::scan::finding::{Finding, split_place};
use sekisho_core::verdict::{Contribution, DetectionKind};

use super::Judged;
use super::world::NotAsked;
use crate::story::{End, Hit, Lang, Stage, Story, end, hit, score, told, words};

/// Rules that the last sentence names.
const HEAVIEST_MAX: usize = 3;

/// Tells it.
pub(super) fn of(judged: &Judged, lang: Lang) -> Story {
    let mut story = Story::new(lang);
    connect(judged, &mut story);
    lists(judged, &mut story);
    parse(judged, &mut story);
    sender(judged, &mut story);
    for (contribution, found) in judged.parts() {
        // What is no finding is a result about the sender.
        let stage = found.map_or(Stage::Sender, |found| Stage::of(found.kind.stage()));
        story.stage(stage, None).line(rule(judged, (contribution, found), lang));
    }
    viruses(judged, &mut story);
    decision(judged, &mut story);
    story
}

fn connect(judged: &Judged, story: &mut Story) {
    let lang = judged.lang;
    let sender = &judged.sender;
    let told = story.stage(Stage::Connect, None);
    told.line(match sender.client {
        Some(client) => {
            let helo = sender.helo.as_deref().unwrap_or("?");
            lang.of(
                format!("brought by {client}, which called itself {helo}"),
                format!("接続元 {client}（HELO: {helo}）"),
            )
        }
        None => lang.of("brought by an unknown client", "接続元は不明"),
    });
    let from = sender.reverse_path.as_ref().map_or_else(|| "<>".to_owned(), ToString::to_string);
    let to = judged.recipient.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string);
    told.line(lang.of(
        format!("envelope from {from} to {to}"),
        format!("エンベロープ: 送信者 {from}、宛先 {to}"),
    ));
    if judged.network.is_empty() && sender.client.is_some() {
        told.line(lang.of(
            "the address is on no list of bad addresses",
            "接続元アドレスは不正アドレスのリストに登録されていません",
        ));
    }
}

fn lists(judged: &Judged, story: &mut Story) {
    let lang = judged.lang;
    let text = match &judged.verdict.list {
        ListDecision::None => lang.of("no entry applies", "該当する登録はありません"),
        ListDecision::Bypass => lang.of(
            "the recipient is on the allow list of recipients: nothing is checked for it",
            "受信者が検査除外リストに登録されています",
        ),
        ListDecision::Allow(entry) => lang.of(
            format!("allow entry `{}` of {:?}", entry.text, entry.owner),
            format!("許可リストの登録「{}」（{:?}）が適用されます", entry.text, entry.owner),
        ),
        ListDecision::Block(entry) => lang.of(
            format!("block entry `{}` of {:?}", entry.text, entry.owner),
            format!("拒否リストの登録「{}」（{:?}）が適用されます", entry.text, entry.owner),
        ),
    };
    story.stage(Stage::Lists, None).line(text);
}

fn parse(judged: &Judged, story: &mut Story) {
    let (lang, facts) = (judged.lang, &judged.examination.facts);
    let told = story.stage(Stage::Parse, Some(judged.times.parse));
    told.line(lang.of(
        format!("From: {}; Subject: {}", facts.author, facts.subject),
        format!("差出人: {}、件名: {}", facts.author, facts.subject),
    ));
    told.line(lang.of(
        format!("{} parts and members were looked at", facts.parts),
        format!("{} 個の部分を検査", facts.parts),
    ));
    for one in &facts.attachments {
        let locked = match one.encrypted {
            true => lang.of(", password-protected", "、パスワード付き"),
            false => String::new(),
        };
        let (name, kind, bytes) = (&one.name, &one.true_type, one.bytes);
        told.line(lang.of(
            format!("attachment {name}: {kind}, {bytes} octets{locked}"),
            format!("添付 {name}: {kind}、{bytes} バイト{locked}"),
        ));
    }
}

fn sender(judged: &Judged, story: &mut Story) {
    let lang = judged.lang;
    let told = story.stage(Stage::Sender, Some(judged.times.sender));
    match judged.checked.not_asked {
        Some(NotAsked::NoDns) => told.line(lang.of(
            "not checked: no DNS was asked (--dns, --zone, or dns.zone of the configuration)",
            "未確認: DNS への問い合わせなし（--dns、--zone、または設定の dns.zone）",
        )),
        Some(NotAsked::NoClient) => told.line(lang.of(
            "not checked: the client\'s address is not known (--client, --trusted-hop)",
            "未確認: 接続元アドレスが不明（--client、--trusted-hop）",
        )),
        None => {
            for (method, result, detail) in results(&judged.checked.authentication) {
                told.line(format!("{method}: {result} {detail}").trim_end());
            }
            let listed = &judged.checked.listed;
            if !listed.list.is_empty() {
                let weight = score(listed.weight);
                told.line(lang.of(
                    format!("DNS list {}: weight {weight}", listed.list),
                    format!("DNS リスト {}: 重み {weight}", listed.list),
                ));
            }
        }
    }
}

/// Method, result and what it is about.
pub(super) fn results(found: &Authentication) -> Vec<(&'static str, &'static str, String)> {
    let mut all = Vec::new();
    let mut add = |method, result: AuthResult, domain: &str, more: &str| {
        let more = if more.is_empty() { String::new() } else { format!(" ({more})") };
        all.push((method, result.keyword(), format!("{domain}{more}")));
    };
    add("spf", found.spf.result, &found.spf.domain, &found.spf.matched);
    if let Some(helo) = &found.helo {
        add("spf-helo", helo.result, &helo.domain, &helo.matched);
    }
    for one in &found.dkim {
        add("dkim", one.result, &one.domain, &one.reason);
    }
    let policy = format!("p={}", found.dmarc.policy.keyword());
    add("dmarc", found.dmarc.result, &found.dmarc.domain, &policy);
    if found.arc.result != AuthResult::None {
        let last = found.arc.sealers.last().map_or("", |sealer| &sealer.domain);
        add("arc", found.arc.result, last, &found.arc.reason);
    }
    add("iprev", found.reverse.result, &found.reverse.name, "");
    all
}

fn rule(judged: &Judged, (one, found): (&Contribution, Option<&Finding>), lang: Lang) -> String {
    let detail = found.map_or("", |finding| split_place(&finding.detail).0);
    let excerpt = judged.place(&one.rule, found);
    let described = judged.described.of_rule(&one.rule);
    let (rule, points, counted) = (&*one.rule, one.points, one.counted);
    hit(lang, &Hit { rule, points, counted, detail, described, excerpt })
}

fn viruses(judged: &Judged, story: &mut Story) {
    let lang = judged.lang;
    let scan = judged.verdict.scan;
    let told = story.stage(Stage::Virus, Some(judged.times.content));
    told.virus(lang, (scan.has_virus, scan.is_partial));
    for one in &judged.examination.scanned {
        let took = crate::story::took(one.micros);
        told.line(format!("engine {}: {} ({took})", one.name, one.said));
    }
}

fn decision(judged: &Judged, story: &mut Story) {
    let (lang, verdict, decision) = (judged.lang, &judged.verdict, &judged.decision);
    let told = story.stage(Stage::Decide, Some(judged.times.verdict));
    let (class, total) = (verdict.main_class.name(), score(verdict.points));
    let likelihood = verdict.likelihood.name();
    told.line(lang.of(
        format!("class {class}, score {total}, likelihood {likelihood}"),
        format!("分類 {class}、スコア {total}、確度 {likelihood}"),
    ));
    for matched in &decision.matched {
        told.line(asked(lang, matched));
    }
    story.end = sentence(judged);
}

/// What a rule or setting asks for, and what of the mail it saw.
fn asked(lang: Lang, matched: &MatchedRule) -> String {
    let MatchedRule { name, action, reason, log_only, memo, condition, bypassed } = matched;
    let (action, reason) = (words::action(lang, action.key()), reason.key());
    let condition = &*words::condition(lang, condition);
    let mut text = lang.of(
        format!("`{name}` asks for {action}, reason {reason}"),
        format!("「{name}」の動作: {action}、理由: {reason}"),
    );
    for more in [&**memo, condition, &**bypassed].into_iter().filter(|more| !more.is_empty()) {
        text.push_str(&format!("; {more}"));
    }
    if *log_only {
        text.push_str(&lang.of(" (log only)", "（ログのみ）"));
    }
    text
}

fn sentence(judged: &Judged) -> String {
    let lang = judged.lang;
    let (verdict, decision) = (&judged.verdict, &judged.decision);
    let asked = decision
        .matched
        .iter()
        .find(|one| !one.log_only && one.bypassed.is_empty() && one.action == decision.action);
    let asked_by = asked.filter(|_| decision.action != Default::default());
    let asked_by = asked_by.map_or("", |one| &one.name);
    let reason = asked.map(|one| one.reason);
    let detection = verdict.detections.iter().find(|one| Some(one.reason) == reason);
    let rule = detection.map_or("", |one| &one.rule);
    let detail = judged.finding(rule).map_or("", |finding| &finding.detail);
    let detail = told(lang, rule, detail, judged.described.of_rule(rule));
    let detail = &*detail;
    let mut heaviest: Vec<&Contribution> =
        verdict.contributions.iter().filter(|one| one.counted && one.points > 0).collect();
    heaviest.sort_by_key(|one| std::cmp::Reverse(one.points));
    let heaviest: Vec<(&str, i32)> =
        heaviest.iter().take(HEAVIEST_MAX).map(|one| (&*one.rule, one.points)).collect();
    let entry = match &verdict.list {
        ListDecision::Block(entry) | ListDecision::Allow(entry) => &*entry.text,
        ListDecision::None | ListDecision::Bypass => "",
    };
    let (limit, passes_below) = limits(judged, &judged.settings);
    let acts = |one: &&MatchedRule| !one.log_only && one.bypassed.is_empty();
    let besides = decision
        .matched
        .iter()
        .filter(acts)
        .find(|one| !one.action.delivers() && &*one.name != asked_by);
    let without_effect =
        !decision.matched.is_empty() && !decision.matched.iter().any(|one| acts(&one));
    let end_of = End {
        action: decision.action.key(),
        delivers: decision.action.delivers(),
        class: verdict.main_class.name(),
        asked_by,
        rule,
        detail,
        entry,
        points: verdict.points,
        limit,
        passes_below,
        heaviest: &heaviest,
        allowed_would_deliver: Some(judged.allowed_would_deliver),
        besides: besides.map_or("", |one| &one.name),
        without_effect,
        changes: &changes(lang, decision),
    };
    end(lang, &end_of)
}

/// What else rules do to a copy that is delivered.
fn changes(lang: Lang, decision: &Decision) -> Vec<String> {
    let list = |all: &[SentTo]| -> Vec<String> {
        all.iter().map(|to| format!("{} (`{}`)", to.mailbox, to.rule)).collect()
    };
    let mut told = Vec::new();
    for to in list(decision.redirect.as_slice()) {
        told.push(lang.of(
            format!("It goes to {to} instead of the recipient."),
            format!("受信者ではなく {to} に配送されます。"),
        ));
    }
    for to in list(&decision.bcc) {
        told.push(lang.of(format!("A copy goes to {to}."), format!("写しが {to} に送られます。")));
    }
    if let Some(tag) = &decision.tag {
        told.push(
            lang.of(format!("Its subject gets `{tag}`."), format!("件名に「{tag}」が付きます。")),
        );
    }
    for (name, value) in &decision.fields {
        told.push(lang.of(
            format!("The field `{name}: {value}` is added."),
            format!("ヘッダ「{name}: {value}」が付きます。"),
        ));
    }
    told
}

/// The limit that the score reached, and the one that it would have to be below.
fn limits(judged: &Judged, settings: &DomainSettings) -> (Option<i32>, Option<i32>) {
    let weights = &settings.weights;
    let spam = judged.verdict.has(DetectionKind::Spam) || judged.verdict.has(DetectionKind::Phish);
    if !spam && !judged.verdict.has(DetectionKind::Suspect) {
        return (None, None);
    }
    let suspect = settings.actions.suspect;
    let passes_below = match (suspect.low.delivers(), suspect.medium.delivers()) {
        (true, true) => weights.spam_points,
        (true, false) => weights.suspect_medium_points,
        (false, _) => weights.suspect_points,
    };
    (Some(if spam { weights.spam_points } else { weights.suspect_points }), Some(passes_below))
}
