//! `[agent.trust]`: which plugins may run at all, whatever policies say.

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::error::Flaw;
use super::{Pattern, PublicKey, READABLE};
use crate::permission::Permission;

/// As written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Trust {
    require: Option<Spanned<Require>>,
    keys: Vec<Spanned<String>>,
    deny_imports: Vec<Spanned<String>>,
    deny_wants: Vec<Spanned<String>>,
}

/// What a plugin's file has to show before it is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Require {
    /// Nothing: whoever may write the plugins directory is trusted.
    #[default]
    None,
    /// A digest that a policy pins.
    Digest,
    /// A signature by one of the keys.
    Signature,
}

/// Which plugins may run at all.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrustRules {
    /// What a file has to show.
    pub require: Require,
    /// Who may sign.
    pub keys: Vec<PublicKey>,
    /// Interfaces that no plugin may import: words of `[grant] read`, or names, in which `*` stands for any text.
    pub deny_imports: Vec<String>,
    /// Actions that no plugin may ask for: patterns as in grants.
    pub deny_wants: Vec<String>,
}

/// Checks the table; paths of keys are relative to `base`.
pub(super) fn check(base: &Path, raw: Trust) -> Result<TrustRules, Flaw> {
    let mut rules = TrustRules::default();
    for entry in &raw.keys {
        rules.keys.push(key(base, entry.get_ref()).map_err(|why| Flaw::new(entry.span(), why))?);
    }
    if let Some(require) = raw.require {
        rules.require = *require.get_ref();
        if rules.require == Require::Signature && rules.keys.is_empty() {
            let why = "signatures by whom? add keys = [\"RW…\"]; `salve plugin keygen NAME` makes a key";
            return Err(Flaw::new(require.span(), why));
        }
    }
    for entry in raw.deny_imports {
        let name = entry.get_ref();
        if !READABLE.contains(&name.as_str()) && name != "*" && !(name.contains(':') && name.contains('/')) {
            let why = format!(
                "`{name}` is no interface: write {}, or a name such as `wasi:sockets/*`",
                READABLE.map(|word| format!("`{word}`")).join(", ")
            );
            return Err(Flaw::new(entry.span(), why));
        }
        rules.deny_imports.push(entry.into_inner());
    }
    for entry in raw.deny_wants {
        Pattern::parse(entry.get_ref()).map_err(|error| Flaw::new(entry.span(), error.to_string()))?;
        rules.deny_wants.push(entry.into_inner());
    }
    Ok(rules)
}

/// A key as it is, or from a file that nobody else may write.
fn key(base: &Path, entry: &str) -> Result<PublicKey, String> {
    if PublicKey::is_inline(entry) {
        return PublicKey::parse(entry).map_err(|why| format!("`{entry}` is {why}"));
    }
    let file = base.join(entry);
    let text = std::fs::read_to_string(&file).map_err(|error| {
        format!(
            "the key {} cannot be read: {error}; write the key itself (`RW…`), or a .pub file's path",
            file.display()
        )
    })?;
    Permission::of_this_process().file(&file).map_err(|exposed| exposed.to_string())?;
    PublicKey::parse(&text).map_err(|why| format!("{} is {why}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::Settings;

    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    fn parse(base: &Path, text: &str) -> Result<TrustRules, String> {
        let settings = Settings::parse(&base.join("salve.toml"), &format!("[agent.trust]\n{text}\n"));
        settings.map(|settings| settings.trust).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_are_read_in_place_and_from_files() {
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("team.pub");
        fs::write(&file, format!("untrusted comment: x\n{KEY}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(parse(base.path(), "").unwrap(), TrustRules::default());
        let text = format!(
            "require = \"signature\"\nkeys = [\"{KEY}\", \"team.pub\"]\ndeny-imports = [\"files\", \"wasi:sockets/*\"]\n\
             deny-wants = [\"host.reboot:*\", \"file.*:/etc/**\"]"
        );
        let rules = parse(base.path(), &text).unwrap();
        assert_eq!(rules.require, Require::Signature);
        assert_eq!(rules.keys.iter().map(PublicKey::id).collect::<Vec<_>>(), ["E7620F1842B4E81F"; 2]);
        assert_eq!(rules.deny_wants, ["host.reboot:*", "file.*:/etc/**"]);
        // A key that anybody may exchange is none.
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(parse(base.path(), "keys = [\"team.pub\"]").unwrap_err().contains("`chmod go-w "));
    }

    #[test]
    fn errors_name_line_and_remedy() {
        let base = tempfile::tempdir().unwrap();
        let long = "R".to_owned() + &"W".repeat(55);
        for (text, expected) in [
            ("require = \"signature\"", ":2:11: signatures by whom? add keys"),
            ("require = \"maybe\"", ":2:11: unknown variant `maybe`, expected one of"),
            ("keys = [\"absent.pub\"]", ":2:9: the key "),
            (&format!("keys = [\"{long}\"]"), "is no public key"),
            ("deny-imports = [\"dreams\"]", ":2:17: `dreams` is no interface: write `files`, `history`"),
            ("deny-wants = [\"host.reboot\"]", ":2:15: `host.reboot` is not of the form"),
            ("deny-wants = [\"boom:x\"]", ":2:15: `boom` matches no kind"),
            ("deny-want = []", ":2:1: unknown key `deny-want`; did you mean `deny-wants`?"),
        ] {
            let error = parse(base.path(), text).unwrap_err();
            assert!(error.contains(expected), "{text}\n  gave {error}\n  not  {expected}");
        }
    }
}
