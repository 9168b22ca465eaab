//! Trust: whether a plugin's file may run at all, whatever policies say of it. It is judged by exactly the bytes that are
//! compiled afterwards, and before they are.

mod signature;
mod statement;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wildmatch::WildMatch;

pub(super) use signature::MAX_BYTES;
pub use signature::{Signature, SignatureFlaw, Signer, signature_of};
pub use statement::Statement;
use statement::without_version;

use super::contract::Description;
use super::imports::GRANTABLE;
use super::loader::hex;
use crate::config::{Policy, Require, TrustRules, overlap};

/// Judges plugins by `[agent.trust]`.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    rules: Arc<TrustRules>,
}

/// A file that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// SHA-256 of the bytes, in lower-case hexadecimal.
    pub digest: Arc<str>,
    /// Who signed them, where signatures are wanted.
    pub signer: Option<Signer>,
}

/// Why a plugin may not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// There is no signature.
    #[error(
        "it is not signed: [agent.trust] wants {signature} by {keys}; make it with `salve plugin sign {file} --key SECRET`",
        signature = signature_of(.file).display(), file = .file.display()
    )]
    Unsigned {
        /// The plugin.
        file: PathBuf,
        /// Who may sign.
        keys: String,
    },
    /// The signature's file holds something else, or cannot be read.
    #[error(
        "{signature} is no signature: {why}; make one with `salve plugin sign {file} --key SECRET`",
        signature = signature_of(.file).display(), file = .file.display()
    )]
    Unreadable {
        /// The plugin.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It was signed by somebody else.
    #[error(
        "{signature} is by key {key}, and [agent.trust] trusts {keys}: add that key's .pub file to `keys`, or sign anew with \
         `salve plugin sign {file} --key SECRET`",
        signature = signature_of(.file).display(), file = .file.display()
    )]
    OtherKey {
        /// The plugin.
        file: PathBuf,
        /// The id of the key it was signed with.
        key: String,
        /// Who may sign.
        keys: String,
    },
    /// The signature does not fit.
    #[error(
        "{signature}, by key {key}, is not of this file: one of the two was changed after it was signed; if the file is as it \
         should be, `salve plugin sign {file} --key SECRET`",
        signature = signature_of(.file).display(), file = .file.display()
    )]
    Mismatch {
        /// The plugin.
        file: PathBuf,
        /// The id of the key it was signed with.
        key: String,
    },
    /// No policy pins these bytes.
    #[error(
        "no policy pins it, and [agent.trust] has require = \"digest\": if it is as it should be, write sha256 = \"{digest}\" \
         into its policy (`salve plugin inspect {file}` prints one)",
        file = .file.display()
    )]
    Unpinned {
        /// The plugin.
        file: PathBuf,
        /// What to pin.
        digest: Arc<str>,
    },
    /// It may look at what no plugin is to look at.
    #[error(
        "it imports `{import}`, which [agent.trust] deny-imports = [\"{rule}\"] refuses; build it without, or change salve.toml"
    )]
    DeniedImport {
        /// What it imports.
        import: String,
        /// What refuses it.
        rule: String,
    },
    /// It asks for what no plugin is to do.
    #[error(
        "it wants `{want}`, which [agent.trust] deny-wants = [\"{rule}\"] refuses; build it without, or change salve.toml"
    )]
    DeniedWant {
        /// What it asks for.
        want: String,
        /// What refuses it.
        rule: String,
    },
    /// What it imports cannot be told.
    #[error("what it imports cannot be told, which [agent.trust] deny-imports asks for: {0}")]
    Illegible(String),
}

/// SHA-256, in lower-case hexadecimal.
pub(super) fn digest(bytes: &[u8]) -> Arc<str> {
    hex(&Sha256::digest(bytes)).into()
}

impl Trust {
    /// Judges by these rules.
    pub fn new(rules: TrustRules) -> Self {
        Self { rules: Arc::new(rules) }
    }

    /// Whether signatures are looked at.
    pub fn wants_signatures(&self) -> bool {
        self.rules.require == Require::Signature
    }

    /// Whether it matters what policies pin before a plugin is compiled.
    pub fn wants_pins(&self) -> bool {
        self.rules.require == Require::Digest
    }

    /// Judges the bytes of `file`. `signature` is what is in the file beside it, if there is one; `pins` are the digests that
    /// the policies of this plugin pin.
    pub fn check(
        &self,
        file: &Path,
        bytes: &[u8],
        signature: Option<&Result<Vec<u8>, String>>,
        pins: &BTreeSet<String>,
    ) -> Result<Verified, TrustError> {
        let digest = digest(bytes);
        let signer = match self.rules.require {
            Require::None => None,
            Require::Signature => Some(self.signer(file, bytes, signature)?),
            Require::Digest if pins.contains(&*digest) => None,
            Require::Digest => return Err(TrustError::Unpinned { file: file.to_owned(), digest }),
        };
        self.check_imports(bytes)?;
        Ok(Verified { digest, signer })
    }

    fn signer(
        &self,
        file: &Path,
        bytes: &[u8],
        signature: Option<&Result<Vec<u8>, String>>,
    ) -> Result<Signer, TrustError> {
        let (file, keys) = (file.to_owned(), self.key_ids());
        let text = match signature {
            None => return Err(TrustError::Unsigned { file, keys }),
            Some(Err(why)) => return Err(TrustError::Unreadable { file, why: why.clone() }),
            Some(Ok(text)) => text,
        };
        let signature = match Signature::parse(text) {
            Ok(signature) => signature,
            Err(why) => return Err(TrustError::Unreadable { file, why }),
        };
        let key = signature.key().to_owned();
        signature.verify(bytes, &self.rules.keys).map_err(|flaw| match flaw {
            SignatureFlaw::OtherKey => TrustError::OtherKey { file, key, keys },
            SignatureFlaw::Mismatch => TrustError::Mismatch { file, key },
        })
    }

    fn key_ids(&self) -> String {
        let ids: Vec<String> = self.rules.keys.iter().map(|key| format!("key {key}")).collect();
        ids.join(" or ")
    }

    fn check_imports(&self, bytes: &[u8]) -> Result<(), TrustError> {
        // What is no component does not load, for reasons that the loader tells better.
        if self.rules.deny_imports.is_empty() || !wasmparser::Parser::is_component(bytes) {
            return Ok(());
        }
        let imports = Statement::read(bytes).map_err(TrustError::Illegible)?.imports;
        for rule in &self.rules.deny_imports {
            let word = GRANTABLE.iter().find(|(_, word)| word == rule).map(|(name, _)| *name);
            let pattern = WildMatch::new(word.unwrap_or(rule));
            let denied = |import: &&String| pattern.matches(import) || pattern.matches(without_version(import));
            if let Some(import) = imports.iter().find(denied) {
                return Err(TrustError::DeniedImport { import: import.clone(), rule: rule.clone() });
            }
        }
        Ok(())
    }

    /// Judges what a plugin asks for. A want that has anything in common with what is denied is refused.
    pub fn check_wants(&self, description: &Description) -> Result<(), TrustError> {
        for rule in &self.rules.deny_wants {
            if let Some(want) = description.wants.iter().find(|want| overlap(rule, want)) {
                return Err(TrustError::DeniedWant { want: want.clone(), rule: rule.clone() });
            }
        }
        Ok(())
    }

    /// Whether a plugin may run under a policy: where digests are wanted, every policy has to pin its plugin.
    pub fn check_pin(&self, policy: &Policy, digest: &str) -> Result<(), String> {
        match policy.sha256.as_deref() {
            Some(pin) if pin != digest => Err(format!("the plugin's sha256 is {digest}, the policy pins {pin}")),
            None if self.wants_pins() => Err(format!(
                "it does not pin its plugin, and [agent.trust] has require = \"digest\"; if the plugin is as it should be, \
                 add sha256 = \"{digest}\""
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::signature::testing::{keys, sign};
    use super::statement::testing::component;
    use super::*;

    const FILE: &str = "/plugins/web.wasm";

    fn check(rules: &TrustRules, bytes: &[u8], signature: Option<Result<Vec<u8>, String>>) -> Result<Verified, String> {
        let trust = Trust::new(rules.clone());
        let result = trust.check(Path::new(FILE), bytes, signature.as_ref(), &BTreeSet::new());
        result.map_err(|error| error.to_string())
    }

    #[test]
    fn without_rules_everything_passes_and_has_its_digest() {
        let verified = check(&TrustRules::default(), b"abc", None).unwrap();
        assert_eq!(&*verified.digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(verified.signer, None);
    }

    #[test]
    fn where_signatures_are_wanted_every_other_file_is_refused_with_the_remedy() {
        let ((old, old_key), (new, new_key), (stranger, strange)) = (keys(), keys(), keys());
        let ids = format!("key {old_key} or key {new_key}");
        let rules = TrustRules {
            require: Require::Signature,
            keys: vec![old_key.clone(), new_key.clone()],
            ..TrustRules::default()
        };
        // Both keys count, while one takes the place of the other.
        for (pair, key) in [(&old, &old_key), (&new, &new_key)] {
            assert_eq!(check(&rules, b"code", Some(Ok(sign(pair, b"code")))).unwrap().signer.unwrap().key, key.id());
        }
        let command = "`salve plugin sign /plugins/web.wasm --key SECRET`";
        let cases = [
            (None, format!("not signed: [agent.trust] wants /plugins/web.wasm.minisig by {ids}")),
            (
                Some(Err("permission denied".to_owned())),
                "web.wasm.minisig is no signature: permission denied".to_owned(),
            ),
            (Some(Ok(b"text".to_vec())), "web.wasm.minisig is no signature: ".to_owned()),
            (Some(Ok(sign(&stranger, b"code"))), format!("is by key {strange}, and [agent.trust] trusts {ids}")),
            (Some(Ok(sign(&old, b"other"))), format!("minisig, by key {old_key}, is not of this file")),
        ];
        for (signature, expected) in cases {
            let words = check(&rules, b"code", signature).unwrap_err();
            assert!(words.contains(&expected) && words.contains(command), "{words}\n  not {expected}");
        }
    }

    #[test]
    fn where_digests_are_wanted_only_what_is_pinned_is_compiled_and_only_under_policies_that_pin() {
        let trust = Trust::new(TrustRules { require: Require::Digest, ..TrustRules::default() });
        let check =
            |pins: &[&str]| trust.check(Path::new(FILE), b"abc", None, &pins.iter().map(ToString::to_string).collect());
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let words = check(&["0000"]).unwrap_err().to_string();
        assert!(words.contains(&format!("sha256 = \"{digest}\"")) && words.contains("plugin inspect"), "{words}");
        assert_eq!(&*check(&["0000", digest]).unwrap().digest, digest);

        let policy = |text: &str| Policy::parse(Path::new("p.toml"), text).unwrap();
        let unpinned = policy("plugin = \"web\"");
        assert!(trust.check_pin(&unpinned, digest).unwrap_err().contains("does not pin its plugin"));
        assert!(trust.check_pin(&Policy::implicit("web", &crate::plugin::Limits::default()), digest).is_err());
        let pinned = policy(&format!("plugin = \"web\"\nsha256 = \"{digest}\""));
        trust.check_pin(&pinned, digest).unwrap();
        for trust in [trust, Trust::default()] {
            assert!(trust.check_pin(&pinned, "1111").unwrap_err().contains("the policy pins"));
        }
        Trust::default().check_pin(&unpinned, digest).unwrap();
    }

    #[test]
    fn imports_are_denied_by_word_name_and_pattern() {
        let bytes = component(&["salve:plugin/files@0.1.0", "wasi:io/poll@0.2.0"]);
        let denying = |rule: &str| TrustRules { deny_imports: vec![rule.to_owned()], ..TrustRules::default() };
        for (rule, import) in [
            ("files", "salve:plugin/files@0.1.0"),
            ("salve:plugin/files", "salve:plugin/files@0.1.0"),
            ("wasi:io/*", "wasi:io/poll@0.2.0"),
            ("wasi:io/poll@0.2.0", "wasi:io/poll@0.2.0"),
            ("*", "salve:plugin/files@0.1.0"),
        ] {
            let words = check(&denying(rule), &bytes, None).unwrap_err();
            assert!(words.contains(&format!("imports `{import}`")) && words.contains(rule), "{words}");
        }
        for rule in ["history", "wasi:sockets/*", "wasi:io/poll@0.3.0", "salve:plugin/file"] {
            check(&denying(rule), &bytes, None).unwrap();
        }
        // What is cut off could have gone on with an import.
        let cut = &bytes[..bytes.len() - 1];
        assert!(check(&denying("history"), cut, None).unwrap_err().contains("cannot be told"));
        check(&TrustRules::default(), cut, None).unwrap();
    }

    #[test]
    fn wants_are_denied_if_they_have_anything_in_common_with_what_is() {
        let trust = Trust::new(TrustRules {
            deny_wants: vec!["host.reboot:*".to_owned(), "service.stop:db*".to_owned()],
            ..TrustRules::default()
        });
        let wanting = |want: &str| Description {
            name: String::new(),
            version: String::new(),
            summary: String::new(),
            config_schema: String::new(),
            wants: vec!["service.restart:*".to_owned(), want.to_owned()],
        };
        for want in ["host.reboot:host", "service.*:*", "service.stop:*", "*:*"] {
            let words = trust.check_wants(&wanting(want)).unwrap_err().to_string();
            assert!(words.contains(&format!("it wants `{want}`")) && words.contains("deny-wants"), "{words}");
        }
        for want in ["service.stop:web*", "notify:*", "nonsense"] {
            trust.check_wants(&wanting(want)).unwrap();
        }
    }
}
