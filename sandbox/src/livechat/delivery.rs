//! Sends webhooks: attempts, retries, and detection of when everything due has been sent.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use http::header::CONTENT_TYPE;
use serde_json::json;
use shared::clock::{Clock, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::state::webhooks::Letter;
use crate::cause;
use crate::faults::Faults;
use crate::journal::{Journal, Vendor};
use crate::server::vendor_client;
use crate::underway::Underway;

/// How long the vendor waits for an answer, in real time.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The vendor promises three retries within about a minute; their intervals are not documented.
const RETRY_AFTER: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(30)];

/// The state of a delivery.
#[derive(Clone, Copy, Debug)]
enum Progress {
    Sending,
    Waiting(Timestamp),
}

/// The outgoing webhooks; their tasks stop when it is dropped.
#[derive(Debug)]
pub(crate) struct Deliveries {
    sender: Sender,
    sent: Mutex<Vec<Letter>>,
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Clone)]
struct Sender {
    client: reqwest::Client,
    clock: Clock,
    journal: Journal,
    underway: Underway,
    faults: Faults,
    progress: watch::Sender<BTreeMap<u64, Progress>>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl Deliveries {
    pub(crate) fn new(clock: Clock, journal: Journal, underway: Underway, faults: Faults) -> io::Result<Self> {
        let sender = Sender {
            client: vendor_client(TIMEOUT, &clock)?,
            clock,
            journal,
            underway,
            faults,
            progress: watch::Sender::default(),
        };
        Ok(Self { sender, sent: Mutex::default(), tasks: Mutex::default() })
    }

    /// Sends each letter in its own task, so that one may overtake another.
    pub(crate) fn send(&self, letters: Vec<Letter>) {
        for letter in letters {
            self.send_one(letter);
        }
    }

    fn send_one(&self, letter: Letter) {
        let number = {
            let mut sent = lock(&self.sent);
            sent.push(letter.clone());
            u64::try_from(sent.len()).unwrap_or(u64::MAX) - 1
        };
        self.sender.mark(number, Some(Progress::Sending));
        let sender = self.sender.clone();
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move { sender.deliver(number, letter).await });
    }

    /// Repeats the webhook of delivery `number` as a new delivery.
    pub(crate) fn replay(&self, number: u64) -> bool {
        let letter = usize::try_from(number).ok().and_then(|number| lock(&self.sent).get(number).cloned());
        self.resend(letter)
    }

    /// Sends the last delivery of `action` once more.
    pub(crate) fn replay_last(&self, action: &str) -> bool {
        let letter = lock(&self.sent).iter().rev().find(|letter| letter.action == action).cloned();
        self.resend(letter)
    }

    fn resend(&self, letter: Option<Letter>) -> bool {
        let found = letter.is_some();
        self.send(letter.into_iter().collect());
        found
    }

    /// The number of deliveries in flight or waiting for their next attempt.
    pub(crate) fn open(&self) -> usize {
        self.sender.progress.borrow().len()
    }

    /// Waits until no delivery is in flight and no retry is due by the clock.
    pub(crate) async fn settled(&self) {
        let mut progress = self.sender.progress.subscribe();
        let clock = &self.sender.clock;
        let is_later = |one: &Progress| matches!(one, Progress::Waiting(until) if *until > clock.now());
        // Fails only when the sender is dropped, and `self` keeps it.
        let _ = progress.wait_for(|open| open.values().all(is_later)).await;
    }
}

impl Sender {
    async fn deliver(self, number: u64, letter: Letter) {
        let waits = RETRY_AFTER.iter().copied().map(Some).chain([None]);
        for (attempt, wait) in (1..).zip(waits) {
            let status = cause::begun("call", self.post_and_note(number, &letter, attempt)).await;
            let Some(wait) = wait.filter(|_| status != Some(200)) else { break };
            let until = self.clock.now() + wait;
            self.mark(number, Some(Progress::Waiting(until)));
            self.clock.sleep_until(until).await;
            self.mark(number, Some(Progress::Sending));
        }
        self.mark(number, None);
    }

    async fn post_and_note(&self, number: u64, letter: &Letter, attempt: u32) -> Option<u16> {
        let status = self.post(letter).await;
        let detail = json!({
            "delivery": number, "action": letter.action, "url": letter.url, "attempt": attempt, "status": status,
            "thread_id": letter.body.pointer("/payload/thread_id"),
            "event_id": letter.body.pointer("/payload/event/id"),
        });
        self.journal.record(self.clock.now(), Vendor::LiveChat, "webhook_delivered", detail);
        status
    }

    /// The status of the answer; none if the receiver did not answer in time.
    async fn post(&self, letter: &Letter) -> Option<u16> {
        let _underway = self.underway.begin();
        let body = self.faults.spoil(letter.action, letter.body.to_string().into_bytes(), self.clock.now());
        let mut request = self.client.post(&letter.url).header(CONTENT_TYPE, "application/json").body(body);
        if let Some(cause) = cause::current_header() {
            request = request.header(cause::HEADER, cause);
        }
        let answer = request.send().await.ok()?;
        Some(answer.status().as_u16())
    }

    fn mark(&self, number: u64, progress: Option<Progress>) {
        self.progress.send_modify(|open| {
            match progress {
                Some(progress) => open.insert(number, progress),
                None => open.remove(&number),
            };
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
