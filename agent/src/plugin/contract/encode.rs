//! Own types into the wire's.

use std::sync::Arc;

use super::bindings::salve::plugin::{history, types as wire};
use crate::action::{Action, Outcome};
use crate::clock::Timestamp;
use crate::incident::{Attempt, Cause, Fault, Incident, Severity, Verdict};
use crate::signal::{Attribute, Batch, Event, Name, Past, Series, SeriesName, Value};

/// A batch of signals.
pub(in crate::plugin) fn batch(batch: Batch) -> wire::Batch {
    wire::Batch {
        at: batch.at.as_nanos(),
        new_series: batch.new_series.into_iter().map(series).collect(),
        gone_series: batch.gone_series,
        readings: batch.readings.into_iter().map(|r| wire::Reading { series: r.series, value: r.value }).collect(),
        events: batch.events.into_iter().map(event).collect(),
        dropped: batch.dropped,
    }
}

/// An incident, as of now.
pub(in crate::plugin) fn incident(incident: Incident, at: Timestamp) -> wire::Incident {
    wire::Incident {
        id: incident.id,
        at: at.as_nanos(),
        opened: incident.opened_at.as_nanos(),
        fault: fault(incident.fault),
        causes: incident.causes.into_iter().map(cause).collect(),
        round: incident.round,
        attempts: incident.attempts.into_iter().map(attempt).collect(),
    }
}

/// Attributes.
pub(in crate::plugin) fn attributes(attributes: Vec<Attribute>) -> Vec<wire::Attribute> {
    let attribute = |attribute: Attribute| wire::Attribute { key: attribute.key, value: value(attribute.value) };
    attributes.into_iter().map(attribute).collect()
}

/// What a series was.
pub(in crate::plugin) fn past(past: Past) -> history::Past {
    let samples = past.samples.into_iter().map(|(at, value)| (at.as_nanos(), value));
    let (metric, attributes) = name(&past.series);
    history::Past { metric, attributes, samples: samples.collect() }
}

fn series(series: Series) -> wire::Series {
    let (metric, attributes) = name(&series.name);
    wire::Series { id: series.number, metric, attributes }
}

fn name(series: &SeriesName) -> (String, Vec<wire::Attribute>) {
    let text = |(key, text): &(Name, Arc<str>)| wire::Attribute {
        key: key.to_string(),
        value: wire::Value::Text(text.to_string()),
    };
    (series.metric.to_string(), series.attributes.iter().map(text).collect())
}

fn event(event: Event) -> wire::Event {
    wire::Event {
        name: event.name.to_string(),
        subject: event.subject,
        attributes: attributes(event.attributes),
        body: event.body,
        at: event.at.as_nanos(),
        caused_by: event.caused_by,
    }
}

fn value(value: Value) -> wire::Value {
    match value {
        Value::Text(text) => wire::Value::Text(text),
        Value::Integer(integer) => wire::Value::Integer(integer),
        Value::Number(number) => wire::Value::Number(number),
        Value::Boolean(boolean) => wire::Value::Boolean(boolean),
    }
}

fn fault(fault: Fault) -> wire::Fault {
    wire::Fault {
        kind: fault.kind,
        target: fault.target,
        severity: match fault.severity {
            Severity::Info => wire::Severity::Info,
            Severity::Warning => wire::Severity::Warning,
            Severity::Error => wire::Severity::Error,
            Severity::Critical => wire::Severity::Critical,
        },
        summary: fault.summary,
        evidence: attributes(fault.evidence),
    }
}

fn cause(cause: Cause) -> wire::Cause {
    wire::Cause {
        summary: cause.summary,
        path: cause.path,
        confidence: cause.confidence,
        evidence: attributes(cause.evidence),
    }
}

fn attempt(attempt: Attempt) -> wire::Attempt {
    wire::Attempt {
        number: attempt.number,
        round: attempt.round,
        started: attempt.started.as_nanos(),
        finished: attempt.finished.map(Timestamp::as_nanos),
        actions: attempt.actions.into_iter().map(action).collect(),
        outcomes: attempt.outcomes.into_iter().map(outcome).collect(),
        verdict: attempt.verdict.map(|verdict| match verdict {
            Verdict::Healthy => wire::Verdict::Healthy,
            Verdict::Unhealthy(reason) => wire::Verdict::Unhealthy(reason),
            Verdict::Undecided => wire::Verdict::Undecided,
        }),
    }
}

fn action(Action { kind, target, parameters }: Action) -> wire::Action {
    wire::Action { kind, target, parameters: attributes(parameters) }
}

fn outcome(outcome: Outcome) -> wire::Outcome {
    wire::Outcome {
        action: action(outcome.action),
        ok: outcome.ok,
        detail: outcome.detail,
        // Rounded up: what an action had a part in must not look as if it had come after it.
        took: u64::try_from(outcome.took.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX),
    }
}
