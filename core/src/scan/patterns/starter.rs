//! The rules that a new gateway begins with.

/// Name and text of each file of `core/data/rules`: written at a first start for the operator to edit.
pub const STARTER_RULES: &[(&str, &str)] = &[
    ("10-test.toml", include_str!("../../../data/rules/10-test.toml")),
    ("20-phishing-ja.toml", include_str!("../../../data/rules/20-phishing-ja.toml")),
    ("21-phishing-en.toml", include_str!("../../../data/rules/21-phishing-en.toml")),
    ("30-spam-ja.toml", include_str!("../../../data/rules/30-spam-ja.toml")),
    ("31-spam-en.toml", include_str!("../../../data/rules/31-spam-en.toml")),
    ("32-spam-topics.toml", include_str!("../../../data/rules/32-spam-topics.toml")),
    ("33-spam-offers-en.toml", include_str!("../../../data/rules/33-spam-offers-en.toml")),
    ("40-attachments.toml", include_str!("../../../data/rules/40-attachments.toml")),
];
