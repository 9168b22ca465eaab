//! From bytes to a component that can be run: checked, made native, described.

use std::collections::BTreeSet;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::contract::Description;
use super::contract::bindings::PluginPre;
use super::engine::Sandbox;
use super::imports::{GRANTABLE, Host, Interfaces, linker};
use super::instance::Instance;
use super::limits;
use super::native::CompileError;
use crate::clock::Timestamp;
use crate::config::Access;

/// The interface that makes a component a plugin.
const REMEDIATOR: &str = "salve:plugin/remediator@";
/// The interface of one that converts what earlier versions kept.
const MIGRATION: &str = "salve:plugin/migration@";
/// The line of the contract this agent speaks.
const LINE: &str = "0.1.";
/// How a component begins: the magic number, then version 13 of layer 1; a core module has version 1 of layer 0.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// Why bytes are not a plugin this agent can run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It is something else altogether.
    #[error(
        "not WebAssembly: it begins with {0}; build the plugin with `cargo build --release --target wasm32-wasip2`"
    )]
    NotWasm(String),
    /// It is a core module.
    #[error("a core module, not a component; build it for `wasm32-wasip2`, which makes components")]
    CoreModule,
    /// It is too large.
    #[error("{0} bytes; a plugin may have at most {max}", max = limits::FILE)]
    TooLarge(u64),
    /// It was not compiled before, and is not to be now.
    #[error("it was not compiled before")]
    Uncompiled,
    /// It did not become native code.
    #[error("{0}")]
    Compile(String),
    /// It is a component, but no plugin.
    #[error("a component of another world: it does not export `salve:plugin/remediator`; it exports {0}")]
    OtherWorld(String),
    /// It was built for a line of the contract that this agent does not speak.
    #[error("built for line {0} of the contract; this agent speaks 0.1: use a newer agent, or build against SDK 0.1")]
    OtherLine(String),
    /// It wants to look at what the policy does not grant.
    #[error("it imports `{interface}`, which the policy does not grant; [grant] read = [\"{word}\"] would allow it")]
    NotGranted {
        /// The interface.
        interface: String,
        /// The word that grants it.
        word: String,
    },
    /// It imports what this agent does not have.
    #[error("it cannot be linked: {0}")]
    Link(String),
    /// It failed while it was asked what it is.
    #[error("`describe` failed: {0}")]
    Describe(String),
}

/// A compiled plugin, ready to be instantiated.
#[derive(Clone)]
pub struct Loaded {
    /// SHA-256 of the file, in lower-case hexadecimal.
    pub digest: Arc<str>,
    /// What it says it is.
    pub description: Description,
    /// The interfaces it imports.
    pub imports: Vec<String>,
    /// Size of the file.
    pub bytes: usize,
    /// The interface by which it converts what earlier versions kept in `state`, if it does.
    pub migration: Option<String>,
    /// Linked with the interfaces it needs, once for all instances: whether a policy grants them is looked at for each.
    pub(super) linked: PluginPre<Host>,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("digest", &self.digest).field("description", &self.description).finish()
    }
}

impl Loaded {
    /// Checks, compiles and describes a plugin. Takes as long as compiling does, some 0.1 to 0.5 s for a Rust plugin, or a
    /// millisecond if it was compiled before.
    pub fn new(sandbox: &Sandbox, bytes: &[u8]) -> Result<Self, LoadError> {
        if bytes.len() as u64 > limits::FILE {
            return Err(LoadError::TooLarge(bytes.len() as u64));
        }
        if bytes.starts_with(MODULE) {
            return Err(LoadError::CoreModule);
        }
        if !bytes.starts_with(COMPONENT) {
            return Err(LoadError::NotWasm(beginning(bytes)));
        }
        let digest = hex(&Sha256::digest(bytes));
        let component = sandbox.component(&digest, bytes).map_err(|error| match error {
            CompileError::Unknown => LoadError::Uncompiled,
            error => LoadError::Compile(error.to_string()),
        })?;
        let migration = check_exports(sandbox, &component)?;
        let imports: Vec<String> =
            component.component_type().imports(sandbox.engine()).map(|(name, _)| name.to_owned()).collect();
        let needs = needed(&imports).into_iter().map(str::to_owned).collect();
        let link = |error: wasmtime::Error| LoadError::Link(format!("{error:#}"));
        let linked = linker(sandbox.engine(), &needs).and_then(|linker| linker.instantiate_pre(&component));
        let linked = linked.and_then(PluginPre::new).map_err(link)?;
        let mut loaded = Self {
            digest: digest.into(),
            description: Description {
                name: String::new(),
                version: String::new(),
                summary: String::new(),
                config_schema: String::new(),
                wants: Vec::new(),
            },
            imports,
            bytes: bytes.len(),
            migration,
            linked,
        };
        loaded.description = loaded.describe(sandbox)?;
        Ok(loaded)
    }

    /// The interfaces it imports that a policy has to grant, by the words that grant them.
    pub fn needs(&self) -> BTreeSet<&'static str> {
        needed(&self.imports)
    }

    /// Asks the plugin what it is, on an instance that sees nothing of the host.
    fn describe(&self, sandbox: &Sandbox) -> Result<Description, LoadError> {
        let everything = Access::to_every_interface();
        let mut instance = Instance::new(sandbox, self, "describe".into(), &everything, Interfaces::default())?;
        instance.describe(Timestamp::default()).map_err(|error| LoadError::Describe(error.to_string()))
    }
}

fn needed(imports: &[String]) -> BTreeSet<&'static str> {
    let needed = |(interface, word): &(&str, &'static str)| {
        let imported = imports.iter().any(|import| import.split('@').next() == Some(interface));
        imported.then_some(*word)
    };
    GRANTABLE.iter().filter_map(needed).collect()
}

/// Checks that it is a plugin; the name of the interface by which it migrates, if it does.
fn check_exports(sandbox: &Sandbox, component: &Component) -> Result<Option<String>, LoadError> {
    let ty = component.component_type();
    let exports: Vec<&str> = ty
        .exports(sandbox.engine())
        .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentInstance(_)))
        .map(|(name, _)| name)
        .collect();
    let Some(version) = exports.iter().find_map(|name| name.strip_prefix(REMEDIATOR)) else {
        let list = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
        return Err(LoadError::OtherWorld(list));
    };
    if !version.starts_with(LINE) {
        let line: Vec<&str> = version.split('.').take(2).collect();
        return Err(LoadError::OtherLine(line.join(".")));
    }
    let is_migration = |name: &&&str| name.strip_prefix(MIGRATION).is_some_and(|version| version.starts_with(LINE));
    Ok(exports.iter().find(is_migration).map(|name| (*name).to_owned()))
}

/// The first bytes of something that is not WebAssembly: as text where it is some.
fn beginning(bytes: &[u8]) -> String {
    let head = bytes.get(..bytes.len().min(12)).unwrap_or_default();
    match std::str::from_utf8(head) {
        _ if head.is_empty() => "nothing, it is empty".to_owned(),
        Ok(text) => format!("{text:?}"),
        Err(_) => hex(head),
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
