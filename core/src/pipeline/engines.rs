//! Scan engines of others: they look at a message while our own scan does, and what they found stands beside ours.

use super::message::Message;
use super::{Pipeline, Transaction};
use crate::content::Content;
use crate::engines::{self, Engines, Pending, Report};
use crate::maillog::{ENGINES_MAX, EngineSaid};
use crate::message::View;
use crate::reply::{Enhanced, Reply};
use crate::scan::finding::Finding;
use crate::scan::{Examination, STAND_IN, Scanned};
use crate::shard::counters::Counter;

impl Pipeline {
    /// Our own scan and all engines at the same time.
    ///
    /// # Errors
    /// 451: our own fault, or an engine with `on_error = "temporary"` gave no answer.
    pub(super) async fn look(
        &self,
        transaction: &Transaction,
        content: &Content,
        view: Option<&View<'_>>,
    ) -> Result<Examination, Reply> {
        let engines = self.rooms().shared.engines.load_full();
        // One recipient whose domain wants them is enough: it is one mail.
        let mut recipients = transaction.recipients.iter();
        let asks = !engines.is_empty() && recipients.any(|one| one.settings().actions.engines);
        let pending = if asks { engines.begin(content) } else { Pending::default() };
        let mut examination = self.examine(transaction, content, view).await?;
        let reports = pending.answer().await;
        self.add(&mut examination, &reports)?;
        let is_bad = examination.engine_findings.iter().any(|found| found.kind.is_virus());
        if is_bad && !examination.cuts.is_empty() {
            self.keep_cuts_if_clean(&mut examination, content, &engines).await;
        }
        Ok(examination)
    }

    fn add(&self, examination: &mut Examination, reports: &[Report]) -> Result<(), Reply> {
        examination.scanned = reports.iter().map(Report::told).collect();
        examination.engine_findings = engines::findings(reports).map_err(|why| {
            tracing::warn!(%why, "a message could not be looked at by a scanner now");
            self.rooms().count(Counter::ScansFailed);
            Reply::new(451, Enhanced(4, 3, 2), "Message cannot be scanned now, try again later")
        })?;
        Ok(())
    }

    /// An engine says that a mail has malware, not where. If the parts that our own scan would take out were all of it,
    /// the rest is clean for the engine, too; if not, or if it does not say so, the mail cannot be cleaned.
    async fn keep_cuts_if_clean(
        &self,
        examination: &mut Examination,
        content: &Content,
        engines: &Engines,
    ) {
        let ranges: Vec<(u64, u64)> =
            examination.cuts.iter().map(|cut| (cut.start, cut.end)).collect();
        let rest = content.with_stand_ins(&ranges, STAND_IN);
        let reports = engines.begin(&rest).answer().await;
        let found = engines::findings(&reports);
        let clean = found.is_ok_and(|found| !found.iter().any(|one| one.kind.is_virus()));
        if !clean {
            examination.cuts.clear();
        }
    }
}

impl Message {
    /// What engines found, for a domain that wants them.
    pub(super) fn engine_findings(&self, wanted: bool) -> &[Finding] {
        if wanted { &self.examination.engine_findings } else { &[] }
    }
}

/// What each of them said, for the log.
pub(super) fn said(message: &Message) -> Vec<EngineSaid> {
    let said = |one: &Scanned| EngineSaid {
        name: one.name.to_string(),
        said: super::hold::clip(&one.said, SAID_BYTES_MAX).to_owned(),
        micros: one.micros,
    };
    message.examination.scanned.iter().take(ENGINES_MAX).map(said).collect()
}

/// Octets of what one of them said, in a row.
const SAID_BYTES_MAX: usize = 200;
