use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;

use super::output::Page;
use super::{Outcome, OutputArgs, client, output};
use crate::control::StatusView;
use crate::plugin::{Compiler, FleetView, InstanceState, Loaded, PluginView, Sandbox};

#[derive(Debug, Args)]
pub(super) struct ReleaseArgs {
    /// The plugin, or the one policy under which it is to run again.
    name: String,
    /// Why, for those who read the ledger.
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the plugins the agent has.
    List(OutputArgs),
    /// Show what a plugin's file is, what it may look at and what it asks for, and print a policy ready to paste. Runs
    /// nothing of it but `describe`, in the sandbox.
    Inspect {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Give a plugin another chance that failed so often that it is quarantined.
    Release(ReleaseArgs),
}

pub(super) fn run(socket: &Path, command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::List(args) => list(socket, &args),
        Command::Inspect { file, output } => inspect(&file, &output),
        Command::Release(ReleaseArgs { name, reason }) => {
            let path = format!("/v1/plugins/{}/release", client::escaped(&name));
            client::say(socket, &path, &json!({ "reason": reason }))
        }
    }
}

fn list(socket: &Path, args: &OutputArgs) -> anyhow::Result<Outcome> {
    let status: StatusView = client::get(socket, "/v1/status")?.map_err(anyhow::Error::msg)?;
    let FleetView { plugins, policies, .. } = status.fleet;
    // Under which policies it runs, and how.
    let instances = |plugin: &str| -> BTreeMap<String, InstanceState> {
        let own = policies.iter().filter(|policy| policy.plugin == plugin);
        own.filter_map(|policy| Some((policy.name.clone(), policy.instance.as_ref()?.state))).collect()
    };
    let quarantined =
        |plugin: &PluginView| instances(&plugin.name).values().any(|state| *state == InstanceState::Quarantined);
    let is_fine = plugins.iter().all(|plugin| plugin.problem.is_none() && !quarantined(plugin));
    if args.json {
        let list = plugins.iter().map(|plugin| {
            let mut entry = serde_json::to_value(plugin)?;
            if let Some(fields) = entry.as_object_mut() {
                fields.insert("instances".to_owned(), serde_json::to_value(instances(&plugin.name))?);
            }
            anyhow::Ok(entry)
        });
        output::json(&list.collect::<Result<Vec<_>, _>>()?)?;
    } else {
        let mut page = Page::default();
        page.table(
            ["PLUGIN", "VERSION", "SHA256", "STATE", "SUMMARY", "PROBLEM"],
            plugins.into_iter().map(|plugin| {
                let states = instances(&plugin.name).into_iter().map(|(policy, state)| match state {
                    InstanceState::Running => state.as_str().to_owned(),
                    _ => format!("{} ({policy})", state.as_str()),
                });
                let states = states.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ");
                let (version, summary) =
                    plugin.description.map_or_else(Default::default, |about| (about.version, about.summary));
                let digest: String = plugin.digest.unwrap_or_default().chars().take(12).collect();
                [plugin.name, version, digest, states, summary, plugin.problem.unwrap_or_default()]
            }),
        );
        page.print()?;
    }
    Ok(if is_fine { Outcome::Fine } else { Outcome::NotFine })
}

fn inspect(file: &Path, args: &OutputArgs) -> anyhow::Result<Outcome> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let sandbox = Sandbox::new(Compiler::new(None)).map_err(anyhow::Error::msg)?;
    let loaded = match Loaded::new(&sandbox, &bytes) {
        Ok(loaded) => loaded,
        Err(problem) => {
            eprintln!("salve: {}: {problem}", file.display());
            return Ok(Outcome::NotFine);
        }
    };
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let policy = policy(&stem, &loaded);
    let about = &loaded.description;
    let schema: serde_json::Value = serde_json::from_str(&about.config_schema).unwrap_or_default();
    if args.json {
        output::json(&json!({
            "file": file,
            "bytes": loaded.bytes,
            "sha256": &*loaded.digest,
            "name": about.name,
            "version": about.version,
            "summary": about.summary,
            "imports": loaded.imports,
            "needs": loaded.needs(),
            "wants": about.wants,
            "config_schema": schema,
            "policy": policy,
        }))?;
        return Ok(Outcome::Fine);
    }
    let mut page = Page::default();
    page.line(format_args!("{} {}: {}", about.name, about.version, about.summary));
    page.line(format_args!("sha256 {} ({} bytes)", loaded.digest, loaded.bytes));
    page.gap();
    page.line(format_args!("it may look at:"));
    let looks = loaded.imports.iter().filter(|import| !import.starts_with("wasi:"));
    looks.for_each(|import| page.line(format_args!("  {import}")));
    let inert = loaded.imports.iter().filter(|import| import.starts_with("wasi:")).count();
    if inert > 0 {
        page.line(format_args!("  {inert} interfaces of WASI, with nothing behind them"));
    }
    page.line(format_args!("it asks for:"));
    about.wants.iter().for_each(|want| page.line(format_args!("  {want}")));
    page.line(format_args!("its configuration:"));
    page.line(indent(&serde_json::to_string_pretty(&schema)?));
    page.line(format_args!("a policy for it, to adapt and put into the policies directory:"));
    page.gap();
    page.line(&policy);
    page.print()?;
    Ok(Outcome::Fine)
}

/// A policy to begin with: observe mode, pinned, every key of the configuration with its default or a place to fill in, and
/// the grants the plugin asks for.
fn policy(stem: &str, loaded: &Loaded) -> String {
    let about = &loaded.description;
    let quoted = |items: &mut dyn Iterator<Item = &str>| {
        items.map(|item| toml::Value::from(item).to_string()).collect::<Vec<_>>().join(", ")
    };
    let mut policy = format!(
        "plugin = {}\nsha256 = \"{}\"\nmode = \"observe\"  # or \"approve\", or \"auto\"\n\n[config]\n",
        toml::Value::from(stem),
        loaded.digest
    );
    let schema: serde_json::Value = serde_json::from_str(&about.config_schema).unwrap_or_default();
    for (key, property) in schema.get("properties").and_then(|all| all.as_object()).into_iter().flatten() {
        if let Some(help) = property.get("description").and_then(|text| text.as_str()) {
            help.lines().for_each(|line| policy.push_str(&format!("# {line}\n")));
        }
        let default = property.get("default").and_then(|value| toml::Value::try_from(value).ok());
        match default {
            Some(default) => policy.push_str(&format!("{key} = {default}\n")),
            None => policy.push_str(&format!("# {key} = …\n")),
        }
    }
    let wants = quoted(&mut about.wants.iter().map(String::as_str));
    policy.push_str(&format!("\n[grant]\nactions = [{wants}]\n"));
    let needs = loaded.needs();
    if !needs.is_empty() {
        policy.push_str(&format!("read = [{}]\n", quoted(&mut needs.into_iter())));
    }
    policy
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
