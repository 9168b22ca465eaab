//! How often processes were replaced: one ended and another of the same name and unit came.
//!
//! A daemon's workers come and go without that being a restart: a process whose parent is one of the same name and unit is
//! not counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::identity::Identity;
use super::{NAME, UNIT};
use crate::signal::{Name, Sample, Selector, SeriesName};

/// The metric.
pub(super) const METRIC: &str = "process.restarts";
/// The most names and units that are counted; of those that nobody bears any more the longest gone is forgotten first.
const MOST: usize = 4096;

/// A name and a unit: who bears both is one of those that replace each other.
pub(super) type Group = (Arc<str>, Option<Arc<str>>);

/// The counts since each group was first seen.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    selectors: Vec<Selector>,
    groups: BTreeMap<Group, Count>,
}

#[derive(Debug)]
struct Count {
    series: SeriesName,
    /// Those that run.
    present: u64,
    /// Those that ended and that nobody has replaced.
    vacant: u64,
    restarts: u64,
    /// When the last of them ended.
    ended: Duration,
}

/// The group of a process.
pub(super) fn group(identity: &Identity) -> Group {
    (identity.name.clone(), identity.unit.clone())
}

impl Restarts {
    /// What is wanted from now on; what is not wanted any more is forgotten.
    pub(super) fn want(&mut self, selectors: Vec<Selector>) {
        self.groups.retain(|_, count| selectors.iter().any(|selector| selector.takes_series(&count.series)));
        self.selectors = selectors;
    }

    /// Whether nobody wants to know of any.
    pub(super) fn is_idle(&self) -> bool {
        self.selectors.is_empty()
    }

    /// Whether there is a count of it.
    pub(super) fn knows(&self, group: &Group) -> bool {
        self.groups.contains_key(group)
    }

    /// Whether somebody wants to know of this one.
    pub(super) fn counts(&self, identity: &Identity) -> bool {
        !self.selectors.is_empty() && self.takes(&series(identity))
    }

    /// One was there when it was first looked for its like, or has come: then it takes the place of one that ended.
    pub(super) fn came(&mut self, identity: &Identity) {
        if !self.counts(identity) {
            return;
        }
        let group = group(identity);
        if self.groups.len() >= MOST && !self.groups.contains_key(&group) && !self.make_room() {
            return;
        }
        let count = self.groups.entry(group).or_insert_with(|| Count {
            series: series(identity),
            present: 0,
            vacant: 0,
            restarts: 0,
            ended: Duration::ZERO,
        });
        count.present += 1;
        if count.vacant > 0 {
            (count.vacant, count.restarts) = (count.vacant - 1, count.restarts + 1);
        }
    }

    /// One has ended.
    pub(super) fn ended(&mut self, group: &Group, now: Duration) {
        if let Some(count) = self.groups.get_mut(group) {
            (count.present, count.vacant) = (count.present.saturating_sub(1), count.vacant + 1);
            count.ended = now;
        }
    }

    /// The counts: also of those that nobody has replaced yet.
    pub(super) fn samples(&self) -> impl Iterator<Item = Sample> {
        self.groups.values().map(|count| Sample { series: count.series.clone(), value: count.restarts as f64 })
    }

    fn takes(&self, series: &SeriesName) -> bool {
        self.selectors.iter().any(|selector| selector.takes_series(series))
    }

    fn make_room(&mut self) -> bool {
        let gone = self.groups.iter().filter(|(_, count)| count.present == 0);
        let longest = gone.min_by_key(|(_, count)| count.ended).map(|(group, _)| group.clone());
        longest.is_some_and(|group| self.groups.remove(&group).is_some())
    }
}

/// The series of a process's group: by what stays when one takes the place of another.
fn series(identity: &Identity) -> SeriesName {
    let mut attributes = vec![(Name::from(NAME), identity.name.clone())];
    attributes.extend(identity.unit.iter().map(|unit| (Name::from(UNIT), unit.clone())));
    SeriesName { metric: METRIC.into(), attributes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Attribute;

    fn identity(name: &str) -> Identity {
        Identity { pid: 7, started: 1, name: name.into(), owner: None, unit: Some("app.service".into()) }
    }

    #[test]
    fn there_is_room_for_so_many_and_those_who_run_are_kept() {
        let mut restarts = Restarts::default();
        restarts.want(vec![Selector::new(METRIC, vec![])]);
        for n in 0..MOST {
            restarts.came(&identity(&format!("p{n}")));
        }
        restarts.came(&identity("one more"));
        assert_eq!(restarts.samples().count(), MOST);
        assert!(!restarts.groups.contains_key(&group(&identity("one more"))), "everybody else runs");
        restarts.ended(&group(&identity("p7")), Duration::from_secs(2));
        restarts.ended(&group(&identity("p8")), Duration::from_secs(1));
        restarts.came(&identity("one more"));
        assert!(restarts.groups.contains_key(&group(&identity("one more"))));
        assert!(!restarts.groups.contains_key(&group(&identity("p8"))), "it was gone for longest");
        assert!(restarts.groups.contains_key(&group(&identity("p7"))));
    }

    #[test]
    fn who_is_not_wanted_is_not_counted_and_whoever_is_wanted_anew_begins_anew() {
        let wanted = |name: &str| vec![Selector::new(METRIC, vec![Attribute::new(NAME, name)])];
        let mut restarts = Restarts::default();
        restarts.want(wanted("app"));
        assert!(restarts.counts(&identity("app")) && !restarts.counts(&identity("other")));
        restarts.came(&identity("app"));
        restarts.ended(&group(&identity("app")), Duration::ZERO);
        restarts.came(&identity("app"));
        restarts.want(wanted("a*"));
        assert_eq!(restarts.samples().map(|it| it.value).collect::<Vec<_>>(), [1.0]);
        restarts.want(wanted("other"));
        restarts.want(wanted("app"));
        assert_eq!(restarts.samples().count(), 0);
    }
}
