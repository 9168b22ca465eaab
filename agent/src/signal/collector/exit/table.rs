//! The processes whose end somebody wants to hear of.

use std::collections::BTreeMap;

use super::ending::Ending;
use super::message::Message;
use crate::signal::collector::process::identity::{Identity, Registry};
use crate::signal::collector::process::interest::Interest;

/// Most that are watched; what is beyond is counted as dropped.
const MAX_WATCHED: usize = 20_000;

/// Who is watched, kept up to date by what the connector says.
#[derive(Debug)]
pub(super) struct Table {
    registry: Registry,
    interest: Interest,
    watched: BTreeMap<u32, Watched>,
    /// For how many that the connector told of there was no room.
    dropped: u64,
}

#[derive(Debug)]
struct Watched {
    identity: Identity,
    /// Its first thread has ended and others go on.
    headless: bool,
}

/// Those that were found missing, and for how many there was no room.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    pub(super) missing: Vec<Identity>,
    pub(super) dropped: u64,
}

impl Table {
    pub(super) fn new(registry: Registry) -> Self {
        Self { registry, interest: Interest::default(), watched: BTreeMap::new(), dropped: 0 }
    }

    /// Who is wanted from now on. To be followed by a search.
    pub(super) fn want(&mut self, interest: Interest) {
        self.interest = interest;
        let interest = &self.interest;
        self.watched.retain(|_, watched| interest.takes(&watched.identity));
    }

    /// Who is watched.
    pub(super) fn identities(&self) -> impl Iterator<Item = &Identity> {
        self.watched.values().map(|watched| &watched.identity)
    }

    /// Whether the process that has this number now is the one that started then.
    pub(super) fn is_there(&self, pid: u32, started: u64) -> bool {
        self.registry.stat(pid).is_some_and(|stat| stat.started == started)
    }

    /// Nobody waits for this one any more.
    pub(super) fn remove(&mut self, pid: u32) -> Option<Identity> {
        self.watched.remove(&pid).map(|watched| watched.identity)
    }

    /// Looks who there is; with `lost`, who is not any more ended unheard. Without, their end is still to be told.
    pub(super) fn search(&mut self, lost: bool) -> std::io::Result<Found> {
        let mut found = Found::default();
        if self.interest.is_empty() {
            return Ok(found);
        }
        let pids = match self.interest.pids() {
            Some(pids) => pids.into_iter().collect(),
            None => self.registry.pids()?,
        };
        for pid in self.watched.keys().copied().filter(|_| lost).collect::<Vec<_>>() {
            let there = self.registry.stat(pid).filter(|stat| !stat.has_ended()).map(|stat| stat.started);
            let known = self.watched.get(&pid).map(|watched| watched.identity.started);
            if there.is_none() || (there != known && known != Some(UNKNOWN)) {
                found.missing.extend(self.remove(pid));
            }
        }
        for pid in pids {
            found.dropped += u64::from(!self.consider(pid));
        }
        Ok(found)
    }

    /// Takes in what the connector says; who ended by that, and how.
    pub(super) fn take(&mut self, message: Message) -> Option<(Identity, Ending)> {
        match message {
            Message::Fork { parent, child } => {
                let parent = self.watched.get(&parent)?;
                // The child is what its parent is until it executes something else.
                let started = self.registry.stat(child).map_or(UNKNOWN, |stat| stat.started);
                let identity = Identity { pid: child, started, ..parent.identity.clone() };
                if self.interest.takes(&identity) {
                    self.dropped += u64::from(!self.insert(identity));
                }
                None
            }
            Message::Exec(pid) => {
                self.remove(pid);
                self.dropped += u64::from(!self.consider(pid));
                None
            }
            Message::Exit { process, thread, ending } => self.exit(process, thread, ending),
            Message::Answer(_) | Message::Other => None,
        }
    }

    fn exit(&mut self, process: u32, thread: u32, ending: Ending) -> Option<(Identity, Ending)> {
        let watched = self.watched.get_mut(&process)?;
        if process != thread && !watched.headless {
            return None;
        }
        // The kernel tells of it once the thread counts as ended.
        let started = watched.identity.started;
        let goes_on = self.registry.stat(process).is_some_and(|stat| !stat.has_ended() && stat.started == started);
        if goes_on {
            watched.headless = true;
            return None;
        }
        self.remove(process).map(|identity| (identity, ending))
    }

    /// Watches this one if it is wanted; whether there was room.
    fn consider(&mut self, pid: u32) -> bool {
        if self.watched.contains_key(&pid) {
            return true;
        }
        let stat = self.registry.stat(pid).filter(|stat| !stat.has_ended());
        let Some(identity) = stat.and_then(|stat| self.registry.identify(pid, &stat, &self.interest)) else {
            return true;
        };
        self.insert(identity)
    }

    /// Whether there was room.
    fn insert(&mut self, identity: Identity) -> bool {
        let room = self.watched.len() < MAX_WATCHED;
        if room {
            self.watched.insert(identity.pid, Watched { identity, headless: false });
        }
        room
    }

    /// For how many there was no room since the last time.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

/// When a process started that ended before it could be looked at. None starts at the moment the host does.
const UNKNOWN: u64 = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::collector::process::plain;
    use crate::signal::collector::process::testing::{Host, selectors};

    fn table(host: &Host, attributes: &[(&str, &str)]) -> Table {
        let mut table = Table::new(Registry::new(host.proc()));
        table.want(Interest::new(&selectors(&[("process.exit", attributes)]), plain));
        assert_eq!(table.search(true).unwrap(), Found::default());
        table
    }

    fn exit(process: u32, thread: u32) -> Message {
        Message::Exit { process, thread, ending: Ending::of_status(9) }
    }

    fn pids(table: &Table) -> Vec<u32> {
        table.identities().map(|identity| identity.pid).collect()
    }

    #[test]
    fn who_is_wanted_is_known_when_it_ends() {
        let host = Host::new();
        host.process(7, "web", "S", 100).unit("web.service");
        host.process(8, "cat", "S", 100);
        let mut table = table(&host, &[("service.name", "web.service")]);
        assert_eq!(pids(&table), [7]);
        assert_eq!(table.take(exit(8, 8)), None);
        host.end(7);
        let (identity, ending) = table.take(exit(7, 7)).unwrap();
        assert_eq!((&*identity.name, identity.unit.as_deref()), ("web", Some("web.service")));
        assert_eq!(ending.signal, Some(9));
        assert_eq!(table.take(exit(7, 7)), None);
    }

    #[test]
    fn children_are_what_their_parents_are_until_they_execute() {
        let host = Host::new();
        host.process(7, "web", "S", 100);
        let mut table = table(&host, &[("subject", "web")]);
        table.take(Message::Fork { parent: 7, child: 9 });
        table.take(Message::Fork { parent: 3, child: 10 });
        table.take(Message::Fork { parent: 7, child: 11 });
        assert_eq!(pids(&table), [7, 9, 11]);
        host.process(9, "sh", "S", 200);
        table.take(Message::Exec(9));
        host.process(12, "web", "S", 300);
        table.take(Message::Exec(12));
        assert_eq!(pids(&table), [7, 11, 12]);
        // One that ended before anybody could look at it.
        assert_eq!(&*table.take(exit(11, 11)).unwrap().0.name, "web");
    }

    #[test]
    fn a_process_ends_with_its_last_thread() {
        let host = Host::new();
        host.process(7, "web", "S", 100).threads(3);
        let mut table = table(&host, &[("subject", "web")]);
        assert_eq!(table.take(exit(7, 21)), None);
        host.process(7, "web", "Z", 100).threads(2);
        assert_eq!(table.take(exit(7, 7)), None);
        host.process(7, "web", "Z", 100).threads(1);
        assert!(table.take(exit(7, 22)).is_some());
    }

    #[test]
    fn who_ended_unheard_is_found_missing() {
        let host = Host::new();
        for pid in 7..=9 {
            host.process(pid, "web", "S", 100);
        }
        let mut table = table(&host, &[("subject", "web")]);
        host.end(7);
        // The number is another's now.
        host.process(8, "web", "S", 900);
        host.process(10, "web", "S", 900);
        assert_eq!(table.search(false).unwrap().missing, []);
        let found = table.search(true).unwrap();
        assert_eq!(found.missing.iter().map(|it| (it.pid, it.started)).collect::<Vec<_>>(), [(7, 100), (8, 100)]);
        assert_eq!(pids(&table), [8, 9, 10]);
        table.want(Interest::default());
        assert_eq!(pids(&table), [0_u32; 0]);
    }
}
