//! The install's own settings.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::errors::Error;
use super::super::platform::Platform;
use super::super::schema::{Field, Shape, optional};
use super::Answer;
use super::call::{Call, text};

const SETTINGS: &[Field] = &[
    optional("identifier", Shape::Nullable(&Shape::TextUpTo(200))),
    optional("scheduleRegisterCall", Shape::OneOf(PERIODS)),
    optional("sandboxIdentifiers", Shape::Nullable(&Shape::TextChanges)),
];
const PERIODS: &[&str] = &["hourly", "daily", "weekly", "bi-weekly", "monthly", "bi-monthly", "quarterly", "yearly"];

/// Journals the settings; the schedule does not run here, [`register`](super::super::Simulator::register) replaces it.
pub(super) fn configure(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let body = call.body(&[SETTINGS])?;
    let schedule = text(&body, "scheduleRegisterCall");
    platform.record(
        "integration_configured",
        json!({"identifier": body.get("identifier"), "schedule_register_call": schedule}),
    );
    Ok((200, Value::Object(serde_json::Map::new())))
}
