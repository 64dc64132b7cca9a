//! Work that is due without a call.

pub(super) mod health;
pub(super) mod reconcile;
pub(super) mod sweep;
pub(super) mod timers;
