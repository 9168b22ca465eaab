//! A look at files. A plugin that calls this needs `read = ["files:GLOB"]` in its policy, and does not load without.

/// A regular file, as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is.
    pub path: String,
    /// How long it is.
    pub bytes: u64,
    /// When it was written last, in nanoseconds since the Unix epoch.
    pub modified: u64,
}

/// The files that match an absolute path glob (`*` within a directory, `**` across them) and that the policy lets the plugin
/// see, the largest first, at most `limit` and at most 1,000. A look that takes longer than 50 ms is an error. In native
/// tests: what [`testing::set_files`](crate::testing::set_files) said.
pub fn largest(pattern: &str, limit: u32) -> Result<Vec<File>, String> {
    #[cfg(target_family = "wasm")]
    {
        let entries = crate::bindings::salve::plugin::files::largest(pattern, limit)?;
        Ok(entries.into_iter().map(|it| File { path: it.path, bytes: it.bytes, modified: it.modified }).collect())
    }
    #[cfg(not(target_family = "wasm"))]
    {
        let _ = pattern;
        Ok(crate::testing::files(limit as usize))
    }
}
