//! `GET /events`: the journal as server-sent events, from the reader's position on, and then as it grows.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::body::Frame;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::Console;
use crate::journal::{Entry, Journal};

/// The maximum number of entries in one write.
const PAGE: usize = 200;

/// The number of writes that are buffered for a slow reader.
const AHEAD: usize = 4;

/// The interval of a comment that shows each end that the other is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The position at which to begin.
#[derive(Deserialize)]
pub(super) struct From {
    /// The number of the last entry that the reader has, for readers that cannot set headers.
    after: Option<usize>,
}

/// Each event has the entry's number as its id, from which a reader resumes (`Last-Event-ID`).
pub(super) async fn events(
    State(console): State<Arc<Console>>,
    Query(from): Query<From>,
    headers: HeaderMap,
) -> Response {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let next = last.or(from.after).map_or(0, |last: usize| last.saturating_add(1));
    let (writer, reader) = mpsc::channel(AHEAD);
    tokio::spawn(write(console.stack.journal.clone(), next, writer));
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    (headers, Body::new(Written(reader))).into_response()
}

/// Writes until the reader disconnects.
async fn write(journal: Journal, mut next: usize, writer: mpsc::Sender<Bytes>) {
    let mut length = journal.follow();
    if next > journal.len() {
        // The reader's position is from an earlier run of the sandbox: it forgets that run, and gets everything.
        next = 0;
        if writer.send(Bytes::from_static(b"event: restart\ndata: {}\n\n")).await.is_err() {
            return;
        }
    }
    loop {
        length.borrow_and_update();
        let entries = journal.page(next, PAGE);
        let text = if entries.is_empty() { String::from(":\n\n") } else { entries.iter().map(event).collect() };
        next += entries.len();
        if writer.send(Bytes::from(text)).await.is_err() {
            return;
        }
        if next >= journal.len() {
            tokio::select! {
                // The journal lives as long as the stack, which outlives every reader.
                _ = length.changed() => {}
                () = tokio::time::sleep(HEARTBEAT) => {}
                () = writer.closed() => return,
            }
        }
    }
}

fn event(entry: &Entry) -> String {
    let data = serde_json::to_string(entry).unwrap_or_default();
    format!("id: {}\ndata: {data}\n\n", entry.number)
}

/// A body that is produced while it is read.
struct Written(mpsc::Receiver<Bytes>);

impl HttpBody for Written {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context).map(|text| text.map(|text| Ok(Frame::data(text))))
    }
}
