//! Whether a stamp may go into the body of a mail that its author's domain has signed (`stamp.signed`).

use super::Sealer;
use super::header::fields;
use crate::authn::{AuthResult, DkimCheck};
use crate::message;
use crate::policy::StampSigned;

/// Whether the body stays as it is for the sake of a signature.
pub(super) fn keeps_body(
    header: &[u8],
    dkim: &[DkimCheck],
    (signed, sealer): (StampSigned, Sealer),
) -> bool {
    let keeps = match (signed, sealer) {
        (StampSigned::Stamp, _) | (StampSigned::StampAndSeal, Sealer::There) => false,
        (StampSigned::Header, _) | (StampSigned::StampAndSeal, Sealer::None) => true,
    };
    keeps && by_author(header, dkim)
}

/// Whether a signature holds that is of the author's domain or of one above or below it: what DMARC calls aligned, without
/// asking who has registered what. A domain that signs for a neighbour keeps its signature, too.
fn by_author(header: &[u8], dkim: &[DkimCheck]) -> bool {
    let mut signers = dkim.iter().filter(|check| check.result == AuthResult::Pass).peekable();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_signature_that_holds_and_is_of_the_author_keeps_the_body() {
        let header = b"From: A <a@mail.example.com>\r\n\r\n";
        let check = |domain: &str, result| DkimCheck {
            result,
            domain: domain.into(),
            ..DkimCheck::default()
        };
        for (domain, result, keeps) in [
            ("mail.example.com", AuthResult::Pass, true),
            ("EXAMPLE.com", AuthResult::Pass, true),
            ("news.mail.example.com", AuthResult::Pass, true),
            ("ample.com", AuthResult::Pass, false),
            ("esp.example.net", AuthResult::Pass, false),
            ("mail.example.com", AuthResult::Fail, false),
        ] {
            let dkim = [check(domain, result)];
            let kept = |setting| keeps_body(header, &dkim, setting);
            assert_eq!(kept((StampSigned::Header, Sealer::There)), keeps, "{domain} {result:?}");
            assert_eq!(kept((StampSigned::StampAndSeal, Sealer::None)), keeps, "{domain}");
            assert!(!kept((StampSigned::StampAndSeal, Sealer::There)));
            assert!(!kept((StampSigned::Stamp, Sealer::None)));
        }
        assert!(!keeps_body(header, &[], (StampSigned::Header, Sealer::None)));
    }
}
