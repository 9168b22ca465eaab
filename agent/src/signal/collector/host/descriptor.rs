//! File descriptors: how many open files the kernel holds, and how many it would.

use super::{Reader, Source, sample};
use crate::signal::Sample;
use crate::signal::collector::kept::{Fault, Kept};

pub(super) const SOURCE: Source = Source {
    name: "file-descriptor",
    metrics: &["system.file_descriptor.usage", "system.file_descriptor.limit"],
    open: |root| Box::new(Descriptors(Kept::new(root.join("proc/sys/fs/file-nr")))),
};

struct Descriptors(Kept);

impl Reader for Descriptors {
    fn read(&mut self) -> Result<Vec<Sample>, Fault> {
        let parsed = parse(&self.0.text()?);
        let (used, limit) = parsed.ok_or_else(|| Fault::garbage(self.0.path(), "it is not three numbers"))?;
        Ok(vec![
            sample("system.file_descriptor.usage", &[], used as f64),
            sample("system.file_descriptor.limit", &[], limit as f64),
        ])
    }
}

/// Allocated, allocated but free (0 since Linux 2.6), and at most (proc_sys_fs(5)).
fn parse(text: &str) -> Option<(u64, u64)> {
    let numbers: Vec<u64> = text.split_ascii_whitespace().map(|number| number.parse().ok()).collect::<Option<_>>()?;
    match numbers[..] {
        [allocated, free, limit] => Some((allocated.saturating_sub(free), limit)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_numbers_or_none() {
        assert_eq!(parse("873\t0\t9223372036854775807\n"), Some((873, 9_223_372_036_854_775_807)));
        for text in ["", "1 2", "1 2 3 4", "a b c", "-1 0 1"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
