//! Standard rules: a profile's settings under their names; overriding by name.

use super::*;
use crate::policy::source::parse_domains;

fn domain(profile: &str, settings: &str) -> DomainSettings {
    let text = format!(
        "[[domain]]\nname = \"a.example\"\nprofile = \"{profile}\"\n[domain.settings]\n{settings}\n"
    );
    let (mut domains, _) = parse_domains(&text, "d.toml", &[]).expect(settings);
    domains.remove(0).settings
}

fn named<'s>(settings: &'s DomainSettings, name: &str) -> &'s PolicyRule {
    settings.rules.iter().find(|rule| &*rule.name == name).expect(name)
}

const SPAM: &str = "スパム・フィッシングメール（受信）";
const SUSPECT: &str = "スパムの疑いがあるメール（受信）";
const HIGHRISK: &str = "危険性の高い添付ファイル（受信）";

#[test]
fn ntt_05_a_fresh_domain_lists_exactly_eight_rules() {
    let settings = preset(Profile::NttMailSecurity);
    assert_eq!(settings.rules.len(), 8);
    let on: Vec<bool> = settings.rules.iter().map(|rule| rule.enabled).collect();
    assert_eq!(on, [true, true, true, true, false, false, false, false]);
    let virus = settings.rules[0].side.notices.first().expect("notice A");
    assert_eq!(virus.to, NoticeTo::Recipient);
    assert!(settings.rules[2].stamp.contains("{file}"));
}

#[test]
fn ntt_05_rules_are_switched_by_name_and_their_settings_with_them() {
    let text = format!(
        "[[domain.settings.rules]]\nname = \"{SUSPECT}\"\nenabled = true\n\
         [[domain.settings.rules]]\nname = \"{HIGHRISK}\"\nenabled = true\n\
         [[domain.settings.rules]]\nname = \"{SPAM}\"\naction = \"quarantine\"\n"
    );
    let settings = domain("ntt-mail-security", &text);
    assert_eq!(settings.rules.len(), 8);
    assert_eq!(settings.actions.suspect.medium, Action::Tag);
    assert_eq!(settings.actions.suspect_tag.as_ref(), "[SPAM!!!]");
    assert_eq!(settings.actions.highrisk, Action::Drop);
    assert!(settings.weights.highrisk, "the verdict looks for it now");
    assert_eq!(settings.actions.spam, Action::Quarantine, "NTT-09");
    let off = format!("[[domain.settings.rules]]\nname = \"{SPAM}\"\nenabled = false\n");
    assert_eq!(domain("ntt-mail-security", &off).actions.spam, Action::Deliver);
}

#[test]
fn ntt_05_ntt_06_a_notice_is_what_the_virus_rule_does_so_without_the_rule_there_is_none() {
    let told = |more: &str| {
        let text =
            format!("[[domain.settings.rules]]\nname = \"ウイルスメール（受信）\"\n{more}\n");
        let decision = decided(&[virus()], &domain("ntt-mail-security", &text), ListDecision::None);
        (
            decision.action,
            decision.notices.iter().filter(|one| &*one.rule == "notice.virus").count(),
        )
    };
    // Nothing can be cut out of this one: the mail is deleted.
    assert_eq!(told(""), (Action::Drop, 1));
    assert_eq!(told("enabled = false"), (Action::Deliver, 0));
    assert_eq!(told("log_only = true").1, 0);
    // A class action acts in the rule's place.
    let class = "[[domain.settings.class_actions]]\norder = 1\nmain = \"virus\"\naction = \"fake_accept\"\n";
    let by_class = decided(&[virus()], &domain("ntt-mail-security", class), ListDecision::None);
    assert!(by_class.notices.iter().any(|one| &*one.rule == "notice.virus"), "{by_class:?}");
}

#[test]
fn a_setting_that_is_written_directly_shows_in_its_rule() {
    let settings = domain("ntt-mail-security", "spam.action = \"quarantine\"\nspam.tag = \"[X]\"");
    let rule = named(&settings, SPAM);
    assert_eq!((rule.action, rule.tag.as_ref()), (Action::Quarantine, "[X]"));
    let settings = domain("ntt-mail-security", "spam.action = \"deliver\"");
    assert!(!named(&settings, SPAM).enabled);
    // Likelihoods have rules of their own.
    let settings = domain("iij-secure-mx", "suspect.action = { low = \"tag\", medium = \"drop\" }");
    assert_eq!(named(&settings, "Spam Filter: MEDIUM").action, Action::Drop);
    assert_eq!(named(&settings, "Spam Filter: LOW").action, Action::Tag);
}

#[test]
fn a_setting_goes_by_the_name_of_its_rule_in_the_log_iij_74() {
    let settings = preset(Profile::IijSecureMx);
    let decision = decided(&[spam()], &settings, ListDecision::None);
    let matched = &decision.matched[0];
    assert_eq!((&*matched.name, &*matched.memo), ("spam.action", "Spam Filter: HIGH"));
    assert_eq!(&*matched.condition, "HIGH");
    let medium = decided(&[finding(FindingKind::Spam, 4_000)], &settings, ListDecision::None);
    assert_eq!(&*medium.matched[0].memo, "Spam Filter: MEDIUM");
    assert_eq!(medium.action, Action::Quarantine);
    let malware = decided(&[virus()], &settings, ListDecision::None);
    assert_eq!(&*malware.matched[0].condition, "Malware", "its name");
}

#[test]
fn a_standard_rule_has_scope_log_only_and_bypasses_like_any_other() {
    let with = |more: &str| {
        let text = format!("[[domain.settings.rules]]\nname = \"{SPAM}\"\n{more}\n");
        let settings = domain("ntt-mail-security", &text);
        let recipient = crate::envelope::Mailbox::new("boss", "a.example");
        let scope = ScopeMask::of(&settings.rules, &recipient);
        let verdict = verdict(&[spam()], &settings, ListDecision::None);
        let bypasses = [Bypassed { rule: Some("no such rule"), told: "".into() }];
        decide(&verdict, &settings, &Facts { scope, bypasses: &bypasses, ..Facts::default() })
    };
    assert_eq!(with("").action, Action::Tag);
    assert_eq!(with("except.recipients = [\"boss@a.example\"]").action, Action::Deliver);
    assert_eq!(with("scope.recipients = [\"other@a.example\"]").action, Action::Deliver);
    let quiet = with("log_only = true");
    assert_eq!((quiet.action, quiet.tag), (Action::Deliver, None));
    assert!(quiet.matched[0].log_only);
}

#[test]
fn rules_of_ones_own_come_behind_those_of_the_profile_or_replace_them() {
    let own = "[[domain.settings.rules]]\nname = \"own\"\naction = \"drop\"\n";
    let settings = domain("tmems", own);
    assert_eq!(settings.rules.last().map(|rule| &*rule.name), Some("own"));
    let settings = domain("tmems", &format!("rules_replace = true\n{own}"));
    assert_eq!(settings.rules.len(), 1);
    assert_eq!(settings.actions.spam, Action::Quarantine, "the settings stay");
}

#[test]
fn tm_09_prefilled_values_wait_for_being_switched_on() {
    let settings = domain(
        "tmems",
        "[[domain.settings.rules]]\nname = \"Content policy: recipients\"\nenabled = true\n",
    );
    let verdict = verdict(&[], &settings, ListDecision::None);
    let held = |recipients| {
        let facts = Facts { recipients, ..Facts::default() };
        decide(&verdict, &settings, &facts).action.holds()
    };
    assert!(held(51) && !held(50));
}

#[test]
fn standard_rules_for_different_people_are_each_for_their_own() {
    let rule = |name: &str, more: &str| {
        format!("[[domain.settings.rules]]\nname = \"{name}\"\nsets = \"spam.action\"\n{more}\n")
    };
    let text =
        rule("spam A", "action = \"tag\"\ntag = \"[A]\"\nscope.recipients = [\"a@a.example\"]")
            + &rule("spam B", "action = \"quarantine\"\nscope.recipients = [\"b@a.example\"]");
    let settings = domain("securemail", &format!("rules_replace = true\n{text}"));
    let to = |who: &str| {
        let recipient = crate::envelope::Mailbox::new(who, "a.example");
        let scope = ScopeMask::of(&settings.rules, &recipient);
        let verdict = verdict(&[spam()], &settings, ListDecision::None);
        decide(&verdict, &settings, &Facts { scope, ..Facts::default() })
    };
    let (a, b, c) = (to("a"), to("b"), to("c"));
    assert_eq!((a.action, a.tag.as_deref()), (Action::Tag, Some("[A]")));
    assert_eq!((b.action, &*b.matched[0].memo), (Action::Quarantine, "spam B"));
    assert_eq!(c.action, Action::Deliver, "the rules are the setting");
    assert_eq!(settings.actions.spam, Action::Quarantine, "the strongest of them");
    // Both for everybody: as with all rules, the strongest that matches wins.
    let both = rule("one", "action = \"tag\"") + &rule("two", "action = \"drop\"");
    let settings = domain("securemail", &format!("rules_replace = true\n{both}"));
    let decision = decided(&[spam()], &settings, ListDecision::None);
    assert_eq!((decision.action, decision.matched.len()), (Action::Drop, 2));
}

#[test]
fn malware_is_taken_out_for_those_whose_rule_cleans() {
    let text = "rules_replace = true\n\
        [[domain.settings.rules]]\nname = \"a\"\nsets = \"virus.in\"\naction = \"clean\"\n\
        scope.recipients = [\"a@a.example\"]\n\
        [[domain.settings.rules]]\nname = \"b\"\nsets = \"virus.in\"\naction = \"drop\"\n\
        scope.recipients = [\"b@a.example\"]\n";
    let settings = domain("securemail", text);
    assert!(settings.cleans_malware());
    let recipient = crate::envelope::Mailbox::new("a", "a.example");
    let scope = ScopeMask::of(&settings.rules, &recipient);
    let verdict = verdict(&[virus()], &settings, ListDecision::None);
    let facts = Facts { scope, cleaned: true, ..Facts::default() };
    assert_eq!(decide(&verdict, &settings, &facts).action, Action::Clean);
}
