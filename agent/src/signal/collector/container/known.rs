use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::container::{Container, Happening};
use crate::signal::{Attribute, Event, Router, Value};

/// The event that says how a container is.
pub(super) const STATE: &str = "container.state";
/// The event that says that a container's main process has ended.
pub(super) const EXIT: &str = "container.exit";
/// The event that says that a container was out of memory.
pub(super) const OOM: &str = "container.oom";

/// What the router is to be told.
#[derive(Debug, PartialEq)]
pub(super) enum Signal {
    /// Something happened.
    Event(Event),
    /// Something is so now.
    State(Event),
    /// The container of this name is no more, or has another name.
    Forget(String),
}

impl Signal {
    /// Tells it.
    pub(super) fn send(self, router: &Router) {
        match self {
            Self::Event(event) => router.publish(event),
            Self::State(event) => router.publish_state(event),
            Self::Forget(name) => router.forget_state(STATE, &name),
        }
    }
}

/// One container, as far as it is known.
#[derive(Debug, Default)]
struct Entry {
    /// As of the last look.
    container: Option<Container>,
    /// Whether somebody has asked it to end since it was started; not known of podman, which does not tell.
    stop_requested: bool,
    /// Whether the end of this run was told.
    exit_told: bool,
    /// Whether the want of memory of this run was told.
    oom_told: bool,
    /// What the last state said.
    state: Vec<Attribute>,
}

/// Every container, by id; outlives a connection.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<String, Entry>);

impl Known {
    /// The containers that were looked at.
    pub(super) fn containers(&self) -> impl Iterator<Item = &Container> {
        self.0.values().filter_map(|entry| entry.container.as_ref())
    }

    /// Nobody wants to know any more.
    pub(super) fn clear(&mut self) -> Vec<Signal> {
        let all = std::mem::take(&mut self.0);
        all.into_values().filter_map(|entry| entry.container).map(|it| Signal::Forget(it.name)).collect()
    }

    /// Only these are there.
    pub(super) fn retain(&mut self, ids: &[String]) -> Vec<Signal> {
        let gone: Vec<String> = self.0.keys().filter(|id| !ids.contains(id)).cloned().collect();
        gone.iter().flat_map(|id| self.gone(id, Timestamp::default())).collect()
    }

    /// Takes in an event.
    pub(super) fn happened(&mut self, happening: &Happening, at: Timestamp) -> Vec<Signal> {
        let entry = self.0.entry(happening.id.clone()).or_default();
        let known = entry.container.as_ref();
        let about = [
            ("container.name", pick(&happening.name, known.map(|it| &it.name))),
            ("container.id", happening.id.clone()),
            ("container.image.name", pick(&happening.image, known.map(|it| &it.image))),
        ];
        let subject = about[0].1.clone();
        let mut attributes: Vec<_> = about.into_iter().map(|(key, text)| Attribute::new(key, text)).collect();
        if happening.asks_to_stop() {
            entry.stop_requested = true;
        }
        match happening.action.as_str() {
            "start" => entry.stop_requested = false,
            "die" => {
                entry.exit_told = true;
                attributes.extend(happening.exit_code.map(exit_code));
                attributes.extend(entry.stop_requested.then(stop_requested));
                return vec![Signal::Event(event(EXIT, subject, attributes, at))];
            }
            "oom" => {
                entry.oom_told = true;
                return vec![Signal::Event(event(OOM, subject, attributes, at))];
            }
            "destroy" => return self.gone(&happening.id, at),
            _ => {}
        }
        Vec::new()
    }

    /// Takes in a look; `missed` says that events may have been missed before it.
    pub(super) fn looked(&mut self, container: Container, missed: bool, at: Timestamp) -> Vec<Signal> {
        let entry = self.0.entry(container.id.clone()).or_default();
        let mut signals = Vec::new();
        let before = entry.container.as_ref();
        // One run has ended since the last look. Of a container that is new here, only if that was an event.
        let ended = match before {
            Some(before) => before.status.finished_at != container.status.finished_at,
            None => entry.exit_told,
        } && !container.status.finished_at.is_empty();
        if ended {
            if missed && !entry.exit_told {
                let mut attributes = identity(&container);
                attributes.extend(container.status.exit_code.map(exit_code));
                signals.push(Signal::Event(event(EXIT, container.name.clone(), attributes, at)));
            }
            // Docker sends an event, podman only remembers it.
            if container.status.oom_killed && !entry.oom_told {
                signals.push(Signal::Event(event(OOM, container.name.clone(), identity(&container), at)));
            }
            (entry.exit_told, entry.oom_told) = (false, false);
        }
        if let Some(before) = before.filter(|before| before.name != container.name) {
            signals.push(Signal::Forget(before.name.clone()));
        }
        let mut state = state(&container);
        state.extend(entry.stop_requested.then(stop_requested));
        if entry.state != state {
            entry.state.clone_from(&state);
            signals.push(Signal::State(event(STATE, container.name.clone(), state, at)));
        }
        entry.container = Some(container);
        signals
    }

    /// There is no such container any more. Whoever watches is told once, whoever comes later is not.
    pub(super) fn gone(&mut self, id: &str, at: Timestamp) -> Vec<Signal> {
        let Some(container) = self.0.remove(id).and_then(|entry| entry.container) else { return Vec::new() };
        let mut attributes = identity(&container);
        attributes.push(Attribute::new("container.status", "removed"));
        let last = Signal::Event(event(STATE, container.name.clone(), attributes, at));
        // Its name may be another's by now.
        let is_taken = self.containers().any(|other| other.name == container.name);
        if is_taken { Vec::new() } else { vec![Signal::Forget(container.name), last] }
    }
}

/// What an event says, or what is known if it does not say.
fn pick(said: &str, known: Option<&String>) -> String {
    if said.is_empty() { known.cloned().unwrap_or_default() } else { said.to_owned() }
}

fn event(name: &'static str, subject: String, attributes: Vec<Attribute>, at: Timestamp) -> Event {
    Event { name: name.into(), subject, attributes, body: String::new(), at, caused_by: None }
}

fn exit_code(code: i64) -> Attribute {
    Attribute::new("container.exit_code", code)
}

fn stop_requested() -> Attribute {
    Attribute::new("container.stop_requested", true)
}

fn identity(container: &Container) -> Vec<Attribute> {
    vec![
        Attribute::new("container.name", container.name.as_str()),
        Attribute::new("container.id", container.id.as_str()),
        Attribute::new("container.image.name", container.image.as_str()),
    ]
}

/// A container's state as attributes. What is not known is absent.
fn state(container: &Container) -> Vec<Attribute> {
    let status = &container.status;
    let mut attributes = identity(container);
    attributes.push(Attribute::new("container.status", status.word.as_str()));
    attributes.push(Attribute::new("container.restarts", status.restarts));
    let policy = status.restart_policy.as_deref();
    attributes.extend(policy.map(|policy| Attribute::new("container.restart_policy", policy)));
    attributes.push(Attribute::new("container.oom_killed", status.oom_killed));
    attributes.extend(status.health.as_deref().map(|health| Attribute::new("container.health", health)));
    attributes.extend(status.exit_code.filter(|_| !status.running).map(exit_code));
    attributes.extend(status.pid.map(|pid| Attribute::new("process.pid", Value::from(pid))));
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Status;

    fn container(word: &str, finished_at: &str) -> Container {
        let status = Status {
            word: word.into(),
            running: word == "running",
            pid: (word == "running").then_some(7),
            exit_code: (word == "exited").then_some(1),
            oom_killed: false,
            health: None,
            restarts: 0,
            restart_policy: None,
            finished_at: finished_at.into(),
        };
        Container { id: "a1".into(), name: "web".into(), image: "web:1".into(), status }
    }

    fn happening(action: &str) -> Happening {
        Happening {
            action: action.into(),
            id: "a1".into(),
            name: "web".into(),
            image: "web:1".into(),
            exit_code: (action == "die").then_some(1),
            signal: None,
        }
    }

    /// The names of what is told, with the status where it is a state.
    fn told(signals: &[Signal]) -> Vec<String> {
        let one = |signal: &Signal| match signal {
            Signal::Event(event) => event.name.to_string(),
            Signal::State(event) => {
                let status = event.attributes.iter().find(|it| it.key == "container.status").unwrap();
                format!("{} {}", event.subject, status.value)
            }
            Signal::Forget(name) => format!("forget {name}"),
        };
        signals.iter().map(one).collect()
    }

    const AT: Timestamp = Timestamp::from_nanos(1);

    #[test]
    fn an_end_is_told_once_whoever_notices_it_first() {
        let mut known = Known::default();
        assert_eq!(told(&known.looked(container("running", ""), true, AT)), ["web running"]);
        assert_eq!(told(&known.looked(container("running", ""), false, AT)), [] as [&str; 0]);
        let exit = known.happened(&happening("die"), AT);
        assert_eq!(told(&exit), [EXIT]);
        let [Signal::Event(event)] = &exit[..] else { panic!("{exit:?}") };
        assert!(event.attributes.contains(&Attribute::new("container.exit_code", 1_i64)), "{event:?}");
        assert_eq!(told(&known.looked(container("exited", "1"), true, AT)), ["web exited"]);
        assert_eq!(told(&known.looked(container("running", "1"), true, AT)), ["web running"]);
        // Nobody listened when it ended and was started again.
        assert_eq!(told(&known.looked(container("running", "2"), true, AT)), [EXIT]);
        // An event is on its way.
        assert_eq!(told(&known.looked(container("exited", "3"), false, AT)), ["web exited"]);
    }

    #[test]
    fn want_of_memory_is_told_once_and_only_if_it_is_news() {
        let killed = |finished: &str| {
            let mut container = container("exited", finished);
            container.status.oom_killed = true;
            container
        };
        let mut known = Known::default();
        assert_eq!(told(&known.looked(killed("1"), true, AT)), ["web exited"]);
        known.looked(container("running", "1"), false, AT);
        known.happened(&happening("die"), AT);
        assert_eq!(told(&known.looked(killed("2"), false, AT)), [OOM, "web exited"]);
        known.looked(container("running", "2"), false, AT);
        assert_eq!(told(&known.happened(&happening("oom"), AT)), [OOM]);
        known.happened(&happening("die"), AT);
        assert_eq!(told(&known.looked(killed("3"), false, AT)), ["web exited"]);
    }

    #[test]
    fn a_stop_that_was_asked_for_is_said_until_the_next_start() {
        let mut known = Known::default();
        known.looked(container("running", ""), true, AT);
        known.happened(&happening("kill"), AT);
        let exit = known.happened(&happening("die"), AT);
        let signals = known.looked(container("exited", "1"), false, AT);
        for signal in exit.iter().chain(&signals) {
            let (Signal::Event(event) | Signal::State(event)) = signal else { panic!("{signal:?}") };
            assert!(event.attributes.contains(&stop_requested()), "{event:?}");
        }
        known.happened(&happening("start"), AT);
        let signals = known.looked(container("running", "1"), false, AT);
        assert!(!format!("{signals:?}").contains("stop_requested"), "{signals:?}");
    }

    #[test]
    fn one_that_is_removed_or_renamed_is_forgotten_by_its_name() {
        let mut known = Known::default();
        known.looked(container("running", ""), true, AT);
        let renamed = Container { name: "web2".into(), ..container("running", "") };
        assert_eq!(told(&known.looked(renamed, false, AT)), ["forget web", "web2 running"]);
        assert_eq!(told(&known.happened(&happening("destroy"), AT)), ["forget web2", STATE]);
        known.looked(container("running", ""), true, AT);
        assert_eq!(told(&known.retain(&["b2".to_owned()])), ["forget web", STATE]);
        // A new one of the same name was seen before the end of the old one.
        known.looked(container("exited", "1"), true, AT);
        known.looked(Container { id: "b2".into(), ..container("running", "") }, false, AT);
        assert_eq!(told(&known.happened(&happening("destroy"), AT)), [] as [&str; 0]);
        assert_eq!(told(&known.clear()), ["forget web"]);
    }
}
