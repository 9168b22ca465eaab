use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use bytesize::ByteSize;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes in a plugin's configuration, written as in the agent's own: `"200MiB"`, `"10MB"`, `"4096"`. Shown in
/// binary units: `200.0 MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanSize(pub u64);

impl HumanSize {
    /// So many mebibytes: for defaults.
    pub const fn from_mib(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }
}

/// What a measurement gives; what is no number of bytes counts as none.
impl From<f64> for HumanSize {
    fn from(bytes: f64) -> Self {
        // A cast saturates, and makes 0 of what is less and of what is no number.
        Self(bytes as u64)
    }
}

impl Deref for HumanSize {
    type Target = u64;

    fn deref(&self) -> &u64 {
        &self.0
    }
}

impl fmt::Display for HumanSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ByteSize::b(self.0).display().iec().fmt(f)
    }
}

impl Serialize for HumanSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{} B", self.0))
    }
}

impl<'de> Deserialize<'de> for HumanSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let size: ByteSize = text.parse().map_err(|error| {
            serde::de::Error::custom(format!("`{text}` is not a size such as \"512KiB\" or \"4GiB\": {error}"))
        })?;
        Ok(Self(size.as_u64()))
    }
}

impl JsonSchema for HumanSize {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn inline_schema() -> bool {
        true
    }

    /// The pattern lets the host refuse what is no size with file and line, before the plugin sees it.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*[a-zA-Z]*\s*$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written() {
        let read = |json: &str| serde_json::from_str::<HumanSize>(json);
        assert_eq!(read("\"200MiB\"").unwrap(), HumanSize::from_mib(200));
        for size in [0, 4096, u64::MAX >> 12] {
            assert_eq!(read(&serde_json::to_string(&HumanSize(size)).unwrap()).unwrap(), HumanSize(size));
        }
        let error = read("\"much\"").unwrap_err().to_string();
        assert!(error.contains("`much` is not a size"), "{error}");
    }

    #[test]
    fn people_read_binary_units() {
        assert_eq!(HumanSize::from_mib(1536).to_string(), "1.5 GiB");
        assert_eq!([f64::NAN, -1.0, 7.9].map(|bytes| *HumanSize::from(bytes)), [0, 0, 7]);
    }
}
