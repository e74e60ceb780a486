//! The filters of PDF streams, read in pieces.

use std::io::{Error, ErrorKind, Read, Result};

use flate2::{Decompress, FlushDecompress, Status};
use weezl::decode::Decoder;
use weezl::{BitOrder, LzwStatus};

/// `ASCIIHexDecode`. ISO 32000-1 section 7.4.2.
pub(in crate::scan) fn from_hex(text: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = text
        .iter()
        .filter_map(|octet| char::from(*octet).to_digit(16))
        .filter_map(|digit| u8::try_from(digit).ok())
        .collect();
    let digit = |pair: &[u8], at: usize| pair.get(at).copied().unwrap_or(0);
    digits.chunks(2).map(|pair| digit(pair, 0) << 4 | digit(pair, 1)).collect()
}

/// `ASCII85Decode`. ISO 32000-1 section 7.4.3.
pub(super) fn from_base85(text: &[u8]) -> Vec<u8> {
    let text = text.strip_prefix(b"<~").unwrap_or(text);
    let mut out = Vec::with_capacity(text.len() / 5 * 4);
    let (mut value, mut digits) = (0_u32, 0_usize);
    let shift = |value: u32, digit: u8| value.wrapping_mul(85).wrapping_add(u32::from(digit));
    for octet in text {
        match octet {
            b'z' if digits == 0 => out.extend([0; 4]),
            b'!'..=b'u' => {
                value = shift(value, octet - b'!');
                digits += 1;
                if digits == 5 {
                    out.extend(value.to_be_bytes());
                    (value, digits) = (0, 0);
                }
            }
            _ => {}
        }
    }
    if digits > 1 {
        let filled = (digits..5).fold(value, |value, _| shift(value, 84));
        out.extend(filled.to_be_bytes().iter().take(digits - 1));
    }
    out
}

/// `FlateDecode` behind zlib's head, as far as it goes: flate2's own readers keep back up to 32 KiB that were unfolded in front
/// of an error.
pub(super) struct Deflate<'d> {
    state: Decompress,
    data: &'d [u8],
    broken: bool,
}

impl<'d> Deflate<'d> {
    pub(super) fn new(data: &'d [u8]) -> Self {
        Self { state: Decompress::new(false), data, broken: false }
    }

    /// Octets that were read.
    pub(super) fn used(&self) -> u64 {
        self.state.total_in()
    }
}

impl Read for Deflate<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        while !self.broken && !out.is_empty() {
            let (used, made) = (self.state.total_in(), self.state.total_out());
            let from = usize::try_from(used).unwrap_or(usize::MAX);
            let rest = self.data.get(from..).unwrap_or_default();
            let step = self.state.decompress(rest, out, FlushDecompress::None);
            let count = usize::try_from(self.state.total_out() - made).unwrap_or(0);
            // Data that end early go no further; what came before is given first.
            let stuck = count == 0 && self.state.total_in() == used;
            self.broken = step.is_err() || stuck && !matches!(step, Ok(Status::StreamEnd));
            if count > 0 || matches!(step, Ok(Status::StreamEnd)) {
                return Ok(count);
            }
        }
        if self.broken { Err(ErrorKind::InvalidData.into()) } else { Ok(0) }
    }
}

/// `LZWDecode`, read in pieces. ISO 32000-1 section 7.4.4.
pub(super) struct Lzw<'d> {
    decoder: Decoder,
    rest: &'d [u8],
    done: bool,
}

impl<'d> Lzw<'d> {
    /// With `/EarlyChange 1`, the default, codes become longer one code early.
    pub(super) fn new(data: &'d [u8], early_change: bool) -> Self {
        let decoder = match early_change {
            true => Decoder::with_tiff_size_switch(BitOrder::Msb, 8),
            false => Decoder::new(BitOrder::Msb, 8),
        };
        Self { decoder, rest: data, done: false }
    }

    /// Octets that are not read yet.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }
}

impl Read for Lzw<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        while !self.done {
            let step = self.decoder.decode_bytes(self.rest, out);
            self.rest = self.rest.get(step.consumed_in..).unwrap_or_default();
            // The end, or no more to be had: what follows a stream without an end mark is not of it.
            self.done = !matches!(step.status, Ok(LzwStatus::Ok));
            if step.consumed_out > 0 {
                return Ok(step.consumed_out);
            }
            step.status.map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
        }
        Ok(0)
    }
}

/// `RunLengthDecode`, read in pieces. ISO 32000-1 section 7.4.5.
pub(super) struct RunLength<'d> {
    rest: &'d [u8],
    /// Octets that are still to be copied, or an octet and how often it is still to be repeated.
    copy: &'d [u8],
    repeat: (u8, usize),
}

impl<'d> RunLength<'d> {
    pub(super) fn new(data: &'d [u8]) -> Self {
        Self { rest: data, copy: &[], repeat: (0, 0) }
    }

    /// Octets that are not read yet.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// Takes the next run; `false` at the end.
    fn next_run(&mut self) -> bool {
        match self.rest {
            [length @ 0..=127, rest @ ..] => {
                (self.copy, self.rest) = rest.split_at(rest.len().min(usize::from(*length) + 1));
                !self.copy.is_empty()
            }
            [length @ 129..=255, octet, rest @ ..] => {
                self.repeat = (*octet, 257 - usize::from(*length));
                self.rest = rest;
                true
            }
            [128, ..] | [_] | [] => false,
        }
    }
}

impl Read for RunLength<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while let Some(room) = out.get_mut(filled..).filter(|room| !room.is_empty()) {
            let (octet, times) = self.repeat;
            let count = if self.copy.is_empty() {
                let count = times.min(room.len());
                room.iter_mut().take(count).for_each(|place| *place = octet);
                self.repeat.1 -= count;
                count
            } else {
                let (now, later) = self.copy.split_at(self.copy.len().min(room.len()));
                room.iter_mut().zip(now).for_each(|(place, octet)| *place = *octet);
                self.copy = later;
                now.len()
            };
            filled += count;
            if count == 0 && !self.next_run() {
                break;
            }
        }
        Ok(filled)
    }
}
