//! Refused credentials are an outage: everything waits, the alarm is raised, and after the cure everything is delivered by itself.

use std::time::Duration;

use sandbox::botpress::{ErrorType, UpstreamUser};
use sandbox::faults::Fault;
use serde_json::json;
use shared::metrics::Metric;
use tests::{ANNA, ASK, World, text};

const TICK: Duration = Duration::from_secs(60);

/// A name, and the function that withdraws or restores the stack's credentials.
type Switch = (&'static str, fn(&World, bool));

const LIVECHAT: [Switch; 3] = [
    ("the agent token is revoked", |world, off| world.stack.livechat.set_agent_token_valid(!off)),
    ("the licence has expired", |world, off| world.stack.livechat.set_licence_expired(off)),
    ("the app is removed and its tokens are gone", |world, off| {
        world.stack.livechat.set_app_removed(off);
        world.stack.livechat.expire_customer_tokens();
    }),
];

const BOTPRESS: [Switch; 4] = [
    ("the access key is revoked", |world, off| refuse(world, off, ErrorType::Unauthorized)),
    ("the integration is removed", |world, off| refuse(world, off, ErrorType::Forbidden)),
    ("the workspace has not paid", |world, off| refuse(world, off, ErrorType::PaymentRequired)),
    ("a quota is used up", |world, off| refuse(world, off, ErrorType::QuotaExceeded)),
];

fn refuse(world: &World, off: bool, error_type: ErrorType) {
    world.stack.botpress.refuse_all(off.then_some(error_type));
}

/// The schedule ticks each minute, however long a sweep takes.
async fn ticks(world: &World, count: u32) {
    for _ in 0..count {
        let since_tick = world.now().unix_millis().rem_euclid(TICK.as_millis().try_into().unwrap());
        world.sweep_after(TICK - Duration::from_millis(since_tick.unsigned_abs())).await;
    }
}

fn alarms(world: &World) -> f64 {
    let recorded = world.stack.metrics.recorded().into_iter();
    recorded.filter(|one| one.metric == Metric::CredentialsRefused).map(|one| one.value).sum()
}

fn assert_nothing_is_left(world: &World, what: &str) {
    let left = [world.items("waiting"), world.items("parked")].concat();
    assert!(left.is_empty(), "{what}: {left:?}");
}

/// Both sides talk while the credentials are refused, and one of them ends the session.
async fn talk(world: &World, ann: &UpstreamUser, agent_ends: bool) {
    world.says(ann, "one").await;
    world.answers(ANNA, "two").await;
    world.says(ann, "three").await;
    world.answers(ANNA, "four").await;
    match agent_ends {
        true => world.agent_closes(ANNA).await,
        false => world.user_ends(ann).await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_and_ends_wait_for_the_credentials_and_follow_once_and_in_order() {
    for (what, switch) in LIVECHAT.into_iter().chain(BOTPRESS) {
        // Waiting messages cannot be delivered once the side that they are for has ended the session.
        let is_botpress = BOTPRESS.iter().any(|(name, _)| *name == what);
        let ends: &[bool] = match what {
            _ if is_botpress => &[true],
            "the agent token is revoked" => &[true, false],
            _ => &[false],
        };
        for agent_ends in ends.iter().copied() {
            let what = format!("{what}, the agent ends: {agent_ends}");
            let world = World::in_process().await;
            let ann = world.escalated_user("Ann").await;
            // The plugin has settled.
            world.advance(Duration::from_secs(10));
            switch(&world, true);
            let asked_at = world.now();
            talk(&world, &ann, agent_ends).await;
            assert!(world.now().since(asked_at) < Duration::from_secs(5), "{what}: nobody waits for an answer");
            ticks(&world, 6).await;
            assert!(world.items("parked").is_empty(), "{what}");
            assert!(alarms(&world) > 0.0, "{what}");
            switch(&world, false);
            ticks(&world, 2).await;
            // After these comes the plugin's own remark on the end.
            assert_eq!(world.sent_by_customers()[1..3], ["one", "three"], "{what}");
            assert_eq!(world.shown_by_agents(), ["two", "four"], "{what}");
            assert!(!world.stack.botpress.is_escalated(&ann.conversation_id), "{what}");
            assert!(world.stack.livechat.open_chats().is_empty(), "{what}");
            assert_nothing_is_left(&world, &what);
            world.says(&ann, "once more").await;
            world.escalate(&ann).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_wait_for_the_key_and_the_bot_resumes_once() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    world.answers(ANNA, "zero").await;
    world.stack.botcopy.set_api_key_revoked(true);
    world.answers(ANNA, "one").await;
    world.answers(ANNA, "two").await;
    world.agent_closes(ANNA).await;
    ticks(&world, 6).await;
    assert!(world.items("parked").is_empty() && alarms(&world) > 0.0);
    world.stack.botcopy.set_api_key_revoked(false);
    ticks(&world, 2).await;
    assert_eq!(world.widget_shows(&user, "agent"), ["zero", "one", "two"]);
    assert_eq!((world.count("unpaused"), world.count("unpaused_again")), (1, 0), "the bot resumes once");
    assert!(!world.stack.botcopy.is_paused(&user));
    assert_nothing_is_left(&world, "afterwards");
}

/// The bot is notified once, although LiveChat refuses to close the thread for a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_was_told_of_an_end_is_not_told_again_while_livechat_refuses() {
    let world = World::in_process_with(&[("ASSIGN_TIMEOUT_SECONDS", "60")]).await;
    world.stack.livechat.set_behaviour(|behaviour| behaviour.assignment = sandbox::livechat::Assignment::Manual);
    let user = world.widget_user().await;
    world.widget_says(&user, ASK).await;
    world.stack.livechat.faults().always("agent/action/deactivate_chat", Fault::answer(401, "{}"));
    ticks(&world, 4).await;
    assert!(!world.stack.botcopy.is_paused(&user), "nobody came");
    let resumes = |world: &World| world.count("unpaused") + world.count("unpaused_again");
    let before = resumes(&world);
    ticks(&world, 3).await;
    assert_eq!(resumes(&world), before);
    world.stack.livechat.faults().clear();
    ticks(&world, 2).await;
    assert!(world.stack.livechat.open_chats().is_empty());
    assert_eq!(resumes(&world), before);
    assert_nothing_is_left(&world, "afterwards");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_is_refused_clearly_and_what_it_opened_is_closed_after_the_cure() {
    for (what, switch) in [LIVECHAT[1], LIVECHAT[2], BOTPRESS[0], BOTPRESS[1]] {
        let world = World::in_process().await;
        let ann = world.user("Ann").await;
        switch(&world, true);
        let error = world.escalate(&ann).await.unwrap_err();
        assert!(error.contains("refused"), "{what}: {error}");
        switch(&world, false);
        ticks(&world, 2).await;
        assert!(world.stack.livechat.open_chats().is_empty(), "{what}");
        world.escalate(&ann).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    let world = World::in_process().await;
    let ann = world.user("Ann").await;
    let refused = sandbox::botpress::Error::new(ErrorType::Unauthorized, "no").fault(world.now());
    world.stack.botpress.faults().always("conversations/get-or-create", refused);
    world.stack.livechat.set_agent_token_valid(false);
    let error = world.escalate(&ann).await.unwrap_err();
    // Botpress has called once more, when the first start had not been undone yet.
    assert!(error.contains("call again"), "{error}");
    let answers = world.entries("operation_called", "/operation", "action_triggered");
    assert!(answers.iter().any(|one| one.detail.to_string().contains("500")), "{answers:?}");
    assert_eq!(world.stack.livechat.open_chats().len(), 1, "nobody can close it at present");
    ticks(&world, 3).await;
    world.stack.botpress.faults().clear();
    world.stack.livechat.set_agent_token_valid(true);
    ticks(&world, 2).await;
    assert!(world.stack.livechat.open_chats().is_empty());
    let sessions = world.items("session");
    world.escalate(&ann).await.unwrap_or_else(|error| panic!("{error}: {sessions:#?} {:#?}", world.items("waiting")));
}

/// An end that Botpress refuses for good cannot be reported any more; the user is free anyway.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_is_refused_for_good_counts_as_done() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.answers(ANNA, "hello").await;
    let gone = sandbox::botpress::Error::new(ErrorType::InvalidPayload, "no such event").fault(world.now());
    world.stack.botpress.faults().always("/v1/chat/events", gone);
    world.agent_closes(ANNA).await;
    ticks(&world, 1).await;
    assert_nothing_is_left(&world, "the agent has closed");
    let session = world.items("session").remove(0);
    assert_eq!((text(&session, "session_state"), &session["bot_told"]), ("closed", &json!(false)));
    world.stack.botpress.faults().clear();

    let bob = world.escalated_user("Bob").await;
    let refused = json!({"error": {"type": "authorization", "message": "no"}}).to_string();
    world.stack.livechat.faults().always("action/deactivate_chat", Fault::answer(403, refused));
    world.user_ends(&bob).await;
    ticks(&world, 1).await;
    assert_nothing_is_left(&world, "the user has ended");
    assert!(world.items("session").iter().all(|session| text(session, "session_state") == "closed"));
    drop(ann);
}

/// A 403 from LiveChat about one chat says nothing about the stack's credentials.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_in_one_chat_is_a_property_of_the_item() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let refused = json!({"error": {"type": "customer_banned", "message": "no"}}).to_string();
    world.stack.livechat.faults().next(1, "customer/action/send_event", Fault::answer(403, refused));
    world.says(&ann, "one").await;
    world.says(&ann, "two").await;
    assert_eq!((world.items("parked").len(), alarms(&world)), (1, 0.0));
    assert_eq!(world.sent_by_customers()[1..], ["two"]);
}
