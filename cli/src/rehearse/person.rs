//! A person in LiveChat's agent app answers: the command prints each step and waits for it.

use std::collections::BTreeSet;

use serde_json::Value;
use shared::ids::UserId;
use shared::model::lane::Lane;
use shared::store::LifeEvent;

use super::report::Verdict;
use super::scene::{Scene, chat, send_file_back, write_to_agent};
use super::stage::Stage;
use super::statements::Id;
use crate::output::Failure;

/// The statements that only the agent of the token can try.
const BY_TOKEN: [Id; 5] =
    [Id::CustomIds, Id::TextLimit, Id::RepeatedMessage, Id::CreatedFlag, Id::RepeatedConversation];

/// Prints what the person should do now.
pub(super) fn ask(stage: &Stage<'_>, what: &str) {
    stage.say(&format!("In LiveChat's agent app, within {} s: {what}.", stage.wait.as_secs()));
}

/// Has the person take the chat and do what the agent of the token cannot.
pub(super) async fn answer(stage: &Stage<'_>, user_id: &UserId, scene: &Scene) -> Result<(), Failure> {
    take(stage, scene).await?;
    write_to_agent(stage, user_id, scene).await?;
    let mut person = Person { stage, scene, seen: BTreeSet::new() };
    person.does("text to the user", "write a message to the customer", "event:").await?;
    let file = person.does("file to the user", "send the customer a file", "event:").await?;
    match url_of(&chat(stage, scene).await?, &file) {
        Some(url) => send_file_back(stage, user_id, scene, &url).await?,
        None => stage.failed("file to the agent", "the person did not send a file"),
    }
    person.does("edit", "edit your message", "corrected:").await?;
    let after = "write a private note, and then another message to the customer";
    person.does("text after a note", after, "event:").await?;
    look_for_note(stage, scene).await?;
    person.does("delete", "delete that message", "deleted:").await?;
    stage.not_seen("transfer", "this step needs another agent");
    for id in BY_TOKEN {
        stage.report().judge(id, Verdict::NotSeen, "a person answered");
    }
    Ok(())
}

async fn take(stage: &Stage<'_>, scene: &Scene) -> Result<(), Failure> {
    ask(stage, "take the chat of the customer \"Rehearsal\", unless it is yours already");
    let told =
        stage.until_within(stage.wait, async || Ok(stage.session(&scene.session_id).await?.announced_agent)).await?;
    if told.is_none() {
        return Err(Failure::refused(format!("no agent was announced within {} s", stage.wait.as_secs())));
    }
    stage.judge(Id::Handing, true, "");
    stage.ok("agent announced", "the bot knows the agent", None);
    Ok(())
}

/// The person who answers, and which of their events have been seen.
struct Person<'a, 's> {
    stage: &'a Stage<'s>,
    scene: &'a Scene,
    seen: BTreeSet<String>,
}

impl Person<'_, '_> {
    /// Asks for an action, and waits until the stack has processed its event: the next one whose source begins with `source`. Returns
    /// the event's id at LiveChat.
    async fn does(&mut self, name: &'static str, what: &str, source: &str) -> Result<String, Failure> {
        let Self { stage, scene, seen } = self;
        ask(stage, what);
        let is_next = |event: &LifeEvent| {
            let is_asked_for = event.lane == Lane::ToBot && event.source_id.starts_with(source);
            is_asked_for && event.outcome.is_some() && !seen.contains(&event.source_id)
        };
        let done = stage
            .until_within(stage.wait, async || Ok(stage.table.life(&scene.session_id).await?.into_iter().find(is_next)))
            .await?;
        let Some(event) = done else {
            return Err(Failure::refused(format!("{name}: the step was not done within {} s", stage.wait.as_secs())));
        };
        stage.arrived(name, &event, event.at);
        let id = event.source_id.split(':').nth(1).unwrap_or_default().to_owned();
        seen.insert(event.source_id);
        Ok(id)
    }
}

fn events(chat: &Value) -> impl Iterator<Item = &Value> {
    chat.pointer("/thread/events").and_then(Value::as_array).into_iter().flatten()
}

fn field<'a>(event: &'a Value, name: &str) -> &'a str {
    event.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the address of a file that the person has sent.
fn url_of(chat: &Value, event_id: &str) -> Option<String> {
    let mut files = events(chat).filter(|event| field(event, "type") == "file" && field(event, "id") == event_id);
    files.next().map(|file| field(file, "url").to_owned())
}

/// Checks that the person has written a note, and that the user did not see it.
async fn look_for_note(stage: &Stage<'_>, scene: &Scene) -> Result<(), Failure> {
    let chat = chat(stage, scene).await?;
    let is_note = |event: &&Value| field(event, "visibility") == "agents" && field(event, "type") == "message";
    let mut has_note = false;
    for note in events(&chat).filter(is_note) {
        has_note = true;
        let shown = stage.fate(&scene.session_id, field(note, "id")).await?;
        if shown.is_some_and(|event| event.outcome == Some(shared::model::lane::Outcome::Delivered)) {
            stage.failed("note", "the user saw a private note");
            return Ok(());
        }
    }
    match has_note {
        true => stage.ok("note", "the user did not see it", None),
        false => stage.not_seen("note", "the person has written none"),
    }
    Ok(())
}
