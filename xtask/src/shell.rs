//! Running commands and writing files, with errors that say what and where.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context, Result, bail};

/// Shows a command and runs it to its end, with its output on the terminal.
pub(crate) fn run(mut command: Command) -> Result<()> {
    println!("$ {}", line(&command));
    let status = command.status();
    check(&command, status)
}

/// Runs a command to its end, for what it prints.
pub(crate) fn output(mut command: Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output();
    let (status, text) = match output {
        Ok(output) => (Ok(output.status), String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(error) => (Err(error), String::new()),
    };
    check(&command, status)?;
    Ok(text)
}

/// An error unless the command could be started and exited with 0.
pub(crate) fn check(command: &Command, status: io::Result<ExitStatus>) -> Result<()> {
    let status = status.with_context(|| format!("cannot start `{}`", line(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

/// The command as one would type it.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    let arguments = command.get_args().map(|argument| short(Path::new(argument)));
    std::iter::once(program.into_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// The path as one would type it here.
pub(crate) fn short(path: &Path) -> String {
    let here = env::current_dir().unwrap_or_default();
    match path.strip_prefix(here) {
        Ok(relative) if !relative.as_os_str().is_empty() => relative.display().to_string(),
        _ => path.display().to_string(),
    }
}

/// Where a program is, on the PATH or where Debian keeps those of root. An absolute path stands for itself.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    directories.map(|directory| directory.join(name)).find(|program| program.is_file())
}

/// Sends a signal (`KILL`, `TERM`) to a process.
pub(crate) fn signal(pid: u32, signal: &str) -> Result<()> {
    // The kill of the shell: the program of that name is not on every host.
    let mut kill = Command::new("sh");
    kill.args(["-c", r#"kill -s "$1" "$2""#, "sh", signal, &pid.to_string()]);
    output(kill).map(drop)
}

/// Puts `contents` into a file by writing another one beside it and renaming that, so that whoever watches the
/// directory sees either nothing or all of it. Says whether that changed anything.
pub(crate) fn replace(file: &Path, contents: &[u8]) -> Result<bool> {
    if fs::read(file).is_ok_and(|present| present == contents) {
        return Ok(false);
    }
    let temporary = file.with_added_extension("tmp");
    fs::write(&temporary, contents)
        .and_then(|()| fs::rename(&temporary, file))
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(true)
}

/// Makes a directory and those above it.
pub(crate) fn make_directory(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make the directory {}", directory.display()))
}
