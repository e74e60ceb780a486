//! TM-09: what documents say is found by words of the administrator, whatever they are written in.

use std::rc::Rc;

use super::pdf::{hex, pdf, zlib};
use super::{corpus, eicar, kinds_of, mail_with, no_tables};
use crate::message::{View, ViewLimits};
use crate::scan::content::{ContentSet, Expression, Needle, WordMatch};
use crate::scan::finding::FindingKind;
use crate::scan::{ArchiveLimits, ScanTables, examine, expand};

/// How often a word is found in an attachment, as an analysis worker looks.
fn count(word: &str, name: &str, octets: &[u8]) -> u32 {
    let words = vec![Box::from(word)];
    let expression = Expression::new(Needle::Words { words, how: WordMatch::Part, all: false });
    let raw = mail_with(name, octets);
    let mut view = View::build(&raw, &ViewLimits::worker());
    expand(&mut view, &ArchiveLimits::default());
    futures_lite::future::block_on(async {
        let set = [Rc::new(ContentSet::compile(&[&expression], &async || ()).await)];
        let tables = ScanTables { content: &set, ..no_tables() };
        let patterns = &mut crate::scan::patterns::Scratch::default();
        let seen = examine(&view, &tables, patterns, None, &async || ()).await.unwrap();
        seen.content.first().map_or(0, |hit| hit.count)
    })
}

#[test]
fn tm_09_words_of_rich_text_are_found_behind_their_escapes() {
    for (story, word, rtf) in [
        ("plain", "top secret", r"{\rtf1\ansi top secret}"),
        ("octets by number", "top secret", r"{\rtf1\ansi \'74op s\'65cret}"),
        ("formats between letters", "secret", r"{\rtf1\ansi se{\b cr}\i et}"),
        ("Shift_JIS by page", "社外秘", r"{\rtf1\ansi\ansicpg932 \'8e\'d0\'8a\'4f\'94\'e9}"),
        (
            "Shift_JIS by font",
            "社外秘",
            r"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0\fcharset0 A;}{\f3\fcharset128 B;}}\f3 \'8e\'d0\'8a\'4f\'94\'e9}",
        ),
        ("characters by number", "社外秘", r"{\rtf1\ansi\uc1 \u31038?\u22806?\u31192?}"),
        (
            "negative numbers",
            "社外秘",
            r"{\rtf1\ansi\uc2 \u31038\'8e\'d0\u22806\'8a\'4f\u31192\'94\'e9}",
        ),
        ("a line that is broken in the file", "top secret", "{\\rtf1\\ansi top sec\r\nret}"),
    ] {
        assert_eq!(count(word, "a.rtf", rtf.as_bytes()), 1, "{story}");
        assert_eq!(count(word, "a.doc", rtf.as_bytes()), 1, "{story}, called otherwise");
    }
    let hidden = r"{\rtf1{\fonttbl{\f0 secret;}}{\info{\title secret}}{\*\generator secret;}{\pict secret}x}";
    assert_eq!(count("secret", "a.rtf", hidden.as_bytes()), 0, "what nobody sees");
}

fn content(instructions: &str) -> Vec<u8> {
    format!("BT /F1 12 Tf 72 700 Td {instructions} ET\n").into_bytes()
}

#[test]
fn tm_09_words_of_pdf_are_found_however_they_are_drawn() {
    for (story, instructions) in [
        ("a string", "(top secret) Tj"),
        ("escapes", r"(top\040sec\162et) Tj"),
        ("hexadecimal", "<746f702073 65637265 74> Tj"),
        ("pieces", "[(to) -20 (p s) 15 (ecr) (et)] TJ"),
        ("a gap for a blank", "[(top) -300 (secret)] TJ"),
        ("strings at places", "(top) Tj 30 0 Td (secret) Tj"),
        (
            "letters at places",
            "(top s) Tj 26 0 Td (e) Tj 6 0 Td (c) Tj 6 0 Td (r) Tj 4 0 Td (et) Tj",
        ),
        ("by the matrix", "1 0 0 1 72 600 Tm (top) Tj 1 0 0 1 95 600 Tm (secret) Tj"),
        ("the next line", "(first) Tj 14 TL (top secret) '"),
    ] {
        let plain = content(instructions);
        for (data, filter) in
            [(zlib(&plain), "/Filter /FlateDecode"), (hex(&plain), "/Filter /ASCIIHexDecode")]
        {
            assert_eq!(count("top secret", "a.pdf", &pdf(filter, &data)), 1, "{story} {filter}");
        }
    }
    let apart = content("(top) Tj 0 -14 Td (secret) Tj");
    assert_eq!(count("top secret", "a.pdf", &pdf("", &zlib(&apart))), 0, "on two lines");
}

/// A PDF whose font says this of itself; the text is drawn in it.
fn document(font: &str, string: &str, more: &[u8]) -> Vec<u8> {
    let data = zlib(&content(&format!("{string} Tj")));
    let head = format!(
        "%PDF-1.4\n1 0 obj\n<< /Type /Page /Contents 4 0 R /Resources 2 0 R >>\nendobj\n\
         2 0 obj\n<< /Font << /F1 3 0 R >> >>\nendobj\n3 0 obj\n<< /Type /Font {font} >>\nendobj\n\
         4 0 obj\n<< /Filter /FlateDecode /Length {} >>\nstream\n",
        data.len()
    );
    [head.as_bytes(), &data, b"\nendstream\nendobj\n", more].concat()
}

const MAP: &str = "/CIDInit /ProcSet findresource begin begincmap\n1 begincodespacerange <0000> <ffff> \
    endcodespacerange\n2 beginbfchar <0003> <793e> <0005> <79d8> endbfchar\n1 beginbfrange <0004> <0004> \
    [<5916>] endbfrange\n1 beginbfrange <0020> <0030> <0041> endbfrange\nendcmap";

#[test]
fn tm_09_japanese_in_pdf_is_found_by_what_its_fonts_say() {
    let stream = |number: u32, data: &[u8]| {
        let head = format!("{number} 0 obj\n<< /Filter /FlateDecode >>\nstream\n");
        [head.as_bytes(), &zlib(data), b"\nendstream\nendobj\n"].concat()
    };
    let map = stream(9, MAP.as_bytes());
    let composite = "/Subtype /Type0 /Encoding /Identity-H /ToUnicode 9 0 R";
    for (story, octets) in [
        ("a map", document(composite, "<000300040005>", &map)),
        (
            "a name with escapes",
            document(&composite.replace("Unicode", "#55nicode"), "<000300040005>", &map),
        ),
        ("Shift_JIS", document("/Subtype /Type0 /Encoding /90ms-RKSJ-H", "<8ed08a4f94e9>", b"")),
        ("EUC", document("/Subtype /Type0 /Encoding /EUC-H", "<bcd2b3b0c8eb>", b"")),
        ("UTF-16", document("/Subtype /Type0 /Encoding /UniJIS-UTF16-H", "<793e591679d8>", b"")),
    ] {
        assert_eq!(count("社外秘", "a.pdf", &octets), 1, "{story}");
    }
    let range = document(composite, "<002000220020>", &map);
    assert_eq!(count("ACA", "a.pdf", &range), 1, "a range of codes");
    // Resources and font in a stream of objects; the text names them only there.
    let (resources, font) =
        ("<< /Font << /F1 3 0 R >> >>", format!("<< /Type /Font {composite} >>"));
    let objects = format!("2 0 3 {} {resources} {font}", resources.len() + 1);
    let page = "%PDF-1.4\n1 0 obj\n<< /Type /Page /Contents 4 0 R /Resources 2 0 R >>\nendobj\n";
    let drawn = stream(4, &content("<000300040005> Tj"));
    let octets = [page.as_bytes(), &drawn, &stream(7, objects.as_bytes()), &map].concat();
    assert_eq!(count("社外秘", "a.pdf", &octets), 1, "objects in a stream");
    // Two fonts of one name and no page that says which: both readings are searched.
    let two = [
        b"11 0 obj\n<< /Font << /F1 12 0 R >> >>\nendobj\n12 0 obj\n<< /Type /Font /Subtype /Type0 /Encoding \
          /90ms-RKSJ-H >>\nendobj\n"
            .to_vec(),
        stream(13, &content("<8ed08a4f94e9> Tj")),
        map,
    ];
    let octets = document(composite, "<0003>", &two.concat());
    assert_eq!(count("社外秘", "a.pdf", &octets), 1);
}

#[test]
fn a_pdf_with_an_escaped_name_of_encryption_is_encrypted() {
    for name in ["/Encrypt", "/#45ncrypt", "/E#6ecryp#74"] {
        let octets =
            format!("%PDF-1.4\ntrailer << {name} 5 0 R >>\n5 0 obj << /Filter /Standard >>");
        let kinds = kinds_of(&mail_with("a.pdf", octets.as_bytes()));
        assert!(kinds.contains(&FindingKind::Encrypted), "{name}: {kinds:?}");
    }
}

#[test]
fn a_stream_that_cannot_be_unfolded_is_malformed_and_what_is_before_is_kept() {
    let noise: Vec<u8> =
        (0..9_000_u32).map(|n| b'!' + (n.wrapping_mul(2_654_435_761) >> 13) as u8 % 90).collect();
    let good = zlib(&[&eicar()[..], &noise].concat());
    let flate = "/Filter /FlateDecode";
    let malformed =
        |octets: &[u8]| kinds_of(&mail_with("a.pdf", octets)).contains(&FindingKind::Malformed);
    assert!(!malformed(&pdf(flate, &good)));
    // A stored block, then one of a type that is none.
    let bytes = noise.len() as u16;
    let broken =
        [b"\x78\x9C\0", &bytes.to_le_bytes()[..], &(!bytes).to_le_bytes(), &noise, &[7; 400]];
    let broken = broken.concat();
    for (story, octets) in [
        ("rubbish", pdf(flate, b"\x78\x9CGARBAGEGARBAGEGARBAGE")),
        ("no mark", pdf(flate, b"GARBAGEGARBAGEGARBAGE")),
        ("named in a list", pdf("/Filter [ /Fl ]", b"GARBAGEGARBAGEGARBAGE")),
        ("an escaped name", pdf("/Filter /Fl#61teDecode", b"GARBAGEGARBAGEGARBAGE")),
        ("broken in the middle", pdf(flate, &broken)),
    ] {
        assert!(malformed(&octets), "{story}");
    }
    // What honest writers leave out or get wrong: the check sum, blanks, the end of the line, empty streams.
    let mut sum = good.clone();
    *sum.last_mut().unwrap() ^= 1;
    for (story, octets) in [
        ("a wrong sum", pdf(flate, &sum)),
        ("no sum", pdf(flate, &good[..good.len() - 4])),
        ("the end is missing", pdf(flate, &good[..good.len() - 12])),
        ("empty", pdf(flate, b"")),
        ("encrypted", pdf("/Filter /FlateDecode /Encrypt", b"GARBAGEGARBAGEGARBAGE")),
        ("no filter", pdf("", b"GARBAGEGARBAGEGARBAGE")),
    ] {
        assert!(!malformed(&octets), "{story}");
    }
    let cut = pdf(flate, &good[..good.len() / 2]);
    assert!(
        kinds_of(&mail_with("a.pdf", &cut)).contains(&FindingKind::Malware),
        "the begin is kept"
    );
}

#[test]
fn tm_09_words_of_old_office_documents_are_found() {
    let Some(folder) = corpus("docs") else { return };
    for (path, word) in [
        ("office/oletools-msodde/harmless-clean.doc", "harmless test document"),
        ("office/oletools-oleobj/embedded-unicode.doc", "contains an embedded object"),
        ("office/poi/document-HeaderWithMacros.doc", "FOOTER GOES HERE"),
        ("office/oletools-oleobj/embedded-simple-2007.xls", "Have fun parsing"),
        ("office/poi/spreadsheet-SimpleMacro.xls", "This is a macro workbook"),
        ("office/poi/slideshow-SimpleMacro.ppt", "This is a macro slideshow"),
        ("office/oletools-olevba/sample_with_vba.ppt", "마스터 제목 스타일"),
    ] {
        let octets = std::fs::read(folder.join(path)).unwrap();
        let name = path.rsplit('/').next().unwrap();
        assert!(count(word, name, &octets) > 0, "{path}");
        assert_eq!(count("nothing of this kind", name, &octets), 0, "{path}");
    }
}
