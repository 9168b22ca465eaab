//! A line of blocks.

use crate::clock::Timestamp;

/// An eighth of a line's height, up to all of it.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The samples from `from` to `to` in at most `width` columns, each as high as the mean of what is in it, between the
/// lowest and the highest column. Where there is nothing, it is blank.
pub(super) fn spark(samples: &[(Timestamp, f64)], from: Timestamp, to: Timestamp, width: usize) -> String {
    let columns = columns(samples, from, to, width);
    let known = || columns.iter().flatten().copied();
    let (low, high) = (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
    let block = |mean: f64| {
        // Halved first: the span of the largest numbers is no number. What does not move is in the middle.
        let (above, span) = (mean / 2.0 - low / 2.0, high / 2.0 - low / 2.0);
        let height = if span > 0.0 { above / span * 7.0 } else { 3.0 };
        BLOCKS.get(height.round() as usize).copied().unwrap_or(' ')
    };
    columns.iter().map(|column| column.map_or(' ', block)).collect()
}

fn columns(samples: &[(Timestamp, f64)], from: Timestamp, to: Timestamp, width: usize) -> Vec<Option<f64>> {
    let window = to.since(from).as_secs_f64();
    let (Some((first, _)), Some((last, _)), true) = (samples.first(), samples.last(), window > 0.0) else {
        return vec![None; width];
    };
    // No finer than the samples are.
    let gaps = samples.len().saturating_sub(1);
    let spacing = last.since(*first).as_secs_f64() / gaps.max(1) as f64;
    let width = if spacing > 0.0 { ((window / spacing) as usize).clamp(1, width) } else { width };
    let mut sums = vec![(0.0, 0_u32); width];
    for (at, value) in samples {
        let column = (at.since(from).as_secs_f64() / window * width as f64) as usize;
        if let Some((mean, count)) = sums.get_mut(column.min(width - 1)) {
            *count += 1;
            *mean += value / f64::from(*count) - *mean / f64::from(*count);
        }
    }
    let means: Vec<_> = sums.into_iter().map(|(mean, count)| (count > 0).then_some(mean)).collect();
    // Samples do not come to the millisecond: a column between two others is as the one before it.
    let near = |at: usize| means.get(at).copied().flatten();
    let filled = |at: usize| near(at).or_else(|| near(at + 1).and(near(at.checked_sub(1)?)));
    (0..width).map(filled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_nanos(second * 1_000_000_000)
    }

    fn drawn(values: &[(u64, f64)], width: usize) -> String {
        let samples: Vec<_> = values.iter().map(|(second, value)| (at(*second), *value)).collect();
        spark(&samples, at(0), at(80), width)
    }

    #[test]
    fn it_rises_and_falls_with_the_values() {
        let rising: Vec<_> = (0..80).map(|n| (n, n as f64)).collect();
        assert_eq!(drawn(&rising, 8), "▁▂▃▄▅▆▇█");
        let still: Vec<_> = (40..80).map(|n| (n, 5.0)).collect();
        assert_eq!(drawn(&still, 8), "    ▄▄▄▄");
    }

    #[test]
    fn it_stands_whatever_it_is_given() {
        assert_eq!(drawn(&[], 3), "   ");
        assert_eq!(drawn(&[(80, 1.0)], 3), "  ▄");
        assert_eq!(drawn(&[(10, f64::MAX), (70, f64::MIN)], 2).chars().count(), 1);
        assert_eq!(spark(&[(at(1), 1.0)], at(1), at(1), 2), "  ");
        // A sample each 10 s or so has no more than 8 columns, and no hole where one came late.
        let late: Vec<_> = [0, 10, 20, 31, 40, 50, 60, 70, 79].map(|second| (second, 1.0)).to_vec();
        assert_eq!(drawn(&late, 60), "▄▄▄▄▄▄▄▄");
    }
}
