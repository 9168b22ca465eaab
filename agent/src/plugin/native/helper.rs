//! Running `salve-compile`.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use super::super::limits;

/// What the program is called.
const NAME: &str = "salve-compile";
/// Where it is sought beside this program's own directory.
const PLACES: [&str; 2] = ["/usr/libexec/salve", "/usr/lib/salve"];
/// The most that is kept of what it says.
const SAID: u64 = 16 << 10;
/// More threads make it faster no more, and each takes address space.
const THREADS: usize = 4;

/// Why bytes did not become native code.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    /// It was not compiled before, and is not to be now.
    #[error("it was not compiled before")]
    Unknown,
    /// There is nothing to compile with.
    #[error(
        "there is no compiler for it: {NAME} is not in {0}; install it there, or name it with `compiler` in [agent]; in the \
         source it is agent/compiler"
    )]
    NoCompiler(String),
    /// It could not be run.
    #[error("the compiler {program} cannot be run: {problem}")]
    NotRun {
        /// Where it is.
        program: String,
        /// What happened.
        problem: String,
    },
    /// It is not valid, or uses what the agent does not allow.
    #[error("it does not compile: {0}")]
    Invalid(String),
    /// It takes more to compile than is allowed.
    #[error("it does not compile within {0}")]
    Limit(String),
    /// The compiler failed.
    #[error("the compiler failed on it: {0}")]
    Failed(String),
    /// It was compiled, but for something else.
    #[error("its native code does not fit this agent; install {NAME} of the same version: {0}")]
    Foreign(String),
    /// The result could not be written or read.
    #[error("its native code cannot be kept: {0}")]
    Io(#[from] std::io::Error),
}

/// The compiler's program.
#[derive(Debug)]
pub(super) struct Helper {
    program: Option<PathBuf>,
}

impl Helper {
    pub(super) fn new(program: Option<PathBuf>) -> Self {
        Self { program }
    }

    /// Compiles `wasm` into the file.
    pub(super) fn compile(&self, wasm: &[u8], native: &File) -> Result<(), CompileError> {
        let program = self.find()?;
        let mut input: File = memfd_create("salve-plugin", MemfdFlags::CLOEXEC).map_err(std::io::Error::from)?.into();
        input.write_all(wasm)?;
        input.rewind()?;
        let not_run = |error: std::io::Error| CompileError::NotRun {
            program: program.display().to_string(),
            problem: error.to_string(),
        };
        let mut child = Command::new(&program)
            .args(["--memory", &limits::COMPILE_MEMORY.to_string()])
            .args(["--cpu", &limits::COMPILE_CPU.as_secs().to_string()])
            .args(["--output", &limits::NATIVE.to_string()])
            .env_clear()
            .env(
                "RAYON_NUM_THREADS",
                std::thread::available_parallelism().map_or(1, |it| it.get().min(THREADS)).to_string(),
            )
            .current_dir("/")
            .stdin(Stdio::from(input))
            .stdout(Stdio::from(native.try_clone()?))
            .stderr(Stdio::piped())
            .spawn()
            .map_err(not_run)?;
        match attend(&mut child, Instant::now() + limits::COMPILE_WALL) {
            Ok(Some((status, said))) => verdict(&program, status, &said),
            unfinished => {
                kill(&mut child).map_err(not_run)?;
                unfinished.map_err(not_run)?;
                Err(CompileError::Limit(format!("{} s", limits::COMPILE_WALL.as_secs())))
            }
        }
    }

    fn find(&self) -> Result<PathBuf, CompileError> {
        if let Some(program) = &self.program {
            let directory = || program.parent().unwrap_or(Path::new("/")).display().to_string();
            return if program.is_file() { Ok(program.clone()) } else { Err(CompileError::NoCompiler(directory())) };
        }
        let own = std::env::current_exe().ok().and_then(|program| program.parent().map(Path::to_owned));
        let places: Vec<PathBuf> = own.into_iter().chain(PLACES.map(PathBuf::from)).collect();
        let found = places.iter().map(|place| place.join(NAME)).find(|program| program.is_file());
        found.ok_or_else(|| {
            let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
            CompileError::NoCompiler(places.join(", "))
        })
    }
}

/// How it ends and what it says until then; none if it does not end by the deadline.
fn attend(child: &mut Child, deadline: Instant) -> std::io::Result<Option<(ExitStatus, String)>> {
    let said = match child.stderr.take() {
        Some(stderr) => listen(stderr, deadline)?,
        None => Some(String::new()),
    };
    let Some(said) = said else { return Ok(None) };
    // It has closed its end, which is not yet to end.
    let pid = Pid::from_child(child);
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    Ok(if is_readable(&process, deadline)? { Some((child.wait()?, said)) } else { None })
}

/// What is said until the other end closes; none if that is not by the deadline.
fn listen(mut stderr: ChildStderr, deadline: Instant) -> std::io::Result<Option<String>> {
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    while is_readable(&stderr, deadline)? {
        let count = stderr.read(&mut buffer)?;
        if count == 0 {
            return Ok(Some(String::from_utf8_lossy(&said).into_owned()));
        }
        let room = usize::try_from(SAID).unwrap_or(usize::MAX).saturating_sub(said.len());
        said.extend(buffer.iter().take(count.min(room)));
    }
    Ok(None)
}

/// Waits until there is something to read; false if that is not by the deadline.
fn is_readable(file: &impl AsFd, deadline: Instant) -> std::io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = left.min(Duration::from_secs(3600)).try_into().map_err(std::io::Error::other)?;
        match poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

fn kill(child: &mut Child) -> std::io::Result<ExitStatus> {
    child.kill()?;
    child.wait()
}

fn verdict(program: &Path, status: ExitStatus, said: &str) -> Result<(), CompileError> {
    let said = said.trim_end();
    let memory = || CompileError::Limit(format!("{} MiB of memory", limits::COMPILE_MEMORY >> 20));
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(1), _) => Err(CompileError::Invalid(said.to_owned())),
        (Some(_), _) => Err(CompileError::NotRun { program: program.display().to_string(), problem: said.to_owned() }),
        // Beyond the soft limit comes XCPU, at the hard one KILL; they are the same here.
        (None, Some(signal)) if signal == Signal::XCPU.as_raw() || signal == Signal::KILL.as_raw() => {
            Err(CompileError::Limit(format!("{} s of CPU time", limits::COMPILE_CPU.as_secs())))
        }
        (None, Some(signal)) if signal == Signal::XFSZ.as_raw() => {
            Err(CompileError::Limit(format!("{} MiB of native code", limits::NATIVE >> 20)))
        }
        (None, _) if said.contains("memory allocation of") || said.contains("failed to spawn thread") => Err(memory()),
        (None, _) => {
            let first = said.lines().find(|line| !line.is_empty()).unwrap_or("it said nothing");
            Err(CompileError::Failed(format!("{status}: {first}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A compiler that does what a script says.
    fn script(directory: &Path, script: &str) -> Helper {
        let path = directory.join("compiler");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Helper::new(Some(path))
    }

    fn compile(helper: &Helper) -> Result<String, String> {
        let mut native = tempfile::tempfile().unwrap();
        helper.compile(b"wasm", &native).map_err(|error| error.to_string())?;
        let mut text = String::new();
        native.rewind().unwrap();
        native.read_to_string(&mut text).unwrap();
        Ok(text)
    }

    #[test]
    fn bytes_go_in_and_native_code_comes_out() {
        let dir = tempfile::tempdir().unwrap();
        let program = script(dir.path(), "cat; echo \" $2 $4\"; echo ${HOME-no home}; pwd");
        assert_eq!(compile(&program), Ok("wasm 2147483648 60\nno home\n/\n".to_owned()));
    }

    #[test]
    fn however_it_ends_it_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let says = |text: &str| compile(&script(dir.path(), text)).unwrap_err();
        assert_eq!(says("echo bad magic >&2; exit 1"), "it does not compile: bad magic");
        assert!(says("echo '--memory wants a number' >&2; exit 2").ends_with("cannot be run: --memory wants a number"));
        assert_eq!(says("kill -XCPU $$"), "it does not compile within 60 s of CPU time");
        assert_eq!(says("kill -XFSZ $$"), "it does not compile within 512 MiB of native code");
        assert_eq!(
            says("echo memory allocation of 7 bytes failed >&2; kill -ABRT $$"),
            "it does not compile within 2048 MiB of memory"
        );
        assert!(
            says("echo oh >&2; kill -SEGV $$").starts_with("the compiler failed on it: signal: 11"),
            "{}",
            says("kill -SEGV $$")
        );
    }

    #[test]
    fn one_that_is_not_there_is_missed_where_it_should_be() {
        let missing = Helper::new(Some("/does/not/exist/salve-compile".into()));
        let error = compile(&missing).unwrap_err();
        assert!(error.contains("not in /does/not/exist") && error.contains("agent/compiler"), "{error}");
        let error = compile(&Helper::new(None)).unwrap_err();
        assert!(error.contains("/usr/libexec/salve"), "{error}");
    }

    #[test]
    fn one_that_talks_for_ever_is_heard_no_further_than_to_the_deadline() {
        let mut child = Command::new("yes").stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let said = listen(child.stderr.take().unwrap(), Instant::now() + Duration::from_millis(50)).unwrap();
        assert_eq!(said, None);
        kill(&mut child).unwrap();
        let mut child = Command::new("sh").args(["-c", "yes >&2"]).stderr(Stdio::piped()).spawn().unwrap();
        assert_eq!(listen(child.stderr.take().unwrap(), Instant::now() + Duration::from_millis(50)).unwrap(), None);
        kill(&mut child).unwrap();
    }

    #[test]
    fn one_that_falls_silent_and_stays_is_waited_for_no_longer_than_to_the_deadline() {
        let run = |script: &str| Command::new("sh").args(["-c", script]).stderr(Stdio::piped()).spawn().unwrap();
        let mut silent = run("exec 2>&-; exec sleep infinity");
        assert_eq!(attend(&mut silent, Instant::now() + Duration::from_millis(200)).unwrap(), None);
        kill(&mut silent).unwrap();
        let (status, said) =
            attend(&mut run("echo oh >&2; exit 3"), Instant::now() + limits::COMPILE_WALL).unwrap().unwrap();
        assert_eq!((status.code(), said.as_str()), (Some(3), "oh\n"));
    }
}
