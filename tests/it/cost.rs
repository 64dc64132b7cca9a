//! What a message costs: the calls that docs/operations.md reckons with.

use std::collections::BTreeMap;
use std::time::Duration;

use tests::{ANNA, World};

/// How often the table was called, by operation, and how often a function ran.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    table: BTreeMap<String, usize>,
    invocations: usize,
}

fn count(world: &World) -> Count {
    let table = world.stack.table_proxy.as_ref().unwrap().calls();
    Count { table, invocations: world.count("operation_called") + world.count("webhook_delivered") }
}

fn since(before: &Count, world: &World) -> Count {
    let now = count(world);
    let table = now.table.into_iter().map(|(name, calls)| {
        let known = before.table.get(&name).copied().unwrap_or_default();
        (name, calls - known)
    });
    Count { table: table.filter(|(_, calls)| *calls > 0).collect(), invocations: now.invocations - before.invocations }
}

fn calls(table: &[(&str, usize)], invocations: usize) -> Count {
    Count { table: table.iter().map(|(name, calls)| ((*name).to_owned(), *calls)).collect(), invocations }
}

/// A change here is a change of what messages cost: docs/operations.md has the sum, and design.md the reasons.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_and_a_sweep_take_the_calls_that_the_operator_is_told_of() {
    let world = World::of_instances(1, true).await;
    let ann = world.escalated_user("Ann").await;
    world.answers(ANNA, "the agent is known from here on").await;
    world.advance(Duration::from_secs(10));

    let before = count(&world);
    world.says(&ann, "hello").await;
    let first_in_the_process = calls(&[("BatchGetItem", 1), ("GetItem", 1), ("TransactWriteItems", 2)], 1);
    assert_eq!(since(&before, &world), first_in_the_process);

    let any_other = calls(&[("BatchGetItem", 1), ("TransactWriteItems", 2)], 1);
    let before = count(&world);
    world.says(&ann, "is anybody there?").await;
    assert_eq!(since(&before, &world), any_other);

    let before = count(&world);
    world.answers(ANNA, "hello").await;
    assert_eq!(since(&before, &world), any_other);

    let before = count(&world);
    assert!(world.stack.livechat.deliver_again("incoming_chat"));
    world.settle().await;
    assert_eq!(since(&before, &world), calls(&[("BatchGetItem", 1)], 1), "nothing waits, and the start is over");

    let before = count(&world);
    assert!(world.stack.livechat.deliver_again("incoming_event"));
    world.settle().await;
    assert_eq!(since(&before, &world), calls(&[("BatchGetItem", 1)], 1), "a repeat writes nothing");

    let before = count(&world);
    world.sweep().await;
    assert_eq!(since(&before, &world), calls(&[("GetItem", 1), ("UpdateItem", 2), ("Query", 2)], 0));
}
