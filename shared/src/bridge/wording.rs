//! Every sentence that this service itself says to a person.

use crate::ids::GroupId;
use crate::livechat::GroupStatus;

/// Said to the bot's author when nobody of the group can take the session.
pub fn group_offline(group: GroupId) -> String {
    format!(
        "No agent of LiveChat group {group} is online, so the conversation was not handed over. \
         Offer another way to get in touch, or set WHEN_OFFLINE=leave_message to queue it."
    )
}

/// Said to the bot's author when the group is not one of the licence's.
pub fn group_unknown(group: GroupId) -> String {
    format!(
        "LiveChat has no group {group}. Use the number of an existing group in the Start HITL card, \
         in the integration's configuration or in LIVECHAT_GROUP_ID."
    )
}

/// Why a session with this group cannot start now, if it cannot.
pub fn refusal(group: GroupId, status: Option<GroupStatus>, may_wait: bool) -> Option<String> {
    match status {
        None => Some(group_unknown(group)),
        Some(GroupStatus::Offline) if !may_wait => Some(group_offline(group)),
        Some(_) => None,
    }
}

/// How a remark of the bot platform reads to an agent, who must not take it for the customer's words.
pub fn note(text: &str) -> String {
    format!("[Bot] {text}")
}

/// Said to the user when LiveChat will never take one of their messages.
pub const NOT_DELIVERED_TO_AGENT: &str =
    "Your last message could not be delivered to the agent. Please send it in another form.";

/// Said to the agent when the bot platform will never take one of their messages.
pub const NOT_DELIVERED_TO_USER: &str = "The last message could not be delivered to the customer.";

/// Heads the part of the first message that repeats what was said to the bot.
pub const TRANSCRIPT_HEADING: &str = "Conversation so far:";

/// Stands in the transcript where older lines did not fit.
pub const TRANSCRIPT_CUT: &str = "(earlier messages left out)";

/// The bot's name in the transcript.
pub const BOT_NAME: &str = "Bot";

/// The name of a user about whom nothing is known.
pub const UNNAMED_USER: &str = "User";

/// Stands for a message that cannot be shown.
pub fn placeholder(kind: &str) -> String {
    format!("[{kind}]")
}

/// Stands for a file: what kind it is, what it is called, and where it is.
pub fn link(kind: &str, title: Option<&str>, url: &str) -> String {
    match title {
        Some(title) => format!("[{kind}] {title}: {url}"),
        None => format!("[{kind}] {url}"),
    }
}

/// Stands in the transcript for a message whose shape is unknown.
pub const UNREADABLE: &str = "[unreadable message]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_refused_when_the_group_is_unknown_or_nobody_is_there() {
        let group = GroupId(7);
        assert!(refusal(group, None, true).unwrap().contains("no group 7"));
        assert!(refusal(group, Some(GroupStatus::Offline), false).unwrap().contains("group 7"));
        assert_eq!(refusal(group, Some(GroupStatus::Offline), true), None);
        assert_eq!(refusal(group, Some(GroupStatus::Online), false), None);
        assert_eq!(refusal(group, Some(GroupStatus::OnlineForQueue), false), None);
    }
}
