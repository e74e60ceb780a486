use std::time::Duration;

use super::{RampOptions, Step, run, search};
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

/// A server that keeps up with `knee` mails a second and not with more.
fn keeps_up_with(knee: f64, rate: f64) -> Step {
    let failed = (rate > knee).then(|| "too fast".to_owned());
    Step { rate, failed, ..Step::default() }
}

#[test]
fn the_rate_doubles_until_it_fails_and_then_the_gap_is_halved() {
    let sink = sink(Behaviour::default());
    let options = options(&sink);
    let rates = |knee: f64, is_busy: bool| {
        let measure = |_, rate| Ok((keeps_up_with(knee, rate), is_busy));
        let report = search(&options, measure).unwrap();
        let rates: Vec<f64> = report.steps.iter().map(|step| step.rate).collect();
        (rates, report)
    };
    let (tried, report) = rates(180.0, false);
    // 200 is more than 30 % over 150, and less than that over 175.
    assert_eq!(tried, [25.0, 50.0, 100.0, 200.0, 150.0, 175.0]);
    assert_eq!((report.knee, report.first_failed), (175.0, Some(200.0)));
    let (tried, report) = rates(180.0, true);
    assert_eq!(tried, [25.0, 50.0, 100.0, 200.0]);
    assert_eq!(report.ended, "the generator limited the last step");
    let (tried, report) = rates(1e9, true);
    assert_eq!((report.knee, report.first_failed), (3200.0, None));
    assert_eq!(tried.len(), 8);
    assert_eq!(report.ended, "the highest rate, 3200, was kept up with");
    let (tried, report) = rates(7.0, false);
    assert_eq!(tried[..4], [25.0, 12.5, 6.25, 9.375]);
    assert_eq!(report.knee, 6.25, "{report:?}");
    let (tried, report) = rates(0.0, false);
    assert_eq!((tried.len(), report.knee), (6, 0.0));
    assert_eq!(report.ended, "one mail a second is too much");
}

#[test]
fn the_knee_is_never_above_what_eight_sessions_of_a_slow_server_can_take() {
    // 50 ms for RCPT and 50 ms for the end of data: 10 mails a second and session, 80 in all.
    // Other work on the machine makes it lower, nothing makes it higher.
    let delay = Duration::from_millis(50);
    let sink = sink(Behaviour { delay, ..Behaviour::default() });
    let options = RampOptions { from_rate: 40.0, steps: 4, ..options(&sink) };
    let mut seen = Vec::new();
    let report = run(&options, || Ok(Mix::generated(1)), |step| seen.push(step.rate)).unwrap();
    assert_eq!(seen, report.steps.iter().map(|step| step.rate).collect::<Vec<_>>());
    assert!(report.knee <= 90.0, "{report:?}");
    let failed = report.first_failed.unwrap();
    assert!(failed > report.knee, "{report:?}");
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
