//! A DNS server on loopback, by UDP and TCP, that answers from a zone file, and misbehaves by order.
//!
//! The zone is text in the form of RFC 1035 section 5, read by hickory-proto: one per test, all names in
//! it absolute or below `.`. A name that is in no record does not exist; one that has other types has
//! none of the type asked for. [`Trick`]s are put on a name.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, Record, RecordType};
use sekisho_core::resolve::zone::Zone;

/// What the server does when a name is asked for, instead of answering.
#[derive(Clone, Debug)]
pub enum Trick {
    /// This response code and nothing else.
    Code(ResponseCode),
    /// FORMERR to everything with EDNS, the answer without.
    NoEdns,
    /// Nothing.
    Silent,
    /// Nothing, unless there is a record of the type asked for.
    SilentUnlessKnown,
    /// TC by UDP; the answer by TCP.
    Truncated,
    /// TC by UDP, and TCP is closed at once.
    TruncatedAndClosed,
    /// Liars first: a wrong id, another question, no response at all, noise; then the answer.
    Liars,
    /// These octets behind the id, instead of a message.
    Octets(Vec<u8>),
    /// By TCP: this length, then one octet after the other, each after the pause.
    Drip(u16, Duration),
    /// The answers, and NS records of somebody else instead of a SOA when there are none.
    Referral,
}

/// Everything is below this zone's root.
const ROOT: &str = ". 300 IN SOA ns.test. admin.test. 1 3600 600 86400 120\n";

#[derive(Default)]
struct Served {
    zone: Zone,
    tricks: BTreeMap<String, Trick>,
    asked: Vec<(String, RecordType)>,
}

/// The server; it ends when dropped.
pub struct DnsServer {
    address: SocketAddr,
    served: Arc<Mutex<Served>>,
    stop: Arc<AtomicBool>,
}

impl std::fmt::Debug for DnsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DnsServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl DnsServer {
    /// Serves `zone` on a free port.
    ///
    /// # Panics
    /// No port, or the text is no zone.
    #[must_use]
    pub fn start(zone: &str) -> Self {
        // One number for both: UDP takes it first, rarely somebody else has it for TCP.
        let (udp, tcp) = (0..50)
            .find_map(|_| {
                let udp = UdpSocket::bind("127.0.0.1:0").ok()?;
                let tcp = TcpListener::bind(udp.local_addr().ok()?).ok()?;
                Some((udp, tcp))
            })
            .expect("a port for UDP and TCP");
        let address = udp.local_addr().expect("its address");
        let server = Self { address, served: Arc::default(), stop: Arc::default() };
        server.serve(zone);
        let pause = Some(Duration::from_millis(20));
        udp.set_read_timeout(pause).expect("a time-out");
        tcp.set_nonblocking(true).expect("a listener that does not wait");
        let (served, stop) = (Arc::clone(&server.served), Arc::clone(&server.stop));
        std::thread::spawn(move || by_udp(&udp, &served, &stop));
        let (served, stop) = (Arc::clone(&server.served), Arc::clone(&server.stop));
        std::thread::spawn(move || by_tcp(&tcp, &served, &stop));
        server
    }

    /// Serves another zone from now on.
    ///
    /// # Panics
    /// The text is no zone.
    pub fn serve(&self, zone: &str) {
        // A line that begins with a blank belongs to the one before it; those of tests are only indented.
        let lines: Vec<&str> = zone.lines().map(str::trim_start).collect();
        let zone = format!("{ROOT}{}\n", lines.join("\n"));
        self.lock().zone = Zone::parse(&zone, None).expect("a zone");
    }

    /// The same of records.
    ///
    /// # Panics
    /// Never.
    pub fn serve_records(&self, records: Vec<Record>) {
        let root = Zone::parse(ROOT, None).expect("a zone");
        self.lock().zone = root.with(records);
    }

    /// Plays no tricks any more.
    pub fn forget_tricks(&self) {
        self.lock().tricks.clear();
    }

    /// What happens when this name is asked for.
    pub fn trick(&self, name: &str, trick: Trick) {
        self.lock().tricks.insert(format!("{name}."), trick);
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often a name was asked for a type, by UDP or TCP.
    #[must_use]
    pub fn asked(&self, name: &str, kind: RecordType) -> usize {
        let name = format!("{name}.");
        self.lock().asked.iter().filter(|(n, k)| *n == name && *k == kind).count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Served> {
        self.served.lock().expect("the zone")
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn by_udp(socket: &UdpSocket, zone: &Mutex<Served>, stop: &AtomicBool) {
    let mut datagram = [0; 4096];
    while !stop.load(Ordering::SeqCst) {
        let Ok((count, from)) = socket.recv_from(&mut datagram) else { continue };
        let Ok(query) = Message::from_vec(datagram.get(..count).unwrap_or_default()) else {
            continue;
        };
        for octets in udp_answers(&query, zone) {
            let _ = socket.send_to(&octets, from);
        }
    }
}

fn by_tcp(listener: &TcpListener, zone: &Mutex<Served>, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        let Ok((mut stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        let _ = stream.set_nonblocking(false);
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        let mut head = [0; 2];
        if stream.read_exact(&mut head).is_err() {
            continue;
        }
        let mut query = vec![0; usize::from(u16::from_be_bytes(head))];
        if stream.read_exact(&mut query).is_err() {
            continue;
        }
        let Ok(query) = Message::from_vec(&query) else { continue };
        let octets = written(&answer(&query, zone));
        match trick(&query, zone) {
            Some(Trick::TruncatedAndClosed) => {}
            Some(Trick::Drip(length, pause)) => {
                let _ = stream.write_all(&length.to_be_bytes());
                for octet in octets.iter().cycle().take(length.into()) {
                    if stop.load(Ordering::SeqCst) || stream.write_all(&[*octet]).is_err() {
                        break;
                    }
                    std::thread::sleep(pause);
                }
            }
            _ => {
                let length = u16::try_from(octets.len()).expect("a message that fits");
                let _ = stream.write_all(&[&length.to_be_bytes(), octets.as_slice()].concat());
            }
        }
    }
}

fn trick(query: &Message, zone: &Mutex<Served>) -> Option<Trick> {
    let name = query.queries.first()?.name.to_ascii().to_ascii_lowercase();
    zone.lock().expect("the zone").tricks.get(&name).cloned()
}

/// The datagrams that answer a query.
fn udp_answers(query: &Message, zone: &Mutex<Served>) -> Vec<Vec<u8>> {
    let honest = answer(query, zone);
    let empty = |code| {
        let mut message = honest.clone();
        message.answers.clear();
        message.authorities.clear();
        message.metadata.response_code = code;
        message
    };
    match trick(query, zone) {
        None | Some(Trick::Referral) => vec![written(&honest)],
        Some(Trick::Code(code)) => vec![written(&empty(code))],
        Some(Trick::NoEdns) if query.edns.is_some() => {
            vec![written(&empty(ResponseCode::FormErr))]
        }
        Some(Trick::NoEdns) => vec![written(&honest)],
        Some(Trick::Silent) => Vec::new(),
        Some(Trick::SilentUnlessKnown) if honest.answers.is_empty() => Vec::new(),
        Some(Trick::SilentUnlessKnown) => vec![written(&honest)],
        Some(Trick::Truncated | Trick::TruncatedAndClosed | Trick::Drip(..)) => {
            let mut message = empty(ResponseCode::NoError);
            message.metadata.truncation = true;
            vec![written(&message)]
        }
        Some(Trick::Octets(octets)) => {
            vec![[&query.metadata.id.to_be_bytes(), octets.as_slice()].concat()]
        }
        Some(Trick::Liars) => {
            let mut wrong_id = empty(ResponseCode::NXDomain);
            wrong_id.metadata.id = wrong_id.metadata.id.wrapping_add(1);
            let mut wrong_question = empty(ResponseCode::NXDomain);
            if let Some(asked) = wrong_question.queries.first_mut() {
                asked.name = Name::from_ascii("liar.test.").expect("a name");
            }
            let mut no_question = empty(ResponseCode::NXDomain);
            no_question.queries.clear();
            let noise = [query.metadata.id.to_be_bytes().as_slice(), &[0x81; 40]].concat();
            let mut all = vec![vec![], vec![0], noise];
            all.extend([wrong_id, wrong_question, no_question, query.clone()].map(|m| written(&m)));
            all.push(written(&honest));
            all
        }
    }
}

/// The honest answer: the engine's own zone gives it.
fn answer(query: &Message, served: &Mutex<Served>) -> Message {
    let mut served = served.lock().expect("the zone");
    let Some(asked) = query.queries.first() else { return Message::response(0, OpCode::Query) };
    let name = asked.name.to_ascii().to_ascii_lowercase();
    served.asked.push((name.clone(), asked.query_type));
    let mut message = served.zone.answer(query).expect("a zone that has the root");
    if matches!(served.tricks.get(&name), Some(Trick::Referral)) && message.answers.is_empty() {
        message.metadata.authoritative = false;
        message.authorities.clear();
        message.add_authorities(referral());
    }
    message
}

fn referral() -> Vec<Record> {
    let zone = Zone::parse(". 300 IN NS ns.elsewhere.test.\n", None).expect("a zone");
    let mut query = Message::query();
    query.add_query(Query::query(Name::root(), RecordType::NS));
    zone.answer(&query).expect("the root").answers
}

fn written(message: &Message) -> Vec<u8> {
    message.to_vec().expect("a message that can be written")
}
