//! The capacity command measures real engines: a plan of three rows, and the sheet is held against what must be true of
//! it whatever the machine is: every mail found again, every stage there, no more CPU in stages than was taken.

use std::process::{Command, Stdio};

use sekisho_loadgen::report::sheet::{Row, Sheet};
use sekisho_tests::gateway::program;

fn micros(row: &Row, name: &str) -> f64 {
    let stage = row.stages.iter().find(|stage| stage.name == name);
    stage
        .unwrap_or_else(|| panic!("{}: no stage {name} in {:?}", row.name, row.stages))
        .micros_per_mail
}

#[test]
fn a_small_plan_accounts_for_every_mail_and_for_the_cpu_by_stage() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let programs = program("sekisho-engine");
    let mut command = Command::new(program("sekisho-loadgen"));
    // One poll of sixteen is measured, so a stage is seen for certain only if there are hundreds of mails: their number
    // ends the loop, not seconds, in three of which a busy machine came to 35.
    command.args(["capacity", "--budget", "--quiet", "--json", "--mails-max", "300"]);
    command.args(["--seconds", "120"]);
    command.args([
        "--only",
        "no engine",
        "--only",
        "relay",
        "--only",
        "real mix, relay",
        "--only",
        "spool",
    ]);
    command.arg("--programs").arg(programs.parent().unwrap());
    command.arg("--scratch").arg(dir.path()).arg("--out").arg(&out).stdin(Stdio::null());
    let ran = command.output().unwrap();
    let words = String::from_utf8_lossy(&ran.stderr);
    assert!(
        ran.status.success(),
        "{}: {words}\n{}",
        ran.status,
        String::from_utf8_lossy(&ran.stdout)
    );
    let sheet: Sheet = serde_json::from_slice(&ran.stdout).unwrap();
    let names: Vec<&str> = sheet.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["no engine", "relay", "real mix, relay", "spool"]);
    assert!(sheet.holds(), "{:?}", sheet.rows);
    // Pinned to its own cores, it once said that the machine has no others.
    assert_eq!(sheet.machine.cores, std::thread::available_parallelism().unwrap().get());
    for row in &sheet.rows {
        let found = row.conservation.as_ref().unwrap();
        assert_eq!(found.sum(), found.sent, "{}", row.name);
        assert!(found.sent > row.mails && row.mails > 0, "{}: {found:?}", row.name);
        assert_eq!((found.lost_count, found.duplicated_count), (0, 0), "{}", row.name);
        assert!(row.closed_per_second > 0.0, "{}", row.name);
        if row.mode.is_none() {
            assert!(row.stages.is_empty(), "{}: nobody to tell stages", row.name);
            continue;
        }
        for name in ["session", "recipient", "view", "decide", "maillog"] {
            assert!(micros(row, name) > 0.0, "{}: {name}", row.name);
        }
        // What is left over is no stage that was measured.
        let is_rest =
            |name: &str| name.contains("rest") && name != "scan_rest" || name.starts_with("other");
        let measured = row.stages.iter().filter(|stage| !is_rest(&stage.name));
        let measured: f64 = measured.map(|stage| stage.micros_per_mail / 1000.0).sum();
        let kernel = row.kernel_cpu_ms.unwrap();
        // A tick is 10 ms, and each of the processes may have half of one more or less.
        let tick = 20.0 / row.mails as f64;
        // Estimates by some twenty samples of each stage; one that is counted within another comes to more.
        assert!(measured < kernel * 2.0 + tick, "{}: {measured} of {kernel} ms", row.name);
        let all = row.cpu_ms.unwrap();
        assert!((all - kernel).abs() < kernel * 0.3 + tick, "{}: {all} ms, {kernel} ms", row.name);
    }
    let [_, relay, real, spool] = sheet.rows.as_slice() else { panic!("four rows") };
    assert!(
        micros(relay, "next_hop") > 0.0 && relay.on_worker < relay.mails / 4,
        "noise is no container"
    );
    // Four of ten mails of the real mix have a container.
    assert!(real.on_worker > real.mails / 4, "{} of {}", real.on_worker, real.mails);
    assert!(micros(real, "worker: containers") > 0.0 && micros(real, "hand_over") > 0.0);
    assert!(micros(spool, "spool") > 0.0 && micros(spool, "queue") > 0.0);
    // Nothing is said of `flush`: a few dozen for all mails, and one of sixteen is measured.
    assert!(spool.stages.iter().all(|stage| stage.name != "next_hop"), "no hop before the answer");
    assert_eq!(
        spool.added_ms.map(|ms| ms > -spool.cpu_ms.unwrap()),
        Some(true),
        "measured by its base"
    );
    for name in ["capacity.txt", "capacity.html", "capacity.json"] {
        let text = std::fs::read_to_string(out.join(name)).unwrap();
        for row in ["relay", "real mix, relay", "spool"] {
            assert!(text.contains(row), "{name}: {row}");
        }
    }
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(left, ["out"], "engines' data is removed");
}

/// The ramp and the latency below the knee, on the row that needs no engine.
#[test]
fn the_quick_plan_finds_a_knee_and_says_latencies_below_it() {
    let dir = tempfile::tempdir().unwrap();
    let programs = program("sekisho-engine");
    let mut command = Command::new(program("sekisho-loadgen"));
    command.args(["capacity", "--quick", "--quiet", "--json", "--mails-max", "300"]);
    command.args(["--only", "no engine", "--programs"]).arg(programs.parent().unwrap());
    command.arg("--scratch").arg(dir.path()).stdin(Stdio::null());
    let ran = command.output().unwrap();
    assert!(ran.status.success(), "{}: {}", ran.status, String::from_utf8_lossy(&ran.stderr));
    let sheet: Sheet = serde_json::from_slice(&ran.stdout).unwrap();
    let [row] = sheet.rows.as_slice() else { panic!("{:?}", sheet.rows) };
    let knee = row.knee.unwrap();
    // Read back from JSON, whose reader may be off by the last bit.
    let share = row.rate.unwrap() / knee;
    assert!((share - 0.8).abs() < 1e-9, "{share}");
    let of = row.latency_ms.as_ref().unwrap();
    assert!(0.0 < of.p50 && of.p50 <= of.p99 && of.p99 <= of.p9999, "{of:?}");
    assert!(row.latency_mails > 0 && row.latency_curve.len() > 10);
    assert!(row.cpu_ms.is_none() && row.rss_mib.is_none(), "there is no engine");
    assert!(sheet.holds() && row.refusals.is_empty());
}
