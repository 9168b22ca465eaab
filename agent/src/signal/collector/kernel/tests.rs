use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::{CWD, FileType, mknodat};

use super::super::Condition;
use super::super::process::testing::selectors;
use super::super::testing::Listener;
use super::*;

/// A host whose `/dev/kmsg` is a pipe.
struct Host {
    root: tempfile::TempDir,
    log: File,
}

impl Host {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("dev")).unwrap();
        let path = root.path().join("dev/kmsg");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        // Open for reading too: else it would end whenever nobody writes.
        let log =
            OpenOptions::new().read(true).write(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&path);
        Self { root, log: log.unwrap() }
    }

    fn listener(&self) -> Listener {
        let listener = Listener::new(self.root.path());
        listener.want(vec![], selectors(&[("kernel.*", &[])]));
        listener
    }

    fn cursor(&self) -> PathBuf {
        self.root.path().join("cursor")
    }

    /// A record, written just now.
    fn say(&mut self, priority: u32, sequence: u64, text: &str) {
        let now = clock_gettime(ClockId::Monotonic).tv_sec;
        self.log
            .write_all(format!("{priority},{sequence},{now}000000,-;{text}\n SUBSYSTEM=block\n").as_bytes())
            .unwrap();
    }
}

const SEGFAULT: &str = "web[7]: segfault at 0 ip 0000 sp 0000 error 4";

#[tokio::test]
async fn faults_are_told_and_processes_cannot_tell_them() {
    let mut host = Host::new();
    let mut listener = host.listener();
    tokio::spawn(run(listener.context.clone(), host.cursor()));
    listener.health(SOURCE, |it| it.condition == Condition::Ok).await;
    host.say(14, 1, &SEGFAULT.replace("web", "forged"));
    host.log.write_all(b"\xff\xfe;garbage\n;;;\n").unwrap();
    host.say(6, 2, SEGFAULT);
    let event = listener.event().await;
    assert_eq!((&*event.name, event.subject.as_str(), event.body.as_str()), ("kernel.segfault", "web", SEGFAULT));
    assert!(listener.context.clock.now().wall.since(event.at) < Duration::from_secs(5));
}

#[tokio::test]
async fn what_was_told_before_a_restart_is_not_told_again() {
    let mut host = Host::new();
    let mut listener = host.listener();
    let first = tokio::spawn(run(listener.context.clone(), host.cursor()));
    host.say(6, 10, SEGFAULT);
    listener.event().await;
    first.abort();
    drop(first.await);
    tokio::spawn(run(listener.context.clone(), host.cursor()));
    host.say(6, 10, SEGFAULT);
    host.log.write_all(b"6,11,0,-;old[7]: segfault at 0 ip 0000 sp 0000 error 4\n").unwrap();
    host.say(6, 12, &SEGFAULT.replace("web", "new"));
    let subject = listener.event().await.subject;
    // The one of the boot is told only where that was just now.
    assert!(subject == "new" || age(Duration::ZERO) < REPLAY, "{subject}");
}

#[tokio::test]
async fn a_remount_is_told_of_the_mount_point() {
    let mut host = Host::new();
    fs::create_dir_all(host.root.path().join("proc/self")).unwrap();
    let mounts = "22 1 8:1 / /srv rw - ext4 /dev/sda1 rw\n";
    fs::write(host.root.path().join("proc/self/mountinfo"), mounts).unwrap();
    let mut listener = host.listener();
    tokio::spawn(run(listener.context.clone(), host.cursor()));
    host.say(2, 1, "EXT4-fs (sda1): Remounting filesystem read-only");
    let event = listener.event().await;
    assert_eq!((&*event.name, event.subject.as_str()), (REMOUNT, "/srv"));
}

#[tokio::test]
async fn a_log_that_is_missing_or_none_is_said() {
    let root = tempfile::tempdir().unwrap();
    let mut listener = Listener::new(root.path());
    tokio::spawn(run(listener.context.clone(), root.path().join("cursor")));
    assert!(listener.context.health.view().is_empty(), "nobody wants it");
    listener.want(vec![], selectors(&[("kernel.oom_kill", &[])]));
    let view = listener.health(SOURCE, |it| it.condition == Condition::Absent).await;
    assert!(view.reason.unwrap_or_default().contains("there is no "));
    // A plain file cannot be waited for.
    fs::create_dir(root.path().join("dev")).unwrap();
    fs::write(root.path().join("dev/kmsg"), "6,1,1,-;x\n").unwrap();
    listener.want(vec![], selectors(&[("kernel.mce", &[])]));
    listener.health(SOURCE, |it| it.condition == Condition::Degraded).await;
    listener.want(vec![], vec![]);
    listener.until(|it| it.context.health.view().is_empty().then_some(())).await;
}

#[test]
fn what_was_overwritten_is_counted() {
    let host = Host::new();
    let listener = host.listener();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let mut log = Log::open(&listener.context, true).unwrap();
    let mut cursor = Cursor::open(&host.cursor(), "boot");
    let record = |sequence| Record { facility: 0, sequence, at: age(Duration::ZERO), text: "x" };
    log.take(&listener.context, &mut cursor, &record(5));
    log.lost = true;
    log.take(&listener.context, &mut cursor, &record(105));
    log.take(&listener.context, &mut cursor, &record(106));
    listener.context.health.ok(SOURCE);
    assert_eq!(listener.context.health.view()[0].dropped, 99);
}

#[tokio::test]
async fn the_real_log_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let mut listener = Listener::new(std::path::Path::new("/"));
    let name = format!("salve{}", std::process::id());
    listener.want(vec![], selectors(&[("kernel.segfault", &[("subject", &name)])]));
    let Ok(mut log) = OpenOptions::new().write(true).open("/dev/kmsg") else {
        return eprintln!("skipped: /dev/kmsg may not be written");
    };
    if fs::read_to_string("/proc/sys/kernel/printk_devkmsg").is_ok_and(|it| it.trim() == "off") {
        return eprintln!("skipped: the kernel drops what is written to /dev/kmsg");
    }
    // Only here records of processes count: no test can make the kernel say it itself.
    tokio::spawn(watch(listener.context.clone(), directory.path().join("cursor"), u32::MAX));
    let view = listener.health(SOURCE, |_| true).await;
    if view.condition == Condition::Absent {
        return eprintln!("skipped: {}", view.reason.unwrap_or_default());
    }
    // The kernel may hold back what processes write too often.
    let begun = std::time::Instant::now();
    let mut seen = None;
    for _ in 0..4 {
        // Without its end the kernel would wait for the rest of the line.
        log.write_all(format!("{}\n", SEGFAULT.replace("web", &name)).as_bytes()).unwrap();
        seen = time::timeout(Duration::from_secs(6), listener.event()).await.ok();
        if seen.is_some() {
            break;
        }
    }
    println!("seen after {:?}", begun.elapsed());
    let event = seen.unwrap();
    assert_eq!((&*event.name, event.subject.as_str()), ("kernel.segfault", name.as_str()));
}
