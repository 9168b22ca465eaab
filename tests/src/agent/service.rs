//! The services that an agent on this machine runs itself, and what tests wait for.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, getpgid, kill_process, kill_process_group};
use serde::de::DeserializeOwned;

use super::{Agent, Home, Incident, Status};
use crate::wait;

/// How long anything may take that is waited for here: far more than it takes, for machines that are busy otherwise.
const DEADLINE: Duration = Duration::from_secs(60);

impl Agent {
    /// What `salve status` says.
    #[track_caller]
    pub fn status(&self) -> Status {
        let output = self.cli(&["status", "--json"]);
        let code = output.status.code();
        match serde_json::from_slice::<Status>(&output.stdout) {
            Ok(status) if matches!(code, Some(0 | 1)) => Status { is_fine: code == Some(0), ..status },
            _ => panic!("salve status: {output:?}\n{}", self.last_words()),
        }
    }

    /// What `salve status` tells people is wrong: the lines that begin with `!`, and nothing if there are none.
    ///
    /// # Panics
    /// When the exit code says otherwise.
    #[track_caller]
    pub fn complaints(&self) -> String {
        let output = self.cli(&["status"]);
        let text = String::from_utf8_lossy(&output.stdout);
        let complaints: Vec<&str> = text.lines().filter(|line| line.starts_with('!')).collect();
        let code = if complaints.is_empty() { 0 } else { 1 };
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        complaints.join("\n")
    }

    /// Waits until `salve status` complains in these words; for people and for programs.
    #[track_caller]
    pub fn until_complaint(&self, words: &[&str]) -> String {
        let has = |text: &str| words.iter().all(|word| text.contains(word));
        let complaints =
            self.until(&format!("a complaint of {words:?}"), || Some(self.complaints()).filter(|text| has(text)));
        assert!(!self.status().is_fine);
        complaints
    }

    /// Every incident, the newest first.
    #[track_caller]
    pub fn incidents(&self) -> Vec<Incident> {
        self.read(&["incident", "list"])
    }

    /// One incident with its transitions.
    #[track_caller]
    pub fn incident(&self, id: &str) -> Incident {
        self.read(&["incident", "show", id])
    }

    /// Waits until `condition` gives a value. When it does not, the panic says how the agent was.
    #[track_caller]
    pub fn until<T>(&self, what: &str, condition: impl FnMut() -> Option<T>) -> T {
        match wait::attempt(DEADLINE, condition) {
            Some(value) => value,
            None => panic!("waited {DEADLINE:?} in vain for {what}\n{:#?}\n{:#?}", self.status(), self.incidents()),
        }
    }

    /// Waits until `salve status` shows what is looked for.
    #[track_caller]
    pub fn until_status(&self, what: &str, looks_so: impl Fn(&Status) -> bool) -> Status {
        self.until(what, || Some(self.status()).filter(&looks_so))
    }

    /// Waits until nothing is wrong.
    #[track_caller]
    pub fn until_fine(&self) -> Status {
        self.until_status("nothing to be wrong", |status| status.is_fine)
    }

    /// Waits until the plugin under `policy` runs and has heard how the services are that it asked for: what happens to
    /// them from now on happens before its eyes.
    #[track_caller]
    pub fn until_watching(&self, policy: &str) -> Status {
        self.until_status(&format!("{policy} to watch"), |status| {
            status.instance(policy).is_some_and(|it| it.state == "running" && it.calls > 0)
        })
    }

    /// Waits until the newest incident about `target` is in `state`.
    #[track_caller]
    pub fn until_incident(&self, target: &str, state: &str) -> Incident {
        let newest = || self.incidents().into_iter().find(|incident| incident.target == target);
        let id = self.until(&format!("an incident of {target} to be {state}"), || {
            newest().filter(|incident| incident.state == state).map(|incident| incident.id)
        });
        self.incident(&id)
    }

    /// Waits until this very incident is in `state`.
    #[track_caller]
    pub fn until_state(&self, id: &str, state: &str) -> Incident {
        self.until(&format!("{id} to be {state}"), || {
            Some(self.incident(id)).filter(|incident| incident.state == state)
        })
    }

    /// The process of a service of its own, if it lives.
    pub fn service(&self, name: &str) -> Option<Pid> {
        recorded(&self.home().state().join(format!("services/{name}.start")))
    }

    /// Waits until a service of its own lives, in another process than `old`.
    #[track_caller]
    pub fn until_service(&self, name: &str, old: Option<Pid>) -> Pid {
        self.until(&format!("{name} to live"), || self.service(name).filter(|pid| Some(*pid) != old))
    }

    /// Kills a service of its own as `kill -9` does, once it lives, and returns the process that it was.
    #[track_caller]
    pub fn kill_service(&self, name: &str) -> Pid {
        let pid = self.until_service(name, None);
        let _ = kill_process(pid, Signal::KILL); // If it has just ended, so much the better.
        pid
    }

    /// Kills a service of its own, waits until it lives again and its incident is resolved, and returns that.
    ///
    /// # Panics
    /// When the incident is not a new one, or took other than one attempt.
    #[track_caller]
    pub fn heals(&self, name: &str) -> Incident {
        let before: Vec<String> = self.incidents().into_iter().map(|incident| incident.id).collect();
        let old = self.kill_service(name);
        self.until_service(name, Some(old));
        let new = |incident: &Incident| incident.state == "resolved" && !before.contains(&incident.id);
        let id = self.until(&format!("{name} to be healed"), || {
            self.incidents().into_iter().find(new).map(|incident| incident.id)
        });
        let incident = self.incident(&id);
        assert_eq!(incident.target, name, "{incident:#?}");
        assert_eq!(incident.attempts.len(), 1, "{incident:#?}");
        incident
    }

    /// That the instance under the policy of a service's name is the one that ran before, of the same plugin, and does its work.
    #[track_caller]
    pub fn still_heals(&self, name: &str, before: &Status) {
        self.heals(name);
        let now = self.status();
        let about = |status: &Status| {
            let (policy, instance) = (status.policy(name)?, status.instance(name)?);
            Some((instance.since.clone(), status.plugin(&policy.plugin)?.digest.clone()?))
        };
        assert!(about(&now).is_some() && about(&now) == about(before), "{now:#?}\nwas\n{before:#?}");
        assert!(now.instance(name).is_some_and(|instance| instance.traps == 0), "{now:#?}");
    }

    /// How often a service made by [`Builder::service`](super::Builder::service) has been started.
    pub fn starts(&self, name: &str) -> usize {
        let starts = fs::read_to_string(self.home().path().join(format!("{name}.starts")));
        starts.unwrap_or_default().lines().count()
    }

    #[track_caller]
    fn read<T: DeserializeOwned>(&self, arguments: &[&str]) -> T {
        let answer = self.json(arguments);
        match serde_json::from_value(answer.clone()) {
            Ok(value) => value,
            Err(error) => panic!("salve {}: {error}\n{answer:#}", arguments.join(" ")),
        }
    }
}

/// Kills the services that an agent has left, with their groups.
pub(super) fn end_all(home: &Home) {
    let records = fs::read_dir(home.state().join("services")).into_iter().flatten().flatten();
    let records = records.map(|record| record.path()).filter(|path| path.extension().is_some_and(|it| it == "start"));
    for pid in records.filter_map(|path| recorded(&path)) {
        let _ = match getpgid(Some(pid)) {
            Ok(group) if group == pid => kill_process_group(pid, Signal::KILL),
            _ => kill_process(pid, Signal::KILL),
        };
    }
}

/// The process that the agent has recorded, `PID STARTED BOOT`, if it is alive and not a later one of the same number.
fn recorded(path: &Path) -> Option<Pid> {
    let record = fs::read_to_string(path).ok()?;
    let mut words = record.split_whitespace();
    let (pid, started) = (words.next()?, words.next()?);
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let alive = !matches!(fields.next()?, "Z" | "X");
    let same = fields.nth(18)? == started;
    (alive && same).then(|| Pid::from_raw(pid.parse().ok()?)).flatten()
}
