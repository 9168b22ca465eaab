use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::HumanDuration;

/// A limit in a plugin's configuration: what a [`Threshold`](super::Threshold) is told to look for.
///
/// ```toml
/// [config.memory]
/// above = 0.9         # raised above this…
/// for   = "30s"       # …once it has been for so long
/// clear = 0.8         # cleared at or below this…
/// clear-for = "1m"    # …once it has been for so long
/// max-gap = "5m"      # where no reading came for longer, both begin anew
/// ```
///
/// `below` in the place of `above` turns it round. Only one of the two is needed: `clear` is the same value if it is left
/// out, the times are nothing, and `max-gap`, which must be longer than the time between two readings, is five minutes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
#[schemars(with = "Written")]
pub struct Limit {
    pub(super) side: Side,
    pub(super) raise: f64,
    pub(super) clear: f64,
    pub(super) hold: Duration,
    pub(super) clear_hold: Duration,
    pub(super) max_gap: Duration,
}

/// Which side of the limit is the bad one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Above,
    Below,
}

const MAX_GAP: Duration = Duration::from_secs(300);

impl Limit {
    /// Raised above this value, at once; cleared at or below it, at once.
    pub const fn above(value: f64) -> Self {
        Self::new(Side::Above, value)
    }

    /// Raised below this value, at once; cleared at or above it, at once.
    pub const fn below(value: f64) -> Self {
        Self::new(Side::Below, value)
    }

    const fn new(side: Side, value: f64) -> Self {
        let (hold, clear_hold) = (Duration::ZERO, Duration::ZERO);
        Self { side, raise: value, clear: value, hold, clear_hold, max_gap: MAX_GAP }
    }

    /// Cleared at this value instead. One on the bad side of the limit counts as the limit itself.
    pub fn clear(mut self, value: f64) -> Self {
        self.clear = match self.side {
            Side::Above => value.min(self.raise),
            Side::Below => value.max(self.raise),
        };
        self
    }

    /// Raised only when the value has been beyond the limit for so long.
    pub fn hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }

    /// Cleared only when the value has been back for so long.
    pub fn clear_hold(mut self, hold: Duration) -> Self {
        self.clear_hold = hold;
        self
    }

    /// Where no reading came for longer than this, nobody knows what was between, and both times begin anew. It must be
    /// longer than the time between two readings.
    pub fn max_gap(mut self, gap: Duration) -> Self {
        self.max_gap = gap;
        self
    }

    /// Whether it is raised at this value.
    pub(super) fn is_beyond(&self, value: f64) -> bool {
        self.excess(value) > 0.0
    }

    /// How far beyond the limit a value is; less than 0 on the good side.
    pub(super) fn excess(&self, value: f64) -> f64 {
        match self.side {
            Side::Above => value - self.raise,
            Side::Below => self.raise - value,
        }
    }

    /// Whether it is cleared at this value.
    pub(super) fn is_back(&self, value: f64) -> bool {
        match self.side {
            Side::Above => value <= self.clear,
            Side::Below => value >= self.clear,
        }
    }
}

/// A limit as it is written.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Limit")]
struct Written {
    /// Raised above this value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    above: Option<f64>,
    /// Raised below this value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    below: Option<f64>,
    /// Cleared at this value; the one above if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clear: Option<f64>,
    /// How long the value must be beyond the limit before it is raised.
    #[serde(default = "at_once")]
    r#for: HumanDuration,
    /// How long it must be back before it is cleared.
    #[serde(default = "at_once")]
    clear_for: HumanDuration,
    /// Where no reading came for longer than this, the times begin anew; longer than the time between two readings.
    #[serde(default = "max_gap")]
    max_gap: HumanDuration,
}

fn at_once() -> HumanDuration {
    HumanDuration(Duration::ZERO)
}

fn max_gap() -> HumanDuration {
    HumanDuration(MAX_GAP)
}

impl TryFrom<Written> for Limit {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { above, below, clear, r#for, clear_for, max_gap } = written;
        let limit = match (above, below) {
            (Some(value), None) => Self::above(value),
            (None, Some(value)) => Self::below(value),
            (None, None) => return Err("a limit needs `above` or `below`; it has neither".into()),
            (Some(_), Some(_)) => return Err("a limit has `above` or `below`; take one of them out".into()),
        };
        let clear = clear.unwrap_or(limit.raise);
        if !clear.is_finite() || !limit.raise.is_finite() {
            return Err("a limit is a finite number".into());
        }
        let limit = limit.hold(*r#for).clear_hold(*clear_for).max_gap(*max_gap).clear(clear);
        if limit.clear != clear {
            let (side, wanted) = match limit.side {
                Side::Above => ("above", "less"),
                Side::Below => ("below", "more"),
            };
            let raise = limit.raise;
            return Err(format!(
                "`clear = {clear}` would be cleared while `{side} = {raise}` is raised; make it {wanted}"
            ));
        }
        Ok(limit)
    }
}

impl From<Limit> for Written {
    fn from(limit: Limit) -> Self {
        let (above, below) = match limit.side {
            Side::Above => (Some(limit.raise), None),
            Side::Below => (None, Some(limit.raise)),
        };
        let clear = (limit.clear != limit.raise).then_some(limit.clear);
        let (r#for, clear_for) = (HumanDuration(limit.hold), HumanDuration(limit.clear_hold));
        Self { above, below, clear, r#for, clear_for, max_gap: HumanDuration(limit.max_gap) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Limit, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn it_is_read_as_it_is_written() {
        let limit =
            read(r#"{ "above": 0.9, "clear": 0.8, "for": "30s", "clear-for": "1m", "max-gap": "2m" }"#).unwrap();
        let seconds = Duration::from_secs;
        let expected = Limit::above(0.9).clear(0.8).hold(seconds(30)).clear_hold(seconds(60)).max_gap(seconds(120));
        assert_eq!(limit, expected);
        for limit in [limit, Limit::below(3.0)] {
            assert_eq!(read(&serde_json::to_string(&limit).unwrap()), Ok(limit));
        }
        assert_eq!(read(r#"{ "below": 3 }"#), Ok(Limit::below(3.0)));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        for (json, reason) in [
            ("{}", "needs `above` or `below`"),
            (r#"{ "above": 1, "below": 0 }"#, "take one of them out"),
            (r#"{ "above": 0.8, "clear": 0.9 }"#, "make it less"),
            (r#"{ "below": 0.2, "clear": 0.1 }"#, "make it more"),
            (r#"{ "above": 1, "four": "30s" }"#, "unknown field `four`"),
            (r#"{ "above": 1, "for": "soon" }"#, "`soon` is not a duration"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(reason), "{json}: {error}");
        }
    }

    #[test]
    fn the_schema_is_that_of_what_is_written() {
        let schema = schemars::schema_for!(Limit).to_value();
        let keys: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        for key in ["above", "below", "clear", "for", "clear-for", "max-gap"] {
            assert!(keys.iter().any(|known| *known == key), "{key} is not in {keys:?}");
        }
        assert_eq!(schema["title"], "Limit");
        assert_eq!(schema["properties"]["for"]["default"], "0s");
    }
}
