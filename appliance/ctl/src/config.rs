//! `config check|reload|default`.

use std::path::{Path, PathBuf};

use sekisho_core::analysis::worker_user;
use sekisho_core::config::{Config, DEFAULT_TEXT, TableKind};
use sekisho_core::control::{Request, Response};
use sekisho_core::notice::Templates;
use sekisho_core::policy::source::{parse_domains, unknown_templates};
use sekisho_core::shard::written;

use crate::arguments::ConfigCommand;
use crate::call::{ask, unexpected};
use crate::outcome::{Failure, Outcome, Ran};
use crate::output;
use crate::place::Place;
use crate::publish::own_hosts;

/// Runs one `config` command.
pub(crate) fn run(place: &Place, json: bool, command: &ConfigCommand) -> Ran {
    match command {
        ConfigCommand::Check { file } => check(place, file.as_deref(), json),
        ConfigCommand::Default => {
            if json {
                output::json(&serde_json::json!({"text": DEFAULT_TEXT}));
            } else {
                output::data(DEFAULT_TEXT.trim_end());
            }
            Ok(Outcome::Done)
        }
        ConfigCommand::Reload => match ask(place, "config reload", Request::Reload)? {
            Response::Done => {
                Ok(output::said(json, Outcome::Done, "read again; no session was dropped"))
            }
            Response::Refused { why } => {
                let said = format!("sekisho: config reload: {why}; the old one stays");
                Ok(output::said(json, Outcome::No, said))
            }
            other => Err(unexpected("config reload", &other)),
        },
    }
}

/// All mistakes of the file and of the domain files that it names, by the same code that the engine
/// and the table builder run.
fn check(place: &Place, named: Option<&Path>, json: bool) -> Ran {
    let file = named.unwrap_or(&place.config);
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| {
        let failure = Failure::new(&name, error);
        if named.is_some() { failure } else { place.first_start(failure) }
    })?;
    let mut mistakes = Vec::new();
    let mut warnings = Vec::new();
    match Config::parse(&text, &name) {
        Ok((config, read_warnings)) => {
            warnings.extend(read_warnings.iter().map(ToString::to_string));
            if let Err(error) = worker_user(&config.analysis.user) {
                mistakes.push(format!("{name}: {error}"));
            }
            mistakes.extend(written::sealer(&place.data, &config).err());
            let templates = written::templates(file);
            let texts = templates.as_ref().map(Templates::names).unwrap_or_default();
            mistakes.extend(templates.err());
            let own = own_hosts(&config);
            let own: Vec<&str> = own.iter().map(String::as_str).collect();
            for path in domain_files(file, &config) {
                let name = path.display().to_string();
                match std::fs::read_to_string(&path) {
                    Ok(text) => {
                        let (found, of) = match parse_domains(&text, &name, &own) {
                            Ok((domains, found)) => {
                                mistakes.extend(domains.iter().flat_map(|one| {
                                    let all = unknown_templates(&one.settings, &texts);
                                    let place = format!("{name}:{}: domain {}", one.line, one.name);
                                    all.into_iter().map(move |why| format!("{place}: {why}"))
                                }));
                                (found, &mut warnings)
                            }
                            Err(found) => (found, &mut mistakes),
                        };
                        of.extend(found.iter().map(ToString::to_string));
                    }
                    Err(error) => mistakes.push(format!("{name}: {error}")),
                }
            }
        }
        Err(found) => mistakes.extend(found.iter().map(ToString::to_string)),
    }
    if json {
        output::json(
            &serde_json::json!({"file": name, "mistakes": mistakes, "warnings": warnings}),
        );
    } else {
        mistakes.iter().for_each(output::data);
        for warning in &warnings {
            output::words(format_args!("warning: {warning}"));
        }
        if mistakes.is_empty() {
            output::words(format_args!("{name}: no mistakes"));
        }
    }
    Ok(Outcome::done_if(mistakes.is_empty()))
}

fn domain_files(file: &Path, config: &Config) -> Vec<PathBuf> {
    let etc = file.parent().unwrap_or_else(|| Path::new("."));
    let sources = config.tables.sources.iter();
    sources
        .filter(|source| source.kind == TableKind::Domains)
        .filter(|source| !source.optional || etc.join(&source.path).exists())
        .map(|source| etc.join(&source.path))
        .collect()
}
