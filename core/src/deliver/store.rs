//! What delivery keeps, and where: spool, quarantine, mail log. Two implementations: [`super::live::Kept`] (the
//! real ones, on whatever disk they are) and the one of the tests that can be told to fail.

use std::future::Future;

use crate::clock::UnixMillis;
use crate::content::Content;
use crate::maillog::{DeliveryRow, Row};
use crate::spool::held::HeldMail;
use crate::spool::{CopyId, Deferral, Outcome, QueuedMail, SpoolError};

/// The durable places of one shard. Cloning shares them.
pub trait Store: Clone + 'static {
    /// Spools a mail; `Ok` means durable.
    fn put(
        &self,
        mail: &QueuedMail,
        content: &Content,
        now: UnixMillis,
    ) -> impl Future<Output = Result<(), SpoolError>>;
    /// Reads a spooled mail.
    fn load(&self, id: CopyId) -> impl Future<Output = Result<(QueuedMail, Content), SpoolError>>;
    /// Ends one recipient's way. Need not be durable at once: losing it makes a duplicate.
    ///
    /// # Errors
    /// [`SpoolError::NotFound`].
    fn settle(
        &self,
        id: CopyId,
        recipient: u16,
        outcome: Outcome,
        now: UnixMillis,
    ) -> Result<(), SpoolError>;
    /// Notes a retry.
    ///
    /// # Errors
    /// [`SpoolError::NotFound`].
    fn defer(&self, id: CopyId, deferral: &Deferral, now: UnixMillis) -> Result<(), SpoolError>;
    /// Holds a mail in quarantine; `Ok` means durable.
    fn hold(
        &self,
        held: &HeldMail,
        content: &Content,
        now: UnixMillis,
    ) -> impl Future<Output = Result<(), SpoolError>>;
    /// Writes a row, some time.
    fn log(&self, row: DeliveryRow);
    /// Writes a row; `Ok` means durable.
    fn log_durable(&self, row: DeliveryRow) -> impl Future<Output = Result<(), SpoolError>>;
}

/// Rows are wrapped here so that nobody else needs to know there are other kinds.
#[must_use]
pub fn to_row(row: DeliveryRow) -> Row {
    Row::Delivery(Box::new(row))
}
