//! Scan engines of others, asked about a mail beside our own scan: clamd (`INSTREAM`) and ICAP servers (RFC 3507).
//!
//! They are asked with the whole message, while our own scan goes on; what they find is a finding like any other, with the
//! name of the malware as its rule and `engine:NAME` in its detail. What becomes of a mail that one of them does not answer
//! about is `on_error` of its table: 451, nothing, or a scan exception.
//!
//! A scanner is somebody else's program: it may hang, lie, or send for ever. Each has threads of its own
//! (`connections_max`), which block so that no shard does (`lane`); everything between question and answer has one
//! deadline (`wire`); what it sends is bounded (`clamd::REPLY_BYTES_MAX`, `icap::HEAD_BYTES_MAX`, the message's own
//! length and a little more); after `lane::FAILURES_MAX` failures in a row it is left alone for some seconds, and then
//! asked with one mail. What does not fit into its queue is answered at once. A mail that waits for a scanner waits in
//! its session, as for an analysis worker. Memory: a chunk of 64 KiB for each thread.

mod clamd;
mod error;
mod icap;
mod lane;
mod report;
#[cfg(test)]
mod tests;
mod wire;

use std::io;

use crate::config::Scanner;
use crate::content::Content;

pub use error::ScannerError;
pub use lane::{Figures, State};
pub use report::{Answer, Report, findings};

use lane::{Asked, Lane};

/// Any reply of a scanner is understood or refused, without a panic. 1 if it is understood.
pub fn fuzz_replies(data: &[u8]) -> usize {
    let understood = clamd::understood(data);
    if let Ok(Answer::Found(name)) = &understood {
        assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() || c == ' '));
    }
    usize::from(icap::fuzz_head(data) || understood.is_ok())
}

/// All scanners of the box. Cheap to clone; the threads end when the last clone is dropped.
#[derive(Clone, Debug, Default)]
pub struct Engines {
    lanes: Vec<Lane>,
}

impl Engines {
    /// Starts the threads of each scanner; none is connected to yet.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(scanners: &[Scanner]) -> io::Result<Self> {
        let lanes = scanners.iter().map(Lane::start).collect::<io::Result<_>>()?;
        Ok(Self { lanes })
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Asks all of them, and goes on.
    #[must_use]
    pub fn begin(&self, content: &Content) -> Pending {
        Pending(self.lanes.iter().map(|lane| lane.ask(content)).collect())
    }

    /// What each did so far.
    #[must_use]
    pub fn figures(&self) -> Vec<Figures> {
        self.lanes.iter().map(Lane::figures).collect()
    }
}

/// The scanners that look at one mail.
#[derive(Debug, Default)]
pub struct Pending(Vec<Asked>);

impl Pending {
    /// What they say, in the order of the configuration. Ends at the latest a little after the longest `timeout_ms`: a
    /// request that waited too long for a thread is answered by the first one that is free.
    pub async fn answer(self) -> Vec<Report> {
        let mut reports = Vec::with_capacity(self.0.len());
        for asked in self.0 {
            reports.push(asked.answer().await);
        }
        reports
    }
}
