//! The means of the play: the bot's side of the stack, the agent's and the customer's side of LiveChat, and the table.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;
use serde_json::{Value, json};
use shared::clock::{Clock, Timestamp};
use shared::ids::{ChatId, SessionId, UserId};
use shared::livechat::{Caller, Client, Probed};
use shared::model::lane::Outcome as Fate;
use shared::model::session::{Install, Session, State};
use shared::model::user::User;
use shared::operator::probe::Endpoint;
use shared::redacted::Redacted;
use shared::secrets::Secrets;
use shared::store::{LifeEvent, Table};

use super::report::{Outcome, Report, Timed, Verdict};
use super::statements::Id;
use crate::arguments::AnsweredBy;
use crate::output::{Failure, causes};
use crate::target::Target;

/// How long to wait for an effect.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How often to check for it; reads of the table cost next to nothing.
const BETWEEN: Duration = Duration::from_millis(250);

/// The number of steps of a rehearsal.
pub(super) const STEPS: usize = 12;

/// What must be closed in any case.
#[derive(Debug, Default)]
pub(super) struct Opened {
    pub user_id: Option<UserId>,
    /// Set while a start is in progress whose session is not known yet: the session before it.
    pub starting: Option<Option<SessionId>>,
    /// Chats that should not have been created.
    pub chats: Vec<ChatId>,
}

/// The surroundings of every scene.
pub(super) struct Stage<'a> {
    pub target: &'a Target,
    pub livechat: Client,
    pub table: Table,
    pub endpoint: Endpoint,
    pub install: Install,
    pub secrets: Secrets,
    /// Acts for the agent.
    pub token: Redacted,
    /// The e-mail address of that agent.
    pub agent: String,
    pub client_id: String,
    pub group: u32,
    pub answered_by: AnsweredBy,
    /// How long to wait for a person.
    pub wait: Duration,
    pub clock: Clock,
    pub report: Mutex<Report>,
    pub opened: Mutex<Opened>,
    pub progress: Mutex<&'a mut (dyn Write + Send)>,
    /// The number of steps that have begun.
    pub steps: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage<'_> {
    pub(crate) fn report(&self) -> MutexGuard<'_, Report> {
        lock(&self.report)
    }

    pub(crate) fn opened(&self) -> MutexGuard<'_, Opened> {
        lock(&self.opened)
    }

    /// Prints the progress of the rehearsal.
    pub(crate) fn step(&self, what: &str) {
        let number = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        self.say(&format!("{number} of {STEPS}: {what}"));
    }

    pub(crate) fn say(&self, progress: &str) {
        let _ = writeln!(lock(&self.progress), "{progress}");
    }

    pub(crate) fn ok(&self, name: &'static str, says: impl Into<String>, took: Option<Duration>) {
        self.report().step(name, Outcome::Ok, says, took.map(|took| took.as_millis()));
    }

    pub(crate) fn not_seen(&self, name: &'static str, why: impl Into<String>) {
        self.report().step(name, Outcome::NotSeen, why, None);
    }

    pub(crate) fn failed(&self, name: &'static str, why: impl Into<String>) {
        self.report().step(name, Outcome::Failed, why, None);
    }

    /// Records whether a statement holds; `says` is what was seen instead.
    pub(crate) fn judge(&self, id: Id, holds: bool, says: &str) {
        let (verdict, says) = if holds { (Verdict::Holds, "") } else { (Verdict::DoesNotHold, says) };
        self.report().judge(id, verdict, says);
    }

    /// Records whether LiveChat refuses as expected.
    pub(crate) fn judge_refusal(&self, id: Id, answer: &Probed, expected: &[&str]) {
        let holds = !answer.is_success() && answer.error_type().is_some_and(|kind| expected.contains(&kind));
        self.judge(id, holds, &format!("Seen: {}.", described(answer)));
    }

    /// Calls an action of the stack as Botpress does, and returns its output.
    pub(crate) async fn action(&self, action: &'static str, input: Value) -> Result<Value, Failure> {
        let answer = self.operate("action_triggered", action, &json!({"type": action, "input": input})).await?;
        match answer.0 {
            200 => Ok(answer.1.get("output").cloned().unwrap_or_default()),
            status => {
                let said = answer.1.get("message").and_then(Value::as_str).unwrap_or("nothing");
                Err(Failure::refused(format!("the stack answered {action} with {status}: {said}")))
            }
        }
    }

    /// Calls an operation of the stack as Botpress does; `name` is its name in the report.
    pub(crate) async fn operate(&self, operation: &str, name: &str, body: &Value) -> Result<(u16, Value), Failure> {
        let keys = (self.secrets.botpress_path_key.as_ref(), self.secrets.botpress_signing_secret.as_ref());
        let began = self.clock.now();
        let answer = self.endpoint.operate(keys, &self.install, (operation, body), began).await;
        self.note(format!("stack: {name}"), answer.as_ref().ok().map(|answer| answer.status), began);
        let answer = answer?;
        Ok((answer.status, serde_json::from_str(&answer.body).unwrap_or_default()))
    }

    /// Acts as the agent; a refusal is an answer.
    pub(crate) async fn agent(&self, action: &'static str, body: &Value) -> Result<Probed, Failure> {
        self.probe("agent", Caller::Agent(&self.token), action, body).await
    }

    /// Acts as the agent; a refusal ends the play.
    pub(crate) async fn agent_must(&self, action: &'static str, body: &Value) -> Result<Value, Failure> {
        let answer = self.agent(action, body).await?;
        match answer.is_success() {
            true => Ok(answer.body),
            false => Err(Failure::refused(format!("LiveChat refused the agent's {action}: {}", described(&answer)))),
        }
    }

    /// Acts as the rehearsal's customer.
    pub(crate) async fn customer(
        &self,
        token: &Redacted,
        action: &'static str,
        body: &Value,
    ) -> Result<Probed, Failure> {
        self.probe("customer", Caller::Customer(token), action, body).await
    }

    async fn probe(
        &self,
        side: &str,
        caller: Caller<'_>,
        action: &'static str,
        body: &Value,
    ) -> Result<Probed, Failure> {
        let began = self.clock.now();
        let answer = self.livechat.probe(caller, action, body).await;
        self.note(format!("{side}: {action}"), answer.as_ref().ok().map(|answer| answer.status), began);
        Ok(answer?)
    }

    pub(crate) fn note(&self, call: String, status: Option<u16>, began: Timestamp) {
        let took_ms = self.clock.now().since(began).as_millis();
        self.report().calls.push(Timed { call, status, took_ms });
    }

    /// Polls until `look` returns something; none after [`PATIENCE`].
    pub(crate) async fn until<T>(
        &self,
        look: impl AsyncFnMut() -> Result<Option<T>, Failure>,
    ) -> Result<Option<T>, Failure> {
        self.until_within(PATIENCE, look).await
    }

    /// Polls until `look` returns something; none after `limit`.
    pub(crate) async fn until_within<T>(
        &self,
        limit: Duration,
        mut look: impl AsyncFnMut() -> Result<Option<T>, Failure>,
    ) -> Result<Option<T>, Failure> {
        let until = self.clock.now() + limit;
        loop {
            if let Some(seen) = look().await? {
                return Ok(Some(seen));
            }
            if self.clock.now() >= until {
                return Ok(None);
            }
            self.clock.sleep(BETWEEN).await;
        }
    }

    pub(crate) async fn user(&self, user_id: &UserId) -> Result<User, Failure> {
        let user = self.table.user(user_id).await?;
        user.ok_or_else(|| Failure::refused("the table does not have the rehearsal's user; is it this stack's table?"))
    }

    pub(crate) async fn session(&self, id: &SessionId) -> Result<Session, Failure> {
        let session = self.table.session(id).await?;
        session.ok_or_else(|| Failure::refused("the table does not have the rehearsal's session any more"))
    }

    /// Returns the outcome of a message or an event, once it is known.
    pub(crate) async fn fate(&self, session: &SessionId, id: &str) -> Result<Option<LifeEvent>, Failure> {
        let life = self.table.life(session).await?;
        Ok(life.into_iter().find(|event| is_of(event, id) && event.outcome.is_some()))
    }

    /// Waits until a message or an event is on the other side, and records the step.
    pub(crate) async fn delivered(
        &self,
        name: &'static str,
        session: &SessionId,
        (id, sent_at): (&str, Timestamp),
    ) -> Result<(), Failure> {
        let fate = self.until(async || self.fate(session, id).await).await?;
        let Some(event) = fate else {
            return Err(Failure::refused(format!("{name}: not delivered within {} s ({id})", PATIENCE.as_secs())));
        };
        self.arrived(name, &event, sent_at);
        Ok(())
    }

    /// Records the step of an item that has left its lane, and how long its webhook took.
    pub(crate) fn arrived(&self, name: &'static str, event: &LifeEvent, sent_at: Timestamp) {
        if event.source_id.starts_with("event:")
            && let Some(received_at) = event.received_at
        {
            self.report().webhook_delays_ms.push(received_at.since(sent_at).as_millis());
        }
        match event.outcome {
            Some(Fate::Delivered) => {
                let took = event.finished_at.map(|finished_at| finished_at.since(sent_at));
                self.ok(name, "delivered", took);
            }
            _ => self.failed(name, format!("not delivered; hitl trace {} shows details", event.source_id)),
        }
    }

    /// Waits until a session is closed.
    pub(crate) async fn closed(&self, id: &SessionId, limit: Duration) -> Result<bool, Failure> {
        let closed = self
            .until_within(limit, async || {
                let session = self.table.session(id).await?;
                Ok(session.is_none_or(|session| session.state == State::Closed).then_some(()))
            })
            .await?;
        Ok(closed.is_some())
    }

    pub(crate) async fn is_active(&self, chat_id: &ChatId) -> Result<bool, Failure> {
        let chat = self.agent_must("get_chat", &json!({"chat_id": chat_id})).await?;
        Ok(chat.pointer("/thread/active").and_then(Value::as_bool).unwrap_or(false))
    }
}

fn is_of(event: &LifeEvent, id: &str) -> bool {
    event.source_id.split(':').any(|part| part.split('#').next() == Some(id))
}

/// Describes an answer without the vendor's own words.
pub(super) fn described(answer: &Probed) -> String {
    match answer.error_type() {
        Some(kind) => format!("{} {kind}", answer.status),
        None => answer.status.to_string(),
    }
}

/// Returns the agent that a personal access token belongs to, by the account id in front of it.
pub(super) async fn owner_of(livechat: &Client, token: &Redacted) -> Result<String, Failure> {
    const CURE: &str = "Name the agent that the token belongs to: --agent E-MAIL.";
    let decoded = STANDARD_PAD_INDIFFERENT.decode(token.expose()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let account_id = decoded.as_deref().and_then(|text| text.split_once(':')).map(|(account_id, _)| account_id);
    let answer = livechat.probe(Caller::Owner(token), "list_agents", &json!({})).await;
    let answer = answer.map_err(|error| Failure::refused(format!("LiveChat does not answer ({}).", causes(&error))))?;
    if !answer.is_success() {
        let said = described(&answer);
        return Err(Failure::refused(format!("LiveChat does not list its agents to this token ({said}). {CURE}")));
    }
    let agents = answer.body.as_array().into_iter().flatten();
    let text = |agent: &Value, name: &str| agent.get(name).and_then(Value::as_str).map(str::to_owned);
    let own = agents.filter(|agent| text(agent, "account_id").as_deref() == account_id).find_map(|one| text(one, "id"));
    own.ok_or_else(|| Failure::refused(format!("No agent has the token's account id. {CURE}")))
}
