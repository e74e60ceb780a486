//! Delivery of a shard, made from the configuration and the rooms it keeps mail in.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::shared::Shared;
use crate::clock::Now;
use crate::config::{self, Config, DeliveryMode};
use crate::deliver::client::EightBitRule;
use crate::deliver::live::{Kept, Live, LiveDeliverer};
use crate::deliver::{Mode, Routes, Settings};
use crate::maillog::MailLog;
use crate::quarantine::Quarantine;
use crate::socket::Sockets;
use crate::spool::SpoolStore;
use crate::spool::disk::GlommioDisk;

/// Delivery as it runs in the engine.
pub(crate) type Deliverer = LiveDeliverer<GlommioDisk>;

/// The delivery of one shard.
pub(super) fn deliverer(
    (shared, sockets): (&Arc<Shared>, &Sockets),
    spool: &SpoolStore<GlommioDisk>,
    quarantine: &Quarantine<GlommioDisk>,
    log: &MailLog<GlommioDisk>,
    seed: u64,
) -> Deliverer {
    let hops = &shared.hops;
    let world = Live::new(Now::read, sockets.clone(), hops.resolver.for_shard(), &hops.tls, seed);
    let kept = Kept {
        spool: spool.clone(),
        quarantine: quarantine.clone(),
        log: log.clone(),
        clock: Now::read,
    };
    let settings = settings(&shared.config.load());
    Deliverer::new(world, kept, settings, Arc::clone(&hops.destinations), routes(shared))
}

/// Next hops by the tables in force at the moment of the question, so that a changed route holds for
/// waiting mail too.
fn routes(shared: &Arc<Shared>) -> Routes {
    let shared = Arc::clone(shared);
    Rc::new(move |domain| {
        let domain = shared.tables()?.load().domain(domain)?;
        Some(Arc::clone(&domain.routes))
    })
}

/// `[delivery]` in the words of the room.
pub(super) fn settings(config: &Config) -> Settings {
    let delivery = &config.delivery;
    let millis = Duration::from_millis;
    let hours = |hours: u32| Duration::from_secs(u64::from(hours) * 3600);
    Settings {
        mode: match delivery.mode {
            DeliveryMode::Through => Mode::Through,
            DeliveryMode::Spool => Mode::Spool,
        },
        host_name: match &*delivery.host_name {
            "" => config.engine.host_name.clone(),
            name => name.into(),
        },
        connect_timeout: millis(delivery.connect_timeout_ms),
        response_timeout: millis(delivery.response_timeout_ms),
        final_dot_wait: millis(delivery.final_dot_wait_ms),
        final_dot_timeout: millis(delivery.final_dot_timeout_ms),
        retry: delivery.retry_seconds.iter().copied().map(Duration::from_secs).collect(),
        jitter_percent: delivery.jitter_percent,
        lifetime: hours(delivery.lifetime_hours),
        delay_warning: hours(delivery.delay_warning_hours),
        connections_per_destination_max: delivery.connections_per_destination_max,
        idle_connections_max: delivery.idle_connections_max as usize,
        idle_timeout: millis(delivery.idle_timeout_ms),
        mails_per_connection_max: delivery.mails_per_connection_max,
        back_off: (
            Duration::from_secs(delivery.back_off_seconds_min),
            Duration::from_secs(delivery.back_off_seconds_max),
        ),
        eight_bit: match config.smtp.eight_bit {
            config::EightBit::AsIs => EightBitRule::AsIs,
            config::EightBit::Refuse => EightBitRule::Refuse,
        },
        report_route: delivery.report_route.clone(),
        report_port: delivery.report_port,
        report_refused_networks: delivery
            .report_refused_networks
            .iter()
            .map(|network| network.0)
            .collect(),
        ..Settings::default()
    }
}
