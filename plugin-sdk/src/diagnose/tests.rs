mod analysis;
mod brute_force;
mod loading;
mod watching;

use super::{FaultTree, TreeConfig};

/// A tree from the TOML of a policy's `[config]`.
fn tree(toml: &str) -> FaultTree {
    load(toml).unwrap()
}

fn load(toml: &str) -> Result<FaultTree, String> {
    let config: TreeConfig = toml::from_str(toml).map_err(|error| error.to_string())?;
    Ok(FaultTree::new(config)?)
}
