//! `sekisho-engine`: the data plane as a program.
//!
//! Arguments, diagnostics, and nothing else: `sekisho_core::shard::run` is the engine. The same binary
//! started as `sekisho-engine analysis-worker` is one of the sandboxed processes that open what
//! strangers packed (`sekisho_core::analysis`); only the engine starts it so.

mod memory;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use sekisho_core::analysis::{WORKER_ARGUMENT, WorkerArguments, worker_main};
use sekisho_core::config::Config;
use sekisho_core::shard::{self, Options};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Of this program, and the commit that it is built from: the capacity sheet asks for it.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("SEKISHO_COMMIT"), ")");

/// The data plane of Sekisho: takes mail, judges it, delivers, holds or refuses it.
#[derive(Debug, Parser)]
#[command(name = "sekisho-engine", version = VERSION, about)]
struct Arguments {
    /// Configuration file.
    #[arg(long, default_value = "var/etc/sekisho.toml")]
    config: PathBuf,
    /// Data directory; `engine.data_dir` of the configuration if absent.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Diagnostics as JSON lines instead of text.
    #[arg(long)]
    log_json: bool,
    /// Level of diagnostics: error, warn, info, debug, trace; `log.level` of the configuration if
    /// absent.
    #[arg(long)]
    log_level: Option<String>,
}

fn main() -> ExitCode {
    // Before anything else: a worker must not even parse the engine's arguments.
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == WORKER_ARGUMENT) {
        memory::keep(memory::WORKER);
        let run = WorkerArguments::read(words).and_then(|arguments| worker_main(&arguments));
        return run.map_or_else(|why| fail(&why), |()| ExitCode::SUCCESS);
    }
    let arguments = Arguments::parse();
    if let Err(error) = diagnostics(&arguments) {
        return fail(&error.to_string());
    }
    memory::keep(memory::ENGINE);
    let options = Options { config: arguments.config, data: arguments.data };
    match shard::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&chain(&error)),
    }
}

fn diagnostics(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    // At Debian's memory-lock limit of 8 MiB glommio does without some registered buffers, and says so at each
    // start as "Cannot allocate memory": operators looked for a lack of memory that there was not.
    let level = arguments.log_level.clone().unwrap_or_else(|| {
        format!("{},glommio::sys::uring=error", configured_level(&arguments.config))
    });
    let filter = tracing_subscriber::EnvFilter::try_new(level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if arguments.log_json {
        builder.json().init()
    } else {
        builder.with_ansi(false).init()
    }
    Ok(())
}

/// `log.level`; mistakes in the file are told by the engine, once there are diagnostics.
fn configured_level(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let config = Config::parse(&text, "").map_or_else(|_| Config::default(), |(config, _)| config);
    config.log_level.as_str().to_owned()
}

/// The error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[expect(clippy::print_stderr, reason = "the one line that says why the program did not start")]
fn fail(why: &str) -> ExitCode {
    eprintln!("sekisho-engine: {why}");
    ExitCode::from(2)
}
