//! A stand-in for AWS Secrets Manager: secrets with staged versions, read and rotated over the real protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::clock::{Clock, Timestamp};
use uuid::Uuid;

use crate::faults::Faults;
use crate::invocation::{ACCOUNT_ID, REGION};
use crate::server::Server;

const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";

/// A running stand-in; it stops when dropped.
///
/// It serves `GetSecretValue`, `PutSecretValue` and `UpdateSecretVersionStage` (JSON 1.1, `POST /`), which the
/// functions and a rotation need. All calls share the request line `POST /`, so fault scripts name that.
///
/// See [AWS Docs/Secrets Manager API Reference](https://docs.aws.amazon.com/secretsmanager/latest/apireference/).
#[derive(Debug)]
pub struct SecretsManager {
    server: Server,
    vault: Vault,
    faults: Faults,
}

impl SecretsManager {
    /// Serves an empty vault on `port` of the loopback interface (0 picks a free one).
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub async fn start(port: u16, faults: Faults, clock: Clock) -> io::Result<Self> {
        let vault = Vault { secrets: Arc::default(), clock: clock.clone() };
        let router = Router::new().route("/", post(answer)).with_state(vault.clone());
        Ok(Self { server: Server::start(port, router, faults.clone(), clock).await?, vault, faults })
    }

    /// Its faults.
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// `http://127.0.0.1:<port>`: the value for `AWS_ENDPOINT_URL_SECRETS_MANAGER`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Sets `value` as the only version of the secret `name`, without a previous one. Returns the secret's ARN.
    pub fn put(&self, name: &str, value: Value) -> String {
        let mut secret = Secret::new(name);
        secret.add(random_token(), value.to_string(), current(), self.vault.clock.now());
        let arn = secret.arn.clone();
        self.vault.lock().insert(name.to_owned(), secret);
        arn
    }

    /// Deletes the secret `name`.
    pub fn remove(&self, name: &str) {
        self.vault.lock().remove(name);
    }

    /// The current value of the secret `name`.
    pub fn current(&self, name: &str) -> Option<Value> {
        let secrets = self.vault.lock();
        let versions = &secrets.get(name)?.versions;
        let version = versions.iter().find(|version| version.stages.contains(CURRENT))?;
        serde_json::from_str(&version.value).ok()
    }

    /// Makes `value` current and the current value previous, as a finished rotation does.
    ///
    /// A secret that does not exist is created.
    pub fn rotate(&self, name: &str, value: Value) {
        let mut secrets = self.vault.lock();
        let secret = secrets.entry(name.to_owned()).or_insert_with(|| Secret::new(name));
        secret.add(random_token(), value.to_string(), current(), self.vault.clock.now());
    }
}

#[derive(Clone, Debug)]
struct Vault {
    secrets: Arc<Mutex<BTreeMap<String, Secret>>>,
    clock: Clock,
}

impl Vault {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Secret>> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Secret {
    name: String,
    arn: String,
    versions: Vec<Version>,
}

#[derive(Clone, Debug)]
struct Version {
    id: String,
    value: String,
    stages: BTreeSet<String>,
    created_at: Timestamp,
}

impl Secret {
    fn new(name: &str) -> Self {
        let random: String = random_token().chars().take(6).collect();
        let arn = format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT_ID}:secret:{name}-{random}");
        Self { name: name.to_owned(), arn, versions: Vec::new() }
    }

    /// Returns whether `id` is this secret's name, its ARN, or its ARN without the six random characters.
    fn is_called(&self, id: &str) -> bool {
        let partial_arn = self.arn.rsplit_once('-').map(|(partial, _)| partial);
        id == self.name || id == self.arn || Some(id) == partial_arn
    }

    /// Adds a version and moves `stages` to it; the version that loses `AWSCURRENT` becomes `AWSPREVIOUS`.
    fn add(&mut self, id: String, value: String, stages: BTreeSet<String>, created_at: Timestamp) {
        if stages.contains(CURRENT) && self.versions.iter().any(|version| version.stages.contains(CURRENT)) {
            for version in &mut self.versions {
                version.stages.remove(PREVIOUS);
                if version.stages.contains(CURRENT) {
                    version.stages.insert(PREVIOUS.to_owned());
                }
            }
        }
        for version in &mut self.versions {
            version.stages.retain(|stage| !stages.contains(stage));
        }
        self.versions.push(Version { id, value, stages, created_at });
    }

    fn version(&mut self, id: &str) -> Result<&mut Version, Refusal> {
        let found = self.versions.iter_mut().find(|version| version.id == id);
        found.ok_or_else(|| Refusal::not_found(&format!(" value for VersionId: {id}")))
    }

    /// Moves `stage` from the version `from` to the version `to`.
    ///
    /// The caller must name the version that has the stage. `AWSCURRENT` cannot be removed; the version that loses it
    /// becomes `AWSPREVIOUS`.
    fn move_stage(&mut self, stage: &str, from: Option<&str>, to: Option<&str>) -> Result<(), Refusal> {
        for id in from.into_iter().chain(to) {
            self.version(id)?;
        }
        let holder =
            self.versions.iter().find(|version| version.stages.contains(stage)).map(|version| version.id.clone());
        let is_there_already = holder.as_deref() == to && from.is_none();
        if holder.as_deref() != from && !is_there_already {
            let holder = holder.as_deref().unwrap_or("no version");
            return Err(Refusal::invalid(&format!(
                "The staging label {stage} is attached to {holder}, so RemoveFromVersionId must name it."
            )));
        }
        if stage == CURRENT && to.is_none() {
            return Err(Refusal::invalid("The staging label AWSCURRENT can only be moved to another version."));
        }
        if let Some(from) = from {
            self.version(from)?.stages.remove(stage);
        }
        if let Some(to) = to {
            self.version(to)?.stages.insert(stage.to_owned());
        }
        if let Some(from) = from.filter(|from| stage == CURRENT && Some(*from) != to) {
            for version in &mut self.versions {
                version.stages.remove(PREVIOUS);
            }
            self.version(from)?.stages.insert(PREVIOUS.to_owned());
        }
        Ok(())
    }
}

fn current() -> BTreeSet<String> {
    BTreeSet::from([CURRENT.to_owned()])
}

fn random_token() -> String {
    Uuid::new_v4().simple().to_string()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetSecretValue {
    secret_id: String,
    version_id: Option<String>,
    version_stage: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutSecretValue {
    secret_id: String,
    client_request_token: Option<String>,
    secret_string: String,
    version_stages: Option<BTreeSet<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateSecretVersionStage {
    secret_id: String,
    version_stage: String,
    remove_from_version_id: Option<String>,
    move_to_version_id: Option<String>,
}

/// A refusal of the service.
#[derive(Debug)]
struct Refusal {
    error_type: &'static str,
    message: String,
}

impl Refusal {
    fn not_found(what: &str) -> Self {
        let message = format!("Secrets Manager can't find the specified secret{what}");
        Self { error_type: "ResourceNotFoundException", message }
    }

    fn invalid(message: &str) -> Self {
        Self { error_type: "InvalidParameterException", message: message.to_owned() }
    }
}

async fn answer(State(vault): State<Vault>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let outcome = match target {
        "secretsmanager.GetSecretValue" => parse(&body).and_then(|request| get(&vault, request)),
        "secretsmanager.PutSecretValue" => parse(&body).and_then(|request| put(&vault, request)),
        "secretsmanager.UpdateSecretVersionStage" => parse(&body).and_then(|request| restage(&vault, request)),
        _ => Err(Refusal { error_type: "UnknownOperationException", message: String::new() }),
    };
    let (status, body) = match outcome {
        Ok(body) => (StatusCode::OK, body),
        Err(Refusal { error_type, message }) => {
            (StatusCode::BAD_REQUEST, json!({ "__type": error_type, "Message": message }))
        }
    };
    (status, [(CONTENT_TYPE, "application/x-amz-json-1.1")], body.to_string()).into_response()
}

fn parse<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::invalid(&error.to_string()))
}

fn get(vault: &Vault, request: GetSecretValue) -> Result<Value, Refusal> {
    let secrets = vault.lock();
    let secret = secrets.values().find(|secret| secret.is_called(&request.secret_id));
    let secret = secret.ok_or_else(|| Refusal::not_found("."))?;
    // Without an id the stage decides; with an id, the stage only has to match.
    let stage = request.version_stage.or_else(|| request.version_id.is_none().then(|| CURRENT.to_owned()));
    let version = secret.versions.iter().find(|version| {
        request.version_id.as_ref().is_none_or(|id| *id == version.id)
            && stage.as_ref().is_none_or(|stage| version.stages.contains(stage))
    });
    let version = version.ok_or_else(|| match (&request.version_id, &stage) {
        (Some(id), _) => Refusal::not_found(&format!(" value for VersionId: {id}")),
        (None, stage) => {
            Refusal::not_found(&format!(" value for staging label: {}", stage.as_deref().unwrap_or(CURRENT)))
        }
    })?;
    Ok(json!({
        "ARN": secret.arn,
        "Name": secret.name,
        "VersionId": version.id,
        "VersionStages": version.stages,
        "SecretString": version.value,
        "CreatedDate": version.created_at.unix_seconds(),
    }))
}

fn put(vault: &Vault, request: PutSecretValue) -> Result<Value, Refusal> {
    let mut secrets = vault.lock();
    let secret = secrets.values_mut().find(|secret| secret.is_called(&request.secret_id));
    let secret = secret.ok_or_else(|| Refusal::not_found("."))?;
    let token = request.client_request_token.unwrap_or_else(random_token);
    if !(32..=64).contains(&token.len()) {
        return Err(Refusal::invalid("ClientRequestToken must have 32 to 64 characters."));
    }
    let existing = secret.versions.iter().find(|version| version.id == token).map(|version| version.value.clone());
    match existing {
        None => {
            let stages = request.version_stages.unwrap_or_else(current);
            secret.add(token.clone(), request.secret_string, stages, vault.clock.now());
        }
        // A repetition of the same call, which the SDK makes after a lost answer.
        Some(value) if value == request.secret_string => {}
        Some(_) => {
            return Err(Refusal {
                error_type: "ResourceExistsException",
                message: format!(
                    "You can't use ClientRequestToken {token} because that value is already in use for a version of secret {}.",
                    secret.arn
                ),
            });
        }
    }
    let version = secret.versions.iter().find(|version| version.id == token).ok_or_else(|| Refusal::not_found("."))?;
    Ok(json!({
        "ARN": secret.arn,
        "Name": secret.name,
        "VersionId": version.id,
        "VersionStages": version.stages,
    }))
}

fn restage(vault: &Vault, request: UpdateSecretVersionStage) -> Result<Value, Refusal> {
    let mut secrets = vault.lock();
    let secret = secrets.values_mut().find(|secret| secret.is_called(&request.secret_id));
    let secret = secret.ok_or_else(|| Refusal::not_found("."))?;
    let (from, to) = (request.remove_from_version_id.as_deref(), request.move_to_version_id.as_deref());
    secret.move_stage(&request.version_stage, from, to)?;
    Ok(json!({ "ARN": secret.arn, "Name": secret.name }))
}

#[cfg(test)]
mod tests {
    use aws_sdk_secretsmanager::Client;
    use aws_sdk_secretsmanager::config::retry::RetryConfig;
    use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};

    use super::*;
    use crate::faults::Fault;

    async fn start() -> (SecretsManager, Faults, Client) {
        let faults = Faults::default();
        let manager = SecretsManager::start(0, faults.clone(), Clock::system()).await.unwrap();
        let config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new("sandbox", "sandbox", None, None, "sandbox"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(RetryConfig::disabled())
            .endpoint_url(manager.url())
            .build();
        (manager, faults, Client::from_conf(config))
    }

    async fn read(client: &Client, id: &str, stage: Option<&str>) -> Result<String, String> {
        let request = client.get_secret_value().secret_id(id).set_version_stage(stage.map(str::to_owned));
        match request.send().await {
            Ok(found) => Ok(found.secret_string().unwrap_or_default().to_owned()),
            Err(error) => {
                let error = error.into_service_error();
                assert!(error.is_resource_not_found_exception(), "{error:?}");
                Err(error.meta().message().unwrap_or_default().to_owned())
            }
        }
    }

    #[tokio::test]
    async fn a_secret_is_found_by_name_arn_and_partial_arn() {
        let (manager, _, client) = start().await;
        let arn = manager.put("hitl/main", json!({ "agentToken": "t" }));
        let partial = &arn[..arn.len() - 7];
        for id in ["hitl/main", &arn, partial] {
            assert_eq!(read(&client, id, None).await.as_deref(), Ok(r#"{"agentToken":"t"}"#), "{id}");
        }
        assert_eq!(
            read(&client, "hitl/other", None).await,
            Err("Secrets Manager can't find the specified secret.".to_owned())
        );
    }

    #[tokio::test]
    async fn a_rotation_keeps_the_value_before_as_previous() {
        let (manager, _, client) = start().await;
        manager.put("hitl", json!(1));
        assert_eq!(
            read(&client, "hitl", Some(PREVIOUS)).await,
            Err("Secrets Manager can't find the specified secret value for staging label: AWSPREVIOUS".to_owned())
        );
        manager.rotate("hitl", json!(2));
        manager.rotate("hitl", json!(3));
        assert_eq!(read(&client, "hitl", None).await.as_deref(), Ok("3"));
        assert_eq!(read(&client, "hitl", Some(CURRENT)).await.as_deref(), Ok("3"));
        assert_eq!(read(&client, "hitl", Some(PREVIOUS)).await.as_deref(), Ok("2"));
        manager.put("hitl", json!(4));
        assert!(read(&client, "hitl", Some(PREVIOUS)).await.is_err());
    }

    #[tokio::test]
    async fn a_version_put_by_a_client_is_safe_to_repeat_and_to_stage() {
        let (manager, _, client) = start().await;
        manager.put("hitl", json!(1));
        let token = "0123456789abcdef0123456789abcdef";
        let put = |value: &str| {
            client.put_secret_value().secret_id("hitl").client_request_token(token).secret_string(value).send()
        };
        let stored = put("2").await.unwrap();
        assert_eq!(stored.version_stages(), [CURRENT]);
        assert_eq!(put("2").await.unwrap().version_id(), Some(token));
        assert!(put("3").await.unwrap_err().into_service_error().is_resource_exists_exception());
        assert_eq!(read(&client, "hitl", Some(PREVIOUS)).await.as_deref(), Ok("1"));

        let pending = client.put_secret_value().secret_id("hitl").secret_string("4").version_stages("AWSPENDING");
        pending.send().await.unwrap();
        assert_eq!(read(&client, "hitl", None).await.as_deref(), Ok("2"));
        assert_eq!(read(&client, "hitl", Some("AWSPENDING")).await.as_deref(), Ok("4"));
    }

    #[tokio::test]
    async fn a_stage_is_moved_only_by_one_who_names_the_version_that_has_it() {
        let (manager, _, client) = start().await;
        manager.put("hitl", json!(1));
        let first = client.get_secret_value().secret_id("hitl").send().await.unwrap().version_id.unwrap();
        let put = client.put_secret_value().secret_id("hitl").secret_string("2").version_stages("AWSPENDING");
        let second = put.send().await.unwrap().version_id.unwrap();
        let restage = |stage: &str, from: Option<&str>, to: Option<&str>| {
            let call = client.update_secret_version_stage().secret_id("hitl").version_stage(stage);
            let own = |id: Option<&str>| id.map(str::to_owned);
            call.set_remove_from_version_id(own(from)).set_move_to_version_id(own(to)).send()
        };
        for from in [None, Some(second.as_str())] {
            let refused = restage(CURRENT, from, Some(&second)).await.unwrap_err().into_service_error();
            assert!(refused.is_invalid_parameter_exception(), "{refused:?}");
        }
        assert!(restage(CURRENT, Some(&first), None).await.is_err(), "there is always a current version");
        restage(CURRENT, Some(&first), Some(&second)).await.unwrap();
        assert_eq!(read(&client, "hitl", None).await.as_deref(), Ok("2"));
        assert_eq!(read(&client, "hitl", Some(PREVIOUS)).await.as_deref(), Ok("1"));
        restage(PREVIOUS, Some(&first), None).await.unwrap();
        assert!(read(&client, "hitl", Some(PREVIOUS)).await.is_err());
    }

    #[tokio::test]
    async fn a_fault_script_takes_the_service_down() {
        let (manager, faults, client) = start().await;
        manager.put("hitl", json!(1));
        faults.next(1, "POST /", Fault::answer(503, ""));
        let refused = client.get_secret_value().secret_id("hitl").send().await.unwrap_err();
        assert_eq!(refused.raw_response().map(|response| response.status().as_u16()), Some(503));
        assert_eq!(read(&client, "hitl", None).await.as_deref(), Ok("1"));
    }
}
