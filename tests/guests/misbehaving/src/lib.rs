//! Does what its configuration says, in the call its configuration says: every way in which a plugin can go wrong, in one
//! file. As long as it is not told to, it behaves: it finds one fault and wants one restart.

use std::time::Duration;

use salve_plugin_sdk::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Config {
    /// In which call: `configure`, `detect`, `diagnose`, `recover`, `verify`.
    #[serde(rename = "in", default)]
    call: String,
    /// What.
    #[serde(default)]
    deed: Deed,
    /// Only after so many batches.
    #[serde(default)]
    after: u32,
}

#[derive(Deserialize, JsonSchema, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Deed {
    #[default]
    Nothing,
    Loop,
    Allocate,
    Panic,
    Recurse,
    Oversized,
    Sleep,
    LogFlood,
    LogHuge,
    StateBomb,
    ManyFindings,
    EmptyNames,
    HugePlan,
    UnknownKind,
    EndlessSettle,
}

struct Misbehaving {
    config: Config,
    batches: u32,
}

impl Misbehaving {
    fn misbehaves(&self, call: &str) -> Deed {
        if self.config.call == call && self.batches >= self.config.after { self.config.deed } else { Deed::Nothing }
    }

    /// The deeds that need no answer to go wrong in.
    fn misbehave(&self, call: &str) {
        match self.misbehaves(call) {
            Deed::Loop => {
                let mut n = 0_u64;
                loop {
                    n = std::hint::black_box(n.wrapping_add(1));
                }
            }
            Deed::Allocate => {
                let mut hoard = Vec::new();
                loop {
                    hoard.push(std::hint::black_box(vec![1_u8; 1 << 20]));
                }
            }
            Deed::Panic => panic!("the plugin says goodbye"),
            Deed::Recurse => {
                std::hint::black_box(recurse(1));
            }
            Deed::Sleep => std::thread::sleep(Duration::from_secs(3600)),
            Deed::LogFlood => (0..10_000).for_each(|n| log(&format!("line {n}"))),
            Deed::LogHuge => log(&"x".repeat(4 << 20)),
            Deed::StateBomb => {
                for n in 0..300 {
                    if let Err(error) = salve_plugin_sdk::state::set(&format!("key {n}"), &"v".repeat(1000)) {
                        panic!("{n} keys: {error}");
                    }
                }
            }
            _ => {}
        }
    }
}

fn log(line: &str) {
    salve_plugin_sdk::log::info!("{line}");
}

#[expect(unconditional_recursion, reason = "this is the deed")]
fn recurse(n: u64) -> u64 {
    let page = std::hint::black_box([n; 64]);
    recurse(n + 1) + page[(n % 64) as usize]
}

impl Remediator for Misbehaving {
    type Config = Config;

    fn configure(config: Config) -> Result<(Self, Subscription), String> {
        let plugin = Self { config, batches: 0 };
        plugin.misbehave("configure");
        Ok((plugin, Subscription::new().service("*").metric("system.*").every(Duration::from_millis(100))))
    }

    fn detect(&mut self, _: &Batch<'_>) -> Vec<Finding> {
        self.misbehave("detect");
        let deed = self.misbehaves("detect");
        self.batches += 1;
        let fault = Fault::new("test.fault", "demo");
        match deed {
            Deed::Oversized => vec![fault.summary("x".repeat(4 << 20)).present()],
            Deed::ManyFindings => (0..1000).map(|n| Fault::new("test.fault", format!("t{n}")).present()).collect(),
            Deed::EmptyNames => vec![Fault::new("", "").present()],
            _ => vec![fault.present()],
        }
    }

    fn diagnose(&mut self, _: &Incident) -> Vec<Cause> {
        self.misbehave("diagnose");
        vec![Cause::new("because", f64::NAN)]
    }

    fn recover(&mut self, _: &Incident) -> Recovery {
        self.misbehave("recover");
        let action = Action::restart_service("demo");
        match self.misbehaves("recover") {
            Deed::HugePlan => Plan::new(vec![action; 1000]).into(),
            Deed::UnknownKind => Plan::new([Action::new("host.explode", "demo")]).into(),
            Deed::EndlessSettle => Plan::new([action]).settle(Duration::MAX).into(),
            _ => Plan::new([action]).into(),
        }
    }

    fn verify(&mut self, _: &Incident) -> Verdict {
        self.misbehave("verify");
        Verdict::Undecided
    }
}

salve_plugin_sdk::export!(Misbehaving);
