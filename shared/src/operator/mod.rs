//! Operator-only code: what `hitl` alone uses, and neither function calls.
//!
//! The operator's verbs over the table are in `store/operator.rs`, since SDK types do not leave the store; redelivery and the end of a
//! session by hand are in `handoff/verbs/operate.rs`, since they deliver.

pub mod probe;
pub mod secret;
