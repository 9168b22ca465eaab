use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::config::Settings;

/// The only window of a `[maintenance.NAME]` with these lines.
fn window(lines: &str) -> Window {
    let settings = Settings::parse(Path::new("salve.toml"), &format!("[maintenance.night]\n{lines}")).unwrap();
    let [window] = settings.host.maintenance.try_into().unwrap();
    window
}

fn at(text: &str) -> Timestamp {
    let at: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_nanos(at.as_nanosecond().try_into().unwrap())
}

fn end(window: &Window, text: &str) -> Option<String> {
    let end = window.end("web", "nginx.service", at(text))?;
    Some(end.to_string().replace(":00.000Z", "Z"))
}

#[test]
fn inside_and_outside() {
    let night = "from = \"22:00\"\nto = \"04:00\"\nzone = \"UTC\"";
    let weekend = format!("days = [\"sat\", \"Sun\"]\n{night}");
    let once = "start = \"2026-03-01T22:00:00+01:00\"\nend = 2026-03-02T01:00:00+01:00";
    // 2026-03-07 is a Saturday.
    for (lines, moment, expected) in [
        (night, "2026-03-05T21:59:59.999Z", None),
        (night, "2026-03-05T22:00Z", Some("2026-03-06T04:00Z")),
        (night, "2026-03-06T03:59:59.999Z", Some("2026-03-06T04:00Z")),
        (night, "2026-03-06T04:00Z", None),
        (&weekend, "2026-03-06T23:00Z", None),
        (&weekend, "2026-03-07T01:00Z", None),
        (&weekend, "2026-03-07T23:00Z", Some("2026-03-08T04:00Z")),
        (&weekend, "2026-03-09T03:00Z", Some("2026-03-09T04:00Z")),
        (&weekend, "2026-03-09T22:00Z", None),
        ("from = 00:00:00\nto = \"24:00\"\nzone = \"UTC\"", "2026-03-05T00:00Z", Some("2026-03-06T00:00Z")),
        ("from = \"12:00\"\nto = \"24:00\"\nzone = \"UTC\"", "2026-03-05T23:59Z", Some("2026-03-06T00:00Z")),
        (once, "2026-03-01T20:59:59Z", None),
        (once, "2026-03-01T21:00Z", Some("2026-03-02T00:00Z")),
        (once, "2026-03-02T00:00Z", None),
    ] {
        assert_eq!(end(&window(lines), moment).as_deref(), expected, "{lines}\nat {moment}");
    }
}

/// In Vienna clocks went from 02:00 to 03:00 on 2026-03-29 (at 01:00 UTC) and from 03:00 to 02:00 on 2026-10-25 (01:00 UTC).
#[test]
fn where_clocks_change() {
    for (from, to, moment, expected) in [
        // An hour of the window does not exist.
        ("02:00", "04:00", "2026-03-29T00:59:59Z", None),
        ("02:00", "04:00", "2026-03-29T01:00Z", Some("2026-03-29T02:00Z")),
        ("02:00", "04:00", "2026-03-29T02:00Z", None),
        // The beginning does not exist: it begins with the change.
        ("02:30", "04:00", "2026-03-29T00:59:59Z", None),
        ("02:30", "04:00", "2026-03-29T01:00Z", Some("2026-03-29T02:00Z")),
        // The end does not exist: it lasts as long as on other days.
        ("01:00", "02:30", "2026-03-29T00:00Z", Some("2026-03-29T01:30Z")),
        ("01:00", "02:30", "2026-03-29T01:29:59Z", Some("2026-03-29T01:30Z")),
        ("01:00", "02:30", "2026-03-29T01:30Z", None),
        // Nothing of it exists: it is not left out.
        ("02:15", "02:45", "2026-03-29T00:59:59Z", None),
        ("02:15", "02:45", "2026-03-29T01:00Z", Some("2026-03-29T01:45Z")),
        ("02:15", "02:45", "2026-03-29T01:45Z", None),
        // An hour of the window comes twice.
        ("02:00", "04:00", "2026-10-24T23:59:59Z", None),
        ("02:00", "04:00", "2026-10-25T00:00Z", Some("2026-10-25T03:00Z")),
        ("02:00", "04:00", "2026-10-25T02:59:59Z", Some("2026-10-25T03:00Z")),
        ("02:00", "04:00", "2026-10-25T03:00Z", None),
        // Beginning and end come twice: from the first to the last.
        ("02:15", "02:45", "2026-10-25T00:14:59Z", None),
        ("02:15", "02:45", "2026-10-25T00:15Z", Some("2026-10-25T01:45Z")),
        ("02:15", "02:45", "2026-10-25T01:00Z", Some("2026-10-25T01:45Z")),
        ("02:15", "02:45", "2026-10-25T01:45Z", None),
        // Across midnight, and summer and winter.
        ("23:00", "03:30", "2026-03-29T01:15Z", Some("2026-03-29T01:30Z")),
        ("23:00", "03:30", "2026-10-25T02:15Z", Some("2026-10-25T02:30Z")),
        ("23:00", "03:30", "2026-07-01T21:00Z", Some("2026-07-02T01:30Z")),
        ("23:00", "03:30", "2026-01-01T21:59Z", None),
    ] {
        let window = window(&format!("from = \"{from}\"\nto = \"{to}\"\nzone = \"Europe/Vienna\""));
        assert_eq!(end(&window, moment).as_deref(), expected, "{from}-{to} at {moment}");
    }
}

/// Samoa left out 2011-12-30, a Friday; the change was at 10:00 UTC.
#[test]
fn a_day_that_does_not_exist() {
    let window = window("days = [\"fri\"]\nfrom = \"02:00\"\nto = \"04:00\"\nzone = \"Pacific/Apia\"");
    assert_eq!(end(&window, "2011-12-30T09:59:59Z"), None);
    assert_eq!(end(&window, "2011-12-30T10:00Z").as_deref(), Some("2011-12-30T14:00Z"));
    assert_eq!(end(&window, "2011-12-30T14:00Z"), None);
}

#[test]
fn only_its_targets_and_policies() {
    let window = window("from = \"00:00\"\nto = \"24:00\"\ntargets = [\"nginx.*\", \"db\"]\npolicies = [\"web-*\"]");
    let inside = |policy, target| window.end(policy, target, at("2026-03-01T12:00Z")).is_some();
    assert!(inside("web-a", "nginx.service") && inside("web-a", "db"));
    assert!(!inside("web-a", "db2") && !inside("web", "db"));
}

#[test]
fn errors_name_the_place_and_what_is_valid() {
    for (lines, expected) in [
        ("", "1:1: [maintenance.night] needs either `from` and `to`"),
        ("from = \"02:00\"", "1:1: [maintenance.night] needs either"),
        ("from = \"02:00\"\nto = \"03:00\"\nstart = \"2026-01-01T00:00:00Z\"", "needs either"),
        ("start = 2026-01-01T00:00:00Z\nend = 2026-01-02T00:00:00Z\nzone = \"UTC\"", "needs either"),
        ("from = \"2am\"\nto = \"03:00\"", "2:8: `2am` is not a time of day such as \"02:00\""),
        ("from = \"24:00\"\nto = \"03:00\"", "2:8: `24:00` is not a time of day"),
        ("from = \"02:00\"\nto = \"02:00\"", "3:6: a window must not end when it begins; a whole day"),
        ("from = 2\nto = \"02:00\"", "2:8: `2` is not a time of day"),
        ("days = [\"sat\", \"holiday\"]\nfrom = \"2:00\"\nto = \"3:00\"", "2:16: `holiday` is no day; valid: mon, tue"),
        ("days = []\nfrom = \"2:00\"\nto = \"3:00\"", "2:8: this names no day"),
        ("from = \"2:00\"\nto = \"3:00\"\nzone = \"Mars/Base\"", "4:8: `Mars/Base` is no time zone"),
        ("from = \"2:00\"\nto = \"3:00\"\ntargets = []", "4:11: this matches nothing"),
        ("start = \"2026-01-01T00:00:00\"\nend = \"2026-01-02T00:00:00Z\"", "2:9: `2026-01-01T00:00:00` is not a date"),
        ("start = 2026-01-02T00:00:00Z\nend = 2026-01-02T00:00:00Z", "3:7: a window must end after its start"),
        ("form = \"02:00\"", "2:1: unknown key `form`; did you mean `from`?"),
    ] {
        let text = format!("[maintenance.night]\n{lines}\n");
        let error = Settings::parse(Path::new("salve.toml"), &text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}\n  gave {error}\n  not  {expected}");
    }
}

fn time_of_day() -> impl Strategy<Value = Time> {
    (0..24_i8, 0..60_i8).prop_map(|(hour, minute)| Time::new(hour, minute, 0, 0).unwrap())
}

proptest! {
    /// At any time and in zones with every kind of change the end is later, is the same throughout, and lies outside or in
    /// the next occurrence; and wherever the clock reads a time inside, it is.
    #[test]
    fn an_end_is_always_ahead(
        from in time_of_day(), to in time_of_day(), days in 1..128_u8, nanos in any::<u64>(),
        recent in 0..2_000_000_000_u64,
        zone in proptest::sample::select(vec![
            "UTC", "Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo",
            "Africa/Casablanca", "Asia/Kathmandu", "America/Havana",
        ]),
    ) {
        let zone = TimeZone::get(zone).unwrap();
        let days: Vec<Weekday> =
            DAYS.iter().enumerate().filter(|(n, _)| days & (1 << n) != 0).map(|(_, (_, day))| *day).collect();
        let weekly = Weekly { days: days.clone(), from, to, zone: zone.clone() };
        let targets = vec![WildMatch::new("*")];
        let window = Window { name: "w".to_owned(), when: When::Weekly(weekly), targets, policies: None };
        for nanos in [nanos, recent * 1_000_000_000] {
            let at = Timestamp::from_nanos(nanos);
            let end = window.end("p", "t", at);
            if let Some(end) = end {
                prop_assert!(end > at);
                let last = Timestamp::from_nanos(end.as_nanos() - 1);
                prop_assert!(window.end("p", "t", last).is_some());
            }
            let reading = zone.to_datetime(jiff::Timestamp::from_nanosecond(nanos.into()).unwrap());
            let (day, time) = (reading.date(), reading.time());
            let reads_inside = if from < to {
                days.contains(&day.weekday()) && from <= time && time < to
            } else {
                (days.contains(&day.weekday()) && from <= time)
                    || (days.contains(&day.yesterday().unwrap().weekday()) && time < to)
            };
            prop_assert!(!reads_inside || end.is_some(), "{} reads {}", at, reading);
        }
    }
}
