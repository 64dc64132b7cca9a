//! What users do and what they see.

use std::time::Duration;

use serde_json::{Value, json};
use shared::clock::Timestamp;

use super::handover::{self, HandoverAnswer, Step, Verdict};
use super::state::{Line, Speaker, User};
use super::{Platform, Simulator, dialogflow};
use crate::cause;

impl Simulator {
    /// A person opens the widget; returns the user's id.
    pub fn new_user(&self) -> String {
        self.new_user_speaking("en")
    }

    /// The same for a person whose browser asks for this language, such as `de`.
    pub fn new_user_speaking(&self, language: &str) -> String {
        let user = User::new(language);
        let user_id = user.user_id.clone();
        self.platform.world().users.insert(user_id.clone(), user);
        user_id
    }

    /// The user writes; a text with the word "human" makes the bot ask for a person. Returns once the bot or the
    /// endpoint has the message.
    ///
    /// # Errors
    ///
    /// When there is no such user.
    pub async fn user_says(&self, user_id: &str, text: &str) -> Result<(), String> {
        let platform = &self.platform;
        let is_paused = {
            let mut world = platform.world();
            let user = world.user(platform, user_id).ok_or_else(|| nobody(user_id))?;
            platform.record("user_wrote", json!({"user_id": user_id, "text": text}));
            user.show(platform, Speaker::User, text, None);
            user.paused_until.is_some()
        };
        if is_paused { self.to_person(user_id, text).await } else { self.to_bot(user_id, text).await }
    }

    /// The user clicks an element that fires an event at the bot; while the bot is paused, the event goes to the endpoint.
    ///
    /// # Errors
    ///
    /// When there is no such user.
    pub async fn user_clicks(&self, user_id: &str, event: &str, parameters: &Value) -> Result<(), String> {
        let platform = &self.platform;
        platform.record("user_clicked", json!({"user_id": user_id, "event": event}));
        let has_events = platform.world().has_user_events;
        let is_taken = match self.is_paused(user_id) {
            false => false,
            true => {
                let body = platform.prepared(user_id, |user| {
                    handover::step_two_event(platform, user, (event, parameters), has_events)
                })?;
                !matches!(platform.hand_over(user_id, Step::Two, &body).await, Verdict::NotPaused | Verdict::Ignored)
            }
        };
        match is_taken {
            true => Ok(()),
            false => platform.with_user(user_id, |user| dialogflow::fire(platform, user, event)),
        }
    }

    /// The user types; while the bot is paused the endpoint is notified, at most every four seconds. Returns its answer.
    ///
    /// # Errors
    ///
    /// When there is no such user.
    pub async fn user_types(&self, user_id: &str) -> Result<Option<HandoverAnswer>, String> {
        const AT_MOST_EVERY: Duration = Duration::from_secs(4);
        let platform = &self.platform;
        let has_events = platform.world().has_user_events;
        let body = platform.with_user(user_id, |user| {
            let is_news = user.typed_at.is_none_or(|at| at + AT_MOST_EVERY <= platform.now());
            let is_told = has_events && is_news && user.paused_until.is_some();
            is_told.then(|| {
                user.typed_at = Some(platform.now());
                handover::typing(platform, user)
            })
        })?;
        let Some(body) = body else { return Ok(None) };
        let told = async {
            let answer = platform.send(&body, &[]).await;
            let json = answer.as_ref().map(HandoverAnswer::json).unwrap_or_default();
            platform.record(
                "typing_told",
                json!({
                    "user_id": user_id, "status": answer.as_ref().ok().map(|answer| answer.status),
                    "paused": json.get("paused"), "minutes_paused": json.get("minutesPaused"),
                }),
            );
            answer.map(Some)
        };
        cause::begun("call", told).await
    }

    /// Switches the portal's "Live Chat User Events → Typing".
    pub fn set_user_events(&self, on: bool) {
        self.platform.world().has_user_events = on;
    }

    /// Sets whether the pause of a user ends with their Dialogflow session; the description does not specify it.
    pub fn set_expiry_ends_pause(&self, ends: bool) {
        self.platform.world().expiry_ends_pause = ends;
    }

    /// The body of a typing call.
    ///
    /// # Errors
    ///
    /// When there is no such user.
    pub fn typing_body(&self, user_id: &str) -> Result<Value, String> {
        self.platform.with_user(user_id, |user| handover::typing(&self.platform, user))
    }

    /// Step two; the bot gets every message that the endpoint does not take.
    async fn to_person(&self, user_id: &str, text: &str) -> Result<(), String> {
        let platform = &self.platform;
        let has_events = platform.world().has_user_events;
        let body = platform.prepared(user_id, |user| handover::step_two(platform, user, text, has_events))?;
        match platform.hand_over(user_id, Step::Two, &body).await {
            Verdict::Paused(_) => platform.with_user(user_id, |user| {
                // The vendor's page has "out" here too.
                let payload = json!({
                    "queryParameters": {"contexts": [], "payload": {}, "webhookHeaders": {}},
                    "query": text, "lang": user.language, "sessionId": user.dialogflow_session,
                });
                user.remember(platform, "out", payload);
            }),
            Verdict::Ended => {
                platform.record("swallowed", json!({"user_id": user_id, "text": text}));
                Ok(())
            }
            Verdict::NotPaused | Verdict::Ignored => self.to_bot(user_id, text).await,
        }
    }

    /// The bot answers and may ask for a person: step one.
    async fn to_bot(&self, user_id: &str, text: &str) -> Result<(), String> {
        let platform = &self.platform;
        let reply = platform.with_user(user_id, |user| dialogflow::say(platform, user, text))?;
        if reply.is_trigger {
            let body = platform.prepared(user_id, |user| handover::step_one(platform, user, text, &reply.response))?;
            platform.hand_over(user_id, Step::One, &body).await;
        }
        Ok(())
    }

    /// Repeats the last call to the endpoint for this user, as after a lost answer.
    ///
    /// # Errors
    ///
    /// When nothing has been sent yet.
    pub async fn repeat_last_call(&self, user_id: &str) -> Result<(), String> {
        let platform = &self.platform;
        let body = platform.with_user(user_id, |user| user.last_call.clone())?.ok_or("nothing was sent yet")?;
        let step = if body.get("dialogflowResponse").is_some() { Step::One } else { Step::Two };
        platform.hand_over(user_id, step, &body).await;
        Ok(())
    }

    /// Sends any body to the live-chat endpoint; an override with a value sets a header, one without a value removes it.
    ///
    /// # Errors
    ///
    /// When no answer arrives.
    pub async fn call_endpoint(
        &self,
        body: &Value,
        overrides: &[(&str, Option<&str>)],
    ) -> Result<HandoverAnswer, String> {
        self.platform.send(body, overrides).await
    }

    /// The body that step two would have now.
    ///
    /// # Errors
    ///
    /// When there is no such user.
    pub fn step_two_body(&self, user_id: &str, text: &str) -> Result<Value, String> {
        let has_events = self.platform.world().has_user_events;
        self.platform.with_user(user_id, |user| handover::step_two(&self.platform, user, text, has_events))
    }

    /// The body that step one would have now, with the complete history so far.
    ///
    /// # Errors
    ///
    /// When there is no such user.
    pub fn step_one_body(&self, user_id: &str, text: &str) -> Result<Value, String> {
        let response = json!({"queryResult": {"queryText": text, "fulfillmentText": "One moment."}});
        self.platform.with_user(user_id, |user| handover::step_one(&self.platform, user, text, &response))
    }

    /// Returns whether the user's messages go to the live-chat endpoint.
    pub fn is_paused(&self, user_id: &str) -> bool {
        self.platform.with_user(user_id, |user| user.paused_until.is_some()).unwrap_or_default()
    }

    /// All users who have opened the widget, each with the language of their browser.
    pub fn people(&self) -> Vec<(String, String)> {
        let world = self.platform.world();
        world.users.values().map(|user| (user.user_id.clone(), user.language.clone())).collect()
    }

    /// The time at which a user's pause ends, if the bot is paused.
    pub fn paused_until(&self, user_id: &str) -> Option<Timestamp> {
        self.platform.with_user(user_id, |user| user.paused_until).ok().flatten()
    }

    /// Returns whether the widget shows that an agent is typing.
    pub fn is_typing_shown(&self, user_id: &str) -> bool {
        let now = self.platform.now();
        self.platform.with_user(user_id, |user| user.typing_until.is_some_and(|until| until > now)).unwrap_or_default()
    }

    /// What the user saw and wrote, in order.
    pub fn screen(&self, user_id: &str) -> Vec<Line> {
        self.platform.with_user(user_id, |user| user.screen.clone()).unwrap_or_default()
    }
}

impl Platform {
    fn with_user<T>(&self, user_id: &str, act: impl FnOnce(&mut User) -> T) -> Result<T, String> {
        let mut world = self.world();
        world.user(self, user_id).map(act).ok_or_else(|| nobody(user_id))
    }

    /// The body of a call, kept in case it is repeated.
    fn prepared(&self, user_id: &str, body: impl FnOnce(&User) -> Value) -> Result<Value, String> {
        self.with_user(user_id, |user| {
            let body = body(user);
            user.last_call = Some(body.clone());
            body
        })
    }
}

fn nobody(user_id: &str) -> String {
    format!("there is no user \"{user_id}\"")
}
