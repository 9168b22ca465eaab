//! CPUs: how many there are, and the share of time spent in each mode.

use std::path::Path;

use super::{Reader, Source, ratio, sample};
use crate::signal::Sample;
use crate::signal::collector::kept::{Fault, Kept};

pub(super) const SOURCE: Source = Source {
    name: "cpu",
    metrics: &["system.cpu.utilization", "system.cpu.logical.count"],
    open: |root| Box::new(Cpu::new(root)),
};

/// OpenTelemetry's modes, in the order of [`Times`].
const MODES: [&str; 7] = ["user", "nice", "system", "idle", "iowait", "interrupt", "steal"];
/// Where `idle` and `iowait` are among them: nothing runs then.
const AT_REST: [usize; 2] = [3, 4];

/// Ticks since boot in each mode. Time of guests is part of `user` and `nice`, soft interrupts are interrupts.
type Times = [u64; 7];

/// Utilisation is the share of time since the last reading, so the first one has nothing to say.
struct Cpu {
    stat: Kept,
    last: Option<Times>,
}

impl Cpu {
    fn new(root: &Path) -> Self {
        Self { stat: Kept::new(root.join("proc/stat")), last: None }
    }
}

impl Reader for Cpu {
    fn read(&mut self) -> Result<Vec<Sample>, Fault> {
        let parsed = parse(&self.stat.text()?);
        let (times, count) =
            parsed.ok_or_else(|| Fault::garbage(self.stat.path(), "no line `cpu` with eight numbers"))?;
        let mut samples = vec![sample("system.cpu.logical.count", &[], count as f64)];
        if let Some(last) = self.last.replace(times) {
            samples.extend(utilization(&last, &times));
        }
        Ok(samples)
    }
}

/// The times of all CPUs together, and the number of CPUs, from `/proc/stat` (proc_stat(5)).
fn parse(text: &str) -> Option<(Times, usize)> {
    let total = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let mut numbers = total.split_ascii_whitespace().map(|number| number.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    let (user, nice, system, idle, iowait) = (next()?, next()?, next()?, next()?, next()?);
    let (irq, softirq, steal) = (next()?, next()?, next()?);
    let is_one =
        |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let count = text.lines().filter(is_one).count();
    Some(([user, nice, system, idle, iowait, irq.saturating_add(softirq), steal], count))
}

/// The share of each mode in the time between two readings, and of all modes in which something runs. Nothing if no tick
/// has passed. The kernel's counts of `idle` and `iowait` may go back by a little: that is no time at all.
fn utilization(last: &Times, now: &Times) -> Vec<Sample> {
    let passed: Vec<f64> = now.iter().zip(last).map(|(now, last)| now.saturating_sub(*last) as f64).collect();
    let total: f64 = passed.iter().sum();
    if total <= 0.0 {
        return Vec::new();
    }
    let rest: f64 = AT_REST.iter().filter_map(|mode| passed.get(*mode)).sum();
    let modes = MODES.iter().zip(&passed);
    let mut samples = vec![sample("system.cpu.utilization", &[], ratio(total - rest, total))];
    samples.extend(
        modes.map(|(mode, ticks)| sample("system.cpu.utilization", &[("cpu.mode", mode)], ratio(*ticks, total))),
    );
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  100 10 50 800 20 5 5 10 30 0\ncpu0 50 5 25 400 10 2 3 5 15 0\ncpu1 50 5 25 400 10 3 2 5 15 0\n\
                        intr 12618618 0 0\nctxt 99\ncpufreq 3\n";

    #[test]
    fn modes_add_up_to_the_whole_and_those_at_rest_are_not_busy() {
        let (last, count) = parse(STAT).unwrap();
        assert_eq!((last, count), ([100, 10, 50, 800, 20, 10, 10], 2));
        let now = [130, 10, 60, 850, 30, 10, 10];
        let samples = utilization(&last, &now);
        let [total, modes @ ..] = &samples[..] else { panic!("no samples") };
        assert_eq!((total.value, total.series.attributes.len()), (0.4, 0));
        let shares: Vec<f64> = modes.iter().map(|sample| sample.value).collect();
        assert_eq!(shares, [0.3, 0.0, 0.1, 0.5, 0.1, 0.0, 0.0]);
    }

    #[test]
    fn counts_that_go_back_are_no_time_and_no_time_is_no_sample() {
        let (last, _) = parse(STAT).unwrap();
        assert!(utilization(&last, &last).is_empty());
        let now = [110, 10, 50, 799, 19, 10, 10];
        let samples = utilization(&last, &now);
        assert_eq!(samples[0].value, 1.0);
        assert!(samples.iter().all(|sample| (0.0..=1.0).contains(&sample.value)), "{samples:?}");
    }

    #[test]
    fn garbage_is_none() {
        for text in ["", "cpu", "cpu 1 2 3", "cpu a b c d e f g h", "cpu 1 2 3 4 5 6 7 99999999999999999999", "\0\0"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
