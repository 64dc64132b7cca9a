//! The Lambda function that LiveChat and the scheduler call.

use std::sync::Arc;

use lambda_runtime::layers::TracingLayer;
use lambda_runtime::tower::layer::layer_fn;
use lambda_runtime::{LambdaEvent, Runtime, service_fn};
use serde_json::Value;
use shared::clock::Clock;
use shared::config::Config;
use shared::handoff::Handoff;
use shared::telemetry;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let handoff = Arc::new(Handoff::new(Config::from_env()?, Clock::system())?);
    let background = handoff.background.clone();
    let handler = service_fn(move |event: LambdaEvent<Value>| webhooks::handle(Arc::clone(&handoff), event));
    // Outside the runtime's own layers, which post the answer.
    Runtime::new(handler)
        .layer(layer_fn(move |service| background.outlasting(service)))
        .layer(TracingLayer::new())
        .run()
        .await
}
