//! What `journalctl` is told of what is wanted, so that it does not hand over the whole journal.

use std::collections::BTreeSet;

use super::{JournalMatch, is_unit};
use crate::signal::Selector;

/// The syslog words for priorities, from 0.
pub(super) const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// The arguments for `[logs.NAME]`.
pub(super) fn of_match(only: &JournalMatch) -> Vec<String> {
    let units = only.units.iter().map(|unit| format!("--unit={unit}"));
    let priority = only.priority.iter().map(|priority| format!("--priority={priority}"));
    let identifiers = only.identifiers.iter().map(|identifier| format!("--identifier={identifier}"));
    units.chain(priority).chain(identifiers).chain(only.fields.iter().cloned()).collect()
}

/// What all selectors have in common.
#[derive(Debug, PartialEq)]
pub(super) struct Narrowing {
    /// Their units, if each names one.
    units: Option<BTreeSet<String>>,
    /// The most and the least severe of theirs, if each names one.
    priorities: Option<(usize, usize)>,
}

impl Narrowing {
    pub(super) fn of(selectors: &[&Selector]) -> Self {
        // `journalctl` resolves a glob when it starts: it would never tell of a unit that comes later.
        let unit = |selector: &&Selector| Some(selector.subject()).filter(|unit| is_unit(unit) && !is_pattern(unit));
        let priority = |selector: &&Selector| {
            let word = selector.pattern("log.severity")?;
            SEVERITIES.iter().position(|known| *known == word)
        };
        let priorities: Option<BTreeSet<usize>> = selectors.iter().map(priority).collect();
        Self {
            units: selectors.iter().map(unit).collect(),
            priorities: priorities.and_then(|all| Some((*all.first()?, *all.last()?))),
        }
    }

    pub(super) fn arguments(&self) -> Vec<String> {
        let units = self.units.iter().flatten().map(|unit| format!("--unit={unit}"));
        let priority = self.priorities.iter().map(|(most, least)| format!("--priority={most}..{least}"));
        units.chain(priority).collect()
    }
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Attribute;

    fn selector(subject: &str, severity: Option<&str>) -> Selector {
        let severity = severity.map(|word| Attribute::new("log.severity", word));
        Selector::new("log.record", [Attribute::new("subject", subject)].into_iter().chain(severity).collect())
    }

    fn arguments(selectors: &[Selector]) -> Vec<String> {
        Narrowing::of(&selectors.iter().collect::<Vec<_>>()).arguments()
    }

    #[test]
    fn the_journal_is_narrowed_only_by_what_every_selector_says() {
        let (nginx, app) = (selector("nginx.service", Some("err")), selector("app.service", Some("crit")));
        assert_eq!(arguments(&[nginx.clone(), app]), ["--unit=app.service", "--unit=nginx.service", "--priority=2..3"]);
        assert_eq!(arguments(&[nginx.clone(), selector("app@*.service", Some("info"))]), ["--priority=3..6"]);
        assert_eq!(
            arguments(&[nginx.clone(), selector("b.service", None)]),
            ["--unit=b.service", "--unit=nginx.service"]
        );
        assert_eq!(arguments(&[nginx, selector("*", Some("*"))]), [""; 0]);
    }

    #[test]
    fn a_named_match_says_itself_what_it_wants() {
        let only = JournalMatch {
            units: vec!["a.service".to_owned()],
            priority: Some("err".to_owned()),
            identifiers: vec!["sshd".to_owned()],
            fields: vec!["_TRANSPORT=kernel".to_owned()],
            max_line: None,
        };
        assert_eq!(of_match(&only), ["--unit=a.service", "--priority=err", "--identifier=sshd", "_TRANSPORT=kernel"]);
    }
}
