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
    assert_eq!(since(&before, &world), calls(&[("GetItem", 1), ("UpdateItem", 1), ("Query", 4)], 0));
}

/// LiveChat's calls in the order in which they were answered; each is billed.
fn billed_since(world: &World, entries: usize) -> Vec<String> {
    let since = world.stack.journal.since(entries);
    let answered = since.iter().filter(|entry| entry.effect == "call_answered").map(|entry| entry.text("/call"));
    answered.filter(|call| call.contains('/')).map(str::to_owned).collect()
}

/// docs/operations.md reckons LiveChat's fee with these.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_ten_messages_makes_the_livechat_calls_that_the_operator_is_told_of() {
    let world = World::in_process().await;
    let ann = world.user("Ann").await;
    for (calls_of_the_start, name) in [
        (
            vec![
                "accounts/token",
                "customer/list_group_statuses",
                "customer/start_chat",
                "customer/update_customer",
                "agent/get_chat",
            ],
            "a new user",
        ),
        (
            vec!["customer/list_group_statuses", "customer/resume_chat", "agent/get_chat", "agent/get_chat"],
            "a user who comes back",
        ),
    ] {
        world.says(&ann, "I need a person").await;
        let before = world.stack.journal.len();
        world.escalate(&ann).await.unwrap();
        let (mut made, mut expected) = (billed_since(&world, before), calls_of_the_start);
        made.sort_unstable();
        expected.sort_unstable();
        assert_eq!(made, expected, "{name}: the start");

        let before = world.stack.journal.len();
        for word in ["one", "two", "three", "four", "five"] {
            world.says(&ann, word).await;
            world.answers(ANNA, word).await;
            world.advance(Duration::from_secs(10));
        }
        assert_eq!(billed_since(&world, before), vec!["customer/send_event"; 5], "{name}: agents' words cost nothing");

        let before = world.stack.journal.len();
        world.agent_closes(ANNA).await;
        assert_eq!(billed_since(&world, before), ["agent/get_chat"], "{name}: the end");
    }
}
