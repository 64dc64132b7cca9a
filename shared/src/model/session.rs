//! A session, the platform and the thread that belong to it, and the pointers that lead to it.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::{
    AgentId, BotId, BotcopyBotId, BotcopyUserId, ChatId, ConversationId, CustomerId, GroupId, InstallId,
    IntegrationAlias, IntegrationId, SessionId, ThreadId, UserId,
};
use crate::model::vendor_calls::VendorCalls;
use crate::redacted::Redacted;

/// Where a session's bot lives, and what it takes to reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// Botpress: the install that escalated.
    Botpress(Install),
    /// Botcopy: the user of the bot that asked for a person.
    Botcopy(Channel),
}

impl Platform {
    /// The platform, as records name it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Botpress(_) => "botpress",
            Self::Botcopy(_) => "botcopy",
        }
    }

    /// The install, where the platform has such.
    pub const fn install_id(&self) -> Option<&InstallId> {
        match self {
            Self::Botpress(install) => Some(&install.install_id),
            Self::Botcopy(_) => None,
        }
    }

    /// The bot, by the id that its platform gives it.
    pub fn bot_id(&self) -> &str {
        match self {
            Self::Botpress(install) => install.bot_id.as_str(),
            Self::Botcopy(channel) => channel.bot_id.as_str(),
        }
    }
}

/// One handoff, from escalation to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Ours.
    pub session_id: SessionId,
    /// How far it is; stored as `session_state`, since `state` is a reserved word.
    #[serde(rename = "session_state")]
    pub state: State,
    /// Where the bot is, as it is needed for calls back to it.
    pub platform: Platform,
    /// The end user, by the bot platform's id.
    pub user_id: UserId,
    /// The group that was asked for.
    pub group_id: GroupId,
    /// The user's language by its code, `de-at`, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Fingerprint of the start request, by which a repeat is told from a new escalation.
    pub request_digest: String,
    /// How often the request's history had the bot's hand-off text: a second click in the same conversation finds it more often.
    #[serde(default)]
    pub handoff_texts: usize,
    /// Who is starting it, while nobody has finished that.
    pub claim: Claim,
    /// When the escalation was claimed.
    pub started_at: Timestamp,
    /// The thread of the user's session before, if that is known: it was closed when this session's own was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier_thread_id: Option<ThreadId>,
    /// The LiveChat side, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<Thread>,
    /// The bot side, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// Until when LiveChat may still be at work on a call of the start; known once the start is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_doubt_until: Option<Timestamp>,
    /// When the start was finished: the settle time counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_at: Option<Timestamp>,
    /// How often the session has moved to a fresh conversation.
    #[serde(default)]
    pub moves: u32,
    /// The conversations that it has left, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_conversations: Vec<ConversationId>,
    /// The agent that the bot was told of last; stored as `agent_told`.
    #[serde(rename = "agent_told", default, skip_serializing_if = "Option::is_none")]
    pub announced_agent: Option<AnnouncedAgent>,
    /// The agents that the bot was told of before that one, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_agents: Vec<AnnouncedAgent>,
    /// When the first of them had the chat: by LiveChat's own time where it gives one, else when that was reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_at: Option<Timestamp>,
    /// How many announcements there were: tells a second transfer to an agent from a repeat of the first.
    #[serde(default)]
    pub announcements: u32,
    /// What the agents shall read first, while the start has to be finished without whoever asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening: Option<Redacted>,
    /// When the bot's pause was last known to begin anew, where the platform pauses bots for a limited time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Timestamp>,
    /// How often in a row the thread was read without finding anything that no webhook had brought.
    #[serde(default)]
    pub silent_reads: u32,
    /// Up to this number, what the thread's events tell is in the lane: a reading has seen to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_up_to: Option<u64>,
    /// Whether the thread has to be read whatever has arrived lately: after an outage of ours.
    #[serde(default)]
    pub must_read: bool,
    /// How often the thread was read because it was silent.
    #[serde(default)]
    pub readings: u64,
    /// The vendor calls of the start.
    #[serde(default)]
    pub start_calls: VendorCalls,
    /// Whether the bot knows that the session is over, once it is; not known of sessions that an earlier version has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot_told: Option<bool>,
    /// When the session's records were last kept from expiring; not before its first day is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_at: Option<Timestamp>,
    /// Whether LiveChat has said that nobody of the group is online; a start learns it anew, so that it is not stored.
    #[serde(skip)]
    pub nobody_online: bool,
    /// The sentence with which the start failed, for those who waited for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Whether an operator has closed it before it was active.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed_by_operator: bool,
    /// The user's rating, where LiveChat has told or taken it outside of the end's own reading: 0 (bad) or 1 (good); stored as
    /// `rating_score`.
    #[serde(rename = "rating_score", default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<u64>,
    /// The lane's item that has ended it, `<lane>:<source id>`, once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_item: Option<String>,
}

impl Session {
    /// What the bot was told of an agent, if it was told.
    pub fn announced(&self, agent_id: &AgentId) -> Option<&AnnouncedAgent> {
        self.announced_agent.iter().chain(&self.earlier_agents).find(|told| told.agent_id == *agent_id)
    }

    /// Makes `agent` the one that the bot was told of last.
    pub fn announce(&mut self, agent: AnnouncedAgent) {
        self.assigned_at = self.assigned_at.or(agent.announced_at);
        self.earlier_agents.extend(self.announced_agent.take());
        self.earlier_agents.retain(|earlier| earlier.agent_id != agent.agent_id);
        self.announced_agent = Some(agent);
        self.announcements = self.announcements.saturating_add(1);
    }
}

/// An agent that the bot was told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnouncedAgent {
    /// LiveChat's id.
    pub agent_id: AgentId,
    /// The bot platform's user that stands for them, where it has such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// Display name, where the platform has to be told again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Redacted>,
    /// Address of a picture, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture_url: Option<Redacted>,
    /// When the bot was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced_at: Option<Timestamp>,
}

/// Where a session stands; it only ever moves on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Claimed; chat and conversation are being made.
    Starting,
    /// Messages flow.
    Active,
    /// Ended by one side; the other has not been told yet.
    Closing,
    /// Over on both sides.
    Closed,
}

/// Who may work on a start, and until when without a sign of life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// A value that only the claimant knows.
    pub holder: String,
    /// After this, anybody may take over.
    pub until: Timestamp,
}

/// A LiveChat thread of a customer's only chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// The chat.
    pub chat_id: ChatId,
    /// The thread.
    pub thread_id: ThreadId,
}

/// Leads from a Botpress conversation to its session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConversationPointer {
    /// The session; a conversation has one for ever.
    pub session_id: SessionId,
    /// The end user of the session.
    pub user_id: UserId,
    /// Whether the session has moved on to another conversation: words still reach the agents, an end concerns nobody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_moved: bool,
}

impl ConversationPointer {
    /// Leads to `session`.
    pub fn to(session: &Session) -> Self {
        Self { session_id: session.session_id.clone(), user_id: session.user_id.clone(), has_moved: false }
    }
}

/// Leads from a LiveChat chat to the latest session in it, with what is needed to judge an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatPointer {
    /// The latest session.
    pub session_id: SessionId,
    /// The end user of the session.
    pub user_id: UserId,
    /// The customer whose chat it is.
    pub customer_id: CustomerId,
    /// The session's thread; events of any other concern nobody, however late or early they come.
    pub thread_id: ThreadId,
}

impl ChatPointer {
    /// Leads to `session` from the chat in which it has this thread.
    pub fn to(session: &Session, customer_id: &CustomerId, thread: &Thread) -> Self {
        Self {
            session_id: session.session_id.clone(),
            user_id: session.user_id.clone(),
            customer_id: customer_id.clone(),
            thread_id: thread.thread_id.clone(),
        }
    }
}

/// One install of our integration on one bot: what an inbound call comes from, and what an outbound call is made for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Install {
    /// The bot.
    pub bot_id: BotId,
    /// The version of our integration.
    pub integration_id: IntegrationId,
    /// The integration's name on the bot.
    pub alias: IntegrationAlias,
    /// The install itself.
    pub install_id: InstallId,
}

impl Install {
    /// Whether a public address, as Botpress tells it, is that of this install: its id is a part of the path.
    pub fn is_reached_at(&self, webhook_url: &str) -> bool {
        let address = webhook_url.split(['?', '#']).next().unwrap_or_default();
        address.split('/').any(|part| part == self.install_id.as_str())
    }
}

/// One user of one bot: what a push is addressed to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Channel {
    /// The bot.
    pub bot_id: BotcopyBotId,
    /// The end user.
    pub user_id: BotcopyUserId,
}

/// Why a bot resumes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResumeReason {
    /// An agent has closed the chat, or LiveChat's router has.
    AgentClosed,
    /// No agent has come in time, or nobody was there after all.
    NobodyCame,
    /// LiveChat could not be reached.
    #[default]
    GivenUp,
    /// Neither side has said anything for a long time.
    Abandoned,
    /// The session was ended from the user's side of the stack: by its operator, or by another start.
    UserSide,
}

/// What the thread that an end has read tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disposition {
    /// The thread's tags.
    pub tags: Vec<String>,
    /// The user's rating: 0 or 1.
    pub rating: Option<u64>,
    /// `agent`, `customer` or `livechat`, where the thread says it.
    pub ended_by: Option<&'static str>,
}
