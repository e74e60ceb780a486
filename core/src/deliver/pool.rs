//! Idle connections of this shard, kept for the next mail to the same hop.
//!
//! `connections <= IDLE_MAX` per shard and `idle_max` per hop, for [`BURST`] up to [`BURST_MAX`]: as many as were used
//! side by side a moment ago will be again. Above that the oldest goes. The hop may close one at any moment, so it is
//! looked at before it is used, and who uses one must be ready to open a fresh one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::connection::Connection;
use super::route::TlsRule;
use super::transport::World;
use crate::clock::MonoMillis;

/// Idle connections of one shard, all hops together.
const IDLE_MAX: usize = 512;
/// Idle connections of one hop while mail for it keeps coming.
const BURST_MAX: usize = 64;
/// How long those beyond `idle_max` are kept.
const BURST: Duration = Duration::from_secs(2);

/// What makes two connections interchangeable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Name of the hop, which a certificate was checked for.
    pub host: Box<str>,
    /// Address and port.
    pub address: SocketAddr,
    /// TLS rule.
    pub tls: TlsKey,
}

/// The TLS rule as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum TlsKey {
    Never,
    Opportunistic,
    Required,
    Verify,
}

impl From<TlsRule> for TlsKey {
    fn from(rule: TlsRule) -> Self {
        match rule {
            TlsRule::Never => Self::Never,
            TlsRule::Opportunistic => Self::Opportunistic,
            TlsRule::Required => Self::Required,
            TlsRule::Verify => Self::Verify,
        }
    }
}

/// The pool of one shard.
pub(super) struct Pool<W: World> {
    idle: RefCell<HashMap<Key, Vec<Connection<W>>, ahash::RandomState>>,
    idle_max: usize,
    idle_timeout: Duration,
}

impl<W: World> Pool<W> {
    pub(super) fn new(idle_max: usize, idle_timeout: Duration) -> Self {
        Self { idle: RefCell::default(), idle_max, idle_timeout }
    }

    /// The youngest connection that still looks alive; those that do not are dropped.
    pub(super) fn take(&self, key: &Key, now: MonoMillis) -> Option<Connection<W>> {
        let mut idle = self.idle.borrow_mut();
        let list = idle.get_mut(key)?;
        while let Some(connection) = list.pop() {
            if now.since(connection.idle_since) < self.idle_timeout && connection.is_usable() {
                return Some(connection);
            }
        }
        idle.remove(key);
        None
    }

    /// Keeps a connection; gives back the one that has to go for it.
    pub(super) fn keep(&self, key: Key, connection: Connection<W>) -> Option<Connection<W>> {
        let mut idle = self.idle.borrow_mut();
        let total: usize = idle.values().map(Vec::len).sum();
        if self.idle_max == 0 || total >= IDLE_MAX {
            return Some(connection);
        }
        let list = idle.entry(key).or_default();
        list.push(connection);
        (list.len() > self.idle_max.max(BURST_MAX)).then(|| list.remove(0))
    }

    /// Takes out what has been idle for too long.
    pub(super) fn expired(&self, now: MonoMillis) -> Vec<Connection<W>> {
        let mut out = Vec::new();
        self.idle.borrow_mut().retain(|_, list| {
            // The oldest is the first.
            let most = list.len().saturating_sub(self.idle_max);
            let is_old = |(at, connection): &(usize, &Connection<W>)| {
                let patience =
                    if *at < most { BURST.min(self.idle_timeout) } else { self.idle_timeout };
                now.since(connection.idle_since) >= patience
            };
            let old = list.iter().enumerate().take_while(is_old).count();
            out.extend(list.drain(..old));
            !list.is_empty()
        });
        out
    }

    /// Takes out everything: the shard ends.
    pub(super) fn drain(&self) -> Vec<Connection<W>> {
        self.idle.borrow_mut().drain().flat_map(|(_, list)| list).collect()
    }
}
