//! LiveChat's rich messages (cards, quick replies, stickers) as Markdown.

use crate::livechat::{RichButton, RichElement};
use crate::redacted::Redacted;
use crate::text::is_blank;

/// All elements, one paragraph each, with their pictures and links; `None` if there is nothing to read.
///
/// A button that opens something becomes a link; one that would answer for the customer becomes a choice in a list.
pub(crate) fn markdown(elements: &[RichElement]) -> Option<String> {
    let paragraphs: Vec<String> = elements.iter().map(paragraph).filter(|text| !text.is_empty()).collect();
    Some(paragraphs.join("\n\n")).filter(|text| !text.is_empty())
}

/// Whether an element has texts at all, even blank ones.
pub(crate) fn has_words(elements: &[RichElement]) -> bool {
    let has_words = |element: &RichElement| {
        let on_buttons = element.buttons.iter().any(|button| button.text.is_some());
        element.title.is_some() || element.subtitle.is_some() || on_buttons
    };
    elements.iter().any(has_words)
}

fn paragraph(element: &RichElement) -> String {
    let title = line(element.title.as_ref());
    let picture = element.image.as_ref().map(|image| line(Some(&image.url))).filter(|url| !url.is_empty());
    let mut lines = Vec::new();
    if !title.is_empty() {
        lines.push(format!("**{}**", escaped(&title)));
    }
    lines.extend(element.subtitle.as_ref().map(|text| text.expose().trim().to_owned()).filter(|text| !is_blank(text)));
    lines.extend(picture.map(|url| format!("!{}", link(&title, &url))));
    lines.extend(element.buttons.iter().map(button).filter(|text| !text.is_empty()).map(|text| format!("- {text}")));
    lines.join("\n")
}

fn button(button: &RichButton) -> String {
    let (text, value) = (line(button.text.as_ref()), line(button.value.as_ref()));
    match button.kind.as_deref() {
        Some("url" | "webview") if !value.is_empty() => link(label(&text, &value), &value),
        Some("phone") if !value.is_empty() => format!("{} {}", escaped(&text), value).trim().to_owned(),
        None if value.contains("://") => link(label(&text, &value), &value),
        _ if text.is_empty() => escaped(&value),
        _ => escaped(&text),
    }
}

const fn label<'a>(text: &'a str, value: &'a str) -> &'a str {
    if text.is_empty() { value } else { text }
}

/// `[text](address)`, with the address in angle brackets where it would otherwise end too early.
fn link(text: &str, url: &str) -> String {
    let url = url.replace('<', "%3C").replace('>', "%3E");
    let target = if url.contains(['(', ')', ' ']) { format!("<{url}>") } else { url };
    format!("[{}]({target})", escaped(text))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if "\\[]*".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Without line breaks, which would end a heading, a link or an entry of a list; empty if nothing is visible.
fn line(text: Option<&Redacted>) -> String {
    let text = text.map(Redacted::expose).filter(|text| !is_blank(text));
    text.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::livechat::RichImage;

    fn choice(text: &str, kind: Option<&str>, value: Option<&str>) -> RichButton {
        RichButton { text: Some(text.into()), kind: kind.map(str::to_owned), value: value.map(Into::into) }
    }

    #[test]
    fn cards_keep_their_pictures_and_links_and_list_their_choices() {
        let first = RichElement {
            title: Some("Blue [XL]".into()),
            subtitle: Some("Our *best* one".into()),
            image: Some(RichImage { url: "https://i/blue.png".into() }),
            buttons: vec![
                choice("Buy", Some("url"), Some("https://shop/?a=(1)")),
                choice("Look", Some("webview"), Some("https://shop/2")),
                choice("Call", Some("phone"), Some("+48 500")),
                choice("Not for me", Some("message"), Some("no")),
            ],
        };
        let second = RichElement { buttons: vec![choice("Old", None, None)], ..RichElement::default() };
        assert_eq!(
            markdown(&[first, second]).unwrap(),
            "**Blue \\[XL\\]**\nOur *best* one\n![Blue \\[XL\\]](https://i/blue.png)\n- [Buy](<https://shop/?a=(1)>)\n\
             - [Look](https://shop/2)\n- Call +48 500\n- Not for me\n\n- Old"
        );
    }

    #[test]
    fn a_sticker_is_its_picture() {
        let sticker =
            RichElement { image: Some(RichImage { url: "https://i/s.png".into() }), ..RichElement::default() };
        assert_eq!(markdown(&[sticker]).unwrap(), "![](https://i/s.png)");
    }

    /// Texts that could break the Markdown.
    const PIECES: [&str; 14] = ["a", "[", "]", "(", ")", "*", "\\", "\n", " ", "<", ">", "ż", "👩‍👩‍👧", "](https://evil)"];

    #[test]
    fn whatever_it_holds_nothing_panics_and_every_link_is_kept() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for round in 0..20_000 {
            let mut links = Vec::new();
            let elements: Vec<_> = (0..random.usize(0..=3)).map(|_| element(&mut random, &mut links)).collect();
            let shown = markdown(&elements).unwrap_or_default();
            for link in links {
                assert!(shown.contains(&link), "seed {seed}, round {round}: {link} is missing in {shown}");
            }
        }
    }

    fn element(random: &mut fastrand::Rng, links: &mut Vec<String>) -> RichElement {
        let title = random.bool().then(|| text(random).into());
        let subtitle = random.bool().then(|| text(random).into());
        let image = random.bool().then(|| RichImage { url: url(random, links).into() });
        let buttons = (0..random.usize(0..=4)).map(|_| {
            let kind = random.choice([None, Some("url"), Some("webview"), Some("message"), Some("phone"), Some("new")]);
            let kind = kind.flatten();
            let value = match kind {
                None | Some("url" | "webview") => url(random, links),
                Some(_) => text(random),
            };
            RichButton {
                text: random.bool().then(|| text(random).into()),
                kind: kind.map(str::to_owned),
                value: Some(value.into()),
            }
        });
        let buttons = buttons.collect();
        RichElement { title, subtitle, image, buttons }
    }

    fn text(random: &mut fastrand::Rng) -> String {
        (0..random.usize(0..8)).filter_map(|_| random.choice(PIECES)).collect()
    }

    fn url(random: &mut fastrand::Rng, links: &mut Vec<String>) -> String {
        let url = format!("https://example.com/{}?q=({})", random.u32(..), random.alphanumeric());
        links.push(url.clone());
        url
    }

    #[test]
    fn what_has_nothing_to_read_is_nothing() {
        assert_eq!(markdown(&[]), None);
        assert_eq!(markdown(&[RichElement { title: Some(" ".into()), ..RichElement::default() }]), None);
    }
}
