//! The bot's side of a world: what its users do and what it is told, on either platform.
//!
//! A person is named as in the journal: by the upstream conversation at Botpress, by the user's id at Botcopy.

use std::sync::Arc;
use std::time::Duration;

use sandbox::botpress::Escalation;
use sandbox::demo::Bot;
use sandbox::faults::Faults;
use sandbox::journal::{Entry, Vendor};
use serde_json::Value;

use crate::World;

/// The word that makes either bot ask for a person; every such text contains it.
pub(super) const ASKING: &str = "human";

/// A bot and its world.
#[derive(Clone, Debug)]
pub(super) struct BotSide {
    pub bot: Bot,
    world: Arc<World>,
}

impl BotSide {
    pub(crate) fn new(bot: Bot, world: &Arc<World>) -> Self {
        Self { bot, world: Arc::clone(world) }
    }

    /// The vendor that is called to reach the bot.
    pub(crate) const fn vendor(&self) -> Vendor {
        match self.bot {
            Bot::Botpress => Vendor::Botpress,
            Bot::Botcopy => Vendor::Botcopy,
        }
    }

    /// The vendor's faults.
    pub(crate) fn faults(&self) -> &Faults {
        match self.bot {
            Bot::Botpress => self.world.stack.botpress.faults(),
            Bot::Botcopy => self.world.stack.botcopy.faults(),
        }
    }

    /// The call by which an agent's message is shown.
    pub(crate) const fn showing_call(&self) -> &'static str {
        match self.bot {
            Bot::Botpress => "messages/get-or-create",
            Bot::Botcopy => "handover/push",
        }
    }

    /// Adds a person who talks to the bot.
    pub(crate) fn new_person(&self, number: usize) -> String {
        match self.bot {
            Bot::Botpress => {
                let (name, email) = (format!("User {number}"), format!("user-{number}@example.com"));
                self.world.stack.botpress.new_user(&name, Some(&email), None).conversation_id
            }
            Bot::Botcopy => self.world.stack.botcopy.new_user(),
        }
    }

    /// The same user in another conversation with the bot; at Botcopy there is only one.
    pub(crate) fn again(&self, person: &str) -> String {
        match self.bot {
            Bot::Botpress => match self.world.stack.botpress.new_conversation(person) {
                Ok(user) => user.conversation_id,
                Err(_) => person.to_owned(),
            },
            Bot::Botcopy => person.to_owned(),
        }
    }

    /// The user writes, to the bot or to an agent.
    pub(crate) async fn says(&self, person: &str, text: &str) -> Result<(), String> {
        match self.bot {
            Bot::Botpress => self.world.stack.botpress.user_says(person, text).await.map(drop),
            Bot::Botcopy => {
                // Texts written at the same instant have no order, because only the service's clock orders them.
                if let Some(clock) = &self.world.clock {
                    clock.advance(Duration::from_millis(1));
                }
                self.world.stack.botcopy.user_says(person, text).await
            }
        }
    }

    /// The user asks for a person with a text that contains [`ASKING`], and the bot hands them over.
    pub(crate) async fn asks(&self, person: &str, text: &str) -> Result<(), String> {
        self.asks_with(person, text, Escalation::default()).await
    }

    /// The same with the options that a bot can set; Botcopy's cannot.
    pub(crate) async fn asks_with(&self, person: &str, text: &str, escalation: Escalation) -> Result<(), String> {
        assert!(text.contains(ASKING), "nobody asks for a person with \"{text}\"");
        self.says(person, text).await?;
        match self.bot {
            Bot::Botpress => self.world.stack.botpress.escalate(person, escalation).await,
            Bot::Botcopy if self.world.stack.botcopy.is_paused(person) => Ok(()),
            Bot::Botcopy => Err("the bot goes on".to_owned()),
        }
    }

    /// Every notification to the bot that a session has ended.
    pub(crate) fn ends_told(&self) -> Vec<Entry> {
        match self.bot {
            Bot::Botpress => self.world.bot_events("hitlStopped"),
            Bot::Botcopy => self.world.entries("unpaused", "/by", "push"),
        }
    }

    /// Every delivery of something that a user wrote in a session; `true` for those that the service has accepted.
    pub(crate) fn deliveries(&self) -> Vec<(Entry, bool)> {
        let (effect, field, expected) = match self.bot {
            Bot::Botpress => ("operation_called", "status", Value::from(200)),
            Bot::Botcopy => ("webhook_called", "paused", Value::Bool(true)),
        };
        let mut calls = self.world.stack.journal.all(effect);
        calls.retain(|entry| self.bot == Bot::Botcopy || entry.text("/operation") == "message_created");
        let judged = |entry: Entry| {
            let is_taken = entry.detail.get(field) == Some(&expected);
            (entry, is_taken)
        };
        calls.into_iter().map(judged).collect()
    }

    /// Returns whether the bot has answered a text itself.
    pub(crate) fn has_answered(&self, text: &str) -> bool {
        let answer = format!("bot: {text}");
        self.bot == Bot::Botcopy && self.world.entries("shown_to_user", "/text", &answer).iter().any(is_by_bot)
    }
}

fn is_by_bot(entry: &Entry) -> bool {
    entry.text("/from") == "bot"
}
