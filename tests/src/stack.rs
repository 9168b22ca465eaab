//! What runs on the hosts of many: PostgreSQL, Redis and nginx on a host of the lab, as Debian has packaged them.

use std::fs;

use anyhow::{Context, Result};

use crate::lab::{self, Host};

/// Debian's unit of nginx.
pub const NGINX: &str = "nginx.service";
/// Debian's unit of Redis.
pub const REDIS: &str = "redis-server.service";
/// The port that Debian's Redis listens on.
pub const REDIS_PORT: u16 = 6379;

const VERSIONS: &str = "/usr/lib/postgresql";
const REDIS_CONFIG: &str = "/etc/redis/redis.conf";

/// A host for databases; none where the test is skipped.
///
/// # Panics
/// As [`lab::host_or_skip`] does.
#[track_caller]
pub fn host_or_skip(name: &str) -> Option<Host> {
    let files = [
        ("/usr/bin/pg_createcluster", "apt-get install postgresql"),
        ("/lib/systemd/system/redis-server.service", "apt-get install redis-server"),
        ("/lib/systemd/system/nginx.service", "apt-get install nginx-light"),
    ];
    if files.into_iter().any(|(file, remedy)| lab::skip_without(file, remedy)) {
        return None;
    }
    lab::host_or_skip(name)
}

/// A cluster of PostgreSQL: a server of its own, with databases of its own.
#[derive(Debug)]
pub struct Postgres {
    host: Host,
    unit: String,
    data: String,
    port: String,
}

impl Postgres {
    /// Makes a cluster by Debian's tools and starts its unit, as an administrator would.
    pub fn start(host: &Host, name: &str, port: u16) -> Result<Postgres> {
        let installed = fs::read_dir(VERSIONS)?.flatten().filter(|entry| entry.path().join("bin/postgres").is_file());
        let versions = installed.filter_map(|entry| entry.file_name().into_string().ok());
        let version = versions.max_by_key(|version| version.parse::<u32>().ok()).context("no server of PostgreSQL")?;
        let port = port.to_string();
        host.run(&["pg_createcluster", "--port", &port, &version, name, "--", "--no-sync"])?;
        let unit = format!("postgresql@{version}-{name}.service");
        host.run(&["systemctl", "start", &unit])?;
        Ok(Postgres { host: host.clone(), unit, data: format!("/var/lib/postgresql/{version}/{name}"), port })
    }

    /// Its unit.
    pub fn unit(&self) -> &str {
        &self.unit
    }

    /// The directory of its data, on its host.
    pub fn data(&self) -> &str {
        &self.data
    }

    /// Runs a statement over its socket, as its superuser, and returns the rows, a line each.
    pub fn sql(&self, statement: &str) -> Result<String> {
        let psql = ["psql", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-qAt", "-h", "/run/postgresql", "-p", &self.port];
        let command = [&["runuser", "-u", "postgres", "--"], &psql[..], &["-c", statement]].concat();
        Ok(self.host.run(&command)?.trim_end().to_owned())
    }
}

/// Starts Redis, as a unit that its manager does not bring back by itself: there would be nothing to heal.
pub fn start_redis(host: &Host) -> Result<()> {
    host.write_unit(&format!("{REDIS}.d/lab.conf"), "[Service]\nRestart=no\n")?;
    host.run(&["systemctl", "start", REDIS]).map(drop)
}

/// Says something to Redis and returns the answer.
pub fn redis(host: &Host, words: &[&str]) -> Result<String> {
    Ok(host.run(&[&["redis-cli", "-e"], words].concat())?.trim_end().to_owned())
}

/// Gives Redis a configuration that it refuses to start with, and returns the good one.
pub fn break_redis(host: &Host) -> Result<String> {
    let good = host.read(REDIS_CONFIG)?;
    host.write(REDIS_CONFIG, format!("{good}\nno-such-directive yes\n"))?;
    Ok(good)
}

/// Gives Redis a configuration.
pub fn configure_redis(host: &Host, config: &str) -> Result<()> {
    host.write(REDIS_CONFIG, config)
}
