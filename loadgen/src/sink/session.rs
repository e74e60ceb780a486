//! One connection to the sink, from greeting to end.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Behaviour, Fate, GREETING_MARK, Shared};
use crate::random::Random;
use crate::store::{self, StoredEnvelope};
use crate::wire::Wire;

/// Whether the session goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Go,
    End,
}

struct Session<'s> {
    wire: Wire,
    shared: &'s Shared,
    connection: u64,
    peer: SocketAddr,
    helo: String,
    mail: Option<(String, String)>,
    recipients: Vec<(String, String)>,
    /// The fate of the mail as its recipients script it.
    fate: Fate,
    content: Vec<u8>,
    random: Random,
}

/// Serves one client to its end.
///
/// # Errors
/// The client closed, was silent for too long or sent what is beyond the bounds of `wire`.
pub(super) fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    connection: u64,
    shared: &Shared,
) -> io::Result<()> {
    let behaviour = shared.behaviour();
    let mut session = Session {
        wire: Wire::new(stream),
        shared,
        connection,
        peer,
        helo: String::new(),
        mail: None,
        recipients: Vec::new(),
        fate: Fate::Take,
        content: Vec::new(),
        random: Random::new(behaviour.seed ^ connection.wrapping_mul(0x9E37_79B9)),
    };
    if behaviour.busy {
        session.wire.put(b"421 4.3.2 too busy\r\n");
        return session.wire.flush();
    }
    session.wire.put(format!("220 {GREETING_MARK} ESMTP\r\n").as_bytes());
    loop {
        if !session.wire.has_line() {
            session.wire.flush()?;
        }
        let line = session.wire.line()?;
        if session.command(&line)? == Next::End {
            return session.wire.flush();
        }
    }
}

impl Session<'_> {
    fn reply(&mut self, text: &str) {
        self.wire.put(text.as_bytes());
        self.wire.put(b"\r\n");
    }

    fn command(&mut self, line: &[u8]) -> io::Result<Next> {
        let line = String::from_utf8_lossy(line).into_owned();
        let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => self.ehlo(argument),
            "HELO" => {
                argument.clone_into(&mut self.helo);
                self.reset();
                self.reply(&format!("250 {GREETING_MARK}"));
            }
            "MAIL" => self.mail(argument),
            "RCPT" => return Ok(self.rcpt(argument)),
            "DATA" => return self.data(),
            "BDAT" => return self.bdat(argument),
            "RSET" => {
                self.reset();
                self.reply("250 2.0.0 reset");
            }
            "NOOP" => self.reply("250 2.0.0 ok"),
            "VRFY" => self.reply("252 2.5.2 will try"),
            "QUIT" => {
                self.reply("221 2.0.0 bye");
                return Ok(Next::End);
            }
            _ => self.reply("500 5.5.1 unknown command"),
        }
        Ok(Next::Go)
    }

    fn ehlo(&mut self, argument: &str) {
        argument.clone_into(&mut self.helo);
        self.reset();
        let extensions = self.shared.extensions;
        let mut lines = vec![GREETING_MARK.to_owned()];
        let mut offer = |on: bool, word: &str| {
            if on {
                lines.push(word.to_owned());
            }
        };
        offer(extensions.pipelining, "PIPELINING");
        offer(extensions.chunking, "CHUNKING");
        offer(extensions.smtputf8, "SMTPUTF8");
        offer(extensions.eight_bit_mime, "8BITMIME");
        offer(extensions.dsn, "DSN");
        offer(true, "ENHANCEDSTATUSCODES");
        if let Some(size) = extensions.size {
            lines.push(format!("SIZE {size}"));
        }
        let last = lines.len() - 1;
        for (index, line) in lines.iter().enumerate() {
            let mark = if index == last { ' ' } else { '-' };
            self.reply(&format!("250{mark}{line}"));
        }
    }

    fn reset(&mut self) {
        self.mail = None;
        self.recipients.clear();
        self.fate = Fate::Take;
        self.content.clear();
    }

    fn mail(&mut self, argument: &str) {
        let Some((path, parameters)) = path_of(argument, "FROM:") else {
            return self.reply("501 5.5.4 syntax: MAIL FROM:<path>");
        };
        if self.mail.is_some() {
            return self.reply("503 5.5.1 nested MAIL");
        }
        let wants_utf8 = parameters.split(' ').any(|word| word.eq_ignore_ascii_case("SMTPUTF8"));
        if wants_utf8 && !self.shared.extensions.smtputf8 {
            return self.reply("555 5.5.4 SMTPUTF8 was not offered");
        }
        self.mail = Some((path, parameters));
        self.reply("250 2.1.0 ok");
    }

    fn rcpt(&mut self, argument: &str) -> Next {
        let Some((path, parameters)) = path_of(argument, "TO:") else {
            self.reply("501 5.5.4 syntax: RCPT TO:<path>");
            return Next::Go;
        };
        if self.mail.is_none() {
            self.reply("503 5.5.1 MAIL first");
            return Next::Go;
        }
        let behaviour = self.shared.behaviour();
        thread::sleep(behaviour.delay);
        match behaviour.recipient(&path, &mut self.random) {
            Fate::RcptTemporary => self.reply("451 4.3.0 scripted: try again later"),
            Fate::RcptPermanent => self.reply("550 5.1.1 scripted: no such mailbox"),
            Fate::Nonsense => self.reply("what is this about?"),
            Fate::CloseRcpt => return Next::End,
            fate => {
                if fate != Fate::Take {
                    self.fate = fate;
                }
                self.recipients.push((path, parameters));
                self.reply("250 2.1.5 ok");
            }
        }
        Next::Go
    }

    fn data(&mut self) -> io::Result<Next> {
        if self.mail.is_none() || self.recipients.is_empty() {
            let text = if self.mail.is_none() {
                "503 5.5.1 MAIL first"
            } else {
                "554 5.5.1 no valid recipients"
            };
            self.reply(text);
            return Ok(Next::Go);
        }
        self.reply("354 go ahead");
        self.wire.flush()?;
        let mut content = std::mem::take(&mut self.content);
        content.clear();
        self.wire.content(&mut content)?;
        self.content = content;
        self.take("DATA")
    }

    fn bdat(&mut self, argument: &str) -> io::Result<Next> {
        let mut words = argument.split_ascii_whitespace();
        let Some(bytes) = words.next().and_then(|word| word.parse::<usize>().ok()) else {
            self.reply("501 5.5.4 syntax: BDAT bytes [LAST]");
            return Ok(Next::End);
        };
        let last = words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
        let mut content = std::mem::take(&mut self.content);
        self.wire.octets(bytes, &mut content)?;
        self.content = content;
        if !self.shared.extensions.chunking {
            self.reply("500 5.5.1 CHUNKING was not offered");
            return Ok(Next::Go);
        }
        if self.mail.is_none() || self.recipients.is_empty() {
            self.content.clear();
            self.reply("503 5.5.1 MAIL and RCPT first");
            return Ok(Next::Go);
        }
        if last {
            return self.take("BDAT");
        }
        self.reply("250 2.0.0 chunk");
        Ok(Next::Go)
    }

    /// The end of data: answer, store, or misbehave.
    fn take(&mut self, by: &str) -> io::Result<Next> {
        let behaviour = self.shared.behaviour();
        thread::sleep(behaviour.delay);
        let fate = match self.fate {
            Fate::Take => behaviour.mail(&mut self.random),
            scripted => scripted,
        };
        let next = match fate {
            Fate::DotTemporary => self.answer("451 4.3.0 scripted: not now"),
            Fate::DotPermanent => self.answer("554 5.7.1 scripted: never"),
            Fate::Hang => self.hang(),
            Fate::HangTaken => {
                self.store(by, "none")?;
                self.hang()
            }
            Fate::Close => Next::End,
            Fate::CloseTaken => {
                self.store(by, "none")?;
                Next::End
            }
            Fate::Slow => {
                thread::sleep(behaviour.slow);
                self.taken(by, &behaviour)
            }
            Fate::Take
            | Fate::RcptTemporary
            | Fate::RcptPermanent
            | Fate::CloseRcpt
            | Fate::Nonsense => self.taken(by, &behaviour),
        };
        self.reset();
        Ok(next)
    }

    fn answer(&mut self, text: &str) -> Next {
        self.reply(text);
        Next::Go
    }

    fn taken(&mut self, by: &str, _behaviour: &Behaviour) -> Next {
        match self.store(by, "250") {
            Ok(number) => self.answer(&format!("250 2.0.0 taken as {number}")),
            Err(_) => self.answer("452 4.3.1 the sink cannot store it"),
        }
    }

    /// Reads on without a word until the client gives up.
    fn hang(&mut self) -> Next {
        let mut waste = Vec::new();
        while self.wire.octets(1, &mut waste).is_ok() {
            waste.clear();
        }
        Next::End
    }

    fn store(&mut self, by: &str, answer: &str) -> io::Result<u64> {
        let number = self.shared.number.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(dir) = &self.shared.store {
            let (mail_from, mail_parameters) = self.mail.clone().unwrap_or_default();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let envelope = StoredEnvelope {
                mail_from,
                mail_parameters,
                rcpt_to: self.recipients.iter().map(|(path, _)| path.clone()).collect(),
                rcpt_parameters: self.recipients.iter().map(|(_, rest)| rest.clone()).collect(),
                helo: self.helo.clone(),
                peer: self.peer.to_string(),
                by: by.to_owned(),
                received_at: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
                connection: self.connection,
                answer: answer.to_owned(),
            };
            store::put(dir, number, &envelope, &self.content)?;
        }
        let path_of = |pair: Option<&(String, String)>| pair.map(|(path, _)| path.clone());
        let from = path_of(self.mail.as_ref()).unwrap_or_default();
        let to = path_of(self.recipients.first()).unwrap_or_default();
        self.shared.note(&self.content, &from, &to)?;
        self.shared.mails.fetch_add(1, Ordering::Relaxed);
        self.shared.bytes.fetch_add(self.content.len() as u64, Ordering::Relaxed);
        Ok(number)
    }
}

/// Splits `FROM:<path> parameters` into path and parameters.
fn path_of(argument: &str, keyword: &str) -> Option<(String, String)> {
    let head = argument.get(..keyword.len())?;
    if !head.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let rest = argument.get(keyword.len()..)?.trim_start().strip_prefix('<')?;
    // A quoted local-part may hold the bracket: the path ends at the last one.
    let (path, parameters) = match rest.split_once("> ") {
        Some((path, parameters)) if !path.starts_with('"') => (path, parameters),
        _ => rest.rsplit_once('>')?,
    };
    Some((path.to_owned(), parameters.trim().to_owned()))
}
