//! Features of how the pieces of a mail fit together: whether its links lead to its author, whether its author's name
//! is in his address, whether its subject is in its text.
//!
//! A word tells what a mail is about, and a sum over words cannot see that two of them are the same. Who is behind a
//! name changes from year to year; that a company which writes to its customers links to itself does not.

use memchr::{memchr, memchr_iter};

use super::features::{Gather, Place, Sink};
use super::headers::name_and_address;
use super::text::{Texts, head, size};
use crate::message::View;

/// Features that are made here at most.
pub(super) const RELATIONS_MAX: usize = 24;
/// Links that are looked at.
const LINKS_MAX: usize = 40;
/// Pictures, and things to click, that are looked at in one part.
const PICTURES_MAX: usize = 12;
/// Addresses in the text that are looked at.
const ADDRESSES_MAX: usize = 20;
/// Words of a name or a subject that are looked for.
const NAMES_MAX: usize = 12;
/// Octets from which on a word is one that could not be there by chance.
const TELLING_BYTES_MIN: usize = 4;
/// Consonants in a row of which no language is made.
const CONSONANTS_MAX: usize = 5;

/// What is looked for: the author, and the mail's own words.
struct Author<'v> {
    /// Words of his name, small letters.
    names: Vec<String>,
    /// The part of his address before the `@`.
    local: String,
    /// His registered domain, and its first label.
    domain: &'v str,
    label: &'v str,
}

/// All of `view`. `is_word`: whether a word of small letters is one of its text.
pub(super) fn gather<S: Sink>(
    view: &View<'_>,
    texts: &Texts<'_>,
    is_word: &dyn Fn(&str) -> bool,
    out: &mut Gather<S>,
) {
    let from = first(view, "from").unwrap_or_default();
    let (name, address) = name_and_address(from);
    let address = address.to_lowercase();
    let (local, domain) = address.rsplit_once('@').unwrap_or((&address, ""));
    let domain = registered(domain);
    let label = domain.split('.').next().unwrap_or_default();
    let author = Author { names: words(name), local: local.to_owned(), domain, label };
    names(&author, is_word, out);
    links(view, &author, out);
    pictures(view, out);
    addresses(texts, domain, out);
    subject(view, is_word, out);
}

fn first<'v>(view: &'v View<'_>, name: &'static str) -> Option<&'v str> {
    view.fields_named(name).next().map(|field| &*field.value)
}

fn registered(host: &str) -> &str {
    psl::domain_str(host).unwrap_or(host)
}

/// Words of letters alone, small.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphabetic());
    let telling = words.filter(|word| word.len() >= TELLING_BYTES_MIN);
    telling.take(NAMES_MAX).map(str::to_lowercase).collect()
}

fn said(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// Whether one is a part of the other, and long enough that this is no chance.
fn shares(one: &str, other: &str) -> bool {
    let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
    short.len() >= TELLING_BYTES_MIN
        && memchr::memmem::find(long.as_bytes(), short.as_bytes()).is_some()
}

/// The author's name against his address and what he writes.
fn names<S: Sink>(author: &Author<'_>, is_word: &dyn Fn(&str) -> bool, out: &mut Gather<S>) {
    if author.names.is_empty() {
        out.one(Place::Relation, b"no name");
    } else {
        let whole = author.names.concat();
        let of = |piece: &str| {
            shares(piece, &whole) || author.names.iter().any(|name| shares(piece, name))
        };
        out.joined(Place::Relation, &["name in domain ", said(of(author.label))]);
        out.joined(Place::Relation, &["name in address ", said(of(&author.local))]);
        let in_text = author.names.iter().any(|name| is_word(name));
        out.joined(Place::Relation, &["name in text ", said(in_text)]);
    }
    let in_text = author.label.len() >= TELLING_BYTES_MIN && is_word(author.label);
    out.joined(Place::Relation, &["domain in text ", said(in_text)]);
}

/// Where links lead to, against who writes and where answers go.
fn links<S: Sink>(view: &View<'_>, author: &Author<'_>, out: &mut Gather<S>) {
    let mut domains: Vec<(&str, usize)> = Vec::new();
    let mut all = 0_usize;
    for uri in view.uris().iter().filter(|uri| !uri.host.is_empty()).take(LINKS_MAX) {
        let domain: &str = if uri.domain.is_empty() { &uri.host } else { &uri.domain };
        all += 1;
        match domains.iter_mut().find(|(known, _)| *known == domain) {
            Some((_, count)) => *count += 1,
            None => domains.push((domain, 1)),
        }
    }
    let count = |domain: &str| {
        domains.iter().find(|(known, _)| *known == domain).map_or(0, |(_, count)| *count)
    };
    let own = count(author.domain);
    let how = match (all, own) {
        (0, _) => "none",
        (_, 0) => "no",
        _ if own == all => "all",
        _ if own * 2 >= all => "most",
        _ => "some",
    };
    out.joined(Place::Relation, &["links to the author ", how]);
    out.number(Place::Relation, "linked domains ", size(domains.len()));
    if let Some((most, count)) = domains.iter().max_by_key(|(_, count)| *count) {
        let own = if *most == author.domain { "author's " } else { "other " };
        out.number(Place::Relation, own, count * 4 / all.max(1));
    }
    let related = domains.iter().any(|(domain, _)| {
        let label = domain.split('.').next().unwrap_or_default();
        shares(label, author.label)
    });
    let related = if all == 0 { "none" } else { said(related) };
    out.joined(Place::Relation, &["link like the author ", related]);
    let id = first(view, "message-id").and_then(|id| id.rsplit_once('@'));
    let id = id.map_or("", |(_, host)| host.trim_end_matches('>')).to_lowercase();
    let id = registered(&id);
    let linked = said(count(id) > 0);
    let own = said(id == author.domain);
    out.joined(Place::Relation, &["message-id linked ", linked, " author's ", own]);
    if let Some(reply) = first(view, "reply-to") {
        let (_, reply) = name_and_address(reply);
        let reply = reply.rsplit_once('@').map_or("", |(_, domain)| domain).to_lowercase();
        let linked = said(count(registered(&reply)) > 0);
        out.joined(Place::Relation, &["answers linked ", linked]);
    }
}

/// Host of a link, as written.
fn host(link: &str) -> Option<&str> {
    let (scheme, rest) = link.split_once("//")?;
    if !scheme.is_empty() && !scheme.ends_with(':') {
        return None;
    }
    let end = rest.find(['/', '?', '#', ':']).unwrap_or(rest.len());
    rest.get(..end).filter(|host| !host.is_empty() && host.is_ascii())
}

/// Whether pictures come from where the clicks go.
fn pictures<S: Sink>(view: &View<'_>, out: &mut Gather<S>) {
    let (mut clicks, mut shown): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let add = |to: &mut Vec<String>, link: &str| {
        if let Some(host) = host(link) {
            let domain = registered(host).to_ascii_lowercase();
            if !to.contains(&domain) {
                to.push(domain);
            }
        }
    };
    for part in view.parts.iter().filter(|part| part.is_shown_as_html()).take(4) {
        let html = part.html();
        let mut anchors = html.anchors.iter().map(|anchor| anchor.link).peekable();
        let mut left = 2 * PICTURES_MAX;
        for (link, at) in html.links.iter().zip(0_u32..) {
            while anchors.next_if(|anchor| *anchor < at).is_some() {}
            let click = anchors.peek() == Some(&at);
            if click || html.images > 0 {
                add(if click { &mut clicks } else { &mut shown }, link);
                left -= 1;
            }
            if left == 0 {
                break;
            }
        }
    }
    let how = match shown.is_empty() {
        true => "none",
        false if shown.iter().any(|domain| clicks.contains(domain)) => "linked",
        false => "elsewhere",
    };
    out.joined(Place::Relation, &["pictures ", how]);
}

/// Addresses in the text: his own, or another's.
fn addresses<S: Sink>(texts: &Texts<'_>, domain: &str, out: &mut Gather<S>) {
    let (mut any, mut own) = (false, false);
    for piece in texts.pieces() {
        for at in memchr_iter(b'@', piece.as_bytes()).take(ADDRESSES_MAX) {
            let rest = piece.get(at + 1..).unwrap_or_default();
            let of_host = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-');
            let end = rest.bytes().take(100).take_while(|c| of_host(*c)).count();
            let host = rest.get(..end).unwrap_or_default().trim_end_matches('.');
            let before =
                piece.as_bytes().get(at.wrapping_sub(1)).is_some_and(u8::is_ascii_alphanumeric);
            if !before || memchr(b'.', host.as_bytes()).is_none() {
                continue;
            }
            any = true;
            own |= !domain.is_empty()
                && host.len().checked_sub(domain.len()).is_some_and(|from| {
                    host.get(from..).is_some_and(|tail| tail.eq_ignore_ascii_case(domain))
                });
        }
    }
    let how = if own {
        "own"
    } else if any {
        "elsewhere"
    } else {
        "none"
    };
    out.joined(Place::Relation, &["addresses ", how]);
}

/// The subject against the text, and whether an answer is one.
fn subject<S: Sink>(view: &View<'_>, is_word: &dyn Fn(&str) -> bool, out: &mut Gather<S>) {
    let value = head(first(view, "subject").unwrap_or_default(), 200);
    let words = words(value);
    let found = words.iter().filter(|word| is_word(word)).count();
    match (found * 3).checked_div(words.len()) {
        Some(thirds) => out.number(Place::Relation, "subject in text ", thirds),
        None => out.one(Place::Relation, b"subject of no words"),
    }
    let start = head(value.rsplit("] ").next().unwrap_or(value), 4).to_lowercase();
    let answer = ["re:", "aw:", "sv:"].iter().any(|mark| start.starts_with(mark));
    let refers = ["in-reply-to", "references"].iter().any(|name| first(view, name).is_some());
    out.joined(Place::Relation, &["answer ", said(answer), " refers ", said(refers)]);
    let tail = value.rsplit(' ').next().unwrap_or_default();
    let gap = value.len() > tail.len() + 3
        && value.get(..value.len() - tail.len()).is_some_and(|rest| rest.ends_with("   "));
    out.joined(Place::Relation, &["subject with a tail ", said(gap || is_unspeakable(tail))]);
}

/// Letters that no language writes one after the other.
fn is_unspeakable(word: &str) -> bool {
    let mut run = 0;
    word.bytes().any(|octet| {
        let vowel = matches!(octet, b'a' | b'e' | b'i' | b'o' | b'u' | b'y');
        run = if octet.is_ascii_lowercase() && !vowel { run + 1 } else { 0 };
        run >= CONSONANTS_MAX
    })
}
