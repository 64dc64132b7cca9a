//! Only Botcopy is let in at `/botcopy`.

use serde_json::{Value, json};
use tests::{ANNA, SECRET_ID, World};

async fn status(world: &World, body: &Value, headers: &[(&str, Option<&str>)]) -> u16 {
    world.call_botcopy(body, headers).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn header_body_and_custom_header_all_have_to_fit() {
    let world = World::start().await;
    let user = world.widget_user().await;
    let body = world.stack.botcopy.step_two_body(&user, "hi").unwrap();
    assert_eq!(status(&world, &body, &[]).await, 200);
    let token = world.stack.botcopy.options().access_token.clone();
    let bearer = format!("Bearer {token}");
    for headers in [
        [("authorization", None)],
        [("authorization", Some(""))],
        [("authorization", Some("wrong"))],
        [("authorization", Some(bearer.as_str()))],
        [("x-sandbox", None)],
        [("x-sandbox", Some("wrong"))],
    ] {
        assert_eq!(status(&world, &body, &headers).await, 401, "{headers:?}");
    }
    let mut wrong = body.clone();
    wrong["accessToken"] = json!("wrong");
    assert_eq!(status(&world, &wrong, &[]).await, 401);
    assert_eq!(status(&world, &wrong, &[("authorization", Some("wrong"))]).await, 401, "equal is not enough");
    for malformed in [json!({}), json!([]), json!({"accessToken": token, "userId": ["u"], "botId": "b"})] {
        assert_eq!(status(&world, &malformed, &[]).await, 400, "{malformed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_unauthentic_leaves_a_trace() {
    let world = World::in_process().await;
    let user = world.widget_user().await;
    let body = world.stack.botcopy.step_one_body(&user, "a human please").unwrap();
    let before = world.stack.table.items().unwrap().len();
    assert_eq!(status(&world, &body, &[("authorization", Some("wrong"))]).await, 401);
    assert_eq!(world.stack.table.items().unwrap().len(), before);
    assert_eq!(world.count("chat_started"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_without_botcopy_has_no_such_address() {
    let world = World::in_process().await;
    let mut secret = world.stack.secret();
    for key in ["botcopyApiKey", "botcopyAccessToken", "botcopyHeader"] {
        secret.as_object_mut().unwrap().remove(key);
    }
    world.stack.secrets_manager.put(SECRET_ID, secret);
    world.advance(std::time::Duration::from_secs(600));
    let user = world.stack.botcopy.new_user();
    let body = world.stack.botcopy.step_two_body(&user, "hi").unwrap();
    assert_eq!(status(&world, &body, &[]).await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_just_been_replaced_is_still_good() {
    let world = World::in_process().await;
    let user = world.widget_user().await;
    let body = world.stack.botcopy.step_two_body(&user, "hi").unwrap();
    let mut secret = world.stack.secret();
    secret["botcopyAccessToken"] = json!("the new one");
    world.stack.secrets_manager.rotate(SECRET_ID, secret);
    world.advance(std::time::Duration::from_secs(240));
    assert_eq!(status(&world, &body, &[]).await, 200);
    let mut new = body.clone();
    new["accessToken"] = json!("the new one");
    assert_eq!(status(&world, &new, &[("authorization", Some("the new one"))]).await, 200);
    world.advance(std::time::Duration::from_secs(60));
    assert_eq!(status(&world, &body, &[]).await, 401, "the overlap is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_with_keys_of_its_own_is_let_in_and_answered_with_them_alone() {
    let world = World::in_process().await;
    let mut secret = world.stack.secret();
    let (header, token) = (secret["botcopyHeader"].clone(), secret["botcopyAccessToken"].clone());
    let own = json!({ "apiKey": secret["botcopyApiKey"], "accessToken": token, "header": header });
    secret["botcopyBots"] = json!({ world.stack.botcopy.options().bot_id.as_str(): own });
    secret["botcopyApiKey"] = json!("the key of all others");
    secret["botcopyAccessToken"] = json!("the token of all others");
    world.stack.secrets_manager.put(SECRET_ID, secret);
    world.advance(std::time::Duration::from_secs(301));

    let user = world.handed_over_user().await;
    world.answers(ANNA, "hello").await;
    assert_eq!(world.widget_shows(&user, "agent"), ["hello"], "its API key opens its widgets");
    let own_call = world.stack.botcopy.step_two_body(&user, "hi").unwrap();
    let with_token = |token: &str, bot: &str| {
        let mut body = own_call.clone();
        body["accessToken"] = json!(token);
        body["botId"] = json!(bot);
        body
    };
    let (own_bot, own_token) = (own_call["botId"].as_str().unwrap(), token.as_str().unwrap());
    for (bot, token, expected) in [
        (own_bot, own_token, 200),
        (own_bot, "the token of all others", 401),
        ("another", "the token of all others", 200),
        ("another", own_token, 401),
    ] {
        let body = with_token(token, bot);
        assert_eq!(status(&world, &body, &[("authorization", Some(token))]).await, expected, "{bot} with {token}");
    }
}
