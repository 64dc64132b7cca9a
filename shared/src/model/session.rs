//! A session, its platform and thread, and the pointers to it.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::{
    AgentId, BotId, BotcopyBotId, BotcopyUserId, ChatId, ConversationId, CustomerId, GroupId, InstallId,
    IntegrationAlias, IntegrationId, SessionId, ThreadId, UserId,
};
use crate::model::vendor_calls::VendorCalls;
use crate::redacted::Redacted;

/// The platform of a session's bot, and the ids that calls to it need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// Botpress: the install that escalated.
    Botpress(Install),
    /// Botcopy: the user of the bot that requested an agent.
    Botcopy(Channel),
}

impl Platform {
    /// The platform's name in records.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Botpress(_) => "botpress",
            Self::Botcopy(_) => "botcopy",
        }
    }

    /// The install, if the platform has installs.
    pub const fn install_id(&self) -> Option<&InstallId> {
        match self {
            Self::Botpress(install) => Some(&install.install_id),
            Self::Botcopy(_) => None,
        }
    }

    /// The bot's id on its platform.
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
    /// The service's own id.
    pub session_id: SessionId,
    /// Its state; stored as `session_state`, because `state` is a reserved word.
    #[serde(rename = "session_state")]
    pub state: State,
    /// The platform, as calls back to the bot need it.
    pub platform: Platform,
    /// The end user's id on the bot platform.
    pub user_id: UserId,
    /// The requested group.
    pub group_id: GroupId,
    /// The code of the user's language, `de-at`, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Fingerprint of the start request, which distinguishes a repeat from a new escalation.
    pub request_digest: String,
    /// How often the request's history contained the bot's hand-off text: a second click in the same conversation finds it
    /// more often.
    #[serde(default)]
    pub handoff_texts: usize,
    /// Which invocation carries out the start, until that is finished.
    pub claim: Claim,
    /// When the escalation was claimed.
    pub started_at: Timestamp,
    /// The thread of the user's previous session, if known: it was closed when this session's own was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier_thread_id: Option<ThreadId>,
    /// The LiveChat side, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<Thread>,
    /// The bot side, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// Until when LiveChat may still carry out a call of the start; set once the start is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_doubt_until: Option<Timestamp>,
    /// When the start was finished: the settle time counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_at: Option<Timestamp>,
    /// How often the session has moved to a fresh conversation.
    #[serde(default)]
    pub moves: u32,
    /// The conversations that it has left, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_conversations: Vec<ConversationId>,
    /// The agent who was last announced to the bot; stored as `agent_told`.
    #[serde(rename = "agent_told", default, skip_serializing_if = "Option::is_none")]
    pub announced_agent: Option<AnnouncedAgent>,
    /// The agents who were announced before that one, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_agents: Vec<AnnouncedAgent>,
    /// When the first of them had the chat: LiveChat's own time if it gives one, else the time of the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_at: Option<Timestamp>,
    /// How many announcements there were: distinguishes a second transfer to an agent from a repeat of the first.
    #[serde(default)]
    pub announcements: u32,
    /// The opening for the agents, while the start may have to be finished without its caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening: Option<Redacted>,
    /// When the bot's pause last began anew, as far as known, if the platform pauses bots for a limited time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Timestamp>,
    /// How many successive reads of the thread found only what webhooks had brought.
    #[serde(default)]
    pub silent_reads: u32,
    /// The number up to which the thread's events are known: its opening's, then that up to which a read has put them into the lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_up_to: Option<u64>,
    /// Whether the thread must be read even if items have arrived recently: after an outage of the service.
    #[serde(default)]
    pub must_read: bool,
    /// How often the thread was read because it was silent.
    #[serde(default)]
    pub readings: u64,
    /// The vendor calls of the start.
    #[serde(default)]
    pub start_calls: VendorCalls,
    /// Whether the bot has been told that the session is over, once it is; unknown for sessions that an earlier version ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot_told: Option<bool>,
    /// When the expiry of the session's records was last extended; not set before the end of its first day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_at: Option<Timestamp>,
    /// Whether LiveChat reports that no agent of the group is online; each start checks again, so it is not stored.
    #[serde(skip)]
    pub nobody_online: bool,
    /// The sentence with which the start failed, for the callers that waited for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Whether an operator has closed it before it was active.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed_by_operator: bool,
    /// The user's rating, if LiveChat has reported or accepted it apart from the thread read at the end: 0 (bad) or 1 (good); stored as
    /// `rating_score`.
    #[serde(rename = "rating_score", default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<u64>,
    /// The lane's item that has ended it, `<lane>:<source id>`, once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_item: Option<String>,
}

impl Session {
    /// The announcement of an agent to the bot, if there was one.
    pub fn announced(&self, agent_id: &AgentId) -> Option<&AnnouncedAgent> {
        self.announced_agent.iter().chain(&self.earlier_agents).find(|told| told.agent_id == *agent_id)
    }

    /// Makes `agent` the one who was last announced to the bot.
    pub fn announce(&mut self, agent: AnnouncedAgent) {
        self.assigned_at = self.assigned_at.or(agent.announced_at);
        self.earlier_agents.extend(self.announced_agent.take());
        self.earlier_agents.retain(|earlier| earlier.agent_id != agent.agent_id);
        self.announced_agent = Some(agent);
        self.announcements = self.announcements.saturating_add(1);
    }
}

/// An agent who was announced to the bot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnouncedAgent {
    /// LiveChat's id.
    pub agent_id: AgentId,
    /// The bot platform's user that represents them, if the platform has such users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// Display name, if the platform needs it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Redacted>,
    /// URL of a picture, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture_url: Option<Redacted>,
    /// When the bot was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced_at: Option<Timestamp>,
}

/// The state of a session, which only ever advances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Claimed; chat and conversation are being created.
    Starting,
    /// Messages flow.
    Active,
    /// Ended by one side; the other has not been told yet.
    Closing,
    /// Over on both sides.
    Closed,
}

/// The right to carry out a start, and its end unless it is renewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// A value known only to the claimant.
    pub holder: String,
    /// After this time another invocation may take over.
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
    /// The session; a conversation belongs to one session for good.
    pub session_id: SessionId,
    /// The end user of the session.
    pub user_id: UserId,
    /// Whether the session has moved to another conversation: messages still reach the agents, an end is ignored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_moved: bool,
}

impl ConversationPointer {
    /// Leads to `session`.
    pub fn to(session: &Session) -> Self {
        Self { session_id: session.session_id.clone(), user_id: session.user_id.clone(), has_moved: false }
    }
}

/// Leads from a LiveChat chat to its latest session, with the data that the decision on an event needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatPointer {
    /// The latest session.
    pub session_id: SessionId,
    /// The end user of the session.
    pub user_id: UserId,
    /// The customer whose chat it is.
    pub customer_id: CustomerId,
    /// The session's thread; events of any other are ignored, even if they arrive late or early.
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

/// One install of the service's integration on one bot: the origin of inbound calls, and the target of outbound ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Install {
    /// The bot.
    pub bot_id: BotId,
    /// The version of the integration.
    pub integration_id: IntegrationId,
    /// The integration's name on the bot.
    pub alias: IntegrationAlias,
    /// The install itself.
    pub install_id: InstallId,
}

impl Install {
    /// Whether this is the public address of the install, as Botpress reports it: the install's id is a part of the path.
    pub fn is_reached_at(&self, webhook_url: &str) -> bool {
        let address = webhook_url.split(['?', '#']).next().unwrap_or_default();
        address.split('/').any(|part| part == self.install_id.as_str())
    }
}

/// One user of one bot: the addressee of a push.
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
    /// An agent, or LiveChat's router, has closed the chat.
    AgentClosed,
    /// No agent took the chat in time, or none was online after all.
    NobodyCame,
    /// LiveChat could not be reached.
    #[default]
    GivenUp,
    /// Neither side has written for a long time.
    Abandoned,
    /// The session was ended from the user's side of the stack: by its operator, or by another start.
    UserSide,
}

/// How a session ended, according to the thread that was read at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disposition {
    /// The thread's tags.
    pub tags: Vec<String>,
    /// The user's rating: 0 or 1.
    pub rating: Option<u64>,
    /// `agent`, `customer` or `livechat`, if the thread shows it.
    pub ended_by: Option<&'static str>,
}
