//! Held mails: states, expiry, the reader of the command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::reader::{self, Filter};
use super::{HeldItem, HeldMail, ItemId, ItemState, Quarantine};
use crate::clock::UnixMillis;
use crate::content::Content;
use crate::envelope::{Envelope, MailId, Mailbox, Notify, Recipient};
use crate::spool::SpoolError;
use crate::spool::budget::Budget;
use crate::spool::disk::Disk;
use crate::spool::held::Direction;
use crate::spool::log::LogOptions;
use crate::spool::sim::SimDisk;

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
        subject: "当選 Winner".into(),
        bytes: 4,
        message_id: "<x@example.net>".into(),
        our_message_id: "".into(),
        attachments: Vec::new(),
        auth: Vec::new(),
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
        "releasing" => ItemState::Releasing { by, at },
        "released" => ItemState::Released { by, at },
        "deleted" => ItemState::Deleted { by, at },
        other => panic!("no state {other}"),
    }
}

#[test]
fn an_item_goes_from_held_over_releasing_to_released_and_never_back_from_deleted() {
    let allowed = [
        ("held", "releasing"),
        ("held", "deleted"),
        ("releasing", "held"),
        ("releasing", "releasing"),
        ("releasing", "released"),
        ("releasing", "deleted"),
        ("released", "releasing"),
        ("released", "deleted"),
    ];
    let states = ["held", "releasing", "released", "deleted"];
    for from in states {
        for to in states {
            let may = by(from).may_become(&by(to));
            assert_eq!(may, allowed.contains(&(from, to)), "{from} -> {to}");
        }
    }
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
        quarantine.mark(ids[0], by("releasing"), NOW).await.unwrap();
        quarantine.mark(ids[0], by("released"), NOW).await.unwrap();
        let again = quarantine.mark(ids[0], by("held"), NOW).await.unwrap_err();
        assert!(matches!(again, SpoolError::State { state: "released", wanted: "held", .. }));
        ids
    });
    assert_eq!(ids[1].to_string(), "0-00000000000000000000000000000001-4");
    assert_eq!(ids[1].to_string().parse::<ItemId>().unwrap(), ids[1]);
    disk.crash();
    run(&disk, async {
        let quarantine = open(&disk, &root).await;
        quarantine.recover().await;
        assert_eq!(quarantine.count(), 2);
        let (mail, state, content) = quarantine.load(ids[0], NOW).await.unwrap();
        assert_eq!((mail, state), (held(1, 30, &[1, 4]), by("released")));
        assert_eq!(&**content.as_memory().unwrap(), b"mail");
        assert_eq!(quarantine.load(ids[1], NOW).await.unwrap().1, ItemState::Held);
        quarantine.mark(ids[0], by("deleted"), NOW).await.unwrap();
        assert!(quarantine.load(ids[0], NOW).await.is_err(), "deleted is invisible");
        assert!(quarantine.load(ids[1], NOW).await.is_ok(), "the other recipient's is not");
        quarantine.mark(ids[1], by("deleted"), NOW).await.unwrap();
        assert_eq!(quarantine.count(), 1, "the copy goes with its last item");
    });
}

#[test]
fn held_mail_expires_on_its_day_in_its_own_class_and_its_octets_go() {
    let disk = SimDisk::new(5);
    let root = PathBuf::from("/quarantine");
    run(&disk, async {
        let quarantine = open(&disk, &root).await;
        let content = Content::from_octets(vec![0xA7; 3_000]);
        let short = quarantine.hold(&held(1, 14, &[0]), &content, NOW).await.unwrap()[0];
        let content = Content::from_octets(*b"stays");
        let long = quarantine.hold(&held(2, 30, &[0]), &content, NOW).await.unwrap()[0];
        assert_eq!(quarantine.expire(UnixMillis(later(14).0 - 1)).await, 0, "never before its day");
        assert!(quarantine.load(short, UnixMillis(later(14).0 - 1)).await.is_ok());
        assert!(quarantine.load(short, later(14)).await.is_err(), "invisible on the day");
        for hour in 1..24 {
            let now = UnixMillis(later(14).0 + hour * 3_600_000);
            quarantine.expire(now).await;
            quarantine.tick(now).await;
            for _ in 0..300 {
                disk.pause().await;
            }
        }
        let left = disk.files(&root);
        let still = left.iter().any(|(_, octets)| octets.windows(64).any(|w| w == [0xA7; 64]));
        assert!(!still, "octets of expired mail are on the disk after 24 hours");
        assert!(quarantine.load(long, later(15)).await.is_ok());
    });
}

#[test]
fn the_command_line_lists_filters_and_exports_beside_a_running_engine() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("quarantine");
    let path = root.clone();
    let ids = glommio::LocalExecutorBuilder::new(glommio::Placement::Unbound)
        .io_memory(128 << 10)
        .ring_depth(64)
        .make()
        .unwrap()
        .run(async move {
            let quarantine = open(&crate::spool::disk::GlommioDisk, &path).await;
            let content = Content::from_octets(*b"mail");
            let ids = quarantine.hold(&held(1, 30, &[1, 2, 9]), &content, NOW).await.unwrap();
            quarantine.hold(&held(2, 14, &[0]), &content, NOW).await.unwrap();
            quarantine.mark(ids[1], by("deleted"), NOW).await.unwrap();
            quarantine.mark(ids[0], by("releasing"), NOW).await.unwrap();
            ids
        });
    let count = |filter: Filter, now| reader::list(&root, &filter, now).unwrap().items.len();
    assert_eq!(count(Filter::default(), NOW), 2, "one is deleted, one hidden");
    assert_eq!(count(Filter { with_hidden: true, ..Filter::default() }, NOW), 3);
    assert_eq!(count(Filter::default(), later(14)), 1, "one has expired");
    let cases = [
        (Filter { recipient: "USER1@".into(), ..Filter::default() }, 1),
        (Filter { sender: "bank".into(), ..Filter::default() }, 2),
        (Filter { sender: "sender@example.net".into(), ..Filter::default() }, 2),
        (Filter { subject: "当選".into(), ..Filter::default() }, 2),
        (Filter { reason: "Phishing".into(), ..Filter::default() }, 2),
        (Filter { reason: "phish".into(), recipient: "user0".into(), ..Filter::default() }, 1),
        (Filter { reason: "malware".into(), ..Filter::default() }, 0),
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
