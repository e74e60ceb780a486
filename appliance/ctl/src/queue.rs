//! `queue list|why|hold|unhold|flush|retry|remove`: all of it is the engine's to say and to do.

use sekisho_core::control::{ItemOutcome, Request, Response};
use sekisho_core::tables::sources::item;

use crate::arguments::QueueCommand;
use crate::call::{ask, unexpected};
use crate::outcome::{Failure, Outcome, Ran};
use crate::output::{self, bytes, shown, time};
use crate::place::Place;

/// Runs one `queue` command.
pub(crate) fn run(place: &Place, json: bool, command: QueueCommand) -> Ran {
    match command {
        QueueCommand::List { domain, rows_max } => {
            list(place, json, domain.map(|domain| name(&domain)).transpose()?, rows_max)
        }
        QueueCommand::Why { domain } => {
            why(place, json, domain.map(|domain| name(&domain)).transpose()?)
        }
        QueueCommand::Hold { domain } => {
            let domain = name(&domain)?;
            let said = format!("{domain} is held: its mail waits until `queue unhold {domain}`");
            done(place, json, &format!("queue hold {domain}"), Request::QueueHold { domain }, &said)
        }
        QueueCommand::Unhold { domain } => {
            let domain = name(&domain)?;
            let said = format!("{domain} is delivered to again");
            done(
                place,
                json,
                &format!("queue unhold {domain}"),
                Request::QueueUnhold { domain },
                &said,
            )
        }
        QueueCommand::Flush { domain } => {
            let domain = domain.map(|domain| name(&domain)).transpose()?;
            let whom = domain.clone().unwrap_or_else(|| "every domain".to_owned());
            let said = format!("everything for {whom} is tried now");
            done(place, json, "queue flush", Request::QueueFlush { domain }, &said)
        }
        QueueCommand::Retry { mail } => {
            let mail = id(&mail)?;
            let said = format!("{mail} is tried now");
            done(place, json, &format!("queue retry {mail}"), Request::QueueRetry { mail }, &said)
        }
        QueueCommand::Remove { mail, yes } => remove(place, json, mail, yes),
    }
}

/// A recipient domain as the queue knows it. A mistyped one must not be held without a word while the mail
/// that was meant goes on.
fn name(domain: &str) -> Result<String, Failure> {
    // Reports may wait for an address literal.
    if domain.starts_with('[') && domain.ends_with(']') {
        return Ok(domain.to_owned());
    }
    item::domain(domain)
        .map_err(|why| Failure::new("queue", why).next("sekisho queue why names the domains"))
}

/// A mail's id as it stands in `queue list`.
fn id(mail: &str) -> Result<String, Failure> {
    let Ok(id) = mail.parse::<uuid::Uuid>() else {
        let why = "not the id of a mail";
        return Err(Failure::new(format_args!("queue: {}", shown(mail)), why)
            .next("sekisho queue list shows them"));
    };
    Ok(id.simple().to_string())
}

/// A request that is answered `Done`, `Items` of one, or `Refused`.
fn done(place: &Place, json: bool, what: &str, request: Request, said: &str) -> Ran {
    match ask(place, what, request)? {
        Response::Done => Ok(output::said(json, Outcome::Done, said)),
        Response::Items { items } => Ok(outcomes(json, &items)),
        Response::Refused { why } => {
            Ok(output::said(json, Outcome::No, format_args!("sekisho: {what}: {why}")))
        }
        other => Err(unexpected(what, &other)),
    }
}

/// One line for each item; "no" unless all were done.
pub(crate) fn outcomes(json: bool, items: &[ItemOutcome]) -> Outcome {
    for item in items {
        if json {
            output::json(item);
        } else if item.done && item.why.is_empty() {
            output::data(format_args!("{}\tdone", item.item));
        } else if item.done {
            output::data(format_args!("{}\tdone: {}", item.item, item.why));
        } else {
            output::data(format_args!("{}\tnot done: {}", item.item, item.why));
        }
    }
    Outcome::done_if(items.iter().all(|item| item.done))
}

fn list(place: &Place, json: bool, domain: Option<String>, rows_max: usize) -> Ran {
    let request = Request::QueueList { domain, rows_max };
    let (rows, total) = match ask(place, "queue list", request)? {
        Response::Queue { rows, total } => (rows, total),
        other => return Err(unexpected("queue list", &other)),
    };
    let shown_rows = rows.len() as u64;
    if json {
        rows.iter().for_each(output::json);
    } else {
        let cells = rows
            .into_iter()
            .map(|row| {
                vec![
                    row.mail,
                    row.domain,
                    bytes(row.bytes),
                    row.attempts.to_string(),
                    time(row.queued_at),
                    next_attempt(row.next_attempt_at),
                    shown(&row.last_answer),
                ]
            })
            .collect();
        output::table(
            &["mail", "domain", "size", "attempts", "queued", "next attempt", "last answer"],
            cells,
        );
    }
    if shown_rows < total {
        output::words(format_args!("{shown_rows} of {total} mails shown; --rows-max shows more"));
    }
    if total == 0 {
        output::words("nothing waits");
    }
    Ok(Outcome::done_if(total > 0))
}

fn why(place: &Place, json: bool, domain: Option<String>) -> Ran {
    let rows = match ask(place, "queue why", Request::QueueWhy { domain })? {
        Response::QueueWhy { rows } => rows,
        other => return Err(unexpected("queue why", &other)),
    };
    let found = !rows.is_empty();
    if json {
        rows.iter().for_each(output::json);
    } else {
        let cells = rows
            .into_iter()
            .map(|row| {
                vec![
                    row.domain,
                    row.mails.to_string(),
                    bytes(row.bytes),
                    age(row.oldest_seconds),
                    next_attempt(row.next_attempt_at),
                    shown(&row.why),
                ]
            })
            .collect();
        output::table(&["domain", "mails", "size", "oldest", "next attempt", "why"], cells);
    }
    if !found {
        output::words("nothing waits");
    }
    Ok(Outcome::done_if(found))
}

fn remove(place: &Place, json: bool, mail: String, yes: bool) -> Ran {
    let mail = id(&mail)?;
    if yes {
        let said = format!("{mail} is removed; its sender gets no report");
        let what = format!("queue remove {mail}");
        return done(place, json, &what, Request::QueueRemove { mail }, &said);
    }
    let request = Request::QueueList { domain: None, rows_max: usize::MAX };
    let Response::Queue { rows, .. } = ask(place, "queue remove", request)? else {
        return Err(Failure::new("queue remove", "the engine does not list its queue"));
    };
    let Some(row) = rows.iter().find(|row| row.mail == mail) else {
        let said = format_args!("sekisho: queue remove: no mail {mail} waits");
        return Ok(output::said(json, Outcome::No, said));
    };
    let said = format!(
        "would remove {mail} for {} ({}, queued {}) without a report to its sender; --yes does it",
        row.domain,
        bytes(row.bytes),
        time(row.queued_at)
    );
    if json {
        output::json(&serde_json::json!({"done": false, "said": said}));
    } else {
        output::words(said);
    }
    Ok(Outcome::Done)
}

/// 0 stands for a mail that is not tried until somebody says so.
fn next_attempt(unix_millis: u64) -> String {
    if unix_millis == 0 { "-".to_owned() } else { time(unix_millis) }
}

/// Seconds in the two largest units.
pub(crate) fn age(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    if days > 0 {
        format!("{days} d {hours} h")
    } else if hours > 0 {
        format!("{hours} h {minutes} min")
    } else if minutes > 0 {
        format!("{minutes} min")
    } else {
        format!("{seconds} s")
    }
}

#[cfg(test)]
mod tests {
    use super::{id, name};

    #[test]
    fn a_mistyped_domain_or_id_is_named_before_the_engine_is_asked() {
        assert_eq!(name("Demo.Test"), Ok("demo.test".to_owned()));
        for (text, says) in [("b@d", "`b@d` is not a domain"), ("", "`` is not a domain")] {
            let failure = name(text).unwrap_err().to_string();
            assert!(failure.contains(says), "{failure}");
        }
        let same = "01a217c31a217366b067327ba499b9fa";
        assert_eq!(id(same), Ok(same.to_owned()));
        assert_eq!(id("01a217c3-1a21-7366-b067-327ba499b9fa"), Ok(same.to_owned()));
        let failure = id("x").unwrap_err().to_string();
        assert!(failure.contains("queue: x: not the id of a mail"), "{failure}");
    }
}
