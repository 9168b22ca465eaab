//! Answers of a plugin that may say anything.

use super::bindings::salve::plugin::types as wire;
use super::{
    Weigh, attributes, causes, decoded, description, findings, not_too_heavy, recovery, subscription, verdict,
};
use crate::action::Action;
use crate::fuzzing::Bytes;
use crate::incident::{Cause, Finding, Recovery};
use crate::plugin::limits::{self, Limits};
use crate::signal::Attribute;

/// Whatever a plugin answers is refused, or within the limits and good for the ledger.
pub fn contract(bytes: &[u8]) {
    let (mut bytes, limits) = (Bytes::new(bytes), Limits::default());
    while !bytes.is_empty() {
        match bytes.byte() % 6 {
            0 => {
                let answer = bytes.list(finding);
                is_weighed(&answer, &limits);
                let Ok(found) = findings(answer, &limits) else { continue };
                assert!(found.len() <= limits.findings);
                for finding in found {
                    match finding {
                        Finding::Cleared { kind, target } => are_names(&[&kind, &target]),
                        Finding::Present(fault) => {
                            are_names(&[&fault.kind, &fault.target]);
                            is_text(&fault.summary);
                            are_attributes(fault.evidence);
                        }
                    }
                }
            }
            1 => {
                let answer = recovery_of(&mut bytes);
                is_weighed(&answer, &limits);
                match recovery(answer, &limits) {
                    Ok(Recovery::Act(plan)) => {
                        assert!(plan.actions.len() <= limits.actions);
                        assert!(plan.settle.max(plan.deadline) <= limits::LONGEST_WAIT);
                        for action in plan.actions {
                            let json = serde_json::to_string(&action).unwrap_or_default();
                            assert!(serde_json::from_str::<Action>(&json).is_ok(), "{json}");
                            are_names(&[&action.kind, &action.target]);
                            are_attributes(action.parameters);
                        }
                    }
                    Ok(Recovery::Wait(wait)) => assert!(wait <= limits::LONGEST_WAIT),
                    Ok(Recovery::Escalate(reason)) => is_text(&reason),
                    Err(_) => {}
                }
            }
            2 => {
                let answer = bytes.list(cause);
                is_weighed(&answer, &limits);
                let found = causes(answer, &limits);
                assert!(found.len() <= limits.causes);
                for cause in found {
                    let json = serde_json::to_string(&cause).unwrap_or_default();
                    assert!(serde_json::from_str::<Cause>(&json).is_ok(), "{json}");
                    assert!((0.0..=1.0).contains(&cause.confidence));
                    is_text(&cause.summary);
                    are_attributes(cause.evidence);
                }
            }
            3 => {
                let answer = wire::Subscription {
                    metrics: bytes.list(selector),
                    events: bytes.list(selector),
                    every: bytes.number(),
                };
                is_weighed(&answer, &limits);
                let Ok(subscribed) = subscription(answer, &limits) else { continue };
                assert!(subscribed.every.is_none_or(|every| every <= limits::LONGEST_WAIT && !every.is_zero()));
            }
            4 => {
                let (name, version, summary) = (bytes.text(), bytes.text(), bytes.text());
                let (config_schema, wants) = (bytes.text(), bytes.list(Bytes::text));
                let told = description(wire::Description { name, version, summary, config_schema, wants });
                [&told.name, &told.version, &told.summary]
                    .into_iter()
                    .chain(&told.wants)
                    .for_each(|text| is_text(text));
            }
            _ => drop(verdict(match bytes.byte() % 3 {
                0 => wire::Verdict::Healthy,
                1 => wire::Verdict::Unhealthy(bytes.text()),
                _ => wire::Verdict::Undecided,
            })),
        }
    }
}

/// Weighing ends, whatever it is.
fn is_weighed(answer: &impl Weigh, limits: &Limits) {
    assert_eq!(not_too_heavy(answer, limits).is_ok(), answer.weight() <= limits.answer);
}

fn are_names(names: &[&str]) {
    for name in names {
        assert!(!name.is_empty() && name.len() <= limits::NAME && !name.chars().any(char::is_control), "{name:?}");
    }
}

fn is_text(text: &str) {
    assert!(text.len() <= limits::TEXT + '…'.len_utf8(), "{} bytes", text.len());
}

/// As many as there may be; what is accepted once stays as it is.
fn are_attributes(accepted: Vec<Attribute>) {
    assert!(accepted.len() <= limits::ATTRIBUTES);
    assert_eq!(decoded(attributes(accepted.clone())), accepted);
}

fn attribute(bytes: &mut Bytes<'_>) -> wire::Attribute {
    let key = bytes.text();
    let value = match bytes.byte() % 4 {
        0 => wire::Value::Text(bytes.text()),
        1 => wire::Value::Integer(bytes.number().cast_signed()),
        2 => wire::Value::Number(f64::from_bits(bytes.number())),
        _ => wire::Value::Boolean(bytes.byte().is_multiple_of(2)),
    };
    wire::Attribute { key, value }
}

fn finding(bytes: &mut Bytes<'_>) -> wire::Finding {
    if bytes.byte().is_multiple_of(2) {
        return wire::Finding::Cleared((bytes.text(), bytes.text()));
    }
    wire::Finding::Present(wire::Fault {
        kind: bytes.text(),
        target: bytes.text(),
        severity: match bytes.byte() % 4 {
            0 => wire::Severity::Info,
            1 => wire::Severity::Warning,
            2 => wire::Severity::Error,
            _ => wire::Severity::Critical,
        },
        summary: bytes.text(),
        evidence: bytes.list(attribute),
    })
}

fn recovery_of(bytes: &mut Bytes<'_>) -> wire::Recovery {
    match bytes.byte() % 3 {
        0 => wire::Recovery::Act(wire::Plan {
            actions: bytes.list(|bytes| wire::Action {
                kind: bytes.text(),
                target: bytes.text(),
                parameters: bytes.list(attribute),
            }),
            settle: bytes.number(),
            deadline: bytes.number(),
        }),
        1 => wire::Recovery::Wait(bytes.number()),
        _ => wire::Recovery::Escalate(bytes.text()),
    }
}

fn cause(bytes: &mut Bytes<'_>) -> wire::Cause {
    wire::Cause {
        summary: bytes.text(),
        path: bytes.list(Bytes::text),
        confidence: f64::from_bits(bytes.number()),
        evidence: bytes.list(attribute),
    }
}

fn selector(bytes: &mut Bytes<'_>) -> wire::Selector {
    let (name, matching) = (bytes.text(), bytes.list(attribute));
    wire::Selector { name, matching, body: (bytes.byte().is_multiple_of(2)).then(|| bytes.text()) }
}
