//! Calls to the integration: headers, signing, retries.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::platform::Platform;
use super::schema::{Field, Shape, check, required};
use super::signature::sign_with_all;
use super::state::{World, lock};
use crate::cause;

/// How often a delivery is repeated.
const DELIVERY_RETRIES: u64 = 3;

/// The platform's own limit for one call (the invocation-timeout quota).
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

/// The answer of a successful action.
const ACTION_ANSWER: &[Field] =
    &[required("output", Shape::Anything), required("meta", Shape::Closed(&[&[required("cost", Shape::Number)]]))];

/// The integration's answer, unchanged.
#[derive(Clone, Debug)]
pub struct OperationAnswer {
    /// HTTP status.
    pub status: u16,
    /// Headers; names are lower-case.
    pub headers: BTreeMap<String, String>,
    /// Body, JSON or not.
    pub body: String,
}

impl OperationAnswer {
    /// The body as JSON; null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The message of an error, or else the body.
    pub(super) fn failure(&self) -> String {
        let json = self.json();
        json.get("message").and_then(Value::as_str).map_or_else(
            || format!("the integration answered {} without a message: {}", self.status, self.body),
            str::to_owned,
        )
    }

    pub(super) const fn is_success(&self) -> bool {
        self.status == 200
    }
}

/// Returns whether the platform retries: it may after a 5xx, and does after a network error.
fn is_transient(outcome: &Result<OperationAnswer, String>) -> bool {
    outcome.as_ref().map_or(true, |answer| answer.status >= 500)
}

impl Platform {
    /// Sends one operation; an override with a value sets a header, one without a value removes it.
    ///
    /// # Errors
    ///
    /// When no answer arrives.
    pub(crate) async fn send(
        &self,
        operation: &str,
        body: &[u8],
        overrides: &[(&str, Option<&str>)],
    ) -> Result<OperationAnswer, String> {
        let url = lock(&self.integration_url).clone().ok_or("the integration is not installed")?;
        let mut headers = self.headers(operation, body)?;
        for (name, value) in overrides {
            match value {
                Some(value) => headers.insert(name.to_ascii_lowercase(), (*value).to_owned()),
                None => headers.remove(&name.to_ascii_lowercase()),
            };
        }
        let mut request = self.client.post(url).body(body.to_vec());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(cause) = cause::current_header() {
            request = request.header(cause::HEADER, cause);
        }
        let _underway = self.options.underway.begin();
        let response = request.send().await.map_err(|error| network_error(&error))?;
        let status = response.status().as_u16();
        let texts = response
            .headers()
            .iter()
            .filter_map(|(name, value)| value.to_str().ok().map(|value| (name.as_str().to_owned(), value.to_owned())));
        let headers = texts.collect();
        let body = response.text().await.map_err(|error| network_error(&error))?;
        Ok(OperationAnswer { status, headers, body })
    }

    /// The time of a signature: the present time, but always later than that of the previous call. Every call thus
    /// counts as new even while the clock stands still.
    fn signing_time(&self) -> Timestamp {
        let now = self.now().unix_millis();
        let next = |last: i64| Some(now.max(last.saturating_add(1)));
        let before = self.signed_at.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
        Timestamp::from_unix_millis(before.ok().and_then(next).unwrap_or(now))
    }

    fn headers(&self, operation: &str, body: &[u8]) -> Result<BTreeMap<String, String>, String> {
        let install = &self.options.install;
        let trace = Uuid::new_v4().simple().to_string();
        let span = trace.get(..16).unwrap_or_default();
        let mut headers = BTreeMap::from([
            ("content-type", "application/json".to_owned()),
            ("x-bot-id", install.bot_id.clone()),
            ("x-bot-user-id", install.bot_id.clone()),
            ("x-integration-id", install.integration_id.clone()),
            ("x-integration-alias", install.alias.clone()),
            ("x-webhook-id", install.webhook_id.clone()),
            ("x-bp-operation", operation.to_owned()),
            ("x-bp-configuration", STANDARD.encode(install.configuration.to_string())),
            ("traceparent", format!("00-{trace}-{span}-01")),
        ]);
        // The vendor's own package cannot verify an empty body, so a `ping` is unsigned.
        let secrets = self.admin.signing_secrets(self.now());
        if !secrets.is_empty() && !body.is_empty() {
            headers.insert("x-bp-signature", sign_with_all(&secrets, self.signing_time(), body)?);
        }
        Ok(headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Sends one operation and journals it; `subtype` is the action's or the message's type.
    pub(crate) async fn call(
        &self,
        operation: &str,
        subtype: Option<&str>,
        body: &Value,
        attempt: u64,
    ) -> Result<OperationAnswer, String> {
        cause::begun("call", self.call_and_note(operation, subtype, body, attempt)).await
    }

    async fn call_and_note(
        &self,
        operation: &str,
        subtype: Option<&str>,
        body: &Value,
        attempt: u64,
    ) -> Result<OperationAnswer, String> {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let line = [Some(operation), subtype].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let bytes = self.faults.spoil(&line, bytes, self.now());
        let outcome = self.send(operation, &bytes, &[]).await;
        let (status, error) = match &outcome {
            Ok(answer) if answer.is_success() => (Some(answer.status), None),
            Ok(answer) => (Some(answer.status), Some(answer.failure())),
            Err(error) => (None, Some(error.clone())),
        };
        let message_id = body.pointer("/message/id");
        let conversation_id = body.pointer("/conversation/id").or_else(|| body.pointer("/input/conversationId"));
        self.record(
            "operation_called",
            json!({
                "operation": operation, "type": subtype, "status": status, "attempt": attempt,
                "message_id": message_id, "conversation_id": conversation_id, "error": error,
            }),
        );
        outcome
    }

    /// Calls an action and checks its output; retries once after a 5xx or a lost answer if the options say so.
    ///
    /// # Errors
    ///
    /// What the bot's author sees: the message of the integration's error, or what is wrong with its answer.
    pub(crate) async fn run_action(&self, action: &str, input: Value, output: &Shape) -> Result<Value, String> {
        let body = json!({"type": action, "input": input});
        let mut outcome = self.call("action_triggered", Some(action), &body, 1).await;
        if is_transient(&outcome) && self.options.retry_actions {
            outcome = self.call("action_triggered", Some(action), &body, 2).await;
        }
        let answer = outcome?;
        if !answer.is_success() {
            return Err(answer.failure());
        }
        let answer = answer.json();
        check(&answer, &Shape::Closed(&[ACTION_ANSWER]), action)?;
        let result = answer.get("output").cloned().unwrap_or_default();
        check(&result, output, &format!("{action}/output"))?;
        Ok(result)
    }

    /// Delivers a message from the bot's side in the background.
    ///
    /// First attempts keep the order of a conversation; retries do not delay later messages.
    pub(crate) fn deliver(self: &Arc<Self>, world: &mut World, message_id: &str) {
        let Some(message) = world.messages.get(message_id) else { return };
        let conversation = world.conversations.get(&message.conversation_id);
        let body = json!({
            "type": message.message_type,
            "payload": message.payload,
            "conversation": conversation.map(super::state::Conversation::json),
            "user": world.users.get(&message.user_id).map(super::state::User::json),
            "message": message.json(),
        });
        let message_type = message.message_type.clone();
        let (attempted, next) = oneshot::channel();
        let previous = world.deliveries.insert(message.conversation_id.clone(), next);
        world.last_delivered = Some(message_id.to_owned());
        let platform = Arc::clone(self);
        self.spawn(async move {
            if let Some(previous) = previous {
                // The sender is dropped, never used, when the earlier attempt is over.
                let _ = previous.await;
            }
            platform.attempt_delivery(&message_type, &body, attempted).await;
        });
    }

    async fn attempt_delivery(&self, message_type: &str, body: &Value, attempted: oneshot::Sender<()>) {
        let mut outcome = self.call("message_created", Some(message_type), body, 1).await;
        drop(attempted);
        for retry in 1..=DELIVERY_RETRIES {
            if !is_transient(&outcome) {
                return;
            }
            self.sleep_until(self.now() + Duration::from_secs(retry)).await;
            outcome = self.call("message_created", Some(message_type), body, retry + 1).await;
        }
    }
}

fn network_error(error: &reqwest::Error) -> String {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    format!("{error}: {cause}")
}
