//! What is wanted of a log, by the selectors of all instances.

use regex::Regex;

use super::publish::RECORD;
use super::{Filter, journal};
use crate::signal::{Demand, Selector};

/// Attributes that only records of the journal have.
const JOURNAL_ONLY: [&str; 5] =
    ["log.severity", "process.pid", "process.executable.name", "service.name", "syslog.identifier"];

/// The filter for the lines of the files of `[logs.NAME]`; none if nobody wants any.
pub(super) fn in_files(demand: &Demand, name: &str) -> Option<Filter> {
    let wants = |selector: &&Selector| {
        let asks_for = |key: &str| selector.pattern(key).is_some() || selector.number(key).is_some();
        selector.allows("subject", name)
            && selector.allows("log.source", "file")
            && !JOURNAL_ONLY.iter().any(|key| asks_for(key))
    };
    filter(demand.events(RECORD).filter(wants))
}

/// The filter for the records of a journal match called `name`; none if nobody wants any.
pub(super) fn in_match(demand: &Demand, name: &str) -> Option<Filter> {
    let wants = |selector: &&Selector| selector.allows("subject", name) && selector.allows("log.source", "journal");
    filter(demand.events(RECORD).filter(wants))
}

/// The selectors that want records of the journal by unit: those that say `log.source = "journal"`, and those whose subject
/// looks like a unit. Whoever says neither means the logs of the configuration.
pub(super) fn in_journal(demand: &Demand) -> Vec<&Selector> {
    let wants = |selector: &&Selector| {
        let source = selector.pattern("log.source");
        source.as_deref() == Some("journal") || (source.is_none() && journal::is_unit(&selector.subject()))
    };
    demand.events(RECORD).filter(wants).collect()
}

/// One filter for all of them; none without any.
pub(super) fn filter<'a>(selectors: impl Iterator<Item = &'a Selector>) -> Option<Filter> {
    let bodies: Vec<Option<Regex>> = selectors.map(|selector| selector.body().cloned()).collect();
    if bodies.is_empty() {
        return None;
    }
    // One without an expression wants everything.
    let all: Option<Vec<Regex>> = bodies.into_iter().collect();
    Some(all.map_or_else(Filter::everything, Filter::new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Attribute;

    fn demand(selectors: &[Selector]) -> Demand {
        Demand::new([], selectors)
    }

    fn selector(matching: &[(&str, &str)]) -> Selector {
        Selector::new("log.*", matching.iter().map(|(key, value)| Attribute::new(*key, *value)).collect())
    }

    #[test]
    fn files_are_wanted_by_name_and_lines_by_expression() {
        let error = Regex::new("error").unwrap();
        let of_app = selector(&[("subject", "app*"), ("log.source", "file")]).with_body(error);
        let both = demand(&[of_app.clone(), selector(&[("subject", "web")])]);
        assert!(in_files(&both, "db").is_none());
        assert!(in_files(&both, "web").unwrap().takes("anything"));
        let app = in_files(&both, "app-1").unwrap();
        assert!(app.takes("an error") && !app.takes("anything"));
        for matching in [("log.severity", "err"), ("log.source", "journal"), ("service.name", "x.service")] {
            assert!(in_files(&demand(&[selector(&[matching])]), "app").is_none(), "{matching:?}");
        }
        assert!(in_files(&demand(&[of_app, selector(&[])]), "app").unwrap().takes("anything"));
    }

    #[test]
    fn the_journal_is_read_for_who_names_it_or_a_unit() {
        for matching in
            [&[][..], &[("subject", "app")], &[("subject", "*")], &[("subject", "a.service"), ("log.source", "file")]]
        {
            assert!(in_journal(&demand(&[selector(matching)])).is_empty(), "{matching:?}");
        }
        for matching in [
            ("log.source", "journal"),
            ("subject", "nginx.service"),
            ("subject", "app@*.service"),
            ("subject", "*.timer"),
        ] {
            assert_eq!(in_journal(&demand(&[selector(&[matching])])).len(), 1, "{matching:?}");
        }
    }
}
