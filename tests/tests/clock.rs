//! The stock plugin `clock-drift`, with the clock of this machine as it is, and with one that is off. Nobody's clock is
//! changed: the second is what the agent alone is told when it asks the kernel.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use salve_tests::agent::{Agent, Builder};
use salve_tests::stock::{STRAIGHT, done, is_explained, policy};
use salve_tests::{lab, plugin, wait};

/// How long to look out for what must not happen: some readings, and longer than a clock may be off.
const WHILE: Duration = Duration::from_secs(3);
const SOURCE: &str = include_str!("../src/clock.c");
/// `TIME_OK`, and a clock that `STA_PLL` keeps: 1 ms off.
const RIGHT: &str = "0 1 1000\n";
/// The same, and 2.5 s off.
const OFF: &str = "0 1 2500000\n";
/// `TIME_ERROR` and `STA_UNSYNC`: nobody keeps it.
const LOST: &str = "5 64 0\n";
/// The service that is restarted, and the one that is not.
const KEEPER: &str = "keeper";
const BESIDE: &str = "beside";

fn compile(directory: &Path, name: &str, options: &[&str]) -> PathBuf {
    let (file, made) = (directory.join("clock.c"), directory.join(name));
    fs::write(&file, SOURCE).unwrap();
    assert!(Command::new("cc").args(options).arg("-o").args([&made, &file]).status().unwrap().success());
    made
}

/// An agent whose policy has the keeper of the clock restarted, by this script.
fn builder(script: &str, deadline: &str) -> Builder {
    let tables = format!(
        "[config]\noffset = {{ above = 0.5, clear = 0.1, for = \"400ms\", clear-for = \"400ms\" }}\n\
         unsynchronized-for = \"400ms\"\nremedy = \"service.restart:{KEEPER}\"\nsettle = \"100ms\"\n\
         deadline = \"{deadline}\"\n[grant]\nactions = [\"service.restart:{KEEPER}\"]"
    );
    let builder = Agent::builder().tables("[collect]\ninterval = \"200ms\"");
    let builder = builder.service(KEEPER, script, "autostart = true");
    let builder = builder.service(BESIDE, "exec sleep infinity", "autostart = true");
    builder.plugin(plugin::stock("clock-drift")).policy("clock.toml", &policy("clock-drift", "auto", &tables))
}

fn start(builder: Builder) -> Agent {
    let agent = builder.start().unwrap();
    agent.until_watching("clock");
    for name in [KEEPER, BESIDE] {
        agent.until_service(name, None);
    }
    agent
}

#[test]
fn a_clock_that_is_off_or_that_nobody_keeps_has_its_keeper_restarted_until_it_is_right() {
    if lab::skip_without("/usr/bin/cc", "apt-get install gcc libc6-dev") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let library = compile(directory.path(), "clock.so", &["-shared", "-fPIC"]);
    let clock = directory.path().join("clock");
    let set = |to: &str| {
        // At once, so that it is never half written.
        fs::write(directory.path().join("next"), to).unwrap();
        fs::rename(directory.path().join("next"), &clock).unwrap();
    };
    set(RIGHT);
    // What keeps the clock sets it right when it is started, but for the first time.
    let script = format!(
        "test $(wc -l <{KEEPER}.starts) = 1 || {{ echo {} >right; mv right {clock:?}; }}; exec sleep infinity",
        RIGHT.trim()
    );
    let builder = builder(&script, "30s").env("LD_PRELOAD", library.to_str().unwrap());
    let agent = start(builder.env("SALVE_TEST_CLOCK", clock.to_str().unwrap()));
    wait::never("an incident of a clock that is right", WHILE, || agent.incidents().pop());

    let faults = [
        (OFF, "clock.drift", "the clock was stepped"),
        (LOST, "clock.unsynchronized", "the time service does not run"),
    ];
    for (number, (reading, kind, why)) in (1..).zip(faults) {
        set(reading);
        let id = agent.until(&format!("{kind} to be resolved"), || {
            let all = agent.incidents();
            all.into_iter().find(|it| it.kind == kind && it.state == "resolved").map(|it| it.id)
        });
        let healed = agent.incident(&id);
        assert_eq!((healed.target.as_str(), healed.path()), ("clock", STRAIGHT.to_vec()), "{healed:#?}");
        is_explained(&healed, why);
        assert_eq!(done(&healed), [("service.restart", KEEPER)]);
        assert_eq!((agent.starts(KEEPER), agent.incidents().len()), (1 + number, number));
    }
    assert_eq!(agent.starts(BESIDE), 1);
}

#[test]
fn the_clock_of_this_machine_is_told_as_its_kernel_tells_it() {
    if lab::skip_without("/usr/bin/cc", "apt-get install gcc libc6-dev") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let ask = compile(directory.path(), "ask", &["-DPROGRAM"]);
    let agent = start(builder("exec sleep infinity", "1s"));
    let said = String::from_utf8(Command::new(ask).output().unwrap().stdout).unwrap();
    let said: Vec<i64> = said.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let is_kept = said[0] != 5 && said[1] & 0x40 == 0;
    let of_lost = || agent.incidents().into_iter().find(|it| it.kind == "clock.unsynchronized");
    if is_kept {
        wait::never("an incident of a clock that is kept", WHILE, of_lost);
        assert_eq!(agent.starts(KEEPER), 1);
    } else {
        // A restart of what does not keep it helps nothing: it is tried once, and a person is asked.
        let left = agent.until_incident("clock", "escalated");
        assert_eq!(left.kind, "clock.unsynchronized", "{left:#?}");
        is_explained(&left, "the time service does not run");
        let verdicts: Vec<_> = left.attempts.iter().map(|it| it.verdict.as_deref()).collect();
        assert_eq!(verdicts, [Some("unhealthy")], "{left:#?}");
        assert_eq!(agent.starts(KEEPER), 2);
    }
    assert_eq!(agent.starts(BESIDE), 1);
}
