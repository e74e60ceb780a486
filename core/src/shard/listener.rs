//! Listeners of a shard: each shard binds its own socket (SO_REUSEPORT); the kernel spreads
//! connections over the shards and a connection stays on its core.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::yield_now;
use rustls::ServerConfig;

use super::connection;
use super::counters::Counter;
use super::overload::Standing;
use super::shared::Shared;
use crate::accept::stream::Stream;
use crate::clock::{MonoMillis, Now};
use crate::config::{self, Config, EarlyTalkers, ListenerTls};
use crate::pipeline::Pipeline;
use crate::reply::{Enhanced, Reply};
use crate::session::{BareLineEnds, Capabilities, SessionConfig, Timeouts};
use crate::socket::{Arrival, Listener};

/// After a failed accept (no descriptors left) the listener rests so long.
const REST: Duration = Duration::from_millis(100);
/// The listener's turn ends after so many, for the sessions to have theirs: 32 that are let in, or 512 that are turned
/// away. These must not wait, or who is let in waits behind them.
const TURN_COST: u32 = 512;
const ADMITTED_COST: u32 = 16;
const REFUSED_COST: u32 = 1;

/// How a connection is encrypted from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Security {
    /// In clear, STARTTLS offered or not.
    Clear,
    /// TLS from the first octet.
    Implicit,
}

/// What the sessions of one listener need to know. Made anew when the configuration is reloaded.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) security: Security,
    /// Pause before the greeting in which an early talker shows himself. None where he is served.
    pub(super) greeting_delay: Duration,
    /// A session may last this long.
    pub(super) session_timeout: Duration,
    /// Early talkers are refused.
    pub(super) refuse_early: bool,
    listener: config::Listener,
    session: Arc<SessionConfig>,
    shared: Arc<Shared>,
}

impl Listening {
    pub(super) fn new(shared: &Arc<Shared>, listener: &config::Listener, config: &Config) -> Self {
        let smtp = &config.smtp;
        Self {
            security: match listener.tls {
                ListenerTls::Implicit => Security::Implicit,
                ListenerTls::None | ListenerTls::Starttls => Security::Clear,
            },
            greeting_delay: match smtp.early_talkers {
                EarlyTalkers::Refuse => Duration::from_millis(smtp.greeting_delay_ms),
                EarlyTalkers::Allow => Duration::ZERO,
            },
            session_timeout: Duration::from_millis(smtp.session_timeout_ms),
            refuse_early: smtp.early_talkers == EarlyTalkers::Refuse,
            listener: listener.clone(),
            session: Arc::new(session_config(listener, config)),
            shared: Arc::clone(shared),
        }
    }

    pub(super) fn session(&self) -> Arc<SessionConfig> {
        Arc::clone(&self.session)
    }

    /// The TLS configuration in force now.
    pub(super) fn tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.shared.certificates.current().config)
    }

    /// Peers that speak PROXY protocol version 2 first.
    pub(super) fn is_proxy(&self, peer: IpAddr) -> bool {
        self.listener.proxy_from.iter().any(|network| network.contains(&peer))
    }

    /// Peers that may use XCLIENT.
    pub(super) fn may_xclient(&self, peer: IpAddr) -> bool {
        self.listener.xclient_from.iter().any(|network| network.contains(&peer))
    }
}

fn session_config(listener: &config::Listener, config: &Config) -> SessionConfig {
    let smtp = &config.smtp;
    SessionConfig {
        host_name: config.engine.host_name.clone(),
        capabilities: Capabilities {
            starttls: listener.tls == ListenerTls::Starttls,
            ..Capabilities::default()
        },
        message_bytes_max: smtp.message_bytes_max,
        recipients_max: smtp.recipients_max as usize,
        transactions_max: smtp.transactions_max,
        errors_max: smtp.errors_max,
        refused_recipients_max: smtp.unknown_recipients_max,
        bare_line_ends: match smtp.bare_line_ends {
            config::BareLineEnds::Canonical => BareLineEnds::Canonical,
            config::BareLineEnds::Refuse => BareLineEnds::Refuse,
        },
        timeouts: Timeouts {
            command: Duration::from_millis(smtp.command_timeout_ms),
            content: Duration::from_millis(smtp.data_timeout_ms),
            ..Timeouts::default()
        },
        ..SessionConfig::default()
    }
}

/// Accepts connections until the shard drains. `which` is the index of the listener in the
/// configuration.
pub(super) async fn accept_all(pipeline: Rc<Pipeline>, listener: Listener, which: usize) {
    let rooms = Rc::clone(pipeline.rooms());
    let mut spent = 0;
    while !rooms.shared.is_draining() {
        let accepted = rooms.deadlines.run_kickable(MonoMillis(u64::MAX), listener.accept()).await;
        let Ok(accepted) = accepted else { continue };
        match accepted {
            Ok(arrival) => {
                let Some(listening) = rooms.listening(which) else { return };
                let is_admitted = admit(&pipeline, listening, arrival).await;
                spent += if is_admitted { ADMITTED_COST } else { REFUSED_COST };
                if spent >= TURN_COST {
                    spent = 0;
                    yield_now().await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                glommio::timer::sleep(REST).await;
            }
        }
    }
}

/// Begins the session of a new connection, or turns it away (false) while the shard has more than it can do.
async fn admit(pipeline: &Rc<Pipeline>, listening: Rc<Listening>, arrival: Arrival) -> bool {
    let rooms = pipeline.rooms();
    let began = Now::read().mono;
    let whose = standing(pipeline, &listening, &arrival, began);
    let held_up = rooms.deliverer.held_up();
    if rooms.overload.refuses(whose, held_up, &rooms.shared.config.load().admission, began) {
        rooms.count(Counter::ConnectionsShed);
        let mut line = Vec::new();
        if listening.security == Security::Clear {
            Reply::new(421, Enhanced(4, 3, 2), "Too busy, try again later").write_to(&mut line);
        }
        arrival.refuse(&line).await;
        if rooms.overload.shall_probe(whose, began) {
            let overload = rooms.overload.clone();
            rooms.spawn_session(whose, async move {
                let now = Now::read().mono;
                overload.probed(whose, now.since(began), now);
            });
        }
        return false;
    }
    let session = rooms.session_guard(whose, began);
    let stream = Stream::Plain(arrival.welcome());
    let work = connection::serve(Rc::clone(pipeline), listening, session, stream, began);
    rooms.spawn_session(whose, work);
    true
}

/// What is known of who connects. A front of the operator's own is known whoever it stands for.
fn standing(
    pipeline: &Pipeline,
    listening: &Listening,
    arrival: &Arrival,
    now: MonoMillis,
) -> Standing {
    let shared = &pipeline.rooms().shared;
    whose(arrival.peer(), |peer| {
        shared.is_exempt(peer)
            || shared.senders.knows(peer, now)
            || listening.is_proxy(peer)
            || listening.may_xclient(peer)
    })
}

/// On `[::]` a client with IPv4 comes as `::ffff:192.0.2.1`, which no setting and no memory of greetings knows.
fn whose(peer: Option<SocketAddr>, is_known: impl Fn(IpAddr) -> bool) -> Standing {
    let peer = peer.map(|peer| peer.ip().to_canonical());
    if peer.is_some_and(is_known) { Standing::Known } else { Standing::Stranger }
}

/// The listeners of all shards for `config`.
pub(super) fn all(shared: &Arc<Shared>, config: &Config) -> Vec<Rc<Listening>> {
    config
        .listeners
        .iter()
        .map(|listener| Rc::new(Listening::new(shared, listener, config)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accept::remembered::Remembered;

    #[test]
    fn who_comes_by_ipv4_to_a_listener_of_both_is_the_one_who_waited_for_the_greeting() {
        // On `[::]` every client with IPv4 was a stranger in an overload, and was turned away first.
        let (senders, now) = (Remembered::new(7), MonoMillis(1_000));
        senders.remember("192.0.2.1".parse().unwrap(), now);
        let standing =
            |peer: &str| whose(Some(peer.parse().unwrap()), |peer| senders.knows(peer, now));
        assert_eq!(standing("[::ffff:192.0.2.1]:4025"), Standing::Known);
        assert_eq!(standing("192.0.2.1:4025"), Standing::Known);
        assert_eq!(standing("[::ffff:192.0.2.2]:4025"), Standing::Stranger);
        assert_eq!(whose(None, |_| true), Standing::Stranger, "who is gone already");
    }
}
