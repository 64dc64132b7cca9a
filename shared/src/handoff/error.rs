//! Why a verb failed, and whether calling again can help.

use std::fmt;
use std::time::Duration;

use crate::{botcopy, botpress, livechat, media, secrets, store};

/// What verbs return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Final: a whole sentence for the bot's author, who alone can change something.
    #[error("{0}")]
    Refused(String),
    /// Final as well: a vendor's refusal with what to look at. The vendor's sentence is shown by `{:#}` alone.
    #[error(fmt = explain)]
    Explained {
        /// What to look at.
        advice: String,
        /// The refusal.
        cause: Box<Error>,
    },
    /// Another invocation is at the same work and did not finish in time.
    #[error("another call is at work on this session; call again")]
    Busy,
    /// A vendor has asked not to be called for a while.
    #[error("{vendor} asked to wait for {} s; call again then", wait.as_secs().max(1))]
    Waiting {
        /// Which.
        vendor: &'static str,
        /// For how long from now.
        wait: Duration,
    },
    /// LiveChat answered a renewal with another customer, so the stored chat is out of reach.
    #[error("LiveChat no longer knows this customer; the next session starts with a new one")]
    CustomerLost,
    /// The table failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The credentials are missing.
    #[error(transparent)]
    Secrets(#[from] secrets::Error),
    /// A file of the user could not be fetched yet.
    #[error("a file of the user could not be fetched: {0}")]
    Media(#[source] media::Error),
    /// LiveChat failed.
    #[error(transparent)]
    LiveChat(#[from] livechat::Error),
    /// Botpress failed.
    #[error(transparent)]
    Botpress(#[from] botpress::Error),
    /// Botcopy failed.
    #[error(transparent)]
    Botcopy(#[from] botcopy::Error),
}

fn explain(advice: &str, cause: &Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{advice}. (")?;
    // Not by `write!`, which would forget whether the alternate form is wanted.
    fmt::Display::fmt(cause, f)?;
    f.write_str(")")
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Explained { .. } | Self::CustomerLost => false,
            Self::Busy | Self::Waiting { .. } | Self::Store(_) | Self::Secrets(_) => true,
            Self::Media(error) => error.is_retryable(),
            Self::LiveChat(error) => error.is_retryable(),
            Self::Botpress(error) => error.is_retryable(),
            Self::Botcopy(error) => error.is_retryable(),
        }
    }

    /// Whether the call may have taken effect although it failed.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::LiveChat(error) => error.outcome_unknown(),
            Self::Botpress(error) => error.outcome_unknown(),
            Self::Botcopy(error) => error.outcome_unknown(),
            _ => false,
        }
    }

    /// Whether a vendor has refused our credential.
    pub fn is_authentication(&self) -> bool {
        match self {
            Self::LiveChat(error) => error.is_authentication(),
            Self::Botpress(error) => error.is_authentication(),
            Self::Botcopy(error) => error.is_authentication(),
            _ => false,
        }
    }

    /// How long the vendor asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Waiting { wait, .. } => Some(*wait),
            Self::LiveChat(error) => error.retry_after(),
            Self::Botpress(error) => error.retry_after(),
            Self::Botcopy(error) => error.retry_after(),
            _ => None,
        }
    }
}
