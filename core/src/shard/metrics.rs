//! Figures of the box for people and for Prometheus: counters of all shards, gauges, alarms.
//!
//! One thread answers `GET /metrics` on a local address; it reads atomics and never asks a shard.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::counters::Counter;
use crate::engines;
use crate::stages::Stage;

/// Where the figures come from. `shard::Shared` implements it; so does the test.
pub trait Figures: fmt::Debug + Send + Sync + 'static {
    /// Sum of a counter over all shards.
    fn counter(&self, counter: Counter) -> u64;
    /// Gauges: name, meaning, value.
    fn gauges(&self) -> Vec<(&'static str, &'static str, i64)>;
    /// CPU by stage of every shard and every analysis worker.
    fn cpu(&self) -> Vec<Cpu>;
    /// What scan engines of others did.
    fn engines(&self) -> Vec<engines::Figures>;
    /// Alarms: name, and whether it is raised now. All names, raised or not.
    fn alarms(&self) -> Vec<(&'static str, bool)>;
}

/// CPU of one shard or one analysis worker since the start.
#[derive(Clone, Debug)]
pub struct Cpu {
    /// `shard` or `worker`.
    pub kind: &'static str,
    /// Its number among its kind.
    pub number: usize,
    /// Mails that it received, or looked at.
    pub mails: u64,
    /// All of it, nanoseconds; of a shard as of its last tick, at most a second ago.
    pub thread_nanos: u64,
    /// By stage, nanoseconds; of a shard an estimate by samples.
    pub stages: [(Stage, u64); Stage::ALL.len()],
}

impl Cpu {
    /// Stages that took something.
    pub fn taken(&self) -> impl Iterator<Item = (Stage, u64)> + '_ {
        self.stages.iter().copied().filter(|(_, nanos)| *nanos > 0)
    }
}

#[derive(Debug)]
struct Scrape(Arc<dyn Figures>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let unit: Option<&Unit> = None;
        for counter in Counter::ALL {
            let value = ConstCounter::new(self.0.counter(counter));
            let into = encoder.encode_descriptor(
                counter.name(),
                counter.meaning(),
                unit,
                MetricType::Counter,
            )?;
            value.encode(into)?;
        }
        for (name, meaning, value) in self.0.gauges() {
            let into = encoder.encode_descriptor(name, meaning, unit, MetricType::Gauge)?;
            ConstGauge::new(value).encode(into)?;
        }
        self.cpu(&mut encoder)?;
        self.engines(&mut encoder)?;
        let meaning = "1 while the alarm is raised";
        let mut into = encoder.encode_descriptor("alarm", meaning, unit, MetricType::Gauge)?;
        for (name, raised) in self.0.alarms() {
            let labels = [("name", name)];
            let family: MetricEncoder<'_> = into.encode_family(&labels)?;
            ConstGauge::new(i64::from(raised)).encode(family)?;
        }
        Ok(())
    }
}

impl Scrape {
    fn cpu(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        #[expect(clippy::cast_precision_loss, reason = "104 days before a nanosecond is lost")]
        let seconds = |nanos: u64| ConstCounter::new(nanos as f64 / 1e9);
        let all = self.0.cpu();
        let meaning = "CPU of a shard or an analysis worker by stage of a mail's way, by samples";
        let mut into =
            encoder.encode_descriptor("stage_cpu_seconds", meaning, None, MetricType::Counter)?;
        for one in &all {
            for (stage, nanos) in one.taken() {
                let number = one.number.to_string();
                let labels = [(one.kind, number.as_str()), ("stage", stage.name())];
                let family: MetricEncoder<'_> = into.encode_family(&labels)?;
                seconds(nanos).encode(family)?;
            }
        }
        let meaning = "CPU of a shard or an analysis worker, all of it";
        let mut into =
            encoder.encode_descriptor("cpu_seconds", meaning, None, MetricType::Counter)?;
        for one in &all {
            let number = one.number.to_string();
            let labels = [(one.kind, number.as_str())];
            let family: MetricEncoder<'_> = into.encode_family(&labels)?;
            seconds(one.thread_nanos).encode(family)?;
        }
        Ok(())
    }
}

impl Scrape {
    fn engines(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        type Read = fn(&engines::Figures) -> u64;
        let all = self.0.engines();
        let counts: [(&str, &str, Read); 5] = [
            ("scanner_asked", "Mails that a scan engine was asked about", |one| one.asked),
            ("scanner_found", "Mails that it found malware in", |one| one.found),
            ("scanner_failed", "Mails that it did not look at", |one| one.failed),
            ("scanner_too_large", "Mails that were too large for it", |one| one.too_large),
            ("scanner_microseconds", "From question to answer, together", |one| one.micros),
        ];
        for (name, meaning, read) in counts.into_iter().filter(|_| !all.is_empty()) {
            let mut into = encoder.encode_descriptor(name, meaning, None, MetricType::Counter)?;
            for one in &all {
                let labels = [("scanner", &*one.name)];
                let family: MetricEncoder<'_> = into.encode_family(&labels)?;
                ConstCounter::new(read(one)).encode(family)?;
            }
        }
        Ok(())
    }
}

/// The exposition text.
#[must_use]
pub fn text(figures: &Arc<dyn Figures>) -> String {
    let mut registry = Registry::with_prefix("sekisho");
    registry.register_collector(Box::new(Scrape(Arc::clone(figures))));
    let mut text = String::new();
    // Writing to a String cannot fail; a figure that cannot be encoded ends the text there.
    let _ = encode(&mut text, &registry);
    text
}

/// Serves the figures at `http://<address>/metrics` until the process ends. The address served.
///
/// # Errors
/// The address cannot be listened on.
pub fn serve(
    address: SocketAddr,
    figures: Arc<dyn Figures>,
) -> Result<SocketAddr, Box<dyn std::error::Error + Send + Sync>> {
    let server = tiny_http::Server::http(address)?;
    let served = server.server_addr().to_ip().unwrap_or(address);
    std::thread::Builder::new().name("metrics".into()).spawn(move || {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        let header = tiny_http::Header::from_bytes("Content-Type", kind);
        for request in server.incoming_requests() {
            let answered = if request.url() == "/metrics" {
                let response = tiny_http::Response::from_string(text(&figures));
                match &header {
                    Ok(header) => request.respond(response.with_header(header.clone())),
                    Err(()) => request.respond(response),
                }
            } else {
                request.respond(tiny_http::Response::empty(404))
            };
            if let Err(error) = answered {
                tracing::debug!(%error, "metrics caller left");
            }
        }
    })?;
    Ok(served)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[derive(Debug)]
    struct Fixed;

    impl Figures for Fixed {
        fn counter(&self, counter: Counter) -> u64 {
            u64::from(counter == Counter::MessagesAccepted) * 41
        }
        fn gauges(&self) -> Vec<(&'static str, &'static str, i64)> {
            vec![("queue_mails", "Mails that wait", 7)]
        }
        fn cpu(&self) -> Vec<Cpu> {
            let stages =
                Stage::ALL.map(|stage| (stage, u64::from(stage == Stage::View) * 1_500_000_000));
            let thread_nanos = 2_500_000_000;
            vec![Cpu { kind: "shard", number: 1, mails: 3, thread_nanos, stages }]
        }
        fn engines(&self) -> Vec<engines::Figures> {
            vec![engines::Figures {
                name: "clamav".into(),
                address: "/run/clamd".into(),
                version: "".into(),
                state: engines::State::Up,
                asked: 7,
                found: 1,
                failed: 0,
                too_large: 0,
                micros: 9_000,
            }]
        }
        fn alarms(&self) -> Vec<(&'static str, bool)> {
            vec![("disk", true), ("queue_age", false)]
        }
    }

    #[test]
    fn counters_gauges_and_alarms_are_served_over_http() {
        let address = serve("127.0.0.1:0".parse().unwrap(), Arc::new(Fixed)).unwrap();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        for line in [
            "sekisho_messages_accepted_total 41",
            "sekisho_queue_mails 7",
            "sekisho_stage_cpu_seconds_total{shard=\"1\",stage=\"view\"} 1.5",
            "sekisho_cpu_seconds_total{shard=\"1\"} 2.5",
            "sekisho_scanner_asked_total{scanner=\"clamav\"} 7",
            "sekisho_alarm{name=\"disk\"} 1",
            "sekisho_alarm{name=\"queue_age\"} 0",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
