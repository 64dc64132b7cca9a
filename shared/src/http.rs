//! Outgoing calls to the vendors: one HTTP client, and its failures.
//!
//! The vendor modules build requests and read answers; connections, time limits and sizes are handled here.

mod call_error;
mod decode;
mod field;
mod refusal;
mod repair;

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use bytes::Bytes;
use reqwest::Url;
use reqwest::multipart::{Form, Part};
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use thiserror::Error;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

pub use call_error::{CallError, Vendor};
pub use decode::DecodeError;
pub(crate) use decode::{decode, fit};
pub(crate) use field::{Field, Noted, read};
pub use refusal::Refusal;
pub(crate) use refusal::cap;
pub(crate) use repair::repaired;

use crate::odd::Reporter;
use crate::redacted::Redacted;

pub(crate) const USER_AGENT: &str = concat!("livechat-hitl/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Shorter than any vendor keeps an idle connection: one that died while the function was frozen fails the next call
/// with an unknown outcome.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// No vendor's answer comes near this; a longer one is cut off.
const MAX_ANSWER_BYTES: usize = 4 << 20;

tokio::task_local! {
    /// How long a request of this task may take, if not the client's own timeout.
    static LONGEST: Duration;
}

/// Does `work`, each request of which may take this long instead of the client's own timeout.
pub(crate) async fn with_timeout<F: Future>(longest: Duration, work: F) -> F::Output {
    LONGEST.scope(longest, work).await
}

/// The HTTP client that all vendor clients share; clones share its connections.
///
/// It trusts the bundled Mozilla roots only, follows no redirect, and uses no proxy, so building it reads neither disk
/// nor environment.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    reporter: Option<Reporter>,
}

/// The HTTP client could not be built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The TLS library refuses its own defaults.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The HTTP library refuses the settings.
    #[error("the HTTP client cannot be set up")]
    Client(#[from] reqwest::Error),
}

impl Http {
    /// Builds the client; `timeout` limits every request, from connecting to the last byte of the answer, unless its caller has set
    /// another one.
    ///
    /// # Errors
    ///
    /// [`BuildError`], which only a change of dependencies can cause.
    pub fn new(timeout: Duration) -> Result<Self, BuildError> {
        Self::with_tls(timeout, tls()?)
    }

    /// Builds the client with the result of [`tls`], so that it is built once.
    pub(crate) fn with_tls(timeout: Duration, tls: ClientConfig) -> Result<Self, BuildError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(USER_AGENT)
            .timeout(timeout)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { client, reporter: None })
    }

    /// Returns the client with a reporter for fields of answers that are not as documented.
    pub(crate) fn reporting(self, reporter: Reporter) -> Self {
        Self { reporter: Some(reporter), ..self }
    }

    /// Reads an answer to `call` field by field, and reports odd fields.
    pub(crate) fn read<T>(
        &self,
        (vendor, call): (&'static str, Call),
        answer: &Answer,
        read_it: impl FnOnce(&Field<'_>) -> Option<T>,
    ) -> Result<T, Failure> {
        let (value, odd) = read(&answer.body, read_it).map_err(Failure::Unreadable)?;
        if let Some(reporter) = &self.reporter {
            reporter.report(vendor, call.name, &odd);
        }
        value.ok_or_else(|| Failure::Unreadable(DecodeError::unreadable(&odd)))
    }

    /// Sends `request` and reads the whole answer, with any status.
    pub(crate) async fn send(&self, request: Request) -> Result<Answer, Failure> {
        let Request { method, url, headers, body } = request;
        let outgoing = self.client.request(method, url).headers(headers);
        let outgoing = match LONGEST.try_get() {
            Ok(longest) => outgoing.timeout(longest),
            Err(_) => outgoing,
        };
        #[cfg(feature = "fail-points")]
        let outgoing = crate::cause::noted(outgoing);
        let outgoing = match body {
            Body::Empty => outgoing,
            Body::Json(json) => outgoing.header(header::CONTENT_TYPE, "application/json").body(json),
            Body::File(file) => outgoing.multipart(file.into_form()?),
        };
        let mut response = outgoing.send().await.map_err(Failure::of)?;
        let status = response.status();
        let headers = mem::take(response.headers_mut());
        let body = match read_body(&mut response).await {
            Ok(body) => body,
            Err(failure) if status.is_success() => return Err(failure),
            // The status of a refusal says more than its broken body.
            Err(_) => Vec::new(),
        };
        Ok(Answer { status, headers, body })
    }
}

/// TLS that trusts the bundled roots; clones share them.
pub(crate) fn tls() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(versions.with_root_certificates(bundled_roots()).with_no_client_auth())
}

fn bundled_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(TLS_SERVER_ROOT_CERTS.iter().cloned());
    roots
}

async fn read_body(response: &mut reqwest::Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Failure::of)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(Failure::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A request to send; cheap to clone, for the rare second attempt.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Body,
}

#[derive(Clone)]
pub(crate) enum Body {
    Empty,
    Json(Bytes),
    File(File),
}

impl Body {
    pub(crate) fn json(value: &impl Serialize) -> Result<Self, Failure> {
        let json = serde_json::to_vec(value).map_err(Failure::not_sendable)?;
        Ok(Self::Json(json.into()))
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The only part, named `file`, of a multipart body.
#[derive(Clone)]
pub(crate) struct File {
    pub name: String,
    pub content_type: String,
    pub content: Bytes,
}

impl File {
    fn into_form(self) -> Result<Form, Failure> {
        let length = u64::try_from(self.content.len()).map_err(Failure::not_sendable)?;
        let part = Part::stream_with_length(self.content, length).file_name(self.name);
        let part = part.mime_str(&self.content_type).map_err(Failure::not_sendable)?;
        Ok(Form::new().part("file", part))
    }
}

/// `base` followed by percent-encoded path segments.
pub(crate) fn url(base: &str, segments: &[&str]) -> Result<Url, Failure> {
    let mut url = Url::parse(base).map_err(Failure::not_sendable)?;
    let added = url.path_segments_mut().map(|mut path| {
        path.pop_if_empty().extend(segments);
    });
    added.map_err(|()| Failure::not_sendable("the base URL cannot have a path"))?;
    Ok(url)
}

/// A header value that debug output does not show.
pub(crate) fn sensitive(value: &Redacted) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(value.expose()).map_err(Failure::not_sendable)?;
    value.set_sensitive(true);
    Ok(value)
}

/// A vendor's answer.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads an object. Rejects a list, which the decoder would accept as an object with the fields in order.
    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        match self.body.trim_ascii_start().first() {
            Some(b'[') => Err(Failure::Unreadable(DecodeError::unexpected("a list"))),
            _ => decode(&self.body).map_err(Failure::Unreadable),
        }
    }

    /// Reads a success whose content does not matter: no body at all, or any JSON object. An HTML page does not confirm anything.
    pub(crate) fn acknowledged(&self) -> Result<(), Failure> {
        match self.body.trim_ascii().is_empty() {
            true => Ok(()),
            false => self.decode::<BTreeMap<String, IgnoredAny>>().map(drop),
        }
    }

    /// Reads a success of a vendor that does not document its answer: anything but an HTML page or an incomplete JSON value.
    pub(crate) fn acknowledged_somehow(&self) -> Result<(), Failure> {
        match self.body.trim_ascii().first() {
            Some(b'<') => Err(Failure::Unreadable(DecodeError::unexpected("a page"))),
            Some(b'{' | b'[') => decode::<IgnoredAny>(&self.body).map(drop).map_err(Failure::Unreadable),
            _ => Ok(()),
        }
    }
}

/// A successful answer lacks a field that is optional only elsewhere.
pub(crate) fn missing(field: &'static str) -> Failure {
    Failure::Unreadable(DecodeError::missing(field))
}

/// A vendor's method, as errors name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The vendor's name for it.
    pub name: &'static str,
    /// Whether carrying it out twice has the same effect as once.
    pub repeatable: bool,
}

impl Call {
    pub(crate) const fn repeatable(name: &'static str) -> Self {
        Self { name, repeatable: true }
    }

    pub(crate) const fn once(name: &'static str) -> Self {
        Self { name, repeatable: false }
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Why there is no usable answer.
#[derive(Debug, Error)]
pub enum Failure {
    /// A setting, header or body is not valid in HTTP; nothing was sent.
    #[error("the request cannot be built")]
    NotSendable(#[source] Box<dyn StdError + Send + Sync>),
    /// No connection was made; nothing was sent.
    #[error("no connection could be made")]
    NotConnected(#[source] reqwest::Error),
    /// The timeout ended before the answer was complete; the request may have been carried out.
    #[error("no complete answer arrived in time")]
    TimedOut(#[source] reqwest::Error),
    /// The connection broke before the answer was complete; the request may have been carried out.
    #[error("the connection broke before the answer was complete")]
    Lost(#[source] reqwest::Error),
    /// The status is a success, but the body exceeds the limit.
    #[error("the answer exceeds {MAX_ANSWER_BYTES} bytes")]
    TooLarge,
    /// The status is a success, but the body is not as documented.
    #[error("the answer is not as documented: {0}")]
    Unreadable(#[source] DecodeError),
}

impl Failure {
    pub(crate) fn not_sendable(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::NotSendable(error.into())
    }

    fn of(error: reqwest::Error) -> Self {
        let error = error.without_url();
        // A connection attempt that times out is both errors; what counts is that nothing was sent.
        if error.is_connect() {
            Self::NotConnected(error)
        } else if error.is_builder() {
            Self::not_sendable(error)
        } else if error.is_timeout() {
            Self::TimedOut(error)
        } else {
            Self::Lost(error)
        }
    }

    /// Whether the same request may succeed later: a success that cannot be read may be readable next time.
    pub const fn is_transient(&self) -> bool {
        !matches!(self, Self::NotSendable(_))
    }

    /// Whether the vendor may still carry out the request. Once it has answered, even unreadably, it is done.
    pub const fn may_be_unfinished(&self) -> bool {
        matches!(self, Self::TimedOut(_) | Self::Lost(_))
    }

    /// Whether the vendor may have carried the request out.
    pub const fn may_have_happened(&self) -> bool {
        !matches!(self, Self::NotSendable(_) | Self::NotConnected(_))
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Loopback servers that misbehave.

    use std::net::{Ipv4Addr, TcpListener};
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    use super::Http;

    /// A client for tests: long enough for a busy machine.
    pub(crate) fn http() -> Http {
        Http::new(Duration::from_secs(20)).unwrap()
    }

    /// A base URL that refuses connections.
    pub(crate) fn refusing() -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    }

    /// A base URL whose server reads a request and then hangs up, after writing `answer` if there is one.
    ///
    /// With `hold`, it never hangs up.
    pub(crate) async fn breaking(answer: &'static str, hold: bool) -> (String, JoinHandle<()>) {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 8192];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            if hold {
                std::future::pending::<()>().await;
            }
        });
        (url, server)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use wiremock::matchers::{header, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    fn get(base: &str) -> Request {
        Request {
            method: Method::GET,
            url: url(base, &["a b", "c/d"]).unwrap(),
            headers: HeaderMap::new(),
            body: Body::Empty,
        }
    }

    async fn fail(base: &str) -> Failure {
        let Err(failure) = testing::http().send(get(base)).await else { panic!("this server cannot answer") };
        failure
    }

    #[tokio::test]
    async fn a_request_names_us_and_encodes_its_path() {
        let server = MockServer::start().await;
        let agent = format!("livechat-hitl/{}", env!("CARGO_PKG_VERSION"));
        Mock::given(method("GET"))
            .and(path("/base/a%20b/c%2Fd"))
            .and(header("user-agent", agent))
            .respond_with(ResponseTemplate::new(200).set_body_string("{}"))
            .expect(1)
            .mount(&server)
            .await;
        let answer = testing::http().send(get(&format!("{}/base/", server.uri()))).await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::OK, b"{}".as_slice()));
    }

    #[test]
    fn every_bundled_root_certificate_is_trusted() {
        assert_eq!(bundled_roots().len(), TLS_SERVER_ROOT_CERTS.len());
    }

    #[tokio::test]
    async fn an_https_call_begins_with_a_tls_handshake() {
        const HANDSHAKE: u8 = 0x16;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        let first_byte = tokio::spawn(async move { listener.accept().await.unwrap().0.read_u8().await.unwrap() });
        assert!(matches!(fail(&base).await, Failure::NotConnected(_)));
        assert_eq!(first_byte.await.unwrap(), HANDSHAKE);
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_not_an_instruction() {
        let server = MockServer::start().await;
        let elsewhere = ResponseTemplate::new(302).insert_header("location", "http://127.0.0.1:1/");
        Mock::given(method("GET")).respond_with(elsewhere).expect(1).mount(&server).await;
        assert_eq!(testing::http().send(get(&server.uri())).await.unwrap().status, StatusCode::FOUND);
    }

    #[tokio::test]
    async fn a_success_that_does_not_end_is_cut_off() {
        let server = MockServer::start().await;
        let endless = ResponseTemplate::new(200).set_body_bytes(vec![b' '; MAX_ANSWER_BYTES + 1]);
        Mock::given(method("GET")).respond_with(endless).mount(&server).await;
        let failure = fail(&server.uri()).await;
        assert!(matches!(failure, Failure::TooLarge) && failure.is_transient() && failure.may_have_happened());
    }

    #[tokio::test]
    async fn a_refusal_with_an_endless_body_keeps_its_status() {
        let server = MockServer::start().await;
        let endless = ResponseTemplate::new(503).set_body_bytes(vec![b' '; MAX_ANSWER_BYTES + 1]);
        Mock::given(method("GET")).respond_with(endless).mount(&server).await;
        let answer = testing::http().send(get(&server.uri())).await.unwrap();
        assert_eq!((answer.status, answer.body), (StatusCode::SERVICE_UNAVAILABLE, Vec::new()));
    }

    #[tokio::test]
    async fn a_refused_connection_means_that_nothing_was_sent() {
        let failure = fail(&testing::refusing()).await;
        assert!(matches!(failure, Failure::NotConnected(_)), "{failure:?}");
        assert!(failure.is_transient() && !failure.may_have_happened());
    }

    #[tokio::test]
    async fn a_connection_that_breaks_during_the_answer_leaves_the_outcome_open() {
        for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{"] {
            let (base, server) = testing::breaking(answer, false).await;
            let failure = fail(&base).await;
            assert!(matches!(failure, Failure::Lost(_)), "{failure:?}");
            assert!(failure.is_transient() && failure.may_have_happened());
            server.await.unwrap();
        }
    }

    #[test]
    fn a_page_says_nothing_of_what_was_done() {
        let cases = [
            ("", true, true),
            (" \n", true, true),
            ("{}", true, true),
            (r#"{"event":{"id":"evt_1"}}"#, true, true),
            (r#"{"event":{"id":"ev"#, false, false),
            ("<html>maintenance</html>", false, false),
            ("\n<!doctype html>", false, false),
            ("[]", false, true),
            ("OK", false, true),
        ];
        for (body, as_documented, somehow) in cases {
            let answer = Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: body.as_bytes().to_vec() };
            assert_eq!(answer.acknowledged().is_ok(), as_documented, "{body}");
            assert_eq!(answer.acknowledged_somehow().is_ok(), somehow, "{body}");
        }
    }

    #[tokio::test]
    async fn a_malformed_base_url_is_never_sent() {
        for base in ["", "api.example", "mailto:someone"] {
            let failure = url(base, &["v1"]).unwrap_err();
            assert!(!failure.is_transient() && !failure.may_have_happened(), "{base}");
        }
    }

    #[test]
    fn an_authorization_header_is_not_shown_in_debug_output() {
        let value = sensitive(&Redacted::from("Bearer canary")).unwrap();
        assert!(!format!("{value:?}").contains("canary"));
        assert!(sensitive(&Redacted::from("two\nlines")).is_err());
    }
}
