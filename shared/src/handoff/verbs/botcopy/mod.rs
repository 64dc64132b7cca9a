//! Botcopy's calls: a bot asks for a person for its user, and the user's messages from then on.
//!
//! Botcopy ignores an answer that takes longer than five seconds, so an answer does not wait for LiveChat indefinitely. Once a call
//! is durable, the answer is a promise, which the sweep keeps if necessary. A call that is not durable stays with the bot.

mod typing;

pub(crate) use typing::Peeks;

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::botcopy::{Answer, Call, EventType, Said};
use crate::bridge::transcript::Opening;
use crate::bridge::{ToAgent, ToBot, from_botcopy, unread};
use crate::clock::Timestamp;
use crate::handoff::delivery::drain::Drained;
use crate::handoff::inbox::accept::Intake;
use crate::handoff::inbox::find::is_live;
use crate::handoff::session::request::StartRequest;
use crate::handoff::{DELIVERY_TIME, Error, Handoff, Result, fresh_holder};
use crate::ids::{NO_CHAT, UserId};
use crate::metrics::{About, Metric};
use crate::model::lane::{Lane, Lease, Outcome, Position, Receipt};
use crate::model::message::{HistoryItem, Utterance};
use crate::model::session::{Platform, Session, State};
use crate::model::vendor::BOTCOPY;
use crate::store::LaneContext;

/// How long a call may take before it is answered according to what is durable by then. That leaves half a second for the reads that
/// this needs, and three for a cold start, the network, and Botcopy's own clock.
const ANSWER_TIME: Duration = Duration::from_millis(1_500);

/// How long the last check of what is durable may take.
const LOOK_TIME: Duration = Duration::from_millis(400);

/// How much longer a lease lasts than the call that took it.
const CALL_LEASE_MARGIN: Duration = Duration::from_secs(2);

/// How long Botcopy waits for an answer: it does not receive a later one.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same text again within this time is a repeated call, if it is the user's last message and has had no answer: longer than
/// Botcopy waits for one.
const WORDS_REPEAT_WINDOW: Duration = Duration::from_secs(10);

/// How often a call re-reads a user whose session changes meanwhile.
const MOST_LOOKS: usize = 3;

impl Handoff {
    /// Returns the deadline for handling a call of Botcopy that arrives now, so that its answer is sent within two seconds.
    pub fn botcopy_deadline(&self) -> Timestamp {
        self.clock.now() + ANSWER_TIME
    }

    /// Handles an authentic call of Botcopy. The answer comes soon after `deadline`, whatever LiveChat does, and it is true. Returns
    /// `None` if the user said nothing and the true answer is unknown.
    pub async fn botcopy_call(&self, call: &Call, deadline: Timestamp) -> Option<Answer> {
        let answer = Box::pin(self.answer_call(call, deadline));
        match call.channel.user_id.as_str() {
            // The operator's command tests authentication.
            NO_CHAT => answer.await,
            _ => self.let_in(BOTCOPY, answer).await,
        }
    }

    async fn answer_call(&self, call: &Call, deadline: Timestamp) -> Option<Answer> {
        let user_id = UserId::of_botcopy(&call.channel.bot_id, &call.channel.user_id);
        if call.event_type == EventType::Unknown {
            self.record(&About::Vendor(BOTCOPY), &[(Metric::UnknownEvents, 1.0)]);
        }
        match call.event_type {
            EventType::Typing => self.types(&user_id, deadline).await,
            EventType::Unknown if call.said == Said::Nothing && !call.is_trigger => {
                self.whether_paused(&user_id, deadline).await.map(|(answer, _)| answer)
            }
            EventType::Message | EventType::Unknown => Some(self.take(&user_id, call, deadline).await),
        }
    }

    /// Handles a user's message.
    async fn take(&self, user_id: &UserId, call: &Call, deadline: Timestamp) -> Answer {
        for _ in 0..MOST_LOOKS {
            let known = async {
                let (session, heard) = self.resolve_session(user_id, call, deadline).await?;
                let is_repeat = match &session {
                    Some((session, _)) => self.is_repeat(session, call).await?,
                    None => false,
                };
                Ok((session.filter(|_| !is_repeat), is_repeat, heard))
            };
            let (session, is_repeat, heard) = match self.clock.within(deadline, known).await {
                Some(Ok(known)) => known,
                failed => return self.left_to_bot("the table did not answer", failed.and_then(Result::err)),
            };
            let answer = match session {
                Some((session, around)) => Some(self.relay_message((&session, around), call, heard, deadline).await),
                None if !is_repeat && !call.is_trigger => Some(Answer::NOT_PAUSED),
                None => self.begin(user_id, call, deadline).await,
            };
            if let Some(answer) = answer {
                return answer;
            }
        }
        self.left_to_bot("the user's session kept changing", None)
    }

    /// Returns the session that a call is for. At the same time, a message of step two is recorded as heard: without a session that
    /// does no harm, and with one it saves a trip to the table.
    async fn resolve_session(
        &self,
        user_id: &UserId,
        call: &Call,
        deadline: Timestamp,
    ) -> Result<(Option<(Session, LaneContext)>, Option<Utterance>)> {
        let hear = async {
            match call.is_trigger || call.said == Said::Nothing {
                true => Ok(None),
                false => self.dedup_utterance(user_id, &call.said, deadline).await.map(Some),
            }
        };
        tokio::try_join!(self.live_session(user_id), hear)
    }

    async fn dedup_utterance(&self, user_id: &UserId, said: &Said, deadline: Timestamp) -> Result<Utterance> {
        let heard = Utterance { heard_at: self.clock.now(), source_id: format!("said:{}", fresh_holder()) };
        let table = self.table.needed_by(deadline);
        Ok(table.dedup_utterance(user_id, &digest(said), heard, WORDS_REPEAT_WINDOW).await?)
    }

    /// Records that a call that arrived at `begun` is being answered, if Botcopy still waits: the same text from now on is a new message.
    async fn note_answered(&self, user_id: &UserId, heard: &Utterance, begun: Timestamp) {
        let now = self.clock.now();
        if now.since(begun) >= PATIENCE {
            return;
        }
        let until = now + LOOK_TIME;
        let table = self.table.needed_by(until);
        let noted = table.note_answered(user_id, &heard.source_id, now);
        if !matches!(self.clock.within(until, noted).await, Some(Ok(()))) {
            tracing::warn!(
                "the answer to a message could not be recorded; the same text counts as a repeat for some seconds"
            );
        }
    }

    /// Returns whether a call repeats the one that began the session.
    async fn is_repeat(&self, session: &Session, call: &Call) -> Result<bool> {
        if !is_like_the_first(session, call, self.clock.now()) {
            return Ok(false);
        }
        let said_since = self.table.last_heard_at(&session.user_id).await?.is_some_and(|at| at > session.started_at);
        Ok(!said_since)
    }

    /// Starts a session, or waits for the start that the same call began. Returns `None` if another session is in the way.
    async fn begin(&self, user_id: &UserId, call: &Call, deadline: Timestamp) -> Option<Answer> {
        let history = from_botcopy::history(&call.history, user_id, &self.config.botcopy.resume_events);
        let repeat_key = digest(&call.said);
        let said = from_botcopy::said(&call.said, self.words_for_agents(self.config.group_id));
        let request = StartRequest {
            platform: &Platform::Botcopy(call.channel.clone()),
            user_id,
            group_id: None,
            language: call.language.as_deref(),
            title: None,
            // Without a history, the triggering message is all that agents can be shown.
            description: said.as_ref().map(|said| said.text().expose()).filter(|_| history.is_empty()),
            history: &history,
            tags: &[],
            session_fields: &call.parameters,
            prepared: None,
            repeat_key: Some(&repeat_key),
            call: None,
            asked_at: self.clock.now(),
            claimed_by: deadline,
        };
        match self.clock.within(deadline, Box::pin(self.begin_in_time(request, deadline))).await {
            Some(Ok(())) => return Some(self.paused()),
            Some(Err(Error::Refused(sentence))) => {
                tracing::info!(reason = %sentence, "a handoff was refused");
                return Some(Answer::NOT_PAUSED);
            }
            Some(Err(Error::Busy)) => {}
            Some(Err(error)) => tracing::warn!(error = %error, "a handoff did not complete; the sweep completes it"),
            None => tracing::warn!("a handoff did not complete in time; the sweep completes it"),
        }
        self.promised(user_id, call).await
    }

    async fn begin_in_time(&self, request: StartRequest<'_>, deadline: Timestamp) -> Result<()> {
        // The caller's timeout cancels this future; the start gets a later deadline so that it never aborts itself.
        let conversation_id = self.start(request, deadline + DELIVERY_TIME).await?;
        match conversation_id.session() {
            Some(session_id) => self.deliver_what_waits(&session_id, self.clock.now() + DELIVERY_TIME).await,
            None => Ok(()),
        }
    }

    /// Returns the answer to a start that has not completed: a durable start is promised, since the sweep finishes it.
    async fn promised(&self, user_id: &UserId, call: &Call) -> Option<Answer> {
        let now = self.clock.now();
        match self.clock.within(now + LOOK_TIME, self.live_session(user_id)).await {
            Some(Ok(Some((session, _)))) if is_like_the_first(&session, call, now) => Some(self.paused()),
            Some(Ok(Some(_))) => None,
            Some(Ok(None)) => Some(Answer::NOT_PAUSED),
            failed => Some(self.left_to_bot("the table did not answer", failed.and_then(Result::err))),
        }
    }

    /// Handles a user's message in a session: makes it durable, then delivers it to the agent.
    async fn relay_message(
        &self,
        (session, around): (&Session, LaneContext),
        call: &Call,
        heard: Option<Utterance>,
        deadline: Timestamp,
    ) -> Answer {
        let told = self.clock.within(deadline, self.said_to_bot(session, call)).await;
        let told = told.and_then(Result::ok).unwrap_or_default();
        let Some(text) = self.news_for_agents(session, call, &told) else { return self.paused() };
        let begun = deadline - ANSWER_TIME;
        let lease = Lease { holder: fresh_holder(), until: deadline + CALL_LEASE_MARGIN, deadline };
        let acceptance = self.accept_said((session, around), (&call.said, &text), heard.clone(), &lease);
        let (said, intake) = match self.clock.within(deadline, acceptance).await.transpose() {
            Ok(Some((heard, intake))) => (Ok(Some(heard)), Some(intake)),
            Ok(None) => (Ok(None), None),
            Err(error) => (Err(error), None),
        };
        // Beside the delivery, not before it: a session's end that waits in the lane to the bot waits for words that are under way.
        let goes_on = async {
            if let Ok(Some(_)) = &said
                && call.is_trigger
            {
                self.continue_with(session, &told, deadline).await;
            }
        };
        let delivery = async {
            let intake = intake?;
            let holds_lease = intake.accepted.holds_lease();
            let delivery = Box::pin(self.deliver_said(session, intake, &lease, deadline));
            let drained = self.clock.within(deadline, delivery).await;
            if drained.is_none() {
                tracing::warn!(session.id = %session.session_id,
                    "a message was not delivered in time; the sweep delivers it");
            }
            drained.filter(|drained| holds_lease && matches!(drained, Drained::Delivered))
        };
        let ((), delivered) = tokio::join!(Box::pin(goes_on), Box::pin(delivery));
        if delivered.is_some() {
            if let Ok(Some(heard)) = &said {
                self.note_answered(&session.user_id, heard, begun).await;
            }
            return self.paused();
        }
        // Not known to be delivered in time: answer according to what the table now says.
        let known = said.as_ref().ok().cloned().flatten().or(heard);
        let note = async {
            if let Ok(Some(heard)) = &said {
                self.note_answered(&session.user_id, heard, begun).await;
            }
        };
        let look = async {
            let session_now = async { Ok(self.table.session(&session.session_id).await?) };
            tokio::try_join!(self.trail_of(session, known, (&call.said, &text)), session_now)
        };
        let look_until = self.clock.now() + LOOK_TIME;
        let tell = self.clock.within(look_until, self.gates.tell());
        let (look, (), _) = tokio::join!(self.clock.within(look_until, look), note, tell);
        match (look, said) {
            // The session ended meanwhile, perhaps because of this call: the message belongs to the bot.
            (Some(Ok((Some(Receipt { outcome: Some(Outcome::Dropped), .. }), _))), _) => Answer::NOT_PAUSED,
            (Some(Ok((_, Some(now)))), _) if !is_live(&now) => Answer::NOT_PAUSED,
            (Some(Ok((Some(_), _))), _) | (_, Ok(Some(_))) => self.paused(),
            (_, failed) => self.left_to_bot("the message could not be stored", failed.err()),
        }
    }

    /// Returns the receipt of the user's message; its source id is looked up if it is not known.
    async fn trail_of(
        &self,
        session: &Session,
        known: Option<Utterance>,
        (said, shown): (&Said, &from_botcopy::Shown),
    ) -> Result<Option<Receipt>> {
        let heard = match known {
            Some(heard) => Some(heard),
            None => self.table.heard(&session.user_id, &digest(said)).await?,
        };
        let items = heard
            .map(|heard| from_botcopy::items(shown, &heard, self.words_for_agents(session.group_id)))
            .unwrap_or_default();
        let Some((last, _)) = items.last() else { return Ok(None) };
        Ok(self.table.trail(&session.session_id, Lane::ToAgent, &last.source_id, self.clock.now()).await?)
    }

    async fn accept_said(
        &self,
        (session, around): (&Session, LaneContext),
        (said, shown): (&Said, &from_botcopy::Shown),
        heard: Option<Utterance>,
        lease: &Lease,
    ) -> Result<(Utterance, Intake<ToAgent>)> {
        let heard = match heard {
            Some(heard) => heard,
            None => self.dedup_utterance(&session.user_id, said, lease.deadline).await?,
        };
        let items = from_botcopy::items(shown, &heard, self.words_for_agents(session.group_id));
        let intake = self.accept_seeing(around, &session.session_id, items, lease).await?;
        Ok((heard, intake))
    }

    /// Returns what agents see of a call: the message, or if the user was back with the bot, the conversation there, which ends with it.
    fn news_for_agents(
        &self,
        session: &Session,
        call: &Call,
        said_to_bot: &[HistoryItem],
    ) -> Option<from_botcopy::Shown> {
        let (words, names) = (self.words_for_agents(session.group_id), BTreeMap::new());
        let opening = Opening { title: None, description: None, history: said_to_bot, names: &names, wording: words };
        opening.text().map(from_botcopy::Shown::Remark).or_else(|| from_botcopy::said(&call.said, words))
    }

    /// Returns the conversation of a user who was back with the bot, as far as agents have not read it.
    async fn said_to_bot(&self, session: &Session, call: &Call) -> Result<Vec<HistoryItem>> {
        let (user_id, ours) = (&session.user_id, &self.config.botcopy.resume_events);
        match from_botcopy::since_last_agent(&call.history) {
            _ if !call.is_trigger => Ok(Vec::new()),
            Some(since) => Ok(from_botcopy::history(since, user_id, ours)),
            None => {
                let known = self.table.told(user_id, self.clock.now()).await?;
                Ok(unread::unread(user_id, &from_botcopy::history(&call.history, user_id, ours), &known).to_vec())
            }
        }
    }

    /// Continues a session whose user was back with the bot: records that agents have been `told` the conversation there, and lets the
    /// widget show again who answers.
    async fn continue_with(&self, session: &Session, told: &[HistoryItem], deadline: Timestamp) {
        let goes_on = async {
            let known = self.table.told(&session.user_id, self.clock.now()).await?;
            self.remember_told_in_session(&session.user_id, known, told).await;
            let position = Position { at: self.clock.now(), source_id: format!("continued:{}", fresh_holder()) };
            match session.announced_agent.is_some() {
                true => self.tell_bot(session, position, &ToBot::Continued, deadline + DELIVERY_TIME).await,
                false => Ok(()),
            }
        };
        if let Some(Err(error)) = self.clock.within(deadline, Box::pin(goes_on)).await {
            tracing::warn!(error = %error, session.id = %session.session_id,
                "the widget may not show the current agent");
        }
    }

    async fn deliver_said(
        &self,
        session: &Session,
        intake: Intake<ToAgent>,
        lease: &Lease,
        deadline: Timestamp,
    ) -> Drained {
        let id = &session.session_id;
        if session.state == State::Active {
            return self.drain_accepted(session, intake, lease, deadline + DELIVERY_TIME).await;
        }
        // The session is still starting, so give the lease back, and take over the start if its claim has lapsed.
        let left = async {
            if intake.accepted.holds_lease() {
                self.table.postpone(id, Lane::ToAgent, lease, self.clock.now(), None).await?;
            }
            self.resume_start(session.clone(), deadline + DELIVERY_TIME).await
        };
        if let Err(error) = left.await {
            tracing::warn!(error = %error, session.id = %id, "a start did not complete; the sweep completes it");
        }
        Drained::Finished
    }

    fn paused(&self) -> Answer {
        Answer::paused(self.config.botcopy.pause)
    }

    fn left_to_bot(&self, reason: &'static str, error: Option<Error>) -> Answer {
        let error = error.map(|error| error.to_string());
        tracing::error!(reason, error, "a call of Botcopy could not be processed; the bot answers instead");
        Answer::NOT_PAUSED
    }
}

/// Returns whether a call has the same content as the one that began the session, shortly after it.
fn is_like_the_first(session: &Session, call: &Call, now: Timestamp) -> bool {
    call.is_trigger
        && session.request_digest == digest(&call.said)
        && now.since(session.started_at) < WORDS_REPEAT_WINDOW
}

/// Returns a fingerprint of the user's input.
fn digest(said: &Said) -> String {
    let mut hash = Sha256::new();
    match said {
        Said::Text(text) => hash.update(text.expose()),
        Said::Event { name, parameters } => {
            let parameters = parameters.iter().flat_map(|(name, value)| [name.as_str(), value.expose()]);
            [name.expose()].into_iter().chain(parameters).for_each(|part| {
                hash.update([0]);
                hash.update(part);
            });
        }
        Said::Nothing => {}
        Said::Unreadable => hash.update([0, 0]),
    }
    URL_SAFE_NO_PAD.encode(hash.finalize())
}
