//! Which parts are the mail's own text, which no client opens as a file: scripts there run nowhere. All others without a name
//! are files for some client, which makes up a name for them (`ATT00001.htm`).

use crate::message::{Part, View};
use crate::scan::attachment::is_shown_as_text;

/// How a part is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// As what is opened.
    File,
    /// As a page that may be a text of the mail in another form, or of a mail inside of it: looked at for what is in no letter.
    Page,
    /// As text that is shown.
    Text,
}

/// How each part of a view is looked at, in their order. Plain text is shown everywhere, and the first text is, whatever its
/// type.
pub(super) fn sights(view: &View<'_>) -> Vec<Sight> {
    let kind = view.fields_named("content-type").next().map_or("", |field| &*field.value);
    let kind = kind.trim_start().get(..21).unwrap_or_default();
    let alternative = kind.eq_ignore_ascii_case("multipart/alternative");
    let mut first = true;
    let sight = |part: &Part<'_>| {
        if !is_shown_as_text(part) {
            return Sight::File;
        }
        // Beside the texts: what only some clients show.
        if &*part.path == "header" || part.path.ends_with("/as-written") {
            return Sight::Text;
        }
        let begins = std::mem::take(&mut first);
        let page = matches!(&*part.content_type, "text/html" | "text/xhtml" | "text/x-amp-html");
        if begins || !page {
            Sight::Text
        } else if alternative || is_inside(part) {
            Sight::Page
        } else {
            Sight::File
        }
    };
    view.parts.iter().map(sight).collect()
}

/// Whether it is inside of another part: of `multipart/alternative`, as it is in most mails, or of a mail that is passed on.
/// The only part of such a mail is known by the fields of it.
fn is_inside(part: &Part<'_>) -> bool {
    let of_mail = ["from", "date", "subject", "received"];
    part.path.contains(['.', '/'])
        || part
            .fields
            .iter()
            .any(|field| of_mail.iter().any(|n| field.name.eq_ignore_ascii_case(n)))
}
