//! Maintenance windows: times at which people work on something and the agent keeps its hands off it.

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use toml::Spanned;
use wildmatch::WildMatch;

use super::error::Flaw;
use super::raw;
use crate::clock::Timestamp;

/// Days as they are written.
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// `[maintenance.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Its name.
    pub name: String,
    when: When,
    targets: Vec<WildMatch>,
    /// Of all policies, if none.
    policies: Option<Vec<WildMatch>>,
}

#[derive(Debug, Clone, PartialEq)]
enum When {
    Once { start: jiff::Timestamp, end: jiff::Timestamp },
    Weekly(Weekly),
}

/// From one time of day to another, on some days of the week.
///
/// Where clocks change, everything between the first time that they read `from` and the last time that they read `to` is
/// inside. If they skip `from`, it begins with the change; if they skip `to`, it ends when it would have without the change.
/// So a window holds every moment at which the clock reads a time inside, and no day goes without one.
#[derive(Debug, Clone, PartialEq)]
struct Weekly {
    /// On which it begins.
    days: Vec<Weekday>,
    from: Time,
    /// On the next day if it is not after `from`.
    to: Time,
    zone: TimeZone,
}

impl Window {
    /// When maintenance of `target`, as far as it concerns `policy`, is over; `None` if there is none at `at`. The end is
    /// that of this occurrence: another may follow at once.
    pub fn end(&self, policy: &str, target: &str, at: Timestamp) -> Option<Timestamp> {
        let any = |patterns: &[WildMatch], name| patterns.iter().any(|pattern| pattern.matches(name));
        if !any(&self.targets, target) || self.policies.as_ref().is_some_and(|policies| !any(policies, policy)) {
            return None;
        }
        let at = jiff::Timestamp::from_nanosecond(at.as_nanos().into()).ok()?;
        let end = match &self.when {
            When::Once { start, end } => (*start <= at && at < *end).then_some(*end),
            When::Weekly(weekly) => weekly.end(at),
        }?;
        // What ends after the year 2554 does so beyond what a timestamp can say.
        Some(Timestamp::from_nanos(u64::try_from(end.as_nanosecond()).unwrap_or(u64::MAX)))
    }

    /// Reads a window.
    pub(super) fn read(name: &str, window: Spanned<raw::Maintenance>) -> Result<Self, Flaw> {
        let whole = window.span();
        let raw = window.into_inner();
        let once = raw.start.is_some() || raw.end.is_some();
        let weekly = raw.days.is_some() || raw.from.is_some() || raw.to.is_some() || raw.zone.is_some();
        let when = match (raw.start, raw.end, raw.from, raw.to) {
            (Some(start), Some(end), ..) if !weekly => {
                let whole = end.span();
                let (start, end) = (instant(&start)?, instant(&end)?);
                if end <= start {
                    return Err(Flaw::new(whole, "a window must end after its start"));
                }
                When::Once { start, end }
            }
            (_, _, Some(from), Some(to)) if !once => {
                let days = raw.days.map_or_else(|| Ok(DAYS.map(|(_, day)| day).to_vec()), |days| weekdays(&days))?;
                let is_whole_day = text(&to) == "24:00";
                let (span, from) = (to.span(), time(&from)?);
                let to = if is_whole_day { Time::midnight() } else { time(&to)? };
                if from == to && !is_whole_day {
                    let message = "a window must not end when it begins; a whole day is from \"00:00\" to \"24:00\"";
                    return Err(Flaw::new(span, message));
                }
                When::Weekly(Weekly { days, from, to, zone: zone(raw.zone)? })
            }
            _ => {
                let message = format!(
                    "[maintenance.{name}] needs either `from` and `to` (with `days` and `zone` if you like) \
                     or `start` and `end`"
                );
                return Err(Flaw::new(whole, message));
            }
        };
        let targets = raw.targets.map_or_else(|| Ok(vec![WildMatch::new("*")]), |targets| patterns(&targets))?;
        let policies = raw.policies.as_ref().map(patterns).transpose()?;
        Ok(Self { name: name.to_owned(), when, targets, policies })
    }
}

impl Weekly {
    fn end(&self, at: jiff::Timestamp) -> Option<jiff::Timestamp> {
        let today = self.zone.to_datetime(at).date();
        // A window lasts a day at most, but clocks have been changed by a day, too.
        let before = std::iter::successors(today.yesterday().ok(), |day| day.yesterday().ok()).take(2);
        let days = before.chain([today]).chain(today.tomorrow().ok());
        let ends = days.filter_map(|day| self.on(day)).filter(|(start, end)| *start <= at && at < *end);
        ends.map(|(_, end)| end).max()
    }

    /// Beginning and end of the occurrence that begins on `day`.
    fn on(&self, day: Date) -> Option<(jiff::Timestamp, jiff::Timestamp)> {
        if !self.days.contains(&day.weekday()) {
            return None;
        }
        let last = if self.from < self.to { day } else { day.tomorrow().ok()? };
        let start = self.zone.to_ambiguous_timestamp(day.to_datetime(self.from));
        let skipped = matches!(start.offset(), AmbiguousOffset::Gap { .. });
        let mut start = start.earlier().ok()?;
        if skipped {
            start = self.zone.following(start).next()?.timestamp();
        }
        let end = self.zone.to_ambiguous_timestamp(last.to_datetime(self.to)).later().ok()?;
        Some((start, end))
    }
}

/// TOML has times of its own; whether they are in quotes makes no difference.
fn text(value: &Spanned<toml::Value>) -> String {
    match value.get_ref() {
        toml::Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}

fn instant(value: &Spanned<toml::Value>) -> Result<jiff::Timestamp, Flaw> {
    let text = text(value);
    text.parse().map_err(|_| {
        let message =
            format!("`{text}` is not a date and time with an offset, such as \"2026-03-01T22:00:00+01:00\" (RFC 3339)");
        Flaw::new(value.span(), message)
    })
}

fn time(value: &Spanned<toml::Value>) -> Result<Time, Flaw> {
    let text = text(value);
    let time = Time::strptime("%H:%M", &text).or_else(|_| Time::strptime("%H:%M:%S", &text));
    time.map_err(|_| Flaw::new(value.span(), format!("`{text}` is not a time of day such as \"02:00\"")))
}

fn weekdays(days: &Spanned<Vec<Spanned<String>>>) -> Result<Vec<Weekday>, Flaw> {
    if days.get_ref().is_empty() {
        return Err(Flaw::new(days.span(), "this names no day; leave `days` out for every day"));
    }
    let weekday = |day: &Spanned<String>| {
        let known = DAYS.iter().find(|(name, _)| name.eq_ignore_ascii_case(day.get_ref()));
        known.map(|(_, weekday)| *weekday).ok_or_else(|| {
            let message = format!("`{}` is no day; valid: {}", day.get_ref(), DAYS.map(|(name, _)| name).join(", "));
            Flaw::new(day.span(), message)
        })
    };
    days.get_ref().iter().map(weekday).collect()
}

fn zone(name: Option<Spanned<String>>) -> Result<TimeZone, Flaw> {
    let Some(name) = name else { return Ok(TimeZone::system()) };
    TimeZone::get(name.get_ref()).map_err(|_| {
        let message = format!(
            "`{}` is no time zone that this host knows: write one such as \"Europe/Vienna\" \
             (see /usr/share/zoneinfo), or install the time zone database",
            name.get_ref()
        );
        Flaw::new(name.span(), message)
    })
}

fn patterns(patterns: &Spanned<Vec<String>>) -> Result<Vec<WildMatch>, Flaw> {
    if patterns.get_ref().iter().all(String::is_empty) {
        return Err(Flaw::new(patterns.span(), "this matches nothing; leave it out for everything"));
    }
    Ok(patterns.get_ref().iter().map(|pattern| WildMatch::new(pattern)).collect())
}

#[cfg(test)]
mod tests;
