#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "this is how a test fails, also in its helpers"
)]
//! Flows through both functions, judged by the journal of what happened at the vendors.

mod abuse;
mod agent_messages;
mod agents;
mod alone;
mod authentic_botcopy;
mod authentic_botpress;
mod authentic_livechat;
mod availability;
mod bill;
mod blank;
mod botcopy_deadline;
mod botcopy_events;
mod botcopy_handoff;
mod botcopy_history;
mod botcopy_language;
mod botcopy_pause;
mod botcopy_push;
mod botcopy_words;
mod clocks;
mod cold_start;
mod content_kills;
mod cost;
mod create_user;
mod delivery;
mod doors;
mod either_platform;
mod endings;
mod equal_times;
mod events;
mod forms;
mod given_out;
mod handoff;
mod health;
mod identity;
mod isolation;
mod kills;
mod lanes;
mod late;
mod layers;
mod links;
mod media;
mod metrics;
mod odd_fields;
mod operations;
mod outage;
mod oversize;
mod rating;
mod reconcile;
mod record_kills;
mod records;
mod refused;
mod register;
mod replays;
mod request_forgery;
mod retention;
mod revisions;
mod routing;
mod scenarios;
mod secrets;
mod start;
mod stop;
mod store;
mod strangers;
mod supply_chain;
mod telemetry;
mod template;
mod to_agent;
mod transcript;
mod unheard;
mod unreadable;
mod vanished;
mod voices;
