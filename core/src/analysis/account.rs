//! The user that workers become.
//!
//! Names are looked up in `/etc/passwd` and nowhere else: it is a system user of this machine, and
//! the resolver's modules would be code of others in front of the sandbox.

use rustix::process::getuid;
use rustix::thread::{CapabilitySet, capabilities};

/// Where users are.
const PASSWD: &str = "/etc/passwd";

/// A user and its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// User id.
    pub user: u32,
    /// Its primary group; the only one that workers keep.
    pub group: u32,
}

/// Why there is no user for workers. The operator is at fault, permanent.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Nobody has this name.
    #[error("analysis.user: there is no user `{0}` in {PASSWD}")]
    Unknown(Box<str>),
    /// The file cannot be read.
    #[error("analysis.user: {PASSWD}: {0}")]
    Passwd(#[from] std::io::Error),
}

/// Which user workers run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerUser {
    /// One of their own.
    Own(Account),
    /// The engine's, and why.
    Engines(&'static str),
}

/// The user called `name`; empty: the engine's own, by the operator's wish.
///
/// # Errors
/// [`AccountError`], whether or not the engine may change users: a name that is wrong here is wrong
/// where it matters.
pub fn worker_user(name: &str) -> Result<WorkerUser, AccountError> {
    if name.is_empty() {
        return Ok(WorkerUser::Engines("analysis.user is empty"));
    }
    #[expect(clippy::disallowed_methods, reason = "once, before the shards run")]
    let passwd = std::fs::read_to_string(PASSWD)?;
    let account = find(&passwd, name).ok_or_else(|| AccountError::Unknown(name.into()))?;
    if account.user == getuid().as_raw() {
        return Ok(WorkerUser::Engines("it is the engine's user"));
    }
    // To end a worker of another user is a right of its own.
    let needed = CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::KILL;
    let held = capabilities(None).is_ok_and(|sets| sets.effective.contains(needed));
    if held {
        Ok(WorkerUser::Own(account))
    } else {
        Ok(WorkerUser::Engines(
            "the engine is an ordinary user: not root, without CAP_SETUID, CAP_SETGID, CAP_KILL",
        ))
    }
}

/// The line of `name`: `name:password:user:group:...`.
fn find(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let named = fields.next() == Some(name);
        let user = fields.nth(1).and_then(|field| field.parse().ok());
        let group = fields.next().and_then(|field| field.parse().ok());
        user.zip(group).filter(|_| named).map(|(user, group)| Account { user, group })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name_and_a_missing_one_is_named() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nnobody2:x:7:8::/:/x\nnobody:x:65534:65533::/:/x\nbad:x:y:z\n";
        let found = |name| find(passwd, name).map(|account| (account.user, account.group));
        assert_eq!(found("nobody"), Some((65534, 65533)));
        assert_eq!(found("root"), Some((0, 0)));
        assert_eq!((found("bad"), found("nob"), found("")), (None, None, None));
        let error = worker_user("no-such-user-here").unwrap_err();
        let text = "analysis.user: there is no user `no-such-user-here` in /etc/passwd";
        assert_eq!(error.to_string(), text);
        assert!(matches!(worker_user(""), Ok(WorkerUser::Engines(_))));
    }
}
