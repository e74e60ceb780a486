//! `kill -9` of the control process under load: the engine does not notice, and the next one takes it over.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sekisho_loadgen::client::Client;
use sekisho_tests::gateway::{Gateway, Setup, program};
use sekisho_tests::sink_process::SinkProcess;
use sekisho_tests::stand::{Load, Stand};
use sekisho_tests::wait::wait_longer;
use serde_json::Value;

const START: Duration = Duration::from_secs(120);

/// `sekisho run`, and the engine that it started or took over; both are ended when dropped.
struct Control {
    child: Child,
    engine: Pid,
}

impl Control {
    fn start(gateway: &Gateway) -> Self {
        let log = gateway.data().join("run/control.log");
        let before = said(gateway);
        let words = File::options().create(true).append(true).open(log).unwrap();
        let mut child = Command::new(program("sekisho"))
            .arg("--data")
            .arg(gateway.data())
            .args(["run", "--no-demo-sink"])
            .stdin(Stdio::null())
            .stdout(words.try_clone().unwrap())
            .stderr(words)
            .spawn()
            .unwrap();
        wait_longer("the control process is up", START, || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("sekisho run ended: {status}");
            }
            let hello = || Client::hello(gateway.smtp(), "probe.test", Duration::from_secs(2));
            (said(gateway) > before && hello().map(Client::quit).is_ok()).then_some(())
        });
        let engine = gateway.status().get("pid").and_then(Value::as_i64).unwrap();
        Self { child, engine: Pid::from_raw(engine as i32).unwrap() }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = kill_process(self.engine, Signal::KILL);
    }
}

/// How often a control process said that everything runs.
fn said(gateway: &Gateway) -> usize {
    let log = gateway.data().join("run/control.log");
    std::fs::read_to_string(log).unwrap_or_default().matches("Ctrl-C stops").count()
}

#[test]
fn the_control_process_is_killed_under_load_and_no_mail_is_refused_late_or_twice() {
    let sink = SinkProcess::start(&[]);
    let gateway = Gateway::prepare(&Setup::to(sink.address()));
    let mut first = Control::start(&gateway);
    let mut stand = Stand::new();
    stand.load(&gateway, &Load { seed: 0x501, ..Load::default() });
    stand.answered(60);
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    assert!(stand.is_sending(), "it was killed under load");
    stand.answered(200);
    let second = Control::start(&gateway);
    assert_eq!(second.engine, first.engine, "the same engine, taken over");
    let balance = stand.settle(&gateway, &[sink.ledger()]);
    balance.holds_exactly("control process killed");
    assert_eq!(balance.account.delivered, 360, "{balance}");
}
