//! What agents read of a conversation with a Dialogflow bot that shows more than text.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{ASK, World};

/// An export in the form that Botcopy documents: an ES bot with what Google documents for ES.
fn es() -> Value {
    let bot = |messages: Value| {
        json!({"_id": "1", "botPlatform": "dialogflowES", "direction": "out", "createdAt": "2026-05-11T09:40:00.000Z",
               "payload": {"responseId": "r", "queryResult": {
                   "queryText": "x", "parameters": {"size": "L"}, "fulfillmentText": "left out", "fulfillmentMessages": messages,
                   "outputContexts": [{"name": "projects/shop/agent/sessions/1/contexts/order", "lifespanCount": 5,
                                       "parameters": {"size": "L", "size.original": "large"}}],
                   "intent": {"displayName": "Any"}, "languageCode": "en"}}})
    };
    let user = |fields: Value| {
        let mut payload = json!({"queryParameters": {"contexts": []}, "lang": "en", "sessionId": "s"});
        payload.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"_id": "2", "botPlatform": "dialogflowES", "direction": "in", "createdAt": "2026-05-11T09:40:01.000Z",
               "payload": payload})
    };
    json!([
        user(json!({"event": {"name": "WELCOME", "data": {}}})),
        bot(json!([
            {"platform": "FACEBOOK", "text": {"text": ["Only on Facebook"]}},
            {"text": {"text": ["Welcome to the shop!"]}},
            {"payload": {"richContent": [[
                {"type": "info", "title": "Shirts", "subtitle": "From 9 EUR", "actionLink": "https://shop/shirts",
                 "image": {"src": {"rawUrl": "https://shop/shirt.png"}}},
                {"type": "divider"},
                {"type": "list", "title": "Red", "subtitle": "warm"},
                {"type": "chips", "options": [{"text": "Sizes", "image": {"src": {"rawUrl": "https://i"}}}, {"text": "Delivery"}]},
            ]]}},
        ])),
        user(json!({"query": "Sizes"})),
        bot(json!([
            {"quickReplies": {"title": "Which size?", "quickReplies": ["S", "L"]}},
            {"image": {"imageUri": "https://shop/sizes.png", "accessibilityText": "Table of sizes"}},
            {"card": {"title": "Shirt", "subtitle": "Cotton", "imageUri": "https://shop/1.png",
                      "buttons": [{"text": "Buy", "postback": "https://shop/buy"}, {"text": "Ask", "postback": "ask"}]}},
            {"listSelect": {"title": "More", "items": [{"info": {"key": "a"}, "title": "Trousers", "description": "Blue"}]}},
        ])),
        user(json!({"event": {"name": "ADD_TO_CART", "data": {}}})),
        bot(json!([{"payload": {"shop": {"message": "In your cart", "cart": {"url": "https://shop/cart"}}}}])),
        user(json!({"query": ASK})),
        bot(json!([{"text": {"text": ["One moment."]}}, {"suggestions": {"suggestions": [{"title": "Never mind"}]}}])),
    ])
}

/// The same for CX, with the diagnostics that only developers need in each answer.
fn cx() -> Value {
    let bot = |messages: Value| {
        json!({"_id": "1", "botPlatform": "dialogFlowCX", "direction": "out", "createdAt": "2026-05-11T09:40:00.000Z",
               "payload": {"responseId": "r", "responseType": "FINAL", "queryResult": {
                   "text": "x", "languageCode": "en", "parameters": {"order": 4711, "bcHumanHandover": true},
                   "responseMessages": messages, "currentPage": {"displayName": "Start"}, "match": {"matchType": "INTENT"},
                   "diagnosticInfo": {"Session Id": "s", "Execution Sequence": "z".repeat(200_000)}}}})
    };
    let user = |query: &str| {
        json!({"_id": "2", "botPlatform": "dialogFlowCX", "direction": "in", "createdAt": "2026-05-11T09:40:01.000Z",
               "payload": {"queryParameters": {"queryParameters": {}, "query": query, "lang": "en", "sessionId": "s"}}})
    };
    json!([
        user("hello"),
        bot(json!([
            {"text": {"text": ["Hello!"], "allowPlaybackInterruption": false}, "responseType": "HANDLER_PROMPT", "source": "VIRTUAL_AGENT"},
            {"payload": {"richContent": [[
                {"type": "image", "rawUrl": "https://shop/hello.png", "accessibilityText": "A shop"},
                {"type": "description", "title": "Opening hours", "text": ["Mon to Fri", "9 to 5"]},
                {"type": "button", "text": "Map", "link": "https://shop/map"},
                {"type": "accordion", "title": "Returns", "subtitle": "30 days", "text": "Send it back."},
            ]]}},
        ])),
        user(ASK),
        bot(json!([
            {"outputAudioText": {"text": "Listen to this"}},
            {"playAudio": {"audioUri": "https://shop/a.mp3"}},
            {"telephonyTransferCall": {"phoneNumber": "+49 30 1234"}},
            {"liveAgentHandoff": {"metadata": {"to": "anybody"}}}, {"endInteraction": {}},
        ])),
    ])
}

async fn opening(history: Value, response: Value) -> (String, Value) {
    let world = World::in_process().await;
    let user = world.widget_user().await;
    let mut body = world.stack.botcopy.step_one_body(&user, ASK).unwrap();
    body["messageHistory"] = history;
    body["dialogflowResponse"] = response;
    let answer = world.call_botcopy(&body, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["paused"], true);
    world.settle().await;
    world.advance(Duration::from_secs(1));
    let fields = world.stack.journal.all("customer_updated").pop().unwrap().detail["session_fields"].clone();
    (world.sent_by_customers().remove(0), fields)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_es_bot_s_rich_answers_and_clicks_are_readable() {
    let history = es();
    let response = history[7]["payload"].clone();
    let (text, fields) = opening(history, response).await;
    let expected = "Conversation so far:\n\
        Bot: Welcome to the shop!\n\
        > [card] Shirts\n> From 9 EUR\n> [image] https://shop/shirt.png\n> - https://shop/shirts: https://shop/shirts\n\
        > [card] Red\n> warm\n\
        > - Sizes\n> - Delivery\n\
        User: Sizes\n\
        Bot: Which size?\n> - S\n> - L\n\
        > [image] Table of sizes: https://shop/sizes.png\n\
        > [card] Shirt\n> Cotton\n> [image] https://shop/1.png\n> - Buy: https://shop/buy\n> - Ask\n\
        > More\n> [card] Trousers\n> Blue\n\
        User: [event ADD_TO_CART]\n\
        Bot: [link] https://shop/cart\n> In your cart\n\
        User: a human please\n\
        Bot: One moment.\n> - Never mind";
    assert_eq!(text, expected);
    assert!(fields.to_string().contains(r#"{"size":"L"}"#) && !fields.to_string().contains("original"), "{fields}");
}

/// The history contains so many diagnostics that Lambda would not accept a slightly longer conversation.
#[tokio::test(flavor = "multi_thread")]
async fn a_cx_bot_s_rich_answers_are_readable_and_diagnostics_weigh_nothing() {
    let mut history = cx();
    let hello = history[0].clone();
    let answer = history[1].clone();
    let items = history.as_array_mut().unwrap();
    for _ in 0..20 {
        items.insert(0, answer.clone());
        items.insert(0, hello.clone());
    }
    assert!(history.to_string().len() > 4 * 1024 * 1024);
    let response = history[43]["payload"].clone();
    let (text, fields) = opening(history, response).await;
    let end = "User: hello\n\
        Bot: Hello!\n\
        > [image] A shop: https://shop/hello.png\n\
        > Opening hours\n> Mon to Fri\n> 9 to 5\n\
        > - Map\n> [link] Map: https://shop/map\n\
        > [card] Returns\n> 30 days\n> Send it back.\n\
        User: a human please\n\
        Bot: Listen to this\n> [audio] https://shop/a.mp3\n> +49 30 1234";
    assert!(text.ends_with(end), "{text}");
    assert!(!text.contains("Execution Sequence") && !text.contains("zzz"));
    assert!(fields.to_string().contains(r#"{"order":"4711"}"#) && !fields.to_string().contains("bcHuman"), "{fields}");
}
