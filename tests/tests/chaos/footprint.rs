//! What the agent holds of its host.

use std::fs;

use rustix::process::Pid;
use salve_tests::agent::Agent;

/// Anonymous memory that may come and go without anybody leaking: the allocator's arenas, and SQLite's pages.
const SLACK: u64 = 6 * 1024;

/// What a process holds.
#[derive(Debug, Clone)]
pub(crate) struct Footprint {
    /// Resident memory in KiB.
    resident: u64,
    /// Of which no file stands behind, in KiB.
    anonymous: u64,
    /// Open descriptors.
    descriptors: usize,
    /// Directories and files that inotify watches for it.
    watches: usize,
    threads: u64,
    /// Mappings of the native code of plugins.
    mapped: usize,
    /// Its children but for its services: the compiler, and programs under way.
    children: Vec<Pid>,
}

impl Footprint {
    /// Of an agent that has these services.
    pub(crate) fn of(agent: &Agent, services: &[Pid]) -> Footprint {
        let process = format!("/proc/{}", agent.pid());
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let number = |key: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
        };
        let maps = fs::read_to_string(format!("{process}/maps")).unwrap();
        let state = agent.home().state().display().to_string();
        let native = |line: &&str| line.contains(&state) && !line.contains(".db");
        let descriptions = fs::read_dir(format!("{process}/fdinfo")).unwrap().flatten();
        let descriptions: Vec<String> = descriptions.filter_map(|it| fs::read_to_string(it.path()).ok()).collect();
        let watches = descriptions.iter().flat_map(|it| it.lines()).filter(|line| line.starts_with("inotify wd:"));
        let tasks = fs::read_dir(format!("{process}/task")).unwrap().flatten();
        let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let children: String = children.collect();
        let children = children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?));
        Footprint {
            resident: number("VmRSS"),
            anonymous: number("RssAnon"),
            descriptors: descriptions.len(),
            watches: watches.count(),
            threads: number("Threads"),
            mapped: maps.lines().filter(native).count(),
            children: children.filter(|pid| !services.contains(pid)).collect(),
        }
    }

    /// What is certainly still under way.
    pub(crate) fn unsettled(&self) -> Option<String> {
        (!self.children.is_empty()).then(|| format!("children: {:?}", self.children))
    }
}

/// What must not be exceeded.
#[derive(Debug)]
pub(crate) struct Bound(Footprint);

impl From<Footprint> for Bound {
    fn from(before: Footprint) -> Bound {
        Bound(before)
    }
}

impl Bound {
    /// What is more than before, if anything.
    pub(crate) fn exceeded(&self, now: &Footprint) -> Option<String> {
        let Bound(before) = self;
        let held = [
            ("KiB of resident memory", now.resident, before.resident + SLACK),
            ("KiB of anonymous memory", now.anonymous, before.anonymous + SLACK),
            ("descriptors", now.descriptors as u64, before.descriptors as u64),
            ("watches", now.watches as u64, before.watches as u64),
            ("threads", now.threads, before.threads),
            ("mappings of plugins", now.mapped as u64, before.mapped as u64),
        ];
        let more = held.into_iter().find(|(_, now, most)| now > most);
        now.unsettled().or(more.map(|(what, now, most)| format!("{now} {what}, {most} before or allowed")))
    }
}
