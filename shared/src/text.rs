//! Untrusted texts: which characters readers see as line breaks, and which they do not see at all.

/// Whether some readers show a line break here.
pub const fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Whether it is invisible but may change how the rest is shown: control characters and marks of direction.
///
/// Joiners and variation selectors are not included; names and emojis need them.
pub fn is_unseen(c: char) -> bool {
    let is_format = matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    );
    is_format || (c.is_control() && !is_break(c) && c != '\t')
}

/// Whether it is invisible by itself but belongs to its neighbours: joiners, variation selectors, and letters that only fill
/// a place.
pub const fn is_filler(c: char) -> bool {
    matches!(
        c,
        '\u{34f}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200c}'
            | '\u{200d}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{1d159}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0100}'..='\u{e01ef}'
    )
}

/// Whether a text shows nothing at all: it is never delivered, and such a name or title counts as absent.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || is_break(c) || is_unseen(c) || is_filler(c))
}

/// A text as one line: each run of breaks and blanks becomes one blank, none at the ends, and unseen characters are left out.
pub fn one_line(text: &str) -> String {
    let seen: String = text.chars().filter(|c| !is_unseen(*c)).map(|c| if is_break(c) { ' ' } else { c }).collect();
    seen.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The lines of a text, each with the break that ends it.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut chars = rest.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            // The two together are one break.
            let is_pair = c == '\r' && chars.peek().is_some_and(|(_, next)| *next == '\n');
            if is_break(c) && !is_pair {
                let (line, left) = rest.split_at(at + c.len_utf8());
                rest = left;
                return Some(line);
            }
        }
        let last = std::mem::take(&mut rest);
        (!last.is_empty()).then_some(last)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_break_ends_a_line() {
        for end in ["\n", "\r\n", "\r", "\u{b}", "\u{c}", "\u{1c}", "\u{85}", "\u{2028}", "\u{2029}"] {
            let text = format!("a b{end}c");
            assert_eq!(lines(&text).collect::<Vec<_>>(), [format!("a b{end}").as_str(), "c"], "{end:?}");
            assert_eq!(one_line(&format!("{end} a{end}{end}b\t ")), "a b", "{end:?}");
        }
        assert_eq!(lines("").count() + lines("a").count() + lines("a\n\n").count(), 3);
    }

    #[test]
    fn a_text_is_blank_if_nobody_sees_anything_of_it() {
        for blank in [
            "",
            " ",
            "\t\r\n",
            "\u{a0}\u{2003}\u{3000}",
            "\u{200b}",
            "\u{200c}\u{200d}",
            "\u{2060}\u{2064}",
            "\u{feff}",
            "\u{ad}",
            "\u{fe0e}\u{fe0f}\u{e0101}",
            "\u{115f}\u{1160}\u{3164}\u{ffa0}",
            "\u{180b}\u{180e}\u{180f}",
            "\u{17b4}\u{17b5}\u{34f}\u{2800}",
            "\u{1d159}\u{1d173}",
            "\u{e0001}\u{e0020}\u{e007f}",
            "\u{202e} \u{2028}\u{85}\u{0}\u{7f}",
        ] {
            assert!(is_blank(blank), "{blank:?}");
            assert!(!is_blank(&format!("{blank}x{blank}")), "{blank:?}");
        }
        for seen in [".", "\u{301}e", "❤\u{fe0f}", "👩\u{200d}👧", "ᅡ", "0\u{fe0f}\u{20e3}", "\u{fffd}", "\u{fffc}"]
        {
            assert!(!is_blank(seen), "{seen:?}");
        }
    }

    #[test]
    fn what_is_unseen_is_left_out_of_a_line_and_what_is_seen_is_not() {
        assert_eq!(one_line("An\u{202e}n\u{200b}\u{0}\u{feff}"), "Ann");
        for seen in ["👨\u{200d}👩\u{200d}👧", "می\u{200c}خواهم", "❤\u{fe0f}", "e\u{301}", "𝒜nn O’Neil"]
        {
            assert_eq!(one_line(seen), seen);
        }
    }
}
