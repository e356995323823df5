//! When something ends: a rule, an approval. A moment in UTC, to the second, in one spelling. What it is compared with
//! comes as an argument: nothing here reads a clock.

use std::{fmt, str::FromStr};

use jiff::{Span, Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The first moment at which something no longer counts.
///
/// Written as its last day where it is the end of a day in UTC (`2026-12-31`), else as RFC 3339 in UTC
/// (`2026-12-31T18:00:00Z`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct End(Timestamp);

/// Why a text names no end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no day and no time; write the last day (2026-12-31, until its end in UTC) or RFC 3339 to the second (2026-12-31T18:00:00Z)"
)]
pub struct EndError(String);

impl End {
    /// Whether it is over at `now`.
    #[must_use]
    pub fn is_over(self, now: Timestamp) -> bool {
        now >= self.0
    }

    /// The moment.
    #[must_use]
    pub const fn moment(self) -> Timestamp {
        self.0
    }

    /// The earlier of two; none is never.
    #[must_use]
    pub fn earlier(one: Option<Self>, two: Option<Self>) -> Option<Self> {
        match (one, two) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        }
    }

    /// The later of two; none is never.
    #[must_use]
    pub fn later(one: Option<Self>, two: Option<Self>) -> Option<Self> {
        one.zip(two).map(|(one, two)| one.max(two))
    }

    /// Whether whoever may until `own` may until `other`.
    #[must_use]
    pub fn covers(own: Option<Self>, other: Option<Self>) -> bool {
        own.is_none_or(|own| other.is_some_and(|other| other <= own))
    }
}

impl FromStr for End {
    type Err = EndError;

    fn from_str(text: &str) -> Result<Self, EndError> {
        let wrong = || EndError(text.chars().take(40).flat_map(char::escape_debug).collect());
        // `Date` would read the day of a time, too.
        if text.len() == 10 {
            let day: Date = text.parse().map_err(|_| wrong())?;
            let next = day.checked_add(Span::new().days(1)).map_err(|_| wrong())?;
            return next.to_zoned(TimeZone::UTC).map(|moment| Self(moment.timestamp())).map_err(|_| wrong());
        }
        let moment: Timestamp = text.parse().map_err(|_| wrong())?;
        if moment.subsec_nanosecond() == 0 { Ok(Self(moment)) } else { Err(wrong()) }
    }
}

impl fmt::Display for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = self.0.to_zoned(TimeZone::UTC);
        match moment.date().yesterday() {
            Ok(day) if moment.time() == jiff::civil::Time::midnight() => write!(formatter, "{day}"),
            _ => write!(formatter, "{}", self.0),
        }
    }
}

impl Serialize for End {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for End {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_has_one_spelling() {
        for (text, spelling) in [
            ("2026-12-31", "2026-12-31"),
            ("2027-01-01T00:00:00Z", "2026-12-31"),
            ("2027-01-01T02:00:00+02:00", "2026-12-31"),
            ("2026-12-31T18:00:00Z", "2026-12-31T18:00:00Z"),
            ("2026-12-31T18:00:00-01:00", "2026-12-31T19:00:00Z"),
        ] {
            let end: End = text.parse().unwrap();
            assert_eq!(end.to_string(), spelling, "{text}");
            assert_eq!(spelling.parse(), Ok(end), "{text}");
        }
        for wrong in [
            "",
            "tomorrow",
            "2026-02-30",
            "9999-12-31",
            "2026-12-31T18:00:00.5Z",
            "20261231",
            "2026-12-31T18:00",
        ] {
            assert!(wrong.parse::<End>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_last_day_counts_whole() {
        let end: End = "2026-12-31".parse().unwrap();
        assert!(!end.is_over("2026-12-31T23:59:59.9Z".parse().unwrap()));
        assert!(end.is_over("2027-01-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn never_is_the_latest() {
        let (soon, late): (End, End) = ("2026-01-01".parse().unwrap(), "2027-01-01".parse().unwrap());
        assert_eq!(End::earlier(None, Some(soon)), Some(soon));
        assert_eq!(End::earlier(Some(late), Some(soon)), Some(soon));
        assert_eq!((End::later(None, Some(soon)), End::later(Some(late), Some(soon))), (None, Some(late)));
        assert!(End::covers(None, Some(late)) && End::covers(Some(late), Some(soon)));
        assert!(!End::covers(Some(late), None) && !End::covers(Some(soon), Some(late)));
    }
}
