//! The sentence at the end of a story: what was done, why, and what would have to be otherwise.

use sekisho_core::verdict::AuthEvidence;

use super::{Lang, score as points};

/// What the sentence is made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct End<'e> {
    /// Key of the final action.
    pub(crate) action: &'e str,
    pub(crate) delivers: bool,
    /// Main class.
    pub(crate) class: &'e str,
    /// Name of the setting or rule that asked for it; empty if none did.
    pub(crate) asked_by: &'e str,
    /// The rule that was the evidence, and its detail.
    pub(crate) rule: &'e str,
    pub(crate) detail: &'e str,
    /// The list entry, in words.
    pub(crate) entry: &'e str,
    /// Score, and the limit that it reached if one was.
    pub(crate) points: i32,
    pub(crate) limit: Option<i32>,
    /// The score has to be below this for delivery: less than `limit` where a lower class is held, too.
    pub(crate) passes_below: Option<i32>,
    /// The heaviest rules.
    pub(crate) heaviest: &'e [(&'e str, i32)],
    /// With an allow entry for its sender it would have been delivered.
    pub(crate) allowed_would_deliver: Option<bool>,
    /// Another rule or setting that keeps it from being delivered.
    pub(crate) besides: &'e str,
    /// What matched is bypassed, or only logs.
    pub(crate) without_effect: bool,
    /// What else becomes of a copy that is delivered, in words: who gets it, what is added.
    pub(crate) changes: &'e [String],
}

/// The sentence.
pub(crate) fn end(lang: Lang, end: &End<'_>) -> String {
    let (done, because) = (done(lang, end), because(lang, end));
    let changes: String = end.changes.iter().map(|change| format!(" {change}")).collect();
    if because.is_empty() {
        let first = match (end.without_effect, end.changes) {
            (true, _) => lang.of(
                format!("{done}: what matched is bypassed, or only logged."),
                format!("{done}。該当したルールは一時停止中、またはログのみの設定です。"),
            ),
            (false, []) => lang.of(
                format!("{done}: no rule and no setting asked for more."),
                format!("{done}。問題となる点は見つかりませんでした。"),
            ),
            (false, _) => lang.of(format!("{done}."), format!("{done}。")),
        };
        return first + &changes;
    }
    let first = lang.of(
        format!("{done} (class {}) because {because}.", end.class),
        format!("{done}（分類: {}）。理由: {because}。", end.class),
    );
    if end.delivers {
        return first + &changes;
    }
    if !end.besides.is_empty() {
        let besides = end.besides;
        let second = lang.of(
            format!(" Without that it would not be delivered, either: `{besides}` applies, too."),
            format!("これがなくても配送されません。「{besides}」にも該当します。"),
        );
        let allowed = lang.of(
            " It would be if its sender were on an allow list of the recipient.",
            "送信者が受信者の許可リストに登録されている場合は配送されます。",
        );
        let allowed = if end.allowed_would_deliver == Some(true) { allowed } else { String::new() };
        return first + &second + &allowed;
    }
    let mut otherwise = vec![otherwise(lang, end)];
    if end.allowed_would_deliver == Some(true) {
        otherwise.push(lang.of(
            "its sender were on an allow list of the recipient",
            "送信者が受信者の許可リストに登録されている",
        ));
    }
    let joined = otherwise.join(&lang.of(", or if ", "、または、"));
    let second = lang.of(
        format!(" It would be delivered if {joined}."),
        format!("次の場合は配送されます: {joined}。"),
    );
    format!("{first}{second}")
}

fn done(lang: Lang, end: &End<'_>) -> String {
    let (en, ja) = match end.action {
        "deliver" => ("Delivered", "配送されます"),
        "header" => ("Delivered with a header field", "ヘッダを付けて配送されます"),
        "stamp" => ("Delivered with a note in its text", "本文に注記を付けて配送されます"),
        "tag" => ("Delivered with a tag in its subject", "件名に印を付けて配送されます"),
        "clean" if setting_of(end.asked_by) == "virus" => {
            ("Delivered without the infected parts", "感染部分を取り除いて配送されます")
        }
        "clean" => {
            ("Delivered without the parts that were taken out", "該当部分を取り除いて配送されます")
        }
        "quarantine" => ("Held", "隔離されます"),
        "quarantine_hidden" => {
            ("Held, not shown to the recipient", "受信者に見えない形で隔離されます")
        }
        "reject" => ("Refused", "受信を拒否されます"),
        "drop" => ("Dropped", "破棄されます"),
        other => (other, other),
    };
    lang.of(en, ja)
}

/// What a setting is about; empty for the name of a rule, whatever an administrator called it.
fn setting_of(asked_by: &str) -> &str {
    const SETTINGS: [&str; 13] = [
        "virus.in",
        "lists.block_action",
        "spam.action",
        "suspect.action",
        "graymail.action",
        "scan_exception.action",
        "not_scanned.action",
        "encrypted.action",
        "highrisk.in",
        "content.action",
        "active_content.action",
        "ip.action",
        "size.action",
    ];
    let is_auth = asked_by.strip_prefix("auth.").and_then(AuthEvidence::from_key).is_some();
    let is_setting = SETTINGS.contains(&asked_by) || is_auth;
    asked_by.split('.').next().filter(|_| is_setting).unwrap_or_default()
}

fn because(lang: Lang, end: &End<'_>) -> String {
    let asked_by = end.asked_by;
    let rule = match end.detail {
        "" => end.rule.to_owned(),
        detail => format!("{} ({detail})", end.rule),
    };
    match setting_of(asked_by) {
        "" if asked_by.is_empty() => String::new(),
        "virus" => lang.of(format!("malware was found: {rule}"), format!("ウイルスを検出: {rule}")),
        "lists" => {
            let entry = end.entry;
            lang.of(format!("a block entry applies: {entry}"), format!("拒否リストに該当: {entry}"))
        }
        "spam" | "suspect" => by_score(lang, end),
        "graymail" => {
            lang.of(format!("it is bulk mail: {rule}"), format!("広告・大量配信メール: {rule}"))
        }
        "auth" => lang.of(
            format!("the sender could not be verified: {rule}"),
            format!("送信者の認証に失敗: {rule}"),
        ),
        "scan_exception" => lang.of(
            format!("it could not be scanned completely: {rule}"),
            format!("完全には検査できませんでした: {rule}"),
        ),
        "not_scanned" => lang.of(
            format!("a part of it is of a kind that is not scanned: {rule}"),
            format!("検査できない形式の部分があります: {rule}"),
        ),
        "encrypted" => lang.of(
            format!("a part of it is password-protected: {rule}"),
            format!("パスワード付きの部分があります: {rule}"),
        ),
        "highrisk" => lang.of(
            format!("it has a dangerous attachment: {rule}"),
            format!("危険な添付ファイルがあります: {rule}"),
        ),
        "active_content" => lang.of(
            format!("it holds something that acts when it is opened: {rule}"),
            format!("開くと動作する内容があります: {rule}"),
        ),
        "content" => {
            lang.of(format!("a content rule matches: {rule}"), format!("内容ルールに該当: {rule}"))
        }
        "ip" => lang.of(
            format!("the client's address is on a list of bad addresses: {rule}"),
            format!("接続元アドレスが不正アドレスのリストに登録されています: {rule}"),
        ),
        "size" => lang.of("it is larger than the domain takes", "サイズが上限を超えています"),
        _ => lang.of(
            format!("the rule `{asked_by}` matches"),
            format!("ルール「{asked_by}」に該当しました"),
        ),
    }
}

fn by_score(lang: Lang, end: &End<'_>) -> String {
    let total = points(end.points);
    let heaviest: Vec<String> =
        end.heaviest.iter().map(|(rule, weight)| format!("{rule} {}", points(*weight))).collect();
    let heaviest = heaviest.join(", ");
    match end.limit {
        Some(limit) => {
            let limit = points(limit);
            lang.of(
                format!(
                    "its score of {total} reaches the limit of {limit}, most of it by {heaviest}"
                ),
                format!("スコア {total} が基準値 {limit} に達しました。主な内訳: {heaviest}"),
            )
        }
        None => lang.of(
            format!("of its score of {total}, most of it by {heaviest}"),
            format!("スコア {total}。主な内訳: {heaviest}"),
        ),
    }
}

fn otherwise(lang: Lang, end: &End<'_>) -> String {
    let asked_by = end.asked_by;
    let passes_below = end.passes_below.or(end.limit);
    match (setting_of(asked_by), passes_below) {
        ("spam" | "suspect", Some(limit)) => {
            let less = points(end.points.saturating_sub(limit).saturating_add(1));
            lang.of(format!("its score were {less} lower"), format!("スコアがあと {less} 点低い"))
        }
        ("lists", _) => lang.of("that entry were removed", "その拒否リストの登録が削除されている"),
        ("virus", _) => lang.of("nothing had been found in it", "ウイルスが検出されていない"),
        ("", _) if asked_by.is_empty() => String::new(),
        (setting, _) if !setting.is_empty() => lang.of(
            format!("the setting `{asked_by}` said `deliver`"),
            format!("設定 `{asked_by}` が `deliver` である"),
        ),
        _ => lang.of(
            format!("the rule `{asked_by}` did not match, or only logged"),
            format!("ルール「{asked_by}」に該当しない、またはログのみの設定である"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_sentence_says_what_was_done_why_and_what_would_have_to_be_otherwise() {
        let heaviest = [("PHISH_LOGIN", 5_000), ("SPF_FAIL", 1_500)];
        let spam = End {
            action: "quarantine",
            class: "Spam",
            asked_by: "spam.action",
            rule: "PHISH_LOGIN",
            points: 7_500,
            limit: Some(7_000),
            heaviest: &heaviest,
            allowed_would_deliver: Some(true),
            ..End::default()
        };
        assert_eq!(
            end(Lang::En, &spam),
            "Held (class Spam) because its score of 7.5 reaches the limit of 7, most of it by PHISH_LOGIN 5, SPF_FAIL \
             1.5. It would be delivered if its score were 0.501 lower, or if its sender were on an allow list of the \
             recipient."
        );
        assert!(end(Lang::Ja, &spam).starts_with("隔離されます（分類: Spam）。理由: スコア 7.5"));
        let clean = End { action: "deliver", delivers: true, ..End::default() };
        assert_eq!(end(Lang::En, &clean), "Delivered: no rule and no setting asked for more.");
        let virus = End {
            action: "reject",
            class: "Virus",
            asked_by: "virus.in",
            rule: "Eicar",
            detail: "engine:clamav",
            allowed_would_deliver: Some(false),
            ..End::default()
        };
        assert_eq!(
            end(Lang::En, &virus),
            "Refused (class Virus) because malware was found: Eicar (engine:clamav). It would be delivered if nothing had \
             been found in it."
        );
        let rule = End { action: "drop", class: "Spam", asked_by: "no exe", ..End::default() };
        assert!(end(Lang::En, &rule).contains("the rule `no exe` did not match, or only logged"));
        // A rule may be called anything: the name of a setting is a setting's only as a whole.
        for name in ["virus.old policy", "lists", "spam", "auth.", "auth.spf"] {
            let told = end(Lang::En, &End { asked_by: name, ..rule.clone() });
            assert!(told.contains(&format!("because the rule `{name}` matches")), "{told}");
            assert!(told.contains(&format!("the rule `{name}` did not match")), "{told}");
        }
        let both = End { besides: "cards", ..rule };
        assert!(end(Lang::En, &both).ends_with("either: `cards` applies, too."));
        let changes = ["It goes to boss@demo.test instead of the recipient.".to_owned()];
        let redirected = End { changes: &changes, ..clean };
        assert_eq!(
            end(Lang::En, &redirected),
            "Delivered. It goes to boss@demo.test instead of the recipient."
        );
    }
}
