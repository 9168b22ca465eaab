//! Prometheus' text format, version 0.0.4 (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::collections::{BTreeSet, HashSet};

use wildmatch::WildMatch;

use crate::signal::{Name, Sample, SeriesName};

/// Series that are taken of one endpoint.
pub(super) const MAX_SERIES: usize = 2000;
/// Bytes of a line. Nobody's labels are that long.
const MAX_LINE: usize = 16 * 1024;

/// What is taken of an endpoint, and what it is called here.
#[derive(Debug)]
pub(super) struct Filter {
    /// Of the endpoint.
    pub(super) scrape: String,
    /// Of the metrics.
    pub(super) allow: Vec<WildMatch>,
    /// Of the labels; all if none.
    pub(super) labels: Option<BTreeSet<String>>,
}

/// What an endpoint said.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Taken {
    /// What was asked for.
    pub(super) samples: Vec<Sample>,
    /// Samples that were asked for and are too many, or the same series again.
    pub(super) dropped: u64,
    /// Lines that are not of the format.
    pub(super) garbled: u64,
    /// The first of them: where, and what is wrong.
    pub(super) trouble: Option<String>,
}

impl Filter {
    /// Reads an answer, line by line. One without any line of the format is an error.
    pub(super) fn take(&self, text: &str) -> Result<Taken, String> {
        let mut taken = Taken::default();
        let mut seen = HashSet::new();
        let mut sound = 0_u64;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match self.sample(line) {
                Err(why) => {
                    taken.garbled += 1;
                    taken.trouble.get_or_insert_with(|| format!("line {}: {why}", number + 1));
                    continue;
                }
                Ok(None) => {}
                Ok(Some(_)) if taken.samples.len() == MAX_SERIES => taken.dropped += 1,
                Ok(Some(sample)) if seen.insert(sample.series.clone()) => taken.samples.push(sample),
                // Without some of their labels two series may be the same.
                Ok(Some(_)) => taken.dropped += 1,
            }
            sound += 1;
        }
        match &taken.trouble {
            Some(why) if sound == 0 => Err(format!("the answer is not in Prometheus' text format: {why}")),
            _ => Ok(taken),
        }
    }

    /// A line's sample; none if nobody asked for it, or its value is no number.
    fn sample(&self, line: &str) -> Result<Option<Sample>, &'static str> {
        if line.len() > MAX_LINE {
            return Err("it is longer than 16 KiB");
        }
        let end = line.find(|char: char| !is_metric_char(char)).unwrap_or(line.len());
        let (metric, rest) = line.split_at(end);
        if metric.is_empty() || metric.starts_with(|first: char| first.is_ascii_digit()) {
            return Err("it begins with no metric's name");
        }
        if !self.allow.iter().any(|pattern| pattern.matches(metric)) {
            return Ok(None);
        }
        let (mut labels, rest) = match rest.trim_start().strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Vec::new(), rest),
        };
        // Behind the value may be a time, which is not used: what is read is how it is now.
        let value = rest.split_whitespace().next().ok_or("it has no value")?;
        let value: f64 = value.parse().map_err(|_| "its value is no number")?;
        if !value.is_finite() {
            return Ok(None);
        }
        labels.retain(|(key, _)| self.labels.as_ref().is_none_or(|kept| kept.contains(*key)));
        labels.sort_unstable();
        let labels = labels.into_iter().map(|(key, value)| (Name::from(key.to_owned()), value.into()));
        let own = (Name::from("scrape.name"), self.scrape.as_str().into());
        let series =
            SeriesName { metric: metric.to_owned().into(), attributes: std::iter::once(own).chain(labels).collect() };
        Ok(Some(Sample { series, value }))
    }
}

fn is_metric_char(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_' || char == ':'
}

/// Keys and values.
type Labels<'a> = Vec<(&'a str, String)>;

/// `a="x",b="y"} …`: the labels, and what follows the brace.
fn labels(mut rest: &str) -> Result<(Labels<'_>, &str), &'static str> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((labels, rest));
        }
        let (key, value) = rest.split_once('=').ok_or("its labels do not end")?;
        let key = key.trim();
        if key.is_empty() || !key.chars().all(|char| char.is_ascii_alphanumeric() || char == '_') {
            return Err("a label has no name");
        }
        let value = value.trim_start().strip_prefix('"').ok_or("a label's value has no quotes")?;
        let (value, after) = quoted(value)?;
        labels.push((key, value));
        rest = after.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(rest) => rest,
            None if rest.starts_with('}') => rest,
            None => return Err("there is no comma between its labels"),
        };
    }
}

/// Text up to its closing quote, in which `\\`, `\"` and `\n` stand for a character each; and what follows.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((value, text.get(at + 1..).unwrap_or_default())),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('\\' | '"'))) => value.push(escaped),
                Some((_, other)) => value.extend(['\\', other]),
                None => break,
            },
            other => value.push(other),
        }
    }
    Err("a label's value does not end")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filter(allow: &[&str], labels: Option<&[&str]>) -> Filter {
        Filter {
            scrape: "db".into(),
            allow: allow.iter().map(|pattern| WildMatch::new(pattern)).collect(),
            labels: labels.map(|labels| labels.iter().map(|label| (*label).to_owned()).collect()),
        }
    }

    /// `metric{key=value,…} value` of each, without the endpoint's name.
    fn told(taken: &Taken) -> Vec<String> {
        let one = |sample: &Sample| {
            let [(first, db), labels @ ..] = &sample.series.attributes[..] else { panic!("{sample:?}") };
            assert_eq!((&**first, &**db), ("scrape.name", "db"));
            let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("{}{{{}}} {}", sample.series.metric, labels.join(","), sample.value)
        };
        taken.samples.iter().map(one).collect()
    }

    /// The example of the format's documentation.
    const EXAMPLE: &str = r#"
# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9

# Minimalistic line:
metric_without_timestamp_and_labels 12.47

# A weird metric from before the epoch:
something_weird{problem="division by zero"} +Inf -3982045

# A histogram, which has a pretty complex representation in the text format:
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.05"} 24054
http_request_duration_seconds_bucket{le="+Inf"} 144320
http_request_duration_seconds_sum 53423
"#;

    #[test]
    fn the_example_of_the_documentation_is_read() {
        let taken = filter(&["*"], None).take(EXAMPLE).unwrap();
        let expected = [
            "http_requests_total{code=200,method=post} 1027",
            "http_requests_total{code=400,method=post} 3",
            "msdos_file_access_time_seconds{error=Cannot find file:\n\"FILE.TXT\",path=C:\\DIR\\FILE.TXT} 1458255915",
            "metric_without_timestamp_and_labels{} 12.47",
            "http_request_duration_seconds_bucket{le=0.05} 24054",
            "http_request_duration_seconds_bucket{le=+Inf} 144320",
            "http_request_duration_seconds_sum{} 53423",
        ];
        assert_eq!((told(&taken), taken.dropped, taken.garbled), (expected.map(String::from).to_vec(), 0, 0));
    }

    #[test]
    fn only_what_is_allowed_is_taken() {
        let taken = filter(&["http_requests_*", "metric_*_labels"], Some(&["code"])).take(EXAMPLE).unwrap();
        let expected = [
            "http_requests_total{code=200} 1027",
            "http_requests_total{code=400} 3",
            "metric_without_timestamp_and_labels{} 12.47",
        ];
        assert_eq!(told(&taken), expected);
        // Without their labels these two are one, and which it is nobody can tell.
        let taken = filter(&["http_requests_*"], Some(&[])).take(EXAMPLE).unwrap();
        assert_eq!((told(&taken), taken.dropped), (vec!["http_requests_total{} 1027".to_owned()], 1));
    }

    #[test]
    fn garbage_is_counted_and_the_rest_goes_on() {
        for line in [
            "<html>",
            "up",
            "up x",
            "up{",
            "up{a}",
            "up{a=}",
            "up{a=b} 1",
            "up{a=\"b} 1",
            "up{a=\"b\"c=\"d\"} 1",
            "up{=\"b\"} 1",
            "1up 1",
            "up{a=\"b\"}",
            "up{a=\"\\",
        ] {
            let error = filter(&["*"], None).take(line).unwrap_err();
            assert!(error.contains("line 1: "), "{line}: {error}");
            let taken = filter(&["*"], None).take(&format!("\nok 1\r\n{line}\nok_too{{a=\"b\",}} 2")).unwrap();
            assert_eq!((taken.samples.len(), taken.garbled), (2, 1), "{line}");
            assert!(taken.trouble.unwrap().starts_with("line 3: "), "{line}");
        }
        assert_eq!(filter(&["*"], None).take("").unwrap(), Taken::default());
        assert!(filter(&["*"], None).take(&format!("up{{a=\"{}\"}} 1", "x".repeat(MAX_LINE))).is_err());
        assert_eq!(filter(&["*"], None).take("a NaN\nb -Inf\n").unwrap().samples, []);
    }

    #[test]
    fn there_is_an_end_to_the_series_of_an_endpoint() {
        let text: String = (0..MAX_SERIES + 5).map(|n| format!("up{{n=\"{n}\"}} 1\n")).collect();
        let taken = filter(&["up"], None).take(&text).unwrap();
        assert_eq!((taken.samples.len(), taken.dropped), (MAX_SERIES, 5));
    }

    proptest! {
        #[test]
        fn any_answer_is_taken(text in "(?s).{0,200}|[a-c{}=\",\\\\ 0-9\n]{0,60}") {
            if let Ok(taken) = filter(&["*"], None).take(&text) {
                prop_assert!(taken.samples.iter().all(|sample| sample.value.is_finite()));
            }
        }

        /// Whatever a label's value is, written by the rules it is read again.
        #[test]
        fn labels_come_back(value in ".{0,20}", number in -1e9_f64..1e9) {
            let written = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            // A carriage return is no line's end in the format, but would be one for `lines`.
            prop_assume!(!value.contains('\r'));
            let taken = filter(&["*"], None).take(&format!("up{{a=\"{written}\"}} {number}")).unwrap();
            prop_assert_eq!(&*taken.samples[0].series.attributes[1].1, value.as_str());
            prop_assert_eq!(taken.samples[0].value, number);
        }
    }
}
