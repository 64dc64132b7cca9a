//! API Gateway's events as requests, and responses in the form it accepts: payload format 2.0 of HTTP APIs.
//!
//! Everything except `requestContext` comes from the caller, so none of it is trusted: an unreadable part is left out or
//! makes the whole event unreadable, and no input stops the process. The query is not read at all: no route has one.
//!
//! See AWS Docs, "Create AWS Lambda proxy integrations for HTTP APIs".

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// The name of the stage that does not appear in addresses.
const DEFAULT_STAGE: &str = "$default";

/// One HTTP request.
#[derive(Clone, PartialEq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path, percent-decoded, possibly with the stage in front.
    pub path: String,
    /// The headers, without those that no HTTP library would send.
    pub headers: HeaderMap,
    /// The body as it was sent.
    pub body: Vec<u8>,
    /// When the gateway received it, in milliseconds since 1970, if the event says so.
    pub received_ms: Option<i64>,
    /// The API's address as the caller used it: `https://….execute-api.….amazonaws.com`.
    pub origin: String,
    stage: String,
}

/// Shows nothing of the request: the path contains a key, the headers contain credentials.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("method", &self.method).finish_non_exhaustive()
    }
}

impl Request {
    /// Reads an event; `None` if it is not one of an HTTP API, or its body does not have the declared encoding.
    pub fn read(event: Value) -> Option<Self> {
        let Value::Object(mut event) = event else { return None };
        let context = event.remove("requestContext")?;
        let text = |pointer: &str| context.pointer(pointer).and_then(Value::as_str);
        let method = Method::from_bytes(text("/http/method")?.as_bytes()).ok()?;
        let path = event.get("rawPath").and_then(Value::as_str).or_else(|| text("/http/path"))?.to_owned();
        let headers = headers(event.get("headers"));
        // The gateway itself sets this header; only the sandbox is reached without TLS.
        let scheme =
            if headers.get("x-forwarded-proto").is_some_and(|value| value == "http") { "http" } else { "https" };
        let received_ms = context.get("timeEpoch").and_then(Value::as_i64);
        let origin = format!("{scheme}://{}", text("/domainName").unwrap_or_default());
        let stage = text("/stage").unwrap_or(DEFAULT_STAGE).to_owned();
        Some(Self { method, path, headers, body: body(&mut event)?, received_ms, origin, stage })
    }

    /// The public address of `path` on the same API, given that this request's own route ends with `own`:
    /// `https://….amazonaws.com/stage/livechat`.
    pub fn beside(&self, own: &str, path: &str) -> String {
        let before = self.path.split(own).next().unwrap_or_default();
        let stage = match self.stage.as_str() {
            DEFAULT_STAGE => String::new(),
            stage if before == format!("/{stage}") || before.starts_with(&format!("/{stage}/")) => String::new(),
            stage => format!("/{stage}"),
        };
        format!("{}{stage}{before}{path}", self.origin)
    }
}

fn headers(given: Option<&Value>) -> HeaderMap {
    let given = given.and_then(Value::as_object).into_iter().flatten();
    let readable = given.filter_map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(value.as_str()?.as_bytes()).ok()?))
    });
    let mut headers = HeaderMap::new();
    for (name, value) in readable {
        headers.append(name, value);
    }
    headers
}

fn body(event: &mut Map<String, Value>) -> Option<Vec<u8>> {
    match event.remove("body") {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::String(text)) if event.get("isBase64Encoded") == Some(&Value::Bool(true)) => {
            STANDARD.decode(text).ok()
        }
        Some(Value::String(text)) => Some(text.into_bytes()),
        Some(_) => None,
    }
}

/// A response with a body.
pub fn response(status: StatusCode, content_type: &'static str, body: impl Into<String>) -> Response<String> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A plain-text response.
pub fn text(status: StatusCode, text: &str) -> Response<String> {
    response(status, "text/plain; charset=utf-8", text)
}

/// The response in the form the gateway accepts: `{"statusCode":200,"headers":{…},"body":"…","isBase64Encoded":false}`.
pub fn answer(response: Response<String>) -> Value {
    let (parts, body) = response.into_parts();
    let texts = parts.headers.iter().filter_map(|(name, value)| Some((name.to_string(), json!(value.to_str().ok()?))));
    let headers: Map<_, _> = texts.collect();
    json!({ "statusCode": parts.status.as_u16(), "headers": headers, "body": body, "isBase64Encoded": false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(changes: Value) -> Value {
        let mut event = json!({
            "version": "2.0", "rawPath": "/livechat", "rawQueryString": "", "headers": {"x-forwarded-proto": "https"},
            "requestContext": {"domainName": "api.example", "stage": "$default",
                "http": {"method": "POST", "path": "/livechat"}},
            "body": "{}", "isBase64Encoded": false,
        });
        event.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        event
    }

    #[test]
    fn a_request_is_read_with_its_body_in_either_encoding() {
        let request = Request::read(event(json!({}))).unwrap();
        assert_eq!(
            (request.method, request.path.as_str(), request.body.as_slice()),
            (Method::POST, "/livechat", &b"{}"[..])
        );
        let encoded = Request::read(event(json!({"body": "/w==", "isBase64Encoded": true}))).unwrap();
        assert_eq!(encoded.body, [0xFF]);
        assert!(Request::read(event(json!({"body": null}))).unwrap().body.is_empty());
    }

    #[test]
    fn what_no_caller_of_an_api_sends_is_no_request() {
        for changes in [
            json!({"body": "not base64!", "isBase64Encoded": true}),
            json!({"body": 7}),
            json!({"requestContext": null}),
            json!({"requestContext": {"http": {"method": "NOT A METHOD"}}}),
        ] {
            assert_eq!(Request::read(event(changes.clone())), None, "{changes}");
        }
        assert_eq!(Request::read(json!([])), None);
    }

    #[test]
    fn whatever_stands_in_query_path_or_headers_is_no_reason_to_stop() {
        for changes in [
            json!({"rawQueryString": "<script>\"{é}"}),
            json!({"rawPath": "no slash"}),
            json!({"rawPath": "/\u{0}\"<>#?[é]".repeat(20_000)}),
            json!({"rawPath": 7, "headers": {"host": "a b:c", "x-forwarded-proto": "\u{7f}\n", "bad name": "x", "x": 7}}),
            json!({"headers": "none", "cookies": [7]}),
        ] {
            assert!(Request::read(event(changes)).is_some());
        }
    }

    #[test]
    fn a_neighbour_has_the_stage_of_this_route() {
        let beside = |path: &str, stage: &str| {
            let context = json!({"domainName": "api.example", "stage": stage, "http": {"method": "POST"}});
            let request = Request::read(event(json!({"rawPath": path, "requestContext": context}))).unwrap();
            request.beside("/botpress/", "/livechat")
        };
        assert_eq!(beside("/botpress/key", "$default"), "https://api.example/livechat");
        assert_eq!(beside("/live/botpress/key", "live"), "https://api.example/live/livechat");
        assert_eq!(beside("/botpress/key", "live"), "https://api.example/live/livechat");
    }

    #[test]
    fn an_answer_has_the_documented_form_and_debug_output_says_nothing() {
        let expected = json!({"statusCode": 413, "headers": {"content-type": "text/plain; charset=utf-8"},
            "body": "too large", "isBase64Encoded": false});
        assert_eq!(answer(text(StatusCode::PAYLOAD_TOO_LARGE, "too large")), expected);
        let request = Request::read(event(json!({"rawPath": "/botpress/canary", "headers": {"a": "canary"}}))).unwrap();
        assert!(!format!("{request:?}").contains("canary"));
    }
}
