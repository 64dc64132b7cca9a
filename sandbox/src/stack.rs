//! The whole stack: both functions behind the gateway, with simulated vendors and an embedded table.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_http_client::Builder;
use http::Method;
use serde_json::{Value, json};
use shared::bridge::webhooks as own_webhooks;
use shared::clock::{Clock, Timestamp};
use shared::config::Config;
use shared::fail_point::Plan;
use shared::handoff::Handoff;
use shared::http::Http;
use shared::livechat::NewWebhook;
use shared::media::Policy;
use shared::metrics::Metrics;
use shared::redacted::Redacted;
use shared::secrets;

use crate::deployed::Deployed;
use crate::error::Error;
use crate::faults::Faults;
use crate::function::Function;
use crate::gateway::{Gateway, Route, schedule};
use crate::instances::Instances;
use crate::invocation::REGION;
use crate::journal::Journal;
use crate::runtime::{Bootstrap, Vendor};
use crate::secrets_manager::SecretsManager;
use crate::table::EmbeddedTable;
use crate::table_proxy::TableProxy;
use crate::underway::Underway;
use crate::{botcopy, botpress, cause, livechat};

const TABLE: &str = "livechat-hitl";
const SECRET: &str = "livechat-hitl";

const ACTIONS: &str = "actions";
const WEBHOOKS: &str = "webhooks";

/// One second below API Gateway's timeout.
const ACTIONS_TIMEOUT: Duration = Duration::from_secs(29);

/// One second below the interval between two sweeps; calls from LiveChat have their own shorter limit.
const WEBHOOKS_TIMEOUT: Duration = Duration::from_secs(59);

/// The time that LiveChat may take to register a webhook.
const VENDOR_TIMEOUT: Duration = Duration::from_secs(5);

/// Lambda starts more instances under load; two are enough for a call that leads to another one of the same function.
pub const SIDE_BY_SIDE: usize = 2;

/// The error of an invocation that no instance can take.
const NO_INSTANCE: &str = "there is no instance";

/// The values in the secret that the stack chooses, not a vendor.
const WEBHOOK_SECRET: &str = "sandbox-webhook-secret";
const PATH_KEY: &str = "sandbox-path-key";
/// Base64url of 32 bytes, as Botpress issues them.
const SIGNING_SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// The custom header of Botcopy's calls, name and value.
const CUSTOM_HEADER: [&str; 2] = ["X-Sandbox", "sandbox-header-value"];

/// Where the functions run.
#[derive(Clone, Copy, Debug)]
pub enum Runtime<'a> {
    /// In this process, on the stack's clock.
    InProcess,
    /// As compiled binaries named `actions` and `webhooks` in this folder, on the machine's clock; a list of folders, in the form of
    /// `PATH`, means several builds, which the processes run in turns.
    Processes(&'a Path),
    /// As deployed to an AWS emulator, with its table and its secret.
    Deployed(&'a Deployed),
}

/// One of the two functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Called by bot platforms.
    Actions,
    /// Called by LiveChat and the schedule.
    Webhooks,
}

/// The parts and settings of a stack.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// The clock of the simulators.
    pub clock: Clock,
    /// The clock of functions in this process.
    pub functions_clock: Clock,
    /// The clock of the function `webhooks` in this process, if it differs.
    pub webhooks_clock: Option<Clock>,
    /// Where the functions run.
    pub runtime: Runtime<'a>,
    /// Ports of the gateway, LiveChat, Botpress and Botcopy; 0 picks free ones.
    pub ports: [u16; 4],
    /// The fail points of invocations in this process.
    pub fail_points: Plan,
    /// Variables for the functions, overriding the sandbox's own: `("WHEN_OFFLINE", "leave_message")`.
    pub environment: Vec<(String, String)>,
    /// The time that the HITL plugin takes from the answer of `startHitl` to the activation of the session.
    pub activation_delay: Duration,
    /// The declarations of the integration's definition at Botpress.
    pub definition: botpress::Definition,
    /// Whether the secret is complete; otherwise it contains only what the template generates.
    pub connected: bool,
    /// Whether the gateway leads to the functions; otherwise the simulators run alone.
    pub has_functions: bool,
    /// Whether the functions reach the table through a proxy that spoils calls.
    pub table_proxy: bool,
    /// The number of instances of each function; they take turns, and share only the table and the secret. A compiled
    /// instance answers one call at a time.
    pub instances: usize,
    /// The Dialogflow edition that the Botcopy bot is built with.
    pub botcopy: botcopy::Dialogflow,
}

impl Options<'_> {
    /// Everything in this process and on free ports.
    pub fn in_process(clock: Clock) -> Self {
        Self {
            functions_clock: clock.clone(),
            webhooks_clock: None,
            clock,
            runtime: Runtime::InProcess,
            ports: [0; 4],
            environment: Vec::new(),
            fail_points: Plan::default(),
            activation_delay: Duration::ZERO,
            definition: botpress::Definition::default(),
            table_proxy: false,
            instances: 1,
            botcopy: botcopy::Dialogflow::default(),
            connected: true,
            has_functions: true,
        }
    }
}

/// A running stack; it stops when this value is dropped.
#[derive(Debug)]
pub struct Stack {
    /// The gateway's public side.
    pub gateway: Gateway,
    /// LiveChat.
    pub livechat: livechat::Simulator,
    /// Botpress, with one install of the integration.
    pub botpress: botpress::Simulator,
    /// Botcopy, with one bot whose live-chat endpoint is this stack.
    pub botcopy: botcopy::Simulator,
    /// The effects at all vendors.
    pub journal: Journal,
    /// The table.
    pub table: EmbeddedTable,
    /// The proxy between the functions and the table, if any.
    pub table_proxy: Option<TableProxy>,
    /// The secret.
    pub secrets_manager: SecretsManager,
    /// Faults between the callers and the functions.
    pub gateway_faults: Faults,
    /// The measurements of the functions in this process.
    pub metrics: Metrics,
    variables: Vec<(String, String)>,
    /// Calls to the functions in flight: webhooks, operations, ticks of the schedule.
    pub underway: Underway,
    clock: Clock,
    actions: Function,
    webhooks: Function,
    instances: Vec<Instances>,
}

/// The routes of the functions: function, method and path, `("actions", POST, "/botpress/{key}")`.
///
/// If both serve the same route, the first one is called.
pub fn served() -> Vec<(&'static str, Method, &'static str)> {
    let actions = actions::ROUTES.iter().map(|route| (ACTIONS, route.method.clone(), route.pattern));
    let webhooks = webhooks::ROUTES.iter().map(|route| (WEBHOOKS, route.method.clone(), route.pattern));
    actions.chain(webhooks).collect()
}

impl Stack {
    /// Starts everything; the integration is not installed yet.
    ///
    /// # Errors
    ///
    /// When a port is taken, or a binary does not start.
    pub async fn start(options: Options<'_>) -> Result<Self, Error> {
        let Options { clock, functions_clock, webhooks_clock, runtime, ports, environment, fail_points, .. } = options;
        let Options { activation_delay, connected, has_functions, definition, table_proxy, instances: count, .. } =
            options;
        let dialogflow = options.botcopy;
        let metrics = Metrics::kept();
        let [gateway_port, livechat_port, botpress_port, botcopy_port] = ports;
        let (journal, underway) = (Journal::default(), Underway::default());
        let table = EmbeddedTable::start(TABLE)?;
        let table_proxy = match table_proxy {
            true => Some(TableProxy::start(table.url(), clock.clone()).await?),
            false => None,
        };
        let table_url = table_proxy.as_ref().map_or_else(|| table.url(), TableProxy::url);
        let secrets_manager = SecretsManager::start(0, Faults::default(), clock.clone()).await?;
        let livechat = livechat::Simulator::start(livechat::Options {
            port: livechat_port,
            underway: underway.clone(),
            ..livechat::Options::new(clock.clone(), journal.clone())
        })
        .await?;
        let botpress = botpress::Simulator::start(botpress::Options {
            port: botpress_port,
            signing_secret: Some(SIGNING_SECRET.to_owned()),
            activation_delay,
            definition,
            underway: underway.clone(),
            ..botpress::Options::new(clock.clone(), journal.clone())
        })
        .await?;
        let botcopy = botcopy::Simulator::start(botcopy::Options {
            port: botcopy_port,
            dialogflow,
            custom_header: Some(CUSTOM_HEADER.map(str::to_owned).into()),
            underway: underway.clone(),
            ..botcopy::Options::new(clock.clone(), journal.clone())
        })
        .await?;
        let stored = match connected {
            true => secret(&livechat, &botpress, &botcopy),
            false => json!({ "webhookSecret": WEBHOOK_SECRET }),
        };
        secrets_manager.put(SECRET, stored.clone());

        let mut variables = variables(&livechat, &botpress, &table_url, &secrets_manager);
        variables.push(("BOTCOPY_API_URL".to_owned(), botcopy.url()));
        variables.extend(environment);
        let (actions, webhooks, instances) = match runtime {
            Runtime::InProcess => {
                let setting = Setting {
                    // The last of several values for one variable applies.
                    config: Config::from_lookup(|key| {
                        variables.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.clone())
                    })?,
                    clock: functions_clock,
                    table_url,
                    secrets_url: secrets_manager.url(),
                    files_url: botpress.files_url(),
                    metrics: metrics.clone(),
                };
                let for_webhooks =
                    Setting { clock: webhooks_clock.unwrap_or(setting.clock.clone()), ..setting.clone() };
                in_process((&setting, &for_webhooks), &fail_points, count)?
            }
            Runtime::Processes(folder) => {
                let vendors = [
                    Vendor { url: livechat.url(), inside: livechat.inside() },
                    Vendor { url: botpress.url(), inside: botpress.inside() },
                    Vendor { url: botcopy.url(), inside: botcopy.inside() },
                ];
                let (actions, webhooks) = processes(&vendors, &variables, folder, count).await?;
                (actions, webhooks, Vec::new())
            }
            Runtime::Deployed(deployed) => {
                // An operator who practises connecting completes the secret that the stack has created.
                if connected {
                    deployed.put_secret(&stored).await?;
                }
                let function = |name: &str| deployed.function(name).map(Function::Deployed);
                (function(&deployed.actions)?, function(&deployed.webhooks)?, Vec::new())
            }
        };
        let routes = served()
            .into_iter()
            .filter(|_| has_functions)
            .map(|(function, method, pattern)| {
                let function = if function == ACTIONS { &actions } else { &webhooks };
                Route::new(method, pattern, function.clone())
            })
            .collect();
        let gateway_faults = Faults::default();
        let gateway = Gateway::start(gateway_port, routes, gateway_faults.clone(), clock.clone()).await?;
        botcopy.connect(&format!("{}/botcopy", gateway.url()));
        Ok(Self {
            underway,
            gateway,
            livechat,
            botpress,
            botcopy,
            journal,
            table,
            table_proxy,
            secrets_manager,
            gateway_faults,
            metrics,
            variables,
            clock,
            actions,
            webhooks,
            instances,
        })
    }

    /// The environment of an operator's command: the functions' own variables, the gateway's address, and the
    /// credentials that the vendors have issued to a person.
    pub fn operator_environment(&self) -> BTreeMap<String, String> {
        let (workspace_id, workspace_handle, personal_access_token) = self.botpress.workspace();
        let own = [
            ("HITL_URL", self.gateway.url()),
            ("LIVECHAT_AGENT_TOKEN", self.livechat.account().agent_token.clone()),
            ("BOTPRESS_WORKSPACE_ID", workspace_id.to_owned()),
            ("BOTPRESS_WORKSPACE_HANDLE", workspace_handle.to_owned()),
            ("BOTPRESS_PERSONAL_ACCESS_TOKEN", personal_access_token.to_owned()),
            ("BOTCOPY_BOT_ID", self.botcopy.options().bot_id.clone()),
            ("BOTCOPY_API_KEY", self.botcopy.options().api_key.clone()),
            ("BOTCOPY_ACCESS_TOKEN", self.botcopy.options().access_token.clone()),
            ("BOTCOPY_HEADER_NAME", CUSTOM_HEADER[0].to_owned()),
            ("BOTCOPY_HEADER_VALUE", CUSTOM_HEADER[1].to_owned()),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value));
        self.variables.iter().cloned().chain(own).collect()
    }

    /// Installs the integration on the bot, which also registers LiveChat's webhooks.
    ///
    /// # Errors
    ///
    /// The message that Botpress would show.
    pub async fn install(&self) -> Result<(), Error> {
        let answer = self.botpress.install_integration(&self.integration_url()).await?;
        match answer.status {
            200 => Ok(()),
            _ => Err(answer.body.into()),
        }
    }

    /// Registers LiveChat's webhooks as the operator's command does, for a stack without Botpress.
    ///
    /// # Errors
    ///
    /// What LiveChat refuses.
    pub async fn connect_livechat(&self) -> Result<(), Error> {
        let lookup =
            |key: &str| self.variables.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.clone());
        let (config, http) = (Config::from_lookup(lookup)?, Http::new(VENDOR_TIMEOUT)?);
        let client = shared::livechat::Client::new(config.livechat, http);
        let (token, secret) =
            (Redacted::from(self.livechat.account().agent_token.as_str()), Redacted::from(WEBHOOK_SECRET));
        let owner = client.configuration(&token);
        for action in own_webhooks::ACTIONS {
            let webhook = NewWebhook {
                action,
                url: &self.webhook_url(),
                secret: &secret,
                description: &own_webhooks::description(&secret),
                filters: own_webhooks::filters(action, config.only_my_chats),
            };
            owner.register_webhook(&webhook).await?;
        }
        Ok(owner.enable_license_webhooks().await?)
    }

    /// The URL at which Botpress calls the integration.
    pub fn integration_url(&self) -> String {
        format!("{}/botpress/{PATH_KEY}", self.gateway.url())
    }

    /// The URL at which LiveChat calls the stack.
    pub fn webhook_url(&self) -> String {
        format!("{}/livechat", self.gateway.url())
    }

    /// The initial contents of the secret.
    pub fn secret(&self) -> Value {
        secret(&self.livechat, &self.botpress, &self.botcopy)
    }

    /// The URL at which Botcopy calls the stack.
    pub fn botcopy_url(&self) -> String {
        format!("{}/botcopy", self.gateway.url())
    }

    /// Returns whether a fault script holds a call back at this moment.
    pub fn holds_calls(&self) -> bool {
        self.held_calls() > 0
    }

    /// The number of calls that fault scripts hold back at this moment.
    pub fn held_calls(&self) -> usize {
        self.fault_scripts().map(Faults::held).sum()
    }

    /// The earliest time at which a call whose caller has disconnected takes effect.
    pub fn next_late(&self) -> Option<Timestamp> {
        self.fault_scripts().filter_map(Faults::next_late).min()
    }

    fn fault_scripts(&self) -> impl Iterator<Item = &Faults> {
        let proxy = self.table_proxy.as_ref().map(TableProxy::faults);
        let vendors = [self.livechat.faults(), self.botpress.faults(), self.botcopy.faults()];
        let others = [&self.gateway_faults, self.secrets_manager.faults()];
        vendors.into_iter().chain(others).chain(proxy)
    }

    /// The secret in each of LiveChat's webhooks.
    pub const fn webhook_secret(&self) -> &'static str {
        WEBHOOK_SECRET
    }

    /// The number of invocations in this process that have not been answered.
    pub fn invocations(&self) -> usize {
        self.actions.running() + self.webhooks.running()
    }

    /// The number of invocations running in this process, including those whose work goes on when they have been answered.
    pub fn running(&self) -> usize {
        self.invocations() + self.instances.iter().map(Instances::in_background).sum::<usize>()
    }

    /// Replaces every function instance of this process by a new one, as after a crash.
    ///
    /// # Errors
    ///
    /// When a client cannot be built.
    pub fn restart_functions(&self) -> Result<(), Error> {
        self.instances.iter().try_for_each(Instances::restart)
    }

    /// The same, including compiled functions.
    ///
    /// # Errors
    ///
    /// When a client cannot be built, or a binary does not start.
    pub async fn restart_all(&self) -> Result<(), Error> {
        for side in [Side::Actions, Side::Webhooks] {
            if let Some(bootstrap) = self.processes(side) {
                bootstrap.restart().await?;
            }
        }
        self.restart_functions()
    }

    /// Returns whether the functions run in this process.
    pub fn is_in_process(&self) -> bool {
        !self.instances.is_empty()
    }

    /// The time on the simulators' clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The simulators' clock.
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Returns whether anything runs in the background, or waits for its next attempt at a vendor.
    pub fn is_busy(&self) -> bool {
        let tasks = self.livechat.open_deliveries() + self.botpress.background_tasks();
        tasks + self.underway.count() + self.running() > 0 || self.next_late().is_some()
    }

    /// Kills the compiled functions; returns everything that they have ever printed, line by line. Functions that are
    /// not processes contribute nothing.
    pub async fn end_processes(&self) -> Vec<String> {
        let mut printed = Vec::new();
        for function in [&self.actions, &self.webhooks] {
            if let Function::Process(bootstrap) = function {
                bootstrap.kill().await;
                printed.extend(bootstrap.logs());
            }
        }
        printed
    }

    /// Passes an event directly to a function, bypassing the gateway, as no caller could; returns the function's own answer.
    ///
    /// # Errors
    ///
    /// When the function has no answer, or panics.
    pub async fn invoke(&self, side: Side, event: Value) -> Result<Value, Error> {
        let function = match side {
            Side::Actions => &self.actions,
            Side::Webhooks => &self.webhooks,
        };
        Ok(function.invoke(event).await?)
    }

    /// The processes of a function, if it runs in processes.
    pub const fn processes(&self, side: Side) -> Option<&Bootstrap> {
        match (side, &self.actions, &self.webhooks) {
            (Side::Actions, Function::Process(bootstrap), _) | (Side::Webhooks, _, Function::Process(bootstrap)) => {
                Some(bootstrap)
            }
            _ => None,
        }
    }

    /// Runs the schedule once.
    ///
    /// # Errors
    ///
    /// When the sweep fails.
    pub async fn sweep(&self) -> Result<Value, Error> {
        let _underway = self.underway.begin();
        let tick = self.webhooks.invoke(schedule(self.clock.now()));
        Ok(cause::begun("sweep", tick).await?)
    }

    /// Waits until nothing is in flight: no webhook, no message delivery, nor their effects.
    pub async fn settled(&self) {
        let mut seen = None;
        // What settles at one vendor can start something at the other; all is quiet when a round has changed nothing.
        while seen != Some(self.journal.len()) {
            seen = Some(self.journal.len());
            for script in self.fault_scripts() {
                script.settled(&self.clock).await;
            }
            self.livechat.settled().await;
            self.botpress.settled().await;
            for instances in &self.instances {
                instances.settled().await;
            }
        }
    }
}

fn secret(livechat: &livechat::Simulator, botpress: &botpress::Simulator, botcopy: &botcopy::Simulator) -> Value {
    let [header, value] = CUSTOM_HEADER;
    json!({
        "agentToken": livechat.account().agent_token,
        "webhookSecret": WEBHOOK_SECRET,
        "botpressToken": botpress.options().access_key,
        "botpressSigningSecret": SIGNING_SECRET,
        "botpressPathKey": PATH_KEY,
        "botcopyApiKey": botcopy.options().api_key,
        "botcopyAccessToken": botcopy.options().access_token,
        "botcopyHeader": {"name": header, "value": value},
    })
}

fn variables(
    livechat: &livechat::Simulator,
    botpress: &botpress::Simulator,
    table_url: &str,
    secrets_manager: &SecretsManager,
) -> Vec<(String, String)> {
    let account = livechat.account();
    [
        ("TABLE_NAME", TABLE.to_owned()),
        ("SECRET_ID", SECRET.to_owned()),
        ("LIVECHAT_CLIENT_ID", account.client_id.clone()),
        ("LIVECHAT_ORGANIZATION_ID", account.organization_id.clone()),
        ("LIVECHAT_REDIRECT_URI", account.redirect_uri.clone()),
        ("LIVECHAT_GROUP_ID", "1".to_owned()),
        ("LIVECHAT_API_URL", livechat.url()),
        ("LIVECHAT_ACCOUNTS_URL", livechat.url()),
        ("BOTPRESS_API_URL", botpress.url()),
        ("AWS_ENDPOINT_URL_DYNAMODB", table_url.to_owned()),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets_manager.url()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// The settings of an instance in this process.
#[derive(Clone)]
struct Setting {
    config: Config,
    clock: Clock,
    table_url: String,
    secrets_url: String,
    /// The file host, which is a server on this machine: compiled functions accept no file from it and send its link instead.
    files_url: String,
    metrics: Metrics,
}

fn in_process(
    (setting, setting_of_webhooks): (&Setting, &Setting),
    fail_points: &Plan,
    count: usize,
) -> Result<(Function, Function, Vec<Instances>), Error> {
    let start = |setting: &Setting| {
        let setting = setting.clone();
        Instances::start(count, move || handoff(&setting))
    };
    let (for_actions, for_webhooks) = (start(setting)?, start(setting_of_webhooks)?);
    let (plan, instances) = (fail_points.clone(), for_actions.clone());
    let actions = Function::in_process(ACTIONS, ACTIONS_TIMEOUT, setting.clock.clone(), move |event| {
        let (plan, instance) = (plan.clone(), instances.next());
        plan.run(async move { Ok(actions::handle(instance.ok_or(NO_INSTANCE)?, event).await?) })
    });
    let (plan, instances) = (fail_points.clone(), for_webhooks.clone());
    let webhooks = Function::in_process(WEBHOOKS, WEBHOOKS_TIMEOUT, setting_of_webhooks.clock.clone(), move |event| {
        let (plan, instance) = (plan.clone(), instances.next());
        plan.run(async move { webhooks::handle(instance.ok_or(NO_INSTANCE)?, event).await })
    });
    Ok((actions, webhooks, vec![for_actions, for_webhooks]))
}

/// Builds the functions' core as `main` does, but with AWS clients and files from the sandbox.
fn handoff(setting: &Setting) -> Result<Arc<Handoff>, Error> {
    let media = Policy::new(setting.config.media_hosts.clone()).and_loopback(&setting.files_url);
    let credentials = Credentials::new("sandbox", "sandbox", None, None, "sandbox");
    let dynamodb = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(credentials.clone())
        .http_client(Builder::new().build_http())
        // The SDK's backoff uses real time, during which a manual clock stands still.
        .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(5)))
        .endpoint_url(&setting.table_url)
        .build();
    let secrets_manager = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(credentials)
        .http_client(Builder::new().build_http())
        .endpoint_url(&setting.secrets_url)
        .build();
    let secrets = secrets::Cache::new(
        aws_sdk_secretsmanager::Client::from_conf(secrets_manager),
        setting.config.secret_id.clone(),
        setting.clock.clone(),
    );
    let dynamodb = aws_sdk_dynamodb::Client::from_conf(dynamodb);
    let (config, clock, metrics) = (setting.config.clone(), setting.clock.clone(), setting.metrics.clone());
    Ok(Arc::new(Handoff::with_parts(config, clock, dynamodb, secrets, metrics, media)?))
}

async fn processes(
    vendors: &[Vendor],
    variables: &[(String, String)],
    folder: &Path,
    count: usize,
) -> Result<(Function, Function), Error> {
    let start = async |name: &str, timeout| {
        let programs: Vec<_> = std::env::split_paths(folder).map(|folder| folder.join(name)).collect();
        Bootstrap::start_all(vendors.to_vec(), &programs, name, variables.to_vec(), timeout, count).await
    };
    let actions = start(ACTIONS, ACTIONS_TIMEOUT).await?;
    let webhooks = start(WEBHOOKS, WEBHOOKS_TIMEOUT).await?;
    Ok((Function::Process(actions), Function::Process(webhooks)))
}
