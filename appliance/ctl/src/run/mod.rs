//! `sekisho run`: the control process until there is a console.
//!
//! It checks the machine, writes what a first start needs, starts the engine or takes over the one
//! that runs, starts it again when it dies, and merges deltas into new generations. Mail does not
//! need it: killed, the engine runs on, and the next `sekisho run` finds it by its socket.
//!
//! One at a time for a data directory (`run/control.lock`). Ctrl-C and SIGTERM drain the engine and
//! wait for it; a second one kills it (which loses nothing: see the rule of 250).

mod demo;
mod engine;
mod machine;
mod process;
mod setup;

pub(crate) use demo::serve as serve_demo_sink;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use self::engine::Engine;
use self::process::{BackOff, Process};
use crate::arguments::RunArguments;
use crate::outcome::{Failure, Outcome, Ran};
use crate::output;
use crate::place::Place;
use crate::publish;

/// How often the control process looks at its charges.
const TICK: Duration = Duration::from_millis(250);
/// How often it looks whether there are deltas to merge.
const MERGE_EVERY: Duration = Duration::from_secs(10);

/// Runs `run`.
pub(crate) fn run(place: &Place, arguments: &RunArguments) -> Ran {
    let program = arguments.engine.clone().map_or_else(engine_beside_us, Ok)?;
    let checks = machine::check(&place.data, &program);
    if arguments.check_machine {
        return Ok(Outcome::done_if(machine::report(&checks, true)));
    }
    if !machine::report(&checks, false) {
        return Err(Failure::new("run", "this machine lacks what is listed above"));
    }
    let stop = stop_signals()?;
    let _lock = lock(place)?;
    setup::prepare(place)?;
    let mut demo = start_demo(place, arguments)?;
    let (engine, taken_over) = match Engine::running(place) {
        Some(engine) => (engine, true),
        None => match Engine::start(place, &program, &stop) {
            Ok(engine) => (engine, false),
            Err(failure) => {
                // Nothing is left behind by a start that failed.
                if let Some(demo) = &mut demo {
                    demo::stop(demo);
                }
                return Err(failure);
            }
        },
    };
    setup::say_where(place, &engine, taken_over, demo.is_some());
    let mut keeper = Keeper {
        place,
        program,
        stop,
        engine_pauses: BackOff::new(Instant::now()),
        demo_pauses: BackOff::new(Instant::now()),
        engine,
        demo,
        merged: Instant::now(),
    };
    keeper.keep();
    keeper.farewell()
}

fn engine_beside_us() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()
        .map_err(|error| Failure::new("run", format_args!("where is this program: {error}")))?;
    Ok(own.with_file_name("sekisho-engine"))
}

/// Counts SIGINT, SIGTERM and SIGHUP.
fn stop_signals() -> Result<Arc<AtomicUsize>, Failure> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let stop = Arc::new(AtomicUsize::new(0));
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM])
        .map_err(|error| Failure::new("run: signals", error))?;
    let counted = Arc::clone(&stop);
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for _ in signals.forever() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        })
        .map_err(|error| Failure::new("run: signals", error))?;
    Ok(stop)
}

/// The lock that makes this the only control process of a data directory; gone with the process.
fn lock(place: &Place) -> Result<File, Failure> {
    let path = place.run().join("control.lock");
    let fail = |error: std::io::Error| {
        let failure = Failure::new(path.display(), &error);
        match error.kind() {
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                failure.next("--data DIR names a directory that you may write to")
            }
            _ => failure,
        }
    };
    std::fs::create_dir_all(place.run()).map_err(fail)?;
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(fail)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Failure::new(
            "run",
            format_args!("another `sekisho run` looks after {}", place.data.display()),
        )
        .next(format_args!("sekisho{} status", place.arguments()))),
        Err(error) => Err(Failure::new(path.display(), error)),
    }
}

fn start_demo(place: &Place, arguments: &RunArguments) -> Result<Option<Process>, Failure> {
    if arguments.no_demo_sink || !setup::has_demo_domain(place) {
        return Ok(None);
    }
    demo::start(place).map(Some)
}

/// What is kept alive, and how.
struct Keeper<'p> {
    place: &'p Place,
    program: PathBuf,
    stop: Arc<AtomicUsize>,
    engine_pauses: BackOff,
    demo_pauses: BackOff,
    engine: Engine,
    demo: Option<Process>,
    merged: Instant,
}

impl Keeper<'_> {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst) > 0
    }

    /// Until a signal says stop.
    fn keep(&mut self) {
        while !self.stopped() {
            if self.engine.ended(TICK) {
                self.restart_engine();
            }
            if self.demo.as_mut().is_some_and(|demo| demo.ended(Duration::ZERO)) {
                self.restart_demo();
            }
            if self.merged.elapsed() >= MERGE_EVERY {
                self.merged = Instant::now();
                self.merge();
            }
        }
    }

    fn restart_engine(&mut self) {
        let how = self.engine.end();
        while !self.stopped() {
            let pause = self.engine_pauses.died(Instant::now());
            output::words(format_args!(
                "sekisho: engine: {how}; started again in {} ms (its words: {})",
                pause.as_millis(),
                self.place.engine_log().display()
            ));
            std::thread::sleep(pause);
            if self.stopped() {
                return;
            }
            // Somebody may have started one by hand meanwhile.
            let next = match Engine::running(self.place) {
                Some(engine) => Ok(engine),
                None => Engine::start(self.place, &self.program, &self.stop),
            };
            match next {
                Ok(engine) => {
                    output::words(format_args!(
                        "sekisho: engine: runs again, process {}",
                        engine.number()
                    ));
                    self.engine = engine;
                    self.engine_pauses.started(Instant::now());
                    return;
                }
                Err(failure) => output::words(failure),
            }
        }
    }

    fn restart_demo(&mut self) {
        let pause = self.demo_pauses.died(Instant::now());
        output::words("sekisho: the demo's next hop died; started again");
        std::thread::sleep(pause);
        match demo::start(self.place) {
            Ok(process) => {
                self.demo = Some(process);
                self.demo_pauses.started(Instant::now());
            }
            Err(failure) => output::words(failure),
        }
    }

    /// A refused merge changes nothing: the old generation and its deltas stay in force.
    fn merge(&self) {
        match publish::merge_if_due(self.place) {
            Ok(None) => {}
            Ok(Some(number)) => {
                output::words(format_args!(
                    "sekisho: tables: deltas merged into generation {number}"
                ));
            }
            Err(failure) => output::words(failure),
        }
    }

    /// Drains the engine, then ends the demo's next hop (the engine may still deliver to it).
    fn farewell(mut self) -> Ran {
        output::words("sekisho: stopping; sessions in the middle of a mail finish first");
        let clean = self.engine.drain(&self.stop);
        if let Some(demo) = &mut self.demo {
            demo::stop(demo);
        }
        if clean {
            output::words("sekisho: stopped");
            Ok(Outcome::Done)
        } else {
            output::words("sekisho: the engine was killed; nothing that it acknowledged is lost");
            Ok(Outcome::No)
        }
    }
}
