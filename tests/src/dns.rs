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

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// What the server does when a name is asked for, instead of answering.
#[derive(Clone, Debug)]
pub enum Trick {
    /// This response code and nothing else.
    Code(ResponseCode),
    /// FORMERR to everything with EDNS, the answer without.
    NoEdns,
    /// Nothing.
    Silent,
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

#[derive(Default)]
struct Zone {
    records: Vec<Record>,
    tricks: BTreeMap<String, Trick>,
    asked: Vec<(String, RecordType)>,
}

/// The server; it ends when dropped.
pub struct DnsServer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
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
        let server = Self { address, zone: Arc::default(), stop: Arc::default() };
        server.serve(zone);
        let pause = Some(Duration::from_millis(20));
        udp.set_read_timeout(pause).expect("a time-out");
        tcp.set_nonblocking(true).expect("a listener that does not wait");
        let (zone, stop) = (Arc::clone(&server.zone), Arc::clone(&server.stop));
        std::thread::spawn(move || by_udp(&udp, &zone, &stop));
        let (zone, stop) = (Arc::clone(&server.zone), Arc::clone(&server.stop));
        std::thread::spawn(move || by_tcp(&tcp, &zone, &stop));
        server
    }

    /// Serves another zone from now on.
    ///
    /// # Panics
    /// The text is no zone.
    pub fn serve(&self, zone: &str) {
        let records = zone.lines().filter_map(record).collect();
        self.lock().records = records;
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

    fn lock(&self) -> std::sync::MutexGuard<'_, Zone> {
        self.zone.lock().expect("the zone")
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// `name ttl [IN] TYPE data`; empty lines and `;` comments are left out.
fn record(line: &str) -> Option<Record> {
    let line = line.split(';').next().unwrap_or_default().trim();
    let mut words = line.split_ascii_whitespace().filter(|word| *word != "IN");
    let (name, ttl, kind) = (words.next()?, words.next()?, words.next()?);
    let wrong = || format!("no record: {line}");
    let absolute = |name: &str| {
        let mut name = Name::from_ascii(name).unwrap_or_else(|_| panic!("{}", wrong()));
        name.set_fqdn(true);
        name
    };
    let kind: RecordType = kind.parse().unwrap_or_else(|_| panic!("{}", wrong()));
    let data: Vec<&str> = words.collect();
    let data = RData::try_from_str(kind, &data.join(" ")).unwrap_or_else(|_| panic!("{}", wrong()));
    let ttl = ttl.parse().unwrap_or_else(|_| panic!("{}", wrong()));
    Some(Record::from_rdata(absolute(name), ttl, data))
}

fn by_udp(socket: &UdpSocket, zone: &Mutex<Zone>, stop: &AtomicBool) {
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

fn by_tcp(listener: &TcpListener, zone: &Mutex<Zone>, stop: &AtomicBool) {
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
        let octets = written(&answer(&query, zone, true));
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

fn trick(query: &Message, zone: &Mutex<Zone>) -> Option<Trick> {
    let name = query.queries.first()?.name.to_ascii().to_ascii_lowercase();
    zone.lock().expect("the zone").tricks.get(&name).cloned()
}

/// The datagrams that answer a query.
fn udp_answers(query: &Message, zone: &Mutex<Zone>) -> Vec<Vec<u8>> {
    let honest = answer(query, zone, true);
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

/// The honest answer; aliases are followed as a recursive server does.
fn answer(query: &Message, zone: &Mutex<Zone>, follow: bool) -> Message {
    let mut zone = zone.lock().expect("the zone");
    let mut message = Message::response(query.metadata.id, query.metadata.op_code);
    message.metadata.recursion_available = true;
    let Some(asked) = query.queries.first().cloned() else { return message };
    zone.asked.push((asked.name.to_ascii().to_ascii_lowercase(), asked.query_type));
    let referral =
        zone.tricks.get(&asked.name.to_ascii()).is_some_and(|t| matches!(t, Trick::Referral));
    let mut name = asked.name.clone();
    message.add_query(asked.clone());
    for _ in 0..16 {
        let own: Vec<_> = zone.records.iter().filter(|one| one.name == name).collect();
        if own.is_empty() {
            message.metadata.response_code = ResponseCode::NXDomain;
        }
        let alias = own.iter().find_map(|one| match &one.data {
            RData::CNAME(target) if asked.query_type != RecordType::CNAME => Some((*one, target)),
            _ => None,
        });
        match alias {
            Some((record, target)) if follow => {
                message.add_answer(record.clone());
                name = target.0.clone();
            }
            _ => {
                let of_kind = own.iter().filter(|one| one.record_type() == asked.query_type);
                message.add_answers(of_kind.map(|one| (*one).clone()));
                break;
            }
        }
    }
    let line = match referral {
        true => ". 300 NS ns.elsewhere.test.",
        false => ". 300 SOA ns.test. admin.test. 1 3600 600 86400 120",
    };
    if message.answers.iter().all(|one| one.record_type() != asked.query_type) {
        message.add_authorities(record(line));
    }
    message
}

fn written(message: &Message) -> Vec<u8> {
    message.to_vec().expect("a message that can be written")
}
