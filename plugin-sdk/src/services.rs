//! A look at services. A plugin that calls this needs `read = ["services"]` in its policy, and does not load without.

use crate::Attribute;

/// The last known state of a service that some policy watches, with the attributes of a `service.state` event
/// (`service.active_state`, `service.result`, …). In native tests: what [`testing::set_service`](crate::testing::set_service)
/// said.
pub fn show(name: &str) -> Result<Vec<Attribute>, String> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::salve::plugin::services::show(name);
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::service(name);
}

/// What the service needs, and what that needs. In native tests: what
/// [`testing::set_dependencies`](crate::testing::set_dependencies) said, else nothing.
pub fn dependencies(name: &str) -> Vec<String> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::salve::plugin::services::dependencies(name);
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::dependencies(name);
}
