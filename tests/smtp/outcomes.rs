//! What the client is told when the next hop misbehaves, and that every mail is accounted for.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use sekisho_tests::account::{Told, account};
use sekisho_tests::gateway::{DOMAIN, Gateway, Setup};
use sekisho_tests::hop::Hop;
use sekisho_tests::script::{Act, Phase, Script, ScriptHop};
use sekisho_tests::wait::wait_longer;

fn mail(id: &str) -> Vec<u8> {
    format!(
        "X-Envelope-Id: {id}\r\nFrom: <a@example.com>\r\nTo: <b@{DOMAIN}>\r\n\
         Message-ID: <{id}@example.com>\r\nSubject: {id}\r\n\r\nbody of {id}\r\n"
    )
    .into_bytes()
}

/// Architecture, section 2, the table of outcomes of *through*.
#[test]
fn through_answers_the_client_as_the_table_of_outcomes_says() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup {
        delivery: "final_dot_wait_ms = 1000".to_owned(),
        ..Setup::to(hop.address())
    });
    let one = |to: &str| {
        let to = format!("{to}@{DOMAIN}");
        gateway.send("a@example.com", &[&to], &mail(&to)).reply.code
    };
    assert_eq!(one("user"), 250, "taken");
    // Before the failures: a destination that backs off is not asked, so nothing is refused by it.
    assert_eq!(one("reject"), 550, "5xx for every recipient: the same to the client");
    assert_eq!(one("dotreject"), 554, "5xx to the final dot: the same to the client");
    assert_eq!(one("tempfail"), 250, "4xx before our final dot: spooled");
    assert_eq!(one("dotfail"), 250, "4xx to our final dot: spooled");
    assert_eq!(one("closercpt"), 250, "closed before our final dot: spooled");
    assert_eq!(one("nonsense"), 250, "nonsense before our final dot: spooled");
    assert_eq!(one("close"), 250, "closed after our final dot: outcome unknown, spooled");
    assert_eq!(one("hang"), 250, "silent after our final dot: outcome unknown, spooled");
    let queued = gateway.queued();
    assert_eq!(queued, 6, "what was spooled waits");
}

#[test]
fn some_recipients_taken_some_refused_is_250_and_a_report_to_the_sender() {
    let hop = Hop::start();
    // The sender's own domain is one of ours, so that the report comes out at the hop.
    let gateway = Gateway::start(&Setup::to(hop.address()));
    let to = [&*format!("user@{DOMAIN}"), &format!("reject@{DOMAIN}")];
    let from = format!("sender@{DOMAIN}");
    let sent = gateway.send(&from, &to, &mail("some"));
    assert_eq!(sent.reply.code, 250, "{}", sent.reply.text());
    let report = wait_longer("the report arrives", Duration::from_secs(30), || {
        hop.mails().into_iter().find(|mail| mail.envelope.mail_from.is_empty())
    });
    assert_eq!(report.envelope.rcpt_to, [from]);
    let text = String::from_utf8_lossy(&report.content).into_owned();
    assert!(text.contains("multipart/report"), "RFC 3464: {text}");
    assert!(text.contains(&format!("reject@{DOMAIN}")), "the refused recipient is named: {text}");
}

#[test]
fn a_next_hop_that_is_down_costs_nothing_but_time_in_both_modes() {
    for mode in ["through", "spool"] {
        let mut hop = Hop::start();
        let gateway = Gateway::start(&Setup { mode, ..Setup::to(hop.address()) });
        hop.down();
        let mut told = BTreeMap::new();
        for number in 0..20 {
            let to = format!("u-{number}@{DOMAIN}");
            let sent = gateway.send("a@example.com", &[&to], &mail(&number.to_string()));
            assert_eq!(sent.reply.code, 250, "{mode}: {}", sent.reply.text());
            told.insert(number.to_string(), Told::Taken);
        }
        assert_eq!(gateway.queued(), 20, "{mode}");
        hop.up();
        let flushed = gateway.sekisho(&["queue", "flush"]);
        assert!(flushed.status.success());
        wait_longer("the queue empties", Duration::from_secs(60), || {
            (gateway.queued() == 0).then_some(())
        });
        let account = account(&told, &hop, &gateway);
        assert_eq!(account.missing, Vec::<String>::new(), "{mode}");
        assert!(account.delivered.values().all(|times| *times == 1), "{mode}: no duplicate");
    }
}

#[test]
fn the_queue_is_listed_explained_held_and_emptied_by_command() {
    let mut hop = Hop::start();
    let gateway = Gateway::start(&Setup::to(hop.address()));
    hop.down();
    let to = format!("u-1@{DOMAIN}");
    assert_eq!(gateway.send("a@example.com", &[&to], &mail("1")).reply.code, 250);
    let rows = gateway.sekisho_json(&["queue", "list"]);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["domain"], DOMAIN);
    let why = gateway.sekisho_json(&["queue", "why", DOMAIN]);
    assert_eq!(why[0]["mails"], 1);
    assert!(!why[0]["why"].as_str().unwrap_or_default().is_empty(), "{why:?}");

    assert!(gateway.sekisho(&["queue", "hold", DOMAIN]).status.success());
    hop.up();
    let why = gateway.sekisho_json(&["queue", "why", DOMAIN]);
    assert!(why[0]["why"].as_str().unwrap_or_default().contains("held"), "{why:?}");
    assert!(gateway.sekisho(&["queue", "unhold", DOMAIN]).status.success());
    assert!(gateway.sekisho(&["queue", "flush", DOMAIN]).status.success());
    wait_longer("the held mail goes out", Duration::from_secs(30), || hop.mails().pop());

    hop.down();
    assert_eq!(gateway.send("a@example.com", &[&to], &mail("2")).reply.code, 250);
    let rows = gateway.sekisho_json(&["queue", "list"]);
    let id = rows[0]["mail"].as_str().expect("an id").to_owned();
    assert!(gateway.sekisho(&["queue", "remove", &id]).status.success());
    assert_eq!(gateway.queued(), 1, "without --yes it only says what it would do");
    assert!(gateway.sekisho(&["queue", "remove", &id, "--yes"]).status.success());
    assert_eq!(gateway.queued(), 0);
}

/// One domain per hop.
fn domains(hops: &[ScriptHop]) -> String {
    let mut text = String::new();
    for (number, hop) in hops.iter().enumerate() {
        let _ = write!(
            text,
            "[[domain]]\nname = \"d{number}.test\"\nprofile = \"securemail\"\n[[domain.route]]\n\
             host = \"127.0.0.1\"\nport = {}\ntls = \"never\"\n[domain.settings]\n\
             recipient.verify = \"off\"\n",
            hop.address().port()
        );
    }
    text
}

/// Rows 2 to 4 of the table: everything that can go wrong, in each phase, over real sockets.
#[test]
fn a_hop_that_hangs_closes_or_talks_nonsense_in_any_phase_costs_no_mail() {
    let say = |text: &str| Act::Say(text.to_owned());
    let mut cases: Vec<(Phase, Act, u16)> = Vec::new();
    for phase in
        [Phase::Banner, Phase::Ehlo, Phase::Mail, Phase::Rcpt, Phase::Data, Phase::Body, Phase::Dot]
    {
        for act in [Act::Silent, Act::Close] {
            cases.push((phase, act, 250));
        }
        if phase == Phase::Body {
            continue;
        }
        for text in ["good morning", "199 what", "999 what", "250-a\r\n251 b", "\0\u{1}\u{2}"] {
            cases.push((phase, say(text), 250));
        }
        cases.push((phase, say("451 4.3.0 later"), 250));
        cases.push((phase, say("421 4.3.2 closing"), 250));
        cases.push((phase, Act::Endless("250-and so on".to_owned()), 250));
        cases.push((phase, Act::Endless("x".repeat(1000)), 250));
        // About the connection up to EHLO (which HELO may mend), about the mail from MAIL on.
        let code = if phase > Phase::Ehlo { 554 } else { 250 };
        cases.push((phase, say("554 5.7.1 no"), code));
    }
    let hops: Vec<_> = cases
        .iter()
        .map(|(phase, act, _)| ScriptHop::start(Script::default().with(*phase, act.clone())))
        .collect();
    let gateway = Gateway::start(&Setup {
        delivery: "response_timeout_ms = 1000\nfinal_dot_wait_ms = 1000".to_owned(),
        domains: domains(&hops),
        ..Setup::default()
    });
    // Larger than all buffers between us and a hop that does not read.
    let large = [mail("large"), b"0123456789abcdef0123456789abcdef\r\n".repeat(500_000)].concat();
    let mut spooled = 0;
    for (number, (phase, act, code)) in cases.iter().enumerate() {
        let to = format!("u@d{number}.test");
        let content = if *phase == Phase::Body { &large } else { &mail(&to) };
        let began = std::time::Instant::now();
        let sent = gateway.send("a@example.com", &[&to], content);
        let told = sent.reply.text();
        assert_eq!(sent.reply.code, *code, "{phase:?} {act:?}: {told}");
        assert!(began.elapsed() < Duration::from_secs(20), "{phase:?} {act:?}");
        let mended = *phase == Phase::Ehlo && hops[number].taken() == [false];
        spooled += u64::from(*code == 250 && !mended);
    }
    assert_eq!(gateway.queued(), spooled, "what no hop took waits, and nothing else");
    // All hops are well again: everything arrives.
    hops.iter().for_each(|hop| hop.behave(Script::default()));
    wait_longer("the queue empties", Duration::from_secs(120), || {
        let _ = gateway.sekisho(&["queue", "flush"]);
        (gateway.queued() == 0).then_some(())
    });
    for (number, (phase, act, code)) in cases.iter().enumerate() {
        let taken = hops[number].taken().len();
        // Whoever takes a mail and answers nonsense gets it twice.
        let unclear =
            *phase == Phase::Dot && matches!(act, Act::Say(text) if text.starts_with('2'));
        let expected = usize::from(*code == 250) + usize::from(unclear);
        assert_eq!(taken, expected, "{phase:?} {act:?}: a duplicate, never a loss");
    }
}

/// Row 3: the answer that comes after we told our client 250 settles the spooled copy.
#[test]
fn a_late_answer_to_the_final_dot_settles_the_spooled_copy_and_nothing_arrives_twice() {
    let late = Script::default().with(Phase::Dot, Act::Late(Duration::from_secs(4)));
    let hops = [ScriptHop::start(late)];
    let gateway = Gateway::start(&Setup {
        delivery: "final_dot_wait_ms = 1000".to_owned(),
        domains: domains(&hops),
        ..Setup::default()
    });
    let sent = gateway.send("a@example.com", &["u@d0.test"], &mail("late"));
    assert_eq!(sent.reply.code, 250);
    assert_eq!(hops[0].taken().len(), 0, "the hop has not answered yet");
    assert_eq!(gateway.queued(), 1, "durable meanwhile");
    wait_longer("the late answer settles it", Duration::from_secs(30), || {
        (gateway.queued() == 0).then_some(())
    });
    assert_eq!(hops[0].taken().len(), 1);
    assert_eq!(hops[0].connections(), 1, "it was not tried again");
}

/// A hop whose dialogue is out of step says yes to a content that it does not have yet.
#[test]
fn a_yes_before_the_content_is_nobodys_yes() {
    let hops = [ScriptHop::start(
        Script::default().with(Phase::Data, Act::Say("354 go\r\n250 2.0.0 taken".to_owned())),
    )];
    let gateway = Gateway::start(&Setup { domains: domains(&hops), ..Setup::default() });
    let sent = gateway.send("a@example.com", &["u@d0.test"], &mail("early"));
    assert_eq!(sent.reply.code, 250);
    assert_eq!(gateway.queued(), 1, "spooled, not believed");
}
