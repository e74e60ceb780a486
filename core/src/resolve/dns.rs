//! A stub client: asks recursive servers over UDP, and over TCP where the answer was cut off.
//!
//! Blocking, for side threads. The wire format is hickory-proto's alone. Everybody may send us
//! datagrams, so an answer counts only if it comes from the server that was asked (a connected
//! socket, on a port that the kernel draws), carries the drawn id and repeats the question; what
//! does not is skipped, `DATAGRAMS_MAX` of it at most, and never ends the wait for the real one.
//! Bounds: one deadline for a look-up with all its servers, attempts and aliases; answers of at most
//! 64 KiB (the format's own bound); `ALIASES_MAX` CNAMEs.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use hickory_proto::op::{Edns, Header, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder};

use super::{ResolveError, servers};
use crate::clock::MonoMillis;

/// One look-up with everything that belongs to it.
const LOOK_UP_MAX: Duration = Duration::from_secs(10);
/// Datagrams looked at for one query: a guesser has that many tries, not as many as fit into the time.
const DATAGRAMS_MAX: usize = 64;
/// Aliases followed for one name.
const ALIASES_MAX: usize = 8;
/// What we can take by UDP without fragments on the way (DNS flag day 2020).
pub(super) const UDP_PAYLOAD: u16 = 1_232;
/// Longest time that a "no" is believed (RFC 2308 section 5), and what it is without a SOA.
const NO_FOR_MAX: u32 = 3_600;
const NO_FOR: u32 = 60;

/// Whom to ask, and how patiently. `[dns]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// Recursive servers in the order of asking; empty: those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// For one answer of one server.
    pub timeout: Duration,
    /// How often each server is asked, at least 1.
    pub attempts: u8,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self { servers: Vec::new(), timeout: Duration::from_secs(2), attempts: 2 }
    }
}

impl DnsSettings {
    /// Whom to ask now: the servers that are named, else the system's.
    #[must_use]
    pub fn servers_now(&self) -> Vec<SocketAddr> {
        match &*self.servers {
            [] => servers::system(),
            servers => servers.to_vec(),
        }
    }
}

/// The client. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DnsClient {
    settings: DnsSettings,
    clock: fn() -> MonoMillis,
}

/// What a name has of one type.
#[derive(Debug)]
pub(super) struct Records {
    /// The data; empty: the name has none of this type.
    pub data: Vec<RData>,
    /// The name does not exist at all.
    pub no_such_name: bool,
    /// For how long this is good.
    pub ttl: Duration,
}

/// One question with its time.
struct Question<'q> {
    query: &'q Query,
    edns: bool,
    wait: Duration,
}

impl DnsClient {
    /// A client. `clock` reads the monotonic clock: side threads have no event that carries the time.
    #[must_use]
    pub fn new(settings: DnsSettings, clock: fn() -> MonoMillis) -> Self {
        Self { settings, clock }
    }

    /// The answer to one question, whatever it is.
    ///
    /// # Errors
    /// No server gave a usable one.
    pub(super) fn relay(&self, query: &Query) -> Result<Message, ResolveError> {
        self.ask(&query.name, query.query_type, self.deadline())
    }

    /// When a look-up that begins now has to be over.
    pub(super) fn deadline(&self) -> MonoMillis {
        (self.clock)().plus(LOOK_UP_MAX)
    }

    /// The records of one type, behind all aliases.
    ///
    /// # Errors
    /// No server gave a usable answer, or aliases go on and on.
    pub(super) fn records(
        &self,
        name: &Name,
        kind: RecordType,
        deadline: MonoMillis,
    ) -> Result<Records, ResolveError> {
        let (mut name, mut ttl) = (name.clone(), u32::MAX);
        let mut aliases = 0;
        loop {
            let message = self.ask(&name, kind, deadline)?;
            let asked = aliases;
            loop {
                let own = || message.answers.iter().filter(|one| is_of(one, &name));
                let found: Vec<&Record> = own().filter(|r| r.record_type() == kind).collect();
                if !found.is_empty() {
                    let ttl = found.iter().fold(ttl, |ttl, record| ttl.min(record.ttl));
                    let data = found.into_iter().map(|record| record.data.clone()).collect();
                    return Ok(Records { data, no_such_name: false, ttl: seconds(ttl) });
                }
                let alias = own().find_map(|record| match &record.data {
                    RData::CNAME(target) => Some((target.0.clone(), record.ttl)),
                    _ => None,
                });
                let Some((target, alias_ttl)) = alias else { break };
                aliases += 1;
                if aliases > ALIASES_MAX {
                    return Err(ResolveError::Failed);
                }
                (name, ttl) = (target, ttl.min(alias_ttl));
            }
            let no_such_name = message.metadata.response_code == ResponseCode::NXDomain;
            // An alias whose target the server did not look up itself is asked for.
            if aliases == asked || no_such_name {
                if is_referral(&message) {
                    return Err(ResolveError::Failed);
                }
                let ttl = ttl.min(no_for(&message));
                return Ok(Records { data: Vec::new(), no_such_name, ttl: seconds(ttl) });
            }
        }
    }

    /// The first yes or no of any server.
    fn ask(
        &self,
        name: &Name,
        kind: RecordType,
        deadline: MonoMillis,
    ) -> Result<Message, ResolveError> {
        let query = Query::query(name.clone(), kind);
        let servers = self.settings.servers_now();
        let mut last = ResolveError::Failed;
        for _ in 0..self.settings.attempts.max(1) {
            for server in &servers {
                for edns in [true, false] {
                    let left = deadline.since((self.clock)());
                    if left.is_zero() {
                        return Err(ResolveError::TimedOut);
                    }
                    let wait = self.settings.timeout.min(left);
                    match self.exchange(*server, &Question { query: &query, edns, wait }) {
                        Ok(message) => match message.metadata.response_code {
                            ResponseCode::NoError | ResponseCode::NXDomain => return Ok(message),
                            // Servers before EDNS say that they do not understand (RFC 6891 section 7).
                            ResponseCode::FormErr | ResponseCode::NotImp => {
                                last = ResolveError::Failed;
                                continue;
                            }
                            _ => last = ResolveError::Failed,
                        },
                        Err(error) => last = error,
                    }
                    break;
                }
            }
        }
        Err(last)
    }

    fn exchange(
        &self,
        server: SocketAddr,
        question: &Question<'_>,
    ) -> Result<Message, ResolveError> {
        let until = (self.clock)().plus(question.wait);
        let (id, octets) = written(question)?;
        let answer = self.by_udp(server, &octets, until, |octets| read(octets, id, question.query));
        match answer {
            Ok(Answer::Whole(message)) => Ok(*message),
            Ok(Answer::CutOff) => {
                let answer = self.by_tcp(server, &octets, until).map_err(|e| failed(&e))?;
                match read(&answer, id, question.query) {
                    Some(Answer::Whole(message)) => Ok(*message),
                    Some(Answer::CutOff) | None => Err(ResolveError::Failed),
                }
            }
            Err(error) => Err(failed(&error)),
        }
    }

    fn by_udp(
        &self,
        server: SocketAddr,
        query: &[u8],
        until: MonoMillis,
        read: impl Fn(&[u8]) -> Option<Answer>,
    ) -> io::Result<Answer> {
        // Port 0: the kernel draws one.
        let socket = match server {
            SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)),
        }?;
        socket.connect(server)?;
        socket.send(query)?;
        let mut datagram = vec![0; usize::from(u16::MAX)];
        for _ in 0..DATAGRAMS_MAX {
            socket.set_read_timeout(Some(self.left(until)?))?;
            let count = socket.recv(&mut datagram)?;
            if let Some(answer) = read(datagram.get(..count).unwrap_or_default()) {
                return Ok(answer);
            }
        }
        Err(io::Error::other("only answers to other questions"))
    }

    /// RFC 7766: two octets of length before each message.
    fn by_tcp(&self, server: SocketAddr, query: &[u8], until: MonoMillis) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&server, self.left(until)?)?;
        stream.set_write_timeout(Some(self.left(until)?))?;
        let length = u16::try_from(query.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), query].concat())?;
        let mut head = [0; 2];
        self.read_exactly(&mut stream, &mut head, until)?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(head))];
        self.read_exactly(&mut stream, &mut answer, until)?;
        Ok(answer)
    }

    /// The whole answer in time: a server that drips octets does not win time by each of them.
    fn read_exactly(
        &self,
        stream: &mut TcpStream,
        mut into: &mut [u8],
        until: MonoMillis,
    ) -> io::Result<()> {
        while !into.is_empty() {
            stream.set_read_timeout(Some(self.left(until)?))?;
            match stream.read(into)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => into = into.get_mut(count..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    fn left(&self, until: MonoMillis) -> io::Result<Duration> {
        let left = until.since((self.clock)());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

/// What a server said.
enum Answer {
    Whole(Box<Message>),
    /// TC: ask by TCP.
    CutOff,
}

/// A query and its id, which hickory-proto draws from the operating system's generator: it is what an
/// off-path liar has to guess, so no seed of ours will do.
fn written(question: &Question<'_>) -> Result<(u16, Vec<u8>), ResolveError> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(question.query.clone());
    if question.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_PAYLOAD).set_version(0);
        message.set_edns(edns);
    }
    let octets = message.to_vec().map_err(|_| ResolveError::Failed)?;
    Ok((message.metadata.id, octets))
}

/// An answer to this very question; `None` for anything else.
fn read(octets: &[u8], id: u16, query: &Query) -> Option<Answer> {
    let header = Header::read(&mut BinDecoder::new(octets)).ok()?;
    let head = &header.metadata;
    if head.id != id || head.message_type != MessageType::Response || head.op_code != OpCode::Query
    {
        return None;
    }
    // Cut off anywhere, the rest need not be readable.
    if head.truncation {
        return Some(Answer::CutOff);
    }
    let message = Message::from_vec(octets).ok()?;
    let same = |asked: &Query| {
        asked.name == query.name
            && asked.query_type == query.query_type
            && asked.query_class == query.query_class
    };
    match message.queries.as_slice() {
        [asked] if same(asked) => Some(Answer::Whole(Box::new(message))),
        // Who could not read the question cannot repeat it; this says no more than "not me".
        [] if message.metadata.response_code == ResponseCode::FormErr => {
            Some(Answer::Whole(Box::new(message)))
        }
        _ => None,
    }
}

/// Fuzz entry: any datagram is an answer to the question, or none. 1 if it is one.
///
/// # Panics
/// When an answer to another question counts.
pub fn fuzz_answer(datagram: &[u8]) -> usize {
    let query = Query::query(Name::root(), RecordType::MX);
    match read(datagram, 0x1234, &query) {
        Some(Answer::Whole(message)) => {
            assert_eq!(message.metadata.id, 0x1234, "an answer to somebody else");
            let own = message.answers.iter().filter(|one| is_of(one, &query.name)).count();
            let _ = (is_referral(&message), no_for(&message));
            1 + own
        }
        Some(Answer::CutOff) => 1,
        None => 0,
    }
}

fn is_of(record: &Record, name: &Name) -> bool {
    record.name == *name && record.dns_class == DNSClass::IN
}

/// "Ask over there": a server that does not look things up itself. That is no "there is none".
fn is_referral(message: &Message) -> bool {
    let has = |kind| message.authorities.iter().any(|record| record.record_type() == kind);
    !message.metadata.authoritative && has(RecordType::NS) && !has(RecordType::SOA)
}

/// RFC 2308 section 5: the smaller one of the SOA's TTL and its minimum.
fn no_for(message: &Message) -> u32 {
    let soa = message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(soa.minimum.min(record.ttl)),
        _ => None,
    });
    soa.unwrap_or(NO_FOR).min(NO_FOR_MAX)
}

fn seconds(ttl: u32) -> Duration {
    Duration::from_secs(ttl.into())
}

fn failed(error: &io::Error) -> ResolveError {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => ResolveError::TimedOut,
        _ => ResolveError::Failed,
    }
}
