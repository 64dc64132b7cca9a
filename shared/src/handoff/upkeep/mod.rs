//! What is due although nobody calls.

pub(super) mod health;
pub(super) mod reconcile;
pub(super) mod sweep;
pub(super) mod timers;
