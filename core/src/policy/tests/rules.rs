//! Scope, exceptions, order, side actions, bypasses, classes.

use super::*;
use crate::envelope::Mailbox;
use crate::policy::source::parse_domains;
use crate::scan::content::ContentHit;
use crate::verdict::{MainClass, Reason};

fn settings(rules: &str) -> DomainSettings {
    let text = format!(
        "[[named_list]]\nname = \"board\"\naddresses = [\"ceo@a.example\", \"*@board.a.example\"]\n\
         [[named_list]]\nname = \"secret\"\nwords = [\"社外秘\", \"confidential\"]\n\
         [[domain]]\nname = \"a.example\"\nprofile = \"iij-secure-mx\"\n[domain.settings]\n{rules}\n"
    );
    let (mut domains, _) = parse_domains(&text, "d.toml", &[]).expect(rules);
    domains.remove(0).settings
}

fn problems(rules: &str) -> Vec<String> {
    let text = format!(
        "[[domain]]\nname = \"a.example\"\nprofile = \"iij-secure-mx\"\n[domain.settings]\n{rules}\n"
    );
    let told = parse_domains(&text, "d.toml", &[]).expect_err("refused");
    told.iter().map(ToString::to_string).collect()
}

fn decided_for(recipient: &str, settings: &DomainSettings, facts: Facts<'_>) -> Decision {
    let (local_part, domain) = recipient.split_once('@').expect("an address");
    let scope = ScopeMask::of(&settings.rules, &Mailbox::new(local_part, domain));
    let verdict = verdict(&[], settings, ListDecision::None);
    decide(&verdict, settings, &Facts { scope, ..facts })
}

#[test]
fn iij_85_a_rule_is_for_a_group_and_not_for_its_exceptions() {
    let settings = settings(
        "[[domain.settings.rules]]\nname = \"r\"\naction = \"quarantine\"\n\
         scope.recipients = [\"list:board\", \"sales@a.example\"]\n\
         except = { recipients = [\"ceo@a.example\"], senders = [\"partner.example\"], when = { subject_blank = true } }\n",
    );
    let sender = Mailbox::new("x", "partner.example");
    let facts = || Facts { headers: &[("Subject", "x")], ..Facts::default() };
    let held = |recipient| decided_for(recipient, &settings, facts()).action.holds();
    assert!(held("sales@a.example") && held("SALES@a.example") && held("any@board.a.example"));
    assert!(!held("ceo@a.example"), "an exception");
    assert!(!held("other@a.example"), "out of scope");
    let from = Facts { sender: Some(&sender), ..facts() };
    assert!(!decided_for("sales@a.example", &settings, from).action.holds());
    let blank = decided_for("sales@a.example", &settings, Facts::default());
    assert!(!blank.action.holds(), "an exception by condition");
}

#[test]
fn iij_85_a_list_that_has_become_empty_is_nobody_and_not_everybody() {
    let sender = Mailbox::new("x", "partner.example");
    let held = |rule: &str| {
        let settings = settings(&format!(
            "[[domain.named_list]]\nname = \"empty\"\naddresses = []\n\
             [[domain.settings.rules]]\nname = \"r\"\naction = \"quarantine\"\n{rule}\n"
        ));
        let facts = Facts { sender: Some(&sender), ..Facts::default() };
        decided_for("u@a.example", &settings, facts).action.holds()
    };
    assert!(held("when = { subject_blank = true }"), "the rule by itself");
    for rule in [
        "scope.recipients = [\"list:empty\"]",
        "scope.senders = [\"list:empty\"]",
        "when = { sender = [\"list:empty\"], subject_blank = true }",
        "when = { sender = [\"list:empty\"] }",
        "when = { sender = [\"list:empty\"], match = \"any\" }",
    ] {
        assert!(!held(rule), "{rule}");
    }
    assert!(held("except.recipients = [\"list:empty\"]"), "an exception for nobody");
    assert!(held("except.senders = [\"list:empty\"]"));
    assert!(
        held("scope.recipients = [\"list:empty\", \"u@a.example\"]"),
        "others are named beside it"
    );
}

#[test]
fn rules_are_asked_in_their_order_and_the_last_one_ends_the_row() {
    let settings = settings(
        "[[domain.settings.rules]]\nname = \"second\"\norder = 2000\naction = \"drop\"\n\
         [[domain.settings.rules]]\nname = \"first\"\norder = 1000\naction = \"tag\"\ntag = \"[1]\"\nlast = true\n",
    );
    let decision = decided_for("u@a.example", &settings, Facts::default());
    assert_eq!((decision.action, decision.tag.as_deref()), (Action::Tag, Some("[1]")));
    assert_eq!(decision.matched.len(), 1);
}

#[test]
fn side_actions_of_all_that_match_are_carried_out() {
    let settings = settings(
        "[[domain.settings.rules]]\nname = \"a\"\naction = \"deliver\"\ntag = \"[A]\"\n\
         add_header = [{ name = \"X-A\", value = \"1\" }]\nbcc = [\"audit@a.example\"]\n\
         notify = [{ to = \"recipient\", template = \"t\" }, { to = \"list:board\" }]\n\
         [[domain.settings.rules]]\nname = \"b\"\naction = \"deliver\"\nredirect = \"desk@a.example\"\nbcc = [\"audit@a.example\"]\n",
    );
    let decision = decided_for("u@a.example", &settings, Facts::default());
    assert_eq!(decision.tag.as_deref(), Some("[A]"), "whatever the action");
    assert_eq!(decision.fields, [("X-A".into(), "1".into())]);
    let to = |mailbox: &str, rule: &str| SentTo { mailbox: mailbox.into(), rule: rule.into() };
    assert_eq!(decision.bcc, [to("audit@a.example", "a")], "once");
    assert_eq!(decision.redirect, Some(to("desk@a.example", "b")));
    let who: Vec<&NoticeTo> = decision.notices.iter().map(|notice| &notice.to).collect();
    assert_eq!(who, [&NoticeTo::Recipient, &NoticeTo::List("board".into())]);
    assert_eq!(settings.notify_lists[0].mailboxes, ["ceo@a.example".into()]);
}

#[test]
fn log_only_and_bypassed_rules_are_told_and_do_nothing() {
    let quiet = "[[domain.settings.rules]]\nname = \"r\"\naction = \"drop\"\nbcc = [\"x@a.example\"]\ntag = \"[x]\"\nlast = true\n";
    let logged = settings(&format!("{quiet}log_only = true\n"));
    let decision = decided_for("u@a.example", &logged, Facts::default());
    assert_eq!((decision.action, decision.tag.as_deref()), (Action::Deliver, None));
    assert!(decision.bcc.is_empty() && decision.matched[0].log_only);
    let acts = settings(quiet);
    let bypass = |rule| [Bypassed { rule, told: "bypassed by me".into() }];
    for (rule, expected) in
        [(Some("r"), Action::Deliver), (None, Action::Deliver), (Some("other"), Action::Drop)]
    {
        let bypasses = bypass(rule);
        let facts = Facts { bypasses: &bypasses, ..Facts::default() };
        let decision = decided_for("u@a.example", &acts, facts);
        assert_eq!(decision.action, expected, "{rule:?}");
        let told = &*decision.matched[0].bypassed;
        assert_eq!(told.is_empty(), expected == Action::Drop, "{told}");
    }
}

#[test]
fn a_bypass_of_a_whole_domain_does_not_let_malware_in() {
    let settings = settings("");
    let bypasses = [Bypassed { rule: None, told: "by me".into() }];
    let facts = Facts { bypasses: &bypasses, ..Facts::default() };
    let of = |finding| {
        let verdict = verdict(&[finding], &settings, ListDecision::None);
        decide(&verdict, &settings, &facts).action
    };
    assert_eq!(of(spam()), Action::Deliver);
    assert_eq!(of(virus()), Action::Drop);
}

#[test]
fn unified_model_4_2_what_a_rule_keeps_has_its_class() {
    let settings = settings(
        "[[domain.settings.rules]]\nname = \"cards\"\nkind = \"dlp\"\naction = \"quarantine\"\n\
         when.content = [{ identifier = \"card_number\" }]\n",
    );
    let id = settings.content_expressions()[0].id;
    let place = "attachment a.csv".into();
    let hits = [ContentHit { id, count: 2, place, excerpt: "************1111".into() }];
    let facts = Facts { content: &hits, ..Facts::default() };
    let decision = decided_for("u@a.example", &settings, facts);
    assert_eq!(decision.reason, Some(Reason::Dlp));
    assert_eq!(decision.class, Some((MainClass::Locked, "dlp".into())));
    assert_eq!(&*decision.matched[0].condition, "attachment a.csv: ************1111 x2");
    assert_eq!(Reason::Dlp.filter_type(), "DLP Filter");
}

#[test]
fn texts_that_were_not_searched_are_said_where_rules_ask_for_texts() {
    let with = settings(
        "[[domain.settings.rules]]\nname = \"w\"\naction = \"drop\"\nwhen.content = [{ words = [\"list:secret\"] }]\n",
    );
    let cut = || Facts { content_cut: true, ..Facts::default() };
    let decision = decided_for("u@a.example", &with, cut());
    assert_eq!(decision.action, Action::Deliver);
    assert!(
        decision.matched[0].log_only && decision.matched[0].condition.contains("not all texts")
    );
    assert!(decided_for("u@a.example", &settings(""), cut()).matched.is_empty());
}

#[test]
fn attachments_that_a_rule_is_about_are_taken_out_or_the_mail_is_held() {
    let settings = settings(
        "[[domain.settings.rules]]\nname = \"r\"\naction = \"deliver\"\ndelete_attachments = true\n\
         when.attachment_name = [\"*.exe\"]\n",
    );
    let file =
        |name: &str, span| AttachmentFact { name: name.into(), span, ..AttachmentFact::default() };
    let all = [
        file("a.exe", Some((10, 20))),
        file("b.txt", Some((30, 40))),
        file("c.exe", Some((12, 18))),
    ];
    let facts = |attachments| Facts { attachments, ..Facts::default() };
    let decision = decided_for("u@a.example", &settings, facts(&all));
    assert_eq!(decision.action, Action::Clean);
    let removed: Vec<(u64, u64)> = decision.removed.iter().map(|r| (r.start, r.end)).collect();
    assert_eq!(removed, [(10, 20)], "what is in another part goes with it");
    let stuck = [file("a.exe", None)];
    assert_eq!(decided_for("u@a.example", &settings, facts(&stuck)).action, Action::Quarantine);
}

#[test]
fn wrong_rules_are_refused_in_words() {
    let rule = |rest: &str| {
        format!("[[domain.settings.rules]]\nname = \"r\"\naction = \"drop\"\n{rest}\n")
    };
    for (rest, expected) in [
        ("when.content = [{ regex = \"(\" }]", "is no regular expression"),
        ("when.content = [{ regex = \"a*\" }]", "must not match the empty text"),
        ("when.content = [{ regex = \"a\", words = [\"b\"] }]", "expected one of"),
        ("when.content = [{ words = [\"list:none\"] }]", "no named list of words"),
        ("when.content = [{ words = [\" \"] }]", "no character that is not blank"),
        ("when.content = [{ words = [\"a\"], in = [\"foot\"] }]", "`foot` is not one of"),
        ("when.content = [{ identifier = \"shoe_size\" }]", "is not one of card_number"),
        ("when.auth = [\"spf.maybe\"]", "is not a check and its result"),
        ("when.client = [\"somewhere\"]", "is no address or network"),
        ("when.time = { from = \"25:00\", to = \"1:00\" }", "expected a time of day"),
        ("scope.recipients = [\"a b\"]", "is neither an address nor a domain"),
        ("scope.recipients = [\"list:none\"]", "no named list of addresses"),
        ("redirect = \"nobody\"", "is not a mail address"),
        ("bcc = [\"nobody\"]", "is not a mail address"),
        ("add_header = [{ name = \"Subject\", value = \"x\" }]", "begins with X-"),
        ("notify = [{ to = \"everybody\" }]", "expected sender, recipient"),
        ("sets = \"spam.action\"\nstamp = \"x\"", "not for this setting"),
        ("[[domain.settings.rules]]\nname = \"r\"\naction = \"drop\"", "is there twice"),
    ] {
        let told = problems(&rule(rest));
        assert!(told.iter().any(|problem| problem.contains(expected)), "{rest}: {told:?}");
    }
}
