//! Searching the mail log.
