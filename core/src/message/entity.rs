//! Character references of HTML: `&amp;`, `&#64;`.

use mail_parser::decoders::html::add_html_token;

/// Longest entity: `&CounterClockwiseContourIntegral;`.
const ENTITY_BYTES_MAX: usize = 34;

/// Appends `text` with its character references undone.
pub(super) fn undo_entities(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        let (plain, from) = rest.split_at(at);
        out.push_str(plain);
        if let Some((c, bytes)) = numeric(from.as_bytes()) {
            out.push(c);
            rest = from.get(bytes..).unwrap_or_default();
            continue;
        }
        let head = from.as_bytes().get(..ENTITY_BYTES_MAX).unwrap_or(from.as_bytes());
        let letters = head.iter().skip(1).take_while(|octet| octet.is_ascii_alphanumeric()).count();
        let closed = from.as_bytes().get(letters + 1) == Some(&b';');
        if letters > 0 && closed {
            let reference = from.get(..letters + 2).unwrap_or_default();
            add_html_token(out, reference.as_bytes(), false);
            rest = from.get(reference.len()..).unwrap_or_default();
        } else {
            out.push('&');
            rest = from.get(1..).unwrap_or_default();
        }
    }
    out.push_str(rest);
}

/// The character of a numeric reference at the begin of `text`, and the octets that it takes. Browsers read digits for as
/// long as there are any, with however many zeros in front, and need no semicolon behind them: `evil&#46com` is a host.
fn numeric(text: &[u8]) -> Option<(char, usize)> {
    let (digits, radix) = match text.strip_prefix(b"&#")? {
        [b'x' | b'X', digits @ ..] => (digits, 16),
        digits => (digits, 10),
    };
    let is_digit = |octet: &&u8| char::from(**octet).is_digit(radix);
    let count = digits.iter().take_while(is_digit).count();
    let number = digits.get(..count).filter(|number| !number.is_empty())?;
    let code = number.iter().try_fold(0_u32, |code, octet| {
        code.checked_mul(radix)?.checked_add(char::from(*octet).to_digit(radix)?)
    });
    let c = code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
    let closed = usize::from(digits.get(count) == Some(&b';'));
    Some((c, text.len() - digits.len() + count + closed))
}
