//! What the services under `[services]` need: every name must be one of a service, and nothing may need itself.

use std::collections::BTreeMap;

use toml::Spanned;

use super::error::Flaw;

/// Every type of unit that systemd has, as names end in it.
const UNIT_TYPES: [&str; 11] =
    ["automount", "device", "mount", "path", "scope", "service", "slice", "socket", "swap", "target", "timer"];

/// The direct needs of each service.
pub(super) type Requires = BTreeMap<String, Vec<Spanned<String>>>;

/// Checks the needs of all services together.
pub(super) fn check(requires: &Requires) -> Result<(), Flaw> {
    for needed in requires.values().flatten() {
        let name = needed.get_ref();
        let is_unit = name.rsplit_once('.').is_some_and(|(stem, kind)| !stem.is_empty() && UNIT_TYPES.contains(&kind));
        if !is_unit && !requires.contains_key(name) {
            let message = format!(
                "`{name}` is no service: add [services.{name}], or write a systemd unit with its suffix (`{name}.service`)"
            );
            return Err(Flaw::new(needed.span(), message));
        }
    }
    let mut done = Vec::new();
    for name in requires.keys() {
        visit(name, requires, &mut Vec::new(), &mut done)?;
    }
    Ok(())
}

/// Follows what `name` needs; `path` leads to it, `done` need no second look.
fn visit<'a>(
    name: &'a str,
    requires: &'a Requires,
    path: &mut Vec<&'a str>,
    done: &mut Vec<&'a str>,
) -> Result<(), Flaw> {
    path.push(name);
    for needed in requires.get(name).into_iter().flatten() {
        let next = needed.get_ref().as_str();
        if let Some(cycle) = path.iter().position(|passed| *passed == next).and_then(|start| path.get(start..)) {
            let message = format!("services that need each other can never start: {} -> {next}", cycle.join(" -> "));
            return Err(Flaw::new(needed.span(), message));
        }
        if !done.contains(&next) {
            visit(next, requires, path, done)?;
        }
    }
    path.pop();
    done.push(name);
    Ok(())
}
