//! The contract as `wit-bindgen` generates it. The only place of the SDK with unsafe code, all of it generated.
#![allow(unsafe_code, missing_docs, unreachable_pub, clippy::all, clippy::undocumented_unsafe_blocks)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

wit_bindgen::generate!({
    path: "../wit/0.1",
    world: "plugin",
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "salve_plugin_sdk::bindings",
    additional_derives: [PartialEq],
});

/// What a plugin exports besides, if it migrates.
pub mod migrating {
    wit_bindgen::generate!({
        path: "../wit/0.1",
        world: "migrating",
        pub_export_macro: true,
        export_macro_name: "export_migration",
        default_bindings_module: "salve_plugin_sdk::bindings::migrating",
    });
}
