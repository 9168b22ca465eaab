//! `[commands.NAME]`: what `command.run` can run. The operator writes the argument vector; a plugin fills typed placeholders.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::{ConfigError, raw};
use crate::signal::{Attribute, Value};

/// How long a command may take, unless it says otherwise.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes that are kept of the end of its output, unless it says otherwise.
const OUTPUT: usize = 64 * 1024;
/// The most it can say otherwise: the output is kept in memory and in the ledger.
const MAX_OUTPUT: usize = 16 * 1024 * 1024;

/// A command that `command.run` can run, without a shell.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandSpec {
    /// The program's absolute path and its arguments.
    argv: Vec<Vec<Piece>>,
    /// What the placeholders may be.
    pub parameters: BTreeMap<String, ParameterType>,
    /// Who it runs as; the agent's user if not given.
    pub user: Option<String>,
    /// Its environment, besides `PATH`.
    pub environment: BTreeMap<String, String>,
    /// Its working directory; `/` if not given.
    pub directory: PathBuf,
    /// How long it may take until it and its process group are killed.
    pub timeout: Duration,
    /// Bytes that are kept of the end of its output.
    pub output: usize,
    /// Whether doing it twice does no harm: one that is not is asked about, and never repeated after a crash.
    pub repeatable: bool,
}

/// A stretch of an argument.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(String),
    Placeholder(String),
}

/// What a placeholder may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterType {
    /// A whole number.
    Integer,
    /// Any finite number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `[A-Za-z0-9._@:-]+`, not beginning with `-`: no option, no path, nothing that a shell script could trip over.
    Word,
    /// An absolute path without `..` and control characters.
    Path,
}

impl ParameterType {
    /// The value as an argument; none if it is not of this type.
    fn render(self, value: &Value) -> Option<String> {
        let fits = match (self, value) {
            (Self::Integer | Self::Number, Value::Integer(_)) | (Self::Boolean, Value::Boolean(_)) => true,
            (Self::Number, Value::Number(number)) => number.is_finite(),
            (Self::Word, Value::Text(text)) => {
                let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"._@:-".contains(&byte);
                !text.is_empty() && !text.starts_with('-') && text.bytes().all(is_valid)
            }
            (Self::Path, Value::Text(text)) => {
                let climbs = Path::new(text).components().any(|component| component == Component::ParentDir);
                text.starts_with('/') && !climbs && !text.contains(char::is_control)
            }
            _ => false,
        };
        fits.then(|| value.to_string())
    }

    /// In words, for people.
    fn wanted(self) -> &'static str {
        match self {
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::Word => "a word of letters, digits and `._@:-` that does not begin with `-`",
            Self::Path => "an absolute path without `..`",
        }
    }
}

impl CommandSpec {
    /// The argument vector with its placeholders filled. Every declared parameter must be given once, of its type, and no
    /// other.
    pub fn fill(&self, given: &[Attribute]) -> Result<Vec<String>, String> {
        let mut values = BTreeMap::new();
        for Attribute { key, value } in given {
            let Some(kind) = self.parameters.get(key) else {
                let valid: Vec<&str> = self.parameters.keys().map(String::as_str).collect();
                return Err(super::unknown_key(key, &valid));
            };
            let Some(text) = kind.render(value) else {
                return Err(format!("parameter `{key}` is `{value}`, which is not {}", kind.wanted()));
            };
            if values.insert(key.as_str(), text).is_some() {
                return Err(format!("parameter `{key}` is given twice"));
            }
        }
        if let Some((missing, kind)) = self.parameters.iter().find(|(name, _)| !values.contains_key(name.as_str())) {
            return Err(format!("parameter `{missing}` is missing: {}", kind.wanted()));
        }
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Placeholder(name) => values.get(name.as_str()).cloned().unwrap_or_default(),
        };
        Ok(self.argv.iter().map(|pieces| pieces.iter().map(text).collect()).collect())
    }
}

/// Checks an entry; relative directories are relative to `base`.
pub(super) fn check(
    file: &Path,
    text: &str,
    base: &Path,
    name: &str,
    entry: Spanned<raw::Command>,
) -> Result<CommandSpec, ConfigError> {
    let whole = entry.span();
    let raw = entry.into_inner();
    let at = |span, message: String| ConfigError::at(file, text, Some(span), message);
    if ParameterType::Word.render(&Value::from(name)).is_none() {
        return Err(at(whole, format!("`{name}` cannot name a command: write {}", ParameterType::Word.wanted())));
    }
    let argv_span = raw.argv.span();
    let argv = raw.argv.into_inner().iter().map(|argument| pieces(argument)).collect::<Result<Vec<_>, _>>();
    let argv = argv.map_err(|message| at(argv_span.clone(), message))?;
    if !matches!(argv.first().map(Vec::as_slice), Some([Piece::Text(program)]) if program.starts_with('/')) {
        let message =
            "argv begins with the program's absolute path, without placeholders: [\"/usr/bin/jmap\", \"{pid}\"]";
        return Err(at(argv_span, message.to_owned()));
    }
    let used: BTreeSet<&str> = argv
        .iter()
        .flatten()
        .filter_map(|piece| match piece {
            Piece::Placeholder(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
        .collect();
    if let Some(unknown) = used.iter().find(|used| !raw.parameters.contains_key(**used)) {
        let message = format!(
            "placeholder `{{{unknown}}}` is not declared; add it to [commands.{name}.parameters], for example {unknown} = \"word\""
        );
        return Err(at(argv_span, message));
    }
    if let Some((unused, kind)) = raw.parameters.iter().find(|(declared, _)| !used.contains(declared.as_str())) {
        return Err(at(kind.span(), format!("parameter `{unused}` is in no argument; write `{{{unused}}}` in argv")));
    }
    let timeout = raw.timeout.unwrap_or(TIMEOUT);
    let output = raw.output.unwrap_or(OUTPUT);
    if timeout.is_zero() {
        return Err(at(whole, "timeout must be more than 0".to_owned()));
    }
    if !(1..=MAX_OUTPUT).contains(&output) {
        return Err(at(whole, format!("output is a number of bytes, 1 to {MAX_OUTPUT}")));
    }
    Ok(CommandSpec {
        argv,
        parameters: raw.parameters.into_iter().map(|(name, kind)| (name, kind.into_inner())).collect(),
        user: raw.user,
        environment: raw.environment,
        directory: raw.directory.map_or_else(|| "/".into(), |path| base.join(path)),
        timeout,
        output,
        repeatable: raw.repeatable,
    })
}

/// An argument's text and its `{placeholders}`; `{{` and `}}` stand for braces.
fn pieces(argument: &str) -> Result<Vec<Piece>, String> {
    let unbalanced = || format!("`{argument}` has a brace without its partner; `{{{{` and `}}}}` stand for braces");
    let (mut pieces, mut text) = (Vec::new(), String::new());
    let mut rest = argument;
    while let Some(brace) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(brace);
        text.push_str(before);
        if let Some(after) = from.strip_prefix("{{") {
            text.push('{');
            rest = after;
        } else if let Some(after) = from.strip_prefix("}}") {
            text.push('}');
            rest = after;
        } else {
            let (name, after) = from.strip_prefix('{').and_then(|it| it.split_once('}')).ok_or_else(unbalanced)?;
            if name.is_empty() || name.contains('{') {
                return Err(unbalanced());
            }
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(Piece::Placeholder(name.to_owned()));
            rest = after;
        }
    }
    text.push_str(rest);
    if !text.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Settings, testing};

    const DUMP: &str = r#"
        [commands.dump]
        argv = ["/usr/bin/dump", "--pid={pid}", "{file}", "{{}}", ""]
        [commands.dump.parameters]
        pid = "integer"
        file = "path"
    "#;

    #[test]
    fn placeholders_are_filled_by_type_and_never_split() {
        let commands = testing::commands(DUMP);
        let dump = &commands["dump"];
        assert_eq!((dump.timeout, dump.output, dump.repeatable), (TIMEOUT, OUTPUT, false));
        let given = [Attribute::new("pid", Value::Integer(7)), Attribute::new("file", "/tmp/a b; rm -rf $HOME")];
        let argv = dump.fill(&given).unwrap();
        assert_eq!(argv, ["/usr/bin/dump", "--pid=7", "/tmp/a b; rm -rf $HOME", "{}", ""]);
    }

    #[test]
    fn what_is_not_declared_or_not_of_its_type_is_refused() {
        let commands = testing::commands(DUMP);
        let pid = Attribute::new("pid", Value::Integer(7));
        let file = |text: &str| Attribute::new("file", text);
        for (given, expected) in [
            (vec![pid.clone()], "parameter `file` is missing"),
            (vec![Attribute::new("pid", "7"), file("/x")], "`7`, which is not a whole number"),
            (vec![pid.clone(), file("x")], "not an absolute path"),
            (vec![pid.clone(), file("/var/../etc/shadow")], "not an absolute path"),
            (vec![pid.clone(), file("/x\n")], "not an absolute path"),
            (vec![pid.clone(), pid.clone(), file("/x")], "given twice"),
            (vec![pid, file("/x"), Attribute::new("fil", "y")], "did you mean `file`"),
        ] {
            let error = commands["dump"].fill(&given).unwrap_err();
            assert!(error.contains(expected), "{given:?}\n  gave {error}");
        }
        let word = |text: &str| ParameterType::Word.render(&Value::from(text));
        assert_eq!(word("app@1.service").as_deref(), Some("app@1.service"));
        for text in ["", "-rf", "a b", "a/b", "a;b", "ä", "$x"] {
            assert_eq!(word(text), None, "{text}");
        }
        assert_eq!(ParameterType::Number.render(&Value::Number(f64::NAN)), None);
    }

    #[test]
    fn errors_name_file_line_and_remedy() {
        for (body, expected) in [
            ("argv = []", ":2:8: argv begins with the program's absolute path"),
            ("argv = [\"ls\"]", ":2:8: argv begins with"),
            ("argv = [\"/bin/{x}\"]\nparameters = { x = \"word\" }", ":2:8: argv begins with"),
            ("argv = [\"/bin/ls\", \"{x}\"]", ":2:8: placeholder `{x}` is not declared"),
            ("argv = [\"/bin/ls\", \"{x\"]", ":2:8: `{x` has a brace"),
            ("argv = [\"/bin/ls\"]\nparameters = { x = \"word\" }", ":3:20: parameter `x` is in no argument"),
            ("argv = [\"/bin/ls\", \"{x}\"]\nparameters = { x = \"string\" }", ":3:20: unknown variant `string`"),
            ("argv = [\"/bin/ls\"]\ntimeout = \"0\"", "timeout must be more than 0"),
            ("argv = [\"/bin/ls\"]\noutput = 0", "output is a number of bytes"),
            ("argv = [\"/bin/ls\"]\nshell = true", ":3:1: unknown key `shell`"),
        ] {
            let text = format!("[commands.a]\n{body}\n");
            let error = Settings::parse(Path::new("salve.toml"), &text).unwrap_err().to_string();
            assert!(error.contains(expected), "{body}\n  gave {error}\n  not  {expected}");
        }
        let error = Settings::parse(Path::new("salve.toml"), "[commands.\"a b\"]\nargv = [\"/bin/ls\"]").unwrap_err();
        assert!(error.to_string().contains("cannot name a command"), "{error}");
    }
}
