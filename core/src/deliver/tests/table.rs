//! The outcome table of the architecture, section 2, row by row.

use super::memory::Broken;
use super::world::{Act, Moment};
use super::{Bench, CONTENT, bench, bench_with, copy, message};
use crate::deliver::{Accepted, Disposition as D, Mode, Others, Settings, Settled};
use crate::envelope::Notify;
use crate::spool::Mark;

pub(super) fn settle(
    bench: &Bench,
    message: &Accepted,
    groups: &[&[u16]],
    others: Others,
) -> Settled {
    let copies: Vec<_> = groups.iter().map(|group| copy(message, group, true)).collect();
    bench.sim.run(bench.deliverer.settle(message, &copies, others))
}

fn dispositions(settled: &Settled) -> Vec<D> {
    settled.outcomes.iter().map(|outcome| outcome.disposition).collect()
}

fn on_command(verb: &'static str, act: Act) -> impl Fn(&Moment<'_>) -> Act {
    move |moment| match moment {
        Moment::Command(line) if line.starts_with(verb) => act.clone(),
        _ => Act::Normal,
    }
}

fn on_content(act: Act) -> impl Fn(&Moment<'_>) -> Act {
    move |moment| match moment {
        Moment::Content(_) => act.clone(),
        _ => Act::Normal,
    }
}

const FROM: &str = "s@client.example";

#[test]
fn a_hop_that_takes_all_is_250_and_nothing_is_spooled() {
    let bench = bench();
    let message = message(1, FROM, &["u@a.example", "v@a.example"]);
    let settled = settle(&bench, &message, &[&[0, 1]], Others::None);
    assert_eq!(settled.reply.code, 250);
    assert_eq!(dispositions(&settled), [D::Delivered, D::Delivered]);
    let taken = bench.hops["a.example"].taken.borrow();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].mail, FROM);
    assert_eq!(taken[0].rcpts, ["u@a.example", "v@a.example"]);
    assert_eq!(taken[0].content, CONTENT, "byte by byte");
    assert!(bench.store.waiting().is_empty());
}

/// Row 2: whatever goes wrong before our final dot, and 4yz in answer to it.
#[test]
fn a_busy_slow_or_down_hop_is_250_with_the_mail_durable_in_the_spool() {
    type Behaviour = Box<dyn Fn(&Moment<'_>) -> Act>;
    let connect = |act: Act| -> Behaviour {
        Box::new(move |moment| match moment {
            Moment::Connect => act.clone(),
            _ => Act::Normal,
        })
    };
    let greeting = |act: Act| -> Behaviour {
        Box::new(move |moment| match moment {
            Moment::Greeting => act.clone(),
            _ => Act::Normal,
        })
    };
    let cases: Vec<(&str, Behaviour)> = vec![
        ("connection refused", connect(Act::Refuse)),
        ("connect hangs", connect(Act::Silent)),
        ("no greeting", greeting(Act::Silent)),
        ("closed at once", greeting(Act::Close)),
        ("greeting 421", greeting(Act::Say("421 4.3.2 busy"))),
        ("greeting 554", greeting(Act::Say("554 5.3.2 no service"))),
        ("greeting is nonsense", greeting(Act::Say("hello there"))),
        ("EHLO silent", Box::new(on_command("EHLO", Act::Silent))),
        ("EHLO 421", Box::new(on_command("EHLO", Act::Say("421 bye")))),
        ("MAIL 451", Box::new(on_command("MAIL", Act::Say("451 4.3.0 later")))),
        ("MAIL closes", Box::new(on_command("MAIL", Act::Close))),
        ("MAIL 421", Box::new(on_command("MAIL", Act::Say("421 4.3.2 bye")))),
        ("MAIL 354", Box::new(on_command("MAIL", Act::Say("354 what")))),
        ("RCPT 450", Box::new(on_command("RCPT", Act::Say("450 4.2.0 greylisted")))),
        ("RCPT 452", Box::new(on_command("RCPT", Act::Say("452 4.5.3 too many")))),
        ("RCPT silent", Box::new(on_command("RCPT", Act::Silent))),
        ("DATA 451", Box::new(on_command("DATA", Act::Say("451 4.3.0 later")))),
        ("DATA 250", Box::new(on_command("DATA", Act::Say("250 what")))),
        ("DATA closes", Box::new(on_command("DATA", Act::Close))),
        ("DATA silent", Box::new(on_command("DATA", Act::Silent))),
        ("content 451", Box::new(on_content(Act::Say("451 4.3.0 later")))),
        ("content 421", Box::new(on_content(Act::Say("421 4.3.0 later")))),
    ];
    for (name, behaviour) in cases {
        let bench = bench();
        let hop = &bench.hops["a.example"];
        hop.behave(behaviour);
        let message = message(1, FROM, &["u@a.example"]);
        let started = bench.sim.millis();
        let settled = settle(&bench, &message, &[&[0]], Others::None);
        assert_eq!(settled.reply.code, 250, "{name}");
        assert_eq!(dispositions(&settled), [D::Queued], "{name}");
        let waited = bench.sim.millis() - started;
        assert!(waited <= 50_000, "{name}: the client waited {waited} ms");
        let waiting = bench.store.waiting();
        assert_eq!(waiting.len(), 1, "{name}");
        assert_eq!(waiting[0].deferral.mark, Mark::None, "{name}");
        assert_eq!(hop.taken.borrow().len(), 0, "{name}");
        // And it arrives when the hop is well again, once.
        hop.behave(|_| Act::Normal);
        bench.run_queue(3_600);
        assert_eq!(hop.count_for("u@a.example"), 1, "{name}");
        assert!(bench.store.waiting().is_empty(), "{name}");
        assert_eq!(bench.deliverer.waiting(), 0, "{name}");
    }
}

#[test]
fn a_4yz_for_some_recipients_spools_only_those() {
    let bench = bench();
    let hop = &bench.hops["a.example"];
    hop.behave(on_command("RCPT TO:<v@", Act::Say("450 4.2.1 mailbox busy")));
    let message = message(1, FROM, &["u@a.example", "v@a.example", "w@a.example"]);
    let settled = settle(&bench, &message, &[&[0, 1, 2]], Others::None);
    assert_eq!(settled.reply.code, 250);
    assert_eq!(dispositions(&settled), [D::Delivered, D::Queued, D::Delivered]);
    let waiting = bench.store.waiting();
    assert_eq!(waiting.len(), 1);
    let indices: Vec<_> = waiting[0].waiting().map(|r| r.index).collect();
    assert_eq!(indices, [1]);
    hop.behave(|_| Act::Normal);
    bench.run_queue(600);
    for mailbox in ["u@a.example", "v@a.example", "w@a.example"] {
        assert_eq!(hop.count_for(mailbox), 1, "{mailbox}");
    }
}

#[test]
fn no_route_is_temporary_sm_05() {
    let bench = bench();
    let message = message(1, FROM, &["u@nowhere.example"]);
    let settled = settle(&bench, &message, &[&[0]], Others::None);
    assert_eq!(settled.reply.code, 250);
    assert_eq!(dispositions(&settled), [D::Queued]);
    assert!(settled.outcomes[0].answer.reply.to_string().contains("no route"));
}

/// Row 3, closed: at once.
#[test]
fn closed_after_the_final_dot_is_spooled_at_once_as_outcome_unknown() {
    for act in [Act::Close, Act::TakeAndClose, Act::Say("what?"), Act::Say("354 go on")] {
        let bench = bench();
        let hop = &bench.hops["a.example"];
        hop.behave(on_content(act.clone()));
        let message = message(1, FROM, &["u@a.example"]);
        let started = bench.sim.millis();
        let settled = settle(&bench, &message, &[&[0]], Others::None);
        assert_eq!(settled.reply.code, 250, "{act:?}");
        assert_eq!(dispositions(&settled), [D::QueuedUnknown], "{act:?}");
        assert!(bench.sim.millis() - started < 1_000, "{act:?}: at once");
        assert_eq!(bench.store.waiting()[0].deferral.mark, Mark::OutcomeUnknown, "{act:?}");
        hop.behave(|_| Act::Normal);
        bench.run_queue(600);
        // The script counts a content as taken when it answers 3yz, too.
        let twice = matches!(act, Act::TakeAndClose | Act::Say("354 go on"));
        let expected = if twice { 2 } else { 1 };
        assert_eq!(hop.count_for("u@a.example"), expected, "{act:?}: a duplicate, never a loss");
    }
}

/// Row 3, silent: 60 s, then spooled, and a late answer settles the spooled copy.
#[test]
fn silent_after_the_final_dot_is_250_after_60_s_and_a_late_yes_settles_the_spooled_copy() {
    let bench = bench();
    let hop = &bench.hops["a.example"];
    hop.behave(on_content(Act::Late(300_000)));
    let message = message(1, FROM, &["u@a.example"]);
    let started = bench.sim.millis();
    let settled = settle(&bench, &message, &[&[0]], Others::None);
    assert_eq!(settled.reply.code, 250);
    assert_eq!(dispositions(&settled), [D::QueuedUnknown]);
    assert_eq!(bench.sim.millis() - started, 60_000);
    assert_eq!(bench.store.waiting()[0].deferral.mark, Mark::OutcomeUnknown);
    bench.run_queue(3_600);
    assert_eq!(hop.count_for("u@a.example"), 1, "the answer came, so it is not tried again");
    assert!(bench.store.waiting().is_empty());
    assert_eq!(bench.deliverer.waiting(), 0);
    assert_eq!(bench.store.0.rows.borrow()[0].status, "sent");
}

#[test]
fn silent_for_ten_minutes_after_the_final_dot_is_retried() {
    let bench = bench();
    let hop = &bench.hops["a.example"];
    hop.behave(on_content(Act::TakeSilently));
    let message = message(1, FROM, &["u@a.example"]);
    settle(&bench, &message, &[&[0]], Others::None);
    hop.behave(|_| Act::Normal);
    bench.run_queue(530);
    assert_eq!(hop.count_for("u@a.example"), 1, "still waiting for the answer");
    bench.run_queue(600);
    assert_eq!(hop.count_for("u@a.example"), 2, "a duplicate is possible, a loss is not");
    assert!(bench.store.waiting().is_empty());
}

#[test]
fn a_late_refusal_of_the_content_settles_the_spooled_copy_with_a_report() {
    for (late, waits, reports) in [("554 5.7.1 no", 0, 1), ("451 4.3.0 later", 1, 0)] {
        let bench = bench();
        let hop = &bench.hops["a.example"];
        hop.behave(on_content(Act::SayLate(120_000, late)));
        let message = message(1, FROM, &["u@a.example"]);
        let settled = settle(&bench, &message, &[&[0]], Others::None);
        assert_eq!(settled.reply.code, 250, "{late}");
        // The retry after a 4yz is a minute away, so 70 s show the state behind the late answer.
        bench.hops["client.example"].behave(|_| Act::Refuse);
        bench.run_queue(70);
        let of_client = |m: &&crate::spool::QueuedMail| m.client.is_some();
        assert_eq!(bench.store.waiting().iter().filter(of_client).count(), waits, "{late}");
        assert_eq!(bench.store.reports().len(), reports, "{late}");
    }
}

/// Row 4.
#[test]
fn a_5yz_for_every_recipient_is_the_same_5yz_to_the_client_and_no_backscatter() {
    let cases: [(&str, Act, &str); 4] = [
        ("MAIL", Act::Say("550 5.7.1 not you"), "550 5.7.1 not you"),
        ("RCPT", Act::Say("550 5.1.1 no such user"), "550 5.1.1 no such user"),
        ("DATA", Act::Say("554 5.5.0 no"), "554 5.5.0 no"),
        ("content", Act::Say("554 5.6.0 not this"), "554 5.6.0 not this"),
    ];
    for (verb, act, reply) in cases {
        let bench = bench();
        let hop = &bench.hops["a.example"];
        if verb == "content" {
            hop.behave(on_content(act));
        } else {
            hop.behave(on_command(verb, act));
        }
        let message = message(1, FROM, &["u@a.example", "v@a.example"]);
        let settled = settle(&bench, &message, &[&[0, 1]], Others::None);
        assert_eq!(settled.reply.to_string(), reply, "{verb}");
        assert_eq!(dispositions(&settled), [D::Refused, D::Refused], "{verb}");
        assert!(bench.store.0.spool.borrow().is_empty(), "{verb}: no report, nothing kept");
        assert!(bench.store.0.held.borrow().is_empty(), "{verb}");
    }
}

/// Row 5.
#[test]
fn a_5yz_for_some_is_250_and_a_durable_report_for_those() {
    let bench = bench();
    bench.hops["a.example"].behave(on_command("RCPT TO:<v@", Act::Say("550 5.1.1 no such user")));
    let message = message(1, FROM, &["u@a.example", "v@a.example"]);
    let settled = settle(&bench, &message, &[&[0, 1]], Others::None);
    assert_eq!(settled.reply.code, 250);
    assert_eq!(dispositions(&settled), [D::Delivered, D::Reported]);
    let reports = bench.store.reports();
    assert_eq!(reports.len(), 1);
    assert_eq!(&*reports[0].0.route_domain, "client.example");
    assert!(reports[0].0.envelope.reverse_path.is_none());
    bench.run_queue(10);
    let taken = bench.hops["client.example"].taken.borrow();
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].mail.as_str(), taken[0].rcpts[0].as_str()), ("", FROM));
    assert!(
        taken[0]
            .content
            .contains("Final-Recipient: rfc822;v@a.example\r\nAction: failed\r\nStatus: 5.1.1\r\n")
    );
    assert!(!taken[0].content.contains("u@a.example"));
}

#[test]
fn where_no_report_may_be_sent_a_refused_recipient_is_held() {
    for (from, may_report) in [("", true), (FROM, false), ("", false)] {
        let bench = bench();
        bench.hops["a.example"].behave(on_command("RCPT TO:<v@", Act::Say("550 5.1.1 no")));
        let message = message(1, from, &["u@a.example", "v@a.example"]);
        let copies = [copy(&message, &[0, 1], may_report)];
        let settled = bench.sim.run(bench.deliverer.settle(&message, &copies, Others::None));
        assert_eq!(settled.reply.code, 250);
        assert_eq!(dispositions(&settled), [D::Delivered, D::Held], "{from:?} {may_report}");
        let held = bench.store.0.held.borrow();
        assert_eq!(held.len(), 1);
        assert_eq!(held[0].items.len(), 1);
        assert_eq!(held[0].items[0].index, 1);
        assert!(bench.store.reports().is_empty(), "never a DSN for spam, virus or <>");
    }
}

#[test]
fn where_notify_forbids_a_report_the_refusal_is_durable_in_the_log() {
    let never = Notify { never: true, ..Notify::default() };
    let success = Notify { success: true, ..Notify::default() };
    for notify in [never, success] {
        let bench = bench();
        bench.hops["a.example"].behave(on_command("RCPT TO:<v@", Act::Say("550 5.1.1 no")));
        let mut message = message(1, FROM, &["u@a.example", "v@a.example"]);
        message.envelope.recipients[1].notify = notify;
        let settled = settle(&bench, &message, &[&[0, 1]], Others::None);
        assert_eq!(settled.reply.code, 250);
        assert_eq!(dispositions(&settled), [D::Delivered, D::Logged]);
        let rows = bench.store.0.durable_rows.borrow();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].to, "v@a.example");
        assert!(rows[0].reply.contains("550 5.1.1"), "{}", rows[0].reply);
        assert!(bench.store.reports().is_empty());
    }
}

#[test]
fn when_retries_run_out_the_sender_gets_a_report_or_the_mail_is_held() {
    for (from, reports, held) in [(FROM, 1, 0), ("", 0, 1)] {
        let settings =
            Settings { lifetime: std::time::Duration::from_secs(7_200), ..Settings::default() };
        let bench = bench_with(settings);
        bench.hops["a.example"].behave(|_| Act::Refuse);
        let message = message(1, from, &["u@a.example"]);
        let settled = settle(&bench, &message, &[&[0]], Others::None);
        assert_eq!(settled.reply.code, 250);
        bench.run_queue(7_100);
        assert_eq!(bench.store.reports().len(), 0, "not before its time");
        bench.run_queue(400);
        assert_eq!(bench.store.reports().len(), reports, "{from:?}");
        assert_eq!(bench.store.0.held.borrow().len(), held, "{from:?}");
        assert_eq!(bench.deliverer.waiting(), 0);
        assert!(bench.store.waiting().is_empty());
        if reports > 0 {
            let taken = bench.hops["client.example"].taken.borrow();
            assert!(taken[0].content.contains("Status: 5.4.7"), "{}", taken[0].content);
        }
    }
}

/// Row 6: with held copies beside it, a refusal is never the client's.
#[test]
fn beside_held_copies_a_refused_copy_is_reported_and_the_answer_is_250() {
    let bench = bench();
    bench.hops["a.example"].behave(on_command("RCPT", Act::Say("550 5.1.1 no")));
    let message = message(1, FROM, &["u@a.example", "held@a.example"]);
    let settled = settle(&bench, &message, &[&[0]], Others::Durable);
    assert_eq!(settled.reply.code, 250);
    assert_eq!(dispositions(&settled), [D::Reported]);
}

/// Row 6: several next hops, each by its own row.
#[test]
fn copies_for_several_hops_each_follow_their_own_row() {
    type Outcome = (&'static str, Act, D);
    let taken: Outcome = ("taken", Act::Normal, D::Delivered);
    let later: Outcome = ("later", Act::Say("451 4.3.0 later"), D::Queued);
    let never: Outcome = ("never", Act::Say("554 5.7.1 never"), D::Reported);
    let lost: Outcome = ("lost", Act::TakeAndClose, D::QueuedUnknown);
    let all = [taken, later, never, lost];
    for one in &all {
        for two in &all {
            let bench = bench();
            bench.hops["a.example"].behave(on_content(one.1.clone()));
            bench.hops["b.example"].behave(on_content(two.1.clone()));
            let message = message(1, FROM, &["u@a.example", "v@b.example"]);
            let settled = settle(&bench, &message, &[&[0], &[1]], Others::None);
            let name = format!("{} + {}", one.0, two.0);
            if one.0 == "never" && two.0 == "never" {
                assert_eq!(settled.reply.to_string(), "554 5.7.1 never", "{name}");
                assert_eq!(dispositions(&settled), [D::Refused, D::Refused], "{name}");
                continue;
            }
            assert_eq!(settled.reply.code, 250, "{name}");
            assert_eq!(dispositions(&settled), [one.2, two.2], "{name}");
        }
    }
}

#[test]
fn a_copy_that_can_be_neither_delivered_nor_kept_is_4yz_and_nobody_is_told_otherwise() {
    for (broken, code) in [(Broken::Spool, 451), (Broken::SpoolFull, 452)] {
        let bench = bench();
        bench.store.0.broken.set(broken);
        bench.hops["b.example"].behave(|_| Act::Refuse);
        bench.hops["c.example"].behave(on_command("RCPT", Act::Say("550 5.1.1 no")));
        let message = message(1, FROM, &["u@a.example", "v@b.example", "w@c.example"]);
        let settled = settle(&bench, &message, &[&[0], &[1], &[2]], Others::None);
        assert_eq!(settled.reply.code, code);
        assert_eq!(dispositions(&settled), [D::Delivered, D::NotKept, D::NotKept]);
        assert_eq!(bench.deliverer.waiting(), 0);
        assert!(bench.store.reports().is_empty(), "the client tries again: no report yet");
    }
}

#[test]
fn a_copy_that_was_spooled_before_another_one_could_not_be_is_taken_back() {
    let bench = bench();
    bench.store.0.broken.set(Broken::Spool);
    bench.store.0.puts_left.set(1);
    bench.hops["a.example"].behave(|_| Act::Refuse);
    bench.hops["b.example"].behave(|_| Act::Refuse);
    let message = message(1, FROM, &["u@a.example", "v@b.example"]);
    let settled = settle(&bench, &message, &[&[0], &[1]], Others::None);
    assert_eq!(settled.reply.code, 451);
    assert!(bench.store.waiting().is_empty(), "the client sends it again");
    bench.hops["a.example"].behave(|_| Act::Normal);
    bench.run_queue(3_600);
    assert_eq!(bench.hops["a.example"].taken.borrow().len(), 0);
}

#[test]
fn a_refusal_that_can_be_neither_reported_nor_held_nor_logged_is_4yz() {
    for (broken, from, notify) in [
        (Broken::Spool, FROM, Notify::default()),
        (Broken::Quarantine, "", Notify::default()),
        (Broken::Log, FROM, Notify { never: true, ..Notify::default() }),
    ] {
        let bench = bench();
        bench.store.0.broken.set(broken);
        bench.hops["a.example"].behave(on_command("RCPT TO:<v@", Act::Say("550 5.1.1 no")));
        let mut message = message(1, from, &["u@a.example", "v@a.example"]);
        message.envelope.recipients[1].notify = notify;
        let settled = settle(&bench, &message, &[&[0, 1]], Others::None);
        assert_eq!(settled.reply.code, 451, "{broken:?}");
        assert_eq!(dispositions(&settled), [D::Delivered, D::NotKept], "{broken:?}");
    }
}

#[test]
fn unknown_and_waiting_recipients_of_one_copy_are_spooled_apart() {
    let bench = bench();
    let hop = &bench.hops["a.example"];
    hop.behave(|moment| match moment {
        Moment::Command(line) if line.starts_with("RCPT TO:<v@") => Act::Say("450 4.2.0 busy"),
        Moment::Content(_) => Act::TakeAndClose,
        _ => Act::Normal,
    });
    let message = message(1, FROM, &["u@a.example", "v@a.example"]);
    let settled = settle(&bench, &message, &[&[0, 1]], Others::None);
    assert_eq!(dispositions(&settled), [D::QueuedUnknown, D::Queued]);
    let marks: Vec<_> = bench.store.waiting().iter().map(|mail| mail.deferral.mark).collect();
    assert_eq!(marks, [Mark::OutcomeUnknown, Mark::None]);
    hop.behave(|_| Act::Normal);
    bench.run_queue(600);
    assert_eq!(hop.count_for("v@a.example"), 1);
    assert_eq!(hop.count_for("u@a.example"), 2);
}

#[test]
fn spool_mode_is_durable_first_and_answers_before_any_hop_is_asked() {
    let bench = bench_with(Settings { mode: Mode::Spool, ..Settings::default() });
    let message = message(1, FROM, &["u@a.example", "v@b.example"]);
    let settled = settle(&bench, &message, &[&[0], &[1]], Others::None);
    assert_eq!(settled.reply.code, 250);
    assert_eq!(dispositions(&settled), [D::Queued, D::Queued]);
    assert_eq!(bench.store.waiting().len(), 2);
    assert_eq!(bench.hops["a.example"].connections.get(), 0);
    bench.run_queue(1);
    assert_eq!(bench.hops["a.example"].count_for("u@a.example"), 1);
    assert_eq!(bench.hops["b.example"].count_for("v@b.example"), 1);
    assert!(bench.store.waiting().is_empty());
}

#[test]
fn spool_mode_without_room_is_452_and_with_a_broken_disk_451() {
    for (broken, code) in [(Broken::SpoolFull, 452), (Broken::Spool, 451)] {
        let bench = bench_with(Settings { mode: Mode::Spool, ..Settings::default() });
        bench.store.0.broken.set(broken);
        let message = message(1, FROM, &["u@a.example"]);
        let settled = settle(&bench, &message, &[&[0]], Others::None);
        assert_eq!(settled.reply.code, code);
        assert_eq!(dispositions(&settled), [D::NotKept]);
    }
}

#[test]
fn spool_mode_reports_refusals_afterwards() {
    let bench = bench_with(Settings { mode: Mode::Spool, ..Settings::default() });
    bench.hops["a.example"].behave(on_command("RCPT", Act::Say("550 5.1.1 no such user")));
    let message = message(1, FROM, &["u@a.example"]);
    assert_eq!(settle(&bench, &message, &[&[0]], Others::None).reply.code, 250);
    bench.run_queue(5);
    assert_eq!(bench.hops["client.example"].taken.borrow().len(), 1);
    assert!(bench.store.waiting().is_empty());
}
