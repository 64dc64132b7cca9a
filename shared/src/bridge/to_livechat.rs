//! How a Botpress message reads to an agent.

use super::ToAgent;
use super::wording::Wording;
use crate::botpress::{Content, MessageCreated};
use crate::redacted::Redacted;

/// What goes into the lane for a message; on nobody's behalf it is a remark of the HITL plugin.
pub fn item(message: &MessageCreated, wording: &Wording) -> ToAgent {
    let text = readable(&message.content, wording);
    match message.on_behalf_of {
        Some(_) => ToAgent::Message { text },
        None => ToAgent::Note { text },
    }
}

/// A message as one text.
pub fn readable(content: &Content, wording: &Wording) -> Redacted {
    match content {
        Content::Text { text } => text.clone(),
        Content::Media { kind, url, title } => {
            wording.link(kind, title.as_ref().map(Redacted::expose), url.expose()).into()
        }
        Content::Bloc { items } => {
            let items: Vec<Redacted> = items.iter().map(|item| readable(item, wording)).collect();
            items.iter().map(Redacted::expose).collect::<Vec<_>>().join("\n").into()
        }
        Content::Other { kind } => wording.placeholder(kind).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn message(content: Content, on_behalf_of: Option<&str>) -> MessageCreated {
        MessageCreated {
            message_id: "msg_1".into(),
            created_at: Timestamp::from_unix_millis(0),
            conversation_id: "conv_1".into(),
            kind: "text".to_owned(),
            content,
            on_behalf_of: on_behalf_of.map(Into::into),
        }
    }

    #[test]
    fn the_users_words_and_the_plugins_remarks_are_told_apart() {
        let text = || Content::Text { text: "Bye".into() };
        assert_eq!(
            item(&message(text(), Some("user_1")), &Wording::default()),
            ToAgent::Message { text: "Bye".into() }
        );
        assert_eq!(item(&message(text(), None), &Wording::default()), ToAgent::Note { text: "Bye".into() });
    }

    #[test]
    fn what_is_not_text_is_readable_all_the_same() {
        let media = |title: Option<&str>| Content::Media {
            kind: "image".to_owned(),
            url: "https://files/cat.png".into(),
            title: title.map(Into::into),
        };
        for (content, expected) in [
            (media(Some("My cat")), "[image] My cat: https://files/cat.png"),
            (media(None), "[image] https://files/cat.png"),
            (Content::Other { kind: "location".to_owned() }, "[location]"),
            (
                Content::Bloc { items: vec![Content::Text { text: "Look:".into() }, media(None)] },
                "Look:\n[image] https://files/cat.png",
            ),
        ] {
            assert_eq!(readable(&content, &Wording::default()).expose(), expected);
        }
    }
}
