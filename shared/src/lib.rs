//! What both functions share: vendor clients, the table, secrets, and the handoff itself.

pub mod botpress;
pub mod clock;
pub mod http;
pub mod ids;
pub mod livechat;
pub mod redacted;
