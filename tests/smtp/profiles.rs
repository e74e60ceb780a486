//! Five domains with the five profiles on one box: the minimum scenario set of unified model section 10,
//! (1) to (8) and (7b), told by what the client hears, what the next hop gets, and what is held.

use std::fmt::Write as _;

use sekisho_loadgen::client::Sent;
use sekisho_loadgen::store::StoredMail;
use sekisho_tests::gateway::{Gateway, Setup};
use sekisho_tests::hop::Hop;
use serde_json::Value;

use crate::quarantine::starter_rules;

/// Domain and profile, in the order of the model's columns.
const PROFILES: [(&str, &str); 5] = [
    ("iij.test", "iij-secure-mx"),
    ("securemail.test", "securemail"),
    ("itscom.test", "itscom-spam-scan"),
    ("ntt.test", "ntt-mail-security"),
    ("tmems.test", "tmems"),
];

const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";
const EICAR: &str = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*";

struct Gate {
    hop: Hop,
    gateway: Gateway,
}

/// Entries of the mailbox `user` of a domain, as far as its profile has such lists.
fn entries(domain: &str, forms: [&str; 2]) -> String {
    let [any_at, _] = forms;
    let mut lines = String::new();
    let mut line = |polarity: &str, pattern: &str| {
        let _ = writeln!(lines, "account:user@{domain},sender,{polarity},{pattern}");
    };
    line("allow", "allowed@example.com");
    if domain != "ntt.test" {
        line("block", "blocked@example.com");
        line("block", &format!("{any_at}conflict.example"));
        line("allow", "ok@conflict.example");
        line("allow", &format!("{any_at}reverse.example"));
        line("block", "bad@reverse.example");
    }
    lines
}

impl Gate {
    fn start() -> Self {
        let hop = Hop::start();
        let (mut domains, mut senders) = (String::new(), String::new());
        for (domain, profile) in PROFILES {
            let _ = writeln!(
                domains,
                "[[domain]]\nname = \"{domain}\"\nprofile = \"{profile}\"\nrecipients = [\"user\"]\n\
                 [[domain.route]]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"never\"",
                hop.address().port()
            );
            let forms = if domain == "tmems.test" { ["*@", ""] } else { ["", ""] };
            senders.push_str(&entries(domain, forms));
        }
        let mut files = starter_rules();
        files.push(("senders.csv".to_owned(), senders));
        files.push(("bad.zone".to_owned(), "192.0.2.66 :127.0.0.2:test\n".to_owned()));
        let gateway = Gateway::start(&Setup {
            domains,
            files,
            listener: "xclient_from = [\"127.0.0.1\"]".to_owned(),
            config:
                "[[tables.source]]\npath = \"senders.csv\"\nkind = \"senders\"\nformat = \"csv\"\n\
                     [[tables.source]]\npath = \"bad.zone\"\nkind = \"networks\"\n\
                     format = \"rbldnsd\"\nname = \"badlist\"\nclass = \"positive\"\n"
                    .to_owned(),
            ..Setup::to(hop.address())
        });
        Self { hop, gateway }
    }

    /// Sends from a client address and tells what became of it, in a word or two.
    fn outcome_from(&self, client: &str, from: &str, to: &str, content: &str) -> String {
        let delivered_before = self.delivered(to).len();
        let held_before = self.held(to).len();
        let sent = self.send(client, from, to, content);
        let code = sent.reply.code;
        let at_rcpt = sent.recipients.first().is_some_and(|reply| !reply.is_positive());
        if at_rcpt {
            assert_eq!(self.delivered(to).len(), delivered_before, "refused and delivered");
            return format!("{code} at rcpt");
        }
        let delivered = self.delivered(to).split_off(delivered_before);
        let held = self.held(to).len() - held_before;
        match (delivered.as_slice(), held) {
            ([], 0) if code == 250 => "dropped".to_owned(),
            ([], 0) => format!("{code} at data"),
            ([], 1) => format!("held {code}"),
            ([mail], 0) => {
                let text = String::from_utf8_lossy(&mail.content).into_owned();
                let tagged = text.contains("\r\nSubject: [MEIWAKU!!!]");
                (if tagged { "tagged" } else { "delivered" }).to_owned()
            }
            (delivered, held) => format!("{} delivered, {held} held, {code}", delivered.len()),
        }
    }

    fn send(&self, client: &str, from: &str, to: &str, content: &str) -> Sent {
        let mut session = self.gateway.client();
        let told = session.command(&format!("XCLIENT ADDR={client}")).unwrap();
        assert_eq!(told.code, 220, "{}", told.text());
        session.command("EHLO client.example.com").unwrap();
        let mail = sekisho_loadgen::client::Mail { from, to: &[to], content: content.as_bytes() };
        let sent = session.send(&mail).unwrap();
        session.quit();
        sent
    }

    fn delivered(&self, to: &str) -> Vec<StoredMail> {
        let mails = self.hop.mails();
        // A notice to him comes when it comes.
        let is_notice = |mail: &StoredMail| {
            String::from_utf8_lossy(&mail.content).contains("\r\nX-Sekisho-Notice: ")
        };
        let to_him = |mail: &StoredMail| mail.envelope.rcpt_to == [to] && !is_notice(mail);
        mails.into_iter().filter(to_him).collect()
    }

    fn held(&self, to: &str) -> Vec<Value> {
        self.gateway.sekisho_json(&["quarantine", "list", "--to", to])
    }

    /// The five domains against the five expected outcomes; `-` where a profile has no such list.
    fn expect(&self, scenario: &str, from: &str, content: &str, expected: [&str; 5]) {
        for ((domain, profile), expected) in PROFILES.into_iter().zip(expected) {
            if expected != "-" {
                let to = format!("user@{domain}");
                let outcome = self.outcome_from("192.0.2.1", from, &to, content);
                assert_eq!(outcome, expected, "{scenario}, {profile}");
            }
        }
    }
}

fn mail(from: &str, text: &str) -> String {
    format!(
        "From: <{from}>\r\nTo: <user@example.org>\r\nSubject: a test\r\n\
         Date: Thu, 26 Nov 2026 10:00:00 +0900\r\nMessage-ID: <1@example.com>\r\n\r\n{text}\r\n"
    )
}

#[test]
fn scenarios_1_to_8_of_section_10_iij_10_sm_01_sm_03_sm_55_sm_56_its_09_its_46_ntt_03_ntt_08_ntt_53_tm_04_tm_37_tm_38_tm_40()
 {
    let all = Gate::start();
    let clean = |from: &str| mail(from, "Good morning.");
    let spam = |from: &str| mail(from, GTUBE);
    all.expect("(1) clean", "a@example.com", &clean("a@example.com"), ["delivered"; 5]);
    all.expect(
        "(2) spam",
        "a@example.com",
        &spam("a@example.com"),
        ["held 250", "held 550", "held 250", "tagged", "held 250"],
    );
    // The virus is the whole body: nothing can be cut out, so NTT's "clean, else delete" deletes.
    all.expect(
        "(3) virus",
        "a@example.com",
        &mail("a@example.com", EICAR),
        ["dropped", "held 550", "held 250", "dropped", "held 250"],
    );
    let allowed = "allowed@example.com";
    all.expect("(4) allow + spam", allowed, &spam(allowed), ["delivered"; 5]);
    all.expect(
        "(5) allow + virus",
        allowed,
        &mail(allowed, EICAR),
        ["dropped", "delivered", "held 250", "dropped", "held 250"],
    );
    let blocked = "blocked@example.com";
    all.expect(
        "(6) block",
        blocked,
        &clean(blocked),
        ["held 250", "550 at rcpt", "held 250", "-", "550 at rcpt"],
    );
    let ok = "ok@conflict.example";
    all.expect(
        "(7) block domain and allow address in it",
        ok,
        &clean(ok),
        ["delivered", "delivered", "delivered", "-", "550 at rcpt"],
    );
    let bad = "bad@reverse.example";
    all.expect(
        "(7b) allow domain and block address in it",
        bad,
        &clean(bad),
        ["delivered", "delivered", "held 250", "-", "550 at rcpt"],
    );
    // (8): verified by list, by asking the next hop (which takes everybody), not at all.
    let unknown: Vec<String> = PROFILES
        .iter()
        .map(|(domain, _)| {
            let to = format!("nobody@{domain}");
            all.outcome_from("192.0.2.1", "a@example.com", &to, &clean("a@example.com"))
        })
        .collect();
    assert_eq!(
        unknown,
        ["550 at rcpt", "delivered", "550 at rcpt", "delivered", "delivered"],
        "(8) unknown recipient"
    );
}

#[test]
fn headers_of_itscom_its_01_to_its_08() {
    let all = Gate::start();
    let to = "user@itscom.test";
    let fields = |content: &[u8]| {
        let text = String::from_utf8_lossy(content).into_owned();
        let head = text.split("\r\n\r\n").next().unwrap_or_default().to_owned();
        head.split("\r\n")
            .filter(|line| {
                ["x-as:", "x-slbl-", "x-spam-", "x-ipas:", "x-av-"]
                    .iter()
                    .any(|name| line.to_ascii_lowercase().starts_with(name))
            })
            .map(|line| line.split_once(": ").map_or(line, |(name, _)| name).to_owned())
            .collect::<Vec<_>>()
    };
    let only = |mails: Vec<StoredMail>| mails.last().expect("delivered").content.clone();

    // A clean mail, with forged fields of ours, from a normal address: ITS-05, ITS-07, ITS-08.
    let forged = format!(
        "X-SLBL-Result: SAFE-LISTED\r\nX-AS: POSITIVE\r\nX-IPAS: POSITIVE\r\n{}",
        mail("a@example.com", "Good morning.")
    );
    assert_eq!(all.outcome_from("192.0.2.1", "a@example.com", to, &forged), "delivered");
    let content = only(all.delivered(to));
    let mut found = fields(&content);
    found.sort_unstable();
    assert_eq!(found, ["X-AV-Result", "X-Spam-Filtered", "X-Spam-Result"]);
    assert!(String::from_utf8_lossy(&content).contains("X-Spam-Filtered: true\r\n"));

    // A bad address alone never holds: ITS-01, ITS-02, ITS-03.
    let clean = mail("a@example.com", "Good morning.");
    assert_eq!(all.outcome_from("192.0.2.66", "a@example.com", to, &clean), "delivered");
    let text = String::from_utf8_lossy(&only(all.delivered(to))).into_owned();
    assert!(text.contains("X-AS: POSITIVE\r\n"), "{text}");

    // A list entry is told: ITS-04. What is held carries its fields in quarantine: ITS-06.
    let allowed = mail("allowed@example.com", "Good morning.");
    assert_eq!(all.outcome_from("192.0.2.1", "allowed@example.com", to, &allowed), "delivered");
    let text = String::from_utf8_lossy(&only(all.delivered(to))).into_owned();
    assert!(text.contains("X-SLBL-Result: SAFE-LISTED\r\n"), "{text}");
    for (from, body, field) in [
        ("blocked@example.com", "Good morning.", "X-SLBL-Result: BLOCK-LISTED\r\n"),
        ("a@example.com", GTUBE, "X-IPAS: POSITIVE\r\n"),
    ] {
        assert_eq!(all.outcome_from("192.0.2.1", from, to, &mail(from, body)), "held 250");
        let items = all.held(to);
        let newest = items.first().and_then(|item| item["item"].as_str()).expect("an item");
        let source = all.gateway.sekisho(&["quarantine", "export", newest]).stdout;
        assert!(String::from_utf8_lossy(&source).contains(field), "{from}: no {field}");
    }
}

#[test]
fn a_bad_address_is_refused_by_name_where_the_profile_says_so_ntt_10_and_an_approved_sender_is_not()
{
    let all = Gate::start();
    let sent =
        all.send("192.0.2.66", "a@example.com", "user@ntt.test", &mail("a@example.com", "x"));
    assert_eq!(sent.reply.code, 550);
    let text = sent.reply.text();
    assert!(text.contains("192.0.2.66") && text.contains("badlist"), "{text}");
    let allowed = "allowed@example.com";
    let content = mail(allowed, GTUBE);
    let outcome = all.outcome_from("192.0.2.66", allowed, "user@ntt.test", &content);
    assert_eq!(outcome, "delivered", "NTT-08, NTT-53: excluded from spam rules and IP reputation");
}
