//! What a stack has cost, and what one would cost.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{ANNA, World};

use crate::operator::Operator;

/// Returns the line of a bill with this vendor and name.
fn line<'a>(bill: &'a Value, vendor: &str, what: &str) -> &'a Value {
    let mut lines = bill["lines"].as_array().unwrap().iter();
    lines.find(|line| line["vendor"] == vendor && line["what"] == what).unwrap_or_else(|| panic!("{what}: {bill:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bill_has_the_calls_that_sessions_have_counted_times_the_prices_of_the_operator() {
    let world = World::in_process().await;
    let mut operator = Operator::new(&world);
    for name in ["Ann", "Ben"] {
        let user = world.escalated_user(name).await;
        world.says(&user, "hello").await;
        world.answers(ANNA, "hi").await;
        world.agent_closes(ANNA).await;
        world.advance(Duration::from_secs(86_400));
    }
    let counted: u64 = world.items("record").iter().map(|one| one["vendor_calls"]["livechat"].as_u64().unwrap()).sum();
    let bill = operator.does(&["cost", "--since", "30d", "--json"]).await.json();
    let calls = line(&bill, "LiveChat", "calls");
    assert_eq!(calls["units"].as_f64().unwrap(), counted as f64, "{bill:#}");
    assert!((calls["usd"].as_f64().unwrap() - counted as f64 * 0.000_27).abs() < 1e-9);
    assert_eq!(line(&bill, "Botpress", "messages and events")["units"], json!(8.0), "two events and two messages each");
    let yesterday = operator.does(&["cost", "--since", "2d", "--json"]).await.json();
    assert!(line(&yesterday, "LiveChat", "calls")["units"].as_f64() < calls["units"].as_f64(), "{yesterday:#}");

    let file = std::env::temp_dir().join(format!("prices-{:016x}.json", fastrand::u64(..)));
    let own = json!({"prices": {"livechat_call": {"usd": 2.0, "per": 1, "source": "https://own", "read": "2026-12"}}});
    std::fs::write(&file, own.to_string()).unwrap();
    let dear = operator.does(&["cost", "--json", "--prices", file.to_str().unwrap()]).await.json();
    assert_eq!(line(&dear, "LiveChat", "calls")["usd"].as_f64().unwrap(), counted as f64 * 2.0, "{dear:#}");
    assert_eq!(line(&dear, "AWS", "secret, months"), line(&bill, "AWS", "secret, months"), "others keep theirs");
    let text = operator.does(&["cost"]).await.out;
    assert!(text.contains("2 sessions") && text.contains("Not counted:") && text.contains("Sum, USD"), "{text}");

    std::fs::write(&file, "{}").unwrap();
    let refused = operator.run(&["cost", "--prices", file.to_str().unwrap()]).await;
    assert!(refused.status == 2 && refused.progress.contains("docs/prices.json"), "{refused:?}");
    std::fs::remove_file(file).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_has_all_three_vendors_and_the_readings_of_silent_chats() {
    let world = World::in_process().await;
    let mut operator = Operator::new(&world);
    let mut estimate = async |more: &[&str]| {
        let words = [&["estimate", "--messages", "10M", "--sessions", "1M", "--json"], more].concat();
        operator.does(&words).await.json()
    };
    let (busy, silent) = (estimate(&[]).await, estimate(&["--idle-chats", "50k"]).await);
    let calls = |bill: &Value| line(bill, "LiveChat", "calls")["units"].as_f64().unwrap();
    assert_eq!(calls(&busy), 10_000_000.0, "five of a session, and one for each message of a user");
    // Readings at 1, 2, 4, 8 and 16 minutes, then every 16 minutes of a day.
    assert_eq!(calls(&silent) - calls(&busy), 50_000.0 * 94.0);
    let sum: f64 = busy["sums"].as_object().unwrap().values().map(|usd| usd.as_f64().unwrap()).sum();
    assert!(busy["sums"].as_object().unwrap().len() == 3 && (busy["usd"].as_f64().unwrap() - sum).abs() < 0.001);
    let full = estimate(&["--monitoring", "full"]).await;
    assert!(full["sums"]["AWS"].as_f64() > busy["sums"]["AWS"].as_f64());
}
