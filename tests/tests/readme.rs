//! That the README's first steps work as they are written.

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use salve_tests::agent::{self, Incident};
use salve_tests::readme::{self, Reader, Step};
use salve_tests::reaper::Reaper;
use salve_tests::wait;

const SECTION: &str = "Your first plugin in five minutes";
const DEADLINE: Duration = Duration::from_secs(60);

/// The reader has Salve's repository beside her, as `salve`, and `salve` itself on her PATH.
#[test]
fn the_first_plugin_heals_when_the_readme_is_followed_word_for_word() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let document = fs::read_to_string(repository.join("README.md")).expect("README.md");
    let steps = readme::steps(&document, SECTION).unwrap();

    let _reaper = Reaper::start().unwrap(); // For the services that the agent leaves.
    let (here, notes) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    symlink(repository, here.path().join("salve")).unwrap();
    let salve = agent::binary().unwrap();
    // What cargo compiles on the way is kept for the next time; what it makes is where the README says.
    let kept = agent::target().unwrap().join("readme");
    let variables = [("CARGO_BUILD_BUILD_DIR", kept.as_path())];
    let mut reader = Reader::sit(here.path(), notes.path(), salve.parent().unwrap(), &variables).unwrap();

    let mut agent = None;
    for step in &steps {
        reader.follow(step).unwrap_or_else(|error| panic!("{error:#}\n{}", reader.output()));
        if is_agent(step) {
            agent = Some(
                wait::attempt(DEADLINE, || socket(here.path()))
                    .unwrap_or_else(|| panic!("no agent answers\n{}", reader.output())),
            );
        }
    }
    let socket = agent.expect("the README starts an agent: a block whose last line is `salve agent …`");
    let healed = wait::attempt(DEADLINE, || {
        let mut list = Command::new(&salve);
        list.arg("--socket").arg(&socket).args(["incident", "list", "--json"]);
        let incidents: Vec<Incident> = serde_json::from_slice(&list.output().ok()?.stdout).ok()?;
        let healthy =
            |incident: &Incident| incident.attempts.last().is_some_and(|it| it.verdict.as_deref() == Some("healthy"));
        incidents.into_iter().find(|incident| incident.state == "resolved" && healthy(incident))
    });
    assert!(healed.is_some(), "nothing was healed\n{}", reader.output());
}

fn is_agent(step: &Step) -> bool {
    matches!(step, Step::Type(block) if block.contains("salve agent"))
}

/// The socket in `directory` or below on which an agent answers.
fn socket(directory: &Path) -> Option<PathBuf> {
    let entries: Vec<_> = fs::read_dir(directory).ok()?.flatten().collect();
    entries.into_iter().find_map(|entry| {
        let (path, kind) = (entry.path(), entry.file_type().ok()?);
        if kind.is_dir() {
            return socket(&path);
        }
        (kind.is_socket() && UnixStream::connect(&path).is_ok()).then_some(path)
    })
}
