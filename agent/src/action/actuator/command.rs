//! `command.run`: what the operator has named in the configuration, with placeholders filled.

use std::collections::BTreeMap;
use std::path::Path;

use tokio::process::Command;

use crate::action::Action;
use crate::config::CommandSpec;
use crate::run::{Ended, run};
use crate::signal::Attribute;

/// Where programs are looked for by a command if the agent itself was not told.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs the command that the action names: its exit status and the end of its output.
pub(super) async fn act(commands: &BTreeMap<String, CommandSpec>, action: &Action) -> Result<String, String> {
    execute(commands, &action.target, |_| action.parameters.clone(), usize::MAX).await?.outcome()
}

/// Runs `name` with the parameters that `fill` gives it; at most `cap` bytes of its output are kept.
pub(super) async fn execute(
    commands: &BTreeMap<String, CommandSpec>,
    name: &str,
    fill: impl FnOnce(&CommandSpec) -> Vec<Attribute>,
    cap: usize,
) -> Result<Ended, String> {
    let Some(spec) = commands.get(name) else {
        return Err(format!("there is no [commands.{name}] in the configuration"));
    };
    let argv = spec.fill(&fill(spec)).map_err(|error| format!("[commands.{name}]: {error}"))?;
    let Some((program, arguments)) = argv.split_first() else {
        return Err(format!("[commands.{name}] has no program"));
    };
    let mut command = Command::new(program);
    let path = std::env::var_os("PATH").unwrap_or_else(|| PATH.into());
    command.args(arguments).env_clear().env("PATH", path).envs(&spec.environment).current_dir(&spec.directory);
    if let Some(user) = &spec.user {
        let Some(entry) = uzers::get_user_by_name(user) else {
            return Err(format!("[commands.{name}]: this host has no user `{user}`"));
        };
        // With another user's id the library also drops the agent's supplementary groups.
        command.uid(entry.uid()).gid(entry.primary_group_id());
    }
    if !Path::is_dir(&spec.directory) {
        return Err(format!("[commands.{name}]: there is no directory {}", spec.directory.display()));
    }
    run(command, spec.timeout, spec.output.min(cap)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::actuator::testing::action;
    use crate::config::testing;
    use crate::signal::Value;

    #[tokio::test]
    async fn a_command_runs_without_shell_and_without_the_agents_environment() {
        let commands = testing::commands(
            r#"
            [commands.say]
            argv = ["/usr/bin/printf", "%s|", "{text}", "{number}"]
            parameters = { text = "path", number = "integer" }
            [commands.env]
            argv = ["/usr/bin/env"]
            environment = { GREETING = "hello" }
            [commands.where]
            argv = ["/bin/pwd"]
            directory = "/usr"
            [commands.fail]
            argv = ["/bin/ls", "/no/such"]
            "#,
        );
        let say = action("command.run", "say", &[("text", "/$HOME;`id`".into()), ("number", Value::Integer(3))]);
        assert_eq!(act(&commands, &say).await.unwrap(), "exit status: 0: /$HOME;`id`|3|");
        let env = act(&commands, &action("command.run", "env", &[])).await.unwrap();
        let names: Vec<&str> = env.lines().map(|line| line.trim_start_matches("exit status: 0: ")).collect();
        assert!(names.iter().all(|line| line.starts_with("PATH=") || *line == "GREETING=hello"), "{env}");
        assert_eq!(act(&commands, &action("command.run", "where", &[])).await.unwrap(), "exit status: 0: /usr");
        let error = act(&commands, &action("command.run", "fail", &[])).await.unwrap_err();
        assert!(error.starts_with("exit status: 2: ") && error.contains("/no/such"), "{error}");
        let missing = act(&commands, &action("command.run", "say", &[])).await.unwrap_err();
        assert!(missing.contains("[commands.say]: parameter `number` is missing"), "{missing}");
    }

    #[tokio::test]
    async fn a_user_that_is_not_there_runs_nothing() {
        let commands = testing::commands("[commands.a]\nargv = [\"/bin/true\"]\nuser = \"no-such-user\"\n");
        let error = act(&commands, &action("command.run", "a", &[])).await.unwrap_err();
        assert!(error.contains("no user `no-such-user`"), "{error}");
    }

    #[tokio::test]
    async fn as_another_user_it_has_that_users_groups_only() {
        // Only root can be somebody else.
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let commands = testing::commands("[commands.who]\nargv = [\"/usr/bin/id\"]\nuser = \"nobody\"\n");
        let who = act(&commands, &action("command.run", "who", &[])).await.unwrap();
        assert!(who.contains("(nobody)") && !who.contains("root"), "{who}");
    }
}
