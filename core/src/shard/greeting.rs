//! What comes before the greeting: the header of a proxy, and what a client says that does not wait.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures_lite::FutureExt as _;
use futures_lite::future::poll_once;

use super::connection::{SETUP_SECONDS, after, timed_out};
use super::listener::Listening;
use crate::accept::stream::Stream;
use crate::clock::Now;
use crate::pipeline::Pipeline;
use crate::session::proxy::{self, Proxied};

/// PROXY protocol version 2: octets before the addresses.
const PROXY_FIXED_BYTES: usize = 16;

/// Reads the header of PROXY protocol version 2 and not one octet more; nothing when it is nonsense:
/// the connection closes without a word, as the protocol asks for.
pub(super) async fn read_proxy(
    pipeline: &Pipeline,
    stream: &mut Stream,
) -> io::Result<Option<Proxied>> {
    let read = async {
        let mut header = vec![0; PROXY_FIXED_BYTES];
        stream.read_exact(&mut header).await?;
        // Length of what follows; `parse` refuses a signature or length that cannot be.
        let more = match header.get(14..16) {
            Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
            _ => 0,
        };
        if proxy::parse(&header).is_ok() && more <= proxy::HEADER_BYTES_MAX {
            header.resize(PROXY_FIXED_BYTES + more, 0);
            let rest = header.get_mut(PROXY_FIXED_BYTES..).unwrap_or_default();
            stream.read_exact(rest).await?;
        }
        Ok::<_, io::Error>(header)
    };
    let read = pipeline.rooms().deadlines.run(after(SETUP_SECONDS), read).await;
    let header = read.map_err(timed_out)??;
    match proxy::parse(&header) {
        Ok(Some((proxied, _))) => Ok(Some(proxied)),
        Ok(None) => Ok(None),
        Err(error) => {
            tracing::warn!(%error, "connection from a named proxy without a PROXY header");
            Ok(None)
        }
    }
}

/// How long a client waits for the greeting, `None` being our own balancer or front: only who is neither trusted
/// nor known, so that the pause costs a good client one session a day, and a sender of much mail nothing.
pub(super) fn greeting_delay(
    pipeline: &Pipeline,
    listening: &Listening,
    client: Option<IpAddr>,
) -> Duration {
    let shared = &pipeline.rooms().shared;
    let stranger = client.is_some_and(|address| {
        !shared.is_exempt(address) && !shared.greeted.knows(address, Now::read().mono)
    });
    if stranger { listening.greeting_delay } else { Duration::ZERO }
}

/// What a client did before our greeting.
pub(super) enum Before {
    /// Nothing that was there when we looked; or it went away.
    Nothing,
    /// Said nothing for the whole pause.
    Waited,
    Said(Vec<u8>),
}

/// What the client says before our greeting: looks at once, and for `delay`. RFC 5321 section 4.3.1 makes the
/// client wait for 220.
pub(super) async fn talks_early(delay: Duration, stream: &mut Stream) -> Before {
    let read = async {
        match poll_fn(|context| stream.poll_read_with(context, <[u8]>::to_vec)).await {
            Ok(octets) if !octets.is_empty() => Before::Said(octets),
            Ok(_) | Err(_) => Before::Nothing,
        }
    };
    if delay.is_zero() {
        return poll_once(read).await.unwrap_or(Before::Nothing);
    }
    let silent = async {
        glommio::timer::sleep(delay).await;
        Before::Waited
    };
    read.or(silent).await
}
