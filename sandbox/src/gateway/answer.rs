//! Converts the answer of a function into an HTTP response.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use http::header::{CONTENT_TYPE, SET_COOKIE};
use serde::Deserialize;
use serde_json::Value;

/// The answer of a function that sets more than the body.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: u16,
    headers: Option<BTreeMap<String, Value>>,
    multi_value_headers: Option<BTreeMap<String, Vec<Value>>>,
    cookies: Option<Vec<String>>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

/// Reads `{"statusCode":…,"headers":{…},"cookies":[…],"body":"…","isBase64Encoded":…}`; returns `None` if it is not valid.
///
/// An answer without `statusCode` is the body itself, in JSON, with status 200.
pub(super) fn response(answer: &Value) -> Option<Response> {
    if answer.get("statusCode").is_none() {
        let content_type = HeaderValue::from_static("application/json");
        return Response::builder().header(CONTENT_TYPE, content_type).body(Body::from(answer.to_string())).ok();
    }
    let answer = Answer::deserialize(answer).ok()?;
    let mut response = Response::builder().status(answer.status_code);
    for (name, value) in answer.headers.unwrap_or_default() {
        response = response.header(name, text(&value)?);
    }
    for (name, values) in answer.multi_value_headers.unwrap_or_default() {
        for value in values {
            response = response.header(&name, text(&value)?);
        }
    }
    for cookie in answer.cookies.unwrap_or_default() {
        response = response.header(SET_COOKIE, cookie);
    }
    let body = answer.body.unwrap_or_default().into_bytes();
    let body = if answer.is_base64_encoded == Some(true) { BASE64_STANDARD.decode(body).ok()? } else { body };
    response.body(Body::from(body)).ok()
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn body(response: Response) -> Vec<u8> {
        axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()
    }

    #[tokio::test]
    async fn every_member_of_an_answer_is_used() {
        let answer = json!({
            "statusCode": 207,
            "headers": { "x-one": "1", "x-number": 2 },
            "multiValueHeaders": { "x-two": ["a", "b"] },
            "cookies": ["c=1", "d=2"],
            "body": "AP8=",
            "isBase64Encoded": true,
        });
        let response = response(&answer).unwrap();
        assert_eq!(response.status(), 207);
        let all = |name: &str| -> Vec<String> {
            response.headers().get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(all("x-one"), ["1"]);
        assert_eq!(all("x-number"), ["2"]);
        assert_eq!(all("x-two"), ["a", "b"]);
        assert_eq!(all("set-cookie"), ["c=1", "d=2"]);
        assert_eq!(body(response).await, [0, 255]);
    }

    #[tokio::test]
    async fn an_answer_without_a_status_is_the_body() {
        for answer in [json!({ "ok": true }), json!("text"), json!(null)] {
            let response = response(&answer).unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["content-type"], "application/json");
            assert_eq!(body(response).await, answer.to_string().as_bytes());
        }
    }

    #[test]
    fn nonsense_is_no_response() {
        for answer in [
            json!({ "statusCode": "yes" }),
            json!({ "statusCode": 9 }),
            json!({ "statusCode": 200, "body": "%", "isBase64Encoded": true }),
            json!({ "statusCode": 200, "headers": { "x": ["a"] } }),
            json!({ "statusCode": 200, "headers": { "no name": "a" } }),
        ] {
            assert!(response(&answer).is_none(), "{answer}");
        }
    }
}
