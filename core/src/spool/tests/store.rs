//! The spool of queued mails, and large mails.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::proof::octets;
use crate::clock::UnixMillis;
use crate::content::{Content, Piece};
use crate::envelope::{Envelope, MailId, Mailbox, Notify, Recipient};
use crate::reply::Reply;
use crate::spool::budget::{Arriving, Budget};
use crate::spool::log::LogOptions;
use crate::spool::sim::SimDisk;
use crate::spool::{
    CopyId, Deferral, Mark, Outcome, QueuedMail, QueuedRecipient, QueuedSummary, RecipientState,
    SpoolError, SpoolStore,
};

const NOW: UnixMillis = UnixMillis(5_000_000);

fn options() -> LogOptions {
    let budget = Arc::new(Budget::new("spool", 10 << 20, 1 << 20));
    LogOptions::new(PathBuf::from("/spool/0"), 4, budget)
}

fn run<T>(disk: &SimDisk, future: impl Future<Output = T>) -> T {
    disk.run(future, 1_000_000).expect("it ends")
}

pub(super) fn mail(number: u128, recipients: u16) -> QueuedMail {
    let recipient = |index: u16| QueuedRecipient {
        index,
        recipient: Recipient {
            original: Mailbox::new(&format!("user{index}"), "example.com"),
            resolved: Mailbox::new(&format!("user{index}"), "example.com"),
            notify: Notify::default(),
            orcpt: None,
        },
        state: RecipientState::Waiting,
    };
    QueuedMail {
        mail: MailId(uuid::Uuid::from_u128(number)),
        client: None,
        envelope: Envelope::default(),
        route_domain: "example.com".into(),
        recipients: (2..2 + recipients).map(recipient).collect(),
        queued_at: NOW,
        deferral: Deferral::default(),
        may_report: true,
        fallback: None,
        subject: "テスト".into(),
        message_id: "<1@example.com>".into(),
        bytes: 0,
        extra: serde_json::Value::Null,
    }
}

pub(super) fn delivered() -> Outcome {
    Outcome::Delivered { reply: Reply::plain(250, "ok") }
}

async fn open(disk: &SimDisk) -> SpoolStore<SimDisk> {
    SpoolStore::open(disk.clone(), options(), NOW).await.unwrap()
}

async fn recovered(store: &SpoolStore<SimDisk>) -> Vec<QueuedMail> {
    let mut recovery = store.recover();
    let mut mails = Vec::new();
    while let Some(found) = recovery.next().await {
        let (id, summary) = found.unwrap();
        let (mut mail, _) = store.load(id).await.unwrap();
        mail.deferral = summary.deferral.clone();
        assert_eq!(summary, QueuedSummary::of(&mail), "both tell the same story");
        mails.push(mail);
    }
    mails
}

#[test]
fn a_queued_mail_comes_back_with_its_settled_recipients_and_its_last_deferral() {
    let disk = SimDisk::new(3);
    let queued = mail(1, 3);
    let id = queued.copy_id();
    assert_eq!(id.copy, 2, "the smallest recipient index names the copy");
    run(&disk, async {
        let store = open(&disk).await;
        store
            .put(&queued, &Content::from_octets(*b"Subject: x\r\n\r\nbody\r\n"), NOW)
            .await
            .unwrap();
        store.settle(id, 3, delivered(), NOW).unwrap().durable().await.unwrap();
        for attempts in 1..=2 {
            let next_attempt_at = UnixMillis(NOW.0 + 1000);
            let mark = Mark::OutcomeUnknown;
            let last_answer = "451 later".into();
            let deferral = Deferral { attempts, next_attempt_at, last_answer, mark };
            store.defer(id, &deferral, NOW).unwrap();
        }
        store.flush().await.unwrap();
    });
    disk.crash();
    run(&disk, async {
        let store = open(&disk).await;
        let error = store.settle(id, 2, delivered(), NOW).unwrap_err();
        assert!(matches!(error, SpoolError::NotFound { .. }), "not before recovery came to it");
        let mails = recovered(&store).await;
        assert_eq!(mails.len(), 1);
        assert_eq!(mails[0].waiting().map(|r| r.index).collect::<Vec<_>>(), [2, 4]);
        assert_eq!(mails[0].deferral.attempts, 2);
        assert_eq!(mails[0].deferral.mark, Mark::OutcomeUnknown);
        let (loaded, content) = store.load(id).await.unwrap();
        assert_eq!(loaded.waiting().count(), 2);
        assert_eq!(octets(&content), b"Subject: x\r\n\r\nbody\r\n");
        store.settle(id, 2, delivered(), NOW).unwrap();
        store.settle(id, 2, delivered(), NOW).unwrap();
        assert_eq!(store.count(), 1, "settling one twice does not settle the other");
        store.settle(id, 4, delivered(), NOW).unwrap().durable().await.unwrap();
        assert_eq!(store.count(), 0);
    });
    disk.crash();
    run(&disk, async {
        assert!(recovered(&open(&disk).await).await.is_empty());
    });
}

#[test]
fn new_mail_is_accepted_while_old_segments_are_not_read_yet() {
    let disk = SimDisk::new(3);
    run(&disk, async {
        open(&disk).await.put(&mail(1, 1), &Content::default(), NOW).await.unwrap()
    });
    disk.crash();
    run(&disk, async {
        let store = open(&disk).await;
        store.put(&mail(2, 1), &Content::default(), NOW).await.unwrap();
        let (loaded, _) = store.load(CopyId::new(mail(2, 1).mail, 2)).await.unwrap();
        assert_eq!(loaded, mail(2, 1));
        let mails = recovered(&store).await;
        assert_eq!(mails, [mail(1, 1)], "recovery gives the old ones only");
        assert_eq!(store.count(), 2);
    });
}

#[test]
fn a_large_mail_is_linked_before_its_record_and_goes_with_it() {
    let disk = SimDisk::new(3);
    let queued = mail(1, 1);
    let body: Vec<u8> = (0..400_000u32).map(|i| (i / 7) as u8).collect();
    run(&disk, async {
        let store = open(&disk).await;
        let mut writer = store.incoming(queued.mail, Arriving::default()).await.unwrap();
        for part in body.chunks(65_536) {
            writer.write(part.to_vec()).await.unwrap();
        }
        assert_eq!(writer.bytes(), 400_000);
        let incoming = writer.finish().await.unwrap();
        let mut content = incoming.content.clone();
        content.pieces.insert(0, Piece::Memory(Arc::from(*b"Received: us\r\n")));
        store.put(&queued, &content, NOW).await.unwrap();
    });
    disk.crash();
    run(&disk, async {
        let store = open(&disk).await;
        assert_eq!(recovered(&store).await.len(), 1);
        assert!(disk.files(Path::new("/spool/0/incoming")).is_empty(), "emptied at the start");
        let (_, content) = store.load(queued.copy_id()).await.unwrap();
        assert!(octets(&content).strip_prefix(b"Received: us\r\n").unwrap() == body);
        store.settle(queued.copy_id(), 2, delivered(), NOW).unwrap().durable().await.unwrap();
        for _ in 0..1_000 {
            crate::spool::disk::Disk::pause(&disk).await;
        }
        assert!(disk.files(Path::new("/spool/0/large")).is_empty());
    });
}

#[test]
fn the_room_of_a_large_mail_is_promised_while_it_arrives_and_given_back_when_it_is_gone() {
    let disk = SimDisk::new(3);
    run(&disk, async {
        let store = open(&disk).await;
        let budget = Arc::new(Budget::new("spool", 1 << 20, 1 << 18));
        let room = |bytes| Arriving::promise(&[&budget], bytes).unwrap();
        let gone = async || {
            for _ in 0..200 {
                crate::spool::disk::Disk::pause(&disk).await;
            }
            assert!(disk.files(Path::new("/spool/0/incoming")).is_empty());
            budget.arriving()
        };
        let mut aborted = store.incoming(mail(1, 1).mail, room(0)).await.unwrap();
        aborted.write(vec![1; 500_000]).await.unwrap();
        assert_eq!(budget.arriving(), 500_000, "nothing was declared: as it comes");
        let error = aborted.write(vec![1; 300_000]).await.unwrap_err();
        assert!(error.is_full(), "452 before the reserve is touched: {error}");
        assert_eq!(disk.files(Path::new("/spool/0/incoming"))[0].1.len(), 500_000);
        drop(aborted);
        assert_eq!(gone().await, 0, "an abort gives its room back");

        let mut writer = store.incoming(mail(2, 1).mail, room(400_000)).await.unwrap();
        assert_eq!(budget.arriving(), 400_000, "as declared, before the first octet");
        writer.write(vec![2; 300_000]).await.unwrap();
        let incoming = writer.finish().await.unwrap();
        assert_eq!(budget.arriving(), 400_000, "complete, and not yet kept anywhere");
        drop(incoming);
        assert_eq!(gone().await, 0);
    });
}

#[test]
fn a_large_mail_whose_file_is_gone_or_short_is_damaged_and_says_so() {
    let disk = SimDisk::new(3);
    run(&disk, async {
        let store = open(&disk).await;
        let queued = mail(1, 1);
        let mut writer = store.incoming(queued.mail, Arriving::default()).await.unwrap();
        writer.write(vec![7; 300_000]).await.unwrap();
        let incoming = writer.finish().await.unwrap();
        store.put(&queued, &incoming.content, NOW).await.unwrap();
        let (path, _) = disk.files(Path::new("/spool/0/large")).remove(0);
        disk.set_file(&path, vec![7; 1_000]);
        let error = store.load(queued.copy_id()).await.unwrap_err().to_string();
        let expected = format!("its file {}: 1000 octets, expected 300000", path.display());
        assert!(error.contains(&expected), "{error}");
    });
}

#[test]
fn a_mail_above_the_budget_is_refused_and_room_comes_back() {
    let disk = SimDisk::new(3);
    run(&disk, async {
        let store = open(&disk).await;
        assert!(store.admits(9 << 20).is_ok());
        assert!(store.admits((9 << 20) + 1).unwrap_err().is_full(), "the reserve is kept");
        let octets = Content::from_octets(vec![1; 11 << 20]);
        assert!(store.put(&mail(1, 1), &octets, NOW).await.unwrap_err().is_full());
        assert_eq!(store.count(), 0);
        store.put(&mail(2, 1), &Content::from_octets(vec![1; 8 << 20]), NOW).await.unwrap();
        assert!(store.admits(2 << 20).is_err());
        store.settle(mail(2, 1).copy_id(), 2, delivered(), NOW).unwrap().durable().await.unwrap();
        for second in 1..4 {
            store.tick(UnixMillis(NOW.0 + second * 30_000_000)).await;
            for _ in 0..2_000 {
                crate::spool::disk::Disk::pause(&disk).await;
            }
        }
        assert!(store.admits(8 << 20).is_ok(), "recovers by itself");
    });
}
