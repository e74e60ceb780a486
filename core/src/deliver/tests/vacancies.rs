//! Clients whose hop has all the connections it may have.

use std::task::Poll;

use futures_lite::future::zip;

use super::world::{Act, Moment};
use super::{Bench, bench_with, copy, message};
use crate::deliver::attempt::VACANCY_WAIT;
use crate::deliver::vacancies::STUCK;
use crate::deliver::{Disposition as D, Others, Settings};

const FROM: &str = "s@client.example";

fn narrow(connections: u32) -> Bench {
    bench_with(Settings {
        connections_per_destination_max: connections,
        host_name: "mx.gateway.example".into(),
        ..Settings::default()
    })
}

/// Settles mail number `n` for `to`; what became of it, and when.
async fn settle(bench: &Bench, n: u8, to: &str) -> (D, u64) {
    let message = message(n, FROM, &[to]);
    let copies = [copy(&message, &[0], true)];
    let settled = bench.deliverer.settle(&message, &copies, Others::None).await;
    assert_eq!(settled.reply.code, 250);
    (settled.outcomes[0].disposition, bench.sim.millis())
}

fn content_late(millis: u64) -> impl Fn(&Moment<'_>) -> Act {
    move |moment| match moment {
        Moment::Content(_) => Act::Late(millis),
        Moment::Connect | Moment::Greeting | Moment::Command(_) => Act::Normal,
    }
}

#[test]
fn mail_for_a_hop_that_answers_waits_for_a_connection_and_not_in_the_spool() {
    // At twice the peak half of the mails were spooled because twenty others were on their way for a millisecond.
    let bench = narrow(1);
    bench.hops["a.example"].behave(content_late(10));
    let to = ["u1@a.example", "u2@a.example", "u3@a.example"];
    let three =
        zip(settle(&bench, 1, to[0]), zip(settle(&bench, 2, to[1]), settle(&bench, 3, to[2])));
    let ((one, first), ((two, second), (three, third))) = bench.sim.run(three);
    assert_eq!([one, two, three], [D::Delivered; 3]);
    assert!(first < second && second < third, "in the order in which they came");
    let taken = bench.hops["a.example"].taken.borrow();
    assert!(taken.iter().map(|one| one.rcpts[0].as_str()).eq(to));
    assert_eq!(bench.hops["a.example"].connections.get(), 1);
    assert!(bench.store.waiting().is_empty());
    assert_eq!(bench.deliverer.held_up(), 0);
}

#[test]
fn mail_for_a_hop_that_hangs_is_spooled_after_a_moment_and_then_at_once() {
    let bench = narrow(1);
    bench.hops["a.example"].behave(content_late(20_000));
    let began = bench.sim.millis();
    let wait = STUCK.as_millis() as u64;
    let others = async {
        let (first, at) = settle(&bench, 2, "u2@a.example").await;
        assert_eq!((first, at), (D::Queued, began + wait));
        // Nothing came back since: nobody else tries his patience.
        let (second, at) = settle(&bench, 3, "u3@a.example").await;
        assert_eq!((second, at), (D::Queued, began + wait));
        let (elsewhere, at) = settle(&bench, 4, "u4@b.example").await;
        assert_eq!(
            (elsewhere, at),
            (D::Delivered, began + wait),
            "other hops have nothing to do with it"
        );
    };
    let ((slow, _), ()) = bench.sim.run(zip(settle(&bench, 1, "u1@a.example"), others));
    assert_eq!(slow, D::Delivered, "it answered after all");
    // And so the next ones wait for it again.
    bench.hops["a.example"].behave(content_late(10));
    let two = zip(settle(&bench, 5, "u5@a.example"), settle(&bench, 6, "u6@a.example"));
    let ((one, _), (two, _)) = bench.sim.run(two);
    assert_eq!((one, two), (D::Delivered, D::Delivered));
}

#[test]
fn who_gives_up_waiting_leaves_the_connection_to_the_next() {
    let bench = narrow(1);
    bench.hops["a.example"].behave(content_late(30));
    let now = bench.sim.millis();
    let mut gone = Box::pin(settle(&bench, 2, "u2@a.example"));
    let three = zip(settle(&bench, 1, "u1@a.example"), async {
        // It is in the line before the other one, and away when its turn comes.
        assert!(futures_lite::future::poll_once(gone.as_mut()).await.is_none());
        let third = settle(&bench, 3, "u3@a.example");
        let third = std::pin::pin!(third);
        let ((), third) = zip(async { drop(gone) }, third).await;
        third
    });
    let ((one, _), (three, at)) = bench.sim.run(three);
    assert_eq!((one, three), (D::Delivered, D::Delivered));
    assert!(at < now + 2 * STUCK.as_millis() as u64);
    assert_eq!(bench.hops["a.example"].taken.borrow().len(), 2);
}

#[test]
fn mail_waits_while_others_get_connections_and_no_longer_than_its_patience() {
    // One connection, 40 ms for each: the hop is never stuck, and carries twelve in half a second.
    let bench = narrow(1);
    bench.hops["a.example"].behave(content_late(40));
    let began = bench.sim.millis();
    let bench = &bench;
    let mut all: Vec<_> = (1..=20)
        .map(|n| Box::pin(async move { settle(bench, n, &format!("u{n}@a.example")).await }))
        .collect();
    let mut ended = Vec::new();
    bench.sim.run(futures_lite::future::poll_fn(|context| {
        all.retain_mut(|one| match one.as_mut().poll(context) {
            Poll::Ready(end) => {
                ended.push(end);
                false
            }
            Poll::Pending => true,
        });
        if all.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }));
    let (handed_on, spooled): (Vec<_>, Vec<_>) =
        ended.into_iter().partition(|(disposition, _)| *disposition == D::Delivered);
    assert!((10..=14).contains(&handed_on.len()), "{handed_on:?}");
    let patience = began + VACANCY_WAIT.as_millis() as u64;
    assert!(spooled.iter().all(|(one, at)| (*one, *at) == (D::Queued, patience)), "{spooled:?}");
}
