//! How many bytes an answer has: its texts and numbers, without what holds them together.

use super::bindings::salve::plugin::types as wire;

/// Something that crosses from the sandbox.
pub(in crate::plugin) trait Weigh {
    /// Its bytes.
    fn weight(&self) -> usize;
}

/// A number, or the beginning of a list.
const WORD: usize = 8;

impl Weigh for String {
    fn weight(&self) -> usize {
        WORD + self.len()
    }
}

impl<T: Weigh> Weigh for Vec<T> {
    fn weight(&self) -> usize {
        WORD + self.iter().map(Weigh::weight).sum::<usize>()
    }
}

impl<T: Weigh> Weigh for Option<T> {
    fn weight(&self) -> usize {
        self.as_ref().map_or(0, Weigh::weight)
    }
}

impl<T: Weigh, E: Weigh> Weigh for Result<T, E> {
    fn weight(&self) -> usize {
        match self {
            Ok(value) => value.weight(),
            Err(error) => error.weight(),
        }
    }
}

impl Weigh for wire::Attribute {
    fn weight(&self) -> usize {
        let value = match &self.value {
            wire::Value::Text(text) => text.weight(),
            wire::Value::Integer(_) | wire::Value::Number(_) | wire::Value::Boolean(_) => WORD,
        };
        self.key.weight() + value
    }
}

impl Weigh for wire::Description {
    fn weight(&self) -> usize {
        let texts = [&self.name, &self.version, &self.summary, &self.config_schema];
        texts.into_iter().map(Weigh::weight).sum::<usize>() + self.wants.weight()
    }
}

impl Weigh for wire::Selector {
    fn weight(&self) -> usize {
        self.name.weight() + self.matching.weight() + self.body.weight()
    }
}

impl Weigh for wire::Subscription {
    fn weight(&self) -> usize {
        WORD + self.metrics.weight() + self.events.weight()
    }
}

impl Weigh for wire::Finding {
    fn weight(&self) -> usize {
        match self {
            Self::Present(fault) => {
                WORD + fault.kind.weight() + fault.target.weight() + fault.summary.weight() + fault.evidence.weight()
            }
            Self::Cleared((kind, target)) => kind.weight() + target.weight(),
        }
    }
}

impl Weigh for wire::Cause {
    fn weight(&self) -> usize {
        WORD + self.summary.weight() + self.path.weight() + self.evidence.weight()
    }
}

impl Weigh for wire::Action {
    fn weight(&self) -> usize {
        self.kind.weight() + self.target.weight() + self.parameters.weight()
    }
}

impl Weigh for wire::Recovery {
    fn weight(&self) -> usize {
        match self {
            Self::Act(plan) => 2 * WORD + plan.actions.weight(),
            Self::Wait(_) => WORD,
            Self::Escalate(reason) => reason.weight(),
        }
    }
}

impl Weigh for wire::Verdict {
    fn weight(&self) -> usize {
        match self {
            Self::Unhealthy(reason) => reason.weight(),
            Self::Healthy | Self::Undecided => WORD,
        }
    }
}
