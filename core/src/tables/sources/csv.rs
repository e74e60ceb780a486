//! CSV, RFC 4180, one record a line: fields in quotes may hold commas, `""` is a quote.

use std::borrow::Cow;

use super::item;
use super::lines::LineError;
use crate::clock::UnixMillis;
use crate::tables::senders::Entry;

/// A field and its column in octets from 0.
pub(crate) type Field<'l> = (usize, Cow<'l, str>);

/// Splits a line.
pub(crate) fn fields(line: &str) -> Result<Vec<Field<'_>>, LineError> {
    let mut fields = Vec::with_capacity(6);
    let mut at = 0;
    loop {
        let rest = line.get(at..).unwrap_or_default();
        let (field, used) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (field, used) =
                    quoted_field(quoted).ok_or_else(|| (at, "quote is not closed".to_owned()))?;
                (Cow::Owned(field), used + 1)
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (Cow::Borrowed(rest.get(..end).unwrap_or_default().trim()), end)
            }
        };
        fields.push((at, field));
        at += used;
        match line.as_bytes().get(at) {
            None => return Ok(fields),
            Some(b',') => at += 1,
            Some(_) => return Err((at, "a comma is missing after the closing quote".to_owned())),
        }
    }
}

/// Content of a quoted field and the octets it took, its closing quote included.
fn quoted_field(text: &str) -> Option<(String, usize)> {
    let mut field = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '"' {
            field.push(c);
        } else if chars.next_if(|(_, next)| *next == '"').is_some() {
            field.push('"');
        } else {
            return Some((field, at + 1));
        }
    }
    None
}

/// A recipient: its address and, for an alias, the target's.
pub(crate) type Recipient = (String, Option<String>);

/// `address[,target]`.
pub(crate) fn recipient(line: &str) -> Result<Recipient, LineError> {
    let fields = fields(line)?;
    let at = |index: usize| fields.get(index).map(|(column, text)| (*column, text.as_ref()));
    if let Some((column, extra)) = at(2) {
        return Err((column, format!("`{extra}` is too much: address[,target]")));
    }
    let (column, text) = at(0).unwrap_or_default();
    let address = item::address(text).map_err(|what| (column, what))?;
    let target = match at(1) {
        None | Some((_, "")) => None,
        Some((column, text)) => Some(item::address(text).map_err(|what| (column, what))?),
    };
    Ok((address, target))
}

/// `owner,side,polarity,pattern[,match_on[,active_from]]`; `active_from` is a date of RFC 3339.
pub(crate) fn entry(line: &str) -> Result<Entry, LineError> {
    let fields = fields(line)?;
    let at = |index: usize| fields.get(index).map(|(column, text)| (*column, text.as_ref()));
    if let Some((column, extra)) = at(6) {
        return Err((column, format!("`{extra}` is too much: six columns are known")));
    }
    let column = |index: usize, name: &str| {
        at(index).ok_or_else(|| (line.len(), format!("column {name} is missing")))
    };
    let (owner_at, owner) = column(0, "owner")?;
    let (side_at, side) = column(1, "side")?;
    let (polarity_at, polarity) = column(2, "polarity")?;
    let (pattern_at, pattern) = column(3, "pattern")?;
    let (match_at, match_on) = at(4).unwrap_or_default();
    let (active_at, active_from) = at(5).unwrap_or_default();
    Ok(Entry {
        owner: item::owner(owner).map_err(|what| (owner_at, what))?,
        side: item::side(side).map_err(|what| (side_at, what))?,
        polarity: item::polarity(polarity).map_err(|what| (polarity_at, what))?,
        pattern: item::pattern(pattern).map_err(|what| (pattern_at, what))?,
        match_on: item::match_on(match_on).map_err(|what| (match_at, what))?,
        active_from: date(active_from).map_err(|what| (active_at, what))?,
    })
}

fn date(text: &str) -> Result<UnixMillis, String> {
    if text.is_empty() {
        return Ok(UnixMillis(0));
    }
    let wrong = || format!("`{text}` is not a date such as 2026-01-31T12:00:00Z");
    let time: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
    u64::try_from(time.as_millisecond()).map(UnixMillis).map_err(|_| wrong())
}

/// A line of a hosts CSV: `host,flag[+flag..]`.
pub(crate) fn is_header(line: &str, first_column: &str) -> bool {
    line.split(',').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(first_column))
}
