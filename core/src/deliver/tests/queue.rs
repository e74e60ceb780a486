//! The queue: turns, back-off, operators, memory.

use std::time::Duration;

use super::memory::Memory;
use super::world::{Act, Moment, START, Sim};
use super::{Bench, bench, bench_with, copy, deliverer, message};
use crate::clock::{MonoMillis, Now, UnixMillis};
use crate::deliver::destinations::{Asker, Denied};
use crate::deliver::queue::{Line, Overdue, Queue, Taken, Waiting};
use crate::deliver::transport::World as _;
use crate::deliver::{Mode, Others, QUEUED_BYTES_MAX, Settings};
use crate::envelope::{MailId, Notify};
use crate::spool::{CopyId, QueuedSummary};

const FROM: &str = "s@client.example";

fn id(n: u64) -> CopyId {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&n.to_le_bytes());
    CopyId::new(MailId::from_parts(UnixMillis(START), random), 0)
}

fn waiting(n: u64, domain: &str) -> Waiting<'_> {
    Waiting {
        id: id(n),
        domain,
        bytes: 16_384,
        attempts: 1,
        last_answer: "450 4.4.1 connection refused",
        queued_at: 1,
        expires: MonoMillis(432_000_000),
        warn_at: None,
    }
}

fn now(millis: u64) -> Now {
    Now { unix: UnixMillis(START + millis), mono: MonoMillis(millis) }
}

/// The next one whose hops are not in doubt.
fn take(queue: &mut Queue, at: MonoMillis) -> Option<Taken> {
    queue.take(Line::Proven, at).or_else(|| queue.take(Line::Fresh, at))
}

#[test]
fn a_million_mails_for_dead_hops_take_at_most_300_octets_each() {
    // The worst shape too: a domain of its own for every mail.
    for (mails, domains) in [(1_000_000_u64, 1_000), (200_000, 200_000)] {
        let mut queue = Queue::new(20);
        for n in 0..mails {
            let domain = format!("dead-domain-number-{}.example", n % domains);
            let slot = queue.insert(&waiting(n, &domain));
            if n % 2 == 0 {
                queue.put_off(slot, MonoMillis(1_000_000 + n), 2, "450 4.4.1 refused");
            } else {
                queue.block(slot, MonoMillis(600_000), "450 4.4.1 connection refused");
            }
        }
        let each = queue.memory_bytes() / mails as usize;
        eprintln!("{mails} mails, {domains} domains: {each} octets each");
        assert!(each <= QUEUED_BYTES_MAX, "{each} octets for each mail");
    }
}

#[test]
fn healthy_domains_do_not_feel_a_million_mails_for_dead_hops() {
    let mut queue = Queue::new(20);
    for n in 0..1_000_000 {
        let domain = format!("dead-{}.example", n % 1_000);
        let slot = queue.insert(&waiting(n, &domain));
        queue.block(slot, MonoMillis(600_000), "450 4.4.1 refused");
    }
    for n in 0..100_u64 {
        let slot = queue.insert(&waiting(2_000_000 + n, "alive.example"));
        queue.make_ready(slot);
    }
    // Nothing of the dead is looked at: each take is a healthy one, with constant work.
    for _ in 0..100_u64 {
        let taken = take(&mut queue, MonoMillis(1_000)).expect("a healthy mail is next");
        assert!(taken.id.mail >= id(0).mail);
        queue.remove(taken.slot);
    }
    assert_eq!(take(&mut queue, MonoMillis(1_000)), None);
    assert_eq!(queue.take(Line::Doubtful, MonoMillis(599_999)), None);
    // When the back-off ends, one mail of each dead domain tries, and not from the healthy share.
    assert_eq!(take(&mut queue, MonoMillis(600_000)), None);
    let mut tried = 0;
    while queue.take(Line::Doubtful, MonoMillis(600_000)).is_some() {
        tried += 1;
    }
    assert_eq!(tried, 1_000);
}

#[test]
fn domains_take_turns_and_a_domain_keeps_its_order() {
    let mut queue = Queue::new(20);
    for (n, domain) in ["a", "a", "a", "b", "b", "c"].iter().enumerate() {
        let slot = queue.insert(&waiting(n as u64, domain));
        queue.make_ready(slot);
    }
    let order: Vec<_> =
        std::iter::from_fn(|| take(&mut queue, MonoMillis(0))).map(|t| t.id).collect();
    assert_eq!(order, [0, 3, 5, 1, 4, 2].map(id));
}

#[test]
fn a_domain_has_no_more_deliveries_under_way_than_it_may() {
    let mut queue = Queue::new(2);
    for n in 0..3 {
        let slot = queue.insert(&waiting(n, "a.example"));
        queue.make_ready(slot);
    }
    let one = take(&mut queue, MonoMillis(0)).unwrap();
    assert!(take(&mut queue, MonoMillis(0)).is_some());
    assert_eq!(take(&mut queue, MonoMillis(0)), None);
    queue.remove(one.slot);
    assert!(take(&mut queue, MonoMillis(0)).is_some());
}

#[test]
fn lifetimes_and_warnings_are_found_by_the_sweep_once() {
    let mut queue = Queue::new(20);
    let mut mail = waiting(1, "a.example");
    mail.expires = MonoMillis(10_000);
    mail.warn_at = Some(MonoMillis(5_000));
    let slot = queue.insert(&mail);
    queue.make_ready(slot);
    assert_eq!(queue.sweep(MonoMillis(4_000), 10, 10), (Vec::new(), 1));
    assert_eq!(queue.sweep(MonoMillis(5_000), 10, 10).0, [Overdue::Warning(slot, id(1))]);
    assert_eq!(queue.sweep(MonoMillis(5_000), 10, 10).0, []);
    assert!(matches!(queue.sweep(MonoMillis(10_000), 10, 10).0[..], [Overdue::Expired(_)]));
    assert_eq!(take(&mut queue, MonoMillis(10_000)), None, "it is being reported");
}

#[test]
fn what_an_operator_sees_and_does() {
    let mut queue = Queue::new(20);
    let one = queue.insert(&waiting(1, "a.example"));
    queue.put_off(one, MonoMillis(60_000), 3, "450 4.2.0 greylisted");
    let two = queue.insert(&waiting(2, "b.example"));
    queue.block(two, MonoMillis(5_000), "450 4.4.1 connection refused");
    let why = queue.why(None, now(1_000));
    let of = |name: &str| why.iter().find(|row| row.domain == name).unwrap();
    assert_eq!(of("a.example").why, "retry is scheduled after: 450 4.2.0 greylisted");
    assert_eq!(of("a.example").next_attempt_at, START + 60_000);
    assert_eq!(of("b.example").why, "backing off after: 450 4.4.1 connection refused");
    assert_eq!(of("b.example").bytes, 16_384);
    let (rows, total) = queue.rows(Some("a.example"), 10, now(1_000));
    assert_eq!((rows.len(), total, rows[0].attempts), (1, 1, 3));
    assert_eq!(queue.rows(None, 1, now(0)).1, 2);

    queue.hold("a.example");
    assert_eq!(queue.why(Some("a.example"), now(0))[0].why, "held by an operator");
    queue.flush(None);
    assert_eq!(
        queue.take(Line::Doubtful, MonoMillis(0)).map(|t| t.id),
        Some(id(2)),
        "back-off forgotten"
    );
    assert_eq!(take(&mut queue, MonoMillis(0)), None, "held stays held");
    assert!(queue.unhold("a.example"));
    assert!(!queue.unhold("a.example"));
    assert_eq!(take(&mut queue, MonoMillis(0)).map(|t| t.id), Some(id(1)));
}

fn spool(bench: &Bench, n: u8, to: &str) {
    let message = message(n, FROM, &[to]);
    let copies = [copy(&message, &[0], true)];
    let settled = bench.sim.run(bench.deliverer.settle(&message, &copies, Others::None));
    assert_eq!(settled.reply.code, 250);
}

#[test]
fn a_dead_hop_is_asked_less_and_less_and_everything_goes_when_it_answers() {
    let bench = bench();
    let hop = &bench.hops["a.example"];
    hop.behave(|_| Act::Refuse);
    for n in 1..=50 {
        spool(&bench, n, &format!("u{n}@a.example"));
    }
    assert_eq!(hop.connections.get(), 1, "while it backs off nobody asks");
    bench.run_queue(3_600);
    let asked = hop.connections.get();
    assert!((6..=20).contains(&asked), "{asked} connections in an hour");
    hop.behave(|_| Act::Normal);
    bench.run_queue(800);
    assert_eq!(hop.taken.borrow().len(), 50);
    assert_eq!(bench.deliverer.waiting(), 0);
}

#[test]
fn hold_unhold_flush_retry_and_remove() {
    let bench = bench();
    let hop = &bench.hops["a.example"];
    hop.behave(|_| Act::Refuse);
    for n in 1..=3 {
        spool(&bench, n, &format!("u{n}@a.example"));
    }
    hop.behave(|_| Act::Normal);
    bench.deliverer.queue_hold("a.example");
    bench.run_queue(3_600);
    assert_eq!(hop.taken.borrow().len(), 0);
    let removed = bench.deliverer.queue_remove(super::mail_id(3), "operator");
    assert_eq!(bench.sim.run(removed), Ok(true));
    let again = bench.deliverer.queue_remove(super::mail_id(3), "operator");
    assert_eq!(bench.sim.run(again), Ok(false), "repeating is harmless");
    assert!(bench.deliverer.queue_unhold("a.example"));
    bench.run_queue(60);
    assert_eq!(hop.taken.borrow().len(), 2);
    assert!(bench.store.reports().is_empty(), "removed without a report");

    hop.behave(|moment| match moment {
        Moment::Command(line) if line.starts_with("RCPT") => Act::Say("450 4.2.0 later"),
        _ => Act::Normal,
    });
    spool(&bench, 4, "u4@a.example");
    spool(&bench, 5, "u5@a.example");
    hop.behave(|_| Act::Normal);
    bench.run_queue(5);
    assert_eq!(hop.taken.borrow().len(), 2);
    assert!(bench.deliverer.queue_retry(super::mail_id(4)));
    bench.run_queue(2);
    assert_eq!(hop.taken.borrow().len(), 3);
    bench.deliverer.queue_flush(Some("a.example"));
    bench.run_queue(2);
    assert_eq!(hop.taken.borrow().len(), 4);
    assert!(!bench.deliverer.queue_retry(super::mail_id(9)));
}

#[test]
fn after_a_restart_the_spool_is_adopted_and_goes_on_by_its_schedule() {
    let bench = bench();
    let hop = &bench.hops["a.example"];
    hop.behave(|moment| match moment {
        Moment::Command(line) if line.starts_with("RCPT") => Act::Say("450 4.2.0 later"),
        _ => Act::Normal,
    });
    spool(&bench, 1, "u@a.example");
    bench.sim.kill_tasks();
    hop.behave(|_| Act::Normal);
    let restarted = deliverer(&bench.sim, &bench.store, &bench.settings);
    for mail in bench.store.waiting() {
        restarted.adopt(mail.copy_id(), &QueuedSummary::of(&mail));
    }
    let run = |seconds: u64| {
        let limit = bench.sim.millis() + seconds * 1_000;
        bench.sim.run_until(limit, restarted.run_queue());
    };
    run(40);
    assert_eq!(hop.taken.borrow().len(), 0, "not before its time");
    run(60);
    assert_eq!(hop.taken.borrow().len(), 1);
}

#[test]
fn who_asked_for_it_is_told_of_a_delay_once() {
    let settings = Settings {
        delay_warning: Duration::from_secs(3_600),
        host_name: "mx.gateway.example".into(),
        ..Settings::default()
    };
    let bench = bench_with(settings);
    bench.hops["a.example"].behave(|_| Act::Refuse);
    let mut message = message(1, FROM, &["u@a.example", "v@a.example"]);
    message.envelope.recipients[0].notify = Notify { delay: true, ..Notify::default() };
    let copies = [copy(&message, &[0, 1], true)];
    bench.sim.run(bench.deliverer.settle(&message, &copies, Others::None));
    bench.run_queue(12_000);
    let reports = bench.store.reports();
    assert_eq!(reports.len(), 1);
    assert!(
        reports[0]
            .1
            .contains("Final-Recipient: rfc822;u@a.example\r\nAction: delayed\r\nStatus: 4.")
    );
    assert!(reports[0].1.contains("Will-Retry-Until: "));
    assert!(!reports[0].1.contains("v@a.example"));
}

#[test]
fn a_report_that_cannot_be_delivered_ends_in_the_log_and_makes_no_other() {
    let bench = bench();
    bench.hops["client.example"].behave(|moment| match moment {
        Moment::Command(line) if line.starts_with("RCPT") => Act::Say("550 5.1.1 no such user"),
        _ => Act::Normal,
    });
    bench.hops["a.example"].behave(|moment| match moment {
        Moment::Command(line) if line.starts_with("RCPT TO:<v@") => Act::Say("550 5.1.1 no"),
        _ => Act::Normal,
    });
    let message = message(1, FROM, &["u@a.example", "v@a.example"]);
    let copies = [copy(&message, &[0, 1], true)];
    bench.sim.run(bench.deliverer.settle(&message, &copies, Others::None));
    bench.run_queue(30);
    assert_eq!(bench.store.reports().len(), 1, "no report about a report");
    assert_eq!(bench.store.0.durable_rows.borrow().len(), 1);
    assert_eq!(bench.deliverer.waiting(), 0);
}

#[test]
fn pauses_follow_the_schedule_with_jitter_and_the_last_one_repeats() {
    let settings = Settings::default();
    for (attempts, expected) in [(1, 60), (2, 300), (7, 14_400), (99, 14_400)] {
        for random in [0, 1, 12_345, u64::MAX] {
            let pause = settings.pause(attempts, random).as_secs();
            assert!(pause >= expected * 79 / 100 && pause <= expected * 121 / 100, "{pause}");
        }
    }
    let spread: std::collections::HashSet<_> =
        (0..100_u64).map(|n| settings.pause(1, n * 997)).collect();
    assert!(spread.len() > 50);
}

#[test]
fn one_destination_has_one_limit_and_one_back_off_for_all_shards() {
    let settings = Settings { mode: Mode::Through, ..Settings::default() };
    let table = crate::deliver::destinations::Destinations::new(2, settings.back_off);
    let at = MonoMillis(1_000);
    let one = table.admit(("hop.example", 25), Asker::Client, at).unwrap();
    let two = table.admit(("HOP.example", 25), Asker::Client, at).unwrap();
    assert!(table.admit(("hop.example", 25), Asker::Client, at).is_err(), "full");
    assert!(
        table.admit(("hop.example", 26), Asker::Client, at).is_ok(),
        "another port is another destination"
    );
    let until = one.failed(at, 0);
    assert_eq!(two.failed(at, 0), until, "what breaks at one moment is one failure");
    drop((one, two));
    assert!(table.admit(("hop.example", 25), Asker::Client, MonoMillis(until.0 - 1)).is_err());
    let trial = table.admit(("hop.example", 25), Asker::Client, until).unwrap();
    // Not for as long as the trial may take: the other shard's mails would wait half a minute for a hop that
    // came back at once.
    let look = Denied::BackingOff(until.plus(Duration::from_secs(5)));
    let other = table.admit(("hop.example", 25), Asker::Client, until).unwrap_err();
    assert_eq!(other, look, "one tries, the others wait");
    let next = trial.failed(until, 0);
    assert!(next.since(until) > until.since(at), "longer each time");
    drop(trial);
    let trial = table.admit(("hop.example", 25), Asker::Client, next).unwrap();
    trial.answered();
    assert!(table.admit(("hop.example", 25), Asker::Client, next).is_ok());
}

#[test]
fn a_new_hop_that_hangs_has_few_slots_and_one_that_answers_gets_more_with_each_answer() {
    // A hop that nobody had heard of yet and that hung had twenty of a shard's slots, for five minutes each: ten such
    // domains, and healthy ones waited.
    let bench =
        bench_with(Settings { mode: Mode::Spool, deliveries_max: 200, ..Settings::default() });
    bench.hops["a.example"].behave(|_| Act::Silent);
    bench.hops["b.example"].behave(|moment| match moment {
        Moment::Content(_) => Act::Late(1_000),
        _ => Act::Normal,
    });
    for n in 0..60 {
        spool(&bench, n, &format!("u{n}@{}.example", ["a", "b"][usize::from(n % 2 == 1)]));
    }
    let run =
        |millis| bench.sim.run_until(bench.sim.millis() + millis, bench.deliverer.run_queue());
    run(500);
    let connections = |name: &str| bench.hops[name].connections.get();
    assert_eq!((connections("a.example"), connections("b.example")), (5, 5), "at first");
    run(9_500);
    assert_eq!(connections("a.example"), 5, "it hangs");
    assert_eq!(bench.hops["b.example"].taken.borrow().len(), 30);
    assert!(connections("b.example") > 5, "{}: more at a time", connections("b.example"));
}

#[test]
fn how_many_queued_mails_a_hop_may_have_grows_with_answers_and_is_the_box_s() {
    let back_off = Settings::default().back_off;
    let table = crate::deliver::destinations::Destinations::new(8, back_off);
    let (at, hop) = (MonoMillis(1_000), ("hop.example", 25));
    let queued = || table.admit(hop, Asker::Queue, at);
    let mut held: Vec<_> = (0..5).map(|_| queued().unwrap()).collect();
    assert!(queued().is_err(), "five at first, whichever shard asks");
    let client = table.admit(hop, Asker::Client, at).unwrap();
    assert!(queued().is_err(), "whose client waits may have more, and counts");
    client.answered();
    drop(client);
    held.push(queued().unwrap());
    assert!(queued().is_err(), "one more with each answer");
    for _ in 0..20 {
        held[0].answered();
    }
    held.extend([queued().unwrap(), queued().unwrap()]);
    assert!(
        queued().is_err() && table.admit(hop, Asker::Client, at).is_err(),
        "the limit of all is 8"
    );
    let until = held[0].failed(at, 0);
    drop(held);
    let trial = table.admit(hop, Asker::Queue, until).unwrap();
    trial.answered();
    let again: Vec<_> = (0..9).filter_map(|_| table.admit(hop, Asker::Queue, until).ok()).collect();
    assert_eq!(again.len(), 5, "from the start, beside the trial");
}

/// A healthy domain once stood still for half a minute: whoever should have tried its hop had got no connection,
/// and had moved the end of the back-off all the same.
#[test]
fn a_trial_that_gets_no_connection_is_none() {
    let back_off = Settings::default().back_off;
    let table = crate::deliver::destinations::Destinations::new(1, back_off);
    let at = MonoMillis(1_000);
    let one = table.admit(("hop.example", 25), Asker::Client, at).unwrap();
    let until = one.failed(at, 0);
    assert_eq!(table.admit(("hop.example", 25), Asker::Client, until).unwrap_err(), Denied::Full);
    drop(one);
    assert!(table.admit(("hop.example", 25), Asker::Client, until).is_ok());
}

#[test]
fn the_shard_keeps_its_hands_off_a_store_without_the_mail() {
    let (sim, store) = (Sim::new(1), Memory::default());
    let settings = Settings::default();
    let deliverer = deliverer(&sim, &store, &settings);
    let bench = bench();
    bench.hops["a.example"].behave(|_| Act::Refuse);
    spool(&bench, 1, "u@a.example");
    for mail in bench.store.waiting() {
        deliverer.adopt(mail.copy_id(), &QueuedSummary::of(&mail));
    }
    // The spool does not know the mail: it is let go with an error in the log, not retried for ever.
    sim.run_until(sim.millis() + 200_000, deliverer.run_queue());
    assert_eq!(deliverer.waiting(), 0);
}

#[test]
fn after_a_restart_hops_that_say_nothing_do_not_take_the_slots_of_the_others() {
    let bench =
        bench_with(Settings { mode: Mode::Spool, deliveries_max: 4, ..Settings::default() });
    bench.hops["a.example"].behave(|_| Act::Silent);
    for n in 1..=6 {
        spool(&bench, n, &format!("u{n}@a.example"));
    }
    // Nobody was asked before the engine was killed, so no mail has an attempt.
    bench.sim.run(bench.sim.sleep_until(MonoMillis(bench.sim.millis() + 60_000)));
    bench.sim.kill_tasks();
    let restarted = deliverer(&bench.sim, &bench.store, &bench.settings);
    for mail in bench.store.waiting() {
        restarted.adopt(mail.copy_id(), &QueuedSummary::of(&mail));
    }
    bench.sim.run_until(bench.sim.millis() + 5_000, restarted.run_queue());
    let message = message(7, FROM, &["u7@b.example"]);
    let copies = [copy(&message, &[0], true)];
    let settled = bench.sim.run(restarted.settle(&message, &copies, Others::None));
    assert_eq!(settled.reply.code, 250);
    bench.sim.run_until(bench.sim.millis() + 5_000, restarted.run_queue());
    assert_eq!(
        bench.hops["b.example"].taken.borrow().len(),
        1,
        "it does not wait for the silent one"
    );
}

/// Seen with a million mails for a thousand hops that take connections and say nothing: the healthy domain had used up
/// the connections of its hop from the other shard, was taken for one that does not answer, and stood behind the
/// silent ones for five minutes at a time.
#[test]
fn a_hop_whose_connections_are_all_in_use_is_not_taken_for_a_silent_one() {
    let bench = bench_with(Settings {
        mode: Mode::Spool,
        deliveries_max: 2,
        connections_per_destination_max: 1,
        ..Settings::default()
    });
    bench.hops["a.example"].behave(|_| Act::Silent);
    spool(&bench, 1, "u1@a.example");
    bench.sim.run(bench.sim.sleep_until(MonoMillis(bench.sim.millis() + 60_000)));
    bench.sim.kill_tasks();
    let restarted = deliverer(&bench.sim, &bench.store, &bench.settings);
    for mail in bench.store.waiting() {
        restarted.adopt(mail.copy_id(), &QueuedSummary::of(&mail));
    }
    bench.sim.run_until(bench.sim.millis() + 1_000, restarted.run_queue());
    let destinations = std::sync::Arc::clone(&restarted.inner.outlet.destinations);
    let other_shard =
        destinations.admit(("hop.b.example", 25), Asker::Client, MonoMillis(bench.sim.millis()));
    let message = message(7, FROM, &["u7@b.example"]);
    let copies = [copy(&message, &[0], true)];
    bench.sim.run(restarted.settle(&message, &copies, Others::None));
    bench.sim.run_until(bench.sim.millis() + 2_950, restarted.run_queue());
    assert_eq!(bench.hops["b.example"].taken.borrow().len(), 0);
    drop(other_shard);
    bench.sim.run_until(bench.sim.millis() + 1_000, restarted.run_queue());
    let why = restarted.queue_why(Some("b.example"));
    assert_eq!(bench.hops["b.example"].taken.borrow().len(), 1, "not at once: {why:?}");
}

#[test]
fn hops_that_fall_silent_while_the_engine_runs_do_not_take_the_slots_of_those_that_answer() {
    let bench =
        bench_with(Settings { mode: Mode::Spool, deliveries_max: 4, ..Settings::default() });
    spool(&bench, 1, "u1@b.example");
    bench.run_queue(2);
    assert_eq!(bench.hops["b.example"].taken.borrow().len(), 1);
    for name in ["a.example", "c.example"] {
        bench.hops[name].behave(|_| Act::Silent);
    }
    for n in 2..=9 {
        spool(&bench, n, &format!("u{n}@{}", if n % 2 == 0 { "a.example" } else { "c.example" }));
    }
    bench.run_queue(1);
    spool(&bench, 10, "u10@b.example");
    bench.run_queue(1);
    assert_eq!(bench.hops["b.example"].taken.borrow().len(), 2, "it has a line of its own");
}

#[test]
fn a_domain_whose_hops_fell_silent_in_the_middle_makes_room_after_seconds() {
    let bench =
        bench_with(Settings { mode: Mode::Spool, deliveries_max: 4, ..Settings::default() });
    for (n, name) in ["a.example", "b.example"].iter().enumerate() {
        spool(&bench, n as u8, &format!("u@{name}"));
    }
    bench.run_queue(2);
    // It greets, and owes every answer from RCPT on: five minutes for each mail.
    bench.hops["a.example"].behave(|moment| match moment {
        Moment::Command(line) if line.starts_with("RCPT") => Act::Silent,
        _ => Act::Normal,
    });
    for n in 2..=5 {
        spool(&bench, n, &format!("u{n}@a.example"));
    }
    bench.run_queue(1);
    spool(&bench, 6, "u6@b.example");
    bench.run_queue(10);
    assert_eq!(bench.hops["b.example"].taken.borrow().len(), 2);
}
