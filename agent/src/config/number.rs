//! Whole numbers with bounds.

use std::ops::RangeInclusive;

use serde::{Deserialize, Deserializer, de::Error};

/// For `#[serde(deserialize_with)]`: at least 1.
pub(super) fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    within(deserializer, 1..=u32::MAX.into()).map(|number| u32::try_from(number).ok())
}

/// The same for 0 to 100.
pub(super) fn up_to_100<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
    within(deserializer, 0..=100).map(|number| i32::try_from(number).ok())
}

fn within<'de, D: Deserializer<'de>>(deserializer: D, valid: RangeInclusive<i64>) -> Result<i64, D::Error> {
    let number = i64::deserialize(deserializer)?;
    if valid.contains(&number) {
        return Ok(number);
    }
    let (least, most) = valid.into_inner();
    Err(D::Error::custom(format!("{number} is out of range: write a whole number from {least} to {most}")))
}
