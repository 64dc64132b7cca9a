//! What a delivery has to know beside what waits, in one call.

use serde::Deserialize;

use super::keys::Key;
use super::lane::{Lane, Occupancy};
use super::{ChatPointer, ConversationPointer, Item, NamedTime, Result, Session, Table, User, has_expired};
use crate::clock::Timestamp;
use crate::ids::{ChatId, ConversationId, SessionId, UserId};

/// Of what somebody who has something for a lane wants to know.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The lane's session.
    pub session_id: &'a SessionId,
    /// The lane, unless it is read for itself.
    pub lane: Option<Lane>,
    /// A user, where that matters.
    pub user_id: Option<&'a UserId>,
    /// The vendors that may be called.
    pub vendors: &'a [&'a str],
}

/// What stands around what waits in a lane.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The lane itself, as it was found; [`Busy`](Occupancy::Busy) if nobody has looked.
    pub occupancy: Occupancy,
    /// When an item last left the lane.
    pub last_finished_at: Option<Timestamp>,
    /// Its session.
    pub session: Option<Session>,
    /// The user, if asked for.
    pub user: Option<User>,
    /// The latest time that each of the vendors has named, past or to come.
    pub named_times: Vec<NamedTime>,
}

/// As much of a lane's record as tells whether anything goes on there.
#[derive(Deserialize)]
struct LaneRecord {
    #[serde(default)]
    arrivals: u64,
    #[serde(default)]
    due_at: Option<String>,
    #[serde(default)]
    last_finished_at: Option<Timestamp>,
}

impl Table {
    /// Reads a lane's record, its session, the times that vendors have named, and a user.
    ///
    /// # Errors
    ///
    /// As all reads: see [`Error`](super::Error).
    pub async fn surroundings(&self, wanted: Wanted<'_>) -> Result<Surroundings> {
        Ok(self.surroundings_and(None, wanted).await?.1)
    }

    /// Finds the session of a Botpress conversation, and looks around in the one that is taken for it.
    ///
    /// # Errors
    ///
    /// As all reads: see [`Error`](super::Error).
    pub async fn find_by_conversation_and_look(
        &self,
        id: &ConversationId,
        wanted: Wanted<'_>,
        now: Timestamp,
    ) -> Result<(Option<ConversationPointer>, Surroundings)> {
        let (pointer, around) = self.surroundings_and(Some(Key::conversation(id)), wanted).await?;
        let pointer = pointer.filter(|item| !has_expired(item, now)).map(serde_dynamo::from_item).transpose()?;
        Ok((pointer, around))
    }

    /// Finds the latest session of a LiveChat chat, and looks around in the one that is taken for it.
    ///
    /// # Errors
    ///
    /// As all reads: see [`Error`](super::Error).
    pub async fn find_by_chat_and_look(
        &self,
        id: &ChatId,
        wanted: Wanted<'_>,
    ) -> Result<(Option<ChatPointer>, Surroundings)> {
        let (pointer, around) = self.surroundings_and(Some(Key::chat(id)), wanted).await?;
        Ok((pointer.map(serde_dynamo::from_item).transpose()?, around))
    }

    async fn surroundings_and(&self, pointer: Option<Key>, wanted: Wanted<'_>) -> Result<(Option<Item>, Surroundings)> {
        let Wanted { session_id, lane, user_id, vendors } = wanted;
        let lane = lane.map(|lane| Key::lane(session_id, lane));
        let gates = vendors.iter().map(|vendor| Key::gate(vendor));
        let around_session = [Key::session(session_id)].into_iter().chain(lane.clone()).chain(user_id.map(Key::user));
        let keys: Vec<_> = around_session.chain(gates).chain(pointer).collect();
        // A lane that has never had anything has no record.
        let occupancy = lane.map_or(Occupancy::Busy, |_| Occupancy::Idle { arrivals: 0 });
        let mut around = Surroundings { occupancy, ..Surroundings::default() };
        let mut pointer = None;
        for item in self.get_all(&keys).await? {
            let sk = item.get("sk").and_then(|sk| sk.as_s().ok()).map(String::as_str).unwrap_or_default();
            match sk.split_once('#').map_or(sk, |(entity, _)| entity) {
                "SESSION" => around.session = Some(serde_dynamo::from_item(item)?),
                "USER" => around.user = Some(serde_dynamo::from_item(item)?),
                "LANE" => {
                    let record: LaneRecord = serde_dynamo::from_item(item)?;
                    around.last_finished_at = record.last_finished_at;
                    around.occupancy = record.into();
                }
                "CONVERSATION" | "CHAT" => pointer = Some(item),
                _ => around.named_times.push(serde_dynamo::from_item(item)?),
            }
        }
        Ok((pointer, around))
    }
}

impl From<LaneRecord> for Occupancy {
    /// Whatever waits, or is being delivered, makes its lane due.
    fn from(record: LaneRecord) -> Self {
        match record.due_at {
            Some(_) => Self::Busy,
            None => Self::Idle { arrivals: record.arrivals },
        }
    }
}
