//! Returns text that is none. It must be stopped.
#![allow(unsafe_code)]
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        // SAFETY: none; the lie is the deed. It is only handed over, never looked at in here.
        vec![present(unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe, 0xc0, 0x80]) })]
    }
}

export!(Plugin);
