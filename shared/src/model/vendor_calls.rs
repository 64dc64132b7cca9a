//! How often each vendor was called: LiveChat bills each call.

use serde::{Deserialize, Serialize};

use super::vendor::{BOTCOPY, BOTPRESS, LIVECHAT};

/// Calls by vendor: `{"livechat": 7, "botpress": 9}`; a vendor that was not called is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendorCalls {
    /// Calls of LiveChat.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub livechat: u64,
    /// Calls of Botpress.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub botpress: u64,
    /// Calls of Botcopy.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub botcopy: u64,
}

impl VendorCalls {
    /// The same with one more call of `vendor`, by its name in gates and metrics.
    #[must_use]
    pub fn and_one(mut self, vendor: &str) -> Self {
        let calls = match vendor {
            LIVECHAT => &mut self.livechat,
            BOTPRESS => &mut self.botpress,
            BOTCOPY => &mut self.botcopy,
            _ => return self,
        };
        *calls = calls.saturating_add(1);
        self
    }

    /// The sums of both.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            livechat: self.livechat.saturating_add(other.livechat),
            botpress: self.botpress.saturating_add(other.botpress),
            botcopy: self.botcopy.saturating_add(other.botcopy),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
const fn is_zero(calls: &u64) -> bool {
    *calls == 0
}
