//! Passwords of secret keys.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

/// Where the password of a secret key comes from; from the terminal, unless these say otherwise.
#[derive(Debug, Args)]
pub(super) struct PasswordArgs {
    /// A file whose first line is the secret key's password.
    #[arg(long, value_name = "FILE", conflicts_with = "no_password")]
    password_file: Option<PathBuf>,
    /// The secret key has no password.
    #[arg(short = 'W', long)]
    pub(super) no_password: bool,
}

impl PasswordArgs {
    /// The password of a key there is.
    pub(super) fn read(&self, key: &Path) -> anyhow::Result<String> {
        match &self.password_file {
            Some(file) => first_line(file),
            None => ask(&format!("Password of {}: ", key.display())),
        }
    }

    /// The password for a key to be.
    pub(super) fn choose(&self, key: &Path) -> anyhow::Result<String> {
        let Some(file) = &self.password_file else {
            let password = ask(&format!("Password for {}: ", key.display()))?;
            if ask("The same again: ")? != password {
                bail!("the two passwords differ");
            }
            return Ok(password);
        };
        first_line(file)
    }
}

fn first_line(file: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read the password from {}", file.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn ask(prompt: &str) -> anyhow::Result<String> {
    rpassword::prompt_password(prompt).context("no terminal to ask for the password on; use --password-file FILE")
}
