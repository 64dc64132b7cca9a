//! Answers of vendors, read by the product's own clients: a letter for the call, a letter for the status, a line that stands in
//! some headers, and the body.
//!
//! One server on this machine gives the answer to whatever is asked.
#![no_main]

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use shared::botcopy::{self, Push};
use shared::botpress::{self, NewMessage, NewUser, RegisterSchedule};
use shared::bridge::decide::decide_from_thread;
use shared::clock::Timestamp;
use shared::http::Http;
use shared::ids::GroupId;
use shared::livechat::{self, CustomerProfile, NewChat, NewEvent};
use shared::model::session::{Channel, ChatPointer, Install, ResumeReason};
use shared::model::user::Cookies;
use shared::redacted::Redacted;
use tokio::runtime::{Builder, Runtime};

/// None of them changes how HTTP finds the end of an answer.
const STATUSES: [u16; 12] = [200, 201, 400, 401, 403, 404, 409, 413, 422, 429, 500, 503];

const HEADERS: [&str; 6] = ["retry-after", "ratelimit-reset", "x-debug-id", "legacy", "deprecation", "set-cookie"];

/// What the server says next.
static ANSWER: Mutex<Vec<u8>> = Mutex::new(Vec::new());

static STAGE: LazyLock<Stage> = LazyLock::new(Stage::new);

struct Stage {
    runtime: Runtime,
    livechat: livechat::Client,
    botpress: botpress::Client,
    botcopy: botcopy::Client,
}

fuzz_target!(|answer: &[u8]| {
    let [call, status, rest @ ..] = answer else { return };
    let (header, body) = rest.split_at(rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()));
    let status = STATUSES[usize::from(*status) % STATUSES.len()];
    *ANSWER.lock().unwrap_or_else(PoisonError::into_inner) =
        response(status, header, body.get(1..).unwrap_or_default());
    let stage = &*STAGE;
    stage.runtime.block_on(stage.ask(*call));
});

fn response(status: u16, header: &[u8], body: &[u8]) -> Vec<u8> {
    let is_shown = |byte: &&u8| (b' '..=b'~').contains(*byte);
    let header: String = header.iter().filter(is_shown).map(|byte| char::from(*byte)).collect();
    let headers: String = HEADERS.iter().map(|name| format!("{name}: {header}\r\n")).collect();
    let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

impl Stage {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
        let url = format!("http://{}", listener.local_addr().expect("it has an address"));
        std::thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                std::thread::spawn(move || serve(&caller));
            }
        });
        let http = Http::new(Duration::from_secs(5)).expect("a client can be made");
        let livechat = livechat::Settings {
            api_url: url.clone(),
            accounts_url: url.clone(),
            client_id: "client".to_owned(),
            organization_id: "organization".into(),
            redirect_uri: "https://bridge.example".to_owned(),
            region: None,
        };
        let pause = Duration::from_secs(600);
        let botcopy = botcopy::Settings { api_url: url.clone(), pause, shows_typing: false, resume_events: botcopy::ResumeEvents::default() };
        Self {
            runtime: Builder::new_current_thread().enable_all().build().expect("a runtime can be made"),
            livechat: livechat::Client::new(livechat, http.clone()),
            botpress: botpress::Client::new(botpress::Settings { api_url: url }, http.clone()),
            botcopy: botcopy::Client::new(botcopy, http),
        }
    }

    /// Makes one of the calls; an error has to be one that can be told in both forms.
    async fn ask(&self, call: u8) {
        let told = match call % 3 {
            0 => self.ask_livechat(call / 3).await.err().map(|error| format!("{error} {error:#}")),
            1 => self.ask_botpress(call / 3).await.err().map(|error| format!("{error} {error:#}")),
            _ => self.ask_botcopy().await.err().map(|error| format!("{error} {error:#}")),
        };
        assert!(told.is_none_or(|told| told.len() > 3));
    }

    async fn ask_livechat(&self, call: u8) -> livechat::Result<()> {
        let token = Redacted::from("token");
        let (agent, customer) = (self.livechat.agent(&token), self.livechat.customer(&token));
        let configuration = self.livechat.configuration(&token);
        let (chat, thread) = ("C".into(), "T".into());
        let new_chat = || NewChat { group_id: GroupId(0), continuous: true, events: Vec::new(), left_message: None };
        match call % 14 {
            0 => read(&agent.get_chat(&chat, Some(&thread)).await?),
            1 => agent.tag_thread(&chat, &thread, "tag").await?,
            2 => agent.close_nothing().await?,
            3 => drop(customer.start_chat(&new_chat()).await?),
            4 => drop(customer.resume_chat(&chat, &new_chat()).await?),
            5 => drop(customer.send_event(&chat, &NewEvent::text("words", "id")).await?),
            6 => drop(customer.list_chats().await?),
            7 => read(&customer.get_chat(&chat, None).await?),
            8 => customer.update_customer(&CustomerProfile::default()).await?,
            9 => drop(customer.list_group_statuses(&[GroupId(0)]).await?),
            10 => drop(customer.upload_file("a.png", "image/png", &b"file"[..]).await?),
            11 => {
                let cookies = Cookies { customer_id: "C".to_owned(), secret: "secret".into() };
                drop(self.livechat.issue_customer_token(Some(&cookies)).await?);
            }
            12 => drop(configuration.list_webhooks().await?),
            _ => drop(configuration.license_webhooks_enabled().await?),
        }
        Ok(())
    }

    async fn ask_botpress(&self, call: u8) -> botpress::Result<()> {
        let token = Redacted::from("token");
        let install = Install {
            bot_id: "bot".into(),
            integration_id: "integration".into(),
            alias: "alias".into(),
            install_id: "install".into(),
        };
        let runtime = self.botpress.install(&install, &token);
        match call % 5 {
            0 => drop(runtime.get_or_create_user(&NewUser::default(), &["id"]).await?),
            1 => drop(runtime.get_user(&"user".into()).await?),
            2 => drop(runtime.get_or_create_conversation("hitl", &BTreeMap::new(), &["id"]).await?),
            3 => {
                let message = NewMessage {
                    conversation_id: "conversation".into(),
                    user_id: "user".into(),
                    kind: "text".to_owned(),
                    payload: json!({"text": "words"}),
                    tags: BTreeMap::new(),
                };
                drop(runtime.get_or_create_message(&message, &["id"]).await?);
            }
            _ => runtime.configure_integration(RegisterSchedule::Daily).await?,
        }
        Ok(())
    }

    async fn ask_botcopy(&self) -> botcopy::Result<()> {
        let channel = Channel { bot_id: "bot".into(), user_id: "user".into() };
        self.botcopy.widget(&channel, &"key".into()).push(&Push::Left(ResumeReason::AgentClosed)).await
    }
}

/// A thread is read as if its webhooks had come.
fn read(chat: &livechat::Chat) {
    let pointer =
        ChatPointer { session_id: "S".into(), user_id: "U".into(), customer_id: "C".into(), thread_id: "T".into() };
    if let Some(thread) = &chat.thread {
        let _ = decide_from_thread(thread, &chat.users, &pointer, Timestamp::from_unix_millis(1_778_492_460_000));
    }
}

/// Reads requests off a connection and answers each, until the caller is gone.
fn serve(caller: &TcpStream) {
    let mut requests = BufReader::new(caller);
    while skip_request(&mut requests).is_ok() {
        let answer = ANSWER.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if (&mut &*caller).write_all(&answer).is_err() {
            return;
        }
    }
}

fn skip_request(requests: &mut impl BufRead) -> io::Result<()> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if requests.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        }
        if line == "\r\n" {
            return io::copy(&mut requests.take(length), &mut io::sink()).map(drop);
        }
    }
}
