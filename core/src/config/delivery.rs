//! `[delivery]` and `[tls]`: towards the next hops, and the certificate we show to clients.

use std::path::PathBuf;

use super::Network;
use super::engine::host_name;
use super::route::Route;
use super::walk::Section;

/// Networks that another domain's mail hosts have no business to lead us to: this host, this link, and
/// what is no single host at all. Private networks are left out: some gateways live behind one.
const REFUSED_NETWORKS: [&str; 9] = [
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/3",
    "::/128",
    "::1/128",
    "::ffff:0:0/96",
    "fe80::/10",
    "ff00::/8",
];
/// Smart hosts of one list.
const SMART_HOSTS_MAX: usize = 16;

/// When a mail is handed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeliveryMode {
    /// The next hop has answered before we do; what it does not take is spooled.
    #[default]
    Through,
    /// Durable in the spool first.
    Spool,
}

/// `[delivery]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// `through` or `spool`.
    pub mode: DeliveryMode,
    /// Our name in EHLO; empty = `engine.host_name`.
    pub host_name: Box<str>,
    /// To connect.
    pub connect_timeout_ms: u64,
    /// For the answer to a command.
    pub response_timeout_ms: u64,
    /// While the client waits: for the answer to our final dot, then the mail is spooled as *outcome
    /// unknown*.
    pub final_dot_wait_ms: u64,
    /// For the answer to our final dot altogether (RFC 5321 section 4.5.3.2.6).
    pub final_dot_timeout_ms: u64,
    /// Pauses between tries; the last one repeats until `lifetime_hours`.
    pub retry_seconds: Vec<u64>,
    /// Each pause is stretched or shortened by up to this, so that a crowd does not stay a crowd.
    pub jitter_percent: u8,
    /// Then the DSN.
    pub lifetime_hours: u32,
    /// A DSN that says "delayed", once, to those who asked for it.
    pub delay_warning_hours: u32,
    /// Connections to one destination at a time, whole box.
    pub connections_per_destination_max: u32,
    /// Idle connections kept per destination and shard; for two seconds up to 64, as many as were used side by side.
    pub idle_connections_max: u32,
    /// An idle connection is closed after this.
    pub idle_timeout_ms: u64,
    /// Mails over one connection.
    pub mails_per_connection_max: u32,
    /// First pause of a destination that does not answer.
    pub back_off_seconds_min: u64,
    /// Longest pause of it.
    pub back_off_seconds_max: u64,
    /// PEM file of certificate authorities that hops with `verify` may also be certified by, beside the
    /// system's.
    pub trusted_certificates: Option<PathBuf>,
    /// Smart hosts for reports to domains that are not ours; none: the mail hosts of those domains.
    pub report_route: Vec<Route>,
    /// Port of other domains' mail hosts.
    pub report_port: u16,
    /// Addresses that other domains' mail hosts may not have.
    pub report_refused_networks: Vec<Network>,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            mode: DeliveryMode::Through,
            host_name: "".into(),
            connect_timeout_ms: 10_000,
            response_timeout_ms: 60_000,
            final_dot_wait_ms: 60_000,
            final_dot_timeout_ms: 600_000,
            retry_seconds: vec![60, 300, 900, 1_800, 3_600, 7_200, 14_400],
            jitter_percent: 20,
            lifetime_hours: 120,
            delay_warning_hours: 4,
            connections_per_destination_max: 20,
            idle_connections_max: 4,
            idle_timeout_ms: 30_000,
            mails_per_connection_max: 100,
            back_off_seconds_min: 5,
            back_off_seconds_max: 600,
            trusted_certificates: None,
            report_route: Vec::new(),
            report_port: 25,
            report_refused_networks: REFUSED_NETWORKS
                .iter()
                .filter_map(|one| one.parse().ok())
                .collect(),
        }
    }
}

impl Delivery {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let mut delivery = Self::default();
        let modes = [("through", DeliveryMode::Through), ("spool", DeliveryMode::Spool)];
        section.choice("mode", &modes, &mut delivery.mode);
        if let Some(name) = section.text("host_name") {
            match host_name(name.value) {
                Some(host) => delivery.host_name = host,
                None if name.value.is_empty() => {}
                None => section.wrong("host_name", name.start, "is not a domain name"),
            }
        }
        section.number("connect_timeout_ms", 100..=300_000, &mut delivery.connect_timeout_ms);
        section.number("response_timeout_ms", 1_000..=600_000, &mut delivery.response_timeout_ms);
        section.number("final_dot_wait_ms", 1_000..=600_000, &mut delivery.final_dot_wait_ms);
        let whole = &mut delivery.final_dot_timeout_ms;
        section.number("final_dot_timeout_ms", 60_000..=3_600_000, whole);
        section.numbers("retry_seconds", 1..=86_400, &mut delivery.retry_seconds);
        section.number("jitter_percent", 0..=50, &mut delivery.jitter_percent);
        section.number("lifetime_hours", 1..=720, &mut delivery.lifetime_hours);
        section.number("delay_warning_hours", 0..=720, &mut delivery.delay_warning_hours);
        let connections = &mut delivery.connections_per_destination_max;
        section.number("connections_per_destination_max", 1..=10_000, connections);
        section.number("idle_connections_max", 0..=1_000, &mut delivery.idle_connections_max);
        section.number("idle_timeout_ms", 0..=600_000, &mut delivery.idle_timeout_ms);
        let mails = &mut delivery.mails_per_connection_max;
        section.number("mails_per_connection_max", 1..=1_000_000, mails);
        section.number("back_off_seconds_min", 1..=3_600, &mut delivery.back_off_seconds_min);
        section.number("back_off_seconds_max", 1..=86_400, &mut delivery.back_off_seconds_max);
        let file = section.text("trusted_certificates").filter(|text| !text.value.is_empty());
        delivery.trusted_certificates = file.map(|text| text.value.into());
        delivery.report_route =
            section.tables("report_route", |section| Route::read(section, |_, _| false));
        if delivery.report_route.len() > SMART_HOSTS_MAX {
            let text = format_args!("more than {SMART_HOSTS_MAX}");
            section.wrong("report_route", section.place_of("report_route"), text);
        }
        section.number("report_port", 1..=u16::MAX, &mut delivery.report_port);
        section.all_parsed("report_refused_networks", &mut delivery.report_refused_networks);
        delivery.check(section);
        delivery
    }

    /// Relations between keys.
    fn check(&self, section: &Section<'_, '_>) {
        let below = |key: &str, value: u64, other: &str, least: u64| {
            if value < least {
                let text = format!("{value} is below {other} ({least})");
                section.wrong(key, section.place_of(key), text);
            }
        };
        let (wait, whole) = (self.final_dot_wait_ms, self.final_dot_timeout_ms);
        below("final_dot_timeout_ms", whole, "final_dot_wait_ms", wait);
        let (first, longest) = (self.back_off_seconds_min, self.back_off_seconds_max);
        below("back_off_seconds_max", longest, "back_off_seconds_min", first);
        let (warn, end) = (self.delay_warning_hours.into(), self.lifetime_hours.into());
        below("lifetime_hours", end, "delay_warning_hours", warn);
    }
}

/// `[tls]`. Both empty: a self-signed certificate is made at first start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM file with the certificate chain.
    pub certificate: Option<PathBuf>,
    /// PEM file with the key.
    pub key: Option<PathBuf>,
}

impl Tls {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let mut file = |key| {
            let text = section.text(key).filter(|text| !text.value.is_empty())?;
            Some(PathBuf::from(text.value))
        };
        let tls = Self { certificate: file("certificate"), key: file("key") };
        if tls.certificate.is_some() != tls.key.is_some() {
            let (there, missing) =
                if tls.key.is_none() { ("certificate", "key") } else { ("key", "certificate") };
            section.wrong(there, section.place_of(there), format_args!("needs {missing} too"));
        }
        tls
    }
}
