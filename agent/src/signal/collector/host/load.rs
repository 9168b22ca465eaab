//! Load: the mean number of tasks that ran, wanted to run or waited for a disk.

use super::{Reader, Source, sample};
use crate::signal::Sample;
use crate::signal::collector::kept::{Fault, Kept};

/// Over one, five and fifteen minutes, in the order of `/proc/loadavg`.
const METRICS: [&str; 3] = ["system.cpu.load_average.1m", "system.cpu.load_average.5m", "system.cpu.load_average.15m"];

pub(super) const SOURCE: Source =
    Source { name: "load", metrics: &METRICS, open: |root| Box::new(Load(Kept::new(root.join("proc/loadavg")))) };

struct Load(Kept);

impl Reader for Load {
    fn read(&mut self) -> Result<Vec<Sample>, Fault> {
        let parsed = parse(&self.0.text()?);
        parsed.ok_or_else(|| Fault::garbage(self.0.path(), "it does not begin with three numbers"))
    }
}

fn parse(text: &str) -> Option<Vec<Sample>> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<f64>);
    let mut next = || numbers.next()?.ok().filter(|load| load.is_finite() && *load >= 0.0);
    METRICS.iter().map(|metric| Some(sample(metric, &[], next()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_numbers_or_none() {
        let samples = parse("2.20 2.95 2.90 5/126 26218\n").unwrap();
        assert_eq!(samples.iter().map(|sample| sample.value).collect::<Vec<_>>(), [2.2, 2.95, 2.9]);
        assert_eq!(samples[2].series.metric, "system.cpu.load_average.15m");
        for text in ["", "1.0 2.0", "1.0 NaN 2.0", "inf 1 1", "-1 1 1"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
