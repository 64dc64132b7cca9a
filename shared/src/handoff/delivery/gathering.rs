//! Ordering of messages written within a moment: LiveChat numbers the events of a thread, and sends its webhooks in parallel.
//!
//! A missing number may be a message still on its way, which belongs before those that have arrived. Most are not: notes and system
//! messages have numbers too and enter no lane. So a drain waits for a gap too briefly to be noticed, and longer only while items
//! keep arriving.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::handoff::inbox::content::Content;
use crate::store::lane::Contents;

/// How long to wait for a gap while nothing else arrives.
const QUIET: Duration = Duration::from_millis(300);

/// The same once an item has arrived, counted from the last arrival: the longest pause between two tries of a conflicting write.
const CALM: Duration = Duration::from_secs(1);

/// The longest wait for one gap: the invocation that waits must still answer within five seconds.
const BURST: Duration = Duration::from_secs(4);

/// How often the lane is read meanwhile.
const LOOK: Duration = Duration::from_millis(100);

/// One drain's knowledge of the gaps in its lane.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    /// The gap that the drain waits for.
    gap: Option<Gap>,
    /// Missing numbers up to this one are no longer waited for.
    given_up: Option<u64>,
}

/// A gap, and the arrivals since it was seen.
#[derive(Debug)]
struct Gap {
    began: Timestamp,
    /// How many items the lane had ever accepted at the last look.
    arrivals: u64,
    /// When a look first found the latest arrival.
    arrived_at: Option<Timestamp>,
}

impl Gap {
    /// Returns until when to wait for the gap.
    fn until(&self) -> Timestamp {
        match self.arrived_at {
            Some(at) => (at + CALM).min(self.began + BURST),
            None => self.began + QUIET,
        }
    }
}

impl Gathering {
    /// Returns when to read the lane again before anything is delivered; `None` if no more items are expected.
    pub(super) fn look_again_at<C: Content>(&mut self, contents: &Contents<C>, now: Timestamp) -> Option<Timestamp> {
        let numbers = contents.waiting.iter().filter_map(|item| C::number(item, None));
        let arrived = (contents.arrivals, contents.arrived_at);
        self.after(contents.last_number, numbers.collect(), arrived, now)
    }

    fn after(
        &mut self,
        last: Option<u64>,
        mut numbers: Vec<u64>,
        (arrivals, arrived_at): (u64, Option<Timestamp>),
        now: Timestamp,
    ) -> Option<Timestamp> {
        numbers.sort_unstable();
        if !has_gap(last.max(self.given_up), &numbers) {
            self.gap = None;
            return None;
        }
        // The wait counts from the last arrival: items that have lain here for a while, as before an agent is announced, need no wait.
        let began = arrived_at.map_or(now, |at| at.min(now));
        let gap = self.gap.get_or_insert(Gap { began, arrivals, arrived_at: None });
        if arrivals != gap.arrivals {
            (gap.arrivals, gap.arrived_at) = (arrivals, Some(now));
        }
        let until = gap.until();
        if now >= until {
            (self.gap, self.given_up) = (None, numbers.last().copied());
            return None;
        }
        Some(until.min(now + LOOK))
    }
}

/// Returns whether a number is missing after `last` or among the `numbers`. Without a `last`, the session's first messages may be
/// missing.
fn has_gap(last: Option<u64>, numbers: &[u64]) -> bool {
    let mut expected = last.map(|last| last.saturating_add(1));
    numbers.iter().any(|number| {
        let is_early = expected.is_none_or(|expected| expected < *number);
        expected = expected.max(Some(number.saturating_add(1)));
        is_early
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_a_number_that_is_missing_or_that_nothing_known_comes_before() {
        for (last, numbers, expected) in [
            (None, &[][..], false),
            (None, &[7], true),
            (Some(6), &[7, 8], false),
            (Some(5), &[7], true),
            (None, &[7, 9], true),
            // Late and repeated messages leave no gap.
            (Some(9), &[7, 8], false),
            (Some(9), &[8, 8, 10], false),
            (Some(u64::MAX), &[u64::MAX], false),
        ] {
            assert_eq!(has_gap(last, numbers), expected, "{last:?} {numbers:?}");
        }
    }

    #[test]
    fn a_lonely_gap_is_waited_for_briefly_and_one_in_a_burst_until_it_is_filled() {
        let (begin, mut lonely, mut burst) =
            (Timestamp::from_unix_millis(0), Gathering::default(), Gathering::default());
        let at = |millis| begin + Duration::from_millis(millis);
        assert_eq!(lonely.after(Some(5), vec![7], (1, None), at(0)), Some(at(100)));
        assert_eq!(lonely.after(Some(5), vec![7], (1, None), at(250)), Some(at(300)));
        assert_eq!(lonely.after(Some(5), vec![7], (1, None), at(300)), None);
        assert_eq!(lonely.after(Some(5), vec![7, 8], (2, None), at(310)), None, "it is not waited for again");

        let old = Some(at(100));
        assert_eq!(Gathering::default().after(None, vec![7], (1, old), at(350)), Some(at(400)));
        assert_eq!(
            Gathering::default().after(None, vec![7], (1, old), at(3_000)),
            None,
            "what has lain here is not waited for"
        );

        assert_eq!(burst.after(Some(5), vec![9], (1, None), at(0)), Some(at(100)));
        for (numbers, arrivals, millis) in [(vec![7, 9], 2, 100), (vec![7, 8, 9], 3, 1_000)] {
            assert_eq!(burst.after(Some(5), numbers, (arrivals, None), at(millis)), Some(at(millis + 100)));
        }
        assert_eq!(burst.after(Some(5), vec![6, 7, 8, 9], (4, None), at(1_100)), None);
        assert_eq!(burst.after(Some(9), vec![11], (5, None), at(1_200)), Some(at(1_300)), "another gap begins anew");
        assert_eq!(burst.after(Some(9), vec![11, 13], (6, None), at(2_000)), Some(at(2_100)));
        assert_eq!(burst.after(Some(9), vec![11, 13], (6, None), at(3_000)), None, "calm has come");
        for (arrivals, millis) in (10..).zip((4_000..8_000).step_by(500)) {
            assert!(burst.after(Some(13), vec![15], (arrivals, None), at(millis)).is_some());
        }
        assert_eq!(burst.after(Some(13), vec![15], (20, None), at(8_000)), None, "and no gap is waited for for ever");
    }
}
