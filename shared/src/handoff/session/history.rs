//! What agents know before a session begins: of its user's earlier sessions, and of the people in its transcript.
//!
//! All of it only makes the opening better, so its failure fails nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::opening::OPENING;
use crate::bridge::unread::{self, Said};
use crate::handoff::{Error, Handoff, Result};
use crate::ids::UserId;
use crate::livechat::{Content, Event};
use crate::model::message::{Author, HistoryItem};
use crate::model::session::Thread;
use crate::model::user::User;
use crate::redacted::Redacted;

/// How many people of a group chat are looked up by name.
const MOST_NAMES: usize = 10;

impl Handoff {
    /// Fingerprints of what agents have read of a user so far: transcripts, and the thread of the latest session.
    pub(super) async fn known_to_agents(&self, user: &User) -> Vec<String> {
        let Some(thread) = user.chat_id.clone().zip(user.thread_id.clone()) else { return Vec::new() };
        let thread = Thread { chat_id: thread.0, thread_id: thread.1 };
        let told = async { Ok(self.table.told(&user.user_id, self.clock.now()).await?) };
        let (told, said) = tokio::join!(told, self.said_in(&thread, user));
        if matches!(&said, Err(Error::LiveChat(error)) if error.is_gone()) {
            // Nor can they read there what they were told.
            return Vec::new();
        }
        let known = |what: &'static str, known: Result<Vec<String>>| {
            known.unwrap_or_else(|error| {
                tracing::warn!(error = %error, missing = what, "a returning user's transcript may repeat itself");
                Vec::new()
            })
        };
        unread::with_thread(known("transcripts", told), known("thread", said))
    }

    async fn said_in(&self, thread: &Thread, user: &User) -> Result<Vec<String>> {
        let thread = self.read_thread(thread).await?.thread;
        let customer_id = user.customer.as_ref().map(|customer| &customer.customer_id);
        let is_opening = |event: &Event| event.custom_id.as_ref().is_some_and(|id| id.starts_with(OPENING));
        let events = thread.into_iter().flat_map(|thread| thread.events).filter(|event| !is_opening(event));
        let words = events.filter_map(|event| {
            let is_users = event.author_id.as_ref().zip(customer_id).is_some_and(|(author, id)| author == id);
            let said = match &event.content {
                Content::Message { text } if is_users => Said::ByUser(text.expose()),
                Content::Message { text } => Said::ToUser(text.expose()),
                Content::File { .. } if is_users => Said::FileByUser,
                _ => return None,
            };
            Some(unread::fingerprint(&user.user_id, said))
        });
        Ok(words.collect())
    }

    /// Keeps in mind what agents know from now on.
    pub(super) async fn remember_told(&self, user_id: &UserId, known: Vec<String>, told: &[HistoryItem]) {
        self.remember(user_id, unread::with_news(user_id, known, told)).await;
    }

    /// The same of what was told in the middle of a session.
    pub(crate) async fn remember_told_in_session(&self, user_id: &UserId, known: Vec<String>, told: &[HistoryItem]) {
        self.remember(user_id, unread::with_news_in_thread(user_id, known, told)).await;
    }

    async fn remember(&self, user_id: &UserId, known: Vec<String>) {
        let kept_until = self.kept_until(self.clock.now());
        if let Err(error) = self.table.put_told(user_id, known, kept_until).await {
            tracing::warn!(error = %error, "the user's next transcript may repeat this one");
        }
    }

    /// What the people in a transcript are called.
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
                Err(error) => tracing::warn!(error = %error, "somebody stays unnamed in a transcript"),
            }
        }
        names
    }
}
