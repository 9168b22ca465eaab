//! The disk of the agent's state is full. Faults are recorded and healed all the same, on the reserve; when that is gone too
//! the agent says so, and acts only where the policy wants it.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use salve_tests::agent::Agent;
use salve_tests::{lab, plugin, wait};

/// A small file system of its own at a directory; gone with this.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Disk {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"]).arg(at).status();
        assert!(mounted.unwrap().success());
        Disk(at.to_owned())
    }

    /// Takes every byte that is left.
    fn fill(&self) {
        let mut filler = File::options().create(true).append(true).open(self.filler()).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while filler.write_all(&vec![1; size]).is_ok() {}
        }
    }

    fn clear(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
        // The agent's home could not be removed with this in it.
        drop(self.0.parent().map(fs::remove_dir_all));
    }
}

#[test]
fn a_full_disk_is_recorded_on_the_reserve_and_after_that_only_the_unrecorded_act() {
    if !rustix::process::geteuid().is_root() && lab::skip() {
        return;
    }
    let plain = plugin::policy("auto", "plain");
    let unrecorded = format!("{}unrecorded = true\n", plugin::policy("auto", "urgent"));
    // Declared first, so that it goes after the agent.
    let disk;
    let mut agent = Agent::builder()
        .service("plain", "exec sleep infinity", "autostart = true")
        .service("urgent", "exec sleep infinity", "autostart = true")
        .tables("[agent]\nbreaker = { incidents = 100000, actions = 100000, within = \"10m\" }\n[ledger]\nreserve = \"512KiB\"\n")
        .plugin(plugin::service_restart())
        .policy("plain.toml", &plain)
        .policy("urgent.toml", &unrecorded)
        .prepare()
        .unwrap();
    disk = Disk::mount(&agent.home().state());
    agent.start().unwrap();
    agent.until_watching("plain");
    agent.until_watching("urgent");
    let says = |word: &str| agent.complaints().contains(word);
    assert!(!says("reserve"), "{}", agent.complaints());

    // The reserve takes what happens on the full disk.
    disk.fill();
    agent.until("the reserve to be spent", || {
        agent.heals("plain");
        says("the ledger has no reserve").then_some(())
    });
    let recorded = agent.incidents().len();

    // Until that is gone too.
    agent.until("the ledger to be unwritable", || {
        disk.fill();
        agent.kill_service("plain");
        wait::attempt(Duration::from_millis(300), || says("cannot be written").then_some(()))
    });
    assert!(says("nothing is done, but for `unrecorded` policies"), "{}", agent.complaints());
    let (plain, urgent) = (agent.starts("plain"), agent.starts("urgent"));
    agent.kill_service("urgent");
    agent.until("the urgent one to be started", || (agent.starts("urgent") > urgent).then_some(()));
    wait::never("the other is started", Duration::from_millis(500), || (agent.starts("plain") > plain).then_some(()));

    // With space again everything is written down, what was done meanwhile too, and the rest is healed.
    disk.clear();
    agent.until("the ledger to be written", || (!says("cannot be written")).then_some(()));
    agent.until("everything to be healed", || {
        agent.service("plain")?;
        agent.service("urgent")?;
        agent.incidents().iter().all(|incident| incident.state == "resolved").then_some(())
    });
    let incidents = agent.incidents();
    assert!(incidents.len() > recorded, "{incidents:#?}");
    let urgent = incidents.iter().find(|incident| incident.policy == "urgent").unwrap();
    assert_eq!(urgent.attempts.len(), 1, "{urgent:#?}");
}
