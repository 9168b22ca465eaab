//! The contract against real compiled plugins: good ones, misbehaving ones, and files that are none.
//!
//! The plugins are built by `cargo xtask build-plugins` and `cargo xtask test`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test helpers")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use common::{at, bytes, load, sandbox};
use salve::clock::SystemClock;
use salve::config::{Access, Policy, Supervision, Upgrade};
use salve::incident::ledger::{Ledger, PluginState, Quota, StateOwner};
use salve::incident::{Attempt, Fault, Finding, Incident, Input, Question, Recovery, Severity, Topic, Verdict};
use salve::plugin::{
    CallError, Fleet, Instance, Interfaces, Limits, LoadError, Loaded, Parts, Quarantines, Sandbox, configured,
};
use salve::service::command::CommandSpec;
use salve::service::{ActiveState, ManagerKind, ServiceStatus, Services, StatusTable};
use salve::signal::{Batch, History, Router, Sample, Selector, SeriesName, Subscription, Value};
use serde_json::{Value as Json, json};

fn loaded(stem: &str) -> Loaded {
    common::loaded("guests", stem)
}

static MISBEHAVING: LazyLock<Loaded> = LazyLock::new(|| loaded("misbehaving"));

fn nothing() -> Interfaces {
    Interfaces::default()
}

fn instance(loaded: &Loaded, config: Json) -> Result<Instance, CallError> {
    instance_with(loaded, config, nothing())
}

fn instance_with(loaded: &Loaded, config: Json, interfaces: Interfaces) -> Result<Instance, CallError> {
    instance_within(&Limits::default(), loaded, config, interfaces)
}

fn instance_within(
    limits: &Limits,
    loaded: &Loaded,
    config: Json,
    interfaces: Interfaces,
) -> Result<Instance, CallError> {
    let access = Access::to_every_interface();
    let mut instance = Instance::within(limits, sandbox(), loaded, "test".into(), &access, interfaces).unwrap();
    instance.configure(&config, at(1))?;
    Ok(instance)
}

fn batch(seconds: u64) -> Batch {
    Batch { at: at(seconds), ..Batch::default() }
}

fn incident() -> Incident {
    let (kind, target, summary) = ("test.fault".into(), "demo".into(), "s".into());
    common::incident(Fault { kind, target, severity: Severity::Error, summary, evidence: vec![] }, at(1), vec![])
}

/// Makes the misbehaving plugin do `deed` in `call` and gives what comes of it.
fn provoke(call: &str, deed: &str) -> Result<(), CallError> {
    provoke_within(&Limits::default(), call, deed)
}

fn provoke_within(limits: &Limits, call: &str, deed: &str) -> Result<(), CallError> {
    let mut instance = instance_within(limits, &MISBEHAVING, json!({ "in": call, "deed": deed }), nothing())?;
    match call {
        "detect" => instance.detect(batch(2)).map(drop),
        "diagnose" => instance.diagnose(incident(), at(2)).map(drop),
        "recover" => instance.recover(incident(), at(2)).map(drop),
        "verify" => instance.verify(incident(), at(2)).map(drop),
        _ => Ok(()),
    }
}

#[test]
fn a_stock_plugin_says_what_it_is() {
    let loaded = common::loaded("plugins", "service-restart");
    let about = &loaded.description;
    assert_eq!(about.name, "service-restart");
    assert!(about.wants.contains(&"service.restart:*".to_owned()));
    let schema: Json = serde_json::from_str(&about.config_schema).unwrap();
    assert_eq!(schema["properties"]["services"]["type"], "array");
    // It looks at nothing that would need a grant.
    assert!(loaded.needs().is_empty(), "{:?}", loaded.imports);
}

#[test]
fn what_is_no_plugin_is_refused_in_words() {
    let good = bytes("plugins", "service-restart");
    let patched = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let mut bytes = good.clone();
        let mut at = 0;
        while let Some(found) = bytes.get(at..).unwrap().windows(from.len()).position(|part| part == from.as_bytes()) {
            at += found;
            bytes.get_mut(at..at + to.len()).unwrap().copy_from_slice(to.as_bytes());
        }
        bytes
    };
    type Expected = fn(&LoadError) -> bool;
    let cases: [(&str, Vec<u8>, Expected); 8] = [
        ("empty", vec![], |e| matches!(e, LoadError::NotWasm(_))),
        ("text", b"#!/bin/sh\nexit 1\n".to_vec(), |e| matches!(e, LoadError::NotWasm(_))),
        ("text that would be wasm", b"(component)".to_vec(), |e| matches!(e, LoadError::NotWasm(_))),
        ("core module", b"\0asm\x01\0\0\0".to_vec(), |e| matches!(e, LoadError::CoreModule)),
        ("cut short", good.get(..good.len() / 2).unwrap().to_vec(), |e| matches!(e, LoadError::Compile(_))),
        ("empty component", b"\0asm\x0d\0\x01\0".to_vec(), |e| matches!(e, LoadError::OtherWorld(_))),
        ("another world", patched("salve:plugin/remediator", "salve:plugin/something-"), |e| {
            // Either is a clear word; which one depends on whether the patched name is still a valid one.
            matches!(e, LoadError::OtherWorld(_) | LoadError::Compile(_))
        }),
        (
            "a newer line",
            patched("salve:plugin/remediator@0.1.0", "salve:plugin/remediator@0.2.0"),
            |e| matches!(e, LoadError::OtherLine(line) if line == "0.2"),
        ),
    ];
    for (name, bytes, expected) in cases {
        let error = load(&bytes).expect_err(name);
        assert!(expected(&error), "{name}: {error:?}");
    }
}

#[test]
fn a_call_that_loops_is_stopped_whichever_it_is() {
    for call in ["configure", "detect", "diagnose", "recover", "verify"] {
        let error = provoke(call, "loop").unwrap_err();
        assert!(matches!(&error, CallError::Trapped { call: at, .. } if *at == call), "{error:?}");
        assert!(error.to_string().contains("more than 100 ms of CPU and was stopped after 1"), "{error}");
        // Where it was busy, in its author's words.
        assert!(error.to_string().contains("; at misbehaving::Misbehaving::misbehave"), "{error}");
    }
}

#[test]
fn each_excess_ends_the_call_with_its_own_message() {
    let cases = [
        ("allocate", "more than 32MiB of memory"),
        ("panic", "the plugin says goodbye"),
        ("recurse", "recursion"),
        ("oversized", "more than 1MiB at once"),
        ("log-huge", "more than 1MiB at once"),
        ("sleep", "must not wait"),
    ];
    for (deed, expected) in cases {
        let error = provoke("detect", deed).unwrap_err();
        assert!(matches!(error, CallError::Trapped { .. }), "{deed}: {error:?}");
        assert!(error.to_string().contains(expected), "{deed}: {error}");
        assert!(error.to_string().len() < 1200, "{deed}: {error}");
    }
}

#[test]
fn a_panic_is_told_with_its_message_and_the_functions_it_went_through() {
    let error = provoke("verify", "panic").unwrap_err().to_string();
    let (what, place) = error.split_once("; at ").unwrap();
    assert!(what.starts_with("`verify` panicked at misbehaving/src/lib.rs:"), "{error}");
    assert!(what.ends_with(": the plugin says goodbye"), "{error}");
    // Nothing of the machinery beneath, and no hashes.
    assert_eq!(place, "misbehaving::Misbehaving::misbehave");
}

#[test]
fn each_limit_can_be_lowered() {
    let usual = Limits::default();
    let cases = [
        (Limits { call_cpu: Duration::from_millis(30), ..usual }, "detect", "loop", "more than 30 ms of CPU"),
        (Limits { memory: 4 << 20, ..usual }, "detect", "allocate", "more than 4MiB of memory"),
        (Limits { transfer: 64 << 10, ..usual }, "detect", "log-huge", "more than 64KiB at once"),
        (Limits { findings: 10, ..usual }, "detect", "many-findings", "256 findings; at most 10"),
        (Limits { answer: 1024, ..usual }, "detect", "many-findings", "bytes; at most 1024"),
        (Limits { actions: 0, ..usual }, "recover", "nothing", "1 actions; at most 0"),
    ];
    for (limits, call, deed, expected) in cases {
        let error = provoke_within(&limits, call, deed).unwrap_err();
        assert!(error.to_string().contains(expected), "{deed}: {error}");
        provoke_within(&usual, call, "nothing").unwrap();
    }
    let config = json!({ "in": "detect", "deed": "nothing" });
    let error =
        instance_within(&Limits { selectors: 1, ..usual }, &MISBEHAVING, config.clone(), nothing()).unwrap_err();
    assert!(error.to_string().contains("2 selectors; at most 1"), "{error}");
    let access = Access::to_every_interface();
    let few = Limits { table_elements: 1, ..usual };
    let error = Instance::within(&few, sandbox(), &MISBEHAVING, "test".into(), &access, nothing()).unwrap_err();
    assert!(error.to_string().contains("table"), "{error}");
    let mut plugin = instance_within(&Limits { causes: 0, ..usual }, &MISBEHAVING, config, nothing()).unwrap();
    assert!(plugin.diagnose(incident(), at(2)).unwrap().is_empty());
}

#[test]
fn the_stack_is_the_engines() {
    let limits = Limits { stack: 64 << 10, ..Limits::default() };
    let sandbox = Sandbox::within(common::compiler(), &limits).unwrap();
    let plugin = Loaded::new(&sandbox, &bytes("guests", "misbehaving")).unwrap();
    let access = Access::to_every_interface();
    let mut plugin = Instance::within(&limits, &sandbox, &plugin, "test".into(), &access, nothing()).unwrap();
    plugin.configure(&json!({ "in": "detect", "deed": "recurse" }), at(1)).unwrap();
    let error = plugin.detect(batch(2)).unwrap_err().to_string();
    assert!(error.contains("more than 64KiB of stack; at misbehaving::recurse"), "{error}");
}

#[test]
fn state_that_others_hold_up_is_an_error_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let state = Arc::new(ledger.plugin_state().unwrap());
    let interfaces = Interfaces { state: Some(state), ..nothing() };
    let limits = Limits { host_call: Duration::from_millis(20), ..Limits::default() };
    let config = json!({ "in": "detect", "deed": "state-bomb" });
    let mut plugin = instance_within(&limits, &MISBEHAVING, config, interfaces).unwrap();
    let writer = rusqlite::Connection::open(dir.path().join("ledger.sqlite")).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = plugin.detect(batch(2)).unwrap_err().to_string();
    assert!(error.contains("0 keys: database is locked"), "{error}");
}

#[test]
fn answers_that_cannot_be_accepted_leave_the_instance_alive() {
    let cases = [("detect", "empty-names", "an empty kind"), ("recover", "huge-plan", "1000 actions")];
    for (call, deed, expected) in cases {
        let error = provoke(call, deed).unwrap_err();
        assert!(matches!(error, CallError::Malformed { .. }), "{deed}: {error:?}");
        assert!(error.to_string().contains(expected), "{deed}: {error}");
    }
    let mut instance = instance(&MISBEHAVING, json!({ "in": "recover", "deed": "huge-plan" })).unwrap();
    assert!(instance.recover(incident(), at(2)).is_err());
    assert!(instance.detect(batch(3)).is_ok());
}

#[test]
fn more_findings_than_an_answer_holds_are_split_by_the_sdk() {
    let config = json!({ "in": "detect", "deed": "many-findings" });
    let mut plugin = instance(&MISBEHAVING, config).unwrap();
    assert_eq!(plugin.detect(batch(2)).unwrap().len(), 256);
}

#[test]
fn what_is_only_too_much_is_cut() {
    let config = json!({ "in": "recover", "deed": "endless-settle" });
    let mut plugin = instance(&MISBEHAVING, config).unwrap();
    let Recovery::Act(plan) = plugin.recover(incident(), at(2)).unwrap() else { panic!("a plan") };
    assert_eq!(plan.settle, Duration::from_secs(24 * 3600));
    // Not a number is no confidence.
    assert_eq!(plugin.diagnose(incident(), at(2)).unwrap()[0].confidence, 0.0);
    // Logging in a loop is slow for nobody but the one who does it.
    provoke("detect", "log-flood").unwrap();
}

#[test]
fn a_neighbour_of_a_looping_plugin_keeps_its_pace() {
    let mut neighbour = instance(&MISBEHAVING, json!({})).unwrap();
    let looping = std::thread::spawn(|| provoke("detect", "loop"));
    let started = Instant::now();
    let mut calls = 0_u64;
    while !looping.is_finished() {
        assert_eq!(neighbour.detect(batch(2 + calls)).unwrap().len(), 1);
        calls += 1;
    }
    assert!(looping.join().unwrap().is_err());
    assert!(calls > 100, "{calls} calls in {:?}", started.elapsed());
}

#[test]
fn a_call_on_a_loaded_host_is_not_taken_for_one_that_loops() {
    // Twice as many spinning threads as cores, for as long as the calls take.
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let cores = std::thread::available_parallelism().unwrap().get();
    let spinners: Vec<_> = (0..cores * 2)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || while !stop.load(std::sync::atomic::Ordering::Relaxed) {})
        })
        .collect();
    let mut plugin = instance(&MISBEHAVING, json!({})).unwrap();
    for n in 0..2000 {
        plugin.detect(batch(2 + n)).unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    spinners.into_iter().for_each(|spinner| spinner.join().unwrap());
}

fn evidence<'a>(findings: &'a [Finding], key: &str) -> &'a Value {
    let Some(Finding::Present(fault)) = findings.first() else { panic!("{findings:?}") };
    let found = fault.evidence.iter().find(|attribute| attribute.key == key);
    &found.unwrap_or_else(|| panic!("no {key} in {fault:?}")).value
}

#[test]
fn an_interface_that_is_not_granted_is_not_linked() {
    let reader = loaded("reader");
    assert_eq!(reader.needs().into_iter().collect::<Vec<_>>(), ["services"]);
    let error = Instance::new(sandbox(), &reader, "test".into(), &Access::default(), nothing()).unwrap_err();
    assert!(error.to_string().contains(r#"read = ["services"]"#), "{error}");
}

#[test]
fn a_plugin_sees_what_it_is_granted_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let state = Arc::new(Ledger::open(dir.path()).unwrap().plugin_state().unwrap());
    let services = Arc::new(StatusTable::default());
    services.put(ServiceStatus {
        name: "demo".into(),
        manager: ManagerKind::Command,
        active_state: ActiveState::Failed,
        sub_state: "failed".into(),
        result: "signal".into(),
        main_pid: None,
        exit_code: None,
        exit_signal: Some(9),
        restarts: 0,
        stop_requested: Some(false),
    });
    let interfaces = Interfaces { state: Some(state), services, ..nothing() };
    let reader = loaded("reader");
    let look = |service: &str| {
        let mut instance = instance_with(&reader, json!({ "service": service }), interfaces.clone()).unwrap();
        instance.detect(batch(1_700_000_000)).unwrap()
    };
    let findings = look("demo");
    assert_eq!(evidence(&findings, "state"), &Value::Text("failed".into()));
    assert_eq!(evidence(&findings, "clock_is_batch"), &Value::Boolean(true));
    for nothing in ["files", "environment", "arguments"] {
        assert_eq!(evidence(&findings, nothing), &Value::Integer(0), "{nothing}");
    }
    // Its state outlives the instance, and its random numbers are the same in each: a replay decides the same.
    let again = look("demo");
    assert_eq!(evidence(&findings, "calls"), &Value::Integer(1));
    assert_eq!(evidence(&again, "calls"), &Value::Integer(2));
    assert_eq!(evidence(&findings, "random"), evidence(&again, "random"));
    let Value::Text(error) = evidence(&look("other"), "error").clone() else { panic!("text") };
    assert!(error.contains("`other`"), "{error}");
}

#[tokio::test]
async fn a_plugin_sees_what_a_service_needs() {
    let directory = tempfile::tempdir().unwrap();
    let spec = |requires: &[&str]| CommandSpec {
        start: vec!["sleep".to_owned(), "60".to_owned()],
        stop: None,
        reload: None,
        status: None,
        pidfile: None,
        autostart: false,
        start_timeout: Duration::from_secs(20),
        stop_timeout: Duration::from_secs(20),
        directory: None,
        environment: BTreeMap::new(),
        output: None,
        requires: requires.iter().map(|name| (*name).to_owned()).collect(),
    };
    let specs = [("web", spec(&["db", "net.target"])), ("db", spec(&["disk.mount"])), ("alone", spec(&[]))];
    let specs = specs.map(|(name, spec)| (name.to_owned(), spec)).into();
    let needs = Some(Arc::new(Services::new(directory.path(), specs, Arc::new(|_| ()))));
    let reader = loaded("reader");
    let look = |service: &str, interfaces: Interfaces| {
        let mut instance = instance_with(&reader, json!({ "service": service }), interfaces).unwrap();
        evidence(&instance.detect(batch(2)).unwrap(), "dependencies").to_string()
    };
    let interfaces = Interfaces { needs, ..nothing() };
    // What it needs, and what that needs; of a unit that nobody watches nothing is known.
    let cases = [("web", "db disk.mount net.target"), ("db", "disk.mount"), ("alone", ""), ("nobody.service", "")];
    for (service, expected) in cases {
        assert_eq!(look(service, interfaces.clone()), expected, "{service}");
    }
    // Where a plugin is only inspected there are no services.
    assert_eq!(look("web", nothing()), "");
}

/// What a fleet works with that tells this engine.
fn parts(interfaces: Interfaces, engine: tokio::sync::mpsc::Sender<Input>) -> Parts {
    Parts {
        sandbox: sandbox().clone(),
        interfaces,
        router: Arc::default(),
        clock: Arc::new(SystemClock::new()),
        engine,
        limits: Limits::default(),
        supervision: Supervision::default(),
        quarantines: Arc::new(Quarantines::new([])),
        upgrade: Upgrade::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_asked_again_and_again_is_still_called_for_what_is_due() {
    let directory = tempfile::tempdir().unwrap();
    let (plugins, policies) = (directory.path().join("plugins"), directory.path().join("policies"));
    for folder in [&plugins, &policies] {
        std::fs::create_dir(folder).unwrap();
    }
    std::fs::copy(common::file("guests", "reader"), plugins.join("reader.wasm")).unwrap();
    // Longer than an undecided `verify` waits to be asked again.
    let policy =
        "plugin = \"reader\"\n[config]\nservice = \"demo\"\nevery = \"1200ms\"\n[grant]\nread = [\"services\"]\n";
    std::fs::write(policies.join("test.toml"), policy).unwrap();
    let (engine, mut inputs) = tokio::sync::mpsc::channel(64);
    let fleet = Fleet::new(parts(nothing(), engine), plugins, policies);
    let ask = fleet.ask();
    tokio::spawn(fleet.run());
    let mut next = async || {
        tokio::time::timeout(Duration::from_secs(60), inputs.recv()).await.expect("it is never called").unwrap()
    };
    assert!(matches!(next().await, Input::Arrived { .. }));
    ask("test", Question { topic: Topic::Verify, incident: incident(), turn: 1 });
    for _ in 0..2 {
        let input = next().await;
        let Input::Found { findings, .. } = &input else { panic!("it never decides: {input:?}") };
        assert_eq!(findings.len(), 1);
    }
}

/// What version 0.9 of `migrant` left for the policy `test`.
fn left_behind(tally: &str) -> (tempfile::TempDir, Arc<PluginState>) {
    let directory = tempfile::tempdir().unwrap();
    let state = Arc::new(Ledger::open(directory.path()).unwrap().plugin_state().unwrap());
    leave(&state, "migrant", tally);
    (directory, state)
}

fn leave(state: &PluginState, plugin: &str, tally: &str) {
    let quota = Quota::default();
    state.set("test", "tally", json!(tally).to_string().as_bytes(), &quota).unwrap();
    let owner = StateOwner { plugin: plugin.to_owned(), version: "0.9.0".to_owned() };
    state.hand_over("test", &owner, None, &quota).unwrap();
}

/// Every key of the policy `test` with its value, and the version that used it last.
fn kept(state: &PluginState) -> (Vec<String>, String) {
    let quota = Quota::default();
    let pair = |key: &String| {
        let value = state.get("test", key, &quota).unwrap().unwrap();
        format!("{key} {}", String::from_utf8(value).unwrap())
    };
    let keys = state.keys("test", &quota).unwrap();
    (keys.iter().map(pair).collect(), state.owner("test", &quota).unwrap().unwrap().version)
}

fn kept_is(state: &PluginState, pairs: &[&str], version: &str) {
    assert_eq!(kept(state), (pairs.iter().map(|pair| (*pair).to_owned()).collect(), version.to_owned()));
}

#[test]
fn a_new_version_converts_what_an_earlier_one_left_as_a_whole_or_not_at_all() {
    let migrant = loaded("migrant");
    let run = |state: &Arc<PluginState>, text: &str| {
        let policy = Policy::parse(Path::new("test.toml"), &format!("plugin = \"migrant\"\n{text}")).unwrap();
        let interfaces = Interfaces { state: Some(state.clone()), ..nothing() };
        configured(sandbox(), &policy, &migrant, interfaces, &SystemClock::new()).map(drop)
    };
    let (_directory, state) = left_behind("|||");
    run(&state, "").unwrap();
    kept_is(&state, &["count 3"], "1.0.0");
    // Once is enough.
    state.set("test", "tally", b"\"x\"", &Quota::default()).unwrap();
    run(&state, "").unwrap();
    kept_is(&state, &["count 3", "tally \"x\""], "1.0.0");

    let (_directory, state) = left_behind("||x");
    let error = run(&state, "").unwrap_err();
    assert_eq!(error, "`migrate` refused the state that version 0.9.0 left: 'x' is no mark of version 0.9.0");
    kept_is(&state, &["tally \"||x\""], "0.9.0");

    // It converts, and cannot live with that.
    let (_directory, state) = left_behind("|||");
    let error = run(&state, "[config]\nleast = 4").unwrap_err();
    assert!(error.contains("3 is less than 4"), "{error}");
    kept_is(&state, &["tally \"|||\""], "0.9.0");

    // What another plugin left is not its to convert.
    let (_directory, state) = left_behind("|||");
    leave(&state, "other", "||");
    // Nor is it its own before it runs.
    run(&state, "[config]\nleast = 4").unwrap_err();
    kept_is(&state, &["tally \"||\""], "0.9.0");
    run(&state, "").unwrap();
    kept_is(&state, &["tally \"||\""], "1.0.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_stopped_for_another_to_convert_its_state_is_back_when_that_fails() {
    let directory = tempfile::tempdir().unwrap();
    let (plugins, policies) = (directory.path().join("plugins"), directory.path().join("policies"));
    for folder in [&plugins, &policies] {
        std::fs::create_dir(folder).unwrap();
    }
    std::fs::copy(common::file("guests", "migrant"), plugins.join("migrant.wasm")).unwrap();
    std::fs::write(policies.join("test.toml"), "plugin = \"migrant\"\n").unwrap();
    let (_state_directory, state) = left_behind("||");
    let (engine, mut inputs) = tokio::sync::mpsc::channel(64);
    let interfaces = Interfaces { state: Some(state.clone()), ..nothing() };
    let fleet = Fleet::new(parts(interfaces, engine), plugins, policies.clone());
    let view = fleet.view();
    tokio::spawn(fleet.run());
    let mut arrived = async || loop {
        let input =
            tokio::time::timeout(Duration::from_secs(60), inputs.recv()).await.expect("nobody arrives").unwrap();
        if let Input::Arrived { basis, .. } = input {
            break basis;
        }
    };
    let first = arrived().await;
    kept_is(&state, &["count 2"], "1.0.0");
    leave(&state, "migrant", "|||");
    let part = policies.join("part");
    std::fs::write(&part, "plugin = \"migrant\"\n[config]\nleast = 4\n").unwrap();
    std::fs::rename(part, policies.join("test.toml")).unwrap();
    assert_eq!(arrived().await, first, "the same as before");
    kept_is(&state, &["count 3"], "1.0.0");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let policy = view().policies.into_iter().next().unwrap();
        let problem = policy.problem.unwrap_or_default();
        if problem.contains("3 is less than 4") && policy.instance.is_some_and(|instance| instance.is_running()) {
            break;
        }
        assert!(Instant::now() < deadline, "{problem}");
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_plugin_sees_what_the_metrics_were() {
    let historian = loaded("historian");
    assert_eq!(historian.needs().into_iter().collect::<Vec<_>>(), ["history"]);
    let error = Instance::new(sandbox(), &historian, "test".into(), &Access::default(), nothing()).unwrap_err();
    assert!(error.to_string().contains(r#"read = ["history"]"#), "{error}");

    let history = Arc::new(History::default());
    let router = Router::with_history(history.clone());
    let metrics = vec![Selector::new("test.use", vec![])];
    router.subscribe("somebody".into(), Subscription { metrics, ..Subscription::default() }, Arc::default());
    let sample = |kind: &str, value: u64| Sample {
        series: SeriesName { metric: "test.use".into(), attributes: vec![("kind".into(), kind.into())] },
        value: value as f64,
    };
    let start = 1_700_000_000;
    for second in 0..3000 {
        // Six series are told of by fewer samples than there are.
        let samples: Vec<_> = ["a", "b", "c", "d", "e", "f"].map(|kind| sample(kind, second)).to_vec();
        router.publish_samples("test", at(start + second), &samples);
    }
    let interfaces = Interfaces { history, ..nothing() };
    let look = |metric: &str, window: &str, now: u64| {
        let config = json!({ "metric": metric, "window": window });
        let mut instance = instance_with(&historian, config, interfaces.clone()).unwrap();
        instance.detect(batch(now)).unwrap()
    };
    // What comes after the call does not exist yet.
    let near = look("test.*", "10s", start + 100);
    assert_eq!(near.len(), 6);
    assert_eq!(evidence(&near, "samples"), &Value::Integer(11));
    assert_eq!(evidence(&near, "last"), &Value::Number(100.0));
    let all = look("test.use", "2h", start + 3000);
    assert_eq!(evidence(&all, "samples"), &Value::Integer(16_384 / 6));
    assert_eq!(evidence(&all, "first"), &Value::Integer(start as i64));
    assert_eq!(evidence(&all, "last"), &Value::Number(2999.0));
    assert_eq!(evidence(&all, "rising"), &Value::Boolean(true));
    assert!(look("test", "2h", start + 3000).is_empty());
}

#[test]
fn state_beyond_its_limits_is_refused_with_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let state = Arc::new(Ledger::open(dir.path()).unwrap().plugin_state().unwrap());
    // What the host does for a call counts as the call's CPU time: only the last few keys are the plugin's.
    for n in 0..250 {
        state.set("test", &format!("earlier {n}"), b"", &Quota::default()).unwrap();
    }
    let interfaces = Interfaces { state: Some(state), ..nothing() };
    let usual = Limits::default();
    let bomb = |limits: Limits| {
        let config = json!({ "in": "detect", "deed": "state-bomb" });
        let mut plugin = instance_within(&limits, &MISBEHAVING, config, interfaces.clone()).unwrap();
        plugin.detect(batch(2)).unwrap_err().to_string()
    };
    let error = bomb(Limits { state_bytes: 7000, ..usual });
    assert!(error.contains("bytes in all; at most 7000"), "{error}");
    let error = bomb(Limits { state_value: 999, ..usual });
    assert!(error.contains("0 keys: a value of 1002 bytes is longer than 999"), "{error}");
    let error = bomb(usual);
    assert!(error.contains("6 keys: there are 256 keys already"), "{error}");
}

#[test]
fn the_ladder_of_the_stock_plugin_works_in_the_sandbox() {
    let loaded = common::loaded("plugins", "service-restart");
    let mut plugin = instance(&loaded, json!({ "services": ["demo"] })).unwrap();
    assert_eq!(plugin.verify(incident(), at(2)).unwrap(), Verdict::Undecided);
    let Recovery::Act(plan) = plugin.recover(incident(), at(2)).unwrap() else { panic!("a plan") };
    assert_eq!(plan.actions[0].to_string(), "service.restart demo");

    // What was tried crosses into the sandbox, also where the agent ended before there was an outcome; and its round.
    let verdict = Some(Verdict::Unhealthy("down".into()));
    let (started, finished, actions) = (at(2), Some(at(3)), plan.actions);
    let (digest, targets, outcomes) = (String::new(), vec![], vec![]);
    let attempt = Attempt { number: 1, round: 0, started, finished, digest, targets, actions, outcomes, verdict };
    let mut tried = Incident { attempts: vec![attempt], ..incident() };
    let Recovery::Act(plan) = plugin.recover(tried.clone(), at(4)).unwrap() else { panic!("a plan") };
    assert_eq!(plan.actions[0].to_string(), "service.reset-failed demo");
    tried.round = 1;
    let Recovery::Act(plan) = plugin.recover(tried, at(4)).unwrap() else { panic!("a plan") };
    assert_eq!(plan.actions[0].to_string(), "service.restart demo");

    let refused = instance(&loaded, json!({ "services": 7 }));
    assert!(matches!(refused, Err(CallError::Refused(_))));
}
