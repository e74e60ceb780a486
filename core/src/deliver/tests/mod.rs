//! Delivery on scripted hops with a manual clock.

mod clock;
mod disk;
mod memory;
mod queue;
mod simulation;
mod table;
mod vacancies;
mod ways;
mod wire;
mod world;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use self::memory::Memory;
use self::world::{Hop, START, Sim};
use super::destinations::Destinations;
use super::{Accepted, Copy, Deliverer, Needs, Settings, TlsRule};
use crate::clock::UnixMillis;
use crate::content::Content;
use crate::envelope::{Client, Envelope, MailId, Mailbox, Notify, Recipient};
use crate::spool::held::{HeldItem, HeldMail};

/// The content that most tests send.
pub(super) const CONTENT: &str = "Subject: hello\r\n\r\n.dot\r\nbody\r\n";

/// A shard with scripted hops for `a.example`, `b.example` ... (hosts `hop.a.example` ...), and one for
/// the reports (`client.example`).
pub(super) struct Bench {
    pub sim: Sim,
    pub store: Memory,
    pub deliverer: Deliverer<Sim, Memory>,
    pub hops: HashMap<&'static str, Rc<Hop>>,
    pub settings: Settings,
}

pub(super) fn bench() -> Bench {
    bench_with(Settings { host_name: "mx.gateway.example".into(), ..Settings::default() })
}

pub(super) fn bench_with(settings: Settings) -> Bench {
    let sim = Sim::new(7);
    let hops = ["a.example", "b.example", "c.example"]
        .map(|domain| (domain, sim.hop(&format!("hop.{domain}"))));
    let mut hops: HashMap<_, _> = hops.into();
    hops.insert("client.example", sim.hop("client.example"));
    let store = Memory::default();
    let deliverer = deliverer(&sim, &store, &settings);
    Bench { sim, store, deliverer, hops, settings }
}

pub(super) fn deliverer<S: super::store::Store>(
    sim: &Sim,
    store: &S,
    settings: &Settings,
) -> Deliverer<Sim, S> {
    let destinations =
        Destinations::new(settings.connections_per_destination_max, settings.back_off);
    let routes: super::Routes = Rc::new(|domain| {
        let known = ["a.example", "b.example", "c.example"].contains(&domain);
        let host: Box<str> = format!("hop.{domain}").into();
        let hop = super::Hop { host, port: 25, preference: 10, tls: TlsRule::Opportunistic };
        known.then(|| Arc::from([hop]))
    });
    Deliverer::new(sim.clone(), store.clone(), settings.clone(), destinations, routes)
}

pub(super) fn mail_id(n: u8) -> MailId {
    MailId::from_parts(UnixMillis(START), [n; 10])
}

/// A message from `from` (empty: `<>`) to mailboxes.
pub(super) fn message(n: u8, from: &str, to: &[&str]) -> Accepted {
    let mailbox = |text: &str| {
        let (local, domain) = text.rsplit_once('@').unwrap();
        Mailbox::new(local, domain)
    };
    let recipients = to
        .iter()
        .map(|to| Recipient {
            original: mailbox(to),
            resolved: mailbox(to),
            notify: Notify::default(),
            orcpt: None,
        })
        .collect();
    Accepted {
        mail: mail_id(n),
        received_at: UnixMillis(START + 1_000),
        client: Client {
            address: "198.51.100.1:999".parse().unwrap(),
            local: "192.0.2.250:25".parse().unwrap(),
            name: None,
            helo: "client.example".into(),
            esmtp: true,
            tls: None,
        },
        envelope: Envelope {
            reverse_path: (!from.is_empty()).then(|| mailbox(from)),
            recipients,
            ..Envelope::default()
        },
    }
}

/// The copy for these recipients of a message.
pub(super) fn copy(message: &Accepted, recipients: &[u16], may_report: bool) -> Copy {
    let all = &message.envelope.recipients;
    let content = Content::from_octets(CONTENT.as_bytes());
    let items = recipients.iter().map(|index| HeldItem {
        index: *index,
        recipient: all[usize::from(*index)].clone(),
        hidden: false,
        category: "spam".into(),
        reason: "spam".into(),
        held_by: "".into(),
        main_class: "Spam".into(),
        sub_class: "".into(),
        extra_classes: Vec::new(),
        likelihood: "".into(),
        points: 0,
        list_entry: "".into(),
        rules: Vec::new(),
        action: "deliver".into(),
        reply: None,
    });
    Copy {
        recipients: recipients.to_vec(),
        domain: (*all[usize::from(recipients[0])].resolved.domain).into(),
        needs: Needs::of(b"Subject: hello\r\n", &content, message.envelope.smtputf8),
        may_report,
        fallback: Box::new(HeldMail {
            authors: Vec::new(),
            mail: message.mail,
            direction: crate::spool::held::Direction::Inbound,
            received_at: message.received_at,
            held_at: message.received_at,
            days: 30,
            client: message.client.clone(),
            envelope: Envelope { recipients: Vec::new(), ..message.envelope.clone() },
            author: "".into(),
            subject: "hello".into(),
            bytes: content.bytes(),
            received_bytes: 0,
            recipients_count: 0,
            message_id: "".into(),
            our_message_id: "".into(),
            attachments: Vec::new(),
            auth: Vec::new(),
            auth_evidence: Vec::new(),
            items: items.collect(),
        }),
        content,
    }
}

impl Bench {
    /// Runs the queue for that many seconds.
    pub(super) fn run_queue(&self, seconds: u64) {
        let limit = self.sim.millis() + seconds * 1_000;
        let done = self.sim.run_until(limit, self.deliverer.run_queue());
        assert!(done.is_none(), "the queue runs until it is stopped");
    }
}
