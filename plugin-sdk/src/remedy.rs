use std::borrow::Cow;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::{Action, Ladder, Plan, Value};

/// What helps against a fault, as the operator writes it in a plugin's configuration:
///
/// ```toml
/// remedy = "service.restart:app.service"                                  # one action
/// remedy = ["service.reload:{target}", "service.restart:{target}"]        # one after the other, while it is still there
/// remedy = ["service.restart:a", ["service.stop:b", "service.start:a"]]   # an inner list is one attempt
/// remedy = { do = "command.run:drain", with = { node = "{target}" } }     # with parameters
/// ```
///
/// Words in braces are replaced: `{target}` by the target of the fault, and others where the plugin says so.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(try_from = "Json")]
pub struct Remedy(Vec<Vec<Action>>);

impl Remedy {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Fails if a word in braces is none of these: for [`configure`](crate::Remediator::configure).
    pub fn check(&self, words: &[&str]) -> Result<(), String> {
        for action in self.0.iter().flatten() {
            let parameters = action.parameters.iter().map(|parameter| &parameter.value);
            let texts = parameters.filter_map(|value| if let Value::Text(text) = value { Some(text) } else { None });
            for text in texts.chain([&action.target]) {
                if let Some(word) = words_of(text).find(|word| !words.contains(word)) {
                    let known = words.iter().map(|word| format!("{{{word}}}")).collect::<Vec<_>>().join(", ");
                    return Err(format!(
                        "`{}:{}`: nothing is known of {{{word}}}; there is {known}",
                        action.kind, text
                    ));
                }
            }
        }
        Ok(())
    }

    /// A plan for each attempt, the words in braces replaced.
    pub fn plans(&self, words: &[(&str, &str)]) -> impl Iterator<Item = Plan> {
        let put = |text: &str| {
            words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(&format!("{{{word}}}"), value))
        };
        self.0.iter().map(move |actions| {
            Plan::new(actions.iter().map(|action| {
                action.parameters.iter().fold(Action::new(&action.kind, put(&action.target)), |made, parameter| {
                    match &parameter.value {
                        Value::Text(text) => made.with(&parameter.key, put(text)),
                        value => made.with(&parameter.key, value.clone()),
                    }
                })
            }))
        })
    }

    /// A ladder of these plans, each verified after `settle`, for at most `deadline`.
    pub fn ladder(&self, words: &[(&str, &str)], settle: Duration, deadline: Duration) -> Ladder<'static> {
        let plans = self.plans(words).map(|plan| plan.settle(settle).deadline(deadline));
        plans.fold(Ladder::new(), |ladder, plan| ladder.then(plan))
    }
}

/// The words in braces in a text.
fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(word, _)| word))
}

impl From<Action> for Remedy {
    fn from(action: Action) -> Self {
        Self(vec![vec![action]])
    }
}

/// An action as it is written: `service.restart:nginx.service`, kind and target as in a grant.
impl FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_kind =
            |kind: &str| !kind.is_empty() && kind.chars().all(|it| it.is_ascii_lowercase() || ".-".contains(it));
        match text.split_once(':') {
            Some((kind, target)) if is_kind(kind) && !target.is_empty() => Ok(Self::new(kind, target)),
            _ => Err(format!("`{text}` is no action such as \"service.restart:nginx.service\": kind, colon, target")),
        }
    }
}

impl TryFrom<Json> for Remedy {
    type Error = String;

    fn try_from(json: Json) -> Result<Self, String> {
        match json {
            Json::Array(attempts) => attempts.into_iter().map(attempt).collect::<Result<_, _>>().map(Self),
            one => action(one).map(Self::from),
        }
    }
}

fn attempt(json: Json) -> Result<Vec<Action>, String> {
    match json {
        Json::Array(actions) if actions.is_empty() => Err("an attempt needs an action; this list is empty".into()),
        Json::Array(actions) => actions.into_iter().map(action).collect(),
        one => Ok(vec![action(one)?]),
    }
}

fn action(json: Json) -> Result<Action, String> {
    let mut table = match json {
        Json::String(text) => return text.parse(),
        Json::Object(table) => table,
        other => return Err(format!("`{other}` is no action such as \"service.restart:nginx.service\"")),
    };
    let Some(Json::String(text)) = table.remove("do") else {
        return Err("an action as a table needs `do`: { do = \"command.run:drain\", with = { node = \"a\" } }".into());
    };
    let with = match table.remove("with") {
        None => serde_json::Map::new(),
        Some(Json::Object(with)) => with,
        Some(other) => return Err(format!("`with = {other}` is no table of parameters: {{ node = \"a\" }}")),
    };
    if let Some(key) = table.keys().next() {
        return Err(format!("unknown field `{key}` in an action; it has `do` and `with`"));
    }
    with.into_iter().try_fold(text.parse::<Action>()?, |action, (key, value)| {
        let value: Value = match value {
            Json::String(text) => text.into(),
            Json::Bool(boolean) => boolean.into(),
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => integer.into(),
                (None, Some(number)) => number.into(),
                (None, None) => return Err(format!("`{key} = {number}` is a number out of range")),
            },
            other => return Err(format!("`{key} = {other}` is neither text, number nor boolean")),
        };
        Ok(action.with(&key, value))
    })
}

impl JsonSchema for Remedy {
    fn schema_name() -> Cow<'static, str> {
        "Remedy".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let text = json_schema!({ "type": "string", "pattern": "^[a-z.-]+:.+$" }).to_value();
        let table = json_schema!({
            "type": "object",
            "properties": { "do": text, "with": { "type": "object" } },
            "required": ["do"],
            "additionalProperties": false,
        });
        let action = json_schema!({ "anyOf": [text, table] }).to_value();
        let plan = json_schema!({ "type": "array", "items": action, "minItems": 1 }).to_value();
        json_schema!({ "anyOf": [text, table, { "type": "array", "items": { "anyOf": [text, table, plan] } }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Recovery;
    use crate::bindings::salve::plugin::types::Incident as WireIncident;
    use crate::{Fault, Incident};

    fn incident() -> Incident {
        let fault = Fault::new("bad", "web");
        Incident::new(WireIncident {
            id: "1".into(),
            at: 0,
            opened: 0,
            fault,
            causes: vec![],
            round: 0,
            attempts: vec![],
        })
    }

    fn read(json: &str) -> Result<Remedy, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    fn shown(remedy: &Remedy) -> Vec<String> {
        let action = |action: &Action| {
            let parameters = action.parameters.iter().map(|p| format!(" {}={}", p.key, p.value)).collect::<String>();
            format!("{}:{}{parameters}", action.kind, action.target)
        };
        let plans = remedy.plans(&[("target", "web")]);
        plans.map(|plan| plan.actions.iter().map(action).collect::<Vec<_>>().join(", ")).collect()
    }

    #[test]
    fn it_is_an_action_or_attempts_one_after_the_other() {
        for (json, expected) in [
            ("[]", vec![]),
            (r#""service.restart:app""#, vec!["service.restart:app"]),
            (
                r#"["service.reload:{target}", "http.request:http://[::1]:80/x"]"#,
                vec!["service.reload:web", "http.request:http://[::1]:80/x"],
            ),
            (
                r#"["service.stop:a", ["service.stop:b", "service.start:{target}"]]"#,
                vec!["service.stop:a", "service.stop:b, service.start:web"],
            ),
            (
                r#"{ "do": "command.run:drain", "with": { "n": 3, "node": "{target}", "now": true, "share": 0.5 } }"#,
                vec!["command.run:drain n=3 node=web now=true share=0.5"],
            ),
        ] {
            let remedy = read(json).unwrap();
            assert_eq!(shown(&remedy), expected, "{json}");
            assert_eq!(remedy.is_empty(), expected.is_empty());
        }
    }

    #[test]
    fn what_is_none_is_refused_with_the_reason() {
        for (json, reason) in [
            (r#""restart nginx""#, "`restart nginx` is no action such as"),
            (r#""service.restart:""#, "kind, colon, target"),
            (r#"":web""#, "kind, colon, target"),
            ("[[]]", "this list is empty"),
            ("7", "`7` is no action"),
            (r#"{ "with": {} }"#, "needs `do`"),
            (r#"{ "do": "notify:*", "wit": {} }"#, "unknown field `wit`"),
            (r#"{ "do": "notify:*", "with": { "message": [] } }"#, "neither text, number nor boolean"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(reason), "{json}: {error}");
        }
        let remedy = read(r#"["service.restart:{unit}"]"#).unwrap();
        assert!(remedy.check(&["target"]).unwrap_err().contains("nothing is known of {unit}; there is {target}"));
        assert_eq!(remedy.check(&["target", "unit"]), Ok(()));
    }

    #[test]
    fn it_is_climbed_as_a_ladder() {
        let remedy = read(r#"["service.reload:{target}", "service.restart:{target}"]"#).unwrap();
        let ladder = remedy.ladder(&[("target", "web")], Duration::from_secs(2), Duration::from_secs(3));
        let Recovery::Act(plan) = ladder.recover(&incident()) else { panic!("a plan") };
        assert_eq!(
            (plan.actions.as_slice(), plan.settle, plan.deadline),
            (&[Action::reload_service("web")][..], 2000, 3000)
        );
        let nothing = Remedy::default().ladder(&[], Duration::ZERO, Duration::ZERO);
        assert!(matches!(nothing.recover(&incident()), Recovery::Escalate(_)));
    }
}
