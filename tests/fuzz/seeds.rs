//! Small files and mails to begin from: written by libraries, or octet by octet. The smaller they are, the more inputs a
//! second are tried, and the more of those hit something.

use std::io::{Cursor, Write as _};

use sekisho_tests::corpus::{self, files, repository};
use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{AesMode, CompressionMethod};

/// What is packed.
const TEXT: &[u8] = b"hello hello hello hello";

pub(crate) fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Octets that are written as hexadecimal digits.
fn hex(digits: &str) -> Vec<u8> {
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.as_bytes().chunks(2).map(octet).collect()
}

/// Files of one kind out of the corpus, where it is there: those of at most `bytes_max` octets, since large ones spend the
/// time on their length.
pub(crate) fn of_corpus(folders: &[&str], endings: &[&str], bytes_max: u64) -> Vec<Vec<u8>> {
    let folders = folders.iter().filter_map(|folder| corpus::folder(folder));
    let all = folders.flat_map(|folder| files(&folder));
    let small = all.filter(|path| {
        let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let bytes = std::fs::metadata(path).map_or(u64::MAX, |data| data.len());
        bytes <= bytes_max && endings.iter().any(|ending| name.ends_with(ending))
    });
    small.map(|path| std::fs::read(path).unwrap()).collect()
}

/// Mails of the repository.
pub(crate) fn own_mails() -> Vec<Vec<u8>> {
    let own = files(&repository().join("tests/data/eml"));
    own.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

pub(crate) fn base64(octets: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for (index, group) in octets.chunks(3).enumerate() {
        if index % 19 == 0 && index > 0 {
            out.push_str("\r\n");
        }
        let bits = group.iter().fold(0_u32, |bits, &octet| bits << 8 | u32::from(octet))
            << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            out.push(if place > group.len() { '=' } else { char::from(letter) });
        }
    }
    out
}

/// A mail with one attachment.
fn with_attachment(name: &str, octets: &[u8]) -> Vec<u8> {
    format!(
        "From: \"=?utf-8?B?44GC?=\" <a@b.example>\r\nTo: c@own.example\r\nSubject: =?iso-2022-jp?B?GyRCJCIbKEI=?= x\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain; \
         charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nPassword: secret =E3=81=82\r\n--b\r\n\
         Content-Type: application/octet-stream; name=\"{name}\"\r\nContent-Disposition: attachment; filename*=utf-8''{name}\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}\r\n--b--\r\n",
        base64(octets)
    )
    .into_bytes()
}

/// Mails of every structure, each a few lines long.
pub(crate) fn mails() -> Vec<Vec<u8>> {
    let mut out = own_mails();
    out.extend(texts(&[
        "Received: from a ([192.0.2.1]) by b; Fri, 1 Jan 2021 00:00:00 +0900\r\nFrom: Bank <a@bank.example>\r\n\
         Reply-To: x@else.example\r\nTo: u@own.example\r\nSubject: Re: Your account\r\nMessage-ID: <1@a>\r\n\
         List-Unsubscribe: <https://l.example/u?x=1>, <mailto:u@l.example>\r\nList-Id: <l.example>\r\nPrecedence: bulk\r\n\
         Content-Type: multipart/alternative; boundary=x\r\n\r\npreamble\r\n--x\r\nContent-Type: text/plain; charset=shift_jis\r\n\r\n\
         \u{82}\u{a0} http://a.example/\r\n--x\r\nContent-Type: text/html; charset=\"utf-8\"\r\n\r\n<html><body>\
         <p style=\"font-size:0;color:#fff\">hidden</p><a href=\"https://xn--80ak6aa92e.example/?u=https%3A%2F%2Fb.example%2F\">\
         https://bank.example/</a><img src=cid:a><form action=http://192.0.2.9/><input type=password></form></body></html>\r\n--x--\r\n",
        "From: a@b.example\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: message/rfc822\r\n\r\n\
         From: c@d.example\r\nContent-Type: multipart/related; boundary=\"i\"; type=\"text/html\"\r\n\r\n--i\r\n\
         Content-Type: text/html\r\n\r\n<script>eval(atob('x'))</script>\r\n--i\r\nContent-Type: image/png; name=a.png\r\n\
         Content-ID: <a>\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--i--\r\n--o\r\n\
         Content-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR\r\nURL:http://c.example/\r\nEND:VCALENDAR\r\n--o--\r\n",
        "Subject: uu\r\n\r\ntext\r\nbegin 644 a.exe\r\n#0V%T\r\n`\r\nend\r\n",
        "Subject: forwarded\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nPGEgaHJlZj0iaHR0cDovL2EuZXhhbXBsZS8iPmI8L2E+\r\n",
        "MIME-Version: 1.0\r\nFrom: =?utf-8?Q?=E5=B1=B1?= <y@a.example>, \"B, C\" <b@c.example>\r\nContent-Type: multipart/signed; \
         micalg=sha-256; boundary=s; protocol=\"application/pkcs7-signature\"\r\n\r\n--s\r\n\r\ntext\r\n--s\r\n\
         Content-Type: application/pkcs7-signature; name*0=sm; name*1=\"ime.p7s\"\r\n\r\nx\r\n--s--\r\n",
        "Content-Type: message/partial; id=\"a\"; number=1; total=2\r\n\r\nA: b\r\n\r\nc\r\n",
        "Content-Type: application/x-pkcs7-mime; name=smime.p7m\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 a\r\n#0V%T\r\nend\r\n",
    ]));
    out.push(with_attachment("a.zip", &zips()[0]));
    out.push(with_attachment("invoice.pdf.exe", b"MZ\x90\0\x03\0\0\0"));
    out.push(with_attachment("a.pdf", &pdfs()[0]));
    out.push(with_attachment("a.docm", &documents()[0]));
    out.push(with_attachment("a.rtf", b"{\\rtf1{\\*\\template http://x.example/}}"));
    out.push(with_attachment(
        "a.html",
        b"<html><script>x=new Blob([1]);URL.createObjectURL(x)</script>",
    ));
    out.push(with_attachment("winmail.dat", &tnefs()[0]));
    out.push(with_attachment("a.csv", b"a,=cmd|'/c x'!A0\n"));
    out.extend(of_corpus(&["mail"], &[""], 3_000).into_iter().step_by(10).take(60));
    out.extend(of_corpus(&["mime", "japanese"], &[".eml"], 3_000).into_iter().take(60));
    out
}

/// Addresses as phishing writes them.
pub(crate) fn links() -> Vec<Vec<u8>> {
    texts(&[
        "http://user:pw@192.0.2.1:8080/a%2f..%2fb?url=https%3A%2F%2Fb.example%2F#c hxxps://a[.]example/x",
        "https://www.google.com/url?q=https://evil.example/&sa=D https://urldefense.proofpoint.com/v2/url?u=http-3A__a.example_x&d=D",
        "https://nam01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fa.example%2F&data=05 https://l.example/r?u=aHR0cHM6Ly9hLmV4YW1wbGUv",
        "http://xn--pypal-4ve.example/ http://раураl.example/ https://paypal.com.login.example/secure http://0x7f.1/ http://2130706433/",
        "<a href=\"https://a.example/login\" title='x'>https://bank.example/</a> <a href='javascript:alert(1)'>b</a> <base href=//c.example/>",
        "<a href=\"&#104;ttp://a.example/\">Bank.example</a><form action=\"https://d.example/\"><meta http-equiv=refresh content='0;url=http://e.example/'>",
        "mailto:a@b.example?subject=x www.a.example ftp://f.example/a.exe //c.example/x a.example/path?x=1 [IPv6] http://[2001:db8::1]/",
        "data:text/html;base64,PGEgaHJlZj0iaHR0cDovL2EuZXhhbXBsZS8iPg== https://a.example\u{3002}example/ https://ａ.example/ \u{202e}http://b.example/",
    ])
}

/// Archives by a library, one of each method, then hand-made ones.
pub(crate) fn zips() -> Vec<Vec<u8>> {
    let one = |options: SimpleFileOptions, files: &[(&str, &[u8])]| {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, octets) in files {
            writer.start_file(*name, options).unwrap();
            writer.write_all(octets).unwrap();
        }
        writer.finish().unwrap().into_inner()
    };
    let options = |method| SimpleFileOptions::default().compression_method(method);
    let methods = [
        CompressionMethod::Deflated,
        CompressionMethod::Stored,
        CompressionMethod::Bzip2,
        CompressionMethod::Zstd,
    ];
    let mut out: Vec<Vec<u8>> =
        methods.map(|method| one(options(method), &[("a.txt", TEXT), ("b/c.exe", b"MZ")])).into();
    let inner = out[0].clone();
    out.push(one(options(CompressionMethod::Deflated), &[("nested.zip", &inner)]));
    out.extend(super::mutate::archives());
    out
}

/// Archives with the password that the mail says.
pub(crate) fn protected() -> Vec<Vec<u8>> {
    let one = |options: SimpleFileOptions| {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        writer.start_file("a.txt", options).unwrap();
        writer.write_all(TEXT).unwrap();
        writer.finish().unwrap().into_inner()
    };
    let options = || SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    vec![
        one(options().with_aes_encryption(AesMode::Aes128, "secret")),
        one(options().with_aes_encryption(AesMode::Aes256, "secret")),
    ]
}

/// Documents in XML.
pub(crate) fn documents() -> Vec<Vec<u8>> {
    let one = |files: &[(&str, &[u8])]| {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, octets) in files {
            writer
                .start_file(
                    *name,
                    SimpleFileOptions::default().compression_method(CompressionMethod::Stored),
                )
                .unwrap();
            writer.write_all(octets).unwrap();
        }
        writer.finish().unwrap().into_inner()
    };
    let types: &[u8] = b"<Types><Override PartName='/word/document.xml' ContentType='application/vnd.ms-word.document.macroEnabled.main+xml'/></Types>";
    vec![
        one(&[
            ("[Content_Types].xml", types),
            ("word/document.xml", b"<w:p><w:instrText>DDEAUTO c \"x\"</w:instrText></w:p>"),
            ("word/_rels/document.xml.rels", b"<Relationship Type='a/attachedTemplate' Target='http://x.example/' TargetMode='External'/>"),
        ]),
        one(&[
            ("[Content_Types].xml", types),
            ("xl/workbook.xml", b"<workbook><definedName name='_xlnm.Auto_Open' hidden='1'>x</definedName></workbook>"),
            ("xl/macrosheets/sheet1.xml", b"<c><f>EXEC(\"x\")</f></c>"),
        ]),
        one(&[("mimetype", b"application/vnd.oasis.opendocument.text"), ("content.xml", b"<a xlink:href='http://x.example/'/>")]),
    ]
}

pub(crate) fn pdfs() -> Vec<Vec<u8>> {
    let stream = |filter: &str, data: &[u8]| {
        let head =
            format!("%PDF-1.7\n1 0 obj <</Filter {filter}/Length {}>>\nstream\n", data.len());
        [head.as_bytes(), data, b"\nendstream endobj\n"].concat()
    };
    let objects = b"1 0 <</S/JavaScript/JS(app.alert)/URI(http://a.example/)>>";
    let zipped = zlib(objects);
    let mut out = vec![
        b"%PDF-1.7 /OpenAction 1 0 R 1 0 obj <</S/J#61vaScript/JS(x)/URI <6162>>> stream\nx endstream".to_vec(),
        stream("/FlateDecode", &zipped),
        stream("[/ASCIIHexDecode /FlateDecode]", &[to_hex(&zipped).as_bytes(), b">"].concat()),
        stream("/ASCII85Decode", b"<~87cURD]i,\"Ebo80~>"),
        stream("/RunLengthDecode", b"\x02abc\xFEd\x05hello!\x80"),
        stream("/LZWDecode", b"\x80\x0b\x60\x50\x22\x0c\x0c\x85\x01"),
        stream("/FlateDecode", &zlib(&zips()[1])),
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Names<</EmbeddedFiles 2 0 R>>/AA<</O<</S/Launch/F(a.exe)>>>>>>endobj\n\
          trailer<</Encrypt 3 0 R/ID[<00><00>]>>\n3 0 obj<</Filter/Standard/V 2/R 3/O<28>/U<28>/P -4>>endobj\n"
            .to_vec(),
    ];
    out.extend(of_corpus(&["docs"], &[".pdf"], 6_000));
    out
}

fn to_hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

pub(crate) fn zlib(octets: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(octets).unwrap();
    writer.finish().unwrap()
}

/// An encrypted file; no password fits, but what is in it is undone by a key of the fuzzer's.
fn locked(scheme: &str, bytes: usize) -> Vec<u8> {
    let hashes = "5A".repeat(bytes);
    format!(
        "%PDF-1.7\n3 0 obj<</Filter/Standard{scheme}/O<{hashes}>/U<{hashes}>/P -4>>endobj\n1 0 obj<</URI(\\101\\n(x))/T<4142>>>\n\
         stream\n0123456789abcdef0123456789abcdef\nendstream endobj trailer<</Encrypt 3 0 R/ID[<00><00>]>>"
    )
    .into_bytes()
}

/// What stands behind the filters of PDF, without the document.
pub(crate) fn filtered() -> Vec<Vec<u8>> {
    let objects = b"1 0 <</S/JavaScript/JS(app.alert)/URI(http://a.example/)>>";
    vec![
        zlib(objects),
        zlib(&zlib(objects)),
        b"<~87cURD]i,\"Ebo80~>".to_vec(),
        b"48656c6c6f>".to_vec(),
        b"\x02abc\xFEd\x05hello!\x80".to_vec(),
        b"\x80\x0b\x60\x50\x22\x0c\x0c\x85\x01".to_vec(),
        b"<</A/B/URI<6162>/S/Launch>> /OpenAction 1 0 R".to_vec(),
        locked("/V 2/R 3/Length 128", 32),
        locked(
            "/V 4/R 4/Length 128/CF<</StdCF<</CFM/AESV2/Length 16>>>>/StmF/StdCF/StrF/StdCF",
            32,
        ),
        locked(
            "/V 5/R 6/Length 256/CF<</StdCF<</CFM/AESV3/Length 32>>>>/StmF/StdCF/UE<00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF>",
            48,
        ),
    ]
}

pub(crate) fn seven_zips() -> Vec<Vec<u8>> {
    let mut out = vec![
        hex(
            "377abcaf271c0004e94ad17517000000000000002e000000000000005cd228a868656c6c6f2068656c6c6f2068656c6c6f2068656c6c6f0104060001091700070b01000101000c170a01e3513d8d000800000501110d0061002e0074007800740000000000",
        ),
        hex(
            "377abcaf271c000464b38c0113000000000000003000000000000000b63f17eee00016000b5d00341949ee8de9560ab5e000000104060001091300070b010001212101000c170a01e3513d8d000800000501110d0061002e0074007800740000000000",
        ),
    ];
    out.extend(of_corpus(&["archives", "eicar"], &[".7z"], 2_000));
    out
}

pub(crate) fn streams() -> Vec<Vec<u8>> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(TEXT).unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    bzip2.write_all(TEXT).unwrap();
    vec![
        gzip.finish().unwrap(),
        bzip2.finish().unwrap(),
        zstd::encode_all(TEXT, 3).unwrap(),
        // xz, lzma, lzip
        hex(
            "fd377a585a0000016922de360200210116000000742fe5a3e00016000b5d00341949ee8de9560ab5e0000000e3513d8d000123178d47fc1d9042990d010000000001595a",
        ),
        hex("5d00008000ffffffffffffffff00341949ee8de9560bd5c5a3ffff78a40000"),
        hex(
            "4c5a4950010c00341949ee8de9560bd5c5a3ffff78a40000e3513d8d17000000000000002c00000000000000",
        ),
        zlib(TEXT),
    ]
}

pub(crate) fn cabinets() -> Vec<Vec<u8>> {
    let one = |kind| {
        let mut builder = cab::CabinetBuilder::new();
        let folder = builder.add_folder(kind);
        folder.add_file("a.txt");
        folder.add_file("b.exe");
        let mut writer = builder.build(Cursor::new(Vec::new())).unwrap();
        while let Some(mut file) = writer.next_file().unwrap() {
            file.write_all(TEXT).unwrap();
        }
        writer.finish().unwrap().into_inner()
    };
    let mut out = vec![one(cab::CompressionType::None), one(cab::CompressionType::MsZip)];
    out.extend(of_corpus(&["archives"], &[".cab"], 6_000));
    out
}

pub(crate) fn tars() -> Vec<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind) in [("a.txt", tar::EntryType::Regular), ("b", tar::EntryType::Directory)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(if kind.is_dir() { 0 } else { TEXT.len() as u64 });
        header.set_entry_type(kind);
        let octets = if kind.is_dir() { &[] } else { TEXT };
        builder.append_data(&mut header, name, octets).unwrap();
    }
    let mut long = tar::Header::new_gnu();
    long.set_size(2);
    builder.append_data(&mut long, "c/".repeat(80), b"MZ".as_slice()).unwrap();
    let mut out = vec![builder.into_inner().unwrap()];
    out.extend(of_corpus(&["archives", "eicar"], &[".tar"], 6_000));
    out
}

pub(crate) fn cpios() -> Vec<Vec<u8>> {
    let new = |name: &str, data: &str| {
        let field = |value: usize| format!("{value:08x}");
        let mut out = format!("070701{}{}{}", field(1), field(0o100_644), field(0).repeat(4));
        out.push_str(&field(data.len()));
        out.push_str(&field(0).repeat(4));
        out.push_str(&field(name.len() + 1));
        out.push_str(&field(0));
        out.push_str(name);
        out.push('\0');
        while out.len() % 4 > 0 {
            out.push('\0');
        }
        out.push_str(data);
        while out.len() % 4 > 0 {
            out.push('\0');
        }
        out
    };
    let mut out = texts(&[
        &(new("a.txt", "hello") + &new("TRAILER!!!", "")),
        &format!(
            "070707{}{}{}{}hello",
            "000000000001100644".repeat(2),
            "000000".repeat(3),
            "00000000000000000600000000005",
            "a.txt\0"
        ),
    ]);
    out.extend(of_corpus(&["archives", "eicar"], &[".cpio"], 6_000));
    out
}

/// A member stored by LHA, level 0; the last octet is the end.
pub(crate) fn lzhs() -> Vec<Vec<u8>> {
    let mut header = b"-lh0-".to_vec();
    header.extend(5_u32.to_le_bytes());
    header.extend(5_u32.to_le_bytes());
    header.extend([0, 0, 0x21, 0x50, 0x20, 0, 5]);
    header.extend(b"a.txt");
    header.extend([0, 0]);
    let sum = header.iter().fold(0_u8, |sum, octet| sum.wrapping_add(*octet));
    let mut out = vec![[&[header.len() as u8, sum][..], &header, b"hello\0"].concat()];
    out.extend(of_corpus(&["archives", "eicar"], &[".lzh"], 6_000));
    out
}

pub(crate) fn rars() -> Vec<Vec<u8>> {
    // RAR 4: head, a stored member of five octets, the end. RAR 5: the same.
    let four = [
        b"Rar!\x1A\x07\x00\xcf\x90\x73\0\0\x0d\0\0\0\0\0\0\0".as_slice(),
        b"\0\0\x74\x20\x80\x25\0\x05\0\0\0\x05\0\0\0\x02\0\0\0\0\0\0\x21\x50\x14\x30\x05\0\x20\0\0\0a.txthello",
        b"\xc4\x3d\x7b\0\x40\x07\0",
    ]
    .concat();
    let five = [
        b"Rar!\x1A\x07\x01\x00".as_slice(),
        b"\0\0\0\0\x03\x01\x05\0",
        b"\0\0\0\0\x0d\x02\x02\x05\0\x05\x20\0\0\x05a.txthello",
        b"\0\0\0\0\x03\x05\x04\0",
    ]
    .concat();
    let mut out = vec![four, five];
    out.extend(of_corpus(&["archives"], &[".rar"], 3_000));
    out
}

pub(crate) fn arjs() -> Vec<Vec<u8>> {
    let header = |name: &[u8], kind: u8, bytes: u32| {
        let mut head = vec![30, 11, 1, 0, 0, 0, kind, 0, 0, 0, 0, 0];
        head.extend(bytes.to_le_bytes());
        head.extend(bytes.to_le_bytes());
        head.resize(30, 0);
        head.extend(name);
        head.extend([0, 0]);
        let mut out = b"\x60\xEA".to_vec();
        out.extend((head.len() as u16).to_le_bytes());
        out.extend(head);
        out.extend([0; 6]);
        out
    };
    let whole =
        [header(b"a.arj", 2, 0), header(b"a.txt", 0, 5), b"hello\x60\xEA\0\0".to_vec()].concat();
    let mut out = vec![whole];
    out.extend(of_corpus(&["eicar", "archives"], &[".arj"], 6_000));
    out
}

/// A disk image of one file: descriptors, a directory, the file.
pub(crate) fn images() -> Vec<Vec<u8>> {
    let record = |extent: u32, bytes: u32, flags: u8, name: &[u8]| {
        let mut out = vec![0_u8; 33];
        out[2..6].copy_from_slice(&extent.to_le_bytes());
        out[10..14].copy_from_slice(&bytes.to_le_bytes());
        out[25] = flags;
        out[32] = name.len() as u8;
        out.extend(name);
        out.resize(out.len().next_multiple_of(2), 0);
        out[0] = out.len() as u8;
        out
    };
    let mut image = vec![0_u8; 20 * 2048];
    let mut put = |at: usize, octets: &[u8]| image[at..at + octets.len()].copy_from_slice(octets);
    put(16 * 2048, b"\x01CD001\x01");
    put(16 * 2048 + 156, &record(18, 2048, 2, &[0]));
    put(17 * 2048, b"\xffCD001\x01");
    let records =
        [record(18, 2048, 2, &[0]), record(18, 2048, 2, &[1]), record(19, 5, 0, b"A.TXT;1")];
    put(18 * 2048, &records.concat());
    put(19 * 2048, b"hello");
    vec![image]
}

pub(crate) fn tnefs() -> Vec<Vec<u8>> {
    let attribute = |level: u8, id: u32, data: &[u8]| {
        let mut out = vec![level];
        out.extend(id.to_le_bytes());
        out.extend((data.len() as u32).to_le_bytes());
        out.extend(data);
        out.extend(
            data.iter().fold(0_u16, |sum, octet| sum.wrapping_add((*octet).into())).to_le_bytes(),
        );
        out
    };
    let whole = [
        b"\x78\x9f\x3e\x22\x01\0".to_vec(),
        attribute(1, 0x0008_9006, &[0, 0, 1, 0]),
        attribute(1, 0x0002_800C, b"body"),
        attribute(2, 0x0006_9002, &[1, 0, 0, 0]),
        attribute(2, 0x0001_8010, b"a.exe\0"),
        attribute(2, 0x0006_800F, b"MZhello"),
    ];
    vec![whole.concat()]
}

pub(crate) fn notebooks() -> Vec<Vec<u8>> {
    let file = b"\xE7\x16\xE3\xBD\x65\x26\x11\x45\xA4\xC4\x8D\x4D\x0B\x7A\x9E\xAC";
    let mut one = b"\xE4\x52\x5C\x7B\x8C\xD8\xA7\x4D\xAE\xB1\x53\x78\xD0\x29\x96\xD3".to_vec();
    one.resize(1024, 0);
    for data in [b"<script>".as_slice(), b"PK\x03\x04"] {
        one.extend(file);
        one.extend((data.len() as u64).to_le_bytes());
        one.extend([0; 12]);
        one.extend(data);
    }
    vec![one]
}
