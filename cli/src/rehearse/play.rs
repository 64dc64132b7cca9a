//! The play, scene by scene.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use shared::botpress::NewMessage;
use shared::ids::{ChatId, ConversationId, UserId};
use shared::model::session::State;
use shared::redacted::Redacted;

use super::person;
use super::scene::{Scene, chat, has_text, random, says, send_file_back, write_to_agent};
use super::stage::{PATIENCE, Stage, described};
use super::statements::Id;
use crate::arguments::AnsweredBy;
use crate::output::Failure;

/// The longest text that LiveChat is expected to accept, in bytes.
const LONGEST_TEXT: usize = 16_384;

/// How long LiveChat and the stack have to announce the agent that LiveChat assigns on its own.
const ASSIGNED_WITHIN: Duration = Duration::from_secs(5);

/// The text that the agent of the token writes.
const TO_USER: &str = "hello from the agent";

/// Plays everything; whoever calls closes what it leaves open.
pub(super) async fn play(stage: &Stage<'_>) -> Result<(), Failure> {
    let user_id = enter(stage).await?;
    let first = start(stage, &user_id, "start").await?;
    look_at_opening(stage, &first).await?;
    match stage.answered_by {
        AnsweredBy::Token => answer(stage, &user_id, &first).await?,
        AnsweredBy::Person => Box::pin(person::answer(stage, &user_id, &first)).await?,
    }
    let token = stage.user(&user_id).await?.customer.map(|customer| customer.access_token);
    let token = token.ok_or_else(|| Failure::refused("the table does not have the customer's token"))?;
    open_twice(stage, &first, &token).await?;
    close(stage, &first).await?;
    act_after_close(stage, &first, &token).await?;
    let second = start(stage, &user_id, "second session").await?;
    talk_again(stage, &user_id, &first, &second).await?;
    speak_late(stage, &user_id, &second).await?;
    renew(stage, &user_id).await
}

/// The agent of the token answers.
async fn answer(stage: &Stage<'_>, user_id: &UserId, scene: &Scene) -> Result<(), Failure> {
    hand_over(stage, scene).await?;
    talk(stage, user_id, scene).await?;
    send_files(stage, user_id, scene).await?;
    whisper(stage, scene).await?;
    stage.not_seen("edit, delete", "agents can do it in LiveChat's agent app alone: its web APIs offer neither");
    Ok(())
}

/// Makes a user who is nobody's.
async fn enter(stage: &Stage<'_>) -> Result<UserId, Failure> {
    stage.step("creating a user for the rehearsal");
    let email = format!("rehearsal-{}@hitl.invalid", random());
    let output = stage.action("createUser", json!({"name": "Rehearsal", "email": email})).await?;
    let user_id = output.get("userId").and_then(Value::as_str).map(UserId::from);
    let user_id = user_id.ok_or_else(|| Failure::refused("the stack answered createUser without a user"))?;
    stage.opened().user_id = Some(user_id.clone());
    stage.report().user_id = Some(user_id.to_string());
    Ok(user_id)
}

async fn start(stage: &Stage<'_>, user_id: &UserId, name: &'static str) -> Result<Scene, Failure> {
    stage.step(&format!("{name}: starting a handoff"));
    let (mark, began) = (random(), stage.clock.now());
    let before = stage.table.user(user_id).await?.and_then(|user| user.session_id);
    stage.opened().starting = Some(before);
    let said = |source: Value, text: String| json!({"source": source, "type": "text", "payload": {"text": text}});
    let output = stage
        .action(
            "startHitl",
            json!({
                "userId": user_id, "title": "Rehearsal", "description": "Started by hitl rehearse; no answer is needed.",
                "hitlSession": {"groupId": stage.group},
                "messageHistory": [
                    said(json!({"type": "user", "userId": user_id}), format!("rehearsal {mark}")),
                    said(json!({"type": "bot"}), format!("A person will be with you. {mark}")),
                ],
            }),
        )
        .await?;
    let session_id = stage.user(user_id).await?.session_id;
    stage.opened().starting = None;
    let session_id = session_id.ok_or_else(|| Failure::refused("the table does not have the session"))?;
    let thread = stage.session(&session_id).await?.thread;
    let thread = thread.ok_or_else(|| Failure::refused("the session has no chat"))?;
    let conversation_id = output.get("conversationId").and_then(Value::as_str).unwrap_or_default().to_owned();
    stage.ok(name, format!("session {session_id}"), Some(stage.clock.now().since(began)));
    let scene = Scene { session_id, conversation_id, chat_id: thread.chat_id, thread_id: thread.thread_id };
    look_for_transcript(stage, &scene, &mark).await?;
    Ok(scene)
}

async fn look_for_transcript(stage: &Stage<'_>, scene: &Scene, mark: &str) -> Result<(), Failure> {
    let chat = chat(stage, scene).await?;
    match has_text(&chat, &format!("rehearsal {mark}")) {
        true => stage.ok("transcript", "agents see what was said to the bot", None),
        false => stage.failed("transcript", "agents do not see what was said to the bot"),
    }
    let groups = chat.pointer("/access/group_ids").cloned().unwrap_or_default();
    // The second start is a `resume_chat`.
    if stage.report().steps.iter().any(|step| step.name == "second session") {
        stage.judge(Id::NamedGroup, groups == json!([stage.group]), &format!("It went to {groups}."));
    }
    Ok(())
}

async fn look_at_opening(stage: &Stage<'_>, scene: &Scene) -> Result<(), Failure> {
    let chat = chat(stage, scene).await?;
    let client_id = chat.pointer("/properties/source/client_id").and_then(Value::as_str);
    stage.judge(
        Id::SourceClient,
        client_id == Some(&stage.client_id),
        "The property is another one or missing: deploy with OnlyMyChats=no.",
    );
    let users = chat.get("users").and_then(Value::as_array).into_iter().flatten();
    let is_present = |user: &Value| user.get("present").and_then(Value::as_bool).unwrap_or(true);
    let has_agent =
        users.into_iter().any(|user| user.get("id").and_then(Value::as_str) == Some(&stage.agent) && is_present(user));
    if has_agent {
        return Ok(());
    }
    let event = json!({"type": "message", "text": "rehearsal", "visibility": "agents"});
    let answer = stage.agent("send_event", &json!({"chat_id": scene.chat_id, "event": event})).await?;
    stage.judge_refusal(Id::Outsider, &answer, &["authorization"]);
    Ok(())
}

/// Gives the chat to the rehearsal's agent, who may be signed out.
async fn hand_over(stage: &Stage<'_>, scene: &Scene) -> Result<(), Failure> {
    stage.step("transferring the chat to the token's agent");
    // LiveChat's own assignment may be in progress: webhooks of two agents at the same instant arrive in any order.
    stage.clock.sleep(ASSIGNED_WITHIN).await;
    let began = stage.clock.now();
    let target = json!({"type": "agent", "ids": [stage.agent]});
    let transfer = json!({
        "id": scene.chat_id, "target": target, "ignore_agents_availability": true, "ignore_requester_presence": true,
    });
    let answer = stage.agent("transfer_chat", &transfer).await?;
    match answer.is_success() {
        true => stage.ok("transfer", format!("to {}", stage.agent), None),
        false => {
            stage.not_seen("transfer", format!("LiveChat refused it: {}", described(&answer)));
            let join = json!({
                "chat_id": scene.chat_id, "user_id": stage.agent, "user_type": "agent", "visibility": "all",
                "ignore_requester_presence": true,
            });
            stage.agent_must("add_user_to_chat", &join).await?;
        }
    }
    let told = stage
        .until(async || {
            let told = stage.session(&scene.session_id).await?.announced_agent;
            Ok(told.filter(|told| told.agent_id.as_str() == stage.agent))
        })
        .await?;
    stage.judge(Id::Handing, told.is_some(), "The stack received neither webhook.");
    if told.is_some() {
        stage.ok("agent announced", "the bot knows the agent", Some(stage.clock.now().since(began)));
    }
    Ok(())
}

async fn agent_sends(stage: &Stage<'_>, scene: &Scene, event: Value) -> Result<String, Failure> {
    let sent = stage.agent_must("send_event", &json!({"chat_id": scene.chat_id, "event": event})).await?;
    Ok(sent.get("event_id").and_then(Value::as_str).unwrap_or_default().to_owned())
}

async fn talk(stage: &Stage<'_>, user_id: &UserId, scene: &Scene) -> Result<(), Failure> {
    stage.step("text both ways");
    write_to_agent(stage, user_id, scene).await?;
    let sent_at = stage.clock.now();
    let event_id = agent_sends(stage, scene, json!({"type": "message", "text": TO_USER})).await?;
    stage.delivered("text to the user", &scene.session_id, (&event_id, sent_at)).await?;
    post_again(stage, scene, &event_id).await
}

/// Asks Botpress once more for what the stack has made there, by the same tags: that no repeat makes another one is what keeps a
/// message from being shown twice.
async fn post_again(stage: &Stage<'_>, scene: &Scene, event_id: &str) -> Result<(), Failure> {
    let (Some(token), botpress) = (&stage.secrets.botpress_token, stage.target.botpress()) else { return Ok(()) };
    let (bot, conversation_id) =
        (botpress.install(&stage.install, token), ConversationId::from(&*scene.conversation_id));
    let agent = stage.session(&scene.session_id).await?.announced_agent;
    let Some(user_id) = agent.and_then(|agent| agent.user_id) else { return Ok(()) };
    let tag = format!("event:{event_id}");
    let known = bot.find_message(&conversation_id, &tag).await?;
    let message = NewMessage {
        conversation_id: conversation_id.clone(),
        user_id,
        kind: "text".to_owned(),
        payload: json!({"text": TO_USER}),
        tags: BTreeMap::from([("id".to_owned(), tag)]),
    };
    let again = bot.get_or_create_message(&message, &["id"]).await?;
    let is_same = known.as_ref() == Some(&again.id);
    stage.judge(Id::RepeatedMessage, is_same, "The repeat created another message, which was shown twice.");
    if is_same {
        let seen = again.created.map_or("nothing".to_owned(), |created| created.to_string());
        stage.judge(
            Id::CreatedFlag,
            again.created == Some(false),
            &format!("For a message that already existed, it says {seen}."),
        );
    }
    let tags = BTreeMap::from([("id".to_owned(), scene.thread_id.to_string())]);
    let again = bot.get_or_create_conversation("hitl", &tags, &["id"]).await?;
    stage.judge(Id::RepeatedConversation, again.id == conversation_id, "The repeat created another conversation.");
    Ok(())
}

async fn send_files(stage: &Stage<'_>, user_id: &UserId, scene: &Scene) -> Result<(), Failure> {
    stage.step("a file both ways");
    let caller = shared::livechat::Caller::Agent(&stage.token);
    let began = stage.clock.now();
    let uploaded = stage.livechat.probe_upload(caller, "rehearsal.txt", "rehearsal\n").await?;
    stage.note("agent: upload_file".to_owned(), Some(uploaded.status), began);
    let Some(url) = uploaded.body.get("url").and_then(Value::as_str) else {
        return Err(Failure::refused(format!("LiveChat refused the agent's upload_file: {}", described(&uploaded))));
    };
    let began = stage.clock.now();
    let event_id = agent_sends(stage, scene, json!({"type": "file", "url": url})).await?;
    stage.delivered("file to the user", &scene.session_id, (&event_id, began)).await?;
    send_file_back(stage, user_id, scene, url).await
}

/// What agents write to each other, and two statements that can be tried where no user sees it.
async fn whisper(stage: &Stage<'_>, scene: &Scene) -> Result<(), Failure> {
    stage.step("a private note, and checks that need only notes");
    let note = json!({"type": "message", "text": "a note", "visibility": "agents", "custom_id": random()});
    let first = agent_sends(stage, scene, note.clone()).await?;
    let second = agent_sends(stage, scene, note).await?;
    stage.judge(Id::CustomIds, first != second, "The second event is the first one.");
    let long = json!({"type": "message", "text": "x".repeat(LONGEST_TEXT), "visibility": "agents"});
    let answer = stage.agent("send_event", &json!({"chat_id": scene.chat_id, "event": long})).await?;
    stage.judge(Id::TextLimit, answer.is_success(), &format!("Seen: {}.", described(&answer)));
    // If the note were being delivered, it would arrive before a later text.
    let sent_at = stage.clock.now();
    let event_id = agent_sends(stage, scene, json!({"type": "message", "text": "after the note"})).await?;
    stage.delivered("text after a note", &scene.session_id, (&event_id, sent_at)).await?;
    let shown = stage.fate(&scene.session_id, &first).await?;
    match shown.filter(|event| event.outcome == Some(shared::model::lane::Outcome::Delivered)) {
        None => stage.ok("note", "the user did not see it", None),
        Some(_) => stage.failed("note", "the user saw a private note"),
    }
    Ok(())
}

/// Tries what only a customer can try, and what needs an open chat.
async fn open_twice(stage: &Stage<'_>, scene: &Scene, token: &Redacted) -> Result<(), Failure> {
    const REFUSALS: [&str; 2] = ["validation", "limit_reached"];
    // A person may have closed the chat already, and then the call would open it.
    if stage.session(&scene.session_id).await?.state != State::Active {
        return Ok(());
    }
    stage.step("opening the open chat again, as the customer");
    let access = json!({"group_ids": [stage.group]});
    let opening = json!({"chat": {"access": access}, "continuous": true});
    let answer = stage.customer(token, "start_chat", &opening).await?;
    stage.opened().chats.extend(answer.body.get("chat_id").and_then(Value::as_str).map(ChatId::from));
    stage.judge_refusal(Id::SecondStart, &answer, &REFUSALS);
    let opening = json!({"chat": {"id": scene.chat_id, "access": access}, "continuous": true});
    let answer = stage.customer(token, "resume_chat", &opening).await?;
    stage.judge_refusal(Id::ActiveResume, &answer, &REFUSALS);
    let pinned = json!({"id": scene.chat_id, "properties": {"routing": {"pinned": true}}});
    let answer = stage.agent("update_chat_properties", &pinned).await?;
    if answer.is_success() {
        let continuous = chat(stage, scene).await?.pointer("/properties/routing/continuous").cloned();
        stage.judge(Id::Merging, continuous.is_some(), "A property of the same namespace is gone.");
    }
    Ok(())
}

async fn close(stage: &Stage<'_>, scene: &Scene) -> Result<(), Failure> {
    let began = stage.clock.now();
    let limit = match stage.answered_by {
        AnsweredBy::Token => {
            stage.step("closing the chat as the agent");
            let closing = json!({"id": scene.chat_id, "ignore_requester_presence": true});
            stage.agent_must("deactivate_chat", &closing).await?;
            PATIENCE
        }
        AnsweredBy::Person => {
            person::ask(stage, "close the chat");
            stage.wait
        }
    };
    match stage.closed(&scene.session_id, limit).await? {
        true if stage.answered_by == AnsweredBy::Person => stage.ok("close", "the session is over", None),
        true => stage.ok("close", "the session is over", Some(stage.clock.now().since(began))),
        false => stage.failed("close", format!("the session is open after {} s", limit.as_secs())),
    }
    match stage.session(&scene.session_id).await?.bot_told {
        Some(true) => stage.ok("bot resumes", "the bot was notified", None),
        _ => stage.failed("bot resumes", "the bot was not notified"),
    }
    Ok(())
}

async fn act_after_close(stage: &Stage<'_>, scene: &Scene, token: &Redacted) -> Result<(), Failure> {
    stage.step("checking what a closed chat accepts");
    let event = json!({"type": "message", "text": "late"});
    let answer = stage.customer(token, "send_event", &json!({"chat_id": scene.chat_id, "event": event})).await?;
    stage.judge_refusal(Id::ClosedSend, &answer, &["chat_inactive"]);
    let closing = json!({"id": scene.chat_id, "ignore_requester_presence": true});
    let answer = stage.agent("deactivate_chat", &closing).await?;
    stage.judge_refusal(Id::ClosedClose, &answer, &["chat_inactive"]);
    let rating = json!({
        "chat_id": scene.chat_id, "thread_id": scene.thread_id, "properties": {"rating": {"score": 1}},
    });
    let answer = stage.customer(token, "update_thread_properties", &rating).await?;
    stage.judge(Id::ClosedRating, answer.is_success(), &format!("Seen: {}.", described(&answer)));
    Ok(())
}

async fn talk_again(stage: &Stage<'_>, user_id: &UserId, first: &Scene, scene: &Scene) -> Result<(), Failure> {
    match scene.chat_id == first.chat_id && scene.thread_id != first.thread_id {
        true => stage.ok("same customer", "the chat of the first session, with a thread of its own", None),
        false => stage.failed("same customer", "the second session is not a new thread of the first one's chat"),
    }
    let sent_at = stage.clock.now();
    let payload = ("text", json!({"text": "hello again"}));
    let message_id = says(stage, user_id, &scene.conversation_id, payload).await?;
    stage.delivered("text, second session", &scene.session_id, (&message_id, sent_at)).await?;
    stage.action("stopHitl", json!({"conversationId": scene.conversation_id})).await?;
    match stage.closed(&scene.session_id, PATIENCE).await? {
        true => stage.ok("stop", "the bot ended the second session", Some(stage.clock.now().since(sent_at))),
        false => stage.failed("stop", "the session is open after 30 s"),
    }
    Ok(())
}

async fn speak_late(stage: &Stage<'_>, user_id: &UserId, scene: &Scene) -> Result<(), Failure> {
    stage.step("a message after the end");
    let mark = random();
    let payload = ("text", json!({"text": format!("late {mark}")}));
    says(stage, user_id, &scene.conversation_id, payload).await?;
    stage.clock.sleep(Duration::from_secs(2)).await;
    let chat = chat(stage, scene).await?;
    let is_open = stage.session(&scene.session_id).await?.state != State::Closed;
    match has_text(&chat, &mark) || is_open {
        false => stage.ok("after the end", "no agent saw it, and no session was opened", None),
        true => stage.failed("after the end", "an agent saw it, or it opened the session again"),
    }
    Ok(())
}

/// Tries the cookies last: the stack would not know a new secret of theirs.
async fn renew(stage: &Stage<'_>, user_id: &UserId) -> Result<(), Failure> {
    let Some(customer) = stage.user(user_id).await?.customer else { return Ok(()) };
    let began = stage.clock.now();
    let issued = stage.livechat.issue_customer_token(Some(&customer.cookies)).await;
    stage.note("accounts: token".to_owned(), issued.as_ref().ok().map(|_| 200), began);
    let holds = issued.is_ok_and(|issued| issued.customer_id == customer.customer_id);
    stage.judge(Id::Cookies, holds, "They gave another customer's token, or none.");
    Ok(())
}
