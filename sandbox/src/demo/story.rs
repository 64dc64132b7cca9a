//! The journal as two people would tell it, with each vendor call underneath.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::journal::{Entry, Journal, Vendor};

/// Where the agent's side begins.
const AGENT_COLUMN: usize = 60;

/// Tells a journal as it grows.
pub struct Story<'a, W> {
    out: &'a mut W,
    told: usize,
    /// By user and by chat, those that are not Ann's.
    names: BTreeMap<String, &'static str>,
}

impl<'a, W: Write> Story<'a, W> {
    pub fn new(out: &'a mut W) -> Self {
        Self { out, told: 0, names: BTreeMap::new() }
    }

    pub fn chapter(&mut self, title: &str) -> io::Result<()> {
        writeln!(self.out, "\n== {title}\n")
    }

    /// Tells what the journal holds beyond what was told before.
    pub fn tell(&mut self, journal: &Journal) -> io::Result<()> {
        let news = journal.since(self.told);
        self.told += news.len();
        let lines: Vec<String> = news.iter().filter_map(|entry| line(entry, self.name(entry))).collect();
        lines.iter().try_for_each(|line| writeln!(self.out, "{line}"))
    }

    /// Calls whoever has this id by a name.
    pub fn call(&mut self, id: &str, name: &'static str) {
        self.names.insert(id.to_owned(), name);
    }

    /// Whom an entry is about.
    fn name(&self, entry: &Entry) -> &'static str {
        let ids = ["/user_id", "/chat_id"].into_iter().map(|pointer| entry.text(pointer));
        ids.filter_map(|id| self.names.get(id)).next().copied().unwrap_or("Ann")
    }

    pub fn verdict(&mut self, checks: &[super::verdict::Check]) -> io::Result<()> {
        writeln!(self.out, "\n== What the journal shows\n")?;
        for check in checks {
            writeln!(self.out, "  {} {}", if check.holds { "ok  " } else { "FAIL" }, check.claim)?;
        }
        let failed = checks.iter().filter(|check| !check.holds).count();
        match failed {
            0 => writeln!(self.out, "\nAll {} checks hold.", checks.len()),
            _ => writeln!(self.out, "\n{failed} of {} checks FAILED.", checks.len()),
        }
    }
}

fn line(entry: &Entry, user: &str) -> Option<String> {
    match entry.effect {
        "call_answered" => Some(call(entry)),
        "operation_called" => Some(format!("      Botpress > us   {}", operation(entry))),
        "webhook_called" => Some(format!("      Botcopy > us   step {}", step(entry))),
        "webhook_delivered" => Some(format!("      LiveChat > us   {} -> {}", entry.text("/action"), status(entry))),
        "user_wrote" => Some(user_side(user, &words(entry))),
        "typing_told" => Some(format!("      Botcopy > us   user_typing -> {}", status(entry))),
        "sneak_peek_sent" => Some(agent_remark(&format!("{user} is typing: {}", entry.text("/text")))),
        "shown_to_user" => Some(user_side(speaker(entry), &shown(entry))),
        "file_served" => Some(format!("      Botpress' files > us   {} bytes", size(entry, "/size"))),
        "event_sent" => agent_side(entry, user),
        "chat_started" | "chat_resumed" => Some(agent_remark("a chat opens")),
        "chat_deactivated" => Some(agent_remark("the chat is closed")),
        "chat_transferred" => Some(agent_remark(&format!("the chat is {}", transfer(entry)))),
        _ => None,
    }
}

fn call(entry: &Entry) -> String {
    let vendor = match entry.vendor {
        Vendor::LiveChat => "LiveChat",
        Vendor::Botpress => "Botpress",
        Vendor::Botcopy => "Botcopy",
    };
    format!("      us > {vendor}   {} -> {}", entry.text("/call"), status(entry))
}

fn operation(entry: &Entry) -> String {
    let kind = entry.text("/type");
    let separator = if kind.is_empty() { "" } else { " " };
    format!("{}{separator}{kind} -> {}", entry.text("/operation"), status(entry))
}

fn step(entry: &Entry) -> String {
    let (step, paused) = (entry.detail.get("step"), entry.detail.get("paused"));
    let step = step.map(ToString::to_string).unwrap_or_default();
    let paused = if paused == Some(&serde_json::Value::Bool(true)) { "paused" } else { "not paused" };
    format!("{step} -> {}, {paused}", status(entry))
}

fn status(entry: &Entry) -> String {
    entry
        .detail
        .get("status")
        .and_then(serde_json::Value::as_u64)
        .map_or("no answer".to_owned(), |code| code.to_string())
}

fn speaker(entry: &Entry) -> &str {
    match (entry.text("/from"), entry.text("/name")) {
        ("agent", "") => "Agent",
        ("agent", name) => name,
        ("plugin", _) => "(HITL)",
        ("notice", _) => "(Botcopy)",
        _ => "Bot",
    }
}

/// What a message shows: its text, or the file it carries.
fn shown(entry: &Entry) -> String {
    let url = ["imageUrl", "audioUrl", "videoUrl", "fileUrl"]
        .iter()
        .find_map(|key| Some(entry.text(&format!("/payload/{key}"))).filter(|url| !url.is_empty()));
    match url {
        Some(url) => format!("({}) {} {url}", entry.text("/type"), entry.text("/payload/title")),
        None => entry.text("/text").to_owned(),
    }
}

fn user_side(name: &str, text: &str) -> String {
    format!("{name}: {text}")
}

fn agent_side(entry: &Entry, user: &str) -> Option<String> {
    let author = match (entry.text("/author_type"), entry.text("/visibility")) {
        ("customer", _) => user,
        ("agent", "agents") => "note",
        ("agent", _) => entry.text("/author_id"),
        _ => return None,
    };
    let text = words(entry).replace('\n', &format!("\n{:AGENT_COLUMN$}| ", ""));
    Some(format!("{:AGENT_COLUMN$}| {author}: {text}", ""))
}

/// What was said, or what stands for what was shown.
fn words(entry: &Entry) -> String {
    match (entry.text("/text"), entry.text("/file/name")) {
        ("", "") if entry.text("/type") == "rich_message" => format!("(card) {}", entry.text("/elements/0/title")),
        ("", "") => format!("({})", entry.text("/type")),
        ("", name) => format!("({name}, {}, {} bytes)", entry.text("/file/content_type"), size(entry, "/file/size")),
        (text, _) => text.to_owned(),
    }
}

fn size(entry: &Entry, pointer: &str) -> u64 {
    entry.detail.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap_or_default()
}

fn agent_remark(text: &str) -> String {
    format!("{:AGENT_COLUMN$}| -- {text} --", "")
}

fn transfer(entry: &Entry) -> String {
    let agents = entry.detail.pointer("/transferred_to/agent_ids/0").and_then(serde_json::Value::as_str);
    agents.map_or("handed to a group".to_owned(), |agent| format!("handed to {agent}"))
}
