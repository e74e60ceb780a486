//! HTML as a reader sees it.

/// What an HTML text shows and hides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HtmlText {
    /// Visible text: blocks separated by an empty line, `br` a line end.
    pub visible: String,
    /// Text that no reader sees (`display:none`, zero size, colour of the ground).
    pub hidden: String,
    /// The title.
    pub title: String,
    /// Text of comments.
    pub comments: String,
    /// Values of `href`, `src`, `action`, `background` and alike, entities undone.
    pub links: Vec<Box<str>>,
    /// Has a `form` with a password or card input.
    pub form: bool,
    /// Has scripts (`script` elements or `on...` attributes).
    pub script: bool,
}

/// Reads `html`.
#[must_use]
pub fn html_text(html: &str) -> HtmlText {
    let _ = html;
    HtmlText::default()
}
