//! Sent = delivered + held + refused + dropped + unknown, by the envelope id of every mail.
//!
//! Read from files only: the sender's ledger (`id TAB recipients TAB outcome`), the sink's (`id TAB
//! reverse-path TAB first forward-path`), and, where a filter holds or drops mail, its mail log as
//! JSON rows (or the bare number of what it holds). Every mail is in exactly one place:
//!
//! - delivered: it is in the sink's ledger, whatever the client was told;
//! - refused: answered 4yz or 5yz (the client still has it), and not in the sink's;
//! - unknown: no answer, and not in the sink's;
//! - held, dropped: answered 2yz, and the log says so;
//! - lost: answered 2yz, and nowhere. Must be 0.
//!
//! Duplicated is a mail that reached the sink for the same first recipient more often than it was
//! sent: a mail that the filter splits by recipient is not. Mails that were never begun
//! (`not-sent`) do not count. Memory: about 200 octets a mail.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use crate::report::Conservation;

/// Ids that are listed of each kind; all are counted.
const LISTED_MAX: usize = 100;

/// Where mail that the sink does not have may be.
#[derive(Clone, Debug, Default)]
pub struct Elsewhere {
    /// So many are held (quarantine or queue), which ones is not known.
    pub held: u64,
    /// Ids that the log says are held.
    pub held_ids: Vec<String>,
    /// Ids that the log says were dropped by a rule.
    pub dropped_ids: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Taken,
    Refused,
    Unknown,
}

#[derive(Debug)]
struct Sent {
    told: Told,
    times: u32,
    to: String,
}

/// The sender's ledger.
#[derive(Debug, Default)]
pub struct SentLedger {
    mails: HashMap<String, Sent>,
}

impl SentLedger {
    /// Reads it.
    ///
    /// # Errors
    /// Those of the file; `InvalidData` with the number of a line that is not as it should be.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut mails: HashMap<String, Sent> = HashMap::new();
        for_lines(path, |number, line| {
            let mut fields = line.split('\t');
            let (Some(id), Some(to), Some(outcome)) = (fields.next(), fields.next(), fields.next())
            else {
                return Err(bad_line(number, line));
            };
            let told = match outcome.as_bytes().first() {
                Some(b'2') => Told::Taken,
                _ if outcome == "unknown" => Told::Unknown,
                _ if outcome == "not-sent" => return Ok(()),
                // 4yz, 5yz, and what is no reply at all.
                _ => Told::Refused,
            };
            let new = Sent { told, times: 0, to: to.to_owned() };
            let sent = mails.entry(id.to_owned()).or_insert(new);
            sent.times += 1;
            // Sent twice: what was taken once must be somewhere.
            if told == Told::Taken {
                sent.told = told;
            }
            Ok(())
        })?;
        Ok(Self { mails })
    }

    /// Reads a mail log of JSON rows for what was held and dropped. Rows know recipients and not
    /// ids, so each mail must have a recipient of its own (`--to u-{n}@...`).
    ///
    /// # Errors
    /// Those of the file; `InvalidData` for a row that is not JSON, or a recipient of two mails.
    pub fn read_log(&self, path: &Path) -> io::Result<Elsewhere> {
        let mut by_recipient: HashMap<&str, &str> = HashMap::new();
        for (id, sent) in &self.mails {
            for to in sent.to.split(',') {
                if let Some(other) = by_recipient.insert(to, id) {
                    let text = format!("recipient {to} is of mail {id} and of mail {other}");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
            }
        }
        let mut elsewhere = Elsewhere::default();
        for_lines(path, |number, line| {
            let row: serde_json::Value =
                serde_json::from_str(line).map_err(|_| bad_line(number, line))?;
            let text = |name: &str| row.get(name).and_then(|value| value.as_str());
            let Some(id) = text("to").and_then(|to| by_recipient.get(to)) else { return Ok(()) };
            match text("status") {
                Some("held") => elsewhere.held_ids.push((*id).to_owned()),
                Some("dropped") => elsewhere.dropped_ids.push((*id).to_owned()),
                _ => {}
            }
            Ok(())
        })?;
        Ok(elsewhere)
    }

    /// Accounts for every mail.
    ///
    /// # Errors
    /// Those of the sink's ledger.
    pub fn account(&self, received: &Path, elsewhere: &Elsewhere) -> io::Result<Conservation> {
        let arrived = self.arrived(received)?;
        let mut result = Conservation { sent: self.mails.len() as u64, ..Conservation::default() };
        let held = set(&elsewhere.held_ids);
        let dropped = set(&elsewhere.dropped_ids);
        let (mut lost, mut duplicated) = (Vec::new(), Vec::new());
        for (id, sent) in &self.mails {
            let times = arrived.get(id.as_str()).copied().unwrap_or(0);
            if times > sent.times {
                duplicated.push(id.clone());
            }
            let place = match sent.told {
                _ if times > 0 => &mut result.delivered,
                Told::Refused => &mut result.refused,
                Told::Unknown => &mut result.unknown,
                Told::Taken if held.contains_key(id.as_str()) => &mut result.held,
                Told::Taken if dropped.contains_key(id.as_str()) => &mut result.dropped,
                Told::Taken => {
                    lost.push(id.clone());
                    continue;
                }
            };
            *place += 1;
        }
        // Which ones are held is not known: so many of those that are missing.
        let explained = elsewhere.held.min(lost.len() as u64);
        result.held += explained;
        result.lost_count = lost.len() as u64 - explained;
        if result.lost_count > 0 {
            result.lost = listed(lost);
        }
        result.duplicated_count = duplicated.len() as u64;
        result.duplicated = listed(duplicated);
        Ok(result)
    }

    /// How often each mail reached the sink for the recipient that it reached it for most often.
    fn arrived(&self, path: &Path) -> io::Result<HashMap<&str, u32>> {
        let mut pairs: HashMap<(&str, String), u32> = HashMap::new();
        for_lines(path, |_, line| {
            let mut fields = line.split('\t');
            let id = fields.next().unwrap_or_default();
            let to = fields.nth(1).unwrap_or_default();
            // Mails of others, and reports without an id, are none of ours.
            if let Some((id, _)) = self.mails.get_key_value(id) {
                *pairs.entry((id.as_str(), to.to_owned())).or_default() += 1;
            }
            Ok(())
        })?;
        let mut arrived: HashMap<&str, u32> = HashMap::new();
        for ((id, _), times) in pairs {
            let most = arrived.entry(id).or_default();
            *most = times.max(*most);
        }
        Ok(arrived)
    }
}

/// Whether nothing is lost and nothing is there twice.
#[must_use]
pub fn holds(conservation: &Conservation) -> bool {
    conservation.lost_count == 0 && conservation.duplicated_count == 0
}

/// The equation in words, and the ids of what breaks it.
#[must_use]
pub fn words(conservation: &Conservation) -> String {
    let Conservation { sent, delivered, held, refused, dropped, unknown, .. } = conservation;
    let mut text = format!(
        "sent {sent} = delivered {delivered} + held {held} + refused {refused} + dropped {dropped} \
         + unknown {unknown} + lost {}; duplicated {}",
        conservation.lost_count, conservation.duplicated_count
    );
    for (name, ids) in [("lost", &conservation.lost), ("duplicated", &conservation.duplicated)] {
        if !ids.is_empty() {
            text.push_str(&format!("\n{name}: {}", ids.join(" ")));
        }
    }
    text
}

fn set(ids: &[String]) -> HashMap<&str, ()> {
    ids.iter().map(|id| (id.as_str(), ())).collect()
}

fn listed(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids.truncate(LISTED_MAX);
    ids
}

fn bad_line(number: usize, line: &str) -> io::Error {
    let start: String = line.chars().take(80).collect();
    io::Error::new(io::ErrorKind::InvalidData, format!("line {number}: {start}"))
}

fn for_lines(path: &Path, mut each: impl FnMut(usize, &str) -> io::Result<()>) -> io::Result<()> {
    for (index, line) in BufReader::new(File::open(path)?).lines().enumerate() {
        let line = line?;
        if !line.is_empty() {
            each(index + 1, &line)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Elsewhere, SentLedger, holds, words};
    use crate::report::Conservation;

    struct Files(std::path::PathBuf);

    impl Files {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let dir = format!("sekisho-conservation-{}-{name}", std::process::id());
            let dir = std::env::temp_dir().join(dir);
            std::fs::create_dir_all(&dir).unwrap();
            for (file, text) in files {
                std::fs::write(dir.join(file), text).unwrap();
            }
            Self(dir)
        }

        fn account(&self, held: u64) -> Conservation {
            let sent = SentLedger::read(&self.0.join("sent")).unwrap();
            let mut elsewhere = Elsewhere { held, ..Elsewhere::default() };
            if self.0.join("log").exists() {
                elsewhere = sent.read_log(&self.0.join("log")).unwrap();
            }
            sent.account(&self.0.join("sink"), &elsewhere).unwrap()
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    const SENT: &str = "1-0\tu0@t\t250\n1-1\tu1@t\t250\n1-2\tu2@t\t451\n1-3\tu3@t\tunknown\n\
                        1-4\tu4@t\tunknown\n1-5\tu5@t\tnot-sent\n1-6\tu6@t\t250\n1-7\tu7@t\t0\n";

    #[test]
    fn every_mail_is_in_one_place_and_what_is_taken_and_nowhere_is_lost() {
        let sink = "1-0\ta@b\tu0@t\n1-3\ta@b\tu3@t\nother\ta@b\tc@d\n\ta@b\tc@d\n";
        let files = Files::new("places", &[("sent", SENT), ("sink", sink)]);
        let result = files.account(0);
        assert!(!holds(&result));
        let expected = "sent 7 = delivered 2 + held 0 + refused 2 + dropped 0 + unknown 1 + lost 2; \
                        duplicated 0\nlost: 1-1 1-6";
        assert_eq!(words(&result), expected);
        // Which of them a quarantine holds is not known; that it holds two is enough.
        let result = files.account(5);
        assert!(holds(&result) && result.held == 2, "{result:?}");
        assert_eq!(files.account(1).lost_count, 1);
    }

    #[test]
    fn a_log_says_which_mails_are_held_and_dropped() {
        let log = "{\"row\":\"event\"}\n{\"row\":\"delivery\",\"to\":\"u1@t\",\"status\":\"held\"}\n\
                   {\"row\":\"delivery\",\"to\":\"u6@t\",\"status\":\"dropped\"}\n";
        let sink = "1-0\ta@b\tu0@t\n";
        let files = Files::new("log", &[("sent", SENT), ("sink", sink), ("log", log)]);
        let result = files.account(0);
        assert_eq!((result.held, result.dropped, result.lost_count), (1, 1, 0));
        let same = Files::new("same", &[("sent", "1\ta@t\t250\n2\ta@t\t250\n"), ("log", log)]);
        let error = SentLedger::read(&same.0.join("sent")).unwrap();
        let error = error.read_log(&same.0.join("log")).unwrap_err().to_string();
        assert!(error.contains("recipient a@t is of mail"), "{error}");
    }

    #[test]
    fn twice_for_one_recipient_is_duplicated_and_once_for_each_of_two_is_not() {
        let sent = "1\ta@t,b@t\t250\n2\ta@t\t250\n3\ta@t\t250\n3\ta@t\t250\n";
        let sink = "1\tf\ta@t\n1\tf\tb@t\n2\tf\ta@t\n2\tf\ta@t\n3\tf\ta@t\n3\tf\ta@t\n";
        let result = Files::new("twice", &[("sent", sent), ("sink", sink)]).account(0);
        assert_eq!(result.duplicated, ["2"]);
        assert_eq!(result.lost_count, 0);
    }

    #[test]
    fn a_ledger_that_is_none_is_refused_by_its_line() {
        let files = Files::new("bad", &[("sent", "1\ta@t\t250\nwhat\n")]);
        let error = SentLedger::read(&files.0.join("sent")).unwrap_err();
        assert_eq!(error.to_string(), "line 2: what");
    }
}
