//! Unified model section 10: load each preset, dump all settings, compare with section 6.

use super::*;

/// All settings of a profile that section 6 has a row for, in its order.
fn dump(profile: Profile) -> Vec<String> {
    let s = preset(profile);
    let key =
        |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let json = |value: &dyn erased::Json| key(value.json());
    vec![
        format!("C01 {}", json(&s.recipient.verify)),
        format!("C02 {}", s.recipient.log_invalid),
        format!("C03 {:?}", s.recipient.refused_chars),
        format!("C14 {}", json(&s.alias_kinds)),
        format!("C20 {}", json(&s.lists.precedence)),
        format!("C21 {}", json(&s.weights.allow_skips)),
        format!("C22 {}", json(&s.lists.block_action)),
        format!("C23 {} {}", s.lists.user_allow, s.lists.user_block),
        format!("C24 {}", s.lists.max),
        format!("C25 {}", json(&s.lists.forms)),
        format!("C26 {} {}", json(&s.lists.match_on), json(&s.lists.block_match_on)),
        format!("C27 {}", s.lists.cross_duplicate),
        format!("C28 {}", s.lists.delay_seconds),
        format!("C31 {}", s.lists.recipient_block),
        format!("C33 {}", json(&s.lists.add_requires)),
        format!("C40 {}", s.actions.spam.key()),
        format!("C41 {:?} {:?}", s.actions.spam_tag, s.actions.suspect_tag),
        format!("C42 {} {}", s.actions.suspect.low.key(), s.actions.suspect.medium.key()),
        format!("C43 {} {}", json(&s.weights.ip_action), json(&s.actions.ip_reject_at)),
        format!("C44 {}", json(&s.headers)),
        format!("C45 {} {}", s.actions.virus.key(), s.actions.virus_uncleanable.key()),
        format!(
            "C47 {} {}",
            s.actions.encrypted.key(),
            s.actions.encrypted_stamp.contains("{file}")
        ),
        format!("C47b {}", s.actions.scan_exception.key()),
        format!("C47c {}", s.actions.not_scanned.key()),
        format!("C48 {}", s.actions.highrisk.key()),
        format!(
            "TM-09 active {} {}",
            s.actions.active_content.key(),
            s.actions.active_content_uncleanable.key()
        ),
        format!("C49 {} {}", s.size.limit_mb, s.size.action.key()),
        format!("C50 {}", s.class_actions.len()),
        format!("C60 {}", s.quarantine.days),
        format!("C61 {}", json(&s.quarantine.reply)),
        format!("C62 {}", s.quarantine.rescan),
        format!("C91 {} {}", json(&s.notice.virus), json(&s.notice.language)),
        format!("3.3 {}", json(&s.quarantine.mixed_reply)),
        format!("10.3 graymail {}", s.actions.graymail.key()),
    ]
    .into_iter()
    .chain(s.rules.iter().map(standard))
    .collect()
}

/// A rule of the profile: state, setting or direction, action, name. Section 10.3 and NTT-05.
fn standard(rule: &PolicyRule) -> String {
    let state = if rule.enabled { "on" } else { "off" };
    let what = match (rule.sets, rule.direction) {
        (Some(setting), _) => setting.key(),
        (None, RuleDirection::Inbound) => "in",
        (None, RuleDirection::Outbound) => "out",
    };
    format!("rule {state} {what} {} {}", rule.action.key(), rule.name)
}

mod erased {
    pub(super) trait Json {
        fn json(&self) -> serde_json::Value;
    }
    impl<T: serde::Serialize> Json for T {
        fn json(&self) -> serde_json::Value {
            serde_json::to_value(self).expect("settings are plain data")
        }
    }
}

fn same(profile: Profile, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    assert_eq!(dump(profile), expected, "{profile:?}");
}

#[test]
fn iij_secure_mx_presets_are_those_of_section_6() {
    same(
        Profile::IijSecureMx,
        r#"
        C01 list
        C02 true
        C03 ""
        C14 ["mailbox","domain"]
        C20 allow_first
        C21 ["spam"]
        C22 quarantine
        C23 true false
        C24 10000
        C25 ["address","domain"]
        C26 both both
        C27 true
        C28 0
        C31 false
        C33 threat_filter
        C40 quarantine
        C41 "" ""
        C42 deliver quarantine
        C43 score rcpt
        C44 standard
        C45 drop drop
        C47 deliver false
        C47b quarantine
        C47c deliver
        C48 deliver
        TM-09 active deliver quarantine
        C49 100 reject
        C50 0
        C60 14
        C61 accept
        C62 false
        C91 [] both
        3.3 held
        10.3 graymail deliver
        rule on virus.in drop Security Filter
        rule on spam.action quarantine Spam Filter: HIGH
        rule on suspect.action quarantine Spam Filter: MEDIUM
        rule on suspect.action deliver Spam Filter: LOW
        "#,
    );
}

#[test]
fn securemail_presets_are_those_of_section_6() {
    same(
        Profile::Securemail,
        r#"
        C01 callout
        C02 false
        C03 ""
        C14 ["mailbox","domain"]
        C20 allow_first
        C21 ["spam","virus","content","ip","greylist","auth"]
        C22 reject
        C23 true true
        C24 10000
        C25 ["address","domain"]
        C26 both envelope
        C27 true
        C28 0
        C31 true
        C33 none
        C40 quarantine
        C41 "[SPAM]" ""
        C42 deliver deliver
        C43 score rcpt
        C44 standard
        C45 quarantine drop
        C47 deliver false
        C47b quarantine
        C47c deliver
        C48 deliver
        TM-09 active deliver quarantine
        C49 100 reject
        C50 0
        C60 30
        C61 reject
        C62 false
        C91 [] both
        3.3 held
        10.3 graymail deliver
        rule on virus.in quarantine Virus
        rule on spam.action quarantine Spam and phishing
        "#,
    );
}

#[test]
fn itscom_spam_scan_presets_are_those_of_section_6() {
    same(
        Profile::ItscomSpamScan,
        r#"
        C01 list
        C02 true
        C03 ""
        C14 []
        C20 specific_first
        C21 ["spam","ip"]
        C22 quarantine
        C23 true true
        C24 10000
        C25 ["address","domain"]
        C26 both both
        C27 false
        C28 600
        C31 false
        C33 none
        C40 quarantine
        C41 "" ""
        C42 deliver deliver
        C43 header rcpt
        C44 itscom
        C45 quarantine drop
        C47 deliver false
        C47b quarantine
        C47c deliver
        C48 deliver
        TM-09 active deliver quarantine
        C49 100 reject
        C50 0
        C60 14
        C61 accept
        C62 false
        C91 [] both
        3.3 held
        10.3 graymail deliver
        rule on spam.action quarantine 迷惑メール隔離
        rule on virus.in quarantine ウイルスメール隔離
        "#,
    );
}

#[test]
fn ntt_mail_security_presets_are_those_of_section_6() {
    same(
        Profile::NttMailSecurity,
        r#"
        C01 off
        C02 true
        C03 ""
        C14 []
        C20 allow_first
        C21 ["spam","ip"]
        C22 quarantine
        C23 true false
        C24 50
        C25 ["address","domain_wildcard","subdomain_wildcard"]
        C26 both both
        C27 true
        C28 0
        C31 false
        C33 none
        C40 tag
        C41 "[MEIWAKU!!!]" "[SPAM!!!]"
        C42 deliver deliver
        C43 reject rcpt
        C44 none
        C45 clean drop
        C47 stamp true
        C47b quarantine
        C47c deliver
        C48 deliver
        TM-09 active deliver quarantine
        C49 100 reject
        C50 0
        C60 15
        C61 accept
        C62 false
        C91 ["recipient"] both
        3.3 held
        10.3 graymail deliver
        rule on virus.in clean ウイルスメール（受信）
        rule on out drop ウイルスメール（送信）
        rule on encrypted.action stamp パスワード保護された添付ファイル（受信）
        rule on spam.action tag スパム・フィッシングメール（受信）
        rule off suspect.action tag スパムの疑いがあるメール（受信）
        rule off out drop スパム・フィッシングメール（送信）
        rule off highrisk.in drop 危険性の高い添付ファイル（受信）
        rule off out drop 危険性の高い添付ファイル（送信）
        "#,
    );
}

#[test]
fn tmems_presets_are_those_of_section_6() {
    same(
        Profile::Tmems,
        r#"
        C01 off
        C02 true
        C03 ""
        C14 ["directory"]
        C20 block_first
        C21 ["spam","ip"]
        C22 reject
        C23 true true
        C24 500
        C25 ["address","domain_wildcard","subdomain_wildcard"]
        C26 both both
        C27 true
        C28 0
        C31 false
        C33 spam_category
        C40 quarantine
        C41 "" ""
        C42 deliver deliver
        C43 reject rcpt
        C44 none
        C45 quarantine drop
        C47 quarantine false
        C47b quarantine
        C47c deliver
        C48 deliver
        TM-09 active deliver quarantine
        C49 100 reject
        C50 0
        C60 30
        C61 accept
        C62 true
        C91 [] both
        3.3 dropped
        10.3 graymail quarantine
        rule on virus.in quarantine Virus policy
        rule on spam.action quarantine Spam policy: spam and phishing
        rule on graymail.action quarantine Spam policy: graymail
        rule on encrypted.action quarantine Content policy: password-protected attachment
        rule off in quarantine Content policy: recipients
        rule off in quarantine Content policy: message size
        rule off in quarantine Content policy: attachment size
        rule off in quarantine Content policy: number of attachments
        rule off highrisk.in quarantine Content policy: high-risk attachment
        rule off in quarantine DLP policy: payment cards
        rule off in quarantine DLP policy: My Number
        "#,
    );
}
