//! The commented configuration that is written at first start. A test holds it equal to
//! `Config::default()`.

/// Text of the default `sekisho.toml`.
pub const DEFAULT_TEXT: &str = include_str!("../../data/sekisho.toml");
