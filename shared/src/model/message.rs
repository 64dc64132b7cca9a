//! The conversation before a session, in one form for every platform.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::UserId;
use crate::redacted::Redacted;

/// A message of the conversation before the handoff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryItem {
    /// A message.
    Message {
        /// The author.
        author: Author,
        /// The content.
        content: Content,
    },
    /// An item without the documented form; kept, so that a transcript can show its place.
    Unreadable,
}

/// Who wrote a message of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// The bot.
    Bot,
    /// An end user, by its mirror.
    User(UserId),
    /// An agent of an earlier session, if the platform keeps agents' messages.
    Agent,
}

/// The content of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// `text`: a text; blank if nothing was said.
    Text {
        /// The text.
        text: Redacted,
    },
    /// `markdown`: a text in Markdown.
    Markdown {
        /// The text.
        markdown: Redacted,
    },
    /// A picture, a recording, a video or a document.
    Media {
        /// `image`, `audio`, `video` or `file`.
        kind: String,
        /// Its address.
        url: Redacted,
        /// Its name.
        title: Option<Redacted>,
    },
    /// `location`: a place on the map.
    Location {
        /// `<latitude>,<longitude>`, in degrees.
        coordinates: Redacted,
        /// Its name.
        title: Option<Redacted>,
        /// Its postal address.
        address: Option<Redacted>,
    },
    /// `card`, and `carousel` for several.
    Cards {
        /// The cards, at least one.
        cards: Vec<Card>,
    },
    /// `choice` and `dropdown`: a question with answers to choose from.
    Choice {
        /// The question; blank if there is none.
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

/// A heading with optional further parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The heading; empty if there is none.
    pub title: Redacted,
    /// The text below the heading.
    pub subtitle: Option<Redacted>,
    /// The address of its picture.
    pub image_url: Option<Redacted>,
    /// Its buttons.
    pub buttons: Vec<Button>,
}

/// A button of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Button {
    /// Its text.
    pub label: Redacted,
    /// The address it opens, unless it only talks to the bot.
    pub url: Option<Redacted>,
}

/// A message of a user, as it was first received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Utterance {
    /// When it was received.
    pub heard_at: Timestamp,
    /// The id that represents it.
    pub source_id: String,
}
