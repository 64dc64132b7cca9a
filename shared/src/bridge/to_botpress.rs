//! Converts an agent's message for Botpress.
//!
//! See the Botpress repository, interface `hitl`, version 2.1.0, channel `hitl`.

use serde_json::{Value, json};

use super::wording::Wording;
use super::{MediaKind, MessageContent};

/// A message as Botpress takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    /// `text`, `image`, `audio`, `video` or `file`.
    pub kind: &'static str,
    /// The content.
    pub payload: Value,
}

/// The best form of a message, and simpler ones, the simplest last.
///
/// What an install's definition declares cannot be read: Botpress refuses an undeclared form as an invalid payload. Interface
/// 2.0.0 has no `title` on pictures, recordings and videos, and the oldest interface has no files at all.
pub fn forms(content: &MessageContent, wording: &Wording) -> (Form, Vec<Form>) {
    let plain = Form { kind: "text", payload: json!({ "text": content.as_text(wording) }) };
    let MessageContent::Media { kind, url, name } = content else { return (plain, Vec::new()) };
    let key = match kind {
        MediaKind::Image => "imageUrl",
        MediaKind::Audio => "audioUrl",
        MediaKind::Video => "videoUrl",
        MediaKind::File => "fileUrl",
    };
    let media = |payload| Form { kind: kind.name(), payload };
    let untitled = media(json!({ key: url.expose() }));
    match name {
        Some(name) => (media(json!({ key: url.expose(), "title": name.expose() })), vec![untitled, plain]),
        None => (untitled, vec![plain]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_one_form_and_keeps_its_markdown() {
        let form = Form { kind: "text", payload: json!({"text": "**Hi**\n- [a](https://b)"}) };
        assert_eq!(forms(&MessageContent::text("**Hi**\n- [a](https://b)"), &Wording::default()), (form, Vec::new()));
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
                (
                    form(json!({key: "https://f", "title": "Bill"})),
                    vec![form(json!({key: "https://f"})), text(format!("[{}] Bill: https://f", kind.name()))],
                )
            );
            assert_eq!(
                forms(&media(None), &Wording::default()),
                (form(json!({key: "https://f"})), vec![text(format!("[{}] https://f", kind.name()))])
            );
        }
    }
}
