//! The admin API's credentials, and the integrations created with them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use serde_json::{Map, Value};
use shared::clock::Timestamp;
use uuid::Uuid;

use super::super::state::lock;
use super::super::tags::Definition;

/// A signature header has room for this many.
const MOST_SIGNATURES: usize = 5;

/// The admin API's credentials and state.
#[derive(Debug)]
pub(in super::super) struct Admin {
    /// The only personal access token.
    pub personal_access_token: String,
    /// The only workspace.
    pub workspace_id: String,
    /// The prefix of every integration's name, up to a slash.
    pub workspace_handle: String,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) integrations: Vec<Integration>,
    pub(super) keys: BTreeMap<String, AccessKey>,
    /// The installed integration's tags and types.
    pub(super) definition: Definition,
    /// Newest first, each with the time until which it is used beside the newest.
    pub(super) signing_secrets: Vec<(String, Option<Timestamp>)>,
}

#[derive(Debug)]
pub(super) struct Integration {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) body: Map<String, Value>,
}

#[derive(Debug)]
pub(super) struct AccessKey {
    pub(super) integration_id: String,
    pub(super) value: String,
}

impl Admin {
    pub(crate) fn new(definition: Definition, signing_secret: Option<String>) -> Self {
        Self {
            personal_access_token: format!("bp_pat_{}", Uuid::new_v4().simple()),
            workspace_id: format!("wkspace_{}", Uuid::new_v4().simple()),
            workspace_handle: "sandbox".to_owned(),
            state: Mutex::new(State {
                integrations: Vec::new(),
                keys: BTreeMap::new(),
                definition,
                signing_secrets: signing_secret.into_iter().map(|secret| (secret, None)).collect(),
            }),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// What the installed integration declares.
    pub(crate) fn definition(&self) -> Definition {
        self.state().definition.clone()
    }

    /// The secrets that sign calls to the installed integration now.
    pub(crate) fn signing_secrets(&self, now: Timestamp) -> Vec<String> {
        let state = self.state();
        let valid = state.signing_secrets.iter().filter(|(_, until)| until.is_none_or(|until| now < until));
        valid.take(MOST_SIGNATURES).map(|(secret, _)| secret.clone()).collect()
    }

    /// Replaces all present signing secrets by another one.
    pub(crate) fn change_signing_secret(&self) {
        self.state().signing_secrets = vec![(new_secret(), None)];
    }

    /// Returns whether an access key opens the runtime API for an integration.
    pub(crate) fn has_access_key(&self, integration_id: &str, value: &str) -> bool {
        self.state().keys.values().any(|key| key.integration_id == integration_id && key.value == value)
    }

    /// The address of the integration with this id, if it was created here.
    pub(crate) fn url_of(&self, integration_id: &str) -> Option<String> {
        let state = self.state();
        let integration = state.integrations.iter().find(|one| one.id == integration_id)?;
        integration.body.get("url")?.as_str().map(str::to_owned)
    }

    /// The definition of the integration with this id, if it was created here.
    pub(crate) fn body_of(&self, integration_id: &str) -> Option<Value> {
        let state = self.state();
        state.integrations.iter().find(|one| one.id == integration_id).map(|one| Value::Object(one.body.clone()))
    }

    /// Withdraws every access key that was issued here.
    pub(crate) fn withdraw_access_keys(&self) {
        self.state().keys.clear();
    }
}

pub(super) fn new_secret() -> String {
    use base64::Engine as _;
    let mut bytes = Uuid::new_v4().into_bytes().to_vec();
    bytes.extend(Uuid::new_v4().into_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
