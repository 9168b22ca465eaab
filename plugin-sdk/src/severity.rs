use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::Severity;

/// In a plugin's configuration a severity is a word, as everywhere else.
const WORDS: [(&str, Severity); 4] = [
    ("info", Severity::Info),
    ("warning", Severity::Warning),
    ("error", Severity::Error),
    ("critical", Severity::Critical),
];

impl<'de> Deserialize<'de> for Severity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Cow::<'de, str>::deserialize(deserializer)?;
        let known = WORDS.iter().find(|(known, _)| *known == word).map(|(_, severity)| *severity);
        known.ok_or_else(|| {
            serde::de::Error::custom(format!("`{word}` is no severity; take info, warning, error or critical"))
        })
    }
}

impl JsonSchema for Severity {
    fn schema_name() -> Cow<'static, str> {
        "Severity".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": WORDS.map(|(word, _)| word) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_word() {
        assert_eq!(serde_json::from_str::<Severity>("\"warning\"").unwrap(), Severity::Warning);
        let error = serde_json::from_str::<Severity>("\"fatal\"").unwrap_err().to_string();
        assert!(error.contains("`fatal` is no severity"), "{error}");
    }
}
