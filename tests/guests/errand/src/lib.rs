//! Wants what its configuration says, whatever that is: every kind of action that the host can do, from one file.
//!
//! It finds one fault, once, and takes it for gone when all that it wanted was done.

use std::collections::BTreeMap;

use salve_plugin_sdk::prelude::*;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The target of its fault.
    target: String,
    /// The actions of its plan, in order.
    actions: Vec<Step>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Step {
    kind: String,
    target: String,
    #[serde(default)]
    with: BTreeMap<String, Parameter>,
}

#[derive(Deserialize, JsonSchema, Clone)]
#[serde(untagged)]
enum Parameter {
    Integer(i64),
    Text(String),
}

impl Step {
    fn action(&self) -> Action {
        let action = Action::new(&self.kind, &self.target);
        self.with.iter().fold(action, |action, (key, value)| match value.clone() {
            Parameter::Integer(integer) => action.with(key, integer),
            Parameter::Text(text) => action.with(key, text),
        })
    }
}

struct Errand {
    config: Config,
    is_raised: bool,
}

impl Remediator for Errand {
    type Config = Config;

    fn configure(config: Config) -> Result<(Self, Subscription), String> {
        // It waits for nothing but its first turn.
        let subscription = Subscription::new().every(std::time::Duration::from_millis(100));
        Ok((Self { config, is_raised: false }, subscription))
    }

    fn detect(&mut self, _: &Batch<'_>) -> Vec<Finding> {
        let is_first = !std::mem::replace(&mut self.is_raised, true);
        is_first.then(|| Fault::new("test.errand", &self.config.target).present()).into_iter().collect()
    }

    fn recover(&mut self, incident: &Incident) -> Recovery {
        match incident.attempts.last() {
            None => Plan::new(self.config.actions.iter().map(Step::action)).settle(std::time::Duration::ZERO).into(),
            Some(_) => Recovery::escalate("it was tried"),
        }
    }

    fn verify(&mut self, incident: &Incident) -> Verdict {
        let Some(attempt) = incident.attempts.last() else { return Verdict::Unhealthy("nothing was done yet".into()) };
        match attempt.outcomes.iter().find(|outcome| !outcome.ok) {
            Some(failed) => Verdict::Unhealthy(failed.detail.clone()),
            None => Verdict::Healthy,
        }
    }
}

salve_plugin_sdk::export!(Errand);
