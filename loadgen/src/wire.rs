//! Lines and message content over a TCP stream, for both ends.
//!
//! Output is gathered until [`Wire::flush`], so that a pipelined group is one write and a group of
//! replies is one write (RFC 2920). Only CR LF . CR LF ends a content, as in the engine.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use memchr::{memchr, memmem};

/// Longest line that is read before the peer counts as broken.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;
/// Largest content that is read before the peer counts as broken.
pub const MESSAGE_BYTES_MAX: usize = 2048 * 1024 * 1024;
const READ_BYTES: usize = 64 * 1024;

/// A stream with what was read but not used, and what was written but not flushed.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    input: Vec<u8>,
    used: usize,
    output: Vec<u8>,
    space: Box<[u8]>,
}

impl Wire {
    /// Takes over a connected stream; Nagle's algorithm is switched off.
    #[must_use]
    pub fn new(stream: TcpStream) -> Self {
        // A refusal here (peer already gone) shows at the first read.
        let _ = stream.set_nodelay(true);
        let space = vec![0; READ_BYTES].into_boxed_slice();
        Self { stream, input: Vec::new(), used: 0, output: Vec::new(), space }
    }

    /// The stream, for time-outs and shutdown.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn rest(&self) -> &[u8] {
        self.input.get(self.used..).unwrap_or_default()
    }

    fn advance(&mut self, bytes: usize) {
        self.used = (self.used + bytes).min(self.input.len());
        if self.used == self.input.len() {
            self.input.clear();
            self.used = 0;
        }
    }

    /// Reads once. `UnexpectedEof` when the peer closed.
    fn fill(&mut self) -> io::Result<()> {
        if self.used > READ_BYTES {
            self.input.drain(..self.used);
            self.used = 0;
        }
        loop {
            match self.stream.read(&mut self.space) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => {
                    self.input.extend_from_slice(self.space.get(..bytes).unwrap_or_default());
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether a whole line is here already: if so, a server may hold its replies back.
    #[must_use]
    pub fn has_line(&self) -> bool {
        memchr(b'\n', self.rest()).is_some()
    }

    /// One line without its line end (CR LF, or a bare LF of a sloppy peer).
    ///
    /// # Errors
    /// Those of the stream; `UnexpectedEof` when closed; `InvalidData` beyond [`LINE_BYTES_MAX`].
    pub fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = memchr(b'\n', self.rest()) {
                let line = self.rest().get(..end).unwrap_or_default();
                let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
                self.advance(end + 1);
                return Ok(line);
            }
            if self.rest().len() > LINE_BYTES_MAX {
                return Err(io::Error::new(ErrorKind::InvalidData, "line too long"));
            }
            self.fill()?;
        }
    }

    /// Exactly `bytes` octets, appended to `content` (BDAT).
    ///
    /// # Errors
    /// Those of the stream; `UnexpectedEof` when closed before.
    pub fn octets(&mut self, bytes: usize, content: &mut Vec<u8>) -> io::Result<()> {
        let mut missing = bytes;
        while missing > 0 {
            let here = self.rest().len().min(missing);
            content.extend_from_slice(self.rest().get(..here).unwrap_or_default());
            self.advance(here);
            missing -= here;
            if missing > 0 {
                self.fill()?;
            }
        }
        Ok(())
    }

    /// Content up to CR LF . CR LF, un-stuffed, appended to `content` (DATA, RFC 5321 4.5.2).
    ///
    /// # Errors
    /// Those of the stream; `UnexpectedEof` when closed before the end of data.
    pub fn content(&mut self, content: &mut Vec<u8>) -> io::Result<()> {
        let mut line_start = true;
        loop {
            if line_start {
                if b".\r\n".starts_with(self.rest()) && self.rest().len() < 3 {
                    self.fill()?;
                    continue;
                }
                if self.rest().starts_with(b".\r\n") {
                    self.advance(3);
                    return Ok(());
                }
                if self.rest().starts_with(b".") {
                    self.advance(1);
                }
                line_start = false;
            }
            if content.len() > MESSAGE_BYTES_MAX {
                return Err(io::Error::new(ErrorKind::InvalidData, "message too large"));
            }
            if let Some(at) = memmem::find(self.rest(), b"\r\n.") {
                content.extend_from_slice(self.rest().get(..at + 2).unwrap_or_default());
                self.advance(at + 2);
                line_start = true;
                continue;
            }
            // The last two octets may be the start of CR LF dot; they wait for what follows.
            let safe = self.rest().len().saturating_sub(2);
            content.extend_from_slice(self.rest().get(..safe).unwrap_or_default());
            self.advance(safe);
            self.fill()?;
        }
    }

    /// Gathers `octets` for the next flush.
    pub fn put(&mut self, octets: &[u8]) {
        self.output.extend_from_slice(octets);
    }

    /// Gathers `content` dot-stuffed with its end of data. A content that does not end in CR LF gets
    /// one (RFC 5321 section 4.1.1.4).
    pub fn put_stuffed(&mut self, content: &[u8]) {
        let mut rest = content;
        if rest.starts_with(b".") {
            self.output.push(b'.');
        }
        while let Some(at) = memmem::find(rest, b"\r\n.") {
            let (head, tail) = rest.split_at(at + 2);
            self.output.extend_from_slice(head);
            self.output.push(b'.');
            rest = tail;
        }
        self.output.extend_from_slice(rest);
        if !content.is_empty() && !content.ends_with(b"\r\n") {
            self.output.extend_from_slice(b"\r\n");
        }
        self.output.extend_from_slice(b".\r\n");
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let result = self.stream.write_all(&self.output);
        self.output.clear();
        result
    }
}

#[cfg(test)]
mod tests {
    use super::Wire;
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};

    fn pair() -> (TcpStream, Wire) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (far, Wire::new(listener.accept().unwrap().0))
    }

    #[test]
    fn content_is_unstuffed_and_ends_only_at_crlf_dot_crlf_wherever_the_octets_are_cut() {
        let sent: &[u8] = b"..a\r\nb\n.\nc\r\n..\r\n\r.\r\nd\r\n.\r\nQUIT\r\n";
        let want: &[u8] = b".a\r\nb\n.\nc\r\n.\r\n\r.\r\nd\r\n";
        for cut in 0..sent.len() {
            let (mut far, mut near) = pair();
            let sender = std::thread::spawn(move || {
                far.write_all(&sent[..cut]).unwrap();
                far.flush().unwrap();
                far.write_all(&sent[cut..]).unwrap();
                far
            });
            let mut content = Vec::new();
            near.content(&mut content).unwrap();
            assert_eq!(content, want, "cut at {cut}");
            assert_eq!(near.line().unwrap(), b"QUIT");
            drop(sender.join().unwrap());
        }
    }

    #[test]
    fn what_is_stuffed_comes_back_as_it_was() {
        for content in [
            &b""[..],
            b".\r\n",
            b"..\r\n.\r\n",
            b"a\r\n.b\r\n",
            b"\r\n\r\n.\r\n\r\n",
            b"no line end\r\n.",
        ] {
            let (far, mut near) = pair();
            let mut far = Wire::new(far);
            far.put_stuffed(content);
            far.flush().unwrap();
            let mut back = Vec::new();
            near.content(&mut back).unwrap();
            let mut want = content.to_vec();
            if !want.is_empty() && !want.ends_with(b"\r\n") {
                want.extend_from_slice(b"\r\n");
            }
            assert_eq!(back, want);
        }
    }

    #[test]
    fn a_peer_that_closes_inside_a_content_is_an_error_and_not_an_end_of_data() {
        let (mut far, mut near) = pair();
        far.write_all(b"half\r\n.").unwrap();
        drop(far);
        let error = near.content(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    }
}
