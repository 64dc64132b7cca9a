//! Sessions and the two pointers that lead to them.

use serde::{Deserialize, Serialize};

use super::calls::{CallRecord, FirstAnswer};
use super::keys::{DUE_SHARD, Key};
use super::lane::Lane;
use super::records::Record;
use super::transaction::{Attempt, Change};
use super::{Result, Table, number, text, value};
use crate::botcopy::Channel;
use crate::botpress::Install;
use crate::botpress::signature::SignedCall;
use crate::clock::Timestamp;
use crate::ids::{AgentId, ChatId, ConversationId, CustomerId, GroupId, SessionId, ThreadId, UserId};
use crate::redacted::Redacted;

/// Where a session's bot lives, and what it takes to reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// Botpress: the install that escalated.
    Botpress(Install),
    /// Botcopy: the user of the bot that asked for a person.
    Botcopy(Channel),
}

impl Platform {
    /// The bot, by the id that its platform gives it.
    pub fn bot_id(&self) -> &str {
        match self {
            Self::Botpress(install) => install.bot_id.as_str(),
            Self::Botcopy(channel) => channel.bot_id.as_str(),
        }
    }
}

/// One handoff, from escalation to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Ours.
    pub session_id: SessionId,
    /// How far it is; stored as `session_state`, since `state` is a reserved word.
    #[serde(rename = "session_state")]
    pub state: State,
    /// Where the bot is, as it is needed for calls back to it.
    pub platform: Platform,
    /// The end user, by the bot platform's id.
    pub user_id: UserId,
    /// The group that was asked for.
    pub group_id: GroupId,
    /// The user's language by its code, `de-at`, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Fingerprint of the start request, by which a repeat is told from a new escalation.
    pub request_digest: String,
    /// How often the request's history had the bot's hand-off text: a second click in the same conversation finds it more often.
    #[serde(default)]
    pub handoff_texts: usize,
    /// Who is starting it, while nobody has finished that.
    pub claim: Claim,
    /// When the escalation was claimed.
    pub started_at: Timestamp,
    /// The thread of the user's session before, if that is known: it was closed when this session's own was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier_thread_id: Option<ThreadId>,
    /// The LiveChat side, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<Thread>,
    /// The bot side, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// Until when LiveChat may still be at work on a call of the start; known once the start is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_doubt_until: Option<Timestamp>,
    /// When the start was finished: the settle time counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_at: Option<Timestamp>,
    /// How often the session has moved to a fresh conversation.
    #[serde(default)]
    pub moves: u32,
    /// The conversations that it has left, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_conversations: Vec<ConversationId>,
    /// The agent that the bot was told of last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_told: Option<AgentTold>,
    /// The agents that the bot was told of before that one, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_agents: Vec<AgentTold>,
    /// When the bot was told of the first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_at: Option<Timestamp>,
    /// How many announcements there were: tells a second transfer to an agent from a repeat of the first.
    #[serde(default)]
    pub announcements: u32,
    /// What the agents shall read first, while the start has to be finished without whoever asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening: Option<Redacted>,
    /// When the bot's pause was last known to begin anew, where the platform pauses bots for a limited time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Timestamp>,
    /// How often in a row the thread was read without finding anything that no webhook had brought.
    #[serde(default)]
    pub silent_reads: u32,
    /// Up to this number, what the thread's events tell is in the lane: a reading has seen to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_up_to: Option<u64>,
    /// Whether the thread has to be read whatever has arrived lately: after an outage of ours.
    #[serde(default)]
    pub must_read: bool,
    /// Whether the bot knows that the session is over, once it is; not known of sessions that an earlier version has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot_told: Option<bool>,
    /// When the session's records were last kept from expiring; not before its first day is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_at: Option<Timestamp>,
    /// Whether LiveChat has said that nobody of the group is online; a start learns it anew, so that it is not stored.
    #[serde(skip)]
    pub nobody_online: bool,
    /// The sentence with which the start failed, for those who waited for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl Session {
    /// What the bot was told of an agent, if it was told.
    pub fn announced(&self, agent_id: &AgentId) -> Option<&AgentTold> {
        self.agent_told.iter().chain(&self.earlier_agents).find(|told| told.agent_id == *agent_id)
    }

    /// Makes `agent` the one that the bot was told of last.
    pub fn announce(&mut self, agent: AgentTold) {
        self.assigned_at = self.assigned_at.or(agent.announced_at);
        self.earlier_agents.extend(self.agent_told.take());
        self.earlier_agents.retain(|earlier| earlier.agent_id != agent.agent_id);
        self.agent_told = Some(agent);
        self.announcements = self.announcements.saturating_add(1);
    }
}

/// An agent that the bot was told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentTold {
    /// LiveChat's id.
    pub agent_id: AgentId,
    /// The bot platform's user that stands for them, where it has such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// Display name, where the platform has to be told again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Redacted>,
    /// Address of a picture, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture_url: Option<Redacted>,
    /// When the bot was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced_at: Option<Timestamp>,
}

/// Where a session stands; it only ever moves on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Claimed; chat and conversation are being made.
    Starting,
    /// Messages flow.
    Active,
    /// Ended by one side; the other has not been told yet.
    Closing,
    /// Over on both sides.
    Closed,
}

/// Who may work on a start, and until when without a sign of life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// A value that only the claimant knows.
    pub holder: String,
    /// After this, anybody may take over.
    pub until: Timestamp,
}

/// A LiveChat thread of a customer's only chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// The chat.
    pub chat_id: ChatId,
    /// The thread.
    pub thread_id: ThreadId,
}

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

/// Leads from a Botpress conversation to its session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConversationPointer {
    /// The session; a conversation has one for ever.
    pub session_id: SessionId,
    /// The end user of the session.
    pub user_id: UserId,
    /// Whether the session has moved on to another conversation: words still reach the agents, an end concerns nobody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_moved: bool,
}

/// Leads from a LiveChat chat to the latest session in it, with what is needed to judge an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatPointer {
    /// The latest session.
    pub session_id: SessionId,
    /// The end user of the session.
    pub user_id: UserId,
    /// The customer whose chat it is.
    pub customer_id: CustomerId,
    /// The session's thread; events of any other concern nobody, however late or early they come.
    pub thread_id: ThreadId,
}

impl ConversationPointer {
    /// Leads to `session`.
    pub fn to(session: &Session) -> Self {
        Self { session_id: session.session_id.clone(), user_id: session.user_id.clone(), has_moved: false }
    }
}

impl ChatPointer {
    /// Leads to `session` from the chat in which it has this thread.
    pub fn to(session: &Session, customer_id: &CustomerId, thread: &Thread) -> Self {
        Self {
            session_id: session.session_id.clone(),
            user_id: session.user_id.clone(),
            customer_id: customer_id.clone(),
            thread_id: thread.thread_id.clone(),
        }
    }
}

impl Table {
    /// Reads a session.
    ///
    /// # Errors
    ///
    /// As all reads: see [`Error`](super::Error).
    pub async fn session(&self, id: &SessionId) -> Result<Option<Session>> {
        self.get(&Key::session(id)).await
    }

    /// Finds the session of a Botpress conversation.
    ///
    /// # Errors
    ///
    /// As all reads: see [`Error`](super::Error).
    pub async fn find_by_conversation(
        &self,
        id: &ConversationId,
        now: Timestamp,
    ) -> Result<Option<ConversationPointer>> {
        self.get_unexpired(&Key::conversation(id), now).await
    }

    /// Finds the latest session of a LiveChat chat; none means that the chat is not ours.
    ///
    /// # Errors
    ///
    /// As all reads: see [`Error`](super::Error).
    pub async fn find_by_chat(&self, id: &ChatId) -> Result<Option<ChatPointer>> {
        self.get(&Key::chat(id)).await
    }

    /// Makes `session` the user's session, unless the user is no longer in the one named `previous`.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn claim_start(&self, session: &Session, previous: Option<&SessionId>) -> Result<bool> {
        let mut values =
            vec![(":id", text(&session.user_id)), (":entity", text("user")), (":session", text(&session.session_id))];
        let condition = match previous {
            None => "attribute_not_exists(session_id)",
            Some(previous) => {
                values.push((":previous", text(previous)));
                "session_id = :previous"
            }
        };
        // Nothing of a user in a session expires.
        let expression = "SET user_id = :id, entity = :entity, session_id = :session REMOVE expires_at";
        let transaction = self
            .transaction()
            .create(&Key::session(&session.session_id), "session", &Claimed::new(session))?
            .update(&Key::user(&session.user_id), Change { expression, condition, values })?;
        let mut tries = self.tries_until(session.claim.until);
        loop {
            match transaction.attempt("table claim_start").await? {
                Attempt::Through(outcome) => return Ok(outcome.is_done()),
                Attempt::Met(error) => tries.pause(error).await?,
            }
            // Most likely it met another claim, and that one has been granted.
            let user = self.user(&session.user_id).await?;
            if user.and_then(|user| user.session_id).as_ref() != previous {
                return Ok(false);
            }
        }
    }

    /// Takes a start over from a claimant that went silent; `claim` replaces the claim seen in `session`.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
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

    /// Records the session's thread, from when on LiveChat's webhooks find the session.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error). `false` means that the claim was lost.
    pub async fn open_thread(&self, session: &Session, thread: &Thread, pointer: &ChatPointer) -> Result<bool> {
        let session_change = Change {
            expression: "SET thread = :thread",
            condition: "session_state = :starting AND claim.holder = :holder",
            values: vec![
                (":thread", value(thread)?),
                (":starting", value(&State::Starting)?),
                (":holder", text(&session.claim.holder)),
            ],
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
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error). `false` means that the claim was lost.
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
            expression: "SET session_state = :active, conversation_id = :conversation, active_at = :now, due_at = :read \
                         REMOVE opening",
            condition: "session_state = :starting AND claim.holder = :holder",
            values: vec![
                (":active", value(&State::Active)?),
                (":conversation", text(conversation_id)),
                (":now", text(now)),
                (":read", text(first_read_at)),
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

    /// Takes the turn to read an active session's thread, unless somebody else has; `next` is when it is due again.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn take_read(&self, id: &SessionId, now: Timestamp, next: Timestamp, silent_reads: u32) -> Result<bool> {
        let change = Change {
            expression: "SET due_at = :next, silent_reads = :reads REMOVE must_read",
            condition: "session_state = :active AND due_at <= :now",
            values: vec![
                (":next", text(next)),
                (":reads", number(silent_reads)),
                (":active", value(&State::Active)?),
                (":now", text(now)),
            ],
        };
        self.update("table take_read", &Key::session(id), change).await
    }

    /// Makes an active session's thread due to be read at `due_at`, whatever will have arrived lately.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn hasten_read(&self, id: &SessionId, due_at: Timestamp) -> Result<()> {
        let change = Change {
            expression: "SET due_at = :then, must_read = :yes",
            condition: "session_state = :active",
            values: vec![(":then", text(due_at)), (":active", value(&State::Active)?), (":yes", value(&true)?)],
        };
        self.update("table hasten_read", &Key::session(id), change).await?;
        Ok(())
    }

    /// Notes up to which number a reading has seen to the events of a session's thread.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn note_read(&self, id: &SessionId, up_to: u64) -> Result<()> {
        let change = Change {
            expression: "SET read_up_to = :number",
            condition: "attribute_exists(pk) AND (attribute_not_exists(read_up_to) OR read_up_to < :number)",
            values: vec![(":number", number(up_to))],
        };
        self.update("table note_read", &Key::session(id), change).await.map(drop)
    }

    /// Records which agents the bot of `session` has been told of; `before` is the one it was told of last before that.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error). `false` means that the bot has been told of another one meanwhile.
    pub async fn put_announced(&self, session: &Session, before: Option<&AgentTold>) -> Result<bool> {
        let mut values = vec![
            (":agent", value(&session.agent_told)?),
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

    /// Records when the bot's pause began anew.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
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
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error). `false` means that it was ending, or over, already.
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

    /// Marks a start that has failed, so that nobody can take it over any more; `failure` is the sentence for those who
    /// wait for it. It stays due for the sweep until it is closed.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error). `false` means that the claim was lost: the start is somebody else's.
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
        ];
        let mut expression = "SET session_state = :closing, in_doubt_until = :doubt REMOVE opening";
        if let Some(failure) = failure {
            expression = "SET session_state = :closing, in_doubt_until = :doubt, failure = :failure REMOVE opening";
            values.push((":failure", text(failure)));
        }
        let condition = "session_state = :starting AND claim.holder = :holder";
        let change = Change { expression, condition, values };
        self.update("table begin_undoing", &Key::session(&session.session_id), change).await
    }

    /// Notes that the bot knows of a session's end.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn note_bot_told(&self, id: &SessionId) -> Result<()> {
        let change = Change {
            expression: "SET bot_told = :told",
            condition: "attribute_exists(pk)",
            values: vec![(":told", value(&true)?)],
        };
        self.update("table note_bot_told", &Key::session(id), change).await.map(drop)
    }

    /// Marks a session as over on both sides; what is left of it disappears at `expires_at`, and so does its user, unless they come
    /// back. It leaves its `record`, in the same write. A session that was erased stays erased.
    ///
    /// `false` means that it was over before, or is forgotten, and nothing was written.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn close(&self, session: &Session, record: &Record, expires_at: Timestamp) -> Result<bool> {
        let id = &session.session_id;
        let expires = (":expires", number(expires_at.unix_seconds()));
        let expiry = |condition| {
            let of_session = (condition == OF_SESSION).then(|| (":session", text(id)));
            let values = [expires.clone()].into_iter().chain(of_session).collect();
            Change { expression: "SET expires_at = :expires", condition, values }
        };
        for left in &session.left_conversations {
            self.update("table close", &Key::conversation(left), expiry("attribute_exists(pk)")).await?;
        }
        let closed = Change {
            expression: "SET session_state = :closed, expires_at = :expires, bot_told = :told \
                         REMOVE opening, due_shard, due_at",
            condition: "attribute_exists(pk) AND session_state <> :closed",
            values: vec![(":closed", value(&State::Closed)?), expires.clone(), (":told", value(&session.bot_told)?)],
        };
        let user = Some((Key::user(&session.user_id), OF_SESSION));
        let chat = session.thread.as_ref().map(|thread| (Key::chat(&thread.chat_id), OF_SESSION));
        let conversation = session.conversation_id.as_ref().map(|id| (Key::conversation(id), "attribute_exists(pk)"));
        let mut leading: Vec<_> = user.into_iter().chain(chat).chain(conversation).collect();
        loop {
            let mut transaction = self
                .transaction()
                .update(&Key::session(id), closed.clone())?
                .update(&Key::lane(id, Lane::ToAgent), expiry(""))?
                .update(&Key::lane(id, Lane::ToBot), expiry(""))?
                .put(&Key::record(session.started_at, id), "record", record)?;
            for (key, condition) in &leading {
                transaction = transaction.update(key, expiry(*condition))?;
            }
            let outcome = transaction.commit("table close", self.tries()).await?;
            if outcome.is_done() || outcome.refused(0) {
                return Ok(outcome.is_done());
            }
            // What does not lead to this session any more has a life of its own.
            let refused = |index: usize| outcome.refused(index + OWN_WRITES);
            leading =
                leading.into_iter().enumerate().filter(|(index, _)| !refused(*index)).map(|(_, one)| one).collect();
        }
    }
}

/// How many writes of [`Table::close`] are of the session itself.
const OWN_WRITES: usize = 4;

/// What leads to a user's latest session.
const OF_SESSION: &str = "session_id = :session";
