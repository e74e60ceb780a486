//! The payload: magic, length of the plan, the plan (JSON), the databases.
//!
//! JSON because a plan that is damaged or of another version must be an error and never undefined;
//! it is read once for each generation (some milliseconds).

use serde::{Deserialize, Serialize};

use super::distance::Distance;
use super::error::OpenError;
use super::rule::{Field, Rule, RuleIndex};
use super::sieve::Sieved;

const MAGIC: &[u8; 8] = b"SKPATT01";

/// Where a database lies behind the plan.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Blob {
    pub(super) offset: usize,
    pub(super) bytes: usize,
}

/// A database of expressions.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct ExpressionBlob {
    pub(super) blob: Blob,
    /// Runs over many units at once, LF between them: a hit says from which unit on PCRE2 is to
    /// look. Else it runs over each unit by itself and its hit is a hit.
    pub(super) joined: bool,
}

/// What follows when a literal is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum OnLiteral {
    /// The rule hits.
    Hit(RuleIndex),
    /// PCRE2 looks at the unit.
    Confirm(RuleIndex),
    /// PCRE2 looks at the places from which the literal is that far.
    Near(RuleIndex, Distance),
}

impl OnLiteral {
    pub(super) fn rule(self) -> RuleIndex {
        match self {
            Self::Hit(rule) | Self::Confirm(rule) | Self::Near(rule, _) => rule,
        }
    }
}

/// An expression in a database, by its id there.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct InDatabase {
    pub(super) rule: RuleIndex,
    /// libhs only prefilters it, or all matches are to be counted.
    pub(super) confirm: bool,
}

/// All that runs on one field.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FieldPlan {
    pub(super) field: Field,
    pub(super) literal_blob: Option<Blob>,
    /// Literals that `grams` looks for: id and length, four octets each, and the literal.
    #[serde(default)]
    pub(super) gram_blob: Option<Blob>,
    /// By id of the literal.
    pub(super) literals: Vec<Vec<OnLiteral>>,
    /// Octets of each literal, by its id.
    pub(super) literal_bytes: Vec<u32>,
    /// Some databases instead of one: the time to compile one grows faster than what is in it.
    pub(super) expression_blobs: Vec<ExpressionBlob>,
    /// By id of the expression, over all of them.
    pub(super) expressions: Vec<InDatabase>,
    /// PCRE2 looks at units that a sieve lets through. A payload of before there were any has no such
    /// field: it is for another platform (see there) and asks for a rebuild.
    #[serde(default)]
    pub(super) sieved: Vec<Sieved>,
    /// PCRE2 looks at units that a lazy automaton lets through.
    #[serde(default)]
    pub(super) lazy: Vec<RuleIndex>,
    /// By rule: sets of strings; a unit that lacks all of one set cannot match.
    #[serde(default)]
    pub(super) also: Vec<(RuleIndex, Vec<Vec<Vec<u8>>>)>,
    /// PCRE2 looks at every unit.
    pub(super) plain: Vec<RuleIndex>,
    /// Rules whose expression matches a message that does not have the field.
    pub(super) unset: Vec<RuleIndex>,
    /// Rules whose expression matches an empty unit.
    pub(super) empty: Vec<RuleIndex>,
}

/// Everything but the databases.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) platform: String,
    pub(super) rules: Vec<Rule>,
    pub(super) fields: Vec<FieldPlan>,
    /// Rules that are evaluated after all fields, each after those that it is made of.
    pub(super) metas: Vec<RuleIndex>,
    /// Rules that are evaluated after each body part.
    pub(super) part_metas: Vec<RuleIndex>,
    /// Rules that test if a field is there.
    pub(super) exists: Vec<RuleIndex>,
    /// Rules that hit when nothing matches.
    pub(super) negated: Vec<RuleIndex>,
}

/// Writes a payload.
pub(super) fn write(plan: &Plan, blobs: &[u8]) -> Result<Vec<u8>, String> {
    let text = serde_json::to_vec(plan).map_err(|error| error.to_string())?;
    let mut out = Vec::with_capacity(16 + text.len() + blobs.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(&text);
    out.extend_from_slice(blobs);
    Ok(out)
}

/// Reads a payload: the plan, with every rule index in it checked, and the octets of all databases.
pub(super) fn read(payload: &[u8]) -> Result<(Plan, &[u8]), OpenError> {
    let damaged = |text: &str| OpenError::Damaged(text.to_owned());
    let rest = payload.strip_prefix(MAGIC).ok_or_else(|| damaged("no magic SKPATT01"))?;
    let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(|| damaged("too short"))?;
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let text = rest.get(..length).ok_or_else(|| damaged("plan is longer than the payload"))?;
    let blobs = rest.get(length..).unwrap_or_default();
    let plan: Plan =
        serde_json::from_slice(text).map_err(|error| OpenError::Damaged(error.to_string()))?;
    let count = u32::try_from(plan.rules.len()).map_err(|_| damaged("too many rules"))?;
    let named = plan.fields.iter().flat_map(|field| {
        let literals = field.literals.iter().flatten().map(|target| target.rule());
        let expressions = field.expressions.iter().map(|expression| expression.rule);
        literals
            .chain(expressions)
            .chain(field.sieved.iter().map(|sieved| sieved.rule))
            .chain(field.lazy.iter().copied())
            .chain(field.plain.iter().copied())
            .chain(field.unset.iter().chain(&field.empty).copied())
    });
    let lists = [&plan.metas, &plan.part_metas, &plan.exists, &plan.negated];
    let beyond = named.chain(lists.into_iter().flatten().copied()).find(|rule| *rule >= count);
    if let Some(rule) = beyond {
        return Err(OpenError::Damaged(format!("rule {rule} of {count}")));
    }
    Ok((plan, blobs))
}

/// The octets of a database.
pub(super) fn blob(blobs: &[u8], blob: Blob) -> Result<&[u8], OpenError> {
    let end = blob.offset.checked_add(blob.bytes);
    end.and_then(|end| blobs.get(blob.offset..end))
        .ok_or_else(|| OpenError::Damaged("database lies outside the payload".into()))
}
