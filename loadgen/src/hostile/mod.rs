//! An attack beside a paying load, and what the paying load felt.
//!
//! Three phases: the paying load alone, the same beside the attack, and, if asked for, alone again. The paying load is
//! an open loop (`send`), so what a stalled server did to it is in its figures. The attack (`attack.rs`) is one more
//! thread with one epoll and an attacker as a state machine for each session (`attacker.rs`): early talkers, slow
//! lorises, harvesters of recipients, bad commands, huge lines, half-open sessions, floods (`profile.rs`), from /24s
//! that are not the paying load's (`networks.rs`).
//!
//! **Kept** is the part of the paying mails offered in their phase that was accepted within it, beside the attack,
//! divided by the same alone; so a Poisson draw that offered more does not count as kept. Where no rate is given, the
//! peak is looked for first (`ramp`), and half of it is offered.
//!
//! What it does **not** do: half-open in the sense of a SYN without an ACK (that needs raw sockets, and meets the
//! kernel, not the server); TLS attacks. Bounds: those of `send` and of `attack.rs`; the phases end by the clock, and
//! no paying mail is begun `DRAIN` after its phase.

mod attack;
mod attacker;
mod networks;
mod profile;
mod tally;
#[cfg(test)]
mod tests;

pub use attack::{Attack, AttackOptions};
pub use attacker::Script;
pub use networks::{HOSTS_MAX, Networks, Scope};
pub use profile::{Profile, Shares};

use std::io;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::mix::Mix;
use crate::ramp::{self, RampOptions, Step};
use crate::report::RunReport;
use crate::report::hostile::{AttackReport, HostileReport, Phase};
use crate::send::{self, BUSY_MAX, Pace, SendOptions, Spread};

/// Paying mails that are late for a session may begin so long after their phase.
const DRAIN: Duration = Duration::from_secs(10);
/// Seeds of the ramp are so far from those of the phases: envelope ids are never the same.
const RAMP_SEEDS: u64 = 1 << 40;
/// An attack that had fewer new sessions than this part of what it was to have is said to be limited.
const BEGUN_MIN: f64 = 0.9;

/// How much the paying load offers.
#[derive(Clone, Debug)]
pub enum Offer {
    /// So many mails a second.
    Rate(f64),
    /// This part of a peak that is known.
    OfPeak {
        /// Mails a second.
        peak: f64,
        /// 0.5: half of it.
        part: f64,
    },
    /// This part of a peak that is looked for.
    OfRamp {
        /// How; `send` in it is not used.
        ramp: Box<RampOptions>,
        /// 0.5: half of it.
        part: f64,
    },
}

/// What is run.
#[derive(Clone, Debug)]
pub struct HostileOptions {
    /// The paying load; pace, time, seed and drain are set for each phase.
    pub send: SendOptions,
    /// How much it offers.
    pub offer: Offer,
    /// How its mails are spread.
    pub spread: Spread,
    /// Time of a phase, in whole seconds: what was accepted in time is counted by them.
    pub phase: Duration,
    /// The attack begins so long before the paying load beside it.
    pub lead: Duration,
    /// Whether the paying load runs alone again afterwards.
    pub recovery: Recovery,
    /// The attack has so many times the sessions of the paying load, at a time and in a second.
    pub times: f64,
    /// New attackers in a second, at most.
    pub per_second_max: f64,
    /// Parts of the profiles.
    pub shares: Shares,
    /// Where attackers come from.
    pub networks: Networks,
    /// What they say.
    pub script: Script,
    /// So much of the paying load must be kept.
    pub kept_min: f64,
}

/// Whether there is a third phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Two phases.
    None,
    /// The paying load alone again, as long as before.
    Measured,
}

/// What is told while it runs.
#[derive(Clone, Copy, Debug)]
pub enum News<'n> {
    /// A step of the ramp ended.
    Ramp(&'n Step),
    /// A phase begins.
    Phase(&'n str),
}

/// Runs all phases.
///
/// # Errors
/// An option out of its bounds (`InvalidInput`), a server that keeps up with no rate, and those of [`send::run`].
pub fn run(
    options: &HostileOptions,
    mix: impl Fn() -> io::Result<Mix>,
    mut tell: impl FnMut(News<'_>),
) -> io::Result<HostileReport> {
    check(options)?;
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (rate, peak) = rate(options, &mix, &mut tell)?;
    let start = Instant::now();
    let mut phase = |name: &str, number: u64| {
        tell(News::Phase(name));
        let from = start.elapsed();
        let run = send::run(paying(options, rate, number), mix()?)?;
        Ok::<_, io::Error>(to_phase(name, from, options.phase, run))
    };
    let mut phases = vec![phase("alone", 0)?];
    let attack_from = start.elapsed();
    let attack = Attack::start(attack(options, rate))?;
    thread::sleep(options.lead);
    let attacked = phase("attacked", 1);
    let mut attack = attack.stop()?;
    phases.push(attacked?);
    if options.recovery == Recovery::Measured {
        phases.push(phase("after", 2)?);
    }
    attack.lead_seconds = options.lead.as_secs_f64();
    for second in &mut attack.series {
        second.at += attack_from.as_secs_f64();
    }
    let share = |index: usize| phases.get(index).map_or(0.0, Phase::share);
    let kept = if share(0) > 0.0 { share(1) / share(0) } else { 0.0 };
    Ok(HostileReport {
        title: format!(
            "hostile: {} attackers beside {rate:.1} paying mails/s",
            attack.sessions_max
        ),
        started_unix: started.as_secs(),
        command: std::env::args().collect(),
        machine: send::machine(),
        peak,
        rate,
        kept,
        kept_min: options.kept_min,
        limited: limited(&phases, &attack),
        phases,
        attack,
        conservation: None,
    })
}

fn check(options: &HostileOptions) -> io::Result<()> {
    let invalid = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    if options.phase < Duration::from_secs(1) || options.phase.subsec_nanos() != 0 {
        return invalid(format!("a phase of {:?}: whole seconds, 1 at least", options.phase));
    }
    let day = Duration::from_secs(tally::SECONDS_MAX as u64);
    if options.phase.saturating_add(options.lead) > day {
        return invalid(format!("an attack of more than {} s", day.as_secs()));
    }
    if !(options.times.is_finite() && options.times > 0.0) {
        return invalid(format!("{} times as many attackers is none", options.times));
    }
    Ok(())
}

/// What is offered, and the peak that it was taken from.
fn rate(
    options: &HostileOptions,
    mix: &impl Fn() -> io::Result<Mix>,
    tell: &mut impl FnMut(News<'_>),
) -> io::Result<(f64, Option<f64>)> {
    let (ramp, part) = match &options.offer {
        Offer::Rate(rate) => return Ok((*rate, None)),
        Offer::OfPeak { peak, part } => return Ok((peak * part, Some(*peak))),
        Offer::OfRamp { ramp, part } => (ramp, part),
    };
    let mut ramp = RampOptions::clone(ramp);
    ramp.send = SendOptions {
        seed: options.send.seed.wrapping_add(RAMP_SEEDS),
        // A ramp goes on until mails are refused; they are nobody's paying load.
        ledger: None,
        progress: send::Progress::Off,
        ..options.send.clone()
    };
    let found = ramp::run(&ramp, mix, |step| tell(News::Ramp(step)))?;
    if found.knee <= 0.0 {
        let last = found.steps.last().and_then(|step| step.failed.clone()).unwrap_or_default();
        return Err(io::Error::other(format!("no rate is kept up with alone: {last}")));
    }
    Ok((found.knee * part, Some(found.knee)))
}

/// The paying load of phase `number`.
fn paying(options: &HostileOptions, rate: f64, number: u64) -> SendOptions {
    SendOptions {
        pace: Pace::Open { per_second: rate, spread: options.spread },
        mails: u64::MAX,
        seconds: Some(options.phase),
        drain: DRAIN,
        // Ledgers are shared by the phases, so each needs ids of its own.
        seed: options.send.seed.wrapping_add(number),
        ..options.send.clone()
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of sessions, above 0"
)]
fn attack(options: &HostileOptions, rate: f64) -> AttackOptions {
    let sessions = (options.send.sessions as f64 * options.times).ceil() as usize;
    let of_paying = rate / options.send.mails_per_connection.max(1) as f64;
    AttackOptions {
        server: options.send.server,
        sessions: sessions.max(1),
        per_second: (of_paying * options.times).min(options.per_second_max),
        shares: options.shares.clone(),
        networks: options.networks.clone(),
        script: options.script.clone(),
        seed: options.send.seed,
        seconds: options.lead + options.phase,
    }
}

fn to_phase(name: &str, from: Duration, phase: Duration, run: RunReport) -> Phase {
    let seconds = usize::try_from(phase.as_secs()).unwrap_or(usize::MAX);
    let accepted = run.series.iter().take(seconds).map(|second| second.accepted).sum();
    Phase {
        name: name.to_owned(),
        from_seconds: from.as_secs_f64(),
        seconds: phase.as_secs_f64(),
        offered: run.series.iter().map(|second| second.sent).sum(),
        accepted_in_time: accepted,
        run,
    }
}

/// Why this run says less about the server than about the generator.
#[expect(clippy::cast_precision_loss, reason = "connections of a day")]
fn limited(phases: &[Phase], attack: &AttackReport) -> Option<String> {
    let mut reasons = Vec::new();
    for phase in phases {
        if let Some(reason) = &phase.run.generator.limited {
            reasons.push(format!("{}: {reason}", phase.name));
        }
    }
    if attack.busy > BUSY_MAX {
        reasons
            .push(format!("the attack's thread was busy {:.0} % of the time", attack.busy * 100.0));
    }
    let planned = (attack.begun + attack.late).max(1);
    if (attack.begun as f64) < BEGUN_MIN * planned as f64 {
        reasons.push(format!("{} of {planned} attackers were not begun in time", attack.late));
    }
    let failed: u64 = attack.profiles.iter().map(|profile| profile.failed_here).sum();
    if failed > 0 {
        reasons.push(format!("{failed} attackers found no port or descriptor on this machine"));
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}
