//! HTML as a reader sees it, and what it hides.
//!
//! `lol_html` gives tags and texts in document order without building a tree, so time and memory
//! are linear in the input. An element that hides its content ends at its own end tag; if that is
//! missing, all after it counts as hidden. Rules are matched against everything, shown or hidden.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use lol_html::html_content::{Element, TextChunk, TextType};
use lol_html::{HtmlRewriter, MemorySettings, Settings, doc_comments, doc_text, element};

use super::entity::undo_entities;

/// Memory that one document may take in the parser.
const PARSER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Links of one document that are kept.
const LINKS_MAX: usize = 5000;
/// Comment text that is kept.
const COMMENT_BYTES_MAX: usize = 64 * 1024;
/// Addresses that are kept of what is not shown ([`HtmlText::named`]).
const NAMED_MAX: usize = 1000;
/// Octets of an address in a style.
const STYLE_LINK_BYTES_MAX: usize = 4096;
/// Documents inside a document: `srcdoc`, `noscript`, comments for one client. Each is read again by itself, so the time
/// is linear in the input as long as this is a small number.
const DEPTH_MAX: usize = 2;

/// What an HTML text shows and hides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HtmlText {
    /// All text in order, shown or not: blocks separated by an empty line, `br` a line end.
    pub text: String,
    /// The ranges of `text` that no reader sees (`display:none`, size zero, colour of the ground).
    pub hidden_ranges: Vec<Range<usize>>,
    /// The title.
    pub title: String,
    /// Text of comments.
    pub comments: String,
    /// Values of `href`, `src`, `action`, `background` and alike, entities undone; where a
    /// `meta` element leads on.
    pub links: Vec<Box<str>>,
    /// Addresses that some client loads or leads to: in styles, in comments for Outlook, in a `srcdoc`, in attributes
    /// that few mails have. Nobody need get there, and lists are asked all the same.
    pub named: Vec<Box<str>>,
    /// What can be clicked (`a`, `area`), in order.
    pub anchors: Vec<Anchor>,
    /// Which of `links` forms are sent to.
    pub forms: Vec<u32>,
    /// Which of `links` is the address that others are relative to.
    pub base: Option<u32>,
    /// Pictures.
    pub images: u32,
    /// Has an input for a password.
    pub password_input: bool,
    /// Has scripts (`script` elements, `on...` attributes, `javascript:` links).
    pub script: bool,
    /// Could not be read to its end (memory bound of the parser).
    pub cut: bool,
}

/// Something to click: where it leads, and what the reader sees of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anchor {
    /// Its place in [`HtmlText::links`].
    pub link: u32,
    /// Its text, a range of [`HtmlText::text`]; empty for pictures.
    pub shown: Range<usize>,
}

impl HtmlText {
    /// The target of an anchor, and its text without white space at both ends.
    #[must_use]
    pub fn anchor(&self, anchor: &Anchor) -> Option<(&str, &str)> {
        let target = self.links.get(anchor.link as usize)?;
        Some((target, self.text.get(anchor.shown.clone())?.trim()))
    }

    /// Text that no reader sees.
    #[must_use]
    pub fn hidden(&self) -> String {
        self.hidden_ranges.iter().filter_map(|range| self.text.get(range.clone())).collect()
    }
}

#[derive(Default)]
struct State {
    out: HtmlText,
    /// The current text node, entities not yet undone.
    node: String,
    /// Start of the outermost open hidden element, and how many are open.
    hidden_from: usize,
    hidden_open: usize,
    in_title: bool,
    /// The last of `out.anchors` has not ended yet.
    in_anchor: bool,
    /// What the raw text is that may follow the last tag.
    raw: Raw,
    /// Documents that this one is inside of.
    depth: usize,
}

/// Text that the parser does not look into.
#[derive(Clone, Copy, Default)]
enum Raw {
    /// Nothing that anybody sees.
    #[default]
    Unseen,
    /// Markup that clients without scripts show, as mail clients are: `noscript`, `noembed`, `noframes`.
    Markup,
    /// Shown as it is: `xmp`.
    Verbatim,
    /// A style sheet.
    Style,
}

impl Raw {
    fn of(tag: &str) -> Self {
        match tag {
            "noscript" | "noembed" | "noframes" => Self::Markup,
            "xmp" => Self::Verbatim,
            "style" => Self::Style,
            _ => Self::Unseen,
        }
    }
}

/// Whether a text is HTML by its first tag.
pub(super) fn begins_as_html(text: &str) -> bool {
    let text = text.trim_start();
    let head = text.get(..text.floor_char_boundary(18)).unwrap_or(text).to_ascii_lowercase();
    ["<html", "<!doctype html", "<body", "<head", "<table", "<title", "<meta"]
        .iter()
        .any(|tag| head.starts_with(tag))
}

/// Reads `html`. Never fails: a document that the parser gives up keeps what was read so far.
#[must_use]
pub fn html_text(html: &str) -> HtmlText {
    read(html, 0)
}

/// The same for a document inside `depth` others.
fn read(html: &str, depth: usize) -> HtmlText {
    let state = Rc::new(RefCell::new(State { depth, ..State::default() }));
    state.borrow_mut().out.text.reserve(html.len() / 2);
    let (for_elements, for_texts, for_comments) = (state.clone(), state.clone(), state.clone());
    let settings = Settings::new()
        .with_strict(false)
        .with_memory_settings(MemorySettings::new().with_max_allowed_memory_usage(PARSER_BYTES_MAX))
        .append_element_content_handler(element!("*", move |element: &mut Element<'_, '_>| {
            start_tag(&for_elements, element);
            Ok(())
        }))
        .append_document_content_handler(doc_text!(move |chunk: &mut TextChunk<'_>| {
            for_texts.borrow_mut().text(chunk);
            Ok(())
        }))
        .append_document_content_handler(doc_comments!(move |comment| {
            for_comments.borrow_mut().comment(&comment.text());
            Ok(())
        }));
    let mut rewriter = HtmlRewriter::new(settings, |_: &[u8]| {});
    let read = rewriter.write(html.as_bytes());
    let ended = if read.is_ok() { rewriter.end() } else { read };
    let mut state = state.take();
    state.out.cut = ended.is_err();
    // What still hides was never closed.
    state.hidden_open = state.hidden_open.min(1);
    state.end_hidden();
    state.end_anchor();
    state.out
}

impl State {
    fn text(&mut self, chunk: &TextChunk<'_>) {
        match chunk.text_type() {
            TextType::Data | TextType::RCData => {}
            TextType::PlainText | TextType::CDataSection => {
                self.out.text.push_str(chunk.as_str());
                return;
            }
            TextType::RawText => {
                self.raw_text(chunk);
                return;
            }
            TextType::ScriptData => return,
        }
        self.node.push_str(chunk.as_str());
        if chunk.last_in_text_node() {
            let node = std::mem::take(&mut self.node);
            let target = if self.in_title && chunk.text_type() == TextType::RCData {
                &mut self.out.title
            } else {
                &mut self.out.text
            };
            undo_entities(&node, target);
            self.in_title = false;
            self.node = node;
            self.node.clear();
        }
    }

    fn raw_text(&mut self, chunk: &TextChunk<'_>) {
        match self.raw {
            Raw::Unseen => return,
            Raw::Verbatim => {
                self.out.text.push_str(chunk.as_str());
                return;
            }
            Raw::Markup | Raw::Style => self.node.push_str(chunk.as_str()),
        }
        if chunk.last_in_text_node() {
            let mut node = std::mem::take(&mut self.node);
            match self.raw {
                Raw::Markup => self.markup(&node),
                Raw::Style | Raw::Verbatim | Raw::Unseen => self.style(&node),
            }
            node.clear();
            self.node = node;
        }
    }

    /// Takes in what a client shows in place of what it cannot.
    fn markup(&mut self, markup: &str) {
        // Outlook's settings (`<noscript><xml>..96..</xml></noscript>`) are in half of all newsletters.
        let settings = markup.trim_start().strip_prefix("<xml>");
        let markup =
            settings.and_then(|rest| rest.split_once("</xml>")).map_or(markup, |(_, rest)| rest);
        if self.depth >= DEPTH_MAX {
            self.out.text.push_str(markup);
            return;
        }
        let inner = read(markup, self.depth + 1);
        if !inner.anchors.is_empty() {
            self.end_anchor();
        }
        let at = self.out.text.len();
        self.out.text.push_str(&inner.text);
        let moved = |range: &Range<usize>| range.start + at..range.end + at;
        if self.hidden_open == 0 {
            self.out.hidden_ranges.extend(inner.hidden_ranges.iter().map(moved));
        }
        let first = u32::try_from(self.out.links.len()).unwrap_or(u32::MAX);
        for link in &inner.links {
            self.link(link);
        }
        let kept = u32::try_from(self.out.links.len()).unwrap_or(0);
        let place = |link: u32| first.checked_add(link).filter(|place| *place < kept);
        for anchor in &inner.anchors {
            if let Some(link) = place(anchor.link) {
                self.out.anchors.push(Anchor { link, shown: moved(&anchor.shown) });
            }
        }
        self.out.forms.extend(inner.forms.iter().filter_map(|form| place(*form)));
        self.out.base = self.out.base.or_else(|| inner.base.and_then(place));
        self.out.images = self.out.images.saturating_add(inner.images);
        self.out.password_input |= inner.password_input;
        self.out.script |= inner.script;
        self.out.cut |= inner.cut;
        inner.named.iter().for_each(|link| self.named(link));
    }

    /// A document of which only the addresses are wanted.
    fn aside(&mut self, html: &str) {
        if self.depth < DEPTH_MAX {
            let inner = read(html, self.depth + 1);
            inner.links.iter().chain(&inner.named).for_each(|link| self.named(link));
        }
    }

    fn comment(&mut self, comment: &str) {
        if self.out.comments.len() < COMMENT_BYTES_MAX {
            self.out.comments.push_str(comment);
            self.out.comments.push('\n');
        }
        // `<!--[if mso]>..<![endif]-->`: Outlook shows its buttons and pictures, others do not.
        let condition = comment.trim_start().strip_prefix("[if");
        if let Some((_, markup)) = condition.and_then(|rest| rest.split_once("]>")) {
            self.aside(markup);
        }
    }

    /// Addresses that a style loads: `url(..)`, `@import ".."`.
    fn style(&mut self, style: &str) {
        // Behind the last `url(`, so that one in a comment takes nothing from the next.
        let mut open = None;
        for at in memchr::memchr3_iter(b'(', b')', b'@', style.as_bytes()) {
            let (before, behind) = style.split_at(at);
            match behind.as_bytes().first() {
                Some(b'(') => {
                    let mark = before.as_bytes().last_chunk::<3>();
                    if mark.is_some_and(|mark| mark.eq_ignore_ascii_case(b"url")) {
                        open = Some(at + 1);
                    }
                }
                Some(b')') => {
                    self.loaded(open.take().and_then(|from| style.get(from..at)));
                }
                _ if behind.get(1..7).is_some_and(|word| word.eq_ignore_ascii_case("import")) => {
                    let link = behind.get(7..).unwrap_or_default().trim_start();
                    if let Some(link) = link.strip_prefix(['"', '\'']) {
                        self.loaded(link.split(['"', '\'']).next());
                    }
                }
                _ => {}
            }
        }
        self.loaded(open.and_then(|from| style.get(from..)));
    }

    fn loaded(&mut self, link: Option<&str>) {
        let link = link.unwrap_or_default();
        let link = link.get(..link.floor_char_boundary(STYLE_LINK_BYTES_MAX)).unwrap_or(link);
        self.named(link.trim().trim_matches(['"', '\'']));
    }

    fn named(&mut self, link: &str) {
        let link = link.trim();
        let head = link.get(..5).unwrap_or_default();
        let leads = !link.is_empty() && !head.eq_ignore_ascii_case("data:");
        if leads && self.out.named.len() < NAMED_MAX {
            self.out.named.push(link.into());
        }
    }

    /// Keeps a link; its place, if there is room for it.
    fn link(&mut self, link: &str) -> Option<u32> {
        let place = u32::try_from(self.out.links.len())
            .ok()
            .filter(|_| self.out.links.len() < LINKS_MAX)?;
        self.out.script |= starts_with_script(link);
        self.out.links.push(link.trim().into());
        Some(place)
    }

    /// What a link of this element is: something to click, where a form goes, what others are
    /// relative to.
    fn place(&mut self, link: u32, tag: &str, attribute: &str) {
        match (tag, attribute) {
            ("a" | "area", "href" | "xlink:href") => {
                self.end_anchor();
                let at = self.out.text.len();
                self.out.anchors.push(Anchor { link, shown: at..at });
                self.in_anchor = tag == "a";
            }
            ("form", "action") | (_, "formaction") => self.out.forms.push(link),
            ("base", "href") => self.out.base = self.out.base.or(Some(link)),
            _ => {}
        }
    }

    fn end_anchor(&mut self) {
        if std::mem::take(&mut self.in_anchor)
            && let Some(anchor) = self.out.anchors.last_mut()
        {
            anchor.shown.end = self.out.text.len();
        }
    }

    fn begin_hidden(&mut self) {
        if self.hidden_open == 0 {
            self.hidden_from = self.out.text.len();
        }
        self.hidden_open += 1;
    }

    fn end_hidden(&mut self) {
        if self.hidden_open == 1 && self.out.text.len() > self.hidden_from {
            self.out.hidden_ranges.push(self.hidden_from..self.out.text.len());
        }
        self.hidden_open = self.hidden_open.saturating_sub(1);
    }
}

/// One start tag: layout, links, and whether it hides what follows.
fn start_tag(shared: &Rc<RefCell<State>>, element: &mut Element<'_, '_>) {
    let mut state = shared.borrow_mut();
    let name = element.tag_name();
    state.raw = Raw::of(&name);
    match name.as_str() {
        "br" => state.out.text.push('\n'),
        "p" | "div" | "table" | "tr" | "ul" | "ol" | "dl" | "h1" | "h2" | "h3" | "h4" | "h5"
        | "h6" | "hr" | "blockquote" | "pre" | "center" | "form" | "address" | "section"
        | "article" | "header" | "footer" | "body" | "xmp" => state.out.text.push_str("\n\n"),
        "td" | "th" | "li" | "dt" | "dd" | "option" => state.out.text.push(' '),
        "title" => state.in_title = true,
        "script" => state.out.script = true,
        "img" => state.out.images = state.out.images.saturating_add(1),
        // What is clicked ends here at the latest: anchors are not nested.
        "a" => state.end_anchor(),
        _ => {}
    }
    let hides = attributes(&mut state, element, &name);
    if name == "a" && state.in_anchor {
        let at_end = shared.clone();
        let handler = Box::new(move |_: &mut lol_html::html_content::EndTag<'_>| {
            at_end.borrow_mut().end_anchor();
            Ok(())
        });
        // Without an end tag it ends at the next one, or with the document.
        let _ = element.on_end_tag(handler);
    }
    if hides && element.can_have_content() {
        let at_end = shared.clone();
        let handler = Box::new(move |_: &mut lol_html::html_content::EndTag<'_>| {
            at_end.borrow_mut().end_hidden();
            Ok(())
        });
        if element.on_end_tag(handler).is_ok() {
            state.begin_hidden();
        }
    }
}

/// Reads the attributes of a tag; true if they hide its content.
fn attributes(state: &mut State, element: &Element<'_, '_>, tag: &str) -> bool {
    let mut hides = false;
    for attribute in element.attributes() {
        let name = attribute.name();
        match name.as_str() {
            "href" | "src" | "action" | "background" | "formaction" | "data" | "poster"
            | "cite" | "longdesc" | "xlink:href" | "srcset" => {
                let mut link = String::new();
                undo_entities(&attribute.value(), &mut link);
                if let Some(place) = state.link(&link) {
                    state.place(place, tag, &name);
                }
                if name == "srcset" {
                    named_in(state, &name, &link);
                }
            }
            // `<meta http-equiv="refresh" content="0; url=...">`
            "content" if tag == "meta" => {
                let mut link = String::new();
                undo_entities(&attribute.value(), &mut link);
                if let Some(at) = link.to_ascii_lowercase().find("url=") {
                    let target = link.get(at + 4..).unwrap_or_default();
                    state.link(target.trim_matches(['\'', '"', ' ']));
                }
            }
            "style" => {
                let style = attribute.value();
                hides |= style_hides(&style);
                named_in(state, &name, &style);
            }
            "hidden" => hides = true,
            "size" => hides |= tag == "font" && attribute.value().trim() == "0",
            "type" => {
                state.out.password_input |= attribute.value().eq_ignore_ascii_case("password");
            }
            "ping" | "srcdoc" | "lowsrc" | "dynsrc" | "codebase" => {
                named_in(state, &name, &attribute.value());
            }
            _ => state.out.script |= name.starts_with("on") && name.len() > 4,
        }
    }
    hides
}

/// Addresses in an attribute that is more than one address, or that few clients read.
fn named_in(state: &mut State, attribute: &str, value: &str) {
    if attribute == "style" && !value.contains('(') {
        return;
    }
    let mut plain = String::new();
    undo_entities(value, &mut plain);
    match attribute {
        "style" => state.style(&plain),
        "srcdoc" => state.aside(&plain),
        "ping" => plain.split_ascii_whitespace().for_each(|link| state.named(link)),
        // `a.png 1x, b.png 2x`; the first is a link already.
        "srcset" => {
            let rest = plain.split(", ").skip(1);
            rest.filter_map(|one| one.split_ascii_whitespace().next())
                .for_each(|link| state.named(link));
        }
        _ => state.named(&plain),
    }
}

fn starts_with_script(link: &str) -> bool {
    let head: String =
        link.chars().filter(|c| !c.is_whitespace() && !c.is_control()).take(11).collect();
    head.eq_ignore_ascii_case("javascript:") || head.to_ascii_lowercase().starts_with("vbscript:")
}

/// A `style` attribute that no reader sees through.
fn style_hides(style: &str) -> bool {
    let style: String =
        style.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect();
    let (mut colour, mut ground) = ("", "");
    for declaration in style.split(';') {
        let Some((property, value)) = declaration.split_once(':') else {
            continue;
        };
        let value = value.trim_end_matches("!important");
        match property {
            "display" if value == "none" => return true,
            "visibility" if matches!(value, "hidden" | "collapse") => return true,
            "mso-hide" if value == "all" => return true,
            "opacity" | "font-size" | "max-height" | "max-width" if is_zero(value) => return true,
            "color" => colour = value,
            "background" | "background-color" => ground = value,
            _ => {}
        }
    }
    !colour.is_empty() && colour == ground && colour != "transparent" && colour != "inherit"
}

/// `0`, `0px`, `0.0em`, and sizes of less than one tenth of a unit.
fn is_zero(value: &str) -> bool {
    let number = value.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%');
    number.parse::<f32>().is_ok_and(|size| size.abs() < 0.1)
}
