//! The worst plugins that can be written (`tests/hostile/`, and the files that `forge` makes), dropped in one after the other
//! beside a good one, with a policy that lets each do what it likes with things of its own. Of each three things are asserted: the
//! agent lives; its neighbour's decisions are those that it made before, and are carried out; and the operator is told what
//! happened and to whom.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail as the tests do")]

use std::fs;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Pid;
use salve_tests::agent::{Agent, Incident};
use salve_tests::forge::FORGERIES;
use salve_tests::{plugin, wait};
use tempfile::TempDir;

/// How long the operator may have to wait to be told.
const DEADLINE: Duration = Duration::from_secs(30);

/// What the operator must be told.
enum Told {
    /// A line of `salve status` that begins with `!`, the plugin's name in it, and these words.
    Status(&'static [&'static str]),
    /// A line of the agent's log, the plugin's name in it, and these words.
    Log(&'static [&'static str]),
    /// An incident found by the plugin at this target is in this state (or that one, after a `|`), for a reason with these words in it.
    Incident(&'static str, &'static str, &'static [&'static str]),
    /// Nothing: what it does concerns nobody.
    Nothing,
}

use Told::{Incident as InIncident, Log, Nothing, Status};

/// A plugin by its file's stem, and what the operator must be told.
type Case = (&'static str, &'static [Told]);

const LOOPS: &[Case] = &[
    ("loop-describe", &[Status(&["`describe`", "CPU"]), Log(&["`describe`", "CPU"])]),
    ("loop-constructor", &[Status(&["`describe`", "CPU"])]),
    ("loop-configure", &[Status(&["`configure`", "CPU"]), Log(&["`configure`", "CPU"])]),
    ("loop-detect", &[Status(&["`detect`", "CPU"]), Log(&["`detect`", "CPU"])]),
    ("loop-diagnose", &[Status(&["`diagnose`", "CPU"]), Log(&["`diagnose`", "CPU"])]),
    ("loop-recover", &[Status(&["`recover`", "CPU"]), Log(&["`recover`", "CPU"])]),
    ("loop-verify", &[Status(&["`verify`", "CPU"]), Log(&["`verify`", "CPU"])]),
    ("loop-every-millisecond", &[Log(&["of a core", "called later"])]),
    ("time-bomb-loop", &[Status(&["`detect`", "CPU"])]),
    ("trap-verify", &[Log(&["`verify`", "unreachable"]), InIncident("scratch", "deferred|escalated", &["`verify`"])]),
    ("sleep", &[Status(&["`detect`", "must not wait"])]),
    ("exit", &[Status(&["`detect`", "exit"])]),
];

const MEMORY: &[Case] = &[
    ("memory-bomb", &[Status(&["`detect`", "MiB of memory"])]),
    ("memory-steps", &[Status(&["`detect`", "MiB of memory"])]),
    ("memory-one-gigabyte", &[Status(&["`detect`", "MiB of memory"])]),
    ("handle-hoarder", &[Status(&["`detect`", "resource table"])]),
    ("recursion", &[Status(&["`detect`", "recursion"])]),
    ("claim-one-gigabyte", &[Status(&["`recover`"])]),
    ("claim-to-the-host", &[Status(&["`detect`"])]),
    ("claim-utf8", &[Status(&["`detect`", "utf-8"])]),
    ("random-without-end", &[Status(&["`detect`", "CPU"])]),
    ("random-all-at-once", &[Status(&["`detect`", "exceeds limit"])]),
    ("output-without-end", &[Status(&["`detect`", "CPU"])]),
    ("panic-huge", &[Status(&["`detect`", "last words"])]),
];

const STORMS: &[Case] = &[
    ("storm-log", &[Status(&["`detect`", "CPU"]), Log(&["lines dropped"])]),
    ("storm-state", &[Status(&["`detect`", "CPU"])]),
    ("storm-services", &[Status(&["`detect`", "CPU"])]),
    ("storm-files", &[Status(&["`detect`", "CPU"])]),
    ("storm-history", &[Status(&["`detect`", "CPU"])]),
    ("flood-log", &[Log(&["lines dropped"])]),
    ("flood-findings", &[Status(&["incidents"])]),
    ("findings-too-many", &[Log(&["`detect`", "1000 findings"])]),
    ("flood-evidence", &[InIncident("scratch", "escalated", &["see for yourself"])]),
    ("findings-flap", &[Status(&["incidents"])]),
    ("state-keys", &[Log(&["there would be", "at most 4194304"])]),
    ("state-sizes", &[Log(&["a key of 1000 bytes"]), Log(&["a value of 524288 bytes"])]),
];

const WORDS: &[Case] = &[
    ("escapes-in-describe", &[Log(&["forged"])]),
    ("escapes-in-log", &[Log(&["forged"])]),
    ("escapes-in-findings", &[InIncident("scratch", "escalated", &["words"])]),
    ("escapes-in-names", &[Log(&["`detect`", "control characters"])]),
    ("schema-garbage", &[Status(&["schema is not valid"])]),
    ("schema-ten-megabytes", &[Status(&["`describe`"])]),
    ("schema-remote", &[Status(&["schema is not valid"])]),
    ("schema-endless", &[Status(&["schema is not valid"])]),
    ("schema-exponential", &[Status(&["schema is not valid"])]),
    ("schema-deep", &[Status(&["schema is not valid"])]),
    ("schema-regex-bomb", &[Status(&["[config]"])]),
    ("subscription-bomb", &[Status(&["`configure`"])]),
    ("subscription-patterns", &[Status(&["`configure`", "bytes of patterns"])]),
    ("subscription-slow-regex", &[Nothing]),
    ("subscription-regex-bomb", &[Status(&["`configure`"])]),
    ("subscription-many-regexes", &[Status(&["`configure`", "regular expressions"])]),
    ("looks-around", &[Log(&["environment 0, arguments 0, directories 0, passwd false"])]),
    ("wait-for-input", &[Log(&["read 0, connected false, bound false, resolved false"])]),
];

const PLANS: &[Case] = &[
    ("numbers", &[InIncident("scratch", "deferred", &["86400 s"])]),
    (
        "lies-about-itself",
        &[InIncident("scratch", "escalated", &["\"service.stop:demo\"", "\"command.run:forbidden\""])],
    ),
    (
        "grant-tricks",
        &[
            InIncident("trick-0", "escalated", &["would allow it"]),
            InIncident("trick-1", "escalated", &["would allow it"]),
            InIncident("trick-2", "escalated", &["would allow it"]),
            InIncident("trick-3", "escalated", &["would allow it"]),
            InIncident("trick-4", "escalated", &["[grant] actions = [\"command.run:forbidden\"] would allow it"]),
            InIncident("trick-5", "escalated", &["would allow it"]),
            InIncident("trick-6", "escalated", &["would allow it"]),
            InIncident("trick-7", "escalated", &["would allow it"]),
            InIncident("trick-8", "escalated", &["would allow it"]),
            InIncident("trick-9", "escalated", &["would allow it"]),
            InIncident("trick-10", "escalated", &["would allow it"]),
            InIncident("trick-11", "escalated", &["would allow it"]),
            InIncident("trick-12", "escalated", &["would allow it"]),
            InIncident("trick-13", "escalated", &["would allow it"]),
            InIncident("trick-14", "escalated", &["would allow it"]),
            InIncident("trick-15", "escalated", &["[grant] actions = [\"service.stop:demo\"] would allow it"]),
        ],
    ),
    (
        "grant-paths",
        &[
            InIncident("path-0", "escalated", &["would allow it"]),
            InIncident("path-2", "escalated", &["would allow it"]),
            InIncident("path-3", "escalated", &["/secret/file\"] would allow it"]),
            InIncident("path-6", "escalated", &["would allow it"]),
        ],
    ),
    ("grant-nul", &[Log(&["`recover`", "control characters"])]),
    ("plan-huge", &[Log(&["`recover`", "10000 actions"])]),
    ("plan-contradicts", &[InIncident("scratch", "resolved", &[])]),
    ("settle-for-ever", &[InIncident("place-0", "verifying", &[])]),
    ("faults-of-others", &[InIncident("demo", "verifying", &[])]),
    ("causes-of-others", &[InIncident("base", "deferred", &[])]),
    ("plan-without-end", &[Status(&["actions"])]),
];

const FORGED: &[Case] = &[
    ("file-empty", &[Status(&["it is empty"]), Log(&["it is empty"])]),
    ("file-text", &[Status(&["not WebAssembly"])]),
    ("file-header-alone", &[Status(&["does not export `salve:plugin/remediator`"])]),
    ("file-truncated-early", &[Status(&["not WebAssembly"])]),
    ("file-truncated", &[Status(&["does not compile"])]),
    ("file-truncated-late", &[Status(&["does not compile"])]),
    ("file-too-large", &[Status(&["at most"])]),
    ("file-core-module", &[Status(&["a core module"])]),
    ("file-other-line", &[Status(&["line 0.9"])]),
    ("file-other-world", &[Status(&["does not export `salve:plugin/remediator`"])]),
    ("file-name-not-utf8", &[Status(&["does not compile"])]),
    ("file-lying-section", &[Status(&["does not compile"])]),
    ("file-thousand-imports", &[Status(&["wish-number"])]),
    ("core-lying-types", &[Status(&["does not compile"])]),
    ("core-lying-data", &[Status(&["does not compile"])]),
    ("core-lying-elements", &[Status(&["does not compile"])]),
    ("core-lying-code", &[Status(&["does not compile"])]),
    ("core-huge-memory", &[Status(&["memory"])]),
    ("core-huge-table", &[Status(&["table"])]),
    ("core-table-growth", &[Status(&["a table of more than"])]),
    ("core-start-loops", &[Status(&["CPU"])]),
    ("core-claims-list", &[Status(&["`detect`"])]),
    ("core-start-traps", &[Status(&["unreachable"])]),
    ("compiler-huge-function", &[Nothing]),
    ("compiler-deep-blocks", &[Nothing]),
    ("compiler-many-functions", &[Nothing]),
    ("flipped-start", &[Nothing]),
    ("flipped-early", &[Nothing]),
    ("flipped-quarter", &[Nothing]),
    ("flipped-middle", &[Nothing]),
    ("flipped-late", &[Nothing]),
    ("flipped-end", &[Nothing]),
];

/// An agent whose good plugin looks after the service `demo`, and what the hostile ones may and may not touch.
struct Arena {
    agent: Agent,
    pid: Pid,
    /// What the neighbour does when nothing is in its way.
    usual: Vec<String>,
    ground: TempDir,
}

impl Arena {
    fn new() -> Self {
        let ground = tempfile::tempdir().unwrap();
        for directory in ["granted", "secret"] {
            fs::create_dir(ground.path().join(directory)).unwrap();
        }
        fs::write(ground.path().join("secret/file"), "kept").unwrap();
        symlink(ground.path().join("secret"), ground.path().join("granted/link")).unwrap();
        let marker = ground.path().join("marker").display().to_string();
        let noop = |n: u32| format!("[commands.noop-{n}]\nargv = [\"/bin/true\"]\nrepeatable = true\n");
        let noops: String = (0..9).map(noop).collect();
        let commands = format!(
            "{noops}[commands.noop]\nargv = [\"/bin/true\"]\nrepeatable = true\n\
             [commands.forbidden]\nargv = [\"/usr/bin/touch\", {marker:?}]\nrepeatable = true\n"
        );
        let builder = Agent::builder()
            .service("base", "exec sleep infinity", "autostart = true")
            .service("demo", "exec sleep infinity", "autostart = true\nrequires = [\"base\"]")
            .service("scratch", "exec sleep infinity", "")
            .tables(&commands);
        let log = ground.path().join("log").display().to_string();
        let builder = builder.tables(&format!("[logs.app]\npath = {log:?}\nfrom = \"start\"\n"));
        // The neighbour alone does much in a short time.
        let builder = builder.tables("[agent]\nbreaker = { actions = 200 }\n");
        let builder = builder.plugin(plugin::service_restart()).policy("demo.toml", &plugin::policy("auto", "demo"));
        let agent = builder.start().unwrap();
        agent.until_watching("demo");
        let mut arena = Self { pid: agent.pid(), agent, usual: Vec::new(), ground };
        arena.usual = decisions(&arena.heal());
        assert!(arena.usual.len() > 3, "{:?}", arena.usual);
        arena
    }

    /// All that a policy has found, however much others have.
    fn incidents(&self, policy: &str) -> Vec<Incident> {
        let all = self.agent.json(&["incident", "list", "--limit", "100000"]);
        let all: Vec<Incident> = serde_json::from_value(all).unwrap();
        all.into_iter().filter(|incident| incident.policy == policy).collect()
    }

    /// Kills the neighbour's service, and waits until it is healed.
    fn heal(&self) -> Incident {
        let before: Vec<String> = self.incidents("demo").into_iter().map(|incident| incident.id).collect();
        let old = self.agent.kill_service("demo");
        self.agent.until_service("demo", Some(old));
        let is_new = |incident: &Incident| incident.state == "resolved" && !before.contains(&incident.id);
        let healed = self
            .agent
            .until("demo to be healed", || self.incidents("demo").into_iter().find(|incident| is_new(incident)));
        self.agent.incident(&healed.id)
    }

    /// A policy that lets it do what it likes with things of its own.
    fn policy(&self, name: &str) -> String {
        let ground = self.ground.path().display();
        format!(
            "plugin = {name:?}\nmode = \"auto\"\n[config]\ndirectory = \"{ground}\"\n[grant]\n\
             actions = [\"command.run:noop\", \"command.run:noop-?\", \"service.*:scratch\", \"file.delete:{ground}/granted/*\"]\n\
             read = [\"services\", \"history\", \"files:{ground}/granted/**\"]\nunattended = true\n\
             [guard]\nattempts = 2\nflapping = {{ enabled = false }}\n\
             backoff = {{ initial = \"10ms\", factor = 1.0, max = \"10ms\" }}\n"
        )
    }

    fn files(&self, name: &str) -> [PathBuf; 2] {
        let home = self.agent.home();
        [home.plugins().join(name).with_extension("wasm"), home.policies().join(name).with_extension("toml")]
    }

    fn drop_in(&self, name: &str, code: &[u8]) {
        let [plugin, policy] = self.files(name);
        fs::write(policy, self.policy(name)).unwrap();
        let part = plugin.with_extension("part");
        fs::write(&part, code).unwrap();
        fs::rename(part, plugin).unwrap();
    }

    fn take_out(&self, name: &str) {
        for file in self.files(name) {
            fs::remove_file(file).unwrap();
        }
        self.agent
            .until_status("it to be gone", |status| status.policy(name).is_none() && status.plugin(name).is_none());
    }

    /// The agent is the same process, and answers; the neighbour does for its service what it always does.
    fn neighbour_heals(&self) {
        let healed = self.heal();
        assert_eq!(decisions(&healed), self.usual, "{healed:#?}");
        let status = self.agent.cli(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        let answers = status.get("pid").and_then(serde_json::Value::as_i64);
        assert_eq!((self.agent.pid(), answers), (self.pid, Some(raw(self.pid))));
    }

    /// Nothing was done that was not granted, and nothing that people read does things to their terminals.
    fn nothing_happened(&self) {
        assert!(!self.ground.path().join("marker").exists(), "the forbidden command was run");
        assert_eq!(fs::read_to_string(self.ground.path().join("secret/file")).unwrap(), "kept");
        let neighbour = self.agent.status();
        let instance = neighbour.instance("demo").unwrap();
        assert_eq!((instance.state.as_str(), instance.traps), ("running", 0), "{neighbour:#?}");
    }

    fn is_told(&self, name: &str, told: &Told) -> bool {
        let has = |line: &str, words: &[&str]| line.contains(name) && words.iter().all(|word| line.contains(word));
        match told {
            Nothing => true,
            Status(words) => self.agent.complaints().lines().any(|line| has(line, words)),
            Log(words) => self.agent.log().lines().any(|line| has(line, words)),
            InIncident(target, state, words) => {
                let mut found = self.incidents(name);
                found.retain(|it| it.target == *target && state.split('|').any(|state| it.state == state));
                let reason = |incident: &Incident| self.agent.incident(&incident.id).reason().to_owned();
                found.iter().map(reason).any(|reason| words.iter().all(|word| reason.contains(word)))
            }
        }
    }

    /// What people read holds nothing that a terminal obeys, and no line that a plugin has made up.
    fn words_are_harmless(&self, name: &str) {
        let mut pages = vec![("the log".to_owned(), self.agent.log())];
        let mut commands = vec![vec!["status"], vec!["plugin", "list"], vec!["incident", "list"], vec!["report"]];
        let incidents = self.incidents(name);
        let own = incidents.iter().take(3);
        commands.extend(own.map(|incident| vec!["incident", "show", incident.id.as_str()]));
        for command in commands {
            let output = self.agent.cli(&command);
            pages.push((command.join(" "), String::from_utf8_lossy(&output.stdout).into_owned()));
        }
        for (page, text) in pages {
            for line in text.lines() {
                let obeyed = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
                assert!(!line.contains(obeyed), "{page}: {line:?}");
                let is_made_up = ["forged", "! forged", "2026-01-01T00:00:00Z ERROR salve: forged"];
                assert!(!is_made_up.iter().any(|forged| line.trim_start().starts_with(forged)), "{page}: {line:?}");
            }
        }
    }

    fn attack(&self, name: &str, code: &[u8], told: &[Told]) {
        self.drop_in(name, code);
        self.agent.until_status("it to be seen", |status| status.plugin(name).is_some());
        // A line that some expressions take long for.
        let lines = "ab".repeat(2000) + "\n";
        fs::write(self.ground.path().join("log"), lines).unwrap();
        self.neighbour_heals();
        for told in told {
            if wait::attempt(DEADLINE, || self.is_told(name, told).then_some(())).is_none() {
                let words = match told {
                    Nothing => String::new(),
                    Status(words) => format!("status: {words:?}"),
                    Log(words) => format!("log: {words:?}"),
                    InIncident(target, state, words) => format!("incident {target} {state}: {words:?}"),
                };
                let own: Vec<Incident> = self.incidents(name).into_iter().take(3).collect();
                let own: Vec<Incident> = own.iter().map(|incident| self.agent.incident(&incident.id)).collect();
                panic!("the operator was not told: {words}\n{}\n{own:#?}", self.agent.complaints());
            }
        }
        self.neighbour_heals();
        self.nothing_happened();
        self.words_are_harmless(name);
        self.take_out(name);
    }
}

fn raw(pid: Pid) -> i64 {
    pid.as_raw_nonzero().get().into()
}

/// What was decided about an incident, and what came of it.
fn decisions(incident: &Incident) -> Vec<String> {
    let actions = incident.attempts.iter().flat_map(|attempt| &attempt.actions);
    let actions = actions.map(|action| format!("{} {}", action.kind, action.target));
    let fault = format!("{} {} {}", incident.kind, incident.target, incident.severity);
    // It waits for a moment whether what `demo` needs is going down as well, unless that moment is over already.
    let path = incident.path();
    let end = path.iter().skip_while(|state| **state != "recovering").map(|state| (*state).to_owned());
    [fault].into_iter().chain(actions).chain(end).collect()
}

/// Each of them against an agent, the next one against the same; after a failure against a fresh one. At the end it is said
/// which have done harm.
fn attack(cases: &[Case], code: impl Fn(&str) -> Vec<u8>) {
    let mut arena = Arena::new();
    let mut culprits = Vec::new();
    let only = std::env::var("SALVE_HOSTILE").unwrap_or_default();
    for (name, told) in cases.iter().filter(|(name, _)| name.contains(&only)) {
        let started = std::time::Instant::now();
        let code = code(name);
        let survived = catch_unwind(AssertUnwindSafe(|| arena.attack(name, &code, told))).is_ok();
        eprintln!("{} {name}, {:.1} s", if survived { "beaten:" } else { "HARM BY" }, started.elapsed().as_secs_f64());
        if !survived {
            culprits.push(*name);
            let log = arena.agent.log();
            let skip = log.lines().count().saturating_sub(25);
            log.lines().skip(skip).for_each(|line| eprintln!("  {}", line.chars().take(400).collect::<String>()));
            arena = Arena::new();
        }
    }
    assert!(culprits.is_empty(), "harm was done by {culprits:?}");
}

fn built(name: &str) -> Vec<u8> {
    fs::read(plugin::hostile(name)).unwrap()
}

fn forged(name: &str) -> Vec<u8> {
    let forgery = FORGERIES.iter().find(|forgery| forgery.name == name).unwrap();
    (forgery.make)(&fs::read(plugin::hostile("looks-around")).unwrap()).unwrap()
}

#[test]
fn endless_loops_and_time_bombs() {
    attack(LOOPS, built);
}

#[test]
fn memory_and_lies_about_it() {
    attack(MEMORY, built);
}

#[test]
fn storms_and_floods() {
    attack(STORMS, built);
}

#[test]
fn words_schemas_and_subscriptions() {
    attack(WORDS, built);
}

#[test]
fn plans_and_grants() {
    attack(PLANS, built);
}

#[test]
fn files_that_no_compiler_makes() {
    attack(FORGED, forged);
}

/// Files that no compiler makes are left out: what is bad about them is over when they are read.
#[test]
fn all_of_them_at_once() {
    let arena = Arena::new();
    let all = [LOOPS, MEMORY, STORMS, WORDS, PLANS].concat();
    for (name, _) in &all {
        arena.drop_in(name, &built(name));
    }
    wait::until("all to be seen", 10 * DEADLINE, || {
        let status = arena.agent.status();
        all.iter().all(|(name, _)| status.plugin(name).is_some()).then_some(())
    });
    for _ in 0..3 {
        arena.neighbour_heals();
    }
    arena.nothing_happened();
}

/// Whoever may put files there may give them any name, and make what is no file.
#[test]
fn odd_names_and_what_is_no_file() {
    let arena = Arena::new();
    let plugins = arena.agent.home().plugins();
    let code = built("looks-around");
    fs::write(plugins.join("es\x1b[2Jcape\x07.wasm"), &code).unwrap();
    fs::write(plugins.join("nothing\u{9b}31m.wasm"), b"").unwrap();
    fs::create_dir(plugins.join("directory.wasm")).unwrap();
    symlink("nowhere", plugins.join("dangling.wasm")).unwrap();
    symlink("/dev/zero", plugins.join("endless.wasm")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, plugins.join("fifo.wasm"), 0o644.into()).unwrap();
    arena.agent.until_status("the files to be seen", |status| status.plugin("nothing\u{9b}31m").is_some());
    arena.neighbour_heals();
    arena.nothing_happened();
    arena.words_are_harmless("");
    let status = arena.agent.status();
    assert!(
        ["directory", "dangling", "endless", "fifo"].iter().all(|name| status.plugin(name).is_none()),
        "{status:#?}"
    );
}

#[test]
fn every_one_of_the_corpus_is_here_and_says_what_it_attacks() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("hostile/plugins");
    let mut written: Vec<String> = Vec::new();
    for entry in fs::read_dir(sources).unwrap() {
        let path = entry.unwrap().path();
        assert!(fs::read_to_string(&path).unwrap().starts_with("//! "), "{}: no first line", path.display());
        written.push(path.file_stem().unwrap().to_string_lossy().into_owned());
    }
    written.extend(FORGERIES.iter().map(|forgery| forgery.name.to_owned()));
    let mut tried: Vec<&str> =
        [LOOPS, MEMORY, STORMS, WORDS, PLANS, FORGED].concat().iter().map(|(name, _)| *name).collect();
    written.sort();
    tried.sort_unstable();
    assert_eq!(written, tried);
    assert!(FORGERIES.iter().all(|forgery| !forgery.about.is_empty()));
}
