//! The operations that Botpress asks of an integration.
//!
//! See the Botpress repository, "SDK", integration server; and the interface `hitl`, version 2.1.0.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::{Configuration, forms};
use crate::clock::Timestamp;
use crate::http::{DecodeError, Field, read};
use crate::ids::{ConversationId, MessageId, SessionId, UserId};
use crate::media::carries_credential;
use crate::model::message::{Author, Content, HistoryItem};
use crate::odd::OddFields;
use crate::redacted::Redacted;
use crate::text::one_line;

/// One inbound call.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// A check that the integration answers.
    Ping,
    /// The integration was installed, enabled or changed; also repeated on a schedule. Contains the install's public address.
    Register(String),
    /// The integration was removed or disabled. Contains the install's public address.
    Unregister(String),
    /// An action of the interface `hitl`.
    Action(Action),
    /// A message for the agents.
    MessageCreated(MessageCreated),
    /// A message was changed; nothing to do.
    MessageUpdated,
    /// A conversation was changed; nothing to do.
    ConversationUpdated,
    /// A request to the install's public address.
    WebhookReceived(WebhookReceived),
    /// The platform asks for a new user; not offered.
    CreateUser,
    /// The platform asks for a new conversation; not offered.
    CreateConversation,
}

/// An action of the interface `hitl`, or one of our own.
#[derive(Clone, PartialEq)]
pub enum Action {
    /// Report whether agents are online. Answer: `{"status","expectedWaitSeconds"?,"opensAt"?,"sentence"}`.
    CheckAvailability {
        /// The requested group and language; absent if the group is not a number.
        asked: Option<Configuration>,
    },
    /// Rate a session. Answer: `{"rated","sentence"}`.
    RateHandoff {
        /// A conversation of the session.
        conversation_id: Option<ConversationId>,
        /// The end user's mirror, whose latest session is rated if no conversation is given.
        user_id: Option<UserId>,
        /// Whether the rating is good.
        is_good: bool,
        /// The user's comment.
        comment: Option<Redacted>,
    },
    /// Make the end user's mirror. Answer: `{"userId"}`.
    CreateUser {
        /// The name to show, one line; empty if there is none.
        name: String,
        /// The picture's URL.
        picture_url: Option<String>,
        /// The e-mail address; the plugin may have made it up.
        email: Option<String>,
    },
    /// Hand a conversation over. Answer: `{"conversationId"}`.
    StartHitl {
        /// The end user's mirror.
        user_id: UserId,
        /// The subject.
        title: Option<Redacted>,
        /// The subject in detail.
        description: Option<Redacted>,
        /// The "extra configuration" of the bot's Start HITL card.
        hitl_session: Configuration,
        /// The messages so far, oldest first.
        message_history: Vec<HistoryItem>,
    },
    /// Report how a handoff went; an action of this integration, not of the interface. Answer: the report.
    GetHandoffReport {
        /// The end user's mirror.
        user_id: UserId,
        /// The session; without it and `conversation_id`, the last one.
        session_id: Option<SessionId>,
        /// The conversation that the start returned.
        conversation_id: Option<ConversationId>,
        /// Whether to include LiveChat's summary.
        with_summary: bool,
    },
    /// End a handoff. Answer: `{}`.
    StopHitl {
        /// The conversation that the start returned.
        conversation_id: ConversationId,
    },
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CheckAvailability { .. } => f.debug_struct("CheckAvailability").finish_non_exhaustive(),
            Self::RateHandoff { .. } => f.debug_struct("RateHandoff").finish_non_exhaustive(),
            Self::CreateUser { .. } => f.debug_struct("CreateUser").finish_non_exhaustive(),
            Self::StartHitl { user_id, .. } => {
                f.debug_struct("StartHitl").field("user_id", user_id).finish_non_exhaustive()
            }
            Self::GetHandoffReport { user_id, .. } => {
                f.debug_struct("GetHandoffReport").field("user_id", user_id).finish_non_exhaustive()
            }
            Self::StopHitl { conversation_id } => {
                f.debug_struct("StopHitl").field("conversation_id", conversation_id).finish()
            }
        }
    }
}

/// A message for the agents: from the end user, or from the plugin itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageCreated {
    /// The message's id; the same on every delivery of it.
    pub message_id: MessageId,
    /// When it was written.
    pub created_at: Timestamp,
    /// The conversation that the start returned.
    pub conversation_id: ConversationId,
    /// The message's type, such as `text`.
    pub kind: String,
    /// Its content.
    pub content: Content,
    /// The end user who speaks; absent for a note of the plugin itself, and [`UNREAD_SPEAKER`] if it cannot be read.
    pub on_behalf_of: Option<UserId>,
}

/// Replaces the id of a speaker that cannot be read: most probably the user of the session.
pub const UNREAD_SPEAKER: &str = "unread";

/// A request that reached the install's public address, as Botpress relays it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookReceived {
    /// The body, if any.
    pub body: Option<Redacted>,
}

/// Why a call cannot be understood. The sentences are for the bot's author, who sees them in Botpress.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OperationError {
    /// The operation is not among those that existed when this was written.
    #[error("This version of the integration does not know this operation. Update the integration.")]
    UnknownOperation,
    /// The definition does not declare the action.
    #[error(
        "This integration has no such action; it has checkAvailability, createUser, getHandoffReport, rateHandoff, startHitl and \
         stopHitl."
    )]
    UnknownAction,
    /// The bot's author has filled the Start HITL card in incorrectly.
    #[error("The Start HITL card cannot be used: {0}. Correct it in Botpress Studio.")]
    Card(#[source] DecodeError),
    /// The body does not have the documented form.
    #[error("The body of {operation} cannot be read: {source}.")]
    Malformed {
        /// The operation or action.
        operation: &'static str,
        /// The reason.
        source: DecodeError,
    },
}

impl Operation {
    /// The name of the operation or action: `message_created`, `startHitl`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Register(_) => "register",
            Self::Unregister(_) => "unregister",
            Self::Action(Action::CheckAvailability { .. }) => "checkAvailability",
            Self::Action(Action::RateHandoff { .. }) => "rateHandoff",
            Self::Action(Action::CreateUser { .. }) => "createUser",
            Self::Action(Action::StartHitl { .. }) => "startHitl",
            Self::Action(Action::GetHandoffReport { .. }) => "getHandoffReport",
            Self::Action(Action::StopHitl { .. }) => "stopHitl",
            Self::MessageCreated(_) => "message_created",
            Self::MessageUpdated => "message_updated",
            Self::ConversationUpdated => "conversation_updated",
            Self::WebhookReceived(_) => "webhook_received",
            Self::CreateUser => "create_user",
            Self::CreateConversation => "create_conversation",
        }
    }

    /// Reads the body of the operation that `x-bp-operation` names, and notes fields that are not as documented;
    /// `received_at` replaces a time that cannot be read.
    ///
    /// # Errors
    ///
    /// [`OperationError`] if the body is not JSON, or an indispensable field cannot be read.
    pub fn decode(name: &str, body: &[u8], received_at: Timestamp) -> Result<(Self, OddFields), OperationError> {
        let plain = |operation| Ok((operation, OddFields::default()));
        match name {
            "ping" => plain(Self::Ping),
            "register" => read_or_say("register", body, webhook_url).map(|(url, odd)| (Self::Register(url), odd)),
            "unregister" => read_or_say("unregister", body, webhook_url).map(|(url, odd)| (Self::Unregister(url), odd)),
            "action_triggered" => Action::decode(body).map(|(action, odd)| (Self::Action(action), odd)),
            "message_created" => {
                let stand_in = StandIn { body, received_at };
                let (message, odd) =
                    read_or_say("message_created", body, |field| MessageCreated::read(field, &stand_in))?;
                Ok((Self::MessageCreated(message), odd))
            }
            "message_updated" => plain(Self::MessageUpdated),
            "conversation_updated" => plain(Self::ConversationUpdated),
            "webhook_received" => {
                let relayed = |field: &Field<'_>| {
                    let request = field.get("req");
                    request.needed(request.object()).map(|_| request.get("body").text().map(Redacted::from))
                };
                let (body, odd) = read_or_say("webhook_received", body, relayed)?;
                Ok((Self::WebhookReceived(WebhookReceived { body }), odd))
            }
            "create_user" => plain(Self::CreateUser),
            "create_conversation" => plain(Self::CreateConversation),
            _ => Err(OperationError::UnknownOperation),
        }
    }
}

fn webhook_url(body: &Field<'_>) -> Option<String> {
    let url = body.get("webhookUrl");
    url.needed(url.text())
}

/// Reads a body; the error names the place of a missing indispensable field.
fn read_or_say<T>(
    operation: &'static str,
    body: &[u8],
    read_it: impl FnOnce(&Field<'_>) -> Option<T>,
) -> Result<(T, OddFields), OperationError> {
    let malformed = |source| OperationError::Malformed { operation, source };
    let (value, odd) = read(body, read_it).map_err(malformed)?;
    match value {
        Some(value) => Ok((value, odd)),
        None => Err(malformed(DecodeError::unreadable(&odd))),
    }
}

impl Action {
    fn decode(body: &[u8]) -> Result<(Self, OddFields), OperationError> {
        let ((name, action), odd) = read_or_say("action_triggered", body, |envelope| {
            let kind = envelope.get("type");
            let name = NAMES.into_iter().find(|name| kind.value().as_str() == Some(*name));
            kind.needed(kind.text()).map(|_| (name, name.map(|name| Self::read(name, &envelope.get("input")))))
        })?;
        match (name, action.transpose()?) {
            (Some(_), Some(Some(action))) => Ok((action, odd)),
            (Some(operation), _) => Err(OperationError::Malformed { operation, source: DecodeError::unreadable(&odd) }),
            (None, _) => Err(OperationError::UnknownAction),
        }
    }

    /// Reads the input of one of the [`NAMES`]; `None` if an indispensable field is missing.
    fn read(name: &str, input: &Field<'_>) -> Result<Option<Self>, OperationError> {
        Ok(match name {
            "checkAvailability" => Some(Self::CheckAvailability { asked: Configuration::read(input.value()).ok() }),
            "rateHandoff" => rating(input),
            "createUser" => {
                let text = |name| forms::text(input.get(name).value());
                input.needed(input.object()).map(|_| Self::CreateUser {
                    name: text("name").map(|name| one_line(&name)).unwrap_or_default(),
                    // Agents see this address, so it must not be one that grants access.
                    picture_url: text("pictureUrl").filter(|url| !carries_credential(url)),
                    email: text("email"),
                })
            }
            "startHitl" => {
                let user = input.get("userId");
                let hitl_session = configuration(&input.get("hitlSession"))?;
                // Forms and expressions of a bot do not always supply a string.
                let text = |name| forms::text(input.get(name).value()).map(Redacted::from);
                user.needed(user.id()).map(|user_id| Self::StartHitl {
                    user_id,
                    title: text("title"),
                    description: text("description"),
                    hitl_session,
                    message_history: history(&input.get("messageHistory")),
                })
            }
            "getHandoffReport" => {
                let user = input.get("userId");
                // Forms and expressions supply an empty text for a missing value.
                let id = |name| forms::text(input.get(name).value());
                user.needed(user.id()).map(|user_id| Self::GetHandoffReport {
                    user_id,
                    session_id: id("sessionId").map(SessionId::new),
                    conversation_id: id("conversationId").map(ConversationId::new),
                    with_summary: input.get("summary").value().as_bool().unwrap_or_default(),
                })
            }
            _ => {
                let conversation = input.get("conversationId");
                conversation.needed(conversation.id()).map(|conversation_id| Self::StopHitl { conversation_id })
            }
        })
    }
}

/// The actions of the interface `hitl`, and our own.
const NAMES: [&str; 6] =
    ["checkAvailability", "createUser", "getHandoffReport", "rateHandoff", "startHitl", "stopHitl"];

/// Reads a rating; `None` if either the rating itself or both ids are missing.
fn rating(input: &Field<'_>) -> Option<Action> {
    let [conversation, user, score] = ["conversationId", "userId", "rating"].map(|name| input.get(name));
    let is_good = match forms::text(score.value()).as_deref().map(str::to_lowercase).as_deref() {
        Some("good" | "true" | "1") => Some(true),
        Some("bad" | "false" | "0") => Some(false),
        _ => None,
    };
    if is_good.is_none() {
        score.note();
    }
    let id = |field: &Field<'_>| forms::text(field.value());
    let (conversation_id, user_id) = (id(&conversation), id(&user));
    if conversation_id.is_none() && user_id.is_none() {
        conversation.note();
    }
    Some(Action::RateHandoff {
        is_good: is_good.filter(|_| conversation_id.is_some() || user_id.is_some())?,
        conversation_id: conversation_id.map(ConversationId::new),
        user_id: user_id.map(UserId::new),
        comment: forms::text(input.get("comment").value()).map(Redacted::from),
    })
}

/// The card that the bot's author has filled in; the error for an invalid group names its place.
fn configuration(card: &Field<'_>) -> Result<Configuration, OperationError> {
    Configuration::read(card.value()).map_err(|error| OperationError::Card(error.below("input.hitlSession")))
}

/// The plugin copies stored messages unchecked, so an item can be anything.
fn history(items: &Field<'_>) -> Vec<HistoryItem> {
    let read = |item: Field<'_>| {
        let read = read_item(item.value()).unwrap_or(HistoryItem::Unreadable);
        if matches!(read, HistoryItem::Unreadable | HistoryItem::Message { content: Content::Other { .. }, .. }) {
            item.note();
        }
        read
    };
    items.items().map(read).collect()
}

fn read_item(item: &Value) -> Option<HistoryItem> {
    let source = item.get("source")?;
    let author = match source.get("type")?.as_str()? {
        "bot" => Author::Bot,
        "user" => Author::User(source.get("userId")?.as_str()?.into()),
        _ => return None,
    };
    let content = Content::read(item.get("type")?.as_str()?, item.get("payload")?);
    Some(HistoryItem::Message { author, content })
}

/// Replaces a message's own id and time if they cannot be read.
struct StandIn<'a> {
    body: &'a [u8],
    received_at: Timestamp,
}

impl StandIn<'_> {
    /// An id that is the same on every delivery of the body, and from which the text cannot be read.
    fn id(&self) -> MessageId {
        const BYTES: usize = 12;
        let hash = Sha256::new().chain_update("livechat-hitl message\n").chain_update(self.body).finalize();
        format!("unread-{}", URL_SAFE_NO_PAD.encode(hash.get(..BYTES).unwrap_or_default())).into()
    }
}

impl MessageCreated {
    fn read(body: &Field<'_>, stand_in: &StandIn<'_>) -> Option<Self> {
        let (message, payload) = (body.get("message"), body.get("payload"));
        let (id, created_at) = (message.get("id"), message.get("createdAt"));
        let conversation = body.get("conversation");
        let conversation = conversation.get("id");
        // The message names its conversation, too.
        let conversation_id = conversation.needed(conversation.id()).or_else(|| message.get("conversationId").id())?;
        let kind = kind(body);
        Some(Self {
            message_id: id.needed(id.id()).unwrap_or_else(|| stand_in.id()),
            created_at: created_at.needed(created_at.time()).unwrap_or(stand_in.received_at),
            conversation_id,
            content: content(&kind, &payload),
            on_behalf_of: speaker(&payload.get("userId")),
            kind,
        })
    }
}

/// The type of a message, which appears in three places; if none can be read, it is guessed from the payload.
fn kind(body: &Field<'_>) -> String {
    const KEYS: [(&str, &str); 6] = [
        ("text", "text"),
        ("imageUrl", "image"),
        ("audioUrl", "audio"),
        ("videoUrl", "video"),
        ("fileUrl", "file"),
        ("items", "bloc"),
    ];
    let (named, message, payload) = (body.get("type"), body.get("message"), body.get("payload"));
    let places = [named, message.get("type"), payload.get("type")];
    let known = places.iter().find_map(|place| place.value().as_str());
    if known.is_none() || !named.value().is_string() {
        named.note();
    }
    let guessed = || KEYS.iter().find(|(key, _)| !payload.get(key).is_absent()).map(|(_, kind)| *kind);
    known.or_else(guessed).unwrap_or("message").to_owned()
}

/// The content of a message; a documented type without its documented payload is noted.
fn content(kind: &str, payload: &Field<'_>) -> Content {
    let content = Content::read(kind, payload.value());
    if matches!(content, Content::Other { .. }) {
        payload.note();
    }
    content
}

/// The speaker: `None` if the field is absent, and [`UNREAD_SPEAKER`] if it cannot be read.
fn speaker(user: &Field<'_>) -> Option<UserId> {
    match user.id() {
        None if user.is_absent() => None,
        None => Some(UNREAD_SPEAKER.into()),
        known => known,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ids::GroupId;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_778_492_460_000);

    fn decode(name: &str, body: &Value) -> Operation {
        Operation::decode(name, body.to_string().as_bytes(), NOW).unwrap().0
    }

    fn error(name: &str, body: &str) -> String {
        Operation::decode(name, body.as_bytes(), NOW).unwrap_err().to_string()
    }

    fn start(input: Value) -> (Configuration, Vec<HistoryItem>) {
        let action = decode("action_triggered", &json!({"type": "startHitl", "input": input}));
        let Operation::Action(Action::StartHitl { hitl_session, message_history, .. }) = action else {
            panic!("another action")
        };
        (hitl_session, message_history)
    }

    fn message(kind: &str, payload: Value) -> MessageCreated {
        let body = json!({
            "type": kind, "payload": payload,
            "conversation": {"id": "conv_1", "channel": "hitl", "integration": "acme/livechat", "tags": {"id": "T"}},
            "user": {"id": "user_bot", "tags": {}},
            "message": {"id": "msg_1", "createdAt": "2026-05-11T09:41:00.877Z", "type": kind, "payload": payload, "tags": {}},
        });
        let Operation::MessageCreated(message) = decode("message_created", &body) else { panic!("another operation") };
        message
    }

    #[test]
    fn operations_whose_body_does_not_matter_are_read_whatever_it_is() {
        for (name, expected) in [
            ("ping", Operation::Ping),
            ("message_updated", Operation::MessageUpdated),
            ("conversation_updated", Operation::ConversationUpdated),
            ("create_user", Operation::CreateUser),
            ("create_conversation", Operation::CreateConversation),
        ] {
            for body in ["", "{}", "nonsense"] {
                let decoded = Operation::decode(name, body.as_bytes(), NOW).map(|(operation, _)| operation);
                assert_eq!(decoded, Ok(expected.clone()), "{name}");
            }
        }
    }

    #[test]
    fn an_install_comes_and_goes_by_its_public_address() {
        let body = json!({"webhookUrl": "https://webhook.botpress.cloud/w"});
        assert_eq!(decode("register", &body), Operation::Register("https://webhook.botpress.cloud/w".to_owned()));
        assert_eq!(decode("unregister", &body), Operation::Unregister("https://webhook.botpress.cloud/w".to_owned()));
        for body in ["{}", "nonsense", r#"{"type":"createUser","input":{"name":"Ada"}}"#] {
            assert!(Operation::decode("unregister", body.as_bytes(), NOW).is_err(), "{body}");
        }
    }

    #[test]
    fn a_user_is_made_from_a_name_alone_or_with_picture_and_address() {
        let full = json!({"type": "createUser", "input": {"name": "Ada", "pictureUrl": "https://p", "email": "a@b"}});
        let expected = Action::CreateUser {
            name: "Ada".to_owned(),
            picture_url: Some("https://p".to_owned()),
            email: Some("a@b".to_owned()),
        };
        assert_eq!(decode("action_triggered", &full), Operation::Action(expected));
        let least = json!({"type": "createUser", "input": {"name": "Ada"}});
        let expected = Action::CreateUser { name: "Ada".to_owned(), picture_url: None, email: None };
        assert_eq!(decode("action_triggered", &least), Operation::Action(expected));
    }

    #[test]
    fn a_user_is_made_from_whatever_a_form_gives() {
        for (input, expected) in [
            (json!({"name": null, "pictureUrl": "", "email": null}), ("", None, None)),
            (json!({"name": 5, "pictureUrl": 5, "email": " "}), ("5", Some("5"), None)),
            (json!({"name": " Ann\n Bot: x", "email": " a@b.c "}), ("Ann Bot: x", None, Some("a@b.c"))),
            (json!({"name": {}, "pictureUrl": "https://x/a?sig=1"}), ("", None, None)),
        ] {
            let (name, picture_url, email) = expected;
            let expected = Action::CreateUser {
                name: name.to_owned(),
                picture_url: picture_url.map(str::to_owned),
                email: email.map(str::to_owned),
            };
            let made = decode("action_triggered", &json!({"type": "createUser", "input": input}));
            assert_eq!(made, Operation::Action(expected));
        }
    }

    #[test]
    fn a_start_is_read_with_everything_or_with_the_user_alone() {
        let full = json!({"type": "startHitl", "input": {
            "userId": "user_1", "title": "Refund", "description": "Order 7", "hitlSession": {"groupId": 5},
            "messageHistory": [{"source": {"type": "bot"}, "type": "text", "payload": {"text": "Hello"}}],
        }});
        let expected = Action::StartHitl {
            user_id: "user_1".into(),
            title: Some("Refund".into()),
            description: Some("Order 7".into()),
            hitl_session: Configuration { group_id: Some(GroupId(5)), ..Configuration::default() },
            message_history: vec![HistoryItem::Message {
                author: Author::Bot,
                content: Content::Text { text: "Hello".into() },
            }],
        };
        assert_eq!(decode("action_triggered", &full), Operation::Action(expected));
        assert_eq!(start(json!({"userId": "user_1", "hitlSession": null})), (Configuration::default(), Vec::new()));
    }

    #[test]
    fn an_odd_history_item_is_kept_as_unreadable_and_fails_nothing() {
        let user = json!({"type": "user", "userId": "user_1"});
        let history = json!([
            {"source": user, "type": "text", "payload": {"text": "Hi", "extra": 1}},
            {"source": user, "type": "image", "payload": {"imageUrl": "https://i"}},
            {"source": user, "type": "text", "payload": {"text": [5]}},
            {"source": {"type": "user"}, "type": "text", "payload": {"text": "Hi"}},
            {"source": {"type": "ghost"}, "type": "text", "payload": {}},
            {"type": "text", "payload": {"text": "Hi"}},
            {"source": user, "type": 5, "payload": {}},
            "nonsense",
            null,
        ]);
        let by_user = |content| HistoryItem::Message { author: Author::User("user_1".into()), content };
        let (_, items) = start(json!({"userId": "user_1", "messageHistory": history}));
        assert_eq!(items[0], by_user(Content::Text { text: "Hi".into() }));
        let image = Content::Media { kind: "image".to_owned(), url: "https://i".into(), title: None };
        assert_eq!(items[1], by_user(image));
        assert_eq!(items[2], by_user(Content::Other { kind: "text".to_owned() }));
        assert_eq!(items[3..], vec![HistoryItem::Unreadable; 6]);
        for history in [json!({}), json!("nonsense"), json!(null)] {
            assert_eq!(start(json!({"userId": "user_1", "messageHistory": history})).1, Vec::new());
        }
    }

    #[test]
    fn a_stop_names_its_conversation() {
        let body = json!({"type": "stopHitl", "input": {"conversationId": "conv_1", "reason": "timeout"}});
        let expected = Action::StopHitl { conversation_id: "conv_1".into() };
        assert_eq!(decode("action_triggered", &body), Operation::Action(expected));
    }

    #[test]
    fn a_message_is_read_with_its_end_user() {
        let expected = MessageCreated {
            message_id: "msg_1".into(),
            created_at: Timestamp::parse("2026-05-11T09:41:00.877Z").unwrap(),
            conversation_id: "conv_1".into(),
            kind: "text".to_owned(),
            content: Content::Text { text: "Hi".into() },
            on_behalf_of: Some("user_1".into()),
        };
        assert_eq!(message("text", json!({"text": "Hi", "userId": "user_1", "type": "text"})), expected);
    }

    #[test]
    fn a_message_without_an_end_user_is_the_plugins_own() {
        assert_eq!(message("text", json!({"text": "( The user has ended the session. )"})).on_behalf_of, None);
    }

    #[test]
    fn a_relayed_request_keeps_its_body_as_text() {
        let body =
            json!({"req": {"method": "POST", "path": "/livechat", "query": "", "headers": {"a": "b"}, "body": "{}"}});
        let expected = WebhookReceived { body: Some("{}".into()) };
        assert_eq!(decode("webhook_received", &body), Operation::WebhookReceived(expected));
        let bare = json!({"req": {"method": "GET", "path": "", "query": "", "headers": {}}});
        let expected = WebhookReceived { body: None };
        assert_eq!(decode("webhook_received", &bare), Operation::WebhookReceived(expected));
    }

    #[test]
    fn what_cannot_be_understood_is_told_apart_and_never_quoted() {
        assert_eq!(
            error("dance", "{}"),
            "This version of the integration does not know this operation. Update the integration."
        );
        assert_eq!(
            error("action_triggered", r#"{"type":"dance","input":{}}"#),
            "This integration has no such action; it has checkAvailability, createUser, getHandoffReport, rateHandoff, startHitl and \
             stopHitl."
        );
        assert_eq!(
            error("action_triggered", r#"{"type":"startHitl","input":{"userId":["canary"]}}"#),
            "The body of startHitl cannot be read: unexpected or missing value (at input.userId)."
        );
        assert_eq!(
            error(
                "action_triggered",
                r#"{"type":"startHitl","input":{"userId":"u","hitlSession":{"groupId":"canary"}}}"#
            ),
            "The Start HITL card cannot be used: unexpected value, expected the number of a LiveChat group, such as 2 \
             (at input.hitlSession.groupId). Correct it in Botpress Studio."
        );
        assert_eq!(
            error("action_triggered", r#"{"input":{}}"#),
            "The body of action_triggered cannot be read: unexpected or missing value (at type)."
        );
        assert_eq!(
            error("message_created", "canary"),
            "The body of message_created cannot be read: not valid JSON, line 1, column 1 (at .)."
        );
    }

    #[test]
    fn debug_output_shows_neither_texts_nor_people() {
        let canary = json!("canary");
        let operations = [
            decode("action_triggered", &json!({"type": "createUser", "input": {"name": canary, "email": canary}})),
            decode(
                "action_triggered",
                &json!({"type": "startHitl", "input": {"userId": "u", "title": canary, "hitlSession": {"x": canary},
                    "messageHistory": [{"source": {"type": "bot"}, "type": "text", "payload": {"text": canary}}]}}),
            ),
            Operation::MessageCreated(message("text", json!({"text": canary}))),
            decode("webhook_received", &json!({"req": {"method": "POST", "path": "", "body": canary}})),
        ];
        let output = format!("{operations:?}");
        assert!(!output.contains("canary"), "{output}");
    }
}
