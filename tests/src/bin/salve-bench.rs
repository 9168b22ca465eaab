//! `salve-bench [NAME]`: the agent measured beside its peers; `cargo xtask bench` builds and runs it.

// Not a module of the library: tests need not link the whole agent for it.
#[path = "../bench/mod.rs"]
mod bench;

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match bench::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("salve-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
