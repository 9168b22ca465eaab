//! Writes to standard output and standard error without end. It must be stopped, and nothing of it be seen.
use std::io::Write;

use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        loop {
            let _ = std::io::stdout().write_all(&[b'o'; 4096]);
            let _ = std::io::stderr().write_all(b"spoken to nobody\n");
        }
    }
}

export!(Plugin);
