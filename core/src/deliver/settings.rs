//! How delivery behaves, in domain types.

use std::time::Duration;

use super::client::EightBitRule;
use super::route::Hop;

/// When the client gets its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// When the next hop has answered.
    #[default]
    Through,
    /// When the mail is durable in the spool.
    Spool,
}

/// Settings of delivery; `[delivery]` of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Through or spool.
    pub mode: Mode,
    /// Our name: EHLO, `Reporting-MTA`, the domain of `MAILER-DAEMON`.
    pub host_name: Box<str>,
    /// To connect to one address.
    pub connect_timeout: Duration,
    /// For the answer to one command, and for one write.
    pub response_timeout: Duration,
    /// Most that a client waits, in `through`, until the final dot is on its way: all hops together.
    pub through_timeout: Duration,
    /// For the answer to the final dot while the client waits.
    pub final_dot_wait: Duration,
    /// For the answer to the final dot altogether (RFC 5321 section 4.5.3.2.6).
    pub final_dot_timeout: Duration,
    /// Pauses between attempts; the last one repeats. Never empty.
    pub retry: Vec<Duration>,
    /// Each pause is made longer or shorter by up to this, 0..=50.
    pub jitter_percent: u8,
    /// Then the DSN, or quarantine.
    pub lifetime: Duration,
    /// Then a DSN "delayed", once, to those who asked for it; zero: never.
    pub delay_warning: Duration,
    /// Connections to one destination at a time, whole box.
    pub connections_per_destination_max: u32,
    /// Idle connections kept per destination and shard.
    pub idle_connections_max: usize,
    /// An idle connection is closed after this.
    pub idle_timeout: Duration,
    /// Mails over one connection.
    pub mails_per_connection_max: u32,
    /// First and longest pause of a destination that does not answer.
    pub back_off: (Duration, Duration),
    /// Queued mails that this shard delivers at a time: half of it to hops that answer, half to those that do not, a
    /// quarter more to those that nobody has asked yet. As many as half of it that take long do not count.
    pub deliveries_max: usize,
    /// Use BDAT where offered.
    pub chunking: bool,
    /// 8-bit content to a hop without 8BITMIME.
    pub eight_bit: EightBitRule,
    /// Smart hosts for reports to domains that are not ours; empty: the domain's own mail hosts.
    pub report_route: Vec<Hop>,
    /// Port for reports that go to the domain's own mail hosts.
    pub report_port: u16,
    /// Addresses that such mail hosts may not have.
    pub report_refused_networks: Vec<ipnet::IpNet>,
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            mode: Mode::Through,
            host_name: "localhost".into(),
            connect_timeout: seconds(10),
            response_timeout: seconds(60),
            through_timeout: seconds(45),
            final_dot_wait: seconds(60),
            final_dot_timeout: seconds(600),
            retry: [60, 300, 900, 1_800, 3_600, 7_200, 14_400].map(seconds).into(),
            jitter_percent: 20,
            lifetime: seconds(120 * 3_600),
            delay_warning: seconds(4 * 3_600),
            connections_per_destination_max: 20,
            idle_connections_max: 4,
            idle_timeout: seconds(30),
            mails_per_connection_max: 100,
            back_off: (seconds(5), seconds(600)),
            deliveries_max: 200,
            chunking: true,
            eight_bit: EightBitRule::AsIs,
            report_route: Vec::new(),
            report_port: 25,
            report_refused_networks: Vec::new(),
        }
    }
}

impl Settings {
    /// The pause after attempt number `attempts` (from 1), with jitter drawn from `random`.
    #[must_use]
    pub fn pause(&self, attempts: u32, random: u64) -> Duration {
        let step = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let last = self.retry.last().copied().unwrap_or(Duration::from_secs(600));
        let pause = self.retry.get(step).copied().unwrap_or(last);
        let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX / 256);
        let spread = millis / 100 * u64::from(self.jitter_percent.min(50));
        let draw = if spread == 0 { 0 } else { random % (2 * spread + 1) };
        Duration::from_millis(millis - spread + draw)
    }
}
