//! The limits of a plugin, all in one table.
//!
//! A plugin cannot be trusted to be correct, let alone friendly. Each number here bounds what the worst one can take from
//! the host or its neighbours; none of them is in the way of a plugin that does its work. What [`TABLE`] lists has a name
//! in the configuration: `[agent.limits]` sets it for all, `[limits]` in a policy lowers it for one. The rest is fixed.

use std::time::Duration;

use crate::signal::Mailbox;

/// In what a limit is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds; written `"100ms"`.
    Time,
    /// Bytes; written `"32MiB"`.
    Bytes,
    /// Written as a whole number.
    Count,
}

/// For whom a limit can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// For all plugins by the agent's configuration, and lower for one by its policy.
    Policy,
    /// For all plugins only.
    Agent,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Its name in the configuration.
    pub key: &'static str,
    /// What its value is counted in.
    pub unit: Unit,
    /// Its value unless the agent's configuration says otherwise.
    pub default: u64,
    /// The lowest it can be set to.
    pub least: u64,
    /// The highest.
    pub most: u64,
    /// For whom it can be set.
    pub scope: Scope,
    /// What it bounds.
    pub what: &'static str,
    /// What happens beyond it.
    pub beyond: &'static str,
    read: fn(&Limits) -> u64,
    write: fn(&mut Limits, u64),
}

/// How a value of the table is held by [`Limits`].
trait Amount: Copy {
    fn of(value: u64) -> Self;
    fn value(self) -> u64;
}

impl Amount for Duration {
    fn of(value: u64) -> Self {
        Self::from_millis(value)
    }

    fn value(self) -> u64 {
        u64::try_from(self.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Amount for usize {
    fn of(value: u64) -> Self {
        Self::try_from(value).unwrap_or(Self::MAX)
    }

    fn value(self) -> u64 {
        self as u64
    }
}

macro_rules! table {
    ($($(#[doc = $what:literal])+ $field:ident: $held:ty = $key:literal $unit:ident $scope:ident,
        default $default:expr, from $least:expr, to $most:expr, beyond $beyond:literal;)+) => {
        /// The limits that hold for one instance.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Limits {
            $($(#[doc = $what])+ pub $field: $held,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($field: <$held as Amount>::of($default),)+ }
            }
        }

        /// Every limit that can be set, in the order documentation lists them.
        pub const TABLE: &[Limit] = &[$(Limit {
            key: $key,
            unit: Unit::$unit,
            default: $default,
            least: $least,
            most: $most,
            scope: Scope::$scope,
            what: concat!($($what),+),
            beyond: $beyond,
            read: |limits| limits.$field.value(),
            write: |limits, value| limits.$field = Amount::of(value),
        },)+];
    };
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

table! {
    /// CPU time of one call. One with 50 readings takes 2 µs. Counted on the calling thread, so a plugin does not pay for a
    /// loaded host.
    call_cpu: Duration = "call-cpu" Time Policy, default 100, from 20, to 2_000, beyond "the call is stopped: a strike";
    /// CPU time of all calls, in percent of one core; ten seconds' worth at once. Calls that take longer than 2 ms besides
    /// wait for each other, whatever plugin they are of.
    cpu_share: usize = "cpu-share" Count Policy, default 25, from 1, to 100, beyond "it is called later, and that is told";
    /// Wall time of one host function (`files.largest`, `state.set` while others write).
    host_call: Duration = "host-call" Time Policy, default 500, from 1, to 5_000,
        beyond "the function answers with an error, or the call ends where the contract knows none: a strike";
    /// Wall time of all host functions in one call together.
    host_calls: Duration = "host-calls" Time Policy, default 2_000, from 1, to 30_000,
        beyond "the call ends with the function under way: a strike";
    /// Linear memory of the instance. The stock plugins use about 1.2 MiB.
    memory: usize = "memory" Bytes Policy, default 32 * MIB, from 64 * KIB, to 1024 * MIB,
        beyond "the call is stopped: a strike";
    /// Elements of each table: the functions of a component with half a megabyte of code number about 2,000.
    table_elements: usize = "table-elements" Count Policy, default 20_000, from 1, to 1_000_000,
        beyond "the call is stopped: a strike; a plugin that begins with more does not load";
    /// Stack of a call. Deep recursion ends long before the host's own stack (2 MiB) does.
    stack: usize = "stack" Bytes Agent, default 512 * KIB, from 64 * KIB, to 1024 * KIB,
        beyond "the call is stopped: a strike";
    /// Bytes handed over at once, as the arguments of a host function or as an answer, before anybody looks at them.
    transfer: usize = "transfer" Bytes Policy, default MIB, from 4 * KIB, to 16 * MIB,
        beyond "the call is stopped: a strike";
    /// Bytes of an answer.
    answer: usize = "answer" Bytes Policy, default MIB, from KIB, to 16 * MIB, beyond "it is refused: a strike";
    /// Selectors of a subscription.
    selectors: usize = "selectors" Count Policy, default 1_024, from 1, to 10_000,
        beyond "the answer is refused: the plugin does not run";
    /// Findings of one `detect`.
    findings: usize = "findings" Count Policy, default 256, from 1, to 10_000, beyond "the answer is refused: a strike";
    /// Causes of one `diagnose`.
    causes: usize = "causes" Count Policy, default 16, from 1, to 256, beyond "the rest is left out";
    /// Actions of one plan.
    actions: usize = "actions" Count Policy, default 16, from 1, to 256,
        beyond "the answer is refused, because half of a plan is not a plan: a strike";
    /// Log lines a second; ten times as many at once.
    log_lines: usize = "log-lines" Count Policy, default 10, from 0, to 1_000, beyond "they are dropped and counted";
    /// Bytes of log a second; ten times as many at once.
    log_bytes: usize = "log-bytes" Bytes Policy, default 16 * KIB, from 0, to MIB, beyond "lines are dropped and counted";
    /// Keys of `state`.
    state_keys: usize = "state-keys" Count Policy, default 256, from 0, to 4_096, beyond "`set` answers with an error";
    /// Bytes of one value of `state`.
    state_value: usize = "state-value" Bytes Policy, default 64 * KIB, from 0, to MIB,
        beyond "`set` answers with an error";
    /// Bytes of `state`, keys and values.
    state_bytes: usize = "state-bytes" Bytes Policy, default 4 * MIB, from 0, to 64 * MIB,
        beyond "`set` answers with an error";
    /// Readings that wait for the plugin.
    mailbox_readings: usize = "mailbox-readings" Count Policy, default Mailbox::READINGS as u64, from 1, to 65_536,
        beyond "the oldest are dropped, counted, and the plugin is told";
    /// Events that wait for the plugin.
    mailbox_events: usize = "mailbox-events" Count Policy, default Mailbox::EVENTS as u64, from 1, to 16_384,
        beyond "the oldest are dropped, counted, and the plugin is told";
}

impl Limit {
    /// The row with that key.
    pub fn named(key: &str) -> Option<&'static Self> {
        TABLE.iter().find(|limit| limit.key == key)
    }

    /// Its value in `limits`.
    pub fn of(&self, limits: &Limits) -> u64 {
        (self.read)(limits)
    }

    /// Gives it a value.
    pub fn set(&self, limits: &mut Limits, value: u64) {
        (self.write)(limits, value);
    }

    /// A value of it as it is written in the configuration, without quotes.
    pub fn show(&self, value: u64) -> String {
        match self.unit {
            Unit::Time => humantime::format_duration(Duration::from_millis(value)).to_string(),
            Unit::Bytes => bytes(value),
            Unit::Count => value.to_string(),
        }
    }
}

/// A number of bytes in the largest unit that leaves no fraction.
pub(crate) fn bytes(value: u64) -> String {
    match value {
        0 => "0".to_owned(),
        _ if value.is_multiple_of(KIB * MIB) => format!("{}GiB", value / (KIB * MIB)),
        _ if value.is_multiple_of(MIB) => format!("{}MiB", value / MIB),
        _ if value.is_multiple_of(KIB) => format!("{}KiB", value / KIB),
        _ => format!("{value}B"),
    }
}

/// How often the CPU time of a call is looked at, while one is under way. A ticker at 10 ms costs 0.3 % of a core.
pub const TICK: Duration = Duration::from_millis(10);

/// Core instances, memories and tables of one component: an adapter or two, a shim, and the plugin itself.
pub const INSTANCES: usize = 32;

/// Bytes of one regular expression of a selector, as written. Before its compiled size is known, each `\w` in it takes some
/// 7 KB: half a megabyte of them would take the host's memory.
pub const EXPRESSION: usize = 4 << 10;
/// Those of one subscription together.
pub const EXPRESSIONS: usize = 64 << 10;

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

/// Longest text of a kind, target or key, in bytes.
pub const NAME: usize = 256;

/// Longest other text (summaries, reasons, log messages), in bytes; longer ones are cut.
pub const TEXT: usize = 4096;

/// Attributes of one fault, cause or action.
pub const ATTRIBUTES: usize = 64;

/// Longest wait, settle time or deadline a plugin may ask for: a day. Longer ones are shortened.
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// So many seconds' worth of log lines and bytes may be written at once.
pub const LOG_BURST: usize = 10;

/// So much time's worth of CPU time may be used at once.
pub const CPU_BURST: Duration = Duration::from_secs(10);

/// Files in one answer of `files.largest`.
pub const FILES: usize = 1000;

/// Handles of WASI that one instance may have at a time; the host's memory holds what they stand for.
pub const HANDLES: usize = 1000;

/// Random bytes to be had at once.
pub const RANDOM: u64 = 64 << 10;

/// Series in one answer of `history`; the first by name.
pub const HISTORY_SERIES: usize = 256;

/// Samples in one answer of `history`, 16 bytes each: four series for an hour at one a second, or 11 for a day by the
/// minute, before any is left out. With its names, an answer is no larger than [`Limits::transfer`].
pub const HISTORY_SAMPLES: usize = 16_384;

/// Largest plugin file.
pub const FILE: u64 = 64 << 20;

/// Address space of the compiler. One of a plugin of 18 MB (Python) needs 430 MB.
pub const COMPILE_MEMORY: u64 = 2 << 30;

/// CPU time of the compiler, all threads together. A plugin of 18 MB (Python) needs 9 s.
pub const COMPILE_CPU: Duration = Duration::from_secs(60);

/// How long compiling may take altogether, on a host that has little time for it.
pub const COMPILE_WALL: Duration = Duration::from_secs(180);

/// Compilers that run at one time; further plugins wait, except those whose native code is in the cache.
pub const COMPILERS: usize = 2;

/// Faults of one instance that are remembered to compare a new version with.
pub const PRESENT: usize = 4096;

/// Plugins that are loaded at one time, besides those that are compiled: each is held in memory meanwhile, by a thread of its own.
pub const LOADS: usize = 4;

/// Copies of good versions that are made at one time.
pub const COPIES: usize = 16;

/// Native code of one plugin. It has some three times the bytes of the plugin.
pub const NATIVE: u64 = 512 << 20;

/// Native code that is kept, of all plugins together.
pub const NATIVE_CACHE: u64 = 1 << 30;

/// The most of an error of a plugin that is shown and kept, in bytes.
pub const ERROR: usize = 1024;

/// What cannot be set, with its value: for the documentation.
pub fn fixed() -> Vec<(&'static str, String)> {
    vec![
        ("Largest plugin file", bytes(FILE)),
        ("Core instances, memories and tables of one component, each", INSTANCES.to_string()),
        ("How often the CPU time of a call is looked at", humantime::format_duration(TICK).to_string()),
        ("A kind or target; longer ones are refused", bytes(NAME as u64)),
        ("Any other text; longer ones are cut", bytes(TEXT as u64)),
        ("Attributes of one fault, cause or action; the rest is left out", ATTRIBUTES.to_string()),
        ("A wait, settle time or deadline; longer ones are shortened", "1day".to_owned()),
        ("A regular expression of a selector, as written", bytes(EXPRESSION as u64)),
        ("Those of one subscription together, as written", bytes(EXPRESSIONS as u64)),
        ("Patterns of one subscription together", bytes(SUBSCRIPTION as u64)),
        ("Regular expressions of one subscription", PATTERNS.to_string()),
        ("A regular expression of a selector, compiled", bytes(PATTERN as u64)),
        ("The same of up to four of them", bytes(LARGE_PATTERN as u64)),
        ("Handles of WASI at a time", HANDLES.to_string()),
        ("Random bytes at once", bytes(RANDOM)),
        ("Seconds' worth of log lines and bytes at once", LOG_BURST.to_string()),
        ("A key of `state`", bytes(crate::incident::ledger::Quota::KEY as u64)),
        ("Files in one answer of `files.largest`", FILES.to_string()),
        ("Series in one answer of `history`", HISTORY_SERIES.to_string()),
        ("Samples in one answer of `history`", HISTORY_SAMPLES.to_string()),
        ("An error of a plugin, as it is shown", bytes(ERROR as u64)),
    ]
}

/// The table as the documentation shows it, in Markdown.
pub fn markdown() -> String {
    let mut text = "| key | default | from | to | what | beyond it |\n|---|---|---|---|---|---|\n".to_owned();
    for limit in TABLE {
        let cells = [limit.default, limit.least, limit.most].map(|value| limit.show(value));
        let only = if limit.scope == Scope::Agent { " `[agent.limits]` only." } else { "" };
        let (what, beyond) = (limit.what.trim(), limit.beyond);
        text += &format!("| `{}` | {} | {what}{only} | {beyond} |\n", limit.key, cells.join(" | "));
    }
    text += "\n| fixed | at most |\n|---|---|\n";
    for (what, value) in fixed() {
        text += &format!("| {what} | {value} |\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_reads_and_writes_a_field_of_its_own_and_its_default_is_within_its_bounds() {
        let default = Limits::default();
        for (place, limit) in TABLE.iter().enumerate() {
            assert!(limit.least <= limit.default && limit.default <= limit.most, "{}", limit.key);
            assert_eq!(limit.of(&default), limit.default, "{}", limit.key);
            let mut limits = default;
            limit.set(&mut limits, limit.least + 7);
            assert_eq!(limit.of(&limits), limit.least + 7, "{}", limit.key);
            for (other, row) in TABLE.iter().enumerate().filter(|(other, _)| *other != place) {
                assert_eq!(row.of(&limits), row.default, "{other} moved with {}", limit.key);
                assert_ne!(row.key, limit.key);
            }
        }
    }

    #[test]
    fn the_documentation_has_the_table_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/limits.md");
        let document = std::fs::read_to_string(path).unwrap();
        let table = markdown();
        assert!(document.contains(&table), "docs/limits.md is not what the code says; put this into it:\n\n{table}");
    }
}
