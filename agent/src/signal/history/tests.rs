use std::collections::BTreeMap;

use proptest::prelude::*;

use super::track::MINUTE;
use super::*;

const HOUR: u64 = 60 * MINUTE;

fn name(series: u32) -> SeriesName {
    SeriesName { metric: "m".into(), attributes: vec![("n".into(), series.to_string().into())] }
}

fn moment(millis: u64) -> Timestamp {
    Timestamp::from_nanos(millis * 1_000_000)
}

/// One publication, of series that come in any order.
fn publish(history: &History, at: u64, series: &[(u32, f64)], places: &mut Places) {
    let samples: Vec<_> = series.iter().map(|(n, value)| Sample { series: name(*n), value: *value }).collect();
    history.record(moment(at), &samples, &vec![true; samples.len()], places);
}

fn keep(budget: usize) -> Keep {
    Keep { budget, ..Keep::default() }
}

/// What is kept of a series, in milliseconds.
fn past(history: &History, series: u32, window: u64, now: u64) -> Vec<(u64, f64)> {
    let matching = [Attribute::new("n", series.to_string())];
    let found = history.query("m", &matching, Duration::from_millis(window), moment(now));
    found.into_iter().flat_map(|(_, samples)| samples).map(|(at, value)| (in_millis(at), value)).collect()
}

/// The bytes as they are when each is counted.
fn counted(history: &History) -> usize {
    history.store().tracks().map(track::Track::bytes).sum()
}

#[test]
fn an_hour_is_kept_as_it_came_and_a_day_by_the_minute() {
    let history = History::default();
    let mut places = Places::default();
    let day = 24 * HOUR;
    for second in 0..=2 * day / 1000 {
        // Every minute counts from 0 to 59, and the hour is added to it.
        publish(&history, second * 1000, &[(0, (second % 60 + second / 3600) as f64)], &mut places);
    }
    let (now, all) = (2 * day, past(&history, 0, 10 * day, 2 * day));
    let (full, minutes): (Vec<_>, Vec<_>) = all.iter().partition(|(at, _)| *at > now - HOUR);
    assert_eq!(full.len(), 3600);
    assert!((1380..1420).contains(&minutes.len()), "{}", minutes.len());
    for (at, mean) in minutes.iter().filter(|(at, _)| *at < now - HOUR - MINUTE) {
        assert_eq!(at % MINUTE, 29_500);
        assert!((mean - (29.5 + (at / HOUR) as f64)).abs() < 1e-9, "{at}: {mean}");
    }
    assert!(all.windows(2).all(|pair| pair[1].0 - pair[0].0 <= MINUTE + 29_500), "no hole, and in order");
    assert!(history.usage().bytes < 120_000, "{:?}", history.usage());

    let selector = Selector::new("m", vec![]);
    let [seen] = &history.past(&selector, Duration::from_secs(2 * 3600), moment(now), Bounds::default())[..] else {
        panic!("one series")
    };
    // 46 to 47 hours after the start, and the first second of hour 48: the extremes are those of samples.
    assert_eq!((seen.summary.min, seen.summary.max, seen.summary.last), (46.0, 106.0, 48.0));
    assert!((seen.summary.mean - 76.0).abs() < 0.1, "{:?}", seen.summary);
}

#[test]
fn a_series_that_is_gone_is_told_of_until_its_samples_are_too_old() {
    let history = History::default();
    let (mut ours, mut theirs) = (Places::default(), Places::default());
    (0..100).for_each(|second| publish(&history, second * 1000, &[(0, 1.0)], &mut ours));
    let mut left = Vec::new();
    for minute in 2..26 * 60 {
        publish(&history, minute * MINUTE, &[(1, 1.0)], &mut theirs);
        left.push(past(&history, 0, 100 * HOUR, minute * MINUTE).len());
    }
    assert_eq!(left.first(), Some(&100));
    assert_eq!(left.get(2 * 60), Some(&2), "by the minute, the one that was not over too");
    assert_eq!((left.last(), history.usage().series), (Some(&0), 1));
}

#[test]
fn the_largest_rings_give_first() {
    let history = History::new(keep(64 << 10));
    let mut places = Places::default();
    for second in 0..3000 {
        let often = [(0, 1.0), (1, 2.0)];
        let all = [(0, 1.0), (1, 2.0), (2, 3.0)];
        publish(&history, second * 1000, if second % 60 == 0 { &all } else { &often }, &mut places);
    }
    let usage = history.usage();
    assert!(usage.evicted > 0 && usage.bytes <= usage.budget, "{usage:?}");
    assert_eq!(past(&history, 2, HOUR, 3_000_000).len(), 50, "the small one keeps all");
    let full = |series| past(&history, series, HOUR, 3_000_000).len();
    assert!(full(0).abs_diff(full(1)) <= 2 * ring::CHUNK && full(0) > 1000, "{} {}", full(0), full(1));
}

#[test]
fn too_many_series_are_refused_and_those_that_fell_silent_give_way() {
    let history = History::new(keep(64 << 10));
    let mut places = Places::default();
    let series = |from: u32| (from..from + 1000).map(|n| (n, 1.0)).collect::<Vec<_>>();
    (0..30).for_each(|second| publish(&history, second * 1000, &series(0), &mut places));
    let usage = history.usage();
    assert!(usage.series > 50 && usage.bytes <= usage.budget && usage.evicted > 25_000, "{usage:?}");
    let kept = |series: std::ops::Range<u32>, now| series.filter(|n| past(&history, *n, HOUR, now).len() >= 29).count();
    assert!(kept(0..1000, 29_000) > 30, "{} series have a past that is of use", kept(0..1000, 29_000));

    // Half an hour later there are others.
    let (start, mut others) = (HOUR / 2, Places::default());
    (0..30).for_each(|second| publish(&history, start + second * 1000, &series(1000), &mut others));
    let kept = kept(1000..2000, start + 29_000);
    assert!(kept > 30, "{kept} of the others");
}

#[test]
fn what_is_no_number_and_what_nobody_wants_is_not_kept() {
    let history = History::default();
    let samples = [f64::NAN, f64::INFINITY, 1.0, 2.0].map(|value| Sample { series: name(0), value });
    history.record(moment(1), &samples, &[true, true, false, false], &mut Places::default());
    assert_eq!(history.usage().series, 0);
    history.record(moment(1), &samples, &[false, false, true, false], &mut Places::default());
    assert_eq!(past(&history, 0, 1, 1), [(1, 1.0)]);
    let none = History::new(keep(0));
    none.record(moment(1), &samples, &[true; 4], &mut Places::default());
    assert_eq!((none.usage().series, none.usage().bytes), (0, 0));
}

#[test]
fn the_largest_numbers_have_a_mean() {
    let history = History::default();
    let mut places = Places::default();
    (0..5000)
        .for_each(|s| publish(&history, s * 1000, &[(0, if s % 2 == 0 { f64::MAX } else { f64::MIN })], &mut places));
    assert!(past(&history, 0, 2 * HOUR, 5_000_000).iter().all(|(_, value)| value.is_finite()));
}

#[test]
fn a_bounded_answer_is_even_and_ends_with_the_newest() {
    let history = History::default();
    let mut places = Places::default();
    (0..1000).for_each(|second| publish(&history, second * 1000, &[(0, 1.0), (1, 1.0)], &mut places));
    let ask = |bounds| history.past(&Selector::new("*", vec![]), Duration::from_secs(999), moment(999_000), bounds);
    let all = ask(Bounds { series: 5, each: 400, total: 200 });
    assert_eq!(all.len(), 2);
    let times: Vec<_> = all[1].samples.iter().map(|(at, _)| in_millis(*at) / 1000).collect();
    assert_eq!((times.len(), times.first(), times.last()), (100, Some(&0), Some(&999)));
    assert!(times.windows(2).all(|pair| (10..=11).contains(&(pair[1] - pair[0]))), "{times:?}");
    assert_eq!(all[1].summary.samples, 1000);
    let one = ask(Bounds { series: 1, each: 1, total: 200 });
    assert_eq!(one[0].samples, [(moment(999_000), 1.0)]);
    assert!(ask(Bounds { each: 0, ..Bounds::default() })[0].samples.is_empty());
}

/// What a publication is: how long after the last one, and which series it has.
fn publications() -> impl Strategy<Value = Vec<(i64, Vec<(u32, f64)>)>> {
    let step = prop_oneof![
        20 => 0..5000_i64,
        3 => 0..400_000_i64,
        1 => -100_000..0_i64,
        1 => 0..90_000_000_i64,
    ];
    let samples = proptest::collection::vec((0..12_u32, -1e3..1e3), 0..8);
    proptest::collection::vec((step, samples), 1..400)
}

proptest! {
    #[test]
    fn it_never_exceeds_its_budget_and_answers_in_order(
        publications in publications(), budget in 0..60_000_usize, window in 0..100_000_000_u64,
    ) {
        let history = History::new(keep(budget));
        let mut places = Places::default();
        let mut now = 1_700_000_000_000_u64;
        for (step, series) in publications {
            now = now.saturating_add_signed(step);
            publish(&history, now, &series, &mut places);
            prop_assert!(history.usage().bytes <= budget);
            prop_assert_eq!(history.usage().bytes, counted(&history));
        }
        for series in 0..12 {
            let past = past(&history, series, window, now);
            prop_assert!(past.windows(2).all(|pair| pair[0].0 < pair[1].0));
            prop_assert!(past.iter().all(|(at, _)| (now.saturating_sub(window)..=now).contains(at)));
            prop_assert!(past.iter().all(|(_, value)| (-1e3..=1e3).contains(value)));
        }
    }

    #[test]
    fn a_minute_is_told_by_its_mean(steps in proptest::collection::vec((1..30_000_u64, -1e6..1e6), 1..600)) {
        // Nothing is kept as it came but the newest chunk.
        let history = History::new(Keep { full: Duration::ZERO, ..Keep::default() });
        let mut places = Places::default();
        let (mut now, mut minutes) = (1_700_000_000_000_u64, BTreeMap::<u64, Vec<(u64, f64)>>::new());
        for (step, value) in steps {
            now += step;
            publish(&history, now, &[(0, value)], &mut places);
            minutes.entry(now / MINUTE).or_default().push((now, value));
        }
        let told = past(&history, 0, 24 * HOUR, now);
        let whole = told.iter().filter(|(at, _)| minutes.range(..at / MINUTE + 1).next_back().is_some());
        let mut seen = 0;
        for (at, mean) in whole {
            let samples = &minutes[&(at / MINUTE)];
            let is_sample = samples.contains(&(*at, *mean));
            let count = samples.len() as f64;
            let expected = samples.iter().map(|(_, value)| value).sum::<f64>() / count;
            let time = samples.iter().map(|(at, _)| *at - now / 2).sum::<u64>() / samples.len() as u64 + now / 2;
            prop_assert!(is_sample || ((mean - expected).abs() < 1e-6 && at.abs_diff(time) <= 1), "{at}: {mean} {expected}");
            seen += 1;
        }
        // Each minute before the last chunk's is told of once.
        prop_assert!(seen + 1 >= minutes.len().min(1440), "{seen} of {}", minutes.len());
    }
}
