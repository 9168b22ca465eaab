//! Who else may change what this process obeys: files, the directories they are in, and all directories on the way to them,
//! as OpenSSH judges `authorized_keys`.

use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::{fmt, fs, io};

use uzers::os::unix::GroupExt as _;
use uzers::{get_group_by_gid, get_user_by_uid};

const ROOT: u32 = 0;
const GROUP: u32 = 0o020;
const OTHERS: u32 = 0o002;
const STICKY: u32 = 0o1000;
/// Symbolic links on the way to one file: as many as the kernel follows.
const MAX_LINKS: usize = 40;

/// Judges on behalf of a user: what belongs to root or to the user itself, and nobody else may write, is fine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Permission {
    user: u32,
}

/// Why something is not to be obeyed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Exposed {
    /// It cannot be looked at.
    #[error("{path} cannot be looked at: {error}", path = .path.display())]
    Unknown {
        /// What.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It belongs to somebody who may change it at any time.
    #[error(
        "{path} belongs to {owner}, who may change it (mode {mode:04o}); if its content is to be trusted, `chown {user} {path}`",
        path = .path.display()
    )]
    Foreign {
        /// What.
        path: PathBuf,
        /// Its mode's permission bits.
        mode: u32,
        /// Whose it is.
        owner: Name,
        /// Whose it should be.
        user: Name,
    },
    /// Others may write it.
    #[error(
        "{path} may be changed by {who} (mode {mode:04o}); if its content is to be trusted, `chmod {mend} {path}`",
        path = .path.display()
    )]
    Writable {
        /// What.
        path: PathBuf,
        /// Its mode's permission bits.
        mode: u32,
        /// By whom.
        who: String,
        /// What to tell `chmod`.
        mend: &'static str,
    },
}

/// A user, by name where there is one.
#[derive(Debug)]
pub(crate) struct Name(u32);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match get_user_by_uid(self.0) {
            Some(user) => user.name().to_string_lossy().fmt(f),
            None => self.0.fmt(f),
        }
    }
}

impl Permission {
    /// On behalf of the user this process runs as.
    pub(crate) fn of_this_process() -> Self {
        Self { user: rustix::process::geteuid().as_raw() }
    }

    /// Judges a directory, through all links, and the way to it. That it is sticky does not help: anybody who may write it
    /// may add to it.
    pub(crate) fn directory(self, path: &Path) -> Result<(), Exposed> {
        self.file(path)
    }

    /// Judges a file, through all links, and the way to it.
    pub(crate) fn file(self, path: &Path) -> Result<(), Exposed> {
        let unknown = |path: &Path, error| Exposed::Unknown { path: path.to_owned(), error };
        let path = std::path::absolute(path).map_err(|error| unknown(path, error))?;
        let mut here = PathBuf::from("/");
        let mut rest = names(&path);
        let mut links = 0;
        loop {
            let metadata = fs::symlink_metadata(&here).map_err(|error| unknown(&here, error))?;
            if metadata.is_symlink() {
                self.owner(&here, &metadata)?;
                links += 1;
                let target = fs::read_link(&here).map_err(|error| unknown(&here, error))?;
                if links > MAX_LINKS {
                    return Err(unknown(&path, io::Error::other("too many symbolic links")));
                }
                if target.is_absolute() {
                    here = "/".into();
                } else {
                    here.pop();
                }
                rest.extend(names(&target));
            } else if rest.is_empty() {
                return self.end(&here, &metadata);
            } else {
                self.way(&here, &metadata)?;
            }
            // What `..` leads back to was judged on the way in.
            while rest.pop_if(|name| name == "..").is_some() {
                here.pop();
            }
            here.extend(rest.pop());
        }
    }

    /// Judges something that has been reached already, such as an open file.
    pub(crate) fn end(self, path: &Path, metadata: &Metadata) -> Result<(), Exposed> {
        self.owner(path, metadata)?;
        self.writers(path, metadata)
    }

    /// A directory on the way: where it is sticky, nobody can replace what is in it and belongs to somebody else.
    fn way(self, path: &Path, metadata: &Metadata) -> Result<(), Exposed> {
        self.owner(path, metadata)?;
        if metadata.mode() & STICKY == STICKY { Ok(()) } else { self.writers(path, metadata) }
    }

    fn owner(self, path: &Path, metadata: &Metadata) -> Result<(), Exposed> {
        if [ROOT, self.user].contains(&metadata.uid()) {
            return Ok(());
        }
        let (owner, user) = (Name(metadata.uid()), Name(self.user));
        Err(Exposed::Foreign { path: path.to_owned(), mode: bits(metadata), owner, user })
    }

    fn writers(self, path: &Path, metadata: &Metadata) -> Result<(), Exposed> {
        let mode = metadata.mode();
        let group = mode & GROUP != 0 && !self.is_private(metadata.gid());
        let (who, mend) = match (group, mode & OTHERS != 0) {
            (false, false) => return Ok(()),
            (true, false) => (format!("its group {}", group_name(metadata.gid())), "g-w"),
            (_, true) if mode & GROUP != 0 => ("everybody".to_owned(), "go-w"),
            (_, true) => ("everybody".to_owned(), "o-w"),
        };
        Err(Exposed::Writable { path: path.to_owned(), mode: bits(metadata), who, mend })
    }

    /// Whether a group is the user's own and has nobody else in it, as distributions make one for each ordinary user; there
    /// the umask leaves the group its right to write.
    fn is_private(self, group: u32) -> bool {
        let (Some(user), Some(group)) = (get_user_by_uid(self.user), get_group_by_gid(group)) else { return false };
        self.user != ROOT
            && user.primary_group_id() == group.gid()
            && user.name() == group.name()
            && group.members().iter().all(|member| member == user.name())
    }
}

/// The names in a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().rev().filter_map(name).collect()
}

fn bits(metadata: &Metadata) -> u32 {
    metadata.permissions().mode() & 0o7777
}

fn group_name(gid: u32) -> String {
    get_group_by_gid(gid).map_or_else(|| gid.to_string(), |group| group.name().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A directory `in/plugins` with a file in it, below a directory that nobody else may enter.
    fn place() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().canonicalize().unwrap().join("in/plugins");
        fs::create_dir_all(&directory).unwrap();
        mode(directory.parent().unwrap(), 0o755);
        mode(&directory, 0o755);
        let file = directory.join("a.wasm");
        fs::write(&file, "a").unwrap();
        mode(&file, 0o644);
        (root, directory, file)
    }

    fn refusal(result: Result<(), Exposed>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn what_others_may_write_is_refused_with_mode_and_remedy() {
        let (_root, directory, file) = place();
        let permission = Permission::of_this_process();
        permission.directory(&directory).unwrap();
        permission.file(&file).unwrap();
        for (bits, expected) in [(0o666, "mode 0666"), (0o646, "mode 0646"), (0o602, "mode 0602")] {
            mode(&file, bits);
            let words = refusal(permission.file(&file));
            assert!(words.contains(expected) && words.contains("everybody"), "{words}");
            let mend = if bits == 0o666 { "go-w" } else { "o-w" };
            assert!(words.contains(&format!("`chmod {mend} {}`", file.display())), "{words}");
        }
        mode(&file, 0o644);
        // To be sticky helps a directory on the way, not the one that is looked into.
        for bits in [0o777, 0o1777] {
            mode(&directory, bits);
            assert!(refusal(permission.directory(&directory)).contains(&format!("(mode {bits:04o})")));
        }
        permission.file(&file).unwrap();
        mode(&directory, 0o777);
        assert!(refusal(permission.file(&file)).contains("chmod go-w"), "a directory on the way");
        mode(&directory, 0o755);
        mode(directory.parent().unwrap(), 0o757);
        assert!(refusal(permission.directory(&directory)).contains("in may be changed by everybody (mode 0757)"));
    }

    #[test]
    fn a_group_may_write_only_if_it_is_the_users_own() {
        let (_root, _, file) = place();
        let (user, group) = (rustix::process::geteuid().as_raw(), fs::metadata(&file).unwrap().gid());
        mode(&file, 0o664);
        let permission = Permission { user };
        let result = permission.file(&file);
        if permission.is_private(group) {
            result.unwrap();
        } else {
            let words = refusal(result);
            assert!(words.contains("its group") && words.contains("chmod g-w"), "{words}");
        }
        let root = Permission { user: ROOT };
        assert!(!root.is_private(0), "root's group may have others in it");
    }

    #[test]
    fn what_belongs_to_another_user_is_refused() {
        let (_root, directory, file) = place();
        let owner = fs::metadata(&file).unwrap().uid();
        if owner == ROOT {
            // Root's files are fine for everybody; those of others are not, for root.
            Permission { user: 4242 }.end(&file, &fs::metadata(&file).unwrap()).unwrap();
            std::os::unix::fs::chown(&directory, Some(4242), None).unwrap();
            let words = refusal(Permission { user: ROOT }.file(&file));
            assert!(words.contains("plugins belongs to 4242") && words.contains("`chown root "), "{words}");
        } else {
            let other = Permission { user: owner.wrapping_add(1) };
            assert!(refusal(other.end(&file, &fs::metadata(&file).unwrap())).contains("chown"));
        }
    }

    #[test]
    fn links_are_judged_by_what_they_lead_to_and_by_the_way_there() {
        let (root, directory, file) = place();
        let permission = Permission::of_this_process();
        let open = root.path().canonicalize().unwrap().join("open");
        fs::create_dir_all(open.join("inner")).unwrap();
        mode(&open.join("inner"), 0o755);
        let target = open.join("inner/b.wasm");
        fs::write(&target, "b").unwrap();
        mode(&target, 0o644);
        mode(&open, 0o755);
        let link = directory.join("b.wasm");
        symlink("../../open/inner/../inner/b.wasm", &link).unwrap();
        permission.file(&link).unwrap();
        // The directory that the link leads through can be exchanged by anybody.
        mode(&open, 0o777);
        assert!(refusal(permission.file(&link)).contains("open may be changed by everybody"));
        mode(&open, 0o755);
        mode(&target, 0o666);
        assert!(refusal(permission.file(&link)).contains("b.wasm may be changed by everybody (mode 0666)"));
        fs::remove_file(&link).unwrap();
        symlink(&link, &link).unwrap();
        assert!(refusal(permission.file(&link)).contains("too many symbolic links"));
        assert!(refusal(permission.file(&file.with_extension("absent"))).contains("cannot be looked at"));
    }

    #[test]
    fn a_sticky_directory_on_the_way_is_fine() {
        let (_root, directory, file) = place();
        mode(directory.parent().unwrap(), 0o1777);
        Permission::of_this_process().file(&file).unwrap();
        Permission::of_this_process().directory(&directory).unwrap();
    }
}
