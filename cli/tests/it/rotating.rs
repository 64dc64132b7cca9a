//! Rotation under load: no call fails, and nothing is delivered twice.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sandbox::botpress::UpstreamUser;
use sandbox::faults::Fault;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use tests::{ANNA, SECRET_ID, World};

use crate::operator::{Operator, Ran};

/// Users who talk at the same time.
const USERS: usize = 4;

/// Instances of each function; each caches the secret for itself.
const INSTANCES: usize = 3;

/// The minimum number of rounds of talk before the command, and after it.
const ROUNDS: usize = 3;

/// At full size: fifty calls a second; a round has two for each user, the question and the answer.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(20 * 2 * USERS as u64);

/// At full size: the minimum duration of the talk, which lasts at least until the command is done.
const LONG_ENOUGH: Duration = Duration::from_secs(120);

/// At full size: the duration of the talk before the command.
const LEAD: Duration = Duration::from_secs(5);

/// A connected world and users whose sessions are open.
struct Busy {
    world: World,
    users: Vec<(UpstreamUser, String)>,
    /// The number of rounds of talk so far.
    said: AtomicUsize,
}

impl Busy {
    async fn new() -> Self {
        let busy = Self::of(World::unconnected_with(INSTANCES).await).await;
        busy.world.advance(Duration::from_secs(4));
        busy.world.settle().await;
        busy
    }

    async fn of(world: World) -> Self {
        let mut operator = Operator::new(&world);
        operator.does(&["connect", "livechat"]).await;
        operator.does(&["connect", "botpress"]).await;
        drop(operator);
        world.drive(world.stack.botpress.install_deployed()).await.unwrap();
        let mut users = Vec::new();
        for number in 0..USERS {
            let before: Vec<_> = world.stack.livechat.open_chats().into_iter().map(|chat| chat.id).collect();
            let user = world.escalated_user(&format!("User{number}")).await;
            let chat = world.stack.livechat.open_chats().into_iter().find(|chat| !before.contains(&chat.id)).unwrap();
            users.push((user, chat.id));
        }
        world.settle().await;
        Self { world, users, said: AtomicUsize::new(0) }
    }

    fn secret(&self) -> Value {
        self.world.stack.secrets_manager.current(SECRET_ID).unwrap()
    }

    /// Runs rounds of talk until `done`, then some more; while the command waits, one round for each of its waits.
    async fn talk(&self, rounds: &AtomicUsize, done: &AtomicBool) {
        let mut left = ROUNDS;
        while left > 0 {
            left -= usize::from(done.load(Ordering::SeqCst));
            self.say(rounds.fetch_add(1, Ordering::SeqCst)).await;
            self.world.stack.settled().await;
            if let Some(wake) = self.world.next_wake() {
                self.world.clock().sleep_until(wake).await;
            }
        }
    }

    /// Each user writes once and is answered once.
    async fn say(&self, round: usize) {
        for (user, chat_id) in &self.users {
            let (question, answer) = (format!("q{round} {chat_id}"), format!("a{round} {chat_id}"));
            self.world.stack.botpress.user_says(&user.conversation_id, &question).await.unwrap();
            self.world.stack.livechat.agent_sends_text(chat_id, ANNA, &answer).unwrap();
        }
    }

    /// Runs the command while all users talk at full size, whether or not the previous round has settled.
    async fn at_full_size(&self, arguments: &[&str]) -> (Ran, Duration) {
        let (clock, done) = (self.world.clock(), AtomicBool::new(false));
        let begun = clock.now();
        let talk = async {
            let mut round_at = begun;
            while !done.load(Ordering::SeqCst) || clock.now().since(begun) < LONG_ENOUGH {
                self.say(self.said.fetch_add(1, Ordering::SeqCst)).await;
                round_at = round_at + BETWEEN_ROUNDS;
                clock.sleep_until(round_at).await;
            }
        };
        let mut operator = Operator::new(&self.world);
        let command = async {
            clock.sleep(LEAD).await;
            self.knock().await;
            let ran = operator.undriven(arguments).await;
            done.store(true, Ordering::SeqCst);
            ran
        };
        let ((), ran) = self.world.drive(async { tokio::join!(talk, command) }).await;
        let took = clock.now().since(begun);
        self.world.settle().await;
        (ran, took)
    }

    /// Calls with a wrong key and a wrong secret, so that every instance has just looked for newer ones and does not look again soon.
    async fn knock(&self) {
        let stack = &self.world.stack;
        for _ in 0..3 * INSTANCES {
            let address = format!("{}/botpress/{}", stack.gateway.url(), "wrong".repeat(8));
            assert_eq!(self.world.posted(&address, "{}").await.unwrap().0, 401);
            let mut webhook = self.world.envelope("chat_deactivated", Value::Null);
            webhook["secret_key"] = "wrong".into();
            assert_eq!(self.world.posted(&stack.webhook_url(), webhook.to_string()).await.unwrap().0, 401);
        }
    }

    /// Runs the command while all users talk.
    async fn while_talking(&self, arguments: &[&str]) -> Ran {
        let (rounds, done) = (AtomicUsize::new(self.said.load(Ordering::SeqCst)), AtomicBool::new(false));
        let begin_at = rounds.load(Ordering::SeqCst) + ROUNDS;
        let mut operator = Operator::new(&self.world);
        let command = async {
            while rounds.load(Ordering::SeqCst) < begin_at {
                tokio::task::yield_now().await;
            }
            self.knock().await;
            let ran = operator.undriven(arguments).await;
            done.store(true, Ordering::SeqCst);
            ran
        };
        let ((), ran) = self.world.drive(async { tokio::join!(self.talk(&rounds, &done), command) }).await;
        self.world.settle().await;
        self.said.store(rounds.into_inner(), Ordering::SeqCst);
        ran
    }

    /// Asserts by the journal that every call succeeded at its first attempt, and that every message arrived exactly once.
    fn assert_flawless(&self) {
        let journal = &self.world.stack.journal;
        for effect in ["operation_called", "webhook_delivered"] {
            for entry in journal.all(effect) {
                assert_eq!((&entry.detail["status"], &entry.detail["attempt"]), (&200.into(), &1.into()), "{entry:?}");
            }
        }
        for entry in journal.all("call_answered") {
            assert!(!matches!(entry.text("/error_type"), "Unauthorized" | "Forbidden" | "authentication"), "{entry:?}");
        }
        let said = |words: Vec<String>, letter: char| {
            let mut words: Vec<_> = words.into_iter().filter(|text| text.starts_with(letter)).collect();
            words.sort();
            words
        };
        let asked = said(
            self.world.entries("user_wrote", "/type", "text").iter().map(|e| e.text("/text").to_owned()).collect(),
            'q',
        );
        assert_eq!(said(self.world.sent_by_customers(), 'q'), asked);
        let answered: Vec<_> = asked.iter().map(|text| text.replacen('q', "a", 1)).collect();
        assert_eq!(said(self.world.shown_by_agents(), 'a'), answered);
        assert!(asked.len() >= 2 * ROUNDS * USERS, "only {} messages were sent meanwhile", asked.len());
    }
}

async fn assert_rotated(what: &str, key: &str) {
    let busy = Busy::new().await;
    let before = busy.secret();
    let ran = busy.while_talking(&["rotate", what, "--json"]).await;
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.progress);
    assert_eq!(ran.json()["finished_earlier"], false);
    assert_ne!(busy.secret()[key], before[key], "it is a new one");
    busy.assert_flawless();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webhook_secret_is_rotated_under_load() {
    assert_rotated("webhook-secret", "webhookSecret").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_path_key_is_rotated_under_load() {
    assert_rotated("path-key", "botpressPathKey").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_signing_secret_is_rotated_under_load() {
    assert_rotated("signing-secret", "botpressSigningSecret").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_key_is_rotated_under_load_and_the_old_one_withdrawn() {
    assert_rotated("access-key", "botpressToken").await;
}

/// As docs/testing.md states: 0 failed, 0 doubled; with `HITL_BINARIES` through compiled functions, and then in real time.
async fn assert_rotated_at_full_size(what: &str, key: &str) {
    let busy = Busy::of(World::unconnected_at_full_size(INSTANCES).await).await;
    let before = busy.secret();
    let (ran, took) = busy.at_full_size(&["rotate", what, "--json"]).await;
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.progress);
    assert_ne!(busy.secret()[key], before[key], "it is a new one");
    busy.assert_flawless();
    let calls = 2 * USERS * busy.said.load(Ordering::SeqCst);
    let rate = calls as f64 / took.as_secs_f64();
    assert!(rate > 49.0, "the machine was too slow to make fifty calls a second: {rate:.1}");
    println!("{what}: {calls} calls in {:.0} s, {rate:.1} a second; 0 failed, 0 doubled", took.as_secs_f64());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "full size: cargo test -p hitl --profile scenarios --test it -- --ignored --nocapture"]
async fn the_webhook_secret_is_rotated_at_full_size() {
    assert_rotated_at_full_size("webhook-secret", "webhookSecret").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "full size: cargo test -p hitl --profile scenarios --test it -- --ignored --nocapture"]
async fn the_path_key_is_rotated_at_full_size() {
    assert_rotated_at_full_size("path-key", "botpressPathKey").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "full size: cargo test -p hitl --profile scenarios --test it -- --ignored --nocapture"]
async fn the_signing_secret_is_rotated_at_full_size() {
    assert_rotated_at_full_size("signing-secret", "botpressSigningSecret").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "full size: cargo test -p hitl --profile scenarios --test it -- --ignored --nocapture"]
async fn the_access_key_is_rotated_at_full_size() {
    assert_rotated_at_full_size("access-key", "botpressToken").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_four_one_after_the_other_wait_for_one_another() {
    let busy = Busy::new().await;
    for what in ["path-key", "webhook-secret", "signing-secret", "access-key"] {
        let ran = busy.while_talking(&["rotate", what]).await;
        assert_eq!(ran.status, 0, "{what}: {}", ran.progress);
    }
    busy.assert_flawless();
    assert_eq!(busy.world.count("access_key_withdrawn"), 1);
    busy.world.sweep().await;
    Operator::new(&busy.world).does(&["doctor"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_rotation_of_the_webhook_secret_is_finished_by_the_next() {
    let busy = Busy::new().await;
    busy.world.stack.livechat.faults().always("configuration/action/register_webhook", Fault::answer(503, ""));
    let ran = busy.while_talking(&["rotate", "webhook-secret"]).await;
    assert_eq!(ran.status, 1, "{}", ran.out);
    let stored = busy.secret();
    busy.world.stack.livechat.faults().clear();
    // The functions do not know of LiveChat's failure: they run in another process.
    let ran = busy.while_talking(&["rotate", "webhook-secret", "--json"]).await;
    assert_eq!((ran.status, &ran.json()["finished_earlier"]), (0, &true.into()), "{}", ran.out);
    assert_eq!(busy.secret(), stored, "nothing was dropped that webhooks still carried");
    busy.assert_flawless();
    busy.world.sweep().await;
    Operator::new(&busy.world).does(&["doctor"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_rotation_of_the_path_key_is_finished_by_the_next() {
    let busy = Busy::new().await;
    busy.world.stack.botpress.faults().next(1, "PUT /v1/admin/integrations", Fault::answer(503, ""));
    let ran = busy.while_talking(&["rotate", "path-key"]).await;
    assert_eq!(ran.status, 1, "{}", ran.out);
    let stored = busy.secret();
    let ran = busy.while_talking(&["rotate", "path-key", "--json"]).await;
    assert_eq!((ran.status, &ran.json()["finished_earlier"]), (0, &true.into()), "{}", ran.out);
    assert_eq!(busy.secret(), stored);
    let url = busy.world.stack.botpress.deployed_definition().unwrap()["url"].clone();
    assert!(url.as_str().unwrap().ends_with(stored["botpressPathKey"].as_str().unwrap()));
    busy.assert_flawless();
}

/// Returns the statuses of a webhook and of a Botpress call that carry a secret's values.
async fn let_in(busy: &Busy, secret: &Value) -> (u16, u16) {
    let world = &busy.world;
    let mut webhook = world.envelope("chat_deactivated", json!({ "chat_id": "UNKNOWN001", "thread_id": "UNKNOWN002" }));
    webhook["secret_key"] = secret["webhookSecret"].clone();
    // An end in an unknown chat waits for a start that may be about to record the chat.
    let called = world.posted(&world.stack.webhook_url(), webhook.to_string());
    let by_livechat = world.drive(called).await.unwrap().0;
    let address = format!("{}/botpress/{}", world.stack.gateway.url(), secret["botpressPathKey"].as_str().unwrap());
    let by_botpress = world.posted(&address, "").await.unwrap().0;
    (by_livechat, by_botpress)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_says_when_the_one_before_ends() {
    let busy = Busy::new().await;
    let mut operator = Operator::new(&busy.world);
    for (what, overlap) in [("webhook-secret", 300), ("signing-secret", 24 * 60 * 60)] {
        let ran = operator.does(&["rotate", what, "--json"]).await;
        let until: Timestamp = serde_json::from_value(ran.json()["previous_accepted_until"].clone()).unwrap();
        let left = until.since(busy.world.now()).as_secs();
        assert!((overlap - 60..=overlap).contains(&left), "{what}: {left} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaked_credential_is_cut_off_at_once() {
    let busy = Busy::new().await;
    let before = busy.secret();
    busy.say(0).await;
    busy.world.settle().await;
    assert_eq!(let_in(&busy, &before).await.0, 200);
    let mut operator = Operator::new(&busy.world);
    let begun = busy.world.now();
    for what in ["webhook-secret", "path-key", "signing-secret", "access-key"] {
        let ran = operator.does(&["rotate", what, "--now", "--json"]).await;
        assert_eq!((&ran.json()["cut_off"], &ran.json()["previous_accepted_until"]), (&true.into(), &Value::Null));
    }
    let took = busy.world.now().since(begun);
    assert!(took < Duration::from_secs(5), "nothing is waited for, but it took {took:?}");
    assert_eq!(busy.world.count("access_key_withdrawn"), 1);
    // Each instance reads the table when it gets a call, and so learns of the rotation.
    busy.world.advance(Duration::from_secs(11));
    for round in 1..=INSTANCES {
        busy.say(round).await;
        busy.world.settle().await;
    }
    busy.world.advance(Duration::from_secs(11));
    for _ in 0..2 * INSTANCES {
        assert_eq!(let_in(&busy, &before).await, (401, 401), "no instance takes the old ones");
    }
    busy.world.sweep().await;
    Operator::new(&busy.world).does(&["doctor"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_operators_the_later_one_is_told_to_look_again() {
    const TOKEN: &str = "BOTPRESS_PERSONAL_ACCESS_TOKEN";
    let busy = Busy::new().await;
    let secret = busy.secret();
    let mut changed = secret.clone();
    changed["note"] = "by hand".into();
    let token = busy.world.stack.operator_environment()[TOKEN].clone();
    // The command reads the secret before it asks.
    let secrets_manager = &busy.world.stack.secrets_manager;
    let mut operator =
        Operator::new(&busy.world).asked(TOKEN, &token).meanwhile(move || secrets_manager.rotate(SECRET_ID, changed));
    let ran = operator.run(&["rotate", "path-key"]).await;
    assert_eq!((ran.status, ran.progress.contains("run this again")), (1, true), "{}{}", ran.out, ran.progress);
    assert_eq!(busy.secret()["note"], "by hand", "the other one's change is there");
    assert_eq!(busy.secret()["botpressPathKey"], secret["botpressPathKey"]);
    Operator::new(&busy.world).does(&["rotate", "path-key"]).await;
    assert_eq!(busy.secret()["note"], "by hand");
    assert_ne!(busy.secret()["botpressPathKey"], secret["botpressPathKey"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_that_this_command_has_not_connected_is_told_so() {
    let world = World::in_process().await;
    for what in ["path-key", "signing-secret", "access-key"] {
        let ran = Operator::new(&world).run(&["rotate", what]).await;
        assert_eq!((ran.status, ran.progress.contains("hitl connect botpress")), (1, true), "{}", ran.progress);
    }
}

/// Returns the keys of the doors that have turned calls away.
fn turned_away(busy: &Busy) -> Vec<String> {
    let doors = busy.world.items("door").into_iter().filter(|door| door.get("turned_away_count").is_some());
    doors.map(|door| door["sk"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_were_turned_away_before_a_rotation_are_forgotten() {
    let busy = Busy::new().await;
    let mut wrong = busy.secret();
    wrong["webhookSecret"] = "a guess".into();
    wrong["botpressPathKey"] = "a-guess".into();
    assert_eq!(let_in(&busy, &wrong).await, (401, 401));
    busy.world.settle().await;
    assert_eq!(turned_away(&busy).len(), 2, "{:?}", busy.world.items("door"));
    let mut operator = Operator::new(&busy.world);
    for (what, left) in [("access-key", 2), ("path-key", 1), ("webhook-secret", 0)] {
        operator.does(&["rotate", what, "--now"]).await;
        assert_eq!(turned_away(&busy).len(), left, "{what}");
    }
}
