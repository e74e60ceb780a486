//! Reports (DSNs): where they go, and that a generic parser reads them.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use sekisho_loadgen::client::Mail;
use sekisho_loadgen::store::StoredMail;
use sekisho_tests::dns::{DnsServer, Trick};
use sekisho_tests::gateway::{DOMAIN, Gateway, Setup};
use sekisho_tests::hop::Hop;
use sekisho_tests::script::{Act, Phase, Script, ScriptHop};
use sekisho_tests::wait::wait_longer;
use serde_json::Value;

const MAIL: &[u8] =
    b"From: <a@sender.test>\r\nSubject: reported\r\nMessage-ID: <1@sender.test>\r\n\
                      \r\nbody of the mail\r\n";

/// Reports go by this DNS to hosts on this port, wherever they are.
fn setup(hop: &Hop, dns: &DnsServer, strangers: SocketAddr) -> Setup {
    Setup {
        delivery: format!("report_port = {}\nreport_refused_networks = []", strangers.port()),
        config: format!("[dns]\nservers = [\"{}\"]\ntimeout_ms = 500\n", dns.address()),
        ..Setup::to(hop.address())
    }
}

/// A mail of which one recipient is taken and one refused.
fn half_refused(gateway: &Gateway, from: &str) {
    let to = [&*format!("user@{DOMAIN}"), &format!("reject@{DOMAIN}")];
    assert_eq!(gateway.send(from, &to, MAIL).reply.code, 250);
}

fn report(hop: &Hop) -> StoredMail {
    wait_longer("the report arrives", Duration::from_secs(30), || {
        hop.mails().into_iter().find(|mail| mail.envelope.mail_from.is_empty())
    })
}

#[test]
fn a_report_reaches_a_strangers_mail_host_by_mx() {
    let (hop, stranger) = (Hop::start(), Hop::start());
    let dns = DnsServer::start(
        "sender.test. 300 MX 20 mx.sender.test.\n mx.sender.test. 300 A 127.0.0.1\n\
         sender.test. 300 MX 10 gone.sender.test.\n",
    );
    let gateway = Gateway::start(&setup(&hop, &dns, stranger.address()));
    half_refused(&gateway, "a@sender.test");
    let report = report(&stranger);
    assert_eq!(report.envelope.rcpt_to, ["a@sender.test"]);
    assert_eq!(hop.mails().len(), 1, "only the mail that was taken");
    assert!(dns.asked("sender.test", RecordType::MX) >= 1);
}

#[test]
fn a_null_mx_and_a_domain_that_does_not_exist_end_a_report_and_a_failing_dns_delays_it() {
    let (hop, stranger) = (Hop::start(), Hop::start());
    let dns = DnsServer::start("null.test. 300 MX 0 .\n late.test. 300 A 127.0.0.1\n");
    dns.trick("late.test", Trick::Code(ResponseCode::ServFail));
    let gateway = Gateway::start(&setup(&hop, &dns, stranger.address()));
    for from in ["a@null.test", "a@nowhere.test", "a@late.test"] {
        half_refused(&gateway, from);
    }
    for (to, reply) in [("a@null.test", "5.1.10"), ("a@nowhere.test", "5.1.2")] {
        let row = wait_longer("the end of the report is logged", Duration::from_secs(30), || {
            let rows = gateway.sekisho_json(&["log", "search", &format!("to={to}")]);
            rows.into_iter().find(|row| row.to_string().contains("failed, not reported"))
        });
        assert!(row.to_string().contains(reply), "{row}");
    }
    assert_eq!(gateway.queued(), 1, "the one whose domain cannot be looked up now");
    assert!(stranger.mails().is_empty());
    dns.trick("late.test", Trick::Liars);
    wait_longer("the delayed report goes out", Duration::from_secs(60), || {
        let _ = gateway.sekisho(&["queue", "flush"]);
        stranger.mails().pop()
    });
}

#[test]
fn a_smart_host_takes_reports_and_refused_networks_keep_strangers_out() {
    let (hop, smart) = (Hop::start(), Hop::start());
    let dns = DnsServer::start("sender.test. 300 A 127.0.0.1\n");
    let config = format!("[dns]\nservers = [\"{}\"]\n", dns.address());
    let gateway = Gateway::start(&Setup {
        config: format!(
            "{config}[[delivery.report_route]]\nhost = \"localhost\"\nport = {}\ntls = \"never\"\n",
            smart.address().port()
        ),
        ..Setup::to(hop.address())
    });
    half_refused(&gateway, "a@sender.test");
    assert_eq!(report(&smart).envelope.rcpt_to, ["a@sender.test"]);
    assert_eq!(dns.asked("sender.test", RecordType::MX), 0);
    drop(gateway);

    // Without it, and with the default list, 127.0.0.1 is not for strangers to name.
    let stranger = ScriptHop::start(Script::default());
    let gateway = Gateway::start(&Setup {
        delivery: format!("report_port = {}", stranger.address().port()),
        config,
        ..Setup::to(hop.address())
    });
    half_refused(&gateway, "a@sender.test");
    wait_longer("the report was tried", Duration::from_secs(30), || {
        let why = gateway.sekisho_json(&["queue", "why", "sender.test"]);
        why.first()?["why"].as_str()?.contains("no address").then_some(())
    });
    assert_eq!(stranger.connections(), 0);
}

/// Python's parser, which knows nothing of us: all parts, and the fields of the second one.
fn parsed(content: &[u8]) -> Value {
    const PROGRAM: &str = r#"
import email, email.policy, json, sys
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.SMTP)
def defects(p):
    return [str(type(d).__name__) for d in p.defects] + [d for s in (p.get_payload() if p.is_multipart() else []) for d in defects(s)]
parts = list(m.iter_parts())
status = parts[1]
raw = status.get_payload()
groups = [dict(g.items()) for g in raw] if isinstance(raw, list) else []
if not groups:
    text = status.get_payload(decode=True).decode("utf-8")
    groups = [dict(l.split(": ", 1) for l in g.split("\r\n")) for g in text.replace("\n", "\r\n").replace("\r\r\n", "\r\n").strip().split("\r\n\r\n")]
print(json.dumps({
    "type": m.get_content_type(), "report": m.get_param("report-type"), "defects": defects(m),
    "auto": m["Auto-Submitted"], "from": m["From"], "to": m["To"], "subject": m["Subject"],
    "date": m["Date"], "id": m["Message-ID"], "cte": m["Content-Transfer-Encoding"],
    "parts": [p.get_content_type() for p in parts],
    "text": parts[0].get_content(),
    "groups": groups,
    "returned": parts[2].as_bytes().decode("utf-8", "replace"),
}))
"#;
    let mut child = Command::new("python3")
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    child.stdin.take().unwrap().write_all(content).unwrap();
    let output = child.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words}\n{}", String::from_utf8_lossy(content));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// MAIL and RCPT with the DSN parameters; the recipient is refused, another one taken.
fn with_parameters(gateway: &Gateway, mail: &str, rcpt: &str, content: &[u8]) {
    let mut client = gateway.client();
    for (line, code) in [
        (format!("MAIL FROM:<a@sender.test> {mail}"), 250),
        (format!("RCPT TO:<user@{DOMAIN}>"), 250),
        (format!("RCPT TO:{rcpt}"), 250),
        ("DATA".to_owned(), 354),
    ] {
        let reply = client.command(&line).unwrap();
        assert_eq!(reply.code, code, "{line}: {}", reply.text());
    }
    let text = String::from_utf8(content.to_vec()).unwrap();
    let reply = client.command(&format!("{text}.")).unwrap();
    assert_eq!(reply.code, 250, "{}", reply.text());
    client.quit();
}

#[test]
fn pythons_parser_reads_a_report_with_all_that_the_sender_asked_for() {
    for (ret, kind) in [("HDRS", "text/rfc822-headers"), ("FULL", "message/rfc822")] {
        let (hop, stranger) = (Hop::start(), Hop::start());
        let dns = DnsServer::start("sender.test. 300 A 127.0.0.1\n");
        let gateway = Gateway::start(&setup(&hop, &dns, stranger.address()));
        let rcpt = format!("<reject@{DOMAIN}> NOTIFY=FAILURE ORCPT=rfc822;first+2Blast@old.test");
        with_parameters(&gateway, &format!("RET={ret} ENVID=QQ+3D1"), &rcpt, MAIL);
        let report = report(&stranger);
        let read = parsed(&report.content);
        assert_eq!(read["defects"], serde_json::json!([]), "{read}");
        assert_eq!(read["type"], "multipart/report");
        assert_eq!(read["report"], "delivery-status");
        assert_eq!(read["auto"], "auto-replied");
        assert_eq!(read["to"], "a@sender.test");
        assert!(read["from"].as_str().unwrap().contains("MAILER-DAEMON@gateway.test"));
        assert_eq!(
            read["parts"],
            serde_json::json!(["text/plain", "message/delivery-status", kind])
        );
        assert!(read["text"].as_str().unwrap().contains(&format!("reject@{DOMAIN}")));
        assert_eq!(read["groups"][0]["Original-Envelope-Id"], "QQ=1");
        assert_eq!(read["groups"][0]["Reporting-MTA"], "dns; gateway.test");
        let group = &read["groups"][1];
        assert_eq!(group["Original-Recipient"], "rfc822;first+last@old.test");
        assert_eq!(group["Final-Recipient"], format!("rfc822;reject@{DOMAIN}"));
        assert_eq!(group["Action"], "failed");
        assert!(group["Status"].as_str().unwrap().starts_with("5."));
        assert!(group["Diagnostic-Code"].as_str().unwrap().starts_with("smtp; 550 "));
        assert_eq!(read["groups"].as_array().unwrap().len(), 2, "only who was refused");
        let returned = read["returned"].as_str().unwrap();
        assert!(returned.contains("Subject: reported"));
        assert_eq!(returned.contains("body of the mail"), ret == "FULL");
    }
}

/// RFC 6533: the sender's own server need not know SMTPUTF8 to hear that his mail did not arrive.
#[test]
fn a_report_about_an_internationalised_recipient_reaches_a_server_without_smtputf8() {
    let hop = Hop::start();
    let stranger = Hop::with(sekisho_loadgen::sink::Extensions {
        smtputf8: false,
        ..sekisho_loadgen::sink::Extensions::default()
    });
    let dns = DnsServer::start("sender.test. 300 A 127.0.0.1\n");
    let gateway = Gateway::start(&setup(&hop, &dns, stranger.address()));
    with_parameters(&gateway, "SMTPUTF8", &format!("<reject-日本@{DOMAIN}>"), MAIL);
    let report = report(&stranger);
    let read = parsed(&report.content);
    assert_eq!(read["report"], "global-delivery-status");
    assert_eq!(read["cte"], "8bit");
    assert_eq!(
        read["parts"],
        serde_json::json!([
            "text/plain",
            "message/global-delivery-status",
            "message/global-headers"
        ])
    );
    // Python knows no groups of fields in this type.
    let text = String::from_utf8(report.content).unwrap();
    let field = format!("\r\nFinal-Recipient: utf-8;reject-日本@{DOMAIN}\r\nAction: failed\r\n");
    assert!(text.contains(&field), "{text}");
}

/// What a hop says ends up in the report: in one line of bounded length, and in ASCII.
#[test]
fn a_hop_that_says_too_much_does_not_break_the_report() {
    let stranger = Hop::start();
    let dns = DnsServer::start("sender.test. 300 A 127.0.0.1\n");
    let refusal = format!("550-5.7.1 {}\r\n550 5.7.1 \u{1b}[2J 拒否", "x".repeat(3000));
    let hop = ScriptHop::start(Script::default().with(Phase::Rcpt, Act::Say(refusal)));
    let other = Hop::start();
    let domains = format!(
        "[[domain]]\nname = \"wordy.test\"\nprofile = \"securemail\"\n[[domain.route]]\n\
         host = \"127.0.0.1\"\nport = {}\ntls = \"never\"\n[domain.settings]\n\
         recipient.verify = \"off\"\n",
        hop.address().port()
    );
    let gateway = Gateway::start(&Setup { domains, ..setup(&other, &dns, stranger.address()) });
    let mut client = gateway.client();
    let to = [&*format!("user@{DOMAIN}"), "u@wordy.test"];
    let sent = client.send(&Mail { from: "a@sender.test", to: &to, content: MAIL }).unwrap();
    assert_eq!(sent.reply.code, 250);
    let report = report(&stranger);
    let longest = report.content.split(|octet| *octet == b'\n').map(<[u8]>::len).max();
    assert!(longest.unwrap() <= 998, "RFC 5322 section 2.1.1: {longest:?}");
    let read = parsed(&report.content);
    assert_eq!(read["defects"], serde_json::json!([]), "{read}");
    let diagnostic = read["groups"][1]["Diagnostic-Code"].as_str().unwrap();
    assert!(diagnostic.starts_with("smtp; 550 5.7.1 xxx") && diagnostic.is_ascii());
}
