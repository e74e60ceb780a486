//! Attachments whose inside is work: archives, OOXML, PDF, and the EICAR test file in containers.
//!
//! Small but whole: each opens in what reads its kind. Time stamps are fixed, so that the same seed
//! gives the same octets.

use std::io::{self, Cursor, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::compose::{Attachment, noise};
use super::text::{Charset, sentence};
use crate::random::Random;

const XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n";
const RELATIONS: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const PACKAGE: &str = "http://schemas.openxmlformats.org/package/2006";

/// A zip file of named members, compressed.
///
/// # Errors
/// A member's name is longer than the format has room for.
pub(super) fn archive(members: &[(&str, Vec<u8>)]) -> io::Result<Vec<u8>> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, octets) in members {
        writer.start_file(*name, SimpleFileOptions::default())?;
        writer.write_all(octets)?;
    }
    Ok(writer.finish()?.into_inner())
}

fn paragraphs(random: &mut Random, bytes: usize, mut each: impl FnMut(usize, &str)) {
    let mut written = 0;
    let mut number = 0;
    while written < bytes {
        let charset = if number % 2 == 0 { Charset::Utf8Base64 } else { Charset::Ascii };
        let text = sentence(random, charset, 12);
        each(number, &text);
        written += text.len() + 80;
        number += 1;
    }
}

/// An archive as people send it: texts and a picture; about `bytes` of base64.
pub(super) fn zip_file(random: &mut Random, bytes: usize) -> io::Result<Attachment> {
    let mut text = String::new();
    paragraphs(random, bytes, |_, words| {
        text.push_str(words);
        text.push_str("\r\n");
    });
    let mut table = String::from("number,name,price\r\n");
    for number in 0..bytes / 64 {
        table.push_str(&format!("{number},{:x},{}\r\n", random.bits(), random.below(100_000)));
    }
    let picture = noise(random, bytes / 2);
    let octets = archive(&[
        ("report/notes.txt", text.into_bytes()),
        ("report/prices.csv", table.into_bytes()),
        ("report/picture.jpg", [b"\xff\xd8\xff\xe0\x00\x10JFIF\x00".as_slice(), &picture].concat()),
    ])?;
    Ok(Attachment { name: "report.zip".to_owned(), media_type: "application/zip", octets })
}

fn content_types(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!(
        "{XML}<Types xmlns=\"{PACKAGE}/content-types\"><Default Extension=\"rels\" \
         ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/>\
         <Default Extension=\"xml\" ContentType=\"application/xml\"/>\
         <Default Extension=\"png\" ContentType=\"image/png\"/>"
    );
    for (name, kind) in parts {
        text.push_str(&format!(
            "<Override PartName=\"{name}\" ContentType=\"application/vnd.openxmlformats-officedocument.{kind}+xml\"/>"
        ));
    }
    text.push_str("</Types>");
    text.into_bytes()
}

/// Relationships of a part: id, type, target, external or not.
fn relations(list: &[(&str, &str, &str)]) -> Vec<u8> {
    let mut text = format!("{XML}<Relationships xmlns=\"{PACKAGE}/relationships\">");
    for (id, kind, target) in list {
        let mode = if target.starts_with("http") { " TargetMode=\"External\"" } else { "" };
        text.push_str(&format!(
            "<Relationship Id=\"{id}\" Type=\"{RELATIONS}/{kind}\" Target=\"{target}\"{mode}/>"
        ));
    }
    text.push_str("</Relationships>");
    text.into_bytes()
}

/// A document for a word processor with a link and a picture; about `bytes` of base64.
pub(super) fn docx(random: &mut Random, bytes: usize) -> io::Result<Attachment> {
    let mut body = format!(
        "{XML}<w:document xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\" \
         xmlns:r=\"{RELATIONS}\"><w:body>"
    );
    paragraphs(random, bytes * 2, |number, words| {
        body.push_str(&format!("<w:p><w:r><w:t>{number}. {words}</w:t></w:r></w:p>"));
    });
    body.push_str(
        "<w:p><w:hyperlink r:id=\"rId1\"><w:r><w:t>link</w:t></w:r></w:hyperlink></w:p></w:body></w:document>",
    );
    let link = format!("https://docs.example.com/{:x}", random.bits());
    let picture = [b"\x89PNG\r\n\x1a\n".as_slice(), &noise(random, bytes * 2 / 3)].concat();
    let octets = archive(&[
        (
            "[Content_Types].xml",
            content_types(&[("/word/document.xml", "wordprocessingml.document.main")]),
        ),
        ("_rels/.rels", relations(&[("rId1", "officeDocument", "word/document.xml")])),
        ("word/document.xml", body.into_bytes()),
        (
            "word/_rels/document.xml.rels",
            relations(&[("rId1", "hyperlink", &link), ("rId2", "image", "media/image1.png")]),
        ),
        ("word/media/image1.png", picture),
    ])?;
    Ok(Attachment {
        name: "document.docx".to_owned(),
        media_type: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        octets,
    })
}

/// A spreadsheet: a sheet of numbers and a table of strings; about `bytes` of base64.
pub(super) fn xlsx(random: &mut Random, bytes: usize) -> io::Result<Attachment> {
    const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let mut strings = format!("{XML}<sst xmlns=\"{MAIN}\">");
    let mut count = 0;
    paragraphs(random, bytes * 2, |_, words| {
        strings.push_str(&format!("<si><t>{words}</t></si>"));
        count += 1;
    });
    strings.push_str("</sst>");
    let mut sheet = format!("{XML}<worksheet xmlns=\"{MAIN}\"><sheetData>");
    for row in 1..=bytes / 16 {
        sheet.push_str(&format!(
            "<row r=\"{row}\"><c r=\"A{row}\" t=\"s\"><v>{}</v></c><c r=\"B{row}\"><v>{}</v></c></row>",
            random.below(count),
            random.bits() >> 24
        ));
    }
    sheet.push_str("</sheetData></worksheet>");
    let workbook = format!(
        "{XML}<workbook xmlns=\"{MAIN}\" xmlns:r=\"{RELATIONS}\"><sheets><sheet name=\"Sheet1\" \
         sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>"
    );
    let octets = archive(&[
        (
            "[Content_Types].xml",
            content_types(&[
                ("/xl/workbook.xml", "spreadsheetml.sheet.main"),
                ("/xl/worksheets/sheet1.xml", "spreadsheetml.worksheet"),
                ("/xl/sharedStrings.xml", "spreadsheetml.sharedStrings"),
            ]),
        ),
        ("_rels/.rels", relations(&[("rId1", "officeDocument", "xl/workbook.xml")])),
        ("xl/workbook.xml", workbook.into_bytes()),
        (
            "xl/_rels/workbook.xml.rels",
            relations(&[
                ("rId1", "worksheet", "worksheets/sheet1.xml"),
                ("rId2", "sharedStrings", "sharedStrings.xml"),
            ]),
        ),
        ("xl/worksheets/sheet1.xml", sheet.into_bytes()),
        ("xl/sharedStrings.xml", strings.into_bytes()),
    ])?;
    Ok(Attachment {
        name: "table.xlsx".to_owned(),
        media_type: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        octets,
    })
}

fn deflated(octets: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(octets)?;
    encoder.finish()
}

/// Objects of a PDF, their offsets noted for the cross-reference table.
struct Pdf {
    out: Vec<u8>,
    offsets: Vec<usize>,
}

impl Pdf {
    fn object(&mut self, content: &[u8]) {
        self.offsets.push(self.out.len());
        let number = self.offsets.len();
        self.out.extend_from_slice(format!("{number} 0 obj\n").as_bytes());
        self.out.extend_from_slice(content);
        self.out.extend_from_slice(b"\nendobj\n");
    }

    fn stream(&mut self, keys: &str, octets: &[u8]) -> io::Result<()> {
        let packed = deflated(octets)?;
        let head = format!("<< {keys} /Length {} /Filter /FlateDecode >>\nstream\n", packed.len());
        self.object(&[head.as_bytes(), &packed, b"\nendstream"].concat());
        Ok(())
    }

    fn finish(mut self) -> Vec<u8> {
        let start = self.out.len();
        let count = self.offsets.len() + 1;
        let mut table = format!("xref\n0 {count}\n0000000000 65535 f \n");
        for offset in &self.offsets {
            table.push_str(&format!("{offset:010} 00000 n \n"));
        }
        table.push_str(&format!(
            "trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
        ));
        self.out.extend_from_slice(table.as_bytes());
        self.out
    }
}

/// A PDF 1.4: pages of text in compressed streams, a link on each, a picture on the first; about
/// `bytes` of base64.
pub(super) fn pdf(random: &mut Random, bytes: usize) -> io::Result<Attachment> {
    // A page of 60 lines packs to about 1.2 KiB; half of the size is the picture.
    let pages = (bytes / 2 / 1_700).max(1);
    let mut pdf = Pdf { out: b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n".to_vec(), offsets: Vec::new() };
    let kids: Vec<String> = (0..pages).map(|page| format!("{} 0 R", 5 + 2 * page)).collect();
    pdf.object(b"<< /Type /Catalog /Pages 2 0 R >>");
    pdf.object(format!("<< /Type /Pages /Count {pages} /Kids [{}] >>", kids.join(" ")).as_bytes());
    pdf.object(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
    // Grey pixels, 128 a row.
    let rows = (bytes * 57 / 78 / 2 / 128).max(1);
    let mut pixels = noise(random, rows * 128 * 80 / 57);
    pixels.resize(rows * 128, 0);
    pdf.stream(
        &format!(
            "/Type /XObject /Subtype /Image /Width 128 /Height {rows} /ColorSpace /DeviceGray \
             /BitsPerComponent 8"
        ),
        &pixels,
    )?;
    for page in 0..pages {
        pdf.object(
            format!(
                "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {} 0 R /Resources \
                 << /Font << /F1 3 0 R >> /XObject << /Im1 4 0 R >> >> /Annots [<< /Type /Annot \
                 /Subtype /Link /Rect [50 50 200 70] /A << /S /URI /URI (https://pdf.example.com/{:x}) >> >>] >>",
                6 + 2 * page,
                random.bits()
            )
            .as_bytes(),
        );
        let mut text = String::from("BT /F1 10 Tf 12 TL 50 800 Td\n");
        for _ in 0..60 {
            text.push_str(&format!("({}) Tj T*\n", sentence(random, Charset::Ascii, 12)));
        }
        text.push_str("ET\n");
        if page == 0 {
            text.push_str("q 100 0 0 100 400 700 cm /Im1 Do Q\n");
        }
        pdf.stream("", text.as_bytes())?;
    }
    Ok(Attachment {
        name: "paper.pdf".to_owned(),
        media_type: "application/pdf",
        octets: pdf.finish(),
    })
}

/// The test file that every scanner knows; spelled in two halves, so that none takes this program
/// for it.
pub(super) fn eicar() -> Vec<u8> {
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR", "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"].concat().into()
}

/// The test file in one container after the other: plain, zip, zip in zip, zip among other files.
pub(super) fn virus(random: &mut Random, index: usize) -> io::Result<Attachment> {
    let zipped = |name: &str, octets| Attachment {
        name: name.to_owned(),
        media_type: "application/zip",
        octets,
    };
    Ok(match index % 4 {
        0 => Attachment {
            name: "eicar.com".to_owned(),
            media_type: "application/octet-stream",
            octets: eicar(),
        },
        1 => zipped("eicar.zip", archive(&[("eicar.com", eicar())])?),
        2 => {
            let inner = archive(&[("eicar.com", eicar())])?;
            zipped("nested.zip", archive(&[("inner.zip", inner)])?)
        }
        _ => {
            let picture = noise(random, 2_000);
            zipped(
                "photos.zip",
                archive(&[
                    ("readme.txt", b"photos of the trip\r\n".to_vec()),
                    ("a/photo.jpg", picture),
                    ("a/eicar.exe", eicar()),
                ])?,
            )
        }
    })
}
