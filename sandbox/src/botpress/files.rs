//! The host from which the platform serves the files that users send.
//!
//! It listens on its own address, as the vendor's does, and requires no credential.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{StatusCode, Uri};
use serde_json::json;
use shared::clock::Clock;
use uuid::Uuid;

use super::Simulator;
use super::state::lock;
use crate::faults::Faults;
use crate::journal::{Journal, Vendor, digest};
use crate::server::Server;

/// A running file host.
#[derive(Debug)]
pub(super) struct FileHost {
    server: Server,
    faults: Faults,
    shelf: Arc<Shelf>,
}

#[derive(Debug)]
struct Shelf {
    clock: Clock,
    journal: Journal,
    files: Mutex<BTreeMap<String, File>>,
}

#[derive(Clone, Debug)]
struct File {
    content_type: String,
    bytes: Bytes,
}

impl FileHost {
    /// Starts an empty host on a free port.
    pub(crate) async fn start(clock: Clock, journal: Journal) -> io::Result<Self> {
        let shelf = Arc::new(Shelf { clock: clock.clone(), journal, files: Mutex::default() });
        let faults = Faults::default();
        let router = Router::new().fallback(serve).with_state(Arc::clone(&shelf));
        let server = Server::start(0, router, faults.clone(), clock).await?;
        Ok(Self { server, faults, shelf })
    }
}

impl Simulator {
    /// A user's client uploads a file to the file host; returns its public address.
    pub fn stores_file(&self, name: &str, content_type: &str, bytes: impl Into<Bytes>) -> String {
        let path = format!("/{}/{name}", Uuid::new_v4().simple());
        let file = File { content_type: content_type.to_owned(), bytes: bytes.into() };
        let url = format!("{}{path}", self.files_url());
        lock(&self.files.shelf.files).insert(path, file);
        url
    }

    /// The base of all file addresses: `http://127.0.0.1:<port>`.
    pub fn files_url(&self) -> String {
        self.files.server.url()
    }

    /// Faults of the file host.
    pub const fn file_faults(&self) -> &Faults {
        &self.files.faults
    }
}

async fn serve(State(shelf): State<Arc<Shelf>>, uri: Uri) -> Response {
    let file = lock(&shelf.files).get(uri.path()).cloned();
    let Some(File { content_type, bytes }) = file else {
        let mut missing = Response::new(Body::empty());
        *missing.status_mut() = StatusCode::NOT_FOUND;
        return missing;
    };
    let detail = json!({
        "path": uri.path(), "content_type": content_type, "size": bytes.len(), "sha256": digest(&bytes),
    });
    shelf.journal.record(shelf.clock.now(), Vendor::Botpress, "file_served", detail);
    let served = Response::builder().header(CONTENT_TYPE, content_type).body(Body::from(bytes));
    served.unwrap_or_default()
}
