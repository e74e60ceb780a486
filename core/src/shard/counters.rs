//! What the box counts: one array of atomics per shard, added up when somebody asks.
//!
//! A shard writes only its own array (own cache lines), so counting costs an uncontended add.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;

/// What is counted. Names for Prometheus and `sekisho status` are in [`Counter::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "Counter::meaning says what each is, for people and for Prometheus"
)]
pub enum Counter {
    Connections,
    ConnectionsRefused,
    ConnectionsShed,
    EarlyTalkers,
    TlsHandshakes,
    TlsFailures,
    SessionPanics,
    Reads,
    RecipientsAccepted,
    RecipientsRefused,
    MessagesReceived,
    OctetsReceived,
    MessagesDeferred,
    MessagesRefused,
    MessagesAccepted,
    RecipientsDelivered,
    RecipientsSpooled,
    RecipientsHeld,
    RecipientsRejected,
    RecipientsDropped,
    Virus,
    Spam,
    ScansOnWorker,
    ScansFailed,
    MemoryRefusals,
    GenerationsRefused,
    Released,
    /// RCPT of a stranger answered 451.
    Greylisted,
    /// A stranger came again and was let in.
    GreylistPassed,
    /// Seconds that those waited, together.
    GreylistSeconds,
    Sealed,
    Unsealed,
    NoticesSent,
    NoticesLeftOut,
}

impl Counter {
    /// All of them, in the order of the array.
    pub const ALL: [Self; 34] = [
        Self::Connections,
        Self::ConnectionsRefused,
        Self::ConnectionsShed,
        Self::EarlyTalkers,
        Self::TlsHandshakes,
        Self::TlsFailures,
        Self::SessionPanics,
        Self::Reads,
        Self::RecipientsAccepted,
        Self::RecipientsRefused,
        Self::MessagesReceived,
        Self::OctetsReceived,
        Self::MessagesDeferred,
        Self::MessagesRefused,
        Self::MessagesAccepted,
        Self::RecipientsDelivered,
        Self::RecipientsSpooled,
        Self::RecipientsHeld,
        Self::RecipientsRejected,
        Self::RecipientsDropped,
        Self::Virus,
        Self::Spam,
        Self::ScansOnWorker,
        Self::ScansFailed,
        Self::MemoryRefusals,
        Self::GenerationsRefused,
        Self::Released,
        Self::Greylisted,
        Self::GreylistPassed,
        Self::GreylistSeconds,
        Self::Sealed,
        Self::Unsealed,
        Self::NoticesSent,
        Self::NoticesLeftOut,
    ];

    /// Name as it stands in `status --json` and, after `sekisho_`, in Prometheus.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.texts().0
    }

    /// One sentence for people.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        self.texts().1
    }

    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::Connections => ("connections", "Connections admitted"),
            Self::ConnectionsRefused => ("connections_refused", "Connections refused by a limit"),
            Self::ConnectionsShed => ("connections_shed", "Connections refused in an overload"),
            Self::EarlyTalkers => ("early_talkers", "Clients that talked before the greeting"),
            Self::TlsHandshakes => ("tls_handshakes", "TLS handshakes completed"),
            Self::TlsFailures => ("tls_failures", "TLS handshakes that failed"),
            Self::SessionPanics => ("session_panics", "Sessions ended by a defect of ours"),
            Self::Reads => ("reads", "Reads of client octets"),
            Self::RecipientsAccepted => ("recipients_accepted", "RCPT answered 250"),
            Self::RecipientsRefused => ("recipients_refused", "RCPT answered 4yz or 5yz"),
            Self::MessagesReceived => ("messages_received", "Messages received completely"),
            Self::OctetsReceived => ("octets_received", "Octets of messages received"),
            Self::MessagesDeferred => ("messages_deferred", "Messages answered 4yz"),
            Self::MessagesRefused => ("messages_refused", "Messages answered 5yz"),
            Self::MessagesAccepted => ("messages_accepted", "Messages answered 250"),
            Self::RecipientsDelivered => ("recipients_delivered", "Recipients taken by a next hop"),
            Self::RecipientsSpooled => ("recipients_spooled", "Recipients put into the queue"),
            Self::RecipientsHeld => ("recipients_held", "Recipients held in quarantine"),
            Self::RecipientsRejected => ("recipients_rejected", "Recipients refused by policy"),
            Self::RecipientsDropped => ("recipients_dropped", "Recipients dropped by policy"),
            Self::Virus => ("class_virus", "Verdicts of class Virus"),
            Self::Spam => ("class_spam", "Verdicts of class Spam or Phish"),
            Self::ScansOnWorker => ("scans_on_worker", "Messages judged by an analysis worker"),
            Self::ScansFailed => ("scans_failed", "Messages that could not be judged now (451)"),
            Self::MemoryRefusals => {
                ("memory_refusals", "Messages refused for lack of memory (452)")
            }
            Self::GenerationsRefused => ("generations_refused", "Generations refused"),
            Self::Released => ("released", "Held items released"),
            Self::Greylisted => ("greylisted", "RCPT of strangers answered 451 by greylisting"),
            Self::GreylistPassed => ("greylist_passed", "Strangers who came again and were let in"),
            Self::GreylistSeconds => {
                ("greylist_delay_seconds", "Seconds that those had to wait, all together")
            }
            Self::Sealed => ("arc_sealed", "Copies of mails sealed (ARC)"),
            Self::Unsealed => ("arc_unsealed", "Copies that were to be sealed and went without"),
            Self::NoticesSent => ("notices_sent", "Notices put into the queue"),
            Self::NoticesLeftOut => {
                ("notices_left_out", "Notices not sent: too many, or none may go to that address")
            }
        }
    }
}

/// The counters of one shard.
#[derive(Debug)]
pub struct Counters {
    counts: CachePadded<[AtomicU64; Counter::ALL.len()]>,
}

impl Default for Counters {
    fn default() -> Self {
        Self { counts: CachePadded::new([const { AtomicU64::new(0) }; Counter::ALL.len()]) }
    }
}

impl Counters {
    /// Adds one.
    pub fn count(&self, what: Counter) {
        self.add(what, 1);
    }

    /// Adds `many`.
    pub fn add(&self, what: Counter, many: u64) {
        if let Some(count) = self.counts.get(what as usize) {
            count.fetch_add(many, Ordering::Relaxed);
        }
    }

    /// The count so far.
    #[must_use]
    pub fn read(&self, what: Counter) -> u64 {
        self.counts.get(what as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_its_own_place_and_name() {
        let counters = Counters::default();
        for (index, counter) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter as usize, index);
            counters.add(counter, index as u64);
        }
        let mut names: Vec<_> = Counter::ALL.iter().map(|counter| counter.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Counter::ALL.len());
        assert!(Counter::ALL.iter().all(|counter| counters.read(*counter) == *counter as u64));
    }
}
