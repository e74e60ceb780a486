//! Mail that one reader of MIME shows and another does not: what some client opens is found here,
//! whatever `mail-parser` made of the structure.

use super::{base64, eicar, kinds_of, mail_with, zip_of};
use crate::message::{ExceptionKind, Limit, View, ViewLimits};
use crate::scan::finding::FindingKind;

/// The test file in base64, as a mailer writes it.
fn encoded() -> String {
    String::from_utf8(base64(&eicar())).unwrap()
}

fn quoted() -> String {
    let escaped: Vec<String> = eicar().iter().map(|octet| format!("={octet:02X}")).collect();
    escaped.chunks(20).map(<[_]>::concat).collect::<Vec<_>>().join("=\r\n")
}

/// A multipart with boundary `b` whose second part has these header lines and this body.
fn attached(header: &str, body: &str) -> String {
    format!(
        "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n\
         text\r\n--b\r\nContent-Type: application/octet-stream; name=a.com\r\n{header}\r\n{body}\r\n--b--\r\n"
    )
}

#[track_caller]
fn check(story: &str, mail: &str) {
    let kinds = kinds_of(mail.as_bytes());
    assert!(kinds.contains(&FindingKind::Malware), "{story}: {kinds:?}\n{mail}");
    // As it looks when it was read with lone line ends.
    let kinds = kinds_of(mail.replace("\r\n", "\n").as_bytes());
    assert!(kinds.contains(&FindingKind::Malware), "{story}, LF: {kinds:?}");
}

#[test]
fn transfer_encodings_are_undone_however_they_are_declared() {
    for declared in [
        "Content-Transfer-Encoding: base64",
        "Content-Transfer-Encoding: BaSe64  ",
        "content-transfer-encoding:base64",
        "Content-Transfer-Encoding : base64",
        "Content-Transfer-Encoding:\r\n base64",
        "Content-Transfer-Encoding: \"base64\"",
        "Content-Transfer-Encoding: base64; x=y",
        "Content-Transfer-Encoding: (comment) base64",
        "Content-Transfer-Encoding: base64 (comment)",
        "Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64",
        "Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: 7bit",
        "Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: quoted-printable",
        "Content-Transfer-Encoding: quoted-printable\r\nContent-Transfer-Encoding: base64",
    ] {
        check(declared, &attached(&format!("{declared}\r\n"), &encoded()));
    }
    for declared in ["Quoted-Printable ", "\"quoted-printable\"", "quoted-printable (c)"] {
        let header = format!("Content-Transfer-Encoding: {declared}\r\n");
        check(declared, &attached(&header, &quoted()));
        check(declared, &attached(&header, &format!("== =\r\n=XY{}", quoted())));
    }
    check("not encoded", &attached("", &String::from_utf8(eicar()).unwrap()));
    check(
        "8bit",
        &attached("Content-Transfer-Encoding: 8bit\r\n", &String::from_utf8(eicar()).unwrap()),
    );
}

#[test]
fn base64_is_read_through_junk_short_lines_and_missing_padding() {
    let header = "Content-Transfer-Encoding: base64\r\n";
    let lines = encoded().replace("\r\n", "");
    let junk: String = lines.chars().map(|letter| format!("{letter}!\u{7f}#")).collect();
    let short: String = lines.chars().map(|letter| format!("{letter}\r\n")).collect();
    let unpadded = lines.trim_end_matches('=');
    let spaced: String = lines.chars().map(|letter| format!("{letter} ")).collect();
    // Two encoded pieces, one after the other, each with its padding.
    let all = eicar();
    let (front, back) = all.split_at(20);
    let (front, back) = (base64(front), base64(back));
    let joined = String::from_utf8([front, back].concat()).unwrap();
    for (story, body) in [
        ("junk", junk.as_str()),
        ("short lines", &short),
        ("no padding", unpadded),
        ("blanks", &spaced),
        ("joined pieces", &joined),
        ("text behind", &format!("{lines}\r\n\r\n-- \r\nregards")),
        ("a line of hyphens", &format!("-\r\n{lines}")),
    ] {
        check(story, &attached(header, body));
        let alone = format!("Subject: x\r\nContent-Type: application/x\r\n{header}\r\n{body}\r\n");
        check(story, &alone);
    }
}

#[test]
fn boundaries_that_readers_disagree_on_hide_nothing() {
    let part = format!(
        "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
        encoded()
    );
    let quoted = format!("Content-Transfer-Encoding: quoted-printable\r\n\r\n{}\r\n", quoted());
    let top = |fields: &str, body: &str| format!("Subject: x\r\n{fields}\r\n\r\n{body}");
    let mixed = "Content-Type: multipart/mixed; boundary=b";
    for part in [&part, &quoted] {
        for (story, mail) in [
            ("no final boundary", top(mixed, &format!("--b\r\n{part}"))),
            (
                "nothing at all behind the header",
                top(mixed, &format!("--b\r\n{}", part.trim_end())),
            ),
            ("in the preamble", top(mixed, &format!("{part}\r\n--b\r\n\r\nx\r\n--b--\r\n"))),
            ("in the epilogue", top(mixed, &format!("--b\r\n\r\nx\r\n--b--\r\n{part}"))),
            ("delimiter in the middle of a line", top(mixed, &format!("x--b\r\n{part}--b--\r\n"))),
            (
                "end in the middle of a line",
                top(mixed, &format!("x--b--\r\n--b\r\n{part}--b--\r\n")),
            ),
            ("blanks behind the delimiter", top(mixed, &format!("--b \t\r\n{part}--b-- \r\n"))),
            (
                "no boundary",
                top("Content-Type: multipart/mixed", &format!("--b\r\n{part}--b--\r\n")),
            ),
            (
                "comment",
                top(
                    "Content-Type: multipart/mixed; boundary=b (x)",
                    &format!("--b\r\n{part}--b--\r\n"),
                ),
            ),
            (
                "quoted with blanks",
                top(
                    "Content-Type: multipart/mixed; boundary=\" b\"",
                    &format!("-- b\r\n{part}-- b--\r\n"),
                ),
            ),
            (
                "continued",
                top(
                    "Content-Type: multipart/mixed; boundary*0=a; boundary*1=b",
                    &format!("--ab\r\n{part}--ab--\r\n"),
                ),
            ),
            (
                "two types, first",
                top(
                    "Content-Type: multipart/mixed; boundary=b\r\nContent-Type: multipart/mixed; boundary=c",
                    &format!("--b\r\n{part}--b--\r\n--c\r\n\r\nx\r\n--c--\r\n"),
                ),
            ),
            (
                "two types, last",
                top(
                    "Content-Type: multipart/mixed; boundary=c\r\nContent-Type: multipart/mixed; boundary=b",
                    &format!("--c\r\n\r\nx\r\n--c--\r\n--b\r\n{part}--b--\r\n"),
                ),
            ),
            (
                "text, then multipart",
                top(
                    "Content-Type: multipart/mixed; boundary=b\r\nContent-Type: text/plain",
                    &format!("--b\r\n{part}--b--\r\n"),
                ),
            ),
            (
                "two boundaries",
                top(
                    "Content-Type: multipart/mixed; boundary=b; boundary=c",
                    &format!("--b\r\n{part}--b--\r\n--c\r\n\r\n--c--\r\n"),
                ),
            ),
            (
                "inner boundary begins like the outer one",
                top(
                    mixed,
                    &format!(
                        "--b\r\nContent-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\n{part}--bb--\r\n--b--\r\n"
                    ),
                ),
            ),
            (
                "multipart in base64",
                top(
                    &format!("{mixed}\r\nContent-Transfer-Encoding: base64"),
                    &format!("--b\r\n{part}--b--\r\n"),
                ),
            ),
            ("no header section of its own", format!("{mixed}\r\n\r\n--b\r\n{part}--b--\r\n")),
        ] {
            check(story, &mail);
        }
    }
}

#[test]
fn messages_inside_messages_are_opened_whatever_their_encoding_and_label() {
    let inner = attached("Content-Transfer-Encoding: base64\r\n", &encoded());
    let mut nested = inner.clone();
    for level in 0..6 {
        nested = format!(
            "Subject: level {level}\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
            String::from_utf8(base64(nested.as_bytes())).unwrap()
        );
    }
    check("six messages in base64", &nested);
    let in_base64 = String::from_utf8(base64(inner.as_bytes())).unwrap();
    for (story, fields, body) in [
        ("rfc822", "Content-Type: message/rfc822\r\n", inner.as_str()),
        ("comment in the type", "Content-Type: message (x) / rfc822 (y; z)\r\n", &inner),
        ("global", "Content-Type: MESSAGE/GLOBAL\r\n", &inner),
        ("news", "Content-Type: message/news\r\n", &inner),
        (
            "base64",
            "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n",
            &in_base64,
        ),
        (
            "another label",
            "Content-Type: application/x-mail\r\nContent-Transfer-Encoding: base64\r\n",
            &in_base64,
        ),
        (
            "text",
            "Content-Type: text/plain; name=a.eml\r\nContent-Transfer-Encoding: base64\r\n",
            &in_base64,
        ),
    ] {
        let mail = format!(
            "Subject: x\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n{fields}\r\n{body}\r\n--o--\r\n"
        );
        check(story, &mail);
    }
    let digest = format!(
        "Subject: x\r\nContent-Type: multipart/digest; boundary=o\r\n\r\n--o\r\n\r\n{inner}\r\n--o--\r\n"
    );
    check("digest", &digest);
    let zipped = zip_of(&[("mail.eml", inner.as_bytes())]);
    let kinds = kinds_of(&mail_with("a.zip", &zipped));
    assert!(kinds.contains(&FindingKind::Malware), "a mail in a zip: {kinds:?}");
}

#[test]
fn multiparts_inside_each_other_are_opened_to_depth_20() {
    let mut mail = attached("Content-Transfer-Encoding: base64\r\n", &encoded());
    for level in 0..20 {
        let inner = mail.split_once("\r\n").unwrap().1;
        mail = format!(
            "Subject: x\r\nContent-Type: multipart/mixed; boundary=l{level}\r\n\r\n--l{level}\r\n{inner}--l{level}--\r\n"
        );
    }
    check("depth 20", &mail);
}

#[test]
fn blocks_inside_texts_are_opened() {
    let page = format!(
        "Content-Type: text/html\r\n\r\n<a download=a.com href=\"data:application/x;base64,{}\">x</a>\r\n",
        encoded().replace("\r\n", "")
    );
    check("a data: URI", &page);
    let text = format!("Subject: x\r\n\r\nhello,\r\n\r\nbegin-base64 644 a.com\r\n{}====\r\n", {
        let all = [eicar(), eicar()].concat();
        String::from_utf8(base64(&all)).unwrap() + "\r\n"
    });
    check("a run of base64", &text);
}

#[test]
fn a_message_in_base64_with_thousands_of_messages_inside_ends_no_process() {
    // mail-parser opens messages inside messages by recursion, and counts only encodings: this ended
    // the engine by a stack overflow on its shard, before anything was judged.
    let deep = "Content-Type: message/rfc822\r\n\r\n".repeat(6_000) + "Subject: x\r\n\r\nx\r\n";
    let raw = format!(
        "Subject: x\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
        String::from_utf8(base64(deep.as_bytes())).unwrap()
    );
    let read = std::thread::Builder::new()
        .stack_size(1024 * 1024)
        .spawn(move || {
            let limits = ViewLimits::shard();
            View::build(raw.as_bytes(), &limits)
                .exceptions
                .iter()
                .map(|e| e.kind)
                .collect::<Vec<_>>()
        })
        .unwrap()
        .join()
        .unwrap();
    assert!(read.contains(&ExceptionKind::LimitReached(Limit::Mime)), "{read:?}");
}

#[test]
fn what_no_single_mail_shows_is_said() {
    let partial =
        "Content-Type: message/partial; id=x; number=1; total=2\r\n\r\nSubject: y\r\n\r\nUEsDBA";
    assert_eq!(kinds_of(partial.as_bytes()), [FindingKind::Malformed]);
    for encoding in ["x-binhex40", "x-yenc", "x-gzip64"] {
        let mail = attached(&format!("Content-Transfer-Encoding: {encoding}\r\n"), "abc");
        assert!(kinds_of(mail.as_bytes()).contains(&FindingKind::NotScanned), "{encoding}");
    }
}

#[test]
fn an_ordinary_mail_has_nothing_overlooked() {
    let mail = format!(
        "From: a@b.example\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\
         Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=20long enough text of one line\r\n\
         --b\r\nContent-Type: image/png; name=a.png\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n--b\r\n\
         Content-Type: message/rfc822\r\n\r\nSubject: y\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n--b--\r\n",
        encoded(),
        encoded()
    );
    let view = View::build(mail.as_bytes(), &ViewLimits::shard());
    let paths: Vec<&str> = view.parts.iter().map(|part| &*part.path).collect();
    assert_eq!(paths, ["1", "2", "3"]);
    assert!(view.exceptions.is_empty(), "{:?}", view.exceptions);
}

#[test]
fn tricks_do_not_cost_more_than_a_pass_for_each_of_a_few() {
    // Fields without an empty line, fields with one each, runs without end: each was made for a step
    // that would be taken again and again.
    let header = "Content-Transfer-Encoding: base64\r\n";
    for raw in [
        header.repeat(9_000),
        format!("{header}\r\n").repeat(9_000) + &"!".repeat(100_000),
        "QUJD".repeat(60_000),
        format!("{}\r\n", "QUJD".repeat(20)).repeat(3_500),
        "begin 644 x\r\n".repeat(20_000),
        ";base64,".repeat(30_000),
        "=".repeat(200_000),
    ] {
        let raw = format!("Subject: x\r\n\r\n{raw}");
        // Milliseconds in release. A quadratic step takes minutes, and the test runner ends it.
        let view = View::build(raw.as_bytes(), &ViewLimits::shard());
        assert!(!view.parts.is_empty());
    }
}
