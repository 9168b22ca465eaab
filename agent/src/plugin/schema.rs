//! A policy's configuration against the plugin's JSON Schema, before the plugin sees it.

mod cost;

use jsonschema::PatternOptions;
use jsonschema::error::ValidationErrorKind;

use super::contract::Description;
use super::limits;
use crate::config::{ConfigError, Policy, unknown_key};

/// Checks it; the error names the place in the policy's file.
pub(super) fn check(policy: &Policy, description: &Description) -> Result<(), ConfigError> {
    if description.config_schema.trim().is_empty() {
        return Ok(());
    }
    let broken = |error: String| policy.config_error(&[], &format!("the plugin's schema is not valid: {error}"));
    let schema = serde_json::from_str(&description.config_schema).map_err(|error| broken(error.to_string()))?;
    cost::check(&schema).map_err(broken)?;
    // Without backtracking, and no larger than those of selectors: both are compiled while others wait.
    let patterns = PatternOptions::regex().size_limit(limits::LARGE_PATTERN).dfa_size_limit(limits::LARGE_PATTERN);
    let validator = jsonschema::options().with_pattern_options(patterns).build(&schema);
    let validator = validator.map_err(|error| broken(error.to_string()))?;
    let Some(error) = validator.iter_errors(&policy.config).next() else {
        return Ok(());
    };
    let mut path: Vec<String> = error.instance_path().as_str().split('/').skip(1).map(str::to_owned).collect();
    if let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind()
        && let Some(key) = unexpected.first()
    {
        let valid = valid_keys(&schema, path.is_empty());
        path.push(key.clone());
        return Err(policy.config_error(&path, &unknown_key(key, &valid)));
    }
    Err(policy.config_error(&path, &error.to_string()))
}

/// The keys that the schema's top level knows; deeper down it is not followed.
fn valid_keys(schema: &serde_json::Value, top_level: bool) -> Vec<&str> {
    let properties = schema.get("properties").and_then(|properties| properties.as_object()).filter(|_| top_level);
    properties.into_iter().flat_map(|properties| properties.keys().map(String::as_str)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// What becomes of a policy's text under this schema.
    fn checked(schema: &str, text: &str) -> Result<(), String> {
        let description = Description {
            name: "p".into(),
            version: "1".into(),
            summary: String::new(),
            config_schema: schema.into(),
            wants: vec![],
        };
        let policy = Policy::parse(Path::new("web.toml"), text).unwrap();
        check(&policy, &description).map_err(|error| error.to_string())
    }

    #[test]
    fn a_schema_that_refers_to_itself_does_no_harm() {
        for schema in [r##"{"$ref":"#"}"##, r##"{"allOf":[{"$ref":"#"}]}"##] {
            let error = checked(schema, "plugin = \"p\"").unwrap_err();
            assert!(error.contains("refers to itself"), "{error}");
        }
    }

    #[test]
    fn a_pattern_checks_and_one_that_explodes_is_refused() {
        let schema = |pattern: &str| format!(r#"{{"properties":{{"name":{{"pattern":"{pattern}"}}}}}}"#);
        let text = "plugin = \"p\"\n[config]\nname = \"web1\"";
        checked(&schema("^[a-z]+[0-9]$"), text).unwrap();
        let error = checked(&schema("^[a-z]+$"), text).unwrap_err();
        assert!(error.starts_with("web.toml:3:1: [config].name: "), "{error}");
        let error = checked(&schema("(?:\\\\w{100}){100}"), text).unwrap_err();
        assert!(error.contains("the plugin's schema is not valid"), "{error}");
        // What only a backtracking engine understands may take for ever.
        assert!(checked(&schema("(a+)\\\\1"), text).unwrap_err().contains("not valid"));
    }

    #[test]
    fn an_error_names_the_line_of_the_key() {
        let schema = r#"{"type":"object","additionalProperties":false,
            "properties":{"services":{"type":"array","items":{"type":"string"}}}}"#;
        let check_text = |text: &str| checked(schema, text);
        check_text("plugin = \"p\"\n[config]\nservices = [\"a\"]").unwrap();
        let error = check_text("plugin = \"p\"\n[config]\nservices = [\n\"a\",\n7]").unwrap_err();
        assert!(error.starts_with("web.toml:5:1: [config].services.1: 7 is not of type"), "{error}");
        let error = check_text("plugin = \"p\"\n[config]\nserives = []").unwrap_err();
        assert_eq!(error, "web.toml:3:1: [config].serives: unknown key `serives`; did you mean `services`?");
    }
}
