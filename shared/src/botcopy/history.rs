//! The conversation with the bot before a handoff, from either version of Dialogflow.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::rich::{self, text};
use crate::http::Field;
use crate::redacted::Redacted;

/// One item of `messageHistory`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryItem {
    /// A message.
    Said {
        /// The author.
        author: Author,
        /// Its parts, in order; not empty.
        parts: Vec<Part>,
    },
    /// An event for the bot: a click, or an event that the page fired.
    Event {
        /// The event's name.
        name: String,
    },
    /// An item without any message.
    Silent,
    /// An item without the documented form; kept, so that a transcript can show its place.
    Unreadable,
}

/// Who wrote an item of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// The end user, to the bot.
    User,
    /// The end user, to an agent.
    UserToAgent,
    /// The bot.
    Bot,
    /// An agent.
    Agent,
}

/// A part of a message, as far as text can show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A text.
    Text(Redacted),
    /// A picture, a recording, or anything else with an address.
    Media {
        /// Its kind: `image`, `audio`, `file`, `link`.
        kind: &'static str,
        /// Its address.
        url: Redacted,
        /// Its name.
        title: Option<Redacted>,
    },
    /// A card, an entry of a list, or a button with a title.
    Card {
        /// Its heading, not empty.
        title: Redacted,
        /// The text below the heading.
        subtitle: Option<Redacted>,
        /// The address of its picture.
        image_url: Option<Redacted>,
        /// Its buttons, each with the address it opens.
        buttons: Vec<(Redacted, Option<Redacted>)>,
    },
    /// A question with answers to choose from.
    Choices {
        /// The question; can be empty.
        text: Redacted,
        /// The answers.
        options: Vec<Redacted>,
    },
    /// Something that cannot be shown as text.
    Other(&'static str),
}

/// JSON without Dialogflow CX's diagnostics for developers, which make up most of a conversation's size.
#[derive(Debug, Default)]
pub(super) struct Lean(pub Value);

/// The key to drop at any depth.
const DIAGNOSTICS: &str = "diagnosticInfo";

impl<'de> Deserialize<'de> for Lean {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LeanVisitor).map(Self)
    }
}

struct LeanVisitor;

impl<'de> Visitor<'de> for LeanVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Lean(item)) = list.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            if key == DIAGNOSTICS {
                object.next_value::<IgnoredAny>()?;
            } else {
                let Lean(value) = object.next_value()?;
                fields.insert(key, value);
            }
        }
        Ok(Value::Object(fields))
    }
}

/// Reads `messageHistory`; empty if it is not a list.
pub(super) fn read(items: &Field<'_>) -> Vec<HistoryItem> {
    let read = |field: Field<'_>| {
        let item = item(field.value());
        if item == HistoryItem::Unreadable {
            field.note();
        }
        item
    };
    items.items().map(read).collect()
}

fn item(item: &Value) -> HistoryItem {
    let Some(payload) = item.get("payload").filter(|payload| payload.is_object()) else {
        return HistoryItem::Unreadable;
    };
    // On the vendor's sample page the user's messages are one level deeper; only they have a query there.
    let nested = payload.get("queryParameters").filter(|nested| is_asked(nested));
    let payload = nested.unwrap_or(payload);
    if let Some(result) = payload.get("queryResult") {
        return answer(result);
    }
    if let Some(query) = text(payload, "query") {
        // According to the vendor's page, a message to an agent is "out", like everything that does not go to the bot.
        let is_to_agent = item.get("direction").and_then(Value::as_str) == Some("out");
        return said(if is_to_agent { Author::UserToAgent } else { Author::User }, query);
    }
    if let Some(event) = payload.get("event").filter(|event| event.is_object()) {
        return text(event, "name").map_or(HistoryItem::Silent, |name| HistoryItem::Event { name: name.to_owned() });
    }
    text(payload, "text").map_or(HistoryItem::Unreadable, |text| said(Author::Agent, text))
}

/// Whether an item is a request to the bot: a query or an event.
fn is_asked(payload: &Value) -> bool {
    text(payload, "query").is_some() || payload.get("event").is_some_and(Value::is_object)
}

fn said(author: Author, text: &str) -> HistoryItem {
    HistoryItem::Said { author, parts: vec![Part::Text(text.into())] }
}

/// A bot's answer: CX has `responseMessages`, ES `fulfillmentMessages` and `fulfillmentText`.
fn answer(result: &Value) -> HistoryItem {
    let list = |name: &str| result.get(name).and_then(Value::as_array).into_iter().flatten();
    let messages: Vec<&Value> = list("responseMessages").chain(list("fulfillmentMessages")).collect();
    // ES repeats a message for each platform; the widget shows the messages without a platform.
    let has_common = messages.iter().any(|message| is_for_all(message));
    let messages = messages.into_iter().filter(|message| !has_common || is_for_all(message));
    let parts: Vec<Part> = messages.flat_map(rich::parts).collect();
    if !parts.is_empty() {
        return HistoryItem::Said { author: Author::Bot, parts };
    }
    text(result, "fulfillmentText").map_or(HistoryItem::Silent, |text| said(Author::Bot, text))
}

fn is_for_all(message: &Value) -> bool {
    message.get("platform").and_then(Value::as_str).is_none_or(|platform| platform == "PLATFORM_UNSPECIFIED")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(items: &Value) -> Vec<HistoryItem> {
        super::read(&Field::root(items, &crate::http::Noted::default()))
    }

    fn one(payload: Value) -> HistoryItem {
        let list = json!([{"_id": "1", "botPlatform": "dialogflowES", "direction": "out", "payload": payload,
                           "createdAt": "2026-05-11T09:41:00.000Z"}]);
        read(&list).remove(0)
    }

    fn es(result: Value) -> Value {
        json!({"responseId": "r", "queryResult": result})
    }

    #[test]
    fn a_users_words_are_read_flat_and_nested_whether_a_bot_or_an_agent_heard_them() {
        let flat = json!({"queryParameters": {"contexts": []}, "query": "order 7", "lang": "en", "sessionId": "s"});
        let nested = json!({"queryParameters": flat});
        for payload in [flat, nested] {
            let list = |direction: &str| json!([{"direction": direction, "payload": payload}]);
            assert_eq!(read(&list("in")), [said(Author::User, "order 7")]);
            assert_eq!(read(&list("out")), [said(Author::UserToAgent, "order 7")], "so the vendor's page has it");
        }
    }

    #[test]
    fn an_event_is_told_from_words_flat_or_nested() {
        let flat = json!({"queryParameters": {}, "event": {"name": "WELCOME", "data": {}}, "lang": "en"});
        let nested = json!({"queryParameters": flat});
        for payload in [flat, nested] {
            assert_eq!(one(payload), HistoryItem::Event { name: "WELCOME".to_owned() });
        }
    }

    #[test]
    fn an_agents_words_are_told_from_the_bots() {
        assert_eq!(one(json!({"text": "This is Anna"})), said(Author::Agent, "This is Anna"));
    }

    #[test]
    fn a_bots_answer_is_read_from_either_dialogflow() {
        let bot = |parts: &[Part]| HistoryItem::Said { author: Author::Bot, parts: parts.to_vec() };
        let words = |text: &str| Part::Text(text.into());
        let card = Part::Card { title: "A card".into(), subtitle: None, image_url: None, buttons: Vec::new() };
        for (result, expected) in [
            (json!({"fulfillmentText": "Hi"}), bot(&[words("Hi")])),
            (
                json!({"fulfillmentText": "Hi", "fulfillmentMessages": [{"text": {"text": ["Hi", ""]}},
                       {"card": {"title": "A card"}}, {"text": {"text": ["How are you?"]}}]}),
                bot(&[words("Hi"), card.clone(), words("How are you?")]),
            ),
            (
                json!({"responseMessages": [{"text": {"text": ["Hi"]}}, {"text": {"text": ["there"]}}]}),
                bot(&[words("Hi"), words("there")]),
            ),
            (json!({"fulfillmentMessages": [{"payload": {"botcopy": []}}]}), bot(&[Part::Other("rich message")])),
            (json!({"fulfillmentMessages": [{"platform": "X", "card": {"title": "A card"}}]}), bot(&[card])),
            (
                json!({"fulfillmentMessages": [{"platform": "FACEBOOK", "text": {"text": ["FB"]}}, {"text": {"text": ["Hi"]}}]}),
                bot(&[words("Hi")]),
            ),
            (json!({"responseMessages": [{"hologram": {}}]}), bot(&[Part::Other("message")])),
            (
                json!({"responseMessages": [{"endInteraction": {}}, {"liveAgentHandoff": {"metadata": {}}}]}),
                HistoryItem::Silent,
            ),
            (json!({"fulfillmentMessages": []}), HistoryItem::Silent),
            (json!({"fulfillmentText": 7, "fulfillmentMessages": {}}), HistoryItem::Silent),
        ] {
            assert_eq!(one(es(result.clone())), expected, "{result}");
        }
    }

    #[test]
    fn what_is_for_developers_alone_is_left_out_wherever_it_stands() {
        let body = r#"{"a": [1, {"diagnosticInfo": {"x": [1, 2]}, "b": "c"}], "diagnosticInfo": 7, "d": [null, true, -1, 1.5]}"#;
        let Lean(lean) = serde_json::from_str(body).unwrap();
        assert_eq!(lean, json!({"a": [1, {"b": "c"}], "d": [null, true, -1, 1.5]}));
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
