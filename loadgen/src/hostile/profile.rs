//! What attackers there are, and how many of each.

use std::fmt;

/// One kind of attacker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Profile {
    /// Says all of an envelope before the greeting.
    EarlyTalkers,
    /// Keeps a session as long as it can: an octet of a command, or of content, every other second.
    SlowLoris,
    /// Asks for made-up recipients in pipelined groups.
    RcptHarvest,
    /// Says what no server understands, or what is not its turn.
    BadCommands,
    /// Lines far longer than any server takes, as a command and as content.
    HugeLines,
    /// Silent from the start without reading, or in the middle of an envelope.
    HalfOpen,
    /// Connects and goes: reset, closed, or closed after the greeting.
    Flood,
}

impl Profile {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 7] = [
        Self::EarlyTalkers,
        Self::SlowLoris,
        Self::RcptHarvest,
        Self::BadCommands,
        Self::HugeLines,
        Self::HalfOpen,
        Self::Flood,
    ];

    /// Its name in arguments and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EarlyTalkers => "early-talkers",
            Self::SlowLoris => "slow-loris",
            Self::RcptHarvest => "rcpt-harvest",
            Self::BadCommands => "bad-commands",
            Self::HugeLines => "huge-lines",
            Self::HalfOpen => "half-open",
            Self::Flood => "flood",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// Its place in [`Profile::ALL`].
    pub(super) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Parts of all attackers, in whatever unit: 20 and 20 are halves, as 1 and 1 are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shares([u32; Profile::ALL.len()]);

/// No part is larger, so that sums stay small.
const SHARE_MAX: u32 = 1_000_000;

impl Default for Shares {
    /// All profiles; what keeps connections has most of them, what floods has the rest of the new ones.
    fn default() -> Self {
        Self([15, 20, 15, 15, 5, 20, 10])
    }
}

impl Shares {
    /// Reads `early-talkers:20,slow-loris:20`. A name alone is one part; what is not named has none.
    ///
    /// # Errors
    /// A name that is none, one twice, a part that is no number or 0: the operator's argument.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut shares = [0; Profile::ALL.len()];
        for word in text.split(',') {
            let (name, part) = word.split_once(':').unwrap_or((word, "1"));
            let Some(profile) = Profile::named(name) else {
                let names = Profile::ALL.map(Profile::name).join(", ");
                return Err(format!("profile `{name}`: not one of {names}"));
            };
            let part = part.parse().ok().filter(|part| (1..=SHARE_MAX).contains(part));
            let Some(part) = part else {
                return Err(format!(
                    "profile `{word}`: the part is a number from 1 to {SHARE_MAX}"
                ));
            };
            let place = shares.get_mut(profile.index());
            let Some(place) = place.filter(|place| **place == 0) else {
                return Err(format!("profile `{name}`: named twice"));
            };
            *place = part;
        }
        Ok(Self(shares))
    }

    /// Only this one.
    #[must_use]
    pub fn only(profile: Profile) -> Self {
        Self(Profile::ALL.map(|one| u32::from(one == profile)))
    }

    /// The part of one.
    #[must_use]
    pub fn of(&self, profile: Profile) -> u32 {
        self.0.get(profile.index()).copied().unwrap_or(0)
    }

    /// All parts together; never 0.
    #[must_use]
    pub fn sum(&self) -> u32 {
        self.0.iter().sum()
    }

    /// `all` divided by the parts, in the order of [`Profile::ALL`]; what does not divide goes to the first ones.
    pub(super) fn divide(&self, all: usize) -> [usize; Profile::ALL.len()] {
        let sum = u64::from(self.sum()).max(1);
        let part = |share: u32| all as u64 * u64::from(share) / sum;
        let mut parts = self.0.map(|share| usize::try_from(part(share)).unwrap_or(usize::MAX));
        let mut rest = all.saturating_sub(parts.iter().sum());
        for (part, share) in parts.iter_mut().zip(self.0) {
            if share > 0 && rest > 0 {
                *part += 1;
                rest -= 1;
            }
        }
        parts
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Profile::ALL.into_iter().filter(|profile| self.of(*profile) > 0);
        let words: Vec<String> =
            named.map(|profile| format!("{profile}:{}", self.of(profile))).collect();
        out.write_str(&words.join(","))
    }
}

/// Whose turn it is: by the parts, evenly mixed, among those that have room.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns([i64; Profile::ALL.len()]);

impl Turns {
    /// The next one; none if nobody has room. Smooth weighted round robin: everyone's credit grows by its
    /// part, and whoever has most of it pays for all.
    pub(super) fn next(
        &mut self,
        shares: &Shares,
        has_room: impl Fn(Profile) -> bool,
    ) -> Option<Profile> {
        let mut chosen: Option<(Profile, i64)> = None;
        let mut sum = 0;
        for profile in Profile::ALL {
            let share = i64::from(shares.of(profile));
            if share == 0 || !has_room(profile) {
                continue;
            }
            let Some(credit) = self.0.get_mut(profile.index()) else { continue };
            *credit += share;
            sum += share;
            if chosen.is_none_or(|(_, most)| *credit > most) {
                chosen = Some((profile, *credit));
            }
        }
        let (profile, _) = chosen?;
        if let Some(credit) = self.0.get_mut(profile.index()) {
            *credit -= sum;
        }
        Some(profile)
    }
}

#[cfg(test)]
mod tests {
    use super::{Profile, Shares, Turns};

    #[test]
    fn shares_are_read_as_they_are_shown_and_mistakes_are_named() {
        let shares = Shares::parse("flood:3,slow-loris,half-open:6").unwrap();
        assert_eq!(shares.to_string(), "slow-loris:1,half-open:6,flood:3");
        assert_eq!(Shares::parse(&shares.to_string()).unwrap(), shares);
        assert_eq!(Shares::parse("flood").unwrap(), Shares::only(Profile::Flood));
        let all = Shares::default().to_string();
        assert_eq!(Shares::parse(&all).unwrap(), Shares::default());
        assert!(Profile::ALL.iter().all(|profile| Shares::default().of(*profile) > 0), "{all}");
        for (text, error) in [
            (
                "flod:3",
                "profile `flod`: not one of early-talkers, slow-loris, rcpt-harvest, bad-commands, \
                 huge-lines, half-open, flood",
            ),
            ("flood:0", "profile `flood:0`: the part is a number from 1 to 1000000"),
            ("flood:-1", "profile `flood:-1`: the part is a number from 1 to 1000000"),
            ("flood:1,flood:2", "profile `flood`: named twice"),
        ] {
            assert_eq!(Shares::parse(text).unwrap_err(), error);
        }
        assert!(Shares::parse("").is_err());
    }

    #[test]
    fn all_attackers_are_divided_and_none_is_left_over() {
        for (text, all, expected) in [
            ("early-talkers:1,flood:1", 10, [5, 0, 0, 0, 0, 0, 5]),
            ("early-talkers:1,slow-loris:1,flood:1", 10, [4, 3, 0, 0, 0, 0, 3]),
            ("slow-loris:999999,flood:1", 10, [0, 10, 0, 0, 0, 0, 0]),
            ("flood:7", 0, [0; 7]),
        ] {
            assert_eq!(Shares::parse(text).unwrap().divide(all), expected, "{text}");
        }
    }

    #[test]
    fn turns_come_by_the_parts_and_go_to_others_where_there_is_no_room() {
        let shares = Shares::parse("early-talkers:5,half-open:3,flood:2").unwrap();
        let mut turns = Turns::default();
        let mut counts = [0; 7];
        for _ in 0..1000 {
            counts[turns.next(&shares, |_| true).unwrap().index()] += 1;
        }
        assert_eq!(counts, [500, 0, 0, 0, 0, 300, 200]);
        let mut counts = [0; 7];
        for _ in 0..700 {
            let room = |profile| profile != Profile::HalfOpen;
            counts[turns.next(&shares, room).unwrap().index()] += 1;
        }
        assert_eq!(counts, [500, 0, 0, 0, 0, 0, 200]);
        assert_eq!(turns.next(&shares, |_| false), None);
    }
}
