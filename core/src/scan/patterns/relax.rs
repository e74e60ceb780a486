//! A PCRE2 expression rewritten into one that `regex-syntax` reads and that matches **at least** as
//! much: what is proved necessary for the relaxed one is necessary for the original.
//!
//! Look-around, anchors and word boundaries (unless they are asked for) become empty; atomic groups and possessive quantifiers
//! plain ones; back-references `.*`; classes that cannot be said become "any octet". Everything in
//! doubt ends in `None`: then the rule is simply not gated.

use std::fmt::Write as _;

use super::rule::Pattern;

/// Any one octet (or character).
const ANY: &str = "(?s:.)";
/// An assertion: consumes nothing.
const EMPTY: &str = "(?:)";
/// Groups inside groups.
const DEPTH_MAX: usize = 60;

/// The relaxed expression.
pub(super) fn relax(pattern: &Pattern) -> Option<String> {
    walk(pattern, false)
}

/// The same with anchors and word boundaries, as far as `regex-syntax` can say them: nearer to the
/// original where an automaton runs it, and of no use where strings are looked for. `^` and `$` hold
/// at every line whatever the pattern says, which is the more.
pub(super) fn relax_with_anchors(pattern: &Pattern) -> Option<String> {
    walk(pattern, true)
}

fn walk(pattern: &Pattern, anchors: bool) -> Option<String> {
    let chars: Vec<char> = pattern.text.chars().collect();
    let Pattern { extended, utf, .. } = *pattern;
    let mut walker = Walker { chars: &chars, at: 0, extended, utf, anchors };
    let mut out = String::new();
    walker.group(&mut out, 0)?;
    (walker.at == chars.len()).then_some(out)
}

struct Walker<'p> {
    chars: &'p [char],
    at: usize,
    extended: bool,
    utf: bool,
    anchors: bool,
}

/// A character or octet. `regex-syntax` takes `\xHH` for an octet and `\x{...}` for a character
/// even where it reads octets: `\x{e5}` would be the two octets of U+00E5.
fn literal(utf: bool, out: &mut String, c: u32) {
    // Writing to a String cannot fail.
    let _ = if !utf && c <= 0xff { write!(out, "\\x{c:02x}") } else { write!(out, "\\x{{{c:x}}}") };
}

impl Walker<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    fn eat(&mut self, text: &str) -> bool {
        let fits = text.chars().enumerate().all(|(i, c)| self.chars.get(self.at + i) == Some(&c));
        if fits {
            self.at += text.len();
        }
        fits
    }

    /// Reads up to the `)` that ends this group (not taken), or to the end.
    fn group(&mut self, out: &mut String, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        while let Some(c) = self.peek() {
            if c == ')' {
                return Some(());
            }
            self.at += 1;
            match c {
                '\\' => self.escape(out)?,
                '[' => self.class(out)?,
                '(' => self.bracket(out, depth)?,
                '|' => out.push('|'),
                '^' => self.anchor(out, "(?m:^)"),
                '$' => self.anchor(out, "(?m:$)"),
                '.' => out.push('.'),
                '*' | '+' | '?' => self.quantifier(out, &c.to_string()),
                '{' => match self.counted() {
                    Some(text) => self.quantifier(out, &text),
                    None => literal(self.utf, out, u32::from('{')),
                },
                '#' if self.extended => while self.next().is_some_and(|c| c != '\n') {},
                c if self.extended && c.is_ascii_whitespace() => {}
                c => literal(self.utf, out, u32::from(c)),
            }
        }
        Some(())
    }

    fn anchor(&self, out: &mut String, text: &str) {
        out.push_str(if self.anchors { text } else { EMPTY });
    }

    fn quantifier(&mut self, out: &mut String, text: &str) {
        out.push_str(text);
        // Lazy or possessive: the language is the same or larger.
        if matches!(self.peek(), Some('?' | '+')) {
            self.at += 1;
        }
    }

    /// `n}`, `n,}` or `n,m}` after the brace.
    fn counted(&mut self) -> Option<String> {
        let rest = self.chars.get(self.at..)?;
        let end = rest.iter().take(14).position(|c| *c == '}')?;
        let inner: String = rest.iter().take(end).collect();
        let (low, high) = inner.split_once(',').unwrap_or((&inner, "0"));
        let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
        if low.is_empty() || !digits(low) || !digits(high) {
            return None;
        }
        self.at += end + 1;
        Some(format!("{{{inner}}}"))
    }

    fn bracket(&mut self, out: &mut String, depth: usize) -> Option<()> {
        if self.peek() == Some('*') {
            return None;
        }
        if !self.eat("?") {
            return self.rest_of_group(out, "(?:", depth);
        }
        if self.eat("#") {
            while self.next()? != ')' {}
            return Some(());
        }
        for look in ["=", "!", "<=", "<!"] {
            if self.eat(look) {
                let mut dropped = String::new();
                self.group(&mut dropped, depth + 1)?;
                out.push_str(EMPTY);
                return (self.next()? == ')').then_some(());
            }
        }
        if self.eat(":") || self.eat(">") || self.eat("|") {
            return self.rest_of_group(out, "(?:", depth);
        }
        if self.eat("P<") || self.eat("<") {
            while self.next()? != '>' {}
            return self.rest_of_group(out, "(?:", depth);
        }
        let mut flags = String::new();
        while let Some(c) = self.peek().filter(|c| matches!(c, 'i' | 'm' | 's' | '-')) {
            flags.push(c);
            self.at += 1;
        }
        if flags.is_empty() || flags.ends_with('-') {
            return None;
        }
        match self.next()? {
            ')' => {
                let _ = write!(out, "(?{flags})");
                Some(())
            }
            ':' => self.rest_of_group(out, &format!("(?{flags}:"), depth),
            _ => None,
        }
    }

    fn rest_of_group(&mut self, out: &mut String, open: &str, depth: usize) -> Option<()> {
        out.push_str(open);
        self.group(out, depth + 1)?;
        out.push(')');
        (self.next()? == ')').then_some(())
    }

    fn escape(&mut self, out: &mut String) -> Option<()> {
        let c = self.next()?;
        match c {
            'A' => self.anchor(out, "\\A"),
            'z' => self.anchor(out, "\\z"),
            'Z' => self.anchor(out, "(?m:$)"),
            'b' => self.anchor(out, "\\b"),
            'B' => self.anchor(out, "\\B"),
            'G' | 'K' => out.push_str(EMPTY),
            'd' | 'w' | 's' | 'D' | 'W' | 'S' => {
                out.push('\\');
                out.push(c);
            }
            '1'..='9' => {
                while self.peek().is_some_and(|c| c.is_ascii_digit()) {
                    self.at += 1;
                }
                let _ = write!(out, "(?:{ANY}*)");
            }
            'h' | 'H' | 'v' | 'V' | 'N' => out.push_str(ANY),
            'R' => {
                let _ = write!(out, "(?:{ANY}{ANY}?)");
            }
            'p' | 'P' => {
                self.property()?;
                out.push_str(ANY);
            }
            'Q' => loop {
                if self.eat("\\E") || self.peek().is_none() {
                    break;
                }
                literal(self.utf, out, u32::from(self.next()?));
            },
            'E' => {}
            _ => {
                let value = self.escaped_char(c)?;
                literal(self.utf, out, value);
            }
        }
        Some(())
    }

    fn property(&mut self) -> Option<()> {
        if self.next()? == '{' {
            while self.next()? != '}' {}
        }
        Some(())
    }

    /// The character that an escape stands for, after the backslash and `c`.
    fn escaped_char(&mut self, c: char) -> Option<u32> {
        let value = match c {
            'n' => 10,
            'r' => 13,
            't' => 9,
            'f' => 12,
            'a' => 7,
            'e' => 27,
            'x' => self.hex()?,
            '0' => {
                let mut value = 0;
                for _ in 0..2 {
                    let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else { break };
                    value = value * 8 + digit;
                    self.at += 1;
                }
                value
            }
            c if c.is_ascii_alphanumeric() => return None,
            c => u32::from(c),
        };
        (self.utf || value <= 0xff).then_some(value)
    }

    fn hex(&mut self) -> Option<u32> {
        if self.eat("{") {
            let mut digits = String::new();
            loop {
                match self.next()? {
                    '}' => return u32::from_str_radix(&digits, 16).ok(),
                    c => digits.push(c),
                }
            }
        }
        let mut value = 0;
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(16)) else { break };
            value = value * 16 + digit;
            self.at += 1;
        }
        Some(value)
    }

    fn class(&mut self, out: &mut String) -> Option<()> {
        let mut text = String::from("[");
        if self.eat("^") {
            text.push('^');
        }
        let mut sayable = true;
        let mut first = true;
        loop {
            let c = self.next()?;
            if c == ']' && !first {
                break;
            }
            first = false;
            if c == '[' && matches!(self.peek(), Some(':' | '.' | '=')) {
                let Some(name) = self.posix() else {
                    literal(self.utf, &mut text, u32::from('['));
                    continue;
                };
                text.push_str(&name);
                continue;
            }
            let Some(low) = self.class_char(c, &mut text, &mut sayable)? else { continue };
            literal(self.utf, &mut text, low);
            // A range needs a single character on both sides; else the hyphen stands for itself.
            let next = self.chars.get(self.at + 1).copied();
            if self.peek() == Some('-') && next.is_some_and(|c| c != ']') {
                let back = self.at;
                self.at += 1;
                let c = self.next()?;
                let mut apart = String::new();
                match self.class_char(c, &mut apart, &mut sayable)? {
                    Some(high) if high >= low && !(c == '[' && self.peek() == Some(':')) => {
                        text.push('-');
                        literal(self.utf, &mut text, high);
                    }
                    Some(_) => return None,
                    None => self.at = back,
                }
            }
        }
        text.push(']');
        out.push_str(if sayable { &text } else { ANY });
        Some(())
    }

    /// One element of a class: its character, or `None` where it is a set (then written to `text`).
    fn class_char(
        &mut self,
        c: char,
        text: &mut String,
        sayable: &mut bool,
    ) -> Option<Option<u32>> {
        if c != '\\' {
            return Some(Some(u32::from(c)));
        }
        let c = self.next()?;
        Some(match c {
            'd' | 'w' | 's' | 'D' | 'W' | 'S' => {
                text.push('\\');
                text.push(c);
                None
            }
            'b' => Some(8),
            'h' | 'H' | 'v' | 'V' | 'N' | 'R' => {
                *sayable = false;
                None
            }
            'p' | 'P' => {
                self.property()?;
                *sayable = false;
                None
            }
            'Q' | 'E' => return None,
            // In a class all numbers are octal.
            '1'..='9' => return None,
            _ => Some(self.escaped_char(c)?),
        })
    }

    /// `[:name:]`, the first bracket taken.
    fn posix(&mut self) -> Option<String> {
        let rest: String = self.chars.get(self.at..)?.iter().take(12).collect();
        let end = rest.find(":]")?;
        let name = rest.get(1..end)?;
        let bare = name.strip_prefix('^').unwrap_or(name);
        let known = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print",
            "punct", "space", "upper", "word", "xdigit",
        ];
        if !known.contains(&bare) {
            return None;
        }
        let text = format!("[:{name}:]");
        self.at += end + 2;
        Some(text)
    }
}
