//! Sees that a TLS certificate runs out soon, and has it renewed.
//!
//! **Sees** `tls.certificate.remaining` of the probes it is told of: the seconds for which the certificate that a server
//! shows is still good. **Decides**: `certificate.expiring` at the probe, a warning from `warn` on, critical from
//! `critical` on and once it has run out. **Does** what `renew` says, nothing by default: a person is told. It worked when
//! the probe sees a certificate that lasts longer than `warn`.
//!
//! ```toml
//! [config]
//! probes = ["*"]                          # the defaults
//! warn = "21d"
//! critical = "7d"
//! settle = "5s"
//! deadline = "10m"
//! renew = "command.run:certbot-renew"     # default: none
//! ```

mod config;

use std::collections::BTreeMap;
use std::time::Duration;

use salve_plugin_sdk::{matches, prelude::*};

pub use config::Config;

const METRIC: &str = "tls.certificate.remaining";
const FAULT: &str = "certificate.expiring";
/// How many probes are kept track of; there is no host with as many certificates.
const MAX_PROBES: usize = 1024;

/// The plugin: its configuration and the last word on each certificate.
pub struct CertificateExpiry {
    config: Config,
    seen: BTreeMap<String, Seen>,
}

/// How long a certificate lasts, and when that was read.
struct Seen {
    remaining: f64,
    at: Duration,
    /// What is known of it from before the last action, to say whether it is another one now.
    before: Option<f64>,
}

impl Remediator for CertificateExpiry {
    type Config = Config;

    fn wants() -> Vec<String> {
        ["command.run:*", "service.reload:*", "service.restart:*"].map(String::from).to_vec()
    }

    fn configure(config: Config) -> Result<(Self, Subscription), String> {
        if config.critical > config.warn {
            return Err(format!(
                "critical = \"{}\" comes before warn = \"{}\"; make it less",
                config.critical, config.warn
            ));
        }
        config.renew.check(&["target"]).map_err(|error| format!("renew: {error}"))?;
        let subscribe =
            |all: Subscription, probe: &String| all.metric_where(METRIC, [("probe.name", probe.as_str().into())]);
        let subscription = config.probes.iter().fold(Subscription::new(), subscribe);
        Ok((Self { config, seen: BTreeMap::new() }, subscription))
    }

    fn detect(&mut self, batch: &Batch<'_>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for sample in batch.samples().filter(|sample| sample.metric == METRIC && sample.value.is_finite()) {
            let Some(probe) = sample.text("probe.name").filter(|probe| self.watches(probe)) else { continue };
            if self.seen.len() >= MAX_PROBES && !self.seen.contains_key(probe) {
                continue;
            }
            let fault = self.fault(probe, sample.value);
            findings.push(fault.present_if(sample.value < self.config.warn.as_secs_f64()));
            let before = self.seen.get(probe).map(|seen| seen.remaining);
            self.seen.insert(probe.to_owned(), Seen { remaining: sample.value, at: batch.at(), before });
        }
        findings
    }

    fn diagnose(&mut self, incident: &Incident) -> Vec<Cause> {
        let expired = self.remaining(incident).is_some_and(|remaining| remaining <= 0.0);
        let summary = match (expired, self.config.renew.is_empty()) {
            (true, _) => "nothing renewed the certificate before it ran out",
            (false, true) => "nothing has renewed the certificate yet",
            (false, false) => "its own renewal has not come, or does not work",
        };
        vec![Cause::new(summary, 0.6).path([FAULT, "not renewed"])]
    }

    fn recover(&mut self, incident: &Incident) -> Recovery {
        let words = [("target", incident.fault.target.as_str())];
        self.config
            .renew
            .ladder(&words, *self.config.settle, *self.config.deadline)
            .escalate(|incident| match incident.attempts_in_round().len() {
                0 => format!("{}; no way to renew it is configured", incident.fault.summary),
                _ => format!("{}; the renewal did not help", incident.fault.summary),
            })
            .recover(incident)
    }

    fn verify(&mut self, incident: &Incident) -> Verdict {
        let Some(seen) = self.seen.get(&incident.fault.target) else { return Verdict::Undecided };
        if incident.last_action_ended().is_some_and(|ended| seen.at <= ended) {
            return Verdict::Undecided;
        }
        if seen.remaining >= self.config.warn.as_secs_f64() {
            return Verdict::Healthy;
        }
        // Time only takes away from a certificate: where more is left than before, the server shows another one.
        if seen.before.is_some_and(|before| seen.remaining > before + 60.0) {
            let (left, warn) = (lasts(seen.remaining), self.config.warn);
            return Verdict::Unhealthy(format!("the new certificate lasts {left} only, less than warn = \"{warn}\""));
        }
        match incident.attempts.last() {
            // Until the deadline the server may still take up what was renewed.
            Some(attempt) if attempt.verdict.is_none() && attempt.outcomes.iter().all(|outcome| outcome.ok) => {
                Verdict::Undecided
            }
            _ => Verdict::Unhealthy(self.fault(&incident.fault.target, seen.remaining).summary),
        }
    }
}

impl CertificateExpiry {
    fn watches(&self, probe: &str) -> bool {
        self.config.probes.iter().any(|pattern| matches(pattern, probe))
    }

    fn remaining(&self, incident: &Incident) -> Option<f64> {
        let told =
            || incident.fault.evidence.iter().find(|it| it.key == METRIC).and_then(|it| [it.clone()].number(METRIC));
        self.seen.get(&incident.fault.target).map(|seen| seen.remaining).or_else(told)
    }

    /// The evidence is in whole hours, so that the fault does not change with every sample.
    fn fault(&self, probe: &str, remaining: f64) -> Fault {
        let severe = remaining < self.config.critical.as_secs_f64();
        let summary = match remaining {
            remaining if remaining <= 0.0 => {
                format!("the certificate that {probe} sees ran out {} ago", lasts(-remaining))
            }
            _ => format!("the certificate that {probe} sees runs out in {}", lasts(remaining)),
        };
        Fault::new(FAULT, probe)
            .severity(if severe { Severity::Critical } else { Severity::Warning })
            .summary(summary)
            .evidence(METRIC, (remaining / 3600.0).floor() * 3600.0)
    }
}

/// A time for people: `20 days`, `5 hours`.
fn lasts(seconds: f64) -> String {
    let hours = (seconds / 3600.0).floor();
    match hours {
        hours if hours >= 48.0 => format!("{} days", (hours / 24.0).floor()),
        hours if hours >= 1.0 => format!("{hours} hours"),
        _ => "less than an hour".to_owned(),
    }
}

salve_plugin_sdk::export!(CertificateExpiry);
