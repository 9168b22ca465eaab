//! What the command line says in JSON: only the fields that are promised, so that a test fails when one is missing.

use serde::Deserialize;
use serde_json::Value;

/// `salve incident list|show --json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Incident {
    /// Its name on this host.
    pub id: String,
    /// Which plugin found it.
    pub plugin: String,
    /// Under which policy.
    pub policy: String,
    /// The fault's kind.
    pub kind: String,
    /// What it is about.
    pub target: String,
    /// Where it stands.
    pub state: String,
    /// How bad it is.
    pub severity: String,
    /// One sentence.
    pub summary: String,
    /// RFC 3339.
    pub opened_at: String,
    /// None while it is open.
    pub resolved_at: Option<String>,
    /// Why, the most likely first.
    pub causes: Vec<Value>,
    /// What was tried.
    pub attempts: Vec<Attempt>,
    /// Its life so far: `show` alone tells it.
    #[serde(default)]
    pub transitions: Vec<Transition>,
}

impl Incident {
    /// Why it is in the state it is in; only in what `show` says.
    pub fn reason(&self) -> &str {
        self.transitions.last().map_or("", |last| last.reason.as_str())
    }

    /// The states it has been in, in order; only in what `show` says.
    pub fn path(&self) -> Vec<&str> {
        self.transitions.iter().map(|step| step.to.as_str()).collect()
    }
}

/// One plan carried out.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// What was to be done.
    pub actions: Vec<Action>,
    /// What came of it.
    pub outcomes: Vec<Outcome>,
    /// `healthy` or `unhealthy`; none while it is not judged.
    pub verdict: Option<String>,
    /// Why it is unhealthy.
    pub reason: Option<String>,
}

impl Attempt {
    /// The kinds of its actions.
    pub fn kinds(&self) -> Vec<&str> {
        self.actions.iter().map(|action| action.kind.as_str()).collect()
    }
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Action {
    /// `service.restart`.
    pub kind: String,
    /// What to do it to.
    pub target: String,
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Outcome {
    /// Which one.
    pub action: Action,
    /// Whether it did what was asked.
    pub ok: bool,
    /// What really changed, or why it failed.
    pub detail: String,
}

/// One step in an incident's life.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Transition {
    /// To where.
    pub to: String,
    /// When, as RFC 3339.
    pub at: String,
    /// Why.
    pub reason: String,
}

/// `salve status --json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    /// Whether it exited with 0; if not, it exited with 1.
    #[serde(skip)]
    pub is_fine: bool,
    /// Plugins by name.
    pub plugins: Vec<Plugin>,
    /// Policies by name.
    pub policies: Vec<Policy>,
    /// What else is wrong.
    pub problems: Vec<String>,
}

impl Status {
    /// The plugin of that name.
    pub fn plugin(&self, name: &str) -> Option<&Plugin> {
        self.plugins.iter().find(|plugin| plugin.name == name)
    }

    /// The policy of that name.
    pub fn policy(&self, name: &str) -> Option<&Policy> {
        self.policies.iter().find(|policy| policy.name == name)
    }

    /// The instance under the policy of that name.
    pub fn instance(&self, policy: &str) -> Option<&Instance> {
        self.policy(policy)?.instance.as_ref()
    }
}

/// A plugin's file.
#[derive(Debug, Clone, Deserialize)]
pub struct Plugin {
    /// Its stem.
    pub name: String,
    /// SHA-256 of what runs.
    pub digest: Option<String>,
    /// Why the file as it is now does not run.
    pub problem: Option<String>,
}

/// A policy, and the instance under it.
#[derive(Debug, Clone, Deserialize)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Its plugin.
    pub plugin: String,
    /// Its mode.
    pub mode: String,
    /// False for the policy that a plugin without one runs under.
    pub written: bool,
    /// The instance, if one runs.
    pub instance: Option<Instance>,
    /// SHA-256 of a new version that is tried beside it.
    pub canary: Option<String>,
    /// Why the file as it is now does not apply, or no instance runs.
    pub problem: Option<String>,
}

/// A plugin that runs under a policy.
#[derive(Debug, Clone, Deserialize)]
pub struct Instance {
    /// `loading`, `running`, `backoff`, `quarantined` or `unloading`.
    pub state: String,
    /// Since when: a new instance has another time.
    pub since: String,
    /// Calls so far.
    pub calls: u64,
    /// Of which trapped.
    pub traps: u64,
}
