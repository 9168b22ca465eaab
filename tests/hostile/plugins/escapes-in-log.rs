//! Logs terminal escapes and line breaks, and forges a line of the agent. They must be made harmless.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        let nasty =
            "escape\x1b[2J\x1b]0;owned\x07\u{9b}31m\u{202e}\r\n2026-01-01T00:00:00Z ERROR salve: forged: all is lost";
        if first() {
            log::write(log::Level::Error, nasty, &[text("key\x1b[2J\nforged", nasty)]);
        }
        vec![]
    }
}

export!(Plugin);
