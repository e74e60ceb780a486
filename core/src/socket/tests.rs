//! Both kinds of sockets against plain blocking peers: the same octets, ends, errors and bounds.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement};

use super::{Listener, Socket, SocketRing, Sockets};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Runs `work` on a shard, once over a ring and once over streams.
fn on_both<F: Future<Output = ()> + 'static>(work: impl Fn(Sockets) -> F + Clone + Send + 'static) {
    for is_ring in [true, false] {
        let work = work.clone();
        let shard = LocalExecutorBuilder::new(Placement::Unbound).spawn(move || async move {
            if !is_ring {
                return work(Sockets::Streams).await;
            }
            let ring = SocketRing::new().expect("this kernel has rings");
            let driver = glommio::spawn_local({
                let ring = ring.clone();
                async move { ring.drive().await }
            });
            work(Sockets::Ring(ring)).await;
            driver.cancel().await;
        });
        shard.unwrap().join().unwrap();
    }
}

fn bound(sockets: &Sockets) -> (Listener, SocketAddr) {
    // A port that is free now; both kinds share ports, so that nobody takes it from us by binding it alone.
    let probe = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    probe.set_reuse_port(true).unwrap();
    probe.bind(&ANY.into()).unwrap();
    let address = probe.local_addr().unwrap().as_socket().unwrap();
    (sockets.listen(address).unwrap(), address)
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

async fn read_some(socket: &mut Socket) -> std::io::Result<Vec<u8>> {
    socket.read_with(<[u8]>::to_vec).await
}

async fn read_all(socket: &mut Socket) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let some = read_some(socket).await.unwrap();
        if some.is_empty() {
            return out;
        }
        out.extend(some);
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    let late = async {
        glommio::timer::sleep(Duration::from_secs(30)).await;
        panic!("not within 30 seconds")
    };
    futures_lite::future::or(work, late).await
}

#[test]
fn what_is_written_is_read_in_both_directions() {
    on_both(|sockets| async move {
        let (listener, address) = bound(&sockets);
        for bytes in [1, 100, 16_384, 16_385, 70_000, 3_000_000] {
            let peer = std::thread::spawn(move || {
                let mut peer = TcpStream::connect(address).unwrap();
                peer.write_all(&pattern(bytes)).unwrap();
                peer.shutdown(Shutdown::Write).unwrap();
                let mut back = Vec::new();
                peer.read_to_end(&mut back).unwrap();
                (peer.local_addr().unwrap(), back)
            });
            let mut socket = in_time(listener.accept()).await.unwrap();
            assert_eq!(socket.local(), Some(address));
            let client = socket.peer().unwrap();
            let got = in_time(read_all(&mut socket)).await;
            assert!(got == pattern(bytes), "{} of {bytes}", got.len());
            for part in got.chunks(50_000) {
                let mut part = part.to_vec();
                in_time(socket.write_all(&mut part)).await.unwrap();
                assert!(part.is_empty());
            }
            in_time(futures_lite::io::AsyncWriteExt::close(&mut socket)).await.unwrap();
            drop(socket);
            let (address, back) = glommio::executor().spawn_blocking(|| peer.join()).await.unwrap();
            assert_eq!(client, address);
            assert!(back == got, "{} of {bytes}", back.len());
        }
    });
}

#[test]
fn more_peers_than_buffers_that_all_send_at_once_are_all_heard() {
    on_both(|sockets| async move {
        const PEERS: usize = 300;
        let (listener, address) = bound(&sockets);
        let peers = std::thread::spawn(move || {
            let mut peers: Vec<_> =
                (0..PEERS).map(|_| TcpStream::connect(address).unwrap()).collect();
            for peer in &mut peers {
                peer.write_all(&pattern(20_000)).unwrap();
            }
            for peer in &mut peers {
                let mut back = [0; 2];
                peer.read_exact(&mut back).unwrap();
                assert_eq!(&back, b"ok");
            }
        });
        let mut served = Vec::new();
        for _ in 0..PEERS {
            let mut socket = in_time(listener.accept()).await.unwrap();
            served.push(glommio::spawn_local(async move {
                let mut buffer = vec![0; 20_000];
                socket.read_exact(&mut buffer).await.unwrap();
                assert!(buffer == pattern(20_000));
                socket.write_all(&mut b"ok".to_vec()).await.unwrap();
                futures_lite::io::AsyncWriteExt::close(&mut socket).await.unwrap();
            }));
        }
        for one in served {
            in_time(one).await;
        }
        glommio::executor().spawn_blocking(|| peers.join()).await.unwrap();
    });
}

#[test]
fn a_peer_that_sends_unread_octets_is_held_back_and_none_is_lost() {
    on_both(|sockets| async move {
        const BYTES: usize = 20_000_000;
        let (listener, address) = bound(&sockets);
        let peer = std::thread::spawn(move || {
            let mut peer = TcpStream::connect(address).unwrap();
            peer.write_all(&pattern(BYTES)).unwrap();
        });
        let mut socket = in_time(listener.accept()).await.unwrap();
        glommio::timer::sleep(Duration::from_millis(300)).await;
        assert!(!peer.is_finished(), "20 MB fit nowhere");
        if let Socket::Ring(ring) = &socket {
            // What a turn had in hand when it was too much.
            assert!(ring.arrived_bytes() <= 2 << 20, "{}", ring.arrived_bytes());
        }
        let got = in_time(read_all(&mut socket)).await;
        assert!(got == pattern(BYTES), "{}", got.len());
        glommio::executor().spawn_blocking(|| peer.join()).await.unwrap();
    });
}

#[test]
fn writing_waits_for_a_peer_that_does_not_read() {
    on_both(|sockets| async move {
        let (listener, address) = bound(&sockets);
        let mut peer = TcpStream::connect(address).unwrap();
        let mut socket = in_time(listener.accept()).await.unwrap();
        let mut written = 0;
        loop {
            let mut part = pattern(100_000);
            let late = async {
                glommio::timer::sleep(Duration::from_millis(500)).await;
                false
            };
            let done = async { socket.write_all(&mut part).await.is_ok() };
            if !futures_lite::future::or(done, late).await {
                break;
            }
            written += 100_000;
            assert!(written < 100_000_000, "somebody keeps it all");
        }
        let reader = std::thread::spawn(move || {
            let mut got = Vec::new();
            peer.read_to_end(&mut got).unwrap();
            got.len()
        });
        in_time(futures_lite::io::AsyncWriteExt::close(&mut socket)).await.unwrap();
        drop(socket);
        let got = glommio::executor().spawn_blocking(|| reader.join()).await.unwrap();
        assert!(got >= written, "{got} of {written}");
    });
}

#[test]
fn a_peer_that_resets_and_a_port_without_listener_are_errors() {
    on_both(|sockets| async move {
        let (listener, address) = bound(&sockets);
        let peer = TcpStream::connect(address).unwrap();
        let mut socket = in_time(listener.accept()).await.unwrap();
        assert!(socket.is_quiet());
        let raw = socket2::Socket::from(peer);
        raw.set_linger(Some(Duration::ZERO)).unwrap();
        drop(raw);
        let error = in_time(read_some(&mut socket)).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert!(!socket.is_quiet());
        drop(listener);
        // Released by the next turns.
        glommio::timer::sleep(Duration::from_millis(100)).await;
        assert!(in_time(sockets.connect(address)).await.is_err());
    });
}

#[test]
fn a_connection_of_ours_is_quiet_until_its_peer_speaks_or_leaves() {
    on_both(|sockets| async move {
        let hop = std::net::TcpListener::bind(ANY).unwrap();
        let mut socket = in_time(sockets.connect(hop.local_addr().unwrap())).await.unwrap();
        let (mut peer, _) = hop.accept().unwrap();
        assert!(socket.is_quiet());
        peer.write_all(b"220 hop\r\n").unwrap();
        assert_eq!(in_time(read_some(&mut socket)).await.unwrap(), b"220 hop\r\n");
        assert!(socket.is_quiet());
        in_time(socket.write_all(&mut b"EHLO\r\n".to_vec())).await.unwrap();
        // A ring sends with its next turn, and this thread must not stand in its way.
        let (read, peer) = glommio::executor()
            .spawn_blocking(move || {
                let mut line = [0; 6];
                peer.read_exact(&mut line).unwrap();
                (line, peer)
            })
            .await;
        assert_eq!(&read, b"EHLO\r\n");
        drop(peer);
        for _ in 0..200 {
            if !socket.is_quiet() {
                return;
            }
            glommio::timer::sleep(Duration::from_millis(10)).await;
        }
        panic!("the end was not noticed");
    });
}

#[test]
fn places_of_sockets_are_used_again_while_old_operations_come_back() {
    on_both(|sockets| async move {
        let (listener, address) = bound(&sockets);
        for round in 0..300_u32 {
            let mut peer = TcpStream::connect(address).unwrap();
            let mut socket = in_time(listener.accept()).await.unwrap();
            match round % 3 {
                // A receive is in flight.
                0 => {}
                // A send is, that nobody takes.
                1 => {
                    let _ =
                        futures_lite::future::poll_once(socket.write_all(&mut pattern(8_000_000)))
                            .await;
                }
                _ => {
                    peer.write_all(&round.to_le_bytes()).unwrap();
                    let mut got = [0; 4];
                    in_time(socket.read_exact(&mut got)).await.unwrap();
                    assert_eq!(u32::from_le_bytes(got), round);
                }
            }
        }
        if let Sockets::Ring(ring) = &sockets {
            glommio::timer::sleep(Duration::from_millis(100)).await;
            assert!(ring.slots() <= 8, "{} places for two sockets at a time", ring.slots());
        }
    });
}
