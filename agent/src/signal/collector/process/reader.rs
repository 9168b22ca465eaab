//! Reads the processes that somebody wants, and finds them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::identity::{Identity, Registry};
use super::interest::Interest;
use super::metric::{Metric, Wanted};
use super::restarts::{self, Restarts};
use super::stat::{self, Stat};
use super::stuck::Turn;
use super::watched::{Look, Moment, Watched};
use super::{STATE, labelled};
use crate::signal::{Demand, Sample};

/// Most series of processes: 5,000 processes with all metrics. What is beyond is counted as dropped.
const MAX_SERIES: usize = 40_000;
/// Searches after which everybody is asked anew who they are: a process may be moved to another unit's cgroup.
const FORGET_EVERY: u32 = 12;

/// What one reading gives.
#[derive(Debug, Default)]
pub struct Reading {
    /// What they use.
    pub samples: Vec<Sample>,
    /// Processes that are stuck, or no more.
    pub(super) turns: Vec<(Identity, Report)>,
    /// Series for which there was no room.
    pub(super) dropped: u64,
    /// Why something could not be read.
    pub(super) failure: Option<String>,
}

/// What is told of a process that is stuck.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Report {
    pub(super) turn: Turn,
    pub(super) parent: u32,
    /// How it is now.
    pub(super) state: &'static str,
}

/// The processes that somebody wants, as they are read: found by [`search`](Self::search), then read one by one.
#[derive(Debug)]
pub struct Reader {
    proc: PathBuf,
    registry: Registry,
    wanted: Wanted,
    states: Interest,
    all: Interest,
    watched: BTreeMap<u32, Watched>,
    /// The room that those take.
    weight: usize,
    restarts: Restarts,
    /// Who nobody wants, by number: when it started and how it is called.
    others: HashMap<u32, (u64, String)>,
    searches: u32,
    /// Most files that are kept open, and how many are.
    room: usize,
    kept: usize,
    moment: Moment,
    max_series: usize,
}

impl Reader {
    /// Of the procfs mounted at `proc`; nobody is wanted yet.
    pub fn new(proc: PathBuf) -> Self {
        // Half of the descriptors are left to the rest of the agent.
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let sized = rustix::fs::statfs(&proc).is_ok_and(|it| it.f_type == rustix::fs::PROC_SUPER_MAGIC);
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let page = rustix::param::page_size() as f64;
        Self {
            registry: Registry::new(proc.clone()).with_owners(),
            proc,
            wanted: Wanted::default(),
            states: Interest::default(),
            all: Interest::default(),
            watched: BTreeMap::new(),
            weight: 0,
            restarts: Restarts::default(),
            others: HashMap::new(),
            searches: 0,
            room: usize::try_from(limit / 2).unwrap_or(usize::MAX),
            kept: 0,
            moment: Moment { now: Duration::ZERO, uptime: None, ticks, page, sized },
            max_series: MAX_SERIES,
        }
    }

    /// What is wanted from now on; whether that is anything.
    pub fn want(&mut self, demand: &Demand) -> bool {
        self.wanted = Wanted::of(demand);
        self.states = Interest::new(demand.events(STATE), labelled);
        self.all = Interest::new(self.wanted.selectors(), labelled).and(self.states.clone());
        self.restarts.want(self.wanted.restarts().to_vec());
        self.others.clear();
        !self.all.is_empty()
    }

    /// Searches for processes that are wanted; how many there was no room for.
    pub fn search(&mut self) -> io::Result<u64> {
        let pids: BTreeSet<u32> = match self.all.pids() {
            Some(pids) => {
                fs::metadata(&self.proc)?;
                pids
            }
            None => self.registry.pids()?.into_iter().collect(),
        };
        self.searches = self.searches.wrapping_add(1);
        if self.searches.is_multiple_of(FORGET_EVERY) {
            self.others.clear();
        }
        self.others.retain(|pid, _| pids.contains(pid));
        Ok(pids.into_iter().map(|pid| self.consider(pid)).sum())
    }

    /// Looks who this process is, and watches it if it is wanted; how many series there was no room for.
    pub(super) fn consider(&mut self, pid: u32) -> u64 {
        if self.watched.contains_key(&pid) {
            return 0;
        }
        let Some(stat) = self.registry.stat(pid) else { return 0 };
        if self.others.get(&pid).is_some_and(|(started, name)| *started == stat.started && *name == stat.command) {
            return 0;
        }
        self.admit(pid, &stat)
    }

    fn admit(&mut self, pid: u32, stat: &Stat) -> u64 {
        let found = self.registry.identify(pid, stat, &self.all).map(|identity| {
            let directory = self.registry.directory(pid);
            let mut watched = Watched::new(identity, stat, directory);
            watched.series = self.wanted.series(&watched.identity);
            watched.stateful = self.states.takes(&watched.identity);
            watched
        });
        let Some(watched) = found.filter(|watched| self.is_wanted(watched)) else {
            self.others.insert(pid, (stat.started, stat.command.clone()));
            return 0;
        };
        let weight = watched.weight();
        if self.weight + weight > self.max_series {
            return weight as u64;
        }
        self.weight += weight;
        self.watched.insert(pid, watched);
        0
    }

    /// Whether anything that is told of it is wanted.
    fn is_wanted(&self, watched: &Watched) -> bool {
        watched.stateful || !watched.series.is_empty() || self.restarts.counts(&watched.identity)
    }

    /// Reads everybody who is watched.
    pub fn read(&mut self, now: Duration) -> Reading {
        let mut reading = Reading::default();
        let moment = Moment { now, uptime: self.uptime(&mut reading), ..self.moment };
        let mut buffer = [0; 2048];
        let (mut gone, mut changed) = (Vec::new(), Vec::new());
        let mut failures = 0_usize;
        for (pid, watched) in &mut self.watched {
            let held = watched.holds_file();
            let look = watched.look(held || self.kept < self.room, &mut buffer);
            self.kept += usize::from(watched.holds_file() && !held);
            match look {
                Look::There(stat) => {
                    if let Some(turn) = watched.stuck(&stat, now) {
                        let report = Report { turn, parent: stat.parent, state: state(&stat) };
                        reading.turns.push((watched.identity.clone(), report));
                    }
                    if stat.has_ended() {
                        if watched.counted.replace(false) == Some(true) {
                            self.restarts.ended(&restarts::group(&watched.identity), now);
                        }
                        continue;
                    }
                    if let Err(error) = watched.sample(&stat, &moment, &mut reading.samples) {
                        failures += 1;
                        reading.failure = Some(format!("of process {pid} ({}): {error}", watched.identity.name));
                    }
                }
                Look::Gone => gone.push(*pid),
                Look::Changed(stat) => changed.push((*pid, stat)),
            }
        }
        if failures > 1 {
            reading.failure = reading.failure.map(|last| format!("{failures} processes not wholly; {last}"));
        }
        // Whoever ended makes room before others come, and whoever came and ended at once is counted for both.
        let ended: Vec<u32> = gone.iter().copied().chain(changed.iter().map(|(pid, _)| *pid)).collect();
        self.count_out(&ended, now);
        self.count_in();
        self.count_out(&ended, now);
        for pid in gone {
            self.remove(pid, "gone", now, &mut reading);
            // Its number may be that of a new process already.
            reading.dropped += self.consider(pid);
        }
        for (pid, stat) in changed {
            self.remove(pid, state(&stat), now, &mut reading);
            reading.dropped += self.admit(pid, &stat);
        }
        self.count_in();
        reading.samples.extend(self.restarts.samples());
        reading
    }

    /// Counts those who have come. Whose parent is of the same name and unit is a worker of it, and no more.
    fn count_in(&mut self) {
        if self.restarts.is_idle() {
            return;
        }
        let new: Vec<u32> = self.watched.iter().filter(|(_, it)| it.counted.is_none()).map(|(pid, _)| *pid).collect();
        for pid in new {
            let Some(watched) = self.watched.get(&pid) else { continue };
            let group = restarts::group(&watched.identity);
            let parent = self.watched.get(&watched.parent).filter(|_| watched.parent != pid);
            let is_worker = parent.is_some_and(|parent| restarts::group(&parent.identity) == group);
            if !is_worker {
                self.restarts.came(&watched.identity);
            }
            self.watched.entry(pid).and_modify(|watched| watched.counted = Some(!is_worker));
        }
    }

    /// Counts those of them who have ended.
    fn count_out(&mut self, ended: &[u32], now: Duration) {
        for pid in ended {
            if let Some(watched) = self.watched.get_mut(pid)
                && watched.counted == Some(true)
            {
                watched.counted = Some(false);
                self.restarts.ended(&restarts::group(&watched.identity), now);
            }
        }
    }

    /// Nobody who is not wanted is watched any more, and of the others what is wanted now.
    pub(super) fn reconsider(&mut self, now: Duration) -> Reading {
        let mut reading = Reading::default();
        let mut unwanted = Vec::new();
        for (pid, watched) in &mut self.watched {
            watched.series = self.wanted.series(&watched.identity);
            watched.stateful = self.states.takes(&watched.identity);
            // Those of whom others ask under another name are found again by the search.
            let counts = self.restarts.counts(&watched.identity);
            if !self.all.takes(&watched.identity) || !(watched.stateful || counts || !watched.series.is_empty()) {
                unwanted.push(*pid);
            }
            if !self.restarts.knows(&restarts::group(&watched.identity)) {
                watched.counted = None;
            }
        }
        self.weight = self.watched.values().map(Watched::weight).sum();
        for pid in unwanted {
            self.remove(pid, "unknown", now, &mut reading);
        }
        reading
    }

    fn remove(&mut self, pid: u32, state: &'static str, now: Duration, reading: &mut Reading) {
        let Some(mut watched) = self.watched.remove(&pid) else { return };
        self.kept -= usize::from(watched.holds_file());
        self.weight -= watched.weight();
        if let Some(turn) = watched.stuck.end(now) {
            reading.turns.push((watched.identity, Report { turn, parent: watched.parent, state }));
        }
    }

    fn uptime(&self, reading: &mut Reading) -> Option<f64> {
        let asked = |watched: &Watched| watched.series.iter().any(|(metric, _)| *metric == Metric::Uptime);
        if !self.watched.values().any(asked) {
            return None;
        }
        let path = self.proc.join("uptime");
        match fs::read_to_string(&path) {
            Ok(text) => stat::uptime(&text),
            Err(error) => {
                reading.failure = Some(format!("{}: {error}", path.display()));
                None
            }
        }
    }

    /// How many processes are watched.
    pub(super) fn len(&self) -> usize {
        self.watched.len()
    }
}

/// A state in OpenTelemetry's words.
fn state(stat: &Stat) -> &'static str {
    match stat.state {
        _ if stat.has_ended() => "zombie",
        'R' => "running",
        'D' => "disk-sleep",
        'T' | 't' => "stopped",
        'S' | 'I' | 'Z' => "sleeping",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::super::stuck::Kind;
    use super::super::testing::{Host, demand};
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn reader(host: &Host, metrics: &[(&str, &[(&str, &str)])], states: &[&[(&str, &str)]]) -> Reader {
        let states: Vec<_> = states.iter().map(|attributes| (STATE, *attributes)).collect();
        let mut reader = Reader::new(host.proc());
        assert!(reader.want(&demand(metrics, &states)));
        reader.search().unwrap();
        reader
    }

    /// `metric of name[pid]`: value.
    fn values(reading: &Reading) -> BTreeMap<String, f64> {
        let text = |sample: &Sample, key: &str| {
            sample.series.attributes.iter().find(|(have, _)| *have == *key).map_or("-", |(_, value)| value).to_owned()
        };
        let name = |sample: &Sample| {
            let (name, pid) = (text(sample, "process.executable.name"), text(sample, "process.pid"));
            format!("{} of {name}[{pid}]", sample.series.metric)
        };
        reading.samples.iter().map(|sample| (name(sample), sample.value)).collect()
    }

    const NGINX: &[(&str, &str)] = &[("process.executable.name", "nginx")];

    #[test]
    fn only_what_is_wanted_of_those_who_are_wanted_is_read() {
        let host = Host::new();
        host.process(7, "nginx", "S", 100).cpu(50).resident(10).unit("nginx.service").status("Uid:\t0\t0\t0\t0\n");
        host.process(8, "cat", "S", 100);
        let cpu = ("process.cpu.utilization", NGINX);
        let memory = ("process.memory.usage", &[("service.name", "nginx.*"), ("process.owner", "root")][..]);
        let mut reader = reader(&host, &[cpu, memory], &[]);
        let page = rustix::param::page_size() as f64;
        let memory = ("process.memory.usage of nginx[7]".to_owned(), 10.0 * page);
        assert_eq!(values(&reader.read(at(1))), BTreeMap::from([memory.clone()]));
        host.process(7, "nginx", "S", 100).cpu(150).resident(10);
        let cpu = ("process.cpu.utilization of nginx[7]".to_owned(), 0.5);
        assert_eq!(values(&reader.read(at(3))), BTreeMap::from([memory, cpu]));
    }

    #[test]
    fn every_metric_of_a_process_is_read() {
        let host = Host::new();
        let process = host.process(7, "nginx", "S", 1000).resident(3).threads(4).files(5);
        process.put("limits", "Max open files            1024   4096   files\n");
        process.put("smaps_rollup", "Pss:   8 kB\n");
        host.put("uptime", "25.5 9.0\n");
        let mut reader = reader(&host, &[("process.*", NGINX)], &[]);
        let read = values(&reader.read(at(1)));
        let of = |metric: &str| read.get(&format!("{metric} of nginx[7]")).copied();
        assert_eq!(of("process.memory.pss"), Some(8192.0));
        assert_eq!(of("process.unix.file_descriptor.count"), Some(5.0));
        assert_eq!(of("process.unix.file_descriptor.limit"), Some(1024.0));
        assert_eq!((of("process.thread.count"), of("process.uptime")), (Some(4.0), Some(15.5)));
        assert_eq!(read.get("process.restarts of nginx[-]"), Some(&0.0));
        assert_eq!(read.len(), 7);
    }

    #[test]
    fn what_is_read_and_written_is_told_by_direction_to_whoever_asks() {
        let host = Host::new();
        let process = host.process(7, "nginx", "S", 100);
        let io = |reader: &mut Reader| {
            let reading = reader.read(at(1));
            let direction = |sample: &Sample| {
                assert_eq!(sample.series.metric, "process.disk.io");
                let it = sample.series.attributes.iter().find(|(key, _)| *key == "disk.io.direction");
                (it.unwrap().1.to_string(), sample.value)
            };
            (reading.samples.iter().map(direction).collect::<Vec<_>>(), reading.failure)
        };
        let written = [("process.executable.name", "nginx"), ("disk.io.direction", "write")];
        let mut both = reader(&host, &[("process.disk.io", NGINX)], &[]);
        // Without the kernel's accounting there is no such file, and with garbage in it no number.
        assert_eq!(io(&mut both), (vec![], None));
        process.put("io", "rchar: 9\nread_bytes: many\nwrite_bytes: 1\n");
        assert_eq!(io(&mut both), (vec![], None));
        process.put("io", "rchar: 9\nwchar: 9\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 7\n");
        assert_eq!(io(&mut both), (vec![("read".into(), 4096.0), ("write".into(), 8192.0)], None));
        let mut one = reader(&host, &[("process.disk.io", &written)], &[]);
        assert_eq!(io(&mut one), (vec![("write".into(), 8192.0)], None));
        // Whoever does not ask does not read it: here that would fail.
        std::fs::remove_file(process.directory.join("io")).unwrap();
        std::fs::create_dir(process.directory.join("io")).unwrap();
        assert!(io(&mut one).1.unwrap_or_default().contains("process 7 (nginx)"));
        let mut other = reader(&host, &[("process.thread.count", NGINX)], &[]);
        assert_eq!(other.read(at(1)).failure, None);
    }

    /// How often it was replaced, by the name and unit that whoever asks gives.
    fn restarts(reading: &Reading) -> Vec<f64> {
        reading.samples.iter().filter(|it| it.series.metric == "process.restarts").map(|it| it.value).collect()
    }

    #[test]
    fn one_that_takes_the_place_of_another_is_a_restart() {
        let host = Host::new();
        let nginx = |pid, started| drop(host.process(pid, "nginx", "S", started).unit("web.service"));
        nginx(7, 100);
        let by_unit = [("service.name", "web.service")];
        let mut reader = reader(&host, &[("process.restarts", &by_unit)], &[]);
        let mut look = |second| {
            reader.search().unwrap();
            restarts(&reader.read(at(second)))
        };
        assert_eq!(look(1), [0.0]);
        // The next one is seen at the same look as the end of the first, under another number…
        host.end(7);
        nginx(8, 200);
        assert_eq!(look(2), [1.0]);
        // …or a while after it…
        host.end(8);
        assert_eq!(look(3), [1.0], "it is down, and known still");
        nginx(9, 300);
        assert_eq!(look(4), [2.0]);
        // …or under the same number. One whose parent has not asked after it has ended all the same.
        nginx(9, 400);
        assert_eq!(look(5), [3.0]);
        host.process(9, "nginx", "Z", 400).unit("web.service");
        nginx(10, 500);
        assert_eq!(look(6), [4.0]);
        host.end(9);
        assert_eq!(look(7), [4.0], "it counts once");
        // One more beside it takes nobody's place.
        nginx(11, 600);
        assert_eq!(look(8), [4.0]);
    }

    #[test]
    fn workers_and_others_are_no_restarts() {
        let host = Host::new();
        host.process(7, "nginx", "S", 100).unit("web.service");
        host.process(8, "nginx", "S", 100).parent(7).unit("web.service");
        let mut reader = reader(&host, &[("process.restarts", NGINX), ("process.thread.count", NGINX)], &[]);
        let mut look = |second| {
            reader.search().unwrap();
            restarts(&reader.read(at(second)))
        };
        assert_eq!(look(1), [0.0]);
        for pid in 9..20 {
            host.end(pid - 1);
            host.process(pid, "nginx", "S", 200).parent(7).unit("web.service");
            assert_eq!(look(u64::from(pid)), [0.0], "{pid}");
        }
        // Another unit's is counted by itself.
        host.process(30, "nginx", "S", 300).unit("shop.service");
        assert_eq!(look(30), [0.0, 0.0]);
        host.end(30);
        host.process(31, "nginx", "S", 400).unit("shop.service");
        host.process(32, "cat", "S", 400).unit("web.service");
        assert_eq!(look(31), [1.0, 0.0]);
        // All of them together are one that is replaced.
        host.end(7);
        host.end(19);
        host.process(40, "nginx", "S", 500).unit("web.service");
        host.process(41, "nginx", "S", 500).parent(40).unit("web.service");
        assert_eq!(look(40), [1.0, 1.0]);
    }

    #[test]
    fn restarts_are_counted_from_when_they_are_wanted() {
        let host = Host::new();
        host.process(7, "nginx", "S", 100);
        let mut reader = reader(&host, &[("process.thread.count", NGINX)], &[]);
        assert_eq!(restarts(&reader.read(at(1))), [0.0; 0]);
        let both = [("process.thread.count", NGINX), ("process.restarts", NGINX)];
        reader.want(&demand(&both, &[]));
        reader.reconsider(at(2));
        assert_eq!(restarts(&reader.read(at(2))), [0.0]);
        host.process(7, "nginx", "S", 200);
        assert_eq!(restarts(&reader.read(at(3))), [1.0]);
        // A demand that has nothing to do with it changes nothing.
        reader.want(&demand(&both[1..], &[]));
        reader.reconsider(at(4));
        assert_eq!(restarts(&reader.read(at(4))), [1.0]);
        // Nobody is told of one process by number how often its name was replaced.
        assert!(reader.want(&demand(&[("process.restarts", &[("process.pid", "7")])], &[])));
        reader.reconsider(at(5));
        reader.search().unwrap();
        assert_eq!((restarts(&reader.read(at(5))), reader.len()), (vec![], 0));
    }

    #[test]
    fn a_number_used_again_continues_no_series() {
        let host = Host::new();
        host.process(7, "nginx", "S", 100).cpu(1000);
        let mut reader = reader(&host, &[("process.cpu.utilization", NGINX)], &[]);
        reader.read(at(1));
        host.process(7, "nginx", "S", 999).cpu(2000);
        // Found anew in the same reading, and without a reading to compare it with.
        assert!(reader.read(at(2)).samples.is_empty());
        assert!(reader.read(at(3)).samples.is_empty());
        host.process(7, "nginx", "S", 999).cpu(2100);
        assert_eq!(reader.read(at(4)).samples.len(), 1);
        host.process(7, "cat", "S", 5000);
        assert!(reader.read(at(5)).samples.is_empty());
        assert_eq!(reader.len(), 0);
    }

    #[test]
    fn who_executes_another_program_is_another() {
        let host = Host::new();
        host.process(7, "sh", "S", 100);
        let mut reader = reader(&host, &[("process.thread.count", NGINX)], &[]);
        assert_eq!(reader.len(), 0);
        host.process(7, "nginx", "S", 100);
        reader.search().unwrap();
        assert_eq!(values(&reader.read(at(1))).len(), 1);
        host.process(7, "sh", "S", 100);
        assert_eq!(values(&reader.read(at(2))).len(), 0);
        assert_eq!(reader.len(), 0);
    }

    #[test]
    fn numbers_are_read_without_a_search() {
        let host = Host::new();
        host.process(7, "nginx", "S", 100);
        host.process(8, "nginx", "S", 100);
        let mut reader = reader(&host, &[("process.thread.count", &[("process.pid", "8")])], &[]);
        assert_eq!(values(&reader.read(at(1))).keys().collect::<Vec<_>>(), ["process.thread.count of nginx[8]"]);
        assert!(reader.others.is_empty());
    }

    #[test]
    fn everybody_is_read_only_where_somebody_wants_everybody() {
        let host = Host::new();
        for pid in 1..=20 {
            host.process(pid, &format!("p{pid}"), "S", 100);
        }
        let mut reader = reader(&host, &[("process.thread.count", &[])], &[]);
        assert_eq!(reader.read(at(1)).samples.len(), 20);
    }

    #[test]
    fn there_is_room_for_so_many_and_the_others_are_counted() {
        let host = Host::new();
        for pid in 1..=20 {
            host.process(pid, "nginx", "S", 100);
        }
        let mut reader = Reader::new(host.proc());
        reader.max_series = 15;
        reader.room = 4;
        reader.want(&demand(&[("process.thread.count", NGINX), ("process.memory.usage", NGINX)], &[]));
        assert_eq!(reader.search().unwrap(), 26);
        assert_eq!((reader.read(at(1)).samples.len(), reader.kept), (14, 4));
        for pid in 1..=7 {
            host.end(pid);
        }
        assert_eq!((reader.read(at(2)).samples.len(), reader.kept), (0, 0));
        assert_eq!(reader.search().unwrap(), 12);
        assert_eq!(reader.read(at(3)).samples.len(), 14);
    }

    #[test]
    fn who_is_stuck_is_told_until_it_is_over() {
        let host = Host::new();
        host.process(7, "dd", "D", 100)
            .parent(3)
            .status("voluntary_ctxt_switches:\t9\nnonvoluntary_ctxt_switches:\t1\n");
        host.process(8, "cc", "Z", 100).parent(4);
        let mut reader = reader(&host, &[], &[&[("subject", "dd*")], &[("process.executable.name", "cc")]]);
        assert!(reader.read(at(1)).turns.is_empty());
        let turns = |reading: Reading| {
            let turns = reading.turns.into_iter();
            turns.map(|(who, it)| (who.pid, it.parent, it.turn, it.state)).collect::<Vec<_>>()
        };
        let told = turns(reader.read(at(7)));
        let disk = (7, 3, Turn::Lasts(Kind::DiskSleep, at(6)), "disk-sleep");
        assert_eq!(told, [disk, (8, 4, Turn::Lasts(Kind::Zombie, at(6)), "zombie")]);
        host.process(7, "dd", "R", 100).parent(3);
        host.end(8);
        let over = turns(reader.read(at(8)));
        let disk = (7, 3, Turn::Over(Kind::DiskSleep, at(7)), "running");
        assert_eq!(over, [disk, (8, 4, Turn::Over(Kind::Zombie, at(7)), "gone")]);
    }

    #[test]
    fn another_demand_keeps_who_is_still_wanted() {
        let host = Host::new();
        host.process(7, "nginx", "S", 100).cpu(100);
        host.process(8, "cat", "Z", 100);
        let both: [(&str, &[(&str, &str)]); 1] = [("process.cpu.utilization", &[])];
        let mut reader = reader(&host, &both, &[&[]]);
        reader.read(at(1));
        assert_eq!(reader.read(at(9)).turns.len(), 1);
        assert!(reader.want(&demand(&[("process.cpu.utilization", NGINX)], &[])));
        let news = reader.reconsider(at(9));
        assert_eq!((news.turns.len(), reader.len()), (1, 1));
        assert_eq!(reader.read(at(10)).samples.len(), 1, "its last reading was kept");
        assert!(!reader.want(&demand(&[("system.cpu.utilization", &[])], &[])));
        reader.reconsider(at(11));
        assert_eq!(reader.len(), 0);
    }

    #[test]
    fn what_is_no_procfs_is_an_error_and_garbage_is_nobody() {
        let host = Host::new();
        let mut reader = Reader::new(host.proc().join("nowhere"));
        reader.want(&demand(&[("process.thread.count", &[("process.pid", "8")])], &[]));
        reader.search().unwrap_err();
        reader.want(&demand(&[("process.thread.count", &[])], &[]));
        reader.search().unwrap_err();

        host.process(7, "nginx", "S", 100).put("stat", &"(".repeat(5000));
        host.process(8, "nginx", "S", 100).put("stat", "");
        host.process(9, "nginx", "S", 100);
        let mut reader = Reader::new(host.proc());
        reader.want(&demand(&[("process.thread.count", &[])], &[]));
        reader.search().unwrap();
        assert_eq!(reader.len(), 1);
        host.process(9, "nginx", "S", 100).put("stat", "9 (nginx) S");
        assert!(reader.read(at(1)).samples.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_said_and_the_rest_is_read() {
        let host = Host::new();
        let process = host.process(7, "nginx", "S", 100);
        std::fs::create_dir(process.directory.join("limits")).unwrap();
        let mut reader = reader(&host, &[("process.*", NGINX)], &[]);
        let reading = reader.read(at(1));
        assert!(reading.failure.as_deref().unwrap_or_default().contains("process 7 (nginx)"), "{reading:?}");
        assert!(values(&reading).contains_key("process.thread.count of nginx[7]"));
    }
}
