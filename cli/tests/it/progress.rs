//! Every command of several steps prints the number of each step.

use sandbox::faults::Fault;
use serde_json::json;
use tests::{World, text};

use crate::operator::{Operator, Ran};

/// Returns the printed steps: number, and of how many.
fn said(ran: &Ran) -> Vec<(usize, usize)> {
    let step = |line: &str| {
        let (number, rest) = line.split_once(" of ")?;
        Some((number.parse().ok()?, rest.split_once(": ")?.0.parse().ok()?))
    };
    ran.progress.lines().filter_map(step).collect()
}

/// Asserts that all of `of` steps were printed, each once and in order.
pub(crate) fn assert_steps(ran: &Ran, of: usize) {
    let expected: Vec<_> = (1..=of).map(|number| (number, of)).collect();
    assert_eq!(said(ran), expected, "{}", ran.progress);
}

#[tokio::test(flavor = "multi_thread")]
async fn connecting_rotating_and_examining_say_at_which_of_how_many_steps_they_are() {
    let world = World::unconnected().await;
    let mut operator = Operator::new(&world);
    let connecting: [(&[&str], usize); 4] = [
        (&["connect", "livechat"], 4),
        (&["connect", "botpress", "--dry-run"], 2),
        (&["connect", "botpress"], 4),
        (&["connect", "botcopy"], 2),
    ];
    for (command, of) in connecting {
        assert_steps(&operator.does(command).await, of);
    }
    world.drive(world.stack.botpress.install_deployed()).await.unwrap();
    world.sweep().await;
    let rest: [(&[&str], usize); 6] = [
        (&["doctor"], 5),
        (&["doctor", "--drift"], 2),
        (&["rotate", "path-key"], 2),
        (&["rotate", "webhook-secret"], 2),
        (&["rotate", "signing-secret"], 2),
        (&["rotate", "access-key"], 3),
    ];
    for (command, of) in rest {
        assert_steps(&operator.does(command).await, of);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redriving_and_erasing_say_at_which_of_how_many_steps_they_are() {
    let world = World::in_process().await;
    let user = world.escalated_user("Ann").await;
    for words in ["one", "two", "three"] {
        let refusal = json!({ "error": { "type": "validation", "message": "no" } }).to_string();
        world.stack.livechat.faults().next(1, "customer/action/send_event", Fault::answer(422, refusal));
        world.says(&user, words).await;
    }
    let mut operator = Operator::new(&world);
    assert_steps(&operator.does(&["redrive", "--all"]).await, 3);
    let users = world.items("user");
    assert_steps(&operator.does(&["erase", text(&users[0], "user_id"), "--yes"]).await, 3);
}
