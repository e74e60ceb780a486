//! Where things are: one data directory, one configuration file with its sources beside it.

use std::path::{Path, PathBuf};

use crate::outcome::Failure;

/// The data directory where none is named.
const DEFAULT_DATA: &str = "var";

/// Paths of one installation.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The data directory (`--data`).
    pub(crate) data: PathBuf,
    /// The configuration file (`--config`).
    pub(crate) config: PathBuf,
}

impl Place {
    /// `config` is `etc/sekisho.toml` in the data directory unless named.
    pub(crate) fn new(data: &Path, config: Option<&Path>) -> Self {
        let config = config.map_or_else(|| default_config(data), Path::to_owned);
        Self { data: data.to_owned(), config }
    }

    /// Where the configuration lies: paths in it are relative to this.
    pub(crate) fn etc(&self) -> PathBuf {
        match self.config.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        }
    }

    /// The engine's control socket.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.run().join("control.sock")
    }

    /// Sockets, process ids, locks, what the engine says.
    pub(crate) fn run(&self) -> PathBuf {
        self.data.join("run")
    }

    /// Generations of tables.
    pub(crate) fn generations(&self) -> PathBuf {
        self.data.join("generations")
    }

    /// Mails that the demo's next hop received.
    pub(crate) fn demo_sink(&self) -> PathBuf {
        self.data.join("demo-sink")
    }

    /// What the engine says.
    pub(crate) fn engine_log(&self) -> PathBuf {
        self.run().join("engine.log")
    }

    /// The data directory of something that is only read: a mistyped `--data` must not look like an
    /// empty box, and must not be made by looking at it.
    pub(crate) fn must_exist(&self) -> Result<(), Failure> {
        if self.data.is_dir() {
            return Ok(());
        }
        Err(self.first_start(Failure::new(self.data.display(), "no such data directory")))
    }

    /// The same failure with the step that makes a data directory.
    pub(crate) fn first_start(&self, failure: Failure) -> Failure {
        failure.next(format_args!(
            "--data DIR names another one; sekisho{} run makes it",
            self.arguments()
        ))
    }

    /// Arguments that name this place to another command, with a space before each; empty for the
    /// default place.
    pub(crate) fn arguments(&self) -> String {
        let mut text = String::new();
        if self.data != Path::new(DEFAULT_DATA) {
            text.push_str(&format!(" --data {}", self.data.display()));
        }
        if self.config != default_config(&self.data) {
            text.push_str(&format!(" --config {}", self.config.display()));
        }
        text
    }
}

fn default_config(data: &Path) -> PathBuf {
    data.join("etc/sekisho.toml")
}
