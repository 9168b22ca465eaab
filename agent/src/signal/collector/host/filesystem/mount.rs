use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Kinds that store nothing, or are full by nature, or show again what another one stores.
const PSEUDO: [&str; 29] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "cramfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "erofs",
    "fuse.lxcfs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "smackfs",
    "squashfs",
    "sysfs",
    "tracefs",
    "udf",
];

/// Where only the machinery of the host mounts, for itself.
const MACHINERY: [&str; 8] = [
    "/dev",
    "/proc",
    "/sys",
    "/run/credentials",
    "/run/netns",
    "/var/lib/containers/storage",
    "/var/lib/docker",
    "/var/lib/kubelet/pods",
];

/// A file system and where it is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Major and minor number, `254:0`.
    number: String,
    /// Its directory.
    pub(super) point: PathBuf,
    /// `/dev/vda1`, `server:/export`, `tmpfs`.
    pub(super) device: String,
    /// `ext4`, …
    pub(super) kind: String,
    /// Whether nothing can be written: by this mount, or at all.
    pub(super) read_only: bool,
}

impl Mount {
    /// Whether it can keep one waiting for ever: it is served by another host or another process.
    pub(super) fn is_remote(&self) -> bool {
        let kinds = [
            "nfs",
            "cifs",
            "smb",
            "ceph",
            "fuse",
            "9p",
            "afs",
            "glusterfs",
            "lustre",
            "virtiofs",
            "coda",
            "ocfs2",
            "gfs2",
        ];
        kinds.iter().any(|kind| self.kind.starts_with(kind))
    }

    /// By OpenTelemetry's words.
    pub(super) fn mode(&self) -> &'static str {
        if self.read_only { "ro" } else { "rw" }
    }

    /// Whether it is one that people store things in.
    fn is_real(&self) -> bool {
        let is_root = self.point == Path::new("/");
        // An overlay shows what is stored below it, except to those who live in it.
        let in_disguise = PSEUDO.contains(&self.kind.as_str()) || self.kind == "overlay";
        is_root || !(in_disguise || MACHINERY.iter().any(|place| self.point.starts_with(place)))
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} of {})", self.point.display(), self.kind, self.device)
    }
}

/// The mounts that store something, from `/proc/self/mountinfo` (proc_pid_mountinfo(5)), each file system once.
pub(super) fn parse(text: &[u8]) -> Option<Vec<Mount>> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let all: Vec<Mount> = lines.map(mount).collect::<Option<_>>()?;
    // Of mounts in the same place only the last can be seen.
    let top: HashMap<&Path, usize> = all.iter().enumerate().map(|(index, mount)| (&*mount.point, index)).collect();
    let seen = all.iter().enumerate().filter(|(index, mount)| top.get(&*mount.point) == Some(index));
    let mut real: Vec<&Mount> = seen.map(|(_, mount)| mount).filter(|mount| mount.is_real()).collect();
    // One that is mounted twice is told of once, by its shortest path. Subvolumes have one number and lives of their own.
    real.sort_by_key(|mount| mount.point.as_os_str().len());
    let mut told = HashSet::new();
    Some(real.into_iter().filter(|mount| mount.kind == "btrfs" || told.insert(&mount.number)).cloned().collect())
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`, with any number of fields before the
/// dash.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|byte| *byte == b' ');
    let number = String::from_utf8_lossy(words.nth(2)?).into_owned();
    let (point, options) = (words.nth(1)?, words.next()?);
    words.find(|word| *word == b"-")?;
    let (kind, device, super_options) = (words.next()?, words.next()?, words.next().unwrap_or_default());
    let read_only = |options: &[u8]| options.split(|byte| *byte == b',').any(|option| option == b"ro");
    Some(Mount {
        number,
        point: PathBuf::from(OsString::from_vec(unescape(point))),
        device: Path::new(std::ffi::OsStr::from_bytes(&unescape(device))).display().to_string(),
        kind: String::from_utf8_lossy(kind).into_owned(),
        read_only: read_only(options) || read_only(super_options),
    })
}

/// Undoes the kernel's `\040` for a space, and the like.
fn unescape(word: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let [first, tail @ ..] = rest {
        let octal = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok();
        match (first, tail.get(..3).and_then(octal)) {
            (b'\\', Some(byte)) => {
                plain.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            _ => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "22 27 0:21 / /proc rw,relatime - proc proc rw\n\
        27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n\
        28 27 254:1 / /srv/old rw - ext4 /dev/vdb rw\n\
        29 27 254:2 / /srv/old ro,relatime shared:1 master:2 - xfs /dev/vdc rw\n\
        30 27 254:0 /home /home rw - ext4 /dev/vda rw\n\
        31 27 0:40 /@ /data rw - btrfs /dev/vdd rw,subvol=/@\n\
        32 27 0:40 /@logs /data/my\\040logs rw - btrfs /dev/vdd ro,subvol=/@logs\n\
        33 27 0:50 / /mnt/nas rw - nfs4 nas:/export rw\n\
        34 27 0:51 / /tmp rw - tmpfs tmpfs rw\n\
        35 27 0:52 / /dev/shm rw - tmpfs tmpfs rw\n\
        36 27 0:53 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw\n";

    #[test]
    fn what_stores_something_is_told_once() {
        let mounts = parse(INFO.as_bytes()).unwrap();
        let points: Vec<_> = mounts.iter().map(|mount| mount.point.to_str().unwrap()).collect();
        assert_eq!(points, ["/", "/tmp", "/data", "/srv/old", "/mnt/nas", "/data/my logs"]);
        let by = |point: &str| mounts.iter().find(|mount| mount.point == Path::new(point)).unwrap();
        assert_eq!((&*by("/srv/old").device, by("/srv/old").mode()), ("/dev/vdc", "ro"));
        assert!(by("/data/my logs").read_only && !by("/data").read_only);
        assert!(by("/mnt/nas").is_remote() && !by("/").is_remote());
    }

    #[test]
    fn an_overlay_is_real_to_those_who_live_in_it() {
        let mounts = parse(b"1 0 0:30 / / rw - overlay overlay rw\n").unwrap();
        assert_eq!(mounts[0].point, Path::new("/"));
    }

    #[test]
    fn garbage_is_none_and_odd_names_are_kept() {
        assert_eq!(parse(b"hello\n"), None);
        assert_eq!(parse(b"1 0 0:30 / / rw ext4 /dev/vda rw\n"), None, "no dash");
        assert_eq!(parse(b""), Some(vec![]));
        assert_eq!(unescape(b"a\\040b\\134\\9\\7"), b"a b\\\\9\\7");
        let odd = parse(b"1 0 8:1 / /mnt/\xff rw - ext4 /dev/vda rw\n").unwrap();
        assert_eq!(odd[0].point.as_os_str().as_bytes(), b"/mnt/\xff");
    }
}
