//! The session: one dialogue with a 4 KiB message, and the un-stuffing of content by itself.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sekisho_core::clock::Now;
use sekisho_core::envelope::{Client, Recipient};
use sekisho_core::session::{Answer, ForwardPath, Session, SessionConfig, Step, Xclient, unstuff};

/// Lines of 76 octets, every tenth of them stuffed, and the final dot.
fn content(bytes: usize) -> Vec<u8> {
    let mut octets = Vec::with_capacity(bytes + 100);
    for index in 0_usize.. {
        if octets.len() >= bytes {
            break;
        }
        octets.extend_from_slice(if index.is_multiple_of(10) { b".." } else { b"ab" });
        octets.extend_from_slice(&[b'x'; 72]);
        octets.extend_from_slice(b"\r\n");
    }
    octets.extend_from_slice(b".\r\n");
    octets
}

/// Plays one connection with `flights`, one packet each, and returns the octets of the message.
fn dialogue(config: &Arc<SessionConfig>, client: &Client, flights: &[&[u8]]) -> usize {
    let mut session = Session::new(Arc::clone(config), client.clone(), Xclient::Refused);
    let mut flights = flights.iter();
    let mut bytes = 0;
    loop {
        match session.advance(Now::default()) {
            Step::Read { .. } => {
                black_box(session.output()).clear();
                match flights.next() {
                    Some(octets) => session.fill(octets),
                    None => session.peer_closed(),
                }
            }
            Step::AskClient | Step::AskMail | Step::AskData => session.answer(Answer::Accept),
            Step::AskRcpt(rcpt) => {
                let ForwardPath::Mailbox(mailbox) = rcpt.path else { return bytes };
                session.answer(Answer::Recipient(Recipient {
                    original: mailbox.clone(),
                    resolved: mailbox,
                    notify: rcpt.notify,
                    orcpt: rcpt.orcpt,
                }));
            }
            Step::ContentFull | Step::ContentDropped => bytes += session.take_content().len(),
            Step::AskMessage(_) => {
                bytes += black_box(session.take_content()).len();
                session.answer(Answer::Accept);
            }
            Step::StartTls | Step::Close { .. } => return bytes,
        }
    }
}

fn benches(criterion: &mut Criterion) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 25));
    let client =
        Client { address, local: address, name: None, helo: "".into(), esmtp: false, tls: None };
    let config = Arc::new(SessionConfig::default());
    let small = content(4096);
    let flights: [&[u8]; 4] = [
        b"EHLO client.example\r\n",
        b"MAIL FROM:<sender@example.org> SIZE=4096\r\nRCPT TO:<user@example.com>\r\nDATA\r\n",
        &small,
        b"QUIT\r\n",
    ];
    let mut group = criterion.benchmark_group("session");
    group.bench_function("dialogue_4_kib", |bencher| {
        bencher.iter(|| black_box(dialogue(&config, &client, &flights)));
    });
    let large = content(1024 * 1024);
    group.throughput(Throughput::Bytes(large.len() as u64));
    group.bench_function("unstuff_1_mib", |bencher| bencher.iter(|| unstuff(black_box(&large))));
    group.finish();
}

criterion_group!(session, benches);
criterion_main!(session);
