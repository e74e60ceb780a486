//! Leaves of the MIME tree, their types, names and octets, beside the expected files of mail-parser and mime4j.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use roxmltree::{Document, Node};
use sekisho_core::message::{Part, PartOrigin, View, ViewLimits, decode_charset};
use sekisho_tests::corpus;
use serde_json::Value;

/// Files whose expected reading is not ours, and why ours is as it is. A line that is no longer true fails the test.
const DIFFERENCES: &[(&str, &str)] = &[
    // mail-parser's own files.
    (
        "legacy/016.eml",
        "an octet that is not UTF-8 in a name is read as windows-1252, not as U+FFFD",
    ),
    ("legacy/023.eml", "as legacy/016"),
    ("legacy/026.eml", "as legacy/016"),
    ("legacy/033.eml", "Latin-1 under the name of UTF-8 is read as windows-1252, not as U+FFFD"),
    ("legacy/052.eml", "as legacy/033"),
    ("legacy/035.eml", "backslashes of a name are kept: mailers of Windows do not escape them"),
    ("legacy/039.eml", "as legacy/035"),
    (
        "malformed/000.eml",
        "parts that are nothing but a delimiter are kept as the text that they are",
    ),
    (
        "malformed/022.eml",
        "an attached message without a header section is read as the text that it is",
    ),
    ("rfc/000.eml", "a text that only says that it is base64 is read as written and decoded"),
    ("thirdparty/002.eml", "as rfc/000"),
    ("thirdparty/015.eml", "a message inside a message inside a message is opened"),
    // mime4j's.
    (
        "intermediate-boundaries.msg",
        "mail-parser takes a delimiter inside a line for one: more parts, no text less",
    ),
    ("misplaced-boundary.msg", "as intermediate-boundaries"),
    (
        "basic-plain-with-bad-header-separator.msg",
        "text behind a line that is no field is read as text, too: some clients begin the body there",
    ),
    ("malformedHeader-nocrlfcrlf.msg", "as basic-plain-with-bad-header-separator"),
    (
        "malformedHeaderStartsBody-nocrlfcrlf.msg",
        "a line that is no field begins a text, and the fields behind it are read as fields, too",
    ),
    ("malformedHeaderStartsBody-noheader.msg", "as malformedHeaderStartsBody-nocrlfcrlf"),
    (
        "missing-boundary.msg",
        "a multipart without its boundary is read as one text: a client that guesses shows it",
    ),
    ("missing-inner-boundary.msg", "as missing-boundary"),
    ("missing-inner-start-boundary.msg", "as missing-boundary"),
    ("multipartemptypart.msg", "as missing-boundary: the epilogue is read where nothing else is"),
    ("multipartnopart.msg", "as missing-boundary"),
];

/// A leaf as the other side expects it. What it does not say is not compared.
#[derive(Debug)]
struct Expected {
    media: Option<String>,
    name: Option<String>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Text(String),
    Octets(Vec<u8>),
}

/// Text of which line ends and blanks at the end do not count: each side has its own idea of whether the line end
/// before a delimiter belongs to the part.
fn plain(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").trim_end().to_owned()
}

fn plain_octets(octets: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = octets.iter().copied().filter(|octet| *octet != b'\r').collect();
    while out.last().is_some_and(u8::is_ascii_whitespace) {
        out.pop();
    }
    out
}

/// What differs between a part and what was expected of it; none where nothing does.
fn difference(part: &Part<'_>, expected: &Expected) -> Option<String> {
    if let Some(media) = expected.media.as_deref().filter(|media| **media != *part.content_type) {
        return Some(format!("{}: type {}, expected {media}", part.path, part.content_type));
    }
    if let Some(name) = &expected.name
        && !part.file_names.iter().any(|ours| **ours == **name)
    {
        return Some(format!("{}: names {:?}, expected {name:?}", part.path, part.file_names));
    }
    let same = match &expected.content {
        Content::Text(text) => {
            plain(part.text()) == plain(text)
                || plain_octets(&part.decoded) == plain_octets(text.as_bytes())
        }
        Content::Octets(octets) => plain_octets(&part.decoded) == plain_octets(octets),
    };
    (!same).then(|| format!("{}: other content of {} octets", part.path, part.decoded.len()))
}

/// The first difference between a mail and what was expected of it.
fn compare(raw: &[u8], expected: &[Expected]) -> Option<String> {
    let view = View::build(raw, &ViewLimits::worker());
    let leaves: Vec<&Part<'_>> =
        view.parts.iter().filter(|part| part.origin == PartOrigin::Mime).collect();
    if leaves.len() != expected.len() {
        let ours: Vec<_> = leaves.iter().map(|part| (&part.path, &part.content_type)).collect();
        return Some(format!("{} leaves {ours:?}, expected {}", leaves.len(), expected.len()));
    }
    leaves.iter().zip(expected).find_map(|(part, expected)| difference(part, expected))
}

/// Compares all, and holds the list of differences to what is so.
fn judge(cases: Vec<(String, Vec<u8>, Vec<Expected>)>) {
    let listed: BTreeMap<&str, &str> = DIFFERENCES.iter().copied().collect();
    let (all, mut wrong) = (cases.len(), Vec::new());
    let mut differ = 0;
    for (name, raw, expected) in cases {
        match (compare(&raw, &expected), listed.get(name.as_str())) {
            (Some(what), None) => wrong.push(format!("{name}: {what}")),
            (None, Some(why)) => wrong.push(format!("{name}: is equal, though listed: {why}")),
            (Some(_), Some(_)) => differ += 1,
            (None, None) => {}
        }
    }
    println!("{all} mails: {} equal, {differ} differ as listed", all - differ - wrong.len());
    assert!(wrong.is_empty(), "{} of {all}:\n{}", wrong.len(), wrong.join("\n"));
}

fn text_of<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The value of a header field in mail-parser's form.
fn field<'v>(part: &'v Value, name: &str) -> Option<&'v Value> {
    let fields = part.get("headers")?.as_array()?;
    fields
        .iter()
        .rev()
        .find(|field| text_of(field, "name") == name)?
        .get("value")?
        .get("ContentType")
}

fn attribute<'v>(field: &'v Value, name: &str) -> Option<&'v str> {
    let all = field.get("attributes")?.as_array()?;
    all.iter().find(|one| text_of(one, "name") == name)?.get("value")?.as_str()
}

/// The leaves of a message of mail-parser's, in the order of its tree.
fn leaves(message: &Value, at: usize, out: &mut Vec<Expected>) {
    let Some(part) = message.get("parts").and_then(|parts| parts.get(at)) else { return };
    let body = part.get("body").unwrap_or(&Value::Null);
    if let Some(children) =
        body.get("Multipart").and_then(Value::as_array).filter(|c| !c.is_empty())
    {
        for child in children {
            let child = child.as_u64().and_then(|child| usize::try_from(child).ok());
            leaves(message, child.expect("the number of a part"), out);
        }
        return;
    }
    if let Some(inner) = body.get("Message") {
        return leaves(inner, 0, out);
    }
    let content = if let Some(text) = body.get("Text").or_else(|| body.get("Html")) {
        Content::Text(text.as_str().unwrap_or_default().to_owned())
    } else {
        let octets = body.get("Binary").or_else(|| body.get("InlineBinary"));
        let octets = octets.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let octet = |value: &Value| value.as_u64().and_then(|octet| u8::try_from(octet).ok());
        Content::Octets(octets.iter().filter_map(octet).collect())
    };
    let (kind, disposition) = (field(part, "content_type"), field(part, "content_disposition"));
    let media = kind.map(|kind| {
        format!("{}/{}", text_of(kind, "c_type"), text_of(kind, "c_subtype")).to_ascii_lowercase()
    });
    let name = disposition.and_then(|field| attribute(field, "filename"));
    let name = name.or_else(|| kind.and_then(|field| attribute(field, "name")));
    out.push(Expected { media, name: name.map(ToOwned::to_owned), content });
}

#[test]
fn mails_are_read_as_mail_parser_expects() {
    let Some(folder) = corpus::folder("mime") else { return };
    let folder = folder.join("mail-parser");
    let mails = corpus::files(&folder);
    let mut cases = Vec::new();
    for mail in mails.iter().filter(|path| path.extension().is_some_and(|end| end == "eml")) {
        let json = fs::read(mail.with_extension("json")).expect("the expected file");
        let json: Value = serde_json::from_slice(&json).expect("the expected file is JSON");
        let mut expected = Vec::new();
        leaves(&json, 0, &mut expected);
        cases.push((below(&folder, mail), fs::read(mail).expect("a mail"), expected));
    }
    assert!(cases.len() > 100, "{} mails", cases.len());
    judge(cases);
}

fn below(folder: &Path, file: &Path) -> String {
    file.strip_prefix(folder).expect("a file of the folder").to_string_lossy().into_owned()
}

/// The value of a header field in mime4j's form.
fn xml_field(entity: Node<'_, '_>, name: &str) -> Option<String> {
    let header = entity.children().find(|node| node.has_tag_name("header"))?;
    let fields = header.children().filter(|node| node.has_tag_name("field"));
    fields.filter_map(|field| field.text()).find_map(|field| {
        let (key, value) = field.trim().split_once(':')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// The leaves beneath a message or body part of mime4j's.
fn xml_leaves(entity: Node<'_, '_>, folder: &Path, out: &mut Vec<Expected>) {
    for node in entity.children() {
        match node.tag_name().name() {
            "multipart" => {
                for part in node.children().filter(|part| part.has_tag_name("body-part")) {
                    xml_leaves(part, folder, out);
                }
            }
            "message" => xml_leaves(node, folder, out),
            "text-body" | "binary-body" => {
                let name = node.attribute("name").expect("the name of a file");
                let octets = fs::read(folder.join(name)).expect("the octets of a part");
                let media = xml_field(entity, "content-type").and_then(|value| {
                    let media = value.split(';').next()?.trim().to_ascii_lowercase();
                    media.contains('/').then_some(media)
                });
                let charset = xml_field(entity, "content-type").unwrap_or_default();
                let charset = charset.to_ascii_lowercase();
                let charset = charset.split("charset=").nth(1).unwrap_or_default();
                let charset = charset.split(';').next().unwrap_or_default().to_owned();
                let content = if node.has_tag_name("text-body") {
                    Content::Text(decode_charset(&octets, &charset).text)
                } else {
                    Content::Octets(octets)
                };
                out.push(Expected { media, name: None, content });
            }
            _ => {}
        }
    }
}

#[test]
fn mails_are_read_as_mime4j_expects() {
    let Some(folder) = corpus::folder("mime") else { return };
    let folder = folder.join("mime4j");
    let mails = corpus::files(&folder);
    let mut cases = Vec::new();
    for mail in mails.iter().filter(|path| path.extension().is_some_and(|end| end == "msg")) {
        let stem = mail.file_stem().expect("a name").to_string_lossy();
        let xml: PathBuf = folder.join(format!("{stem}_decoded.xml"));
        let xml = fs::read_to_string(xml).expect("the expected file");
        let tree = Document::parse(&xml).expect("the expected file is XML");
        let mut expected = Vec::new();
        xml_leaves(tree.root_element(), &folder, &mut expected);
        cases.push((below(&folder, mail), fs::read(mail).expect("a mail"), expected));
    }
    assert!(cases.len() > 30, "{} mails", cases.len());
    judge(cases);
}
