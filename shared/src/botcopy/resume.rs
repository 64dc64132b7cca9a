//! What a bot does when it resumes, by reason.

use std::collections::BTreeMap;

use crate::model::session::ResumeReason;

impl ResumeReason {
    /// The reason with this name in the configuration.
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "agent_closed" => Self::AgentClosed,
            "nobody_came" => Self::NobodyCame,
            "given_up" => Self::GivenUp,
            "abandoned" => Self::Abandoned,
            "user_side" => Self::UserSide,
            _ => return None,
        })
    }
}

/// What the bot does for each reason: `default` shows a notice, `none` does nothing, and any other value is a Dialogflow
/// event to fire.
///
/// Shape: `EVENT`, `REASON=EVENT`, or several of these; a bare one applies to all reasons that are not named (`default`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeEvents {
    otherwise: String,
    by_reason: BTreeMap<ResumeReason, String>,
}

impl Default for ResumeEvents {
    fn default() -> Self {
        Self::always("default")
    }
}

impl ResumeEvents {
    /// The same for every reason.
    pub fn always(event: &str) -> Self {
        Self { otherwise: event.to_owned(), by_reason: BTreeMap::new() }
    }

    /// The event for a reason.
    pub fn of(&self, reason: ResumeReason) -> &str {
        self.by_reason.get(&reason).unwrap_or(&self.otherwise)
    }

    /// Whether the service may have sent a bot this event.
    pub fn contain(&self, event: &str) -> bool {
        self.otherwise == event || self.by_reason.values().any(|one| one == event)
    }
}

impl TryFrom<Vec<String>> for ResumeEvents {
    type Error = ();

    fn try_from(parts: Vec<String>) -> Result<Self, ()> {
        let (mut otherwise, mut by_reason) = (None, BTreeMap::new());
        for part in parts {
            let is_new = match part.split_once('=') {
                Some((reason, event)) if !event.trim().is_empty() => {
                    let reason = ResumeReason::parse(reason.trim()).ok_or(())?;
                    by_reason.insert(reason, event.trim().to_owned()).is_none()
                }
                Some(_) => false,
                None => otherwise.replace(part).is_none(),
            };
            if !is_new {
                return Err(());
            }
        }
        Ok(Self { otherwise: otherwise.unwrap_or_else(|| "default".to_owned()), by_reason })
    }
}
