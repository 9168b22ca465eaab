//! What `journalctl --output=json` may say: the fields of its records are anybody's.

use super::record::Record;

/// Any line, and what is made of it.
pub fn journal(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(record) = Record::parse(line) else { continue };
        for limit in [0, 1, 7, 1 << 16] {
            assert!(record.body(limit).is_none_or(|body| body.len() <= limit));
        }
        let (attributes, subject, _) = (record.attributes(), record.subject().to_owned(), record.at());
        let service = attributes.iter().find(|it| it.key == "service.name");
        assert!(service.is_none_or(|service| service.value.to_string() == subject), "{subject:?} {service:?}");
    }
}
