//! What may be in the files, and what the agent has to make of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use salve::config;
use salve_tests::agent::{Policy, Status};
use salve_tests::plugin;
use sha2::{Digest, Sha256};

/// What the chaos leaves alone: the plugin and the policy.
const NEIGHBOUR: (&str, &str) = ("service-restart", "demo");

/// The content of a file.
#[derive(Debug)]
pub(crate) struct Material {
    /// As written.
    pub(crate) bytes: Vec<u8>,
    /// What it means, if it is any good.
    pub(crate) good: Option<Good>,
}

/// A file as the agent should show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Good {
    /// A plugin.
    Plugin {
        /// Its SHA-256.
        digest: String,
        /// Whether the policies' configuration is one for it.
        fits: bool,
    },
    /// A policy.
    Policy {
        /// For which plugin.
        plugin: String,
        /// In which mode.
        mode: String,
        /// Whether nothing of it was cut off.
        whole: bool,
    },
}

impl Material {
    fn bad(bytes: impl Into<Vec<u8>>) -> Material {
        Material { bytes: bytes.into(), good: None }
    }

    fn plugin(bytes: Vec<u8>, fits: bool) -> Material {
        let digest = Sha256::digest(&bytes).iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        });
        Material { bytes, good: Some(Good::Plugin { digest, fits }) }
    }

    /// Two builds each of two stock plugins, and what is left of them after a copy that broke off.
    pub(crate) fn plugins() -> Vec<Material> {
        let (restart, timer) = (plugin::service_restart(), plugin::stock("timer-missed"));
        let whole = fs::read(&restart).unwrap();
        let (half, _) = whole.split_at(whole.len() / 2);
        let (nearly, _) = whole.split_at(whole.len() - 1);
        let mut flipped = whole.clone();
        // In the magic number of the component.
        *flipped.get_mut(5).unwrap() ^= 0x40;
        vec![
            Material::plugin(whole.clone(), true),
            Material::plugin(plugin::another_build(&restart, "two"), true),
            Material::plugin(fs::read(&timer).unwrap(), false),
            Material::plugin(plugin::another_build(&timer, "two"), false),
            Material::bad(half),
            Material::bad(nearly),
            Material::bad(flipped),
            Material::bad(*b"\0asm\x01\0\0\0"),
            Material::bad("no WebAssembly at all\n"),
            Material::bad(""),
        ]
    }

    /// Policies for the plugins of all names, and what nobody can read.
    pub(crate) fn policies() -> Vec<Material> {
        let good = ["ant", "bee", "cat"].into_iter().flat_map(|plugin| {
            ["observe", "auto"].map(|mode| {
                let text = plugin::policy(mode, "idle").replace("\"service-restart\"", &format!("{plugin:?}"));
                let good = Good::Policy { plugin: plugin.to_owned(), mode: mode.to_owned(), whole: true };
                Material { bytes: text.into_bytes(), good: Some(good) }
            })
        });
        let bad = ["plugin = \"ant\"\nmod = \"auto\"\n", "plugin = ", "mode = \"auto\"\n", ""];
        let bad = bad.into_iter().map(Material::bad).chain([Material::bad(*b"plugin = \"\xff\"")]);
        good.chain(bad).collect()
    }
}

impl Good {
    /// What is left of a policy that was truncated, if that is one too.
    pub(crate) fn cut_policy(bytes: &[u8]) -> Option<Good> {
        let policy = config::Policy::parse(Path::new("cut.toml"), str::from_utf8(bytes).ok()?).ok()?;
        let mode = policy.rules.mode.as_str().to_owned();
        Some(Good::Policy { plugin: policy.plugin, mode, whole: false })
    }
}

type Files = BTreeMap<String, Option<Good>>;

/// What `salve status` tells otherwise than the directories say, if anything.
pub(crate) fn difference(status: &Status, plugins: &Files, policies: &Files) -> Option<String> {
    let told: BTreeSet<&str> = status.plugins.iter().map(|plugin| plugin.name.as_str()).collect();
    let there: BTreeSet<&str> = plugins.keys().map(String::as_str).chain([NEIGHBOUR.0]).collect();
    if told != there {
        return Some(format!("plugins: {told:?}, where there are {there:?}"));
    }
    let told: BTreeSet<&str> = status.policies.iter().filter(|it| it.written).map(|it| it.name.as_str()).collect();
    let there: BTreeSet<&str> = policies.keys().map(String::as_str).chain([NEIGHBOUR.1]).collect();
    if told != there {
        return Some(format!("policies: {told:?}, where there are {there:?}"));
    }
    let wrong = plugins.iter().find_map(|(name, file)| plugin_differs(status, name, file.as_ref()));
    let wrong = wrong.or_else(|| policies.iter().find_map(|(name, file)| policy_differs(status, name, file.as_ref())));
    wrong.or_else(|| default_policies_differ(status))
}

fn plugin_differs(status: &Status, name: &str, file: Option<&Good>) -> Option<String> {
    let told = status.plugin(name)?;
    let right = match file {
        Some(Good::Plugin { digest, .. }) => told.digest.as_ref() == Some(digest) && told.problem.is_none(),
        // A version before it may run on.
        _ => told.problem.as_deref().is_some_and(|problem| problem != "it is being loaded"),
    };
    (!right).then(|| format!("the file of plugin {name} is {file:?}, told is {told:?}"))
}

fn policy_differs(status: &Status, name: &str, file: Option<&Good>) -> Option<String> {
    let told = status.policy(name)?;
    let Some(Good::Policy { plugin, mode, whole }) = file else {
        return told.problem.is_none().then(|| format!("the file of policy {name} is no good, told is {told:?}"));
    };
    let running = |policy: &Policy| policy.instance.as_ref().is_some_and(|instance| instance.state == "running");
    let right = match status.plugin(plugin) {
        // Whether what is left of a policy fits its plugin is nothing that would be known here.
        Some(loaded) if loaded.digest.is_some() && !whole => true,
        // It fits the plugin or it does not: then an instance from before may run on.
        Some(loaded) if loaded.digest.is_some() => match fits(loaded.digest.as_deref()) {
            true => running(told) && told.problem.is_none(),
            false => told.problem.is_some(),
        },
        Some(_) => told.problem.is_some(),
        None => told.problem.is_some() && told.instance.is_none(),
    };
    let right = right && (&told.plugin, &told.mode) == (plugin, mode);
    (!right).then(|| format!("the file of policy {name} is {file:?}, told is {told:?}"))
}

/// Whether the policies' configuration is one for the plugin of this digest.
fn fits(digest: Option<&str>) -> bool {
    thread_local! {
        static FITTING: Vec<String> = Material::plugins().into_iter().filter_map(|it| match it.good {
            Some(Good::Plugin { digest, fits: true }) => Some(digest),
            _ => None,
        }).collect();
    }
    FITTING.with(|fitting| fitting.iter().any(|it| Some(it.as_str()) == digest))
}

/// A plugin that loads and that no policy is about has a policy of its own name, and no other has one.
fn default_policies_differ(status: &Status) -> Option<String> {
    let has_policy = |name: &str| status.policies.iter().any(|policy| policy.written && policy.plugin == name);
    let loads = status.plugins.iter().filter(|plugin| plugin.digest.is_some());
    let there: BTreeSet<&str> = loads.map(|plugin| plugin.name.as_str()).filter(|name| !has_policy(name)).collect();
    let told: BTreeSet<&str> = status.policies.iter().filter(|it| !it.written).map(|it| it.name.as_str()).collect();
    (told != there).then(|| format!("default policies: {told:?}, where plugins without one are {there:?}"))
}
