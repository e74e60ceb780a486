//! Held mails for the command line.
