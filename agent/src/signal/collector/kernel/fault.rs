//! What the kernel's lines say, for those that tell a fault.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::oom::Oom;
use crate::signal::{Attribute, Value};

/// The OOM killer ended a process.
pub(super) const OOM_KILL: &str = "kernel.oom_kill";
/// A task waits in the kernel for longer than `kernel.hung_task_timeout_secs`.
pub(super) const HUNG_TASK: &str = "kernel.hung_task";
/// A device did not read or write.
pub(super) const IO_ERROR: &str = "kernel.io_error";
/// A file system takes no writes any more, because of an error.
pub(super) const REMOUNT: &str = "kernel.filesystem_remount";
/// A process did what a processor forbids.
pub(super) const SEGFAULT: &str = "kernel.segfault";
/// The hardware reports an error.
pub(super) const MCE: &str = "kernel.mce";
/// Every event of this collector.
pub(super) const ALL: [&str; 6] = [OOM_KILL, HUNG_TASK, IO_ERROR, REMOUNT, SEGFAULT, MCE];

/// A fault that a line tells.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    pub(super) name: &'static str,
    /// The process or the device.
    pub(super) subject: String,
    pub(super) attributes: Vec<Attribute>,
}

/// Reads line after line.
#[derive(Debug, Default)]
pub(super) struct Reader {
    oom: Oom,
}

impl Reader {
    /// The fault that this line of the kernel's tells, if it does.
    pub(super) fn line(&mut self, text: &str) -> Option<Fault> {
        self.oom
            .line(text)
            .or_else(|| hung_task(text))
            .or_else(|| io_error(text))
            .or_else(|| filesystem(text))
            .or_else(|| segfault(text))
            .or_else(|| machine_check(text))
    }
}

#[expect(clippy::unwrap_used, reason = "the expressions are constants, and each is compiled by a test")]
pub(super) fn pattern(expression: &str) -> Regex {
    Regex::new(expression).unwrap()
}

/// Who a process is, as far as the kernel says: of its name 15 bytes.
pub(super) fn process(pid: u32, name: &str) -> Vec<Attribute> {
    vec![Attribute::new("process.pid", pid), Attribute::new("process.executable.name", name)]
}

fn group<'a>(found: &Captures<'a>, index: usize) -> Option<&'a str> {
    found.get(index).map(|group| group.as_str())
}

fn integer(key: &str, text: Option<&str>) -> Option<Attribute> {
    Some(Attribute::new(key, Value::Integer(text?.parse().ok()?)))
}

static HUNG: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^INFO: task (.+):([0-9]+) blocked (?:in I/O wait )?for more than ([0-9]+) seconds"));

/// `INFO: task kworker/u8:2:1234 blocked for more than 120 seconds.`
fn hung_task(text: &str) -> Option<Fault> {
    let found = text.starts_with("INFO: task ").then(|| HUNG.captures(text))??;
    let name = group(&found, 1)?;
    let mut attributes = process(group(&found, 2)?.parse().ok()?, name);
    attributes.extend(integer("kernel.hung_task.duration", group(&found, 3)));
    Some(Fault { name: HUNG_TASK, subject: name.to_owned(), attributes })
}

static SECTOR: LazyLock<Regex> = LazyLock::new(|| {
    // `operation not supported error` is left out: it is how a device answers a discard that it does not know.
    pattern(
        r"(?:^|: )(I/O error|critical [a-z ]+ error|timeout error|protection error|device (?:resource|offline) error|recoverable transport error|(?:zone )?[a-z]+ zones? resource error), dev ([^\s,]+), (?:logical block|sector) ([0-9]+)(?: op 0x[0-9a-f]+:\(([A-Z_]+)\))?",
    )
});
static BUFFER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:Buffer|quiet_error: [0-9]+ callbacks suppressed Buffer) I/O error on dev(?:ice)? ([^\s,]+), logical block ([0-9]+)(?:, (.*))?",
    )
});

/// `I/O error, dev sda, sector 2048 op 0x0:(READ) flags 0x80700 …`, in older kernels after `blk_update_request: `,
/// `print_req_error: ` or `end_request: `; `Buffer I/O error on dev dm-0, logical block 7, lost async page write`.
fn io_error(text: &str) -> Option<Fault> {
    if !text.contains(" error") {
        return None;
    }
    let mut attributes = Vec::new();
    let device = if let Some(found) = SECTOR.captures(text) {
        attributes.extend(integer("kernel.io_error.sector", group(&found, 3)));
        let operation = group(&found, 4).map(str::to_ascii_lowercase);
        attributes.extend(operation.map(|it| Attribute::new("kernel.io_error.operation", it)));
        attributes.extend(group(&found, 1).map(|kind| Attribute::new("kernel.io_error.kind", kind)));
        group(&found, 2)?
    } else {
        let found = BUFFER.captures(text)?;
        attributes.extend(integer("kernel.io_error.block", group(&found, 2)));
        let operation = match group(&found, 3).unwrap_or_default() {
            lost if lost.contains("write") => "write",
            lost if lost.contains("read") => "read",
            _ => "",
        };
        attributes.extend((!operation.is_empty()).then(|| Attribute::new("kernel.io_error.operation", operation)));
        attributes.push(Attribute::new("kernel.io_error.kind", "Buffer I/O error"));
        group(&found, 1)?
    };
    attributes.insert(0, Attribute::new("system.device", device));
    Some(Fault { name: IO_ERROR, subject: device.to_owned(), attributes })
}

static FILESYSTEM: LazyLock<Regex> = LazyLock::new(|| {
    // `EXT4-fs (sda1): …`, `BTRFS info (device sda1 state EA): …`, `BTRFS: error (device sda1) in …: …`.
    pattern(r"^([A-Za-z0-9]+)(?:-fs|FS)?:? (?:[a-z]+ )?\((?:device )?([^\s():]+)[^()]*\)(?:: | in )(.*)$")
});

/// A file system that went read-only, or shut itself down, because of an error; not one that was told to.
fn filesystem(text: &str) -> Option<Fault> {
    const READ_ONLY: [&str; 4] = [
        "remounting filesystem read-only",
        "remounting filesystem as read-only",
        "forced readonly",
        "has been set read-only",
    ];
    const SHUT_DOWN: [&str; 2] = ["shutting down filesystem", "filesystem has been shut down due to log error"];
    let lower = text.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| lower.contains(words));
    let change = if says(&READ_ONLY) {
        "read-only"
    } else if says(&SHUT_DOWN) && !lower.contains("user initiated") {
        "shutdown"
    } else {
        return None;
    };
    let found = FILESYSTEM.captures(text)?;
    let kind = group(&found, 1)?.to_ascii_lowercase();
    let device = group(&found, 2)?;
    let attributes = vec![
        Attribute::new("system.device", device),
        Attribute::new("system.filesystem.type", kind.strip_suffix("-fs").unwrap_or(&kind)),
        Attribute::new("kernel.filesystem.change", change),
    ];
    Some(Fault { name: REMOUNT, subject: device.to_owned(), attributes })
}

static FAULTED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^(.+)\[([0-9]+)\]: (segfault)(?: \(11\))? at ([0-9a-f]+) (?:ip|nip|rip|epc|era) ([0-9a-f]+)")
});
static TRAPPED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^traps: (.+)\[([0-9]+)\] ((?:trap )?[a-z0-9 -]+?) ip:([0-9a-f]+) sp:[0-9a-f]+ error:"));
static UNHANDLED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^(.+)\[([0-9]+)\]: unhandled (?:exception: )?([^,]*?)(?: \(11\))?(?: at (0x[0-9a-f]+))?, [eE][sS][rR] ")
});
/// `… in libc.so.6[7f1c2d000000+195000]`; newer kernels put the offset in the object first.
static OBJECT: LazyLock<Regex> = LazyLock::new(|| pattern(r" in (.+?)\[(?:[0-9a-f]+,)?[0-9a-f]+\+[0-9a-f]+\]"));

/// `nginx[77]: segfault at 0 ip 00005581 sp 00007ffd error 4 in nginx[5581+9d000]` (x86, powerpc, riscv);
/// `traps: web[7] general protection fault ip:55 sp:7f error:0 in …`; `web[7]: unhandled exception: DABT (lower EL), ESR 0x…` (arm64).
fn segfault(text: &str) -> Option<Fault> {
    let relevant = text.contains("]: segfault ") || text.starts_with("traps: ") || text.contains("]: unhandled ");
    let (found, kind, address, pointer) = if !relevant {
        return None;
    } else if let Some(found) = FAULTED.captures(text) {
        (found, Some("segfault"), 4, 5)
    } else if let Some(found) = TRAPPED.captures(text) {
        (found, None, usize::MAX, 4)
    } else {
        (UNHANDLED.captures(text)?, None, 4, usize::MAX)
    };
    let name = group(&found, 1)?;
    let mut attributes = process(group(&found, 2)?.parse().ok()?, name);
    attributes.push(Attribute::new("kernel.segfault.kind", kind.or_else(|| group(&found, 3))?));
    let hexadecimal = |text: &str| format!("0x{}", text.trim_start_matches("0x"));
    attributes.extend(group(&found, address).map(|it| Attribute::new("kernel.segfault.address", hexadecimal(it))));
    attributes.extend(
        group(&found, pointer).map(|it| Attribute::new("kernel.segfault.instruction_pointer", hexadecimal(it))),
    );
    // After the name of the process, which may hold anything.
    let rest = text.get(found.get(0)?.end()..)?;
    let object = OBJECT.captures(rest).and_then(|found| group(&found, 1));
    attributes.extend(object.map(|object| Attribute::new("kernel.segfault.object", object)));
    Some(Fault { name: SEGFAULT, subject: name.to_owned(), attributes })
}

static CHECK: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\[Hardware Error\]: (?:CPU ([0-9]+): Machine Check(?: Exception)?: [0-9a-f]+ Bank ([0-9]+)|(Machine check events logged)|(Corrected error)|((?:Deferred|Uncorrected)[a-z ]*(?:error)?)|event severity: ([a-z-]+))",
    )
});
static EDAC: LazyLock<Regex> = LazyLock::new(|| pattern(r"^EDAC [^ ]*MC([0-9]+)[^ ]*: ([0-9]+) (CE|UE) (.+)"));

/// `mce: [Hardware Error]: CPU 0: Machine Check: 0 Bank 5: be00000000800400`, its AMD and APEI forms, and
/// `EDAC MC0: 1 CE memory read error on CPU_SrcID#0 …`. Further lines of one report tell nothing new.
fn machine_check(text: &str) -> Option<Fault> {
    let fault = |subject: String, kind: &str, more: Vec<Attribute>| {
        let mut attributes = vec![Attribute::new("kernel.mce.kind", kind)];
        attributes.extend(more);
        Some(Fault { name: MCE, subject, attributes })
    };
    if text.starts_with("EDAC ") {
        let found = EDAC.captures(text)?;
        let kind = if group(&found, 3)? == "CE" { "corrected" } else { "uncorrected" };
        let count = integer("kernel.mce.count", group(&found, 2)).into_iter().collect();
        return fault(format!("memory{}", group(&found, 1)?), kind, count);
    }
    let found = text.contains("[Hardware Error]: ").then(|| CHECK.captures(text))??;
    if let Some(cpu) = group(&found, 1) {
        let bank = integer("kernel.mce.bank", group(&found, 2)).into_iter().collect();
        return fault(format!("cpu{cpu}"), "machine-check", bank);
    }
    let severity = match (group(&found, 6), group(&found, 4), group(&found, 5)) {
        (Some("corrected"), ..) | (_, Some(_), _) => "corrected",
        (Some("info"), ..) => return None,
        (Some(_), ..) | (.., Some(_)) => "uncorrected",
        (None, None, None) => "machine-check",
    };
    fault("hardware".to_owned(), severity, Vec::new())
}

#[cfg(test)]
pub(super) mod testing {
    use crate::signal::Attribute;

    /// `key=value …`.
    pub(in super::super) fn text(attributes: &[Attribute]) -> String {
        let text: Vec<_> = attributes.iter().map(|it| format!("{}={}", it.key, it.value)).collect();
        text.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::text;
    use super::*;

    fn told(line: &str) -> Option<String> {
        let fault = Reader::default().line(line)?;
        Some(format!("{} {}: {}", fault.name, fault.subject, text(&fault.attributes)))
    }

    #[test]
    fn real_lines_are_told() {
        for (line, expected) in [
            (
                "INFO: task kworker/u8:2:1234 blocked for more than 120 seconds.",
                "kernel.hung_task kworker/u8:2: process.pid=1234 process.executable.name=kworker/u8:2 kernel.hung_task.duration=120",
            ),
            (
                "INFO: task jbd2/sda1-8:301 blocked in I/O wait for more than 245 seconds.",
                "kernel.hung_task jbd2/sda1-8: process.pid=301 process.executable.name=jbd2/sda1-8 kernel.hung_task.duration=245",
            ),
            (
                "I/O error, dev sda, sector 2048 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 2",
                "kernel.io_error sda: system.device=sda kernel.io_error.sector=2048 kernel.io_error.operation=read kernel.io_error.kind=I/O error",
            ),
            (
                "blk_update_request: critical medium error, dev nvme0n1, sector 98765 op 0x1:(WRITE) flags 0x800 phys_seg 4 prio class 0",
                "kernel.io_error nvme0n1: system.device=nvme0n1 kernel.io_error.sector=98765 kernel.io_error.operation=write kernel.io_error.kind=critical medium error",
            ),
            (
                "end_request: I/O error, dev sdb, sector 0",
                "kernel.io_error sdb: system.device=sdb kernel.io_error.sector=0 kernel.io_error.kind=I/O error",
            ),
            (
                "Buffer I/O error on device sda1, logical block 0",
                "kernel.io_error sda1: system.device=sda1 kernel.io_error.block=0 kernel.io_error.kind=Buffer I/O error",
            ),
            (
                "a.out[9]: segfault (11) at 0 nip 100005a8 lr 10000594 code 1 in a.out[10000000+10000]",
                "kernel.segfault a.out: process.pid=9 process.executable.name=a.out kernel.segfault.kind=segfault kernel.segfault.address=0x0 \
                 kernel.segfault.instruction_pointer=0x100005a8 kernel.segfault.object=a.out",
            ),
            (
                "Buffer I/O error on dev dm-0, logical block 9961, lost async page write",
                "kernel.io_error dm-0: system.device=dm-0 kernel.io_error.block=9961 kernel.io_error.operation=write kernel.io_error.kind=Buffer I/O error",
            ),
            (
                "EXT4-fs (sda1): Remounting filesystem read-only",
                "kernel.filesystem_remount sda1: system.device=sda1 system.filesystem.type=ext4 kernel.filesystem.change=read-only",
            ),
            (
                "BTRFS info (device sdb1 state EA): forced readonly",
                "kernel.filesystem_remount sdb1: system.device=sdb1 system.filesystem.type=btrfs kernel.filesystem.change=read-only",
            ),
            (
                "BTRFS info (device dm-1: state EA): forced readonly",
                "kernel.filesystem_remount dm-1: system.device=dm-1 system.filesystem.type=btrfs kernel.filesystem.change=read-only",
            ),
            (
                "XFS (dm-0): Corruption of in-memory data (0x8) detected at xfs_trans_cancel+0x15f/0x180 [xfs] (fs/xfs/xfs_trans.c:1098).  Shutting down filesystem.",
                "kernel.filesystem_remount dm-0: system.device=dm-0 system.filesystem.type=xfs kernel.filesystem.change=shutdown",
            ),
            (
                "XFS (sdc1): Log I/O Error Detected. Shutting down filesystem",
                "kernel.filesystem_remount sdc1: system.device=sdc1 system.filesystem.type=xfs kernel.filesystem.change=shutdown",
            ),
            (
                "FAT-fs (sdd1): Filesystem has been set read-only",
                "kernel.filesystem_remount sdd1: system.device=sdd1 system.filesystem.type=fat kernel.filesystem.change=read-only",
            ),
            (
                "nginx[77]: segfault at 0 ip 000055d0c0ffee00 sp 00007ffd8a1b2c30 error 4 in libc.so.6[7f1c2d000000+195000] likely on CPU 1 (core 1, socket 0)",
                "kernel.segfault nginx: process.pid=77 process.executable.name=nginx kernel.segfault.kind=segfault kernel.segfault.address=0x0 \
                 kernel.segfault.instruction_pointer=0x000055d0c0ffee00 kernel.segfault.object=libc.so.6",
            ),
            (
                "a b[1][78]: segfault at 7f00 ip 0000000000001149 sp 00007ffe error 6 in a b[1149,55d0c0ffe000+1000] likely on CPU 0 (core 0, socket 0)",
                "kernel.segfault a b[1]: process.pid=78 process.executable.name=a b[1] kernel.segfault.kind=segfault kernel.segfault.address=0x7f00 \
                 kernel.segfault.instruction_pointer=0x0000000000001149 kernel.segfault.object=a b",
            ),
            (
                "nginx[79]: segfault at 10 ip 0000000000000010 sp 00007ffd8a1b2c30 error 14",
                "kernel.segfault nginx: process.pid=79 process.executable.name=nginx kernel.segfault.kind=segfault kernel.segfault.address=0x10 \
                 kernel.segfault.instruction_pointer=0x0000000000000010",
            ),
            (
                "traps: web[7] general protection fault ip:55d0c0ffee sp:7ffd error:0 in web[55d0c0f00000+1000]",
                "kernel.segfault web: process.pid=7 process.executable.name=web kernel.segfault.kind=general protection fault \
                 kernel.segfault.instruction_pointer=0x55d0c0ffee kernel.segfault.object=web",
            ),
            (
                "traps: web[7] trap invalid opcode ip:55d0c0ffee sp:7ffd error:0 in web[55d0c0f00000+1000]",
                "kernel.segfault web: process.pid=7 process.executable.name=web kernel.segfault.kind=trap invalid opcode \
                 kernel.segfault.instruction_pointer=0x55d0c0ffee kernel.segfault.object=web",
            ),
            (
                "web[7]: unhandled level 2 translation fault (11) at 0x00000010, esr 0x92000046, in web[400000+1000]",
                "kernel.segfault web: process.pid=7 process.executable.name=web kernel.segfault.kind=level 2 translation fault \
                 kernel.segfault.address=0x00000010 kernel.segfault.object=web",
            ),
            (
                "mce: [Hardware Error]: CPU 3: Machine Check: 0 Bank 5: be00000000800400",
                "kernel.mce cpu3: kernel.mce.kind=machine-check kernel.mce.bank=5",
            ),
            (
                "mce: [Hardware Error]: Machine check events logged",
                "kernel.mce hardware: kernel.mce.kind=machine-check",
            ),
            (
                "[Hardware Error]: Corrected error, no action required.",
                "kernel.mce hardware: kernel.mce.kind=corrected",
            ),
            ("{1}[Hardware Error]: event severity: recoverable", "kernel.mce hardware: kernel.mce.kind=uncorrected"),
            (
                "EDAC MC0: 2 CE memory read error on CPU_SrcID#0_Ha#0_Chan#1_DIMM#0 (channel:1 slot:0 page:0x1 offset:0x0)",
                "kernel.mce memory0: kernel.mce.kind=corrected kernel.mce.count=2",
            ),
        ] {
            assert_eq!(told(line).as_deref(), Some(expected), "{line}");
        }
    }

    #[test]
    fn lines_that_are_no_fault_are_not_told() {
        for line in [
            "",
            "EXT4-fs (sda1): re-mounted 1234 ro. Quota mode: none.",
            "EXT4-fs (sda1): mounted filesystem with ordered data mode. Quota mode: none.",
            "XFS (sdc1): User initiated shutdown received. Shutting down filesystem",
            "XFS (sdc1): Unmounting Filesystem",
            "blk_update_request: operation not supported error, dev loop0, sector 0 op 0x9:(WRITE_ZEROES) flags 0x800 phys_seg 0 prio class 0",
            "INFO: task a:7 is blocked on a mutex likely owned by task b:8.",
            "INFO: rcu_sched self-detected stall on CPU",
            "[Hardware Error]: TSC 0 ADDR 7f",
            "mce: CPU0: Thermal monitoring enabled (TM1)",
            "{1}[Hardware Error]: event severity: info",
            "EDAC MC: Ver: 3.0.0",
            "traps: ",
            "x[]: segfault at ip sp error",
        ] {
            assert_eq!(told(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_safe(line in "(INFO: task |Killed process |oom-kill:constraint=|traps: |EDAC |I/O error, dev |a\\[7\\]: segfault at )?.{0,200}") {
            drop(told(&line));
        }
    }
}
