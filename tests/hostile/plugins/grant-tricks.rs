//! Asks for what it was not granted, in every spelling that might look like what it was: globs, letter case, spaces, colons, `..`,
//! other alphabets, and words that would end a quotation. Each plan must be denied, with the line that would allow it, and
//! nothing be done.
use hostile::*;

struct Plugin;

/// Granted is `command.run:noop`.
const TRICKS: [(&str, &str); 16] = [
    ("*", "*"),
    ("command.*", "forbidden"),
    ("command.run", "*"),
    ("command.run", "forbidde?"),
    ("command.run", "forbidden"),
    ("command.run", "noop/../forbidden"),
    ("command.run", "noop:forbidden"),
    ("command.run", " noop"),
    ("command.run", "noop "),
    ("command.run", "no\u{43e}p"),
    ("c\u{43e}mmand.run", "noop"),
    ("COMMAND.RUN", "noop"),
    ("command.run:noop", "forbidden"),
    ("command.run", "{noop,forbidden}"),
    ("command.run", "noop\", \"*:*"),
    ("service.stop", "demo"),
];

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        if first() { (0..TRICKS.len()).map(|n| present(format!("trick-{n}"))).collect() } else { vec![] }
    }
    fn recover(incident: Incident) -> Recovery {
        let number = incident.fault.target.trim_start_matches("trick-").parse().unwrap_or(0_usize);
        let (kind, target) = TRICKS[number % TRICKS.len()];
        // What is granted beside it must not carry it through.
        Recovery::Act(plan(vec![action("command.run", "noop"), action(kind, target)]))
    }
}

export!(Plugin);
