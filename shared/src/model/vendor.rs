//! The vendors' names, as errors, metrics, log lines and the table's gates contain them.

/// LiveChat, whose agents answer.
pub const LIVECHAT: &str = "LiveChat";
/// Botpress, a bot platform.
pub const BOTPRESS: &str = "Botpress";
/// Botcopy, a bot platform.
pub const BOTCOPY: &str = "Botcopy";
