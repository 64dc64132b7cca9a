//! Everything that a delivery needs besides the waiting items, read in one call.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use super::keys::Key;
use super::lane::{LaneRecord, occupancy_of};
use super::{Item, MOST_READ_AT_ONCE, Result, Table, VendorState, has_expired};
use crate::clock::Timestamp;
use crate::ids::{ChatId, ConversationId, SessionId, UserId};
use crate::model::lane::{Lane, Occupancy, Tally};
use crate::model::session::{ChatPointer, ConversationPointer, Session};
use crate::model::user::User;

/// The reads that a delivery needs, batched into one call.
#[derive(Clone, Copy, Debug)]
pub struct LaneQuery<'a> {
    /// The lane's session.
    pub session_id: &'a SessionId,
    /// The lane; `None` if it is read separately.
    pub lane: Option<Lane>,
    /// Another lane whose numbers continue in this one.
    pub beside: Option<Lane>,
    /// The user, if needed.
    pub user_id: Option<&'a UserId>,
    /// The vendors that may be called.
    pub vendors: &'a [&'a str],
    /// The source ids of the items for the lane; only the first few are looked up.
    pub source_ids: &'a [String],
}

/// The state around the waiting items of a lane.
#[derive(Clone, Debug, Default)]
pub struct LaneContext {
    /// The lane itself, as it was found; [`Busy`](Occupancy::Busy) if it was not read.
    pub occupancy: Occupancy,
    /// When an item last left the lane.
    pub last_finished_at: Option<Timestamp>,
    /// The highest number of an item that has left the lane or the one beside it.
    pub last_number: Option<u64>,
    /// How many messages of people have left the lane.
    pub said: Tally,
    /// The lane's session.
    pub session: Option<Session>,
    /// The user, if asked for.
    pub user: Option<User>,
    /// The state of each of the vendors.
    pub vendors: Vec<VendorState>,
    /// The source ids that the lane has accepted before, with the times at which their receipts expire (in Unix seconds).
    pub receipts: HashMap<String, i64>,
    /// Whether one of these was still in the lane when its receipt was read.
    pub is_any_inside: bool,
    /// How many changes of a source id have been examined, if any.
    pub changes: HashMap<String, u64>,
}

impl LaneContext {
    /// Returns whether the lane has accepted this source id before.
    pub fn has_accepted(&self, source_id: &str, now: Timestamp) -> bool {
        self.receipts.get(source_id).is_some_and(|expires_at| now.unix_seconds() < *expires_at)
    }
}

/// The attributes of a trail that show that an item was accepted.
#[derive(Deserialize)]
struct SeenReceipt {
    source_id: String,
    #[serde(default = "never")]
    expires_at: i64,
    #[serde(default)]
    changes_seen: Option<u64>,
    #[serde(default)]
    finished_at: Option<Timestamp>,
}

const fn never() -> i64 {
    i64::MAX
}

/// How many receipts are looked up at most, far fewer than one call may read.
const MOST_RECEIPTS: usize = 25;

impl Table {
    /// Reads a lane's record, its session, the state of vendors, and a user.
    pub async fn lane_context(&self, wanted: LaneQuery<'_>) -> Result<LaneContext> {
        Ok(self.lane_context_and(None, wanted).await?.1)
    }

    /// Returns those of `source_ids` that a lane has accepted before, in as few calls as possible.
    pub async fn receipts(
        &self,
        id: &SessionId,
        lane: Lane,
        source_ids: &[&str],
        now: Timestamp,
    ) -> Result<HashSet<String>> {
        let mut keys: Vec<_> = source_ids.iter().map(|source_id| Key::trail(id, lane, source_id)).collect();
        keys.sort_by(|one, other| one.sk.cmp(&other.sk));
        keys.dedup();
        let mut known = HashSet::new();
        for some in keys.chunks(MOST_READ_AT_ONCE) {
            for item in self.get_all(some).await?.into_iter().filter(|item| !has_expired(item, now)) {
                known.insert(serde_dynamo::from_item::<_, SeenReceipt>(item)?.source_id);
            }
        }
        Ok(known)
    }

    /// Reads how a lane is occupied now.
    pub async fn occupancy(&self, id: &SessionId, lane: Lane) -> Result<Occupancy> {
        self.get_item(&Key::lane(id, lane)).await?.map_or(Ok(Occupancy::Idle { arrivals: 0 }), occupancy_of)
    }

    /// Finds the session of a Botpress conversation, and in the same call reads the context of the guessed session in `wanted`.
    pub async fn find_by_conversation_and_look(
        &self,
        id: &ConversationId,
        wanted: LaneQuery<'_>,
        now: Timestamp,
    ) -> Result<(Option<ConversationPointer>, LaneContext)> {
        let (pointer, around) = self.lane_context_and(Some(Key::conversation(id)), wanted).await?;
        let pointer = pointer.filter(|item| !has_expired(item, now)).map(serde_dynamo::from_item).transpose()?;
        Ok((pointer, around))
    }

    /// Finds the latest session of a LiveChat chat, and in the same call reads the context of the guessed session in `wanted`.
    pub async fn find_by_chat_and_look(
        &self,
        id: &ChatId,
        wanted: LaneQuery<'_>,
    ) -> Result<(Option<ChatPointer>, LaneContext)> {
        let (pointer, around) = self.lane_context_and(Some(Key::chat(id)), wanted).await?;
        Ok((pointer.map(serde_dynamo::from_item).transpose()?, around))
    }

    async fn lane_context_and(
        &self,
        pointer: Option<Key>,
        wanted: LaneQuery<'_>,
    ) -> Result<(Option<Item>, LaneContext)> {
        let LaneQuery { session_id, lane, beside, user_id, vendors, source_ids } = wanted;
        let receipts = lane.into_iter().flat_map(|lane| {
            source_ids.iter().take(MOST_RECEIPTS).map(move |source_id| Key::trail(session_id, lane, source_id))
        });
        let receipts: Vec<_> = receipts.collect();
        let lane = lane.map(|lane| Key::lane(session_id, lane));
        let gates = vendors.iter().map(|vendor| Key::gate(vendor));
        let beside = beside.map(|beside| Key::lane(session_id, beside));
        let lanes = lane.clone().into_iter().chain(beside.clone());
        let around_session = [Key::session(session_id)].into_iter().chain(lanes).chain(user_id.map(Key::user));
        let keys: Vec<_> = around_session.chain(gates).chain(pointer).chain(receipts).collect();
        // A lane without a record has never accepted an item.
        let occupancy = lane.map_or(Occupancy::Busy, |_| Occupancy::Idle { arrivals: 0 });
        let mut around = LaneContext { occupancy, ..LaneContext::default() };
        // A batch returns items in no order and omits absent ones, so each is recognised by its sort key.
        let mut pointer = None;
        for item in self.get_all(&keys).await? {
            let sk = item.get("sk").and_then(|sk| sk.as_s().ok()).map(String::as_str).unwrap_or_default();
            let is_beside = beside.as_ref().is_some_and(|beside| beside.sk == sk);
            match sk.split_once('#').map_or(sk, |(entity, _)| entity) {
                "SESSION" => around.session = Some(serde_dynamo::from_item(item)?),
                "USER" => around.user = Some(serde_dynamo::from_item(item)?),
                "LANE" => {
                    let record: LaneRecord = serde_dynamo::from_item(item)?;
                    around.last_number = around.last_number.max(record.last_number);
                    if !is_beside {
                        around.last_finished_at = record.last_finished_at;
                        around.said = record.said;
                        around.occupancy = record.occupancy();
                    }
                }
                "TRAIL" => {
                    let receipt: SeenReceipt = serde_dynamo::from_item(item)?;
                    if let Some(changes_seen) = receipt.changes_seen {
                        around.changes.insert(receipt.source_id.clone(), changes_seen);
                    }
                    around.is_any_inside |= receipt.finished_at.is_none();
                    around.receipts.insert(receipt.source_id, receipt.expires_at);
                }
                "CONVERSATION" | "CHAT" => pointer = Some(item),
                _ => around.vendors.push(serde_dynamo::from_item(item)?),
            }
        }
        Ok((pointer, around))
    }
}
