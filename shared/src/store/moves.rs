//! A session's move to a fresh conversation: the new conversation, and the item that ends the old one.

use serde::Serialize;

use super::keys::Key;
use super::lanes::{ARRIVAL_WRITES, Way, entrance};
use super::transaction::{Change, Transaction, Try};
use super::{Result, Table, number, text, value};
use crate::clock::Timestamp;
use crate::ids::ConversationId;
use crate::model::lane::{Accepted, Arrival, Lease, Occupancy};
use crate::model::session::{ConversationPointer, Session, State};

/// Position of the session in the transaction, behind the writes of an arrival.
const SESSION_WRITE: usize = ARRIVAL_WRITES;

impl Table {
    /// Moves `session` from the conversation that it was read with to `to`, and puts `farewell`, which ends the old one, into
    /// its lane, in one transaction.
    ///
    /// The old conversation still leads to the session, marked as left. No agent is announced in the new one yet.
    ///
    /// Returns `None` if the session has ended or moved meanwhile.
    pub async fn move_session<T: Serialize + Clone>(
        &self,
        session: &Session,
        to: &ConversationId,
        farewell: &Arrival<'_, T>,
        lease: &Lease,
    ) -> Result<Option<Accepted>> {
        let Some(from) = &session.conversation_id else { return Ok(None) };
        let Way { mut change, mut accepted } = entrance(farewell, lease, Occupancy::Busy);
        let mut tries = self.tries_until(lease.deadline);
        loop {
            match self.moving(session, (from, to), farewell, change)?.attempt("table move_session").await? {
                Try::Through(outcome) if outcome.is_done() => return Ok(Some(accepted)),
                Try::Through(outcome) if outcome.refused(SESSION_WRITE) => return Ok(None),
                // The lane was not as assumed: read it and choose the way in again.
                Try::Through(_) => {}
                Try::Met(error) => tries.pause(error).await?,
            }
            let Some(found) = self.look_before_arrival(farewell).await? else { return Ok(None) };
            Way { change, accepted } = entrance(farewell, lease, found);
        }
    }

    fn moving<T: Serialize + Clone>(
        &self,
        session: &Session,
        (from, to): (&ConversationId, &ConversationId),
        farewell: &Arrival<'_, T>,
        lane_change: Change,
    ) -> Result<Transaction<'_>> {
        let left = ConversationPointer { has_moved: true, ..ConversationPointer::to(session) };
        self.arrive(farewell, lane_change)?
            .update(&Key::session(&session.session_id), moved(session, from, to, farewell.received_at)?)?
            .put(&Key::conversation(from), "conversation", &left)?
            .put(&Key::conversation(to), "conversation", &ConversationPointer::to(session))
    }
}

fn moved(session: &Session, from: &ConversationId, to: &ConversationId, now: Timestamp) -> Result<Change> {
    Ok(Change {
        // The bot has to announce the agent again in the new conversation.
        expression: "SET conversation_id = :to, active_at = :now, moves = :moves, left_conversations = :left \
                     REMOVE agent_told, earlier_agents",
        condition: "session_state = :active AND conversation_id = :from",
        values: vec![
            (":to", text(to)),
            (":now", text(now)),
            (":moves", number(session.moves.saturating_add(1))),
            (":left", value(&[session.left_conversations.as_slice(), std::slice::from_ref(from)].concat())?),
            (":active", value(&State::Active)?),
            (":from", text(from)),
        ],
    })
}
