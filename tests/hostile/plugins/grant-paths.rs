//! Was granted the files of one directory, and asks for those of another: by `..`, by a link, by a glob, by a directory's name.
//! Nothing outside must change.
use std::sync::Mutex;

use hostile::*;

static DIRECTORY: Mutex<String> = Mutex::new(String::new());

struct Plugin;

const TRICKS: [&str; 8] = [
    "/granted/../secret/file",
    "/granted/link/file",
    "/granted/./../secret/*",
    "/secret/file",
    "/**",
    "/granted/{../secret/file}",
    "/granted/..//secret/file",
    "/granted/link/*",
];

impl Hostile for Plugin {
    fn configure(config: String) -> Result<Subscription, String> {
        if let Ok(mut directory) = DIRECTORY.lock() {
            *directory = setting(&config, "directory");
        }
        Ok(every(100))
    }
    fn detect(_: Batch) -> Vec<Finding> {
        if first() { (0..TRICKS.len()).map(|n| present(format!("path-{n}"))).collect() } else { vec![] }
    }
    fn recover(incident: Incident) -> Recovery {
        let directory = DIRECTORY.lock().map(|directory| directory.clone()).unwrap_or_default();
        let number = incident.fault.target.trim_start_matches("path-").parse().unwrap_or(0_usize);
        let target = format!("{directory}{}", TRICKS[number % TRICKS.len()]);
        Recovery::Act(plan(vec![action("file.delete", target)]))
    }
}

export!(Plugin);
