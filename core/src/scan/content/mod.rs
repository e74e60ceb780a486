//! What administrators look for in texts: words, regular expressions and numbers with check digits, with
//! counts and distances. Pure; nothing here decides anything.
//!
//! A domain's expressions are compiled once for each shard and worker ([`Cache`], bounded), and looked
//! for only in mails to that domain: a domain without any costs nothing. Everything is linear in the
//! texts, and done in windows of 64 KiB with a pause after each.
//!
//! Bounds: 16 MiB of texts of one message (what is beyond is said, [`Found::cut`]); 256 KiB of
//! expressions of one domain; hits at most one for each expression.

mod expression;
mod identifier;
mod run;
mod set;
#[cfg(test)]
mod tests;
mod text;

use std::cell::RefCell;
use std::rc::Rc;

use xxhash_rust::xxh3::Xxh3;

pub use expression::{Check, ContentHit, Expression, Near, Needle, Place, WordMatch};
pub use identifier::Identifier;
pub use set::{
    ContentError, ContentSet, EXPRESSIONS_MAX, REGEXES_MAX, SET_BYTES_MAX, WORDS_MAX,
    check_wildcards, compile_regex, plain_word,
};

use crate::message::View;
use text::Texts;

/// Memory of all compiled sets of one shard or worker.
const CACHE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Sets of one shard or worker.
const CACHE_SETS_MAX: usize = 256;

/// What was found in one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// One for each expression that is fulfilled.
    pub hits: Vec<ContentHit>,
    /// Not everything was searched, or not for everything.
    pub cut: bool,
}

/// Looks for all expressions of `sets`. `pause` is awaited after each 64 KiB.
pub async fn look(view: &View<'_>, sets: &[Rc<ContentSet>], pause: &impl AsyncFn()) -> Found {
    let mut found = Found::default();
    if sets.is_empty() {
        return found;
    }
    let wants = |place: &Place| sets.iter().any(|set| set.looks_in(place));
    let texts = Texts::of(view, &wants, pause).await;
    found.cut = texts.cut;
    for set in sets {
        found.cut |= set.incomplete;
        for hit in run::run(set, &texts, pause).await {
            if !found.hits.iter().any(|known| known.id == hit.id) {
                found.hits.push(hit);
            }
        }
    }
    found.cut |= texts.over.get();
    found
}

/// Sets that were compiled, the one that was used last at the end.
#[derive(Debug, Default)]
pub struct Cache {
    sets: Vec<(u64, Rc<ContentSet>)>,
}

impl Cache {
    /// The set of these expressions, compiled now if it is not there. Others leave for it, those that
    /// nobody used for the longest time first; `pause` is awaited between steps of compiling.
    pub async fn set(
        cache: &RefCell<Self>,
        expressions: &[&Expression],
        pause: &impl AsyncFn(),
    ) -> Rc<ContentSet> {
        let mut hash = Xxh3::new();
        expressions.iter().for_each(|one| hash.update(&one.id.to_le_bytes()));
        let key = hash.digest();
        if let Some(set) = cache.borrow_mut().take(key) {
            return set;
        }
        let set = Rc::new(ContentSet::compile(expressions, pause).await);
        cache.borrow_mut().put(key, &set);
        set
    }

    fn take(&mut self, key: u64) -> Option<Rc<ContentSet>> {
        let at = self.sets.iter().position(|(known, _)| *known == key)?;
        let entry = self.sets.remove(at);
        let set = Rc::clone(&entry.1);
        self.sets.push(entry);
        Some(set)
    }

    fn put(&mut self, key: u64, set: &Rc<ContentSet>) {
        self.sets.retain(|(known, _)| *known != key);
        self.sets.push((key, Rc::clone(set)));
        let bytes = |sets: &[(u64, Rc<ContentSet>)]| -> usize {
            sets.iter().map(|(_, set)| set.bytes()).sum()
        };
        while self.sets.len() > 1
            && (self.sets.len() > CACHE_SETS_MAX || bytes(&self.sets) > CACHE_BYTES_MAX)
        {
            self.sets.remove(0);
        }
    }
}

/// What is looked for in a text when anything is, and what it was compiled to.
fn of_every_kind() -> (Vec<Expression>, Rc<ContentSet>) {
    let words = |how, all| Needle::Words {
        words: vec!["a".into(), "aa".into(), "漢字".into(), "secret".into()],
        how,
        all,
    };
    let regex = |text: &str, check| Needle::Regex { expression: text.into(), check };
    let mut expressions: Vec<Expression> =
        Identifier::ALL.map(|what| Expression::new(Needle::Identifier(what))).to_vec();
    for how in [WordMatch::Part, WordMatch::Word, WordMatch::Whole, WordMatch::Wildcard] {
        expressions.push(Expression::new(words(how, false)));
        expressions.push(Expression::new(words(how, true)));
    }
    for (text, check) in
        [(r"\d{4,19}", Check::Luhn), (r"\b\w+\b", Check::Mod97), ("(a|b)*c", Check::None)]
    {
        let near = Near { needle: words(WordMatch::Part, false), chars: 20 };
        let plain = Expression::new(regex(text, check));
        expressions.push(Expression { near: Some(near), distinct: true, ..plain }.identified());
    }
    let all: Vec<&Expression> = expressions.iter().collect();
    let set = futures_lite::future::block_on(ContentSet::compile(&all, &async || ()));
    (expressions, Rc::new(set))
}

/// Fuzz entry: any octets as a mail, and as the text that is searched for every kind of thing. Number of hits.
///
/// # Panics
/// When a hit has no count or shows more of a number than it should.
pub fn fuzz_content(octets: &[u8]) -> usize {
    thread_local! {
        // Compiled once: it is the texts that are anything.
        static KINDS: (Vec<Expression>, Rc<ContentSet>) = of_every_kind();
    }
    let (expressions, set) = KINDS.with(Clone::clone);
    let text = String::from_utf8_lossy(octets);
    let mail = format!("Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}");
    let looked = async {
        let mut hits = 0;
        for raw in [octets, mail.as_bytes()] {
            let view = View::build(raw, &crate::message::ViewLimits::shard());
            let found = look(&view, &[Rc::clone(&set)], &async || ()).await;
            assert!(found.hits.iter().all(|hit| hit.count > 0), "a hit of nothing");
            for hit in &found.hits {
                let number = expressions.iter().take(Identifier::ALL.len()).any(|e| e.id == hit.id);
                let shown = hit.excerpt.chars().filter(|c| c.is_alphanumeric()).count();
                assert!(!number || shown <= 4, "an excerpt shows {}", hit.excerpt);
            }
            hits += found.hits.len();
        }
        hits
    };
    let _ = text::xml_text(&text);
    futures_lite::future::block_on(looked)
}
