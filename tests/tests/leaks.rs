//! A process that leaks and one that has only much to do, both a real Redis under systemd: the first is restarted before it
//! has taken the host's memory, the second is left alone.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use salve_tests::agent::Agent;
use salve_tests::lab::{self, Host};
use salve_tests::plugin;
use salve_tests::stock::{STRAIGHT, done, is_explained, policy};

/// Grows as long as anybody feeds it.
const LEAK: (&str, u16) = ("leak.service", 7001);
/// Takes much at once, and keeps it.
const PEAK: (&str, u16) = ("peak.service", 7002);
const MIB: f64 = 1048576.0;

/// Writes values under keys that begin with the first argument, as many as the second says, each of as many bytes as the third.
const FILL: &str = "for i = 1, ARGV[2] do redis.call('SET', ARGV[1] .. ':' .. i, string.rep('x', ARGV[3])) end";

/// A Redis of the test's own, which forgets when it ends; its limit only keeps a test that fails from taking everything.
fn start_redis(host: &Host, (unit, port): (&str, u16)) {
    let command =
        format!("redis-server --bind 127.0.0.1 --port {port} --save '' --maxmemory 300mb --supervised systemd");
    host.write_unit(unit, &format!("[Service]\nType=notify\nExecStart={command}\n")).unwrap();
    host.run(&["systemctl", "start", unit]).unwrap();
}

/// What it holds of the host's memory, in bytes.
fn resident((_, port): (&str, u16), host: &Host) -> f64 {
    let memory = host.run(&["redis-cli", "-e", "-p", &port.to_string(), "INFO", "memory"]).unwrap();
    let line = memory.lines().find_map(|line| line.strip_prefix("used_memory_rss:")).unwrap();
    line.trim().parse().unwrap()
}

#[test]
fn a_redis_that_leaks_is_restarted_gracefully_and_one_with_a_load_peak_is_not() {
    if lab::skip_without("/usr/bin/redis-server", "apt-get install redis-server") {
        return;
    }
    let Some(host) = lab::host_or_skip("leaks") else { return };
    start_redis(&host, LEAK);
    start_redis(&host, PEAK);
    // A client that never deletes what it writes: some 3 MiB a second.
    let feed = format!(
        "n=0; while :; do n=$((n+1)); redis-cli -p {} EVAL \"{FILL}\" 0 $n 300 1024 >/dev/null; sleep 0.1; done\n",
        LEAK.1
    );
    host.write("/feed", feed).unwrap();
    host.write_unit("feed.service", "[Service]\nExecStart=sh /feed\n").unwrap();
    let tables = "[config]\nservices = [\"leak.service\", \"peak.service\"]\nlimit = \"400MiB\"\nwindow = \"24s\"\n\
                  at-least = \"8MiB\"\nhorizon = \"30m\"\nfor = \"0s\"\nurgent = \"1s\"\nquiet-cpu = 0.5\n\
                  settle = \"100ms\"\ndeadline = \"30s\"\n\
                  [grant]\nactions = [\"service.restart:leak.service\", \"service.restart:peak.service\"]";
    let builder = Agent::builder().inside(&host).tables("[collect]\ninterval = \"500ms\"");
    let builder = builder.plugin(plugin::stock("memory-leak"));
    let agent = builder.policy("memory-leak.toml", &policy("memory-leak", "auto", tables)).start().unwrap();
    agent.until_watching("memory-leak");
    let before = [LEAK, PEAK].map(|(unit, _)| host.invocation(unit));
    host.run(&["systemctl", "start", "feed.service"]).unwrap();
    // By then both have been watched for some time: the peak is no part of a start.
    agent.until("the leak to have begun", || (resident(LEAK, &host) > 44.0 * MIB).then_some(()));
    let peak = ["redis-cli", "-e", "-p", &PEAK.1.to_string(), "EVAL", FILL, "0", "peak", "2000", "65536"];
    host.run(&peak).unwrap();

    let healed = agent.until_incident(LEAK.0, "resolved");
    host.run(&["systemctl", "stop", "feed.service"]).unwrap();
    assert_eq!((healed.kind.as_str(), healed.path()), ("memory.leak", STRAIGHT.to_vec()), "{healed:#?}");
    is_explained(&healed, "it grows by");
    assert_eq!(done(&healed), [("service.restart", LEAK.0)]);
    // It ended by itself when it was asked to: what a database needs to write, it can.
    let said = host.run(&["journalctl", "--quiet", "--output=cat", "--unit", LEAK.0]).unwrap();
    assert!(said.contains("User requested shutdown") && said.contains("bye bye"), "{said}");
    let after = [LEAK, PEAK].map(|(unit, _)| host.invocation(unit));
    assert_ne!(after.first(), before.first());
    assert_eq!(after.last(), before.last(), "the one with a load peak was touched");
    assert_eq!([LEAK, PEAK].map(|(unit, _)| host.starts(unit).unwrap()), [2, 1]);
    // It holds more than the other one did, and all of what it was given.
    assert!(resident(PEAK, &host) > 120.0 * MIB);
    assert_eq!(agent.incidents().len(), 1, "{:#?}", agent.incidents());
}
