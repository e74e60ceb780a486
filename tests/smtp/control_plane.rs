//! `sekisho run` is the control process: it starts the engine, starts it again when it dies, and
//! takes over the one that runs. Without it, mail flows.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sekisho_core::control::{Request, Response};
use sekisho_loadgen::client::Client;
use sekisho_tests::gateway::{DOMAIN, Gateway, Setup, program, words};
use sekisho_tests::hop::Hop;
use sekisho_tests::wait::{wait_for, wait_longer};
use serde_json::Value;

const START: Duration = Duration::from_secs(120);

/// `sekisho run` on the data directory of a gateway that was prepared and not started.
struct Run {
    child: Child,
}

impl Run {
    fn start(gateway: &Gateway) -> Self {
        let path = gateway.data().join("run/control.log");
        let before = Self::words(gateway).matches("Ctrl-C stops").count();
        let words = File::options().create(true).append(true).open(path).unwrap();
        let child = Command::new(program("sekisho"))
            .arg("--data")
            .arg(gateway.data())
            .args(["run", "--no-demo-sink"])
            .stdin(Stdio::null())
            .stdout(words.try_clone().unwrap())
            .stderr(words)
            .spawn()
            .unwrap();
        let mut run = Self { child };
        wait_longer("sekisho run brings the engine up", START, || {
            if let Ok(Some(status)) = run.child.try_wait() {
                panic!("sekisho run ended ({status}): {}", Self::words(gateway));
            }
            // Not only that the port answers: an engine that dies in its very first moment is a start that
            // failed, and ends `run`.
            let says = Self::words(gateway).matches("Ctrl-C stops").count() > before;
            (says && up(gateway)).then_some(())
        });
        run
    }

    fn words(gateway: &Gateway) -> String {
        std::fs::read_to_string(gateway.data().join("run/control.log")).unwrap_or_default()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn up(gateway: &Gateway) -> bool {
    Client::hello(gateway.smtp(), "probe.test", Duration::from_secs(2)).map(Client::quit).is_ok()
}

fn engine_pid(gateway: &Gateway) -> i64 {
    gateway.status().get("pid").and_then(Value::as_i64).expect("the engine's process")
}

fn end(pid: i64, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = kill_process(pid, signal);
}

fn send(gateway: &Gateway) -> u16 {
    let to = format!("user@{DOMAIN}");
    gateway.send("a@example.com", &[&to], b"Subject: a\r\n\r\nb\r\n").reply.code
}

#[test]
fn the_engine_outlives_its_control_process_and_the_next_one_takes_it_over() {
    let hop = Hop::start();
    let gateway = Gateway::prepare(&Setup::to(hop.address()));
    let mut run = Run::start(&gateway);
    let engine = engine_pid(&gateway);
    assert_eq!(send(&gateway), 250);

    run.child.kill().unwrap();
    run.child.wait().unwrap();
    assert_eq!(send(&gateway), 250, "mail flows without a control process");

    let second = Run::start(&gateway);
    wait_for("the second one says that it took over", || {
        Run::words(&gateway).contains("taken over").then_some(())
    });
    assert_eq!(engine_pid(&gateway), engine, "the same engine");
    assert_eq!(send(&gateway), 250);

    // A third one on the same data directory is refused, and the engine does not notice.
    let third = gateway.sekisho(&["run", "--no-demo-sink"]);
    assert_eq!(third.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&third.stderr).contains("another `sekisho run`"));

    // Ctrl-C: the engine drains and ends, though it is not the second one's child.
    let mut second = second;
    kill_process(second.pid(), Signal::INT).unwrap();
    let status = wait_longer("sekisho run ends", Duration::from_secs(60), || {
        second.child.try_wait().unwrap()
    });
    assert!(status.success(), "{status}: {}", Run::words(&gateway));
    assert!(!up(&gateway), "the engine has ended too");
    assert_eq!(hop.mails().len(), 3);
}

#[test]
fn an_engine_that_dies_is_started_again() {
    let hop = Hop::start();
    let gateway = Gateway::prepare(&Setup::to(hop.address()));
    let run = Run::start(&gateway);
    for _ in 0..3 {
        let engine = engine_pid(&gateway);
        end(engine, Signal::KILL);
        wait_longer("another engine is up", START, || {
            let text = std::fs::read_to_string(gateway.data().join("run/control.log")).ok()?;
            (text.contains("runs again") && up(&gateway) && engine_pid(&gateway) != engine)
                .then_some(())
        });
        assert_eq!(send(&gateway), 250);
    }
    kill_process(run.pid(), Signal::TERM).unwrap();
    let mut run = run;
    wait_longer("sekisho run ends", Duration::from_secs(60), || run.child.try_wait().unwrap());
}

#[test]
fn a_first_start_writes_what_it_needs_and_a_broken_configuration_is_named_with_line_and_column() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("var");
    let checked = Command::new(program("sekisho"))
        .arg("--data")
        .arg(&data)
        .args(["run", "--check-machine"])
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success(), "{words}");
    for what in ["kernel", "io_uring", "memory-lock limit", "engine"] {
        assert!(words.contains(what), "{what} is looked at: {words}");
    }
    std::fs::create_dir_all(data.join("etc")).unwrap();
    std::fs::write(data.join("etc/sekisho.toml"), "[engine]\nshard = 1\n[smtp]\nerrors_max = -1\n")
        .unwrap();
    let run = Command::new(program("sekisho"))
        .arg("--data")
        .arg(&data)
        .args(["run", "--no-demo-sink"])
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(2), "{words}");
    assert!(words.contains("sekisho.toml:2:1"), "{words}");
    assert!(words.contains("did you mean `shards`"), "{words}");
    assert!(words.contains("sekisho.toml:4:"), "all mistakes at once: {words}");
}

/// A port that is taken: `run` used to say that it runs, and then started the engine again for ever.
#[test]
fn a_start_that_fails_says_why_and_what_to_do_and_leaves_nothing_running() {
    let gateway = Gateway::prepare(&Setup::default());
    let _taken = std::net::TcpListener::bind(gateway.smtp()).unwrap();
    let run = gateway.sekisho(&["run", "--no-demo-sink"]);
    let said = words(&run);
    assert_eq!(run.status.code(), Some(2), "{said}");
    assert!(said.contains("Address already in use"), "{said}");
    assert!(said.contains("try: ss -ltnp"), "{said}");
    assert!(!said.contains("Sekisho runs"), "{said}");
    assert_eq!(gateway.sekisho(&["status"]).status.code(), Some(2), "no engine is left");
}

#[test]
fn a_single_change_is_called_in_force_only_where_the_engine_has_its_generation() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup::to(hop.address()));
    let build = gateway.sekisho(&["tables", "build", "--no-adopt"]);
    assert!(build.status.success(), "{}", words(&build));
    let add = gateway.sekisho(&["list", "add", "block", "bad@example.com"]);
    assert_eq!(add.status.code(), Some(1), "{}", words(&add));
    assert!(words(&add).contains("not in force"), "{}", words(&add));
    let again = gateway.sekisho(&["list", "add", "block", "bad@example.com"]);
    assert_eq!(again.status.code(), Some(1), "there already: {}", words(&again));
    let build = gateway.sekisho(&["tables", "build"]);
    assert!(words(&build).contains("in force"), "{}", words(&build));
    let remove = gateway.sekisho_json(&["list", "remove", "block", "bad@example.com"]);
    assert_eq!(remove[0]["in_force"], true, "{remove:?}");
}

#[test]
fn a_backup_brings_single_changes_back_and_is_never_overwritten_by_accident() {
    let gateway = Gateway::prepare(&Setup::default());
    for change in
        [&["list", "add", "block", "bad@example.com"][..], &["recipient", "add", "new@demo.test"]]
    {
        let added = gateway.sekisho(change);
        assert!(added.status.success(), "{}", words(&added));
    }
    let file = gateway.data().join("run/backup.tar.zst").display().to_string();
    assert!(gateway.sekisho(&["backup", &file]).status.success());
    assert_eq!(gateway.sekisho(&["backup", &file]).status.code(), Some(1), "it is there");
    assert!(gateway.sekisho(&["backup", &file, "--yes"]).status.success());

    let dir = tempfile::tempdir().unwrap();
    let other = |arguments: &[&str]| {
        let mut command = Command::new(program("sekisho"));
        command.arg("--data").arg(dir.path().join("var")).args(arguments);
        command.output().unwrap()
    };
    for arguments in [&["restore", &file, "--yes"][..], &["tables", "build"]] {
        let done = other(arguments);
        assert!(done.status.success(), "{arguments:?}: {}", words(&done));
    }
    let shown = String::from_utf8(other(&["list", "show"]).stdout).unwrap();
    assert!(shown.contains("bad@example.com"), "{shown}");
    let shown = String::from_utf8(other(&["recipient", "show"]).stdout).unwrap();
    assert!(shown.contains("new@demo.test"), "{shown}");
}

#[test]
fn stale_signatures_raise_an_alarm_that_a_new_build_ends_and_a_restart_does_not() {
    const RULE: &str = "[[rule]]\nname = \"ONE\"\nfield = \"subject\"\npattern = 'one'\n";
    let hop = Hop::start();
    let mut gateway = Gateway::start(&Setup {
        files: vec![("rules/one.toml".to_owned(), RULE.to_owned())],
        ..Setup::to(hop.address())
    });
    let stale = |gateway: &Gateway| {
        let status = gateway.status();
        let alarms = status["alarms"].as_array().unwrap().clone();
        alarms.iter().any(|alarm| alarm["name"] == "stale_signatures")
    };
    assert!(!stale(&gateway));
    assert!(gateway.sekisho(&["tables", "build", "--no-adopt"]).status.success());
    let patterns = gateway.data().join("generations/2/patterns.table");
    let eight_days = Duration::from_secs(8 * 86_400);
    let then = std::time::SystemTime::now() - eight_days;
    File::options().append(true).open(patterns).unwrap().set_modified(then).unwrap();
    let adopted = gateway.control(Request::Adopt { generation: 2 });
    assert_eq!(adopted, Response::Done);
    assert!(stale(&gateway));
    let said = gateway.sekisho(&["status"]);
    assert_eq!(said.status.code(), Some(1));
    assert!(words(&said).contains("ALARM stale_signatures: the rules"), "{}", words(&said));
    gateway.kill();
    gateway.up();
    assert!(stale(&gateway), "a restart does not make signatures young");
    assert!(gateway.sekisho(&["tables", "build"]).status.success());
    assert!(!stale(&gateway), "built anew");
}

#[test]
fn a_refused_generation_is_an_alarm_until_a_good_one_comes_whatever_is_restarted() {
    // A damaged newest generation: the engine fell back to the one before it at a restart, took that for the end
    // of the alarm, and nobody was told that changes went into a generation that was not in force.
    let hop = Hop::start();
    let mut gateway = Gateway::start(&Setup::to(hop.address()));
    let alarm = |gateway: &Gateway| -> Option<String> {
        let status = gateway.status();
        let mut alarms = status["alarms"].as_array().unwrap().iter();
        let refused = alarms.find(|alarm| alarm["name"] == "generation_refused")?;
        Some(refused["text"].as_str().unwrap().to_owned())
    };
    // A table like the one in force is not even copied: one has to change.
    assert!(gateway.sekisho(&["list", "add", "block", "bad@example.com"]).status.success());
    assert!(gateway.sekisho(&["tables", "build", "--no-adopt"]).status.success());
    let table = gateway.data().join("generations/2/senders.table");
    let mut octets = std::fs::read(&table).unwrap();
    *octets.last_mut().unwrap() ^= 1;
    std::fs::remove_file(&table).unwrap();
    std::fs::write(&table, octets).unwrap();
    assert_eq!(alarm(&gateway), None);
    let refused = gateway.control(Request::Adopt { generation: 2 });
    assert!(matches!(refused, Response::Refused { .. }), "{refused:?}");
    for _ in 0..2 {
        let text = alarm(&gateway).unwrap();
        for says in ["generation 2 was refused, 1 stays", "senders.table", "`sekisho tables build`"]
        {
            assert!(text.contains(says), "{says} in {text}");
        }
        gateway.kill();
        gateway.up();
    }
    assert!(gateway.sekisho(&["tables", "build"]).status.success());
    assert_eq!(alarm(&gateway), None, "generation 3 is in force");
}

#[test]
fn what_is_asked_for_and_is_not_there_is_named() {
    let hop = Hop::start();
    let gateway = Gateway::start(&Setup::to(hop.address()));
    for (arguments, code, says) in [
        (&["tables", "show", "99"][..], 2, "generation 99: "),
        (&["tables", "verify", "99"], 2, "generation 99: "),
        (&["queue", "hold", "b@d"], 2, "`b@d` is not a domain"),
        (&["queue", "unhold", "never.test"], 1, "queue unhold never.test: "),
        (&["queue", "retry", "x"], 2, "queue: x: not the id of a mail"),
        (
            &["queue", "retry", "01a217c31a217366b067327ba499b9ff"],
            1,
            "queue retry 01a217c31a217366b067327ba499b9ff: ",
        ),
        (&["log", "search", "--since", "1h", "--until", "2h"], 2, "is not before --until"),
        (&["quarantine", "list", "--class", "Virus"], 1, "nothing that is held matches"),
        (&["queue", "hold"], 2, "not provided: <DOMAIN>\ntry: sekisho queue hold --help"),
    ] {
        let done = gateway.sekisho(arguments);
        let words = words(&done);
        assert_eq!(done.status.code(), Some(code), "{arguments:?}: {words}");
        assert!(words.contains(says), "{arguments:?}: {says} in {words}");
    }
}
