//! What all sending commands are told about the load.

use std::io::IsTerminal as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use sekisho_loadgen::hostile::Scope;
use sekisho_loadgen::mix::Mix;
use sekisho_loadgen::send::{Encryption, Progress, SendOptions, Spread};

use super::mails::MailsArguments;

/// Source addresses of one range at most: a /16.
const SOURCES_MAX: u32 = 65_536;

#[derive(Args)]
pub(crate) struct LoadArguments {
    /// The server.
    #[arg(long, default_value = "127.0.0.1:2525")]
    server: String,
    /// Mails on one connection.
    #[arg(long, default_value_t = 1)]
    mails_per_connection: u64,
    /// Reverse-path.
    #[arg(long, default_value = "sender@example.com")]
    from: String,
    /// Forward-path; may be given more than once; {n} becomes the number of the mail, {r} that of
    /// the recipient within it [default: user@demo.test].
    #[arg(long)]
    to: Vec<String>,
    /// Recipients of one mail.
    #[arg(long, default_value_t = 1)]
    recipients: usize,
    /// Argument of EHLO.
    #[arg(long, default_value = "loadgen.example.com")]
    helo: String,
    /// MAIL, RCPT and DATA in one go.
    #[arg(long)]
    pipelining: bool,
    /// Content by BDAT in chunks of so many octets.
    #[arg(long, value_name = "BYTES")]
    chunk: Option<usize>,
    /// Encryption. The certificate is not verified.
    #[arg(long, value_enum, default_value_t = TlsWord::None)]
    tls: TlsWord,
    /// Address that connections come from, or a range such as 127.0.1.1-127.0.1.50, one after the
    /// other; may be given more than once.
    #[arg(long)]
    source: Vec<String>,
    /// Worker threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[command(flatten)]
    mails: MailsArguments,
    /// Seconds before a session gives up waiting for an answer.
    #[arg(long, default_value_t = 120)]
    timeout_seconds: u64,
    /// A line a second while it runs, where there is no terminal.
    #[arg(long)]
    progress: bool,
    /// The server is the engine of this data directory: report its CPU by stage, its memory, its version.
    #[arg(long, value_name = "DATA")]
    engine: Option<PathBuf>,
    /// Send to an address that is not this machine's loopback.
    #[arg(long)]
    i_own_this_host: bool,
}

/// Encryption as a word.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum TlsWord {
    None,
    Starttls,
    Implicit,
}

/// Spread of arrivals as a word.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SpreadWord {
    Poisson,
    Even,
}

impl SpreadWord {
    pub(crate) fn spread(self) -> Spread {
        match self {
            Self::Poisson => Spread::Poisson,
            Self::Even => Spread::Even,
        }
    }
}

impl LoadArguments {
    /// The mails, drawn anew from the seed.
    pub(crate) fn mix(&self) -> Result<Mix, String> {
        self.mails.mix()
    }

    /// Where else clients may come from.
    pub(crate) fn scope(&self) -> Scope {
        if self.i_own_this_host { Scope::Own } else { Scope::Loopback }
    }

    /// Options of a closed loop without an end; the command sets pace and end.
    pub(crate) fn options(&self) -> Result<SendOptions, String> {
        let timeout = Duration::from_secs(self.timeout_seconds);
        Ok(SendOptions {
            server: self.server()?,
            mails: u64::MAX,
            drain: timeout,
            mails_per_connection: self.mails_per_connection,
            from: self.from.clone(),
            to: self.forward_paths()?,
            recipients: self.recipients,
            helo: self.helo.clone(),
            pipelining: self.pipelining,
            chunk_bytes: self.chunk,
            encryption: match self.tls {
                TlsWord::None => Encryption::None,
                TlsWord::Starttls => Encryption::StartTls,
                TlsWord::Implicit => Encryption::Implicit,
            },
            sources: self.sources()?,
            threads: self.threads,
            seed: self.mails.seed,
            timeout,
            progress: if std::io::stderr().is_terminal() {
                Progress::Line
            } else if self.progress {
                Progress::Lines
            } else {
                Progress::Off
            },
            mix: self.mails.name(),
            engine: self.engine.clone(),
            ..SendOptions::default()
        })
    }

    fn server(&self) -> Result<SocketAddr, String> {
        let server = self
            .server
            .to_socket_addrs()
            .map_err(|error| format!("server {}: {error}", self.server))?
            .next()
            .ok_or_else(|| format!("server {}: no address", self.server))?;
        if !server.ip().is_loopback() && !self.i_own_this_host {
            return Err(format!(
                "server {server}: not a loopback address\ntry: --i-own-this-host, if you do"
            ));
        }
        Ok(server)
    }

    fn forward_paths(&self) -> Result<Vec<String>, String> {
        let needs_number = self.recipients > 1;
        if self.to.is_empty() {
            let path = if needs_number { "user{r}@demo.test" } else { "user@demo.test" };
            return Ok(vec![path.to_owned()]);
        }
        let is_numbered = self.to.iter().all(|to| to.contains("{r}"));
        if needs_number && !is_numbered && self.to.len() < self.recipients {
            return Err(format!(
                "--recipients {}: only {} forward-paths, and without {{r}}\n\
                 try: --to user{{r}}@demo.test",
                self.recipients,
                self.to.len()
            ));
        }
        Ok(self.to.clone())
    }

    fn sources(&self) -> Result<Vec<IpAddr>, String> {
        let mut sources = Vec::new();
        for text in &self.source {
            sources.extend(source_range(text)?);
        }
        Ok(sources)
    }
}

/// `127.0.1.1`, `::1` or `127.0.1.1-127.0.1.50`.
fn source_range(text: &str) -> Result<Vec<IpAddr>, String> {
    let Some((first, last)) = text.split_once('-') else {
        let address = text.parse().map_err(|_| format!("source {text}: not an address"))?;
        return Ok(vec![address]);
    };
    let parse = |text: &str| text.parse::<Ipv4Addr>().map(u32::from);
    let (Ok(first), Ok(last)) = (parse(first), parse(last)) else {
        return Err(format!("source {text}: not two IPv4 addresses"));
    };
    if last < first || last - first >= SOURCES_MAX {
        return Err(format!("source {text}: from the lower to the higher, {SOURCES_MAX} at most"));
    }
    Ok((first..=last).map(|address| IpAddr::V4(address.into())).collect())
}

#[cfg(test)]
mod tests {
    use super::source_range;

    #[test]
    fn sources_are_addresses_or_ranges_with_a_bound() {
        let range = source_range("127.0.1.254-127.0.2.1").unwrap();
        let words: Vec<String> = range.iter().map(ToString::to_string).collect();
        assert_eq!(words, ["127.0.1.254", "127.0.1.255", "127.0.2.0", "127.0.2.1"]);
        assert_eq!(source_range("::1").unwrap().len(), 1);
        for (text, error) in [
            ("here", "source here: not an address"),
            ("127.0.0.1-there", "source 127.0.0.1-there: not two IPv4 addresses"),
            (
                "127.0.0.2-127.0.0.1",
                "source 127.0.0.2-127.0.0.1: from the lower to the higher, 65536 at most",
            ),
        ] {
            assert_eq!(source_range(text).unwrap_err(), error);
        }
    }
}
