//! Hands a host function a value that is said to be two gigabytes long. It must be stopped.
#![allow(unsafe_code)]
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        // SAFETY: none; the lie is the deed. It is only handed over, never looked at in here.
        let lie = unsafe { std::slice::from_raw_parts(std::ptr::dangling::<u8>(), i32::MAX as usize) };
        let _ = state::set("key", lie);
        vec![]
    }
}

export!(Plugin);
