//! Detached signatures of minisign: `NAME.wasm.minisig` beside `NAME.wasm`.

use std::path::{Path, PathBuf};

use crate::config::{PublicKey, key_id};

/// What the name of a signature's file ends with.
const ENDING: &str = ".minisig";
/// Largest file that is looked at as a signature; one has four lines.
pub(in crate::plugin) const MAX_BYTES: u64 = 16 << 10;

/// Where the signature of a file is.
pub fn signature_of(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(ENDING);
    path.into()
}

/// A signature that has been read, not yet verified.
#[derive(Clone)]
pub struct Signature {
    key: String,
    inner: minisign_verify::Signature,
}

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signature").field("key", &self.key).finish()
    }
}

/// Who signed what has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The id of the key.
    pub key: String,
    /// The trusted comment: what the signer said about the file. It is signed, too.
    pub comment: String,
}

/// Why a signature is not good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureFlaw {
    /// It was made with a key that is not among those that count.
    OtherKey,
    /// It does not fit what was signed: one of the two is not what it was.
    Mismatch,
}

impl Signature {
    /// Reads what a signature's file holds.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
        let inner = minisign_verify::Signature::decode(text).map_err(|error| error.to_string())?;
        let key = text.lines().nth(1).and_then(key_id).ok_or("it does not say by which key it is")?;
        Ok(Self { key, inner })
    }

    /// The id of the key it was made with, as it says.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Verifies it on the bytes that are to be used, with the key among `keys` that it was made with. Signatures in the form of
    /// old versions of minisign count as well.
    pub fn verify(&self, bytes: &[u8], keys: &[PublicKey]) -> Result<Signer, SignatureFlaw> {
        let mut mine = keys.iter().filter(|key| key.id() == self.key).peekable();
        if mine.peek().is_none() {
            return Err(SignatureFlaw::OtherKey);
        }
        if !mine.any(|key| key.key().verify(bytes, &self.inner, true).is_ok()) {
            return Err(SignatureFlaw::Mismatch);
        }
        Ok(Signer { key: self.key.clone(), comment: self.inner.trusted_comment().to_owned() })
    }
}

#[cfg(test)]
pub(in crate::plugin) mod testing {
    use minisign::KeyPair;

    use crate::config::PublicKey;

    /// A new pair of keys: the public one as the agent has it.
    pub(in crate::plugin) fn keys() -> (KeyPair, PublicKey) {
        let pair = KeyPair::generate_unencrypted_keypair().unwrap();
        let public = PublicKey::parse(&pair.pk.to_base64()).unwrap();
        (pair, public)
    }

    /// What `minisign -S` would write.
    pub(in crate::plugin) fn sign(pair: &KeyPair, bytes: &[u8]) -> Vec<u8> {
        minisign::sign(None, &pair.sk, bytes, Some("timestamp:1\tfile:x"), None).unwrap().to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_for_these_bytes_by_this_key_alone() {
        let ((ours, our_key), (_, other_key)) = (testing::keys(), testing::keys());
        let text = testing::sign(&ours, b"code");
        let signature = Signature::parse(&text).unwrap();
        assert_eq!(signature.key(), our_key.id());
        let signer = signature.verify(b"code", &[other_key.clone(), our_key.clone()]).unwrap();
        assert_eq!((signer.key.as_str(), signer.comment.as_str()), (our_key.id(), "timestamp:1\tfile:x"));
        assert_eq!(signature.verify(b"code", std::slice::from_ref(&other_key)), Err(SignatureFlaw::OtherKey));
        assert_eq!(signature.verify(b"core", std::slice::from_ref(&our_key)), Err(SignatureFlaw::Mismatch));
        assert_eq!(signature.verify(b"", std::slice::from_ref(&our_key)), Err(SignatureFlaw::Mismatch));
        // The comment is signed, too.
        let text = String::from_utf8(text).unwrap().replace("timestamp:1", "timestamp:2");
        let signature = Signature::parse(text.as_bytes()).unwrap();
        assert_eq!(signature.verify(b"code", &[our_key]), Err(SignatureFlaw::Mismatch));
    }

    #[test]
    fn a_signature_in_the_old_form_counts() {
        // Made by minisign itself, with `-l`.
        let key = PublicKey::parse("RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3").unwrap();
        let old = "untrusted comment: signature from minisign secret key
RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=
trusted comment: timestamp:1555779966\tfile:test
QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==";
        let signature = Signature::parse(old.as_bytes()).unwrap();
        assert_eq!(signature.verify(b"test", &[key]).unwrap().key, "E7620F1842B4E81F");
    }

    #[test]
    fn what_is_no_signature_is_told() {
        for text in [
            "",
            "untrusted comment: x",
            "a\nb\nc\nd",
            "untrusted comment: x\nRWQf\ntrusted comment: y\nAAAA\n",
            "\u{0}",
        ] {
            assert!(Signature::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(Signature::parse(b"\xff\xfe").unwrap_err(), "it is not text");
        assert_eq!(signature_of(Path::new("/p/a.wasm")), Path::new("/p/a.wasm.minisig"));
    }
}
