//! LiveChat's webhooks: from the bytes of a delivery to a typed event.
//!
//! The only proof of a delivery's origin is the secret in its body, so it is read in two steps: [`UnverifiedDelivery`] parses
//! the envelope, and [`verify`](UnverifiedDelivery::verify) gives access to the payload.
//!
//! See LiveChat Docs, "Webhooks".

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Chat, ParticipantId, User};
use crate::clock::Timestamp;
use crate::http::{DecodeError, Field, decode as decode_json, read};
use crate::ids::{AgentId, ChatId, EventId, NO_CHAT, OrganizationId, ThreadId};
use crate::odd::OddFields;
use crate::redacted::Redacted;

/// A delivery whose sender has not been verified.
///
/// Shape: `{"secret_key","organization_id","action","payload"}`; the rest of the envelope is ignored.
#[derive(Deserialize)]
pub struct UnverifiedDelivery {
    /// The secret from the registration, as the sender claims; a missing one is as wrong as any other.
    #[serde(default)]
    pub secret_key: Redacted,
    /// The organization, as the sender claims.
    pub organization_id: OrganizationId,
    /// The registration; empty if it cannot be read.
    #[serde(default, deserialize_with = "word")]
    webhook_id: String,
    /// What happened, such as `incoming_event`; empty if it cannot be read.
    #[serde(default, deserialize_with = "word")]
    pub action: String,
    /// The details, not read yet.
    pub payload: Box<RawValue>,
}

fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_str().unwrap_or_default().to_owned())
}

impl fmt::Debug for UnverifiedDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedDelivery").finish_non_exhaustive()
    }
}

/// A delivery that came from LiveChat.
pub struct Delivery<'a> {
    /// What happened, such as `incoming_event`.
    pub action: &'a str,
    payload: &'a RawValue,
}

impl fmt::Debug for Delivery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("action", &self.action).finish_non_exhaustive()
    }
}

/// Why a delivery is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The secret is not one of ours.
    #[error("the webhook secret is wrong")]
    WrongSecret,
    /// The secret is right, but the organization is not ours.
    #[error("the webhook is about another organization")]
    WrongOrganization,
}

impl UnverifiedDelivery {
    /// Whether the call identifies itself as a check by the operator's command.
    pub(crate) fn is_a_check(&self) -> bool {
        self.webhook_id == NO_CHAT
    }

    /// Reads the envelope.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the body is not a delivery of an API webhook. (LiveChat reports an app's life cycle in another
    /// form, without a secret.)
    pub fn parse(body: &[u8]) -> Result<Self, DecodeError> {
        decode_json(body)
    }

    /// Compares the secret with each of ours in constant time; during a rotation there are two.
    ///
    /// # Errors
    ///
    /// [`Rejection`]. An empty secret of ours matches nothing.
    pub fn verify<'s>(
        &self,
        secrets: impl IntoIterator<Item = &'s Redacted>,
        organization_id: &OrganizationId,
    ) -> Result<Delivery<'_>, Rejection> {
        let sent = self.secret_key.expose();
        // All are compared, so that the duration does not reveal which one matched.
        let matches = secrets.into_iter().fold(false, |found, secret| found | secret.matches(sent));
        if !matches {
            Err(Rejection::WrongSecret)
        } else if self.organization_id != *organization_id {
            Err(Rejection::WrongOrganization)
        } else {
            Ok(Delivery { action: &self.action, payload: &self.payload })
        }
    }
}

impl Delivery<'_> {
    /// The event in detail, and its fields that are not as documented; `received_at` replaces a time that cannot be read.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the payload is not JSON.
    pub fn decode(&self, received_at: Timestamp) -> Result<(Event, OddFields), DecodeError> {
        decode(self.action, self.payload, received_at)
    }
}

/// The occurrences that LiveChat reports, as far as a handoff needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// `incoming_chat`: a thread was opened, by a start or a resume.
    IncomingChat {
        /// The chat with its new thread.
        chat: Chat,
    },
    /// `incoming_event`: an event was added to a thread; our own events are reported, too.
    IncomingEvent {
        /// The chat.
        chat_id: ChatId,
        /// The thread.
        thread_id: ThreadId,
        /// The event.
        event: super::Event,
    },
    /// `event_updated`: an event in a thread was changed. The report has neither a time nor a number of the change.
    EventUpdated {
        /// The chat.
        chat_id: ChatId,
        /// The thread.
        thread_id: ThreadId,
        /// The event in its present form, with the time of the original.
        event: super::Event,
    },
    /// `event_deleted`: an event in a thread was deleted. The report has neither the author of the deletion nor the content.
    EventDeleted {
        /// The chat.
        chat_id: ChatId,
        /// The thread.
        thread_id: ThreadId,
        /// The event.
        event_id: EventId,
    },
    /// `chat_transferred`: the chat went to other agents or another group.
    ChatTransferred {
        /// The chat.
        chat_id: ChatId,
        /// The open thread, if there is one.
        thread_id: Option<ThreadId>,
        /// Who transferred it; only for a manual transfer.
        requester_id: Option<ParticipantId>,
        /// The reason.
        reason: TransferReason,
        /// The agents it went to.
        agent_ids: Vec<AgentId>,
        /// Whether it waits in a queue now.
        queued: bool,
    },
    /// `user_added_to_chat`: an agent or customer joined.
    UserAddedToChat {
        /// The chat.
        chat_id: ChatId,
        /// The open thread, if there is one.
        thread_id: Option<ThreadId>,
        /// Who joined.
        user: User,
        /// The reason; an open list of words.
        reason: Option<String>,
        /// The agent who added the user, if one did.
        requester_id: Option<ParticipantId>,
    },
    /// `chat_deactivated`: a thread was closed. It can be an earlier thread than the current one.
    ChatDeactivated {
        /// The chat.
        chat_id: ChatId,
        /// The closed thread.
        thread_id: ThreadId,
        /// Who closed it; absent if LiveChat's routing did.
        user_id: Option<ParticipantId>,
    },
    /// A report that is not as documented: the thread shows what it should have said.
    Unclear {
        /// The chat, unless it cannot be read either.
        chat_id: Option<ChatId>,
        /// The readable part; [`Other`](Self::Other) if there is none.
        rest: Box<Self>,
    },
    /// Any other action: nothing to do.
    Other,
}

/// Why a chat was transferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransferReason {
    /// An agent or app did it.
    Manual,
    /// The agent did not react.
    Inactive,
    /// An agent was found.
    Assigned,
    /// The chat lost its agent.
    Unassigned,
    /// LiveChat's own `other`, and anything it did not document.
    #[default]
    Other,
}

impl TransferReason {
    fn read(reason: &Field<'_>) -> Self {
        match reason.value().as_str() {
            Some("manual") => Self::Manual,
            Some("inactive") => Self::Inactive,
            Some("assigned") => Self::Assigned,
            Some("unassigned") => Self::Unassigned,
            _ => Self::Other,
        }
    }
}

impl Event {
    /// The chat it is about.
    pub fn chat_id(&self) -> Option<&ChatId> {
        match self {
            Self::IncomingChat { chat } => Some(&chat.id),
            Self::IncomingEvent { chat_id, .. }
            | Self::EventUpdated { chat_id, .. }
            | Self::EventDeleted { chat_id, .. }
            | Self::ChatTransferred { chat_id, .. }
            | Self::UserAddedToChat { chat_id, .. }
            | Self::ChatDeactivated { chat_id, .. } => Some(chat_id),
            Self::Unclear { chat_id, .. } => chat_id.as_ref(),
            Self::Other => None,
        }
    }

    /// The thread it is about, if the event names one.
    pub fn thread_id(&self) -> Option<&ThreadId> {
        match self {
            Self::IncomingChat { chat } => chat.thread.as_ref().map(|thread| &thread.id),
            Self::IncomingEvent { thread_id, .. }
            | Self::EventUpdated { thread_id, .. }
            | Self::EventDeleted { thread_id, .. }
            | Self::ChatDeactivated { thread_id, .. } => Some(thread_id),
            Self::ChatTransferred { thread_id, .. } | Self::UserAddedToChat { thread_id, .. } => thread_id.as_ref(),
            Self::Unclear { rest, .. } => rest.thread_id(),
            Self::Other => None,
        }
    }

    /// LiveChat's name for the kind of event, for the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::IncomingChat { .. } => "incoming_chat",
            Self::IncomingEvent { .. } => "incoming_event",
            Self::EventUpdated { .. } => "event_updated",
            Self::EventDeleted { .. } => "event_deleted",
            Self::ChatTransferred { .. } => "chat_transferred",
            Self::UserAddedToChat { .. } => "user_added_to_chat",
            Self::ChatDeactivated { .. } => "chat_deactivated",
            Self::Unclear { rest, .. } => rest.name(),
            Self::Other => "other",
        }
    }
}

/// Reads the payload of `action`, and notes fields that are not as documented.
///
/// # Errors
///
/// [`DecodeError`] if the payload is not JSON.
pub fn decode(action: &str, payload: &RawValue, received_at: Timestamp) -> Result<(Event, OddFields), DecodeError> {
    if !OURS.contains(&action) && !action.is_empty() {
        return Ok((Event::Other, OddFields::default()));
    }
    let ((chat_id, event), odd) = read(payload.get().as_bytes(), |payload| {
        let event = read_event(action, payload, received_at);
        let whole = payload.get("chat");
        let [named, nested] = [payload.get("chat_id"), whole.get("id")];
        // An id that is not a string may have been converted wrongly.
        let chat_id = [named, nested].iter().filter(|id| id.value().is_string()).find_map(Field::id);
        (chat_id, event)
    })?;
    let event = event.unwrap_or(Event::Other);
    match odd.is_empty() && !action.is_empty() {
        true => Ok((event, odd)),
        false => Ok((Event::Unclear { chat_id, rest: Box::new(event) }, odd)),
    }
}

/// The actions that a handoff needs.
const OURS: [&str; 7] = [
    "incoming_chat",
    "incoming_event",
    "event_updated",
    "event_deleted",
    "chat_transferred",
    "user_added_to_chat",
    "chat_deactivated",
];

/// Reads the event; `None` if an indispensable field is missing.
fn read_event(action: &str, payload: &Field<'_>, received_at: Timestamp) -> Option<Event> {
    if action == "incoming_chat" {
        return Chat::read(&payload.get("chat"), (None, None)).map(|chat| Event::IncomingChat { chat });
    }
    let (chat, thread) = (payload.get("chat_id"), payload.get("thread_id"));
    let chat_id = chat.needed(chat.id())?;
    let thread_id: Option<ThreadId> = thread.id();
    let requester_id = || payload.get("requester_id").id();
    Some(match action {
        "incoming_event" => {
            let (thread_id, event) = said(payload, thread.needed(thread_id), received_at)?;
            Event::IncomingEvent { chat_id, thread_id, event }
        }
        "event_updated" => {
            let (thread_id, event) = said(payload, thread.needed(thread_id), received_at)?;
            Event::EventUpdated { chat_id, thread_id, event }
        }
        "event_deleted" => {
            let event = payload.get("event_id");
            let event_id = event.needed(event.id())?;
            Event::EventDeleted { chat_id, thread_id: thread.needed(thread_id)?, event_id }
        }
        "chat_transferred" => {
            let target = payload.get("transferred_to");
            let agents = target.get("agent_ids");
            let agent_ids = agents.items().filter_map(|agent| agent.id::<ParticipantId>());
            Event::ChatTransferred {
                chat_id,
                thread_id,
                requester_id: requester_id(),
                reason: TransferReason::read(&payload.get("reason")),
                agent_ids: agent_ids.map(|agent| agent.to_agent_id()).collect(),
                queued: !payload.get("queue").is_absent(),
            }
        }
        "user_added_to_chat" => {
            let user = User::read(&payload.get("user"))?;
            let reason = payload.get("reason").text();
            Event::UserAddedToChat { chat_id, thread_id, user, reason, requester_id: requester_id() }
        }
        "chat_deactivated" => {
            let user_id = payload.get("user_id").id();
            Event::ChatDeactivated { chat_id, thread_id: thread.needed(thread_id)?, user_id }
        }
        _ => return None,
    })
}

/// The event of a payload with its thread; an event's id begins with the thread's id, too.
fn said(payload: &Field<'_>, thread_id: Option<ThreadId>, received_at: Timestamp) -> Option<(ThreadId, super::Event)> {
    let event = payload.get("event");
    let id = event.get("id");
    let id: EventId = id.needed(id.id())?;
    let thread_id = thread_id.or_else(|| super::model::thread_of(&id))?;
    Some((thread_id, super::Event::read(&event, id, received_at)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json, value::to_raw_value};

    use super::super::{Content, UserKind};
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_778_492_460_000);
    const ORGANIZATION: &str = "390e44e6-f1e6-4c62-9d1c-5f9d4a3a6a11";

    fn delivery(secret: &str) -> UnverifiedDelivery {
        let body = json!({
            "webhook_id": "w", "secret_key": secret, "action": "chat_deactivated", "organization_id": ORGANIZATION,
            "payload": {"chat_id": "C", "thread_id": "T"}, "additional_data": {"chat_properties": {}},
        });
        UnverifiedDelivery::parse(body.to_string().as_bytes()).unwrap()
    }

    fn event(action: &str, payload: &Value) -> Event {
        decode(action, &to_raw_value(payload).unwrap(), NOW).unwrap().0
    }

    fn verify<'a>(sent: &'a UnverifiedDelivery, ours: &[&str]) -> Result<Delivery<'a>, Rejection> {
        let ours: Vec<Redacted> = ours.iter().map(|secret| (*secret).into()).collect();
        sent.verify(&ours, &ORGANIZATION.into())
    }

    #[test]
    fn a_delivery_opens_with_the_current_or_the_previous_secret() {
        for ours in [vec!["s3cr3t"], vec!["new", "s3cr3t"]] {
            let sent = delivery("s3cr3t");
            let opened = verify(&sent, &ours).unwrap();
            let expected = Event::ChatDeactivated { chat_id: "C".into(), thread_id: "T".into(), user_id: None };
            assert_eq!(opened.decode(NOW).unwrap().0, expected);
        }
    }

    #[test]
    fn a_delivery_with_another_secret_stays_closed() {
        let cases: [(&str, &[&str]); 6] = [
            ("", &["s3cr3t"]),
            ("s3cr3", &["s3cr3t"]),
            ("s3cr3t!", &["s3cr3t"]),
            ("S3cr3t", &["s3cr3t"]),
            ("", &[""]),
            ("s3cr3t", &[]),
        ];
        for (sent, ours) in cases {
            assert_eq!(verify(&delivery(sent), ours).unwrap_err(), Rejection::WrongSecret, "{sent} {ours:?}");
        }
    }

    #[test]
    fn a_delivery_about_another_organization_stays_closed() {
        let ours = [Redacted::from("s")];
        assert_eq!(delivery("s").verify(&ours, &"another".into()).unwrap_err(), Rejection::WrongOrganization);
    }

    #[test]
    fn a_body_that_is_no_delivery_is_refused_without_being_quoted() {
        let lifecycle = r#"{"applicationID":"canary","event":"application_installed"}"#;
        for body in ["", "canary", "[]", lifecycle, r#"{"secret_key":"canary","organization_id":1}"#] {
            let error = UnverifiedDelivery::parse(body.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn debug_output_of_a_delivery_holds_neither_secret_nor_payload() {
        let output = format!("{:?} {:?}", delivery("canary"), verify(&delivery("s"), &["s"]).unwrap());
        assert!(!output.contains("canary") && !output.contains("chat_id"), "{output}");
    }

    #[test]
    fn an_incoming_event_is_read_as_documented() {
        let payload = json!({"chat_id": "PS0X0L086G", "thread_id": "PZ070E0W1B", "event": {
            "id": "PZ070E0W1B_3", "custom_id": "1dnepb4z00t", "type": "message", "text": "Hi, this is Anna",
            "author_id": "anna@example.com", "visibility": "all", "created_at": "2026-05-11T09:41:00.877000Z",
        }});
        let Event::IncomingEvent { chat_id, thread_id, event } = event("incoming_event", &payload) else {
            panic!("another event")
        };
        assert_eq!((chat_id, thread_id), ("PS0X0L086G".into(), "PZ070E0W1B".into()));
        assert_eq!(event.content, Content::Message { text: "Hi, this is Anna".into() });
        assert_eq!(event.created_at.to_string(), "2026-05-11T09:41:00.877000Z");
    }

    #[test]
    fn an_incoming_chat_is_read_with_its_thread_and_users() {
        let payload = json!({"chat": {"id": "C",
            "users": [{"id": "b7eff798", "type": "customer", "present": true, "name": "Ann", "email": "ann@example.com"},
                      {"id": "anna@example.com", "type": "agent", "present": true, "visibility": "all", "name": "Anna"},
                      {"id": "x", "type": "drone"}],
            "thread": {"id": "T", "active": true, "created_at": "2026-05-11T09:40:00.100000Z", "user_ids": ["b7eff798"],
                       "events": [], "access": {"group_ids": [2]}, "properties": {"routing": {"continuous": true}}},
            "properties": {}, "access": {"group_ids": [2]}}, "transferred_from": {"group_ids": [1]}});
        let Event::IncomingChat { chat } = event("incoming_chat", &payload) else { panic!("another event") };
        assert!(chat.thread.is_some_and(|thread| thread.active && thread.id == "T".into()));
        let kinds: Vec<_> = chat.users.iter().map(|user| user.kind).collect();
        assert_eq!(kinds, [UserKind::Customer, UserKind::Agent, UserKind::Other]);
    }

    #[test]
    fn a_transfer_is_read_with_and_without_its_optional_fields() {
        let full = json!({"chat_id": "C", "thread_id": "T", "requester_id": "bob@example.com", "reason": "manual",
            "transferred_to": {"group_ids": [1], "agent_ids": ["anna@example.com"]},
            "queue": {"position": 1, "wait_time": 60, "queued_at": "2026-05-11T09:40:00.100000Z"}});
        let expected = Event::ChatTransferred {
            chat_id: "C".into(),
            thread_id: Some("T".into()),
            requester_id: Some("bob@example.com".into()),
            reason: TransferReason::Manual,
            agent_ids: vec!["anna@example.com".into()],
            queued: true,
        };
        assert_eq!(event("chat_transferred", &full), expected);

        let least = Event::ChatTransferred {
            chat_id: "C".into(),
            thread_id: None,
            requester_id: None,
            reason: TransferReason::Other,
            agent_ids: Vec::new(),
            queued: false,
        };
        for payload in [json!({"chat_id": "C"}), json!({"chat_id": "C", "reason": "whim", "transferred_to": {}})] {
            assert_eq!(event("chat_transferred", &payload), least, "{payload}");
        }
    }

    #[test]
    fn a_joining_agent_is_read_with_name_and_visibility() {
        let payload = json!({"chat_id": "C", "thread_id": "T", "reason": "assigned", "user_type": "agent",
            "user": {"id": "anna@example.com", "type": "agent", "name": "Anna", "avatar": "cdn/a.png",
                     "visibility": "agents", "routing_status": "accepting chats"}});
        let Event::UserAddedToChat { user, requester_id, .. } = event("user_added_to_chat", &payload) else {
            panic!("another event")
        };
        assert_eq!(user.name.as_deref(), Some("Anna"));
        assert_eq!((user.visibility, requester_id), (super::super::Visibility::Agents, None));
    }

    #[test]
    fn an_action_that_we_do_not_know_is_no_error_whatever_it_carries() {
        assert_eq!(event("thread_tagged", &json!({"chat_id": 5})), Event::Other);
        assert_eq!(event("something_new", &json!(null)), Event::Other);
    }

    fn unclear(action: &str, payload: &Value) -> (Option<ChatId>, Event, Vec<String>) {
        let (event, odd) = decode(action, &to_raw_value(payload).unwrap(), NOW).unwrap();
        let Event::Unclear { chat_id, rest } = event else { panic!("{action} {payload} is clear: {event:?}") };
        (chat_id, *rest, odd.places().to_vec())
    }

    #[test]
    fn a_payload_that_is_not_as_documented_is_read_as_far_as_it_goes() {
        let (chat_id, rest, odd) = unclear("incoming_event", &json!({"chat_id": "C", "event": {}}));
        assert_eq!((chat_id, rest), (Some("C".into()), Event::Other));
        assert_eq!(odd, ["thread_id", "event.id"]);

        let event_of = |event: Value| json!({"chat_id": "C", "thread_id": null, "event": event});
        let event =
            json!({"id": "T_3", "type": "message", "text": 7, "author_id": ["anna"], "created_at": "yesterday"});
        let (_, rest, odd) = unclear("incoming_event", &event_of(event));
        let Event::IncomingEvent { thread_id, event, .. } = rest else { panic!("{rest:?}") };
        assert_eq!((thread_id, event.created_at), ("T".into(), NOW));
        assert_eq!(event.content, Content::Message { text: "7".into() });
        assert!(event.author_id.is_some());
        assert_eq!(odd, ["thread_id", "event.text", "event.author_id", "event.created_at"]);

        for payload in [json!(7), json!({"chat_id": {"canary": 1}, "event": 7}), json!([])] {
            let (chat_id, rest, _) = unclear("chat_deactivated", &payload);
            assert_eq!((chat_id, rest), (None, Event::Other), "{payload}");
        }
        let (chat_id, ..) = unclear("", &json!({"chat": {"id": "C"}}));
        assert_eq!(chat_id, Some("C".into()), "the action itself cannot be read");
    }
}
