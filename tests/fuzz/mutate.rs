//! Bending seeds.

use sekisho_loadgen::random::Random;

/// Longest input.
const BYTES_MAX: usize = 64 * 1024;
/// Values and words that parsers stumble over.
const WORDS: &[&[u8]] = &[
    b"\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n.\r\n",
    b"--",
    b"\"",
    b"\\",
    b"=?utf-8?B?",
    b"?=",
    b"99999999999999999999",
    b"-1",
    b"4294967295",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"[[",
    b"}}",
    b"\xe3\x81",
    b"Content-Type: multipart/mixed; boundary=\"",
];

/// One seed, bent a few times.
pub(crate) fn bend(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = seeds.get(random.below(seeds.len())).cloned().unwrap_or_default();
    for _ in 0..=random.below(6) {
        let at = random.below(input.len() + 1);
        match random.below(8) {
            0 if !input.is_empty() => {
                let at = at.min(input.len() - 1);
                input[at] ^= 1 << random.below(8);
            }
            1 if !input.is_empty() => {
                let at = at.min(input.len() - 1);
                input[at] = u8::try_from(random.below(256)).unwrap_or(0);
            }
            2 => input.truncate(at),
            3 => {
                let end = (at + random.below(64)).min(input.len());
                input.drain(at..end);
            }
            4 => {
                let word = WORDS[random.below(WORDS.len())];
                input.splice(at..at, word.iter().copied());
            }
            5 => {
                let end = (at + random.below(256)).min(input.len());
                let again = input[at..end].to_vec();
                let times = 1 + random.below(8);
                input.splice(at..at, again.repeat(times));
            }
            6 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                input.splice(at.., other[from..].iter().copied());
            }
            _ => {
                let end = (at + WORDS[0].len() + random.below(4)).min(input.len());
                let word = WORDS[random.below(WORDS.len())];
                input.splice(at..end, word.iter().copied());
            }
        }
    }
    input.truncate(BYTES_MAX);
    input
}

/// Small zip archives, stored, written octet by octet: a member, a directory, an end record.
pub(crate) fn archives() -> Vec<Vec<u8>> {
    let member = |name: &[u8], body: &[u8], flags: u16| {
        let mut local = b"PK\x03\x04\x14\x00".to_vec();
        local.extend(flags.to_le_bytes());
        local.extend([0; 6]);
        local.extend([0; 4]);
        for size in [body.len(), body.len()] {
            local.extend(u32::try_from(size).unwrap_or(0).to_le_bytes());
        }
        local.extend(u16::try_from(name.len()).unwrap_or(0).to_le_bytes());
        local.extend([0; 2]);
        local.extend(name);
        local.extend(body);
        let mut central = b"PK\x01\x02\x14\x00\x14\x00".to_vec();
        central.extend(flags.to_le_bytes());
        central.extend([0; 6]);
        central.extend([0; 4]);
        for size in [body.len(), body.len()] {
            central.extend(u32::try_from(size).unwrap_or(0).to_le_bytes());
        }
        central.extend(u16::try_from(name.len()).unwrap_or(0).to_le_bytes());
        central.extend([0; 12]);
        central.extend([0; 4]);
        central.extend(name);
        let mut end = b"PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00".to_vec();
        end.extend(u32::try_from(central.len()).unwrap_or(0).to_le_bytes());
        end.extend(u32::try_from(local.len()).unwrap_or(0).to_le_bytes());
        end.extend([0; 2]);
        [local, central, end].concat()
    };
    let inner = member(b"inner.txt", b"hello", 0);
    vec![
        member(b"a.txt", b"text of a file", 0),
        member(b"secret.txt", b"\x01\x02\x03\x04", 1),
        member(b"nested.zip", &inner, 0),
    ]
}
