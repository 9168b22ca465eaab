use std::collections::HashMap;

use super::{About, Incident, Record, State};

/// Tells how incidents move, from their records, to those who reason over them: an event `incident.state` for each move.
#[derive(Debug, Default)]
pub(super) struct Herald(HashMap<String, About>);

impl Herald {
    /// Knows what is open already.
    pub(super) fn knowing<'a>(open: impl Iterator<Item = &'a Incident>) -> Self {
        Self(open.map(|incident| (incident.id.clone(), About::from(incident))).collect())
    }

    /// Which incident a record moves, and to where.
    pub(super) fn hear(&mut self, record: &Record) -> Option<(About, State)> {
        match record {
            Record::Opened(incident) => {
                let about = About::from(&**incident);
                self.0.insert(about.id.clone(), about.clone());
                Some((about, incident.state))
            }
            Record::Moved { id, to: State::Resolved, .. } => Some((self.0.remove(id)?, State::Resolved)),
            Record::Moved { id, to, .. } => Some((self.0.get(id)?.clone(), *to)),
            Record::Raised { id, fault } => {
                let about = self.0.get_mut(id)?;
                (about.severity, about.summary) = (fault.severity, fault.summary.clone());
                None
            }
            Record::Began { id, attempt, .. } => {
                self.0.get_mut(id)?.attempts = *attempt;
                None
            }
            _ => None,
        }
    }
}
