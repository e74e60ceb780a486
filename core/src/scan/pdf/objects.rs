//! Which object leads to which, as far as it says which font a text is in. Objects are found by their heads, wherever they
//! stand; a table of cross references is not asked. Where an object is there twice, both count.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use memchr::memmem;

use super::cmap::{CMap, Font};
use super::token::{Token, Tokens};

/// Objects that are looked at, and references of all of them.
const OBJECTS_MAX: usize = 200_000;
const REFERENCES_MAX: usize = 2_000_000;
/// Tokens of one object: a list of names and references is shorter.
const TOKENS_MAX: usize = 20_000;
/// Octets of one object, and of all of them for each octet that there is: objects may have no end.
const OBJECT_BYTES_MAX: usize = 256 * 1024;
const WORK_RATIO_MAX: usize = 4;
/// Up to here that does not count.
const WORK_FREE_BYTES: usize = 16 * 1024 * 1024;
/// Steps from a page to its fonts: resources, fonts, and those of the pages above; and references that are looked at for it.
const STEPS_MAX: usize = 6;
const LOOKED_MAX: usize = 20_000_000;
/// Maps from codes to characters, and entries of all of them.
const MAPS_MAX: usize = 2_000;
const ENTRIES_MAX: usize = 1_000_000;
/// Fonts that a name may mean where no page says which.
const CHOICES_MAX: usize = 4;

/// One object's names and where they lead, and whether it is a font.
#[derive(Debug, Default)]
struct Object {
    references: Vec<(Vec<u8>, u32)>,
    /// Streams that a page draws.
    contents: Vec<u32>,
    composite: bool,
    font: bool,
    encoding: Vec<u8>,
}

/// All objects.
#[derive(Debug, Default)]
pub(super) struct Objects {
    all: HashMap<u32, Vec<Object>>,
    count: usize,
    references: usize,
    /// Octets that may still be read as objects.
    work: usize,
    /// References that were followed in search of fonts.
    looked: Cell<usize>,
    maps: HashMap<u32, CMap>,
    entries: usize,
    /// Which objects draw a stream.
    drawers: HashMap<u32, Vec<u32>>,
    /// All fonts that a name leads to somewhere.
    names: HashMap<Vec<u8>, Vec<u32>>,
}

impl Objects {
    /// Objects of the file itself: `12 0 obj << ... >>`.
    pub(super) fn of_file(octets: &[u8]) -> Self {
        let work = WORK_FREE_BYTES + octets.len().saturating_mul(WORK_RATIO_MAX);
        let mut objects = Self { work, ..Self::default() };
        for at in memmem::find_iter(octets, b"obj") {
            let before = octets.get(..at).unwrap_or_default();
            if before.ends_with(b"end") {
                continue;
            }
            if let Some(number) = number_before(before) {
                objects.add(number, octets.get(at + 3..).unwrap_or_default());
            }
        }
        objects
    }

    /// Objects of a stream: pairs of numbers and places, then the objects.
    pub(super) fn add_stream(&mut self, content: &[u8]) {
        self.work = self.work.saturating_add(content.len().saturating_mul(WORK_RATIO_MAX));
        let mut tokens = Tokens::new(content);
        let mut pairs: Vec<(u32, usize)> = Vec::new();
        let mut first = 0;
        while let Some(Token::Number(number)) = tokens.next() {
            let Some(Token::Number(place)) = tokens.next() else { break };
            first = tokens.at();
            if pairs.len() < OBJECTS_MAX {
                pairs.push((whole(number), whole(place) as usize));
            }
        }
        let start = content.get(first..).map_or(0, |rest| {
            first + rest.iter().position(|octet| !octet.is_ascii_whitespace()).unwrap_or(0)
        });
        for (number, place) in pairs {
            self.add(number, content.get(start.saturating_add(place)..).unwrap_or_default());
        }
    }

    pub(super) fn add_map(&mut self, number: u32, content: &[u8]) {
        if self.maps.len() < MAPS_MAX {
            let map = CMap::read(content, ENTRIES_MAX.saturating_sub(self.entries));
            self.entries += map.len();
            self.maps.insert(number, map);
        }
    }

    fn add(&mut self, number: u32, octets: &[u8]) {
        if self.count >= OBJECTS_MAX || self.references >= REFERENCES_MAX || self.work == 0 {
            return;
        }
        let (object, read) = Object::read(octets.get(..OBJECT_BYTES_MAX).unwrap_or(octets));
        self.work = self.work.saturating_sub(read);
        // Most objects lead nowhere.
        if object.references.is_empty() && object.contents.is_empty() && !object.font {
            return;
        }
        self.count += 1;
        self.references += object.references.len() + object.contents.len();
        for stream in &object.contents {
            self.drawers.entry(*stream).or_default().push(number);
        }
        self.all.entry(number).or_default().push(object);
    }

    /// To be called when all objects are there.
    pub(super) fn settle(&mut self) {
        let fonts: HashSet<u32> = self
            .all
            .iter()
            .filter(|(_, objects)| objects.iter().any(|object| object.font))
            .map(|(number, _)| *number)
            .collect();
        let mut numbers: Vec<&u32> = self.all.keys().collect();
        numbers.sort_unstable();
        for object in numbers.into_iter().filter_map(|number| self.all.get(number)).flatten() {
            for (name, to) in object.references.iter().filter(|(_, to)| fonts.contains(to)) {
                let known = self.names.entry(name.clone()).or_default();
                if known.len() < CHOICES_MAX && !known.contains(to) {
                    known.push(*to);
                }
            }
        }
    }

    /// The fonts that the names of this stream may mean: those of the pages that draw it, else all of that name.
    pub(super) fn fonts(&self, stream: u32, name: &[u8]) -> Vec<Font<'_>> {
        let mut found: Vec<u32> = Vec::new();
        let mut seen = HashSet::new();
        let mut level = vec![stream];
        level.extend(self.drawers.get(&stream).into_iter().flatten().take(CHOICES_MAX));
        for _ in 0..STEPS_MAX {
            let mut next = Vec::new();
            for number in level.drain(..) {
                if !seen.insert(number) || seen.len() > 100 || self.looked.get() > LOOKED_MAX {
                    continue;
                }
                let objects = self.all.get(&number).into_iter().flatten();
                for (key, to) in objects.flat_map(|object| &object.references) {
                    self.looked.set(self.looked.get() + 1);
                    match key.as_slice() {
                        b"Resources" | b"Font" | b"Parent" => next.push(*to),
                        key if key == name && self.is_font(*to) && !found.contains(to) => {
                            found.push(*to);
                        }
                        _ => {}
                    }
                }
            }
            level = next;
        }
        let known = if found.is_empty() { self.names.get(name) } else { Some(&found) };
        let known = known.into_iter().flatten().take(CHOICES_MAX);
        known.filter_map(|number| self.font(*number)).collect()
    }

    fn is_font(&self, number: u32) -> bool {
        self.all.get(&number).is_some_and(|objects| objects.iter().any(|object| object.font))
    }

    fn font(&self, number: u32) -> Option<Font<'_>> {
        let object = self.all.get(&number)?.iter().rfind(|object| object.font)?;
        let map = object.references.iter().find(|(key, _)| key == b"ToUnicode");
        Some(Font {
            composite: object.composite,
            encoding: object.encoding.clone(),
            map: map.and_then(|(_, to)| self.maps.get(to)),
        })
    }
}

impl Object {
    /// Reads names and what they lead to, up to the end of the dictionary. Says how many octets that took.
    fn read(octets: &[u8]) -> (Self, usize) {
        let mut object = Self::default();
        let (mut name, mut numbers) = (Vec::new(), (0.0, 0.0));
        let mut depth = 0_usize;
        let mut tokens = Tokens::new(octets);
        for token in tokens.by_ref().take(TOKENS_MAX) {
            match token {
                Token::DictionaryOpen => depth += 1,
                Token::DictionaryClose if depth <= 1 => break,
                Token::DictionaryClose => depth -= 1,
                Token::Name(value) => {
                    object.pair(&name, &value);
                    name = value;
                }
                Token::Number(number) => numbers = (numbers.1, number),
                Token::Word(word) if word == b"R" => {
                    let to = whole(numbers.0);
                    if name == b"Contents" {
                        object.contents.push(to);
                    } else {
                        object.references.push((name.clone(), to));
                    }
                }
                Token::Word(word) if word == b"endobj" || word == b"stream" || word == b"obj" => {
                    break;
                }
                Token::Word(_) | Token::String(_) | Token::ArrayOpen | Token::ArrayClose => {}
            }
            if object.references.len() + object.contents.len() >= TOKENS_MAX {
                break;
            }
        }
        (object, tokens.at())
    }

    fn pair(&mut self, name: &[u8], value: &[u8]) {
        match (name, value) {
            (b"Type", b"Font") => self.font = true,
            (b"Subtype", b"Type0") => {
                self.font = true;
                self.composite = true;
            }
            (b"Subtype", b"Type1" | b"TrueType" | b"Type3" | b"MMType1") => self.font = true,
            (b"Encoding", encoding) => self.encoding = encoding.to_vec(),
            _ => {}
        }
    }
}

/// The number of the object whose `obj` is next: `12 0 `.
pub(super) fn number_before(before: &[u8]) -> Option<u32> {
    let tail = before.get(before.len().saturating_sub(32)..).unwrap_or(before);
    let mut words = tail.rsplit(|octet| octet.is_ascii_whitespace() || *octet == 0);
    let mut digits = || {
        words
            .by_ref()
            .find(|word| !word.is_empty())
            .filter(|word| word.len() <= 10)
            .and_then(|word| std::str::from_utf8(word).ok()?.parse::<u32>().ok())
    };
    let _generation = digits()?;
    // What stands before it without a blank is not of it: `endobj12 0 obj` is rare and not worth more.
    digits()
}

/// A number that should be whole and small.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the conversion keeps to the range by itself"
)]
fn whole(number: f64) -> u32 {
    number as u32
}
