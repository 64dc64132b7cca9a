//! How the AWS clients reach AWS: one connector with the roots that are compiled in.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_sdk_dynamodb::Client as DynamoDb;
use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_secretsmanager::Client as SecretsManager;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, HttpClientError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Loads region and credentials from the environment; makes no network call.
///
/// # Errors
///
/// When the bundled root certificates cannot be used, which is a fault of the build.
pub async fn load() -> Result<SdkConfig, HttpClientError> {
    Ok(loader()?.load().await)
}

/// Reaches stand-ins for AWS, such as the sandbox's, that stand at these addresses and take any credentials.
///
/// # Errors
///
/// As [`load`].
pub async fn stand_ins(
    dynamodb_url: &str,
    secrets_manager_url: &str,
) -> Result<(DynamoDb, SecretsManager), HttpClientError> {
    let anybody = Credentials::new("sandbox", "sandbox", None, None, "sandbox");
    let config = loader()?.region(Region::new("us-east-1")).credentials_provider(anybody).load().await;
    let dynamodb = aws_sdk_dynamodb::config::Builder::from(&config).endpoint_url(dynamodb_url).build();
    let secrets_manager =
        aws_sdk_secretsmanager::config::Builder::from(&config).endpoint_url(secrets_manager_url).build();
    Ok((DynamoDb::from_conf(dynamodb), SecretsManager::from_conf(secrets_manager)))
}

fn loader() -> Result<ConfigLoader, HttpClientError> {
    let tls = TlsContext::builder().with_trust_store(bundled_roots()).build()?;
    let http_client = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(tls).build_https();
    // An attempt that takes longer than this is worth repeating within a request's own deadline.
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(2))
        .operation_timeout(Duration::from_secs(6))
        .build();
    Ok(aws_config::defaults(BehaviorVersion::latest()).http_client(http_client).timeout_config(timeouts))
}

/// Reading the machine's own certificates takes longer than everything else at a cold start; these are in memory.
fn bundled_roots() -> TrustStore {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().fold(TrustStore::empty(), |store, der| {
        let body = STANDARD.encode(der);
        store.with_pem_certificate(format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"))
    })
}
