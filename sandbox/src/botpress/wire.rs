//! Entities as the API and the integration see them.

use serde_json::{Map, Value, json};
use shared::clock::Timestamp;

use super::state::{Conversation, Event, EventStatus, Message, State, StateKey, User};

/// A time as the API writes it: `2026-05-11T09:41:00.877Z`.
pub(super) fn wire_time(time: Timestamp) -> String {
    let text = time.to_string();
    format!("{}Z", text.get(..23).unwrap_or(&text))
}

fn entity(id: &str, created_at: Timestamp) -> Map<String, Value> {
    Map::from_iter([("id".to_owned(), json!(id)), ("createdAt".to_owned(), json!(wire_time(created_at)))])
}

fn put(object: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    object.insert(name.to_owned(), value.into());
}

fn put_some(object: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        put(object, name, value);
    }
}

impl User {
    pub(crate) fn json(&self) -> Value {
        let mut object = entity(&self.id, self.created_at);
        put(&mut object, "updatedAt", wire_time(self.updated_at));
        put(&mut object, "tags", json!(self.tags));
        put_some(&mut object, "name", self.name.as_deref());
        put_some(&mut object, "pictureUrl", self.picture_url.as_deref());
        put_some(&mut object, "properties", (!self.properties.is_empty()).then(|| json!(self.properties)));
        Value::Object(object)
    }
}

impl Conversation {
    pub(crate) fn json(&self) -> Value {
        let mut object = entity(&self.id, self.created_at);
        put(&mut object, "updatedAt", wire_time(self.updated_at));
        put(&mut object, "channel", self.channel.as_str());
        put(&mut object, "integration", self.integration.as_str());
        put(&mut object, "tags", json!(self.tags));
        put(&mut object, "messageCount", self.messages.len());
        put_some(&mut object, "properties", (!self.properties.is_empty()).then(|| json!(self.properties)));
        Value::Object(object)
    }
}

impl Message {
    pub(crate) fn json(&self) -> Value {
        let mut object = entity(&self.id, self.created_at);
        put(&mut object, "updatedAt", wire_time(self.updated_at));
        put(&mut object, "type", self.message_type.as_str());
        put(&mut object, "payload", self.payload.clone());
        put(&mut object, "direction", if self.outgoing { "outgoing" } else { "incoming" });
        put(&mut object, "userId", self.user_id.as_str());
        put(&mut object, "conversationId", self.conversation_id.as_str());
        put(&mut object, "tags", json!(self.tags));
        put_some(&mut object, "origin", self.origin.as_deref());
        Value::Object(object)
    }
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        let mut object = entity(&self.id, self.created_at);
        put(&mut object, "type", self.event_type.as_str());
        put(&mut object, "payload", self.payload.clone());
        for (name, value) in &self.attributes {
            put(&mut object, name, value.as_str());
        }
        let (status, reason) = match &self.status {
            EventStatus::Pending => ("pending", None),
            EventStatus::Scheduled => ("scheduled", None),
            EventStatus::Processed => ("processed", None),
            EventStatus::Ignored => ("ignored", None),
            EventStatus::Failed(reason) => ("failed", Some(reason.as_str())),
            EventStatus::Canceled => ("canceled", None),
        };
        put(&mut object, "status", status);
        put(&mut object, "failureReason", json!(reason));
        Value::Object(object)
    }
}

impl State {
    pub(crate) fn json(&self, bot_id: &str, (state_type, owner, name): &StateKey) -> Value {
        let mut object = entity(&self.id, self.created_at);
        put(&mut object, "updatedAt", wire_time(self.updated_at));
        put(&mut object, "botId", bot_id);
        put_some(&mut object, "conversationId", (state_type == "conversation").then_some(owner.as_str()));
        put_some(&mut object, "userId", (state_type == "user").then_some(owner.as_str()));
        put(&mut object, "name", name.as_str());
        put(&mut object, "type", state_type.as_str());
        put(&mut object, "payload", self.payload.clone());
        put_some(&mut object, "expiry", self.expiry.map(|expiry| json!(expiry.as_millis())));
        put_some(&mut object, "expiresAt", self.expires_at.map(wire_time));
        Value::Object(object)
    }
}
