//! Which signals the bus is asked for: as few as will do, so that other units' changes do not wake the agent.

use std::collections::{BTreeMap, BTreeSet};

use super::name::{self, UNITS, Wanted};

/// Up to so many units have match rules of their own, two each. The system bus allows 512 for one connection.
const OWN_RULES_MAX: usize = 100;

/// The match rules for the `wanted` units; `aliases` leads from a wanted name to the unit that it is another name of.
pub(super) fn rules(wanted: &Wanted, aliases: &BTreeMap<String, String>) -> BTreeSet<String> {
    let manager = |rest: &str| {
        format!(
            "type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1',\
             interface='org.freedesktop.systemd1.Manager',{rest}"
        )
    };
    let properties = |place: &str| {
        format!(
            "type='signal',sender='org.freedesktop.systemd1',{place},\
             interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'"
        )
    };
    let mut rules = BTreeSet::from([
        manager("member='Reloading'"),
        "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',interface='org.freedesktop.DBus',\
         member='NameOwnerChanged',arg0='org.freedesktop.systemd1'"
            .to_owned(),
    ]);
    if wanted.globs.is_empty() && wanted.exact.len() <= OWN_RULES_MAX {
        for unit in wanted.exact.iter().chain(aliases.values()) {
            rules.insert(properties(&format!("path='{}'", name::path(unit))));
            rules.insert(manager(&format!("member='JobRemoved',arg2='{unit}'")));
        }
    } else {
        rules.insert(properties(&format!("path_namespace='{UNITS}'")));
        rules.insert(manager("member='JobRemoved'"));
        rules.insert(manager("member='UnitRemoved'"));
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(names: &[&str]) -> Wanted {
        Wanted::new(&names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn single_units_have_rules_of_their_own_and_so_has_what_an_alias_leads_to() {
        let aliases = BTreeMap::from([("a.service".to_owned(), "b.service".to_owned())]);
        let all = rules(&wanted(&["a.service"]), &aliases);
        assert_eq!(all.len(), 2 + 4);
        assert!(all.iter().any(|rule| rule.contains("path='/org/freedesktop/systemd1/unit/b_2eservice'")));
        assert!(all.iter().any(|rule| rule.contains("arg2='b.service'")));
    }

    #[test]
    fn patterns_and_many_units_are_watched_by_wide_rules() {
        let many: Vec<String> = (0..=OWN_RULES_MAX).map(|n| format!("unit{n}.service")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for names in [&["*"][..], &many] {
            let all = rules(&wanted(names), &BTreeMap::new());
            assert_eq!(all.len(), 2 + 3);
            assert!(all.iter().any(|rule| rule.contains("path_namespace='/org/freedesktop/systemd1/unit'")));
        }
    }
}
