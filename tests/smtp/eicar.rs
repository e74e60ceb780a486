//! The test virus in every container, over SMTP; what is cleaned, what is dropped, what is marked.

use sekisho_tests::gateway::{Gateway, Setup};
use sekisho_tests::hop::Hop;
use serde_json::Value;

use crate::quarantine::starter_rules;

/// The test file, put together so that this file is not it.
fn eicar() -> Vec<u8> {
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR", "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"].concat().into()
}

fn base64(octets: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for (index, group) in octets.chunks(3).enumerate() {
        if index % 19 == 0 && index > 0 {
            out += "\r\n";
        }
        let bits = group.iter().fold(0_u32, |bits, &octet| bits << 8 | u32::from(octet))
            << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            out.push(if place > group.len() { '=' } else { char::from(letter) });
        }
    }
    out
}

pub(crate) fn attachment(name: &str, octets: &[u8]) -> String {
    format!(
        "Content-Type: application/octet-stream; name=\"{name}\"\r\nContent-Disposition: attachment\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}",
        base64(octets)
    )
}

/// A mail of these parts.
pub(crate) fn mail(subject: &str, parts: &[&str]) -> Vec<u8> {
    let parts: String = parts.iter().map(|part| format!("\r\n--bnd\r\n{part}")).collect();
    format!(
        "From: a@client.example\r\nTo: b@demo.test\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n\
         Date: Thu, 26 Nov 2026 09:00:00 +0900\r\nMessage-ID: <1@client.example>\r\n\
         Content-Type: multipart/mixed; boundary=bnd\r\n\r\npreamble{parts}\r\n--bnd--\r\nepilogue\r\n"
    )
    .into_bytes()
}

/// Everything below the header section.
fn body(mail: &str) -> &str {
    mail.split_once("\r\n\r\n").unwrap().1
}

/// The delivery row of one recipient.
fn row(gateway: &Gateway, to: &str) -> Value {
    sekisho_tests::wait::wait_for("the row is in the log", || {
        let rows = gateway.sekisho_json(&["log", "search", &format!("to={to}")]);
        rows.into_iter().find(|row| row["row"] == "delivery" && row["to"] == to)
    })
}

/// What the next hop got for one recipient.
fn delivered(hop: &Hop, to: &str) -> String {
    let mut mails = hop.mails().into_iter();
    let mail = mails.find(|mail| mail.envelope.rcpt_to.iter().any(|one| one == to));
    String::from_utf8(mail.expect("delivered").content).unwrap()
}

fn cleaning(hop: &Hop) -> Setup {
    let setup = Setup::to(hop.address());
    let settings =
        "recipient.verify = \"off\"\nvirus.in = \"clean\"\nvirus.uncleanable = \"drop\"\n"
            .to_owned();
    Setup { files: starter_rules(), settings, ..setup }
}

pub(crate) const TEXT: &str =
    "Content-Type: text/plain; charset=utf-8\r\n\r\nhello, see the attachment";

#[test]
fn an_infected_attachment_is_taken_out_and_the_rest_keeps_its_octets() {
    let hop = Hop::start();
    let gateway = Gateway::start(&cleaning(&hop));
    let infected = attachment("eicar.com", &eicar());
    let other = attachment("notes.txt", b"nothing in here");
    let content = mail("one", &[TEXT, &infected, &other]);
    let sent = gateway.send("a@client.example", &["one@demo.test"], &content);
    assert_eq!(sent.reply.code, 250, "{sent:?}");
    let got = delivered(&hop, "one@demo.test");
    let got = body(&got);
    let (front, back) = got.split_once("Content-Type: text/plain; charset=UTF-8\r\n").unwrap();
    assert_eq!(front, format!("preamble\r\n--bnd\r\n{TEXT}\r\n--bnd\r\n"));
    assert!(back.ends_with(&format!("\r\n--bnd\r\n{other}\r\n--bnd--\r\nepilogue\r\n")), "{back}");
    assert!(back.contains("filename*=UTF-8''eicar.com.txt"), "{back}");
    assert!(!got.contains("WDVPIV"), "{got}");
    let row = row(&gateway, "one@demo.test");
    assert_eq!((&row["classification"], &row["action"]), (&"Virus".into(), &"Deliver".into()));
    assert_eq!(row["removed"], serde_json::json!(["eicar.com (EICAR_TEST_FILE)"]), "{row}");
}

#[test]
fn the_attachment_that_contains_it_goes_and_inside_a_message_only_the_part() {
    let hop = Hop::start();
    let gateway = Gateway::start(&cleaning(&hop));
    let inner = mail("inner", &[TEXT, &attachment("e.com", &eicar())]);
    let inner = String::from_utf8(inner).unwrap();
    let plain = format!("Content-Type: message/rfc822\r\n\r\n{}", inner.trim_end());
    // Another boundary outside than inside.
    let plain = plain.replace("bnd", "inside");
    let sent = gateway.send("a@client.example", &["two@demo.test"], &mail("two", &[TEXT, &plain]));
    assert_eq!(sent.reply.code, 250, "{sent:?}");
    let got = delivered(&hop, "two@demo.test");
    assert!(got.contains("Subject: inner\r\n") && got.contains("e.com.txt"), "{got}");
    assert!(!got.contains("WDVPIV"), "{got}");
    let encoded = format!(
        "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
        base64(inner.as_bytes())
    );
    let sent =
        gateway.send("a@client.example", &["3@demo.test"], &mail("three", &[TEXT, &encoded]));
    assert_eq!(sent.reply.code, 250, "{sent:?}");
    let got = delivered(&hop, "3@demo.test");
    assert!(got.contains("Content-Description: removed part") && got.contains("hello"), "{got}");
    assert!(!got.contains("message/rfc822"), "{got}");
}

#[test]
fn what_cannot_be_cleaned_is_dropped_with_a_record() {
    let hop = Hop::start();
    let gateway = Gateway::start(&cleaning(&hop));
    let virus = String::from_utf8(eicar()).unwrap();
    let only = format!("From: a@client.example\r\nSubject: x\r\n\r\n{virus}\r\n").into_bytes();
    let alone = mail("alone", &[&attachment("e.com", &eicar())]);
    let endless = String::from_utf8(mail("endless", &[TEXT, &attachment("e.com", &eicar())]))
        .unwrap()
        .replace("\r\n--bnd--\r\nepilogue", "");
    for (to, content) in [
        ("only@demo.test", only),
        ("alone@demo.test", alone),
        ("endless@demo.test", endless.into()),
    ] {
        let sent = gateway.send("a@client.example", &[to], &content);
        assert_eq!(sent.reply.code, 250, "{to}: {sent:?}");
        let row = row(&gateway, to);
        assert_eq!(
            (&row["status"], &row["action"]),
            (&"dropped".into(), &"Discard".into()),
            "{row}"
        );
        assert_eq!(row["removed"], serde_json::json!([]), "{to}");
    }
    assert!(hop.mails().is_empty());
}

#[test]
fn the_profile_of_ntt_cleans_and_marks_what_cannot_be_scanned() {
    let hop = Hop::start();
    let address = hop.address();
    let domains = format!(
        "[[domain]]\nname = \"ntt.test\"\nprofile = \"ntt-mail-security\"\n[[domain.route]]\nhost = \
         \"{}\"\nport = {}\ntls = \"never\"\n[domain.settings]\nrecipient.verify = \"off\"\n",
        address.ip(),
        address.port()
    );
    let setup = Setup { files: starter_rules(), domains, ..Setup::to(address) };
    let gateway = Gateway::start(&setup);
    let infected = mail("x", &[TEXT, &attachment("eicar.com", &eicar())]);
    let sent = gateway.send("a@client.example", &["one@ntt.test", "held@demo.test"], &infected);
    assert_eq!(sent.reply.code, 250, "{sent:?}");
    let got = hop.mails();
    assert_eq!(got.len(), 1, "the other domain does not clean");
    let text = String::from_utf8_lossy(&got[0].content);
    assert!(text.contains("eicar.com.txt") && !text.contains("WDVPIV"), "{text}");
    assert_ne!(row(&gateway, "held@demo.test")["status"], "sent");
    // A container that nobody here opens goes through, and its row does not call it clean.
    let unread = mail("y", &[TEXT, &attachment("a.lz4", b"\x04\x22\x4d\x18 and so on")]);
    let sent = gateway.send("a@client.example", &["two@ntt.test"], &unread);
    assert_eq!(sent.reply.code, 250, "{sent:?}");
    let row = row(&gateway, "two@ntt.test");
    assert_eq!(
        (&row["status"], &row["sub_class"]),
        (&"sent".into(), &"not_scanned".into()),
        "{row}"
    );
}

/// Issue 2, "must be shown" 4, over SMTP.
#[test]
fn every_form_of_the_corpus_is_held_marked_or_at_its_limit() {
    let Some(folder) = sekisho_tests::corpus::folder("eicar") else { return };
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup { files: starter_rules(), ..Setup::to(hop.address()) });
    let mut classes = Vec::new();
    for (index, path) in sekisho_tests::corpus::files(&folder).into_iter().enumerate() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let octets = std::fs::read(&path).unwrap();
        let content = if name.ends_with(".eml") {
            sekisho_loadgen::mix::to_canonical(&octets)
        } else {
            mail(&name, &[TEXT, &attachment(&name, &octets)])
        };
        let to = format!("form-{index}@demo.test");
        let sent = gateway.send("a@client.example", &[&to], &content);
        assert_eq!(sent.reply.code, 250, "{name}: {sent:?}");
        let row = row(&gateway, &to);
        let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
        let class = (text("classification"), text("sub_class"));
        if name.contains("-pw") {
            assert_eq!(class, ("Unknown".to_owned(), "encrypted".to_owned()), "{name}");
        } else {
            assert_eq!(class.0, "Virus", "{name}");
            assert_ne!(text("status"), "sent", "{name}");
        }
        classes.push(format!("{name}: {} {}", class.0, class.1));
    }
    assert!(classes.len() >= 40, "{classes:?}");
    eprintln!("{}", classes.join("\n"));
}

/// A mail like `mail`, with other header lines for the second part.
fn declared(fields: &str, text: &str) -> Vec<u8> {
    mail(fields, &[TEXT, &format!("{fields}\r\n\r\n{text}")])
}

#[test]
fn no_way_to_declare_an_attachment_hides_it_from_a_session() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup { files: starter_rules(), ..Setup::to(hop.address()) });
    let type_ = "Content-Type: application/x";
    let zip = sekisho_tests::corpus::folder("eicar")
        .map_or_else(eicar, |folder| std::fs::read(folder.join("eicar.zip")).unwrap());
    let encoded = base64(&zip);
    let quoted: String = zip.iter().map(|octet| format!("={octet:02X}")).collect();
    let quoted: Vec<&str> =
        quoted.as_bytes().chunks(60).map(|c| std::str::from_utf8(c).unwrap()).collect();
    let quoted = quoted.join("=\r\n");
    let junk: String = encoded.chars().map(|letter| format!("{letter}*")).collect();
    let inner = String::from_utf8(declared(
        &format!("{type_}\r\nContent-Transfer-Encoding: base64"),
        &encoded,
    ));
    let inner = inner.unwrap().replace("bnd", "inside");
    let rows: Vec<(&str, Vec<u8>)> = vec![
        (
            "odd case",
            declared(&format!("{type_}\r\nContent-Transfer-Encoding: BASE64  "), &encoded),
        ),
        (
            "comment",
            declared(&format!("{type_}\r\nContent-Transfer-Encoding: (x) base64"), &encoded),
        ),
        (
            "twice",
            declared(
                &format!(
                    "{type_}\r\nContent-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: 8bit"
                ),
                &encoded,
            ),
        ),
        ("junk", declared(&format!("{type_}\r\nContent-Transfer-Encoding: base64"), &junk)),
        (
            "no padding",
            declared(
                &format!("{type_}\r\nContent-Transfer-Encoding: base64"),
                encoded.trim_end_matches('='),
            ),
        ),
        (
            "quoted-printable",
            declared(&format!("{type_}\r\nContent-Transfer-Encoding: quoted-printable"), &quoted),
        ),
        (
            "as text",
            declared(
                "Content-Type: text/plain; charset=iso-2022-jp\r\nContent-Transfer-Encoding: base64",
                &encoded,
            ),
        ),
        (
            "as picture",
            declared(
                "Content-Type: image/png; name=a.png\r\nContent-Transfer-Encoding: base64",
                &encoded,
            ),
        ),
        (
            "RFC 2231 name",
            declared(
                "Content-Type: application/x\r\nContent-Disposition: attachment; filename*0*=utf-8''%e6; filename*1*=%97%a5.zip\r\nContent-Transfer-Encoding: base64",
                &encoded,
            ),
        ),
        ("a message", declared("Content-Type: message/rfc822", inner.trim_end())),
        (
            "a message in base64",
            declared(
                "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64",
                &base64(inner.as_bytes()),
            ),
        ),
    ];
    for (index, (story, content)) in rows.into_iter().enumerate() {
        let to = format!("way-{index}@demo.test");
        let sent = gateway.send("a@client.example", &[&to], &content);
        assert_eq!(sent.reply.code, 250, "{story}: {sent:?}");
        let row = row(&gateway, &to);
        assert_eq!(row["classification"], "Virus", "{story}: {row}");
    }
    assert!(hop.mails().is_empty());
}

#[test]
fn workers_of_root_run_as_the_user_of_the_setting_and_a_missing_one_is_said() {
    let hop = Hop::start();
    let setup = Setup { files: starter_rules(), ..Setup::to(hop.address()) };
    let mut gateway = Gateway::start(&setup);
    let zip =
        mail("x", &[TEXT, &attachment("a.zip", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")]);
    assert_eq!(gateway.send("a@client.example", &["a@demo.test"], &zip).reply.code, 250);
    let parent = format!("PPid:\t{}\n", gateway.pid());
    let status = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).find_map(|entry| {
        let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
        let command = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
        (status.contains(&parent) && command.contains("analysis-worker")).then_some(status)
    });
    let status = status.expect("a worker");
    assert!(
        status.contains("NoNewPrivs:\t1") && status.contains("CapEff:\t0000000000000000"),
        "{status}"
    );
    if rustix::process::geteuid().is_root() {
        assert!(status.contains("Uid:\t65534\t65534\t65534\t65534"), "{status}");
        assert!(status.contains("Groups:\t \n") || status.contains("Groups:\t\n"), "{status}");
        assert!(status.contains("CapBnd:\t0000000000000000"), "{status}");
    } else {
        eprintln!("LEFT OUT: only root can change the user of a worker");
        assert!(gateway.last_words().contains("engine's own user"), "{}", gateway.last_words());
    }
    // A user that is not there keeps the engine from starting, and `config check` says so before.
    gateway.drain();
    let file = gateway.etc().join("sekisho.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    gateway.write(
        "sekisho.toml",
        &text.replace("[analysis]\n", "[analysis]\nuser = \"nobody-else\"\n"),
    );
    let engine = std::process::Command::new(sekisho_tests::gateway::program("sekisho-engine"))
        .arg("--config")
        .arg(&file)
        .arg("--data")
        .arg(gateway.data())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&engine.stderr);
    assert!(!engine.status.success() && said.contains("there is no user `nobody-else`"), "{said}");
    let checked = gateway.sekisho(&["config", "check"]);
    let said = sekisho_tests::gateway::words(&checked);
    assert!(!checked.status.success() && said.contains("there is no user `nobody-else`"), "{said}");
}
