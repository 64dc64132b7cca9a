#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "this is how a test fails, also in its helpers"
)]
//! The operator's command against the sandbox.

mod botcopy;
mod connecting;
mod costing;
mod definition;
mod doctor;
mod documents;
mod fleet;
mod operating;
mod operator;
mod previous;
mod process;
mod profiles;
mod progress;
mod rehearsing;
mod rotating;
mod stats;
mod watching;
