//! The wire's types into own ones: bounded, and refused where they make no sense.

use std::time::Duration;

use regex::{Regex, RegexBuilder};
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

/// Refuses an answer of too many bytes.
pub(in crate::plugin) fn not_too_heavy(answer: &impl Weigh, limits: &Limits) -> Result<(), Malformed> {
    at_most("bytes", answer.weight(), limits.answer)
}

fn at_most(what: &str, count: usize, most: usize) -> Result<(), Malformed> {
    if count > most { Err(Malformed::new(format!("{count} {what}; at most {most}"))) } else { Ok(()) }
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
        summary: line(cause.summary),
        path: cause.path.into_iter().take(limits::ATTRIBUTES).map(line).collect(),
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

/// The first `most` bytes of a text.
pub(in crate::plugin) fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let cut = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    text
}

fn written_out(mut text: String, may_stay: impl Fn(char) -> bool) -> String {
    let deceives = |c: char| (c.is_control() || is_invisible(c)) && !may_stay(c);
    if text.contains(deceives) {
        let mut out = String::with_capacity(text.len().min(limits::TEXT) + 16);
        for c in text.chars() {
            if deceives(c) {
                out.extend(c.escape_default())
            } else {
                out.push(c)
            }
            // More is cut in any case.
            if out.len() > limits::TEXT {
                break;
            }
        }
        text = out;
    }
    cut(text, limits::TEXT)
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

    fn subscribed(wire: wire::Subscription) -> Result<Subscription, Malformed> {
        subscription(wire, &Limits::default())
    }

    fn read(found: Vec<wire::Finding>) -> Result<Vec<Finding>, Malformed> {
        findings(found, &Limits::default())
    }

    #[test]
    fn names_that_name_nothing_are_refused_and_text_is_cut() {
        for kind in ["", "a\nb", "a\0", "a\u{202e}b", "a\u{200b}b", &"k".repeat(257)] {
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
    fn what_a_terminal_obeys_and_what_nobody_sees_is_written_out() {
        let nasty = "a\x1b[2J\u{9b}1m\r\n\tb\u{202e}ü".to_owned();
        assert_eq!(text(nasty.clone()), "a\\u{1b}[2J\\u{9b}1m\\r\n\tb\\u{202e}ü");
        assert_eq!(line(nasty.clone()), "a\\u{1b}[2J\\u{9b}1m\\r\\n\\tb\\u{202e}ü");
        let wire = |body: &str| wire::Selector { name: nasty.clone(), matching: vec![], body: Some(body.into()) };
        let refused =
            subscribed(wire::Subscription { metrics: vec![], events: vec![wire("(")], every: 0 }).unwrap_err();
        assert!(!refused.to_string().contains(char::is_control), "{refused}");
    }

    #[test]
    fn what_all_signals_are_compared_with_has_its_limits() {
        let ask = |count: usize, name: &str, body: Option<&str>| {
            let selector = wire::Selector { name: name.into(), matching: vec![], body: body.map(str::to_owned) };
            let events = vec![selector; count];
            subscribed(wire::Subscription { metrics: vec![], events, every: 0 }).map_err(|error| error.to_string())
        };
        ask(1024, "service.state", None).unwrap();
        let error = ask(1024, &"*e".repeat(200), None).unwrap_err();
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
        // So much is not even read: half a megabyte of it would take gigabytes.
        let read = |length: usize, count| {
            let selector = wire::Selector { name: "n".into(), matching: vec![], body: Some("x".repeat(length)) };
            let all = wire::Subscription { metrics: vec![], events: vec![selector; count], every: 0 };
            subscription(all, &Limits::default()).map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(read(4097, 1).unwrap_err(), "4097 bytes of a regular expression; at most 4096");
        assert_eq!(read(4096, 17).unwrap_err(), "69632 bytes of regular expressions; at most 65536");
        assert!(not_too_heavy(&wire::Verdict::Unhealthy("y".repeat(100)), &limits).is_err());
        assert!(not_too_heavy(&wire::Verdict::Unhealthy("y".repeat(90)), &limits).is_ok());
    }
}
