//! A program that checks something, by the conventions of Nagios: 0 is fine, 1 a warning, 2 critical, 3 not known; the first
//! line of its output says more.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use tokio::process::Command;

use super::answer::{Answer, Status};
use super::perfdata;
use crate::config::CommandProbe;
use crate::run::{NotEnded, run_apart};

/// Where programs look for others.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Bytes of what a program says that are kept.
const OUTPUT: usize = 64 * 1024;

/// Runs it once, without a shell and without the agent's environment; beyond `limit` its process group is killed.
pub(super) async fn ask(probe: &CommandProbe, limit: Duration) -> Answer {
    let Some((program, arguments)) = probe.argv.split_first() else {
        return Answer::unknown("the command is empty");
    };
    let mut command = Command::new(program);
    // Numbers are to be written as programs read them.
    command.args(arguments).env_clear().env("PATH", PATH).env("LC_ALL", "C").current_dir("/");
    if let Some(user) = &probe.user {
        let Some(entry) = uzers::get_user_by_name(user) else {
            return Answer::unknown(format!("this host has no user `{user}`"));
        };
        // With another user's id the library also drops the agent's supplementary groups.
        command.uid(entry.uid()).gid(entry.primary_group_id());
    }
    let ended = match run_apart(command, limit, OUTPUT).await {
        Ok(ended) => ended,
        Err(NotEnded::Late(why)) => return Answer::down(why),
        Err(NotEnded::Never(why)) => return Answer::unknown(why),
    };
    let said = if ended.output.trim().is_empty() { &ended.error } else { &ended.output };
    let output = perfdata::read(said);
    let (status, aside) = match ended.status.code() {
        Some(0) => (Status::Up, None),
        Some(1) => (Status::Warning, None),
        Some(2) => (Status::Down, None),
        Some(3) => (Status::Unknown, None),
        // The conventions know no other, so this is no judgement about what was to be checked.
        Some(code) => (Status::Unknown, Some(format!("exit status {code}"))),
        None => (Status::Unknown, Some(format!("killed by signal {}", ended.status.signal().unwrap_or_default()))),
    };
    let message = match (aside, output.message.as_str()) {
        (None, "") => format!("exit status {}, without a word", ended.status.code().unwrap_or_default()),
        (None, message) => message.to_owned(),
        (Some(aside), "") => aside,
        (Some(aside), message) => format!("{aside}: {message}"),
    };
    Answer { text: output.text, perfdata: output.data, dropped: output.dropped, ..Answer::new(status, message) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Runs a program.
    async fn run(argv: &[&str], user: Option<&str>, limit: Duration) -> Answer {
        let argv = argv.iter().map(|argument| (*argument).to_owned()).collect();
        ask(&CommandProbe { argv, user: user.map(str::to_owned) }, limit).await
    }

    async fn sh(script: &str) -> Answer {
        run(&["/bin/sh", "-c", script], None, Duration::from_secs(60)).await
    }

    #[tokio::test]
    async fn exit_statuses_are_those_of_nagios() {
        for (code, expected) in [(0, Status::Up), (1, Status::Warning), (2, Status::Down), (3, Status::Unknown)] {
            let answer = sh(&format!("echo 'LOAD | load1=0.5;1;2;0'; exit {code}")).await;
            assert_eq!((answer.status, answer.message.as_str(), answer.perfdata.len()), (expected, "LOAD", 1));
        }
        let other = sh("echo oops >&2; exit 127").await;
        assert_eq!((other.status, other.message.as_str()), (Status::Unknown, "exit status 127: oops"));
        let killed = sh("kill -9 $$").await;
        assert_eq!((killed.status, killed.message.as_str()), (Status::Unknown, "killed by signal 9"));
        assert_eq!(sh("exit 2").await.message, "exit status 2, without a word");
    }

    #[tokio::test]
    async fn what_cannot_be_run_is_not_down() {
        let answer = run(&["/no/such/check"], None, Duration::from_secs(1)).await;
        assert_eq!(answer.status, Status::Unknown);
        assert!(answer.message.starts_with("cannot run `/no/such/check`"), "{answer:?}");
    }

    #[tokio::test]
    async fn it_gets_a_clean_environment_and_its_output_has_an_end() {
        let answer = run(&["/usr/bin/env"], None, Duration::from_secs(60)).await;
        let lines = format!("{}\n{}", answer.message, answer.text);
        assert!(lines.lines().all(|line| line.starts_with("PATH=") || line == "LC_ALL=C"), "{lines}");
        let much = sh("echo CRITICAL; head -c 50000000 /dev/zero | tr '\\0' x; exit 2").await;
        assert_eq!((much.status, much.message.as_str()), (Status::Down, "CRITICAL"));
        assert!(much.text.len() <= OUTPUT);
    }

    #[tokio::test]
    async fn it_can_run_as_somebody_else() {
        let nobody = run(&["/bin/true"], Some("no-such-user"), Duration::from_secs(60)).await;
        assert_eq!(nobody, Answer::unknown("this host has no user `no-such-user`"));
        // Only root can be somebody else.
        if rustix::process::geteuid().is_root() {
            let who = run(&["/usr/bin/id"], Some("nobody"), Duration::from_secs(60)).await;
            assert!(who.message.contains("(nobody)") && !who.message.contains("root"), "{who:?}");
        }
    }

    #[tokio::test]
    async fn one_that_hangs_is_killed_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("echo begun; (trap '' TERM; exec sleep 1000) & echo $! >{}; wait", file.display());
        let answer = run(&["/bin/sh", "-c", &script], None, Duration::from_millis(500)).await;
        assert_eq!(answer.status, Status::Down);
        assert!(answer.message.contains("did not end within 0.5 s and was killed; it had said: begun"), "{answer:?}");
        let pid = std::fs::read_to_string(&file).unwrap();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        let stat = || std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        while stat().rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z')) {
            assert!(tokio::time::Instant::now() < deadline, "its child still runs");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn debians_plugins_are_understood() {
        let plugins = Path::new("/usr/lib/nagios/plugins");
        if !plugins.join("check_disk").exists() {
            return;
        }
        let check = |name: &str, arguments: &[&str]| {
            let program = plugins.join(name).to_string_lossy().into_owned();
            let arguments = arguments.iter().map(|argument| (*argument).to_owned());
            let probe = CommandProbe { argv: std::iter::once(program).chain(arguments).collect(), user: None };
            async move { ask(&probe, Duration::from_secs(60)).await }
        };
        let disk = check("check_disk", &["-w", "0%", "-c", "0%", "-p", "/"]).await;
        assert_eq!((disk.status, disk.perfdata[0].label.as_str()), (Status::Up, "/"), "{disk:?}");
        assert!(disk.perfdata[0].value > 0.0 && disk.message.starts_with("DISK OK"), "{disk:?}");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let tcp = check("check_tcp", &["-H", "127.0.0.1", "-p", &port]).await;
        assert_eq!((tcp.status, tcp.perfdata[0].label.as_str(), &*tcp.perfdata[0].unit), (Status::Up, "time", "s"));
        drop(listener);
        assert_eq!(check("check_tcp", &["-H", "127.0.0.1", "-p", &port]).await.status, Status::Down);
        assert_eq!(check("check_dummy", &["1", "careful"]).await.status, Status::Warning);
        assert_eq!(check("check_dummy", &["3"]).await.status, Status::Unknown);
    }
}
