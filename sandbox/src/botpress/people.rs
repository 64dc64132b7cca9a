//! The actions of people, the bot and its author.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::calls::OperationAnswer;
use super::plugin::{self, Escalation};
use super::state::Speaker;
use super::{Simulator, UPSTREAM_INTEGRATION};

/// A user of the bot, and the chat with it.
#[derive(Clone, Debug)]
pub struct UpstreamUser {
    /// The upstream user's id.
    pub user_id: String,
    /// The upstream conversation's id.
    pub conversation_id: String,
}

/// The bot's data about a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Profile {
    /// The name shown; none for a visitor who gave none.
    pub name: Option<String>,
    /// The address: a tag of the webchat, which the plugin is not shown.
    pub email: Option<String>,
    /// The address of the picture.
    pub picture: Option<String>,
}

/// One line of what an end user sees.
#[derive(Clone, Debug)]
pub struct Line {
    /// The author.
    pub from: Speaker,
    /// The name shown, if the platform shows one.
    pub name: Option<String>,
    /// Message type.
    pub message_type: String,
    /// The text; `""` when the message has none.
    pub text: String,
    /// The whole payload.
    pub payload: Value,
}

impl Simulator {
    /// A person opens the webchat. The bot knows the address: a tag of the webchat that the plugin does not see.
    pub fn new_user(&self, name: &str, email: Option<&str>, picture_url: Option<&str>) -> UpstreamUser {
        let user_id = self.add_person(name, email, picture_url);
        let mut world = self.platform.world();
        let conversation = world.add_conversation(self.platform.now(), UPSTREAM_INTEGRATION, "channel");
        conversation.participants.push(user_id.clone());
        UpstreamUser { user_id, conversation_id: conversation.id.clone() }
    }

    /// The owner of a conversation begins another one, in another window or with the button for that.
    ///
    /// # Errors
    ///
    /// When the conversation does not exist.
    pub fn new_conversation(&self, conversation_id: &str) -> Result<UpstreamUser, String> {
        let user_id = self.owner(conversation_id)?;
        let mut world = self.platform.world();
        let conversation = world.add_conversation(self.platform.now(), UPSTREAM_INTEGRATION, "channel");
        conversation.participants.push(user_id.clone());
        Ok(UpstreamUser { user_id, conversation_id: conversation.id.clone() })
    }

    /// A further person joins a conversation; returns the user's id.
    pub fn new_participant(&self, conversation_id: &str, name: &str, email: Option<&str>) -> String {
        let user_id = self.add_person(name, email, None);
        if let Some(conversation) = self.platform.world().conversations.get_mut(conversation_id) {
            conversation.participants.push(user_id.clone());
        }
        user_id
    }

    fn add_person(&self, name: &str, email: Option<&str>, picture_url: Option<&str>) -> String {
        let mut world = self.platform.world();
        let user = world.add_user(self.platform.now(), UPSTREAM_INTEGRATION, None);
        user.name = Some(name.to_owned()).filter(|name| !name.is_empty());
        user.picture_url = picture_url.map(str::to_owned);
        user.tags.extend(email.map(|email| ("email".to_owned(), email.to_owned())));
        user.id.clone()
    }

    /// The user changes the bot's data about them; an absent field stays, and an empty one is removed.
    ///
    /// # Errors
    ///
    /// When the conversation does not exist.
    pub fn changes_profile(&self, conversation_id: &str, changes: Profile) -> Result<(), String> {
        let owner = self.owner(conversation_id)?;
        let mut world = self.platform.world();
        let user = world.users.get_mut(&owner).ok_or_else(|| format!("there is no user \"{owner}\""))?;
        let filled = |value: &String| !value.is_empty();
        if let Some(name) = changes.name {
            user.name = Some(name).filter(filled);
        }
        if let Some(picture) = changes.picture {
            user.picture_url = Some(picture).filter(filled);
        }
        match changes.email {
            Some(email) if email.is_empty() => drop(user.tags.remove("email")),
            Some(email) => drop(user.tags.insert("email".to_owned(), email)),
            None => {}
        }
        let changed = user.clone();
        drop(world);
        self.platform.record_user("profile_changed", &changed);
        Ok(())
    }

    /// Returns the bot's data about the user of a conversation; empty if there is none.
    pub fn profile(&self, conversation_id: &str) -> Profile {
        let owner = self.owner(conversation_id);
        let world = self.platform.world();
        let user = owner.ok().and_then(|owner| world.users.get(&owner).cloned());
        user.map(|user| {
            let email = user.tags.get("email").cloned();
            Profile { name: user.name, email, picture: user.picture_url }
        })
        .unwrap_or_default()
    }

    /// The user writes a text; returns the message's id when the bot or the plugin has taken it.
    ///
    /// # Errors
    ///
    /// When the conversation does not exist, or the plugin failed (which the user does not see).
    pub async fn user_says(&self, conversation_id: &str, text: &str) -> Result<String, String> {
        self.user_sends(conversation_id, "text", json!({"text": text})).await
    }

    /// The user sends a message of any type.
    ///
    /// # Errors
    ///
    /// As for [`user_says`](Self::user_says).
    pub async fn user_sends(
        &self,
        conversation_id: &str,
        message_type: &str,
        payload: Value,
    ) -> Result<String, String> {
        let owner = self.owner(conversation_id)?;
        self.participant_sends(conversation_id, &owner, message_type, payload).await
    }

    /// Any participant sends a message of any type.
    ///
    /// # Errors
    ///
    /// As for [`user_says`](Self::user_says).
    pub async fn participant_sends(
        &self,
        conversation_id: &str,
        user_id: &str,
        message_type: &str,
        payload: Value,
    ) -> Result<String, String> {
        let _running = self.platform.pending.start();
        self.owner(conversation_id)?;
        let message = {
            let mut world = self.platform.world();
            let message = world.add_message(self.platform.now(), conversation_id, user_id, message_type, payload);
            message.speaker = Some((Speaker::User, None));
            message.clone()
        };
        self.platform.record(
            "user_wrote",
            json!({
                "conversation_id": conversation_id, "user_id": user_id, "message_id": message.id,
                "type": message_type, "text": message.payload.get("text"),
            }),
        );
        let handled = plugin::on_user_message(&self.platform, &message).await;
        if let Err(reason) = &handled {
            self.platform.record("plugin_failed", json!({"conversation_id": conversation_id, "reason": reason}));
        }
        if !handled? {
            self.bot_replies(conversation_id, message_type, &message.payload);
        }
        Ok(message.id)
    }

    /// The trivial bot: it repeats what the user writes.
    fn bot_replies(&self, conversation_id: &str, message_type: &str, payload: &Value) {
        let heard = payload.get("text").and_then(Value::as_str).unwrap_or(message_type);
        let reply = json!({"text": format!("bot: {heard}")});
        let mut world = self.platform.world();
        plugin::show(&self.platform, &mut world, conversation_id, (Speaker::Bot, None), "text", reply);
    }

    /// The bot's workflow reaches its Start HITL card and fills in *User Email* if it knows the address.
    ///
    /// # Errors
    ///
    /// What the bot's author sees when the plugin's action fails.
    pub async fn escalate(&self, conversation_id: &str, mut escalation: Escalation) -> Result<(), String> {
        let _running = self.platform.pending.start();
        let owner = self.owner(conversation_id)?;
        if escalation.user_email.is_none() {
            let world = self.platform.world();
            escalation.user_email = world.users.get(&owner).and_then(|user| user.tags.get("email").cloned());
        }
        plugin::start(&self.platform, conversation_id, &owner, escalation).await
    }

    /// The bot's workflow reaches its Stop HITL card.
    ///
    /// # Errors
    ///
    /// As for [`escalate`](Self::escalate).
    pub async fn stop(&self, conversation_id: &str) -> Result<(), String> {
        let _running = self.platform.pending.start();
        plugin::stop(&self.platform, conversation_id).await
    }

    /// The user types the command that ends the session, from the plugin's default configuration.
    ///
    /// # Errors
    ///
    /// As for [`user_says`](Self::user_says).
    pub async fn user_ends(&self, conversation_id: &str) -> Result<String, String> {
        let command = self.platform.options.plugin.close_command.clone();
        self.user_says(conversation_id, &command).await
    }

    /// Removes the plugin's link from a conversation, upstream or downstream, to create an internal inconsistency.
    pub fn unlink(&self, conversation_id: &str) {
        if let Some(conversation) = self.platform.world().conversations.get_mut(conversation_id) {
            conversation.plugin_tags.remove("upstream");
            conversation.plugin_tags.remove("downstream");
        }
    }

    /// Deletes a user, as the bot's owner can; sends no notification.
    pub fn delete_user(&self, user_id: &str) {
        self.platform.world().users.remove(user_id);
        self.platform.record("user_deleted", json!({"user_id": user_id}));
    }

    /// Deletes a conversation with its messages, likewise without notification.
    pub fn delete_conversation(&self, conversation_id: &str) {
        let mut world = self.platform.world();
        let removed = world.conversations.remove(conversation_id);
        for message_id in removed.into_iter().flat_map(|conversation| conversation.messages) {
            world.messages.remove(&message_id);
        }
        drop(world);
        self.platform.record("conversation_deleted", json!({"conversation_id": conversation_id}));
    }

    /// All users who have opened the webchat, with their names; newest last.
    pub fn people(&self) -> Vec<(UpstreamUser, String)> {
        let world = self.platform.world();
        let mut upstream: Vec<_> = world.conversations.newest_first().collect();
        upstream.retain(|one| one.integration == UPSTREAM_INTEGRATION);
        upstream.reverse();
        let owner = |conversation: &super::state::Conversation| {
            let user_id = conversation.participants.first()?.clone();
            let name = world.users.get(&user_id).and_then(|user| user.name.clone()).unwrap_or_default();
            Some((UpstreamUser { user_id, conversation_id: conversation.id.clone() }, name))
        };
        upstream.into_iter().filter_map(owner).collect()
    }

    /// The number of background tasks, including those that wait for the clock.
    pub fn background_tasks(&self) -> usize {
        self.platform.pending.count()
    }

    /// Returns whether HITL is active on a conversation, upstream or downstream.
    pub fn is_escalated(&self, conversation_id: &str) -> bool {
        self.platform.world().conversations.get(conversation_id).is_some_and(|conversation| conversation.hitl_active)
    }

    /// The downstream conversation that an upstream one was last linked to.
    pub fn downstream(&self, conversation_id: &str) -> Option<String> {
        self.platform.world().conversation_tag(conversation_id, "downstream")
    }

    /// The mirror of an upstream user on the integration's side, under whose name their messages arrive.
    pub fn downstream_user(&self, user_id: &str) -> Option<String> {
        self.platform.world().users.get(user_id)?.plugin_tags.get("downstream").cloned()
    }

    /// What the user saw and wrote, in order.
    pub fn transcript(&self, conversation_id: &str) -> Vec<Line> {
        let world = self.platform.world();
        let conversation = world.conversations.get(conversation_id);
        let messages = conversation.into_iter().flat_map(|conversation| world.messages_of(conversation));
        let mut lines: Vec<Line> = messages
            .filter_map(|message| {
                let (from, name) = message.speaker.clone()?;
                let text = message.payload.get("text").and_then(Value::as_str).unwrap_or_default().to_owned();
                let (message_type, payload) = (message.message_type.clone(), message.payload.clone());
                Some(Line { from, name, message_type, text, payload })
            })
            .collect();
        lines.reverse();
        lines
    }

    /// Sends one operation as the platform would, but without its retries and its checks of the answer.
    ///
    /// A null `body` is an empty one. An override with a value sets a header, one without a value removes it; an
    /// overridden `x-bp-signature` is sent as given.
    ///
    /// # Errors
    ///
    /// When no answer arrives.
    pub async fn call_operation(
        &self,
        operation: &str,
        body: &Value,
        overrides: &[(&str, Option<&str>)],
    ) -> Result<OperationAnswer, String> {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.platform.send(operation, &bytes, overrides).await
    }

    /// Delivers a message once more, as after a lost answer; returns `false` if there is no such message.
    pub fn deliver_again(&self, message_id: &str) -> bool {
        let mut world = self.platform.world();
        let exists = world.messages.get(message_id).is_some();
        self.platform.deliver(&mut world, message_id);
        exists
    }

    /// Delivers the latest message once more; returns `false` if there was none.
    pub fn repeat_last_message_delivery(&self) -> bool {
        let last = self.platform.world().last_delivered.clone();
        last.is_some_and(|message_id| self.deliver_again(&message_id))
    }

    fn owner(&self, conversation_id: &str) -> Result<String, String> {
        let world = self.platform.world();
        let conversation = world.conversations.get(conversation_id);
        let owner = conversation.and_then(|conversation| conversation.participants.first().cloned());
        owner.ok_or_else(|| format!("there is no upstream conversation \"{conversation_id}\""))
    }
}
