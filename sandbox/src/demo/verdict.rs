//! What must have happened in the demonstration, and nothing else.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{AFTER_TRANSFER, CARD, FILE, PICTURE, PICTURE_TITLE, PRIVATE_NOTE, SECOND_REQUEST, Side, TALK};
use crate::journal::{Entry, Journal, digest};
use crate::stack::{Runtime, Stack};
use crate::verdict::Rest;

/// One claim about the journal.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub claim: String,
    pub holds: bool,
}

pub(crate) async fn judge(stack: &Stack, runtime: Runtime<'_>) -> Vec<Check> {
    let journal = &stack.journal;
    let agent_texts: Vec<&str> = TALK
        .iter()
        .filter(|(side, _)| *side == Side::Agent)
        .map(|(_, text)| *text)
        .chain([CARD, AFTER_TRANSFER])
        .collect();
    let user_texts: Vec<&str> = TALK.iter().filter(|(side, _)| *side == Side::User).map(|(_, text)| *text).collect();
    vec![
        check("Ann saw every message of the agents, once and in order", shown_by_agents(journal) == agent_texts),
        check(
            "each under the agent's own name",
            names_shown(journal) == ["Anna", "Anna", "Anna", "Anna", "Anna", "Ben"],
        ),
        check(
            "Ann got Anna's file under its name, byte for byte",
            file_shown(journal).await.as_deref() == Some(FILE.2),
        ),
        check("the agents saw every message of Ann, once and in order", sent_by_ann(journal) == user_texts),
        picture(journal, runtime),
        check("they got the conversation with the bot at each start, and nothing twice", {
            let told = |words: &str| openings(journal).iter().map(|text| text.contains(words)).collect::<Vec<_>>();
            told("Where is my parcel?") == [true, false] && told(SECOND_REQUEST) == [false, true]
        }),
        check(
            "the private note was shown to agents only",
            !everything_ann_saw(journal).contains(&PRIVATE_NOTE.to_owned()),
        ),
        check("they see which bot Ann comes from", field_shown(journal, &stack.botpress.options().install.bot_id)),
        check("the bot was notified of Anna, then of Ben, then of Anna again", events(journal, "hitlAssigned") == 3),
        check("the bot was notified once that LiveChat had ended a session", events(journal, "hitlStopped") == 1),
        check("Ann's one chat was started once and resumed once", {
            (count(journal, "chat_started"), count(journal, "chat_resumed")) == (1, 1)
        }),
        check("each handoff had a conversation of its own", count(journal, "conversation_created") == 2),
        check("the bot resumed after the first and took over after the second", {
            endings(journal) == ["agent-closed-ticket", "patient-used-termination-command"]
        }),
        check(
            "the bot answered Ann in between",
            everything_ann_saw(journal).contains(&format!("bot: {SECOND_REQUEST}")),
        ),
        check("nothing was dropped by the HITL plugin", count(journal, "dropped") == 0),
        promises(journal),
        check("no call was refused by either side", refused_calls(journal) == 0),
        check("no chat is left open", stack.livechat.open_chats().is_empty()),
        check("no conversation is left with the agents", left_handed_over(journal) == 0),
    ]
}

/// The picture as LiveChat stores it; compiled functions accept no file from a server on this machine, and send its link instead.
fn picture(journal: &Journal, runtime: Runtime<'_>) -> Check {
    let events = journal.all("event_sent");
    match runtime {
        Runtime::InProcess => {
            let shown = events.iter().filter(|entry| entry.text("/file/sha256") == digest(PICTURE)).count();
            let uploads = journal.all("file_uploaded");
            let uploaded = uploads.iter().filter(|entry| entry.text("/sha256") == digest(PICTURE)).count();
            check("they saw Ann's picture, byte for byte and once", (shown, uploaded) == (1, 1))
        }
        Runtime::Processes(_) | Runtime::Deployed(_) => {
            let link = format!("[image] {PICTURE_TITLE}: http://");
            let shown = events.iter().filter(|entry| entry.text("/text").starts_with(&link)).count();
            check("they got the link of Ann's picture once", shown == 1)
        }
    }
}

/// The promises, checked by the code that also judges in the console.
pub(super) fn promises(journal: &Journal) -> Check {
    let verdict = journal.read(|entries| crate::verdict::judge(entries, Rest::Parked(0)));
    let claim = "nothing was lost, duplicated, out of order, or shown to the wrong person";
    check(claim, verdict.is_good() && verdict.expected > 0)
}

pub(super) fn check(claim: &str, holds: bool) -> Check {
    Check { claim: claim.to_owned(), holds }
}

pub(super) fn texts(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.text("/text").to_owned()).collect()
}

fn by_agents(journal: &Journal) -> Vec<Entry> {
    journal.all("shown_to_user").into_iter().filter(|entry| entry.text("/from") == "agent").collect()
}

pub(super) fn shown_by_agents(journal: &Journal) -> Vec<String> {
    texts(&by_agents(journal).into_iter().filter(|entry| entry.text("/type") == "text").collect::<Vec<_>>())
}

/// The content of the only file that an agent has sent, if it has the right name.
async fn file_shown(journal: &Journal) -> Option<Vec<u8>> {
    let files: Vec<_> = by_agents(journal).into_iter().filter(|entry| entry.text("/type") == "file").collect();
    let [file] = files.as_slice() else { return None };
    let url = Some(file.text("/payload/fileUrl")).filter(|_| file.text("/payload/title") == FILE.0)?;
    let answer = crate::server::client().ok()?.get(url).send().await.ok()?;
    Some(answer.bytes().await.ok()?.to_vec())
}

fn field_shown(journal: &Journal, value: &str) -> bool {
    let fields = |entry: &Entry| entry.detail.get("session_fields").and_then(Value::as_array).cloned();
    let fields: Vec<Value> = journal.all("customer_updated").iter().filter_map(fields).flatten().collect();
    fields.iter().any(|field| field.get("Botpress bot").is_some_and(|shown| shown == value))
}

pub(super) fn names_shown(journal: &Journal) -> Vec<String> {
    by_agents(journal).iter().map(|entry| entry.text("/name").to_owned()).collect()
}

pub(super) fn everything_ann_saw(journal: &Journal) -> Vec<String> {
    texts(&journal.all("shown_to_user"))
}

fn customer_events(journal: &Journal) -> Vec<String> {
    texts(
        &journal
            .all("event_sent")
            .into_iter()
            .filter(|entry| entry.text("/author_type") == "customer" && entry.text("/type") == "message")
            .collect::<Vec<_>>(),
    )
}

/// Ann's messages; the openings and the plugin's notes are ours.
pub(super) fn sent_by_ann(journal: &Journal) -> Vec<String> {
    let all = customer_events(journal);
    let is_ours = |text: &String| text.contains("Conversation so far:") || text.starts_with('[');
    all.into_iter().filter(|text| !is_ours(text)).collect()
}

pub(super) fn openings(journal: &Journal) -> Vec<String> {
    customer_events(journal).into_iter().filter(|text| text.contains("Conversation so far:")).collect()
}

fn events(journal: &Journal, kind: &str) -> usize {
    journal.all("event_created").iter().filter(|entry| entry.text("/type") == kind).count()
}

/// The number of bot conversations that are still with an agent at the end.
fn left_handed_over(journal: &Journal) -> usize {
    let mut handed_over = BTreeSet::new();
    for entry in journal.entries() {
        let conversation = entry.text("/upstream_conversation_id").to_owned();
        match entry.effect {
            "hitl_started" => drop(handed_over.insert(conversation)),
            "hitl_ended" => drop(handed_over.remove(&conversation)),
            _ => {}
        }
    }
    handed_over.len()
}

fn endings(journal: &Journal) -> Vec<String> {
    journal.all("hitl_ended").iter().map(|entry| entry.text("/reason").to_owned()).collect()
}

pub(super) fn count(journal: &Journal, effect: &str) -> usize {
    journal.all(effect).len()
}

pub(super) fn refused_calls(journal: &Journal) -> usize {
    let answers = ["call_answered", "operation_called", "webhook_delivered", "webhook_called"]
        .into_iter()
        .flat_map(|kind| journal.all(kind));
    answers
        .filter(|entry| entry.detail.get("status").and_then(Value::as_u64).is_none_or(|status| status >= 400))
        .count()
}
