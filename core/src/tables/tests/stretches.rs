//! Deltas squashed into stretches: what they say is what the deltas say, whatever happens to them.

use std::collections::BTreeSet;
use std::fs;

use super::super::*;
use super::*;
use crate::envelope::Mailbox;

/// A number that follows from the one before it: the seed is all that a failure needs.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// One of few addresses and entries, so that changes meet each other.
    fn change(&mut self) -> Change {
        let address = |n: u64| format!("a{n}@example.com").into();
        let kind = self.below(7);
        let mut line = || {
            let polarity = ["allow", "block"][usize::try_from(self.below(2)).unwrap()];
            let owner = ["gateway", "domain:example.net", "account:a1@example.com"];
            let owner = owner[usize::try_from(self.below(3)).unwrap()];
            let pattern = ["x.example", "u@x.example", "192.0.2.0/24", "*@*.y.example"];
            let pattern = pattern[usize::try_from(self.below(4)).unwrap()];
            entry(&format!("{owner},sender,{polarity},{pattern}"))
        };
        match kind {
            0 | 1 => Change::EntryAdd { entry: line() },
            2 => Change::EntryRemove { entry: line() },
            3 => {
                Change::AliasAdd { address: address(self.below(9)), target: address(self.below(9)) }
            }
            4 => Change::RecipientRemove { address: address(self.below(9)) },
            _ => Change::RecipientAdd { address: address(self.below(9)) },
        }
    }
}

fn texts(entries: impl Iterator<Item = Entry>) -> BTreeSet<String> {
    entries.map(|entry| serde_json::to_string(&entry).unwrap()).collect()
}

fn pairs(recipients: impl Iterator<Item = (String, Option<String>)>) -> BTreeSet<String> {
    recipients.map(|(address, target)| format!("{address} {target:?}")).collect()
}

/// All deltas of a generation, read one by one by the engine, are what the publisher shows and knows.
fn agrees(at: &Appliance, number: u64, when: &str) -> Arc<Snapshot> {
    let current = Current::new(at.adopt(number).unwrap());
    current.adopt_deltas(&at.dir(number)).unwrap();
    let plain = current.load();
    let view = at.publisher().view().unwrap();
    assert_eq!(view.snapshot().delta_number(), plain.delta_number(), "{when}");
    assert_eq!(texts(view.entries()), texts(plain.all_entries()), "{when}");
    assert_eq!(pairs(view.recipients()), pairs(plain.all_recipients()), "{when}");
    plain
}

fn stretches(at: &Appliance, number: u64) -> Vec<String> {
    disk::names(&at.dir(number).join("stretches")).unwrap()
}

fn add(name: &str) -> [Change; 1] {
    [Change::RecipientAdd { address: format!("{name}@example.com").into() }]
}

#[test]
fn any_changes_are_refused_and_shown_as_without_stretches() {
    for seed in 1..=6 {
        let mut dice = Dice(seed);
        let at = Appliance::new();
        drop(at.build(vec![csv("gateway,sender,block,x.example\n", &at)]));
        let (mut number, mut refused) = (1, 0);
        for step in 0..160 {
            let when = format!("seed {seed}, step {step}");
            // What the same changes meet where no stretch was ever written.
            let bare = Appliance::new();
            let with_bare = step % 10 == 0;
            if with_bare {
                let to = bare.dir(number);
                fs::create_dir_all(to.join("delta")).unwrap();
                let files = disk::names(&at.dir(number)).unwrap();
                for name in files.iter().filter(|name| at.dir(number).join(name).is_file()) {
                    fs::copy(at.dir(number).join(name), to.join(name)).unwrap();
                }
                for name in disk::names(&at.dir(number).join("delta")).unwrap() {
                    let from = at.dir(number).join("delta").join(&name);
                    fs::copy(from, to.join("delta").join(&name)).unwrap();
                }
            }
            let changes: Vec<_> = (0..=dice.below(2)).map(|_| dice.change()).collect();
            let outcome = at.publisher().add_delta(&changes).map_err(|error| error.to_string());
            refused += u32::from(outcome.is_err());
            if with_bare {
                let plain = bare.publisher().add_delta(&changes).map_err(|error| error.to_string());
                assert_eq!(outcome, plain, "{when}: {changes:?}");
                agrees(&at, number, &when);
            }
            if let Some(name) = stretches(&at, number).first().filter(|_| dice.below(12) == 0) {
                let path = at.dir(number).join("stretches").join(name);
                match dice.below(3) {
                    0 => fs::remove_file(&path).unwrap(),
                    1 => fs::write(&path, b"SEKITBL\n").unwrap(),
                    _ => {
                        let content = fs::read(&path).unwrap();
                        fs::write(&path, &content[..content.len().min(4196)]).unwrap();
                    }
                }
            }
            if dice.below(60) == 0 && at.publisher().merge(&mut |_| ()).unwrap().is_some() {
                let before = agrees(&at, number + 1, &when);
                number += 1;
                assert_eq!(before.delta_number(), 0, "{when}");
            }
        }
        agrees(&at, number, "at the end");
        assert!((10..150).contains(&refused), "seed {seed}: {refused} changes of 160 refused");
    }
}

#[test]
fn few_files_are_read_after_many_changes_and_the_longest_stretch_is_written_last() {
    let at = Appliance::new();
    drop(at.build(vec![]));
    let publisher = at.publisher();
    for n in 1..=64 {
        publisher.add_delta(&add(&format!("n{n}"))).unwrap();
    }
    // The last eight of them were never a stretch of their own.
    assert_eq!(stretches(&at, 1), ["00000001-00000064"]);
    for n in 65..=137 {
        publisher.add_delta(&add(&format!("n{n}"))).unwrap();
    }
    // 137 = 2 * 64 + 1 * 8 + 1
    let expected = ["00000001-00000064", "00000065-00000128", "00000129-00000136"];
    assert_eq!(stretches(&at, 1), expected);
    let known = agrees(&at, 1, "after 137");
    assert_eq!(known.all_recipients().filter(|(address, _)| address.starts_with('n')).count(), 137);
}

#[test]
fn a_crash_between_any_two_steps_of_a_change_loses_nothing_and_the_next_change_mends_it() {
    let at = Appliance::new();
    drop(at.build(vec![]));
    for n in 1..=63 {
        at.publisher().add_delta(&add(&format!("n{n}"))).unwrap();
    }
    let dir = at.dir(1);
    let seven: Vec<_> = stretches(&at, 1);
    assert_eq!(seven.len(), 7);
    let kept: Vec<_> =
        seven.iter().map(|name| fs::read(dir.join("stretches").join(name)).unwrap()).collect();

    // Died before the delta had its name: the change was not made, and its number is free.
    fs::write(dir.join("delta/00000064.tmp-1"), b"half").unwrap();
    agrees(&at, 1, "a delta without its name");
    assert_eq!(at.publisher().add_delta(&add("n64")).unwrap(), (1, 64));
    assert_eq!(stretches(&at, 1), ["00000001-00000064"]);

    // Died before the stretch had its name.
    let long = dir.join("stretches/00000001-00000064");
    let whole = fs::read(&long).unwrap();
    fs::rename(&long, dir.join("stretches/00000001-00000064.tmp-1")).unwrap();
    for (name, content) in seven.iter().zip(&kept) {
        fs::write(dir.join("stretches").join(name), content).unwrap();
    }
    agrees(&at, 1, "a stretch without its name");
    let error = at.publisher().add_delta(&add("n3")).unwrap_err().to_string();
    assert!(error.contains("is a mailbox already"), "{error}");
    at.publisher().add_delta(&add("n65")).unwrap();
    assert_eq!(fs::read(&long).unwrap().len(), whole.len(), "written by the next change");

    // Died before the shorter ones were removed.
    for (name, content) in seven.iter().zip(&kept) {
        fs::write(dir.join("stretches").join(name), content).unwrap();
    }
    agrees(&at, 1, "more stretches than needed");
    at.publisher().add_delta(&add("n66")).unwrap();

    // The power went, and of the stretches only names came back.
    for name in stretches(&at, 1) {
        fs::write(dir.join("stretches").join(name), b"").unwrap();
    }
    agrees(&at, 1, "empty stretches");
    let error = at.publisher().add_delta(&add("n66")).unwrap_err().to_string();
    assert!(error.contains("is a mailbox already"), "{error}");
    at.publisher().add_delta(&add("n67")).unwrap();
    assert_eq!(fs::read(&long).unwrap().len(), whole.len(), "written anew");
    assert_eq!(agrees(&at, 1, "mended").delta_number(), 67);

    // A damaged octet in the middle does not get into the next base.
    let mut damaged = fs::read(&long).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&long, damaged).unwrap();
    at.publisher().merge(&mut |_| ()).unwrap();
    let merged = agrees(&at, 2, "merged beside a damaged stretch");
    assert_eq!(merged.all_recipients().filter(|(address, _)| address.starts_with('n')).count(), 67);
}

#[test]
fn changes_of_several_writers_at_once_beside_merges_are_all_made_once() {
    const WRITERS: usize = 4;
    const EACH: usize = 40;
    let at = Appliance::new();
    drop(at.build(vec![]));
    let made = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let at = &at;
                scope.spawn(move || {
                    let publisher = at.publisher();
                    let names = (0..EACH).map(|n| format!("w{writer}x{n}"));
                    names.map(|name| publisher.add_delta(&add(&name)).unwrap()).collect::<Vec<_>>()
                })
            })
            .collect();
        let merges = scope.spawn(|| {
            (0..5)
                .map(|_| at.publisher().merge(&mut |_| ()).unwrap())
                .filter(Option::is_some)
                .count()
        });
        merges.join().unwrap();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    let distinct: BTreeSet<_> = made.iter().collect();
    assert_eq!(distinct.len(), WRITERS * EACH, "two changes got the same number");
    let number = at.publisher().latest().unwrap().unwrap();
    let known = agrees(&at, number, "at the end");
    for (writer, n) in (0..WRITERS).flat_map(|writer| (0..EACH).map(move |n| (writer, n))) {
        let key = Mailbox::new(&format!("w{writer}x{n}"), "example.com").key();
        assert_eq!(known.recipient(&key), Some(None), "{key} is lost");
    }
}

/// What the writer of the next test was told: a name for each change that was made.
const MADE: &str = "made";

#[test]
#[ignore = "is the writer that the next test kills"]
fn writer_process() {
    use std::io::Write as _;
    let here = std::env::current_dir().unwrap();
    let publisher = publish::Publisher::open(&here.join("generations")).unwrap();
    let mut made = fs::OpenOptions::new().create(true).append(true).open(here.join(MADE)).unwrap();
    // Far more than it is left alive for.
    for n in 0..100_000 {
        let name = format!("p{}x{n}", std::process::id());
        publisher.add_delta(&add(&name)).unwrap();
        made.write_all(format!("{name}\n").as_bytes()).unwrap();
    }
}

#[test]
fn a_writer_that_is_killed_at_any_moment_has_lost_no_change_that_it_made() {
    let at = Appliance::new();
    drop(at.build(vec![]));
    let made = || fs::read_to_string(at.path(MADE)).unwrap_or_default();
    let mut dice = Dice(7);
    for life in 1..=8 {
        let enough = made().lines().count() + 5 + usize::try_from(dice.below(20)).unwrap();
        let mut writer = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "tables::tests::stretches::writer_process"])
            .current_dir(at.root.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        while made().lines().count() < enough {
            assert!(
                writer.try_wait().unwrap().is_none(),
                "life {life}: the writer ended by itself"
            );
            std::thread::yield_now();
        }
        // Somewhere in its next change: the dice say how far it gets.
        for turn in 0..dice.below(200_000) {
            std::hint::black_box(turn);
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        let known = agrees(&at, 1, &format!("life {life}"));
        for name in made().lines() {
            let key = Mailbox::new(name, "example.com").key();
            assert_eq!(known.recipient(&key), Some(None), "life {life}: {name} is lost");
        }
    }
    at.publisher().add_delta(&add("last")).unwrap();
    agrees(&at, 1, "after all of them");
}
