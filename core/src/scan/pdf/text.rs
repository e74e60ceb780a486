//! The text that pages of a PDF show, for rules about words: strings of the drawing instructions, in the order in which they
//! are drawn, by what their fonts say that codes mean. ISO 32000-1 section 9.4.
//!
//! Not laid out: what is on one line and what is not is told by the moves between strings; where a word ends without a blank is
//! a guess by the size of the font.

use memchr::memmem;

use super::cmap::Font;
use super::objects::Objects;
use super::token::{Token, Tokens};

/// Octets of text of one document.
const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Octets of drawing instructions with text that are kept until all fonts are known.
const KEPT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Operands of one instruction.
const OPERANDS_MAX: usize = 10_000;
/// Fonts of one stream.
const FONTS_MAX: usize = 100;
/// Room between two strings, in sizes of the font, from which on it is a blank.
const GAP_MAX: f64 = 0.16;
/// Octets that tell drawing instructions from what is no text.
const HEAD_BYTES: usize = 512;
/// Texts that differ in what a font's name means.
const CHOICES_MAX: usize = 4;

/// What a stream was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It draws text, which was kept.
    Drawing,
    /// It draws text, and there is more of it than is kept.
    NoRoom,
    /// It draws none.
    Other,
}

/// What is gathered while streams are unfolded.
pub(super) struct Pages {
    objects: Objects,
    kept: Vec<(u32, Vec<u8>)>,
    bytes: usize,
}

impl Pages {
    pub(super) fn of_file(octets: &[u8]) -> Self {
        Self { objects: Objects::of_file(octets), kept: Vec::new(), bytes: 0 }
    }

    /// Looks at one stream that was unfolded. `number`: of its object; `objects`: it holds such.
    pub(super) fn add(&mut self, number: u32, content: &[u8], objects: bool) -> Added {
        if super::cmap::CMap::is(content) {
            self.objects.add_map(number, content);
            return Added::Other;
        }
        // Drawing instructions may begin with a number, too.
        if objects {
            self.objects.add_stream(content);
        }
        if !draws_text(content) {
            return Added::Other;
        }
        if self.bytes.saturating_add(content.len()) > KEPT_BYTES_MAX {
            return Added::NoRoom;
        }
        self.bytes += content.len();
        self.kept.push((number, content.to_vec()));
        Added::Drawing
    }

    /// All text of the document.
    pub(super) fn text(mut self) -> String {
        self.objects.settle();
        let mut out = String::new();
        for (number, content) in &self.kept {
            let mut first = String::new();
            for choice in 0..CHOICES_MAX {
                let mut shown = Shown::new(&self.objects, *number, choice);
                shown.room = TEXT_BYTES_MAX.saturating_sub(out.len());
                shown.draw(content);
                if choice == 0 || shown.text != first {
                    out.push_str(&shown.text);
                    out.push('\n');
                }
                if choice == 0 {
                    first = shown.text;
                }
                if choice + 1 >= shown.choices {
                    break;
                }
            }
            if out.len() >= TEXT_BYTES_MAX {
                break;
            }
        }
        out
    }
}

/// Whether octets are drawing instructions that show text.
fn draws_text(content: &[u8]) -> bool {
    let head = content.get(..HEAD_BYTES).unwrap_or(content);
    let plain = head.iter().filter(|o| o.is_ascii_graphic() || o.is_ascii_whitespace()).count();
    let shows = [&b"Tj"[..], b"TJ", b"'", b"\""];
    plain * 4 >= head.len() * 3
        && memmem::find(content, b"BT").is_some()
        && shows.iter().any(|word| memmem::find(content, word).is_some())
}

/// Text as it is drawn.
struct Shown<'o> {
    objects: &'o Objects,
    stream: u32,
    /// Which of the fonts that a name may mean, and how many there are.
    choice: usize,
    choices: usize,
    fonts: Vec<(Vec<u8>, Font<'o>)>,
    font: usize,
    /// Size of the font, and how much the matrix makes of it.
    size: f64,
    scale: f64,
    /// Where the line begins, and where the last string did.
    line: (f64, f64),
    last: (f64, f64),
    /// What was drawn since then, in sizes of the font.
    width: f64,
    /// What the last string was drawn at has been left.
    moved: bool,
    /// Octets of text that may still be added.
    room: usize,
    text: String,
}

impl<'o> Shown<'o> {
    fn new(objects: &'o Objects, stream: u32, choice: usize) -> Self {
        Self {
            objects,
            stream,
            choice,
            choices: 1,
            fonts: vec![(Vec::new(), Font::default())],
            font: 0,
            size: 1.0,
            scale: 1.0,
            line: (0.0, 0.0),
            last: (0.0, 0.0),
            width: 0.0,
            moved: false,
            room: 0,
            text: String::new(),
        }
    }

    fn draw(&mut self, content: &[u8]) {
        let mut operands: Vec<Token> = Vec::new();
        for token in Tokens::new(content) {
            let Token::Word(word) = &token else {
                if operands.len() < OPERANDS_MAX {
                    operands.push(token);
                }
                continue;
            };
            self.instruction(word, &operands);
            operands.clear();
            if self.text.len() >= self.room {
                break;
            }
        }
    }

    fn instruction(&mut self, word: &[u8], operands: &[Token]) {
        match word {
            b"BT" => {
                (self.line, self.scale) = ((0.0, 0.0), 1.0);
                self.moved = true;
            }
            b"Tf" => {
                if let [.., Token::Name(name), Token::Number(size)] = operands {
                    self.size = size.abs();
                    self.set_font(name);
                }
            }
            b"Td" | b"TD" => {
                if let [.., Token::Number(x), Token::Number(y)] = operands {
                    self.line.0 += x * self.scale;
                    self.line.1 += y * self.scale;
                    self.moved = true;
                }
            }
            b"Tm" => {
                let numbers: Vec<f64> = operands.iter().filter_map(number).collect();
                if let [a, b, c, d, x, y] = numbers.as_slice() {
                    // Turned pages have their size in the other two.
                    self.scale = a.abs().max(b.abs()).max(c.abs()).max(d.abs()).max(0.001);
                    self.line = (*x, *y);
                    self.moved = true;
                }
            }
            b"T*" => self.next_line(),
            b"Tj" => self.show(operands.last()),
            b"'" | b"\"" => {
                self.next_line();
                self.show(operands.last());
            }
            b"TJ" => {
                for operand in operands {
                    match operand {
                        Token::String(_) => self.show(Some(operand)),
                        // Thousandths of the size, to the left.
                        Token::Number(back) if *back < -180.0 => self.blank(),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    fn set_font(&mut self, name: &[u8]) {
        if let Some(known) = self.fonts.iter().position(|(known, _)| known == name) {
            self.font = known;
            return;
        }
        if self.fonts.len() >= FONTS_MAX {
            self.font = 0;
            return;
        }
        let mut fonts = self.objects.fonts(self.stream, name);
        self.choices = self.choices.max(fonts.len());
        let at = self.choice.min(fonts.len().saturating_sub(1));
        let font = if fonts.is_empty() { Font::default() } else { fonts.swap_remove(at) };
        self.font = self.fonts.len();
        self.fonts.push((name.to_vec(), font));
    }

    fn next_line(&mut self) {
        self.line.1 -= self.size * self.scale;
        self.moved = true;
    }

    fn show(&mut self, operand: Option<&Token>) {
        let Some(Token::String(string)) = operand.filter(|_| self.text.len() < self.room) else {
            return;
        };
        let mut text = String::new();
        if let Some((_, font)) = self.fonts.get(self.font) {
            font.decode(string, &mut text);
        }
        if text.is_empty() {
            return;
        }
        if std::mem::take(&mut self.moved) {
            self.separate();
            self.last = self.line;
            self.width = 0.0;
        }
        self.width += text.chars().map(width).sum::<f64>();
        self.text.push_str(&text);
    }

    /// Between two strings that are drawn at places of their own.
    fn separate(&mut self) {
        let size = (self.size * self.scale).max(0.001);
        if (self.line.1 - self.last.1).abs() > size * 0.4 {
            self.text.push('\n');
            return;
        }
        // Letters that are placed one by one stand where the one before ends. To the left is another column.
        let gap = (self.line.0 - self.last.0) / size - self.width;
        if !(-1.0..=GAP_MAX).contains(&gap) {
            self.blank();
        }
    }

    /// A blank, but not behind characters that are written without.
    fn blank(&mut self) {
        let last = self.text.chars().next_back();
        if last.is_some_and(|c| !c.is_whitespace() && !is_wide(c)) {
            self.text.push(' ');
        }
    }
}

fn number(token: &Token) -> Option<f64> {
    match token {
        Token::Number(number) => Some(*number),
        _ => None,
    }
}

/// How wide a character is in most fonts without a fixed width, in sizes of the font.
fn width(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | 't' | 'f' | 'r' | 'I' | ' ' | '.' | ',' | ':' | ';' | '\'' | '!'
        | '|' => 0.28,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.85,
        'A'..='Z' => 0.68,
        c if is_wide(c) => 1.0,
        _ => 0.53,
    }
}

/// Characters as wide as they are high, which are written without blanks.
fn is_wide(c: char) -> bool {
    matches!(u32::from(c), 0x2E80..=0x9FFF | 0xAC00..=0xD7AF | 0xF900..=0xFAFF | 0xFF00..=0xFFEF | 0x2_0000..=0x3_FFFF)
}
