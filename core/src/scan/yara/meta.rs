//! What a match says, by the metadata of its rule.

use yara_x::{MetaValue, Rule};

use crate::scan::finding::{FindingKind, MilliPoints};

/// Before the name of each rule, as ClamAV has it: exceptions and `ign2` files name both the same.
const PREFIX: &str = "YARA.";
/// Points of a rule that is not about malware and says nothing of points, as in our own format.
const POINTS_DEFAULT: MilliPoints = 1_000;

/// Kind and weight of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Weight {
    pub(super) kind: FindingKind,
    pub(super) points: MilliPoints,
    pub(super) log_only: bool,
}

/// Name of the findings of a rule.
pub(super) fn name_of(rule: &str) -> String {
    format!("{PREFIX}{rule}")
}

/// What a rule weighs.
///
/// # Errors
/// A key of ours with a value that it cannot have, in words.
pub(super) fn weight(rule: &Rule<'_, '_>) -> Result<Weight, String> {
    let (mut kind, mut points, mut log_only) = (FindingKind::Malware, None, false);
    for (key, value) in rule.metadata() {
        match (key, value) {
            ("sekisho_kind", MetaValue::String(text)) => {
                let name = serde_json::Value::String(text.to_owned());
                kind = serde_json::from_value(name)
                    .map_err(|_| format!("sekisho_kind: unknown `{text}`"))?;
            }
            ("sekisho_points", value) => points = Some(milli(&value)?),
            ("sekisho_log_only", MetaValue::Bool(yes)) => log_only = yes,
            ("sekisho_kind", _) => return Err("sekisho_kind: expected a string".to_owned()),
            ("sekisho_log_only", _) => {
                return Err("sekisho_log_only: expected true or false".to_owned());
            }
            (other, _) if other.starts_with("sekisho_") => {
                let known = ["sekisho_kind", "sekisho_points", "sekisho_log_only"];
                let hint = crate::config::hint(other, known);
                return Err(format!("unknown metadata `{other}`{hint}"));
            }
            _ => {}
        }
    }
    let default = if kind.is_virus() { 0 } else { POINTS_DEFAULT };
    Ok(Weight { kind, points: points.unwrap_or(default), log_only })
}

/// Points in thousandths.
#[expect(clippy::cast_possible_truncation, reason = "checked to be within +-1,000,000")]
#[expect(clippy::cast_precision_loss, reason = "numbers that large are refused")]
fn milli(value: &MetaValue<'_>) -> Result<MilliPoints, String> {
    let number = match value {
        MetaValue::Integer(number) => *number as f64,
        MetaValue::Float(number) => *number,
        // YARA itself has no fractions here: files for both write them as text.
        MetaValue::String(text) => text.trim().parse().unwrap_or(f64::NAN),
        MetaValue::Bool(_) | MetaValue::Bytes(_) => f64::NAN,
    };
    if number.abs() <= 1000.0 {
        Ok((number * 1000.0).round() as MilliPoints)
    } else {
        Err("sekisho_points: expected a number from -1000 to 1000".to_owned())
    }
}
