//! That hosts of the lab leave nothing behind, however they end.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use salve_tests::lab::{self, Host, Network};
use salve_tests::process::Process;
use salve_tests::wait;

#[test]
fn a_power_cut_takes_all_but_the_shared_directory() {
    let Some(host) = lab::host_or_skip("cut") else { return };
    let inside = host.spawn(host.command("sleep").arg("infinity")).unwrap();
    host.run(&["touch", "/etc/on-the-disk"]).unwrap();
    fs::write(host.dir().join("kept"), "").unwrap();
    let namespaces = namespaces(&host);
    host.power_cut();
    assert_eq!(inside.pid_inside(), None);
    assert_eq!(processes_in(&namespaces), Vec::<PathBuf>::new());
    assert_eq!(left_of("cut"), vec![host.dir().parent().unwrap().to_owned()]);
    host.power_on().unwrap();
    assert!(host.sees(host.dir().join("kept")) && !host.sees("/etc/on-the-disk"));
}

#[test]
fn a_dropped_host_leaves_nothing() {
    if lab::skip() {
        return;
    }
    let network = Network::new().unwrap();
    let host = Host::named("dropped").address(&network, "10.77.0.1/24").boot().unwrap();
    let namespaces = namespaces(&host);
    assert!(!processes_in(&namespaces).is_empty() && left_of("dropped").len() == 2);
    drop(host);
    assert_eq!(processes_in(&namespaces), Vec::<PathBuf>::new());
    assert_eq!(left_of("dropped"), Vec::<PathBuf>::new());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("salve-lab"), "{mounts}");
}

#[test]
fn a_crash_takes_the_hosts_along() {
    if lab::skip() {
        return;
    }
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "victim", "--nocapture"]);
    let mut victim = Process::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped())).unwrap();
    let mut lines = BufReader::new(victim.stdout().unwrap()).lines().map_while(Result::ok);
    let booted = lines.find_map(|line| Some(line.split_once("booted: ")?.1.to_owned())).unwrap();
    let (pid, directory) = booted.split_once(' ').unwrap();
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/comm")).unwrap(), "systemd\n");
    victim.kill();
    wait::until("its host to end", Duration::from_secs(10), || (!Path::new("/proc").join(pid).exists()).then_some(()));
    Host::boot("next").unwrap();
    assert!(!Path::new(directory).exists(), "the next run clears {directory}");
}

#[test]
#[ignore = "killed by a_crash_takes_the_hosts_along, which runs it"]
fn victim() {
    let host = Host::boot("victim").unwrap();
    println!("booted: {} {}", host.pid(), host.dir().display());
    let _ = io::stdin().read_line(&mut String::new());
}

/// The namespaces of a host. As long as they are open here their identities are not given to others.
fn namespaces(host: &Host) -> Vec<File> {
    let open = |kind| File::open(format!("/proc/{}/ns/{kind}", host.pid())).unwrap();
    ["pid", "mnt", "net", "cgroup", "ipc", "uts"].map(open).into()
}

/// The processes of this machine that are in one of them.
fn processes_in(namespaces: &[File]) -> Vec<PathBuf> {
    let inside = |link: &Path| {
        let number = fs::metadata(link).ok().map(|namespace| namespace.ino());
        namespaces.iter().any(|namespace| namespace.metadata().map(|namespace| namespace.ino()).ok() == number)
    };
    let links = |process: &PathBuf| fs::read_dir(process.join("ns")).into_iter().flatten().flatten();
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    processes.filter(|process| links(process).any(|link| inside(&link.path()))).collect()
}

/// The directories, of files and of cgroups, that this process still has for hosts of that name.
fn left_of(host: &str) -> Vec<PathBuf> {
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.trim_start_matches("salve-lab-").starts_with(&format!("{}-", std::process::id()))
            && name.ends_with(&format!("-{host}"))
    };
    let places = ["/run/salve-lab", "/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
    let entries = places.iter().flat_map(|place| fs::read_dir(place).into_iter().flatten().flatten());
    entries.map(|entry| entry.path()).filter(ours).collect()
}
