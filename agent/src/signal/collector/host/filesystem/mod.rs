//! File systems: bytes and inodes, used and free, and whether they can be written.
//!
//! A network mount whose server is gone blocks whoever asks for its size. So the asking is done by a thread aside, and one
//! that does not answer in time is reported, left alone until it answers, and holds up none of the others.

mod mount;
mod survey;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{ratio, sample};
use crate::signal::collector::kept::{Fault, Kept};
use crate::signal::{Demand, Sample};
use mount::Mount;
use survey::{Space, Survey};

/// What the source is called.
pub(super) const NAME: &str = "filesystem";

/// What it yields.
pub(super) const METRICS: [&str; 7] = [
    "system.filesystem.usage",
    "system.filesystem.utilization",
    "system.filesystem.limit",
    "system.filesystem.inodes.usage",
    "system.filesystem.inodes.utilization",
    "system.filesystem.inodes.limit",
    "system.filesystem.read_only",
];

/// How many silent mounts are named in the reason why the source is degraded.
const NAMED: usize = 3;

/// The reader of the file systems.
pub(super) struct Filesystems {
    root: PathBuf,
    mounts: Kept,
    survey: Survey,
}

impl Filesystems {
    /// Of the host with this root directory.
    pub(super) fn new(root: &Path) -> Self {
        Self::with_survey(root, Survey::new())
    }

    fn with_survey(root: &Path, survey: Survey) -> Self {
        Self { root: root.to_owned(), mounts: Kept::new(root.join("proc/self/mountinfo")), survey }
    }

    /// All samples of the file systems that somebody wants, and what could not be told; the others are not even asked.
    /// Takes no longer than the survey's patience.
    pub(super) async fn read(&mut self, demand: &Demand) -> (Vec<Sample>, Option<Fault>) {
        let mounts = match self.mounts() {
            Ok(mounts) => mounts,
            Err(fault) => return (Vec::new(), Some(fault)),
        };
        let wanted = mounts.into_iter().filter(|mount| is_wanted(mount, demand));
        let place = |mount: Mount| (self.root.join(mount.point.strip_prefix("/").unwrap_or(&mount.point)), mount);
        let wanted: BTreeMap<PathBuf, Mount> = wanted.map(place).collect();
        // Those that can hang come last, so that the others have been asked by then.
        let (remote, local): (Vec<_>, Vec<_>) = wanted.iter().partition(|(_, mount)| mount.is_remote());
        let order = local.into_iter().chain(remote).map(|(path, _)| path.clone()).collect();
        let answers = self.survey.ask(order).await;

        let (mut samples, mut troubles) = (Vec::new(), Vec::new());
        for (path, mount) in &wanted {
            // The kernel's list says that without asking the file system.
            samples.push(read_only_sample(mount));
            match answers.get(path) {
                Some(Ok(space)) => samples.extend(space_samples(mount, space)),
                Some(Err(error)) => troubles.push(format!("{mount}: {error}")),
                None => troubles.push(format!("{mount} does not answer")),
            }
        }
        (samples, trouble(&troubles))
    }

    fn mounts(&mut self) -> Result<Vec<Mount>, Fault> {
        let mounts = mount::parse(self.mounts.read()?);
        mounts.ok_or_else(|| Fault::garbage(self.mounts.path(), "a line without mount point, type or device"))
    }
}

/// Whether some selector may take a series of this mount.
fn is_wanted(mount: &Mount, demand: &Demand) -> bool {
    let device = mount.device.as_str();
    METRICS.iter().flat_map(|metric| demand.metrics(metric)).any(|selector| {
        selector.allows("system.filesystem.mountpoint", &mount.point.to_string_lossy())
            && selector.allows("system.device", device)
            && selector.allows("system.filesystem.type", &mount.kind)
            && selector.allows("system.filesystem.mode", mount.mode())
    })
}

/// What could not be told, in a sentence that does not grow with the number of mounts.
fn trouble(troubles: &[String]) -> Option<Fault> {
    let more = troubles.len().saturating_sub(NAMED);
    let mut reason = troubles.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    if more > 0 {
        reason.push_str(&format!("; and {more} more"));
    }
    (!troubles.is_empty()).then_some(Fault::Degraded(reason))
}

/// 1 where nothing can be written: unlike the mode among the attributes of the others, one series that goes up and down.
fn read_only_sample(mount: &Mount) -> Sample {
    let of = [
        ("system.device", mount.device.as_str()),
        ("system.filesystem.mountpoint", &*mount.point.to_string_lossy()),
        ("system.filesystem.type", mount.kind.as_str()),
    ];
    sample("system.filesystem.read_only", &of, f64::from(u8::from(mount.read_only)))
}

fn space_samples(mount: &Mount, space: &Space) -> Vec<Sample> {
    let point = mount.point.to_string_lossy();
    let identity = [
        ("system.device", mount.device.as_str()),
        ("system.filesystem.mode", mount.mode()),
        ("system.filesystem.mountpoint", &*point),
        ("system.filesystem.type", mount.kind.as_str()),
    ];
    let [device, mode, at, kind] = identity;
    let state = |state| [device, mode, at, ("system.filesystem.state", state), kind];
    let Space { total, free, available, inodes, inodes_free } = *space;
    let used = total - free;
    let mut samples = vec![
        sample("system.filesystem.limit", &identity, total),
        sample("system.filesystem.usage", &state("used"), used),
        sample("system.filesystem.usage", &state("free"), available),
        sample("system.filesystem.usage", &state("reserved"), free - available),
        // As df counts: of what everybody can use, without what is kept back for root.
        sample("system.filesystem.utilization", &state("used"), ratio(used, used + available)),
    ];
    // Btrfs and others make inodes as they need them.
    if inodes > 0.0 {
        samples.extend([
            sample("system.filesystem.inodes.limit", &identity, inodes),
            sample("system.filesystem.inodes.usage", &state("used"), inodes - inodes_free),
            sample("system.filesystem.inodes.usage", &state("free"), inodes_free),
            sample("system.filesystem.inodes.utilization", &state("used"), ratio(inodes - inodes_free, inodes)),
        ]);
    }
    samples
}

#[cfg(test)]
mod tests;
