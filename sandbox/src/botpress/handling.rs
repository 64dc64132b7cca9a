//! The order in which the integration's posts are handled: one after another, or side by side.

use std::sync::Arc;

use serde_json::json;

use super::platform::Platform;
use super::schedule::{Handling, Posted, Schedule};
use super::state::lock;
use super::{Simulator, plugin};

impl Simulator {
    /// Changes the handling of what arrives from now on; the default is in order.
    pub fn handle(&self, handling: Handling) {
        *lock(&self.platform.schedule) = Schedule { handling, drawn: 0 };
    }
}

impl Platform {
    /// Hands a post of the integration to the plugin: at once, or after its own delay.
    pub(crate) fn hand_to_plugin(self: &Arc<Self>, posted: Posted, id: &str) {
        let Some(delay) = lock(&self.schedule).draw() else { return self.handled_by_plugin(posted, id) };
        let id = id.to_owned();
        self.at(self.now() + delay, move |platform| async move {
            let kind = match posted {
                Posted::Event => "event",
                Posted::Message => "message",
            };
            let delay = u64::try_from(delay.as_millis()).unwrap_or_default();
            platform.record("handled", json!({"kind": kind, "id": id, "delay_ms": delay}));
            platform.handled_by_plugin(posted, &id);
        });
    }

    fn handled_by_plugin(self: &Arc<Self>, posted: Posted, id: &str) {
        match posted {
            Posted::Event => plugin::on_event(self, id),
            Posted::Message => plugin::on_agent_message(self, &mut self.world(), id),
        }
    }
}
