//! What an agent says, in a form that suits any bot platform.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::rich;
use super::wording::Wording;
use crate::livechat;
use crate::redacted::Redacted;
use crate::text::is_blank;

/// How many bytes of a fingerprint are kept: enough to distinguish two versions of one message.
const REVISION_BYTES: usize = 6;

/// A message of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum MessageContent {
    /// Text, which can contain Markdown.
    Text {
        /// The text.
        text: Redacted,
    },
    /// A file.
    Media {
        /// How it is shown.
        #[serde(rename = "media")]
        kind: MediaKind,
        /// Where to fetch it.
        url: Redacted,
        /// Its name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<Redacted>,
    },
    /// A message that cannot be read.
    Unreadable,
    /// Something that cannot be shown.
    Placeholder {
        /// LiveChat's name for it.
        of: String,
    },
}

/// How a file is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A recording.
    Audio,
    /// A video.
    Video,
    /// Anything else.
    File,
}

impl MediaKind {
    /// The kind for a media type, such as `image/png`.
    pub fn of(content_type: Option<&str>) -> Self {
        match content_type.and_then(|content_type| content_type.split_once('/')).map(|(kind, _)| kind) {
            Some(kind) if kind.eq_ignore_ascii_case("image") => Self::Image,
            Some(kind) if kind.eq_ignore_ascii_case("audio") => Self::Audio,
            Some(kind) if kind.eq_ignore_ascii_case("video") => Self::Video,
            _ => Self::File,
        }
    }

    /// `image`, `audio`, `video` or `file`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::File => "file",
        }
    }
}

impl MessageContent {
    /// A text.
    pub fn text(text: impl Into<Redacted>) -> Self {
        Self::Text { text: text.into() }
    }

    /// What an event of LiveChat shows to a customer; `None` for system messages, forms and the like.
    pub fn of(content: &livechat::Content) -> Option<Self> {
        match content {
            livechat::Content::Message { text } if is_blank(text.expose()) => None,
            livechat::Content::Message { text } => Some(Self::Text { text: text.clone() }),
            livechat::Content::File { url, .. } if is_blank(url.expose()) => None,
            livechat::Content::File { url, name, content_type, alternative_text, .. } => Some(Self::Media {
                kind: MediaKind::of(content_type.as_deref()),
                url: absolute(url.expose()).into(),
                name: [name, alternative_text].into_iter().flatten().find(|name| !is_blank(name.expose())).cloned(),
            }),
            livechat::Content::RichMessage { template_id, elements } => {
                let placeholder =
                    || Self::Placeholder { of: template_id.clone().unwrap_or_else(|| "rich_message".to_owned()) };
                let shown = rich::markdown(elements).map(Self::text);
                shown.or_else(|| (!rich::has_words(elements)).then(placeholder))
            }
            livechat::Content::Unreadable { kind } if kind == "message" => Some(Self::Unreadable),
            livechat::Content::Unreadable { kind } => Some(Self::Placeholder { of: kind.clone() }),
            livechat::Content::SystemMessage { .. } | livechat::Content::Other { .. } => None,
        }
    }

    /// The message as plain text, for platforms that show nothing else.
    pub fn as_text(&self, wording: &Wording) -> String {
        match self {
            Self::Text { text } => text.expose().to_owned(),
            Self::Media { kind, url, name } => {
                wording.link(kind.name(), name.as_ref().map(Redacted::expose), url.expose())
            }
            Self::Unreadable => wording.unreadable(),
            Self::Placeholder { of } => wording.placeholder(of),
        }
    }

    /// The message as a correction of an earlier version; `None` where corrections are switched off.
    pub fn corrected(&self, wording: &Wording) -> Option<Self> {
        let announced = wording.correction(&self.as_text(wording))?;
        match self {
            // A file needs no announcement.
            Self::Media { .. } => Some(self.clone()),
            Self::Text { .. } | Self::Unreadable | Self::Placeholder { .. } => Some(Self::text(announced)),
        }
    }

    /// A fingerprint of the content, which distinguishes a change from a repeat.
    pub fn revision(&self) -> String {
        let shown = match self {
            Self::Text { text } => ["text", text.expose()],
            Self::Media { kind, url, .. } => [kind.name(), url.expose()],
            Self::Unreadable => ["unreadable", ""],
            Self::Placeholder { of } => ["placeholder", of],
        };
        let digest = Sha256::digest(shown.join("\0"));
        URL_SAFE_NO_PAD.encode(digest.get(..REVISION_BYTES).unwrap_or_default())
    }
}

/// An address with its scheme, which some of LiveChat's own addresses lack.
pub(super) fn absolute(url: &str) -> String {
    let has_scheme = url.split_once(':').is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme.chars().all(|character| character.is_ascii_alphanumeric() || "+-".contains(character))
    });
    if has_scheme { url.to_owned() } else { format!("https://{}", url.trim_start_matches('/')) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::wording::{Defaults, Wordings};
    use crate::ids::GroupId;

    #[test]
    fn a_file_is_shown_by_its_media_type() {
        for (content_type, expected) in [
            (Some("image/png"), MediaKind::Image),
            (Some("Image/PNG"), MediaKind::Image),
            (Some("audio/mpeg"), MediaKind::Audio),
            (Some("video/mp4; codecs=x"), MediaKind::Video),
            (Some("application/pdf"), MediaKind::File),
            (Some("image"), MediaKind::File),
            (Some(""), MediaKind::File),
            (None, MediaKind::File),
        ] {
            assert_eq!(MediaKind::of(content_type), expected, "{content_type:?}");
        }
    }

    #[test]
    fn an_address_gets_the_scheme_that_it_lacks() {
        for (url, expected) in [
            ("https://cdn.example/a", "https://cdn.example/a"),
            ("http://127.0.0.1:1/a", "http://127.0.0.1:1/a"),
            ("//cdn.example/a", "https://cdn.example/a"),
            ("cdn.example/a:b", "https://cdn.example/a:b"),
        ] {
            assert_eq!(absolute(url), expected);
        }
    }

    #[test]
    fn two_versions_are_told_apart_by_what_is_shown() {
        let media = |url: &str, name: &str| MessageContent::Media {
            kind: MediaKind::Image,
            url: url.into(),
            name: Some(name.into()),
        };
        assert_eq!(media("u", "a").revision(), media("u", "b").revision());
        assert_ne!(media("u", "a").revision(), media("v", "a").revision());
        assert_ne!(MessageContent::text("u").revision(), MessageContent::text("v").revision());
    }

    #[test]
    fn a_correction_is_announced_unless_that_is_switched_off() {
        let text = MessageContent::text("the");
        assert_eq!(text.corrected(&Wording::default()), Some(MessageContent::text("Correction: the")));
        let silent = Wordings::parse(r#"{"correction":""}"#, Defaults::default()).unwrap();
        let silent = silent.of(None, GroupId(0)).clone();
        assert_eq!(text.corrected(&silent), None);
    }
}
