//! Rich messages of Dialogflow, as far as text can show them: the kinds of ES and CX, Dialogflow Messenger's `richContent`,
//! and the readable parts of custom payloads.
//!
//! See Google's documentation, "Rich response messages" (ES), "ResponseMessage" (CX) and "Dialogflow Messenger".

use serde_json::Value;

use super::Part;
use crate::redacted::Redacted;
use crate::text::is_blank;

/// How many parts of a custom payload are shown.
const MOST_PARTS: usize = 20;

/// How many levels of a custom payload are searched.
const MOST_LEVELS: usize = 8;

/// The parts that one message of an answer shows; none for one that is not for the user, such as the end of an interaction.
pub(super) fn parts(message: &Value) -> Vec<Part> {
    let Some(fields) = message.as_object() else { return Vec::new() };
    let known = fields.iter().filter(|(key, _)| *key != "platform");
    known.flat_map(|(key, value)| kind(key, value)).collect()
}

fn kind(key: &str, value: &Value) -> Vec<Part> {
    match key {
        "text" => list(value, "text").filter_map(Value::as_str).filter_map(words).collect(),
        "image" => picture(value).into_iter().collect(),
        "quickReplies" => choices(text(value, "title"), list(value, "quickReplies").filter_map(Value::as_str)),
        "suggestions" => choices(None, list(value, "suggestions").filter_map(|one| text(one, "title"))),
        "card" | "basicCard" | "tableCard" => card(value).into_iter().chain(rows(value)).collect(),
        "listSelect" | "carouselSelect" | "browseCarouselCard" => {
            let heading = text(value, "title").and_then(words);
            heading.into_iter().chain(list(value, "items").filter_map(card)).collect()
        }
        "simpleResponses" => list(value, "simpleResponses").filter_map(spoken).collect(),
        "outputAudioText" => spoken(value).into_iter().collect(),
        "playAudio" => media("audio", text(value, "audioUri"), None).into_iter().collect(),
        "mediaContent" => {
            list(value, "mediaObjects").filter_map(|one| media("file", url(one), text(one, "name"))).collect()
        }
        "linkOutSuggestion" => media("link", url(value), text(value, "destinationName")).into_iter().collect(),
        "telephonyTransferCall" => text(value, "phoneNumber").and_then(words).into_iter().collect(),
        "payload" => payload(value),
        // Not for the user: instructions about the handoff and the conversation.
        "liveAgentHandoff"
        | "endInteraction"
        | "conversationSuccess"
        | "mixedAudio"
        | "toolCall"
        | "channel"
        | "responseType"
        | "source" => Vec::new(),
        _ => vec![Part::Other("message")],
    }
}

/// A custom payload: Dialogflow Messenger's, or one with a form of the bot author's own.
fn payload(payload: &Value) -> Vec<Part> {
    let rich = list(payload, "richContent").flat_map(|group| match group {
        Value::Array(elements) => elements.iter().collect(),
        element => vec![element],
    });
    let mut parts: Vec<Part> = rich.flat_map(element).collect();
    if parts.is_empty() {
        gather(payload, MOST_LEVELS, &mut parts);
    }
    if parts.is_empty() {
        parts.push(Part::Other("rich message"));
    }
    parts.truncate(MOST_PARTS);
    parts
}

fn element(element: &Value) -> Vec<Part> {
    match text(element, "type").unwrap_or_default() {
        "chips" => choices(None, list(element, "options").filter_map(|one| text(one, "text"))),
        "image" => picture(element).into_iter().collect(),
        "description" => {
            let lines = list(element, "text").filter_map(Value::as_str).filter_map(words);
            text(element, "title").and_then(words).into_iter().chain(lines).collect()
        }
        "button" => choices(None, text(element, "text").into_iter()).into_iter().chain(link_of(element)).collect(),
        "accordion" => card(element).into_iter().chain(text(element, "text").and_then(words)).collect(),
        "divider" => Vec::new(),
        _ => match card(element) {
            Some(card) => vec![card],
            None => {
                let mut parts = Vec::new();
                gather(element, MOST_LEVELS, &mut parts);
                parts
            }
        },
    }
}

fn link_of(element: &Value) -> Option<Part> {
    media("link", text(element, "link"), text(element, "text"))
}

/// An element with a title: with the text below it, its picture, and its buttons.
fn card(value: &Value) -> Option<Part> {
    let title = text(value, "title")?;
    let below = ["subtitle", "description", "formattedText"].into_iter().filter_map(|name| text(value, name));
    let below: Vec<&str> = below.collect();
    let buttons = list(value, "buttons").filter_map(|button| {
        let label = text(button, "text").or_else(|| text(button, "title"))?;
        let address = url(button).or_else(|| text(button, "postback").filter(|postback| is_address(postback)));
        Some((label.into(), address.map(Into::into)))
    });
    let action = text(value, "actionLink").map(|address| (Redacted::from(address), Some(address.into())));
    Some(Part::Card {
        title: title.into(),
        subtitle: Some(below.join("\n")).filter(|below| !below.is_empty()).map(Into::into),
        image_url: image_url(value).map(Into::into),
        buttons: buttons.chain(action).collect(),
    })
}

/// The rows of a table.
fn rows(value: &Value) -> impl Iterator<Item = Part> {
    list(value, "rows").filter_map(|row| {
        let cells: Vec<&str> = list(row, "cells").filter_map(|cell| text(cell, "text")).collect();
        words(&cells.join(" | "))
    })
}

fn picture(value: &Value) -> Option<Part> {
    let address = url(value).or_else(|| text(value, "rawUrl"));
    media("image", address, text(value, "accessibilityText"))
}

fn image_url(value: &Value) -> Option<&str> {
    let image = || value.get("image").and_then(|image| image.get("src").or(Some(image)));
    text(value, "imageUri").or_else(|| image().and_then(|image| url(image).or_else(|| text(image, "rawUrl"))))
}

/// The address of an element, under any of the names that Google uses.
fn url(value: &Value) -> Option<&str> {
    let action = value.get("openUriAction").or_else(|| value.get("openUrlAction"));
    let names = ["imageUri", "contentUrl", "uri", "url", "link"];
    names.into_iter().find_map(|name| text(value, name).or_else(|| text(action?, name)))
}

fn spoken(value: &Value) -> Option<Part> {
    ["displayText", "textToSpeech", "text"]
        .into_iter()
        .find_map(|name| text(value, name))
        .and_then(words)
        .or_else(|| text(value, "ssml").map(|_| Part::Other("voice response")))
}

/// Collects texts that look readable, at any depth.
fn gather(value: &Value, levels: usize, parts: &mut Vec<Part>) {
    if levels == 0 || parts.len() >= MOST_PARTS {
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| gather(item, levels - 1, parts)),
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value.as_str()) {
                    (_, None) => gather(value, levels - 1, parts),
                    ("title" | "subtitle" | "text" | "description" | "label" | "message" | "name", Some(said)) => {
                        parts.extend(words(said));
                    }
                    (_, Some(said)) if is_address(said) => parts.extend(media("link", Some(said), None)),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn is_address(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

fn words(text: &str) -> Option<Part> {
    (!is_blank(text)).then(|| Part::Text(text.into()))
}

fn media(kind: &'static str, url: Option<&str>, title: Option<&str>) -> Option<Part> {
    Some(Part::Media { kind, url: url?.into(), title: title.map(Into::into) })
}

fn choices<'a>(question: Option<&str>, options: impl Iterator<Item = &'a str>) -> Vec<Part> {
    let options: Vec<Redacted> = options.filter(|option| !is_blank(option)).map(Into::into).collect();
    match (options.is_empty(), question) {
        (true, None) => Vec::new(),
        (true, Some(question)) => words(question).into_iter().collect(),
        (false, question) => vec![Part::Choices { text: question.unwrap_or_default().into(), options }],
    }
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

pub(super) fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str().filter(|text| !is_blank(text))
}
