//! EICAR and GTUBE are held; held mail is listed, shown, exported, released, deleted.

use sekisho_core::control::{Request, Response};
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
    match gateway.control(Request::QuarantineRelease { items: vec![delete] }) {
        Response::Items { items } => assert!(!items[0].done, "deleted is final: {items:?}"),
        Response::Refused { .. } => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(hop.mails().len(), 1);
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
