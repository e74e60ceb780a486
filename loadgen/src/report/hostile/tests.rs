use super::*;
use crate::report::{Generator, LoadPlan, Totals};

fn phase(name: &str, from_seconds: f64, accepted: u64) -> Phase {
    let second = |at: u32| Second {
        at: f64::from(at),
        sent: 100,
        accepted: accepted / 10,
        temporary: 100 - accepted / 10,
        p50_ms: Some(2.0),
        p99_ms: Some(9.0),
        ..Second::default()
    };
    let replies = [("250 2.0.0".to_owned(), accepted), ("<b>451".to_owned(), 1000 - accepted)];
    Phase {
        name: name.to_owned(),
        from_seconds,
        seconds: 10.0,
        offered: 1000,
        accepted_in_time: accepted,
        run: RunReport {
            seconds: 10.0,
            totals: Totals { accepted, refused_temporary: 1000 - accepted, ..Totals::default() },
            latency_ms: Percentiles {
                p50: 2.0,
                p90: 5.0,
                p99: 9.0,
                p999: 20.0,
                p9999: 30.0,
                max: 31.0,
            },
            series: (0..10).map(second).collect(),
            replies: replies.into_iter().filter(|(_, times)| *times > 0).collect(),
            load: LoadPlan { mix: "mix sizes".to_owned(), ..LoadPlan::default() },
            generator: Generator { threads: 1, ..Generator::default() },
            ..RunReport::default()
        },
    }
}

fn report(kept: f64) -> HostileReport {
    let profile = ProfileReport {
        name: "rcpt-harvest".to_owned(),
        sessions_max: 20,
        opened: 12_345,
        turned_away: 3,
        replies: [("550 5.1.1".to_owned(), 600_000), ("421 4.7.0".to_owned(), 12_000)].into(),
        server_closed: 12_340,
        own_closed: 1,
        open_at_end: 4,
        closed_after_ms: Percentiles { p50: 40.0, max: 77.0, ..Percentiles::default() },
        ..ProfileReport::default()
    };
    let second = |at: u32| AttackSecond {
        at: 10.0 + f64::from(at),
        opened: 1234,
        server_closed: 1200,
        open: 20,
    };
    HostileReport {
        title: "hostile: 20 attackers beside 100.0 paying mails/s".to_owned(),
        started_unix: 1_795_705_445,
        command: vec!["sekisho-loadgen".to_owned(), "hostile".to_owned()],
        peak: Some(200.0),
        rate: 100.0,
        phases: vec![phase("alone", 0.0, 1000), phase("attacked", 13.0, 900)],
        kept,
        kept_min: 0.8,
        attack: AttackReport {
            sessions_max: 20,
            per_second_max: 5000.0,
            networks: 256,
            hosts: 16,
            seconds: 13.0,
            lead_seconds: 3.0,
            begun: 13_000,
            busy: 0.25,
            profiles: vec![profile],
            series: (0..13).map(second).collect(),
            ..AttackReport::default()
        },
        conservation: Some(Conservation {
            sent: 2000,
            delivered: 1900,
            refused: 100,
            ..Conservation::default()
        }),
        ..HostileReport::default()
    }
}

#[test]
fn the_words_say_what_was_kept_and_what_each_profile_met() {
    let text = render(&report(0.9));
    for line in [
        "kept: 0.900 of the paying load (0.80 wanted): 90.0 mails/s accepted beside the attack, 100 alone",
        "peak alone: 200 mails/s",
        "    550 5.1.1 600,000 times; 421 4.7.0 12,000 times",
        "sent 2,000 = delivered 1,900 + held 0 + refused 100 + dropped 0 + unknown 0 + lost 0; duplicated 0",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
    for words in ["256 networks of 16 addresses", "13,000 begun (1,000 a second)", "busy 25 %"] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    assert!(text.lines().any(|line| line.starts_with("rcpt-harvest") && line.contains("12,345")));
    assert!(!text.contains("LIMITED"));
}

#[test]
fn the_page_is_well_formed_needs_nothing_else_and_shows_every_phase() {
    for (kept, class) in [(0.9, "notice good"), (0.79, "notice bad")] {
        let page = page(&report(kept));
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let document = roxmltree::Document::parse_with_options(&page, options).unwrap();
        let first = document
            .descendants()
            .find(|node| node.attribute("class").is_some_and(|class| class.starts_with("notice")));
        assert_eq!(first.unwrap().attribute("class"), Some(class), "{kept}");
        assert!(
            !page.contains("<b>") && !page.contains("<script") && !page.contains("http://mail")
        );
        let charts = document.descendants().filter(|node| {
            node.has_tag_name(("http://www.w3.org/2000/svg", "svg"))
                && node.attribute("class") == Some("wide")
        });
        assert_eq!(charts.count(), 5);
        for name in ["alone", "attacked", "rcpt-harvest", "12,345", "No mail was lost"] {
            assert!(page.contains(name), "{name}");
        }
    }
}

#[test]
fn what_is_kept_and_what_is_lost_both_decide_and_the_json_comes_back_as_it_was() {
    let good = report(0.8);
    assert!(good.holds());
    assert!(!report(0.799).holds());
    let lost = Conservation { lost_count: 1, ..Conservation::default() };
    assert!(!HostileReport { conservation: Some(lost), ..good.clone() }.holds());
    let text = serde_json::to_string(&good).unwrap();
    assert_eq!(serde_json::from_str::<HostileReport>(&text).unwrap(), good);
    let joined = good.joined();
    assert_eq!((joined.totals.accepted, joined.totals.refused_temporary), (1900, 100));
    assert!((joined.series[10].at - 13.0).abs() < 1e-9 && (joined.seconds - 23.0).abs() < 1e-9);
}

#[test]
fn a_saved_attack_is_shown_as_what_it_is_and_not_as_an_empty_run() {
    use clap::{Args as _, FromArgMatches as _};
    let dir = tempfile::tempdir().unwrap();
    let (attack, run) = (dir.path().join("attack.json"), dir.path().join("run.json"));
    std::fs::write(&attack, serde_json::to_string(&report(0.9)).unwrap()).unwrap();
    std::fs::write(&run, serde_json::to_string(&RunReport::default()).unwrap()).unwrap();
    let show = |files: &[&std::path::Path]| {
        use crate::report::command::{self, ReportArguments};
        let words =
            std::iter::once("report".as_ref()).chain(files.iter().map(|path| path.as_os_str()));
        let matches =
            ReportArguments::augment_args(clap::Command::new("report")).get_matches_from(words);
        let arguments = ReportArguments::from_arg_matches(&matches).unwrap();
        let mut out = Vec::new();
        command::run(&arguments, &mut out).map(|()| String::from_utf8(out).unwrap())
    };
    assert!(show(&[&attack]).unwrap().contains("kept: 0.900"));
    assert!(show(&[&run]).unwrap().contains("accepted 0"));
    assert_eq!(show(&[&run, &attack]).unwrap_err(), "a run of `hostile` is shown alone");
}
