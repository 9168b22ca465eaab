//! Files dropped, replaced, truncated, removed and renamed at random while the agent heals: the end is what the directories
//! hold, the neighbour that nobody touches has healed each time, and nothing has leaked.
//!
//! `SALVE_CHAOS=60` makes it last that many seconds instead of [`SECONDS`], `SALVE_CHAOS_SEED` repeats a run's dice.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

mod chaos {
    pub(crate) mod burrow;
    pub(crate) mod footprint;
    pub(crate) mod model;
}

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, thread};

use salve_tests::agent::{Agent, Instance};
use salve_tests::{plugin, wait};

use chaos::burrow::{Burrow, Dice};
use chaos::footprint::{Bound, Footprint};
use chaos::model::{Material, difference};

/// How long the chaos lasts, after a warm-up of half that.
const SECONDS: u64 = 20;
/// So many changes at most between two looks at whether the agent has followed.
const BURST: u64 = 16;
/// How long anything may take that is waited for.
const DEADLINE: Duration = Duration::from_secs(60);

/// A variable that holds a number.
fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|value| value.parse().unwrap())
}

/// The services `demo`, which is killed, and `idle`, which never is: its plugins are what the chaos is about.
fn agent() -> Agent {
    let agent = Agent::builder()
        .service("demo", "exec sleep infinity", "autostart = true")
        .service("idle", "exec sleep infinity", "autostart = true")
        .tables("[agent]\nbreaker = { incidents = 100000, actions = 100000, within = \"10m\" }\n")
        // What the allocator keeps for each of many threads would hide what is lost.
        .env("MALLOC_ARENA_MAX", "1")
        .plugin(plugin::service_restart())
        .policy("demo.toml", &plugin::policy("auto", "demo"))
        .start()
        .unwrap();
    agent.until_watching("demo");
    agent
}

/// Kills `demo` and waits until it was healed, again and again; returns how often.
fn kill_and_heal(agent: &Agent, enough: &AtomicBool) -> usize {
    let mut healed = 0;
    while !enough.load(Ordering::Relaxed) {
        let known: Vec<String> = agent.incidents().into_iter().map(|incident| incident.id).collect();
        let old = agent.kill_service("demo");
        agent.until_service("demo", Some(old));
        agent.until("demo to be healed", || {
            let mut incidents = agent.incidents().into_iter().filter(|it| it.target == "demo");
            incidents.find(|it| it.state == "resolved" && !known.contains(&it.id))
        });
        healed += 1;
    }
    healed
}

/// Changes files for so long, in bursts, while `demo` is killed and healed; in the end the agent runs what is there.
/// Returns the healings.
fn rage(agent: &Agent, burrows: &mut [Burrow; 2], dice: &mut Dice, duration: Duration) -> usize {
    let enough = AtomicBool::new(false);
    let (healed, changes) = thread::scope(|scope| {
        let healer = scope.spawn(|| kill_and_heal(agent, &enough));
        let (start, mut changes) = (Instant::now(), 0);
        let stop = StopWhenDropped(&enough);
        while start.elapsed() < duration {
            assert!(!healer.is_finished(), "demo was not healed; see above");
            for _ in 0..=dice.below(BURST) {
                let [plugins, policies] = &mut *burrows;
                let burrow = if dice.below(3) == 0 { policies } else { plugins };
                burrow.change(dice);
                changes += 1;
            }
            // Bursts run into each other as often as not.
            if dice.below(2) == 0 {
                until_it_follows(agent, burrows);
            }
        }
        until_it_follows(agent, burrows);
        drop(stop);
        (healer.join().unwrap(), changes)
    });
    println!("{changes} changes, {healed} healings, {:?}", Footprint::of(agent, &[]));
    assert!(changes > 10 && healed > 0, "{changes} changes, {healed} healings");
    healed
}

/// A failure of one thread ends the other.
struct StopWhenDropped<'a>(&'a AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until what `salve status` tells is what the directories hold.
#[track_caller]
fn until_it_follows(agent: &Agent, burrows: &[Burrow; 2]) {
    let [plugins, policies] = burrows.each_ref().map(Burrow::files);
    let mut last = None;
    let mut follows = || {
        last = difference(&agent.status(), &plugins, &policies);
        last.is_none().then_some(())
    };
    let followed = wait::attempt(DEADLINE, &mut follows).is_some();
    assert!(followed, "the agent does not run what the directories hold: {last:?}\n{:#?}", agent.status());
}

/// Waits until only `demo` is left, as at the start, and what is held is within `bound`; returns what that is.
fn settle(agent: &Agent, burrows: &mut [Burrow; 2], bound: Option<&Bound>) -> Footprint {
    burrows.iter_mut().for_each(Burrow::clear);
    agent.until_status("only demo to be left", |status| status.plugins.len() == 1 && status.policies.len() == 1);
    let status = agent.until_fine();
    assert!(status.policy("demo").is_some() && status.plugin("service-restart").is_some(), "{status:#?}");
    let services = ["demo", "idle"].map(|name| agent.until_service(name, None));
    // What waits for work goes after a while by itself: threads for blocking work after ten seconds.
    let mut last = None;
    let settled = wait::attempt(DEADLINE, || {
        let now = Footprint::of(agent, &services);
        let problem = match bound {
            Some(bound) => bound.exceeded(&now),
            None => now.unsettled(),
        };
        last = Some((now.clone(), problem.clone()));
        problem.is_none().then_some(now)
    });
    assert!(settled.is_some(), "{last:#?}\nbefore: {bound:#?}");
    settled.unwrap()
}

fn demo(agent: &Agent) -> Instance {
    agent.status().instance("demo").unwrap().clone()
}

#[test]
fn whatever_happens_to_the_files_the_agent_ends_up_with_what_is_there_and_leaks_nothing() {
    let seconds = number("SALVE_CHAOS").unwrap_or(SECONDS);
    let seed = number("SALVE_CHAOS_SEED")
        .unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into());
    println!("SALVE_CHAOS={seconds} SALVE_CHAOS_SEED={seed}");
    let mut dice = Dice::new(seed);
    let agent = agent();
    let mut burrows = [
        Burrow::new(agent.home().plugins(), "wasm", Material::plugins()),
        Burrow::new(agent.home().policies(), "toml", Material::policies()),
    ];
    let (pid, before) = (agent.pid(), demo(&agent));

    // Every good plugin is compiled once by now, and whatever grows to its working size has grown.
    burrows.iter_mut().for_each(Burrow::fill);
    until_it_follows(&agent, &burrows);
    let mut healed = rage(&agent, &mut burrows, &mut dice, Duration::from_secs(seconds.div_ceil(2)));
    let bound = Bound::from(settle(&agent, &mut burrows, None));
    healed += rage(&agent, &mut burrows, &mut dice, Duration::from_secs(seconds));
    let after = settle(&agent, &mut burrows, Some(&bound));
    println!("before: {bound:?}\nafter:  {after:?}");

    // The neighbour was not touched, and did all the work: each start but the first one was its.
    let now = demo(&agent);
    assert_eq!((agent.pid(), &now.since, now.traps), (pid, &before.since, 0));
    assert_eq!(agent.starts("demo"), 1 + healed);
    assert_eq!(agent.starts("idle"), 1);
    let left_over = |path: &std::path::Path| !path.to_string_lossy().ends_with(".wasm");
    let files = fs::read_dir(agent.home().plugins()).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(files.filter(|path| left_over(path)).count(), 0);
}
