//! Who a mail says that it is from and for, read once for all signs, and kept as facts for those that depend on who
//! receives.

use serde::{Deserialize, Serialize};

use super::finding::MilliPoints;
use super::known::{BrandIds, HostKind, known, label_of};
use super::links::Links;
use super::{ScanTables, brand};
use crate::message::{NamedMailbox, View, named_mailboxes, normalise};

/// Authors and addresses for answers that are kept.
const MAILBOXES_MAX: usize = 5;
/// Recipients of the header that are compared with links.
const RECIPIENTS_MAX: usize = 10;
/// Hosts of links that are kept.
const HOSTS_MAX: usize = 50;
/// Characters of a subject that are looked at.
const SUBJECT_CHARS_MAX: usize = 500;
/// Octets of a name that is found inside of another one.
const NAME_BYTES_MIN: usize = 4;
/// Octets of a text in which the address of who filled in a form is looked for.
const FORM_BYTES_MAX: usize = 16 * 1024;
/// Octets of what an author calls himself that are looked at.
const CALLED_BYTES_MAX: usize = 500;

/// What the checks need that know who receives ([`crate::verdict::impersonation`]). Crosses the socket of the worker:
/// below 40 KiB whatever the mail is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sender {
    /// Mailboxes of all From fields, at most 5.
    pub authors: Vec<NamedMailbox>,
    /// What From says besides addresses, where no author has a name: some clients show just that. At most 500 octets.
    pub called: Box<str>,
    /// Mailboxes of Reply-To, at most 5.
    pub reply_to: Vec<NamedMailbox>,
    /// One of them is a free mailbox.
    pub free_reply_to: bool,
    /// The first author has a free mailbox.
    pub free_author: bool,
    /// It names nobody as its recipient but its author, and answers go to a free mailbox of another name: a form on a site of
    /// the recipient's, or somebody who hides whom he writes to.
    pub hidden_recipients: bool,
    /// The brand that the author's domain belongs to; empty: none that is known.
    pub brand: Box<str>,
    /// A link leads to that brand.
    pub brand_linked: bool,
    /// There is something to click, and neither a link nor a signature of that brand.
    pub brand_unsigned: bool,
    /// There is something to click.
    pub links: bool,
    /// Came through a mailing list.
    pub list: bool,
    /// Hosts of what can be clicked, at most 50.
    pub link_hosts: Vec<Box<str>>,
    /// Hosts that are shown, and those that the links lead to instead, at most 20.
    pub shown: Vec<(Box<str>, Box<str>)>,
}

/// The mail as the signs see it.
pub(super) struct Letter<'v, 'm> {
    pub(super) view: &'v View<'m>,
    pub(super) authors: Vec<NamedMailbox>,
    pub(super) reply_to: Vec<NamedMailbox>,
    /// Addresses of To and Cc.
    pub(super) recipients: Vec<Box<str>>,
    /// NFKC, disguises undone, lower case.
    pub(super) subject: String,
    /// Has List-Unsubscribe.
    pub(super) bulk: bool,
    /// Points of bulk mail that was asked for once.
    pub(super) gray: MilliPoints,
    /// Came through a list that people write to: List-Post, or what older lists have. List-Id alone is in every newsletter.
    pub(super) list: bool,
    /// Answers another mail, and says so: fields alone are easily written.
    pub(super) answer: bool,
    /// Has a text that is shown as a page.
    pub(super) page: bool,
    /// What a reader may take for the author's name: the From field without what stands in angle brackets, its first 500
    /// octets. Some of it belongs to no mailbox (`Acme, <a@b.example>`).
    pub(super) called: String,
    /// The reverse-path, lower case; that of the Return-Path field where nobody said it. `None`: not known.
    pub(super) envelope: Option<String>,
}

/// A text as people read it: NFKC, letters of other scripts that pass for Latin ones undone, invisible ones left out, lower
/// case.
#[must_use]
pub fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    normalise(text, &mut out);
    out.to_lowercase()
}

impl<'v, 'm> Letter<'v, 'm> {
    pub(super) fn read(view: &'v View<'m>, envelope_from: Option<&[u8]>) -> Self {
        let mailboxes = |name: &'static str, max: usize| -> Vec<NamedMailbox> {
            view.fields_named(name).flat_map(named_mailboxes).take(max).collect()
        };
        let subject = view.fields_named("subject").next().map_or("", |field| &field.value);
        let subject = fold(&subject.chars().take(SUBJECT_CHARS_MAX).collect::<String>());
        let to = mailboxes("to", RECIPIENTS_MAX).into_iter().chain(mailboxes("cc", RECIPIENTS_MAX));
        let returned = view.fields_named("return-path").next().map(|field| field.value.trim());
        let envelope = envelope_from.and_then(|path| std::str::from_utf8(path).ok()).or(returned);
        let envelope = envelope.map(|path| path.trim_matches(['<', '>']).to_lowercase());
        let has = |names: &[&'static str]| {
            names.iter().any(|name| view.fields_named(name).next().is_some())
        };
        Self {
            view,
            authors: mailboxes("from", MAILBOXES_MAX),
            reply_to: mailboxes("reply-to", MAILBOXES_MAX),
            recipients: to.map(|mailbox| mailbox.address).take(RECIPIENTS_MAX).collect(),
            answer: has(&["in-reply-to", "references"]) && is_answer(&subject),
            subject,
            gray: 0,
            bulk: has(&["list-unsubscribe"]),
            list: has(&[
                "list-post",
                "mailing-list",
                "x-mailing-list",
                "x-beenthere",
                "x-loop",
                "x-ml-name",
                "x-mail-count",
            ]),
            envelope,
            page: view.parts.iter().any(|part| part.is_text() && part.is_shown_as_html()),
            called: called(view.fields_named("from").next().map_or("", |field| field.value.trim())),
        }
    }

    /// The decoded value of the first field of that name, without white space at its ends.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.view
            .fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value.trim())
    }

    /// Whether a field of that name is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.field(name).is_some()
    }

    /// A report of a mail server (RFC 6522).
    pub(super) fn is_report(&self) -> bool {
        const TOLD: [&str; 3] = [
            "message/delivery-status",
            "message/global-delivery-status",
            "message/disposition-notification",
        ];
        let kind = self.field("content-type").unwrap_or_default();
        kind.get(..16).is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/report"))
            && self.envelope.as_deref().is_none_or(str::is_empty)
            && self.view.parts.iter().any(|part| TOLD.contains(&&*part.content_type))
    }

    /// Domains that say to have signed it. Whether they did is checked elsewhere.
    pub(super) fn signers(&self) -> impl Iterator<Item = &str> {
        self.view.signers()
    }

    /// Whether somebody says to have signed it.
    pub(super) fn is_signed(&self) -> bool {
        self.signers().next().is_some()
    }

    /// Domain of the first author.
    pub(super) fn domain(&self) -> &str {
        self.authors.first().map_or("", NamedMailbox::domain)
    }

    /// Whether the address for answers stands in the text: a form on a site tells what somebody filled in.
    pub(super) fn is_filled_in(&self) -> bool {
        let Some(reply) = self.reply_to.first().filter(|reply| !reply.address.is_empty()) else {
            return false;
        };
        let text = &self.view.body().text;
        let text = text.get(..text.floor_char_boundary(FORM_BYTES_MAX)).unwrap_or(text);
        text.to_lowercase().contains(&*reply.address)
    }

    /// Whether it names nobody as its recipient but its author.
    pub(super) fn is_to_itself(&self) -> bool {
        let author = self.authors.first();
        matches!((author, self.recipients.as_slice()), (Some(author), [one]) if *one == author.address)
    }

    /// See [`Sender::hidden_recipients`].
    fn hides_recipients(&self, tables: &ScanTables<'_>) -> bool {
        let (Some(author), Some(reply)) = (self.authors.first(), self.reply_to.first()) else {
            return false;
        };
        let own =
            is_free(author.domain(), tables) || is_called_alike(&author.address, &reply.address);
        let asked = self.list || self.bulk;
        self.is_to_itself() && is_free(reply.domain(), tables) && !own && !asked
    }

    /// See [`Sender::called`].
    fn called_without_address(&self) -> Box<str> {
        if self.authors.iter().any(|author| !author.name.is_empty()) {
            return "".into();
        }
        let words = self.called.split_whitespace().filter(|word| !word.contains('@'));
        words.collect::<Vec<_>>().join(" ").into()
    }

    /// What is kept of it for later.
    pub(super) fn sender(&self, links: &Links, tables: &ScanTables<'_>) -> Sender {
        let brands = match brand::is_anybodys(self.domain()) {
            true => BrandIds::new(),
            false => known().owners_of(self.domain()),
        };
        let of_brand =
            |host: &str| known().brands_of(host).iter().any(|brand| brands.contains(brand));
        let brand = brands.first().and_then(|number| known().brand(*number));
        let shown = links.shown.iter().map(|pair| (pair.shown.clone(), pair.target.clone()));
        Sender {
            authors: self.authors.clone(),
            called: self.called_without_address(),
            reply_to: self.reply_to.clone(),
            free_reply_to: self.reply_to.iter().any(|one| is_free(one.domain(), tables)),
            free_author: is_free(self.domain(), tables),
            hidden_recipients: self.hides_recipients(tables),
            brand: brand.map_or("", |brand| brand.name()).into(),
            brand_unsigned: brand::is_unsigned(self, links),
            brand_linked: links.clicks.iter().any(|host| of_brand(host)),
            links: links.clickable > 0,
            list: self.list,
            link_hosts: links.clicks.iter().take(HOSTS_MAX).cloned().collect(),
            shown: shown.collect(),
        }
    }
}

/// See [`Letter::called`].
fn called(field: &str) -> String {
    let mut called = String::new();
    for piece in field.split('<') {
        let rest = if called.is_empty() {
            Some(piece)
        } else {
            piece.split_once('>').map(|(_, rest)| rest)
        };
        called.push_str(rest.unwrap_or_default());
        if called.len() > CALLED_BYTES_MAX {
            called.truncate(called.floor_char_boundary(CALLED_BYTES_MAX));
            break;
        }
    }
    called
}

/// Whether a subject (folded) is one that mailers write for answers and forwarded mail.
pub(super) fn is_answer(subject: &str) -> bool {
    const HEADS: [&str; 16] = [
        "re:", "fw:", "fwd:", "aw:", "wg:", "antw:", "sv:", "vs:", "rv:", "enc:", "rif:", "tr:",
        "res:", "返信:", "転送:", "回复:",
    ];
    let subject = subject.trim_start();
    HEADS.iter().any(|head| subject.starts_with(head)) || subject.contains("] re:")
}

/// Whether the address for answers has the author's name, or that of his house, in it.
pub(super) fn is_called_alike(author: &str, reply: &str) -> bool {
    let letters = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
    };
    let (local, domain) = author.rsplit_once('@').unwrap_or((author, ""));
    let reply = letters(reply.rsplit_once('@').map_or(reply, |(local, _)| local));
    [local, label_of(domain)].iter().any(|name| {
        let name = letters(name);
        name.len() >= NAME_BYTES_MIN
            && reply.len() >= NAME_BYTES_MIN
            && (reply.contains(&name) || name.contains(&reply))
    })
}

/// The organisational domain, or the host where there is none.
pub(super) fn organisation(domain: &str) -> &str {
    psl::domain_str(domain).unwrap_or(domain)
}

/// Whether anybody gets a mailbox there.
pub(super) fn is_free(domain: &str, tables: &ScanTables<'_>) -> bool {
    let listed = tables.url_host.is_some_and(|known| known(domain).free_mail);
    listed || known().is(domain, HostKind::FreeMail)
}

/// Whether its mailboxes are thrown away.
pub(super) fn is_disposable(domain: &str, tables: &ScanTables<'_>) -> bool {
    let listed = tables.url_host.is_some_and(|known| known(domain).disposable);
    listed || known().is(domain, HostKind::Disposable)
}
