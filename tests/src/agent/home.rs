//! The directory of an agent under test.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tempfile::TempDir;

/// A temporary directory with the configuration, plugins, policies and state of one agent. Removed with the agent.
#[derive(Debug)]
pub struct Home(TempDir);

impl Home {
    /// Makes one in `parent`.
    pub(super) fn create(parent: &Path) -> Result<Home> {
        let home = Home(TempDir::with_prefix_in("salve-", parent)?);
        for directory in [home.plugins(), home.policies(), home.state()] {
            fs::create_dir(directory)?;
        }
        Ok(home)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// `salve.toml`.
    pub fn config(&self) -> PathBuf {
        self.path().join("salve.toml")
    }

    /// `plugins/`.
    pub fn plugins(&self) -> PathBuf {
        self.path().join("plugins")
    }

    /// `policies.d/`.
    pub fn policies(&self) -> PathBuf {
        self.path().join("policies.d")
    }

    /// `state/`.
    pub fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// The socket of the agent's API.
    pub fn socket(&self) -> PathBuf {
        self.path().join("salve.sock")
    }

    /// Where the agent's standard output and standard error go.
    pub fn log(&self) -> PathBuf {
        self.path().join("agent.log")
    }

    pub(super) fn read_log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log()).unwrap_or_default()).into_owned()
    }

    /// Leaves it for a look after the test.
    pub(super) fn keep(&mut self) -> &Path {
        self.0.disable_cleanup(true);
        self.0.path()
    }
}
