//! Words and numbers for people: strangers' text made harmless, figures with as many digits as
//! they are worth.

/// Text of a peer for XML and HTML, element content and attribute values alike.
///
/// A control character cannot stand in XML at all, not even escaped; it is shown as U+FFFD.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\r' | '\t' => escaped.push(' '),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Text of a peer for a terminal: a reply must not move the cursor or colour the screen.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// At most so many characters, with an ellipsis where something was cut.
pub(super) fn shortened(text: &str, characters_max: usize) -> String {
    if text.chars().count() <= characters_max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(characters_max.saturating_sub(1)).collect();
    format!("{}\u{2026}", kept.trim_end())
}

/// A whole number with its thousands apart: `12,345`.
pub(super) fn count(number: u64) -> String {
    grouped(&number.to_string())
}

/// A measured number with three or so digits that mean something: `1,234`, `12.3`, `0.046`.
pub(super) fn figure(number: f64) -> String {
    if !number.is_finite() {
        return "-".to_owned();
    }
    let decimals = match number.abs() {
        0.0 => 0,
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.9995 => 2,
        size if size >= 0.009_995 => 3,
        _ => 5,
    };
    fixed(number, decimals)
}

/// A number with so many decimals and its thousands apart.
pub(super) fn fixed(number: f64, decimals: usize) -> String {
    if !number.is_finite() {
        return "-".to_owned();
    }
    let text = format!("{number:.decimals$}");
    // What was rounded to nothing has no sign.
    let text = match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| matches!(c, '0' | '.')) => rest.to_owned(),
        _ => text,
    };
    match text.split_once('.') {
        Some((whole, rest)) => format!("{}.{rest}", grouped(whole)),
        None => grouped(&text),
    }
}

/// A part of a whole in percent; what is not nothing never reads as `0 %`.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let percent = part as f64 * 100.0 / whole as f64;
    if part > 0 && percent < 0.01 {
        return "< 0.01 %".to_owned();
    }
    let decimals = if percent >= 9.995 { 1 } else { 2 };
    let text = fixed(percent, decimals);
    format!("{} %", text.strip_suffix(".00").or_else(|| text.strip_suffix(".0")).unwrap_or(&text))
}

/// A time: whole seconds as whole ones.
pub(super) fn seconds(number: f64) -> String {
    if (number - number.round()).abs() < 1e-6 { fixed(number, 0) } else { figure(number) }
}

/// The first letter of a finding; a run's name or a number stays.
pub(super) fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

fn grouped(digits: &str) -> String {
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", digits),
    };
    let mut text = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The time of a run in UTC, `2026-11-26 15:04 UTC`, by the calendar of Howard Hinnant's
/// `civil_from_days`; a crate for one line of a report would be too much.
pub(super) fn utc(unix: u64) -> String {
    let (days, seconds) = (unix / 86_400 + 719_468, unix % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (seconds / 3600, seconds % 3600 / 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_peer_can_neither_mark_up_nor_break_the_page() {
        assert_eq!(escape("<script>alert('a&b\")"), "&lt;script&gt;alert(&#39;a&amp;b&quot;)");
        assert_eq!(escape("a\u{0}b\u{1b}[31m\r\nc"), "a\u{fffd}b\u{fffd}[31m  c");
        assert_eq!(printable("451 \u{1b}[2J\u{7}gone"), "451 \u{fffd}[2J\u{fffd}gone");
    }

    #[test]
    fn figures_have_the_digits_that_they_are_worth() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (0.000_012, "0.00001"),
            (0.0461, "0.046"),
            (1.0, "1.00"),
            (9.999, "10.0"),
            (12.34, "12.3"),
            (99.97, "100"),
            (1234.5, "1,234"),
            (-1_234_567.0, "-1,234,567"),
            (f64::NAN, "-"),
            (f64::INFINITY, "-"),
        ] {
            assert_eq!(figure(number), text, "{number}");
        }
        assert_eq!(count(1_000_000), "1,000,000");
        assert_eq!(count(999), "999");
    }

    #[test]
    fn a_part_that_is_not_nothing_never_reads_as_nothing() {
        assert_eq!(percent(1, 1_000_000), "< 0.01 %");
        assert_eq!(percent(0, 1_000_000), "0 %");
        assert_eq!(percent(1, 3), "33.3 %");
        assert_eq!(percent(0, 0), "-");
    }

    #[test]
    fn the_calendar_knows_leap_days_and_ends_of_years() {
        for (unix, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_827_696, "2000-02-29 12:34 UTC"),
            (1_709_164_800, "2024-02-29 00:00 UTC"),
            (1_798_761_599, "2026-12-31 23:59 UTC"),
        ] {
            assert_eq!(utc(unix), text);
        }
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!(shortened("日本語のとても長い文", 5), "日本語の\u{2026}");
        assert_eq!(shortened("short", 5), "short");
    }
}
