//! How a command ends: done (0), "no" (1), could not run (2).

use std::fmt;

/// The command ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Exit code 0.
    Done,
    /// Exit code 1: the check failed, nothing was found, the engine refused.
    No,
}

impl Outcome {
    /// Done if something is so, else "no".
    pub(crate) fn done_if(so: bool) -> Self {
        if so { Self::Done } else { Self::No }
    }
}

/// The command could not run: exit code 2, `sekisho: <what>: <why>`, then `try: <next step>`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    what: String,
    why: String,
    next: Option<String>,
}

impl Failure {
    /// What was to be done, and why it could not.
    pub(crate) fn new(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self { what: what.to_string(), why: why.to_string(), next: None }
    }

    /// The next step for the operator.
    pub(crate) fn next(mut self, step: impl fmt::Display) -> Self {
        self.next = Some(step.to_string());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sekisho: {}: {}", self.what, self.why)?;
        match &self.next {
            Some(step) => write!(f, "\ntry: {step}"),
            None => Ok(()),
        }
    }
}

/// What every command returns.
pub(crate) type Ran = Result<Outcome, Failure>;

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn a_failure_is_one_line_and_the_next_step_if_it_is_known() {
        let failure = Failure::new("queue list", "no engine answers");
        assert_eq!(failure.to_string(), "sekisho: queue list: no engine answers");
        assert_eq!(
            failure.next("sekisho run").to_string(),
            "sekisho: queue list: no engine answers\ntry: sekisho run"
        );
    }
}
