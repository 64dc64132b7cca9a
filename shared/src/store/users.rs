//! End users: their profiles, and the LiveChat customers who represent them.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;

use super::keys::Key;
use super::transaction::Change;
use super::{Result, Table, number, text, value};
use crate::clock::Timestamp;
use crate::ids::UserId;
use crate::model::message::Utterance;
use crate::model::session::State;
use crate::model::user::{Customer, Introduction, Profile, User};

impl Table {
    /// Reads an end user.
    pub async fn user(&self, id: &UserId) -> Result<Option<User>> {
        self.get(&Key::user(id)).await
    }

    /// Records the user's profile for the agents, and creates the user if necessary. A user without a session expires at `expires_at`.
    pub async fn put_profile(&self, id: &UserId, profile: &Profile, expires_at: Timestamp) -> Result<()> {
        let expires = (":expires", number(expires_at.unix_seconds()));
        loop {
            // The user's session may begin or end between the two writes; then neither condition holds, and both are tried again.
            let alone = "attribute_not_exists(session_id) OR attribute_exists(expires_at)";
            let expression = "SET user_id = :id, entity = :entity, profile = :new, expires_at = :expires";
            if self.change_user(id, expression, alone, value(profile)?, Some(expires.clone())).await? {
                return Ok(());
            }
            let expression = "SET user_id = :id, entity = :entity, profile = :new";
            let in_session = "attribute_exists(session_id) AND attribute_not_exists(expires_at)";
            if self.change_user(id, expression, in_session, value(profile)?, None).await? {
                return self.let_go_if_over(id, expires).await;
            }
        }
    }

    /// Sets the expiry of a user whose session is over: earlier versions set none.
    async fn let_go_if_over(&self, id: &UserId, expires: (&'static str, AttributeValue)) -> Result<()> {
        let Some(session_id) = self.user(id).await?.and_then(|user| user.session_id) else { return Ok(()) };
        if self.session(&session_id).await?.is_some_and(|session| session.state != State::Closed) {
            return Ok(());
        }
        let change = Change {
            expression: "SET expires_at = :expires",
            condition: "session_id = :session AND attribute_not_exists(expires_at)",
            values: vec![(":session", text(session_id)), expires],
        };
        self.update("table let_go_if_over", &Key::user(id), change).await.map(drop)
    }

    /// Counts so many more users of the bot whom this one represents.
    pub async fn count_upstream_users(&self, id: &UserId, more: u32) -> Result<()> {
        let expression = "SET user_id = :id, entity = :entity ADD upstream_users :new";
        self.change_user(id, expression, "", number(more), None).await?;
        Ok(())
    }

    /// Records the user created for a call of `createUser`, unless a call with the same input came less than `window` before: then
    /// returns that one's.
    pub async fn first_asked(&self, digest: &str, asked: Utterance, window: Duration) -> Result<Utterance> {
        let key = Key::asked(digest);
        loop {
            let change = Change {
                expression: "SET heard_at = :now, source_id = :id, expires_at = :expires, entity = :entity",
                condition: "attribute_not_exists(heard_at) OR heard_at <= :old",
                values: vec![
                    (":now", text(asked.heard_at)),
                    (":id", text(&asked.source_id)),
                    (":expires", number((asked.heard_at + window).unix_seconds())),
                    (":entity", text("asked")),
                    (":old", text(asked.heard_at - window)),
                ],
            };
            if self.update("table first_asked", &key, change).await? {
                return Ok(asked);
            }
            // Absent only if it has expired between the two calls.
            if let Some(before) = self.get(&key).await? {
                return Ok(before);
            }
        }
    }

    /// Records until when a call may close the open thread of the user's chat.
    pub async fn put_closing_until(&self, id: &UserId, until: Timestamp) -> Result<()> {
        let expression = "SET user_id = :id, entity = :entity, closing_until = :new";
        self.change_user(id, expression, "attribute_exists(pk)", text(until), None).await?;
        Ok(())
    }

    /// Records the profile that LiveChat has been sent of the user.
    pub async fn put_profile_sent(&self, id: &UserId, told: &Introduction) -> Result<()> {
        let expression = "SET user_id = :id, entity = :entity, profile_sent = :new";
        self.change_user(id, expression, "attribute_exists(pk)", value(told)?, None).await?;
        Ok(())
    }

    /// Stores a new or renewed customer unless another invocation has replaced `known` meanwhile, and returns the stored one. Data of a
    /// replaced customer is removed: their chat, and the profile that LiveChat was sent. A user who was erased stays erased.
    pub async fn put_customer(&self, id: &UserId, known: Option<&Customer>, new: Customer) -> Result<Customer> {
        let condition = match known {
            None => "attribute_exists(pk) AND attribute_not_exists(customer)",
            Some(_) => "customer.issued_at = :known",
        };
        let is_another = known.is_some_and(|known| known.customer_id != new.customer_id);
        let known = known.map(|known| (":known", text(known.issued_at)));
        let expression = match is_another {
            true => "SET user_id = :id, entity = :entity, customer = :new REMOVE chat_id, thread_id, profile_sent",
            false => "SET user_id = :id, entity = :entity, customer = :new",
        };
        if self.change_user(id, expression, condition, value(&new)?, known).await? {
            return Ok(new);
        }
        let user = self.user(id).await?;
        Ok(user.and_then(|user| user.customer).unwrap_or(new))
    }

    async fn change_user(
        &self,
        id: &UserId,
        expression: &'static str,
        condition: &'static str,
        new: AttributeValue,
        extra: Option<(&'static str, AttributeValue)>,
    ) -> Result<bool> {
        let mut values = vec![(":id", text(id)), (":entity", text("user")), (":new", new)];
        values.extend(extra);
        let change = Change { expression, condition, values };
        self.update("table change_user", &Key::user(id), change).await
    }
}
