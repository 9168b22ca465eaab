//! A procfs made of plain files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::signal::{Attribute, Demand, Selector};

/// A host that is nothing but its `/proc`.
pub(in crate::signal::collector) struct Host {
    pub(in crate::signal::collector) root: TempDir,
}

/// One of its processes.
pub(in crate::signal::collector) struct Process {
    pub(in crate::signal::collector) directory: PathBuf,
}

impl Host {
    pub(in crate::signal::collector) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("proc")).unwrap();
        Self { root }
    }

    pub(in crate::signal::collector) fn proc(&self) -> PathBuf {
        self.root.path().join("proc")
    }

    pub(in crate::signal::collector) fn put(&self, file: &str, text: &str) {
        fs::write(self.proc().join(file), text).unwrap();
    }

    /// A process, or what it is from now on.
    pub(in crate::signal::collector) fn process(&self, pid: u32, name: &str, state: &str, started: u64) -> Process {
        let directory = self.proc().join(pid.to_string());
        fs::create_dir_all(&directory).unwrap();
        let stat = format!("{pid} ({name}) {state} 1 7 7 0 -1 0 1 2 3 4 0 0 7 8 20 0 1 0 {started} 1 0 9 9");
        fs::write(directory.join("stat"), stat).unwrap();
        Process { directory }
    }

    /// A process whose `stat` was a pipe is one like any other from now on.
    pub(in crate::signal::collector) fn end_pipe(&self, pid: u32) {
        fs::remove_file(self.proc().join(pid.to_string()).join("stat")).unwrap();
        self.process(pid, "nginx", "S", 100);
    }

    pub(in crate::signal::collector) fn end(&self, pid: u32) {
        // What is open of it gives nothing any more, as in procfs.
        let directory = self.proc().join(pid.to_string());
        fs::write(directory.join("stat"), "").unwrap();
        fs::remove_dir_all(directory).unwrap();
    }
}

impl Process {
    fn field(self, number: usize, value: u64) -> Self {
        let path = self.directory.join("stat");
        let text = fs::read_to_string(&path).unwrap();
        let (head, tail) = text.rsplit_once(") ").unwrap();
        let mut fields: Vec<String> = tail.split(' ').map(str::to_owned).collect();
        fields[number - 3] = value.to_string();
        fs::write(path, format!("{head}) {}", fields.join(" "))).unwrap();
        self
    }

    pub(in crate::signal::collector) fn parent(self, pid: u64) -> Self {
        self.field(4, pid)
    }

    pub(in crate::signal::collector) fn cpu(self, ticks: u64) -> Self {
        self.field(14, ticks)
    }

    pub(in crate::signal::collector) fn threads(self, count: u64) -> Self {
        self.field(20, count)
    }

    pub(in crate::signal::collector) fn resident(self, pages: u64) -> Self {
        self.field(24, pages)
    }

    pub(in crate::signal::collector) fn put(&self, file: &str, text: &str) {
        fs::write(self.directory.join(file), text).unwrap();
    }

    pub(in crate::signal::collector) fn unit(self, unit: &str) -> Self {
        self.put("cgroup", &format!("0::/system.slice/{unit}\n"));
        self
    }

    pub(in crate::signal::collector) fn status(self, text: &str) -> Self {
        self.put("status", text);
        self
    }

    pub(in crate::signal::collector) fn arguments(self, text: &str) -> Self {
        self.put("cmdline", text);
        self
    }

    pub(in crate::signal::collector) fn executable(self, path: &str) -> Self {
        symlink(path, self.directory.join("exe")).unwrap();
        self
    }

    pub(in crate::signal::collector) fn files(self, count: usize) -> Self {
        fs::create_dir(self.directory.join("fd")).unwrap();
        (0..count).for_each(|number| self.put(&format!("fd/{number}"), ""));
        self
    }
}

/// A selector: a name, and attributes with texts.
pub(in crate::signal::collector) type Spec<'a> = (&'a str, &'a [(&'a str, &'a str)]);

/// The demand of these selectors of metrics and of events.
pub(in crate::signal::collector) fn demand(metrics: &[Spec<'_>], events: &[Spec<'_>]) -> Demand {
    Demand::new(&selectors(metrics), &selectors(events))
}

/// These selectors.
pub(in crate::signal::collector) fn selectors(specs: &[Spec<'_>]) -> Vec<Selector> {
    let attributes = |texts: &[(&str, &str)]| texts.iter().map(|(key, text)| Attribute::new(*key, *text)).collect();
    specs.iter().map(|(name, texts)| Selector::new(name, attributes(texts))).collect()
}
