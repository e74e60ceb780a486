//! What stands below the help of each verb: examples, and what its exit codes mean where that is not
//! plain. A test parses every example.

/// Below `sekisho --help`.
pub(crate) const ALL: &str = "\
Exit codes: 0 done; 1 \"no\" (nothing found, refused, not clean, an alarm); 2 could not run.
Data goes to standard output, words to standard error. What deletes or overwrites only says what it
would do unless --yes.";

pub(crate) const RUN: &str = "\
Examples:
  sekisho run
  sekisho run --check-machine
  sekisho --data /srv/sekisho run --no-demo-sink
Ctrl-C stops it; a second Ctrl-C does not wait for open sessions.";

pub(crate) const CHECK: &str = "\
Examples:
  sekisho check mail.eml
  sekisho check mail.eml --to user@demo.test --from a@example.com --client 192.0.2.1
  sekisho check mail.eml --trusted-hop 10.0.0.0/8 --dns --lang ja
  sekisho check mails/ --trusted-hop 10.0.0.0/8
Exit codes: 0 it would be delivered (a directory: every file could be read); 1 it would not; 2 could \
not run.";

pub(crate) const KEY_NEW: &str = "\
Examples:
  sekisho key new --domain example.com --selector arc1
  sekisho key new --domain example.com --selector arc2 --algorithm ed25519 --file arc2.pem
A key that is there is never overwritten.";
pub(crate) const TRAIN_SPAM: &str = "\
Examples:
  sekisho train spam reported.eml
  sekisho train spam junk.mbox --domain demo.test
Exit codes: 0 all are trained; 1 some were refused, the others are trained.";

pub(crate) const TRAIN_HAM: &str = "\
Examples:
  sekisho train ham wanted/ --domain demo.test";

pub(crate) const TRAIN_UNDO: &str = "\
Examples:
  sekisho train undo 7
  sekisho train undo --last";

pub(crate) const TRAIN_LIST: &str = "\
Examples:
  sekisho train list
  sekisho train list --domain demo.test";

pub(crate) const TRAIN_STATUS: &str = "\
Examples:
  sekisho train status
A model speaks from 50 mails of each label on, and with its full voice from 200 on. A mail that is nearly
the same as a trained one is known from the first one on.";

pub(crate) const EVAL: &str = "\
Examples:
  sekisho eval mails/ --roc roc.svg
  sekisho eval --ham good/ --spam bad/ --to user@demo.test --fit
Nothing is changed, and nobody is asked: neither the engine nor DNS.";

pub(crate) const KEY_SHOW: &str = "\
Examples:
  sekisho key show --domain example.com --selector arc1
  sekisho key show --domain example.com --selector arc2 --file arc2.pem --json";

pub(crate) const TABLES_BUILD: &str = "\
Examples:
  sekisho tables build
  sekisho tables build --no-adopt --rules
Exit codes: 0 in force, or no engine runs; 1 the engine refused it; 2 mistakes in the sources, nothing \
was built.";

pub(crate) const TABLES_SHOW: &str = "\
Examples:
  sekisho tables show
  sekisho tables show 3 --rules";

pub(crate) const TABLES_VERIFY: &str = "\
Examples:
  sekisho tables verify
  sekisho tables verify 3
Exit codes: 0 every file is what it says; 1 one is not; 2 could not run.";

pub(crate) const LIST_ADD: &str = "\
Examples:
  sekisho list add block spammer@example.com
  sekisho list add allow *@*.example.org --owner domain:demo.test
  sekisho list add block 192.0.2.0/24
  sekisho list add block guest@demo.test --side recipient";

pub(crate) const LIST_REMOVE: &str = "\
Examples:
  sekisho list remove block spammer@example.com
  sekisho list remove allow *@*.example.org --owner domain:demo.test";

pub(crate) const LIST_SHOW: &str = "\
Examples:
  sekisho list show
  sekisho list show spammer@example.com --recipient user@demo.test
  sekisho list show 192.0.2.7";

pub(crate) const BYPASS_ADD: &str = "\
Examples:
  sekisho bypass add --domain demo.test --rule spam.action --until 2h --why test
  sekisho bypass add --domain demo.test --until 2026-12-01T18:00 --why migration";

pub(crate) const BYPASS_REMOVE: &str = "\
Examples:
  sekisho bypass remove 3";

pub(crate) const BYPASS_LIST: &str = "\
Examples:
  sekisho bypass list
  sekisho bypass list --all";

pub(crate) const RULES: &str = "\
Examples:
  sekisho rules demo.test
  sekisho rules demo.test --json";

pub(crate) const RECIPIENT_ADD: &str = "\
Examples:
  sekisho recipient add user@demo.test
  sekisho recipient add sales@demo.test --alias-of user@demo.test";

pub(crate) const RECIPIENT_REMOVE: &str = "\
Examples:
  sekisho recipient remove sales@demo.test";

pub(crate) const RECIPIENT_SHOW: &str = "\
Examples:
  sekisho recipient show
  sekisho recipient show sales@demo.test
Exit codes: 0 listed; 1 not listed (with call-outs the next hop is asked instead) or no domain of ours; \
2 could not run.";

pub(crate) const CONFIG_CHECK: &str = "\
Examples:
  sekisho config check
  sekisho config check new/sekisho.toml
Exit codes: 0 no mistakes; 1 mistakes, each with file, line and column; 2 could not run.";

pub(crate) const CONFIG_RELOAD: &str = "\
Examples:
  sekisho config reload";

pub(crate) const CONFIG_DEFAULT: &str = "\
Examples:
  sekisho config default";

pub(crate) const QUARANTINE_LIST: &str = "\
Examples:
  sekisho quarantine list
  sekisho quarantine list --class Virus --since 2d
  sekisho quarantine list --to user@demo.test --subject invoice";

pub(crate) const QUARANTINE_SHOW: &str = "\
Examples:
  sekisho quarantine show 0-01a217c319cc7f22894f5b1fb6b54ac5-0";

pub(crate) const QUARANTINE_RELEASE: &str = "\
Examples:
  sekisho quarantine release 0-01a217c319cc7f22894f5b1fb6b54ac5-0
  sekisho quarantine release 0-01a217c319cc7f22894f5b1fb6b54ac5-0 --yes";

pub(crate) const QUARANTINE_ALLOW: &str = "\
Examples:
  sekisho quarantine allow 0-01a217c319cc7f22894f5b1fb6b54ac5-0";

pub(crate) const QUARANTINE_DELETE: &str = "\
Examples:
  sekisho quarantine delete 0-01a217c319cc7f22894f5b1fb6b54ac5-0
  sekisho quarantine delete 0-01a217c319cc7f22894f5b1fb6b54ac5-0 --yes";

pub(crate) const QUARANTINE_EXPORT: &str = "\
Examples:
  sekisho quarantine export 0-01a217c319cc7f22894f5b1fb6b54ac5-0 --out held.eml
It may be dangerous: that is why it was held.";

pub(crate) const LOG_SEARCH: &str = "\
Examples:
  sekisho log search to=user@demo.test --since 1d
  sekisho log search subject~invoice status=held
  sekisho log search mail=01a217c319cc7f22894f5b1fb6b54ac5
  sekisho log search any~192.0.2.7 --since 2026-01-31 --until 2026-02-01
Case does not matter. The id after 250, of `queue list` and of a held item are all taken by mail=.";

pub(crate) const LOG_STORY: &str = "\
Examples:
  sekisho log story 01a217c319cc7f22894f5b1fb6b54ac5
  sekisho log story 1-01a217c319cc7f22894f5b1fb6b54ac5-0 --lang ja
Exit codes: 0 told; 1 no row of that mail; 2 could not run.";

pub(crate) const QUEUE_LIST: &str = "\
Examples:
  sekisho queue list
  sekisho queue list --domain demo.test --rows-max 20";

pub(crate) const QUEUE_WHY: &str = "\
Examples:
  sekisho queue why
  sekisho queue why demo.test";

pub(crate) const QUEUE_HOLD: &str = "\
Examples:
  sekisho queue hold demo.test";

pub(crate) const QUEUE_UNHOLD: &str = "\
Examples:
  sekisho queue unhold demo.test";

pub(crate) const QUEUE_FLUSH: &str = "\
Examples:
  sekisho queue flush
  sekisho queue flush demo.test";

pub(crate) const QUEUE_RETRY: &str = "\
Examples:
  sekisho queue retry 01a217c31a217366b067327ba499b9fa";

pub(crate) const QUEUE_REMOVE: &str = "\
Examples:
  sekisho queue remove 01a217c31a217366b067327ba499b9fa
  sekisho queue remove 01a217c31a217366b067327ba499b9fa --yes";

pub(crate) const STATUS: &str = "\
Examples:
  sekisho status
  sekisho status --json
Exit codes: 0 no alarm; 1 alarms, each on a line of its own; 2 no engine answers.";

pub(crate) const SEND: &str = "\
Examples:
  sekisho send
  sekisho send --sample eicar
  sekisho send --to user@demo.test --file mail.eml --server 127.0.0.1:2525
Exit codes: 0 answered 250; 1 answered 4yz or 5yz; 2 could not run.";

pub(crate) const BACKUP: &str = "\
Examples:
  sekisho backup sekisho.tar.zst
  sekisho backup sekisho.tar.zst --yes
It holds configuration, sources of tables, single changes and private keys, and no mail.";

pub(crate) const RESTORE: &str = "\
Examples:
  sekisho restore sekisho.tar.zst
  sekisho --data /srv/sekisho restore sekisho.tar.zst --yes
Then: sekisho tables build";
