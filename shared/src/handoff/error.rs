//! Why a verb failed, and whether calling again can help.

use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::{botcopy, botpress, livechat, media, secrets, store};

/// What verbs return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Final: a whole sentence for the bot's author, who alone can fix it.
    #[error("{0}")]
    Refused(String),
    /// Also final: a vendor's refusal with advice on what to check. Only `{:#}` shows the vendor's own sentence.
    #[error(fmt = explain)]
    Explained {
        /// What to check.
        advice: String,
        /// The refusal.
        cause: Box<Error>,
    },
    /// Another invocation does the same work and did not finish in time.
    #[error("another call is processing this session; call again")]
    Busy,
    /// A vendor has asked not to be called for a while.
    #[error("{vendor} asked to wait for {} s; call again then", wait.as_secs().max(1))]
    Waiting {
        /// Which.
        vendor: &'static str,
        /// How long from now until a trial call is let through.
        wait: Duration,
        /// How long the vendor asked to wait, counted from now.
        asked_for: Duration,
    },
    /// The files of other messages use up the memory for files.
    #[error("too many files are being transferred; call again")]
    Crowded {
        /// How long to wait from now.
        wait: Duration,
    },
    /// A vendor has refused a call because of a limit.
    #[error("{cause}")]
    Limited {
        /// Which.
        vendor: &'static str,
        /// The party that the limit applies to.
        party: String,
        /// How long the vendor asked to wait.
        wait: Duration,
        /// The refusal.
        cause: Box<Error>,
    },
    /// A vendor did not answer within the time that the caller could wait.
    #[error("{vendor} does not answer")]
    Hanging {
        /// Which.
        vendor: &'static str,
        /// The name of the call.
        call: &'static str,
        /// When it was called.
        called_at: Timestamp,
    },
    /// LiveChat has not answered a call that must happen once, and may still carry it out.
    #[error("LiveChat may still carry out an earlier call; call again later")]
    InDoubt {
        /// The end of the doubt.
        until: Timestamp,
    },
    /// The lease was held for so long that a call could outlast it: the lane's next holder continues.
    #[error("the lane's lease is over; its next holder continues")]
    LeaseOver,
    /// LiveChat answered a renewal with another customer, so the stored chat is out of reach.
    #[error("LiveChat no longer knows this customer; the next session starts with a new one")]
    CustomerLost,
    /// The bot platform no longer has the session's conversation, so nothing reaches the user any more.
    #[error("the bot platform no longer has this session's conversation")]
    ConversationLost,
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
    // Not `write!`, which would lose the alternate flag.
    fmt::Display::fmt(cause, f)?;
    f.write_str(")")
}

impl Error {
    /// Whether the same call may succeed later. A refused credential says nothing about the call: it is an outage.
    pub fn is_retryable(&self) -> bool {
        self.is_authentication() || self.is_passing()
    }

    fn is_passing(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Explained { .. } | Self::CustomerLost | Self::ConversationLost => false,
            Self::Busy | Self::Waiting { .. } | Self::Crowded { .. } => true,
            Self::Limited { .. } | Self::Hanging { .. } => true,
            Self::InDoubt { .. } | Self::LeaseOver | Self::Store(_) | Self::Secrets(_) => true,
            Self::Media(error) => error.is_retryable(),
            Self::LiveChat(error) => error.is_retryable(),
            Self::Botpress(error) => error.is_retryable(),
            Self::Botcopy(error) => error.is_retryable(),
        }
    }

    /// Whether the call may have taken effect although it failed.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Hanging { .. } | Self::InDoubt { .. } => true,
            Self::Limited { cause, .. } => cause.outcome_unknown(),
            Self::LiveChat(error) => error.outcome_unknown(),
            Self::Botpress(error) => error.outcome_unknown(),
            Self::Botcopy(error) => error.outcome_unknown(),
            _ => false,
        }
    }

    /// Whether the message may have arrived although the call failed; also true for calls that are safe to repeat.
    pub fn may_have_arrived(&self) -> bool {
        match self {
            Self::Botpress(error) => error.may_have_been_shown(),
            other => other.outcome_unknown(),
        }
    }

    /// Whether a vendor has refused the service's credential, or all of its calls.
    pub fn is_authentication(&self) -> bool {
        match self {
            Self::LiveChat(error) => error.is_authentication() || error.is_account_refused(),
            Self::Botpress(error) => error.is_authentication() || error.is_account_refused(),
            Self::Botcopy(error) => error.is_authentication(),
            _ => false,
        }
    }

    /// How long the vendor asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Waiting { wait, .. } | Self::Crowded { wait } | Self::Limited { wait, .. } => Some(*wait),
            Self::LiveChat(error) => error.retry_after(),
            Self::Botpress(error) => error.retry_after(),
            Self::Botcopy(error) => error.retry_after(),
            _ => None,
        }
    }
}
