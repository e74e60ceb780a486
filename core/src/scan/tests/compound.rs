//! Compound files of Office, written octet by octet; the fuzzer's seeds are made of them, too.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "files of tests"
)]

/// A chunk of literals alone: eight octets behind each flag octet. MS-OVBA section 2.4.1.1.
pub fn packed_vba(source: &str) -> Vec<u8> {
    let mut data = Vec::new();
    for eight in source.as_bytes().chunks(8) {
        data.push(0);
        data.extend(eight);
    }
    let head = 0xB000 | u16::try_from(data.len() - 1).unwrap();
    [&[1][..], &head.to_le_bytes(), &data].concat()
}

/// A compound file whose streams are all in sectors of their own; a path of two names makes a storage.
pub fn compound(streams: &[(&str, &[u8])]) -> Vec<u8> {
    const NONE: u32 = u32::MAX;
    let (mut fat, mut body) = (vec![0xFFFF_FFFD_u32], Vec::new());
    let mut chain = |octets: &[u8]| {
        let begin = fat.len() as u32;
        for (number, sector) in (1..).zip(octets.chunks(512)) {
            body.extend(sector);
            body.resize(body.len().div_ceil(512) * 512, 0);
            let last = number == octets.len().div_ceil(512);
            fat.push(if last { 0xFFFF_FFFE } else { fat.len() as u32 + 1 });
        }
        begin
    };
    let entry = |name: &str, kind: u8, links: [u32; 3], start: u32, bytes: usize| {
        let mut out: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let name_bytes = out.len() as u16 + 2;
        out.resize(64, 0);
        out.extend(name_bytes.to_le_bytes());
        out.extend([kind, 1]);
        links.iter().for_each(|link| out.extend(link.to_le_bytes()));
        out.resize(116, 0);
        out.extend(start.to_le_bytes());
        out.extend((bytes as u64).to_le_bytes());
        out
    };
    // Each entry leads to the next one; a storage has one child, which stands behind it.
    let mut directory = entry("Root Entry", 5, [NONE, NONE, 1], 0xFFFF_FFFE, 0);
    let mut number = 1;
    for (index, (path, octets)) in streams.iter().enumerate() {
        let start = chain(octets);
        let (storage, name) = path.split_once('/').unwrap_or(("", path));
        let entries = if storage.is_empty() { 1 } else { 2 };
        let next = if index + 1 < streams.len() { number + entries } else { NONE };
        if storage.is_empty() {
            directory.extend(entry(name, 2, [NONE, next, NONE], start, octets.len()));
        } else {
            directory.extend(entry(storage, 1, [NONE, next, number + 1], 0, 0));
            directory.extend(entry(name, 2, [NONE, NONE, NONE], start, octets.len()));
        }
        number += entries;
    }
    let at = chain(&directory);
    assert!(fat.len() <= 128, "one sector of table");
    fat.resize(128, NONE);
    let mut head = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1".to_vec();
    head.resize(512, 0);
    head[26..34].copy_from_slice(&[3, 0, 0xFE, 0xFF, 9, 0, 6, 0]);
    head[44] = 1;
    head[48..52].copy_from_slice(&at.to_le_bytes());
    // Small sectors are for streams below one octet: none.
    head[56] = 1;
    head[60..64].copy_from_slice(&0xFFFF_FFFE_u32.to_le_bytes());
    head[68..72].copy_from_slice(&0xFFFF_FFFE_u32.to_le_bytes());
    head[76..].fill(0xFF);
    head[76..80].fill(0);
    let table: Vec<u8> = fat.iter().flat_map(|link| link.to_le_bytes()).collect();
    [head, table, body].concat()
}
