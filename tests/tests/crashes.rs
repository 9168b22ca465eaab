//! The agent is killed again and again while it heals. Nothing is lost, nothing is done without a record of it, and what was
//! begun is not blindly repeated.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::fs;
use std::hint::spin_loop;
use std::time::{Duration, Instant};

use salve_tests::agent::{Agent, Incident};
use salve_tests::plugin;
use salve_tests::reaper::Reaper;

/// How often the agent is killed, unless `SALVE_KILLS` says otherwise.
const KILLS: u32 = 20;
/// The agent is killed at some moment of this time after its service: a healing takes less.
const MOMENTS: u64 = 60_000;

fn everything(agent: &Agent) -> Vec<Incident> {
    serde_json::from_value(agent.json(&["incident", "list", "--limit", "10000"])).unwrap()
}

#[test]
fn an_agent_that_is_killed_at_any_moment_loses_nothing_and_does_nothing_unrecorded() {
    let kills = std::env::var("SALVE_KILLS").ok().map_or(KILLS, |kills| kills.parse().unwrap());
    let _reaper = Reaper::start().unwrap();
    let policy = plugin::policy("auto", "demo") + "retry-escalated = \"100ms\"\n";
    let mut agent = Agent::builder()
        .service("demo", "exec sleep infinity", "autostart = true")
        .tables("[agent]\nbreaker = { incidents = 100000, actions = 100000, within = \"10m\" }\n")
        .plugin(plugin::service_restart())
        .policy("demo.toml", &policy)
        .start()
        .unwrap();
    agent.until_watching("demo");
    // From now on nobody starts the service but the plans of its incidents.
    let config = agent.home().config();
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("autostart = true"), "{text}");
    fs::write(&config, text.replace("autostart = true", "autostart = false")).unwrap();

    let mut moment = 0x2545_f491_u64;
    for _ in 0..kills {
        agent.kill_service("demo");
        moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let until = Instant::now() + Duration::from_micros((moment >> 33) % MOMENTS);
        while Instant::now() < until {
            spin_loop();
        }
        agent.kill();
        agent.start().unwrap();
        agent.until("the service to live and its incidents to be over", || {
            agent.service("demo")?;
            everything(&agent).iter().all(|incident| incident.state == "resolved").then_some(())
        });
    }

    let incidents = everything(&agent);
    assert!(!incidents.is_empty());
    let attempts: Vec<_> = incidents.iter().flat_map(|incident| &incident.attempts).collect();
    assert!(attempts.iter().all(|attempt| attempt.verdict.is_some()), "{incidents:#?}");
    // The first start is nobody's attempt.
    assert!(agent.starts("demo") <= 1 + attempts.len(), "{} starts, {} attempts", agent.starts("demo"), attempts.len());
}
