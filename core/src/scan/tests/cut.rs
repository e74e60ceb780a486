//! Which parts can be taken out, and when none can.

use super::{base64, eicar, zip_of};
use crate::classify::Reading;
use crate::message::ViewLimits;
use crate::scan::{ArchiveLimits, Cut, ScanTables, Unwanted, cuts, patterns};
use crate::tables::Digest;

/// What is found by the hash of the test file and nothing else.
fn found(raw: &[u8]) -> Vec<Cut> {
    let part = crate::message::Part::of_octets(
        "1".into(),
        crate::message::PartOrigin::Mime,
        "",
        eicar().into(),
    );
    let wanted = Digest::Sha256(part.hashes().sha256);
    let hash = |digest: &Digest, _: u64| (*digest == wanted).then(|| "Eicar".into());
    let tables = ScanTables {
        patterns: None,
        hash: Some(&hash),
        url_host: None,
        reading: Reading::Nothing,
        content: &[],
        yara: None,
    };
    let limits = (&ViewLimits::worker(), &ArchiveLimits::default());
    let mut scratch = patterns::Scratch::default();
    futures_lite::future::block_on(cuts(raw, Unwanted::Malware, limits, &tables, &mut scratch))
        .unwrap()
}

fn attachment(name: &str, octets: &[u8]) -> String {
    let body = String::from_utf8(base64(octets)).unwrap();
    format!(
        "Content-Type: application/x; name=\"{name}\"\r\nContent-Disposition: attachment\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{body}"
    )
}

fn multipart(boundary: &str, parts: &[&str]) -> String {
    let parts: String = parts.iter().map(|part| format!("\r\n--{boundary}\r\n{part}")).collect();
    format!(
        "Subject: x\r\nContent-Type: multipart/mixed; boundary={boundary}\r\n\r\npre{parts}\r\n\
         --{boundary}--\r\npost\r\n"
    )
}

const TEXT: &str = "Content-Type: text/plain\r\n\r\nhello";

/// Each cut is exactly this text of the mail, once.
#[track_caller]
fn check(story: &str, mail: &str, expected: &[(&str, &str)]) {
    let seen: Vec<(String, Box<str>)> = found(mail.as_bytes())
        .into_iter()
        .map(|cut| (mail[cut.start as usize..cut.end as usize].to_owned(), cut.name))
        .collect();
    let seen: Vec<(&str, &str)> = seen.iter().map(|(text, name)| (&**text, &**name)).collect();
    assert_eq!(seen, expected, "{story}");
}

#[test]
fn the_leaf_or_the_attachment_around_it_is_found_to_the_octet() {
    let bad = attachment("e.com", &eicar());
    let good = attachment("a.txt", b"clean");
    let zip = attachment("a.zip", &zip_of(&[("b.zip", &zip_of(&[("e.com", &eicar())]))]));
    check("one", &multipart("b", &[TEXT, &bad, &good]), &[(&bad, "e.com")]);
    check("two", &multipart("b", &[&bad, TEXT, &zip]), &[(&bad, "e.com"), (&zip, "a.zip")]);
    let inner = multipart("i", &[TEXT, &bad]);
    let message = format!("Content-Type: message/rfc822\r\n\r\n{}", inner.trim_end());
    check("inside a message", &multipart("b", &[TEXT, &message]), &[(&bad, "e.com")]);
    let encoded = attachment("", inner.as_bytes()).replace("application/x", "message/rfc822");
    check("inside one in base64", &multipart("b", &[TEXT, &encoded]), &[(&encoded, "")]);
    let single = format!("Content-Type: message/rfc822\r\n\r\nSubject: y\r\n{bad}");
    check(
        "a message that is nothing else",
        &multipart("b", &[TEXT, &single]),
        &[(&single, "e.com")],
    );
    let alternative = format!(
        "Content-Type: multipart/mixed; boundary=n\r\n\r\n--n\r\n{TEXT}\r\n--n\r\n{bad}\r\n--n--"
    );
    check("in a multipart inside", &multipart("b", &[&alternative, &good]), &[(&bad, "e.com")]);
    let cut = found(multipart("b", &[TEXT, &bad]).as_bytes()).remove(0);
    assert_eq!((cut.bytes, &*cut.virus), (68, "Eicar"));
}

#[test]
fn nothing_is_cut_where_it_cannot_be_done_safely() {
    let bad = attachment("e.com", &eicar());
    check("clean", &multipart("b", &[TEXT]), &[]);
    check("the only body", &format!("Subject: x\r\n{bad}\r\n"), &[]);
    check("nothing would be left", &multipart("b", &[&bad]), &[]);
    let whole = multipart("b", &[TEXT, &bad]);
    check("no final delimiter", whole.split("\r\n--b--").next().unwrap(), &[]);
    check("in the preamble", &whole.replace("pre\r\n", &format!("{bad}\r\n")), &[]);
    check("in the epilogue", &whole.replace("post", &bad), &[]);
    check("delimiter inside a line", &whole.replace("hello\r\n--b", "hello--b"), &[]);
}
