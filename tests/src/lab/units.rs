//! The units of a host.

use anyhow::Result;

use super::Host;

impl Host {
    /// Writes a unit, or a drop-in such as `app.service.d/lab.conf`, and has systemd read it.
    pub fn write_unit(&self, name: &str, text: &str) -> Result<()> {
        self.write(format!("/etc/systemd/system/{name}"), text)?;
        self.run(&["systemctl", "daemon-reload"]).map(drop)
    }

    /// A property of a unit, such as `ActiveState`.
    ///
    /// # Panics
    /// When systemd does not answer.
    #[track_caller]
    pub fn property(&self, unit: &str, name: &str) -> String {
        match self.run(&["systemctl", "show", "--value", &format!("--property={name}"), unit]) {
            Ok(value) => value.trim().to_owned(),
            Err(error) => panic!("{name} of {unit}: {error:#}"),
        }
    }

    /// One run of a unit: its main process and the number systemd gave to this start. Another start has others.
    #[track_caller]
    pub fn invocation(&self, unit: &str) -> (String, String) {
        (self.property(unit, "MainPID"), self.property(unit, "InvocationID"))
    }

    /// How often systemd has begun to start a unit since the host booted, as its journal tells.
    pub fn starts(&self, unit: &str) -> Result<usize> {
        // What PID 1 logs about a unit when a start job begins (systemd.directives(7), SD_MESSAGE_UNIT_STARTING).
        let (unit, id) = (format!("UNIT={unit}"), "MESSAGE_ID=7d4958e842da4a758f6c1cdc7b36dcc5");
        self.run(&["journalctl", "--sync"])?;
        let lines = self.run(&["journalctl", "--quiet", "--output=cat", &unit, id])?;
        Ok(lines.lines().count())
    }

    /// Kills the main process of a unit as `kill -9` does, and leaves its children.
    pub fn kill_main(&self, unit: &str) -> Result<()> {
        self.run(&["systemctl", "kill", "--kill-whom=main", "--signal=KILL", unit]).map(drop)
    }

    /// Stops all processes of a unit as `kill -STOP` does: they live, and do nothing.
    pub fn hang(&self, unit: &str) -> Result<()> {
        self.run(&["systemctl", "kill", "--kill-whom=all", "--signal=STOP", unit]).map(drop)
    }
}
