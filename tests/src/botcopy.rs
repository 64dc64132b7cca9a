//! What users of the Botcopy bot do and see.

use sandbox::botcopy::{Dialogflow, HandoverAnswer};
use sandbox::stack::{Options, Stack};
use serde_json::Value;
use shared::fail_point::Plan;

use super::{Clocks, World, owned, texts};

/// The text that makes the bot ask for a person.
pub const ASK: &str = "a human please";

impl World {
    /// A world inside this process whose Botcopy bot is built with this Dialogflow.
    pub async fn with_dialogflow(dialogflow: Dialogflow) -> Self {
        let clock = Clocks::new();
        let options = Options { botcopy: dialogflow, ..clock.options() };
        let stack = Stack::start(options).await.expect("the stack starts");
        let world = Self { stack, fail_points: Plan::default(), clock: Some(clock) };
        world.install().await.expect("the integration is installed");
        world
    }

    /// A world inside this process whose table can be spoiled.
    pub async fn with_table_proxy(environment: &[(&str, &str)]) -> Self {
        let clock = Clocks::new();
        let options = Options { table_proxy: true, environment: owned(environment), ..clock.options() };
        let stack = Stack::start(options).await.expect("the stack starts");
        let world = Self { stack, fail_points: Plan::default(), clock: Some(clock) };
        world.install().await.expect("the integration is installed");
        world
    }

    /// A new user of the Botcopy bot, who has said hello.
    pub async fn widget_user(&self) -> String {
        let user = self.stack.botcopy.new_user();
        self.widget_says(&user, "hello").await;
        user
    }

    /// The user of the widget writes; returns when all effects have happened.
    pub async fn widget_says(&self, user: &str, text: &str) {
        self.drive(self.stack.botcopy.user_says(user, text)).await.expect("the user can write");
        self.settle().await;
    }

    /// A user who has just been handed over to Anna.
    pub async fn handed_over_user(&self) -> String {
        let user = self.widget_user().await;
        self.widget_says(&user, ASK).await;
        assert!(self.stack.botcopy.is_paused(&user), "the user is handed over");
        user
    }

    /// Botcopy calls the live-chat endpoint, once.
    pub async fn call_botcopy(&self, body: &Value, headers: &[(&str, Option<&str>)]) -> HandoverAnswer {
        self.drive(self.stack.botcopy.call_endpoint(body, headers)).await.expect("the endpoint answers")
    }

    /// Repeats the last call for this user; returns when all effects have happened.
    pub async fn repeat_call(&self, user: &str) {
        self.drive(self.stack.botcopy.repeat_last_call(user)).await.expect("there is a call to repeat");
        self.settle().await;
    }

    /// What one user's widget showed from `from`: `agent`, `bot` or `notice`.
    pub fn widget_shows(&self, user: &str, from: &str) -> Vec<String> {
        let mut shown = self.entries("shown_to_user", "/user_id", user);
        shown.retain(|entry| entry.text("/from") == from);
        texts(&shown)
    }
}
