//! Tokens of PDF, as readers take them that forgive: nothing is an error. ISO 32000-1 section 7.2.

use super::from_hex;

/// Octets of one string that are kept; longer ones are no text.
const STRING_BYTES_MAX: usize = 64 * 1024;

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::scan) enum Token {
    /// Without its slash, `#xx` undone, at most 64 octets.
    Name(Vec<u8>),
    Number(f64),
    /// In brackets or hexadecimal, undone.
    String(Vec<u8>),
    ArrayOpen,
    ArrayClose,
    DictionaryOpen,
    DictionaryClose,
    /// An operator, `obj`, `R`: at most 32 octets of it.
    Word(Vec<u8>),
}

/// Walks octets token by token.
pub(in crate::scan) struct Tokens<'o> {
    octets: &'o [u8],
    at: usize,
}

impl<'o> Tokens<'o> {
    pub(in crate::scan) fn new(octets: &'o [u8]) -> Self {
        Self { octets, at: 0 }
    }

    /// Where the next token is looked for.
    pub(in crate::scan) fn at(&self) -> usize {
        self.at
    }

    fn peek(&self) -> Option<u8> {
        self.octets.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while let Some(octet) = self.peek() {
            match octet {
                b'%' => {
                    let rest = self.octets.get(self.at..).unwrap_or_default();
                    self.at += memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
                }
                _ if is_blank(octet) => self.at += 1,
                _ => return,
            }
        }
    }

    /// In brackets, with what is escaped undone. One that has no end goes to the end.
    fn string(&mut self) -> Vec<u8> {
        let (mut out, mut depth) = (Vec::new(), 1_usize);
        while let Some(octet) = self.peek() {
            self.at += 1;
            let kept = match octet {
                b'\\' => match self.escaped() {
                    Some(octet) => octet,
                    None => continue,
                },
                b'(' => {
                    depth += 1;
                    octet
                }
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                    octet
                }
                _ => octet,
            };
            if out.len() < STRING_BYTES_MAX {
                out.push(kept);
            }
        }
        out
    }

    /// What a backslash stands for; nothing for a line end.
    fn escaped(&mut self) -> Option<u8> {
        let octet = self.peek()?;
        self.at += 1;
        Some(match octet {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 8,
            b'f' => 12,
            b'\r' => {
                self.at += usize::from(self.peek() == Some(b'\n'));
                return None;
            }
            b'\n' => return None,
            b'0'..=b'7' => {
                let mut value = u32::from(octet - b'0');
                for _ in 0..2 {
                    let Some(digit @ b'0'..=b'7') = self.peek() else { break };
                    value = value << 3 | u32::from(digit - b'0');
                    self.at += 1;
                }
                value.to_le_bytes().first().copied().unwrap_or(0)
            }
            other => other,
        })
    }

    fn hexadecimal(&mut self) -> Vec<u8> {
        let rest = self.octets.get(self.at..).unwrap_or_default();
        let end = memchr::memchr(b'>', rest).unwrap_or(rest.len());
        self.at += end + 1;
        let digits = rest.get(..end.min(2 * STRING_BYTES_MAX)).unwrap_or_default();
        from_hex(digits)
    }

    fn regular(&mut self) -> &'o [u8] {
        let rest = self.octets.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|octet| is_blank(*octet) || is_delimiter(*octet));
        let word = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        self.at += word.len();
        word
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_blanks();
        let octet = self.peek()?;
        self.at += 1;
        Some(match octet {
            b'/' => Token::Name(plain_name(self.regular())),
            b'(' => Token::String(self.string()),
            b'<' if self.peek() == Some(b'<') => {
                self.at += 1;
                Token::DictionaryOpen
            }
            b'<' => Token::String(self.hexadecimal()),
            b'>' => {
                self.at += usize::from(self.peek() == Some(b'>'));
                Token::DictionaryClose
            }
            b'[' => Token::ArrayOpen,
            b']' => Token::ArrayClose,
            b')' | b'{' | b'}' => Token::Word(vec![octet]),
            _ => {
                self.at -= 1;
                let word = self.regular();
                match number(word) {
                    Some(number) => Token::Number(number),
                    None => Token::Word(word.get(..32).unwrap_or(word).to_vec()),
                }
            }
        })
    }
}

/// A name with `#xx` undone. ISO 32000-1 section 7.3.5.
fn plain_name(name: &[u8]) -> Vec<u8> {
    let digit = |octet: &u8| char::from(*octet).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let (mut out, mut rest) = (Vec::new(), name);
    while let [octet, behind @ ..] = rest {
        if out.len() >= 64 {
            break;
        }
        let pair = behind.first().and_then(digit).zip(behind.get(1).and_then(digit));
        let (value, next) = match (octet, pair) {
            (b'#', Some((high, low))) => (high << 4 | low, behind.get(2..).unwrap_or_default()),
            (other, _) => (*other, behind),
        };
        out.push(value);
        rest = next;
    }
    out
}

fn number(word: &[u8]) -> Option<f64> {
    let begins =
        word.first().is_some_and(|first| matches!(first, b'0'..=b'9' | b'+' | b'-' | b'.'));
    if !begins || word.len() > 32 {
        return None;
    }
    std::str::from_utf8(word).ok()?.parse().ok().filter(|number: &f64| number.is_finite())
}

fn is_blank(octet: u8) -> bool {
    matches!(octet, 0 | 9 | 10 | 12 | 13 | 32)
}

fn is_delimiter(octet: u8) -> bool {
    matches!(octet, b'(' | b')' | b'<' | b'>' | b'[' | b']' | b'{' | b'}' | b'/' | b'%')
}
