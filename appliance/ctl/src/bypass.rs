//! `bypass add|remove|list`: for a while, a rule of a domain, or all of them, are without effect.

use clap::{Args, Subcommand};
use sekisho_core::clock::{Now, UnixMillis};
use sekisho_core::control::Request;
use sekisho_core::tables::{Bypass, PublishError};

use crate::examples;
use crate::list::in_force;
use crate::outcome::{Failure, Outcome, Ran};
use crate::output::{self, shown, time};
use crate::period;
use crate::place::Place;
use crate::publish::{self, Told};

/// `bypass`.
#[derive(Debug, Subcommand)]
pub(crate) enum BypassCommand {
    /// Make one; in force within a second, and over by itself.
    #[command(after_help = examples::BYPASS_ADD)]
    Add(BypassArguments),
    /// End one before its time.
    #[command(after_help = examples::BYPASS_REMOVE)]
    Remove {
        /// Its number, from `bypass list`.
        id: u64,
    },
    /// Those in force; with --all those that ended, too.
    #[command(after_help = examples::BYPASS_LIST)]
    List {
        /// Those that ended in the last 90 days as well.
        #[arg(long)]
        all: bool,
    },
}

/// `bypass add`.
#[derive(Debug, Args)]
pub(crate) struct BypassArguments {
    /// The domain.
    #[arg(long)]
    domain: String,
    /// Name of the rule, or key of a setting (`spam.action`); all of them without it, but for those against
    /// malware, the block lists and the size limit.
    #[arg(long)]
    rule: Option<String>,
    /// When it ends: a time (2026-12-01T18:00), or how long from now (2h, 1d); at most 31 days.
    #[arg(long)]
    until: String,
    /// Why, for the log.
    #[arg(long)]
    why: String,
}

/// Runs one `bypass` command.
pub(crate) fn run(place: &Place, json: bool, command: &BypassCommand) -> Ran {
    match command {
        BypassCommand::Add(arguments) => add(place, json, arguments),
        BypassCommand::Remove { id } => {
            let now = Now::read().unix;
            let ended = publish::publisher(place)?.end_bypass(*id, &who(), now);
            match ended {
                Ok(_) => told(place, json),
                Err(error) => not(place, json, "bypass remove", &error),
            }
        }
        BypassCommand::List { all } => list(place, json, *all),
    }
}

/// Who is logged: the user that runs this command.
fn who() -> String {
    format!("operator (uid {})", rustix::process::getuid().as_raw())
}

fn add(place: &Place, json: bool, arguments: &BypassArguments) -> Ran {
    const WHAT: &str = "bypass add";
    let now = Now::read().unix;
    let until = UnixMillis(period::later("--until", &arguments.until, now.0)?);
    let why = arguments.why.trim();
    if why.is_empty() || why.chars().count() > 400 || why.chars().any(char::is_control) {
        return Err(Failure::new(
            WHAT,
            "--why: 1 to 400 characters, none of them a control character",
        ));
    }
    let new = Bypass {
        id: 0,
        domain: arguments.domain.to_lowercase().into(),
        rule: arguments.rule.as_deref().map(Into::into),
        since: now,
        until,
        by: who().into(),
        why: why.into(),
        removed: None,
    };
    match publish::publisher(place)?.add_bypass(new) {
        Ok(id) => {
            output::words(format_args!("bypass {id}, until {}", time(until.0)));
            told(place, json)
        }
        Err(error) => not(place, json, WHAT, &error),
    }
}

fn told(place: &Place, json: bool) -> Ran {
    let told = publish::tell(place, Request::AdoptDeltas)?;
    in_force(json, &told, 0)
}

fn not(place: &Place, json: bool, what: &str, error: &PublishError) -> Ran {
    match error {
        PublishError::Refused { change, why } => {
            in_force(json, &Told::Pointless(format!("sekisho: {what}: {change}: {why}")), 0)
        }
        _ => Err(publish::failed(place, what, error)),
    }
}

fn list(place: &Place, json: bool, all: bool) -> Ran {
    let now = Now::read().unix;
    let bypasses = publish::publisher(place)?.bypasses();
    let bypasses = bypasses.map_err(|error| publish::failed(place, "bypass list", &error))?;
    let listed: Vec<&Bypass> = bypasses.iter().filter(|one| all || one.is_in_force(now)).collect();
    if json {
        listed.iter().for_each(output::json);
    } else {
        let row = |one: &&Bypass| {
            let ended = match &one.removed {
                Some((by, at)) => format!("removed {} by {by}", time(at.0)),
                None if one.is_in_force(now) => "in force".to_owned(),
                None => "ended".to_owned(),
            };
            vec![
                one.id.to_string(),
                one.domain.to_string(),
                shown(one.rule.as_deref().unwrap_or("all rules")),
                time(one.since.0),
                time(one.until.0),
                ended,
                one.by.to_string(),
                shown(&one.why),
            ]
        };
        let columns = ["number", "domain", "rule", "since", "until", "state", "by", "why"];
        output::table(&columns, listed.iter().map(row).collect());
    }
    if listed.is_empty() {
        output::words("no bypass");
    }
    Ok(Outcome::done_if(!listed.is_empty()))
}
