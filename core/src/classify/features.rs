//! What a mail is made of, for the classifier: words, pairs of words, parts of addresses, shapes of
//! header fields, each as one number.
//!
//! A feature is 32 bits of a hash of its text and of the place where it stood. Whatever hosts on the way or
//! the archive that a mail was collected in wrote (trace fields, marks of other filters, dates) is
//! none: a classifier that knows who collected its samples knows nothing of the next mail.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::headers;
use super::text::{self, Words};
use crate::message::View;

/// Features of one mail.
pub const FEATURES_MAX: usize = 4096;
/// Observations that are hashed before duplicates are dropped: the bound on time.
const OBSERVED_MAX: usize = 8192;

/// Where a feature stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// A word of the text.
    Word,
    /// Two words of the text, one behind the other.
    Pair,
    /// Two words of the text with one between them.
    Gap,
    /// Two or three characters of a script without spaces.
    Gram,
    /// A word of the Subject.
    Subject,
    /// A word of the name in From.
    Author,
    /// Something about a header field.
    Header,
    /// Four octets of the header section: how a mailer writes.
    Letters,
    /// A host, or a word of a path, of a link.
    Link,
    /// The structure of the mail.
    Shape,
    /// A tag or an attribute of HTML.
    Markup,
}

impl Place {
    /// How it is told to an operator.
    fn name(self) -> &'static str {
        match self {
            Self::Word | Self::Pair | Self::Gap | Self::Gram => "",
            Self::Subject => "subject:",
            Self::Author => "author:",
            Self::Header | Self::Letters => "header:",
            Self::Link => "link:",
            Self::Shape => "shape:",
            Self::Markup => "html:",
        }
    }

    /// Puts the class of a feature into its lowest two bits: 0 header section, 1 links and structure, 2
    /// words, 3 pairs of words.
    fn mark(self, feature: u32) -> u32 {
        let class = match self {
            Self::Header | Self::Letters => 0,
            Self::Subject | Self::Author | Self::Link | Self::Shape | Self::Markup => 1,
            Self::Word | Self::Gram => 2,
            Self::Pair | Self::Gap => 3,
        };
        (feature & !3 | class).max(4)
    }

    /// Keeps the same word at two places apart.
    fn seed(self) -> u64 {
        match self {
            Self::Word => 1,
            Self::Pair => 2,
            Self::Gap => 3,
            Self::Gram => 4,
            Self::Subject => 5,
            Self::Author => 6,
            Self::Header => 7,
            Self::Link => 8,
            Self::Shape => 9,
            Self::Markup => 10,
            Self::Letters => 11,
        }
    }
}

/// What is done with features: counted by number, or kept with their texts.
trait Sink {
    fn put(&mut self, feature: u32, text: impl FnOnce() -> String);
    fn observed(&self) -> usize;
}

impl Sink for Vec<u32> {
    fn put(&mut self, feature: u32, _: impl FnOnce() -> String) {
        self.push(feature);
    }

    fn observed(&self) -> usize {
        self.len()
    }
}

#[derive(Default)]
struct Texts {
    known: BTreeMap<u32, String>,
    observed: usize,
}

impl Sink for Texts {
    fn put(&mut self, feature: u32, text: impl FnOnce() -> String) {
        self.observed += 1;
        self.known.entry(feature).or_insert_with(text);
    }

    fn observed(&self) -> usize {
        self.observed
    }
}

/// Takes features in.
pub(super) trait Gather {
    /// One feature; nothing once the bound is reached.
    fn one(&mut self, place: Place, text: &str);
    /// One feature of two texts whose hashes are known.
    fn two(&mut self, place: Place, first: &Hashed, second: &Hashed);
    /// No more is taken.
    fn is_full(&self) -> bool;
}

/// A text with its hash.
#[derive(Clone, Debug, Default)]
pub(super) struct Hashed {
    text: String,
    hash: u64,
}

impl Hashed {
    /// Takes `text` in the place of what was there.
    pub(super) fn set(&mut self, text: &str) {
        self.text.clear();
        self.text.push_str(text);
        self.hash = xxh3_64_with_seed(text.as_bytes(), 0);
    }

    /// Whether anything is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl<S: Sink> Gather for S {
    fn one(&mut self, place: Place, text: &str) {
        if !self.is_full() {
            let hash = xxh3_64_with_seed(text.as_bytes(), place.seed());
            self.put(place.mark(upper(hash)), || format!("{}{text}", place.name()));
        }
    }

    fn two(&mut self, place: Place, first: &Hashed, second: &Hashed) {
        if !self.is_full() {
            let mixed = first.hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ second.hash;
            let mixed = (mixed ^ place.seed()).wrapping_mul(0xD6E8_FEB8_6659_FD93);
            let between = if place == Place::Gap { " .. " } else { " " };
            self.put(place.mark(upper(mixed)), || {
                format!("{}{}{between}{}", place.name(), first.text, second.text)
            });
        }
    }

    fn is_full(&self) -> bool {
        self.observed() >= OBSERVED_MAX
    }
}

/// The better half of a hash.
pub(super) fn upper(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or(u32::MAX)
}

/// What the classifier knows of one mail. Crosses the socket between engine and analysis worker, as a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Features {
    /// Ascending, without duplicates, at most [`FEATURES_MAX`].
    pub list: Vec<u32>,
    /// Stands for the domain of the author; 0 without one.
    pub author: u32,
    /// Has Japanese text, or other text of Han characters.
    pub japanese: bool,
}

impl Features {
    /// The features of `view`.
    ///
    /// Members of archives are none of them, so a mail has the same features whether it was read on a
    /// shard or in a worker. Time is linear in `OBSERVED_MAX` and in the octets of the text that is
    /// read for it.
    #[must_use]
    pub fn of(view: &View<'_>) -> Self {
        let mut list: Vec<u32> = Vec::with_capacity(2048);
        gather(view, &mut list);
        list.sort_unstable();
        list.dedup();
        // Of a longer mail a part that its hashes choose: the same one of the same words each time, and
        // a sender cannot choose what is left out.
        list.truncate(FEATURES_MAX);
        Self { list, author: headers::author(view), japanese: text::is_japanese(view) }
    }

    /// Whether nothing was gathered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Names the mail, as far as the classifier can tell mails apart.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        for feature in &self.list {
            hasher.update(&feature.to_le_bytes());
        }
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        id
    }
}

impl From<Features> for String {
    fn from(features: Features) -> Self {
        let mut octets = Vec::with_capacity(8 + 4 * features.list.len());
        octets.extend_from_slice(&features.author.to_le_bytes());
        octets.extend_from_slice(&u32::from(features.japanese).to_le_bytes());
        for feature in &features.list {
            octets.extend_from_slice(&feature.to_le_bytes());
        }
        base64_simd::STANDARD.encode_to_string(&octets)
    }
}

impl TryFrom<String> for Features {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wrong = "features that are none";
        let octets = base64_simd::STANDARD.decode_to_vec(text).map_err(|_| wrong)?;
        let (numbers, rest) = octets.as_chunks::<4>();
        let mut numbers = numbers.iter().copied().map(u32::from_le_bytes);
        let (author, flags) = numbers.next().zip(numbers.next()).ok_or(wrong)?;
        let list: Vec<u32> = numbers.collect();
        let sorted = list.is_sorted_by(|a, b| a < b);
        if !rest.is_empty() || !sorted || list.len() > FEATURES_MAX {
            return Err(wrong);
        }
        Ok(Self { list, author, japanese: flags & 1 == 1 })
    }
}

/// The same with the text of each, for explaining.
#[must_use]
pub fn features_with_texts(view: &View<'_>) -> Vec<(u32, String)> {
    let mut found = Texts::default();
    gather(view, &mut found);
    found.known.into_iter().take(FEATURES_MAX).collect()
}

/// Header section, links and structure first: they are few, and a long text must not crowd them out.
fn gather(view: &View<'_>, out: &mut impl Gather) {
    headers::gather(view, out);
    text::structure(view, out);
    text::links(view, out);
    text::markup(view, out);
    let mut words = Words::of_text();
    text::visible(view, |piece| {
        words.take(piece, out);
        !out.is_full()
    });
}
