//! EICAR and GTUBE are held; held mail is listed, shown, exported, released, deleted.

use std::time::{Duration, Instant};

use sekisho_core::control::{Request, Response};
use sekisho_loadgen::client::Mail;
use sekisho_loadgen::sink::Behaviour;
use sekisho_tests::gateway::{Gateway, Setup, words};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::wait_for;
use serde_json::Value;

use crate::clean::below_added;

/// A starter rule set that knows the GTUBE line, as the shipped one does.
fn setup(hop: &Hop) -> Setup {
    Setup { files: starter_rules(), ..Setup::to(hop.address()) }
}

/// The rules that ship with the repository.
pub(crate) fn starter_rules() -> Vec<(String, String)> {
    let dir = sekisho_tests::corpus::repository().join("core/data/rules");
    sekisho_tests::corpus::files(&dir)
        .into_iter()
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            Some((format!("rules/{name}"), std::fs::read_to_string(&path).ok()?))
        })
        .collect()
}

fn held(gateway: &Gateway) -> Vec<Value> {
    gateway.sekisho_json(&["quarantine", "list"])
}

fn sample(gateway: &Gateway, sample: &str, to: &str) {
    let server = gateway.smtp().to_string();
    let sent = gateway.sekisho(&["send", "--server", &server, "--sample", sample, "--to", to]);
    assert!(sent.status.success(), "{}", words(&sent));
}

#[test]
fn eicar_is_class_virus_and_gtube_is_class_spam_and_neither_reaches_the_next_hop() {
    let hop = Hop::start();
    let gateway = Gateway::start(&setup(&hop));
    sample(&gateway, "eicar", "virus-1@demo.test");
    sample(&gateway, "gtube", "spam-1@demo.test");
    sample(&gateway, "clean", "clean-1@demo.test");
    let items = held(&gateway);
    let class = |to: &str| {
        let item = items.iter().find(|item| item["to"] == to);
        item.map(|item| item["class"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(class("virus-1@demo.test").as_deref(), Some("Virus"), "{items:?}");
    assert_eq!(class("spam-1@demo.test").as_deref(), Some("Spam"), "{items:?}");
    assert_eq!(class("clean-1@demo.test"), None);
    let delivered: Vec<_> =
        hop.mails().into_iter().flat_map(|mail| mail.envelope.rcpt_to).collect();
    assert_eq!(delivered, ["clean-1@demo.test"]);
}

#[test]
fn a_held_mail_is_shown_exported_released_byte_for_byte_and_another_deleted_for_good() {
    let hop = Hop::start();
    let gateway = Gateway::start(&setup(&hop));
    sample(&gateway, "gtube", "release-1@demo.test");
    sample(&gateway, "gtube", "delete-1@demo.test");
    let items = held(&gateway);
    assert_eq!(items.len(), 2, "{items:?}");
    let id = |to: &str| {
        let item = items.iter().find(|item| item["to"] == to).expect("held");
        item["item"].as_str().expect("an id").to_owned()
    };
    let (release, delete) = (id("release-1@demo.test"), id("delete-1@demo.test"));

    let shown = gateway.sekisho_json(&["quarantine", "show", &release]);
    assert_eq!(shown.len(), 1);
    assert!(shown[0].to_string().contains("GTUBE"), "the rule is named: {shown:?}");
    let exported = gateway.sekisho(&["quarantine", "export", &release]).stdout;
    assert!(String::from_utf8_lossy(&exported).contains("GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL"));

    // Without --yes nothing happens.
    assert!(gateway.sekisho(&["quarantine", "release", &release]).status.success());
    assert!(hop.mails().is_empty());

    let released = gateway.sekisho(&["quarantine", "release", &release, "--yes"]);
    assert!(released.status.success(), "{}", words(&released));
    let mail = wait_for("the released mail arrives", || hop.mails().pop());
    assert_eq!(mail.envelope.rcpt_to, ["release-1@demo.test"]);
    let body = exported.windows(4).position(|four| four == b"\r\n\r\n").expect("a body") + 4;
    assert!(below_added(&mail.content, &exported[body..]).is_some(), "the body is as it was held");

    let deleted = gateway.sekisho(&["quarantine", "delete", &delete, "--yes"]);
    assert!(deleted.status.success(), "{}", words(&deleted));
    wait_for("the deleted item leaves the list", || {
        held(&gateway).iter().all(|item| item["item"] != delete.as_str()).then_some(())
    });
    match gateway.control(Request::QuarantineRelease { items: vec![delete], ham: false }) {
        Response::Items { items } => assert!(!items[0].done, "deleted is final: {items:?}"),
        Response::Refused { .. } => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(hop.mails().len(), 1);

    // Whoever asks what became of a recipient's mail finds what the operator did with it.
    for (to, action) in [("release-1@demo.test", "release"), ("delete-1@demo.test", "delete")] {
        let row = wait_for("the row of what the operator did", || {
            let (to, by) = (format!("to~{to}"), "by=operator");
            gateway.sekisho_json(&["log", "search", &to, by]).pop()
        });
        assert_eq!((&row["action"], &row["address"]), (&action.into(), &to.into()), "{row}");
        assert_eq!(row["from"], "sender@partner.test", "{row}");
    }
}

#[test]
fn held_mail_is_still_there_after_a_kill_and_can_be_released() {
    let hop = Hop::start();
    let mut gateway = Gateway::start(&setup(&hop));
    sample(&gateway, "gtube", "kept-1@demo.test");
    gateway.kill();
    assert_eq!(held(&gateway).len(), 1, "the command line reads it with no engine running");
    gateway.up();
    let id = held(&gateway)[0]["item"].as_str().expect("an id").to_owned();
    let released = wait_for("recovery knows the item", || {
        let output = gateway.sekisho(&["quarantine", "release", &id, "--yes"]);
        output.status.success().then_some(output)
    });
    assert!(released.status.success());
    wait_for("the released mail arrives", || hop.mails().pop());
}

/// Sends GTUBE to `to` and gives the id of its item.
fn hold_one(gateway: &Gateway, to: &str) -> String {
    sample(gateway, "gtube", to);
    let item = held(gateway).into_iter().find(|item| item["to"] == to).expect("held");
    item["item"].as_str().expect("an id").to_owned()
}

fn outcome(response: Response) -> sekisho_core::control::ItemOutcome {
    match response {
        Response::Items { items } if items.len() == 1 => items.into_iter().next().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_release_that_takes_long_is_said_to_be_under_way_and_repeating_it_delivers_once() {
    // The next hop took its time. After a minute the operator was told "no" although the release went on, repeated it,
    // and the mail went out twice.
    let hop = Hop::start();
    hop.behave(Behaviour { slow: Duration::from_secs(9), ..Behaviour::default() });
    let gateway = Gateway::start(&setup(&hop));
    let id = hold_one(&gateway, "slow-1@demo.test");
    let ask =
        || gateway.control(Request::QuarantineRelease { items: vec![id.clone()], ham: false });
    let first = outcome(ask());
    assert!(!first.done && first.under_way, "a truthful answer in time: {first:?}");
    assert!(first.why.contains("quarantine show"), "{first:?}");
    let shown = gateway.sekisho_json(&["quarantine", "show", &id]).remove(0);
    assert_eq!(shown["state"], "releasing");
    let deleted = outcome(gateway.control(Request::QuarantineDelete { items: vec![id.clone()] }));
    assert!(!deleted.done && deleted.why.contains("under way"), "{deleted:?}");
    // The command joins the release that runs, and waits for its end.
    let released = gateway.sekisho(&["quarantine", "release", &id, &id, "--yes"]);
    assert!(released.status.success(), "{}", words(&released));
    let again = outcome(ask());
    assert!(again.done && again.why.contains("not delivered again"), "{again:?}");
    assert_eq!(hop.mails().len(), 1, "delivered once");
}

#[test]
fn a_release_that_a_kill_cut_off_is_done_by_asking_again() {
    let hop = Hop::start();
    hop.behave(Behaviour { slow: Duration::from_secs(30), ..Behaviour::default() });
    let mut gateway = Gateway::start(&setup(&hop));
    let id = hold_one(&gateway, "slow-1@demo.test");
    let first = outcome(
        gateway.control(Request::QuarantineRelease { items: vec![id.clone()], ham: false }),
    );
    assert!(first.under_way, "{first:?}");
    gateway.kill();
    hop.behave(Behaviour { slow: Duration::ZERO, ..Behaviour::default() });
    let before = hop.mails().len();
    gateway.up();
    assert_eq!(gateway.queued(), 0, "everything is read");
    assert_eq!(
        held(&gateway)[0]["state"],
        "releasing",
        "left over: nobody knows whether it went out"
    );
    let released = gateway.sekisho(&["quarantine", "release", &id, "--yes"]);
    assert!(released.status.success(), "{}", words(&released));
    assert_eq!(hop.mails().len(), before + 1, "a duplicate is possible, a loss is not");
}

#[test]
fn what_the_next_hop_refuses_stays_held_and_the_reason_is_told() {
    let hop = Hop::start();
    let gateway = Gateway::start(&setup(&hop));
    let id = hold_one(&gateway, "reject-1@demo.test");
    for _ in 0..2 {
        let released = gateway.sekisho(&["quarantine", "release", &id, "--yes"]);
        assert_eq!(released.status.code(), Some(1), "{}", words(&released));
        assert!(words(&released).contains("next hop: 550"), "{}", words(&released));
        assert_eq!(held(&gateway)[0]["state"], "held");
    }
    assert!(hop.mails().is_empty());
}

#[test]
fn hundreds_of_items_are_released_by_one_command_side_by_side_each_once() {
    const ITEMS: usize = 300;
    let hop = Hop::start();
    // 100 ms before the answers to RCPT and to the final dot: one after the other this takes a minute.
    hop.behave(Behaviour { delay: Duration::from_millis(100), ..Behaviour::default() });
    let gateway = Gateway::start(&setup(&hop));
    let mut client = gateway.client();
    let content = b"Subject: x\r\n\r\n\
        XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n";
    for number in 0..ITEMS {
        let to = format!("user-{number}@demo.test");
        let mail = Mail { from: "a@example.com", to: &[&to], content };
        assert_eq!(client.send(&mail).unwrap().reply.code, 250);
    }
    let ids: Vec<String> =
        held(&gateway).iter().map(|item| item["item"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), ITEMS);
    let arguments = |more: &[&'static str]| {
        let mut all = vec!["quarantine", "release"];
        all.extend(ids.iter().map(String::as_str));
        all.extend(more);
        let begun = Instant::now();
        (gateway.sekisho(&all), begun.elapsed())
    };
    let (said, _) = arguments(&[]);
    assert!(said.status.success() && words(&said).matches("would deliver").count() == ITEMS);
    let (released, took) = arguments(&["--yes"]);
    assert!(released.status.success(), "{}", words(&released));
    assert_eq!(String::from_utf8_lossy(&released.stdout).matches("\tdone").count(), ITEMS);
    println!("{ITEMS} items released in {took:?}");
    assert!(took < Duration::from_secs(45), "one after the other: {took:?}");
    let mut to: Vec<String> = hop.mails().into_iter().flat_map(|m| m.envelope.rcpt_to).collect();
    to.sort_unstable();
    to.dedup();
    assert_eq!((to.len(), hop.mails().len()), (ITEMS, ITEMS), "each once");
    assert_eq!(gateway.sekisho(&["quarantine", "list"]).status.code(), Some(1), "nothing is held");
}
