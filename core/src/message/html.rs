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
    let state = Rc::new(RefCell::new(State::default()));
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
            let mut state = for_comments.borrow_mut();
            if state.out.comments.len() < COMMENT_BYTES_MAX {
                state.out.comments.push_str(&comment.text());
                state.out.comments.push('\n');
            }
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
            TextType::RawText | TextType::ScriptData => return,
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
    match name.as_str() {
        "br" => state.out.text.push('\n'),
        "p" | "div" | "table" | "tr" | "ul" | "ol" | "dl" | "h1" | "h2" | "h3" | "h4" | "h5"
        | "h6" | "hr" | "blockquote" | "pre" | "center" | "form" | "address" | "section"
        | "article" | "header" | "footer" | "body" => state.out.text.push_str("\n\n"),
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
            "style" => hides |= style_hides(&attribute.value()),
            "hidden" => hides = true,
            "size" => hides |= tag == "font" && attribute.value().trim() == "0",
            "type" => {
                state.out.password_input |= attribute.value().eq_ignore_ascii_case("password");
            }
            _ => state.out.script |= name.starts_with("on") && name.len() > 4,
        }
    }
    hides
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
