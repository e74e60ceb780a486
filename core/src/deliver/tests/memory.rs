//! A store in memory that can be told to fail, and to forget what was not flushed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use crate::clock::UnixMillis;
use crate::content::{Content, Piece};
use crate::deliver::store::Store;
use crate::maillog::DeliveryRow;
use crate::spool::held::HeldMail;
use crate::spool::{CopyId, Deferral, Outcome, QueuedMail, RecipientState, SpoolError};

/// What the store shall fail at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::deliver) enum Broken {
    #[default]
    Nothing,
    Spool,
    SpoolFull,
    Quarantine,
    Log,
}

#[derive(Default)]
pub(in crate::deliver) struct Places {
    pub spool: RefCell<BTreeMap<CopyId, (QueuedMail, Content)>>,
    /// Outcomes that a power cut would lose.
    pub unflushed: RefCell<Vec<(CopyId, u16)>>,
    pub held: RefCell<Vec<HeldMail>>,
    pub rows: RefCell<Vec<DeliveryRow>>,
    pub durable_rows: RefCell<Vec<DeliveryRow>>,
    pub broken: Cell<Broken>,
    /// `put` says durable and is not: what the proof must catch.
    pub lies: Cell<bool>,
    pub unflushed_puts: RefCell<Vec<CopyId>>,
    /// Puts that still work before `broken` counts.
    pub puts_left: Cell<u32>,
}

#[derive(Clone, Default)]
pub(in crate::deliver) struct Memory(pub Rc<Places>);

impl Memory {
    fn fail(&self, broken: Broken) -> Result<(), SpoolError> {
        if self.0.broken.get() != broken {
            return Ok(());
        }
        Err(match broken {
            Broken::SpoolFull => {
                SpoolError::NoRoom { kind: "spool", bytes: 1, used: 1, limit: 1, reserve: 0 }
            }
            _ => SpoolError::Io {
                action: "fdatasync",
                path: "test".into(),
                kind: io::ErrorKind::Other,
                text: "broken".into(),
            },
        })
    }

    /// Mails in the spool with somebody waiting.
    pub(in crate::deliver) fn waiting(&self) -> Vec<QueuedMail> {
        let spool = self.0.spool.borrow();
        spool.values().map(|(mail, _)| mail.clone()).filter(|m| m.waiting().count() > 0).collect()
    }

    /// Reports that are or were in the spool, as text.
    pub(in crate::deliver) fn reports(&self) -> Vec<(QueuedMail, String)> {
        let spool = self.0.spool.borrow();
        spool
            .values()
            .filter(|(mail, _)| mail.client.is_none())
            .map(|(mail, content)| (mail.clone(), text(content)))
            .collect()
    }

    /// Takes back the outcomes that were not flushed.
    pub(in crate::deliver) fn power_cut(&self) {
        for id in self.0.unflushed_puts.borrow_mut().drain(..) {
            self.0.spool.borrow_mut().remove(&id);
        }
        for (id, index) in self.0.unflushed.borrow_mut().drain(..) {
            if let Some((mail, _)) = self.0.spool.borrow_mut().get_mut(&id) {
                let mut recipients = mail.recipients.iter_mut();
                recipients.find(|r| r.index == index).unwrap().state = RecipientState::Waiting;
            }
        }
    }
}

pub(in crate::deliver) fn text(content: &Content) -> String {
    let mut out = Vec::new();
    for piece in &content.pieces {
        let Piece::Memory(octets) = piece else { panic!("memory only") };
        out.extend_from_slice(octets);
    }
    String::from_utf8(out).unwrap()
}

impl Store for Memory {
    async fn put(
        &self,
        mail: &QueuedMail,
        content: &Content,
        _now: UnixMillis,
    ) -> Result<(), SpoolError> {
        if self.0.puts_left.get() == 0 {
            self.fail(Broken::Spool)?;
            self.fail(Broken::SpoolFull)?;
        } else {
            self.0.puts_left.set(self.0.puts_left.get() - 1);
        }
        let old = self.0.spool.borrow_mut().insert(mail.copy_id(), (mail.clone(), content.clone()));
        assert!(old.is_none(), "an id is used once");
        if self.0.lies.get() {
            self.0.unflushed_puts.borrow_mut().push(mail.copy_id());
        }
        Ok(())
    }

    async fn load(&self, id: CopyId) -> Result<(QueuedMail, Content), SpoolError> {
        let found = self.0.spool.borrow().get(&id).cloned();
        found.ok_or_else(|| SpoolError::NotFound { id, directory: "test".into() })
    }

    fn settle(
        &self,
        id: CopyId,
        recipient: u16,
        outcome: Outcome,
        at: UnixMillis,
    ) -> Result<(), SpoolError> {
        let mut spool = self.0.spool.borrow_mut();
        let (mail, _) = spool.get_mut(&id).unwrap();
        let mut recipients = mail.recipients.iter_mut();
        let found = recipients.find(|r| r.index == recipient).unwrap();
        assert_eq!(found.state, RecipientState::Waiting, "settled twice");
        found.state = RecipientState::Settled { outcome, at };
        self.0.unflushed.borrow_mut().push((id, recipient));
        Ok(())
    }

    fn defer(&self, id: CopyId, deferral: &Deferral, _now: UnixMillis) -> Result<(), SpoolError> {
        self.0.spool.borrow_mut().get_mut(&id).unwrap().0.deferral = deferral.clone();
        Ok(())
    }

    async fn hold(
        &self,
        held: &HeldMail,
        _content: &Content,
        _now: UnixMillis,
    ) -> Result<(), SpoolError> {
        self.fail(Broken::Quarantine)?;
        self.0.held.borrow_mut().push(held.clone());
        Ok(())
    }

    fn log(&self, row: DeliveryRow) {
        self.0.rows.borrow_mut().push(row);
    }

    async fn log_durable(&self, row: DeliveryRow) -> Result<(), SpoolError> {
        self.fail(Broken::Log)?;
        self.0.durable_rows.borrow_mut().push(row);
        Ok(())
    }
}
