//! Addresses that try to reach the internal network, and servers that misbehave.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::HeaderValue;
use reqwest::dns::{Addrs, Name, Resolving};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::http::testing::{breaking, refusing};
use crate::http::tls;

/// Stands for every permitted address: none of the tests may connect there.
const PUBLIC: &str = "93.184.216.34";

/// Resolves every name to the next list of addresses, and to the last one from then on.
#[derive(Default)]
struct Stub {
    answers: Mutex<Vec<Vec<&'static str>>>,
    asked: AtomicUsize,
}

impl Stub {
    fn answering(answers: &[&[&'static str]]) -> Arc<Self> {
        let answers = answers.iter().rev().map(|answer| answer.to_vec()).collect();
        Arc::new(Self { answers: Mutex::new(answers), asked: AtomicUsize::new(0) })
    }
}

impl Resolve for Stub {
    fn resolve(&self, _: Name) -> Resolving {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop() } else { answers.first().cloned() };
        let found: Vec<_> = answer.unwrap().iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect();
        Box::pin(async move { Ok(Box::new(found.into_iter()) as Addrs) })
    }
}

fn policy() -> Policy {
    Policy::new(Hosts::new(["*.attacker.example", "media.example"].map(str::to_owned)).unwrap())
}

fn fetcher(policy: Policy, resolver: Arc<dyn Resolve>) -> Fetcher {
    Fetcher::with(policy, tls().unwrap(), resolver, Duration::from_secs(20)).unwrap()
}

/// A fetcher that may also call `server`, within `time`.
fn fetcher_at(server: &str, time: Duration) -> Fetcher {
    let policy = policy().and_loopback(server);
    Fetcher::with(policy, tls().unwrap(), Stub::answering(&[&["127.0.0.1"]]), time).unwrap()
}

fn patient(server: &str) -> Fetcher {
    fetcher_at(server, Duration::from_secs(20))
}

/// A listener that must never be reached.
struct Trap(TcpListener);

impl Trap {
    fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn assert_untouched(&self) {
        assert!(self.0.accept().is_err(), "somebody has connected");
    }
}

/// Ways to write an internal address, or to hide one; `PORT` is the trap's.
const TRICKS: [&str; 96] = [
    // Another scheme, or none.
    "http://files.bpcontent.cloud/x.png",
    "http://127.0.0.1:PORT/",
    "ftp://files.bpcontent.cloud/x.png",
    "file:///etc/passwd",
    "file://files.bpcontent.cloud/etc/passwd",
    "gopher://127.0.0.1:PORT/_",
    "data:text/plain,x",
    "javascript:alert(1)",
    "blob:https://files.bpcontent.cloud/x",
    "view-source:https://files.bpcontent.cloud/x",
    "ws://files.bpcontent.cloud/x",
    "wss://files.bpcontent.cloud/x",
    "unix:/var/run/docker.sock",
    "about:blank",
    "https://",
    "https:///",
    "https://:443/",
    "https://#files.bpcontent.cloud",
    // Another port.
    "https://files.bpcontent.cloud:PORT/",
    "https://files.bpcontent.cloud:80/",
    "https://files.bpcontent.cloud:0/",
    "https://files.bpcontent.cloud:65536/",
    "https://files.bpcontent.cloud:-1/",
    // Credentials, and what looks like them.
    "https://user@files.bpcontent.cloud/",
    "https://user:secret@files.bpcontent.cloud/",
    "https://:@127.0.0.1:PORT/",
    "https://files.bpcontent.cloud@127.0.0.1:PORT/",
    "https://files.bpcontent.cloud:443@127.0.0.1:PORT/",
    "https://files.bpcontent.cloud%40127.0.0.1:PORT/",
    "https://127.0.0.1:PORT\\@files.bpcontent.cloud/",
    "https://127.0.0.1:PORT#@files.bpcontent.cloud/",
    "https://127.0.0.1:PORT?@files.bpcontent.cloud/",
    "https://127.0.0.1:PORT/@files.bpcontent.cloud/",
    // IPv4 in all its forms.
    "https://127.0.0.1:PORT/",
    "https://127.0.0.1/",
    "https://127.0.0.1./",
    "https://127.1:PORT/",
    "https://127.0.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://0x7f.0.0x0.1/",
    "https://0x7f.1/",
    "https://127.0.0.0x1/",
    "https://%31%32%37.0.0.1/",
    "https://①②⑦.⓪.⓪.①/",
    "https://127。0。0。1/",
    "https://0/",
    "https://0.0.0.0/",
    "https://10.0.0.1/",
    "https://192.168.0.1/",
    "https://172.16.0.1/",
    "https://100.64.0.1/",
    "https://255.255.255.255/",
    "https://169.254.169.254/latest/meta-data/",
    "https://2852039166/latest/meta-data/",
    "https://0xA9FEA9FE/",
    "https://169.254.43518/",
    "https://169.254.170.2/v2/credentials",
    "https://8.8.8.8/",
    "https://256.256.256.256/",
    // IPv6 in all its forms.
    "https://[::1]:PORT/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[::]/",
    "https://[::127.0.0.1]/",
    "https://[::ffff:127.0.0.1]:PORT/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:169.254.169.254]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1]/",
    "https://[fd00:ec2::254]/latest/meta-data/",
    "https://[2001:4860:4860::8888]/",
    "https://[::1/",
    "https://::1/",
    // Internal names, and names that are almost on the list.
    "https://localhost:PORT/",
    "https://LocalHost/",
    "https://localhost./",
    "https://files.bpcontent.cloud.localhost/",
    "https://metadata.google.internal/",
    "https://instance-data/latest/",
    "https://files.bpcontent.cloud./",
    "https://files.bpcontent.cloud.evil.example/",
    "https://evil-files.bpcontent.cloud/",
    "https://files-bpcontent.cloud/",
    "https://bpcontent.cloud/",
    "https://attacker.example/",
    "https://a.media.example/",
    "https://files.bpcontent.cloud%2eevil.example/",
    "https://files.bpcontent.cloud%00.evil.example/",
    "https://files.bpcontent.cloud\t.evil.example/",
    "https://fіles.bpcontent.cloud/",
    "https://xn--fles-6ye.bpcontent.cloud/",
    "https://*.attacker.example/",
];

/// Ways to write a host that is on the list; the names resolve to internal addresses.
const LISTED: [&str; 13] = [
    "https://files.bpcontent.cloud/x.png",
    "https://FILES.BPCONTENT.CLOUD/",
    "HTTPS://files.bpcontent.cloud:443/",
    "https:files.bpcontent.cloud/",
    "https:\\\\files.bpcontent.cloud\\x",
    "https://files.bpcontent.cloud\\@127.0.0.1:PORT/",
    "https://files.bpcontent.cloud#@127.0.0.1:PORT/",
    "https://files.bpcontent.cloud?@127.0.0.1:PORT/",
    "https://files。bpcontent。cloud/",
    "https://ﬁles.bpcontent.cloud/",
    "https://a.attacker.example/",
    "https://a.b.attacker.example/",
    "https://media.example/../../x",
];

#[tokio::test]
async fn no_tricky_address_leads_inside() {
    let trap = Trap::new();
    let fetcher = fetcher(policy(), Stub::answering(&[&["127.0.0.1"]]));
    for trick in TRICKS {
        let url = trick.replace("PORT", &trap.port().to_string());
        assert!(matches!(fetcher.fetch(&url).await, Err(Error::NotAllowed)), "{url}");
    }
    for listed in LISTED {
        let url = listed.replace("PORT", &trap.port().to_string());
        assert!(matches!(fetcher.fetch(&url).await, Err(Error::NotPublic)), "{url}");
    }
    trap.assert_untouched();
}

#[tokio::test]
async fn no_redirect_leads_inside() {
    let (trap, server) = (Trap::new(), MockServer::start().await);
    let fetcher = patient(&server.uri());
    for trick in TRICKS.iter().chain(&LISTED) {
        let url = trick.replace("PORT", &trap.port().to_string());
        // Only the port distinguishes the sandbox's server from others on this machine.
        let location = HeaderValue::from_bytes(url.as_bytes()).unwrap();
        server.reset().await;
        let elsewhere = ResponseTemplate::new(302).insert_header("location", location);
        Mock::given(path("/start")).respond_with(elsewhere).mount(&server).await;
        let failed = fetcher.fetch(&format!("{}/start", server.uri())).await.unwrap_err();
        assert!(matches!(failed, Error::NotAllowed | Error::NotPublic | Error::Redirects), "{url}: {failed}");
        assert!(!failed.is_retryable());
        assert_eq!(server.received_requests().await.unwrap().len(), 1, "{url}");
    }
    trap.assert_untouched();
}

#[tokio::test]
async fn a_listed_name_with_one_inner_address_is_not_connected_to() {
    for inner in
        ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00:ec2::254", "64:ff9b::a00:1"]
    {
        for answer in [&[inner][..], &[PUBLIC, inner], &[inner, PUBLIC]] {
            let stub = Stub::answering(&[answer]);
            let failed = fetcher(policy(), stub.clone()).fetch("https://media.example/x").await;
            assert!(matches!(failed, Err(Error::NotPublic)), "{answer:?}");
            assert_eq!(stub.asked.load(Ordering::Relaxed), 1);
        }
    }
}

#[tokio::test]
async fn a_name_that_changes_its_mind_is_asked_for_each_connection() {
    let stub = Stub::answering(&[&[PUBLIC], &["127.0.0.1"]]);
    let resolver = OnlyPublic(stub.clone());
    let found: Vec<_> = resolver.resolve("media.example".parse().unwrap()).await.unwrap().collect();
    assert_eq!(found, [SocketAddr::new(PUBLIC.parse().unwrap(), 0)], "what was checked is what is connected to");
    assert!(resolver.resolve("media.example".parse().unwrap()).await.err().unwrap().is::<NotPublic>());
    let failed = fetcher(policy(), stub.clone()).fetch("https://media.example/x").await;
    assert!(matches!(failed, Err(Error::NotPublic)));
    assert_eq!(stub.asked.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn the_systems_resolver_is_filtered_as_well() {
    let resolver = OnlyPublic(Arc::new(SystemResolver));
    assert!(resolver.resolve("localhost".parse().unwrap()).await.err().unwrap().is::<NotPublic>());
}

async fn serving(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("GET")).and(path("/x.png")).respond_with(answer).mount(&server).await;
    server
}

async fn failing(answer: ResponseTemplate) -> Error {
    let server = serving(answer).await;
    patient(&server.uri()).fetch(&format!("{}/x.png", server.uri())).await.unwrap_err()
}

#[tokio::test]
async fn a_file_comes_with_what_was_said_about_it_and_nothing_is_said_about_us() {
    let found = ResponseTemplate::new(200).insert_header("content-type", "image/png").set_body_bytes(b"meow");
    let server = serving(found).await;
    let moved = ResponseTemplate::new(301).insert_header("location", "/x.png").insert_header("set-cookie", "a=b");
    Mock::given(path("/old")).respond_with(moved).mount(&server).await;
    let download = patient(&server.uri()).fetch(&format!("{}/old", server.uri())).await.unwrap();
    assert_eq!(download.content, "meow");
    assert_eq!(
        (download.declared.name(None, "image"), download.declared.content_type()),
        ("x.png".to_owned(), "image/png".to_owned())
    );
    for request in server.received_requests().await.unwrap() {
        for header in ["referer", "cookie", "authorization", "origin"] {
            assert!(!request.headers.contains_key(header), "{header}");
        }
    }
}

#[tokio::test]
async fn a_server_that_will_not_do_better_is_told_from_one_that_may() {
    let status = |status| failing(ResponseTemplate::new(status));
    for permanent in [404, 401, 403, 410, 204, 206] {
        assert!(!status(permanent).await.is_retryable(), "{permanent}");
    }
    for passing in [500, 502, 503, 408, 429] {
        assert!(status(passing).await.is_retryable(), "{passing}");
    }
    let encoded = ResponseTemplate::new(200).insert_header("content-encoding", "gzip").set_body_bytes(b"x");
    assert!(matches!(failing(encoded).await, Error::Encoded));
    let nowhere = ResponseTemplate::new(302);
    assert!(matches!(failing(nowhere).await, Error::Redirects));
    let round = ResponseTemplate::new(302).insert_header("location", "/x.png");
    assert!(matches!(failing(round).await, Error::Redirects));
    let server = refusing();
    assert!(matches!(patient(&server).fetch(&server).await, Err(error @ Error::Failed(_)) if error.is_retryable()));
}

#[tokio::test]
async fn a_file_of_ten_megabytes_is_taken_and_no_byte_more() {
    let full = serving(ResponseTemplate::new(200).set_body_bytes(vec![7; MAX_BYTES])).await;
    let download = patient(&full.uri()).fetch(&format!("{}/x.png", full.uri())).await.unwrap();
    assert_eq!(download.content.len(), MAX_BYTES);
    let larger = ResponseTemplate::new(200).set_body_bytes(vec![7; MAX_BYTES + 1]);
    assert!(matches!(failing(larger).await, Error::TooLarge));
}

/// Answers one request with `head`, then with `chunk` endlessly.
async fn endless(head: &'static str, chunk: Vec<u8>) -> String {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 8192];
        let _ = stream.read(&mut request).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        while stream.write_all(&chunk).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    url
}

#[tokio::test]
async fn a_body_that_does_not_say_how_long_it_is_or_lies_is_counted() {
    let mut chunk = format!("{:x}\r\n", 65_536).into_bytes();
    chunk.resize(chunk.len() + 65_536, b'x');
    chunk.extend_from_slice(b"\r\n");
    let chunked = endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", chunk).await;
    assert!(matches!(patient(&chunked).fetch(&chunked).await, Err(Error::TooLarge)));
    let until_closed = endless("HTTP/1.1 200 OK\r\n\r\n", vec![b'x'; 65_536]).await;
    assert!(matches!(patient(&until_closed).fetch(&until_closed).await, Err(Error::TooLarge)));
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n";
    let lying = endless(head, vec![b'x'; 10]).await;
    assert!(patient(&lying).fetch(&lying).await.is_err());
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_and_one_that_breaks_off_is_tried_again() {
    let soon = Duration::from_millis(50);
    for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nx"] {
        let (hanging, _server) = breaking(answer, true).await;
        let failed = fetcher_at(&hanging, soon).fetch(&hanging).await.unwrap_err();
        assert!(matches!(failed, Error::TimedOut) && failed.is_retryable(), "{failed}");
        let (broken, _server) = breaking(answer, false).await;
        let failed = patient(&broken).fetch(&broken).await.unwrap_err();
        assert!(matches!(failed, Error::Failed(_)) && failed.is_retryable(), "{failed}");
    }
}

#[tokio::test]
async fn no_error_says_where_the_file_was() {
    let server = refusing();
    let failed = patient(&server).fetch(&format!("{server}/canary")).await.unwrap_err();
    assert!(!format!("{failed} {failed:?}").contains("canary"));
}

#[tokio::test]
async fn files_that_are_held_at_one_time_share_a_budget() {
    let (full, small) = (vec![7; MAX_BYTES], vec![7; 1_000]);
    let [full, small] = [full, small].map(|body| serving(ResponseTemplate::new(200).set_body_bytes(body)));
    let (full, small) = (full.await, small.await);
    let (url, small_url) = (format!("{}/x.png", full.uri()), format!("{}/x.png", small.uri()));
    let fetcher = patient(&full.uri());
    let most = BUDGET_BYTES / MAX_BYTES;
    let mut held = Vec::new();
    for _ in 0..most {
        held.push(fetcher.fetch(&url).await.unwrap());
    }
    let one_more = tokio::time::timeout(Duration::from_millis(50), fetcher.fetch(&url)).await;
    assert!(one_more.is_err() && full.received_requests().await.unwrap().len() == most, "it waits, and asks nobody");
    held.pop();
    held.push(fetcher.fetch(&url).await.unwrap());

    let crowded = Fetcher { time: Duration::from_millis(1), ..fetcher };
    assert!(matches!(crowded.fetch(&url).await, Err(Error::Crowded)));
    let fetcher = patient(&small.uri());
    for _ in 0..10 * most {
        held.push(fetcher.fetch(&small_url).await.unwrap());
    }
    assert_eq!(held.len(), 11 * most, "a small file takes as much as it has");
}
