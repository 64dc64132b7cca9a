//! Pure decisions: what an event means, and how one side's words read on the other. No I/O happens here.

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

/// What waits in the lane towards LiveChat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ToAgent {
    /// The user wrote something.
    Message {
        /// Their words.
        text: Redacted,
        /// Whether the words have Markdown marks.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_markdown: bool,
    },
    /// The user showed something: a picture, a recording, a film or a document.
    Media(Media),
    /// The bot platform itself remarks something, for instance that the user has left.
    Note {
        /// Its words.
        text: Redacted,
    },
    /// An agent writes in a thread in which nobody listens: they are told so, and it is closed.
    Unheard {
        /// The thread, which need not be the session's.
        thread: Thread,
    },
    /// The bot side has ended the session.
    Close,
}

/// A file of the user, and how far it is on its way to LiveChat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// `image`, `audio`, `video` or `file`.
    pub media_type: String,
    /// Where the bot platform keeps it.
    pub url: Redacted,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Redacted>,
    /// How often it could not be downloaded, although that may work later.
    #[serde(default)]
    pub failed_downloads: u32,
    /// Where LiveChat keeps it, once it is uploaded there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploaded_url: Option<Redacted>,
}

/// What waits in the lane towards the bot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ToBot {
    /// An agent wrote or sent something.
    Message {
        /// Who.
        agent_id: AgentId,
        /// What.
        content: MessageContent,
        /// Whether it was changed before it was shown, so that this is not what was accepted; never stored.
        #[serde(skip)]
        revised: bool,
    },
    /// An agent has changed something.
    Correction {
        /// Who.
        agent_id: AgentId,
        /// The source id of the message.
        of: String,
        /// What it says now.
        content: MessageContent,
    },
    /// Something that an agent had written was deleted.
    Deletion {
        /// The source id of the message.
        of: String,
    },
    /// Stands in the place of a message that was deleted before it could be shown.
    Retracted,
    /// An agent has taken the session.
    Assigned {
        /// Who.
        agent_id: AgentId,
        /// How they present themselves, where LiveChat said so along with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        profile: Option<AgentProfile>,
        /// Whether the chat was transferred to them, so that one who was announced before takes part anew.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_transfer: bool,
        /// LiveChat's own time at which they had it already, where it gives one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Timestamp>,
    },
    /// We ourselves have something to say to the user.
    Notice {
        /// What.
        text: Redacted,
    },
    /// The bot's pause would lapse soon.
    Renewal,
    /// The session has moved to a fresh conversation: the bot of this one resumes.
    Left {
        /// The conversation that was left.
        conversation_id: ConversationId,
        /// From when on its bot is sure to take that in.
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
    /// The user was back with the bot, and has asked for a person again.
    Continued,
    /// We have given the session up: the bot resumes, and whatever is open at LiveChat is closed.
    GivenUp {
        /// Why.
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
    /// Address of a picture.
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
    /// How LiveChat presents a user.
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
