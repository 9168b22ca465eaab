//! Plugins and policies for tests.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::agent;

/// The stock plugin `service-restart`.
///
/// # Panics
/// When it has not been built.
#[track_caller]
pub fn service_restart() -> PathBuf {
    stock("service-restart")
}

/// The stock plugin of this name: in `$SALVE_PLUGINS`, else where `cargo xtask build-plugins` puts it.
///
/// # Panics
/// When it has not been built.
#[track_caller]
pub fn stock(name: &str) -> PathBuf {
    let directory =
        env::var_os("SALVE_PLUGINS").map_or_else(|| agent::target().map(|it| it.join("plugins")), |it| Ok(it.into()));
    let path = match directory {
        Ok(directory) => directory.join(name).with_extension("wasm"),
        Err(error) => panic!("{error}"),
    };
    assert!(path.is_file(), "no {}: `cargo xtask build-plugins`, or set SALVE_PLUGINS", path.display());
    path
}

/// The plugin for tests of this name, from where `cargo xtask test` puts them.
///
/// # Panics
/// When it has not been built.
#[track_caller]
pub fn guest(name: &str) -> PathBuf {
    built("guests", name)
}

/// The plugin of this name that attacks the agent, from where `cargo xtask test` puts it.
///
/// # Panics
/// When it has not been built.
#[track_caller]
pub fn hostile(name: &str) -> PathBuf {
    built("hostile", name)
}

#[track_caller]
fn built(folder: &str, name: &str) -> PathBuf {
    let path = match agent::target() {
        Ok(target) => target.join(folder).join(name).with_extension("wasm"),
        Err(error) => panic!("{error}"),
    };
    assert!(path.is_file(), "no {}: `cargo xtask test` builds it", path.display());
    path
}

/// Another build of the same plugin: a valid component of the same behaviour and with another digest, by one more custom
/// section at its end, which holds `note`.
#[track_caller]
pub fn another_build(plugin: &Path, note: &str) -> Vec<u8> {
    let mut component = match fs::read(plugin) {
        Ok(component) => component,
        Err(error) => panic!("{}: {error}", plugin.display()),
    };
    let name = "note";
    let length = u8::try_from(1 + name.len() + note.len()).unwrap_or(u8::MAX);
    assert!(length < 0x80, "longer lengths take more than one byte of LEB128");
    component.extend([0, length, 4]); // The section's kind, its length, and that of its name.
    component.extend(name.bytes().chain(note.bytes()));
    component
}

/// A policy for `service-restart` that looks after one service, grants what the plugin asks for, and loses no time.
pub fn policy(mode: &str, service: &str) -> String {
    policy_for(mode, &[service])
}

/// Like [`policy`], for several services.
pub fn policy_for(mode: &str, services: &[&str]) -> String {
    let kinds = ["service.restart", "service.start", "service.reset-failed"];
    let actions = services.iter().flat_map(|service| kinds.map(|kind| format!("{kind}:{service}")));
    let actions: Vec<String> = actions.collect();
    // Rust's way to write a list of strings is TOML's, too.
    format!(
        r#"plugin = "service-restart"
mode = "{mode}"

[config]
services = {services:?}
settle = "50ms"

[grant]
actions = {actions:?}

[guard]
attempts = 3
backoff = {{ initial = "10ms", factor = 1.0, max = "10ms" }}
flapping = {{ enabled = false }}
"#
    )
}
