//! The glue between the contract and a [`Remediator`]; `export!` names it, authors do not.

use crate::batch::SeriesTable;
use crate::bindings::salve::plugin::types::{Batch as WireBatch, Description, Incident as WireIncident};
use crate::evidence::Evidence;
use crate::{Batch, Cause, Finding, Incident, Migrate, Recovery, Remediator, Subscription, Verdict, logging};

/// An instance: the author's type and what the SDK remembers for it.
#[derive(Debug)]
pub struct Instance<P> {
    plugin: P,
    series: SeriesTable,
    evidence: Evidence,
    /// Findings that did not fit into the last answer.
    left: Vec<Finding>,
}

/// How many findings the host takes in one answer; it refuses a longer one as a whole.
const MAX_FINDINGS: usize = 256;

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
        Ok((
            Self { plugin, series: SeriesTable::default(), evidence: Evidence::default(), left: Vec::new() },
            subscription,
        ))
    }

    /// `detect` of the contract. What is too much for one answer is told with the next ones, unless there is later word of it
    /// by then.
    pub fn detect(&mut self, batch: WireBatch) -> Vec<Finding> {
        let batch = Batch::new(batch, &mut self.series);
        let findings = self.plugin.detect(&batch);
        self.evidence.take(&batch, &findings);
        if self.left.is_empty() && findings.len() <= MAX_FINDINGS {
            return findings;
        }
        let mut all = std::mem::take(&mut self.left);
        all.retain(|old| !findings.iter().any(|new| key(new) == key(old)));
        all.extend(findings);
        self.left = all.split_off(all.len().min(MAX_FINDINGS));
        all
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

/// `migrate` of the contract.
pub fn migrate<P: Migrate>(version: &str) -> Result<(), String> {
    logging::install();
    P::migrate(version)
}

/// What names the fault that a finding is about.
fn key(finding: &Finding) -> (&str, &str) {
    match finding {
        Finding::Present(fault) => (&fault.kind, &fault.target),
        Finding::Cleared((kind, target)) => (kind, target),
    }
}

/// Makes a component of a type that implements [`Remediator`]. Name, version and summary are those of the crate
/// (`name`, `version`, `description` in its Cargo.toml). `export!(Type, migrate)` is for one that implements
/// [`Migrate`](crate::Migrate) as well.
#[macro_export]
macro_rules! export {
    ($plugin:ty, migrate) => {
        $crate::export!($plugin);

        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::bindings::migrating::exports::salve::plugin::migration::Guest;

            struct Migration;

            impl Guest for Migration {
                fn migrate(version: String) -> Result<(), String> {
                    $crate::runtime::migrate::<$plugin>(&version)
                }
            }

    $crate::bindings::migrating::export_migration!(Migration with_types_in $crate::bindings::migrating);
        };
    };
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

#[cfg(test)]
mod tests {
    use crate::testing::Harness;
    use crate::{Batch, Event, Fault, Finding, Remediator, Subscription};

    /// Raises so many faults as the event's body says, and clears the first of them otherwise.
    struct Many;

    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct Nothing {}

    impl Remediator for Many {
        type Config = Nothing;

        fn configure(_: Nothing) -> Result<(Self, Subscription), String> {
            Ok((Self, Subscription::new()))
        }

        fn detect(&mut self, batch: &Batch<'_>) -> Vec<Finding> {
            let fault = |number: u32| Fault::new("x", number.to_string());
            batch
                .events()
                .iter()
                .flat_map(|event| match event.body.parse::<u32>() {
                    Ok(count) => (0..count).map(|number| fault(number).present()).collect(),
                    Err(_) => vec![fault(599).cleared()],
                })
                .collect()
        }
    }

    #[test]
    fn what_is_too_much_for_one_answer_is_told_with_the_next_ones() {
        let mut plugin = Harness::<Many>::new("{}").unwrap();
        let say =
            |plugin: &mut Harness<Many>, body: &str| plugin.event(Event { body: body.into(), ..Event::new("e", "s") });
        let first = say(&mut plugin, "600");
        assert_eq!((first.len(), first.first()), (256, Some(&Fault::new("x", "0").present())));
        let second = say(&mut plugin, "");
        assert_eq!((second.len(), second.first()), (256, Some(&Fault::new("x", "256").present())));
        // There is later word of one of them.
        let third = say(&mut plugin, "0");
        assert_eq!((third.len(), third.last()), (88, Some(&Fault::new("x", "599").cleared())));
        assert!(say(&mut plugin, "0").is_empty());
    }
}
