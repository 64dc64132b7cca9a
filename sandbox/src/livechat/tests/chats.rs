use super::*;

#[tokio::test]
async fn a_session_from_start_to_resume_has_the_documented_answers() {
    let world = World::new().await;
    let identity = world.identity().await;
    let start = json!({
        "chat": {
            "access": {"group_ids": [1]},
            "thread": {
                "events": [{"type": "message", "text": "hello", "custom_id": "m1"}],
                "properties": {"routing": {"ignore_bots": true}},
            },
        },
        "continuous": true,
    });
    let started = world.customer(&identity, "start_chat", start).await.ok();
    let chat_id = started["chat_id"].as_str().unwrap();
    let thread_id = started["thread_id"].as_str().unwrap();
    assert_eq!(started["event_ids"], json!([format!("{thread_id}_1")]));
    let entry = world.last("chat_started");
    assert_eq!((entry.text("/chat_id"), entry.text("/customer_id")), (chat_id, identity.id.as_str()));
    assert_eq!((&entry.detail["group_ids"], &entry.detail["continuous"]), (&json!([1]), &json!(true)));
    assert_eq!(world.simulator.open_chats().len(), 1);

    let event = json!({"chat_id": chat_id, "event": {"type": "message", "text": "more"}});
    let sent = world.customer(&identity, "send_event", event).await.ok();
    assert_eq!(sent, json!({"event_id": format!("{thread_id}_2")}));
    assert_eq!(world.customer(&identity, "deactivate_chat", json!({"id": chat_id})).await.ok(), json!({}));
    assert_eq!(world.last("chat_deactivated").text("/by"), identity.id);
    assert!(world.simulator.open_chats().is_empty());

    let resumed = world.customer(&identity, "resume_chat", json!({"chat": {"id": chat_id}})).await.ok();
    assert_eq!(resumed.as_object().unwrap().keys().collect::<Vec<_>>(), ["thread_id"]);
    assert_ne!(resumed["thread_id"], thread_id);
    assert_eq!(world.last("chat_resumed").detail["continuous"], true, "unset keeps the mode");
    assert_eq!(world.simulator.chats()[0].threads.len(), 2);
}

#[tokio::test]
async fn a_customer_has_one_chat_and_one_active_thread() {
    let world = World::new().await;
    let (identity, chat_id) = world.chat().await;
    let resume = json!({"chat": {"id": chat_id}});
    world.customer(&identity, "start_chat", json!({})).await.refused(422, "validation");
    world.customer(&identity, "resume_chat", resume.clone()).await.refused(422, "validation");
    world.simulator.set_behaviour(|behaviour| behaviour.second_chat = SecondChat::LimitReached);
    world.customer(&identity, "start_chat", json!({})).await.refused(422, "limit_reached");
    world.customer(&identity, "resume_chat", resume).await.refused(422, "limit_reached");

    world.customer(&identity, "deactivate_chat", json!({"id": chat_id})).await.ok();
    world.customer(&identity, "start_chat", json!({})).await.refused(422, "limit_reached");
    let chats = world.customer(&identity, "list_chats", json!({})).await.ok();
    assert_eq!((&chats["total_chats"], &chats["chats_summary"][0]["id"]), (&json!(1), &json!(chat_id)));
    assert_eq!(chats["chats_summary"][0]["active"], false);
}

#[tokio::test]
async fn a_chat_that_is_not_continuous_needs_a_group_that_is_online() {
    let world = World::new().await;
    let identity = world.identity().await;
    world.customer(&identity, "start_chat", starting_in(2)).await.refused(422, "groups_offline");
    world.customer(&identity, "start_chat", starting_in(9)).await.refused(404, "group_not_found");
    let mut patient = starting_in(2);
    patient["continuous"] = json!(true);
    let chat_id = world.customer(&identity, "start_chat", patient).await.ok()["chat_id"].clone();
    let chat = world.customer(&identity, "get_chat", json!({"chat_id": chat_id})).await.ok();
    assert_eq!(chat["thread"]["queue"]["position"], 1);

    world.customer(&identity, "deactivate_chat", json!({"id": chat_id})).await.ok();
    let resume = json!({"chat": {"id": chat_id, "access": {"group_ids": [2]}}, "continuous": false});
    world.customer(&identity, "resume_chat", resume.clone()).await.refused(422, "groups_offline");
    world.simulator.set_group_status(2, GroupStatus::Online);
    world.customer(&identity, "resume_chat", resume).await.ok();
    assert_eq!(world.last("chat_transferred").detail["transferred_to"], json!({"agent_ids": [BEN]}));
}

#[tokio::test]
async fn group_statuses_leave_out_unknown_groups() {
    let world = World::new().await;
    let identity = world.identity().await;
    world.simulator.set_group_status(1, GroupStatus::OnlineForQueue);
    let asked = world.customer(&identity, "list_group_statuses", json!({"group_ids": [1, 2, 9]})).await.ok();
    assert_eq!(asked, json!({"groups_status": {"1": "online_for_queue", "2": "offline"}}));
    let all = world.customer(&identity, "list_group_statuses", json!({"all": true})).await.ok();
    assert_eq!(all["groups_status"]["0"], "online");
    world.customer(&identity, "list_group_statuses", json!({})).await.refused(422, "validation");
}

#[tokio::test]
async fn customers_see_agents_under_an_opaque_id_and_no_private_note() {
    let world = World::new().await;
    let (identity, chat_id) = world.chat().await;
    world.simulator.agent_sends_text(&chat_id, ANNA, "public").unwrap();
    world.simulator.agent_sends_private_note(&chat_id, ANNA, "private").unwrap();
    let seen = world.customer(&identity, "get_chat", json!({"chat_id": chat_id})).await.ok();
    let agent_id = seen["users"][1]["id"].as_str().unwrap();
    assert!(agent_id.len() == 32 && agent_id.chars().all(|c| c.is_ascii_hexdigit()), "{agent_id}");
    assert_eq!(seen["users"][1]["name"], "Anna");
    let events = seen["thread"]["events"].as_array().unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0]["text"], &events[0]["author_id"]), (&json!("public"), &json!(agent_id)));
    assert!(events[0].get("visibility").is_none());
    assert!(!seen.to_string().contains('@'), "{seen}");

    let shown = world.agent("get_chat", json!({"chat_id": chat_id})).await.ok();
    let events = shown["thread"]["events"].as_array().unwrap();
    assert_eq!((events.len(), &events[1]["visibility"], &events[1]["author_id"]), (2, &json!("agents"), &json!(ANNA)));
}

#[tokio::test]
async fn threads_are_listed_newest_first_and_in_pages() {
    let world = World::new().await;
    let (identity, chat_id) = world.chat().await;
    for _ in 0..4 {
        world.customer(&identity, "deactivate_chat", json!({"id": chat_id})).await.ok();
        world.customer(&identity, "resume_chat", json!({"chat": {"id": chat_id}})).await.ok();
    }
    let first = world.customer(&identity, "list_threads", json!({"chat_id": chat_id})).await.ok();
    let threads = first["threads"].as_array().unwrap();
    assert_eq!((threads.len(), &first["found_threads"]), (3, &json!(5)));
    assert_eq!((&threads[0]["active"], &threads[1]["active"]), (&json!(true), &json!(false)));
    assert_eq!(threads[0]["previous_thread_id"], threads[1]["id"]);
    assert!(first.get("previous_page_id").is_none());

    let page = json!({"chat_id": chat_id, "page_id": first["next_page_id"]});
    let second = world.customer(&identity, "list_threads", page).await.ok();
    assert_eq!(second["threads"].as_array().unwrap().len(), 2);
    assert!(second.get("next_page_id").is_none() && second["previous_page_id"].is_string());
    let mixed = json!({"chat_id": chat_id, "page_id": first["next_page_id"], "limit": 2});
    world.customer(&identity, "list_threads", mixed).await.refused(422, "validation");
    let enough = json!({"chat_id": chat_id, "min_events_count": 2});
    let enough = world.customer(&identity, "list_threads", enough).await.ok();
    assert_eq!(enough["threads"].as_array().unwrap().len(), 3, "the open thread is empty, the next two hold one each");
}

#[tokio::test]
async fn wrong_or_missing_parameters_are_named() {
    let world = World::new().await;
    let (identity, chat_id) = world.chat().await;
    let cases = [
        ("deactivate_chat", json!({"chat_id": chat_id}), "`id` is required"),
        ("resume_chat", json!({"id": chat_id}), "`chat` is required"),
        ("resume_chat", json!({"chat": {}}), "`chat.id` is required"),
        ("send_event", json!({"id": chat_id}), "`chat_id` is required"),
        ("send_event", json!({"chat_id": chat_id}), "`event` is required"),
        ("send_event", json!({"chat_id": 7, "event": {}}), "`chat_id` must be of type string"),
        ("get_chat", json!({"id": chat_id}), "`chat_id` is required"),
        ("update_customer", json!({}), "at least one customer field is required"),
        ("update_customer", json!({"email": "nobody"}), "`email` is not a valid e-mail address"),
        ("start_chat", json!({"continuous": "yes"}), "`continuous` must be of type boolean"),
        (
            "start_chat",
            json!({"chat": {"access": {"group_ids": ["1"]}}}),
            "`chat.access.group_ids` must be an array of integers",
        ),
        ("list_chats", json!({"limit": 26}), "`limit` must be at most 25"),
    ];
    for (action, body, message) in cases {
        let answer = world.customer(&identity, action, body).await;
        assert_eq!(answer.refused(422, "validation"), message);
    }
    assert_eq!(
        world.last("call_answered").detail,
        json!({
            "call": "customer/list_chats", "status": 422, "error_type": "validation",
        })
    );
}

#[tokio::test]
async fn actions_that_do_not_exist_are_not_found() {
    let world = World::new().await;
    let identity = world.identity().await;
    world.customer(&identity, "close_chat", json!({})).await.refused(404, "not_found");
    world.agent("close_chat", json!({"chat_id": "x"})).await.refused(404, "not_found");
    world.agent("get_groups", json!({})).await.refused(404, "not_found");
    world.agent("create_customer", json!({})).await.refused(404, "not_found");
    world.configuration("get_groups", json!({})).await.refused(404, "not_found");
    let old = world.http.post(format!("{}/v3.5/agent/action/list_chats", world.simulator.url())).send().await.unwrap();
    Answer::read(old).await.refused(400, "unsupported_version");
}

#[tokio::test]
async fn a_customer_call_names_the_right_organization_and_carries_a_token() {
    let world = World::new().await;
    let identity = world.identity().await;
    let url = format!("{}/v3.6/customer/action/list_chats", world.simulator.url());
    let post = |url: String, token: &str| world.http.post(url).bearer_auth(token).json(&json!({})).send();
    let without = Answer::read(post(url.clone(), &identity.token).await.unwrap()).await;
    assert_eq!(without.refused(422, "validation"), "`organization_id` is required");
    let wrong = post(format!("{url}?organization_id=other"), &identity.token).await.unwrap();
    Answer::read(wrong).await.refused(404, "license_not_found");
    let unknown = Identity { token: "dal:unknown".to_owned(), ..identity };
    world.customer(&unknown, "list_chats", json!({})).await.refused(401, "authentication");
    let personal = Identity { token: world.simulator.account().agent_token.clone(), ..unknown };
    world.customer(&personal, "list_chats", json!({})).await.refused(401, "authentication");
}

#[tokio::test]
async fn nobody_touches_the_chat_of_somebody_else() {
    let world = World::new().await;
    let (_, chat_id) = world.chat().await;
    let stranger = world.identity().await;
    let calls = [
        ("get_chat", json!({"chat_id": chat_id})),
        ("deactivate_chat", json!({"id": chat_id})),
        ("send_event", json!({"chat_id": chat_id, "event": {"type": "message", "text": "hi"}})),
    ];
    for (action, body) in calls {
        world.customer(&stranger, action, body).await.refused(403, "authorization");
    }
}

#[tokio::test]
async fn a_call_to_the_wrong_region_is_told_the_right_one() {
    let world = World::with(Behaviour { region: Region::Fra, ..Behaviour::default() }).await;
    let identity = world.identity().await;
    assert!(identity.token.starts_with("fra:"));
    let answer = world.customer(&identity, "list_chats", json!({})).await;
    answer.refused(421, "misdirected_request");
    assert_eq!(answer.body["error"]["data"], json!({"region": "fra"}));
    let account = world.simulator.account();
    let url = format!("{}/v3.6/agent/action/list_chats", world.simulator.url());
    let request = world.http.post(url).header("authorization", format!("Basic {}", account.agent_token));
    let answer = request.header("x-region", "fra").json(&json!({})).send().await.unwrap();
    Answer::read(answer).await.ok();
}

#[tokio::test]
async fn a_version_near_its_end_says_so_in_a_header() {
    let world = World::new().await;
    for (stage, header) in [(Stage::Legacy, "legacy"), (Stage::Deprecated, "deprecation")] {
        world.simulator.set_behaviour(|behaviour| behaviour.version_ends = Some((stage, "2027-01-31".to_owned())));
        let url = format!("{}/v3.6/configuration/action/list_webhook_names", world.simulator.url());
        let answer = world.http.post(url).json(&json!({})).send().await.unwrap();
        assert_eq!(answer.headers().get(header).unwrap(), "2027-01-31");
    }
}

#[tokio::test]
async fn what_a_customer_says_about_themselves_is_kept() {
    let world = World::listening().await;
    let (identity, _) = world.chat().await;
    let profile = json!({"name": "Ann", "email": "ann@example.org", "session_fields": [{"plan": "gold"}]});
    world.customer(&identity, "update_customer", profile).await.ok();
    let customer = world.customer(&identity, "get_customer", json!({})).await.ok();
    assert_eq!((&customer["name"], &customer["session_fields"]), (&json!("Ann"), &json!([{"plan": "gold"}])));
    let entry = world.last("customer_updated");
    assert_eq!((entry.text("/customer_id"), entry.text("/email")), (identity.id.as_str(), "ann@example.org"));
    world.simulator.settled().await;
    assert_eq!(world.receiver.of("customer_session_fields_updated")[0]["payload"]["id"], identity.id);

    let many: Vec<_> = (0..101).map(|n| json!({format!("k{n}"): "v"})).collect();
    let answer = world.customer(&identity, "set_customer_session_fields", json!({"session_fields": many})).await;
    answer.refused(422, "validation");
}

#[tokio::test]
async fn properties_are_merged_and_only_the_writable_ones_accepted() {
    let world = World::listening().await;
    let (identity, chat_id) = world.chat().await;
    let update = |properties: Value| json!({"id": chat_id, "properties": properties});
    let rating = update(json!({"rating": {"score": 1, "comment": "fine"}}));
    world.customer(&identity, "update_chat_properties", rating).await.ok();
    let refused = [
        json!({"routing": {"continuous": true}}),
        json!({"source": {"client_id": "other"}}),
        json!({"unheard_of": {"name": 1}}),
        json!({"test": {"string_property": ["list"]}}),
        json!({"routing": {"ignore_bots": true}}),
    ];
    for properties in refused {
        let answer = world.customer(&identity, "update_chat_properties", update(properties)).await;
        answer.refused(422, "validation");
    }
    let properties = &world.simulator.chats()[0].properties;
    assert_eq!((&properties["rating"]["score"], &properties["routing"]["continuous"]), (&json!(1), &json!(false)));
    assert_eq!(properties["source"]["client_id"], world.simulator.account().client_id.as_str());

    let deletion = json!({"id": chat_id, "properties": {"rating": ["comment"]}});
    world.customer(&identity, "delete_chat_properties", deletion).await.ok();
    assert!(!world.simulator.chats()[0].properties["rating"].contains_key("comment"));
    let types: Vec<_> =
        world.journal.all("event_sent").iter().map(|entry| entry.text("/system_message_type").to_owned()).collect();
    assert_eq!(types, ["rating.chat_rated", "rating.chat_commented"]);
}

#[tokio::test]
async fn what_is_deleted_or_anonymized_is_refused_and_nobody_is_told() {
    for (gone, status, kind, may_start) in [
        (Gone::NotFound, 404, "not_found", true),
        (Gone::Anonymized, 422, "chat_anonymized", false),
        (Gone::MissingAccess, 403, "missing_access", true),
        (Gone::Authorization, 403, "authorization", true),
    ] {
        let world = World::new().await;
        let (identity, chat_id) = world.chat().await;
        world.simulator.delete_chat(&chat_id, gone).unwrap();
        let event = json!({"chat_id": chat_id, "event": {"type": "message", "text": "hello?"}});
        world.customer(&identity, "send_event", event).await.refused(status, kind);
        world.customer(&identity, "resume_chat", json!({"chat": {"id": chat_id}})).await.refused(status, kind);
        let chats = world.customer(&identity, "list_chats", json!({})).await.ok();
        assert_eq!(chats["total_chats"], json!(usize::from(!may_start)), "{gone:?}");
        let started = world.customer(&identity, "start_chat", starting_in(1)).await;
        if may_start {
            started.ok();
        } else {
            started.refused(422, "validation");
        }
        world.simulator.delete_customer(&identity.id, Some("invalid_grant"));
        world.customer(&identity, "list_chats", json!({})).await.refused(401, "authentication");
        assert!(world.simulator.open_chats().is_empty());
    }
}
