//! `make soak-load`: ten minutes of mixed load at full speed, with faults by a fixed seed, and the account of every
//! mail at the end. Prints a report; exit code 1 if anything in it is not as it must be.
//!
//! Load: the mixes `classes` and `real`, half of the sessions under STARTTLS. Two next hops, one in this process (it
//! misbehaves by order), one that is killed and stopped. Memory: RssAnon + RssShmem of the engine each ten seconds, the
//! median of its last minute against that of its second minute, within 5 %. For that one engine must live
//! from one to the other: it is killed in the first minute and after the last. Both measured minutes are
//! free of faults, so that they are of the same load.
//!
//! SOAK_SECONDS (600; at least 60, "minute" is a tenth of it), SOAK_SEED (1), SOAK_SESSIONS (16), SOAK_MODE (through).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measuring program: what goes wrong is its end, and its words are read"
)]

mod fault;
mod memory;

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use fault::{Bench, Fault};
use memory::Memory;
use sekisho_loadgen::random::Random;
use sekisho_loadgen::send::{Encryption, machine};
use sekisho_tests::gateway::{DOMAIN, program};
use sekisho_tests::stand::{Balance, Load, Stand, drain};

/// Of each of the two loads: more than a machine of two cores does of these mails, so that all sessions are always
/// busy. What finds no session by the end is not sent, and does not count.
const PER_SECOND: f64 = 1_000.0;
/// Growth that is none.
const GROWTH_PERCENT: f64 = 5.0;
/// Pause between two faults, in hundredths of the whole.
const PAUSE_HUNDREDTHS: u32 = 3;

struct Plan {
    seconds: u32,
    seed: u64,
    sessions: usize,
    mode: &'static str,
}

fn number(name: &str, default: u64) -> u64 {
    let Some(text) = env::var_os(name) else { return default };
    let parsed = text.to_str().and_then(|text| text.parse().ok());
    parsed.unwrap_or_else(|| panic!("{name}: {}: not a number", text.display()))
}

impl Plan {
    fn from_environment() -> Self {
        let seconds = u32::try_from(number("SOAK_SECONDS", 600)).expect("SOAK_SECONDS");
        let mode = match env::var("SOAK_MODE").as_deref() {
            Err(_) | Ok("through") => "through",
            Ok("spool") => "spool",
            Ok(other) => panic!("SOAK_MODE: {other}: through or spool"),
        };
        Self {
            seconds: seconds.max(60),
            seed: number("SOAK_SEED", 1),
            sessions: usize::try_from(number("SOAK_SESSIONS", 16)).expect("SOAK_SESSIONS").max(4),
            mode,
        }
    }

    /// A moment of the run.
    fn hundredths(&self, hundredths: u32) -> Duration {
        Duration::from_millis(u64::from(self.seconds) * 10 * u64::from(hundredths))
    }
}

fn loads(plan: &Plan) -> Vec<Load> {
    let domains = vec![DOMAIN.to_owned(), fault::SECOND_DOMAIN.to_owned()];
    let parts = [("classes", Encryption::None), ("real", Encryption::StartTls)];
    let load = |(index, (mix, encryption)): (usize, (&'static str, Encryption))| Load {
        mix,
        mails: u64::MAX,
        seconds: Some(plan.seconds.into()),
        per_second: PER_SECOND,
        sessions: plan.sessions / 2,
        encryption,
        domains: domains.clone(),
        seed: plan.seed * 16 + index as u64,
    };
    parts.into_iter().enumerate().map(load).collect()
}

fn head(plan: &Plan) {
    let machine = machine();
    let words = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.map_or_else(
            |_| "unknown".to_owned(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
    };
    println!("# Soak under load with faults: {} seconds, mode {}", plan.seconds, plan.mode);
    println!(
        "machine: {}, {} cores, {} MiB, {}",
        machine.cpu,
        machine.cores,
        machine.memory_kib / 1024,
        machine.kernel
    );
    println!(
        "date {}, commit {}, load of the machine before: {}",
        words("date", &["-u", "+%F"]),
        words("git", &["describe", "--always", "--dirty"]),
        words("cat", &["/proc/loadavg"])
    );
    // The generator's own speed is no figure here; what it lacks, the engine is not asked for.
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    println!(
        "engine: {}; sender and first hop in this process, a {build} build",
        words(program("sekisho-engine").to_str().expect("a path"), &["--version"])
    );
    println!(
        "mixes classes and real (half by STARTTLS), {} sessions, 7 mails a connection, seed {}\n",
        plan.sessions, plan.seed
    );
}

/// Faults one after the other until the last minute; how many deliveries they cut off.
fn faults(plan: &Plan, bench: &mut Bench, memory: &Memory, start: Instant) -> usize {
    let mut random = Random::new(plan.seed);
    let mut in_flight = 0;
    let wait = |until: Duration| std::thread::sleep(until.saturating_sub(start.elapsed()));
    // Before the engine's memory is looked at.
    for moment in [3, 6] {
        wait(plan.hundredths(moment));
        in_flight += bench.strike(Fault::EngineKilled, plan, start);
        memory.of(bench.gateway.pid());
    }
    wait(plan.hundredths(20));
    let mut order: Vec<Fault> = Vec::new();
    loop {
        let next = start.elapsed() + plan.hundredths(PAUSE_HUNDREDTHS);
        // The longest fault must be over, and the queue drained, before the last minute.
        if next > plan.hundredths(80) {
            break;
        }
        wait(next);
        if order.is_empty() {
            order = Fault::WHILE_IT_LIVES.to_vec();
        }
        let fault = order.swap_remove(random.below(order.len()));
        in_flight += bench.strike(fault, plan, start);
    }
    wait(plan.hundredths(100) - Duration::from_millis(500));
    memory.end();
    in_flight + bench.strike(Fault::EngineKilled, plan, start)
}

fn main() -> ExitCode {
    let plan = Plan::from_environment();
    head(&plan);
    let mut bench = Bench::start(plan.mode);
    let mut stand = Stand::new();
    let start = Instant::now();
    for load in loads(&plan) {
        stand.load(&bench.gateway, &load);
    }
    let memory = Memory::start(plan.seconds, start);
    memory.of(bench.gateway.pid());
    let in_flight = faults(&plan, &mut bench, &memory, start);
    let reports = stand.sent();
    println!("\nthe load ended after {:.0} s; the queue drains", start.elapsed().as_secs_f64());
    let sinks: [PathBuf; 2] = bench.ledgers();
    drain(&bench.gateway, Duration::from_secs(900));
    println!("drained after {:.0} s", start.elapsed().as_secs_f64());
    let balance = stand.balance(&bench.gateway, &sinks, &reports);
    for report in &reports {
        println!(
            "{}: {} accepted, {:.0} a second; {} refused for now, {} for good, {} unknown",
            report.load.mix,
            report.totals.accepted,
            report.mails_per_second,
            report.totals.refused_temporary,
            report.totals.refused_permanent,
            report.totals.unknown,
        );
        println!("   first refusal: {}; by code {:?}", report.first_refusal, report.replies);
    }
    println!("\n{memory}");
    println!("\n{balance}\ndeliveries in flight at the faults: {in_flight}");
    verdict(&balance, &memory, in_flight)
}

fn verdict(balance: &Balance, memory: &Memory, in_flight: usize) -> ExitCode {
    let account = &balance.account;
    let growth = memory.growth_percent();
    let rows = [
        ("lost is 0", account.lost_count == 0),
        (
            "there twice are at most the deliveries in flight",
            account.duplicated_count <= in_flight as u64,
        ),
        ("nothing is held and delivered", balance.held_and_delivered.is_empty()),
        ("mail of every kind: delivered, held", account.delivered > 0 && account.held > 0),
        ("memory grew by 5 % at most", growth.is_some_and(|percent| percent <= GROWTH_PERCENT)),
    ];
    println!();
    for (what, holds) in rows {
        println!("{} {what}", if holds { "yes" } else { "NO " });
    }
    if rows.iter().all(|(_, holds)| *holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
