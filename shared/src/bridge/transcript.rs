//! The first message of a session: its subject and what was said to the bot.

use std::collections::{BTreeMap, BTreeSet};

use super::split::{MAX_BYTES, beginning};
use super::wording::Wording;
use super::{to_livechat, voice};
use crate::ids::UserId;
use crate::model::message::{Author, HistoryItem};
use crate::redacted::Redacted;
use crate::text::is_blank;

/// More lines than fit into one message: each has a name, a colon, a blank, and a line break.
const MOST_LINES: usize = MAX_BYTES / 4;

/// The parts of the first message.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// Heading, if the bot's author gave one.
    pub title: Option<&'a str>,
    /// Explanation, if the bot's author gave one.
    pub description: Option<&'a str>,
    /// The messages before the escalation that agents do not know yet, oldest first.
    pub history: &'a [HistoryItem],
    /// The known names of the people in it.
    pub names: &'a BTreeMap<UserId, Redacted>,
    /// The sentences of the service.
    pub wording: &'a Wording,
}

impl Opening<'_> {
    /// The text for the agent, at most [`MAX_BYTES`] long; `None` if there is nothing to say.
    ///
    /// If not everything fits, the newest lines are kept.
    pub fn text(&self) -> Option<Redacted> {
        let given = [self.title, self.description];
        let mut paragraphs: Vec<String> =
            given.into_iter().flatten().map(str::trim).filter(|text| !is_blank(text)).map(str::to_owned).collect();
        let about = beginning(&paragraphs.join("\n\n"), MAX_BYTES / 2).to_owned();
        paragraphs = Vec::from_iter(Some(about).filter(|about| !about.is_empty()));
        if self.history.iter().any(|item| !self.is_silent(item)) {
            let used: usize = paragraphs.iter().map(|paragraph| paragraph.len() + 2).sum();
            paragraphs.push(self.history_text(MAX_BYTES - used));
        }
        Some(paragraphs.join("\n\n")).filter(|text| !text.is_empty()).map(Redacted::from)
    }

    /// As many of the newest items as could possibly be shown: the rest of a history of megabytes is not even read.
    fn newest(&self) -> &[HistoryItem] {
        self.history.get(self.history.len().saturating_sub(MOST_LINES)..).unwrap_or_default()
    }

    fn history_text(&self, budget: usize) -> String {
        let (heading, cut) = (self.wording.transcript_heading(), self.wording.transcript_cut());
        let reserved: usize = [&heading, &cut].into_iter().flatten().map(|line| line.len() + 1).sum();
        let mut left = budget.saturating_sub(reserved);
        let mut kept = Vec::new();
        let labels = self.labels();
        let said = self.newest().iter().filter(|item| !self.is_silent(item));
        for line in said.rev().map(|item| self.line(item, &labels)) {
            let cost = line.len() + 1;
            if cost > left {
                // The newest line is worth showing in part; older ones are left out completely.
                let part =
                    if kept.is_empty() { beginning(&line, left.saturating_sub(1)).to_owned() } else { String::new() };
                kept.extend(Some(part).filter(|part| !part.is_empty()));
                kept.extend(cut);
                break;
            }
            left -= cost;
            kept.push(line);
        }
        kept.extend(heading);
        kept.reverse();
        kept.join("\n")
    }

    /// Whether an item shows nothing to agents.
    fn is_silent(&self, item: &HistoryItem) -> bool {
        match item {
            HistoryItem::Message { content, .. } => is_blank(to_livechat::readable(content, self.wording).expose()),
            HistoryItem::Unreadable => false,
        }
    }

    /// A distinct label for every person; the first speaker of a name keeps the plain name.
    fn labels(&self) -> BTreeMap<&UserId, String> {
        let (mut labels, mut taken) = (BTreeMap::new(), BTreeSet::new());
        for item in self.newest() {
            let HistoryItem::Message { author: Author::User(id), .. } = item else { continue };
            labels.entry(id).or_insert_with(|| {
                let name = self.names.get(id).map_or("", Redacted::expose);
                voice::unlike(voice::label(name, self.wording), &mut taken)
            });
        }
        labels
    }

    fn line(&self, item: &HistoryItem, labels: &BTreeMap<&UserId, String>) -> String {
        let HistoryItem::Message { author, content } = item else { return self.wording.unreadable() };
        let author = match author {
            Author::Bot => self.wording.bot_name(),
            Author::Agent => self.wording.earlier_agent(),
            Author::User(author) => labels.get(author).cloned().unwrap_or_else(|| self.wording.unnamed_user()),
        };
        voice::spoken(&author, to_livechat::readable(content, self.wording).expose())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::model::message::Content;

    fn item(author: Option<&str>, text: Option<&str>) -> HistoryItem {
        HistoryItem::Message {
            author: author.map_or(Author::Bot, |author| Author::User(author.into())),
            content: match text {
                Some(text) => Content::Text { text: text.into() },
                None => Content::Other { kind: "image".to_owned() },
            },
        }
    }

    fn names() -> BTreeMap<UserId, Redacted> {
        BTreeMap::from([("u1".into(), "Ann".into()), ("u3".into(), "".into())])
    }

    fn opening<'a>(history: &'a [HistoryItem], names: &'a BTreeMap<UserId, Redacted>) -> Opening<'a> {
        static WORDING: LazyLock<Wording> = LazyLock::new(Wording::default);
        Opening { title: None, description: None, history, names, wording: &WORDING }
    }

    #[test]
    fn it_says_who_said_what_oldest_first() {
        let history = [
            item(Some("u1"), Some("hi")),
            item(None, Some("hello")),
            item(Some("u2"), Some("me too")),
            item(Some("u3"), Some("and me")),
            item(Some("u1"), None),
            HistoryItem::Unreadable,
        ];
        let names = names();
        let text = Opening { title: Some("Refund"), description: Some(" Order 7 "), ..opening(&history, &names) };
        assert_eq!(
            text.text().unwrap().expose(),
            "Refund\n\nOrder 7\n\nConversation so far:\nAnn: hi\nBot: hello\nUser: me too\nUser (2): and me\nAnn: [image]\n[unreadable message]"
        );
    }

    #[test]
    fn no_line_of_one_looks_like_another_s() {
        let names = BTreeMap::from([
            ("u1".into(), "Ann\nBot: yes".into()),
            ("u2".into(), "bot".into()),
            ("u3".into(), "bot".into()),
        ]);
        for end in ["\n", "\r", "\r\n", "\u{b}", "\u{85}", "\u{2028}", "\u{2029}"] {
            let feigned = format!("hi{end}Bot: You get a refund.");
            let history = [item(Some("u1"), Some(&feigned)), item(Some("u2"), Some("a")), item(Some("u3"), Some("b"))];
            assert_eq!(
                opening(&history, &names).text().unwrap().expose(),
                "Conversation so far:\nAnn Bot yes: hi\n> Bot: You get a refund.\nUser (bot): a\nUser (bot) (2): b",
                "{end:?}"
            );
        }
    }

    #[test]
    fn nothing_to_say_is_nothing_not_undefined() {
        let names = names();
        assert_eq!(opening(&[], &names).text(), None);
        assert_eq!(Opening { title: Some(" "), ..opening(&[], &names) }.text(), None);
        let blank = [item(None, Some("\u{3164}")), item(Some("u1"), Some(" \u{200b}"))];
        assert_eq!(Opening { title: Some("\u{feff}"), ..opening(&blank, &names) }.text(), None);
    }

    #[test]
    fn the_newest_lines_are_kept_within_the_limit() {
        let names = names();
        for length in [1, 100, 3_999, 20_000] {
            let history: Vec<_> =
                (0..2_000).map(|n| item(None, Some(&format!("{n}-{}", "ä".repeat(length))))).collect();
            let text = opening(&history, &names).text().unwrap();
            assert!(text.expose().len() <= MAX_BYTES, "{length}");
            assert!(text.expose().contains("(earlier messages left out)"));
            assert!(text.expose().contains("Bot: 1999-"));
        }
    }

    #[test]
    fn an_endless_description_leaves_room_for_the_history() {
        let names = names();
        let history = [item(None, Some("last words"))];
        let long = "x".repeat(100_000);
        let text = Opening { description: Some(&long), ..opening(&history, &names) }.text().unwrap();
        assert!(text.expose().len() <= MAX_BYTES);
        assert!(text.expose().ends_with("Bot: last words"));
    }
}
