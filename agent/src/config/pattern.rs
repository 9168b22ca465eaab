use std::fmt;
use std::path::{Component, Path};

use globset::{GlobBuilder, GlobMatcher};
use wildmatch::WildMatch;

use crate::action::ActionKind;

/// Kinds that begin so act on paths.
const ON_PATHS: &str = "file.";

/// Which actions on which targets: `service.restart:app@*.service`. `*` stands for any text, `?` for one character.
///
/// For `file.*` the target is a path glob: there `*` and `?` stay within one directory, `**` stands for any number of them,
/// and `[…]` and `{…,…}` for one of several. So `file.delete:/var/log/*` covers nothing beneath `/var/log/nginx`.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// As written: the matchers make one of `*` and `**`, which are not the same for a path.
    text: String,
    kind: WildMatch,
    target: WildMatch,
    /// The target as a path glob, if the kind is or includes one that acts on paths.
    paths: Option<GlobMatcher>,
}

/// Why a pattern is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// No colon, or nothing on one side of it.
    #[error("`{0}` is not of the form `kind:target`, for example `service.restart:nginx.service`")]
    Form(String),
    /// No kind of this agent matches.
    #[error("`{kind}` matches no kind of action this agent knows: {known}")]
    Kind {
        /// As written.
        kind: String,
        /// The valid kinds.
        known: String,
    },
    /// For a kind that acts on paths, a target that is none.
    #[error("`{0}` is not an absolute path without `..`, for example `/var/log/app/*.log`; `**` crosses directories")]
    Path(String),
    /// For a kind that acts on paths, a target that is no glob.
    #[error("`{target}` is not a path glob: {why}")]
    Glob {
        /// As written.
        target: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Pattern {
    /// Reads `kind:target`. A kind that can never match is an error: a grant with a typing error would look like one that
    /// works until the night it is needed.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let (kind, target) = match text.split_once(':') {
            Some((kind, target)) if !kind.is_empty() && !target.is_empty() => (kind, target),
            _ => return Err(PatternError::Form(text.to_owned())),
        };
        let matcher = WildMatch::new(kind);
        let kinds: Vec<String> =
            ActionKind::all().map(|(known, _)| known).filter(|known| matcher.matches(known)).collect();
        if kinds.is_empty() {
            let known = ActionKind::all().map(|(known, _)| known).collect::<Vec<_>>().join(", ");
            return Err(PatternError::Kind { kind: kind.to_owned(), known });
        }
        let is_path = target.starts_with('/') && !has_parent(Path::new(target));
        let paths = match is_path {
            true if kinds.iter().any(|kind| kind.starts_with(ON_PATHS)) => Some(glob(target)?),
            false if kinds.iter().all(|kind| kind.starts_with(ON_PATHS)) => {
                return Err(PatternError::Path(target.to_owned()));
            }
            _ => None,
        };
        Ok(Self { text: text.to_owned(), kind: matcher, target: WildMatch::new(target), paths })
    }

    /// A path glob that stands for files, whatever is done with them.
    pub fn on_paths(glob: &str) -> Result<Self, PatternError> {
        Self::parse(&format!("{ON_PATHS}*:{glob}"))
    }

    /// Whether it stands for this file.
    pub fn covers_path(&self, path: &Path) -> bool {
        !has_parent(path) && self.paths.as_ref().is_some_and(|paths| paths.is_match(path))
    }

    /// Whether it covers an action. What is asked for is compared as it is: a `*` in it is no pattern.
    pub fn matches(&self, kind: &str, target: &str) -> bool {
        if kind.starts_with(ON_PATHS) {
            return self.covers(kind, Path::new(target));
        }
        self.kind.matches(kind) && self.target.matches(target)
    }

    /// Whether it covers any action on this target.
    pub fn is_about(&self, target: &str) -> bool {
        self.target.matches(target) || self.covers_path(Path::new(target))
    }

    /// Whether it covers an action on a path, byte by byte. A path with `..` in it is covered by nothing.
    pub fn covers(&self, kind: &str, path: &Path) -> bool {
        self.kind.matches(kind) && !has_parent(path) && self.paths.as_ref().is_some_and(|paths| paths.is_match(path))
    }
}

/// Whether `..` is one of its components.
fn has_parent(path: &Path) -> bool {
    path.components().any(|component| component == Component::ParentDir)
}

fn glob(target: &str) -> Result<GlobMatcher, PatternError> {
    let glob = GlobBuilder::new(target).literal_separator(true).build();
    let error = |error: globset::Error| PatternError::Glob { target: target.to_owned(), why: error.kind().to_string() };
    glob.map(|glob| glob.compile_matcher()).map_err(error)
}

impl PartialEq for Pattern {
    /// All else follows from the text.
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_kinds_and_targets() {
        let pattern = Pattern::parse("service.*:app@*.service").unwrap();
        assert!(pattern.matches("service.restart", "app@1.service"));
        assert!(!pattern.matches("service.restart", "app.service"));
        assert!(!pattern.matches("serviceXrestart", "app@1.service"));
        assert!(!Pattern::parse("service.restart:a").unwrap().matches("service.restart", "*"));
        assert_eq!(pattern.to_string(), "service.*:app@*.service");
    }

    #[test]
    fn bad_patterns_say_what_is_valid() {
        for text in ["nginx", ":nginx", "service.restart:", ""] {
            assert!(Pattern::parse(text).unwrap_err().to_string().contains("kind:target"), "{text}");
        }
        let error = Pattern::parse("service.explode:nginx").unwrap_err().to_string();
        assert!(error.contains("service.explode") && error.contains("service.reload"), "{error}");
    }

    #[test]
    fn for_files_a_star_stays_within_its_directory() {
        let pattern = Pattern::parse("file.*:/var/log/*.log").unwrap();
        assert!(pattern.matches("file.delete", "/var/log/a.log"));
        assert!(pattern.matches("file.truncate", "/var/log/*.log"), "a target may be a glob itself");
        for path in
            ["/var/log/nginx/a.log", "/var/log/../b.log", "/var/log/x/../a.log", "/var/log/**/a.log", "var/log/a.log"]
        {
            assert!(!pattern.matches("file.delete", path), "{path}");
        }
        let deep = Pattern::parse("file.delete:/srv/**/cache/*").unwrap();
        assert!(deep.matches("file.delete", "/srv/a/b/cache/x") && deep.matches("file.delete", "/srv/cache/x"));
        assert!(!deep.matches("file.delete", "/srv/a/../../etc/cache/x"));
        assert!(!deep.matches("file.truncate", "/srv/cache/x"));
        // Whoever grants everything has not thought of files: these want a path.
        assert!(!Pattern::parse("*:*").unwrap().matches("file.delete", "/etc/passwd"));
        assert!(Pattern::parse("http.request:https://host/*").unwrap().matches("http.request", "https://host/a/b"));
    }

    #[test]
    fn a_pattern_is_shown_as_it_was_written_and_differs_where_it_covers_other_files() {
        let [flat, deep] = ["file.delete:/srv/*", "file.delete:/srv/**"].map(|text| Pattern::parse(text).unwrap());
        assert_eq!((flat.to_string(), deep.to_string()), ("file.delete:/srv/*".into(), "file.delete:/srv/**".into()));
        assert_ne!(flat, deep);
    }

    #[test]
    fn for_files_the_target_is_an_absolute_path() {
        for text in ["file.delete:tmp/*", "file.*:**", "file.truncate:/var/../etc/x"] {
            assert!(Pattern::parse(text).unwrap_err().to_string().contains("absolute path"), "{text}");
        }
        let error = Pattern::parse("file.delete:/var/log/[a").unwrap_err().to_string();
        assert!(error.contains("/var/log/[a") && error.contains("character class"), "{error}");
    }
}
