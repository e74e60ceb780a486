//! The mails of a load: generated in the sizes of a real day (70 % of 2 KiB text, 25 % of 20 KiB
//! HTML with 80 links, 5 % of 200 KiB with an attachment: 16 KiB on average), or files.

use std::fs;
use std::io;
use std::path::Path;

use crate::ENVELOPE_ID_FIELD;
use crate::random::Random;

const WORDS: &[&str] = &[
    "order", "invoice", "meeting", "account", "report", "please", "review", "attached", "schedule",
    "delivery", "project", "customer", "update", "payment", "confirm", "service", "team", "budget",
    "quarter", "contract", "shipment", "network", "server", "the", "of", "and", "to", "in", "for",
    "monday", "tuesday", "regards", "thanks", "hello", "question", "answer", "number", "price",
];
/// Templates of each size; enough that no cache of the engine sees the same mail twice in a row.
const TEMPLATES: usize = 24;

/// One size class: its share in percent and its mails.
#[derive(Debug)]
struct Class {
    percent: usize,
    mails: Vec<Vec<u8>>,
}

/// Where the mails of a load come from.
#[derive(Debug)]
pub struct Mix {
    classes: Vec<Class>,
}

impl Mix {
    /// The generated mix; the same seed gives the same octets.
    #[must_use]
    pub fn generated(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut class = |percent, make: fn(&mut Random) -> Vec<u8>| Class {
            percent,
            mails: (0..TEMPLATES).map(|_| make(&mut random)).collect(),
        };
        Self {
            classes: vec![class(70, text_mail), class(25, html_mail), class(5, attachment_mail)],
        }
    }

    /// Files of a directory, sub-directories included, each as often as the other; but if there are
    /// sub-directories `2k`, `20k` and `200k`, those in the shares of the mix. An mbox `From ` line
    /// is taken away, line ends become CR LF.
    ///
    /// # Errors
    /// Those of the file system; `NotFound` if there is no file.
    pub fn from_directory(dir: &Path) -> io::Result<Self> {
        let shares = [("2k", 70), ("20k", 25), ("200k", 5)];
        let mut classes = Vec::new();
        if shares.iter().all(|(name, _)| dir.join(name).is_dir()) {
            for (name, percent) in shares {
                classes.push(Class { percent, mails: read_tree(&dir.join(name))? });
            }
        } else {
            classes.push(Class { percent: 100, mails: read_tree(dir)? });
        }
        if classes.iter().any(|class| class.mails.is_empty()) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no mail files in it"));
        }
        Ok(Self { classes })
    }

    /// How many different mails there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.classes.iter().map(|class| class.mails.len()).sum()
    }

    /// A mail drawn by the shares, with the envelope id field in front.
    #[must_use]
    pub fn draw(&self, random: &mut Random, envelope_id: &str) -> Vec<u8> {
        let mut point = random.below(100);
        let mut chosen: &[Vec<u8>] = &[];
        for class in &self.classes {
            chosen = &class.mails;
            if point < class.percent {
                break;
            }
            point -= class.percent;
        }
        let template: &[u8] = chosen.get(random.below(chosen.len())).map_or(&[], Vec::as_slice);
        with_envelope_id(template, envelope_id)
    }
}

/// `content` with the envelope id field in front of its header section.
#[must_use]
pub fn with_envelope_id(content: &[u8], envelope_id: &str) -> Vec<u8> {
    let mut mail = format!("{ENVELOPE_ID_FIELD}: {envelope_id}\r\n").into_bytes();
    mail.extend_from_slice(content);
    mail
}

/// A mail file as it is sent: without an mbox `From ` line, every line end CR LF.
#[must_use]
pub fn to_canonical(octets: &[u8]) -> Vec<u8> {
    let mut rest = octets;
    if rest.starts_with(b"From ") {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        rest = rest.get(end..).unwrap_or_default();
    }
    let mut out = Vec::with_capacity(rest.len() + rest.len() / 32 + 2);
    let mut previous = 0;
    for &octet in rest {
        // A bare CR and a bare LF are line ends too: that is what the engine makes of them.
        match octet {
            b'\n' if previous == b'\r' => {}
            b'\r' | b'\n' => out.extend_from_slice(b"\r\n"),
            other => out.push(other),
        }
        previous = octet;
    }
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn read_tree(dir: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut paths = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths.iter().map(|path| Ok(to_canonical(&fs::read(path)?))).collect()
}

fn sentence(random: &mut Random, words: usize) -> String {
    let chosen: Vec<&str> =
        (0..words).map(|_| *WORDS.get(random.below(WORDS.len())).unwrap_or(&"word")).collect();
    chosen.join(" ")
}

fn head(random: &mut Random, content_type: &str) -> String {
    format!(
        "Received: from mx{}.example.com (mx.example.com [192.0.2.{}])\r\n\tby relay.example.net \
         with ESMTPS id {:X};\r\n\tThu, 29 Feb 2024 10:{:02}:{:02} +0900\r\n\
         Date: Thu, 29 Feb 2024 10:{:02}:00 +0900\r\nFrom: Alice <alice@example.com>\r\n\
         To: Bob <bob@example.test>\r\nMessage-ID: <{:x}@example.com>\r\nSubject: {}\r\n\
         MIME-Version: 1.0\r\nContent-Type: {content_type}\r\n",
        random.below(9),
        random.below(254) + 1,
        random.bits(),
        random.below(60),
        random.below(60),
        random.below(60),
        random.bits(),
        sentence(random, 5),
    )
}

fn text_mail(random: &mut Random) -> Vec<u8> {
    let mut mail = head(random, "text/plain; charset=us-ascii");
    mail.push_str("\r\n");
    while mail.len() < 2048 {
        mail.push_str(&sentence(random, 9));
        mail.push_str(".\r\n");
    }
    mail.into_bytes()
}

fn html_rows(random: &mut Random, rows: usize, row_bytes: usize, out: &mut String) {
    for _ in 0..rows {
        let start = out.len();
        out.push_str(&format!(
            "<tr><td><a href=\"https://shop.example.com/{:x}\"><img src=\"https://img.example.net/{:x}\" \
             alt=\"\"></a></td>\r\n<td>",
            random.bits() & 0xffff_ffff,
            random.bits() & 0xffff_ffff,
        ));
        while out.len() - start < row_bytes {
            out.push_str(&sentence(random, 6));
            out.push_str("\r\n");
        }
        out.push_str("</td></tr>\r\n");
    }
}

fn html_mail(random: &mut Random) -> Vec<u8> {
    let mut mail = head(random, "text/html; charset=utf-8");
    mail.push_str("\r\n<html><body><table>\r\n");
    // 40 rows of a link and a picture: 80 addresses.
    html_rows(random, 40, 480, &mut mail);
    mail.push_str("</table></body></html>\r\n");
    mail.into_bytes()
}

fn attachment_mail(random: &mut Random) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut mail = head(random, "multipart/mixed; boundary=\"=_b\"");
    mail.push_str("\r\n--=_b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<table>\r\n");
    html_rows(random, 12, 480, &mut mail);
    mail.push_str(
        "</table>\r\n--=_b\r\nContent-Type: application/octet-stream; name=\"report.bin\"\r\n\
         Content-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=\"report.bin\"\r\n\r\n",
    );
    while mail.len() < 200 * 1024 {
        for _ in 0..76 {
            mail.push(DIGITS.get(random.below(64)).map_or('A', |&digit| char::from(digit)));
        }
        mail.push_str("\r\n");
    }
    mail.push_str("--=_b--\r\n");
    mail.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::{Mix, to_canonical};
    use crate::random::Random;
    use crate::store::envelope_id;

    #[test]
    fn the_mix_has_the_mean_size_it_names_and_every_mail_its_own_id() {
        let mix = Mix::generated(1);
        let mut random = Random::new(2);
        let mut bytes = 0;
        for number in 0..4000 {
            let mail = mix.draw(&mut random, &format!("id-{number}"));
            assert_eq!(envelope_id(&mail), Some(format!("id-{number}")));
            bytes += mail.len();
        }
        let mean = bytes / 4000;
        assert!((14_000..19_000).contains(&mean), "mean {mean} octets");
    }

    #[test]
    fn an_mbox_line_goes_and_every_kind_of_line_end_becomes_canonical() {
        for (file, mail) in [
            (&b"From a@b Thu\nA: b\n\nc\n"[..], &b"A: b\r\n\r\nc\r\n"[..]),
            (b"A: b\r\n\r\nc", b"A: b\r\n\r\nc\r\n"),
            (b"A: b\r\rc\r", b"A: b\r\n\r\nc\r\n"),
            (b"From: a\n", b"From: a\r\n"),
            (b"", b""),
        ] {
            assert_eq!(to_canonical(file), mail);
        }
    }
}
