//! The named mixes: which kinds of mail, in which shares and sizes.
//!
//! | name | shares |
//! |---|---|
//! | `sizes` | 70 % of 2 KiB text, 25 % of 20 KiB HTML with 80 links, 5 % of 200 KiB with an attachment: 16 KiB on average |
//! | `classes` | 73 % clean, 13 % spam, 7 % phishing, 7 % virus; nine of ten mails between 10 and 100 KiB |
//! | `mean15` | 60 % about 4 KiB, 30 % about 16 KiB, 10 % about 78 KiB: 15 KiB on average |
//! | `trap` | spam only, 1.8 KiB on average |
//! | `real` | text, Japanese pages, zip, OOXML and PDF attachments; three of four mails with DKIM signatures |
//!
//! `sizes` to `trap` are those of published test plans; their attachments are noise. `real` is ours:
//! everything in it opens, unpacks and verifies.

use super::compose::{
    Attachment, Head, alternative, attached, compose, html, multipart, noise, phishing, plain, spam,
};
use super::dkim::{Algorithm, DOMAINS, Keys, domain};
use super::documents::{docx, pdf, virus, xlsx, zip_file};
use super::text::Charset;
use super::{Class, Template};
use crate::random::Random;

const KIB: usize = 1024;
/// Templates of a class of one size; enough that no cache of the engine sees the same mail twice in
/// a row. One in three is Japanese, in five charsets.
const TEMPLATES: usize = 24;
/// Templates of a class that spans sizes.
const SPREAD: usize = 40;
/// Octets of the header section that `compose` writes, about.
const HEAD_BYTES: usize = 430;
const ORDINARY: &str = "example.com";

fn class(
    (name, percent): (&'static str, usize),
    count: usize,
    mut make: impl FnMut(usize) -> Vec<u8>,
) -> Class {
    let mails = (0..count).map(|index| Template::new(name, make(index))).collect();
    Class { percent, mails }
}

/// From half to one and a half times `mean`, evenly over `count` templates.
fn around(mean: usize, index: usize, count: usize) -> usize {
    mean / 2 + mean * (2 * index + 1) / (2 * count)
}

fn text_mail(random: &mut Random, charset: Charset, bytes: usize) -> Vec<u8> {
    let entity = plain(random, charset, bytes.saturating_sub(HEAD_BYTES));
    compose(random, &Head::of(charset, ORDINARY), &entity)
}

/// A page with an attachment that no packer makes smaller: exactly `bytes`, but for a line.
fn noise_mail(random: &mut Random, charset: Charset, bytes: usize) -> Vec<u8> {
    let page = html(random, charset, (bytes / 10).min(6 * KIB), 12);
    let rest = bytes.saturating_sub(page.len() + HEAD_BYTES + 300);
    let file = Attachment {
        name: "report.bin".to_owned(),
        media_type: "application/octet-stream",
        octets: noise(random, rest),
    };
    with_file(random, charset, &page, &file)
}

fn with_file(random: &mut Random, charset: Charset, text: &[u8], file: &Attachment) -> Vec<u8> {
    let entity = multipart(random, "mixed", &[text.to_vec(), attached(file)]);
    compose(random, &Head::of(charset, ORDINARY), &entity)
}

pub(super) fn sizes(random: &mut Random) -> Vec<Class> {
    vec![
        class(("2k", 70), TEMPLATES, |index| {
            text_mail(random, Charset::of_template(index), 2 * KIB)
        }),
        class(("20k", 25), TEMPLATES, |index| {
            let charset = Charset::of_template(index);
            let entity = html(random, charset, 20 * KIB - HEAD_BYTES, 40);
            compose(random, &Head::of(charset, ORDINARY), &entity)
        }),
        class(("200k", 5), TEMPLATES, |index| {
            noise_mail(random, Charset::of_template(index), 200 * KIB)
        }),
    ]
}

/// Nine of ten between 10 and 100 KiB, two of forty below, two above.
fn spread(index: usize) -> usize {
    match index {
        0 => 3 * KIB,
        13 => 6 * KIB,
        22 => 130 * KIB,
        31 => 180 * KIB,
        // More small ones than large: the square of an even spread from 12 to 90 KiB.
        _ => 12 * KIB + 78 * KIB * index * index / (SPREAD * SPREAD),
    }
}

fn clean(random: &mut Random, charset: Charset, index: usize) -> Vec<u8> {
    let bytes = spread(index);
    match index / 2 % 3 {
        0 => text_mail(random, charset, bytes),
        1 => {
            let entity = alternative(random, charset, bytes.saturating_sub(HEAD_BYTES + 250));
            compose(random, &Head::of(charset, ORDINARY), &entity)
        }
        _ => noise_mail(random, charset, bytes),
    }
}

fn halves(index: usize) -> Charset {
    if index.is_multiple_of(2) { Charset::japanese(index / 2) } else { Charset::Ascii }
}

pub(super) fn classes(random: &mut Random) -> Result<Vec<Class>, String> {
    let mut failed = None;
    let classes = vec![
        class(("clean", 73), SPREAD, |index| clean(random, halves(index), index)),
        class(("spam", 13), SPREAD, |index| spam(random, halves(index), spread(index))),
        class(("phishing", 7), SPREAD, |index| phishing(random, halves(index), spread(index))),
        class(("virus", 7), SPREAD, |index| {
            let charset = halves(index);
            let page = html(random, charset, spread(index).saturating_sub(KIB), 20);
            match virus(random, index) {
                Ok(file) => with_file(random, charset, &page, &file),
                Err(error) => {
                    failed = Some(format!("virus {index}: {error}"));
                    Vec::new()
                }
            }
        }),
    ];
    failed.map_or(Ok(classes), Err)
}

pub(super) fn mean15(random: &mut Random) -> Vec<Class> {
    vec![
        class(("4k", 60), TEMPLATES, |index| {
            text_mail(random, Charset::of_template(index), around(4 * KIB, index, TEMPLATES))
        }),
        class(("16k", 30), TEMPLATES, |index| {
            let charset = Charset::of_template(index);
            let bytes = around(16 * KIB, index, TEMPLATES);
            let entity = alternative(random, charset, bytes - HEAD_BYTES - 250);
            compose(random, &Head::of(charset, ORDINARY), &entity)
        }),
        class(("78k", 10), TEMPLATES, |index| {
            noise_mail(random, Charset::of_template(index), around(78 * KIB, index, TEMPLATES))
        }),
    ]
}

pub(super) fn trap(random: &mut Random) -> Vec<Class> {
    const TRAP_BYTES: usize = 1843;
    vec![class(("spam", 100), SPREAD, |index| {
        spam(random, Charset::of_template(index), around(TRAP_BYTES, index, SPREAD))
    })]
}

/// What a mail of the mix `real` brings along.
#[derive(Clone, Copy)]
enum Dear {
    Text,
    Page,
    Zip,
    Docx,
    Xlsx,
    Pdf,
}

fn dear(random: &mut Random, keys: &Keys, kind: Dear, index: usize) -> Result<Vec<u8>, String> {
    // Pages are Japanese; of the others, half.
    let charset = if matches!(kind, Dear::Page) { Charset::japanese(index) } else { halves(index) };
    let bytes = |mean| around(mean, index, TEMPLATES);
    let text = |random: &mut Random| alternative(random, charset, 3 * KIB);
    let file = match kind {
        Dear::Text | Dear::Page => None,
        Dear::Zip => Some(zip_file(random, bytes(40 * KIB))),
        Dear::Docx => Some(docx(random, bytes(60 * KIB))),
        Dear::Xlsx => Some(xlsx(random, bytes(60 * KIB))),
        Dear::Pdf => Some(pdf(random, bytes(80 * KIB))),
    };
    let entity = match (kind, file) {
        (Dear::Text, _) => plain(random, charset, bytes(5 * KIB)),
        (_, None) => alternative(random, charset, bytes(24 * KIB)),
        (_, Some(file)) => {
            let file = file.map_err(|error| format!("attachment {index}: {error}"))?;
            let parts = [text(random), attached(&file)];
            multipart(random, "mixed", &parts)
        }
    };
    // One in four each: RSA, Ed25519, both, none. `index / 2`, so that each is Japanese as often.
    let algorithms: &[Algorithm] = match index / 2 % 4 {
        0 => &[Algorithm::Rsa],
        1 => &[Algorithm::Ed25519],
        2 => &[Algorithm::Ed25519, Algorithm::Rsa],
        _ => &[],
    };
    let signing = domain(random.below(DOMAINS));
    let author = if algorithms.is_empty() { ORDINARY } else { &signing };
    let mut mail = compose(random, &Head::of(charset, author), &entity);
    for algorithm in algorithms {
        mail = keys.sign(*algorithm, &signing, &mail)?;
    }
    Ok(mail)
}

pub(super) fn real(random: &mut Random, keys: &Keys) -> Result<Vec<Class>, String> {
    let shares = [
        ("text", 25, Dear::Text),
        ("page", 33, Dear::Page),
        ("zip", 11, Dear::Zip),
        ("docx", 10, Dear::Docx),
        ("xlsx", 8, Dear::Xlsx),
        ("pdf", 13, Dear::Pdf),
    ];
    let mut classes = Vec::with_capacity(shares.len());
    for (name, percent, kind) in shares {
        let mails: Result<Vec<Template>, String> = (0..TEMPLATES)
            .map(|index| Ok(Template::new(name, dear(random, keys, kind, index)?)))
            .collect();
        classes.push(Class { percent, mails: mails? });
    }
    Ok(classes)
}
