//! The operator's files.

use std::path::Path;

use crate::config::{ConfigError, Pattern, Policy, Settings};

/// A place that an error names is one of the text.
fn is_within(text: &str, error: &ConfigError) {
    assert!(!error.message.is_empty());
    if let Some(location) = error.location {
        let line = text.split('\n').nth(location.line - 1);
        assert!(line.is_some_and(|line| location.column <= line.chars().count() + 1), "{error}");
    }
}

/// `salve.toml`, and a policy.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(error) = Settings::parse(Path::new("/etc/salve/salve.toml"), text) {
        is_within(text, &error);
    }
    match Policy::parse(Path::new("/etc/salve/policies.d/web.toml"), text) {
        Ok(policy) => assert_eq!(&*policy.name, "web"),
        Err(error) => is_within(text, &error),
    }
}

/// A grant, and the kind and target of an action, a line each.
pub fn pattern(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (granted, kind, target) = (line(), line(), line());
    let Ok(pattern) = Pattern::parse(granted) else { return };
    assert_eq!(pattern.to_string(), granted);
    let covered = pattern.matches(kind, target);
    if covered && kind.starts_with("file.") {
        assert!(target.starts_with('/') && !target.split('/').any(|name| name == ".."), "{granted:?} {target:?}");
    }
    // Without any sign that stands for others, a grant is for what it says, and for nothing else.
    if !granted.contains(['*', '?', '[', '{', '\\']) {
        let said = granted == format!("{kind}:{target}");
        assert!(!covered || said || is_same_path(granted, kind, target), "{granted:?} covers {kind:?} {target:?}");
        assert!(covered || !said, "{granted:?} does not cover {kind:?} {target:?}");
    }
}

/// Paths may be written in more than one way: `/a//b/` is `/a/b`.
fn is_same_path(granted: &str, kind: &str, target: &str) -> bool {
    let path = granted.strip_prefix(kind).and_then(|rest| rest.strip_prefix(':'));
    path.is_some_and(|path| Path::new(path) == Path::new(target))
}
