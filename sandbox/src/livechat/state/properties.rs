//! Properties: which exist, who may write them where, and how they are written.

use serde_json::{Value, json};

use super::{Properties, Requester, State, Step};
use crate::livechat::Turned;
use crate::livechat::errors::{Error, Kind};
use crate::livechat::params::Params;

/// The kind of object that a property belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    Chat,
    Thread,
    Event,
}

/// The object whose properties change.
#[derive(Clone, Debug)]
pub(crate) enum PropertyTarget {
    Chat,
    Thread(String),
    Event(String, String),
}

impl PropertyTarget {
    const fn location(&self) -> Location {
        match self {
            Self::Chat => Location::Chat,
            Self::Thread(_) => Location::Thread,
            Self::Event(..) => Location::Event,
        }
    }

    const fn actions(&self) -> (&'static str, &'static str) {
        match self {
            Self::Chat => ("chat_properties_updated", "chat_properties_deleted"),
            Self::Thread(_) => ("thread_properties_updated", "thread_properties_deleted"),
            Self::Event(..) => ("event_properties_updated", "event_properties_deleted"),
        }
    }

    fn payload(&self, chat_id: &str, properties: Value) -> Value {
        match self {
            Self::Chat => json!({"chat_id": chat_id, "properties": properties}),
            Self::Thread(thread_id) => json!({"chat_id": chat_id, "thread_id": thread_id, "properties": properties}),
            Self::Event(thread_id, event_id) => json!({
                "chat_id": chat_id, "thread_id": thread_id, "event_id": event_id, "properties": properties,
            }),
        }
    }
}

/// Reads `properties` of an object; empty if absent.
pub(crate) fn properties(params: &Params<'_>) -> Result<Properties, Error> {
    let Some(namespaces) = params.optional_object("properties")? else { return Ok(Properties::new()) };
    let mut properties = Properties::new();
    for namespace in namespaces.fields().keys() {
        let names = namespaces.object(namespace)?;
        let values = names.fields().iter().map(|(name, value)| {
            let is_plain = value.is_string() || value.is_boolean() || value.is_i64() || value.is_u64();
            let wrong = || Error::validation(format!("property `{namespace}.{name}` must be int, bool or string"));
            is_plain.then(|| (name.clone(), value.clone())).ok_or_else(wrong)
        });
        properties.insert(namespace.clone(), values.collect::<Result<_, _>>()?);
    }
    Ok(properties)
}

/// Reads `properties` of a deletion: `{"<namespace>":["<name>"]}`.
pub(crate) fn deletions(params: &Params<'_>) -> Result<Vec<(String, Vec<String>)>, Error> {
    let namespaces = params.object("properties")?;
    let names = |namespace: &String| Ok((namespace.clone(), namespaces.texts(namespace)?.unwrap_or_default()));
    namespaces.fields().keys().map(names).collect()
}

/// Refuses properties that do not exist, or that the requester may not write there.
pub(super) fn check_writable(
    state: &State,
    requester: &Requester,
    location: Location,
    properties: &Properties,
) -> Result<(), Error> {
    let names = properties.iter().flat_map(|(namespace, names)| names.keys().map(move |name| (namespace, name)));
    for (namespace, name) in names {
        if !is_writable(state, requester, location, namespace, name) {
            return Err(Error::validation(format!("property `{namespace}.{name}` cannot be written here")));
        }
    }
    Ok(())
}

fn is_writable(state: &State, requester: &Requester, location: Location, namespace: &str, name: &str) -> bool {
    use Location::{Chat, Event, Thread};
    let by_agent = requester.is_agent();
    match (namespace, name) {
        ("routing", "ignore_bots" | "transcript_email" | "offline_message") => location == Thread && !by_agent,
        ("routing", "email_follow_up") => location == Chat && !by_agent,
        ("routing", "ignore_agents_routing") => location == Chat,
        ("routing", "pinned") => location == Chat && by_agent,
        ("rating", "score" | "comment") => !by_agent,
        ("chats", "formatting") | ("status", "delivered") => location == Event,
        ("test", name) => name.ends_with("_property"),
        (namespace, name) => namespace == state.account.client_id && state.registered_properties.contains_key(name),
    }
}

impl State {
    /// Merges `properties` into those of the target.
    pub(crate) fn update_properties(
        &mut self,
        step: &mut Step,
        requester: &Requester,
        chat_id: &str,
        target: &PropertyTarget,
        properties: Properties,
    ) -> Result<(), Error> {
        self.visible_chat(requester, chat_id)?;
        check_writable(self, requester, target.location(), &properties)?;
        let is_closed = self.chat(chat_id).is_some_and(|chat| chat.active_thread().is_none());
        if is_closed && properties.contains_key("rating") && self.is_turned(Turned::ClosedRating) {
            return Err(Kind::ChatInactive.into());
        }
        let forgets = self.is_turned(Turned::Merging);
        let present = self.properties_mut(chat_id, target)?;
        for (namespace, names) in properties.clone() {
            if forgets {
                present.remove(&namespace);
            }
            present.entry(namespace).or_default().extend(names);
        }
        let payload = target.payload(chat_id, json!(properties));
        step.note("properties_updated", payload.clone());
        self.announce(step, chat_id, target.actions().0, None, payload);
        self.note_rating(step, chat_id, &properties)
    }

    fn note_rating(&mut self, step: &mut Step, chat_id: &str, properties: &Properties) -> Result<(), Error> {
        let rated = |name| properties.get("rating").is_some_and(|names| names.contains_key(name));
        let (score, comment) = (rated("score"), rated("comment"));
        if score {
            self.add_system_message(step, chat_id, "rating.chat_rated", "Customer rated the chat")?;
        }
        if comment {
            self.add_system_message(step, chat_id, "rating.chat_commented", "Customer commented on the rating")?;
        }
        Ok(())
    }

    /// Removes properties of the target.
    pub(crate) fn delete_properties(
        &mut self,
        step: &mut Step,
        requester: &Requester,
        chat_id: &str,
        target: &PropertyTarget,
        names: &[(String, Vec<String>)],
    ) -> Result<(), Error> {
        self.visible_chat(requester, chat_id)?;
        for (namespace, name) in names.iter().flat_map(|(namespace, names)| names.iter().map(move |n| (namespace, n))) {
            if !is_writable(self, requester, target.location(), namespace, name) {
                return Err(Error::validation(format!("property `{namespace}.{name}` cannot be deleted here")));
            }
        }
        let present = self.properties_mut(chat_id, target)?;
        for (namespace, names) in names {
            if let Some(values) = present.get_mut(namespace) {
                values.retain(|name, _value| !names.contains(name));
            }
        }
        present.retain(|_namespace, values| !values.is_empty());
        let deleted: serde_json::Map<_, _> = names.iter().map(|(space, names)| (space.clone(), json!(names))).collect();
        let payload = target.payload(chat_id, deleted.into());
        step.note("properties_deleted", payload.clone());
        self.announce(step, chat_id, target.actions().1, None, payload);
        match names.iter().any(|(namespace, names)| namespace == "rating" && names.iter().any(|name| name == "score")) {
            true => {
                self.add_system_message(step, chat_id, "rating.chat_rating_canceled", "Customer canceled the rating")
            }
            false => Ok(()),
        }
    }

    fn properties_mut(&mut self, chat_id: &str, target: &PropertyTarget) -> Result<&mut Properties, Error> {
        let chat = self.chat_mut(chat_id)?;
        match target {
            PropertyTarget::Chat => Ok(&mut chat.properties),
            PropertyTarget::Thread(thread_id) => {
                let thread = chat.threads.iter_mut().find(|thread| thread.id == *thread_id);
                Ok(&mut thread.ok_or(Kind::NotFound)?.properties)
            }
            PropertyTarget::Event(thread_id, event_id) => {
                Ok(&mut chat.event_mut(thread_id, event_id).ok_or(Kind::NotFound)?.properties)
            }
        }
    }
}
