use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use minisign::KeyPair;

use super::password::PasswordArgs;
use super::{Outcome, with_ending};
use crate::cli::output::Page;
use crate::config::PublicKey;

#[derive(Debug, Args)]
pub(in crate::cli) struct KeygenArgs {
    /// What the two files are called, without their endings.
    name: PathBuf,
    #[command(flatten)]
    password: PasswordArgs,
}

pub(super) fn run(args: &KeygenArgs) -> anyhow::Result<Outcome> {
    let (secret, public) = (with_ending(&args.name, ".key"), with_ending(&args.name, ".pub"));
    let (pair, comment) = if args.password.no_password {
        (KeyPair::generate_unencrypted_keypair()?, "minisign secret key without password")
    } else {
        let password = args.password.choose(&secret)?;
        (KeyPair::generate_encrypted_keypair(Some(password))?, "minisign encrypted secret key")
    };
    // A key that is there is never lost: somebody's signatures may hang on it.
    create(&secret, 0o600, &pair.sk.to_box(Some(comment))?.to_bytes())?;
    create(&public, 0o644, &pair.pk.to_box()?.to_bytes()).inspect_err(|_| drop(fs::remove_file(&secret)))?;
    let line = pair.pk.to_base64();
    let key = PublicKey::parse(&line).map_err(anyhow::Error::msg)?;
    let mut page = Page::default();
    page.line(format_args!("{}: the secret key; keep it off the hosts it signs for", secret.display()));
    page.line(format_args!("{}: the public key {key}, for salve.toml:", public.display()));
    page.gap();
    page.line(format_args!("[agent.trust]\nrequire = \"signature\"\nkeys = [\"{line}\"]"));
    page.print()?;
    Ok(Outcome::Fine)
}

fn create(file: &Path, mode: u32, content: &[u8]) -> anyhow::Result<()> {
    let made = OpenOptions::new().write(true).create_new(true).mode(mode).open(file);
    let mut made = made.with_context(|| format!("cannot make {}", file.display()))?;
    made.write_all(content).and_then(|()| made.sync_all()).with_context(|| format!("cannot write {}", file.display()))
}
