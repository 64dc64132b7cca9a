//! The end of a session: one transaction marks it as over, creates its record, and lets everything else of it expire.

use aws_sdk_dynamodb::types::AttributeValue;

use super::keys::Key;
use super::records::Record;
use super::transaction::Change;
use super::{Result, Table, number, text, value};
use crate::model::lane::Lane;
use crate::model::session::{Session, State};

/// How many writes of [`Table::close`] concern the session itself.
const OWN_WRITES: usize = 4;

/// The index of the write to the lane to the agents.
const TO_AGENT_WRITE: usize = 1;

/// The condition that a record leads to this session.
const OF_SESSION: &str = "session_id = :session";

/// The state of the lane to the agents when a session is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneToAgent {
    /// Its holder closes the session.
    Ours,
    /// It must be idle, or else nothing is written.
    Idle,
    /// Items may wait in it, or be on their way.
    Busy,
}

/// The outcome of closing a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Closing {
    /// The session is over; its record as it was written.
    Done(Box<Record>),
    /// It was over before, or no longer exists.
    WasOver,
    /// It is not over: the lane to the agents had to be idle, and is not.
    LaneBusy,
}

impl Table {
    /// Marks a session as over on both sides; its other records expire together with its record, and so does its user, unless they come
    /// back. The same write creates the record, with a rating that has arrived meanwhile; `item` is the item that ended it. A session
    /// that was erased stays erased.
    ///
    /// Returns the record as it was written. Nothing is written if the session was over before, or no longer exists.
    pub async fn close(
        &self,
        session: &Session,
        mut record: Record,
        item: Option<&str>,
        to_agent: LaneToAgent,
    ) -> Result<Closing> {
        let (id, mut rating) = (&session.session_id, session.rating);
        let expires = number(record.expires_at);
        for left in &session.left_conversations {
            let change = expiry(&expires, "attribute_exists(pk)");
            self.update("table close", &Key::conversation(left), change).await?;
        }
        let mut leading = leading_to(session, &expires);
        loop {
            let mut transaction = self
                .transaction()
                .update(&Key::session(id), closed(session, item, rating, &expires)?)?
                .update(&Key::lane(id, Lane::ToAgent), of_lane(to_agent, &expires))?
                .update(&Key::lane(id, Lane::ToBot), expiry(&expires, ""))?
                .put(&Key::record(session.started_at, id), "record", &record)?;
            for (key, change) in &leading {
                transaction = transaction.update(key, change.clone())?;
            }
            let outcome = transaction.commit("table close", self.tries()).await?;
            if outcome.is_done() {
                return Ok(Closing::Done(Box::new(record)));
            }
            if outcome.refused(0) {
                // The session is over or erased, or a rating has arrived since it was read: the record takes that one.
                let rated = self.session(id).await?.filter(|now| now.state != State::Closed && now.rating != rating);
                let Some(rated) = rated else { return Ok(Closing::WasOver) };
                rating = rated.rating;
                record.rating = rating.or(record.rating);
                continue;
            }
            if outcome.refused(TO_AGENT_WRITE) {
                return Ok(Closing::LaneBusy);
            }
            // A pointer or user that no longer leads to this session keeps its own expiry.
            let mut index = OWN_WRITES..;
            leading.retain(|_| index.next().is_none_or(|index| !outcome.refused(index)));
        }
    }
}

/// Closes a session that is open and has this `rating`.
fn closed(session: &Session, item: Option<&str>, rating: Option<u64>, expires: &AttributeValue) -> Result<Change> {
    Ok(Change {
        expression: "SET session_state = :closed, expires_at = :expires, bot_told = :told, end_item = :item \
                     REMOVE opening, due_shard, due_at",
        condition: "attribute_exists(pk) AND session_state <> :closed \
                    AND (attribute_not_exists(rating_score) OR rating_score = :rating)",
        values: vec![
            (":closed", value(&State::Closed)?),
            (":expires", expires.clone()),
            (":told", value(&session.bot_told)?),
            (":item", value(&item)?),
            (":rating", value(&rating)?),
        ],
    })
}

/// Lets the lane to the agents expire. Raising `arrivals` makes the lane's holder, or an invocation that accepts an item, read the session
/// again before it continues.
fn of_lane(to_agent: LaneToAgent, expires: &AttributeValue) -> Change {
    let looked_at_again = |condition| Change {
        expression: "SET expires_at = :expires ADD arrivals :one",
        condition,
        values: vec![(":expires", expires.clone()), (":one", number(1))],
    };
    match to_agent {
        LaneToAgent::Ours => expiry(expires, ""),
        LaneToAgent::Idle => looked_at_again("attribute_not_exists(due_at)"),
        LaneToAgent::Busy => looked_at_again(""),
    }
}

/// Lets the user and the pointers to a session expire with it, as far as they lead to it.
fn leading_to(session: &Session, expires: &AttributeValue) -> Vec<(Key, Change)> {
    let of_session = || {
        let mut change = expiry(expires, OF_SESSION);
        change.values.push((":session", text(&session.session_id)));
        change
    };
    let user = Some((Key::user(&session.user_id), of_session()));
    let chat = session.thread.as_ref().map(|thread| (Key::chat(&thread.chat_id), of_session()));
    let conversation =
        session.conversation_id.as_ref().map(|id| (Key::conversation(id), expiry(expires, "attribute_exists(pk)")));
    user.into_iter().chain(chat).chain(conversation).collect()
}

fn expiry(expires: &AttributeValue, condition: &'static str) -> Change {
    Change { expression: "SET expires_at = :expires", condition, values: vec![(":expires", expires.clone())] }
}
