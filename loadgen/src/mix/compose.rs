//! Whole mails out of a header section, texts and attachments. Sizes are octets on the wire.

use super::text::{Charset, PEOPLE, Prose, base64_lines, field_words, pick, sentence, text_entity};
use crate::random::Random;

/// Who writes, and about what.
pub(super) struct Head<'h> {
    pub(super) charset: Charset,
    /// Domain of the author.
    pub(super) domain: &'h str,
    /// A subject of its own kind; a sentence if absent.
    pub(super) subject: Option<String>,
}

impl<'h> Head<'h> {
    pub(super) fn of(charset: Charset, domain: &'h str) -> Self {
        Self { charset, domain, subject: None }
    }
}

/// A file that goes along.
pub(super) struct Attachment {
    pub(super) name: String,
    pub(super) media_type: &'static str,
    pub(super) octets: Vec<u8>,
}

/// A header section with the fields that real mail has, and `entity` (its fields, its content).
pub(super) fn compose(random: &mut Random, head: &Head<'_>, entity: &[u8]) -> Vec<u8> {
    let charset = head.charset;
    let (english, japanese) =
        PEOPLE.get(random.below(PEOPLE.len())).copied().unwrap_or(("Alice", "山田"));
    let name = if charset == Charset::Ascii { english } else { japanese };
    let subject = head.subject.clone().unwrap_or_else(|| sentence(random, charset, 5));
    let domain = head.domain;
    let mut mail = format!(
        "Received: from mx{}.example.com (mx.example.com [192.0.2.{}])\r\n\tby relay.example.net \
         with ESMTPS id {:X};\r\n\tThu, 29 Feb 2024 10:{:02}:{:02} +0900\r\n\
         Date: Thu, 29 Feb 2024 10:{:02}:00 +0900\r\nFrom: {} <writer{}@{domain}>\r\n\
         To: Bob <bob@example.test>\r\nMessage-ID: <{:x}@{domain}>\r\nSubject: {}\r\n\
         MIME-Version: 1.0\r\n",
        random.below(9),
        random.below(254) + 1,
        random.bits(),
        random.below(60),
        random.below(60),
        random.below(60),
        field_words(charset, name),
        random.below(100),
        random.bits(),
        field_words(charset, &subject),
    )
    .into_bytes();
    mail.extend_from_slice(entity);
    mail
}

/// Lines of prose, about `bytes` on the wire.
pub(super) fn plain(random: &mut Random, charset: Charset, bytes: usize) -> Vec<u8> {
    let mut prose = Prose::new(charset);
    while prose.wire_bytes() < bytes {
        prose.line(random);
    }
    text_entity(charset, "plain", prose.text())
}

/// A newsletter: a table whose rows have a link, a picture and words; about `bytes` on the wire.
pub(super) fn html(random: &mut Random, charset: Charset, bytes: usize, rows: usize) -> Vec<u8> {
    let mut page = Prose::new(charset);
    page.push("<html><body><table>\r\n");
    let row_bytes = bytes.saturating_sub(60) / rows.max(1);
    for row in 1..=rows {
        page.push(&format!(
            "<tr><td><a href=\"https://shop.example.com/{:x}\"><img src=\"https://img.example.net/{:x}\" \
             alt=\"\"></a></td>\r\n<td>",
            random.bits() & 0xffff_ffff,
            random.bits() & 0xffff_ffff,
        ));
        while page.wire_bytes() < row * row_bytes {
            let words = sentence(random, charset, 6);
            page.push(&words);
            page.push("\r\n");
        }
        page.push("</td></tr>\r\n");
    }
    page.push("</table></body></html>\r\n");
    text_entity(charset, "html", page.text())
}

/// The same said twice, as most mailers do: prose and a page.
pub(super) fn alternative(random: &mut Random, charset: Charset, bytes: usize) -> Vec<u8> {
    let parts =
        [plain(random, charset, bytes / 4), html(random, charset, bytes * 3 / 4, bytes / 800 + 1)];
    multipart(random, "alternative", &parts)
}

pub(super) fn multipart(random: &mut Random, subtype: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    let boundary = format!("=_{:016x}", random.bits());
    let mut entity =
        format!("Content-Type: multipart/{subtype}; boundary=\"{boundary}\"\r\n\r\n").into_bytes();
    for part in parts {
        entity.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        entity.extend_from_slice(part);
    }
    entity.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    entity
}

pub(super) fn attached(file: &Attachment) -> Vec<u8> {
    let (name, media_type) = (&file.name, file.media_type);
    let mut entity = format!(
        "Content-Type: {media_type}; name=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=\"{name}\"\r\n\r\n"
    )
    .into_bytes();
    entity.extend_from_slice(base64_lines(&file.octets).as_bytes());
    entity
}

/// Octets that no packer makes smaller, `bytes` of them as base64 on the wire.
pub(super) fn noise(random: &mut Random, bytes: usize) -> Vec<u8> {
    let raw = bytes * 57 / 78;
    let mut octets = Vec::with_capacity(raw + 8);
    while octets.len() < raw {
        octets.extend_from_slice(&random.bits().to_le_bytes());
    }
    octets.truncate(raw);
    octets
}

const OFFERS: &[&str] = &[
    "CONGRATULATIONS!!! You have WON",
    "Lowest price GUARANTEED, act now",
    "Make money fast, work from home",
    "100% free trial, no credit card",
    "Cheap meds without prescription",
    "Hot singles in your area",
];
const OFFERS_JAPANESE: &[&str] = &[
    "【重要】当選のお知らせ",
    "今だけ無料！簡単に稼げる方法",
    "完全無料で出会える",
    "激安ブランド品大特価",
    "先着百名様限定プレゼント",
    "即日融資可能です",
];

/// Spam: an offer in the subject, shouted and repeated, many links to nowhere.
pub(super) fn spam(random: &mut Random, charset: Charset, bytes: usize) -> Vec<u8> {
    let offers = if charset == Charset::Ascii { OFFERS } else { OFFERS_JAPANESE };
    let mut page = Prose::new(charset);
    page.push("<html><body bgcolor=\"#ffff00\">\r\n");
    while page.wire_bytes() + 120 < bytes.saturating_sub(500) {
        page.push(&format!(
            "<p><font size=\"7\" color=\"red\">{}</font> <a href=\"http://{:x}.spam.example/{:x}\">{}</a></p>\r\n",
            pick(random, offers),
            random.below(4096),
            random.bits(),
            if charset == Charset::Ascii { "CLICK HERE" } else { "今すぐクリック" },
        ));
        page.line(random);
    }
    page.push("</body></html>\r\n");
    let entity = text_entity(charset, "html", page.text());
    let head = Head { charset, domain: "spam.example", subject: Some(pick(random, offers).into()) };
    compose(random, &head, &entity)
}

/// Phishing: a page that says one address and links to another, and wants a password.
pub(super) fn phishing(random: &mut Random, charset: Charset, bytes: usize) -> Vec<u8> {
    let (subject, text) = if charset == Charset::Ascii {
        ("Your account has been suspended", "Please verify your password within 24 hours")
    } else {
        ("【緊急】口座が停止されました", "二十四時間以内にパスワードをご確認ください。")
    };
    let mut page = Prose::new(charset);
    page.push("<html><body>\r\n");
    while page.wire_bytes() + 200 < bytes.saturating_sub(500) {
        page.push(&format!(
            "<p>{text}</p>\r\n<a href=\"http://192.0.2.{}/login/{:x}\">https://www.bank.example/</a>\r\n\
             <form action=\"http://xn--bnk-5na.example/{:x}\"><input type=\"password\"></form>\r\n",
            random.below(255),
            random.bits(),
            random.bits(),
        ));
        for _ in 0..4 {
            page.line(random);
        }
    }
    page.push("</body></html>\r\n");
    let entity = text_entity(charset, "html", page.text());
    let head = Head { charset, domain: "bank-example.test", subject: Some(subject.to_owned()) };
    compose(random, &head, &entity)
}
