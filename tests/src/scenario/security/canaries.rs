//! What is logged: texts and secrets that can be recognised in every encoding enter everywhere, and must appear nowhere.
//!
//! In this process the product's log subscriber is captured. For compiled functions it is everything that they print:
//! their own lines, those of Lambda's runtime, metrics, and any panic message.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use fastrand::Rng;
use sandbox::botpress::Escalation;
use sandbox::faults::{Fault, Faults};
use sandbox::table_proxy;
use serde_json::{Value, json};

use super::malformed::{Bases, spoiled};
use super::{Call, answer};
use crate::raw::together;
use crate::scenario::{Report, Size};
use crate::{Log, SECRET_ID, World};

/// The text that people write, and vendors quote; used as a message, and where it could pass for an id.
const WORD: &str = "Kanarienvogel Ä 17";

/// The part of it that must not appear in any encoding.
const CORE: &str = "Kanarienvogel";

/// Settings that an operator in trouble might choose.
const LEVELS: [&str; 4] = [
    "trace",
    "debug",
    "info",
    "lambda_runtime=trace,aws_smithy_runtime=trace,hyper=trace,reqwest=trace,shared=trace,actions=trace,webhooks=trace",
];

/// How many actions each party takes in one world.
const STEPS: usize = 16;

/// The same with compiled functions.
const STEPS_IN_REAL_TIME: usize = 4;

/// The lines of the product, not those of the simulators.
fn lines_of_ours(text: &str) -> impl Iterator<Item = &str> {
    let is_ours = |line: &&str| !line.contains("\"target\":\"sandbox") && !line.contains("\"target\":\"dynoxide");
    text.lines().filter(is_ours)
}

/// The forms that a text can take; in lower case, like the text that is searched.
pub(super) struct Needles(BTreeSet<String>);

impl Needles {
    pub(crate) fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self(texts.into_iter().filter(|text| text.len() > 5).flat_map(forms).collect())
    }

    /// The first form that is in `text`.
    pub(crate) fn found_in(&self, text: &str) -> Option<&str> {
        let text = text.to_lowercase();
        self.0.iter().find(|needle| text.contains(needle.as_str())).map(String::as_str)
    }
}

fn forms(text: &str) -> Vec<String> {
    let each = |form: fn(u8) -> String| text.bytes().map(form).collect::<String>();
    let mut forms = vec![
        text.to_owned(),
        text.chars().rev().collect(),
        each(|byte| format!("{byte:02x}")),
        each(|byte| format!("%{byte:02x}")),
        each(|byte| format!("\\u{byte:04x}")),
        each(|byte| format!("\\x{byte:02x}")),
        each(|byte| format!("&#{byte};")),
        text.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", "),
        json!(text).to_string().trim_matches('"').to_owned(),
        json!(json!(text).to_string()).to_string().trim_matches(['"', '\\']).to_owned(),
    ];
    // In base64 a text looks different at each of three offsets; its ends depend on the neighbours.
    for offset in 0..3 {
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let encoded = engine.encode([vec![0; offset], text.as_bytes().to_vec()].concat());
            forms.push(encoded.get(4..encoded.len() - 2).unwrap_or(&encoded).to_owned());
        }
    }
    forms.into_iter().map(|form| form.to_lowercase()).collect()
}

/// Runs in this process, or with compiled functions if `HITL_BINARIES` names them.
pub(in crate::scenario) async fn nowhere(size: Size) -> Report {
    match crate::binaries() {
        Some(folder) => of_processes(size, &folder).await,
        None => of_this_process(size).await,
    }
}

/// A run in real time mostly waits, so it is shorter, with all levels in parallel.
async fn of_processes(size: Size, folder: &Path) -> Report {
    let (mut random, rounds) = (size.random(), size.of(25, 1));
    let mut search = Search::default();
    for _ in 0..rounds {
        let plays = LEVELS.map(|level| {
            let mut random = random.fork();
            Box::pin(async move {
                let world = World::through(folder, &[("RUST_LOG", level)], 1).await;
                let calls = Box::pin(play(&world, &mut random, STEPS_IN_REAL_TIME)).await;
                (world, level, calls)
            })
        });
        for (world, level, calls) in together(plays).await {
            search.calls += calls;
            let printed = world.stack.end_processes().await;
            search.look_at(&world, level, printed.iter().map(String::as_str));
        }
    }
    search.report("worlds of compiled functions")
}

/// Runs on one thread, with the product's own subscriber.
async fn of_this_process(size: Size) -> Report {
    let (result, done) = tokio::sync::oneshot::channel();
    let play = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let report = runtime.map(|runtime| runtime.block_on(Box::pin(on_this_thread(size))));
        let _ = result.send(report.unwrap_or_else(|error| failed(error.to_string())));
    };
    std::thread::spawn(play);
    done.await.unwrap_or_else(|_| failed("the thread died".to_owned()))
}

fn failed(wrong: String) -> Report {
    Report { figure: "nothing was played".to_owned(), findings: vec![wrong] }
}

async fn on_this_thread(size: Size) -> Report {
    let (mut random, rounds) = (size.random(), size.of(1_000, 5));
    let mut search = Search::default();
    for round in 0..rounds {
        let log = Log::default();
        let level = LEVELS[round % LEVELS.len()];
        let _guard = tracing::subscriber::set_default(log.subscriber(level));
        let world = World::of_instances(1, true).await;
        search.calls += Box::pin(play(&world, &mut random, STEPS)).await;
        search.look_at(&world, level, lines_of_ours(&log.text()));
    }
    search.report("worlds")
}

/// What was searched, and what was found.
#[derive(Default)]
struct Search {
    worlds: usize,
    calls: usize,
    lines: usize,
    /// The messages of the lines; a line that cannot be parsed has none.
    messages: BTreeSet<String>,
    findings: Vec<String>,
}

impl Search {
    /// Searches what was logged in a world at a level.
    fn look_at<'a>(&mut self, world: &World, level: &str, lines: impl Iterator<Item = &'a str>) {
        let (needles, before) = (needles(world), self.lines);
        for line in lines {
            self.lines += 1;
            if let Some(needle) = needles.found_in(line) {
                self.findings.push(format!("{needle} at {level}: {line}"));
            }
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            self.messages.insert(line.get("message").map(Value::to_string).unwrap_or_default());
        }
        self.worlds += 1;
        if self.lines == before {
            self.findings.push(format!("nothing was logged at {level}, so nothing was shown"));
        }
    }

    fn report(self, worlds: &str) -> Report {
        let figure = format!(
            "{} {worlds} full of canaries, {} calls, {} lines of log with {} different messages: {} canaries",
            self.worlds,
            self.calls,
            self.lines,
            self.messages.len(),
            self.findings.len()
        );
        Report { figure, findings: self.findings }
    }
}

/// The texts that no line may contain: what people wrote, and every credential.
fn needles(world: &World) -> Needles {
    let secret = world.stack.secret();
    let mut texts = vec![CORE.to_owned()];
    let mut values = vec![&secret];
    while let Some(value) = values.pop() {
        match value {
            Value::String(text) if text != "X-Sandbox" => texts.push(text.clone()),
            Value::Object(fields) => values.extend(fields.values()),
            _ => {}
        }
    }
    let profiles = world.items("user").into_iter().chain(world.items("customer"));
    for item in profiles {
        let issued = ["token", "access_token", "lc_cid", "lc_cst"].into_iter().filter_map(|name| find(&item, name));
        texts.extend(issued);
    }
    Needles::of(texts.iter().map(String::as_str))
}

fn find(value: &Value, name: &str) -> Option<String> {
    match value {
        Value::Object(fields) => fields
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .or_else(|| fields.values().find_map(|field| find(field, name))),
        _ => None,
    }
}

/// Runs everything that can happen to a canary; returns the number of calls.
async fn play(world: &World, random: &mut Rng, steps: usize) -> usize {
    let bases = Bases::of(world).await;
    let user = world.user(WORD).await;
    let mut calls = 0;
    for step in 0..steps {
        trouble(world, random);
        let requests: Vec<_> = (0..12)
            .map(|_| {
                let call = worded(bases.pick(random, world), &bases, world);
                spoiled(random, call, &bases.doors, world, WORD)
            })
            .collect();
        calls += requests.len();
        let asked = together(requests.into_iter().map(|(side, event)| answer(world, side, event)));
        drop(tokio::time::timeout(Duration::from_secs(60), world.drive(asked)).await);
        match step % 4 {
            0 => drop(world.drive(world.stack.botpress.escalate(&user.conversation_id, Escalation::default())).await),
            1 => drop(world.drive(world.stack.botpress.user_says(&user.conversation_id, WORD)).await),
            _ => drop(world.drive(world.stack.sweep()).await),
        }
        let later = Duration::from_secs(random.u64(1..400));
        if let Some(clock) = &world.clock {
            clock.advance(later);
        }
    }
    calls
}

/// Replaces what people write, and every unknown string, by a canary; ids and protocol words stay.
fn worded(call: Call, bases: &Bases, world: &World) -> Call {
    const WRITTEN: [&str; 16] = [
        "text",
        "name",
        "title",
        "subtitle",
        "description",
        "label",
        "markdown",
        "email",
        "pictureUrl",
        "avatar",
        "url",
        "imageUrl",
        "fileUrl",
        "audioUrl",
        "query",
        "plan",
    ];
    fn word(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields.iter_mut() {
                    match field {
                        Value::String(text) if WRITTEN.contains(&name.as_str()) => *text = WORD.to_owned(),
                        Value::String(text) if name == "body" => {
                            if let Ok(mut inner) = serde_json::from_str(text) {
                                word(&mut inner);
                                *text = inner.to_string();
                            }
                        }
                        other => word(other),
                    }
                }
                fields.insert(CORE.to_owned(), json!(WORD));
            }
            Value::Array(items) => items.iter_mut().for_each(word),
            _ => {}
        }
    }
    let mut call = call.with_body(word);
    for name in ["user-agent", "referer", "cookie", "x-forwarded-for", "traceparent"] {
        call.set(name, CORE);
    }
    if call.path.starts_with("/botpress") {
        let signature = bases.doors.signature(world, &call.body);
        call.set("x-bp-signature", signature);
    }
    call
}

/// A vendor answers with canaries, or not at all.
fn trouble(world: &World, random: &mut Rng) {
    let stack = &world.stack;
    let vendors = [stack.livechat.faults(), stack.botpress.faults(), stack.botcopy.faults()];
    vendors.iter().for_each(|faults| faults.clear());
    stack.secrets_manager.put(SECRET_ID, stack.secret());
    if let Some(proxy) = &stack.table_proxy {
        proxy.faults().clear();
        match random.u8(..8) {
            0 => proxy.faults().next(random.u32(1..20), "", table_proxy::throttled()),
            1 => proxy.faults().next(random.u32(1..20), "", quoting_table()),
            2 => proxy.faults().next(random.u32(1..20), "", Fault::LoseAnswer),
            _ => {}
        }
    }
    if random.u8(..6) == 0 {
        stack.secrets_manager.put(SECRET_ID, json!({"agentToken": 7, "webhookSecret": WORD, CORE: WORD}));
    }
    for faults in vendors {
        spoil_vendor(faults, random);
    }
}

fn quoting_table() -> Fault {
    let body =
        json!({"__type": "com.amazon.coral.validate#ValidationException", "message": format!("Invalid value: {WORD}")});
    Fault::answer(400, body.to_string())
}

fn spoil_vendor(faults: &Faults, random: &mut Rng) {
    let times = random.u32(1..20);
    let status = [200, 201, 400, 401, 403, 404, 409, 413, 422, 429, 500, 503][random.usize(..12)];
    let body = match random.u8(..6) {
        0 => json!({"error": {"type": "validation", "message": WORD, "data": {CORE: WORD}}}).to_string(),
        1 => json!({"error": {"type": WORD, "message": WORD}}).to_string(),
        2 => json!({"id": WORD, "code": 400, "type": "InvalidPayload", "message": WORD, CORE: WORD}).to_string(),
        3 => json!({"message": WORD, "error": WORD, "oauth_exception": "unauthorized_client", "exception_description": WORD}).to_string(),
        4 => format!("<html>{WORD}</html>"),
        _ => format!("{{\"{CORE}\":{{\"{CORE}\":[\"{WORD}\",{CORE}"),
    };
    let headers = ["x-debug-id", "retry-after", "legacy", "deprecation", "location", "set-cookie", "server"];
    let headers = headers.map(|name| (name.to_owned(), "Kanarienvogel 17".to_owned())).into();
    match random.u8(..6) {
        0 | 1 => faults.next(times, "", Fault::Answer { status, headers, body }),
        2 => {
            let random = Mutex::new(random.fork());
            faults.next(
                times,
                "",
                Fault::garble(move |body| {
                    super::mutate::spoil(&mut random.lock().unwrap_or_else(PoisonError::into_inner), &body, WORD)
                }),
            );
        }
        3 => faults.next(times, "", Fault::Reset),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_found_in_every_form() {
        let needles = Needles::of([CORE]);
        for form in [
            "a Kanarienvogel sings",
            "KANARIENVOGEL",
            "legovneiranaK",
            "4b616e617269656e766f67656c",
            "%4B%61%6E%61%72%69%65%6E%76%6F%67%65%6C",
            "[75, 97, 110, 97, 114, 105, 101, 110, 118, 111, 103, 101, 108]",
            &STANDARD_NO_PAD.encode("a Kanarienvogel"),
            &STANDARD_NO_PAD.encode("the Kanarienvogel"),
            &URL_SAFE_NO_PAD.encode("{\"text\":\"Kanarienvogel\"}"),
        ] {
            assert!(needles.found_in(form).is_some(), "{form}");
        }
        assert!(needles.found_in("a session was started").is_none());
    }
}
