//! Where the mails of a command come from.

use std::path::PathBuf;

use clap::Args;
use sekisho_loadgen::mix::Mix;

#[derive(Args)]
pub(crate) struct MailsArguments {
    /// Generated mail: sizes, classes, mean15, trap or real.
    #[arg(long, default_value = "sizes", conflicts_with_all = ["files", "mbox"])]
    mix: String,
    /// Draw from the mail files of a directory instead.
    #[arg(long, conflicts_with = "mbox")]
    files: Option<PathBuf>,
    /// Draw from the mails of an mbox file instead.
    #[arg(long)]
    mbox: Option<PathBuf>,
    /// Seed of everything drawn, envelope ids included: runs that share ledgers need their own.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

impl MailsArguments {
    /// The mails, drawn anew from the seed.
    pub(crate) fn mix(&self) -> Result<Mix, String> {
        match (&self.files, &self.mbox) {
            (Some(dir), _) => Mix::from_directory(dir)
                .map_err(|error| format!("files {}: {error}", dir.display())),
            (None, Some(file)) => {
                Mix::from_mbox(file).map_err(|error| format!("mbox {}: {error}", file.display()))
            }
            (None, None) => Mix::named(&self.mix, self.seed),
        }
    }

    /// What a report calls them.
    pub(crate) fn name(&self) -> String {
        match (&self.files, &self.mbox) {
            (Some(dir), _) => format!("files in {}", dir.display()),
            (None, Some(file)) => format!("mbox {}", file.display()),
            (None, None) => format!("mix {}", self.mix),
        }
    }
}
