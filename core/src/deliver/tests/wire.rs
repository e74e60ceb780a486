//! What goes over the wire: extensions, TLS, pooled connections, nonsense.

use proptest::prelude::*;

use super::world::{Act, Moment};
use super::{Bench, CONTENT, bench, bench_with, copy, message};
use crate::content::Content;
use crate::deliver::body::Stuffer;
use crate::deliver::client::{EightBitRule, fuzz_hop_reply};
use crate::deliver::{Accepted, Callout, Disposition as D, Others, Settings, Settled};
use crate::envelope::{Mailbox, Notify, Ret};

const FROM: &str = "s@client.example";

fn settle(bench: &Bench, message: &Accepted) -> Settled {
    let all: Vec<u16> = (0..message.envelope.recipients.len() as u16).collect();
    bench.sim.run(bench.deliverer.settle(message, &[copy(message, &all, true)], Others::None))
}

fn lines(bench: &Bench) -> Vec<String> {
    bench.hops["a.example"].lines.borrow().clone()
}

#[test]
fn a_hop_that_knows_no_ehlo_gets_helo() {
    let bench = bench();
    bench.hops["a.example"].behave(|moment| match moment {
        Moment::Command(line) if line.starts_with("EHLO") => Act::Say("502 5.5.1 what"),
        _ => Act::Normal,
    });
    let settled = settle(&bench, &message(1, FROM, &["u@a.example"]));
    assert_eq!(settled.outcomes[0].disposition, D::Delivered);
    let lines = lines(&bench);
    assert_eq!(lines[1], "HELO mx.gateway.example");
    assert_eq!(lines[2], format!("MAIL FROM:<{FROM}>"), "no parameters");
}

#[test]
fn bdat_is_used_where_chunking_is_offered_and_dots_are_not_stuffed() {
    let bench = bench();
    bench.hops["a.example"].offer(&["PIPELINING", "CHUNKING"]);
    settle(&bench, &message(1, FROM, &["u@a.example"]));
    assert!(lines(&bench).contains(&format!("BDAT {} LAST", CONTENT.len())));
    assert_eq!(bench.hops["a.example"].taken.borrow()[0].content, CONTENT);
}

#[test]
fn a_hop_without_pipelining_gets_one_command_at_a_time() {
    let bench = bench();
    bench.hops["a.example"].offer(&[]);
    let settled = settle(&bench, &message(1, FROM, &["u@a.example", "v@a.example"]));
    assert!(settled.outcomes.iter().all(|one| one.disposition == D::Delivered));
    assert_eq!(lines(&bench).len(), 5, "EHLO MAIL RCPT RCPT DATA");
}

#[test]
fn many_recipients_go_in_batches_and_all_arrive() {
    let bench = bench();
    let names: Vec<String> = (0..350).map(|n| format!("u{n}@a.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let settled = settle(&bench, &message(1, FROM, &names));
    assert!(settled.outcomes.iter().all(|one| one.disposition == D::Delivered));
    assert_eq!(bench.hops["a.example"].taken.borrow()[0].rcpts, names);
}

#[test]
fn the_hops_limit_of_recipients_is_kept_rfc_9422() {
    let bench = bench();
    bench.hops["a.example"].offer(&["PIPELINING", "LIMITS RCPTMAX=2"]);
    let settled = settle(&bench, &message(1, FROM, &["u@a.example", "v@a.example", "w@a.example"]));
    assert!(settled.outcomes.iter().all(|one| one.disposition == D::Delivered));
    let taken = bench.hops["a.example"].taken.borrow();
    let counts: Vec<_> = taken.iter().map(|one| one.rcpts.len()).collect();
    assert_eq!(counts, [2, 1]);
    assert_eq!(bench.hops["a.example"].connections.get(), 1);
}

#[test]
fn dsn_parameters_are_passed_on_where_offered() {
    let bench = bench();
    bench.hops["a.example"].offer(&["DSN"]);
    let mut message = message(1, FROM, &["u@a.example"]);
    message.envelope.ret = Some(Ret::Headers);
    message.envelope.envid = Some("id+2B1".into());
    message.envelope.recipients[0].notify =
        Notify { success: true, failure: true, ..Notify::default() };
    message.envelope.recipients[0].orcpt = Some("rfc822;x@y.example".into());
    settle(&bench, &message);
    let lines = lines(&bench);
    assert_eq!(lines[1], format!("MAIL FROM:<{FROM}> RET=HDRS ENVID=id+2B1"));
    assert_eq!(lines[2], "RCPT TO:<u@a.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x@y.example");
    assert!(bench.store.reports().is_empty(), "success is the hop's to report");
}

#[test]
fn success_is_reported_by_us_as_relayed_where_the_hop_has_no_dsn() {
    let bench = bench();
    let mut message = message(1, FROM, &["u@a.example"]);
    message.envelope.envid = Some("id+2B1".into());
    message.envelope.recipients[0].notify = Notify { success: true, ..Notify::default() };
    settle(&bench, &message);
    let reports = bench.store.reports();
    assert_eq!(reports.len(), 1);
    assert!(reports[0].1.contains("Action: relayed\r\nStatus: 2."), "{}", reports[0].1);
    assert!(reports[0].1.contains("Original-Envelope-Id: id+1\r\n"), "{}", reports[0].1);
}

#[test]
fn smtputf8_needed_and_not_offered_is_5_6_7_per_recipient() {
    let bench = bench();
    let settled = settle(&bench, &message(1, FROM, &["日本@a.example", "u@a.example"]));
    assert_eq!(settled.reply.code, 250);
    let found: Vec<_> = settled.outcomes.iter().map(|one| one.disposition).collect();
    assert_eq!(found, [D::Reported, D::Delivered]);
    let reports = bench.store.reports();
    assert!(reports[0].1.contains("report-type=global-delivery-status"));
    assert!(
        reports[0]
            .1
            .contains("Final-Recipient: utf-8;日本@a.example\r\nAction: failed\r\nStatus: 5.6.7")
    );
}

#[test]
fn smtputf8_for_the_whole_message_is_refused_to_the_client_with_5_6_7() {
    let bench = bench();
    let settled = settle(&bench, &message(1, "送信者@client.example", &["u@a.example"]));
    assert_eq!(settled.reply.code, 550);
    assert!(settled.reply.to_string().contains("5.6.7"));
    bench.hops["a.example"].offer(&["SMTPUTF8"]);
    let settled = settle(&bench, &message(2, "送信者@client.example", &["u@a.example"]));
    // The pooled connection knows the old offer; the hop may have learnt in between, we ask anew later.
    assert_eq!(settled.reply.code, 550);
    bench.run_queue(60);
    let settled = settle(&bench, &message(3, "送信者@client.example", &["u@a.example"]));
    assert_eq!(settled.reply.code, 250);
    assert!(lines(&bench).contains(&"MAIL FROM:<送信者@client.example> SMTPUTF8".to_owned()));
}

#[test]
fn a_message_above_the_hops_size_is_552_without_being_sent() {
    let bench = bench();
    bench.hops["a.example"].offer(&["SIZE 10"]);
    let settled = settle(&bench, &message(1, FROM, &["u@a.example"]));
    assert_eq!(settled.reply.code, 552);
    assert_eq!(bench.hops["a.example"].said("MAIL"), 0);
}

#[test]
fn eight_bit_content_to_a_hop_without_8bitmime_is_sent_as_is_or_refused_by_setting() {
    for (rule, code) in [(EightBitRule::AsIs, 250), (EightBitRule::Refuse, 554)] {
        let bench = bench_with(Settings { eight_bit: rule, ..Settings::default() });
        bench.hops["a.example"].offer(&[]);
        let message = message(1, FROM, &["u@a.example"]);
        let mut copy = copy(&message, &[0], true);
        copy.content = Content::from_octets("Subject: x\r\n\r\n日本\r\n".as_bytes());
        copy.needs.eight_bit = true;
        let settled = bench.sim.run(bench.deliverer.settle(&message, &[copy], Others::None));
        assert_eq!(settled.reply.code, code);
    }
}

#[test]
fn starttls_is_used_where_offered_and_a_broken_handshake_falls_back_to_clear() {
    for (breaks, tls, connections) in [(false, true, 1), (true, false, 2)] {
        let bench = bench();
        let hop = &bench.hops["a.example"];
        hop.offer(&["STARTTLS", "PIPELINING"]);
        hop.behave(move |moment| match moment {
            Moment::Command("*handshake any") if breaks => Act::Close,
            _ => Act::Normal,
        });
        let settled = settle(&bench, &message(1, FROM, &["u@a.example"]));
        assert_eq!(settled.outcomes[0].disposition, D::Delivered);
        assert_eq!(settled.outcomes[0].answer.tls.is_some(), tls);
        assert_eq!(hop.connections.get(), connections);
    }
}

#[test]
fn a_hop_that_breaks_off_after_the_handshake_without_a_word_gets_the_mail_in_clear() {
    // Under TLS 1.3 a hop that wants a certificate of ours says no when the handshake is over for us. The second EHLO
    // is the one under TLS.
    for (act, tls) in
        [(Act::Close, false), (Act::Silent, false), (Act::Say("421 4.3.2 not now"), true)]
    {
        let bench = bench();
        let hop = &bench.hops["a.example"];
        hop.offer(&["STARTTLS", "PIPELINING"]);
        let hellos = std::cell::Cell::new(0);
        let said = tls;
        hop.behave(move |moment| match moment {
            Moment::Command(line) if line.starts_with("EHLO") => {
                hellos.set(hellos.get() + 1);
                if hellos.get() == 2 { act.clone() } else { Act::Normal }
            }
            _ => Act::Normal,
        });
        let settled = settle(&bench, &message(1, FROM, &["u@a.example"]));
        let answer = &settled.outcomes[0].answer;
        // Whoever speaks under TLS has taken our handshake.
        let want = if said { (D::Queued, 1) } else { (D::Delivered, 2) };
        assert_eq!((settled.outcomes[0].disposition, hop.connections.get()), want, "{answer:?}");
        assert!(answer.tls.is_none(), "{answer:?}");
    }
}

#[test]
fn text_in_clear_behind_the_answer_to_starttls_ends_the_connection() {
    let bench = bench();
    let hop = &bench.hops["a.example"];
    hop.offer(&["STARTTLS"]);
    hop.behave(|moment| match moment {
        Moment::Command("STARTTLS") => Act::Say("220 go\r\n250 injected"),
        _ => Act::Normal,
    });
    let settled = settle(&bench, &message(1, FROM, &["u@a.example"]));
    assert_eq!(settled.outcomes[0].disposition, D::Queued);
    assert!(settled.outcomes[0].answer.reply.to_string().contains("STARTTLS"));
}

#[test]
fn connections_are_used_again_and_a_dead_one_is_replaced_before_anything_is_lost() {
    let bench = bench();
    let hop = &bench.hops["a.example"];
    for n in 1..=3 {
        settle(&bench, &message(n, FROM, &["u@a.example"]));
    }
    assert_eq!(hop.connections.get(), 1);
    // The idle connection looks alive, and is closed when it is used.
    let first = std::cell::Cell::new(true);
    hop.behave(move |moment| match moment {
        Moment::Command(line) if line.starts_with("MAIL") && first.replace(false) => Act::Close,
        _ => Act::Normal,
    });
    let settled = settle(&bench, &message(4, FROM, &["u@a.example"]));
    assert_eq!(settled.outcomes[0].disposition, D::Delivered);
    assert_eq!(hop.connections.get(), 2);
    assert_eq!(hop.count_for("u@a.example"), 4, "once each");
}

#[test]
fn a_connection_that_died_after_the_final_dot_is_never_tried_again_at_once() {
    let bench = bench();
    let hop = &bench.hops["a.example"];
    settle(&bench, &message(1, FROM, &["u@a.example"]));
    hop.behave(|moment| match moment {
        Moment::Content(_) => Act::TakeAndClose,
        _ => Act::Normal,
    });
    let settled = settle(&bench, &message(2, FROM, &["v@a.example"]));
    assert_eq!(settled.outcomes[0].disposition, D::QueuedUnknown);
    assert_eq!(hop.count_for("v@a.example"), 1);
}

#[test]
fn an_idle_connection_is_closed_after_its_time() {
    let bench = bench();
    settle(&bench, &message(1, FROM, &["u@a.example"]));
    assert_eq!(bench.hops["a.example"].said("QUIT"), 0);
    bench.run_queue(32);
    assert_eq!(bench.hops["a.example"].said("QUIT"), 1);
}

#[test]
fn after_refused_recipients_the_connection_is_reset_before_it_is_used_again() {
    let bench = bench();
    let hop = &bench.hops["a.example"];
    hop.behave(|moment| match moment {
        Moment::Command(line) if line.starts_with("RCPT TO:<bad@") => Act::Say("550 5.1.1 no"),
        _ => Act::Normal,
    });
    assert_eq!(settle(&bench, &message(1, FROM, &["bad@a.example"])).reply.code, 550);
    assert_eq!(settle(&bench, &message(2, FROM, &["u@a.example"])).reply.code, 250);
    assert_eq!((hop.connections.get(), hop.said("RSET")), (1, 1));
}

#[test]
fn a_hop_that_wants_content_for_nobody_gets_a_lone_dot_rfc_2920() {
    let bench = bench();
    let hop = &bench.hops["a.example"];
    hop.behave(|moment| match moment {
        Moment::Command(line) if line.starts_with("RCPT") => Act::Say("550 5.1.1 no"),
        Moment::Command("DATA") => Act::Say("354 go on"),
        Moment::Content("") => Act::Say("554 5.5.1 no recipients"),
        _ => Act::Normal,
    });
    assert_eq!(settle(&bench, &message(1, FROM, &["bad@a.example"])).reply.code, 550);
    assert!(hop.taken.borrow().is_empty());
}

#[test]
fn a_reply_that_never_ends_is_nonsense_and_bounded() {
    for text in ["250-".to_owned() + &"x".repeat(5_000), "250-x\r\n".repeat(300), "x".repeat(9_000)]
    {
        let text: &'static str = Box::leak(text.into_boxed_str());
        let bench = bench();
        bench.hops["a.example"].behave(move |moment| match moment {
            Moment::Command(line) if line.starts_with("EHLO") => Act::Say(text),
            _ => Act::Normal,
        });
        let settled = settle(&bench, &message(1, FROM, &["u@a.example"]));
        assert_eq!(settled.outcomes[0].disposition, D::Queued);
        assert!(settled.outcomes[0].answer.reply.to_string().contains("does not speak SMTP"));
    }
}

/// Replies out of step: the hop answers MAIL twice. Whatever it says afterwards is taken for the answer
/// to something else, and with CHUNKING nothing would stop its "ok" to RCPT from being one to the content.
#[test]
fn an_answer_before_the_content_is_out_is_never_taken_for_the_answer_to_it() {
    for offers in [vec!["PIPELINING", "CHUNKING"], vec!["PIPELINING"]] {
        let bench = bench();
        let hop = &bench.hops["a.example"];
        hop.offer(&offers);
        hop.behave(|moment| match moment {
            Moment::Command(line) if line.starts_with("MAIL") => Act::Say("250 ok\r\n250 ok"),
            Moment::Content(_) => Act::Say("554 5.5.1 no recipients"),
            _ => Act::Normal,
        });
        let settled = settle(&bench, &message(1, FROM, &["u@a.example"]));
        assert_eq!(settled.outcomes[0].disposition, D::Queued, "{offers:?}");
        let text = settled.outcomes[0].answer.reply.to_string();
        assert!(text.contains("does not speak SMTP"), "{text}");
    }
}

#[test]
fn a_refusal_in_the_middle_of_a_large_content_is_the_answer_and_ends_the_connection() {
    for (says, code, disposition) in
        [("552 5.3.4 too much", 552, D::Refused), ("452 4.3.1 full", 250, D::Queued)]
    {
        let bench = bench();
        let hop = &bench.hops["a.example"];
        hop.interrupt(says);
        let message = message(1, FROM, &["u@a.example"]);
        let mut copy = copy(&message, &[0], true);
        copy.content = Content::from_octets("x".repeat(100).as_bytes());
        let line = [b"y".repeat(998), b"\r\n".to_vec()].concat();
        let pieces = (0..300).flat_map(|_| Content::from_octets(&*line).pieces);
        copy.content.pieces.extend(pieces);
        let settled = bench.sim.run(bench.deliverer.settle(&message, &[copy], Others::None));
        assert_eq!(settled.reply.code, code, "{}", settled.reply);
        assert_eq!(settled.outcomes[0].disposition, disposition);
        assert!(hop.taken.borrow().is_empty(), "the end of the content was not sent");
    }
}

/// A hop that drains a large mail slowly keeps each write within its time; the client must not
/// wait for days.
#[test]
fn a_hop_that_drains_slowly_makes_the_client_wait_no_longer_than_one_that_hangs() {
    let bench = bench();
    let hop = &bench.hops["a.example"];
    hop.slow_writes(5_000);
    let message = message(1, FROM, &["u@a.example"]);
    let mut copy = copy(&message, &[0], true);
    let line = [b"y".repeat(998), b"\r\n".to_vec()].concat();
    copy.content.pieces = (0..4_000).flat_map(|_| Content::from_octets(&*line).pieces).collect();
    let started = bench.sim.millis();
    let settled = bench.sim.run(bench.deliverer.settle(&message, &[copy], Others::None));
    assert_eq!(settled.outcomes[0].disposition, D::Queued);
    let waited = bench.sim.millis() - started;
    assert!(waited <= 60_000, "{waited} ms");
}

#[test]
fn a_mailbox_with_a_line_end_in_it_cannot_make_a_command() {
    let bench = bench();
    let mut message = message(1, FROM, &["u@a.example"]);
    message.envelope.recipients[0].resolved = Mailbox::new("u\r\nRCPT TO:<evil", "a.example");
    settle(&bench, &message);
    assert_eq!(bench.hops["a.example"].said("RCPT"), 1);
}

#[test]
fn call_outs_ask_once_and_keep_the_answer() {
    let bench = bench();
    let hop = &bench.hops["a.example"];
    hop.behave(|moment| match moment {
        Moment::Command(line) if line.starts_with("RCPT TO:<no@") => Act::Say("550 5.1.1 no"),
        Moment::Command(line) if line.starts_with("RCPT TO:<busy@") => Act::Say("450 4.2.0 busy"),
        _ => Act::Normal,
    });
    let ask = |name: &str| bench.sim.run(bench.deliverer.callout(&Mailbox::new(name, "a.example")));
    for _ in 0..3 {
        assert_eq!(ask("yes"), Callout::Known);
        assert!(matches!(ask("no"), Callout::Unknown(reply) if reply.code == 550));
        assert!(matches!(ask("busy"), Callout::Unanswered(reply) if reply.code == 450));
    }
    assert_eq!(hop.said("RCPT"), 3);
    assert_eq!(hop.said("DATA"), 0, "never during DATA, never DATA");
    assert_eq!(hop.said("MAIL FROM:<>"), 3);
    bench.run_queue(601);
    assert!(matches!(ask("no"), Callout::Unknown(_)));
    assert_eq!(ask("yes"), Callout::Known);
    assert_eq!(hop.said("RCPT"), 4, "a no is asked again after ten minutes, a yes is still good");
}

#[test]
fn a_call_out_to_a_hop_that_cannot_be_asked_says_so() {
    let bench = bench();
    bench.hops["a.example"].behave(|_| Act::Refuse);
    let asked = bench.sim.run(bench.deliverer.callout(&Mailbox::new("u", "a.example")));
    assert!(matches!(asked, Callout::Unanswered(_)));
    let asked = bench.sim.run(bench.deliverer.callout(&Mailbox::new("u", "nowhere.example")));
    assert!(matches!(asked, Callout::Unanswered(_)), "no route is nobody's refusal");
}

#[test]
fn two_who_ask_the_same_at_once_ask_the_hop_once() {
    let bench = bench();
    bench.hops["a.example"].behave(|moment| match moment {
        Moment::Command(line) if line.starts_with("RCPT") => Act::Late(2_000),
        _ => Act::Normal,
    });
    let mailbox = Mailbox::new("u", "a.example");
    let answers =
        bench.sim.run(crate::deliver::wake::all((0..5).map(|_| bench.deliverer.callout(&mailbox))));
    assert_eq!(answers, vec![Callout::Known; 5]);
    assert_eq!(bench.hops["a.example"].said("RCPT"), 1);
}

/// Undoes stuffing the way a server does.
fn unstuff(stuffed: &[u8]) -> Vec<u8> {
    let body = stuffed.strip_suffix(b".\r\n").expect("ends with the dot");
    let text = [b"\n".as_slice(), body].concat();
    let mut out = Vec::new();
    let mut rest = text.as_slice();
    while let Some(at) = memchr::memmem::find(rest, b"\n.") {
        out.extend_from_slice(&rest[..=at]);
        rest = &rest[at + 2..];
    }
    out.extend_from_slice(rest);
    out[1..].to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever the content and the cuts: no line but the last is a lone dot, and a server gets
    /// the same octets back.
    #[test]
    fn stuffing_survives_any_cut(
        lines in proptest::collection::vec("[.a]{0,4}", 0..12),
        cuts in proptest::collection::vec(0usize..40, 0..6),
    ) {
        let content: Vec<u8> = lines.iter().flat_map(|l| format!("{l}\r\n").into_bytes()).collect();
        let mut stuffer = Stuffer::new();
        let mut out = Vec::new();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (content.len() + 1)).collect();
        cuts.sort_unstable();
        let mut start = 0;
        for cut in cuts.into_iter().chain([content.len()]) {
            stuffer.push(&content[start..cut], &mut out);
            start = cut;
        }
        stuffer.finish(&mut out);
        let ends = memchr::memmem::find_iter(&[b"\r\n", out.as_slice()].concat(), b"\r\n.\r\n").count();
        prop_assert_eq!(ends, 1);
        prop_assert_eq!(unstuff(&out), content);
    }

    #[test]
    fn no_reply_of_a_hop_makes_the_client_panic(data: Vec<u8>) {
        fuzz_hop_reply(&data);
    }

    /// Built of real replies, so that the dialogue gets far.
    #[test]
    fn no_dialogue_of_a_hop_makes_the_client_panic(
        choice: u8,
        replies in proptest::collection::vec(
            proptest::sample::select(vec![
                "220 hi\r\n", "250 ok\r\n", "250-x\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
                "250-x\r\n250-STARTTLS\r\n250 LIMITS RCPTMAX=1\r\n", "354 go\r\n", "421 bye\r\n",
                "450 later\r\n", "550 5.1.1 no\r\n", "250-x\r\n251 y\r\n", "99 what\r\n", "250",
            ]),
            0..24,
        ),
    ) {
        let mut data = vec![choice];
        data.extend(replies.concat().into_bytes());
        fuzz_hop_reply(&data);
    }
}
