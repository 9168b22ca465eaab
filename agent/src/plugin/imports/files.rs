use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use super::Host;
use super::contract::files::{Entry, Host as Files};
use crate::plugin::limits;
use crate::walk;

impl Files for Host {
    fn largest(&mut self, pattern: String, limit: u32) -> wasmtime::Result<Result<Vec<Entry>, String>> {
        self.timed(|host, deadline| Ok(host.look(&pattern, limit, deadline)))
    }
}

impl Host {
    fn look(&self, pattern: &str, limit: u32, deadline: Instant) -> Result<Vec<Entry>, String> {
        // Looking takes CPU time, which is the call's: half of it is left for what the plugin makes of the answer.
        let now = Instant::now();
        let patience = deadline.saturating_duration_since(now).min(self.limits.call_cpu / 2);
        // Why is not said: it would name files that the policy does not let the plugin see.
        let walk = walk::find(pattern, now + patience).map_err(|_| {
            let millis = patience.as_millis();
            let why = "is no absolute path glob, or there is more than can be looked through";
            format!("`{pattern}` {why} in {millis} ms")
        })?;
        // What is asked for may go beyond what is granted: the file counts, not the question.
        let granted = walk.files.iter().filter(|(path, _)| self.files.iter().any(|glob| glob.covers_path(path)));
        let mut entries: Vec<Entry> = granted
            .map(|(path, metadata)| Entry {
                path: path.to_string_lossy().into_owned(),
                bytes: metadata.len(),
                modified: u64::try_from(metadata.mtime()).unwrap_or(0).saturating_mul(1_000_000_000),
            })
            .collect();
        entries.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
        entries.truncate(limits::FILES.min(limit as usize));
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Pattern;
    use crate::plugin::imports::Interfaces;
    use crate::plugin::limits::Limits;

    #[test]
    fn the_largest_that_are_granted_are_seen_and_nothing_is_said_of_others() {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in [("log/small", 1), ("log/large", 30), ("log/old/medium", 20), ("secret/huge", 99)] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, vec![b'x'; bytes]).unwrap();
        }
        let root = dir.path().to_str().unwrap();
        let granted = vec![Pattern::on_paths(&format!("{root}/log/**")).unwrap()];
        let mut host = Host::new("test".into(), Interfaces::default(), granted, [0; 32], &Limits::default());
        let mut look = |pattern: &str, limit| host.largest(format!("{root}{pattern}"), limit).unwrap();
        let sizes = |entries: Vec<Entry>| entries.iter().map(|entry| entry.bytes).collect::<Vec<_>>();
        assert_eq!(sizes(look("/**", 10).unwrap()), [30, 20, 1]);
        assert_eq!(sizes(look("/**", 2).unwrap()), [30, 20]);
        assert_eq!(sizes(look("/secret/*", 10).unwrap()), Vec::<u64>::new());
        let error = look("/log/../secret/*", 10).unwrap_err();
        assert!(error.contains("no absolute path glob") && !error.contains("huge"), "{error}");
    }

    #[test]
    fn a_look_that_takes_too_long_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        for name in 0..200 {
            std::fs::write(dir.path().join(format!("{name}")), "").unwrap();
        }
        let root = dir.path().to_str().unwrap();
        let granted = vec![Pattern::on_paths(&format!("{root}/**")).unwrap()];
        let limits = Limits { host_call: std::time::Duration::ZERO, ..Limits::default() };
        let mut host = Host::new("test".into(), Interfaces::default(), granted, [0; 32], &limits);
        let error = host.largest(format!("{root}/*"), 10).unwrap().unwrap_err();
        assert!(error.contains("in 0 ms"), "{error}");
    }
}
