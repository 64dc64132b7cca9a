use super::*;

#[tokio::test]
async fn agent_and_configuration_calls_need_the_agent_token() {
    let world = World::new().await;
    let url = format!("{}/v3.6/agent/action/list_chats", world.simulator.url());
    let anonymous = world.http.post(&url).json(&json!({})).send().await.unwrap();
    Answer::read(anonymous).await.refused(401, "authentication");
    world.agent("list_chats", json!({})).await.ok();
    world.simulator.set_agent_token_valid(false);
    world.agent("list_chats", json!({})).await.refused(401, "authentication");
    world.configuration("list_groups", json!({})).await.refused(401, "authentication");
    world.simulator.set_agent_token_valid(true);
    world.agent("list_chats", json!({})).await.ok();
}

#[tokio::test]
async fn an_agent_call_from_outside_the_chat_needs_to_say_so() {
    let world = World::new().await;
    let (_, chat_id) = world.chat().await;
    let event = json!({"chat_id": chat_id, "event": {"type": "message", "text": "hi"}});
    let message = world.agent("send_event", event.clone()).await.refused(403, "authorization");
    assert_eq!(message, "Requester is not user of the chat");
    world.agent("deactivate_chat", json!({"id": chat_id})).await.refused(403, "authorization");
    world.agent("transfer_chat", json!({"id": chat_id})).await.refused(403, "authorization");
    let join = json!({"chat_id": chat_id, "user_id": CLARA, "user_type": "agent", "visibility": "agents"});
    world.agent("add_user_to_chat", join.clone()).await.refused(403, "authorization");

    let mut join = join;
    join["ignore_requester_presence"] = json!(true);
    world.agent("add_user_to_chat", join).await.ok();
    world.agent("send_event", event).await.refused(422, "validation");
    let note = json!({"chat_id": chat_id, "event": {"type": "message", "text": "hi", "visibility": "agents"}});
    world.agent("send_event", note).await.ok();
    let by_chat_id = json!({"chat_id": chat_id, "ignore_requester_presence": true});
    assert_eq!(world.agent("deactivate_chat", by_chat_id).await.refused(422, "validation"), "`id` is required");
    world.agent("deactivate_chat", json!({"id": chat_id})).await.ok();
    assert_eq!(world.last("chat_deactivated").text("/by"), CLARA);
}

#[tokio::test]
async fn a_chat_has_one_public_agent() {
    let world = World::new().await;
    let (_, chat_id) = world.chat().await;
    let add = |visibility: &str| {
        json!({
            "chat_id": chat_id, "user_id": BEN, "user_type": "agent", "visibility": visibility,
            "ignore_requester_presence": true,
        })
    };
    let message = world.agent("add_user_to_chat", add("all")).await.refused(422, "limit_reached");
    assert_eq!(message, "Public agents in chat limit reached");
    world.agent("add_user_to_chat", add("agents")).await.ok();
    let nobody = json!({
        "chat_id": chat_id, "user_id": "nobody@example.com", "user_type": "agent", "visibility": "agents",
        "ignore_requester_presence": true,
    });
    world.agent("add_user_to_chat", nobody).await.refused(422, "validation");
    let remove = json!({
        "chat_id": chat_id, "user_id": BEN, "user_type": "agent", "ignore_requester_presence": true,
    });
    world.agent("remove_user_from_chat", remove.clone()).await.ok();
    world.agent("remove_user_from_chat", remove).await.refused(422, "validation");
}

#[tokio::test]
async fn a_transfer_needs_somebody_who_takes_the_chat_unless_it_may_wait() {
    let world = World::listening().await;
    let (_, chat_id) = world.chat().await;
    let transfer = |target: Value, patient: bool| {
        json!({
            "id": chat_id, "target": target, "ignore_agents_availability": patient, "ignore_requester_presence": true,
        })
    };
    world.simulator.settled().await;
    let night_shift = json!({"type": "group", "ids": [2]});
    let message = world.agent("transfer_chat", transfer(night_shift.clone(), false)).await.refused(422, "validation");
    assert_eq!(message, "Cannot assign any agent from requested groups");
    world.simulator.set_agent_status(BEN, RoutingStatus::Offline);
    let ben = json!({"type": "agent", "ids": [BEN]});
    world.agent("transfer_chat", transfer(ben.clone(), false)).await.refused(422, "agent_offline");
    world.simulator.set_agent_status(BEN, RoutingStatus::AcceptingChats);
    world.agent("transfer_chat", transfer(ben, false)).await.ok();
    assert_eq!(world.simulator.chats()[0].public_agent(), Some(BEN));
    world.simulator.settled().await;
    let told = &world.receiver.of("chat_transferred")[1]["payload"];
    assert_eq!((&told["reason"], &told["requester_id"]), (&json!("manual"), &json!(CLARA)));
    assert_eq!(told["transferred_to"], json!({"agent_ids": [BEN], "group_ids": [1]}));

    world.agent("transfer_chat", transfer(night_shift, true)).await.ok();
    assert_eq!(world.simulator.chats()[0].public_agent(), None);
    world.simulator.settled().await;
    let told = world.receiver.of("chat_transferred");
    let queued = told.iter().find(|body| body["payload"]["queue"].is_object()).unwrap();
    assert_eq!(queued["payload"]["queue"]["position"], 1);
    assert_eq!(
        world.receiver.of("chat_access_updated")[0]["payload"],
        json!({
            "id": chat_id, "access": {"group_ids": [2]},
        })
    );
    world
        .agent("transfer_chat", json!({"id": chat_id, "target": {"type": "group"}, "ignore_requester_presence": true}))
        .await
        .refused(422, "validation");
}

#[tokio::test]
async fn only_agents_with_access_to_the_chat_get_it() {
    let clock = ManualClock::new(Timestamp::from_unix_millis(0)).clock();
    let mut options = Options::new(clock, Journal::default());
    options.account.groups[1].agent_ids = vec![ANNA.to_owned()];
    let simulator = Simulator::start(options).await.unwrap();
    let chat_id = simulator.customer_sends_text_elsewhere("hi", "hello").unwrap();
    simulator.agent_transfers(&chat_id, ANNA, Target::Group(1)).unwrap();
    let refusal = simulator.agent_transfers(&chat_id, ANNA, Target::Agent(BEN.to_owned())).unwrap_err();
    assert_eq!(refusal.kind(), Kind::MissingAccess);
    assert_eq!(simulator.agent_joins(&chat_id, BEN).unwrap_err().kind(), Kind::MissingAccess);
    simulator.agent_transfers(&chat_id, ANNA, Target::Agent(CLARA.to_owned())).unwrap();
}

#[tokio::test]
async fn an_agent_who_starts_a_chat_answers_it() {
    let world = World::new().await;
    let identity = world.identity().await;
    let start = json!({"chat": {"users": [{"id": identity.id, "type": "customer"}]}});
    let chat_id = world.agent("start_chat", start.clone()).await.ok()["chat_id"].clone();
    assert_eq!(world.simulator.chats()[0].public_agent(), Some(CLARA));
    world.agent("start_chat", start).await.refused(422, "validation");
    let crowd = json!({"chat": {"users": [{"id": ANNA, "type": "agent"}]}});
    world.agent("start_chat", crowd).await.refused(422, "limit_reached");
    world.agent("send_event", json!({"chat_id": chat_id, "event": {"type": "message", "text": "hi"}})).await.ok();
    world.customer(&identity, "start_chat", json!({})).await.refused(422, "validation");
}

#[tokio::test]
async fn chats_are_found_by_their_state_group_and_properties() {
    let world = World::new().await;
    let (identity, chat_id) = world.chat().await;
    let foreign = world.simulator.customer_sends_text_elsewhere("hello?", "hello!").unwrap();
    world.customer(&identity, "deactivate_chat", json!({"id": chat_id})).await.ok();
    let client_id = &world.simulator.account().client_id;
    let cases = [
        (json!({}), vec![foreign.as_str(), &chat_id]),
        (json!({"active": true}), vec![foreign.as_str()]),
        (json!({"active": false}), vec![chat_id.as_str()]),
        (json!({"group_ids": [1]}), vec![chat_id.as_str()]),
        (json!({"properties": {"source": {"client_id": {"values": [client_id]}}}}), vec![chat_id.as_str()]),
        (json!({"properties": {"source": {"client_id": {"exclude_values": [client_id]}}}}), vec![foreign.as_str()]),
    ];
    for (filters, expected) in cases {
        let answer = world.agent("list_chats", json!({"filters": filters})).await.ok();
        let found: Vec<_> = answer["chats_summary"].as_array().unwrap().iter().map(|chat| chat["id"].clone()).collect();
        assert_eq!(found, expected, "{filters}");
        assert!(answer["chats_summary"][0]["last_thread_summary"]["id"].is_string());
    }
    let archives = world.agent("list_archives", json!({"filters": {"query": "hello!"}})).await.ok();
    assert_eq!((&archives["found_chats"], &archives["chats"][0]["id"]), (&json!(1), &json!(foreign)));
    world.agent("get_chat", json!({"chat_id": "P000000000"})).await.refused(404, "not_found");
}

#[tokio::test]
async fn agents_for_transfer_come_by_load_and_without_those_offline() {
    let world = World::new().await;
    let (_, chat_id) = world.chat().await;
    let listed = world.agent("list_agents_for_transfer", json!({"chat_id": chat_id})).await.ok();
    assert_eq!(
        listed,
        json!([
            {"agent_id": BEN, "total_active_chats": 0}, {"agent_id": ANNA, "total_active_chats": 1},
        ])
    );
    world.simulator.set_agent_status(BEN, RoutingStatus::Offline);
    let listed = world.agent("list_agents_for_transfer", json!({"chat_id": chat_id})).await.ok();
    assert_eq!(listed.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_routing_status_is_spelled_differently_in_its_webhook() {
    let world = World::listening().await;
    let set = json!({"agent_id": ANNA, "status": "not_accepting_chats"});
    world.agent("set_routing_status", set).await.ok();
    let statuses = world.agent("list_routing_statuses", json!({"filters": {"group_ids": [1]}})).await.ok();
    assert_eq!(statuses[0], json!({"agent_id": ANNA, "status": "not_accepting_chats"}));
    world.simulator.settled().await;
    assert_eq!(world.receiver.of("routing_status_set")[0]["payload"]["status"], "not accepting chats");
    world.simulator.set_agent_status(ANNA, RoutingStatus::Offline);
    let set = json!({"agent_id": ANNA, "status": "accepting_chats"});
    world.agent("set_routing_status", set).await.refused(422, "agent_offline");
}

#[tokio::test]
async fn a_banned_customer_is_thrown_out() {
    let world = World::new().await;
    let (identity, _) = world.chat().await;
    let seen = world.agent("get_customer", json!({"id": identity.id})).await.ok();
    assert_eq!(seen["chat_ids"].as_array().unwrap().len(), 1);
    world.agent("get_customer", json!({"id": "not-a-uuid"})).await.refused(422, "validation");
    let unknown = json!({"id": "b7eff798-f8df-4364-8059-649c35c9ed0c"});
    world.agent("get_customer", unknown).await.refused(404, "not_found");
    world.agent("ban_customer", json!({"id": identity.id, "ban": {"days": 1}})).await.ok();
    assert!(world.simulator.open_chats().is_empty());
    world.customer(&identity, "list_chats", json!({})).await.refused(403, "customer_banned");
    world.clock.advance(Duration::from_secs(24 * 3_600));
    let renewed = world.renewed(&identity).await;
    world.customer(&renewed, "list_chats", json!({})).await.ok();
}

#[tokio::test]
async fn a_thread_is_tagged_with_a_tag_of_its_group() {
    let world = World::new().await;
    let (_, chat_id) = world.chat().await;
    let thread_id = world.simulator.thread(&chat_id).unwrap().id;
    let tag = |name: &str| json!({"chat_id": chat_id, "thread_id": thread_id, "tag": name});
    world.agent("tag_thread", tag("vip")).await.refused(422, "validation");
    world.configuration("create_tag", json!({"name": "vip", "group_ids": [1]})).await.ok();
    world.configuration("create_tag", json!({"name": "vip", "group_ids": [1]})).await.refused(409, "already_exists");
    world.configuration("create_tag", json!({"name": "night", "group_ids": [2]})).await.ok();
    world.agent("tag_thread", tag("vip")).await.ok();
    world.agent("tag_thread", tag("night")).await.refused(422, "validation");
    assert_eq!(world.simulator.thread(&chat_id).unwrap().tags, ["vip"]);
    world.agent("untag_thread", tag("vip")).await.ok();
    assert!(world.simulator.thread(&chat_id).unwrap().tags.is_empty());
}

#[tokio::test]
async fn a_person_in_the_app_is_bound_by_the_same_rules() {
    let world = World::new().await;
    let (_, chat_id) = world.chat().await;
    let refusal = world.simulator.agent_sends_text(&chat_id, BEN, "hi").unwrap_err();
    assert_eq!(refusal.kind(), Kind::Authorization);
    world.simulator.agent_joins(&chat_id, BEN).unwrap();
    world.simulator.agent_sends_private_note(&chat_id, BEN, "hi").unwrap();
    world.simulator.agent_transfers(&chat_id, ANNA, Target::Agent(BEN.to_owned())).unwrap();
    world.simulator.agent_sends_text(&chat_id, BEN, "hi").unwrap();
    world.simulator.agent_closes(&chat_id, BEN).unwrap();
    assert_eq!(world.simulator.agent_closes(&chat_id, BEN).unwrap_err().kind(), Kind::ChatInactive);
    assert_eq!(world.simulator.router_closes(&chat_id).unwrap_err().kind(), Kind::ChatInactive);
}

#[tokio::test]
async fn while_the_licence_has_expired_every_call_is_refused_as_such() {
    let world = World::new().await;
    let identity = world.identity().await;
    world.simulator.set_licence_expired(true);
    world.agent("list_chats", json!({})).await.refused(403, "license_expired");
    world.configuration("list_groups", json!({})).await.refused(403, "license_expired");
    world.customer(&identity, "list_chats", json!({})).await.refused(403, "license_expired");
    let token = Answer::read(world.token(&world.cookie_grant(), &[]).await).await;
    assert_eq!((token.status.as_u16(), &token.body["oauth_exception"]), (401, &json!("access_denied")));
    world.simulator.set_licence_expired(false);
    world.agent("list_chats", json!({})).await.ok();
}

#[tokio::test]
async fn without_the_app_nobody_gets_a_token_and_those_there_are_stay_good() {
    let world = World::new().await;
    let identity = world.identity().await;
    world.simulator.set_app_removed(true);
    let token = Answer::read(world.token(&world.cookie_grant(), &[]).await).await;
    assert_eq!((token.status.as_u16(), &token.body["oauth_exception"]), (401, &json!("unauthorized_client")));
    world.customer(&identity, "list_chats", json!({})).await.ok();
    world.simulator.set_app_removed(false);
    assert_eq!(world.token(&world.cookie_grant(), &[]).await.status(), 200);
}
