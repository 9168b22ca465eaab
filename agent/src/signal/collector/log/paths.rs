//! Which files a path or glob names now, and which directories say when that changes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

/// The most files one log has.
pub(super) const MAX_FILES: usize = 1024;
/// The most entries of a directory that are looked at.
pub(super) const MAX_ENTRIES: usize = 16 * 1024;
/// The most symbolic links that are followed from one name: as many as the kernel follows.
const MAX_LINKS: usize = 40;

/// An absolute path, each of whose components may be a glob: `/var/log/*/error.log`. `**` is not known.
#[derive(Debug, Clone)]
pub struct PathGlob {
    components: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Plain(PathBuf),
    Glob(GlobMatcher),
}

impl PathGlob {
    /// Reads one; the error says what is wrong.
    pub fn parse(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        if !path.is_absolute() || path.components().any(|component| component == Component::ParentDir) {
            return Err(format!("`{shown}` is not an absolute path without `..`"));
        }
        let mut components = Vec::new();
        for component in path.components().filter(|component| matches!(component, Component::Normal(_))) {
            let text = component.as_os_str().to_string_lossy();
            if text.contains("**") {
                return Err(format!("`{shown}`: `**` is not known here; write a `*` for each directory"));
            }
            components.push(if text.contains(['*', '?', '[', '{']) {
                let glob = GlobBuilder::new(&text).literal_separator(true).build();
                let glob = glob.map_err(|error| format!("`{shown}` is not a path glob: {}", error.kind()))?;
                Part::Glob(glob.compile_matcher())
            } else {
                Part::Plain(component.as_os_str().into())
            });
        }
        match components.is_empty() {
            true => Err(format!("`{shown}` names no file")),
            false => Ok(Self { components }),
        }
    }

    /// Whether it names one file, there or not.
    pub(super) fn is_plain(&self) -> bool {
        !self.components.iter().any(|part| matches!(part, Part::Glob(_)))
    }

    /// Every path below `root` that it names now, sorted; one without globs whether it is there or not. `directory` is told of each
    /// directory in which a name could come that changes this, before it is looked into.
    pub(super) fn expand(&self, root: &Path, directory: &mut impl FnMut(&Path)) -> BTreeSet<PathBuf> {
        let mut paths = BTreeSet::from([root.to_owned()]);
        for (depth, part) in self.components.iter().enumerate() {
            let is_last = depth + 1 == self.components.len();
            let mut next = BTreeSet::new();
            for path in paths {
                match part {
                    Part::Plain(name) => {
                        let path = path.join(name);
                        // Its directory matters where the name ends or may yet come.
                        if is_last || !path.exists() {
                            each_link(&path, directory);
                        }
                        next.insert(path);
                    }
                    Part::Glob(_) if !path.is_dir() => {}
                    Part::Glob(glob) => {
                        directory(&path);
                        let entries = fs::read_dir(&path).into_iter().flatten().flatten().take(MAX_ENTRIES);
                        next.extend(entries.filter(|entry| glob.is_match(entry.file_name())).map(|entry| entry.path()));
                    }
                }
            }
            // One more than the limit, so that it shows.
            paths = next.into_iter().take(MAX_FILES + 1).collect();
        }
        if !self.is_plain() {
            paths.retain(|path| path.exists());
        }
        paths
    }
}

/// The directory of a name and, if that is a symbolic link, of each name it leads to.
fn each_link(path: &Path, directory: &mut impl FnMut(&Path)) {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Some(parent) = path.parent().filter(|parent| parent.is_dir()) else { return };
        directory(parent);
        let Ok(target) = fs::read_link(&path) else { return };
        path = parent.join(target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(root: &Path, path: &str) -> (Vec<String>, Vec<String>) {
        let mut directories = BTreeSet::new();
        let paths = PathGlob::parse(Path::new(path)).unwrap().expand(root, &mut |directory: &Path| {
            directories.insert(directory.to_owned());
        });
        let shown = |paths: BTreeSet<PathBuf>| {
            paths.iter().map(|path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()).collect()
        };
        (shown(paths), shown(directories))
    }

    #[test]
    fn globs_name_what_is_there_and_the_nearest_directory_is_watched() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("var/log/a")).unwrap();
        fs::create_dir_all(root.join("var/log/b")).unwrap();
        fs::create_dir_all(root.join("srv")).unwrap();
        fs::write(root.join("var/log/a/x.log"), "").unwrap();
        std::os::unix::fs::symlink("../../srv/real.log", root.join("var/log/link.log")).unwrap();
        let show = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            expand(root, "/var/log/*/*.log"),
            (show(&["var/log/a/x.log"]), show(&["var/log", "var/log/a", "var/log/b"]))
        );
        assert_eq!(expand(root, "/var/log/a/x.log"), (show(&["var/log/a/x.log"]), show(&["var/log/a"])));
        assert_eq!(expand(root, "/var/new/app/x.log"), (show(&["var/new/app/x.log"]), show(&["var"])));
        let link = expand(root, "/var/log/link.log").1;
        assert_eq!(link, show(&["var/log", "var/log/../../srv"]));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for (path, why) in [
            ("var/log", "absolute"),
            ("/var/../x", "absolute"),
            ("/var/**/x", "`**`"),
            ("/", "names no file"),
            ("/[a", "glob"),
        ] {
            let error = PathGlob::parse(Path::new(path)).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
