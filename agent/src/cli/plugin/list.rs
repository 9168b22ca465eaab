use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Outcome, OutputArgs, client, output};
use crate::cli::output::Page;
use crate::control::StatusView;
use crate::plugin::{FleetView, InstanceState, PluginView};

pub(super) fn run(socket: &Path, args: &OutputArgs) -> anyhow::Result<Outcome> {
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
            ["PLUGIN", "VERSION", "SHA256", "STATE", "SIGNED BY", "SUMMARY", "PROBLEM"],
            plugins.into_iter().map(|plugin| {
                let states = instances(&plugin.name).into_iter().map(|(policy, state)| match state {
                    InstanceState::Running => state.as_str().to_owned(),
                    _ => format!("{} ({policy})", state.as_str()),
                });
                let states = states.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ");
                let (version, summary) =
                    plugin.description.map_or_else(Default::default, |about| (about.version, about.summary));
                let digest: String = plugin.digest.unwrap_or_default().chars().take(12).collect();
                let signer = plugin.signed_by.unwrap_or_else(|| "-".to_owned());
                [plugin.name, version, digest, states, signer, summary, plugin.problem.unwrap_or_default()]
            }),
        );
        page.print()?;
    }
    Ok(if is_fine { Outcome::Fine } else { Outcome::NotFine })
}
