//! The Lambda function that bot platforms call.

use std::sync::Arc;

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use shared::clock::Clock;
use shared::config::Config;
use shared::handoff::Handoff;
use shared::telemetry;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let handoff = Arc::new(Handoff::new(Config::from_env()?, Clock::system())?);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| actions::handle(Arc::clone(&handoff), event))).await
}
