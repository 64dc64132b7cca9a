//! Observed misbehaviour of vendors, as data: another kind is one more line.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use sandbox::botpress::ErrorType;
use sandbox::demo::Bot;
use sandbox::faults::{Fault, Faults};
use sandbox::livechat::{Chat, Gone};
use serde_json::{Value, json};

use super::super::bot_side::BotSide;
use super::super::life::Life;
use crate::World;
use crate::model::BAD_WORDS;

/// A page that a proxy in front of a vendor returns.
const PAGE: &str = "<!DOCTYPE html><html><body>Checking your browser</body></html>";

/// The place of a trouble.
pub(super) struct Scene {
    pub world: Arc<World>,
    pub side: BotSide,
    /// The user whom it concerns, if it concerns one.
    pub person: String,
    /// The chat of that user; empty if there is none.
    pub chat_id: String,
    /// A number by which the trouble varies.
    pub chance: u32,
}

impl Scene {
    /// A scene about a random user.
    pub(crate) fn of(life: &Life, random: &mut fastrand::Rng) -> Self {
        let person = random.choice(&life.people).cloned().unwrap_or_default();
        let (chat_id, _) = life.chat_of(&person);
        Self { world: Arc::clone(&life.world), side: life.side.clone(), person, chat_id, chance: random.u32(..) }
    }

    /// The chat that it concerns, or any existing one.
    fn chat(&self) -> Option<Chat> {
        let chats = self.world.stack.livechat.chats();
        let of_person = chats.iter().find(|chat| chat.id == self.chat_id);
        of_person.or_else(|| chats.get(self.below(7) as usize)).cloned()
    }

    /// One of several values.
    fn one_of<T: Copy + Default, const N: usize>(&self, things: [T; N]) -> T {
        things.into_iter().cycle().nth(self.below(64) as usize).unwrap_or_default()
    }

    /// A number below `bound`.
    const fn below(&self, bound: u32) -> u32 {
        self.chance % bound
    }
}

/// One kind of trouble.
pub(super) struct Trouble {
    pub name: &'static str,
    what: What,
    /// Whether it concerns texts that the user and an agent write while it lasts.
    pub is_about_words: bool,
    /// Whether threads cannot be read while it lasts, so that a change is judged by what was reported.
    pub hides_threads: bool,
    /// Whether calls for one user are limited for longer than an end waits, so that texts before an end may be parked.
    pub limits_one_for_long: bool,
}

/// The vendors whose calls go wrong.
#[derive(Clone, Copy)]
enum Whose {
    LiveChat,
    Platform,
    Everybody,
}

/// How many calls go wrong.
#[derive(Clone, Copy)]
enum Often {
    /// One to five.
    Some,
    /// Each, until the trouble is over.
    Always,
}

enum What {
    /// Calls are answered wrongly.
    Answers { whose: Whose, calls: &'static str, often: Often, fault: fn(&Scene) -> Fault },
    /// Something else changes at a vendor, and may change back.
    Happens { at: &'static [Bot], begin: fn(&Scene), end: fn(&Scene) },
}

use Often::{Always, Some as Few};
use Whose::{Everybody, LiveChat, Platform};

const fn answers(
    name: &'static str,
    whose: Whose,
    calls: &'static str,
    often: Often,
    fault: fn(&Scene) -> Fault,
) -> Trouble {
    of_kind(name, What::Answers { whose, calls, often, fault })
}

const fn happens(name: &'static str, at: &'static [Bot], begin: fn(&Scene), end: fn(&Scene)) -> Trouble {
    of_kind(name, What::Happens { at, begin, end })
}

const fn of_kind(name: &'static str, what: What) -> Trouble {
    Trouble { name, what, is_about_words: false, hides_threads: false, limits_one_for_long: false }
}

const BOTH: &[Bot] = &[Bot::Botpress, Bot::Botcopy];

/// For troubles that end when the scripts are cleared, or never.
const fn nothing_more(_: &Scene) {}

impl Trouble {
    /// The same for a trouble during which threads cannot be read.
    const fn hiding_threads(self) -> Self {
        let Self { name, what, is_about_words, limits_one_for_long, .. } = self;
        Self { name, what, is_about_words, hides_threads: true, limits_one_for_long }
    }
}

/// Every kind.
static TROUBLES: &[Trouble] = &[
    // Success that cannot be parsed.
    answers("a page, and nothing done", Everybody, "POST", Few, |_| Fault::answer(200, PAGE)),
    answers("a page, and the call done", Everybody, "POST", Few, |_| Fault::garble(|_| PAGE.into())),
    answers("half a body", Everybody, "POST", Few, |_| Fault::garble(half)),
    answers("another shape", Everybody, "POST", Few, |_| Fault::garble(|_| br#"[{"ok":true}]"#.to_vec())),
    answers("an empty answer", Everybody, "POST", Few, |_| Fault::garble(|_| Vec::new())),
    answers("a body that is no text", Everybody, "POST", Few, |_| Fault::garble(|_| vec![0x1f, 0x8b, 0xff, 0x00])),
    answers("an answer that is too long", Everybody, "POST", Few, |_| Fault::garble(|_| vec![b' '; 20 << 20])),
    answers("pages at LiveChat for minutes", LiveChat, "", Always, |_| Fault::answer(200, PAGE)),
    answers("pages at the platform for minutes", Platform, "", Always, |_| Fault::answer(200, PAGE)),
    // An edge that refuses in a form that is not the vendor's.
    answers("an edge that refuses with a page", Everybody, "POST", Few, edge_refuses),
    answers("an edge that refuses for minutes", Everybody, "", Always, edge_refuses),
    // Outages.
    answers("LiveChat is down", LiveChat, "", Always, |_| Fault::answer(503, PAGE)),
    answers("the platform is down", Platform, "", Always, |_| Fault::answer(502, PAGE)),
    answers("both break connections", Everybody, "", Always, |_| Fault::Reset),
    answers("answers are lost", Everybody, "POST", Few, |_| Fault::LoseAnswer),
    answers("calls hang", Everybody, "POST", Few, |_| Fault::Delay(Duration::from_secs(12))),
    answers("LiveChat gives up on calls", LiveChat, "", Always, |_| {
        livechat_refuses(504, "request_timeout", "Request timed out")
    }),
    answers("one kind of LiveChat's calls fails", LiveChat, "send_event", Always, |_| Fault::answer(500, "")),
    answers("reading a thread fails", LiveChat, "get_chat", Always, |_| Fault::answer(500, "")),
    Trouble {
        name: "words on which vendors fail",
        what: What::Happens { at: BOTH, begin: fail_on_words, end: nothing_more },
        is_about_words: true,
        hides_threads: false,
        limits_one_for_long: false,
    },
    // Credentials.
    happens("the agent token is revoked", BOTH, |scene| agent_token(scene, false), |scene| agent_token(scene, true))
        .hiding_threads(),
    happens("the licence expires", BOTH, |scene| licence_expires(scene, true), |scene| licence_expires(scene, false))
        .hiding_threads(),
    happens("the app is removed", BOTH, |scene| app_removed(scene, true), |scene| app_removed(scene, false))
        .hiding_threads(),
    happens("the platform's key is revoked", BOTH, |scene| key_revoked(scene, true), |scene| key_revoked(scene, false)),
    answers("LiveChat's keys are refused", LiveChat, "", Always, |_| {
        livechat_refuses(401, "authentication", "Invalid access token")
    }),
    answers("the licence has expired", LiveChat, "", Always, |_| {
        livechat_refuses(403, "license_expired", "License expired")
    }),
    answers("the accounts service refuses our client", LiveChat, "customer/token", Always, |_| {
        Fault::answer(401, r#"{"oauth_exception":"unauthorized_client","exception_description":"unknown client"}"#)
    }),
    answers("the platform refuses our key", Platform, "", Always, |scene| match scene.side.bot {
        Bot::Botpress => botpress_refuses(401, "Unauthorized"),
        Bot::Botcopy => Fault::answer(401, ""),
    }),
    answers("the platform forbids our key", Platform, "", Always, |scene| match scene.side.bot {
        Bot::Botpress => botpress_refuses(403, "Forbidden"),
        Bot::Botcopy => Fault::answer(403, "{}"),
    }),
    // Limits.
    answers("a limit that names seconds", Everybody, "POST", Few, |scene| limit(&(1 + scene.below(90)).to_string())),
    answers("a limit that names an hour", Everybody, "POST", Few, |_| limit("3600")),
    answers("a limit that names a day", Everybody, "POST", Few, |_| limit("86400")),
    answers("a limit that names a Unix time", Everybody, "POST", Few, |scene| {
        limit(&(scene.world.now().unix_millis() / 1_000 + 30).to_string())
    }),
    answers("a limit that names Unix milliseconds", Everybody, "POST", Few, |scene| {
        limit(&(scene.world.now().unix_millis() + 30_000).to_string())
    }),
    answers("a limit that names nonsense", Everybody, "POST", Few, |scene| {
        limit(scene.one_of(["soon", "-5", "", "1e9", "99999999999999999999"]))
    }),
    answers("a limit that names no time", Everybody, "POST", Few, |_| Fault::answer(429, "")),
    answers("a limit for minutes", Everybody, "POST", Always, |_| limit("20")),
    answers("a limit that names a date", Everybody, "POST", Few, |_| limit("Mon, 11 May 2026 10:11:00 GMT")),
    answers("limits of other headers", Everybody, "POST", Few, |scene| {
        let name = scene.one_of(["ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset"]);
        Fault::limited(name, 20)
    }),
    answers("calls hang for minutes", Everybody, "POST", Always, |_| Fault::hang()),
    happens("a limit on one user", BOTH, limit_one_user, nothing_more),
    Trouble {
        limits_one_for_long: true,
        ..happens("a limit on one user that names an hour", BOTH, limit_one_user_for_an_hour, nothing_more)
    },
    happens("rate headers on every answer", BOTH, |scene| stamp(scene, "57", "3600"), nothing_more),
    happens("the last call of a window", BOTH, |scene| stamp(scene, "0", "20"), nothing_more),
    happens("the last call of an hour", BOTH, |scene| stamp(scene, "0", "3600"), nothing_more),
    happens("clocks that are wrong", BOTH, clocks_go_wrong, nothing_more),
    // Deleted resources.
    happens("a chat is deleted at the desk", BOTH, delete_chat, nothing_more),
    happens("a customer is deleted at the desk", BOTH, delete_customer, nothing_more),
    happens("cookies are refused", BOTH, refuse_cookies, nothing_more),
    happens("customer tokens end", BOTH, |scene| scene.world.stack.livechat.expire_customer_tokens(), nothing_more),
    happens("an agent's user is deleted", &[Bot::Botpress], delete_agents_user, nothing_more),
    happens("the end user's user is deleted", &[Bot::Botpress], delete_user, nothing_more),
    // Odd values.
    happens("odd fields in webhooks", BOTH, |scene| odd(scene, "sends ", &ODD_IN_WEBHOOKS), nothing_more),
    happens("odd fields in threads that are read", BOTH, |scene| odd(scene, "get_chat", &ODD_IN_THREADS), nothing_more),
    happens("half an emoji", BOTH, half_an_emoji, nothing_more),
    happens("the next version of list_chats", BOTH, |scene| list_chats(scene, true), |scene| list_chats(scene, false)),
    happens("events of one time", BOTH, |scene| equal_times(scene, true), |scene| equal_times(scene, false)),
    happens("an AI agent reports", BOTH, ai_agent_reports, nothing_more),
];

/// Fields of webhooks that LiveChat has been seen to fill, or may fill, in another way; no text depends on them.
const ODD_IN_WEBHOOKS: [&str; 9] = [
    "/payload/event/created_at",
    "/payload/event/properties",
    "/payload/event/custom_id",
    "/payload/chat/users",
    "/payload/chat/properties",
    "/payload/chat/thread/created_at",
    "/payload/reason",
    "/webhook_id",
    "/additional_data",
];

/// The same for a thread that is read.
const ODD_IN_THREADS: [&str; 6] = [
    "/users/0/name",
    "/users/0/avatar",
    "/properties",
    "/thread/tags",
    "/thread/events/0/created_at",
    "/thread/events/-/properties",
];

/// From now on one of these fields has another type, or is null or missing.
fn odd(scene: &Scene, calls: &str, pointers: &[&str]) {
    let values = [Some(json!(5)), Some(Value::Null), Some(json!("yesterday")), Some(json!([])), None];
    let pointer = pointers.iter().cycle().nth(scene.below(97) as usize).copied().unwrap_or_default();
    let value = values.into_iter().cycle().nth(scene.below(89) as usize).flatten();
    scene.world.stack.livechat.faults().always(calls, Fault::odd_field(pointer, value));
}

/// Texts end in the middle of an emoji, in both directions.
fn half_an_emoji(scene: &Scene) {
    let half = scene.one_of(["\\ud83d", "\\ude00", "\\ude00\\ud83d"]);
    let livechat = scene.world.stack.livechat.faults();
    livechat.always("sends incoming_event", Fault::half_emoji("/payload/event/text", half));
    livechat.always("get_chat", Fault::half_emoji("/thread/events/-/text", half));
    match scene.side.bot {
        Bot::Botpress => {
            let text = Fault::half_emoji("/payload/text", half);
            scene.side.faults().always("sends message_created", text);
        }
        Bot::Botcopy => {
            scene.side.faults().always("sends step_two", Fault::half_emoji("/queryInput/text/text", half));
        }
    }
}

fn stamp(scene: &Scene, remaining: &str, reset: &str) {
    for faults in Everybody.faults(scene) {
        let names = if scene.below(2) == 0 { ["ratelimit-remaining", "ratelimit-reset"] } else { X_NAMES };
        faults.stamp(&[(names[0], remaining), (names[1], reset)]);
    }
}

const X_NAMES: [&str; 2] = ["x-ratelimit-remaining", "x-ratelimit-reset"];

/// A vendor's clock is ten hours ahead, and a limit names a time by that clock.
fn clocks_go_wrong(scene: &Scene) {
    for faults in Everybody.faults(scene) {
        faults.stamp(&[("date", "Mon, 11 May 2026 19:41:00 GMT")]);
        faults.next(1 + scene.below(3), "POST", Fault::limited("retry-after", "Mon, 11 May 2026 19:41:20 GMT"));
    }
}

fn limit_one_user(scene: &Scene) {
    let Some(whose) = scene.chat().map(|chat| chat.id) else { return };
    scene.world.stack.livechat.faults().limit_for(&whose, "POST", 2, Duration::from_secs(30));
}

fn limit_one_user_for_an_hour(scene: &Scene) {
    let Some(whose) = scene.chat().map(|chat| chat.id) else { return };
    scene.world.stack.livechat.faults().always_for(&whose, "POST", Fault::limited("retry-after", 3_600));
}

fn delete_chat(scene: &Scene) {
    let gone = Gone::ALL.into_iter().cycle().nth(scene.below(4) as usize);
    if let (Some(chat), Some(gone)) = (scene.chat(), gone) {
        // It exists.
        drop(scene.world.stack.livechat.delete_chat(&chat.id, gone));
    }
}

/// How the accounts service may refuse cookies that it no longer knows.
const COOKIE_REFUSALS: [&str; 3] = ["invalid_grant", "invalid_request", "resource_not_found"];

fn delete_customer(scene: &Scene) {
    let code = COOKIE_REFUSALS.into_iter().map(Some).chain([None]).nth(scene.below(4) as usize).flatten();
    if let Some(customer_id) = scene.chat().and_then(|chat| chat.customer_id) {
        scene.world.stack.livechat.delete_customer(&customer_id, code);
    }
}

fn refuse_cookies(scene: &Scene) {
    let livechat = &scene.world.stack.livechat;
    if let Some(customer_id) = scene.chat().and_then(|chat| chat.customer_id) {
        livechat.refuse_cookies(&customer_id, scene.one_of(COOKIE_REFUSALS));
        livechat.expire_customer_tokens();
    }
}

/// Deletes the user who last wrote for the agents.
fn delete_agents_user(scene: &Scene) {
    let spoken = scene.world.entries("message_created", "/direction", "incoming");
    if let Some(entry) = spoken.last() {
        scene.world.stack.botpress.delete_user(entry.text("/user_id"));
    }
}

fn delete_user(scene: &Scene) {
    let written = scene.world.entries("user_wrote", "/conversation_id", &scene.person);
    let user = written.last().and_then(|entry| scene.world.stack.botpress.downstream_user(entry.text("/user_id")));
    if let Some(user_id) = user {
        scene.world.stack.botpress.delete_user(&user_id);
    }
}

fn list_chats(scene: &Scene, next: bool) {
    scene.world.stack.livechat.set_behaviour(|behaviour| behaviour.lists_chats_as_next_version = next);
}

fn equal_times(scene: &Scene, equal: bool) {
    scene.world.stack.livechat.set_behaviour(|behaviour| behaviour.equal_times = equal);
}

/// A text that no user may see: the one of LiveChat's own automation.
pub(super) const REPORTED: &str = "the skill has ended";

fn ai_agent_reports(scene: &Scene) {
    let Some(chat) = scene.chat() else { return };
    for kind in [("ai_agents", "custom_skill_ended", 1), ("messaging", "summary", 1)] {
        let details = json!({"text": REPORTED, "skill": {"name": REPORTED}});
        drop(scene.world.stack.livechat.system_reports(&chat.id, None, kind, &details));
    }
}

fn fail_on_words(scene: &Scene) {
    for faults in Everybody.faults(scene) {
        faults.always_for(BAD_WORDS, "POST", Fault::answer(500, ""));
    }
}

fn agent_token(scene: &Scene, valid: bool) {
    scene.world.stack.livechat.set_agent_token_valid(valid);
}

fn licence_expires(scene: &Scene, expired: bool) {
    scene.world.stack.livechat.set_licence_expired(expired);
}

fn app_removed(scene: &Scene, removed: bool) {
    scene.world.stack.livechat.set_app_removed(removed);
}

fn key_revoked(scene: &Scene, revoked: bool) {
    match scene.side.bot {
        Bot::Botpress => scene.world.stack.botpress.refuse_all(revoked.then_some(ErrorType::Unauthorized)),
        Bot::Botcopy => scene.world.stack.botcopy.set_api_key_revoked(revoked),
    }
}

fn half(mut body: Vec<u8>) -> Vec<u8> {
    body.truncate(body.len() / 2);
    body
}

/// A proxy in front of a vendor refuses a call; the vendor itself has not seen it.
fn edge_refuses(scene: &Scene) -> Fault {
    Fault::answer(scene.one_of([400, 403, 404, 405]), PAGE)
}

fn livechat_refuses(status: u16, kind: &str, message: &str) -> Fault {
    Fault::answer(status, json!({"error": {"type": kind, "message": message}}).to_string())
}

fn botpress_refuses(status: u16, kind: &str) -> Fault {
    let id = "err_20260511094100x00000001";
    Fault::answer(status, json!({"id": id, "code": status, "type": kind, "message": kind}).to_string())
}

fn limit(named: &str) -> Fault {
    let body = json!({"error": {"type": "too_many_requests", "message": "Too many requests"}});
    let headers = BTreeMap::from([("retry-after".to_owned(), named.to_owned())]);
    Fault::Answer { status: 429, headers, body: body.to_string() }
}

/// The kinds that affect a bot of this platform.
pub(super) fn of(bot: Bot) -> impl Iterator<Item = &'static Trouble> {
    TROUBLES.iter().filter(move |trouble| match &trouble.what {
        What::Answers { .. } => true,
        What::Happens { at, .. } => at.contains(&bot),
    })
}

impl Trouble {
    /// For how many seconds it lasts; a change that happens only once needs no time.
    pub(crate) fn lasts(&self) -> Range<u64> {
        match &self.what {
            What::Happens { .. } if self.is_about_words => 150..200,
            What::Answers { often: Always, .. } => 20..240,
            _ => 10..60,
        }
    }

    /// Begins the trouble.
    pub(crate) fn begin(&self, scene: &Scene) {
        match &self.what {
            What::Answers { whose, calls, often, fault } => {
                for faults in whose.faults(scene) {
                    match often {
                        Few => faults.next(1 + scene.below(5), calls, fault(scene)),
                        Always => faults.always(calls, fault(scene)),
                    }
                }
            }
            What::Happens { begin, .. } => begin(scene),
        }
    }

    /// Ends the trouble; scripts of wrong answers have already been cleared.
    pub(crate) fn end(&self, scene: &Scene) {
        if let What::Happens { end, .. } = &self.what {
            end(scene);
        }
    }
}

impl Whose {
    fn faults(self, scene: &Scene) -> Vec<&Faults> {
        let livechat = scene.world.stack.livechat.faults();
        match self {
            LiveChat => vec![livechat],
            Platform => vec![scene.side.faults()],
            Everybody => vec![livechat, scene.side.faults()],
        }
    }
}
