//! The Lambda function that bot platforms call.

use std::sync::Arc;

use lambda_http::service_fn;
use shared::clock::Clock;
use shared::config::Config;
use shared::handoff::Handoff;
use shared::telemetry;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let handoff = Arc::new(Handoff::new(Config::from_env()?, Clock::system()).await?);
    lambda_http::run(service_fn(move |request| actions::answer(Arc::clone(&handoff), request))).await
}
