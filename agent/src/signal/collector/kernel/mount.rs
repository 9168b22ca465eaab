//! Where a device is mounted: the kernel's lines name devices, and people know mount points.

use std::fs;
use std::path::Path;

/// The mount point of a device as the kernel calls it (`sda1`, `dm-0`); the first if there are many.
pub(super) fn point(root: &Path, device: &str) -> Option<String> {
    if device.contains('/') || device.contains("..") {
        return None;
    }
    let number = fs::read_to_string(root.join("sys/class/block").join(device).join("dev")).ok();
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
    find(&mounts, device, number.as_deref().map(str::trim))
}

/// In the lines of `/proc/PID/mountinfo` (proc_pid_mountinfo(5)): by number, or, where a file system has one of its own
/// (btrfs), by the path of the device.
fn find(mounts: &str, device: &str, number: Option<&str>) -> Option<String> {
    mounts.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(2);
        let same = fields.next() == number;
        let source = filesystem.split(' ').nth(1)?.strip_prefix("/dev/");
        // The field between is the directory of the file system that is mounted.
        (same || source == Some(device)).then(|| fields.nth(1).map(unescape))?
    })
}

/// Space, tab, line feed and backslash are written as three octal digits.
fn unescape(path: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(path.to_owned(), |path, (escaped, plain)| path.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 253:0 / / rw,relatime shared:1 - ext4 /dev/mapper/vg-root rw\n\
                          40 22 0:35 /@home /home rw - btrfs /dev/sdb1 rw\n\
                          41 22 8:17 / /srv/a\\040b rw - xfs /dev/sdc1 rw\n\
                          garbage\n";

    #[test]
    fn a_device_is_found_by_its_number_or_its_path() {
        assert_eq!(find(MOUNTS, "dm-0", Some("253:0")).as_deref(), Some("/"));
        assert_eq!(find(MOUNTS, "sdb1", Some("8:99")).as_deref(), Some("/home"));
        assert_eq!(find(MOUNTS, "sdc1", None).as_deref(), Some("/srv/a b"));
        assert_eq!(find(MOUNTS, "sdd1", None), None);
    }

    #[test]
    fn a_root_without_anything_has_no_mounts() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(point(root.path(), "sda1"), None);
        assert_eq!(point(root.path(), "../sda1"), None);
    }
}
