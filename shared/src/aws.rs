//! The connection to AWS: one connector with compiled-in root certificates.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::Client as DynamoDb;
use aws_sdk_dynamodb::config::{Credentials, SharedHttpClient};
use aws_sdk_secretsmanager::Client as SecretsManager;
use aws_sdk_secretsmanager::primitives::DateTime;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, HttpClientError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::clock::Timestamp;

/// How long an idle connection is reused: during a longer pause, which a frozen process does not notice, it may have died.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// As many calls as are made in parallel; each idle connection can cost an attempt if it has died.
const MOST_IDLE: usize = 2;

/// One for each connection that may be dead, the real one, and one for any other failure.
const ATTEMPTS: u32 = 4;

/// Converts the time of an answer.
pub(crate) fn timestamp(date: DateTime) -> Timestamp {
    Timestamp::from_unix_micros(i64::try_from(date.as_nanos().div_euclid(1_000)).unwrap_or(i64::MAX))
}

/// Why AWS cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bundled root certificates are unusable, which is a fault of the build.
    #[error("the AWS connector cannot be built")]
    Connector(#[from] HttpClientError),
    /// A variable is missing that Lambda would have set.
    #[error("the environment variable {0} is missing: Lambda sets it; anywhere else set it yourself")]
    Missing(&'static str),
}

/// Finds credentials, and the region unless it is given, in the same places as the AWS command line; for a person at a
/// terminal, whose network may be slow.
///
/// # Errors
///
/// [`Error::Connector`].
pub async fn load(region: Option<String>) -> Result<SdkConfig, Error> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(Duration::from_secs(10))
        .operation_timeout(Duration::from_secs(30))
        .build();
    let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client()?).timeout_config(timeouts);
    let loader = match region {
        Some(region) => loader.region(Region::new(region)),
        None => loader,
    };
    Ok(loader.retry_config(retries()).load().await)
}

/// Uses what Lambda gives a function to reach AWS; makes no network call.
///
/// `lookup` is asked for `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, and for the
/// addresses of stand-ins, `AWS_ENDPOINT_URL_DYNAMODB`, `AWS_ENDPOINT_URL_SECRETS_MANAGER` and `AWS_ENDPOINT_URL` for both.
/// There are no other sources: profiles, STS and the metadata of machines would be code that no function ever runs.
///
/// # Errors
///
/// [`Error`].
pub fn of_function(lookup: impl Fn(&str) -> Option<String>) -> Result<(DynamoDb, SecretsManager), Error> {
    let optional = |name: &str| lookup(name).filter(|value| !value.is_empty());
    let required = |name: &'static str| optional(name).ok_or(Error::Missing(name));
    let credentials = Credentials::new(
        required("AWS_ACCESS_KEY_ID")?,
        required("AWS_SECRET_ACCESS_KEY")?,
        optional("AWS_SESSION_TOKEN"),
        None,
        "lambda",
    );
    let stand_in = |name: &str| optional(name).or_else(|| optional("AWS_ENDPOINT_URL"));
    let addresses = (stand_in("AWS_ENDPOINT_URL_DYNAMODB"), stand_in("AWS_ENDPOINT_URL_SECRETS_MANAGER"));
    Ok(clients(required("AWS_REGION")?, credentials, addresses)?)
}

/// Connects to stand-ins for AWS, such as the sandbox's, at these addresses, which accept any credentials.
///
/// # Errors
///
/// [`Error::Connector`].
pub fn stand_ins(dynamodb_url: &str, secrets_manager_url: &str) -> Result<(DynamoDb, SecretsManager), Error> {
    let anybody = Credentials::new("sandbox", "sandbox", None, None, "sandbox");
    let addresses = (Some(dynamodb_url.to_owned()), Some(secrets_manager_url.to_owned()));
    Ok(clients("us-east-1".to_owned(), anybody, addresses)?)
}

fn clients(
    region: String,
    credentials: Credentials,
    (dynamodb_url, secrets_manager_url): (Option<String>, Option<String>),
) -> Result<(DynamoDb, SecretsManager), HttpClientError> {
    let (region, http_client) = (Region::new(region), http_client()?);
    let mut dynamodb = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(region.clone())
        .credentials_provider(credentials.clone())
        .http_client(http_client.clone())
        .timeout_config(timeouts())
        .retry_config(retries());
    dynamodb.set_endpoint_url(dynamodb_url);
    let mut secrets_manager = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(region)
        .credentials_provider(credentials)
        .http_client(http_client)
        .timeout_config(timeouts())
        .retry_config(retries());
    secrets_manager.set_endpoint_url(secrets_manager_url);
    Ok((DynamoDb::from_conf(dynamodb.build()), SecretsManager::from_conf(secrets_manager.build())))
}

fn http_client() -> Result<SharedHttpClient, HttpClientError> {
    let tls = TlsContext::builder().with_trust_store(bundled_roots()).build()?;
    let builder = Builder::new().pool_idle_timeout(POOL_IDLE_TIMEOUT).pool_max_idle_per_host(MOST_IDLE);
    Ok(builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(tls).build_https())
}

/// An attempt that takes longer is worth repeating within a request's own deadline: most likely its connection died unnoticed
/// while the process was frozen.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(1))
        .operation_timeout(Duration::from_secs(6))
        .build()
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS)
}

/// Reading the machine's own certificates takes longer than everything else at a cold start; these are in memory.
fn bundled_roots() -> TrustStore {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().fold(TrustStore::empty(), |store, der| {
        let body = STANDARD.encode(der);
        store.with_pem_certificate(format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_says_which_variable_is_missing_and_needs_no_other() {
        let set = ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
        let all = |name: &str| set.contains(&name).then(|| "canary".to_owned());
        assert!(of_function(all).is_ok());
        for missing in set {
            let error = of_function(|name| all(name).filter(|_| name != missing)).unwrap_err().to_string();
            assert!(error.contains(missing) && !error.contains("canary"), "{error}");
            assert!(
                of_function(|name| all(name).map(|value| if name == missing { String::new() } else { value })).is_err()
            );
        }
    }
}
