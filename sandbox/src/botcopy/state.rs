//! What Botcopy stores about the bot's users.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use shared::clock::Timestamp;
use uuid::Uuid;

use super::{Dialogflow, Platform};

/// The length of a pause when a call does not give one.
pub(super) const DEFAULT_MINUTES: f64 = 10.0;

/// How long the typing bubble stays.
const TYPING: Duration = Duration::from_secs(10);

/// The author of a line in the widget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The user.
    User,
    /// The bot.
    Bot,
    /// An agent.
    Agent,
    /// Botcopy itself: with whom the user is chatting.
    Notice,
}

impl Speaker {
    /// `user`, `bot`, `agent` or `notice`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Bot => "bot",
            Self::Agent => "agent",
            Self::Notice => "notice",
        }
    }
}

/// The cause of a change of the pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Answer,
    Push,
    Expiry,
}

impl By {
    const fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Push => "push",
            Self::Expiry => "expiry",
        }
    }
}

/// All users and their state.
#[derive(Debug)]
pub(super) struct World {
    pub users: BTreeMap<String, User>,
    pub pushes: u64,
    /// Whether the portal's "Live Chat User Events → Typing" is on.
    pub has_user_events: bool,
    /// Whether the pause of a user ends with their Dialogflow session.
    pub expiry_ends_pause: bool,
}

impl Default for World {
    fn default() -> Self {
        Self { users: BTreeMap::new(), pushes: 0, has_user_events: true, expiry_ends_pause: false }
    }
}

/// One user of the bot.
#[derive(Debug)]
pub(super) struct User {
    pub user_id: String,
    pub session_id: String,
    pub dialogflow_session: String,
    /// The time of the last query in the Dialogflow session.
    pub queried_at: Option<Timestamp>,
    /// The code of the user's language, `en`.
    pub language: String,
    pub paused_until: Option<Timestamp>,
    pub agent_name: Option<String>,
    pub typing_until: Option<Timestamp>,
    /// The last time that the endpoint was notified of typing.
    pub typed_at: Option<Timestamp>,
    pub screen: Vec<Line>,
    pub history: Vec<Value>,
    pub last_call: Option<Value>,
}

impl User {
    pub(crate) fn new(language: &str) -> Self {
        let session = Uuid::new_v4();
        Self {
            user_id: Uuid::new_v4().simple().to_string(),
            session_id: session.simple().to_string(),
            dialogflow_session: dialogflow_session(session),
            queried_at: None,
            language: language.to_owned(),
            paused_until: None,
            agent_name: None,
            typing_until: None,
            typed_at: None,
            screen: Vec::new(),
            history: Vec::new(),
            last_call: None,
        }
    }
}

impl World {
    /// Returns the user, after expiring a lapsed pause and an ended Dialogflow session.
    pub(crate) fn user(&mut self, platform: &Platform, user_id: &str) -> Option<&mut User> {
        let ends_pause = self.expiry_ends_pause;
        let user = self.users.get_mut(user_id)?;
        user.expire(platform, ends_pause);
        if let Some(lapsed_at) = user.paused_until.filter(|until| *until <= platform.now()) {
            user.paused_until = None;
            user.agent_name = None;
            platform.record("pause_lapsed", json!({"user_id": user_id, "lapsed_at": lapsed_at}));
        }
        Some(user)
    }
}

fn dialogflow_session(id: Uuid) -> String {
    format!("projects/shop/agent/sessions/{id}")
}

impl User {
    /// Begins another Dialogflow session if the last one has ended; sends no notification.
    fn expire(&mut self, platform: &Platform, ends_pause: bool) {
        let lasts = platform.options.dialogflow.session_time();
        if self.queried_at.is_none_or(|at| platform.now() < at + lasts) {
            return;
        }
        self.queried_at = None;
        self.dialogflow_session = dialogflow_session(Uuid::new_v4());
        platform.record("session_expired", json!({"user_id": self.user_id}));
        if ends_pause {
            self.unpause(platform, By::Expiry);
        }
    }

    pub(crate) fn pause(&mut self, platform: &Platform, minutes: f64, by: By) {
        let effect = if self.paused_until.is_some() { "pause_extended" } else { "paused" };
        let until = platform.now() + Duration::try_from_secs_f64(minutes * 60.0).unwrap_or(Duration::MAX);
        self.paused_until = Some(until);
        platform.record(effect, json!({"user_id": self.user_id, "until": until, "by": by.name()}));
    }

    pub(crate) fn unpause(&mut self, platform: &Platform, by: By) {
        self.agent_name = None;
        let effect = match (self.paused_until.take(), by) {
            (Some(_), _) => "unpaused",
            (None, By::Push) => "unpaused_again",
            // The answer to every message for the bot.
            (None, By::Answer | By::Expiry) => return,
        };
        platform.record(effect, json!({"user_id": self.user_id, "by": by.name()}));
    }

    pub(crate) fn type_for_a_while(&mut self, platform: &Platform) {
        self.typing_until = Some(platform.now() + TYPING);
        platform.record("typing_shown", json!({"user_id": self.user_id}));
    }

    /// Adds a line to the widget; the user's own lines are journaled when written, not when shown.
    pub(crate) fn show(&mut self, platform: &Platform, from: Speaker, text: &str, push: Option<u64>) {
        let name = self.agent_name.clone().filter(|_| from == Speaker::Agent);
        if from != Speaker::User {
            let detail = json!({
                "user_id": self.user_id, "from": from.name(), "name": name, "type": "text", "text": text, "push": push,
            });
            platform.record("shown_to_user", detail);
        }
        self.screen.push(Line { from, name, text: text.to_owned() });
    }

    /// Adds an item to the message history.
    pub(crate) fn remember(&mut self, platform: &Platform, direction: &str, payload: Value) {
        let bot_platform = match platform.options.dialogflow {
            Dialogflow::Es => "dialogflowES",
            Dialogflow::Cx => "dialogFlowCX",
        };
        self.history.push(json!({
            "_id": Uuid::new_v4().simple().to_string(),
            "botPlatform": bot_platform,
            "direction": direction,
            "payload": payload,
            "createdAt": platform.now(),
        }));
    }
}

/// One line of the widget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The author.
    pub from: Speaker,
    /// The agent's name, where the widget shows one.
    pub name: Option<String>,
    /// The text.
    pub text: String,
}
