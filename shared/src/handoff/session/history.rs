//! What agents know before a session begins: from its user's earlier sessions, and about the people in its transcript.
//!
//! All of it only improves the opening, so a failure here does not fail the start.

use std::collections::{BTreeMap, BTreeSet};

use crate::bridge::unread;
use crate::handoff::{Handoff, Result};
use crate::ids::{ChatId, UserId};
use crate::model::message::{Author, HistoryItem};
use crate::model::user::User;
use crate::redacted::Redacted;

/// How many participants of a group chat are looked up by name.
const MOST_NAMES: usize = 10;

/// What agents already know of a user, and the part of a history that they do not.
#[derive(Clone, Debug)]
pub(super) struct Known<'a> {
    marks: Vec<String>,
    /// The end of the history that is new to them.
    pub(super) news: &'a [HistoryItem],
}

impl<'a> Known<'a> {
    /// Agents can no longer read the earlier messages: all of `history` is new.
    pub(super) fn forget(&mut self, history: &'a [HistoryItem]) {
        *self = Self { marks: Vec::new(), news: history };
    }
}

impl Handoff {
    /// Returns what agents have read of a user so far: transcripts, and the user's messages of the latest session.
    pub(super) async fn known_to_agents<'a>(&self, user: &User, history: &'a [HistoryItem]) -> Known<'a> {
        let Some(chat_id) = &user.chat_id else { return Known { marks: Vec::new(), news: history } };
        let told = async { Ok(self.table.told(&user.user_id, self.clock.now()).await?) };
        let (told, said) = tokio::join!(told, self.said_in_latest_session(chat_id));
        let known = |what: &'static str, known: Result<Vec<String>>| {
            known.unwrap_or_else(|error| {
                tracing::warn!(error = %error, missing = what,
                    "the messages that agents have seen could not be read; a returning user's transcript may repeat some");
                Vec::new()
            })
        };
        let marks = unread::with_thread(known("transcripts", told), known("words", said));
        let news = unread::news(&user.user_id, history, &marks);
        Known { marks, news }
    }

    /// Returns fingerprints of the user's messages to agents, from the receipts: reading the thread would be billed.
    async fn said_in_latest_session(&self, chat_id: &ChatId) -> Result<Vec<String>> {
        Ok(match self.table.find_by_chat(chat_id).await? {
            Some(pointer) => self.table.said_to_agents(&pointer.session_id).await?,
            None => Vec::new(),
        })
    }

    /// Stores what agents know from now on.
    pub(super) async fn remember_told(&self, user_id: &UserId, known: Known<'_>) {
        self.remember(user_id, unread::with_news(user_id, known.marks, known.news)).await;
    }

    /// The same for messages that agents received in the middle of a session.
    pub(crate) async fn remember_told_in_session(&self, user_id: &UserId, known: Vec<String>, told: &[HistoryItem]) {
        self.remember(user_id, unread::with_news_in_thread(user_id, known, told)).await;
    }

    async fn remember(&self, user_id: &UserId, known: Vec<String>) {
        let kept_until = self.kept_until(self.clock.now());
        if let Err(error) = self.table.put_told(user_id, known, kept_until).await {
            tracing::warn!(error = %error,
                "the messages of a transcript could not be recorded; the user's next transcript may repeat them");
        }
    }

    /// Returns the names of the people in a transcript.
    pub(crate) async fn names(&self, user: &User, history: &[HistoryItem]) -> BTreeMap<UserId, Redacted> {
        let mut names = BTreeMap::from([(user.user_id.clone(), user.profile.name.clone())]);
        let authors: BTreeSet<_> = history
            .iter()
            .filter_map(|item| match item {
                HistoryItem::Message { author: Author::User(id), .. } if *id != user.user_id => Some(id),
                _ => None,
            })
            .collect();
        for id in authors.into_iter().take(MOST_NAMES) {
            match self.table.user(id).await {
                Ok(known) => names.extend(known.map(|known| (known.user_id, known.profile.name))),
                Err(error) => tracing::warn!(error = %error, "the name of a person in a transcript could not be read"),
            }
        }
        names
    }
}
