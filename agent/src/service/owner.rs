//! Which service a process belongs to, by what the kernel tells of it under `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// So many parents of a process are looked at. Real ones have a handful; a process may end meanwhile and its number come
/// back, so the way up is not trusted to end.
const PARENTS_MAX: usize = 64;

/// The unit of the host's systemd that process `pid` belongs to.
pub(super) fn unit_of(proc: &Path, pid: u32) -> Option<String> {
    unit_in(&fs::read_to_string(proc.join(pid.to_string()).join("cgroup")).ok()?)
}

/// From the text of `/proc/PID/cgroup`, one line `ID:CONTROLLERS:PATH` for each hierarchy. systemd keeps its units in the
/// one named `name=systemd` (cgroup v1, and where both versions are in use), else in the only one, 0 (cgroup v2).
fn unit_in(text: &str) -> Option<String> {
    let hierarchy = |wanted: fn(&str, &str) -> bool| {
        text.lines().find_map(|line| {
            let (id, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            wanted(id, controllers).then_some(path)
        })
    };
    let path = hierarchy(|_, controllers| controllers == "name=systemd")
        .or_else(|| hierarchy(|id, controllers| id == "0" && controllers.is_empty()))?;
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    // Slices hold units; the first that is none is the unit. What comes below is its own affair: units of a user's systemd
    // or of one in a container are not the host's, even if they have the same name. A leading underscore only keeps a name
    // apart from the kernel's own files. So sd_pid_get_unit(3) reads it, too.
    let names = path.split('/').filter(|name| !name.is_empty()).map(|name| name.strip_prefix('_').unwrap_or(name));
    let unit = names.into_iter().find(|name| !name.ends_with(".slice"))?;
    let is_unit = [".service", ".scope", ".socket", ".mount", ".swap"].iter().any(|kind| unit.ends_with(kind));
    is_unit.then(|| unit.to_owned())
}

/// The service, of those that `mains` names by the numbers of their main processes, that process `pid` belongs to: it, or
/// one of its parents, is the main process or in the process group or session that the main process leads.
pub(super) fn service_of(proc: &Path, pid: u32, mains: &BTreeMap<u32, String>) -> Option<String> {
    let mut next = pid;
    for _ in 0..PARENTS_MAX {
        if mains.is_empty() || next <= 1 {
            break;
        }
        let stat = fs::read_to_string(proc.join(next.to_string()).join("stat")).ok()?;
        let [parent, group, session] = family(&stat)?;
        if let Some(name) = [next, group, session].iter().find_map(|number| mains.get(number)) {
            return Some(name.clone());
        }
        next = parent;
    }
    None
}

/// Numbers of the parent, the process group and the session: fields 4 to 6 of `/proc/PID/stat`. The second field is the
/// command's name in parentheses, which may itself hold spaces and parentheses.
fn family(stat: &str) -> Option<[u32; 3]> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(1).map_while(|field| field.parse().ok());
    Some([fields.next()?, fields.next()?, fields.next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_of_a_cgroup() {
        for (text, expected) in [
            ("0::/system.slice/nginx.service\n", Some("nginx.service")),
            ("0::/system.slice/system-app.slice/app@1.service/worker\n", Some("app@1.service")),
            ("12:cpu,cpuacct:/system.slice\n1:name=systemd:/system.slice/nginx.service\n", Some("nginx.service")),
            // Both versions: systemd's own hierarchy counts.
            ("1:name=systemd:/system.slice/a.service\n0::/system.slice/b.service\n", Some("a.service")),
            ("4:memory:/x.service\n0::/init.scope\n", Some("init.scope")),
            ("0::/user.slice/user-1000.slice/session-3.scope\n", Some("session-3.scope")),
            // A user's own units are not the host's.
            ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/web.service\n", Some("user@1000.service")),
            ("0::/system.slice/docker-ab12.scope/system.slice/nginx.service\n", Some("docker-ab12.scope")),
            ("0::/system.slice/_cgroup.service (deleted)\n", Some("cgroup.service")),
            ("0::/system.slice/a:b.service\n", Some("a:b.service")),
            ("0::/\n", None),
            ("0::/../../other.service\n", None),
            ("0::/system.slice\n", None),
            ("0::/docker/ab12\n", None),
            ("4:memory:/system.slice/nginx.service\n", None),
            ("nonsense", None),
            ("", None),
        ] {
            assert_eq!(unit_in(text).as_deref(), expected, "{text:?}");
        }
    }

    /// A `/proc` with these processes: number, parent, group, session.
    fn proc(processes: &[[u32; 4]]) -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        for [pid, parent, group, session] in processes {
            let directory = proc.path().join(pid.to_string());
            fs::create_dir(&directory).unwrap();
            let stat = format!("{pid} (a) b (c) S {parent} {group} {session} 0 -1 4194560");
            fs::write(directory.join("stat"), stat).unwrap();
            fs::write(directory.join("cgroup"), format!("0::/system.slice/u{pid}.service\n")).unwrap();
        }
        proc
    }

    #[test]
    fn a_process_belongs_to_the_service_it_descends_from() {
        // Neither an endless loop of parents nor one that is gone is followed for ever.
        let proc = proc(&[
            [10, 1, 10, 10],
            [11, 10, 11, 11],
            [12, 11, 12, 12],
            [13, 1, 10, 9],
            [14, 1, 14, 10],
            [20, 1, 20, 20],
            [30, 31, 30, 30],
            [31, 30, 31, 31],
            [40, 99, 40, 40],
        ]);
        let mains = BTreeMap::from([(10, "web".to_owned())]);
        let service = |pid| service_of(proc.path(), pid, &mains);
        for pid in [10, 11, 12, 13, 14] {
            assert_eq!(service(pid).as_deref(), Some("web"), "{pid}");
        }
        for pid in [0, 1, 20, 30, 40, 50] {
            assert_eq!(service(pid), None, "{pid}");
        }
        assert_eq!(unit_of(proc.path(), 20).as_deref(), Some("u20.service"));
        assert_eq!(unit_of(proc.path(), 50), None);
    }

    #[test]
    fn what_the_kernel_really_writes_is_understood() {
        let me = std::process::id();
        let mains = BTreeMap::from([(me, "me".to_owned())]);
        assert_eq!(service_of(Path::new("/proc"), me, &mains).as_deref(), Some("me"));
        let parent = family(&fs::read_to_string("/proc/self/stat").unwrap()).unwrap()[0];
        assert_eq!(parent, std::os::unix::process::parent_id());
    }
}
