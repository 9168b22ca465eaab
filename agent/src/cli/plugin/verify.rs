use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::{Outcome, plain, public_key};
use crate::cli::output::Page;
use crate::config::PublicKey;
use crate::plugin::{Signature, SignatureFlaw, signature_of};

#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyArgs {
    /// The file.
    file: PathBuf,
    /// A public key, `RW…`, or a .pub file; may be given several times.
    #[arg(long, value_name = "KEY", required = true)]
    key: Vec<String>,
}

pub(super) fn run(args: &VerifyArgs) -> anyhow::Result<Outcome> {
    let keys = args.key.iter().map(|key| public_key(key)).collect::<anyhow::Result<Vec<PublicKey>>>()?;
    let (file, beside) = (&args.file, signature_of(&args.file));
    let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let text = fs::read(&beside).with_context(|| format!("cannot read the signature {}", beside.display()))?;
    let signature =
        Signature::parse(&text).map_err(|why| anyhow::anyhow!("{} is no signature: {why}", beside.display()))?;
    let problem = match signature.verify(&content, &keys) {
        Ok(signer) => {
            let mut page = Page::default();
            page.line(format_args!("{}: signed by key {}: {}", file.display(), signer.key, plain(&signer.comment)));
            page.print()?;
            return Ok(Outcome::Fine);
        }
        Err(SignatureFlaw::OtherKey) => {
            let asked: Vec<&str> = keys.iter().map(PublicKey::id).collect();
            format!("it is by key {}, not by {}", signature.key(), asked.join(" or "))
        }
        Err(SignatureFlaw::Mismatch) => {
            format!("it is not of this file: one of the two was changed after key {} signed", signature.key())
        }
    };
    eprintln!("salve: {}: {problem}", beside.display());
    Ok(Outcome::NotFine)
}
