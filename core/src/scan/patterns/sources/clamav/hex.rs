//! Body signatures in hexadecimal with wildcards, as byte expressions.

use std::fmt::Write as _;

use super::Fault;

/// Largest count that PCRE2 takes in one repeat.
const REPEAT_MAX: u64 = 65_535;
/// Largest offset that is served.
const OFFSET_MAX: u64 = 1_000_000;

/// Modifiers of a subsignature.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Modifiers {
    /// `i`: any case.
    pub(super) caseless: bool,
    /// `w`: each octet followed by NUL.
    pub(super) wide: bool,
    /// `a`: as it is (with `w`: both).
    pub(super) ascii: bool,
    /// `f`: not inside a word.
    pub(super) full_word: bool,
}

/// The octets of a signature without wildcards.
pub(super) fn literal(signature: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        signature.chars().map(|c| u8::try_from(c.to_digit(16)?).ok()).collect();
    let pairs = digits?;
    let octet = |pair: &[u8]| match pair {
        [high, low] => Some(high << 4 | low),
        _ => None,
    };
    (!pairs.is_empty()).then(|| pairs.chunks(2).map(octet).collect())?
}

/// The signature as an expression.
pub(super) fn expression(signature: &str, modifiers: Modifiers) -> Result<String, Fault> {
    let plain = translate(signature, false)?;
    let body = match (modifiers.wide, modifiers.ascii) {
        (false, _) => plain,
        (true, false) => translate(signature, true)?,
        (true, true) => format!("(?:{plain}|{})", translate(signature, true)?),
    };
    Ok(if modifiers.full_word {
        format!("(?<![A-Za-z0-9])(?:{body})(?![A-Za-z0-9])")
    } else {
        body
    })
}

/// The expression at an offset.
pub(super) fn anchored(text: &str, offset: &str) -> Result<String, Fault> {
    let before = before(offset)?;
    Ok(if before.is_empty() { text.to_owned() } else { format!("{before}(?:{text})") })
}

/// What stands before an expression so that it matches at an offset only; empty for any.
pub(super) fn before(offset: &str) -> Result<String, Fault> {
    let number = |text: &str| {
        text.parse::<u64>()
            .ok()
            .filter(|number| *number <= OFFSET_MAX)
            .ok_or_else(|| Fault::Unsupported(format!("offset {offset}")))
    };
    if offset == "*" {
        return Ok(String::new());
    }
    // A shift that is this long means "from there on": it is written by those who cannot say it otherwise.
    let wide = |shift: &str| shift.parse::<u64>().is_ok_and(|shift| shift > REPEAT_MAX);
    let (place, shift) = match offset.split_once(',') {
        Some((place, shift)) if wide(shift) => (place, None),
        Some((place, shift)) => (place, Some(number(shift)?)),
        None => (offset, Some(0)),
    };
    if let Some(back) = place.strip_prefix("EOF-") {
        let back = number(back)?;
        let gap = gap(shift.map_or(0, |shift| back.saturating_sub(shift)), Some(back));
        return Ok(format!("(?={gap}\\z)"));
    }
    let start = number(place)?;
    if start == 0 && shift.is_none() {
        return Ok(String::new());
    }
    Ok(format!("\\A{}", gap(start, shift.map(|shift| start + shift))))
}

/// Between `low` and `high` octets, whatever they are.
fn gap(low: u64, high: Option<u64>) -> String {
    let mut out = String::new();
    let mut rest = low;
    while rest > 0 {
        let now = rest.min(REPEAT_MAX);
        let _ = write!(out, ".{{{now}}}");
        rest -= now;
    }
    match high {
        None => out.push_str(".*"),
        Some(high) => {
            let mut rest = high.saturating_sub(low);
            while rest > 0 {
                let now = rest.min(REPEAT_MAX);
                let _ = write!(out, ".{{0,{now}}}");
                rest -= now;
            }
        }
    }
    out
}

struct Reader<'s> {
    bytes: &'s [u8],
    at: usize,
    wide: bool,
}

fn translate(signature: &str, wide: bool) -> Result<String, Fault> {
    let mut reader = Reader { bytes: signature.as_bytes(), at: 0, wide };
    let mut out = String::new();
    while reader.at < reader.bytes.len() {
        reader.element(&mut out)?;
    }
    if out.is_empty() {
        return Err(Fault::Bad(0, "empty signature".into()));
    }
    Ok(out)
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn bad<T>(&self, text: &str) -> Result<T, Fault> {
        Err(Fault::Bad(self.at, text.to_owned()))
    }

    fn element(&mut self, out: &mut String) -> Result<(), Fault> {
        match self.peek(0) {
            b'*' => {
                self.at += 1;
                out.push_str(".*");
                Ok(())
            }
            b'{' => self.span(b'}', out),
            b'[' => self.span(b']', out),
            b'(' => self.alternatives(false, out),
            b'!' if self.peek(1) == b'(' => {
                self.at += 1;
                self.alternatives(true, out)
            }
            b'$' => Err(Fault::Unsupported("macro ${}".into())),
            _ => self.octet(out),
        }
    }

    /// One octet, with its NUL where it is wide.
    fn octet(&mut self, out: &mut String) -> Result<(), Fault> {
        let (high, low) = (self.peek(0), self.peek(1));
        match (char::from(high).to_digit(16), char::from(low).to_digit(16)) {
            (Some(high), Some(low)) => {
                let _ = write!(out, "\\x{:02x}", high * 16 + low);
            }
            (Some(high), None) if low == b'?' => {
                let _ = write!(out, "[\\x{:02x}-\\x{:02x}]", high * 16, high * 16 + 15);
            }
            (None, Some(low)) if high == b'?' => {
                out.push('[');
                for high in 0..16 {
                    let _ = write!(out, "\\x{:02x}", high * 16 + low);
                }
                out.push(']');
            }
            (None, None) if high == b'?' && low == b'?' => out.push('.'),
            _ => return self.bad("expected two hexadecimal digits"),
        }
        self.at += 2;
        if self.wide {
            out.push_str("\\x00");
        }
        Ok(())
    }

    /// `{n}`, `{-n}`, `{n-}`, `{n-m}`, and the same in square brackets.
    fn span(&mut self, close: u8, out: &mut String) -> Result<(), Fault> {
        let rest = self.bytes.get(self.at + 1..).unwrap_or_default();
        let Some(end) = rest.iter().position(|c| *c == close) else {
            return self.bad("gap is not closed");
        };
        let inner = String::from_utf8_lossy(rest.get(..end).unwrap_or_default()).into_owned();
        let number = |text: &str| text.parse::<u64>().ok().filter(|n| *n <= OFFSET_MAX);
        let (low, high) = match inner.split_once('-') {
            None => match number(&inner) {
                Some(count) => (count, Some(count)),
                None => return self.bad("gap needs a number up to 1000000"),
            },
            Some((low, high)) => {
                let low = if low.is_empty() { Some(0) } else { number(low) };
                let high = if high.is_empty() { Some(None) } else { number(high).map(Some) };
                match (low, high) {
                    (Some(low), Some(high)) if high.is_none_or(|high| high >= low) => (low, high),
                    _ => return self.bad("gap needs numbers up to 1000000, the lower first"),
                }
            }
        };
        out.push_str(&gap(low, high));
        self.at += end + 2;
        Ok(())
    }

    /// `(B)`: end of a word, `(L)`: end of a line, `(W)`: what is no letter or digit; the ends of the file are all of them.
    fn boundary(&mut self, negated: bool, out: &mut String) -> Result<(), Fault> {
        let mark = self.peek(1);
        let first = self.at == 0 || (negated && self.at == 1);
        let last = self.at + 3 == self.bytes.len();
        if negated || (!first && !last) {
            let mark = char::from(mark);
            return Err(Fault::Unsupported(format!("boundary mark ({mark}) inside or negated")));
        }
        out.push_str(match (mark, first) {
            (b'L', true) => "(?<![^\\r\\n])",
            (b'L', false) => "(?![^\\r\\n])",
            (_, true) => "(?<![A-Za-z0-9])",
            (_, false) => "(?![A-Za-z0-9])",
        });
        self.at += 3;
        Ok(())
    }

    fn alternatives(&mut self, negated: bool, out: &mut String) -> Result<(), Fault> {
        if matches!(self.peek(1), b'B' | b'L' | b'W') && self.peek(2) == b')' {
            return self.boundary(negated, out);
        }
        self.at += 1;
        let mut inner = String::new();
        let mut widths = vec![0_u32];
        loop {
            match self.peek(0) {
                b')' => break,
                b'|' => {
                    inner.push('|');
                    widths.push(0);
                    self.at += 1;
                }
                b'*' | b'{' | b'[' | b'(' if negated => {
                    return Err(Fault::Unsupported("wildcard in a negated alternative".into()));
                }
                0 => return self.bad("alternative is not closed"),
                _ => {
                    self.element(&mut inner)?;
                    if let Some(width) = widths.last_mut() {
                        *width += if self.wide { 2 } else { 1 };
                    }
                }
            }
        }
        self.at += 1;
        if !negated {
            let _ = write!(out, "(?:{inner})");
            return Ok(());
        }
        let width = widths.first().copied().unwrap_or(0);
        if widths.iter().any(|other| *other != width) || width == 0 {
            return Err(Fault::Unsupported("negated alternatives of different lengths".into()));
        }
        let _ = write!(out, "(?!{inner}).{{{width}}}");
        Ok(())
    }
}
