//! The agent is killed again and again while it heals: at random moments, and at each step of an incident's life as its log
//! tells of it. Nothing is lost, nothing is done without a record of it, and what was begun is not blindly repeated.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::fs::{self, File};
use std::hint::spin_loop;
use std::io::{Read, Seek, SeekFrom};
use std::thread;
use std::time::{Duration, Instant};

use salve_tests::agent::{Agent, Builder, Incident};
use salve_tests::lab::{self, Host};
use salve_tests::plugin;
use salve_tests::reaper::Reaper;

/// How often agents are killed in all, unless `SALVE_KILLS` says otherwise.
const KILLS: u64 = 300;
/// So many agents are tried at once: most of the time each waits for something.
const AGENTS: u64 = 4;
/// The agent is killed at some moment of this time after its service, in microseconds: a healing takes less.
const MOMENTS: u64 = 60_000;
/// What the log says at each step, and in the middle of a step where an action has ended.
const STEPS: [&str; 6] = [" detected: ", " diagnosed: ", " recovering: ", " took ", " verifying: ", " resolved: "];
/// A step that has not come by then is one this incident does not take.
const STEP_COMES: Duration = Duration::from_secs(3);

/// Numbers that look random and are the same in each run: Knuth's MMIX generator.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn everything(agent: &Agent) -> Vec<Incident> {
    serde_json::from_value(agent.json(&["incident", "list", "--limit", "10000"])).unwrap()
}

/// An agent with a service that counts its starts, and guards that do not get in the way.
fn builder() -> Builder {
    Agent::builder()
        .service("demo", "exec sleep infinity", "autostart = true")
        .tables("[agent]\nbreaker = { incidents = 100000, actions = 100000, within = \"10m\" }\n")
        .plugin(plugin::service_restart())
        .policy("demo.toml", &(plugin::policy("auto", "demo") + "retry-escalated = \"100ms\"\n"))
}

/// From now on nobody starts the service but the plans of its incidents.
fn leave_starting_to_plans(agent: &Agent) {
    agent.until_watching("demo");
    let config = agent.home().config();
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("autostart = true"), "{text}");
    fs::write(&config, text.replace("autostart = true", "autostart = false")).unwrap();
}

fn spin(until: impl Fn() -> bool) {
    while !until() {
        spin_loop();
    }
}

/// Returns in the moment in which the log says `step`.
fn at_step(agent: &Agent, step: &str, from: u64) {
    let mut log = File::open(agent.home().log()).unwrap();
    log.seek(SeekFrom::Start(from)).unwrap();
    let mut said = String::new();
    let start = Instant::now();
    while !said.contains(step) && start.elapsed() < STEP_COMES {
        // Half a line at the end is read on in the next round.
        log.read_to_string(&mut said).unwrap();
    }
}

/// Kills an agent so many times; what it has to say for itself afterwards is looked through.
fn kill_again_and_again(kills: u64, mut dice: Dice) {
    let mut agent = builder().start().unwrap();
    leave_starting_to_plans(&agent);
    for kill in 0..kills {
        let written = fs::metadata(agent.home().log()).unwrap().len();
        agent.kill_service("demo");
        // Every other time at some moment, else at a step.
        if kill % 2 == 0 {
            let until = Instant::now() + Duration::from_micros(dice.below(MOMENTS));
            spin(|| Instant::now() >= until);
        } else {
            let step = STEPS.get((kill / 2) as usize % STEPS.len()).unwrap();
            at_step(&agent, step, written);
            // The step is said before it is written down: the kill comes before, amid or after that.
            let until = Instant::now() + Duration::from_micros(dice.below(1_000));
            spin(|| Instant::now() >= until);
        }
        agent.kill();
        agent.start().unwrap();
        all_over(&agent);
    }
    look_through(&agent);
}

fn all_over(agent: &Agent) {
    let mut looks = 0_u32;
    agent.until("the service to live and its incidents to be over", || {
        agent.service("demo")?;
        // To ask the agent starts a program, for which four of them at once leave hardly a moment else.
        looks += 1;
        (looks % 10 == 1).then_some(())?;
        everything(agent).iter().all(|incident| incident.state == "resolved").then_some(())
    });
}

fn look_through(agent: &Agent) {
    let incidents = everything(agent);
    assert!(!incidents.is_empty());
    let attempts: Vec<_> = incidents.iter().flat_map(|incident| &incident.attempts).collect();
    assert!(attempts.iter().all(|attempt| attempt.verdict.is_some()), "{incidents:#?}");
    // The first start is nobody's attempt.
    assert!(agent.starts("demo") <= 1 + attempts.len(), "{} starts, {} attempts", agent.starts("demo"), attempts.len());
}

#[test]
fn an_agent_that_is_killed_at_any_moment_loses_nothing_and_does_nothing_unrecorded() {
    let kills = std::env::var("SALVE_KILLS").ok().map_or(KILLS, |kills| kills.parse().unwrap());
    let _reaper = Reaper::start().unwrap();
    thread::scope(|scope| {
        for number in 0..AGENTS {
            scope.spawn(move || kill_again_and_again(kills.div_ceil(AGENTS), Dice(0x2545_f491 + number)));
        }
    });
}

/// The service as a host starts it at boot; the host's own disk does not outlast a power cut.
fn start_demo(host: &Host) {
    host.write("/etc/systemd/system/demo.service", "[Service]\nExecStart=sleep infinity\n").unwrap();
    host.run(&["systemctl", "daemon-reload"]).unwrap();
    host.run(&["systemctl", "start", "demo"]).unwrap();
}

/// The whole host goes at once: agent, service and manager.
#[test]
fn a_host_that_loses_power_amid_a_healing_heals_after_its_next_boot() {
    let Some(host) = lab::host_or_skip("outage") else { return };
    start_demo(&host);
    let policy = plugin::policy("auto", "demo.service") + "retry-escalated = \"100ms\"\n";
    let mut agent =
        Agent::builder().inside(&host).plugin(plugin::service_restart()).policy("demo.toml", &policy).start().unwrap();
    let mut ids: Vec<String> = Vec::new();
    for step in STEPS {
        agent.until_watching("demo");
        let written = fs::metadata(agent.home().log()).unwrap().len();
        host.run(&["systemctl", "kill", "--signal=KILL", "demo"]).unwrap();
        at_step(&agent, step, written);
        host.power_cut();
        host.power_on().unwrap();
        start_demo(&host);
        agent.start().unwrap();
        agent.until("every incident to be over", || {
            everything(&agent).iter().all(|incident| incident.state == "resolved").then_some(())
        });
        let now: Vec<String> = everything(&agent).into_iter().map(|incident| incident.id).collect();
        assert!(ids.iter().all(|id| now.contains(id)), "{ids:?} were there, and now {now:?}");
        ids = now;
    }
    assert!(!ids.is_empty());
    let incidents = everything(&agent);
    let attempts: Vec<_> = incidents.iter().flat_map(|incident| &incident.attempts).collect();
    assert!(attempts.iter().all(|attempt| attempt.verdict.is_some()), "{incidents:#?}");
}
