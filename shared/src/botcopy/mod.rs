//! Botcopy: its calls of the live-chat endpoint as typed requests, and its push API as typed calls.
//!
//! Inbound: [`UnverifiedCall::parse`], then [`Call`], answered with an [`Answer`]. Outbound: [`Widget::push`].
//!
//! See Botcopy's documentation, "Live Chat".

mod error;
mod history;
mod inbound;
mod push;
mod resume;
mod rich;

pub use error::Error;
pub use history::{Author, HistoryItem, Part};
pub use inbound::{Answer, Call, EventType, Malformed, Proof, Said, UnverifiedCall};
pub use push::{AgentProfile, Client, Push, Widget};
pub use resume::ResumeEvents;

use std::time::Duration;

/// Base URL of the API.
pub const PUBLIC_API_URL: &str = "https://api.botcopy.com";

/// The outcome of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where to reach Botcopy, and how to use it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Base of the API; [`PUBLIC_API_URL`] unless a test or the sandbox stands in.
    pub api_url: String,
    /// How long a bot stays paused after the last activity; whole minutes.
    pub pause: Duration,
    /// How long both sides can be silent before a session is given up.
    pub silence: Duration,
    /// Whether agents see that a user types; LiveChat charges for each call.
    pub shows_typing: bool,
    /// What the bot does when it resumes.
    pub resume_events: ResumeEvents,
}
