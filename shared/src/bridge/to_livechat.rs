//! How a Botpress message reads to an agent.

use super::split::{MAX_BYTES, beginning, split};
use super::wording::Wording;
use super::{Media, ToAgent, voice};
use crate::botpress::MessageCreated;
use crate::media::carries_credential;
use crate::model::lane::Position;
use crate::model::message::{Button, Card, Content};
use crate::redacted::Redacted;
use crate::text::{is_blank, one_line};

/// Room for the introduction of a remark of the bot platform.
const INTRODUCTION: usize = 1_000;

/// A map of the place at these coordinates.
const MAP: &str = "https://www.google.com/maps/search/?api=1&query=";

/// Everything that goes into the lane for a message, each item in its place; nothing for blank words.
///
/// A message on behalf of no user is a remark of the HITL plugin. A single item has the message's own id, several are
/// numbered: `message:<id>#00`, `message:<id>#01`, …, with as many digits as it takes to sort them.
///
/// `participant` is the name of the speaker, if that is not the user of the session.
pub fn items(message: &MessageCreated, participant: Option<&Redacted>, wording: &Wording) -> Vec<(Position, ToAgent)> {
    let label = participant.map(|name| voice::label(name.expose(), wording));
    let contents = match message.on_behalf_of {
        Some(_) => said(&message.content, label.as_deref(), wording),
        None => parts(&readable(&message.content, wording), MAX_BYTES - INTRODUCTION)
            .map(|text| ToAgent::Note { text })
            .collect(),
    };
    let is_single = contents.len() == 1;
    let digits = contents.len().saturating_sub(1).to_string().len().max(2);
    let source_id = |number: usize| match is_single {
        true => format!("message:{}", message.message_id),
        false => format!("message:{}#{number:0digits$}", message.message_id),
    };
    let numbered = contents.into_iter().enumerate();
    numbered.map(|(number, item)| (Position { at: message.created_at, source_id: source_id(number) }, item)).collect()
}

/// What a person said; `other` names the speaker, if that is not the user of the session.
fn said(content: &Content, other: Option<&str>, wording: &Wording) -> Vec<ToAgent> {
    match content {
        Content::Bloc { items } => items.iter().flat_map(|item| said(item, other, wording)).collect(),
        Content::Media { kind, url, title } => {
            let whose = other.map(|name| wording.participant(name, &wording.placeholder(kind)));
            let whose = whose.map(|text| ToAgent::Message { text: text.into(), is_markdown: false });
            let media = Media {
                media_type: kind.clone(),
                url: url.clone(),
                title: title.clone(),
                failed_downloads: 0,
                uploaded_url: None,
            };
            // A longer address does not work anywhere, and an item of the table has no room for a file.
            let shown = match url.expose().len() > MAX_BYTES {
                true => ToAgent::Message { text: media_link(&media, wording), is_markdown: false },
                false => ToAgent::Media(media),
            };
            whose.into_iter().chain([shown]).collect()
        }
        Content::Text { text } => words(text, other, false, wording),
        Content::Markdown { markdown } => words(markdown, other, true, wording),
        composed => {
            let text = readable(composed, wording);
            let named =
                |text: Redacted| other.map_or(text.clone(), |name| wording.participant(name, text.expose()).into());
            parts(&text, MAX_BYTES - INTRODUCTION)
                .map(|text| ToAgent::Message { text: named(text), is_markdown: false })
                .collect()
        }
    }
}

/// A person's own words, none of which can pass for a remark; Markdown that could is shown as it was typed.
fn words(text: &Redacted, other: Option<&str>, is_markdown: bool, wording: &Wording) -> Vec<ToAgent> {
    let limit = MAX_BYTES - if other.is_some() { INTRODUCTION } else { 0 };
    let own = voice::own_parts(text.expose(), limit, wording);
    let is_markdown = is_markdown && own.concat() == text.expose() && !voice::hides_in_markdown(text.expose());
    let named = |text: String| other.map_or(text.clone(), |name| wording.participant(name, &text));
    let said = own.into_iter().filter(|text| !is_blank(text));
    said.map(|text| ToAgent::Message { text: named(text).into(), is_markdown }).collect()
}

fn parts(text: &Redacted, limit: usize) -> impl Iterator<Item = Redacted> {
    split(text.expose(), limit).into_iter().filter(|text| !is_blank(text)).map(Redacted::from)
}

/// A message as one text.
pub fn readable(content: &Content, wording: &Wording) -> Redacted {
    match content {
        Content::Text { text } | Content::Markdown { markdown: text } => text.clone(),
        Content::Media { kind, url, title } => link(kind, title.as_ref(), url.expose(), wording),
        Content::Location { coordinates, title, address } => {
            let names: Vec<_> = [title, address].into_iter().flatten().map(Redacted::expose).collect();
            let name = Some(Redacted::from(names.join(", "))).filter(|_| !names.is_empty());
            link("location", name.as_ref(), &format!("{MAP}{}", coordinates.expose()), wording)
        }
        Content::Cards { cards } => joined(cards.iter().map(|one| card(one, wording))),
        Content::Choice { text, options } => {
            let question = Some(text.clone()).filter(|text| !is_blank(text.expose()));
            joined(question.into_iter().chain(options.iter().map(|option| entry(option, None))))
        }
        Content::Bloc { items } => {
            let all = items.iter().map(|item| readable(item, wording));
            joined(all.filter(|text| !is_blank(text.expose())))
        }
        Content::Other { kind } => wording.placeholder(kind).into(),
    }
}

fn card(card: &Card, wording: &Wording) -> Redacted {
    let heading = match one_line(card.title.expose()) {
        title if is_blank(&title) => wording.placeholder("card"),
        title => format!("{} {title}", wording.placeholder("card")),
    };
    let heading = Redacted::from(heading);
    let image = card.image_url.as_ref().map(|url| link("image", None, url.expose(), wording));
    let buttons = card.buttons.iter().map(|Button { label, url }| entry(label, url.as_ref()));
    let subtitle = card.subtitle.as_ref().map(|text| Redacted::from(one_line(text.expose())));
    joined([Some(heading), subtitle, image].into_iter().flatten().chain(buttons))
}

fn entry(label: &Redacted, url: Option<&Redacted>) -> Redacted {
    let label = one_line(label.expose());
    match url.filter(|url| !carries_credential(url.expose())) {
        Some(url) => format!("- {label}: {}", one_line(url.expose())).into(),
        None => format!("- {label}").into(),
    }
}

/// A file by kind, title and address; without the address if that would give its readers access.
fn link(kind: &str, title: Option<&Redacted>, url: &str, wording: &Wording) -> Redacted {
    if !carries_credential(url) {
        return wording.link(kind, title.map(Redacted::expose), url).into();
    }
    let title = title.map(|title| one_line(title.expose())).filter(|title| !is_blank(title));
    [Some(wording.placeholder(kind)), title].into_iter().flatten().collect::<Vec<_>>().join(" ").into()
}

/// The stand-in for a file that cannot be shown itself, cut to one message: a longer address would not work anyway.
pub fn media_link(media: &Media, wording: &Wording) -> Redacted {
    let link = link(&media.media_type, media.title.as_ref(), media.url.expose(), wording);
    beginning(link.expose(), MAX_BYTES).into()
}

fn joined(lines: impl Iterator<Item = Redacted>) -> Redacted {
    lines.map(Redacted::into_inner).collect::<Vec<_>>().join("\n").into()
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

    fn text(text: &str) -> Content {
        Content::Text { text: text.into() }
    }

    fn said(text: &str) -> ToAgent {
        ToAgent::Message { text: text.into(), is_markdown: false }
    }

    fn image(title: Option<&str>) -> Content {
        Content::Media { kind: "image".to_owned(), url: "https://files/cat.png".into(), title: title.map(Into::into) }
    }

    fn numbered(message: &MessageCreated) -> Vec<(String, ToAgent)> {
        let items = items(message, None, &Wording::default()).into_iter();
        items
            .inspect(|(position, _)| assert_eq!(position.at, message.created_at))
            .map(|(p, item)| (p.source_id, item))
            .collect()
    }

    #[test]
    fn the_users_words_and_the_plugins_remarks_are_told_apart() {
        let single = |item| vec![("message:msg_1".to_owned(), item)];
        assert_eq!(numbered(&message(text("Bye"), Some("user_1"))), single(said("Bye")));
        assert_eq!(numbered(&message(text("Bye"), None)), single(ToAgent::Note { text: "Bye".into() }));
        let shown = ToAgent::Note { text: "[image] https://files/cat.png".into() };
        assert_eq!(numbered(&message(image(None), None)), single(shown));
    }

    #[test]
    fn a_file_is_an_item_of_its_own_and_keeps_its_title() {
        let expected = Media {
            media_type: "image".to_owned(),
            url: "https://files/cat.png".into(),
            title: Some("My cat".into()),
            failed_downloads: 0,
            uploaded_url: None,
        };
        let items = numbered(&message(image(Some("My cat")), Some("user_1")));
        assert_eq!(items, [("message:msg_1".to_owned(), ToAgent::Media(expected))]);
    }

    #[test]
    fn a_link_fits_into_one_message_whatever_its_address() {
        let media = |url: &str| Media {
            media_type: "image".to_owned(),
            url: url.into(),
            title: Some("Cat".into()),
            failed_downloads: 0,
            uploaded_url: None,
        };
        assert_eq!(media_link(&media("https://f/c"), &Wording::default()).expose(), "[image] Cat: https://f/c");
        let endless = format!("data:image/png;base64,{}", "A".repeat(100_000));
        let link = media_link(&media(&endless), &Wording::default());
        assert!(link.expose().len() == MAX_BYTES && link.expose().starts_with("[image] Cat: data:"));
    }

    #[test]
    fn an_address_with_a_key_in_it_is_left_out() {
        let key = || Redacted::from("https://ann:geheim@files.example.com/a.png");
        let media = |title: Option<&str>| Media {
            media_type: "image".to_owned(),
            url: key(),
            title: title.map(Into::into),
            failed_downloads: 0,
            uploaded_url: None,
        };
        assert_eq!(media_link(&media(Some("My\ncat")), &Wording::default()).expose(), "[image] My cat");
        assert_eq!(media_link(&media(None), &Wording::default()).expose(), "[image]");
        let buttons = vec![Button { label: "Open".into(), url: Some(key()) }];
        let bill = Card { title: "Bill".into(), subtitle: None, image_url: Some(key()), buttons };
        let cards = readable(&Content::Cards { cards: vec![bill] }, &Wording::default());
        assert_eq!(cards.expose(), "[card] Bill\n[image]\n- Open");
    }

    #[test]
    fn a_bloc_is_its_items_in_order() {
        let bloc =
            Content::Bloc { items: vec![text("Look:"), image(None), Content::Markdown { markdown: "*fine*".into() }] };
        let items = numbered(&message(bloc, Some("user_1")));
        let ids: Vec<_> = items.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["message:msg_1#00", "message:msg_1#01", "message:msg_1#02"]);
        assert_eq!(items[0].1, said("Look:"));
        assert!(matches!(&items[1].1, ToAgent::Media(media) if media.media_type == "image"));
        assert_eq!(items[2].1, ToAgent::Message { text: "*fine*".into(), is_markdown: true });
    }

    #[test]
    fn a_long_text_is_several_items_that_sort_in_order() {
        let long: String = (0..1_700_000).map(|n| char::from(b'a' + u8::try_from(n % 26).unwrap())).collect();
        let items = numbered(&message(text(&long), Some("user_1")));
        assert_eq!((items.len(), items[0].0.as_str()), (107, "message:msg_1#000"));
        assert!(items.is_sorted_by(|a, b| a.0 < b.0));
        let whole: String = items
            .iter()
            .map(|(_, item)| match item {
                ToAgent::Message { text, .. } => text.expose(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(whole, long);
    }

    #[test]
    fn a_long_remark_leaves_room_for_its_introduction() {
        for (_, item) in items(&message(text(&"ü".repeat(20_000)), None), None, &Wording::default()) {
            let ToAgent::Note { text } = item else { panic!("{item:?}") };
            assert!(Wording::default().note(text.expose()).unwrap().len() <= MAX_BYTES);
        }
    }

    #[test]
    fn what_is_not_text_is_readable_all_the_same() {
        let location = |title: Option<&str>, address: Option<&str>| Content::Location {
            coordinates: "52.5,13.4".into(),
            title: title.map(Into::into),
            address: address.map(Into::into),
        };
        let tea = Card {
            title: "Tea".into(),
            subtitle: Some("Green".into()),
            image_url: Some("https://i".into()),
            buttons: vec![
                Button { label: "Shop".into(), url: Some("https://s".into()) },
                Button { label: "More".into(), url: None },
            ],
        };
        let coffee = Card { title: "Coffee".into(), subtitle: None, image_url: None, buttons: Vec::new() };
        let cards = vec![tea, coffee];
        for (content, expected) in [
            (text("Hi"), "Hi"),
            (Content::Markdown { markdown: "*Hi*".into() }, "*Hi*"),
            (image(Some("My cat")), "[image] My cat: https://files/cat.png"),
            (image(None), "[image] https://files/cat.png"),
            (
                location(Some("Here"), Some("1 Road")),
                "[location] Here, 1 Road: https://www.google.com/maps/search/?api=1&query=52.5,13.4",
            ),
            (location(None, None), "[location] https://www.google.com/maps/search/?api=1&query=52.5,13.4"),
            (
                Content::Cards { cards },
                "[card] Tea\nGreen\n[image] https://i\n- Shop: https://s\n- More\n[card] Coffee",
            ),
            (Content::Choice { text: "Which?".into(), options: vec!["A".into(), "B".into()] }, "Which?\n- A\n- B"),
            (Content::Other { kind: "hologram".to_owned() }, "[hologram]"),
            (Content::Bloc { items: vec![text("Look:"), image(None)] }, "Look:\n[image] https://files/cat.png"),
        ] {
            assert_eq!(readable(&content, &Wording::default()).expose(), expected);
        }
    }
}
