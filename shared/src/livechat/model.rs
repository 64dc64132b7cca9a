//! LiveChat's objects, as far as we use them: chats, threads, events, users.
//!
//! Unknown fields are ignored, unknown values are kept as `Other`, and what a page calls optional is optional.
//!
//! See LiveChat Docs, "Data structures".

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::clock::Timestamp;
use crate::http::entries;
use crate::ids::{AgentId, ChatId, CustomerId, EventId, GroupId, ThreadId, read_id};
use crate::redacted::Redacted;

/// Whoever takes part in a chat: a customer's id, an agent's e-mail address, or a bot's id.
///
/// The Customer API shows agents under another, opaque id; never compare one of those with an [`AgentId`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ParticipantId(#[serde(deserialize_with = "read_id")] String);

impl ParticipantId {
    /// Takes over the vendor's text as it is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The vendor's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of this participant as an agent, in lower case: LiveChat compares e-mail addresses without regard to case.
    pub fn to_agent_id(&self) -> AgentId {
        AgentId::new(self.as_str().trim().to_lowercase())
    }
}

impl From<&str> for ParticipantId {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl PartialEq<CustomerId> for ParticipantId {
    fn eq(&self, other: &CustomerId) -> bool {
        self.as_str() == other.as_str()
    }
}

impl PartialEq<AgentId> for ParticipantId {
    fn eq(&self, other: &AgentId) -> bool {
        self.to_agent_id() == *other
    }
}

/// A chat with one of its threads.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Chat {
    /// The chat's id.
    pub id: ChatId,
    /// The thread asked for, or the latest.
    #[serde(default)]
    pub thread: Option<Thread>,
    /// Who takes part.
    #[serde(default)]
    pub users: Vec<User>,
    /// Who has access.
    #[serde(default)]
    pub access: Access,
    /// Chat properties, by namespace and name.
    #[serde(default, deserialize_with = "entries")]
    pub properties: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
}

impl Chat {
    /// The app that opened the chat, from the property `source.client_id`.
    pub fn source_client_id(&self) -> Option<&str> {
        self.properties.get("source")?.get("client_id")?.as_str()
    }
}

/// Which groups have access to a chat; `[0]` is everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Access {
    /// The groups.
    #[serde(default)]
    pub group_ids: Vec<GroupId>,
}

/// One opening of a chat.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Thread {
    /// The thread's id.
    pub id: ThreadId,
    /// Whether it is open.
    pub active: bool,
    /// When it was opened.
    pub created_at: Timestamp,
    /// Who took part.
    #[serde(default)]
    pub user_ids: Vec<ParticipantId>,
    /// Where it stands in the queue, while nobody has it.
    #[serde(default, deserialize_with = "queue")]
    pub queue: Option<Queue>,
    /// What happened in it, oldest first.
    #[serde(default)]
    pub events: Vec<Event>,
    /// Why `events` is empty although there were some: the licence's plan hides them.
    #[serde(default)]
    pub restricted_access: Option<String>,
}

/// A place in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// From 1.
    pub position: u32,
    /// How long it is likely to take.
    pub wait: Option<Duration>,
}

/// A queue that cannot be read spoils no thread: it is a courtesy.
fn queue<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Queue>, D::Error> {
    let queue = serde_json::Value::deserialize(deserializer)?;
    let number = |name: &str| queue.get(name).and_then(serde_json::Value::as_u64);
    let position =
        number("position").and_then(|position| u32::try_from(position).ok()).filter(|position| *position > 0);
    Ok(position.map(|position| Queue { position, wait: number("wait_time").map(Duration::from_secs) }))
}

/// A user of a chat.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct User {
    /// The user's id.
    pub id: ParticipantId,
    /// Agent or customer.
    #[serde(rename = "type")]
    pub kind: UserKind,
    /// The name to show.
    #[serde(default)]
    pub name: Option<String>,
    /// The e-mail address; bots have none.
    #[serde(default)]
    pub email: Option<String>,
    /// The picture's URL; some of LiveChat's own lack the scheme.
    #[serde(default)]
    pub avatar: Option<String>,
    /// Whether the user is in the chat now.
    #[serde(default)]
    pub present: Option<bool>,
    /// `Agents` for a supervisor whom the customer does not see.
    #[serde(default)]
    pub visibility: Visibility,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// What kind of user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserKind {
    /// A person or bot of the licence.
    Agent,
    /// An end user.
    Customer,
    /// A kind that LiveChat did not document.
    #[serde(other)]
    Other,
}

/// Who sees an event or a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Everybody; what holds when LiveChat says nothing.
    #[default]
    All,
    /// Agents only: never to be shown to the customer.
    Agents,
    /// A value that LiveChat did not document.
    #[serde(other)]
    Other,
}

/// Something that happened in a thread.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "WireEvent")]
pub struct Event {
    /// The event's id, unique within the chat; opaque.
    pub id: EventId,
    /// What its sender called it.
    pub custom_id: Option<String>,
    /// When LiveChat took it.
    pub created_at: Timestamp,
    /// Who caused it; absent when the system did.
    pub author_id: Option<ParticipantId>,
    /// Who sees it.
    pub visibility: Visibility,
    /// Whether LiveChat has said so, and it is not merely what holds otherwise.
    pub visibility_told: bool,
    /// Whether it was deleted; then it may have lost its content.
    pub deleted: bool,
    /// What it says.
    pub content: Content,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// `message`: somebody wrote.
    Message {
        /// What was written.
        text: Redacted,
    },
    /// `file`: somebody sent a file.
    File {
        /// Where it can be fetched.
        url: Redacted,
        /// Its name.
        name: Option<Redacted>,
        /// Its media type.
        content_type: Option<String>,
        /// Its size; given for images only.
        size_bytes: Option<u64>,
        /// What an image shows.
        alternative_text: Option<Redacted>,
    },
    /// `rich_message`: cards, quick replies, and the like.
    RichMessage {
        /// `cards`, `quick_replies`, `sticker`, `ecommerce`.
        template_id: Option<String>,
        /// The cards.
        elements: Vec<RichElement>,
    },
    /// `system_message`: LiveChat reports, in the licence's language; go by the type.
    SystemMessage {
        /// Such as `manual_archived_agent` or `routing.archived_inactive`.
        system_message_type: String,
    },
    /// Any other type, and an event whose content is gone.
    Other {
        /// The event's type.
        kind: String,
    },
}

/// One card of a rich message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct RichElement {
    /// The heading.
    #[serde(default)]
    pub title: Option<Redacted>,
    /// The text below it.
    #[serde(default)]
    pub subtitle: Option<Redacted>,
    /// The picture.
    #[serde(default)]
    pub image: Option<RichImage>,
    /// The buttons.
    #[serde(default)]
    pub buttons: Vec<RichButton>,
}

/// The picture of a card.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RichImage {
    /// Where it can be fetched.
    pub url: Redacted,
}

/// A button of a card.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RichButton {
    /// What is on it.
    #[serde(default)]
    pub text: Option<Redacted>,
    /// `message`, `url`, `webview` or `phone`; may be absent.
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    /// The message, URL or number that stands behind it.
    #[serde(default)]
    pub value: Option<Redacted>,
}

/// All fields of all types of events, because a deleted event keeps its type and loses its content.
#[derive(Deserialize)]
struct WireEvent {
    id: EventId,
    #[serde(rename = "type")]
    kind: String,
    created_at: Timestamp,
    author_id: Option<ParticipantId>,
    custom_id: Option<String>,
    visibility: Option<Visibility>,
    // The customer side's older name for `visibility`.
    recipients: Option<Visibility>,
    deleted: Option<bool>,
    text: Option<Redacted>,
    url: Option<Redacted>,
    name: Option<Redacted>,
    content_type: Option<String>,
    size: Option<u64>,
    alternative_text: Option<Redacted>,
    template_id: Option<String>,
    elements: Option<Vec<RichElement>>,
    system_message_type: Option<String>,
}

impl From<WireEvent> for Event {
    fn from(wire: WireEvent) -> Self {
        Self {
            id: wire.id,
            custom_id: wire.custom_id,
            created_at: wire.created_at,
            author_id: wire.author_id,
            visibility_told: wire.visibility.or(wire.recipients).is_some(),
            visibility: wire.visibility.or(wire.recipients).unwrap_or_default(),
            deleted: wire.deleted.unwrap_or_default(),
            content: match (wire.kind.as_str(), wire.text, wire.url, wire.system_message_type) {
                ("message", Some(text), _, _) => Content::Message { text },
                ("file", _, Some(url), _) => Content::File {
                    url,
                    name: wire.name,
                    content_type: wire.content_type,
                    size_bytes: wire.size,
                    alternative_text: wire.alternative_text,
                },
                ("rich_message", ..) => {
                    let elements = wire.elements.unwrap_or_default();
                    Content::RichMessage { template_id: wire.template_id, elements }
                }
                ("system_message", _, _, Some(system_message_type)) => Content::SystemMessage { system_message_type },
                _ => Content::Other { kind: wire.kind },
            },
        }
    }
}

/// An event to be sent.
///
/// Shape: `{"type":"message","text":…,"custom_id":…}` or `{"type":"file","url":…,"custom_id":…}`. LiveChat does not
/// deduplicate by `custom_id`; it is there to be found again in the thread. No `visibility` is sent: a customer's events
/// are always public.
///
/// See LiveChat Docs, "Send Event".
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewEvent {
    #[serde(flatten)]
    content: NewContent,
    custom_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<NewProperties>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum NewContent {
    Message {
        text: Redacted,
    },
    File {
        url: Redacted,
        #[serde(skip_serializing_if = "Option::is_none")]
        alternative_text: Option<Redacted>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct NewProperties {
    chats: Formatting,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Formatting {
    formatting: &'static str,
}

impl NewEvent {
    /// A message; LiveChat takes at most 16 KB of text.
    pub fn text(text: impl Into<Redacted>, custom_id: impl Into<String>) -> Self {
        Self::new(NewContent::Message { text: text.into() }, custom_id)
    }

    /// A file; `url` must come from [`Customer::upload_file`](super::Customer::upload_file).
    pub fn file(url: impl Into<Redacted>, custom_id: impl Into<String>) -> Self {
        Self::new(NewContent::File { url: url.into(), alternative_text: None }, custom_id)
    }

    /// Says what a picture shows, for whoever cannot see it.
    #[must_use]
    pub fn with_alternative_text(mut self, text: Redacted) -> Self {
        if let NewContent::File { alternative_text, .. } = &mut self.content {
            *alternative_text = Some(text);
        }
        self
    }

    /// Marks the text as Markdown (`properties.chats.formatting` = `commonmark`).
    #[must_use]
    pub fn with_markdown(self) -> Self {
        Self { properties: Some(NewProperties { chats: Formatting { formatting: "commonmark" } }), ..self }
    }

    /// What the event can be recognised by when the thread is read.
    pub fn custom_id(&self) -> &str {
        &self.custom_id
    }

    fn new(content: NewContent, custom_id: impl Into<String>) -> Self {
        Self { content, custom_id: custom_id.into(), properties: None }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(extra: Value) -> Event {
        let mut event =
            json!({"id": "T_1", "created_at": "2026-05-11T09:41:00.877000Z", "author_id": "anna@example.com"});
        event.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn each_type_of_event_keeps_what_is_shown_to_people() {
        let cases = [
            (json!({"type": "message", "text": "Hi"}), Content::Message { text: "Hi".into() }),
            (
                json!({"type": "file", "url": "https://cdn/x", "name": "x.png", "content_type": "image/png", "size": 7}),
                Content::File {
                    url: "https://cdn/x".into(),
                    name: Some("x.png".into()),
                    content_type: Some("image/png".to_owned()),
                    size_bytes: Some(7),
                    alternative_text: None,
                },
            ),
            (
                json!({"type": "rich_message", "template_id": "cards", "elements": [
                    {"title": "T", "image": {"url": "https://i", "width": 3}, "buttons": [{"text": "B", "postback_id": "p"}]},
                ]}),
                Content::RichMessage {
                    template_id: Some("cards".to_owned()),
                    elements: vec![RichElement {
                        title: Some("T".into()),
                        image: Some(RichImage { url: "https://i".into() }),
                        buttons: vec![RichButton { text: Some("B".into()), kind: None, value: None }],
                        ..RichElement::default()
                    }],
                },
            ),
            (
                json!({"type": "system_message", "system_message_type": "routing.idle", "text": "…", "author_id": null}),
                Content::SystemMessage { system_message_type: "routing.idle".to_owned() },
            ),
            (json!({"type": "form", "fields": [{"id": 1}]}), Content::Other { kind: "form".to_owned() }),
            (json!({"type": "message", "deleted": true}), Content::Other { kind: "message".to_owned() }),
        ];
        for (wire, expected) in cases {
            assert_eq!(event(wire.clone()).content, expected, "{wire}");
        }
    }

    #[test]
    fn an_event_is_public_unless_it_says_otherwise() {
        let cases = [
            (json!({}), Visibility::All),
            (json!({"visibility": "all"}), Visibility::All),
            (json!({"visibility": "agents"}), Visibility::Agents),
            (json!({"recipients": "agents"}), Visibility::Agents),
            (json!({"visibility": "agents", "recipients": "all"}), Visibility::Agents),
            (json!({"visibility": "supervisors"}), Visibility::Other),
        ];
        for (mut wire, expected) in cases {
            wire["type"] = "message".into();
            assert_eq!(event(wire.clone()).visibility, expected, "{wire}");
        }
    }

    #[test]
    fn debug_output_shows_neither_texts_nor_people() {
        let user: User = serde_json::from_value(json!({"id": "u", "type": "customer", "name": "canary"})).unwrap();
        let message = event(json!({"type": "message", "text": "canary"}));
        let output = format!("{user:?} {message:?} {:?}", NewEvent::text("canary", "c"));
        assert!(!output.contains("canary"), "{output}");
    }

    #[test]
    fn a_new_event_has_exactly_the_documented_fields() {
        let cases = [
            (NewEvent::text("Hi", "m1"), json!({"type": "message", "text": "Hi", "custom_id": "m1"})),
            (
                NewEvent::text("*Hi*", "m1").with_markdown(),
                json!({"type": "message", "text": "*Hi*", "custom_id": "m1",
                       "properties": {"chats": {"formatting": "commonmark"}}}),
            ),
            (NewEvent::file("https://cdn/x", "m2"), json!({"type": "file", "url": "https://cdn/x", "custom_id": "m2"})),
            (
                NewEvent::file("https://cdn/x", "m2").with_alternative_text("A cat".into()),
                json!({"type": "file", "url": "https://cdn/x", "custom_id": "m2", "alternative_text": "A cat"}),
            ),
        ];
        for (event, expected) in cases {
            assert_eq!(serde_json::to_value(&event).unwrap(), expected);
        }
    }
}
