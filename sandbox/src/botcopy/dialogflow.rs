//! The bot: it repeats what the user writes, and asks for a person when the user does.

use serde_json::{Value, json};
use uuid::Uuid;

use super::state::{Speaker, User};
use super::{Dialogflow, Platform};

/// A message with this word in it makes the bot ask for a person.
const ASKS_FOR_A_PERSON: &str = "human";

/// The output context that Dialogflow ES answers with.
const CONTEXT: &str = "bc-human-handover";

/// The session parameter that Dialogflow CX answers with.
const PARAMETER: &str = "bcHumanHandover";

/// The bot's answer, in the form of `detectIntent`.
pub(super) struct Reply {
    pub response: Value,
    /// Whether the response carries the trigger.
    pub is_trigger: bool,
}

/// Has the bot answer a text; the answer is shown and remembered.
pub(super) fn say(platform: &Platform, user: &mut User, text: &str) -> Reply {
    platform.record("dialogflow_called", json!({"user_id": user.user_id, "text": text}));
    user.queried_at = Some(platform.now());
    let asked = json!({"queryParameters": {"contexts": []}, "query": text, "lang": user.language,
                       "sessionId": user.dialogflow_session});
    let payload = if platform.options.nests_history { json!({"queryParameters": asked}) } else { asked };
    user.remember(platform, "in", payload);
    let is_trigger = text.to_lowercase().contains(ASKS_FOR_A_PERSON);
    let answer = if is_trigger { "I will find somebody for you.".to_owned() } else { format!("bot: {text}") };
    respond(platform, user, text, &answer, is_trigger)
}

/// Fires an event at the bot.
pub(super) fn fire(platform: &Platform, user: &mut User, event: &str) {
    platform.record("dialogflow_called", json!({"user_id": user.user_id, "event": event}));
    user.queried_at = Some(platform.now());
    let asked = json!({"queryParameters": {}, "event": {"name": event, "data": {}}, "lang": user.language,
                       "sessionId": user.dialogflow_session});
    user.remember(platform, "in", asked);
    respond(platform, user, "", &format!("bot: event {event}"), false);
}

fn respond(platform: &Platform, user: &mut User, query: &str, answer: &str, is_trigger: bool) -> Reply {
    let response = match platform.options.dialogflow {
        Dialogflow::Es => es(user, query, answer, is_trigger),
        Dialogflow::Cx => cx(user, query, answer, is_trigger),
    };
    user.show(platform, Speaker::Bot, answer, None);
    user.remember(platform, "out", response.clone());
    Reply { response, is_trigger }
}

fn es(user: &User, query: &str, answer: &str, is_trigger: bool) -> Value {
    let name = format!("{}/contexts/{CONTEXT}", user.dialogflow_session);
    let contexts = if is_trigger { json!([{"name": name, "lifespanCount": 1, "parameters": {}}]) } else { json!([]) };
    json!({
        "responseId": Uuid::new_v4().to_string(),
        "queryResult": {
            "queryText": query,
            "parameters": {},
            "allRequiredParamsPresent": true,
            "fulfillmentText": answer,
            "fulfillmentMessages": [{"text": {"text": [answer]}}],
            "outputContexts": contexts,
            "intent": {"name": "projects/shop/agent/intents/1", "displayName": "Any"},
            "intentDetectionConfidence": 1,
            "languageCode": user.language,
        },
    })
}

fn cx(user: &User, query: &str, answer: &str, is_trigger: bool) -> Value {
    let parameters = if is_trigger { json!({ PARAMETER: true }) } else { json!({}) };
    json!({
        "responseId": Uuid::new_v4().to_string(),
        "queryResult": {
            "text": query,
            "languageCode": user.language,
            "parameters": parameters,
            "responseMessages": [{"text": {"text": [answer], "allowPlaybackInterruption": false}}],
            "currentPage": {"displayName": "Start"},
            "match": {"matchType": "INTENT", "confidence": 1},
        },
        "responseType": "FINAL",
    })
}
