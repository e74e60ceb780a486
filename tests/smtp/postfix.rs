//! Postfix as the client, and Postfix as the next hop: unpacked from Debian's package into the build
//! directory, run in a private copy of the file system, never as a service of the machine.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sekisho_loadgen::client::{Client, Mail};
use sekisho_tests::gateway::{DOMAIN, Gateway, Setup, free_port};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::wait_longer;
use sekisho_tests::{corpus, left_out};

use crate::clean::below_added;

struct Postfix {
    child: Child,
    address: SocketAddr,
}

impl Postfix {
    /// None, said plainly, where it cannot be had: not root, no package.
    fn start(next: SocketAddr) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            left_out("Postfix as a peer", "it needs root for its own users and name space");
            return None;
        }
        let own = std::env::current_exe().unwrap();
        let target = own.ancestors().find(|dir| dir.ends_with("target"))?.join("postfix");
        let address = free_port();
        let script = corpus::repository().join("tests/smtp/postfix_run.sh");
        let mut child = Command::new("bash")
            .arg(script)
            .arg(target)
            .arg(address.to_string())
            .arg(next.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let _ = BufReader::new(child.stdout.take().unwrap()).read_line(&mut line);
        if line.trim() != "STARTED" {
            let _ = child.wait();
            left_out("Postfix as a peer", "its package cannot be fetched or started here");
            return None;
        }
        let postfix = Self { child, address };
        wait_longer("Postfix greets", Duration::from_secs(60), || {
            Client::hello(address, "probe.test", Duration::from_secs(2)).ok().map(Client::quit)
        });
        Some(postfix)
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn mails() -> Vec<Vec<u8>> {
    (0..100)
        .map(|number| {
            format!(
                "X-Envelope-Id: {number}\r\nFrom: <a@example.com>\r\nTo: <u@{DOMAIN}>\r\n\
                 Date: Thu, 29 Feb 2024 10:00:00 +0900\r\nMessage-ID: <{number}@example.com>\r\n\
                 Subject: {number}\r\n\r\n.dot\r\n{}\r\n",
                "a line of text\r\n".repeat(number * 3)
            )
            .into_bytes()
        })
        .collect()
}

fn send_all(address: SocketAddr, mails: &[Vec<u8>]) {
    let mut client = Client::hello(address, "client.example.com", Duration::from_secs(60)).unwrap();
    for (number, content) in mails.iter().enumerate() {
        let to = format!("u-{number}@{DOMAIN}");
        let sent = client.send(&Mail { from: "a@example.com", to: &[&to], content }).unwrap();
        assert!(sent.accepted(), "{number}: {}", sent.reply.text());
    }
    client.quit();
}

fn all_arrived(hop: &Hop, sent: &[Vec<u8>]) {
    let arrived = wait_longer("every mail arrives", Duration::from_secs(120), || {
        let mails = hop.mails();
        (mails.len() >= sent.len()).then_some(mails)
    });
    assert_eq!(arrived.len(), sent.len(), "each once");
    for mail in arrived {
        let number: usize = mail.envelope_id().unwrap().parse().unwrap();
        assert!(below_added(&mail.content, &sent[number]).is_some(), "{number} was changed");
    }
}

#[test]
fn postfix_as_the_client_delivers_through_us_byte_for_byte() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup::to(hop.address()));
    let Some(postfix) = Postfix::start(gateway.smtp()) else { return };
    let mails = mails();
    send_all(postfix.address, &mails);
    all_arrived(&hop, &mails);
}

#[test]
fn postfix_as_the_next_hop_takes_what_we_deliver_byte_for_byte() {
    let hop = Hop::start();
    let Some(postfix) = Postfix::start(hop.address()) else { return };
    let gateway = Gateway::start(&Setup::to(postfix.address));
    let mails = mails();
    send_all(gateway.smtp(), &mails);
    all_arrived(&hop, &mails);
}
