//! Budgets as people write them: `"5/10m"`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use super::{Budget, duration};

impl FromStr for Budget {
    type Err = String;

    /// Reads `COUNT/DURATION`: a count of at least 1 and a duration of more than zero. The error says the form.
    fn from_str(text: &str) -> Result<Self, String> {
        let no = |why: String| {
            format!("`{text}` is not a budget such as \"5/10m\" (how many, a slash, in how long a time): {why}")
        };
        let (count, per) = text.split_once('/').ok_or_else(|| no("it has no slash".to_owned()))?;
        let count = match count.trim().parse::<u32>() {
            Ok(0) => return Err(no("the count must be at least 1".to_owned())),
            Ok(count) => count,
            Err(_) => return Err(no(format!("`{}` is not a whole number from 1 to {}", count.trim(), u32::MAX))),
        };
        let per = duration::parse(per.trim()).map_err(no)?;
        if per.is_zero() {
            return Err(no("the time must be more than zero".to_owned()));
        }
        Ok(Self { count, per })
    }
}

impl fmt::Display for Budget {
    /// `5/10m`, as it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, humantime::format_duration(self.per))
    }
}

/// For `#[serde(deserialize_with)]` of an optional key.
pub(super) fn read_some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Budget>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn budgets_are_read_and_shown() {
        let budget: Budget = "5/10m".parse().unwrap();
        assert_eq!(budget, Budget { count: 5, per: Duration::from_secs(600) });
        assert_eq!(budget.to_string(), "5/10m");
        assert_eq!("1 / 1h 30m".parse::<Budget>().unwrap().per, Duration::from_secs(5400));
    }

    #[test]
    fn what_is_no_budget_says_the_form() {
        for text in ["", "5", "/", "5/", "/10m", "0/10m", "-1/10m", "5/0", "5/0s", "5/10", "5/10m/2", "4294967296/1m"] {
            let error = text.parse::<Budget>().unwrap_err();
            assert!(error.starts_with(&format!("`{text}` is not a budget such as \"5/10m\"")), "{error}");
        }
        assert!("0/10m".parse::<Budget>().unwrap_err().ends_with("the count must be at least 1"));
        assert!("5/0s".parse::<Budget>().unwrap_err().ends_with("the time must be more than zero"));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_as_the_same(count in 1..=u32::MAX, nanos in 1..=u64::MAX) {
            let budget = Budget { count, per: Duration::from_nanos(nanos) };
            prop_assert_eq!(budget.to_string().parse(), Ok(budget));
        }

        #[test]
        fn no_text_is_too_much(text in ".{0,40}") {
            if let Ok(budget) = text.parse::<Budget>() {
                prop_assert!(budget.count >= 1 && !budget.per.is_zero());
            }
        }
    }
}
