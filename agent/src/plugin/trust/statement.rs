//! What a plugin's file says by itself. Nothing of it is compiled, let alone run.

use std::collections::BTreeMap;

use wasmparser::{Chunk, ComponentName, KnownCustom, Parser, Payload};

use crate::plugin::contract::text;
use crate::plugin::imports::GRANTABLE;

/// Custom sections that hold a text about the component, as registries of components write them.
const TEXTS: [&str; 6] = ["version", "description", "authors", "licenses", "source", "revision"];

/// A statement of power: what the component at the top level of a file is, imports and exports. It cannot be linked with
/// anything it does not import here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statement {
    /// The component's name, if it has one.
    pub name: Option<String>,
    /// Its version, description and so on, if it has them.
    pub about: BTreeMap<String, String>,
    /// What it imports.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
}

impl Statement {
    /// Reads a component's top level.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        if !Parser::is_component(bytes) {
            let what = if Parser::is_core_wasm(bytes) { "a core module" } else { "no WebAssembly" };
            return Err(format!(
                "{what}, not a component; build it with `cargo build --release --target wasm32-wasip2`"
            ));
        }
        let mut statement = Self::default();
        let mut parser = Parser::new(0);
        let mut rest = bytes;
        loop {
            let (payload, consumed) = match parser.parse(rest, true).map_err(|error| error.to_string())? {
                Chunk::Parsed { payload, consumed } => (payload, consumed),
                Chunk::NeedMoreData(_) => return Err("it ends too early".to_owned()),
            };
            rest = rest.get(consumed..).ok_or("it ends too early")?;
            match payload {
                // What is inside has no way to the host but through these imports.
                Payload::ModuleSection { unchecked_range: inner, .. }
                | Payload::ComponentSection { unchecked_range: inner, .. } => {
                    rest = rest.get(inner.len()..).ok_or("it ends too early")?;
                }
                Payload::ComponentImportSection(section) => {
                    for import in section {
                        let import = import.map_err(|error| error.to_string())?;
                        statement.imports.push(import.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) => {
                    for export in section {
                        let export = export.map_err(|error| error.to_string())?;
                        statement.exports.push(export.name.name.to_owned());
                    }
                }
                Payload::CustomSection(section) => match section.as_known() {
                    KnownCustom::ComponentName(names) => {
                        // Names are for people: a section of them that is broken breaks nothing.
                        let names = names.into_iter().map_while(Result::ok);
                        for name in names {
                            if let ComponentName::Component { name, .. } = name {
                                statement.name = Some(text(name.to_owned()));
                            }
                        }
                    }
                    _ if TEXTS.contains(&section.name()) => {
                        if let Ok(value) = std::str::from_utf8(section.data()) {
                            statement.about.insert(section.name().to_owned(), text(value.to_owned()));
                        }
                    }
                    _ => {}
                },
                Payload::End(_) => return Ok(statement),
                _ => {}
            }
        }
    }

    /// The words of `[grant] read` that a policy has to hold for it.
    pub fn needs(&self) -> Vec<&'static str> {
        let imported = |name: &str| self.imports.iter().any(|import| without_version(import) == name);
        GRANTABLE.iter().filter(|(name, _)| imported(name)).map(|(_, word)| *word).collect()
    }

    /// The interface by which the agent would call it: `salve:plugin/remediator@0.1.0`.
    pub fn contract(&self) -> Option<&str> {
        self.exports.iter().map(String::as_str).find(|export| without_version(export) == "salve:plugin/remediator")
    }

    /// Whether it converts what earlier versions of it kept.
    pub fn migrates(&self) -> bool {
        self.exports.iter().any(|export| without_version(export) == "salve:plugin/migration")
    }
}

/// An interface's name without `@0.1.0`.
pub(super) fn without_version(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

#[cfg(test)]
pub(in crate::plugin) mod testing {
    /// A component that imports instances by these names, and nothing else.
    pub(in crate::plugin) fn component(imports: &[&str]) -> Vec<u8> {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        // One type: an instance with nothing in it.
        bytes.extend([7, 3, 1, 0x42, 0]);
        for import in imports {
            let mut section = vec![1, 0, u8::try_from(import.len()).unwrap()];
            section.extend(import.bytes());
            section.extend([5, 0]);
            bytes.extend([10, u8::try_from(section.len()).unwrap()]);
            bytes.extend(section);
        }
        bytes
    }

    /// Adds a custom section.
    pub(in crate::plugin) fn custom(bytes: &mut Vec<u8>, name: &str, data: &[u8]) {
        bytes.extend([0, u8::try_from(1 + name.len() + data.len()).unwrap(), u8::try_from(name.len()).unwrap()]);
        bytes.extend(name.bytes());
        bytes.extend(data);
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{component, custom};
    use super::*;

    #[test]
    fn imports_and_texts_of_the_top_level_are_read() {
        let mut bytes = component(&["salve:plugin/files@0.1.0", "wasi:io/poll@0.2.0", "salve:plugin/log@0.1.0"]);
        // A component inside, whose imports are none of the outer one.
        let inner = component(&["salve:plugin/history@0.1.0"]);
        bytes.extend([4, u8::try_from(inner.len()).unwrap()]);
        bytes.extend(&inner);
        custom(&mut bytes, "component-name", b"\x00\x06\x05hello");
        custom(&mut bytes, "version", b"1.2.3");
        custom(&mut bytes, "note", b"whatever");
        let statement = Statement::read(&bytes).unwrap();
        assert_eq!(statement.imports, ["salve:plugin/files@0.1.0", "wasi:io/poll@0.2.0", "salve:plugin/log@0.1.0"]);
        assert_eq!((statement.name.as_deref(), statement.needs()), (Some("hello"), vec!["files"]));
        assert_eq!(statement.about, BTreeMap::from([("version".to_owned(), "1.2.3".to_owned())]));
        assert_eq!(statement.contract(), None);
    }

    #[test]
    fn what_is_broken_is_an_error_and_never_a_shorter_statement() {
        let whole = component(&["salve:plugin/files@0.1.0", "salve:plugin/services@0.1.0"]);
        assert_eq!(Statement::read(&whole).unwrap().needs(), ["files", "services"]);
        for length in 0..whole.len() {
            let Ok(statement) = Statement::read(&whole[..length]) else { continue };
            // Cut between two sections it is a component of its own, and would be compiled as that.
            assert!(statement.imports.len() < 2);
            assert!([8, 13, 13 + 31].contains(&length), "{length}");
        }
        for bytes in [&b"text"[..], b"\0asm\x01\0\0\0", b""] {
            assert!(Statement::read(bytes).unwrap_err().contains("not a component"));
        }
    }
}
