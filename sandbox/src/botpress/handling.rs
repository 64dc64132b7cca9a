//! When what the integration posts is handled: one after another, or side by side.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Simulator;
use super::platform::{Platform, lock};
use super::plugin;

/// How Botpress handles the events and messages that the integration posts into one conversation.
///
/// Whether the real one handles them side by side is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handling {
    /// One after another, at once, in the order of arrival.
    #[default]
    InOrder,
    /// Each after a delay of its own, by the clock: two that arrive closer together than `longest` may change places.
    SideBySide {
        /// Delays are whole milliseconds from 0 to this one, each as likely as the others. At most a minute.
        longest: Duration,
        /// The same seed draws the same delays, in the order of arrival.
        seed: u64,
    },
}

/// The handling in force, and how many delays were drawn since it is.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    handling: Handling,
    drawn: u64,
}

impl Schedule {
    /// The delay for what arrives next; `None` is at once.
    fn draw(&mut self) -> Option<Duration> {
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

impl Simulator {
    /// Changes the handling of what arrives from now on; in order until then.
    pub fn handle(&self, handling: Handling) {
        *lock(&self.platform.schedule) = Schedule { handling, drawn: 0 };
    }
}

impl Platform {
    /// Hands what the integration has posted to the plugin: at once, or after a delay of its own.
    pub fn hand_to_plugin(self: &Arc<Self>, posted: Posted, id: &str) {
        let Some(delay) = lock(&self.schedule).draw() else { return self.handled_by_plugin(posted, id) };
        let id = id.to_owned();
        self.at(self.now() + delay, move |platform| async move {
            let kind = match posted {
                Posted::Event => "event",
                Posted::Message => "message",
            };
            let delay = u64::try_from(delay.as_millis()).unwrap_or_default();
            platform.record("handled", json!({"kind": kind, "id": id, "delay_ms": delay}));
            platform.handled_by_plugin(posted, &id);
        });
    }

    fn handled_by_plugin(self: &Arc<Self>, posted: Posted, id: &str) {
        match posted {
            Posted::Event => plugin::on_event(self, id),
            Posted::Message => plugin::on_agent_message(self, &mut self.world(), id),
        }
    }
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
