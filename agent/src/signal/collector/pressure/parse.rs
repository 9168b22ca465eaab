/// One line of a pressure file: of `some` or of `full`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line {
    /// The share of time, 0 to 1, over the last 10, 60 and 300 s.
    pub(super) ratios: [f64; 3],
    /// How long since boot, in microseconds.
    pub(super) total: u64,
}

/// Over what the ratios are, in their order.
pub(super) const WINDOWS: [&str; 3] = ["10s", "60s", "300s"];

/// What a pressure file says: by kind, `some` first. Kernels before 5.13 know no `full` for the CPU. `None` where it is
/// something else.
pub(super) fn parse(text: &str) -> Option<Vec<(&'static str, Line)>> {
    let lines: Vec<_> = text.lines().map(line).collect::<Option<_>>()?;
    (!lines.is_empty()).then_some(lines)
}

/// `some avg10=0.12 avg60=0.05 avg300=0.01 total=12345`: per cent.
fn line(text: &str) -> Option<(&'static str, Line)> {
    let mut words = text.split_ascii_whitespace();
    let kind = match words.next()? {
        "some" => "some",
        "full" => "full",
        _ => return None,
    };
    let mut value = |key: &str| words.next()?.strip_prefix(key)?.strip_prefix('=');
    let ratio = |text: &str| {
        text.parse().ok().filter(|percent| (0.0..=100.0).contains(percent)).map(|percent: f64| percent / 100.0)
    };
    let ratios = [ratio(value("avg10")?)?, ratio(value("avg60")?)?, ratio(value("avg300")?)?];
    Some((kind, Line { ratios, total: value("total")?.parse().ok()? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds() {
        let text = "some avg10=40.00 avg60=16.83 avg300=33.54 total=6146451553\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        let lines = parse(text).unwrap();
        assert_eq!((lines[0].0, lines[0].1.ratios[0], lines[0].1.total), ("some", 0.4, 6_146_451_553));
        assert_eq!(lines[1].0, "full");
    }

    #[test]
    fn garbage_is_none() {
        let good = "some avg10=1.00 avg60=2.00 avg300=3.00 total=4";
        assert!(parse(good).is_some());
        for bad in ["", "some", "none avg10=1 avg60=1 avg300=1 total=1", "some avg10=x avg60=2.00 avg300=3.00 total=4"]
        {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
        for (have, bad) in [("1.00", "NaN"), ("1.00", "101"), ("1.00", "-1"), ("=4", "=-4"), ("avg60", "avg61")] {
            assert_eq!(parse(&good.replace(have, bad)), None, "{bad:?}");
        }
    }
}
