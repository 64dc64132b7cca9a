//! Functions that are deployed elsewhere: to an AWS emulator, which runs the compiled bootstraps.

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_http_client::Builder;
use serde::Deserialize;
use serde_json::Value;

use crate::error::Error as StackError;
use crate::invocation::{Error, REGION};
use crate::server;

/// A deployed stack whose functions look for the vendors at these ports.
///
/// Shape: `{"endpoint": "http://127.0.0.1:4566", "actions": "acme-Actions-1", "webhooks": "acme-Webhooks-1", "secret": "arn:…",
/// "livechat_port": 8081, "botpress_port": 8082, "botcopy_port"?: 8084}`.
#[derive(Clone, Debug, Deserialize)]
pub struct Deployed {
    /// URL of the emulator's API.
    pub endpoint: String,
    /// Physical name of the actions function.
    pub actions: String,
    /// Physical name of the webhooks function.
    pub webhooks: String,
    /// ARN of the secret.
    pub secret: String,
    /// The port where the functions expect LiveChat.
    pub livechat_port: u16,
    /// The port where the functions expect Botpress.
    pub botpress_port: u16,
    /// The port where the functions expect Botcopy, if they do.
    #[serde(default)]
    pub botcopy_port: u16,
}

impl Deployed {
    /// Completes the secret, as an operator does.
    pub(crate) async fn put_secret(&self, secret: &Value) -> Result<(), StackError> {
        let config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new("sandbox", "sandbox", None, None, "sandbox"))
            .http_client(Builder::new().build_http())
            .retry_config(RetryConfig::disabled())
            .endpoint_url(&self.endpoint)
            .build();
        let call =
            Client::from_conf(config).put_secret_value().secret_id(&self.secret).secret_string(secret.to_string());
        call.send().await?;
        Ok(())
    }

    /// One of the functions.
    pub(crate) fn function(&self, name: &str) -> Result<DeployedFunction, StackError> {
        let url = format!("{}/2015-03-31/functions/{name}/invocations", self.endpoint);
        Ok(DeployedFunction { url, http: server::client()? })
    }
}

/// A function behind Lambda's API.
#[derive(Clone, Debug)]
pub struct DeployedFunction {
    url: String,
    http: reqwest::Client,
}

impl DeployedFunction {
    /// Runs the function once and waits for its answer.
    pub(crate) async fn invoke(&self, event: &Value) -> Result<Value, Error> {
        let failed = |error: reqwest::Error| Error::Unreachable(error.to_string());
        let answer = self.http.post(&self.url).json(event).send().await.map_err(failed)?;
        let has_failed = answer.headers().contains_key("x-amz-function-error") || !answer.status().is_success();
        let body: Value = answer.json().await.map_err(failed)?;
        match has_failed {
            true => Err(Error::Unreachable(body.to_string())),
            false => Ok(body),
        }
    }
}
