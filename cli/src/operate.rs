//! Views of sessions and messages, and manual operations on them.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use shared::clock::Timestamp;
use shared::handoff::{Closed, Redriven};
use shared::ids::{SessionId, UserId};
use shared::model::lane::Outcome;
use shared::model::session::{Session, State};
use shared::model::user::User;
use shared::store::{Erased, Kept, LifeEvent, Parked};

use crate::Io;
use crate::arguments::Vendor;
use crate::doctor::named;
use crate::output::{Answer, Exit, Failure};
use crate::target::Target;

/// How long a manual delivery may go on; the sweep does the rest.
const PATIENCE: Duration = Duration::from_secs(30);

/// Every live session is due for something within this time.
pub(crate) const OUTLOOK: Duration = Duration::from_secs(960);

/// A scan prints its progress every so many items.
const SAY_EVERY: usize = 10_000;

/// How often an erasure searches for items that were written while it ran.
const ERASURES: usize = 3;

/// The number of steps of each search.
const STEPS_OF_ERASURE: usize = 3;

/// Prints the progress of a scan of the whole table, if it takes a while.
pub(crate) fn progress<'a>(io: &'a mut Io<'_>) -> impl FnMut(usize) + Send + 'a {
    let mut said = 0;
    let progress = &mut *io.progress;
    move |seen| {
        if seen >= said + SAY_EVERY {
            said = seen;
            let _ = writeln!(progress, "{seen} items read");
        }
    }
}

/// A session in a list.
#[derive(Debug, Serialize)]
struct Row {
    session_id: SessionId,
    state: State,
    started_at: Timestamp,
    open_for_seconds: u64,
    user_id: UserId,
    group_id: u32,
    bot_id: String,
    conversation_id: Option<String>,
    chat_id: Option<String>,
    thread_id: Option<String>,
    agent_told: bool,
}

impl Row {
    fn new(session: &Session, now: Timestamp) -> Self {
        let thread = session.thread.as_ref();
        Self {
            session_id: session.session_id.clone(),
            state: session.state,
            started_at: session.started_at,
            open_for_seconds: now.since(session.started_at).as_secs(),
            user_id: session.user_id.clone(),
            group_id: session.group_id.0,
            bot_id: session.platform.bot_id().to_owned(),
            conversation_id: session.conversation_id.as_ref().map(ToString::to_string),
            chat_id: thread.map(|thread| thread.chat_id.to_string()),
            thread_id: thread.map(|thread| thread.thread_id.to_string()),
            agent_told: session.announced_agent.is_some(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Sessions {
    open: usize,
    sessions: Vec<Row>,
}

impl fmt::Display for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sessions.is_empty() {
            return write!(f, "No session is open.");
        }
        writeln!(f, "{:<32} {:<9} {:>9} {:<31} CHAT", "SESSION", "STATE", "OPEN", "USER")?;
        for row in &self.sessions {
            let chat = row.chat_id.as_deref().unwrap_or("-");
            let (state, open) = (state_name(row.state), for_people(row.open_for_seconds));
            let (session, user) = (row.session_id.as_str(), row.user_id.as_str());
            writeln!(f, "{session:<32} {state:<9} {open:>9} {user:<31} {chat}")?;
        }
        write!(f, "\n{} of {} open", self.sessions.len(), self.open)
    }
}

const fn state_name(state: State) -> &'static str {
    match state {
        State::Starting => "starting",
        State::Active => "active",
        State::Closing => "closing",
        State::Closed => "closed",
    }
}

pub(crate) fn for_people(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `hitl sessions`.
pub(crate) async fn sessions(target: &Target, limit: usize, io: &mut Io<'_>) -> Result<Answer, Failure> {
    let now = io.clock.now();
    let open = target.table()?.open_sessions(&mut progress(io)).await?;
    let sessions = open.iter().take(limit).map(|session| Row::new(session, now)).collect();
    Ok(Answer::done(&Sessions { open: open.len(), sessions }))
}

/// One item of a session's life.
#[derive(Debug, Serialize)]
struct Step {
    /// Whether the caller asked about this item.
    asked: bool,
    #[serde(flatten)]
    event: LifeEvent,
    /// From the source's own time to the end of the delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<u128>,
}

#[derive(Debug, Serialize)]
struct Life {
    #[serde(flatten)]
    session: Row,
    failure: Option<String>,
    steps: Vec<Step>,
}

#[derive(Debug, Serialize)]
struct Trace {
    id: String,
    sessions: Vec<Life>,
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for life in &self.sessions {
            let row = &life.session;
            let or_none = |id: &Option<String>| id.clone().unwrap_or_else(|| "-".to_owned());
            writeln!(f, "session       {} ({}), started {}", row.session_id, state_name(row.state), row.started_at)?;
            writeln!(f, "  user          {} of bot {}, group {}", row.user_id, row.bot_id, row.group_id)?;
            writeln!(f, "  conversation  {}", or_none(&row.conversation_id))?;
            writeln!(f, "  chat, thread  {}, {}", or_none(&row.chat_id), or_none(&row.thread_id))?;
            if let Some(failure) = &life.failure {
                writeln!(f, "  failed        {failure}")?;
            }
            for step in &life.steps {
                writeln!(f, "{step}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LifeEvent { lane, source_id, at, outcome, attempts, vendor_id, .. } = &self.event;
        let mark = if self.asked { '>' } else { ' ' };
        let outcome = match outcome {
            None => "waits",
            Some(Outcome::Delivered) => "delivered",
            Some(Outcome::Dropped) => "dropped",
            Some(Outcome::Parked) => "PARKED",
        };
        write!(f, "{mark} {at}  {:<8} {outcome:<9}  {source_id}", lane.to_string())?;
        if let Some(vendor_id) = vendor_id {
            write!(f, " -> {vendor_id}")?;
        }
        if let Some(took) = self.took_ms {
            write!(f, "  {took} ms")?;
        }
        match attempts {
            0 | 1 => Ok(()),
            attempts => write!(f, "  {attempts} attempts"),
        }
    }
}

/// `hitl trace`.
pub(crate) async fn trace(target: &Target, id: &str, io: &mut Io<'_>) -> Result<Answer, Failure> {
    let (table, now) = (target.table()?, io.clock.now());
    let session_id = SessionId::from(id);
    let found = match table.session(&session_id).await? {
        Some(_) => [session_id].into(),
        None => table.find_sessions(id, &mut progress(io)).await?,
    };
    let mut sessions = Vec::new();
    for session_id in found {
        let Some(session) = table.session(&session_id).await? else { continue };
        let steps = table.life(&session_id).await?.into_iter().map(|event| step(event, id)).collect();
        sessions.push(Life { session: Row::new(&session, now), failure: session.failure, steps });
    }
    if sessions.is_empty() {
        return Err(Failure::refused(format!(
            "the table has no record of {id}. It may never have reached this stack, belong to another stack, or have expired \
             (RETENTION_DAYS). Botpress does not send the id of the conversation between user and bot: use the id of the \
             conversation with the agents, or LiveChat's id of the chat or thread."
        )));
    }
    sessions.sort_by_key(|life| life.session.started_at);
    Ok(Answer::done(&Trace { id: id.to_owned(), sessions }))
}

fn step(event: LifeEvent, id: &str) -> Step {
    // `message:<id>`, `message:<id>#<part>`, `event:<id>`, `corrected:<id>:<revision>`, `deleted:<id>`.
    let about =
        event.source_id.split_once(':').filter(|(kind, _)| ["message", "event", "corrected", "deleted"].contains(kind));
    let is_about = about
        .and_then(|(_, source)| source.strip_prefix(id))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['#', ':']));
    let is_part = event.source_id.strip_prefix(id).is_some_and(|rest| rest.starts_with('#'));
    let asked = event.source_id == id || is_part || is_about || event.vendor_id.as_deref() == Some(id);
    let took_ms = event.finished_at.map(|finished_at| finished_at.since(event.at).as_millis());
    Step { asked, event, took_ms }
}

#[derive(Debug, Serialize)]
struct ParkedRow {
    id: String,
    /// How long ago it was parked.
    parked_for_seconds: u64,
    /// When it is deleted with its text.
    deleted_at: Option<Timestamp>,
    #[serde(flatten)]
    item: Parked,
}

impl ParkedRow {
    fn new(item: Parked, now: Timestamp) -> Self {
        let parked_at = item.parked_at.unwrap_or(item.position.at);
        let deleted_at = item.expires_at.map(|seconds| Timestamp::from_unix_millis(seconds * 1_000));
        Self { id: item.name(), parked_for_seconds: now.since(parked_at).as_secs(), deleted_at, item }
    }
}

#[derive(Debug, Serialize)]
struct ParkedList {
    parked: Vec<ParkedRow>,
}

impl fmt::Display for ParkedList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.parked.is_empty() {
            return write!(f, "Nothing is parked.");
        }
        for ParkedRow { id, parked_for_seconds, deleted_at, item } in &self.parked {
            writeln!(f, "{}  {:<10} {id}", item.position.at, item.kind)?;
            let cause = item.cause.as_deref().unwrap_or("the log names the cause");
            let arrived = if item.outcome_unknown { "may have arrived" } else { "has not arrived" };
            write!(f, "    parked for {}; {arrived}; {cause}", for_people(*parked_for_seconds))?;
            match deleted_at {
                Some(at) => writeln!(f, "; deleted at {at}")?,
                None => writeln!(f)?,
            }
        }
        write!(f, "\n{} parked.", self.parked.len())
    }
}

/// `hitl parked`.
pub(crate) async fn parked(target: &Target, io: &mut Io<'_>) -> Result<Answer, Failure> {
    let now = io.clock.now();
    let parked = target.table()?.parked(now, &mut progress(io)).await?;
    let parked = parked.into_iter().map(|item| ParkedRow::new(item, now)).collect();
    Ok(Answer::done(&ParkedList { parked }))
}

#[derive(Debug, Serialize)]
struct RedrivenRow {
    id: String,
    result: Redriven,
}

#[derive(Debug, Serialize)]
struct RedrivenList {
    redriven: Vec<RedrivenRow>,
}

impl fmt::Display for RedrivenList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.redriven.is_empty() {
            return write!(f, "Nothing is parked.");
        }
        for RedrivenRow { id, result } in &self.redriven {
            let result = match result {
                Redriven::Delivered => "delivered",
                Redriven::Dropped => "dropped: there was nothing left to do",
                Redriven::ParkedAgain => "refused again and parked; the log names the cause",
                Redriven::Waiting => "back in its lane; the sweep delivers it",
                Redriven::SessionOver => "its session is over: it stays parked; hitl discard removes it",
                Redriven::NotTold => "is the end of a closed session, and could not be delivered now; run this again",
                Redriven::Gone => "was no longer parked",
            };
            writeln!(f, "{id}  {result}")?;
        }
        Ok(())
    }
}

/// `hitl redrive`; without an id, redrives all.
pub(crate) async fn redrive(target: &Target, id: Option<&str>, io: &mut Io<'_>) -> Result<Answer, Failure> {
    let handoff = target.handoff()?;
    let mut redriven = Vec::new();
    let chosen = chosen(target, id, io).await?;
    for (number, item) in (1..).zip(&chosen) {
        io.step(number, chosen.len(), &format!("trying {}", item.name()));
        let result = handoff.redrive(item, io.clock.now() + PATIENCE).await?;
        redriven.push(RedrivenRow { id: item.name(), result });
    }
    let settled =
        |row: &RedrivenRow| !matches!(row.result, Redriven::ParkedAgain | Redriven::SessionOver | Redriven::NotTold);
    let exit = if redriven.iter().all(settled) { Exit::Done } else { Exit::Finding };
    Ok(Answer::new(exit, &RedrivenList { redriven }))
}

/// `hitl discard`.
pub(crate) async fn discard(target: &Target, id: &str, yes: bool, io: &mut Io<'_>) -> Result<Answer, Failure> {
    let table = target.table()?;
    let chosen = chosen(target, Some(id), io).await?;
    io.confirm(&format!("{id} and its text will be deleted, and nobody will receive it."), yes)?;
    for item in chosen {
        table.discard(&item).await?;
    }
    Ok(Answer { exit: Exit::Done, json: json!({ "discarded": id }), text: format!("{id} was deleted with its text.") })
}

async fn chosen(target: &Target, id: Option<&str>, io: &mut Io<'_>) -> Result<Vec<Parked>, Failure> {
    let now = io.clock.now();
    let mut parked = target.table()?.parked(now, &mut progress(io)).await?;
    let Some(id) = id else { return Ok(parked) };
    parked.retain(|item| item.name() == id || item.position.source_id == id);
    match parked.is_empty() {
        true => Err(Failure::refused(format!("no parked item has the id {id}; hitl parked lists them."))),
        false => Ok(parked),
    }
}

/// `hitl reopen`.
pub(crate) async fn reopen(target: &Target, vendor: Vendor, io: &mut Io<'_>) -> Result<Answer, Failure> {
    let lifted = target.table()?.reopen(vendor.name(), io.clock.now()).await?;
    let lines = lifted.iter().map(|(party, closure)| {
        let name = named(vendor.name(), party.as_deref());
        format!("{name} had asked at {} not to be called before {}; the limit is lifted.", closure.since, closure.until)
    });
    let text = match lifted.is_empty() {
        true => format!("{} has set no limit.", vendor.name()),
        false => lines.collect::<Vec<_>>().join("\n"),
    };
    let rows: Vec<_> = lifted
        .iter()
        .map(|(party, closure)| json!({ "party": party, "since": closure.since, "until": closure.until }))
        .collect();
    Ok(Answer { exit: Exit::Done, json: json!({ "vendor": vendor.name(), "lifted": rows }), text })
}

/// `hitl close`.
pub(crate) async fn close(target: &Target, session: &str, yes: bool, io: &mut Io<'_>) -> Result<Answer, Failure> {
    io.confirm(&format!("Session {session} will end for its user and its agent."), yes)?;
    let closed = target.handoff()?.close_session(&SessionId::from(session), io.clock.now() + PATIENCE).await?;
    let text = match closed {
        Closed::Closed => "The session is over: its bot resumes, and its chat is closed.",
        Closed::Closing => "The session is ending; a vendor could not be notified yet, and the sweep will notify it.",
        Closed::WasOver => "The session had already ended.",
        Closed::BotNotTold => {
            "The session had already ended; its bot has not been notified of that, and could not be notified now. Run this again."
        }
        Closed::Unknown => {
            return Err(Failure::refused(format!("there is no session {session}; hitl sessions lists the open ones.")));
        }
    };
    let exit = if closed == Closed::BotNotTold { Exit::Finding } else { Exit::Done };
    Ok(Answer { exit, json: json!({"session_id": session, "result": closed}), text: text.to_owned() })
}

#[derive(Debug, Serialize)]
struct Erasure {
    user_id: String,
    #[serde(flatten)]
    erased: Erased,
    /// What a scan of the whole table still found.
    kept: Vec<Kept>,
}

impl fmt::Display for Erasure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<_> = self.erased.removed.iter().map(|(entity, count)| format!("{count} {entity}")).collect();
        writeln!(f, "Removed: {}.", if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") })?;
        match self.kept.as_slice() {
            [] => writeln!(f, "The whole table was read: no item mentions the user any more.")?,
            kept => {
                let items: usize = kept.iter().map(|kept| kept.items).sum();
                writeln!(f, "The whole table was read: {items} items still mention the user: {kept:?}")?;
            }
        }
        if self.erased.expired > 0 {
            writeln!(f, "{} expired records of sessions were removed as well.", self.erased.expired)?;
        }
        if !self.erased.held_by_vendors.is_empty() {
            writeln!(f, "\nStill at the vendors, to be erased there:")?;
            for held in &self.erased.held_by_vendors {
                writeln!(f, "  {held}")?;
            }
        }
        write!(
            f,
            "\nNot checked: point-in-time backups of the table, which expire after up to 35 days; your own exports and backups; \
             the functions' logs, which contain only ids; and the vendors' data."
        )
    }
}

/// `hitl erase`.
pub(crate) async fn erase(target: &Target, user: &str, yes: bool, io: &mut Io<'_>) -> Result<Answer, Failure> {
    io.confirm(
        &format!("Everything that the table contains of user {user} will be deleted; an open session ends first."),
        yes,
    )?;
    let (table, user_id) = (target.table()?, UserId::from(user));
    let mut words = BTreeSet::from([user.to_owned()]);
    let mut known = BTreeSet::new();
    let mut erased = Erased::default();
    let mut kept = Vec::new();
    for _ in 0..ERASURES {
        io.step(1, STEPS_OF_ERASURE, "finding the user's records");
        words.extend(table.user(&user_id).await?.iter().flat_map(words_about));
        let sessions = table.sessions_of(&user_id, &mut progress(io)).await?;
        known.extend(sessions.iter().map(|session| session.session_id.clone()));
        words.extend(known.iter().map(ToString::to_string));
        for session in sessions.iter().filter(|session| session.state != State::Closed) {
            end_before_erasure(target, &session.session_id, io).await?;
        }
        io.step(2, STEPS_OF_ERASURE, "removing them");
        let more = table.erase(&user_id, &known, io.clock.now(), &mut progress(io)).await?;
        for (entity, count) in more.removed {
            *erased.removed.entry(entity).or_default() += count;
        }
        erased.expired += more.expired;
        erased.held_by_vendors.extend(more.held_by_vendors);
        io.step(3, STEPS_OF_ERASURE, "reading the whole table to verify that nothing is left");
        kept = table.mentions(&words, &mut progress(io)).await?;
        if kept.is_empty() {
            break;
        }
        io.say("some records are left, perhaps written in the meantime");
    }
    if erased.removed.is_empty() && kept.is_empty() {
        return Err(Failure::refused(format!(
            "there is no user {user}; give the id that hitl sessions shows: Botpress's own, or botcopy:<bot>:<user>."
        )));
    }
    let exit = if kept.is_empty() { Exit::Done } else { Exit::Finding };
    Ok(Answer::new(exit, &Erasure { user_id: user.to_owned(), erased, kept }))
}

/// Returns the words by which a user can be recognised in the table.
fn words_about(user: &User) -> Vec<String> {
    let customer = user.customer.as_ref();
    let of_customer = customer.map(|customer| {
        let secrets = [&customer.access_token, &customer.cookies.secret].map(|secret| secret.expose().to_owned());
        secrets.into_iter().chain([customer.customer_id.to_string()])
    });
    let email = user.profile.email.as_ref().map(|email| email.expose().to_owned());
    of_customer.into_iter().flatten().chain(email).filter(|word| !word.is_empty()).collect()
}

async fn end_before_erasure(target: &Target, session_id: &SessionId, io: &mut Io<'_>) -> Result<(), Failure> {
    io.say(&format!("ending session {session_id}"));
    let handoff = target.handoff()?;
    match Box::pin(handoff.close_session(session_id, io.clock.now() + PATIENCE)).await? {
        Closed::Closing => Err(Failure::refused(format!(
            "session {session_id} could not be ended yet: a vendor does not answer. Run this again when it has ended."
        ))),
        _ => Ok(()),
    }
}
