//! NTT-05 and NTT-08: one mail for each standard rule, on and off, and what an approved sender does not change.

use std::io::Write as _;

use sekisho_tests::gateway::{Gateway, Setup, words};
use sekisho_tests::hop::Hop;

use crate::eicar::{TEXT, attachment, mail};
use crate::quarantine::starter_rules;

const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";
const FROM: &str = "a@client.example";

fn eicar() -> Vec<u8> {
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR", "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"].concat().into()
}

/// A password that no mail here says.
fn protected() -> Vec<u8> {
    use zip::write::{SimpleFileOptions, ZipWriter};
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options =
        SimpleFileOptions::default().with_aes_encryption(zip::AesMode::Aes256, "by telephone");
    writer.start_file("members/secret.txt", options).unwrap();
    writer.write_all(b"secret").unwrap();
    writer.finish().unwrap().into_inner()
}

/// `on.test` has all rules on, `off.test` all off, both with the profile of NTT.
fn gateway(hop: &Hop) -> Gateway {
    let names = [
        "ウイルスメール（受信）",
        "パスワード保護された添付ファイル（受信）",
        "スパム・フィッシングメール（受信）",
        "スパムの疑いがあるメール（受信）",
        "危険性の高い添付ファイル（受信）",
    ];
    let domain = |name: &str, enabled: bool| {
        let port = hop.address().port();
        let rule = |rule: &str| {
            format!("[[domain.settings.rules]]\nname = \"{rule}\"\nenabled = {enabled}\n")
        };
        let rules: String = names.iter().map(|name| rule(name)).collect();
        format!(
            "[[domain]]\nname = \"{name}\"\nprofile = \"ntt-mail-security\"\n\
             [[domain.route]]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"never\"\n\
             [domain.settings]\nclassifier.enabled = false\n{rules}\
             [[domain.settings.rules]]\nname = \"own\"\naction = \"quarantine\"\n\
             [[domain.settings.rules.when.content]]\nwords = [\"projectx\"]\n"
        )
    };
    let mut files = starter_rules();
    files.push((
        "rules/99-suspect.toml".to_owned(),
        "[[rule]]\nname = \"ONLY_SUSPECT\"\ndescribe_en = \"a test\"\ndescribe_ja = \"テスト\"\n\
         field = \"rawbody\"\npattern = 'somewhat odd'\nkind = \"spam\"\npoints = 4.5\n"
            .to_owned(),
    ));
    Gateway::start(&Setup {
        files,
        domains: domain("on.test", true) + &domain("off.test", false),
        ..Setup::to(hop.address())
    })
}

/// What the next hop got for this mailbox.
fn got(hop: &Hop, to: &str) -> Option<String> {
    let mails = hop.mails();
    let mut own = mails.iter().filter(|mail| mail.envelope.rcpt_to == [to]);
    let own = own.find(|mail| mail.envelope.mail_from == FROM);
    own.map(|mail| String::from_utf8_lossy(&mail.content).into_owned())
}

fn subject(mail: &str) -> &str {
    mail.lines().find(|line| line.starts_with("Subject:")).unwrap_or_default()
}

#[test]
fn ntt_05_one_mail_for_each_rule_on_and_off() {
    let hop = Hop::start();
    let gateway = gateway(&hop);
    let both = |who: &str, content: &[u8]| {
        let to = [format!("{who}@on.test"), format!("{who}@off.test")];
        for to in &to {
            let sent = gateway.send(FROM, &[to], content);
            assert_eq!(sent.reply.code, 250, "{to}: {}", sent.reply.text());
        }
        to.map(|to| got(&hop, &to))
    };
    // Rule 1: what can be cleaned is, what cannot is deleted.
    let [on, off] = both("virus", &mail("virus", &[TEXT, &attachment("notes.txt", &eicar())]));
    let on = on.expect("cleaned and delivered");
    assert!(on.contains("notes.txt.txt") && !on.contains("WDVPIVAlQEFQ"), "{on}");
    assert!(off.expect("passed").contains("WDVPIVAlQEFQ"), "rule 1 is off");
    let whole = String::from_utf8(eicar()).unwrap();
    let whole = format!("Subject: all of it\r\n\r\n{whole}\r\n").into_bytes();
    let [on, off] = both("whole", &whole);
    assert!(on.is_none() && off.is_some(), "not cleanable: {on:?} {off:?}");
    // Rule 3.
    let zip =
        mail("zip", &[TEXT, &attachment("plan.zip", &protected()), &attachment("b.bin", b"x")]);
    let [on, off] = both("zip", &zip);
    let on = on.expect("delivered");
    assert!(on.contains("The attachment \"plan.zip\" could not be checked"), "{on}");
    assert!(on.contains("UEsDB"), "the attachment passes");
    assert!(!off.expect("delivered").contains("could not be checked"));
    // Rule 4, and once only.
    let spam = |subject: &str| format!("Subject: {subject}\r\n\r\n{GTUBE}\r\n").into_bytes();
    let [on, off] = both("spam", &spam("offer"));
    assert_eq!(subject(&on.expect("delivered")), "Subject: [MEIWAKU!!!] offer");
    assert_eq!(subject(&off.expect("delivered")), "Subject: offer");
    let [on, _] = both("again", &spam("Re: [MEIWAKU!!!] offer"));
    assert_eq!(subject(&on.expect("delivered")), "Subject: Re: [MEIWAKU!!!] offer");
    let [on, _] = both("hidden", &spam("a long subject and at its end [MEIWAKU!!!]"));
    let on = on.expect("delivered");
    assert!(subject(&on).starts_with("Subject: [MEIWAKU!!!] a long"), "{on}");
    // Rule 5.
    let odd = mail("odd", &[&TEXT.replace("hello", "This is somewhat odd.")]);
    let [on, off] = both("suspect", &odd);
    assert_eq!(subject(&on.expect("delivered")), "Subject: [SPAM!!!] odd");
    assert_eq!(subject(&off.expect("delivered")), "Subject: odd");
    // Rule 7.
    let [on, off] = both("exe", &mail("exe", &[TEXT, &attachment("setup.exe", b"MZ and so on")]));
    assert!(on.is_none() && off.is_some(), "{on:?} {off:?}");
}

#[test]
fn ntt_08_an_approved_sender_is_not_excused_from_viruses_and_rules_of_the_administrator() {
    let hop = Hop::start();
    let gateway = gateway(&hop);
    let allowed = gateway.sekisho(&["list", "add", "allow", FROM, "--owner", "domain:on.test"]);
    assert!(allowed.status.success(), "{}", words(&allowed));
    let send = |who: &str, content: &[u8]| {
        let to = format!("{who}@on.test");
        let sent = gateway.send(FROM, &[&to], content);
        assert_eq!(sent.reply.code, 250, "{}", sent.reply.text());
        got(&hop, &to)
    };
    let spam = send("spam", format!("Subject: offer\r\n\r\n{GTUBE}\r\n").as_bytes());
    assert_eq!(subject(&spam.expect("delivered")), "Subject: offer", "without the tag");
    let virus = send("virus", &mail("virus", &[TEXT, &attachment("notes.txt", &eicar())]));
    assert!(virus.expect("cleaned").contains("notes.txt.txt"), "rule 1");
    assert!(send("own", b"Subject: about projectx\r\n\r\nb\r\n").is_none(), "the own rule");
    let items = gateway.sekisho_json(&["quarantine", "list"]);
    let held: Vec<_> = items.iter().filter(|item| item["to"] == "own@on.test").collect();
    assert_eq!((held.len(), &held[0]["reason"]), (1, &"content".into()), "{items:?}");
}
