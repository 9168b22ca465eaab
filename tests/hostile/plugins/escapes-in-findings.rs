//! Puts terminal escapes and line breaks where a person reads: a summary, evidence, a cause, a reason. They must be made harmless.
use hostile::*;

struct Plugin;

const NASTY: &str = "words\x1b[2J\x1b]0;owned\x07\u{9b}31m\u{202e}\r\n! forged: all is lost";

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        let fault =
            Fault { summary: NASTY.into(), evidence: vec![text(NASTY, NASTY)], ..fault("hostile.fault", "scratch") };
        if first() { vec![Finding::Present(fault)] } else { vec![] }
    }
    fn diagnose(_: Incident) -> Vec<Cause> {
        vec![Cause {
            summary: NASTY.into(),
            path: vec![NASTY.into()],
            confidence: 1.0,
            evidence: vec![text(NASTY, NASTY)],
        }]
    }
    fn recover(_: Incident) -> Recovery {
        Recovery::Escalate(NASTY.into())
    }
}

export!(Plugin);
