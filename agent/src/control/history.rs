//! What the metrics were: `GET /v1/history?metric=system.*&match=key=value&window=5m&points=100`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State as Shared};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router as Routes};
use serde::{Deserialize, Serialize};

use super::api::Refusal;
use crate::clock::{Clock, Timestamp};
use crate::signal::{Attribute, Bounds, History, Past, Selector};

/// How far back an answer goes unless it is told.
const WINDOW: Duration = Duration::from_secs(300);
/// Samples of each series in an answer, unless it is told.
const POINTS: usize = 1000;
/// Samples in one answer at most.
const MOST: usize = 200_000;

/// `GET /v1/history`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HistoryView {
    /// The window's beginning.
    pub from: Timestamp,
    /// Its end: now.
    pub to: Timestamp,
    /// The series that have a sample in it, by name.
    pub series: Vec<PastView>,
}

/// What a series was in the window.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PastView {
    /// `system.memory.utilization`.
    pub metric: String,
    /// `system.memory.state` = `used`.
    pub attributes: BTreeMap<String, String>,
    /// The least of its samples.
    pub min: f64,
    /// Their mean.
    pub mean: f64,
    /// The most.
    pub max: f64,
    /// The newest.
    pub last: f64,
    /// When that was.
    pub at: Timestamp,
    /// How many samples there are; where only minutes are left, each counts as one.
    pub count: usize,
    /// Pairs of time and value, the oldest first: all of them, or so many as were asked for, at even distances.
    pub samples: Vec<(Timestamp, f64)>,
}

impl From<Past> for PastView {
    fn from(past: Past) -> Self {
        let attributes = past.series.attributes.iter();
        let summary = past.summary;
        Self {
            metric: past.series.metric.to_string(),
            attributes: attributes.map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            min: summary.min,
            mean: summary.mean,
            max: summary.max,
            last: summary.last,
            at: summary.at,
            count: summary.samples,
            samples: past.samples,
        }
    }
}

/// What answers for the history.
#[derive(Debug, Clone)]
struct Source {
    history: Arc<History>,
    clock: Arc<dyn Clock>,
}

/// The history's part of the API.
pub(super) fn routes(history: Arc<History>, clock: Arc<dyn Clock>) -> Routes {
    Routes::new().route("/v1/history", get(answer)).with_state(Source { history, clock })
}

/// Parameters as pairs, because `match` may be given several times.
async fn answer(
    Shared(source): Shared<Source>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Json<HistoryView>, Refusal> {
    let question = Question::read(&parameters).map_err(|message| Refusal(StatusCode::BAD_REQUEST, message))?;
    let to = source.clock.now().wall;
    let window = u64::try_from(question.window.as_nanos()).unwrap_or(u64::MAX);
    let from = Timestamp::from_nanos(to.as_nanos().saturating_sub(window));
    let bounds = Bounds { each: question.points, total: MOST, ..Bounds::default() };
    // All series over a day are a million samples to look at.
    let past = tokio::task::block_in_place(|| source.history.past(&question.selector, question.window, to, bounds));
    Ok(Json(HistoryView { from, to, series: past.into_iter().map(PastView::from).collect() }))
}

/// What is asked.
pub(super) struct Question {
    selector: Selector,
    window: Duration,
    points: usize,
}

impl Question {
    pub(super) fn read(parameters: &[(String, String)]) -> Result<Self, String> {
        let (mut metric, mut matching, mut window, mut points) = ("*", Vec::new(), WINDOW, POINTS);
        for (key, value) in parameters {
            match key.as_str() {
                "metric" => metric = value,
                "match" => {
                    let (key, value) = value.split_once('=').ok_or_else(|| {
                        format!("`match` is a key and a value, such as system.memory.state=used: `{value}`")
                    })?;
                    matching.push(Attribute::new(key, value));
                }
                "window" => {
                    window = humantime::parse_duration(value)
                        .map_err(|error| format!("`window` is a duration such as 5m or 12h: {error}"))?;
                }
                "points" => {
                    points = value.parse().map_err(|error| format!("`points` is a whole number: {error}"))?;
                }
                other => return Err(format!("there is no parameter `{other}`: metric, match, window, points")),
            }
        }
        Ok(Self { selector: Selector::new(metric, matching), window, points })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::signal::{Mailbox, Router, Sample, SeriesName, Subscription};

    /// The history of a router that was given `count` samples of two series, a second apart, up to now.
    fn served(count: u64) -> (tempfile::TempDir, std::path::PathBuf) {
        let history = Arc::new(History::default());
        let router = Router::with_history(history.clone());
        let clock = Arc::new(SystemClock::new());
        let metrics = vec![Selector::new("test.*", vec![])];
        router.subscribe("a".into(), Subscription { metrics, ..Default::default() }, Arc::new(Mailbox::default()));
        let now = clock.now().wall.as_nanos();
        for ago in (0..count).rev() {
            let sample = |state: &str, value| Sample {
                series: SeriesName { metric: "test.use".into(), attributes: vec![("state".into(), state.into())] },
                value,
            };
            let at = Timestamp::from_nanos(now - ago * 1_000_000_000);
            router.publish_samples("test", at, &[sample("used & full", ago as f64), sample("free", 1.0)]);
        }
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("api.sock");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        tokio::spawn(async move { axum::serve(listener, routes(history, clock)).await });
        (dir, socket)
    }

    async fn get(socket: &std::path::Path, path: &str) -> Result<HistoryView, String> {
        let (socket, path) = (socket.to_owned(), path.to_owned());
        tokio::task::spawn_blocking(move || crate::cli::get(&socket, &path).unwrap()).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_answers_with_what_was_in_the_window() {
        let (_dir, socket) = served(100);
        let all = get(&socket, "/v1/history").await.unwrap();
        assert_eq!(all.series.iter().map(|past| past.count).collect::<Vec<_>>(), [100, 100]);
        assert_eq!(all.to.since(all.from), WINDOW);

        let used = get(&socket, "/v1/history?metric=test.*&match=state%3Dused+%26*&window=60500ms&points=3").await;
        let used = used.unwrap();
        let [past] = &used.series[..] else { panic!("{used:?}") };
        assert_eq!((past.metric.as_str(), past.attributes["state"].as_str()), ("test.use", "used & full"));
        // The test itself may have taken a second of them.
        assert!((50..=61).contains(&past.count) && past.max >= past.count as f64 - 1.0, "{past:?}");
        assert_eq!((past.min, past.last, past.samples.len()), (0.0, 0.0, 3));
        assert_eq!(past.samples[2], (past.at, 0.0));
        assert!(get(&socket, "/v1/history?metric=other").await.unwrap().series.is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_it_does_not_understand_it_says() {
        let (_dir, socket) = served(1);
        for (query, expected) in [
            ("match=state", "such as system.memory.state=used"),
            ("window=soon", "such as 5m"),
            ("points=-1", "`points` is a whole number"),
            ("metrics=x", "no parameter `metrics`"),
        ] {
            let error = get(&socket, &format!("/v1/history?{query}")).await.unwrap_err();
            assert!(error.contains(expected), "{query}: {error}");
        }
    }
}
