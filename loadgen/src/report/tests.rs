#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test that fails says so"
)]

use super::*;
use clap::{Args, FromArgMatches};

/// Two decimals: what comes back from JSON is the same number.
fn short(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

fn machine() -> Machine {
    Machine {
        kernel: "Linux 6.18".to_owned(),
        cpu: "AMD EPYC".to_owned(),
        cores: 2,
        memory_kib: 24 << 20,
        loadgen_version: "0.1.0".to_owned(),
        engine: Some("0.1.0".to_owned()),
        durability: Some("through".to_owned()),
    }
}

fn load() -> LoadPlan {
    LoadPlan {
        sessions: 16,
        mails_per_connection: 1,
        recipients: 1,
        tls: "none".to_owned(),
        mix: "mix".to_owned(),
        seed: 1,
        threads: 1,
        source_addresses: 1,
        ..LoadPlan::default()
    }
}

/// A run of so many seconds with something of everything in it. Values follow from `slow`.
fn run(seconds: usize, slow: f64) -> RunReport {
    let second = |at: usize| {
        let wave = 1.0 + 0.15 * ((at * 7 % 13) as f64 - 6.0) / 6.0;
        Second {
            at: at as f64,
            sent: (420.0 * wave) as u64,
            accepted: (400.0 * wave / slow) as u64,
            temporary: if at % 9 == 4 { 31 } else { 6 },
            permanent: 3,
            unknown: u64::from(at == 5),
            // The sixth second was not measured.
            p50_ms: (at != 6).then_some(short(22.0 * wave * slow)),
            p99_ms: (at != 6).then_some(short(88.0 * wave * slow)),
            engine_cpu_ms: Some(short(930.0 * wave)),
            generator_cpu_ms: Some(short(91.0 * wave)),
            engine_rss_kib: Some(68_000 + (at as u64 % 40) * 120),
        }
    };
    let series: Vec<Second> = (0..seconds).map(second).collect();
    let sum = |of: fn(&Second) -> u64| series.iter().map(of).sum::<u64>();
    let accepted = sum(|second| second.accepted);
    let (temporary, permanent) = (sum(|second| second.temporary), sum(|second| second.permanent));
    let curve = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1.0];
    let milliseconds = [4.1, 15.0, 22.0, 34.0, 51.0, 66.0, 88.5, 104.0, 160.0, 201.0, 255.0, 269.3];
    RunReport {
        title: "send: closed loop, 16 sessions".to_owned(),
        started_unix: 1_795_705_445,
        command: ["sekisho-loadgen", "send", "--sessions", "16"].map(str::to_owned).to_vec(),
        machine: machine(),
        load: load(),
        seconds: seconds as f64,
        totals: Totals {
            accepted,
            refused_temporary: temporary,
            refused_permanent: permanent,
            unknown: sum(|second| second.unknown),
            connect_failures: 0,
        },
        first_refusal: "451 4.7.1 too many".to_owned(),
        mails_per_second: accepted as f64 / seconds as f64,
        latency_accepted_ms: Percentiles::default(),
        latency_ms: Percentiles {
            p50: 22.0 * slow,
            p90: 51.0 * slow,
            p99: 88.5 * slow,
            p999: 160.0 * slow,
            p9999: 255.0 * slow,
            max: 269.3 * slow,
        },
        latency_curve: curve.into_iter().zip(milliseconds.map(|ms| ms * slow)).collect(),
        series,
        replies: [("250", accepted), ("451 4.7.1", temporary), ("554 5.7.1", permanent)]
            .map(|(code, times)| (code.to_owned(), times))
            .into(),
        stages: [("session", 61.0), ("view", 22.4), ("scan", 148.0), ("deliver", 96.2)]
            .map(|(name, micros)| Stage { name: name.to_owned(), micros_per_mail: micros * slow })
            .to_vec(),
        conservation: Some(Conservation {
            sent: accepted + temporary + permanent,
            delivered: accepted,
            refused: temporary + permanent,
            ..Conservation::default()
        }),
        generator: Generator { cpu_ms_per_mail: 0.21, threads: 1, limited: None },
    }
}

/// The page as XML; whatever is not well-formed fails here.
fn parse(page: &str) -> roxmltree::Document<'_> {
    let options =
        roxmltree::ParsingOptions { allow_dtd: true, nodes_limit: 1 << 20, ..Default::default() };
    roxmltree::Document::parse_with_options(page, options)
        .unwrap_or_else(|error| panic!("{error}\n{page}"))
}

/// What must hold for every page, whatever was measured.
fn check_page(page: &str) {
    let document = parse(page);
    for node in document.descendants().filter(roxmltree::Node::is_element) {
        let name = node.tag_name().name();
        assert!(!["script", "link", "img", "iframe", "object", "use"].contains(&name), "<{name}>");
        for attribute in node.attributes() {
            assert!(!attribute.name().starts_with("on"), "{}", attribute.name());
            assert!(!["href", "src"].contains(&attribute.name()), "{}", attribute.name());
            if ["x", "y", "cx", "cy", "x1", "x2", "y1", "y2", "d", "width", "viewBox"]
                .contains(&attribute.name())
            {
                assert!(
                    !attribute.value().contains("NaN") && !attribute.value().contains("inf"),
                    "{}",
                    attribute.value()
                );
            }
        }
    }
    assert!(
        !page.contains("url(") && !page.contains("@import"),
        "the page asks for something else"
    );
    let shown: String = document.descendants().filter_map(|node| node.text()).collect();
    assert!(!shown.contains("NaN"), "{shown}");
}

/// Every place of a drawing lies within it.
fn check_places(page: &str) {
    for svg in parse(page)
        .descendants()
        .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "svg")))
    {
        let Some(frame) = svg.attribute("viewBox") else { continue };
        let frame: Vec<f64> = frame.split(' ').map(|number| number.parse().unwrap()).collect();
        for node in svg.descendants() {
            for (name, most) in
                [("cx", frame[2]), ("cy", frame[3]), ("x1", frame[2]), ("y1", frame[3])]
            {
                let Some(value) = node.attribute(name) else { continue };
                let value: f64 = value.parse().unwrap();
                assert!((0.0..=most).contains(&value), "{name} {value} beyond {most}");
            }
        }
    }
}

#[test]
fn a_page_is_well_formed_needs_nothing_else_and_shows_the_figures() {
    let page = html::page(&run(30, 1.0));
    check_page(&page);
    check_places(&page);
    for figure in [
        "send: closed loop, 16 sessions",
        "22.0",
        "88.5",
        "255",
        "451 4.7.1",
        "554 5.7.1",
        "148 µs",
        "AMD EPYC",
        "No mail was lost",
    ] {
        assert!(page.contains(figure), "no {figure}");
    }
    let document = parse(&page);
    let paths = document
        .descendants()
        .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "path")));
    assert!(paths.count() >= 20, "lines are drawn");
}

#[test]
fn runs_of_any_length_have_a_page_without_nonsense() {
    let mut nothing_measured = run(10, 1.0);
    nothing_measured.stages.clear();
    nothing_measured.latency_curve.clear();
    for second in &mut nothing_measured.series {
        *second = Second {
            at: second.at,
            sent: second.sent,
            accepted: second.accepted,
            ..Second::default()
        };
    }
    let mut nonsense = run(3, 1.0);
    nonsense.seconds = f64::NAN;
    nonsense.mails_per_second = f64::INFINITY;
    nonsense.latency_ms.p99 = f64::NAN;
    nonsense.latency_curve.push((f64::NAN, f64::NAN));
    nonsense.series.push(Second {
        at: f64::NAN,
        p99_ms: Some(f64::NAN),
        engine_cpu_ms: Some(f64::INFINITY),
        ..Second::default()
    });
    nonsense.stages.push(Stage { name: "none".to_owned(), micros_per_mail: f64::NAN });
    nonsense.generator.cpu_ms_per_mail = f64::NAN;
    for report in [
        RunReport::default(),
        run(1, 1.0),
        run(600, 1.0),
        run(20_000, 1.0),
        nothing_measured,
        nonsense,
    ] {
        let page = html::page(&report);
        check_page(&page);
        check_places(&page);
        assert!(page.len() < 400_000, "{} octets", page.len());
        let words = words::render(&report);
        assert!(!words.contains("NaN") && !words.contains("inf"), "{words}");
    }
}

#[test]
fn what_was_not_measured_is_said_and_not_drawn_as_zero() {
    let page = html::page(&RunReport::default());
    for words in [
        "No mail was answered",
        "Memory of the engine was not measured",
        "The engine did not tell its stages",
        "Nothing was refused",
    ] {
        assert!(page.contains(words), "no {words}");
    }
    assert!(words::render(&RunReport::default()).contains("not known: no mail was answered"));
    // A second without a measurement is a gap: the line begins anew after it.
    let page = html::page(&run(30, 1.0));
    let gaps = parse(&page)
        .descendants()
        .filter_map(|node| node.attribute("d").map(|d| d.matches('M').count()))
        .filter(|begins| *begins == 2)
        .count();
    assert_eq!(gaps, 4, "p50 and p99, wide and narrow");
}

#[test]
fn text_of_a_peer_is_text_on_the_page_and_harmless_on_a_terminal() {
    let evil = "550 <script>alert(1)</script> & \"'\u{1b}[2J]]>";
    let mut report = run(5, 1.0);
    report.title = evil.to_owned();
    report.first_refusal = evil.to_owned();
    report.replies.insert(evil.to_owned(), 4);
    report.stages.push(Stage { name: evil.to_owned(), micros_per_mail: 1.0 });
    report.machine.engine = Some(evil.to_owned());
    report.load.mix = evil.to_owned();
    report.command.push(evil.to_owned());
    report.generator.limited = Some(evil.to_owned());
    report.conservation.as_mut().unwrap().lost.push(evil.to_owned());
    for page in [html::page(&report), html::page_of_two(&report, &run(5, 1.0))] {
        check_page(&page);
        assert!(!page.contains("<script"), "a peer's text became an element");
        assert!(page.contains("550 &lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;&#39;"));
    }
    for text in [words::render(&report), compare::render(&report, &run(5, 1.0))] {
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    }
}

#[test]
fn a_run_that_the_generator_limited_or_that_lost_mail_says_so_everywhere() {
    let mut report = run(5, 1.0);
    report.generator.limited = Some("its thread was busy 99 % of the time".to_owned());
    let found = report.conservation.as_mut().unwrap();
    found.delivered -= 2;
    found.lost_count = 2;
    found.lost = vec!["1-17".to_owned(), "1-18".to_owned()];
    let (page, words) = (html::page(&report), words::render(&report));
    assert!(page.contains("2 accepted mails were lost") && page.contains("1-17 1-18"));
    assert!(
        page.contains("its thread was busy 99 % of the time") && !page.contains("No mail was lost")
    );
    assert!(words.contains("lost 2") && words.contains("LOST: 1-17 1-18"), "{words}");
    assert!(words.contains("LIMITED BY THE GENERATOR: its thread"), "{words}");
    report.conservation.as_mut().unwrap().lost_count = 0;
    assert!(html::page(&report).contains("does not add up"));
    assert!(words::render(&report).contains("DOES NOT ADD UP"));
}

#[test]
fn two_runs_stand_side_by_side_with_ratios_and_with_what_else_differs() {
    let (a, mut b) = (run(30, 1.0), run(40, 2.0));
    b.load.sessions = 32;
    let rows = compare::rows(&a, &b);
    let ratio = |name: &str| rows.iter().find(|row| row.name == name).unwrap().ratio.unwrap();
    assert!((ratio("latency p99") - 2.0).abs() < 1e-9);
    assert!((ratio("accepted") - b.mails_per_second / a.mails_per_second).abs() < 1e-9);
    assert_eq!(
        compare::differences(&a, &b),
        [("sessions".to_owned(), "16".to_owned(), "32".to_owned())]
    );
    let text = compare::render(&a, &b);
    assert!(text.contains("NOT THE SAME: sessions: 16 / 32"), "{text}");
    let page = html::page_of_two(&a, &b);
    check_page(&page);
    check_places(&page);
    assert!(page.contains("sessions: A 16; B 32"));
    assert!(
        page.contains("<td>latency p99, ms</td><td>88.5</td><td>177</td><td>2.00</td>"),
        "{page}"
    );
    // Nothing divided by nothing is no ratio, and it is not shown as one.
    let rows = compare::rows(&RunReport::default(), &RunReport::default());
    assert!(rows.iter().all(|row| row.ratio.is_none()));
    check_page(&html::page_of_two(&RunReport::default(), &b));
}

#[test]
fn a_saved_run_comes_back_as_it_was_and_an_older_one_lacks_only_what_it_lacked() {
    let report = run(3, 1.0);
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<RunReport>(&text).unwrap(), report);
    let older: RunReport =
        serde_json::from_str(r#"{"title":"old","totals":{"accepted":3}}"#).unwrap();
    assert_eq!((older.title.as_str(), older.totals.accepted, older.conservation), ("old", 3, None));
}

/// Runs `report` with these words; gives what it printed.
fn command(arguments: &[&str]) -> Result<String, String> {
    let clap = command::ReportArguments::augment_args(clap::Command::new("report"));
    let words = std::iter::once("report").chain(arguments.iter().copied());
    let matches = clap.try_get_matches_from(words).map_err(|error| error.to_string())?;
    let arguments = command::ReportArguments::from_arg_matches(&matches).unwrap();
    let mut out = Vec::new();
    command::run(&arguments, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn the_command_shows_one_run_or_two_and_names_a_file_that_is_none() {
    let dir = std::env::temp_dir().join(format!("sekisho-report-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = |name: &str| dir.join(name).display().to_string();
    let (a, b, page, broken) =
        (path("a.json"), path("b.json"), path("page.html"), path("broken.json"));
    std::fs::write(&a, serde_json::to_string(&run(3, 1.0)).unwrap()).unwrap();
    std::fs::write(&b, serde_json::to_string(&run(3, 2.0)).unwrap()).unwrap();
    std::fs::write(&broken, "{\"title\": 3}").unwrap();

    assert!(command(&[&a]).unwrap().contains("latency ms p50 22.0"));
    assert_eq!(command(&[&a, "--html", &page]).unwrap(), "");
    check_page(&std::fs::read_to_string(&page).unwrap());
    assert!(command(&[&a, &b, "--html", &page, "--text"]).unwrap().contains("B / A"));
    assert!(std::fs::read_to_string(&page).unwrap().contains("Two runs side by side"));
    let rows: serde_json::Value =
        serde_json::from_str(&command(&[&a, &b, "--json"]).unwrap()).unwrap();
    assert_eq!(rows[0]["name"], "accepted");

    let error = command(&[&broken]).unwrap_err();
    assert!(error.starts_with(&broken) && error.contains("invalid type: integer `3`"), "{error}");
    let error = command(&[&path("absent.json")]).unwrap_err();
    assert!(error.contains("absent.json: No such file"), "{error}");
    std::fs::remove_dir_all(&dir).unwrap();
}
