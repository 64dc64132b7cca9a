//! The stack's health as one number, which the sweep writes and a lean stack's alarm watches.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::store::TurnedAway;

/// How long a refused credential or rejected calls count after the last one: longer than the alarm takes to fire.
const LATELY: Duration = Duration::from_secs(600);

/// An item that has waited for longer than this is undelivered.
const UNDELIVERED_AFTER: Duration = Duration::from_secs(300);

/// An entry that no sweep has been able to process for this long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(900);

/// From this number on, rejected calls are more than a stranger's attempt.
const MOST_TURNED_AWAY: u64 = 10;

/// What is wrong with the stack. The numbers also appear in the template's alarm and in docs/operations.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Fine = 0,
    /// An item is parked and waits for an operator.
    Parked = 1,
    CredentialsRefused = 2,
    Undelivered = 3,
    /// A lane, timer or session cannot be processed.
    Stuck = 4,
    /// Calls in a vendor's name are rejected.
    TurnedAway = 5,
}

/// The signs of the stack's health in the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Signs {
    pub is_parked: bool,
    /// When a vendor last refused a credential.
    pub refused_at: Option<Timestamp>,
    /// When the oldest item that still waits was written.
    pub oldest_waiting: Option<Timestamp>,
    /// Since when every sweep has found an entry that it could not process.
    pub stuck_since: Option<Timestamp>,
    pub turned_away: Vec<TurnedAway>,
}

impl Signs {
    /// Returns what is wrong at `now`; of several problems, the one that explains the others.
    pub(super) fn health(&self, now: Timestamp) -> Health {
        let is_older = |at: Option<Timestamp>, age| at.is_some_and(|at| now.since(at) >= age);
        let turned_away = |one: &TurnedAway| one.count >= MOST_TURNED_AWAY && now.since(one.at) < LATELY;
        if self.refused_at.is_some_and(|at| now.since(at) < LATELY) {
            Health::CredentialsRefused
        } else if is_older(self.stuck_since, STUCK_AFTER) {
            Health::Stuck
        } else if is_older(self.oldest_waiting, UNDELIVERED_AFTER) {
            Health::Undelivered
        } else if self.turned_away.iter().any(turned_away) {
            Health::TurnedAway
        } else if self.is_parked {
            Health::Parked
        } else {
            Health::Fine
        }
    }
}

impl From<Health> for f64 {
    fn from(health: Health) -> Self {
        Self::from(health as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_millis(seconds * 1_000)
    }

    fn turned_away(count: u64, seconds: i64) -> Vec<TurnedAway> {
        vec![TurnedAway { count, since: at(0), at: at(seconds), because: "signature".to_owned() }]
    }

    #[test]
    fn each_sign_counts_from_its_time_on_and_until_it_is_over() {
        let none = Signs::default();
        for (signs, health) in [
            (none.clone(), Health::Fine),
            (Signs { is_parked: true, ..none.clone() }, Health::Parked),
            (Signs { refused_at: Some(at(401)), ..none.clone() }, Health::CredentialsRefused),
            (Signs { refused_at: Some(at(400)), ..none.clone() }, Health::Fine),
            (Signs { oldest_waiting: Some(at(701)), ..none.clone() }, Health::Fine),
            (Signs { oldest_waiting: Some(at(700)), ..none.clone() }, Health::Undelivered),
            (Signs { stuck_since: Some(at(101)), ..none.clone() }, Health::Fine),
            (Signs { stuck_since: Some(at(100)), ..none.clone() }, Health::Stuck),
            (Signs { turned_away: turned_away(9, 1_000), ..none.clone() }, Health::Fine),
            (Signs { turned_away: turned_away(10, 401), ..none.clone() }, Health::TurnedAway),
            (Signs { turned_away: turned_away(10, 400), ..none.clone() }, Health::Fine),
        ] {
            assert_eq!(signs.health(at(1_000)), health, "{signs:?}");
        }
    }

    #[test]
    fn of_several_signs_the_cause_is_shown() {
        let mut signs = Signs {
            is_parked: true,
            refused_at: Some(at(1_000)),
            oldest_waiting: Some(at(0)),
            stuck_since: Some(at(0)),
            turned_away: turned_away(10, 1_000),
        };
        let mut shown = vec![f64::from(signs.health(at(1_000)))];
        signs.refused_at = None;
        shown.push(signs.health(at(1_000)).into());
        signs.stuck_since = None;
        shown.push(signs.health(at(1_000)).into());
        signs.oldest_waiting = None;
        shown.push(signs.health(at(1_000)).into());
        signs.turned_away.clear();
        shown.push(signs.health(at(1_000)).into());
        assert_eq!(shown, [2.0, 4.0, 3.0, 5.0, 1.0]);
    }
}
