//! Describes itself with terminal escapes and line breaks, to clear the operator's screen and to write lines of its own. They
//! must be made harmless.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn describe() -> Description {
        let nasty =
            |what: &str| format!("{what}\x1b[2J\x1b]0;owned\x07\u{9b}31m\r\nforged: all is well\u{202e}gnorw\0");
        Description {
            name: nasty("name"),
            version: nasty("version"),
            summary: nasty("summary"),
            wants: vec![nasty("service.restart:*")],
            ..description("")
        }
    }
}

export!(Plugin);
