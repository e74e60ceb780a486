use std::time::Duration;

use super::{RampOptions, run};
use crate::mix::Mix;
use crate::send::{SendOptions, Spread};
use crate::sink::{Behaviour, Extensions, Sink, SinkOptions};

fn options(sink: &Sink) -> RampOptions {
    RampOptions {
        send: SendOptions {
            server: sink.address(),
            sessions: 8,
            timeout: Duration::from_secs(10),
            ..SendOptions::default()
        },
        from_rate: 25.0,
        rate_max: 3200.0,
        step: Duration::from_millis(600),
        steps: 10,
        p99_ms_max: None,
        spread: Spread::Even,
        precision: 0.3,
    }
}

fn sink(behaviour: Behaviour) -> Sink {
    let listen = ([127, 0, 0, 1], 0).into();
    let extensions = Extensions::default();
    Sink::start(SinkOptions { listen, store: None, extensions, behaviour }).unwrap()
}

#[test]
fn the_knee_is_where_eight_sessions_of_a_slow_server_are_full() {
    // 20 ms for RCPT and 20 ms for the end of data: 25 mails a second and session, 200 in all.
    let delay = Duration::from_millis(20);
    let sink = sink(Behaviour { delay, ..Behaviour::default() });
    let mut seen = Vec::new();
    let mix = || Ok(Mix::generated(1));
    let report = run(&options(&sink), mix, |step| seen.push(step.rate)).unwrap();
    assert_eq!(seen.len(), report.steps.len());
    assert!(seen.len() > 3 && seen[..3] == [25.0, 50.0, 100.0], "{seen:?}");
    // Other work on the machine makes it lower, nothing makes it higher.
    assert!((25.0..=200.0).contains(&report.knee), "{report:?}");
    let failed = report.first_failed.unwrap();
    assert!(failed > report.knee, "{report:?}");
    assert!(!report.ended.is_empty());
}

#[test]
fn a_server_that_refuses_has_no_knee_and_the_ramp_ends() {
    let sink = sink(Behaviour { rcpt_temporary_percent: 100, ..Behaviour::default() });
    let options = RampOptions {
        from_rate: 40.0,
        step: Duration::from_millis(200),
        steps: 3,
        ..options(&sink)
    };
    let report = run(&options, || Ok(Mix::generated(1)), |_| {}).unwrap();
    assert_eq!(report.knee, 0.0);
    assert_eq!(report.steps.len(), 3);
    assert_eq!(report.first_failed, Some(10.0));
    let why = report.steps[0].failed.clone().unwrap();
    assert!(why.contains("refused: 451 4.3.0 scripted"), "{why}");
}
