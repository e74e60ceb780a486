use proptest::prelude::*;

use super::*;

fn problems(text: &str) -> Vec<String> {
    Config::parse(text, "sekisho.toml")
        .expect_err("refused")
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn the_default_text_parses_to_the_default_configuration() {
    let (config, warnings) = Config::parse(DEFAULT_TEXT, "sekisho.toml").expect("no mistakes");
    assert_eq!(config, Config::default());
    assert!(warnings.is_empty());
}

#[test]
fn the_default_text_names_every_key_that_is_read() {
    // A key that is missing in the text would be found by nobody: each line is taken out in turn,
    // and its misspelt form must be offered the right one.
    for line in DEFAULT_TEXT.lines().filter(|l| l.contains(" = ") && !l.starts_with('#')) {
        let misspelt = DEFAULT_TEXT.replacen(line, &format!("zz{line}"), 1);
        let told = problems(&misspelt);
        assert!(told.iter().any(|p| p.contains("unknown key")), "{line}: {told:?}");
    }
}

#[test]
fn an_empty_file_is_the_default_configuration() {
    assert_eq!(Config::parse("", "x").expect("fine").0, Config::default());
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_place() {
    let text = "[smtp]\nmessage_bytes_max = 100\nerorrs_max = 3\nearly_talkers = \"refuze\"\n\
                \n[quarantin]\ndays = 1\n[log]\nlevel = 3\n";
    assert_eq!(
        problems(text),
        [
            "sekisho.toml:2:21: smtp.message_bytes_max: 100 is below the minimum of 65536",
            "sekisho.toml:3:1: unknown key `smtp.erorrs_max`, did you mean `errors_max`?",
            "sekisho.toml:4:17: smtp.early_talkers: `refuze` is not one of refuse, allow, did you \
             mean `refuse`?",
            "sekisho.toml:6:2: unknown key `quarantin`",
            "sekisho.toml:9:9: log.level: is a integer, expected a word",
        ]
    );
}

#[test]
fn each_wrong_value_is_refused_in_words() {
    let cases = [
        ("[engine]\nhost_name = \"-x\"", "engine.host_name: is not a domain name"),
        ("[engine]\ndata_dir = \"\"", "engine.data_dir: is empty"),
        ("[engine]\nshards = -1", "engine.shards: -1 is below the minimum of 0"),
        ("[engine]\nshards = 99999999999999999999", "shards"),
        ("listener = []", "listener: at least one is needed"),
        ("[[listener]]\ntls = \"starttls\"", "listener.address: is missing"),
        ("[[listener]]\naddress = \"127.0.0.1\"", "listener.address: `127.0.0.1`: "),
        ("[[listener]]\naddress = \"[::1]:25\"\nproxy_from = [\"10.0.0.1/8\"]", "bits set beyond"),
        ("[[listener]]\naddress = \"[::1]:25\"\nxclient_from = [\"x\"]", "is not an address"),
        ("[smtp]\nrecipients_max = 99", "99 is below the minimum of 100"),
        ("[smtp]\nmessage_bytes_max = 2147483649", "is above the maximum of 2147483648"),
        ("[tls]\ncertificate = \"a.pem\"", "tls.certificate: needs key too"),
        ("[tls]\nkey = \"a.pem\"", "tls.key: needs certificate too"),
        ("[delivery]\nretry_seconds = []", "delivery.retry_seconds: is empty"),
        ("[delivery]\nretry_seconds = [0]", "expected whole numbers from 1 to 86400"),
        ("[delivery]\nfinal_dot_timeout_ms = 60000\nfinal_dot_wait_ms = 70000", "is below final_"),
        ("[delivery]\nlifetime_hours = 3", "lifetime_hours: 3 is below delay_warning_hours (4)"),
        ("[storage]\nspool_bytes_max = 1000", "leaves nothing above reserve_bytes"),
        ("[metrics]\naddress = \"here\"", "metrics.address: expected address:port or \"off\""),
        (
            "[[tables.source]]\nkind = \"senders\"\nformat = \"csv\"",
            "tables.source.path: is missing",
        ),
        (
            "[[tables.source]]\npath = \"a\"\nkind = \"senders\"\nformat = \"clamav\"",
            "tables.source.format: does not fit this kind",
        ),
        ("[smtp", "sekisho.toml:1:"),
        ("smtp = 3", "smtp: is a integer, expected a table"),
    ];
    for (text, expected) in cases {
        let told = problems(text);
        assert!(told.iter().any(|problem| problem.contains(expected)), "{text}: {told:?}");
    }
}

#[test]
fn what_is_written_is_what_is_read() {
    let text = "[[listener]]\naddress = \"0.0.0.0:25\"\ntls = \"implicit\"\nproxy_from = \
                [\"10.0.0.0/8\", \"::1\"]\n[metrics]\naddress = \"off\"\n[delivery]\nmode = \
                \"spool\"\n[admission.address]\nconnections_max = 7\n";
    let (config, _) = Config::parse(text, "x").expect("fine");
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].tls, ListenerTls::Implicit);
    assert_eq!(config.listeners[0].proxy_from.len(), 2);
    assert_eq!(config.metrics.address, None);
    assert_eq!(config.delivery.mode, DeliveryMode::Spool);
    assert_eq!(config.admission.address.connections_max, 7);
    assert_eq!(config.admission.exempt, Config::default().admission.exempt);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_octets_make_the_reader_panic(
        cut in 0..DEFAULT_TEXT.len(),
        junk in prop::collection::vec(any::<u8>(), 0..24),
    ) {
        let mut octets = DEFAULT_TEXT.as_bytes().to_vec();
        octets.splice(cut..cut, junk);
        fuzz_config(&octets);
    }
}

#[test]
fn a_seal_has_a_domain_a_selector_and_the_name_of_a_key() {
    let read =
        |lines: &str| Config::parse(&format!("[authentication.arc_seal]\n{lines}"), "c.toml");
    let (config, _) = read("domain = \"Example.COM\"\nselector = \"arc1\"\nseal = \"all\"\n")
        .expect("no mistakes");
    let expected = ArcSeal {
        domain: "example.com".into(),
        selector: "arc1".into(),
        key: "arc.pem".into(),
        what: Sealed::All,
    };
    assert_eq!(config.authentication.arc_seal, Some(expected));
    for (lines, why) in [
        ("selector = \"s\"\n", "arc_seal.domain: is missing or not a domain"),
        ("domain = \"example.com\"\n", "arc_seal.selector: is missing or not a label"),
        (
            "domain = \"example.com\"\nselector = \"s\"\nkey = \"../key.pem\"\n",
            "arc_seal.key: is not the name of a file in secrets/",
        ),
        ("domain = \"example.com\"\nselector = \"s\"\nseal = \"some\"\n", "`some` is not one of"),
    ] {
        let problems = read(lines).expect_err("a mistake");
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|problem| problem.contains(why)), "{lines}: {told:?}");
    }
}
