//! Identifiers as types, so that an id of one kind is never passed for another.
//!
//! Each is an opaque text of its owner: compared, stored and echoed, never parsed.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

/// An id without the number at its end, and that number: `T_10` is the tenth of `T`. Two ids with the same beginning were
/// counted by their owner; nothing else can be derived from an id.
pub fn numbered(id: &str) -> (&str, Option<u64>) {
    let counted = id.rsplit_once(['_', '#']).filter(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()));
    match counted.and_then(|(stem, number)| Some((stem, number.parse().ok()?))) {
        Some((stem, number)) => (stem, Some(number)),
        None => (id, None),
    }
}

/// Longer than any vendor's id, and short enough for two of them in one key of the table (1,024 bytes).
pub(crate) const MAX_ID_BYTES: usize = 400;

/// Reads an id; refuses one that cannot be a key.
pub(crate) fn read_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.len() <= MAX_ID_BYTES {
        true => Ok(text),
        false => Err(D::Error::custom("invalid length, expected an id of at most 400 bytes")),
    }
}

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(#[serde(deserialize_with = "read_id")] String);

        impl $name {
            /// Takes the owner's text unchanged.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The owner's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
    )+};
}

text_id! {
    /// LiveChat: a customer's only chat, for life.
    ChatId;
    /// LiveChat: one opening of a chat, from start or resume to deactivation.
    ThreadId;
    /// LiveChat: an event of a thread.
    EventId;
    /// LiveChat: an end user (a UUID).
    CustomerId;
    /// LiveChat: a person or bot that answers; for people this is their e-mail address.
    AgentId;
    /// LiveChat: the account that owns the licence (a UUID).
    OrganizationId;
    /// LiveChat: a webhook's registration.
    WebhookRegistrationId;

    /// Botpress: a bot.
    BotId;
    /// Botpress: a version of our integration (`intver_…`).
    IntegrationId;
    /// Botpress: the name under which the integration is installed on a bot.
    IntegrationAlias;
    /// Botpress: one install of the integration on one bot; Botpress calls it the webhook id.
    InstallId;
    /// Botpress: a conversation that belongs to our install; elsewhere [`of_session`](ConversationId::of_session).
    ConversationId;
    /// An end user: Botpress's id of one that belongs to our install, or [`of_botcopy`](UserId::of_botcopy).
    UserId;
    /// Botpress: a message.
    MessageId;

    /// Botcopy: a bot.
    BotcopyBotId;
    /// Botcopy: an end user of a bot.
    BotcopyUserId;

    /// Ours: one handoff, from escalation to its end.
    SessionId;
}

impl UserId {
    /// The end user whom a Botcopy bot knows as `user`; unique among the users of all bots and platforms.
    ///
    /// Shape: `botcopy:<bot id>:<user id>`, with `%` and `:` of the bot's id escaped. Botpress's ids have no colon.
    pub fn of_botcopy(bot: &BotcopyBotId, user: &BotcopyUserId) -> Self {
        let bot = bot.0.replace('%', "%25").replace(':', "%3A");
        Self(format!("botcopy:{bot}:{user}"))
    }

    /// Whether this is the end user of a Botcopy bot.
    pub fn is_of_botcopy(&self) -> bool {
        self.0.starts_with("botcopy:")
    }
}

impl AgentId {
    /// Whether this is a person, and not a bot of the licence: a person's id is an e-mail address.
    pub fn is_person(&self) -> bool {
        self.0.contains('@')
    }
}

impl ConversationId {
    /// Stands for the conversation of a session on a platform without conversations of its own.
    pub fn of_session(session: &SessionId) -> Self {
        Self(format!("session:{session}"))
    }

    /// The session that such an id stands for.
    pub fn session(&self) -> Option<SessionId> {
        self.0.strip_prefix("session:").map(|session| SessionId(session.to_owned()))
    }
}

impl SessionId {
    /// Makes an unused id.
    pub fn random() -> Self {
        Self(Uuid::new_v4().simple().to_string())
    }
}

/// LiveChat: a group of agents; `0` is the general group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupId(pub u32);

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A chat, bot and user that no vendor has: the operator's command uses it for probes.
pub(crate) const NO_CHAT: &str = "hitl-doctor";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_for_a_key_is_no_id() {
        let read = |length: usize| serde_json::from_str::<ChatId>(&format!("\"{}\"", "x".repeat(length)));
        assert!(read(MAX_ID_BYTES).is_ok());
        assert!(read(MAX_ID_BYTES + 1).unwrap_err().to_string().contains("expected an id of at most 400 bytes"));
    }

    #[test]
    fn a_number_at_the_end_is_a_count_and_anything_else_is_opaque() {
        for (id, expected) in [
            ("T_2", ("T", Some(2))),
            ("event:T_10", ("event:T", Some(10))),
            ("message:m_1#007", ("message:m_1", Some(7))),
            ("b7eff798-f8df", ("b7eff798-f8df", None)),
            ("T_", ("T_", None)),
            ("T_1a", ("T_1a", None)),
            ("T_99999999999999999999999", ("T_99999999999999999999999", None)),
        ] {
            assert_eq!(numbered(id), expected);
        }
    }

    #[test]
    fn users_of_different_bots_are_never_taken_for_one_another() {
        let of = |bot: &str, user: &str| UserId::of_botcopy(&bot.into(), &user.into());
        assert_eq!(of("b1", "u1").as_str(), "botcopy:b1:u1");
        assert_ne!(of("b:1", "u"), of("b", "1:u"));
        assert_ne!(of("b%3A1", "u"), of("b:1", "u"));
    }
}
