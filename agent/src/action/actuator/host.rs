//! `host.reboot`: how often is the guards' business.

use std::time::Duration;

use tokio::process::Command;

use super::parameters::Parameters;
use crate::action::Action;
use crate::run::run;

/// How long the request may take; the reboot itself ends the agent.
const LIMIT: Duration = Duration::from_secs(30);
/// Bytes kept of what the program says.
const OUTPUT: usize = 4096;

/// Asks for a reboot by running `program`.
pub(super) async fn reboot(program: &[String], action: &Action) -> Result<String, String> {
    Parameters::of(action, &[])?;
    if action.target != "host" {
        return Err(format!("the target of host.reboot is `host`, not `{}`: no other can be rebooted", action.target));
    }
    let Some((name, arguments)) = program.split_first() else {
        return Err("no program reboots this host".to_owned());
    };
    let mut command = Command::new(name);
    command.args(arguments);
    let ended = run(command, LIMIT, OUTPUT).await?;
    ended.outcome().map(|detail| format!("asked for a reboot by `{}` ({detail})", program.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::actuator::testing::action;

    #[tokio::test]
    async fn only_this_host_is_rebooted_and_a_refusal_is_a_failure() {
        let program = |name: &str| vec![name.to_owned(), "reboot".to_owned()];
        let host = action("host.reboot", "host", &[]);
        let detail = reboot(&program("/bin/echo"), &host).await.unwrap();
        assert_eq!(detail, "asked for a reboot by `/bin/echo reboot` (exit status: 0: reboot)");
        assert!(reboot(&program("/bin/false"), &host).await.unwrap_err().contains("exit status: 1"));
        let other = action("host.reboot", "db1", &[]);
        assert!(reboot(&program("/bin/echo"), &other).await.unwrap_err().contains("not `db1`"));
    }
}
