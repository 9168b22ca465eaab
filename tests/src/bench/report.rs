//! What a benchmark says: tables for people as it goes on, and all of it as JSON in the end.

use std::fs;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::stats::Summary;

/// The samples of one contender.
pub(super) struct Row<'a> {
    pub(super) name: &'a str,
    pub(super) samples: &'a [f64],
}

/// On which side of the limit a goal lies.
#[derive(Clone, Copy)]
pub(super) enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

/// The report of one benchmark.
pub(super) struct Report {
    name: &'static str,
    tables: Vec<Value>,
    goals: Vec<Value>,
    notes: Vec<String>,
}

impl Report {
    /// Says which benchmark begins.
    pub(super) fn begin(name: &'static str) -> Self {
        println!("\n=== {name} ===");
        Self { name, tables: Vec::new(), goals: Vec::new(), notes: Vec::new() }
    }

    /// A sentence on how it was measured, or on what was not.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        println!("{text}");
        self.notes.push(text);
    }

    /// Samples as a table of medians, and of their ratios to the medians of the rows that `peers` names.
    pub(super) fn samples(&mut self, title: &str, unit: &str, rows: &[Row<'_>], peers: &[&str]) {
        let summaries: Vec<(&Row<'_>, Summary)> =
            rows.iter().filter_map(|row| Some((row, Summary::of(row.samples)?))).collect();
        let peers: Vec<(&str, f64)> = peers
            .iter()
            .filter_map(|peer| {
                let (_, summary) = summaries.iter().find(|(row, _)| row.name == *peer)?;
                Some((*peer, summary.median))
            })
            .collect();
        let mut columns =
            vec![String::new(), format!("median {unit}"), "min".to_owned(), "p90".to_owned(), "n".to_owned()];
        columns.extend(peers.iter().map(|(peer, _)| format!("/ {peer}")));
        let mut lines = Vec::new();
        let mut json_rows = Vec::new();
        for (row, summary) in &summaries {
            let mut line = vec![row.name.to_owned()];
            line.extend([summary.median, summary.min, summary.p90].map(number));
            line.push(row.samples.len().to_string());
            line.extend(peers.iter().map(|(_, median)| number(summary.median / median)));
            lines.push(line);
            let ratios: Map<String, Value> =
                peers.iter().map(|(peer, median)| ((*peer).to_owned(), json!(summary.median / median))).collect();
            json_rows.push(json!({
                "name": row.name,
                "median": summary.median,
                "min": summary.min,
                "p90": summary.p90,
                "ratios": ratios,
                "samples": row.samples,
            }));
        }
        print_table(title, &columns, &lines);
        self.tables.push(json!({ "title": title, "unit": unit, "rows": json_rows }));
    }

    /// A table of single numbers: its columns, and in each row as many values.
    pub(super) fn values(&mut self, title: &str, columns: &[&str], rows: &[(String, Vec<f64>)]) {
        let mut head = vec![String::new()];
        head.extend(columns.iter().map(|column| (*column).to_owned()));
        let lines: Vec<Vec<String>> = rows
            .iter()
            .map(|(name, values)| {
                let mut line = vec![name.clone()];
                line.extend(values.iter().map(|value| number(*value)));
                line
            })
            .collect();
        print_table(title, &head, &lines);
        let object = |(name, values): &(String, Vec<f64>)| {
            let mut object: Map<String, Value> = Map::from_iter([("name".to_owned(), json!(name))]);
            object.extend(columns.iter().map(|c| (*c).to_owned()).zip(values.iter().map(|v| json!(v))));
            Value::Object(object)
        };
        let rows: Vec<Value> = rows.iter().map(object).collect();
        self.tables.push(json!({ "title": title, "rows": rows }));
    }

    /// What a value should be, and whether it is. A value that could not be had is neither met nor missed.
    pub(super) fn goal(&mut self, text: &str, value: Option<f64>, limit: Limit) {
        let met = value.map(|value| match limit {
            Limit::AtMost(limit) => value <= limit,
            Limit::AtLeast(limit) => value >= limit,
        });
        let outcome = match met {
            Some(true) => "met",
            Some(false) => "missed",
            None => "not measured",
        };
        let is = value.map_or(String::new(), |value| format!(" ({})", number(value)));
        println!("goal: {text}: {outcome}{is}");
        self.goals.push(json!({ "goal": text, "value": value, "met": met }));
    }

    /// Writes `DIRECTORY/NAME.json`.
    pub(super) fn save(self, directory: &Path) -> Result<()> {
        let kernel = |file: &str| fs::read_to_string(file).unwrap_or_default().trim().to_owned();
        let file = directory.join(self.name).with_extension("json");
        let value = json!({
            "benchmark": self.name,
            "machine": {
                "cores": thread::available_parallelism().map_or(0, usize::from),
                "kernel": kernel("/proc/sys/kernel/osrelease"),
                "load": kernel("/proc/loadavg"),
            },
            "tables": self.tables,
            "goals": self.goals,
            "notes": self.notes,
        });
        fs::create_dir_all(directory)?;
        let text = serde_json::to_string_pretty(&value)? + "\n";
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        println!("written: {}", file.display());
        Ok(())
    }
}

/// The median of samples, where there are some.
pub(super) fn median(samples: &[f64]) -> Option<f64> {
    Summary::of(samples).map(|summary| summary.median)
}

/// To three digits.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

fn print_table(title: &str, columns: &[String], lines: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        let longest = cells.chain(columns.get(column)).map(|cell| cell.chars().count()).max();
        longest.unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let print = |line: &[String]| {
        let cells = line.iter().zip(&widths).enumerate();
        let cells: Vec<String> = cells
            .map(|(place, (cell, &width))| match place {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        println!("  {}", cells.join("  ").trim_end());
    };
    println!("\n{title}");
    print(columns);
    lines.iter().for_each(|line| print(line));
    println!();
}
