use super::*;

#[tokio::test]
async fn the_cookie_grant_makes_a_customer_and_sets_both_cookies() {
    let world = World::new().await;
    let response = world.token(&world.cookie_grant(), &[]).await;
    let cookies: Vec<_> =
        response.headers().get_all("set-cookie").iter().map(|value| value.to_str().unwrap().to_owned()).collect();
    let body = Answer::read(response).await.ok();
    assert_eq!(cookies.len(), 2);
    assert!(cookies[0].starts_with(&format!("__lc_cid={};", body["entity_id"].as_str().unwrap())));
    for cookie in cookies {
        let attributes = "Path=/v2/customer; Domain=accounts.livechat.com; Max-Age=63072000; HttpOnly; Secure; \
                          SameSite=None";
        assert!(cookie.ends_with(attributes), "{cookie}");
    }
    assert_eq!((&body["expires_in"], &body["token_type"]), (&json!(28_800), &json!("Bearer")));
    assert!(body["access_token"].as_str().unwrap().starts_with("dal:"));
    assert_eq!(world.last("token_issued").detail["renewed"], false);
}

#[tokio::test]
async fn cookies_bring_back_the_same_customer_and_wrong_ones_a_new_customer() {
    let world = World::new().await;
    let first = world.identity().await;
    let again = world.renewed(&first).await;
    assert_eq!((&again.id, &again.cookies), (&first.id, &first.cookies));
    assert_ne!(again.token, first.token);
    assert_eq!(world.last("token_issued").detail["renewed"], true);

    let forged = Identity { cookies: format!("__lc_cid={}; __lc_cst=wrong", first.id), ..first.clone() };
    assert_ne!(world.renewed(&forged).await.id, first.id);
    assert_ne!(world.identity().await.id, first.id);
}

#[tokio::test]
async fn a_rotated_cookie_secret_replaces_the_old_one() {
    let world = World::with(Behaviour { rotate_cookie_secret: true, ..Behaviour::default() }).await;
    let first = world.identity().await;
    let second = world.renewed(&first).await;
    assert_eq!(second.id, first.id);
    assert_ne!(second.cookies, first.cookies);
    assert_ne!(world.renewed(&first).await.id, first.id);
    assert_eq!(world.renewed(&second).await.id, first.id);
}

#[tokio::test]
async fn malformed_token_calls_are_refused_in_the_flat_shape() {
    let world = World::new().await;
    let cases = [
        ("grant_type", Value::Null, 400, "invalid_request"),
        ("grant_type", json!("password"), 400, "unsupported_grant_type"),
        ("client_id", Value::Null, 400, "invalid_request"),
        ("client_id", json!("unknown"), 401, "unauthorized_client"),
        ("organization_id", Value::Null, 400, "invalid_request"),
        ("organization_id", json!("unknown"), 401, "access_denied"),
        ("redirect_uri", Value::Null, 400, "invalid_request"),
        ("redirect_uri", json!("https://elsewhere.example.com"), 401, "unauthorized_client"),
        ("entity_id", json!("b7eff798-f8df-4364-8059-649c35c9ed0c"), 400, "invalid_request"),
        ("expires_in", json!(0), 400, "invalid_request"),
    ];
    for (field, value, status, code) in cases {
        let mut body = world.cookie_grant();
        body[field] = value.clone();
        let answer = Answer::read(world.token(&body, &[]).await).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["oauth_exception"]),
            (status, &json!(code)),
            "{field} {value}"
        );
        assert!(answer.body["exception_description"].is_string());
    }
    assert!(world.journal.all("token_issued").is_empty());
}

#[tokio::test]
async fn an_origin_header_stands_in_for_the_redirect_uri() {
    let world = World::new().await;
    let mut body = world.cookie_grant();
    body.as_object_mut().unwrap().remove("redirect_uri");
    let own = Answer::read(world.token(&body, &[("origin", "https://handoff.example.com")]).await).await;
    let foreign = Answer::read(world.token(&body, &[("origin", "https://elsewhere.example.com")]).await).await;
    assert_eq!((own.status.as_u16(), foreign.status.as_u16()), (200, 401));
}

#[tokio::test]
async fn a_form_is_as_good_as_json() {
    let world = World::new().await;
    let body = world.cookie_grant();
    let pairs = body.as_object().unwrap().iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap()));
    let request = world.http.post(format!("{}/v2/customer/token", world.simulator.url()));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let answer = request.body(pairs.collect::<Vec<_>>().join("&")).send().await.unwrap();
    assert!(Answer::read(answer).await.ok()["entity_id"].is_string());
}

#[tokio::test]
async fn a_token_lives_as_long_as_it_says_and_info_tells_what_is_left() {
    let world = World::new().await;
    let mut body = world.cookie_grant();
    body["expires_in"] = json!(60);
    let short = world.identity_from(world.token(&body, &[]).await).await;
    world.clock.advance(Duration::from_secs(45));
    let info = |token: String| world.http.get(format!("{}/v2/customer/info", world.simulator.url())).bearer_auth(token);
    let answer = Answer::read(info(short.token.clone()).send().await.unwrap()).await.ok();
    assert_eq!((&answer["expires_in"], &answer["entity_id"]), (&json!(15), &json!(short.id)));
    world.clock.advance(Duration::from_secs(15));
    assert_eq!(Answer::read(info(short.token.clone()).send().await.unwrap()).await.status, 401);
    world.customer(&short, "list_chats", json!({})).await.refused(401, "authentication");
}

#[tokio::test]
async fn a_default_token_expires_after_eight_hours_and_tokens_can_be_made_to_expire() {
    let world = World::new().await;
    let identity = world.identity().await;
    world.clock.advance(Duration::from_secs(28_799));
    world.customer(&identity, "list_chats", json!({})).await.ok();
    world.clock.advance(Duration::from_secs(1));
    world.customer(&identity, "list_chats", json!({})).await.refused(401, "authentication");

    let renewed = world.renewed(&identity).await;
    world.customer(&renewed, "list_chats", json!({})).await.ok();
    world.simulator.expire_customer_tokens();
    world.customer(&renewed, "list_chats", json!({})).await.refused(401, "authentication");
}

#[tokio::test]
async fn a_revoked_token_is_dead() {
    let world = World::new().await;
    let identity = world.identity().await;
    let url = format!("{}/v2/customer/token", world.simulator.url());
    let answer = world.http.delete(&url).bearer_auth(&identity.token).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "");
    world.customer(&identity, "list_chats", json!({})).await.refused(401, "authentication");
}

#[tokio::test]
async fn the_agent_token_grant_needs_an_oauth_token_and_an_entity_that_exists() {
    let world = World::new().await;
    let account = world.simulator.account();
    let oauth = format!("Bearer {}", account.oauth_token);
    let personal = format!("Basic {}", account.agent_token);
    let body = json!({"grant_type": "agent_token", "client_id": account.client_id});
    let created = Answer::read(world.token(&body, &[("authorization", &oauth)]).await).await.ok();
    let mut known = body.clone();
    known["entity_id"] = created["entity_id"].clone();
    let again = Answer::read(world.token(&known, &[("authorization", &oauth)]).await).await.ok();
    assert_eq!(again["entity_id"], created["entity_id"]);
    known["entity_id"] = json!("b7eff798-f8df-4364-8059-649c35c9ed0c");
    assert_eq!(Answer::read(world.token(&known, &[("authorization", &oauth)]).await).await.status, 400);
    assert_eq!(Answer::read(world.token(&body, &[("authorization", &personal)]).await).await.status, 401);
}

#[tokio::test]
async fn an_identity_can_be_transferred_once() {
    let world = World::new().await;
    let identity = world.identity().await;
    let client_id = &world.simulator.account().client_id;
    let request = world.http.post(format!("{}/v2/customer/identity_transfer", world.simulator.url()));
    let request = request.bearer_auth(&identity.token).json(&json!({
        "bearer_type": "customer", "client_id": client_id,
    }));
    let code = Answer::read(request.send().await.unwrap()).await.ok()["identity_transfer_token"].clone();
    let body = json!({"grant_type": "identity_token", "client_id": client_id, "code": code});
    let transferred = Answer::read(world.token(&body, &[]).await).await.ok();
    assert_eq!(transferred["entity_id"], identity.id);
    let again = Answer::read(world.token(&body, &[]).await).await;
    assert_eq!(again.body["oauth_exception"], "invalid_grant");
}
