//! A file's name and type, as far as they are declared.

use http::{HeaderMap, HeaderName, header};
use percent_encoding::percent_decode_str;
use reqwest::Url;

use crate::text::is_blank;

const UNKNOWN_TYPE: &str = "application/octet-stream";

/// The longest name, in bytes; file systems allow little more.
const MAX_NAME_BYTES: usize = 120;

/// Extensions and their types; the first one of a type is the usual one.
const TYPES: [(&str, &str); 39] = [
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("png", "image/png"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("svg", "image/svg+xml"),
    ("heic", "image/heic"),
    ("bmp", "image/bmp"),
    ("tiff", "image/tiff"),
    ("mp3", "audio/mpeg"),
    ("ogg", "audio/ogg"),
    ("oga", "audio/ogg"),
    ("opus", "audio/ogg"),
    ("wav", "audio/wav"),
    ("m4a", "audio/mp4"),
    ("aac", "audio/aac"),
    ("amr", "audio/amr"),
    ("weba", "audio/webm"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("mov", "video/quicktime"),
    ("3gp", "video/3gpp"),
    ("ogv", "video/ogg"),
    ("pdf", "application/pdf"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("csv", "text/csv"),
    ("html", "text/html"),
    ("xml", "application/xml"),
    ("json", "application/json"),
    ("zip", "application/zip"),
    ("rtf", "application/rtf"),
    ("doc", "application/msword"),
    ("xls", "application/vnd.ms-excel"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("odt", "application/vnd.oasis.opendocument.text"),
];

/// What a server declared about a file: its headers, and the last part of its address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    content_type: Option<String>,
    /// From `Content-Disposition`.
    given_name: Option<String>,
    /// The last part of the address.
    path_name: Option<String>,
}

impl Declared {
    pub(super) fn new(headers: &HeaderMap, url: &Url) -> Self {
        let text =
            |name: HeaderName| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let last = url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
        Self {
            content_type: text(header::CONTENT_TYPE).and_then(|value| essence(&value)),
            given_name: text(header::CONTENT_DISPOSITION).and_then(|value| file_name(&value)),
            path_name: Some(percent_decode_str(last).decode_utf8_lossy().into_owned()),
        }
    }

    /// The file's type: as declared, else by its extension, else unknown.
    pub fn content_type(&self) -> String {
        let by_extension = || self.names().find_map(|name| type_of(extension(name)?));
        let declared = self.content_type.as_deref().filter(|declared| *declared != UNKNOWN_TYPE);
        declared.or_else(by_extension).unwrap_or(UNKNOWN_TYPE).to_owned()
    }

    /// The file's name: its title, else the declared name, else from its address, else its kind; with an extension, if one is
    /// known.
    pub fn name(&self, title: Option<&str>, kind: &str) -> String {
        let candidates = title.into_iter().chain(self.names()).chain([kind]).map(clean);
        let name = candidates.into_iter().find(|name| !is_blank(name)).unwrap_or_default();
        let usual =
            || TYPES.iter().find(|(_, known)| Some(*known) == self.content_type.as_deref()).map(|(known, _)| *known);
        let wanted = self.names().find_map(extension).or_else(usual);
        match (extension(&name), wanted) {
            // What looks like an extension may be the end of a sentence.
            (Some(own), Some(wanted)) if type_of(own).is_some() || own.eq_ignore_ascii_case(wanted) => {
                shortened(&name, own)
            }
            (_, Some(wanted)) => shortened(&format!("{name}.{wanted}"), wanted),
            (own, None) => shortened(&name, own.unwrap_or_default()),
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        [&self.given_name, &self.path_name].into_iter().flatten().map(String::as_str)
    }
}

fn type_of(extension: &str) -> Option<&'static str> {
    TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension)).map(|(_, content_type)| *content_type)
}

/// The part after the last dot, if it consists of one to eight letters and digits with at least one letter.
fn extension(name: &str) -> Option<&str> {
    let (stem, extension) = name.trim_end().rsplit_once('.')?;
    let is_plain = extension.chars().all(|c| c.is_ascii_alphanumeric());
    let has_letter = extension.contains(|c: char| c.is_ascii_alphabetic());
    (!is_blank(stem) && extension.len() <= 8 && is_plain && has_letter).then_some(extension)
}

/// The `type/subtype` of a content type, if it is valid.
fn essence(value: &str) -> Option<String> {
    let essence = value.split(';').next()?.trim().to_ascii_lowercase();
    let is_token =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$&^_.+-".contains(c));
    let (kind, subtype) = essence.split_once('/')?;
    (is_token(kind) && is_token(subtype)).then_some(essence)
}

/// The file name of a `Content-Disposition`; the extended form wins.
fn file_name(value: &str) -> Option<String> {
    let parameters: Vec<_> = parameters(value);
    let named =
        |wanted: &str| parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value);
    let extended = named("filename*").and_then(|value| {
        let mut parts = value.splitn(3, '\'');
        let is_utf8 = parts.next()?.eq_ignore_ascii_case("utf-8");
        let encoded = parts.nth(1)?;
        is_utf8.then(|| percent_decode_str(encoded).decode_utf8_lossy().into_owned())
    });
    extended.or_else(|| named("filename").cloned()).filter(|name| !is_blank(name))
}

/// The `name=value` pairs after the first semicolon; a quoted value can contain semicolons and escapes.
fn parameters(value: &str) -> Vec<(String, String)> {
    let mut parameters = vec![String::new()];
    let (mut is_quoted, mut is_escaped) = (false, false);
    for c in value.chars() {
        match c {
            c if is_escaped => parameters.last_mut().into_iter().for_each(|text| text.push(c)),
            '\\' if is_quoted => {
                is_escaped = true;
                continue;
            }
            '"' => is_quoted = !is_quoted,
            ';' if !is_quoted => parameters.push(String::new()),
            c => parameters.last_mut().into_iter().for_each(|text| text.push(c)),
        }
        is_escaped = false;
    }
    let pair =
        |text: String| text.split_once('=').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
    parameters.into_iter().skip(1).filter_map(pair).collect()
}

/// A name without folders, and without characters that could disguise it.
fn clean(name: &str) -> String {
    let is_invisible =
        |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let plain = name.chars().filter(|c| !c.is_control() && !is_invisible(*c));
    let plain: String = plain.map(|c| if r#"/\:*?"<>|"#.contains(c) { '_' } else { c }).collect();
    plain.trim_matches(|c: char| c.is_whitespace() || c == '.').to_owned()
}

/// A name with its extension; the stem is cut if it is too long.
fn shortened(name: &str, extension: &str) -> String {
    if name.len() <= MAX_NAME_BYTES {
        return name.to_owned();
    }
    let room = MAX_NAME_BYTES.saturating_sub(extension.len() + 1);
    let stem = name.get(..name.floor_char_boundary(room)).unwrap_or_default();
    if extension.is_empty() { stem.to_owned() } else { format!("{stem}.{extension}") }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn declared(url: &str, content_type: Option<&str>, disposition: Option<&str>) -> Declared {
        let mut headers = HeaderMap::new();
        for (name, value) in [(header::CONTENT_TYPE, content_type), (header::CONTENT_DISPOSITION, disposition)] {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
        }
        Declared::new(&headers, &Url::parse(url).unwrap())
    }

    #[test]
    fn name_extension_and_type_survive() {
        let long = "ä".repeat(100);
        let cut = format!("{}.pdf", "ä".repeat(58));
        for (url, content_type, disposition, title, kind, expected) in [
            ("https://f/a/cat.png", Some("image/png"), None, None, "image", ("cat.png", "image/png")),
            ("https://f/cat.png?v=1", None, None, None, "image", ("cat.png", "image/png")),
            ("https://f/1234", Some("image/jpeg"), None, None, "image", ("1234.jpg", "image/jpeg")),
            ("https://f/", Some("image/webp"), None, None, "image", ("image.webp", "image/webp")),
            ("https://f/", None, None, None, "file", ("file", UNKNOWN_TYPE)),
            (
                "https://f/x.pdf",
                Some("application/octet-stream"),
                None,
                Some("Bill"),
                "file",
                ("Bill.pdf", "application/pdf"),
            ),
            (
                "https://f/x.pdf",
                Some("application/pdf"),
                None,
                Some("bill.PDF"),
                "file",
                ("bill.PDF", "application/pdf"),
            ),
            (
                "https://f/x.pdf",
                Some("application/pdf"),
                None,
                Some("Bill. Please"),
                "file",
                ("Bill. Please.pdf", "application/pdf"),
            ),
            ("https://f/1", Some("audio/ogg; codecs=opus"), None, Some("v1.5"), "audio", ("v1.5.ogg", "audio/ogg")),
            ("https://f/%C3%BC%20b.csv", Some("text/csv;charset=utf-8"), None, None, "file", ("ü b.csv", "text/csv")),
            (
                "https://f/1",
                Some("nonsense"),
                Some("attachment; filename=\"a;b\\\".docx\""),
                None,
                "file",
                ("a;b_.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
            ),
            (
                "https://f/1",
                Some("a/b"),
                Some("inline; filename=x.txt; FileName*=utf-8''%e2%82%ac.txt"),
                None,
                "file",
                ("€.txt", "a/b"),
            ),
            (
                "https://f/1",
                None,
                Some("attachment; filename*=iso-8859-1''x; filename=plain.zip"),
                None,
                "file",
                ("plain.zip", "application/zip"),
            ),
            (
                "https://f/1",
                None,
                Some("attachment"),
                Some("../../etc/passwd"),
                "file",
                ("_.._etc_passwd", UNKNOWN_TYPE),
            ),
            ("https://f/..%2f..%2fx.gif", None, None, None, "image", ("_.._x.gif", "image/gif")),
            (
                "https://f/x.exe",
                None,
                None,
                Some("harmless\u{202e}gpj.exe\n"),
                "file",
                ("harmlessgpj.exe", UNKNOWN_TYPE),
            ),
            ("https://f/x.odd", None, None, Some("my.odd"), "file", ("my.odd", UNKNOWN_TYPE)),
            ("https://f/x", None, None, Some("my.thing"), "file", ("my.thing", UNKNOWN_TYPE)),
            ("https://f/x.pdf", None, None, Some(" . "), "file", ("x.pdf", "application/pdf")),
            ("https://f/.png", None, None, Some(&long), "image", (&"ä".repeat(60)[..118], UNKNOWN_TYPE)),
            ("https://f/a.pdf", None, None, Some(&long), "file", (&cut, "application/pdf")),
        ] {
            let declared = declared(url, content_type, disposition);
            assert_eq!(
                (declared.name(title, kind).as_str(), declared.content_type().as_str()),
                expected,
                "{url} {title:?}"
            );
        }
    }
}
