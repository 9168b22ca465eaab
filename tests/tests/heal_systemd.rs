//! Units of a real systemd, broken and healed: the agent with `service-restart` on hosts of the lab.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "the helpers of tests fail as the tests do")]

use std::time::Duration;

use salve_tests::agent::{Agent, Builder};
use salve_tests::lab::{self, Host};
use salve_tests::{plugin, wait};

const NGINX: &str = "nginx.service";
/// How long to look out for what must not happen.
const WHILE: Duration = Duration::from_millis(500);

/// A host on which nginx serves, as Debian has packaged it; none where the test is skipped.
fn web_host(name: &str) -> Option<Host> {
    if lab::skip_without("/lib/systemd/system/nginx.service", "apt-get install nginx-light") {
        return None;
    }
    let host = lab::host_or_skip(name)?;
    host.run(&["systemctl", "start", NGINX]).unwrap();
    assert!(serves(&host).is_some(), "nginx does not serve before it is broken");
    Some(host)
}

fn serves(host: &Host) -> Option<()> {
    host.http(80).ok()?.starts_with("HTTP/1.1 200 OK").then_some(())
}

/// An agent on `host` that looks after `unit` under the policy `web`.
fn agent(host: &Host, mode: &str, unit: &str) -> Builder {
    Agent::builder().inside(host).plugin(plugin::service_restart()).policy("web.toml", &plugin::policy(mode, unit))
}

fn set_policy(agent: &Agent, text: &str) {
    std::fs::write(agent.home().policies().join("web.toml"), text).unwrap();
}

fn property(host: &Host, unit: &str, name: &str) -> String {
    let property = format!("--property={name}");
    host.run(&["systemctl", "show", "--value", &property, unit]).unwrap().trim().to_owned()
}

/// Kills every process of the unit, workers included.
fn kill(host: &Host, unit: &str) {
    host.run(&["systemctl", "kill", "--signal=KILL", unit]).unwrap();
}

fn write_unit(host: &Host, unit: &str, text: &str) {
    host.write(format!("/etc/systemd/system/{unit}"), text).unwrap();
    host.run(&["systemctl", "daemon-reload"]).unwrap();
}

#[test]
fn a_killed_nginx_is_restarted_and_serves_again() {
    let Some(host) = web_host("killed") else { return };
    let agent = agent(&host, "auto", NGINX).start().unwrap();
    agent.until_watching("web");
    let old = property(&host, NGINX, "MainPID");
    assert_ne!(property(&host, NGINX, "Restart"), "always", "systemd would be faster");
    kill(&host, NGINX);

    let incident = agent.until_incident(NGINX, "resolved");
    let new = property(&host, NGINX, "MainPID");
    assert!(new != old && new != "0", "{old} became {new}");
    assert_eq!(serves(&host), Some(()));
    assert_eq!(incident.kind, "service.down");
    assert_eq!((incident.plugin.as_str(), incident.policy.as_str()), ("service-restart", "web"));
    assert!(incident.summary.contains("signal 9"), "{}", incident.summary);
    assert_eq!(incident.path(), ["detected", "diagnosed", "recovering", "verifying", "resolved"]);
    assert_eq!(incident.attempts.len(), 1, "{incident:#?}");
    let attempt = &incident.attempts[0];
    assert_eq!((attempt.number, attempt.verdict.as_deref()), (1, Some("healthy")));
    assert_eq!(attempt.kinds(), ["service.restart"]);
    assert_eq!(attempt.outcomes.len(), 1, "{incident:#?}");
    let outcome = &attempt.outcomes[0];
    assert!(outcome.ok && outcome.detail == format!("failed (pid none) -> active (pid {new})"), "{outcome:?}");

    // The restart's own echo is no fault, and the next death is an incident of its own.
    wait::never("a second incident", WHILE, || (agent.incidents().len() > 1).then(|| agent.incidents()));
    kill(&host, NGINX);
    let next = agent.until("the second incident to be resolved", || {
        agent.incidents().into_iter().find(|it| it.id != incident.id && it.state == "resolved")
    });
    assert_ne!(property(&host, NGINX, "MainPID"), new);
    assert_eq!(next.attempts.len(), 1, "{next:#?}");
    assert_eq!(agent.incidents().len(), 2, "{:#?}", agent.incidents());
    assert_eq!(serves(&host), Some(()));
}

#[test]
fn a_unit_that_its_operator_stops_is_left_alone() {
    let Some(host) = web_host("stopped") else { return };
    let agent = agent(&host, "auto", NGINX).start().unwrap();
    let seen = agent.until_watching("web").instance("web").unwrap().calls;
    host.run(&["systemctl", "stop", NGINX]).unwrap();
    agent.until_status("the stop to be seen", |status| status.instance("web").unwrap().calls > seen);
    wait::never("a start or an incident", WHILE, || {
        let started = property(&host, NGINX, "ActiveState") != "inactive";
        (started || !agent.incidents().is_empty()).then(|| agent.incidents())
    });
    // And is looked after again once it was started by hand.
    let seen = agent.status().instance("web").unwrap().calls;
    host.run(&["systemctl", "start", NGINX]).unwrap();
    agent.until_status("the start to be seen", |status| status.instance("web").unwrap().calls > seen);
    kill(&host, NGINX);
    agent.until_incident(NGINX, "resolved");
    assert_eq!(serves(&host), Some(()));
    assert_eq!(agent.incidents().len(), 1);
}

#[test]
fn a_unit_that_its_operator_restarts_is_left_alone() {
    let Some(host) = web_host("restarted") else { return };
    let agent = agent(&host, "auto", NGINX).start().unwrap();
    let seen = agent.until_watching("web").instance("web").unwrap().calls;
    for verb in ["restart", "reload", "restart"] {
        host.run(&["systemctl", verb, NGINX]).unwrap();
    }
    let pid = property(&host, NGINX, "MainPID");
    agent.until_status("the restarts to be seen", |status| status.instance("web").unwrap().calls > seen);
    wait::never("another restart or an incident", WHILE, || {
        let restarted = property(&host, NGINX, "MainPID") != pid;
        (restarted || !agent.incidents().is_empty()).then(|| agent.incidents())
    });
}

#[test]
fn a_unit_that_fails_at_every_start_is_escalated_up_the_ladder_and_resolved_once_a_person_has_repaired_it() {
    let Some(host) = lab::host_or_skip("hopeless") else { return };
    let unit = "hopeless.service";
    write_unit(&host, unit, "[Service]\nType=exec\nExecStart=/bin/false\n");
    let agent = agent(&host, "auto", unit).start().unwrap();
    agent.until_watching("web");
    let _ = host.run(&["systemctl", "start", unit]); // systemd may call it a success: it was executed.
    let incident = agent.until_incident(unit, "escalated");

    let kinds: Vec<_> = incident.attempts.iter().map(|attempt| attempt.kinds()).collect();
    assert_eq!(kinds, [vec!["service.restart"], vec!["service.reset-failed", "service.start"]]);
    for (attempt, number) in incident.attempts.iter().zip(1..) {
        assert_eq!((attempt.number, attempt.verdict.as_deref()), (number, Some("unhealthy")));
        let reason = attempt.reason.as_deref().unwrap_or_default();
        assert!(reason.contains("it exited with status 1"), "{incident:#?}");
        assert!(attempt.actions.iter().all(|action| action.target == unit));
        assert!(!attempt.outcomes.is_empty(), "{incident:#?}");
    }
    assert_eq!(incident.reason(), "hopeless.service is still down after 2 attempts");
    assert!(incident.causes[0]["summary"].as_str().unwrap().contains("status 1"), "{incident:#?}");
    let attempts = incident.attempts.len();
    wait::never("a third attempt, or a second incident", WHILE, || {
        let incidents = agent.incidents();
        (incidents.len() > 1 || incidents[0].attempts.len() > attempts).then_some(incidents)
    });

    write_unit(&host, unit, "[Service]\nType=exec\nExecStart=sleep infinity\n");
    host.run(&["systemctl", "start", unit]).unwrap();
    let repaired = agent.until_incident(unit, "resolved");
    assert_eq!((repaired.id, repaired.attempts), (incident.id, incident.attempts));
    assert_eq!(agent.incidents().len(), 1);
}

/// Ends at once for as long as there is `/run/broken`, with the given status.
fn limited(status: u8, restart: &str) -> String {
    format!(
        "[Unit]\nStartLimitIntervalSec=1h\nStartLimitBurst=3\n\
         [Service]\nExecStart=sh -c 'test ! -e /run/broken || exit {status}; exec sleep infinity'\n\
         Restart={restart}\nRestartSec=10ms\n"
    )
}

/// Breaks it until systemd starts it no more, takes the reason away, and returns the incident once it is resolved.
fn heals_after_the_start_limit(name: &str, unit_text: &str) {
    let Some(host) = lab::host_or_skip(name) else { return };
    let unit = "limited.service";
    write_unit(&host, unit, unit_text);
    host.run(&["systemctl", "start", unit]).unwrap();
    host.run(&["touch", "/run/broken"]).unwrap();
    kill(&host, unit);
    let given_up = || {
        let journal = host.run(&["journalctl", "--unit", unit, "--no-pager"]).unwrap();
        let active = property(&host, unit, "ActiveState");
        (active == "failed" && journal.contains("Start request repeated too quickly")).then_some(())
    };
    wait::until("systemd to give up", Duration::from_secs(60), given_up);
    host.run(&["rm", "/run/broken"]).unwrap();
    assert!(host.run(&["systemctl", "start", unit]).is_err(), "the start limit is not hit");

    let agent = agent(&host, "auto", unit).start().unwrap();
    let incident = agent.until_incident(unit, "resolved");
    assert_eq!(property(&host, unit, "ActiveState"), "active");
    let last = incident.attempts.last().unwrap();
    assert_eq!(last.kinds(), ["service.reset-failed", "service.start"], "{incident:#?}");
    assert!(last.outcomes.iter().all(|outcome| outcome.ok), "{incident:#?}");
    assert_eq!(last.verdict.as_deref(), Some("healthy"));
    assert_eq!(agent.incidents().len(), 1);
}

#[test]
fn a_unit_that_failed_into_its_start_limit_is_healed_by_forgetting_that_first() {
    heals_after_the_start_limit("failing", &limited(3, "on-failure"));
}

#[test]
fn a_unit_that_ended_without_error_into_its_start_limit_is_healed_by_forgetting_that_first() {
    heals_after_the_start_limit("ending", &limited(0, "always"));
}

#[test]
fn what_no_grant_names_is_not_done_until_the_policy_grants_it() {
    let Some(host) = web_host("ungranted") else { return };
    let granting = plugin::policy("auto", NGINX);
    let other = granting.replace("service.restart:nginx.service", "service.restart:other.service");
    assert_ne!(other, granting);
    let agent = agent(&host, "auto", NGINX).policy("web.toml", &other).start().unwrap();
    agent.until_watching("web");
    kill(&host, NGINX);
    let incident = agent.until_incident(NGINX, "escalated");
    let line = r#"[grant] actions = ["service.restart:nginx.service"] would allow it"#;
    assert!(incident.reason().contains(line), "{}", incident.reason());
    stays_untouched(&host, &agent, &incident.id, "escalated");

    set_policy(&agent, &granting);
    goes_on_and_heals(&host, &agent, &incident.id);
}

#[test]
fn observe_mode_suppresses_and_auto_carries_on_with_the_same_incident() {
    let Some(host) = web_host("observed") else { return };
    let agent = agent(&host, "observe", NGINX).start().unwrap();
    agent.until_watching("web");
    kill(&host, NGINX);
    let incident = agent.until_incident(NGINX, "suppressed");
    assert!(incident.reason().contains("observe mode"), "{}", incident.reason());
    stays_untouched(&host, &agent, &incident.id, "suppressed");

    set_policy(&agent, &plugin::policy("auto", NGINX));
    goes_on_and_heals(&host, &agent, &incident.id);
}

#[test]
fn approve_mode_waits_for_a_person_and_auto_carries_on_with_the_same_incident() {
    let Some(host) = web_host("approved") else { return };
    let agent = agent(&host, "approve", NGINX).start().unwrap();
    agent.until_watching("web");
    kill(&host, NGINX);
    let incident = agent.until_incident(NGINX, "awaiting-approval");
    stays_untouched(&host, &agent, &incident.id, "awaiting-approval");

    set_policy(&agent, &plugin::policy("auto", NGINX));
    goes_on_and_heals(&host, &agent, &incident.id);
}

#[test]
fn no_policy_acts_above_the_agents_ceiling() {
    let Some(host) = web_host("ceiling") else { return };
    let agent = agent(&host, "auto", NGINX).tables("[agent]\nmode = \"observe\"").start().unwrap();
    agent.until_watching("web");
    kill(&host, NGINX);
    let incident = agent.until_incident(NGINX, "suppressed");
    assert!(incident.reason().contains("ceiling is observe"), "{}", incident.reason());
    stays_untouched(&host, &agent, &incident.id, "suppressed");
}

#[test]
fn an_incident_that_waits_is_resolved_when_a_person_starts_the_unit() {
    let Some(host) = web_host("by-hand") else { return };
    let agent = agent(&host, "approve", NGINX).start().unwrap();
    agent.until_watching("web");
    kill(&host, NGINX);
    let incident = agent.until_incident(NGINX, "awaiting-approval");
    host.run(&["systemctl", "start", NGINX]).unwrap();
    let resolved = agent.until_state(&incident.id, "resolved");
    assert!(resolved.attempts.is_empty() && resolved.resolved_at.is_some(), "{resolved:#?}");
}

#[test]
fn a_unit_that_died_while_there_was_no_agent_is_healed_by_the_next_one() {
    let Some(host) = web_host("unseen") else { return };
    let mut agent = agent(&host, "auto", NGINX).start().unwrap();
    agent.until_watching("web");
    agent.kill();
    kill(&host, NGINX);
    agent.start().unwrap();
    agent.until_incident(NGINX, "resolved");
    assert_eq!(serves(&host), Some(()));
    assert_eq!(agent.incidents().len(), 1);
}

/// Waits for approval over a unit that has ended as `end` makes it, kills the agent, and lets the next one carry on.
fn outlasts_the_agent(name: &str, end: impl Fn(&Host)) {
    let Some(host) = lab::host_or_skip(name) else { return };
    let unit = "app.service";
    write_unit(&host, unit, "[Service]\nExecStart=sh -c 'while test ! -e /run/end; do sleep 0.05; done'\n");
    host.run(&["systemctl", "start", unit]).unwrap();
    let mut agent = agent(&host, "approve", unit).start().unwrap();
    agent.until_watching("web");
    end(&host);
    let waiting = agent.until_incident(unit, "awaiting-approval");
    agent.kill();
    agent.start().unwrap();
    agent.until_watching("web");
    wait::never("a lost incident", WHILE, || {
        Some(agent.incident(&waiting.id)).filter(|incident| incident.state != "awaiting-approval")
    });
    let _ = host.run(&["rm", "/run/end"]); // There is none where it was killed.
    set_policy(&agent, &plugin::policy("auto", unit));
    let healed = agent.until_state(&waiting.id, "resolved");
    assert_eq!(healed.attempts.len(), 1, "{healed:#?}");
    assert_eq!(property(&host, unit, "ActiveState"), "active");
    assert_eq!(agent.incidents().len(), 1, "{:#?}", agent.incidents());
}

#[test]
fn an_incident_about_a_killed_unit_outlasts_the_agent() {
    outlasts_the_agent("outlasting", |host| kill(host, "app.service"));
}

#[test]
fn an_incident_about_a_unit_that_ended_without_error_outlasts_the_agent() {
    outlasts_the_agent("outlasting", |host| drop(host.run(&["touch", "/run/end"]).unwrap()));
}

/// nginx stays dead, and nothing is tried.
fn stays_untouched(host: &Host, agent: &Agent, incident: &str, state: &str) {
    wait::never("something done", WHILE, || {
        let incident = agent.incident(incident);
        let untouched = incident.state == state && incident.attempts.is_empty();
        let dead = property(host, NGINX, "MainPID") == "0" && property(host, NGINX, "ActiveState") == "failed";
        (!untouched || !dead).then_some(incident)
    });
}

fn goes_on_and_heals(host: &Host, agent: &Agent, incident: &str) {
    let healed = agent.until_state(incident, "resolved");
    assert_eq!(healed.attempts.len(), 1, "{healed:#?}");
    assert_eq!(healed.attempts[0].verdict.as_deref(), Some("healthy"));
    assert_eq!(serves(host), Some(()));
    assert_eq!(agent.incidents().len(), 1, "{:#?}", agent.incidents());
}
