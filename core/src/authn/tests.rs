use std::io::Write as _;
use std::sync::Arc;

use super::check::{no_spf, read, stated_dmarc};
use super::octets::{self, Front};
use super::*;
use crate::content::{Content, LargeFile, Piece};

fn author(text: &str) -> Option<Box<str>> {
    Some(text.into())
}

#[test]
fn what_a_sealer_says_of_dmarc_is_read_without_its_comments() {
    let cases: &[(&str, AuthResult, Option<Box<str>>)] = &[
        (
            " i=1; a.test; dmarc=pass (p=none) header.from=b.test",
            AuthResult::Pass,
            author("b.test"),
        ),
        (
            "i=1; a.test; spf=pass; dmarc=fail header.from=b.test",
            AuthResult::Fail,
            author("b.test"),
        ),
        ("i=1; a.test; arc=none (; dmarc=pass); dmarc=fail", AuthResult::Fail, None),
        ("i=1; a.test; xdmarc=pass", AuthResult::None, None),
        ("dmarc=pass", AuthResult::None, None),
        ("i=1; a.test; dmarc=bestguesspass", AuthResult::None, None),
        ("", AuthResult::None, None),
        // A sender chooses what stands in quotes, behind a backslash in a comment, and in a local-part.
        (
            "i=1; a.test; dmarc=fail header.from=b.test; \
             spf=fail smtp.mailfrom=\"x; dmarc=pass header.from=b.test; y\"@evil.test",
            AuthResult::Fail,
            author("b.test"),
        ),
        (
            "i=1; a.test; dmarc=fail (x\\) ; dmarc=pass header.from=b.test y) header.from=b.test",
            AuthResult::Fail,
            author("b.test"),
        ),
        (
            "i=1; a.test; spf=fail smtp.mailfrom=\"x\\\"; dmarc=pass; y\"@e.test",
            AuthResult::None,
            None,
        ),
        ("i=1; a.test; dmarc=fail; dmarc=pass header.from=b.test", AuthResult::Fail, None),
        // Other ways to write what is so.
        ("i=1; a.test; DMARC=PASS header.from=B.test", AuthResult::Pass, author("b.test")),
        ("i=1; a.test; dmarc = pass header.from = b.test", AuthResult::Pass, author("b.test")),
        ("i=1; a.test; dmarc/1=pass header.from=\"b.test\"", AuthResult::Pass, author("b.test")),
        (
            "i=1; a.test; dkim=pass header.s=\"(\"; dmarc=pass header.from=b.test",
            AuthResult::Pass,
            author("b.test"),
        ),
    ];
    for (field, result, from) in cases {
        assert_eq!(stated_dmarc(field.as_bytes()), (*result, from.clone()), "{field}");
    }
}

#[test]
fn spf_without_an_answer_in_time_is_about_both_names() {
    let of = |sender: &str| {
        let (spf, helo) = no_spf(sender, "Mx.test");
        let told = |check: &SpfCheck| (check.result, check.domain.to_string());
        (told(&spf), helo.as_ref().map(told))
    };
    let late = |domain: &str| (AuthResult::TempError, domain.to_owned());
    assert_eq!(of("a@B.test"), (late("b.test"), Some(late("mx.test"))));
    assert_eq!(of(""), (late("mx.test"), None), "a null sender has no other name");
}

#[test]
fn a_forwarder_is_believed_only_if_all_after_him_are() {
    let sealer = |domain: &str, dmarc, author: &str| ArcSealer {
        domain: domain.into(),
        dmarc,
        author: Some(author.into()),
    };
    let found = |sealers: Vec<ArcSealer>| {
        let mut all = Authentication::default();
        all.dmarc.result = AuthResult::Fail;
        all.dmarc.domain = "author.test".into();
        all.arc = ArcCheck { result: AuthResult::Pass, sealers, reason: "".into() };
        all.believe(&["list.test".into(), "relay.test".into()]);
        all.dmarc.by_arc
    };
    let pass = AuthResult::Pass;
    let list = || sealer("List.test", pass, "author.test");
    assert_eq!(found(vec![list()]), author("List.test"));
    assert_eq!(
        found(vec![list(), sealer("relay.test", AuthResult::Fail, "author.test")]),
        author("List.test")
    );
    assert_eq!(found(vec![list(), sealer("stranger.test", pass, "author.test")]), None);
    assert_eq!(found(vec![sealer("list.test", pass, "somebody.else.test")]), None);
    assert_eq!(found(vec![sealer("list.test", AuthResult::Fail, "author.test")]), None);
    assert_eq!(found(Vec::new()), None);
}

const SIGNED: &str = "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=a.test; s=s; t=1000; x=2000;\r\n\
                      \x20h=from; bh=AAAA; b=AAAA\r\nFrom: a@a.test\r\n\r\nText \tof  it.\r\n\r\n\r\n";

#[test]
fn a_signature_expires_by_the_clock_that_is_given() {
    for (now, ended) in [(1_500, false), (1_999, false), (2_000, true), (9_999_999_999, true)] {
        let message = read(SIGNED.as_bytes(), now).expect("a message");
        let signature = &message.dkim_headers.first().expect("a signature").header;
        assert_eq!((signature.t, signature.x), if ended { (1, 1) } else { (1000, 0) }, "{now}");
    }
}

#[test]
fn a_sender_chooses_how_many_signatures_there_are_and_we_how_many_are_verified() {
    let field = SIGNED.split_once("From:").expect("a field").0;
    let mail = field.repeat(500) + "From: a@a.test\r\n\r\nText.\r\n";
    let message = read(mail.as_bytes(), 1_500).expect("a message");
    assert_eq!(message.dkim_headers.len(), check::SIGNATURES_MAX);
}

/// The same mail as a range of a file.
fn in_file(octets: &[u8]) -> Content {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(b"before").expect("written");
    file.write_all(octets).expect("written");
    let bytes = octets.len() as u64;
    let file = Arc::new(LargeFile { file, path: "unnamed".into(), bytes });
    Content { pieces: vec![Piece::File { file, offset: 6, bytes }] }
}

#[test]
fn a_body_in_a_file_has_the_hash_that_it_has_in_memory() {
    for body in ["", "\r\n", "one line\r\n", "no end", " \t blanks \t \r\n\r\n\r\n"] {
        for mail in [
            SIGNED.replace("Text \tof  it.\r\n\r\n\r\n", body),
            SIGNED.replace("relaxed/relaxed", "simple/simple") + &body.repeat(100_000),
            SIGNED.replace("rsa-sha256", "rsa-sha1") + body,
        ] {
            let whole = read(mail.as_bytes(), 1_500).expect("a message");
            let content = in_file(mail.as_bytes());
            let Some(Front::Header(header)) = octets::front(&content) else { panic!("a header") };
            let mut streamed = read(&header, 1_500).expect("a message");
            assert!(octets::hash_body(&mut streamed, &content, header.len()));
            assert_eq!(streamed.body_hashes, whole.body_hashes);
        }
    }
    // RFC 6376 section 3.4.4: blanks at line ends go first, then the empty lines at the end. The hash of "a\r\n", and of nothing.
    let known = |body: &str| {
        let mail = SIGNED.replace("Text \tof  it.\r\n\r\n\r\n", body);
        let content = in_file(mail.as_bytes());
        let Some(Front::Header(header)) = octets::front(&content) else { panic!("a header") };
        octets::hash_with::<mail_auth::common::crypto::Sha256>(
            &content,
            header.len(),
            mail_auth::dkim::Canonicalization::Relaxed,
        )
    };
    for body in ["a\r\n \r\n", "a\r\n\r\n\t\r\n", "a \r\n \t \r\n\r\n ", "a"] {
        assert_eq!(known(body), known("a\r\n"), "{body:?}");
        let whole = format!("Subject: x\r\n\r\n{body}");
        let from = octets::body_that_ends_in_blanks(whole.as_bytes());
        assert_eq!(
            from,
            body.contains(" \r").then_some(14).or_else(|| body.contains('\t').then_some(14))
        );
    }
    assert_eq!(known(" \r\n\t\r\n"), known(""));
    assert_ne!(known("a\r\n \r\nb\r\n"), known("a\r\nb\r\n"), "in the middle they are lines");
    let long = format!("a{}b\r\n", " \r\n".repeat(200_000));
    assert_eq!(known(&long), known(&format!("a{}b\r\n", "\r\n".repeat(200_000))));
    let endless = in_file(&b"Subject: a\r\n".repeat(200_000));
    assert!(octets::front(&endless).is_none(), "a header section without an end");
}

#[test]
fn one_signature_that_passes_is_what_counts() {
    let of = |results: &[AuthResult]| {
        let dkim =
            results.iter().map(|result| DkimCheck { result: *result, ..DkimCheck::default() });
        Authentication { dkim: dkim.collect(), ..Authentication::default() }.dkim_result()
    };
    use AuthResult as R;
    assert_eq!(of(&[]), R::None);
    assert_eq!(of(&[R::Fail, R::Pass]), R::Pass);
    assert_eq!(of(&[R::Fail, R::TempError]), R::TempError, "it may be good");
    assert_eq!(of(&[R::PermError, R::Fail]), R::Fail);
    assert_eq!(of(&[R::Policy]), R::Policy);
}

#[test]
fn what_cannot_be_sealed_truly_is_not_sealed() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key").serialize_pem();
    let sealer = Sealer::from_pem(key.as_bytes(), "example.com", "s").expect("a key");
    let sets = |count: u32, cv: &str| {
        let set = |i| {
            format!(
                "ARC-Seal: i={i}; a=rsa-sha256; cv={cv}; d=a.test; s=s; b=AA==\r\n\
                 ARC-Message-Signature: i={i}; a=rsa-sha256; d=a.test; s=s; h=from; bh=AA==; b=AA==\r\n\
                 ARC-Authentication-Results: i={i}; a.test; none\r\n"
            )
        };
        let all: String = (1..=count).rev().map(set).collect();
        format!("{all}From: a@a.test\r\n\r\ntext\r\n")
    };
    let sealed = |mail: &str, chain| {
        let sealing = Sealing { results: "mx.test; spf=pass".into(), chain, now: 1 };
        let sealed = sealer.seal(&Content::from_octets(mail.as_bytes()), &sealing);
        sealed.map(|fields| String::from_utf8(fields).expect("ASCII"))
    };
    let pass = sealed(&sets(2, "pass"), AuthResult::Pass).expect("the third set");
    assert!(pass.contains("cv=pass;") && pass.contains("i=3; mx.test; spf=pass\r\n"), "{pass}");
    let fail = sealed(&sets(2, "pass"), AuthResult::Fail).expect("the third set");
    assert!(fail.contains("cv=fail;"), "{fail}");
    let first = sealed(&sets(0, ""), AuthResult::TempError).expect("the first set");
    assert!(first.contains("cv=none;") && first.contains("i=1; "), "{first}");
    // Names that nobody may add are there once more than the fields.
    assert!(first.contains("h=from:from:"), "{first}");
    assert_eq!(sealed(&sets(2, "pass"), AuthResult::TempError), Err(Unsealed::Unknown));
    assert_eq!(sealed(&sets(2, "fail"), AuthResult::Fail), Err(Unsealed::Ended));
    assert_eq!(sealed(&sets(50, "pass"), AuthResult::Pass), Err(Unsealed::Full));
    let odd = sets(1, "none").replace("i=1", "i=one");
    assert_eq!(sealed(&odd, AuthResult::Fail), Err(Unsealed::Unreadable));
    assert!(Sealer::from_pem(b"no key", "example.com", "s").is_err());
    // However many fields there are, the names of those that are signed are bounded, and so are lines.
    let many = format!("{}{}", "DKIM-Signature: v=1\r\n".repeat(5_000), sets(0, ""));
    let many = sealed(&many, AuthResult::None).expect("a set");
    assert!(many.len() < 8_000 && many.lines().all(|line| line.len() < 500), "{}", many.len());
}

#[test]
fn a_mail_that_breaks_the_reader_is_not_taken_for_a_silent_dns() {
    let broken = threads::guarded(async { panic!("a reader that breaks") });
    let found = futures_lite::future::block_on(broken);
    assert!(found.unreadable && !Authentication::unanswered().unreadable);
}
