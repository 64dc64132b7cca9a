//! What Botpress asks of an integration.
//!
//! See the Botpress repository, "SDK", integration server; and the interface `hitl`, version 2.1.0.

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use thiserror::Error;

use super::{Configuration, Content, forms};
use crate::clock::Timestamp;
use crate::http::{DecodeError, decode};
use crate::ids::{ConversationId, MessageId, UserId};
use crate::media::carries_credential;
use crate::redacted::Redacted;
use crate::text::one_line;

/// One inbound call.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Are you there?
    Ping,
    /// The integration was installed, enabled or changed; also repeated on a schedule.
    Register {
        /// The public address of the install at Botpress, to be used as it is.
        webhook_url: String,
    },
    /// The integration was removed or disabled.
    Unregister {
        /// The public address of the install at Botpress, to be used as it is.
        webhook_url: String,
    },
    /// An action of the interface `hitl`.
    Action(Action),
    /// A message for the agents.
    MessageCreated(MessageCreated),
    /// A message was changed; nothing to do.
    MessageUpdated,
    /// A conversation was changed; nothing to do.
    ConversationUpdated,
    /// Somebody called the install's public address.
    WebhookReceived(WebhookReceived),
    /// The platform wants to make a user; we do not offer that.
    CreateUser,
    /// The platform wants to make a conversation; we do not offer that.
    CreateConversation,
}

/// An action of the interface `hitl`.
#[derive(Clone, PartialEq)]
pub enum Action {
    /// Make the end user's mirror. Answer: `{"userId"}`.
    CreateUser {
        /// The name to show, one line; empty where there is none.
        name: String,
        /// The picture's URL.
        picture_url: Option<String>,
        /// The e-mail address; can be made up by the plugin.
        email: Option<String>,
    },
    /// Hand a conversation over. Answer: `{"conversationId"}`.
    StartHitl {
        /// The end user's mirror.
        user_id: UserId,
        /// What it is about.
        title: Option<Redacted>,
        /// What it is about, at length.
        description: Option<Redacted>,
        /// The "extra configuration" of the bot's Start HITL card.
        hitl_session: Configuration,
        /// What was said so far, oldest first.
        message_history: Vec<HistoryItem>,
    },
    /// End a handoff. Answer: `{}`.
    StopHitl {
        /// The conversation that the start answered with.
        conversation_id: ConversationId,
    },
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateUser { .. } => f.debug_struct("CreateUser").finish_non_exhaustive(),
            Self::StartHitl { user_id, .. } => {
                f.debug_struct("StartHitl").field("user_id", user_id).finish_non_exhaustive()
            }
            Self::StopHitl { conversation_id } => {
                f.debug_struct("StopHitl").field("conversation_id", conversation_id).finish()
            }
        }
    }
}

/// A message of the conversation before the handoff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryItem {
    /// Somebody said something.
    Message {
        /// Who.
        author: Author,
        /// What.
        content: Content,
    },
    /// An item without the documented form; kept, so that a transcript can show that something was there.
    Unreadable,
}

/// Who wrote a message of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// The bot.
    Bot,
    /// An end user, by its mirror.
    User(UserId),
    /// An agent of an earlier session, where the platform keeps what agents said.
    Agent,
}

/// A message for the agents: from the end user, or from the plugin itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageCreated {
    /// The message; the same on every delivery of it.
    pub message_id: MessageId,
    /// When it was written.
    pub created_at: Timestamp,
    /// The conversation that the start answered with.
    pub conversation_id: ConversationId,
    /// The message's type, such as `text`.
    pub kind: String,
    /// What it says.
    pub content: Content,
    /// The end user who speaks; absent for a note of the plugin itself.
    pub on_behalf_of: Option<UserId>,
}

/// A request that reached the install's public address, as Botpress relays it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookReceived {
    /// The HTTP method.
    pub method: String,
    /// What followed the install's address, such as `/oauth`; can be empty.
    pub path: String,
    /// The body, if there was one.
    pub body: Option<Redacted>,
}

/// A call that cannot be understood. The sentences are for the bot's author, who sees them in Botpress.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OperationError {
    /// Botpress asks for something that did not exist when this was written.
    #[error("This version of the integration does not know this operation. Update the integration.")]
    UnknownOperation,
    /// The action is not one of the interface `hitl`.
    #[error("This integration has no such action; it has createUser, startHitl and stopHitl.")]
    UnknownAction,
    /// What the bot's author has filled into the Start HITL card cannot be used.
    #[error("The Start HITL card cannot be used: {0}. Correct it in Botpress Studio.")]
    Card(#[source] DecodeError),
    /// The body does not have the documented form.
    #[error("The body of {operation} cannot be read: {source}.")]
    Malformed {
        /// The operation or action.
        operation: &'static str,
        /// What is wrong with it.
        source: DecodeError,
    },
}

impl Operation {
    /// Its name, or that of the action: `message_created`, `startHitl`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Register { .. } => "register",
            Self::Unregister { .. } => "unregister",
            Self::Action(Action::CreateUser { .. }) => "createUser",
            Self::Action(Action::StartHitl { .. }) => "startHitl",
            Self::Action(Action::StopHitl { .. }) => "stopHitl",
            Self::MessageCreated(_) => "message_created",
            Self::MessageUpdated => "message_updated",
            Self::ConversationUpdated => "conversation_updated",
            Self::WebhookReceived(_) => "webhook_received",
            Self::CreateUser => "create_user",
            Self::CreateConversation => "create_conversation",
        }
    }

    /// Reads the body of the operation that `x-bp-operation` names.
    ///
    /// # Errors
    ///
    /// [`OperationError`].
    pub fn decode(name: &str, body: &[u8]) -> Result<Self, OperationError> {
        Ok(match name {
            "ping" => Self::Ping,
            "register" => Self::Register { webhook_url: read::<Registration>("register", body)?.webhook_url },
            "unregister" => Self::Unregister { webhook_url: read::<Registration>("unregister", body)?.webhook_url },
            "action_triggered" => Self::Action(Action::decode(body)?),
            "message_created" => {
                Self::MessageCreated(read::<WireMessageCreated>("message_created", body)?.into_message())
            }
            "message_updated" => Self::MessageUpdated,
            "conversation_updated" => Self::ConversationUpdated,
            "webhook_received" => {
                let WireWebhookReceived { req } = read("webhook_received", body)?;
                Self::WebhookReceived(WebhookReceived { method: req.method, path: req.path, body: req.body })
            }
            "create_user" => Self::CreateUser,
            "create_conversation" => Self::CreateConversation,
            _ => return Err(OperationError::UnknownOperation),
        })
    }
}

impl Action {
    fn decode(body: &[u8]) -> Result<Self, OperationError> {
        let envelope: ActionName = read("action_triggered", body)?;
        Ok(match envelope.kind.as_str() {
            "createUser" => {
                let wire: WireCreateUser = input("createUser", body)?;
                let plain = |text: Option<Redacted>| text.map(Redacted::into_inner);
                Self::CreateUser {
                    name: plain(wire.name).map(|name| one_line(&name)).unwrap_or_default(),
                    // Agents see it: an address that lets its readers in is not theirs.
                    picture_url: plain(wire.picture_url).filter(|url| !carries_credential(url)),
                    email: plain(wire.email),
                }
            }
            "startHitl" => {
                let wire: WireStartHitl = input("startHitl", body)?;
                Self::StartHitl {
                    user_id: wire.user_id,
                    title: wire.title,
                    description: wire.description,
                    hitl_session: wire.hitl_session,
                    message_history: history(wire.message_history),
                }
            }
            "stopHitl" => {
                let WireStopHitl { conversation_id } = input("stopHitl", body)?;
                Self::StopHitl { conversation_id }
            }
            _ => return Err(OperationError::UnknownAction),
        })
    }
}

fn read<'de, T: Deserialize<'de>>(operation: &'static str, body: &'de [u8]) -> Result<T, OperationError> {
    decode(body).map_err(|source| OperationError::Malformed { operation, source })
}

fn input<'de, T: Deserialize<'de>>(action: &'static str, body: &'de [u8]) -> Result<T, OperationError> {
    match read::<ActionInput<T>>(action, body) {
        Ok(action) => Ok(action.input),
        Err(OperationError::Malformed { source, .. }) if source.is_within("input.hitlSession") => {
            Err(OperationError::Card(source))
        }
        Err(error) => Err(error),
    }
}

/// What a form or an expression of a bot gives where a text is wanted: texts, numbers, yes or no; of anything else, and of a
/// text without words, nothing.
fn forgiving<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Redacted>, D::Error> {
    Ok(forms::text(&Value::deserialize(deserializer)?).map(Redacted::from))
}

/// The plugin copies stored messages unchecked, so an item can be anything.
fn history(items: Option<Value>) -> Vec<HistoryItem> {
    match items {
        Some(Value::Array(items)) => {
            items.iter().map(|item| read_item(item).unwrap_or(HistoryItem::Unreadable)).collect()
        }
        _ => Vec::new(),
    }
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registration {
    webhook_url: String,
}

#[derive(Deserialize)]
struct ActionName {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct ActionInput<T> {
    input: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireCreateUser {
    #[serde(deserialize_with = "forgiving")]
    name: Option<Redacted>,
    #[serde(default, deserialize_with = "forgiving")]
    picture_url: Option<Redacted>,
    #[serde(default, deserialize_with = "forgiving")]
    email: Option<Redacted>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireStartHitl {
    user_id: UserId,
    #[serde(default, deserialize_with = "forgiving")]
    title: Option<Redacted>,
    #[serde(default, deserialize_with = "forgiving")]
    description: Option<Redacted>,
    #[serde(default)]
    hitl_session: Configuration,
    message_history: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireStopHitl {
    conversation_id: ConversationId,
}

#[derive(Deserialize)]
struct WireMessageCreated {
    #[serde(rename = "type")]
    kind: String,
    payload: Value,
    conversation: WireConversation,
    message: WireMessage,
}

#[derive(Deserialize)]
struct WireConversation {
    id: ConversationId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMessage {
    id: MessageId,
    created_at: Timestamp,
}

impl WireMessageCreated {
    fn into_message(self) -> MessageCreated {
        MessageCreated {
            message_id: self.message.id,
            created_at: self.message.created_at,
            conversation_id: self.conversation.id,
            content: Content::read(&self.kind, &self.payload),
            on_behalf_of: self.payload.get("userId").and_then(Value::as_str).map(UserId::from),
            kind: self.kind,
        }
    }
}

#[derive(Deserialize)]
struct WireWebhookReceived {
    req: WireRequest,
}

#[derive(Deserialize)]
struct WireRequest {
    method: String,
    #[serde(default)]
    path: String,
    body: Option<Redacted>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ids::GroupId;

    fn decode(name: &str, body: &Value) -> Operation {
        Operation::decode(name, body.to_string().as_bytes()).unwrap()
    }

    fn error(name: &str, body: &str) -> String {
        Operation::decode(name, body.as_bytes()).unwrap_err().to_string()
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
                assert_eq!(Operation::decode(name, body.as_bytes()), Ok(expected.clone()), "{name}");
            }
        }
    }

    #[test]
    fn registration_tells_the_public_address() {
        let webhook_url = "https://webhook.botpress.cloud/w1".to_owned();
        let body = json!({"webhookUrl": webhook_url, "new": true});
        assert_eq!(decode("register", &body), Operation::Register { webhook_url: webhook_url.clone() });
        assert_eq!(decode("unregister", &body), Operation::Unregister { webhook_url });
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
            {"source": user, "type": "text", "payload": {"text": ""}},
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
        let expected =
            WebhookReceived { method: "POST".to_owned(), path: "/livechat".to_owned(), body: Some("{}".into()) };
        assert_eq!(decode("webhook_received", &body), Operation::WebhookReceived(expected));
        let bare = json!({"req": {"method": "GET", "path": "", "query": "", "headers": {}}});
        let expected = WebhookReceived { method: "GET".to_owned(), path: String::new(), body: None };
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
            "This integration has no such action; it has createUser, startHitl and stopHitl."
        );
        assert_eq!(
            error("action_triggered", r#"{"type":"startHitl","input":{"userId":["canary"]}}"#),
            "The body of startHitl cannot be read: unexpected value, expected a string (at input.userId)."
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
            "The body of action_triggered cannot be read: missing field `type` (at .)."
        );
        assert_eq!(
            error("register", "canary"),
            "The body of register cannot be read: not valid JSON, line 1, column 1 (at .)."
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
