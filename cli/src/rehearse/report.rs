//! The result of a rehearsal.

use std::fmt;

use serde::Serialize;

use super::statements::{Id, STATEMENTS, Seen};

/// The outcome of a part of the play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Ok,
    Failed,
    NotSeen,
}

/// A part of the play.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Step {
    pub name: &'static str,
    pub outcome: Outcome,
    pub says: String,
    /// The time from the cause to its effect on the other side, if both have a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u128>,
}

/// Whether a statement holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Holds,
    DoesNotHold,
    NotSeen,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Judged {
    pub id: Id,
    pub vendor: &'static str,
    pub verdict: Verdict,
    pub statement: &'static str,
    pub source: &'static str,
    pub says: String,
}

/// A call that the rehearsal itself made.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Timed {
    pub call: String,
    pub status: Option<u16>,
    pub took_ms: u128,
}

/// Everything that was seen, in order.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Report {
    pub group: u32,
    /// The rehearsal's user at Botpress, for `hitl erase`.
    pub user_id: Option<String>,
    /// Why the play stopped before its end, if it did.
    pub stopped: Option<String>,
    pub steps: Vec<Step>,
    /// How long each webhook took: the time of receipt minus the time of sending, by the clocks of two machines.
    pub webhook_delays_ms: Vec<u128>,
    pub calls: Vec<Timed>,
    pub statements: Vec<Judged>,
    /// The most requests that LiveChat may bill for this rehearsal.
    pub billed_calls_at_most: usize,
    /// What could not be closed.
    pub left_open: Vec<String>,
}

impl Report {
    pub(crate) fn step(
        &mut self,
        name: &'static str,
        outcome: Outcome,
        says: impl Into<String>,
        took_ms: Option<u128>,
    ) {
        self.steps.push(Step { name, outcome, says: says.into(), took_ms });
    }

    /// Records the verdict on a statement; the first verdict counts.
    pub(crate) fn judge(&mut self, id: Id, verdict: Verdict, says: impl Into<String>) {
        let known = self.statements.iter().any(|judged| judged.id == id);
        let Some(statement) = STATEMENTS.iter().find(|statement| statement.id == id).filter(|_| !known) else { return };
        let (vendor, text, source) = (statement.vendor, statement.says, statement.source);
        self.statements.push(Judged { id, vendor, verdict, statement: text, source, says: says.into() });
    }

    /// Records for every statement without a verdict why it has none.
    pub(crate) fn complete(&mut self) {
        for statement in STATEMENTS {
            let why = match statement.seen {
                Seen::Rehearse => "the rehearsal did not get this far",
                Seen::Drift => "hitl doctor --drift checks it",
                Seen::Never(why) => why,
            };
            self.judge(statement.id, Verdict::NotSeen, why);
        }
        let place = |id: Id| STATEMENTS.iter().position(|statement| statement.id == id);
        self.statements.sort_by_key(|judged| place(judged.id));
    }

    /// Returns whether the handoff went as it should and nothing that was seen contradicts a statement.
    pub(crate) fn is_good(&self) -> bool {
        self.stopped.is_none()
            && self.left_open.is_empty()
            && self.steps.iter().all(|step| step.outcome != Outcome::Failed)
            && self.statements.iter().all(|judged| judged.verdict != Verdict::DoesNotHold)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The handoff")?;
        for Step { name, outcome, says, took_ms } in &self.steps {
            let outcome = match outcome {
                Outcome::Ok => "ok",
                Outcome::Failed => "FAILED",
                Outcome::NotSeen => "not seen",
            };
            let took = took_ms.map(|took| format!(" ({took} ms)")).unwrap_or_default();
            writeln!(f, "  {outcome:<15} {name:<20} {says}{took}")?;
        }
        writeln!(f, "\nStatements in doubt")?;
        for Judged { id, verdict, statement, source, says, .. } in &self.statements {
            let verdict = match verdict {
                Verdict::Holds => "holds",
                Verdict::DoesNotHold => "DOES NOT HOLD",
                Verdict::NotSeen => "not seen",
            };
            writeln!(f, "  {verdict:<15} {:<20} {statement} {says} [{source}]", id.name())?;
        }
        self.times(f)?;
        if let Some(stopped) = &self.stopped {
            writeln!(f, "\nThe rehearsal stopped: {stopped}")?;
        }
        match self.left_open.as_slice() {
            [] => writeln!(f, "\nNothing is left open.")?,
            left => {
                writeln!(f, "\nLEFT OPEN: {}. hitl close ends a session; close a chat in LiveChat.", left.join(", "))?
            }
        }
        match &self.user_id {
            Some(user_id) => {
                write!(f, "The table's records of the rehearsal expire; hitl erase {user_id} removes them now.")
            }
            None => Ok(()),
        }
    }
}

impl Report {
    fn times(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let delays: Vec<_> = self.webhook_delays_ms.iter().map(ToString::to_string).collect();
        writeln!(f, "\nWebhooks took {} ms", if delays.is_empty() { "-".to_owned() } else { delays.join(", ") })?;
        for Timed { call, status, took_ms } in &self.calls {
            let status = status.map_or("no answer".to_owned(), |status| status.to_string());
            writeln!(f, "  {call:<36} {status:<10} {took_ms} ms")?;
        }
        Ok(())
    }
}
