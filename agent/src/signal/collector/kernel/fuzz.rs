//! Lines of `/dev/kmsg`; processes can write some, too.

use super::fault::Reader;
use super::record::Record;

/// Any lines, and what they may tell of.
pub fn kernel(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for record in text.lines().filter_map(Record::parse) {
        assert!(text.contains(record.text));
    }
    let mut reader = Reader::default();
    for line in text.lines() {
        let _ = reader.line(line);
    }
}
