//! `sekisho-loadgen sink` receives, `sekisho-loadgen send` sends.

use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use sekisho_loadgen::mix::{self, Mix};
use sekisho_loadgen::send::{self, SendOptions, SendReport};
use sekisho_loadgen::sink::{Behaviour, Entry, Extensions, Service, Sink, SinkOptions, tls};
use sekisho_loadgen::traffic;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Load clients and a receiving server for capacity tests.
#[derive(Parser)]
#[command(name = "sekisho-loadgen", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Receive mail: each as a file, or only counted.
    Sink(SinkArguments),
    /// Send mail in a closed loop of sessions.
    Send(SendArguments),
    /// Write the mails of a mix as files, and the zone that has their DKIM keys.
    Traffic(TrafficArguments),
}

#[derive(Args)]
struct SinkArguments {
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

#[derive(Args)]
struct SendArguments {
    /// The server.
    #[arg(long, default_value = "127.0.0.1:2525")]
    server: String,
    /// Sessions at a time.
    #[arg(long, default_value_t = 10)]
    sessions: usize,
    /// Mails in all.
    #[arg(long, default_value_t = 1000)]
    mails: u64,
    /// Mails on one connection.
    #[arg(long, default_value_t = 1)]
    mails_per_connection: u64,
    /// Reverse-path.
    #[arg(long, default_value = "sender@example.com")]
    from: String,
    /// Forward-path; may be given more than once; {n} becomes the number of the mail.
    #[arg(long, default_value = "user@demo.test")]
    to: Vec<String>,
    /// Argument of EHLO.
    #[arg(long, default_value = "loadgen.example.com")]
    helo: String,
    /// Directory of mail files instead of the generated 16 KiB mix.
    #[arg(long)]
    files: Option<PathBuf>,
    /// One line for each mail: id, recipient, outcome.
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// Seed of everything drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds before a session gives up waiting for an answer.
    #[arg(long, default_value_t = 120)]
    timeout_seconds: u64,
    /// Send to an address that is not this machine's loopback.
    #[arg(long)]
    i_own_this_host: bool,
    /// One JSON object instead of words.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct TrafficArguments {
    /// sizes, classes, mean15, trap or real.
    #[arg(long, default_value = "sizes", conflicts_with_all = ["files", "mbox"])]
    mix: String,
    /// Draw from the mail files of a directory instead.
    #[arg(long, conflicts_with = "mbox")]
    files: Option<PathBuf>,
    /// Draw from the mails of an mbox file instead.
    #[arg(long)]
    mbox: Option<PathBuf>,
    /// Seed of the mails and of the draw.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Mails in all.
    #[arg(long, default_value_t = 1000)]
    mails: u64,
    /// Directory for the mails.
    #[arg(long, required_unless_present = "zone")]
    out: Option<PathBuf>,
    /// Write the zone of this seed's DKIM keys to a master file.
    #[arg(long)]
    zone: Option<PathBuf>,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Sink(arguments) => sink(arguments),
        Command::Send(arguments) => send(arguments),
        Command::Traffic(arguments) => traffic(&arguments),
    };
    match result {
        Ok(code) => code,
        Err(text) => {
            let _ = writeln!(io::stderr(), "sekisho-loadgen: {text}");
            ExitCode::from(2)
        }
    }
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

fn sink(arguments: SinkArguments) -> Result<ExitCode, String> {
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

fn traffic(arguments: &TrafficArguments) -> Result<ExitCode, String> {
    let from = |path: &PathBuf, mix: io::Result<Mix>| {
        mix.map_err(|error| format!("{}: {error}", path.display()))
    };
    let mix = match (&arguments.files, &arguments.mbox) {
        (Some(dir), _) => from(dir, Mix::from_directory(dir))?,
        (None, Some(file)) => from(file, Mix::from_mbox(file))?,
        (None, None) => Mix::named(&arguments.mix, arguments.seed)?,
    };
    if let Some(path) = &arguments.zone {
        let zone = mix::zone(arguments.seed)?;
        std::fs::write(path, zone).map_err(|error| format!("zone {}: {error}", path.display()))?;
        let _ = writeln!(io::stdout(), "zone {} in {}", mix::ZONE, path.display());
    }
    if let Some(dir) = &arguments.out {
        let bytes = traffic::write(&mix, arguments.seed, arguments.mails, dir)
            .map_err(|error| format!("out {}: {error}", dir.display()))?;
        let (mails, dir) = (arguments.mails, dir.display());
        let _ = writeln!(io::stdout(), "{mails} mails, {bytes} octets, in {dir}");
    }
    Ok(ExitCode::SUCCESS)
}

fn send(arguments: SendArguments) -> Result<ExitCode, String> {
    let server = arguments
        .server
        .to_socket_addrs()
        .map_err(|error| format!("server {}: {error}", arguments.server))?
        .next()
        .ok_or_else(|| format!("server {}: no address", arguments.server))?;
    if !server.ip().is_loopback() && !arguments.i_own_this_host {
        return Err(format!(
            "server {server}: not a loopback address\ntry: --i-own-this-host, if you do"
        ));
    }
    let mix = match &arguments.files {
        Some(dir) => {
            Mix::from_directory(dir).map_err(|error| format!("files {}: {error}", dir.display()))?
        }
        None => Mix::generated(arguments.seed),
    };
    let options = SendOptions {
        server,
        sessions: arguments.sessions,
        mails: arguments.mails,
        mails_per_connection: arguments.mails_per_connection,
        from: arguments.from,
        to: arguments.to,
        helo: arguments.helo,
        seed: arguments.seed,
        timeout: Duration::from_secs(arguments.timeout_seconds),
        ledger: arguments.ledger,
    };
    let report = send::run(options, mix).map_err(|error| format!("send: {error}"))?;
    if arguments.json {
        let text = serde_json::to_string(&report).map_err(|error| error.to_string())?;
        let _ = writeln!(io::stdout(), "{text}");
    } else {
        print_words(&report);
    }
    let all_answered = report.unknown == 0 && report.accepted > 0;
    Ok(if all_answered { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn print_words(report: &SendReport) {
    let latency = &report.latency_ms;
    let _ = writeln!(
        io::stdout(),
        "accepted {}, refused for now {}, refused {}, unknown {}, not connected {}\n\
         {:.1} mails/s in {:.2} s; latency ms p50 {:.1}, p99 {:.1}, p99.9 {:.1}, max {:.1}",
        report.accepted,
        report.refused_temporary,
        report.refused_permanent,
        report.unknown,
        report.connect_failures,
        report.mails_per_second,
        report.seconds,
        latency.p50,
        latency.p99,
        latency.p999,
        latency.max,
    );
    if !report.first_refusal.is_empty() {
        let _ = writeln!(io::stdout(), "first refusal: {}", report.first_refusal);
    }
}
