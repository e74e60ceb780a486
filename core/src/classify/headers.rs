//! Features of the header section.

use xxhash_rust::xxh3::xxh3_64;

use super::features::{Gather, Place, Sink, upper};
use super::text::{Words, head};
use crate::message::{Field, View};

/// Fields that are looked at.
const FIELDS_MAX: usize = 100;
/// Octets of the header section that are read letter by letter.
const WRITTEN_BYTES_MAX: usize = 2048;
/// Characters of a value.
const VALUE_CHARS_MAX: usize = 100;

/// Fields that the way of a mail or its archive wrote, not its author; whole names.
const TRACE: [&str; 46] = [
    "sender",
    "errors-to",
    "precedence",
    "mailing-list",
    "x-beenthere",
    "received",
    "return-path",
    "delivered-to",
    "delivery-date",
    "envelope-to",
    "date",
    "x-date",
    "x-original-date",
    "x-originalarrivaltime",
    "resent-date",
    "resent-from",
    "resent-to",
    "resent-message-id",
    "resent-sender",
    "received-spf",
    "authentication-results",
    "dkim-signature",
    "domainkey-signature",
    "apparently-to",
    "status",
    "lines",
    "content-length",
    "xref",
    "path",
    "forwarded",
    "replied",
    "x-apparently-to",
    "x-original-to",
    "x-envelope-to",
    "x-envelope-from",
    "x-status",
    "x-keywords",
    "x-uid",
    "x-uidl",
    "x-loop",
    "x-authentication-warning",
    "x-antiabuse",
    "x-mime-autoconverted",
    "x-received",
    "x-delivery-agent",
    "old-return-path",
];
/// The same; beginnings of names: what other filters and mail readers leave.
const TRACE_PREFIXES: [&str; 23] = [
    "list-",
    "x-list",
    "x-mailman",
    "arc-",
    "x-spam",
    "x-virus",
    "x-sekisho",
    "x-bogosity",
    "x-pyzor",
    "x-razor",
    "x-dcc",
    "x-rbl",
    "x-scanned",
    "x-mailscanner",
    "x-amavis",
    "x-barracuda",
    "x-ironport",
    "x-proofpoint",
    "x-ms-exchange",
    "x-forefront",
    "x-google",
    "x-gmail",
    "x-mozilla",
];

/// Whether a field, its name in lower case, says where a mail was and not what it is.
pub(super) fn is_trace(name: &str) -> bool {
    TRACE.contains(&name) || TRACE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Features of `view`'s own header section.
pub(super) fn gather<S: Sink>(view: &View<'_>, out: &mut Gather<S>) {
    let (mut before, mut name, mut written) = (String::new(), String::new(), Vec::new());
    for field in view.fields.iter().take(FIELDS_MAX) {
        name.clear();
        name.push_str(&field.name);
        name.make_ascii_lowercase();
        if name.len() > 40 || is_trace(&name) {
            continue;
        }
        out.one(Place::Header, name.as_bytes());
        out.joined(Place::Header, &[&before, " ", &name]);
        value(&name, field, out);
        if !matches!(name.as_str(), "to" | "cc") && written.len() < WRITTEN_BYTES_MAX {
            written.extend_from_slice(name.as_bytes());
            written.push(b':');
            written.extend(head(&field.value, 2 * VALUE_CHARS_MAX).bytes().map(without_number));
            written.push(b'\n');
        }
        std::mem::swap(&mut before, &mut name);
    }
    letters(&written, out);
    addresses(view, out);
}

/// Numbers are dates and counters.
fn without_number(octet: u8) -> u8 {
    if octet.is_ascii_digit() { b'0' } else { octet }
}

/// Every four octets, and the rest of a character that they cut: names, punctuation and quoting of a mailer, and words
/// whatever is done to them.
fn letters<S: Sink>(written: &[u8], out: &mut Gather<S>) {
    let is_inside = |octet: &u8| octet & 0xC0 == 0x80;
    for at in 0..written.len() {
        let Some(rest) = written.get(at..).filter(|rest| !rest.first().is_some_and(is_inside))
        else {
            continue;
        };
        let behind = rest.get(4..).unwrap_or_default();
        let end = 4 + behind.iter().take_while(|octet| is_inside(octet)).count();
        out.one(Place::Letters, rest.get(..end.min(rest.len())).unwrap_or_default());
    }
}

/// What a value says, field by field.
fn value<S: Sink>(name: &str, field: &Field<'_>, out: &mut Gather<S>) {
    let value = head(&field.value, VALUE_CHARS_MAX);
    match name {
        "subject" => {
            Words::single(Place::Subject).take(head(&field.value, 300), out);
            subject(&field.value, out);
        }
        "from" | "to" | "cc" | "reply-to" | "sender" | "errors-to" => {}
        "in-reply-to" | "references" | "message-id" => {
            shaped(name, value.split('@').next().unwrap_or(""), out);
        }
        "content-type" => content_type(field, out),
        "x-mailer" | "user-agent" | "x-mimeole" => {
            let words = value.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
            for word in words.take(8) {
                out.joined(Place::Header, &["mailer ", &word.to_lowercase()]);
            }
            shaped("mailer", value, out);
        }
        _ if name.starts_with("list-") => {}
        "mime-version"
        | "content-transfer-encoding"
        | "precedence"
        | "importance"
        | "priority"
        | "x-priority"
        | "x-msmail-priority"
        | "content-disposition"
        | "content-class" => {
            out.joined(Place::Header, &[name, " ", &value.to_lowercase()]);
        }
        _ => shaped(name, value, out),
    }
}

/// What a value looks like.
fn shaped<S: Sink>(name: &str, value: &str, out: &mut Gather<S>) {
    out.built(Place::Header, |text| {
        text.extend_from_slice(name.as_bytes());
        text.push(b' ');
        shape(value, text);
    });
}

/// How the Subject looks, whatever it says.
fn subject<S: Sink>(value: &str, out: &mut Gather<S>) {
    let letters = value.chars().filter(|c| c.is_alphabetic()).count();
    let capitals = value.chars().filter(|c| c.is_uppercase()).count();
    if letters > 4 {
        out.number(Place::Subject, "capitals ", capitals * 5 / letters);
    }
    if value.contains("    ") {
        out.one(Place::Subject, b"wide gap");
    }
    if value.trim_end().ends_with('!') {
        out.one(Place::Subject, b"ends with !");
    }
    if value.trim_end().ends_with('?') {
        out.one(Place::Subject, b"ends with ?");
    }
    if value.get(..3).is_some_and(|head| head.eq_ignore_ascii_case("re:")) {
        out.one(Place::Subject, b"answer");
    }
}

/// The type, its charset, and what a boundary is made of: each mailer has its own way.
fn content_type<S: Sink>(field: &Field<'_>, out: &mut Gather<S>) {
    let value = head(&field.value, 300);
    let mut pieces = value.split(';').map(str::trim);
    let kind = pieces.next().unwrap_or_default().to_lowercase();
    out.joined(Place::Header, &["content-type ", &kind]);
    let mut names = String::new();
    for piece in pieces.take(8) {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        let name = name.trim().to_lowercase();
        let quoted = if value.starts_with('"') { "quoted" } else { "bare" };
        match name.as_str() {
            "boundary" => {
                shaped("boundary", value.trim_matches('"'), out);
            }
            "charset" => {
                let charset = value.trim_matches('"').to_lowercase();
                out.joined(Place::Header, &["charset ", quoted, " ", &charset]);
            }
            _ => {}
        }
        names.push(' ');
        names.push_str(&name);
    }
    out.joined(Place::Header, &["content-type with", &names]);
}

/// Runs of capitals, small letters, digits and hexadecimal digits as one letter each: `<A0a0@`; to 32 octets and the
/// rest of a character.
fn shape(value: &str, out: &mut Vec<u8>) {
    let from = out.len();
    let mut last = '\0';
    for c in value.chars() {
        let class = match c {
            '0'..='9' => '0',
            'A'..='Z' => 'A',
            'a'..='z' => 'a',
            c if c.is_whitespace() => ' ',
            c if c.is_alphabetic() => 'x',
            c => c,
        };
        if class != last {
            out.extend_from_slice(class.encode_utf8(&mut [0; 4]).as_bytes());
            if out.len() >= from + 32 {
                break;
            }
        }
        last = class;
    }
}

/// Who writes to whom: of the receiving side only its form, since a gateway's recipients are its own.
fn addresses<S: Sink>(view: &View<'_>, out: &mut Gather<S>) {
    let first = |name: &'static str| view.fields_named(name).next().map(|field| &*field.value);
    let from = first("from").unwrap_or_default();
    let (name, address) = name_and_address(from);
    Words::single(Place::Author).take(head(name, VALUE_CHARS_MAX), out);
    out.joined(Place::Author, &[if name.is_empty() { "without a name" } else { "with a name" }]);
    if name.contains('@') {
        out.one(Place::Author, b"address as a name");
    }
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let domain = domain.to_lowercase();
    out.built(Place::Author, |text| {
        text.extend_from_slice(b"local-part ");
        shape(local, text);
    });
    out.joined(Place::Author, &["@", &domain]);
    let registered = psl::domain_str(&domain).unwrap_or_default();
    out.joined(Place::Author, &["@@", registered]);
    if let Some((_, top)) = domain.rsplit_once('.') {
        out.joined(Place::Author, &["@.", top]);
    }
    if let Some(id) = first("message-id") {
        let host = id.rsplit_once('@').map_or("", |(_, host)| host.trim_end_matches('>'));
        let same = psl::domain_str(&host.to_lowercase()).unwrap_or_default() == registered;
        let who = if same { "the author" } else { "another" };
        out.joined(Place::Header, &["message-id of ", who]);
    }
    if let Some(reply) = first("reply-to") {
        let (_, reply) = name_and_address(reply);
        let reply = reply.rsplit_once('@').map_or("", |(_, domain)| domain).to_lowercase();
        let who = if reply == domain { "the author" } else { "another" };
        out.joined(Place::Header, &["reply to ", who]);
    }
    for field in ["to", "cc"] {
        let form = first(field).map_or_else(|| "absent".to_owned(), |value| form(value, address));
        out.joined(Place::Header, &[field, " ", &form]);
    }
}

/// The form of a recipient field.
fn form(value: &str, author: &str) -> String {
    let count = value.matches('@').count();
    let (name, address) = name_and_address(value);
    let named = match (name.is_empty(), name.eq_ignore_ascii_case(address)) {
        (true, _) => "bare",
        (false, true) => "named by itself",
        (false, false) => "named",
    };
    let own = if count == 1 && address.eq_ignore_ascii_case(author) { " own" } else { "" };
    let count = if count < 4 { count } else { 4 };
    format!("{count} {named}{own}")
}

/// `"Name" <local@domain>` in its two parts.
pub(super) fn name_and_address(value: &str) -> (&str, &str) {
    match (value.rfind('<'), value.rfind('>')) {
        (Some(open), Some(close)) if open < close => (
            value.get(..open).unwrap_or_default().trim().trim_matches('"'),
            value.get(open + 1..close).unwrap_or_default().trim(),
        ),
        _ => ("", value.split_whitespace().find(|word| word.contains('@')).unwrap_or(value)),
    }
}

/// Stands for the domain of the author; 0 without one.
pub(super) fn author(view: &View<'_>) -> u32 {
    let from = view.fields_named("from").next().map_or("", |field| &field.value);
    let (_, address) = name_and_address(from);
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain).to_lowercase();
    if domain.is_empty() { 0 } else { upper(xxh3_64(domain.as_bytes())).max(1) }
}
