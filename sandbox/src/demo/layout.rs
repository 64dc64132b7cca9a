//! The columns of each side of the story.

/// The least width, and the width if the terminal's is unknown.
const LEAST: usize = 80;

/// The width of a call with its indentation.
const CALL_WIDTH: usize = 68;

/// From this width on, calls have a column of their own, and the rest is as wide as a whole line of a narrow terminal.
const WIDE: usize = LEAST + CALL_WIDTH;

/// The columns of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The maximum width of a line.
    pub(super) width: usize,
    /// The end of the user's side.
    user_width: usize,
    /// The start of the agents' side, and its width with its bar.
    agent_column: usize,
    agent_width: usize,
    /// The start of calls.
    pub(super) call_column: usize,
}

impl Default for Layout {
    fn default() -> Self {
        Self::of(LEAST)
    }
}

impl Layout {
    /// Returns the layout for a terminal of so many columns: two sides with the calls between their lines, or three columns if they fit.
    pub fn of(columns: usize) -> Self {
        let width = columns.max(LEAST);
        match width < WIDE {
            true => {
                let agent_column = width * 38 / LEAST;
                Self { width, user_width: width, agent_column, agent_width: width - agent_column, call_column: 4 }
            }
            false => {
                let call_column = width - CALL_WIDTH;
                let side = call_column / 2;
                Self { width, user_width: side - 2, agent_column: side, agent_width: side - 2, call_column }
            }
        }
    }

    pub(super) const fn is_wide(&self) -> bool {
        self.width >= WIDE
    }

    pub(super) fn user_lines(&self, text: &str) -> Vec<String> {
        wrapped(text, self.user_width)
    }

    pub(super) fn agent_lines(&self, text: &str) -> Vec<String> {
        let lines = wrapped(text, self.agent_width - 2).into_iter();
        lines.map(|line| format!("{:column$}| {line}", "", column = self.agent_column).trim_end().to_owned()).collect()
    }
}

/// Returns the text in lines of at most `width` characters, broken at spaces; a longer word gets its own line.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_has_its_place_at_80_columns_and_a_column_of_its_own_at_200() {
        let words = "word ".repeat(60);
        for (width, agents_from, wide) in
            [(10, 38, false), (80, 38, false), (120, 57, false), (148, 40, true), (200, 66, true)]
        {
            let layout = Layout::of(width);
            assert_eq!((layout.width, layout.is_wide()), (width.max(80), wide));
            let (user, agent) = (layout.user_lines(&words), layout.agent_lines(&words));
            let longest = |lines: &[String]| lines.iter().map(|line| line.trim_end().chars().count()).max().unwrap();
            assert!(agent.iter().all(|line| line.find('|') == Some(agents_from)), "{agent:?}");
            match wide {
                false => assert!(longest(&user).max(longest(&agent)) <= layout.width, "{user:?} {agent:?}"),
                true => {
                    assert!(longest(&user) < agents_from && longest(&agent) < layout.call_column, "{user:?} {agent:?}");
                }
            }
        }
    }

    #[test]
    fn lines_fit_and_lose_no_word() {
        let text = "one two three\nfour a-word-that-is-longer-than-all";
        assert_eq!(wrapped(text, 9), ["one two", "three", "four", "a-word-that-is-longer-than-all"]);
    }
}
