//! A zone file that we answer from ourselves: for tests, and for networks without a DNS of their own. Pure.
//!
//! The format is that of RFC 1035 section 5 (hickory-proto reads it), names relative to the root unless `$ORIGIN`
//! says otherwise; several zones may stand in one file. What is below a SOA is ours, whether it exists or not; without
//! any SOA only the names that stand there are. Wildcards are those of RFC 4592, aliases are followed within the file.

mod server;
#[cfg(test)]
mod tests;

pub use server::{Beyond, ZoneServer};

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};
use hickory_proto::serialize::txt::Parser;

/// Records of one file: a mail system's own names, not the world's.
const RECORDS_MAX: usize = 1_000_000;
/// Aliases followed in one answer.
const ALIASES_MAX: usize = 8;
/// TTL of a "no" where no SOA gives one, in seconds.
const NO_FOR: u32 = 60;

/// The names of one file.
#[derive(Debug, Default)]
pub struct Zone {
    names: HashMap<LowerName, Vec<Record>, ahash::RandomState>,
    /// Names that exist only because others do below them (RFC 8020).
    between: HashSet<LowerName, ahash::RandomState>,
    /// SOA records, longest name first.
    apexes: Vec<Record>,
}

/// Why a file is no zone.
#[derive(Debug, thiserror::Error)]
pub enum ZoneError {
    /// It cannot be read as one.
    #[error("no zone file: {0}")]
    Form(String),
    /// It is too long.
    #[error("more than {RECORDS_MAX} records")]
    TooLong,
}

impl Zone {
    /// Reads the text of a zone file. `file`: where `$INCLUDE` is relative to; without it there is none.
    ///
    /// # Errors
    /// [`ZoneError`]
    pub fn parse(text: &str, file: Option<PathBuf>) -> Result<Self, ZoneError> {
        let parsed = Parser::new(text, file, Some(Name::root())).parse();
        let (_, sets) = parsed.map_err(|error| ZoneError::Form(error.to_string()))?;
        let mut zone = Self::default();
        let records = sets.values().flat_map(|set| set.records_without_rrsigs());
        for (count, record) in records.enumerate() {
            if count >= RECORDS_MAX {
                return Err(ZoneError::TooLong);
            }
            zone.add(record.clone());
        }
        Ok(zone)
    }

    /// The zone with these records more.
    #[must_use]
    pub fn with(mut self, records: Vec<Record>) -> Self {
        for record in records {
            self.add(record);
        }
        self
    }

    fn add(&mut self, record: Record) {
        if record.record_type() == RecordType::SOA {
            let labels = |soa: &Record| std::cmp::Reverse(soa.name.num_labels());
            let at = self.apexes.partition_point(|soa| labels(soa) <= labels(&record));
            self.apexes.insert(at, record.clone());
        }
        let owner = LowerName::new(&record.name);
        let mut above = owner.base_name();
        while !above.is_root() && self.between.insert(above.clone()) {
            above = above.base_name();
        }
        self.names.entry(owner).or_default().push(record);
    }

    /// The answer to a query; `None` if it is not for us to say.
    #[must_use]
    pub fn answer(&self, query: &Message) -> Option<Message> {
        let asked = query.queries.first()?;
        let mut message = respond(query);
        message.metadata.authoritative = true;
        let (mut name, mut code) = (LowerName::new(&asked.name), ResponseCode::NoError);
        for alias in 0..=ALIASES_MAX {
            let (records, owner) = match self.find(&name) {
                Found::Records(records) => (records, None),
                // A synthesised record has the name that was asked for (RFC 4592 section 3.3.1).
                Found::Wildcard(records) => (records, Some(Name::from(name.clone()))),
                Found::NoSuchName => {
                    code = ResponseCode::NXDomain;
                    break;
                }
                Found::NotOurs if alias == 0 => return None,
                Found::NotOurs => break,
            };
            let own = records.iter().map(|record| {
                let mut record = record.clone();
                if let Some(owner) = &owner {
                    record.name = owner.clone();
                }
                record
            });
            let (of_kind, others): (Vec<Record>, Vec<Record>) =
                own.partition(|record| wanted(asked, record.record_type()));
            if !of_kind.is_empty() {
                message.add_answers(of_kind);
                break;
            }
            let Some(record) = others.into_iter().find(|one| matches!(one.data, RData::CNAME(_)))
            else {
                break;
            };
            if let RData::CNAME(target) = &record.data {
                name = LowerName::new(&target.0);
            }
            message.add_answer(record);
        }
        message.metadata.response_code = code;
        if !message.answers.iter().any(|one| wanted(asked, one.record_type())) {
            message.add_authority(self.soa(&name));
        }
        Some(message)
    }

    fn find(&self, name: &LowerName) -> Found<'_> {
        if let Some(records) = self.names.get(name) {
            return Found::Records(records);
        }
        if self.between.contains(name) {
            return Found::Records(&[]);
        }
        // The closest name above that exists: its wildcard stands for all that is not there below it.
        let mut above = name.base_name();
        while !above.is_root() && !self.names.contains_key(&above) && !self.between.contains(&above)
        {
            above = above.base_name();
        }
        let wildcard = Name::from(above).prepend_label("*").ok().map(|name| LowerName::new(&name));
        if let Some(records) = wildcard.and_then(|wildcard| self.names.get(&wildcard)) {
            return Found::Wildcard(records);
        }
        match self.apexes.iter().any(|soa| LowerName::new(&soa.name).zone_of(name)) {
            true => Found::NoSuchName,
            false => Found::NotOurs,
        }
    }

    /// The SOA that a "no" about `name` carries.
    fn soa(&self, name: &LowerName) -> Record {
        let own = self.apexes.iter().find(|soa| LowerName::new(&soa.name).zone_of(name));
        own.cloned().unwrap_or_else(no_soa)
    }
}

/// Fuzz entry: any text is a zone file or none. Number of names.
pub fn fuzz_zone(text: &[u8]) -> usize {
    let Ok(zone) = Zone::parse(&String::from_utf8_lossy(text), None) else { return 0 };
    for name in zone.names.keys().take(20) {
        for kind in [RecordType::ANY, RecordType::A] {
            let mut query = Message::query();
            query.add_query(Query::query(Name::from(name.clone()), kind));
            if let Some(answer) = zone.answer(&query) {
                let _ = answer.to_vec();
            }
        }
    }
    zone.names.len()
}

/// Fuzz entry: any datagram is a question to a zone or none, and the answer can be written. 1 if it is one.
///
/// # Panics
/// When an answer cannot be read.
pub fn fuzz_question(datagram: &[u8]) -> usize {
    const ZONE: &str = "$ORIGIN example.\n$TTL 60\n@ IN SOA a b 1 2 3 4 5\n@ IN MX 1 a\n\
                        a IN CNAME b\nb IN CNAME a\n*.w IN A 192.0.2.1\n";
    let (Some(query), Ok(zone)) = (server::query(datagram), Zone::parse(ZONE, None)) else {
        return 0;
    };
    for answer in [zone.answer(&query), Some(no_such_name(&query))].into_iter().flatten() {
        if let Ok(octets) = answer.to_vec() {
            assert!(Message::from_vec(&octets).is_ok(), "an answer that cannot be read");
        }
    }
    1
}

/// What a zone knows of a name.
enum Found<'z> {
    Records(&'z [Record]),
    Wildcard(&'z [Record]),
    NoSuchName,
    NotOurs,
}

fn wanted(asked: &Query, kind: RecordType) -> bool {
    asked.query_type == RecordType::ANY || asked.query_type == kind
}

/// An empty answer to `query`: its id, its question, EDNS if it had it.
pub(super) fn respond(query: &Message) -> Message {
    let mut message = Message::response(query.metadata.id, query.metadata.op_code);
    message.metadata.recursion_desired = query.metadata.recursion_desired;
    message.metadata.recursion_available = true;
    message.add_queries(query.queries.iter().cloned());
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(super::dns::UDP_PAYLOAD).set_version(0);
        message.set_edns(edns);
    }
    message
}

/// That a name does not exist, said by nobody's SOA.
pub(super) fn no_such_name(query: &Message) -> Message {
    let mut message = respond(query);
    message.metadata.response_code = ResponseCode::NXDomain;
    message.add_authority(no_soa());
    message
}

fn no_soa() -> Record {
    use hickory_proto::rr::rdata::SOA;
    let root = Name::root();
    let soa = SOA::new(root.clone(), root.clone(), 1, 3600, 600, 86_400, NO_FOR);
    Record::from_rdata(root, NO_FOR, RData::SOA(soa))
}
