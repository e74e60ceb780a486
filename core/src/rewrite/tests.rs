use proptest::prelude::*;

use super::*;
use crate::authn::{AuthResult, Authentication, DkimCheck, DmarcPolicy};
use crate::message::decode_field;
use crate::policy::{Action, Facts, HeaderSet, Language, ListDecision, Profile, decide, preset};
use crate::scan::finding::{Finding, FindingKind};
use crate::verdict::{AppliedEntry, Owner, judge};

const PLAIN: &str =
    "From: a@example.org\r\nSubject: hello\r\nDate: x\r\n\r\nline one\r\nline two\r\n";

/// Rewrites with what a profile says of some findings.
fn rewritten(
    mail: &[u8],
    profile: Profile,
    findings: &[Finding],
    list: ListDecision,
    change: impl Fn(&mut Decision),
) -> Vec<u8> {
    with_removed(mail, profile, findings, (list, &[]), change)
}

fn with_removed(
    mail: &[u8],
    profile: Profile,
    findings: &[Finding],
    (list, removed): (ListDecision, &[Removed<'_>]),
    change: impl Fn(&mut Decision),
) -> Vec<u8> {
    let settings = preset(profile);
    let verdict = judge(findings, &[], &settings.weights, list);
    let mut decision = decide(&verdict, &settings, &Facts::default());
    change(&mut decision);
    let client = Client {
        address: ([192, 0, 2, 7], 4711).into(),
        local: ([192, 0, 2, 1], 25).into(),
        name: None,
        helo: "client.example.org".into(),
        esmtp: true,
        tls: Some("TLSv1.3 TLS_AES_128_GCM_SHA256".into()),
    };
    let recipient = Mailbox::new("user", "example.com");
    let job = Rewriting {
        decision: &decision,
        verdict: &verdict,
        client: &client,
        host_name: "mx.example.net",
        mail: MailId::from_parts(UnixMillis(1_600_000_000_000), [7; 10]),
        received_at: UnixMillis(1_600_000_000_000),
        recipients: &[&recipient],
        smtputf8: false,
        scanned: Scanned::Yes,
        removed,
        language: Language::Both,
        sealer: Sealer::None,
        authentication: &Authentication::left_out(),
    };
    octets(&apply(&Content::from_octets(mail), mail, &job).content)
}

fn octets(content: &Content) -> Vec<u8> {
    let mut all = Vec::new();
    for piece in &content.pieces {
        match piece {
            Piece::Memory(octets) => all.extend_from_slice(octets),
            Piece::File { .. } => panic!("no files here"),
        }
    }
    all
}

fn text(octets: Vec<u8>) -> String {
    String::from_utf8(octets).expect("UTF-8")
}

fn plainly(mail: &str) -> String {
    text(rewritten(mail.as_bytes(), Profile::IijSecureMx, &[], ListDecision::None, |_| ()))
}

fn tagged(mail: &[u8], tag: &str) -> Vec<u8> {
    rewritten(mail, Profile::Tmems, &[], ListDecision::None, |decision| {
        decision.action = Action::Tag;
        decision.tag = Some(tag.into());
    })
}

fn stamped(mail: &[u8], stamp: &str) -> Vec<u8> {
    rewritten(mail, Profile::Tmems, &[], ListDecision::None, |decision| {
        decision.action = Action::Stamp;
        decision.stamps = vec![stamp.into()];
    })
}

fn finding(kind: FindingKind, points: i32) -> Finding {
    Finding { kind, rule: "R".into(), points, detail: "".into(), log_only: false }
}

#[test]
fn received_names_client_protocol_id_recipient_and_date() {
    let mail = plainly(PLAIN);
    let expected = "Received: from client.example.org ([192.0.2.7])\r\n\tby mx.example.net (Sekisho) \
                    with ESMTPS id 0174876e";
    assert!(mail.starts_with(expected), "{mail}");
    assert!(mail.contains("\r\n\t(TLSv1.3 TLS_AES_128_GCM_SHA256)\r\n\tfor <user@example.com>;"));
    assert!(mail.contains(";\r\n\tSun, 13 Sep 2020 12:26:40 +0000\r\n"), "{mail}");
}

#[test]
fn its_08_forged_fields_of_ours_are_removed_and_received_is_not() {
    let forged = "Received: from x\r\nX-SLBL-Result: SAFE-LISTED\r\nx-ipas : POSITIVE\r\nX-AS: \
                  POSITIVE\r\n folded\r\nX-Sekisho-Class: Not Spam\r\nAuthentication-Results: \
                  (c (d)) MX.example.net; spf=pass\r\nAuthentication-Results: other.example; \
                  spf=pass\r\nX-Spam-Filtered: true\r\nSubject: s\r\n\r\nX-AS: in the body\r\n";
    let mail = text(rewritten(forged.as_bytes(), Profile::Tmems, &[], ListDecision::None, |_| ()));
    let rest = "Received: from x\r\nAuthentication-Results: other.example; spf=pass\r\nSubject: \
                s\r\n\r\nX-AS: in the body\r\n";
    assert!(mail.ends_with(&format!("+0000\r\n{rest}")), "{mail}");
}

#[test]
fn a_forged_result_with_our_name_is_removed_however_the_name_is_written() {
    for id in [
        "(\\() mx.example.net",
        "(a \\) b (c)) mx.example.net",
        "\"mx\\.example.net\"",
        "\"\\mx.example.net\" 1",
        "\r\n\t(x)\r\n MX.example.net",
    ] {
        let forged = format!("Authentication-Results: {id}; dmarc=pass\r\nSubject: s\r\n\r\nb\r\n");
        let mail = rewritten(forged.as_bytes(), Profile::Tmems, &[], ListDecision::None, |_| ());
        let mail = text(mail);
        assert!(!mail.contains("dmarc=pass"), "{id}: {mail}");
    }
}

#[test]
fn its_08_a_first_line_that_begins_with_a_blank_goes_on_from_no_field_of_ours() {
    let mail = " X-IPAS: POSITIVE\r\n\tmore\r\nSubject: s\r\n\r\nb\r\n";
    let all = text(rewritten(mail.as_bytes(), Profile::Tmems, &[], ListDecision::None, |_| ()));
    let expected =
        "+0000\r\nX-Sekisho-Unnamed: X-IPAS: POSITIVE\r\n\tmore\r\nSubject: s\r\n\r\nb\r\n";
    assert!(all.ends_with(expected), "{all}");
}

#[test]
fn the_standard_set_tells_class_score_rules_and_id() {
    let found = [finding(FindingKind::Spam, 3_500)];
    let mail =
        text(rewritten(PLAIN.as_bytes(), Profile::IijSecureMx, &found, ListDecision::None, |_| ()));
    for expected in [
        "X-Sekisho-Id: 0174876e",
        "X-Sekisho-Class: Unsure; sub=spam; likelihood=LOW\r\n",
        "X-Sekisho-Score: 3.500\r\n",
        "X-Sekisho-Rules: R=3.500\r\n",
    ] {
        assert!(mail.contains(expected), "{expected}: {mail}");
    }
    assert!(mail.ends_with(PLAIN));
}

#[test]
fn the_itscom_set_follows_its_02_to_its_07() {
    let entry = AppliedEntry { owner: Owner::Account, text: "x".into() };
    let of = |findings: &[Finding], list| {
        let mail = PLAIN.as_bytes();
        let all = text(rewritten(mail, Profile::ItscomSpamScan, findings, list, |d| {
            assert_eq!(d.headers, HeaderSet::Itscom);
        }));
        let own = all.lines().filter(|line| line.starts_with("X-")).map(str::to_owned);
        own.map(|line| line.split("v1:").next().unwrap_or("").to_owned()).collect::<Vec<_>>()
    };
    let clean = ["X-Spam-Filtered: true", "X-Spam-Result: ", "X-AV-Result: clean"];
    assert_eq!(of(&[], ListDecision::None), clean, "ITS-05, ITS-07");
    let positive = of(&[finding(FindingKind::NetworkPositive, 0)], ListDecision::None);
    assert_eq!(positive[0], "X-AS: POSITIVE", "ITS-02");
    let suspect = of(&[finding(FindingKind::NetworkSuspect, 0)], ListDecision::None);
    assert_eq!(suspect[0], "X-AS: SUSPECT", "ITS-02");
    assert!(!suspect.contains(&"X-IPAS: POSITIVE".to_owned()), "ITS-03");
    let spam = [finding(FindingKind::Spam, 9_000)];
    assert!(of(&spam, ListDecision::None).contains(&"X-IPAS: POSITIVE".to_owned()), "ITS-06");
    let safe = of(&spam, ListDecision::Allow(entry.clone()));
    assert_eq!(safe[0], "X-SLBL-Result: SAFE-LISTED", "ITS-04");
    assert!(!safe.contains(&"X-IPAS: POSITIVE".to_owned()), "ITS-06");
    assert_eq!(of(&[], ListDecision::Block(entry))[0], "X-SLBL-Result: BLOCK-LISTED", "ITS-04");
}

#[test]
fn its_05_its_07_nothing_is_called_filtered_or_clean_that_was_not_looked_at() {
    let of = |kind, list| {
        let found = [finding(kind, 0)];
        text(rewritten(PLAIN.as_bytes(), Profile::ItscomSpamScan, &found, list, |_| {}))
    };
    let died = of(FindingKind::WorkerDied, ListDecision::None);
    assert!(!died.contains("X-Spam-Filtered") && !died.contains("X-Spam-Result"), "{died}");
    assert!(died.contains("X-AV-Result: not-scanned\r\n"), "{died}");
    let limit = of(FindingKind::LimitReached, ListDecision::None);
    assert!(limit.contains("X-Spam-Filtered: true") && limit.contains("not-scanned"), "{limit}");
    // Whatever a list makes of it.
    let mut settings = preset(Profile::ItscomSpamScan);
    settings.weights.allow_skips = vec![crate::verdict::Stage::Virus];
    let entry = AppliedEntry { owner: Owner::Account, text: "x".into() };
    let found = [finding(FindingKind::Malware, 0)];
    let verdict = judge(&found, &[], &settings.weights, ListDecision::Allow(entry));
    assert!(verdict.detections.is_empty() && verdict.scan.has_virus);
}

#[test]
fn a_tag_goes_before_the_subject_once_in_every_encoding() {
    // hello | UTF-8 B | ISO-2022-JP B | raw ISO-2022-JP | folded behind a blank | none at all
    let subjects: [&[u8]; 6] = [
        b"Subject: hello",
        b"Subject: =?UTF-8?B?44GT44KT44Gr44Gh44Gv?=",
        b"subject:\r\n =?ISO-2022-JP?B?GyRCJDMkcyRLJEEkTxsoQg==?=",
        b"Subject: \x1b$B$3$s$K$A$O\x1b(B",
        b"Subject: \r\n =?UTF-8?B?44GT44KT44Gr44Gh44Gv44CB44GT44KT44Gr44Gh44Gv44CB44GT44KT44Gr?=\r\n =?UTF-8?B?44GT?=",
        b"X-Other: y",
    ];
    for tag in ["[MEIWAKU!!!]", "【迷惑】"] {
        for subject in subjects {
            let mail = [b"From: a@b.example\r\n", subject, b"\r\n\r\nbody\r\n"].concat();
            let once = tagged(&mail, tag);
            let shown = |octets: &[u8]| {
                let section = header::section_bytes(octets);
                let field = header::fields(&octets[..section])
                    .find(|field| field.name.eq_ignore_ascii_case(b"Subject"))
                    .expect("a subject");
                decode_field(field.value).trim().to_owned()
            };
            assert!(shown(&once).starts_with(tag), "{tag} {:?}", shown(&once));
            let lines = text(once.clone());
            let mut section = lines.split("\r\n\r\n").next().unwrap_or_default().split("\r\n");
            assert!(section.all(|line| !line.trim().is_empty()), "a line of blanks: {lines:?}");
            assert!(subject.starts_with(b"X-") || shown(&once).len() > tag.len());
            let again = tagged(&once, tag);
            assert_eq!(shown(&again).matches(tag).count(), 1, "only once");
        }
    }
}

#[test]
fn a_stamp_goes_before_the_text_in_its_own_encoding() {
    let plain = text(stamped(PLAIN.as_bytes(), "STAMP"));
    assert!(plain.ends_with("\r\n\r\nSTAMP\r\n\r\nline one\r\nline two\r\n"), "{plain}");

    let html = "Content-Type: text/html; charset=utf-8\r\n\r\n<p>x</p>\r\n";
    let html = text(stamped(html.as_bytes(), "<検査>"));
    assert!(html.contains("&lt;&#26908;&#26619;&gt;</div>\r\n<p>x</p>"), "{html}");

    let base64 = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\
                  \r\naGVsbG8=\r\n";
    let base64 = text(stamped(base64.as_bytes(), "検査"));
    let body = base64.split("\r\n\r\n").nth(1).expect("a body");
    assert!(body.ends_with("aGVsbG8=\r\n") && !body.trim_end().trim_end_matches('=').contains('='));

    let quoted = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: \
                  quoted-printable\r\n\r\nx=\r\ny\r\n";
    let quoted = text(stamped(quoted.as_bytes(), "検"));
    assert!(quoted.ends_with("\r\n\r\n=E6=A4=9C\r\n\r\nx=\r\ny\r\n"), "{quoted}");

    let jis = b"Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n\x1b$B$3\x1b(B\r\n";
    let jis = stamped(jis, "検査");
    assert!(memchr::memmem::find(&jis, b"\r\n\r\n\x1b$B8!::\x1b(B\r\n\r\n\x1b$B$3").is_some());
}

#[test]
fn a_stamp_finds_the_first_text_part_of_a_multipart() {
    let mail = "Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\npreamble\r\n--b\r\n\
                Content-Type: application/zip\r\n\r\nPK\r\n--b\r\nContent-Type: \
                multipart/alternative; boundary=c\r\n\r\n--c\r\nContent-Type: \
                text/plain\r\n\r\nhello\r\n--c\r\nContent-Type: \
                text/html\r\n\r\n<p>hello\r\n--c--\r\n--b\r\n\r\nlater\r\n--b--\r\n";
    let mail = text(stamped(mail.as_bytes(), "STAMP"));
    assert!(mail.contains("</div>\r\n<p>hello\r\n--c--"), "NTT-05: the HTML part too: {mail}");
    assert!(mail.contains("--b\r\n\r\nlater"), "{mail}");
    assert!(mail.contains("text/plain\r\n\r\nSTAMP\r\n\r\nhello\r\n--c\r\n"), "{mail}");
}

#[test]
fn what_is_signed_or_not_readable_is_left_alone_and_stamped_in_the_header() {
    let bodies = [
        "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b--\r\n",
        "Content-Type: multipart/mixed\r\n\r\nno boundary\r\n",
        "Content-Type: text/plain; charset=x-none\r\nContent-Transfer-Encoding: 8bit\r\n\r\nx\r\n",
        "Content-Type: text/plain\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nx\r\n",
        "Content-Type: application/pkcs7-mime\r\n\r\nx\r\n",
        "Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nx\r\n",
    ];
    for mail in bodies {
        let result = text(stamped(mail.as_bytes(), "STAMP"));
        assert!(result.contains("X-Sekisho-Stamp: STAMP\r\n"), "{result}");
        assert!(result.ends_with(mail), "{result}");
    }
}

#[test]
fn nobody_learns_of_another_recipient_and_nothing_said_in_helo_ends_the_field() {
    let settings = preset(Profile::Tmems);
    let verdict = judge(&[], &[], &settings.weights, ListDecision::None);
    let decision = decide(&verdict, &settings, &Facts::default());
    let client = Client {
        address: "[::ffff:192.0.2.7]:25".parse().expect("an address"),
        local: ([192, 0, 2, 1], 25).into(),
        name: Some("a\r\nX-Evil: 1".into()),
        helo: "evil)\r\nSubject: x; (".into(),
        esmtp: false,
        tls: None,
    };
    let (one, two) = (Mailbox::new("a", "example.com"), Mailbox::new("b", "example.com"));
    let job = Rewriting {
        decision: &decision,
        verdict: &verdict,
        client: &client,
        host_name: "mx.example.net",
        mail: MailId::from_parts(UnixMillis(0), [0; 10]),
        received_at: UnixMillis(u64::MAX),
        recipients: &[&one, &two],
        smtputf8: false,
        scanned: Scanned::No,
        authentication: &Authentication::left_out(),
        language: Language::Both,
        sealer: Sealer::None,
        removed: &[],
    };
    let mail = text(octets(
        &apply(&Content::from_octets(PLAIN.as_bytes()), PLAIN.as_bytes(), &job).content,
    ));
    assert!(!mail.contains("for <"), "{mail}");
    assert_eq!(mail.matches("\r\nSubject:").count(), 1, "{mail}");
    assert!(!mail.contains("\r\nX-Evil"), "{mail}");
    assert!(mail.contains("[192.0.2.7]") && mail.contains("with SMTP id"), "{mail}");
}

#[test]
fn an_infected_part_is_replaced_and_all_else_keeps_its_octets() {
    let front = "From: a@example.org\r\nSubject: s\r\nContent-Type: multipart/mixed; \
                 boundary=b\r\n\r\npreamble\r\n--b\r\n\r\nhello \r\n--b\r\n";
    let part = "Content-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\nWDVP";
    let back = "\r\n--b\r\nContent-Type: image/png\r\n\r\nPNG\r\n--b--\r\nepilogue";
    let mail = format!("{front}{part}{back}");
    let (start, end) = (front.len() as u64, (front.len() + part.len()) as u64);
    let removed = [Removed { start, end, name: "x.com", bytes: 3, why: Why::Virus("V") }];
    let as_decided = |action, stamp: Option<&str>| {
        let list = (ListDecision::None, &removed[..]);
        text(with_removed(mail.as_bytes(), Profile::NttMailSecurity, &[], list, |decision| {
            decision.action = action;
            decision.tag = Some("[T]".into());
            decision.stamps = stamp.into_iter().map(Into::into).collect();
        }))
    };
    let cleaned = as_decided(Action::Clean, None);
    let stand_in = String::from_utf8(clean::stand_in(&removed[0], Language::Both)).expect("ASCII");
    let front = front.replace("Subject: s", "Subject: [T] s");
    assert!(cleaned.ends_with(&format!("+0000\r\n{front}{stand_in}{back}")), "{cleaned}");
    // With a stamp in the text before it.
    let stamped = as_decided(Action::Clean, Some("STAMP"));
    assert!(stamped.contains("--b\r\n\r\nSTAMP\r\n\r\nhello"), "{stamped}");
    assert!(stamped.ends_with(&format!("--b\r\n{stand_in}{back}")), "{stamped}");
    // What was not decided is not done.
    assert!(as_decided(Action::Quarantine, None).ends_with(&format!("{part}{back}")));
}

#[test]
#[should_panic(expected = "before the end of another")]
fn a_part_that_is_not_where_it_should_be_is_never_handed_on() {
    let removed = [Removed { start: 3, end: 9, name: "x", bytes: 1, why: Why::Virus("V") }];
    let list = (ListDecision::None, &removed[..]);
    let _ = with_removed(PLAIN.as_bytes(), Profile::Tmems, &[], list, |d| d.action = Action::Clean);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn octets_below_our_fields_are_identical_when_nothing_is_modified(
        mail in prop::collection::vec(any::<u8>(), 0..400),
        split in 0..400_usize,
        lines in any::<bool>(),
    ) {
        let mut mail = mail;
        if lines {
            let at = split.min(mail.len());
            mail.splice(at..at, *b"\r\n\r\n");
        }
        let result = rewritten(&mail, Profile::IijSecureMx, &[], ListDecision::None, |_| ());
        prop_assert!(result.ends_with(&mail));
        fuzz_rewrite(&mail);
    }

    #[test]
    fn a_stamp_only_inserts(
        body in "[a-z\r\n=-]{0,200}",
        stamp in "[a-z検査]{1,20}",
    ) {
        let mail = format!("Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\n{body}");
        let result = stamped(mail.as_bytes(), &stamp);
        let (head, tail) = mail.split_at(mail.find("\r\n\r\n").unwrap_or(0));
        prop_assert!(memchr::memmem::find(&result, head.as_bytes()).is_some());
        prop_assert!(result.len() >= mail.len());
        let last = tail.as_bytes().last().copied();
        prop_assert_eq!(result.last().copied(), last);
    }
}

#[test]
fn results_of_authentication_stand_on_top_and_what_strangers_chose_ends_no_field() {
    let mut found = Authentication::default();
    found.spf.result = AuthResult::SoftFail;
    found.spf.domain = "good.example".into();
    found.helo = Some(found.spf.clone());
    found.dmarc.result = AuthResult::Fail;
    found.dmarc.policy = DmarcPolicy::Reject;
    found.dmarc.domain = "evil\r\nX-Evil: 1".into();
    found.dkim = vec![DkimCheck {
        result: AuthResult::PermError,
        domain: "a\";x=\\ \u{3042}".into(),
        selector: "s".repeat(3000).into(),
        algorithm: "rsa-sha256".into(),
        reason: "no \"key\"\r\n".into(),
    }];
    let settings = preset(Profile::Securemail);
    let verdict = judge(&[], &[], &settings.weights, ListDecision::None);
    let mut decision = decide(&verdict, &settings, &Facts::default());
    decision.headers = HeaderSet::Standard;
    let client = Client {
        address: "[::ffff:192.0.2.7]:25".parse().expect("an address"),
        local: ([192, 0, 2, 1], 25).into(),
        name: None,
        helo: "client".into(),
        esmtp: true,
        tls: None,
    };
    let job = Rewriting {
        decision: &decision,
        verdict: &verdict,
        client: &client,
        host_name: "mx.example.net",
        mail: MailId::from_parts(UnixMillis(0), [0; 10]),
        received_at: UnixMillis(0),
        recipients: &[],
        smtputf8: false,
        scanned: Scanned::Yes,
        authentication: &found,
        language: Language::Both,
        sealer: Sealer::None,
        removed: &[],
    };
    let forged = "Authentication-Results: MX.example.net; dmarc=pass\r\n".to_owned() + PLAIN;
    let mail = text(octets(
        &apply(&Content::from_octets(forged.as_bytes()), forged.as_bytes(), &job).content,
    ));
    let field = mail.find("Authentication-Results: mx.example.net;").expect("our field");
    assert!(field < mail.find("From:").expect("the author"), "{mail}");
    assert_eq!(
        mail.matches("Authentication-Results:").count(),
        1,
        "the forged one is gone: {mail}"
    );
    assert!(mail.contains("spf=softfail smtp.mailfrom=good.example"), "{mail}");
    assert!(mail.contains("dmarc=fail (p=reject)"), "{mail}");
    assert!(mail.contains("policy.iprev=192.0.2.7"), "{mail}");
    assert!(!mail.contains("\r\nX-Evil"), "{mail}");
    assert!(mail.is_ascii() && mail.split("\r\n").all(|line| line.len() <= 998), "{mail}");
}
