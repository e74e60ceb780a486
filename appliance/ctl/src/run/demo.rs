//! The demo's next hop: this program again, as a sink that stores each mail as a file.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use sekisho_loadgen::client::Client;
use sekisho_loadgen::sink::{Sink, SinkOptions};

use super::process::Process;
use crate::outcome::{Failure, Outcome, Ran};
use crate::output;
use crate::place::Place;

/// Where the demo domain's route points.
pub(super) const ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 2526);
const TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the sink itself (`sekisho demo-sink`), for ever.
pub(crate) fn serve(listen: SocketAddr, store: &Path) -> Ran {
    let options = SinkOptions { listen, store: Some(store.to_owned()), ..SinkOptions::default() };
    let sink = Sink::start(options)
        .map_err(|error| Failure::new(format_args!("demo-sink on {listen}"), error))?;
    output::data(format_args!("READY {}", sink.address()));
    sink.join();
    Ok(Outcome::Done)
}

/// The sink that is there already, or a new one.
pub(super) fn start(place: &Place) -> Result<Process, Failure> {
    let what = format!("demo next hop on {ADDRESS}");
    if let Some(process) = running(place) {
        return Ok(process);
    }
    if TcpStream::connect_timeout(&ADDRESS, TIMEOUT).is_ok() {
        return Err(Failure::new(&what, "another program listens there").next(format_args!(
            "ss -ltnp shows who; sekisho{} run --no-demo-sink starts without it (make run \
                 RUN_ARGUMENTS=--no-demo-sink), with a next hop of your own in {}",
            place.arguments(),
            place.etc().join("domains.toml").display()
        )));
    }
    let program = std::env::current_exe().map_err(|error| Failure::new(&what, error))?;
    let mut command = Command::new(program);
    command.arg("demo-sink").arg("--listen").arg(ADDRESS.to_string());
    command.arg("--store").arg(place.demo_sink());
    let log = place.run().join("demo-sink.log");
    let mut process =
        Process::start(&mut command, &log).map_err(|error| Failure::new(&what, error))?;
    let pid_file = place.run().join("demo-sink.pid");
    std::fs::write(&pid_file, process.number().to_string())
        .map_err(|error| Failure::new(pid_file.display(), error))?;
    for _ in 0..100 {
        if answers() {
            return Ok(process);
        }
        if process.ended(Duration::from_millis(50)) {
            break;
        }
    }
    Err(Failure::new(&what, format_args!("it does not answer; see {}", log.display())))
}

/// The one that an earlier control process started and did not stop.
fn running(place: &Place) -> Option<Process> {
    let number = std::fs::read_to_string(place.run().join("demo-sink.pid")).ok()?;
    let number: i32 = number.trim().parse().ok()?;
    let process = Process::running(Pid::from_raw(number)?).ok()?;
    // The number may be another program's by now.
    let line = std::fs::read(format!("/proc/{number}/cmdline")).ok()?;
    let is_sink = line.split(|&octet| octet == 0).any(|word| word == b"demo-sink");
    (is_sink && answers()).then_some(process)
}

fn answers() -> bool {
    let client = Client::hello(ADDRESS, "localhost", TIMEOUT);
    client.is_ok_and(|client| {
        let known = client.offers("PIPELINING");
        client.quit();
        known
    })
}

/// Ends it; mails are files already.
pub(super) fn stop(process: &mut Process) {
    process.signal(Signal::TERM);
    if !process.ended(TIMEOUT) {
        process.signal(Signal::KILL);
        process.ended(TIMEOUT);
    }
}
