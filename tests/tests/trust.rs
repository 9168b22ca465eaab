//! Whose code runs: what `[agent.trust]` lets in, and what file permissions do, with the real agent. Whatever is refused, the
//! last good version keeps running, and the operator is told why and what to do.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use salve_tests::agent::{self, Agent, Builder, Status};
use salve_tests::lab::skip_without;
use salve_tests::{plugin, wait};
use serde_json::Value;

/// How long to look out for what must not happen.
const WHILE: Duration = Duration::from_millis(500);
const MINISIGN: &str = "/usr/bin/minisign";

/// `salve` with no agent anywhere near.
fn salve(arguments: &[&str]) -> Output {
    run(Command::new(agent::binary().unwrap()).args(arguments))
}

fn run(command: &mut Command) -> Output {
    command.env("SALVE_SOCKET", "/nonexistent/salve.sock").stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// A pair of keys that nobody else has, in a directory of its own.
struct Keys {
    directory: tempfile::TempDir,
}

impl Keys {
    fn new() -> Self {
        let keys = Self { directory: tempfile::tempdir().unwrap() };
        succeeds(&salve(&["plugin", "keygen", "-W", keys.directory.path().join("team").to_str().unwrap()]));
        keys
    }

    fn file(&self, ending: &str) -> String {
        self.directory.path().join("team").with_extension(ending).to_str().unwrap().to_owned()
    }

    /// The public key, as `salve.toml` takes it.
    fn public(&self) -> String {
        fs::read_to_string(self.file("pub")).unwrap().lines().nth(1).unwrap().to_owned()
    }

    /// Its id, from what minisign would write above it.
    fn id(&self) -> String {
        fs::read_to_string(self.file("pub")).unwrap().lines().next().unwrap().rsplit(' ').next().unwrap().to_owned()
    }

    /// Signs `content` and hands back what belongs beside it.
    fn sign(&self, content: &[u8]) -> Vec<u8> {
        let file = self.directory.path().join("signed.wasm");
        fs::write(&file, content).unwrap();
        succeeds(&salve(&["plugin", "sign", file.to_str().unwrap(), "--key", &self.file("key")]));
        fs::read(self.directory.path().join("signed.wasm.minisig")).unwrap()
    }
}

/// An agent that looks after the service `demo`, has a policy for it, and these lines in `[agent.trust]`.
fn trusting(lines: &str) -> Builder {
    Agent::builder()
        .service("demo", "exec sleep infinity", "autostart = true")
        .tables(&format!("[agent.trust]\n{lines}"))
        .policy("demo.toml", &plugin::policy("auto", "demo"))
}

fn wanting_signatures(keys: &[&Keys]) -> Builder {
    let keys: Vec<String> = keys.iter().map(|keys| keys.public()).collect();
    trusting(&format!("require = \"signature\"\nkeys = {keys:?}"))
}

fn plugin_file(agent: &Agent) -> PathBuf {
    agent.home().plugins().join("service-restart.wasm")
}

fn signature_file(agent: &Agent) -> PathBuf {
    agent.home().plugins().join("service-restart.wasm.minisig")
}

fn code() -> &'static [u8] {
    static CODE: OnceLock<Vec<u8>> = OnceLock::new();
    CODE.get_or_init(|| fs::read(plugin::service_restart()).unwrap())
}

fn another(note: &str) -> Vec<u8> {
    plugin::another_build(&plugin::service_restart(), note)
}

/// Puts a file in place at one stroke, as `mv` and good installers do.
fn put(file: &Path, content: &[u8]) {
    let beside = file.with_extension("part");
    fs::write(&beside, content).unwrap();
    fs::rename(beside, file).unwrap();
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Waits until `salve status` complains in these words, as `salve check` does, too.
#[track_caller]
fn until_complaint(agent: &Agent, words: &[&str]) -> String {
    let complaints = agent.until_complaint(words);
    let checked = salve(&["check", "--config", agent.home().config().to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(1), "{checked:?}");
    let text = self::words(&checked);
    let is_said = words.iter().all(|word| text.contains(word));
    assert!(is_said, "`salve check` says something else:\n{text}\nthan `salve status`:\n{complaints}");
    complaints
}

fn digest(status: &Status) -> String {
    status.plugin("service-restart").unwrap().digest.clone().unwrap()
}

/// The agent is as it should be, and heals by code of another digest than `old`.
#[track_caller]
fn until_replaced(agent: &Agent, old: &Status) -> Status {
    let old = digest(old);
    let status = agent.until_status("another digest", |status| status.is_fine && digest(status) != old);
    agent.until_watching("demo");
    agent.heals("demo");
    status
}

#[test]
fn an_unsigned_plugin_does_not_run_until_its_signature_arrives() {
    let keys = Keys::new();
    let agent = wanting_signatures(&[&keys]).plugin(plugin::service_restart()).start().unwrap();
    let file = plugin_file(&agent);
    let id = keys.id();
    let remedy = format!("`salve plugin sign {} --key SECRET`", file.display());
    until_complaint(&agent, &["plugin", "it is not signed", "service-restart.wasm.minisig", &id, &remedy]);
    assert!(agent.status().instance("demo").is_none());
    let listed = agent.cli(&["plugin", "list"]);
    assert!(listed.status.code() == Some(1) && words(&listed).contains("it is not signed"), "{listed:?}");
    assert!(!agent.log().contains("loaded service-restart"), "it was not even asked what it is");

    // As the complaint says.
    succeeds(&salve(&["plugin", "sign", file.to_str().unwrap(), "--key", &keys.file("key")]));
    agent.until_fine();
    agent.until_watching("demo");
    agent.heals("demo");
    let listed = agent.json(&["plugin", "list"]);
    assert_eq!(listed[0]["signed_by"], id.as_str());
    succeeds(&salve(&["check", "--config", agent.home().config().to_str().unwrap()]));
    // The log and the story of what was healed name the code by its digest.
    let (digest, log) = (digest(&agent.status()), agent.log());
    let named = |what: &str| log.lines().any(|line| line.contains(what) && line.contains(&digest));
    assert!(named("refused") && named("loaded service-restart") && named("running"), "{log}");
    let incident = agent.json(&["incident", "list"])[0].clone();
    assert_eq!(incident["plugin_digest"], digest.as_str());
    let story = succeeds(&agent.cli(&["incident", "show", incident["id"].as_str().unwrap()]));
    assert!(story.contains(&format!("service-restart@{}", &digest[..12])), "{story}");
    let report = succeeds(&agent.cli(&["report", "--by", "plugin-digest"]));
    assert!(report.contains(&digest[..12]), "{report}");
}

#[test]
fn what_is_changed_after_it_was_signed_is_refused_and_the_good_version_keeps_running() {
    let keys = Keys::new();
    let agent = wanting_signatures(&[&keys]).prepare().unwrap();
    let (file, signature) = (plugin_file(&agent), signature_file(&agent));
    let good = keys.sign(code());
    fs::write(&file, code()).unwrap();
    fs::write(&signature, &good).unwrap();
    let mut agent = agent;
    agent.start().unwrap();
    agent.until_watching("demo");
    agent.heals("demo");
    let before = agent.until_fine();

    // One byte of the code, of the signature, of what the signer said; somebody else's signature; none.
    let mut tampered = code().to_vec();
    *tampered.last_mut().unwrap() ^= 1;
    put(&file, &tampered);
    let id = keys.id();
    let complaint = until_complaint(&agent, &["service-restart.wasm.minisig", &id, "is not of this file", "sign "]);
    assert!(agent.log().contains("the version before it keeps running"), "{complaint}");
    agent.still_heals("demo", &before);
    put(&file, code());
    agent.until_fine();
    let text = String::from_utf8(good.clone()).unwrap();
    let stranger = Keys::new();
    for (bad, word) in [
        (text.replace("timestamp:", "timestamp:9"), "is not of this file"),
        ("nothing\n".to_owned(), "is no signature"),
        (String::from_utf8(stranger.sign(code())).unwrap(), &*format!("is by key {}", stranger.id())),
    ] {
        put(&signature, bad.as_bytes());
        until_complaint(&agent, &[word, "service-restart.wasm.minisig"]);
        agent.still_heals("demo", &before);
        put(&signature, &good);
        agent.until_fine();
    }
    fs::remove_file(&signature).unwrap();
    until_complaint(&agent, &["it is not signed"]);
    agent.still_heals("demo", &before);
    // An agent that has nothing better does not run what it is not sure of.
    agent.restart().unwrap();
    until_complaint(&agent, &["it is not signed"]);
    assert!(agent.status().instance("demo").is_none());
    put(&signature, &good);
    agent.until_fine();
    agent.until_watching("demo");
    agent.heals("demo");

    // A new version: first its signature, then the code.
    let before = agent.status();
    let new = another("signed, too");
    put(&signature, &keys.sign(&new));
    until_complaint(&agent, &["is not of this file"]);
    agent.still_heals("demo", &before);
    put(&file, &new);
    until_replaced(&agent, &before);
}

#[test]
fn keys_are_rotated_without_a_moment_in_which_nothing_runs() {
    let (old, new) = (Keys::new(), Keys::new());
    let agent = wanting_signatures(&[&old, &new]).prepare().unwrap();
    fs::write(plugin_file(&agent), code()).unwrap();
    fs::write(signature_file(&agent), old.sign(code())).unwrap();
    let mut agent = agent;
    agent.start().unwrap();
    agent.until_watching("demo");
    assert_eq!(agent.json(&["plugin", "list"])[0]["signed_by"], old.id().as_str());
    put(&signature_file(&agent), &new.sign(code()));
    agent.until("the new key", || {
        let listed: Value = serde_json::from_slice(&agent.cli(&["plugin", "list", "--json"]).stdout).ok()?;
        (listed[0]["signed_by"] == new.id().as_str()).then_some(())
    });
    agent.heals("demo");

    // The old key goes, and what only it has signed is refused; a key's file will do as well as the key.
    let config = fs::read_to_string(agent.home().config()).unwrap();
    let lines = |keys: &[String]| format!("keys = {keys:?}");
    let both = lines(&[old.public(), new.public()]);
    assert!(config.contains(&both), "{config}");
    fs::write(agent.home().config(), config.replace(&both, &lines(&[new.file("pub")]))).unwrap();
    agent.restart().unwrap();
    agent.until_fine();
    agent.until_watching("demo");
    let before = agent.until_fine();
    put(&signature_file(&agent), &old.sign(code()));
    until_complaint(&agent, &[&format!("is by key {}", old.id()), &format!("trusts key {}", new.id()), "`keys`"]);
    agent.still_heals("demo", &before);

    // A key that others may write is as good as none: that agent does not start.
    mode(Path::new(&new.file("pub")), 0o666);
    let refusal = agent.refusal(&agent.home().config());
    assert!(refusal.contains("salve.toml:") && refusal.contains("chmod go-w"), "{refusal}");
}

#[test]
fn where_digests_are_wanted_only_what_a_policy_pins_is_compiled() {
    let agent = trusting("require = \"digest\"").plugin(plugin::service_restart()).start().unwrap();
    let file = agent.home().policies().join("demo.toml");
    let inspected = salve(&["plugin", "inspect", plugin_file(&agent).to_str().unwrap(), "--no-run", "--json"]);
    let inspected: Value = serde_json::from_str(&succeeds(&inspected)).unwrap();
    let pin = inspected["sha256"].as_str().unwrap();
    let line = format!("sha256 = \"{pin}\"");
    until_complaint(&agent, &["no policy pins it", "require = \"digest\"", &line]);
    assert!(agent.status().instance("demo").is_none() && !agent.log().contains("loaded service-restart"));

    put(&file, format!("{line}\n{}", plugin::policy("auto", "demo")).as_bytes());
    agent.until_fine();
    agent.until_watching("demo");
    agent.heals("demo");
    let before = agent.status();
    // A second policy has to pin it, too.
    let second = agent.home().policies().join("second.toml");
    put(&second, b"plugin = \"service-restart\"\n");
    until_complaint(&agent, &["second", "does not pin its plugin", &line]);
    fs::remove_file(second).unwrap();
    agent.until_fine();
    // Another build stays out until it is pinned.
    let new = another("pinned later");
    put(&plugin_file(&agent), &new);
    let complaint = until_complaint(&agent, &["plugin", "no policy pins it"]);
    agent.still_heals("demo", &before);
    let new_line = complaint.split("write ").nth(1).unwrap().split(" into").next().unwrap();
    assert_ne!(new_line, line);
    put(&file, format!("{new_line}\n{}", plugin::policy("auto", "demo")).as_bytes());
    until_replaced(&agent, &before);
}

#[test]
fn what_others_may_write_is_neither_loaded_nor_obeyed() {
    let agent = trusting("").plugin(plugin::service_restart()).start().unwrap();
    agent.until_watching("demo");
    let before = agent.until_fine();
    let (plugins, policies) = (agent.home().plugins(), agent.home().policies());
    for (directory, bits) in [(&plugins, 0o777), (&plugins, 0o1777), (&policies, 0o757), (&policies, 0o703)] {
        mode(directory, bits);
        let (shown, bits) = (directory.display().to_string(), format!("(mode {bits:04o})"));
        until_complaint(&agent, &["nothing is read from ", &shown, &bits, "`chmod ", "what runs keeps running"]);
        // Neither what is new there, nor what is gone.
        fs::write(plugins.join("stranger.wasm"), code()).unwrap();
        fs::write(policies.join("stranger.toml"), "plugin = \"service-restart\"\n").unwrap();
        let (file, other) = if *directory == plugins {
            (policies.join("stranger.toml"), plugins.join("stranger.wasm"))
        } else {
            (plugins.join("stranger.wasm"), policies.join("stranger.toml"))
        };
        agent.still_heals("demo", &before);
        wait::never("something of the stranger's", WHILE, || {
            let status = agent.status();
            let run = if *directory == plugins {
                status.plugin("stranger").is_some()
            } else {
                status.policy("stranger").is_some_and(|it| it.written)
            };
            run.then_some(status)
        });
        for file in [file, other] {
            fs::remove_file(file).unwrap();
        }
        mode(directory, 0o755);
        agent.until_fine();
        agent.still_heals("demo", &before);
    }
    for file in [plugin_file(&agent), policies.join("demo.toml")] {
        mode(&file, 0o666);
        until_complaint(&agent, &[&file.display().to_string(), "everybody (mode 0666)", "`chmod go-w "]);
        agent.still_heals("demo", &before);
        mode(&file, 0o644);
        agent.until_fine();
    }
    // A link is judged by what it leads to.
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("code");
    fs::write(&target, another("elsewhere")).unwrap();
    mode(elsewhere.path(), 0o777);
    symlink(&target, plugins.join("link")).unwrap();
    fs::rename(plugins.join("link"), plugin_file(&agent)).unwrap();
    until_complaint(&agent, &[&elsewhere.path().display().to_string(), "(mode 0777)"]);
    agent.still_heals("demo", &before);
    mode(elsewhere.path(), 0o755);
    fs::rename(&target, elsewhere.path().join("aside")).unwrap();
    fs::rename(elsewhere.path().join("aside"), &target).unwrap();
    // Nothing tells of a directory far away: this is seen by the next look, which any change brings about.
    put(&plugins.join("note"), b"");
    until_replaced(&agent, &before);
}

#[test]
fn an_agent_does_not_start_anything_from_a_directory_of_another_user() {
    let agent = trusting("").plugin(plugin::service_restart()).prepare().unwrap();
    // Only root can give things away; what an ordinary user can do is in the tests above.
    if std::os::unix::fs::chown(agent.home().plugins(), Some(4242), None).is_err() {
        return;
    }
    let mut agent = agent;
    agent.start().unwrap();
    until_complaint(&agent, &["plugins belongs to 4242", "`chown root "]);
    assert!(agent.status().plugins.is_empty());
    std::os::unix::fs::chown(agent.home().plugins(), Some(0), None).unwrap();
    agent.until_fine();
    agent.until_watching("demo");
    agent.heals("demo");
}

#[test]
fn a_plugin_that_may_look_at_or_wants_what_is_denied_does_not_run() {
    let historian = plugin::guest("historian");
    let agent = trusting("deny-imports = [\"history\"]\ndeny-wants = [\"host.reboot:*\", \"process.signal:*\"]")
        .plugin(plugin::service_restart())
        .plugin(&historian)
        .start()
        .unwrap();
    let denied = "imports `salve:plugin/history@0.1.0`, which [agent.trust] deny-imports = [\"history\"] refuses";
    until_complaint(&agent, &["historian", denied]);
    agent.until_watching("demo");
    agent.heals("demo");
    fs::remove_file(agent.home().plugins().join("historian.wasm")).unwrap();
    agent.until_fine();

    // It is loaded nowhere, under no name.
    put(&agent.home().plugins().join("greedy.wasm"), &fs::read(plugin::stock("runaway-process")).unwrap());
    until_complaint(&agent, &["greedy", "it wants `process.signal:*`", "deny-wants = [\"process.signal:*\"] refuses"]);
    assert!(agent.status().instance("greedy").is_none());
    let before = agent.status();
    put(&plugin_file(&agent), &fs::read(plugin::stock("pressure-relief")).unwrap());
    until_complaint(&agent, &["service-restart", "it wants `process.signal:*`"]);
    agent.still_heals("demo", &before);
}

#[test]
fn inspect_tells_of_a_file_what_it_may_do_without_running_it() {
    let keys = Keys::new();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("historian.wasm");
    fs::copy(plugin::guest("historian"), &file).unwrap();
    let inspect = |more: &[&str]| salve(&[&["plugin", "inspect", file.to_str().unwrap()], more].concat());
    let json =
        |more: &[&str]| -> Value { serde_json::from_slice(&inspect(&[more, &["--json"]].concat()).stdout).unwrap() };
    let told = json(&["--no-run"]);
    assert_eq!(told["contract"], "salve:plugin/remediator@0.1.0");
    assert_eq!(told["needs"], serde_json::json!(["history"]));
    assert!(told["imports"].as_array().unwrap().contains(&"salve:plugin/history@0.1.0".into()), "{told:#}");
    assert_eq!((&told["name"], &told["wants"], &told["policy"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!(told["signature"]["state"], "none");
    let text = succeeds(&inspect(&["--no-run"]));
    assert!(text.contains("salve:plugin/history@0.1.0") && !text.contains("it says of itself"), "{text}");
    assert!(succeeds(&inspect(&[])).contains("it says of itself"));

    succeeds(&salve(&["plugin", "sign", file.to_str().unwrap(), "--key", &keys.file("key")]));
    assert_eq!(json(&["--no-run"])["signature"]["state"], "unverified");
    let good = json(&["--no-run", "--key", &keys.file("pub")]);
    assert_eq!((&good["signature"]["state"], &good["signature"]["key"]), (&"good".into(), &keys.id().into()));
    let bad = inspect(&["--no-run", "--key", &Keys::new().public()]);
    assert!(bad.status.code() == Some(1) && words(&bad).contains("bad: by another key"), "{bad:?}");
}

#[test]
fn a_policy_that_inspect_prints_is_valid_for_every_stock_plugin() {
    let directory = plugin::service_restart().parent().unwrap().to_owned();
    let mut builder = Agent::builder();
    for entry in fs::read_dir(directory).unwrap() {
        let file = entry.unwrap().path();
        let told: Value =
            serde_json::from_str(&succeeds(&salve(&["plugin", "inspect", file.to_str().unwrap(), "--json"]))).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned() + ".toml";
        builder = builder.plugin(file).policy(&name, told["policy"].as_str().unwrap());
    }
    let agent = builder.prepare().unwrap();
    let checked = salve(&["check", "--config", agent.home().config().to_str().unwrap()]);
    // Some have keys that only the operator can fill in; what is printed may lack those, and nothing else.
    for line in words(&checked).lines().filter(|line| line.starts_with('!')) {
        assert!(line.contains("[config]") || line.contains("`configure` refused"), "{line}");
    }
}

#[test]
fn minisign_and_salve_understand_each_other() {
    if skip_without(MINISIGN, "install minisign") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (file, password) = (path("a.wasm"), path("password"));
    fs::write(&file, code()).unwrap();
    fs::write(&password, "correct horse\n").unwrap();
    let minisign = |arguments: &[&str]| run(Command::new(MINISIGN).args(arguments));
    let signature = path("a.wasm.minisig");

    // Keys of either, with a password and without, …
    succeeds(&minisign(&["-G", "-W", "-p", &path("theirs.pub"), "-s", &path("theirs.key")]));
    succeeds(&salve(&["plugin", "keygen", "-W", &path("ours")]));
    succeeds(&salve(&["plugin", "keygen", "--password-file", &password, &path("locked")]));
    assert_eq!(fs::metadata(path("locked.key")).unwrap().permissions().mode() & 0o777, 0o600);
    for name in ["theirs", "ours", "locked"] {
        let (secret, public) = (path(&format!("{name}.key")), path(&format!("{name}.pub")));
        // … sign by the one what the other verifies.
        let unlock: &[&str] = if name == "locked" { &["--password-file", &password] } else { &[] };
        succeeds(&salve(&[&["plugin", "sign", &file, "--key", &secret], unlock].concat()));
        succeeds(&minisign(&["-V", "-H", "-p", &public, "-m", &file]));
        succeeds(&salve(&["plugin", "verify", &file, "--key", &public]));
        fs::remove_file(&signature).unwrap();
        for legacy in [&[][..], &["-l"]] {
            let line = fs::read_to_string(&public).unwrap().lines().nth(1).unwrap().to_owned();
            if name == "locked" {
                // It asks for the password on its standard input.
                let ask =
                    format!("printf 'correct horse\\n' | {MINISIGN} -S {} -s {secret} -m {file}", legacy.join(" "));
                succeeds(&run(Command::new("sh").args(["-c", &ask])));
            } else {
                succeeds(&minisign(&[&["-S", "-W", "-s", &secret, "-m", &file], legacy].concat()));
            }
            let verified = succeeds(&salve(&["plugin", "verify", &file, "--key", &line]));
            assert!(verified.contains("signed by key"), "{verified}");
            fs::remove_file(&signature).unwrap();
        }
    }
}

#[test]
fn keys_and_signatures_are_refused_with_a_reason() {
    let keys = Keys::new();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let file = path("a.wasm");
    fs::write(&file, code()).unwrap();
    let refused = |arguments: &[&str], code: i32, word: &str| {
        let output = salve(arguments);
        assert!(output.status.code() == Some(code) && words(&output).contains(word), "{arguments:?}: {output:?}");
    };
    let (secret, public) = (keys.file("key"), keys.file("pub"));
    refused(&["plugin", "verify", &file, "--key", &public], 2, "cannot read the signature");
    refused(&["plugin", "sign", &file, "--key", &public], 2, "is no secret key");
    refused(&["plugin", "sign", &file, "--key", &path("absent")], 2, "cannot read the secret key");
    refused(&["plugin", "sign", &file, "--key", &secret, "--comment", "a\nb"], 2, "one line");
    refused(&["plugin", "verify", &file, "--key", &secret], 2, "no public key");
    succeeds(&salve(&["plugin", "sign", &file, "--key", &secret, "--comment", "release 7"]));
    let verified = succeeds(&salve(&["plugin", "verify", &file, "--key", &public]));
    assert!(verified.contains(&format!("signed by key {}: release 7", keys.id())), "{verified}");
    refused(&["plugin", "verify", &file, "--key", &Keys::new().public()], 1, &format!("it is by key {}", keys.id()));
    fs::write(&file, another("tampered")).unwrap();
    refused(&["plugin", "verify", &file, "--key", &public], 1, "it is not of this file");

    // A key that is there is never lost, and a wrong password is told.
    let before = fs::read(&secret).unwrap();
    refused(&["plugin", "keygen", "-W", secret.strip_suffix(".key").unwrap()], 2, "team.key");
    assert_eq!(fs::read(&secret).unwrap(), before);
    fs::write(path("password"), "right\n").unwrap();
    fs::write(path("wrong"), "wrong\n").unwrap();
    succeeds(&salve(&["plugin", "keygen", "--password-file", &path("password"), &path("locked")]));
    let key = path("locked.key");
    refused(&["plugin", "sign", &file, "--key", &key, "--password-file", &path("wrong")], 2, "Wrong password");
    refused(&["plugin", "sign", &file, "--key", &key, "-W"], 2, "has a password");
}
