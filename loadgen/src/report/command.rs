//! `sekisho-loadgen report`: saved runs as words, JSON or a page.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use super::file::Saved;
use super::{compare, file, hostile, html, words};

/// What is shown, and how. Without `--html` and `--json`: words.
#[derive(Args, Clone, Debug)]
pub struct ReportArguments {
    /// A saved run; a second one is measured by the first.
    #[arg(required = true, num_args = 1..=2)]
    files: Vec<PathBuf>,
    /// Write one self-contained page.
    #[arg(long, value_name = "OUT.html")]
    html: Option<PathBuf>,
    /// Words on stdout, besides the page.
    #[arg(long, conflicts_with = "json")]
    text: bool,
    /// JSON on stdout: the run; of two, each figure with its ratio.
    #[arg(long)]
    json: bool,
}

/// Reads the runs and writes what was asked for.
///
/// # Errors
/// One line that names the file and what is wrong: the operator named no report, or a place that
/// cannot be written.
pub fn run(arguments: &ReportArguments, out: &mut impl Write) -> Result<(), String> {
    let mut runs = Vec::new();
    for path in &arguments.files {
        runs.push(file::read(path).map_err(|error| chain(&error))?);
    }
    let written = |error: io::Error| format!("stdout: {error}");
    let (page, text, json) = match runs.as_slice() {
        [Saved::Run(one)] => (html::page(one), words::render(one), serde_json::to_string(one)),
        [Saved::Hostile(one)] => {
            (hostile::page(one), hostile::render(one), serde_json::to_string(one))
        }
        [Saved::Run(a), Saved::Run(b)] => {
            let rows = serde_json::to_string(&compare::rows(a, b));
            (html::page_of_two(a, b), compare::render(a, b), rows)
        }
        [_, _] => return Err("a run of `hostile` is shown alone".to_owned()),
        other => return Err(format!("{} files, expected one or two", other.len())),
    };
    if let Some(path) = &arguments.html {
        std::fs::write(path, page).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if arguments.json {
        let json = json.map_err(|error| error.to_string())?;
        writeln!(out, "{json}").map_err(written)?;
    } else if arguments.text || arguments.html.is_none() {
        out.write_all(text.as_bytes()).map_err(written)?;
    }
    Ok(())
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
