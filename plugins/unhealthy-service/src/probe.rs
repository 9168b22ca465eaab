use std::time::Duration;

use salve_plugin_sdk::detect::{Limit, Resume, Threshold};
use salve_plugin_sdk::{log, prelude::*, state};

/// What is known of a probe.
pub struct Probe {
    /// Its name.
    pub name: String,
    /// The service that answers it.
    pub service: String,
    slow: Option<Threshold>,
    answer: Option<Answer>,
    duration: Option<(Duration, f64)>,
}

/// Its last state.
struct Answer {
    status: String,
    message: String,
    kind: String,
    code: Option<i64>,
}

impl Probe {
    /// Nothing known but what was kept of its slowness.
    pub fn new(name: &str, service: &str, slow: Option<Limit>) -> Self {
        let slow = slow.map(|limit| Threshold::new(limit).resume(state::get(&key(name))));
        Self { name: name.to_owned(), service: service.to_owned(), slow, answer: None, duration: None }
    }

    /// Takes its state.
    pub fn take(&mut self, event: &Event) {
        let text = |key: &str| event.text(key).unwrap_or_default().to_owned();
        self.answer = Some(Answer {
            status: text("probe.status"),
            message: text("probe.message"),
            kind: text("probe.kind"),
            code: event.integer("http.response.status_code"),
        });
    }

    /// Takes how long an answer took, in seconds.
    pub fn took(&mut self, at: Duration, seconds: f64) {
        if !(seconds >= 0.0 && seconds.is_finite()) {
            return;
        }
        self.duration = Some((at, seconds));
        let Some(slow) = &mut self.slow else { return };
        let before = slow.is_raised();
        if slow.push(at, seconds) != before
            && let Err(error) = state::set(&key(&self.name), slow)
        {
            log::warn!("the slowness of {} is forgotten at the next restart: {error}", self.name);
        }
    }

    /// Whether it is down; `None` while that is not known. What is `unknown` could not be asked, and a warning is an answer.
    pub fn is_down(&self) -> Option<bool> {
        match self.answer.as_ref()?.status.as_str() {
            "down" => Some(true),
            "up" | "warning" => Some(false),
            _ => None,
        }
    }

    /// Whether its answers are too slow; `None` while that is not known, `Some(false)` where nobody minds.
    pub fn is_slow(&self) -> Option<bool> {
        self.slow.as_ref().map_or(Some(false), Threshold::is_raised)
    }

    /// When its duration was last told.
    pub fn told(&self) -> Option<Duration> {
        self.duration.map(|(at, _)| at)
    }

    /// What it says.
    pub fn summary(&self) -> String {
        let Self { name, answer, duration, .. } = self;
        match (answer, duration) {
            (Some(answer), _) if answer.status == "down" => match answer.message.as_str() {
                "" => format!("probe {name} is down"),
                message => format!("probe {name}: {message}"),
            },
            (_, Some((_, seconds))) => format!("probe {name} takes {seconds:.1} s"),
            _ => format!("probe {name} says nothing"),
        }
    }

    /// What its answer tells of why a service that runs does not answer it.
    pub fn cause(&self, kind: &str) -> Cause {
        let answer = self.answer.as_ref().filter(|answer| answer.status == "down");
        let message = answer.map_or("", |answer| answer.message.as_str()).to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        let (why, way, confidence) = match answer {
            None => ("it answers, but slowly: it is overloaded, or waits for something", "slow", 0.5),
            Some(Answer { code: Some(500..), .. }) => ("it answers with an error of its own", "error", 0.8),
            Some(Answer { code: Some(_), .. }) => ("it answers, but not what is expected", "unexpected answer", 0.6),
            _ if says(&["refused"]) => ("it runs and does not listen", "not listening", 0.8),
            _ if says(&["timed out", "timeout", "no answer", "took longer", "did not end"]) => {
                ("it runs and hangs", "hang", 0.8)
            }
            _ => ("it runs and does not answer as it should", "no answer", 0.5),
        };
        let cause = Cause::new(why, confidence).path([kind, way]).evidence("probe.name", self.name.as_str());
        answer.into_iter().fold(cause, |cause, answer| {
            cause.evidence("probe.kind", answer.kind.as_str()).evidence("probe.message", answer.message.as_str())
        })
    }
}

fn key(name: &str) -> String {
    format!("slow:{name}")
}
