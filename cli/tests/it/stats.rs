//! Statistics from the records of sessions.

use std::time::Duration;

use serde_json::json;
use tests::{ANNA, World};

use crate::operator::Operator;

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_counted_by_day_group_bot_and_agent() {
    // As `serve` does, with the proxy before the table.
    let world = World::with_table_proxy(&[]).await;
    let mut operator = Operator::new(&world);
    let ann = world.escalated_user("Ann").await;
    world.answers(ANNA, "hello").await;
    world.user_ends(&ann).await;
    world.advance(Duration::from_secs(86_400));
    let bob = world.escalated_user("Bob").await;
    world.user_ends(&bob).await;
    let stats = operator.does(&["stats", "--days", "3", "--json"]).await.json();
    assert_eq!((&stats["records"], &stats["queries"]), (&json!(2), &json!(3)), "{stats}");
    let of = |by: &str| {
        let all = stats["figures"].as_array().unwrap().iter();
        all.filter(|one| one["by"] == by).map(|one| one["sessions"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((of("all"), of("day"), of("group"), of("bot")), (vec![2], vec![0, 1, 1], vec![2], vec![2]), "{stats}");
    assert_eq!((of("agent"), &stats["figures"][0]["reasons"]), (vec![2], &json!({ "bot": 2 })), "{stats}");
    assert!(stats["figures"][0]["time_to_first_answer"]["p95"].is_number(), "{stats}");
    let csv = operator.does(&["stats", "--days", "3", "--csv"]).await.out;
    assert_eq!(csv.trim().lines().count(), 1 + stats["figures"].as_array().unwrap().len(), "{csv}");
    let table = operator.does(&["stats", "--days", "3"]).await.out;
    assert!(table.contains("sessions a day") && table.contains('█') && !table.contains(ANNA), "{table}");
}
