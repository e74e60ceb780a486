//! Every parser and file format, fed with seeds that are bent, cut, joined and overwritten. A smoke
//! run in the gate (2 seconds each), as long as wanted with `make fuzz`.
//!
//! No coverage guides it: what it finds are the plain mistakes (an index, an overflow, a loop, an
//! allocation that a sender chooses), in every build and without a special compiler. Seeds are small
//! (`seeds`), check sums are put in order again after the bending (`mutate`), and each target says
//! how many of its inputs came to something, so that one whose inputs are all refused at the door is
//! seen. A canary proves that it would find a mistake. The seed of a failure is printed; the input is
//! written to the directory for temporary files.
//!
//! A long run (`SEKISHO_FUZZ_SECONDS`) bounds the memory of the process, as that of a worker is, and
//! writes each input down before it is tried: a failed allocation ends the process, and so does a
//! stack that is too deep. What is left in `sekisho-fuzz-<target>.now` is the input then; it is in memory
//! (`/dev/shm`) where there is such a place, because a disk takes longer than most targets do. Its seconds are
//! those that it had the CPU, at most twenty times as long by the clock.
//! `SEKISHO_FUZZ_INPUT=FILE` tries that file alone, ten times, with the target that is named.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::too_many_lines,
    clippy::print_stderr,
    reason = "a fuzzer says how far it came"
)]

#[path = "../../core/src/scan/tests/compound.rs"]
mod compound;
mod containers;
mod files;
mod mails;
mod mutate;
mod office;
mod seeds;
mod talks;

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use sekisho_loadgen::random::Random;

/// One input that takes longer, in time of the CPU, hangs.
const INPUT_MAX: Duration = Duration::from_secs(10);
/// Memory of the process in a long run: what a worker may have by default, and the harness.
const MEMORY_BYTES_MAX: u64 = 1 << 30;

/// What a target says of one input.
trait Told {
    /// Whether it came to something.
    fn reached(&self) -> bool;
}

impl Told for () {
    fn reached(&self) -> bool {
        true
    }
}

impl Told for usize {
    fn reached(&self) -> bool {
        *self > 0
    }
}

thread_local! {
    /// What a panic inside of a target said: some are caught where they happen, thousands of times, and are no findings.
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps what a panic inside of a target says; all others are printed.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let inside = SAID.with_borrow_mut(|said| {
                said.as_mut().map(|said| *said = info.to_string()).is_some()
            });
            if !inside {
                before(info);
            }
        }));
    });
}

/// How a run went.
#[derive(Debug, Default)]
struct Ran {
    inputs: u64,
    reached: u64,
    /// Of the CPU.
    took: Duration,
    slowest: Duration,
    slowest_input: Vec<u8>,
}

/// Puts check sums of a format in order again.
type Mend = fn(&mut [u8]);

fn wanted() -> Option<Duration> {
    let text = std::env::var("SEKISHO_FUZZ_SECONDS").ok()?;
    text.parse().ok().map(Duration::from_secs)
}

/// Time that this thread had a CPU.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// Runs `target` on bent seeds until the time is over; the first panic or hang fails with its input.
fn run<T: Told>(
    name: &str,
    seeds: &[Vec<u8>],
    mend: Option<Mend>,
    limit: Duration,
    target: impl Fn(&[u8]) -> T,
) -> Result<Ran, String> {
    listen();
    let seed = 0x5eed ^ name.len() as u64;
    let mut random = Random::new(seed);
    let written = wanted().and_then(|_| File::create(now_file(name)).ok());
    let (start, start_cpu) = (Instant::now(), cpu());
    // A smoke run has its time by the clock, a long one beside other work has what it was promised.
    let clock = if wanted().is_some() { limit * 20 } else { limit };
    let mut ran = Ran::default();
    while start.elapsed() < clock && cpu() - start_cpu < limit {
        let mut input = mutate::bend(seeds, &mut random);
        if let Some(mend) = mend.filter(|_| random.below(8) > 0) {
            mend(&mut input);
        }
        if let Some(written) = &written {
            let _ = written.set_len(input.len() as u64);
            let _ = written.write_all_at(&input, 0);
        }
        let began = cpu();
        SAID.set(Some(String::new()));
        let outcome = catch_unwind(AssertUnwindSafe(|| target(&input)));
        let said = SAID.take().unwrap_or_default();
        let took = cpu() - began;
        ran.inputs += 1;
        ran.reached += u64::from(outcome.as_ref().is_ok_and(Told::reached));
        if outcome.is_err() || took > INPUT_MAX {
            let file = file(name, "");
            let _ = std::fs::write(&file, &input);
            let what = match outcome {
                Err(_) => format!("panics ({said})"),
                Ok(_) => "hangs".to_owned(),
            };
            return Err(format!(
                "{name} {what} on input {} of seed {seed:#x} ({} octets, {took:?}): {}",
                ran.inputs,
                input.len(),
                file.display()
            ));
        }
        if took > ran.slowest {
            (ran.slowest, ran.slowest_input) = (took, input);
        }
    }
    ran.took = cpu() - start_cpu;
    let _ = written.map(|_| std::fs::remove_file(now_file(name)));
    Ok(ran)
}

fn file(name: &str, ending: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("sekisho-fuzz-{name}{ending}"))
}

/// Where the input that is tried now is written down.
fn now_file(name: &str) -> std::path::PathBuf {
    let memory = std::path::Path::new("/dev/shm");
    let directory = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    directory.join(format!("sekisho-fuzz-{name}.now"))
}

/// Runs a target for as long as it is asked for. Most of its inputs have to come to something.
fn smoke<T: Told>(name: &str, seeds: &[Vec<u8>], target: impl Fn(&[u8]) -> T) {
    mended(name, seeds, None, target);
}

fn mended<T: Told>(name: &str, seeds: &[Vec<u8>], mend: Option<Mend>, target: impl Fn(&[u8]) -> T) {
    if let Some(path) = std::env::var_os("SEKISHO_FUZZ_INPUT") {
        let input = std::fs::read(path).expect("the input");
        for _ in 0..10 {
            let began = cpu();
            let reached = target(&input).reached();
            eprintln!("fuzz {name}: reached {reached}, {:?}, {} MiB", cpu() - began, memory_mib());
        }
        return;
    }
    // Seeds as they are first: one that says nothing is none.
    let whole = seeds.iter().filter(|seed| target(seed).reached()).count();
    if wanted().is_some() {
        let limit = Rlimit { current: Some(MEMORY_BYTES_MAX), ..getrlimit(Resource::As) };
        setrlimit(Resource::As, limit).expect("a bound on memory");
    }
    let limit = wanted().unwrap_or(Duration::from_secs(2));
    match run(name, seeds, mend, limit, target) {
        Ok(ran) => {
            let share = ran.reached * 100 / ran.inputs.max(1);
            eprintln!(
                "fuzz {name}: {} inputs in {:?} of CPU, {} came to something ({share} %), {whole} of {} seeds, slowest {:?}, {} MiB at most",
                ran.inputs,
                ran.took,
                ran.reached,
                seeds.len(),
                ran.slowest,
                memory_mib(),
            );
            if wanted().is_some() {
                let _ = std::fs::write(file(name, ".slowest"), &ran.slowest_input);
            }
            let few = ran.inputs < 1_000;
            assert!(few || ran.reached > 0, "{name}: every input is refused at the door");
        }
        Err(failure) => panic!("{failure}"),
    }
}

/// The most memory that this process had.
fn memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

/// A bug that is planted must be found: a fuzzer that cannot fail proves nothing.
#[test]
fn the_canary_is_found() {
    let seeds = seeds::texts(&["length: 4\r\ndata\r\n"]);
    let planted = |data: &[u8]| {
        let Some(rest) = data.strip_prefix(b"length: ") else { return };
        let digits = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
        let length: usize = String::from_utf8_lossy(&rest[..digits]).parse().unwrap_or(0);
        // The planted mistake: a length that a peer sent is believed.
        let body = rest.get(digits + 2..).unwrap_or_default();
        std::hint::black_box(&body[..length]);
    };
    let found = run("canary", &seeds, None, Duration::from_secs(20), planted);
    assert!(found.is_err(), "{found:?} inputs, and the planted mistake was not found");
}
