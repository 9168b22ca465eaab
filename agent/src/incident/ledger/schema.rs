use rusqlite::Connection;
use rusqlite_migration::{Error, M, Migrations};

/// Every change of the schema since the first, in order; SQLite's `user_version` says how many a ledger has. What is here
/// is never edited, only added to.
const MIGRATIONS: &[M<'static>] = &[
    M::up(
        "CREATE TABLE incident (
        id          TEXT PRIMARY KEY,
        plugin      TEXT NOT NULL,
        policy      TEXT NOT NULL,
        kind        TEXT NOT NULL,
        target      TEXT NOT NULL,
        severity    TEXT NOT NULL,
        summary     TEXT NOT NULL,
        evidence    TEXT NOT NULL,  -- JSON
        causes      TEXT NOT NULL,  -- JSON
        state       TEXT NOT NULL,
        opened_at   INTEGER NOT NULL,  -- nanoseconds since the Unix epoch, as every time here
        resolved_at INTEGER,
        basis       TEXT NOT NULL
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX incident_open ON incident (id) WHERE resolved_at IS NULL;

     CREATE TABLE attempt (
        incident    TEXT NOT NULL REFERENCES incident (id),
        number      INTEGER NOT NULL,
        started_at  INTEGER NOT NULL,
        finished_at INTEGER,
        streak      INTEGER NOT NULL,
        actions     TEXT NOT NULL,  -- JSON: written before the first is begun
        verdict     TEXT,           -- JSON
        PRIMARY KEY (incident, number)
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX attempt_started ON attempt (started_at);

     CREATE TABLE outcome (
        incident    TEXT NOT NULL,
        attempt     INTEGER NOT NULL,
        step        INTEGER NOT NULL,
        outcome     TEXT NOT NULL,  -- JSON
        PRIMARY KEY (incident, attempt, step),
        FOREIGN KEY (incident, attempt) REFERENCES attempt (incident, number)
     ) STRICT, WITHOUT ROWID;

     CREATE TABLE transition (
        id          INTEGER PRIMARY KEY,
        incident    TEXT NOT NULL REFERENCES incident (id),
        from_state  TEXT,  -- NULL where the incident was opened
        to_state    TEXT NOT NULL,
        at          INTEGER NOT NULL,
        reason      TEXT NOT NULL
     ) STRICT;
     CREATE INDEX transition_incident ON transition (incident, id);

     CREATE TABLE plugin_state (
        policy      TEXT NOT NULL,
        key         TEXT NOT NULL,
        value       BLOB NOT NULL,
        PRIMARY KEY (policy, key)
     ) STRICT, WITHOUT ROWID;",
    ),
    M::up(
        "ALTER TABLE incident ADD COLUMN digest TEXT NOT NULL DEFAULT '';
     ALTER TABLE incident ADD COLUMN moved_at INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE incident ADD COLUMN occurred_at INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE incident ADD COLUMN round INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE incident ADD COLUMN pending TEXT;     -- JSON
     ALTER TABLE incident ADD COLUMN cause TEXT;       -- an incident
     ALTER TABLE incident ADD COLUMN flapping INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE incident ADD COLUMN resolution TEXT;
     UPDATE incident SET moved_at = opened_at, occurred_at = opened_at;
     ALTER TABLE attempt ADD COLUMN round INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE attempt ADD COLUMN digest TEXT NOT NULL DEFAULT '';
     ALTER TABLE attempt ADD COLUMN targets TEXT NOT NULL DEFAULT '[]';  -- JSON
     ALTER TABLE transition ADD COLUMN actor TEXT;

     CREATE TABLE evidence (
        incident    TEXT NOT NULL,
        attempt     INTEGER NOT NULL,
        place       INTEGER NOT NULL,
        evidence    TEXT NOT NULL,  -- JSON
        PRIMARY KEY (incident, attempt, place),
        FOREIGN KEY (incident, attempt) REFERENCES attempt (incident, number)
     ) STRICT, WITHOUT ROWID;

     CREATE TABLE hold (
        id          INTEGER PRIMARY KEY,
        policy      TEXT,
        target      TEXT,
        since       INTEGER NOT NULL,
        until       INTEGER,
        reason      TEXT NOT NULL,
        actor       TEXT NOT NULL,
        ended_at    INTEGER,
        ended_by    TEXT  -- NULL where its time did
     ) STRICT;
     CREATE TABLE trip (
        id          INTEGER PRIMARY KEY,
        at          INTEGER NOT NULL,
        reason      TEXT NOT NULL,
        closed_at   INTEGER,
        closed_by   TEXT
     ) STRICT;
     CREATE TABLE notice (
        id          INTEGER PRIMARY KEY,
        at          INTEGER NOT NULL,
        kind        TEXT NOT NULL,
        key         TEXT NOT NULL,
        notice      TEXT NOT NULL  -- JSON
     ) STRICT;",
    ),
    // The outbox: what of the notices goes where.
    M::up(
        "CREATE TABLE channel (
        name        TEXT PRIMARY KEY,
        seen        INTEGER NOT NULL,  -- the last notice that it was asked about
        sent_at     INTEGER,
        failed_at   INTEGER,
        error       TEXT
     ) STRICT, WITHOUT ROWID;

     CREATE TABLE delivery (
        notice      INTEGER NOT NULL REFERENCES notice (id) ON DELETE CASCADE,
        channel     TEXT NOT NULL,
        since       INTEGER NOT NULL,
        tries       INTEGER NOT NULL DEFAULT 0,
        next_at     INTEGER NOT NULL,
        done_at     INTEGER,
        fate        TEXT,              -- how it was done: sent, replaced, joined, given-up
        joined      INTEGER,           -- the notice that sums it up
        error       TEXT,
        PRIMARY KEY (notice, channel)
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX delivery_waiting ON delivery (channel, notice) WHERE done_at IS NULL;
     CREATE INDEX delivery_done ON delivery (done_at) WHERE done_at IS NOT NULL;
     CREATE INDEX delivery_joined ON delivery (joined) WHERE joined IS NOT NULL;

     CREATE TABLE alert (
        channel     TEXT NOT NULL,
        key         TEXT NOT NULL,
        labels      TEXT NOT NULL,     -- JSON
        annotations TEXT NOT NULL,     -- JSON
        starts_at   INTEGER NOT NULL,
        ends_at     INTEGER,
        revision    INTEGER NOT NULL DEFAULT 1,
        sent        INTEGER NOT NULL DEFAULT 0,  -- the revision that arrived
        since       INTEGER NOT NULL,            -- when this revision was made
        tries       INTEGER NOT NULL DEFAULT 0,
        next_at     INTEGER NOT NULL,
        PRIMARY KEY (channel, key)
     ) STRICT, WITHOUT ROWID;",
    ),
    // What the report, the list and pruning go by, in indices that hold all they need: no row with its JSON is read for them.
    M::up(
        "ALTER TABLE incident ADD COLUMN person INTEGER NOT NULL DEFAULT 0;  -- whether one was needed
     ALTER TABLE attempt ADD COLUMN kinds TEXT NOT NULL DEFAULT '';  -- of its actions, with commas between them
     ALTER TABLE attempt ADD COLUMN worked INTEGER;  -- NULL while not judged
     UPDATE incident SET person = 1 WHERE id IN (
        SELECT incident FROM transition WHERE actor IS NOT NULL OR to_state IN ('escalated', 'awaiting-approval'));
     UPDATE attempt SET
        kinds = (SELECT coalesce(group_concat(DISTINCT value ->> 'kind'), '') FROM json_each(actions)),
        worked = CASE verdict ->> 'verdict' WHEN 'healthy' THEN 1 WHEN 'unhealthy' THEN 0 END;

     CREATE INDEX incident_report
        ON incident (opened_at, policy, kind, target, occurred_at, resolved_at, resolution, person);
     CREATE INDEX incident_resolved ON incident (resolved_at, opened_at);
     DROP INDEX attempt_started;
     CREATE INDEX attempt_report ON attempt (started_at, kinds, worked);
     CREATE INDEX notice_at ON notice (at);",
    ),
    // Plugins that failed too often.
    M::up(
        "CREATE TABLE quarantine (
        id          INTEGER PRIMARY KEY,
        policy      TEXT NOT NULL,
        plugin      TEXT NOT NULL,
        basis       TEXT NOT NULL,  -- digest of policy and plugin
        digest      TEXT NOT NULL,  -- of the plugin alone
        since       INTEGER NOT NULL,
        reason      TEXT NOT NULL,
        ended_at    INTEGER,
        ended_by    TEXT,           -- NULL where no person did
        ended_why   TEXT
     ) STRICT;
     CREATE INDEX quarantine_open ON quarantine (policy) WHERE ended_at IS NULL;",
    ),
    // What used a policy's state last: another version may have to convert it.
    M::up(
        "CREATE TABLE plugin_state_owner (
        policy      TEXT PRIMARY KEY,
        plugin      TEXT NOT NULL,  -- as it calls itself
        version     TEXT NOT NULL
     ) STRICT, WITHOUT ROWID;",
    ),
];

/// Brings a ledger to the newest schema; one that is newer than this agent is refused.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), Error> {
    Migrations::from_slice(MIGRATIONS).to_latest(connection)
}

/// The number of the newest schema.
pub(super) const fn newest() -> usize {
    MIGRATIONS.len()
}

/// Brings an empty ledger to an old schema.
#[cfg(test)]
pub(super) fn migrate_to(connection: &mut Connection, version: usize) {
    Migrations::from_slice(MIGRATIONS).to_version(connection, version).unwrap();
}
