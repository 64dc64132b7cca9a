//! An end user, and the LiveChat customer that represents them.

use crate::clock::Timestamp;
use crate::ids::{ChatId, CustomerId, SessionId, ThreadId, UserId};
use crate::redacted::Redacted;
use serde::{Deserialize, Serialize};

/// An end user of a bot, from their first escalation on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// The bot platform's id of the user.
    pub user_id: UserId,
    /// How agents see the user.
    #[serde(default)]
    pub profile: Profile,
    /// What LiveChat was last sent, so that it is sent again only when it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_sent: Option<Introduction>,
    /// The LiveChat customer that represents this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Customer>,
    /// The customer's only chat, from the first session on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_id: Option<ChatId>,
    /// The thread of the latest session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<ThreadId>,
    /// Until when a call may still close the chat's open thread, whichever thread that is by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing_until: Option<Timestamp>,
    /// How many users of the bot this one represents; more than one is possible if e-mail addresses count as identities.
    #[serde(default)]
    pub upstream_users: u32,
    /// The user's current or latest session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
}

impl User {
    /// A user who is known only by the id.
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

/// What agents see of an end user.
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

/// What LiveChat is sent about an end user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// The profile.
    #[serde(flatten)]
    pub profile: Profile,
    /// The user's origin and other facts for agents, as name and value.
    #[serde(default)]
    pub session_fields: Vec<(String, Redacted)>,
}

/// A LiveChat customer and the credentials to act as them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Customer {
    /// The customer, for life.
    pub customer_id: CustomerId,
    /// Renew the token for the same customer; valid for two years after their last use.
    pub cookies: Cookies,
    /// Bearer token of the Customer Chat API.
    pub access_token: Redacted,
    /// When the token was issued.
    pub issued_at: Timestamp,
    /// When the token stops working.
    pub expires_at: Timestamp,
}

/// The cookies that make the next token belong to the same customer; valid for two years from the last token.
///
/// With both values anyone can act as this customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cookies {
    /// The value of `__lc_cid`: the customer's id.
    pub customer_id: String,
    /// The value of `__lc_cst`.
    pub secret: Redacted,
}
