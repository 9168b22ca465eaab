//! The glue between the contract and a [`Remediator`]; `export!` names it, authors do not.

use crate::batch::SeriesTable;
use crate::bindings::salve::plugin::types::{Batch as WireBatch, Description, Incident as WireIncident};
use crate::evidence::Evidence;
use crate::{Batch, Cause, Finding, Incident, Recovery, Remediator, Subscription, Verdict, logging};

/// An instance: the author's type and what the SDK remembers for it.
#[derive(Debug)]
pub struct Instance<P> {
    plugin: P,
    series: SeriesTable,
    evidence: Evidence,
}

impl<P: Remediator> Instance<P> {
    /// `describe` of the contract.
    pub fn describe(name: &str, version: &str, summary: &str) -> Description {
        Description {
            name: name.to_owned(),
            version: version.to_owned(),
            summary: summary.to_owned(),
            config_schema: schemars::schema_for!(P::Config).to_value().to_string(),
            wants: P::wants(),
        }
    }

    /// `configure` of the contract.
    pub fn configure(config: &str) -> Result<(Self, Subscription), String> {
        logging::install();
        let config = serde_json::from_str(config).map_err(|error| format!("config: {error}"))?;
        let (plugin, subscription) = P::configure(config)?;
        Ok((Self { plugin, series: SeriesTable::default(), evidence: Evidence::default() }, subscription))
    }

    /// `detect` of the contract.
    pub fn detect(&mut self, batch: WireBatch) -> Vec<Finding> {
        let batch = Batch::new(batch, &mut self.series);
        let findings = self.plugin.detect(&batch);
        self.evidence.take(&batch, &findings);
        findings
    }

    /// `diagnose` of the contract.
    pub fn diagnose(&mut self, incident: WireIncident) -> Vec<Cause> {
        let incident = self.incident(incident);
        self.plugin.diagnose(&incident)
    }

    /// `recover` of the contract.
    pub fn recover(&mut self, incident: WireIncident) -> Recovery {
        let incident = self.incident(incident);
        self.plugin.recover(&incident)
    }

    /// `verify` of the contract.
    pub fn verify(&mut self, incident: WireIncident) -> Verdict {
        let incident = self.incident(incident);
        self.plugin.verify(&incident)
    }

    fn incident(&self, wire: WireIncident) -> Incident {
        let incident = Incident::new(wire);
        let detected = self.evidence.verdict(&incident);
        incident.detected(detected)
    }
}

/// Makes a component of a type that implements [`Remediator`]. Name, version and summary are those of the crate
/// (`name`, `version`, `description` in its Cargo.toml).
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::bindings::exports::salve::plugin::remediator::Guest;
            use $crate::bindings::salve::plugin::types as wire;

            type Instance = $crate::runtime::Instance<$plugin>;

            ::std::thread_local! {
                static INSTANCE: ::std::cell::RefCell<Option<Instance>> = const { ::std::cell::RefCell::new(None) };
            }

            /// Runs `call` on the instance; the contract has the host configure it first.
            fn with<T>(call: impl FnOnce(&mut Instance) -> T) -> T {
                INSTANCE.with_borrow_mut(|slot| match slot {
                    Some(instance) => call(instance),
                    None => panic!("called before configure"),
                })
            }

            struct Component;

            impl Guest for Component {
                fn describe() -> wire::Description {
                    Instance::describe(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"))
                }
                fn configure(config: String) -> Result<wire::Subscription, String> {
                    let (instance, subscription) = Instance::configure(&config)?;
                    INSTANCE.with_borrow_mut(|slot| *slot = Some(instance));
                    Ok(subscription)
                }
                fn detect(batch: wire::Batch) -> Vec<wire::Finding> {
                    with(|instance| instance.detect(batch))
                }
                fn diagnose(incident: wire::Incident) -> Vec<wire::Cause> {
                    with(|instance| instance.diagnose(incident))
                }
                fn recover(incident: wire::Incident) -> wire::Recovery {
                    with(|instance| instance.recover(incident))
                }
                fn verify(incident: wire::Incident) -> wire::Verdict {
                    with(|instance| instance.verify(incident))
                }
            }

    $crate::bindings::export_component!(Component with_types_in $crate::bindings);
        };
    };
}
