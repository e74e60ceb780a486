//! One shard from its first to its last moment: opens the rooms, serves, drains.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use glommio::{Latency, Shares, executor};

use super::damage;
use super::inbox::{self, ShardCall};
use super::listener;
use super::memory::Memory;
use super::overload::Overload;
use super::rooms::{Queues, Random, Rooms};
use super::shared::{Budgets, Shared};
use super::{EngineError, deadlines::Deadlines, delivery};
use crate::clock::Now;
use crate::config;
use crate::maillog::MailLog;
use crate::pipeline::Pipeline;
use crate::quarantine::Quarantine;
use crate::socket::{SocketRing, Sockets};
use crate::spool::SpoolStore;
use crate::spool::disk::GlommioDisk;
use crate::spool::log::LogOptions;
use crate::stages::{self, Sampling};

/// Sessions in DATA may take so long to end after a drain began.
const DRAIN_SECONDS: u64 = 300;

/// A budget is at least so many segments of one shard.
const SEGMENTS_IN_BUDGET: u64 = 16;
/// Segments are not made smaller than this.
const SEGMENT_BYTES_MIN: u64 = 64 * 1024;

/// What a shard is started with.
pub(super) struct Start {
    pub(super) index: u16,
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: flume::Receiver<ShardCall>,
    /// Told once the listeners are bound.
    pub(super) ready: flume::Sender<Result<(), EngineError>>,
    pub(super) seed: u64,
    /// Told when the shard ends, in good order or by a panic.
    pub(super) ended: flume::Sender<Ended>,
}

/// How a shard ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) shard: u16,
    pub(super) in_order: bool,
}

/// Tells how the shard ended when it is dropped: also while a panic unwinds its executor.
struct Obituary {
    ended: flume::Sender<Ended>,
    last: Ended,
}

impl Drop for Obituary {
    fn drop(&mut self) {
        // The main thread may have gone first.
        let _ = self.ended.send(self.last);
    }
}

/// Runs a shard to its end.
pub(super) async fn run(start: Start) {
    let Start { index, shared, inbox, ready, seed, ended } = start;
    let last = Ended { shard: index, in_order: false };
    let mut obituary = Obituary { ended, last };
    let sockets = match sockets(index, &shared) {
        Ok(sockets) => sockets,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let rooms = match open(index, &shared, sockets, seed).await {
        Ok(rooms) => rooms,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    if let Some(own) = shared.stages.get(usize::from(index)) {
        stages::register(Arc::clone(own), Sampling::Some);
    }
    let pipeline = Rc::new(Pipeline::new(Rc::clone(&rooms)));
    let config = shared.config.load_full();
    for (which, listener) in config.listeners.iter().enumerate() {
        match rooms.sockets.listen(listener.address) {
            Ok(bound) => {
                let work = listener::accept_all(Rc::clone(&pipeline), bound, which);
                rooms.spawn_mail(work);
            }
            Err(source) => {
                let _ = ready.send(Err(EngineError::Listen { address: listener.address, source }));
                return;
            }
        }
    }
    let _ = ready.send(Ok(()));
    drop(ready);
    rooms.spawn_background(tick(Rc::clone(&rooms)));
    rooms.spawn_background(recover(Rc::clone(&rooms)));
    let deliverer = rooms.deliverer.clone();
    rooms.spawn_delivery(async move { deliverer.run_queue().await });
    inbox::serve(&pipeline, &inbox).await;
    drain(&pipeline).await;
    obituary.last.in_order = true;
}

/// What this shard's connections are driven by.
fn sockets(index: u16, shared: &Shared) -> Result<Sockets, EngineError> {
    let wanted = shared.config.load().engine.sockets;
    if wanted == config::Sockets::Streams {
        return Ok(Sockets::Streams);
    }
    match SocketRing::new() {
        Ok(ring) => {
            if let Some(gauges) = shared.gauges.get(usize::from(index)) {
                gauges.ring.store(1, Ordering::Relaxed);
            }
            Ok(Sockets::Ring(ring))
        }
        Err(source) if wanted == config::Sockets::Ring => {
            Err(EngineError::SocketRing { shard: index, source })
        }
        Err(error) => {
            tracing::info!(shard = index, %error, "no ring for sockets, glommio's streams instead");
            Ok(Sockets::Streams)
        }
    }
}

/// Serves the sockets of the shard. Without them it is no shard: the process ends, as after a kill -9, and `sekisho
/// run` starts another.
async fn drive(ring: SocketRing) {
    let error = ring.drive().await;
    tracing::error!(%error, "the ring of the sockets is broken");
    std::process::abort();
}

async fn open(
    index: u16,
    shared: &Arc<Shared>,
    sockets: Sockets,
    seed: u64,
) -> Result<Rc<Rooms>, EngineError> {
    let now = Now::read();
    let config = shared.config.load_full();
    let random = Random::new(seed);
    let options = |kind: &str, budget: &Arc<crate::spool::budget::Budget>| {
        let directory = shared.data.join(kind).join(index.to_string());
        let mut options = LogOptions::new(directory, random.next(), Arc::clone(budget));
        // Space comes back by whole segments: a small budget must not lie in one of them.
        let share = budget.limit() / SEGMENTS_IN_BUDGET;
        options.segment_bytes = options.segment_bytes.min(share.max(SEGMENT_BYTES_MIN));
        options
    };
    let Budgets { spool, quarantine, maillog } = &shared.budgets;
    let store = SpoolStore::open(GlommioDisk, options("spool", spool), now.unix).await?;
    let held = options("quarantine", quarantine);
    let quarantine = Quarantine::open(GlommioDisk, index, held, now.unix).await?;
    let rows = options("maillog", maillog);
    let maillog = MailLog::open(GlommioDisk, rows, config.storage.maillog_days, now.unix).await?;
    let queues = Queues {
        mail: queue(700, Latency::Matters(Duration::from_millis(5)), "mail"),
        strangers: queue(140, Latency::Matters(Duration::from_millis(20)), "strangers"),
        delivery: queue(250, Latency::Matters(Duration::from_millis(20)), "delivery"),
        background: queue(50, Latency::NotImportant, "background"),
    };
    let world = (shared, &sockets);
    let deliverer = delivery::deliverer(world, &store, &quarantine, &maillog, random.next());
    let memory = Memory::new(config.smtp.shard_memory_bytes_max);
    let rooms = Rooms {
        index,
        shared: Arc::clone(shared),
        sockets,
        spool: store,
        quarantine,
        maillog,
        deliverer,
        deadlines: Deadlines::default(),
        memory,
        queues,
        listening: RefCell::new(listener::all(shared, &config)),
        sessions: Rc::new(Cell::new(0)),
        overload: Overload::default(),
        random,
        scratches: RefCell::default(),
        content: RefCell::default(),
    };
    if let Sockets::Ring(ring) = &rooms.sockets {
        rooms.spawn_mail(drive(ring.clone()));
    }
    Ok(Rc::new(rooms))
}

fn queue(shares: usize, latency: Latency, name: &str) -> glommio::TaskQueueHandle {
    executor().create_task_queue(Shares::Static(shares), latency, name)
}

/// Once a second: deadlines, flushes, gauges; once a minute: expiry.
async fn tick(rooms: Rc<Rooms>) {
    let mut seconds = 0_u64;
    let (pipeline, mut bypasses) = (Pipeline::new(Rc::clone(&rooms)), None);
    loop {
        glommio::timer::sleep(Duration::from_secs(1)).await;
        seconds += 1;
        let now = Now::read();
        rooms.deadlines.sweep(now.mono);
        rooms.spool.tick(now.unix).await;
        rooms.quarantine.tick(now.unix).await;
        if rooms.index == 0 {
            pipeline.note_bypasses(&mut bypasses, now.unix);
        }
        rooms.maillog.tick(now.unix).await;
        if seconds.is_multiple_of(60) {
            rooms.quarantine.expire(now.unix).await;
            oldest(&rooms, now);
        }
        gauges(&rooms);
        tell_damage(&rooms, now).await;
    }
}

fn gauges(rooms: &Rooms) {
    let Some(gauges) = rooms.shared.gauges.get(usize::from(rooms.index)) else { return };
    gauges.sessions.store(rooms.sessions.get(), Ordering::Relaxed);
    gauges.overloaded.store(u64::from(rooms.overload.is_over()), Ordering::Relaxed);
    gauges.memory_bytes.store(rooms.memory.used(), Ordering::Relaxed);
    let waiting = rooms.deliverer.waiting() as u64;
    gauges.queue_mails.store(waiting, Ordering::Relaxed);
    if waiting == 0 {
        // Not for up to a minute an alarm about a queue that `queue list` shows empty.
        gauges.queue_oldest.store(0, Ordering::Relaxed);
    }
    gauges.lost_rows.store(rooms.maillog.lost_rows(), Ordering::Relaxed);
    if let Some(own) = rooms.shared.stages.get(usize::from(rooms.index)) {
        own.note_thread();
    }
}

/// Tells of damaged records: in the diagnostics, and in the file that is the alarm.
async fn tell_damage(rooms: &Rooms, now: Now) {
    let damaged = rooms.spool.take_damage().into_iter();
    let damaged = damaged.chain(rooms.quarantine.take_damage()).chain(rooms.maillog.take_damage());
    let (mut lines, mut count) = (String::new(), 0);
    for damage in damaged {
        tracing::error!(%damage, "a damaged record was set aside");
        lines.push_str(&damage::line(&damage, now.unix));
        count += 1;
    }
    if count == 0 {
        return;
    }
    let data = rooms.shared.data.clone();
    let written = executor().spawn_blocking(move || damage::append(&data, &lines)).await;
    if let Err(error) = written {
        tracing::error!(%error, "run/damaged cannot be written");
        if let Some(gauges) = rooms.shared.gauges.get(usize::from(rooms.index)) {
            gauges.damaged.fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// The oldest waiting mail: a pass over the whole queue, so once a minute is enough.
fn oldest(rooms: &Rooms, now: Now) {
    let Some(gauges) = rooms.shared.gauges.get(usize::from(rooms.index)) else { return };
    let ages = rooms.deliverer.queue_why(None);
    let age = ages.iter().map(|row| row.oldest_seconds).max();
    let since = age.map_or(0, |seconds| now.unix.0.saturating_sub(seconds.saturating_mul(1000)));
    gauges.queue_oldest.store(since, Ordering::Relaxed);
}

/// Reads what the last run left, while new mail is already accepted.
async fn recover(rooms: Rc<Rooms>) {
    rooms.quarantine.recover().await;
    rooms.deliverer.recover(rooms.spool.recover()).await;
    // Who sees that all is known shall see how much it is.
    gauges(&rooms);
    if let Some(gauges) = rooms.shared.gauges.get(usize::from(rooms.index)) {
        gauges.recovering.store(0, Ordering::Release);
    }
}

/// Ends sessions between transactions, waits for those in DATA and for releases under way, then makes all rows durable.
async fn drain(pipeline: &Pipeline) {
    let rooms = pipeline.rooms();
    rooms.deadlines.kick();
    let end = Now::read().mono.plus(Duration::from_secs(DRAIN_SECONDS));
    let busy = || rooms.sessions.get() > 0 || pipeline.held_jobs_running() > 0;
    while busy() && Now::read().mono < end {
        rooms.deadlines.kick();
        glommio::timer::sleep(Duration::from_millis(50)).await;
    }
    if rooms.sessions.get() > 0 {
        tracing::warn!(
            sessions = rooms.sessions.get(),
            "sessions were cut at the end of the drain"
        );
    }
    rooms.deliverer.stop();
    let now = Now::read();
    rooms.spool.tick(now.unix).await;
    rooms.quarantine.tick(now.unix).await;
    if let Err(error) = rooms.maillog.write_durable(&[], now.unix).await {
        tracing::error!(%error, "the last rows of the mail log may be lost");
    }
}
