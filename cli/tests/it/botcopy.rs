//! Botcopy bots: their keys checked, their sessions shown, ended and erased.

use std::time::Duration;

use sandbox::faults::Fault;
use serde_json::{Value, json};
use tests::{ANNA, SECRET_ID, World, text};

use crate::doctor::{assert_found, change, healthy};
use crate::operator::Operator;

const TOKEN: &str = "Botcopy access token";
const KEY: &str = "Botcopy API key";

/// A world with both platforms' keys, in which everything is in order.
async fn with_botcopy() -> World {
    let world = World::in_process().await;
    Operator::new(&world).does(&["connect", "livechat"]).await;
    world.sweep().await;
    world
}

/// Returns the doctor's checks of Botcopy: name, verdict and words of each.
async fn said_of_botcopy(operator: &mut Operator<'_>) -> Vec<(String, String, String)> {
    let report = operator.run(&["doctor", "--json"]).await.json();
    let checks = report["checks"].as_array().unwrap().iter();
    let parts = |one: &Value| ["name", "verdict", "says"].map(|key| one[key].as_str().unwrap().to_owned());
    checks.map(parts).filter(|[name, ..]| name.contains("Botcopy")).map(Into::into).collect()
}

/// Returns the only session in the table.
fn session(world: &World) -> Value {
    world.items("session").remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_right_are_found_right_and_none_are_asked_for_without_botcopy() {
    let world = with_botcopy().await;
    let mut operator = Operator::new(&world);
    let ok = |name: &str, says: &str| (name.to_owned(), "ok".to_owned(), says.to_owned());
    let token = ok(TOKEN, "a call with the stored token is accepted");
    let before = [token.clone(), ok(KEY, "accepted for a bot that does not exist")];
    assert_eq!(said_of_botcopy(&mut operator).await, before);
    operator.does(&["doctor"]).await;

    let user = world.handed_over_user().await;
    let (screen, effects) = (world.stack.botcopy.screen(&user), world.stack.journal.len());
    let bot = &world.stack.botcopy.options().bot_id;
    assert_eq!(said_of_botcopy(&mut operator).await, [token, ok(KEY, &format!("accepted for bot {bot}"))]);
    assert_eq!(world.stack.botcopy.screen(&user), screen, "the user notices nothing");
    assert!(world.stack.botcopy.is_paused(&user));
    let changes: Vec<_> = world.stack.journal.since(effects).into_iter().map(|entry| entry.effect).collect();
    let harmless = ["call_answered", "token_issued", "operation_called"];
    assert!(changes.iter().all(|effect| harmless.contains(effect)), "{changes:?}");

    let without = healthy().await;
    assert_eq!(said_of_botcopy(&mut Operator::new(&without)).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_api_key_is_named_and_replaced() {
    let world = with_botcopy().await;
    let right = world.stack.botcopy.options().api_key.clone();
    let mut operator = Operator::new(&world).with("BOTCOPY_API_KEY", &right).asked("BOTCOPY_ACCESS_TOKEN", "");
    change(&world, "botcopyApiKey", json!("wrong"));
    assert_found(&mut operator, KEY, "refuses the key for a bot that does not exist", "first handoff").await;
    change(&world, "botcopyApiKey", json!(right));
    world.advance(Duration::from_secs(301));
    world.handed_over_user().await;
    change(&world, "botcopyApiKey", json!("wrong"));
    let bot = format!("refuses the key for bot {}", world.stack.botcopy.options().bot_id);
    assert_found(&mut operator, KEY, &bot, "hitl connect botcopy").await;
    operator.does(&["connect", "botcopy"]).await;
    world.sweep().await;
    operator.does(&["doctor"]).await;

    world.stack.botcopy.faults().always("push", Fault::answer(503, ""));
    assert_found(&mut operator, KEY, "503", "Try again").await;
}

/// As `cargo run -- serve --unconnected` and `hitl --sandbox … connect botcopy`.
#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_stack_is_connected_to_botcopy_alone_and_used() {
    let world = World::unconnected().await;
    Operator::new(&world).does(&["connect", "livechat"]).await;
    let connected = Operator::new(&world).does(&["connect", "botcopy", "--json"]).await.json();
    let options = world.stack.botcopy.options();
    assert_eq!(connected["api_key_accepted_for"], options.bot_id.as_str());
    assert_eq!(connected["custom_header"], "X-Sandbox");
    assert_eq!(connected["secret_changed"], true);
    let stored = world.stack.secrets_manager.current(SECRET_ID).unwrap();
    assert_eq!(
        stored["botcopyHeader"],
        json!({"name": "X-Sandbox", "value": options.custom_header.as_ref().unwrap().1})
    );
    world.sweep().await;
    let ok = |name: &str, says: &str| (name.to_owned(), "ok".to_owned(), says.to_owned());
    let expected = [
        ok(TOKEN, "a call with the stored token is accepted"),
        ok(KEY, &format!("accepted for bot {}", options.bot_id)),
    ];
    assert_eq!(said_of_botcopy(&mut Operator::new(&world)).await, expected, "before any session has told of the bot");
    let user = world.handed_over_user().await;
    world.answers(ANNA, "hello").await;
    assert_eq!(world.widget_shows(&user, "agent"), ["hello"]);
    let again = Operator::new(&world).does(&["connect", "botcopy", "--json"]).await.json();
    assert_eq!(again["secret_changed"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_the_portal_s_is_named_by_the_calls_that_were_turned_away() {
    let world = World::unconnected().await;
    Operator::new(&world).does(&["connect", "livechat"]).await;
    let mut mistaken = Operator::new(&world).with("BOTCOPY_ACCESS_TOKEN", "not-the-portal-s");
    mistaken.does(&["connect", "botcopy"]).await;
    world.sweep().await;
    let mut operator = Operator::new(&world);
    operator.does(&["doctor"]).await;
    let user = world.stack.botcopy.new_user();
    world.widget_says(&user, tests::ASK).await;
    assert!(!world.stack.botcopy.is_paused(&user));
    assert_found(&mut operator, "Botcopy calls", "1 call turned away since 2026-05-11T09:41", "hitl connect botcopy")
        .await;
    // A call in another bot's name leaves no trace, nor does a call with two tokens.
    let before = world.items("door");
    world.advance(Duration::from_secs(1_200));
    for (change, header) in [(json!({"botId": "another"}), None), (json!({}), Some("a second token"))] {
        let mut body = world.stack.botcopy.step_two_body(&user, "x").unwrap();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let headers: Vec<_> = header.map(|header| ("authorization", Some(header))).into_iter().collect();
        assert_eq!(world.call_botcopy(&body, &headers).await.status, 401);
    }
    assert_eq!(world.items("door"), before);
    operator.does(&["connect", "botcopy"]).await;
    world.advance(Duration::from_secs(301));
    world.handed_over_user().await;
    world.sweep().await;
    operator.does(&["doctor"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_cannot_work_are_not_stored() {
    let world = World::unconnected().await;
    Operator::new(&world).does(&["connect", "livechat"]).await;
    let before = world.stack.secrets_manager.current(SECRET_ID);
    let (key, token) = (&world.stack.botcopy.options().api_key, &world.stack.botcopy.options().access_token);
    for (variable, value, status, says) in [
        ("BOTCOPY_API_KEY", "wrong", 1, "Botcopy refuses the API key"),
        ("BOTCOPY_API_KEY", token.as_str(), 2, "are the same"),
        ("BOTCOPY_ACCESS_TOKEN", key.as_str(), 2, "are the same"),
        ("BOTCOPY_HEADER_NAME", "X Shop", 2, "is not a valid header name"),
    ] {
        let ran = Operator::new(&world).with(variable, value).run(&["connect", "botcopy"]).await;
        assert_eq!(ran.status, status, "{variable}={value}: {}{}", ran.out, ran.progress);
        assert!(ran.progress.contains(says), "{variable}={value}: {}", ran.progress);
    }
    let ran = Operator::new(&world)
        .with("BOTCOPY_API_KEY", "wrong")
        .with("BOTCOPY_BOT_ID", "")
        .run(&["connect", "botcopy"])
        .await;
    assert!(ran.progress.contains("--bot"), "{}", ran.progress);
    world.stack.botcopy.faults().always("push", Fault::answer(503, ""));
    let ran = Operator::new(&world).run(&["connect", "botcopy"]).await;
    assert_eq!((ran.status, ran.progress.contains("could not be called")), (2, true), "{}", ran.progress);
    assert_eq!(world.stack.secrets_manager.current(SECRET_ID), before);
    let seen = world.stack.journal.all("shown_to_user");
    assert!(seen.is_empty(), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_or_header_that_the_function_does_not_know_is_named() {
    let world = with_botcopy().await;
    let mine = world.stack.secrets_manager.current(SECRET_ID).unwrap();
    let with = |key: &str, value: Value| {
        let mut secret = mine.clone();
        secret[key] = value;
        world.stack.secrets_manager.put("other", secret)
    };
    for (key, value) in [
        ("botcopyAccessToken", json!("another")),
        ("botcopyHeader", json!({"name": "x-another", "value": "v"})),
        ("botcopyHeader", json!({"name": "X-Sandbox", "value": "another"})),
    ] {
        let mut operator = Operator::new(&world).with("SECRET_ID", &with(key, value));
        assert_found(&mut operator, TOKEN, "turned away", "SECRET_ID").await;
    }
    let without = healthy().await;
    let other = without.stack.secrets_manager.put("other", mine.clone());
    let mut operator = Operator::new(&without).with("SECRET_ID", &other);
    assert_found(&mut operator, TOKEN, "has no keys for a Botcopy bot", "SECRET_ID").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_of_botcopy_s_keys_and_half_a_header_are_findings() {
    let world = with_botcopy().await;
    let mut operator = Operator::new(&world);
    change(&world, "botcopyHeader", json!({"name": "", "value": "v"}));
    assert_found(&mut operator, "secret", "botcopyHeader", "custom header").await;
    change(&world, "botcopyHeader", Value::Null);
    change(&world, "botcopyAccessToken", Value::Null);
    assert_found(&mut operator, "secret", "belong together", "hitl connect botcopy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_botcopy_session_is_listed_and_its_life_found_by_any_of_its_ids() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    world.widget_says(&user, "canary-of-the-user").await;
    let long = "canary ".repeat(3_000);
    world.widget_says(&user, &long).await;
    let (chat_id, thread_id) = world.chat_and_thread();
    world.answers(ANNA, "canary-of-the-agent").await;
    let session = session(&world);
    let trails = world.items("trail");
    let said = |part: &str| {
        let ids = trails.iter().map(|trail| text(trail, "source_id")).filter(|id| id.starts_with("said:"));
        ids.map(str::to_owned).find(|id| id.ends_with(part) && (!part.is_empty() || !id.contains('#'))).unwrap()
    };
    let event = trails.iter().map(|trail| text(trail, "source_id")).find_map(|id| id.strip_prefix("event:")).unwrap();

    let mut operator = Operator::new(&world);
    let listed = operator.does(&["sessions", "--json"]).await.json();
    assert_eq!(listed["sessions"][0]["bot_id"], world.stack.botcopy.options().bot_id.as_str());
    assert_eq!(listed["sessions"][0]["user_id"], session["user_id"]);
    let (single, part) = (said(""), said("#01"));
    let whole = part.strip_suffix("#01").unwrap();
    for (id, marks) in [
        (text(&session, "session_id"), 0),
        (text(&session, "user_id"), 0),
        (user.as_str(), 0),
        (chat_id.as_str(), 0),
        (thread_id.as_str(), 0),
        (single.as_str(), 1),
        (part.as_str(), 1),
        (whole, 2),
        (event, 1),
    ] {
        let ran = operator.does(&["trace", id, "--json"]).await;
        let trace = ran.json();
        let [life] = trace["sessions"].as_array().unwrap().as_slice() else { panic!("{id}: {trace}") };
        assert_eq!(life["session_id"], session["session_id"], "{id}");
        let asked = life["steps"].as_array().unwrap().iter().filter(|step| step["asked"] == true);
        let asked: Vec<_> = asked.map(|step| &step["outcome"]).collect();
        assert_eq!(asked, vec!["delivered"; marks], "{id}: {trace}");
        assert!(!ran.out.contains("canary"), "{}", ran.out);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_botcopy_session_is_closed_for_both_sides() {
    let world = World::in_process_with(&[("BOTCOPY_RESUME_EVENT", "welcome_back")]).await;
    let user = world.handed_over_user().await;
    world.answers(ANNA, "hello").await;
    let session = session(&world);
    let mut operator = Operator::new(&world);
    let id = text(&session, "session_id");
    assert_eq!(operator.does(&["close", id, "--json", "--yes"]).await.json()["result"], "closed");
    world.settle().await;
    assert!(world.stack.livechat.open_chats().is_empty());
    assert!(!world.stack.botcopy.is_paused(&user), "the bot has resumed");
    assert_eq!(world.entries("dialogflow_called", "/event", "welcome_back").len(), 1, "as the stack is configured");
    assert_eq!(operator.does(&["close", id, "--json", "--yes"]).await.json()["result"], "was_over");

    let shown = world.widget_shows(&user, "agent").len();
    world.widget_says(&user, tests::ASK).await;
    assert!(world.stack.botcopy.is_paused(&user), "the user is free to start another");
    world.answers(ANNA, "hello again").await;
    assert_eq!(world.widget_shows(&user, "agent").len(), shown + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_that_botcopy_cannot_be_told_of_goes_on_by_itself() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    world.stack.botcopy.faults().always("push", Fault::answer(503, ""));
    let session = session(&world);
    let closing = Operator::new(&world).does(&["close", text(&session, "session_id"), "--json", "--yes"]).await.json();
    assert_eq!(closing["result"], "closing");
    assert!(world.stack.botcopy.is_paused(&user));
    world.stack.botcopy.faults().clear();
    world.catch_up().await;
    assert!(!world.stack.botcopy.is_paused(&user) && world.stack.livechat.open_chats().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn erasing_a_botcopy_user_leaves_nothing_of_them_and_everything_of_others() {
    let world = World::in_process().await;
    let other = world.handed_over_user().await;
    world.widget_says(&other, "hello from the other").await;
    let kept = |world: &World| -> Vec<Value> {
        let items = world.stack.table.items().unwrap();
        items.into_iter().filter(|item| text(item, "pk") != "GATES" && text(item, "pk") != "SWEEP").collect()
    };
    let others = |world: &World| -> Vec<Value> {
        kept(world).into_iter().filter(|item| format!("{item}").contains(&other)).collect()
    };
    let before = others(&world);
    assert!(!before.is_empty());

    let user = world.handed_over_user().await;
    world.widget_says(&user, "one").await;
    world.stack.livechat.faults().always("customer/action/send_event", Fault::answer(503, ""));
    world.widget_says(&user, "canary-waiting").await;
    world.stack.livechat.faults().clear();
    world.advance(Duration::from_secs(1));
    let everything = format!("{:?}", kept(&world));
    assert!(everything.contains(&user) && everything.contains("canary-waiting"), "there is something to erase");
    let session = world.items("session").into_iter().find(|one| one.to_string().contains(&user)).unwrap();
    let id = text(&session, "user_id");
    let person = world.items("user").into_iter().find(|one| text(one, "user_id") == id).unwrap();

    let mut operator = Operator::new(&world);
    let erased = operator.does(&["erase", id, "--json", "--yes"]).await.json();
    assert_eq!(erased["kept"], json!([]));
    assert_eq!((&erased["removed"]["session"], &erased["removed"]["user"]), (&json!(1), &json!(1)), "{erased}");
    assert_eq!(erased["removed"]["heard"], 1, "what was said, too: {erased}");
    let held = erased["held_by_vendors"].to_string();
    assert!(held.contains(&format!("Botcopy user {id}")) && held.contains(text(&person, "chat_id")), "{held}");
    assert!(!held.contains("Botpress"), "{held}");
    world.settle().await;
    let everything = format!("{:?}", kept(&world));
    let token = person["customer"]["access_token"].as_str().unwrap();
    for gone in [user.as_str(), "canary", text(&session, "session_id"), text(&person, "chat_id"), token] {
        assert!(!everything.contains(gone), "{gone}");
    }
    assert_eq!(others(&world), before);
    assert!(!world.stack.botcopy.is_paused(&user), "the open session was ended first");
    assert_eq!(world.stack.livechat.open_chats().len(), 1, "and its chat; the other's goes on");

    let again = operator.run(&["erase", id, "--yes"]).await;
    assert_eq!((again.status, again.progress.contains("there is no user")), (1, true), "{}", again.progress);
    world.widget_says(&user, tests::ASK).await;
    assert!(world.stack.botcopy.is_paused(&user), "the user may come back, as somebody new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_bot_gets_keys_of_its_own_and_the_first_keeps_the_others() {
    let world = with_botcopy().await;
    let mut secret = world.stack.secrets_manager.current(SECRET_ID).unwrap();
    let before = secret.clone();
    // The keys of all bots belong to another bot.
    secret["botcopyApiKey"] = json!("the key of all others");
    secret["botcopyAccessToken"] = json!("the token of all others");
    world.stack.secrets_manager.put(SECRET_ID, secret.clone());
    let options = world.stack.botcopy.options();
    let connect = ["connect", "botcopy", "--bot", &options.bot_id, "--own-keys", "--json"];
    let connected = Operator::new(&world).does(&connect).await.json();
    assert_eq!((&connected["has_own_keys"], &connected["secret_changed"]), (&true.into(), &true.into()));
    let stored = world.stack.secrets_manager.current(SECRET_ID).unwrap();
    for key in ["botcopyApiKey", "botcopyAccessToken", "botcopyHeader"] {
        assert_eq!(stored[key], secret[key], "{key} is of all others");
    }
    let own = &stored["botcopyBots"][options.bot_id.as_str()];
    assert_eq!((&own["apiKey"], &own["accessToken"]), (&before["botcopyApiKey"], &before["botcopyAccessToken"]));
    world.advance(Duration::from_secs(301));
    let user = world.handed_over_user().await;
    world.answers(ANNA, "hello").await;
    assert_eq!(world.widget_shows(&user, "agent"), ["hello"]);
    let said = said_of_botcopy(&mut Operator::new(&world)).await;
    let of_bot = format!("a call with the stored token of bot {} is accepted", options.bot_id);
    assert!(said.iter().any(|(_, verdict, says)| verdict == "ok" && *says == of_bot), "{said:?}");
    assert!(
        said.iter().any(|(name, verdict, says)| name == KEY && verdict == "ok" && says.contains(&options.bot_id)),
        "{said:?}"
    );
    let again = Operator::new(&world).does(&connect[..4]).await;
    assert!(again.out.contains("unchanged for this bot alone"), "{}", again.out);
}
