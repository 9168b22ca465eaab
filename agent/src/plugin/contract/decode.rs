//! The wire's types into own ones: bounded, and refused where they make no sense.

use std::time::Duration;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::bindings::salve::plugin::types as wire;
use crate::action::Action;
use crate::incident::{Cause, Fault, Finding, Plan, Recovery, Severity, Verdict};
use crate::plugin::limits;
use crate::signal::{Attribute, Selector, Subscription, Value};

/// An answer that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(in crate::plugin) struct Malformed(String);

impl Malformed {
    /// Why: it may quote the plugin.
    fn new(reason: String) -> Self {
        Self(line(reason))
    }
}

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
        name: line(description.name),
        version: line(description.version),
        summary: line(description.summary),
        config_schema: description.config_schema,
        wants: description.wants.into_iter().map(line).collect(),
    }
}

/// What an instance wants to be told.
pub(in crate::plugin) fn subscription(subscription: wire::Subscription) -> Result<Subscription, Malformed> {
    let count = subscription.metrics.len() + subscription.events.len();
    if count > limits::SELECTORS {
        return Err(Malformed::new(format!("a subscription of {count} selectors; at most {}", limits::SELECTORS)));
    }
    let mut room = Room { bytes: limits::SUBSCRIPTION, patterns: limits::PATTERNS, large: limits::LARGE_PATTERNS };
    let mut own = |selectors: Vec<wire::Selector>| -> Result<Vec<Selector>, Malformed> {
        selectors.into_iter().map(|wire| selector(wire, &mut room)).collect()
    };
    Ok(Subscription {
        metrics: own(subscription.metrics)?,
        events: own(subscription.events)?,
        every: (subscription.every > 0).then(|| wait(subscription.every)),
    })
}

/// What is left for the selectors of a subscription: each signal of the host is compared with all of them.
struct Room {
    bytes: usize,
    patterns: usize,
    large: usize,
}

impl Room {
    fn take(left: &mut usize, amount: usize, what: &str) -> Result<(), Malformed> {
        *left = left.checked_sub(amount).ok_or_else(|| Malformed::new(format!("a subscription with {what}")))?;
        Ok(())
    }

    /// Compiles an expression. Most are small; of large ones there may be few.
    fn pattern(&mut self, name: &str, pattern: &str) -> Result<Regex, Malformed> {
        let (count, large) = (limits::PATTERNS, limits::LARGE_PATTERNS);
        Self::take(&mut self.patterns, 1, &format!("more than {count} regular expressions"))?;
        let build = |size| RegexBuilder::new(pattern).size_limit(size).dfa_size_limit(size).build();
        match build(limits::PATTERN) {
            Err(regex::Error::CompiledTooBig(small)) => {
                Self::take(
                    &mut self.large,
                    1,
                    &format!("more than {large} regular expressions of over {small} bytes"),
                )?;
                build(limits::LARGE_PATTERN)
            }
            built => built,
        }
        .map_err(|error| Malformed::new(format!("selector `{name}`: {error}")))
    }
}

fn selector(selector: wire::Selector, room: &mut Room) -> Result<Selector, Malformed> {
    let texts = selector.matching.iter().map(|attribute| match &attribute.value {
        wire::Value::Text(text) => attribute.key.len() + text.len(),
        _ => attribute.key.len(),
    });
    let bytes = selector.name.len() + selector.body.as_ref().map_or(0, String::len) + texts.sum::<usize>();
    Room::take(&mut room.bytes, bytes, &format!("more than {} bytes of patterns", limits::SUBSCRIPTION))?;
    let own = Selector::new(&selector.name, attributes(selector.matching));
    let Some(body) = selector.body else { return Ok(own) };
    Ok(own.with_body(room.pattern(&selector.name, &body)?))
}

/// What `detect` found.
pub(in crate::plugin) fn findings(findings: Vec<wire::Finding>) -> Result<Vec<Finding>, Malformed> {
    if findings.len() > limits::FINDINGS {
        return Err(Malformed::new(format!("{} findings in one answer; at most {}", findings.len(), limits::FINDINGS)));
    }
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
pub(in crate::plugin) fn causes(causes: Vec<wire::Cause>) -> Vec<Cause> {
    let cause = |cause: wire::Cause| Cause {
        summary: line(cause.summary),
        path: cause.path.into_iter().take(limits::ATTRIBUTES).map(line).collect(),
        // Not a number means no confidence at all.
        confidence: if cause.confidence.is_nan() { 0.0 } else { cause.confidence.clamp(0.0, 1.0) },
        evidence: attributes(cause.evidence),
    };
    causes.into_iter().take(limits::CAUSES).map(cause).collect()
}

/// What `recover` answered.
pub(in crate::plugin) fn recovery(recovery: wire::Recovery) -> Result<Recovery, Malformed> {
    Ok(match recovery {
        wire::Recovery::Act(plan) => {
            if plan.actions.len() > limits::ACTIONS {
                return Err(Malformed::new(format!(
                    "a plan of {} actions; at most {}",
                    plan.actions.len(),
                    limits::ACTIONS
                )));
            }
            Recovery::Act(Plan {
                actions: plan.actions.into_iter().map(action).collect::<Result<_, _>>()?,
                settle: wait(plan.settle),
                deadline: wait(plan.deadline),
            })
        }
        wire::Recovery::Wait(duration) => Recovery::Wait(wait(duration)),
        wire::Recovery::Escalate(reason) => Recovery::Escalate(line(reason)),
    })
}

/// What `verify` answered.
pub(in crate::plugin) fn verdict(verdict: wire::Verdict) -> Verdict {
    match verdict {
        wire::Verdict::Healthy => Verdict::Healthy,
        wire::Verdict::Unhealthy(reason) => Verdict::Unhealthy(line(reason)),
        wire::Verdict::Undecided => Verdict::Undecided,
    }
}

/// Text for people: cut to the limit, and what a terminal obeys or nobody sees written out (`\u{1b}`). It may have lines.
pub(in crate::plugin) fn text(text: String) -> String {
    written_out(text, |c| c == '\n' || c == '\t')
}

/// The same in one line: what a plugin says must not look like lines of somebody else.
pub(in crate::plugin) fn line(text: String) -> String {
    written_out(text, |_| false)
}

fn written_out(mut text: String, may_stay: impl Fn(char) -> bool) -> String {
    let is_cut = text.len() > limits::TEXT;
    if is_cut {
        let cut = (0..=limits::TEXT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
    }
    let deceives = |c: char| (c.is_control() || is_invisible(c)) && !may_stay(c);
    if text.contains(deceives) {
        let mut out = String::with_capacity(text.len() + 16);
        for c in text.chars() {
            if deceives(c) { out.extend(c.escape_default()) } else { out.push(c) }
        }
        text = out;
    }
    if is_cut {
        text.push('…');
    }
    text
}

/// Characters that take no room, turn the direction of what follows, or separate lines: they make a name look like another.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
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
        summary: line(fault.summary),
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
        key: line(attribute.key),
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
        return Err(Malformed::new(format!("an empty {what}")));
    }
    if name.len() > limits::NAME {
        return Err(Malformed::new(format!("a {what} of {} bytes; at most {}", name.len(), limits::NAME)));
    }
    if name.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Err(Malformed::new(format!("a {what} with control characters or invisible ones: {name:?}")));
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

    #[test]
    fn names_that_name_nothing_are_refused_and_text_is_cut() {
        for kind in ["", "a\nb", "a\0", "a\u{202e}b", "a\u{200b}b", &"k".repeat(257)] {
            assert!(findings(vec![wire::Finding::Present(wire_fault(kind))]).is_err(), "{kind:?}");
        }
        let Finding::Present(fault) = findings(vec![wire::Finding::Present(wire_fault("k"))]).unwrap().remove(0) else {
            panic!("present")
        };
        assert_eq!(fault.summary.chars().count(), limits::TEXT + 1);
        assert_eq!(fault.evidence.len(), limits::ATTRIBUTES);
        assert_eq!(fault.evidence[0].value, Value::Text("NaN".into()));
        assert_eq!(text("ü".repeat(5000)).chars().last(), Some('…'));
    }

    #[test]
    fn what_a_terminal_obeys_and_what_nobody_sees_is_written_out() {
        let nasty = "a\x1b[2J\u{9b}1m\r\n\tb\u{202e}ü".to_owned();
        assert_eq!(text(nasty.clone()), "a\\u{1b}[2J\\u{9b}1m\\r\n\tb\\u{202e}ü");
        assert_eq!(line(nasty.clone()), "a\\u{1b}[2J\\u{9b}1m\\r\\n\\tb\\u{202e}ü");
        let wire = |body: &str| wire::Selector { name: nasty.clone(), matching: vec![], body: Some(body.into()) };
        let refused =
            subscription(wire::Subscription { metrics: vec![], events: vec![wire("(")], every: 0 }).unwrap_err();
        assert!(!refused.to_string().contains(char::is_control), "{refused}");
    }

    #[test]
    fn what_all_signals_are_compared_with_has_its_limits() {
        let ask = |count: usize, name: &str, body: Option<&str>| {
            let selector = wire::Selector { name: name.into(), matching: vec![], body: body.map(str::to_owned) };
            let events = vec![selector; count];
            subscription(wire::Subscription { metrics: vec![], events, every: 0 }).map_err(|error| error.to_string())
        };
        ask(limits::SELECTORS, "service.state", None).unwrap();
        let error = ask(limits::SELECTORS, &"*e".repeat(200), None).unwrap_err();
        assert!(error.contains("bytes of patterns"), "{error}");
        ask(limits::PATTERNS, "log", Some("(?i)out of memory")).unwrap();
        let error = ask(limits::PATTERNS + 1, "log", Some("x")).unwrap_err();
        assert!(error.contains("more than 128 regular expressions"), "{error}");
        let large = r"[^x]{100}";
        ask(limits::LARGE_PATTERNS, "log", Some(large)).unwrap();
        let error = ask(limits::LARGE_PATTERNS + 1, "log", Some(large)).unwrap_err();
        assert!(error.contains("more than 4 regular expressions of over"), "{error}");
        let error = ask(1, "log", Some(r"((\pL{1000}){1000}){1000}")).unwrap_err();
        assert!(error.contains("exceeds size limit"), "{error}");
    }

    #[test]
    fn absurd_plans_are_refused_and_absurd_times_shortened() {
        let action = wire::Action { kind: "service.restart".into(), target: "x".into(), parameters: vec![] };
        let plan = |count| wire::Plan { actions: vec![action.clone(); count], settle: u64::MAX, deadline: u64::MAX };
        assert!(recovery(wire::Recovery::Act(plan(17))).is_err());
        let Ok(Recovery::Act(plan)) = recovery(wire::Recovery::Act(plan(16))) else { panic!("a plan") };
        assert_eq!((plan.settle, plan.deadline), (limits::LONGEST_WAIT, limits::LONGEST_WAIT));
        let cleared = wire::Finding::Cleared(("k".into(), "t".into()));
        assert!(findings(vec![cleared; limits::FINDINGS + 1]).is_err());
    }
}
