//! Splits texts that are longer than the other side takes.

use unicode_segmentation::GraphemeCursor;

/// LiveChat's limit for one message is 16 KB, either 16,000 or 16,384 bytes; this is within both.
pub const MAX_BYTES: usize = 16_000;

/// Places to break at, the best one first.
const BREAKS: [&str; 3] = ["\n\n", "\n", " "];

/// Cuts `text` into parts of at most `limit` bytes, which add up to `text` again.
///
/// A part ends at a paragraph, else a line, else a word, as long as that leaves it at least half full; else between two
/// characters as readers see them (grapheme clusters). Only a cluster that is itself longer than `limit` is cut, between two
/// code points. A limit below 4 bytes counts as 4.
pub fn split(text: &str, limit: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while rest.len() > limit.max(4) {
        let (part, left) = rest.split_at(cut(rest, limit));
        parts.push(part);
        rest = left;
    }
    if !rest.is_empty() || parts.is_empty() {
        parts.push(rest);
    }
    parts
}

/// The longest beginning of `text` that has at most `limit` bytes and ends between two grapheme clusters.
pub fn beginning(text: &str, limit: usize) -> &str {
    text.get(..boundary_up_to(text, limit)).unwrap_or_default()
}

fn cut(text: &str, limit: usize) -> usize {
    let end = boundary_up_to(text, limit);
    if end == 0 {
        return text.floor_char_boundary(limit.max(4));
    }
    let window = text.get(..end).unwrap_or_default();
    let mut ends = BREAKS.iter().filter_map(|at| window.rfind(at).map(|position| position + at.len()));
    // A combining mark after a blank belongs to the blank: no break there.
    ends.find(|position| *position >= end / 2 && boundary_up_to(text, *position) == *position).unwrap_or(end)
}

/// The last boundary between grapheme clusters at or before `limit`.
fn boundary_up_to(text: &str, limit: usize) -> usize {
    if limit >= text.len() {
        return text.len();
    }
    let offset = text.floor_char_boundary(limit);
    let mut cursor = GraphemeCursor::new(offset, text.len(), true);
    // The complete text is given, so neither call can ask for more context.
    match cursor.is_boundary(text, 0) {
        Ok(true) => offset,
        _ => cursor.prev_boundary(text, 0).ok().flatten().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use unicode_segmentation::UnicodeSegmentation as _;

    use super::*;

    /// Pieces to build texts from: words, breaks, and clusters of several code points.
    const PIECES: [&str; 24] = [
        "a",
        "word ",
        " ",
        "\n",
        "\n\n",
        "\r\n",
        ". ",
        "ä",
        "e\u{301}",
        "日本",
        "\u{301}",
        "👍🏽",
        "🇩🇪",
        "🇩",
        "👩‍👩‍👧‍👦",
        "🏴‍☠️",
        "\u{200d}",
        "नि",
        "각",
        "\u{1100}\u{1161}",
        " \u{301}",
        "\t",
        "x\u{323}\u{307}",
        "\u{0}",
    ];

    fn check(text: &str, limit: usize) {
        let parts = split(text, limit);
        assert_eq!(parts.concat(), text);
        let boundaries: BTreeSet<usize> = text.grapheme_indices(true).map(|(at, _)| at).collect();
        let too_long: Vec<_> = text
            .grapheme_indices(true)
            .filter(|(_, cluster)| cluster.len() > limit)
            .map(|(at, c)| at..at + c.len())
            .collect();
        let mut at = 0;
        for part in parts {
            assert!(part.len() <= limit && (!part.is_empty() || text.is_empty()), "{part:?} of {text:?} at {limit}");
            let is_whole = boundaries.contains(&at) || text.is_empty();
            assert!(
                is_whole || too_long.iter().any(|cluster| cluster.contains(&at)),
                "{part:?} of {text:?} at {limit}"
            );
            at += part.len();
        }
    }

    #[test]
    fn random_texts_are_cut_within_the_limit_between_clusters_and_lose_nothing() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..100_000 {
            let pieces = random.usize(..32);
            let text: String = (0..pieces).filter_map(|_| random.choice(PIECES)).collect();
            check(&text, random.usize(4..64));
        }
    }

    #[test]
    fn a_cluster_that_is_longer_than_the_limit_is_cut_between_code_points_and_nothing_else_is() {
        let endless = format!("before e{} after", "\u{301}".repeat(20_000));
        check(&endless, MAX_BYTES);
        check(&"👩‍👩‍👧‍👦".repeat(5_000), MAX_BYTES);
        check(&"🇩🇪".repeat(5_000), MAX_BYTES);
        check("👩‍👩‍👧‍👦", 4);
    }

    #[test]
    fn a_part_ends_where_a_reader_would_pause() {
        for (text, limit, expected) in [
            ("short", 10, vec!["short"]),
            ("", 10, vec![""]),
            ("one two three", 8, vec!["one two ", "three"]),
            ("one\ntwo three", 10, vec!["one\ntwo ", "three"]),
            ("one two\nthree", 10, vec!["one two\n", "three"]),
            ("one a\n\nb\nthree", 10, vec!["one a\n\n", "b\nthree"]),
            ("a bcdefghijkl", 10, vec!["a bcdefghi", "jkl"]),
            ("abcdefghi\u{301}", 9, vec!["abcdefgh", "i\u{301}"]),
        ] {
            assert_eq!(split(text, limit), expected, "{text:?}");
        }
    }

    #[test]
    fn a_beginning_ends_between_clusters() {
        assert_eq!(beginning("abc", 2), "ab");
        assert_eq!(beginning("abc", 3), "abc");
        assert_eq!(beginning("ae\u{301}", 2), "a");
        assert_eq!(beginning("👩‍👩‍👧‍👦", 10), "");
    }
}
