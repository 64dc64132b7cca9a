//! Webhook registrations: which actions exist, which registrations an occurrence concerns, and the envelope of a delivery.

use serde_json::{Map, Value, json};

use super::super::errors::{Error, Kind};
use super::super::ids;
use super::super::params::Params;
use super::view;
use super::{Author, Chat, Properties, Source, Step};

const MAX_PER_ACTION: usize = 3;
const MAX_URL_CHARS: usize = 500;

const CHAT_FILTERS: &[&str] = &["only_my_chats", "chat_presence", "source_type"];
const EVENT_FILTERS: &[&str] = &["author_type", "only_my_chats", "chat_presence", "source_type"];
const STATUS_FILTERS: &[&str] = &["agent_ids", "source_type"];
const PLAIN_FILTERS: &[&str] = &["source_type"];
const CHAT_EXTRAS: &[&str] = &["chat_properties", "chat_presence_user_ids"];

/// Each action with its filters and its additional data. Actions that this simulator never sends can also be registered.
const ACTIONS: &[(&str, &[&str], &[&str])] = &[
    ("incoming_chat", CHAT_FILTERS, CHAT_EXTRAS),
    ("chat_deactivated", CHAT_FILTERS, CHAT_EXTRAS),
    ("chat_access_updated", CHAT_FILTERS, CHAT_EXTRAS),
    ("chat_transferred", CHAT_FILTERS, CHAT_EXTRAS),
    ("user_added_to_chat", CHAT_FILTERS, CHAT_EXTRAS),
    ("user_removed_from_chat", CHAT_FILTERS, CHAT_EXTRAS),
    ("incoming_event", EVENT_FILTERS, CHAT_EXTRAS),
    ("event_updated", EVENT_FILTERS, CHAT_EXTRAS),
    ("event_deleted", CHAT_FILTERS, CHAT_EXTRAS),
    ("incoming_rich_message_postback", CHAT_FILTERS, CHAT_EXTRAS),
    ("chat_properties_updated", CHAT_FILTERS, CHAT_EXTRAS),
    ("chat_properties_deleted", CHAT_FILTERS, CHAT_EXTRAS),
    ("thread_properties_updated", CHAT_FILTERS, CHAT_EXTRAS),
    ("thread_properties_deleted", CHAT_FILTERS, CHAT_EXTRAS),
    ("event_properties_updated", CHAT_FILTERS, CHAT_EXTRAS),
    ("event_properties_deleted", CHAT_FILTERS, CHAT_EXTRAS),
    ("thread_tagged", CHAT_FILTERS, CHAT_EXTRAS),
    ("thread_untagged", CHAT_FILTERS, CHAT_EXTRAS),
    ("events_marked_as_seen", CHAT_FILTERS, CHAT_EXTRAS),
    ("thread_summary_set", CHAT_FILTERS, CHAT_EXTRAS),
    ("customer_session_fields_updated", &["chat_presence", "source_type"], CHAT_EXTRAS),
    ("routing_status_set", STATUS_FILTERS, &[]),
    ("agent_created", PLAIN_FILTERS, &[]),
    ("agent_updated", PLAIN_FILTERS, &[]),
    ("agent_deleted", PLAIN_FILTERS, &[]),
    ("agent_suspended", PLAIN_FILTERS, &[]),
    ("agent_unsuspended", PLAIN_FILTERS, &[]),
    ("agent_approved", PLAIN_FILTERS, &[]),
    ("bot_created", PLAIN_FILTERS, &[]),
    ("bot_updated", PLAIN_FILTERS, &[]),
    ("bot_deleted", PLAIN_FILTERS, &[]),
    ("group_created", PLAIN_FILTERS, &[]),
    ("group_updated", PLAIN_FILTERS, &[]),
    ("group_deleted", PLAIN_FILTERS, &[]),
    ("tag_created", PLAIN_FILTERS, &[]),
    ("tag_updated", PLAIN_FILTERS, &[]),
    ("tag_deleted", PLAIN_FILTERS, &[]),
    ("auto_accesses_updated", PLAIN_FILTERS, &[]),
];

/// The answer to `list_webhook_names`.
pub(crate) fn names(without_author_filter: bool) -> Value {
    let entry = |(action, filters, extras): &(&str, &[&str], &[&str])| {
        let is_offered = |filter: &&&str| **filter != "author_type" || !without_author_filter;
        let filters: Vec<_> = filters.iter().filter(is_offered).collect();
        if extras.is_empty() {
            json!({"action": action, "filters": filters})
        } else {
            json!({"action": action, "filters": filters, "additional_data": extras})
        }
    };
    ACTIONS.iter().map(entry).collect()
}

/// An occurrence as webhooks report it.
#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    pub action: &'static str,
    payload: Value,
    chat: Option<ChatFacts>,
    author_type: Option<&'static str>,
    source: Source,
}

/// The facts about the chat at that moment that filters and `additional_data` need.
#[derive(Clone, Debug)]
struct ChatFacts {
    client_id: Option<String>,
    properties: Properties,
    present: Vec<String>,
}

impl Webhook {
    /// An occurrence outside of chats.
    pub(crate) fn plain(action: &'static str, payload: Value, step: &Step) -> Self {
        Self { action, payload, chat: None, author_type: None, source: step.source.clone() }
    }

    pub(crate) fn of_chat(
        chat: &Chat,
        action: &'static str,
        author: Option<&Author>,
        payload: Value,
        step: &Step,
    ) -> Self {
        let facts = ChatFacts {
            client_id: chat.client_id().map(str::to_owned),
            properties: chat.properties.clone(),
            present: view::present_ids(chat),
        };
        let author_type = author.and_then(view::author_type);
        Self { action, payload, chat: Some(facts), author_type, source: step.source.clone() }
    }
}

/// One registered webhook.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    pub id: String,
    pub url: String,
    action: String,
    secret_key: String,
    owner_client_id: String,
    description: Option<String>,
    /// `bot` webhooks are sent only while a bot of the client is not offline, and this organization has no bots.
    kind: String,
    additional_data: Vec<String>,
    filters: Map<String, Value>,
}

impl Registration {
    /// Checks the parameters of `register_webhook`.
    pub(crate) fn read(params: &Params<'_>, client_id: &str) -> Result<Self, Error> {
        let action = params.text("action")?;
        let known = ACTIONS.iter().find(|(name, _, _)| *name == action);
        let (_, filters, extras) = known.ok_or_else(|| Error::validation(format!("`action` {action} is not known")))?;
        let url = params.text("url")?;
        if url.chars().count() > MAX_URL_CHARS || !(url.starts_with("https://") || url.starts_with("http://")) {
            return Err(Error::validation("`url` must be a URL of at most 500 characters"));
        }
        params.text("type")?;
        let kind = params.choice("type", &["license", "bot"])?.unwrap_or_default();
        let additional_data = params.texts("additional_data")?.unwrap_or_default();
        if let Some(extra) = additional_data.iter().find(|extra| !extras.contains(&extra.as_str())) {
            return Err(Error::validation(format!("`additional_data` {extra} is not available for {action}")));
        }
        let registration = Self {
            id: ids::hex(),
            url: url.to_owned(),
            action: action.to_owned(),
            secret_key: params.text("secret_key")?.to_owned(),
            owner_client_id: params.text("owner_client_id")?.to_owned(),
            description: params.optional_text("description")?.map(str::to_owned),
            kind: kind.to_owned(),
            additional_data,
            filters: read_filters(params, action, filters)?,
        };
        check_owner(&registration.owner_client_id, client_id)?;
        Ok(registration)
    }

    /// A registration as in the developer console: for the licence, without filters.
    pub(crate) fn plain(action: &str, url: &str, secret_key: &str, client_id: &str) -> Self {
        Self {
            id: ids::hex(),
            url: url.to_owned(),
            action: action.to_owned(),
            secret_key: secret_key.to_owned(),
            owner_client_id: client_id.to_owned(),
            description: None,
            kind: "license".to_owned(),
            additional_data: Vec::new(),
            filters: Map::new(),
        }
    }

    pub(crate) fn journal_detail(&self) -> Value {
        json!({
            "id": self.id, "action": self.action, "url": self.url, "owner_client_id": self.owner_client_id,
            "type": self.kind, "filters": self.filters,
        })
    }

    fn view(&self) -> Value {
        let mut fields = Map::new();
        for (name, value) in [
            ("id", &self.id),
            ("url", &self.url),
            ("action", &self.action),
            ("owner_client_id", &self.owner_client_id),
            ("type", &self.kind),
        ] {
            fields.insert(name.to_owned(), json!(value));
        }
        fields.insert("description".to_owned(), json!(self.description.as_deref().unwrap_or_default()));
        if !self.filters.is_empty() {
            fields.insert("filters".to_owned(), self.filters.clone().into());
        }
        if !self.additional_data.is_empty() {
            fields.insert("additional_data".to_owned(), json!(self.additional_data));
        }
        fields.into()
    }

    /// Returns whether this registration receives `webhook`.
    fn concerns(&self, webhook: &Webhook) -> bool {
        self.action == webhook.action
            && self.kind == "license"
            && self.filters.iter().all(|(name, wanted)| self.passes(webhook, name, wanted))
    }

    fn passes(&self, webhook: &Webhook, name: &str, wanted: &Value) -> bool {
        let owner = self.owner_client_id.as_str();
        match name {
            "author_type" => webhook.author_type == wanted.as_str(),
            "only_my_chats" => {
                let client_id = webhook.chat.as_ref().and_then(|chat| chat.client_id.as_deref());
                wanted != true || client_id == Some(owner)
            }
            "source_type" => {
                let source = match &webhook.source {
                    Source::Client(id) if id == owner => "my_client",
                    Source::Client(_) | Source::Unnamed => "other_clients",
                    Source::System => "system",
                };
                contains(Some(wanted), source)
            }
            "agent_ids" => {
                webhook.payload.get("agent_id").and_then(Value::as_str).is_some_and(|id| contains(Some(wanted), id))
            }
            "chat_presence" => {
                let present = webhook.chat.as_ref().map(|chat| chat.present.as_slice()).unwrap_or_default();
                is_presence_met(wanted, present)
            }
            _ => true,
        }
    }

    /// The body of a delivery.
    fn envelope(&self, webhook: &Webhook, organization_id: &str) -> Value {
        let mut additional = Map::new();
        for extra in &self.additional_data {
            let value = webhook.chat.as_ref().map(|chat| match extra.as_str() {
                "chat_properties" => json!(chat.properties),
                _ => json!(chat.present),
            });
            additional.extend(value.map(|value| (extra.clone(), value)));
        }
        json!({
            "webhook_id": self.id,
            "secret_key": self.secret_key,
            "action": self.action,
            "organization_id": organization_id,
            "payload": webhook.payload,
            "additional_data": additional,
        })
    }
}

fn is_presence_met(wanted: &Value, present: &[String]) -> bool {
    let listed = |list: &str| {
        let ids = wanted.pointer(&format!("/user_ids/{list}"))?;
        Some(present.iter().any(|id| contains(Some(ids), id)))
    };
    // No chat of this organization ever contains a bot.
    let bots = wanted.get("my_bots").and_then(Value::as_bool) == Some(true);
    listed("values").unwrap_or(true) && !listed("exclude_values").unwrap_or(false) && !bots
}

fn contains(list: Option<&Value>, text: &str) -> bool {
    list.and_then(Value::as_array).is_some_and(|items| items.iter().any(|item| item == text))
}

fn read_filters(params: &Params<'_>, action: &str, allowed: &[&str]) -> Result<Map<String, Value>, Error> {
    let Some(filters) = params.optional_object("filters")? else { return Ok(Map::new()) };
    if let Some(name) = filters.fields().keys().find(|name| !allowed.contains(&name.as_str())) {
        return Err(Error::validation(format!("`filters.{name}` is not available for {action}")));
    }
    filters.choice("author_type", &["customer", "agent"])?;
    filters.flag("only_my_chats")?;
    filters.texts("agent_ids")?;
    if let Some(presence) = filters.optional_object("chat_presence")? {
        presence.flag("my_bots")?;
        if let Some(users) = presence.optional_object("user_ids")? {
            users.texts("values")?;
            users.texts("exclude_values")?;
        }
    }
    let sources = filters.texts("source_type")?.unwrap_or_default();
    if let Some(source) = sources.iter().find(|name| !["my_client", "other_clients", "system"].contains(&name.as_str()))
    {
        return Err(Error::validation(format!("`filters.source_type` {source} is not known")));
    }
    Ok(filters.fields().clone())
}

/// Checks that `owner_client_id` is the only app of this organization.
pub(crate) fn check_owner(owner_client_id: &str, client_id: &str) -> Result<(), Error> {
    if owner_client_id == client_id {
        return Ok(());
    }
    Err(Error::validation("`owner_client_id` is not a client id of your organization"))
}

/// A body to be sent to a URL.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub action: &'static str,
    pub url: String,
    pub body: Value,
}

/// All registrations of the organization.
#[derive(Debug)]
pub(crate) struct Registrations {
    list: Vec<Registration>,
    pub enabled: bool,
}

/// No registrations; sending is enabled, as after the app's installation.
impl Default for Registrations {
    fn default() -> Self {
        Self { list: Vec::new(), enabled: true }
    }
}

impl Registrations {
    pub(crate) fn add(&mut self, registration: Registration) -> Result<String, Error> {
        let same = self.list.iter().filter(|other| {
            other.action == registration.action && other.owner_client_id == registration.owner_client_id
        });
        if same.count() >= MAX_PER_ACTION {
            return Err(Kind::LimitReached.into());
        }
        let id = registration.id.clone();
        self.list.push(registration);
        Ok(id)
    }

    pub(crate) fn remove(&mut self, id: &str, owner_client_id: &str) -> Result<(), Error> {
        let before = self.list.len();
        self.list.retain(|one| one.id != id || one.owner_client_id != owner_client_id);
        if self.list.len() == before { Err(Kind::NotFound.into()) } else { Ok(()) }
    }

    pub(crate) fn view(&self, owner_client_id: &str) -> Value {
        self.list.iter().filter(|one| one.owner_client_id == owner_client_id).map(Registration::view).collect()
    }

    /// The deliveries that `webhook` causes.
    pub(crate) fn letters(&self, webhook: &Webhook, organization_id: &str) -> Vec<Letter> {
        let concerned = self.list.iter().filter(|one| self.enabled && one.concerns(webhook));
        let letter = |one: &Registration| Letter {
            action: webhook.action,
            url: one.url.clone(),
            body: one.envelope(webhook, organization_id),
        };
        concerned.map(letter).collect()
    }
}
