//! Timers of a real systemd: one that fires is told of, and one that does not is missed.

use salve_tests::agent::Agent;
use salve_tests::{lab, plugin};

#[test]
fn a_timer_that_fires_too_seldom_is_missed_and_one_that_fires_is_told_of() {
    let Some(host) = lab::host_or_skip("timers") else { return };
    for (name, when) in [("seldom", "OnCalendar=yearly"), ("soon", "OnActiveSec=1s\nAccuracySec=1ms")] {
        host.write(format!("/etc/systemd/system/{name}.timer"), format!("[Timer]\n{when}\n")).unwrap();
        host.write(format!("/etc/systemd/system/{name}.service"), "[Service]\nExecStart=true\n").unwrap();
    }
    host.run(&["systemctl", "daemon-reload"]).unwrap();
    host.run(&["systemctl", "start", "seldom.timer"]).unwrap();
    let policy = |config: &str| format!("plugin = \"listener\"\nmode = \"observe\"\n[config]\n{config}\n");
    let agent = Agent::builder()
        .inside(&host)
        .plugin(plugin::guest("listener"))
        .policy("missed.toml", &policy("event = \"timer.missed\"\nnumber = [\"every\", 1]"))
        .policy("fired.toml", &policy("event = \"timer.state\"\nonly = [\"timer.last_trigger\", \"*\"]"))
        .start()
        .unwrap();
    let missed = agent.until_incident("seldom.timer", "escalated");
    let shown = agent.json(&["incident", "show", &missed.id]).to_string();
    assert!(shown.contains("timer.missed") && shown.contains("too-seldom"), "{shown}");
    host.run(&["systemctl", "start", "soon.timer"]).unwrap();
    let fired = agent.until("soon.timer to have fired", || {
        agent.incidents().into_iter().find(|it| it.target == "soon.timer" && it.kind == "timer.state")
    });
    let shown = agent.json(&["incident", "show", &fired.id]).to_string();
    assert!(shown.contains("soon.service"), "{shown}");
}
