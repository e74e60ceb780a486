//! Finds the knee: the highest rate of an open loop that a server still keeps up with.
//!
//! The rate doubles until a step fails, then the gap between the best and the worst is halved. A
//! step fails if less than 98 % of what was offered was accepted in the time, if p99 is over its
//! bound, or if mail is refused or unanswered. A step that fails while the generator's threads are
//! busy ends the ramp: it measured the generator. Bounds: [`RampOptions::steps`], and for each of
//! them its time and the time-out of the last mail.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::mix::Mix;
use crate::report::{RunReport, Stage, engine_cpu_ms_per_mail};
use crate::send::{self, Pace, SendOptions, Spread};

/// Of what was offered, so much must be accepted.
pub const ACCEPTED_MIN: f64 = 0.98;

/// A server may take so long for an answer, however short a step is.
const TIMEOUT_MIN: Duration = Duration::from_secs(10);

/// How the knee is looked for.
#[derive(Clone, Debug)]
pub struct RampOptions {
    /// What is sent; pace, time and number of mails are set for each step.
    pub send: SendOptions,
    /// First rate, mails a second.
    pub from_rate: f64,
    /// No rate is above this.
    pub rate_max: f64,
    /// Time of a step.
    pub step: Duration,
    /// Steps at most, doubling and halving together.
    pub steps: usize,
    /// p99 may not be above this; none: it may be anything.
    pub p99_ms_max: Option<f64>,
    /// How arrivals are spread.
    pub spread: Spread,
    /// The knee is known when the best and the worst rate are so close (0.05: within 5 %).
    pub precision: f64,
}

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Offered, mails a second.
    pub rate: f64,
    /// Accepted, mails a second.
    pub accepted_per_second: f64,
    /// Mails of the step.
    pub accepted: u64,
    /// Answered 4yz or 5yz.
    pub refused: u64,
    /// Without an answer.
    pub unknown: u64,
    /// Latency from the moment a mail was due.
    pub p50_ms: f64,
    /// The same of 99 in 100.
    pub p99_ms: f64,
    /// CPU of the generator for each mail.
    pub generator_cpu_ms: f64,
    /// CPU of the engine for each mail; none where nobody said which engine it is.
    #[serde(default)]
    pub engine_cpu_ms: Option<f64>,
    /// The same by stage.
    #[serde(default)]
    pub stages: Vec<Stage>,
    /// Why the server did not keep up; none: it did.
    pub failed: Option<String>,
    /// Why the step measured the generator; none: it did not.
    pub limited: Option<String>,
}

/// What a ramp came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RampReport {
    /// Highest rate that was kept up with; 0 if none was.
    pub knee: f64,
    /// Lowest rate that was not; none if all were.
    pub first_failed: Option<f64>,
    /// Why it ended.
    pub ended: String,
    /// It ended because the generator's threads had no time left in a step that failed.
    #[serde(default)]
    pub by_generator: bool,
    /// All steps in the order they were made.
    pub steps: Vec<Step>,
}

/// Goes up until the knee is known. `each` sees every step as it ends.
///
/// # Errors
/// Those of [`send::run`].
pub fn run(
    options: &RampOptions,
    mix: impl Fn() -> io::Result<Mix>,
    mut each: impl FnMut(&Step),
) -> io::Result<RampReport> {
    search(options, |number, rate| {
        let mut sending = options.send.clone();
        sending.pace = Pace::Open { per_second: rate, spread: options.spread };
        sending.seconds = Some(options.step);
        sending.mails = u64::MAX;
        // What waits for a session after the step is over tells nothing new.
        sending.drain = Duration::ZERO;
        // Nor does a mail that was not answered in the time of two steps; it bounds the ramp.
        sending.timeout = sending.timeout.min((options.step * 2).max(TIMEOUT_MIN));
        sending.seed = options.send.seed.wrapping_add(number);
        let run = send::run(sending, mix()?)?;
        let step = judge(rate, options, &run);
        each(&step);
        Ok((step, is_generator_busy(&run)))
    })
}

/// Makes steps by `measure` (number of the step and rate in; the step and whether the generator
/// was busy out) until the knee is known.
fn search(
    options: &RampOptions,
    mut measure: impl FnMut(u64, f64) -> io::Result<(Step, bool)>,
) -> io::Result<RampReport> {
    let mut report = RampReport::default();
    let mut rate = options.from_rate.min(options.rate_max);
    let steps = options.steps.max(1);
    for number in 0..steps as u64 {
        let (step, is_busy) = measure(number, rate)?;
        let has_failed = step.failed.is_some();
        if has_failed {
            let lowest = report.first_failed.map_or(rate, |before| before.min(rate));
            report.first_failed = Some(lowest);
        } else {
            report.knee = report.knee.max(rate);
        }
        report.steps.push(step);
        if has_failed && is_busy {
            report.ended = "the generator limited the last step".to_owned();
            report.by_generator = true;
            return Ok(report);
        }
        rate = match next_rate(&report, options) {
            Ok(rate) => rate,
            Err(ended) => {
                report.ended = ended;
                return Ok(report);
            }
        };
    }
    report.ended = format!("all {steps} steps are made");
    Ok(report)
}

/// The rate to try next, or why there is none.
fn next_rate(report: &RampReport, options: &RampOptions) -> Result<f64, String> {
    match report.first_failed {
        None if report.knee >= options.rate_max => {
            Err(format!("the highest rate, {}, was kept up with", options.rate_max))
        }
        None => Ok((report.knee * 2.0).min(options.rate_max)),
        Some(failed) if report.knee <= 0.0 => {
            if failed > 1.0 {
                Ok(failed / 2.0)
            } else {
                Err("one mail a second is too much".to_owned())
            }
        }
        Some(failed) if failed <= report.knee * (1.0 + options.precision) => {
            Err(format!("the knee is known within {:.0} %", options.precision * 100.0))
        }
        Some(failed) => Ok(f64::midpoint(report.knee, failed)),
    }
}

/// Whether the generator's threads had no time left. Sessions that are all busy do not count: they
/// are so whenever the server is too slow.
#[expect(clippy::cast_precision_loss, reason = "mails of a step")]
fn is_generator_busy(run: &RunReport) -> bool {
    let totals = &run.totals;
    let mails = totals.accepted + totals.refused_temporary + totals.refused_permanent;
    let cpu_seconds = run.generator.cpu_ms_per_mail * mails as f64 / 1000.0;
    cpu_seconds > send::BUSY_MAX * run.seconds * run.generator.threads as f64
}

#[expect(clippy::cast_precision_loss, reason = "mails of a step")]
fn judge(rate: f64, options: &RampOptions, run: &RunReport) -> Step {
    let totals = &run.totals;
    let offered: u64 = run.series.iter().map(|second| second.sent).sum();
    // The last mails are answered after the step: that is their latency and not a lower rate.
    let latency = run.latency_ms.p50 / 1000.0;
    let seconds = (run.seconds - latency).max(options.step.as_secs_f64());
    let accepted_per_second = totals.accepted as f64 / seconds;
    let offered_per_second = offered as f64 / options.step.as_secs_f64();
    let refused = totals.refused_temporary + totals.refused_permanent;
    let mut reasons = Vec::new();
    if accepted_per_second < ACCEPTED_MIN * offered_per_second {
        let part = accepted_per_second / offered_per_second * 100.0;
        reasons.push(format!("{part:.1} % accepted"));
    }
    if let Some(bound) = options.p99_ms_max.filter(|bound| run.latency_ms.p99 > *bound) {
        reasons.push(format!("p99 {:.1} ms is over {bound} ms", run.latency_ms.p99));
    }
    if refused > 0 {
        reasons.push(format!("{refused} refused: {}", run.first_refusal));
    }
    if totals.unknown > 0 {
        reasons.push(format!("{} without an answer", totals.unknown));
    }
    if totals.connect_failures > 0 {
        reasons.push(format!("{} not connected", totals.connect_failures));
    }
    Step {
        rate,
        accepted_per_second,
        accepted: totals.accepted,
        refused,
        unknown: totals.unknown,
        p50_ms: run.latency_ms.p50,
        p99_ms: run.latency_ms.p99,
        generator_cpu_ms: run.generator.cpu_ms_per_mail,
        engine_cpu_ms: engine_cpu_ms_per_mail(run),
        stages: run.stages.clone(),
        failed: (!reasons.is_empty()).then(|| reasons.join("; ")),
        limited: run.generator.limited.clone(),
    }
}

#[cfg(test)]
mod tests;
