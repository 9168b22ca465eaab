use std::fmt;

/// What is wrong with a fault tree, and where: `tree."shop is down".any.1: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeError {
    pub(super) place: Place,
    pub(super) message: String,
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place.0, self.message)
    }
}

impl std::error::Error for TreeError {}

impl From<TreeError> for String {
    fn from(error: TreeError) -> Self {
        error.to_string()
    }
}

/// Where in the configuration something stands, in the words of TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place(String);

impl Place {
    pub(super) fn root(table: &str) -> Self {
        Self(table.to_owned())
    }

    pub(super) fn of(table: &str, name: &str) -> Self {
        let is_bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        Self(if is_bare { format!("{table}.{name}") } else { format!("{table}.{name:?}") })
    }

    pub(super) fn then(&self, key: impl fmt::Display) -> Self {
        Self(format!("{}.{key}", self.0))
    }

    pub(super) fn error(&self, message: impl Into<String>) -> TreeError {
        TreeError { place: self.clone(), message: message.into() }
    }
}

/// From which likeness on a name is probably a slip of another one.
const LIKENESS: f64 = 0.8;

/// Says that there is no such name, and which one was probably meant.
pub(super) fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let nearest = known
        .clone()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let names: Vec<_> = known.take(10).map(|name| format!("`{name}`")).collect();
    match nearest {
        Some((_, nearest)) => format!("no {what} is called `{name}`; did you mean `{nearest}`?"),
        None if names.is_empty() => format!("no {what} is called `{name}`; there is none at all"),
        None => format!("no {what} is called `{name}`; there is {}", names.join(", ")),
    }
}
