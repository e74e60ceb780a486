//! The zone on loopback, by UDP and TCP: the DNS server that all look-ups of the product use where a zone file is
//! configured, so that no two of them see different names.
//!
//! What is not in the zone is asked of other servers ([`Beyond::Ask`]), or does not exist ([`Beyond::Nothing`]). Threads of
//! its own, which may block. Bounds: `ASKS_MAX` questions that wait for other servers (more get SERVFAIL),
//! `STREAMS_MAX` connections (more are closed), `STREAM_IDLE` for a connection without a question.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use hickory_proto::op::{Message, MessageType, ResponseCode};

use super::{Zone, no_such_name, respond};
use crate::resolve::DnsClient;

/// Threads that ask other servers, and questions that wait for one.
const ASK_THREADS: usize = 8;
const ASKS_MAX: usize = 512;
/// Connections at a time, and how long one may say nothing.
const STREAMS_MAX: usize = 64;
const STREAM_IDLE: Duration = Duration::from_secs(10);
/// How soon a thread notices that the server was dropped.
const STOP_WITHIN: Duration = Duration::from_millis(100);
/// UDP payload of who does not say (RFC 1035 section 4.2.1).
const UDP_PAYLOAD_PLAIN: u16 = 512;

/// What names are that the zone does not have.
#[derive(Clone, Debug)]
pub enum Beyond {
    /// Asked of other servers.
    Ask(DnsClient),
    /// Not there.
    Nothing,
}

/// The server; it ends when dropped.
#[derive(Debug)]
pub struct ZoneServer {
    address: SocketAddr,
    zone: Arc<ArcSwap<Zone>>,
    stop: Arc<AtomicBool>,
}

/// A question that came by UDP and goes to other servers.
struct Ask {
    query: Message,
    from: SocketAddr,
}

impl ZoneServer {
    /// Serves `zone` at `listen`; port 0 is a free one.
    ///
    /// # Errors
    /// The system gives no port or no thread.
    pub fn start(zone: Zone, listen: SocketAddr, beyond: Beyond) -> io::Result<Self> {
        let (udp, tcp) = sockets(listen)?;
        let server = Self {
            address: udp.local_addr()?,
            zone: Arc::new(ArcSwap::from_pointee(zone)),
            stop: Arc::default(),
        };
        udp.set_read_timeout(Some(STOP_WITHIN))?;
        let (asks, queue) = flume::bounded::<Ask>(ASKS_MAX);
        if let Beyond::Ask(client) = &beyond {
            for number in 0..ASK_THREADS {
                let (queue, client, udp) = (queue.clone(), client.clone(), udp.try_clone()?);
                spawn(format!("zone-ask-{number}"), move || {
                    while let Ok(ask) = queue.recv() {
                        send(&udp, &ask.query, &asked(&client, &ask.query), ask.from);
                    }
                })?;
            }
        }
        let (zone, stop) = (Arc::clone(&server.zone), Arc::clone(&server.stop));
        let known = beyond.clone();
        spawn("zone-udp".into(), move || by_udp(&udp, &zone, &stop, &known, &asks))?;
        let (zone, stop) = (Arc::clone(&server.zone), Arc::clone(&server.stop));
        spawn("zone-tcp".into(), move || by_tcp(&tcp, &zone, &stop, &beyond))?;
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers from `zone` from now on. What others keep of the old one they keep for its TTL.
    pub fn replace(&self, zone: Zone) {
        self.zone.store(Arc::new(zone));
    }
}

impl Drop for ZoneServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // The TCP thread waits for a connection; this is one.
        let _ = TcpStream::connect_timeout(&self.address, STOP_WITHIN);
    }
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name).spawn(work).map(drop)
}

/// One port for both. UDP takes a free one first; rarely somebody has it for TCP.
fn sockets(listen: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = if listen.port() == 0 { 50 } else { 1 };
    loop {
        tries -= 1;
        let udp = UdpSocket::bind(listen)?;
        match TcpListener::bind(udp.local_addr()?) {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) if tries == 0 => return Err(error),
            Err(_) => {}
        }
    }
}

fn by_udp(
    socket: &UdpSocket,
    zone: &ArcSwap<Zone>,
    stop: &AtomicBool,
    beyond: &Beyond,
    asks: &flume::Sender<Ask>,
) {
    let mut datagram = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        let Ok((count, from)) = socket.recv_from(&mut datagram) else { continue };
        let Some(query) = query(datagram.get(..count).unwrap_or_default()) else { continue };
        match (zone.load().answer(&query), beyond) {
            (Some(answer), _) => send(socket, &query, &answer, from),
            (None, Beyond::Nothing) => send(socket, &query, &no_such_name(&query), from),
            (None, Beyond::Ask(_)) => {
                if let Err(refused) = asks.try_send(Ask { query, from }) {
                    let query = refused.into_inner().query;
                    send(socket, &query, &failed(&query), from);
                }
            }
        }
    }
}

fn by_tcp(
    listener: &TcpListener,
    zone: &Arc<ArcSwap<Zone>>,
    stop: &Arc<AtomicBool>,
    beyond: &Beyond,
) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if open.load(Ordering::Relaxed) >= STREAMS_MAX {
            continue;
        }
        open.fetch_add(1, Ordering::Relaxed);
        let (zone, beyond, count) = (Arc::clone(zone), beyond.clone(), Arc::clone(&open));
        let spawned = spawn("zone-stream".into(), move || {
            // However it ends, the peer asks again.
            let _ = talk(stream, &zone, &beyond);
            count.fetch_sub(1, Ordering::Relaxed);
        });
        if spawned.is_err() {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// RFC 7766: question after question, each behind its length.
fn talk(mut stream: TcpStream, zone: &ArcSwap<Zone>, beyond: &Beyond) -> io::Result<()> {
    stream.set_read_timeout(Some(STREAM_IDLE))?;
    stream.set_write_timeout(Some(STREAM_IDLE))?;
    loop {
        let mut head = [0; 2];
        stream.read_exact(&mut head)?;
        let mut octets = vec![0; usize::from(u16::from_be_bytes(head))];
        stream.read_exact(&mut octets)?;
        let Some(query) = query(&octets) else { return Ok(()) };
        let answer = zone.load().answer(&query).unwrap_or_else(|| match beyond {
            Beyond::Nothing => no_such_name(&query),
            Beyond::Ask(client) => asked(client, &query),
        });
        let octets = answer.to_vec().or_else(|_| failed(&query).to_vec());
        let octets = octets.map_err(io::Error::other)?;
        let length = u16::try_from(octets.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), octets.as_slice()].concat())?;
    }
}

/// A question, and nothing else.
pub(super) fn query(octets: &[u8]) -> Option<Message> {
    let message = Message::from_vec(octets).ok()?;
    let one = message.metadata.message_type == MessageType::Query && message.queries.len() == 1;
    one.then_some(message)
}

fn asked(client: &DnsClient, query: &Message) -> Message {
    let answer = query.queries.first().map(|asked| client.relay(asked));
    let Some(Ok(answer)) = answer else { return failed(query) };
    let mut message = respond(query);
    message.metadata.response_code = answer.metadata.response_code;
    message.add_answers(answer.answers);
    message.add_authorities(answer.authorities);
    message
}

fn failed(query: &Message) -> Message {
    let mut message = respond(query);
    message.metadata.response_code = ResponseCode::ServFail;
    message
}

/// By UDP; what does not fit is said to be cut off, and asked for again by TCP.
fn send(socket: &UdpSocket, query: &Message, answer: &Message, to: SocketAddr) {
    let payload = query
        .edns
        .as_ref()
        .map_or(UDP_PAYLOAD_PLAIN, |edns| edns.max_payload().max(UDP_PAYLOAD_PLAIN));
    let whole = answer.to_vec().ok().filter(|octets| octets.len() <= usize::from(payload));
    let octets = whole.or_else(|| {
        let mut cut = respond(query);
        cut.metadata.truncation = true;
        cut.to_vec().ok()
    });
    if let Some(octets) = octets {
        // A client that is gone asks nobody.
        let _ = socket.send_to(&octets, to);
    }
}
