//! Containers of a real podman: the agent sees one die, and starts it again.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "the helpers of tests fail as the tests do")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use salve_tests::agent::Agent;
use salve_tests::lab::skip_without;
use salve_tests::process::Process;
use salve_tests::reaper::Reaper;
use salve_tests::stock::{STRAIGHT, done, is_explained, policy};
use salve_tests::{plugin, wait};
use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(60);
/// Runs until it is told to end, which it does with a status of its own.
const SCRIPT: &str = "trap 'exit 3' TERM; while :; do sleep 0.1; done";

/// A podman of its own: its containers are no others', and gone with it.
struct Podman {
    home: tempfile::TempDir,
    _service: Process,
    /// Takes the containers' supervisors, which leave their parent.
    _reaper: Reaper,
}

impl Podman {
    /// Serves the Docker API, with an image `salve-test` of nothing but busybox; none where the test is skipped.
    fn start() -> Option<Self> {
        let needs = [
            ("/usr/bin/podman", "apt-get install podman"),
            ("/usr/sbin/runc", "apt-get install runc"),
            ("/usr/bin/busybox", "apt-get install busybox-static"),
        ];
        if salve_tests::lab::skip() || needs.iter().any(|(file, remedy)| skip_without(file, remedy)) {
            return None;
        }
        let reaper = Reaper::start().unwrap();
        let home = tempfile::tempdir().unwrap();
        let bin = home.path().join("rootfs/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir(home.path().join("rootfs/tmp")).unwrap();
        fs::copy("/usr/bin/busybox", bin.join("busybox")).unwrap();
        for name in ["cat", "rm", "sh", "sleep", "test", "touch", "wc"] {
            symlink("busybox", bin.join(name)).unwrap();
        }
        let image = home.path().join("image.tar");
        let rootfs = home.path().join("rootfs");
        let tar = Command::new("tar").arg("-C").arg(rootfs).arg("-cf").arg(&image).arg(".").status().unwrap();
        assert!(tar.success());
        run(&mut podman(home.path(), &["import", &image.display().to_string(), "salve-test"]));
        let url = format!("unix://{}", socket(home.path()).display());
        let mut service = podman(home.path(), &["system", "service", "--time=0", &url]);
        let service = Process::spawn(service.stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
        wait::until("podman to listen", DEADLINE, || socket(home.path()).exists().then_some(()));
        Some(Self { home, _service: service, _reaper: reaper })
    }

    fn socket(&self) -> PathBuf {
        socket(self.home.path())
    }

    fn podman(&self, arguments: &[&str]) -> String {
        String::from_utf8(run(&mut podman(self.home.path(), arguments)).stdout).unwrap()
    }

    /// Runs [`SCRIPT`] in a container.
    fn run(&self, name: &str) {
        self.run_script(name, &[], SCRIPT);
    }

    /// Runs a script in a container without a network; the limits are ones that any machine can set.
    fn run_script(&self, name: &str, options: &[&str], script: &str) {
        let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
        let run = [
            &["run", "-d", "--name", name, "--network", "none"],
            &limits[..],
            options,
            &["salve-test", "/bin/sh", "-c", script],
        ];
        self.podman(&run.concat());
    }

    /// Looks at the health of a container, as the timer does that podman has systemd make.
    fn check_health(&self, name: &str) {
        // It fails where the container is not healthy, or does not run.
        podman(self.home.path(), &["healthcheck", "run", name]).output().unwrap();
    }

    /// The main process of a container, if it runs.
    fn pid(&self, name: &str) -> Option<i32> {
        self.podman(&["inspect", "--format", "{{.State.Pid}}", name]).trim().parse().ok().filter(|pid| *pid != 0)
    }

    /// Kills the main process from outside, as the kernel might.
    fn kill(&self, name: &str) -> i32 {
        let pid = self.pid(name).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL)
            .unwrap();
        pid
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let all = ["rm", "--force", "--time", "0", "--all"];
        let _ = podman(self.home.path(), &all).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

fn socket(home: &Path) -> PathBuf {
    home.join("podman.sock")
}

/// Debian's podman, with all it keeps in `home`, and without systemd.
fn podman(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("/usr/bin/podman");
    for (option, folder) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
        command.arg(option).arg(home.join(folder));
    }
    let plain =
        ["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=file", "--runtime=/usr/sbin/runc"];
    command.args(plain).args(arguments).stdin(Stdio::null());
    command
}

#[track_caller]
fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// An agent that does `action` to `web` when it hears that it has ended.
fn agent(podman: &Podman, action: &str, more: &str) -> Agent {
    let policy = format!(
        "plugin = \"listener\"\nmode = \"auto\"\n[config]\nevent = \"container.exit\"\naction = \"{action}\"\n\
         [grant]\nactions = [\"{action}:we*\"]\n{more}"
    );
    let containers = format!("[containers]\nsocket = \"{}\"", podman.socket().display());
    let agent = Agent::builder().tables(&containers).plugin(plugin::guest("listener")).policy("web.toml", &policy);
    agent.start().unwrap()
}

/// An agent with the stock plugin `container-health`.
fn health_agent(podman: &Podman, config: &str) -> Agent {
    let tables = format!(
        "[config]\n{config}\nsettle = \"100ms\"\ndeadline = \"50s\"\n[grant]\nactions = [\"container.restart:*\"]"
    );
    let containers = format!("[containers]\nsocket = \"{}\"", podman.socket().display());
    let builder = Agent::builder().tables(&containers).plugin(plugin::stock("container-health"));
    let agent = builder.policy("health.toml", &policy("container-health", "auto", &tables)).start().unwrap();
    until_listening(&agent);
    agent
}

/// Waits until the status shows that containers are watched.
fn until_listening(agent: &Agent) {
    agent.until_fine();
    agent.until("containers to be watched", || {
        let status = agent.json(&["status"]);
        let sources = status["sources"].as_array()?;
        sources.iter().find(|it| it["source"] == "container" && it["condition"] == "ok").map(|_| ())
    });
}

#[test]
fn a_container_that_is_killed_is_seen_and_started_again() {
    let Some(podman) = Podman::start() else { return };
    podman.run("web");
    podman.run("other");
    let agent = agent(&podman, "container.start", "");
    until_listening(&agent);
    let (old, other) = (podman.kill("web"), podman.pid("other"));
    let incident = agent.until_incident("web", "resolved");
    let shown = agent.json(&["incident", "show", &incident.id]);
    let code = shown.to_string().contains("container.exit_code");
    assert!(code, "{shown:#}");
    let outcome = detail(&shown);
    let pid = podman.pid("web").unwrap();
    assert_eq!(outcome, format!("exited(137) (pid none) -> running (pid {pid})"), "{shown:#}");
    assert!(pid != old && podman.pid("other") == other);
}

#[test]
fn a_kill_waits_for_a_person_and_says_what_it_did() {
    let Some(podman) = Podman::start() else { return };
    podman.run("web");
    let agent = agent(&podman, "container.kill", "");
    until_listening(&agent);
    podman.podman(&["stop", "--time", "10", "web"]);
    let waiting = agent.until_incident("web", "awaiting-approval");
    podman.podman(&["start", "web"]);
    let pid = podman.pid("web").unwrap();
    let said = agent.cli(&["incident", "approve", &waiting.id]);
    assert!(said.status.success(), "{said:?}");
    agent.until("the kill", || podman.pid("web").is_none().then_some(()));
    agent.until("the outcome", || {
        let shown = agent.json(&["incident", "show", &waiting.id]);
        let attempts = shown["attempts"].as_array()?;
        let outcome = attempts.first()?["outcomes"].as_array()?.first()?["detail"].as_str()?.to_owned();
        assert_eq!(outcome, format!("sent SIGKILL: running (pid {pid}) -> exited(137) (pid none)"));
        Some(())
    });
}

#[test]
fn an_unhealthy_container_is_restarted_and_a_healthy_one_is_not() {
    let Some(podman) = Podman::start() else { return };
    let health = ["--health-cmd", "test ! -e /tmp/ill", "--health-interval", "disable", "--health-retries", "2"];
    // A new start cures it.
    let script = format!("rm -f /tmp/ill; {SCRIPT}");
    for name in ["web", "other"] {
        podman.run_script(name, &health, &script);
    }
    let agent = health_agent(&podman, "unhealthy-for = \"1s\"");
    let [web, other] = ["web", "other"].map(|name| podman.pid(name).unwrap());
    let check = || ["web", "other"].map(|name| podman.check_health(name));
    check();
    podman.podman(&["exec", "web", "touch", "/tmp/ill"]);
    let id = agent.until("web to be healed", || {
        check();
        agent.incidents().into_iter().find(|it| it.state == "resolved").map(|it| it.id)
    });
    let healed = agent.incident(&id);
    assert_eq!((healed.kind.as_str(), healed.path()), ("container.unhealthy", STRAIGHT.to_vec()), "{healed:#?}");
    is_explained(&healed, "its health check fails while it runs");
    assert_eq!(done(&healed), [("container.restart", "web")]);
    let state = podman.podman(&["inspect", "--format", "{{.State.Health.Status}}", "web"]);
    assert_eq!(state.trim(), "healthy");
    assert!(podman.pid("web").is_some_and(|pid| pid != web));
    assert_eq!(podman.pid("other"), Some(other), "the healthy one was touched");
    assert_eq!(agent.incidents().len(), 1, "{:#?}", agent.incidents());
}

#[test]
fn a_container_that_loops_until_podman_gives_up_is_brought_back_and_another_is_not_touched() {
    let Some(podman) = Podman::start() else { return };
    podman.run("other");
    let agent = health_agent(&podman, "restarts = 3\nwithin = \"5m\"\nsteady = \"2s\"\nattempts = 3");
    let other = podman.pid("other");
    // Dies four times, which is once and as often as podman tries again.
    let script = format!("echo >>/tmp/starts; test $(cat /tmp/starts | wc -l) -gt 4 || exit 3; {SCRIPT}");
    podman.run_script("web", &["--restart", "on-failure:3"], &script);
    let healed = agent.until_incident("web", "resolved");
    assert_eq!(healed.kind, "container.restart-loop", "{healed:#?}");
    assert!(healed.summary.starts_with("web died "), "{}", healed.summary);
    is_explained(&healed, "it exited with status 3");
    // An attempt may come before podman's last one, and then the container dies once more.
    assert!(done(&healed).iter().all(|done| *done == ("container.restart", "web")), "{healed:#?}");
    assert!(podman.pid("web").is_some());
    assert_eq!(podman.pid("other"), other, "another was touched");
    assert_eq!(agent.incidents().len(), 1, "{:#?}", agent.incidents());
}

/// What the first action of an incident really changed.
fn detail(shown: &Value) -> &str {
    shown["attempts"][0]["outcomes"][0]["detail"].as_str().unwrap()
}
