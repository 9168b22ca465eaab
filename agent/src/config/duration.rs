//! Durations as people write them: `"500ms"`, `"30s"`, `"10m"`, `"1h 30m"`.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// For `#[serde(deserialize_with)]`.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    // `0` needs no unit.
    if text.trim() == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(&text).map_err(|error| {
        serde::de::Error::custom(format!("`{text}` is not a duration such as \"500ms\", \"30s\" or \"10m\": {error}"))
    })
}

/// The same for an optional key.
pub(super) fn read_some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    read(deserializer).map(Some)
}
