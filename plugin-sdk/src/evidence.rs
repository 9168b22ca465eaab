use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::{Batch, Finding, Incident, Verdict};

/// A fault's name: kind and target.
type Key = (String, String);

/// What `detect` said last of each fault, and how old the evidence for it is: see [`Incident::as_detected`].
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// Faults whose last finding was `present`.
    present: BTreeMap<Key, Present>,
    /// Faults whose last finding was `cleared`, on the word of a state: no more than there are states.
    cleared_by_state: BTreeSet<Key>,
    /// Time of the last batch.
    seen: Duration,
}

#[derive(Debug)]
struct Present {
    summary: String,
    source: Source,
}

/// What a finding is based on.
#[derive(Debug, Clone, Copy)]
struct Source {
    at: Duration,
    /// Whether that is a state, which holds until the next one.
    is_state: bool,
}

impl Source {
    fn of(batch: &Batch<'_>, target: &str) -> Self {
        let about_target = batch.events().iter().rfind(|event| event.subject == target);
        let of_events = batch.is_of_events().then(|| batch.events().last()).flatten();
        match about_target.or(of_events) {
            Some(event) => Self { at: event.at(), is_state: event.is_state() },
            None => Self { at: batch.at(), is_state: false },
        }
    }
}

impl Evidence {
    /// Takes in what a batch led to.
    pub(crate) fn take(&mut self, batch: &Batch<'_>, findings: &[Finding]) {
        self.seen = batch.at();
        for finding in findings {
            match finding {
                Finding::Present(fault) => {
                    let key = (fault.kind.clone(), fault.target.clone());
                    self.cleared_by_state.remove(&key);
                    let source = Source::of(batch, &fault.target);
                    self.present.insert(key, Present { summary: fault.summary.clone(), source });
                }
                Finding::Cleared(key) => {
                    self.present.remove(key);
                    if Source::of(batch, &key.1).is_state {
                        self.cleared_by_state.insert(key.clone());
                    } else {
                        self.cleared_by_state.remove(key);
                    }
                }
            }
        }
    }

    /// What it says of an incident's fault.
    pub(crate) fn verdict(&self, incident: &Incident) -> Verdict {
        let key = (incident.fault.kind.clone(), incident.fault.target.clone());
        let ended = incident.last_action_ended();
        match self.present.get(&key) {
            Some(Present { summary, source }) => {
                let is_later = match ended {
                    None => true,
                    Some(_) if source.is_state => !incident.acted_since(source.at),
                    Some(ended) => source.at > ended,
                };
                if is_later { Verdict::Unhealthy(summary.clone()) } else { Verdict::Undecided }
            }
            None if self.cleared_by_state.contains(&key) => Verdict::Healthy,
            None if self.seen > ended.unwrap_or(incident.opened()) => Verdict::Healthy,
            None => Verdict::Undecided,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Harness;
    use crate::{Action, Outcome};
    use crate::{
        Attempt, Attributes, Batch, Event, Fault, Finding, Incident, Plan, Recovery, Remediator, Subscription, Verdict,
    };

    /// Raises a fault at the subject of each event that says `bad`, and at `host` while the load is above 1.
    struct Plain;

    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct Nothing {}

    impl Remediator for Plain {
        type Config = Nothing;

        fn configure(_: Nothing) -> Result<(Self, Subscription), String> {
            Ok((Self, Subscription::new()))
        }

        fn detect(&mut self, batch: &Batch<'_>) -> Vec<Finding> {
            let fault =
                |event: &Event| Fault::new("bad", &event.subject).present_if(event.boolean("bad") == Some(true));
            let load = batch.value("load", &[]).map(|load| Fault::new("bad", "host").present_if(load > 1.0));
            batch.events().iter().map(fault).chain(load).collect()
        }

        fn recover(&mut self, _: &Incident) -> Recovery {
            Recovery::escalate("")
        }
    }

    const SECOND: u64 = 1_000_000_000;

    fn plugin() -> Harness<Plain> {
        Harness::new("{}").unwrap()
    }

    fn event(name: &str, at: u64, bad: bool) -> Event {
        Event { at, ..Event::new(name, "web").with("bad", bad) }
    }

    /// Two actions of 4 s and 2 s, from `started` on.
    fn attempt(started: u64, ok: bool) -> Attempt {
        let plan = Plan::new([Action::start_service("web"), Action::reload_service("web")]);
        let outcome = |(action, took, ok): (&Action, u64, bool)| Outcome {
            action: action.clone(),
            ok,
            detail: String::new(),
            took,
        };
        let [first, second] = &plan.actions[..] else { panic!("two actions") };
        let outcomes = [(first, 4000, true), (second, 2000, ok)].map(outcome).to_vec();
        Attempt { number: 1, round: 0, started, finished: None, actions: plan.actions, outcomes, verdict: None }
    }

    fn verdict(plugin: &mut Harness<Plain>, target: &str, attempt: Option<Attempt>) -> Verdict {
        plugin.verify(&Fault::new("bad", target), attempt.into_iter().collect())
    }

    fn unhealthy(target: &str) -> Verdict {
        Verdict::Unhealthy(format!("bad at {target}"))
    }

    #[test]
    fn what_happened_before_the_last_action_ended_says_nothing() {
        // The last action ends in second 16.
        for (at, expected) in [(10, Verdict::Undecided), (16, Verdict::Undecided), (17, unhealthy("web"))] {
            let mut plugin = plugin();
            plugin.event(event("log.line", at * SECOND, true));
            assert_eq!(verdict(&mut plugin, "web", Some(attempt(10 * SECOND, true))), expected, "{at}");
        }
    }

    #[test]
    fn a_state_counts_from_the_beginning_of_the_last_action_and_stands_where_that_failed() {
        // The last action begins in second 14.
        for (at, ok, expected) in [
            (12, true, Verdict::Undecided),
            (14, true, Verdict::Undecided),
            (15, true, unhealthy("web")),
            (12, false, unhealthy("web")),
        ] {
            let mut plugin = plugin();
            plugin.event(event("service.state", at * SECOND, true));
            assert_eq!(verdict(&mut plugin, "web", Some(attempt(10 * SECOND, ok))), expected, "{at}, {ok}");
        }
        // Nothing followed the state that the action brought about.
        let mut plugin = plugin();
        plugin.event(event("service.state", 9 * SECOND, true));
        plugin.event(event("service.state", 15 * SECOND, false));
        assert_eq!(verdict(&mut plugin, "web", Some(attempt(10 * SECOND, true))), Verdict::Healthy);
        // A line in the log takes that back.
        plugin.event(event("log.line", 20 * SECOND, true));
        assert_eq!(verdict(&mut plugin, "web", Some(attempt(10 * SECOND, true))), unhealthy("web"));
        plugin.event(event("log.line", 20 * SECOND, false));
        assert_eq!(verdict(&mut plugin, "web", Some(attempt(10 * SECOND, true))), Verdict::Undecided);
    }

    #[test]
    fn samples_are_as_old_as_their_batch() {
        let mut plugin = plugin();
        // In second 2, with an event of another subject.
        plugin.batch(&[("load", &[], 2.0)], vec![event("log.line", 90 * SECOND, false)]);
        assert_eq!(verdict(&mut plugin, "host", None), unhealthy("host"));
        let until_7 = || Some(attempt(SECOND, true));
        assert_eq!(verdict(&mut plugin, "host", until_7()), Verdict::Undecided);
        (3..7).for_each(|_| drop(plugin.batch(&[("load", &[], 2.0)], vec![])));
        assert_eq!(verdict(&mut plugin, "host", until_7()), Verdict::Undecided);
        plugin.batch(&[("load", &[], 0.5)], vec![]);
        assert_eq!(verdict(&mut plugin, "host", until_7()), Verdict::Undecided);
        plugin.batch(&[("load", &[], 2.0)], vec![]);
        assert_eq!(verdict(&mut plugin, "host", until_7()), unhealthy("host"));
        plugin.batch(&[("load", &[], 0.5)], vec![]);
        assert_eq!(verdict(&mut plugin, "host", until_7()), Verdict::Healthy);
    }

    #[test]
    fn an_instance_that_has_seen_nothing_is_undecided() {
        assert_eq!(verdict(&mut plugin(), "web", None), Verdict::Undecided);
        // An action that was interrupted began when the one before it had ended.
        let mut interrupted = attempt(10 * SECOND, true);
        interrupted.outcomes.pop();
        for (at, expected) in [(14, Verdict::Undecided), (15, unhealthy("web"))] {
            let mut plugin = plugin();
            plugin.event(event("service.state", at * SECOND, true));
            assert_eq!(verdict(&mut plugin, "web", Some(interrupted.clone())), expected, "{at}");
        }
    }
}
