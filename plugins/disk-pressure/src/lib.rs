//! Sees when a file system will be full, and cleans up what may be cleaned up before it is.
//!
//! **Sees** `system.filesystem.utilization` and `system.filesystem.inodes.utilization` of each mount point, whether it is
//! read-only, and `kernel.filesystem_remount`.
//! **Decides** for bytes and for inodes: `filesystem.full` (`filesystem.inodes-full`) above a share, with hysteresis;
//! `filesystem.filling` (`filesystem.inodes-filling`, warnings) when the trend of the last hours leads there within the
//! `horizon`. A file system that was writable and no longer is has a fault of its own, `filesystem.read-only`; one that
//! never was is left alone. Targets are mount points. Trends outlast a restart of the plugin.
//! **Does** what `clean` lists, in that order, one step for each attempt, and only steps that make room on the file system in
//! need; stops as soon as that is safe again: below `clear`, or not full within the horizon at the rate at which it was
//! filling. After the last step, and always for a read-only one, a person is told, with the largest files under `look`.
//!
//! ```toml
//! [config]
//! mounts = ["*"]              # the defaults, but for `clean` and `look`, which are empty
//! above = 0.9                 # full above this share…
//! clear = 0.85                # …until it is at this one…
//! for = "30s"                 # …once it has been for so long
//! horizon = "4h"              # filling: full within this time…
//! window = "2h"               # …by the trend of this time…
//! confidence = 0.95           # …when it is so sure…
//! forecast-for = "5m"         # …for so long
//! settle = "5s"
//! deadline = "1m"
//! look = ["/var/log/**"]
//! clean = [
//!     { action = "file.delete", target = "/var/log/**/*.gz", older-than = "7d", keep-newest = 2 },
//!     { action = "journal.vacuum", max = "200MiB" },
//!     { action = "command.run", target = "apt-clean", mount = "/" },
//! ]
//!
//! [grant]
//! actions = ["file.delete:/var/log/**/*.gz", "journal.vacuum:journal", "command.run:apt-clean"]
//! read = ["files:/var/log/**"]    # always needed
//! ```

mod config;
mod gauge;
mod measure;
mod mount;
mod step;
mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use salve_plugin_sdk::{Sample, log, prelude::*};

pub use config::Config;
pub use measure::{Measure, Trouble};
use mount::Mount;
pub use step::Step;

/// The kind of a fault beside those of [`Trouble::kind`].
const READ_ONLY: &str = "filesystem.read-only";
const MOUNT_POINT: &str = "system.filesystem.mountpoint";
/// What the kernel says when it gives up a file system.
const REMOUNT: &str = "kernel.filesystem_remount";

/// The most file systems that are watched: their trends take a tenth of the CPU time of a call.
const MOST: usize = 32;
/// One that was not heard of for so long, while others were, is gone.
const GONE: Duration = Duration::from_secs(300);
/// How often a fault that lasts is told again, with what it is like by then.
const AGAIN: Duration = Duration::from_secs(60);
/// How long to wait where there is nothing to do for now.
const WAIT: Duration = Duration::from_secs(5);

/// The plugin: its configuration, and what it knows of each file system.
pub struct DiskPressure {
    config: Config,
    mounts: BTreeMap<String, Mount>,
    /// Every mount point, watched or not, and when it was last heard of: to know on which one a path is.
    points: BTreeMap<String, Duration>,
}

impl Remediator for DiskPressure {
    type Config = Config;

    fn wants() -> Vec<String> {
        ["file.delete:/var/log/**/*.gz", "journal.vacuum:journal", "command.run:*"].map(String::from).to_vec()
    }

    fn configure(config: Config) -> Result<(Self, Subscription), String> {
        config.check()?;
        let metrics = [
            "system.filesystem.utilization",
            "system.filesystem.limit",
            "system.filesystem.read_only",
            "system.filesystem.inodes.utilization",
            "system.filesystem.inodes.limit",
        ];
        let subscription = metrics.into_iter().fold(Subscription::new(), Subscription::metric).event(REMOUNT);
        let mounts = Mount::all_kept(&config).filter(|mount| config.watches(&mount.point));
        let mounts = mounts.map(|mount| (mount.point.clone(), mount)).collect();
        Ok((Self { config, mounts, points: BTreeMap::new() }, subscription))
    }

    fn detect(&mut self, batch: &Batch<'_>) -> Vec<Finding> {
        let at = batch.at();
        for sample in batch.samples() {
            self.take(at, &sample);
        }
        let mut findings: Vec<Finding> =
            batch.events_named(REMOUNT).filter_map(|event| self.remounted(event)).collect();
        for mount in self.mounts.values_mut().filter(|mount| mount.seen == at) {
            let before = findings.len();
            findings.extend(tell(mount, at));
            mount.keep(at, findings.len() > before);
        }
        findings.extend(self.let_go(at));
        findings
    }

    fn diagnose(&mut self, incident: &Incident) -> Vec<Cause> {
        let point = &incident.fault.target;
        let Some((measure, _)) = Trouble::of(&incident.fault.kind) else {
            return vec![words::read_only_cause(&incident.fault)];
        };
        let mount = self.mounts.get(point);
        let growth = mount.map(|mount| words::growth_cause(mount, measure, &incident.fault.kind));
        let files = words::largest(&self.config.look, |path| self.home_of(path).as_ref() == Some(point));
        let cause = growth.unwrap_or_else(|| Cause::new(format!("nothing is known of {point}"), 0.1));
        vec![words::with_files(cause, &files)]
    }

    fn recover(&mut self, incident: &Incident) -> Recovery {
        let point = &incident.fault.target;
        let Some((measure, trouble)) = Trouble::of(&incident.fault.kind) else {
            return Recovery::escalate(format!(
                "{}; a file system that is damaged is for a person",
                incident.fault.summary
            ));
        };
        // After a restart of the plugin it takes a moment until it is known again what is mounted where.
        if !self.points.contains_key(point) {
            return Recovery::wait(WAIT);
        }
        if self.mounts.get(point).is_some_and(|mount| self.is_safe(mount, measure, trouble)) {
            return Recovery::wait(WAIT);
        }
        let steps = self.config.clean.iter().filter(|step| step.helps(measure, point, |path| self.home_of(path)));
        let plan = |step: &Step| Plan::new([step.action()]).settle(*self.config.settle).deadline(*self.config.deadline);
        let ladder = steps.map(plan).fold(Ladder::new(), |ladder, plan| ladder.then(plan));
        let recovery = ladder.escalate(|incident| self.in_vain(incident, measure)).recover(incident);
        if matches!(recovery, Recovery::Act(_))
            && let Some(mount) = self.mounts.get_mut(point)
        {
            mount.gauge_mut(measure).begin_anew(&self.config);
            mount.keep(mount.seen, true);
        }
        recovery
    }

    fn verify(&mut self, incident: &Incident) -> Verdict {
        let point = &incident.fault.target;
        let Some(mount) = self.mounts.get(point) else { return Verdict::Undecided };
        let Some((measure, trouble)) = Trouble::of(&incident.fault.kind) else {
            return match mount.read_only {
                Some(false) => Verdict::Healthy,
                Some(true) => Verdict::Unhealthy(format!("{point} is read-only")),
                None => Verdict::Undecided,
            };
        };
        let gauge = mount.gauge(measure);
        if incident.last_action_ended().is_some_and(|ended| gauge.at <= ended) || gauge.at.is_zero() {
            return Verdict::Undecided;
        }
        if self.is_safe(mount, measure, trouble) {
            Verdict::Healthy
        } else {
            Verdict::Unhealthy(words::summary(mount, measure, trouble))
        }
    }
}

impl DiskPressure {
    fn take(&mut self, at: Duration, sample: &Sample<'_>) {
        let Some(point) = sample.text(MOUNT_POINT).filter(|point| is_target(point)) else { return };
        self.points.insert(point.to_owned(), at);
        if !self.config.watches(point) {
            return;
        }
        if !self.mounts.contains_key(point) {
            if self.mounts.len() >= MOST {
                log::debug!("{point} is one file system more than are watched: name fewer in `mounts`");
                return;
            }
            self.mounts.insert(point.to_owned(), Mount::new(point, &self.config));
        }
        let Some(mount) = self.mounts.get_mut(point) else { return };
        mount.seen = at;
        if let Some(device) = sample.text("system.device")
            && mount.device != device
        {
            mount.device = device.to_owned();
        }
        let read_only = match (sample.metric, sample.text("system.filesystem.mode")) {
            ("system.filesystem.read_only", _) => Some(sample.value >= 0.5),
            (_, mode) => mode.map(|mode| mode == "ro"),
        };
        if let Some(read_only) = read_only {
            mount.read_only = Some(read_only);
            mount.was_writable |= !read_only;
        }
        match sample.metric {
            "system.filesystem.limit" => mount.limits = [Some(sample.value), mount.limit(Measure::Inodes)],
            "system.filesystem.inodes.limit" => mount.limits = [mount.limit(Measure::Bytes), Some(sample.value)],
            // The share in use is the one that counts; other states have shares of their own.
            metric if sample.text("system.filesystem.state").is_none_or(|state| state == "used") => {
                if let Some(measure) = Measure::ALL.into_iter().find(|measure| measure.metric() == metric) {
                    mount.gauge_mut(measure).push(at, sample.value, self.config.confidence);
                }
            }
            _ => {}
        }
    }

    /// The kernel has given up a file system because of an error.
    fn remounted(&mut self, event: &Event) -> Option<Finding> {
        let device = event.text("system.device").unwrap_or(&event.subject);
        let mount = self.mounts.values_mut().find(|mount| mount.point == event.subject || mount.is_of_device(device));
        let target = match mount {
            Some(mount) => {
                // The next reading tells whether somebody has made it writable again since.
                if mount.seen <= event.at() {
                    mount.read_only = Some(true);
                    mount.was_writable = true;
                }
                mount.told.retain(|(kind, ..)| *kind != READ_ONLY);
                mount.told.push((READ_ONLY, true, event.at()));
                mount.point.clone()
            }
            // It may be mounted where nobody watches, or not be known yet.
            None if is_target(&event.subject) && self.config.watches(&event.subject) => event.subject.clone(),
            None => return None,
        };
        Some(
            Fault::new(READ_ONLY, &target)
                .severity(Severity::Critical)
                .summary(format!("the kernel made {target} read-only because of an error"))
                .evidence("kernel.message", event.body.as_str())
                .evidence("system.device", device)
                .present(),
        )
    }

    /// What is no longer mounted has no faults.
    fn let_go(&mut self, at: Duration) -> Vec<Finding> {
        self.points.retain(|_, seen| at.saturating_sub(*seen) < GONE);
        // Where nothing at all is told, that says more of the collector than of the file systems.
        if !self.points.values().any(|seen| *seen == at) {
            return vec![];
        }
        let mut gone = Vec::new();
        for mount in self.mounts.values_mut() {
            mount.missing = if mount.seen == at { None } else { mount.missing.or(Some(at)) };
            if mount.missing.is_some_and(|since| at.saturating_sub(since) >= GONE) {
                gone.push(mount.point.clone());
            }
        }
        let gone = gone.iter().filter_map(|point| self.mounts.remove(point));
        gone.flat_map(|mount| {
            mount.forget();
            let kinds = Measure::ALL.map(|measure| [Trouble::Filling.kind(measure), Trouble::Full.kind(measure)]);
            let kinds = kinds.into_iter().flatten().chain([READ_ONLY]);
            kinds.map(|kind| Fault::new(kind, &mount.point).cleared()).collect::<Vec<_>>()
        })
        .collect()
    }

    fn is_safe(&self, mount: &Mount, measure: Measure, trouble: Trouble) -> bool {
        let gauge = mount.gauge(measure);
        match trouble {
            Trouble::Full => gauge.level <= self.config.clear,
            Trouble::Filling => {
                gauge.is_full() != Some(true)
                    && gauge.ahead().is_none_or(|ahead| ahead.seconds >= self.config.safe_seconds())
            }
        }
    }

    /// The mount point of the file system that holds a path.
    fn home_of(&self, path: &str) -> Option<String> {
        let holds = |point: &&String| {
            let rest = path.strip_prefix(point.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.points.keys().filter(holds).max_by_key(|point| point.len()).cloned()
    }

    fn in_vain(&self, incident: &Incident, measure: Measure) -> String {
        let point = &incident.fault.target;
        let tried = match incident.attempts_in_round().len() {
            0 => "nothing that may be cleaned up makes room there".to_owned(),
            1 => "a step of cleaning was not enough".to_owned(),
            steps => format!("{steps} steps of cleaning were not enough"),
        };
        let level = self.mounts.get(point).map_or(0.0, |mount| mount.gauge(measure).level);
        let files = words::largest(&self.config.look, |path| self.home_of(path).as_ref() == Some(point));
        format!("{point} is at {:.0} % of its {}: {tried}; {}", level * 100.0, measure.word(), words::list(&files))
    }
}

/// Whether the host takes it for a target: it refuses those that are empty, too long or hold control characters, and the
/// whole answer with them.
fn is_target(point: &str) -> bool {
    !point.is_empty() && point.len() <= 200 && !point.chars().any(char::is_control)
}

/// What there is to say of a file system that is new, or worth saying again.
fn tell(mount: &mut Mount, at: Duration) -> Vec<Finding> {
    let mut says = Vec::new();
    for measure in Measure::ALL {
        let gauge = mount.gauge(measure);
        // What is meant to be read-only is meant to be full; and what is no longer writable fills no more.
        let is_frozen = mount.read_only == Some(true);
        let full = gauge.is_full().map(|full| full && !is_frozen);
        says.push((measure, Trouble::Full, full));
        // What is full is no longer filling: that would be a second incident about the same.
        if full != Some(true) {
            says.push((measure, Trouble::Filling, gauge.is_filling().map(|filling| filling && !is_frozen)));
        }
    }
    let mut findings = Vec::new();
    for (measure, trouble, raised) in says {
        let Some(raised) = raised else { continue };
        if is_news(&mut mount.told, trouble.kind(measure), raised, at) {
            findings.push(words::fault(mount, measure, trouble).present_if(raised));
        }
    }
    if let Some(read_only) = mount.read_only.filter(|_| mount.was_writable)
        && is_news(&mut mount.told, READ_ONLY, read_only, at)
    {
        let fault = Fault::new(READ_ONLY, &mount.point).evidence("system.device", mount.device.as_str());
        let fault = fault.summary(format!("{} was writable and is read-only now", mount.point));
        findings.push(fault.present_if(read_only));
    }
    findings
}

/// Whether that is worth telling: it is new, or was told long ago and still lasts. What the kernel said of a read-only file
/// system says more than what is told again of it.
fn is_news(told: &mut Vec<(&'static str, bool, Duration)>, kind: &'static str, raised: bool, at: Duration) -> bool {
    match told.iter_mut().find(|(known, ..)| *known == kind) {
        Some((_, before, when)) => {
            let again = raised && kind != READ_ONLY && at.abs_diff(*when) >= AGAIN;
            let news = *before != raised || again;
            if news {
                (*before, *when) = (raised, at);
            }
            news
        }
        None => {
            told.push((kind, raised, at));
            true
        }
    }
}

salve_plugin_sdk::export!(DiskPressure);
