//! The mails of a load: a named mix made from a seed, the files of a directory, or an mbox.
//!
//! All mails are made when the mix is: a draw chooses one of a few hundred templates, and only the
//! envelope id field in front of it differs from draw to draw, so that the sender's cost of a draw is
//! two random numbers. The same seed gives the same octets. Every generated mail is seven-bit, has CR
//! LF line ends and parses; addresses and names are those that RFC 2606 and RFC 5737 set aside.
//! Bound: the generated mixes keep 3 to 12 MiB of templates, files what the files are.

mod compose;
mod dkim;
mod documents;
mod files;
mod named;
#[cfg(test)]
mod tests;
mod text;

pub use dkim::ZONE;
pub use files::to_canonical;

use std::io;
use std::path::Path;
use std::sync::Arc;

use memchr::memmem;

use crate::ENVELOPE_ID_FIELD;
use crate::random::Random;

/// End of data (RFC 5321 section 4.1.1.4), after the line end of the content's last line.
const END_OF_DATA: &[u8] = b".\r\n";

/// How contents go over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// DATA: dot-stuffed, ended by a dot.
    Dots,
    /// BDAT: as they are.
    Octets,
}

/// One mail as it is sent after its envelope id field. Shared by all that send it.
#[derive(Clone, Debug)]
pub struct Content {
    /// Octets; those from `bytes` on are not part of it.
    pub octets: Arc<[u8]>,
    /// Its length.
    pub bytes: usize,
    /// Whether it has octets above 127, so that MAIL needs `BODY=8BITMIME`.
    pub is_eight_bit: bool,
}

/// One mail of a mix, without its envelope id field, ready to be sent.
#[derive(Debug)]
pub struct Template {
    class: &'static str,
    /// Dot-stuffed, with the end of data.
    stuffed: Arc<[u8]>,
    /// As it is; absent if no line begins with a dot, for then it is the start of `stuffed`.
    plain: Option<Arc<[u8]>>,
    eight_bit: bool,
}

impl Template {
    /// `content`: CR LF line ends, the last line's too.
    fn new(class: &'static str, content: Vec<u8>) -> Self {
        let eight_bit = !content.is_ascii();
        let has_dots = content.starts_with(b".") || memmem::find(&content, b"\r\n.").is_some();
        if has_dots {
            let mut stuffed = stuff(&content);
            stuffed.extend_from_slice(END_OF_DATA);
            return Self { class, stuffed: stuffed.into(), plain: Some(content.into()), eight_bit };
        }
        let mut stuffed = content;
        stuffed.extend_from_slice(END_OF_DATA);
        Self { class, stuffed: stuffed.into(), plain: None, eight_bit }
    }

    /// Name of its class in the mix: `2k`, `spam`, `pdf`, `files`.
    #[must_use]
    pub fn class(&self) -> &'static str {
        self.class
    }

    /// Its octets, not dot-stuffed: what BDAT sends after the envelope id field.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        match &self.plain {
            Some(plain) => plain,
            None => self.stuffed.get(..self.plain_bytes()).unwrap_or_default(),
        }
    }

    /// Length of [`Template::content`] where that is the start of `stuffed`.
    fn plain_bytes(&self) -> usize {
        self.stuffed.len().saturating_sub(END_OF_DATA.len())
    }

    /// Dot-stuffed, with the end of data: what DATA sends after the envelope id field.
    #[must_use]
    pub fn stuffed(&self) -> &[u8] {
        &self.stuffed
    }

    /// What a session sends after the envelope id field, nothing copied.
    #[must_use]
    pub fn content_for(&self, framing: Framing) -> Content {
        let (octets, bytes) = match (framing, &self.plain) {
            (Framing::Dots, _) => (&self.stuffed, self.stuffed.len()),
            (Framing::Octets, Some(plain)) => (plain, plain.len()),
            (Framing::Octets, None) => (&self.stuffed, self.plain_bytes()),
        };
        Content { octets: Arc::clone(octets), bytes, is_eight_bit: self.eight_bit }
    }

    /// Whether it has octets above 127, so that MAIL needs `BODY=8BITMIME`.
    #[must_use]
    pub fn is_eight_bit(&self) -> bool {
        self.eight_bit
    }
}

/// Dot-stuffing of RFC 5321 section 4.5.2.
fn stuff(content: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(content.len() + 64);
    let mut rest = content;
    if rest.starts_with(b".") {
        stuffed.push(b'.');
    }
    while let Some(at) = memmem::find(rest, b"\r\n.") {
        let (head, tail) = rest.split_at(at + 2);
        stuffed.extend_from_slice(head);
        stuffed.push(b'.');
        rest = tail;
    }
    stuffed.extend_from_slice(rest);
    stuffed
}

/// A class of mails and its share in percent.
#[derive(Debug)]
struct Class {
    percent: usize,
    mails: Vec<Template>,
}

/// Where the mails of a load come from.
#[derive(Debug)]
pub struct Mix {
    classes: Vec<Class>,
}

impl Mix {
    /// Names that [`Mix::named`] knows.
    pub const NAMES: &[&str] = &["sizes", "classes", "mean15", "trap", "real"];

    /// The mix `sizes`; the same seed gives the same octets.
    #[must_use]
    pub fn generated(seed: u64) -> Self {
        Self { classes: named::sizes(&mut Random::new(seed)) }
    }

    /// A mix of the table in `mix/named.rs`; the same seed gives the same octets.
    ///
    /// # Errors
    /// A name that is not in [`Mix::NAMES`]; an attachment or signature that could not be made.
    pub fn named(name: &str, seed: u64) -> Result<Self, String> {
        let mut random = Random::new(seed);
        let classes = match name {
            "sizes" => named::sizes(&mut random),
            "classes" => named::classes(&mut random)?,
            "mean15" => named::mean15(&mut random),
            "trap" => named::trap(&mut random),
            "real" => named::real(&mut random, &dkim::Keys::from_seed(seed)?)?,
            other => {
                return Err(format!("mix `{other}`: not one of {}", Self::NAMES.join(", ")));
            }
        };
        Ok(Self { classes })
    }

    /// Files of a directory, sub-directories included, each as often as the other; but if there are
    /// sub-directories `2k`, `20k` and `200k`, those in the shares of the mix. An mbox `From ` line
    /// is taken away, line ends become CR LF.
    ///
    /// # Errors
    /// Those of the file system; `NotFound` if there is no file.
    pub fn from_directory(dir: &Path) -> io::Result<Self> {
        let shares = [("2k", 70), ("20k", 25), ("200k", 5)];
        if shares.iter().all(|(name, _)| dir.join(name).is_dir()) {
            let classes: io::Result<Vec<Class>> = shares
                .into_iter()
                .map(|(name, percent)| {
                    Self::class_of(name, percent, files::read_tree(&dir.join(name))?)
                })
                .collect();
            return Ok(Self { classes: classes? });
        }
        Ok(Self { classes: vec![Self::class_of("files", 100, files::read_tree(dir)?)?] })
    }

    /// The mails of an mbox file, each as often as the other: without their `From ` lines, with
    /// `>From ` unquoted, line ends CR LF.
    ///
    /// # Errors
    /// Those of the file system; `NotFound` if there is no mail in it.
    pub fn from_mbox(file: &Path) -> io::Result<Self> {
        let mails = files::split_mbox(&std::fs::read(file)?);
        Ok(Self { classes: vec![Self::class_of("files", 100, mails)?] })
    }

    fn class_of(name: &'static str, percent: usize, mails: Vec<Vec<u8>>) -> io::Result<Class> {
        if mails.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no mail files in it"));
        }
        let mails = mails.into_iter().map(|content| Template::new(name, content)).collect();
        Ok(Class { percent, mails })
    }

    /// How many different mails there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.classes.iter().map(|class| class.mails.len()).sum()
    }

    /// All mails, in order.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.classes.iter().flat_map(|class| &class.mails)
    }

    /// A mail drawn by the shares, nothing copied. It is sent after an envelope id field.
    #[must_use]
    pub fn pick(&self, random: &mut Random) -> &Template {
        let mut point = random.below(100);
        let mut chosen: &[Template] = &[];
        for class in &self.classes {
            chosen = &class.mails;
            if point < class.percent {
                break;
            }
            point -= class.percent;
        }
        let index = random.below(chosen.len());
        chosen.get(index).unwrap_or_else(|| unreachable!("a class without mails is never made"))
    }

    /// A mail drawn by the shares, with the envelope id field in front.
    #[must_use]
    pub fn draw(&self, random: &mut Random, envelope_id: &str) -> Vec<u8> {
        with_envelope_id(self.pick(random).content(), envelope_id)
    }
}

/// The zone with the keys that the mix `real` of this seed is signed by, as a master file.
///
/// # Errors
/// The test key was damaged.
pub fn zone(seed: u64) -> Result<String, String> {
    Ok(dkim::Keys::from_seed(seed)?.zone())
}

/// `content` with the envelope id field in front of its header section.
#[must_use]
pub fn with_envelope_id(content: &[u8], envelope_id: &str) -> Vec<u8> {
    let mut mail = format!("{ENVELOPE_ID_FIELD}: {envelope_id}\r\n").into_bytes();
    mail.extend_from_slice(content);
    mail
}
