//! One client connection from accept to close: drives `session` with octets and the pipeline's
//! answers. All waiting is here; the protocol is in `session`, the decisions in `pipeline`.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_lite::FutureExt as _;
use futures_lite::future::{poll_once, zip};
use rustls::ServerConfig;

use super::counters::Counter;
use super::deadlines::Elapsed;
use super::greeting::{Before, greeting_delay, read_proxy, talks_early};
use super::listener::{Listening, Security};
use super::memory::Charge;
use super::rooms::SessionGuard;
use crate::accept::admission::{Admitted, Rated, Refusal};
use crate::accept::stream::Stream;
use crate::clock::{MonoMillis, Now};
use crate::envelope::Client;
use crate::pipeline::{Body, Pipeline, Transaction};
use crate::reply::{Enhanced, Reply};
use crate::session::proxy::Proxied;
use crate::session::{Answer, CloseReason, Received, Session, Step, Xclient};
use crate::stages::{self, Stage};

/// A TLS handshake, a PROXY header, our goodbye: everything that has no time-out in RFC 5321.
pub(super) const SETUP_SECONDS: u64 = 30;
/// A peer that does not take our reply for so long is gone. RFC 5321 section 4.5.3.2.7.
const WRITE_SECONDS: u64 = 300;
/// The same while the shard drains: one client that never read kept the engine from ending for the five
/// minutes that sessions in content have.
const LAST_WRITE_SECONDS: u64 = 10;
/// How long a session may sleep before it looks at the rest of the world again.
const LOOK_SECONDS: u64 = 60;
/// A transaction this old ends with 451 when its tables keep too many old generations mapped, or too many octets of
/// old deltas in memory.
const TRANSACTION_SECONDS_MAX: u64 = 600;

/// Serves one connection. Never panics: a defect of ours ends this session with 421 and is counted.
///
/// `accepted`: when the kernel gave the connection.
///
/// Its future stands in memory for as long as the client stays, so it holds what an idle session needs, and everything
/// else is boxed while it runs.
#[expect(clippy::manual_async_fn, reason = "an `async fn` keeps its arguments twice")]
pub(super) fn serve(
    pipeline: Rc<Pipeline>,
    listening: Rc<Listening>,
    guard: SessionGuard,
    mut stream: Stream,
    accepted: MonoMillis,
) -> impl Future<Output = ()> {
    async move {
        guard.first_turn(accepted, Now::read().mono);
        let served = {
            let session = pin!(survive(converse(&pipeline, &listening, &guard, &mut stream)));
            stages::measured(Stage::Session, session).await
        };
        match served {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "connection lost"),
            Err(_) => {
                pipeline.rooms().count(Counter::SessionPanics);
                tracing::error!(
                    "a session ended by a defect of ours (panic); see the message above"
                );
                let text = "Internal problem, closing connection";
                let reply = Reply::new(421, Enhanced(4, 3, 0), text);
                let _ = Box::pin(write_reply(&pipeline, &mut stream, &reply)).await;
            }
        }
        let close = pin!(pipeline.rooms().deadlines.run(after(SETUP_SECONDS), stream.close()));
        let _ = stages::measured(Stage::Session, close).await;
    }
}

/// What `work` gave, or how it panicked: that must not be the end of the shard. No `async fn`: it would
/// keep `work` twice, 10 KiB for each session.
fn survive<T>(
    work: impl Future<Output = T>,
) -> impl Future<Output = Result<T, Box<dyn std::any::Any + Send>>> {
    AssertUnwindSafe(work).catch_unwind()
}

pub(super) fn after(seconds: u64) -> MonoMillis {
    Now::read().mono.plus(Duration::from_secs(seconds))
}

pub(super) fn timed_out(_: Elapsed) -> io::Error {
    io::ErrorKind::TimedOut.into()
}

async fn write_reply(pipeline: &Pipeline, stream: &mut Stream, reply: &Reply) -> io::Result<()> {
    let mut line = Vec::new();
    reply.write_to(&mut line);
    write(pipeline, stream, &mut line).await
}

/// Writes all of `octets` and leaves the buffer empty.
async fn write(pipeline: &Pipeline, stream: &mut Stream, octets: &mut Vec<u8>) -> io::Result<()> {
    let rooms = pipeline.rooms();
    let mut work = poll_fn(|context| stream.poll_write_all(context, octets));
    let mut work = std::pin::pin!(&mut work);
    if !rooms.shared.is_draining() {
        let written = rooms.deadlines.run_kickable(after(WRITE_SECONDS), work.as_mut()).await;
        match written {
            Ok(written) => return written,
            // Kicked, not late: what is on its way (a 250, our goodbye) may still arrive.
            Err(Elapsed) if rooms.shared.is_draining() => {}
            Err(elapsed) => return Err(timed_out(elapsed)),
        }
    }
    rooms.deadlines.run(after(LAST_WRITE_SECONDS), work).await.map_err(timed_out)?
}

async fn converse(
    pipeline: &Rc<Pipeline>,
    listening: &Listening,
    guard: &SessionGuard,
    stream: &mut Stream,
) -> io::Result<()> {
    match Box::pin(begin(pipeline, listening, guard, stream)).await? {
        Some(mut driver) => driver.run().await,
        None => Ok(()),
    }
}

/// Everything up to the greeting. Nothing for whom there is no session. Boxed: moved, it would be kept three times.
async fn begin<'d>(
    pipeline: &'d Rc<Pipeline>,
    listening: &'d Listening,
    guard: &'d SessionGuard,
    stream: &'d mut Stream,
) -> io::Result<Option<Box<Driver<'d>>>> {
    let Some((peer, local)) = stream.addresses() else { return Ok(None) };
    let mut client = new_client(peer, local);
    // A balancer that looks whether we are there, a front that will name its client: nobody to be wary of.
    let mut is_ours = false;
    if listening.is_proxy(peer.ip()) {
        match read_proxy(pipeline, stream).await? {
            Some(Proxied::Client { source, destination }) => {
                (client.address, client.local) = (source, destination);
            }
            Some(Proxied::Local) => is_ours = true,
            None => return Ok(None),
        }
    }
    let address = client.address.ip();
    // By the client's address, not the proxy's: where both settings name the same network, all the
    // world behind the proxy could choose the address that lists and limits see.
    let is_front = listening.may_xclient(address);
    is_ours |= is_front;
    let now = Now::read().mono;
    let admitted = if is_front { pipeline.admit_front(now) } else { pipeline.admit(address, now) };
    let admitted = match admitted {
        Ok(admitted) => admitted,
        Err(refusal) => {
            turn_away(pipeline, listening, stream, refusal).await?;
            return Ok(None);
        }
    };
    pipeline.rooms().count(Counter::Connections);
    if listening.security == Security::Implicit {
        Box::pin(handshake(pipeline, stream, listening.tls())).await?;
        client.tls = stream.tls_text();
    }
    let xclient = if is_front { Xclient::Offered } else { Xclient::Refused };
    let mut session = Session::new(listening.session(), client, xclient);
    let delay = greeting_delay(pipeline, listening, (!is_ours).then_some(address));
    match talks_early(delay, stream).await {
        Before::Nothing => {}
        Before::Waited => pipeline.rooms().shared.greeted.remember(address, Now::read().mono),
        Before::Said(_) if listening.refuse_early => {
            pipeline.rooms().count(Counter::EarlyTalkers);
            pipeline.rooms().shared.greeted.forget(address);
            session.early_talker();
        }
        Before::Said(octets) => session.fill(&octets),
    }
    let charge = pipeline.rooms().memory.charge();
    let under_way = None;
    Ok(Some(Box::new(Driver {
        pipeline,
        listening,
        guard,
        stream,
        session,
        admitted,
        address,
        under_way,
        charge,
    })))
}

fn new_client(address: SocketAddr, local: SocketAddr) -> Client {
    Client { address, local, name: None, helo: "".into(), esmtp: false, tls: None }
}

async fn handshake(
    pipeline: &Pipeline,
    stream: &mut Stream,
    config: Arc<ServerConfig>,
) -> io::Result<()> {
    let rooms = pipeline.rooms();
    let shaken = rooms.deadlines.run(after(SETUP_SECONDS), stream.upgrade(config)).await;
    let shaken = shaken.map_err(timed_out).and_then(|done| done);
    let counter = if shaken.is_ok() { Counter::TlsHandshakes } else { Counter::TlsFailures };
    rooms.count(counter);
    shaken
}

/// Says what the session wants to say, and leaves it without a buffer. A reply nearly always goes out at once: only
/// what does not has a future of its own.
async fn flush(pipeline: &Pipeline, stream: &mut Stream, session: &mut Session) -> io::Result<()> {
    if session.output().is_empty() {
        return Ok(());
    }
    let mut output = std::mem::take(session.output());
    let at_once = poll_fn(|context| Poll::Ready(stream.poll_write_all(context, &mut output))).await;
    match at_once {
        Poll::Ready(written) => written,
        Poll::Pending => Box::pin(write(pipeline, stream, &mut output)).await,
    }
}

async fn turn_away(
    pipeline: &Pipeline,
    listening: &Listening,
    stream: &mut Stream,
    refusal: Refusal,
) -> io::Result<()> {
    pipeline.rooms().count(Counter::ConnectionsRefused);
    if listening.security == Security::Implicit {
        // A handshake for somebody who is turned away would be work that he chooses.
        return Ok(());
    }
    write_reply(pipeline, stream, &too_many(refusal)).await
}

fn internal_problem() -> Reply {
    Reply::new(451, Enhanced(4, 3, 0), "Internal problem, try again later")
}

fn no_memory() -> Reply {
    Reply::new(452, Enhanced(4, 3, 1), "Insufficient memory, try again later")
}

fn too_many(refusal: Refusal) -> Reply {
    let text = match refusal {
        Refusal::Address => "Too many connections from your address",
        Refusal::Network => "Too many connections from your network",
        Refusal::Total => "Too many connections, try again later",
        Refusal::Rate => "Too many connections in a short time, try again later",
    };
    Reply::new(421, Enhanced(4, 7, 0), text)
}

/// A transaction as the driver holds it, on the heap: most of the time most sessions have none.
struct UnderWay {
    transaction: Transaction,
    body: Body,
}

struct Driver<'d> {
    pipeline: &'d Rc<Pipeline>,
    listening: &'d Listening,
    guard: &'d SessionGuard,
    stream: &'d mut Stream,
    session: Session,
    admitted: Admitted,
    /// The address that was admitted.
    address: IpAddr,
    under_way: Option<Box<UnderWay>>,
    charge: Charge,
}

/// What comes of one step of a session.
enum Turn<'d> {
    Done,
    /// This comes first.
    Work(Pin<Box<dyn Future<Output = io::Result<()>> + 'd>>),
    Wait(Wait),
}

/// What a session has the driver wait for, once its replies are out.
enum Wait {
    Read(MonoMillis),
    Handshake,
    Close(CloseReason),
}

impl Driver<'_> {
    /// What not every read needs has its future on the heap, for as long as it runs: an idle session is a tenth then.
    async fn run(&mut self) -> io::Result<()> {
        let end = Now::read().mono.plus(self.listening.session_timeout);
        loop {
            // An endless session keeps its place from others; a message under way is finished.
            if self.pipeline.rooms().shared.is_draining() || Now::read().mono >= end {
                self.session.shutdown();
            }
            let wait = match self.turn() {
                Turn::Done => continue,
                Turn::Work(work) => {
                    work.await?;
                    continue;
                }
                Turn::Wait(wait) => wait,
            };
            self.let_go();
            let flushed = flush(self.pipeline, self.stream, &mut self.session).await;
            match wait {
                Wait::Read(deadline) => {
                    flushed?;
                    self.read(deadline).await;
                }
                Wait::Handshake => {
                    flushed?;
                    Box::pin(handshake(self.pipeline, self.stream, self.listening.tls())).await?;
                    let text = self.stream.tls_text().unwrap_or_default();
                    self.session.tls_done(&text);
                }
                Wait::Close(CloseReason::PeerClosed) => return Ok(()),
                Wait::Close(_) => return flushed,
            }
        }
    }

    /// One step of the session. No part of `run`: what a step holds would be kept by it while it waits.
    fn turn(&mut self) -> Turn<'_> {
        match self.session.advance(Now::read()) {
            Step::Read { deadline } => return Turn::Wait(Wait::Read(deadline)),
            Step::StartTls => return Turn::Wait(Wait::Handshake),
            Step::Close { reason } => return Turn::Wait(Wait::Close(reason)),
            Step::AskRcpt(recipient) => return Turn::Work(Box::pin(self.recipient(recipient))),
            Step::ContentFull => return Turn::Work(Box::pin(self.spill())),
            Step::AskMessage(received) => return Turn::Work(Box::pin(self.message(*received))),
            Step::AskClient => self.client(),
            Step::AskMail => self.mail(),
            Step::AskData => self.data(),
            Step::ContentDropped => {
                self.drop_body();
                self.recharge();
            }
        }
        Turn::Done
    }

    /// A transaction that is over, or whose content is refused, is let go before anything is waited for: its
    /// snapshot keeps old tables mapped, and room on the disk may be promised to it.
    fn let_go(&mut self) {
        if self.under_way.is_some() && !self.session.needs_transaction() {
            self.under_way = None;
        }
    }

    fn drop_body(&mut self) {
        if let Some(under_way) = &mut self.under_way {
            under_way.body = Body::default();
        }
    }

    /// Before the greeting, and again when XCLIENT named another client: the limits are then those of
    /// that client's address.
    fn client(&mut self) {
        let address = self.session.client().address.ip();
        if address != self.address {
            match self.pipeline.admit(address, Now::read().mono) {
                Ok(admitted) => {
                    self.admitted = admitted;
                    self.address = address;
                }
                Err(refusal) => {
                    self.pipeline.rooms().count(Counter::ConnectionsRefused);
                    self.session.answer(Answer::Close(too_many(refusal)));
                    return;
                }
            }
        }
        let answer = self.pipeline.client(self.session.client());
        self.session.answer(answer);
    }

    async fn read(&mut self, deadline: MonoMillis) {
        let (session, stream) = (&mut self.session, &mut *self.stream);
        let rooms = self.pipeline.rooms();
        rooms.count(Counter::Reads);
        // Past its deadline the session itself says what it thinks of that.
        let mut until = rooms.deadlines.until_kicked(deadline.min(after(LOOK_SECONDS)));
        let read = poll_fn(|context| {
            let read = stream.poll_read_with(context, |octets| match octets {
                [] => session.peer_closed(),
                octets => session.fill(octets),
            });
            match read {
                Poll::Ready(read) => Poll::Ready(Ok(read)),
                Poll::Pending => until.poll(context).map(Err),
            }
        })
        .await;
        drop(until);
        match read {
            Err(Elapsed) => self.look(),
            Ok(Err(error)) => {
                tracing::debug!(%error, "read failed");
                self.session.peer_closed();
            }
            Ok(Ok(())) => {
                self.guard.heard(Now::read().mono);
                self.recharge();
                self.look();
            }
        }
    }

    /// A transaction that is old and keeps old tables mapped must not hold up new ones.
    fn look(&mut self) {
        let Some(UnderWay { transaction, .. }) = self.under_way.as_deref() else { return };
        let age = Now::read().mono.since(transaction.begun.mono);
        let Some(current) = self.pipeline.rooms().shared.tables() else { return };
        if age > Duration::from_secs(TRANSACTION_SECONDS_MAX)
            && current.is_blocked_by(&transaction.snapshot)
        {
            let text = "Transaction took too long, try again";
            self.session.abort(&Reply::new(451, Enhanced(4, 3, 2), text));
        }
    }

    /// Charges what this session holds in memory; over the budget the content is refused.
    fn recharge(&mut self) {
        let held = self.session.content_bytes() as u64;
        if !self.charge.set(held) {
            self.refuse_content(no_memory());
        }
    }

    /// Refuses the content under way. What was moved to a file of it is void: no octet of it may
    /// stand before the next message of this session.
    fn refuse_content(&mut self, reply: Reply) {
        self.pipeline.rooms().count(Counter::MemoryRefusals);
        self.drop_body();
        self.session.refuse_content(reply);
        // At once, not at the next arrival: many bodies that grow together would all find the budget
        // full of those that were just refused, and all be refused.
        let _ = self.charge.set(0);
    }

    fn mail(&mut self) {
        #[cfg(test)]
        super::tests::misbehave(&self.session);
        let now = Now::read();
        self.under_way = None;
        if self.pipeline.over_rate(&self.admitted, Rated::Message, now.mono) {
            let text = "Too many messages in a short time, try again later";
            self.session.answer(Answer::Reply(Reply::new(451, Enhanced(4, 7, 1), text)));
            return;
        }
        match self.pipeline.reverse_path(self.session.client(), self.session.envelope(), now) {
            Ok(transaction) => {
                self.under_way = Some(Box::new(UnderWay { transaction, body: Body::default() }));
                self.session.answer(Answer::Accept);
            }
            Err(reply) => self.session.answer(Answer::Reply(reply)),
        }
    }

    async fn recipient(&mut self, recipient: crate::session::RcptTo) -> io::Result<()> {
        let now = Now::read();
        let over = self.pipeline.over_rate(&self.admitted, Rated::Recipient, now.mono);
        let under_way = self.under_way.as_deref_mut().filter(|_| !over);
        let Some(UnderWay { transaction, .. }) = under_way else {
            let text = "Too many recipients in a short time, try again later";
            self.session.answer(Answer::Reply(Reply::new(451, Enhanced(4, 7, 1), text)));
            return Ok(());
        };
        let mut answered = std::pin::pin!(self.pipeline.recipient(transaction, recipient, now));
        let answer = match poll_once(answered.as_mut()).await {
            Some(answer) => answer,
            // A hop is asked, which may take its time: what is known already does not wait for that, or the
            // client of a pipelined group hears nothing until his own patience is over.
            None => {
                let flushed = flush(self.pipeline, self.stream, &mut self.session);
                let (flushed, answer) = zip(flushed, answered).await;
                flushed?;
                answer
            }
        };
        let counter = match &answer {
            Answer::Recipient(_) | Answer::Repeated { .. } => Counter::RecipientsAccepted,
            Answer::Accept | Answer::Reply(_) | Answer::Close(_) => Counter::RecipientsRefused,
        };
        self.pipeline.rooms().count(counter);
        self.session.answer(answer);
        Ok(())
    }

    fn data(&mut self) {
        let answer = match self.under_way.as_deref_mut() {
            Some(UnderWay { transaction, body }) => self.pipeline.data(transaction, body),
            None => Answer::Reply(internal_problem()),
        };
        self.session.answer(answer);
    }

    /// Moves what the session holds to the message's own file.
    async fn spill(&mut self) -> io::Result<()> {
        let octets = self.session.take_content();
        let Some(UnderWay { transaction, body }) = self.under_way.as_deref_mut() else {
            return Ok(());
        };
        let spilt = self.pipeline.spill(transaction.mail, body, octets).await;
        match spilt {
            Ok(()) => self.recharge(),
            Err(reply) => self.refuse_content(reply),
        }
        Ok(())
    }

    async fn message(&mut self, received: Received) -> io::Result<()> {
        let rest = self.session.take_content();
        // The octets stay in memory until the answer: judged, perhaps rewritten, handed on.
        let fits = self.charge.set(rest.len() as u64);
        let reply = match self.under_way.take() {
            Some(_) if !fits => {
                self.pipeline.rooms().count(Counter::MemoryRefusals);
                no_memory()
            }
            Some(under_way) => {
                let UnderWay { transaction, body } = *under_way;
                self.judge(transaction, received, body, rest).await
            }
            None => internal_problem(),
        };
        self.pipeline.rooms().count(match reply.code {
            200..=299 => Counter::MessagesAccepted,
            400..=499 => Counter::MessagesDeferred,
            _ => Counter::MessagesRefused,
        });
        self.session.answer(Answer::Reply(reply));
        self.guard.answered(Now::read().mono);
        // Giving memory back always fits.
        let _ = self.charge.set(0);
        Ok(())
    }

    async fn judge(
        &mut self,
        transaction: Transaction,
        received: Received,
        body: Body,
        rest: Vec<u8>,
    ) -> Reply {
        let rooms = self.pipeline.rooms();
        rooms.count(Counter::MessagesReceived);
        rooms.count_many(Counter::OctetsReceived, received.bytes);
        let client = self.session.client().clone();
        match self.pipeline.complete(transaction.mail, body, rest).await {
            Ok(complete) => self.pipeline.message(transaction, client, received, complete).await,
            Err(reply) => reply,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glommio::timer::sleep;

    /// Octets of the future that `of` makes.
    fn future_bytes<A, B, C, D, E, F: Future>(_: impl Fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn what_stands_in_memory_for_an_idle_session_is_small() {
        // 10,000 idle sessions took 160 MB when each had room for whatever a session may ever do. Who adds a
        // future that waits: box it, unless every read needs it.
        assert!(future_bytes(serve) <= 384, "{}", future_bytes(serve));
        assert!(size_of::<Driver<'_>>() <= 448, "{}", size_of::<Driver<'_>>());
    }

    fn other_than_expected() -> bool {
        std::hint::black_box(false)
    }

    #[test]
    fn a_panic_ends_its_session_and_the_others_of_the_shard_go_on() {
        let work = || async {
            let other = glommio::spawn_local(async {
                for _ in 0..20 {
                    sleep(Duration::from_millis(1)).await;
                }
                7
            });
            let defect = glommio::spawn_local(survive(async {
                sleep(Duration::from_millis(5)).await;
                assert!(other_than_expected(), "a defect of ours");
            }));
            assert!(defect.await.is_err());
            assert!(survive(async { 8 }).await.is_ok(), "the shard takes the next session");
            assert_eq!(other.await, 7);
        };
        let shard = glommio::LocalExecutorBuilder::new(glommio::Placement::Unbound).spawn(work);
        shard.unwrap().join().unwrap();
    }
}
