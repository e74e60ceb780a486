//! `quarantine list|show|release|allow|delete|export`: read from the segments, with or without an engine;
//! released and deleted by the engine, which is the only one that writes them.

mod allow;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use sekisho_core::classify::Features;
use sekisho_core::clock::Now;
use sekisho_core::content::{Content, Piece};
use sekisho_core::control::{Request, Response};
use sekisho_core::quarantine::reader::{self, Filter, Listed, Listing};
use sekisho_core::quarantine::{ItemId, ItemState};
use sekisho_core::spool::Damage;
use sekisho_core::verdict::MainClass;
use serde_json::{Value, json};

use crate::arguments::{HeldFilter, QuarantineCommand};
use crate::call::{ask, unexpected};
use crate::outcome::{Failure, Outcome, Ran};
use crate::output::{self, bytes, shown, time};
use crate::period;
use crate::place::Place;
use crate::publish::progress_bar;
use crate::queue::outcomes;
use crate::train;

/// A larger mail is not trained: it is held in memory for that.
const TRAINED_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Items of one call: well below the 4 MiB that a call may have.
const ITEMS_MAX: usize = 10_000;
/// A release that has come to no end for so long is left to itself: it goes on, and `quarantine show` tells.
const IDLE_MAX: Duration = Duration::from_secs(180);

/// Runs one `quarantine` command.
pub(crate) fn run(place: &Place, json: bool, command: QuarantineCommand) -> Ran {
    match command {
        QuarantineCommand::List { filter, rows_max } => list(place, json, &filter, rows_max),
        QuarantineCommand::Show { item } => show(place, json, &item),
        QuarantineCommand::Export { item, out } => export(place, json, &item, out.as_deref()),
        QuarantineCommand::Release { items, yes, train } => {
            let words = ("quarantine release", "deliver");
            let request = |items| Request::QuarantineRelease { items, ham: train };
            if !(train && yes) {
                return change(place, json, words, items, yes, request);
            }
            let asked = items.len();
            let items = lessons(place, json, items)?;
            if items.is_empty() {
                return Ok(Outcome::No);
            }
            let all = items.len() == asked;
            let done = change(place, json, words, items, yes, request)?;
            Ok(if all { done } else { Outcome::No })
        }
        QuarantineCommand::Allow { items } => allow::run(place, json, &items),
        QuarantineCommand::Delete { items, yes } => {
            let words = ("quarantine delete", "delete for good");
            change(place, json, words, items, yes, |items| Request::QuarantineDelete { items })
        }
    }
}

fn read(place: &Place, filter: &Filter, rows_max: usize) -> Result<Listing, Failure> {
    place.must_exist()?;
    let directory = place.data.join("quarantine");
    if !directory.exists() {
        return Ok(Listing::default());
    }
    let listing = reader::list(&directory, filter, rows_max, Now::read().unix)
        .map_err(|error| Failure::new("quarantine", error))?;
    say_damage(&listing.damage);
    Ok(listing)
}

fn say_damage(damage: &[Damage]) {
    for damage in damage {
        output::words(format_args!("sekisho: quarantine: damaged: {damage}"));
    }
}

fn list(place: &Place, json: bool, wanted: &HeldFilter, rows_max: usize) -> Ran {
    let now = Now::read().unix.0;
    let (since, until) = period::between(wanted.since.as_deref(), wanted.until.as_deref(), now)?;
    let filter = Filter {
        recipient: wanted.to.clone().unwrap_or_default(),
        sender: wanted.from.clone().unwrap_or_default(),
        subject: wanted.subject.clone().unwrap_or_default(),
        reason: wanted.reason.clone().unwrap_or_default(),
        from: since,
        to: until,
        class: wanted.class.clone().unwrap_or_default(),
        with_hidden: true,
        without_released: !wanted.all,
    };
    let Listing { items, total, .. } = read(place, &filter, rows_max)?;
    if json {
        items.iter().map(summary).for_each(|item| output::json(&item));
    } else {
        let rows = items.iter().map(row).collect();
        output::table(
            &["item", "held", "state", "class", "reason", "from", "to", "size", "subject"],
            rows,
        );
    }
    if total > items.len() as u64 {
        let count = items.len();
        output::words(format_args!("{count} of {total} items shown; --rows-max shows more"));
    }
    if total == 0 {
        output::words(if wanted.chooses() {
            "nothing that is held matches"
        } else {
            "nothing is held"
        });
    }
    Ok(Outcome::done_if(total > 0))
}

fn from(listed: &Listed) -> String {
    let path = listed.held.envelope.reverse_path.as_ref();
    path.map_or_else(|| "<>".to_owned(), ToString::to_string)
}

/// Main class; of what was released and trained as not spam another one (SM-60).
fn class(listed: &Listed) -> &str {
    match &listed.state {
        ItemState::Released { ham: true, .. } => MainClass::FalsePositive.name(),
        _ => &listed.item.main_class,
    }
}

fn row(listed: &Listed) -> Vec<String> {
    vec![
        listed.id.to_string(),
        time(listed.held.held_at.0),
        listed.state.name().to_owned(),
        class(listed).to_owned(),
        listed.item.reason.to_string(),
        shown(&from(listed)),
        shown(&listed.item.recipient.resolved.to_string()),
        bytes(listed.held.bytes),
        shown(&listed.held.subject),
    ]
}

/// What a list shows of an item; the names are a promise.
fn summary(listed: &Listed) -> Value {
    json!({
        "item": listed.id.to_string(),
        "mail": listed.held.mail.to_string(),
        "state": listed.state.name(),
        "held_at": listed.held.held_at,
        "expires_at": listed.held.expires_at(),
        "class": class(listed),
        "sub_class": listed.item.sub_class,
        "category": listed.item.category,
        "reason": listed.item.reason,
        "likelihood": listed.item.likelihood,
        "points": listed.item.points,
        "hidden": listed.item.hidden,
        "from": from(listed),
        "to": listed.item.recipient.resolved.to_string(),
        "author": listed.held.author,
        "subject": listed.held.subject,
        "bytes": listed.held.bytes,
    })
}

fn id(item: &str) -> Result<ItemId, Failure> {
    item.parse().map_err(|why: String| {
        Failure::new(format_args!("item {}", shown(item)), why).next("sekisho quarantine list")
    })
}

/// The item, or a "no" that says so.
fn find(place: &Place, item: &str) -> Result<Option<Listed>, Failure> {
    let id = id(item)?;
    let mut found = find_all(place, &[id])?;
    if found.is_empty() {
        not_held(id);
    }
    Ok(found.remove(&id))
}

fn find_all(place: &Place, ids: &[ItemId]) -> Result<BTreeMap<ItemId, Listed>, Failure> {
    place.must_exist()?;
    let directory = place.data.join("quarantine");
    if !directory.exists() {
        return Ok(BTreeMap::new());
    }
    let (found, damage) = reader::find_all(&directory, ids, Now::read().unix)
        .map_err(|error| Failure::new("quarantine", error))?;
    say_damage(&damage);
    Ok(found)
}

fn not_held(id: ItemId) {
    output::words(format_args!("sekisho: {id}: not held: never was, deleted or expired"));
}

fn show(place: &Place, json: bool, item: &str) -> Ran {
    let Some(listed) = find(place, item)? else { return Ok(Outcome::No) };
    if json {
        let mut all = summary(&listed);
        if let Value::Object(fields) = &mut all {
            fields.insert("client".to_owned(), json!(listed.held.client));
            fields.insert("original_recipient".to_owned(), json!(listed.item.recipient.original));
            fields.insert("held_by".to_owned(), json!(listed.item.held_by));
            fields.insert("rules".to_owned(), json!(listed.item.rules));
            fields.insert("list_entry".to_owned(), json!(listed.item.list_entry));
            fields.insert("attachments".to_owned(), json!(listed.held.attachments));
            fields.insert("message_id".to_owned(), json!(listed.held.message_id));
            fields.insert("auth".to_owned(), json!(listed.held.auth));
            fields.insert("history".to_owned(), json!(listed.state));
        }
        output::json(&all);
        return Ok(Outcome::Done);
    }
    let line = |name: &str, value: String| output::data(format_args!("{name}\t{value}"));
    line("item", listed.id.to_string());
    line("state", listed.state.name().to_owned());
    line("held", time(listed.held.held_at.0));
    line("until", time(listed.held.expires_at().0));
    line("client", format!("{} {}", listed.held.client.address, shown(&listed.held.client.helo)));
    line("from", shown(&from(&listed)));
    line("to", shown(&listed.item.recipient.resolved.to_string()));
    line("author", shown(&listed.held.author));
    line("subject", shown(&listed.held.subject));
    line("size", bytes(listed.held.bytes));
    let item = &listed.item;
    line("class", format!("{} {}", item.main_class, item.sub_class).trim_end().to_owned());
    line("reason", format!("{} ({})", item.reason, item.category));
    if !item.held_by.is_empty() {
        line("held by", shown(&item.held_by));
    }
    line("likelihood", item.likelihood.to_string());
    line("points", points(item.points));
    if !item.list_entry.is_empty() {
        line("list entry", shown(&item.list_entry));
    }
    for attachment in &listed.held.attachments {
        let (name, mime) = (shown(&attachment.name), &attachment.mime);
        line("attachment", format!("{name} {mime} {}", bytes(attachment.bytes)));
    }
    for rule in &item.rules {
        line("rule", format!("{} {} {}", points(rule.points), rule.name, shown(&rule.detail)));
    }
    Ok(Outcome::Done)
}

/// Thousandths of a point with one sign and three places at most.
pub(crate) fn points(thousandths: i32) -> String {
    let sign = if thousandths < 0 { "-" } else { "" };
    let whole = thousandths.unsigned_abs();
    format!("{sign}{}.{:03}", whole / 1000, whole % 1000)
}

fn export(place: &Place, json: bool, item: &str, out: Option<&Path>) -> Ran {
    let Some(listed) = find(place, item)? else { return Ok(Outcome::No) };
    let content = listed.content().map_err(|error| Failure::new(item, error))?;
    match out {
        None => write(&content, &mut io::stdout().lock())
            .map_err(|error| Failure::new("standard output", error))?,
        Some(path) => {
            let fail = |error: io::Error| Failure::new(path.display(), error);
            let mut file = File::create_new(path).map_err(fail)?;
            write(&content, &mut file).and_then(|()| file.sync_all()).map_err(fail)?;
            let said = format_args!("written to {}", path.display());
            return Ok(output::said(json, Outcome::Done, said));
        }
    }
    Ok(Outcome::Done)
}

/// The octets of a content, piece by piece: a large one is never in memory.
pub(crate) fn write(content: &Content, out: &mut impl Write) -> io::Result<()> {
    for piece in &content.pieces {
        match piece {
            Piece::Memory(octets) => out.write_all(octets)?,
            Piece::File { file, offset, bytes } => {
                let (mut at, end) = (*offset, offset + bytes);
                let mut space = vec![0; 64 * 1024];
                while at < end {
                    let left = usize::try_from(end - at).unwrap_or(usize::MAX).min(space.len());
                    let part = space.get_mut(..left).unwrap_or_default();
                    file.file.read_exact_at(part, at)?;
                    out.write_all(part)?;
                    at += left as u64;
                }
            }
        }
    }
    out.flush()
}

/// SM-32: items are trained as not spam, each for its recipient's domain, before they are released. Those that were
/// taken in; the others are named, and stay held: whoever wants them releases them without a lesson.
fn lessons(place: &Place, json: bool, items: Vec<String>) -> Result<Vec<String>, Failure> {
    let ids = items.iter().map(|item| id(item)).collect::<Result<Vec<_>, _>>()?;
    let mut by_domain: BTreeMap<String, Vec<(String, Features)>> = BTreeMap::new();
    let mut untrained: Vec<ItemId> = Vec::new();
    for (id, listed) in find_all(place, &ids)? {
        match lesson_of(&listed) {
            Ok(features) => {
                let domain = listed.item.recipient.resolved.domain.to_string();
                by_domain.entry(domain).or_default().push((id.to_string(), features));
            }
            Err(why) => {
                untrained.push(id);
                let why = format!("{why}; not released, `release` without --train does it");
                if json {
                    output::json(&json!({"item": id.to_string(), "done": false, "why": why}));
                } else {
                    output::words(format_args!("sekisho: quarantine release {id}: {why}"));
                }
            }
        }
    }
    for (domain, mails) in by_domain {
        let scope = train::scope(place, Some(&domain))?;
        let lesson = train::Lesson { scope, spam: false, how: "release", mails };
        if train::teach(place, json, lesson)? == Outcome::No {
            return Ok(Vec::new());
        }
    }
    let mut kept = items;
    kept.retain(|item| id(item).is_ok_and(|id| !untrained.contains(&id)));
    Ok(kept)
}

/// What a held mail teaches, or why it teaches nothing.
fn lesson_of(listed: &Listed) -> Result<Features, String> {
    let content = listed.content().map_err(|error| error.to_string())?;
    if content.bytes() > TRAINED_BYTES_MAX {
        return Err(format!("{} is too large to be trained with", bytes(content.bytes())));
    }
    let mut octets = Vec::new();
    write(&content, &mut octets).map_err(|error| error.to_string())?;
    train::features(&octets)
}

fn change(
    place: &Place,
    json: bool,
    (what, verb): (&str, &str),
    items: Vec<String>,
    yes: bool,
    request: impl Fn(Vec<String>) -> Request,
) -> Ran {
    if yes {
        return carry_out(place, json, what, items, &request);
    }
    let ids = items.iter().map(|item| id(item)).collect::<Result<Vec<_>, _>>()?;
    let found = find_all(place, &ids)?;
    for id in &ids {
        if json {
            let is_held = found.contains_key(id);
            output::json(&json!({"item": id.to_string(), "held": is_held, "done": false}));
            continue;
        }
        match found.get(id) {
            Some(listed) => output::words(format_args!(
                "would {verb}: {id} for {}, \"{}\"; --yes does it",
                shown(&listed.item.recipient.resolved.to_string()),
                shown(&listed.held.subject)
            )),
            None => not_held(*id),
        }
    }
    Ok(Outcome::done_if(ids.iter().all(|id| found.contains_key(id))))
}

/// Has the engine do it, and asks again for what is still under way, as long as something comes of it.
fn carry_out(
    place: &Place,
    json: bool,
    what: &str,
    items: Vec<String>,
    request: &impl Fn(Vec<String>) -> Request,
) -> Ran {
    let bar = progress_bar();
    bar.set_length(items.len() as u64);
    let (mut all, mut idle_since) = (true, Instant::now());
    let mut left = items;
    while !left.is_empty() {
        let asked: Vec<String> = left.drain(..left.len().min(ITEMS_MAX)).collect();
        let answered = match ask(place, what, request(asked))? {
            Response::Items { items } => items,
            Response::Refused { why } => {
                bar.finish_and_clear();
                let why = format_args!("sekisho: {what}: {why}");
                return Ok(output::said(json, Outcome::No, why));
            }
            other => return Err(unexpected(what, &other)),
        };
        let (open, ended): (Vec<_>, Vec<_>) = answered.into_iter().partition(|item| item.under_way);
        bar.inc(ended.len() as u64);
        if !ended.is_empty() {
            idle_since = Instant::now();
            all &= bar.suspend(|| outcomes(json, &ended)) == Outcome::Done;
        }
        if idle_since.elapsed() > IDLE_MAX {
            bar.finish_and_clear();
            outcomes(json, &open);
            return Ok(Outcome::No);
        }
        left.extend(open.into_iter().map(|item| item.item));
    }
    bar.finish_and_clear();
    Ok(Outcome::done_if(all))
}

#[cfg(test)]
mod tests {
    use super::{points, write};
    use sekisho_core::content::{Content, LargeFile, Piece};
    use std::sync::Arc;

    #[test]
    fn points_are_shown_as_people_write_them() {
        for (thousandths, text) in [(0, "0.000"), (1500, "1.500"), (-250, "-0.250"), (5, "0.005")] {
            assert_eq!(points(thousandths), text);
        }
    }

    #[test]
    fn a_content_of_memory_and_file_pieces_is_written_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large");
        let octets: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        std::fs::write(&path, &octets).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let file = Arc::new(LargeFile { file, path, bytes: octets.len() as u64 });
        let content = Content {
            pieces: vec![
                Piece::Memory(b"head".to_vec().into()),
                Piece::File { file, offset: 10, bytes: 100_000 },
                Piece::Memory(b"tail".to_vec().into()),
            ],
        };
        let mut out = Vec::new();
        write(&content, &mut out).unwrap();
        assert_eq!(out, [b"head", &octets[10..100_010], b"tail"].concat());
    }
}
