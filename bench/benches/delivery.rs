//! Delivery of one mail through to a next hop, from finished copy to answer: route, idle connection out of the pool,
//! SMTP client, octets over glommio's streams on loopback, fate, and the answer by the rule of 250. The next hop is
//! the load generator's sink, on a thread of its own; what it takes is in the figure.
//!
//! Nothing is spooled or held, so the real stores behind it are only opened.

#![allow(clippy::unwrap_used, reason = "a program that measures")]

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_lite::future::zip;
use glommio::{LocalExecutorBuilder, Placement};
use sekisho_core::clock::{MonoMillis, Now, UnixMillis};
use sekisho_core::content::Content;
use sekisho_core::deliver::destinations::Destinations;
use sekisho_core::deliver::live::{HopTls, Kept, Live, LiveDeliverer};
use sekisho_core::deliver::{
    Accepted, Copy, Deliverer, Disposition, Hop, Needs, Others, Settings, TlsRule,
};
use sekisho_core::envelope::{Client, Envelope, MailId, Mailbox, Notify, Recipient};
use sekisho_core::maillog::MailLog;
use sekisho_core::quarantine::{Direction, HeldMail, Quarantine};
use sekisho_core::resolve::{DnsClient, DnsSettings, Resolver, system_lookup};
use sekisho_core::socket::Sockets;
use sekisho_core::spool::SpoolStore;
use sekisho_core::spool::budget::Budget;
use sekisho_core::spool::disk::GlommioDisk;
use sekisho_core::spool::log::LogOptions;
use sekisho_loadgen::sink::{Sink, SinkOptions};

const MAIL_BYTES: usize = 16 * 1024;
const START: UnixMillis = UnixMillis(1_700_000_000_000);

async fn kept(dir: &Path) -> Kept<GlommioDisk> {
    let options = |kind: &'static str| {
        LogOptions::new(dir.join(kind), 4, Arc::new(Budget::new(kind, u64::MAX, 0)))
    };
    Kept {
        spool: SpoolStore::open(GlommioDisk, options("spool"), START).await.unwrap(),
        quarantine: Quarantine::open(GlommioDisk, 0, options("quarantine"), START).await.unwrap(),
        log: MailLog::open(GlommioDisk, options("maillog"), 90, START).await.unwrap(),
        clock: Now::read,
    }
}

fn deliverer(kept: Kept<GlommioDisk>, port: u16) -> LiveDeliverer<GlommioDisk> {
    let clock: fn() -> MonoMillis = || Now::read().mono;
    let dns = DnsClient::new(DnsSettings::default(), clock);
    let resolver = Resolver::start(1, &system_lookup(), &dns).unwrap().for_shard();
    let tls = HopTls::new(None).unwrap();
    let world = Live::new(Now::read, Sockets::Streams, resolver, &tls, 4);
    // Connections end by their number of mails only now and then, as in service.
    let settings = Settings::default();
    let destinations =
        Destinations::new(settings.connections_per_destination_max, settings.back_off);
    let hop = Hop { host: "127.0.0.1".into(), port, preference: 10, tls: TlsRule::Never };
    let hops: Arc<[Hop]> = Arc::from([hop]);
    Deliverer::new(world, kept, settings, destinations, Rc::new(move |_| Some(Arc::clone(&hops))))
}

fn mail() -> (Accepted, Copy) {
    let to = Mailbox::new("user", "example.com");
    let recipient =
        Recipient { original: to.clone(), resolved: to, notify: Notify::default(), orcpt: None };
    let message = Accepted {
        mail: MailId::from_parts(START, [4; 10]),
        received_at: START,
        client: Client {
            address: "127.0.0.1:999".parse().unwrap(),
            local: "127.0.0.1:25".parse().unwrap(),
            name: None,
            helo: "client.example".into(),
            esmtp: true,
            tls: None,
        },
        envelope: Envelope {
            reverse_path: Some(Mailbox::new("sender", "client.example")),
            recipients: vec![recipient],
            ..Envelope::default()
        },
    };
    let header = b"From: sender@client.example\r\nSubject: bench\r\n\r\n";
    let mut octets = header.to_vec();
    while octets.len() < MAIL_BYTES {
        octets.extend_from_slice(b"A line of a mail, as long as most of them are in practice.\r\n");
    }
    let content = Content::from_octets(octets);
    let copy = Copy {
        recipients: vec![0],
        domain: "example.com".into(),
        needs: Needs::of(header, &content, false),
        may_report: true,
        fallback: Box::new(HeldMail {
            authors: Vec::new(),
            mail: message.mail,
            direction: Direction::Inbound,
            received_at: START,
            held_at: START,
            days: 30,
            client: message.client.clone(),
            envelope: Envelope { recipients: Vec::new(), ..message.envelope.clone() },
            author: "".into(),
            subject: "bench".into(),
            bytes: content.bytes(),
            received_bytes: content.bytes(),
            recipients_count: 1,
            message_id: "".into(),
            our_message_id: "".into(),
            attachments: Vec::new(),
            auth: Vec::new(),
            auth_evidence: Vec::new(),
            items: Vec::new(),
        }),
        content,
    };
    (message, copy)
}

async fn settle(deliverer: &LiveDeliverer<GlommioDisk>, message: &Accepted, copy: &[Copy]) {
    let settled = deliverer.settle(message, copy, Others::None).await;
    let delivered = settled.outcomes.iter().all(|one| one.disposition == Disposition::Delivered);
    assert!(delivered, "the sink takes all: {settled:?}");
}

fn delivery(criterion: &mut Criterion) {
    let sink = Sink::start(SinkOptions::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let executor = LocalExecutorBuilder::new(Placement::Unbound)
        .io_memory(1 << 20)
        .ring_depth(64)
        .make()
        .unwrap();
    let deliverer =
        executor.run(async { deliverer(kept(dir.path()).await, sink.address().port()) });
    let (message, copy) = mail();
    let copies = [copy];
    let mut group = criterion.benchmark_group("delivery");
    group.throughput(Throughput::Elements(1));
    group.bench_function("through_16_kib", |bench| {
        bench.iter(|| executor.run(settle(&deliverer, &message, &copies)));
    });
    group.throughput(Throughput::Elements(4));
    group.bench_function("through_16_kib_4_at_a_time", |bench| {
        let one = || settle(&deliverer, &message, &copies);
        bench.iter(|| executor.run(zip(zip(one(), one()), zip(one(), one()))));
    });
    group.finish();
}

criterion_group!(benches, delivery);
criterion_main!(benches);
