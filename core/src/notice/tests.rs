use super::template::TOKENS;
use super::*;
use crate::clock::UnixMillis;
use crate::envelope::{MailId, Mailbox};
use crate::message::{View, ViewLimits};
use crate::policy::{Action, Language, NamedList, NoticeAsk, NoticeSettings, NoticeTo};

const AT: UnixMillis = UnixMillis(1_764_254_710_000);

fn templates() -> Templates {
    Templates::new([]).expect("ours are right")
}

fn facts() -> Facts<'static> {
    Facts {
        viruses: vec!["EICAR_TEST_FILE"],
        files: vec!["請求書.zip", "a.exe"],
        sender: "evil@client.example".into(),
        author: "Evil <evil@client.example>",
        subject: "請求書の件",
        message_id: "<1@client.example>",
        mail: "0193".into(),
        received_at: AT,
        bytes: 4711,
        attachments: 2,
        host_name: "mx.example.net",
    }
}

fn ask(to: NoticeTo, template: &str) -> NoticeAsk {
    NoticeAsk { rule: "rule 1".into(), to, template: template.into() }
}

fn told(template: &str, language: Language) -> Told {
    let to = Mailbox::new("user", "example.jp");
    let settings = NoticeSettings { language, ..NoticeSettings::default() };
    let asks = [ask(NoticeTo::Recipient, template)];
    let about = About {
        recipient: &to,
        domain: "example.jp",
        settings: &settings,
        lists: &[],
        primary_contact: "",
        asks: &asks,
        action: Action::Clean,
        reason: "malware",
    };
    let sender = Sender { mailbox: None, verified: false, automatic: true };
    let mut planned = plan([about], &sender);
    planned.told.pop().expect("the recipient is told")
}

fn octets(told: &Told, templates: &Templates, facts: &Facts<'_>, left_out: u32) -> Vec<u8> {
    let numbered = Numbered { id: MailId::from_parts(AT, [7; 10]), now: AT, left_out, mark: 10 };
    to_content(told, templates, facts, &numbered).as_memory().expect("in memory").to_vec()
}

/// What a reader shows: subject and text.
fn read(mail: &[u8]) -> (String, String) {
    let view = View::build(mail, &ViewLimits::shard());
    let subject = view.fields_named("subject").next().expect("a subject").value.to_string();
    assert_eq!(view.parts.len(), 1);
    (subject, view.parts[0].text().replace("\r\n", "\n"))
}

#[test]
fn ntt_06_each_field_is_filled_in_english() {
    let mail = octets(&told("virus", Language::En), &templates(), &facts(), 0);
    let (subject, text) = read(&mail);
    assert_eq!(subject, "Virus EICAR_TEST_FILE detected");
    assert_eq!(
        text,
        "The virus EICAR_TEST_FILE was found in a mail to you from evil@client.example,\n\
         received 2025-11-27 23:45:10 +0900 (JST).\n\nActions taken:\n  - delivered after the part \
         was removed\n\nVirus: EICAR_TEST_FILE\nFile(s): 請求書.zip, a.exe\nAction(s): delivered \
         after the part was removed\nSender: evil@client.example\nRecipient(s): \
         user@example.jp\nSubject: 請求書の件\n\nThis message was sent automatically by \
         mx.example.net. Please do not reply to it.\n"
    );
    let head = String::from_utf8_lossy(&mail).into_owned();
    for field in [
        "From: \"Sekisho\" <no-reply@mx.example.net>\r\n",
        "To: <user@example.jp>\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "X-Sekisho-Notice: virus 000000000000000a\r\n",
        "Date: Thu, 27 Nov 2025 14:45:10 +0000\r\n",
        "@mx.example.net>\r\n",
    ] {
        assert!(head.contains(field), "{field} in {head}");
    }
}

#[test]
fn ntt_06_each_field_is_filled_in_japanese() {
    let (subject, text) = read(&octets(&told("virus", Language::Ja), &templates(), &facts(), 0));
    assert_eq!(subject, "ウイルス EICAR_TEST_FILE を検出しました");
    for line in [
        "受信日時: 2025-11-27 23:45:10 +0900 (JST)\n",
        "  - 該当部分を削除して配信しました\n",
        "ウイルス名: EICAR_TEST_FILE\n",
        "ファイル: 請求書.zip, a.exe\n",
        "処理: 該当部分を削除して配信しました\n",
        "送信者: evil@client.example\n",
        "宛先: user@example.jp\n",
        "件名: 請求書の件\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("Recipient"), "{text}");
}

#[test]
fn every_text_of_ours_is_whole_in_every_language() {
    for template in ["virus", "virus_sender", "virus_administrator", "policy"] {
        for language in [Language::Both, Language::Ja, Language::En] {
            let mail = octets(&told(template, language), &templates(), &facts(), 3);
            assert!(mail.split(|octet| *octet == b'\n').all(|line| line.len() < 990));
            let (subject, text) = read(&mail);
            assert!(!subject.contains('%') && !text.contains('%'), "{subject}\n{text}");
            let both = text.contains("通知が省略") && text.contains("3 more notices");
            assert_eq!(both, language == Language::Both, "{text}");
        }
    }
}

#[test]
fn values_of_strangers_neither_break_lines_nor_are_filled_in_again() {
    let long = "x".repeat(10_000);
    let names: Vec<&str> =
        std::iter::repeat_n("%HOST%\r\nBcc: all@example.com\u{202E}.exe", 50).collect();
    let hostile = Facts {
        viruses: vec!["V\r\nBcc: victim@example.com\r\n\r\nbody"],
        files: names,
        subject: &long,
        author: "=?utf-8?Q?x?= %SENDER%",
        ..facts()
    };
    let mail = octets(&told("virus_administrator", Language::Both), &templates(), &hostile, 0);
    let head = String::from_utf8_lossy(&mail).into_owned();
    let (head, _) = head.split_once("\r\n\r\n").expect("a body");
    assert!(!head.contains("\r\nBcc"), "{head}");
    assert!(mail.len() < 64 * 1024, "{}", mail.len());
    let (subject, text) = read(&mail);
    assert!(subject.contains("Bcc: victim@example.com body") && subject.chars().count() <= 200);
    assert!(
        text.contains("%HOST% Bcc: all@example.com.exe") && text.contains("... (+30)"),
        "{text}"
    );
    assert!(text.contains("%SENDER%") && !text.contains(&"x".repeat(301)), "{text}");
}

#[test]
fn tm_02_who_is_told_follows_the_asks() {
    let (one, two) = (Mailbox::new("one", "example.jp"), Mailbox::new("two", "example.jp"));
    let settings = NoticeSettings::default();
    let lists = [NamedList { name: "security".into(), mailboxes: vec!["sec@example.org".into()] }];
    let asks = [
        ask(NoticeTo::Recipient, "policy"),
        ask(NoticeTo::Sender, "policy"),
        ask(NoticeTo::Administrator, "policy"),
        ask(NoticeTo::List("security".into()), "policy"),
        ask(NoticeTo::List("no such list".into()), "policy"),
    ];
    let about = |recipient| About {
        recipient,
        domain: "example.jp",
        settings: &settings,
        lists: &lists,
        primary_contact: "admin@example.jp",
        asks: &asks,
        action: Action::Quarantine,
        reason: "content",
    };
    let from = Mailbox::new("sender", "client.example");
    let known = Sender { mailbox: Some(&from), verified: true, automatic: false };
    let to =
        |planned: &Planned| planned.told.iter().map(|told| told.to.to_path()).collect::<Vec<_>>();
    let planned = plan([about(&one), about(&two)], &known);
    let all = [
        "one@example.jp",
        "sender@client.example",
        "admin@example.jp",
        "sec@example.org",
        "two@example.jp",
    ];
    assert_eq!(to(&planned), all, "IIJ-85: the list is told, once about both");
    assert_eq!(planned.told[2].recipients, ["one@example.jp", "two@example.jp"]);
    assert_eq!(planned.left_out, 2, "the list that there is not");
    // A forged, an automatic and a null sender are not told; the others are.
    for sender in [
        Sender { verified: false, ..known },
        Sender { automatic: true, ..known },
        Sender { mailbox: None, ..known },
    ] {
        let planned = plan([about(&one)], &sender);
        assert_eq!(to(&planned), ["one@example.jp", "admin@example.jp", "sec@example.org"]);
    }
    let settings = NoticeSettings { unverified_senders: true, ..NoticeSettings::default() };
    let asks = [ask(NoticeTo::Sender, "virus_sender")];
    let about = About { settings: &settings, asks: &asks, ..about(&one) };
    let planned = plan([about], &Sender { verified: false, ..known });
    assert_eq!(to(&planned), ["sender@client.example"]);
}

#[test]
fn a_mail_to_many_causes_a_bounded_number_of_notices() {
    let recipients: Vec<Mailbox> =
        (0..1000).map(|number| Mailbox::new(&format!("u{number}"), "example.jp")).collect();
    let settings = NoticeSettings::default();
    let asks = [ask(NoticeTo::Recipient, "virus"), ask(NoticeTo::Administrator, "policy")];
    let abouts = recipients.iter().map(|recipient| About {
        recipient,
        domain: "example.jp",
        settings: &settings,
        lists: &[],
        primary_contact: "admin@example.jp",
        asks: &asks,
        action: Action::Drop,
        reason: "malware",
    });
    let sender = Sender { mailbox: None, verified: false, automatic: false };
    let planned = plan(abouts, &sender);
    assert_eq!(planned.told.len(), TOLD_MAX);
    assert_eq!(planned.left_out, 1000 - 99);
}

#[test]
fn an_address_gets_so_many_in_an_hour_and_hears_of_the_rest_in_the_next() {
    let limits = Limits::new(1);
    let hour = UnixMillis(AT.0 + 3_600_000);
    let ask = |key: &str, at| limits.ask(key, 3, at);
    assert_eq!(
        [AT; 5].map(|at| ask("a@example.jp", at)),
        [Allowed::Yes(0), Allowed::Yes(0), Allowed::Yes(0), Allowed::No, Allowed::No]
    );
    assert_eq!(ask("b@example.jp", AT), Allowed::Yes(0));
    assert_eq!(ask("a@example.jp", hour), Allowed::Yes(2));
    assert_eq!(ask("a@example.jp", hour), Allowed::Yes(0));
    // However many addresses there are, the table has one size, and a busy one keeps its count among them.
    let busy: Vec<Allowed> = (0..100_000)
        .map(|number| {
            ask(&format!("{number}@example.org"), hour);
            ask("a@example.jp", hour)
        })
        .collect();
    assert_eq!(busy.iter().filter(|allowed| **allowed != Allowed::No).count(), 1);
}

#[test]
fn texts_of_the_operator_go_before_ours_and_mistakes_in_them_are_named() {
    let own = "Subject: 社内通知 %VIRUS%\n\n%SENDER%\n100%\n";
    let own = Templates::new([(Tongue::Ja, "virus", own)]).expect("it is right");
    let (subject, text) = read(&octets(&told("virus", Language::Ja), &own, &facts(), 0));
    assert_eq!(
        (subject.as_str(), text.as_str()),
        ("社内通知 EICAR_TEST_FILE", "evil@client.example\n100%\n")
    );
    let (subject, _) = read(&octets(&told("no such text", Language::En), &own, &facts(), 0));
    assert_eq!(subject, "Policy notification: rule 1");
    let long = format!("Subject: x\n\n{}", "y".repeat(70_000));
    for (text, why) in [
        ("Subject: x\n\n%VIRSU%\n", "notices/en/virus.txt: %VIRSU% is not known"),
        ("hello\n\ntext\n", "notices/en/virus.txt: the first line is not `Subject: ...`"),
        ("Subject: x\ntext\n", "notices/en/virus.txt: no empty line after the subject"),
        (&long, "notices/en/virus.txt: 70012 octets, expected at most 65536"),
    ] {
        let error = Templates::new([(Tongue::En, "virus", text)]).expect_err("it is wrong");
        assert_eq!(error, why);
    }
    assert!(TOKENS.is_sorted());
}
