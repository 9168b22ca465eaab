//! `file.delete` and `file.truncate`: regular files by absolute path or glob, each of them covered by the policy's grant.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{Duration, Instant, SystemTime};

use super::parameters::Parameters;
use crate::action::Action;
use crate::config::Rules;
use crate::walk::{self, Found};

/// How long it may take; what is not done by then is left.
const LIMIT: Duration = Duration::from_secs(60);
/// Files that an outcome tells of one by one.
const TOLD: usize = 3;
/// What `st_blocks` counts in, on every file system (stat(2)).
const BLOCK: u64 = 512;

/// What to do to the files that are left after the filters.
#[derive(Debug, Clone, Copy)]
enum Deed {
    /// Delete all but so many of the newest.
    Delete { keep_newest: usize },
    /// Cut down to the last so many bytes.
    Truncate { keep_bytes: u64 },
}

/// Which files are meant.
#[derive(Debug, Clone, Copy, Default)]
struct Filter {
    older_than: Option<Duration>,
    larger_than: Option<u64>,
}

/// Deletes files. Of all that match the target, the `keep_newest` newest are kept; of the others those go that pass
/// `older_than_ms` and `larger_than`.
pub(super) async fn delete(action: &Action, rules: &Rules) -> Result<String, String> {
    let parameters = Parameters::of(action, &["older_than_ms", "larger_than", "keep_newest"])?;
    let keep_newest = parameters.count("keep_newest")?.unwrap_or(0).try_into().unwrap_or(usize::MAX);
    aside(action, rules, filter(&parameters)?, Deed::Delete { keep_newest }).await
}

/// Cuts files down to their last `keep_bytes`, in place: whoever has one open goes on writing to it. What is written between
/// the last look and the cut is lost, as with `copytruncate`.
pub(super) async fn truncate(action: &Action, rules: &Rules) -> Result<String, String> {
    let parameters = Parameters::of(action, &["older_than_ms", "larger_than", "keep_bytes"])?;
    let keep_bytes = parameters.count("keep_bytes")?.unwrap_or(0);
    aside(action, rules, filter(&parameters)?, Deed::Truncate { keep_bytes }).await
}

fn filter(parameters: &Parameters<'_>) -> Result<Filter, String> {
    let older_than = parameters.count("older_than_ms")?.map(Duration::from_millis);
    Ok(Filter { older_than, larger_than: parameters.count("larger_than")? })
}

/// On a thread of its own: a disk may take its time.
async fn aside(action: &Action, rules: &Rules, filter: Filter, deed: Deed) -> Result<String, String> {
    let (action, rules) = (action.clone(), rules.clone());
    let (now, deadline) = (SystemTime::now(), Instant::now() + LIMIT);
    let work = tokio::task::spawn_blocking(move || act(&action, &rules, filter, deed, now, deadline));
    work.await.unwrap_or_else(|error| Err(error.to_string()))
}

fn act(
    action: &Action,
    rules: &Rules,
    filter: Filter,
    deed: Deed,
    now: SystemTime,
    deadline: Instant,
) -> Result<String, String> {
    let walk = walk::find(&action.target, deadline)?;
    let mut report = Report { left: walk.skipped.into_iter().collect(), ..Report::default() };
    // Before anything is touched: a glob that leaves the grant is a mistake in whole.
    let is_granted = |path| rules.grant.iter().any(|pattern| pattern.covers(&action.kind, path));
    if let Some(path) = walk.files.keys().find(|path| !is_granted(path)) {
        let line = format!("\"{}:{}\"", action.kind, path.display());
        return Err(format!("not granted; [grant] actions = [{line}] would allow it; nothing was touched"));
    }
    if walk.files.is_empty() && !walk.is_glob {
        return Err(report.left.pop().unwrap_or_else(|| format!("there is no file {}", action.target)));
    }
    let mut files: Vec<Found> = walk.files.into_iter().map(|(path, metadata)| Found { path, metadata }).collect();
    if let Deed::Delete { keep_newest } = deed {
        files.sort_by_key(|file| std::cmp::Reverse((file.metadata.mtime(), file.metadata.mtime_nsec())));
        files.drain(..keep_newest.min(files.len()));
    }
    files.retain(|file| filter.takes(file, now));
    for file in files {
        if Instant::now() >= deadline {
            report.failed.push(format!("{} and what comes after it: out of time", file.path.display()));
            break;
        }
        match deed {
            Deed::Delete { .. } => report.deleted(&file),
            Deed::Truncate { keep_bytes } => report.truncated(&file, keep_bytes),
        }
    }
    let verb = if matches!(deed, Deed::Delete { .. }) { "deleted" } else { "truncated" };
    report.outcome(verb, &action.target)
}

impl Filter {
    fn takes(&self, file: &Found, now: SystemTime) -> bool {
        // A file of the future is younger than anything.
        let age =
            file.metadata.modified().ok().and_then(|modified| now.duration_since(modified).ok()).unwrap_or_default();
        self.older_than.is_none_or(|limit| age > limit)
            && self.larger_than.is_none_or(|limit| file.metadata.len() > limit)
    }
}

/// What was done.
#[derive(Debug, Default)]
struct Report {
    done: usize,
    freed: u64,
    /// Files whose content lives on under another name.
    linked: usize,
    left: Vec<String>,
    failed: Vec<String>,
}

impl Report {
    fn deleted(&mut self, file: &Found) {
        match file.unlink() {
            Err(error) => self.failed.push(error),
            Ok(()) => {
                self.done += 1;
                if file.metadata.nlink() > 1 {
                    self.linked += 1;
                } else {
                    self.freed += file.metadata.blocks() * BLOCK;
                }
            }
        }
    }

    fn truncated(&mut self, file: &Found, keep: u64) {
        if file.metadata.len() <= keep {
            return;
        }
        // Its content also belongs to a name that nobody granted anything for.
        if file.metadata.nlink() > 1 {
            return self.left.push(format!("{} has other names (hard links)", file.path.display()));
        }
        let cut = file.open().and_then(|open| cut(&open, keep).map_err(|error| file.fail(&error)));
        match cut {
            Err(error) => self.failed.push(error),
            Ok(freed) => {
                self.done += 1;
                self.freed += freed;
            }
        }
    }

    /// `deleted 3 files, 12288 bytes freed; left alone: …`. To have nothing to do is a success: the goal is reached.
    fn outcome(self, verb: &str, target: &str) -> Result<String, String> {
        let mut detail = match self.done {
            0 if self.failed.is_empty() => format!("nothing to do: no file of {target} is left after the filters"),
            1 => format!("{verb} 1 file, {} bytes freed", self.freed),
            count => format!("{verb} {count} files, {} bytes freed", self.freed),
        };
        if self.linked > 0 {
            detail.push_str(&format!("; {} of them freed nothing, they have other names (hard links)", self.linked));
        }
        detail.push_str(&some(&self.left, "left alone"));
        detail.push_str(&some(&self.failed, "failed"));
        if self.failed.is_empty() { Ok(detail) } else { Err(detail) }
    }
}

/// `; left alone: a, b and 7 more`.
fn some(entries: &[String], label: &str) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let told: Vec<&str> = entries.iter().take(TOLD).map(String::as_str).collect();
    let more = match entries.len().saturating_sub(TOLD) {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    format!("; {label}: {}{more}", told.join(", "))
}

/// Moves the last `keep` bytes to the front and cuts off the rest; bytes that the file takes less on disk.
fn cut(file: &File, keep: u64) -> io::Result<u64> {
    let before = file.metadata()?;
    let mut source = before.len().saturating_sub(keep);
    let mut length = 0;
    if keep > 0 && source > 0 {
        let mut buffer = [0; 64 * 1024];
        // No further than it was long: a writer may be faster.
        while length < keep {
            let room = usize::try_from(keep - length).unwrap_or(usize::MAX).min(buffer.len());
            let (chunk, _) = buffer.split_at_mut(room);
            let count = file.read_at(chunk, source)?;
            if count == 0 {
                break;
            }
            file.write_all_at(chunk.split_at(count).0, length)?;
            source += count as u64;
            length += count as u64;
        }
    }
    file.set_len(length)?;
    Ok(before.blocks().saturating_sub(file.metadata()?.blocks()) * BLOCK)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};

    use tempfile::TempDir;

    use super::*;
    use crate::action::actuator::testing::action;
    use crate::config::Pattern;
    use crate::signal::Value;

    struct Place {
        _directory: TempDir,
        root: PathBuf,
    }

    impl Place {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            Self { root: directory.path().canonicalize().unwrap(), _directory: directory }
        }

        /// A file whose content is on the disk, of an age in seconds.
        fn file(&self, path: &str, size: usize, age: u64) -> PathBuf {
            let path = self.root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let content: Vec<u8> = (0..size).map(|index| b'a' + (index % 26) as u8).collect();
            fs::write(&path, content).unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
            file.sync_all().unwrap();
            path
        }

        fn rules(&self, grants: &[&str]) -> Rules {
            let grant = |line: &&str| {
                let (kind, path) = line.split_once(':').unwrap();
                Pattern::parse(&format!("{kind}:{}/{path}", self.root.display())).unwrap()
            };
            Rules { grant: grants.iter().map(grant).collect(), ..Rules::default() }
        }

        async fn act(
            &self,
            kind: &str,
            target: &str,
            grants: &[&str],
            parameters: &[(&str, i64)],
        ) -> Result<String, String> {
            let parameters: Vec<_> = parameters.iter().map(|(key, value)| (*key, Value::Integer(*value))).collect();
            let action = action(kind, format!("{}/{target}", self.root.display()), &parameters);
            match kind {
                "file.delete" => delete(&action, &self.rules(grants)).await,
                _ => truncate(&action, &self.rules(grants)).await,
            }
        }
    }

    #[tokio::test]
    async fn files_are_deleted_by_age_size_and_rank() {
        let place = Place::new();
        let names = |place: &Place| {
            let mut names: Vec<_> =
                fs::read_dir(&place.root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        for (name, size, age) in
            [("a", 65536, 500), ("b", 65536, 400), ("c", 10, 300), ("d", 65536, 200), ("e", 65536, 10)]
        {
            place.file(name, size, age);
        }
        let filters = [("older_than_ms", 100_000), ("larger_than", 100), ("keep_newest", 2)];
        let detail = place.act("file.delete", "*", &["file.delete:*"], &filters).await.unwrap();
        assert!(detail.starts_with("deleted 2 files, ") && !detail.contains(" 0 bytes"), "{detail}");
        assert_eq!(names(&place), ["c", "d", "e"]);
        let again = place.act("file.delete", "*", &["file.delete:*"], &filters).await.unwrap();
        assert!(again.contains("nothing to do"), "{again}");
        let missing = place.act("file.delete", "a", &["file.delete:*"], &[]).await.unwrap_err();
        assert!(missing.contains("there is no file"), "{missing}");
        let typo = place.act("file.delete", "*", &["file.delete:*"], &[("older_than", 1)]).await.unwrap_err();
        assert!(typo.contains("did you mean `older_than_ms`"), "{typo}");
        assert_eq!(names(&place), ["c", "d", "e"]);
    }

    #[tokio::test]
    async fn a_glob_that_leaves_the_grant_touches_nothing() {
        let place = Place::new();
        let granted = place.file("logs/a.log", 10, 0);
        let other = place.file("logs/deep/b.log", 10, 0);
        let database = place.file("data/db", 10, 0);
        for target in ["**/*", "logs/**", "*/*", "{logs,data}/*", "logs/deep/*.log"] {
            let error = place.act("file.delete", target, &["file.delete:logs/*.log"], &[]).await.unwrap_err();
            assert!(error.contains("not granted") && error.contains("nothing was touched"), "{target}: {error}");
        }
        for target in ["logs/../data/db", "logs/./../data/*"] {
            let error = place.act("file.delete", target, &["file.delete:**"], &[]).await.unwrap_err();
            assert!(error.contains("without `..`"), "{error}");
        }
        // A grant of one kind is none of another.
        assert!(place.act("file.truncate", "logs/a.log", &["file.delete:logs/*"], &[]).await.is_err());
        assert!(granted.exists() && other.exists() && database.exists());
    }

    #[tokio::test]
    async fn symbolic_links_lead_nowhere() {
        let place = Place::new();
        let precious = place.file("precious/gold", 100, 0);
        fs::create_dir(place.root.join("logs")).unwrap();
        symlink(&precious, place.root.join("logs/a.log")).unwrap();
        symlink(place.root.join("precious"), place.root.join("logs/dir")).unwrap();
        for kind in ["file.delete", "file.truncate"] {
            let all = [format!("{kind}:**")];
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            for target in ["logs/a.log", "logs/dir/gold"] {
                let error = place.act(kind, target, &all, &[]).await.unwrap_err();
                assert!(error.contains("a symbolic link, which is not followed"), "{error}");
            }
            let detail = place.act(kind, "logs/*", &all, &[]).await.unwrap();
            assert!(detail.contains("nothing to do") && detail.contains("left alone"), "{detail}");
            place.act(kind, "logs/**", &all, &[]).await.unwrap();
        }
        assert_eq!(fs::metadata(&precious).unwrap().len(), 100);
        assert!(place.root.join("logs/a.log").is_symlink());
    }

    #[tokio::test]
    async fn other_names_of_a_file_are_said_to_free_nothing() {
        let place = Place::new();
        let first = place.file("a", 65536, 0);
        fs::hard_link(&first, place.root.join("b")).unwrap();
        let left = place.act("file.truncate", "a", &["file.*:*"], &[]).await.unwrap();
        assert!(left.contains("left alone") && left.contains("hard links"), "{left}");
        assert_eq!(fs::metadata(&first).unwrap().len(), 65536);
        let detail = place.act("file.delete", "a", &["file.*:*"], &[]).await.unwrap();
        assert!(detail.contains("1 file, 0 bytes freed") && detail.contains("freed nothing"), "{detail}");
    }

    #[tokio::test]
    async fn a_truncated_file_keeps_its_end_and_its_writer() {
        let place = Place::new();
        let path = place.file("a.log", 300_000, 0);
        let whole = fs::read(&path).unwrap();
        let mut writer = File::options().append(true).open(&path).unwrap();
        let detail =
            place.act("file.truncate", "*.log", &["file.truncate:*.log"], &[("keep_bytes", 100_001)]).await.unwrap();
        assert!(detail.starts_with("truncated 1 file, ") && !detail.contains(" 0 bytes"), "{detail}");
        assert_eq!(fs::read(&path).unwrap(), whole[300_000 - 100_001..]);
        io::Write::write_all(&mut writer, b"more").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 100_005);
        place.act("file.truncate", "a.log", &["file.truncate:*.log"], &[]).await.unwrap();
        assert_eq!(fs::metadata(Path::new(&path)).unwrap().len(), 0);
    }
}
