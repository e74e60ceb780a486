//! The end of a content, found in octets that come in any pieces.

use memchr::memmem;

/// Un-stuffs what is there of a content (RFC 5321 section 4.5.2) and hands it to `keep` piece by
/// piece; says how much of `input` was used, and whether the end of data was in it. Only CR LF . CR LF
/// ends it. The rest, two octets at most, comes again in front of what follows.
pub(super) fn take(
    input: &[u8],
    at_line_start: &mut bool,
    mut keep: impl FnMut(&[u8]),
) -> (usize, bool) {
    let mut used = 0;
    loop {
        let mut rest = input.get(used..).unwrap_or_default();
        if *at_line_start {
            if rest.len() < 3 && b".\r\n".starts_with(rest) {
                return (used, false);
            }
            if rest.starts_with(b".\r\n") {
                return (used + 3, true);
            }
            if let Some(unstuffed) = rest.strip_prefix(b".") {
                rest = unstuffed;
                used += 1;
            }
            *at_line_start = false;
        }
        let Some(at) = memmem::find(rest, b"\r\n.") else {
            // The last two octets may be the start of CR LF dot.
            let safe = rest.len().saturating_sub(2);
            keep(rest.get(..safe).unwrap_or_default());
            return (used + safe, false);
        };
        keep(rest.get(..at + 2).unwrap_or_default());
        used += at + 2;
        *at_line_start = true;
    }
}

#[cfg(test)]
mod tests {
    use super::take;

    #[test]
    fn a_content_is_the_same_however_its_octets_are_cut() {
        let sent: &[u8] = b"..a\r\nb\n.\nc\r\n..\r\n\r.\r\nd\r\n.\r\nQUIT\r\n";
        let want: &[u8] = b".a\r\nb\n.\nc\r\n.\r\n\r.\r\nd\r\n";
        for size in 1..=sent.len() {
            let (mut left, mut got, mut start) = (Vec::new(), Vec::new(), true);
            let mut rest = Vec::new();
            let mut ended = false;
            for piece in sent.chunks(size) {
                if ended {
                    rest.extend_from_slice(piece);
                    continue;
                }
                left.extend_from_slice(piece);
                let (used, end) = take(&left, &mut start, |part| got.extend_from_slice(part));
                left.drain(..used);
                ended = end;
                assert!(ended || left.len() <= 3, "{} octets are held back", left.len());
            }
            left.extend_from_slice(&rest);
            assert!(ended, "pieces of {size}");
            assert_eq!(got, want, "pieces of {size}");
            assert_eq!(left, b"QUIT\r\n");
        }
    }
}
