//! The parts of LiveChat's objects that the service uses: chats, threads, events, users.
//!
//! Unknown fields are ignored, and unknown values are kept as `Other`. A field that is not as documented is lost alone: the rest is read,
//! and a message whose content cannot be read becomes [`Content::Unreadable`].
//!
//! See LiveChat Docs, "Data structures".

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::clock::Timestamp;
use crate::http::{Field, Noted};
use crate::ids::{AgentId, ChatId, CustomerId, EventId, ThreadId, read_id};
use crate::redacted::Redacted;

/// A participant of a chat: a customer's id, an agent's e-mail address, or a bot's id.
///
/// The Customer API shows agents under another, opaque id; never compare one of those with an [`AgentId`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ParticipantId(#[serde(deserialize_with = "read_id")] String);

impl ParticipantId {
    /// Takes the vendor's text unchanged.
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

impl From<String> for ParticipantId {
    fn from(text: String) -> Self {
        Self(text)
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// The chat's id.
    pub id: ChatId,
    /// The requested thread, or the latest.
    pub thread: Option<Thread>,
    /// The participants.
    pub users: Vec<User>,
    /// The app that opened the chat, from the property `source.client_id`.
    pub source_client_id: Option<String>,
}

impl Chat {
    /// Reads a chat; `asked` is the request, in case the answer does not repeat the ids.
    pub(crate) fn read(chat: &Field<'_>, asked: (Option<&ChatId>, Option<&ThreadId>)) -> Option<Self> {
        let id = chat.get("id");
        let source = chat.get("properties").get("source").get("client_id").text();
        let thread = chat.get("thread");
        let thread =
            Some(&thread).filter(|thread| !thread.is_absent()).and_then(|thread| Thread::read(thread, asked.1));
        // An unrelated document proves nothing about the thread, and especially not that an event is missing from it.
        if thread.is_none() && (id.id::<ChatId>().is_none() || asked.1.is_some()) {
            return None;
        }
        Some(Self {
            id: id.needed(id.id()).or_else(|| asked.0.cloned())?,
            thread,
            users: chat.get("users").items().filter_map(|user| User::read(&user)).collect(),
            source_client_id: source,
        })
    }
}

impl<'de> Deserialize<'de> for Chat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (chat, noted) = (Value::deserialize(deserializer)?, Noted::default());
        Self::read(&Field::root(&chat, &noted), (None, None)).ok_or_else(|| de::Error::missing_field("id"))
    }
}

/// One opening of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// The thread's id.
    pub id: ThreadId,
    /// When it was opened.
    pub created_at: Option<Timestamp>,
    /// Whether it is open; true if the field cannot be read.
    pub active: bool,
    /// The place in the queue, while no agent has the thread.
    pub queue: Option<Queue>,
    /// Its tags.
    pub tags: Vec<String>,
    /// The customer's rating, from the property `rating.score`: 0 or 1.
    pub rating: Option<u64>,
    /// LiveChat's own summary, if there is one.
    pub summary: Option<Redacted>,
    /// Its events, oldest first.
    pub events: Vec<Event>,
}

impl Thread {
    fn read(thread: &Field<'_>, asked: Option<&ThreadId>) -> Option<Self> {
        thread.object()?;
        let (id, active) = (thread.get("id"), thread.get("active"));
        let list = thread.get("events");
        if !list.is_absent() && list.value().as_array().is_none() {
            return list.needed(None);
        }
        let fields: Vec<Field<'_>> = list.items().collect();
        let ids: Vec<Option<EventId>> = fields.iter().map(|event| event.get("id").id()).collect();
        let created_at = thread.get("created_at").time();
        let mut at = created_at.unwrap_or(Timestamp::from_unix_millis(0));
        let mut events = Vec::new();
        for (number, event) in fields.iter().enumerate().filter(|(_, event)| event.object().is_some()) {
            let instead = || between(&ids, number).unwrap_or_else(|| fingerprint(event));
            let event = Event::read(event, ids.get(number).cloned().flatten().unwrap_or_else(instead), at);
            at = event.created_at;
            events.push(event);
        }
        Some(Self {
            id: id.needed(id.id()).or_else(|| asked.cloned()).or_else(|| thread_of(ids.iter().flatten().next()?))?,
            created_at,
            active: active.needed(active.flag()).unwrap_or(true),
            queue: Queue::read(&thread.get("queue")),
            tags: thread.get("tags").items().filter_map(|tag| tag.text()).collect(),
            rating: thread.get("properties").get("rating").get("score").value().as_u64(),
            summary: thread.get("summary").value().as_str().filter(|text| !text.is_empty()).map(Redacted::from),
            events,
        })
    }
}

/// The thread that an event's id begins with: `<thread>_<number>`.
pub(super) fn thread_of(event_id: &EventId) -> Option<ThreadId> {
    numbered(event_id).map(|(thread, _)| thread.into())
}

/// Splits an event's id of LiveChat's form.
fn numbered(event_id: &EventId) -> Option<(&str, u64)> {
    let (thread, number) = event_id.as_str().rsplit_once('_')?;
    Some((thread, number.parse().ok()?))
}

/// The id of an event without one: ids count up within a thread, so the neighbours determine it.
fn between(ids: &[Option<EventId>], number: usize) -> Option<EventId> {
    let at = |index: Option<usize>| numbered(ids.get(index?)?.as_ref()?);
    let (before, after) = (at(number.checked_sub(1)), at(number.checked_add(1)));
    let (thread, own) = match (before, after) {
        (Some((thread, before)), None) => (thread, before + 1),
        (Some((thread, before)), Some((of, after))) if of == thread && after == before + 2 => (thread, before + 1),
        (None, Some((thread, after))) if number == 0 => (thread, after.checked_sub(1)?),
        _ => return None,
    };
    Some(format!("{thread}_{own}").into())
}

/// Replaces the id of an event without one: the same for the same event, without revealing its text.
fn fingerprint(event: &Field<'_>) -> EventId {
    const BYTES: usize = 12;
    let hash = Sha256::new().chain_update("livechat-hitl event\n").chain_update(event.value().to_string()).finalize();
    format!("unread-{}", URL_SAFE_NO_PAD.encode(hash.get(..BYTES).unwrap_or_default())).into()
}

/// A place in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Counts from 1.
    pub position: u32,
    /// The expected wait.
    pub wait: Option<Duration>,
}

impl Queue {
    fn read(queue: &Field<'_>) -> Option<Self> {
        let position = u32::try_from(queue.get("position").number()?).ok().filter(|position| *position > 0)?;
        Some(Self { position, wait: queue.get("wait_time").number().map(Duration::from_secs) })
    }
}

/// A user of a chat.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The user's id.
    pub id: ParticipantId,
    /// Agent or customer.
    pub kind: UserKind,
    /// The name to show.
    pub name: Option<String>,
    /// The picture's URL; some of LiveChat's own URLs lack the scheme.
    pub avatar: Option<String>,
    /// Whether the user is in the chat now.
    pub present: Option<bool>,
    /// `Agents` for a supervisor whom the customer does not see.
    pub visibility: Visibility,
}

impl User {
    pub(crate) fn read(user: &Field<'_>) -> Option<Self> {
        let (id, kind) = (user.get("id"), user.get("type"));
        let id: ParticipantId = id.needed(id.id())?;
        let kind = match kind.needed(kind.value().as_str()) {
            Some("agent") => UserKind::Agent,
            Some("customer") => UserKind::Customer,
            Some(_) => UserKind::Other,
            // Only agents have an e-mail address as an id.
            None if id.to_agent_id().is_person() => UserKind::Agent,
            None => UserKind::Other,
        };
        Some(Self {
            id,
            kind,
            name: user.get("name").text(),
            avatar: user.get("avatar").text(),
            present: user.get("present").flag(),
            visibility: Visibility::read(&user.get("visibility")).unwrap_or_default(),
        })
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// What kind of user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserKind {
    /// A person or bot of the licence.
    Agent,
    /// An end user.
    Customer,
    /// A kind that LiveChat did not document.
    Other,
}

/// Who sees an event or a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Visibility {
    /// Everyone; the default if the field is absent.
    #[default]
    All,
    /// Agents only: never to be shown to the customer.
    Agents,
    /// A value that LiveChat did not document, or one that cannot be read: not to be shown either.
    Other,
}

impl Visibility {
    fn read(visibility: &Field<'_>) -> Option<Self> {
        match visibility.value().as_str() {
            _ if visibility.is_absent() => None,
            Some("all") => Some(Self::All),
            Some("agents") => Some(Self::Agents),
            Some(_) => Some(Self::Other),
            None => {
                visibility.note();
                Some(Self::Other)
            }
        }
    }
}

/// Something that happened in a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The event's id, unique within the chat; opaque.
    pub id: EventId,
    /// The id that its sender gave it.
    pub custom_id: Option<String>,
    /// When LiveChat accepted it.
    pub created_at: Timestamp,
    /// Its author; absent for the system.
    pub author_id: Option<ParticipantId>,
    /// Who sees it.
    pub visibility: Visibility,
    /// Whether the event contained its visibility, so that it is not merely the default.
    pub visibility_told: bool,
    /// Whether it was deleted; then it may lack its content.
    pub deleted: bool,
    /// Its content.
    pub content: Content,
}

/// The content of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// `message`: a text.
    Message {
        /// The text.
        text: Redacted,
    },
    /// `file`: a file.
    File {
        /// Where to fetch it.
        url: Redacted,
        /// Its name.
        name: Option<Redacted>,
        /// Its media type.
        content_type: Option<String>,
        /// A description of the image.
        alternative_text: Option<Redacted>,
    },
    /// `rich_message`: cards, quick replies, and the like.
    RichMessage {
        /// `cards`, `quick_replies`, `sticker`, `ecommerce`.
        template_id: Option<String>,
        /// The cards.
        elements: Vec<RichElement>,
    },
    /// `system_message`: a report of LiveChat in the licence's language; only its type is used.
    SystemMessage {
        /// Such as `manual_archived_agent` or `routing.archived_inactive`.
        system_message_type: String,
    },
    /// A message without a readable text, or a file without a URL.
    Unreadable {
        /// The event's type, if known: `message` or `file`.
        kind: String,
    },
    /// Any other type, and a deleted event without content.
    Other {
        /// The event's type.
        kind: String,
    },
}

/// One card of a rich message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RichElement {
    /// The heading.
    pub title: Option<Redacted>,
    /// The text below it.
    pub subtitle: Option<Redacted>,
    /// The picture.
    pub image: Option<RichImage>,
    /// The buttons.
    pub buttons: Vec<RichButton>,
}

/// The picture of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RichImage {
    /// Where to fetch it.
    pub url: Redacted,
}

/// A button of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RichButton {
    /// Its label.
    pub text: Option<Redacted>,
    /// `message`, `url`, `webview` or `phone`; may be absent.
    pub kind: Option<String>,
    /// The message, URL or number behind it.
    pub value: Option<Redacted>,
}

/// Replaces an author who cannot be read: an agent without a name.
const UNREAD_AUTHOR: &str = "unread";

impl Event {
    /// Who closed the thread, if this event reports it: `agent`, `customer` or `livechat`.
    ///
    /// See LiveChat Docs, "System messages".
    pub fn closed_by(&self) -> Option<&'static str> {
        let Content::SystemMessage { system_message_type } = &self.content else { return None };
        match system_message_type.as_str() {
            "manual_archived_agent" => Some("agent"),
            "manual_archived_customer" | "archived_customer_disconnected" => Some("customer"),
            kind if kind.starts_with("routing.archived_") || kind == "system_archived" => Some("livechat"),
            _ => None,
        }
    }

    /// Reads an event with this id, its own or a replacement; `at` replaces a time that cannot be read.
    pub(crate) fn read(event: &Field<'_>, id: EventId, at: Timestamp) -> Self {
        let (created_at, custom_id) = (event.get("created_at"), event.get("custom_id").text());
        // The customer side's older name for `visibility` is `recipients`.
        let visibility =
            Visibility::read(&event.get("visibility")).or_else(|| Visibility::read(&event.get("recipients")));
        let deleted = event.get("deleted").flag().unwrap_or_default();
        let content = Content::read(event, deleted);
        Self {
            author_id: author(event, &content, custom_id.as_deref()),
            id,
            custom_id,
            created_at: created_at.needed(created_at.time()).unwrap_or(at),
            visibility_told: visibility.is_some(),
            visibility: visibility.unwrap_or_default(),
            deleted,
            content,
        }
    }
}

/// The author of an event. An event without an author is LiveChat's own; an author who cannot be read is an agent without a
/// name.
fn author(event: &Field<'_>, content: &Content, custom_id: Option<&str>) -> Option<ParticipantId> {
    let author = event.get("author_id");
    let known = author.id();
    let is_said = !matches!(content, Content::SystemMessage { .. } | Content::Other { .. });
    if known.is_some() || !is_said {
        return known;
    }
    let known = author.needed(known);
    // An event of the service has a custom id with a colon, and its author is the customer.
    let is_ours = custom_id.is_some_and(|id| id.contains(':'));
    known.or_else(|| (!is_ours && !author.is_absent()).then(|| UNREAD_AUTHOR.into()))
}

impl Content {
    fn read(event: &Field<'_>, deleted: bool) -> Self {
        let named = event.get("type");
        let kind = named.needed(named.value().as_str().or_else(|| guessed(event)).map(str::to_owned));
        if !named.is_absent() && !named.value().is_string() {
            named.note();
        }
        // It is unknown whether a person wrote this at all.
        let Some(kind) = kind else { return Self::Other { kind: "unread".to_owned() } };
        let redacted = |name| event.get(name).text().map(Redacted::from);
        let (text, url) = (event.get("text"), event.get("url"));
        match kind.as_str() {
            // A deleted event may have lost its content.
            "message" if deleted && text.is_absent() => Self::Other { kind },
            "message" => match text.needed(text.text()) {
                Some(text) => Self::Message { text: text.into() },
                None => Self::Unreadable { kind },
            },
            "file" if deleted && url.is_absent() => Self::Other { kind },
            "file" => match url.needed(url.value().as_str()) {
                Some(url) => Self::File {
                    url: url.into(),
                    name: redacted("name"),
                    content_type: event.get("content_type").text(),
                    alternative_text: redacted("alternative_text"),
                },
                None => {
                    if !url.is_absent() {
                        url.note();
                    }
                    Self::Unreadable { kind }
                }
            },
            "rich_message" => Self::RichMessage {
                template_id: event.get("template_id").text(),
                elements: event.get("elements").items().map(|element| RichElement::read(&element)).collect(),
            },
            "system_message" => match event.get("system_message_type").text() {
                Some(system_message_type) => Self::SystemMessage { system_message_type },
                None => Self::Other { kind },
            },
            _ => Self::Other { kind },
        }
    }
}

/// Guesses the type of an event without one from its fields.
fn guessed(event: &Field<'_>) -> Option<&'static str> {
    let has = |name| !event.get(name).is_absent();
    match () {
        () if has("system_message_type") => Some("system_message"),
        () if has("source") && has("details") => Some("system"),
        () if has("form_id") => Some("form"),
        () if has("url") => Some("file"),
        () if has("elements") => Some("rich_message"),
        () if has("text") => Some("message"),
        () => None,
    }
}

impl RichElement {
    fn read(element: &Field<'_>) -> Self {
        let redacted = |name| element.get(name).text().map(Redacted::from);
        // Notes an element that is not an object; it has none of these fields.
        element.object();
        Self {
            title: redacted("title"),
            subtitle: redacted("subtitle"),
            image: element.get("image").get("url").text().map(|url| RichImage { url: url.into() }),
            buttons: element.get("buttons").items().map(|button| RichButton::read(&button)).collect(),
        }
    }
}

impl RichButton {
    fn read(button: &Field<'_>) -> Self {
        let text = |name| button.get(name).text();
        button.object();
        Self { text: text("text").map(Into::into), kind: text("type"), value: text("value").map(Into::into) }
    }
}

/// An event to send.
///
/// Shape: `{"type":"message","text":…,"custom_id":…}` or `{"type":"file","url":…,"custom_id":…}`. LiveChat does not
/// deduplicate by `custom_id`; it serves to find the event in the thread. No `visibility` is sent: a customer's events are
/// always public.
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

    /// Adds a description of a picture, for readers who cannot see it.
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

    /// The id by which the event is recognised in the thread.
    pub fn custom_id(&self) -> &str {
        &self.custom_id
    }

    fn new(content: NewContent, custom_id: impl Into<String>) -> Self {
        Self { content, custom_id: custom_id.into(), properties: None }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(extra: Value) -> Event {
        let mut event =
            json!({"id": "T_1", "created_at": "2026-05-11T09:41:00.877000Z", "author_id": "anna@example.com"});
        event.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        read(&event, |event| Event::read(event, event.get("id").id().unwrap(), Timestamp::from_unix_millis(0)))
    }

    fn read<T>(document: &Value, read: impl FnOnce(&Field<'_>) -> T) -> T {
        crate::http::read(document.to_string().as_bytes(), read).unwrap().0
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
            (json!({"type": "message"}), Content::Unreadable { kind: "message".to_owned() }),
            (json!({"type": "file", "name": "x.png"}), Content::Unreadable { kind: "file".to_owned() }),
            (json!({"type": 7, "text": "Hi"}), Content::Message { text: "Hi".into() }),
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
        let user = read(&json!({"id": "u", "type": "customer", "name": "canary"}), User::read).unwrap();
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
