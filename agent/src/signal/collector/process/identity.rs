//! Who a process is.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::stat::{self, Stat};
use super::{cgroup, interest::Interest};

/// Who a process is: it stays the same until the process ends or executes another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::signal::collector) struct Identity {
    /// Its number; used again once it has ended.
    pub(in crate::signal::collector) pid: u32,
    /// When it started, in clock ticks since boot: no later process of the same number has the same.
    pub(in crate::signal::collector) started: u64,
    /// The executable's name, as whoever wants it calls it.
    pub(in crate::signal::collector) name: Arc<str>,
    /// The name of its effective user; the number where the user has none; none where nobody asks for it.
    pub(in crate::signal::collector) owner: Option<Arc<str>>,
    /// The systemd unit it belongs to.
    pub(in crate::signal::collector) unit: Option<Arc<str>>,
}

impl Identity {
    /// The text of an attribute that metrics and events of this process have.
    pub(super) fn attribute(&self, key: &str) -> Option<String> {
        match key {
            super::NAME => Some(self.name.to_string()),
            super::OWNER => self.owner.as_deref().map(str::to_owned),
            super::PID => Some(self.pid.to_string()),
            super::START => Some(self.started.to_string()),
            super::UNIT => self.unit.as_deref().map(str::to_owned),
            _ => None,
        }
    }
}

/// Finds out who processes are.
#[derive(Debug)]
pub(in crate::signal::collector) struct Registry {
    proc: PathBuf,
    /// Whether owners are told even where nobody selects by them. Their names may come over a network.
    owners: bool,
    users: HashMap<u32, Arc<str>>,
}

impl Registry {
    /// Of the procfs mounted at `proc`.
    pub(in crate::signal::collector) fn new(proc: PathBuf) -> Self {
        Self { proc, owners: false, users: HashMap::new() }
    }

    /// The same, which tells everybody's owner.
    pub(super) fn with_owners(self) -> Self {
        Self { owners: true, ..self }
    }

    /// The directory of a process.
    pub(in crate::signal::collector) fn directory(&self, pid: u32) -> PathBuf {
        self.proc.join(pid.to_string())
    }

    /// Every process there is now.
    pub(in crate::signal::collector) fn pids(&self) -> io::Result<Vec<u32>> {
        let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
        Ok(fs::read_dir(&self.proc)?.flatten().filter_map(number).collect())
    }

    /// What a process's `stat` says; none if there is no such process.
    pub(in crate::signal::collector) fn stat(&self, pid: u32) -> Option<Stat> {
        Stat::parse(&fs::read(self.directory(pid).join("stat")).ok()?)
    }

    /// Who this process is, if that is somebody who is wanted; no more is read than that takes.
    pub(in crate::signal::collector) fn identify(
        &mut self,
        pid: u32,
        stat: &Stat,
        interest: &Interest,
    ) -> Option<Identity> {
        let directory = self.directory(pid);
        let names = names(&directory, stat);
        let name = interest.name(&names, pid)?.into();
        let unit = || {
            let text = fs::read_to_string(directory.join("cgroup")).ok()?;
            cgroup::unit(&text).map(Arc::from)
        };
        let mut identity = Identity { pid, started: stat.started, name, owner: None, unit: unit() };
        if self.owners || interest.asks_owner() {
            identity.owner = self.owner(&directory);
        }
        interest.takes(&identity).then_some(identity)
    }

    fn owner(&mut self, directory: &Path) -> Option<Arc<str>> {
        let user = stat::user(&fs::read_to_string(directory.join("status")).ok()?)?;
        let named = || match uzers::get_user_by_uid(user) {
            Some(user) => user.name().to_string_lossy().into(),
            None => user.to_string().into(),
        };
        Some(self.users.entry(user).or_insert_with(named).clone())
    }
}

/// What a process may be called: the file it executes, as OpenTelemetry has it, and the command's name, which is the one
/// people know where the file is an interpreter's or another one's link (`redis-server` is `redis-check-rdb` to Debian).
fn names(directory: &Path, stat: &Stat) -> Vec<String> {
    let file = fs::read_link(directory.join("exe")).ok();
    let file = file.as_ref().and_then(|file| file.file_name()).map(|name| name.to_string_lossy());
    let file = file.as_deref().map(|name| name.strip_suffix(" (deleted)").unwrap_or(name));
    // The kernel keeps 15 bytes of a name; the file or the first argument may know the rest.
    let whole = |name: &&str| stat.command.len() >= 15 && name.starts_with(&stat.command);
    let first = || {
        // The arguments of a process in uninterruptible sleep may take as long as its sleep to read.
        let wanted = stat.command.len() >= 15 && stat.state != 'D' && !stat.has_ended();
        let arguments = wanted.then(|| beginning(&directory.join("cmdline")).ok())??;
        let first = String::from_utf8_lossy(arguments.split(|byte| *byte == 0).next()?).into_owned();
        first.rsplit('/').next().filter(whole).map(str::to_owned)
    };
    let command = file.filter(whole).map(str::to_owned).or_else(first).unwrap_or_else(|| stat.command.clone());
    let mut names: Vec<String> = file.map(str::to_owned).into_iter().collect();
    if !names.contains(&command) {
        names.push(command);
    }
    names
}

/// The first bytes of a file: arguments may be megabytes.
fn beginning(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(4096).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Host;
    use super::*;
    use crate::signal::{Attribute, Selector};

    fn wanted(key: &str, value: &str) -> Interest {
        Interest::new([&Selector::new("process.exit", vec![Attribute::new(key, value)])], super::super::plain)
    }

    fn find(host: &Host, pid: u32, interest: &Interest) -> Option<Identity> {
        let mut registry = Registry::new(host.proc());
        let stat = registry.stat(pid)?;
        registry.identify(pid, &stat, interest)
    }

    #[test]
    fn a_process_is_known_by_its_file_and_by_its_command() {
        let host = Host::new();
        host.process(7, "redis-server", "S", 100).executable("/usr/bin/redis-check-rdb").unit("redis.service");
        let by = |key: &str, value: &str| find(&host, 7, &wanted(key, value)).map(|found| found.name.to_string());
        assert_eq!(by("process.executable.name", "redis-server").as_deref(), Some("redis-server"));
        assert_eq!(by("process.executable.name", "redis-check-*").as_deref(), Some("redis-check-rdb"));
        assert_eq!(by("service.name", "redis.service").as_deref(), Some("redis-check-rdb"));
        assert_eq!(by("subject", "redis-server").as_deref(), Some("redis-server"));
        assert_eq!(by("process.executable.name", "nginx"), None);
        assert_eq!(by("service.name", "nginx.service"), None);
    }

    #[test]
    fn a_long_name_is_made_whole() {
        let host = Host::new();
        host.process(7, "systemd-resolve", "S", 100).executable("/usr/lib/systemd/systemd-resolved (deleted)");
        host.process(8, "gunicorn-master", "S", 100).arguments("/srv/gunicorn-master-of-web\0-c\0x\0");
        let name = |pid, name: &str| find(&host, pid, &wanted("process.executable.name", name)).is_some();
        assert!(name(7, "systemd-resolved") && !name(7, "systemd-resolve"));
        assert!(name(8, "gunicorn-master-of-web"));
    }

    #[test]
    fn the_owner_is_the_effective_user() {
        let host = Host::new();
        host.process(7, "nginx", "S", 100).status("Uid:\t0\t4294967000\t0\t0\n");
        host.process(8, "nginx", "S", 100).status("Uid:\t7\t0\t0\t0\n");
        let nobody = find(&host, 7, &wanted("process.owner", "4294967000")).unwrap();
        assert_eq!(nobody.owner.as_deref(), Some("4294967000"));
        assert!(find(&host, 7, &wanted("process.owner", "root")).is_none());
        assert!(find(&host, 8, &wanted("process.owner", "root")).is_some());
    }
}
