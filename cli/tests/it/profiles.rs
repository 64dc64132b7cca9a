//! Profiles in the AWS CLI's form, with every service on loopback: which services are asked, and which key then reads the table.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const ACCOUNT: &str = "111122223333";
const KEY: &str = "ASIAEXAMPLE";
const SESSION: &str = "the-session";

/// SHA-1 of `company`, which names the file of that SSO session.
const SSO_FILE: &str = "71b21161ffa1e6516bcc072aaf5ef38cbe85b511";

/// The identity that has signed in with `aws login`.
const LOGIN: &str = "arn:aws:iam::111122223333:user/Ann";

/// Secrets that neither an answer nor an error may show.
const SECRETS: [&str; 5] = ["renew-me", "renewed", "client-secret", "secret-of-the-key", SESSION];

/// AWS on loopback: SSO's portal and its OIDC service, AWS Sign-In, and a table that accepts one key only.
struct Aws {
    url: String,
    /// The services that were asked, in order; successive calls of one count once.
    asked: Arc<Mutex<Vec<&'static str>>>,
    /// The home of the profile's owner.
    home: PathBuf,
}

impl Aws {
    async fn new() -> Self {
        let home = std::env::temp_dir().join(format!("hitl-profiles-{:016x}", fastrand::u64(..)));
        for folder in [".aws/sso/cache", ".aws/login/cache"] {
            std::fs::create_dir_all(home.join(folder)).unwrap();
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let service = Router::new().fallback(answer).with_state((url.clone(), Arc::clone(&asked)));
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { url, asked, home }
    }

    fn write(&self, file: impl AsRef<Path>, text: impl AsRef<[u8]>) {
        std::fs::write(self.home.join(".aws").join(file), text).unwrap();
    }

    /// Runs `hitl parked`, which reads the table, with the profile `desk`; asserts that it prints no secret.
    async fn parked(&self, profile: &str) -> (i32, String) {
        self.write("config", profile);
        self.asked.lock().unwrap().clear();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hitl"));
        command.args(["--table", "t", "--secret", "s", "parked"]).env_clear();
        command.env("HOME", &self.home).env("AWS_PROFILE", "desk").env("AWS_EC2_METADATA_DISABLED", "true");
        for service in ["DYNAMODB", "SSO", "SSO_OIDC", "SIGNIN"] {
            command.env(format!("AWS_ENDPOINT_URL_{service}"), &self.url);
        }
        let ran = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        for secret in SECRETS {
            assert!(!said.contains(secret), "{secret}: {said}");
        }
        (ran.status.code().unwrap(), said)
    }

    fn asked(&self) -> Vec<&'static str> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

type Shared = State<(String, Arc<Mutex<Vec<&'static str>>>)>;

async fn answer(State((url, asked)): Shared, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (what, answer) = match (method.as_str(), uri.path()) {
        ("POST", "/token") => ("OIDC", renewed_sso(&body)),
        ("GET", "/federation/credentials") => {
            let is_named = uri.query().is_some_and(|query| query == format!("role_name=Operator&account_id={ACCOUNT}"));
            ("SSO", (is_named && header("x-amz-sso_bearer_token") == "renewed").then(role_credentials))
        }
        ("POST", "/v1/token") => ("Sign-In", renewed_login(&body, header("dpop"), &format!("{url}/v1/token"))),
        ("POST", "/") => {
            let is_known = header("authorization").contains(&format!("Credential={KEY}/"))
                && header("x-amz-security-token") == SESSION;
            ("table", is_known.then(|| json!({ "Items": [], "Count": 0, "ScannedCount": 0 })))
        }
        _ => ("nothing that is known", None),
    };
    let mut asked = asked.lock().unwrap();
    if asked.last() != Some(&what) {
        asked.push(what);
    }
    match answer {
        Some(answer) => axum::Json(answer).into_response(),
        // Refuses any call that is not exactly as expected, in a way that clients do not retry.
        None => (StatusCode::BAD_REQUEST, axum::Json(json!({ "__type": "AccessDeniedException" }))).into_response(),
    }
}

fn renewed_sso(body: &Value) -> Option<Value> {
    let expected = json!({
        "clientId": "client", "clientSecret": "client-secret", "grantType": "refresh_token", "refreshToken": "renew-me",
    });
    (*body == expected).then(|| json!({ "accessToken": "renewed", "tokenType": "Bearer", "expiresIn": 28_800 }))
}

fn role_credentials() -> Value {
    json!({ "roleCredentials": {
        "accessKeyId": KEY, "secretAccessKey": "secret-of-the-key", "sessionToken": SESSION,
        "expiration": 4_102_444_800_000_u64,
    }})
}

/// Returns the renewed login. The proof must name the call that it is for (RFC 9449).
fn renewed_login(body: &Value, proof: &str, address: &str) -> Option<Value> {
    let part = |number: usize| -> Option<Value> {
        let decoded = URL_SAFE_NO_PAD.decode(proof.split('.').nth(number)?).ok()?;
        serde_json::from_slice(&decoded).ok()
    };
    let (head, claims) = (part(0)?, part(1)?);
    let is_proof = (&head["typ"], &head["alg"]) == (&json!("dpop+jwt"), &json!("ES256"))
        && (&claims["htm"], &claims["htu"]) == (&json!("POST"), &json!(address));
    let expected = json!({
        "clientId": "arn:aws:signin:::devtools/same-device", "grantType": "refresh_token", "refreshToken": "renew-me",
    });
    (is_proof && *body == expected).then(|| {
        json!({
            "accessToken": { "accessKeyId": KEY, "secretAccessKey": "secret-of-the-key", "sessionToken": SESSION },
            "tokenType": "aws_sigv4", "expiresIn": 900, "refreshToken": "renew-me",
        })
    })
}

/// Returns a private key of the curve P-256 in the form of RFC 5915, without its public part.
fn private_key() -> String {
    let mut der = vec![0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20];
    der.extend([7; 32]);
    der.extend([0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]);
    let text = STANDARD.encode(der);
    let (line, rest) = text.split_at(64);
    format!("-----BEGIN EC PRIVATE KEY-----\n{line}\n{rest}\n-----END EC PRIVATE KEY-----\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sso_profile_renews_its_session_and_takes_the_role_s_credentials() {
    let aws = Aws::new().await;
    let profile = format!(
        "[profile desk]\nregion = eu-west-1\nsso_session = company\nsso_account_id = {ACCOUNT}\nsso_role_name = Operator\n\
         [sso-session company]\nsso_region = eu-west-1\nsso_start_url = https://company.awsapps.com/start\n"
    );
    let (status, said) = aws.parked(&profile).await;
    assert_eq!((status, said.contains("aws sso login")), (2, true), "nobody has signed in: {said}");
    assert!(aws.asked().is_empty(), "{:?}", aws.asked());

    let mut session = json!({
        "startUrl": "https://company.awsapps.com/start", "region": "eu-west-1", "accessToken": "old",
        "expiresAt": "2020-01-01T00:00:00Z", "clientId": "client", "clientSecret": "client-secret",
        "registrationExpiresAt": "2099-01-01T00:00:00Z", "refreshToken": "renew-me",
    });
    let file = format!("sso/cache/{SSO_FILE}.json");
    aws.write(&file, session.to_string());
    let (status, said) = aws.parked(&profile).await;
    assert_eq!((status, aws.asked()), (0, vec!["OIDC", "SSO", "table"]), "{said}");

    // As if `aws sso login` had just written it.
    session["accessToken"] = "renewed".into();
    session["expiresAt"] = "2099-01-01T00:00:00Z".into();
    aws.write(&file, session.to_string());
    let (status, said) = aws.parked(&profile).await;
    assert_eq!((status, aws.asked()), (0, vec!["SSO", "table"]), "{said}");

    session["accessToken"] = "old".into();
    session["expiresAt"] = "2020-01-01T00:00:00Z".into();
    session["refreshToken"] = "too old".into();
    aws.write(&file, session.to_string());
    let (status, said) = aws.parked(&profile).await;
    assert_eq!((status, said.contains("aws sso login")), (2, true), "the session is over: {said}");
    assert!(!aws.asked().contains(&"table"), "{:?}", aws.asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_of_aws_login_renews_its_credentials_with_a_proof() {
    let aws = Aws::new().await;
    let profile = format!("[profile desk]\nregion = eu-west-1\nlogin_session = {LOGIN}\n");
    let (status, said) = aws.parked(&profile).await;
    assert_eq!((status, said.contains("aws login")), (2, true), "nobody has signed in: {said}");

    let file = Sha256::digest(LOGIN).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let file = format!("login/cache/{file}.json");
    let mut cached = json!({
        "accessToken": {
            "accessKeyId": "ASIAOLD", "secretAccessKey": "secret-of-the-key", "sessionToken": "old",
            "accountId": ACCOUNT, "expiresAt": "2020-01-01T00:00:00Z",
        },
        "tokenType": "aws_sigv4", "refreshToken": "renew-me", "clientId": "arn:aws:signin:::devtools/same-device",
        "dpopKey": private_key(),
    });
    aws.write(&file, cached.to_string());
    let (status, said) = aws.parked(&profile).await;
    assert_eq!((status, aws.asked()), (0, vec!["Sign-In", "table"]), "{said}");
    let (status, said) = aws.parked(&profile).await;
    assert_eq!((status, aws.asked()), (0, vec!["table"]), "the renewed credentials are kept: {said}");

    cached["refreshToken"] = "too old".into();
    aws.write(&file, cached.to_string());
    let (status, said) = aws.parked(&profile).await;
    assert_eq!((status, said.contains("aws login")), (2, true), "the session is over: {said}");
    assert!(!aws.asked().contains(&"table"), "{:?}", aws.asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_prints_credentials_is_run_and_its_failure_is_told() {
    let aws = Aws::new().await;
    let printed = json!({
        "Version": 1, "AccessKeyId": KEY, "SecretAccessKey": "secret-of-the-key", "SessionToken": SESSION,
        "Expiration": "2099-01-01T00:00:00Z",
    });
    let script = aws.home.join("credentials.sh");
    let profile =
        format!("[profile desk]\nregion = eu-west-1\ncredential_process = /bin/sh \"{}\" desk\n", script.display());
    std::fs::write(&script, format!("test \"$1\" = desk && echo '{printed}'\n")).unwrap();
    let (status, said) = aws.parked(&profile).await;
    assert_eq!((status, aws.asked()), (0, vec!["table"]), "{said}");

    std::fs::write(&script, "echo the vault is locked >&2\nexit 3\n").unwrap();
    let (status, said) = aws.parked(&profile).await;
    assert_eq!((status, said.contains("the vault is locked")), (2, true), "{said}");
    assert!(aws.asked().is_empty(), "{:?}", aws.asked());
}
