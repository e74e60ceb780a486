//! Sent = delivered + held + refused + dropped + waiting, by a unique envelope id.
//!
//! The id is in a header field of the mail and in the local-part of its recipient
//! (`<word>-<id>@demo.test`): the hop's store shows the first, lists and logs show the second.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::gateway::Gateway;
use crate::hop::Hop;

/// What the client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// 2yz: the gateway answers for it.
    Taken,
    /// 4yz or 5yz: the client still has it.
    Refused,
    /// The connection broke: either may be true.
    Unknown,
}

/// Where every mail is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// How many were sent.
    pub sent: usize,
    /// Ids that the hop has, with how often.
    pub delivered: BTreeMap<String, usize>,
    /// Ids in quarantine.
    pub held: BTreeMap<String, usize>,
    /// Ids in the queue.
    pub waiting: usize,
    /// Refused to the client.
    pub refused: usize,
    /// Taken, and found nowhere.
    pub missing: Vec<String>,
    /// Refused, and delivered or held all the same.
    pub twice: Vec<String>,
}

/// Accounts for every mail once the queue is empty.
///
/// # Panics
/// The gateway does not answer.
#[must_use]
pub fn account(told: &BTreeMap<String, Told>, hop: &Hop, gateway: &Gateway) -> Account {
    let mut result = Account { sent: told.len(), ..Account::default() };
    for mail in hop.mails() {
        if let Some(id) = mail.envelope_id() {
            *result.delivered.entry(id).or_default() += 1;
        }
    }
    for item in gateway.sekisho_json(&["quarantine", "list", "--rows-max", "1000000"]) {
        if let Some(id) = recipient_id(&item) {
            *result.held.entry(id).or_default() += 1;
        }
    }
    result.waiting = usize::try_from(gateway.queued()).unwrap_or(usize::MAX);
    for (id, told) in told {
        let somewhere = result.delivered.contains_key(id) || result.held.contains_key(id);
        match told {
            Told::Taken if !somewhere => result.missing.push(id.clone()),
            Told::Refused => {
                result.refused += 1;
                if somewhere {
                    result.twice.push(id.clone());
                }
            }
            Told::Taken | Told::Unknown => {}
        }
    }
    result
}

/// The id in the recipient's local-part, `<word>-<id>@...`.
fn recipient_id(item: &Value) -> Option<String> {
    let to = item.get("to")?.as_str()?;
    let local = to.rsplit_once('@')?.0;
    Some(local.split_once('-')?.1.to_owned())
}
