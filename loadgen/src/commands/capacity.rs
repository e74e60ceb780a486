//! `sekisho-loadgen capacity`.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use sekisho_loadgen::capacity::{self, CapacityOptions, Depth};
use sekisho_loadgen::report::sheet::Sheet;
use sekisho_loadgen::report::{sheet_html, sheet_text};

#[derive(Args)]
pub(crate) struct CapacityArguments {
    /// Where `sekisho` and `sekisho-engine` are [default: beside this program].
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Some minutes (five and a half with SpamAssassin's rules) instead of half an hour: fewer rows, short steps.
    #[arg(long)]
    quick: bool,
    /// Only CPU by stage, as the table that ARCHITECTURE.md has.
    #[arg(long, conflicts_with = "quick")]
    budget: bool,
    /// Rules of SpamAssassin (*.cf), for the rows that have them.
    #[arg(long, value_name = "DIR")]
    spamassassin: Option<PathBuf>,
    /// Cores of the engine, all its threads and workers: 0 or 0,2 or 0-3 [default: the first half of those there are].
    #[arg(long)]
    engine_cores: Option<String>,
    /// Cores of generator and sink [default: the others].
    #[arg(long)]
    generator_cores: Option<String>,
    /// Only rows whose name begins so; may be given more than once.
    #[arg(long)]
    only: Vec<String>,
    /// Mails of a closed loop at most.
    #[arg(long)]
    mails_max: Option<u64>,
    /// Seconds of a closed loop, instead of those of the plan; the mails may end it before.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: Option<u64>,
    /// Where engines have their data; a directory of this run is made in it and removed [default: the system's for
    /// temporary files]. Durability is that of this disk.
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Leave the data of the engines there.
    #[arg(long)]
    keep: bool,
    /// Write capacity.txt, capacity.json and capacity.html into this directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// JSON on standard output instead of words.
    #[arg(long)]
    json: bool,
    /// Say nothing while it runs.
    #[arg(long)]
    quiet: bool,
    /// Seed of everything drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Measure nothing: show a sheet that was saved (capacity.json).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["programs", "scratch"])]
    from: Option<PathBuf>,
}

pub(crate) fn run(arguments: &CapacityArguments) -> Result<ExitCode, String> {
    if let Some(out) = &arguments.out {
        // Not after half an hour.
        std::fs::create_dir_all(out).map_err(|error| format!("out {}: {error}", out.display()))?;
    }
    let sheet = match &arguments.from {
        Some(file) => read(file)?,
        None => measure(arguments)?,
    };
    let text = sheet_text::render(&sheet);
    let json = serde_json::to_string_pretty(&sheet).map_err(|error| error.to_string())?;
    if let Some(out) = &arguments.out {
        write(out, &sheet, &text, &json)?;
    }
    let shown = if arguments.json {
        json + "\n"
    } else if arguments.budget {
        sheet_text::budget(&sheet)
    } else {
        text
    };
    io::stdout().write_all(shown.as_bytes()).map_err(|error| format!("stdout: {error}"))?;
    Ok(if sheet.holds() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn measure(arguments: &CapacityArguments) -> Result<Sheet, String> {
    let options = arguments.options()?;
    let measured = capacity::run(&options);
    if arguments.keep {
        let _ = writeln!(io::stderr(), "data of the engines: {}", options.scratch.display());
    } else if let Err(error) = capacity::clean_up(&options.scratch) {
        let _ = writeln!(io::stderr(), "scratch {}: {error}", options.scratch.display());
    }
    measured.map_err(|error| format!("capacity: {error}"))
}

fn read(file: &Path) -> Result<Sheet, String> {
    let octets = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    serde_json::from_slice(&octets)
        .map_err(|error| format!("{}: not a capacity sheet: {error}", file.display()))
}

fn write(out: &Path, sheet: &Sheet, text: &str, json: &str) -> Result<(), String> {
    let page = sheet_html::page(sheet);
    for (name, content) in
        [("capacity.txt", text), ("capacity.json", json), ("capacity.html", &page)]
    {
        let path = out.join(name);
        std::fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

impl CapacityArguments {
    fn options(&self) -> Result<CapacityOptions, String> {
        let programs = match &self.programs {
            Some(programs) => programs.clone(),
            None => {
                let own = std::env::current_exe().map_err(|error| format!("programs: {error}"))?;
                own.parent().unwrap_or_else(|| Path::new(".")).to_owned()
            }
        };
        for name in ["sekisho", "sekisho-engine"] {
            if !programs.join(name).is_file() {
                let programs = programs.display();
                return Err(format!("{programs}: no program {name} in it\ntry: --programs DIR"));
            }
        }
        if let Some(directory) = self.spamassassin.as_ref().filter(|path| !path.is_dir()) {
            return Err(format!("spamassassin {}: not a directory", directory.display()));
        }
        let allowed = capacity::allowed_cores();
        let half = allowed.len().div_ceil(2);
        let engine_cores = match &self.engine_cores {
            Some(text) => cores(text)?,
            None => allowed.iter().copied().take(half).collect(),
        };
        let generator_cores = match &self.generator_cores {
            Some(text) => cores(text)?,
            None => {
                let others: Vec<usize> =
                    allowed.iter().copied().filter(|core| !engine_cores.contains(core)).collect();
                // One core for both: figures of rates are worth nothing, those of CPU something.
                if others.is_empty() { allowed } else { others }
            }
        };
        let scratch = self.scratch.clone().unwrap_or_else(std::env::temp_dir);
        let mut depth = match (self.budget, self.quick) {
            (true, _) => Depth::budget(),
            (_, true) => Depth::quick(),
            _ => Depth::whole(),
        };
        depth.mails_max = self.mails_max.unwrap_or(depth.mails_max);
        depth.closed = self.seconds.map_or(depth.closed, Duration::from_secs);
        Ok(CapacityOptions {
            programs,
            scratch: scratch.join(format!("sekisho-capacity-{}", std::process::id())),
            engine_cores,
            generator_cores,
            spamassassin: self.spamassassin.clone(),
            depth,
            only: self.only.clone(),
            seed: self.seed,
            progress: !self.quiet,
        })
    }
}

/// `0`, `0,2`, `0-3`.
fn cores(text: &str) -> Result<Vec<usize>, String> {
    let wrong = || format!("cores {text}: not a list such as 0,2 or 0-3");
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| wrong())?;
        let last: usize = last.trim().parse().map_err(|_| wrong())?;
        if last < first || last - first >= 1024 {
            return Err(wrong());
        }
        cores.extend(first..=last);
    }
    Ok(cores)
}

#[cfg(test)]
mod tests {
    use super::cores;

    #[test]
    fn cores_are_numbers_and_ranges() {
        assert_eq!(cores("0").unwrap(), [0]);
        assert_eq!(cores("0,2-4").unwrap(), [0, 2, 3, 4]);
        for wrong in ["", "a", "3-1", "0-9999", "1,"] {
            assert!(cores(wrong).is_err(), "{wrong}");
        }
    }
}
