//! Small files of Office and Outlook, written octet by octet.

use super::compound::{compound, packed_vba};
use super::seeds::{base64, zlib};

/// `ActiveMime`, as Word leaves it beside a page.
pub(crate) fn active_mimes() -> Vec<Vec<u8>> {
    let file = compound(&[(
        "Module1",
        &packed_vba("Attribute VB_Name = \"A\"\r\nSub AutoOpen()\r\nShell x\r\nEnd Sub"),
    )]);
    vec![[b"ActiveMime\0\0\x01\xf0\x04\0\0\0".as_slice(), &zlib(&file)].concat()]
}

/// Records of a workbook: a macro sheet, a name that runs by itself, a link by DDE, a formula.
fn workbook() -> Vec<u8> {
    let record = |kind: u16, data: &[u8]| {
        [&kind.to_le_bytes()[..], &(data.len() as u16).to_le_bytes(), data].concat()
    };
    [
        record(0x0809, &[0, 6, 5, 0, 0, 0, 0, 0]),
        record(0x0085, b"\0\0\0\0\x02\x01\x06\0Macro1"),
        record(0x0018, b"\x21\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x01"),
        record(0x01AE, b"\x01\0\x0c\0\0cmd\x03/c calc"),
        record(0x0809, &[0, 6, 0x40, 0, 0, 0, 0, 0]),
        record(0x0006, b"\0\0\0\0\0\0\0\0\0\0\x17\x01\0x\x42\x01\x6E\0"),
        record(0x000A, &[]),
    ]
    .concat()
}

/// What the information about encryption says, of both schemes.
fn encryption() -> Vec<Vec<u8>> {
    let some = base64(&[7; 16]).replace("\r\n", "");
    let more = base64(&[9; 32]).replace("\r\n", "");
    let agile = format!(
        "<encryption><keyData saltSize=\"16\" keyBits=\"128\" cipherAlgorithm=\"AES\" cipherChaining=\"ChainingModeCBC\" \
         hashAlgorithm=\"SHA1\" saltValue=\"{some}\"/><p:encryptedKey spinCount=\"3\" keyBits=\"128\" hashAlgorithm=\"SHA512\" \
         saltValue=\"{some}\" encryptedVerifierHashInput=\"{some}\" encryptedVerifierHashValue=\"{more}{more}\" \
         encryptedKeyValue=\"{some}\"/></encryption>"
    );
    let mut standard = vec![3, 0, 2, 0, 0x24, 0, 0, 0, 32, 0, 0, 0];
    standard.extend([0x24, 0, 0, 0, 0, 0, 0, 0, 0x0E, 0x66, 0, 0, 4, 0x80, 0, 0, 128, 0, 0, 0]);
    standard.extend([0; 12]);
    standard.extend([16, 0, 0, 0]);
    standard.extend([5; 68]);
    vec![[&[4, 0, 4, 0, 0x40, 0, 0, 0][..], agile.as_bytes()].concat(), standard]
}

/// Streams of compound files by themselves; the first octet says which reader.
pub(crate) fn ole_streams() -> Vec<Vec<u8>> {
    let vba = packed_vba(
        "Attribute VB_Name = \"A\"\r\nSub Document_Open()\r\nCreateObject(\"WScript.Shell\")\r\nEnd Sub",
    );
    let inner = zlib(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1aaaa");
    let mut slides = vec![0x10, 0, 0x11, 0x10];
    slides.extend((inner.len() as u32 + 4).to_le_bytes());
    slides.extend([12, 0, 0, 0]);
    slides.extend(&inner);
    let mut package =
        b"\x02\0a.exe\0C:\\a.exe\0\0\0\x03\0\x05\0\0\0tmp\\a\0\x05\0\0\0hello".to_vec();
    package.splice(0..0, (package.len() as u32).to_le_bytes());
    let mut object =
        b"\x01\x05\0\0\x02\0\0\0\x08\0\0\0Package\0\0\0\0\0\0\0\0\0\x30\0\0\0".to_vec();
    object.extend(&package[4..]);
    let mut streams = vec![
        (0, workbook()),
        (1, slides),
        (2, b"x\xFF\x00\x00\x00\x00\xD0\xCF\x11\xE0\xFF\xA1\xB1\x1A\xE1abcd\x00\x12\x34".to_vec()),
        (3, package),
        (4, object),
        (4, b"MZ out of order PK\x03\x04".to_vec()),
        (5, vba),
        (6, b"\x13 DDEAUTO c:\\\\x \"y\" \x14\x15\x13\0D\0D\0E\0 \0x\0\x14\0".to_vec()),
        (7, b"\x01\0\0\x02\x01\0\0\0\0\0\0\0h\0t\0t\0p\0:\0/\0/\0x\0/\0".to_vec()),
    ];
    for major in [1_u16, 2] {
        let mut old = [major, if major == 1 { 1 } else { 2 }].map(u16::to_le_bytes).concat();
        old.extend([
            4, 0, 0, 0, 32, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 0x68, 0, 0, 4, 0x80, 0, 0, 128, 0,
            0, 0,
        ]);
        old.resize(200, 5);
        streams.push((8, [&old[..], &workbook()].concat()));
    }
    for info in encryption() {
        streams.push((9, [&info[..], b"\n--\n\x10\0\0\0\0\0\0\0", &[3; 48]].concat()));
    }
    streams.into_iter().map(|(reader, stream)| [&[reader][..], &stream].concat()).collect()
}

/// Compound files, each with what one reader is for.
pub(crate) fn compounds() -> Vec<Vec<u8>> {
    let streams = ole_streams();
    let of = |reader: u8| &streams.iter().find(|one| one[0] == reader).unwrap()[1..];
    let mut out = vec![
        compound(&[("WordDocument", of(6)), ("VBA/Module1", of(5)), ("\u{1}Ole10Native", of(3))]),
        compound(&[("Workbook", of(0)), ("_VBA_PROJECT_CUR/VBA", of(5))]),
        compound(&[
            ("PowerPoint Document", of(1)),
            ("Current User", b"\0\0\0\0\0\0\0\0\0\0\0\0\xDF\xC4\xD1\xF3"),
        ]),
        compound(&[("VisioDocument", of(2)), ("\u{1}Ole", of(7)), ("Package", b"PK\x03\x04")]),
    ];
    for info in encryption() {
        out.push(compound(&[("EncryptionInfo", &info), ("EncryptedPackage", &[3; 64])]));
    }
    out.push(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1".repeat(100));
    out
}

/// Messages as Outlook saves them.
pub(crate) fn messages() -> Vec<Vec<u8>> {
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let mut properties = vec![0; 32];
    properties.extend([0x03, 0, 0xFD, 0x3F, 6, 0, 0, 0]);
    properties.extend(932_u64.to_le_bytes());
    let (subject, body) = (wide("subject"), wide("body http://a.example/"));
    vec![
        compound(&[
            ("__properties_version1.0", &properties),
            ("__substg1.0_0037001F", &subject),
            ("__substg1.0_1000001F", &body),
            ("__substg1.0_007D001E", b"From: a@b.example\r\nContent-Type: text/plain\r\n"),
            ("__substg1.0_0E04001E", b"u@own.example"),
            ("__attach_version1.0_#00000000/__substg1.0_37010102", b"MZhello"),
            ("__attach_version1.0_#00000001/__substg1.0_3707001E", b"a.exe"),
        ]),
        compound(&[
            ("__properties_version1.0", &properties),
            ("__substg1.0_10130102", b"<html><a href=http://a.example/>b</a></html>"),
            ("__substg1.0_10090102", b"\x10\0\0\0\x10\0\0\0MELA\0\0\0\0{\\rtf1 a}"),
            ("__substg1.0_0C1A001E", b"\x82\xa0"),
        ]),
    ]
}
