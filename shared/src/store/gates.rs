//! Each vendor's known limits and failures, shared by all invocations.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::keys::{GATES, Key};
use super::transaction::Change;
use super::{Result, Table, number, text, value};
use crate::clock::Timestamp;

/// A closed gate lets one trial call through at this interval.
pub const TRIAL_EVERY: Duration = Duration::from_secs(60);

/// How long other callers wait for the result of a trial.
const TRIAL_TAKES: Duration = Duration::from_secs(6);

/// A vendor's known limits and failures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct VendorState {
    /// The vendor.
    pub vendor: String,
    /// Counts the changes of `limits`.
    #[serde(default, rename = "limits_version")]
    pub version: u64,
    /// The limits in force.
    #[serde(default)]
    pub limits: Limits,
    /// The latest failures.
    #[serde(default)]
    pub trouble: Trouble,
    /// When the oldest version of the secret that is still valid was stored; `None` if no version was recalled.
    ///
    /// It is kept here because this record is read before every effect.
    #[serde(default)]
    pub secret_since: Option<Timestamp>,
    /// When it last refused the stack's credential. A process records that at most once a minute.
    #[serde(default)]
    pub refused_at: Option<Timestamp>,
}

/// The consecutive failures of a vendor's most recent calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The time of the last failure, or of the success that ended them.
    pub at: Timestamp,
    /// How many: 0 after a success. A call without an answer counts as more than one.
    pub failures: u32,
    /// Whether one of the calls had no answer.
    pub hung: bool,
}

impl Default for Trouble {
    fn default() -> Self {
        Self { at: Timestamp::from_unix_millis(0), failures: 0, hung: false }
    }
}

/// The limits that a vendor has named.
///
/// A vendor seldom says whom a limit applies to. The first refusal is attributed to one customer, chat or user, whose lane waits. If
/// another one is refused before any is served, the limit applies to the party that both belong to: a bot, or the holders of one kind
/// of credential. If two parties are refused, it applies to all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The closure for all.
    #[serde(default)]
    pub closed: Option<Closure>,
    /// The limits of each party.
    #[serde(default)]
    pub parties: BTreeMap<String, Party>,
}

/// The limits of a party.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// The most recent refusal, if none of the party has been served since.
    #[serde(default)]
    pub refused: Option<Refused>,
    /// The closure for all of the party.
    #[serde(default)]
    pub closed: Option<Closure>,
}

/// A refusal of one customer, chat or user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// A fingerprint of the one that was refused.
    pub whose: String,
    /// When it was refused.
    pub at: Timestamp,
    /// The time that the vendor named.
    pub until: Timestamp,
}

/// A time before which a vendor has asked not to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closure {
    /// The time of the refusal that led to it.
    pub since: Timestamp,
    /// The time that the vendor named last.
    pub until: Timestamp,
    /// When a trial call was last let through; initially `since`.
    pub tried_at: Timestamp,
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It may be made.
    Open,
    /// One trial call is due. The first caller to record it makes it.
    Trial,
    /// Not before this time.
    Closed(Timestamp),
}

impl Closure {
    fn new(now: Timestamp, until: Timestamp) -> Self {
        Self { since: now, until, tried_at: now }
    }

    fn passage(&self, now: Timestamp) -> Passage {
        let next_trial = self.tried_at + TRIAL_EVERY;
        let result_at = self.tried_at + TRIAL_TAKES;
        match now {
            _ if self.until <= now => Passage::Open,
            _ if next_trial <= now => Passage::Trial,
            // A trial is in progress: wait briefly for its result rather than for the next trial.
            _ if self.since < self.tried_at && now < result_at => Passage::Closed(result_at.min(self.until)),
            _ => Passage::Closed(next_trial.min(self.until)),
        }
    }
}

impl Limits {
    /// Returns whether a party may call now.
    pub fn passage(&self, party: &str, now: Timestamp) -> Passage {
        let of_party = self.parties.get(party).and_then(|party| party.closed.as_ref());
        let passages = self.closed.iter().chain(of_party).map(|closure| closure.passage(now));
        // The strictest closure wins, so a trial call needs every closure to allow one.
        passages.fold(Passage::Open, |one, other| match (one, other) {
            (Passage::Closed(one), Passage::Closed(other)) => Passage::Closed(one.max(other)),
            (Passage::Closed(until), _) | (_, Passage::Closed(until)) => Passage::Closed(until),
            (Passage::Trial, _) | (_, Passage::Trial) => Passage::Trial,
            (Passage::Open, Passage::Open) => Passage::Open,
        })
    }

    /// The latest time named to a party, if it is kept out.
    pub fn closed_until(&self, party: &str) -> Option<Timestamp> {
        let of_party = self.parties.get(party).and_then(|party| party.closed.as_ref());
        self.closed.iter().chain(of_party).map(|closure| closure.until).max()
    }

    /// Returns whether no party may call now.
    pub fn is_closed_to_all(&self, now: Timestamp) -> bool {
        self.closed.is_some_and(|closure| matches!(closure.passage(now), Passage::Closed(_)))
    }

    /// Records that one of a party was refused and asked to wait.
    pub fn refuse(&mut self, party: &str, whose: &str, now: Timestamp, wait: Duration) {
        let until = now + wait;
        self.forget_past(now);
        let of_party = self.parties.entry(party.to_owned()).or_default();
        let other = of_party.refused.as_ref().is_some_and(|refused| refused.whose != whose);
        // The vendor's latest time replaces an earlier one, even if it is sooner.
        match &mut of_party.closed {
            Some(closed) => closed.until = until,
            None if other => *of_party = Party { refused: None, closed: Some(Closure::new(now, until)) },
            None => of_party.refused = Some(Refused { whose: whose.to_owned(), at: now, until }),
        }
        let closed = self.parties.values().filter(|party| party.closed.is_some()).count();
        match &mut self.closed {
            Some(all) => all.until = until,
            None if closed > 1 => self.closed = Some(Closure::new(now, until)),
            None => {}
        }
    }

    /// Records that one of a party was served by a call made at `called_at`. Returns whether that changes anything.
    ///
    /// An answer to a call from before a refusal or trial says nothing about it, so `called_at` is compared and not the time of the answer.
    pub fn serve(&mut self, party: &str, called_at: Timestamp) -> bool {
        let before = self.clone();
        let is_over = |closure: &mut Closure| closure.tried_at <= called_at;
        if let Some(of_party) = self.parties.get_mut(party) {
            of_party.refused.take_if(|refused| refused.at <= called_at);
            of_party.closed.take_if(is_over);
            if *of_party == Party::default() {
                self.parties.remove(party);
            }
        }
        self.closed.take_if(is_over);
        *self != before
    }

    /// Claims the trial call if one is due.
    pub fn take_trial(&mut self, party: &str, now: Timestamp) -> bool {
        if self.passage(party, now) != Passage::Trial {
            return false;
        }
        let of_party = self.parties.get_mut(party).and_then(|party| party.closed.as_mut());
        for closure in self.closed.iter_mut().chain(of_party) {
            closure.tried_at = now;
        }
        true
    }

    /// Returns the closures in force, each with its party, or with `None` if it applies to all.
    pub fn closures(&self, now: Timestamp) -> Vec<(Option<&str>, Closure)> {
        let of_parties = self.parties.iter().filter_map(|(name, party)| Some((Some(name.as_str()), party.closed?)));
        let all = self.closed.map(|closure| (None, closure)).into_iter().chain(of_parties);
        all.filter(|(_, closure)| now < closure.until).collect()
    }

    fn forget_past(&mut self, now: Timestamp) {
        let is_past = |closure: &mut Closure| closure.until <= now;
        self.closed.take_if(is_past);
        self.parties.retain(|_, party| {
            party.closed.take_if(is_past);
            party.refused.take_if(|refused| refused.until <= now);
            *party != Party::default()
        });
    }
}

impl Table {
    /// Returns the state of every vendor.
    pub async fn vendor_states(&self) -> Result<Vec<VendorState>> {
        let items = self.query(GATES, "GATE#").await?;
        Ok(items.into_iter().map(serde_dynamo::from_item).collect::<Result<_, _>>()?)
    }

    /// Returns the state of a vendor.
    pub async fn vendor_state(&self, vendor: &str) -> Result<VendorState> {
        let known: Option<VendorState> = self.get(&Key::gate(vendor)).await?;
        Ok(known.unwrap_or_else(|| VendorState { vendor: vendor.to_owned(), ..VendorState::default() }))
    }

    /// Replaces a vendor's limits, unless they have changed since version `seen`.
    pub async fn put_limits(&self, vendor: &str, limits: &Limits, seen: u64) -> Result<bool> {
        let opens_at = limits.closed.map_or(Timestamp::from_unix_millis(0), |closure| closure.until);
        let change = Change {
            // The previous version of the service reads `opens_at`.
            expression: "SET vendor = :vendor, limits = :limits, limits_version = :next, opens_at = :opens",
            condition: "attribute_not_exists(limits_version) OR limits_version = :seen",
            values: vec![
                (":vendor", text(vendor)),
                (":limits", value(limits)?),
                (":next", number(seen + 1)),
                (":opens", text(opens_at)),
                (":seen", number(seen)),
            ],
        };
        self.update("table put_limits", &Key::gate(vendor), change).await
    }

    /// Records how a vendor fails, or that it has recovered, unless a later record exists.
    pub async fn note_trouble(&self, vendor: &str, trouble: &Trouble) -> Result<()> {
        let change = Change {
            expression: "SET vendor = :vendor, trouble = :trouble, trouble_at = :at, \
                         opens_at = if_not_exists(opens_at, :never)",
            condition: "attribute_not_exists(trouble_at) OR trouble_at < :at",
            values: vec![
                (":vendor", text(vendor)),
                (":trouble", value(trouble)?),
                (":at", text(trouble.at)),
                (":never", text(Timestamp::from_unix_millis(0))),
            ],
        };
        self.update("table note_trouble", &Key::gate(vendor), change).await.map(drop)
    }

    /// Records that a vendor has refused the stack's credential.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn note_refused(&self, vendor: &str, now: Timestamp) -> Result<()> {
        let change = Change {
            expression: "SET vendor = :vendor, refused_at = :now, opens_at = if_not_exists(opens_at, :never)",
            condition: "",
            values: vec![
                (":vendor", text(vendor)),
                (":now", text(now)),
                (":never", text(Timestamp::from_unix_millis(0))),
            ],
        };
        self.update("table note_refused", &Key::gate(vendor), change).await.map(drop)
    }

    /// Records that versions of the secret stored before `since` are recalled.
    pub async fn recall_secrets(&self, vendor: &str, since: Timestamp) -> Result<()> {
        let change = Change {
            expression: "SET vendor = :vendor, secret_since = :since, opens_at = if_not_exists(opens_at, :never)",
            condition: "attribute_not_exists(secret_since) OR secret_since < :since",
            values: vec![
                (":vendor", text(vendor)),
                (":since", text(since)),
                (":never", text(Timestamp::from_unix_millis(0))),
            ],
        };
        self.update("table recall_secrets", &Key::gate(vendor), change).await.map(drop)
    }

    /// Lifts every limit of a vendor for all processes, and returns those that were in force.
    pub async fn reopen(&self, vendor: &str, now: Timestamp) -> Result<Vec<(Option<String>, Closure)>> {
        loop {
            let state = self.vendor_state(vendor).await?;
            let lifted = state.limits.closures(now).into_iter();
            let lifted = lifted.map(|(party, closure)| (party.map(str::to_owned), closure)).collect();
            if self.put_limits(vendor, &Limits::default(), state.version).await? {
                self.note_trouble(vendor, &Trouble { at: now, ..Trouble::default() }).await?;
                return Ok(lifted);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_millis(seconds * 1_000)
    }

    #[test]
    fn a_limit_is_for_one_until_another_is_refused_and_nobody_served() {
        let mut limits = Limits::default();
        for second in [0, 10] {
            limits.refuse("bot", "ann", at(second), MINUTE);
            assert_eq!(limits.passage("bot", at(second)), Passage::Open, "only Ann is known to be refused");
        }
        assert!(limits.serve("bot", at(11)), "somebody is served");
        limits.refuse("bot", "bob", at(12), MINUTE);
        assert_eq!(limits.passage("bot", at(12)), Passage::Open, "each has their own limit");
        limits.refuse("bot", "ann", at(13), MINUTE);
        assert_eq!(limits.passage("bot", at(13)), Passage::Closed(at(73)));
        assert_eq!(limits.passage("another bot", at(13)), Passage::Open);
        limits.refuse("another bot", "eve", at(14), MINUTE);
        assert_eq!(limits.passage("a third", at(14)), Passage::Open);
        assert!(!limits.is_closed_to_all(at(14)));
        limits.refuse("another bot", "joe", at(15), MINUTE);
        assert!(limits.is_closed_to_all(at(15)) && !limits.is_closed_to_all(at(75)));
        assert_eq!(limits.passage("a third", at(15)), Passage::Closed(at(75)));
        assert_eq!(limits.closures(at(15)).len(), 3);
    }

    #[test]
    fn refusals_that_are_far_apart_are_of_different_limits() {
        let mut limits = Limits::default();
        limits.refuse("bot", "ann", at(0), MINUTE);
        limits.refuse("bot", "bob", at(60), MINUTE);
        assert_eq!(limits.passage("bot", at(60)), Passage::Open);
    }

    #[test]
    fn one_call_a_minute_is_let_through_and_its_answer_decides() {
        let hour = MINUTE * 60;
        let mut limits = Limits::default();
        limits.refuse("bot", "ann", at(0), hour);
        limits.refuse("bot", "bob", at(0), hour);
        assert_eq!(limits.passage("bot", at(59)), Passage::Closed(at(60)));
        assert!(!limits.take_trial("bot", at(59)) && limits.take_trial("bot", at(60)));
        assert!(!limits.take_trial("bot", at(60)), "one of all");
        assert_eq!(limits.passage("bot", at(61)), Passage::Closed(at(66)), "what came of it is soon known");
        limits.refuse("bot", "eve", at(61), hour);
        assert_eq!(limits.passage("bot", at(70)), Passage::Closed(at(120)), "the vendor has confirmed it");
        assert!(limits.take_trial("bot", at(120)));
        assert!(!limits.serve("bot", at(119)), "a call from before the trial says nothing");
        assert!(limits.serve("bot", at(120)));
        assert_eq!((limits.passage("bot", at(120)), limits), (Passage::Open, Limits::default()));
    }

    #[test]
    fn a_closure_ends_at_the_time_that_was_named_last() {
        let mut limits = Limits::default();
        for (whose, wait) in [("ann", 30), ("bob", 30), ("eve", 5)] {
            limits.refuse("bot", whose, at(0), Duration::from_secs(wait));
        }
        assert_eq!(limits.passage("bot", at(4)), Passage::Closed(at(5)));
        assert_eq!(limits.passage("bot", at(5)), Passage::Open);
    }
}
