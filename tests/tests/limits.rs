//! What an operator writes under `[agent.limits]` and `[limits]` holds, on this machine.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::fs;

use salve_tests::agent::Agent;
use salve_tests::plugin;

fn policy(deed: &str, limits: &str) -> String {
    format!("plugin = \"misbehaving\"\n[config]\nin = \"detect\"\ndeed = \"{deed}\"\n[limits]\n{limits}\n")
}

fn agent(policy: &str) -> Agent {
    let limits = "[agent.limits]\nmemory = \"24MiB\"\n[agent.supervision]\nstrikes = \"1/10m\"\n";
    Agent::builder().tables(limits).plugin(plugin::guest("misbehaving")).policy("bad.toml", policy).start().unwrap()
}

#[test]
fn limits_of_the_agent_and_of_a_policy_reach_the_plugin() {
    let agent = agent(&policy("allocate", ""));
    let file = agent.home().policies().join("bad.toml");
    let until_told = |words: &str| {
        agent.until(words, || agent.complaints().contains(words).then_some(()));
    };
    until_told("1 strike within 10m, the last: `detect` asked for more than 24MiB of memory");
    fs::write(&file, policy("allocate", "memory = \"8MiB\"")).unwrap();
    until_told("the last: `detect` asked for more than 8MiB of memory");
    fs::write(&file, policy("many-findings", "findings = 10")).unwrap();
    until_told("the last: `detect` answered with 256 findings; at most 10");
    fs::write(&file, policy("loop", "call-cpu = \"50ms\"")).unwrap();
    until_told("the last: `detect` used more than 50 ms of CPU and was stopped after");

    // A policy cannot raise one: what was in force stays so, and the complaint says where and what the agent allows.
    fs::write(&file, policy("nothing", "memory = \"25MiB\"")).unwrap();
    until_told(
        "bad.toml:6:10: a policy may only lower `memory`: the agent allows 24MiB ([agent.limits] in salve.toml)",
    );
    until_told("used more than 50 ms of CPU");

    // A mailbox for one reading loses the others of each round, and the loss is counted.
    fs::write(&file, policy("nothing", "mailbox-readings = 1")).unwrap();
    agent.until_fine();
    agent.until("dropped readings", || {
        let status = agent.json(&["status"]);
        status.pointer("/policies/0/instance/dropped").and_then(|dropped| dropped.as_u64()).filter(|count| *count > 0)
    });
}

#[test]
fn an_agent_with_a_limit_beyond_its_bounds_does_not_start() {
    let agent = agent(&policy("nothing", ""));
    let config = agent.home().path().join("other.toml");
    fs::write(&config, "[agent.limits]\nmemory = \"2GiB\"\n").unwrap();
    let refusal = agent.refusal(&config);
    assert!(
        refusal.contains("other.toml:2:10: `memory` is out of range: write a value from 64KiB to 1GiB"),
        "{refusal}"
    );
}
