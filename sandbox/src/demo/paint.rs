//! Colours for a terminal, if it supports them.

/// The kind of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Bold,
    Quiet,
    User,
    Agent,
    Good,
    Bad,
}

/// Whether lines are coloured.
#[derive(Clone, Copy, Debug, Default)]
pub struct Palette {
    /// Without colours every text stays unchanged.
    pub is_on: bool,
}

impl Palette {
    pub(super) fn of(self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Bold => "1",
            Paint::Quiet => "2",
            Paint::User => "36",
            Paint::Agent => "33",
            Paint::Good => "32",
            Paint::Bad => "1;31",
        };
        if self.is_on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
