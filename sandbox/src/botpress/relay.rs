//! The public webhook of the install: it forwards every request to the integration and returns its answer.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use serde_json::json;

use super::calls::OperationAnswer;
use super::platform::Platform;

/// Reply headers that the platform keeps for itself.
const IDENTIFIER: &str = "x-bp-integration-identifier";
const INTERSTITIAL: &str = "x-bp-disable-interstitial";

/// Headers that belong to one connection.
const CONNECTION_HEADERS: &[&str] = &["connection", "content-length", "transfer-encoding"];

/// Forwards one request on `/{webhookId}…` as the operation `webhook_received`.
pub(super) async fn forward(
    platform: &Platform,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let prefix = format!("/{}", platform.options.install.webhook_id);
    let texts: BTreeMap<&str, &str> =
        headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
    let mut req = json!({
        "method": method.as_str(),
        "path": uri.path().strip_prefix(&prefix).unwrap_or_default(),
        "query": uri.query().unwrap_or_default(),
        "headers": texts,
    });
    if let (false, Some(object)) = (body.is_empty(), req.as_object_mut()) {
        object.insert("body".to_owned(), json!(String::from_utf8_lossy(&body)));
    }
    match platform.call("webhook_received", None, &json!({"req": req}), 1).await {
        Ok(answer) => hand_back(platform, answer),
        Err(error) => plain(StatusCode::BAD_GATEWAY, error),
    }
}

fn hand_back(platform: &Platform, answer: OperationAnswer) -> Response<Body> {
    if let Some(identifier) = answer.headers.get(IDENTIFIER) {
        platform.record("identifier_set", json!({"identifier": identifier}));
    }
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        if name != IDENTIFIER && name != INTERSTITIAL && !CONNECTION_HEADERS.contains(&name.as_str()) {
            response = response.header(name, value);
        }
    }
    let answered = response.body(Body::from(answer.body));
    answered.unwrap_or_else(|error| plain(StatusCode::BAD_GATEWAY, error.to_string()))
}

fn plain(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}
