//! File uploads, and the stand-in for the vendor's file CDN.

use axum::body::Body;
use axum::extract::{FromRequest, Multipart, Request};
use axum::response::Response;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use std::time::Duration;

use super::Turned;
use super::errors::{Error, Kind};
use super::ids;
use super::state::{File, State, Step};
use crate::journal::digest;

const MAX_BYTES: usize = 10 * 1024 * 1024;
const UNSENT_LIFETIME: Duration = Duration::from_secs(24 * 3_600);

/// The docs mention "executables" without a list.
const EXECUTABLES: &[&str] = &["apk", "bat", "cmd", "com", "exe", "jar", "msi", "ps1", "scr", "sh", "vbs"];

/// Takes the part `file` out of a multipart body.
pub(crate) async fn read(request: Request) -> Result<File, Error> {
    let wrong = |_| Error::validation("Wrong format of request");
    let mut parts = Multipart::from_request(request, &()).await.map_err(|_| Error::validation("`file` is required"))?;
    while let Some(part) = parts.next_field().await.map_err(wrong)? {
        if part.name() != Some("file") {
            continue;
        }
        let name = part.file_name().unwrap_or_default().to_owned();
        let content_type = part.content_type().map_or_else(|| guess(&name).to_owned(), str::to_owned);
        let bytes = part.bytes().await.map_err(wrong)?;
        let file = File { name, content_type, bytes, expires_at: None };
        check(&file)?;
        return Ok(file);
    }
    Err(Error::validation("`file` is required"))
}

fn check(file: &File) -> Result<(), Error> {
    if file.bytes.len() > MAX_BYTES {
        return Err(Kind::EntityTooLarge.into());
    }
    if file.name.is_empty() || file.name.contains('/') {
        return Err(Error::validation("`file` needs a file name"));
    }
    if EXECUTABLES.contains(&extension(&file.name).as_str()) {
        return Err(Error::validation("executable files are not allowed"));
    }
    Ok(())
}

/// Stores the file and returns its URL, which expires after a day unless an event carries the file.
pub(crate) fn store(state: &mut State, step: &mut Step, mut file: File) -> Value {
    let name: String =
        file.name.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '_' }).collect();
    let path = format!("lc/att/100000001/{}/{name}", ids::hex());
    let url = format!("{}/api/file/{path}", state.cdn_url);
    file.expires_at = Some(step.now + UNSENT_LIFETIME);
    step.note("file_uploaded", with_url(&url, described(&file)));
    state.files.insert(path, file);
    json!({"url": url})
}

/// The journal's description of a file.
pub(crate) fn described(file: &File) -> Value {
    json!({
        "name": file.name, "content_type": file.content_type, "size": file.bytes.len(), "sha256": digest(&file.bytes),
    })
}

fn with_url(url: &str, mut described: Value) -> Value {
    if let Some(fields) = described.as_object_mut() {
        fields.insert("url".to_owned(), json!(url));
    }
    described
}

/// Answers `GET /api/file/<path>`.
pub(crate) fn download(state: &State, now: Timestamp, path: &str, shows_credential: bool) -> Response {
    if state.is_turned(Turned::Files) && !shows_credential {
        return Response::builder().status(401).body(Body::empty()).unwrap_or_default();
    }
    let file = state.files.get(path).filter(|file| file.expires_at.is_none_or(|expires_at| now < expires_at));
    let found = file
        .map(|file| Response::builder().header(CONTENT_TYPE, &file.content_type).body(Body::from(file.bytes.clone())));
    let response = found.unwrap_or_else(|| Response::builder().status(404).body(Body::empty()));
    response.unwrap_or_default()
}

fn extension(name: &str) -> String {
    name.rsplit_once('.').map(|(_stem, extension)| extension.to_lowercase()).unwrap_or_default()
}

fn guess(name: &str) -> &'static str {
    match extension(name).as_str() {
        "gif" => "image/gif",
        "jpg" | "jpeg" => "image/jpeg",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "txt" => "text/plain",
        _ => "application/octet-stream",
    }
}
