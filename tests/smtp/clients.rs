//! Every mail of the corpus, sent by real clients: accepted, held or refused with a defined code; those
//! delivered unmodified are byte-identical below the added fields; 0 unexplained.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sekisho_loadgen::mix::{to_canonical, with_envelope_id};
use sekisho_tests::account::{Told, account};
use sekisho_tests::gateway::{DOMAIN, Gateway, Setup};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::wait_longer;
use sekisho_tests::{corpus, left_out};

use crate::clean::below_added;

/// One mail to send: as the client has it, with its id in front.
struct Sent {
    id: String,
    to: String,
    file: PathBuf,
    content: Vec<u8>,
}

/// Mails written into `dir` as a client sends them.
fn prepare(files: &[PathBuf], dir: &Path) -> Vec<Sent> {
    let mut sent = Vec::new();
    for (number, path) in files.iter().enumerate() {
        let id = format!("c{number}");
        let content = with_envelope_id(&to_canonical(&std::fs::read(path).unwrap()), &id);
        let file = dir.join(format!("{number}.eml"));
        std::fs::write(&file, &content).unwrap();
        sent.push(Sent { to: format!("u-{id}@{DOMAIN}"), id, file, content });
    }
    sent
}

/// Mails of this repository's own, where there is no corpus.
fn own_mails() -> Vec<PathBuf> {
    corpus::files(&corpus::repository().join("tests/data/eml"))
}

fn told(code: u16) -> Told {
    match code {
        200..300 => Told::Taken,
        400..600 => Told::Refused,
        _ => Told::Unknown,
    }
}

/// Sends by smtplib and tells what became of each.
fn smtplib(gateway: &Gateway, sent: &[Sent], dir: &Path) -> BTreeMap<String, u16> {
    let mut listing = String::new();
    for mail in sent {
        let _ = writeln!(listing, "{}\t{}\t{}", mail.id, mail.to, mail.file.display());
    }
    let list = dir.join("list");
    std::fs::write(&list, listing).unwrap();
    let script = corpus::repository().join("tests/smtp/smtplib_send.py");
    let output = Command::new("python3")
        .arg(script)
        .arg(gateway.smtp().port().to_string())
        .arg(&list)
        .output()
        .expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| {
            let (id, code) = line.split_once('\t').expect("id and code");
            (id.to_owned(), code.parse().expect("a code"))
        })
        .collect()
}

/// Sends by swaks, one process a mail.
fn swaks(gateway: &Gateway, mail: &Sent) -> u16 {
    // Left alone, swaks replaces words in percent signs; told to change nothing, it wants to be given
    // dots and the end of data too.
    let wire = mail.file.with_extension("wire");
    let mut octets = if mail.content.starts_with(b".") { b".".to_vec() } else { Vec::new() };
    for line in mail.content.split_inclusive(|octet| *octet == b'\n') {
        let dot = octets.ends_with(b"\r\n") && line.starts_with(b".");
        octets.extend(dot.then_some(b'.'));
        octets.extend_from_slice(line);
    }
    octets.extend_from_slice(b".\r\n");
    std::fs::write(&wire, octets).unwrap();
    let output = Command::new("swaks")
        .args(["--server", "127.0.0.1", "--port", &gateway.smtp().port().to_string()])
        .args(["--from", "sender@example.com", "--to", &mail.to, "--helo", "swaks.example.com"])
        .arg("--data")
        .arg(format!("@{}", wire.display()))
        .args(["--no-data-fixup", "--timeout", "60"])
        .output()
        .expect("swaks runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // The answer to the end of data: the first reply after the line with the dot.
    let answer = said
        .lines()
        .skip_while(|line| !line.starts_with("<-  354"))
        .skip(1)
        .find(|line| line.starts_with("<-") || line.starts_with("<*"));
    let refused = said.lines().rfind(|line| line.starts_with("<*"));
    let code = answer.or(refused).and_then(|line| line.get(4..7)).unwrap_or("0");
    code.trim().parse().unwrap_or(0)
}

/// Accounts for every mail and compares what arrived with what was sent.
fn settle(name: &str, gateway: &Gateway, hop: &Hop, sent: &[Sent], codes: &BTreeMap<String, u16>) {
    wait_longer("the queue empties", Duration::from_secs(60), || {
        (gateway.queued() == 0).then_some(())
    });
    assert_eq!(codes.len(), sent.len(), "{name}: every mail has its answer");
    let broken: Vec<&String> =
        codes.iter().filter(|(_, code)| told(**code) == Told::Unknown).map(|(id, _)| id).collect();
    assert!(broken.is_empty(), "{name}: sessions broke at {broken:?}\n{}", gateway.last_words());
    let tolds = codes.iter().map(|(id, code)| (id.clone(), told(*code))).collect();
    let account = account(&tolds, hop, gateway);
    let dropped = dropped(gateway, &account.missing);
    let missing: Vec<&String> =
        account.missing.iter().filter(|id| !dropped.contains_key(*id)).collect();
    assert!(missing.is_empty(), "{name}: acknowledged and nowhere: {missing:?}");
    assert!(account.twice.is_empty(), "{name}: refused and delivered: {:?}", account.twice);

    let by_id: HashMap<&str, &Sent> = sent.iter().map(|mail| (mail.id.as_str(), mail)).collect();
    let (mut identical, mut modified) = (0, Vec::new());
    for mail in hop.mails() {
        let id = mail.envelope_id().expect("an id");
        let original = by_id[id.as_str()];
        if below_added(&mail.content, &original.content).is_some() {
            identical += 1;
        } else {
            modified.push(original.file.display().to_string());
            let body = body(&original.content);
            assert!(mail.content.ends_with(body), "{name}: the body of {id} was changed");
        }
    }
    let refused: BTreeMap<u16, usize> =
        codes.values().filter(|code| **code >= 400).fold(BTreeMap::new(), |mut count, code| {
            *count.entry(*code).or_default() += 1;
            count
        });
    eprintln!(
        "{name}: {} sent = {} delivered ({identical} byte-identical) + {} held + {} refused \
         {refused:?} + {} dropped; 0 unexplained",
        sent.len(),
        account.delivered.len(),
        account.held.len(),
        account.refused,
        dropped.len(),
    );
    // Only a mail that carries header fields of our own (forged ones go) or a subject tag differs.
    assert!(modified.len() * 20 <= sent.len(), "{name}: too many modified: {modified:?}");
}

fn body(content: &[u8]) -> &[u8] {
    let end = content.windows(4).position(|four| four == b"\r\n\r\n");
    end.map_or(&[], |end| &content[end + 4..])
}

/// Which of these the log calls dropped.
fn dropped(gateway: &Gateway, ids: &[String]) -> BTreeMap<String, ()> {
    let mut found = BTreeMap::new();
    for id in ids {
        let to = format!("to~-{id}@");
        let rows = gateway.sekisho_json(&["log", "search", &to, "status=dropped"]);
        if !rows.is_empty() {
            found.insert(id.clone(), ());
        }
    }
    found
}

fn through(name: &str, files: &[PathBuf], by_swaks_every: usize) {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup::to(hop.address()));
    let dir = tempfile::tempdir().unwrap();
    let sent = prepare(files, dir.path());
    let (mut for_swaks, mut for_smtplib) = (Vec::new(), Vec::new());
    for (number, mail) in sent.into_iter().enumerate() {
        if number % by_swaks_every == 0 { for_swaks.push(mail) } else { for_smtplib.push(mail) }
    }
    let mut codes = smtplib(&gateway, &for_smtplib, dir.path());
    if Command::new("swaks").arg("--version").output().is_ok() {
        codes.extend(for_swaks.iter().map(|mail| (mail.id.clone(), swaks(&gateway, mail))));
        for_smtplib.extend(for_swaks);
    } else {
        left_out("swaks as a client", "it is not installed");
    }
    settle(name, &gateway, &hop, &for_smtplib, &codes);
}

#[test]
fn mails_of_this_repository_arrive_by_smtplib_and_by_swaks() {
    through("own mails", &own_mails(), 2);
}

fn of_corpus(name: &str, by_swaks_every: usize) {
    if let Some(folder) = corpus::folder(name) {
        through(&format!("corpus {name}"), &corpus::files(&folder), by_swaks_every);
    }
}

#[test]
fn every_mail_of_the_corpus_folder_mail_is_accounted_for() {
    of_corpus("mail", 80);
}

#[test]
fn every_mail_of_the_corpus_folder_japanese_is_accounted_for() {
    of_corpus("japanese", 40);
}

#[test]
fn every_mail_of_the_corpus_folder_mime_is_accounted_for() {
    of_corpus("mime", 25);
}

#[test]
fn every_mail_of_the_corpus_folder_bounces_is_accounted_for() {
    of_corpus("bounces", 25);
}
