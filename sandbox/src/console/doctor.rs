//! `POST /doctor`: the findings of `hitl doctor` for this sandbox.

use std::pin::pin;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::HOST;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use shared::clock::Clock;
use tokio::runtime::Handle;

use super::refused;

/// Shape: `{"exit":0,"found":{"checks":[…]}}`; `found` is what `hitl doctor --json` prints.
pub(super) async fn doctor(headers: HeaderMap) -> Response {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let (address, handle) = (format!("http://{host}"), Handle::current());
    // The command is written for its own process: its future cannot move between threads.
    match tokio::task::spawn_blocking(move || handle.block_on(examine(&address))).await {
        Ok((exit, found)) => Json(json!({"exit": exit, "found": found})).into_response(),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn examine(address: &str) -> (u8, Value) {
    let (mut out, mut progress) = (Vec::new(), Vec::new());
    let mut io = cli::Io {
        out: &mut out,
        progress: &mut progress,
        ask: &mut |_, _| Ok(String::new()),
        colour: false,
        environment: &|_| None,
        clock: Clock::system(),
        aws: cli::Aws::installed(),
        interrupt: pin!(std::future::pending()),
    };
    let arguments = ["hitl", "--sandbox", address, "--json", "doctor"];
    let exit = cli::run(arguments.map(Into::into), &mut io).await;
    (exit, serde_json::from_slice(&out).unwrap_or_default())
}
