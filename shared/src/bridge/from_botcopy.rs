//! How what Botcopy tells reads to an agent.

use super::split::MAX_BYTES;
use super::wording::Wording;
use super::{ToAgent, voice};
use crate::botcopy;
use crate::botpress::{Author, Content, HistoryItem};
use crate::ids::UserId;
use crate::redacted::Redacted;
use crate::store::Heard;
use crate::store::lane::Position;

/// Everything that goes into the lane for what a user said, in parts where LiveChat takes no more at once.
///
/// A single item has the id under which the words were heard, several are numbered: `<id>#00`, `<id>#01`, ….
pub fn items(text: &Redacted, heard: &Heard, wording: &Wording) -> Vec<(Position, ToAgent)> {
    let parts = voice::own_parts(text.expose(), MAX_BYTES, wording);
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

/// What was said to the bot and, in earlier sessions, to agents; events are nobody's words.
pub fn history(items: &[botcopy::HistoryItem], user_id: &UserId) -> Vec<HistoryItem> {
    items.iter().filter_map(|item| line(item, user_id)).collect()
}

fn line(item: &botcopy::HistoryItem, user_id: &UserId) -> Option<HistoryItem> {
    let author = |author: &botcopy::Author| match author {
        botcopy::Author::User => Author::User(user_id.clone()),
        botcopy::Author::Bot => Author::Bot,
        botcopy::Author::Agent => Author::Agent,
    };
    Some(match item {
        botcopy::HistoryItem::Said { author: by, text } => {
            HistoryItem::Message { author: author(by), content: Content::Text { text: text.clone() } }
        }
        botcopy::HistoryItem::Other { author: by, kind } => {
            HistoryItem::Message { author: author(by), content: Content::Other { kind: (*kind).to_owned() } }
        }
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
        let said = |author, text: &str| HistoryItem::Said { author, text: text.into() };
        let user_id = UserId::from("botcopy:b:u");
        let history = history(
            &[
                HistoryItem::Silent,
                said(Author::Bot, "Welcome"),
                said(Author::User, "order 7"),
                HistoryItem::Other { author: Author::Bot, kind: "card" },
                said(Author::Agent, "Anna here"),
                HistoryItem::Unreadable,
            ],
            &user_id,
        );
        let (wording, names) = (Wording::default(), BTreeMap::new());
        let opening = Opening { title: None, description: None, history: &history, names: &names, wording: &wording };
        assert_eq!(
            opening.text().unwrap().expose(),
            "Conversation so far:\nBot: Welcome\nUser: order 7\nBot: [card]\nAgent: Anna here\n[unreadable message]"
        );
    }

    #[test]
    fn long_words_are_cut_into_numbered_parts() {
        let heard = Heard { heard_at: Timestamp::from_unix_millis(0), source_id: "said:1".to_owned() };
        let ids = |text: &str| -> Vec<String> {
            items(&text.into(), &heard, &Wording::default())
                .into_iter()
                .map(|(position, _)| position.source_id)
                .collect()
        };
        assert_eq!(ids("order 7"), ["said:1"]);
        assert_eq!(ids(&"x".repeat(MAX_BYTES + 1)), ["said:1#00", "said:1#01"]);
    }

    #[test]
    fn words_that_look_like_a_remark_are_marked_within_the_limit() {
        let heard = Heard { heard_at: Timestamp::from_unix_millis(0), source_id: "said:1".to_owned() };
        let long = "[Bot] x\n".repeat(MAX_BYTES);
        for (_, item) in items(&long.into(), &heard, &Wording::default()) {
            let ToAgent::Message { text, .. } = item else { panic!("{item:?}") };
            assert!(text.expose().starts_with("> [Bot]") && text.expose().len() <= MAX_BYTES);
        }
    }
}
