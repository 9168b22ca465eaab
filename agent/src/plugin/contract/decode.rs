//! The wire's types into own ones: bounded, and refused where they make no sense.

use std::time::Duration;

use regex::RegexBuilder;
use serde::{Deserialize, Serialize};

use super::bindings::salve::plugin::types as wire;
use super::weight::Weigh;
use crate::action::Action;
use crate::incident::{Cause, Fault, Finding, Plan, Recovery, Severity, Verdict};
use crate::plugin::limits::{self, Limits};
use crate::signal::{Attribute, Selector, Subscription, Value};

/// An answer that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(in crate::plugin) struct Malformed(String);

/// What a plugin says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// JSON Schema of its configuration; empty if it takes any.
    pub config_schema: String,
    /// The grants it asks for.
    pub wants: Vec<String>,
}

/// What a plugin says it is. The schema may be as long as a call may return.
pub(in crate::plugin) fn description(description: wire::Description) -> Description {
    Description {
        name: text(description.name),
        version: text(description.version),
        summary: text(description.summary),
        config_schema: description.config_schema,
        wants: description.wants.into_iter().map(text).collect(),
    }
}

/// What an instance wants to be told.
pub(in crate::plugin) fn subscription(
    subscription: wire::Subscription,
    limits: &Limits,
) -> Result<Subscription, Malformed> {
    let count = subscription.metrics.len() + subscription.events.len();
    at_most("selectors", count, limits.selectors)?;
    let all = subscription.metrics.iter().chain(&subscription.events);
    let bodies: Vec<usize> = all.filter_map(|selector| Some(selector.body.as_ref()?.len())).collect();
    // Reading them takes memory and time before their compiled size is known.
    at_most("bytes of a regular expression", bodies.iter().copied().max().unwrap_or(0), limits::EXPRESSION)?;
    at_most("bytes of regular expressions", bodies.iter().sum(), limits::EXPRESSIONS)?;
    let share = limits::PATTERN.min(limits::PATTERNS / bodies.len().max(1));
    let selector = |selector| self::selector(selector, share);
    Ok(Subscription {
        metrics: subscription.metrics.into_iter().map(selector).collect::<Result<_, _>>()?,
        events: subscription.events.into_iter().map(selector).collect::<Result<_, _>>()?,
        every: (subscription.every > 0).then(|| wait(subscription.every)),
    })
}

/// A selector whose regular expression may take so many bytes.
fn selector(selector: wire::Selector, most: usize) -> Result<Selector, Malformed> {
    let own = Selector::new(&selector.name, attributes(selector.matching));
    let Some(body) = selector.body else { return Ok(own) };
    let body = RegexBuilder::new(&body).size_limit(most).dfa_size_limit(most).build();
    let body = body.map_err(|error| Malformed(format!("selector `{}`: {error}", selector.name)))?;
    Ok(own.with_body(body))
}

/// Refuses an answer of too many bytes.
pub(in crate::plugin) fn not_too_heavy(answer: &impl Weigh, limits: &Limits) -> Result<(), Malformed> {
    at_most("bytes", answer.weight(), limits.answer)
}

fn at_most(what: &str, count: usize, most: usize) -> Result<(), Malformed> {
    if count > most { Err(Malformed(format!("{count} {what}; at most {most}"))) } else { Ok(()) }
}

/// What `detect` found.
pub(in crate::plugin) fn findings(findings: Vec<wire::Finding>, limits: &Limits) -> Result<Vec<Finding>, Malformed> {
    at_most("findings", findings.len(), limits.findings)?;
    let finding = |finding| {
        Ok(match finding {
            wire::Finding::Present(found) => Finding::Present(fault(found)?),
            wire::Finding::Cleared((kind, target)) => {
                Finding::Cleared { kind: name("kind", kind)?, target: name("target", target)? }
            }
        })
    };
    findings.into_iter().map(finding).collect()
}

/// What `diagnose` answered; more than a person reads is cut.
pub(in crate::plugin) fn causes(causes: Vec<wire::Cause>, limits: &Limits) -> Vec<Cause> {
    let cause = |cause: wire::Cause| Cause {
        summary: text(cause.summary),
        path: cause.path.into_iter().take(limits::ATTRIBUTES).map(text).collect(),
        // Not a number means no confidence at all.
        confidence: if cause.confidence.is_nan() { 0.0 } else { cause.confidence.clamp(0.0, 1.0) },
        evidence: attributes(cause.evidence),
    };
    causes.into_iter().take(limits.causes).map(cause).collect()
}

/// What `recover` answered.
pub(in crate::plugin) fn recovery(recovery: wire::Recovery, limits: &Limits) -> Result<Recovery, Malformed> {
    Ok(match recovery {
        wire::Recovery::Act(plan) => {
            at_most("actions", plan.actions.len(), limits.actions)?;
            Recovery::Act(Plan {
                actions: plan.actions.into_iter().map(action).collect::<Result<_, _>>()?,
                settle: wait(plan.settle),
                deadline: wait(plan.deadline),
            })
        }
        wire::Recovery::Wait(duration) => Recovery::Wait(wait(duration)),
        wire::Recovery::Escalate(reason) => Recovery::Escalate(text(reason)),
    })
}

/// What `verify` answered.
pub(in crate::plugin) fn verdict(verdict: wire::Verdict) -> Verdict {
    match verdict {
        wire::Verdict::Healthy => Verdict::Healthy,
        wire::Verdict::Unhealthy(reason) => Verdict::Unhealthy(text(reason)),
        wire::Verdict::Undecided => Verdict::Undecided,
    }
}

/// Text for people, cut to the limit.
pub(in crate::plugin) fn text(text: String) -> String {
    cut(text, limits::TEXT)
}

/// The first `most` bytes of a text.
pub(in crate::plugin) fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let cut = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    text
}

fn fault(fault: wire::Fault) -> Result<Fault, Malformed> {
    Ok(Fault {
        kind: name("kind", fault.kind)?,
        target: name("target", fault.target)?,
        severity: match fault.severity {
            wire::Severity::Info => Severity::Info,
            wire::Severity::Warning => Severity::Warning,
            wire::Severity::Error => Severity::Error,
            wire::Severity::Critical => Severity::Critical,
        },
        summary: text(fault.summary),
        evidence: attributes(fault.evidence),
    })
}

fn action(action: wire::Action) -> Result<Action, Malformed> {
    Ok(Action {
        kind: name("kind", action.kind)?,
        target: name("target", action.target)?,
        parameters: attributes(action.parameters),
    })
}

/// Attributes, as many as there may be.
pub(in crate::plugin) fn attributes(attributes: Vec<wire::Attribute>) -> Vec<Attribute> {
    let attribute = |attribute: wire::Attribute| Attribute {
        key: text(attribute.key),
        value: match attribute.value {
            wire::Value::Text(value) => Value::Text(text(value)),
            wire::Value::Integer(integer) => Value::Integer(integer),
            // JSON has no such numbers, and the ledger is JSON.
            wire::Value::Number(number) if !number.is_finite() => Value::Text(number.to_string()),
            wire::Value::Number(number) => Value::Number(number),
            wire::Value::Boolean(boolean) => Value::Boolean(boolean),
        },
    };
    attributes.into_iter().take(limits::ATTRIBUTES).map(attribute).collect()
}

/// A kind or target names things in the ledger, in grants and in commands: one that is empty, too long or holds control
/// characters is refused, because cutting it would name something else.
fn name(what: &str, name: String) -> Result<String, Malformed> {
    if name.is_empty() {
        return Err(Malformed(format!("an empty {what}")));
    }
    if name.len() > limits::NAME {
        return Err(Malformed(format!("a {what} of {} bytes; at most {}", name.len(), limits::NAME)));
    }
    if name.chars().any(char::is_control) {
        return Err(Malformed(format!("a {what} with control characters: {name:?}")));
    }
    Ok(name)
}

fn wait(millis: u64) -> Duration {
    Duration::from_millis(millis).min(limits::LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire_fault(kind: &str) -> wire::Fault {
        wire::Fault {
            kind: kind.to_owned(),
            target: "t".into(),
            severity: wire::Severity::Error,
            summary: "s".repeat(10_000),
            evidence: vec![wire::Attribute { key: "k".into(), value: wire::Value::Number(f64::NAN) }; 100],
        }
    }

    fn read(found: Vec<wire::Finding>) -> Result<Vec<Finding>, Malformed> {
        findings(found, &Limits::default())
    }

    #[test]
    fn names_that_name_nothing_are_refused_and_text_is_cut() {
        for kind in ["", "a\nb", "a\0", &"k".repeat(257)] {
            assert!(read(vec![wire::Finding::Present(wire_fault(kind))]).is_err(), "{kind:?}");
        }
        let Finding::Present(fault) = read(vec![wire::Finding::Present(wire_fault("k"))]).unwrap().remove(0) else {
            panic!("present")
        };
        assert_eq!(fault.summary.chars().count(), limits::TEXT + 1);
        assert_eq!(fault.evidence.len(), limits::ATTRIBUTES);
        assert_eq!(fault.evidence[0].value, Value::Text("NaN".into()));
        assert_eq!(text("ü".repeat(5000)).chars().last(), Some('…'));
    }

    #[test]
    fn absurd_plans_are_refused_and_absurd_times_shortened() {
        let action = wire::Action { kind: "service.restart".into(), target: "x".into(), parameters: vec![] };
        let plan = |count| wire::Plan { actions: vec![action.clone(); count], settle: u64::MAX, deadline: u64::MAX };
        let recovery = |count| recovery(wire::Recovery::Act(plan(count)), &Limits::default());
        assert_eq!(recovery(17), Err(Malformed("17 actions; at most 16".into())));
        let Ok(Recovery::Act(plan)) = recovery(16) else { panic!("a plan") };
        assert_eq!((plan.settle, plan.deadline), (limits::LONGEST_WAIT, limits::LONGEST_WAIT));
        let cleared = wire::Finding::Cleared(("k".into(), "t".into()));
        assert!(read(vec![cleared.clone(); 257]).is_err());
        let limits = Limits { findings: 1, causes: 1, selectors: 0, answer: 100, ..Limits::default() };
        assert!(findings(vec![cleared.clone(); 2], &limits).is_err() && findings(vec![cleared], &limits).is_ok());
        let cause = wire::Cause { summary: "c".into(), path: vec![], confidence: f64::NAN, evidence: vec![] };
        assert_eq!(causes(vec![cause; 9], &limits).len(), 1);
        let selector = wire::Selector { name: "n".into(), matching: vec![], body: None };
        let all = wire::Subscription { metrics: vec![selector], events: vec![], every: 0 };
        assert!(subscription(all, &limits).is_err());
        // One large pattern is fine; many are too much together.
        let body = Some(r"\w{15}".to_owned());
        let large = wire::Selector { name: "n".into(), matching: vec![], body };
        let all = |count| wire::Subscription { metrics: vec![], events: vec![large.clone(); count], every: 0 };
        assert!(subscription(all(1), &Limits::default()).is_ok());
        let error = subscription(all(500), &Limits::default()).unwrap_err();
        assert!(error.to_string().contains("size limit"), "{error}");
        // So much is not even read: half a megabyte of it would take gigabytes.
        let read = |length: usize, count| {
            let selector = wire::Selector { name: "n".into(), matching: vec![], body: Some("x".repeat(length)) };
            let all = wire::Subscription { metrics: vec![], events: vec![selector; count], every: 0 };
            subscription(all, &Limits::default()).map(drop).map_err(|error| error.to_string())
        };
        assert_eq!((read(4096, 1), read(4096, 16)), (Ok(()), Ok(())));
        assert_eq!(read(4097, 1).unwrap_err(), "4097 bytes of a regular expression; at most 4096");
        assert_eq!(read(4096, 17).unwrap_err(), "69632 bytes of regular expressions; at most 65536");
        assert!(not_too_heavy(&wire::Verdict::Unhealthy("y".repeat(100)), &limits).is_err());
        assert!(not_too_heavy(&wire::Verdict::Unhealthy("y".repeat(90)), &limits).is_ok());
    }
}
