//! Sets of addresses that rules are bound to: of recipients, groups of them, senders.

use serde::{Deserialize, Serialize};

use super::glob;
use crate::envelope::Mailbox;

/// A set of mail addresses, all in lower case, domains as A-labels. Asking costs a search in sorted
/// lists, and the patterns with other wildcards one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Addresses {
    /// `user@d`, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exact: Vec<Box<str>>,
    /// `d` and `*@d`, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    domains: Vec<Box<str>>,
    /// `*@*.d`, sorted: d's subdomains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parents: Vec<Box<str>>,
    /// Anything else with `*` and `?`, over the whole address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    globs: Vec<Box<str>>,
    /// Lists were named that have no entry: such a set is nobody.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    nobody: bool,
}

/// Entries of the globs of one set: they cost, the others do not.
const GLOBS_MAX: usize = 200;

impl Addresses {
    /// Without an entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Nothing was said of it: it asks for nothing, rather than for "nobody".
    #[must_use]
    pub fn is_unsaid(&self) -> bool {
        self.is_empty() && !self.nobody
    }

    /// Says that what was named has no entry: a rule for a few must not become one for everybody when the last of them
    /// goes (IIJ-85).
    pub fn name_nobody(&mut self) {
        self.nobody = true;
    }

    /// Entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exact.len() + self.domains.len() + self.parents.len() + self.globs.len()
    }

    /// Takes one as people write it.
    ///
    /// # Errors
    /// What is wrong with it, in words; the operator is at fault.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        let text = text.trim().to_lowercase();
        if text.is_empty() || text.len() > 320 || text.chars().any(char::is_whitespace) {
            return Err("is neither an address nor a domain".to_owned());
        }
        let (local, domain) = text.rsplit_once('@').unwrap_or(("*", &text));
        let (parent, plain) = match domain.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, domain),
        };
        let wild = |text: &str| text.contains(['*', '?']);
        if wild(plain) || wild(local) && local != "*" || parent && local != "*" {
            if self.globs.len() >= GLOBS_MAX {
                return Err(format!("at most {GLOBS_MAX} patterns with wildcards in one set"));
            }
            insert(&mut self.globs, if text.contains('@') { text } else { format!("*@{text}") });
            return Ok(());
        }
        let Some(name) = crate::config::host_name(plain) else {
            return Err(format!("`{}` is not a domain name", plain.escape_debug()));
        };
        match (local, parent) {
            ("", _) => return Err("has no local-part before the @".to_owned()),
            ("*", false) => insert(&mut self.domains, name.into()),
            ("*", true) => insert(&mut self.parents, name.into()),
            (local, _) => insert(&mut self.exact, format!("{local}@{name}")),
        }
        Ok(())
    }

    /// Takes all of another set.
    pub fn extend(&mut self, other: &Self) {
        let pairs = [
            (&mut self.exact, &other.exact),
            (&mut self.domains, &other.domains),
            (&mut self.parents, &other.parents),
            (&mut self.globs, &other.globs),
        ];
        for (own, others) in pairs {
            own.extend(others.iter().cloned());
            own.sort_unstable();
            own.dedup();
        }
    }

    /// Whether a mailbox is in it.
    #[must_use]
    pub fn contains(&self, mailbox: &Mailbox) -> bool {
        if self.is_empty() {
            return false;
        }
        let domain = mailbox.domain.to_lowercase();
        if has(&self.domains, &domain) {
            return true;
        }
        let mut below = domain.as_str();
        while let Some((_, rest)) = below.split_once('.') {
            if has(&self.parents, rest) {
                return true;
            }
            below = rest;
        }
        if self.exact.is_empty() && self.globs.is_empty() {
            return false;
        }
        let whole = format!("{}@{domain}", mailbox.local_part.to_lowercase());
        has(&self.exact, &whole) || self.globs.iter().any(|pattern| glob(pattern, &whole))
    }

    /// The plain addresses in it: where a notice or a copy can go.
    pub fn mailboxes(&self) -> impl Iterator<Item = &str> {
        self.exact.iter().map(|address| &**address)
    }
}

fn has(sorted: &[Box<str>], wanted: &str) -> bool {
    sorted.binary_search_by(|known| (**known).cmp(wanted)).is_ok()
}

fn insert(sorted: &mut Vec<Box<str>>, new: String) {
    if let Err(at) = sorted.binary_search_by(|known| (**known).cmp(&new)) {
        sorted.insert(at, new.into());
    }
}
