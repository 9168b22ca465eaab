//! Which processes somebody wants to hear of.

use std::collections::BTreeSet;

use super::identity::Identity;
use super::{NAME, OWNER, PID, UNIT};
use crate::signal::Selector;

/// What selectors say of processes; the rest of what they say is the router's.
#[derive(Debug, Clone, Default)]
pub(in crate::signal::collector) struct Interest {
    selectors: Vec<Selector>,
    subject: Option<Subject>,
}

/// What an event's subject is for a process of this name and number.
pub(in crate::signal::collector) type Subject = fn(&str, u32) -> String;

impl Interest {
    /// Of these selectors, to whose events processes are `subject`.
    pub(in crate::signal::collector) fn new<'a>(
        selectors: impl IntoIterator<Item = &'a Selector>,
        subject: Subject,
    ) -> Self {
        Self { selectors: selectors.into_iter().cloned().collect(), subject: Some(subject) }
    }

    /// All of both.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.selectors.extend(other.selectors);
        self.subject = other.subject.or(self.subject);
        self
    }

    /// Whether nobody wants to hear of any process.
    pub(in crate::signal::collector) fn is_empty(&self) -> bool {
        self.selectors.is_empty()
    }

    /// The numbers of the wanted processes, if all are wanted by number: nothing needs to be searched then.
    pub(in crate::signal::collector) fn pids(&self) -> Option<BTreeSet<u32>> {
        let number = |selector: &Selector| {
            selector.pattern(PID).and_then(|text| text.parse().ok()).or_else(|| whole(selector.number(PID)?))
        };
        self.selectors.iter().map(number).collect()
    }

    /// Whether somebody wants processes by their user.
    pub(super) fn asks_owner(&self) -> bool {
        self.selectors.iter().any(|selector| selector.pattern(OWNER).is_some())
    }

    /// What to call a process that may be called any of `names`: as somebody asks for it, else by the first, else it is
    /// one that nobody wants.
    pub(super) fn name<'a>(&self, names: &'a [String], pid: u32) -> Option<&'a str> {
        let wanted = |selector: &Selector, name: &str| {
            selector.allows(NAME, name) && self.subject.is_none_or(|of| selector.allows("subject", &of(name, pid)))
        };
        let explicit = |selector: &&Selector| selector.pattern(NAME).is_some() || selector.pattern("subject").is_some();
        let asked = |name: &&String| self.selectors.iter().filter(explicit).any(|selector| wanted(selector, name));
        let open = |selector: &Selector| !explicit(&selector);
        let name = names.iter().find(asked);
        name.or_else(|| names.first().filter(|_| self.selectors.iter().any(open))).map(String::as_str)
    }

    /// Whether this process is wanted.
    pub(in crate::signal::collector) fn takes(&self, identity: &Identity) -> bool {
        self.selectors.iter().any(|selector| {
            let subject = |of: Subject| selector.allows("subject", &of(&identity.name, identity.pid));
            let says = |key: &str| selector.pattern(key).is_some() || selector.number(key).is_some();
            self.subject.is_none_or(subject)
                && [NAME, OWNER, PID, UNIT]
                    .into_iter()
                    .filter(|key| says(key))
                    .all(|key| identity.attribute(key).is_some_and(|text| selector.allows(key, &text)))
        })
    }
}

fn whole(number: f64) -> Option<u32> {
    // A cast saturates; what is no number of a process differs from the result.
    let pid = number as u32;
    (f64::from(pid) == number).then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::super::plain;
    use super::*;
    use crate::signal::{Attribute, Value};

    fn interest(attributes: &[&[(&str, Value)]]) -> Interest {
        let selector = |attributes: &&[(&str, Value)]| {
            let attributes = attributes.iter().map(|(key, value)| Attribute::new(*key, value.clone()));
            Selector::new("process.*", attributes.collect())
        };
        let selectors: Vec<_> = attributes.iter().map(selector).collect();
        Interest::new(&selectors, plain)
    }

    fn identity(pid: u32, name: &str, unit: Option<&str>) -> Identity {
        Identity { pid, started: 1, name: name.into(), owner: None, unit: unit.map(Into::into) }
    }

    #[test]
    fn numbers_alone_need_no_search() {
        let by_pid = interest(&[&[("process.pid", "7".into())], &[("process.pid", Value::Integer(9))]]);
        assert_eq!(by_pid.pids(), Some(BTreeSet::from([7, 9])));
        assert!(by_pid.takes(&identity(7, "a", None)) && by_pid.takes(&identity(9, "a", None)));
        assert!(!by_pid.takes(&identity(8, "a", None)));
        assert_eq!(interest(&[&[("process.pid", "7*".into())]]).pids(), None);
        assert_eq!(interest(&[&[("process.pid", Value::Integer(-1))]]).pids(), None);
        assert_eq!(interest(&[&[("process.pid", "7".into())], &[]]).pids(), None);
    }

    #[test]
    fn every_attribute_of_one_selector_must_fit() {
        let wanted = interest(&[&[("process.executable.name", "ngi*".into()), ("service.name", "web.service".into())]]);
        assert!(wanted.takes(&identity(1, "nginx", Some("web.service"))));
        assert!(!wanted.takes(&identity(1, "nginx", None)));
        assert!(!wanted.takes(&identity(1, "cat", Some("web.service"))));
        assert!(interest(&[&[]]).takes(&identity(1, "cat", None)));
        assert!(!interest(&[]).takes(&identity(1, "cat", None)));
    }
}
