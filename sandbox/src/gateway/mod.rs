//! A local API Gateway HTTP API: requests become payload format 2.0 events, answers of functions become responses.

mod answer;
mod event;
mod route;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde_json::json;
use shared::clock::Clock;
use uuid::Uuid;

use crate::faults::Faults;
use crate::server::{Server, patience};

pub use event::schedule;
pub use route::Route;

/// The largest body that the service accepts.
const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;

/// How long the service waits for a function.
const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(30);

/// A running gateway; it stops when dropped.
///
/// It serves the `$default` stage. Its own answers have the service's form, `{"message":"…"}`: 404 `Not Found` without
/// a route, 413 `Request Entity Too Large` over 10 MB, 500 `Internal Server Error` when the function fails or returns
/// an invalid answer, 503 `Service Unavailable` when it takes more than 30 s (of real time, and a hundred times that on
/// a clock that a test moves). Work that outlives its caller continues, as on Lambda.
///
/// See [AWS Docs/Create AWS Lambda proxy integrations for HTTP APIs](https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html).
#[derive(Debug)]
pub struct Gateway {
    server: Server,
}

impl Gateway {
    /// Serves `routes` on `port` of the loopback interface (0 picks a free one), with faults from `faults`.
    ///
    /// The first matching route wins. `clock` dates the requests.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub async fn start(port: u16, routes: Vec<Route>, faults: Faults, clock: Clock) -> io::Result<Self> {
        let api = Api { routes: routes.into(), clock: clock.clone() };
        let router = Router::new().fallback(serve).with_state(api);
        Ok(Self { server: Server::start(port, router, faults, clock).await? })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        self.server.url()
    }
}

#[derive(Clone, Debug)]
struct Api {
    routes: Arc<[Route]>,
    clock: Clock,
}

async fn serve(State(api): State<Api>, request: Request) -> Response {
    let request_id = Uuid::new_v4().simple().to_string();
    let mut response = api.answer(request, &request_id).await.unwrap_or_else(refusal);
    if let Ok(request_id) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("apigw-requestid", request_id);
    }
    response
}

impl Api {
    async fn answer(&self, request: Request, request_id: &str) -> Result<Response, StatusCode> {
        let (parts, body) = request.into_parts();
        let path = event::decoded_path(&parts.uri);
        let matched = self.routes.iter().find_map(|route| Some((route, route.parameters(&parts.method, &path)?)));
        let (route, path_parameters) = matched.ok_or(StatusCode::NOT_FOUND)?;
        let body = axum::body::to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
        let event = event::Arrival {
            parts: &parts,
            body: &body,
            path: &path,
            route_key: &route.key(),
            path_parameters,
            request_id,
            clock: &self.clock,
        };
        let answer =
            tokio::time::timeout(INTEGRATION_TIMEOUT * patience(&self.clock), route.function.invoke(event.to_event()))
                .await
                .map_err(|_elapsed| StatusCode::SERVICE_UNAVAILABLE)?
                .map_err(|error| {
                    tracing::error!("{} failed: {error}", route.key());
                    StatusCode::INTERNAL_SERVER_ERROR
                })?;
        answer::response(&answer).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

fn refusal(status: StatusCode) -> Response {
    let message = match status {
        // The service uses the older name of this status.
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
        other => other.canonical_reason().unwrap_or_default(),
    };
    (status, [(CONTENT_TYPE, "application/json")], json!({ "message": message }).to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use http::Method;
    use lambda_http::request::LambdaRequest;
    use lambda_http::{Adapter, RequestExt, Service, service_fn};
    use lambda_runtime::LambdaEvent;
    use serde_json::Value;

    use super::*;
    use crate::faults::Fault;
    use crate::function::Function;

    /// The export of a function's crate: raw event in, raw answer out, `lambda_http` between.
    async fn handle(event: LambdaEvent<Value>) -> Result<Value, lambda_runtime::Error> {
        let (payload, context) = event.into_parts();
        let request: LambdaRequest = serde_json::from_str(&payload.to_string())?;
        let mut adapter = Adapter::from(service_fn(greet));
        let answer = adapter.call(LambdaEvent::new(request, context)).await?;
        Ok(serde_json::to_value(answer)?)
    }

    async fn greet(request: lambda_http::Request) -> Result<lambda_http::Response<String>, lambda_runtime::Error> {
        if request.body().as_ref() == b"fail" {
            return Err("as asked".into());
        }
        let parameters = request.path_parameters();
        let text = format!(
            "{} {} key={} body={}",
            request.method(),
            request.uri(),
            parameters.first("key").unwrap_or_default(),
            String::from_utf8_lossy(request.body().as_ref()),
        );
        let response = http::Response::builder().status(201).header("x-kind", "greeting");
        Ok(response.header("set-cookie", "a=1").header("set-cookie", "b=2").body(text)?)
    }

    fn client() -> reqwest::Client {
        // Another test may have installed it first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder().retry(reqwest::retry::never()).build().unwrap()
    }

    async fn start(function: Function) -> (Gateway, Faults) {
        let faults = Faults::default();
        let routes = vec![
            Route::new(Method::POST, "/botpress/{key}", function.clone()),
            Route::new(Method::GET, "/health", function),
        ];
        (Gateway::start(0, routes, faults.clone(), Clock::system()).await.unwrap(), faults)
    }

    fn greeter() -> Function {
        Function::in_process("greeter", Duration::from_secs(10), Clock::system(), handle)
    }

    #[tokio::test]
    async fn a_request_goes_through_lambda_http_and_comes_back() {
        let (gateway, _) = start(greeter()).await;
        let request = client().post(format!("{}/botpress/s3cret?x=a%20b", gateway.url()));
        let response = request.header("content-type", "text/plain").body("hello").send().await.unwrap();
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers()["x-kind"], "greeting");
        assert!(response.headers().contains_key("apigw-requestid"));
        let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
        let expected = format!("POST {}/botpress/s3cret?x=a%20b key=s3cret body=hello", gateway.url());
        assert_eq!(response.text().await.unwrap(), expected);
    }

    #[tokio::test]
    async fn binary_bodies_reach_the_function_whole() {
        let (gateway, _) = start(greeter()).await;
        let request = client().post(format!("{}/botpress/k", gateway.url())).body("no content type");
        let text = request.send().await.unwrap().text().await.unwrap();
        assert!(text.ends_with("body=no content type"), "{text}");
    }

    #[tokio::test]
    async fn what_the_gateway_refuses_has_the_services_shape() {
        let (gateway, _) = start(greeter()).await;
        let client = client();
        let url = |path: &str| format!("{}{path}", gateway.url());
        let cases = [
            (client.get(url("/nowhere")), 404, "Not Found"),
            (client.get(url("/botpress/k")), 404, "Not Found"),
            (client.post(url("/botpress/k")).body("fail"), 500, "Internal Server Error"),
            (client.post(url("/botpress/k")).body(vec![0; MAX_BODY_BYTES + 1]), 413, "Request Entity Too Large"),
        ];
        for (request, status, message) in cases {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), status);
            assert_eq!(response.json::<Value>().await.unwrap(), json!({ "message": message }));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_function_that_takes_too_long_is_a_503() {
        let slow = Function::in_process("slow", Duration::from_secs(60), Clock::system(), |_| std::future::pending());
        let api = Api { routes: vec![Route::new(Method::GET, "/health", slow)].into(), clock: Clock::system() };
        let begun = tokio::time::Instant::now();
        let request = http::Request::get("/health").body(axum::body::Body::empty()).unwrap();
        let response = serve(State(api), request).await;
        assert_eq!(response.status(), 503);
        assert_eq!(begun.elapsed().as_secs(), 30);
    }

    #[tokio::test]
    async fn a_fault_script_can_lose_the_answer_of_a_function() {
        let (gateway, faults) = start(greeter()).await;
        faults.next(1, "GET /health", Fault::LoseAnswer);
        let url = format!("{}/health", gateway.url());
        let client = client();
        assert!(client.get(&url).send().await.is_err());
        assert_eq!(client.get(&url).send().await.unwrap().status(), 201);
    }
}
