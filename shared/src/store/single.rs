//! Writes of one item: half the price of a transaction, and plain writes of one item wait for each other instead of failing.
//!
//! The SDK repeats a write whose answer was lost, and a condition that held the first time may then fail because of that write. So
//! each conditional update leaves its own mark in the item, `last_write`. If an update is refused and the item has its mark, the first
//! write succeeded.

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld;
use serde::Serialize;

use super::keys::Key;
use super::retry::Tries;
use super::transaction::Change;
use super::{Error, Item, Result, Table, item, number, text};
use crate::clock::Timestamp;

/// The attribute with the mark of the last conditional update.
const MARK: &str = "last_write";

impl Table {
    pub(super) async fn put<T: Serialize>(&self, key: &Key, entity: &str, record: &T) -> Result<()> {
        let item = item(key, entity, record)?;
        let mut tries = self.tries();
        loop {
            fail_point!(Before, "table put");
            let sent = self.client.put_item().table_name(&self.name).set_item(Some(item.clone())).send().await;
            fail_point!(After, "table put");
            match sent {
                Ok(_) => return Ok(()),
                Err(error) => match error.as_service_error() {
                    Some(PutItemError::TransactionConflictException(_)) => tries.pause(error.into()).await?,
                    _ => return Err(error.into()),
                },
            }
        }
    }

    /// Updates one item, and returns whether the condition held.
    pub(super) async fn update(&self, verb: &'static str, key: &Key, change: Change) -> Result<bool> {
        self.update_within(self.tries(), verb, key, change).await
    }

    /// The same for a caller that needs an outcome by a certain time.
    #[cfg_attr(not(feature = "fail-points"), expect(unused_variables, reason = "fail points are named after the verb"))]
    pub(super) async fn update_within(
        &self,
        mut tries: Tries<'_>,
        verb: &'static str,
        key: &Key,
        change: Change,
    ) -> Result<bool> {
        let change = Marked::new(change);
        loop {
            fail_point!(Before, verb);
            let outcome = self.try_update(key, &change).await;
            fail_point!(After, verb);
            match outcome? {
                Update::Done(held) => return Ok(held),
                Update::Met(error) => tries.pause(error).await?,
            }
        }
    }

    async fn try_update(&self, key: &Key, change: &Marked) -> Result<Update> {
        let request = self.client.update_item().table_name(&self.name).set_key(Some(key.attributes()));
        let sent = request
            .update_expression(&change.expression)
            .set_condition_expression(Some(change.condition.to_owned()).filter(|condition| !condition.is_empty()))
            .set_expression_attribute_values(Some(change.values.clone()).filter(|values| !values.is_empty()))
            .return_values_on_condition_check_failure(AllOld)
            .send()
            .await;
        let error = match sent {
            Ok(_) => return Ok(Update::Done(true)),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                // With this update's own mark in the item, an earlier try succeeded and only its answer was lost.
                let mark = refused.item().and_then(|item| item.get(MARK));
                Ok(Update::Done(mark.is_some() && mark == change.values.get(":mark")))
            }
            Some(UpdateItemError::TransactionConflictException(_)) => Ok(Update::Met(error.into())),
            _ => Err(error.into()),
        }
    }

    /// Deletes one item; succeeds if it is absent.
    pub(super) async fn delete(&self, verb: &'static str, key: &Key) -> Result<()> {
        self.delete_if(verb, key, None).await.map(drop)
    }

    /// Deletes an item if it has expired by `now`, as TTL does. Returns whether it had.
    pub(super) async fn delete_expired(&self, verb: &'static str, key: &Key, now: Timestamp) -> Result<bool> {
        let seconds = Item::from([(":now".to_owned(), number(now.unix_seconds()))]);
        self.delete_if(verb, key, Some(("expires_at <= :now", seconds))).await
    }

    #[cfg_attr(not(feature = "fail-points"), expect(unused_variables, reason = "fail points are named after the verb"))]
    async fn delete_if(&self, verb: &'static str, key: &Key, condition: Option<(&str, Item)>) -> Result<bool> {
        let (condition, values) = condition.unzip();
        let mut tries = self.tries();
        loop {
            let request = self.client.delete_item().table_name(&self.name).set_key(Some(key.attributes()));
            let request = request.set_condition_expression(condition.map(str::to_owned));
            let request = request.set_expression_attribute_values(values.clone());
            fail_point!(Before, verb);
            let sent = request.send().await;
            fail_point!(After, verb);
            match sent {
                Ok(_) => return Ok(true),
                Err(error) => match error.as_service_error() {
                    Some(DeleteItemError::ConditionalCheckFailedException(_)) => return Ok(false),
                    Some(DeleteItemError::TransactionConflictException(_)) => tries.pause(error.into()).await?,
                    _ => return Err(error.into()),
                },
            }
        }
    }
}

/// The result of one try.
enum Update {
    /// It completed; whether its condition held.
    Done(bool),
    /// It conflicted with a transaction.
    Met(Error),
}

/// A change as it is sent: with a mark if it has a condition, which could refuse a repetition.
struct Marked {
    expression: String,
    condition: &'static str,
    values: Item,
}

impl Marked {
    fn new(change: Change) -> Self {
        let Change { expression, condition, values } = change;
        let mut values: Item = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        if condition.is_empty() {
            return Self { expression: expression.to_owned(), condition, values };
        }
        values.insert(":mark".to_owned(), text(uuid::Uuid::new_v4().simple()));
        let expression = match expression.strip_prefix("SET ") {
            Some(rest) => format!("SET {MARK} = :mark, {rest}"),
            None => format!("SET {MARK} = :mark {expression}"),
        };
        Self { expression, condition, values }
    }
}
