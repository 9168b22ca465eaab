//! The limits of a plugin, all in one table.
//!
//! A plugin cannot be trusted to be correct, let alone friendly. Each number here bounds what the worst one can take from
//! the host or its neighbours; none of them is in the way of a plugin that does its work.

use std::time::Duration;

/// CPU time of one call. A call with 50 readings takes 2 µs; one that is still busy after fifty thousand times that is not
/// going to answer. Counted on the calling thread, so a plugin does not pay for a loaded host.
pub const CALL_CPU: Duration = Duration::from_millis(100);

/// How often the CPU time of a call is looked at, while one is under way. A ticker at 10 ms costs 0.3 % of a core.
pub const TICK: Duration = Duration::from_millis(10);

/// Linear memory of one instance. The stock plugins use about 1.2 MiB.
pub const MEMORY: usize = 32 << 20;

/// Elements of each table of one instance: the functions of a component with half a megabyte of code number about 2,000.
pub const TABLE_ELEMENTS: usize = 20_000;

/// Core instances, memories and tables of one component: an adapter or two, a shim, and the plugin itself.
pub const INSTANCES: usize = 32;

/// Stack of a call. Deep recursion ends in a trap long before the host's own stack (2 MiB) does.
pub const STACK: usize = 512 << 10;

/// Bytes a plugin may hand to the host in one call, either way: as arguments of a host function, or as its own answer.
/// The host copies them before it can look at them.
pub const HOSTCALL_FUEL: usize = 1 << 20;

/// Findings one `detect` may return; the rest is dropped and logged.
pub const FINDINGS: usize = 256;

/// Selectors of one subscription.
pub const SELECTORS: usize = 1024;

/// Bytes of all patterns of one subscription: each signal of the host is compared with them.
pub const SUBSCRIPTION: usize = 256 << 10;

/// Regular expressions of one subscription…
pub const PATTERNS: usize = 128;
/// …and the bytes that each may compile to…
pub const PATTERN: usize = 64 << 10;
/// …but for so many…
pub const LARGE_PATTERNS: usize = 4;
/// …which may be as large as this.
pub const LARGE_PATTERN: usize = 256 << 10;

/// Causes one `diagnose` may return.
pub const CAUSES: usize = 16;

/// Actions of one plan. A longer one is refused: half of a plan is not a plan.
pub const ACTIONS: usize = 16;

/// Longest text of a kind, target or key, in bytes.
pub const NAME: usize = 256;

/// Longest other text (summaries, reasons, log messages), in bytes; longer ones are cut.
pub const TEXT: usize = 4096;

/// Attributes of one fault, cause or action.
pub const ATTRIBUTES: usize = 64;

/// Longest wait, settle time or deadline a plugin may ask for: a day. Longer ones are shortened.
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Log lines a plugin may write at once, and how many more each second; what is beyond is counted and said.
pub const LOG_BURST: u32 = 100;
/// See [`LOG_BURST`].
pub const LOG_PER_SECOND: u32 = 10;

/// Handles of WASI that one instance may have at a time; the host's memory holds what they stand for.
pub const HANDLES: usize = 1000;

/// Random bytes to be had at once.
pub const RANDOM: u64 = 64 << 10;

/// Series in one answer of `history`; the first by name.
pub const HISTORY_SERIES: usize = 256;

/// Samples in one answer of `history`, 16 bytes each: four series for an hour at one a second, or 11 for a day by the
/// minute, before any is left out. With its names, an answer is no larger than [`HOSTCALL_FUEL`].
pub const HISTORY_SAMPLES: usize = 16_384;

/// Largest plugin file.
pub const FILE: u64 = 64 << 20;

/// Wait before a plugin that trapped runs again; it doubles with each trap in a row…
pub const RESTART_INITIAL: Duration = Duration::from_secs(1);
/// …up to this…
pub const RESTART_MAX: Duration = Duration::from_secs(300);
/// …and starts over after this long without one.
pub const RESTART_RESET: Duration = Duration::from_secs(600);
