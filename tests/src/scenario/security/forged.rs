//! Unauthenticated calls: every credential wrong in every way, at every entry point.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use fastrand::Rng;
use reqwest::header::HeaderValue;
use sandbox::botpress::sign;
use sandbox::gateway::schedule;
use sandbox::stack::Side;
use serde_json::{Value, json};

use super::{Call, Doors, answer};
use crate::scenario::{Report, Size};
use crate::{World, http};

/// The only answers that a caller without credentials may get, with their statuses.
const ANSWERS: [(u64, &str); 4] = [(401, "unauthorized"), (403, "forbidden"), (400, "malformed"), (404, "not found")];

/// One of this many calls that a client could send goes through the gateway, over a socket.
const OVER_SOCKETS: usize = 50;

/// The longest path that is sent over a socket: clients and servers refuse paths longer than 65,534 bytes.
const LONGEST_PATH_BYTES: usize = 60_000;

/// No call is let in, nothing is written, no vendor is called, and the answers reveal nothing.
pub(in crate::scenario) async fn calls(size: Size) -> Report {
    let (mut random, count) = (size.random(), size.of(100_000, 400));
    let open = World::of_instances_with(1, true, &[("ONLY_MY_CHATS", "no")]).await;
    let mut findings = Vec::new();
    let mut told = BTreeMap::<_, usize>::new();
    let mut kinds = BTreeSet::new();
    let doors = Doors::of(&open);
    // The second stack admits other integrations than ours, so that only that check fails.
    let listed = World::uninstalled(&[("BOTPRESS_INTEGRATION_IDS", "intver_a,intver_b")]).await;
    let listed_doors = Doors::of(&listed);
    // A new process reads the table once on its first call, while it fetches its credentials: from here on no process is new.
    for call in genuine(&doors, &open) {
        drop(answer(&open, call.side, call.event()).await);
    }
    let before = [trace_of(&open), trace_of(&listed)];
    for number in 0..count {
        let (kind, world, call) = match random.u8(0..10) {
            0 => ("a foreign integration", &listed, foreign(&mut random, &listed_doors, &listed)),
            _ => {
                let (kind, call) = forged(&mut random, &doors, &open);
                (kind, &open, call)
            }
        };
        kinds.insert(kind);
        let request = if number % OVER_SOCKETS == 0 { as_request(world, &call) } else { None };
        let outcome = match request {
            Some(request) => over_a_socket(request).await,
            None => as_event(world, &call).await,
        };
        match outcome {
            Ok(heard) if ANSWERS.iter().any(|(status, body)| heard == (*status, (*body).to_owned())) => {
                *told.entry(heard).or_default() += 1;
            }
            other => findings.push(format!("{kind}: {other:?} to {}", String::from_utf8_lossy(&call.body))),
        }
        let after = [trace_of(&open), trace_of(&listed)];
        if after != before {
            findings.push(format!("{kind}: left a trace, {before:?} became {after:?}"));
            break;
        }
    }
    // The calls from which the forged ones are derived must be let in, or the test would prove nothing.
    for call in genuine(&doors, &open) {
        match answer(&open, call.side, call.event()).await {
            Ok(answer) if answer.status == 200 => {}
            other => findings.push(format!("a genuine call is answered {other:?}: {call:?}")),
        }
    }
    let told: Vec<_> = told.into_iter().map(|((status, _), times)| format!("{times} × {status}")).collect();
    let figure = format!(
        "{count} forged calls of {} kinds at every door: {}, {} let in, no table call, no vendor call",
        kinds.len(),
        told.join(", "),
        findings.len()
    );
    Report { figure, findings }
}

/// Every trace that a call could leave: entries of the journal, and items of the table except the notes on callers.
fn trace_of(world: &World) -> (usize, Vec<Value>) {
    (world.stack.journal.len(), world.items_besides_doors())
}

/// The call as a client sends it; none if another call would arrive, because clients drop line breaks from addresses or
/// spell the address in another way.
fn as_request(world: &World, call: &Call) -> Option<reqwest::Request> {
    let method = reqwest::Method::from_bytes(call.method.as_bytes()).ok()?;
    let url = reqwest::Url::parse(&format!("{}{}", world.stack.gateway.url(), call.path)).ok()?;
    let arrives_as_meant = url.path() == call.path && !call.path.contains('%') && url.query().is_none();
    if !arrives_as_meant || call.path.len() > LONGEST_PATH_BYTES {
        return None;
    }
    let mut request = http().request(method, url).body(call.body.clone());
    for (name, value) in &call.headers {
        if value.trim() != value {
            return None;
        }
        request = request.header(name, HeaderValue::from_str(value).ok()?);
    }
    request.build().ok()
}

async fn over_a_socket(request: reqwest::Request) -> Result<(u64, String), String> {
    let answer = http().execute(request).await.map_err(|error| error.to_string())?;
    let status = u64::from(answer.status().as_u16());
    let text = answer.text().await.map_err(|error| error.to_string())?;
    // The gateway's own answer for a route that does not exist.
    Ok((status, if status == 404 { "not found".to_owned() } else { text }))
}

async fn as_event(world: &World, call: &Call) -> Result<(u64, String), String> {
    let answer = answer(world, call.side, call.event()).await?;
    let others = answer.headers.as_object().is_some_and(|headers| headers.len() > 1);
    Ok((answer.status, if others { format!("{:?}", answer.headers) } else { answer.body }))
}

fn genuine(doors: &Doors, world: &World) -> Vec<Call> {
    let nowhere = json!({"chat_id": "UNKNOWN001", "thread_id": "UNKNOWN002"});
    let webhook = doors.livechat("chat_deactivated", &nowhere);
    let relayed = String::from_utf8_lossy(&webhook.body).into_owned();
    vec![
        doors.botpress(world, "action_triggered", &create_user()),
        doors.botpress(world, "webhook_received", &relayed_by_botpress(&relayed)),
        doors.botcopy(&doors.step_two),
        webhook,
    ]
}

fn create_user() -> Value {
    json!({"type": "createUser", "input": {"name": "Eve", "email": "eve@example.com"}})
}

fn relayed_by_botpress(body: &str) -> Value {
    json!({"req": {"method": "POST", "path": "/livechat", "query": "", "headers": {}, "body": body}})
}

/// Everything is right but the integration.
fn foreign(random: &mut Rng, doors: &Doors, world: &World) -> Call {
    let mut call = doors.botpress(world, "action_triggered", &create_user());
    let wrong = spoiled(random, "intver_a", &["intver_b"]);
    if !["", "intver_a", "intver_b"].contains(&wrong.as_str())
        && wrong.len() < 400
        && wrong.chars().all(|char| char.is_ascii_graphic())
    {
        call.set("x-integration-id", wrong);
    }
    call
}

/// One forged call.
fn forged(random: &mut Rng, doors: &Doors, world: &World) -> (&'static str, Call) {
    match random.u8(0..14) {
        0..4 => at_botpress(random, doors, world),
        4..7 => at_livechat(random, doors, world),
        7..11 => at_botcopy(random, doors),
        11 => ("a schedule's tick as a request", tick(random, doors, world)),
        12 => ("a wrong way in", elsewhere(random, doors, world)),
        _ => ("a secret of another door", exchanged(random, doors, world)),
    }
}

fn at_botpress(random: &mut Rng, doors: &Doors, world: &World) -> (&'static str, Call) {
    let operations = [
        ("action_triggered", create_user()),
        ("action_triggered", json!({"type": "startHitl", "input": {"userId": "u", "messageHistory": []}})),
        ("action_triggered", json!({"type": "stopHitl", "input": {"conversationId": "c"}})),
        ("register", json!({"webhookUrl": "https://webhook.example"})),
        ("unregister", json!({"webhookUrl": "https://webhook.example"})),
        ("message_created", crate::message("c", "m", "hello", Some("u"), world.now())),
        ("webhook_received", relayed_by_botpress("{}")),
        ("ping", json!({})),
    ];
    let (operation, body) = &operations[random.usize(..operations.len())];
    let mut call = doors.botpress(world, operation, body);
    let kind = random.u8(0..8);
    if kind != 7 && random.bool() {
        // A wrong key comes both with the right signature and with a wrong one.
        call.path = format!("/botpress/{}", spoiled_key(random, doors));
        if random.bool() {
            return ("a wrong path key", call);
        }
    }
    let genuine = doors.signature(world, &call.body);
    let digest = genuine.split_once(',').map_or("", |(_, digest)| digest).to_owned();
    let now = world.now();
    let (kind, signature) = match kind {
        0 => ("no signature", None),
        1 => {
            let away = Duration::from_millis(random.u64(300_001..90_000_000));
            let at = if random.bool() { now - away } else { now + away };
            ("a replay outside of the window", sign(&doors.signing_secret, at, &call.body).ok())
        }
        2 => {
            let millis = now.unix_millis();
            let shift = random.i64(1..300_000) * if random.bool() { 1 } else { -1 };
            let time = random.choice([
                (millis + shift).to_string(),
                format!("+{millis}"),
                format!(" {millis}"),
                format!("0{millis}"),
                format!("{millis}.0"),
                format!("{:x}", millis),
                (millis / 1_000).to_string(),
                String::new(),
                "99999999999999999999".to_owned(),
            ]);
            ("another time", time.map(|time| format!("{time},{digest}")))
        }
        3 => {
            let mut body = call.body.clone();
            let place = random.usize(..body.len());
            body[place] ^= 1;
            ("a signature of another body", sign(&doors.signing_secret, now, &body).ok())
        }
        4 => {
            let secret: Vec<u8> = (0..32).map(|_| random.u8(..)).collect();
            ("a signature by another secret", sign(&URL_SAFE_NO_PAD.encode(secret), now, &call.body).ok())
        }
        5 => {
            // The unused bits of the last character have no effect, so it stays unchanged.
            let spoiled = loop {
                let spoiled = spoiled(random, &digest, &doors.secrets());
                let equal = |of: &str| of.replace('-', "+").replace('_', "/").chars().take(42).collect::<String>();
                if equal(&spoiled) != equal(&digest) || spoiled.len() != digest.len() {
                    break spoiled;
                }
            };
            ("a spoiled signature", Some(format!("{},{spoiled}", now.unix_millis())))
        }
        6 => {
            let whole = random.choice([
                digest.clone(),
                format!("{},", now.unix_millis()),
                format!("{digest},{}", now.unix_millis()),
                format!("{}{}", now.unix_millis(), format!(",{digest}").repeat(6)),
                format!("sha256={digest}"),
                format!("{};{digest}", now.unix_millis()),
            ]);
            ("a signature of another form", whole)
        }
        _ => {
            let stale = call.body.clone();
            call = call.with_body(|body| body["more"] = json!(random.u64(..)));
            ("a body that was changed after signing", sign(&doors.signing_secret, now, &stale).ok())
        }
    };
    call.headers.retain(|(name, _)| name != "x-bp-signature");
    call.headers.extend(signature.map(|signature| ("x-bp-signature".to_owned(), signature)));
    (kind, call)
}

fn at_livechat(random: &mut Rng, doors: &Doors, world: &World) -> (&'static str, Call) {
    let event = json!({"id": "e", "type": "message", "text": "hello", "author_id": "anna@example.com",
        "visibility": "all", "created_at": world.now().to_string()});
    let call = doors.livechat("incoming_event", &json!({"chat_id": "c", "thread_id": "t", "event": event}));
    let (kind, call) = match random.u8(0..6) {
        0 => ("no secret", call.with_body(|body| drop(body.as_object_mut().map(|body| body.remove("secret_key"))))),
        1 => {
            let odd =
                [json!(null), json!(7), json!([doors.webhook_secret]), json!({"a": doors.webhook_secret}), json!(true)];
            let odd = odd[random.usize(..odd.len())].clone();
            ("a secret of another type", call.with_body(|body| body["secret_key"] = odd))
        }
        2 => {
            let wrong = spoiled(random, &doors.organization_id, &["", "*"]);
            ("another organization", call.with_body(|body| body["organization_id"] = json!(wrong)))
        }
        3 => {
            let mut call = call.with_body(|body| {
                body["secret_key"] = json!("wrong");
                body["payload"]["secret_key"] = json!(doors.webhook_secret);
                body["additional_data"]["secret_key"] = json!(doors.webhook_secret);
                body["secretKey"] = json!(doors.webhook_secret);
            });
            for name in ["authorization", "secret_key", "x-secret-key"] {
                call.headers.push((name.to_owned(), doors.webhook_secret.clone()));
            }
            ("the secret in the wrong place", call)
        }
        4 => {
            let mut call = call;
            let text = String::from_utf8_lossy(&call.body).into_owned();
            call.body = text.replacen('{', "{\"secret_key\":\"wrong\",", 1).into_bytes();
            ("the secret twice", call)
        }
        _ => {
            let wrong = spoiled(random, &doors.webhook_secret, &doors.secrets());
            ("a wrong webhook secret", call.with_body(|body| body["secret_key"] = json!(wrong)))
        }
    };
    // On the other route, everything from Botpress is right.
    if random.u8(0..4) == 0 {
        let relayed = relayed_by_botpress(&String::from_utf8_lossy(&call.body));
        return (kind, doors.botpress(world, "webhook_received", &relayed));
    }
    (kind, call)
}

fn at_botcopy(random: &mut Rng, doors: &Doors) -> (&'static str, Call) {
    let body = if random.bool() { &doors.step_one } else { &doors.step_two };
    let mut call = doors.botcopy(body);
    let custom = doors.custom_header.0.to_lowercase();
    let wrong = spoiled(random, &doors.access_token, &doors.secrets());
    let kind = match random.u8(0..6) {
        0 => {
            call.headers.retain(|(name, _)| name != "authorization");
            "no authorization"
        }
        1 => {
            call.headers.retain(|(name, _)| *name != custom);
            "no custom header"
        }
        2 => {
            let wrong = spoiled(random, &doors.custom_header.1, &doors.secrets());
            call.set(&custom, wrong);
            "a wrong custom header"
        }
        3 => {
            call.set("authorization", wrong);
            "a wrong authorization"
        }
        4 => {
            call = call.with_body(|body| body["accessToken"] = json!(wrong));
            "a wrong token in the body"
        }
        _ => {
            call.set("authorization", &wrong);
            call = call.with_body(|body| body["accessToken"] = json!(wrong));
            "the same wrong token twice"
        }
    };
    (kind, call)
}

/// The event that starts the sweep, but sent through the gateway.
fn tick(random: &mut Rng, doors: &Doors, world: &World) -> Call {
    let tick = schedule(world.now());
    let path = ["/livechat", "/botcopy", "/botpress/wrong", "/", ""][random.usize(..5)];
    let side = if random.bool() { Side::Webhooks } else { Side::Actions };
    let mut call = Call::post(side, path, Vec::new(), &tick);
    if random.bool() {
        call = call.with_body(|body| body["secret_key"] = json!(spoiled(random, &doors.webhook_secret, &[])));
    }
    call
}

/// Genuine credentials, at addresses or with methods that do not exist.
fn elsewhere(random: &mut Rng, doors: &Doors, world: &World) -> Call {
    let calls = genuine(doors, world);
    let mut call = calls[random.usize(..calls.len())].clone();
    match random.u8(0..4) {
        0 => call.method = ["GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"][random.usize(..6)],
        1 => call.path = format!("{}/more", call.path),
        2 => call.path = call.path.to_uppercase(),
        _ => call.path = ["", "/", "//", "/health", "/sweep", "/..", "/%2e%2e/x"][random.usize(..7)].to_owned(),
    }
    call
}

/// Each secret in the place of another one.
fn exchanged(random: &mut Rng, doors: &Doors, world: &World) -> Call {
    let secrets = doors.secrets();
    let other = |random: &mut Rng, own: &str| loop {
        let other = secrets[random.usize(..secrets.len())];
        if other != own {
            break other.to_owned();
        }
    };
    match random.u8(0..3) {
        0 => {
            let mut call = doors.botpress(world, "action_triggered", &create_user());
            call.path = format!("/botpress/{}", other(random, &doors.path_key));
            call
        }
        1 => {
            let secret = other(random, &doors.webhook_secret);
            let call = doors.livechat("incoming_event", &json!({}));
            call.with_body(|body| body["secret_key"] = json!(secret))
        }
        _ => {
            let secret = other(random, &doors.access_token);
            let mut call = doors.botcopy(&doors.step_two);
            call.set("authorization", &secret);
            call.with_body(|body| body["accessToken"] = json!(secret))
        }
    }
}

/// A key in a path is a separate segment.
fn spoiled_key(random: &mut Rng, doors: &Doors) -> String {
    loop {
        let key = spoiled(random, &doors.path_key, &doors.secrets());
        if key.trim_matches('/') != doors.path_key {
            return key;
        }
    }
}

/// Something similar to `secret`, but different.
fn spoiled(random: &mut Rng, secret: &str, others: &[&str]) -> String {
    loop {
        let spoiled = spoil(random, secret, others);
        if spoiled != secret {
            return spoiled;
        }
    }
}

fn spoil(random: &mut Rng, secret: &str, others: &[&str]) -> String {
    let chars: Vec<char> = secret.chars().collect();
    let place = random.usize(..chars.len().max(1));
    let replaced = |by: &str| {
        let (before, after) = (chars[..place].iter(), chars[(place + 1).min(chars.len())..].iter());
        before.collect::<String>() + by + &after.collect::<String>()
    };
    match random.u8(0..26) {
        0 => String::new(),
        1 => chars[..place].iter().collect(),
        2 => chars[place..].iter().collect(),
        3 => replaced(""),
        4 => replaced(&random.alphanumeric().to_string()),
        5 => format!("{secret}{}", random.alphanumeric()),
        6 => format!("{}{secret}", random.alphanumeric()),
        7 => secret.repeat(2),
        8 => format!("{secret}{}", [" ", "\n", "\t", "\0", "%00", "\u{200b}", "\u{feff}"][random.usize(..7)]),
        9 => format!(" {secret}"),
        10 => secret.to_uppercase(),
        11 => secret.chars().rev().collect(),
        12 => replaced(&lookalike(chars.get(place).copied().unwrap_or('a')).to_string()),
        13 => chars.iter().map(|char| lookalike(*char)).collect(),
        14 => STANDARD.encode(secret),
        15 => URL_SAFE_NO_PAD.encode(secret),
        16 => secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
        17 => secret.bytes().map(|byte| format!("%{byte:02X}")).collect(),
        18 => secret.bytes().map(|byte| format!("&#{byte};")).collect(),
        19 => format!("\"{secret}\""),
        20 => format!("Bearer {secret}"),
        21 => ["null", "undefined", "true", "0", "*", "%", ".*", "' OR '1'='1", "${secret}", "[object Object]"]
            [random.usize(..10)]
        .to_owned(),
        22 => random.choice(others).map_or_else(String::new, |other| (*other).to_owned()),
        23 => "x".repeat(random.usize(1..100_000)),
        24 => (0..chars.len()).map(|_| random.alphanumeric()).collect(),
        _ => {
            let other = random.usize(..chars.len().max(1));
            let mut chars = chars.clone();
            if !chars.is_empty() {
                chars.swap(place, other);
            }
            chars.into_iter().collect()
        }
    }
}

/// A different character that looks the same.
fn lookalike(char: char) -> char {
    match char {
        'a' => 'а',
        'c' => 'с',
        'e' => 'е',
        'o' => 'о',
        'p' => 'р',
        'x' => 'х',
        'y' => 'у',
        's' => 'ѕ',
        'i' => 'і',
        '-' => '‐',
        '!'..='~' => char::from_u32(u32::from(char) + 0xFEE0).unwrap_or('?'),
        other => other,
    }
}
