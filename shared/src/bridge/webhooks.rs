//! The webhooks that a handoff needs, and whether the registered ones are those.

use sha2::{Digest as _, Sha256};

use crate::livechat::{AuthorType, WebhookFilters, WebhookRegistration};
use crate::redacted::Redacted;

/// The events that a handoff needs.
pub const ACTIONS: [&str; 7] = [
    "incoming_chat",
    "incoming_event",
    "event_updated",
    "event_deleted",
    "chat_transferred",
    "user_added_to_chat",
    "chat_deactivated",
];

/// The first word of our descriptions in LiveChat's console.
const NAME: &str = "livechat-hitl";

/// The filters to register an action with.
///
/// `only_my_chats` leaves out every chat of the licence that this service did not start.
pub fn filters(action: &str, only_my_chats: bool) -> WebhookFilters {
    // The customer's own words come from us.
    let author_type = matches!(action, "incoming_event" | "event_updated").then_some(AuthorType::Agent);
    WebhookFilters { author_type, source_type: Vec::new(), only_my_chats }
}

/// The description of a webhook: our name, and a mark of its secret, which LiveChat does not return.
///
/// Shape: `livechat-hitl 1f2e3d4c`: 32 bits of a hash of the secret, too few to find a secret by.
pub fn description(secret: &Redacted) -> String {
    let digest = Sha256::new().chain_update("livechat-hitl webhook\n").chain_update(secret.expose()).finalize();
    let mark: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{NAME} {mark}")
}

/// The changes that put the webhooks of one address in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Actions for which no registration reports exactly what is needed.
    pub missing: Vec<&'static str>,
    /// Registrations that report too little or too much, carry another secret, or are duplicates.
    pub superfluous: Vec<WebhookRegistration>,
}

/// Compares the registered webhooks of our address with the ones that are needed.
///
/// A webhook made by hand in LiveChat's console does not say which secret it carries, and is trusted.
pub fn compare(present: &[WebhookRegistration], secret: &Redacted, only_my_chats: bool) -> Order {
    let mut order = Order::default();
    for action in ACTIONS {
        let (mut good, bad): (Vec<_>, Vec<_>) = present
            .iter()
            .filter(|one| one.action == action)
            .partition(|one| reports_what_is_wanted(one, only_my_chats) && carries(one, secret) != Some(false));
        good.sort_by_key(|one| carries(one, secret).is_none());
        if good.is_empty() {
            order.missing.push(action);
        }
        order.superfluous.extend(good.into_iter().skip(1).chain(bad).cloned());
    }
    order
}

/// Whether a webhook carries this secret; `None` if its description does not say.
pub fn carries(registration: &WebhookRegistration, secret: &Redacted) -> Option<bool> {
    let described = registration.description.as_deref().filter(|text| text.starts_with(&format!("{NAME} ")))?;
    Some(described == description(secret))
}

fn reports_what_is_wanted(registration: &WebhookRegistration, only_my_chats: bool) -> bool {
    reports_enough(registration) && registration.filters.only_my_chats == only_my_chats
}

/// Whether a webhook reports every event of a handoff, possibly along with those of other chats.
pub fn reports_enough(registration: &WebhookRegistration) -> bool {
    let WebhookFilters { author_type, source_type, .. } = &registration.filters;
    let all_agents = author_type.is_none() || *author_type == filters(&registration.action, false).author_type;
    all_agents && source_type.is_empty() && registration.kind.as_deref() != Some("bot")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn secret() -> Redacted {
        "s3cret".into()
    }

    fn registered(action: &str, changes: Value) -> WebhookRegistration {
        let mut json = json!({"id": "w", "action": action, "url": "u", "description": description(&secret()),
                              "filters": {"only_my_chats": true}});
        json.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        crate::http::read(json.to_string().as_bytes(), WebhookRegistration::read).unwrap().0.unwrap()
    }

    #[test]
    fn webhooks_with_our_secret_are_in_order_however_they_were_made() {
        for changes in [
            json!({}),
            json!({"description": null}),
            json!({"description": "livechat-hitl"}),
            json!({"type": "license", "description": "made by hand"}),
        ] {
            let present: Vec<_> = ACTIONS.iter().map(|action| registered(action, changes.clone())).collect();
            assert_eq!(compare(&present, &secret(), true), Order::default(), "{changes}");
        }
    }

    #[test]
    fn what_reports_too_little_or_carries_another_secret_is_replaced() {
        let other = description(&"other".into());
        for (action, changes) in [
            ("incoming_event", json!({"filters": {"author_type": "customer", "only_my_chats": true}})),
            ("incoming_chat", json!({"filters": {"author_type": "agent", "only_my_chats": true}})),
            ("chat_deactivated", json!({"filters": {"source_type": ["my_client"], "only_my_chats": true}})),
            ("event_deleted", json!({"filters": {}})),
            ("chat_deactivated", json!({"type": "bot"})),
            ("chat_transferred", json!({ "description": other })),
        ] {
            let bad = registered(action, changes.clone());
            let order = compare(std::slice::from_ref(&bad), &secret(), true);
            assert!(order.missing.contains(&action), "{action} {changes}");
            assert_eq!(order.superfluous, [bad], "{action} {changes}");
        }
    }

    #[test]
    fn a_stack_that_wants_all_chats_replaces_what_reports_its_own_alone() {
        let own = registered("incoming_chat", json!({}));
        let all = registered("incoming_chat", json!({"filters": {}}));
        assert_eq!(compare(std::slice::from_ref(&own), &secret(), false).superfluous, [own]);
        assert!(!compare(&[all], &secret(), false).missing.contains(&"incoming_chat"));
    }

    #[test]
    fn of_two_the_one_whose_secret_is_known_stays() {
        let by_hand = registered("incoming_chat", json!({"id": "by hand", "description": ""}));
        let ours = registered("incoming_chat", json!({"id": "ours"}));
        let order = compare(&[by_hand.clone(), ours], &secret(), true);
        assert_eq!(order.superfluous, [by_hand]);
        assert!(!order.missing.contains(&"incoming_chat"));
    }

    #[test]
    fn a_description_tells_secrets_apart_and_shows_none() {
        let told = description(&secret());
        assert!(!told.contains("s3cret") && told.len() == "livechat-hitl 00000000".len(), "{told}");
        assert_ne!(told, description(&"s3cret ".into()));
    }
}
