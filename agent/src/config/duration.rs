//! Durations as people write them: `"500ms"`, `"30s"`, `"10m"`, `"1h 30m"`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// Reads one; the error says the form.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    // `0` needs no unit.
    if text.trim() == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text)
        .map_err(|error| format!("`{text}` is not a duration such as \"500ms\", \"30s\" or \"10m\": {error}"))
}

/// For `#[serde(deserialize_with)]`.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// The same for an optional key.
pub(super) fn read_some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    read(deserializer).map(Some)
}

/// The same for one that must be more than zero.
pub(super) fn read_positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    match read(deserializer)? {
        Duration::ZERO => Err(D::Error::custom("this duration must be more than zero")),
        duration => Ok(Some(duration)),
    }
}

/// The same for one that may be `"never"`, which is the inner `None`.
pub(super) fn read_or_never<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Duration>>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.trim() == "never" {
        return Ok(Some(None));
    }
    let duration = parse(&text).map_err(|error| D::Error::custom(format!("{error}; or write \"never\"")))?;
    if duration.is_zero() {
        return Err(D::Error::custom("this duration must be more than zero; or write \"never\""));
    }
    Ok(Some(Some(duration)))
}
