//! Compiles a component: WebAssembly on standard input, native code on standard output.
//!
//! The agent runs it for each new plugin, so that a plugin which makes the compiler explode costs a message, and so that the
//! memory a compiler takes is given back. Before it reads a byte it gives up everything but memory and CPU, and bounds these.
//!
//! Exit status: 0 compiled; 1 it does not compile, and standard error says why; 2 called wrongly, or not confined.

mod confine;
// One file for both: native code loads only where it was made with the same settings.
#[path = "../../src/plugin/native/tuning.rs"]
mod tuning;

use std::io::{Read, Write};
use std::process::ExitCode;

use wasmtime::Engine;

const USAGE: &str = "\
salve-compile compiles a plugin for the Salve agent, which runs it by itself.

usage: salve-compile --memory BYTES --cpu SECONDS --output BYTES < PLUGIN.wasm > NATIVE";

fn main() -> ExitCode {
    let limits = match Limits::parse(std::env::args().skip(1)) {
        Ok(limits) => limits,
        Err(problem) => {
            eprintln!("{problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if let Err(problem) = confine::this_process(&limits) {
        eprintln!("cannot confine the compiler: {problem}");
        return ExitCode::from(2);
    }
    match compile() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::from(1)
        }
    }
}

/// What it may use at most.
#[derive(Debug, Default, PartialEq, Eq)]
struct Limits {
    /// Address space, in bytes.
    memory: u64,
    /// CPU time of all threads, in seconds.
    cpu: u64,
    /// Native code, in bytes.
    output: u64,
}

impl Limits {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut limits = Self::default();
        while let Some(name) = arguments.next() {
            let place = match name.as_str() {
                "--memory" => &mut limits.memory,
                "--cpu" => &mut limits.cpu,
                "--output" => &mut limits.output,
                _ => return Err(format!("`{name}` is not known")),
            };
            let value = arguments.next().and_then(|value| value.parse().ok());
            *place = value.ok_or_else(|| format!("{name} wants a number"))?;
        }
        if limits.memory == 0 || limits.cpu == 0 || limits.output == 0 {
            return Err("each of --memory, --cpu and --output is needed, and none may be 0".into());
        }
        Ok(limits)
    }
}

fn compile() -> Result<(), String> {
    let mut wasm = Vec::new();
    std::io::stdin().lock().read_to_end(&mut wasm).map_err(|error| format!("cannot read the plugin: {error}"))?;
    let engine = Engine::new(&tuning::config()).map_err(|error| format!("{error:#}"))?;
    let native = engine.precompile_component(&wasm).map_err(|error| format!("{error:#}"))?;
    let mut out = std::io::stdout().lock();
    out.write_all(&native).and_then(|()| out.flush()).map_err(|error| format!("cannot write native code: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &str) -> Result<Limits, String> {
        Limits::parse(arguments.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn every_limit_must_be_given() {
        assert_eq!(parse("--memory 3 --cpu 2 --output 1"), Ok(Limits { memory: 3, cpu: 2, output: 1 }));
        assert!(parse("--memory 3 --cpu 2").unwrap_err().contains("--output"));
        assert!(parse("--memory 3 --cpu 2 --output 0").unwrap_err().contains("none may be 0"));
        assert_eq!(parse("--memory much").unwrap_err(), "--memory wants a number");
        assert_eq!(parse("--help").unwrap_err(), "`--help` is not known");
    }
}
