//! Names of units: which ones somebody wants to see, and how they appear as D-Bus object paths.

use std::collections::BTreeSet;

/// Where systemd keeps the objects of its units.
pub(super) const UNITS: &str = "/org/freedesktop/systemd1/unit";

/// The units that somebody wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Names of single units.
    pub(super) exact: BTreeSet<String>,
    /// Patterns with `*` and `?`.
    pub(super) globs: BTreeSet<String>,
}

impl Wanted {
    /// Sorts `names` into unit names and patterns. A name without a dot belongs to the `command` manager, and one
    /// that no unit can have belongs to nobody: both are left out.
    pub(super) fn new(names: &BTreeSet<String>) -> Self {
        let (globs, exact) = names.iter().filter(|name| is_sound(name)).cloned().partition(|name| is_glob(name));
        let mut wanted = Self { exact, globs };
        wanted.exact.retain(|name| is_unit(name));
        wanted
    }

    /// Whether somebody wants to see `unit`.
    pub(super) fn covers(&self, unit: &str) -> bool {
        self.exact.contains(unit) || self.globs.iter().any(|glob| covers(glob, unit))
    }
}

/// Whether `name` can be the name of a unit rather than that of a `[services.NAME]` entry.
pub(super) fn is_unit(name: &str) -> bool {
    is_sound(name) && !is_glob(name) && name.contains('.')
}

fn is_glob(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// Only the characters systemd allows in names: nothing that could break out of a match rule.
fn is_sound(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@*?".contains(c);
    !name.is_empty() && name.len() < 256 && name.chars().all(allowed)
}

/// Whether `glob` names `unit`. One that does not spell out the type of unit, such as `*` or `app@*`, means services:
/// whoever watches everything does not ask for the host's device and mount units.
fn covers(glob: &str, unit: &str) -> bool {
    let typed = glob.rsplit_once('.').is_some_and(|(_, kind)| !is_glob(kind));
    (typed || unit.ends_with(".service")) && matches(glob, unit)
}

/// Matches `*` and `?`. Only the last `*` is ever tried again, so a hostile pattern costs at most the product of the
/// two lengths.
fn matches(glob: &str, name: &str) -> bool {
    let (mut glob, mut name) = (glob.as_bytes(), name.as_bytes());
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (glob.split_first(), name.split_first()) {
            (Some((b'*', rest)), _) => {
                glob = rest;
                retry = Some((rest, name));
            }
            (Some((wanted, rest)), Some((found, tail))) if wanted == found || *wanted == b'?' => {
                (glob, name) = (rest, tail);
            }
            (None, None) => return true,
            _ => {
                // The last `*` swallows one character more.
                let Some((rest, [_, tail @ ..])) = retry else {
                    return false;
                };
                (glob, name) = (rest, tail);
                retry = Some((rest, tail));
            }
        }
    }
}

/// The object path of `unit`: systemd writes every byte that is not a letter or a digit as `_xx`.
pub(super) fn path(unit: &str) -> String {
    let mut path = format!("{UNITS}/");
    for (at, byte) in unit.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (at > 0 && byte.is_ascii_digit()) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("_{byte:02x}"));
        }
    }
    path
}

/// The unit whose object is at `path`.
pub(super) fn of_path(path: &str) -> Option<String> {
    let label = path.strip_prefix(UNITS)?.strip_prefix('/')?;
    let mut parts = label.split('_');
    let mut unit = parts.next()?.to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        unit.push(char::from(u8::from_str_radix(code, 16).ok()?));
        unit.push_str(rest);
    }
    Some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(names: &[&str]) -> Wanted {
        Wanted::new(&names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn names_without_a_dot_are_not_of_systemd() {
        let wanted = wanted(&["demo", "nginx.service", "app@*.service", "*", "a'b.service", ""]);
        assert_eq!(wanted.exact.iter().collect::<Vec<_>>(), ["nginx.service"]);
        assert_eq!(wanted.globs.iter().collect::<Vec<_>>(), ["*", "app@*.service"]);
    }

    #[test]
    fn a_pattern_without_a_type_means_services() {
        assert!(wanted(&["*"]).covers("nginx.service"));
        assert!(!wanted(&["*"]).covers("tmp.mount"));
        assert!(wanted(&["*.mount"]).covers("tmp.mount"));
        assert!(wanted(&["app@*"]).covers("app@1.service"));
        assert!(!wanted(&["app@*"]).covers("apple.service"));
        assert!(wanted(&["tmp.mount"]).covers("tmp.mount"));
    }

    #[test]
    fn stars_and_question_marks() {
        for (glob, name, expected) in [
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "acb", false),
            ("*a*b", "xaxaxb", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("", "", true),
            ("*", "", true),
        ] {
            assert_eq!(matches(glob, name), expected, "{glob} {name}");
        }
        let (hostile, long) = ("*a".repeat(100) + "b", "a".repeat(255));
        assert!(!matches(&hostile, &long));
    }

    #[test]
    fn paths_there_and_back() {
        assert_eq!(path("app@1-x.service"), "/org/freedesktop/systemd1/unit/app_401_2dx_2eservice");
        assert_eq!(path("1.service"), "/org/freedesktop/systemd1/unit/_31_2eservice");
        for unit in ["nginx.service", "app@1-x.service", "1.service", "a\\x2db.mount"] {
            assert_eq!(of_path(&path(unit)).as_deref(), Some(unit));
        }
        assert_eq!(of_path("/org/freedesktop/systemd1/job/5"), None);
    }
}
