//! What a first start needs: a configuration, a demo domain, the starter rules, a first generation.
//!
//! Nothing that is there is ever overwritten. Tables are built again at a start where their sources
//! are newer; sources with mistakes are reported and the last generation stays in force.

use std::path::Path;
use std::time::SystemTime;

use sekisho_core::config::DEFAULT_TEXT;
use sekisho_core::scan::patterns::STARTER_RULES;

use super::demo;
use super::engine::Engine;
use crate::outcome::Failure;
use crate::output;
use crate::place::Place;
use crate::publish;

const DEMO_DOMAIN: &str = "demo.test";
/// The demo domain as it is written at first start.
const DOMAINS_TEXT: &str = include_str!("domains.toml");
/// Names of the demo, so that its mail waits for no DNS.
const ZONE_TEXT: &str = include_str!("demo.zone");

/// Makes the place ready; words say what was done.
pub(super) fn prepare(place: &Place) -> Result<(), Failure> {
    std::fs::create_dir_all(place.etc())
        .map_err(|error| Failure::new(place.etc().display(), error))?;
    let first = write_new(&place.config, &default_text(place))?;
    if first {
        write_new(&place.etc().join("domains.toml"), DOMAINS_TEXT)?;
        write_new(&place.etc().join("demo.zone"), ZONE_TEXT)?;
        let rules = place.etc().join("rules");
        if !rules.exists() {
            std::fs::create_dir_all(&rules)
                .map_err(|error| Failure::new(rules.display(), error))?;
            for (name, text) in STARTER_RULES {
                write_new(&rules.join(name), text)?;
            }
        }
    }
    match newest(place)? {
        None => {
            output::words("sekisho: tables: building the first generation");
            publish::build(place).map(|_| ())
        }
        Some(built) if sources_changed(place, built)? => {
            output::words("sekisho: tables: the sources are newer, building a generation");
            match publish::build(place) {
                Ok((number, _)) => output::words(format_args!("sekisho: generation {number}")),
                Err(failure) => {
                    output::words(failure);
                    output::words("sekisho: tables: the last good generation stays in force");
                }
            }
            Ok(())
        }
        Some(_) => Ok(()),
    }
}

/// The default configuration with the demo's names; the data directory is seen from the configuration's own directory.
fn default_text(place: &Place) -> String {
    let absolute = std::path::absolute(&place.data).unwrap_or_else(|_| place.data.clone());
    let beneath = place.etc() == place.data.join("etc");
    let data = if beneath { "..".to_owned() } else { absolute.display().to_string() };
    let line = format!("data_dir = {}", serde_json::Value::String(data));
    let text = DEFAULT_TEXT.replacen("data_dir = \"var\"", &line, 1);
    text.replacen("\nzone = \"\"\n", "\nzone = \"demo.zone\"\n", 1)
}

/// Writes a file that is not there yet; whether it did.
fn write_new(path: &Path, text: &str) -> Result<bool, Failure> {
    use std::io::Write;
    match std::fs::File::create_new(path) {
        Ok(mut file) => {
            file.write_all(text.as_bytes()).map_err(|error| Failure::new(path.display(), error))?;
            output::words(format_args!("sekisho: wrote {}", path.display()));
            Ok(true)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Failure::new(path.display(), error)),
    }
}

/// When the newest generation was built.
fn newest(place: &Place) -> Result<Option<SystemTime>, Failure> {
    let publisher = publish::publisher(place)?;
    let latest = publisher.latest().map_err(|error| publish::failed(place, "tables", &error))?;
    let Some(latest) = latest else { return Ok(None) };
    let dir = publisher.generation_dir(latest);
    let modified = std::fs::metadata(&dir).and_then(|metadata| metadata.modified());
    modified.map(Some).map_err(|error| Failure::new(dir.display(), error))
}

fn sources_changed(place: &Place, built: SystemTime) -> Result<bool, Failure> {
    let (text, config) = publish::read_config(place)?;
    let sources = publish::sources(place, &text, &config)?;
    let mut files: Vec<&Path> = sources.files.iter().map(|source| source.path.as_path()).collect();
    files.push(&place.config);
    let newer = |path: &&Path| {
        let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified());
        modified.is_ok_and(|modified| modified > built)
    };
    Ok(files.iter().any(newer))
}

/// Whether the demo domain is among the domains, so that its next hop is wanted.
pub(super) fn has_demo_domain(place: &Place) -> bool {
    let text = std::fs::read_to_string(place.etc().join("domains.toml")).unwrap_or_default();
    text.lines().any(|line| line.starts_with("name") && line.contains(DEMO_DOMAIN))
}

/// Prints where everything is, and three commands to try.
pub(super) fn say_where(place: &Place, engine: &Engine, taken_over: bool, demo_runs: bool) {
    let program = std::env::args().next().unwrap_or_else(|| "sekisho".to_owned());
    let arguments = place.arguments();
    let how = if taken_over { "was running and is taken over" } else { "runs" };
    output::words(format_args!("\nSekisho {how} (engine: process {}).", engine.number()));
    for listener in engine.listeners() {
        output::words(format_args!("  SMTP           {listener}"));
    }
    if demo_runs {
        output::words(format_args!(
            "  demo domain    {DEMO_DOMAIN}, next hop {}; what it receives: {}/",
            demo::ADDRESS,
            place.demo_sink().display()
        ));
    }
    output::words(format_args!("  configuration  {}", place.config.display()));
    output::words(format_args!("  domains, rules {}/", place.etc().display()));
    output::words(format_args!("  data           {}/", place.data.display()));
    output::words(format_args!("  engine's words {}", place.engine_log().display()));
    if let Some(metrics) = Engine::metrics(place) {
        output::words(format_args!("  metrics        http://{metrics}/metrics"));
    }
    output::words("Try, in another terminal:");
    if let (true, Ok(here)) = (Path::new(&program).is_relative(), std::env::current_dir()) {
        output::words(format_args!("  cd {}", here.display()));
    }
    output::words(format_args!("  {program}{arguments} send"));
    output::words(format_args!(
        "  {program}{arguments} send --sample eicar; {program}{arguments} send --sample gtube"
    ));
    output::words(format_args!("  {program}{arguments} quarantine list"));
    output::words("Ctrl-C stops; the next start goes on where this one was.\n");
}

#[cfg(test)]
mod tests {
    use super::{DEFAULT_TEXT, DOMAINS_TEXT, ZONE_TEXT, default_text, has_demo_domain, write_new};
    use crate::place::Place;
    use sekisho_core::config::Config;
    use sekisho_core::policy::source::parse_domains;
    use sekisho_core::resolve::zone::Zone;

    #[test]
    fn the_default_configuration_and_the_demo_domain_have_no_mistakes() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path(), None);
        let text = default_text(&place);
        assert_ne!(text, DEFAULT_TEXT, "the data directory is written into it");
        let (config, warnings) = Config::parse(&text, "sekisho.toml").unwrap();
        assert_eq!(warnings, []);
        assert_eq!(config.engine.data_dir, std::path::Path::new(".."));
        assert_eq!(config.dns.zone.as_deref(), Some(std::path::Path::new("demo.zone")));
        Zone::parse(ZONE_TEXT, None).unwrap();
        let (domains, warnings) =
            parse_domains(DOMAINS_TEXT, "domains.toml", &["127.0.0.1:2525"]).unwrap();
        assert_eq!(warnings, []);
        assert_eq!(&*domains[0].name, super::DEMO_DOMAIN);
        // The example below it, with its first mark of a comment taken away, is one.
        let example = DOMAINS_TEXT.split_once("looks like this:\n").unwrap().1;
        let example: String = example
            .lines()
            .map(|line| line.strip_prefix("# ").unwrap_or_else(|| line.trim_start_matches('#')))
            .flat_map(|line| [line, "\n"])
            .collect();
        let (shown, warnings) = parse_domains(&example, "example", &[]).unwrap();
        assert_eq!((shown.len(), warnings.len()), (1, 0), "{warnings:?}");
        assert_eq!(domains[0].routes[0].port, super::demo::ADDRESS.port());
    }

    #[test]
    fn every_starter_rule_file_of_the_repository_is_written() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../core/data/rules");
        let mut files: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let written: Vec<&str> =
            sekisho_core::scan::patterns::STARTER_RULES.iter().map(|(name, _)| *name).collect();
        assert_eq!(written, files);
    }

    #[test]
    fn what_is_there_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        assert_eq!(write_new(&path, "one"), Ok(true));
        assert_eq!(write_new(&path, "two"), Ok(false));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
        assert!(write_new(&dir.path().join("no/dir/a.toml"), "x").is_err());
    }

    #[test]
    fn the_demo_hop_is_wanted_only_while_the_demo_domain_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path(), None);
        assert!(!has_demo_domain(&place));
        std::fs::create_dir_all(place.etc()).unwrap();
        std::fs::write(place.etc().join("domains.toml"), DOMAINS_TEXT).unwrap();
        assert!(has_demo_domain(&place));
    }
}
