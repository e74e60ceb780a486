//! `[[scanner]]`: scan engines of others that are asked about every mail beside our own scan.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::walk::Section;

/// Scanners of one box.
pub(super) const SCANNERS_MAX: usize = 8;

/// What is spoken to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScannerKind {
    /// clamd's own protocol (`INSTREAM`).
    #[default]
    Clamd,
    /// ICAP, RFC 3507.
    Icap,
}

/// Where it listens. Names are not taken: a scanner that hangs on the DNS would hold every mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScannerAddress {
    /// A Unix socket.
    Unix(PathBuf),
    /// Address and port.
    Tcp(SocketAddr),
}

impl std::fmt::Display for ScannerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

/// What becomes of a mail that it does not answer about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnScannerError {
    /// 451: the client keeps it.
    #[default]
    Temporary,
    /// As if it had not been asked.
    Ignore,
    /// Cannot be judged: `scan_exception.action` of the domain.
    Hold,
}

/// One `[[scanner]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanner {
    /// Its name in logs, figures and findings (`engine:NAME`).
    pub name: Box<str>,
    /// What it speaks.
    pub kind: ScannerKind,
    /// Where it is.
    pub address: ScannerAddress,
    /// Path of the ICAP service, with its slash.
    pub service: Box<str>,
    /// From the question to the whole answer, waiting for a free connection included.
    pub timeout_ms: u64,
    /// A larger mail is not sent to it.
    pub message_bytes_max: u64,
    /// Mails that it looks at at the same time.
    pub connections_max: u16,
    /// What becomes of a mail that it does not answer about.
    pub on_error: OnScannerError,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            name: "".into(),
            kind: ScannerKind::default(),
            address: ScannerAddress::Unix(PathBuf::new()),
            service: "/avscan".into(),
            timeout_ms: 30_000,
            message_bytes_max: 25 * 1024 * 1024,
            connections_max: 8,
            on_error: OnScannerError::default(),
        }
    }
}

/// Reads all of them: at most [`SCANNERS_MAX`], each with a name of its own.
pub(super) fn read(section: &mut Section<'_, '_>) -> Vec<Scanner> {
    let scanners = section.tables("scanner", one);
    if scanners.len() > SCANNERS_MAX {
        let place = section.place_of("scanner");
        section.wrong("scanner", place, format_args!("more than {SCANNERS_MAX}"));
    }
    let mut names: Vec<&str> = scanners.iter().map(|scanner| &*scanner.name).collect();
    names.sort_unstable();
    if names.windows(2).any(|two| matches!(two, [one, next] if one == next)) {
        // Figures and findings of the two could not be told apart.
        let place = section.place_of("scanner");
        section.wrong("scanner", place, "two of them have the same name");
    }
    scanners
}

fn one(section: &mut Section<'_, '_>) -> Scanner {
    let mut scanner = Scanner::default();
    let kinds = [("clamd", ScannerKind::Clamd), ("icap", ScannerKind::Icap)];
    section.choice("kind", &kinds, &mut scanner.kind);
    scanner.name = match scanner.kind {
        ScannerKind::Clamd => "clamd".into(),
        ScannerKind::Icap => "icap".into(),
    };
    let place = section.place_of("name");
    section.line("name", 40, &mut scanner.name);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if scanner.name.is_empty() || !scanner.name.chars().all(plain) {
        section.wrong("name", place, "letters, digits, `-`, `_` and `.` are taken");
    }
    match section.text("address") {
        None => section.wrong("address", section.start(), "is missing"),
        Some(text) if text.value.starts_with('/') => {
            scanner.address = ScannerAddress::Unix(text.value.into());
        }
        Some(text) => match text.value.parse() {
            Ok(address) => scanner.address = ScannerAddress::Tcp(address),
            Err(_) => {
                let why =
                    "expected the path of a Unix socket, or address:port (names are not looked up)";
                section.wrong("address", text.start, why);
            }
        },
    }
    if let Some(text) = section.text("service") {
        let plain = |c: char| c.is_ascii_graphic();
        if text.value.starts_with('/') && text.value.len() <= 200 && text.value.chars().all(plain) {
            scanner.service = text.value.into();
        } else {
            section.wrong("service", text.start, "expected a path, `/avscan`");
        }
    }
    section.number("timeout_ms", 100..=300_000, &mut scanner.timeout_ms);
    section.number("message_bytes_max", 1024..=(2 << 30), &mut scanner.message_bytes_max);
    section.number("connections_max", 1..=256, &mut scanner.connections_max);
    let errors = [
        ("temporary", OnScannerError::Temporary),
        ("ignore", OnScannerError::Ignore),
        ("hold", OnScannerError::Hold),
    ];
    section.choice("on_error", &errors, &mut scanner.on_error);
    scanner
}
