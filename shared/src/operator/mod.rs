//! Operator-only code: only `hitl` uses it, neither function does.
//!
//! The operator's verbs over the table are in `store/operator.rs`, because SDK types do not leave the store. Redelivery and
//! ending a session by hand are in `handoff/verbs/operate.rs`, because they deliver.

pub mod probe;
pub mod secret;
