//! Items are made durable in their lane; only then does their sender receive a success.

pub(super) mod accept;
pub(super) mod content;
pub(super) mod find;
pub(super) mod replays;
