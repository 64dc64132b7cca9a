//! The journal as two people would tell it, with each vendor call under what caused it. Uses the terminal's width, from 80 columns on.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::layout::{Layout, wrapped};
use super::paint::{Paint, Palette};
use crate::journal::{Entry, Journal, Vendor};
use crate::livechat::Agent;

/// Where a claim begins, behind its mark.
const CLAIM_COLUMN: usize = 7;

const LEGEND: &str = "\
Ann's side is on the left, the agents' side on the right.
  A > B   is a call, and the calls that it caused are indented under it.";

const WIDE_LEGEND: &str = "\
Ann's side is on the left, the agents' side in the middle, calls are on the right.
  A > B   is a call, and the calls that it caused are indented under it.";

pub(crate) const NEXT: &str = "\
Try next:
  cargo run -- serve            the same in a browser: try to lose a message
  cargo run -p hitl -- --help   the operator's command";

/// Prints a journal as it grows.
pub(crate) struct Story<'a, W> {
    out: &'a mut W,
    palette: Palette,
    layout: Layout,
    told: usize,
    /// By user, by chat and by agent; an id without a name is Ann.
    names: BTreeMap<String, String>,
}

impl<'a, W: Write> Story<'a, W> {
    pub(crate) fn new(
        out: &'a mut W,
        palette: Palette,
        layout: Layout,
        agents: impl IntoIterator<Item = Agent>,
    ) -> Self {
        let names = agents.into_iter().map(|agent| (agent.id, agent.name)).collect();
        Self { out, palette, layout, told: 0, names }
    }

    pub(crate) fn legend(&mut self) -> io::Result<()> {
        let legend = if self.layout.is_wide() { WIDE_LEGEND } else { LEGEND };
        writeln!(self.out, "{}", self.palette.of(Paint::Quiet, legend))
    }

    pub(crate) fn chapter(&mut self, title: &str) -> io::Result<()> {
        writeln!(self.out, "\n{}\n", self.palette.of(Paint::Bold, &format!("== {title}")))
    }

    /// Prints the journal's entries since the last call.
    pub(crate) fn tell(&mut self, journal: &Journal) -> io::Result<()> {
        let news = journal.since(self.told);
        self.told += news.len();
        let told: Vec<_> = by_cause(&news).into_iter().filter_map(|(entry, depth)| self.line(entry, depth)).collect();
        for (paint, lines) in told {
            for line in lines {
                writeln!(self.out, "{}", self.palette.of(paint, &line))?;
            }
        }
        Ok(())
    }

    /// Gives the person with this id a name.
    pub(crate) fn call(&mut self, id: &str, name: &str) {
        self.names.insert(id.to_owned(), name.to_owned());
    }

    /// The user whom an entry concerns.
    fn user(&self, entry: &Entry) -> &str {
        let ids = ["/user_id", "/chat_id"].into_iter().map(|pointer| entry.text(pointer));
        ids.filter_map(|id| self.names.get(id)).next().map_or("Ann", String::as_str)
    }

    fn agent<'b>(&'b self, id: &'b str) -> &'b str {
        self.names.get(id).map_or(id, String::as_str)
    }

    pub(crate) fn verdict(&mut self, checks: &[super::verdict::Check]) -> io::Result<()> {
        self.chapter("What the journal shows")?;
        for check in checks {
            let mark = match check.holds {
                true => self.palette.of(Paint::Good, "ok  "),
                false => self.palette.of(Paint::Bad, "FAIL"),
            };
            let claim =
                wrapped(&check.claim, self.layout.width - CLAIM_COLUMN).join(&format!("\n{:CLAIM_COLUMN$}", ""));
            writeln!(self.out, "  {mark} {claim}")?;
        }
        let failed = checks.iter().filter(|check| !check.holds).count();
        match failed {
            0 => writeln!(self.out, "\nAll {} checks hold.\n\n{NEXT}", checks.len()),
            _ => writeln!(self.out, "\n{failed} of {} checks FAILED.", checks.len()),
        }
    }

    /// The line for an entry, if it has one.
    fn line(&self, entry: &Entry, depth: usize) -> Option<(Paint, Vec<String>)> {
        let user = self.user(entry);
        let Layout { call_column, .. } = self.layout;
        let quiet = |line: String| {
            Some((Paint::Quiet, vec![format!("{:indent$}{line}", "", indent = call_column + 4 * depth)]))
        };
        let user_side = |text: &str| self.layout.user_lines(text);
        let remark = |text: &str| Some((Paint::Quiet, self.layout.agent_lines(&format!("-- {text} --"))));
        match entry.effect {
            "call_answered" => {
                quiet(format!("stack > {}  {} -> {}", vendor(entry), entry.text("/call"), status(entry)))
            }
            "operation_called" => quiet(format!("Botpress > stack  {}", operation(entry))),
            "webhook_called" => quiet(format!("Botcopy > stack  step {}", step(entry))),
            "webhook_delivered" => quiet(format!("LiveChat > stack  {} -> {}", entry.text("/action"), status(entry))),
            "typing_told" => quiet(format!("Botcopy > stack  user_typing -> {}", status(entry))),
            "file_served" => quiet(format!("stack > Botpress files  {} bytes", size(entry, "/size"))),
            "user_wrote" => Some((Paint::User, user_side(&format!("{user}: {}", words(entry))))),
            "shown_to_user" => Some((Paint::User, user_side(&format!("{}: {}", speaker(entry), shown(entry))))),
            "event_sent" => self.agent_side(entry, user),
            "sneak_peek_sent" => remark(&format!("{user} is typing: {}", entry.text("/text"))),
            "chat_started" | "chat_resumed" => remark("a chat opens"),
            "chat_deactivated" => remark("the chat is closed"),
            "chat_transferred" => remark(&format!("the chat is handed to {}", self.target(entry))),
            _ => None,
        }
    }

    fn agent_side(&self, entry: &Entry, user: &str) -> Option<(Paint, Vec<String>)> {
        let author = match (entry.text("/author_type"), entry.text("/visibility")) {
            ("customer", _) => user.to_owned(),
            ("agent", "agents") => format!("note by {}", self.agent(entry.text("/author_id"))),
            ("agent", _) => self.agent(entry.text("/author_id")).to_owned(),
            _ => return None,
        };
        Some((Paint::Agent, self.layout.agent_lines(&format!("{author}: {}", words(entry)))))
    }

    fn target<'b>(&'b self, entry: &'b Entry) -> &'b str {
        let agent = entry.detail.pointer("/transferred_to/agent_ids/0").and_then(serde_json::Value::as_str);
        agent.map_or("a group", |agent| self.agent(agent))
    }
}

/// Places each inbound call before its effects, which are one step deeper; a call is journaled when it is answered, which is later.
fn by_cause(entries: &[Entry]) -> Vec<(&Entry, usize)> {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, entry) in entries.iter().enumerate() {
        if let Some(cause) = &entry.cause {
            first.entry(cause).or_insert(place);
        }
    }
    let place = |(place, entry): &(usize, &Entry)| {
        let family = entry.cause.as_deref().and_then(|cause| first.get(cause)).copied();
        (family.unwrap_or(*place), !is_inbound(entry), *place)
    };
    let mut ordered: Vec<_> = entries.iter().enumerate().collect();
    ordered.sort_by_key(place);
    let deep = |entry: &Entry| usize::from(entry.cause.is_some() && !is_inbound(entry));
    ordered.into_iter().map(|(_, entry)| (entry, deep(entry))).collect()
}

fn is_inbound(entry: &Entry) -> bool {
    ["operation_called", "webhook_delivered", "webhook_called", "typing_told"].contains(&entry.effect)
}

const fn vendor(entry: &Entry) -> &'static str {
    match entry.vendor {
        Vendor::LiveChat => "LiveChat",
        Vendor::Botpress => "Botpress",
        Vendor::Botcopy => "Botcopy",
    }
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

/// The displayed content of a message: its text, or the file it carries.
fn shown(entry: &Entry) -> String {
    let url = ["imageUrl", "audioUrl", "videoUrl", "fileUrl"]
        .iter()
        .find_map(|key| Some(entry.text(&format!("/payload/{key}"))).filter(|url| !url.is_empty()));
    match url {
        Some(url) => format!("({}) {} {url}", entry.text("/type"), entry.text("/payload/title")),
        None => entry.text("/text").to_owned(),
    }
}

/// The text of an entry, or a placeholder for content without text.
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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::clock::Timestamp;

    use super::*;

    #[tokio::test]
    async fn what_a_call_caused_stands_under_it() {
        let journal = Journal::default();
        let note = |effect| journal.record(Timestamp::from_unix_millis(0), Vendor::LiveChat, effect, json!({}));
        crate::cause::begun("call", async {
            note("call_answered");
            crate::cause::within(None, async { note("user_wrote") }).await;
            note("webhook_delivered");
        })
        .await;
        let entries = journal.entries();
        let told: Vec<_> = by_cause(&entries).into_iter().map(|(entry, depth)| (entry.effect, depth)).collect();
        assert_eq!(told, [("webhook_delivered", 0), ("call_answered", 1), ("user_wrote", 0)]);
    }
}
