//! What was said before a session, in one form for every platform.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::UserId;
use crate::redacted::Redacted;

/// A message of the conversation before the handoff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryItem {
    /// Somebody said something.
    Message {
        /// Who.
        author: Author,
        /// What.
        content: Content,
    },
    /// An item without the documented form; kept, so that a transcript can show that something was there.
    Unreadable,
}

/// Who wrote a message of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// The bot.
    Bot,
    /// An end user, by its mirror.
    User(UserId),
    /// An agent of an earlier session, where the platform keeps what agents said.
    Agent,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// `text`: a text; blank where nothing was said.
    Text {
        /// The text.
        text: Redacted,
    },
    /// `markdown`: a text with Markdown marks.
    Markdown {
        /// The text.
        markdown: Redacted,
    },
    /// A picture, a recording, a film or a document.
    Media {
        /// `image`, `audio`, `video` or `file`.
        kind: String,
        /// Where it is.
        url: Redacted,
        /// What it is called.
        title: Option<Redacted>,
    },
    /// `location`: a place on the map.
    Location {
        /// `<latitude>,<longitude>`, in degrees.
        coordinates: Redacted,
        /// What it is called.
        title: Option<Redacted>,
        /// Its postal address.
        address: Option<Redacted>,
    },
    /// `card`, and `carousel` with several.
    Cards {
        /// The cards, at least one.
        cards: Vec<Card>,
    },
    /// `choice` and `dropdown`: a question with answers to pick from.
    Choice {
        /// The question; blank where there is none.
        text: Redacted,
        /// The labels of the answers.
        options: Vec<Redacted>,
    },
    /// `bloc`: several messages in one, at least one.
    Bloc {
        /// The messages, in order.
        items: Vec<Content>,
    },
    /// Any other type, and any type without its documented payload.
    Other {
        /// The message's type.
        kind: String,
    },
}

/// A heading with whatever stands below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The heading; empty where there is none.
    pub title: Redacted,
    /// What stands below the heading.
    pub subtitle: Option<Redacted>,
    /// Where its picture is.
    pub image_url: Option<Redacted>,
    /// Its buttons.
    pub buttons: Vec<Button>,
}

/// A button of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Button {
    /// What stands on it.
    pub label: Redacted,
    /// Where it leads, unless it only talks to the bot.
    pub url: Option<Redacted>,
}

/// Something that a user said, as it was heard first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Utterance {
    /// When.
    pub heard_at: Timestamp,
    /// The id that stands for it.
    pub source_id: String,
}
