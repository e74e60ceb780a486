//! Passwords that a mail says itself: words behind "password" and its like, words in quotation marks,
//! names of files, then any word that could be one. In Japan a protected archive and its password often
//! travel together, and malware does the same, so that scanners see nothing.
//!
//! Bounds: [`CANDIDATES_MAX`] words, of texts of at most [`TEXT_BYTES_MAX`]; all tries of a message
//! together may cost [`WORK_MAX`], counted in hashes and not in time, so that the same message gets the
//! same answer everywhere.

use std::rc::Rc;

use aho_corasick::AhoCorasick;
use std::sync::LazyLock;

use crate::message::{View, normalise};

/// Words that are tried.
const CANDIDATES_MAX: usize = 200;
/// Octets of text in which words are looked for.
const TEXT_BYTES_MAX: usize = 256 * 1024;
/// Blocks of SHA-1 or SHA-256, about two million a second on a slow core: 7z and Office ask for 50,000
/// to 500,000 of them for each try.
const WORK_MAX: u64 = 4_000_000;
/// Octets of a password.
const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 1..=64;
/// Characters behind a word like "password" in which the password itself stands.
const NEAR_CHARS: usize = 80;

/// What a password is called.
const KEYWORDS: [&str; 24] = [
    "パスワード",
    "パスコード",
    "パスフレーズ",
    "暗証",
    "解凍",
    "展開",
    "開封",
    "合言葉",
    "合い言葉",
    "ぱすわーど",
    "password",
    "passwd",
    "passcode",
    "passphrase",
    "pass",
    "pwd",
    "pw",
    "密码",
    "密碼",
    "비밀번호",
    "kennwort",
    "passwort",
    "mot de passe",
    "contrase",
];
static NAMED: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let built = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(aho_corasick::MatchKind::LeftmostLongest)
        .build(KEYWORDS);
    built.unwrap_or_else(|error| unreachable!("a few short strings: {error}"))
});

/// What stands around a word and is rarely its own.
const AROUND: &[char] = &[
    '"', '\'', '`', '「', '」', '『', '』', '【', '】', '(', ')', '[', ']', '<', '>', '{', '}',
    '“', '”', '‘', '’', '.', ',', ';', ':', '=', '、', '。', '→', '*', '!', '?', '|', '«', '»',
    '/', '-', '_', '#',
];
const QUOTES: &[(char, char)] = &[
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('「', '」'),
    ('『', '』'),
    ('【', '】'),
    ('“', '”'),
    ('‘', '’'),
    ('«', '»'),
    ('[', ']'),
    ('<', '>'),
    ('(', ')'),
];

/// Candidates, the likeliest first, and what is left to pay tries with.
#[derive(Debug)]
pub(super) struct Passwords {
    likely: Vec<Rc<str>>,
    /// Any other words.
    words: Vec<Rc<str>>,
    work: u64,
    wanted: bool,
}

impl Passwords {
    /// None, and texts that are added change nothing.
    pub(super) fn off() -> Self {
        Self { likely: Vec::new(), words: Vec::new(), work: WORK_MAX, wanted: false }
    }

    /// Those of a message.
    pub(super) fn of(view: &View<'_>) -> Self {
        let mut all = Self { wanted: true, ..Self::off() };
        all.add_text(&view.body().text);
        for name in view.parts.iter().flat_map(|part| &part.file_names) {
            all.add_name(name.rsplit_once('.').map_or(&**name, |(stem, _)| stem));
        }
        all
    }

    /// A name tells a password as a text does ("report_pw1234"), or is a number that is one. The name as it
    /// is, is none: that protects against nobody.
    fn add_name(&mut self, stem: &str) {
        let spaced = stem.replace('_', " ");
        self.add_named(&spaced);
        for piece in stem.split(|c: char| !c.is_ascii_alphanumeric()) {
            if piece.len() >= 4
                && piece.len() < stem.len()
                && piece.bytes().any(|o| o.is_ascii_digit())
            {
                self.word(piece);
            }
        }
    }

    /// Adds those of a text that came to light later: of a mail inside.
    pub(super) fn add_text(&mut self, text: &str) {
        if !self.wanted {
            return;
        }
        let mut end = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = text.get(..end).unwrap_or_default();
        self.add_named(text);
        // Full width letters, as Japanese input methods write them.
        let mut narrow = String::new();
        normalise(text, &mut narrow);
        if narrow != text {
            self.add_named(&narrow);
        }
        for (open, close) in QUOTES {
            self.add_quoted(text, *open, *close);
        }
        self.add_words(text);
        if narrow != text {
            self.add_words(&narrow);
        }
    }

    /// The candidate of this number, if there is one and its try can be paid for.
    pub(super) fn candidate(&mut self, number: usize, cost: u64) -> Option<Rc<str>> {
        if number >= CANDIDATES_MAX {
            return None;
        }
        let found = self.likely.iter().chain(&self.words).nth(number).cloned()?;
        self.pay(cost).then_some(found)
    }

    /// Takes the cost of a try from what is left; false if that is too little.
    pub(super) fn pay(&mut self, cost: u64) -> bool {
        let left = self.work.checked_sub(cost.max(1));
        self.work = left.unwrap_or(self.work);
        left.is_some()
    }

    /// This one was right: what else is protected most likely has the same.
    pub(super) fn fits(&mut self, password: &Rc<str>) {
        self.likely.retain(|one| one != password);
        self.words.retain(|one| one != password);
        self.likely.insert(0, Rc::clone(password));
    }

    fn likely(&mut self, word: &str) {
        if PASSWORD_BYTES.contains(&word.len())
            && self.likely.len() < CANDIDATES_MAX
            && !self.likely.iter().any(|one| &**one == word)
        {
            self.words.retain(|one| &**one != word);
            self.likely.push(word.into());
        }
    }

    fn word(&mut self, word: &str) {
        if PASSWORD_BYTES.contains(&word.len())
            && word.len() >= 3
            && self.words.len() < CANDIDATES_MAX
            && !self.likely.iter().chain(&self.words).any(|one| &**one == word)
        {
            self.words.push(word.into());
        }
    }

    /// What stands behind a word like "password".
    fn add_named(&mut self, text: &str) {
        for hit in NAMED.find_iter(text).take(50) {
            // "compass" and "passing" name no password; a digit behind does ("pw123" is one by itself).
            let before = text.get(..hit.start()).and_then(|before| before.chars().next_back());
            let rest = text.get(hit.end()..).unwrap_or_default();
            let inside = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphabetic());
            if hit.len() < 6 && (inside(before) || inside(rest.chars().next())) {
                continue;
            }
            let near: String = rest.chars().take(NEAR_CHARS).collect();
            self.add_near(&near);
        }
    }

    fn add_near(&mut self, near: &str) {
        // Words of printable ASCII: what is written around them is Japanese, or a blank.
        let runs = near.split(|c: char| !c.is_ascii_graphic()).filter(|run| !run.is_empty());
        for run in runs.take(6) {
            self.run(run, Self::likely);
        }
        // Passwords that are no ASCII: a line's rest behind the colon.
        if let Some((_, value)) = near.split_once([':', '：', '=', 'は', '「'])
            && let Some(value) = value.lines().map(str::trim).find(|line| !line.is_empty())
        {
            let value = value.trim_matches(AROUND);
            let value = value.split(['」', '』', ' ', '　', '。']).next().unwrap_or_default();
            self.likely(value);
        }
    }

    fn run(&mut self, run: &str, add: fn(&mut Self, &str)) {
        let bare = run.trim_matches(AROUND);
        // "PW:abc" and "pass=abc".
        if let Some((_, value)) = bare.split_once([':', '=']) {
            add(self, value.trim_matches(AROUND));
        }
        if !matches!(bare, "is" | "for" | "the" | "to" | "of" | "your" | "this" | "file" | "zip") {
            add(self, bare);
        }
        // "Abc123!" with its mark, and "abc123." without.
        let opened = run.trim_start_matches(AROUND);
        if opened != bare {
            add(self, opened);
        }
        if run != opened {
            add(self, run);
        }
    }

    fn add_quoted(&mut self, text: &str, open: char, close: char) {
        let mut rest = text;
        for _ in 0..50 {
            let Some((_, behind)) = rest.split_once(open) else { return };
            rest = behind;
            let near: String = behind.chars().take(65).collect();
            if let Some((word, _)) = near.split_once(close)
                && !word.contains(['\n', '\r'])
            {
                self.likely(word.trim());
            }
        }
    }

    /// Any word: those with digits first, as far as there is room.
    fn add_words(&mut self, text: &str) {
        let runs = || {
            text.split(|c: char| !c.is_ascii_graphic())
                .filter(|run| PASSWORD_BYTES.contains(&run.len()))
        };
        let numbered = |run: &&str| run.bytes().any(|octet| octet.is_ascii_digit());
        for run in runs().filter(numbered).take(CANDIDATES_MAX) {
            self.run(run, Self::word);
        }
        for run in runs().filter(|run| !numbered(run)).take(CANDIDATES_MAX) {
            self.run(run, Self::word);
        }
    }
}
