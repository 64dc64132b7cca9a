//! End users: who they are for us, and which LiveChat customer speaks for them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::heard::Heard;
use super::keys::Key;
use super::transaction::Change;
use super::{Result, Table, number, text, value};
use crate::clock::Timestamp;
use crate::ids::{ChatId, CustomerId, SessionId, ThreadId, UserId};
use crate::livechat::Cookies;
use crate::redacted::Redacted;

/// An end user of a bot, from their first escalation on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// The bot platform's id of the user.
    pub user_id: UserId,
    /// How agents see the user.
    #[serde(default)]
    pub profile: Profile,
    /// What LiveChat has been told, so that it is told again only when it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_sent: Option<Introduction>,
    /// The LiveChat customer who speaks for this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Customer>,
    /// The customer's only chat, once there was a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_id: Option<ChatId>,
    /// The thread of the latest session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<ThreadId>,
    /// Until when a call may close the open thread of the chat, whichever that is then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing_until: Option<Timestamp>,
    /// How many users of the bot stand behind this one; several can where e-mail addresses count as identities.
    #[serde(default)]
    pub upstream_users: u32,
    /// The session that the user is in, or was in last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
}

impl User {
    /// Somebody of whom nothing but the id is known.
    pub fn unknown(user_id: &UserId) -> Self {
        Self {
            user_id: user_id.clone(),
            profile: Profile::default(),
            profile_sent: None,
            customer: None,
            chat_id: None,
            thread_id: None,
            closing_until: None,
            upstream_users: 0,
            session_id: None,
        }
    }
}

/// What agents are shown of an end user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Display name.
    pub name: Redacted,
    /// E-mail address; a synthetic one is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Redacted>,
    /// Address of a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture_url: Option<Redacted>,
}

/// What LiveChat is told of an end user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// Who it is.
    #[serde(flatten)]
    pub profile: Profile,
    /// Where they come from, and what else agents shall know, as name and value.
    #[serde(default)]
    pub session_fields: Vec<(String, Redacted)>,
}

/// A LiveChat customer and the means to act as them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Customer {
    /// The customer, for life.
    pub customer_id: CustomerId,
    /// Renew the token for this very customer; valid for two years after their last use.
    pub cookies: Cookies,
    /// Bearer token of the Customer Chat API.
    pub access_token: Redacted,
    /// When the token was issued.
    pub issued_at: Timestamp,
    /// When the token stops working.
    pub expires_at: Timestamp,
}

impl Table {
    /// Reads an end user.
    ///
    /// # Errors
    ///
    /// As all reads: see [`Error`](super::Error).
    pub async fn user(&self, id: &UserId) -> Result<Option<User>> {
        self.get(&Key::user(id)).await
    }

    /// Records how agents shall see the user, creating the user if need be; one who is in no session goes at `expires_at`.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn put_profile(&self, id: &UserId, profile: &Profile, expires_at: Timestamp) -> Result<()> {
        let expires = (":expires", number(expires_at.unix_seconds()));
        loop {
            let alone = "attribute_not_exists(session_id) OR attribute_exists(expires_at)";
            let expression = "SET user_id = :id, entity = :entity, profile = :new, expires_at = :expires";
            if self.change_user(id, expression, alone, value(profile)?, Some(expires.clone())).await? {
                return Ok(());
            }
            let expression = "SET user_id = :id, entity = :entity, profile = :new";
            let in_session = "attribute_exists(session_id) AND attribute_not_exists(expires_at)";
            if self.change_user(id, expression, in_session, value(profile)?, None).await? {
                return Ok(());
            }
        }
    }

    /// Counts one more user of the bot behind this one.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn count_upstream_user(&self, id: &UserId) -> Result<()> {
        let expression = "SET user_id = :id, entity = :entity ADD upstream_users :new";
        self.change_user(id, expression, "", number(1), None).await?;
        Ok(())
    }

    /// Records who was made for a call of `createUser`, unless one with the same input came less than `window` before: then
    /// that counts.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn first_asked(&self, digest: &str, asked: Heard, window: Duration) -> Result<Heard> {
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
            // Gone only if it has expired between the two.
            if let Some(before) = self.get(&key).await? {
                return Ok(before);
            }
        }
    }

    /// Records until when a call may close the open thread of the user's chat.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn put_closing_until(&self, id: &UserId, until: Timestamp) -> Result<()> {
        let expression = "SET user_id = :id, entity = :entity, closing_until = :new";
        self.change_user(id, expression, "attribute_exists(pk)", text(until), None).await?;
        Ok(())
    }

    /// Records what LiveChat has been told about the user.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn put_profile_sent(&self, id: &UserId, told: &Introduction) -> Result<()> {
        let expression = "SET user_id = :id, entity = :entity, profile_sent = :new";
        self.change_user(id, expression, "attribute_exists(pk)", value(told)?, None).await?;
        Ok(())
    }

    /// Stores a new or renewed customer unless somebody else has replaced `known` meanwhile; tells which one counts. What belonged to
    /// another customer is forgotten with them: their chat, and what LiveChat was told of them. A user who was erased stays erased.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
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
        new: aws_sdk_dynamodb::types::AttributeValue,
        extra: Option<(&'static str, aws_sdk_dynamodb::types::AttributeValue)>,
    ) -> Result<bool> {
        let mut values = vec![(":id", text(id)), (":entity", text("user")), (":new", new)];
        values.extend(extra);
        let change = Change { expression, condition, values };
        self.update("table change_user", &Key::user(id), change).await
    }
}
