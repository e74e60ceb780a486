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
    // Half of them keep their length: in a binary format, what is moved is mostly not found again.
    let in_place = random.below(2) == 0;
    for _ in 0..=random.below(6) {
        let at = random.below(input.len() + 1);
        if in_place && random.below(3) == 0 {
            let word = WORDS[random.below(WORDS.len())];
            let end = (at + word.len()).min(input.len());
            input[at..end].copy_from_slice(&word[..end - at]);
            continue;
        }
        match if in_place { random.below(2) } else { random.below(8) } {
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

fn word(octets: &[u8], at: usize) -> usize {
    octets.get(at..at + 4).map_or(0, |four| u32::from_le_bytes(four.try_into().unwrap()) as usize)
}

fn put(octets: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = octets.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

fn crc32(octets: &[u8]) -> [u8; 4] {
    let mut sum = flate2::Crc::new();
    sum.update(octets);
    sum.sum().to_le_bytes()
}

/// Both headers of a 7z: the one in front, and the one that it leads to.
pub(crate) fn mend_seven_zip(octets: &mut [u8]) {
    let (start, bytes) = (word(octets, 12).saturating_add(32), word(octets, 20));
    let end = start.saturating_add(bytes).min(octets.len());
    // One that leads nowhere leads to its begin, so that not all of them end there.
    if let Some(header) = octets.get(start..end).filter(|header| !header.is_empty()) {
        let sum = crc32(header);
        put(octets, 20, &((end - start) as u64).to_le_bytes());
        put(octets, 28, &sum);
    }
    if let Some(sum) = octets.get(12..32).map(crc32) {
        put(octets, 8, &sum);
    }
}

/// Sums of data of a cabinet: zero is none.
pub(crate) fn mend_cabinet(octets: &mut [u8]) {
    let folders = octets.get(26..28).map_or(0, |two| usize::from(two[0])).min(4);
    for folder in 0..folders {
        let mut at = word(octets, 36 + folder * 8);
        let blocks = word(octets, 40 + folder * 8) & 0xFFFF;
        for _ in 0..blocks.min(8) {
            put(octets, at, &[0; 4]);
            at = at.saturating_add(8 + (word(octets, at + 4) & 0xFFFF));
        }
    }
}

/// The headers of the stream and of the first block of an xz.
pub(crate) fn mend_xz(octets: &mut [u8]) {
    if !octets.starts_with(b"\xfd7zXZ\0") {
        return;
    }
    if let Some(sum) = octets.get(6..8).map(crc32) {
        put(octets, 8, &sum);
    }
    let bytes = octets.get(12).map_or(0, |size| usize::from(*size) * 4);
    if let Some(sum) = octets.get(12..12 + bytes).map(crc32) {
        put(octets, 12 + bytes, &sum);
    }
}

/// Headers of a tar: every block of 512 octets that has the mark of one.
pub(crate) fn mend_tar(octets: &mut [u8]) {
    for block in octets.chunks_exact_mut(512) {
        if block.get(257..262) == Some(b"ustar") {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|octet| u32::from(*octet)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

/// The first header of an LZH of level 0 or 1.
pub(crate) fn mend_lzh(octets: &mut [u8]) {
    let size = octets.first().map_or(0, |size| usize::from(*size));
    if matches!(octets.get(20), Some(0 | 1))
        && let Some(header) = octets.get(2..2 + size)
    {
        let sum = header.iter().fold(0_u8, |sum, octet| sum.wrapping_add(*octet));
        octets[1] = sum;
    }
}
