//! Malformed requests and malformed answers of vendors: no panic, no hang, no failure of the service, and no memory leak.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use sandbox::botpress::Escalation;
use sandbox::faults::{Fault, Faults};
use sandbox::stack::Side;
use serde_json::{Value, json};

use super::mutate::spoil;
use super::{Answer, Call, Doors, answer};
use crate::raw::together;
use crate::scenario::{Report, Size};
use crate::{ANNA, SECRET_ID, World};

/// The number of requests that one world answers before the next one is set up: the simulators' own memory is not to be
/// measured, and their searches slow down as it grows.
const PER_WORLD: usize = 1_000;

/// The number of requests in flight at once.
const AT_ONCE: usize = 32;

/// One in this many requests is huge.
const HUGE_EVERY: usize = 4_000;

/// In real time; the worlds' own time passes as needed.
const HANG: Duration = Duration::from_secs(120);

const MEGABYTE: usize = 1 << 20;

/// The number of bytes by which the process may have grown at the end since the second world.
const GROWTH: usize = 48 * MEGABYTE;

/// Every kind of request, in its valid form.
pub(super) struct Bases {
    pub doors: Doors,
    user_id: String,
    conversation_id: String,
    chat_id: String,
    thread_id: String,
}

impl Bases {
    /// Creates a session that requests can refer to.
    pub(crate) async fn of(world: &World) -> Self {
        let text = |value: &Value, pointer: &str| {
            value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let profile = json!({"name": "Ann", "email": "ann@example.com", "pictureUrl": "https://cdn.example/ann.png"});
        let user_id = text(&world.act("createUser", profile).await.json(), "/output/userId");
        let started = world.act("startHitl", json!({"userId": user_id, "messageHistory": []})).await.json();
        world.settle().await;
        let chat = world.stack.livechat.open_chats().into_iter().next();
        let chat_id = chat.map(|chat| chat.id).unwrap_or_default();
        let thread_id = world.stack.livechat.thread(&chat_id).map(|thread| thread.id).unwrap_or_default();
        let conversation_id = text(&started, "/output/conversationId");
        Self { doors: Doors::of(world), user_id, conversation_id, chat_id, thread_id }
    }

    /// A valid call; with the operation's name if it is one.
    pub(crate) fn pick(&self, random: &mut Rng, world: &World) -> Call {
        match random.u8(..10) {
            0..4 => self.of_livechat(random, world),
            4..6 => {
                let body = if random.bool() { &self.doors.step_one } else { &self.doors.step_two };
                self.doors.botcopy(&with_history(body))
            }
            6 => {
                let webhook = self.of_livechat(random, world);
                let body = String::from_utf8_lossy(&webhook.body).into_owned();
                let request = json!({"method": "POST", "path": "/livechat", "query": "", "headers": {}, "body": body});
                self.doors.botpress(world, "webhook_received", &json!({"req": request}))
            }
            _ => self.of_botpress(random, world),
        }
    }

    fn of_botpress(&self, random: &mut Rng, world: &World) -> Call {
        let (user_id, conversation_id) = (&self.user_id, &self.conversation_id);
        let said = |kind: &str, payload: Value| json!({"source": {"type": "user", "userId": user_id}, "type": kind, "payload": payload});
        let id = format!("message {}", random.u64(..));
        let mut written = crate::message(conversation_id, &id, "hello", Some(user_id), world.now());
        let media = "https://files.example/cat.png";
        let (kind, payload) = [
            ("text", json!({"text": "hello"})),
            ("image", json!({"imageUrl": media, "title": "Cat"})),
            ("audio", json!({"audioUrl": media})),
            ("file", json!({"fileUrl": media, "title": "Cat"})),
            ("card", json!({"title": "A", "subtitle": "B", "imageUrl": media, "actions": [{"action": "say", "label": "x", "value": "y"}]})),
            ("carousel", json!({"items": [{"title": "A", "actions": []}]})),
            ("choice", json!({"text": "Which?", "options": [{"label": "a", "value": "b"}]})),
            ("location", json!({"latitude": 1.5, "longitude": 2.5, "title": "Here"})),
            ("bloc", json!({"items": [{"type": "text", "payload": {"text": "a"}}, {"type": "image", "payload": {"imageUrl": media}}]})),
            ("markdown", json!({"markdown": "**a**"})),
        ][random.usize(..10)]
        .clone();
        let history: Vec<_> = (0..3).map(|_| said(kind, payload.clone())).collect();
        written["type"] = json!(kind);
        written["payload"] = payload;
        written["payload"]["userId"] = json!(user_id);
        let session = json!({"groupId": 0, "tags": ["a", "b"], "sessionFields": {"plan": "gold", "since": 7}});
        let start = json!({"userId": user_id, "title": "Help", "description": "It burns", "hitlSession": session,
            "messageHistory": history});
        let profile =
            json!({"name": "Ann", "email": format!("ann-{}@example.com", random.u8(..)), "pictureUrl": media});
        let address = json!({"webhookUrl": world.stack.botpress.webhook_url()});
        let operations = [
            ("message_created", written),
            ("action_triggered", json!({"type": "startHitl", "input": start})),
            ("action_triggered", json!({"type": "createUser", "input": profile})),
            ("action_triggered", json!({"type": "stopHitl", "input": {"conversationId": conversation_id}})),
            ("register", address.clone()),
            ("unregister", address),
            ("message_updated", json!({})),
            ("ping", json!({})),
        ];
        // Operations with large effects are used rarely.
        let index = if random.u8(..4) == 0 { random.usize(..operations.len()) } else { random.usize(..3) };
        let (operation, body) = &operations[index];
        self.doors.botpress(world, operation, body)
    }

    fn of_livechat(&self, random: &mut Rng, world: &World) -> Call {
        let (chat, thread) = (&self.chat_id, &self.thread_id);
        let id = format!("{thread}_{}", random.u32(..));
        let now = world.now().to_string();
        let user = json!({"id": ANNA, "type": "agent", "name": "Anna", "email": ANNA, "avatar": "cdn.example/a.png", "present": true,
            "visibility": "all"});
        let mut event = [
            json!({"type": "message", "text": "hello"}),
            json!({"type": "file", "url": "https://cdn.example/f", "name": "f.png", "content_type": "image/png", "size": 7}),
            json!({"type": "rich_message", "template_id": "cards", "elements": [{"title": "a", "subtitle": "b",
                "image": {"url": "https://cdn.example/i"}, "buttons": [{"text": "t", "type": "url", "value": "v"}]}]}),
            json!({"type": "system_message", "text": "a", "system_message_type": "routing.assigned"}),
        ][random.usize(..4)]
        .clone();
        for (name, value) in
            [("id", json!(id)), ("author_id", json!(ANNA)), ("created_at", json!(now)), ("visibility", json!("all"))]
        {
            event[name] = value;
        }
        let payloads = [
            ("incoming_event", json!({"chat_id": chat, "thread_id": thread, "event": event})),
            ("event_updated", json!({"chat_id": chat, "thread_id": thread, "event": event})),
            ("event_deleted", json!({"chat_id": chat, "thread_id": thread, "event_id": id})),
            (
                "incoming_chat",
                json!({"chat": {"id": chat, "users": [user], "access": {"group_ids": [0]},
                "properties": {"source": {"client_id": "c"}},
                "thread": {"id": thread, "active": true, "created_at": now, "user_ids": [ANNA], "events": [event]}}}),
            ),
            (
                "chat_transferred",
                json!({"chat_id": chat, "thread_id": thread, "requester_id": ANNA, "reason": "manual",
                "transferred_to": {"agent_ids": [ANNA], "group_ids": [0]}, "queue": {"position": 1}}),
            ),
            ("user_added_to_chat", json!({"chat_id": chat, "thread_id": thread, "user": user, "reason": "manual"})),
            ("chat_deactivated", json!({"chat_id": chat, "thread_id": "AN-OLD-ONE", "user_id": ANNA})),
        ];
        let (action, payload) = &payloads[random.usize(..payloads.len())];
        self.doors.livechat(action, payload)
    }
}

fn with_history(body: &Value) -> Value {
    let mut body = body.clone();
    if body.get("messageHistory").is_some() {
        body["messageHistory"] = json!([
            {"direction": "in", "payload": {"query": "hello"}},
            {"direction": "out", "payload": [{"platform": "kommunicate", "message": "Hi"}]},
        ]);
    }
    body
}

/// Spoils a call, and signs the result: malformed input from an authenticated caller gets furthest.
pub(super) fn spoiled(random: &mut Rng, call: Call, doors: &Doors, world: &World, word: &str) -> (Side, Value) {
    let mut call = call;
    if random.u8(..8) != 0 {
        call.body = spoil(random, &call.body, word);
    }
    if call.path.starts_with("/botpress") && random.u8(..16) != 0 {
        let signature = doors.signature(world, &call.body);
        call.set("x-bp-signature", signature);
    }
    if random.u8(..6) == 0 {
        spoil_headers(random, &mut call, word);
    }
    let mut event = call.event();
    if random.u8(..6) == 0 {
        spoil_event(random, &mut event, word);
    }
    (call.side, event)
}

fn spoil_headers(random: &mut Rng, call: &mut Call, word: &str) {
    let index = random.usize(..call.headers.len());
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    match random.u8(..7) {
        0 => drop(call.headers.remove(index)),
        1 => call.headers[index].1 = word.to_owned(),
        2 => call.headers[index].1 = String::new(),
        3 => call.headers[index].1 = "x".repeat(random.usize(1..20_000)),
        4 => {
            let (name, value) = call.headers[index].clone();
            call.headers.push((name.to_uppercase(), format!("{value},{value}")));
        }
        5 => call.set("x-bp-configuration", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, deep)),
        _ => call.headers.push((word.to_owned(), word.to_owned())),
    }
}

fn spoil_event(random: &mut Rng, event: &mut Value, word: &str) {
    let path = event["rawPath"].as_str().unwrap_or_default().to_owned();
    match random.u8(..12) {
        0 => event["isBase64Encoded"] = json!(!event["isBase64Encoded"].as_bool().unwrap_or_default()),
        1 => event["rawQueryString"] = json!(format!("<{word}>\"{{é}}&a=%zz&{word}")),
        2 => {
            // With a stage the path may begin with it, or not.
            event["requestContext"]["stage"] = json!("live");
            event["rawPath"] = json!(if random.bool() { format!("/live{path}") } else { path });
        }
        3 => event["rawPath"] = json!(format!("{path}/{word}\u{0}?#[é]")),
        4 => drop(event.as_object_mut().map(|event| event.remove("rawPath"))),
        5 => event["body"] = [Value::Null, json!(7), json!({"a": 1}), json!([])][random.usize(..4)].clone(),
        6 => event["headers"] = [Value::Null, json!(7), json!({"host": [word]})][random.usize(..3)].clone(),
        7 => {
            event["requestContext"] =
                [Value::Null, json!(7), json!({}), json!({"http": {"method": word}})][random.usize(..4)].clone()
        }
        8 => event["headers"]["host"] = json!(format!("{word}:99999999")),
        9 => event["cookies"] = json!([word, 7]),
        10 => event["requestContext"]["http"]["method"] = json!(["GET", "BREW", "", "post"][random.usize(..4)]),
        _ => event["requestContext"]["domainName"] = json!(format!("{word} \u{0}")),
    }
}

/// One byte too many, and far too many.
fn huge(random: &mut Rng, call: &mut Call, doors: &Doors, world: &World) {
    let size = [0, MEGABYTE, 6 * MEGABYTE, 10 * MEGABYTE][random.usize(..4)];
    let filler = vec![b' '; size];
    match random.u8(..3) {
        _ if size == 0 => call.body.clear(),
        0 => call.body = filler,
        1 if random.bool() => call.body = spoil(random, &call.body, &"é".repeat(size / 2)),
        1 => call.body.extend_from_slice(&filler),
        _ => call.body = format!("{{\"a\":\"{}\"", "é".repeat(size / 2)).into_bytes(),
    }
    if call.path.starts_with("/botpress") {
        let signature = doors.signature(world, &call.body);
        call.set("x-bp-signature", signature);
    }
}

/// Requests: every route, every kind of malformed input.
pub(in crate::scenario) async fn requests(size: Size) -> Report {
    let (mut random, count) = (size.random(), size.of(1_000_000, 600));
    let mut findings = Vec::new();
    let mut statuses = BTreeMap::<u64, usize>::new();
    let mut sizes = Vec::new();
    let (mut done, mut again) = (0, 0);
    while done < count && findings.is_empty() {
        let world = World::in_process().await;
        let bases = Bases::of(&world).await;
        let here = PER_WORLD.min(count - done);
        for batch in 0..here.div_ceil(AT_ONCE) {
            let requests: Vec<_> = (0..AT_ONCE.min(here - batch * AT_ONCE))
                .map(|_| {
                    done += 1;
                    let mut call = bases.pick(&mut random, &world);
                    if done.is_multiple_of(HUGE_EVERY) || done == 50 {
                        huge(&mut random, &mut call, &bases.doors, &world);
                        return (call.side, call.event());
                    }
                    spoiled(&mut random, call, &bases.doors, &world, "word")
                })
                .collect();
            for ((side, event), outcome) in ask(&world, requests).await {
                let mut outcome = outcome;
                if matches!(&outcome, Ok(answer) if answer.status >= 500) {
                    // A caller that is asked to retry does so later, alone: a failure caused by the request itself happens again.
                    again += 1;
                    world.catch_up().await;
                    let event = signed_again(event.clone(), &bases.doors, &world);
                    outcome = world.drive(answer(&world, side, event)).await;
                }
                match outcome {
                    Ok(answer) if answer.status < 500 || is_foreign(&answer) => {
                        *statuses.entry(answer.status).or_default() += 1;
                    }
                    other => findings.push(format!("{other:?} to {:.2000}", event.to_string())),
                }
            }
        }
        world.settle().await;
        drop(world);
        sizes.push(resident());
    }
    let (early, late) = (sizes.get(1).copied().unwrap_or_default(), sizes.last().copied().unwrap_or_default());
    if sizes.len() > 2 && late > early + GROWTH {
        findings.push(format!("the process grew from {} to {} MB", early / MEGABYTE, late / MEGABYTE));
    }
    let told: Vec<_> = statuses.into_iter().map(|(status, times)| format!("{times} × {status}")).collect();
    let figure = format!(
        "{done} malformed requests: {} ({again} when called again); {} panics, hangs or failures; {} MB after the second of {} worlds, {} MB at the end",
        told.join(", "),
        findings.len(),
        early / MEGABYTE,
        sizes.len(),
        late / MEGABYTE
    );
    Report { figure, findings }
}

/// Returns whether Botpress refused the bot or the integration that the request named: a vendor's refusal of the caller
/// may be temporary, so the service asks for a retry.
fn is_foreign(answer: &Answer) -> bool {
    answer.status == 500 && answer.body.contains("Forbidden, status 403")
}

/// The same request, signed now: the previous signature may have expired.
fn signed_again(mut event: Value, doors: &Doors, world: &World) -> Value {
    let signature = event["body"].as_str().map(|body| doors.signature(world, body.as_bytes()));
    if let (Some(signature), Some(header)) = (signature, event.pointer_mut("/headers/x-bp-signature")) {
        *header = json!(signature);
    }
    event
}

/// Sends all of them at once; returns each with its answer.
async fn ask(world: &World, requests: Vec<(Side, Value)>) -> Vec<((Side, Value), Result<Answer, String>)> {
    let calls = requests.iter().map(|(side, event)| answer(world, *side, event.clone()));
    let answers = tokio::time::timeout(HANG, world.drive(together(calls))).await;
    let answers = answers.unwrap_or_else(|_| vec![Err("one of these hangs".to_owned()); requests.len()]);
    requests.into_iter().zip(answers).collect()
}

/// The process's memory, in bytes.
fn resident() -> usize {
    const PAGE: usize = 4_096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).map_or(0, |pages: usize| pages * PAGE)
}

/// Answers of vendors, and the contents of Secrets Manager: real ones, spoiled on their way to the service.
pub(in crate::scenario) async fn answers(size: Size) -> Report {
    let (mut random, rounds) = (size.random(), size.of(2_000, 6));
    let mut findings = Vec::new();
    let garbled = Arc::new(Mutex::new(0_usize));
    for round in 0..rounds {
        let world = World::in_process().await;
        let played = tokio::time::timeout(HANG, play(&world, &mut random, &garbled)).await;
        match played {
            Ok(Ok(())) => {}
            Ok(Err(wrong)) => findings.push(format!("round {round}: {wrong}")),
            Err(_) => findings.push(format!("round {round}: hangs")),
        }
    }
    let garbled = *garbled.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let figure = format!("{garbled} spoiled answers in {rounds} worlds: {} panics or hangs", findings.len());
    Report { figure, findings }
}

async fn play(world: &World, random: &mut Rng, garbled: &Arc<Mutex<usize>>) -> Result<(), String> {
    let stack = &world.stack;
    let bases = Bases::of(world).await;
    let user = world.user("Zoe").await;
    for faults in [stack.livechat.faults(), stack.botpress.faults(), stack.botcopy.faults()] {
        garble(faults, random, garbled);
    }
    for step in 0..12 {
        if random.u8(..4) == 0 {
            let spoiled = spoil(random, stack.secret().to_string().as_bytes(), "word");
            stack.secrets_manager.put(SECRET_ID, serde_json::from_slice(&spoiled).unwrap_or_default());
            world.advance(Duration::from_secs(301));
        }
        match step % 4 {
            0 => drop(world.drive(stack.botpress.escalate(&user.conversation_id, Escalation::default())).await),
            1 => drop(world.drive(stack.botpress.user_says(&user.conversation_id, "hello")).await),
            2 => drop(world.drive(stack.sweep()).await),
            _ => {
                let requests =
                    (0..8).map(|_| bases.pick(random, world)).map(|call| (call.side, call.event())).collect();
                for (_, outcome) in ask(world, requests).await {
                    // A vendor's malformed answer may make a call fail, but not crash the function.
                    outcome.map_err(|wrong| format!("step {step}: {wrong}"))?;
                }
            }
        }
        world.advance(Duration::from_secs(random.u64(1..120)));
        stack.secrets_manager.put(SECRET_ID, stack.secret());
    }
    Ok(())
}

/// Spoils about every second answer.
fn garble(faults: &Faults, random: &mut Rng, count: &Arc<Mutex<usize>>) {
    let (random, count) = (Mutex::new(random.fork()), Arc::clone(count));
    faults.always(
        "",
        Fault::garble(move |body| {
            let mut random = random.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if random.bool() {
                return body;
            }
            *count.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
            spoil(&mut random, &body, "word")
        }),
    );
}
