//! The content of a message: the payloads of Botpress's twelve message types, read leniently.
//!
//! A payload that does not have its documented form is kept as [`Content::Other`], so that its place can be shown.
//!
//! See the Botpress repository, "SDK", message schemas.

use serde_json::Value;

use crate::model::message::{Button, Card, Content};
use crate::redacted::Redacted;
use crate::text::is_blank;

impl Content {
    /// Reads the payload of a message of type `kind`.
    pub(super) fn read(kind: &str, payload: &Value) -> Self {
        let known = match kind {
            "text" => words(payload, "text").map(|text| Self::Text { text }),
            "markdown" => words(payload, "markdown").map(|markdown| Self::Markdown { markdown }),
            "image" => media(kind, payload, "imageUrl"),
            "audio" => media(kind, payload, "audioUrl"),
            "video" => media(kind, payload, "videoUrl"),
            "file" => media(kind, payload, "fileUrl"),
            "location" => location(payload),
            "card" => card(payload).map(|card| cards(vec![card])),
            "carousel" => carousel(payload),
            "choice" | "dropdown" => choice(payload),
            "bloc" => bloc(payload),
            _ => None,
        };
        known.unwrap_or_else(|| Self::Other { kind: kind.to_owned() })
    }
}

/// A text, possibly blank; numbers and booleans are read as they are written.
fn words(payload: &Value, key: &str) -> Option<Redacted> {
    match payload.get(key)? {
        Value::String(text) => Some(text.as_str().into()),
        other @ (Value::Number(_) | Value::Bool(_)) => Some(other.to_string().into()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A text that is not blank.
fn text(payload: &Value, key: &str) -> Option<Redacted> {
    words(payload, key).filter(|text| !is_blank(text.expose()))
}

/// The content of a message that shows nothing.
fn nothing() -> Content {
    Content::Text { text: String::new().into() }
}

/// A file by its address, with an optional `title`.
fn media(kind: &str, payload: &Value, key: &str) -> Option<Content> {
    Some(Content::Media { kind: kind.to_owned(), url: text(payload, key)?, title: text(payload, "title") })
}

fn location(payload: &Value) -> Option<Content> {
    let degrees = |key: &str| {
        let value = payload.get(key)?;
        value.as_f64().or_else(|| value.as_str()?.trim().parse().ok().filter(|degrees: &f64| degrees.is_finite()))
    };
    Some(Content::Location {
        coordinates: format!("{},{}", degrees("latitude")?, degrees("longitude")?).into(),
        title: text(payload, "title"),
        address: text(payload, "address"),
    })
}

fn card(payload: &Value) -> Option<Card> {
    let actions = payload.get("actions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    Some(Card {
        title: words(payload, "title").map(|title| if is_blank(title.expose()) { "".into() } else { title })?,
        subtitle: text(payload, "subtitle"),
        image_url: text(payload, "imageUrl"),
        buttons: actions.iter().filter_map(button).collect(),
    })
}

fn button(action: &Value) -> Option<Button> {
    let leads_away = action.get("action").and_then(Value::as_str) == Some("url");
    Some(Button { label: text(action, "label")?, url: text(action, "value").filter(|_| leads_away) })
}

fn carousel(payload: &Value) -> Option<Content> {
    let found: Vec<_> = payload.get("items")?.as_array()?.iter().filter_map(card).collect();
    (!found.is_empty()).then(|| cards(found))
}

/// The cards that show anything.
fn cards(mut cards: Vec<Card>) -> Content {
    cards.retain(|card| {
        let has_more = card.subtitle.is_some() || card.image_url.is_some() || !card.buttons.is_empty();
        has_more || !card.title.expose().is_empty()
    });
    if cards.is_empty() { nothing() } else { Content::Cards { cards } }
}

fn choice(payload: &Value) -> Option<Content> {
    let options = payload.get("options").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let options: Vec<_> = options.iter().filter_map(|option| text(option, "label")).collect();
    let text = words(payload, "text")?;
    Some(if options.is_empty() { Content::Text { text } } else { Content::Choice { text, options } })
}

/// A bloc cannot contain another bloc.
fn bloc(payload: &Value) -> Option<Content> {
    let items = payload.get("items")?.as_array()?.iter().map(|item| {
        let kind = item.get("type").and_then(Value::as_str).unwrap_or("unknown");
        match (kind, item.get("payload")) {
            ("bloc", _) | (_, None) => Content::Other { kind: kind.to_owned() },
            (_, Some(payload)) => Content::read(kind, payload),
        }
    });
    let items: Vec<_> = items.collect();
    (!items.is_empty()).then_some(Content::Bloc { items })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn other(kind: &str) -> Content {
        Content::Other { kind: kind.to_owned() }
    }

    fn image(title: Option<&str>) -> Content {
        Content::Media { kind: "image".to_owned(), url: "https://i".into(), title: title.map(Into::into) }
    }

    #[test]
    fn each_documented_payload_is_read() {
        let card = json!({"title": "Tea", "subtitle": "Green", "imageUrl": "https://i", "actions": [
            {"action": "url", "label": "Shop", "value": "https://s"},
            {"action": "say", "label": "More", "value": "more"},
            {"action": "postback", "value": "no label"},
        ]});
        let tea = || Card {
            title: "Tea".into(),
            subtitle: Some("Green".into()),
            image_url: Some("https://i".into()),
            buttons: vec![
                Button { label: "Shop".into(), url: Some("https://s".into()) },
                Button { label: "More".into(), url: None },
            ],
        };
        let question = || Content::Choice { text: "Which?".into(), options: vec!["A".into(), "B".into()] };
        let options =
            json!({"text": "Which?", "options": [{"label": "A", "value": "a"}, {"label": "B", "value": "b"}]});
        let cases = [
            ("text", json!({"text": "Hi", "extra": 1}), Content::Text { text: "Hi".into() }),
            ("text", json!({"text": 5}), Content::Text { text: "5".into() }),
            ("markdown", json!({"markdown": "*Hi*"}), Content::Markdown { markdown: "*Hi*".into() }),
            ("image", json!({"imageUrl": "https://i"}), image(None)),
            ("image", json!({"imageUrl": "https://i", "title": "Cat"}), image(Some("Cat"))),
            (
                "location",
                json!({"latitude": 52.52, "longitude": -13, "title": "Here", "address": "1 Road"}),
                Content::Location {
                    coordinates: "52.52,-13".into(),
                    title: Some("Here".into()),
                    address: Some("1 Road".into()),
                },
            ),
            ("card", card.clone(), Content::Cards { cards: vec![tea()] }),
            ("carousel", json!({"items": [card, card, {}]}), Content::Cards { cards: vec![tea(), tea()] }),
            ("choice", options.clone(), question()),
            ("dropdown", options, question()),
        ];
        for (kind, payload, expected) in cases {
            assert_eq!(Content::read(kind, &payload), expected, "{kind}");
        }
        for (kind, key) in [("audio", "audioUrl"), ("video", "videoUrl"), ("file", "fileUrl")] {
            let expected =
                Content::Media { kind: kind.to_owned(), url: "https://f".into(), title: Some("Bill".into()) };
            assert_eq!(Content::read(kind, &json!({key: "https://f", "title": "Bill"})), expected);
        }
    }

    #[test]
    fn what_is_not_as_documented_keeps_its_type() {
        for (kind, payload) in [
            ("text", json!({"text": [5]})),
            ("markdown", json!({"text": "Hi"})),
            ("image", json!({"imageUrl": ""})),
            ("image", json!({"fileUrl": "https://i"})),
            ("location", json!({"latitude": "north", "longitude": 13})),
            ("card", json!({"subtitle": "no title"})),
            ("carousel", json!({"items": []})),
            ("choice", json!({"options": [{"label": "A"}]})),
            ("bloc", json!({"items": "none"})),
            ("bloc", json!({"items": []})),
            ("new", json!(null)),
        ] {
            assert_eq!(Content::read(kind, &payload), other(kind));
        }
    }

    #[test]
    fn what_is_blank_is_absent_and_no_placeholder() {
        for (kind, payload) in [
            ("text", json!({"text": ""})),
            ("text", json!({"text": "\u{200b}"})),
            ("markdown", json!({"markdown": " \u{3164}"})),
            ("card", json!({"title": " ", "subtitle": "\u{feff}", "actions": [{"action": "say", "label": "\u{ad}"}]})),
            ("carousel", json!({"items": [{"title": "\u{fe0f}"}]})),
            ("choice", json!({"text": " ", "options": [{"label": "\u{2800}"}]})),
        ] {
            let read = Content::read(kind, &payload);
            let (Content::Text { text } | Content::Markdown { markdown: text }) = read else { panic!("{read:?}") };
            assert!(is_blank(text.expose()), "{kind}");
        }
        assert_eq!(Content::read("image", &json!({"imageUrl": "https://i", "title": "\u{200d}"})), image(None));
        let card = json!({"title": " ", "subtitle": "Green"});
        let expected = Card { title: "".into(), subtitle: Some("Green".into()), image_url: None, buttons: Vec::new() };
        assert_eq!(Content::read("card", &card), Content::Cards { cards: vec![expected] });
    }

    #[test]
    fn a_bloc_keeps_its_items_in_order_one_level_deep() {
        let text = |text: &str| json!({"type": "text", "payload": {"text": text}});
        let nested = json!({"type": "bloc", "payload": {"items": [text("deep")]}});
        let items = json!({"items": [text("a"), {"type": "image", "payload": {"imageUrl": "https://i"}}, nested, 7]});
        let expected = vec![Content::Text { text: "a".into() }, image(None), other("bloc"), other("unknown")];
        assert_eq!(Content::read("bloc", &items), Content::Bloc { items: expected });
    }

    #[test]
    fn debug_output_shows_neither_words_nor_places() {
        let canary = "canary";
        let read = [
            Content::read("location", &json!({"latitude": 52.25, "longitude": 13, "address": canary})),
            Content::read(
                "card",
                &json!({"title": canary, "actions": [{"action": "url", "label": canary, "value": canary}]}),
            ),
            Content::read("choice", &json!({"text": canary, "options": [{"label": canary}]})),
            Content::read("markdown", &json!({"markdown": canary})),
        ];
        let output = format!("{read:?}");
        assert!(!output.contains(canary) && !output.contains("52.25"), "{output}");
    }
}
