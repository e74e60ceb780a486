//! DNS lists of client addresses (RFC 5782): what each answer means is the operator's configuration, because every list has
//! codes of its own. A list that does not answer says nothing.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hickory_resolver::proto::rr::Name;

use super::names::{Answer, Names};

/// Points in thousandths.
pub type Weight = i32;

/// One list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsList {
    /// Its name in refusals and logs.
    pub name: Box<str>,
    /// The zone that is asked.
    pub zone: Box<str>,
    /// What its answers weigh; the first that fits. Answers that fit none weigh nothing: they say that we may not ask, or
    /// something that the operator has not heard of.
    pub codes: Vec<Code>,
}

/// A range of answers and what they weigh; less than 0 speaks for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// First answer.
    pub first: Ipv4Addr,
    /// Last answer.
    pub last: Ipv4Addr,
    /// Its weight.
    pub weight: Weight,
}

/// The lists, and from where on an address is bad or suspect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsLists {
    /// All of them.
    pub lists: Vec<DnsList>,
    /// The sum of weights from which the address is of class POSITIVE.
    pub positive: Weight,
    /// The same for SUSPECT.
    pub suspect: Weight,
}

impl DnsLists {
    /// The class of an address with this sum of weights.
    #[must_use]
    pub fn class(&self, weight: Weight) -> ListedAs {
        match weight {
            weight if self.positive > 0 && weight >= self.positive => ListedAs::Positive,
            weight if self.suspect > 0 && weight >= self.suspect => ListedAs::Suspect,
            _ => ListedAs::Normal,
        }
    }
}

/// Class of an address by the sum of what the lists say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListedAs {
    /// Nothing, or not enough.
    #[default]
    Normal,
    /// SUSPECT
    Suspect,
    /// POSITIVE
    Positive,
}

/// What the lists say of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The class.
    pub class: ListedAs,
    /// The list that weighs most, for the text of a refusal; empty if none has it.
    pub list: Box<str>,
    /// Sum of all weights.
    pub weight: Weight,
}

/// Asks all lists at the same time.
pub(super) async fn listed<N: Names>(names: &N, address: IpAddr, lists: &DnsLists) -> Listed {
    let Some(reversed) = reversed(address) else { return Listed::default() };
    let mut asked = Vec::with_capacity(lists.lists.len());
    for list in &lists.lists {
        let name = format!("{reversed}.{}", list.zone);
        asked.push(Box::pin(async move { (list, names.addresses(&name, true).await) }));
    }
    let mut found: Vec<(Weight, &DnsList)> = Vec::new();
    for (list, answer) in all(asked).await {
        if let Answer::Found(codes) = answer {
            let weights = codes.iter().filter_map(|code| list.weight(*code));
            found.extend(weights.max_by_key(|weight| weight.abs()).map(|weight| (weight, list)));
        }
    }
    let weight = found.iter().fold(0, |sum: Weight, (one, _)| sum.saturating_add(*one));
    let class = lists.class(weight);
    let most = found.iter().max_by_key(|(weight, _)| *weight).filter(|(weight, _)| *weight > 0);
    Listed { class, list: most.map_or("", |(_, list)| &list.name).into(), weight }
}

/// All of them, each as far as it is while the others wait.
async fn all<F: Future + Unpin>(futures: Vec<F>) -> Vec<F::Output> {
    let mut waiting: Vec<Option<F>> = futures.into_iter().map(Some).collect();
    let mut done: Vec<F::Output> = Vec::with_capacity(waiting.len());
    std::future::poll_fn(|context| {
        for slot in &mut waiting {
            let Some(future) = slot else { continue };
            if let std::task::Poll::Ready(output) = std::pin::Pin::new(future).poll(context) {
                done.push(output);
                *slot = None;
            }
        }
        match waiting.iter().all(Option::is_none) {
            true => std::task::Poll::Ready(std::mem::take(&mut done)),
            false => std::task::Poll::Pending,
        }
    })
    .await
}

/// RFC 5782 sections 2.1 and 2.4: the labels of the reverse tree, without its top.
fn reversed(address: IpAddr) -> Option<String> {
    let name = Name::from(address.to_canonical()).to_ascii();
    let top = [".in-addr.arpa.", ".ip6.arpa."].into_iter().find_map(|top| name.strip_suffix(top));
    top.map(ToOwned::to_owned)
}

impl DnsList {
    fn weight(&self, answer: IpAddr) -> Option<Weight> {
        let IpAddr::V4(answer) = answer else { return None };
        let fits = |code: &&Code| (code.first..=code.last).contains(&answer);
        self.codes.iter().find(fits).map(|code| code.weight)
    }
}

/// The lists as they are shared with the threads.
pub type SharedLists = Arc<DnsLists>;
