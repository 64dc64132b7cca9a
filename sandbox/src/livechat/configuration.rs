//! The part of the Configuration API with which an integration sets itself up.

use serde_json::{Map, Value, json};

use super::Turned;
use super::account::Group;
use super::errors::{Error, Kind};
use super::params::Params;
use super::state::webhooks::{self, Registration, check_owner};
use super::state::{State, Step};

/// Answers an action of `/v3.6/configuration/action/`.
pub(crate) fn answer(state: &mut State, step: &mut Step, action: &str, params: &Params<'_>) -> Result<Value, Error> {
    match action {
        "register_webhook" => {
            let registration = Registration::read(params, &state.account.client_id)?;
            Ok(json!({"id": state.register(step, registration)?}))
        }
        "list_webhooks" => Ok(state.registrations.view(owner(state, params)?)),
        "unregister_webhook" => {
            let (id, owner_client_id) = (params.text("id")?, params.text("owner_client_id")?);
            check_owner(owner_client_id, &state.account.client_id)?;
            state.registrations.remove(id, owner_client_id)?;
            step.note("webhook_unregistered", json!({"id": id}));
            Ok(json!({}))
        }
        "list_webhook_names" => Ok(webhooks::names(state.is_turned(Turned::AuthorFilter))),
        "enable_license_webhooks" | "disable_license_webhooks" => {
            owner(state, params)?;
            state.registrations.enabled = action == "enable_license_webhooks";
            step.note("webhooks_enabled", json!({"enabled": state.registrations.enabled}));
            Ok(json!({}))
        }
        "get_license_webhooks_state" => {
            owner(state, params)?;
            Ok(json!({"license_webhooks_enabled": state.registrations.enabled}))
        }
        "list_groups" => {
            let fields = fields(params, &["agent_priorities", "routing_status"])?;
            Ok(state.account.groups.iter().map(|group| group_view(group, &fields)).collect())
        }
        "get_group" => get_group(state, params),
        "list_agents" => list_agents(state, params),
        "get_agent" => {
            let agent = state.account.agent(params.text("id")?).ok_or(Kind::NotFound)?;
            Ok(agent_view(state, agent, &fields(params, AGENT_FIELDS)?))
        }
        "list_tags" | "create_tag" => tags(state, step, action, params),
        "list_license_properties" => license_properties(params, |name, prefix| name.starts_with(prefix), "name_prefix"),
        "register_property" | "publish_property" | "unregister_property" | "list_properties" => {
            own_properties(state, action, params)
        }
        "list_channels" => Ok(json!([{
            "channel_type": "code", "channel_subtype": "", "first_activity_timestamp": "2026-01-02T03:04:05.000000Z",
        }])),
        _ => Err(Kind::NotFound.into()),
    }
}

/// With a personal access token the client id must be given.
fn owner<'a>(state: &State, params: &Params<'a>) -> Result<&'a str, Error> {
    let owner_client_id = params.text("owner_client_id")?;
    check_owner(owner_client_id, &state.account.client_id)?;
    Ok(owner_client_id)
}

const AGENT_FIELDS: &[&str] = &[
    "groups",
    "work_scheduler",
    "email_subscriptions",
    "notifications",
    "job_title",
    "mobile",
    "max_chats_count",
    "suspended",
    "awaiting_approval",
    "last_logout",
];

fn fields(params: &Params<'_>, allowed: &[&str]) -> Result<Vec<String>, Error> {
    let fields = params.texts("fields")?.unwrap_or_default();
    match fields.iter().find(|field| !allowed.contains(&field.as_str())) {
        Some(field) => Err(Error::validation(format!("`fields` {field} is not known"))),
        None => Ok(fields),
    }
}

fn get_group(state: &State, params: &Params<'_>) -> Result<Value, Error> {
    params.required("id")?;
    let id = params.integer("id")?.and_then(|id| u32::try_from(id).ok());
    let group = id.and_then(|id| state.account.group(id)).ok_or(Kind::GroupNotFound)?;
    Ok(group_view(group, &fields(params, &["agent_priorities", "routing_status"])?))
}

fn group_view(group: &Group, fields: &[String]) -> Value {
    let mut view = Map::new();
    view.insert("id".to_owned(), json!(group.id));
    view.insert("name".to_owned(), json!(group.name));
    view.insert("language_code".to_owned(), json!("en"));
    for field in fields {
        let value = match field.as_str() {
            "routing_status" => json!(group.status.routing_status()),
            _ => group.agent_ids.iter().map(|id| (id.clone(), json!("normal"))).collect::<Map<_, _>>().into(),
        };
        view.insert(field.clone(), value);
    }
    view.into()
}

fn list_agents(state: &State, params: &Params<'_>) -> Result<Value, Error> {
    let fields = fields(params, AGENT_FIELDS)?;
    let filters = params.optional_object("filters")?;
    let group_ids = filters.as_ref().map(|filters| filters.group_ids("group_ids")).transpose()?.flatten();
    let suspended = filters.as_ref().map(|filters| filters.flag("suspended")).transpose()?.flatten();
    let is_member = |id: &String| {
        let Some(group_ids) = &group_ids else { return true };
        let groups = state.account.groups.iter().filter(|group| group_ids.contains(&group.id));
        groups.into_iter().any(|group| group.agent_ids.contains(id))
    };
    let agents = state.account.agents.iter().filter(|agent| suspended != Some(true) && is_member(&agent.id));
    Ok(agents.map(|agent| agent_view(state, agent, &fields)).collect())
}

fn agent_view(state: &State, agent: &super::Agent, fields: &[String]) -> Value {
    let mut view = state.account.agent_view(agent);
    if let Some(view) = view.as_object_mut() {
        // Spelled with spaces here, unlike in the chat API.
        view.insert("login_status".to_owned(), json!(state.agent_status(&agent.id).name().replace('_', " ")));
        for field in fields {
            let value = match field.as_str() {
                "groups" => {
                    let groups = state.account.groups.iter().filter(|group| group.agent_ids.contains(&agent.id));
                    groups.map(|group| json!({"id": group.id, "priority": "normal"})).collect()
                }
                "max_chats_count" => json!(6),
                "work_scheduler" => match state.work_schedules.get(&agent.id) {
                    Some(schedule) => schedule.clone(),
                    None => continue,
                },
                "suspended" | "awaiting_approval" => json!(false),
                _ => continue,
            };
            view.insert(field.clone(), value);
        }
    }
    view
}

fn tags(state: &mut State, step: &Step, action: &str, params: &Params<'_>) -> Result<Value, Error> {
    if action == "list_tags" {
        let filters = params.optional_object("filters")?;
        let wanted = filters.map(|filters| filters.group_ids("group_ids")).transpose()?.flatten();
        let shares = |tag: &&Value| {
            let groups = tag.get("group_ids").and_then(Value::as_array);
            wanted
                .as_ref()
                .is_none_or(|ids| groups.is_some_and(|groups| groups.iter().any(|id| ids.iter().any(|one| id == one))))
        };
        return Ok(state.tags.iter().filter(shares).cloned().collect());
    }
    let name = params.text("name")?;
    let group_ids = params.group_ids("group_ids")?.ok_or_else(|| Error::validation("`group_ids` is required"))?;
    if state.tags.iter().any(|tag| tag.get("name").is_some_and(|other| other == name)) {
        return Err(Kind::AlreadyExists.into());
    }
    let author_id = &state.account.agent_token_owner;
    let tag = json!({"name": name, "group_ids": group_ids, "author_id": author_id, "created_at": step.now});
    state.tags.push(tag);
    Ok(json!({}))
}

/// The timers that govern a chat, in minutes, with the vendor's usual values.
pub(crate) fn license_properties(
    params: &Params<'_>,
    fits: impl Fn(&str, &str) -> bool,
    name_parameter: &str,
) -> Result<Value, Error> {
    let timers = [
        ("chat_inactive_after_min", 15),
        ("archive_chat_after_min", 30),
        ("archive_offline_chat_after_min", 120),
        ("transfer_chat_after_min", 0),
        ("customer_timeout_after_min", 2),
    ];
    let namespace = params.optional_text("namespace")?;
    let asked = params.optional_text(name_parameter)?.filter(|asked| !asked.is_empty());
    if namespace.is_some_and(|namespace| !namespace.is_empty() && namespace != "chats") {
        return Ok(json!({}));
    }
    let shown = timers.into_iter().filter(|(name, _)| asked.is_none_or(|asked| fits(name, asked)));
    let shown: Map<_, _> = shown.map(|(name, minutes)| (name.to_owned(), json!(minutes))).collect();
    Ok(json!({"chats": shown}))
}

/// Private properties of the app; they must be registered before they are written.
fn own_properties(state: &mut State, action: &str, params: &Params<'_>) -> Result<Value, Error> {
    owner(state, params)?;
    if action == "list_properties" {
        return Ok(json!(state.registered_properties));
    }
    let name = params.text("name")?;
    match action {
        "register_property" => {
            params.text("type")?;
            params.choice("type", &["int", "bool", "string", "tokenized_string"])?;
            if state.registered_properties.contains_key(name) {
                return Err(Kind::AlreadyExists.into());
            }
            let mut property = params.fields().clone();
            property.retain(|field, _value| !["name", "owner_client_id"].contains(&field.as_str()));
            state.registered_properties.insert(name.to_owned(), property.into());
        }
        "unregister_property" => {
            state.registered_properties.remove(name).ok_or(Kind::NotFound)?;
        }
        _ => {
            state.registered_properties.get(name).ok_or(Kind::NotFound)?;
        }
    }
    Ok(json!({}))
}

impl State {
    /// Adds a webhook registration.
    pub(crate) fn register(&mut self, step: &mut Step, registration: Registration) -> Result<String, Error> {
        let detail = registration.journal_detail();
        let id = self.registrations.add(registration)?;
        step.note("webhook_registered", detail);
        Ok(id)
    }
}
