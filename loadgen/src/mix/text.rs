//! Words, and how they are written in mail: charsets, transfer encodings, encoded words.

use encoding_rs::{EUC_JP, Encoding, ISO_2022_JP, SHIFT_JIS, UTF_8};

use crate::random::Random;

const WORDS: &[&str] = &[
    "order", "invoice", "meeting", "account", "report", "please", "review", "attached", "schedule",
    "delivery", "project", "customer", "update", "payment", "confirm", "service", "team", "budget",
    "quarter", "contract", "shipment", "network", "server", "the", "of", "and", "to", "in", "for",
    "monday", "tuesday", "regards", "thanks", "hello", "question", "answer", "number", "price",
];

/// Every character is in JIS X 0208, so that all five charsets can write all of it.
pub(super) const PHRASES: &[&str] = &[
    "いつもお世話になっております。",
    "先日の打ち合わせの議事録をお送りします。",
    "ご確認のほどよろしくお願いいたします。",
    "添付の見積書をご覧ください。",
    "来週の会議は午後三時に変更となりました。",
    "ご注文の商品を本日発送いたしました。",
    "請求書の金額に誤りがございました。",
    "システムのメンテナンスを実施いたします。",
    "お手数をおかけして申し訳ございません。",
    "契約の更新についてご相談があります。",
    "四半期の売上報告を取りまとめました。",
    "サーバーの負荷が高くなっています。",
    "新しい担当者をご紹介いたします。",
    "納期は来月の中旬を予定しております。",
    "ご不明な点がございましたらお知らせください。",
    "東京本社で説明会を開催いたします。",
    "アンケートへのご協力をお願いします。",
    "パスワードの有効期限が近づいています。",
];

pub(super) const PEOPLE: &[(&str, &str)] = &[
    ("Alice Example", "山田太郎"),
    ("Bob Sample", "佐藤花子"),
    ("Carol Tester", "鈴木一郎"),
    ("Dan Mailer", "高橋営業部"),
];

/// How a mail writes its words. Bodies stay within seven bits: a hop need not offer 8BITMIME.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    Ascii,
    /// The charset of Japanese mail for thirty years; seven bits as it is (RFC 1468).
    Iso2022Jp,
    Utf8Base64,
    ShiftJis,
    EucJp,
    Utf8Quoted,
}

impl Charset {
    pub(super) const JAPANESE: [Self; 5] =
        [Self::Iso2022Jp, Self::Utf8Base64, Self::ShiftJis, Self::EucJp, Self::Utf8Quoted];

    /// One template of three is Japanese, in each charset in turn.
    pub(super) fn of_template(index: usize) -> Self {
        if index.is_multiple_of(3) { Self::japanese(index / 3) } else { Self::Ascii }
    }

    pub(super) fn japanese(index: usize) -> Self {
        Self::JAPANESE.get(index % Self::JAPANESE.len()).copied().unwrap_or(Self::Iso2022Jp)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ascii => "us-ascii",
            Self::Iso2022Jp => "ISO-2022-JP",
            Self::Utf8Base64 | Self::Utf8Quoted => "utf-8",
            Self::ShiftJis => "Shift_JIS",
            Self::EucJp => "EUC-JP",
        }
    }

    fn transfer(self) -> &'static str {
        match self {
            Self::Ascii | Self::Iso2022Jp => "7bit",
            Self::Utf8Base64 | Self::ShiftJis | Self::EucJp => "base64",
            Self::Utf8Quoted => "quoted-printable",
        }
    }

    fn encode(self, text: &str) -> Vec<u8> {
        let encoding: &Encoding = match self {
            Self::Ascii | Self::Utf8Base64 | Self::Utf8Quoted => UTF_8,
            Self::Iso2022Jp => ISO_2022_JP,
            Self::ShiftJis => SHIFT_JIS,
            Self::EucJp => EUC_JP,
        };
        encoding.encode(text).0.into_owned()
    }

    /// About how many octets `narrow` ASCII and `wide` Japanese characters are on the wire.
    fn wire_bytes(self, narrow: usize, wide: usize) -> usize {
        match self {
            Self::Ascii => narrow + 3 * wide,
            // A line of 35 characters changes to kanji and back: six octets.
            Self::Iso2022Jp => narrow + wide * 22 / 10,
            Self::Utf8Base64 => (narrow + 3 * wide) * 78 / 57,
            Self::ShiftJis | Self::EucJp => (narrow + 2 * wide) * 78 / 57,
            // Nine octets, and a soft line break after each 75.
            Self::Utf8Quoted => narrow + wide * 94 / 10,
        }
    }
}

/// A text that grows until it has its size on the wire.
pub(super) struct Prose {
    charset: Charset,
    text: String,
    narrow: usize,
    wide: usize,
}

impl Prose {
    pub(super) fn new(charset: Charset) -> Self {
        Self { charset, text: String::new(), narrow: 0, wide: 0 }
    }

    pub(super) fn push(&mut self, text: &str) {
        let wide = text.chars().filter(|c| !c.is_ascii()).count();
        self.narrow += text.chars().count() - wide;
        self.wide += wide;
        self.text.push_str(text);
    }

    pub(super) fn wire_bytes(&self) -> usize {
        self.charset.wire_bytes(self.narrow, self.wide)
    }

    /// A line of prose in the language of the charset.
    pub(super) fn line(&mut self, random: &mut Random) {
        let line = sentence(random, self.charset, 9);
        self.push(&line);
        self.push(if self.charset == Charset::Ascii { ".\r\n" } else { "\r\n" });
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// `words` English words, or a third as many Japanese phrases, at least one.
pub(super) fn sentence(random: &mut Random, charset: Charset, words: usize) -> String {
    let count = if charset == Charset::Ascii { words } else { (words / 4).max(1) };
    let (list, gap) = if charset == Charset::Ascii { (WORDS, " ") } else { (PHRASES, "") };
    let chosen: Vec<&str> = (0..count).map(|_| pick(random, list)).collect();
    chosen.join(gap)
}

pub(super) fn pick<'l>(random: &mut Random, list: &[&'l str]) -> &'l str {
    list.get(random.below(list.len())).copied().unwrap_or_default()
}

/// A value of an unstructured field or a display name: plain, or as encoded words (RFC 2047), each
/// whole in itself and within 75 octets.
pub(super) fn field_words(charset: Charset, text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    // Nine characters of three octets make 36 of base64 and 27 * 3 would be too long for Q.
    let (mark, most) = if charset == Charset::Utf8Quoted { ('Q', 5) } else { ('B', 9) };
    let characters: Vec<char> = text.chars().collect();
    let words: Vec<String> = characters
        .chunks(most)
        .map(|part| {
            let octets = charset.encode(&part.iter().collect::<String>());
            let word = if mark == 'Q' { hex(&octets) } else { base64(&octets) };
            format!("=?{}?{mark}?{word}?=", charset.name())
        })
        .collect();
    words.join("\r\n ")
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("={octet:02X}")).collect()
}

pub(super) fn base64(octets: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(octets)
}

/// Base64 in lines of 76.
pub(super) fn base64_lines(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len() * 78 / 57 + 80);
    for line in octets.chunks(57) {
        out.push_str(&base64(line));
        out.push_str("\r\n");
    }
    out
}

/// Quoted-printable of a text with CR LF line ends: lines of 75 at most (RFC 2045 section 6.7).
fn quoted_printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 3);
    for line in text.split_inclusive("\r\n") {
        let (content, end) = match line.strip_suffix("\r\n") {
            Some(content) => (content, "\r\n"),
            None => (line, ""),
        };
        let mut column = 0;
        for (index, octet) in content.bytes().enumerate() {
            let last = index + 1 == content.len();
            let plain = octet == b' ' && !last || octet.is_ascii_graphic() && octet != b'=';
            let width = if plain { 1 } else { 3 };
            if column + width > 75 {
                out.push_str("=\r\n");
                column = 0;
            }
            // A line that begins with a dot would be stuffed; that is as it should be.
            if plain {
                out.push(char::from(octet));
            } else {
                out.push_str(&format!("={octet:02X}"));
            }
            column += width;
        }
        out.push_str(end);
    }
    out
}

/// A text entity: its fields, an empty line, its content.
pub(super) fn text_entity(charset: Charset, subtype: &str, text: &str) -> Vec<u8> {
    let fields = format!(
        "Content-Type: text/{subtype}; charset={}\r\nContent-Transfer-Encoding: {}\r\n\r\n",
        charset.name(),
        charset.transfer()
    );
    let mut entity = fields.into_bytes();
    match charset {
        Charset::Ascii | Charset::Iso2022Jp => entity.extend(charset.encode(text)),
        Charset::Utf8Base64 | Charset::ShiftJis | Charset::EucJp => {
            entity.extend(base64_lines(&charset.encode(text)).into_bytes());
        }
        Charset::Utf8Quoted => entity.extend(quoted_printable(text).into_bytes()),
    }
    if !entity.ends_with(b"\r\n") {
        entity.extend_from_slice(b"\r\n");
    }
    entity
}
