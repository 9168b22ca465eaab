//! Names a fault with a line break, one call, and with invisible characters, the next. Each answer must be refused.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        let names = ["two\nlines", "es\x1b[2Jcape", "nul\0", "right\u{202e}tfel", "zero\u{200b}width", ""];
        vec![present(names[count() as usize % names.len()])]
    }
}

export!(Plugin);
