//! One body part, or one member of an archive once it was opened.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::behind;
use super::encoded::blocks_of;
use super::field::Field;
use super::filetype::{self, FileType, detect, zip_end};
use super::{charset, html};

/// Octets in which a part that is named as a mail has a field of one.
const NAMED_MAIL_BYTES: usize = 64 * 1024;

/// Where a part comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartOrigin {
    /// A leaf of the MIME tree.
    Mime,
    /// A uuencoded or bare base64 block inside a text part.
    Encoded,
    /// A member of an archive or document.
    Member,
}

/// Where a leaf of the MIME tree is in the octets of the message that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its header section, behind the line of the delimiter.
    pub header: usize,
    /// Its body, behind the empty line.
    pub body: usize,
    /// Behind its last octet; the line end before the next delimiter is not its own.
    pub end: usize,
}

/// What a container says of a member that nobody here unpacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Its octets, as they are when it is unpacked.
    pub bytes: u64,
    /// Password-protected.
    pub encrypted: bool,
}

/// Hashes of the decoded octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// SHA-256.
    pub sha256: [u8; 32],
    /// SHA-1; only for tables that have nothing better.
    pub sha1: [u8; 20],
    /// MD5; only for tables that have nothing better.
    pub md5: [u8; 16],
}

/// A leaf of the message: decoded octets and what is known of them.
#[derive(Debug)]
pub struct Part<'m> {
    /// Its place: `1.2` in the MIME tree; `1.2/name` for a member (escaped, for display only).
    pub path: Box<str>,
    /// Where it comes from.
    pub origin: PartOrigin,
    /// Declared type, lower case, `type/subtype`; `text/plain` where none is declared.
    pub content_type: Box<str>,
    /// Declared charset, lower case; empty where none is.
    pub charset: Box<str>,
    /// Declared disposition is `attachment`.
    pub attachment: bool,
    /// Every file name it claims (`filename`, then `name`), decoded, control characters removed,
    /// duplicates dropped; at most four. A member's name comes here too.
    pub file_names: Vec<Box<str>>,
    /// Header fields of this part (for the top-level part of a message that has only one part:
    /// empty, since they are the message's own).
    pub fields: Vec<Field<'m>>,
    /// Octets after the transfer encoding was undone.
    pub decoded: Cow<'m, [u8]>,
    /// Where it is in the message; for what is inside an encoded part, where that part is. `None` for
    /// the only body of a message, and for what is not read from a message at all.
    pub span: Option<Span>,
    /// It is a member that was not unpacked; then there are no octets.
    pub unread: Option<Unread>,
    /// What it says is, as a reader sees it, in a part of its own: rules about words look there.
    pub told: bool,
    pub(super) text: OnceCell<Box<str>>,
    pub(super) html: OnceCell<Box<html::HtmlText>>,
    pub(super) file_type: OnceCell<FileType>,
    pub(super) hashes: OnceCell<Box<Hashes>>,
    pub(super) good: Cell<bool>,
    /// It is a mail whose parts are parts of the view already.
    pub(super) opened: bool,
}

impl<'m> Part<'m> {
    /// A part of which only octets and names are known: a member, or an encoded block.
    #[must_use]
    pub fn of_octets(
        path: Box<str>,
        origin: PartOrigin,
        name: &str,
        decoded: Cow<'m, [u8]>,
    ) -> Self {
        Self {
            path,
            origin,
            content_type: "application/octet-stream".into(),
            charset: Box::default(),
            attachment: true,
            file_names: if name.is_empty() { Vec::new() } else { vec![name.into()] },
            fields: Vec::new(),
            decoded,
            span: None,
            unread: None,
            told: false,
            text: OnceCell::new(),
            html: OnceCell::new(),
            file_type: OnceCell::new(),
            hashes: OnceCell::new(),
            good: Cell::new(false),
            opened: false,
        }
    }

    /// Takes the part out of the octets that it borrows from.
    pub(super) fn into_owned<'n>(self) -> Part<'n> {
        Part {
            path: self.path,
            origin: self.origin,
            content_type: self.content_type,
            charset: self.charset,
            attachment: self.attachment,
            file_names: self.file_names,
            fields: self.fields.into_iter().map(Field::into_owned).collect(),
            decoded: Cow::Owned(self.decoded.into_owned()),
            span: self.span,
            unread: self.unread,
            told: self.told,
            text: self.text,
            html: self.html,
            file_type: self.file_type,
            hashes: self.hashes,
            good: self.good,
            opened: self.opened,
        }
    }

    /// The first file name, if it has one.
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        self.file_names.first().map(|name| &**name)
    }

    /// Notes that it is a file that is known to be good.
    pub fn mark_good(&self) {
        self.good.set(true);
    }

    /// Whether it is a file that is known to be good.
    #[must_use]
    pub fn is_known_good(&self) -> bool {
        self.good.get()
    }

    /// Whether it is a mail that was read where it was found: its parts are not looked for again.
    #[must_use]
    pub fn is_opened(&self) -> bool {
        self.opened
    }

    /// A page that is no text of the mail: a file that a browser shows once it is saved, whatever type it is declared as.
    #[must_use]
    pub fn is_page(&self) -> bool {
        const ENDINGS: [&str; 6] = [".htm", ".html", ".xhtml", ".shtml", ".xht", ".svg"];
        let shown = self.is_text() && !self.attachment && self.file_names.is_empty();
        if shown || self.is_shown_as_html() {
            return false;
        }
        let named = || {
            self.file_names.iter().any(|name| {
                let name = name.to_ascii_lowercase();
                ENDINGS.iter().any(|ending| name.ends_with(ending))
            })
        };
        self.file_type() == FileType::Html
            || self.decoded.trim_ascii_start().starts_with(b"<") && named()
    }

    /// Declared as text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.origin == PartOrigin::Mime && self.content_type.starts_with("text/")
    }

    /// Declared as HTML.
    #[must_use]
    pub fn is_html(&self) -> bool {
        self.is_text() && matches!(&*self.content_type, "text/html" | "text/xhtml")
    }

    /// Declared as HTML, or as another text that begins as HTML does: clients that guess show it so.
    pub fn is_shown_as_html(&self) -> bool {
        self.is_html() || self.is_text() && html::begins_as_html(self.text())
    }

    /// The decoded octets as UTF-8, from the declared charset, or from a guess where that is
    /// missing or wrong.
    pub fn text(&self) -> &str {
        self.text.get_or_init(|| charset::decode_charset(&self.decoded, &self.charset).text.into())
    }

    /// What a reader sees of an HTML part, and what it hides.
    pub fn html(&self) -> &html::HtmlText {
        self.html.get_or_init(|| Box::new(html::html_text(self.text())))
    }

    /// What the octets are, whatever the declared type and the names say.
    pub fn file_type(&self) -> FileType {
        *self.file_type.get_or_init(|| match detect(&self.decoded) {
            FileType::Text if self.is_named_as_mail() => FileType::Mail,
            kind => kind,
        })
    }

    /// Whether its name says that it is a mail, and a field of one is in it: programs for mails bear lines that are no fields.
    fn is_named_as_mail(&self) -> bool {
        const ENDINGS: [&str; 5] = [".eml", ".mht", ".mhtml", ".mbox", ".mbx"];
        let named = self.file_names.iter().any(|name| {
            let name = name.to_ascii_lowercase();
            ENDINGS.iter().any(|ending| name.ends_with(ending))
        });
        let head = self.decoded.get(..NAMED_MAIL_BYTES).unwrap_or(&self.decoded);
        named && memchr::memmem::find(&head.to_ascii_lowercase(), b"\ncontent-type:").is_some()
    }

    /// Whether it holds files that only a worker may take out: by its type, because a ZIP ends in
    /// it (ZIP is read from its end, so anything may be in front: a picture, a program, a PDF), or because another archive is
    /// behind a program or behind octets of nothing.
    pub fn is_container(&self) -> bool {
        self.file_type().is_container()
            || zip_end(&self.decoded).is_some()
            || !self.archives_behind().is_empty()
            // Macros that Word saves beside a page of HTML.
            || self.decoded.starts_with(b"ActiveMime")
    }

    /// Whether a worker has something to take out of it: it is a container, a mail that was decoded out of another part or a text
    /// in which something is encoded once more, or a page whose links are read.
    pub fn needs_opening(&self) -> bool {
        let holds = || match self.file_type() {
            FileType::Mail => true,
            FileType::Text | FileType::Html => !blocks_of(&self.decoded).is_empty(),
            _ => false,
        };
        let decoded = self.origin == PartOrigin::Encoded && !self.opened && holds();
        decoded || self.is_container() || self.is_page()
    }

    /// Where archives begin that are behind something else, or are it as well, and what they are; at most one of each type.
    pub fn archives_behind(&self) -> Vec<(usize, FileType)> {
        let kind = self.file_type();
        let mut out = behind::archives(&self.decoded, kind, &self.file_names);
        out.extend(filetype::also(&self.decoded, kind).map(|kind| (0, kind)));
        out
    }

    /// Hashes of the decoded octets.
    pub fn hashes(&self) -> &Hashes {
        self.hashes.get_or_init(|| {
            Box::new(Hashes {
                sha256: Sha256::digest(&self.decoded).into(),
                sha1: Sha1::digest(&self.decoded).into(),
                md5: Md5::digest(&self.decoded).into(),
            })
        })
    }
}
