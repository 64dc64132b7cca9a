//! A session's move to a fresh conversation: the new one, and the note that the old one has to hear its end.

use serde::Serialize;

use super::keys::Key;
use super::lane::{Accepted, Arrival, Lease};
use super::lanes::{ARRIVAL_WRITES, TRAIL_WRITE, with_lease, without_lease};
use super::transaction::Change;
use super::{ConversationPointer, Result, Session, State, Table, number, text, value};
use crate::clock::Timestamp;
use crate::ids::ConversationId;

/// Position of the session in the transaction, behind the writes of an arrival.
const SESSION_WRITE: usize = ARRIVAL_WRITES;

impl Table {
    /// Moves `session` from the conversation that it was read with to `to`, and puts `farewell`, which tells the old one, into
    /// its lane; both or neither.
    ///
    /// The old conversation leads to the session until `expires_at`, marked as left. Nobody is announced in the new one yet.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error). `None` means that the session has ended or moved meanwhile.
    pub async fn move_session<T: Serialize + Clone>(
        &self,
        session: &Session,
        to: &ConversationId,
        farewell: &Arrival<'_, T>,
        lease: &Lease,
        expires_at: Timestamp,
    ) -> Result<Option<Accepted>> {
        let Some(from) = &session.conversation_id else { return Ok(None) };
        let to_free = (with_lease(farewell, lease), Accepted::WithLease);
        let to_held = (without_lease(farewell, lease.until), Accepted::WithoutLease);
        loop {
            for (lane_change, accepted) in [&to_free, &to_held] {
                let left = Change {
                    expression: "SET has_moved = :yes, expires_at = :expires",
                    condition: "",
                    values: vec![(":yes", value(&true)?), (":expires", number(expires_at.unix_seconds()))],
                };
                let outcome = self
                    .arrive(farewell, lane_change.clone())?
                    .update(&Key::session(&session.session_id), moved(session, from, to, farewell.received_at)?)?
                    .update(&Key::conversation(from), left)?
                    .put(&Key::conversation(to), "conversation", &ConversationPointer::to(session))?
                    .commit("table move_session")
                    .await?;
                if outcome.is_done() {
                    return Ok(Some(*accepted));
                }
                if outcome.refused(SESSION_WRITE) || outcome.refused(TRAIL_WRITE) {
                    return Ok(None);
                }
            }
            // The holder has given the lease back between the two.
        }
    }
}

fn moved(session: &Session, from: &ConversationId, to: &ConversationId, now: Timestamp) -> Result<Change> {
    Ok(Change {
        expression: "SET conversation_id = :to, active_at = :now, moves = :moves REMOVE agent_told, earlier_agents",
        condition: "session_state = :active AND conversation_id = :from",
        values: vec![
            (":to", text(to)),
            (":now", text(now)),
            (":moves", number(session.moves.saturating_add(1))),
            (":active", value(&State::Active)?),
            (":from", text(from)),
        ],
    })
}
