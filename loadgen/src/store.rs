//! The sink's mails on disk: `<n>.eml` with the octets, `<n>.json` with the envelope.
//!
//! The envelope is written first and the mail is renamed into place last: whoever sees `<n>.eml`
//! sees all of it, and its envelope too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ENVELOPE_ID_FIELD;

/// What the client said about one mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEnvelope {
    /// Argument of MAIL FROM without brackets; empty for the null reverse-path.
    pub mail_from: String,
    /// Parameters of MAIL FROM as received.
    pub mail_parameters: String,
    /// Arguments of RCPT TO without brackets, in order, accepted ones only.
    pub rcpt_to: Vec<String>,
    /// Parameters of each RCPT TO as received.
    pub rcpt_parameters: Vec<String>,
    /// Argument of HELO or EHLO.
    pub helo: String,
    /// Address and port of the client.
    pub peer: String,
    /// `DATA` or `BDAT`.
    pub by: String,
    /// Wall clock, UTC milliseconds.
    pub received_at: u64,
    /// Number of the connection since the sink started.
    pub connection: u64,
    /// What the sink answered, or `none` when it was told to keep silent.
    pub answer: String,
}

/// One mail as it lies in the store.
#[derive(Clone, Debug)]
pub struct StoredMail {
    /// Its `.eml` file.
    pub path: PathBuf,
    /// Its envelope.
    pub envelope: StoredEnvelope,
    /// Its octets: CR LF line ends, not dot-stuffed.
    pub content: Vec<u8>,
}

impl StoredMail {
    /// The value of the envelope id field, if the mail carries one.
    #[must_use]
    pub fn envelope_id(&self) -> Option<String> {
        envelope_id(&self.content)
    }
}

/// The value of the envelope id field in a header section.
#[must_use]
pub fn envelope_id(content: &[u8]) -> Option<String> {
    for line in content.split(|&octet| octet == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return None;
        }
        let name = ENVELOPE_ID_FIELD.len();
        if line.len() > name
            && line.get(..name)?.eq_ignore_ascii_case(ENVELOPE_ID_FIELD.as_bytes())
            && line.get(name) == Some(&b':')
        {
            return Some(String::from_utf8_lossy(line.get(name + 1..)?).trim().to_owned());
        }
    }
    None
}

/// The envelope id of a mail, or of the mail that it brings along in its body: a report names the one it is about.
#[must_use]
pub fn named_id(content: &[u8]) -> Option<String> {
    envelope_id(content).or_else(|| {
        let field = format!("\n{ENVELOPE_ID_FIELD}:");
        let found = content.windows(field.len()).position(|part| part == field.as_bytes())?;
        let line = content.get(found + field.len()..)?.split(|&octet| octet == b'\n').next()?;
        Some(String::from_utf8_lossy(line).trim().to_owned())
    })
}

/// Stores one mail under `number`; both files are complete when it returns.
///
/// # Errors
/// Those of the file system; nothing named `<number>.eml` is there then.
pub fn put(dir: &Path, number: u64, envelope: &StoredEnvelope, content: &[u8]) -> io::Result<()> {
    let stem = format!("{number:08}");
    fs::write(dir.join(format!("{stem}.json")), serde_json::to_vec(envelope)?)?;
    let part = dir.join(format!("{stem}.part"));
    fs::write(&part, content)?;
    fs::rename(part, dir.join(format!("{stem}.eml")))
}

/// All complete mails of a store in the order of their arrival.
///
/// # Errors
/// Those of the file system, and an envelope that is not JSON.
pub fn read_all(dir: &Path) -> io::Result<Vec<StoredMail>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "eml") {
            paths.push(path);
        }
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let envelope = serde_json::from_slice(&fs::read(path.with_extension("json"))?)?;
            let content = fs::read(&path)?;
            Ok(StoredMail { path, envelope, content })
        })
        .collect()
}

/// The highest number in use, so that a second start goes on and overwrites nothing.
///
/// # Errors
/// Those of the file system.
pub fn last_number(dir: &Path) -> io::Result<u64> {
    let mut last = 0;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        last = last.max(stem.parse().unwrap_or(0));
    }
    Ok(last)
}
