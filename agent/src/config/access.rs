use std::collections::BTreeSet;

use toml::Spanned;

use super::Pattern;

/// The interfaces of the contract that `[grant] read` can name.
pub const READABLE: [&str; 3] = ["files", "history", "services"];

/// What a plugin may look at: `[grant] read`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Access {
    /// Which interfaces are linked.
    pub read: BTreeSet<String>,
    /// Which files it may see, where it may look at files.
    pub files: Vec<Pattern>,
}

impl Access {
    /// Everything, but no file: for a plugin that is only asked what it is.
    pub fn to_every_interface() -> Self {
        Self { read: READABLE.map(str::to_owned).into(), files: Vec::new() }
    }

    /// Reads the lines; an error says which line, and what is wrong with it.
    pub(super) fn read(lines: &[Spanned<String>]) -> Result<Self, (std::ops::Range<usize>, String)> {
        let mut access = Self::default();
        for line in lines {
            let at = |message: String| (line.span(), message);
            match line.get_ref().split_once(':') {
                Some(("files", glob)) => {
                    access.files.push(Pattern::on_paths(glob).map_err(|error| at(error.to_string()))?);
                    access.read.insert("files".to_owned());
                }
                None if line.get_ref() == "files" => {
                    return Err(at("say which files can be read, for example `files:/var/log/**`".to_owned()));
                }
                None if READABLE.contains(&line.get_ref().as_str()) => {
                    access.read.insert(line.get_ref().clone());
                }
                _ => {
                    let valid = READABLE.join(", ");
                    return Err(at(format!("nothing called `{}` can be read; valid: {valid}", line.get_ref())));
                }
            }
        }
        Ok(access)
    }
}
