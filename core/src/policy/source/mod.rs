//! The domains file: what people write about their domains.
//!
//! ```toml
//! [[domain]]
//! name = "example.com"
//! profile = "securemail"
//! aliases = ["example.org"]              # domain aliases (SM-21)
//! recipients = ["user", "info"]          # or recipients_file = "example.com.txt"
//! refused_recipients = ["old"]           # recipient block list, user names only (SM-58)
//! bypass_recipients = ["postmaster"]     # recipient allow list (SM-57)
//! primary_contact = "admin@example.com"
//!
//! [[domain.route]]                       # next hops by preference (SM-10)
//! host = "mail.example.com"
//! port = 25
//! preference = 10
//! tls = "opportunistic"
//!
//! [[domain.alias]]                       # mailbox alias (SM-20)
//! alias = "sales"
//! mailbox = "user"
//!
//! [[domain.named_list]]                  # for rules; or [[named_list]], for every domain of the file
//! name = "board"
//! addresses = ["ceo@example.com"]
//!
//! [domain.settings]                      # overrides of the profile, names of unified model 6
//! quarantine.days = 21
//!
//! [[domain.settings.rules]]              # docs/rules.md
//! name = "card numbers"
//! kind = "dlp"
//! action = "quarantine"
//! scope.recipients = ["list:board"]
//! when.content = [{ identifier = "card_number", count = 3 }]
//! ```
//!
//! All mistakes are reported at once, as in `config`. A domain without a route is a warning: its
//! recipients get 451 until there is one (SM-05).

mod auth;
mod conditions;
mod content;
mod domain;
mod impersonation;
mod named;
mod notice;
mod rule;
mod rules;
mod setting;

pub use domain::{AliasSource, DomainSource, parse_domains};
pub use notice::unknown_templates;
pub use setting::apply_settings;

/// One mistake in a domains file.
pub type SourceError = crate::config::Problem;

/// Any octets are read or refused with places inside the text; never a panic.
pub fn fuzz_domains(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(problems) = parse_domains(text, "fuzz.toml", &["mx.example.net"]) {
        assert!(!problems.is_empty(), "a refusal without a reason");
        let lines = text.split('\n').count();
        assert!(problems.iter().all(|p| (1..=lines).contains(&p.line) && p.column >= 1));
    }
}
