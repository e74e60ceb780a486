//! The administrator's rules, from the domains file to what the next hop gets, what is held, and what the log
//! says: redirect and copies, DLP, standard rules of a profile, attachments taken out, bypasses.

use sekisho_loadgen::store::StoredMail;
use sekisho_tests::gateway::{Gateway, Setup, words};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::{DEADLINE, wait_longer};
use serde_json::Value;

use crate::quarantine::starter_rules;

const FROM: &str = "sender@example.com";
const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

fn mail(subject: &str, body: &str) -> String {
    format!("From: <{FROM}>\r\nSubject: {subject}\r\nX-Review: forged\r\n\r\n{body}\r\n")
}

fn with_file(name: &str, content: &str) -> String {
    format!(
        "From: <{FROM}>\r\nSubject: a file\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=x\r\n\r\n\
         --x\r\nContent-Type: text/plain\r\n\r\nsee the file\r\n\
         --x\r\nContent-Type: application/octet-stream; name=\"{name}\"\r\n\
         Content-Disposition: attachment; filename=\"{name}\"\r\n\r\n{content}\r\n--x--\r\n"
    )
}

fn send(gateway: &Gateway, to: &[&str], content: &str) {
    let sent = gateway.send(FROM, to, content.as_bytes());
    assert_eq!(sent.reply.code, 250, "{}", sent.reply.text());
}

fn rules(text: &str) -> String {
    format!("recipient.verify = \"off\"\nquarantine.reply = \"accept\"\n{text}")
}

fn got(hop: &Hop, to: &str) -> Vec<StoredMail> {
    hop.mails().into_iter().filter(|mail| mail.envelope.rcpt_to == [to]).collect()
}

fn rows(gateway: &Gateway, conditions: &[&str]) -> Vec<Value> {
    at_least(1, gateway, conditions)
}

/// Rows are durable within a second.
fn at_least(count: usize, gateway: &Gateway, conditions: &[&str]) -> Vec<Value> {
    let mut arguments = vec!["log", "search"];
    arguments.extend_from_slice(conditions);
    wait_longer("a row of the log", DEADLINE, || {
        let rows = gateway.sekisho_json(&arguments);
        (rows.len() >= count).then_some(rows)
    })
}

#[test]
fn redirect_copy_tag_and_field_reach_the_next_hop_and_the_log() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        settings: rules(
            "[[domain.settings.rules]]\nname = \"reviewed\"\naction = \"deliver\"\n\
             scope.recipients = [\"user@demo.test\"]\nredirect = \"desk@demo.test\"\n\
             bcc = [\"audit@demo.test\", \"outside@elsewhere.example\"]\ntag = \"[R]\"\n\
             add_header = [{ name = \"X-Review\", value = \"はい\" }]\n\
             when.content = [{ words = [\"請求書\"], in = [\"subject\"] }]\n",
        ),
        ..Setup::to(hop.address())
    });
    let subject = "=?utf-8?B?6KuL5rGC5pu4?=";
    send(&gateway, &["user@demo.test", "other@demo.test"], &mail(subject, "hello"));
    assert!(got(&hop, "user@demo.test").is_empty(), "redirected");
    assert_eq!(got(&hop, "other@demo.test").len(), 1, "out of scope");
    for to in ["desk@demo.test", "audit@demo.test"] {
        let mails = got(&hop, to);
        assert_eq!(mails.len(), 1, "{to}");
        let text = String::from_utf8_lossy(&mails[0].content).into_owned();
        assert!(text.contains("[R]"), "{text}");
        assert!(text.contains("X-Review: =?") && !text.contains("forged"), "{text}");
        assert!(!text.contains("audit@demo.test"), "a blind copy is blind: {text}");
    }
    assert!(
        !hop.mails().iter().any(|mail| mail
            .envelope
            .rcpt_to
            .iter()
            .any(|to| to.contains("elsewhere")))
    );
    let row = rows(&gateway, &["row=delivery", "to=user@demo.test"]).remove(0);
    assert!(row["because"].as_str().unwrap().contains("redirected to desk@demo.test"), "{row}");
    let row = rows(&gateway, &["row=delivery", "to=audit@demo.test"]).remove(0);
    assert_eq!(row["because"], "copy of the mail to user@demo.test by rule reviewed", "{row}");
    assert_eq!(row["status"], "sent");
    let event = rows(&gateway, &["row=event", "memo=reviewed"]).remove(0);
    assert_eq!(event["filter_type"], "Content Filter");
    assert_eq!(event["condition"], "subject: 請求書 x1", "{event}");
    // Who is a recipient himself gets his own copy, and no other.
    let before = got(&hop, "audit@demo.test").len();
    send(&gateway, &["user@demo.test", "audit@demo.test"], &mail(subject, "again"));
    assert_eq!(got(&hop, "desk@demo.test").len(), 2);
    assert_eq!(got(&hop, "audit@demo.test").len(), before + 1);
}

#[test]
fn a_blind_copy_that_is_refused_is_nobodys_business() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        settings: rules(
            "[[domain.settings.rules]]\nname = \"c\"\naction = \"deliver\"\nbcc = [\"reject-1@demo.test\"]\n",
        ),
        ..Setup::to(hop.address())
    });
    send(&gateway, &["user@demo.test"], &mail("x", "hello"));
    assert_eq!(got(&hop, "user@demo.test").len(), 1);
    let row = rows(&gateway, &["row=delivery", "to=reject-1@demo.test"]).remove(0);
    let status = row["status"].as_str().unwrap();
    assert!(status == "held" || status.ends_with("not reported"), "{row}");
    assert_eq!(gateway.queued(), 0, "no report to the sender");
}

#[test]
fn dlp_holds_on_the_shard_and_in_the_worker_and_names_no_number() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        settings: rules(
            "[[domain.settings.rules]]\nname = \"cards\"\nkind = \"dlp\"\naction = \"quarantine\"\n\
             when.content = [{ identifier = \"card_number\", count = 2, distinct = true }]\n\
             [[domain.settings.rules]]\nname = \"watch\"\nlog_only = true\naction = \"drop\"\n\
             when.content = [{ words = [\"watched\"] }]\n",
        ),
        domains: format!(
            "[[domain]]\nname = \"free.test\"\nprofile = \"tmems\"\n[[domain.route]]\n\
             host = \"127.0.0.1\"\nport = {}\ntls = \"never\"\n",
            hop.address().port()
        ),
        ..Setup::to(hop.address())
    });
    let two = "4111 1111 1111 1111, ５５５５－５５５５－５５５５－４４４４";
    let plain = format!(
        "From: <{FROM}>\r\nSubject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{two} watched\r\n"
    );
    send(&gateway, &["user@demo.test", "user@free.test"], &plain);
    // Larger than what a shard looks at.
    let filler = "name,number\r\n".repeat(30_000);
    let list = format!("{filler}a,4111111111111111\r\nb,378282246310005\r\n");
    send(&gateway, &["user@demo.test"], &with_file("list.csv", &list));
    send(&gateway, &["user@demo.test"], &mail("one", "only 4111111111111111"));
    assert_eq!(got(&hop, "user@free.test").len(), 1, "another domain has other rules");
    assert_eq!(got(&hop, "user@demo.test").len(), 1, "one number is not two");
    let held = gateway.sekisho_json(&["quarantine", "list", "--to", "user@demo.test"]);
    assert_eq!(held.len(), 2, "{held:?}");
    let rows = at_least(2, &gateway, &["row=delivery", "status=held"]);
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(
        rows.iter().all(|row| row["classification"] == "Locked" && row["reason"] == "dlp"),
        "{rows:?}"
    );
    let events = at_least(2, &gateway, &["row=event", "memo=cards"]);
    assert_eq!(events.len(), 2, "{events:?}");
    for event in &events {
        assert_eq!(event["filter_type"], "DLP Filter");
        assert_eq!(event["delivery_action"], "Quarantine");
        let condition = event["condition"].as_str().unwrap();
        assert!(condition.ends_with("x2") && condition.contains("1111"), "{condition}");
        assert!(!condition.contains("4111"), "{condition}");
    }
    let place =
        |event: &Value| event["condition"].as_str().unwrap().starts_with("attachment list.csv");
    assert!(events.iter().any(place), "{events:?}");
    let quiet = self::rows(&gateway, &["row=event", "memo=watch (log only)"]);
    assert_eq!(quiet.len(), 1, "{quiet:?}");
}

#[test]
fn ntt_05_rules_work_as_they_are_and_as_they_are_switched() {
    let hop = Hop::start();
    let domain = |name: &str, settings: &str| {
        format!(
            "[[domain]]\nname = \"{name}\"\nprofile = \"ntt-mail-security\"\n[[domain.route]]\n\
             host = \"127.0.0.1\"\nport = {}\ntls = \"never\"\n{settings}",
            hop.address().port()
        )
    };
    let switched = "[[domain.settings.rules]]\nname = \"スパム・フィッシングメール（受信）\"\nenabled = false\n\
                    [[domain.settings.rules]]\nname = \"危険性の高い添付ファイル（受信）\"\nenabled = true\n";
    let gateway = Gateway::start(&Setup {
        files: starter_rules(),
        domains: format!("{}{}", domain("as.test", ""), domain("switched.test", switched)),
        ..Setup::to(hop.address())
    });
    let listed = gateway.sekisho_json(&["rules", "as.test"]);
    assert_eq!(listed.len(), 8, "{listed:?}");
    let on = listed.iter().filter(|rule| rule["enabled"] == true).count();
    assert_eq!(on, 4);
    let both = ["u@as.test", "u@switched.test"];
    send(&gateway, &both, &mail("offer", GTUBE));
    let subject = |to: &str| {
        let text = String::from_utf8_lossy(&got(&hop, to)[0].content).into_owned();
        text.lines().find(|line| line.starts_with("Subject:")).unwrap().to_owned()
    };
    assert_eq!(subject("u@as.test"), "Subject: [MEIWAKU!!!] offer");
    assert_eq!(subject("u@switched.test"), "Subject: offer", "rule 4 is off");
    send(&gateway, &both, &with_file("setup.exe", "MZ"));
    assert_eq!(got(&hop, "u@as.test").len(), 2, "rule 7 is off");
    assert_eq!(got(&hop, "u@switched.test").len(), 1, "rule 7 is on: deleted");
    let event = rows(&gateway, &["row=event", "memo=スパム・フィッシングメール（受信）"]).remove(0);
    assert_eq!(
        (&event["filter_type"], &event["condition"]),
        (&"Spam Filter".into(), &"HIGH".into())
    );
}

#[test]
fn attachments_that_a_rule_deletes_leave_a_note() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        settings: rules(
            "[[domain.settings.rules]]\nname = \"no programs\"\naction = \"deliver\"\n\
             delete_attachments = true\nwhen.attachment_name = [\"*.exe\"]\n",
        ),
        ..Setup::to(hop.address())
    });
    send(&gateway, &["user@demo.test"], &with_file("setup.exe", "PROGRAM-OCTETS"));
    let text = String::from_utf8_lossy(&got(&hop, "user@demo.test")[0].content).into_owned();
    assert!(!text.contains("PROGRAM-OCTETS") && text.contains("see the file"), "{text}");
    let row = rows(&gateway, &["row=delivery", "to=user@demo.test"]).remove(0);
    assert_eq!(row["removed"][0], "setup.exe (rule no programs)", "{row}");
}

#[test]
fn a_bypass_works_at_once_is_in_the_log_and_ends() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        settings: rules(
            "[[domain.settings.rules]]\nname = \"all\"\naction = \"quarantine\"\nwhen.header = [{ name = \"Subject\", matches = \"*\" }]\n",
        ),
        ..Setup::to(hop.address())
    });
    let delivered = |expected: usize| {
        send(&gateway, &["user@demo.test"], &mail("x", "y"));
        assert_eq!(got(&hop, "user@demo.test").len(), expected);
    };
    delivered(0);
    let run = |arguments: &[&str]| {
        let output = gateway.sekisho(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", words(&output));
    };
    run(&[
        "bypass",
        "add",
        "--domain",
        "demo.test",
        "--rule",
        "all",
        "--until",
        "1h",
        "--why",
        "a migration",
    ]);
    delivered(1);
    let row = rows(&gateway, &["row=delivery", "status=sent"]).remove(0);
    let because = row["because"].as_str().unwrap();
    assert!(
        because.starts_with("all bypassed by operator") && because.ends_with("a migration"),
        "{row}"
    );
    let begin = rows(&gateway, &["row=event", "action=bypass begins"]).remove(0);
    assert_eq!(
        (&begin["filter_type"], &begin["memo"]),
        (&"Operator".into(), &"a migration".into())
    );
    let listed = gateway.sekisho_json(&["bypass", "list"]);
    let id = listed[0]["id"].to_string();
    run(&["bypass", "remove", &id]);
    delivered(1);
    rows(&gateway, &["row=event", "action=bypass ends"]);
    // It ends by itself, too.
    run(&["bypass", "add", "--domain", "demo.test", "--until", "2s", "--why", "short"]);
    delivered(2);
    std::thread::sleep(std::time::Duration::from_secs(3));
    delivered(2);
    for (arguments, said) in [
        (
            ["--domain", "demo.test", "--rule", "none", "--until", "1h", "--why", "x"],
            "no rule `none`",
        ),
        (
            ["--domain", "other.test", "--rule", "all", "--until", "1h", "--why", "x"],
            "not a domain",
        ),
        (
            ["--domain", "demo.test", "--rule", "all", "--until", "99d", "--why", "x"],
            "longer than 31",
        ),
    ] {
        let output = gateway.sekisho(&[&["bypass", "add"], &arguments[..]].concat());
        assert!(!output.status.success() && words(&output).contains(said), "{}", words(&output));
    }
}

#[test]
fn check_tells_which_rules_matched_and_where() {
    let gateway = Gateway::prepare(&Setup {
        settings: rules(
            "[[domain.settings.rules]]\nname = \"cards\"\nkind = \"dlp\"\naction = \"quarantine\"\n\
             when.content = [{ identifier = \"card_number\" }]\n",
        ),
        ..Setup::default()
    });
    gateway.write("mail.eml", &mail("x", "4111 1111 1111 1111"));
    let file = gateway.etc().join("mail.eml");
    let output = gateway.sekisho(&["check", file.to_str().unwrap(), "--to", "user@demo.test"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("matched\t")).expect(&text);
    assert_eq!(line, "matched\tquarantine cards reason dlp: body: **** **** **** 1111 x1");
}
