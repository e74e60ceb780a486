//! The wall clock is set while a mail is taken. A load under jumps of the clock showed it: mails of a moment ago were
//! given up and reported as older than their lifetime, for they were stamped before a jump of ten days and put into
//! the queue after it. In the other direction they would have waited for days.

use std::time::Duration;

use super::table::settle;
use super::world::{Act, START};
use super::{bench, copy, message};
use crate::clock::UnixMillis;
use crate::deliver::store::Store as _;
use crate::deliver::{Others, record};
use crate::spool::{Deferral, Mark};

const DAYS: Duration = Duration::from_secs(10 * 24 * 3_600);
const FROM: &str = "s@client.example";

#[test]
fn a_clock_set_forward_while_a_mail_is_taken_does_not_end_its_lifetime() {
    let bench = bench();
    bench.hops["a.example"].behave(|_| Act::Refuse);
    let mut message = message(1, FROM, &["u@a.example"]);
    // Before the jump; the mail is put into the queue after it.
    message.received_at = UnixMillis(START - u64::try_from(DAYS.as_millis()).unwrap());
    let settled = settle(&bench, &message, &[&[0]], Others::None);
    assert_eq!(settled.reply.code, 250);
    bench.run_queue(60);
    assert_eq!(bench.store.reports().len(), 0, "given up as too old");
    bench.hops["a.example"].behave(|_| Act::Normal);
    bench.run_queue(3_600);
    assert_eq!(bench.hops["a.example"].taken.borrow().len(), 1);
    assert_eq!(bench.deliverer.waiting(), 0);
}

#[test]
fn a_clock_set_back_while_a_mail_is_taken_does_not_put_its_next_attempt_off_for_days() {
    let bench = bench();
    let message = message(1, FROM, &["u@a.example"]);
    let copy = copy(&message, &[0], true);
    let deferral = Deferral {
        attempts: 1,
        // Stamped before the jump.
        next_attempt_at: UnixMillis(START).plus(DAYS),
        last_answer: "".into(),
        mark: Mark::None,
    };
    let mail = record::queued(&message, &copy, &[0], deferral).unwrap();
    bench.sim.run(bench.store.put(&mail, &copy.content, UnixMillis(START))).unwrap();
    bench.deliverer.enqueue_later(&mail);
    // Twice the longest pause between two attempts.
    bench.run_queue(2 * 14_400 + 60);
    assert_eq!(bench.hops["a.example"].taken.borrow().len(), 1);
}
