//! The time of day as the wire formats write it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The first whole second that far from now.
pub(super) fn after(wait: Duration) -> u64 {
    let then = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + wait;
    then.as_secs() + u64::from(then.subsec_nanos() > 0)
}

/// `2026-11-24T10:00:00Z`.
pub(super) fn rfc3339(at: u64) -> String {
    let Civil { year, month, day, .. } = Civil::of(at);
    let (hour, minute, second) = time_of_day(at);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `Tue, 24 Nov 2026 10:00:00 GMT`.
pub(super) fn http_date(at: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let Civil { year, month, day, days_since_epoch } = Civil::of(at);
    let (hour, minute, second) = time_of_day(at);
    let weekday = DAYS[(days_since_epoch % 7) as usize];
    let month = MONTHS[month as usize - 1];
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

fn time_of_day(at: u64) -> (u64, u64, u64) {
    (at / 3600 % 24, at / 60 % 60, at % 60)
}

struct Civil {
    year: u64,
    month: u64,
    day: u64,
    days_since_epoch: u64,
}

impl Civil {
    /// Days to a date of the Gregorian calendar, in years that begin in March so that the leap day comes last.
    fn of(at: u64) -> Self {
        let days_since_epoch = at / 86_400;
        let days = days_since_epoch + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Self { year: era * 400 + year_of_era + u64::from(month <= 2), month, day, days_since_epoch }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_the_standards_say() {
        for (at, iso, http) in [
            (0, "1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_399, "2000-02-28T23:59:59Z", "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "2000-02-29T00:00:00Z", "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_795_514_400, "2026-11-24T10:00:00Z", "Tue, 24 Nov 2026 10:00:00 GMT"),
        ] {
            assert_eq!((rfc3339(at).as_str(), http_date(at).as_str()), (iso, http));
        }
    }
}
