//! The report: how often what fails, for how long, and how well it is healed.
//!
//! With `W` the length of the window and, of one group, `n` the number of targets that had an incident in it:
//!
//! | figure | formula | source |
//! |---|---|---|
//! | incidents | opened in the window | |
//! | failure rate | incidents / W, per day | IEC 60050-192, failure intensity |
//! | MTTD | mean of opened − occurred | ITIL, mean time to detect |
//! | MTTR | mean of resolved − opened, or now − opened while open | IEC 60050-192, mean time to restoration; ITIL, MTRS |
//! | downtime | for each target the union of its open time in the window, summed | |
//! | MTBF | (n·W − downtime) / incidents | IEC 60050-192, mean operating time between failures |
//! | availability | 1 − downtime / (n·W) | IEC 60050-192, mean availability; Site Reliability Engineering, ch. 3 |
//! | healed alone | healed or self-cleared without a person / those and all a person was needed for | |
//! | recurrence | resolved ones whose fault was opened again within 24 h / resolved ones | |
//! | worked | attempts judged healthy / attempts judged | |
//!
//! Incidents that were opened before the window and reach into it count for the downtime, and for nothing else. Two
//! incidents that are open at once on one target are one downtime. A target without an incident is unknown here, and so
//! in no group's `n`.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::time::Duration;

use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};

use super::{LedgerError, LedgerReader, read};
use crate::clock::Timestamp;

/// A fault that is back within this time was not healed for good.
const RECURRENCE: Duration = Duration::from_secs(24 * 3600);
const DAY: f64 = 86_400.0;

/// What makes a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupBy {
    /// What the fault is about.
    #[default]
    Target,
    /// The fault's kind.
    Kind,
    /// The policy.
    Policy,
    /// The plugin's content, as `plugin@digest`: which version heals better?
    PluginDigest,
}

impl GroupBy {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Target, Self::Kind, Self::Policy, Self::PluginDigest];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Kind => "kind",
            Self::Policy => "policy",
            Self::PluginDigest => "plugin-digest",
        }
    }

    /// The group's name in SQL: of an incident, and of an attempt with its incident.
    const fn columns(self) -> (&'static str, &'static str) {
        match self {
            Self::Target => ("target", "incident.target"),
            Self::Kind => ("kind", "incident.kind"),
            Self::Policy => ("policy", "incident.policy"),
            // An incident may outlive the plugin that found it; an attempt counts for the one that planned it.
            Self::PluginDigest => (
                "plugin || '@' || digest",
                "incident.plugin || '@' || iif(attempt.digest = '', incident.digest, attempt.digest)",
            ),
        }
    }
}

impl FromStr for GroupBy {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|by| by.as_str() == word).ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            format!("a report is not by `{word}`; it is by one of {all}")
        })
    }
}

/// `GET /v1/report`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The window's beginning.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// What makes a group.
    pub by: GroupBy,
    /// The one with the most downtime first.
    pub groups: Vec<Group>,
    /// All of it as one group.
    pub total: Group,
}

/// The figures of a group; see the module for their formulas. Null where there is nothing to divide by.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Group {
    /// Whose.
    pub name: String,
    /// Targets that had an incident.
    pub targets: u64,
    /// Opened in the window.
    pub incidents: u64,
    /// Of those, still open.
    pub open: u64,
    /// Incidents per day.
    pub failure_rate: f64,
    /// Mean time to detect, seconds.
    pub mttd_s: Option<f64>,
    /// Mean time to restoration, seconds.
    pub mttr_s: Option<f64>,
    /// Mean operating time between failures, seconds.
    pub mtbf_s: Option<f64>,
    /// Seconds.
    pub downtime_s: f64,
    /// 0..1.
    pub availability: Option<f64>,
    /// Share healed without a person, 0..1.
    pub healed_alone: Option<f64>,
    /// Share that came back within 24 h, 0..1.
    pub recurrence: Option<f64>,
    /// What was tried, by the kinds of action in it; an attempt of several kinds counts for each.
    pub actions: BTreeMap<String, Tries>,
}

/// Attempts in the window.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Tries {
    /// Begun.
    pub attempts: u64,
    /// Of those, judged.
    pub judged: u64,
    /// Of those, judged healthy.
    pub healthy: u64,
    /// `healthy` of `judged`, 0..1.
    pub worked: Option<f64>,
}

/// What the report needs to know of an incident.
#[derive(Debug, Clone)]
struct Span {
    group: String,
    policy: String,
    kind: String,
    target: String,
    occurred_at: Timestamp,
    opened_at: Timestamp,
    resolved_at: Option<Timestamp>,
    /// Resolved as healed or self-cleared.
    healed: bool,
    /// A person had to do with it, or should have.
    person: bool,
}

/// Attempts of one group with the same kinds of action and the same end.
#[derive(Debug, Clone)]
struct Count {
    group: String,
    /// With commas between them.
    kinds: String,
    worked: Option<bool>,
    count: u64,
}

/// Policy, kind and target: what is the same fault when it comes back.
type FaultName = (String, String, String);

/// The report as it is being counted.
#[derive(Debug)]
struct Tally {
    from: Timestamp,
    to: Timestamp,
    groups: HashMap<String, Sums>,
    total: Sums,
    /// The last incident of each fault: when it was resolved, and of which group it is if it counts there.
    last: HashMap<FaultName, (Option<Timestamp>, Option<String>)>,
}

/// What is summed up of a group.
#[derive(Debug, Default)]
struct Sums {
    incidents: u64,
    resolved: u64,
    detecting: Duration,
    restoring: Duration,
    alone: u64,
    with_person: u64,
    recurred: u64,
    /// How long each target was down, and up to when that is counted.
    down: HashMap<String, (Duration, Timestamp)>,
    actions: BTreeMap<String, Tries>,
}

impl Tally {
    fn new(from: Timestamp, to: Timestamp) -> Self {
        Self { from, to, groups: HashMap::new(), total: Sums::default(), last: HashMap::new() }
    }

    /// Counts an incident; they come in the order in which they were opened.
    fn add(&mut self, span: Span) {
        let (from, to) = (self.from, self.to);
        let counts = span.opened_at >= from;
        let fault = (span.policy.clone(), span.kind.clone(), span.target.clone());
        let group = self.groups.entry(span.group.clone()).or_default();
        for sums in [group, &mut self.total] {
            sums.cover(&span, from, to);
            if counts {
                sums.count(&span, to);
            }
        }
        let before = self.last.insert(fault, (span.resolved_at, counts.then_some(span.group)));
        if let Some((Some(resolved), Some(group))) = before
            && span.opened_at >= resolved
            && span.opened_at.since(resolved) <= RECURRENCE
        {
            self.groups.entry(group).or_default().recurred += 1;
            self.total.recurred += 1;
        }
    }

    fn tried(&mut self, count: &Count) {
        let group = self.groups.entry(count.group.clone()).or_default();
        for sums in [group, &mut self.total] {
            for kind in count.kinds.split(',').filter(|kind| !kind.is_empty()) {
                let tries = sums.actions.entry(kind.to_owned()).or_default();
                tries.attempts += count.count;
                tries.judged += if count.worked.is_some() { count.count } else { 0 };
                tries.healthy += if count.worked == Some(true) { count.count } else { 0 };
            }
        }
    }

    fn finish(self, by: GroupBy) -> Report {
        let window = self.to.since(self.from).as_secs_f64();
        let mut groups: Vec<Group> = self.groups.into_iter().map(|(name, sums)| sums.finish(name, window)).collect();
        groups.sort_by(|a, b| b.downtime_s.total_cmp(&a.downtime_s).then_with(|| a.name.cmp(&b.name)));
        Report { from: self.from, to: self.to, by, groups, total: self.total.finish("total".to_owned(), window) }
    }
}

impl Sums {
    /// Adds what of the window was not down yet.
    fn cover(&mut self, span: &Span, from: Timestamp, to: Timestamp) {
        let end = span.resolved_at.unwrap_or(to).min(to);
        if !self.down.contains_key(&span.target) {
            self.down.insert(span.target.clone(), (Duration::ZERO, from));
        }
        if let Some((down, until)) = self.down.get_mut(&span.target) {
            *down += end.since(span.opened_at.max(*until));
            *until = end.max(*until);
        }
    }

    fn count(&mut self, span: &Span, to: Timestamp) {
        self.incidents += 1;
        self.resolved += u64::from(span.resolved_at.is_some());
        self.detecting += span.opened_at.since(span.occurred_at);
        self.restoring += span.resolved_at.unwrap_or(to).since(span.opened_at);
        self.alone += u64::from(span.healed && !span.person);
        self.with_person += u64::from(span.person);
    }

    fn finish(self, name: String, window: f64) -> Group {
        let down: f64 = self.down.values().map(|(down, _)| down.as_secs_f64()).sum();
        let all = self.down.len() as f64 * window;
        let incidents = self.incidents as f64;
        let mut actions = self.actions;
        for tries in actions.values_mut() {
            tries.worked = ratio(tries.healthy as f64, tries.judged as f64);
        }
        Group {
            name,
            targets: self.down.len() as u64,
            incidents: self.incidents,
            open: self.incidents - self.resolved,
            failure_rate: ratio(incidents, window / DAY).unwrap_or(0.0),
            mttd_s: ratio(self.detecting.as_secs_f64(), incidents),
            mttr_s: ratio(self.restoring.as_secs_f64(), incidents),
            mtbf_s: ratio(all - down, incidents),
            downtime_s: down,
            availability: ratio(down, all).map(|share| 1.0 - share),
            healed_alone: ratio(self.alone as f64, (self.alone + self.with_person) as f64),
            recurrence: ratio(self.recurred as f64, self.resolved as f64),
            actions,
        }
    }
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

impl LedgerReader {
    /// The report on the time between two moments. Reads an index in the order of time and keeps a few numbers of each
    /// target and each fault, so that its memory does not grow with the number of incidents.
    pub fn report(&self, from: Timestamp, to: Timestamp, by: GroupBy) -> Result<Report, LedgerError> {
        let connection = self.connection();
        // One view of the ledger for all of it.
        let view = connection.unchecked_transaction()?;
        let mut tally = Tally::new(from, to);
        for sql in incident_queries(by) {
            spans(&view, &sql, from, to, &mut tally)?;
        }
        let mut select = view.prepare_cached(&attempt_query(by))?;
        let counts = select.query_map((read::nanos(from), read::nanos(to)), count)?;
        for count in counts {
            tally.tried(&count?);
        }
        Ok(tally.finish(by))
    }
}

/// Those that reach into the window from before it, and those that were opened in it, by time.
fn incident_queries(by: GroupBy) -> [String; 2] {
    let (name, _) = by.columns();
    let columns = format!(
        "{name}, policy, kind, target, occurred_at, opened_at, resolved_at, resolution IN ('healed', 'self-cleared'), person"
    );
    [
        format!(
            "SELECT {columns} FROM incident WHERE id IN (
                SELECT id FROM incident WHERE resolved_at IS NULL AND opened_at < ?1
                UNION ALL SELECT id FROM incident INDEXED BY incident_resolved WHERE resolved_at > ?1 AND opened_at < ?1)
             AND opened_at <= ?2 ORDER BY opened_at"
        ),
        format!("SELECT {columns} FROM incident INDEXED BY incident_report WHERE opened_at BETWEEN ?1 AND ?2 ORDER BY opened_at"),
    ]
}

fn attempt_query(by: GroupBy) -> String {
    let (_, name) = by.columns();
    // The order of the join is given: the attempts of the window are few, and lie together.
    format!(
        "SELECT {name}, attempt.kinds, attempt.worked, count(*)
         FROM attempt INDEXED BY attempt_report CROSS JOIN incident ON incident.id = attempt.incident
         WHERE attempt.started_at BETWEEN ?1 AND ?2 GROUP BY 1, 2, 3"
    )
}

fn spans(
    connection: &Connection,
    sql: &str,
    from: Timestamp,
    to: Timestamp,
    tally: &mut Tally,
) -> Result<(), LedgerError> {
    let mut select = connection.prepare_cached(sql)?;
    let spans = select.query_map((read::nanos(from), read::nanos(to)), |row| {
        Ok(Span {
            group: row.get(0)?,
            policy: row.get(1)?,
            kind: row.get(2)?,
            target: row.get(3)?,
            occurred_at: read::timestamp(row.get(4)?),
            opened_at: read::timestamp(row.get(5)?),
            resolved_at: row.get::<_, Option<i64>>(6)?.map(read::timestamp),
            healed: row.get::<_, Option<bool>>(7)?.unwrap_or(false),
            person: row.get(8)?,
        })
    })?;
    for span in spans {
        tally.add(span?);
    }
    Ok(())
}

fn count(row: &Row<'_>) -> Result<Count, rusqlite::Error> {
    Ok(Count {
        group: row.get(0)?,
        kinds: row.get(1)?,
        worked: row.get(2)?,
        count: u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0),
    })
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
