//! `[storage]`: how much disk each kind of file may take.

use super::walk::Section;

/// `[storage]`. Budgets in octets, for the whole box; 0 = as much as the disk has over the reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Waiting mail.
    pub spool_bytes_max: u64,
    /// Held mail.
    pub quarantine_bytes_max: u64,
    /// Mail log; the oldest goes first.
    pub maillog_bytes_max: u64,
    /// Days that the mail log is kept.
    pub maillog_days: u16,
    /// Never used up: below it new mail gets 452 before DATA.
    pub reserve_bytes: u64,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            spool_bytes_max: 0,
            quarantine_bytes_max: 0,
            maillog_bytes_max: 10 << 30,
            maillog_days: 90,
            reserve_bytes: 256 << 20,
        }
    }
}

impl Storage {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let mut storage = Self::default();
        let budget = 0..=(1 << 50);
        section.number("spool_bytes_max", budget.clone(), &mut storage.spool_bytes_max);
        section.number("quarantine_bytes_max", budget, &mut storage.quarantine_bytes_max);
        let log = (1 << 20)..=(1 << 50);
        section.number("maillog_bytes_max", log, &mut storage.maillog_bytes_max);
        section.number("maillog_days", 1..=3_650, &mut storage.maillog_days);
        section.number("reserve_bytes", (1 << 20)..=(1 << 44), &mut storage.reserve_bytes);
        let budgets = [
            ("spool_bytes_max", storage.spool_bytes_max),
            ("quarantine_bytes_max", storage.quarantine_bytes_max),
        ];
        for (key, bytes) in budgets {
            if bytes != 0 && bytes <= storage.reserve_bytes {
                let reserve = storage.reserve_bytes;
                let text = format!("{bytes} leaves nothing above reserve_bytes ({reserve})");
                section.wrong(key, section.place_of(key), text);
            }
        }
        storage
    }
}
