//! All-or-nothing writes that return refused conditions as data.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem, Update};
use serde::Serialize;

use super::keys::Key;
use super::retry::Tries;
use super::{Error, Item, Result, Table, item, number};
use crate::clock::Timestamp;

/// The result of a transaction.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Committed {
    /// Every write was made.
    Done,
    /// Nothing was written; the flags show, for each write, whether its condition failed.
    Refused(Vec<bool>),
}

impl Committed {
    pub(super) fn is_done(&self) -> bool {
        *self == Self::Done
    }

    /// Returns whether the condition of the write at `index` failed.
    pub(super) fn refused(&self, index: usize) -> bool {
        matches!(self, Self::Refused(flags) if flags.get(index) == Some(&true))
    }
}

/// The result of one try.
pub(super) enum Try {
    /// It completed.
    Through(Committed),
    /// It conflicted with another write, or an item had no throughput left; nothing was written.
    Met(Error),
}

/// A transaction under construction; writes are numbered from 0 in the order in which they are added.
pub(super) struct Transaction<'a> {
    table: &'a Table,
    writes: Vec<TransactWriteItem>,
}

/// One update: its expression, its condition and the values that both use.
///
/// Attribute names are used literally in the expressions, so none of them may be a word that DynamoDB reserves.
#[derive(Clone)]
pub(super) struct Change {
    pub(super) expression: &'static str,
    pub(super) condition: &'static str,
    pub(super) values: Vec<(&'static str, AttributeValue)>,
}

impl Table {
    pub(super) fn transaction(&self) -> Transaction<'_> {
        Transaction { table: self, writes: Vec::new() }
    }
}

impl Transaction<'_> {
    pub(super) fn put<T: Serialize>(self, key: &Key, entity: &str, record: &T) -> Result<Self> {
        self.put_if(key, entity, record, None, None)
    }

    pub(super) fn create<T: Serialize>(self, key: &Key, entity: &str, record: &T) -> Result<Self> {
        self.put_if(key, entity, record, Some("attribute_not_exists(pk)"), None)
    }

    /// As [`create`](Self::create), but an item that has expired by `now` counts as absent.
    pub(super) fn create_over_expired<T: Serialize>(
        self,
        key: &Key,
        entity: &str,
        record: &T,
        now: Timestamp,
    ) -> Result<Self> {
        let values = HashMap::from([(":seconds".to_owned(), number(now.unix_seconds()))]);
        self.put_if(key, entity, record, Some("attribute_not_exists(pk) OR expires_at <= :seconds"), Some(values))
    }

    fn put_if<T: Serialize>(
        mut self,
        key: &Key,
        entity: &str,
        record: &T,
        condition: Option<&str>,
        values: Option<Item>,
    ) -> Result<Self> {
        let put = Put::builder()
            .set_expression_attribute_values(values)
            .table_name(&self.table.name)
            .set_item(Some(item(key, entity, record)?))
            .set_condition_expression(condition.map(str::to_owned))
            .build();
        self.writes.push(TransactWriteItem::builder().put(built(put)?).build());
        Ok(self)
    }

    pub(super) fn update(mut self, key: &Key, change: Change) -> Result<Self> {
        let values = change.values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let update = Update::builder()
            .table_name(&self.table.name)
            .set_key(Some(key.attributes()))
            .update_expression(change.expression)
            .set_condition_expression(Some(change.condition.to_owned()).filter(|condition| !condition.is_empty()))
            .set_expression_attribute_values(Some(values).filter(|values: &super::Item| !values.is_empty()))
            .build();
        self.writes.push(TransactWriteItem::builder().update(built(update)?).build());
        Ok(self)
    }

    pub(super) fn delete(self, key: &Key) -> Result<Self> {
        self.delete_if(key, None)
    }

    /// As [`delete`](Self::delete), but the item must exist.
    pub(super) fn take(self, key: &Key) -> Result<Self> {
        self.delete_if(key, Some("attribute_exists(pk)"))
    }

    fn delete_if(mut self, key: &Key, condition: Option<&str>) -> Result<Self> {
        let delete = Delete::builder().table_name(&self.table.name).set_key(Some(key.attributes()));
        let delete = delete.set_condition_expression(condition.map(str::to_owned)).build();
        self.writes.push(TransactWriteItem::builder().delete(built(delete)?).build());
        Ok(self)
    }

    /// Sends the transaction, and retries it after conflicts until the caller's deadline.
    pub(super) async fn commit(self, verb: &'static str, mut tries: Tries<'_>) -> Result<Committed> {
        loop {
            match self.attempt(verb).await? {
                Try::Through(outcome) => return Ok(outcome),
                Try::Met(error) => tries.pause(error).await?,
            }
        }
    }

    /// Sends the transaction once, so that after a conflict the caller can first check what the other write has done.
    #[cfg_attr(not(feature = "fail-points"), expect(unused_variables, reason = "fail points are named after the verb"))]
    pub(super) async fn attempt(&self, verb: &'static str) -> Result<Try> {
        fail_point!(Before, verb);
        let attempt = self.send().await;
        fail_point!(After, verb);
        attempt
    }

    async fn send(&self) -> Result<Try> {
        let request = self.table.client.transact_write_items().set_transact_items(Some(self.writes.clone()));
        let error = match request.send().await {
            Ok(_) => return Ok(Try::Through(Committed::Done)),
            Err(error) => error,
        };
        let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() else {
            return Err(error.into());
        };
        let codes: Vec<_> = cancelled.cancellation_reasons().iter().map(|reason| reason.code()).collect();
        match what_follows(&codes) {
            Verdict::Refused(refused) => Ok(Try::Through(Committed::Refused(refused))),
            Verdict::TryAgain => Ok(Try::Met(error.into())),
            Verdict::Final => Err(error.into()),
        }
    }
}

/// The verdict on the reasons for which a transaction was cancelled.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The conditions of the flagged writes failed.
    Refused(Vec<bool>),
    /// It conflicted with another write, or an item had no throughput left: both are transient.
    TryAgain,
    /// A retry would be cancelled, too.
    Final,
}

const CONDITION_FAILED: &str = "ConditionalCheckFailed";

/// Transient reasons; all others are permanent.
const PASSING: [&str; 3] = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];

fn what_follows(codes: &[Option<&str>]) -> Verdict {
    let refused: Vec<bool> = codes.iter().map(|code| *code == Some(CONDITION_FAILED)).collect();
    // A failed condition is an answer, even if another write of the transaction conflicted.
    if refused.contains(&true) {
        return Verdict::Refused(refused);
    }
    let mut reasons = codes.iter().flatten().filter(|code| **code != "None").peekable();
    // Without any reason the cause is unknown, so a retry is not justified.
    match reasons.peek().is_some() && reasons.all(|code| PASSING.contains(code)) {
        true => Verdict::TryAgain,
        false => Verdict::Final,
    }
}

pub(super) fn built<T>(write: std::result::Result<T, aws_sdk_dynamodb::error::BuildError>) -> Result<T> {
    write.map_err(|error| Error::Unavailable { reason: error.to_string(), source: Box::new(error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reasons_that_pass_are_waited_out() {
        let none = Some("None");
        for passing in PASSING {
            assert_eq!(what_follows(&[none, Some(passing), None]), Verdict::TryAgain, "{passing}");
        }
        for lasting in ["ValidationError", "ItemCollectionSizeLimitExceeded", "AccessDenied"] {
            assert_eq!(what_follows(&[none, Some(lasting)]), Verdict::Final, "{lasting}");
            assert_eq!(what_follows(&[Some("TransactionConflict"), Some(lasting)]), Verdict::Final, "{lasting}");
        }
        let refused = what_follows(&[Some("TransactionConflict"), Some(CONDITION_FAILED)]);
        assert_eq!(refused, Verdict::Refused(vec![false, true]), "what a condition says needs no other try");
        assert_eq!(what_follows(&[]), Verdict::Final, "nobody knows why");
    }
}
