//! Following what a document tells its readers to do, word for word.
//!
//! Two kinds of code blocks are for doing; all others are for looking at:
//! - a block after a line that is only a path in bold code, ``**`plugin/Cargo.toml`**``, is the text of that file;
//! - a block marked `sh` is what the reader types.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::process::Process;
use crate::wait;

/// How long a reader waits for a file before she types what needs it.
const PATIENCE: Duration = Duration::from_secs(30);

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write a file, with a path relative to where the reader is.
    Write {
        /// Where.
        path: PathBuf,
        /// What.
        text: String,
    },
    /// Type this.
    Type(String),
}

/// What the section of `document` under this heading tells to do; sections below it belong to it.
///
/// # Errors
/// When there is no such section, it has nothing to do in it, or a block does not end.
pub fn steps(document: &str, heading: &str) -> Result<Vec<Step>> {
    let level = |line: &str| line.chars().take_while(|sign| *sign == '#').count();
    let mut lines = document.lines();
    let depth = lines.find(|line| level(line) > 0 && line.trim_start_matches('#').trim() == heading);
    let depth = level(depth.with_context(|| format!("there is no section `{heading}`"))?);
    let (mut steps, mut path) = (Vec::new(), None);
    while let Some(line) = lines.next() {
        if (1..=depth).contains(&level(line)) {
            break;
        }
        let Some(info) = line.strip_prefix("```") else {
            if !line.trim().is_empty() {
                path = line.trim().strip_prefix("**`").and_then(|line| line.strip_suffix("`**"));
            }
            continue;
        };
        let (mut text, mut ended) = (String::new(), false);
        for line in lines.by_ref() {
            ended = line.trim_end() == "```";
            if ended {
                break;
            }
            text += &format!("{line}\n");
        }
        ensure!(ended, "the block after ```{info} does not end");
        match path.take() {
            Some(path) => steps.push(Step::Write { path: PathBuf::from(path), text }),
            None if info.trim() == "sh" => steps.push(Step::Type(text)),
            None => {}
        }
    }
    ensure!(!steps.is_empty(), "nothing is done in the section `{heading}`");
    Ok(steps)
}

/// A reader, at a terminal whose directory and variables last from one block to the next. What runs until it is stopped,
/// a block whose last line is `salve agent …`, is typed in another terminal that was opened at the same place.
#[derive(Debug)]
pub struct Reader {
    shell: Process,
    input: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    notes: PathBuf,
    blocks: usize,
}

impl Reader {
    /// Sits down in `directory`. What is run writes to files in `notes`. The program `salve` is found in `programs`.
    pub fn sit(directory: &Path, notes: &Path, programs: &Path, variables: &[(&str, &Path)]) -> Result<Reader> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([programs.to_owned()].into_iter().chain(std::env::split_paths(&path)))?;
        let mut command = Command::new("sh");
        command.current_dir(directory).env("PATH", path);
        command.env_remove("CARGO_TARGET_DIR").env_remove("SALVE_SOCKET");
        command.envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = Process::spawn(&mut command)?;
        Ok(Reader {
            input: shell.stdin().context("no pipe to the shell")?,
            answers: BufReader::new(shell.stdout().context("no pipe from the shell")?).lines(),
            shell,
            notes: notes.to_owned(),
            blocks: 0,
        })
    }

    /// Does one thing.
    ///
    /// # Errors
    /// When a command fails: with the block, and what it wrote.
    pub fn follow(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Write { path, text } => self.write(path, text),
            Step::Type(block) => self.type_in(block),
        }
    }

    /// All that was written to the terminals so far, block by block.
    pub fn output(&self) -> String {
        let read = |number| fs::read_to_string(self.notes.join(format!("{number}.out"))).unwrap_or_default();
        (1..=self.blocks).map(read).collect()
    }

    fn write(&self, path: &Path, text: &str) -> Result<()> {
        let path = self.here()?.join(path);
        fs::create_dir_all(path.parent().context("no path of a file")?)?;
        fs::write(&path, text).with_context(|| path.display().to_string())
    }

    /// The directory that the terminal is in.
    fn here(&self) -> Result<PathBuf> {
        Ok(fs::read_link(format!("/proc/{}/cwd", self.shell.pid()))?)
    }

    fn type_in(&mut self, block: &str) -> Result<()> {
        self.blocks += 1;
        let file = |ending| self.notes.join(format!("{}.{ending}", self.blocks));
        let (script, output) = (file("sh"), file("out"));
        // The shell reads its own input: a command that did would swallow what comes next.
        fs::write(&script, format!("set -eu\n{block}"))?;
        File::create(&output)?;
        for file in asked_for(block) {
            let file = self.here()?.join(file);
            wait::attempt(PATIENCE, || file.exists().then_some(()));
        }
        let (run, files) = (format!(". {}", script.display()), format!("</dev/null >{} 2>&1", output.display()));
        let last = block.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        let stays = last.trim_start().starts_with("salve agent") && !last.trim_end().ends_with('&');
        // All of the other terminal writes to the file: as long as it had our pipe, the end of this one would not be seen.
        let run = if stays { format!("({run}) {files} &") } else { format!("{run} {files}") };
        writeln!(self.input, "{run}\necho done")?;
        match self.answers.next() {
            Some(Ok(answer)) if answer == "done" => Ok(()),
            _ => bail!("a command failed in\n{block}{}", fs::read_to_string(output)?),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // What it started in other terminals is in its group.
        let _ = rustix::process::kill_process_group(self.shell.pid(), rustix::process::Signal::KILL);
    }
}

/// The files that a block takes words from, `$(cat FILE)`. What was started a moment ago may be about to write them, and a
/// person types slower than that.
fn asked_for(block: &str) -> Vec<&str> {
    block.split("$(cat ").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "# A\n\n```sh\nfalse\n```\n## First steps\nWrite\n\n**`a/b.txt`**\n\n```toml\nx = 1\n```\n\
        and then\n```sh\ncd a\n```\n### Below\n```text\nlook\n```\n**`c`**\n```\n# no heading\n```\n## Next\n```sh\nfalse\n```\n";

    fn write(path: &str, text: &str) -> Step {
        Step::Write { path: path.into(), text: text.to_owned() }
    }

    #[test]
    fn a_section_has_its_files_and_commands_and_nothing_of_others() {
        let all = [write("a/b.txt", "x = 1\n"), Step::Type("cd a\n".to_owned()), write("c", "# no heading\n")];
        assert_eq!(steps(DOCUMENT, "First steps").unwrap(), all);
    }

    #[test]
    fn a_section_that_is_missing_empty_or_open_is_an_error() {
        let error = |document, heading| steps(document, heading).unwrap_err().to_string();
        assert!(error(DOCUMENT, "Last steps").contains("no section `Last steps`"));
        assert!(error("# A\nwords\n", "A").contains("nothing is done"));
        assert!(error("# A\n```sh\ntrue\n", "A").contains("does not end"));
    }

    #[test]
    fn a_reader_stays_where_she_goes_and_keeps_what_she_sets() {
        let (here, notes) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut reader = Reader::sit(here.path(), notes.path(), Path::new("/nowhere"), &[]).unwrap();
        for step in [
            write("made/one", "1"),
            Step::Type("cd made\nexport WORD=kept\n".to_owned()),
            write("two", "2"),
            Step::Type("cat one two; echo $WORD; read -r nothing || true\n".to_owned()),
        ] {
            reader.follow(&step).unwrap();
        }
        assert_eq!(reader.output(), "12kept\n");
        assert_eq!(fs::read_to_string(here.path().join("made/two")).unwrap(), "2");
        let error = reader.follow(&Step::Type("echo why >&2; false; true\n".to_owned())).unwrap_err();
        assert!(error.to_string().contains("false; true\nwhy\n"), "{error}");
    }

    #[test]
    fn an_agent_runs_in_another_terminal_and_ends_with_the_reader() {
        let (here, notes) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let stand_in = "#!/bin/sh\necho $$ >pid\nexec sleep 1000\n";
        let program = here.path().join("salve");
        fs::write(&program, stand_in).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut reader = Reader::sit(here.path(), notes.path(), here.path(), &[]).unwrap();
        reader.follow(&Step::Type("salve agent --config salve.toml\n".to_owned())).unwrap();
        let pid = || fs::read_to_string(here.path().join("pid")).ok()?.strip_suffix('\n')?.parse().ok();
        let deadline = std::time::Duration::from_secs(10);
        let pid: i32 = crate::wait::until("the agent", deadline, pid);
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        assert_eq!(asked_for("kill $(cat pid) $(cat a/b )"), ["pid", "a/b"]);
        // That a command fails here is seen although the agent runs on there.
        let error = reader.follow(&Step::Type("kill -0 $(cat pid)\nfalse\n".to_owned())).unwrap_err();
        assert!(error.to_string().contains("false"), "{error}");
        drop(reader);
        let ended = || fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
        crate::wait::until("its end", deadline, || ended().then_some(()));
    }
}
