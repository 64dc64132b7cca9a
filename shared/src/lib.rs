//! What both functions share: vendor clients, the table, secrets, and the handoff itself.

pub mod clock;
pub mod ids;
pub mod redacted;
