//! Who really sent a mail: SPF, DKIM, ARC, DMARC and the name of the client's address.
//!
//! It says what is so and never what shall happen: results become evidence in `verdict`. Everything that asks the DNS or
//! hashes a body runs on side threads ([`Authenticators`]); a shard waits with a deadline. **What the DNS does not answer is
//! temperror, never a refusal.** Bounds: `check::SIGNATURES_MAX` signatures of a message, RFC 7208's limits for SPF, 50 ARC
//! sets, one deadline for all of it, `REQUESTS_MAX` messages waiting (more get temperror at once).
//!
//! mail-auth does DKIM, ARC and DMARC (RFC 6376, 8617, 9989); SPF is our own (decision 0097).

mod check;
mod listed;
mod names;
mod octets;
mod result;
mod seal;
mod spf;
#[cfg(test)]
mod tests;
mod threads;

pub use check::{fuzz_record, fuzz_signed};
pub use listed::{Code, DnsList, DnsLists, Listed, ListedAs, SharedLists, Weight};
pub use names::{Answer, Names};
pub use result::{
    ArcCheck, ArcSealer, AuthResult, Authentication, DkimCheck, DmarcCheck, DmarcPolicy,
    ReverseCheck, SpfCheck,
};
pub use seal::{Sealer, Sealing, Unsealed, der};
pub use spf::{Identity, check as check_spf, fuzz_spf};
pub use threads::{
    Authenticators, Pending, PendingListed, PendingSeal, Settings, SpfChecks, Subject,
};
