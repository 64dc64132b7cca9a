//! Events: what may be sent, and the effects of sending, changing and deleting.

use serde_json::{Map, Value, json};
use shared::clock::Timestamp;

use super::properties::{Location, check_writable};
use super::view::{self, Audience};
use super::{Author, Event, File, Properties, Requester, State, Step, Thread, Visibility, properties};
use crate::livechat::errors::{Error, Kind};
use crate::livechat::params::Params;
use crate::livechat::{Turned, upload};

/// The longest message text; the vendor writes "16 KB".
const MAX_TEXT_BYTES: usize = 16_384;
const MAX_ELEMENTS: usize = 10;
const MAX_BUTTONS: usize = 13;

/// A checked event that waits for its place in a thread.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    kind: String,
    visibility: Visibility,
    custom_id: Option<String>,
    properties: Properties,
    content: Map<String, Value>,
}

impl Draft {
    /// Checks an event that a requester wants to send.
    pub(crate) fn read(
        state: &State,
        requester: &Requester,
        now: Timestamp,
        event: &Params<'_>,
    ) -> Result<Self, Error> {
        let kind = event.text("type")?;
        let content = match kind {
            "message" => message(state, event)?,
            "file" => file(state, now, event)?,
            "rich_message" => rich_message(event)?,
            "custom" => optional_fields(event, &["content"], Params::optional_object)?,
            "system_message" => {
                event.text("system_message_type")?;
                event.optional_object("text_vars")?;
                optional_fields(event, &["system_message_type", "text", "text_vars"], |_, _| Ok(()))?
            }
            "form" | "filled_form" => {
                event.required("form_id")?;
                event.required("fields")?;
                event.objects("fields")?;
                optional_fields(event, &["form_id", "form_type", "fields"], |_, _| Ok(()))?
            }
            "system" => return Err(Error::validation("`system` events cannot be sent")),
            other => return Err(Error::validation(format!("`event.type` `{other}` is not known"))),
        };
        let properties = properties(event)?;
        check_writable(state, requester, Location::Event, &properties)?;
        // Customers' events are public whatever they request: the docs omit the field, their samples do not.
        let asked = event.choice("visibility", &["all", "agents"])?;
        let visibility = if requester.is_agent() { Visibility::named(asked) } else { Visibility::All };
        let custom_id = event.optional_text("custom_id")?.map(str::to_owned);
        Ok(Self { kind: kind.to_owned(), visibility, custom_id, properties, content })
    }

    /// Start and resume make the events that come with them public.
    pub(crate) fn made_public(mut self) -> Self {
        self.visibility = Visibility::All;
        self
    }
}

fn optional_fields<'a, T>(
    event: &Params<'a>,
    names: &[&str],
    check: impl Fn(&Params<'a>, &str) -> Result<T, Error>,
) -> Result<Map<String, Value>, Error> {
    let mut content = Map::new();
    for name in names {
        if let Some(value) = event.value(name) {
            check(event, name)?;
            content.insert((*name).to_owned(), value.clone());
        }
    }
    Ok(content)
}

fn message(state: &State, event: &Params<'_>) -> Result<Map<String, Value>, Error> {
    let text = event.text("text")?;
    if text.len() > if state.is_turned(Turned::TextLimit) { 16_000 } else { MAX_TEXT_BYTES } {
        return Err(Error::validation("`text` is too long: the limit is 16 KB"));
    }
    if let Some(postback) = event.optional_object("postback")? {
        for name in ["id", "thread_id", "event_id"] {
            postback.text(name)?;
        }
        if postback.has("type") != postback.has("value") {
            return Err(Error::validation("`postback.type` and `postback.value` come only together"));
        }
    }
    optional_fields(event, &["text", "postback"], |_, _| Ok(()))
}

fn file(state: &State, now: Timestamp, event: &Params<'_>) -> Result<Map<String, Value>, Error> {
    let url = event.text("url")?;
    let path = url.split_once("/api/file/").map(|(_host, path)| path).unwrap_or_default();
    let file = state.files.get(path).filter(|file| file.expires_at.is_none_or(|expires_at| now < expires_at));
    let file = file.filter(|_| url.starts_with(&state.cdn_url));
    let file = file.ok_or_else(|| Error::validation("`url` must come from upload_file"))?;
    let mut content = optional_fields(event, &["url", "alternative_text"], Params::optional_text)?;
    content.insert("name".to_owned(), json!(file.name));
    content.insert("content_type".to_owned(), json!(file.content_type));
    if file.content_type.starts_with("image/") {
        content.insert("size".to_owned(), json!(file.bytes.len()));
        content.insert("thumbnail_url".to_owned(), json!(url));
        content.insert("thumbnail2x_url".to_owned(), json!(url));
    }
    Ok(content)
}

fn rich_message(event: &Params<'_>) -> Result<Map<String, Value>, Error> {
    event.required("template_id")?;
    event.choice("template_id", &["cards", "sticker", "quick_replies", "ecommerce"])?;
    let elements = event.objects("elements")?;
    if elements.len() > MAX_ELEMENTS {
        return Err(Error::validation("`elements` may hold 10 at most"));
    }
    for element in &elements {
        element.optional_text("title")?;
        element.optional_text("subtitle")?;
        if let Some(image) = element.optional_object("image")? {
            image.text("url")?;
        }
        let buttons = element.objects("buttons")?;
        if buttons.len() > MAX_BUTTONS {
            return Err(Error::validation("`buttons` may hold 13 at most"));
        }
        buttons.iter().try_for_each(check_button)?;
    }
    optional_fields(event, &["template_id", "elements"], |_, _| Ok(()))
}

fn check_button(button: &Params<'_>) -> Result<(), Error> {
    for name in ["text", "type", "value", "postback_id"] {
        button.text(name)?;
    }
    button.required("user_ids")?;
    button.texts("user_ids")?;
    let kind = button.choice("type", &["webview", "message", "url", "phone"])?;
    if button.choice("webview_height", &["compact", "tall", "full"])?.is_some() && kind != Some("webview") {
        return Err(Error::validation("`webview_height` is for buttons of type `webview` only"));
    }
    button.choice("target", &["new", "current"])?;
    Ok(())
}

impl State {
    /// Adds an event to the active thread; with `attach_to_last_thread`, to the last one even if it is closed.
    pub(crate) fn send_event(
        &mut self,
        step: &mut Step,
        requester: &Requester,
        chat_id: &str,
        draft: Draft,
        attach_to_last_thread: bool,
    ) -> Result<String, Error> {
        let chat = self.visible_chat(requester, chat_id)?;
        if chat.active_thread().is_none() && !attach_to_last_thread {
            return Err(if self.is_turned(Turned::ClosedSend) { Kind::Validation } else { Kind::ChatInactive }.into());
        }
        let known = chat.active_thread().and_then(|thread| {
            let same = |event: &&Event| draft.custom_id.is_some() && event.custom_id == draft.custom_id;
            thread.events.iter().find(same).map(|event| event.id.clone())
        });
        if let Some(id) = known.filter(|_| self.is_turned(Turned::CustomId)) {
            return Ok(id);
        }
        if let Requester::Agent(id) = requester {
            let refusal = || match self.is_turned(Turned::Outsider) {
                true => Error::validation("Requester is not user of the chat"),
                false => Error::not_in_chat(),
            };
            let member = chat.present(id).ok_or_else(refusal)?;
            if member.visibility == Visibility::Agents && draft.visibility == Visibility::All {
                return Err(Error::validation("Requester is visible to agents only and cannot write to everybody"));
            }
        }
        let event = self.append(step, chat_id, requester.author(), draft)?;
        Ok(event.id)
    }

    /// Adds an event of the system to the last thread.
    pub(crate) fn add_system_message(
        &mut self,
        step: &mut Step,
        chat_id: &str,
        kind: &str,
        text: &str,
    ) -> Result<(), Error> {
        let mut content = Map::new();
        content.insert("system_message_type".to_owned(), json!(kind));
        content.insert("text".to_owned(), json!(text));
        let draft = Draft {
            kind: "system_message".to_owned(),
            visibility: Visibility::All,
            custom_id: None,
            properties: Properties::new(),
            content,
        };
        self.append(step, chat_id, Author::System, draft).map(|_event| ())
    }

    /// Adds a `system` event, which agents see and customers do not, to the last thread.
    pub(crate) fn add_system_event(
        &mut self,
        step: &mut Step,
        chat_id: &str,
        author: Author,
        (source, subtype, version): (&str, &str, u32),
        details: &Value,
    ) -> Result<String, Error> {
        let content = json!({"source": source, "subtype": subtype, "version": version, "details": details.to_string()});
        let draft = Draft {
            kind: "system".to_owned(),
            visibility: Visibility::Agents,
            custom_id: None,
            properties: Properties::new(),
            content: content.as_object().cloned().unwrap_or_default(),
        };
        self.append(step, chat_id, author, draft).map(|event| event.id)
    }

    fn append(&mut self, step: &mut Step, chat_id: &str, author: Author, draft: Draft) -> Result<Event, Error> {
        let (thread_id, event) = self.store(step, chat_id, author, draft)?;
        let payload =
            json!({"chat_id": chat_id, "thread_id": thread_id, "event": view::event(&event, Audience::Agents)});
        self.announce(step, chat_id, "incoming_event", Some(&event.author), payload);
        Ok(event)
    }

    /// Puts an event into the last thread without sending webhooks.
    pub(super) fn store(
        &mut self,
        step: &mut Step,
        chat_id: &str,
        author: Author,
        draft: Draft,
    ) -> Result<(String, Event), Error> {
        let created_at = self.moment(step.now);
        self.keep_file(&draft);
        let chat = self.chat_mut(chat_id)?;
        if let Some(user) = chat.users.iter_mut().find(|user| Some(user.id.as_str()) == author.id()) {
            user.seen_up_to = created_at;
        }
        let thread = chat.threads.last_mut().ok_or(Kind::ChatInactive)?;
        let event = number(thread, created_at, author, draft);
        let (thread_id, mut detail) = (thread.id.clone(), journal_detail(chat_id, &thread.id, &event));
        if let (Some(file), Some(detail)) = (self.file_of(&event), detail.as_object_mut()) {
            detail.insert("file".to_owned(), upload::described(file));
        }
        step.note("event_sent", detail);
        Ok((thread_id, event))
    }

    /// Keeps a file that an event carries permanently.
    fn keep_file(&mut self, draft: &Draft) {
        if let Some(file) = path_of(&draft.content).and_then(|path| self.files.get_mut(path)) {
            file.expires_at = None;
        }
    }

    /// The file that an event carries.
    fn file_of(&self, event: &Event) -> Option<&File> {
        path_of(&event.content).and_then(|path| self.files.get(path))
    }

    /// Changes the text of a message, as the agent app allows.
    pub(crate) fn edit_event(
        &mut self,
        step: &mut Step,
        chat_id: &str,
        event_id: &str,
        text: &str,
    ) -> Result<(), Error> {
        let thread_id = thread_of(event_id);
        let event = self.chat_mut(chat_id)?.event_mut(thread_id, event_id).ok_or(Kind::NotFound)?;
        event.content.insert("text".to_owned(), json!(text));
        let event = event.clone();
        step.note("event_updated", journal_detail(chat_id, thread_id, &event));
        let payload =
            json!({"chat_id": chat_id, "thread_id": thread_id, "event": view::event(&event, Audience::Agents)});
        self.announce(step, chat_id, "event_updated", Some(&event.author), payload);
        Ok(())
    }

    /// Marks an event as deleted.
    pub(crate) fn delete_event(
        &mut self,
        step: &mut Step,
        requester: &Requester,
        chat_id: &str,
        thread_id: &str,
        event_id: &str,
    ) -> Result<(), Error> {
        self.visible_chat(requester, chat_id)?;
        let event = self.chat_mut(chat_id)?.event_mut(thread_id, event_id).ok_or(Kind::NotFound)?;
        if !requester.is_agent() && event.author.id() != Some(requester.id()) {
            return Err(Kind::Authorization.into());
        }
        event.deleted = true;
        let ids = json!({"chat_id": chat_id, "thread_id": thread_id, "event_id": event_id});
        step.note("event_deleted", ids.clone());
        self.announce(step, chat_id, "event_deleted", None, ids);
        Ok(())
    }
}

/// The part of a file's address under which it is stored.
fn path_of(content: &Map<String, Value>) -> Option<&str> {
    let url = content.get("url").and_then(Value::as_str)?;
    url.split_once("/api/file/").map(|(_host, path)| path)
}

/// The thread id that precedes an event id.
pub(crate) fn thread_of(event_id: &str) -> &str {
    event_id.split_once('_').map_or(event_id, |(thread_id, _number)| thread_id)
}

fn number(thread: &mut Thread, created_at: Timestamp, author: Author, draft: Draft) -> Event {
    let event = Event {
        id: format!("{}_{}", thread.id, thread.events.len() + 1),
        kind: draft.kind,
        author,
        visibility: draft.visibility,
        created_at,
        custom_id: draft.custom_id,
        properties: draft.properties,
        deleted: false,
        content: draft.content,
    };
    thread.events.push(event.clone());
    event
}

fn journal_detail(chat_id: &str, thread_id: &str, event: &Event) -> Value {
    json!({
        "chat_id": chat_id,
        "thread_id": thread_id,
        "event_id": event.id,
        "author_id": event.author.id(),
        "author_type": event.author.kind(),
        "visibility": event.visibility.name(),
        "custom_id": event.custom_id,
        "type": event.kind,
        "text": event.content.get("text"),
        "url": event.content.get("url"),
        "name": event.content.get("name"),
        "elements": event.content.get("elements"),
        "alternative_text": event.content.get("alternative_text"),
        "properties": event.properties,
        "system_message_type": event.content.get("system_message_type"),
    })
}
