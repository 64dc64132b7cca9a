//! Short messages are delivered as often as they are written, and a call without an answer is resumed where it stopped.

use std::time::Duration;

use sandbox::faults::Fault;
use shared::fail_point::{Place, Side};
use tests::{ANNA, ASK, World};

const MOMENT: Duration = Duration::from_millis(700);

/// Returns the users' messages that agents have read since the opening.
fn heard(world: &World) -> Vec<String> {
    world.sent_by_customers().split_off(1)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_words_are_heard_as_often_as_they_are_said() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    for text in ["yes", "yes", "7", "8", "7", "7"] {
        world.advance(MOMENT);
        world.widget_says(&user, text).await;
    }
    assert_eq!(heard(&world), ["yes", "yes", "7", "8", "7", "7"]);
    assert!(world.stack.botcopy.is_paused(&user));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_again_while_it_is_being_answered_is_one_call() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    world.stack.livechat.faults().always("send_event", Fault::Delay(Duration::from_secs(60)));
    let body = world.stack.botcopy.step_two_body(&user, "yes").unwrap();
    let call = || world.stack.botcopy.call_endpoint(&body, &[]);
    let answers = world.drive(async { tokio::join!(call(), call(), call(), call()) }).await;
    world.stack.livechat.faults().clear();
    for answer in <[_; 4]>::from(answers) {
        assert_eq!(answer.unwrap().body, r#"{"paused":true,"minutesPaused":10}"#);
    }
    world.advance(Duration::from_secs(60));
    world.sweep().await;
    assert_eq!(heard(&world), ["yes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_had_no_answer_is_completed_by_its_repeat() {
    for (step, side) in [
        ("table hear", Side::After),
        ("table accept", Side::Before),
        ("table accept", Side::After),
        ("table complete", Side::After),
    ] {
        let world = World::in_process().await;
        let user = world.handed_over_user().await;
        world.widget_says(&user, "one").await;
        world.fail_points.kill_at(Place { step, side }, 1);
        let body = world.stack.botcopy.step_two_body(&user, "yes").unwrap();
        assert_eq!(world.call_botcopy(&body, &[]).await.status, 500, "{step}");
        world.stack.restart_functions().unwrap();
        world.advance(MOMENT);
        let answer = world.call_botcopy(&body, &[]).await;
        assert_eq!(answer.json()["paused"], true, "{step}: {}", answer.body);
        for _ in 0..3 {
            world.advance(Duration::from_secs(60));
            world.sweep().await;
        }
        assert_eq!(heard(&world), ["one", "yes"], "{step}, {side:?}");
        world.widget_says(&user, "yes").await;
        assert_eq!(heard(&world), ["one", "yes", "yes"], "{step}, {side:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_came_too_late_for_botcopy_counts_for_nothing() {
    let world = World::with_table_proxy(&[]).await;
    let user = world.handed_over_user().await;
    // The process is frozen between its last call to the table and the answer.
    let body = world.stack.botcopy.step_two_body(&user, "yes").unwrap();
    let proxy = world.stack.table_proxy.as_ref().unwrap();
    proxy.faults().always("", Fault::Delay(Duration::from_millis(600)));
    let late = world.call_botcopy(&body, &[]).await;
    proxy.faults().clear();
    assert_eq!(late.status, 200);
    world.widget_says(&user, "yes").await;
    for _ in 0..2 {
        world.advance(Duration::from_secs(60));
        world.sweep().await;
    }
    assert_eq!(
        heard(&world),
        ["yes"],
        "the first call may have been left to the bot, the second is the same once more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_words_that_began_a_session_are_a_repeat_only_until_something_else_is_said() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    let body = world.stack.botcopy.step_one_body(&user, ASK).unwrap();
    world.advance(MOMENT);
    world.call_botcopy(&body, &[]).await;
    assert_eq!(heard(&world).len(), 0);
    world.advance(MOMENT);
    world.widget_says(&user, "order 7").await;
    world.advance(MOMENT);
    world.call_botcopy(&body, &[]).await;
    world.settle().await;
    assert_eq!(heard(&world), ["order 7", ASK]);
    assert_eq!(world.count("chat_started"), 1);
    world.answers(ANNA, "hello").await;
    assert_eq!(world.widget_shows(&user, "agent"), ["hello"]);
}
