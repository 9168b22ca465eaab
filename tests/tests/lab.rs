//! The lab itself: that its hosts are what a test takes them for.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use salve_tests::lab::{self, Host, Network};
use salve_tests::wait;

const SOON: Duration = Duration::from_secs(10);

fn state(host: &Host, unit: &str) -> String {
    host.run(&["systemctl", "show", "--value", "--property=ActiveState", unit]).unwrap().trim().to_owned()
}

#[test]
fn a_killed_service_is_seen_failed() {
    let Some(host) = lab::host_or_skip("failing") else {
        return;
    };
    host.write("/etc/systemd/system/app.service", "[Service]\nExecStart=sleep infinity\n").unwrap();
    host.run(&["systemctl", "start", "app"]).unwrap();
    assert_eq!(state(&host, "app"), "active");
    host.run(&["systemctl", "kill", "--signal=KILL", "app"]).unwrap();
    wait::until("app to fail", SOON, || (state(&host, "app") == "failed").then_some(()));
    let journal = host.run(&["journalctl", "--unit=app", "--no-pager"]).unwrap();
    assert!(journal.contains("status=9/KILL"), "{journal}");
}

#[test]
fn a_host_is_healthy_and_has_a_bus() {
    let Some(host) = lab::host_or_skip("healthy") else {
        return;
    };
    assert_eq!(host.run(&["systemctl", "is-system-running"]).unwrap(), "running\n");
    assert_eq!(host.read("/proc/1/comm").unwrap(), "systemd\n");
    assert_eq!(host.run(&["hostname"]).unwrap(), "healthy\n");
    let manager = ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"];
    host.run(&[&["busctl", "get-property"], &manager[..], &["Version"]].concat()).unwrap();
}

#[test]
fn a_failing_command_says_why() {
    let Some(host) = lab::host_or_skip("saying") else {
        return;
    };
    let error = host.run(&["systemctl", "start", "no-such"]).unwrap_err().to_string();
    assert!(error.contains("no-such.service not found") && error.contains("exit status: 5"), "{error}");
    assert!(host.run(&["no-such-program"]).is_err());
}

#[test]
fn files_are_the_hosts_own() {
    let Some(host) = lab::host_or_skip("files") else { return };
    host.write("/var/run/made/here", "text").unwrap();
    assert_eq!(host.run(&["cat", "/run/made/here"]).unwrap(), "text");
    assert_eq!(host.read("/var/run/made/here").unwrap(), "text");
    assert!(!Path::new("/run/made").exists());
    host.run(&["touch", "/usr/of-the-host"]).unwrap();
    assert!(host.sees("/usr/of-the-host") && !Path::new("/usr/of-the-host").exists());
    assert!(host.run(&["sysctl", "-w", "vm.swappiness=1"]).is_err(), "the kernel is not the host's");
}

#[test]
fn a_spawned_process_is_killed_inside() {
    let Some(host) = lab::host_or_skip("spawning") else {
        return;
    };
    let process = host.spawn(host.command("sleep").arg("infinity")).unwrap();
    let inside = process.pid_inside().unwrap();
    assert_ne!(inside, process.pid());
    let comm = format!("/proc/{inside}/comm");
    wait::until("the program", SOON, || (host.read(&comm).ok()? == "sleep\n").then_some(()));
    process.kill();
    assert!(!host.sees(&comm));
}

#[test]
fn a_shared_directory_has_inotify_in_both_directions() {
    let Some(host) = lab::host_or_skip("sharing") else {
        return;
    };
    let [drop, echo] = ["drop", "echo"].map(|name| host.dir().join(name));
    let path_unit = format!("[Path]\nPathExists={}\nUnit=echo.service\n", drop.display());
    let service =
        format!("[Service]\nExecStart=cp {} {}\nType=oneshot\nRemainAfterExit=yes\n", drop.display(), echo.display());
    host.write("/etc/systemd/system/echo.path", path_unit).unwrap();
    host.write("/etc/systemd/system/echo.service", service).unwrap();
    host.run(&["systemctl", "start", "echo.path"]).unwrap();

    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&watch, host.dir(), WatchFlags::CLOSE_WRITE).unwrap();
    fs::write(&drop, "over").unwrap();
    let mut buffer = [std::mem::MaybeUninit::uninit(); 512];
    let mut events = inotify::Reader::new(&watch, &mut buffer);
    wait::until("the echo", SOON, || {
        let event = events.next().ok()?;
        (event.file_name()?.to_bytes() == b"echo" && event.events().contains(ReadFlags::CLOSE_WRITE)).then_some(())
    });
    assert_eq!(fs::read_to_string(echo).unwrap(), "over");
}

#[test]
fn hosts_reach_each_other_until_one_is_cut() {
    if lab::skip() {
        return;
    }
    let network = Network::new().unwrap();
    let a = Host::named("a").address(&network, "10.77.0.1/24").boot().unwrap();
    let b = Host::named("b").address(&network, "10.77.0.2/24").boot().unwrap();
    // Bash alone can do it: no ping, no netcat needed.
    let unit = "[Socket]\nListenStream=7\nAccept=yes\n";
    b.write("/etc/systemd/system/greet.socket", unit).unwrap();
    b.write("/etc/systemd/system/greet@.service", "[Service]\nExecStart=echo hello\nStandardOutput=socket\n").unwrap();
    b.write("/etc/systemd/system/greet.socket.d/limit.conf", "[Socket]\nTriggerLimitBurst=0\n").unwrap();
    b.run(&["systemctl", "start", "greet.socket"]).unwrap();
    let greet = |from: &Host, to: Ipv4Addr| {
        let script = format!("read -r line </dev/tcp/{to}/7 && echo $line");
        from.run(&["timeout", "1", "bash", "-c", &script]).is_ok_and(|said| said == "hello\n").then_some(())
    };
    let b_address = Ipv4Addr::new(10, 77, 0, 2);
    wait::until("a greeting", SOON, || greet(&a, b_address));
    b.cut().unwrap();
    assert_eq!(greet(&a, b_address), None);
    b.join().unwrap();
    wait::until("a greeting once more", SOON, || greet(&a, b_address));
    b.power_cut();
    b.power_on().unwrap();
    assert_eq!(b.run(&["ip", "-brief", "address", "show", "dev", "eth0"]).unwrap().matches("10.77.0.2/24").count(), 1);
}
