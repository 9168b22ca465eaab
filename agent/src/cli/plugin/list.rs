use std::path::Path;

use super::{Outcome, OutputArgs, client, output};
use crate::cli::output::Page;
use crate::control::StatusView;

pub(super) fn run(socket: &Path, args: &OutputArgs) -> anyhow::Result<Outcome> {
    let status: StatusView = client::get(socket, "/v1/status")?.map_err(anyhow::Error::msg)?;
    let plugins = status.fleet.plugins;
    let is_fine = plugins.iter().all(|plugin| plugin.problem.is_none());
    if args.json {
        output::json(&plugins)?;
    } else {
        let mut page = Page::default();
        page.table(
            ["PLUGIN", "VERSION", "SHA256", "SIGNED BY", "SUMMARY", "PROBLEM"],
            plugins.into_iter().map(|plugin| {
                let (version, summary) =
                    plugin.description.map_or_else(Default::default, |about| (about.version, about.summary));
                let digest: String = plugin.digest.unwrap_or_default().chars().take(12).collect();
                let signer = plugin.signed_by.unwrap_or_else(|| "-".to_owned());
                [plugin.name, version, digest, signer, summary, plugin.problem.unwrap_or_default()]
            }),
        );
        page.print()?;
    }
    Ok(if is_fine { Outcome::Fine } else { Outcome::NotFine })
}
