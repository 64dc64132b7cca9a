//! Relays a user's message without lanes: authenticates the caller, sends the message to one chat, and stores nothing. It is
//! the baseline for the cost of lanes (`performance -- lanes`) and is never deployed.

use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;
use shared::api::event::{self, Request, text};
use shared::botpress::Operation;
use shared::bridge::{ToAgent, to_livechat};
use shared::clock::Clock;
use shared::config::{self, Config};
use shared::handoff::{BotpressProof, Handoff};
use shared::http::Http;
use shared::ids::ChatId;
use shared::livechat::{Client, NewEvent};
use shared::redacted::Redacted;
use shared::telemetry;

const VENDOR_TIMEOUT: Duration = Duration::from_secs(5);

/// The only chat, and its customer's token.
struct Relay {
    handoff: Handoff,
    livechat: Client,
    chat_id: ChatId,
    token: Redacted,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let variable = |name: &str| config::environment(name).ok_or_else(|| format!("{name} is missing"));
    let config = Config::from_env()?;
    let relay = Arc::new(Relay {
        livechat: Client::new(config.livechat.clone(), Http::new(VENDOR_TIMEOUT)?),
        handoff: Handoff::new(config, Clock::system())?,
        chat_id: ChatId::from(variable("CHAT_ID")?.as_str()),
        token: Redacted::from(variable("CUSTOMER_TOKEN")?),
    });
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| answer(Arc::clone(&relay), event))).await
}

async fn answer(relay: Arc<Relay>, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let request = Request::read(event.payload).ok_or("the event is not a request")?;
    let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
    let path_key = request.path.rsplit('/').next().unwrap_or_default();
    let proof = BotpressProof { path_key, signature: header("x-bp-signature"), body: &request.body };
    Box::pin(relay.handoff.authenticate_botpress(proof)).await?;
    let now = relay.handoff.clock.now();
    let (operation, _) = Operation::decode(header("x-bp-operation").unwrap_or_default(), &request.body, now)?;
    if let Operation::MessageCreated(message) = operation {
        let wording = relay.handoff.config.wording.of(None, relay.handoff.config.group_id);
        for (position, item) in to_livechat::items(&message, None, wording) {
            let ToAgent::Message { text, .. } = item else { continue };
            let event = NewEvent::text(text, &position.source_id);
            Box::pin(relay.livechat.customer(&relay.token).send_event(&relay.chat_id, &event)).await?;
        }
    }
    Ok(event::answer(ok()))
}

fn ok() -> Response<String> {
    text(StatusCode::OK, "{}")
}
