//! What both functions share: vendor clients, the table, secrets, and the handoff itself.
//!
//! Vendor modules, [`store`] and [`secrets`] stand side by side and do not know one another; [`bridge`] decides without
//! I/O; [`handoff`] joins them. [`gateway`] reads requests; nothing here knows Lambda.

/// Passes a named place at which a test may kill the process; nothing at all in other builds.
macro_rules! fail_point {
    ($side:ident, $step:expr) => {
        #[cfg(feature = "fail-points")]
        $crate::fail_point::pass($step, $crate::fail_point::Side::$side);
    };
}

use std::sync::LazyLock;

/// This build: its version, and the commit where the build was told of it (`HITL_COMMIT`), such as `0.1.0 (0123456789ab)`.
pub static VERSION: LazyLock<String> = LazyLock::new(|| {
    let version = env!("CARGO_PKG_VERSION");
    match option_env!("HITL_COMMIT") {
        Some(commit) if !commit.is_empty() => format!("{version} ({commit})"),
        _ => version.to_owned(),
    }
});

pub mod api;
pub mod aws;
pub mod botcopy;
pub mod botpress;
pub mod bridge;
#[cfg(feature = "fail-points")]
pub mod cause;
pub mod clock;
pub mod config;
#[cfg(feature = "fail-points")]
pub mod fail_point;
pub mod handoff;
pub mod http;
pub mod ids;
pub mod livechat;
pub mod media;
pub mod metrics;
pub mod model;
pub mod odd;
pub mod operator;
pub mod redacted;
pub mod secrets;
pub mod store;
pub mod telemetry;
pub mod text;
