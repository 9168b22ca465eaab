//! The developer's commands: `cargo xtask COMMAND`. Each is a file in `cmd/`; the rest are the tools they share.

mod cmd;
mod packages;
mod plugins;
mod quickstart;
mod shell;
mod wait;
mod wasm_target;
mod workspace;

use std::{env, path::Path, process::ExitCode};

use workspace::Workspace;

const USAGE: &str = "\
Salve's developer commands

Usage: cargo xtask COMMAND

  run [--demo] [--release]   build everything and start an agent that looks after a demo service
                             --demo: kill the service, show how it is healed, and stop again
  test [--no-e2e]            everything that CI checks; --no-e2e leaves out the tests that boot hosts
  build [--release]          the agent and its compiler, side by side in target/debug or target/release
  bench [NAME]               measure the agent (one benchmark, or all) beside its peers
  fuzz [NAME] [--seconds N]  fuzz what the agent reads from others: one target, or each of them, for N seconds (60)
  build-plugins [--out DIR]  compile plugins/ to WebAssembly (default: target/plugins/)

run      installs nothing but the wasm32-wasip2 target
test     as root on Debian, installs what the end-to-end tests need
bench    as root on Debian, installs the peers too
";

/// The exit code for a command line that makes no sense.
const BAD_USAGE: u8 = 2;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match parse(&args) {
        Ok(Command::Help) => {
            print!("{USAGE}");
            Ok(())
        }
        Ok(command) => Workspace::find().and_then(|workspace| match command {
            Command::Help => Ok(()),
            Command::Run { demo: true, release } => cmd::demo::run(&workspace, release),
            Command::Run { demo: false, release } => cmd::run::run(&workspace, release),
            Command::Build { release } => workspace.build_agent(release).map(drop),
            Command::Test { e2e } => cmd::test::run(&workspace, e2e),
            Command::Bench { arguments } => cmd::bench::run(&workspace, arguments),
            Command::Fuzz { target, seconds } => cmd::fuzz::run(&workspace, target, seconds),
            Command::BuildPlugins { out } => cmd::build_plugins::run(&workspace, out),
        }),
        Err(usage) => {
            eprintln!("error: {usage}\n\n{USAGE}");
            return ExitCode::from(BAD_USAGE);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What the command line asks for.
#[derive(Debug, PartialEq)]
enum Command<'a> {
    Help,
    Run { demo: bool, release: bool },
    Build { release: bool },
    Test { e2e: bool },
    Bench { arguments: &'a [&'a str] },
    Fuzz { target: Option<&'a str>, seconds: u64 },
    BuildPlugins { out: Option<&'a Path> },
}

fn parse<'a>(args: &'a [&'a str]) -> Result<Command<'a>, String> {
    match args {
        [] | ["help", ..] => Ok(Command::Help),
        args if args.iter().any(|arg| ["-h", "--help"].contains(arg)) => Ok(Command::Help),
        ["run", rest @ ..] => {
            let [demo, release] = flags(rest, ["--demo", "--release"])?;
            Ok(Command::Run { demo, release })
        }
        ["test", rest @ ..] => {
            let [no_e2e] = flags(rest, ["--no-e2e"])?;
            Ok(Command::Test { e2e: !no_e2e })
        }
        ["build", rest @ ..] => {
            let [release] = flags(rest, ["--release"])?;
            Ok(Command::Build { release })
        }
        ["bench", arguments @ ..] => Ok(Command::Bench { arguments }),
        ["fuzz", arguments @ ..] => fuzz(arguments),
        ["build-plugins"] => Ok(Command::BuildPlugins { out: None }),
        ["build-plugins", "--out", directory] => Ok(Command::BuildPlugins { out: Some(Path::new(directory)) }),
        ["build-plugins", ..] => Err("`build-plugins` takes `--out DIR` and nothing else".into()),
        [unknown, ..] => Err(format!("there is no command `{unknown}`")),
    }
}

/// `[TARGET] [--seconds N]`.
fn fuzz<'a>(arguments: &'a [&'a str]) -> Result<Command<'a>, String> {
    let (target, rest) = match arguments {
        [target, rest @ ..] if !target.starts_with('-') => (Some(*target), rest),
        rest => (None, rest),
    };
    let seconds = match rest {
        [] => cmd::fuzz::SECONDS,
        ["--seconds", number] => number.parse().map_err(|error| format!("`--seconds {number}`: {error}"))?,
        _ => return Err("`fuzz` takes a target and `--seconds N`, and nothing else".into()),
    };
    Ok(Command::Fuzz { target, seconds })
}

/// Which of the `known` flags are given; any other argument is an error.
fn flags<const N: usize>(given: &[&str], known: [&str; N]) -> Result<[bool; N], String> {
    match given.iter().find(|argument| !known.contains(argument)) {
        Some(unknown) => Err(format!("`{unknown}` is not known here; possible: {}", known.join(", "))),
        None => Ok(known.map(|flag| given.contains(&flag))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_in_any_order() {
        assert_eq!(parse(&["run", "--release", "--demo"]), Ok(Command::Run { demo: true, release: true }));
        assert_eq!(parse(&["run"]), Ok(Command::Run { demo: false, release: false }));
        assert_eq!(parse(&["build", "--release"]), Ok(Command::Build { release: true }));
        assert_eq!(parse(&["test", "--no-e2e"]), Ok(Command::Test { e2e: false }));
    }

    #[test]
    fn fuzzing_takes_a_target_and_a_time() {
        let fuzz = |target, seconds| Ok(Command::Fuzz { target, seconds });
        assert_eq!(parse(&["fuzz"]), fuzz(None, cmd::fuzz::SECONDS));
        assert_eq!(parse(&["fuzz", "config", "--seconds", "5"]), fuzz(Some("config"), 5));
        assert_eq!(parse(&["fuzz", "--seconds", "5"]), fuzz(None, 5));
        for wrong in [&["fuzz", "--seconds"][..], &["fuzz", "--seconds", "x"], &["fuzz", "config", "api"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_named() {
        assert_eq!(parse(&["rum"]), Err("there is no command `rum`".into()));
        assert_eq!(parse(&["test", "--e2e"]), Err("`--e2e` is not known here; possible: --no-e2e".into()));
        assert!(parse(&["build-plugins", "--out"]).is_err());
    }

    #[test]
    fn help_is_found_anywhere() {
        assert_eq!(parse(&[]), Ok(Command::Help));
        assert_eq!(parse(&["bench", "--help"]), Ok(Command::Help));
    }
}
