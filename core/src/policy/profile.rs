//! The five profiles. A profile is data: a TOML file in `core/data/profiles` that sets settings on
//! top of the defaults, read by the code that reads a domain's own overrides.

use std::sync::OnceLock;

use crate::config::walk::Walk;

use super::settings::{DomainSettings, Profile};
use super::source::apply_settings;

impl Profile {
    /// All profiles, in the order of the unified model.
    pub const ALL: [Self; 5] = [
        Self::IijSecureMx,
        Self::Securemail,
        Self::ItscomSpamScan,
        Self::NttMailSecurity,
        Self::Tmems,
    ];

    /// The key in the domains file.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::IijSecureMx => "iij-secure-mx",
            Self::Securemail => "securemail",
            Self::ItscomSpamScan => "itscom-spam-scan",
            Self::NttMailSecurity => "ntt-mail-security",
            Self::Tmems => "tmems",
        }
    }

    /// The data.
    fn text(self) -> &'static str {
        match self {
            Self::IijSecureMx => include_str!("../../data/profiles/iij-secure-mx.toml"),
            Self::Securemail => include_str!("../../data/profiles/securemail.toml"),
            Self::ItscomSpamScan => include_str!("../../data/profiles/itscom-spam-scan.toml"),
            Self::NttMailSecurity => include_str!("../../data/profiles/ntt-mail-security.toml"),
            Self::Tmems => include_str!("../../data/profiles/tmems.toml"),
        }
    }
}

/// The presets of a profile.
///
/// # Panics
/// If the profile's own data is wrong: it is part of the program, and a test reads all five.
#[must_use]
pub fn preset(profile: Profile) -> DomainSettings {
    static PRESETS: OnceLock<Vec<DomainSettings>> = OnceLock::new();
    let presets = PRESETS.get_or_init(|| Profile::ALL.map(load).to_vec());
    let index = Profile::ALL.iter().position(|known| *known == profile);
    index.and_then(|index| presets.get(index)).cloned().unwrap_or_else(|| load(profile))
}

/// Reads the data of one profile.
#[expect(clippy::panic, reason = "the data is compiled in; a test reads all five profiles")]
fn load(profile: Profile) -> DomainSettings {
    let read = Walk::read(profile.text(), profile.key(), |root| {
        let mut settings = DomainSettings { profile, ..DomainSettings::default() };
        apply_settings(root, &mut settings);
        settings
    });
    match read {
        Ok((settings, _)) => settings,
        Err(problems) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("profile data: {}", problems.join("; "))
        }
    }
}
