//! How a process ended.

use rustix::process::WaitIdStatus;

use crate::signal::{Attribute, Value};

/// How a process ended; what is not known is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ending {
    /// What it returned.
    pub(super) code: Option<i32>,
    /// Which signal ended it.
    pub(super) signal: Option<i32>,
    /// Whether the signal left a core; not told where there was none.
    pub(super) core_dumped: Option<bool>,
}

impl Ending {
    /// Of a status as wait(2) gives it.
    pub(super) fn of_status(status: u32) -> Self {
        // Seven bits of signal, one of core, eight of code.
        match status & 0x7f {
            0 => Self { code: Some((status >> 8 & 0xff).cast_signed()), signal: None, core_dumped: None },
            signal => Self { code: None, signal: Some(signal.cast_signed()), core_dumped: Some(status & 0x80 != 0) },
        }
    }

    /// Of a status as waitid(2) gives it.
    pub(super) fn of_child(status: &WaitIdStatus) -> Self {
        let signal = status.terminating_signal();
        Self { code: status.exit_status(), signal, core_dumped: signal.map(|_| status.dumped()) }
    }

    /// As attributes of an event.
    pub(super) fn attributes(self) -> impl Iterator<Item = Attribute> {
        let integer = |key: &'static str| move |value: i32| Attribute::new(key, Value::Integer(value.into()));
        let code = self.code.map(integer("process.exit.code"));
        let signal = self.signal.map(integer("process.exit.signal"));
        let core = self.core_dumped.map(|dumped| Attribute::new("process.core_dumped", dumped));
        code.into_iter().chain(signal).chain(core)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_code_or_a_signal() {
        let ending = |code, signal, core_dumped| Ending { code, signal, core_dumped };
        assert_eq!(Ending::of_status(0), ending(Some(0), None, None));
        assert_eq!(Ending::of_status(0xff00), ending(Some(255), None, None));
        assert_eq!(Ending::of_status(9), ending(None, Some(9), Some(false)));
        assert_eq!(Ending::of_status(0x8b), ending(None, Some(11), Some(true)));
        let keys: Vec<_> = Ending::of_status(0x8b).attributes().map(|it| it.key).collect();
        assert_eq!(keys, ["process.exit.signal", "process.core_dumped"]);
        assert_eq!(Ending::default().attributes().count(), 0);
    }
}
