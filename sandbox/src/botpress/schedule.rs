//! Delays of events and messages that the integration has posted.

use std::time::Duration;

/// How Botpress handles the events and messages that the integration posts into one conversation.
///
/// Whether the real one handles them side by side is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handling {
    /// One after another, at once, in the order of arrival.
    #[default]
    InOrder,
    /// Each after its own delay, by the clock: two that arrive closer together than `longest` may change places.
    SideBySide {
        /// Delays are whole milliseconds from 0 to this one, all equally likely. At most a minute.
        longest: Duration,
        /// The same seed draws the same delays, in the order of arrival.
        seed: u64,
    },
}

/// The handling in force, and the number of delays drawn since it was set.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    pub(super) handling: Handling,
    pub(super) drawn: u64,
}

impl Schedule {
    /// The delay for the next arrival; `None` means at once.
    pub(super) fn draw(&mut self) -> Option<Duration> {
        let Handling::SideBySide { longest, seed } = self.handling else { return None };
        self.drawn += 1;
        let choices = u64::try_from(longest.min(LONGEST).as_millis()).unwrap_or_default() + 1;
        Some(Duration::from_millis(mix(seed.wrapping_add(self.drawn.wrapping_mul(GOLDEN))) % choices))
    }
}

const LONGEST: Duration = Duration::from_secs(60);

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The output function of `SplitMix64`.
const fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}

/// What the plugin handles.
#[derive(Clone, Copy, Debug)]
pub(super) enum Posted {
    Event,
    Message,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn delays_are_spread_over_the_range_and_repeat_with_the_seed() {
        let draw = |seed| {
            let handling = Handling::SideBySide { longest: Duration::from_millis(3), seed };
            let mut schedule = Schedule { handling, drawn: 0 };
            (0..100).filter_map(|_| schedule.draw()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let expected: BTreeSet<_> = (0..=3).map(Duration::from_millis).collect();
        assert_eq!(draw(1).into_iter().collect::<BTreeSet<_>>(), expected);
        assert_eq!(Schedule::default().draw(), None);
    }
}
