//! A load through a gateway, and the proof by ids that every mail of it is somewhere.
//!
//! The sender's ledger says what the client was told of each mail, the sinks' ledgers what arrived, the
//! quarantine what is held, the mail log what a rule dropped. A recipient is `u-<id>@<domain>`, where
//! `<id>` is the envelope id, so that each of these names the mail.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use sekisho_loadgen::conservation::{self, Elsewhere, SentLedger};
use sekisho_loadgen::mix::Mix;
use sekisho_loadgen::report::{Conservation, RunReport};
use sekisho_loadgen::send::{self, Encryption, Pace, SendOptions, Spread};
use serde_json::Value;
use tempfile::TempDir;

use crate::gateway::{DOMAIN, Gateway};
use crate::sink_process::lines;
use crate::wait::wait_longer;

/// How long anything may take on a machine whose cores belong to others: not a measure, a bound.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// More rows than any test makes.
const ROWS_MAX: &str = "10000000";

/// A load in an open loop: it goes on by the clock, whatever the gateway does.
#[derive(Clone, Debug)]
pub struct Load {
    /// Name of the mix.
    pub mix: &'static str,
    /// Mails in all.
    pub mails: u64,
    /// The load ends after so long, if it did not before.
    pub seconds: Option<u64>,
    /// Mails a second.
    pub per_second: f64,
    /// Sessions at most.
    pub sessions: usize,
    /// STARTTLS or not.
    pub encryption: Encryption,
    /// Domains of the recipients, one after the other.
    pub domains: Vec<String>,
    /// Seed of everything; loads of one account need seeds of their own.
    pub seed: u64,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            mix: "sizes",
            mails: 360,
            seconds: None,
            per_second: 120.0,
            sessions: 8,
            encryption: Encryption::None,
            domains: vec![DOMAIN.to_owned()],
            seed: 1,
        }
    }
}

/// Everything that was sent through one gateway.
#[derive(Debug)]
pub struct Stand {
    dir: TempDir,
    running: Vec<JoinHandle<RunReport>>,
    ledgers: Vec<PathBuf>,
}

impl Default for Stand {
    fn default() -> Self {
        Self::new()
    }
}

impl Stand {
    /// Nothing was sent yet.
    ///
    /// # Panics
    /// There is no room for a directory.
    #[must_use]
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory for ledgers");
        Self { dir, running: Vec::new(), ledgers: Vec::new() }
    }

    /// Starts a load; returns when its first mail was answered.
    ///
    /// # Panics
    /// The mix cannot be made, or no mail is answered.
    pub fn load(&mut self, gateway: &Gateway, load: &Load) {
        let ledger = self.dir.path().join(format!("sent-{}", self.ledgers.len()));
        let to = |domain: &String| format!("u-{:x}-{{n}}@{domain}", load.seed);
        let options = SendOptions {
            server: gateway.smtp(),
            sessions: load.sessions,
            pace: Pace::Open { per_second: load.per_second, spread: Spread::Even },
            mails: load.mails,
            seconds: load.seconds.map(Duration::from_secs),
            drain: Duration::from_secs(5),
            mails_per_connection: 7,
            to: load.domains.iter().map(to).collect(),
            encryption: load.encryption,
            seed: load.seed,
            timeout: Duration::from_secs(90),
            ledger: Some(ledger.clone()),
            mix: load.mix.to_owned(),
            ..SendOptions::default()
        };
        let mix = Mix::named(load.mix, load.seed).expect("a mix");
        let (begun, begins) = mpsc::channel();
        self.running.push(std::thread::spawn(move || {
            let _ = begun.send(());
            send::run(options, mix).expect("a load")
        }));
        begins.recv().expect("a thread");
        self.ledgers.push(ledger);
        self.answered(1);
    }

    /// Waits until so many mails of the last load have an answer: then the load is in full swing.
    ///
    /// # Panics
    /// They have none for a long time.
    pub fn answered(&self, mails: usize) {
        let ledger = self.ledgers.last().expect("a load");
        wait_longer("mails are answered", PATIENCE, || (lines(ledger) >= mails).then_some(()));
    }

    /// What the client was told of each mail so far, by id.
    #[must_use]
    pub fn outcomes(&self) -> BTreeMap<String, String> {
        self.ledgers.iter().flat_map(|ledger| outcomes(ledger)).collect()
    }

    /// Whether a load still sends.
    #[must_use]
    pub fn is_sending(&self) -> bool {
        self.running.iter().any(|load| !load.is_finished())
    }

    /// Waits for the end of all loads.
    ///
    /// # Panics
    /// One of them failed.
    pub fn sent(&mut self) -> Vec<RunReport> {
        self.running.drain(..).map(|load| load.join().expect("a load ends")).collect()
    }

    /// The end of a test: all loads through, everything repaired, the queue empty; then the account.
    ///
    /// # Panics
    /// The queue does not drain, or something cannot be read.
    pub fn settle(&mut self, gateway: &Gateway, sinks: &[PathBuf]) -> Balance {
        let reports = self.sent();
        drain(gateway, PATIENCE);
        self.balance(gateway, sinks, &reports)
    }

    /// The account of all loads that were sent, of which these are the reports.
    ///
    /// # Panics
    /// Something cannot be read.
    #[must_use]
    pub fn balance(&self, gateway: &Gateway, sinks: &[PathBuf], reports: &[RunReport]) -> Balance {
        let sent_path = self.dir.path().join("sent");
        let received_path = self.dir.path().join("received");
        join(&self.ledgers, &sent_path);
        join(sinks, &received_path);
        let held = held(gateway);
        let dropped: BTreeSet<String> = gateway
            .sekisho_json(&["log", "search", "status=dropped", "--rows-max", ROWS_MAX])
            .iter()
            .filter_map(recipient_id)
            .collect();
        let elsewhere = Elsewhere {
            held: 0,
            held_ids: held.iter().cloned().collect(),
            dropped_ids: dropped.iter().cloned().collect(),
        };
        let ledger = SentLedger::read(&sent_path).expect("the sender's ledger");
        let account = ledger.account(&received_path, &elsewhere).expect("the sinks' ledger");
        let told = outcomes(&sent_path);
        let arrived = arrived(&received_path);
        let there = |id: &String| arrived.contains(id) || held.contains(id);
        let refused_and_there = told
            .iter()
            .filter(|(id, outcome)| outcome.starts_with(['4', '5']) && there(id))
            .map(|(id, _)| id.clone())
            .collect();
        let held_and_delivered = held.intersection(&arrived).cloned().collect();
        let accepted = reports.iter().map(|report| report.totals.accepted).sum();
        let first_refusals = reports.iter().map(|report| report.first_refusal.clone()).collect();
        Balance { account, accepted, refused_and_there, held_and_delivered, first_refusals }
    }
}

/// Where everything is.
#[derive(Debug)]
pub struct Balance {
    /// The equation.
    pub account: Conservation,
    /// Mails that were answered 250.
    pub accepted: u64,
    /// Ids refused to the client, and delivered or held all the same: the client sends them again.
    pub refused_and_there: Vec<String>,
    /// Ids of one recipient each that are held and were delivered too.
    pub held_and_delivered: Vec<String>,
    /// Of each load.
    pub first_refusals: Vec<String>,
}

impl Balance {
    /// Nothing is lost, and at most so many mails are there twice: those whose delivery was in flight at a fault.
    /// Prints the equation; a test's log shows it.
    ///
    /// # Panics
    /// It is not so: with the ids.
    pub fn holds(&self, story: &str, in_flight: usize) {
        crate::say(&format!("{story}: {self}; in flight at the faults: {in_flight}"));
        assert!(self.accepted > 0, "{story}: nothing got through: {self:?}");
        assert_eq!(self.account.lost_count, 0, "{story}: lost: {self}");
        let duplicated = usize::try_from(self.account.duplicated_count).unwrap_or(usize::MAX);
        assert!(duplicated <= in_flight, "{story}: {in_flight} in flight: {self}");
        assert_eq!(self.held_and_delivered, Vec::<String>::new(), "{story}: {self}");
    }

    /// The same where no delivery was cut off: nothing is there twice, and what was refused is nowhere.
    ///
    /// # Panics
    /// It is not so.
    pub fn holds_exactly(&self, story: &str) {
        self.holds(story, 0);
        assert_eq!(self.refused_and_there, Vec::<String>::new(), "{story}: {self}");
        assert_eq!(self.account.unknown, 0, "{story}: every mail has an answer: {self}");
    }
}

impl std::fmt::Display for Balance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", conservation::words(&self.account))?;
        if !self.refused_and_there.is_empty() {
            write!(f, "\nrefused and there: {}", self.refused_and_there.join(" "))?;
        }
        if self.account.refused > 0 {
            write!(f, "; first refusals: {:?}", self.first_refusals)?;
        }
        Ok(())
    }
}

/// Every hop is up again: the queue empties.
///
/// # Panics
/// It does not.
pub fn drain(gateway: &Gateway, limit: Duration) {
    wait_longer("the queue empties", limit, || {
        let waiting = gateway.queued();
        if waiting > 0 {
            let _ = gateway.sekisho(&["queue", "flush"]);
        }
        (waiting == 0).then_some(())
    });
}

/// Ids in quarantine.
///
/// # Panics
/// It cannot be read.
#[must_use]
pub fn held(gateway: &Gateway) -> BTreeSet<String> {
    let items = gateway.sekisho_json(&["quarantine", "list", "--rows-max", ROWS_MAX]);
    items.iter().filter_map(recipient_id).collect()
}

/// The id in the recipient's local-part, `u-<id>@...`.
fn recipient_id(row: &Value) -> Option<String> {
    let local = row.get("to")?.as_str()?.rsplit_once('@')?.0;
    Some(local.strip_prefix("u-")?.to_owned())
}

fn outcomes(ledger: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(ledger).unwrap_or_default();
    let line = |line: &str| {
        let mut fields = line.split('\t');
        Some((fields.next()?.to_owned(), fields.nth(1)?.to_owned()))
    };
    // Of an overload most were never begun.
    let begun = text.lines().filter(|line| !line.ends_with("\tnot-sent"));
    begun.filter_map(line).collect()
}

fn arrived(ledger: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(ledger).expect("the sinks' ledger");
    text.lines().filter_map(|line| line.split('\t').next()).map(str::to_owned).collect()
}

fn join(parts: &[PathBuf], whole: &Path) {
    let mut text = String::new();
    for part in parts {
        let _ = write!(text, "{}", fs::read_to_string(part).unwrap_or_default());
    }
    fs::write(whole, text).expect("a ledger of all");
}
