//! What is sent, and how.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::report::LoadPlan;

/// How the moments of an open loop are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// As strangers send: gaps are exponentially distributed.
    Poisson,
    /// All gaps are the same.
    Even,
}

/// What makes the next mail begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// The answer to the one before, in each session.
    Closed,
    /// The clock, whatever the server does.
    Open {
        /// Mails in a second, all threads together.
        per_second: f64,
        /// How they are spread.
        spread: Spread,
    },
}

/// When a session is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Never.
    None,
    /// After EHLO, by STARTTLS (RFC 3207).
    StartTls,
    /// From the first octet (RFC 8314).
    Implicit,
}

/// What is shown while it runs, on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing.
    Off,
    /// One line that changes, for a terminal.
    Line,
    /// One line a second, for a log.
    Lines,
}

/// What is sent, and how.
#[derive(Clone, Debug)]
pub struct SendOptions {
    /// The server.
    pub server: SocketAddr,
    /// Sessions at a time; in an open loop the most that may be open.
    pub sessions: usize,
    /// Closed or open loop.
    pub pace: Pace,
    /// Mails in all; `u64::MAX` if only the time ends it.
    pub mails: u64,
    /// No mail is begun after so long.
    pub seconds: Option<Duration>,
    /// Open loop: how long after the end mails that wait for a session may still begin.
    pub drain: Duration,
    /// Mails on one connection before it is closed and opened again.
    pub mails_per_connection: u64,
    /// Reverse-path.
    pub from: String,
    /// Forward-paths, one after the other; `{n}` becomes the number of the mail, `{r}` that of
    /// the recipient within it.
    pub to: Vec<String>,
    /// Recipients of one mail.
    pub recipients: usize,
    /// Argument of EHLO.
    pub helo: String,
    /// MAIL, RCPT and DATA (or BDAT and all chunks) in one go (RFC 2920); the server must offer it.
    pub pipelining: bool,
    /// Content by BDAT in chunks of so many octets (RFC 3030); the server must offer it.
    pub chunk_bytes: Option<usize>,
    /// Encryption.
    pub encryption: Encryption,
    /// Addresses that connections come from, one after the other; empty: as the system chooses.
    pub sources: Vec<IpAddr>,
    /// Worker threads, each with a ring of its own.
    pub threads: usize,
    /// Seed of the draw, of the arrivals and of the envelope ids.
    pub seed: u64,
    /// Before a session gives up waiting.
    pub timeout: Duration,
    /// One line for each mail: id, recipients, outcome. Written before the worker sends again.
    pub ledger: Option<PathBuf>,
    /// What is shown while it runs.
    pub progress: Progress,
    /// Name of the mix, for the report.
    pub mix: String,
    /// The server is the engine of this data directory: its CPU, memory and stages are in the report.
    pub engine: Option<PathBuf>,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self {
            server: ([127, 0, 0, 1], 2525).into(),
            sessions: 10,
            pace: Pace::Closed,
            mails: 1000,
            seconds: None,
            drain: Duration::from_secs(120),
            mails_per_connection: 1,
            from: "sender@example.com".to_owned(),
            to: vec!["user@demo.test".to_owned()],
            recipients: 1,
            helo: "loadgen.example.com".to_owned(),
            pipelining: false,
            chunk_bytes: None,
            encryption: Encryption::None,
            sources: Vec::new(),
            threads: 1,
            seed: 1,
            timeout: Duration::from_secs(120),
            ledger: None,
            progress: Progress::Off,
            mix: "16k".to_owned(),
            engine: None,
        }
    }
}

impl SendOptions {
    /// What the report says was asked for.
    pub(super) fn plan(&self) -> LoadPlan {
        let arrivals_per_second = match self.pace {
            Pace::Closed => None,
            Pace::Open { per_second, .. } => Some(per_second),
        };
        let tls = match self.encryption {
            Encryption::None => "none",
            Encryption::StartTls => "starttls",
            Encryption::Implicit => "implicit",
        };
        LoadPlan {
            sessions: self.sessions,
            arrivals_per_second,
            mails_per_connection: self.mails_per_connection,
            recipients: self.recipients,
            pipelining: self.pipelining,
            bdat: self.chunk_bytes.is_some(),
            tls: tls.to_owned(),
            mix: self.mix.clone(),
            seed: self.seed,
            threads: self.threads,
            source_addresses: self.sources.len().max(1),
        }
    }

    /// First words of the report.
    pub(super) fn title(&self) -> String {
        let mut title = match self.pace {
            Pace::Closed => format!("send: closed loop, {} sessions", self.sessions),
            Pace::Open { per_second, spread } => {
                let spread = match spread {
                    Spread::Poisson => "Poisson",
                    Spread::Even => "even",
                };
                format!("send: open loop, {per_second} mails/s ({spread})")
            }
        };
        // Writing to a string cannot fail.
        let _ = match self.encryption {
            Encryption::None => Ok(()),
            Encryption::StartTls => write!(title, ", STARTTLS"),
            Encryption::Implicit => write!(title, ", implicit TLS"),
        };
        title
    }
}

/// One forward-path, cut where a number goes.
#[derive(Debug)]
pub(super) struct ForwardPath(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Text(String),
    Mail,
    Recipient,
}

impl ForwardPath {
    pub(super) fn new(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (head, tail) = rest.split_at(at);
            let (piece, length) = if tail.starts_with("{n}") {
                (Piece::Mail, 3)
            } else if tail.starts_with("{r}") {
                (Piece::Recipient, 3)
            } else {
                (Piece::Text("{".to_owned()), 1)
            };
            pieces.push(Piece::Text(head.to_owned()));
            pieces.push(piece);
            rest = tail.get(length..).unwrap_or_default();
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Self(pieces)
    }

    /// Appends the path of `recipient` of mail number `mail`.
    pub(super) fn write(&self, mail: u64, recipient: usize, out: &mut Vec<u8>) {
        use std::io::Write as _;
        for piece in &self.0 {
            // Writing to a vector cannot fail.
            let _ = match piece {
                Piece::Text(text) => out.write_all(text.as_bytes()),
                Piece::Mail => write!(out, "{mail}"),
                Piece::Recipient => write!(out, "{recipient}"),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ForwardPath;

    #[test]
    fn numbers_go_where_the_forward_path_has_room_for_them() {
        for (text, expected) in [
            ("user@demo.test", "user@demo.test"),
            ("u-{n}@demo.test", "u-7@demo.test"),
            ("{n}.{r}@demo.test", "7.2@demo.test"),
            ("a{x}{n", "a{x}{n"),
        ] {
            let mut out = Vec::new();
            ForwardPath::new(text).write(7, 2, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
