//! The OOM killer's report, which is many lines: the one that says why and where, and the one that says who was killed.

use std::sync::LazyLock;

use regex::Regex;

use super::fault::{Fault, OOM_KILL, pattern, process};
use crate::signal::collector::process::cgroup::unit_of_path;
use crate::signal::{Attribute, Value};

/// `oom-kill:constraint=…,task=mysqld,pid=77,uid=33`, since Linux 5.0.
static REASON: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"oom-kill:constraint=CONSTRAINT_([A-Z_]+),.*,task=(?:.*),pid=([0-9]+)"));
/// `Out of memory: Killed process 77 (mysqld) total-vm:…`; before Linux 5.0 a line of its own, without what is before.
static KILLED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:^|: )Killed process ([0-9]+),? (?:UID [0-9]+, )?\((.*)\),? total-vm:"));
/// `Task in /system.slice/web.service killed as a result of limit of /system.slice`, before Linux 5.0.
static LIMIT: LazyLock<Regex> = LazyLock::new(|| pattern(r"^Task in (\S+) killed as a result of limit of (\S+)"));
/// `Tasks in /web are going to be killed due to memory.oom.group set`.
static GROUP: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^Tasks in (\S+) are going to be killed due to memory\.oom\.group"));

/// Figures of the line about the one that was killed, and what they are told as, in bytes.
const FIGURES: [(&str, &str); 4] = [
    ("total-vm:", "kernel.oom.memory.virtual"),
    ("anon-rss:", "kernel.oom.memory.anonymous"),
    ("file-rss:", "kernel.oom.memory.file"),
    ("shmem-rss:", "kernel.oom.memory.shared"),
];

/// What earlier lines of a report said.
#[derive(Debug, Default)]
pub(super) struct Oom {
    reason: Option<Reason>,
}

#[derive(Debug, Clone)]
struct Reason {
    /// Who is to be killed, where that is said: a group's others have the reason in common.
    pid: Option<u32>,
    /// Whether others are killed with it.
    group: bool,
    constraint: String,
    /// The cgroup whose limit was met.
    limited: Option<String>,
    /// The cgroup of whoever is killed.
    victims: Option<String>,
}

impl Oom {
    /// A line of the kernel's; a fault where it ends a report.
    pub(super) fn line(&mut self, text: &str) -> Option<Fault> {
        if text.contains("oom-kill:") {
            self.reason = reason(text).or(self.reason.take());
        } else if text.contains("are going to be killed") {
            let group = GROUP.captures(text)?.get(1)?.as_str().to_owned();
            if let Some(reason) = &mut self.reason {
                reason.pid = None;
                reason.group = true;
                reason.victims = Some(group);
            }
        } else if text.starts_with("Task in ") {
            let found = LIMIT.captures(text)?;
            let path = |index| found.get(index).map(|path| path.as_str().to_owned());
            let constraint = "memcg".to_owned();
            self.reason = Some(Reason { pid: None, group: false, constraint, limited: path(2), victims: path(1) });
        } else if text.contains("Killed process ") {
            return self.killed(text);
        }
        None
    }

    fn killed(&mut self, text: &str) -> Option<Fault> {
        let found = KILLED.captures(text)?;
        let pid: u32 = found.get(1)?.as_str().parse().ok()?;
        let name = found.get(2)?.as_str();
        let mut attributes = process(pid, name);
        // A kill whose report was held back must not get the reason of an earlier one.
        let meant = |reason: &&Reason| {
            let whole_host = text.starts_with("Out of memory");
            reason.pid.is_none_or(|meant| meant == pid) && !(whole_host && reason.constraint == "memcg")
        };
        let reason = self.reason.as_ref().filter(meant).cloned();
        if reason.as_ref().is_none_or(|reason| !reason.group) {
            self.reason = None;
        }
        if let Some(reason) = reason {
            let unit = |path: &Option<String>| path.as_deref().and_then(unit_of_path).map(str::to_owned);
            let unit = unit(&reason.victims).or_else(|| unit(&reason.limited));
            attributes.extend(unit.map(|unit| Attribute::new("service.name", unit)));
            attributes.push(Attribute::new("kernel.oom.constraint", reason.constraint.as_str()));
            attributes.extend(reason.limited.map(|path| Attribute::new("kernel.oom.cgroup", path)));
        } else {
            // The reason may be held back where there are many kills; this much every line says.
            let constraint = if text.starts_with("Memory cgroup") { "memcg" } else { "none" };
            attributes.push(Attribute::new("kernel.oom.constraint", constraint));
        }
        let figures = FIGURES.into_iter().filter_map(|(label, key)| {
            let (_, rest) = text.rsplit_once(label)?;
            let kilobytes: i64 = rest.split_once("kB")?.0.parse().ok()?;
            Some(Attribute::new(key, Value::Integer(kilobytes.checked_mul(1024)?)))
        });
        attributes.extend(figures);
        Some(Fault { name: OOM_KILL, subject: name.to_owned(), attributes })
    }
}

/// `constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=/a/b,task=x,pid=7,uid=0`;
/// without `oom_memcg` and with `global_oom` where the host is short of memory.
fn reason(text: &str) -> Option<Reason> {
    let found = REASON.captures(text)?;
    let path = |label: &str| {
        let (_, rest) = text.split_once(label)?;
        let path = rest.split_once(",task").map_or(rest, |(path, _)| path);
        path.starts_with('/').then(|| path.to_owned())
    };
    Some(Reason {
        pid: Some(found.get(2)?.as_str().parse().ok()?),
        group: false,
        constraint: found.get(1)?.as_str().to_ascii_lowercase(),
        limited: path(",oom_memcg="),
        victims: path(",task_memcg="),
    })
}

#[cfg(test)]
mod tests {
    use super::super::fault::testing::text;
    use super::*;

    fn faults(lines: &[&str]) -> Vec<Fault> {
        let mut oom = Oom::default();
        lines.iter().filter_map(|line| oom.line(line)).collect()
    }

    #[test]
    fn a_report_of_a_service_at_its_limit_is_joined() {
        let found = faults(&[
            "python3 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
            "memory: usage 51200kB, limit 51200kB, failcnt 151",
            "Tasks state (memory values in pages):",
            "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
            "[   4711]     0  4711    17412    12960   159744        0             0 python3",
            "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/system.slice/leak.service,\
             task_memcg=/system.slice/leak.service/worker,task=python3,pid=4711,uid=0",
            "Memory cgroup out of memory: Killed process 4711 (python3) total-vm:69648kB, anon-rss:48420kB, file-rss:3420kB, \
             shmem-rss:4kB, UID:0 pgtables:156kB oom_score_adj:0",
            "oom_reaper: reaped process 4711 (python3), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB",
        ]);
        let [fault] = &found[..] else { panic!("{found:?}") };
        assert_eq!((fault.name, fault.subject.as_str()), (OOM_KILL, "python3"));
        let expected = "process.pid=4711 process.executable.name=python3 service.name=leak.service kernel.oom.constraint=memcg \
                        kernel.oom.cgroup=/system.slice/leak.service kernel.oom.memory.virtual=71319552 \
                        kernel.oom.memory.anonymous=49582080 kernel.oom.memory.file=3502080 kernel.oom.memory.shared=4096";
        assert_eq!(text(&fault.attributes), expected);
    }

    #[test]
    fn a_host_short_of_memory_names_the_unit_of_who_was_killed() {
        let found = faults(&[
            "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,\
             task_memcg=/system.slice/mysql.service,task=my (s), pid=qld,pid=77,uid=110",
            "Out of memory: Killed process 77 (my (s), pid=qld) total-vm:100kB, anon-rss:40kB, file-rss:0kB, shmem-rss:0kB, UID:110 pgtables:9kB oom_score_adj:0",
        ]);
        let [fault] = &found[..] else { panic!("{found:?}") };
        assert_eq!(fault.subject, "my (s), pid=qld");
        assert!(
            text(&fault.attributes).contains("service.name=mysql.service kernel.oom.constraint=none kernel.oom.memory")
        );
    }

    #[test]
    fn older_kernels_and_kills_without_a_reason_are_told() {
        let found = faults(&[
            "Task in /system.slice/web.service killed as a result of limit of /system.slice/web.service",
            "Memory cgroup out of memory: Kill process 9 (web) score 999 or sacrifice child",
            "Killed process 9 (web) total-vm:10kB, anon-rss:4kB, file-rss:0kB",
        ]);
        assert_eq!(found.len(), 1);
        assert!(text(&found[0].attributes).contains("service.name=web.service kernel.oom.constraint=memcg"));
        let found = faults(&["Out of memory: Killed process 5 (x) total-vm:9999999999999999999kB, anon-rss:4kB"]);
        assert_eq!(
            text(&found[0].attributes),
            "process.pid=5 process.executable.name=x kernel.oom.constraint=none \
                                                kernel.oom.memory.anonymous=4096"
        );
    }

    #[test]
    fn a_reason_is_of_one_process_or_of_a_whole_group() {
        let reason = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a.service,\
                      task_memcg=/a.service/x,task=a,pid=7,uid=0";
        let killed = |pid| format!("Memory cgroup out of memory: Killed process {pid} (a) total-vm:1kB, anon-rss:1kB");
        let elsewhere = faults(&[reason, &killed(7), "Out of memory: Killed process 7 (a) total-vm:1kB"]);
        assert!(!text(&elsewhere[1].attributes).contains("service.name"));
        let other = faults(&[reason, &killed(8)]);
        assert!(!text(&other[0].attributes).contains("service.name"));
        let group = "Tasks in /a.service are going to be killed due to memory.oom.group set";
        let found = faults(&[reason, group, &killed(7), &killed(8)]);
        assert!(found.len() == 2 && found.iter().all(|it| text(&it.attributes).contains("service.name=a.service")));
    }

    #[test]
    fn parts_and_garbage_are_no_kill() {
        let parts = [
            "oom-kill:",
            "oom-kill:constraint=CONSTRAINT_X,pid=",
            "Killed process",
            "Killed process x (y) total-vm:",
            "Killed process 99999999999999 (y) total-vm:1kB",
            "Tasks in are going to be killed",
            "Task in ",
        ];
        assert_eq!(faults(&parts), []);
    }
}
