//! ITS-08, ITS-09, ITS-46, ITS-47 and SM-57: what a domain that does not hold spam gets, lists and their delay.

use sekisho_tests::gateway::{Gateway, Setup, words};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::wait_for;

use crate::eicar::{TEXT, attachment, mail};
use crate::quarantine::starter_rules;

const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

fn gateway(hop: &Hop, more: &str, settings: &str) -> Gateway {
    Gateway::start(&Setup {
        files: starter_rules(),
        domains: format!(
            "[[domain]]\nname = \"its.test\"\nprofile = \"itscom-spam-scan\"\n{more}\n\
             [[domain.route]]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"never\"\n\
             [domain.settings]\nrecipient.verify = \"off\"\n{settings}\n",
            hop.address().port()
        ),
        ..Setup::to(hop.address())
    })
}

fn send(gateway: &Gateway, from: &str, to: &str, content: &[u8]) {
    let sent = gateway.send(from, &[to], content);
    assert_eq!(sent.reply.code, 250, "{to}: {}", sent.reply.text());
}

fn got(hop: &Hop, to: &str) -> Option<String> {
    let mails = hop.mails();
    let own = mails.iter().find(|mail| mail.envelope.rcpt_to == [to]);
    own.map(|mail| String::from_utf8_lossy(&mail.content).into_owned())
}

#[test]
fn its_09_spam_is_delivered_with_our_fields_and_without_forged_ones_where_holding_is_off() {
    let hop = Hop::start();
    let gateway = gateway(&hop, "", "spam.action = \"deliver\"");
    let spam =
        format!("X-IPAS: NEGATIVE\r\nX-SLBL-Result: SAFE-LISTED\r\nSubject: x\r\n\r\n{GTUBE}\r\n");
    send(&gateway, "a@example.com", "off@its.test", spam.as_bytes());
    let mail = got(&hop, "off@its.test").expect("delivered");
    assert!(mail.contains("X-IPAS: POSITIVE\r\n"), "{mail}");
    assert!(!mail.contains("NEGATIVE") && !mail.contains("SAFE-LISTED"), "ITS-08: {mail}");
}

#[test]
fn its_46_the_more_specific_entry_wins_and_its_47_an_account_waits_for_its_own() {
    let hop = Hop::start();
    let gateway = gateway(&hop, "", "");
    let add = |polarity: &str, pattern: &str, more: &[&str]| {
        let all = [&["list", "add", polarity, pattern, "--owner", "account:user@its.test"], more];
        let output = gateway.sekisho(&all.concat());
        assert!(output.status.success(), "{}", words(&output));
        words(&output)
    };
    add("block", "example.co.jp", &["--at-once"]);
    add("allow", "user@example.co.jp", &["--at-once"]);
    let content = |subject: &str| format!("Subject: {subject}\r\n\r\nb\r\n").into_bytes();
    send(&gateway, "user@example.co.jp", "user@its.test", &content("that user"));
    send(&gateway, "other@example.co.jp", "user@its.test", &content("the rest"));
    assert!(got(&hop, "user@its.test").expect("that user passes").contains("that user"));
    assert_eq!(hop.mails().len(), 1);
    let items = gateway.sekisho_json(&["quarantine", "list"]);
    assert_eq!((items.len(), &items[0]["subject"]), (1, &"the rest".into()), "{items:?}");
    // Ten minutes, and the page (here: the command) says from when.
    let said = add("block", "late@example.org", &[]);
    assert!(said.contains("works from 20"), "{said}");
    send(&gateway, "late@example.org", "user@its.test", &content("too early"));
    assert_eq!(hop.mails().len(), 2, "it does not work yet");
}

#[test]
fn sm_57_a_recipient_that_bypasses_the_filters_gets_spam_and_viruses() {
    let hop = Hop::start();
    let gateway = gateway(&hop, "bypass_recipients = [\"vip\"]", "");
    let eicar = [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR", "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"];
    let virus = mail("virus", &[TEXT, &attachment("e.com", eicar.concat().as_bytes())]);
    let spam = format!("Subject: spam\r\n\r\n{GTUBE}\r\n").into_bytes();
    for content in [&virus, &spam] {
        send(&gateway, "a@example.com", "vip@its.test", content);
        send(&gateway, "a@example.com", "other@its.test", content);
    }
    assert_eq!(hop.mails().len(), 2);
    assert!(got(&hop, "other@its.test").is_none());
    let row = wait_for("the row", || {
        gateway.sekisho_json(&["log", "search", "row=delivery", "to=vip@its.test"]).pop()
    });
    assert_eq!(row["classification"], "Whitelisted", "{row}");
    assert_eq!(row["list_entry"], "recipient allow list", "{row}");
}
