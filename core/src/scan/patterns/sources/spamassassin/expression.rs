//! `/re/flags`, `m{re}flags` and alike.

use super::super::super::rule::Pattern;
use super::super::ascii_pattern;

/// Reads an expression; on failure the column and what is wrong.
pub(super) fn read(text: &str) -> Result<Pattern, (usize, String)> {
    let bare = text.strip_prefix('m').unwrap_or(text);
    let skipped = text.len() - bare.len();
    let Some(open) = bare.chars().next() else { return Err((0, "missing expression".into())) };
    if open.is_ascii_alphanumeric() || open.is_whitespace() || (skipped == 0 && open != '/') {
        return Err((0, format!("expected /expression/ or m{{expression}}, found `{open}`")));
    }
    let close = match open {
        '{' => '}',
        '(' => ')',
        '[' => ']',
        '<' => '>',
        other => other,
    };
    let inner = bare.get(open.len_utf8()..).unwrap_or_default();
    let Some(end) = inner.rfind(close) else {
        return Err((skipped, format!("expression without closing `{close}`")));
    };
    let (regex, tail) = inner.split_at(end);
    let mut pattern = Pattern { text: String::new(), ..Pattern::default() };
    for flag in tail.chars().skip(1) {
        match flag {
            'i' => pattern.caseless = true,
            'm' => pattern.multiline = true,
            's' => pattern.dotall = true,
            'x' => pattern.extended = true,
            // No meaning for a test: once, global, and characters as ASCII or Unicode.
            'o' | 'g' | 'a' | 'u' | 'l' => {}
            ' ' | '\t' => break,
            other => {
                return Err((skipped + 1 + end, format!("unknown flag `{other}`")));
            }
        }
    }
    if regex.is_empty() {
        return Err((skipped, "empty expression".into()));
    }
    pattern.text = ascii_pattern(regex);
    Ok(pattern)
}
