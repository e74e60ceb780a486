//! The minimum scenario set of unified model section 10, (1) to (8) and (7b), for each profile.

use super::*;
use crate::clock::UnixMillis;
use crate::policy::lists::choose;

/// Action and, for a hold, reply, as one word.
fn word(decision: &Decision) -> String {
    match &decision.hold {
        Some(hold) => format!("held {:?}", hold.reply).to_lowercase(),
        None if decision.action == Action::Deliver && decision.tag.is_none() => "delivered".into(),
        None => decision.action.key().to_owned(),
    }
}

/// The five profiles against the five expected words.
fn expect(expected: [&str; 5], given: impl Fn(&DomainSettings) -> Decision) {
    for (profile, expected) in Profile::ALL.into_iter().zip(expected) {
        assert_eq!(word(&given(&preset(profile))), expected, "{profile:?}");
    }
}

#[test]
fn scenario_1_clean_mail_is_delivered() {
    expect(["delivered"; 5], |s| decided(&[], s, ListDecision::None));
}

#[test]
fn scenario_2_spam_sm_01_its_09_ntt_03_tm_04() {
    expect(["held accept", "held reject", "held accept", "tag", "held accept"], |s| {
        decided(&[spam()], s, ListDecision::None)
    });
}

#[test]
fn scenario_3_virus_c45() {
    expect(["drop", "held reject", "held accept", "drop", "held accept"], |s| {
        decided(&[virus()], s, ListDecision::None)
    });
}

#[test]
fn scenario_4_allow_listed_spam_is_delivered_untagged_sm_55_ntt_08_ntt_53_tm_37() {
    expect(["delivered"; 5], |s| decided(&[spam()], s, ListDecision::Allow(applied())));
}

#[test]
fn scenario_5_allow_listed_virus_is_saved_by_securemail_only_sm_55_ntt_08_tm_37() {
    expect(["drop", "delivered", "held accept", "drop", "held accept"], |s| {
        decided(&[virus()], s, ListDecision::Allow(applied()))
    });
}

#[test]
fn scenario_6_block_listed_sm_56_its_04_tm_38() {
    // ntt has no block list of its own; an entry of the gateway's list is held there.
    expect(["held accept", "reject", "held accept", "held accept", "reject"], |s| {
        decided(&[], s, ListDecision::Block(applied()))
    });
}

/// Scenario (7) or (7b) from list entries to action.
fn conflict(settings: &DomainSettings, block: PatternKind, allow: PatternKind) -> Decision {
    let entry = |polarity, pattern| ListEntry {
        owner: Owner::Account,
        polarity,
        pattern,
        match_on: MatchOn::Both,
        active_from: UnixMillis(0),
        text: "x".into(),
    };
    let entries = [entry(Polarity::Block, block), entry(Polarity::Allow, allow)];
    let list = choose(&entries, &[], &settings.lists, UnixMillis(1));
    decided(&[spam()], settings, list)
}

#[test]
fn scenario_7_block_domain_and_allow_address_in_it_its_46_tm_40() {
    expect(["delivered", "delivered", "delivered", "delivered", "reject"], |s| {
        conflict(s, PatternKind::Domain, PatternKind::Address)
    });
}

#[test]
fn scenario_7b_allow_domain_and_block_address_in_it_its_46_tm_40() {
    expect(["delivered", "delivered", "held accept", "delivered", "reject"], |s| {
        conflict(s, PatternKind::Address, PatternKind::Domain)
    });
}

#[test]
fn scenario_8_unknown_recipient_iij_10_c01() {
    use Verify::{Callout, List, Off};
    let verify = Profile::ALL.map(|profile| preset(profile).recipient.verify);
    assert_eq!(verify, [List, Callout, List, Off, Off]);
}

#[test]
fn retention_is_14_30_14_15_30_days_sm_11_its_10_ntt_40_tm_05() {
    let days = Profile::ALL.map(|profile| {
        let mut settings = preset(profile);
        settings.actions.spam = Action::Quarantine;
        decided(&[spam()], &settings, ListDecision::None).hold.expect("held").days
    });
    assert_eq!(days, [14, 30, 14, 15, 30]);
}

#[test]
fn iij_76_likelihood_medium_is_held_and_low_is_delivered() {
    let settings = preset(Profile::IijSecureMx);
    let at = |points| {
        word(&decided(&[finding(FindingKind::Spam, points)], &settings, ListDecision::None))
    };
    assert_eq!([3_000, 4_000, 5_000].map(at), ["delivered", "held accept", "held accept"]);
}

#[test]
fn its_03_a_bad_address_and_harmless_content_is_delivered() {
    let settings = preset(Profile::ItscomSpamScan);
    let address = finding(FindingKind::NetworkPositive, 0);
    assert_eq!(word(&decided(&[address], &settings, ListDecision::None)), "delivered");
}

#[test]
fn its_09_spam_is_delivered_when_holding_is_off_and_still_judged_spam() {
    let mut settings = preset(Profile::ItscomSpamScan);
    settings.actions.spam = Action::Deliver;
    let decision = decided(&[spam()], &settings, ListDecision::None);
    assert_eq!(word(&decision), "delivered");
    assert!(decision.judged_spam, "X-IPAS: POSITIVE (ITS-06)");
}

#[test]
fn ntt_05_rule_3_stamps_what_is_password_protected() {
    let settings = preset(Profile::NttMailSecurity);
    let found = [finding(FindingKind::Encrypted, 0)];
    let facts = Facts { unread_names: &["契約.zip"], ..Facts::default() };
    let decision = decide(&verdict(&found, &settings, ListDecision::None), &settings, &facts);
    assert_eq!(decision.action, Action::Stamp);
    assert!(decision.stamps[0].contains("契約.zip"));
    assert!(!decision.stamps[0].contains("{file}"));
}

#[test]
fn scan_exceptions_are_held_and_the_unread_is_delivered_c47_c47b_c47c() {
    let one = |kind| move |s: &DomainSettings| decided(&[finding(kind, 0)], s, ListDecision::None);
    expect(
        ["held accept", "held reject", "held accept", "held accept", "held accept"],
        one(FindingKind::LimitReached),
    );
    expect(["delivered"; 5], one(FindingKind::NotScanned));
    expect(
        ["delivered", "delivered", "delivered", "stamp", "held accept"],
        one(FindingKind::Encrypted),
    );
}

#[test]
fn tm_09_active_content_does_what_the_domain_says_and_nothing_unasked() {
    let found = [finding(FindingKind::ActiveContent, 0)];
    expect(["delivered"; 5], |s| decided(&found, s, ListDecision::None));
    let mut settings = preset(Profile::IijSecureMx);
    let quiet = verdict(&found, &settings, ListDecision::None);
    assert_eq!((quiet.reason, quiet.main_class), (None, crate::verdict::MainClass::NotSpam));
    settings.weights.active_content = true;
    settings.actions.active_content = Action::Clean;
    let judged = verdict(&found, &settings, ListDecision::None);
    assert_eq!(judged.sub_class.as_deref(), Some("active_content"));
    assert_eq!(judged.reason, Some(crate::verdict::Reason::Content), "TM-08, TM-09");
    let cleaned = Facts { active_cleaned: true, ..Facts::default() };
    assert_eq!(decide(&judged, &settings, &cleaned).action, Action::Clean);
    // Parts with malware can be taken out, those that act cannot: that is not enough.
    let other = Facts { cleaned: true, ..Facts::default() };
    assert_eq!(decide(&judged, &settings, &other).action, Action::Quarantine);
    settings.actions.active_content_uncleanable = Action::Reject;
    assert_eq!(decide(&judged, &settings, &other).action, Action::Reject);
}

#[test]
fn virus_in_never_applies_to_a_scan_exception() {
    let mut settings = preset(Profile::IijSecureMx);
    settings.actions.virus = Action::Drop;
    for kind in [FindingKind::LimitReached, FindingKind::Malformed, FindingKind::WorkerDied] {
        let decision = decided(&[finding(kind, 0)], &settings, ListDecision::None);
        assert_eq!(decision.action, Action::Quarantine, "{kind:?}");
    }
}

#[test]
fn ntt_10_a_bad_address_is_refused_unless_the_sender_is_approved() {
    let settings = preset(Profile::NttMailSecurity);
    assert!(network_refusal(&settings, &ListDecision::None, RejectAt::Rcpt, &[]));
    assert!(!network_refusal(&settings, &ListDecision::Allow(applied()), RejectAt::Rcpt, &[]));
    assert!(!network_refusal(&settings, &ListDecision::None, RejectAt::Data, &[]));
}

#[test]
fn sm_57_a_recipient_that_bypasses_gets_everything() {
    for profile in Profile::ALL {
        let decision = decided(&[spam(), virus()], &preset(profile), ListDecision::Bypass);
        assert_eq!(word(&decision), "delivered", "{profile:?}");
    }
}

#[test]
fn graymail_that_nothing_is_done_about_is_not_spam_sm_63() {
    use crate::verdict::{MainClass, Reason};
    let found = [finding(FindingKind::Graymail, 3_000)];
    let mut settings = preset(Profile::Securemail);
    settings.class_actions = vec![ClassAction {
        order: 1,
        main: "spam".into(),
        sub: "".into(),
        extra: "".into(),
        action: Action::Tag,
        reply: None,
        tag: "[SPAM]".into(),
        side: SideActions::default(),
    }];
    let judged = verdict(&found, &settings, ListDecision::None);
    assert_eq!((judged.main_class, judged.reason), (MainClass::NotSpam, None));
    assert_eq!(judged.sub_class.as_deref(), Some("graymail"), "told apart all the same");
    let decision = decide(&judged, &settings, &Facts::default());
    assert_eq!(word(&decision), "delivered", "the newsletter has no tag");
    // A rule of the administrator can still ask for it.
    let when = Conditions { reasons: vec![Reason::Graymail], ..Conditions::default() };
    let rule = PolicyRule {
        name: "bulk".into(),
        enabled: true,
        conditions: when,
        ..PolicyRule::default()
    };
    settings.rules = vec![PolicyRule { action: Action::Quarantine, ..rule }];
    assert!(decide(&judged, &settings, &Facts::default()).action.holds());
    let tmems = preset(Profile::Tmems);
    let judged = verdict(&found, &tmems, ListDecision::None);
    assert_eq!((judged.main_class, judged.reason), (MainClass::Spam, Some(Reason::Graymail)));
}

#[test]
fn sm_60_what_is_held_out_of_sight_is_locked() {
    use crate::verdict::MainClass;
    let mut settings = preset(Profile::Securemail);
    settings.actions.spam = Action::QuarantineHidden;
    let hidden = decided(&[spam()], &settings, ListDecision::None);
    assert_eq!(hidden.class, Some((MainClass::Locked, "spam".into())));
    settings.actions.spam = Action::Quarantine;
    assert_eq!(decided(&[spam()], &settings, ListDecision::None).class, None);
}

#[test]
fn sm_60_sm_62_what_its_size_keeps_away_is_unknown_unless_it_is_worse() {
    use crate::verdict::{MainClass, Reason};
    let mut settings = preset(Profile::Securemail);
    for action in [Action::Quarantine, Action::Reject] {
        settings.size.action = action;
        let large = Facts { message_bytes: settings.size.limit_bytes() + 1, ..Facts::default() };
        let decision = decide(&verdict(&[], &settings, ListDecision::None), &settings, &large);
        assert_eq!(decision.reason, Some(Reason::Oversize));
        assert_eq!(decision.class, Some((MainClass::Unknown, "oversize".into())));
        let worse = decide(&verdict(&[virus()], &settings, ListDecision::None), &settings, &large);
        assert_eq!(worse.class, None, "a virus stays one");
    }
}

#[test]
fn what_its_client_keeps_away_after_data_is_spam_by_reputation() {
    use crate::verdict::MainClass;
    let mut settings = preset(Profile::NttMailSecurity);
    settings.actions.ip_reject_at = RejectAt::Data;
    let listed = [finding(FindingKind::NetworkPositive, 0)];
    let decision = decided(&listed, &settings, ListDecision::None);
    assert_eq!(decision.action, Action::Reject);
    assert_eq!(decision.class, Some((MainClass::Spam, "web_reputation".into())));
}

#[test]
fn what_cleaning_would_take_out_is_taken_out_of_a_held_copy_too() {
    let mut settings = preset(Profile::NttMailSecurity);
    let hold = |enabled, log_only| PolicyRule {
        name: "hold".into(),
        enabled,
        log_only,
        action: Action::Quarantine,
        ..PolicyRule::default()
    };
    settings.rules = vec![hold(true, false)];
    let facts = || Facts { cleaned: true, ..Facts::default() };
    let judged = verdict(&[virus()], &settings, ListDecision::None);
    let held = decide(&judged, &settings, &facts());
    assert!(held.action == Action::Quarantine && held.cleans());
    // Where nothing is cleaned, the copy is held as it came.
    settings.actions.virus = Action::Quarantine;
    assert!(!decide(&judged, &settings, &facts()).cleans());
}

#[test]
fn stage_8_a_result_that_speaks_for_the_sender_has_an_action_and_names_no_class() {
    use crate::verdict::{AuthEvidence, MainClass};
    let text = "[[domain]]\nname = \"a.example\"\nprofile = \"tmems\"\n[domain.settings]\n\
        auth.dmarc.pass = \"header\"\nauth.dmarc.points = { pass = -1.5 }\n\
        auth.arc.fail = \"quarantine\"\n\
        [[domain.settings.rules]]\nname = \"known\"\naction = \"tag\"\ntag = \"[OK]\"\n\
        when.auth = [\"dmarc.pass\"]\n";
    let (mut domains, _) = source::parse_domains(text, "d.toml", &[]).expect("reads");
    let settings = domains.remove(0).settings;
    let by = |key: &str| {
        let auth = [AuthEvidence::from_key(key).expect(key)];
        let verdict = judge(
            &[finding(FindingKind::Spam, 2_000)],
            &auth,
            &settings.weights,
            ListDecision::None,
        );
        let decision = decide(&verdict, &settings, &Facts { auth: &auth, ..Facts::default() });
        (verdict.main_class, verdict.points, decision.action)
    };
    assert_eq!(by("dmarc.pass"), (MainClass::NotSpam, 500, Action::Tag));
    assert_eq!(by("arc.fail"), (MainClass::Spam, 2_000, Action::Quarantine));
    assert_eq!(by("spf.pass"), (MainClass::NotSpam, 2_000, Action::Deliver));
}
