//! The proof that nothing acknowledged is lost: the real log on a disk that forgets, thousands of seeds.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use crate::clock::UnixMillis;
use crate::content::{Content, Piece};
use crate::envelope::MailId;
use crate::spool::CopyId;
use crate::spool::budget::{Arriving, Budget};
use crate::spool::disk::Disk;
use crate::spool::large::LargeWriter;
use crate::spool::log::{Loaded, Log, LogOptions, NewRecord, Urgency};
use crate::spool::sim::{Faults, SimDisk};

/// What the outside world knows of one record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known {
    acknowledged: bool,
    kill_asked: bool,
    kill_durable: bool,
    note_asked: u32,
    note_durable: u32,
    bytes: usize,
    large: bool,
}

type Model = Rc<RefCell<BTreeMap<CopyId, Known>>>;

fn id_of(number: u64) -> CopyId {
    CopyId::new(MailId(uuid::Uuid::from_u128(u128::from(number) + 1)), (number % 3) as u16)
}

/// The octets that belong to an id: any mix-up or tear shows.
fn octets_of(id: CopyId, bytes: usize) -> Vec<u8> {
    let seed = id.mail.0.as_u128() as u64;
    let mut octets = Vec::with_capacity(bytes + 64);
    for n in 0..bytes.div_ceil(64) as u64 {
        let word = (seed << 20 | n).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
        octets.extend_from_slice(&[word; 8].concat());
    }
    octets.truncate(bytes);
    octets
}

fn directory() -> PathBuf {
    PathBuf::from("/spool/0")
}

fn options(salt: u64) -> LogOptions {
    let budget = Arc::new(Budget::new("spool", u64::MAX, 0));
    let mut options = LogOptions::new(directory(), salt, budget);
    options.segment_bytes = 48 << 10;
    options.segment_age_ms = 40_000;
    options.dead_age_ms = 20_000;
    options
}

async fn client(disk: SimDisk, log: Log<SimDisk>, model: Model, old: Rc<RefCell<Vec<CopyId>>>) {
    loop {
        let dice = disk.random();
        match dice % 8 {
            0..=3 => append(&disk, &log, &model, dice).await,
            4..=5 => kill(&log, &model, &old, dice).await,
            6 => note(&log, &model, dice).await,
            _ => disk.pause().await,
        }
    }
}

async fn append(disk: &SimDisk, log: &Log<SimDisk>, model: &Model, dice: u64) {
    let (id, bytes, large) = {
        let mut model = model.borrow_mut();
        let id = id_of(model.len() as u64);
        let large = dice.is_multiple_of(61);
        let bytes = (dice >> 8) as usize % if dice.is_multiple_of(5) { 9_000 } else { 1_500 };
        model.insert(id, Known { bytes, large, ..Known::default() });
        (id, bytes, large)
    };
    let octets = octets_of(id, bytes);
    let incoming = PathBuf::from("/spool/0/incoming");
    let (content, _guard) = if large {
        let Ok(mut writer) =
            LargeWriter::create(disk.clone(), &incoming, id.mail, Arriving::default()).await
        else {
            return;
        };
        if writer.write(octets).await.is_err() {
            return;
        }
        let Ok(file) = writer.finish().await else { return };
        (file.content.clone(), Some(file))
    } else {
        (Content::from_octets(octets), None)
    };
    let meta = format!("{{\"id\":\"{id}\"}}").into_bytes();
    let new = NewRecord { id, kind: 16, stamp: 7, meta };
    if log.append(new, &content).await.is_ok() {
        model.borrow_mut().get_mut(&id).expect("made above").acknowledged = true;
    }
}

async fn kill(log: &Log<SimDisk>, model: &Model, old: &Rc<RefCell<Vec<CopyId>>>, dice: u64) {
    let chosen = {
        let model = model.borrow();
        let mut ready: Vec<CopyId> = model
            .iter()
            .filter(|(_, known)| known.acknowledged && !known.kill_asked)
            .map(|(id, _)| *id)
            .collect();
        ready.extend(old.borrow().iter().copied());
        let index = (dice >> 8) as usize % ready.len().max(1);
        ready.get(index).copied()
    };
    let Some(id) = chosen else { return };
    let Ok(ticket) = log.kill(id) else { return };
    if let Some(known) = model.borrow_mut().get_mut(&id) {
        known.kill_asked = true;
    }
    if ticket.durable().await.is_ok()
        && let Some(known) = model.borrow_mut().get_mut(&id)
    {
        known.kill_durable = true;
    }
}

async fn note(log: &Log<SimDisk>, model: &Model, dice: u64) {
    let chosen = {
        let mut model = model.borrow_mut();
        let mut ready: Vec<(&CopyId, &mut Known)> =
            model.iter_mut().filter(|(_, known)| known.acknowledged && !known.kill_asked).collect();
        let index = (dice >> 8) as usize % ready.len().max(1);
        ready.get_mut(index).map(|(id, known)| {
            known.note_asked += 1;
            (**id, known.note_asked)
        })
    };
    let Some((id, number)) = chosen else { return };
    let text = number.to_string().into_bytes();
    let Ok(ticket) = log.note(id, 5, text, Urgency::Now) else { return };
    if ticket.durable().await.is_ok()
        && let Some(known) = model.borrow_mut().get_mut(&id)
    {
        known.note_durable = known.note_durable.max(number);
    }
}

async fn ticker(disk: SimDisk, log: Log<SimDisk>) {
    let mut now = 1_000_000;
    loop {
        for _ in 0..40 {
            disk.pause().await;
        }
        now += 1_000 + disk.random() % 4_000;
        log.tick(UnixMillis(now)).await;
    }
}

/// What is there after the power came back, against what was promised.
async fn check(log: &Log<SimDisk>, loaded: &Loaded, model: &Model) -> Result<(), String> {
    let known: Vec<(CopyId, Known)> = model.borrow().iter().map(|(id, k)| (*id, *k)).collect();
    for (id, known) in known {
        if !log.contains(id) {
            if known.acknowledged && !known.kill_asked {
                return Err(format!("acknowledged {id} is missing: {known:?}"));
            }
            continue;
        }
        if known.kill_durable {
            return Err(format!("killed {id} is back: {known:?}"));
        }
        let record = log.read(id).await.map_err(|error| format!("{id}: {error}: {known:?}"))?;
        if record.meta != format!("{{\"id\":\"{id}\"}}").into_bytes() {
            return Err(format!("{id} has the metadata of another"));
        }
        if octets(&record.content) != octets_of(id, known.bytes) {
            return Err(format!("{id} has other octets: {known:?}"));
        }
        let note = loaded.notes.get(&id).and_then(|notes| notes.first());
        let number =
            note.map_or(0, |(_, text)| std::str::from_utf8(text).unwrap().parse::<u32>().unwrap());
        if number < known.note_durable || number > known.note_asked {
            return Err(format!("{id}: note {number}: {known:?}"));
        }
    }
    Ok(())
}

pub(super) fn octets(content: &Content) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in &content.pieces {
        match piece {
            Piece::Memory(octets) => out.extend_from_slice(octets),
            Piece::File { file, offset, bytes } => {
                let mut part = vec![0; *bytes as usize];
                std::os::unix::fs::FileExt::read_exact_at(&file.file, &mut part, *offset).unwrap();
                out.extend_from_slice(&part);
            }
        }
    }
    out
}

/// A few lives of one log: start, work, power cut; after each start everything is checked.
fn lives(seed: u64, faults: Faults) -> Result<u64, String> {
    let disk = SimDisk::new(seed);
    let model: Model = Rc::default();
    let mut promises = 0;
    for life in 0..3u64 {
        disk.set_faults(Faults::default());
        let log = disk
            .run(Log::open(disk.clone(), options(seed ^ life), UnixMillis(1)), 100_000)
            .ok_or("open did not end")?
            .map_err(|error| error.to_string())?;
        let old: Rc<RefCell<Vec<CopyId>>> = Rc::default();
        // Half of the lives work while they load.
        let eager = disk.random().is_multiple_of(2);
        if !eager {
            let loaded = disk.run(log.load(), 1_000_000).ok_or("load did not end")?;
            let damage = log.take_damage();
            if let Some(damage) = damage.iter().find(|d| d.acknowledged) {
                return Err(format!("life {life}: {damage}"));
            }
            disk.run(check(&log, &loaded, &model), 10_000_000).ok_or("check did not end")??;
        }
        disk.set_faults(faults);
        for _ in 0..3 {
            disk.spawn(client(disk.clone(), log.clone(), Rc::clone(&model), Rc::clone(&old)));
        }
        disk.spawn(ticker(disk.clone(), log.clone()));
        let polls = 50 + disk.random() % 800;
        let main = async {
            if eager {
                let _ = log.load().await;
            }
            std::future::pending::<()>().await;
        };
        disk.run(main, polls);
        disk.crash();
        promises += model.borrow().values().filter(|known| known.acknowledged).count() as u64;
    }
    disk.set_faults(Faults::default());
    let opened = disk.run(Log::open(disk.clone(), options(seed), UnixMillis(1)), 100_000);
    let log = opened.ok_or("open did not end")?.map_err(|error| error.to_string())?;
    let loaded = disk.run(log.load(), 1_000_000).ok_or("load did not end")?;
    disk.run(check(&log, &loaded, &model), 10_000_000).ok_or("check did not end")??;
    Ok(promises)
}

fn seeds(first: u64, count: u64, faults: Faults) -> u64 {
    let mut promises = 0;
    for seed in first..first + count {
        match lives(seed, faults) {
            Ok(more) => promises += more,
            Err(what) => panic!("seed {seed} with {faults:?}: {what}"),
        }
    }
    promises
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_is_cut_at_any_moment() {
    let promises = seeds(0, 1_500, Faults::default());
    assert!(promises > 15_000, "the run was too short to prove anything: {promises} promises");
}

#[test]
fn nothing_acknowledged_is_lost_when_the_disk_fails_and_fills_up_as_well() {
    let faults = Faults { sync_fails: 30, short_write: 15, no_space: 15, ..Faults::default() };
    let promises = seeds(1_000_000, 1_000, faults);
    assert!(promises > 5_000, "the run was too short to prove anything: {promises} promises");
}

#[test]
fn the_proof_catches_a_store_whose_fdatasync_does_nothing() {
    let lie = Faults { sync_is_a_lie: true, ..Faults::default() };
    let caught = (0..10).filter(|seed| lives(*seed, lie).is_err()).count();
    assert!(caught > 5, "only {caught} of 10 seeds saw that nothing is ever flushed");
}

#[test]
fn the_proof_catches_a_store_whose_directory_is_never_synced() {
    let lie = Faults { dir_sync_is_a_lie: true, ..Faults::default() };
    let caught = (0..10).filter(|seed| lives(*seed, lie).is_err()).count();
    assert!(caught > 5, "only {caught} of 10 seeds saw that names are never flushed");
}
