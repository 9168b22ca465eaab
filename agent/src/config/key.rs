use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// How a public key of minisign looks in base64.
const ENCODED: usize = 56;
const BEGINNING: &str = "RW";

/// A public key of minisign, by which signatures of plugins are judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    id: String,
    key: minisign_verify::PublicKey,
}

impl PublicKey {
    /// Whether a text is meant as a key, and not as the path of a file with one.
    pub fn is_inline(text: &str) -> bool {
        text.len() == ENCODED && text.starts_with(BEGINNING)
    }

    /// Reads a key as base64, or a `.pub` file of minisign: a comment, and then that.
    pub fn parse(text: &str) -> Result<Self, String> {
        let line = text.lines().map(str::trim).find(|line| line.len() == ENCODED && line.starts_with(BEGINNING));
        let line = line.ok_or("no public key of minisign: it has no line of 56 characters that begins with `RW`")?;
        let key = minisign_verify::PublicKey::from_base64(line).map_err(|error| format!("no public key: {error}"))?;
        let id = key_id(line).ok_or("no public key: it has no id")?;
        Ok(Self { id, key })
    }

    /// Its id, as minisign shows it: 16 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key itself.
    pub fn key(&self) -> &minisign_verify::PublicKey {
        &self.key
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

/// The id of the key that a line of base64 is, or was made with: what follows the two bytes of the algorithm, as a number of
/// which the least byte comes first.
pub fn key_id(line: &str) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(line.trim()).ok()?;
    let id: [u8; 8] = bytes.get(2..10)?.try_into().ok()?;
    Some(format!("{:016X}", u64::from_le_bytes(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    #[test]
    fn a_key_is_read_from_base64_and_from_a_file() {
        assert!(PublicKey::is_inline(KEY) && !PublicKey::is_inline("RW/keys/minisign.pub"));
        let key = PublicKey::parse(KEY).unwrap();
        assert_eq!(key.id(), "E7620F1842B4E81F");
        let file = format!("untrusted comment: minisign public key E7620F1842B4E81F\n{KEY}\n");
        assert_eq!(PublicKey::parse(&file).unwrap(), key);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let secret = format!("untrusted comment: minisign encrypted secret key\nRWRT{}\n", "y".repeat(208));
        for text in ["", "RW", &KEY.replace("RW", "XX"), &KEY.replace('/', "!").replace("53m", "5!m"), &secret] {
            assert!(PublicKey::parse(text).unwrap_err().contains("no public key"), "{text}");
        }
    }
}
