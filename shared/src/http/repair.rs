//! Makes JSON readable: half an emoji, and bytes that are not text, become U+FFFD.
//!
//! An emoji is two escapes, `\ud83d\ude00`. A text that is cut in the middle of them keeps one, which is not a character;
//! JSON allows that, Unicode decoders do not.

use std::borrow::Cow;

/// `\ufffd`, as long as the escape that it replaces.
const REPLACEMENT: &[u8; 6] = br"\ufffd";

/// The same document in valid Unicode; a valid one is not copied.
///
/// Signatures cover the bytes that were sent, so they are checked before this.
pub(crate) fn repaired(json: &[u8]) -> Cow<'_, [u8]> {
    let text = match String::from_utf8_lossy(json) {
        Cow::Borrowed(_) => Cow::Borrowed(json),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    };
    let halves = halves(&text);
    if halves.is_empty() {
        return text;
    }
    let mut whole = text.into_owned();
    for at in halves {
        if let Some(escape) = whole.get_mut(at..at + REPLACEMENT.len()) {
            escape.copy_from_slice(REPLACEMENT);
        }
    }
    Cow::Owned(whole)
}

/// The positions of the escapes that are half a pair.
fn halves(json: &[u8]) -> Vec<usize> {
    let (mut halves, mut at) = (Vec::new(), 0);
    while let Some(offset) = json.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        let escape = at + offset;
        // Skips two bytes of any other escape, so that `\\ud83d` is not mistaken for one.
        at = escape + 2;
        match unit(json, escape) {
            Some(0xD800..=0xDBFF) if matches!(unit(json, escape + 6), Some(0xDC00..=0xDFFF)) => at = escape + 12,
            Some(0xD800..=0xDFFF) => halves.push(escape),
            Some(_) | None => {}
        }
    }
    halves
}

/// The value of an escape `\uXXXX` at this position.
fn unit(json: &[u8], at: usize) -> Option<u32> {
    let digits = json.get(at..at + 6)?.strip_prefix(br"\u")?;
    let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn read(json: &[u8]) -> String {
        let value: Value = serde_json::from_slice(&repaired(json)).unwrap();
        value.as_str().unwrap().to_owned()
    }

    #[test]
    fn half_an_emoji_becomes_a_replacement_and_a_whole_one_stays() {
        for (json, expected) in [
            (&br#""a\ud83d""#[..], "a\u{fffd}"),
            (br#""\ud83db""#, "\u{fffd}b"),
            (br#""\ude00""#, "\u{fffd}"),
            (br#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            (br#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (br#""\uD83D\uDE00\u00e9""#, "\u{1f600}é"),
            (br#""\ud83d\n\ude00""#, "\u{fffd}\n\u{fffd}"),
            (br#""\\ud83d""#, r"\ud83d"),
            (br#""\\\ud83d""#, "\\\u{fffd}"),
            (b"\"\xed\xa0\xbd\"", "\u{fffd}\u{fffd}\u{fffd}"),
            ("\"é😀\"".as_bytes(), "é😀"),
        ] {
            assert_eq!(read(json), expected, "{}", String::from_utf8_lossy(json));
        }
    }

    #[test]
    fn what_is_whole_is_not_copied_and_what_is_cut_off_does_no_harm() {
        assert!(matches!(repaired(br#"{"a":"\ud83d\ude00"}"#), Cow::Borrowed(_)));
        for cut in [&br"\"[..], br"\u", br"\ud83", br"\ud83d", br"\ud83d\", br"\ud83d\ude0", b""] {
            let _ = repaired(cut);
        }
    }
}
