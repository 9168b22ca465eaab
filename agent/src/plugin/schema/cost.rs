//! What a schema costs those who check by it, before anybody does: one of a few lines can take for ever, and one that refers to
//! itself overflows the stack.

use std::collections::HashMap;

use serde_json::Value;

use super::super::limits;

/// How many schemas one value may have to be checked against. A schema that is derived from Rust types needs a few dozen.
const MOST: u64 = 10_000;
/// How many of these may lead from one to the next.
const DEEPEST: usize = 100;

/// Keys below which there is a schema that the same value is checked against.
const IN_PLACE: [&str; 5] = ["$ref", "not", "if", "then", "else"];
/// Keys below which there is a list of such schemas.
const LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// Keys that lead where this does not follow.
const NOT_FOLLOWED: [&str; 5] = ["$id", "id", "$dynamicRef", "$recursiveRef", "$anchor"];

/// Refuses a schema that refers to anything outside of itself, or takes too long.
pub(super) fn check(schema: &Value) -> Result<(), String> {
    let mut costs = Costs { root: schema, known: HashMap::new(), depth: 0 };
    let mut patterns = 0;
    each(schema, &mut |schema| {
        for pattern in patterns_of(schema) {
            patterns += pattern.len();
            if pattern.len() > limits::EXPRESSION {
                return Err(format!(
                    "a pattern in it has {} bytes; at most {} are allowed",
                    pattern.len(),
                    limits::EXPRESSION
                ));
            }
        }
        if patterns > limits::EXPRESSIONS {
            return Err(format!("the patterns in it have more than {} bytes together", limits::EXPRESSIONS));
        }
        costs.of(schema).map(drop)
    })
}

/// Everything in one value that may be a regular expression, which somebody will compile.
fn patterns_of(schema: &Value) -> impl Iterator<Item = &str> {
    let keys = schema.get("patternProperties").and_then(Value::as_object);
    schema
        .get("pattern")
        .and_then(Value::as_str)
        .into_iter()
        .chain(keys.into_iter().flatten().map(|(key, _)| key.as_str()))
}

/// Everything in a schema that may be one: more than is, which costs little.
fn each<'a>(value: &'a Value, look: &mut impl FnMut(&'a Value) -> Result<(), String>) -> Result<(), String> {
    look(value)?;
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| each(item, look)),
        Value::Object(object) => object.values().try_for_each(|value| each(value, look)),
        _ => Ok(()),
    }
}

/// How many schemas a value is checked against that is checked against one; none while that is being found out.
struct Costs<'a> {
    root: &'a Value,
    known: HashMap<*const Value, Option<u64>>,
    depth: usize,
}

impl<'a> Costs<'a> {
    fn of(&mut self, schema: &'a Value) -> Result<u64, String> {
        let Value::Object(object) = schema else { return Ok(1) };
        match self.known.get(&std::ptr::from_ref(schema)) {
            Some(Some(cost)) => return Ok(*cost),
            Some(None) => return Err("it refers to itself, and whoever follows it never ends".to_owned()),
            None => {}
        }
        if self.depth == DEEPEST {
            return Err(format!("more than {DEEPEST} schemas lead from one to the next"));
        }
        self.depth += 1;
        self.known.insert(schema, None);
        let mut cost = 1_u64;
        for (key, value) in object {
            if NOT_FOLLOWED.contains(&key.as_str()) && value.is_string() {
                return Err(format!("`{key}` is not supported; refer by `$ref = \"#/$defs/…\"`"));
            }
            let more = match (key.as_str(), value) {
                ("$ref", Value::String(place)) => self.of(self.find(place)?)?,
                ("dependentSchemas", Value::Object(all)) => self.sum(all.values())?,
                (key, Value::Array(all)) if LISTS.contains(&key) => self.sum(all)?,
                (key, value @ Value::Object(_)) if IN_PLACE.contains(&key) => self.of(value)?,
                _ => 0,
            };
            cost = cost.saturating_add(more);
        }
        if cost > MOST {
            return Err(format!("a value would have to be checked against more than {MOST} schemas"));
        }
        self.known.insert(schema, Some(cost));
        self.depth -= 1;
        Ok(cost)
    }

    fn sum(&mut self, all: impl IntoIterator<Item = &'a Value>) -> Result<u64, String> {
        all.into_iter().try_fold(0_u64, |sum, schema| Ok(sum.saturating_add(self.of(schema)?)))
    }

    fn find(&self, place: &str) -> Result<&'a Value, String> {
        let found = match place.strip_prefix('#') {
            Some("") => Some(self.root),
            Some(pointer) => self.root.pointer(pointer),
            None => return Err(format!("`$ref` to {place:?}: only what is in the schema itself can be referred to")),
        };
        found.ok_or_else(|| format!("`$ref` to {place:?}, which is not there"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_types_are_described_by_is_fine() {
        let list = json!({"$ref": "#/$defs/Node", "$defs": {"Node": {"type": "object", "properties": {
            "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
            "$id": {"type": "string"}, "not": {"type": "boolean"},
        }}}});
        check(&list).unwrap();
        check(&json!(true)).unwrap();
    }

    #[test]
    fn what_never_ends_or_lies_elsewhere_is_refused() {
        let refused = |schema: Value| check(&schema).unwrap_err();
        assert!(refused(json!({"$ref": "#"})).contains("refers to itself"));
        assert!(
            refused(json!({"properties": {"a": {"allOf": [{"not": {"$ref": "#/properties/a"}}]}}})).contains("itself")
        );
        for elsewhere in ["file:///etc/passwd", "http://127.0.0.1/x", "other.json#/a", "//host/x"] {
            assert!(refused(json!({"items": {"$ref": elsewhere}})).contains("only what is in the schema"));
        }
        assert!(refused(json!({"$ref": "#/nowhere"})).contains("not there"));
        assert!(refused(json!({"$id": "http://x/", "$ref": "y"})).contains("not supported"));
    }

    #[test]
    fn patterns_that_are_too_long_are_refused() {
        let long = "a".repeat(limits::EXPRESSION + 1);
        check(&json!({"properties": {"name": {"pattern": "^[a-z]+$"}}})).unwrap();
        for schema in [json!({"items": {"pattern": long}}), json!({"patternProperties": {long.clone(): true}})] {
            assert!(check(&schema).unwrap_err().contains("a pattern in it has 4097 bytes"));
        }
        let many: Vec<Value> = (0..20).map(|_| json!({"pattern": "a".repeat(limits::EXPRESSION)})).collect();
        assert!(check(&json!({"items": {"enum": many}})).unwrap_err().contains("more than 65536 bytes together"));
    }

    #[test]
    fn what_doubles_with_each_line_is_refused() {
        let levels = |count: usize| {
            let mut all = serde_json::Map::new();
            for n in 0..count {
                let next = json!({"$ref": format!("#/$defs/{}", n + 1)});
                all.insert(n.to_string(), json!({"anyOf": [next, next]}));
            }
            all.insert(count.to_string(), json!({"type": "string"}));
            json!({"$ref": "#/$defs/0", "$defs": all})
        };
        check(&levels(8)).unwrap();
        assert!(check(&levels(40)).unwrap_err().contains("more than 10000 schemas"));
        assert!(check(&levels(50_000)).unwrap_err().contains("lead from one to the next"));
    }
}
