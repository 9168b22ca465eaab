//! Which systemd unit a cgroup belongs to.

/// What a unit with processes is called at its end.
const KINDS: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];

/// The unit in `/proc/PID/cgroup`: systemd's own hierarchy says it (`1:name=systemd:/…` of cgroup v1), else the only one
/// there is (`0::/…` of v2).
pub(in crate::signal::collector) fn unit(cgroup: &str) -> Option<&str> {
    let path = |hierarchy: &str| {
        cgroup.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            (controllers == hierarchy).then_some(path)
        })
    };
    path("name=systemd").and_then(unit_of_path).or_else(|| path("").and_then(unit_of_path))
}

/// The system's unit that a path of cgroups leads through: the first after the slices. What a unit makes below itself
/// (a container's payload, the units of a user's own manager) belongs to it.
pub(in crate::signal::collector) fn unit_of_path(path: &str) -> Option<&str> {
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    let mut parts = path.split('/').filter(|part| !part.is_empty() && *part != "..");
    // systemd puts `_` before what would look like a file of the kernel's.
    let unit = parts.find(|part| !part.ends_with(".slice")).map(|part| part.strip_prefix('_').unwrap_or(part))?;
    KINDS.iter().any(|kind| unit.len() > kind.len() && unit.ends_with(kind)).then_some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_generation_of_cgroups_names_the_unit() {
        let v1 = "12:pids:/system.slice/nginx.service\n1:name=systemd:/system.slice/nginx.service\n0::/\n";
        let hybrid = "4:memory:/\n1:name=systemd:/\n0::/system.slice/system-getty.slice/getty@tty1.service\n";
        assert_eq!(unit(v1), Some("nginx.service"));
        assert_eq!(unit("0::/system.slice/nginx.service\n"), Some("nginx.service"));
        assert_eq!(unit(hybrid), Some("getty@tty1.service"));
        assert_eq!(unit("0::/\n"), None);
        assert_eq!(unit("0::/../../system.slice/ssh.service"), Some("ssh.service"));
        assert_eq!(unit("garbage\n::\n0:"), None);
    }

    #[test]
    fn what_a_unit_makes_below_itself_belongs_to_it() {
        for (path, expected) in [
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/editor.service", Some("user@1000.service")),
            ("/user.slice/user-1000.slice/session-3.scope", Some("session-3.scope")),
            ("/system.slice/docker-4f1c.scope/init", Some("docker-4f1c.scope")),
            ("/system.slice/_cpu.service", Some("cpu.service")),
            ("/system.slice/web.service (deleted)", Some("web.service")),
            ("/system.slice", None),
            ("/docker/4f1c", None),
            ("/.service", None),
            ("", None),
        ] {
            assert_eq!(unit_of_path(path), expected, "{path}");
        }
    }
}
