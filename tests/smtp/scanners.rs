//! A scan engine of others beside our own scan: what it finds is held and told by name, what it does not answer about comes
//! again, is let through or held, as its table says. The engine is a clamd of our own, which knows one word.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sekisho_core::control::Request;
use sekisho_tests::gateway::{Gateway, Setup};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::wait_for;
use serde_json::Value;

const BAD: &[u8] = b"a word that only the other scanner knows";

/// Where it listens, and whether it answers at all.
fn clamd() -> (SocketAddr, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answers = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&answers);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let asked = Arc::clone(&asked);
            std::thread::spawn(move || one(stream, &asked));
        }
    });
    (address, answers)
}

fn one(mut stream: TcpStream, answers: &AtomicBool) -> Option<()> {
    let mut command = Vec::new();
    while command.last() != Some(&0) {
        let mut octet = [0];
        stream.read_exact(&mut octet).ok()?;
        command.push(octet[0]);
    }
    if command == b"zVERSION\0" {
        return stream.write_all(b"ClamAV 0.0.1/1/today\0").ok();
    }
    let mut mail = Vec::new();
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length).ok()?;
        if length == [0; 4] {
            break;
        }
        let mut chunk = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut chunk).ok()?;
        mail.extend(chunk);
    }
    let bad = mail.windows(BAD.len()).any(|window| window == BAD);
    match (answers.load(Ordering::SeqCst), bad) {
        (false, _) => None,
        (true, true) => stream.write_all(b"stream: Test.Word-1 FOUND\0").ok(),
        (true, false) => stream.write_all(b"stream: OK\0").ok(),
    }
}

fn config(address: SocketAddr, on_error: &str) -> String {
    format!(
        "[[scanner]]\nname = \"clamav\"\naddress = \"{address}\"\ntimeout_ms = 5000\non_error = \"{on_error}\"\n"
    )
}

fn mail(number: u32, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "X-Envelope-Id: {number}\r\nFrom: a@example.com\r\nTo: user@demo.test\r\nSubject: {number}\r\n\r\n"
    );
    [head.as_bytes(), body, b"\r\n"].concat()
}

fn row(gateway: &Gateway, condition: &str) -> Value {
    wait_for("the row is in the log", || {
        let rows = gateway.sekisho_json(&["log", "search", condition, "row=delivery"]);
        rows.into_iter().next()
    })
}

/// What the rule of this name found, as the row of a mail says.
fn detail(row: &Value, rule: &str) -> String {
    let rules = row["rules"].as_array().unwrap();
    let found = rules.iter().find(|one| one["name"] == rule);
    found.unwrap_or_else(|| panic!("no {rule} in {row}"))["detail"].as_str().unwrap().to_owned()
}

#[test]
fn what_only_the_other_scanner_finds_is_held_by_its_name_and_not_released_unseen() {
    let (address, _) = clamd();
    let hop = Hop::start();
    let mut setup = Setup::to(hop.address());
    setup.config = config(address, "temporary");
    setup.settings += "quarantine.rescan = true\n";
    // A domain that does not want it.
    setup.domains = "[[domain]]\nname = \"other.test\"\nprofile = \"securemail\"\n\
                     [domain.settings]\nrecipient.verify = \"off\"\nvirus.engines = false\n"
        .to_owned();
    let gateway = Gateway::start(&setup);
    let send = |number, body: &[u8]| {
        gateway.send("a@example.com", &["user@demo.test"], &mail(number, body)).reply
    };
    assert_eq!(send(1, b"nothing").code, 250);
    assert_eq!(hop.mails().len(), 1);
    assert_eq!(send(2, BAD).code, 250);
    assert_eq!(hop.mails().len(), 1, "held");

    let row = row(&gateway, "subject=2");
    assert_eq!(row["status"], "held");
    assert_eq!(row["classification"], "Virus");
    assert_eq!(detail(&row, "Test.Word-1"), "engine:clamav");
    assert_eq!(row["engines"][0]["said"], "found Test.Word-1");
    let stages: Vec<_> =
        row["times"].as_array().unwrap().iter().map(|one| one["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["connect", "read", "content", "sender", "verdict", "delivery"]);

    let figures = &gateway.status()["scanners"]["clamav"];
    assert_eq!((&figures["asked"], &figures["found"]), (&2.into(), &1.into()), "{figures}");
    assert_eq!(figures["state"], "up");

    // Released: what held it is overruled, and it is asked again, by the same name.
    let held = gateway.sekisho_json(&["quarantine", "list"]);
    let id = held[0]["item"].as_str().unwrap();
    let released = gateway.sekisho(&["quarantine", "release", id, "--yes"]);
    assert!(released.status.success(), "{released:?}");
    assert_eq!(gateway.status()["scanners"]["clamav"]["asked"], 3, "looked at again");
}

#[test]
fn ntt_06_a_notice_names_the_virus_that_only_the_other_scanner_knows() {
    let (address, _) = clamd();
    let hop = Hop::start();
    let mut setup = Setup::to(hop.address());
    setup.config = config(address, "temporary");
    setup.settings += "notice.virus = [\"recipient\"]\nnotice.language = \"en\"\n";
    let gateway = Gateway::start(&setup);
    let sent = gateway.send("a@example.com", &["user@demo.test"], &mail(1, BAD));
    assert_eq!(sent.reply.code, 250, "{sent:?}");
    let notice = wait_for("the notice arrives", || hop.mails().pop());
    let text = String::from_utf8(notice.content).unwrap();
    assert!(text.contains("Subject: Virus Test.Word-1 detected"), "{text}");
}

#[test]
fn a_mail_for_a_domain_that_does_not_want_engines_is_not_shown_to_them() {
    let (address, answers) = clamd();
    answers.store(false, Ordering::SeqCst);
    let hop = Hop::start();
    let mut setup = Setup::to(hop.address());
    setup.config = config(address, "temporary");
    setup.settings += "virus.engines = false\n";
    let gateway = Gateway::start(&setup);
    let sent = gateway.send("a@example.com", &["user@demo.test"], &mail(1, BAD));
    assert_eq!(sent.reply.code, 250);
    assert_eq!(hop.mails().len(), 1);
    assert_eq!(gateway.status()["scanners"]["clamav"]["asked"], 0);
}

#[test]
fn a_scanner_that_does_not_answer_gives_451_or_nothing_or_a_held_mail_and_an_alarm() {
    let (address, answers) = clamd();
    answers.store(false, Ordering::SeqCst);
    let hop = Hop::start();
    let mut setup = Setup::to(hop.address());
    setup.config = config(address, "temporary");
    let gateway = Gateway::start(&setup);
    let send = |number| {
        gateway.send("a@example.com", &["user@demo.test"], &mail(number, b"nothing")).reply
    };
    for number in 1..=6 {
        let reply = send(number);
        assert_eq!(reply.code, 451, "{}", reply.text());
    }
    assert_eq!(hop.mails().len(), 0);
    // SM-64: what was refused for now is in the log, each time.
    let refused = wait_for("a row for each of them", || {
        let rows = gateway.sekisho_json(&["log", "search", "row=delivery"]);
        (rows.len() == 6).then_some(rows)
    });
    for row in &refused {
        let told = ["status", "status_class", "classification", "to"].map(|key| row[key].clone());
        assert_eq!(told, ["temporarily rejected", "temporary", "Greylist", "user@demo.test"]);
    }
    let status = gateway.status();
    assert_eq!(status["scanners"]["clamav"]["state"], "resting");
    assert!(status["alarms"].to_string().contains("on_error"), "{}", status["alarms"]);

    let file = gateway.etc().join("sekisho.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    for (on_error, delivered) in [("hold", 0), ("ignore", 1)] {
        let changed =
            text.replace("on_error = \"temporary\"", &format!("on_error = \"{on_error}\""));
        gateway.write("sekisho.toml", &changed);
        let _ = gateway.control(Request::Reload);
        assert_eq!(send(10).code, 250, "{on_error}");
        assert_eq!(hop.mails().len(), delivered, "{on_error}");
    }
    let held = row(&gateway, "status=held");
    assert_eq!(held["reason"], "scan_exception");
    assert!(!detail(&held, "SCANNER_FAILED").is_empty());
}

#[test]
fn a_part_that_we_take_out_is_enough_only_if_the_other_scanner_finds_the_rest_clean() {
    let (address, _) = clamd();
    let hop = Hop::start();
    let mut setup = Setup::to(hop.address());
    setup.config = config(address, "temporary");
    setup.settings += "virus.in = \"clean\"\nvirus.uncleanable = \"quarantine\"\n";
    setup.files = vec![("rules/10-test.toml".to_owned(), TEST_RULE.to_owned())];
    let gateway = Gateway::start(&setup);
    let send = |number, text: &[u8], attachment: &[u8]| {
        let mut content = format!(
            "X-Envelope-Id: {number}\r\nFrom: a@example.com\r\nTo: user@demo.test\r\nSubject: {number}\r\n\
             MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
             Content-Type: text/plain\r\n\r\n"
        )
        .into_bytes();
        content.extend_from_slice(text);
        content.extend_from_slice(
            b"\r\n--b\r\nContent-Type: application/octet-stream; name=a.bin\r\n\r\nours-and-bad ",
        );
        content.extend_from_slice(attachment);
        content.extend_from_slice(b"\r\n--b--\r\n");
        gateway.send("a@example.com", &["user@demo.test"], &content).reply
    };
    assert_eq!(send(1, b"hello", BAD).code, 250);
    let mails = hop.mails();
    assert_eq!(mails.len(), 1, "cleaned");
    let text = String::from_utf8_lossy(&mails[0].content).into_owned();
    assert!(text.contains("hello") && !text.contains("ours-and-bad"), "{text}");
    assert_eq!(send(2, BAD, b"").code, 250);
    assert_eq!(hop.mails().len(), 1, "what is left is not clean: held");
    assert_eq!(row(&gateway, "subject=2")["status"], "held");
}

const TEST_RULE: &str =
    "[[rule]]\nname = \"OURS\"\nkind = \"malware\"\nfield = \"part\"\npattern = \"ours-and-bad\"\n";
