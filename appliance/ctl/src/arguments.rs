//! The command line as clap reads it: `noun verb`, long flags. Turned into typed requests by the
//! command's own file.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::bypass::BypassCommand;
use crate::examples;
use crate::rules::RulesArguments;
use crate::story::Lang;

/// Of this program, and the commit that it is built from.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("SEKISHO_COMMIT"), ")");

/// Sekisho, the mail gateway: its operator's command line.
#[derive(Debug, Parser)]
#[command(name = "sekisho", version = VERSION, disable_help_subcommand = true, arg_required_else_help = true)]
#[command(after_help = examples::ALL)]
pub(crate) struct Arguments {
    /// Data directory: generations, spool, quarantine, log, control socket.
    #[arg(long, global = true, default_value = "var")]
    pub(crate) data: PathBuf,
    /// Configuration file [default: etc/sekisho.toml in the data directory].
    #[arg(long, global = true)]
    pub(crate) config: Option<PathBuf>,
    /// JSON on stdout instead of tables: one object, or one object a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Nouns.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway: engine, analysis, tables, and the demo's next hop.
    #[command(after_help = examples::RUN)]
    Run(RunArguments),
    /// Judge mail files without sending them.
    #[command(after_help = examples::CHECK)]
    Check(CheckArguments),
    /// Measure the judgement by labelled folders of mails.
    #[command(after_help = examples::EVAL)]
    Eval(EvalArguments),
    /// Teach the classifier what is spam and what is not.
    #[command(subcommand)]
    Train(TrainCommand),
    /// Tables of the engine.
    #[command(subcommand)]
    Tables(TablesCommand),
    /// Allow and block entries, one at a time.
    #[command(subcommand)]
    List(ListCommand),
    /// Rules without effect for a while.
    #[command(subcommand)]
    Bypass(BypassCommand),
    /// The rules of a domain.
    #[command(after_help = examples::RULES)]
    Rules(RulesArguments),
    /// Known recipients and aliases, one at a time.
    #[command(subcommand)]
    Recipient(RecipientCommand),
    /// The configuration file.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Held mail.
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// The mail log.
    #[command(subcommand)]
    Log(LogCommand),
    /// Mail that waits for its next hop.
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Keys that the gateway signs with.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Counters, shards, generation, alarms.
    #[command(after_help = examples::STATUS)]
    Status,
    /// Send a test mail.
    #[command(after_help = examples::SEND)]
    Send(SendArguments),
    /// Save settings, sources of tables and secrets into one file.
    #[command(after_help = examples::BACKUP)]
    Backup {
        /// The file to write (`.tar.zst`).
        file: PathBuf,
        /// Overwrite a file that is there.
        #[arg(long)]
        yes: bool,
    },
    /// Bring back what `backup` saved.
    #[command(after_help = examples::RESTORE)]
    Restore {
        /// The file to read.
        file: PathBuf,
        /// Do it; without this it only says what it would do.
        #[arg(long)]
        yes: bool,
    },
    /// The demo's next hop; `run` starts it.
    #[command(hide = true)]
    DemoSink {
        /// Where it listens.
        #[arg(long)]
        listen: SocketAddr,
        /// Where it stores mails.
        #[arg(long)]
        store: PathBuf,
    },
}

/// `key`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key and print its DNS record.
    #[command(after_help = examples::KEY_NEW)]
    New {
        /// Kind of key; many receivers verify RSA only.
        #[arg(long, value_enum, default_value = "rsa")]
        algorithm: KeyAlgorithm,
        #[command(flatten)]
        key: KeyArguments,
    },
    /// Print the DNS record of a key that is there.
    #[command(after_help = examples::KEY_SHOW)]
    Show(KeyArguments),
}

/// Kinds of keys.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum KeyAlgorithm {
    /// RSA with 2,048 bits.
    Rsa,
    /// Ed25519 (RFC 8463).
    Ed25519,
}

/// Which key.
#[derive(Debug, Args)]
pub(crate) struct KeyArguments {
    /// Domain that signs (d=).
    #[arg(long)]
    pub(crate) domain: String,
    /// Selector (s=).
    #[arg(long)]
    pub(crate) selector: String,
    /// Name of its file in secrets/ of the data directory.
    #[arg(long, default_value = "arc.pem")]
    pub(crate) file: String,
}

/// `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Do not start the bundled next hop of the demo domain.
    #[arg(long)]
    pub(crate) no_demo_sink: bool,
    /// Only check the machine.
    #[arg(long)]
    pub(crate) check_machine: bool,
    /// The engine's program [default: sekisho-engine beside this one].
    #[arg(long)]
    pub(crate) engine: Option<PathBuf>,
}

/// An address or a prefix.
fn network(text: &str) -> Result<ipnet::IpNet, String> {
    let address = text.parse::<IpAddr>().map(ipnet::IpNet::from);
    address.or_else(|_| text.parse()).map_err(|_| "neither an IP address nor a prefix".to_owned())
}

/// `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// A mail file, or a directory of them.
    pub(crate) path: PathBuf,
    /// Address of the client that brought it.
    #[arg(long)]
    pub(crate) client: Option<IpAddr>,
    /// What it said in HELO.
    #[arg(long)]
    pub(crate) helo: Option<String>,
    /// Reverse-path; empty for the null one.
    #[arg(long)]
    pub(crate) from: Option<String>,
    /// Recipient; decides which domain's settings judge [default: gateway settings].
    #[arg(long)]
    pub(crate) to: Option<String>,
    /// Take client, HELO and reverse-path from the trace fields that hosts of this address or prefix
    /// wrote.
    #[arg(long, value_parser = network)]
    pub(crate) trusted_hop: Vec<ipnet::IpNet>,
    /// Ask the DNS about the sender, and DNS lists [default: only a zone file of the configuration].
    #[arg(long)]
    pub(crate) dns: bool,
    /// Answer look-ups about the sender from this zone file.
    #[arg(long)]
    pub(crate) zone: Option<PathBuf>,
    /// Language of the story.
    #[arg(long, value_enum, default_value = "en")]
    pub(crate) lang: Lang,
}

/// `train spam|ham`.
#[derive(Debug, Args)]
pub(crate) struct TrainArguments {
    /// Files (.eml, .mbox), or directories of them.
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// For this domain alone [default: the whole gateway].
    #[arg(long)]
    pub(crate) domain: Option<String>,
}

/// `train`.
#[derive(Debug, Subcommand)]
pub(crate) enum TrainCommand {
    /// These mails are spam.
    #[command(after_help = examples::TRAIN_SPAM)]
    Spam(TrainArguments),
    /// These mails are not spam.
    #[command(after_help = examples::TRAIN_HAM)]
    Ham(TrainArguments),
    /// Take a batch back, as if it had never been.
    #[command(after_help = examples::TRAIN_UNDO)]
    Undo {
        /// Its number, as `train list` shows it.
        batch: Option<u64>,
        /// The newest that was not taken back.
        #[arg(long, conflicts_with = "batch")]
        last: bool,
    },
    /// Batches, the newest first.
    #[command(after_help = examples::TRAIN_LIST)]
    List {
        /// Only of this domain.
        #[arg(long)]
        domain: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 1000)]
        rows_max: usize,
    },
    /// How many samples there are, and how much of the say they give.
    #[command(after_help = examples::TRAIN_STATUS)]
    Status,
    /// Make the model that is shipped with the program.
    #[command(hide = true)]
    Base {
        /// The file to write.
        #[arg(long)]
        out: PathBuf,
        /// A folder of mails that are not spam.
        #[arg(long)]
        ham: Vec<PathBuf>,
        /// A folder of spam.
        #[arg(long)]
        spam: Vec<PathBuf>,
    },
}

/// `eval`.
#[derive(Debug, Args)]
pub(crate) struct EvalArguments {
    /// Folders called ham..., spam... or phish..., or folders that hold such.
    pub(crate) dirs: Vec<PathBuf>,
    /// A folder of mails that are not spam.
    #[arg(long)]
    pub(crate) ham: Vec<PathBuf>,
    /// A folder of spam.
    #[arg(long)]
    pub(crate) spam: Vec<PathBuf>,
    /// Parts that the mails are divided into.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(2..=50))]
    pub(crate) folds: u8,
    /// Recipient; decides which domain's settings judge [default: gateway settings].
    #[arg(long)]
    pub(crate) to: Option<String>,
    /// Fit points of rules to the labels and print them.
    #[arg(long)]
    pub(crate) fit: bool,
    /// Write the curve of caught spam over held ham as SVG.
    #[arg(long)]
    pub(crate) roc: Option<PathBuf>,
    /// Ask the DNS about the senders; without it and `--zone` nothing is known of them.
    #[arg(long)]
    pub(crate) dns: bool,
    /// Answer look-ups about the senders from this zone file.
    #[arg(long)]
    pub(crate) zone: Option<PathBuf>,
    /// Write fold, label, points and class of each mail, separated by tabs.
    #[arg(long)]
    pub(crate) scores: Option<PathBuf>,
    /// Take client, HELO and reverse-path from the trace fields that hosts of this address or prefix
    /// wrote.
    #[arg(long, value_parser = network)]
    pub(crate) trusted_hop: Vec<ipnet::IpNet>,
}

impl EvalArguments {
    /// How each mail is examined.
    pub(crate) fn as_check(&self) -> CheckArguments {
        CheckArguments {
            path: PathBuf::new(),
            client: None,
            helo: None,
            from: None,
            to: self.to.clone(),
            trusted_hop: self.trusted_hop.clone(),
            dns: self.dns,
            zone: self.zone.clone(),
            lang: Lang::default(),
        }
    }
}

/// `tables`.
#[derive(Debug, Subcommand)]
pub(crate) enum TablesCommand {
    /// Compile the sources into a new generation, and have the engine take it over.
    #[command(after_help = examples::TABLES_BUILD)]
    Build {
        /// Only build; the engine is not told.
        #[arg(long)]
        no_adopt: bool,
        /// Name every rule in the report, not only those that were refused.
        #[arg(long)]
        rules: bool,
    },
    /// What a generation holds.
    #[command(after_help = examples::TABLES_SHOW)]
    Show {
        /// Its number [default: the newest].
        generation: Option<u64>,
        /// Name every rule.
        #[arg(long)]
        rules: bool,
    },
    /// Verify every file of a generation as the engine would.
    #[command(after_help = examples::TABLES_VERIFY)]
    Verify {
        /// Its number [default: the newest].
        generation: Option<u64>,
    },
}

/// Allow or block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PolarityWord {
    /// Allow.
    Allow,
    /// Block.
    Block,
}

/// Sender or recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SideWord {
    /// Sender.
    Sender,
    /// Recipient.
    Recipient,
}

/// Envelope, header, both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MatchOnWord {
    /// The reverse-path.
    Envelope,
    /// The From: header field.
    Header,
    /// Either.
    Both,
}

/// One list entry.
#[derive(Debug, Args)]
pub(crate) struct EntryArguments {
    /// allow or block.
    pub(crate) polarity: PolarityWord,
    /// user@d, d, *@d, *@*.d, address or prefix.
    pub(crate) pattern: String,
    /// gateway, tenant:NAME, domain:NAME or account:ADDRESS.
    #[arg(long, default_value = "gateway")]
    pub(crate) owner: String,
    /// Whom the pattern is about.
    #[arg(long, value_enum, default_value = "sender")]
    pub(crate) side: SideWord,
    /// What a sender's address is compared with [default: as the recipient's domain says].
    #[arg(long, value_enum)]
    pub(crate) match_on: Option<MatchOnWord>,
    /// An account's entry works at once, whatever `lists.delay_seconds` of its domain says.
    #[arg(long)]
    pub(crate) at_once: bool,
}

/// `list`.
#[derive(Debug, Subcommand)]
pub(crate) enum ListCommand {
    /// Add an entry; in force within a second.
    #[command(after_help = examples::LIST_ADD)]
    Add(EntryArguments),
    /// Remove an entry.
    #[command(after_help = examples::LIST_REMOVE)]
    Remove(EntryArguments),
    /// What the lists say of a sender and a recipient; every entry if neither is named.
    #[command(after_help = examples::LIST_SHOW)]
    Show {
        /// Sender address, or client address.
        sender: Option<String>,
        /// Recipient address.
        #[arg(long)]
        recipient: Option<String>,
    },
}

/// `recipient`.
#[derive(Debug, Subcommand)]
pub(crate) enum RecipientCommand {
    /// Add a mailbox, or an alias with --alias-of; in force within a second.
    #[command(after_help = examples::RECIPIENT_ADD)]
    Add {
        /// The address.
        address: String,
        /// The mailbox it stands for.
        #[arg(long)]
        alias_of: Option<String>,
    },
    /// Remove a mailbox or alias.
    #[command(after_help = examples::RECIPIENT_REMOVE)]
    Remove {
        /// The address.
        address: String,
    },
    /// Who an address is for, and whether it is known.
    #[command(after_help = examples::RECIPIENT_SHOW)]
    Show {
        /// The address; every known one if absent.
        address: Option<String>,
    },
}

/// `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say everything that is wrong with a file.
    #[command(after_help = examples::CONFIG_CHECK)]
    Check {
        /// The file [default: --config].
        file: Option<PathBuf>,
    },
    /// Have the engine read configuration and certificates again.
    #[command(after_help = examples::CONFIG_RELOAD)]
    Reload,
    /// The commented default configuration.
    #[command(after_help = examples::CONFIG_DEFAULT)]
    Default,
}

/// What of the quarantine.
#[derive(Debug, Args)]
pub(crate) struct HeldFilter {
    /// Recipient contains this.
    #[arg(long)]
    pub(crate) to: Option<String>,
    /// Reverse-path or author contains this.
    #[arg(long)]
    pub(crate) from: Option<String>,
    /// Subject contains this.
    #[arg(long)]
    pub(crate) subject: Option<String>,
    /// Main class is this.
    #[arg(long)]
    pub(crate) class: Option<String>,
    /// Reason is this.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Held since: 2026-01-31, 2026-01-31T10:00, or an age such as 2h or 3d.
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// Held before.
    #[arg(long)]
    pub(crate) until: Option<String>,
    /// Released items too; of deleted ones only the log knows.
    #[arg(long)]
    pub(crate) all: bool,
}

impl HeldFilter {
    /// Whether it leaves out anything that is held.
    pub(crate) fn chooses(&self) -> bool {
        let Self { to, from, subject, class, reason, since, until, all: _ } = self;
        [to, from, subject, class, reason, since, until].into_iter().any(Option::is_some)
    }
}

/// `quarantine`.
#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// Held mail, the newest first.
    #[command(after_help = examples::QUARANTINE_LIST)]
    List {
        #[command(flatten)]
        filter: HeldFilter,
        /// At most so many.
        #[arg(long, default_value_t = 1000)]
        rows_max: usize,
    },
    /// Everything known of one item.
    #[command(after_help = examples::QUARANTINE_SHOW)]
    Show {
        /// Its id.
        item: String,
    },
    /// Deliver items.
    #[command(after_help = examples::QUARANTINE_RELEASE)]
    Release {
        /// Their ids.
        #[arg(required = true)]
        items: Vec<String>,
        /// Tell the classifier of the recipient's domain that they are not spam.
        #[arg(long)]
        train: bool,
        /// Do it; without this it only says what it would do.
        #[arg(long)]
        yes: bool,
    },
    /// Put the senders of items on the allow lists of their recipients, as far as the domain lets them (Always Allow). Releases nothing.
    #[command(after_help = examples::QUARANTINE_ALLOW)]
    Allow {
        /// Their ids.
        #[arg(required = true)]
        items: Vec<String>,
    },
    /// Delete items; their octets leave the disk within 24 hours.
    #[command(after_help = examples::QUARANTINE_DELETE)]
    Delete {
        /// Their ids.
        #[arg(required = true)]
        items: Vec<String>,
        /// Do it; without this it only says what it would do.
        #[arg(long)]
        yes: bool,
    },
    /// Write an item as an .eml file.
    #[command(after_help = examples::QUARANTINE_EXPORT)]
    Export {
        /// Its id.
        item: String,
        /// The file; standard output if absent.
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

/// `log`.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Rows that match all conditions, the newest first.
    #[command(after_help = examples::LOG_SEARCH)]
    Search {
        /// FIELD=TEXT (equal) or FIELD~TEXT (contains); any field of the row, see --fields.
        conditions: Vec<String>,
        /// From: 2026-01-31, 2026-01-31T10:00, or an age such as 2h or 3d.
        #[arg(long)]
        since: Option<String>,
        /// Before.
        #[arg(long)]
        until: Option<String>,
        /// Only rows of this kind.
        #[arg(long, value_enum)]
        kind: Option<RowKind>,
        /// At most so many rows.
        #[arg(long, default_value_t = 10_000)]
        rows_max: usize,
        /// Say which fields there are.
        #[arg(long)]
        fields: bool,
    },
    /// Why a mail was judged as it was, for each of its recipients, to be read aloud.
    #[command(after_help = examples::LOG_STORY)]
    Story {
        /// The id of the mail: after 250, of `queue list`, or of a held item.
        mail: String,
        /// Language.
        #[arg(long, value_enum, default_value = "en")]
        lang: Lang,
    },
}

/// Kinds of log rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowKind {
    /// One for each recipient and outcome.
    Delivery,
    /// One for each filter that fired.
    Event,
}

/// `queue`.
#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// Mails that wait.
    #[command(after_help = examples::QUEUE_LIST)]
    List {
        /// Only for this recipient domain.
        #[arg(long)]
        domain: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 1000)]
        rows_max: usize,
    },
    /// Why mails wait, one row for each recipient domain.
    #[command(after_help = examples::QUEUE_WHY)]
    Why {
        /// Only this recipient domain.
        domain: Option<String>,
    },
    /// Stop delivering to a domain.
    #[command(after_help = examples::QUEUE_HOLD)]
    Hold {
        /// Recipient domain.
        domain: String,
    },
    /// Deliver to a held domain again.
    #[command(after_help = examples::QUEUE_UNHOLD)]
    Unhold {
        /// Recipient domain.
        domain: String,
    },
    /// Try everything for a domain now.
    #[command(after_help = examples::QUEUE_FLUSH)]
    Flush {
        /// Recipient domain; all if absent.
        domain: Option<String>,
    },
    /// Try one mail now.
    #[command(after_help = examples::QUEUE_RETRY)]
    Retry {
        /// Its id as `queue list` shows it.
        mail: String,
    },
    /// Remove one mail without a report to its sender.
    #[command(after_help = examples::QUEUE_REMOVE)]
    Remove {
        /// Its id as `queue list` shows it.
        mail: String,
        /// Do it; without this it only says what it would do.
        #[arg(long)]
        yes: bool,
    },
}

/// Test mails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sample {
    /// A harmless mail.
    #[default]
    Clean,
    /// The EICAR test file as an attachment: every scanner calls it a virus.
    Eicar,
    /// The GTUBE test line: every spam filter calls it spam.
    Gtube,
}

/// `send`.
#[derive(Debug, Args)]
pub(crate) struct SendArguments {
    /// Server [default: the first listener of the running engine].
    #[arg(long)]
    pub(crate) server: Option<String>,
    /// Reverse-path and author.
    #[arg(long, default_value = "sender@partner.test")]
    pub(crate) from: String,
    /// Recipient; may be given more than once.
    #[arg(long, default_value = "user@demo.test")]
    pub(crate) to: Vec<String>,
    /// Subject of a sample.
    #[arg(long)]
    pub(crate) subject: Option<String>,
    /// Which test mail.
    #[arg(long, value_enum, default_value = "clean")]
    pub(crate) sample: Sample,
    /// Send this file instead of a sample.
    #[arg(long, conflicts_with_all = ["sample", "subject"])]
    pub(crate) file: Option<PathBuf>,
}
