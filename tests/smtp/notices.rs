//! Notices by mail, end to end: what the next hop gets through our own queue.

use sekisho_loadgen::store::StoredMail;
use sekisho_tests::gateway::{Gateway, Setup};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::wait_for;

use crate::eicar::{TEXT, attachment, mail};
use crate::quarantine::starter_rules;

fn eicar() -> Vec<u8> {
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR", "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"].concat().into()
}

/// A domain of its own with the profile of NTT.
fn ntt(hop: &Hop, settings: &str) -> Setup {
    Setup {
        files: starter_rules(),
        domains: format!(
            "[[domain]]\nname = \"ntt.test\"\nprofile = \"ntt-mail-security\"\n\
             primary_contact = \"admin@ntt.test\"\n\
             [[domain.route]]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"never\"\n\
             [domain.settings]\n{settings}\n",
            hop.address().port()
        ),
        ..Setup::to(hop.address())
    }
}

/// Mails to an address that are notices.
fn notices(hop: &Hop, to: &str) -> Vec<StoredMail> {
    let marked = |mail: &StoredMail| {
        let text = String::from_utf8_lossy(&mail.content).into_owned();
        text.contains("\r\nX-Sekisho-Notice: ")
    };
    hop.mails().into_iter().filter(|mail| mail.envelope.rcpt_to == [to] && marked(mail)).collect()
}

fn notice(hop: &Hop, to: &str) -> StoredMail {
    wait_for("the notice arrives", || notices(hop, to).pop())
}

fn figure(gateway: &Gateway, name: &str) -> u64 {
    let status = gateway.sekisho_json(&["status"]);
    status[0]["counters"][name].as_u64().unwrap_or_else(|| panic!("{name} in {status:?}"))
}

#[test]
fn ntt_06_the_recipient_of_a_virus_gets_a_notice_through_the_queue() {
    let hop = Hop::start();
    let gateway = Gateway::start(&ntt(&hop, "notice.language = \"en\""));
    let infected = mail("invoice", &[TEXT, &attachment("invoice.com", &eicar())]);
    let sent = gateway.send("evil@client.example", &["user@ntt.test"], &infected);
    assert_eq!(sent.reply.code, 250, "{}", sent.reply.text());
    let notice = notice(&hop, "user@ntt.test");
    assert_eq!(notice.envelope.mail_from, "", "from the null reverse-path");
    let text = String::from_utf8(notice.content).unwrap();
    for field in [
        "From: \"Sekisho\" <no-reply@gateway.test>\r\n",
        "Subject: Virus EICAR_TEST_FILE detected\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "Virus: EICAR_TEST_FILE\r\n",
        "File(s): invoice.com\r\n",
        "Action(s): delivered after the part was removed\r\n",
        "Sender: evil@client.example\r\n",
        "Recipient(s): user@ntt.test\r\n",
        "Subject: invoice\r\n",
    ] {
        assert!(text.contains(field), "{field} in {text}");
    }
    // The mail itself came too, with a note in English in the place of the file.
    let mails = hop.mails();
    let cleaned = mails.iter().find(|mail| mail.envelope.mail_from == "evil@client.example");
    let cleaned = String::from_utf8_lossy(&cleaned.expect("the cleaned mail").content).into_owned();
    assert!(cleaned.contains("filename*=UTF-8''invoice.com.txt"), "{cleaned}");
    assert_eq!(figure(&gateway, "notices_sent"), 1);
    // A notice that comes back with a virus in it causes no other.
    let again = String::from_utf8(infected).unwrap();
    let mark =
        text.lines().find(|line| line.starts_with("X-Sekisho-Notice: virus ")).expect("a mark");
    for (mark, notices) in [(mark, 1), ("X-Sekisho-Notice: virus 0123456789abcdef", 2)] {
        let again = format!("{mark}\r\n{again}");
        let sent = gateway.send("a@client.example", &["user@ntt.test"], again.as_bytes());
        assert_eq!(sent.reply.code, 250);
        assert_eq!(figure(&gateway, "notices_sent"), notices, "{mark}: only we know it");
    }
}

#[test]
fn a_dropped_virus_is_told_to_recipient_and_administrator_but_not_to_a_forged_sender() {
    let hop = Hop::start();
    let settings = "virus.in = \"drop\"\nnotice.virus = [\"recipient\", \"sender\", \"administrator\"]\n\
                    notice.from = \"postmaster@ntt.test\"\nnotice.address_hourly_max = 2";
    let own = "Subject: 社内 %VIRUS%\n\n%RECIPIENT% / %ACTION%\n";
    let mut gateway = Gateway::prepare(&ntt(&hop, settings));
    std::fs::create_dir_all(gateway.etc().join("notices/ja")).unwrap();
    gateway.write("notices/ja/virus_administrator.txt", own);
    gateway.up();
    let infected = mail("x", &[TEXT, &attachment("x.com", &eicar())]);
    let to = ["one@ntt.test", "two@ntt.test"];
    for _ in 0..3 {
        let sent = gateway.send("forged@ntt.test", &to, &infected);
        assert_eq!(sent.reply.code, 250, "{}", sent.reply.text());
    }
    let admin = notice(&hop, "admin@ntt.test");
    let admin = String::from_utf8(admin.content).unwrap();
    assert!(admin.contains("From: \"Sekisho\" <postmaster@ntt.test>\r\n"), "{admin}");
    // Nine were asked for besides the six to the sender, whom nothing vouches for; each address gets two in an hour (and
    // two more if this one ends now).
    let (sent, left_out) = (figure(&gateway, "notices_sent"), figure(&gateway, "notices_left_out"));
    assert_eq!(sent + left_out, 9 + 6);
    assert!((6..9).contains(&sent), "{sent} sent");
    wait_for("all that were sent arrive", || {
        let count = |to| notices(&hop, to).len() as u64;
        let all = count("one@ntt.test") + count("two@ntt.test") + count("admin@ntt.test");
        (all == sent).then_some(())
    });
    assert!(notices(&hop, "forged@ntt.test").is_empty());
    gateway.write("notices/ja/virus_administrator.txt", "no subject\n");
    let reloaded = gateway.sekisho(&["config", "reload"]);
    assert!(!reloaded.status.success(), "a text that is wrong is refused");
}
