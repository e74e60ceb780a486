//! The commands: arguments into options, reports into words and JSON.

pub(crate) mod capacity;
pub(crate) mod conserve;
pub(crate) mod hostile;
pub(crate) mod load;
pub(crate) mod mails;
pub(crate) mod ramp;
pub(crate) mod send;
pub(crate) mod sink;
pub(crate) mod traffic;
