//! How incidents move: what plugins that reason over the whole host go by.

use crate::clock::Timestamp;
use crate::incident::{About, State};
use crate::signal::{Attribute, Event, Router, Value};

/// The name of the event that says where an incident stands.
pub const STATE: &str = "incident.state";

/// Tells everybody who wants to know that an incident moved. The subject is the incident; once resolved it is forgotten.
pub fn publish(router: &Router, about: About, state: State, at: Timestamp) {
    let text = |key: &str, value: String| Attribute::new(key, Value::Text(value));
    let event = Event {
        name: STATE.into(),
        subject: about.id.clone(),
        attributes: vec![
            text("incident.state", state.as_str().to_owned()),
            text("incident.kind", about.kind),
            text("incident.target", about.target),
            text("incident.policy", about.policy),
            text("incident.plugin", about.plugin),
            text("incident.severity", about.severity.as_str().to_owned()),
            Attribute::new("incident.attempts", Value::Integer(about.attempts.into())),
        ],
        body: about.summary,
        at,
        caused_by: None,
    };
    router.publish_state(event);
    if state == State::Resolved {
        router.forget_state(STATE, &about.id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::incident::Severity;
    use crate::signal::{Mailbox, Selector, Subscription};

    #[test]
    fn an_incident_is_told_of_until_it_is_resolved() {
        let router = Router::new();
        let about = About {
            id: "1".into(),
            policy: "web".into(),
            plugin: "p".into(),
            kind: "service.down".into(),
            target: "nginx.service".into(),
            severity: Severity::Error,
            summary: "down".into(),
            opened_at: Timestamp::default(),
            attempts: 0,
        };
        publish(&router, about.clone(), State::Detected, Timestamp::default());
        let selector = Selector::new(STATE, vec![Attribute::new("incident.target", "nginx.*")]);
        let subscription = Subscription { events: vec![selector], ..Subscription::default() };
        let mailbox = Arc::new(Mailbox::default());
        router.subscribe("late".into(), subscription.clone(), mailbox.clone());
        publish(&router, about, State::Resolved, Timestamp::default());
        let states: Vec<Value> = mailbox
            .take(Timestamp::default())
            .unwrap()
            .events
            .into_iter()
            .map(|event| event.attributes[0].value.clone())
            .collect();
        assert_eq!(states, [Value::from("detected"), Value::from("resolved")]);
        let later = Arc::new(Mailbox::default());
        router.subscribe("later".into(), subscription, later.clone());
        assert_eq!(later.take(Timestamp::default()), None, "what is resolved is forgotten");
    }
}
