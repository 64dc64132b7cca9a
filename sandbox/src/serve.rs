//! The stack as a place to try things: it stays up, and people act through a few plain addresses.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::HOST;
use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::clock::{Clock, ManualClock};
use shared::fail_point::Plan;
use tokio::task::JoinHandle;

use crate::botpress::Escalation;
use crate::console::{self, Console, done};
use crate::faults::Faults;
use crate::server::Server;
use crate::stack::{Error, Options, Runtime, SIDE_BY_SIDE, Stack, served};

/// How often the schedule ticks.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Ports of the gateway, LiveChat, Botpress, Botcopy, and the people who use them; 0 picks a free one.
pub type Ports = [u16; 5];

/// By what argument each port is chosen.
const PORT_NAMES: [&str; 5] = ["gateway", "livechat", "botpress", "botcopy", "people"];

/// A vendor whose simulator runs alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Only {
    /// LiveChat: Agent Chat, Customer Chat and Configuration API, accounts, webhooks.
    Livechat,
    /// Botpress: the runtime API with the HITL plugin, and the calls of an integration.
    Botpress,
    /// Botcopy: the push API and the calls of a live-chat endpoint.
    Botcopy,
}

impl Only {
    /// `livechat`, `botpress` or `botcopy`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Livechat => "livechat",
            Self::Botpress => "botpress",
            Self::Botcopy => "botcopy",
        }
    }

    /// The ports where the others listen too, who take any.
    const fn ports(self, ports: Ports) -> Ports {
        let [_, livechat, botpress, botcopy, people] = ports;
        match self {
            Self::Livechat => [0, livechat, 0, 0, people],
            Self::Botpress => [0, 0, botpress, 0, people],
            Self::Botcopy => [0, 0, 0, botcopy, people],
        }
    }
}

/// How to reach a stack and its people, put into words.
pub type Say = fn(&Stack, people: &str, shown: Shown) -> String;

/// How much of a stack there is to show.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// The vendor whose simulator runs alone.
    pub only: Option<Only>,
    /// Whether everything was connected from the beginning; else the credentials are the operator's to enter.
    pub connected: bool,
}

/// What is served, and how.
#[derive(Clone, Debug)]
pub struct Setting<'a> {
    /// Where the functions run.
    pub runtime: Runtime<'a>,
    /// Where the parts listen.
    pub ports: Ports,
    /// Whether the integration is installed and the secret complete from the beginning.
    pub connected: bool,
    /// The vendor whose simulator runs alone, without functions; none for the whole stack.
    pub only: Option<Only>,
    /// Whether the schedule ticks by itself, each minute.
    pub sweeps: bool,
    /// Whether people move the clock; functions that run as processes keep the machine's.
    pub manual_clock: bool,
}

/// A stack with its people; it stops when this value is dropped.
#[derive(Debug)]
pub struct Serving {
    /// The stack.
    pub stack: Arc<Stack>,
    shown: Shown,
    people: Server,
    schedule: Option<JoinHandle<()>>,
}

impl Serving {
    /// Starts the stack, with the integration installed if it is to be connected.
    ///
    /// # Errors
    ///
    /// When a port is taken, there are no compiled functions where they should be, or the integration cannot be installed.
    pub async fn start(setting: Setting<'_>) -> Result<Self, Error> {
        let Setting { runtime, ports, connected, only, sweeps, manual_clock } = setting;
        let ports = only.map_or(ports, |only| only.ports(ports));
        let connected = connected && only.is_none();
        let shown = Shown { only, connected };
        check_ports(ports)?;
        check_binaries(runtime)?;
        let [gateway, livechat, botpress, botcopy, people] = ports;
        let manual = manual_clock.then(|| ManualClock::new(Clock::system().now()));
        let clock = manual.as_ref().map_or_else(Clock::system, ManualClock::clock);
        let plan = Plan::default();
        let options = Options {
            runtime,
            ports: [gateway, livechat, botpress, botcopy],
            connected,
            has_functions: only.is_none(),
            instances: SIDE_BY_SIDE,
            fail_points: plan.clone(),
            // Writes meet there as they do at AWS.
            table_proxy: true,
            ..Options::in_process(clock.clone())
        };
        let stack = Arc::new(Stack::start(options).await?);
        if connected {
            stack.install().await?;
        }
        let console = Arc::new(Console::new(Arc::clone(&stack), plan, manual, shown));
        let router = router(Arc::clone(&stack)).merge(console::router(Arc::clone(&console)));
        let router = router.layer(axum::middleware::from_fn(console::guard));
        let people = Server::start(people, router, Faults::default(), Clock::system()).await?;
        let schedule = (sweeps && only.is_none()).then(|| tokio::spawn(keep_sweeping(console, clock)));
        Ok(Self { stack, shown, people, schedule })
    }

    /// Where people act, and where the page is: `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        self.people.url()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(schedule) = &self.schedule {
            schedule.abort();
        }
    }
}

/// Starts what the setting says, says how to reach it, and waits for Ctrl-C.
///
/// # Errors
///
/// As [`Serving::start`].
pub async fn serve(setting: Setting<'_>, say: Say) -> Result<(), Error> {
    let serving = Serving::start(setting).await?;
    let said = writeln!(io::stdout(), "{}", say(&serving.stack, &serving.url(), serving.shown));
    match said {
        // Nobody reads it; the stack is there all the same.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    Ok(tokio::signal::ctrl_c().await?)
}

async fn keep_sweeping(console: Arc<Console>, clock: Clock) {
    loop {
        if let Err(error) = console.sweep().await {
            tracing::warn!("the sweep failed: {error}");
        }
        clock.sleep(SWEEP_EVERY).await;
    }
}

/// Looks at the ports before anything is started, so that the error can name the argument that chooses another.
fn check_ports(ports: Ports) -> Result<(), Error> {
    for (name, port) in PORT_NAMES.into_iter().zip(ports) {
        if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            let choose = format!("choose another with --{name} PORT, or any free one with --{name} 0");
            return Err(format!("port {port} cannot be had ({error}): {choose}").into());
        }
    }
    Ok(())
}

/// Names what to build where there are no compiled functions.
///
/// # Errors
///
/// When one of them is missing.
pub fn check_binaries(runtime: Runtime<'_>) -> Result<(), Error> {
    let Runtime::Processes(folder) = runtime else { return Ok(()) };
    match ["actions", "webhooks"].into_iter().find(|name| !folder.join(name).is_file()) {
        None => Ok(()),
        Some(missing) => Err(format!(
            "there is no compiled function `{missing}` in {}: build both with `cargo build --release -p actions -p webhooks` and \
             say `--binaries target/release`",
            folder.display()
        )
        .into()),
    }
}

fn router(stack: Arc<Stack>) -> Router {
    Router::new()
        .route("/users", post(new_user))
        .route("/users/{conversation}/say", post(say))
        .route("/users/{conversation}/escalate", post(escalate))
        .route("/users/{conversation}/screen", get(screen))
        .route("/widgets", post(new_widget))
        .route("/widgets/{user}/say", post(widget_says))
        .route("/widgets/{user}/type", post(widget_types))
        .route("/widgets/{user}/click", post(widget_clicks))
        .route("/widgets/{user}/screen", get(widget_screen))
        .route("/chats", get(chats))
        .route("/chats/{chat}/say", post(answer))
        .route("/chats/{chat}/send", post(send))
        .route("/chats/{chat}/edit", post(edit))
        .route("/chats/{chat}/delete", post(delete))
        .route("/chats/{chat}/close", post(close))
        .route("/install", post(install))
        .route("/endpoint", post(set_endpoint))
        .route("/journal", get(journal))
        .with_state(stack)
}

/// For a person who has a browser.
pub fn address(_: &Stack, people: &str, _: Shown) -> String {
    format!("Open {people}")
}

/// For a person who has a terminal: the address, then everything that can be done with `curl`.
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
    // What `hitl connect` makes is not there before.
    let made = |value: String| if connected { value } else { "(hitl connect makes it)".to_owned() };
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
  curl -X POST {people}/users/CONVERSATION/escalate
  curl {people}/users/CONVERSATION/screen
Be the user of the Botcopy bot; the word \"human\" makes it ask for a person:
  curl -X POST {people}/widgets -d '{{\"language\":\"de\"}}' -H 'content-type: application/json'
  curl -X POST {people}/widgets/USER/say -d '{{\"text\":\"a human please\"}}' -H 'content-type: application/json'
  curl -X POST {people}/widgets/USER/type
  curl -X POST {people}/widgets/USER/click -d '{{\"event\":\"BUY\"}}' -H 'content-type: application/json'
  curl {people}/widgets/USER/screen
Be the agent:
  curl {people}/chats
  curl -X POST {people}/chats/CHAT/say -d '{{\"agent\":\"anna@example.com\",\"text\":\"hello\"}}' -H 'content-type: application/json'
  curl -X POST {people}/chats/CHAT/send -d '{{\"agent\":\"anna@example.com\",\"name\":\"a.txt\",\"type\":\"text/plain\",\"content\":\"hello\"}}' -H 'content-type: application/json'
  curl -X POST {people}/chats/CHAT/edit -d '{{\"event\":\"EVENT\",\"text\":\"hullo\"}}' -H 'content-type: application/json'
  curl -X POST {people}/chats/CHAT/delete -d '{{\"agent\":\"anna@example.com\",\"event\":\"EVENT\"}}' -H 'content-type: application/json'
  curl -X POST {people}/chats/CHAT/close -d '{{\"agent\":\"anna@example.com\"}}' -H 'content-type: application/json'
Be the clock, or the auditor:
  curl -X POST {people}/sweep
  curl {people}/journal
Be the operator, in another terminal:
  cargo run -p cli -- --sandbox {people} doctor
Or start with `serve --unconnected`, connect LiveChat and Botpress with the same command, and press Botpress's button:
  curl -X POST {people}/install",
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
/// "routes":[["actions","GET","/health"],…]}`; each vendor has its `url`, what it calls of ours, and the credentials and ids that it
/// issued; the environment is the operator's, the routes are what the functions serve.
pub fn as_json(stack: &Stack, people: &str, shown: Shown) -> String {
    described(stack, people, shown).to_string()
}

/// What a tool needs to know of a stack.
pub fn described(stack: &Stack, people: &str, shown: Shown) -> Value {
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
        // What leads to functions that are not there would be untrue.
        const OURS: [&str; 4] = ["webhook_url", "webhook_secret", "integration_url", "endpoint_url"];
        parts.retain(|name, _| name == "people" || name == only.name());
        if let Some(vendor) = parts.get_mut(only.name()).and_then(Value::as_object_mut) {
            vendor.retain(|name, _| !OURS.contains(&name.as_str()));
        }
    }
    all
}

/// What the operator's command is told; of a stack that is to be connected, no credential: those it asks for and checks.
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

#[derive(Deserialize)]
struct NewUser {
    name: String,
    email: Option<String>,
    picture: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    text: String,
}

#[derive(Deserialize)]
struct Opened {
    language: Option<String>,
}

#[derive(Deserialize)]
struct Clicked {
    event: String,
    #[serde(default)]
    parameters: Value,
}

#[derive(Deserialize)]
struct Answered {
    agent: String,
    text: String,
}

#[derive(Deserialize)]
struct Sent {
    agent: String,
    name: String,
    #[serde(rename = "type")]
    content_type: String,
    content: String,
}

#[derive(Deserialize)]
struct Edited {
    event: String,
    text: String,
}

#[derive(Deserialize)]
struct Deleted {
    agent: String,
    event: String,
}

#[derive(Deserialize)]
struct At {
    url: String,
}

#[derive(Deserialize)]
struct Closed {
    agent: String,
}

async fn new_user(State(stack): State<Arc<Stack>>, Json(user): Json<NewUser>) -> Json<Value> {
    let user = stack.botpress.new_user(&user.name, user.email.as_deref(), user.picture.as_deref());
    Json(json!({ "conversation": user.conversation_id }))
}

async fn say(State(stack): State<Arc<Stack>>, Path(conversation): Path<String>, Json(said): Json<Said>) -> Response {
    done(stack.botpress.user_says(&conversation, &said.text).await)
}

async fn escalate(State(stack): State<Arc<Stack>>, Path(conversation): Path<String>) -> Response {
    done(stack.botpress.escalate(&conversation, Escalation::default()).await)
}

async fn screen(State(stack): State<Arc<Stack>>, Path(conversation): Path<String>) -> Json<Value> {
    let lines = stack.botpress.transcript(&conversation);
    let lines = lines.iter().map(|line| {
        json!({
            "from": format!("{:?}", line.from), "name": line.name, "text": line.text,
            "type": line.message_type, "payload": line.payload,
        })
    });
    Json(lines.collect())
}

async fn new_widget(State(stack): State<Arc<Stack>>, opened: Option<Json<Opened>>) -> Json<Value> {
    let language = opened.and_then(|Json(opened)| opened.language);
    Json(json!({ "user": stack.botcopy.new_user_speaking(language.as_deref().unwrap_or("en")) }))
}

async fn widget_types(State(stack): State<Arc<Stack>>, Path(user): Path<String>) -> Response {
    done(stack.botcopy.user_types(&user).await)
}

async fn widget_clicks(
    State(stack): State<Arc<Stack>>,
    Path(user): Path<String>,
    Json(clicked): Json<Clicked>,
) -> Response {
    done(stack.botcopy.user_clicks(&user, &clicked.event, &clicked.parameters).await)
}

async fn widget_says(State(stack): State<Arc<Stack>>, Path(user): Path<String>, Json(said): Json<Said>) -> Response {
    done(stack.botcopy.user_says(&user, &said.text).await)
}

async fn widget_screen(State(stack): State<Arc<Stack>>, Path(user): Path<String>) -> Json<Value> {
    let lines = stack.botcopy.screen(&user);
    let lines =
        lines.iter().map(|line| json!({ "from": format!("{:?}", line.from), "name": line.name, "text": line.text }));
    Json(lines.collect())
}

async fn chats(State(stack): State<Arc<Stack>>) -> Json<Value> {
    let chats = stack.livechat.open_chats();
    let chats = chats.iter().map(|chat| json!({ "chat": chat.id, "agent": chat.public_agent() }));
    Json(chats.collect())
}

async fn answer(State(stack): State<Arc<Stack>>, Path(chat): Path<String>, Json(said): Json<Answered>) -> Response {
    done(stack.livechat.agent_sends_text(&chat, &said.agent, &said.text))
}

async fn send(State(stack): State<Arc<Stack>>, Path(chat): Path<String>, Json(sent): Json<Sent>) -> Response {
    let Sent { agent, name, content_type, content } = sent;
    done(stack.livechat.agent_sends_file(&chat, &agent, &name, &content_type, content.into_bytes()))
}

async fn edit(State(stack): State<Arc<Stack>>, Path(chat): Path<String>, Json(edited): Json<Edited>) -> Response {
    done(stack.livechat.agent_edits(&chat, &edited.event, &edited.text))
}

async fn delete(State(stack): State<Arc<Stack>>, Path(chat): Path<String>, Json(deleted): Json<Deleted>) -> Response {
    done(stack.livechat.agent_deletes(&chat, &deleted.agent, &deleted.event))
}

async fn close(State(stack): State<Arc<Stack>>, Path(chat): Path<String>, Json(closed): Json<Closed>) -> Response {
    done(stack.livechat.agent_closes(&chat, &closed.agent))
}

/// The button in Botpress Studio: for what `hitl connect botpress` has made, or for the integration at this address.
async fn install(State(stack): State<Arc<Stack>>, at: Option<Json<At>>) -> Response {
    let installed = match at {
        Some(Json(At { url })) => stack.botpress.install_integration(&url).await,
        None => stack.botpress.install_deployed().await,
    };
    done(installed.and_then(|answer| match answer.status {
        200 => Ok(()),
        _ => Err(answer.body),
    }))
}

/// The field for the live-chat endpoint in Botcopy's portal.
async fn set_endpoint(State(stack): State<Arc<Stack>>, Json(At { url }): Json<At>) -> Response {
    stack.botcopy.connect(&url);
    done(Ok::<_, String>(()))
}

pub(crate) async fn description(State(console): State<Arc<Console>>, headers: HeaderMap) -> Json<Value> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    Json(described(&console.stack, &format!("http://{host}"), console.shown))
}

async fn journal(State(stack): State<Arc<Stack>>) -> Response {
    Json(stack.journal.entries()).into_response()
}
