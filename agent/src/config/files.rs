//! `[files.NAME]`: files that are watched.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::duration;
use super::error::Flaw;

/// How often to look without having been told anything, unless the entry says otherwise.
const RESCAN: Duration = Duration::from_secs(60);

/// As written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct File {
    path: Spanned<PathBuf>,
    #[serde(default, deserialize_with = "duration::read_positive")]
    rescan: Option<Duration>,
    #[serde(default)]
    checksum: bool,
}

/// A file that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedFile {
    /// Where it is, or will be; absolute.
    pub path: PathBuf,
    /// How often to look without having been told anything.
    pub rescan: Duration,
    /// Whether its content is summed up too.
    pub checksum: bool,
}

/// Checks an entry; a relative path is relative to `base`.
pub(super) fn check(base: &Path, raw: File) -> Result<WatchedFile, Flaw> {
    let span = raw.path.span();
    let path = raw.path.into_inner();
    if path.file_name().is_none() {
        return Err(Flaw::new(span, "path names a file or a directory, for example \"/var/backups/db.dump\""));
    }
    Ok(WatchedFile { path: base.join(path), rescan: raw.rescan.unwrap_or(RESCAN), checksum: raw.checksum })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse(Path::new("/etc/salve/salve.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_needs_a_path_and_the_rest_has_defaults() {
        let settings =
            parse("[files.dump]\npath = \"db.dump\"\n[files.key]\npath = \"/k\"\nrescan = \"5s\"\nchecksum = true")
                .unwrap();
        let dump = WatchedFile { path: "/etc/salve/db.dump".into(), rescan: RESCAN, checksum: false };
        assert_eq!(settings.files["dump"], dump);
        let key = WatchedFile { path: "/k".into(), rescan: Duration::from_secs(5), checksum: true };
        assert_eq!(settings.files["key"], key);
    }

    #[test]
    fn errors_name_line_and_remedy() {
        for (body, expected) in [
            ("", "missing field `path`"),
            ("path = \"/\"", ":2:8: path names a file"),
            ("path = \"\"", ":2:8: path names a file"),
            ("path = \"/x\"\nrescan = \"0s\"", ":3:10: this duration must be more than zero"),
            ("path = \"/x\"\nchecksums = true", ":3:1: unknown key `checksums`; did you mean `checksum`?"),
        ] {
            let error = parse(&format!("[files.a]\n{body}\n")).unwrap_err();
            assert!(error.contains(expected), "{body}\n  gave {error}\n  not  {expected}");
        }
    }
}
