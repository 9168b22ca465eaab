//! Collecting evidence, all of it side by side.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt::Write, fs};

use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

use super::process::Stat;
use super::{Parts, command};
use crate::action::{Collect, Evidence};
use crate::config::CommandSpec;
use crate::run::run;
use crate::signal::{Attribute, Value};

/// Bytes kept of each.
const CAP: usize = 64 * 1024;

/// A text, and whether some of it was left out.
type Text = (String, bool);

/// A task that ends when nobody waits for it any more, and with it what it runs.
struct Task(JoinHandle<(Result<Text, String>, Duration)>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Collects `wanted` about `target`; what is not there within `cap` says so.
pub(super) async fn collect(parts: &Arc<Parts>, wanted: &[Collect], cap: Duration, target: &str) -> Vec<Evidence> {
    let deadline = tokio::time::Instant::now() + cap;
    let start = |what: &Collect| {
        let (parts, what, target) = (parts.clone(), what.clone(), target.to_owned());
        let name = what.to_string();
        let task = tokio::spawn(async move {
            let started = Instant::now();
            (one(&parts, &what, &target, cap).await, started.elapsed())
        });
        (name, Task(task))
    };
    let tasks: Vec<_> = wanted.iter().map(start).collect();
    let mut evidence = Vec::new();
    for (name, mut task) in tasks {
        let (result, took) = match timeout_at(deadline, &mut task.0).await {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => (Err(format!("could not be collected: {error}")), Duration::ZERO),
            Err(_) => (Err(format!("was not collected within {} s", cap.as_secs_f64())), cap),
        };
        let (ok, (text, truncated)) = match result {
            Ok(text) => (true, text),
            Err(why) => (false, (why, false)),
        };
        evidence.push(Evidence { name, text, ok, truncated, took_ms: (took.as_secs_f64() * 1e6).round() / 1e3 });
    }
    evidence
}

async fn one(parts: &Arc<Parts>, what: &Collect, target: &str, cap: Duration) -> Result<Text, String> {
    match what {
        Collect::ServiceStatus => {
            let status = parts.status.get(target).ok_or_else(|| format!("nothing is known of a service `{target}`"))?;
            serde_json::to_string_pretty(&status).map(head).map_err(|error| error.to_string())
        }
        Collect::Journal(lines) => {
            let mut journalctl = Command::new(&parts.programs.journalctl);
            journalctl.args(["--no-pager", "--quiet", "--output=short-iso-precise"]).arg(format!("--lines={lines}"));
            journalctl.args(about(target));
            let ended = run(journalctl, cap, CAP).await?;
            if ended.status.success() { Ok((ended.output, ended.truncated)) } else { Err(ended.describe()) }
        }
        Collect::ProcessTree => {
            let pid = main_pid(parts, target).ok_or_else(|| format!("no process of `{target}` is known"))?;
            let parts = parts.clone();
            let tree = tokio::task::spawn_blocking(move || tree(&parts.proc, pid)).await;
            tree.unwrap_or_else(|error| Err(error.to_string())).map(head)
        }
        Collect::Command(name) => {
            let ended = command::execute(&parts.commands, name, |spec| fill(parts, spec, target), CAP).await?;
            let text = if ended.status.success() { Ok(ended.output.clone()) } else { Err(ended.describe()) };
            text.map(|text| (text, ended.truncated))
        }
    }
}

/// What narrows the journal down to a target, if it is one that the journal knows.
fn about(target: &str) -> Option<String> {
    const UNITS: [&str; 6] = [".service", ".socket", ".mount", ".timer", ".scope", ".slice"];
    if UNITS.iter().any(|suffix| target.ends_with(suffix)) {
        return Some(format!("--unit={target}"));
    }
    target.parse::<u32>().ok().map(|pid| format!("_PID={pid}"))
}

/// The target, if it is a process; the main process of the target, if it is a service.
fn main_pid(parts: &Parts, target: &str) -> Option<u32> {
    target.parse().ok().or_else(|| parts.status.get(target)?.main_pid)
}

/// Parameters named `target` and `pid`, if the command declares them: there is nobody else to fill them.
fn fill(parts: &Parts, spec: &CommandSpec, target: &str) -> Vec<Attribute> {
    let mut parameters = Vec::new();
    if spec.parameters.contains_key("target") {
        parameters.push(Attribute::new("target", target));
    }
    if spec.parameters.contains_key("pid")
        && let Some(pid) = main_pid(parts, target)
    {
        parameters.push(Attribute::new("pid", Value::Integer(pid.into())));
    }
    parameters
}

/// A process and its descendants, a line for each, indented by generation.
fn tree(proc: &Path, root: u32) -> Result<String, String> {
    let entries = fs::read_dir(proc).map_err(|error| format!("{}: {error}", proc.display()))?;
    let mut stats = BTreeMap::new();
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for pid in entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        // Processes come and go.
        if let Some(stat) = Stat::read(&proc.join(pid.to_string())) {
            children.entry(stat.parent).or_default().push(pid);
            stats.insert(pid, stat);
        }
    }
    if !stats.contains_key(&root) {
        return Err(format!("there is no process {root}"));
    }
    let mut text = String::new();
    let mut next = vec![(0, root)];
    // Each is told once, even if the look at them was so uneven that they seem to descend from each other.
    while let Some((depth, pid)) = next.pop() {
        let Some(stat) = stats.remove(&pid) else { continue };
        let line = fs::read(proc.join(pid.to_string()).join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).trim_end_matches('\0').replace(['\0', '\n'], " ");
        let Stat { name, state, threads, started, virtual_bytes, .. } = stat;
        let told = if line.is_empty() { format!("[{name}]") } else { line };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:indent$}{pid} {state} start={started} threads={threads} virtual={virtual_bytes} {told}",
            "",
            indent = 2 * depth
        );
        let mut young = children.remove(&pid).unwrap_or_default();
        young.sort_unstable_by(|a, b| b.cmp(a));
        next.extend(young.into_iter().map(|pid| (depth + 1, pid)));
    }
    Ok(text)
}

/// The beginning, up to the cap.
fn head(mut text: String) -> Text {
    let truncated = text.len() > CAP;
    text.truncate(text.floor_char_boundary(CAP));
    (text, truncated)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::action::actuator::{Actuators, testing};
    use crate::config::Rules;
    use crate::service::{ActiveState, ManagerKind, ServiceStatus};

    fn rules(wanted: &[&str], cap: u64) -> Rules {
        let collect = wanted.iter().map(|name| name.parse().unwrap()).collect();
        Rules { collect, collect_timeout: Duration::from_millis(cap), ..Rules::default() }
    }

    fn status(name: &str, pid: u32) -> ServiceStatus {
        ServiceStatus {
            name: name.into(),
            manager: ManagerKind::Command,
            active_state: ActiveState::Active,
            sub_state: "running".into(),
            result: "success".into(),
            main_pid: Some(pid),
            exit_code: None,
            exit_signal: None,
            restarts: 0,
            stop_requested: None,
        }
    }

    #[tokio::test]
    async fn everything_that_is_listed_is_collected_or_says_why_not() {
        let state = tempfile::tempdir().unwrap();
        let parts = testing::parts(
            state.path(),
            r#"
            [commands.about]
            argv = ["/bin/echo", "about", "{target}", "{pid}"]
            parameters = { target = "word", pid = "integer" }
            [commands.fail]
            argv = ["/bin/false"]
            [commands.more]
            argv = ["/bin/echo", "{what}"]
            parameters = { what = "word" }
            "#,
        );
        parts.status.put(status("demo", std::process::id()));
        let actuators = Actuators::new(parts);
        let wanted = [
            "service.status",
            "journal:20",
            "process.tree",
            "command:about",
            "command:fail",
            "command:more",
            "command:absent",
        ];
        let evidence = actuators.collect(&rules(&wanted, 60_000), "demo").await;
        let names: Vec<&str> = evidence.iter().map(|evidence| evidence.name.as_str()).collect();
        assert_eq!(names, wanted);
        let pid = std::process::id();
        for (evidence, (ok, expected)) in evidence.iter().zip([
            (true, "\"sub_state\": \"running\"".to_owned()),
            (true, "--lines=20\n".to_owned()),
            (true, format!("{pid} ")),
            (true, format!("about demo {pid}")),
            (false, "exit status: 1".to_owned()),
            (false, "parameter `what` is missing".to_owned()),
            (false, "no [commands.absent]".to_owned()),
        ]) {
            assert!(evidence.ok == ok && evidence.text.contains(&expected), "{evidence:?}\n  not {expected}");
        }
        for evidence in actuators.collect(&rules(&["service.status", "process.tree"], 60_000), "other").await {
            assert!(!evidence.ok && evidence.text.contains("`other`"), "{evidence:?}");
        }
    }

    #[tokio::test]
    async fn what_hangs_is_left_out_and_holds_up_nothing_else() {
        let state = tempfile::tempdir().unwrap();
        let parts = testing::parts(state.path(), "[commands.hang]\nargv = [\"/bin/sleep\", \"1000\"]\n");
        parts.status.put(status("demo", 1));
        let actuators = Actuators::new(parts);
        let evidence = actuators.collect(&rules(&["command:hang", "service.status"], 300), "demo").await;
        assert!(!evidence[0].ok && evidence[0].text.contains("not collected within 0.3 s"), "{evidence:?}");
        assert!(evidence[1].ok, "{evidence:?}");
    }

    #[tokio::test]
    async fn of_a_long_journal_the_end_is_kept() {
        let state = tempfile::tempdir().unwrap();
        let mut parts = testing::parts(state.path(), "");
        let script = state.path().join("journalctl");
        fs::write(&script, "#!/bin/sh\necho \"$@\"; i=0; while [ $i -lt 20000 ]; do echo line-$i; i=$((i+1)); done\n")
            .unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        parts.programs.journalctl = script;
        let evidence = Actuators::new(parts).collect(&rules(&["journal:9"], 60_000), "a.service").await;
        let [journal] = evidence.as_slice() else { panic!("{evidence:?}") };
        assert!(journal.ok && journal.truncated && journal.text.len() == CAP, "{}", journal.text.len());
        assert!(journal.text.ends_with("line-19999\n"));
        assert_eq!(about("a.service").as_deref(), Some("--unit=a.service"));
        assert_eq!(about("4711").as_deref(), Some("_PID=4711"));
        assert_eq!(about("--rotate"), None);
    }

    #[test]
    fn a_tree_is_indented_by_generation() {
        let proc = tempfile::tempdir().unwrap();
        for (pid, parent, line) in
            [(10, 1, "nginx: master\0"), (11, 10, "worker\0-a\0"), (12, 11, ""), (13, 1, "other\0")]
        {
            let directory = proc.path().join(pid.to_string());
            fs::create_dir(&directory).unwrap();
            let stat = format!("{pid} (n{pid}) S {parent} 7 7 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 5 4096 1");
            fs::write(directory.join("stat"), stat).unwrap();
            fs::write(directory.join("cmdline"), line).unwrap();
        }
        assert_eq!(
            tree(proc.path(), 10).unwrap(),
            "10 S start=5 threads=1 virtual=4096 nginx: master\n  11 S start=5 threads=1 virtual=4096 worker -a\n    \
             12 S start=5 threads=1 virtual=4096 [n12]\n"
        );
        assert!(tree(proc.path(), 99).is_err());
    }
}
