//! The events that functions receive: that of an HTTP request, and that of a schedule.

use std::collections::BTreeMap;

use axum::extract::Query;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderName, TRANSFER_ENCODING, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Uri};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use shared::clock::{Clock, Timestamp};
use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;
use uuid::Uuid;

use crate::invocation::{ACCOUNT_ID, REGION, trace_id};

/// The gateway listens on loopback only, so this is the caller.
const SOURCE_IP: &str = "127.0.0.1";

const API_ID: &str = "sandbox";

const CLF_TIME: StaticFormatDescription =
    format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");

const WHOLE_SECONDS: StaticFormatDescription = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// A request that matched a route.
pub(super) struct Arrival<'a> {
    pub parts: &'a Parts,
    pub body: &'a [u8],
    pub path: &'a str,
    pub route_key: &'a str,
    pub path_parameters: BTreeMap<String, String>,
    pub request_id: &'a str,
    pub clock: &'a Clock,
}

/// The path as the service passes it to functions: percent-decoded, unlike the query.
pub(super) fn decoded_path(uri: &Uri) -> String {
    percent_decode_str(uri.path()).decode_utf8_lossy().into_owned()
}

impl Arrival<'_> {
    /// The event, payload format 2.0. Empty members are left out, as the service does.
    pub(super) fn to_event(&self) -> Value {
        let headers = &self.parts.headers;
        let (body, is_base64_encoded) = encoded_body(headers, self.body);
        let mut event = Map::new();
        let mut add = |name: &str, value: Value| event.insert(name.to_owned(), value);
        add("version", json!("2.0"));
        add("routeKey", json!(self.route_key));
        add("rawPath", json!(self.path));
        add("rawQueryString", json!(self.parts.uri.query().unwrap_or_default()));
        let cookies = cookies(headers);
        if !cookies.is_empty() {
            add("cookies", json!(cookies));
        }
        add("headers", json!(self.headers()));
        let query = query_parameters(&self.parts.uri);
        if !query.is_empty() {
            add("queryStringParameters", json!(query));
        }
        add("requestContext", self.request_context());
        if !self.path_parameters.is_empty() {
            add("pathParameters", json!(self.path_parameters));
        }
        if !body.is_empty() {
            add("body", json!(body));
        }
        add("isBase64Encoded", json!(is_base64_encoded));
        Value::Object(event)
    }

    fn host(&self) -> String {
        header(&self.parts.headers, &HOST)
    }

    /// The caller's headers, and those that the service adds. Cookies have their own member.
    fn headers(&self) -> BTreeMap<String, String> {
        let given = &self.parts.headers;
        let names = given.keys().filter(|name| **name != COOKIE && **name != TRANSFER_ENCODING);
        let mut headers: BTreeMap<_, _> = names.map(|name| (name.to_string(), header(given, name))).collect();
        let host = self.host();
        let port = host.rsplit_once(':').map_or("80", |(_, port)| port);
        let added = [
            (CONTENT_LENGTH.as_str(), self.body.len().to_string()),
            ("x-amzn-trace-id", trace_id(self.clock)),
            ("x-forwarded-for", SOURCE_IP.to_owned()),
            ("x-forwarded-port", port.to_owned()),
            ("x-forwarded-proto", "http".to_owned()),
        ];
        headers.extend(added.map(|(name, value)| (name.to_owned(), value)));
        headers
    }

    fn request_context(&self) -> Value {
        let (host, now) = (self.host(), self.clock.now());
        json!({
            "accountId": ACCOUNT_ID,
            "apiId": API_ID,
            "domainName": host,
            "domainPrefix": host.split('.').next(),
            "http": {
                "method": self.parts.method.as_str(),
                "path": self.path,
                "protocol": format!("{:?}", self.parts.version),
                "sourceIp": SOURCE_IP,
                "userAgent": header(&self.parts.headers, &USER_AGENT),
            },
            "requestId": self.request_id,
            "routeKey": self.route_key,
            "stage": "$default",
            "time": formatted(now, CLF_TIME),
            "timeEpoch": now.unix_millis(),
        })
    }
}

/// The event of the rule that starts the sweep.
///
/// See [AWS Docs/Creating an EventBridge rule that runs on a schedule](https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-rule-schedule.html).
pub fn schedule(at: Timestamp) -> Value {
    json!({
        "version": "0",
        "id": Uuid::new_v4().to_string(),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT_ID,
        "time": formatted(at, WHOLE_SECONDS),
        "region": REGION,
        "resources": [format!("arn:aws:events:{REGION}:{ACCOUNT_ID}:rule/sweep")],
        "detail": {},
    })
}

/// All values of a header, joined by commas; empty if it is absent.
fn header(headers: &HeaderMap, name: &HeaderName) -> String {
    let values: Vec<_> = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    values.join(",")
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(COOKIE).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    lines
        .flat_map(|line| line.split(';').map(|cookie| cookie.trim().to_owned()).collect::<Vec<_>>())
        .filter(|cookie| !cookie.is_empty())
        .collect()
}

/// Decoded parameters; the values of a repeated one are joined by commas.
fn query_parameters(uri: &Uri) -> BTreeMap<String, String> {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri).map(|Query(pairs)| pairs).unwrap_or_default();
    let mut parameters = BTreeMap::new();
    for (name, value) in pairs {
        parameters
            .entry(name)
            .and_modify(|joined: &mut String| {
                joined.push(',');
                joined.push_str(&value);
            })
            .or_insert(value);
    }
    parameters
}

/// The body as the service encodes it, and whether that is base64.
fn encoded_body(headers: &HeaderMap, body: &[u8]) -> (String, bool) {
    match std::str::from_utf8(body) {
        Ok(text) if text.is_empty() || is_text(&header(headers, &CONTENT_TYPE)) => (text.to_owned(), false),
        _ => (BASE64_STANDARD.encode(body), true),
    }
}

/// Returns whether the service passes this content type on as text.
///
/// Its documentation only says "binary"; this list is from measurements: forms and bodies without a type are base64 too.
fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.starts_with("text/")
        || matches!(essence.as_str(), "application/json" | "application/xml" | "application/javascript")
}

fn formatted(at: Timestamp, format: StaticFormatDescription) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(at.unix_seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    moment.format(format).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::request::Builder;
    use shared::clock::ManualClock;

    use super::*;

    fn event(request: Builder, body: &[u8]) -> Value {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Arrival {
            parts: &parts,
            body,
            path: &decoded_path(&parts.uri),
            route_key: "POST /botpress/{key}",
            path_parameters: BTreeMap::from([("key".to_owned(), "s3cret".to_owned())]),
            request_id: "id",
            clock: &ManualClock::new(Timestamp::from_unix_millis(1_778_492_460_877)).clock(),
        }
        .to_event()
    }

    fn post(uri: &str) -> Builder {
        Request::post(uri).header("host", "127.0.0.1:3000")
    }

    #[test]
    fn a_whole_event_has_the_documented_members() {
        let request = post("/botpress/s3cret?a=1").header("user-agent", "curl").header("content-type", "text/plain");
        let mut event = event(request, b"hello");
        let trace = event["headers"]["x-amzn-trace-id"].take();
        assert!(trace.as_str().unwrap().starts_with("Root=1-6a"), "{trace}");
        let expected = json!({
            "version": "2.0",
            "routeKey": "POST /botpress/{key}",
            "rawPath": "/botpress/s3cret",
            "rawQueryString": "a=1",
            "headers": {
                "content-length": "5",
                "content-type": "text/plain",
                "host": "127.0.0.1:3000",
                "user-agent": "curl",
                "x-amzn-trace-id": null,
                "x-forwarded-for": "127.0.0.1",
                "x-forwarded-port": "3000",
                "x-forwarded-proto": "http",
            },
            "queryStringParameters": { "a": "1" },
            "requestContext": {
                "accountId": "123456789012",
                "apiId": "sandbox",
                "domainName": "127.0.0.1:3000",
                "domainPrefix": "127",
                "http": {
                    "method": "POST",
                    "path": "/botpress/s3cret",
                    "protocol": "HTTP/1.1",
                    "sourceIp": "127.0.0.1",
                    "userAgent": "curl",
                },
                "requestId": "id",
                "routeKey": "POST /botpress/{key}",
                "stage": "$default",
                "time": "11/May/2026:09:41:00 +0000",
                "timeEpoch": 1_778_492_460_877_i64,
            },
            "pathParameters": { "key": "s3cret" },
            "body": "hello",
            "isBase64Encoded": false,
        });
        assert_eq!(event, expected);
    }

    #[test]
    fn members_with_nothing_in_them_are_left_out() {
        let event = event(post("/botpress/s3cret"), b"");
        for member in ["cookies", "queryStringParameters", "body"] {
            assert_eq!(event.get(member), None, "{member}");
        }
        assert_eq!(event["rawQueryString"], "");
        assert_eq!(event["isBase64Encoded"], false);
    }

    #[test]
    fn repeated_headers_are_joined_and_cookies_move_out() {
        let request =
            post("/").header("X-Two", "a").header("x-two", "b").header("cookie", "c=1; d=2").header("Cookie", "e=3");
        let event = event(request, b"");
        assert_eq!(event["headers"]["x-two"], "a,b");
        assert_eq!(event["headers"].get("cookie"), None);
        assert_eq!(event["cookies"], json!(["c=1", "d=2", "e=3"]));
    }

    #[test]
    fn the_path_is_decoded_and_the_raw_query_is_not() {
        let event = event(post("/a%20b/%C3%BC?x=1&y=a%20b&x=2&empty="), b"");
        assert_eq!(event["rawPath"], "/a b/ü");
        assert_eq!(event["requestContext"]["http"]["path"], "/a b/ü");
        assert_eq!(event["rawQueryString"], "x=1&y=a%20b&x=2&empty=");
        assert_eq!(event["queryStringParameters"], json!({ "x": "1,2", "y": "a b", "empty": "" }));
    }

    #[test]
    fn only_text_that_is_called_text_stays_text() {
        let cases: [(Option<&str>, &[u8], bool); 8] = [
            (Some("application/json"), b"{}", false),
            (Some("Application/JSON; charset=utf-8"), b"{}", false),
            (Some("text/html"), b"<p>", false),
            (Some("application/xml"), b"<p/>", false),
            (Some("application/json"), b"\xff", true),
            (Some("application/x-www-form-urlencoded"), b"a=1", true),
            (Some("image/png"), b"png", true),
            (None, b"{}", true),
        ];
        for (content_type, body, is_base64) in cases {
            let mut request = post("/");
            if let Some(content_type) = content_type {
                request = request.header("content-type", content_type);
            }
            let event = event(request, body);
            assert_eq!(event["isBase64Encoded"], is_base64, "{content_type:?}");
            let sent = event["body"].as_str().unwrap();
            let received = if is_base64 { BASE64_STANDARD.decode(sent).unwrap() } else { sent.as_bytes().to_vec() };
            assert_eq!(received, body);
        }
    }

    #[test]
    fn a_schedule_is_what_the_event_bus_sends() {
        let event = schedule(Timestamp::from_unix_millis(1_778_492_460_877));
        assert_eq!(event["source"], "aws.events");
        assert_eq!(event["detail-type"], "Scheduled Event");
        assert_eq!(event["time"], "2026-05-11T09:41:00Z");
        assert_eq!(event["detail"], json!({}));
    }
}
