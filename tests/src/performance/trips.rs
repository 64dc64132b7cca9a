//! How many calls follow each other: counted by giving each a fixed duration, on a clock on which nothing else takes time.

use std::time::Duration;

use sandbox::faults::{Fault, Faults};
use serde_json::{Value, json};

use super::Table;
use super::site::text_at;
use crate::{ANNA, ASK, World, message};

/// The operations, by the names that tables show.
pub(super) const CREATE_USER: &str = "createUser";
pub(super) const START: &str = "startHitl";
pub(super) const FROM_USER: &str = "user message";
const FIRST_FROM_USER: &str = "user message, session new to the process";
pub(super) const FROM_AGENT: &str = "agent message";
pub(super) const FROM_BOTCOPY: &str = "user message, Botcopy";
pub(super) const STOP: &str = "stopHitl";

/// Calls of one operation that wait for each other; parallel ones count once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trips {
    /// The operation.
    pub operation: &'static str,
    /// To LiveChat and the bot's platform.
    pub vendors: u32,
    /// To the table.
    pub table: u32,
}

/// The present counts of the code; a test compares them with the measured ones.
const KNOWN: [Trips; 7] = [
    Trips { operation: CREATE_USER, vendors: 2, table: 3 },
    Trips { operation: START, vendors: 3, table: 5 },
    Trips { operation: FIRST_FROM_USER, vendors: 1, table: 4 },
    Trips { operation: FROM_USER, vendors: 1, table: 3 },
    Trips { operation: FROM_AGENT, vendors: 1, table: 3 },
    Trips { operation: FROM_BOTCOPY, vendors: 1, table: 4 },
    Trips { operation: STOP, vendors: 1, table: 7 },
];

/// The vendor calls of an operation that wait for each other.
pub(super) fn sequential_vendor_calls(operation: &str) -> u32 {
    KNOWN.iter().find(|one| one.operation == operation).map_or(0, |one| one.vendors)
}

/// The duration of each counted call; far from every deadline, so that none cuts the count short.
const TRIP: Duration = Duration::from_millis(20);

/// The maximum number of counts while the numbers differ from the known ones. Without a settle time a start conflicts
/// with the announcement's write in about every second count, and repeats its own.
const MOST_COUNTS: usize = 12;

/// Counts every operation of a session on warm functions.
pub async fn trips() -> Vec<Trips> {
    let mut trips = count_all().await;
    // On a busy machine, time may pass while a call is still being prepared, which can only make the count too high.
    for _ in 1..MOST_COUNTS {
        if trips == KNOWN {
            break;
        }
        trips = trips.into_iter().zip(count_all().await).map(|(one, other)| one.fewest(other)).collect();
    }
    trips
}

async fn count_all() -> Vec<Trips> {
    let (vendors, table) = (counts(&Who::Vendors).await, counts(&Who::Table).await);
    let pairs = vendors.into_iter().zip(table);
    pairs.map(|((operation, vendors), (_, table))| Trips { operation, vendors, table }).collect()
}

impl Trips {
    fn fewest(self, other: Self) -> Self {
        Self { vendors: self.vendors.min(other.vendors), table: self.table.min(other.table), ..self }
    }
}

/// The same as a table.
pub async fn trips_table() -> Table {
    let columns = ["operation", "vendor calls, one after the other", "trips to the table, one after the other"];
    let mut table = Table::new("Calls that wait for each other", &columns);
    for one in trips().await {
        table.row([one.operation.to_owned(), one.vendors.to_string(), one.table.to_string()]);
    }
    table
}

enum Who {
    Vendors,
    Table,
}

impl Who {
    fn faults<'a>(&self, world: &'a World) -> Vec<&'a Faults> {
        let stack = &world.stack;
        match self {
            Self::Vendors => vec![stack.livechat.faults(), stack.botpress.faults(), stack.botcopy.faults()],
            Self::Table => stack.table_proxy.iter().map(|proxy| proxy.faults()).collect(),
        }
    }

    /// The number of calls to these that were waited for, one after the other.
    async fn count<F: Future>(&self, world: &World, work: F) -> (u32, F::Output) {
        let faults = self.faults(world);
        faults.iter().for_each(|one| one.always("", Fault::Delay(TRIP)));
        let before = world.now();
        let done = world.drive(work).await;
        let took = world.now().since(before);
        faults.iter().for_each(|one| one.clear());
        world.settle().await;
        (u32::try_from(took.as_millis() / TRIP.as_millis()).unwrap_or(u32::MAX), done)
    }
}

async fn counts(who: &Who) -> Vec<(&'static str, u32)> {
    // The SETTLE time would be counted as well.
    let world = World::of_instances_with(1, true, &[("SETTLE_MS", "0")]).await;
    warm_up(&world).await;
    let act = async |action: &str, input: Value| {
        let body = json!({ "type": action, "input": input });
        world.stack.botpress.call_operation("action_triggered", &body, &[]).await.expect("the function answers").json()
    };
    let (create, made) = who.count(&world, act("createUser", json!({"name": "Ben", "email": "ben@example.com"}))).await;
    let user_id = text_at(&made, "/output/userId");
    let said = json!({"source": {"type": "user", "userId": user_id}, "type": "text", "payload": {"text": "hello"}});
    let input = json!({ "userId": user_id, "messageHistory": [said] });
    let (start, started) = who.count(&world, act("startHitl", input)).await;
    let conversation_id = text_at(&started, "/output/conversationId");
    world.answers(ANNA, "the agent is known from here on").await;
    let say = async |id: &str| {
        let body = message(&conversation_id, id, "hello", Some(&user_id), world.now());
        who.count(&world, world.stack.botpress.call_operation("message_created", &body, &[])).await.0
    };
    let (first_from_user, from_user) = (say("msg_1").await, say("msg_2").await);
    let (chat_id, thread_id) = world.chat_and_thread();
    // The next number of the thread: the service would wait for a missing number.
    let events = world.stack.livechat.thread(&chat_id).map(|thread| thread.events).unwrap_or_default();
    let event = json!({
        "id": format!("{thread_id}_{}", events.len() + 1), "created_at": world.now(), "type": "message", "text": "answer",
        "author_id": ANNA, "visibility": "all",
    });
    let webhook = world.envelope("incoming_event", json!({"chat_id": chat_id, "thread_id": thread_id, "event": event}));
    let client = crate::http();
    let (from_agent, _) = who.count(&world, client.post(world.stack.webhook_url()).json(&webhook).send()).await;
    let (stop, _) = who.count(&world, act("stopHitl", json!({ "conversationId": conversation_id }))).await;
    let (from_botcopy, _) = botcopy_message(who, &world).await;
    vec![
        (CREATE_USER, create),
        (START, start),
        (FIRST_FROM_USER, first_from_user),
        (FROM_USER, from_user),
        (FROM_AGENT, from_agent),
        (FROM_BOTCOPY, from_botcopy),
        (STOP, stop),
    ]
}

/// A complete session, after which instances have everything that they cache.
async fn warm_up(world: &World) {
    let ann = world.escalated_user("Ann").await;
    world.says(&ann, "hello").await;
    world.answers(ANNA, "hello").await;
    world.agent_closes(ANNA).await;
}

async fn botcopy_message(who: &Who, world: &World) -> (u32, Result<(), String>) {
    let botcopy = &world.stack.botcopy;
    let user = botcopy.new_user();
    world.drive(botcopy.user_says(&user, ASK)).await.expect("the user can write");
    world.settle().await;
    world.drive(botcopy.user_says(&user, "order 6")).await.expect("the user can write");
    world.settle().await;
    who.count(world, botcopy.user_says(&user, "order 7")).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change here changes how long everyone waits: docs/performance.md has the table, docs/design.md the reasons.
    #[tokio::test(flavor = "multi_thread")]
    async fn operations_take_the_trips_that_are_known() {
        assert_eq!(trips().await, KNOWN);
    }
}
