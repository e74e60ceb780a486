//! The octets of a copy: rewritten, and sealed where we changed what others had signed.

use std::sync::Arc;
use std::time::Duration;

use super::Pipeline;
use super::clean;
use super::message::{Judged, Message};
use crate::authn::{PendingSeal, Sealing, Unsealed};
use crate::config::Sealed;
use crate::content::{Content, Piece};
use crate::envelope::Mailbox;
use crate::policy::ListDecision;
use crate::rewrite::{self, Rewriting, Rewritten, Scanned, Sealer};
use crate::shard::counters::Counter;

/// How long a mail waits for its seal, and for each octet of a large one: a disk that is slow hashes this much a second.
const SEAL_WAIT: Duration = Duration::from_secs(5);
const SEAL_BYTES_A_SECOND: u64 = 64 * 1024 * 1024;

impl Pipeline {
    /// The octets of one group's copy.
    pub(super) fn rewritten(
        &self,
        message: &Message,
        judged: &[Judged],
        group: &[u16],
        content: &Content,
    ) -> Rewritten {
        let unchanged = || Rewritten { content: content.clone(), changed: false };
        let first = group.first().map_or(0, |first| usize::from(*first));
        let all = judged.get(first).zip(message.transaction.recipients.get(first));
        let Some((one, accepted)) = all else { return unchanged() };
        let recipients: Vec<&Mailbox> = group
            .iter()
            .filter_map(|index| message.transaction.recipients.get(usize::from(*index)))
            .map(|accepted| &accepted.recipient.original)
            .collect();
        let shared = &self.rooms().shared;
        let cuts = clean::cuts(&message.examination, &one.decision);
        let job = Rewriting {
            decision: &one.decision,
            verdict: &one.verdict,
            client: &message.client,
            host_name: &shared.config.load().engine.host_name,
            mail: message.transaction.mail,
            received_at: message.transaction.begun.unix,
            recipients: &recipients,
            smtputf8: message.received.envelope.smtputf8,
            scanned: match one.verdict.list {
                ListDecision::Bypass => Scanned::No,
                _ => Scanned::Yes,
            },
            removed: &clean::removed(&cuts, &one.decision),
            language: accepted.settings().notice.language,
            sealer: match shared.sealer.load().is_some() {
                true => Sealer::There,
                false => Sealer::None,
            },
            authentication: &message.authentication,
        };
        rewrite::apply(content, &message.head.front, &job)
    }

    /// The same with our seal before it, where that is wanted and can be done in time.
    pub(super) async fn sealed(&self, message: &Message, rewritten: Rewritten) -> Content {
        let seal = self.begin_seal(message, &rewritten);
        self.with_seal(message, rewritten.content, seal).await
    }

    /// Asks a side thread for a seal: hashing and signing are not work for a shard.
    pub(super) fn begin_seal(
        &self,
        message: &Message,
        rewritten: &Rewritten,
    ) -> Option<PendingSeal> {
        let shared = &self.rooms().shared;
        let sealer = shared.sealer.load_full()?;
        let config = shared.config.load();
        let wanted = match config.authentication.arc_seal.as_ref()?.what {
            Sealed::Changed => rewritten.changed,
            Sealed::All => true,
        };
        let sealing = || Sealing {
            results: rewrite::results(
                &config.engine.host_name,
                &message.authentication,
                &message.client,
            ),
            chain: match message.authentication.left_out {
                // Nobody looked at it: a chain that is there neither holds nor fails.
                true => crate::authn::AuthResult::TempError,
                false => message.authentication.arc.result,
            },
            now: message.at.unix.as_secs(),
        };
        let content = || rewritten.content.clone();
        wanted.then(|| shared.authenticators.seal(sealer, content(), sealing()))
    }

    /// Waits for the seal and puts it before the content. Without one in time the mail goes on all the same.
    pub(super) async fn with_seal(
        &self,
        message: &Message,
        mut content: Content,
        seal: Option<PendingSeal>,
    ) -> Content {
        let Some(seal) = seal else { return content };
        let wait = SEAL_WAIT + Duration::from_secs(content.bytes() / SEAL_BYTES_A_SECOND);
        let late = async {
            glommio::timer::sleep(wait).await;
            Err(Unsealed::Late)
        };
        match futures_lite::future::or(seal.answer(), late).await {
            Ok(fields) => {
                self.rooms().count(Counter::Sealed);
                content.pieces.insert(0, Piece::Memory(Arc::from(fields)));
            }
            Err(why) => {
                self.rooms().count(Counter::Unsealed);
                tracing::debug!(mail = %message.transaction.mail, %why, "a mail goes without a seal");
            }
        }
        content
    }
}
