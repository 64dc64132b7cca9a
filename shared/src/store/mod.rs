//! The table: verbs of the domain over one DynamoDB table.
//!
//! There is one implementation, on `aws-sdk-dynamodb`; the sandbox and the tests run it against an embedded engine that speaks the same
//! protocol. SDK types do not leave this module. Time is always an argument; the clock serves for pauses, and for how long a write that
//! conflicts with another one is retried.

mod agents;
mod calls;
mod closing;
mod doors;
mod due;
mod early;
mod fares;
mod gates;
mod installs;
mod keeping;
mod keys;
pub mod lane;
mod lane_context;
mod lanes;
mod moves;
mod operator;
mod progress;
mod ratings;
mod receipts;
mod records;
mod retry;
mod sessions;
mod single;
mod timers;
mod transaction;
mod transcript_marks;
mod users;
mod utterances;
mod waits;

pub use agents::Agent;
pub use closing::{Closing, LaneToAgent};
pub use doors::{Door, TurnedAway};
pub use due::{Due, Sweeps};
pub use gates::{Closure, Limits, Passage, TRIAL_EVERY, Trouble, VendorState};
pub use keeping::KEPT_AGAIN_AFTER;
pub use lane_context::{LaneContext, LaneQuery};
pub use operator::{Erased, Kept, LifeEvent, Parked};
pub use ratings::Rating;
pub use records::{DayOfRecords, Ending, Record, Said, hashed};

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use keys::Key;
use serde::Serialize;
use serde::de::DeserializeOwned;
use transaction::built;

use crate::clock::{Clock, Timestamp};

/// Why an operation on the table failed.
///
/// A condition that does not hold is never an error: the verbs return it as one of their outcomes.
#[derive(thiserror::Error)]
pub enum Error {
    /// DynamoDB did not answer or refused; a later try may succeed.
    #[error("the table is not available ({reason})")]
    Unavailable {
        /// DynamoDB's error code.
        reason: String,
        /// The SDK's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An item does not have the shape this version writes.
    #[error("an item of the table is malformed")]
    Malformed(#[source] Box<serde_dynamo::Error>),
}

/// Contains no more than the plain form: Lambda's runtime logs this form, and DynamoDB's sentence must not reach the log.
impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unavailable { reason, .. } => {
                f.debug_struct("Unavailable").field("reason", reason).finish_non_exhaustive()
            }
            Self::Malformed(_) => f.debug_tuple("Malformed").finish_non_exhaustive(),
        }
    }
}

impl<E, R> From<SdkError<E, R>> for Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    fn from(error: SdkError<E, R>) -> Self {
        let reason = match error.code() {
            // DynamoDB's sentence stays with the source: it may quote a value.
            Some(code) => code.to_owned(),
            None => error.to_string(),
        };
        Self::Unavailable { reason, source: Box::new(error) }
    }
}

impl From<serde_dynamo::Error> for Error {
    fn from(error: serde_dynamo::Error) -> Self {
        Self::Malformed(Box::new(error))
    }
}

/// What the verbs of this module return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Item = HashMap<String, AttributeValue>;

/// The most items that one call reads.
const MOST_READ_AT_ONCE: usize = 100;

/// The stack's only table.
///
/// # Errors
///
/// Every verb that reaches DynamoDB fails with [`Error`]: [`Error::Unavailable`] if it has not answered or has refused, and
/// [`Error::Malformed`] if an item cannot be read.
#[derive(Clone, Debug)]
pub struct Table {
    client: Client,
    name: String,
    clock: Clock,
    /// The time after which no outcome is needed.
    needed_by: Option<Timestamp>,
}

impl Table {
    /// Names the table; nothing is called yet.
    pub const fn new(client: Client, name: String, clock: Clock) -> Self {
        Self { client, name, clock, needed_by: None }
    }

    /// Returns the same table for a caller that needs each outcome by `deadline`: a write that conflicts is tried more often before it.
    #[must_use]
    pub fn needed_by(&self, deadline: Timestamp) -> Self {
        Self { needed_by: Some(deadline), ..self.clone() }
    }

    async fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>> {
        Ok(self.get_item(key).await?.map(serde_dynamo::from_item).transpose()?)
    }

    /// As [`get`](Self::get), for items that expire: DynamoDB deletes them hours or days too late.
    async fn get_unexpired<T: DeserializeOwned>(&self, key: &Key, now: Timestamp) -> Result<Option<T>> {
        let item = self.get_item(key).await?.filter(|item| !has_expired(item, now));
        Ok(item.map(serde_dynamo::from_item).transpose()?)
    }

    async fn get_item(&self, key: &Key) -> Result<Option<Item>> {
        let request = self.client.get_item().table_name(&self.name).set_key(Some(key.attributes()));
        Ok(request.consistent_read(true).send().await?.item.filter(|item| !is_ghost(item)))
    }

    /// Several items in one call, in any order; those that do not exist are left out.
    async fn get_all(&self, keys: &[Key]) -> Result<Vec<Item>> {
        let wanted = KeysAndAttributes::builder().consistent_read(true);
        let wanted = built(wanted.set_keys(Some(keys.iter().map(Key::attributes).collect())).build())?;
        let answer = self.client.batch_get_item().request_items(&self.name, wanted).send().await?;
        let mut items: Vec<_> = answer.responses.into_iter().flatten().flat_map(|(_, items)| items).collect();
        // Under throttling DynamoDB returns a part; the rest is read one by one, with the client's retries.
        let left_out = answer.unprocessed_keys.into_iter().flatten();
        for key in left_out.flat_map(|(_, left_out)| left_out.keys) {
            let request = self.client.get_item().table_name(&self.name).set_key(Some(key));
            items.extend(request.consistent_read(true).send().await?.item);
        }
        items.retain(|item| !is_ghost(item));
        Ok(items)
    }

    /// Everything in `partition` whose sort key begins with `prefix`, in the order of the sort key.
    async fn query(&self, partition: &str, prefix: &str) -> Result<Vec<Item>> {
        let request = self.client.query().table_name(&self.name).consistent_read(true);
        let mut pages = request
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", text(partition))
            .expression_attribute_values(":prefix", text(prefix))
            .into_paginator()
            .send();
        let mut items = Vec::new();
        while let Some(page) = pages.next().await {
            items.extend(page?.items.unwrap_or_default());
        }
        Ok(items)
    }
}

/// The stored form of `record`: its own attributes, its key, and its entity's name for readers of the raw table.
fn item<T: Serialize>(key: &Key, entity: &str, record: &T) -> Result<Item> {
    let mut item: Item = serde_dynamo::to_item(record)?;
    item.extend(key.attributes());
    item.insert("entity".to_owned(), text(entity));
    Ok(item)
}

/// Whether an item is a ghost: an update that came after the item's expiry or erasure has created it anew, without even its own id. It
/// counts as absent.
fn is_ghost(item: &Item) -> bool {
    let sk = item.get("sk").and_then(|sk| sk.as_s().ok()).map(String::as_str).unwrap_or_default();
    let own_id = match sk.split_once('#').map_or(sk, |(entity, _)| entity) {
        "USER" => "user_id",
        "SESSION" | "CONVERSATION" | "CHAT" => "session_id",
        "TRAIL" => "source_id",
        _ => return false,
    };
    !item.contains_key(own_id)
}

fn has_expired(item: &Item, now: Timestamp) -> bool {
    let expires_at =
        item.get("expires_at").and_then(|value| value.as_n().ok()).and_then(|seconds| seconds.parse().ok());
    expires_at.is_some_and(|seconds: i64| seconds <= now.unix_seconds())
}

fn text(value: impl ToString) -> AttributeValue {
    AttributeValue::S(value.to_string())
}

fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn value<T: Serialize>(record: &T) -> Result<AttributeValue> {
    Ok(serde_dynamo::to_attribute_value(record)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_an_error_shows_what_the_service_said() {
        let error = Error::Unavailable { reason: "ValidationException".to_owned(), source: "canary".into() };
        for shown in [format!("{error}"), format!("{error:?}"), format!("{error:#?}")] {
            assert!(shown.contains("ValidationException") && !shown.contains("canary"), "{shown}");
        }
        let error = crate::secrets::Error::Unavailable("canary".into());
        assert!(!format!("{error:?} {error}").contains("canary"));
    }
}
