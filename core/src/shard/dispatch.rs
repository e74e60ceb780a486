//! Answers the control socket: what concerns the whole box here, the rest by asking the shards.
//! Runs on the control threads, never on a shard, so it may block.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::inbox::ShardCall;
use super::metrics::Figures as _;
use super::shared::Shared;
use super::{start, written};
use crate::clock::Now;
use crate::config::Authentication;
use crate::control::server::Dispatch;
use crate::control::{ItemOutcome, QueueRow, QueueWhyRow, Request, Response};
use crate::engines::{self, Engines};
use crate::shard::counters::Counter;
use crate::stages;
use crate::tables::adopt::{rebuild_patterns, sweep};
use crate::tables::{AdoptError, Current, Generation};

/// A shard answers within this, or its part is missing and the answer says so. What takes longer is answered as under
/// way long before (`pipeline::release`).
const SHARD_TIMEOUT: Duration = Duration::from_secs(60);

/// The function that the control socket calls.
pub(super) fn dispatch(shared: Arc<Shared>, inboxes: Arc<[flume::Sender<ShardCall>]>) -> Dispatch {
    Arc::new(move |request| answer(&shared, &inboxes, request))
}

fn answer(
    shared: &Arc<Shared>,
    inboxes: &[flume::Sender<ShardCall>],
    request: Request,
) -> Response {
    match request {
        Request::Ping => Response::Done,
        Request::Status => Response::Status { status: status(shared) },
        Request::Adopt { generation } => {
            outcome(one_at_a_time(shared, || adopt(shared, generation)))
        }
        Request::AdoptDeltas => outcome(one_at_a_time(shared, || adopt_deltas(shared))),
        Request::Reload => outcome(one_at_a_time(shared, || reload(shared, inboxes))),
        Request::Drain => {
            start::begin_drain(shared, inboxes);
            Response::Done
        }
        Request::QueueList { rows_max, .. } => merge_queue(ask_all(inboxes, &request), rows_max),
        Request::QueueWhy { .. } => merge_why(ask_all(inboxes, &request)),
        Request::QueueHold { .. }
        | Request::QueueUnhold { .. }
        | Request::QueueFlush { .. }
        | Request::QueueRetry { .. }
        | Request::QueueRemove { .. } => any_done(ask_all(inboxes, &request)),
        Request::QuarantineRelease { items, ham } => {
            by_shard(inboxes, items, |items| Request::QuarantineRelease { items, ham })
        }
        // Any shard has a log to write it to.
        Request::Reclassify { .. } => {
            any_done(ask_all(inboxes.get(..1).unwrap_or_default(), &request))
        }
        Request::QuarantineDelete { items } => {
            by_shard(inboxes, items, |items| Request::QuarantineDelete { items })
        }
    }
}

/// Changes of tables and configuration one after the other: two at once could each put back what the
/// other had just replaced, and both would be answered as done.
fn one_at_a_time<T>(shared: &Shared, change: impl FnOnce() -> T) -> T {
    // A poisoned lock means that a change before this one panicked; what it guards is swapped as a whole.
    let _turn = shared.changing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    change()
}

fn outcome(result: Result<(), String>) -> Response {
    match result {
        Ok(()) => Response::Done,
        Err(why) => Response::Refused { why },
    }
}

fn refused(why: impl Into<String>) -> Response {
    Response::Refused { why: why.into() }
}

/// Asks one shard.
fn ask(inbox: &flume::Sender<ShardCall>, request: Request) -> Response {
    send(inbox, request).and_then(receive).unwrap_or_else(refused)
}

/// Hands a request to a shard; its answer will come through the channel.
fn send(
    inbox: &flume::Sender<ShardCall>,
    request: Request,
) -> Result<flume::Receiver<Response>, &'static str> {
    let (answer, answered) = flume::bounded(1);
    match inbox.send_timeout(ShardCall::Control(request, answer), SHARD_TIMEOUT) {
        Ok(()) => Ok(answered),
        Err(_) => Err("the shard is ending or does not take calls"),
    }
}

fn receive(answered: flume::Receiver<Response>) -> Result<Response, &'static str> {
    let late = "the shard did not answer in time, and may still do what was asked";
    answered.recv_timeout(SHARD_TIMEOUT).map_err(|_| late)
}

fn ask_all(inboxes: &[flume::Sender<ShardCall>], request: &Request) -> Vec<Response> {
    inboxes.iter().map(|inbox| ask(inbox, request.clone())).collect()
}

fn merge_queue(answers: Vec<Response>, rows_max: usize) -> Response {
    let (mut all, mut sum) = (Vec::<QueueRow>::new(), 0);
    for answer in answers {
        match answer {
            Response::Queue { rows, total } => {
                all.extend(rows);
                sum += total;
            }
            other => return other,
        }
    }
    all.sort_by(|a, b| (a.queued_at, &a.mail).cmp(&(b.queued_at, &b.mail)));
    all.truncate(rows_max);
    Response::Queue { rows: all, total: sum }
}

/// One row for each domain: sums, the earliest attempt, the oldest mail.
fn merge_why(answers: Vec<Response>) -> Response {
    let mut domains = BTreeMap::<String, QueueWhyRow>::new();
    for answer in answers {
        let Response::QueueWhy { rows } = answer else { return answer };
        for row in rows {
            match domains.get_mut(&row.domain) {
                Some(sum) => {
                    sum.mails += row.mails;
                    sum.bytes += row.bytes;
                    if row.next_attempt_at < sum.next_attempt_at {
                        sum.next_attempt_at = row.next_attempt_at;
                        sum.why = row.why;
                    }
                    sum.oldest_seconds = sum.oldest_seconds.max(row.oldest_seconds);
                }
                None => {
                    domains.insert(row.domain.clone(), row);
                }
            }
        }
    }
    Response::QueueWhy { rows: domains.into_values().collect() }
}

/// Done if one shard had something to do; else the first reason why not.
fn any_done(answers: Vec<Response>) -> Response {
    let mut first = None;
    for answer in answers {
        match answer {
            Response::Done => return Response::Done,
            other => first = first.or(Some(other)),
        }
    }
    first.unwrap_or_else(|| refused("no shard is running"))
}

/// Sends each item to the shard that its id begins with; answers in the order of the request.
fn by_shard(
    inboxes: &[flume::Sender<ShardCall>],
    items: Vec<String>,
    request: impl Fn(Vec<String>) -> Request,
) -> Response {
    let mut groups = BTreeMap::<usize, Vec<String>>::new();
    let mut outcomes = BTreeMap::<String, ItemOutcome>::new();
    let refuse = |item: &str, why: &str| ItemOutcome {
        item: item.to_owned(),
        done: false,
        why: why.to_owned(),
        under_way: false,
    };
    for item in &items {
        let shard = item.split('-').next().and_then(|shard| shard.parse::<usize>().ok());
        match shard.filter(|shard| *shard < inboxes.len()) {
            Some(shard) => groups.entry(shard).or_default().push(item.clone()),
            None => {
                outcomes.insert(item.clone(), refuse(item, "not the id of a held item"));
            }
        }
    }
    // All shards at once: each may take its time.
    let asked: Vec<_> = groups
        .into_iter()
        .filter_map(|(shard, group)| {
            let asked = send(inboxes.get(shard)?, request(group.clone()));
            Some((group, asked))
        })
        .collect();
    for (group, asked) in asked {
        match asked.and_then(receive).unwrap_or_else(refused) {
            Response::Items { items } => {
                outcomes.extend(items.into_iter().map(|item| (item.item.clone(), item)));
            }
            Response::Refused { why } => {
                let refused = group.iter().map(|item| (item.clone(), refuse(item, &why)));
                outcomes.extend(refused);
            }
            other => return other,
        }
    }
    let items = items.iter().filter_map(|item| outcomes.get(item).cloned()).collect();
    Response::Items { items }
}

fn generations(shared: &Shared) -> PathBuf {
    shared.data.join("generations")
}

/// Takes over generation `number`: verified and mapped here, swapped in between two transactions.
fn adopt(shared: &Arc<Shared>, number: u64) -> Result<(), String> {
    let directory = generations(shared).join(number.to_string());
    match adopt_directory(shared, &directory) {
        Ok(()) => {
            shared.refused.adopted(number);
            // A new certificate comes with a new generation; a bad one leaves the old in force.
            let (certificate, key) =
                start::certificate_files(&shared.config_file, &shared.data, &shared.config.load());
            if let Err(error) = shared.certificates.reload(&certificate, &key) {
                tracing::error!(%error, "certificate not reloaded, the old one stays in force");
            }
            Ok(())
        }
        Err(AdoptError::Rebuild { .. }) if shared.tables().is_none() => {
            rebuild_beside(shared, directory);
            Err("the patterns are being rebuilt for this machine; mail gets 451 until then".into())
        }
        Err(AdoptError::Rebuild { .. }) => {
            // Mail flows on the generation in force while this takes its minute.
            let engine = shared.data.join("engine");
            rebuild_patterns(&directory, &engine)
                .and_then(|()| adopt_directory(shared, &directory))
                .map_err(|error| refuse_generation(shared, number, &error))
        }
        Err(error) => Err(refuse_generation(shared, number, &error)),
    }
}

fn refuse_generation(shared: &Shared, number: u64, error: &AdoptError) -> String {
    tracing::error!(generation = number, %error, "generation refused, the last good one stays");
    shared.refused.refuse(number, error.to_string());
    if let Some(counters) = shared.counters.first() {
        counters.count(Counter::GenerationsRefused);
    }
    let stays = shared.tables().map_or(0, |tables| tables.load().number());
    format!("{error}; still on generation {stays}")
}

fn adopt_directory(shared: &Arc<Shared>, directory: &Path) -> Result<(), AdoptError> {
    let engine = shared.data.join("engine");
    let previous = shared.tables().map(Current::load);
    let previous = previous.as_ref().map(|snapshot| &**snapshot.generation());
    let generation = Generation::adopt(directory, &engine, previous)?;
    let number = generation.number();
    match shared.tables() {
        Some(current) => current.swap(generation, directory)?,
        None => {
            let current = Current::new(Arc::clone(&generation));
            current.swap(generation, directory)?;
            // Only one thread adopts a first generation; a second value would be the same one.
            let _ = shared.tables.set(current);
        }
    }
    shared.analysis.adopt(directory.to_owned());
    shared.patterns_built_at.store(patterns_built_at(directory), Ordering::Relaxed);
    if let Some(current) = shared.tables() {
        // Copies of generations that nobody holds any more. A worker that still reads one has it mapped.
        let held = current.held();
        let used: Vec<&Generation> = held.iter().map(|held| &**held).collect();
        if let Err(error) = sweep(&engine, &used) {
            tracing::warn!(%error, "old tables could not be removed");
        }
    }
    tracing::info!(generation = number, "generation adopted");
    Ok(())
}

/// When the patterns of a generation were built: a merge of single changes links the file, so their
/// age is neither hidden by merging nor by a restart. Without patterns, when the generation was made.
fn patterns_built_at(directory: &Path) -> u64 {
    let modified = ["patterns.table", "manifest.json"]
        .iter()
        .find_map(|name| std::fs::metadata(directory.join(name)).ok()?.modified().ok())
        .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let millis = modified.and_then(|since| u64::try_from(since.as_millis()).ok());
    millis.unwrap_or_else(|| Now::read().unix.0)
}

/// Compiles patterns for this Hyperscan and CPU on a thread of its own, then adopts.
fn rebuild_beside(shared: &Arc<Shared>, directory: PathBuf) {
    let rebuilt = Arc::clone(shared);
    let work = move || {
        let engine = rebuilt.data.join("engine");
        tracing::warn!("patterns are rebuilt for this machine; mail gets 451 until they are ready");
        let done = rebuild_patterns(&directory, &engine).and_then(|()| {
            one_at_a_time(&rebuilt, || {
                // A newer generation may have come meanwhile; it stays.
                if rebuilt.tables().is_some() {
                    Ok(())
                } else {
                    adopt_directory(&rebuilt, &directory)
                }
            })
        });
        if let Err(error) = done {
            tracing::error!(%error, "patterns could not be rebuilt; no mail is taken");
        }
    };
    if let Err(error) = std::thread::Builder::new().name("rebuild".into()).spawn(work) {
        tracing::error!(%error, "no thread to rebuild the patterns");
    }
}

/// At the start: the newest generation that can be adopted. Without one the engine runs and answers
/// 451, so that the control plane can bring one.
pub(super) fn adopt_latest(shared: &Arc<Shared>) {
    #[expect(clippy::disallowed_methods, reason = "at the start, on the main thread")]
    let listed = std::fs::read_dir(generations(shared));
    let mut numbers: Vec<u64> = listed
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    for number in &numbers {
        match one_at_a_time(shared, || adopt(shared, *number)) {
            Ok(()) => return,
            Err(why) => tracing::error!(generation = number, why, "not adopted"),
        }
        if shared.tables().is_none() && !shared.refused.is_refused(*number) {
            // It is being rebuilt; older ones would need the same.
            return;
        }
    }
    tracing::warn!("no generation of tables yet: mail gets 451 until one is built");
}

fn adopt_deltas(shared: &Shared) -> Result<(), String> {
    let Some(current) = shared.tables() else {
        return Err("no generation is in force".into());
    };
    let number = current.load().number();
    let directory = generations(shared).join(number.to_string());
    current.adopt_deltas(&directory).map(|_| ()).map_err(|error| error.to_string())
}

/// Reads configuration and certificates again: listeners' rules, `[smtp]`, `[admission]`, `[tls]`. What
/// shards are built from needs a restart, and the answer says so.
fn reload(shared: &Shared, inboxes: &[flume::Sender<ShardCall>]) -> Result<(), String> {
    let mut config = start::read_config(&shared.config_file).map_err(|error| error.to_string())?;
    let old = shared.config.load_full();
    let (certificate, key) = start::certificate_files(&shared.config_file, &shared.data, &config);
    shared.certificates.reload(&certificate, &key).map_err(|error| error.to_string())?;
    let zone = start::read_zone(&shared.config_file, &config)?;
    let sealer = written::sealer(&shared.data, &config)?;
    let notices = written::templates(&shared.config_file)?;
    let mut why = None;
    config.engine.data_dir.clone_from(&old.engine.data_dir);
    if config.listeners.len() != old.listeners.len() {
        why = Some("the number of listeners changed");
        config.listeners.clone_from(&old.listeners);
    }
    for (new, old) in config.listeners.iter_mut().zip(&old.listeners) {
        if new.address.port() != 0 && new.address != old.address {
            why = Some("the address of a listener changed");
        }
        new.address = old.address;
    }
    if config.delivery != old.delivery
        || config.storage != old.storage
        || config.analysis != old.analysis
        || config.metrics != old.metrics
        || config.dns != old.dns
        || started_with(&config.authentication) != started_with(&old.authentication)
        || config.engine != old.engine
        || config.smtp.shard_memory_bytes_max != old.smtp.shard_memory_bytes_max
    {
        why = Some(
            "[engine], [delivery], [dns], [storage], [analysis], [authentication], [metrics] or the memory changed",
        );
    }
    config.metrics.clone_from(&old.metrics);
    shared.dns_lists.store(Arc::new(start::dns_lists(&config)));
    if config.scanners != old.scanners {
        // Mails that wait for the old ones are still answered.
        let engines = Engines::start(&config.scanners).map_err(|error| error.to_string())?;
        shared.engines.store(Arc::new(engines));
    }
    shared.sealer.store(sealer);
    shared.notices.store(Arc::new(notices));
    if let (Some(server), Some(zone)) = (&shared.zone, zone) {
        server.replace(zone);
    }
    shared.config.store(Arc::new(config));
    for inbox in inboxes {
        if inbox.try_send(ShardCall::Reload).is_err() {
            why = Some("a shard did not take the call");
        }
    }
    match why {
        None => Ok(()),
        Some(why) => Err(format!("{why}: that needs a restart; everything else is in force")),
    }
}

/// What of `[authentication]` is read once.
fn started_with(section: &Authentication) -> Authentication {
    Authentication { enabled: true, arc_trusted: Vec::new(), arc_seal: None, ..section.clone() }
}

fn status(shared: &Shared) -> serde_json::Value {
    let now = Now::read();
    let counters: serde_json::Map<_, _> = Counter::ALL
        .into_iter()
        .map(|counter| (counter.name().to_owned(), shared.counter(counter).into()))
        .collect();
    let gauges: serde_json::Map<_, _> = shared
        .gauges()
        .into_iter()
        .map(|(name, _, value)| (name.to_owned(), value.into()))
        .collect();
    let alarms: Vec<_> = shared
        .raised(now)
        .into_iter()
        .map(|(name, text)| serde_json::json!({ "name": name, "text": text }))
        .collect();
    let tables = shared.tables().map(Current::counts);
    let config = shared.config.load();
    serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "host_name": &*config.engine.host_name,
        "listeners": config.listeners.iter().map(|one| one.address).collect::<Vec<_>>(),
        "shards": shared.counters.len(),
        "sockets": shared.sockets(),
        "draining": shared.is_draining(),
        "generation": tables.as_ref().map(|tables| tables.generation),
        "delta": tables.as_ref().map(|tables| tables.delta),
        "delta_changes": tables.as_ref().map(|tables| tables.delta_changes),
        "old_generations_mapped": tables.as_ref().map(|tables| tables.old_bases_mapped),
        "counters": counters,
        "gauges": gauges,
        "cpu": cpu(shared),
        "scanners": scanners(shared),
        "alarms": alarms,
    })
}

/// What scan engines of others did, by their names.
fn scanners(shared: &Shared) -> serde_json::Value {
    let about = |one: engines::Figures| {
        let figures = serde_json::json!({
            "address": one.address,
            "version": one.version,
            "state": one.state.name(),
            "asked": one.asked,
            "found": one.found,
            "failed": one.failed,
            "too_large": one.too_large,
            "mean_us": one.micros.checked_div(one.asked).unwrap_or(0),
        });
        (one.name.into(), figures)
    };
    shared.engines.load().figures().into_iter().map(about).collect::<serde_json::Map<_, _>>().into()
}

/// CPU by stage, microseconds. What is left of `all_us` is the executor, its ring, and what the kernel does for it.
fn cpu(shared: &Shared) -> serde_json::Value {
    let all = shared.cpu();
    let of = |kind: &str| -> Vec<_> {
        let of_kind = all.iter().filter(|one| one.kind == kind);
        of_kind
            .map(|one| {
                let stages: serde_json::Map<_, _> = one
                    .taken()
                    .map(|(stage, nanos)| (stage.name().to_owned(), (nanos / 1000).into()))
                    .collect();
                serde_json::json!({
                    "mails": one.mails,
                    "all_us": one.thread_nanos / 1000,
                    "stages_us": stages,
                })
            })
            .collect()
    };
    serde_json::json!({
        "sampled_one_in": stages::ONE_IN,
        "process_us": stages::process_micros(),
        "shards": of("shard"),
        "workers": of("worker"),
    })
}
