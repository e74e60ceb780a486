//! Any split of a session's octets gives the same replies and the same content.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::session::unstuff::{Canonical, Framing};

/// Pieces that sessions are made of: whole lines, halves, content, chunks.
const PIECES: [&str; 40] = [
    "EHLO bar.com\r\n",
    "HELO bar.com\r\n",
    "MAIL FROM:<a@bar.com>\r\n",
    "MAIL FROM:<a@bar.com> SIZE=99999\r\n",
    "MAIL FROM:<> BODY=8BITMIME SMTPUTF8 RET=HDRS\r\n",
    "RCPT TO:<b@foo.com>\r\n",
    "RCPT TO:<b@foo.com>\r\n",
    "RCPT TO:<nobody@foo.com> NOTIFY=NEVER\r\n",
    "RCPT TO:<Postmaster>\r\n",
    "DATA\r\n",
    "DATA\r\n",
    "BDAT 5\r\nab\rcd",
    "BDAT 4 LAST\r\n.\r\n\n",
    "BDAT 0 LAST\r\n",
    "BDAT 40\r\n",
    "BDAT 20000\r\n",
    "BDAT x\r\n",
    "RSET\r\n",
    "NOOP\r\n",
    "VRFY a\r\n",
    "QUIT\r\n",
    "STARTTLS\r\n",
    "XCLIENT ADDR=1.2.3.4\r\n",
    "text\r\n",
    "text\r\n.\r\n",
    "..\r\n",
    ".\r\n",
    ".\n",
    "\r.\r\n",
    "\n.\r\n",
    "\r\n.\r\n",
    "\r",
    "\n",
    ".",
    "\r\n",
    "\0",
    "a long line a long line a long line a long line a long line a long line",
    "MAIL",
    " FROM:<",
    "GET / HTTP/1.0\r\n",
];

fn sessions() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        20 => proptest::sample::select(&PIECES[..]).prop_map(|text| text.as_bytes().to_vec()),
        1 => (0..6000_usize).prop_map(|bytes| vec![b'x'; bytes]),
        1 => vec(any::<u8>(), 0..20),
    ];
    // Most begin well, or they would not come far.
    (any::<bool>(), vec(piece, 0..40)).prop_map(|(well, pieces)| {
        let start: &[u8] = if well {
            b"EHLO bar.com\r\nMAIL FROM:<a@bar.com>\r\nRCPT TO:<b@foo.com>\r\n"
        } else {
            b""
        };
        [start, &pieces.concat()].concat()
    })
}

/// Everything that came of a session fed in pieces that end at `cuts`.
fn outcome(octets: &[u8], cuts: &[usize], config: &SessionConfig) -> (String, Vec<Vec<u8>>) {
    let mut peer = Peer::new(config.clone());
    let mut said = peer.say("");
    let mut start = 0;
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (octets.len() + 1)).collect();
    cuts.sort_unstable();
    for end in cuts.into_iter().chain([octets.len()]) {
        if peer.closed.is_some() || peer.handshakes > 0 {
            break;
        }
        said += &peer.say(&octets[start..end]);
        start = end;
    }
    (said, peer.messages.into_iter().map(|(_, content)| content).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_replies_and_the_same_content(
        octets in sessions(),
        cuts in vec(any::<usize>(), 0..60),
        refuse in any::<bool>(),
    ) {
        let config = SessionConfig {
            message_bytes_max: 9000,
            content_line_bytes_max: 5000,
            swallow_bytes_max: 15_000,
            bare_line_ends: if refuse { BareLineEnds::Refuse } else { BareLineEnds::Canonical },
            capabilities: Capabilities { starttls: true, ..Capabilities::default() },
            ..config()
        };
        let whole = outcome(&octets, &[], &config);
        prop_assert_eq!(&outcome(&octets, &cuts, &config), &whole);
        let every: Vec<usize> = (0..octets.len()).collect();
        prop_assert_eq!(&outcome(&octets, &every, &config), &whole);
        for content in &whole.1 {
            prop_assert!(content::is_canonical(content));
        }
    }

    #[test]
    fn what_is_stuffed_comes_back_and_the_converter_agrees_with_a_plain_model(
        octets in vec(prop_oneof![
            4 => Just(b'\r'), 4 => Just(b'\n'), 3 => Just(b'.'), 2 => any::<u8>()
        ], 0..200),
        cuts in vec(any::<usize>(), 0..20),
    ) {
        let content = model(&octets);
        prop_assert!(content::is_canonical(&content));
        let stuffed = stuff(&content);
        let (back, used) = unstuff(&[&stuffed[..], b"QUIT\r\n"].concat()).unwrap();
        prop_assert_eq!(&back, &content);
        prop_assert_eq!(used, stuffed.len());
        // Counted, in any split.
        let mut canonical = Canonical::new(Framing::Counted);
        let mut output = vec![];
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (octets.len() + 1)).collect();
        cuts.sort_unstable();
        let mut start = 0;
        for end in cuts.into_iter().chain([octets.len()]) {
            let fed = canonical.feed(&octets[start..end], &mut output);
            prop_assert_eq!((fed.consumed, fed.ended), (end - start, false));
            start = end;
        }
        canonical.finish(&mut output);
        prop_assert_eq!(canonical.bytes(), output.len() as u64);
        let longest = output.split(|octet| *octet == b'\n').map(|line| {
            line.strip_suffix(b"\r").unwrap_or(line).len()
        });
        prop_assert_eq!(canonical.longest_line_bytes(), longest.max().unwrap_or(0));
        prop_assert_eq!(output, content);
    }
}

/// Line ends made CR LF, octet by octet, as the decision record says it.
fn model(octets: &[u8]) -> Vec<u8> {
    let mut output = vec![];
    let mut at = 0;
    while at < octets.len() {
        match (octets[at], octets.get(at + 1)) {
            (b'\r', Some(b'\n')) => {
                output.extend_from_slice(b"\r\n");
                at += 1;
            }
            (b'\r' | b'\n', _) => output.extend_from_slice(b"\r\n"),
            (octet, _) => output.push(octet),
        }
        at += 1;
    }
    if !output.is_empty() && !output.ends_with(b"\r\n") {
        output.extend_from_slice(b"\r\n");
    }
    output
}

/// As a client sends it by DATA.
fn stuff(content: &[u8]) -> Vec<u8> {
    let mut output = vec![];
    for line in content.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b".") {
            output.push(b'.');
        }
        output.extend_from_slice(line);
    }
    output.extend_from_slice(b".\r\n");
    output
}
