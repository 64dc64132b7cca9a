//! `hitl watch`: the state of a stack, every five seconds on one screen.
//!
//! Reads by key and by the index of what is due, never the whole table.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;
use std::io::IsTerminal as _;
use std::time::Duration;

use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::json;
use shared::clock::Timestamp;
use shared::ids::SessionId;
use shared::model::lane::Lane;
use shared::store::{self, Due, Table, TurnedAway, VendorState};

use crate::Io;
use crate::arguments::Vendor;
use crate::doctor::named;
use crate::operate::{OUTLOOK, for_people};
use crate::output::{Answer, Exit, Failure, causes};
use crate::target::Target;

/// How often the table is read.
const EVERY: Duration = Duration::from_secs(5);

/// How many entries of the index to read at a time.
const MOST_DUE: i32 = 1_000;

/// How many lanes, and sessions with parked items, to read at a time; each costs one query.
const MOST_LOOKED_INTO: usize = 20;

/// A sweep that is older than this is late: it runs each minute.
const SWEEP_LATE_S: u64 = 150;

/// How long a failure, or a caller turned away, is shown.
const LATELY: Duration = Duration::from_secs(300);

/// Clears the screen.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// The result of one look; each line of `--json` is one.
#[derive(Debug, Serialize)]
struct Tick {
    at: Timestamp,
    /// None if the sweep has never run.
    sweep_age_s: Option<u64>,
    /// Sessions that are due for something soon, as every open one is.
    sessions: usize,
    /// Whether there are more sessions or lanes than were read.
    more: bool,
    /// Lanes with waiting items, oldest item first.
    lanes: Vec<Waits>,
    /// How many items are parked in the sessions that were read.
    parked: usize,
    vendors: Vec<Trouble>,
    /// Vendors that have refused the stack's credential lately.
    credentials_refused: Vec<Unaccepted>,
    /// Calls that were turned away lately, by vendor.
    turned_away: Vec<Refused>,
}

#[derive(Debug, Serialize)]
struct Refused {
    vendor: &'static str,
    calls: u64,
    because: String,
    last_s: u64,
}

#[derive(Debug, Serialize)]
struct Unaccepted {
    vendor: String,
    last_s: u64,
}

#[derive(Debug, Serialize)]
struct Waits {
    session_id: SessionId,
    lane: String,
    waiting: usize,
    oldest_s: u64,
    attempts: u32,
    next_try: Timestamp,
}

/// A vendor that fails, or that has named a time before which it wants no calls.
#[derive(Debug, Serialize)]
struct Trouble {
    vendor: String,
    failures: u32,
    not_before: Option<Timestamp>,
}

/// Reads the stack's state again and again, until it is interrupted or its output is closed.
pub(crate) async fn run(target: &Target, in_json: bool, io: &mut Io<'_>) -> Result<Answer, Failure> {
    let table = target.table()?;
    let clears = !in_json && std::io::stdout().is_terminal();
    let mut seen = look(&table, io.clock.now()).await.map_err(|error| Failure::stopped(causes(&error)))?;
    loop {
        if show(io, &seen, in_json, clears).is_err() {
            break;
        }
        let next = io.clock.now() + EVERY;
        tokio::select! {
            biased;
            () = io.clock.sleep_until(next) => {}
            () = io.interrupt.as_mut() => break,
        }
        match look(&table, io.clock.now()).await {
            Ok(tick) => seen = tick,
            // The table may recover; the last state stays on the screen with its time.
            Err(error) if in_json => drop(writeln!(io.out, "{}", json!({ "error": causes(&error) }))),
            Err(error) => io.say(&format!("error: {}", causes(&error))),
        }
    }
    Ok(Answer { exit: Exit::Done, json: json!(null), text: String::new() })
}

fn show(io: &mut Io<'_>, tick: &Tick, in_json: bool, clears: bool) -> std::io::Result<()> {
    match in_json {
        true => writeln!(io.out, "{}", serde_json::to_value(tick).unwrap_or_default())?,
        false => writeln!(io.out, "{}{tick}", if clears { CLEAR } else { "" })?,
    }
    io.out.flush()
}

async fn look(table: &Table, now: Timestamp) -> Result<Tick, store::Error> {
    let due = table.due(now + OUTLOOK, MOST_DUE).await?;
    let sessions: BTreeSet<_> = due.iter().map(|(_, id, _)| id).collect();
    let waiting: Vec<_> = due.iter().filter_map(|(at, id, what)| Some((*at, id, lane_of(*what)?))).collect();
    let mut lanes = Vec::new();
    for (due_at, id, lane) in waiting.iter().take(MOST_LOOKED_INTO) {
        lanes.extend(waits(table, id, *lane, *due_at, now).await?);
    }
    lanes.sort_by_key(|lane| Reverse(lane.oldest_s));
    let mut parked = 0;
    for id in sessions.iter().take(MOST_LOOKED_INTO) {
        parked += table.parked_of(id).await?.len();
    }
    let seconds_since = |at: Timestamp| now.since(at).as_secs();
    let states = table.vendor_states().await?;
    Ok(Tick {
        at: now,
        sweep_age_s: table.sweeps().await?.map(|sweeps| seconds_since(sweeps.ran_at)),
        sessions: sessions.len(),
        more: sessions.len().max(waiting.len()) > MOST_LOOKED_INTO,
        lanes,
        parked,
        vendors: states.iter().flat_map(|state| troubles(state, now)).collect(),
        credentials_refused: states.iter().filter_map(|state| unaccepted(state, now)).collect(),
        turned_away: refused(table, now).await?,
    })
}

/// Returns the calls that were turned away lately.
async fn refused(table: &Table, now: Timestamp) -> store::Result<Vec<Refused>> {
    let mut refused = Vec::new();
    for vendor in Vendor::ALL.map(Vendor::name) {
        let of_late = table.door(vendor).await?.turned_away.filter(|one| now.since(one.at) < LATELY);
        refused.extend(of_late.map(|TurnedAway { count, at, because, .. }| Refused {
            vendor,
            calls: count,
            because,
            last_s: now.since(at).as_secs(),
        }));
    }
    Ok(refused)
}

const fn lane_of(due: Due) -> Option<Lane> {
    match due {
        Due::Lane(lane) => Some(lane),
        Due::Timer(_) | Due::Session => None,
    }
}

/// Returns what waits in a lane; none if it has been delivered since the index was read.
async fn waits(
    table: &Table,
    id: &SessionId,
    lane: Lane,
    next_try: Timestamp,
    now: Timestamp,
) -> Result<Option<Waits>, store::Error> {
    let waiting = table.lane::<IgnoredAny>(id, lane).await?.waiting;
    Ok(waiting.iter().map(|item| item.position.at).min().map(|oldest| Waits {
        session_id: id.clone(),
        lane: lane.to_string(),
        waiting: waiting.len(),
        oldest_s: now.since(oldest).as_secs(),
        attempts: waiting.iter().map(|item| item.attempts).max().unwrap_or_default(),
        next_try,
    }))
}

fn troubles(state: &VendorState, now: Timestamp) -> Vec<Trouble> {
    let lately = now.since(state.trouble.at) < LATELY;
    let failures = if lately { state.trouble.failures } else { 0 };
    let closures = state.limits.closures(now).into_iter();
    let closures = closures.map(|(party, closure)| (named(&state.vendor, party), Some(closure.until)));
    let failing = (failures > 0).then(|| (state.vendor.clone(), None));
    let found = closures.chain(failing);
    found.map(|(vendor, not_before)| Trouble { vendor, failures, not_before }).collect()
}

fn unaccepted(state: &VendorState, now: Timestamp) -> Option<Unaccepted> {
    let last_s = now.since(state.refused_at.filter(|at| now.since(*at) < LATELY)?).as_secs();
    Some(Unaccepted { vendor: state.vendor.clone(), last_s })
}

impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sweep = match self.sweep_age_s {
            None => "never ran".to_owned(),
            Some(age) if age > SWEEP_LATE_S => format!("LATE: ran {} ago", for_people(age)),
            Some(age) => format!("ran {} ago", for_people(age)),
        };
        writeln!(f, "{}", self.at)?;
        writeln!(f, "sweep     {sweep}")?;
        writeln!(f, "sessions  {} open", self.sessions)?;
        writeln!(f, "parked    {} in them{}", self.parked, if self.parked > 0 { ": hitl parked" } else { "" })?;
        for Trouble { vendor, failures, not_before } in &self.vendors {
            match not_before {
                Some(until) => writeln!(f, "vendor    {vendor} asked not to be called before {until}")?,
                None => writeln!(f, "vendor    {vendor} FAILS, {failures} times in a row")?,
            }
        }
        for Unaccepted { vendor, last_s } in &self.credentials_refused {
            writeln!(
                f,
                "vendor    {vendor} REFUSES a credential, the last time {} ago: hitl doctor",
                for_people(*last_s)
            )?;
        }
        for Refused { vendor, calls, because, last_s } in &self.turned_away {
            writeln!(
                f,
                "callers   {vendor}: {calls} turned away ({because}), the last {} ago: hitl doctor",
                for_people(*last_s)
            )?;
        }
        match self.lanes.len() {
            0 => writeln!(f, "waiting   nothing")?,
            count => writeln!(f, "waiting   {count} lanes")?,
        }
        for lane in &self.lanes {
            writeln!(f, "  {lane}")?;
        }
        match self.more {
            true => writeln!(f, "Not all lanes are shown: hitl doctor reads the whole table."),
            false => Ok(()),
        }
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session_id, lane, waiting, oldest_s, attempts, next_try } = self;
        let oldest = for_people(*oldest_s);
        write!(f, "{session_id} {lane}: {waiting}, the oldest for {oldest}, {attempts} attempts, next at {next_try}")
    }
}
