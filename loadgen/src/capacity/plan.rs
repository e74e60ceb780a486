//! The standard plan: rows in their order, each with one more part than its base.

use std::time::Duration;

use super::CapacityOptions;

/// How long and how thoroughly a row is measured.
#[derive(Clone, Debug)]
pub struct Depth {
    /// What the sheet calls it.
    pub name: &'static str,
    /// Time of the closed loop.
    pub closed: Duration,
    /// Mails of the closed loop at most.
    pub mails_max: u64,
    /// Time of a step of the ramp; none: neither knee nor latency is looked for.
    pub step: Option<Duration>,
    /// Steps at most.
    pub steps: usize,
    /// The knee is known when best and worst rate are so close.
    pub precision: f64,
    /// Time of the open loop.
    pub open: Duration,
    /// Rows that only the whole plan has.
    pub all_rows: bool,
}

impl Depth {
    /// The whole plan.
    #[must_use]
    pub fn whole() -> Self {
        Self {
            name: "whole",
            closed: Duration::from_secs(15),
            mails_max: 100_000,
            step: Some(Duration::from_secs(5)),
            steps: 10,
            precision: 0.05,
            open: Duration::from_secs(30),
            all_rows: true,
        }
    }

    /// Five minutes and a half with `SpamAssassin`'s rules, which are compiled for half a minute, three times.
    #[must_use]
    pub fn quick() -> Self {
        Self {
            name: "quick",
            closed: Duration::from_secs(3),
            mails_max: 20_000,
            step: Some(Duration::from_millis(1000)),
            steps: 5,
            precision: 0.1,
            open: Duration::from_secs(3),
            all_rows: false,
        }
    }

    /// CPU by stage and conservation only.
    #[must_use]
    pub fn budget() -> Self {
        Self {
            name: "budget",
            closed: Duration::from_secs(10),
            mails_max: 20_000,
            step: None,
            ..Self::quick()
        }
    }
}

/// Which rules an engine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rules {
    /// None: it only relays.
    Without,
    /// The starter rules of this release.
    Starter,
    /// Those, and `SpamAssassin`'s.
    SpamAssassin,
    /// Those, and 20,000 literals.
    All,
    /// Those, and one that every mail matches; such mail is held.
    Hold,
}

/// One row.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its name, unlike all others.
    pub name: &'static str,
    /// The row that it adds something to.
    pub base: Option<&'static str>,
    /// What it is, or adds.
    pub what: &'static str,
    /// A named mix.
    pub mix: &'static str,
    /// Rules; none: no engine at all.
    pub rules: Option<Rules>,
    /// `through` or `spool`.
    pub mode: Option<&'static str>,
    /// Left out of the quick plan.
    whole_only: bool,
}

const RELAY: &str = "relay";
const STARTER: &str = "starter rules";
const SPAMASSASSIN: &str = "SpamAssassin";
const LITERALS: &str = "literals";
const REAL: &str = "real mix, relay";

/// The rows that these options ask for.
#[must_use]
pub fn rows(options: &CapacityOptions) -> Vec<Part> {
    let has_spamassassin = options.spamassassin.is_some();
    let before_literals = if has_spamassassin { SPAMASSASSIN } else { STARTER };
    let row = |name, base, what, rules| Part {
        name,
        base,
        what,
        mix: "sizes",
        rules,
        mode: rules.map(|_| "through"),
        whole_only: false,
    };
    let of = |name, mix, rules, base| Part {
        mix,
        whole_only: true,
        ..row(name, base, "the same with another mix", Some(rules))
    };
    let spool =
        |name, base, what, rules| Part { mode: Some("spool"), ..row(name, base, what, rules) };
    let (none, starter, all) = (Some(Rules::Without), Some(Rules::Starter), Some(Rules::All));
    let mut plan = vec![
        row("no engine", None, "generator and sink alone: the limit of this sheet", None),
        row(RELAY, None, "accept, look at the structure, give to the next hop", none),
        row(STARTER, Some(RELAY), "rules of this release", starter),
    ];
    if has_spamassassin {
        let what = "rules of SpamAssassin";
        plan.push(row(SPAMASSASSIN, Some(STARTER), what, Some(Rules::SpamAssassin)));
    }
    plan.extend([
        row(LITERALS, Some(before_literals), "20,000 literals as signatures", all),
        Part {
            mix: "real",
            ..row(REAL, None, "zip, Office, PDF, Japanese, DKIM; a worker reads them", none)
        },
        Part {
            mix: "real",
            ..row("real mix, all rules", Some(REAL), "all rules, on what the worker found too", all)
        },
        row(
            "hold",
            Some(LITERALS),
            "every mail held in quarantine, durable before 250",
            Some(Rules::Hold),
        ),
        spool("spool", Some(RELAY), "durable (fdatasync) before 250, delivered afterwards", none),
        Part {
            whole_only: true,
            ..spool("spool, all rules", Some("spool"), "all rules, durable before 250", all)
        },
        of("classes, relay", "classes", Rules::Without, None),
        of("classes, all rules", "classes", Rules::All, Some("classes, relay")),
        of("mean15, relay", "mean15", Rules::Without, None),
        of("mean15, all rules", "mean15", Rules::All, Some("mean15, relay")),
        of("trap, relay", "trap", Rules::Without, None),
        of("trap, all rules", "trap", Rules::All, Some("trap, relay")),
    ]);
    plan.retain(|part| options.depth.all_rows || !part.whole_only);
    if !options.only.is_empty() {
        plan.retain(|part| options.only.iter().any(|name| part.name.starts_with(name.as_str())));
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn options(depth: Depth, spamassassin: bool) -> CapacityOptions {
        CapacityOptions {
            programs: "p".into(),
            scratch: "s".into(),
            engine_cores: vec![0],
            generator_cores: vec![1],
            spamassassin: spamassassin.then(|| "d".into()),
            depth,
            only: Vec::new(),
            seed: 1,
            progress: false,
        }
    }

    #[test]
    fn every_row_has_a_name_of_its_own_and_a_base_before_it() {
        for depth in [Depth::whole(), Depth::quick(), Depth::budget()] {
            for spamassassin in [true, false] {
                let plan = rows(&options(depth.clone(), spamassassin));
                let mut names = BTreeSet::new();
                for part in &plan {
                    if let Some(base) = part.base {
                        assert!(names.contains(base), "{} before {base}", part.name);
                    }
                    assert!(names.insert(part.name), "{} twice", part.name);
                    assert_eq!(part.rules.is_some(), part.mode.is_some());
                }
                let mixes: BTreeSet<_> = plan.iter().map(|part| part.mix).collect();
                assert_eq!(mixes.len(), if depth.all_rows { 5 } else { 2 });
            }
        }
    }

    #[test]
    fn rows_are_chosen_by_the_beginning_of_their_names() {
        let mut options = options(Depth::whole(), false);
        options.only = vec!["relay".to_owned(), "spool".to_owned()];
        let names: Vec<_> = rows(&options).iter().map(|part| part.name).collect();
        assert_eq!(names, ["relay", "spool", "spool, all rules"]);
    }
}
