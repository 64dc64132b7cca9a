//! What the template grants and limits, held against the code.

use std::collections::BTreeSet;
use std::path::Path;

const TEMPLATE: &str = include_str!("../../template.yaml");

/// The lines below the one that is `key`, as far as they are indented further.
fn below<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let mut lines = text.lines().skip_while(|line| line.trim() != key);
    let depth = |line: &str| line.len() - line.trim_start().len();
    let outer = depth(lines.next().unwrap_or_else(|| panic!("the template has no {key}")));
    lines.take_while(|line| line.trim().is_empty() || depth(line) > outer).map(str::trim).collect()
}

fn resource(name: &str) -> String {
    let (_, rest) = TEMPLATE.split_once(&format!("\n  {name}:\n")).unwrap();
    let end =
        rest.match_indices("\n  ").find(|(at, _)| !rest[at + 3..].starts_with(' ')).map_or(rest.len(), |(at, _)| at);
    rest[..end].to_owned()
}

/// What the table's verbs call, apart from those that operators alone use.
fn called_by_the_code() -> BTreeSet<&'static str> {
    const CALLS: [(&str, &str); 8] = [
        (".batch_get_item()", "dynamodb:BatchGetItem"),
        (".get_item()", "dynamodb:GetItem"),
        (".put_item()", "dynamodb:PutItem"),
        (".update_item()", "dynamodb:UpdateItem"),
        (".delete_item()", "dynamodb:DeleteItem"),
        (".query()", "dynamodb:Query"),
        (".scan()", "dynamodb:Scan"),
        (".batch_write_item()", "dynamodb:BatchWriteItem"),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/src/store");
    let mut called = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rs") && path.file_name().unwrap() != "operator.rs" {
            let code: String = std::fs::read_to_string(&path).unwrap().split_whitespace().collect();
            called.extend(CALLS.iter().filter(|(call, _)| code.contains(call)).map(|(_, action)| *action));
        }
    }
    called
}

#[test]
fn the_policies_grant_what_the_code_uses_and_nothing_else() {
    let called = called_by_the_code();
    assert!(called.len() > 4, "{called:?}");
    for function in ["Actions", "Webhooks"] {
        let resource = resource(function);
        let policies = below(&resource, "Policies:");
        let granted: BTreeSet<_> = policies
            .iter()
            .filter_map(|line| line.strip_prefix("- "))
            .filter(|one| one.starts_with("dynamodb:"))
            .collect();
        assert_eq!(granted, called, "{function}");
        // On the index, and on the secret, one action each; the secret is read and never written.
        let singles: Vec<_> = policies.iter().filter_map(|line| line.strip_prefix("Action: ")).collect();
        assert_eq!(singles, ["dynamodb:Query"], "{function}");
        let managed: Vec<_> =
            policies.iter().filter(|line| line.starts_with("- AWS") || line.ends_with("Policy:")).collect();
        assert_eq!(managed, [&"- AWSSecretsManagerGetSecretValuePolicy:"], "{function}");
        assert!(!policies.iter().any(|line| line.contains(":*") || line.ends_with("\"*\"")), "{function}");
    }
}

#[test]
fn every_route_has_a_limit_and_health_a_small_one() {
    let api = resource("Api");
    let limits = below(&api, "RouteSettings:");
    let of_actions = actions::ROUTES.iter().map(|route| format!("{} {}", route.method, route.pattern));
    let of_webhooks = webhooks::ROUTES.iter().map(|route| format!("{} {}", route.method, route.pattern));
    for route in of_actions.chain(of_webhooks).collect::<BTreeSet<_>>() {
        let at = limits
            .iter()
            .position(|line| *line == format!("{route}:"))
            .unwrap_or_else(|| panic!("{route} has no limit"));
        let rate = limits[at + 1].strip_prefix("ThrottlingRateLimit: ").unwrap();
        let burst = limits[at + 2].strip_prefix("ThrottlingBurstLimit: ").unwrap();
        match route.ends_with("/health") {
            true => assert!(rate.parse::<u32>().unwrap() <= 2 && burst.parse::<u32>().unwrap() <= 10, "{rate} {burst}"),
            false => assert_eq!((rate, burst), ("!Ref ThrottlingRate", "!Ref ThrottlingBurst"), "{route}"),
        }
    }
}

#[test]
fn reserved_concurrency_is_a_parameter_that_is_off_by_default() {
    assert!(below(TEMPLATE, "ReservedConcurrency:").contains(&"Default: 0"));
    let globals = below(TEMPLATE, "Globals:");
    let reserved =
        "ReservedConcurrentExecutions: !If [HasReservedConcurrency, !Ref ReservedConcurrency, !Ref AWS::NoValue]";
    assert!(globals.contains(&reserved));
}
