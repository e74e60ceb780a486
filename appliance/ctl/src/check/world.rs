//! What `check` asks besides the tables: the DNS about the sender, scan engines of others about the mail.
//!
//! The DNS is asked where the configuration names a zone file, or `--zone` or `--dns` says so: judging a directory of old
//! mail must not ask the world about each of them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::block_on;
use sekisho_core::authn::{self, Authentication, Authenticators, DnsLists, Listed, Subject};
use sekisho_core::clock::Now;
use sekisho_core::config::Config;
use sekisho_core::content::Content;
use sekisho_core::engines::{Engines, Report};
use sekisho_core::resolve::zone::ZoneServer;
use sekisho_core::shard::{dns_lists, names};

use super::sender::Sender;
use crate::arguments::CheckArguments;
use crate::outcome::Failure;
use crate::place::Place;
use crate::publish::read_config;

/// Threads and servers of one run.
pub(super) struct World {
    config: Config,
    authenticators: Option<Authenticators>,
    lists: Arc<DnsLists>,
    engines: Engines,
    /// Served for as long as somebody asks.
    _zone: Option<ZoneServer>,
}

/// What is known of who sent a mail.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) authentication: Authentication,
    pub(super) listed: Listed,
    /// Why nobody was asked.
    pub(super) not_asked: Option<NotAsked>,
}

/// Why nobody was asked about a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAsked {
    /// No zone, and `--dns` was not said.
    NoDns,
    /// The client's address is not known.
    NoClient,
}

impl World {
    /// `place`: where the configuration is that says whom to ask; without one nobody is asked.
    pub(super) fn new(place: Option<&Place>, arguments: &CheckArguments) -> Result<Self, Failure> {
        let fail = |why: &dyn std::fmt::Display| Failure::new("check", why);
        let mut config = match place {
            Some(place) if place.config.exists() => read_config(place)?.1,
            Some(_) | None => Config::default(),
        };
        let engines = Engines::start(&config.scanners).map_err(|error| fail(&error))?;
        if let Some(zone) = &arguments.zone {
            config.dns.zone = Some(std::path::absolute(zone).map_err(|error| fail(&error))?);
            config.dns.zone_only = !arguments.dns;
        }
        let asks = arguments.dns || config.dns.zone.is_some();
        // The engine may serve the same zone at the address that the configuration names.
        config.dns.zone_address.set_port(0);
        let (mut zone, mut authenticators) = (None, None);
        let file = place.map_or_else(|| Path::new(""), |place| &place.config);
        if asks {
            let (served, dns) = names(file, &config).map_err(|error| fail(&error))?;
            let deadline = Duration::from_millis(config.authentication.deadline_ms);
            let settings = authn::Settings { threads: 1, deadline, dns };
            let started = Authenticators::start(&settings).map_err(|error| fail(&error))?;
            (zone, authenticators) = (served, Some(started));
        }
        let lists = Arc::new(dns_lists(&config));
        Ok(Self { config, authenticators, lists, engines, _zone: zone })
    }

    /// The DNS lists, and what makes an address bad.
    pub(super) fn lists(&self) -> &DnsLists {
        &self.lists
    }

    /// Asks about the sender of a mail.
    pub(super) fn check(&self, sender: &Sender, content: &Content) -> Checked {
        let nothing = |why| Checked { not_asked: Some(why), ..Checked::nobody() };
        let Some(authenticators) = &self.authenticators else { return nothing(NotAsked::NoDns) };
        let Some(ip) = sender.client else { return nothing(NotAsked::NoClient) };
        let path = sender.reverse_path.as_ref().map(ToString::to_string).unwrap_or_default();
        let subject = Subject {
            ip,
            helo: sender.helo.as_deref().unwrap_or_default().into(),
            sender: path.into(),
            author_domains: sender.author_domains.clone(),
            receiver: self.config.engine.host_name.clone(),
            now: Now::read().unix.as_secs(),
        };
        let listed = authenticators.listed(ip, Arc::clone(&self.lists));
        let pending = authenticators.begin(subject, content.clone(), None);
        let mut authentication = block_on(pending.answer());
        authentication.believe(&self.config.authentication.arc_trusted);
        Checked { authentication, listed: block_on(listed.answer()), not_asked: None }
    }

    /// What scan engines of others say.
    pub(super) fn scan(&self, content: &Content) -> Vec<Report> {
        block_on(self.engines.begin(content).answer())
    }
}

impl Checked {
    /// For who asks nobody.
    pub(super) fn nobody() -> Self {
        Self {
            authentication: Authentication::left_out(),
            listed: Listed::default(),
            not_asked: Some(NotAsked::NoDns),
        }
    }
}
