//! Instructions for reaching a stack and its people.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::header::HOST;
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::{Only, Shown};
use crate::console::Console;
use crate::stack::{Stack, served};

/// For a person with a browser.
pub fn address(_: &Stack, people: &str, _: Shown) -> String {
    format!("Open {people}")
}

/// For a person with a terminal: the address, then a `curl` line for everything that can be done.
pub fn with_curl(stack: &Stack, people: &str, shown: Shown) -> String {
    let directions = match shown.only {
        None => directions(stack, people, shown.connected),
        Some(only) => alone(stack, only),
    };
    format!("{}\n\n{directions}", address(stack, people, shown))
}

/// What an integration needs to reach a simulator that runs alone.
fn alone(stack: &Stack, only: Only) -> String {
    let described = described(stack, "", Shown { only: Some(only), connected: false });
    let parts = described.get(only.name()).and_then(Value::as_object).into_iter().flatten();
    let line = |(name, value): (&String, &Value)| format!("  {name:<22} {}\n", value.as_str().unwrap_or_default());
    format!("The simulator of one vendor is up; Ctrl-C ends it.\n\n{}", parts.map(line).collect::<String>())
}

/// For a person.
fn directions(stack: &Stack, people: &str, connected: bool) -> String {
    // Values that `hitl connect` creates do not exist before it has run.
    let made = |value: String| if connected { value } else { "(hitl connect creates it)".to_owned() };
    format!(
        "The stack is up; Ctrl-C ends it.

  What the vendors call      {gateway}
    Botpress                 {integration}
    LiveChat                 {webhook}
    Botcopy                  {botcopy_endpoint}
  LiveChat's simulator       {livechat}
    organization             {organization}
    agent token              {agent_token}
    webhook secret           {webhook_secret}
  Botpress's simulator       {botpress}
    bot, integration, alias  {bot_id} {integration_id} {alias}
    access key               {access_key}
  Botcopy's simulator        {botcopy}
    bot                      {botcopy_bot}
    access token             {botcopy_token}
    API key                  {botcopy_key}

Be the user of the Botpress bot:
  curl -X POST {people}/users -d '{{\"name\":\"Ann\"}}' -H 'content-type: application/json'
  curl -X POST {people}/users/CONVERSATION/say -d '{{\"text\":\"hi\"}}' -H 'content-type: application/json'
  curl -X POST {people}/users/CONVERSATION/message -d '{{\"type\":\"choice\",\"payload\":{{\"text\":\"Which?\",\"options\":[]}}}}' -H 'content-type: application/json'
  curl -X POST {people}/users/CONVERSATION/file -d '{{\"name\":\"a.txt\",\"type\":\"text/plain\",\"content\":\"hello\"}}' -H 'content-type: application/json'
  curl -X POST {people}/users/CONVERSATION/profile -d '{{\"name\":\"Ann Lee\"}}' -H 'content-type: application/json'
  curl -X POST {people}/users/CONVERSATION/escalate
  curl -X POST {people}/users/CONVERSATION/end
  curl -X POST {people}/users/CONVERSATION/stop
  curl {people}/users/CONVERSATION/screen
Be the user of the Botcopy bot; the word \"human\" makes it ask for a person:
  curl -X POST {people}/widgets -d '{{\"language\":\"de\"}}' -H 'content-type: application/json'
  curl -X POST {people}/widgets/USER/say -d '{{\"text\":\"a human please\"}}' -H 'content-type: application/json'
  curl -X POST {people}/widgets/USER/type
  curl -X POST {people}/widgets/USER/click -d '{{\"event\":\"BUY\"}}' -H 'content-type: application/json'
  curl {people}/widgets/USER/screen
Be the agent; the ids of events are in the state:
  curl {people}/chats
  curl {people}/state
  curl -X POST {people}/chats/CHAT/say -d '{{\"agent\":\"anna@example.com\",\"text\":\"hello\"}}' -H 'content-type: application/json'
  curl -X POST {people}/chats/CHAT/file -d '{{\"agent\":\"anna@example.com\",\"name\":\"a.txt\",\"type\":\"text/plain\",\"content\":\"hello\"}}' -H 'content-type: application/json'
  curl -X POST {people}/chats/CHAT/edit -d '{{\"event\":\"EVENT\",\"text\":\"hullo\"}}' -H 'content-type: application/json'
  curl -X POST {people}/chats/CHAT/delete -d '{{\"agent\":\"anna@example.com\",\"event\":\"EVENT\"}}' -H 'content-type: application/json'
  curl -X POST {people}/chats/CHAT/note -d '{{\"agent\":\"anna@example.com\",\"text\":\"among us\"}}' -H 'content-type: application/json'
  curl -X POST {people}/chats/CHAT/card -d '{{\"agent\":\"anna@example.com\",\"title\":\"A card\"}}' -H 'content-type: application/json'
  curl -X POST {people}/chats/CHAT/join -d '{{\"agent\":\"ben@example.com\"}}' -H 'content-type: application/json'
  curl -X POST {people}/chats/CHAT/transfer -d '{{\"agent\":\"anna@example.com\",\"to_agent\":\"ben@example.com\"}}' -H 'content-type: application/json'
  curl -X POST {people}/chats/CHAT/close -d '{{\"agent\":\"anna@example.com\"}}' -H 'content-type: application/json'
  curl -X POST {people}/agents/anna@example.com/status -d '{{\"status\":\"not_accepting_chats\"}}' -H 'content-type: application/json'
Be LiveChat: its groups, its router, its webhooks; the number of a delivery is in the journal:
  curl -X POST {people}/groups/1/status -d '{{\"status\":\"offline\"}}' -H 'content-type: application/json'
  curl -X POST {people}/router/assign -d '{{\"chat\":\"CHAT\"}}' -H 'content-type: application/json'
  curl -X POST {people}/router/close -d '{{\"chat\":\"CHAT\"}}' -H 'content-type: application/json'
  curl -X POST {people}/deliveries/0/again
Be the clock, or the auditor:
  curl -X POST {people}/sweep
  curl -X POST {people}/clock -d '{{\"advance_s\":60}}' -H 'content-type: application/json'    # with --clock manual
  curl {people}/stack
  curl {people}/journal
  curl -N {people}/events
Make trouble:
  curl -X POST {people}/faults -d '{{\"where\":\"livechat\",\"calls\":\"send_event\",\"fault\":{{\"answer\":503}},\"times\":1}}' -H 'content-type: application/json'
  curl {people}/faults
  curl -X DELETE {people}/faults/0
  curl -X DELETE {people}/faults
  curl -X POST {people}/credentials -d '{{\"agent_token\":\"revoked\"}}' -H 'content-type: application/json'
  curl -X POST {people}/functions/kill -d '{{\"after\":\"send_event\"}}' -H 'content-type: application/json'
  curl -X POST {people}/functions/restart
Be the operator, in another terminal:
  cargo run -p hitl -- --sandbox {people} doctor
  curl -X POST {people}/doctor
Or start with `serve --unconnected`, connect LiveChat and Botpress with the same command, and press Botpress's button:
  curl -X POST {people}/install
  curl -X POST {people}/endpoint -d '{{\"url\":\"{botcopy_endpoint}\"}}' -H 'content-type: application/json'",
        gateway = stack.gateway.url(),
        integration = made(stack.integration_url()),
        webhook = stack.webhook_url(),
        livechat = stack.livechat.url(),
        organization = stack.livechat.account().organization_id,
        agent_token = stack.livechat.account().agent_token,
        webhook_secret = stack.webhook_secret(),
        botpress = stack.botpress.url(),
        bot_id = stack.botpress.options().install.bot_id,
        integration_id = stack.botpress.options().install.integration_id,
        alias = stack.botpress.options().install.alias,
        access_key = made(stack.botpress.options().access_key.clone()),
        botcopy_endpoint = stack.botcopy_url(),
        botcopy = stack.botcopy.url(),
        botcopy_bot = stack.botcopy.options().bot_id,
        botcopy_token = made(stack.botcopy.options().access_token.clone()),
        botcopy_key = stack.botcopy.options().api_key,
    )
}

/// For a tool, in one line.
///
/// Shape: `{"gateway":"http://…","people":"http://…","livechat":{…},"botpress":{…},"botcopy":{…},"environment":{…},
/// "routes":[["actions","GET","/health"],…]}`; each vendor has its `url`, the stack's URLs that it calls, and the credentials
/// and ids that it issued; the environment is the operator's, the routes are those that the functions serve.
pub fn as_json(stack: &Stack, people: &str, shown: Shown) -> String {
    described(stack, people, shown).to_string()
}

/// What a tool needs to know about a stack.
pub(crate) fn described(stack: &Stack, people: &str, shown: Shown) -> Value {
    let (workspace_id, workspace_handle, personal_access_token) = stack.botpress.workspace();
    let (account, options) = (stack.livechat.account(), stack.botpress.options());
    let route = |(function, method, path): (_, Method, _)| json!([function, method.as_str(), path]);
    let mut all = json!({
        "routes": served().into_iter().map(route).collect::<Vec<_>>(),
        "gateway": stack.gateway.url(),
        "people": people,
        "livechat": {
            "url": stack.livechat.url(),
            "webhook_url": stack.webhook_url(),
            "webhook_secret": stack.webhook_secret(),
            "organization_id": account.organization_id,
            "client_id": account.client_id,
            "redirect_uri": account.redirect_uri,
            "agent_token": account.agent_token,
            "agent_token_owner": account.agent_token_owner,
        },
        "botpress": {
            "url": stack.botpress.url(),
            "integration_url": stack.integration_url(),
            "bot_id": options.install.bot_id,
            "integration_id": options.install.integration_id,
            "alias": options.install.alias,
            "access_key": options.access_key,
            "workspace_id": workspace_id,
            "workspace_handle": workspace_handle,
            "personal_access_token": personal_access_token,
        },
        "botcopy": {
            "url": stack.botcopy.url(),
            "endpoint_url": stack.botcopy_url(),
            "bot_id": stack.botcopy.options().bot_id,
            "access_token": stack.botcopy.options().access_token,
            "custom_header": stack.botcopy.options().custom_header,
            "api_key": stack.botcopy.options().api_key,
        },
        "environment": environment(stack, shown.connected),
    });
    if let (Some(only), Some(parts)) = (shown.only, all.as_object_mut()) {
        // Remove the values that refer to functions, which do not exist here.
        const OURS: [&str; 4] = ["webhook_url", "webhook_secret", "integration_url", "endpoint_url"];
        parts.retain(|name, _| name == "people" || name == only.name());
        if let Some(vendor) = parts.get_mut(only.name()).and_then(Value::as_object_mut) {
            vendor.retain(|name, _| !OURS.contains(&name.as_str()));
        }
    }
    all
}

/// The environment of the operator's command; for a stack that is not connected yet, without the credentials that the
/// command asks for and checks.
fn environment(stack: &Stack, connected: bool) -> BTreeMap<String, String> {
    const SECRETS: [&str; 5] = [
        "LIVECHAT_AGENT_TOKEN",
        "BOTPRESS_PERSONAL_ACCESS_TOKEN",
        "BOTCOPY_API_KEY",
        "BOTCOPY_ACCESS_TOKEN",
        "BOTCOPY_HEADER_VALUE",
    ];
    let mut environment = stack.operator_environment();
    environment.retain(|name, _| connected || !SECRETS.contains(&name.as_str()));
    environment
}

pub(crate) async fn description(State(console): State<Arc<Console>>, headers: HeaderMap) -> Json<Value> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    Json(described(&console.stack, &format!("http://{host}"), console.shown))
}
