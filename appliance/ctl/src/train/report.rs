//! SM-60: mails that came through the gateway and are trained afterwards get another class in the mail log:
//! False-negative what was delivered and is spam, False-positive what was held and is none.

use std::time::Duration;

use sekisho_core::clock::UnixMillis;
use sekisho_core::control::{Reclassified, Request, Response};
use sekisho_core::envelope::MailId;
use sekisho_core::maillog::Row;
use sekisho_core::maillog::reader::{Condition, Extent, Query, search};

use crate::call::{CallError, TIMEOUT, call};
use crate::outcome::Failure;
use crate::output;
use crate::place::Place;

/// Mails of one command that are looked for in the log: each is a search.
const MAILS_MAX: usize = 200;
/// Rows of one mail.
const ROWS_MAX: usize = 200;
/// A mail's first row is written so soon after its id was made.
const SPAN: Duration = Duration::from_secs(2 * 3_600);

/// Tells the engine, which writes the log. Mails that the log does not know are none of ours.
pub(super) fn say(place: &Place, spam: bool, by: &str, ids: &[MailId]) -> Result<(), Failure> {
    let directory = place.data.join("maillog");
    if ids.is_empty() || !directory.exists() {
        return Ok(());
    }
    if ids.len() > MAILS_MAX {
        let left = ids.len() - MAILS_MAX;
        output::words(format_args!("{left} mails more than {MAILS_MAX}: not noted in the log"));
    }
    let mut mails = Vec::new();
    for id in ids.iter().take(MAILS_MAX) {
        mails.extend(
            known(&directory, *id, spam)?
                .into_iter()
                .map(|one| Reclassified { by: by.to_owned(), ..one }),
        );
    }
    if mails.is_empty() {
        return Ok(());
    }
    let count = mails.len();
    let socket = place.control_socket();
    match call(&socket, Request::Reclassify { mails }, TIMEOUT) {
        Ok(Response::Done) => {
            let class = if spam { "False-negative" } else { "False-positive" };
            output::words(format_args!("{count} of them in the log, now {class}"));
        }
        Ok(_) => output::words("the engine did not note it in the log"),
        Err(CallError::Nobody) => output::words("no engine runs: not noted in the log"),
        Err(CallError::Broken(why)) => {
            output::words(format_args!("not noted in the log: {why}"));
        }
    }
    Ok(())
}

/// The recipients of a mail whose class this turns round.
fn known(
    directory: &std::path::Path,
    id: MailId,
    spam: bool,
) -> Result<Vec<Reclassified>, Failure> {
    let begun = id.0.get_timestamp().map_or(0, |time| {
        let (seconds, nanos) = time.to_unix();
        seconds * 1000 + u64::from(nanos) / 1_000_000
    });
    let span = u64::try_from(SPAN.as_millis()).unwrap_or(u64::MAX);
    let text = id.0.to_string();
    let query = Query {
        from: Some(UnixMillis(begun.saturating_sub(1000))),
        to: Some(UnixMillis(begun.saturating_add(span))),
        conditions: vec![Condition { field: "mail".into(), extent: Extent::Whole, text }],
    };
    let answer = search(directory, &query, ROWS_MAX, &mut |_, _| {})
        .map_err(|error| Failure::new("train: mail log", error))?;
    let mut found: Vec<Reclassified> = Vec::new();
    for row in answer.rows {
        let Row::Delivery(row) = row else { continue };
        // Held is for spam what delivered is for the rest: a training that agrees changes nothing.
        let was_held = row.action != "Deliver";
        if was_held == spam || found.iter().any(|one| one.address == row.address) {
            continue;
        }
        found.push(Reclassified {
            mail: id.to_string(),
            spam,
            from: row.from.clone(),
            author: row.author.clone(),
            to: row.to.clone(),
            address: row.address.clone(),
            by: String::new(),
        });
    }
    Ok(found)
}
