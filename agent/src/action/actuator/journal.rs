//! `journal.vacuum`: old entries of systemd's journal, by `journalctl`.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use super::parameters::Parameters;
use crate::action::Action;
use crate::run::run;

/// How long it may take: archived files are unlinked, which is quick even if there are many.
const LIMIT: Duration = Duration::from_secs(120);
/// Bytes kept of what it says: a line for each file.
const OUTPUT: usize = 64 * 1024;

/// Removes archived journal files until they take at most `max_bytes`, or those older than `older_than_ms`.
pub(super) async fn vacuum(journalctl: &Path, action: &Action) -> Result<String, String> {
    let parameters = Parameters::of(action, &["max_bytes", "older_than_ms"])?;
    if action.target != "journal" {
        return Err(format!("the target of journal.vacuum is `journal`, not `{}`", action.target));
    }
    let mut command = Command::new(journalctl);
    match (parameters.count("max_bytes")?, parameters.count("older_than_ms")?) {
        (None, None) => return Err("journal.vacuum needs `max_bytes` or `older_than_ms`".to_owned()),
        (bytes, age) => {
            // Zero switches journalctl's limit off instead of removing everything.
            command.args(bytes.map(|bytes| format!("--vacuum-size={}", bytes.max(1))));
            command.args(age.map(|age| format!("--vacuum-time={}s", age.div_ceil(1000).max(1))));
        }
    }
    let ended = run(command, LIMIT, OUTPUT).await?;
    if !ended.status.success() {
        return Err(ended.describe());
    }
    // One line for each place: "Vacuuming done, freed 8M of archived journals from /var/log/journal/….".
    let done: Vec<&str> = ended.output.lines().filter(|line| line.starts_with("Vacuuming done")).collect();
    Ok(if done.is_empty() { ended.describe() } else { done.join(" ") })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::action::actuator::testing::action;
    use crate::signal::Value;

    #[tokio::test]
    async fn limits_become_arguments_and_the_detail_says_what_was_freed() {
        let both = action(
            "journal.vacuum",
            "journal",
            &[("max_bytes", Value::Integer(1000)), ("older_than_ms", Value::Integer(1500))],
        );
        let detail = vacuum(Path::new("/bin/echo"), &both).await.unwrap();
        assert_eq!(detail, "exit status: 0: --vacuum-size=1000 --vacuum-time=2s");

        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("journalctl");
        std::fs::write(
            &script,
            "#!/bin/sh\necho 'Deleted archived journal x (8M).' >&2\necho 'Vacuuming done, freed 8M.' >&2\n",
        )
        .unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let detail = crate::action::actuator::journal::vacuum(&script, &both).await.unwrap();
        assert_eq!(detail, "Vacuuming done, freed 8M.");

        let negative = action("journal.vacuum", "journal", &[("max_bytes", Value::Integer(-1))]);
        assert!(vacuum(Path::new("/bin/echo"), &negative).await.unwrap_err().contains("0 or more"));
        let failing = vacuum(Path::new("/bin/false"), &both).await.unwrap_err();
        assert!(failing.contains("exit status: 1"), "{failing}");
    }
}
