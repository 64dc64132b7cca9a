//! Records every request body of the API, to be checked against the vendor's description: `.ci/conformance/described.sh`.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::{Mutex, OnceLock, PoisonError};

use axum::body::Bytes;
use http::Method;
use serde_json::{Value, json};

/// Names the file, which gets one line per body: `{"method","path","body"}`.
const VARIABLE: &str = "SANDBOX_BOTPRESS_BODIES";

/// Records a body if the variable asks for it.
pub(super) fn note(method: &Method, path: &str, body: &Bytes) {
    static FILE: OnceLock<Option<Mutex<File>>> = OnceLock::new();
    let Some(file) = FILE.get_or_init(open) else { return };
    if body.is_empty() || !path.starts_with("/v1/") {
        return;
    }
    let body = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let line = format!("{}\n", json!({"method": method.as_str(), "path": path, "body": body}));
    // A single write, so that lines of several processes stay whole.
    let written = file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
    if let Err(error) = written {
        tracing::warn!(error = %error, "a body of Botpress's API could not be recorded");
    }
}

#[expect(clippy::disallowed_methods, reason = "a switch of the gate, not a setting of the product")]
fn open() -> Option<Mutex<File>> {
    let path = std::env::var(VARIABLE).ok()?;
    OpenOptions::new().create(true).append(true).open(path).ok().map(Mutex::new)
}
