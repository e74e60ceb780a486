//! What a generation is built from: files that people already have.

pub(super) mod clamav_hashes;
mod config;
pub(super) mod csv;
pub mod item;
pub(super) mod lines;
pub(super) mod rbldnsd;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Change;

/// What being on a list of networks means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkClass {
    /// Never held against the client.
    Allow,
    /// Refused.
    Deny,
    /// Bad by reputation ("POSITIVE" of iTSCOM).
    Positive,
    /// Suspected ("SUSPECT" of iTSCOM).
    Suspect,
}

/// What is known of a host name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostFlags {
    /// Known for phishing, malware or spam.
    pub bad: bool,
    /// Redirects anywhere.
    pub shortener: bool,
    /// Throw-away mailboxes.
    pub disposable: bool,
    /// Mailboxes for anyone.
    pub free_mail: bool,
    /// On a feed of suspicious objects (TM-08).
    pub suspicious: bool,
}

impl HostFlags {
    /// Nothing is known.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// How a file of networks or hosts is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListFormat {
    /// One item a line, `#` comments.
    #[default]
    Plain,
    /// An rbldnsd zone: `ip4set`, `ip4trie`, `ip6trie` and `generic` lines for networks, `dnset` and
    /// `generic` lines for hosts; each line shows which.
    Rbldnsd,
}

/// How a file of patterns is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleFormat {
    /// SpamAssassin `.cf`.
    Spamassassin,
    /// ClamAV text signatures; the kind is the file's extension.
    Clamav,
    /// `[[rule]]` tables of our own.
    Toml,
    /// YARA rules; only a build with YARA can read them.
    Yara,
}

/// What a file is and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SourceKind {
    /// Domains with settings, routes, aliases, recipients and entries: TOML of `policy::source`.
    Domains,
    /// Recipients: a plain list of addresses, or CSV `address[,target]` when the name ends in `.csv`.
    Recipients,
    /// Allow and block entries: CSV `owner,side,polarity,pattern[,match_on[,active_from]]`; without `match_on` the
    /// recipient's domain says what is compared (C26).
    Entries,
    /// Allow or block entries of one owner, one pattern a line.
    EntryList {
        /// As in the CSV: `gateway`, `tenant:NAME`, `domain:NAME`, `account:ADDRESS`.
        owner: String,
        /// Sender or recipient list.
        side: super::Side,
        /// Allow or block.
        polarity: super::Polarity,
    },
    /// Client addresses.
    Networks {
        /// Name of the list, for logs and replies.
        list: String,
        /// What being on it means.
        class: NetworkClass,
        /// How it is written.
        format: ListFormat,
    },
    /// Host names.
    Hosts {
        /// Name of the list.
        list: String,
        /// What being on it means.
        flags: HostFlags,
        /// How it is written.
        format: ListFormat,
    },
    /// Hashes of bad files: ClamAV `hdb`, `hsb`, `mdb`, `msb`, `imp`, of good ones: `fp`, `sfp`, and names to be left out: `ign`,
    /// `ign2`, by extension.
    Hashes,
    /// Patterns, compiled by `scan::patterns`.
    Patterns {
        /// How it is written.
        format: RuleFormat,
    },
}

/// One source file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub kind: SourceKind,
}

/// Everything a generation is built from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The engine's settings, carried as they are.
    pub config_text: String,
    /// Names of the texts of notices that there are; empty: not asked for. A rule that names another one is refused.
    pub notices: Vec<String>,
    /// Our own names and addresses: no next hop may be one of them (SM-10).
    pub own_hosts: Vec<String>,
    /// The files, in the order in which they apply.
    pub files: Vec<Source>,
    /// Single changes made since the sources were written; they win. `publish::build` fills them in.
    pub changes: Vec<Change>,
}
