//! Names of what is stored.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::envelope::MailId;

/// One copy of one mail: recipients of a mail may get copies that differ (tags, stamps, headers), and each
/// copy is stored once. `copy` is the smallest index of its recipients in the transaction's
/// envelope, so copies of one mail never share an id. An id is used once and never again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CopyId {
    /// The mail.
    pub mail: MailId,
    /// Smallest recipient index of this copy.
    pub copy: u16,
}

impl CopyId {
    /// Octets in the on-disk form.
    pub(crate) const BYTES: usize = 18;

    /// An id of its parts.
    #[must_use]
    pub fn new(mail: MailId, copy: u16) -> Self {
        Self { mail, copy }
    }

    /// On-disk form: 16 octets of the UUID, the copy in little endian.
    pub(crate) fn to_octets(self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        let (mail, copy) = out.split_at_mut(16);
        mail.copy_from_slice(self.mail.0.as_bytes());
        copy.copy_from_slice(&self.copy.to_le_bytes());
        out
    }

    /// From the on-disk form.
    pub(crate) fn from_octets(octets: [u8; Self::BYTES]) -> Self {
        let mut mail = [0; 16];
        let (head, tail) = octets.split_at(16);
        mail.copy_from_slice(head);
        let copy = u16::from_le_bytes([
            tail.first().copied().unwrap_or(0),
            tail.last().copied().unwrap_or(0),
        ]);
        Self { mail: MailId(uuid::Uuid::from_bytes(mail)), copy }
    }
}

impl fmt::Display for CopyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.mail, self.copy)
    }
}

impl FromStr for CopyId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (mail, copy) = text
            .rsplit_once('-')
            .ok_or_else(|| format!("`{text}` is not of the form MAIL-COPY"))?;
        Ok(Self {
            mail: mail.parse().map_err(|error| format!("`{mail}`: {error}"))?,
            copy: copy.parse().map_err(|error| format!("`{copy}`: {error}"))?,
        })
    }
}
