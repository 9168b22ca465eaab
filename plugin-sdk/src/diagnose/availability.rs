use std::fmt;
use std::time::Duration;

/// A year of 365.25 days, in seconds.
const YEAR: f64 = 31_557_600.0;

/// The share of time in which something works, in the long run.
///
/// A = MTBF / (MTBF + MTTR), with the mean time between failures counted from repair to failure (MTTF, in the words of
/// those who tell the two apart) and the mean time to repair. What is kept is the unavailability 1 − A, so that nine nines lose no digits.
///
/// K. S. Trivedi and A. Bobbio, *Reliability and Availability Engineering*, 2017; IEC 61078, *Reliability block diagrams*.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Availability {
    unavailability: f64,
}

impl Availability {
    /// An availability between 0 and 1.
    pub fn new(availability: f64) -> Result<Self, String> {
        if (0.0..=1.0).contains(&availability) {
            Ok(Self { unavailability: 1.0 - availability })
        } else {
            Err(format!("the availability {availability} is not between 0 and 1"))
        }
    }

    /// From the mean time between failures and the mean time to repair. One of them must be more than nothing.
    pub fn from_times(mtbf: Duration, mttr: Duration) -> Result<Self, String> {
        unavailability(mtbf, mttr).map(|unavailability| Self { unavailability })
    }

    /// Of parts that all have to work.
    pub fn series(parts: &[Self]) -> Self {
        // 1 − ∏ (1 − u), without losing digits of small u.
        let log: f64 = parts.iter().map(|part| (-part.unavailability).ln_1p()).sum();
        Self { unavailability: (-log.exp_m1()).clamp(0.0, 1.0) }
    }

    /// Of parts of which one has to work.
    pub fn parallel(parts: &[Self]) -> Self {
        Self { unavailability: parts.iter().map(|part| part.unavailability).product() }
    }

    /// Of parts of which at least `k` have to work; they need not be alike. 0 if there are fewer parts. Takes n (n − k + 1)
    /// steps.
    pub fn at_least(k: usize, parts: &[Self]) -> Self {
        // The probability that so many or more have failed of the parts seen so far, from none to one too many.
        let Some(too_many) = (parts.len() + 1).checked_sub(k) else { return Self { unavailability: 1.0 } };
        let mut failed = vec![0.0; too_many + 1];
        if let Some(none) = failed.first_mut() {
            *none = 1.0;
        }
        for part in parts {
            let u = part.unavailability;
            let mut fewer = 1.0;
            for count in failed.iter_mut().skip(1) {
                let before = *count;
                *count = u * fewer + (1.0 - u) * before;
                fewer = before;
            }
        }
        Self { unavailability: failed.last().copied().unwrap_or(1.0).clamp(0.0, 1.0) }
    }

    /// A, between 0 and 1.
    pub fn value(self) -> f64 {
        1.0 - self.unavailability
    }

    /// 1 − A, which keeps the digits that [`value`](Self::value) of a very available system cannot show.
    pub fn unavailability(self) -> f64 {
        self.unavailability
    }

    /// How long it does not work in a year of 365.25 days.
    pub fn downtime_per_year(self) -> Duration {
        Duration::from_secs_f64(self.unavailability * YEAR)
    }

    /// How long it does not work in a month, the twelfth of a year.
    pub fn downtime_per_month(self) -> Duration {
        Duration::from_secs_f64(self.unavailability * YEAR / 12.0)
    }
}

impl fmt::Display for Availability {
    /// In percent, up to eleven nines: `99.95 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = format!("{:.9}", self.value() * 100.0);
        write!(f, "{} %", percent.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// MTTR / (MTBF + MTTR).
pub(super) fn unavailability(mtbf: Duration, mttr: Duration) -> Result<f64, String> {
    let (mtbf, mttr) = (mtbf.as_secs_f64(), mttr.as_secs_f64());
    if mtbf + mttr > 0.0 { Ok(mttr / (mtbf + mttr)) } else { Err("`mtbf` and `mttr` are both 0".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a(availability: f64) -> Availability {
        Availability::new(availability).unwrap()
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= expected.abs() * 1e-9, "{found} is not {expected}");
    }

    #[test]
    fn the_table_of_nines() {
        // Hours a year and minutes a month, as every table of nines has them.
        for (availability, hours, minutes) in [(0.9, 876.6, 4383.0), (0.999, 8.766, 43.83), (0.99999, 0.08766, 0.4383)]
        {
            let (year, month) = (a(availability).downtime_per_year(), a(availability).downtime_per_month());
            assert!((year.as_secs_f64() - hours * 3600.0).abs() < 1e-3, "{availability}: {year:?}");
            assert!((month.as_secs_f64() - minutes * 60.0).abs() < 1e-3, "{availability}: {month:?}");
        }
        assert_eq!([a(0.9), a(0.999), a(1.0), a(0.0)].map(|a| a.to_string()), ["90 %", "99.9 %", "100 %", "0 %"]);
    }

    #[test]
    fn blocks_of_known_availability() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        close(Availability::from_times(hours(999), hours(1)).unwrap().value(), 0.999);
        close(Availability::series(&[a(0.9), a(0.8)]).value(), 0.72);
        close(Availability::parallel(&[a(0.9), a(0.8)]).value(), 0.98);
        // 2 of 3: 3 A² − 2 A³.
        close(Availability::at_least(2, &[a(0.9); 3]).value(), 0.972);
        close(Availability::at_least(2, &[a(0.9), a(0.8), a(0.7)]).value(), 0.902);
        close(Availability::at_least(1, &[a(0.9), a(0.8)]).value(), 0.98);
        close(Availability::at_least(2, &[a(0.9), a(0.8)]).value(), 0.72);
        assert_eq!(Availability::at_least(3, &[a(1.0); 2]).value(), 0.0);
        assert_eq!(Availability::at_least(0, &[a(0.0); 2]).value(), 1.0);
        assert_eq!(Availability::at_least(4, &[]).value(), 0.0);
        assert_eq!(Availability::series(&[]).value(), 1.0);
        assert_eq!(Availability::series(&[a(0.0), a(1.0)]).value(), 0.0);
    }

    #[test]
    fn small_unavailabilities_keep_their_digits() {
        let year = Duration::from_secs(31_536_000);
        let one = Availability::from_times(year, Duration::from_nanos(3)).unwrap();
        close(one.unavailability(), 3e-9 / 31_536_000.0);
        close(Availability::series(&[one; 2]).unavailability(), 6e-9 / 31_536_000.0);
        close(Availability::at_least(1, &[one; 2]).unavailability(), (3e-9_f64 / 31_536_000.0).powi(2));
    }

    #[test]
    fn what_is_no_availability_is_refused() {
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(Availability::new(wrong).unwrap_err().contains("not between 0 and 1"));
        }
        assert!(Availability::from_times(Duration::ZERO, Duration::ZERO).unwrap_err().contains("both 0"));
    }
}
