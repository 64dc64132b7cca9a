#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "this is how a test fails, also in its helpers"
)]
//! Flows through both functions, judged by the journal of what happened at the vendors.

mod agents;
mod authentic_livechat;
mod delivery;
mod endings;
mod events;
mod handoff;
mod identity;
mod isolation;
mod kills;
mod lanes;
mod reconcile;
