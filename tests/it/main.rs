//! Flows through both functions, judged by the journal of what happened at the vendors.

mod handoff;
mod scenarios;
