//! What is asked of the whole ledger: the report, and all of it as JSON lines.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::{block_in_place, spawn_blocking};

use super::Api;
use super::api::Refusal;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::incident::ledger::{Export, GroupBy, LedgerError, Report};

/// How far back a report looks unless it is told.
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
/// Pages of an export that wait for a slow reader.
const PAGES: usize = 2;

#[derive(Deserialize)]
pub(super) struct ReportQuery {
    since: Option<String>,
    by: Option<String>,
}

/// `GET /v1/report?since=30d&by=target`.
pub(super) async fn report(
    Shared(api): Shared<Arc<Api>>,
    Query(query): Query<ReportQuery>,
) -> Result<Json<Report>, Refusal> {
    let by = query.by.as_deref().unwrap_or(GroupBy::default().as_str()).parse().map_err(bad)?;
    let now = SystemClock::new().now().wall;
    let from = before(now, query.since.as_deref())?.unwrap_or_else(|| earlier(now, MONTH));
    Ok(Json(block_in_place(|| api.ledger.report(from, now, by))?))
}

#[derive(Deserialize)]
pub(super) struct ExportQuery {
    since: Option<String>,
}

/// `GET /v1/ledger/export?since=30d`: `application/x-ndjson`, read from the ledger as fast as it is taken.
pub(super) async fn export(
    Shared(api): Shared<Arc<Api>>,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Refusal> {
    let now = SystemClock::new().now().wall;
    let since = before(now, query.since.as_deref())?.unwrap_or_default();
    let (pages, body) = mpsc::channel(PAGES);
    spawn_blocking(move || {
        let mut export = Export::new(since);
        while let Some(page) = export.next(&api.ledger).transpose() {
            let failed = page.is_err();
            // Nobody takes it any more, or an error that ends the answer before its end.
            if pages.blocking_send(page.map(Bytes::from)).is_err() || failed {
                break;
            }
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(Pages(body))).into_response())
}

/// The pages of an export as the body of an answer.
struct Pages(mpsc::Receiver<Result<Bytes, LedgerError>>);

impl Stream for Pages {
    type Item = Result<Bytes, LedgerError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

/// The moment that lies so long ago.
fn before(now: Timestamp, since: Option<&str>) -> Result<Option<Timestamp>, Refusal> {
    let since = since.map(humantime::parse_duration).transpose();
    let since = since.map_err(|error| bad(format!("`since` is a duration such as 30d or 12h: {error}")))?;
    Ok(since.map(|since| earlier(now, since)))
}

fn earlier(now: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_nanos(now.as_nanos().saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
}

fn bad(message: String) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_duration_before_now() {
        let now = Timestamp::from_nanos(10_000_000_000);
        let at = |text| before(now, Some(text)).map_err(|refusal| refusal.1);
        assert_eq!(at("4s"), Ok(Some(Timestamp::from_nanos(6_000_000_000))));
        assert_eq!(at("400d"), Ok(Some(Timestamp::default())), "not before the epoch");
        assert!(at("yesterday").unwrap_err().contains("such as 30d"));
        assert_eq!(before(now, None).map_err(|refusal| refusal.1), Ok(None));
    }
}
