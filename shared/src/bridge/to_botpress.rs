//! How an agent's message is put to Botpress.
//!
//! See the Botpress repository, interface `hitl`, version 2.1.0, channel `hitl`.

use serde_json::{Value, json};

use super::wording::Wording;
use super::{MediaKind, MessageContent};
use crate::redacted::Redacted;

/// A message as Botpress takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    /// `text`, `image`, `audio`, `video` or `file`.
    pub kind: &'static str,
    /// The content.
    pub payload: Value,
}

/// The forms that a message can have, best first; there is always one.
///
/// What an install's definition declares shows only when Botpress refuses the rest as an invalid payload: interface 2.0.0
/// knows no `title` on pictures, recordings and films, and the oldest no files at all.
pub fn forms(content: &MessageContent, wording: &Wording) -> Vec<Form> {
    let plain = Form { kind: "text", payload: json!({ "text": content.as_text(wording) }) };
    let MessageContent::Media { kind, url, name } = content else { return vec![plain] };
    let key = match kind {
        MediaKind::Image => "imageUrl",
        MediaKind::Audio => "audioUrl",
        MediaKind::Video => "videoUrl",
        MediaKind::File => "fileUrl",
    };
    let titled = name.as_ref().map(|name| json!({ key: url.expose(), "title": Redacted::expose(name) }));
    let media = titled.into_iter().chain([json!({ key: url.expose() })]);
    media.map(|payload| Form { kind: kind.name(), payload }).chain([plain]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_one_form_and_keeps_its_markdown() {
        let form = Form { kind: "text", payload: json!({"text": "**Hi**\n- [a](https://b)"}) };
        assert_eq!(forms(&MessageContent::text("**Hi**\n- [a](https://b)"), &Wording::default()), [form]);
    }

    #[test]
    fn files_lose_their_title_first_and_their_kind_last() {
        for (kind, key) in [
            (MediaKind::Image, "imageUrl"),
            (MediaKind::Audio, "audioUrl"),
            (MediaKind::Video, "videoUrl"),
            (MediaKind::File, "fileUrl"),
        ] {
            let media = |name: Option<&str>| MessageContent::Media {
                kind,
                url: "https://f".into(),
                name: name.map(Into::into),
            };
            let form = |payload| Form { kind: kind.name(), payload };
            let text = |text: String| Form { kind: "text", payload: json!({ "text": text }) };
            assert_eq!(
                forms(&media(Some("Bill")), &Wording::default()),
                [
                    form(json!({key: "https://f", "title": "Bill"})),
                    form(json!({key: "https://f"})),
                    text(format!("[{}] Bill: https://f", kind.name())),
                ]
            );
            assert_eq!(
                forms(&media(None), &Wording::default()),
                [form(json!({key: "https://f"})), text(format!("[{}] https://f", kind.name()))]
            );
        }
    }
}
