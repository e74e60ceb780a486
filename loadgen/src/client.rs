//! A small SMTP client: enough to send mails, and to say anything at all in a test.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::wire::Wire;

/// A reply as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Three digits; 0 if the peer sent something else.
    pub code: u16,
    /// Text of all lines without code and mark.
    pub lines: Vec<String>,
}

impl Reply {
    /// 2yz.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// All of it in one line, for messages.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{} {}", self.code, self.lines.join(" / "))
    }
}

/// One mail to send.
#[derive(Clone, Copy, Debug)]
pub struct Mail<'m> {
    /// Reverse-path without brackets; empty for the null one.
    pub from: &'m str,
    /// Forward-paths without brackets.
    pub to: &'m [&'m str],
    /// Octets with CR LF line ends, not dot-stuffed.
    pub content: &'m [u8],
}

/// What became of a mail.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Answers to RCPT in order.
    pub recipients: Vec<Reply>,
    /// The reply that decides: to the end of data, or the one that ended the transaction before.
    pub reply: Reply,
}

impl Sent {
    /// The server took responsibility for it, for at least one recipient.
    #[must_use]
    pub fn accepted(&self) -> bool {
        self.reply.is_positive()
    }
}

/// A connected client.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
    /// Capabilities in capital letters, as EHLO gave them.
    pub capabilities: Vec<String>,
}

impl Client {
    /// Connects and reads the greeting; says nothing yet.
    ///
    /// # Errors
    /// Those of the connection; a greeting other than 220 is `ConnectionRefused` with its text.
    pub fn connect(address: SocketAddr, timeout: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, timeout)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        let mut client = Self { wire: Wire::new(stream), capabilities: Vec::new() };
        let greeting = client.reply()?;
        if greeting.code == 220 {
            Ok(client)
        } else {
            Err(io::Error::new(io::ErrorKind::ConnectionRefused, greeting.text()))
        }
    }

    /// Connects and says EHLO.
    ///
    /// # Errors
    /// As [`Client::connect`]; a refused EHLO too.
    pub fn hello(address: SocketAddr, name: &str, timeout: Duration) -> io::Result<Self> {
        let mut client = Self::connect(address, timeout)?;
        let reply = client.command(&format!("EHLO {name}"))?;
        if !reply.is_positive() {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, reply.text()));
        }
        client.capabilities =
            reply.lines.iter().skip(1).map(|line| line.to_ascii_uppercase()).collect();
        Ok(client)
    }

    /// Whether the server offers `word`.
    #[must_use]
    pub fn offers(&self, word: &str) -> bool {
        self.capabilities.iter().any(|line| line.split(' ').next() == Some(word))
    }

    /// Writes octets as they are.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn raw(&mut self, octets: &[u8]) -> io::Result<()> {
        self.wire.put(octets);
        self.wire.flush()
    }

    /// Reads one reply of any number of lines.
    ///
    /// # Errors
    /// Those of the stream; `UnexpectedEof` when the server closed.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut reply = Reply { code: 0, lines: Vec::new() };
        loop {
            let line = String::from_utf8_lossy(&self.wire.line()?).into_owned();
            let (code, rest) = line.split_at_checked(3).unwrap_or(("", &line));
            reply.code = code.parse().unwrap_or(0);
            let last = !rest.starts_with('-');
            reply.lines.push(rest.get(1..).unwrap_or_default().to_owned());
            if last {
                return Ok(reply);
            }
        }
    }

    /// Writes one command and reads its reply.
    ///
    /// # Errors
    /// As [`Client::reply`].
    pub fn command(&mut self, line: &str) -> io::Result<Reply> {
        self.raw(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// Sends one mail, pipelined if that is offered. The session can go on afterwards.
    ///
    /// # Errors
    /// The connection broke: then nobody knows whether the mail was taken.
    pub fn send(&mut self, mail: &Mail<'_>) -> io::Result<Sent> {
        if self.offers("PIPELINING") { self.send_pipelined(mail) } else { self.send_plain(mail) }
    }

    fn envelope_line(&self, mail: &Mail<'_>) -> String {
        let utf8 = if mail.from.is_ascii() && mail.to.iter().all(|to| to.is_ascii()) {
            ""
        } else {
            " SMTPUTF8"
        };
        let body =
            if mail.content.is_ascii() || !self.offers("8BITMIME") { "" } else { " BODY=8BITMIME" };
        format!("MAIL FROM:<{}>{body}{utf8}\r\n", mail.from)
    }

    fn send_pipelined(&mut self, mail: &Mail<'_>) -> io::Result<Sent> {
        let line = self.envelope_line(mail);
        self.wire.put(line.as_bytes());
        for to in mail.to {
            self.wire.put(format!("RCPT TO:<{to}>\r\n").as_bytes());
        }
        self.wire.put(b"DATA\r\n");
        self.wire.flush()?;
        let from = self.reply()?;
        let mut recipients = Vec::with_capacity(mail.to.len());
        for _ in mail.to {
            recipients.push(self.reply()?);
        }
        let data = self.reply()?;
        self.content(mail, &from, recipients, data)
    }

    fn send_plain(&mut self, mail: &Mail<'_>) -> io::Result<Sent> {
        let line = self.envelope_line(mail);
        let from = self.command(line.trim_end())?;
        let mut recipients = Vec::with_capacity(mail.to.len());
        if from.is_positive() {
            for to in mail.to {
                recipients.push(self.command(&format!("RCPT TO:<{to}>"))?);
            }
        }
        if !recipients.iter().any(Reply::is_positive) {
            let reply = recipients.last().cloned().unwrap_or(from);
            if reply.code != 421 {
                self.command("RSET")?;
            }
            return Ok(Sent { recipients, reply });
        }
        let data = self.command("DATA")?;
        self.content(mail, &from, recipients, data)
    }

    fn content(
        &mut self,
        mail: &Mail<'_>,
        from: &Reply,
        recipients: Vec<Reply>,
        data: Reply,
    ) -> io::Result<Sent> {
        if data.code != 354 {
            let worst = recipients.iter().find(|reply| !reply.is_positive()).cloned();
            let reply = if from.is_positive() { worst.unwrap_or(data) } else { from.clone() };
            if reply.code != 421 {
                self.command("RSET")?;
            }
            return Ok(Sent { recipients, reply });
        }
        self.wire.put_stuffed(mail.content);
        self.wire.flush()?;
        let reply = self.reply()?;
        Ok(Sent { recipients, reply })
    }

    /// Says QUIT and closes.
    pub fn quit(mut self) {
        // The mails are answered already; how the farewell ends changes nothing.
        let _ = self.command("QUIT");
    }
}
