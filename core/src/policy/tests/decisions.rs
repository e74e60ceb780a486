use proptest::prelude::*;

use super::*;
use crate::verdict::MainClass;

fn rule(name: &str, action: Action, conditions: Conditions) -> PolicyRule {
    PolicyRule { name: name.into(), enabled: true, conditions, action, ..PolicyRule::default() }
}

#[test]
fn final_actions_are_ordered_as_in_section_4_3() {
    use Action as A;
    let order = [
        A::Deliver,
        A::Header,
        A::Stamp,
        A::Tag,
        A::Clean,
        A::Quarantine,
        A::QuarantineHidden,
        A::Reject,
        A::Drop,
    ];
    assert!(order.is_sorted());
}

#[test]
fn the_strongest_action_wins_and_weaker_tags_and_stamps_stay() {
    let mut settings = preset(Profile::NttMailSecurity);
    let stamp = PolicyRule { stamp: "S".into(), ..rule("s", Action::Stamp, Conditions::default()) };
    settings.rules = vec![stamp, rule("q", Action::Quarantine, Conditions::default())];
    let decision = decided(&[spam()], &settings, ListDecision::None);
    assert_eq!(decision.action, Action::Quarantine);
    assert_eq!(decision.tag.as_deref(), Some("[MEIWAKU!!!]"), "for the release");
    assert_eq!(decision.stamps, ["S".into()]);
    assert_eq!(decision.matched.len(), 3);
}

#[test]
fn a_log_only_rule_is_reported_without_effect() {
    let mut settings = preset(Profile::IijSecureMx);
    let quiet = PolicyRule { log_only: true, ..rule("quiet", Action::Drop, Conditions::default()) };
    settings.rules = vec![quiet];
    let decision = decided(&[], &settings, ListDecision::None);
    assert_eq!(decision.action, Action::Deliver);
    assert!(decision.matched[0].log_only);
    assert_eq!(decision.matched[0].name.as_ref(), "quiet");
}

#[test]
fn a_disabled_rule_does_not_exist() {
    let mut settings = preset(Profile::IijSecureMx);
    let off = PolicyRule { enabled: false, ..rule("off", Action::Drop, Conditions::default()) };
    settings.rules = vec![off];
    assert!(decided(&[], &settings, ListDecision::None).matched.is_empty());
}

#[test]
fn ntt_08_administrators_rules_apply_to_approved_senders() {
    let mut settings = preset(Profile::NttMailSecurity);
    settings.rules = vec![rule("admin", Action::Quarantine, Conditions::default())];
    let decision = decided(&[spam()], &settings, ListDecision::Allow(applied()));
    assert_eq!(decision.action, Action::Quarantine);
    assert_eq!(decision.tag, None);
}

#[test]
fn sm_63_a_class_action_replaces_the_default_and_the_lower_order_wins() {
    let mut settings = preset(Profile::Securemail);
    let class = |order, action| ClassAction {
        order,
        main: "spam".into(),
        sub: "".into(),
        extra: "".into(),
        action,
        reply: None,
        tag: "".into(),
        side: SideActions::default(),
    };
    settings.class_actions = vec![class(2, Action::Drop), class(1, Action::Tag)];
    let decision = decided(&[spam()], &settings, ListDecision::None);
    assert_eq!((decision.action, decision.tag.as_deref()), (Action::Tag, Some("[SPAM]")));
    let decision = decided(&[virus()], &settings, ListDecision::None);
    assert_eq!(decision.action, Action::Quarantine, "another class keeps its default");
}

#[test]
fn conditions_hold_at_their_limits_tm_09() {
    let settings = preset(Profile::Tmems);
    let verdict = verdict(&[], &settings, ListDecision::None);
    let attachment = |name: &str, bytes| AttachmentFact {
        name: name.into(),
        content_type: "application/octet-stream".into(),
        true_type: "application/x-dosexec".into(),
        bytes,
        ..AttachmentFact::default()
    };
    let small = [attachment("a.TXT", 5)];
    let exe = [attachment("rechnung.EXE", 6)];
    let facts = |recipients, message_bytes, attachments| Facts {
        recipients,
        message_bytes,
        attachments,
        attachments_count: 1,
        headers: &[("Subject", "Hello World")],
        ..Facts::default()
    };
    let none = Conditions::default;
    let header = |name: &str, pattern: &str| Conditions {
        headers: vec![HeaderCondition { name: name.into(), pattern: pattern.into() }],
        ..none()
    };
    let cases = [
        (Conditions { recipients_more_than: Some(50), ..none() }, facts(50, 1, &small[..]), false),
        (Conditions { recipients_more_than: Some(50), ..none() }, facts(51, 1, &small), true),
        (Conditions { larger_than_bytes: Some(10), ..none() }, facts(1, 10, &small), false),
        (Conditions { larger_than_bytes: Some(10), ..none() }, facts(1, 11, &small), true),
        (Conditions { attachments_more_than: Some(1), ..none() }, facts(1, 1, &small), false),
        (Conditions { attachments_more_than: Some(0), ..none() }, facts(1, 1, &small), true),
        (
            Conditions { attachment_larger_than_bytes: Some(5), ..none() },
            facts(1, 1, &small),
            false,
        ),
        (Conditions { attachment_larger_than_bytes: Some(5), ..none() }, facts(1, 1, &exe), true),
        (Conditions { attachment_names: vec!["*.exe".into()], ..none() }, facts(1, 1, &exe), true),
        (
            Conditions { attachment_names: vec!["*.exe".into()], ..none() },
            facts(1, 1, &small),
            false,
        ),
        (
            Conditions { attachment_types: vec!["*dosexec".into()], ..none() },
            facts(1, 1, &exe),
            true,
        ),
        (Conditions { classes: vec![MainClass::Virus], ..none() }, facts(1, 1, &exe), false),
        (Conditions { classes: vec![MainClass::NotSpam], ..none() }, facts(1, 1, &exe), true),
        (Conditions { points_min: Some(1), ..none() }, facts(1, 1, &exe), false),
        (header("subject", "hello*"), facts(1, 1, &exe), true),
        (header("subject", "hello"), facts(1, 1, &exe), false),
        (header("x-none", "*"), facts(1, 1, &exe), false),
    ];
    for (conditions, facts, expected) in cases {
        let rule = rule("r", Action::Drop, conditions);
        assert_eq!(rule.matches(0, &verdict, &facts).is_some(), expected, "{:?}", rule.conditions);
    }
}

#[test]
fn sm_62_a_larger_mail_gets_the_size_action() {
    let mut settings = preset(Profile::Securemail);
    settings.size = SizeSettings { limit_mb: 1, action: Action::Quarantine };
    let verdict = verdict(&[], &settings, ListDecision::Bypass);
    let at =
        |bytes| decide(&verdict, &settings, &Facts { message_bytes: bytes, ..Facts::default() });
    assert_eq!(at(1 << 20).action, Action::Deliver);
    let over = at((1 << 20) + 1);
    assert_eq!(over.action, Action::Quarantine);
    assert_eq!(over.reason, Some(crate::verdict::Reason::Oversize));
}

#[test]
fn c03_a_refused_character_is_named() {
    let mut settings = preset(Profile::Securemail);
    assert_eq!(refused_char(&settings, "a%b"), None);
    settings.recipient.refused_chars = "%!".into();
    assert_eq!(refused_char(&settings, "a%b"), Some('%'));
    assert_eq!(refused_char(&settings, "ab"), None);
}

#[test]
fn one_reply_for_several_recipients_section_3_3() {
    let held_reject = decided(&[spam()], &preset(Profile::Securemail), ListDecision::None);
    let block = ListDecision::Block(applied());
    let rejected = decided(&[], &preset(Profile::Tmems), block.clone());
    let mut rejected_held = decided(&[], &preset(Profile::Securemail), block);
    rejected_held.hold = None;
    let delivered = decided(&[], &preset(Profile::Tmems), ListDecision::None);

    let mut all = [held_reject.clone(), rejected.clone()];
    assert_eq!(group_reply(&mut all), GroupReply::Reject);
    assert_eq!(all, [held_reject.clone(), rejected.clone()], "nothing changes");

    let mut mixed = [held_reject.clone(), rejected, rejected_held, delivered];
    assert_eq!(group_reply(&mut mixed), GroupReply::Accept);
    let actions: Vec<Action> = mixed.iter().map(|decision| decision.action).collect();
    use Action::{Deliver, Drop, Quarantine};
    assert_eq!(actions, [Quarantine, Drop, Quarantine, Deliver], "TM-38: blocked is never held");
    assert_eq!(mixed[2].hold.as_ref().map(|hold| hold.days), Some(30));
}

#[test]
fn globs_match_whole_texts() {
    let cases = [
        ("*.exe", "A.EXE", true),
        ("*.exe", "a.exe.txt", false),
        ("*", "", true),
        ("", "", true),
        ("", "a", false),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("*a*b*", "xaxxbx", true),
        ("*請求書*", "【請求書】.pdf", true),
    ];
    for (pattern, text, expected) in cases {
        assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn same_findings_and_policy_give_the_same_action(
        kinds in prop::collection::vec((0..18_usize, -1_000..7_000_i32), 0..6),
        profile in 0..5_usize,
        list in 0..3_usize,
    ) {
        use FindingKind as K;
        const KINDS: [FindingKind; 18] = [
            K::Spam, K::Phishing, K::Bec, K::Graymail, K::WebReputation, K::Malware,
            K::Ransomware, K::TargetedAttack, K::SuspiciousObject, K::Encrypted, K::LimitReached,
            K::Malformed, K::WorkerDied, K::NotScanned, K::Content, K::Attachment,
            K::NetworkPositive, K::NetworkSuspect,
        ];
        let settings = preset(Profile::ALL[profile]);
        let mut findings: Vec<Finding> =
            kinds.iter().map(|(kind, points)| finding(KINDS[*kind], *points)).collect();
        let list = || match list {
            0 => ListDecision::None,
            1 => ListDecision::Allow(applied()),
            _ => ListDecision::Block(applied()),
        };
        let first = decided(&findings, &settings, list());
        findings.reverse();
        let second = decided(&findings, &settings, list());
        prop_assert_eq!(&first, &second);
        // A virus is never delivered as it is, whatever else was found, unless the sender is allowed.
        if findings.iter().any(|f| f.kind == K::Malware) && !matches!(list(), ListDecision::Allow(_)) {
            prop_assert!(first.action >= Action::Quarantine);
        }
    }
}
