//! A loopback HTTP server that can break connections on purpose.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use reqwest::dns::{Name, Resolve, Resolving};
use shared::clock::{Clock, Timestamp};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tower_service::Service;

use crate::cause::{self, Work};
use crate::faults::{self, Fault, Faults};

/// Longer delays need not be exact.
const EXACT_BELOW: Duration = Duration::from_millis(500);

/// A running server; it stops, and drops its connections, when this value is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    inside: Inside,
    accepting: JoinHandle<()>,
}

/// The server behind a port, and behind each further one; copies share it.
#[derive(Clone, Debug)]
pub(crate) struct Inside {
    router: Router,
    faults: Faults,
    clock: Clock,
}

impl Server {
    /// Serves `router` on `port` of the loopback interface (0 picks a free one), with faults from `faults`.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub async fn start(port: u16, router: Router, faults: Faults, clock: Clock) -> io::Result<Self> {
        Self::open(port, Inside { router, faults, clock }, Work::default()).await
    }

    /// Opens a port; a call that names no cause belongs to the call that `work` names.
    async fn open(port: u16, inside: Inside, work: Work) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, inside.clone(), work));
        Ok(Self { address, inside, accepting })
    }

    /// The server behind this port.
    pub(crate) fn inside(&self) -> Inside {
        self.inside.clone()
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Inside {
    /// Opens a further port, for a process whose present call `work` names.
    pub(crate) async fn open_for(self, work: Work) -> io::Result<Server> {
        Server::open(0, self, work).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The factor by which callers wait longer than usual for an answer in real time: where a test moves the clock,
/// hundreds of calls may share the machine while the clock stands still.
pub(crate) const fn patience(clock: &Clock) -> u32 {
    if clock.is_system() { 1 } else { 100 }
}

/// A client for the loopback interface: no names, no proxy, no redirects, no trusted roots, no retries.
///
/// # Errors
///
/// When the TLS library lacks what every build of it contains.
pub fn client() -> io::Result<reqwest::Client> {
    client_builder()?.build().map_err(io::Error::other)
}

/// A client for the loopback interface with a vendor's timeout in real time.
pub(crate) fn vendor_client(timeout: Duration, clock: &Clock) -> io::Result<reqwest::Client> {
    client_builder()?.timeout(timeout * patience(clock)).build().map_err(io::Error::other)
}

fn client_builder() -> io::Result<reqwest::ClientBuilder> {
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let builder = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().dns_resolver(Arc::new(NoNames));
    Ok(builder.redirect(reqwest::redirect::Policy::none()).retry(reqwest::retry::never()))
}

/// Resolves no name: the sandbox calls only addresses on this machine.
struct NoNames;

impl Resolve for NoNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move { Err(format!("{} is not on this machine", name.as_str()).into()) })
    }
}

async fn accept(listener: TcpListener, inside: Inside, work: Work) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(serve(stream, inside.clone(), work.clone()));
    }
}

async fn serve(stream: TcpStream, inside: Inside, work: Work) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: http::Request<Incoming>| {
        answer(request.map(Body::new), inside.clone(), work.clone())
    });
    // An error here is a broken connection: caused by the peer, or by a requested fault.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request, inside: Inside, work: Work) -> Result<Response, Broken> {
    let Inside { router, faults, clock } = inside;
    let cause = cause::of(request.headers()).or_else(|| work.cause());
    let mut response = cause::within(cause, spoil(request, router, &faults, clock)).await?;
    for (name, value) in faults.stamps() {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            // The script's rate headers replace the simulator's own; those of a scripted answer stay.
            let is_scripted = response.extensions().get::<Scripted>().is_some();
            if !(is_scripted && response.headers().contains_key(&name)) {
                response.headers_mut().insert(name, value);
            }
        }
    }
    Ok(response)
}

/// Marks an answer from the fault script.
#[derive(Clone, Copy)]
struct Scripted;

async fn spoil(request: Request, mut router: Router, faults: &Faults, clock: Clock) -> Result<Response, Broken> {
    let (head, body) = request.into_parts();
    // Waits for the body: hyper drops a connection whose request is answered earlier, and the caller may want to reuse it.
    let body = to_bytes(body, usize::MAX).await.map_err(|_| Broken)?;
    let fault = {
        let headers: Vec<_> = head.headers.values().filter_map(|value| value.to_str().ok()).collect();
        let (line, text) = (request_line(&head), String::from_utf8_lossy(&body));
        faults.take(&faults::Request { line: &line, headers: &headers, body: &text }, clock.now())
    };
    let request = Request::from_parts(head, Body::from(body));
    match fault {
        None => {}
        Some(Fault::Answer { status, headers, body }) => return Ok(scripted(status, headers, body)),
        Some(Fault::Delay(duration)) => {
            let _held = faults.hold();
            wait(duration, &clock).await;
        }
        Some(Fault::Pace(duration)) => {
            let begin = Instant::now();
            let Ok(response) = router.call(request).await;
            let _held = faults.hold();
            wait(duration.saturating_sub(begin.elapsed()), &clock).await;
            return Ok(response);
        }
        Some(Fault::Hang(duration)) => {
            let _held = faults.hold();
            wait(duration, &clock).await;
            return Err(Broken);
        }
        Some(Fault::Reset) => return Err(Broken),
        Some(Fault::LoseAnswer) => {
            let Ok(_lost) = router.call(request).await;
            return Err(Broken);
        }
        Some(Fault::Late { breaks_after, takes_effect_after }) => {
            // A separate task, because this one ends with its connection.
            tokio::spawn(carry_out(request, router, faults.clone(), clock.now() + takes_effect_after, clock.clone()));
            let _held = faults.hold();
            wait(breaks_after, &clock).await;
            return Err(Broken);
        }
        Some(Fault::Garble(garble)) => {
            let Ok(response) = router.call(request).await;
            let (mut head, body) = response.into_parts();
            let body = to_bytes(body, usize::MAX).await.map_err(|_| Broken)?;
            head.headers.remove(CONTENT_LENGTH);
            return Ok(Response::from_parts(head, Body::from(garble.apply(body.into()))));
        }
    }
    let Ok(response) = router.call(request).await;
    Ok(response)
}

/// Makes a call whose caller has disconnected take effect at this time.
fn carry_out(
    request: Request,
    mut router: Router,
    faults: Faults,
    at: Timestamp,
    clock: Clock,
) -> impl Future<Output = ()> {
    // Registered before the task runs, so that no test moves the clock past it.
    let late = faults.take_effect_at(at);
    async move {
        clock.sleep_until(at).await;
        let Ok(_unseen) = router.call(request).await;
        drop(late);
    }
}

/// Waits as exactly as the machine can: timers of the runtime fire up to two milliseconds late, which is a large part of a short delay.
async fn wait(duration: Duration, clock: &Clock) {
    match clock.is_system() && duration < EXACT_BELOW {
        // Fails only when the runtime is shut down.
        true => drop(tokio::task::spawn_blocking(move || std::thread::sleep(duration)).await),
        false => clock.sleep(duration).await,
    }
}

/// Method and path; for calls to AWS, whose path is always the same, also the operation.
fn request_line(request: &Parts) -> String {
    let line = format!("{} {}", request.method, request.uri.path());
    match request.headers.get("x-amz-target").and_then(|target| target.to_str().ok()) {
        Some(target) => format!("{line} {target}"),
        None => line,
    }
}

fn scripted(status: u16, headers: impl IntoIterator<Item = (String, String)>, body: String) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    let response = response.extension(Scripted);
    response.body(Body::from(body)).unwrap_or_else(|_| {
        let mut invalid = Response::new(Body::from("the fault script contains an invalid status or header"));
        *invalid.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        invalid
    })
}

/// The connection is cut without an answer, by a fault script or because the caller has disconnected.
#[derive(Debug)]
struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this connection is broken")
    }
}

impl std::error::Error for Broken {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use shared::clock::ManualClock;
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

    use super::*;

    #[tokio::test]
    async fn a_connection_outlives_an_answer_that_needs_no_body() {
        let faults = Faults::default();
        faults.always("POST /", Fault::answer(401, ""));
        let server = Server::start(0, Router::new(), faults, Clock::system()).await.unwrap();
        let mut connection = BufReader::new(TcpStream::connect(server.address).await.unwrap());
        for _ in 0..2 {
            // Only a server that waits for the body sends this.
            let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n";
            connection.write_all(head.as_bytes()).await.unwrap();
            assert_eq!(first_line(&mut connection).await, "HTTP/1.1 100 Continue\r\n");
            connection.write_all(b"{}").await.unwrap();
            assert_eq!(first_line(&mut connection).await, "HTTP/1.1 401 Unauthorized\r\n");
        }
    }

    #[tokio::test]
    async fn a_late_call_takes_effect_at_its_time_although_its_caller_has_gone() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let count = move || async move {
            counted.fetch_add(1, Ordering::SeqCst);
        };
        let (faults, manual) = (Faults::default(), ManualClock::new(Timestamp::from_unix_millis(0)));
        let router = Router::new().route("/", axum::routing::post(count));
        let server = Server::start(0, router, faults.clone(), manual.clock()).await.unwrap();
        faults.next(1, "POST /", Fault::late(Duration::from_secs(15)));
        let client = client().unwrap();
        assert!(client.post(server.url()).send().await.is_err(), "nobody answers");
        drop(client);
        for (second, expected) in [(14, 0), (15, 1)] {
            manual.advance(Timestamp::from_unix_millis(second * 1_000).since(manual.now()));
            faults.settled(&manual.clock()).await;
            assert_eq!(calls.load(Ordering::SeqCst), expected, "after {second} s");
        }
        assert_eq!(faults.next_late(), None);
    }

    #[tokio::test]
    async fn what_has_a_name_is_not_looked_for() {
        let server = Server::start(0, Router::new(), Faults::default(), Clock::system()).await.unwrap();
        let client = client().unwrap();
        assert_eq!(client.get(server.url()).send().await.unwrap().status(), 404);
        let named = server.url().replace("127.0.0.1", "localhost");
        assert!(client.get(named).send().await.unwrap_err().is_connect(), "every machine knows this name");
    }

    /// Reads a head and returns its first line.
    async fn first_line(connection: &mut BufReader<TcpStream>) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(connection.read_line(&mut head).await.unwrap(), 0, "the connection is closed");
        }
        head.split_inclusive('\n').next().unwrap_or_default().to_owned()
    }
}
