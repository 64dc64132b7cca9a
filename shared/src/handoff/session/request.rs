//! The request for a session, as a bot platform sends it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::bridge::to_livechat;
use crate::bridge::transcript::Opening;
use crate::bridge::wording::Wording;
use crate::clock::Timestamp;
use crate::http::cap;
use crate::ids::{GroupId, UserId};
use crate::model::call::SignedCall;
use crate::model::message::{Author, HistoryItem};
use crate::model::session::Platform;
use crate::model::user::{Introduction, User};
use crate::redacted::Redacted;

/// LiveChat's limit.
const MOST_FIELDS: usize = 100;

/// Longer values are cut: all fields together are stored in one item of the table (400 KB).
const MAX_FIELD_CHARS: usize = 500;

/// The same for names.
const MAX_FIELD_NAME_CHARS: usize = 100;

/// A bot platform's request for a session.
#[derive(Clone, Copy, Debug)]
pub struct StartRequest<'a> {
    /// The platform and bot that escalate.
    pub platform: &'a Platform,
    /// The platform's id of the end user.
    pub user_id: &'a UserId,
    /// The group requested by the session, else by the install.
    pub group_id: Option<GroupId>,
    /// A heading for the agent.
    pub title: Option<&'a str>,
    /// An explanation for the agent.
    pub description: Option<&'a str>,
    /// The code of the user's language, if known.
    pub language: Option<&'a str>,
    /// What was said before, oldest first.
    pub history: &'a [HistoryItem],
    /// LiveChat tags for the thread.
    pub tags: &'a [String],
    /// Further fields that agents see of the customer, as name and value.
    pub session_fields: &'a [(String, Redacted)],
    /// The opening text for agents, if it was composed before.
    pub prepared: Option<&'a Redacted>,
    /// The key that identifies a repeat, if it is not the whole request.
    pub repeat_key: Option<&'a str>,
    /// The signed call, by which a replay is recognised; `None` if it was not signed.
    pub call: Option<&'a SignedCall>,
    /// When the call reached the stack: calls that ran at the same time share an answer.
    pub asked_at: Timestamp,
    /// By when the caller needs to know whether the session is claimed.
    pub claimed_by: Timestamp,
}

impl StartRequest<'_> {
    /// Returns a fingerprint of the whole request; the texts cannot be recovered from it.
    pub(crate) fn digest(&self) -> String {
        if let Some(key) = self.repeat_key {
            return key.to_owned();
        }
        let mut hash = Sha256::new();
        for part in [Some(self.user_id.as_str()), self.title, self.description] {
            hash.update(part.unwrap_or_default());
            hash.update([0, u8::from(part.is_some())]);
        }
        for (author, words) in spoken(self.history).0 {
            hash.update(author);
            hash.update([0]);
            hash.update(words.expose());
            hash.update([0]);
        }
        let fields = self.session_fields.iter().flat_map(|(name, value)| [name.as_str(), value.expose()]);
        for text in self.tags.iter().map(String::as_str).chain(fields) {
            hash.update(text);
            hash.update([0]);
        }
        hash.update(self.group_id.map_or(-1, |group| i64::from(group.0)).to_be_bytes());
        URL_SAFE_NO_PAD.encode(hash.finalize())
    }

    /// Returns the user's data for LiveChat: profile, origin, and the fields that the bot's author adds.
    pub(super) fn introduction(&self, user: &User, wording: &Wording) -> Introduction {
        let own = match self.platform {
            Platform::Botpress(install) => [
                wording.field_bot().map(|name| (name, install.bot_id.as_str().into())),
                wording.field_user().map(|name| (name, self.user_id.as_str().into())),
            ],
            Platform::Botcopy(channel) => [
                wording.field_botcopy_bot().map(|name| (name, channel.bot_id.as_str().into())),
                wording.field_botcopy_user().map(|name| (name, channel.user_id.as_str().into())),
            ],
        };
        let given = self.session_fields.iter().map(|(name, value)| {
            (cap(name, MAX_FIELD_NAME_CHARS), Redacted::from(cap(value.expose(), MAX_FIELD_CHARS)))
        });
        let fields = own.into_iter().flatten().chain(given);
        Introduction { profile: user.profile.clone(), session_fields: fields.take(MOST_FIELDS).collect() }
    }

    /// Returns the opening text for agents, as far as it can be composed without a vendor call.
    pub(super) fn opening_text(&self, user: &User, wording: &Wording) -> Option<Redacted> {
        let names = BTreeMap::from([(user.user_id.clone(), user.profile.name.clone())]);
        let opening =
            Opening { title: self.title, description: self.description, history: self.history, names: &names, wording };
        opening.text()
    }
}

/// Returns the authors and texts of a history without the hand-off text, and how often it contains that text.
///
/// The HITL plugin posts its hand-off text before it builds the history, so the last item is that text, and the second of two
/// clicks finds it one more time. The click itself may be a message that was sent twice, so adjacent duplicates count once.
pub(crate) fn spoken(history: &[HistoryItem]) -> (Vec<(&str, Redacted)>, usize) {
    let said = history.iter().filter_map(|item| match item {
        HistoryItem::Message { author, content } => {
            Some((author_mark(author), to_livechat::readable(content, &Wording::default())))
        }
        HistoryItem::Unreadable => None,
    });
    let mut said: Vec<_> = said.collect();
    let all = said.len();
    if let Some(handoff_text) = said.last().filter(|(author, _)| *author == author_mark(&Author::Bot)).cloned() {
        said.retain(|one| *one != handoff_text);
    }
    let handoff_texts = all - said.len();
    said.dedup();
    (said, handoff_texts)
}

fn author_mark(author: &Author) -> &str {
    match author {
        Author::Bot => "",
        Author::Agent => "agent",
        Author::User(id) => id.as_str(),
    }
}
