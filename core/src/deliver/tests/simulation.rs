//! Random hops, random power cuts: nothing that was acknowledged is lost, and nothing arrives twice but
//! where the outcome was unknown.

use super::memory::Memory;
use super::world::{Act, Moment, Sim};
use super::{copy, deliverer, message};
use crate::deliver::transport::World as _;
use crate::deliver::{Others, Settings};
use crate::spool::{QueuedMail, QueuedSummary};
use std::cell::Cell;
use std::rc::Rc;

pub(super) const DOMAINS: [&str; 3] = ["a.example", "b.example", "c.example"];

pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % sides
    }
}

/// Whether the hop of this run ever leaves an outcome open.
pub(super) fn behaviour(seed: u64, unknown: Rc<Cell<bool>>) -> impl Fn(&Moment<'_>) -> Act {
    let dice = std::cell::RefCell::new(Dice(seed));
    move |moment| {
        let roll = |sides| dice.borrow_mut().roll(sides);
        match moment {
            Moment::Connect if roll(6) == 0 => Act::Refuse,
            Moment::Greeting if roll(12) == 0 => Act::Say("421 4.3.2 busy"),
            Moment::Command(line) if line.starts_with("RCPT") => match roll(10) {
                0 => Act::Say("450 4.2.0 later"),
                1 => Act::Say("550 5.1.1 no such user"),
                2 => Act::Close,
                _ => Act::Normal,
            },
            Moment::Content(_) => match roll(12) {
                0 => Act::Say("451 4.3.0 later"),
                1 => Act::Say("554 5.7.1 no"),
                2 => {
                    unknown.set(true);
                    Act::TakeAndClose
                }
                3 => {
                    unknown.set(true);
                    Act::TakeSilently
                }
                4 => Act::Late(roll(500_000)),
                _ => Act::Normal,
            },
            _ => Act::Normal,
        }
    }
}

/// One run: some mails, some cuts, then a long calm. `lies`: with a store that is not durable.
fn run(seed: u64, cuts: bool, lies: bool) -> Result<(), String> {
    let mut dice = Dice(seed);
    let sim = Sim::new(seed);
    let store = Memory::default();
    store.0.lies.set(lies);
    let settings = Settings { host_name: "mx.gateway.example".into(), ..Settings::default() };
    let unknown = Rc::new(Cell::new(false));
    let hops: Vec<_> = DOMAINS.iter().map(|domain| sim.hop(&format!("hop.{domain}"))).collect();
    sim.hop("client.example");
    for hop in &hops {
        hop.behave(behaviour(dice.roll(u64::MAX >> 32), Rc::clone(&unknown)));
    }
    let mut shard = deliverer(&sim, &store, &settings);
    let mut acknowledged = Vec::new();
    let mut was_cut = false;
    for n in 0..12_u8 {
        let count = 1 + dice.roll(3);
        let to: Vec<_> =
            (0..count).map(|k| format!("m{n}r{k}@{}", DOMAINS[dice.roll(3) as usize])).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let from = if dice.roll(4) == 0 { "" } else { "s@client.example" };
        let message = message(n, from, &to);
        let mut copies = Vec::new();
        for domain in DOMAINS {
            let of = |i: &u16| to[usize::from(*i)].ends_with(domain);
            let group: Vec<u16> = (0..to.len() as u16).filter(of).collect();
            if !group.is_empty() {
                copies.push(copy(&message, &group, true));
            }
        }
        let limit = if cuts && dice.roll(3) == 0 { dice.roll(90_000) } else { u64::MAX >> 1 };
        let queue = shard.clone();
        let worker = async move { queue.run_queue().await };
        let settled = sim.run_until(
            sim.millis() + limit,
            futures_lite::future::or(
                async { Some(shard.settle(&message, &copies, Others::None).await) },
                async {
                    worker.await;
                    None
                },
            ),
        );
        match settled.flatten() {
            Some(settled) if settled.reply.code == 250 => {
                acknowledged.extend(to.iter().map(|to| (*to).to_owned()));
            }
            Some(_) => {}
            None => {
                // Power cut: what runs is gone, so is what was not flushed.
                was_cut = true;
                sim.kill_tasks();
                store.power_cut();
                shard = deliverer(&sim, &store, &settings);
                let waiting = store.waiting();
                let adopt = |mail| shard.adopt(QueuedMail::copy_id(mail), &QueuedSummary::of(mail));
                waiting.iter().for_each(adopt);
            }
        }
    }
    for hop in &hops {
        hop.behave(|_| Act::Normal);
    }
    let (worker, clock) = (shard.clone(), sim.clone());
    let calm = async {
        while shard.waiting() > 0 {
            clock.sleep_until(clock.now().mono.plus(std::time::Duration::from_secs(60))).await;
        }
    };
    let both = futures_lite::future::or(calm, async move { worker.run_queue().await });
    sim.run_until(sim.millis() + 100_000_000, both);
    if shard.waiting() != 0 {
        return Err(format!("seed {seed}: {} mails have no end", shard.waiting()));
    }
    for mailbox in &acknowledged {
        let taken: usize = hops.iter().map(|hop| hop.count_for(mailbox)).sum();
        if taken == 0 && !ended(&store, mailbox) {
            return Err(format!("seed {seed}: {mailbox} is lost"));
        }
        let may_double = unknown.get() || was_cut;
        if taken > 1 && !may_double {
            return Err(format!("seed {seed}: {mailbox} arrived {taken} times"));
        }
    }
    Ok(())
}

/// Reported, held, or in the log.
fn ended(store: &Memory, mailbox: &str) -> bool {
    let reported = store.reports().iter().any(|(_, text)| text.contains(mailbox));
    let held =
        store.0.held.borrow().iter().any(|held| {
            held.items.iter().any(|item| item.recipient.resolved.to_string() == mailbox)
        });
    let logged = store.0.durable_rows.borrow().iter().any(|row| row.address == mailbox);
    reported || held || logged
}

#[test]
fn nothing_acknowledged_is_lost_whatever_the_hops_do() {
    (0..100).try_for_each(|seed| run(seed, false, false)).unwrap();
}

#[test]
fn nothing_acknowledged_is_lost_whenever_the_power_is_cut() {
    (1_000..1_100).try_for_each(|seed| run(seed, true, false)).unwrap();
}

#[test]
fn a_store_that_says_durable_and_is_not_is_caught() {
    let caught = (1_000..1_100).filter(|seed| run(*seed, true, true).is_err()).count();
    assert!(caught > 10, "the proof has no teeth: {caught} of 100 runs noticed");
}
