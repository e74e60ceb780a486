//! The byte path alone, as a server that takes mail and throws it away, for `bench/bars/byte-path.sh`:
//!
//! ```text
//! cargo run --release -p sekisho-bench --example byte_path -- ring 2626      the engine's rooms, on its ring
//! cargo run --release -p sekisho-bench --example byte_path -- streams 2626   the same, on glommio's streams
//! cargo run --release -p sekisho-bench --example byte_path -- bare 2626      a bare ring
//! ```
//!
//! The engine itself has no mode that throws mail away: what it answers 250 is with the next hop or on the disk.
//! `ring` and `streams` are its rooms `socket`, `accept` and `session` and the deadlines of its shards, on the executor
//! that a shard has, with a `250` where the pipeline would be asked. `bare` is what a ring can do at best: `bare.rs`.
//! Both pin themselves to core 0,
//! say READY, and run until they are told to end. Latency and CPU are measured from outside.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a program that is measured; it stops at the first error"
)]

mod bare;

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use glommio::{Latency, LocalExecutorBuilder, Placement, Shares};
use sekisho_core::accept::stream::Stream;
use sekisho_core::clock::Now;
use sekisho_core::envelope::{Client, Recipient};
use sekisho_core::session::{Answer, ForwardPath, Session, SessionConfig, Step, Xclient};
use sekisho_core::shard::deadlines::Deadlines;
use sekisho_core::socket::{SocketRing, Sockets};

/// The engine's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WRITE_SECONDS: u64 = 300;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments[1].parse().unwrap()));
    match arguments[0].as_str() {
        "ring" => engine(address, || {
            let ring = SocketRing::new().unwrap();
            let driven = ring.clone();
            glommio::spawn_local(
                async move { panic!("the ring is broken: {}", driven.drive().await) },
            )
            .detach();
            Sockets::Ring(ring)
        }),
        "streams" => engine(address, || Sockets::Streams),
        "bare" => bare::serve(address),
        other => println!("{other}: neither ring nor streams nor bare"),
    }
}

fn engine(address: SocketAddr, sockets: fn() -> Sockets) {
    let shard = LocalExecutorBuilder::new(Placement::Fixed(0))
        .io_memory(4 << 20)
        .ring_depth(256)
        .spawn(move || accept_all(address, sockets))
        .unwrap();
    shard.join().unwrap();
}

async fn accept_all(address: SocketAddr, sockets: fn() -> Sockets) {
    let deadlines = Deadlines::default();
    let latency = Latency::Matters(Duration::from_millis(10));
    let queue = glommio::executor().create_task_queue(Shares::Static(700), latency, "mail");
    let ticks = deadlines.clone();
    glommio::spawn_local(async move {
        loop {
            glommio::timer::sleep(Duration::from_secs(1)).await;
            ticks.sweep(Now::read().mono);
        }
    })
    .detach();
    // Connections are kept for as long as the load wants them.
    let config = SessionConfig { transactions_max: u32::MAX, ..SessionConfig::default() };
    let config = Arc::new(config);
    let listener = sockets().listen(address).unwrap();
    println!("READY {address}");
    loop {
        let stream = listener.accept().await.unwrap().welcome();
        let (config, deadlines) = (Arc::clone(&config), deadlines.clone());
        let work = async move {
            let mut stream = Stream::Plain(stream);
            // A connection that breaks is its client's business.
            let _ = converse(&config, &deadlines, &mut stream).await;
            stream.close().await;
        };
        glommio::spawn_local_into(work, queue).unwrap().detach();
    }
}

async fn converse(
    config: &Arc<SessionConfig>,
    deadlines: &Deadlines,
    stream: &mut Stream,
) -> io::Result<()> {
    let Some((peer, local)) = stream.addresses() else { return Ok(()) };
    let client =
        Client { address: peer, local, name: None, helo: "".into(), esmtp: false, tls: None };
    let mut session = Session::new(Arc::clone(config), client, Xclient::Refused);
    loop {
        match session.advance(Now::read()) {
            Step::Read { deadline } => {
                flush(deadlines, stream, &mut session).await?;
                let mut until = deadlines.until_kicked(deadline);
                let read = poll_fn(|context| {
                    let read = stream.poll_read_with(context, |octets| match octets {
                        [] => session.peer_closed(),
                        octets => session.fill(octets),
                    });
                    match read {
                        Poll::Ready(read) => Poll::Ready(Ok(read)),
                        Poll::Pending => until.poll(context).map(Err),
                    }
                });
                if let Ok(read) = read.await {
                    read?;
                }
            }
            Step::AskClient | Step::AskMail | Step::AskData => session.answer(Answer::Accept),
            Step::AskRcpt(rcpt) => {
                let ForwardPath::Mailbox(mailbox) = rcpt.path else { return Ok(()) };
                session.answer(Answer::Recipient(Recipient {
                    original: mailbox.clone(),
                    resolved: mailbox,
                    notify: rcpt.notify,
                    orcpt: rcpt.orcpt,
                }));
            }
            Step::ContentFull | Step::ContentDropped => drop(session.take_content()),
            Step::AskMessage(_) => {
                drop(session.take_content());
                session.answer(Answer::Accept);
            }
            Step::StartTls | Step::Close { .. } => {
                return flush(deadlines, stream, &mut session).await;
            }
        }
    }
}

async fn flush(
    deadlines: &Deadlines,
    stream: &mut Stream,
    session: &mut Session,
) -> io::Result<()> {
    if session.output().is_empty() {
        return Ok(());
    }
    let mut output = std::mem::take(session.output());
    let end = Now::read().mono.plus(Duration::from_secs(WRITE_SECONDS));
    let write = poll_fn(|context| stream.poll_write_all(context, &mut output));
    let written = deadlines.run_kickable(end, write).await;
    written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
