//! Points in time as people write them: `2026-01-31`, `2026-01-31T10:00`, or an age: `90s`, `2h`,
//! `3d`, `1w`. Without a zone they are local time.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use sekisho_core::clock::UnixMillis;

use crate::outcome::Failure;
use crate::output;

/// UTC milliseconds of what was written under `option`; none if nothing was.
fn point(option: &str, written: Option<&str>, now_millis: u64) -> Result<Option<u64>, Failure> {
    let Some(written) = written else { return Ok(None) };
    parse(written, now_millis, &TimeZone::system()).map(Some).ok_or_else(|| {
        Failure::new(option, format_args!("`{written}` is no date, time or age"))
            .next(format_args!("{option} 2026-01-31, {option} 2026-01-31T10:00, {option} 2h"))
    })
}

/// Both ends of a period; a beginning that is not before its end is a mistake, and not an empty answer.
pub(crate) fn between(
    since: Option<&str>,
    until: Option<&str>,
    now_millis: u64,
) -> Result<(Option<UnixMillis>, Option<UnixMillis>), Failure> {
    let from = point("--since", since, now_millis)?;
    let to = point("--until", until, now_millis)?;
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        let (from, to) = (output::time(from), output::time(to));
        return Err(Failure::new("--since", format_args!("{from} is not before --until {to}")));
    }
    Ok((from.map(UnixMillis), to.map(UnixMillis)))
}

/// UTC milliseconds of a point to come: a time, or how long from now.
pub(crate) fn later(option: &str, written: &str, now_millis: u64) -> Result<u64, Failure> {
    let from_now = |seconds: u64| now_millis.checked_add(seconds.checked_mul(1000)?);
    let point = match age_seconds(written) {
        Some(seconds) => from_now(seconds),
        None => parse(written, now_millis, &TimeZone::system()),
    };
    point.ok_or_else(|| {
        Failure::new(option, format_args!("`{written}` is no date, time or period"))
            .next(format_args!("{option} 2026-01-31T10:00, {option} 2h"))
    })
}

fn parse(written: &str, now_millis: u64, zone: &TimeZone) -> Option<u64> {
    if let Some(age) = age_seconds(written) {
        return Some(now_millis.saturating_sub(age.checked_mul(1000)?));
    }
    if let Ok(stamp) = written.parse::<jiff::Timestamp>() {
        return u64::try_from(stamp.as_millisecond()).ok();
    }
    let local = match written.parse::<DateTime>() {
        Ok(local) => local,
        Err(_) => written.parse::<Date>().ok()?.at(0, 0, 0, 0),
    };
    let stamp = local.to_zoned(zone.clone()).ok()?.timestamp();
    u64::try_from(stamp.as_millisecond()).ok()
}

fn age_seconds(written: &str) -> Option<u64> {
    let digits = written.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = written.split_at(digits);
    let seconds = match unit {
        "s" => 1,
        "min" | "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    count.parse::<u64>().ok()?.checked_mul(seconds)
}

#[cfg(test)]
mod tests {
    use super::{between, later, parse, point};
    use jiff::tz::TimeZone;

    #[test]
    fn dates_times_and_ages_are_points_in_time() {
        let now = 1_800_000_000_000;
        for (written, want) in [
            ("2026-01-31", Some(1_769_817_600_000)),
            ("2026-01-31T10:00", Some(1_769_853_600_000)),
            ("2026-01-31T10:00Z", Some(1_769_853_600_000)),
            ("2026-01-31T10:00+09:00", Some(1_769_821_200_000)),
            ("90s", Some(now - 90_000)),
            ("2h", Some(now - 7_200_000)),
            ("3d", Some(now - 3 * 86_400_000)),
            ("1w", Some(now - 604_800_000)),
            ("yesterday", None),
            ("3", None),
            ("99999999999999999999d", None),
            ("", None),
        ] {
            assert_eq!(parse(written, now, &TimeZone::UTC), want, "{written}");
        }
        for (written, want) in [
            ("2h", Some(now + 7_200_000)),
            ("2026-01-31T10:00+09:00", Some(1_769_821_200_000)),
            ("soon", None),
            ("99999999999999999d", None),
        ] {
            assert_eq!(later("--until", written, now).ok(), want, "{written}");
        }
        assert!(point("--since", Some("soon"), now).is_err());
        assert_eq!(point("--since", None, now), Ok(None));
        // `--since 1h --until 2h` said "no row matches", as if nothing had happened.
        let error = between(Some("1h"), Some("2h"), now).unwrap_err().to_string();
        assert!(error.contains("is not before --until"), "{error}");
        let (from, to) = between(Some("2h"), Some("1h"), now).unwrap();
        assert!(from < to && between(None, Some("1h"), now).is_ok());
    }
}
