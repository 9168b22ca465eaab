//! What is shown of the metrics.

use std::fmt::Write;

use super::spark::spark;
use crate::cli::output;
use crate::control::{HistoryView, PastView};

/// Columns of a sparkline: at most, and at least.
const SPARK: (usize, usize) = (60, 10);
/// Columns that the numbers beside a sparkline take.
const NUMBERS: usize = 56;

/// The page, for a terminal so wide: of one metric how it went, or a list of all there are.
pub(super) fn lines(view: &HistoryView, metric: Option<&str>, width: usize) -> Vec<String> {
    let window = humantime::format_duration(view.to.since(view.from));
    let mut lines = vec![format!("{}, last {window}: {}", metric.unwrap_or("all series"), output::time(view.to))];
    if view.series.is_empty() {
        lines.push(String::new());
        lines.push(match metric {
            Some(_) => "no such series in this time: `salve watch` lists those there are".to_owned(),
            None => "no series yet: the agent keeps what a plugin subscribed to".to_owned(),
        });
    }
    match metric {
        Some(_) => lines.extend(view.series.iter().flat_map(|past| course(past, view, width))),
        None => {
            // The names come last: where a line is cut, it is they that are.
            lines.extend(view.series.iter().map(|past| {
                let ago = humantime::format_duration(std::time::Duration::from_secs(view.to.since(past.at).as_secs()));
                format!("{:>9}  {:>10}  {}", number(past.last), format!("{ago} ago"), name(past))
            }));
        }
    }
    lines
}

/// A series: its name, how it went, and what that comes to.
fn course(past: &PastView, view: &HistoryView, width: usize) -> [String; 3] {
    let columns = width.saturating_sub(NUMBERS).clamp(SPARK.1, SPARK.0);
    let line = spark(&past.samples, view.from, view.to, columns);
    let [min, mean, max, last] = [past.min, past.mean, past.max, past.last].map(number);
    let numbers = format!("min {min:<8} mean {mean:<8} max {max:<8} last {last}");
    [String::new(), name(past), format!("  {line:<columns$}  {numbers}")]
}

/// `system.memory.utilization{system.memory.state=used}`.
fn name(past: &PastView) -> String {
    let mut name = past.metric.clone();
    for (at, (key, value)) in past.attributes.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = write!(name, "{}{key}={value}", if at == 0 { '{' } else { ',' });
    }
    if !past.attributes.is_empty() {
        name.push('}');
    }
    name
}

/// Four digits or so, with the prefix of a large unit: `0.4213`, `12.34`, `3.217G`.
fn number(value: f64) -> String {
    let size = value.abs();
    let (scaled, prefix) = match size {
        1e4..1e6 => (value / 1e3, "k"),
        1e6..1e9 => (value / 1e6, "M"),
        1e9..1e12 => (value / 1e9, "G"),
        1e12..1e15 => (value / 1e12, "T"),
        _ => (value, ""),
    };
    if size >= 1e15 || (size > 0.0 && size < 1e-3) {
        return format!("{value:.2e}");
    }
    let decimals = match scaled.abs() {
        1000.0.. => 0,
        100.0.. => 1,
        10.0.. => 2,
        1.0.. => 3,
        _ => 4,
    };
    let text = format!("{scaled:.decimals$}");
    let short = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{short}{prefix}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_nanos((1_700_000_000 + second) * 1_000_000_000)
    }

    fn view() -> HistoryView {
        let past = PastView {
            metric: "system.memory.usage".into(),
            attributes: [("system.memory.state".to_owned(), "used".to_owned())].into(),
            min: 1e9,
            mean: 1.5e9,
            max: 2e9,
            last: 2e9,
            at: at(90),
            count: 2,
            samples: vec![(at(10), 1e9), (at(90), 2e9)],
        };
        HistoryView { from: at(0), to: at(100), series: vec![past] }
    }

    #[test]
    fn a_metric_is_drawn_and_a_list_says_the_last() {
        let drawn = lines(&view(), Some("system.*"), 80);
        assert_eq!(drawn[0], "system.*, last 1m 40s: 2023-11-14T22:15:00Z");
        assert_eq!(drawn[2], "system.memory.usage{system.memory.state=used}");
        assert!(drawn[3].contains("min 1G       mean 1.5G     max 2G       last 2G"), "{}", drawn[3]);
        let listed = "       2G     10s ago  system.memory.usage{system.memory.state=used}";
        assert_eq!(lines(&view(), None, 80)[1], listed);
        let nothing = HistoryView { series: vec![], ..view() };
        assert!(lines(&nothing, Some("x"), 80)[2].contains("`salve watch` lists"));
        assert!(lines(&nothing, None, 80)[2].contains("subscribed"));
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.4213, 1.0, -12.344, 9999.0, 12_345.0, 3.217e9, 1e-7, 1e300].map(number);
        assert_eq!(shown, ["0", "0.4213", "1", "-12.34", "9999", "12.35k", "3.217G", "1.00e-7", "1.00e300"]);
    }
}
