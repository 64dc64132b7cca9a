//! Pure decisions: what an event means, and how messages of one side are worded for the other. No I/O.

mod content;
pub mod decide;
pub mod from_botcopy;
pub mod identity;
pub mod opening;
pub mod revisions;
mod rich;
pub mod split;
pub mod to_botpress;
pub mod to_livechat;
pub mod transcript;
pub mod unread;
mod voice;
pub mod webhooks;
pub mod wording;

pub use content::{MediaKind, MessageContent};

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::{AgentId, ConversationId};
use crate::livechat::User;
use crate::model::session::{ResumeReason, Thread};
use crate::redacted::Redacted;
use crate::text::{is_blank, one_line};

/// An item in the lane towards LiveChat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ToAgent {
    /// The user wrote something.
    Message {
        /// The text.
        text: Redacted,
        /// Whether the text contains Markdown.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_markdown: bool,
    },
    /// The user sent a picture, a recording, a video or a document.
    Media(Media),
    /// A note from the bot platform itself, for instance that the user has left.
    Note {
        /// The text.
        text: Redacted,
    },
    /// An agent writes in a thread that no session serves: the agent gets a notice, and the thread is closed.
    Unheard {
        /// The thread, which may differ from the session's.
        thread: Thread,
    },
    /// The bot side has ended the session.
    Close,
}

/// A file of the user, and its progress on the way to LiveChat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// `image`, `audio`, `video` or `file`.
    pub media_type: String,
    /// The URL at the bot platform.
    pub url: Redacted,
    /// The file's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Redacted>,
    /// How many downloads have failed with a transient error.
    #[serde(default)]
    pub failed_downloads: u32,
    /// The URL at LiveChat, once it is uploaded there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploaded_url: Option<Redacted>,
}

/// An item in the lane towards the bot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ToBot {
    /// An agent wrote or sent something.
    Message {
        /// The agent.
        agent_id: AgentId,
        /// The message.
        content: MessageContent,
        /// Whether it changed before it was shown, so that it differs from what was accepted; never stored.
        #[serde(skip)]
        revised: bool,
    },
    /// An agent has changed a message.
    Correction {
        /// The agent.
        agent_id: AgentId,
        /// The source id of the message.
        of: String,
        /// The current content.
        content: MessageContent,
    },
    /// An agent's message was deleted.
    Deletion {
        /// The source id of the message.
        of: String,
    },
    /// Takes the place of a message that was deleted before it could be shown.
    Retracted,
    /// An agent has taken the session.
    Assigned {
        /// The agent.
        agent_id: AgentId,
        /// Their profile, if LiveChat sent it along.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        profile: Option<AgentProfile>,
        /// Whether the chat was transferred to them, so that an agent who was announced before takes part again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_transfer: bool,
        /// A time at which, according to LiveChat, they already had the chat, if LiveChat gives one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Timestamp>,
    },
    /// A notice of the service itself to the user.
    Notice {
        /// The text.
        text: Redacted,
    },
    /// The bot's pause is about to lapse.
    Renewal,
    /// The session has moved to a fresh conversation: the bot of this one resumes.
    Left {
        /// The conversation that the session has left.
        conversation_id: ConversationId,
        /// The time from which the bot is certain to process the end.
        ready_at: Timestamp,
    },
    /// LiveChat has ended the session.
    Stopped,
    /// The user has started another session, or an operator has closed this one: its bot resumes, and its thread is closed.
    Superseded {
        /// Whether an operator has closed it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        by_operator: bool,
    },
    /// The user was back with the bot and has asked for an agent again.
    Continued,
    /// The service has given the session up: the bot resumes, and any thread open at LiveChat is closed.
    GivenUp {
        /// The reason.
        #[serde(default)]
        reason: ResumeReason,
    },
}

/// How an agent presents themselves to end users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentProfile {
    /// Display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Redacted>,
    /// URL of a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture_url: Option<Redacted>,
}

impl ToBot {
    /// An agent's message.
    pub const fn message(agent_id: AgentId, content: MessageContent) -> Self {
        Self::Message { agent_id, content, revised: false }
    }
}

impl AgentProfile {
    /// A user as LiveChat presents them.
    pub fn of(user: &User) -> Self {
        let given =
            |text: &Option<String>| text.as_deref().map(str::trim).filter(|text| !is_blank(text)).map(str::to_owned);
        let name = user.name.as_deref().map(one_line).filter(|name| !is_blank(name));
        Self {
            name: name.map(Redacted::from),
            picture_url: given(&user.avatar).map(|url| content::absolute(&url)).map(Redacted::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_agent_s_name_is_one_line() {
        let named = |name: &str| {
            let user = json!({"id": "anna@example.com", "type": "agent", "name": name, "present": true});
            let read = crate::http::read(user.to_string().as_bytes(), User::read);
            AgentProfile::of(&read.unwrap().0.unwrap()).name
        };
        assert_eq!(named(" Anna\u{2028}Bot: x\u{202e}\n"), Some("Anna Bot: x".into()));
        assert_eq!((named("\u{200b}\n"), named("\u{3164}\u{200d}")), (None, None));
    }
}
