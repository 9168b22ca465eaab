//! What an earlier version of a plugin kept in `state`, handed over to the next: converted by it where it exports `migration`.

use std::sync::Arc;

use super::contract::Description;
use super::imports::Interfaces;
use super::instance::{call_within, store};
use super::loader::Loaded;
use super::{Sandbox, contract};
use crate::clock::Timestamp;
use crate::config::Policy;
use crate::incident::ledger::{PluginState, Quota, StateOwner};

/// A state that is about to become this version's.
pub(super) struct HandOver {
    state: Arc<PluginState>,
    owner: StateOwner,
    /// What the version before left is to be converted: which version, and by what export.
    conversion: Option<(String, String)>,
}

/// Whether a policy's state has to become this version's before that runs. None if it is.
pub(super) fn due(policy: &Policy, loaded: &Loaded, interfaces: &Interfaces) -> Result<Option<HandOver>, String> {
    let Some(state) = interfaces.state.clone() else { return Ok(None) };
    let Description { name, version, .. } = &loaded.description;
    let owner = StateOwner { plugin: name.clone(), version: version.clone() };
    let before = state.owner(&policy.name, &Quota::default()).map_err(problem)?;
    if before.as_ref() == Some(&owner) {
        return Ok(None);
    }
    let before = before.filter(|before| before.plugin == owner.plugin).map(|before| before.version);
    let conversion = before.zip(loaded.migration.clone());
    Ok(Some(HandOver { state, owner, conversion }))
}

impl HandOver {
    /// Whether what is there is converted: then whoever uses it has to let go of it first.
    pub(super) fn converts(&self) -> bool {
        self.conversion.is_some()
    }

    /// Makes the state this version's. `rehearse` says whether it can live with what its conversion made, given the
    /// interfaces with that behind them. The error is why not: then the state is as it was.
    pub(super) fn run(
        self,
        sandbox: &Sandbox,
        policy: &Policy,
        loaded: &Loaded,
        interfaces: &Interfaces,
        at: Timestamp,
        rehearse: impl FnOnce(Interfaces) -> Result<(), String>,
    ) -> Result<(), String> {
        let quota = Quota::default();
        let converted = match &self.conversion {
            Some((from, export)) => {
                let draft = Arc::new(self.state.draft(&policy.name, &quota).map_err(problem)?);
                let interfaces = Interfaces { state: Some(draft.clone()), ..interfaces.clone() };
                migrate(sandbox, policy, loaded, interfaces.clone(), export, from, at)?;
                rehearse(interfaces)?;
                let (policy, sha256, to) = (&*policy.name, &*loaded.digest, &*self.owner.version);
                tracing::info!(policy, sha256, from, to, "its state is converted");
                Some(draft)
            }
            None => None,
        };
        self.state.hand_over(&policy.name, &self.owner, converted.as_deref(), &quota).map_err(problem)
    }
}

fn problem(error: String) -> String {
    format!("the state of an earlier version cannot be taken over: {error}")
}

/// Calls `migrate`, on an instance of its own.
fn migrate(
    sandbox: &Sandbox,
    policy: &Policy,
    loaded: &Loaded,
    interfaces: Interfaces,
    export: &str,
    from: &str,
    at: Timestamp,
) -> Result<(), String> {
    let store = store(&policy.limits, sandbox, loaded, policy.name.clone(), &policy.access, interfaces);
    let mut store = store.map_err(|error| error.to_string())?;
    let from = from.to_owned();
    let answer = call_within(sandbox, &mut store, "migrate", at, |mut store| {
        let instance = loaded.linked.instance_pre().instantiate(&mut store)?;
        let missing = || wasmtime::Error::msg(format!("`{export}` does not hold `migrate`"));
        let interface = instance.get_export_index(&mut store, None, export).ok_or_else(missing)?;
        let migrate = instance.get_export_index(&mut store, Some(&interface), "migrate").ok_or_else(missing)?;
        let migrate = instance.get_typed_func::<(&str,), (Result<(), String>,)>(&mut store, migrate)?;
        Ok(migrate.call(&mut store, (&from,))?.0)
    });
    answer
        .map_err(|error| error.to_string())?
        .map_err(|reason| format!("`migrate` refused the state that version {from} left: {}", contract::line(reason)))
}
