//! A directory whose files are changed at random.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::PathBuf;

use super::model::{Good, Material};

/// Names of the files: few, so that they meet each other often.
const NAMES: [&str; 4] = ["ant", "bee", "cat", "dog"];

/// Numbers that look random and are the same for the same seed: Knuth's MMIX generator.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Begins with `seed`.
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// From 0 to `limit`, without that.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn choose<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = usize::try_from(self.below(from.len() as u64)).unwrap();
        from.get(index).unwrap()
    }
}

/// A directory, and what may be written to it.
#[derive(Debug)]
pub(crate) struct Burrow {
    directory: PathBuf,
    ending: &'static str,
    material: Vec<Material>,
}

impl Burrow {
    /// The files `*.ending` of `directory` that have one of [`NAMES`]; others are left alone.
    pub(crate) fn new(directory: PathBuf, ending: &'static str, material: Vec<Material>) -> Burrow {
        Burrow { directory, ending, material }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(match self.ending {
            // A policy of a plugin's name that is about another one is a case of its own.
            "toml" => format!("for-{name}.toml"),
            ending => format!("{name}.{ending}"),
        })
    }

    /// Where a file is while it is nobody's.
    fn aside(&self, name: &str) -> PathBuf {
        self.directory.join(format!(".{name}.aside"))
    }

    /// Changes one file, in one of the ways in which people and installers do.
    pub(crate) fn change(&mut self, dice: &mut Dice) {
        let (name, other) = (*dice.choose(&NAMES), *dice.choose(&NAMES));
        let (file, aside) = (self.file(name), self.aside(name));
        let bytes = &dice.choose(&self.material).bytes;
        // What is not there cannot be removed, renamed or truncated: that is no failure.
        match dice.below(8) {
            // Dropped, or written over.
            0 | 1 => fs::write(&file, bytes).unwrap(),
            // Renamed into place.
            2 | 3 => {
                fs::write(&aside, bytes).unwrap();
                fs::rename(&aside, &file).unwrap();
            }
            4 => {
                if let Ok(file) = OpenOptions::new().write(true).open(&file) {
                    let length = file.metadata().unwrap().len();
                    file.set_len(dice.below(length + 1)).unwrap();
                }
            }
            5 => drop(fs::remove_file(&file)),
            6 => drop(fs::rename(&file, self.file(other))),
            // Away, or back again.
            _ => drop(fs::rename(&file, &aside).or_else(|_| fs::rename(&aside, &file))),
        }
    }

    /// Puts every good material into some file.
    pub(crate) fn fill(&mut self) {
        let good = self.material.iter().filter(|material| material.good.is_some());
        for (name, material) in NAMES.iter().zip(good) {
            fs::write(self.file(name), &material.bytes).unwrap();
        }
    }

    /// Removes all that [`Burrow::change`] may have made.
    pub(crate) fn clear(&mut self) {
        for name in NAMES {
            let _ = fs::remove_file(self.file(name));
            let _ = fs::remove_file(self.aside(name));
        }
    }

    /// What is there, by stem; `None` for what is no good.
    pub(crate) fn files(&self) -> BTreeMap<String, Option<Good>> {
        let stem = |name: &str| self.file(name).file_stem().unwrap().to_string_lossy().into_owned();
        let there = NAMES.iter().filter_map(|name| Some((stem(name), fs::read(self.file(name)).ok()?)));
        let good = |bytes: &[u8]| match self.material.iter().find(|it| it.bytes == bytes) {
            Some(material) => material.good.clone(),
            None if self.ending == "toml" => Good::cut_policy(bytes),
            None => None,
        };
        there.map(|(stem, bytes)| (stem, good(&bytes))).collect()
    }
}
