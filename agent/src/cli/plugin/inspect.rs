//! A plugin's statement of power: what its file says without being run, then what it says of itself.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Outcome, OutputArgs, output, plain, public_key};
use crate::cli::output::Page;
use crate::config::{Pattern, PublicKey};
use crate::plugin::{Compiler, Description, Loaded, Sandbox, Signature, SignatureFlaw, Statement, signature_of};

#[derive(Debug, Args)]
pub(in crate::cli) struct InspectArgs {
    /// The file.
    file: PathBuf,
    /// Do not even ask the plugin what it is: say what the file alone tells.
    #[arg(long)]
    no_run: bool,
    /// A public key, `RW…` or a .pub file, to verify the signature with; may be given several times.
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// What is known of the signature beside a file.
#[derive(Debug, Default, Serialize)]
struct Signed {
    /// `none`, `unverified`, `good` or `bad`.
    state: &'static str,
    /// The id of the key.
    key: Option<String>,
    /// The trusted comment of a good one.
    comment: Option<String>,
    /// Why it is bad.
    problem: Option<String>,
}

/// What the file tells by itself.
struct Facts<'a> {
    file: &'a Path,
    bytes: usize,
    sha256: String,
    signed: Signed,
    statement: Statement,
}

pub(super) fn run(args: &InspectArgs) -> anyhow::Result<Outcome> {
    let file = &args.file;
    let keys = args.key.iter().map(|key| public_key(key)).collect::<anyhow::Result<Vec<_>>>()?;
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let complain = |problem: &dyn Display| {
        eprintln!("salve: {}: {problem}", file.display());
        Ok(Outcome::NotFine)
    };
    let statement = match Statement::read(&bytes) {
        Ok(statement) => statement,
        Err(problem) => return complain(&problem),
    };
    let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let facts = Facts { file, bytes: bytes.len(), sha256, signed: signed(file, &bytes, &keys), statement };
    let described = if args.no_run {
        None
    } else {
        let sandbox = Sandbox::new(Compiler::new(None)).map_err(anyhow::Error::msg)?;
        Some(Loaded::new(&sandbox, &bytes).map(|loaded| loaded.description))
    };
    let about = described.as_ref().and_then(|described| described.as_ref().ok());
    if args.output.json {
        output::json(&as_json(&facts, about))?;
    } else {
        as_text(&facts, about)?.print()?;
    }
    match described {
        Some(Err(problem)) => complain(&problem),
        _ if facts.signed.problem.is_some() => Ok(Outcome::NotFine),
        _ => Ok(Outcome::Fine),
    }
}

fn signed(file: &Path, bytes: &[u8], keys: &[PublicKey]) -> Signed {
    let bad = |key: Option<&str>, problem: String| Signed {
        state: "bad",
        key: key.map(str::to_owned),
        problem: Some(problem),
        comment: None,
    };
    let text = match fs::read(signature_of(file)) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Signed { state: "none", ..Signed::default() };
        }
        Err(error) => return bad(None, format!("cannot be read: {error}")),
    };
    let signature = match Signature::parse(&text) {
        Ok(signature) => signature,
        Err(why) => return bad(None, format!("no signature: {why}")),
    };
    let key = signature.key();
    if keys.is_empty() {
        return Signed { state: "unverified", key: Some(key.to_owned()), ..Signed::default() };
    }
    match signature.verify(bytes, keys) {
        Ok(signer) => Signed { state: "good", key: Some(signer.key), comment: Some(signer.comment), problem: None },
        Err(SignatureFlaw::OtherKey) => bad(Some(key), "by another key than was asked about".to_owned()),
        Err(SignatureFlaw::Mismatch) => bad(Some(key), "not of this file: one of the two was changed since".to_owned()),
    }
}

fn as_json(facts: &Facts<'_>, about: Option<&Description>) -> serde_json::Value {
    let statement = &facts.statement;
    json!({
        "file": facts.file,
        "bytes": facts.bytes,
        "sha256": facts.sha256,
        "signature": facts.signed,
        "sections": { "name": statement.name, "about": statement.about },
        "contract": statement.contract(),
        "imports": statement.imports,
        "exports": statement.exports,
        "needs": statement.needs(),
        "name": about.map(|about| &about.name),
        "version": about.map(|about| &about.version),
        "summary": about.map(|about| &about.summary),
        "wants": about.map(|about| &about.wants),
        "config_schema": about.map(schema),
        "policy": about.map(|about| policy(facts, about)),
    })
}

fn as_text(facts: &Facts<'_>, about: Option<&Description>) -> anyhow::Result<Page> {
    let statement = &facts.statement;
    let mut page = Page::default();
    page.line(format_args!("{}: {} bytes", facts.file.display(), facts.bytes));
    page.line(format_args!("sha256: {}", facts.sha256));
    page.line(signature_line(&facts.signed));
    for (what, text) in statement
        .name
        .iter()
        .map(|name| ("name", name))
        .chain(statement.about.iter().map(|(what, text)| (what.as_str(), text)))
    {
        page.line(format_args!("{what}: {}", plain(text)));
    }
    match statement.contract() {
        Some(contract) => page.line(format_args!("exports: {}", plain(contract))),
        None => page.line("exports: no `salve:plugin/remediator`, so it is no plugin"),
    }
    page.gap();
    page.line("it may look at:");
    let (inert, looks): (Vec<_>, Vec<_>) = statement.imports.iter().partition(|import| import.starts_with("wasi:"));
    looks.iter().for_each(|import| page.line(format_args!("  {}", plain(import))));
    if !inert.is_empty() {
        page.line(format_args!("  {} interfaces of WASI, with nothing behind them", inert.len()));
    }
    if !statement.needs().is_empty() {
        page.line(format_args!("of which a policy has to grant: {}", statement.needs().join(", ")));
    }
    if statement.migrates() {
        page.line("it converts what earlier versions of it kept in `state`");
    }
    let Some(about) = about else { return Ok(page) };
    page.gap();
    page.line("it says of itself:");
    page.line(format_args!("  {} {}: {}", plain(&about.name), plain(&about.version), plain(&about.summary)));
    page.line("it asks for:");
    about.wants.iter().for_each(|want| page.line(format_args!("  {}", plain(want))));
    page.line("its configuration:");
    serde_json::to_string_pretty(&schema(about))?.lines().for_each(|line| page.line(format_args!("  {line}")));
    page.line("a policy for it, to adapt and put into the policies directory:");
    page.gap();
    page.line(policy(facts, about));
    Ok(page)
}

fn signature_line(signed: &Signed) -> String {
    let key = signed.key.as_deref().unwrap_or("unknown");
    match (&signed.problem, &signed.comment) {
        (Some(problem), _) => format!("signature: by key {key}, bad: {problem}"),
        (None, Some(comment)) => format!("signature: by key {key}, good: {}", plain(comment)),
        (None, None) if signed.key.is_some() => {
            format!("signature: by key {key}, not verified: name the key with --key")
        }
        (None, None) => "signature: none".to_owned(),
    }
}

fn schema(about: &Description) -> serde_json::Value {
    serde_json::from_str(&about.config_schema).unwrap_or_default()
}

/// A policy to begin with: observe mode, pinned, every key of the configuration with its default or a place to fill in, and
/// the grants the plugin asks for.
fn policy(facts: &Facts<'_>, about: &Description) -> String {
    let stem = facts.file.file_stem().unwrap_or_default().to_string_lossy();
    let quoted = |items: Vec<&str>| {
        items.into_iter().map(|item| toml::Value::from(item).to_string()).collect::<Vec<_>>().join(", ")
    };
    let mut policy = format!(
        "plugin = {}\nsha256 = \"{}\"\nmode = \"observe\"  # or \"approve\", or \"auto\"\n\n[config]\n",
        toml::Value::from(&*stem),
        facts.sha256
    );
    for (key, property) in schema(about).get("properties").and_then(|all| all.as_object()).into_iter().flatten() {
        if let Some(help) = property.get("description").and_then(|text| text.as_str()) {
            help.lines().for_each(|line| policy.push_str(&format!("# {}\n", plain(line))));
        }
        let key = toml_key(key);
        let default = property.get("default").and_then(|value| toml::Value::try_from(value).ok());
        match default {
            Some(default) => policy.push_str(&format!("{key} = {default}\n")),
            None => policy.push_str(&format!("# {key} = …\n")),
        }
    }
    policy.push_str("\n[grant]\n");
    // What cannot be granted as it is asked for has to be narrowed down: a path, for example.
    let (grants, others): (Vec<&str>, Vec<&str>) =
        about.wants.iter().map(String::as_str).partition(|want| Pattern::parse(want).is_ok());
    others.iter().for_each(|want| policy.push_str(&format!("# it asks for {}: say which\n", plain(want))));
    policy.push_str(&format!("actions = [{}]\n", quoted(grants)));
    let needs = facts.statement.needs();
    if !needs.is_empty() {
        let files = "files:/CHANGE/THIS/**";
        let words = needs.into_iter().map(|word| if word == "files" { files } else { word }).collect();
        policy.push_str(&format!("read = [{}]\n", quoted(words)));
    }
    policy
}

/// A key as TOML writes it: bare where that can be.
fn toml_key(key: &str) -> String {
    let is_bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_bare { key.to_owned() } else { toml::Value::from(key).to_string() }
}
