#![expect(clippy::disallowed_methods, reason = "the corpus is read from files")]

use std::path::{Path, PathBuf};

use super::super::header::section_bytes;
use super::*;
use crate::message::{PartOrigin, View, ViewLimits};

const STAMP: &str = "添付ファイルは検査できませんでした。\nThe attachment could not be checked.";

/// The mail with its stamps, and how many went into the body.
fn stamped(mail: &[u8], stamp: &str) -> (Vec<u8>, usize) {
    let (header, body) = mail.split_at(section_bytes(mail));
    let plan = plan(header, body, &[stamp.into()]);
    let mut out = header.to_vec();
    let mut at = 0;
    for (offset, octets) in &plan.inserts {
        out.extend_from_slice(&body[at..*offset]);
        out.extend_from_slice(octets);
        at = *offset;
    }
    out.extend_from_slice(&body[at..]);
    // In the body or in the header; in both only where one part of an alternative cannot say it.
    let alternative =
        mail.to_ascii_lowercase().windows(21).any(|at| at == b"multipart/alternative");
    let both = !plan.inserts.is_empty() && !plan.fields.is_empty();
    assert!(!plan.inserts.is_empty() || !plan.fields.is_empty(), "nowhere");
    assert!(!both || alternative, "in the body and in the header");
    (out, plan.inserts.len())
}

/// Text of the first part, with our stamp in the body or not.
fn text_of(mail: &[u8], stamp: &str) -> Option<String> {
    let (octets, count) = stamped(mail, stamp);
    let view = View::build(&octets, &ViewLimits::worker());
    let text = view.parts.first().map(|part| part.text().replace("\r\n", "\n"));
    text.filter(|_| count > 0)
}

fn encoded(charset: &str, encoding: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "From: a@example.org\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset={charset}\r\n\
         Content-Transfer-Encoding: {encoding}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

#[test]
fn a_stamp_is_said_in_every_charset_that_japanese_mail_is_in() {
    let words = "本文です。髙①ｱ";
    for label in [
        "iso-2022-jp",
        "ISO-2022-JP-MS",
        "cp50221",
        "shift_jis",
        "cp932",
        "Windows-31J",
        "euc-jp",
        "eucJP-ms",
        "utf-8",
        "UTF8",
        "gb2312",
        "gb18030",
    ] {
        let encoding = message::encoding(label).expect(label);
        let body = encoding.encode(words).0;
        let seven = body.is_ascii();
        let mut octets = Vec::new();
        base64(&mut octets, &body);
        for (transfer, body) in [(if seven { "7bit" } else { "8bit" }, &*body), ("base64", &octets)]
        {
            let mail = encoded(label, transfer, &[body, b"\r\n"].concat());
            let text = text_of(&mail, STAMP).unwrap_or_default();
            assert!(text.starts_with(&format!("{STAMP}\n\n")), "{label} {transfer}: {text}");
            assert!(text.contains("本文です。"), "{label} {transfer}: {text}");
        }
    }
    // Characters that a charset does not have become question marks, the rest stays.
    let mail = encoded("iso-2022-jp", "7bit", b"x\r\n");
    assert_eq!(text_of(&mail, "検査😀済").as_deref(), Some("検査?済\n\nx\n"));
    // Raw Japanese without a label, as old mailers send it.
    let jis = encoding_rs::ISO_2022_JP.encode("本文").0.into_owned();
    let mail = [b"From: a@example.org\r\n\r\n", jis.as_slice(), b"\r\n"].concat();
    let text = text_of(&mail, STAMP).unwrap_or_default();
    assert!(text.starts_with("添付ファイルは") && text.ends_with("本文\n"), "{text}");
}

#[test]
fn what_cannot_say_the_stamp_gets_its_english_lines_or_a_header_field() {
    let ascii = encoded("us-ascii", "7bit", b"hello\r\n");
    assert_eq!(
        text_of(&ascii, STAMP).as_deref(),
        Some("The attachment could not be checked.\n\nhello\n")
    );
    for (charset, encoding) in [
        ("utf-7", "7bit"),
        ("utf-16", "base64"),
        ("utf-32", "base64"),
        ("iso-2022-kr", "7bit"),
        ("x-unknown", "8bit"),
    ] {
        assert_eq!(text_of(&encoded(charset, encoding, b"aGVsbG8=\r\n"), STAMP), None, "{charset}");
    }
    // An English sentence about a file with a Japanese name, as the profile of NTT says it: NTT-05. No line is ASCII.
    for (file, shown) in
        [("契約.zip", "??.zip"), ("2026年度業務委託契約書.zip", "2026?????????.zip")]
    {
        let stamp = format!(
            "添付ファイル「{file}」はパスワードで保護されているため、ウイルスの検査ができませんでした。\n\
             The attachment \"{file}\" could not be checked for viruses because it is password-protected."
        );
        let text = text_of(&ascii, &stamp).unwrap_or_default().replace('\n', " ");
        let said = format!(
            "The attachment \"{shown}\" could not be checked for viruses because it is password-protected.  hello "
        );
        assert_eq!(text, said);
    }
    // One part of two can say nothing of it: the field says it, besides the stamp in the other.
    let both = "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nx\r\n\
                --b\r\nContent-Type: text/html\r\n\r\n<p>x</p>\r\n--b--\r\n";
    let (header, body) = both.as_bytes().split_at(section_bytes(both.as_bytes()));
    let plan = plan(header, body, &["検査できません".into()]);
    assert_eq!((plan.inserts.len(), plan.fields.len()), (1, 1), "{plan:?}");
    let html = String::from_utf8_lossy(&plan.inserts[0].1).into_owned();
    assert!(html.contains("&#26908;"), "{html}");
    // Nor does a Western charset say Japanese; what it says but for a dash is said.
    for charset in ["iso-8859-1", "windows-1252", "koi8-r"] {
        let mail = encoded(charset, "8bit", b"hello\r\n");
        assert_eq!(text_of(&mail, "検査できません"), None, "{charset}");
        let english = text_of(&mail, "添付ファイルは検査できません\nNot checked \u{2E3A} password");
        assert_eq!(english.as_deref(), Some("Not checked ? password\n\nhello\n"), "{charset}");
    }
    // Japanese only, in a text of ASCII only: question marks would tell nobody anything.
    assert_eq!(text_of(&ascii, "検査できません"), None);
}

#[test]
fn lines_are_short_and_format_flowed_does_not_join_them() {
    let long = "検査".repeat(400);
    for (charset, encoding) in
        [("iso-2022-jp", "7bit"), ("utf-8", "8bit"), ("utf-8", "quoted-printable")]
    {
        let (octets, count) = stamped(&encoded(charset, encoding, b"x\r\n"), &long);
        assert_eq!(count, 1);
        assert!(octets.split(|octet| *octet == b'\n').all(|line| line.len() < 998));
    }
    let html = "Content-Type: text/html; charset=iso-2022-jp\r\n\r\n<p>x</p>\r\n";
    let (octets, _) = stamped(html.as_bytes(), &long);
    assert!(
        octets.split(|octet| *octet == b'\n').all(|line| line.len() < 998) && octets.is_ascii()
    );
    let flowed = "Content-Type: text/plain; charset=utf-8; format=flowed\r\n\
                  Content-Transfer-Encoding: 8bit\r\n\r\nx\r\n";
    let (octets, _) = stamped(flowed.as_bytes(), "From here on \n> quoted\n  deep \nend");
    let text = String::from_utf8(octets).unwrap();
    assert!(
        text.ends_with("\r\n\r\n From here on\r\n > quoted\r\n   deep\r\nend\r\n\r\nx\r\n"),
        "{text:?}"
    );
}

#[test]
fn inline_pgp_digests_and_signed_parts_stay_as_they_are() {
    let armor = b"-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nhello\r\n";
    assert_eq!(text_of(&encoded("utf-8", "8bit", armor), STAMP), None);
    let after = [b"Hello,\r\n\r\n".as_slice(), armor].concat();
    assert_eq!(text_of(&encoded("utf-8", "quoted-printable", &after), STAMP), None);
    let mut octets = Vec::new();
    base64(&mut octets, &after);
    assert_eq!(text_of(&encoded("utf-8", "base64", &octets), STAMP), None);
    let told = encoded("utf-8", "8bit", b"About -----BEGIN PGP MESSAGE-----\r\n");
    assert!(text_of(&told, STAMP).is_some(), "only talked about");
    for kind in [
        "multipart/digest; boundary=b",
        "multipart/signed; boundary=b; protocol=\"application/pkcs7-signature\"",
        "multipart/encrypted; boundary=b",
        "application/pkcs7-mime; smime-type=signed-data",
        "application/x-pkcs7-mime",
    ] {
        let mail = format!("Content-Type: {kind}\r\n\r\n--b\r\n\r\nText.\r\n--b--\r\n");
        assert_eq!(text_of(mail.as_bytes(), STAMP), None, "{kind}");
    }
}

#[test]
fn a_boundary_that_begins_like_another_is_not_taken_for_it() {
    let mail = "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\
                Content-Type: multipart/alternative; boundary=ab\r\n\r\n\
                --ab\r\nContent-Type: text/plain\r\n\r\nplain\r\n\
                --ab\r\nContent-Type: text/html\r\n\r\n<p>html</p>\r\n--ab--\r\n\
                --a\r\nContent-Type: text/plain\r\n\r\nsecond\r\n--a--\r\n";
    let (octets, count) = stamped(mail.as_bytes(), "STAMP");
    let text = String::from_utf8(octets).unwrap();
    assert_eq!(count, 2, "{text}");
    assert!(
        text.contains("\r\n\r\nSTAMP\r\n\r\nplain\r\n--ab") && text.contains("</div>\r\n<p>html"),
        "{text}"
    );
    assert!(text.contains("\r\n\r\nsecond"), "{text}");
}

/// The development corpus, unpacked beside the build; `None` (said plainly) where it is not there.
fn corpus(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = root.join("../target/corpus").join(name);
    if !found.is_dir() {
        eprintln!("left out: no corpus `{name}` beside the build");
        return None;
    }
    Some(found)
}

fn mails(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the corpus").flatten() {
        let path = entry.path();
        if path.is_dir() {
            mails(&path, into);
        } else if path
            .extension()
            .is_some_and(|end| ["eml", "raw", "msg", "txt"].iter().any(|one| end == *one))
        {
            into.push(path);
        }
    }
}

fn canonical(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + octets.len() / 40);
    for (at, octet) in octets.iter().enumerate() {
        match octet {
            b'\n' => out.extend_from_slice(b"\r\n"),
            b'\r' if octets.get(at + 1) == Some(&b'\n') => {}
            b'\r' => out.extend_from_slice(b"\r\n"),
            octet => out.push(*octet),
        }
    }
    out
}

#[test]
fn every_mail_of_the_corpus_still_reads_when_stamped_and_its_other_parts_are_the_same() {
    let (mut files, mut stamps, mut in_header) = (Vec::new(), 0, 0);
    for name in ["japanese", "mime"] {
        let Some(folder) = corpus(name) else { return };
        mails(&folder, &mut files);
    }
    assert!(files.len() > 500, "{} mails", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let mail = canonical(&std::fs::read(&file).expect("a mail"));
        // A body without a header section is a decoded part of the corpus, and no mail.
        if memchr::memmem::find(&mail, b"\r\n\r\n").is_none() {
            continue;
        }
        let (octets, count) = stamped(&mail, STAMP);
        let limits = ViewLimits::worker();
        let (before, after) = (View::build(&mail, &limits), View::build(&octets, &limits));
        stamps += count;
        in_header += usize::from(count == 0);
        // What is unpacked from a text moves when the text does: only what is in the mail itself is compared.
        let leaves = |view: &'_ View<'_>| -> Vec<usize> {
            let all = view.parts.iter().enumerate();
            all.filter(|(_, part)| part.origin == PartOrigin::Mime).map(|(at, _)| at).collect()
        };
        let (left, right) = (leaves(&before), leaves(&after));
        if left.len() != right.len() {
            wrong.push(format!("{}: other parts", file.display()));
            continue;
        }
        let pairs =
            || left.iter().zip(&right).map(|(one, two)| (&before.parts[*one], &after.parts[*two]));
        let changed = pairs().filter(|(before, after)| before.decoded != after.decoded);
        let kept = |(before, after): (&message::Part<'_>, &message::Part<'_>)| {
            after.decoded.ends_with(&before.decoded)
                && after.text().contains("The attachment could not be checked.")
        };
        if changed.clone().count() > count || !changed.clone().all(kept) {
            let paths: Vec<_> = changed
                .map(|(before, after)| {
                    let tail = |part: &message::Part<'_>| {
                        let text = String::from_utf8_lossy(&part.decoded).into_owned();
                        text.chars().take(250).collect::<String>()
                    };
                    (&before.path, tail(before), tail(after))
                })
                .collect();
            wrong.push(format!("{}: {count} stamps, {paths:?} changed", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{stamps} stamps in bodies, {in_header} mails with the stamp in their header");
    assert!(stamps > in_header, "{stamps} in bodies, {in_header} in headers");
}
