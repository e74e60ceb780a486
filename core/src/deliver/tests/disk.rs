//! The deliverer on the real store, on the simulated disk: power cuts at any call to the disk.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::simulation::{DOMAINS, Dice, behaviour};
use super::world::{Hop, START, Sim};
use super::{copy, deliverer, message};
use crate::clock::{MonoMillis, Now, UnixMillis};
use crate::deliver::live::Kept;
use crate::deliver::transport::World as _;
use crate::deliver::{Deliverer, Others, Settings};
use crate::maillog::MailLog;
use crate::quarantine::Quarantine;
use crate::spool::SpoolStore;
use crate::spool::budget::Budget;
use crate::spool::log::LogOptions;
use crate::spool::sim::{Faults, SimDisk};

fn options(kind: &'static str, salt: u64) -> LogOptions {
    let budget = Arc::new(Budget::new(kind, u64::MAX, 0));
    LogOptions::new(PathBuf::from("/data").join(kind), salt, budget)
}

/// Rows are stamped with it; nothing here looks at that.
fn some_time() -> Now {
    Now { unix: UnixMillis(START), mono: MonoMillis(0) }
}

async fn open(disk: &SimDisk, salt: u64) -> Kept<SimDisk> {
    let at = UnixMillis(START);
    let spool = SpoolStore::open(disk.clone(), options("spool", salt), at).await.unwrap();
    let quarantine =
        Quarantine::open(disk.clone(), 0, options("quarantine", salt), at).await.unwrap();
    let log = MailLog::open(disk.clone(), options("maillog", salt), 90, at).await.unwrap();
    Kept { spool, quarantine, log, clock: some_time }
}

/// Once a second, as the shard does.
async fn tick(sim: Sim, kept: Kept<SimDisk>) {
    loop {
        let now = sim.now();
        kept.spool.tick(now.unix).await;
        kept.quarantine.tick(now.unix).await;
        kept.log.tick(now.unix).await;
        sim.sleep_until(now.mono.plus(std::time::Duration::from_secs(1))).await;
    }
}

struct Run {
    sim: Sim,
    disk: SimDisk,
    hops: Vec<Rc<Hop>>,
    reports: Rc<Hop>,
    settings: Settings,
    faults: Cell<Faults>,
}

type Shard = Deliverer<Sim, Kept<SimDisk>>;

impl Run {
    /// One life of the shard: start, recovery, some mails; until `polls_max`, then the power is cut.
    fn live(&self, life: u64, polls_max: u64, acknowledged: &mut Vec<String>, calm: bool) -> bool {
        let (sim, disk) = (self.sim.clone(), self.disk.clone());
        let told = Rc::new(std::cell::RefCell::new(Vec::new()));
        let notes = Rc::clone(&told);
        let (settings, faults) = (self.settings.clone(), self.faults.get());
        let work = async move {
            // A shard that cannot open its store does not start: nothing to see.
            disk.set_faults(Faults { sync_fails: 0, short_write: 0, no_space: 0, ..faults });
            let kept = open(&disk, life).await;
            disk.set_faults(faults);
            let shard: Shard = deliverer(&sim, &kept, &settings);
            sim.spawn(tick(sim.clone(), kept.clone()));
            let (worker, recovering) = (shard.clone(), shard.clone());
            let recovery = kept.spool.recover();
            sim.spawn(async move { worker.run_queue().await });
            let recovered = Rc::new(Cell::new(false));
            let done = Rc::clone(&recovered);
            sim.spawn(async move {
                recovering.recover(recovery).await;
                done.set(true);
            });
            if calm {
                while !recovered.get() || shard.waiting() > 0 {
                    let at = sim.now().mono.plus(std::time::Duration::from_secs(30));
                    sim.sleep_until(at).await;
                }
                return;
            }
            for n in 0..4 {
                send(&sim, &shard, life as u8 * 8 + n, &notes).await;
            }
        };
        let ended = self.disk.run(self.sim.nested(work), polls_max).is_some();
        self.sim.kill_tasks();
        self.disk.crash();
        acknowledged.append(&mut told.borrow_mut());
        ended
    }

    fn is_held(&self, local_part: &str) -> bool {
        let files = self.disk.files(Path::new("/data/quarantine"));
        let needle = format!("\"{local_part}\"");
        files.iter().any(|(_, octets)| memchr::memmem::find(octets, needle.as_bytes()).is_some())
    }
}

async fn send(sim: &Sim, shard: &Shard, n: u8, told: &Rc<std::cell::RefCell<Vec<String>>>) {
    let roll = |sides| sim.random() % sides;
    let count = 1 + roll(3);
    let to: Vec<_> =
        (0..count).map(|k| format!("m{n}r{k}@{}", DOMAINS[roll(3) as usize])).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let from = if roll(4) == 0 { "" } else { "s@client.example" };
    let message = message(n, from, &to);
    let mut copies = Vec::new();
    for domain in DOMAINS {
        let of = |i: &u16| to[usize::from(*i)].ends_with(domain);
        let group: Vec<u16> = (0..to.len() as u16).filter(of).collect();
        if !group.is_empty() {
            copies.push(copy(&message, &group, true));
        }
    }
    let settled = shard.settle(&message, &copies, Others::None).await;
    if settled.reply.code == 250 {
        told.borrow_mut().extend(to.iter().map(|to| (*to).to_owned()));
    }
}

fn run(seed: u64, faults: Faults) -> Result<usize, String> {
    let sim = Sim::new(seed);
    let hops: Vec<_> = DOMAINS.iter().map(|domain| sim.hop(&format!("hop.{domain}"))).collect();
    let reports = sim.hop("client.example");
    let settings = Settings { host_name: "mx.gateway.example".into(), ..Settings::default() };
    let run =
        Run { sim, disk: SimDisk::new(seed), hops, reports, settings, faults: Cell::new(faults) };
    let mut dice = Dice(seed);
    let unknown = Rc::new(Cell::new(false));
    let mut acknowledged = Vec::new();
    for life in 0..4 {
        for hop in &run.hops {
            hop.behave(behaviour(dice.roll(1 << 30), Rc::clone(&unknown)));
        }
        run.live(life, 200 + dice.roll(6_000), &mut acknowledged, false);
    }
    run.faults.set(Faults::default());
    run.hops.iter().for_each(|hop| hop.behave(|_| super::world::Act::Normal));
    if !run.live(9, 20_000_000, &mut Vec::new(), true) {
        return Err(format!("seed {seed}: the queue does not run empty"));
    }
    for mailbox in &acknowledged {
        let taken: usize = run.hops.iter().map(|hop| hop.count_for(mailbox)).sum();
        let local_part = mailbox.split('@').next().unwrap_or_default();
        let reported = run
            .reports
            .taken
            .borrow()
            .iter()
            .any(|one| one.content.contains(&format!("rfc822;{mailbox}")));
        if taken == 0 && !reported && !run.is_held(local_part) {
            return Err(format!("seed {seed}: {mailbox} is lost"));
        }
    }
    Ok(acknowledged.len())
}

#[test]
fn on_a_disk_that_forgets_nothing_acknowledged_is_lost() {
    let mut acknowledged = 0;
    for seed in 0..60 {
        let faults = Faults { sync_fails: 20, short_write: 20, no_space: 10, ..Faults::default() };
        acknowledged += run(seed, faults).unwrap();
    }
    assert!(
        acknowledged > 300,
        "only {acknowledged} were acknowledged: too little to prove anything"
    );
}

#[test]
fn a_disk_whose_flush_is_a_lie_is_caught() {
    let lie = Faults { sync_is_a_lie: true, ..Faults::default() };
    let caught = (0..60).filter(|seed| run(*seed, lie).is_err()).count();
    assert!(caught > 3, "the proof has no teeth: {caught} of 60 runs noticed");
}
