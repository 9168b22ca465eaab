//! Wants the events that its configuration names, and makes a fault of each one it hears; the last step of a chain from any
//! source of events to an incident. What it does about it, its configuration says too.

use salve_plugin_sdk::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The name of the events.
    event: String,
    /// Only those of which this attribute has this text.
    #[serde(default)]
    only: Option<(String, String)>,
    /// Only those of which this attribute has this number.
    #[serde(default)]
    number: Option<(String, i64)>,
    /// The kind of action to take, on the event's subject.
    #[serde(default)]
    action: Option<String>,
}

struct Listener(Config);

impl Remediator for Listener {
    type Config = Config;

    fn configure(config: Config) -> Result<(Self, Subscription), String> {
        let new = Subscription::new();
        let subscription = match (&config.only, &config.number) {
            (Some((key, text)), _) => new.event_where(&config.event, [(key.as_str(), text.as_str().into())]),
            (None, Some((key, number))) => new.event_where(&config.event, [(key.as_str(), (*number).into())]),
            (None, None) => new.event(&config.event),
        };
        Ok((Self(config), subscription))
    }

    fn detect(&mut self, batch: &Batch<'_>) -> Vec<Finding> {
        let heard = |event: &Event| {
            let fault = Fault::new(&event.name, &event.subject).summary(format!("heard {}", event.body));
            event.attributes().iter().fold(fault, |fault, it| fault.evidence(&it.key, it.value.clone())).present()
        };
        batch.events().iter().map(heard).collect()
    }

    fn recover(&mut self, incident: &Incident) -> Recovery {
        match &self.0.action {
            Some(kind) => Plan::new([Action::new(kind, &incident.fault.target)]).into(),
            None => Recovery::Escalate("only heard".to_owned()),
        }
    }

    fn verify(&mut self, _: &Incident) -> Verdict {
        Verdict::Healthy
    }
}

salve_plugin_sdk::export!(Listener);
