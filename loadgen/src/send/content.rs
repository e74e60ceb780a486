//! The contents of a load, made ready to be sent once and shared by all sessions of a worker.
//!
//! A mix draws mails; what it drew is kept here, each octet string once, dot-stuffed and with its
//! end of data. Only the envelope id field in front differs between two mails of one template.
//! Bound: [`DRAWS_MAX`] draws, after which they come again in the same order; with a mix of 16 KiB
//! whose mails all differ that is 64 MiB a worker, with the generated mix 1.5 MiB.

use std::collections::HashMap;
use std::sync::Arc;

use memchr::memmem;

use crate::ENVELOPE_ID_FIELD;
use crate::mix::Mix;
use crate::random::Random;

/// Draws that are kept; enough that the shares of a mix come out within a percent or two.
const DRAWS_MAX: usize = 4096;
/// Octets at each end by which mails are told apart before they are compared.
const KEY_BYTES: usize = 128;

/// How contents go over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// DATA: dot-stuffed, ended by a dot.
    Dots,
    /// BDAT: as they are.
    Octets,
}

/// One content as it is sent, without its envelope id field.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) octets: Arc<[u8]>,
    pub(super) is_ascii: bool,
    /// As drawn, to find it again.
    drawn: Box<[u8]>,
}

/// Templates in the order of the draw.
pub(super) struct Pool {
    framing: Framing,
    templates: Vec<Arc<Template>>,
    by_ends: HashMap<Vec<u8>, Vec<usize>>,
    draws: Vec<usize>,
    next: usize,
    random: Random,
}

impl Pool {
    pub(super) fn new(framing: Framing, random: Random) -> Self {
        let by_ends = HashMap::new();
        Self { framing, templates: Vec::new(), by_ends, draws: Vec::new(), next: 0, random }
    }

    /// The content of the next mail.
    pub(super) fn draw(&mut self, mix: &Mix) -> Arc<Template> {
        let index = if self.draws.len() < DRAWS_MAX {
            let index = self.add(mix);
            self.draws.push(index);
            index
        } else {
            let index = self.draws.get(self.next).copied().unwrap_or(0);
            self.next = (self.next + 1) % self.draws.len();
            index
        };
        let template = self.templates.get(index).map(Arc::clone);
        template.unwrap_or_else(|| unreachable!("a template for each draw"))
    }

    fn add(&mut self, mix: &Mix) -> usize {
        let drawn = mix.draw(&mut self.random, "");
        // The field without a value is in front; the field with one is put there for each mail.
        let field = ENVELOPE_ID_FIELD.len() + ": \r\n".len();
        let content = drawn.get(field..).unwrap_or_default();
        let ends = content.len().min(KEY_BYTES);
        let mut key = content.get(..ends).unwrap_or_default().to_vec();
        key.extend_from_slice(content.get(content.len() - ends..).unwrap_or_default());
        let same = self.by_ends.entry(key).or_default();
        let known = same.iter().copied().find(|&index| {
            self.templates.get(index).is_some_and(|template| *template.drawn == *content)
        });
        if let Some(index) = known {
            return index;
        }
        let octets = match self.framing {
            Framing::Dots => stuffed(content),
            Framing::Octets => content.to_vec(),
        };
        let index = self.templates.len();
        self.templates.push(Arc::new(Template {
            octets: octets.into(),
            is_ascii: content.is_ascii(),
            drawn: content.into(),
        }));
        same.push(index);
        index
    }
}

/// `content` dot-stuffed with its end of data. The envelope id field stands before it, so its
/// start is the start of a line.
fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + content.len() / 64 + 5);
    let mut rest = content;
    if rest.starts_with(b".") {
        out.push(b'.');
    }
    while let Some(at) = memmem::find(rest, b"\r\n.") {
        let (head, tail) = rest.split_at(at + 2);
        out.extend_from_slice(head);
        out.push(b'.');
        rest = tail;
    }
    out.extend_from_slice(rest);
    if !content.is_empty() && !content.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::{DRAWS_MAX, Framing, Pool, stuffed};
    use crate::mix::Mix;
    use crate::random::Random;

    #[test]
    fn each_mail_is_kept_once_however_often_it_is_drawn_and_is_what_the_mix_drew() {
        let mix = Mix::generated(3);
        let mut pool = Pool::new(Framing::Octets, Random::new(7));
        let mut random = Random::new(7);
        let mut bytes = 0;
        for _ in 0..DRAWS_MAX + 50 {
            let template = pool.draw(&mix);
            let drawn = mix.draw(&mut random, "");
            if pool.next == 0 {
                assert!(drawn.ends_with(&template.octets) && drawn.len() > template.octets.len());
            }
            bytes += template.octets.len();
        }
        assert!(pool.templates.len() <= mix.count(), "{} templates", pool.templates.len());
        let mean = bytes / (DRAWS_MAX + 50);
        assert!((14_000..19_000).contains(&mean), "mean {mean} octets");
    }

    #[test]
    fn dots_are_stuffed_at_the_start_of_every_line_and_nowhere_else() {
        for (content, sent) in [
            (&b".a\r\n..\r\nb.\r\n"[..], &b"..a\r\n...\r\nb.\r\n.\r\n"[..]),
            (b"\r\n.\r\n", b"\r\n..\r\n.\r\n"),
            (b"no line end", b"no line end\r\n.\r\n"),
            (b"", b".\r\n"),
        ] {
            assert_eq!(stuffed(content), sent);
        }
    }
}
