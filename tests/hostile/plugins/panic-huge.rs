//! Panics with a message of a megabyte, with terminal escapes and line breaks. It must be cut, and made harmless.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        let message = "last words\x1b[2J\n! forged: all is lost".to_owned() + &"x".repeat(1 << 20);
        log::write(log::Level::Error, &message[..500_000], &[]);
        panic!("{message}")
    }
}

export!(Plugin);
