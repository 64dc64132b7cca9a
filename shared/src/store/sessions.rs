//! Sessions and the two pointers that lead to them.

use serde::Serialize;

use super::calls::CallRecord;
use super::keys::{DUE_SHARD, Key};
use super::transaction::{Change, Try};
use super::{Result, Table, number, text, value};
use crate::clock::Timestamp;
use crate::ids::{ChatId, ConversationId, SessionId};
use crate::model::call::{FirstAnswer, SignedCall};
use crate::model::session::{AnnouncedAgent, ChatPointer, Claim, ConversationPointer, Session, State, Thread};

/// A session as it is first written: due for the sweep as soon as its claimant has gone silent.
#[derive(Serialize)]
struct Claimed<'a> {
    #[serde(flatten)]
    session: &'a Session,
    due_shard: &'static str,
    due_at: Timestamp,
}

impl<'a> Claimed<'a> {
    const fn new(session: &'a Session) -> Self {
        Self { session, due_shard: DUE_SHARD, due_at: session.claim.until }
    }
}

impl Table {
    /// Reads a session.
    pub async fn session(&self, id: &SessionId) -> Result<Option<Session>> {
        self.get(&Key::session(id)).await
    }

    /// Finds the session of a Botpress conversation.
    pub async fn find_by_conversation(
        &self,
        id: &ConversationId,
        now: Timestamp,
    ) -> Result<Option<ConversationPointer>> {
        self.get_unexpired(&Key::conversation(id), now).await
    }

    /// Finds the latest session of a LiveChat chat; `None` means that the service did not open the chat.
    pub async fn find_by_chat(&self, id: &ChatId) -> Result<Option<ChatPointer>> {
        self.get(&Key::chat(id)).await
    }

    /// Makes `session` the user's session, unless the user is no longer in `previous`, or calls are in doubt beyond `closing_until`, the
    /// value that the claimant has read.
    pub async fn claim_start(
        &self,
        session: &Session,
        previous: Option<&SessionId>,
        closing_until: Option<Timestamp>,
    ) -> Result<bool> {
        let mut values =
            vec![(":id", text(&session.user_id)), (":entity", text("user")), (":session", text(&session.session_id))];
        let condition = match previous {
            None => "attribute_not_exists(session_id)",
            Some(previous) => {
                values.push((":previous", text(previous)));
                values.push((":closing", text(closing_until.unwrap_or(NEVER))));
                "session_id = :previous AND (attribute_not_exists(closing_until) OR closing_until <= :closing)"
            }
        };
        // The record of a user in a session does not expire.
        let expression = "SET user_id = :id, entity = :entity, session_id = :session REMOVE expires_at";
        let transaction = self
            .transaction()
            .create(&Key::session(&session.session_id), "session", &Claimed::new(session))?
            .update(&Key::user(&session.user_id), Change { expression, condition, values })?;
        let mut tries = self.tries_until(session.claim.until);
        loop {
            match transaction.attempt("table claim_start").await? {
                Try::Through(outcome) => return Ok(outcome.is_done()),
                Try::Met(error) => tries.pause(error).await?,
            }
            // Most likely it conflicted with another claim, which was granted.
            let user = self.user(&session.user_id).await?;
            if user.and_then(|user| user.session_id).as_ref() != previous {
                return Ok(false);
            }
        }
    }

    /// Takes a start over from a claimant that went silent; `claim` replaces the claim seen in `session`.
    pub async fn take_over_start(&self, session: &Session, claim: &Claim) -> Result<bool> {
        let change = Change {
            expression: "SET claim = :claim, due_at = :until",
            condition: "session_state = :starting AND claim.holder = :seen",
            values: vec![
                (":claim", value(claim)?),
                (":until", text(claim.until)),
                (":starting", value(&State::Starting)?),
                (":seen", text(&session.claim.holder)),
            ],
        };
        let key = Key::session(&session.session_id);
        self.update("table take_over_start", &key, change).await
    }

    /// Records the session's thread; from then on LiveChat's webhooks find the session.
    ///
    /// `false` means that the claim was lost.
    pub async fn open_thread(&self, session: &Session, thread: &Thread, pointer: &ChatPointer) -> Result<bool> {
        let mut values = vec![
            (":thread", value(thread)?),
            (":starting", value(&State::Starting)?),
            (":holder", text(&session.claim.holder)),
        ];
        values.extend(session.read_up_to.map(|up_to| (":number", number(up_to))));
        let session_change = Change {
            expression: match session.read_up_to {
                Some(_) => "SET thread = :thread, read_up_to = :number",
                None => "SET thread = :thread",
            },
            condition: "session_state = :starting AND claim.holder = :holder",
            values,
        };
        let user_change = Change {
            expression: "SET chat_id = :chat, thread_id = :thread",
            condition: "session_id = :session",
            values: vec![
                (":chat", text(&thread.chat_id)),
                (":thread", text(&thread.thread_id)),
                (":session", text(&session.session_id)),
            ],
        };
        let transaction = self
            .transaction()
            .update(&Key::session(&session.session_id), session_change)?
            .update(&Key::user(&session.user_id), user_change)?
            .put(&Key::chat(&thread.chat_id), "chat", pointer)?;
        Ok(transaction.commit("table open_thread", self.tries_until(session.claim.until)).await?.is_done())
    }

    /// Finishes a start: from now on messages flow.
    ///
    /// `false` means that the claim was lost.
    pub async fn activate(
        &self,
        session: &Session,
        conversation_id: &ConversationId,
        now: Timestamp,
        first_read_at: Timestamp,
        call: Option<&SignedCall>,
    ) -> Result<bool> {
        let pointer = ConversationPointer::to(session);
        let change = Change {
            expression: "SET session_state = :active, conversation_id = :conversation, active_at = :now, due_at = :read, \
                         start_calls = :calls REMOVE opening",
            condition: "session_state = :starting AND claim.holder = :holder",
            values: vec![
                (":active", value(&State::Active)?),
                (":conversation", text(conversation_id)),
                (":now", text(now)),
                (":read", text(first_read_at)),
                (":calls", value(&session.start_calls)?),
                (":starting", value(&State::Starting)?),
                (":holder", text(&session.claim.holder)),
            ],
        };
        let mut transaction = self.transaction().update(&Key::session(&session.session_id), change)?.put(
            &Key::conversation(conversation_id),
            "conversation",
            &pointer,
        )?;
        if let Some(call) = call {
            let record = CallRecord::new(call, FirstAnswer::Given(conversation_id.to_string()));
            transaction = transaction.put(&Key::call(&call.id), "call", &record)?;
        }
        Ok(transaction.commit("table activate", self.tries_until(session.claim.until)).await?.is_done())
    }

    /// Takes the turn to check an active session's thread, unless another invocation has; `next` is when it is due again, and `reads`
    /// whether the thread is read now.
    pub async fn take_read(
        &self,
        id: &SessionId,
        now: Timestamp,
        next: Timestamp,
        silent_reads: u32,
        reads: bool,
    ) -> Result<bool> {
        let change = Change {
            expression: "SET due_at = :next, silent_reads = :reads REMOVE must_read ADD readings :more",
            condition: "session_state = :active AND due_at <= :now",
            values: vec![
                (":next", text(next)),
                (":reads", number(silent_reads)),
                (":more", number(u8::from(reads))),
                (":active", value(&State::Active)?),
                (":now", text(now)),
            ],
        };
        self.update("table take_read", &Key::session(id), change).await
    }

    /// Makes an active session's thread due to be read at `due_at`, even if items arrive before that.
    pub async fn hasten_read(&self, id: &SessionId, due_at: Timestamp) -> Result<()> {
        let change = Change {
            expression: "SET due_at = :then, must_read = :yes",
            condition: "session_state = :active",
            values: vec![(":then", text(due_at)), (":active", value(&State::Active)?), (":yes", value(&true)?)],
        };
        self.update("table hasten_read", &Key::session(id), change).await?;
        Ok(())
    }

    /// Records the number up to which a read has handled the events of a session's thread.
    pub async fn note_read(&self, id: &SessionId, up_to: u64) -> Result<()> {
        let change = Change {
            expression: "SET read_up_to = :number",
            condition: "attribute_exists(pk) AND (attribute_not_exists(read_up_to) OR read_up_to < :number)",
            values: vec![(":number", number(up_to))],
        };
        self.update("table note_read", &Key::session(id), change).await.map(drop)
    }

    /// Records the agents announced to the bot of `session`; `before` is the one who was announced last until now.
    ///
    /// `false` means that another one has been announced meanwhile.
    pub async fn put_announced(&self, session: &Session, before: Option<&AnnouncedAgent>) -> Result<bool> {
        let mut values = vec![
            (":agent", value(&session.announced_agent)?),
            (":earlier", value(&session.earlier_agents)?),
            (":count", number(session.announcements)),
            (":first", value(&session.assigned_at)?),
        ];
        let condition = match before {
            None => "attribute_not_exists(agent_told.agent_id)",
            Some(before) => {
                values.push((":before", text(&before.agent_id)));
                "agent_told.agent_id = :before"
            }
        };
        let expression = "SET agent_told = :agent, earlier_agents = :earlier, announcements = :count, \
                          assigned_at = :first";
        let change = Change { expression, condition, values };
        self.update("table put_announced", &Key::session(&session.session_id), change).await
    }

    /// Records when the bot's pause last began.
    pub async fn put_paused_at(&self, id: &SessionId, paused_at: Timestamp) -> Result<()> {
        let change = Change {
            expression: "SET paused_at = :at",
            condition: "attribute_exists(pk)",
            values: vec![(":at", text(paused_at))],
        };
        self.update("table put_paused_at", &Key::session(id), change).await?;
        Ok(())
    }

    /// Marks a session that one side has ended.
    ///
    /// `false` means that it was ending, or over, already.
    pub async fn begin_closing(&self, id: &SessionId) -> Result<bool> {
        let change = Change {
            expression: "SET session_state = :closing REMOVE opening, due_shard, due_at",
            condition: "session_state IN (:starting, :active)",
            values: vec![
                (":closing", value(&State::Closing)?),
                (":starting", value(&State::Starting)?),
                (":active", value(&State::Active)?),
            ],
        };
        self.update("table begin_closing", &Key::session(id), change).await
    }

    /// Marks a start that has failed, so that no invocation can take it over any more; `failure` is the sentence for the callers that
    /// wait for it. It stays due for the sweep until it is closed.
    ///
    /// `false` means that the claim was lost: another invocation has the start.
    pub async fn begin_undoing(
        &self,
        session: &Session,
        failure: Option<&str>,
        in_doubt_until: Timestamp,
    ) -> Result<bool> {
        let mut values = vec![
            (":closing", value(&State::Closing)?),
            (":starting", value(&State::Starting)?),
            (":holder", text(&session.claim.holder)),
            (":doubt", text(in_doubt_until)),
            (":operator", value(&session.closed_by_operator)?),
        ];
        let mut expression =
            "SET session_state = :closing, in_doubt_until = :doubt, closed_by_operator = :operator REMOVE opening";
        if let Some(failure) = failure {
            expression = "SET session_state = :closing, in_doubt_until = :doubt, closed_by_operator = :operator, \
                          failure = :failure REMOVE opening";
            values.push((":failure", text(failure)));
        }
        let condition = "session_state = :starting AND claim.holder = :holder";
        let change = Change { expression, condition, values };
        self.update("table begin_undoing", &Key::session(&session.session_id), change).await
    }

    /// Records that the bot has been told of a session's end.
    pub async fn note_bot_told(&self, id: &SessionId) -> Result<()> {
        let change = Change {
            expression: "SET bot_told = :told",
            condition: "attribute_exists(pk)",
            values: vec![(":told", value(&true)?)],
        };
        self.update("table note_bot_told", &Key::session(id), change).await.map(drop)
    }
}

/// A time before any doubt.
const NEVER: Timestamp = Timestamp::from_unix_millis(0);
