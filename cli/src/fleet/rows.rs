//! The table of tenants, problems first.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use super::tenants::Tenant;
use crate::output::{Answer, Exit, FAILED, FINDING, Failure, SKIPPED};

/// The outcome of the work at a stack; problems sort first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// The work failed.
    Failed,
    /// The work was done, and something is not in order.
    Finding,
    /// The work was not begun.
    Skipped,
    Ok,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Failed => FAILED,
            Self::Finding => FINDING,
            Self::Skipped => SKIPPED,
            Self::Ok => "ok",
        }
    }
}

/// One stack.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub state: State,
    pub stack: String,
    pub region: Option<String>,
    pub says: String,
    /// Lines below the row.
    #[serde(skip)]
    pub notes: Vec<String>,
    /// The `--json` answer of the command for one stack.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub answer: Value,
    #[serde(skip)]
    pub exit: Exit,
}

impl Row {
    pub(crate) fn new(tenant: &Tenant, state: State, says: impl Into<String>) -> Self {
        let exit = match state {
            State::Ok => Exit::Done,
            State::Failed | State::Finding | State::Skipped => Exit::Finding,
        };
        let (stack, region) = (tenant.name.clone(), tenant.region.clone());
        Self { state, stack, region, says: says.into(), notes: Vec::new(), answer: Value::Null, exit }
    }

    pub(crate) fn failed(tenant: &Tenant, failure: &Failure) -> Self {
        Self { exit: failure.exit, ..Self::new(tenant, State::Failed, failure.to_string()) }
    }

    /// Returns the row of a stack whose work was not begun.
    pub(crate) fn not_begun(tenant: &Tenant, why: &str) -> Self {
        Self::new(tenant, State::Skipped, why)
    }

    /// Returns the row of a command for one stack; `says` makes a line of its answer, and lines below that.
    pub(crate) fn of(
        tenant: &Tenant,
        outcome: Result<Answer, Failure>,
        says: impl Fn(&Value) -> (String, Vec<String>),
    ) -> Self {
        match outcome {
            Err(failure) => Self::failed(tenant, &failure),
            Ok(answer) => {
                let state = if answer.exit == Exit::Done { State::Ok } else { State::Finding };
                let (line, notes) = says(&answer.json);
                Self { notes, answer: answer.json, ..Self::new(tenant, state, line) }
            }
        }
    }
}

/// All rows, and a result about all of them together.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Row>,
    /// A line at the end, and its JSON form by name.
    pub together: Option<(&'static str, Value, String)>,
}

impl Table {
    pub(crate) fn new(mut rows: Vec<Row>) -> Self {
        rows.sort_by(|one, other| {
            (one.state, &one.stack, &one.region).cmp(&(other.state, &other.stack, &other.region))
        });
        Self { rows, together: None }
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    fn count(&self, state: State) -> usize {
        self.rows.iter().filter(|row| row.state == state).count()
    }

    /// Uses the worst exit status of the rows for the whole.
    pub(crate) fn answer(&self) -> Answer {
        let worst = self.rows.iter().map(|row| row.exit).max_by_key(|exit| *exit as u8);
        let mut json = json!({
            "tenants": self.rows,
            "failed": self.count(State::Failed),
            "findings": self.count(State::Finding),
            "skipped": self.count(State::Skipped),
        });
        if let (Some(object), Some((name, value, _))) = (json.as_object_mut(), &self.together) {
            object.insert((*name).to_owned(), value.clone());
        }
        Answer { exit: worst.unwrap_or(Exit::Done), json, text: self.to_string() }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.stack.chars().count()).max().unwrap_or_default();
        for Row { state, stack, region, says, notes, .. } in &self.rows {
            let region = region.as_deref().unwrap_or("-");
            writeln!(f, "{:<8} {stack:<width$}  {region:<14} {says}", state.word())?;
            for note in notes {
                writeln!(f, "{:<8} {:<width$}  {:<14} {note}", "", "", "")?;
            }
        }
        write!(
            f,
            "\n{} stacks: {} failed, {} with findings, {} skipped, {} in order.",
            self.rows.len(),
            self.count(State::Failed),
            self.count(State::Finding),
            self.count(State::Skipped),
            self.count(State::Ok)
        )?;
        match &self.together {
            Some((_, _, line)) => write!(f, "\n{line}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_comes_first_and_the_worst_is_the_exit_status() {
        let row = |name: &str, state| Row::new(&Tenant::named(name, None), state, "");
        let rows = vec![row("b", State::Ok), row("d", State::Skipped), row("c", State::Finding), row("a", State::Ok)];
        let stopped = Row::failed(&Tenant::named("e", None), &Failure::stopped("no permission"));
        let table = Table::new([rows.clone(), vec![stopped]].concat());
        let order: Vec<_> = table.rows().iter().map(|row| row.stack.as_str()).collect();
        assert_eq!(order, ["e", "c", "d", "a", "b"]);
        assert_eq!(table.answer().exit, Exit::Stopped);
        assert_eq!(Table::new(rows).answer().exit, Exit::Finding);
        assert_eq!(Table::new(vec![row("a", State::Ok)]).answer().exit, Exit::Done);
        assert!(table.to_string().ends_with("5 stacks: 1 failed, 1 with findings, 1 skipped, 2 in order."), "{table}");
    }
}
