//! What acts when it is opened, under every name and type that opens it: parts without a name, pages and drawings that begin
//! as something else, documents that lead outside.

use super::active::{acts, rules, seen};
use super::{mail_with, zip_of};

const MAKES: &str = "var b=new Blob([atob('UEsDBA==')]);a.href=URL.createObjectURL(b);a.download='x.zip';a.click();";

fn makes() -> String {
    format!("<script>{MAKES}</script>")
}

fn program() -> Vec<u8> {
    let mut out = vec![0; 0x40];
    out[..2].copy_from_slice(b"MZ");
    out[0x3C] = 0x40;
    out.extend(b"PE\0\0L\x01\0\0");
    out
}

/// A mail of these parts: header fields and octets.
fn mail_of(kind: &str, parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut raw =
        format!("Subject: x\r\nContent-Type: multipart/{kind}; boundary=b\r\n").into_bytes();
    for (fields, octets) in parts {
        let fields = format!("\r\n--b\r\n{fields}\r\nContent-Transfer-Encoding: base64\r\n\r\n");
        raw.extend(fields.as_bytes());
        raw.extend(super::base64(octets));
    }
    raw.extend(b"\r\n--b--\r\n");
    raw
}

const TEXT: (&str, &[u8]) = ("Content-Type: text/plain", b"Please see the attachment.");

/// A tester's mail with a PDF of 3 MB took eight seconds: every string that does not end was read for 8 KiB.
#[test]
fn links_of_a_pdf_that_do_not_end_cost_little_and_hide_no_other() {
    for one in ["/URI(", "/URI(()", "/URI<"] {
        let mut pdf = b"%PDF-1.7\n".to_vec();
        pdf.extend(one.repeat(600_000).as_bytes());
        pdf.extend(b") > << /S /URI /URI (http://late.example/) >>");
        let begun = std::time::Instant::now();
        let seen = seen(&mail_with("a.pdf", &pdf));
        assert!(begun.elapsed().as_secs() < 20, "{one}: {:?}", begun.elapsed());
        let hosts = &seen.facts.url_hosts;
        assert!(one.contains("()") || hosts.iter().any(|host| &**host == "late.example"), "{one}");
    }
}

/// A part with neither name nor disposition was looked at by no check, and clients show it as ATT00001.
#[test]
fn parts_without_a_name_are_attachments_unless_they_are_the_text() {
    let program = program();
    let shortcut = b"\x4C\0\0\0\x01\x14\x02\0rest".to_vec();
    let page = makes().into_bytes();
    let rows: [(&str, &[u8], &str); 9] = [
        ("Content-Type: application/octet-stream", &program, "ATTACH_PROGRAM"),
        (
            "Content-Type: image/png\r\nContent-Disposition: inline",
            &program,
            "ATTACH_DISGUISED_PROGRAM",
        ),
        ("Content-Type: text/plain", &program, "ATTACH_DISGUISED_PROGRAM"),
        ("Content-Type: application/octet-stream", &shortcut, "ACTIVE_SHORTCUT"),
        ("Content-Type: application/hta", b"<html><hta:application/>", "ACTIVE_SCRIPT"),
        ("Content-Type: application/javascript", b"var x=new ActiveXObject('x')", "ACTIVE_SCRIPT"),
        ("Content-Type: text/vbscript", b"MsgBox 1", "ACTIVE_SCRIPT"),
        ("Content-Type: image/svg+xml", b"<svg><script>1</script></svg>", "ACTIVE_SVG_SCRIPT"),
        ("Content-Type: text/html", &page, "ACTIVE_HTML_SMUGGLING"),
    ];
    for (fields, octets, expected) in rows {
        let seen = seen(&mail_of("mixed", &[TEXT, (fields, octets)]));
        assert!(rules(&seen).contains(&expected), "{fields}: {:?}", rules(&seen));
    }
    // Where it may be the text in another form, a script is none of a letter when it makes a file.
    for kind in ["alternative", "mixed"] {
        let inner = mail_of("mixed", &[TEXT, ("Content-Type: text/html", &page)]);
        let outer = mail_of(kind, &[TEXT, ("Content-Type: message/rfc822", &inner)]);
        for raw in [mail_of("alternative", &[TEXT, ("Content-Type: text/html", &page)]), outer] {
            assert_eq!(rules(&seen(&raw)), ["ACTIVE_HTML_SMUGGLING"], "{kind}");
        }
    }
}

#[test]
fn an_ordinary_newsletter_says_nothing() {
    // Markup for mail programs (schema.org), and the page that some of them show in its place, are scripts that nobody runs.
    let html = b"<!DOCTYPE html><html><head><script type='application/ld+json'>{}</script><style>@font-face{src:\
        url(data:application/font-woff;base64,AA)}</style></head><body><a href='https://www.example.com/?download=1'>\
        <img src='cid:1' alt='x'></a> online = 1</body></html>";
    let amp = b"<!doctype html><html amp4email><script async src='https://cdn.example/v0.js'></script></html>";
    let (gif, png) = (&b"GIF89a\x01\0\x01\0"[..], &b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"[..]);
    let logo = b"<?xml version=\"1.0\"?><!-- Generator --><svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"\"><path d=\"M0\"/></svg>";
    let alternative: [(&str, &[u8]); 4] = [
        TEXT,
        ("Content-Type: text/x-amp-html", amp),
        ("Content-Type: text/html", html),
        ("Content-Type: text/calendar; method=REQUEST", b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"),
    ];
    let inline: [(&str, &[u8]); 6] = [
        ("Content-Type: text/html", html),
        ("Content-Type: image/gif\r\nContent-ID: <1>", gif),
        ("Content-Type: image/png\r\nContent-Disposition: inline", png),
        ("Content-Type: image/svg+xml", logo),
        ("Content-Type: application/pgp-signature", b"-----BEGIN PGP SIGNATURE-----\r\n"),
        ("Content-Type: text/plain", b"#!/bin/sh\r\n-- \r\nlist footer"),
    ];
    let nested = mail_of("alternative", &alternative);
    let single = [b"From: a@b.example\r\nContent-Type: text/html\r\n\r\n", &html[..]].concat();
    for (kind, parts) in [
        ("alternative", &alternative[..]),
        ("related; type=\"text/html\"", &inline[..]),
        ("mixed", &inline[..]),
        ("mixed", &[TEXT, ("Content-Type: message/rfc822", &nested)][..]),
        ("mixed", &[TEXT, ("Content-Type: message/rfc822", &single)][..]),
    ] {
        let seen = seen(&mail_of(kind, parts));
        assert_eq!(rules(&seen), Vec::<&str>::new(), "{kind} {:?}", seen.findings);
    }
    // Inside: the two forms of one text are beside each other.
    let raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n\
        --c\r\n\r\ntext\r\n--c\r\nContent-Type: text/html\r\n\r\n<html><script>1</script></html>\r\n--c--\r\n--b--\r\n";
    assert_eq!(rules(&seen(raw)), Vec::<&str>::new());
}

#[test]
fn a_page_is_one_by_its_name_whatever_it_begins_with() {
    let makes = makes();
    let wide = |order: fn(u16) -> [u8; 2], mark: &[u8]| -> Vec<u8> {
        mark.iter().copied().chain(makes.encode_utf16().flat_map(order)).collect()
    };
    let both = &["ACTIVE_HTML_SCRIPT", "ACTIVE_HTML_SMUGGLING"][..];
    for octets in [
        format!("<div>{makes}</div>").into_bytes(),
        format!("<!--{}-->{makes}", "x".repeat(3_000)).into_bytes(),
        format!("Please wait...{makes}").into_bytes(),
        format!("<title>x</title>{makes}").into_bytes(),
        format!("<!DOCTYPE   html><p>{makes}").into_bytes(),
        format!("\0\0<html>{makes}").into_bytes(),
        format!("<html>\0<scr\0ipt>{MAKES}").into_bytes(),
        format!("GIF89a/*<html>{makes}").into_bytes(),
        format!("%PDF-1.4 --><html>{makes}").into_bytes(),
        format!("<?xml version='1.0'?><!--{}--><x:script>{MAKES}</x:script>", "x".repeat(2_000))
            .into_bytes(),
        b"<img src=x onerror=\"location=URL.createObjectURL(new Blob([atob(1)]))\">".to_vec(),
        wide(u16::to_le_bytes, b"\xFF\xFE"),
        wide(u16::to_be_bytes, b"\xFE\xFF"),
    ] {
        for name in ["a.html", "a.htm", "a.xhtml", "a.shtml", "A.HTM. "] {
            acts(name, &octets, both);
        }
        acts("a.zip", &zip_of(&[("a.html", &octets)]), both);
    }
    for page in [
        "<base href=x><script src='https://bad.example/x.js'></script>",
        "<html><iframe srcdoc=\"&lt;script&gt;alert(1)&lt;/script&gt;\"></iframe>",
        "<html><body/onload=alert(1)>",
        "<html><body\tonload =\r\nalert(1)>",
        &format!("<p onclick{}={}'x()'>", " ".repeat(200), "\n".repeat(200)),
        "<html><details open ontoggle=\"location=1\">",
        "<p><input autofocus onfocus='x()'>",
    ] {
        acts("a.html", page.as_bytes(), &["ACTIVE_HTML_SCRIPT"]);
    }
    for page in [
        "<div>once = 1, online = 2, only=3</div>",
        "<p data-onload='x' onclick='' title='a=b'>onclick</p>",
        "%PDF is no page",
    ] {
        acts("a.html", page.as_bytes(), &[]);
    }
}

#[test]
fn a_drawing_has_a_script_under_every_prefix_and_in_every_event() {
    let long =
        format!("<?xml version='1.0'?><!--{}--><svg><script>1</script></svg>", "x".repeat(5_000));
    for drawing in [
        "<svg xmlns='x'><rect onclick=\"location=1\" width='9'/></svg>",
        "<svg xmlns='x'><animate onbegin='alert(1)'/></svg>",
        "<svg xmlns='x'\nonload='alert(1)'></svg>",
        "<?xml version='1.0'?><s:svg xmlns:s='x'><s:script>alert(1)</s:script></s:svg>",
        "<svg xmlns='x' xmlns:s='y'><s:script>alert(1)</s:script></svg>",
        "<!DOCTYPE svg [ <!ENTITY x \"&#60;script>alert(1)&#60;/script>\"> ]><svg>&x;</svg>",
        &long,
    ] {
        acts("a.svg", drawing.as_bytes(), &["ACTIVE_SVG_SCRIPT"]);
    }
    let logo = "<?xml version='1.0'?>\n<!-- Generator: x -->\n<!DOCTYPE svg PUBLIC 'x' 'y' [\n<!ENTITY ns 'z'>\n]>\n\
        <svg version='1.1' xmlns='http://www.w3.org/2000/svg' onclick=''><style>.a{fill:red}</style><desc>description: \
        one</desc><image xlink:href='data:image/png;base64,AA=='/></svg>";
    acts("a.svg", logo.as_bytes(), &[]);
}

/// `attachment_active` is about programs, too. They have findings as attachments, and the setting for documents is not asked.
#[test]
fn a_program_is_active_and_no_finding_of_active_content() {
    for (name, octets, expected) in [
        ("a.exe", program(), true),
        ("a.dat", program(), true),
        ("a.zip", zip_of(&[("b/a.exe", &program())]), true),
        ("a.txt", b"MZ is a text".to_vec(), false),
    ] {
        let seen = seen(&mail_with(name, &octets));
        assert_eq!(seen.facts.attachments[0].active, expected, "{name}");
        assert!(seen.active().is_none(), "{name}: {:?}", rules(&seen));
    }
}

#[test]
fn a_script_is_one_by_the_name_that_it_is_saved_under() {
    for name in
        ["evil.js", "evil.js.", "evil.js . ", "evil.JS::$DATA", "evil.js::$data.", "a.\u{202E}js"]
    {
        acts(name, b"var x=1;", &["ACTIVE_SCRIPT"]);
        let seen = seen(&mail_with(name, b"var x=1;"));
        assert!(rules(&seen).contains(&"ATTACH_DANGEROUS"), "{name}: {:?}", rules(&seen));
    }
    acts("a.hta", b"<hta:application/><p>x</p>", &["ACTIVE_SCRIPT"]);
    acts("a.zip", &zip_of(&[("a.hta", b"<hta:application/>")]), &["ACTIVE_SCRIPT"]);
    acts("a.js.txt", b"var x=1;", &[]);
    // Longer than a file system takes: a client keeps the extension.
    let long = format!("{}.js", "a".repeat(300));
    acts(&long, b"var x=1;", &["ACTIVE_SCRIPT"]);
    acts(&format!("evil.js{}", ". ".repeat(300)), b"var x=1;", &["ACTIVE_SCRIPT"]);
    let pieces: Vec<String> =
        (0..6).map(|at| format!(" filename*{at}=\"{}\"", "a".repeat(60))).collect();
    let fields = format!(
        "Content-Type: application/octet-stream\r\nContent-Disposition: attachment;{}; filename*6=\".js\"",
        pieces.join(";")
    );
    let seen = seen(&mail_of("mixed", &[TEXT, (&fields, b"var x=1;")]));
    assert!(rules(&seen).contains(&"ACTIVE_SCRIPT"), "{:?}", rules(&seen));
    assert!(rules(&seen).contains(&"ATTACH_DANGEROUS"), "{:?}", rules(&seen));
}

#[test]
fn endings_that_run_something_are_dangerous() {
    for ending in [
        "rdp",
        "appinstaller",
        "searchConnector-ms",
        "diagcab",
        "themepack",
        "website",
        "xla",
        "ppa",
        "wll",
        "mam",
        "accde",
        "vsto",
        "xnk",
        "psc2",
        "ps1xml",
        "pyz",
        "pyzw",
        "desktop",
        "webloc",
    ] {
        let seen = seen(&mail_with(&format!("a.{ending}"), b"x"));
        assert!(rules(&seen).contains(&"ATTACH_DANGEROUS"), "{ending}");
    }
}

/// A name longer than a file system takes lost its end, and with it what opens the file.
#[test]
fn names_are_asked_as_they_are_saved_and_long_ones_keep_their_end() {
    let long = format!("{}.js", "a".repeat(300));
    let dots = format!("evil.js{}", ". ".repeat(300));
    for name in ["evil.js", "evil.js . ", "evil.JS::$DATA", "evil.js::$data.", &long, &dots] {
        let seen = seen(&mail_with(name, b"var x=1;"));
        assert!(rules(&seen).contains(&"ATTACH_DANGEROUS"), "{name}: {:?}", rules(&seen));
        assert!(seen.facts.attachments[0].name.chars().count() <= 255, "{name}");
    }
    let kept = seen(&mail_with(&"あ".repeat(300), b"x"));
    assert!(kept.facts.attachments[0].name.chars().all(|c| c == 'あ'));
}

#[test]
fn scripts_of_forms_in_a_pdf() {
    use std::io::Write;
    let stream = |form: &str| {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(form.as_bytes()).unwrap();
        let packed = zlib.finish().unwrap();
        [b"%PDF-1.7\n<</Filter/FlateDecode>> stream\n", &packed[..], b"\nendstream"].concat()
    };
    let form = |kind: &str| {
        format!("<xdp:xdp><script contentType='application/x-{kind}'>x</script></xdp:xdp>")
    };
    acts("a.pdf", &stream(&form("javascript")), &["ACTIVE_PDF_JAVASCRIPT"]);
    acts("a.pdf", &stream(&form("formcalc")), &[]);
}

fn package(name: &str, xml: &str) -> Vec<u8> {
    zip_of(&[("[Content_Types].xml", b"<Types/>"), (name, xml.as_bytes())])
}

#[test]
fn documents_that_lead_outside_by_fields_links_and_queries() {
    let relationship = |kind: &str, target: &str, mode: &str| {
        let kind = format!("http://schemas.openxmlformats.org/x/{kind}");
        format!(
            "<Relationships><Relationship Id='r' Type='{kind}' Target='{target}' {mode}/></Relationships>"
        )
    };
    let (remote, none) = (&["ACTIVE_REMOTE_OBJECT"][..], &[][..]);
    for (kind, target, expected) in [
        ("aFChunk", "http://203.0.113.9/a.rtf", remote),
        ("externalLinkPath", "\\\\203.0.113.9\\x.xlsx", remote),
        ("externalLinkPath", "file:///\\\\files.bad.example\\s\\x.xlsx", remote),
        ("externalLinkPath", "file://files.bad.example/s/x.xlsx", remote),
        ("externalLinkPath", "//bad.example@SSL/x.xlsx", remote),
        // The office's own.
        ("externalLinkPath", "book2.xlsx", none),
        ("externalLinkPath", "../sales/book2.xlsx", none),
        ("externalLinkPath", "file:///C:\\Users\\x.y\\book2.xlsx", none),
        ("externalLinkPath", "file:///\\\\fileserver\\sales\\book2.xlsx", none),
        ("externalLinkPath", "\\\\192.168.1.2\\sales\\book2.xlsx", none),
        ("externalLinkPath", "https://example.sharepoint.com/book2.xlsx", none),
        ("hyperlink", "https://www.example.com/", none),
    ] {
        let xml = relationship(kind, target, "TargetMode='External'");
        acts("a.docx", &package("word/_rels/document.xml.rels", &xml), expected);
    }
    let inside = |target: &str| relationship("oleObject", target, "");
    let moved = package("word/_rels/document.xml.rels", &inside("media/x.bin"));
    acts("a.docx", &moved, &["ACTIVE_EMBEDDED"]);
    acts("a.docx", &package("word/_rels/x.rels", &inside("embeddings/oleObject1.bin")), &[]);
    for (field, expected) in [
        ("INCLUDETEXT &quot;http://203.0.113.9/a.rtf&quot;", remote),
        ("includetext \\\\203.0.113.9\\a.rtf", remote),
        ("INCLUDEPICTURE &quot;\\\\203.0.113.9\\a.png&quot; \\d", remote),
        ("INCLUDEPICTURE &quot;https://www.example.com/a.png&quot; \\* MERGEFORMATINET", none),
        ("INCLUDEPICTURE &quot;\\\\\\\\fileserver\\\\share\\\\a.png&quot; \\d", none),
        ("INCLUDETEXT &quot;C:\\\\x\\\\a.docx&quot;", none),
    ] {
        let simple = format!("<w:p><w:fldSimple w:instr=\"{field}\"/></w:p>");
        acts("a.docx", &package("word/document.xml", &simple), expected);
        let run = |kind: &str| format!("<w:fldChar w:fldCharType='{kind}'/>");
        let long =
            format!("<w:p>{}<w:instrText>{field}</w:instrText>{}</w:p>", run("begin"), run("end"));
        acts("a.docx", &package("word/document.xml", &long), expected);
    }
    for (name, xml, expected) in [
        (
            "xl/connections.xml",
            "<connection><webPr url='http://203.0.113.9/x'/></connection>",
            remote,
        ),
        (
            "xl/connections.xml",
            "<dbPr connection='Provider=x;Data Source=\\\\203.0.113.9\\x'/>",
            remote,
        ),
        (
            "xl/connections.xml",
            "<dbPr connection='Provider=x;Data Source=$Workbook$;Location=q'/>",
            none,
        ),
        ("xl/connections.xml", "<dbPr connection='Provider=x;Data Source=sql.example.com'/>", none),
        ("customUI/customUI.xml", "<customUI onLoad='http://203.0.113.9/a.dotm!x'/>", remote),
        ("customUI/customUI.xml", "<customUI onLoad='Ribbon_Load'/>", none),
    ] {
        acts("a.xlsx", &package(name, xml), expected);
    }
}

#[test]
fn a_macro_sheet_is_one_wherever_it_is_in_the_workbook() {
    let kind = |kind: &str| {
        let types = format!(
            "<Types><Override PartName='/xl/worksheets/sheet9.bin' ContentType='application/vnd.ms-excel.{kind}'/></Types>"
        );
        zip_of(&[
            ("[Content_Types].xml", types.as_bytes()),
            ("xl/worksheets/sheet9.bin", b"\x81\x01\0abc"),
        ])
    };
    acts("a.xlsb", &kind("macrosheet"), &["ACTIVE_XLM"]);
    acts("a.xlsb", &kind("worksheet"), &[]);
}

#[test]
fn a_table_in_text_asks_by_dde_under_every_name_that_excel_opens() {
    let dde = &["ACTIVE_DDE"][..];
    acts("a.xls", b"a\tb\r\n=cmd|' /C calc'!A0\t1\r\n", dde);
    acts("a.xls", b"<html><table><td>=cmd|' /C calc'!A0</td></table>", dde);
    acts("a.xls", b"<table><td x:fmla=\"=cmd&#124;&#39; /C calc&#39;!A0\">1</td></table>", dde);
    acts("a.csv", b"\0=cmd|' /C calc'!A0\r\n", dde);
    acts("a.csv", b"=DDE(\"cmd\";\"/C calc\";\"!A0\")\r\n", dde);
    acts("a.csv", b"1,\"=if(1;dde(\"\"cmd\"\";\"\"x\"\";\"\"y\"\"))\"\r\n", dde);
    acts("a.xls", b"<html><table><td>1|2!</td><td>=A1+B1</td></table>", &[]);
    acts("a.csv", b"name,DDE(\"x\")\r\n=ADDE(\"x\"),1\r\n", &[]);
}
