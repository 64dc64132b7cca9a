//! How a session begins and ends.

pub(super) mod claim;
pub(super) mod ending;
pub(super) mod history;
pub(super) mod moving;
pub(super) mod opening;
pub(super) mod request;
pub(super) mod starting;
