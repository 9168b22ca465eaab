//! A plan to try guards on: `service.restart demo` under policy `web`, granted, in auto mode, with the default limits.

use std::time::Duration;

use super::{Answer, Because, Bucket, Guard, Request};
use crate::action::Action;
use crate::clock::{Now, Timestamp};
use crate::config::{Budget, HostRules, Mode, Pattern, Rules, Window};
use crate::incident::{Hold, Pending, Recency};

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn restart(target: &str) -> Action {
    Action { kind: "service.restart".into(), target: target.into(), parameters: vec![] }
}

pub(super) struct Plan {
    pub mode: Mode,
    pub ceiling: Mode,
    pub grant: Vec<&'static str>,
    pub unattended: bool,
    pub attempts: u32,
    pub recency: Recency,
    pub cooldown: Duration,
    pub maintenance: Vec<Window>,
    pub holds: Vec<Hold>,
    pub cause: Option<(&'static str, Because)>,
    pub falling: Option<&'static str>,
    pub leans: bool,
    pub age: Duration,
    pub under_way: usize,
    pub buckets: Vec<(String, Budget, Bucket)>,
    pub irreversible: Vec<String>,
    pub pending: Option<Pending>,
    pub now: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            mode: Mode::Auto,
            ceiling: Mode::Auto,
            grant: vec!["service.restart:demo"],
            unattended: false,
            attempts: 0,
            recency: Recency::default(),
            cooldown: Duration::ZERO,
            maintenance: vec![],
            holds: vec![],
            cause: None,
            falling: None,
            leans: false,
            age: Duration::ZERO,
            under_way: 0,
            buckets: vec![],
            irreversible: vec![],
            pending: None,
            now: seconds(1000),
        }
    }
}

impl Plan {
    pub(super) fn judge(self, guard: &dyn Guard) -> Answer {
        let rules = Rules {
            mode: self.mode,
            grant: self.grant.iter().map(|line| Pattern::parse(line).unwrap()).collect(),
            unattended: self.unattended,
            cooldown: self.cooldown,
            ..Rules::default()
        };
        guard.judge(&Request {
            rules: &rules,
            host: &HostRules { ceiling: self.ceiling, maintenance: self.maintenance, ..HostRules::default() },
            policy: "web",
            target: "demo",
            actions: &[restart("demo")],
            targets: &["demo".to_owned()].into(),
            irreversible: &self.irreversible,
            attempts: self.attempts,
            recency: self.recency,
            holds: &self.holds,
            trip: None,
            rival: None,
            cause: self.cause.as_ref().map(|(incident, because)| (*incident, because)),
            falling: self.falling,
            leans: self.leans,
            age: self.age,
            under_way: self.under_way,
            buckets: &self.buckets,
            flapping: None,
            pending: self.pending.as_ref(),
            now: Now { wall: Timestamp::from_nanos(self.now.as_nanos() as u64), mono: self.now },
        })
    }
}
