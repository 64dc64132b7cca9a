//! The admin API: a private integration, its signing secret and its access keys.
//!
//! See the Botpress API reference, "Admin API"; and the Botpress repository, "CLI", command `deploy`.

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::{Client, Error, Result};
use crate::http::{Answer, Body, Call, Failure, Request, sensitive, url};
use crate::ids::IntegrationId;
use crate::redacted::Redacted;

/// The API on behalf of one workspace.
#[derive(Clone, Copy, Debug)]
pub struct Admin<'a> {
    client: &'a Client,
    token: &'a Redacted,
    workspace_id: &'a str,
}

/// A version of an integration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Integration {
    /// The version's id.
    pub id: IntegrationId,
    /// The address of its calls; the last part of the path is a credential.
    #[serde(default, deserialize_with = "text")]
    pub url: Option<Redacted>,
    /// The secret that signs its calls; returned only when it is new.
    #[serde(default, deserialize_with = "text")]
    pub signing_secret: Option<Redacted>,
}

/// A text; `None` for anything else.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Redacted>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_str().map(Redacted::from))
}

/// An interface that integrations implement.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Interface {
    /// The version's id (`ifver_…`).
    pub id: String,
    /// Its actions: `{<name>:{"input":{"schema"},"output":{"schema"},…}}`.
    #[serde(default)]
    pub actions: Value,
    /// Its events: `{<name>:{"schema",…}}`.
    #[serde(default)]
    pub events: Value,
    /// Its channels: `{<name>:{"messages":{<type>:{"schema"}},…}}`.
    #[serde(default)]
    pub channels: Value,
}

/// A new integration access key; Botpress never returns its value again.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct IssuedKey {
    /// The id to withdraw it by.
    pub id: String,
    /// The key.
    pub value: Redacted,
}

#[derive(Deserialize)]
struct IntegrationAnswer {
    integration: Integration,
}

#[derive(Deserialize)]
struct InterfaceAnswer {
    interface: Interface,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RotatedSecret {
    new_signing_secret: Redacted,
}

impl<'a> Admin<'a> {
    pub(super) const fn new(client: &'a Client, token: &'a Redacted, workspace_id: &'a str) -> Self {
        Self { client, token, workspace_id }
    }

    /// Finds a version of an integration by its full name (`<workspace handle>/<name>`).
    ///
    /// # Errors
    ///
    /// [`Error`]; a missing integration is not an error.
    ///
    /// See the Botpress API reference, "getIntegrationByName".
    pub async fn find_integration(&self, name: &str, version: &str) -> Result<Option<Integration>> {
        let call = Call::repeatable("getIntegrationByName");
        match self.send(call, Method::GET, &["integrations", name, version], Ok(Body::Empty)).await {
            Ok(answer) => decoded::<IntegrationAnswer>(call, &answer).map(|answer| Some(answer.integration)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a version of a public interface, with its schemas.
    ///
    /// # Errors
    ///
    /// [`Error`].
    ///
    /// See the Botpress API reference, "getPublicInterface".
    pub async fn interface(&self, name: &str, version: &str) -> Result<Interface> {
        let call = Call::repeatable("getPublicInterface");
        let answer = self.send(call, Method::GET, &["hub", "interfaces", name, version], Ok(Body::Empty)).await?;
        decoded::<InterfaceAnswer>(call, &answer).map(|answer| answer.interface)
    }

    /// Makes an integration.
    ///
    /// # Errors
    ///
    /// [`Error`]; Botpress refuses an invalid definition.
    ///
    /// See the Botpress API reference, "createIntegration".
    pub async fn create_integration(&self, definition: &Value) -> Result<Integration> {
        let call = Call::once("createIntegration");
        let answer = self.send(call, Method::POST, &["integrations"], Body::json(definition)).await?;
        decoded::<IntegrationAnswer>(call, &answer).map(|answer| answer.integration)
    }

    /// Changes the given parts of an integration and leaves the rest.
    ///
    /// # Errors
    ///
    /// [`Error`]; a change that breaks bots that have it installed is refused as `BreakingChanges`.
    ///
    /// See the Botpress API reference, "updateIntegration".
    pub async fn update_integration(&self, id: &IntegrationId, changes: &impl Serialize) -> Result<Integration> {
        let call = Call::repeatable("updateIntegration");
        let answer = self.send(call, Method::PUT, &["integrations", id.as_str()], Body::json(changes)).await?;
        decoded::<IntegrationAnswer>(call, &answer).map(|answer| answer.integration)
    }

    /// Changes the address that receives an integration's calls.
    ///
    /// # Errors
    ///
    /// [`Error`].
    ///
    /// See the Botpress API reference, "updateIntegration".
    pub async fn redirect_integration(&self, id: &IntegrationId, url: &Redacted) -> Result<Integration> {
        self.update_integration(id, &json!({ "url": url })).await
    }

    /// Checks whether Botpress would accept a definition; `id` is the integration that it would change, if there is one.
    ///
    /// # Errors
    ///
    /// [`Error`], as from making or changing the integration.
    ///
    /// See the Botpress API reference, "validateIntegrationCreation" and "validateIntegrationUpdate".
    pub async fn validate_integration(&self, id: Option<&IntegrationId>, definition: &Value) -> Result<()> {
        let body = Body::json(definition);
        let answer = match id {
            None => {
                let call = Call::repeatable("validateIntegrationCreation");
                self.send(call, Method::POST, &["integrations", "validate"], body).await
            }
            Some(id) => {
                let call = Call::repeatable("validateIntegrationUpdate");
                self.send(call, Method::PUT, &["integrations", id.as_str(), "validate"], body).await
            }
        };
        answer.map(drop)
    }

    /// Makes a new signing secret; the previous one stays valid for 24 hours.
    ///
    /// # Errors
    ///
    /// [`Error`].
    ///
    /// See the Botpress API reference, "rotateIntegrationSigningSecret".
    pub async fn rotate_signing_secret(&self, id: &IntegrationId) -> Result<Redacted> {
        let call = Call::once("rotateIntegrationSigningSecret");
        let path = ["integrations", id.as_str(), "signing-secrets", "rotate"];
        let answer = self.send(call, Method::POST, &path, Ok(Body::Empty)).await?;
        decoded::<RotatedSecret>(call, &answer).map(|rotated| rotated.new_signing_secret)
    }

    /// Issues an access key for the runtime API, for all bots on which the integration is installed.
    ///
    /// # Errors
    ///
    /// [`Error`].
    ///
    /// See the Botpress API reference, "createIntegrationApiKey".
    pub async fn issue_access_key(&self, id: &IntegrationId, note: &str) -> Result<IssuedKey> {
        let call = Call::once("createIntegrationApiKey");
        let body = Body::json(&json!({"integrationId": id, "note": note}));
        let answer = self.send(call, Method::POST, &["integrations", "iaks"], body).await?;
        decoded(call, &answer)
    }

    /// Withdraws an access key; succeeds if it is already gone.
    ///
    /// # Errors
    ///
    /// [`Error`].
    ///
    /// See the Botpress API reference, "deleteIntegrationApiKey".
    pub async fn withdraw_access_key(&self, id: &str) -> Result<()> {
        let call = Call::repeatable("deleteIntegrationApiKey");
        match self.send(call, Method::DELETE, &["integrations", "iaks", id], Ok(Body::Empty)).await {
            Err(error) if error.is_not_found() => Ok(()),
            answer => answer.map(drop),
        }
    }

    async fn send(&self, call: Call, method: Method, path: &[&str], body: Result<Body, Failure>) -> Result<Answer> {
        let failed = |failure| Error::failed(call, failure);
        let request = body.and_then(|body| self.request(method, path, body)).map_err(failed)?;
        let answer = self.client.http.send(request).await.map_err(failed)?;
        if answer.status.is_success() { Ok(answer) } else { Err(Error::refused(call, &answer)) }
    }

    fn request(&self, method: Method, path: &[&str], body: Body) -> Result<Request, Failure> {
        let url = url(&self.client.settings.api_url, &[&["v1", "admin"], path].concat())?;
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, sensitive(&format!("Bearer {}", self.token.expose()).into())?);
        let workspace_id = HeaderValue::from_str(self.workspace_id).map_err(Failure::not_sendable)?;
        headers.insert(HeaderName::from_static("x-workspace-id"), workspace_id);
        headers.insert(HeaderName::from_static("x-multiple-integrations"), HeaderValue::from_static("true"));
        Ok(Request { method, url, headers, body })
    }
}

fn decoded<T: DeserializeOwned>(call: Call, answer: &Answer) -> Result<T> {
    answer.decode().map_err(|failure| Error::failed(call, failure))
}

#[cfg(test)]
mod tests {
    use wiremock::matchers::{body_json, header, method, path};
    use wiremock::{Mock, MockBuilder, MockServer, ResponseTemplate};

    use super::super::Settings;
    use super::*;
    use crate::http::testing;

    /// A call, exactly as it must arrive.
    fn call(verb: &str, tail: &str) -> MockBuilder {
        Mock::given(method(verb))
            .and(path(format!("/v1/admin/{tail}")))
            .and(header("authorization", "Bearer bp_pat_1"))
            .and(header("x-workspace-id", "wkspace_1"))
            .and(header("x-multiple-integrations", "true"))
    }

    async fn serve(mock: MockBuilder, status: u16, answer: Value) -> (MockServer, Client) {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(status).set_body_json(answer);
        mock.respond_with(answer).expect(1).mount(&server).await;
        let client = Client::new(Settings { api_url: server.uri() }, testing::http());
        (server, client)
    }

    fn token() -> Redacted {
        "bp_pat_1".into()
    }

    fn integration() -> Value {
        json!({"integration": {"id": "intver_1", "url": "https://a", "signingSecret": "s", "name": "acme/x", "more": 1}})
    }

    #[tokio::test]
    async fn an_integration_is_found_by_its_encoded_name_or_not_at_all() {
        let mock = call("GET", "integrations/acme%2Flivechat/1.0.0");
        let (_server, client) = serve(mock, 200, integration()).await;
        let token = token();
        let found = client.admin(&token, "wkspace_1").find_integration("acme/livechat", "1.0.0").await.unwrap();
        assert_eq!(found.unwrap().signing_secret, Some("s".into()));

        let missing = json!({"id": "err_1", "code": 404, "type": "ResourceNotFound", "message": "no"});
        let (_server, client) = serve(call("GET", "integrations/x/1.0.0"), 404, missing).await;
        assert_eq!(client.admin(&token, "wkspace_1").find_integration("x", "1.0.0").await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_integration_is_made_changed_and_tried() {
        let (token, body, id) = (token(), json!({"name": "acme/x"}), IntegrationId::from("intver_1"));

        let (_server, client) = serve(call("POST", "integrations").and(body_json(&body)), 200, integration()).await;
        assert_eq!(client.admin(&token, "wkspace_1").create_integration(&body).await.unwrap().id, id);

        let change = call("PUT", "integrations/intver_1").and(body_json(json!({"url": "https://b"})));
        let (_server, client) = serve(change, 200, integration()).await;
        client.admin(&token, "wkspace_1").redirect_integration(&id, &"https://b".into()).await.unwrap();

        let (_server, client) =
            serve(call("POST", "integrations/validate").and(body_json(&body)), 200, json!({})).await;
        client.admin(&token, "wkspace_1").validate_integration(None, &body).await.unwrap();
        let mock = call("PUT", "integrations/intver_1/validate").and(body_json(&body));
        let (_server, client) = serve(mock, 200, json!({})).await;
        client.admin(&token, "wkspace_1").validate_integration(Some(&id), &body).await.unwrap();
    }

    #[tokio::test]
    async fn credentials_are_issued_rotated_and_withdrawn() {
        let (token, id) = (token(), IntegrationId::from("intver_1"));
        let mock = call("POST", "integrations/intver_1/signing-secrets/rotate");
        let (_server, client) = serve(mock, 200, json!({"newSigningSecret": "n"})).await;
        let rotated = client.admin(&token, "wkspace_1").rotate_signing_secret(&id).await.unwrap();
        assert_eq!(rotated.expose(), "n");

        let mock = call("POST", "integrations/iaks").and(body_json(json!({"integrationId": "intver_1", "note": "us"})));
        let answer = json!({"id": "iak_1", "createdAt": "2026-01-01T00:00:00Z", "note": "us", "value": "bp_iak_1"});
        let (_server, client) = serve(mock, 200, answer).await;
        let issued = client.admin(&token, "wkspace_1").issue_access_key(&id, "us").await.unwrap();
        assert_eq!((issued.id.as_str(), issued.value.expose()), ("iak_1", "bp_iak_1"));

        let missing = json!({"id": "err_1", "code": 404, "type": "ResourceNotFound", "message": "no"});
        let (_server, client) = serve(call("DELETE", "integrations/iaks/iak_1"), 404, missing).await;
        client.admin(&token, "wkspace_1").withdraw_access_key("iak_1").await.unwrap();
    }

    #[tokio::test]
    async fn an_interface_comes_with_its_schemas() {
        let answer = json!({"interface": {"id": "ifver_1", "actions": {"stopHitl": {}}, "version": "2.1.0"}});
        let (_server, client) = serve(call("GET", "hub/interfaces/hitl/2.1.0"), 200, answer).await;
        let token = token();
        let interface = client.admin(&token, "wkspace_1").interface("hitl", "2.1.0").await.unwrap();
        assert_eq!((interface.id.as_str(), interface.actions), ("ifver_1", json!({"stopHitl": {}})));
    }
}
