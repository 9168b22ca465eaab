use super::tree;
use crate::batch::SeriesTable;
use crate::bindings::salve::plugin::types::Batch as WireBatch;
use crate::diagnose::{Observer, Truth};
use crate::testing::{Harness, TestSample};
use crate::{Attribute, Batch, Event, Fault, Finding, Incident, Recovery, Remediator, Subscription};

const TREE: &str = r#"
    [event.db]
    when.service = { name = "db*.service" }
    [event.load]
    when.metric = { name = "load", attributes = { mode = "us*" }, above = 0.9, below = 0.1, fresh = "3s" }
    [event.oom]
    when.event = { name = "kernel.oom_kill", subject = "web*", attributes = { code = 137 }, within = "5s" }
    [event.disk]
    when.incident = { kind = "disk.*" }
    [event.luck]
    [tree.top]
    any = ["db", "load", "oom", "disk", "luck"]
"#;

/// Finds what the observer knows.
struct Watching(Observer);

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Nothing {}

impl Remediator for Watching {
    type Config = Nothing;

    fn configure(_: Nothing) -> Result<(Self, Subscription), String> {
        let observer = Observer::new(&tree(TREE));
        let subscription = observer.subscribe(Subscription::new());
        Ok((Self(observer), subscription))
    }

    fn detect(&mut self, batch: &Batch<'_>) -> Vec<Finding> {
        self.0.batch(batch);
        let open: Vec<_> = batch.events_named("opened").map(|event| (event.subject.as_str(), "/var")).collect();
        if !batch.events().is_empty() {
            self.0.incidents(open);
        }
        ["db", "load", "oom", "disk", "luck"]
            .map(|name| {
                let observed = self.0.observed();
                let truth = format!("{:?}", observed.truth(name));
                Fault::new(name, truth).summary(observed.grounds(name).unwrap_or_default()).present()
            })
            .to_vec()
    }

    fn recover(&mut self, _: &Incident) -> Recovery {
        Recovery::escalate("")
    }
}

struct Known(Vec<Finding>);

impl Known {
    fn of(&self, event: &str) -> (&str, &str) {
        let of = |finding: &'_ Finding| matches!(finding, Finding::Present(fault) if fault.kind == event);
        match self.0.iter().find(|finding| of(finding)) {
            Some(Finding::Present(fault)) => (&fault.target, &fault.summary),
            _ => panic!("{event}"),
        }
    }
}

fn watching() -> Harness<Watching> {
    Harness::new("{}").unwrap()
}

fn batch(plugin: &mut Harness<Watching>, samples: &[TestSample<'_>], events: Vec<Event>) -> Known {
    Known(plugin.batch(samples, events))
}

fn service(name: &str, state: &str) -> Event {
    Event::new("service.state", name).with("service.active_state", state)
}

#[test]
fn it_subscribes_to_what_it_needs() {
    let plugin = watching();
    let selector =
        |s: &crate::Selector| format!("{} {}", s.name, s.matching.iter().map(shown).collect::<Vec<_>>().join(" "));
    let shown = |selectors: &[crate::Selector]| selectors.iter().map(selector).collect::<Vec<_>>();
    assert_eq!(shown(&plugin.subscription().metrics), ["load mode=us*"]);
    let events = shown(&plugin.subscription().events);
    assert_eq!(events, ["service.state subject=db*.service", "kernel.oom_kill code=137 subject=web*"]);
}

fn shown(attribute: &Attribute) -> String {
    format!("{}={}", attribute.key, attribute.value)
}

#[test]
fn nothing_is_known_until_there_is_something_to_tell_it_by() {
    let known = batch(&mut watching(), &[("load", &[("mode", "idle")], 1.0)], vec![]);
    for event in ["db", "load", "oom", "disk", "luck"] {
        assert_eq!(known.of(event).0, "Unknown", "{event}");
    }
}

#[test]
fn services_and_incidents() {
    let mut plugin = watching();
    let known = batch(&mut plugin, &[], vec![service("db1.service", "failed"), service("db2.service", "active")]);
    assert_eq!(known.of("db"), ("True", "db1.service is failed"));
    assert_eq!(known.of("disk"), ("False", "no such incident is open"));
    let known = batch(&mut plugin, &[], vec![service("db1.service", "active"), service("web.service", "failed")]);
    assert_eq!(known.of("db").0, "False");
    let known = batch(&mut plugin, &[], vec![Event::new("opened", "net.down"), Event::new("opened", "disk.full")]);
    assert_eq!(known.of("disk"), ("True", "disk.full at /var is open"));
}

#[test]
fn metrics_count_while_they_are_fresh() {
    let mut plugin = watching();
    let user =
        |value: f64, plugin: &mut Harness<Watching>| batch(plugin, &[("load", &[("mode", "user")], value)], vec![]);
    assert_eq!(user(0.5, &mut plugin).of("load"), ("False", "load mode=user is 0.5"));
    assert_eq!(user(0.05, &mut plugin).of("load").0, "True");
    assert_eq!(user(f64::NAN, &mut plugin).of("load").0, "Unknown");
    assert_eq!(user(0.95, &mut plugin).of("load").0, "True");
    // Another series that is fine does not hide it, until it is old.
    for expected in ["True", "True", "True", "False"] {
        assert_eq!(batch(&mut plugin, &[("load", &[("mode", "usual")], 0.5)], vec![]).of("load").0, expected);
    }
}

#[test]
fn an_event_counts_for_a_while_and_its_absence_after_as_long() {
    let mut plugin = watching();
    let oom = |code: i64| Event::new("kernel.oom_kill", "web1").with("code", code);
    assert_eq!(batch(&mut plugin, &[], vec![oom(1)]).of("oom").0, "Unknown");
    assert_eq!(batch(&mut plugin, &[], vec![oom(137)]).of("oom"), ("True", "kernel.oom_kill at web1"));
    for _ in 0..5 {
        assert_eq!(batch(&mut plugin, &[], vec![]).of("oom").0, "True");
    }
    assert_eq!(batch(&mut plugin, &[], vec![]).of("oom"), ("False", "not seen for 5s"));
}

#[test]
fn a_late_word_of_an_earlier_event_changes_nothing() {
    let mut plugin = watching();
    let oom = |at: u64| Event { at, ..Event::new("kernel.oom_kill", "web1").with("code", 137) };
    batch(&mut plugin, &[], vec![]);
    (0..9).for_each(|_| drop(plugin.batch(&[], vec![])));
    assert_eq!(batch(&mut plugin, &[], vec![oom(11_000_000_000), oom(1)]).of("oom").0, "True");
}

#[test]
fn after_signals_were_dropped_nobody_knows_what_did_not_happen() {
    let mut observer = Observer::new(&tree(TREE));
    let mut series = SeriesTable::default();
    let mut known = |seconds: u64, dropped: u64| {
        let (new_series, gone_series, readings, events) = Default::default();
        let at = seconds * 1_000_000_000;
        observer.batch(&Batch::new(WireBatch { at, new_series, gone_series, readings, events, dropped }, &mut series));
        observer.observed().truth("oom")
    };
    let expected = [(1, 0, Truth::Unknown), (6, 0, Truth::False), (7, 3, Truth::Unknown), (11, 0, Truth::Unknown)];
    for (seconds, dropped, truth) in expected.into_iter().chain([(12, 0, Truth::False)]) {
        assert_eq!(known(seconds, dropped), truth, "{seconds} s");
    }
}

#[test]
fn what_is_kept_is_bounded() {
    let mut plugin = watching();
    for chunk in 0..10 {
        let events = (0..100).map(|n| service(&format!("db{chunk}-{n}.service"), "failed")).collect();
        batch(&mut plugin, &[], events);
    }
    let healthy = (0..300).map(|n| service(&format!("dbx{n}.service"), "active")).collect();
    assert_eq!(batch(&mut plugin, &[], healthy).of("db").0, "False", "those that failed are forgotten");
}
