//! Timestamps and durations: whole milliseconds, within the years that four digits can write.

use chrono::{DateTime, Datelike, SecondsFormat, TimeDelta, Timelike, Utc};

/// Hours of the longest duration: more than a century, and far from where Postgres's calendar ends.
const MOST_HOURS: i64 = 1_000_000;

/// The canonical text, for Postgres: exactly what [`read_canonical`] reads, so that a cast can't fail.
pub(super) const CANONICAL: &str = "^(?!0000)(([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])\
    |(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8])))\
    |([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)\
    T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][.][0-9]{3}Z$";

/// Writes a moment as documents hold it: RFC 3339 in UTC with milliseconds, so that the order of the texts is the order
/// of the moments and an index on the text serves.
pub fn canonical(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Reads what [`canonical`] writes, and nothing else.
pub fn read_canonical(text: &str) -> Option<DateTime<Utc>> {
    let moment = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    (in_range(moment) && canonical(moment) == text).then_some(moment)
}

/// Reads any RFC 3339 text, as an author may write it.
pub(super) fn read_literal(text: &str) -> Result<DateTime<Utc>, &'static str> {
    let moment = DateTime::parse_from_rfc3339(text)
        .map_err(|_error| "the text is no timestamp; write one like \"2026-11-24T09:00:00Z\"")?
        .to_utc();
    if moment != whole_milliseconds(moment) {
        return Err("timestamps have milliseconds, and nothing smaller");
    }
    if !in_range(moment) {
        return Err("timestamps are within the years 0001 to 9999, without leap seconds");
    }
    Ok(moment)
}

/// Cuts off what is smaller than a millisecond.
pub(super) fn whole_milliseconds(moment: DateTime<Utc>) -> DateTime<Utc> {
    let excess = i64::from(moment.timestamp_subsec_nanos() % 1_000_000);
    moment - TimeDelta::nanoseconds(excess)
}

fn in_range(moment: DateTime<Utc>) -> bool {
    (1..=9999).contains(&moment.year()) && moment.nanosecond() < 1_000_000_000
}

/// A moment so many milliseconds later; none outside the years 0001 to 9999.
pub(super) fn shift(moment: DateTime<Utc>, milliseconds: i64) -> Option<DateTime<Utc>> {
    let later = moment.checked_add_signed(TimeDelta::try_milliseconds(milliseconds)?)?;
    in_range(later).then_some(later)
}

/// Whether a duration is short enough.
pub(super) fn is_duration(milliseconds: i64) -> bool {
    milliseconds.abs() <= MOST_HOURS * 3_600_000
}

/// Reads a duration such as `1h30m` in milliseconds.
pub(super) fn read_duration(text: &str) -> Result<i64, &'static str> {
    const SHAPE: &str = "the text is no duration; write one like \"36h\", \"1h30m\", \"1.5s\" or \
        \"250ms\", of whole milliseconds and at most 1000000 hours";
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    if rest.is_empty() {
        return Err(SHAPE);
    }
    let mut sum = 0_i64;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or(SHAPE)?;
        let (amount, after) = rest.split_at(end);
        let (unit, after) = after.split_at(
            after
                .find(|c: char| !c.is_ascii_lowercase())
                .unwrap_or(after.len()),
        );
        sum = milliseconds(amount, unit)
            .and_then(|part| sum.checked_add(part))
            .filter(|sum| is_duration(*sum))
            .ok_or(SHAPE)?;
        rest = after;
    }
    Ok(sign * sum)
}

fn milliseconds(amount: &str, unit: &str) -> Option<i64> {
    let factor = match unit {
        "h" => 3_600_000,
        "m" => 60_000,
        "s" => 1000,
        "ms" => 1,
        _ => return None,
    };
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, "0"));
    let scale = 10_i64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = fraction.parse::<i64>().ok()?.checked_mul(factor)?;
    let whole = whole.parse::<i64>().ok()?.checked_mul(factor)?;
    (part % scale == 0).then(|| whole.checked_add(part / scale))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_text_is_canonical() {
        for text in [
            "2026-11-24T09:00:00.000Z",
            "0001-01-01T00:00:00.000Z",
            "2024-02-29T23:59:59.999Z",
        ] {
            assert_eq!(read_canonical(text).map(canonical).as_deref(), Some(text));
        }
        for text in [
            "2026-11-24T09:00:00Z",
            "2026-11-24T09:00:00.000+00:00",
            "2026-11-24t09:00:00.000Z",
            "2026-11-24T09:00:00.0000Z",
            "2023-02-29T00:00:00.000Z",
            "0000-01-01T00:00:00.000Z",
            "2016-12-31T23:59:60.000Z",
            "2026-11-24T24:00:00.000Z",
            "",
            "soon",
        ] {
            assert_eq!(read_canonical(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_whole_milliseconds() {
        for (text, milliseconds) in [
            ("1h", 3_600_000),
            ("-1h30m", -5_400_000),
            ("1.5s", 1500),
            ("0s", 0),
            ("250ms", 250),
        ] {
            assert_eq!(read_duration(text), Ok(milliseconds), "{text}");
        }
        for text in [
            "",
            "-",
            "1",
            "h",
            "1d",
            "1us",
            "0.5ms",
            "1000001h",
            "99999999999999999999h",
            "1h x",
            "1.h",
            ".5h",
        ] {
            assert!(read_duration(text).is_err(), "{text}");
        }
    }
}
