//! Guards end to end: what is held back, why, and how it goes on.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use salve::clock::Timestamp;
use salve_tests::agent::{Agent, Builder};
use salve_tests::notices::Notices;
use salve_tests::{plugin, wait};

/// How long to look out for what must not happen.
const WHILE: Duration = Duration::from_millis(500);

/// An agent with services of its own and one policy, `all`, which looks after them.
fn builder(services: &[&str], policy: &str) -> Builder {
    let with = |builder: Builder, name: &&str| builder.service(name, "exec sleep infinity", "autostart = true");
    let builder = services.iter().fold(Agent::builder(), with);
    builder.plugin(plugin::service_restart()).policy("all.toml", policy)
}

fn start(builder: Builder) -> Agent {
    let agent = builder.start().unwrap();
    agent.until_watching("all");
    agent
}

/// The policy for these services, with this line under `[guard]` instead of the one that begins with the same word.
fn policy(services: &[&str], line: &str) -> String {
    let key = line.split_whitespace().next().unwrap();
    let policy = plugin::policy_for("auto", services);
    let others = policy.lines().filter(|other| !other.starts_with(key)).collect::<Vec<_>>().join("\n");
    // `[guard]` is the last table.
    format!("{others}\n{line}\n")
}

fn is_not_started(agent: &Agent, name: &str) {
    let starts = agent.starts(name);
    wait::never("a start", WHILE, || (agent.starts(name) > starts || agent.service(name).is_some()).then_some(name));
}

/// Changes `salve.toml` for the next agent, which besides starts no services by itself: that would hide what it heals.
fn reconfigure(agent: &Agent, from: &str, to: &str) {
    let config = std::fs::read_to_string(agent.home().config()).unwrap();
    let config = config.replace("autostart = true", "autostart = false");
    assert!(config.contains(from), "{config}");
    std::fs::write(agent.home().config(), config.replace(from, to)).unwrap();
}

/// So many seconds from now.
fn later(seconds: u64) -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_nanos((now + Duration::from_secs(seconds)).as_nanos() as u64)
}

#[test]
fn in_a_maintenance_window_an_incident_is_suppressed_by_name_and_healed_when_it_is_over() {
    let upgrade = "[maintenance.upgrade]\nstart = \"2020-01-01T00:00:00Z\"\nend = \"2100-01-01T00:00:00Z\"\n\
                   targets = [\"database\"]\n";
    let services = ["database", "web"];
    let mut agent = start(builder(&services, &plugin::policy_for("auto", &services)).tables(upgrade));
    agent.heals("web"); // Maintenance is not of everything.
    agent.kill_service("database");
    let held = agent.until_incident("database", "suppressed");
    assert!(held.reason().starts_with("maintenance: [maintenance.upgrade] until 2100-01-01T00:00:00"), "{held:#?}");
    is_not_started(&agent, "database");

    // The window is cut short: it ends by itself soon after the next start.
    reconfigure(&agent, "2100-01-01T00:00:00Z", &later(2).to_string());
    agent.restart().unwrap();
    let healed = agent.until_state(&held.id, "resolved");
    assert_eq!(healed.attempts.len(), 1, "{healed:#?}");
    agent.until_service("database", None);
}

#[test]
fn a_window_that_ends_lets_the_recovery_go_on_by_itself() {
    // Long enough for an agent to start and see a death, on a machine that is busy.
    let window = format!("[maintenance.short]\nstart = \"2020-01-01T00:00:00Z\"\nend = \"{}\"\n", later(12));
    let agent = start(builder(&["demo"], &plugin::policy("auto", "demo")).tables(&window));
    agent.kill_service("demo");
    let healed = agent.until_incident("demo", "resolved");
    let path = healed.path();
    let expected = ["detected", "diagnosed", "suppressed", "diagnosed", "recovering", "verifying", "resolved"];
    assert_eq!(path, expected, "{healed:#?}");
    assert!(healed.transitions.iter().any(|step| step.reason.contains("[maintenance.short]")), "{healed:#?}");
}

#[test]
fn a_storm_opens_the_breaker_which_stops_everything_and_tells_until_a_person_closes_it() {
    let home = tempfile::tempdir().unwrap();
    let notices = Notices::within(home.path());
    let services = ["a", "b", "c"];
    let builder = builder(&services, &plugin::policy_for("auto", &services));
    let breaker = "[agent]\nbreaker = { incidents = 2, actions = 50, within = \"10m\" }\n";
    let mut agent = start(builder.tables(breaker).tables(&notices.channel()));
    agent.heals("a");
    agent.heals("b");
    agent.kill_service("c");
    let held = agent.until_incident("c", "deferred");
    assert!(held.reason().starts_with("breaker: open since"), "{}", held.reason());
    assert!(held.attempts.is_empty(), "{held:#?}");
    is_not_started(&agent, "c");
    assert!(agent.complaints().contains("salve resume --breaker"), "{}", agent.complaints());
    let told = |kind: &str| notices.all().iter().any(|notice| notice.kind == kind);
    agent.until("the breaker to be told of", || told("breaker-opened").then_some(()));

    // Not even a new agent closes it.
    reconfigure(&agent, "", "");
    agent.restart().unwrap();
    agent.until_watching("all");
    is_not_started(&agent, "c");
    assert!(agent.cli(&["resume", "--breaker"]).status.success());
    agent.until_state(&held.id, "resolved");
    agent.until("its closing to be told", || told("breaker-closed").then_some(()));
    assert_eq!(agent.complaints(), "");
    // What had been counted is forgiven: the next fault does not open it again.
    agent.heals("a");
}

#[test]
fn a_budget_that_is_used_up_defers_the_next_plan_until_the_policy_gives_more() {
    let services = ["a", "b"];
    let agent = start(builder(&services, &policy(&services, "budget = \"1/10m\"")));
    agent.heals("a");
    agent.kill_service("b");
    let held = agent.until_incident("b", "deferred");
    assert!(held.reason().starts_with("budget: all 1 plans in 600 s of "), "{}", held.reason());
    assert!(held.reason().contains("policy all"), "{}", held.reason());
    is_not_started(&agent, "b");
    std::fs::write(agent.home().policies().join("all.toml"), policy(&services, "budget = \"5/10m\"")).unwrap();
    assert_eq!(agent.until_state(&held.id, "resolved").attempts.len(), 1);
}

#[test]
fn a_budget_fills_again_by_itself() {
    let services = ["a", "b"];
    let agent = start(builder(&services, &policy(&services, "budget = \"1/3s\"")));
    agent.kill_service("a");
    agent.kill_service("b");
    let healed = services.map(|name| agent.until_incident(name, "resolved"));
    let deferred = healed.iter().filter(|incident| incident.path().contains(&"deferred")).count();
    assert_eq!(deferred, 1, "{healed:#?}");
    assert!(healed.iter().all(|incident| incident.attempts.len() == 1), "{healed:#?}");
}

#[test]
fn a_service_that_dies_again_and_again_is_marked_and_left_to_a_person() {
    let home = tempfile::tempdir().unwrap();
    let notices = Notices::within(home.path());
    let flapping = "flapping = { enabled = true, start = 0.25, stop = 0.1, every = \"1h\" }";
    let agent = start(builder(&["demo"], &policy(&["demo"], flapping)).tables(&notices.channel()));
    agent.heals("demo");
    agent.heals("demo");
    agent.kill_service("demo");
    let left = agent.until_incident("demo", "escalated");
    assert!(left.reason().starts_with("flapping: the fault came and went too often"), "{}", left.reason());
    assert!(left.attempts.is_empty(), "{left:#?}");
    let shown = agent.json(&["incident", "show", &left.id]);
    assert_eq!(shown["flapping"], true, "{shown:#}");
    is_not_started(&agent, "demo");
    let told = || (notices.about("demo") == ["healed", "healed", "escalated"]).then_some(());
    agent.until("that to be told", told);
}
