//! Who is shown what: random events against rules that are written down here once more, independent of the product.

use std::collections::BTreeMap;

use fastrand::Rng;
use sandbox::demo::Bot;
use serde_json::{Value, json};
use shared::bridge::ToBot;
use shared::bridge::decide::{Intention, decide, decide_from_thread};
use shared::clock::Timestamp;
use shared::ids::OrganizationId;
use shared::livechat::Chat;
use shared::livechat::webhook::{Event, UnverifiedDelivery};
use shared::model::session::ChatPointer;
use shared::redacted::Redacted;

use super::{Doors, answer, whose};
use crate::scenario::stage::Stage;
use crate::scenario::{Report, Size};

const SECRET: &str = "the webhook secret";
const ORGANIZATION: &str = "390e44e6-f1e6-0368-c6dd-b74a14508c2e";
const AGENTS: [&str; 2] = ["anna@example.com", "ben@example.com"];

/// The number of people with a chat of ours in the pure part.
const PEOPLE: usize = 8;

/// The number of random events for each one among visitors who are easily confused.
const AMONG_VISITORS: usize = 50;

/// The minimum number of these.
const LEAST_AMONG_VISITORS: usize = 120;

/// The number of random events for each one that also goes through the functions.
const THROUGH_FUNCTIONS: usize = 250;

/// A person in a session.
#[derive(Clone, Debug)]
struct Person {
    customer: String,
    chat: String,
    thread: String,
}

/// An event with everything that matters about it.
#[derive(Clone, Debug)]
struct Happening {
    text: String,
    action: &'static str,
    /// The owner of its chat, if it is one of the known people.
    person: Option<usize>,
    is_ours: bool,
    thread: Which,
    author: Author,
    visibility: Option<&'static str>,
    kind: &'static str,
    is_deleted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Which {
    Present,
    Old,
    Foreign,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Author {
    Agent(usize),
    Customer,
    System,
}

/// What may happen to a text.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Shown,
    /// Only as the new version of a text shown before.
    Corrected,
    Never,
}

impl Happening {
    fn random(random: &mut Rng, number: usize, people: usize) -> Self {
        // Rules are tried one by one, so most properties not under test are valid.
        let mut rarely = |odds: u8| random.u8(..odds) == 0;
        let (stranger, foreign_tenant, deleted) = (rarely(8), rarely(12), rarely(12));
        let action = match random.u8(..10) {
            0..6 => "incoming_event",
            6 => "event_updated",
            7 => "incoming_chat",
            8 => "a thread that is read",
            _ => {
                ["event_deleted", "chat_deactivated", "chat_transferred", "user_added_to_chat", "events_marked_as_seen"]
                    [random.usize(..5)]
            }
        };
        Self {
            text: format!("words-{number}-end"),
            action,
            person: (!stranger).then(|| random.usize(..people)),
            is_ours: !foreign_tenant,
            thread: [Which::Present, Which::Present, Which::Present, Which::Old, Which::Foreign][random.usize(..5)],
            author: match random.u8(..6) {
                0 => Author::Customer,
                1 => Author::System,
                _ => Author::Agent(random.usize(..AGENTS.len())),
            },
            visibility: [Some("all"), Some("all"), None, Some("agents"), Some("supervisors")][random.usize(..5)],
            kind: ["message", "message", "message", "file", "rich_message", "system_message", "form", "custom"]
                [random.usize(..8)],
            is_deleted: deleted,
        }
    }

    /// The rules.
    fn verdict(&self) -> Verdict {
        let is_told = ["incoming_event", "event_updated", "a thread that is read"].contains(&self.action);
        let is_content = ["message", "file", "rich_message"].contains(&self.kind);
        let is_public = self.visibility.is_none_or(|visibility| visibility == "all") && !self.is_deleted;
        let is_by_agent = matches!(self.author, Author::Agent(_));
        let is_here = self.person.is_some() && self.is_ours && self.thread == Which::Present;
        match is_told && is_content && is_public && is_by_agent && is_here {
            false => Verdict::Never,
            // Without the visibility it is unknown whether a change concerns a private note.
            true if self.action == "event_updated" && self.visibility.is_none() => Verdict::Corrected,
            true => Verdict::Shown,
        }
    }

    fn chat(&self, people: &[Person]) -> String {
        self.person.and_then(|index| people.get(index)).map_or("SOMEBODYELSE", |person| &person.chat).to_owned()
    }

    fn thread(&self, people: &[Person]) -> String {
        let present = self.person.and_then(|index| people.get(index)).map_or("NOTHREAD", |person| &person.thread);
        match self.thread {
            Which::Present => present.to_owned(),
            Which::Old => format!("{present}-OLD"),
            Which::Foreign => {
                // The present thread of the next person: right for them, wrong here.
                let next = self.person.map_or(0, |index| index + 1) % people.len();
                match people.len() {
                    1 => "NOTHREAD".to_owned(),
                    _ => people[next].thread.clone(),
                }
            }
        }
    }

    fn event(&self, number: usize, people: &[Person]) -> Value {
        let text = &self.text;
        let mut event =
            json!({"id": format!("E{number}"), "type": self.kind, "created_at": "2026-05-11T09:41:00.000000Z"});
        let content = match self.kind {
            "message" => json!({"text": text}),
            "file" => json!({"url": format!("https://cdn.example/{text}"), "name": text, "content_type": "image/png"}),
            "rich_message" => json!({"template_id": "cards", "elements": [{"title": text, "subtitle": text,
                "buttons": [{"text": text, "type": "url", "value": format!("https://x.example/{text}")}]}]}),
            "system_message" => json!({"text": text, "system_message_type": "routing.assigned"}),
            _ => json!({"text": text, "content": {"text": text}, "fields": [{"answer": text}]}),
        };
        let mut add = |name: &str, value: Value| event[name] = value;
        content.as_object().into_iter().flatten().for_each(|(name, value)| add(name, value.clone()));
        match self.author {
            Author::Agent(agent) => add("author_id", json!(AGENTS[agent])),
            Author::Customer => {
                let customer = self.person.and_then(|index| people.get(index)).map_or("customer", |own| &own.customer);
                add("author_id", json!(customer));
            }
            Author::System => {}
        }
        if let Some(visibility) = self.visibility {
            add(if number.is_multiple_of(5) { "recipients" } else { "visibility" }, json!(visibility));
        }
        if self.is_deleted {
            add("deleted", json!(true));
        }
        event
    }

    /// The payload of the webhook.
    fn payload(&self, number: usize, people: &[Person]) -> Value {
        let (chat, thread) = (self.chat(people), self.thread(people));
        match self.action {
            "incoming_event" | "event_updated" => {
                json!({"chat_id": chat, "thread_id": thread, "event": self.event(number, people)})
            }
            "event_deleted" => json!({"chat_id": chat, "thread_id": thread, "event_id": "E0", "text": self.text}),
            "chat_deactivated" => json!({"chat_id": chat, "thread_id": thread, "text": self.text}),
            "chat_transferred" => json!({"chat_id": chat, "thread_id": thread, "reason": self.text,
                "transferred_to": {"agent_ids": [AGENTS[0]], "group_ids": [0]}}),
            "user_added_to_chat" => json!({"chat_id": chat, "thread_id": thread, "reason": self.text,
                "user": {"id": AGENTS[1], "type": "agent", "name": "Ben", "present": true}}),
            _ => json!({"chat": self.read_chat(number, people)}),
        }
    }

    /// The chat with its thread, as reported or read.
    fn read_chat(&self, number: usize, people: &[Person]) -> Value {
        let thread = json!({"id": self.thread(people), "active": true, "created_at": "2026-05-11T09:40:00.000000Z",
            "user_ids": [], "events": [self.event(number, people)]});
        json!({"id": self.chat(people), "thread": thread, "users": []})
    }
}

/// A million events through the pure decisions, some thousands through both functions, and more among visitors.
pub(in crate::scenario) async fn nobody_elses(size: Size) -> Report {
    let (mut random, count) = (size.random(), size.of(1_000_000, 2_000));
    let mut findings = Vec::new();
    let mut tallies = [0_usize; 3];
    let people: Vec<_> = (0..PEOPLE)
        .map(|number| Person {
            customer: format!("b7eff798-f8df-4364-8059-64{number:010}"),
            chat: format!("CHAT{number}"),
            thread: format!("THREAD{number}"),
        })
        .collect();
    let pointers: BTreeMap<_, _> = people.iter().map(|person| (person.chat.as_str(), pointer(person))).collect();
    for number in 0..count {
        let happening = Happening::random(&mut random, number, people.len());
        let verdict = happening.verdict();
        tallies[verdict as usize] += 1;
        if let Err(wrong) = judge(&happening, verdict, number, &people, &pointers) {
            findings.push(format!("{wrong}: {happening:?}"));
        }
    }
    let through = (count / THROUGH_FUNCTIONS).max(60);
    let shown = through_functions(&mut random, through, &mut findings).await;
    let visitors = whose::conversations(&mut random, (count / AMONG_VISITORS).max(LEAST_AMONG_VISITORS)).await;
    findings.extend(visitors.findings);
    let [told, corrected, never] = tallies;
    let figure = format!(
        "{count} random events ({told} to be shown, {corrected} as corrections, {never} never) and {through} through both \
         functions ({shown} to be shown), then {} events among visitors with shared addresses and equal words ({} conversations, \
         {} words): {} to a wrong person or conversation, private, an echo, lost, or left handed over",
        visitors.events,
        visitors.conversations,
        visitors.words,
        findings.len()
    );
    Report { figure, findings }
}

fn pointer(person: &Person) -> ChatPointer {
    ChatPointer {
        session_id: format!("session of {}", person.chat).into(),
        user_id: format!("user of {}", person.chat).into(),
        customer_id: person.customer.as_str().into(),
        thread_id: person.thread.as_str().into(),
    }
}

/// Compares the product's decision about an event with the verdict.
fn judge(
    happening: &Happening,
    verdict: Verdict,
    number: usize,
    people: &[Person],
    pointers: &BTreeMap<&str, ChatPointer>,
) -> Result<(), String> {
    let now = Timestamp::from_unix_millis(1_778_492_460_000);
    let (intentions, session) = if happening.action == "a thread that is read" {
        if !happening.is_ours {
            return Ok(());
        }
        let chat: Chat =
            serde_json::from_value(happening.read_chat(number, people)).map_err(|error| error.to_string())?;
        let pointer = pointers.get(chat.id.as_str());
        let read = pointer.zip(chat.thread.as_ref());
        let read = read.map(|(pointer, thread)| decide_from_thread(thread, &chat.users, pointer, now));
        (read.unwrap_or_default(), pointer.map(|pointer| pointer.session_id.clone()))
    } else {
        let secret = if happening.is_ours || number.is_multiple_of(2) { SECRET } else { "another secret" };
        let organization = if happening.is_ours || secret != SECRET { ORGANIZATION } else { "another organization" };
        let body = json!({"secret_key": secret, "organization_id": organization, "action": happening.action,
            "payload": happening.payload(number, people)});
        let unverified = UnverifiedDelivery::parse(body.to_string().as_bytes()).map_err(|error| error.to_string())?;
        match unverified.verify([&Redacted::from(SECRET)], &OrganizationId::new(ORGANIZATION)) {
            Ok(delivery) if happening.is_ours => {
                let (event, _) = delivery.decode(now).map_err(|error| error.to_string())?;
                decided(&event, pointers, now)
            }
            Ok(_) => return Err("a foreign tenant is believed".to_owned()),
            Err(_) if happening.is_ours => return Err("our own tenant is turned away".to_owned()),
            Err(_) => return Ok(()),
        }
    };
    let carries = |content: &ToBot| serde_json::to_string(content).is_ok_and(|text| text.contains(&happening.text));
    let message = |one: &&Intention| matches!(one.content, ToBot::Message { .. });
    let carrying: Vec<_> = intentions.iter().filter(|intention| carries(&intention.content)).collect();
    let as_message = carrying.iter().copied().filter(message).count();
    let expected = happening.person.map(|index| format!("session of {}", people[index].chat));
    if !carrying.is_empty() && session.map(|session| session.to_string()) != expected {
        return Err("shown to a wrong person".to_owned());
    }
    match verdict {
        Verdict::Never if !carrying.is_empty() => Err("shown although it is nothing for the user".to_owned()),
        Verdict::Corrected if as_message > 0 || carrying.is_empty() => Err("not merely corrected".to_owned()),
        Verdict::Shown if as_message != 1 => Err("not shown".to_owned()),
        _ => Ok(()),
    }
}

fn decided(
    event: &Event,
    pointers: &BTreeMap<&str, ChatPointer>,
    now: Timestamp,
) -> (Vec<Intention>, Option<shared::ids::SessionId>) {
    let pointer = event.chat_id().and_then(|chat_id| pointers.get(chat_id.as_str()));
    let intentions = pointer.map(|pointer| decide(event, pointer, now)).unwrap_or_default();
    (intentions, pointer.map(|pointer| pointer.session_id.clone()))
}

/// The same through both functions, judged by what the users saw.
async fn through_functions(random: &mut Rng, count: usize, findings: &mut Vec<String>) -> usize {
    let stage = Stage::in_process(Bot::Botpress, 1).await;
    let doors = Doors::of(&stage.world);
    let sessions = stage.sessions(4).await;
    let customers = stage.world.stack.livechat.open_chats();
    let people: Vec<_> = sessions
        .iter()
        .map(|session| {
            let chat = customers.iter().find(|chat| chat.id == session.chat_id);
            Person {
                customer: chat.and_then(|chat| chat.customer_id.clone()).unwrap_or_default(),
                chat: session.chat_id.clone(),
                thread: session.thread_id.clone(),
            }
        })
        .collect();
    let (mut expected, mut owners) = (BTreeMap::new(), BTreeMap::new());
    for number in 0..count {
        let mut happening = Happening::random(random, number, people.len());
        // A session that has ended would accept no more, and a reading is not triggered by any webhook.
        if ["chat_deactivated", "a thread that is read", "event_deleted"].contains(&happening.action) {
            happening.action = "incoming_event";
        }
        happening.text = format!("through-{number}-end");
        let call = doors.livechat(happening.action, &happening.payload(number, &people));
        let call = match happening.is_ours {
            true => call,
            false => call.with_body(|body| body["organization_id"] = json!("another organization")),
        };
        let answered = stage.drive(answer(&stage.world, call.side, call.event())).await;
        let status = if happening.is_ours { 200 } else { 403 };
        if !answered.as_ref().is_ok_and(|answer| answer.status == status) {
            findings.push(format!("answered {answered:?}: {happening:?}"));
        }
        if happening.verdict() == Verdict::Shown {
            let person = happening.person.map(|index| sessions[index].person.clone());
            expected.insert(happening.text.clone(), person.clone());
        }
        owners.insert(happening.text.clone(), happening);
    }
    stage.drain().await;
    let shown = stage.world.stack.journal.all("shown_to_user");
    for entry in &shown {
        let detail = entry.detail.to_string();
        for (text, happening) in owners.iter().filter(|(text, _)| detail.contains(text.as_str())) {
            let is_right = expected.get(text).is_some_and(|to| to.as_deref() == Some(entry.text("/conversation_id")));
            if !is_right {
                findings.push(format!("{} was shown {text}: {happening:?}", entry.text("/conversation_id")));
            }
        }
    }
    let everything: String = shown.iter().map(|entry| entry.detail.to_string()).collect();
    let lost = expected.keys().filter(|text| !everything.contains(text.as_str()));
    findings.extend(lost.map(|text| format!("{text} was never shown: {:?}", owners.get(text))));
    expected.len()
}
