//! Returns a string that is said to be a gigabyte long. It must be stopped before the host copies any of it.
#![allow(unsafe_code)]
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn recover(_: Incident) -> Recovery {
        let start = Box::leak(Box::new(0_u8));
        // SAFETY: none; the lie is the deed. It is only handed over, never looked at in here.
        Recovery::Escalate(unsafe { String::from_raw_parts(start, 1 << 30, 1 << 30) })
    }
}

export!(Plugin);
