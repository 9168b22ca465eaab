//! A record of `/dev/kmsg` (Documentation/ABI/testing/dev-kmsg).

use std::time::Duration;

/// One message. Lines of a dictionary, which begin with a space, are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// Who wrote it: 0 is the kernel, and no process can say that it is the kernel.
    pub(super) facility: u32,
    /// Counts since boot.
    pub(super) sequence: u64,
    /// When, since boot.
    pub(super) at: Duration,
    /// What it says; what is not printable is `\x1b` and the like.
    pub(super) text: &'a str,
}

impl<'a> Record<'a> {
    /// `4,1201,5140900,-;text`: priority and facility, sequence, microseconds, flags, and perhaps more.
    pub(super) fn parse(line: &'a str) -> Option<Self> {
        if line.starts_with(' ') {
            return None;
        }
        let (head, text) = line.split_once(';')?;
        let mut fields = head.split(',');
        let priority: u32 = fields.next()?.parse().ok()?;
        let sequence = fields.next()?.parse().ok()?;
        let at = Duration::from_micros(fields.next()?.parse().ok()?);
        fields.next()?;
        Some(Self { facility: priority >> 3, sequence, at, text })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn heads_are_read() {
        let record = Record::parse("6,339,5140900,-,caller=T1;NET: Registered; PF_INET").unwrap();
        assert_eq!((record.facility, record.sequence, record.text), (0, 339, "NET: Registered; PF_INET"));
        assert_eq!(record.at, Duration::from_micros(5_140_900));
        assert_eq!(Record::parse("14,2051,24493143716,-;from a process").unwrap().facility, 1);
        for garbage in ["", ";", " SUBSYSTEM=acpi", "1,2;x", "a,b,c,d;x", "6,339,5140900,-"] {
            assert_eq!(Record::parse(garbage), None, "{garbage}");
        }
    }

    proptest! {
        #[test]
        fn garbage_does_no_harm(line in ".{0,200}") {
            let _ = Record::parse(&line);
        }
    }
}
