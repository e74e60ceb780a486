//! ICAP (RFC 3507): the mail goes as the body of an HTTP response (RESPMOD), or of a request (REQMOD) where the server
//! knows only that; `204` says that there is nothing to change, a header field of several names says what was found.
//!
//! The connection is kept. A server that sends the mail back as it was (200 without 204) is believed only if every octet
//! is the same: anything that it changed, it had a reason for.

mod answer;

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use super::error::ScannerError;
use super::report::{Answer, name};
use super::wire::{CHUNK_BYTES, Wire, chunks, now};
use crate::config::{Scanner, ScannerAddress};
use crate::content::Content;

use answer::Head;

/// Octets of the head of an answer, and of the HTTP head in it.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Octets of a body that nobody asked for (of OPTIONS).
const OTHER_BODY_BYTES_MAX: u64 = 64 * 1024;
/// A body that comes back may be so much larger than the mail: an error page, a warning in it.
const GROWTH_BYTES_MAX: u64 = 1024 * 1024;
/// Octets of a preview: more of them gain nothing.
const PREVIEW_BYTES_MAX: u64 = 64 * 1024;
/// How long what OPTIONS says is good for, seconds.
const OPTIONS_SECONDS: (u64, u64, u64) = (60, 3_600, 86_400);

/// What OPTIONS says.
#[derive(Clone, Debug)]
struct Options {
    /// It knows REQMOD only.
    reqmod: bool,
    preview: Option<u64>,
    good_until: Instant,
    version: Box<str>,
}

/// A connection that is kept, and what its server said of itself.
#[derive(Debug)]
pub(super) struct Session {
    wire: Wire,
    /// Octets that were read and not yet used.
    ahead: Vec<u8>,
    options: Option<Options>,
    /// Questions answered on it.
    answered: u64,
}

impl Session {
    fn connect(scanner: &Scanner, until: Instant) -> Result<Self, ScannerError> {
        let wire = Wire::connect(&scanner.address, until)?;
        Ok(Self { wire, ahead: Vec::new(), options: None, answered: 0 })
    }

    /// What the server calls itself.
    pub(super) fn version(&self) -> &str {
        self.options.as_ref().map_or("", |options| &options.version)
    }
}

/// Has `content` looked at, over the connection that is kept, or a new one.
pub(super) fn scan(
    scanner: &Scanner,
    content: &Content,
    until: Instant,
    kept: &mut Option<Session>,
) -> Result<Answer, ScannerError> {
    let old = kept.take();
    let options = old.as_ref().and_then(|old| old.options.clone());
    if let Some(mut session) = old {
        session.wire.set_until(until);
        // A server may close a connection that is idle whenever it likes; that is no failure of its.
        match session.scan(scanner, content) {
            Err(ScannerError::Closed(_)) => {}
            looked => return looked.map(|looked| looked.keep(session, kept)),
        }
    }
    let mut session = Session::connect(scanner, until)?;
    session.options = options;
    let looked = session.scan(scanner, content)?;
    Ok(looked.keep(session, kept))
}

/// An answer, and whether the connection is good for another question.
struct Looked {
    answer: Answer,
    reusable: bool,
}

impl Looked {
    fn keep(self, mut session: Session, kept: &mut Option<Session>) -> Answer {
        session.answered += 1;
        if self.reusable && session.ahead.is_empty() {
            *kept = Some(session);
        }
        self.answer
    }
}

/// `icap://HOST/service`.
fn uri(scanner: &Scanner) -> String {
    format!("icap://{}{}", host(scanner), scanner.service)
}

fn host(scanner: &Scanner) -> String {
    match &scanner.address {
        ScannerAddress::Unix(_) => "localhost".to_owned(),
        ScannerAddress::Tcp(address) => address.to_string(),
    }
}

impl Session {
    fn scan(&mut self, scanner: &Scanner, content: &Content) -> Result<Looked, ScannerError> {
        let options = match self.options.take().filter(|options| options.good_until > now()) {
            Some(options) => options,
            None => self.ask_options(scanner)?,
        };
        let asked = self.ask(scanner, content, &options);
        self.options = Some(options);
        let head = match asked {
            Ok(head) => head,
            // It takes no more: perhaps it has said why.
            Err(error @ ScannerError::Closed(_)) => self.head().map_err(|_| error)?,
            Err(error) => return Err(error),
        };
        let reusable = !head.is_closing();
        if let Some(found) = head.threat() {
            // What comes after is the page that says so.
            return Ok(Looked { answer: Answer::Found(found), reusable: false });
        }
        match head.code {
            204 => Ok(Looked { answer: Answer::Clean, reusable }),
            200 => {
                let answer = self.changed(content, &head)?;
                let reusable = reusable && matches!(answer, Answer::Clean);
                Ok(Looked { answer, reusable })
            }
            413 => Ok(Looked { answer: Answer::TooLarge, reusable: false }),
            code => Err(ScannerError::Refused(format!("ICAP answer {code}").into())),
        }
    }

    fn ask_options(&mut self, scanner: &Scanner) -> Result<Options, ScannerError> {
        let (uri, host) = (uri(scanner), host(scanner));
        let question = format!("OPTIONS {uri} ICAP/1.0\r\nHost: {host}\r\n\r\n");
        self.write(question.as_bytes())?;
        let head = self.head()?;
        let (least, usual, most) = OPTIONS_SECONDS;
        let good_until = |seconds: u64| now() + Duration::from_secs(seconds.clamp(least, most));
        match head.code {
            200 => {}
            // Old servers do not know it.
            405 | 501 => {
                let version = "".into();
                let good_until = good_until(usual);
                return Ok(Options { reqmod: false, preview: None, good_until, version });
            }
            code => {
                return Err(ScannerError::Refused(format!("ICAP OPTIONS: answer {code}").into()));
            }
        }
        if head.body_offset("opt-body").is_some() {
            self.body(OTHER_BODY_BYTES_MAX, &mut |_| {})?;
        }
        let methods = head.value("methods").unwrap_or_default().to_ascii_uppercase();
        let number = |field: &str| head.value(field).and_then(|text| text.parse().ok());
        Ok(Options {
            reqmod: methods.contains("REQMOD") && !methods.contains("RESPMOD"),
            preview: number("preview").map(|octets: u64| octets.min(PREVIEW_BYTES_MAX)),
            good_until: good_until(number("options-ttl").unwrap_or(usual)),
            version: name(head.value("service").unwrap_or_default().as_bytes()),
        })
    }

    /// Sends the mail; the head of the answer.
    fn ask(
        &mut self,
        scanner: &Scanner,
        content: &Content,
        options: &Options,
    ) -> Result<Head, ScannerError> {
        let bytes = content.bytes();
        let (method, http, encapsulated) = encapsulated(options.reqmod, bytes);
        let (uri, host) = (uri(scanner), host(scanner));
        let mut head = format!("{method} {uri} ICAP/1.0\r\nHost: {host}\r\nAllow: 204\r\n");
        if let Some(preview) = options.preview {
            head.push_str(&format!("Preview: {}\r\n", preview.min(bytes)));
        }
        head.push_str(&format!("Encapsulated: {encapsulated}\r\n\r\n{http}"));
        self.write(head.as_bytes())?;
        let Some(preview) = options.preview else {
            self.send(content, (0, bytes))?;
            self.write(b"0\r\n\r\n")?;
            return self.head();
        };
        self.send(content, (0, preview.min(bytes)))?;
        if bytes <= preview {
            self.write(b"0; ieof\r\n\r\n")?;
            return self.head();
        }
        self.write(b"0\r\n\r\n")?;
        let head = self.head()?;
        if head.code != 100 {
            return Ok(head);
        }
        self.send(content, (preview, bytes))?;
        self.write(b"0\r\n\r\n")?;
        self.head()
    }

    /// Octets of the mail as chunks.
    fn send(&mut self, content: &Content, (start, end): (u64, u64)) -> Result<(), ScannerError> {
        let mut left = end.saturating_sub(start);
        chunks(content, start, &mut |chunk| {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
            left -= wanted as u64;
            let chunk = chunk.get(..wanted).unwrap_or_default();
            if chunk.is_empty() {
                return Ok(());
            }
            self.write(format!("{:x}\r\n", chunk.len()).as_bytes())?;
            self.write(chunk)?;
            self.write(b"\r\n")
        })
    }

    fn write(&mut self, octets: &[u8]) -> Result<(), ScannerError> {
        self.wire.write_all(octets).map_err(ScannerError::of_wire)
    }

    /// A 200 that names nothing: whether what came back is what was sent.
    fn changed(&mut self, content: &Content, head: &Head) -> Result<Answer, ScannerError> {
        let blocked = || Answer::Found("changed by the scanner".into());
        let Some(offset) = head.body_offset("res-body").or_else(|| head.body_offset("req-body"))
        else {
            return Ok(blocked());
        };
        let http = self.take(offset)?;
        // `HTTP/1.1 403 Forbidden`: a page instead of the mail.
        let is_page = http.starts_with(b"HTTP/") && http.get(8..12) != Some(b" 200".as_slice());
        if is_page {
            return Ok(blocked());
        }
        let mut hasher = blake3::Hasher::new();
        let bytes_max = content.bytes().saturating_add(GROWTH_BYTES_MAX);
        self.body(bytes_max, &mut |part| {
            hasher.update(part);
        })?;
        let mut ours = blake3::Hasher::new();
        chunks(content, 0, &mut |chunk| {
            ours.update(chunk);
            Ok(())
        })?;
        Ok(if hasher.finalize() == ours.finalize() { Answer::Clean } else { blocked() })
    }

    /// The next head, to its empty line.
    fn head(&mut self) -> Result<Head, ScannerError> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.ahead, b"\r\n\r\n") {
                let octets = self.take(end + 4)?;
                return Head::read(&octets);
            }
            if self.ahead.len() > HEAD_BYTES_MAX {
                return Err(ScannerError::protocol("a head without an end"));
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> Result<(), ScannerError> {
        let mut buffer = [0; 8192];
        let read = self.wire.read(&mut buffer).map_err(ScannerError::of_wire)?;
        if read == 0 {
            let end = std::io::ErrorKind::UnexpectedEof;
            return Err(ScannerError::Closed(end.into()));
        }
        self.ahead.extend_from_slice(buffer.get(..read).unwrap_or_default());
        Ok(())
    }

    /// The next `count` octets, few of them.
    fn take(&mut self, count: usize) -> Result<Vec<u8>, ScannerError> {
        if count > HEAD_BYTES_MAX + 8192 {
            return Err(ScannerError::protocol("a head that is too long"));
        }
        while self.ahead.len() < count {
            self.read()?;
        }
        let rest = self.ahead.split_off(count);
        Ok(std::mem::replace(&mut self.ahead, rest))
    }

    /// A line without its end.
    fn line(&mut self) -> Result<Vec<u8>, ScannerError> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.ahead) {
                let mut line = self.take(end + 1)?;
                let text = line.trim_ascii_end().len();
                line.truncate(text);
                return Ok(line);
            }
            if self.ahead.len() > 1024 {
                return Err(ScannerError::protocol("a line without an end"));
            }
            self.read()?;
        }
    }

    /// A chunked body, to its end.
    fn body(&mut self, bytes_max: u64, take: &mut impl FnMut(&[u8])) -> Result<(), ScannerError> {
        let mut left_of_all = bytes_max;
        loop {
            let line = self.line()?;
            let digits = line.split(|octet| *octet == b';').next().unwrap_or_default().trim_ascii();
            let text = std::str::from_utf8(digits).ok().filter(|text| text.len() <= 16);
            let mut left = text
                .and_then(|text| u64::from_str_radix(text, 16).ok())
                .ok_or_else(|| ScannerError::protocol("a chunk without a length"))?;
            if left == 0 {
                // Fields may follow, up to an empty line.
                for _ in 0..100 {
                    if self.line()?.is_empty() {
                        return Ok(());
                    }
                }
                return Err(ScannerError::protocol("a trailer without an end"));
            }
            left_of_all = left_of_all
                .checked_sub(left)
                .ok_or_else(|| ScannerError::protocol("a body that is too long"))?;
            while left > 0 {
                if self.ahead.is_empty() {
                    self.read()?;
                }
                let here = usize::try_from(left).unwrap_or(usize::MAX);
                let here = here.min(self.ahead.len()).min(CHUNK_BYTES);
                take(self.ahead.get(..here).unwrap_or_default());
                self.ahead.drain(..here);
                left -= here as u64;
            }
            self.line()?;
        }
    }
}

/// Any head is read or refused, and what it names is fit for a log.
pub(super) fn fuzz_head(data: &[u8]) -> bool {
    let Ok(head) = Head::read(data) else { return false };
    let _ = (head.body_offset("res-body"), head.is_closing());
    let threat = head.threat().unwrap_or_default();
    assert!(threat.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{threat:?}");
    true
}

/// Method, HTTP heads, and the value of `Encapsulated`.
fn encapsulated(reqmod: bool, bytes: u64) -> (&'static str, String, String) {
    let about = "Host: mail.invalid\r\n";
    let of_body = format!("Content-Type: message/rfc822\r\nContent-Length: {bytes}\r\n\r\n");
    if reqmod {
        let http = format!("POST http://mail.invalid/message.eml HTTP/1.1\r\n{about}{of_body}");
        let places = format!("req-hdr=0, req-body={}", http.len());
        return ("REQMOD", http, places);
    }
    let request = format!("GET http://mail.invalid/message.eml HTTP/1.1\r\n{about}\r\n");
    let http = format!("{request}HTTP/1.1 200 OK\r\n{of_body}");
    let places = format!("req-hdr=0, res-hdr={}, res-body={}", request.len(), http.len());
    ("RESPMOD", http, places)
}
