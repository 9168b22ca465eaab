//! Sizes as people write them: `"4MiB"`, `"512KiB"`, `"10MB"`.

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer};

/// Bytes, for `#[serde(deserialize_with)]`.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    let size: ByteSize = text.parse().map_err(|error| {
        serde::de::Error::custom(format!("`{text}` is not a size such as \"512KiB\", \"4MiB\" or \"0\": {error}"))
    })?;
    Ok(size.as_u64())
}

/// The same for an optional key.
pub(super) fn read_some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    read(deserializer).map(Some)
}
