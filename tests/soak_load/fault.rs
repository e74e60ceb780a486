//! What breaks, for how long, and how it is mended.

use std::path::PathBuf;
use std::time::Instant;

use rustix::process::Signal;
use sekisho_core::control::{Request, Response};
use sekisho_loadgen::sink::{Behaviour, Sink, SinkOptions};
use sekisho_tests::corpus;
use sekisho_tests::gateway::{Gateway, Setup, words};
use sekisho_tests::preload::Preload;
use sekisho_tests::process::{connections_to, signal, workers_of};
use sekisho_tests::sink_process::SinkProcess;
use tempfile::TempDir;

use crate::Plan;

/// The domain whose hop is a process of its own.
pub(crate) const SECOND_DOMAIN: &str = "second.test";

/// What breaks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    EngineKilled,
    HopKilled,
    HopHangs,
    HopRefuses,
    HopClosesInContents,
    TableRefused,
    WorkerKilled,
    ClockJumps,
}

impl Fault {
    /// Those that the engine outlives.
    pub(crate) const WHILE_IT_LIVES: [Self; 7] = [
        Self::HopKilled,
        Self::HopHangs,
        Self::HopRefuses,
        Self::HopClosesInContents,
        Self::TableRefused,
        Self::WorkerKilled,
        Self::ClockJumps,
    ];

    fn words(self) -> &'static str {
        match self {
            Self::EngineKilled => "kill -9 of the engine, started again at once",
            Self::HopKilled => "kill -9 of the second hop, down for a while",
            Self::HopHangs => "the second hop hangs",
            Self::HopRefuses => "the first hop answers 451 to everything, for a minute of ten",
            Self::HopClosesInContents => {
                "the first hop closes in the middle of every second content"
            }
            Self::TableRefused => "a damaged generation is published, and refused",
            Self::WorkerKilled => "SIGKILL to all analysis workers",
            Self::ClockJumps => "the wall clock jumps an hour forward, and back",
        }
    }
}

/// Engine and hops.
pub(crate) struct Bench {
    pub(crate) gateway: Gateway,
    first: Sink,
    second: SinkProcess,
    ledger: TempDir,
    preload: Option<Preload>,
    generation: u64,
}

impl Bench {
    pub(crate) fn start(mode: &'static str) -> Self {
        let ledger = tempfile::tempdir().expect("a directory");
        let first = Sink::start(SinkOptions {
            behaviour: Behaviour { by_local_part: false, ..Behaviour::default() },
            ..SinkOptions::default()
        });
        let first = first.expect("a sink");
        first.keep_ledger(&ledger.path().join("ledger")).expect("a ledger");
        let second = SinkProcess::start(&[]);
        let domains = format!(
            "[[domain]]\nname = \"{SECOND_DOMAIN}\"\nprofile = \"securemail\"\n[[domain.route]]\n\
             host = \"127.0.0.1\"\nport = {}\ntls = \"never\"\n[domain.settings]\n\
             recipient.verify = \"off\"\nquarantine.reply = \"accept\"\n",
            second.address().port()
        );
        let delivery = "response_timeout_ms = 5000\nfinal_dot_wait_ms = 5000".to_owned();
        let files = rules();
        let setup = Setup { mode, domains, delivery, files, ..Setup::to(first.address()) };
        let mut gateway = Gateway::prepare(&setup);
        let preload = Preload::new("jumps of the clock");
        if let Some(preload) = &preload {
            gateway.launch(preload.launch());
        }
        gateway.up();
        Self { gateway, first, second, ledger, preload, generation: 1 }
    }

    pub(crate) fn ledgers(&self) -> [PathBuf; 2] {
        [self.ledger.path().join("ledger"), self.second.ledger()]
    }

    /// One fault and its end; how many deliveries it may have cut off.
    pub(crate) fn strike(&mut self, fault: Fault, plan: &Plan, start: Instant) -> usize {
        let at = start.elapsed().as_secs_f64();
        let in_flight = self.breaks(fault, plan);
        let took = start.elapsed().as_secs_f64() - at;
        let waiting = self.waiting();
        println!(
            "{at:6.1} s, {took:.1} s: {}; deliveries in flight {in_flight}, then {waiting} mails wait",
            fault.words()
        );
        in_flight
    }

    fn breaks(&mut self, fault: Fault, plan: &Plan) -> usize {
        let for_a = |hundredths: u32| std::thread::sleep(plan.hundredths(hundredths));
        match fault {
            Fault::EngineKilled => {
                signal(self.gateway.pid(), Signal::STOP);
                let in_flight =
                    connections_to(self.first.address()) + connections_to(self.second.address());
                self.gateway.kill();
                self.gateway.up();
                in_flight
            }
            Fault::HopKilled => {
                let in_flight = self.second.kill();
                for_a(2);
                self.second.up();
                in_flight
            }
            Fault::HopHangs => {
                self.second.stop();
                let in_flight = connections_to(self.second.address());
                for_a(2);
                self.second.go_on();
                in_flight
            }
            Fault::HopRefuses => {
                self.behave(Behaviour { rcpt_temporary_percent: 100, ..Behaviour::default() });
                for_a(10);
                self.behave(Behaviour::default());
                0
            }
            Fault::HopClosesInContents => {
                self.behave(Behaviour { body_close_percent: 50, ..Behaviour::default() });
                for_a(2);
                self.behave(Behaviour::default());
                0
            }
            Fault::TableRefused => self.refuse_tables(),
            Fault::WorkerKilled => {
                for worker in workers_of(self.gateway.pid()) {
                    signal(worker, Signal::KILL);
                }
                0
            }
            Fault::ClockJumps => {
                if let Some(preload) = &self.preload {
                    preload.clock_ahead(3_600);
                    for_a(2);
                    preload.clock_ahead(0);
                }
                0
            }
        }
    }

    fn behave(&self, behaviour: Behaviour) {
        self.first.set_behaviour(Behaviour { by_local_part: false, ..behaviour });
    }

    /// In the queue, as far as it is known already.
    fn waiting(&self) -> u64 {
        match self.gateway.control(Request::QueueList { domain: None, rows_max: 1 }) {
            Response::Queue { total, .. } => total,
            other => panic!("queue list: {other:?}"),
        }
    }

    fn refuse_tables(&mut self) -> usize {
        let path = self.gateway.etc().join("domains.toml");
        let domains = std::fs::read_to_string(path).expect("domains");
        self.generation += 1;
        let generation = self.generation;
        let more =
            format!("{domains}\n[[domain]]\nname = \"d{generation}.test\"\nprofile = \"tmems\"\n");
        self.gateway.write("domains.toml", &more);
        let built = self.gateway.sekisho(&["tables", "build", "--no-adopt"]);
        assert!(built.status.success(), "{}", words(&built));
        self.gateway.damage_generation(generation);
        match self.gateway.control(Request::Adopt { generation }) {
            Response::Refused { .. } => 0,
            other => panic!("a broken generation was taken over: {other:?}"),
        }
    }
}

/// The rules that ship with the repository.
fn rules() -> Vec<(String, String)> {
    let files = corpus::files(&corpus::repository().join("core/data/rules"));
    let file = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.to_owned();
        Some((format!("rules/{name}"), std::fs::read_to_string(&path).ok()?))
    };
    files.into_iter().filter_map(file).collect()
}
