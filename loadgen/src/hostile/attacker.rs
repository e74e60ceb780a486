//! One attacker as a state machine: what the server did goes in, what is done next comes out. No sockets and no
//! clock here.
//!
//! Whatever the profile, a server that refuses to go on (421, or a greeting that is not 220) is listened to until it
//! closes, for [`PATIENCE`] at most: that it closes, and when, is what the report is about. Bounds: the `_MAX`
//! constants below; a session never says more than twice [`LINE_BYTES`] and some KiB.

use std::io::Write as _;
use std::time::Duration;

use super::profile::Profile;
use crate::random::Random;

/// A slow loris says an octet so often.
const TRICKLE: Duration = Duration::from_secs(2);
/// A server that refused may take so long to close.
const PATIENCE: Duration = Duration::from_secs(10);
/// Recipients of a pipelined group, and of a session.
const GUESSES: u32 = 10;
const GUESSES_MAX: u32 = 500;
/// Bad commands of a pipelined group, and of a session.
const COMMANDS: u32 = 5;
const COMMANDS_MAX: u32 = 200;
/// A huge line: 32 times a command line of the engine, twice a line of content.
const LINE_BYTES: usize = 128 * 1024;
/// Huge lines of a session.
const LINES_MAX: u32 = 2;

/// Each gets one reply, whatever came before: unknown words, a turn that is not theirs, arguments that are none.
const BAD: [&str; 8] = [
    "FROBNICATE now\r\n",
    "DATA\r\n",
    "RCPT TO:<before@mail.test>\r\n",
    "MAIL FORM:<a@example.com>\r\n",
    "EHLO\r\n",
    "RSET everything\r\n",
    "STARTTLS now\r\n",
    "\u{1}\u{2}\u{3}\r\n",
];

/// What the attackers have in common.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Argument of EHLO.
    pub helo: String,
    /// Reverse-path.
    pub from: String,
    /// A forward-path that the server takes.
    pub to: String,
    /// Domain at which recipients are guessed.
    pub domain: String,
}

/// What happened to an attacker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The connection stands.
    Connected,
    /// A whole reply, by its code.
    Reply(u16),
    /// A rest is over.
    Due,
}

/// What it does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Says what was put out, if anything, and waits for a reply.
    Listen,
    /// The same, and is called again after so long.
    Rest(Duration),
    /// Reads nothing and says nothing.
    Deaf,
    /// Closes.
    Close,
    /// Closes with a reset.
    Reset,
}

/// What is put out: text, then filler, then text again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) text: Vec<u8>,
    /// Octets that the sender makes up.
    pub(super) filler: usize,
    pub(super) tail: &'static [u8],
}

impl Said {
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.filler == 0 && self.tail.is_empty()
    }

    /// What goes out next, filler being taken from `fill`.
    pub(super) fn next<'s>(&'s self, fill: &'s [u8]) -> &'s [u8] {
        if !self.text.is_empty() {
            &self.text
        } else if self.filler > 0 {
            fill.get(..self.filler).unwrap_or(fill)
        } else {
            self.tail
        }
    }

    /// `count` octets of what was next have gone out.
    pub(super) fn went(&mut self, count: usize) {
        if !self.text.is_empty() {
            self.text.drain(..count.min(self.text.len()));
        } else if self.filler > 0 {
            self.filler = self.filler.saturating_sub(count);
        } else {
            self.tail = self.tail.get(count..).unwrap_or_default();
        }
    }

    /// Nothing of it goes out any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Where an attacker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Greeting,
    Hello,
    Mail,
    Recipient,
    Data,
    /// In the middle of its attack; replies that it waits for.
    Attack {
        replies: u32,
    },
    /// Says an octet now and then.
    Trickle,
    /// Says nothing any more, and listens.
    Silent,
    /// Refused: listens until the server closes.
    Refused,
    Quit,
}

/// One attacker.
#[derive(Clone, Debug)]
pub(super) struct Attacker {
    profile: Profile,
    /// Which of the profile's ways.
    variant: u64,
    step: Step,
    /// Guesses, commands or lines so far.
    done: u32,
}

impl Attacker {
    /// `variant`: its number among those of its profile.
    pub(super) fn new(profile: Profile, variant: u64) -> Self {
        Self { profile, variant, step: Step::Greeting, done: 0 }
    }

    pub(super) fn profile(&self) -> Profile {
        self.profile
    }

    /// Whether the next reply is the greeting.
    pub(super) fn is_greeted(&self) -> bool {
        self.step != Step::Greeting
    }

    /// Goes on. What is to be said is put into `said`, which is empty.
    pub(super) fn on(
        &mut self,
        event: Event,
        script: &Script,
        random: &mut Random,
        said: &mut Said,
    ) -> Act {
        match event {
            Event::Connected => self.connected(script, said),
            Event::Reply(421) => self.refused(),
            Event::Reply(code) => self.replied(code, script, random, said),
            Event::Due => self.due(said),
        }
    }

    fn connected(&mut self, script: &Script, said: &mut Said) -> Act {
        match (self.profile, self.variant % 3) {
            (Profile::EarlyTalkers, _) => {
                put(
                    said,
                    format_args!(
                        "EHLO {}\r\nMAIL FROM:<{}>\r\nRCPT TO:<{}>\r\n",
                        script.helo, script.from, script.to
                    ),
                );
                Act::Listen
            }
            (Profile::HalfOpen, variant) if variant != 1 => Act::Deaf,
            (Profile::Flood, 0) => Act::Reset,
            (Profile::Flood, 1) => Act::Close,
            _ => Act::Listen,
        }
    }

    /// The server does not go on with us.
    fn refused(&mut self) -> Act {
        self.step = Step::Refused;
        Act::Rest(PATIENCE)
    }

    fn replied(&mut self, code: u16, script: &Script, random: &mut Random, said: &mut Said) -> Act {
        let is_positive = (200..300).contains(&code);
        match self.step {
            Step::Greeting if code != 220 => self.refused(),
            Step::Greeting => self.greeted(script, random, said),
            Step::Hello if is_positive => self.welcomed(script, random, said),
            Step::Hello => self.quit(said),
            Step::Mail if is_positive && self.profile == Profile::RcptHarvest => {
                self.guess(script, random, said)
            }
            Step::Mail if is_positive => {
                put(said, format_args!("RCPT TO:<{}>\r\n", script.to));
                self.step = Step::Recipient;
                Act::Listen
            }
            Step::Mail => self.quit(said),
            Step::Recipient => self.named(is_positive, script, (random, said)),
            Step::Data if code == 354 => self.content(said),
            Step::Data => self.quit(said),
            Step::Attack { replies } if replies > 1 => {
                self.step = Step::Attack { replies: replies - 1 };
                Act::Listen
            }
            Step::Attack { .. } => self.attack(script, random, said),
            // 221, or a word that nobody asked for.
            Step::Quit => Act::Close,
            Step::Trickle | Step::Silent | Step::Refused => Act::Listen,
        }
    }

    fn greeted(&mut self, script: &Script, random: &mut Random, said: &mut Said) -> Act {
        match self.profile {
            // Greeted like everybody else: the replies to what it said come now, and then it goes.
            Profile::EarlyTalkers => {
                self.step = Step::Attack { replies: 3 };
                Act::Listen
            }
            Profile::Flood => Act::Close,
            Profile::BadCommands => self.attack(script, random, said),
            Profile::SlowLoris if self.variant.is_multiple_of(2) => {
                put(said, format_args!("EHLO "));
                self.trickle()
            }
            Profile::SlowLoris | Profile::RcptHarvest | Profile::HugeLines | Profile::HalfOpen => {
                put(said, format_args!("EHLO {}\r\n", script.helo));
                self.step = Step::Hello;
                Act::Listen
            }
        }
    }

    fn welcomed(&mut self, script: &Script, random: &mut Random, said: &mut Said) -> Act {
        if self.profile == Profile::HugeLines && self.variant.is_multiple_of(2) {
            return self.attack(script, random, said);
        }
        put(said, format_args!("MAIL FROM:<{}>\r\n", script.from));
        self.step = Step::Mail;
        Act::Listen
    }

    /// RCPT was answered.
    fn named(
        &mut self,
        is_positive: bool,
        script: &Script,
        (random, said): (&mut Random, &mut Said),
    ) -> Act {
        match self.profile {
            Profile::HalfOpen => {
                self.step = Step::Silent;
                Act::Listen
            }
            _ if is_positive => {
                put(said, format_args!("DATA\r\n"));
                self.step = Step::Data;
                Act::Listen
            }
            Profile::SlowLoris => {
                put(said, format_args!("NOOP "));
                self.trickle()
            }
            _ => self.attack(script, random, said),
        }
    }

    fn content(&mut self, said: &mut Said) -> Act {
        put(said, format_args!("Subject: news\r\n\r\n"));
        if self.profile == Profile::SlowLoris {
            return self.trickle();
        }
        said.filler = LINE_BYTES;
        said.tail = b"\r\n.\r\n";
        self.done = LINES_MAX;
        self.step = Step::Attack { replies: 1 };
        Act::Listen
    }

    /// The next part of what the profile is about, or the end of it.
    fn attack(&mut self, script: &Script, random: &mut Random, said: &mut Said) -> Act {
        match self.profile {
            Profile::RcptHarvest => self.guess(script, random, said),
            Profile::BadCommands if self.done < COMMANDS_MAX => {
                for _ in 0..COMMANDS {
                    let bad = BAD.get(random.below(BAD.len())).copied().unwrap_or("\r\n");
                    put(said, format_args!("{bad}"));
                }
                self.done += COMMANDS;
                self.step = Step::Attack { replies: COMMANDS };
                Act::Listen
            }
            Profile::HugeLines if self.done < LINES_MAX => {
                put(said, format_args!("NOOP "));
                said.filler = LINE_BYTES;
                said.tail = b"\r\n";
                self.done += 1;
                self.step = Step::Attack { replies: 1 };
                Act::Listen
            }
            Profile::BadCommands
            | Profile::HugeLines
            | Profile::EarlyTalkers
            | Profile::SlowLoris
            | Profile::HalfOpen
            | Profile::Flood => self.quit(said),
        }
    }

    fn guess(&mut self, script: &Script, random: &mut Random, said: &mut Said) -> Act {
        if self.done >= GUESSES_MAX {
            return self.quit(said);
        }
        for _ in 0..GUESSES {
            // 48 bits: nobody is called so.
            let guess = random.bits() >> 16;
            put(said, format_args!("RCPT TO:<guess-{guess:x}@{}>\r\n", script.domain));
        }
        self.done += GUESSES;
        self.step = Step::Attack { replies: GUESSES };
        Act::Listen
    }

    fn trickle(&mut self) -> Act {
        self.step = Step::Trickle;
        Act::Rest(TRICKLE)
    }

    fn due(&mut self, said: &mut Said) -> Act {
        match self.step {
            Step::Trickle => {
                said.text.push(b'x');
                Act::Rest(TRICKLE)
            }
            Step::Refused => Act::Close,
            // A rest that a reply cut short.
            _ => Act::Listen,
        }
    }

    fn quit(&mut self, said: &mut Said) -> Act {
        put(said, format_args!("QUIT\r\n"));
        self.step = Step::Quit;
        Act::Listen
    }
}

fn put(said: &mut Said, words: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    let _ = said.text.write_fmt(words);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An attacker, and what it did so far.
    struct Stage {
        attacker: Attacker,
        script: Script,
        random: Random,
    }

    impl Stage {
        fn new(profile: Profile, variant: u64) -> Self {
            let word = |text: &str| text.to_owned();
            let script = Script {
                helo: word("bad.test"),
                from: word("a@bad.test"),
                to: word("user@demo.test"),
                domain: word("demo.test"),
            };
            Self { attacker: Attacker::new(profile, variant), script, random: Random::new(1) }
        }

        fn on(&mut self, event: Event) -> (Act, Said) {
            let mut said = Said::default();
            let act = self.attacker.on(event, &self.script, &mut self.random, &mut said);
            (act, said)
        }

        /// The text that is said after each of `events`, which all make it listen.
        fn says(&mut self, events: &[Event]) -> Vec<String> {
            let mut all = Vec::new();
            for event in events {
                let (act, said) = self.on(*event);
                assert_eq!(act, Act::Listen, "after {event:?}");
                all.push(String::from_utf8(said.text).unwrap());
            }
            all
        }
    }

    use Event::{Connected, Due, Reply};

    #[test]
    fn an_early_talker_says_its_envelope_before_anything_and_listens_to_the_refusal() {
        let mut stage = Stage::new(Profile::EarlyTalkers, 0);
        let envelope = "EHLO bad.test\r\nMAIL FROM:<a@bad.test>\r\nRCPT TO:<user@demo.test>\r\n";
        assert_eq!(stage.says(&[Connected]), [envelope]);
        assert_eq!(stage.on(Reply(554)).0, Act::Rest(PATIENCE));
        assert_eq!(stage.on(Due).0, Act::Close, "a server that does not close is left");
        // A server that does not mind gets its three replies read, and QUIT.
        let mut stage = Stage::new(Profile::EarlyTalkers, 1);
        let events = [Connected, Reply(220), Reply(250), Reply(250), Reply(550)];
        assert_eq!(stage.says(&events), [envelope, "", "", "", "QUIT\r\n"]);
        assert_eq!(stage.on(Reply(221)).0, Act::Close);
    }

    #[test]
    fn a_slow_loris_says_one_octet_at_a_time_of_a_command_or_of_content() {
        let mut stage = Stage::new(Profile::SlowLoris, 0);
        assert_eq!(stage.says(&[Connected]), [""]);
        let (act, said) = stage.on(Reply(220));
        assert_eq!((act, said.text.as_slice()), (Act::Rest(TRICKLE), b"EHLO ".as_slice()));
        for _ in 0..3 {
            let (act, said) = stage.on(Due);
            assert_eq!((act, said.text.as_slice()), (Act::Rest(TRICKLE), b"x".as_slice()));
        }
        let mut stage = Stage::new(Profile::SlowLoris, 1);
        let events = [Connected, Reply(220), Reply(250), Reply(250), Reply(250)];
        assert_eq!(stage.says(&events).last().unwrap(), "DATA\r\n");
        assert_eq!(stage.on(Reply(354)).0, Act::Rest(TRICKLE));
        assert_eq!(stage.on(Due).1.text, b"x");
        assert_eq!(stage.on(Reply(421)).0, Act::Rest(PATIENCE));
        // Without a recipient it goes on with a command.
        let mut stage = Stage::new(Profile::SlowLoris, 1);
        stage.says(&[Connected, Reply(220), Reply(250), Reply(250)]);
        assert_eq!(stage.on(Reply(550)).0, Act::Rest(TRICKLE));
    }

    #[test]
    fn a_harvester_guesses_in_groups_until_it_is_told_421_or_has_enough() {
        let mut stage = Stage::new(Profile::RcptHarvest, 0);
        let said = stage.says(&[Connected, Reply(220), Reply(250), Reply(250)]);
        assert_eq!(said[2], "MAIL FROM:<a@bad.test>\r\n");
        let lines: Vec<&str> = said[3].lines().collect();
        assert_eq!(lines.len(), 10);
        assert!(
            lines
                .iter()
                .all(|line| line.starts_with("RCPT TO:<guess-") && line.ends_with("@demo.test>")),
            "{lines:?}"
        );
        let mut guesses = 10;
        loop {
            let said = stage.says(&[Reply(550); 10]);
            assert!(said[..9].iter().all(String::is_empty), "a group is answered first");
            if said[9] == "QUIT\r\n" {
                break;
            }
            guesses += said[9].lines().count();
        }
        assert_eq!(guesses, 500);
        let mut stage = Stage::new(Profile::RcptHarvest, 0);
        stage.says(&[Connected, Reply(220), Reply(250), Reply(250), Reply(550)]);
        assert_eq!(stage.on(Reply(421)).0, Act::Rest(PATIENCE));
        assert_eq!(stage.on(Reply(550)).0, Act::Listen, "and says no more");
    }

    #[test]
    fn bad_commands_come_in_groups_that_are_answered_line_by_line() {
        let mut stage = Stage::new(Profile::BadCommands, 0);
        let mut commands = 0;
        let mut said = stage.says(&[Connected, Reply(220)]).pop().unwrap();
        while said != "QUIT\r\n" {
            assert_eq!(said.lines().count(), 5);
            assert!(said.split_inclusive("\r\n").all(|line| BAD.contains(&line)), "{said}");
            commands += 5;
            said = stage.says(&[Reply(500); 5]).pop().unwrap();
        }
        assert_eq!(commands, 200);
    }

    #[test]
    fn huge_lines_are_commands_and_content_by_turns() {
        let mut stage = Stage::new(Profile::HugeLines, 0);
        stage.says(&[Connected, Reply(220)]);
        for _ in 0..2 {
            let (act, said) = stage.on(Reply(250));
            let expected =
                Said { text: b"NOOP ".to_vec(), filler: LINE_BYTES, tail: b"\r\n".as_slice() };
            assert_eq!((act, said), (Act::Listen, expected));
        }
        assert_eq!(stage.says(&[Reply(500)]), ["QUIT\r\n"]);
        let mut stage = Stage::new(Profile::HugeLines, 1);
        stage.says(&[Connected, Reply(220), Reply(250), Reply(250), Reply(250)]);
        let (act, said) = stage.on(Reply(354));
        assert_eq!((act, said.filler, said.tail), (Act::Listen, LINE_BYTES, &b"\r\n.\r\n"[..]));
        assert_eq!(stage.says(&[Reply(554)]), ["QUIT\r\n"]);
    }

    #[test]
    fn half_open_is_deaf_or_silent_after_an_envelope_and_a_flood_just_goes() {
        assert_eq!(Stage::new(Profile::HalfOpen, 0).on(Connected).0, Act::Deaf);
        let mut stage = Stage::new(Profile::HalfOpen, 1);
        let events = [Connected, Reply(220), Reply(250), Reply(250), Reply(250), Reply(250)];
        let said = stage.says(&events);
        assert_eq!(said[4..], ["", ""], "silent after RCPT");
        assert_eq!(stage.on(Reply(421)).0, Act::Rest(PATIENCE));
        for (variant, acts) in [
            (0, vec![(Connected, Act::Reset)]),
            (1, vec![(Connected, Act::Close)]),
            (2, vec![(Connected, Act::Listen), (Reply(220), Act::Close)]),
        ] {
            let mut stage = Stage::new(Profile::Flood, variant);
            for (event, act) in acts {
                assert_eq!(stage.on(event).0, act, "{variant}");
            }
        }
    }

    #[test]
    fn whoever_is_turned_away_in_the_greeting_waits_for_the_end_whatever_it_is() {
        for profile in Profile::ALL {
            for variant in 0..3 {
                let mut stage = Stage::new(profile, variant);
                let (act, _) = stage.on(Connected);
                if act != Act::Listen {
                    continue;
                }
                assert!(!stage.attacker.is_greeted());
                let (act, said) = stage.on(Reply(421));
                assert_eq!((act, said), (Act::Rest(PATIENCE), Said::default()), "{profile}");
                assert_eq!(stage.on(Due).0, Act::Close);
            }
        }
    }
}
