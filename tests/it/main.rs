#![expect(clippy::panic, clippy::unwrap_used, reason = "this is how a test fails, also in its helpers")]
//! Flows through both functions, judged by the journal of what happened at the vendors.

mod handoff;
mod kills;
mod reconcile;
