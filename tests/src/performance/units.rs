//! The table's charges: units of a message, of a reading of its thread and of an end, including those of cancelled transactions and
//! failed conditions.

use std::time::Duration;

use sandbox::table_proxy::Pace;

use super::Table;
use crate::{ANNA, World};

/// The numbers of messages in a thread before it is read.
const FEW: usize = 5;
const MANY: usize = 100;

/// Longer than a thread may be silent before it is read.
const SILENCE: Duration = Duration::from_secs(61);

/// How many messages are sent while writes conflict, and the share of writes that do.
const MET: u32 = 50;
const SHARE_MET: f64 = 0.5;

/// However often the thread was silent before, it is read within so many ticks.
const MOST_TICKS: usize = 20;

/// Capacity units, reads and writes together.
#[derive(Clone, Debug, PartialEq)]
pub struct Charged {
    /// The operation.
    pub what: String,
    /// The number of units.
    pub units: f64,
}

/// Counts in this process, on a clock on which nothing else happens.
pub async fn units() -> Vec<Charged> {
    let world = World::of_instances(1, true).await;
    let ann = world.escalated_user("Ann").await;
    world.says(&ann, "the session is known from here on").await;
    world.answers(ANNA, "the agent is known from here on").await;
    world.advance(Duration::from_secs(10));
    let mut charged = Vec::new();
    let mut add = |what: &str, units| charged.push(Charged { what: what.to_owned(), units });
    add("user message", spent(&world, world.says(&ann, "hello")).await);
    add("agent message", spent(&world, world.answers(ANNA, "hello")).await);
    for count in [FEW, MANY] {
        for number in 0..count {
            world.answers(ANNA, &format!("one of many {number}")).await;
        }
        let before = format!("first reading after {count} messages that webhooks have brought");
        add(&before, reading(&world).await);
        add(&format!("next reading of the same, {count} messages later"), reading(&world).await);
    }
    world.stack.gateway_faults.always("POST /livechat", sandbox::faults::Fault::answer(503, ""));
    world.answers(ANNA, "no webhook brings this").await;
    for _ in 0..5 {
        world.advance(SILENCE);
        world.settle().await;
    }
    world.stack.gateway_faults.clear();
    add("reading that finds one message, its delivery included", reading(&world).await);
    world.user_ends(&ann).await;
    let bob = world.escalated_user("Bob").await;
    world.says(&bob, "the session is known from here on").await;
    world.answers(ANNA, "the agent is known from here on").await;
    world.advance(Duration::from_secs(10));
    add("end by an agent", spent(&world, world.agent_closes(ANNA)).await);
    let user = world.handed_over_user().await;
    world.widget_says(&user, "the session is known from here on").await;
    world.advance(Duration::from_secs(10));
    add("user message, Botcopy", spent(&world, world.widget_says(&user, "hello")).await);
    world.answers(ANNA, "the agent is known from here on").await;
    world.advance(Duration::from_secs(10));
    add("end by an agent, Botcopy", spent(&world, world.agent_closes(ANNA)).await);
    let carol = world.escalated_user("Carol").await;
    world.says(&carol, "the session is known from here on").await;
    world.advance(Duration::from_secs(10));
    if let Some(proxy) = &world.stack.table_proxy {
        proxy.conflicts().set(Pace { share: SHARE_MET, ..Pace::AS_THE_TABLE }, 7);
    }
    let met = spent(&world, async {
        for number in 0..MET {
            world.says(&carol, &format!("one of many {number}")).await;
        }
    });
    add("user message where half of all writes meet another one, mean of 50", met.await / f64::from(MET));
    charged
}

/// The same as a table.
pub async fn units_table() -> Table {
    let mut table = Table::new("Units of the table", &["what", "capacity units"]);
    for one in units().await {
        table.row([one.what, format!("{:.1}", one.units)]);
    }
    table
}

/// The cost of a sweep that reads a thread, minus that of one that finds nothing to do.
async fn reading(world: &World) -> f64 {
    let readings = || world.entries("call_answered", "/call", "agent/get_chat").len();
    for _ in 0..MOST_TICKS {
        let before = readings();
        world.advance(SILENCE);
        let with = spent(world, world.sweep()).await;
        if readings() > before {
            return with - spent(world, world.sweep()).await;
        }
    }
    f64::NAN
}

async fn spent(world: &World, work: impl Future<Output = ()>) -> f64 {
    let units = || world.stack.table_proxy.as_ref().map_or(0.0, |proxy| proxy.units());
    let before = units();
    work.await;
    units() - before
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change here changes what everyone pays: docs/performance.md has the table.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_reading_costs_the_same_however_much_was_known() {
        let charged = units().await;
        println!("{charged:#?}");
        let units = |part: &str| charged.iter().find(|one| one.what.contains(part)).unwrap().units;
        let (few, many) = (units("same, 5 messages"), units("same, 100 messages"));
        assert!((few - many).abs() < 0.6);
        let first = units("first reading after 100");
        assert!(first < many + 1.1 * MANY as f64, "a receipt is read, and nothing is written");
        assert!(charged.iter().all(|one| one.units > 0.0 && one.units < 200.0));
        let documented = include_str!("../../../docs/performance.md");
        for one in &charged {
            // Other tables have rows of the same name, and more columns.
            let row = format!("| {} | ", one.what);
            let mut cells = documented.lines().filter_map(|line| line.strip_prefix(&row));
            let stated: f64 = cells.find_map(|cell| cell.trim_end_matches(" |").parse().ok()).unwrap_or(f64::NAN);
            // Units depend on how long ids and times are, and conflicts on chance.
            let slack = 1.0 + stated / 10.0;
            assert!((one.units - stated).abs() <= slack, "{}: {} and not {stated}", one.what, one.units);
        }
    }
}
