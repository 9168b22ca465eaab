//! A host whose memory is short: stress-ng and a reader of large files fight for it, in a unit that may be acted on.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::fs::File;

use salve_tests::agent::Agent;
use salve_tests::lab::{self, Cage, Host};
use salve_tests::stock::{done, is_explained, policy};
use salve_tests::{plugin, stress};

const MIB: u64 = 1 << 20;
/// Works on a lot, more than there is memory for.
const BATCH: &str = "batch@night.service";
/// Of the same kind, and holds little.
const SMALL: &str = "batch@small.service";
/// Holds most of all, and is not to be touched.
const CACHE: &str = "cache.service";
/// Of no interest to anybody.
const BESIDE: &str = "beside.service";

fn start(host: &Host, unit: &str, command: &str) {
    host.write_unit(unit, &format!("[Service]\nType=exec\nExecStart=sh -c '{command}'\nTimeoutStopSec=2s\n")).unwrap();
    host.run(&["systemctl", "start", unit]).unwrap();
}

/// A command that holds so many MiB: the end of one long line.
fn hold(mib: u64) -> String {
    format!("{{ head -c {mib}M /dev/zero; exec sleep infinity; }} | tail -n 1")
}

/// What processes of this name hold, in KiB.
fn resident(host: &Host, name: &str) -> u64 {
    // It fails where there are none.
    let sizes = host.run(&["ps", "-C", name, "-o", "rss="]).unwrap_or_default();
    sizes.split_whitespace().filter_map(|size| size.parse::<u64>().ok()).sum()
}

#[test]
fn of_those_that_may_be_acted_on_the_one_that_takes_the_memory_is_stopped_and_the_pressure_is_over() {
    if lab::skip() || stress::skip() {
        return;
    }
    // Gone after the host, which holds what is in it.
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    let cage = Cage::new(256 * MIB).unwrap();
    let Some(cage) = lab::had_or_skip(cage, "hierarchy of control groups that limits memory") else { return };
    // Nothing but holes: it is read without a disk, and takes memory all the same. The host sees it as a part of its root.
    let data = directory.path().join("data");
    File::create(&data).unwrap().set_len(512 * MIB).unwrap();
    let host = Host::boot("shortage").unwrap();
    cage.hold(&host).unwrap();
    start(&host, CACHE, &hold(100));
    start(&host, SMALL, &hold(8));
    start(&host, BESIDE, "exec sleep infinity");
    // The memory in use is this machine's, and the pressure is that of all of it, so some tasks' is what counts.
    let tables = "[config]\nmemory = { above = 0.05, clear = 0.04, for = \"2s\" }\nkind = \"some\"\nmemory-above = 0.001\n\
                  settle = \"100ms\"\ndeadline = \"50s\"\navoid = [\"cache.service\"]\ncandidates = [\n\
                  { service = \"batch@*.service\", action = \"service.stop\" },\n\
                  { service = \"cache.service\", action = \"service.stop\", prefer = true },\n]\n\
                  [grant]\nactions = [\"service.stop:*.service\"]\nunattended = true";
    let builder = Agent::builder().inside(&host).tables("[collect]\ninterval = \"500ms\"");
    let builder = builder.plugin(plugin::stock("pressure-relief"));
    let agent = builder.policy("pressure.toml", &policy("pressure-relief", "auto", tables)).start().unwrap();
    // In its first moments it does not know yet who there is.
    agent.until_status("it to know who there is", |status| {
        status.instance("pressure").is_some_and(|instance| instance.calls >= 15)
    });
    let calm = [SMALL, CACHE, BESIDE];
    let before = calm.map(|unit| host.invocation(unit));
    assert!(agent.incidents().is_empty(), "{:#?}", agent.incidents());
    let stress = "stress-ng --quiet --vm 1 --vm-bytes 48M --vm-keep --timeout 2m";
    let read = format!("while :; do cat {} >/dev/null; done", data.display());
    start(&host, BATCH, &format!("{stress} & until test -e /go; do sleep 0.1; done; {{ {read}; }} & {read}"));
    // First it holds what it needs, and then there is too little for what it reads.
    agent.until("stress-ng to hold its memory", || (resident(&host, "stress-ng-vm") > 40 << 10).then_some(()));
    host.write("/go", "").unwrap();

    let healed = agent.until_incident("memory", "resolved");
    assert_eq!(healed.kind, "pressure.sustained", "{healed:#?}");
    // A plugin that has just begun looks for a moment who there is before it acts.
    let path = healed.path();
    assert!(path.starts_with(&["detected", "diagnosed"]), "{healed:#?}");
    assert!(path.ends_with(&["recovering", "verifying", "resolved"]), "{healed:#?}");
    assert!(healed.summary.contains("for want of memory") && !healed.summary.contains(" 0 %"), "{}", healed.summary);
    is_explained(&healed, &format!("{BATCH} holds"));
    assert_eq!(done(&healed), [("service.stop", BATCH)]);
    assert_ne!(host.property(BATCH, "ActiveState"), "active");
    assert_eq!(calm.map(|unit| host.invocation(unit)), before, "what was calm was touched");
    assert_eq!(calm.map(|unit| host.starts(unit).unwrap()), [1; 3]);
    assert_eq!(agent.incidents().len(), 1, "{:#?}", agent.incidents());
}
