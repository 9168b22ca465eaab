use std::collections::BTreeMap;

use crate::action::Action;
use crate::config::unknown_key;
use crate::signal::Value;

/// The parameters of an action, all of them known by name and given once.
#[derive(Debug)]
pub(super) struct Parameters<'a> {
    kind: &'a str,
    given: BTreeMap<&'a str, &'a Value>,
}

impl<'a> Parameters<'a> {
    /// Those of `action`; one that is not `known` is an error: a filter with a typing error would filter nothing.
    pub(super) fn of(action: &'a Action, known: &[&str]) -> Result<Self, String> {
        let kind = action.kind.as_str();
        let mut given = BTreeMap::new();
        for parameter in &action.parameters {
            let key = parameter.key.as_str();
            if !known.contains(&key) {
                return Err(format!("{kind}: {}", unknown_key(key, known)));
            }
            if given.insert(key, &parameter.value).is_some() {
                return Err(format!("{kind}: parameter `{key}` is given twice"));
            }
        }
        Ok(Self { kind, given })
    }

    /// One that must be there.
    pub(super) fn required<T>(&self, key: &str, value: Option<T>) -> Result<T, String> {
        value.ok_or_else(|| format!("{}: parameter `{key}` is missing", self.kind))
    }

    /// One as it is.
    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.given.get(key).copied()
    }

    /// A text.
    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, String> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, other, "a text")),
        }
    }

    /// A whole number.
    pub(super) fn integer(&self, key: &str) -> Result<Option<i64>, String> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Integer(integer)) => Ok(Some(*integer)),
            Some(other) => Err(self.wrong(key, other, "a whole number")),
        }
    }

    /// A whole number that is not negative.
    pub(super) fn count(&self, key: &str) -> Result<Option<u64>, String> {
        let integer = self.integer(key)?;
        let count =
            |integer: i64| integer.try_into().map_err(|_| self.wrong(key, &Value::Integer(integer), "0 or more"));
        integer.map(count).transpose()
    }

    /// Says that a parameter is not what it should be.
    pub(super) fn wrong(&self, key: &str, value: &Value, wanted: &str) -> String {
        format!("{}: parameter `{key}` is `{value}`, which is not {wanted}", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::actuator::testing::action;

    #[test]
    fn parameters_are_known_typed_and_given_once() {
        let good = action("x", "t", &[("a", Value::Integer(-1)), ("b", "text".into())]);
        let parameters = Parameters::of(&good, &["a", "b", "c"]).unwrap();
        assert_eq!(parameters.integer("a"), Ok(Some(-1)));
        assert_eq!(parameters.text("b"), Ok(Some("text")));
        assert_eq!(parameters.count("c"), Ok(None));
        assert!(parameters.count("a").unwrap_err().contains("0 or more"));
        assert!(parameters.integer("b").unwrap_err().contains("not a whole number"));
        assert!(parameters.text("a").unwrap_err().contains("not a text"));
        assert!(Parameters::of(&good, &["a"]).unwrap_err().contains("`b`"));
        let twice = action("x", "t", &[("a", Value::Integer(1)), ("a", Value::Integer(2))]);
        assert!(Parameters::of(&twice, &["a"]).unwrap_err().contains("given twice"));
    }
}
