//! PCRE2 with bounds.

use pcre2::bytes::{Regex, RegexBuilder};

use super::rule::Pattern;

/// Steps of one match; some milliseconds at worst.
const STEPS_MAX: u32 = 200_000;
/// Octets of stack that compiled code may use in one match.
const STACK_BYTES_MAX: usize = 256 * 1024;

/// A bound was reached: it is not known if the expression matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LimitReached;

/// An expression ready to run.
#[derive(Debug)]
pub(super) struct Confirm(Regex);

impl Confirm {
    /// Compiles `pattern`, or says why PCRE2 does not take it.
    pub(super) fn new(pattern: &Pattern) -> Result<Self, String> {
        // Bounds go in front of the expression; the line end is LF whatever the library was built
        // with, as libhs has it.
        let text = format!("(*LIMIT_MATCH={STEPS_MAX})(*LF){}", pattern.text);
        RegexBuilder::new()
            .caseless(pattern.caseless)
            .multi_line(pattern.multiline)
            .dotall(pattern.dotall)
            .extended(pattern.extended)
            .utf(pattern.utf)
            .ucp(pattern.utf)
            .jit_if_available(true)
            .max_jit_stack_size(Some(STACK_BYTES_MAX))
            .build(&text)
            .map(Self)
            .map_err(|error| error.to_string())
    }

    /// If it matches anywhere in `unit`.
    pub(super) fn matches(&self, unit: &[u8]) -> Result<bool, LimitReached> {
        // Any failure of a match is a bound of one kind or another (steps, depth, stack, heap).
        self.0.is_match(unit).map_err(|_| LimitReached)
    }

    /// How often it matches in `unit`, at most `most` times.
    pub(super) fn count(&self, unit: &[u8], most: u32) -> Result<u32, LimitReached> {
        let mut count = 0;
        for found in self.0.find_iter(unit) {
            found.map_err(|_| LimitReached)?;
            count += 1;
            if count >= most {
                break;
            }
        }
        Ok(count)
    }
}
