//! The organization that the simulator represents: its app, its people, its groups.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// One LiveChat organization with one app.
#[derive(Clone, Debug)]
pub struct Account {
    /// UUID of the organization, mandatory in every customer call.
    pub organization_id: String,
    /// Id of the service's app, 32 hex digits.
    pub client_id: String,
    /// The app's redirect whitelist: scheme, host and port must match exactly, the path is a prefix.
    pub redirect_uri: String,
    /// The part after `Basic ` for the personal access token: base64 of `<account id>:<token>`.
    pub agent_token: String,
    /// E-mail address of the agent who created the personal access token; calls with the token act as this agent.
    pub agent_token_owner: String,
    /// An agent's OAuth access token with the scope `customers:own`, for `grant_type=agent_token`.
    pub oauth_token: String,
    /// The agents.
    pub agents: Vec<Agent>,
    /// The groups, with their members.
    pub groups: Vec<Group>,
}

/// An agent.
#[derive(Clone, Debug)]
pub struct Agent {
    /// E-mail address: the id in webhooks and in the agent and configuration APIs.
    pub id: String,
    /// The name that customers see.
    pub name: String,
    /// URL of the picture.
    pub avatar: String,
}

impl Agent {
    fn new(id: &str, name: &str) -> Self {
        let picture = name.to_lowercase();
        Self { id: id.to_owned(), name: name.to_owned(), avatar: format!("https://cdn.example.com/{picture}.png") }
    }
}

/// A group of agents.
#[derive(Clone, Debug)]
pub struct Group {
    /// `0` is the general group.
    pub id: u32,
    /// Display name.
    pub name: String,
    /// Whether it can take chats.
    pub status: GroupStatus,
    /// E-mail addresses of the members; the router asks them in this order.
    pub agent_ids: Vec<String>,
}

/// Whether a group can take chats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupStatus {
    /// An agent can answer at once.
    Online,
    /// All agents are busy: chats start, and wait in the queue.
    OnlineForQueue,
    /// No agent is online: only continuous chats start.
    Offline,
}

impl GroupStatus {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::OnlineForQueue => "online_for_queue",
            Self::Offline => "offline",
        }
    }

    pub(crate) const fn routing_status(self) -> &'static str {
        match self {
            Self::Online => "accepting_chats",
            Self::OnlineForQueue => "not_accepting_chats",
            Self::Offline => "offline",
        }
    }
}

impl Account {
    pub(crate) fn agent(&self, id: &str) -> Option<&Agent> {
        self.agents.iter().find(|agent| agent.id == id)
    }

    pub(crate) fn group(&self, id: u32) -> Option<&Group> {
        self.groups.iter().find(|group| group.id == id)
    }

    /// Returns whether an agent may work in chats of these groups: an administrator, a member, or any agent in the general group.
    pub(crate) fn has_access(&self, agent_id: &str, group_ids: &[u32]) -> bool {
        let is_member = |group: &Group| group.agent_ids.iter().any(|id| id == agent_id);
        let is_open = group_ids.contains(&0) || agent_id == self.agent_token_owner;
        is_open || group_ids.iter().filter_map(|id| self.group(*id)).any(is_member)
    }

    /// The account id before the personal access token, if the token has the documented form.
    pub(crate) fn agent_account_id(&self) -> Option<String> {
        let decoded = String::from_utf8(STANDARD.decode(&self.agent_token).ok()?).ok()?;
        decoded.split_once(':').map(|(account_id, _token)| account_id.to_owned())
    }

    /// The configuration API's view of an agent; the token's owner is recognised by the account id.
    pub(crate) fn agent_view(&self, agent: &Agent) -> Value {
        let own = (agent.id == self.agent_token_owner).then(|| self.agent_account_id()).flatten();
        let account_id = own.unwrap_or_else(|| super::ids::uuid_of(&agent.id));
        let role = if agent.id == self.agent_token_owner { "administrator" } else { "normal" };
        json!({"id": agent.id, "account_id": account_id, "name": agent.name, "role": role, "avatar": agent.avatar})
    }
}

/// Two groups online (0 and 1), one offline (2); Anna and Ben answer, Clara owns the agent token.
impl Default for Account {
    fn default() -> Self {
        let everybody = ["anna@example.com", "ben@example.com"];
        let group = |id: u32, name: &str, status, members: &[&str]| Group {
            id,
            name: name.to_owned(),
            status,
            agent_ids: members.iter().map(|id| (*id).to_owned()).collect(),
        };
        Self {
            organization_id: "390e44e6-f1e6-4f3e-9c5b-1d2f3a4b5c6d".to_owned(),
            client_id: "c0ffee00c0ffee00c0ffee00c0ffee00".to_owned(),
            redirect_uri: "https://handoff.example.com".to_owned(),
            agent_token: STANDARD.encode("0f3b6c1e-4f0a-4a53-8f57-2f1f6a1b7c9d:dal:sandbox-personal-access-token"),
            agent_token_owner: "clara@example.com".to_owned(),
            oauth_token: "dal:sandbox-agent-oauth-token".to_owned(),
            agents: vec![
                Agent::new("anna@example.com", "Anna"),
                Agent::new("ben@example.com", "Ben"),
                Agent::new("clara@example.com", "Clara"),
            ],
            groups: vec![
                group(0, "General", GroupStatus::Online, &everybody),
                group(1, "Support", GroupStatus::Online, &everybody),
                group(2, "Night shift", GroupStatus::Offline, &["ben@example.com"]),
            ],
        }
    }
}
