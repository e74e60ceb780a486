//! What the decision comes to, end to end: classes of SM-60, Always Allow, held copies that were cleaned, reasons by test signatures,
//! and what the log says of all that.

use std::path::PathBuf;

use sekisho_loadgen::store::StoredMail;
use sekisho_tests::gateway::{Gateway, Setup, words};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::{DEADLINE, wait_for, wait_longer};
use serde_json::Value;

use crate::eicar::{TEXT, attachment, mail as mail_of};
use crate::quarantine::starter_rules;

const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

fn eicar() -> Vec<u8> {
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR", "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"].concat().into()
}

fn setup(hop: &Hop, settings: &str) -> Setup {
    Setup {
        files: starter_rules(),
        settings: format!("recipient.verify = \"off\"\nquarantine.reply = \"accept\"\n{settings}"),
        ..Setup::to(hop.address())
    }
}

fn mail(from: &str, subject: &str, body: &str) -> String {
    format!("From: Some One <{from}>\r\nTo: user@demo.test\r\nSubject: {subject}\r\n\r\n{body}\r\n")
}

fn send(gateway: &Gateway, from: &str, to: &str, content: &str) -> u16 {
    gateway.send(from, &[to], content.as_bytes()).reply.code
}

fn rows(gateway: &Gateway, count: usize, conditions: &[&str]) -> Vec<Value> {
    let arguments = [&["log", "search"], conditions].concat();
    wait_longer("rows of the log", DEADLINE, || {
        let rows = gateway.sekisho_json(&arguments);
        (rows.len() >= count).then_some(rows)
    })
}

fn item(gateway: &Gateway, to: &str) -> Value {
    wait_for("it is held", || {
        let items = gateway.sekisho_json(&["quarantine", "list", "--all"]);
        items.into_iter().find(|item| item["to"] == to)
    })
}

fn got(hop: &Hop, to: &str) -> Vec<StoredMail> {
    hop.mails().into_iter().filter(|mail| mail.envelope.rcpt_to == [to]).collect()
}

fn written(gateway: &Gateway, name: &str, content: &[u8]) -> PathBuf {
    let path = gateway.data().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

#[test]
fn sm_60_training_and_block_entries_give_the_classes_that_the_log_shows() {
    let hop = Hop::start();
    let settings = "lists.block_action = \"reject\"\n\
        [[domain.settings.rules]]\nname = \"secret\"\naction = \"quarantine_hidden\"\n\
        when.header = [{ name = \"Subject\", matches = \"secret\" }]\n";
    let gateway = Gateway::start(&setup(&hop, settings));

    // Blacklisted: refused at RCPT, with the entry.
    let blocked = ["list", "add", "block", "bad@example.com", "--owner", "domain:demo.test"];
    assert!(gateway.sekisho(&blocked).status.success());
    let mut client = gateway.client();
    client.command("MAIL FROM:<bad@example.com>").unwrap();
    assert_eq!(client.command("RCPT TO:<user@demo.test>").unwrap().code, 550);
    client.quit();
    let row = &rows(&gateway, 1, &["row=delivery", "from=bad@example.com"])[0];
    assert_eq!(
        (&row["classification"], &row["reason"]),
        (&"Blacklisted".into(), &"block_list".into())
    );
    assert_eq!(row["list_entry"], "block: bad@example.com");

    // Locked: held out of the recipient's sight.
    assert_eq!(
        send(&gateway, "a@example.com", "hidden@demo.test", &mail("a@example.com", "secret", "x")),
        250
    );
    assert_eq!(item(&gateway, "hidden@demo.test")["class"], "Locked");
    rows(&gateway, 1, &["classification=Locked", "address=hidden@demo.test"]);

    // False-positive: released and trained as not spam.
    send(&gateway, "a@example.com", "user@demo.test", &mail("a@example.com", "offer", GTUBE));
    let id = item(&gateway, "user@demo.test")["item"].as_str().unwrap().to_owned();
    let released = gateway.sekisho(&["quarantine", "release", &id, "--train", "--yes"]);
    assert!(released.status.success(), "{}", words(&released));
    assert_eq!(got(&hop, "user@demo.test").len(), 1);
    assert_eq!(item(&gateway, "user@demo.test")["class"], "False-positive");
    let event = &rows(&gateway, 1, &["classification=False-positive"])[0];
    assert_eq!(
        (&event["action"], &event["address"]),
        (&"release and train".into(), &"user@demo.test".into())
    );

    // False-negative: delivered, and trained as spam afterwards.
    send(&gateway, "b@example.com", "other@demo.test", &mail("b@example.com", "hello", "buy now"));
    let delivered = got(&hop, "other@demo.test").pop().expect("delivered");
    let file = written(&gateway, "reported.eml", &delivered.content);
    rows(&gateway, 1, &["subject=hello"]);
    let trained =
        gateway.sekisho(&["train", "spam", file.to_str().unwrap(), "--domain", "demo.test"]);
    assert!(trained.status.success(), "{}", words(&trained));
    let event = &rows(&gateway, 1, &["classification=False-negative"])[0];
    assert_eq!((&event["action"], &event["action_details"]), (&"train".into(), &"spam".into()));
    assert_eq!(
        (&event["address"], &event["from"]),
        (&"other@demo.test".into(), &"b@example.com".into())
    );
    assert!(event["by"].as_str().unwrap().starts_with("uid "), "{event}");
}

#[test]
fn iij_53_always_allow_takes_only_accounts_whose_user_filter_is_the_threat_filter() {
    let hop = Hop::start();
    let settings = "lists.user_lists = [\"allow\"]\nlists.add_requires = \"threat_filter\"\n\
        lists.threat_filter = [\"one@demo.test\"]\nlists.other_filter = [\"two@demo.test\"]\n";
    let gateway = Gateway::start(&setup(&hop, settings));
    let spam = mail("spammer@example.com", "offer", GTUBE);
    for to in ["one@demo.test", "two@demo.test", "three@demo.test"] {
        send(&gateway, "bounce@example.com", to, &spam);
        let id = item(&gateway, to)["item"].as_str().unwrap().to_owned();
        let allowed = gateway.sekisho(&["quarantine", "allow", &id]);
        assert_eq!(allowed.status.success(), to == "one@demo.test", "{to}: {}", words(&allowed));
        let why = words(&allowed);
        match to {
            "two@demo.test" => assert!(why.contains("is not \"Threat Email Filter\""), "{why}"),
            "three@demo.test" => assert!(why.contains("has no user filter"), "{why}"),
            _ => {}
        }
        assert_eq!(item(&gateway, to)["state"], "held", "it does not release");
    }
    let entries = gateway.sekisho_json(&["list", "show"]);
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert!(entries[0].to_string().contains("spammer@example.com"), "the author: {entries:?}");
    assert!(got(&hop, "one@demo.test").is_empty());
    for to in ["one@demo.test", "two@demo.test"] {
        send(&gateway, "bounce2@example.com", to, &spam);
    }
    assert_eq!(got(&hop, "one@demo.test").len(), 1, "the next spam from him arrives");
    assert!(got(&hop, "two@demo.test").is_empty());
}

/// The address on the list is the one that the mail is from, whatever its name looks like.
#[test]
fn iij_53_always_allow_is_not_led_by_a_name_that_looks_like_an_address() {
    let hop = Hop::start();
    let gateway = Gateway::start(&setup(&hop, "lists.user_lists = [\"allow\"]\n"));
    let forms = [
        "=?utf-8?q?good=40partner.test_=28?= <spam@evil.test>",
        "=?utf-8?q?=3Cgood=40partner.test=3E?= <spam@evil.test>",
        "=?utf-8?q?a=2C_b=22?= <spam@evil.test>",
        "\"good@partner.test\" <spam@evil.test>",
    ];
    for (number, from) in forms.iter().enumerate() {
        let to = format!("user{number}@demo.test");
        let spam = format!("From: {from}\r\nSubject: offer\r\n\r\n{GTUBE}\r\n");
        send(&gateway, "bounce@example.com", &to, &spam);
        let id = item(&gateway, &to)["item"].as_str().unwrap().to_owned();
        let allowed = gateway.sekisho(&["quarantine", "allow", &id]);
        let said = words(&allowed);
        assert!(said.contains("spam@evil.test is allowed by user"), "{from}: {said}");
    }
    // Two authors: nobody knows who is meant, so it is the sender of the envelope.
    let spam = format!("From: a@one.test, b@two.test\r\nSubject: offer\r\n\r\n{GTUBE}\r\n");
    send(&gateway, "bounce@example.com", "last@demo.test", &spam);
    let id = item(&gateway, "last@demo.test")["item"].as_str().unwrap().to_owned();
    assert!(gateway.sekisho(&["quarantine", "allow", &id]).status.success());
    let entries = gateway.sekisho_json(&["list", "show"]);
    let count = |text: &str| entries.iter().filter(|one| one.to_string().contains(text)).count();
    assert_eq!((count("spam@evil.test"), count("bounce@example.com"), entries.len()), (4, 1, 5));
}

#[test]
fn what_a_clean_action_takes_out_is_not_brought_by_a_release() {
    let hop = Hop::start();
    let settings = "virus.in = \"clean\"\nquarantine.rescan = false\n";
    let gateway = Gateway::start(&setup(&hop, settings));
    let content = mail_of(
        "offer",
        &[
            &format!("Content-Type: text/plain\r\n\r\nhello\r\n{GTUBE}\r\n"),
            &attachment("invoice.com", &eicar()),
            &attachment("readme.bin", b"harmless"),
        ],
    );
    let sent = gateway.send("a@example.com", &["user@demo.test"], &content);
    assert_eq!(sent.reply.code, 250, "{}", sent.reply.text());
    let id = item(&gateway, "user@demo.test")["item"].as_str().unwrap().to_owned();
    let row = &rows(&gateway, 1, &["status=held"])[0];
    assert!(row["removed"].to_string().contains("invoice.com"), "the log says so: {row}");
    let released = gateway.sekisho(&["quarantine", "release", &id, "--yes"]);
    assert!(released.status.success(), "{}", words(&released));
    let mail = got(&hop, "user@demo.test").pop().expect("released");
    let text = String::from_utf8_lossy(&mail.content).into_owned();
    let virus = data(&eicar());
    assert!(!text.contains(&virus), "the virus stays out:\n{text}");
    assert!(
        text.contains("GTUBE") && text.contains(&data(b"harmless")),
        "the rest arrives:\n{text}"
    );
}

/// As `attachment` encodes it.
fn data(octets: &[u8]) -> String {
    let part = String::from_utf8(attachment("x", octets).into()).unwrap();
    part.rsplit("\r\n\r\n").next().unwrap().lines().next().unwrap().to_owned()
}

#[test]
fn tm_08_each_reason_has_a_test_signature() {
    let hop = Hop::start();
    let settings = "graymail.action = \"quarantine\"\ncontent.action = \"quarantine\"\nhighrisk.in = \"quarantine\"\n";
    let gateway = Gateway::start(&setup(&hop, settings));
    let cases = [
        ("PHISHING", "phishing", "Phish"),
        ("BEC", "bec", "Phish"),
        ("WEB_REPUTATION", "web_reputation", "Phish"),
        ("GRAYMAIL", "graymail", "Spam"),
        ("RANSOMWARE", "ransomware", "Virus"),
        ("TARGETED_ATTACK", "targeted_attack", "Virus"),
        ("SUSPICIOUS_OBJECT", "suspicious_object", "Virus"),
        ("SCAN_EXCEPTION", "scan_exception", "Error"),
        ("CONTENT", "content", "Spam"),
        ("ATTACHMENT", "attachment", "Spam"),
    ];
    for (name, reason, class) in cases {
        let line =
            format!("XJS*C4JDBQADN1.SEKISHO-TEST-SIGNATURE-{}*C.34X", name.replace('_', "-"));
        let file = written(&gateway, "mail.eml", mail("a@example.com", "x", &line).as_bytes());
        let judged =
            &gateway.sekisho_json(&["check", file.to_str().unwrap(), "--to", "user@demo.test"])[0];
        assert_eq!(
            (&judged["reason"], &judged["class"]),
            (&reason.into(), &class.into()),
            "{judged}"
        );
        assert_eq!(judged["delivers"], false, "{name}");
    }
}

#[test]
fn tm_03_iij_75_rows_say_both_senders_and_what_was_done() {
    let hop = Hop::start();
    let rule = |name: &str, action: &str| {
        format!(
            "[[domain.settings.rules]]\nname = \"{name}\"\naction = \"{action}\"\n\
             when.header = [{{ name = \"Subject\", matches = \"{name}\" }}]\n"
        )
    };
    let settings = rule("hold", "quarantine")
        + &rule("refuse", "reject")
        + &rule("lose", "drop")
        + &rule("mark", "tag");
    let gateway = Gateway::start(&setup(&hop, &settings));
    for (subject, action, code) in [
        ("hold", "Quarantine", 250),
        ("refuse", "Rejected", 550),
        ("lose", "Discard", 250),
        ("mark", "Deliver", 250),
    ] {
        let to = format!("{subject}@demo.test");
        assert_eq!(
            send(&gateway, "bounce@lists.example", &to, &mail("author@example.com", subject, "x")),
            code
        );
        let row = &rows(&gateway, 1, &[&format!("address={to}"), "row=delivery"])[0];
        assert_eq!(row["action"], action, "IIJ-75: {row}");
        let event = &rows(&gateway, 1, &[&format!("address={to}"), "row=event"])[0];
        assert_eq!(event["delivery_action"], action);
        assert_eq!(event["from"], "bounce@lists.example", "TM-03: the envelope's");
        assert_eq!(event["author"], "Some One <author@example.com>", "TM-03: and the header's");
    }
}

#[test]
fn sm_02_a_virus_is_removed_unless_its_sender_is_on_the_white_list() {
    let hop = Hop::start();
    let gateway = Gateway::start(&setup(&hop, "headers.set = \"itscom\"\n"));
    let infected = mail_of("invoice", &[TEXT, &attachment("invoice.com", &eicar())]);
    for (from, to) in
        [("evil@example.com", "one@demo.test"), ("friend@example.com", "two@demo.test")]
    {
        let allow = ["list", "add", "allow", "friend@example.com", "--owner", "domain:demo.test"];
        let _ = gateway.sekisho(&allow);
        let sent = gateway.send(from, &[to], &infected);
        assert_eq!(sent.reply.code, 250, "{}", sent.reply.text());
    }
    assert!(got(&hop, "one@demo.test").is_empty(), "R gets nothing");
    assert_eq!(item(&gateway, "one@demo.test")["class"], "Virus", "a copy is kept");
    rows(&gateway, 1, &["classification=Virus", "address=one@demo.test"]);
    let mail = got(&hop, "two@demo.test").pop().expect("delivered");
    let text = String::from_utf8_lossy(&mail.content).into_owned();
    assert!(
        text.contains("X-AV-Result: infected\r\n"),
        "what the engine says, whatever the list: {text}"
    );
}

#[test]
fn the_log_says_where_rules_matched_which_did_not_count_and_what_each_room_found() {
    let hop = Hop::start();
    let mut setup = setup(
        &hop,
        "impersonation.persons = [{ name = \"Hanako Sato\", addresses = [\"hanako@demo.test\"] }]\n",
    );
    setup.files.push((
        "rules/50-offer.toml".to_owned(),
        "[[rule]]\nname = \"OFFER\"\nfield = \"body\"\npattern = \"once in a [a-z]+\"\nkind = \"spam\"\npoints = 6.5\n\
         describe_en = \"An offer\"\ndescribe_ja = \"特別な申し出\"\n"
            .to_owned(),
    ));
    let gateway = Gateway::start(&setup);
    let content = "From: Hanako Sato <someone@example.com>\r\nTo: user@demo.test\r\nSubject: offer\r\n\r\n\
                   This comes once in a lifetime, do hurry.\r\n";
    assert_eq!(send(&gateway, "someone@example.com", "user@demo.test", content), 250);
    let row = &rows(&gateway, 1, &["row=delivery", "subject=offer"])[0];
    let rule = |row: &Value, name: &str| -> Value {
        let rules = row["rules"].as_array().unwrap();
        rules
            .iter()
            .find(|one| one["name"] == name)
            .unwrap_or_else(|| panic!("{name} in {row}"))
            .clone()
    };
    let offer = rule(row, "OFFER");
    let detail = offer["detail"].as_str().unwrap();
    assert!(
        detail.contains("; found in body: ") && detail.contains("[once in a lifetime]"),
        "{detail}"
    );
    assert!(
        rule(row, "BEC_PERSON")["detail"].as_str().unwrap().contains("someone@example.com"),
        "{row}"
    );

    // Allowed: the same rules, and none of them counts.
    let allow = ["list", "add", "allow", "someone@example.com", "--owner", "domain:demo.test"];
    assert!(gateway.sekisho(&allow).status.success());
    assert_eq!(send(&gateway, "someone@example.com", "other@demo.test", content), 250);
    let row = &rows(&gateway, 1, &["row=delivery", "address=other@demo.test"])[0];
    assert_eq!(rule(row, "OFFER")["not_counted"], true, "{row}");
    let id = row["mail"].as_str().unwrap();
    let told = gateway.sekisho_json(&["log", "story", id, "--lang", "ja"])[0].to_string();
    assert!(told.contains("OFFER") && told.contains("判定には使用せず"), "{told}");
    assert!(told.contains("特別な申し出"), "in its own Japanese words: {told}");
}

#[test]
fn ntt_06_a_notice_names_the_infected_file_and_texts_that_do_not_exist_are_refused() {
    let hop = Hop::start();
    let gateway =
        Gateway::start(&setup(&hop, "notice.virus = [\"recipient\"]\nnotice.language = \"en\"\n"));
    let infected = mail_of(
        "invoice",
        &[TEXT, &attachment("minutes.bin", b"harmless"), &attachment("invoice.com", &eicar())],
    );
    assert_eq!(gateway.send("a@example.com", &["user@demo.test"], &infected).reply.code, 250);
    let notice = wait_for("the notice arrives", || {
        hop.mails()
            .into_iter()
            .find(|mail| String::from_utf8_lossy(&mail.content).contains("X-Sekisho-Notice"))
    });
    let text = String::from_utf8_lossy(&notice.content).into_owned();
    assert!(text.contains("File(s): invoice.com\r\n"), "not the others: {text}");

    let domains = std::fs::read_to_string(gateway.etc().join("domains.toml")).unwrap();
    let rule = "[[domain.settings.rules]]\nname = \"r\"\naction = \"quarantine\"\n\
                notify = [{ to = \"administrator\", template = \"dlp\" }]\n";
    gateway.write("domains.toml", &format!("{domains}\n{rule}"));
    for command in [["tables", "build"], ["config", "check"]] {
        let built = gateway.sekisho(&command);
        assert!(!built.status.success(), "{command:?}");
        assert!(words(&built).contains("there is no text `dlp`"), "{}", words(&built));
    }
    gateway.write("notices/en/dlp.txt", "Subject: DLP\n\nA mail was held: %SUBJECT%\n");
    let built = gateway.sekisho(&["tables", "build"]);
    assert!(built.status.success(), "{}", words(&built));
}

#[test]
fn check_lets_an_own_list_clear_the_clients_address_as_the_engine_does() {
    let hop = Hop::start();
    let source = |path: &str, class: &str| {
        format!(
            "[[tables.source]]\npath = \"{path}\"\nkind = \"networks\"\nformat = \"rbldnsd\"\nname = \"{class} list\"\nclass = \"{class}\"\n"
        )
    };
    let mut setup = setup(&hop, "ip.action = \"score\"\n");
    setup.config = source("bad.zone", "positive") + &source("own.zone", "allow");
    setup.files.push(("bad.zone".to_owned(), "192.0.2.0/24\n".to_owned()));
    setup.files.push(("own.zone".to_owned(), "192.0.2.9\n".to_owned()));
    let gateway = Gateway::start(&setup);
    let file = written(&gateway, "mail.eml", mail("a@example.com", "x", "hello").as_bytes());
    let points = |client: &str| {
        let judged = &gateway.sekisho_json(&[
            "check",
            file.to_str().unwrap(),
            "--to",
            "user@demo.test",
            "--client",
            client,
        ])[0];
        let rules = judged["contributions"].as_array().unwrap();
        rules.iter().any(|one| one["rule"] == "positive list")
    };
    assert!(points("192.0.2.8"));
    assert!(!points("192.0.2.9"), "it stands on a list of ours");
}

#[test]
fn a_rescan_that_would_clean_holds_again_until_somebody_knows() {
    let hop = Hop::start();
    let mut setup = setup(&hop, "virus.in = \"clean\"\nquarantine.rescan = true\n");
    setup.files.clear();
    setup.settings += "[[domain.settings.rules]]\nname = \"wait\"\naction = \"quarantine\"\n\
        when.header = [{ name = \"Subject\", matches = \"invoice\" }]\n";
    let gateway = Gateway::start(&setup);
    let infected = mail_of("invoice", &[TEXT, &attachment("invoice.com", &eicar())]);
    assert_eq!(gateway.send("a@example.com", &["user@demo.test"], &infected).reply.code, 250);
    let id = item(&gateway, "user@demo.test")["item"].as_str().unwrap().to_owned();
    // The signature comes after the mail.
    for (name, text) in starter_rules() {
        gateway.write(&name, &text);
    }
    assert!(gateway.sekisho(&["tables", "build"]).status.success());
    let release = || gateway.sekisho(&["quarantine", "release", &id, "--yes"]);
    let again = release();
    assert!(words(&again).contains("held again: malware (virus.in)"), "{}", words(&again));
    assert!(got(&hop, "user@demo.test").is_empty());
    let knowingly = release();
    assert!(knowingly.status.success(), "{}", words(&knowingly));
    assert_eq!(got(&hop, "user@demo.test").len(), 1);
}

#[test]
fn eval_knows_of_the_sender_what_a_zone_says_and_tells_rules_and_weights_to_machines() {
    let hop = Hop::start();
    let mut setup = setup(&hop, "");
    let zone = "good.test. 300 IN TXT \"v=spf1 ip4:192.0.2.9 -all\"\n";
    setup.files.push(("names.zone".to_owned(), zone.to_owned()));
    let gateway = Gateway::prepare(&setup);
    let folder = |name: &str, client: &str, body: &str| {
        let dir = gateway.data().join("mails").join(name);
        std::fs::create_dir_all(&dir).unwrap();
        for number in 0..6 {
            let text = format!(
                "Return-Path: <a@good.test>\r\nReceived: from x.test (x.test [{client}]) by in.test\r\n\
                 From: <a@good.test>\r\nDate: Thu, 26 Nov 2026 10:0{number}:00 +0900\r\n\
                 Subject: {body} {number}\r\n\r\n{body} number {number} of {name}\r\n"
            );
            std::fs::write(dir.join(format!("{number}.eml")), text).unwrap();
        }
    };
    folder("ham", "192.0.2.9", "minutes");
    folder("spam", "192.0.2.66", "offer");
    let (dir, zone) = (gateway.data().join("mails"), gateway.etc().join("names.zone"));
    let arguments = [
        "eval",
        dir.to_str().unwrap(),
        "--zone",
        zone.to_str().unwrap(),
        "--trusted-hop",
        "10.0.0.0/8",
        "--folds",
        "2",
        "--to",
        "user@demo.test",
        "--fit",
    ];
    let all = &gateway.sekisho_json(&arguments)[0];
    let rules = all["rules"].as_array().expect("the table of rules");
    let failed = rules.iter().find(|one| one["rule"] == "SPF_FAIL").expect("SPF was asked for");
    assert_eq!((&failed["ham"], &failed["spam"]), (&0.into(), &6.into()), "{all}");
    assert!(all["fitted"]["weights"].as_array().is_some_and(|all| !all.is_empty()), "{all}");
}
