//! IIJ-74, IIJ-76, IIJ-85: events of each filter, likelihoods, and lists that are told.

use sekisho_tests::gateway::{Gateway, Setup};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::wait_for;
use serde_json::Value;

use crate::eicar::{TEXT, attachment, mail};
use crate::quarantine::starter_rules;

const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";
const FROM: &str = "a@client.example";

fn gateway(hop: &Hop) -> Gateway {
    let points = |name: &str, text: &str, points: f64| {
        format!(
            "[[rule]]\nname = \"{name}\"\ndescribe_en = \"a test\"\ndescribe_ja = \"テスト\"\n\
             field = \"rawbody\"\npattern = '{text}'\nkind = \"spam\"\npoints = {points}\n"
        )
    };
    let mut files = starter_rules();
    let rules = points("RATHER_ODD", "rather odd", 4.2) + &points("HARDLY_ODD", "hardly odd", 3.2);
    files.push(("rules/99-test.toml".to_owned(), rules));
    Gateway::start(&Setup {
        files,
        domains: format!(
            "[[domain]]\nname = \"iij.test\"\nprofile = \"iij-secure-mx\"\n\
             [[domain.route]]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"never\"\n\
             [[domain.named_list]]\nname = \"security\"\n\
             addresses = [\"one@iij.test\", \"two@iij.test\", \"*@ops.iij.test\"]\n\
             [domain.settings]\nrecipient.verify = \"off\"\nclassifier.enabled = false\n\
             suspect.action = {{ low = \"deliver\", medium = \"quarantine\" }}\n\
             [[domain.settings.rules]]\nname = \"code names\"\naction = \"quarantine\"\n\
             notify = [{{ to = \"list:security\" }}]\n\
             [[domain.settings.rules.when.content]]\nwords = [\"projectx\"]\n",
            hop.address().port()
        ),
        ..Setup::to(hop.address())
    })
}

fn send(gateway: &Gateway, to: &str, content: &[u8]) {
    let sent = gateway.send(FROM, &[to], content);
    assert_eq!(sent.reply.code, 250, "{to}: {}", sent.reply.text());
}

/// The newest row of a kind about a recipient.
fn row(gateway: &Gateway, kind: &str, to: &str) -> Value {
    wait_for("the row", || {
        gateway.sekisho_json(&["log", "search", &format!("row={kind}"), &format!("to={to}")]).pop()
    })
}

fn told<const N: usize>(row: &Value, keys: [&str; N]) -> [String; N] {
    keys.map(|key| row[key].as_str().unwrap_or_default().to_owned())
}

#[test]
fn iij_74_each_filter_has_events_of_its_own() {
    let hop = Hop::start();
    let gateway = gateway(&hop);
    send(&gateway, "spam@iij.test", format!("Subject: x\r\n\r\n{GTUBE}\r\n").as_bytes());
    let eicar = [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR", "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"];
    let virus = mail("virus", &[TEXT, &attachment("e.com", eicar.concat().as_bytes())]);
    send(&gateway, "virus@iij.test", &virus);
    send(&gateway, "words@iij.test", b"Subject: projectx\r\n\r\nb\r\n");
    for (to, filter, action) in [
        ("spam@iij.test", "Spam Filter", "Quarantine"),
        ("virus@iij.test", "Security Filter", "Discard"),
        ("words@iij.test", "Content Filter", "Quarantine"),
    ] {
        let event = row(&gateway, "event", to);
        assert_eq!(told(&event, ["filter_type", "delivery_action"]), [filter, action], "{event}");
        assert_eq!(told(&event, ["from", "address"]), [FROM, to], "{event}");
    }
}

#[test]
fn iij_76_medium_is_held_and_low_is_delivered_and_rows_say_which() {
    let hop = Hop::start();
    let gateway = gateway(&hop);
    for (to, text) in [("medium@iij.test", "rather odd"), ("low@iij.test", "hardly odd")] {
        send(&gateway, to, &mail("minutes", &[&TEXT.replace("hello", text)]));
    }
    for (to, likelihood, status) in
        [("medium@iij.test", "MEDIUM", "held"), ("low@iij.test", "LOW", "sent")]
    {
        let row = row(&gateway, "delivery", to);
        let keys = ["likelihood", "status", "classification"];
        assert_eq!(told(&row, keys), [likelihood, status, "Unsure"], "{row}");
    }
    let got: Vec<_> = hop.mails().into_iter().flat_map(|mail| mail.envelope.rcpt_to).collect();
    assert_eq!(got, ["low@iij.test"]);
}

#[test]
fn iij_85_a_rule_tells_everybody_of_its_list_by_mail() {
    let hop = Hop::start();
    let gateway = gateway(&hop);
    send(
        &gateway,
        "user@iij.test",
        b"From: X <x@client.example>\r\nSubject: projectx\r\n\r\nb\r\n",
    );
    for to in ["one@iij.test", "two@iij.test"] {
        let notice = wait_for("the notice arrives", || {
            hop.mails().into_iter().find(|mail| mail.envelope.rcpt_to == [to])
        });
        assert_eq!(notice.envelope.mail_from, "", "{to}");
        let text = String::from_utf8_lossy(&notice.content).into_owned();
        assert!(text.contains("X-Sekisho-Notice: policy "), "{text}");
    }
    assert_eq!(hop.mails().len(), 2, "the mail itself is held, patterns have no mailbox");
}
