//! What the compiler gives up before it reads anything of a plugin.

use rustix::process::{Resource, Rlimit, Signal, setrlimit};

use crate::Limits;

/// Bounds memory, CPU time and output, and gives up new privileges, the network, files and other programs, for all threads
/// that begin from here on.
pub(crate) fn this_process(limits: &Limits) -> Result<(), String> {
    for (resource, limit) in [
        (Resource::As, limits.memory),
        (Resource::Cpu, limits.cpu),
        (Resource::Fsize, limits.output),
        (Resource::Core, 0),
    ] {
        let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
        setrlimit(resource, limit).map_err(|error| format!("{resource:?}: {error}"))?;
    }
    // Of what is left over when the agent is killed.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())?;
    // Recovery goes first, and where memory runs out this process goes first. Neither is worth failing for.
    let _ = rustix::process::nice(10);
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    rustix::thread::set_no_new_privs(true).map_err(|error| format!("no new privileges: {error}"))?;
    system_calls()
}

/// From here on only system calls that memory, threads and the two streams need; every other one fails with EPERM.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
fn system_calls() -> Result<(), String> {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

    const ALLOWED: [i64; 39] = [
        // the two streams
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_statx,
        libc::SYS_lseek,
        libc::SYS_fcntl,
        libc::SYS_ppoll,
        // memory
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        // threads
        libc::SYS_clone,
        libc::SYS_clone3,
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_prctl,
        libc::SYS_membarrier,
        libc::SYS_prlimit64,
        // signals: a stack overflow is told, and then it ends
        libc::SYS_sigaltstack,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_tgkill,
        libc::SYS_restart_syscall,
        // time and randomness
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_getrandom,
        // the end
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    let arch = std::env::consts::ARCH.try_into().map_err(|error| format!("system calls: {error}"))?;
    let rules = ALLOWED.into_iter().map(|call| (call, vec![])).collect();
    let denied = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, denied, SeccompAction::Allow, arch);
    let program: Result<BpfProgram, _> = filter.and_then(TryInto::try_into);
    let program = program.map_err(|error| format!("system calls: {error}"))?;
    match seccompiler::apply_filter(&program) {
        Ok(()) => Ok(()),
        // A kernel without seccomp: what the limits bound stays bounded.
        Err(error) if is_unknown(&error) => Ok(()),
        Err(error) => Err(format!("system calls: {error}")),
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
fn is_unknown(error: &seccompiler::Error) -> bool {
    let cause = match error {
        seccompiler::Error::Prctl(cause) | seccompiler::Error::Seccomp(cause) => cause,
        _ => return false,
    };
    matches!(cause.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL))
}

/// On this processor the filter's library cannot help: what the limits bound is bounded.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
fn system_calls() -> Result<(), String> {
    Ok(())
}
