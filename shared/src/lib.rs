//! What both functions share: vendor clients, the table, secrets, and the handoff itself.
//!
//! Vendor modules, [`store`] and [`secrets`] stand side by side and do not know one another; [`bridge`] decides without
//! I/O; [`handoff`] joins them. Nothing here knows Lambda.

pub mod aws;
pub mod botpress;
pub mod bridge;
pub mod clock;
pub mod config;
pub mod handoff;
pub mod http;
pub mod ids;
pub mod livechat;
pub mod redacted;
pub mod secrets;
pub mod store;
pub mod telemetry;
