//! What was said to the bot before a handover, from either Dialogflow.

use serde_json::Value;

use crate::redacted::Redacted;

/// One item of `messageHistory`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryItem {
    /// Somebody said something.
    Said {
        /// Who.
        author: Author,
        /// What, not empty; several texts of one answer stand on lines of their own.
        text: Redacted,
    },
    /// Something that cannot be shown as text, such as a card.
    Other {
        /// Who.
        author: Author,
        /// A word for it.
        kind: &'static str,
    },
    /// Nothing anybody said: an event that was sent to the bot.
    Silent,
    /// An item without the documented form; kept, so that a transcript can show that something was there.
    Unreadable,
}

/// Who wrote an item of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// The end user.
    User,
    /// The bot.
    Bot,
    /// A person of an earlier handover.
    Agent,
}

/// Reads `messageHistory`; what is not even a list is no history.
pub(super) fn read(items: &Value) -> Vec<HistoryItem> {
    items.as_array().map(|items| items.iter().map(item).collect()).unwrap_or_default()
}

fn item(item: &Value) -> HistoryItem {
    let Some(payload) = item.get("payload").filter(|payload| payload.is_object()) else {
        return HistoryItem::Unreadable;
    };
    // The user's messages stand one level deeper on the vendor's sample page; nothing else has a query in there.
    let nested = payload.get("queryParameters").filter(|nested| is_asked(nested));
    let payload = nested.unwrap_or(payload);
    if let Some(result) = payload.get("queryResult") {
        return answer(result);
    }
    if is_asked(payload) {
        // An event that the widget sends to the bot is not something that the user said.
        return text(payload, "query").map_or(HistoryItem::Silent, |text| said(Author::User, text));
    }
    text(payload, "text").map_or(HistoryItem::Unreadable, |text| said(Author::Agent, text))
}

/// Whether somebody asked the bot: by a query or by an event.
fn is_asked(payload: &Value) -> bool {
    text(payload, "query").is_some() || payload.get("event").is_some_and(Value::is_object)
}

fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str().filter(|text| !text.trim().is_empty())
}

fn said(author: Author, text: &str) -> HistoryItem {
    HistoryItem::Said { author, text: text.into() }
}

/// A bot's answer: CX has `responseMessages`, ES `fulfillmentMessages` and `fulfillmentText`.
fn answer(result: &Value) -> HistoryItem {
    let lists = ["responseMessages", "fulfillmentMessages"];
    let messages: Vec<&Value> = lists.iter().filter_map(|name| result.get(name)?.as_array()).flatten().collect();
    let texts: Vec<&str> = messages.iter().filter_map(|message| message.get("text")).flat_map(texts).collect();
    if !texts.is_empty() {
        return said(Author::Bot, &texts.join("\n"));
    }
    if let Some(text) = text(result, "fulfillmentText") {
        return said(Author::Bot, text);
    }
    let rich = messages.iter().filter_map(|message| message.as_object());
    match rich.flat_map(|message| message.keys()).find_map(|key| kind(key)) {
        Some(kind) => HistoryItem::Other { author: Author::Bot, kind },
        None if messages.is_empty() => HistoryItem::Silent,
        None => HistoryItem::Other { author: Author::Bot, kind: "message" },
    }
}

fn texts(text: &Value) -> Vec<&str> {
    let list = text.get("text").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).filter(|text| !text.trim().is_empty()).collect()
}

/// A word for a kind of message that has no text of its own.
fn kind(key: &str) -> Option<&'static str> {
    match key {
        "card" | "basicCard" | "listSelect" | "carouselSelect" | "browseCarouselCard" => Some("card"),
        "image" => Some("image"),
        "quickReplies" | "suggestions" => Some("choice"),
        "payload" => Some("rich message"),
        "playAudio" | "outputAudioText" => Some("audio"),
        "simpleResponses" => Some("voice response"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(payload: Value) -> HistoryItem {
        let list = json!([{"_id": "1", "botPlatform": "dialogflowES", "direction": "out", "payload": payload,
                           "createdAt": "2026-05-11T09:41:00.000Z"}]);
        read(&list).remove(0)
    }

    fn es(result: Value) -> Value {
        json!({"responseId": "r", "queryResult": result})
    }

    #[test]
    fn a_users_words_are_read_flat_and_nested_and_whatever_the_direction_says() {
        let flat = json!({"queryParameters": {"contexts": []}, "query": "order 7", "lang": "en", "sessionId": "s"});
        let nested = json!({"queryParameters": flat});
        for payload in [flat, nested] {
            assert_eq!(one(payload), said(Author::User, "order 7"));
        }
    }

    #[test]
    fn an_event_is_nothing_that_anybody_said_flat_or_nested() {
        let flat = json!({"queryParameters": {}, "event": {"name": "WELCOME", "data": {}}, "lang": "en"});
        let nested = json!({"queryParameters": flat});
        for payload in [flat, nested] {
            assert_eq!(one(payload), HistoryItem::Silent);
        }
    }

    #[test]
    fn an_agents_words_are_told_from_the_bots() {
        assert_eq!(one(json!({"text": "This is Anna"})), said(Author::Agent, "This is Anna"));
    }

    #[test]
    fn a_bots_answer_is_read_from_either_dialogflow() {
        let bot = |text| said(Author::Bot, text);
        for (result, expected) in [
            (json!({"fulfillmentText": "Hi"}), bot("Hi")),
            (
                json!({"fulfillmentText": "Hi", "fulfillmentMessages": [{"text": {"text": ["Hi", ""]}},
                       {"card": {"title": "A card"}}, {"text": {"text": ["How are you?"]}}]}),
                bot("Hi\nHow are you?"),
            ),
            (
                json!({"responseMessages": [{"text": {"text": ["Hi"]}}, {"text": {"text": ["there"]}}]}),
                bot("Hi\nthere"),
            ),
            (
                json!({"fulfillmentMessages": [{"payload": {"botcopy": []}}]}),
                HistoryItem::Other { author: Author::Bot, kind: "rich message" },
            ),
            (
                json!({"fulfillmentMessages": [{"platform": "X", "card": {}}]}),
                HistoryItem::Other { author: Author::Bot, kind: "card" },
            ),
            (
                json!({"responseMessages": [{"endInteraction": {}}]}),
                HistoryItem::Other { author: Author::Bot, kind: "message" },
            ),
            (json!({"fulfillmentMessages": []}), HistoryItem::Silent),
            (json!({"fulfillmentText": 7, "fulfillmentMessages": {}}), HistoryItem::Silent),
        ] {
            assert_eq!(one(es(result.clone())), expected, "{result}");
        }
    }

    #[test]
    fn what_has_no_known_form_is_a_placeholder_and_never_an_error() {
        for payload in [json!(null), json!("x"), json!([]), json!({}), json!({"text": 7}), json!({"text": " "})] {
            assert_eq!(one(payload.clone()), HistoryItem::Unreadable, "{payload}");
        }
        assert_eq!(read(&json!([null, 7, {"payload": 1}])), vec![HistoryItem::Unreadable; 3]);
        for no_list in [json!(null), json!({}), json!("x")] {
            assert_eq!(read(&no_list), []);
        }
    }
}
