//! Nanoseconds since 1970 as ISO-8601.

/// `1970-01-01T00:00:00.000000000Z` and so on.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "an i64 of nanoseconds is at most 106752 days, and every step stays far below i64"
)]
pub fn iso8601(nanoseconds: i64) -> String {
    const PER_SECOND: i64 = 1_000_000_000;
    const PER_DAY: i64 = 86_400;
    let (seconds, fraction) = (
        nanoseconds.div_euclid(PER_SECOND),
        nanoseconds.rem_euclid(PER_SECOND),
    );
    let (days, of_day) = (seconds.div_euclid(PER_DAY), seconds.rem_euclid(PER_DAY));
    // Days since 0000-03-01, so that the leap day ends a year; eras of 400 years.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    // Between 1677 and 2262. Digit by digit, for a row has one and there are thousands of rows.
    let mut text = b"0000-00-00T00:00:00.000000000Z".to_vec();
    let fields = [
        (year, 0..4),
        (month, 5..7),
        (day, 8..10),
        (hour, 11..13),
        (minute, 14..16),
        (second, 17..19),
        (fraction, 20..29),
    ];
    for (value, place) in fields {
        let mut rest = value.unsigned_abs();
        for digit in text.get_mut(place).unwrap_or_default().iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::iso8601;

    #[test]
    fn days_of_the_calendar() {
        let check = |seconds: i64, text: &str| {
            assert_eq!(
                iso8601(seconds * 1_000_000_000),
                format!("{text}.000000000Z")
            );
        };
        check(0, "1970-01-01T00:00:00");
        check(951_782_400, "2000-02-29T00:00:00");
        check(1_709_251_199, "2024-02-29T23:59:59");
        check(1_795_392_000, "2026-11-23T00:00:00");
        check(-1, "1969-12-31T23:59:59");
        check(4_107_542_400, "2100-03-01T00:00:00");
        assert_eq!(iso8601(5), "1970-01-01T00:00:00.000000005Z");
        assert_eq!(iso8601(i64::MIN), "1677-09-21T00:12:43.145224192Z");
        assert_eq!(iso8601(i64::MAX), "2262-04-11T23:47:16.854775807Z");
    }
}
