//! What an administrator looks for in texts, as his settings say it: plain data, compiled elsewhere.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::identifier::Identifier;

/// One thing that is looked for, where, and how often it must be there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Expression {
    /// Hash of all the rest: what a hit and a rule find each other by.
    pub id: u64,
    /// What is looked for.
    pub needle: Needle,
    /// Where; empty = in every text but header fields.
    pub places: Vec<Place>,
    /// It must be there at least so often, in all the texts together; at least 1.
    pub count_min: u32,
    /// The same thing twice counts once.
    pub distinct: bool,
    /// Only what stands near something else counts.
    pub near: Option<Near>,
}

impl Expression {
    /// What is looked for, everywhere and once.
    #[must_use]
    pub fn new(needle: Needle) -> Self {
        let plain =
            Self { id: 0, needle, places: Vec::new(), count_min: 1, distinct: false, near: None };
        plain.identified()
    }

    /// The same with the id that belongs to it: to be called after each change.
    #[must_use]
    pub fn identified(mut self) -> Self {
        self.id = 0;
        let mut hash = Xxh3::new();
        // Plain data is always written.
        let _ = serde_json::to_writer(HashWriter(&mut hash), &self);
        self.id = hash.digest();
        self
    }

    /// Whether it is looked for in texts of this place.
    #[must_use]
    pub fn looks_in(&self, place: &Place) -> bool {
        if let Place::Field(name) = place {
            // What counts as the Subject does not count again as a field. Numbers in trace fields and
            // Message-IDs are nobody's data: fields are looked into where they are named.
            let twice =
                self.places.contains(&Place::Subject) && name.eq_ignore_ascii_case("subject");
            if self.places.is_empty() || twice {
                return false;
            }
        }
        self.places.is_empty()
            || self.places.iter().any(|wanted| match (wanted, place) {
                (Place::Header, Place::Field(_)) => true,
                (Place::Field(wanted), Place::Field(name)) => wanted.eq_ignore_ascii_case(name),
                (wanted, place) => wanted == place,
            })
    }
}

struct HashWriter<'h>(&'h mut Xxh3);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.update(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Needle {
    /// Words or phrases.
    Words {
        /// The words as written; compared in NFKC, without regard to case.
        words: Vec<Box<str>>,
        /// How much of the text a word must be.
        how: WordMatch,
        /// Every one of them must be there, not just any.
        all: bool,
    },
    /// A regular expression over the text in NFKC, any case. Linear time, whatever it is.
    Regex {
        /// The expression.
        expression: Box<str>,
        /// What the digits and letters of a match must fulfil besides.
        check: Check,
    },
    /// A number of a known kind, with its check digit.
    Identifier(Identifier),
}

/// How much of a text a word must be (IIJ: 部分一致, 完全一致, ワイルドカード).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WordMatch {
    /// Any part of it. Japanese has no spaces between words, so this is the usual one.
    #[default]
    Part,
    /// Not in the middle of a longer word of letters or digits.
    Word,
    /// A whole paragraph, subject, field or name.
    Whole,
    /// As `Whole`; `*` stands for any run of characters, `?` for one.
    Wildcard,
}

/// Checks of the digits in a match of a regular expression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// None.
    #[default]
    None,
    /// Luhn, over the digits.
    Luhn,
    /// ISO 7064 MOD 97-10, over letters and digits as they stand: remainder 1.
    Mod97,
}

/// Where something is looked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The Subject.
    Subject,
    /// Text parts that a client shows.
    Body,
    /// Every header field, as `Name: value`.
    Header,
    /// The value of the fields with this name.
    Field(Box<str>),
    /// Names of attachments and of members of archives.
    AttachmentName,
    /// Texts of attachments and of members: text files, HTML, XML of office documents.
    Attachment,
}

impl Place {
    /// Its name in logs.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Subject => "subject",
            Self::Body => "body",
            Self::Header => "header",
            Self::Field(name) => name,
            Self::AttachmentName => "attachment name",
            Self::Attachment => "attachment",
        }
    }
}

/// Something that must stand near.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Near {
    /// What must be there.
    pub needle: Needle,
    /// At most so many characters between the two, on either side.
    pub chars: u32,
}

/// One expression that a message fulfils.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContentHit {
    /// [`Expression::id`].
    pub id: u64,
    /// How often it was found, by the expression's own way of counting.
    pub count: u32,
    /// Where it was found first: `subject`, `body`, `attachment list.csv`.
    pub place: Box<str>,
    /// What was found first; of a number only the last four characters.
    pub excerpt: Box<str>,
}
