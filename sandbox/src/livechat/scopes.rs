//! What a personal access token may do: the scopes of which each action requires any one.

use std::collections::BTreeSet;

/// Returns whether a token with these scopes may call an action; none means a token with every scope.
pub(super) fn allow(scopes: Option<&BTreeSet<String>>, action: &str) -> bool {
    let Some(scopes) = scopes else { return true };
    let needed = needed(action);
    needed.is_empty() || needed.iter().any(|scope| scopes.contains(*scope))
}

const READ_CHATS: &[&str] = &["chats--all:ro", "chats--access:ro", "chats--all:rw", "chats--access:rw"];
const CHANGE_CHATS: &[&str] = &["chats--all:rw", "chats--access:rw"];

fn needed(action: &str) -> &'static [&'static str] {
    match action {
        "list_chats" | "list_threads" | "get_chat" | "list_archives" | "follow_chat" | "mark_events_as_seen" => {
            READ_CHATS
        }
        "start_chat"
        | "resume_chat"
        | "deactivate_chat"
        | "transfer_chat"
        | "add_user_to_chat"
        | "remove_user_from_chat"
        | "send_event"
        | "send_event_preview"
        | "send_rich_message_postback"
        | "update_chat_properties"
        | "delete_chat_properties"
        | "update_thread_properties"
        | "delete_thread_properties"
        | "update_event_properties"
        | "delete_event_properties"
        | "tag_thread"
        | "untag_thread"
        | "send_typing_indicator"
        | "send_thinking_indicator"
        | "request_thread_summary" => CHANGE_CHATS,
        "register_webhook" | "list_webhooks" | "unregister_webhook" => &["webhooks.configuration:rw"],
        "enable_license_webhooks" | "disable_license_webhooks" => &["webhooks.state:rw"],
        "get_license_webhooks_state" => &["webhooks.state:ro", "webhooks.state:rw"],
        "list_groups" => &["groups--all:ro", "groups--all:rw"],
        "get_group" => &["groups--my:ro", "groups--all:ro", "groups--all:rw"],
        "list_agents" => &["agents--all:ro", "agents--all:rw"],
        "get_customer" => &["customers:ro", "customers:rw"],
        "update_customer" => &["customers:rw"],
        _ => &[],
    }
}
