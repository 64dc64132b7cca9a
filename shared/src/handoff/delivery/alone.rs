//! One item that always fails at a vendor that serves others: distinguished from an outage before it is parked.
//!
//! An item is judged at each failure, once it has failed for a while. It fails alone if, in the same direction, most of the other
//! sessions with traffic since were served, and the vendor has just answered a call of the same kind that contains nothing of the item.
//! If both are seen twice, some time apart, this is neither an outage nor the end of one.

use std::time::Duration;

use super::platform;
use crate::botpress::MessageCall;
use crate::clock::Timestamp;
use crate::handoff::delivery::outbound::Outbound;
use crate::handoff::vendors::credentials::call;
use crate::handoff::{DELIVERY_TIME, Error, Handoff, Result, VENDOR_TIMEOUT};
use crate::ids::ChatId;
use crate::livechat::NewEvent;
use crate::model::lane::{Failing, Fares, Waiting};
use crate::model::session::Session;
use crate::model::user::User;
use crate::redacted::Redacted;

/// How long, and at least how often, an item must fail before it is judged.
const FAILS_FOR: Duration = Duration::from_secs(30);
const FEWEST_TRIES: u32 = 4;

/// How long after an item was first seen to fail alone a second sight counts. After an unanswered try the next one comes as soon as the
/// doubt is over, and must count: two minutes suffice at any pace of the sweep.
const SEEN_AGAIN_AFTER: Duration = Duration::from_secs(15);

/// A lane that was left failing within this time counts as failing now: a failing lane is retried sooner than that.
const NOW: Duration = Duration::from_secs(60);

/// For each session that fails, more than this many must be served.
const SERVED_FOR_EACH_FAILING: usize = 2;

/// A chat, and a message in it, that do not exist.
const NOWHERE: &str = "NOSUCHCHAT";
const NOTHING: &str = "hitl-probe";

/// The verdict on one more failure.
pub(crate) struct Judged {
    pub(crate) failing: Failing,
    /// Whether the item fails alone now, and was seen to do so before.
    pub(crate) is_to_be_parked: bool,
}

/// How many other sessions the same vendor serves and fails, in the same direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Others {
    served: usize,
    failing: usize,
}

impl Others {
    fn of(fares: &[Fares], vendor: &str, since: Timestamp, now: Timestamp) -> Self {
        let is_served =
            |one: &&Fares| one.served_by.as_deref() == Some(vendor) && one.served_at.is_some_and(|at| since < at);
        let is_failing = |one: &&Fares| {
            one.failed_by.as_deref() == Some(vendor) && one.failed_at.is_some_and(|at| now.since(at) < NOW)
        };
        let failing = fares.iter().filter(is_failing).count();
        let served = fares.iter().filter(|one| !is_failing(one) && is_served(one)).count();
        Self { served, failing }
    }

    /// Whether the others allow that one item fails alone. Without any traffic nothing contradicts it.
    const fn permit(self) -> bool {
        self.failing == 0 || self.served > SERVED_FOR_EACH_FAILING * self.failing
    }
}

/// Whether one item can be the cause of an error: only if a call of the same kind can be made without the item.
fn can_be_of_one_item(error: &Error, now: Timestamp) -> bool {
    match error {
        Error::LiveChat(error) => error.is_of_one_message() && error.is_retryable() && !error.is_rate_limited(),
        Error::Botpress(error) => {
            // Botpress refuses a key without access to one object in the same way as one without access to the bot.
            let fails = error.is_retryable() || error.is_forbidden();
            error.message_call().is_some() && fails && !error.is_rate_limited()
        }
        Error::Botcopy(error) => error.is_retryable() && !error.is_rate_limited(),
        // A hurried call that did not wait for the full timeout proves nothing.
        Error::Hanging { call, called_at, .. } => {
            ["send_event", "push"].contains(call) && *called_at + VENDOR_TIMEOUT <= now
        }
        _ => false,
    }
}

/// Whether it is the call that sends messages, so that the deliveries of other sessions prove something about it.
fn is_of_speaking(error: &Error) -> bool {
    match error {
        Error::LiveChat(error) => error.is_of_sending(),
        Error::Botpress(error) => error.message_call() == Some(MessageCall::Post),
        _ => true,
    }
}

/// Whether a vendor has answered a probe; a refusal counts.
fn is_answer(answer: Result<()>) -> bool {
    match answer {
        Ok(()) => true,
        Err(error @ (Error::LiveChat(_) | Error::Botpress(_) | Error::Botcopy(_))) => !error.is_retryable(),
        Err(_) => false,
    }
}

impl Handoff {
    /// Judges an item after one more failure.
    pub(super) async fn judge<C: Outbound>(
        &self,
        session: &Session,
        user: Option<&User>,
        item: &Waiting<C>,
        error: &Error,
        deadline: Timestamp,
    ) -> Judged {
        let now = self.clock.now();
        let outcome_unknown = error.outcome_unknown();
        if item.content.is_never_parked() || !can_be_of_one_item(error, now) {
            return Judged { failing: Failing { outcome_unknown, ..Failing::default() }, is_to_be_parked: false };
        }
        let since = item.failing_since.unwrap_or(now);
        let alone_since = item.alone_since;
        let failing = Failing { outcome_unknown, since: Some(since), alone_since, ..Failing::default() };
        let is_due = now.since(since) >= FAILS_FOR && item.attempts + 1 >= FEWEST_TRIES;
        let was_just_seen = item.alone_since.is_some_and(|at| now.since(at) < SEEN_AGAIN_AFTER);
        if !is_due || was_just_seen || now + DELIVERY_TIME > deadline {
            return Judged { failing, is_to_be_parked: false };
        }
        let is_alone = Box::pin(self.fails_alone::<C>(session, user, error, since)).await.unwrap_or_else(|error| {
            tracing::warn!(error = %error, session.id = %session.session_id,
                "it could not be determined whether only this item fails");
            false
        });
        let alone_since = is_alone.then(|| item.alone_since.unwrap_or(now));
        Judged { failing: Failing { alone_since, ..failing }, is_to_be_parked: is_alone && item.alone_since.is_some() }
    }

    async fn fails_alone<C: Outbound>(
        &self,
        session: &Session,
        user: Option<&User>,
        error: &Error,
        since: Timestamp,
    ) -> Result<bool> {
        let now = self.clock.now();
        let fares = Box::pin(self.table.how_others_fare(&session.session_id, C::LANE, now)).await?;
        let mut others = Others::of(&fares, C::vendor(session), since, now);
        if !is_of_speaking(error) {
            // Other sessions' deliveries do not use this call, so they prove nothing: one failing session among them suggests an outage.
            others.served = 0;
        }
        Ok(others.permit() && Box::pin(self.answers_others(session, user, error)).await)
    }

    /// Whether the vendor answers a call of the same kind that changes nothing and contains nothing of the item.
    ///
    /// The expected answer is mostly a refusal: no such chat, conversation or user.
    async fn answers_others(&self, session: &Session, user: Option<&User>, error: &Error) -> bool {
        let answer = match error {
            Error::LiveChat(error) if error.is_of_sending() => Some(Box::pin(self.say_nowhere(session, user)).await),
            Error::Hanging { call: "send_event", .. } => Some(Box::pin(self.say_nowhere(session, user)).await),
            Error::LiveChat(_) => Some(Box::pin(self.read_nowhere()).await),
            error => Box::pin(platform::probe(self, session, error)).await,
        };
        answer.is_some_and(is_answer)
    }

    /// Whether a vendor that limits this session serves others, so that the limit is this session's own.
    pub(super) async fn serves_others(&self, session: &Session, error: &Error) -> bool {
        let Error::Limited { cause, .. } = error else { return false };
        let answer = match cause.as_ref() {
            Error::LiveChat(_) => Some(self.read_nowhere().await),
            error => platform::probe(self, session, error).await,
        };
        answer.is_some_and(is_answer)
    }

    async fn say_nowhere(&self, session: &Session, user: Option<&User>) -> Result<()> {
        let Some(addressee) = self.addressee(session, user).await? else { return Err(Error::Busy) };
        let mut customer = self.as_addressed_customer(&addressee).await?;
        let (chat_id, event) = (ChatId::from(NOWHERE), NewEvent::text(Redacted::from(NOTHING), NOTHING));
        call!(customer.send_event(&chat_id, &event)).map(drop)
    }

    async fn read_nowhere(&self) -> Result<()> {
        let mut agent = self.as_agent().await?;
        let chat_id = ChatId::from(NOWHERE);
        call!(agent.get_chat(&chat_id, None)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::vendor::LIVECHAT;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_millis(seconds * 1_000)
    }

    fn served(seconds: i64) -> Fares {
        Fares { served_at: Some(at(seconds)), served_by: Some(LIVECHAT.to_owned()), ..Fares::default() }
    }

    fn failing(seconds: i64) -> Fares {
        Fares { failed_at: Some(at(seconds)), failed_by: Some(LIVECHAT.to_owned()), ..served(0) }
    }

    #[test]
    fn one_fails_alone_while_most_others_are_served() {
        let elsewhere = Fares { served_by: Some("Botcopy".to_owned()), ..served(150) };
        let cases: [(&[Fares], bool, &str); 9] = [
            (&[], true, "nobody else is there"),
            (&[served(90), Fares::default()], true, "nobody else has said anything since"),
            (&[served(150)], true, "another is served"),
            (&[failing(190)], false, "another fails"),
            (&[failing(190), served(150), elsewhere.clone()], false, "one fails for each that is served"),
            (&[failing(190), served(150), served(160), served(170)], true, "two items, and all others are served"),
            (&[failing(190), failing(180), served(150), served(160), served(170)], false, "many fail"),
            (&[failing(120)], true, "what failed long ago may be long over"),
            (&[Fares { served_at: Some(at(150)), ..failing(190) }], false, "it was served once, and fails now"),
        ];
        for (fares, expected, what) in cases {
            assert_eq!(Others::of(fares, LIVECHAT, at(100), at(200)).permit(), expected, "{what}");
        }
    }
}
