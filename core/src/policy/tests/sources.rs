use proptest::prelude::*;

use crate::config::RouteTls;
use crate::policy::source::{DomainSource, fuzz_domains, parse_domains};
use crate::policy::*;

const OWN: &[&str] = &["mx.example.net", "192.0.2.1:25", "127.0.0.1:2525"];

fn problems(text: &str) -> Vec<String> {
    let told = parse_domains(text, "domains.toml", OWN).expect_err("refused");
    told.iter().map(ToString::to_string).collect()
}

fn domains(text: &str) -> Vec<DomainSource> {
    parse_domains(text, "domains.toml", OWN).expect("no mistakes").0
}

const WHOLE: &str = r#"
[[domain]]
name = "Example.COM"
profile = "securemail"
aliases = ["example.org", "例え.jp"]
recipients = ["user", "info"]
refused_recipients = ["old"]
bypass_recipients = ["postmaster"]
primary_contact = "admin@example.com"

[[domain.route]]
host = "mail.example.com"
port = 2525
preference = 5
tls = "verify"

[[domain.alias]]
alias = "sales"
mailbox = "user"

[domain.settings]
quarantine.days = 21
spam.points = 6.5
recipient.refused_chars = "%!"

[[domain.settings.class_actions]]
order = 1
main = "spam"
action = "accept_and_mark"

[[domain.settings.rules]]
name = "programs"
action = "quarantine"
[domain.settings.rules.when]
attachment_name = ["*.exe", "*.scr"]
header = [{ name = "Subject", matches = "*invoice*" }]
"#;

#[test]
fn a_whole_domain_is_read() {
    let all = domains(WHOLE);
    let domain = &all[0];
    assert_eq!(domain.name.as_ref(), "example.com");
    assert_eq!(domain.profile, Profile::Securemail);
    assert_eq!(domain.domain_aliases, ["example.org".into(), "xn--r8jz45g.jp".into()]);
    assert_eq!(domain.routes[0].port, 2525);
    assert_eq!(domain.routes[0].tls, RouteTls::Verify);
    assert_eq!(domain.mailbox_aliases[0].alias.as_ref(), "sales");
    assert_eq!(domain.recipients.len(), 2);
    assert_eq!(domain.recipient_block, ["old".into()]);
    assert_eq!(domain.recipient_allow, ["postmaster".into()]);
    assert_eq!(domain.settings.quarantine.days, 21);
    assert_eq!(domain.settings.weights.spam_points, 6_500);
    assert_eq!(domain.settings.recipient.refused_chars.as_ref(), "%!");
    assert_eq!(domain.settings.class_actions[0].action, Action::Tag);
    let own = domain.settings.rules.last().expect("behind those of the profile");
    assert_eq!(own.name.as_ref(), "programs");
    assert_eq!(own.conditions.attachment_names.len(), 2);
    assert_eq!(own.conditions.headers[0].name.as_ref(), "Subject");
    assert_eq!(domain.settings.lists, preset(Profile::Securemail).lists, "the rest is the preset");
}

#[test]
fn settings_survive_json_and_keep_their_identity() {
    let settings = domains(WHOLE).remove(0).settings;
    let json = serde_json::to_string(&settings).expect("plain data");
    assert_eq!(serde_json::from_str::<DomainSettings>(&json).expect("reads back"), settings);
}

#[test]
fn sm_05_a_domain_without_a_route_is_a_warning() {
    let (domains, warnings) =
        parse_domains("[[domain]]\nname = \"a.example\"\nprofile = \"tmems\"\n", "d.toml", OWN)
            .expect("no mistakes");
    assert!(domains[0].routes.is_empty());
    assert!(warnings[0].to_string().contains("route: there is none: recipients get 451"));
}

#[test]
fn recipients_that_nobody_asks_for_are_a_warning() {
    let text = |profile: &str, verify: &str| {
        format!(
            "[[domain]]\nname = \"a.example\"\nprofile = \"{profile}\"\nrecipients = [\"info\"]\n\
             [[domain.route]]\nhost = \"h.example\"\n[domain.settings]\n{verify}"
        )
    };
    let warnings =
        |profile, verify| parse_domains(&text(profile, verify), "d.toml", OWN).unwrap().1;
    let told = warnings("tmems", "");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].to_string().starts_with("d.toml:4:"), "{}", told[0]);
    assert!(told[0].to_string().contains("every address is accepted"), "{}", told[0]);
    assert_eq!(warnings("tmems", "recipient.verify = \"list\"\n"), []);
    assert_eq!(warnings("iij-secure-mx", ""), []);
}

#[test]
fn wrong_domains_are_refused_in_words() {
    let with =
        |rest: &str| format!("[[domain]]\nname = \"a.example\"\nprofile = \"securemail\"\n{rest}");
    let cases = [
        // SM-10
        (with("[[domain.route]]\nhost = \"\"\n"), "domains.toml:5:8: domain.route.host: is empty"),
        (with("[[domain.route]]\nport = 25\n"), "domain.route.host: is missing"),
        (with("[[domain.route]]\nhost = \"h\"\nport = 0\n"), "0 is below the minimum of 1"),
        (
            with("[[domain.route]]\nhost = \"h\"\nport = 65536\n"),
            "65536 is above the maximum of 65535",
        ),
        (with("[[domain.route]]\nhost = \"mx.example.net\"\n"), "is this gateway itself"),
        (
            with("[[domain.route]]\nhost = \"MX.example.net\"\nport = 26\n"),
            "is this gateway itself",
        ),
        (with("[[domain.route]]\nhost = \"192.0.2.1\"\n"), "is this gateway itself"),
        (with("[[domain.route]]\nhost = \"localhost\"\nport = 2525\n"), "is this gateway itself"),
        (with("[[domain.route]]\nhost = \"a b\"\n"), "is not a host name or address"),
        // SM-62
        (
            with("[domain.settings]\nsize.limit_mb = 0\n"),
            "size.limit_mb: 0 is below the minimum of 1",
        ),
        (with("[domain.settings]\nsize.limit_mb = 2049\n"), "2049 is above the maximum of 2048"),
        (
            with("[domain.settings]\nsize.limit_mb = \"big\"\n"),
            "is a string, expected a whole number",
        ),
        (
            with("[domain.settings]\nsize.action = \"deliver\"\n"),
            "is not one of reject, quarantine",
        ),
        // SM-58
        (
            with("refused_recipients = [\"a@a.example\"]\n"),
            "`a@a.example` holds @: the user name only",
        ),
        (with("refused_recipients = [\"\"]\n"), "`` is empty"),
        // SM-20, SM-21
        (with("[[domain.alias]]\nalias = \"a\"\nmailbox = \"A\"\n"), "`a` is its own target"),
        (
            with(
                "[[domain.alias]]\nalias = \"a\"\nmailbox = \"b\"\n[[domain.alias]]\nalias = \"a\"\nmailbox = \"c\"\n",
            ),
            "`a` is there twice",
        ),
        (with("aliases = [\"a.example\"]\n"), "domain a.example: already belongs to a.example"),
        (with("aliases = [\"no domain\"]\n"), "`no domain` is not a domain name"),
        // SM-51, SM-63
        (with("primary_contact = \"nobody\"\n"), "primary_contact: is not a mail address"),
        (
            with("[domain.settings]\nrecipient.refused_chars = \"a\"\n"),
            "holds a letter, a digit or @",
        ),
        (
            with(
                "[[domain.settings.class_actions]]\norder = 1\nmain = \"spann\"\naction = \"drop\"\n",
            ),
            "`spann` matches no class that a mail is judged to be: not_spam, ",
        ),
        (
            with(
                "[[domain.settings.class_actions]]\norder = 1\nmain = \"greylist\"\naction = \"drop\"\n",
            ),
            "`greylist` matches no class",
        ),
        (
            with(
                "[[domain.settings.class_actions]]\norder = 1\nmain = \"spam\"\nsub = \"grey*mial\"\naction = \"drop\"\n",
            ),
            "class_actions.sub: `grey*mial` matches no sub class: ",
        ),
        (
            with(
                "[[domain.settings.class_actions]]\norder = 1\nmain = \"*\"\naction = \"drop\"\n[[domain.settings.class_actions]]\norder = 1\nmain = \"*\"\naction = \"accept\"\n",
            ),
            "class_actions.order: 1 is there twice",
        ),
        (with("[domain.settings]\nspam.points = 2\n"), "expected 0 < suspect.points"),
        (with("[domain.settings]\nspam.points = 5.0001\n"), "at most three decimals"),
        (with("[domain.settings]\nlists.precedence = \"allow\"\n"), "is not one of specific_first"),
        (
            with("[domain.settings]\nquarantine.dais = 3\n"),
            "unknown key `domain.settings.quarantine.dais`, did you mean `days`?",
        ),
        (with("[[domain.settings.rules]]\nname = \"x\"\n"), "rules.action: is missing"),
        (
            with("[[domain.settings.rules]]\nname = \"x\"\naction = \"stamp\"\n"),
            "rules.stamp: is missing",
        ),
        (
            with("[domain.settings]\nnotice.from = \"nobody\"\n"),
            "notice.from: is not a mail address",
        ),
        (with("[domain.settings]\nnotice.virus = [\"all\"]\n"), "notice.virus: expected sender"),
        (
            with("[domain.settings]\nnotice.virus = [\"list:nobody\"]\n"),
            "notice.virus: expected sender",
        ),
        (
            with(
                "[domain.settings]\nnotice.virus = [\"list:wide\"]\n[[domain.named_list]]\nname = \"wide\"\n\
                 addresses = [\"*@ops.example\", \"ops.example\"]\n",
            ),
            "notice.virus: the list has no plain mail address",
        ),
        (with("[domain.settings]\nstamp.signed = \"seal\"\n"), "`seal` is not one of"),
        ("[[domain]]\nprofile = \"tmem\"\n".into(), "`tmem` is not one of"),
        ("[[domain]]\nprofile = \"tmems\"\n".into(), "domain.name: is missing"),
    ];
    for (text, expected) in cases {
        let told = problems(&text);
        assert!(told.iter().any(|problem| problem.contains(expected)), "{text}: {told:?}");
    }
}

#[test]
fn iij_85_notices_and_their_lists_are_read() {
    let text = "[[domain]]\nname = \"a.example\"\nprofile = \"tmems\"\n[domain.settings]\n\
                stamp.signed = \"stamp_and_seal\"\n[domain.settings.notice]\nlanguage = \"ja\"\n\
                from = \"no-reply@a.example\"\nvirus = [\"recipient\", \"administrator\", \"list:security\"]\n\
                administrators = [\"x@a.example\"]\naddress_hourly_max = 5\n\
                [[domain.named_list]]\nname = \"security\"\n\
                addresses = [\"s@a.example\", \"t@b.example\"]\n";
    let (domains, _) = parse_domains(text, "domains.toml", &[]).expect("no mistakes");
    let settings = &domains[0].settings;
    assert_eq!(settings.stamp_signed, StampSigned::StampAndSeal);
    let notice = &settings.notice;
    assert_eq!(notice.language, Language::Ja);
    assert_eq!(&*notice.from, "no-reply@a.example");
    let security = NoticeTo::List("security".into());
    let virus = [NoticeTo::Recipient, NoticeTo::Administrator, security.clone()];
    assert_eq!(notice.virus, virus);
    assert_eq!(notice.administrators, ["x@a.example".into()]);
    assert_eq!((notice.address_hourly_max, notice.domain_hourly_max), (5, 500));
    assert_eq!(settings.notify_lists[0].mailboxes.len(), 2);
    // A virus is told of, spam is not.
    let decision = super::decided(&[super::virus()], settings, ListDecision::None);
    let told: Vec<_> = decision.notices.iter().map(|ask| (&ask.to, &*ask.template)).collect();
    let expected = [
        (&NoticeTo::Recipient, "virus"),
        (&NoticeTo::Administrator, "virus_administrator"),
        (&security, "virus_administrator"),
    ];
    assert_eq!(told, expected);
    assert!(super::decided(&[super::spam()], settings, ListDecision::None).notices.is_empty());
}

#[test]
fn two_domains_with_one_name_are_refused() {
    let one = "[[domain]]\nname = \"a.example\"\nprofile = \"tmems\"\n";
    assert!(problems(&format!("{one}{one}"))[0].contains("already belongs to a.example"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_octets_make_the_reader_panic(
        cut in 0..WHOLE.len(),
        junk in prop::collection::vec(any::<u8>(), 0..24),
    ) {
        let mut octets = WHOLE.as_bytes().to_vec();
        octets.splice(cut..cut, junk);
        fuzz_domains(&octets);
    }
}

/// TM-09: whom mail must not pose as is a setting of the domain, and every mistake in it is told.
#[test]
fn tm_09_impersonation_is_read_and_mistakes_are_told() {
    let text = r#"
[[domain]]
name = "example.co.jp"
profile = "tmems"
[domain.settings.impersonation]
own_domains = ["example.com", "例え.jp"]
protected_domains = ["supplier.example"]
points = { person = 4.5 }
[[domain.settings.impersonation.persons]]
name = "山田 太郎"
addresses = ["Taro@Home.example"]
[[domain.settings.impersonation.brands]]
names = ["みどり信用組合"]
domains = ["midori.example"]
"#;
    let all = domains(text);
    let read = &all[0].settings.impersonation;
    assert!(read.enabled);
    assert_eq!(read.own_domains, ["example.com".into(), "xn--r8jz45g.jp".into()]);
    assert_eq!((read.points.person, read.points.own_domain), (4_500, 3_000));
    assert_eq!(&*read.persons[0].addresses[0], "taro@home.example");
    assert_eq!(&*read.brands[0].domains[0], "midori.example");
    let copy: DomainSettings =
        serde_json::from_str(&serde_json::to_string(&all[0].settings).unwrap()).unwrap();
    assert_eq!(copy, all[0].settings);
    for (wrong, right) in [
        ("addresses = [\"nobody\"]", "addresses = [\"Taro@Home.example\"]"),
        ("own_domains = [\"example\"]", "own_domains = [\"example.com\", \"例え.jp\"]"),
        ("name = \"x\"", "name = \"山田 太郎\""),
        ("domains = []", "domains = [\"midori.example\"]"),
    ] {
        let broken = text.replace(right, wrong);
        assert_ne!(broken, text);
        assert!(parse_domains(&broken, "domains.toml", &[]).is_err(), "{wrong}");
    }
}
