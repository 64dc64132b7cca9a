//! How Botcopy's calls read to an agent.

use super::split::{MAX_BYTES, split};
use super::wording::Wording;
use super::{ToAgent, voice};
use crate::botcopy::{self, Part, ResumeEvents, Said};
use crate::ids::UserId;
use crate::model::lane::Position;
use crate::model::message::{Author, Button, Card, Content, HistoryItem, Utterance};
use crate::redacted::Redacted;
use crate::text::is_blank;

/// What agents are shown of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The user's own words, no part of which may look like ours.
    Words(Redacted),
    /// A remark of the service about it.
    Remark(Redacted),
}

impl Shown {
    /// The text.
    pub const fn text(&self) -> &Redacted {
        match self {
            Self::Words(text) | Self::Remark(text) => text,
        }
    }
}

/// Everything that goes into the lane for a call, split where LiveChat's limit requires it.
///
/// A single item has the id of the utterance, several are numbered: `<id>#00`, `<id>#01`, ….
pub fn items(shown: &Shown, heard: &Utterance, wording: &Wording) -> Vec<(Position, ToAgent)> {
    let parts = match shown {
        Shown::Words(text) => voice::own_parts(text.expose(), MAX_BYTES, wording),
        Shown::Remark(text) => split(text.expose(), MAX_BYTES).into_iter().map(str::to_owned).collect(),
    };
    let parts: Vec<_> = parts.into_iter().filter(|part| !is_blank(part)).collect();
    let is_single = parts.len() == 1;
    let source_id = |number: usize| match is_single {
        true => heard.source_id.clone(),
        false => format!("{}#{number:02}", heard.source_id),
    };
    let message = |text: String| ToAgent::Message { text: text.into(), is_markdown: false };
    let numbered = parts.into_iter().enumerate();
    numbered
        .map(|(number, part)| (Position { at: heard.heard_at, source_id: source_id(number) }, message(part)))
        .collect()
}

/// How a user's words or action read to an agent; `None` if there were none.
pub fn said(said: &Said, wording: &Wording) -> Option<Shown> {
    match said {
        Said::Nothing => None,
        Said::Text(text) => Some(Shown::Words(text.clone())),
        Said::Event { name, parameters } => {
            let mut text = wording.placeholder(&format!("event {}", name.expose()));
            for (name, value) in parameters {
                text.push_str(&format!("\n- {name}: {}", value.expose()));
            }
            Some(Shown::Remark(text.into()))
        }
        Said::Unreadable => Some(Shown::Remark(wording.unreadable().into())),
    }
}

/// What was said to the bot and, in earlier sessions, to agents.
///
/// An event counts as an action of the user, unless it comes before the user's first words, where it is the widget's own
/// greeting, or is one of `ours`.
pub fn history(items: &[botcopy::HistoryItem], user_id: &UserId, ours: &ResumeEvents) -> Vec<HistoryItem> {
    let is_users = |item: &botcopy::HistoryItem| {
        matches!(item, botcopy::HistoryItem::Said { author: botcopy::Author::User | botcopy::Author::UserToAgent, .. })
    };
    let first = items.iter().position(is_users).unwrap_or(items.len());
    let is_shown = |(index, item): &(usize, &botcopy::HistoryItem)| match item {
        botcopy::HistoryItem::Event { name } => *index > first && !ours.contain(name),
        _ => true,
    };
    items.iter().enumerate().filter(is_shown).filter_map(|(_, item)| line(item, user_id)).collect()
}

/// What was said to the bot since an agent and the user last talked; `None` if they have not talked.
pub fn since_last_agent(items: &[botcopy::HistoryItem]) -> Option<&[botcopy::HistoryItem]> {
    use botcopy::Author::{Agent, UserToAgent};
    let is_with_agent =
        |item: &botcopy::HistoryItem| matches!(item, botcopy::HistoryItem::Said { author: Agent | UserToAgent, .. });
    let last = items.iter().rposition(is_with_agent)?;
    items.get(last + 1..)
}

fn content(part: &Part) -> Content {
    match part {
        Part::Text(text) => Content::Text { text: text.clone() },
        Part::Media { kind, url, title } => {
            Content::Media { kind: (*kind).to_owned(), url: url.clone(), title: title.clone() }
        }
        Part::Card { title, subtitle, image_url, buttons } => {
            let button =
                |(label, url): &(Redacted, Option<Redacted>)| Button { label: label.clone(), url: url.clone() };
            let card = Card {
                title: title.clone(),
                subtitle: subtitle.clone(),
                image_url: image_url.clone(),
                buttons: buttons.iter().map(button).collect(),
            };
            Content::Cards { cards: vec![card] }
        }
        Part::Choices { text, options } if is_blank(text.expose()) => {
            let lines: Vec<String> = options.iter().map(|option| format!("- {}", option.expose())).collect();
            Content::Text { text: lines.join("\n").into() }
        }
        Part::Choices { text, options } => Content::Choice { text: text.clone(), options: options.clone() },
        Part::Other(kind) => Content::Other { kind: (*kind).to_owned() },
    }
}

fn line(item: &botcopy::HistoryItem, user_id: &UserId) -> Option<HistoryItem> {
    let author = |author: &botcopy::Author| match author {
        botcopy::Author::User | botcopy::Author::UserToAgent => Author::User(user_id.clone()),
        botcopy::Author::Bot => Author::Bot,
        botcopy::Author::Agent => Author::Agent,
    };
    Some(match item {
        botcopy::HistoryItem::Said { author: by, parts } => HistoryItem::Message {
            author: author(by),
            content: match parts.as_slice() {
                [part] => content(part),
                parts => Content::Bloc { items: parts.iter().map(content).collect() },
            },
        },
        botcopy::HistoryItem::Event { name } => HistoryItem::Message {
            author: Author::User(user_id.clone()),
            content: Content::Other { kind: format!("event {name}") },
        },
        botcopy::HistoryItem::Silent => return None,
        botcopy::HistoryItem::Unreadable => HistoryItem::Unreadable,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::bridge::transcript::Opening;
    use crate::clock::Timestamp;

    #[test]
    fn it_becomes_a_transcript_of_what_people_and_bot_said() {
        use botcopy::{Author, HistoryItem};
        let said = |author, text: &str| HistoryItem::Said { author, parts: vec![Part::Text(text.into())] };
        let user_id = UserId::from("botcopy:b:u");
        let history = history(
            &[
                HistoryItem::Event { name: "WELCOME".to_owned() },
                HistoryItem::Silent,
                said(Author::Bot, "Welcome"),
                said(Author::User, "order 7"),
                HistoryItem::Said { author: Author::Bot, parts: vec![Part::Text("Look:".into()), Part::Other("card")] },
                HistoryItem::Event { name: "BUY".to_owned() },
                HistoryItem::Event { name: "agent_left".to_owned() },
                said(Author::Agent, "Anna here"),
                HistoryItem::Unreadable,
            ],
            &user_id,
            &ResumeEvents::always("agent_left"),
        );
        let (wording, names) = (Wording::default(), BTreeMap::new());
        let opening = Opening { title: None, description: None, history: &history, names: &names, wording: &wording };
        assert_eq!(
            opening.text().unwrap().expose(),
            "Conversation so far:\nBot: Welcome\nUser: order 7\nBot: Look:\n> [card]\nUser: [event BUY]\nAgent: Anna here\n[unreadable message]"
        );
    }

    #[test]
    fn long_words_are_cut_into_numbered_parts() {
        let heard = Utterance { heard_at: Timestamp::from_unix_millis(0), source_id: "said:1".to_owned() };
        let ids = |text: &str| -> Vec<String> {
            items(&Shown::Words(text.into()), &heard, &Wording::default())
                .into_iter()
                .map(|(position, _)| position.source_id)
                .collect()
        };
        assert_eq!(ids("order 7"), ["said:1"]);
        assert_eq!(ids(&"x".repeat(MAX_BYTES + 1)), ["said:1#00", "said:1#01"]);
    }

    #[test]
    fn words_that_look_like_a_remark_are_marked_within_the_limit() {
        let heard = Utterance { heard_at: Timestamp::from_unix_millis(0), source_id: "said:1".to_owned() };
        let long = "[Bot] x\n".repeat(MAX_BYTES);
        for (_, item) in items(&Shown::Words(long.into()), &heard, &Wording::default()) {
            let ToAgent::Message { text, .. } = item else { panic!("{item:?}") };
            assert!(text.expose().starts_with("> [Bot]") && text.expose().len() <= MAX_BYTES);
        }
    }
}
