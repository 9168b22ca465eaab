use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use minisign::{PublicKey, SecretKey, SecretKeyBox};

use super::password::PasswordArgs;
use super::{Outcome, plain, with_ending};
use crate::cli::output::Page;
use crate::plugin::signature_of;

/// Bytes of a secret key.
const KEY: usize = 158;
/// Where it says how it is encrypted: after two bytes that say what it is. Nothing but zeros: not at all.
const ENCRYPTION: std::ops::Range<usize> = 2..4;
/// Where its checksum begins.
const CHECKSUM: usize = KEY - 32;

#[derive(Debug, Args)]
pub(in crate::cli) struct SignArgs {
    /// The files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The secret key, made by `salve plugin keygen` or `minisign -G`.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// What to say about the file; it is signed, too. By default, the time and the file's name.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    #[command(flatten)]
    password: PasswordArgs,
}

pub(super) fn run(args: &SignArgs) -> anyhow::Result<Outcome> {
    if args
        .comment
        .as_deref()
        .is_some_and(|comment| comment.chars().any(|letter| letter.is_control() && letter != '\t'))
    {
        bail!("a comment is one line");
    }
    let secret = secret_key(&args.key, &args.password)?;
    let public = PublicKey::from_secret_key(&secret)?;
    let mut page = Page::default();
    for file in &args.files {
        let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let comment = args.comment.clone().unwrap_or_else(|| about(file));
        let signed =
            minisign::sign(Some(&public), &secret, content.as_slice(), Some(&comment), Some("signature by salve"));
        let signature = signature_of(file);
        write(&signature, &signed?.to_bytes())?;
        page.line(format_args!("{}: {comment}", signature.display()));
    }
    page.line(format_args!("[agent.trust] keys = [\"{}\"] trusts it", public.to_base64()));
    page.print()?;
    Ok(Outcome::Fine)
}

/// What minisign says about a file, unless it is told otherwise.
fn about(file: &Path) -> String {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let name = plain(&file.file_name().unwrap_or_default().to_string_lossy());
    format!("timestamp:{time}\tfile:{name}\thashed")
}

fn secret_key(file: &Path, password: &PasswordArgs) -> anyhow::Result<SecretKey> {
    let shown = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("cannot read the secret key {shown}"))?;
    let bytes = text.lines().nth(1).and_then(|line| BASE64_STANDARD.decode(line.trim()).ok());
    let bytes =
        bytes.filter(|bytes| bytes.len() == KEY).with_context(|| format!("{shown} is no secret key of minisign"))?;
    let is_zero = |part: Option<&[u8]>| part.is_some_and(|part| part.iter().all(|byte| *byte == 0));
    let sealed = SecretKeyBox::from_string(&text)?;
    let key = if !is_zero(bytes.get(ENCRYPTION)) {
        if password.no_password {
            bail!("{shown} has a password");
        }
        SecretKey::from_box(sealed, Some(password.read(file)?))
    } else if is_zero(bytes.get(CHECKSUM..)) {
        // minisign 0.11 gives no checksum to a key without a password. That a signature made with it is good is verified.
        SecretKey::from_bytes(&bytes)
    } else {
        SecretKey::from_unencrypted_box(sealed)
    };
    key.map_err(|error| anyhow::anyhow!("{shown} cannot be used: {error}"))
}

/// Puts a signature in place at one stroke: an agent that watches sees all of it or none.
fn write(file: &Path, content: &[u8]) -> anyhow::Result<()> {
    let draft = with_ending(file, &format!(".{}", std::process::id()));
    let written = fs::write(&draft, content).and_then(|()| fs::rename(&draft, file));
    written.inspect_err(|_| drop(fs::remove_file(&draft))).with_context(|| format!("cannot write {}", file.display()))
}
