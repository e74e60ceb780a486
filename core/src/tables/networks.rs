//! Client addresses: which lists know them.
//!
//! Prefixes nest or are apart, never half over each other. So one sweep over all lists, sorted, makes
//! ranges without overlap, each with the set of items that hold in it: of each list the most specific
//! prefix. A look-up is one search among starts, for IPv4 within the few that share the upper 16
//! bits. Neighbours with the same set are one range.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rkyv::{Archive, Serialize};
use smallvec::SmallVec;

use super::{NetworkClass, NetworkHit};

/// The table. `sets` names items, `items` name a list and a text.
#[derive(Debug, Default, Archive, Serialize)]
pub(super) struct NetworksTable {
    v4_starts: Vec<u32>,
    v4_sets: Vec<u32>,
    /// For each value of the upper 16 bits the first range that starts at or after it; one more at
    /// the end.
    v4_index: Vec<u32>,
    v6_starts: Vec<u128>,
    v6_sets: Vec<u32>,
    set_starts: Vec<u32>,
    set_items: Vec<u32>,
    items: Vec<Item>,
    texts: Vec<String>,
    lists: Vec<NetworkList>,
    prefixes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Archive, Serialize)]
struct Item {
    list: u32,
    code: u32,
    text: u32,
}

#[derive(Debug, Archive, Serialize)]
struct NetworkList {
    name: String,
    class: u8,
}

const fn class_code(class: NetworkClass) -> u8 {
    match class {
        NetworkClass::Allow => 0,
        NetworkClass::Deny => 1,
        NetworkClass::Positive => 2,
        NetworkClass::Suspect => 3,
    }
}

/// An item of no list: the prefix is taken out of its list.
const EXCLUDED: u32 = u32::MAX;

/// One prefix, with the list it is of even where it is excluded.
#[derive(Clone, Copy)]
struct Range<A> {
    start: A,
    end: A,
    list: u32,
    item: u32,
}

/// An address as a number: IPv4 and IPv6.
trait Number: Copy + Ord {
    fn next(self) -> Option<Self>;
}

impl Number for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Number for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

/// Collects prefixes; memory 16 octets each for IPv4, 48 for IPv6.
#[derive(Default)]
pub(super) struct NetworksBuilder {
    v4: Vec<Range<u32>>,
    v6: Vec<Range<u128>>,
    items: Vec<Item>,
    item_numbers: HashMap<Item, u32>,
    texts: Vec<String>,
    text_numbers: HashMap<String, u32>,
    lists: Vec<NetworkList>,
}

impl NetworksBuilder {
    pub(super) fn len(&self) -> u64 {
        self.v4.len() as u64 + self.v6.len() as u64
    }

    /// The number of a list; the same name with the same class is the same list.
    pub(super) fn list(&mut self, name: &str, class: NetworkClass) -> u32 {
        let class = class_code(class);
        let known = self.lists.iter().position(|list| list.name == name && list.class == class);
        let number = known.unwrap_or_else(|| {
            self.lists.push(NetworkList { name: name.to_owned(), class });
            self.lists.len() - 1
        });
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    /// Adds a prefix to a list with A record and text, or takes it out of the list's wider prefixes
    /// (none). A later one replaces an equal earlier one.
    pub(super) fn push(&mut self, list: u32, net: IpNet, value: Option<(Ipv4Addr, &str)>) {
        let item = value.map_or(EXCLUDED, |(code, text)| {
            let text = self.text(text);
            self.item(Item { list, code: code.to_bits(), text })
        });
        match net {
            IpNet::V4(net) => self.v4.push(Range {
                start: net.network().to_bits(),
                end: net.broadcast().to_bits(),
                list,
                item,
            }),
            IpNet::V6(net) => self.v6.push(Range {
                start: net.network().to_bits(),
                end: net.broadcast().to_bits(),
                list,
                item,
            }),
        }
    }

    fn text(&mut self, text: &str) -> u32 {
        if let Some(number) = self.text_numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(0);
        self.texts.push(text.to_owned());
        self.text_numbers.insert(text.to_owned(), number);
        number
    }

    fn item(&mut self, item: Item) -> u32 {
        let items = &mut self.items;
        *self.item_numbers.entry(item).or_insert_with(|| {
            items.push(item);
            u32::try_from(items.len() - 1).unwrap_or(EXCLUDED)
        })
    }

    pub(super) fn finish(self) -> NetworksTable {
        let prefixes = self.len();
        let mut sets = Sets::new();
        let (v4_starts, v4_sets) = sweep(self.v4, &mut sets, &self.items);
        let (v6_starts, v6_sets) = sweep(self.v6, &mut sets, &self.items);
        let index_of = |upper: u32| {
            let start = v4_starts.partition_point(|start| (*start >> 16) < upper);
            u32::try_from(start).unwrap_or(u32::MAX)
        };
        let v4_index = (0..=0x1_0000).map(index_of).collect();
        NetworksTable {
            v4_index,
            v4_starts,
            v4_sets,
            v6_starts,
            v6_sets,
            set_starts: sets.starts,
            set_items: sets.items,
            items: self.items,
            texts: self.texts,
            lists: self.lists,
            prefixes,
        }
    }
}

/// Sets of items, each once. Set 0 is empty; set n is `items[starts[n]..starts[n + 1]]`.
struct Sets {
    starts: Vec<u32>,
    items: Vec<u32>,
    numbers: HashMap<Vec<u32>, u32>,
    steps: HashMap<(u32, u32, u32), u32>,
}

impl Sets {
    fn new() -> Self {
        Self {
            starts: vec![0, 0],
            items: Vec::new(),
            numbers: HashMap::from([(Vec::new(), 0)]),
            steps: HashMap::new(),
        }
    }

    fn get(&self, set: u32) -> &[u32] {
        let bound = |at: usize| self.starts.get(at).map_or(0, |start| *start as usize);
        self.items.get(bound(set as usize)..bound(set as usize + 1)).unwrap_or_default()
    }

    /// `set` with what it has of `list` replaced by `item`.
    fn step(&mut self, set: u32, list: u32, item: u32, all: &[Item]) -> u32 {
        if let Some(number) = self.steps.get(&(set, list, item)) {
            return *number;
        }
        let of_list = |item: &u32| all.get(*item as usize).is_some_and(|item| item.list == list);
        let mut next: Vec<u32> =
            self.get(set).iter().copied().filter(|item| !of_list(item)).collect();
        if item != EXCLUDED {
            next.push(item);
            next.sort_unstable();
        }
        let number = match self.numbers.get(&next) {
            Some(number) => *number,
            None => {
                self.items.extend_from_slice(&next);
                self.starts.push(u32::try_from(self.items.len()).unwrap_or(u32::MAX));
                let number = u32::try_from(self.starts.len() - 2).unwrap_or(0);
                self.numbers.insert(next, number);
                number
            }
        };
        self.steps.insert((set, list, item), number);
        number
    }
}

/// Starts of ranges and the set that holds from there on.
fn sweep<A: Number>(
    mut ranges: Vec<Range<A>>,
    sets: &mut Sets,
    items: &[Item],
) -> (Vec<A>, Vec<u32>) {
    // Wider ones first, and a stable sort: a later line wins over an equal earlier one.
    ranges.sort_by(|left, right| left.start.cmp(&right.start).then(right.end.cmp(&left.end)));
    let mut starts: Vec<A> = Vec::new();
    let mut held: Vec<u32> = Vec::new();
    let mut open: Vec<(A, u32)> = Vec::new();
    let mut emit = |at: A, set: u32| {
        if starts.last() == Some(&at) {
            starts.pop();
            held.pop();
        }
        if held.last().copied().unwrap_or(0) != set {
            starts.push(at);
            held.push(set);
        }
    };
    let close = |open: &mut Vec<(A, u32)>, emit: &mut dyn FnMut(A, u32)| {
        if let Some((end, _)) = open.pop()
            && let Some(after) = end.next()
        {
            emit(after, open.last().map_or(0, |(_, set)| *set));
        }
    };
    for range in ranges {
        while open.last().is_some_and(|(end, _)| *end < range.start) {
            close(&mut open, &mut emit);
        }
        let below = open.last().map_or(0, |(_, set)| *set);
        let set = sets.step(below, range.list, range.item, items);
        open.push((range.end, set));
        emit(range.start, set);
    }
    while !open.is_empty() {
        close(&mut open, &mut emit);
    }
    (starts, held)
}

impl ArchivedNetworksTable {
    /// Number of prefixes it was made of.
    pub(super) fn prefixes(&self) -> u64 {
        self.prefixes.to_native()
    }

    fn set_of(&self, address: IpAddr) -> u32 {
        match address.to_canonical() {
            IpAddr::V4(address) => self.set_of_v4(address),
            IpAddr::V6(address) => self.set_of_v6(address),
        }
    }

    fn set_of_v4(&self, address: Ipv4Addr) -> u32 {
        let wanted = address.to_bits();
        let upper = (wanted >> 16) as usize;
        let bound = |at: usize| self.v4_index.get(at).map_or(0, |bound| bound.to_native() as usize);
        let (from, to) = (bound(upper), bound(upper + 1));
        let within = self.v4_starts.as_slice().get(from..to).unwrap_or_default();
        let after = from + within.partition_point(|start| start.to_native() <= wanted);
        after.checked_sub(1).and_then(|at| self.v4_sets.get(at)).map_or(0, |set| set.to_native())
    }

    fn set_of_v6(&self, address: Ipv6Addr) -> u32 {
        let wanted = address.to_bits();
        let after = self.v6_starts.partition_point(|start| start.to_native() <= wanted);
        after.checked_sub(1).and_then(|at| self.v6_sets.get(at)).map_or(0, |set| set.to_native())
    }

    /// Every list that knows the address.
    pub(super) fn find(&self, address: IpAddr) -> SmallVec<[NetworkHit<'_>; 2]> {
        let set = self.set_of(address) as usize;
        let bound =
            |at: usize| self.set_starts.get(at).map_or(0, |bound| bound.to_native() as usize);
        let items = self.set_items.as_slice().get(bound(set)..bound(set + 1)).unwrap_or_default();
        items.iter().filter_map(|item| self.hit(item.to_native(), address)).collect()
    }

    fn hit(&self, item: u32, address: IpAddr) -> Option<NetworkHit<'_>> {
        let item = self.items.get(item as usize)?;
        let list = self.lists.get(item.list.to_native() as usize)?;
        let text = self.texts.get(item.text.to_native() as usize)?.as_str();
        Some(NetworkHit {
            class: match list.class {
                0 => NetworkClass::Allow,
                1 => NetworkClass::Deny,
                2 => NetworkClass::Positive,
                3 => NetworkClass::Suspect,
                _ => return None,
            },
            list: list.name.as_str(),
            code: Ipv4Addr::from_bits(item.code.to_native()),
            // rbldnsd: `$` in a text stands for the address that was asked for.
            text: if text.contains('$') {
                Cow::Owned(text.replace('$', &address.to_canonical().to_string()))
            } else {
                Cow::Borrowed(text)
            },
        })
    }
}
