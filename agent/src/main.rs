//! `salve`: parse, run, a named exit code.

use std::process::ExitCode;

use clap::Parser;
use salve::cli::{Cli, Outcome};

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::NotFine) => ExitCode::from(1),
        Err(error) => {
            eprintln!("salve: {error:#}");
            ExitCode::from(2)
        }
    }
}
