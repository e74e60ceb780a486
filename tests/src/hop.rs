//! The next hop of a test: the load generator's sink in this process.

use std::net::SocketAddr;
use std::path::Path;

use sekisho_loadgen::sink::{Behaviour, Extensions, Sink, SinkOptions};
use sekisho_loadgen::store::{self, StoredMail};
use tempfile::TempDir;

/// A sink with a store that goes away with it.
#[derive(Debug)]
pub struct Hop {
    address: SocketAddr,
    sink: Option<Sink>,
    store: TempDir,
    extensions: Extensions,
}

impl Hop {
    /// A hop on a free port that offers everything.
    #[must_use]
    pub fn start() -> Self {
        Self::with(Extensions::default())
    }

    /// A hop that offers what is named.
    ///
    /// # Panics
    /// No directory, no port.
    #[must_use]
    pub fn with(extensions: Extensions) -> Self {
        let store = tempfile::tempdir().expect("a directory for the hop");
        let mut hop = Self { address: ([127, 0, 0, 1], 0).into(), sink: None, store, extensions };
        hop.up();
        hop
    }

    /// Where it listens, also while it is down.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener and every connection.
    pub fn down(&mut self) {
        if let Some(sink) = self.sink.take() {
            sink.stop();
        }
    }

    /// Listens again on the same port.
    ///
    /// # Panics
    /// The port was taken meanwhile.
    pub fn up(&mut self) {
        if self.sink.is_none() {
            let sink = Sink::start(SinkOptions {
                listen: self.address,
                store: Some(self.store.path().to_owned()),
                extensions: self.extensions,
                ..SinkOptions::default()
            })
            .expect("the hop listens");
            self.address = sink.address();
            self.sink = Some(sink);
        }
    }

    /// Behaves differently from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        if let Some(sink) = &self.sink {
            sink.set_behaviour(behaviour);
        }
    }

    /// Everything it received.
    ///
    /// # Panics
    /// The store cannot be read.
    #[must_use]
    pub fn mails(&self) -> Vec<StoredMail> {
        store::read_all(self.store.path()).expect("the hop's store")
    }

    /// Where it stores mails.
    #[must_use]
    pub fn store(&self) -> &Path {
        self.store.path()
    }
}
