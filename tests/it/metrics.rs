//! What CloudWatch receives, and that the template watches what exists.

use std::time::Duration;

use sandbox::botpress::Escalation;
use sandbox::faults::Fault;
use serde_json::json;
use shared::metrics::{About, Metric, Monitoring};
use tests::{ANNA, World};

fn values(world: &World, metric: Metric, about: &About) -> Vec<f64> {
    let is_about = |found: &About| match (found, about) {
        (About::Call { vendor, .. }, About::Vendor(wanted)) => vendor == wanted,
        _ => found == about,
    };
    let recorded = world.stack.metrics.recorded().into_iter();
    recorded.filter(|one| one.metric == metric && is_about(&one.about)).map(|one| one.value).collect()
}

fn total(world: &World, metric: Metric, about: &About) -> f64 {
    values(world, metric, about).iter().sum()
}

fn lane(name: &str) -> About {
    About::Lane(name.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_counted_from_its_start_to_its_end() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.says(&ann, "hello").await;
    world.answers(ANNA, "hi").await;
    world.answers(ANNA, "bye").await;
    world.agent_closes(ANNA).await;
    assert_eq!(total(&world, Metric::SessionsStarted, &About::Stack), 1.0);
    assert_eq!(total(&world, Metric::SessionsEnded, &About::Reason("livechat")), 1.0);
    assert_eq!(total(&world, Metric::Delivered, &lane("to_agent")), 1.0);
    // Anna's arrival, her two messages, and the end.
    assert_eq!(total(&world, Metric::Accepted, &lane("to_bot")), 4.0);
    assert_eq!(total(&world, Metric::Delivered, &lane("to_bot")), 4.0);
    assert_eq!(total(&world, Metric::Attempts, &lane("to_bot")), 4.0);
    assert!(values(&world, Metric::VendorLatency, &About::Vendor("LiveChat")).len() >= 5);
    assert_eq!(total(&world, Metric::VendorErrors, &About::Vendor("Botpress")), 0.0);
    world.escalate(&ann).await.unwrap();
    world.user_ends(&ann).await;
    assert_eq!(total(&world, Metric::SessionsEnded, &About::Reason("bot")), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_shows_as_errors_age_and_parked_items() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.sweep_after(Duration::from_secs(10)).await;
    world.stack.livechat.faults().always("customer/action/send_event", Fault::answer(503, "down"));
    world.says(&ann, "hello").await;
    world.sweep_after(Duration::from_secs(300)).await;
    assert!(total(&world, Metric::VendorErrors, &About::Vendor("LiveChat")) >= 3.0);
    let oldest = values(&world, Metric::UndeliveredAge, &lane("to_agent")).into_iter().fold(0.0, f64::max);
    assert!(oldest >= 300.0, "{oldest}");
    assert!(total(&world, Metric::Sweeps, &About::Stack) >= 2.0);
    world.stack.livechat.faults().clear();
    let refused = json!({"error": {"type": "validation", "message": "no"}}).to_string();
    world.stack.livechat.faults().next(1, "customer/action/send_event", Fault::answer(400, refused));
    world.sweep_after(Duration::from_secs(60)).await;
    assert_eq!(total(&world, Metric::Parked, &lane("to_agent")), 1.0);
}

fn oldest(world: &World, of: &str) -> f64 {
    values(world, Metric::UndeliveredAge, &lane(of)).into_iter().fold(0.0, f64::max)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_waits_for_a_named_time_is_measured_by_each_sweep() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let headers = [("retry-after".to_owned(), "3600".to_owned())].into();
    let later = Fault::Answer { status: 429, headers, body: String::new() };
    world.stack.livechat.faults().always("customer/action/send_event", later);
    world.says(&ann, "hello").await;
    for minutes in 1..7 {
        world.sweep_after(Duration::from_secs(60)).await;
        let oldest = oldest(&world, "to_agent");
        assert!(oldest >= f64::from(minutes) * 60.0 - 1.0, "after {minutes} minutes it is {oldest}");
    }
    assert_eq!(world.items("waiting").len(), 1, "and it still waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_cannot_be_read_is_counted_and_measured() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.stack.livechat.faults().always("customer/action/send_event", Fault::answer(503, "down"));
    world.says(&ann, "hello").await;
    world.stack.livechat.faults().clear();
    let session = world.items("session").remove(0);
    world.change_item(&session, "SET session_state = :limbo", json!({":limbo": {"S": "limbo"}})).await;
    world.sweep_after(Duration::from_secs(400)).await;
    assert!(total(&world, Metric::Stuck, &lane("to_agent")) >= 1.0);
    assert!(oldest(&world, "to_agent") >= 400.0, "{}", oldest(&world, "to_agent"));
    assert!(total(&world, Metric::Stuck, &About::Stack) >= 1.0, "the session as well");
    let known = json!({":active": {"S": "active"}});
    world.change_item(&session, "SET session_state = :active", known).await;
    world.sweep_after(Duration::from_secs(120)).await;
    assert_eq!(world.sent_by_customers().last().map(String::as_str), Some("hello"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_start_and_a_refused_credential_are_counted() {
    let world = World::in_process().await;
    let ann = world.user("Ann").await;
    let nowhere = Escalation { hitl_session: Some(json!({ "groupId": 4_711 })), ..Escalation::default() };
    world.escalate_with(&ann, nowhere).await.unwrap_err();
    assert_eq!(total(&world, Metric::StartsFailed, &About::Stack), 1.0);
    world.escalate(&ann).await.unwrap();
    assert_eq!(total(&world, Metric::CredentialsRefused, &About::Vendor("LiveChat")), 0.0);
    world.stack.livechat.set_agent_token_valid(false);
    world.user_ends(&ann).await;
    assert_eq!(total(&world, Metric::CredentialsRefused, &About::Vendor("LiveChat")), 1.0);
}

/// Every metric that CloudWatch keeps as a series is in an alarm or on the dashboard; every other is in a query of the logs.
#[test]
fn every_metric_is_shown_somewhere_and_none_is_paid_for_that_is_not() {
    let template = include_str!("../../template.yaml");
    for metric in Metric::ALL {
        let name = metric.name();
        let is_watched = template.contains(&format!("MetricName: {name}\n"))
            || template.contains(&format!("[\"LiveChatHitl\", \"{name}\","));
        assert_eq!(is_watched, metric.is_series(Monitoring::Full), "{name}");
        let is_asked_for = template.contains(&format!("ispresent({name})"))
            || template.split("QueryString:").skip(1).any(|query| query.contains(&format!("({name}")));
        assert!(is_watched || is_asked_for, "{name} is in no query");
    }
}

#[test]
fn every_metric_that_the_template_watches_is_recorded_and_in_the_handbook() {
    let template = include_str!("../../template.yaml");
    let names: Vec<String> = Metric::ALL.iter().map(|metric| metric.name()).collect();
    let in_alarms = template.lines().filter_map(|line| line.trim().strip_prefix("MetricName: "));
    let own: Vec<&str> = in_alarms.filter(|name| !AWS_METRICS.contains(name)).collect();
    assert!(own.len() >= 4, "{own:?}");
    let on_dashboard = template.split("[\"LiveChatHitl\", \"").skip(1).filter_map(|rest| rest.split('"').next());
    for name in own.into_iter().chain(on_dashboard) {
        assert!(names.iter().any(|known| known == name), "nobody records {name}");
    }
    let handbook = include_str!("../../docs/operations.md");
    for (metric, name) in Metric::ALL.into_iter().zip(&names) {
        let row = handbook.lines().find(|line| line.starts_with(&format!("| `{name}`")));
        let row = row.unwrap_or_else(|| panic!("docs/operations.md does not explain {name}"));
        let is_marked = row.starts_with(&format!("| `{name}` ●"));
        assert_eq!(is_marked, metric.is_series(Monitoring::Full), "docs/operations.md marks what is a series: {name}");
    }
    let series = Metric::ALL.into_iter().filter(|metric| metric.is_series(Monitoring::Full)).count();
    assert!(handbook.contains(&format!("the {series} that are marked ●")), "{series}");
}

/// The metrics that Lambda and API Gateway record by themselves.
const AWS_METRICS: [&str; 5] = ["Errors", "Throttles", "5xx", "4xx", "Count"];
