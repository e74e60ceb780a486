//! What became of each rule when the tables were built.

use serde::Serialize;

/// The report of one build.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BuildReport {
    /// Each rule, in the order of the sources.
    pub rules: Vec<RuleReport>,
    /// Lines with a word that is not taken from this kind of source: `file:line: word`.
    pub unknown_lines: Vec<String>,
    /// What the operator should know: metas with parts that are not taken, and alike.
    pub notes: Vec<String>,
}

/// One rule.
#[derive(Clone, Debug, Serialize)]
pub struct RuleReport {
    /// Its name.
    pub name: String,
    /// `file:line`.
    pub place: String,
    /// The text that it is matched against; empty for metas.
    pub field: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Measured on the built-in sample, in nanoseconds for each KiB; 0: not measured.
    pub cost_ns_per_kib: u32,
}

/// What became of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Literals only, or a test without an expression.
    Taken,
    /// Hyperscan runs the expression over each unit.
    TakenExpression,
    /// PCRE2 runs it over units that have one of its necessary literals.
    TakenGated,
    /// PCRE2 runs it over units in which a sieve saw its beginning.
    TakenSieved,
    /// Hyperscan prefilters, PCRE2 confirms.
    Confirmed,
    /// PCRE2 runs it over each unit: libhs cannot take it, and it is cheap.
    TakenPlain,
    /// Its score is 0: not run.
    ScoreZero,
    /// Cannot be run, and why.
    Refused(String),
    /// Not something that is taken from such a source (`eval:` and alike), and what it is.
    NotTaken(String),
}

impl BuildReport {
    /// Rules that are run, those confirmed after a prefilter among them.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.count(|outcome| {
            matches!(
                outcome,
                Outcome::Taken
                    | Outcome::TakenExpression
                    | Outcome::TakenGated
                    | Outcome::TakenSieved
                    | Outcome::TakenPlain
                    | Outcome::Confirmed
            )
        })
    }

    /// Rules whose outcome is `wanted`.
    #[must_use]
    pub fn count(&self, wanted: impl Fn(&Outcome) -> bool) -> usize {
        self.rules.iter().filter(|rule| wanted(&rule.outcome)).count()
    }
}
