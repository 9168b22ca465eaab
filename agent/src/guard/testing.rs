//! A plan to try guards on: `service.restart demo`, granted, in auto mode, with the default limits.

use std::time::Duration;

use super::{Answer, Guard, Request};
use crate::action::Action;
use crate::clock::{Now, Timestamp};
use crate::config::{Mode, Pattern, Rules};
use crate::incident::Recency;

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) struct Plan {
    pub mode: Mode,
    pub ceiling: Mode,
    pub grant: Vec<&'static str>,
    pub attempts: u32,
    pub recency: Recency,
    pub cooldown: Duration,
    pub now: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            mode: Mode::Auto,
            ceiling: Mode::Auto,
            grant: vec!["service.restart:demo"],
            attempts: 0,
            recency: Recency::default(),
            cooldown: Duration::ZERO,
            now: seconds(1000),
        }
    }
}

impl Plan {
    pub(super) fn judge(self, guard: &dyn Guard) -> Answer {
        let rules = Rules {
            mode: self.mode,
            grant: self.grant.iter().map(|line| Pattern::parse(line).unwrap()).collect(),
            cooldown: self.cooldown,
            ..Rules::default()
        };
        let action = Action { kind: "service.restart".into(), target: "demo".into(), parameters: vec![] };
        guard.judge(&Request {
            rules: &rules,
            ceiling: self.ceiling,
            target: "demo",
            actions: &[action],
            attempts: self.attempts,
            recency: self.recency,
            now: Now { wall: Timestamp::default(), mono: self.now },
        })
    }
}
