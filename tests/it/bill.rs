//! What an unused stack costs: the template's resources, times what an idle sweep takes, times docs/prices.json.

use std::collections::BTreeMap;

use serde_json::Value;
use shared::metrics::Monitoring;
use tests::World;

const TEMPLATE: &str = include_str!("../../template.yaml");

const SWEEPS: f64 = 730.0 * 60.0;

/// Returns what docs/figures.json assumes of an idle sweep and its function. Seconds: seven calls of the table, two of them in sequence and
/// the rest beside them. Gigabytes of memory. Gigabytes of logs: the line of its metrics (280 bytes) and the platform's `start` and
/// `report` (some 800), each with the 26 bytes that CloudWatch adds to an event.
fn assumed(name: &str) -> f64 {
    let figures: Value = serde_json::from_str(include_str!("../../docs/figures.json")).unwrap();
    figures["assumed"][name].as_f64().unwrap()
}

/// CloudWatch stores logs compressed to about this part.
const KEPT: f64 = 0.15;

/// The table of an unused stack.
const TABLE_GIGABYTES: f64 = 0.001;

/// What one sweep reads, writes and records.
struct Idle {
    read_units: f64,
    write_units: f64,
    metrics: Vec<shared::metrics::Metric>,
}

async fn idle_sweep() -> Idle {
    let world = World::of_instances(1, true).await;
    // The first sweep is the first in its process, so it is not measured.
    world.sweep().await;
    let proxy = world.stack.table_proxy.as_ref().unwrap();
    let (units, calls, recorded) = (proxy.units(), proxy.calls(), world.stack.metrics.recorded().len());
    world.sweep().await;
    let made = |name: &str| {
        let count = |calls: &BTreeMap<String, usize>| calls.get(name).copied().unwrap_or_default();
        f64::from(u32::try_from(count(&proxy.calls()) - count(&calls)).unwrap())
    };
    // Each written item is smaller than a kilobyte, and none of them is in the index.
    let write_units = made("UpdateItem") + made("PutItem");
    let metrics = world.stack.metrics.recorded().into_iter().skip(recorded).map(|one| one.metric).collect();
    Idle { read_units: proxy.units() - units - write_units, write_units, metrics }
}

/// Returns the types of the resources, and of the functions' events, of a stack with this monitoring.
fn types(monitoring: Monitoring) -> Vec<String> {
    let (_, rest) = TEMPLATE.split_once("\nResources:\n").unwrap();
    let (resources, _) = rest.split_once("\nOutputs:\n").unwrap();
    let begins = |line: &str| line.starts_with("  ") && !line[2..].starts_with([' ', '#']);
    let mut blocks: Vec<Vec<&str>> = Vec::new();
    for line in resources.lines().filter(|line| !line.is_empty()) {
        match blocks.last_mut() {
            Some(block) if !begins(line) => block.push(line),
            _ => blocks.push(vec![line]),
        }
    }
    let is_there = |block: &&Vec<&str>| match block.iter().find_map(|line| line.strip_prefix("    Condition: ")) {
        None | Some("CreatesTable" | "CreatesSecret") => true,
        Some("IsFull") => monitoring == Monitoring::Full,
        Some(other) => panic!("nobody has said when {other} holds"),
    };
    let of_block = |block: &Vec<&str>| {
        let types = block.iter().filter_map(|line| {
            line.strip_prefix("    Type: ").or_else(|| line.strip_prefix("          Type: ")).map(str::to_owned)
        });
        types.collect::<Vec<_>>()
    };
    blocks.iter().filter(is_there).flat_map(of_block).collect()
}

/// Returns USD a month, by price.
fn bill(prices: &Value, monitoring: Monitoring, idle: &Idle) -> BTreeMap<String, f64> {
    let series = idle.metrics.iter().filter(|metric| metric.is_series(monitoring)).count();
    let quantity = |price: &str| match price {
        "cloudwatch_alarm_month" | "cloudwatch_dashboard_month" | "secret_month" => 1.0,
        "cloudwatch_metric_month" => f64::from(u32::try_from(series).unwrap()),
        "dynamodb_gb_month" | "dynamodb_pitr_gb_month" => TABLE_GIGABYTES,
        "dynamodb_rru" => SWEEPS * idle.read_units,
        "dynamodb_wru" => SWEEPS * idle.write_units,
        "lambda_request" => SWEEPS,
        "lambda_gb_second" => SWEEPS * assumed("sweep_seconds") * assumed("function_gb"),
        "logs_gb" => SWEEPS * assumed("sweep_log_gb"),
        "logs_storage_gb_month" => SWEEPS * assumed("sweep_log_gb") * KEPT,
        // 319 stacks of an account stay within what is permanently free.
        "schedule_invocation" => 0.0,
        other => panic!("nobody has said how much of {other} an idle stack takes"),
    };
    let mut bill = BTreeMap::new();
    for kind in types(monitoring) {
        let charged = prices["resources"][&kind].as_array().unwrap_or_else(|| panic!("{kind} has no price"));
        for name in charged.iter().filter_map(Value::as_str) {
            let price = &prices["prices"][name];
            let unit = price["usd"].as_f64().unwrap() / price["per"].as_f64().unwrap();
            *bill.entry(name.to_owned()).or_default() += quantity(name) * unit;
        }
    }
    bill
}

fn prices() -> Value {
    serde_json::from_str(include_str!("../../docs/prices.json")).unwrap()
}

#[test]
fn every_price_has_a_source_and_a_date() {
    let prices = prices();
    let prices = prices["prices"].as_object().unwrap();
    assert!(prices.len() > 10);
    for (name, price) in prices {
        assert!(price["usd"].as_f64().is_some_and(|usd| usd > 0.0) && price["per"].as_f64().is_some(), "{name}");
        assert!(price["source"].as_str().unwrap().starts_with("https://") && price["unit"].is_string(), "{name}");
        assert_eq!(price["read"].as_str().unwrap().len(), "2026-11".len(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_stack_costs_what_the_handbook_says() {
    let (prices, idle) = (prices(), idle_sweep().await);
    let handbook = include_str!("../../docs/operations.md");
    let mut sums = Vec::new();
    for (monitoring, name) in [(Monitoring::Lean, "lean"), (Monitoring::Full, "full")] {
        let bill = bill(&prices, monitoring, &idle);
        let sum: f64 = bill.values().sum();
        println!("{name}: {sum:.3} USD a month, {bill:#?}");
        assert!(handbook.contains(&format!("{name} {sum:.2} USD")), "{name} is {sum:.2}");
        sums.push(sum);
    }
    assert!(sums[0] <= 1.0, "a lean stack costs {:.3}", sums[0]);
    assert!(SWEEPS * 319.0 <= prices["prices"]["schedule_invocation"]["included"].as_f64().unwrap());
}
