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
use super::model::{CLASSES, class};
use super::relations::{self, RELATIONS_MAX};
use super::text::{self, Words};
use crate::message::View;

/// Features of one mail.
pub const FEATURES_MAX: usize = 4096;
/// Observations that are hashed before duplicates are dropped: the bound on time.
const OBSERVED_MAX: usize = 8192;
/// Octets of the text that are read for the shipped model alone. Its words are of 2002; what it has to say it says by the
/// header section and the first of them.
const SHIPPED_BYTES_MAX: usize = 4 * 1024;

/// How much of a mail the classifier reads, by who will be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reading {
    /// Nothing: nobody asks.
    #[default]
    Nothing,
    /// For the shipped model alone, which has few points to give: the beginning of the text, and nothing of
    /// Japanese mail, about which it is silent.
    Shipped,
    /// For a model that was trained here.
    Whole,
}

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
    /// How two pieces of the mail fit together.
    Relation,
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
            Self::Relation => "fits:",
        }
    }

    /// Puts the class of a feature into its lowest three bits: 0 header section, 1 links and structure, 2
    /// words, 3 pairs of words, 4 relations.
    fn mark(self, feature: u32) -> u32 {
        let class = match self {
            Self::Header | Self::Letters => 0,
            Self::Subject | Self::Author | Self::Link | Self::Shape | Self::Markup => 1,
            Self::Word | Self::Gram => 2,
            Self::Pair | Self::Gap => 3,
            Self::Relation => 4,
        };
        (feature & !7 | class).max(8)
    }

    /// The feature of a text that stands here.
    fn feature(self, text: &[u8]) -> u32 {
        self.mark(upper(xxh3_64_with_seed(text, self.seed())))
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
            Self::Relation => 12,
        }
    }
}

/// What is done with features: counted by number, or kept with their texts.
pub(super) trait Sink {
    /// Texts are wanted, too.
    const TEXTS: bool;
    fn put(&mut self, feature: u32, text: impl FnOnce() -> String);
    fn observed(&self) -> usize;
}

impl Sink for Vec<u32> {
    const TEXTS: bool = false;

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
    const TEXTS: bool = true;

    fn put(&mut self, feature: u32, text: impl FnOnce() -> String) {
        self.observed += 1;
        self.known.entry(feature).or_insert_with(text);
    }

    fn observed(&self) -> usize {
        self.observed
    }
}

/// Takes features in.
pub(super) struct Gather<S> {
    sink: S,
    /// A text that is put together: one for all, since there are hundreds in each mail.
    joined: Vec<u8>,
}

/// A text with its hash.
#[derive(Clone, Debug, Default)]
pub(super) struct Hashed {
    text: Vec<u8>,
    hash: u64,
    filled: bool,
}

impl Hashed {
    /// Whether anything is in it.
    pub(super) fn is_empty(&self) -> bool {
        !self.filled
    }
}

impl<S: Sink> Gather<S> {
    fn new(sink: S) -> Self {
        Self { sink, joined: Vec::with_capacity(256) }
    }

    /// One feature; nothing once the bound is reached.
    pub(super) fn one(&mut self, place: Place, text: &[u8]) {
        if !self.is_full() {
            self.sink.put(place.feature(text), || name(place, text));
        }
    }

    /// One feature whose text is made of `pieces`.
    pub(super) fn joined(&mut self, place: Place, pieces: &[&str]) {
        self.built(place, |text| join(text, pieces));
    }

    /// The same, ASCII letters made small.
    pub(super) fn lower(&mut self, place: Place, pieces: &[&str]) {
        self.built(place, |text| {
            join(text, pieces);
            text.make_ascii_lowercase();
        });
    }

    /// One feature whose text `build` writes.
    pub(super) fn built(&mut self, place: Place, build: impl FnOnce(&mut Vec<u8>)) {
        let mut text = std::mem::take(&mut self.joined);
        text.clear();
        build(&mut text);
        self.one(place, &text);
        self.joined = text;
    }

    /// One feature: what `head` says of a number.
    pub(super) fn number(&mut self, place: Place, head: &str, number: usize) {
        let mut digits = [0_u8; 20];
        let mut from = digits.len();
        let mut rest = number;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            from -= 1;
            if rest == 0 {
                break;
            }
        }
        let digits = digits.get(from..).and_then(|digits| std::str::from_utf8(digits).ok());
        self.joined(place, &[head, digits.unwrap_or_default()]);
    }

    /// Takes `text` into `place`, for [`Self::two`].
    pub(super) fn hash(place: &mut Hashed, text: &[u8]) {
        if S::TEXTS {
            place.text.clear();
            place.text.extend_from_slice(text);
        }
        place.hash = xxh3_64_with_seed(text, 0);
        place.filled = true;
    }

    /// One feature of two texts whose hashes are known.
    pub(super) fn two(&mut self, place: Place, first: &Hashed, second: &Hashed) {
        if !self.is_full() {
            let mixed = first.hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ second.hash;
            let mixed = (mixed ^ place.seed()).wrapping_mul(0xD6E8_FEB8_6659_FD93);
            let between: &[u8] = if place == Place::Gap { b" .. " } else { b" " };
            self.sink.put(place.mark(upper(mixed)), || {
                name(place, &[&first.text, between, &second.text].concat())
            });
        }
    }

    /// No more is taken.
    pub(super) fn is_full(&self) -> bool {
        self.sink.observed() >= OBSERVED_MAX
    }
}

fn join(text: &mut Vec<u8>, pieces: &[&str]) {
    pieces.iter().for_each(|piece| text.extend_from_slice(piece.as_bytes()));
}

/// A feature as it is told to an operator.
fn name(place: Place, text: &[u8]) -> String {
    format!("{}{}", place.name(), String::from_utf8_lossy(text))
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
    /// Has a DKIM-Signature with all that one needs, whether it holds or not.
    pub signed: bool,
}

impl Features {
    /// The features of `view`.
    ///
    /// Members of archives are none of them, so a mail has the same features whether it was read on a
    /// shard or in a worker. Time is linear in `OBSERVED_MAX` and in the octets of the text that is
    /// read for it.
    #[must_use]
    pub fn of(view: &View<'_>) -> Self {
        Self::read(view, Reading::Whole)
    }

    /// The same, as much of them as who is asked needs.
    #[must_use]
    pub fn read(view: &View<'_>, reading: Reading) -> Self {
        let texts = match reading {
            Reading::Nothing => return Self::default(),
            Reading::Shipped => text::Texts::of(view, SHIPPED_BYTES_MAX),
            Reading::Whole => text::Texts::of(view, text::TEXT_BYTES_MAX),
        };
        let signed = view.signers().next().is_some();
        let (author, japanese) = (headers::author(view), texts.is_japanese());
        if reading == Reading::Shipped && japanese {
            return Self { list: Vec::new(), author, japanese, signed };
        }
        let mut out = Gather::new(Vec::with_capacity(4096));
        gather(view, &texts, &mut out);
        let mut list: Vec<u32> = out.sink;
        radsort::sort(&mut list);
        list.dedup();
        // Of a longer mail a part that its hashes choose: the same one of the same words each time, and
        // a sender cannot choose what is left out.
        list.truncate(FEATURES_MAX - RELATIONS_MAX);
        // The shipped model was made without them.
        if reading == Reading::Whole {
            let found = relations(view, &texts, &list, Vec::with_capacity(RELATIONS_MAX));
            add(&mut list, &found);
        }
        Self { list, author, japanese, signed }
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
        let flags = u32::from(features.japanese) | u32::from(features.signed) << 1;
        octets.extend_from_slice(&flags.to_le_bytes());
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
        // Those of before `SEKIMDL2` have numbers of their own: a sample of them teaches nothing.
        let classed = list.iter().all(|feature| class(*feature) < CLASSES);
        if !rest.is_empty() || !sorted || !classed || list.len() > FEATURES_MAX {
            return Err(wrong);
        }
        Ok(Self { list, author, japanese: flags & 1 == 1, signed: flags & 2 == 2 })
    }
}

/// The same with the text of each, for explaining.
#[must_use]
pub fn features_with_texts(view: &View<'_>) -> Vec<(u32, String)> {
    let mut out = Gather::new(Texts::default());
    let texts = text::Texts::of(view, text::TEXT_BYTES_MAX);
    gather(view, &texts, &mut out);
    let mut list: Vec<(u32, String)> =
        out.sink.known.into_iter().take(FEATURES_MAX - RELATIONS_MAX).collect();
    let words: Vec<u32> = list.iter().map(|(feature, _)| *feature).collect();
    let found = relations(view, &texts, &words, Texts::default());
    list.extend(found.known);
    list.sort_unstable();
    list.dedup_by_key(|(feature, _)| *feature);
    list
}

/// How the pieces of `view` fit together, whose other features are `list`, ascending.
fn relations<S: Sink>(view: &View<'_>, texts: &text::Texts<'_>, list: &[u32], sink: S) -> S {
    let mut out = Gather::new(sink);
    let is_word = |word: &str| list.binary_search(&Place::Word.feature(word.as_bytes())).is_ok();
    relations::gather(view, texts, &is_word, &mut out);
    out.sink
}

/// Puts `more` in its place in `list`, which is ascending.
fn add(list: &mut Vec<u32>, more: &[u32]) {
    for feature in more {
        if let Err(at) = list.binary_search(feature) {
            list.insert(at, *feature);
        }
    }
}

/// Header section, links and structure first: they are few, and a long text must not crowd them out.
fn gather<S: Sink>(view: &View<'_>, texts: &text::Texts<'_>, out: &mut Gather<S>) {
    headers::gather(view, out);
    text::structure(view, texts, out);
    text::links(view, out);
    text::markup(view, out);
    let mut words = Words::of_text();
    for piece in texts.pieces() {
        words.take(piece, out);
        if out.is_full() {
            return;
        }
    }
}
