//! The parts of Botpress's objects that the service uses.
//!
//! Unknown fields of answers are ignored. Requests contain declared fields only, because Botpress refuses others.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::ids::{ConversationId, MessageId, UserId};

/// A user: the end user's mirror, or an agent.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// The name to show.
    #[serde(default, deserialize_with = "text")]
    pub name: Option<String>,
    /// The picture's URL.
    #[serde(default, deserialize_with = "text")]
    pub picture_url: Option<String>,
}

/// A text; `None` for anything else.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_str().map(str::to_owned))
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Botpress's limit for a user's name, in characters.
const MAX_NAME_CHARS: usize = 200;

/// Botpress's limit for the address of a user's picture, in characters.
const MAX_PICTURE_URL_CHARS: usize = 40_000;

/// The values to create a user with, or to change it to; `None` leaves a value unchanged, and tags are merged.
///
/// Shape: `{"tags":{…},"name","pictureUrl"}`. A name has at most 200 characters, a tag's value at most 500; tags must be
/// declared in the integration's definition.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewUser {
    /// Our own tags, without prefix.
    pub tags: BTreeMap<String, String>,
    /// The name to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The picture's URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture_url: Option<String>,
}

impl NewUser {
    /// A user within Botpress's limits: a longer name is cut, and a longer picture address is left out.
    pub fn new(tags: BTreeMap<String, String>, name: Option<&str>, picture_url: Option<&str>) -> Self {
        let fits = |url: &&str| url.chars().count() <= MAX_PICTURE_URL_CHARS;
        Self {
            tags,
            name: name.map(|name| name.chars().take(MAX_NAME_CHARS).collect()),
            picture_url: picture_url.filter(fits).map(str::to_owned),
        }
    }
}

impl fmt::Debug for NewUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewUser").finish_non_exhaustive()
    }
}

/// A conversation of our install.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Conversation {
    /// The conversation's id.
    pub id: ConversationId,
}

/// A message of one of our conversations.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The message's id.
    pub id: MessageId,
    /// Whether the call posted it, rather than found it; older versions of the API do not say.
    #[serde(skip)]
    pub created: Option<bool>,
}

/// A message to post.
///
/// Shape: `{"conversationId","userId","type","payload","tags"}`; the payload's shape depends on the type, and an empty
/// text is refused.
#[derive(Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewMessage {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The author; messages of any user except the bot's own reach the bot.
    pub user_id: UserId,
    /// `text`, `image`, `audio`, `video`, `file` or `bloc`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The content.
    pub payload: Value,
    /// Our own tags, without prefix.
    pub tags: BTreeMap<String, String>,
}

impl fmt::Debug for NewMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut output = f.debug_struct("NewMessage");
        output.field("conversation_id", &self.conversation_id).field("user_id", &self.user_id);
        output.field("kind", &self.kind).field("tags", &self.tags).finish_non_exhaustive()
    }
}

/// An event to emit, such as `hitlStopped`.
///
/// Shape: `{"type","payload","conversationId"?,"schedule":{"delay":<ms>}?}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewEvent {
    /// The event's name, without prefix.
    #[serde(rename = "type")]
    pub kind: String,
    /// The details. A key named `conversationId` must contain a Botpress id.
    pub payload: Value,
    /// The conversation it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// How long Botpress delays it.
    #[serde(rename = "schedule", skip_serializing_if = "Option::is_none", serialize_with = "as_schedule")]
    pub delay: Option<Duration>,
}

#[derive(Serialize)]
struct Schedule {
    delay: Option<u128>,
}

fn as_schedule<S: Serializer>(delay: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    Schedule { delay: delay.map(|delay| delay.as_millis()) }.serialize(serializer)
}

/// How often Botpress calls `register` again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegisterSchedule {
    /// Once a day.
    Daily,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_new_event_has_exactly_the_documented_fields() {
        let event = NewEvent {
            kind: "hitlStopped".to_owned(),
            payload: json!({"conversationId": "conv_1"}),
            conversation_id: None,
            delay: None,
        };
        let expected = json!({"type": "hitlStopped", "payload": {"conversationId": "conv_1"}});
        assert_eq!(serde_json::to_value(&event).unwrap(), expected);

        let delayed = NewEvent { delay: Some(Duration::from_secs(3)), conversation_id: Some("conv_1".into()), ..event };
        let expected = json!({"type": "hitlStopped", "payload": {"conversationId": "conv_1"}, "conversationId": "conv_1",
                              "schedule": {"delay": 3000}});
        assert_eq!(serde_json::to_value(&delayed).unwrap(), expected);
    }

    #[test]
    fn a_user_is_made_to_fit() {
        let user = NewUser::new(BTreeMap::new(), Some(&"ż".repeat(201)), Some(&"x".repeat(40_001)));
        assert_eq!((user.name.map(|name| name.chars().count()), user.picture_url), (Some(200), None));
        let user = NewUser::new(BTreeMap::new(), Some("Ann"), Some("https://p"));
        assert_eq!((user.name.as_deref(), user.picture_url.as_deref()), (Some("Ann"), Some("https://p")));
    }

    #[test]
    fn debug_output_shows_neither_texts_nor_people() {
        let user = NewUser { name: Some("canary".to_owned()), ..NewUser::default() };
        let message = NewMessage {
            conversation_id: "c".into(),
            user_id: "u".into(),
            kind: "text".to_owned(),
            payload: json!({"text": "canary"}),
            tags: BTreeMap::new(),
        };
        let output = format!("{user:?} {message:?}");
        assert!(!output.contains("canary"), "{output}");
    }
}
