//! Processes that stay in a state they should soon leave: in uninterruptible sleep, or ended and not waited for.

use std::time::Duration;

/// How long a state must last to be told. Every process that reads a disk is in uninterruptible sleep for moments.
const LASTING: Duration = Duration::from_secs(5);

/// A state that a process should soon leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `D`: it waits in the kernel and hears no signal.
    DiskSleep,
    /// `Z`: it has ended and its parent does not ask how.
    Zombie,
}

impl Kind {
    /// In OpenTelemetry's manner.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::DiskSleep => "disk-sleep",
            Self::Zombie => "zombie",
        }
    }
}

/// What is to be told of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is in this state for so long.
    Lasts(Kind, Duration),
    /// It left this state after so long.
    Over(Kind, Duration),
}

/// How long a process is in such a state.
#[derive(Debug, Default)]
pub(super) struct Watch {
    spell: Option<Spell>,
}

#[derive(Debug)]
struct Spell {
    kind: Kind,
    /// What would have changed, had it left the state between two looks.
    mark: u64,
    since: Duration,
    /// After how long it is told next: each time twice as long, so that a process that stays for ever is told seldom.
    next: Duration,
    told: bool,
}

impl Watch {
    /// A look at the process at `now`: in which state it is, and a mark that stays the same while it does not leave it.
    pub(super) fn look(&mut self, kind: Option<Kind>, mark: u64, now: Duration) -> Option<Turn> {
        let same = self.spell.as_ref().is_some_and(|spell| Some(spell.kind) == kind && spell.mark == mark);
        if !same {
            let over = self.end(now);
            self.spell = kind.map(|kind| Spell { kind, mark, since: now, next: LASTING, told: false });
            return over;
        }
        let spell = self.spell.as_mut()?;
        let lasted = now.saturating_sub(spell.since);
        if lasted < spell.next {
            return None;
        }
        spell.told = true;
        while spell.next <= lasted {
            spell.next = spell.next.saturating_mul(2);
        }
        Some(Turn::Lasts(spell.kind, lasted))
    }

    /// The process is gone, or nobody asks any more.
    pub(super) fn end(&mut self, now: Duration) -> Option<Turn> {
        let spell = self.spell.take().filter(|spell| spell.told)?;
        Some(Turn::Over(spell.kind, now.saturating_sub(spell.since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_lasts_is_told_at_longer_and_longer_intervals() {
        let mut watch = Watch::default();
        let told: Vec<u64> = (0..100).filter(|s| watch.look(Some(Kind::DiskSleep), 1, at(*s)).is_some()).collect();
        assert_eq!(told, [5, 10, 20, 40, 80]);
        assert_eq!(watch.look(None, 2, at(100)), Some(Turn::Over(Kind::DiskSleep, at(100))));
        assert_eq!(watch.look(None, 2, at(101)), None);
    }

    #[test]
    fn a_process_that_reads_a_disk_all_the_time_is_not_stuck() {
        let mut watch = Watch::default();
        for second in 0..100 {
            assert_eq!(watch.look(Some(Kind::DiskSleep), second, at(second)), None, "at {second}");
        }
    }

    #[test]
    fn another_state_begins_anew() {
        let mut watch = Watch::default();
        watch.look(Some(Kind::DiskSleep), 1, at(0));
        assert_eq!(watch.look(Some(Kind::DiskSleep), 1, at(6)), Some(Turn::Lasts(Kind::DiskSleep, at(6))));
        assert_eq!(watch.look(Some(Kind::Zombie), 1, at(7)), Some(Turn::Over(Kind::DiskSleep, at(7))));
        assert_eq!(watch.look(Some(Kind::Zombie), 1, at(11)), None);
        assert_eq!(watch.look(Some(Kind::Zombie), 1, at(12)), Some(Turn::Lasts(Kind::Zombie, at(5))));
        assert_eq!(watch.end(at(13)), Some(Turn::Over(Kind::Zombie, at(6))));
        assert_eq!(watch.end(at(13)), None);
    }

    #[test]
    fn an_end_that_nobody_heard_the_beginning_of_is_not_told() {
        let mut watch = Watch::default();
        watch.look(Some(Kind::Zombie), 1, at(0));
        assert_eq!(watch.look(None, 1, at(2)), None);
    }
}
