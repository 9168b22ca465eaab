use std::fmt;

use wildmatch::WildMatch;

use crate::action::ActionKind;

/// Which actions on which targets: `service.restart:app@*.service`. `*` stands for any text, `?` for one character.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    kind: WildMatch,
    target: WildMatch,
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
}

impl Pattern {
    /// Reads `kind:target`. A kind that can never match is an error: a grant with a typing error would look like one that
    /// works until the night it is needed.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let (kind, target) = match text.split_once(':') {
            Some((kind, target)) if !kind.is_empty() && !target.is_empty() => (kind, target),
            _ => return Err(PatternError::Form(text.to_owned())),
        };
        let pattern = Self { kind: WildMatch::new(kind), target: WildMatch::new(target) };
        if !ActionKind::all().any(|(known, _)| pattern.kind.matches(&known)) {
            let known = ActionKind::all().map(|(known, _)| known).collect::<Vec<_>>().join(", ");
            return Err(PatternError::Kind { kind: kind.to_owned(), known });
        }
        Ok(pattern)
    }

    /// Whether it covers an action. What is asked for is compared as it is: a `*` in it is no pattern.
    pub fn matches(&self, kind: &str, target: &str) -> bool {
        self.kind.matches(kind) && self.target.matches(target)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.target)
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
}
