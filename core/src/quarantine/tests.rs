//! Held mails: states, expiry, the reader of the command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::reader::{self, Filter};
use super::{Again, HeldItem, HeldMail, ItemId, ItemState, Quarantine};
use crate::clock::UnixMillis;
use crate::content::Content;
use crate::envelope::{Envelope, MailId, Mailbox, Notify, Recipient};
use crate::spool::SpoolError;
use crate::spool::budget::{Arriving, Budget};
use crate::spool::disk::Disk;
use crate::spool::held::Direction;
use crate::spool::large::{Incoming, LargeWriter};
use crate::spool::log::LogOptions;
use crate::spool::sim::{Faults, SimDisk};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const DAY: u64 = 86_400_000;

fn later(days: u64) -> UnixMillis {
    UnixMillis(NOW.0 + days * DAY)
}

fn run<T>(disk: &SimDisk, future: impl Future<Output = T>) -> T {
    disk.run(future, 1_000_000).expect("it ends")
}

fn held(number: u128, days: u16, recipients: &[u16]) -> HeldMail {
    let item = |index: &u16| HeldItem {
        index: *index,
        recipient: Recipient {
            original: Mailbox::new("a", "example.com"),
            resolved: Mailbox::new(&format!("user{index}"), "example.com"),
            notify: Notify::default(),
            orcpt: None,
        },
        hidden: *index == 9,
        category: "spam".into(),
        reason: "phishing".into(),
        held_by: "".into(),
        main_class: "Phish".into(),
        sub_class: "".into(),
        extra_classes: Vec::new(),
        likelihood: "HIGH".into(),
        points: 12_345,
        list_entry: "".into(),
        rules: Vec::new(),
        action: "quarantine".into(),
        reply: None,
    };
    HeldMail {
        mail: MailId(uuid::Uuid::from_u128(number)),
        direction: Direction::Inbound,
        received_at: NOW,
        held_at: NOW,
        days,
        client: crate::envelope::Client {
            address: "192.0.2.1:1025".parse().unwrap(),
            local: "192.0.2.2:25".parse().unwrap(),
            name: None,
            helo: "mail.example.net".into(),
            esmtp: true,
            tls: None,
        },
        envelope: Envelope {
            reverse_path: Some(Mailbox::new("Sender", "example.net")),
            ..Envelope::default()
        },
        author: "Bank <bank@example.org>".into(),
        authors: vec!["bank@example.org".into()],
        subject: "当選 Winner".into(),
        bytes: 4,
        received_bytes: 0,
        recipients_count: 0,
        message_id: "<x@example.net>".into(),
        our_message_id: "".into(),
        attachments: Vec::new(),
        auth: Vec::new(),
        auth_evidence: Vec::new(),
        items: recipients.iter().map(item).collect(),
    }
}

async fn open<D: Disk>(disk: &D, directory: &Path) -> Quarantine<D> {
    let budget = Arc::new(Budget::new("quarantine", u64::MAX, 0));
    let options = LogOptions::new(directory.join("0"), 4, budget);
    Quarantine::open(disk.clone(), 0, options, NOW).await.unwrap()
}

fn by(state: &str) -> ItemState {
    let (by, at) = ("admin".into(), NOW);
    match state {
        "held" => ItemState::Held,
        "held again" => ItemState::HeldAgain(Box::default()),
        "releasing" => ItemState::Releasing { by, at, again: None },
        "released" => ItemState::Released { by, at, ham: false },
        "deleted" => ItemState::Deleted { by, at },
        other => panic!("no state {other}"),
    }
}

#[test]
fn an_item_goes_from_held_over_releasing_to_released_and_never_back_from_deleted() {
    let allowed = [
        ("held", "releasing"),
        ("held", "deleted"),
        ("held again", "releasing"),
        ("held again", "deleted"),
        ("releasing", "held"),
        ("releasing", "held again"),
        // What a crash left in this state is released once more.
        ("releasing", "releasing"),
        ("releasing", "released"),
        ("releasing", "deleted"),
        ("released", "deleted"),
    ];
    let states = ["held", "held again", "releasing", "released", "deleted"];
    for from in states {
        for to in states {
            let may = by(from).may_become(&by(to));
            assert_eq!(may, allowed.contains(&(from, to)), "{from} -> {to}");
        }
    }
}

#[test]
fn a_state_of_a_newer_release_counts_as_held_and_those_of_older_ones_are_read() {
    let read = |text: &str| serde_json::from_str::<ItemState>(text).unwrap_or_default();
    assert_eq!(read(r#"{"state":"sealed","by":"x"}"#), ItemState::Held);
    let text = r#"{"state":"releasing","by":"admin","at":1700000000000}"#;
    assert_eq!(read(text), by("releasing"));
    let again = Again { reason: "oversize".into(), ..Again::default() };
    let state = ItemState::HeldAgain(Box::new(again));
    let text = serde_json::to_string(&state).unwrap();
    assert!(text.starts_with(r#"{"state":"held_again","#), "{text}");
    assert_eq!(read(&text), state);
}

#[test]
fn items_of_one_copy_have_states_of_their_own_that_survive_a_power_cut() {
    let disk = SimDisk::new(5);
    let root = PathBuf::from("/quarantine");
    let ids = run(&disk, async {
        let quarantine = open(&disk, &root).await;
        let content = Content::from_octets(*b"mail");
        let ids = quarantine.hold(&held(1, 30, &[1, 4]), &content, NOW).await.unwrap();
        // Another copy of the same mail, with another retention.
        quarantine.hold(&held(1, 14, &[2]), &content, NOW).await.unwrap();
        let releasing = quarantine.begin_release(ids[0], "admin", NOW).await.unwrap();
        releasing.end(by("released"), NOW).await.unwrap();
        let again = quarantine.begin_release(ids[0], "admin", NOW).await.unwrap_err();
        assert!(matches!(again, SpoolError::State { state: "released", .. }), "{again}");
        ids
    });
    assert_eq!(ids[1].to_string(), "0-00000000000000000000000000000001-4");
    assert_eq!(ids[1].to_string().parse::<ItemId>().unwrap(), ids[1]);
    disk.crash();
    run(&disk, async {
        let quarantine = open(&disk, &root).await;
        let early = quarantine.load(ids[0], NOW).await.unwrap_err();
        assert!(matches!(early, SpoolError::StillRead { .. }), "not \"not found\": {early}");
        quarantine.recover().await;
        assert_eq!(quarantine.count(), 2);
        let (mail, state, content) = quarantine.load(ids[0], NOW).await.unwrap();
        assert_eq!((mail, state), (held(1, 30, &[1, 4]), by("released")));
        assert_eq!(&**content.as_memory().unwrap(), b"mail");
        assert_eq!(quarantine.load(ids[1], NOW).await.unwrap().1, ItemState::Held);
        quarantine.delete(ids[0], "admin", NOW).await.unwrap();
        assert!(quarantine.load(ids[0], NOW).await.is_err(), "deleted is invisible");
        let twice = quarantine.delete(ids[0], "admin", NOW).await.unwrap_err();
        assert!(matches!(twice, SpoolError::NotFound { .. }), "{twice}");
        assert!(quarantine.load(ids[1], NOW).await.is_ok(), "the other recipient's is not");
        quarantine.delete(ids[1], "admin", NOW).await.unwrap();
        assert_eq!(quarantine.count(), 1, "the copy goes with its last item");
    });
}

#[test]
fn an_item_is_released_once_however_often_it_is_asked_for_and_after_a_crash_once_more() {
    // An operator got no answer for a minute and repeated the command: the state was `Releasing`, from which
    // `Releasing` was allowed because a crash may leave it so, and the mail went out twice.
    let disk = SimDisk::new(5);
    let root = PathBuf::from("/quarantine");
    let id = run(&disk, async {
        let quarantine = open(&disk, &root).await;
        let content = Content::from_octets(*b"mail");
        let id = quarantine.hold(&held(1, 30, &[0]), &content, NOW).await.unwrap()[0];
        // Two at the same time, whatever the order in which their steps run.
        let (one, two) = futures_lite::future::zip(
            quarantine.begin_release(id, "one", NOW),
            quarantine.begin_release(id, "two", NOW),
        )
        .await;
        let (first, second) = if one.is_ok() { (one, two) } else { (two, one) };
        let second = second.unwrap_err();
        assert!(matches!(second, SpoolError::UnderWay { .. }), "{second}");
        let third = quarantine.begin_release(id, "three", NOW).await.unwrap_err();
        assert!(matches!(third, SpoolError::UnderWay { .. }), "{third}");
        let deleted = quarantine.delete(id, "four", NOW).await.unwrap_err();
        assert!(matches!(deleted, SpoolError::UnderWay { .. }), "{deleted}");
        // The next hop refused it: it is held as before, and may be released.
        first.unwrap().end(ItemState::Held, NOW).await.unwrap();
        let again = quarantine.begin_release(id, "five", NOW).await.unwrap();
        assert_eq!(again.before, ItemState::Held);
        // And here the process dies, with the mail on its way.
        id
    });
    disk.crash();
    run(&disk, async {
        let quarantine = open(&disk, &root).await;
        quarantine.recover().await;
        let left_over = quarantine.begin_release(id, "six", NOW).await.unwrap();
        assert!(matches!(&left_over.before, ItemState::Releasing { by, .. } if &**by == "five"));
        assert_eq!(left_over.before.held(), ItemState::Held);
        left_over.end(by("released"), NOW).await.unwrap();
        assert_eq!(quarantine.load(id, NOW).await.unwrap().1, by("released"));
    });
}

/// What was told to somebody before the power went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Told {
    held: bool,
    releasing: bool,
    released: bool,
    other_deleted: bool,
}

#[test]
fn a_power_cut_at_any_step_of_a_release_leaves_a_state_that_may_be_gone_on_from() {
    let root = PathBuf::from("/quarantine");
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..400_u64 {
        let disk = SimDisk::new(seed);
        let told = std::cell::Cell::new(Told::default());
        let tell = |change: fn(&mut Told)| {
            let mut now = told.get();
            change(&mut now);
            told.set(now);
        };
        let work = async {
            let quarantine = open(&disk, &root).await;
            let content = Content::from_octets(*b"mail");
            let ids = quarantine.hold(&held(1, 30, &[0, 1]), &content, NOW).await.unwrap();
            tell(|told| told.held = true);
            quarantine.delete(ids[1], "admin", NOW).await.unwrap();
            tell(|told| told.other_deleted = true);
            let releasing = quarantine.begin_release(ids[0], "admin", NOW).await.unwrap();
            tell(|told| told.releasing = true);
            releasing.end(by("released"), NOW).await.unwrap();
            tell(|told| told.released = true);
        };
        // Anywhere, the end included.
        let _ = disk.run(work, 10 + seed % 97);
        disk.crash();
        let told = told.get();
        run(&disk, async {
            let quarantine = open(&disk, &root).await;
            quarantine.recover().await;
            let id =
                |recipient| ItemId { shard: 0, mail: MailId(uuid::Uuid::from_u128(1)), recipient };
            let state = match quarantine.load(id(0), NOW).await {
                Ok((_, state, _)) => state,
                Err(error) => {
                    assert!(!told.held, "seed {seed}: held, and gone: {error}");
                    return;
                }
            };
            seen.insert(state.name());
            assert!(
                !told.other_deleted || quarantine.load(id(1), NOW).await.is_err(),
                "seed {seed}: deleted, and back"
            );
            if told.releasing {
                assert_ne!(state, ItemState::Held, "seed {seed}: nobody knows whether it went out");
            }
            if told.released {
                assert_eq!(state, by("released"), "seed {seed}");
            }
            match quarantine.begin_release(id(0), "again", NOW).await {
                Ok(releasing) => releasing.end(by("released"), NOW).await.unwrap(),
                Err(error) => assert_eq!(state, by("released"), "seed {seed}: {error}"),
            }
        });
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["held", "released", "releasing"]);
}

#[test]
fn an_item_is_found_beside_another_copy_of_the_same_mail_that_cannot_be_read() {
    let disk = SimDisk::new(5);
    let root = PathBuf::from("/quarantine");
    run(&disk, async {
        let quarantine = open(&disk, &root).await;
        let content = Content::from_octets(*b"mail");
        let damaged = quarantine.hold(&held(1, 30, &[0]), &content, NOW).await.unwrap()[0];
        let whole = quarantine.hold(&held(1, 30, &[1]), &content, NOW).await.unwrap()[0];
        let (path, mut octets) = disk.files(&root).remove(0);
        let at = memchr::memmem::find(&octets, b"phishing").expect("metadata of the first");
        octets[at] ^= 4;
        disk.set_file(&path, octets);
        assert!(quarantine.load(whole, NOW).await.is_ok());
        let error = quarantine.load(damaged, NOW).await.unwrap_err();
        assert!(matches!(error, SpoolError::Damaged { .. }), "not \"not found\": {error}");
    });
}

#[test]
fn a_release_that_is_dropped_half_way_leaves_an_item_that_may_be_released() {
    let disk = SimDisk::new(8);
    run(&disk, async {
        let quarantine = open(&disk, Path::new("/quarantine")).await;
        let content = Content::from_octets(*b"mail");
        let id = quarantine.hold(&held(1, 30, &[0]), &content, NOW).await.unwrap()[0];
        drop(quarantine.begin_release(id, "one", NOW).await.unwrap());
        assert!(quarantine.begin_release(id, "two", NOW).await.is_ok());
        // One that does not even begin leaves nothing behind, either.
        let gone = quarantine.begin_release(id, "three", later(30)).await.unwrap_err();
        assert!(matches!(gone, SpoolError::NotFound { .. }), "{gone}");
        assert!(quarantine.begin_release(id, "four", NOW).await.is_ok());
    });
}

#[test]
fn a_deletion_that_could_not_be_written_down_does_not_happen_later_by_itself() {
    // The disk refused one flush. The operator was told that the item was not deleted, but its note waited for the
    // next flush, and at the next start the item was gone.
    let disk = SimDisk::new(6);
    let root = PathBuf::from("/quarantine");
    let id = run(&disk, async {
        let quarantine = open(&disk, &root).await;
        let content = Content::from_octets(*b"mail");
        let id = quarantine.hold(&held(1, 30, &[0, 1]), &content, NOW).await.unwrap()[0];
        disk.set_faults(Faults { sync_fails: 1000, ..Faults::default() });
        let failed = quarantine.delete(id, "admin", NOW).await.unwrap_err();
        assert!(matches!(failed, SpoolError::Io { .. }), "{failed}");
        assert_eq!(quarantine.load(id, NOW).await.unwrap().1, ItemState::Held);
        disk.set_faults(Faults::default());
        // Something else is written.
        quarantine.hold(&held(2, 30, &[0]), &content, NOW).await.unwrap();
        id
    });
    disk.crash();
    run(&disk, async {
        let quarantine = open(&disk, &root).await;
        quarantine.recover().await;
        assert_eq!(quarantine.load(id, NOW).await.unwrap().1, ItemState::Held);
    });
}

#[test]
fn an_item_that_expires_while_it_is_released_keeps_its_file_to_the_end() {
    let disk = SimDisk::new(5);
    run(&disk, async {
        let quarantine = open(&disk, Path::new("/quarantine")).await;
        let content = Content::from_octets(*b"mail");
        let id = quarantine.hold(&held(1, 14, &[0]), &content, NOW).await.unwrap()[0];
        let releasing = quarantine.begin_release(id, "admin", NOW).await.unwrap();
        assert_eq!(quarantine.expire(later(15)).await, 0);
        releasing.end(by("released"), later(15)).await.unwrap();
        assert_eq!(quarantine.expire(later(15)).await, 1);
        assert_eq!(quarantine.count(), 0);
    });
}

/// A mark that is on the disk wherever octets of that mail are.
fn marked(number: u8, bytes: usize) -> Vec<u8> {
    [format!("[octets of mail {number}]").into_bytes(), vec![number; bytes]].concat()
}

/// Which of the mails have octets left anywhere under the root: segments, `large/`, whatever their name.
fn left(disk: &SimDisk, root: &Path) -> Vec<u8> {
    let files = disk.files(root);
    let found =
        |mark: &[u8]| files.iter().any(|(_, octets)| memchr::memmem::find(octets, mark).is_some());
    (1..10).filter(|number| found(&marked(*number, 0)) || found(&[*number; 64])).collect()
}

/// A content in a file of its own, as a large mail arrives.
async fn large(disk: &SimDisk, root: &Path, octets: Vec<u8>) -> Incoming<SimDisk> {
    let mail = MailId(uuid::Uuid::from_u128(u128::from(octets[40])));
    let room = Arriving::default();
    let mut writer = LargeWriter::create(disk.clone(), root, mail, room).await.unwrap();
    writer.write(octets).await.unwrap();
    writer.finish().await.unwrap()
}

/// The minutes and seconds of a day go by, coarsely.
async fn hours(quarantine: &Quarantine<SimDisk>, disk: &SimDisk, from: UnixMillis, count: u64) {
    for hour in 1..=count {
        let now = UnixMillis(from.0 + hour * 3_600_000);
        quarantine.expire(now).await;
        for second in 0..3 {
            quarantine.tick(UnixMillis(now.0 + second * 1000)).await;
            for _ in 0..300 {
                disk.pause().await;
            }
        }
    }
}

#[test]
fn octets_of_what_is_deleted_expired_or_released_and_expired_are_gone_from_disk_in_24_hours() {
    let root = PathBuf::from("/quarantine");
    for seed in 0..6 {
        let disk = SimDisk::new(seed);
        let ids = run(&disk, async {
            let quarantine = open(&disk, &root).await;
            let mut ids = Vec::new();
            for number in 1..=8_u8 {
                let days = if number % 2 == 1 { 14 } else { 30 };
                let octets = marked(number, 3_000);
                let held = held(u128::from(number), days, &[0]);
                let id = if number < 5 {
                    quarantine.hold(&held, &Content::from_octets(octets), NOW).await
                } else {
                    let incoming = large(&disk, &PathBuf::from("/incoming"), octets).await;
                    quarantine.hold(&held, &incoming.content, NOW).await
                };
                ids.push(id.unwrap()[0]);
            }
            // 2 and 6 are deleted, 4 and 8 stay, 1 and 5 are released; these and 3 and 7 expire.
            quarantine.delete(ids[1], "admin", NOW).await.unwrap();
            quarantine.delete(ids[5], "admin", NOW).await.unwrap();
            for id in [ids[0], ids[4]] {
                let releasing = quarantine.begin_release(id, "admin", NOW).await.unwrap();
                releasing.end(by("released"), NOW).await.unwrap();
            }
            hours(&quarantine, &disk, NOW, 10).await;
            ids
        });
        // A power cut on the way starts no clock anew.
        disk.crash();
        run(&disk, async {
            let quarantine = open(&disk, &root).await;
            quarantine.recover().await;
            hours(&quarantine, &disk, UnixMillis(NOW.0 + 10 * 3_600_000), 13).await;
            assert_eq!(left(&disk, &root), [1, 3, 4, 5, 7, 8], "seed {seed}: 23 hours later");
            let day = UnixMillis(later(14).0 - 1);
            assert_eq!(quarantine.expire(day).await, 0, "never before its day");
            for id in [ids[0], ids[2], ids[4], ids[6]] {
                assert!(quarantine.load(id, day).await.is_ok());
                assert!(quarantine.load(id, later(14)).await.is_err(), "invisible on the day");
            }
            hours(&quarantine, &disk, later(14), 23).await;
            assert_eq!(left(&disk, &root), [4, 8], "seed {seed}: 23 hours after its day");
            for id in [ids[3], ids[7]] {
                let (_, state, content) = quarantine.load(id, later(15)).await.unwrap();
                assert_eq!((state, content.bytes() > 3_000), (ItemState::Held, true));
            }
        });
    }
}

#[test]
fn a_damaged_neighbour_holds_up_the_octets_of_the_dead_no_longer_than_it_lives_itself() {
    // Compaction found a record with a flipped bit, and never looked at that segment again: when the damaged mail
    // had expired, too, all the octets in it stayed on the disk.
    let disk = SimDisk::new(5);
    let root = PathBuf::from("/quarantine");
    run(&disk, async {
        let quarantine = open(&disk, &root).await;
        let mut ids = Vec::new();
        for number in 1..=2_u8 {
            let content = Content::from_octets(marked(number, 3_000));
            let held = held(u128::from(number), 14, &[0]);
            ids.push(quarantine.hold(&held, &content, NOW).await.unwrap()[0]);
        }
        hours(&quarantine, &disk, NOW, 7).await;
        let (path, mut octets) = disk.files(&root).remove(0);
        let at = memchr::memmem::find(&octets, &[1; 64]).expect("its body");
        octets[at] ^= 4;
        disk.set_file(&path, octets);
        quarantine.delete(ids[1], "admin", NOW).await.unwrap();
        hours(&quarantine, &disk, UnixMillis(NOW.0 + 7 * 3_600_000), 20).await;
        assert_eq!(left(&disk, &root), [1, 2], "nothing of a damaged record is thrown away");
        assert_eq!(quarantine.take_damage().len(), 1, "one alarm, not one for each try");
        hours(&quarantine, &disk, later(14), 23).await;
        assert_eq!(left(&disk, &root), [0_u8; 0]);
    });
}

#[test]
fn the_command_line_lists_filters_and_exports_beside_a_running_engine() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("quarantine");
    let path = root.clone();
    let ids = crate::spool::on_glommio(async move {
        let quarantine = open(&crate::spool::disk::GlommioDisk, &path).await;
        let content = Content::from_octets(*b"mail");
        let ids = quarantine.hold(&held(1, 30, &[1, 2, 9]), &content, NOW).await.unwrap();
        quarantine.hold(&held(2, 14, &[0]), &content, NOW).await.unwrap();
        quarantine.delete(ids[1], "admin", NOW).await.unwrap();
        drop(quarantine.begin_release(ids[0], "admin", NOW).await.unwrap());
        let again = Again {
            main_class: "Spam".into(),
            reason: "oversize".into(),
            hidden: true,
            ..Again::default()
        };
        let state = ItemState::HeldAgain(Box::new(again));
        let last = quarantine.hold(&held(3, 30, &[7]), &content, NOW).await.unwrap()[0];
        let releasing = quarantine.begin_release(last, "admin", NOW).await.unwrap();
        releasing.end(state, NOW).await.unwrap();
        ids
    });
    let count = |filter: Filter, now| reader::list(&root, &filter, 9, now).unwrap().items.len();
    assert_eq!(count(Filter::default(), NOW), 2, "one is deleted, two are hidden");
    assert_eq!(count(Filter { with_hidden: true, ..Filter::default() }, NOW), 4);
    assert_eq!(count(Filter::default(), later(14)), 1, "one has expired");
    let cases = [
        (Filter { recipient: "USER1@".into(), ..Filter::default() }, 1),
        (Filter { sender: "bank".into(), ..Filter::default() }, 2),
        (Filter { sender: "sender@example.net".into(), ..Filter::default() }, 2),
        (Filter { subject: "当選".into(), ..Filter::default() }, 2),
        (Filter { reason: "Phishing".into(), ..Filter::default() }, 2),
        (Filter { reason: "phish".into(), recipient: "user0".into(), ..Filter::default() }, 1),
        (Filter { reason: "malware".into(), ..Filter::default() }, 0),
        (Filter { reason: "oversize".into(), with_hidden: true, ..Filter::default() }, 1),
        (Filter { class: "spam".into(), with_hidden: true, ..Filter::default() }, 1),
        (Filter { class: "Phish".into(), with_hidden: true, ..Filter::default() }, 3),
        (Filter { from: Some(later(1)), ..Filter::default() }, 0),
        (Filter { to: Some(later(1)), ..Filter::default() }, 2),
    ];
    for (filter, expected) in cases {
        assert_eq!(count(filter.clone(), NOW), expected, "{filter:?}");
    }
    let found = reader::find(&root, ids[0], NOW).unwrap();
    assert_eq!(found.state, by("releasing"));
    assert_eq!(&**found.content().unwrap().as_memory().unwrap(), b"mail");
    assert!(matches!(reader::find(&root, ids[1], NOW), Err(SpoolError::NotFound { .. })));
}

#[test]
fn a_list_of_thousands_keeps_the_newest_rows_only_and_one_item_is_found_by_the_index() {
    const COPIES: u64 = 3_000;
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("quarantine");
    let path = root.clone();
    let ids = crate::spool::on_glommio(async move {
        let quarantine = open(&crate::spool::disk::GlommioDisk, &path).await;
        let content = Content::from_octets(*b"mail");
        let mut holding = Vec::new();
        for number in 0..COPIES {
            let mut mail = held(u128::from(number) + 1, 30, &[0, 1]);
            mail.held_at = UnixMillis(NOW.0 + number * 1000);
            let (quarantine, content) = (quarantine.clone(), content.clone());
            holding.push(glommio::spawn_local(async move {
                quarantine.hold(&mail, &content, NOW).await.unwrap()[1]
            }));
        }
        let mut ids = Vec::new();
        for task in holding {
            ids.push(task.await);
        }
        ids
    });
    let begun = crate::clock::Now::read().mono;
    let listing = reader::list(&root, &Filter::default(), 50, NOW).unwrap();
    let listed = crate::clock::Now::read().mono.since(begun);
    assert_eq!((listing.total, listing.items.len()), (2 * COPIES, 50));
    let newest = listing.items.iter().map(|listed| listed.held.held_at.0);
    assert!(newest.clone().is_sorted_by(|a, b| a >= b));
    assert_eq!(newest.min(), Some(NOW.0 + (COPIES - 25) * 1000));
    let some: Vec<ItemId> = ids.iter().step_by(10).copied().collect();
    let begun = crate::clock::Now::read().mono;
    let (found, damage) = reader::find_all(&root, &some, NOW).unwrap();
    let searched = crate::clock::Now::read().mono.since(begun);
    assert_eq!((found.len(), damage.len()), (some.len(), 0));
    println!("{COPIES} copies: list {listed:?}, {} items by id {searched:?}", some.len());
}
