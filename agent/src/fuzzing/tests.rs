//! Each target over its corpus, and over so many changes of it; the same in each run. Without the fuzzer's instrumentation, which
//! would take a build of everything: `cargo xtask fuzz` looks deeper.

use std::fs;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{TARGETS, compiler_holds};

/// How often a corpus is changed, for each target but that which starts a program for each.
const CHANGES: usize = 1000;
const COMPILED: usize = 30;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files of a directory, the same order each time.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The corpus of a target: `tests/fuzz/seeds/NAME`, and for configuration the policies of the stock plugins.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let mut corpus = files(&repository().join("tests/fuzz/seeds").join(target));
    if target == "config" {
        let policies = files(&repository().join("plugins")).into_iter().map(|plugin| plugin.join("policy.toml"));
        corpus.extend(policies.filter(|policy| policy.is_file()));
    }
    corpus.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// What is often where something goes wrong.
const TOKENS: [&[u8]; 14] = [
    b"\0",
    b"\n",
    b"\r\n",
    b"\"",
    b"\\",
    b"{}",
    b"[",
    b"*",
    b"..",
    b"-1",
    b"18446744073709551615",
    b"NaN",
    b"\xff",
    "é…".as_bytes(),
];

/// Changes some bytes; `other` is what may be taken from.
fn change(bytes: &mut Vec<u8>, other: &[u8], dice: &mut StdRng) {
    for _ in 0..dice.random_range(1..6) {
        let at = dice.random_range(0..=bytes.len());
        let end = dice.random_range(at..=bytes.len().min(at + 40));
        match dice.random_range(0..7) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => drop(bytes.splice(at..at, TOKENS[dice.random_range(0..TOKENS.len())].iter().copied())),
            3 => bytes.extend_from_within(at..end),
            4 if !other.is_empty() => {
                let from = dice.random_range(0..other.len());
                let to = dice.random_range(from..=other.len());
                drop(bytes.splice(at..end, other[from..to].iter().copied()));
            }
            _ if at < bytes.len() => bytes[at] = dice.random(),
            _ => bytes.push(dice.random()),
        }
    }
}

#[test]
fn no_target_fails_on_its_corpus_nor_on_changes_of_it() {
    assert!(compiler_holds(), "no salve-compile: `cargo xtask test` builds it");
    for (number, (name, target)) in TARGETS.into_iter().enumerate() {
        let corpus = corpus(name);
        assert!(corpus.len() > 1, "{name}");
        corpus.iter().for_each(|seed| target(seed));
        let mut dice = StdRng::seed_from_u64(number as u64);
        for change_number in 0..if name == "component" { COMPILED } else { CHANGES } {
            let [mut bytes, other] = [(); 2].map(|()| corpus[dice.random_range(0..corpus.len())].clone());
            change(&mut bytes, &other, &mut dice);
            if std::panic::catch_unwind(|| target(&bytes)).is_err() {
                panic!("{name}, change {change_number}: {:?}", String::from_utf8_lossy(&bytes));
            }
        }
    }
}
