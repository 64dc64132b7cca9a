//! A session's rating, stored in the session's own item, and added to its record if there is one already.

use serde::Deserialize;

use super::keys::Key;
use super::transaction::Change;
use super::{Result, Table, number, text, value};
use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::model::session::Session;

/// The progress of a session's rating.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Rating {
    /// Until when a call may be rating, or LiveChat may still carry that call out.
    #[serde(default)]
    pub rating_until: Option<Timestamp>,
    /// When LiveChat accepted it.
    #[serde(default)]
    pub rated_at: Option<Timestamp>,
    /// The score at LiveChat: 0 (bad) or 1 (good).
    #[serde(default)]
    pub rating_score: Option<u64>,
}

impl Table {
    /// The progress of a session's rating.
    pub async fn rating(&self, id: &SessionId) -> Result<Rating> {
        Ok(self.get(&Key::session(id)).await?.unwrap_or_default())
    }

    /// Reserves the rating of a session for one call; `false` means that it is rated, no longer exists, or another call has it.
    pub async fn take_rating(&self, id: &SessionId, now: Timestamp, until: Timestamp) -> Result<bool> {
        let change = Change {
            expression: "SET rating_until = :until",
            condition: "attribute_exists(pk) AND attribute_not_exists(rated_at) \
                        AND (attribute_not_exists(rating_until) OR rating_until <= :now)",
            values: vec![(":until", text(until)), (":now", text(now))],
        };
        self.update("table take_rating", &Key::session(id), change).await
    }

    /// Records a session's rating at LiveChat.
    pub async fn note_rated(&self, id: &SessionId, score: u64, now: Timestamp) -> Result<()> {
        let change = Change {
            expression: "SET rated_at = :now, rating_score = :score",
            condition: "attribute_exists(pk)",
            values: vec![(":now", text(now)), (":score", number(score))],
        };
        self.update("table note_rated", &Key::session(id), change).await.map(drop)
    }

    /// Records that LiveChat no longer has a rating of a session.
    pub async fn note_unrated(&self, id: &SessionId) -> Result<()> {
        let change = Change {
            expression: "REMOVE rated_at, rating_until, rating_score",
            condition: "attribute_exists(pk)",
            values: Vec::new(),
        };
        self.update("table note_rated", &Key::session(id), change).await.map(drop)
    }

    /// Writes a rating, or its absence, into a session's record; does not recreate a deleted record.
    pub async fn put_rating_in_record(&self, session: &Session, score: Option<u64>) -> Result<()> {
        let change = Change {
            expression: "SET rating = :score",
            condition: "attribute_exists(pk)",
            values: vec![(":score", value(&score)?)],
        };
        let key = Key::record(session.started_at, &session.session_id);
        self.update("table put_rating_in_record", &key, change).await.map(drop)
    }

    /// Releases a session's rating: LiveChat has not accepted it.
    pub async fn give_rating_back(&self, id: &SessionId) -> Result<()> {
        let change =
            Change { expression: "REMOVE rating_until", condition: "attribute_exists(pk)", values: Vec::new() };
        self.update("table give_rating_back", &Key::session(id), change).await.map(drop)
    }
}
