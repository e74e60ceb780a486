//! Whether a stamp may go into the body of a mail that its author's domain has signed (`stamp.signed`).

use super::header::fields;
use super::{Rewriting, Sealer};
use crate::authn::AuthResult;
use crate::message;
use crate::policy::StampSigned;

/// Whether the body stays as it is for the sake of a signature.
pub(super) fn keeps_body(header: &[u8], job: &Rewriting<'_>) -> bool {
    let keeps = match (job.decision.stamp_signed, job.sealer) {
        (StampSigned::Stamp, _) | (StampSigned::StampAndSeal, Sealer::There) => false,
        (StampSigned::Header, _) | (StampSigned::StampAndSeal, Sealer::None) => true,
    };
    keeps && by_author(header, job)
}

/// Whether a signature holds that is of the author's domain or of one above or below it: what DMARC calls aligned, without
/// asking who has registered what. A domain that signs for a neighbour keeps its signature, too.
fn by_author(header: &[u8], job: &Rewriting<'_>) -> bool {
    let signers = job.authentication.dkim.iter();
    let mut signers = signers.filter(|check| check.result == AuthResult::Pass).peekable();
    if signers.peek().is_none() {
        return false;
    }
    let mut from = Vec::new();
    for field in fields(header).filter(|field| field.name.eq_ignore_ascii_case(b"From")) {
        from.extend_from_slice(field.octets);
    }
    let authors = message::authors(&from);
    let below = |one: &str, other: &str| {
        let rest = one.len().checked_sub(other.len()).and_then(|at| one.split_at_checked(at));
        rest.is_some_and(|(rest, end)| {
            end.eq_ignore_ascii_case(other) && (rest.is_empty() || rest.ends_with('.'))
        })
    };
    signers.any(|check| {
        authors.iter().any(|author| {
            below(&author.domain, &check.domain) || below(&check.domain, &author.domain)
        })
    })
}
