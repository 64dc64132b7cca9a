//! The code that both functions share: vendor clients, the table, secrets, and the handoff itself. Nothing here depends on Lambda.
//!
//! # One message through the modules
//!
//! An agent writes "hello" in LiveChat, and LiveChat calls the webhooks function.
//!
//! 1. [`api::route`] finds the function's handler for the path, and [`api::event`] reads the request from API Gateway's event.
//! 2. `handoff::auth` compares the call's secret with [`secrets`], and [`livechat::webhook`] decodes the event.
//! 3. `handoff::verbs::receive` reads the chat's pointer and its session from the [`store`] (`handoff::inbox::find`) and asks
//!    [`bridge::decide`], without I/O, what the event means: a message for the bot's user.
//! 4. `handoff::inbox::accept` writes the message with its receipt into the lane towards the bot ([`model::lane`]). From here on it
//!    cannot be lost, and a repeat of the webhook is recognised.
//! 5. `handoff::delivery::drain` takes the lane's lease and sends the lane's items in order; `delivery::to_bot` delivers one item,
//!    and `delivery::platform` knows how the bot's platform takes it.
//! 6. `handoff::vendors` adds the credential and keeps within the vendor's limits, and [`botpress`] makes the call through [`http`].
//! 7. The drain notes the outcome and gives the lease back, and LiveChat gets its 200. If any step after 4 fails,
//!    `handoff::upkeep::sweep` delivers the message within a minute. A push to Botcopy that takes long is waited for after the 200, in
//!    the [`background`].
//!
//! # Order of the modules
//!
//! Each module imports only modules before it; those of one line do not import one another. `tests/it/layers.rs` enforces this, also for
//! the modules inside [`handoff`].
//!
//! 1. [`ids`], [`redacted`], [`text`], [`clock`], [`telemetry`]; then [`metrics`], [`aws`], [`background`]
//! 2. [`model`]: plain types
//! 3. [`odd`], [`http`], [`media`]
//! 4. [`livechat`], [`botpress`], [`botcopy`], [`secrets`]; then [`store`]
//! 5. [`bridge`]: decisions without I/O; then [`config`]
//! 6. [`api`], [`operator`]
//! 7. [`handoff`]: joins all of it

/// Marks a named place at which a test may kill the process; compiles to nothing in other builds.
macro_rules! fail_point {
    ($side:ident, $step:expr) => {
        #[cfg(feature = "fail-points")]
        $crate::fail_point::pass($step, $crate::fail_point::Side::$side);
    };
}

use std::sync::LazyLock;

/// This build: its version, and the commit if the build was given it (`HITL_COMMIT`), such as `0.1.0 (0123456789ab)`.
pub static VERSION: LazyLock<String> = LazyLock::new(|| {
    let version = env!("CARGO_PKG_VERSION");
    match option_env!("HITL_COMMIT") {
        Some(commit) if !commit.is_empty() => format!("{version} ({commit})"),
        _ => version.to_owned(),
    }
});

pub mod api;
pub mod aws;
pub mod background;
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
