//! `sekisho-loadgen sink`.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use sekisho_loadgen::sink::{Behaviour, Entry, Extensions, Service, Sink, SinkOptions, tls};

#[derive(Args)]
pub(crate) struct SinkArguments {
    /// Address and port.
    #[arg(long, default_value = "127.0.0.1:2526")]
    listen: SocketAddr,
    /// Directory for the mails; without it they are only counted.
    #[arg(long)]
    store: Option<PathBuf>,
    /// One line for each mail: id, reverse-path, forward-path.
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// What EHLO offers: all, none, or a list of pipelining,chunking,smtputf8,8bitmime,dsn,size.
    #[arg(long, default_value = "all")]
    extensions: String,
    /// Percentage of recipients answered 451.
    #[arg(long, default_value_t = 0)]
    rcpt_temporary_percent: u8,
    /// Percentage of recipients answered 550.
    #[arg(long, default_value_t = 0)]
    rcpt_permanent_percent: u8,
    /// Percentage of mails answered 451 at the final dot.
    #[arg(long, default_value_t = 0)]
    dot_temporary_percent: u8,
    /// Percentage of mails answered 554 at the final dot.
    #[arg(long, default_value_t = 0)]
    dot_permanent_percent: u8,
    /// Percentage of recipients in answer to which the connection is closed.
    #[arg(long, default_value_t = 0)]
    rcpt_close_percent: u8,
    /// Percentage of DATA commands in answer to which the connection is closed.
    #[arg(long, default_value_t = 0)]
    data_close_percent: u8,
    /// Percentage of contents in the middle of which the connection is closed.
    #[arg(long, default_value_t = 0)]
    body_close_percent: u8,
    /// Percentage of mails after whose final dot the connection is closed; not taken.
    #[arg(long, default_value_t = 0)]
    dot_close_percent: u8,
    /// Percentage of mails whose final dot gets no answer at all; not taken.
    #[arg(long, default_value_t = 0)]
    dot_hang_percent: u8,
    /// Percentage of mails that are taken only after --slow-ms.
    #[arg(long, default_value_t = 0)]
    dot_slow_percent: u8,
    /// What --dot-slow-percent and the local-part `slow` wait.
    #[arg(long, default_value_t = 2000)]
    slow_ms: u64,
    /// Wait so long before every answer to RCPT and to the final dot.
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
    /// Keep nothing: mails are read and thrown away, whatever their ids.
    #[arg(long, conflicts_with_all = ["store", "ledger"])]
    discard: bool,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Offer STARTTLS, with a certificate made now unless one is given.
    #[arg(long)]
    starttls: bool,
    /// TLS from the first octet.
    #[arg(long, conflicts_with = "starttls")]
    implicit_tls: bool,
    /// Certificate (PEM) for TLS.
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Ignore local-parts that script a fate (tempfail, reject, dotfail, dotreject, hang,
    /// hangtaken, close, closetaken, closercpt, nonsense, slow).
    #[arg(long)]
    no_script: bool,
    /// Seed of the percentages.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The threads and the certificate that the arguments ask for.
fn service(arguments: &SinkArguments) -> Result<Service, String> {
    let entry = if arguments.implicit_tls { Entry::Implicit } else { Entry::Clear };
    let tls = match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(certificate), Some(key)) => Some(tls::from_files(certificate, key)),
        _ if arguments.starttls || arguments.implicit_tls => Some(tls::self_signed()),
        _ => None,
    };
    let tls = tls.transpose().map_err(|error| format!("certificate: {error}"))?;
    Ok(Service { threads: arguments.threads, tls, entry })
}

pub(crate) fn run(arguments: SinkArguments) -> Result<ExitCode, String> {
    let service = service(&arguments)?;
    let options = SinkOptions {
        listen: arguments.listen,
        store: if arguments.discard { None } else { arguments.store },
        extensions: Extensions::parse(&arguments.extensions)?,
        behaviour: Behaviour {
            by_local_part: !arguments.no_script,
            rcpt_temporary_percent: arguments.rcpt_temporary_percent,
            rcpt_permanent_percent: arguments.rcpt_permanent_percent,
            dot_temporary_percent: arguments.dot_temporary_percent,
            dot_permanent_percent: arguments.dot_permanent_percent,
            rcpt_close_percent: arguments.rcpt_close_percent,
            data_close_percent: arguments.data_close_percent,
            body_close_percent: arguments.body_close_percent,
            dot_close_percent: arguments.dot_close_percent,
            dot_hang_percent: arguments.dot_hang_percent,
            dot_slow_percent: arguments.dot_slow_percent,
            slow: Duration::from_millis(arguments.slow_ms),
            delay: Duration::from_millis(arguments.delay_ms),
            seed: arguments.seed,
            ..Behaviour::default()
        },
    };
    let listen = options.listen;
    let sink =
        Sink::serve(options, service).map_err(|error| format!("listen on {listen}: {error}"))?;
    if let Some(path) = &arguments.ledger {
        sink.keep_ledger(path).map_err(|error| format!("ledger {}: {error}", path.display()))?;
    }
    let _ = writeln!(io::stdout(), "READY {}", sink.address());
    sink.join();
    Ok(ExitCode::SUCCESS)
}
