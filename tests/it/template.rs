//! What the template grants and limits, compared with the code.

use std::collections::BTreeSet;
use std::path::Path;

const TEMPLATE: &str = include_str!("../../template.yaml");

/// Returns the lines below the line `key`, as far as they are indented further.
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

/// Returns what the table's verbs call, except those verbs that only operators use.
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

/// Two alarms always exist; the others and the dashboard come with `full`, and so do their charges.
#[test]
fn a_lean_stack_has_the_gauges_alarm_and_the_one_on_server_errors() {
    let alarms: Vec<_> = TEMPLATE.lines().filter_map(|line| line.strip_prefix("  ")?.strip_suffix("Alarm:")).collect();
    assert!(alarms.len() > 10, "{alarms:?}");
    let is_lean = |name: &&&str| !resource(&format!("{name}Alarm")).contains("\n    Condition: IsFull\n");
    assert_eq!(alarms.iter().filter(is_lean).collect::<Vec<_>>(), [&"Health", &"ApiErrors"]);
    assert!(resource("Dashboard").contains("\n    Condition: IsFull\n"));
    assert!(below(TEMPLATE, "Monitoring:").contains(&"Default: lean"));
    let gauge = resource("HealthAlarm");
    for line in ["MetricName: Health", "Statistic: Maximum", "Threshold: 1", "TreatMissingData: breaching"] {
        assert!(below(&gauge, "Properties:").contains(&line), "{line}");
    }
}

#[test]
fn a_first_deployment_that_fails_leaves_nothing_and_data_in_use_is_kept() {
    for name in ["Table", "Secret"] {
        let kept = resource(name);
        for line in ["    DeletionPolicy: RetainExceptOnCreate\n", "    UpdateReplacePolicy: Retain\n"] {
            assert!(kept.contains(line), "{name}: {line}");
        }
    }
}

/// A region's log-delivery policy has room for some dozens of groups; those below this name need no entry in it.
#[test]
fn the_log_of_the_api_names_its_callers_and_takes_no_place_in_the_regions_policy() {
    assert!(resource("ApiLogs").contains("LogGroupName: !Sub \"/aws/vendedlogs/apis/${AWS::StackName}\""));
    assert!(resource("Api").contains("\"sourceIp\":\"$context.identity.sourceIp\""));
}

#[test]
fn a_flood_of_calls_or_of_refusals_is_an_alarm_and_the_default_limit_is_near_what_a_tenant_needs() {
    for (name, metric) in [("ApiRefusalsAlarm", "MetricName: 4xx"), ("ApiCallsAlarm", "MetricName: Count")] {
        let alarm = resource(name);
        for line in ["Namespace: AWS/ApiGateway", metric, "Statistic: Sum"] {
            assert!(below(&alarm, "Properties:").contains(&line), "{name}: {line}");
        }
    }
    for (name, default) in [("ThrottlingRate:", "Default: 50"), ("ThrottlingBurst:", "Default: 100")] {
        assert!(below(TEMPLATE, name).contains(&default), "{name}");
    }
}

#[test]
fn a_new_stack_is_not_alarming_in_its_first_minutes_and_a_sweep_that_has_ended_is() {
    let alarm = resource("SweepAlarm");
    for line in ["Period: 300", "EvaluationPeriods: 2", "TreatMissingData: breaching"] {
        assert!(below(&alarm, "Properties:").contains(&line), "{line}");
    }
}

/// Each partition has a console of its own.
#[test]
fn the_dashboards_address_is_right_in_every_partition() {
    let address = below(TEMPLATE, "DashboardUrl:").join(" ");
    for host in ["console.amazonaws.cn", "console.amazonaws-us-gov.com", "${AWS::Region}.console.aws.amazon.com"] {
        assert!(address.contains(host), "{host}");
    }
}

/// Lambda drops lines below its own level when logs are JSON, so that level stays the lowest.
#[test]
fn the_log_level_is_the_functions_own() {
    let globals = below(TEMPLATE, "Globals:");
    for line in ["LogFormat: JSON", "ApplicationLogLevel: TRACE", "RUST_LOG: !Ref LogLevel"] {
        assert!(globals.contains(&line), "{line}");
    }
}

/// A customer-managed key, and AWS's managed one for the table, cost money for each use.
#[test]
fn nothing_is_encrypted_with_a_key_that_costs() {
    for word in ["KmsKeyId", "KMSMasterKeyId", "SSESpecification", "AWS::KMS"] {
        assert!(!TEMPLATE.contains(word), "{word}");
    }
}

#[test]
fn the_schedule_may_call_the_sweep_and_nothing_else_and_has_a_name_of_its_own() {
    let role = resource("SweepRole");
    assert_eq!(role.matches("Action: ").count(), 2, "to be taken on, and to call");
    let granted = below(&role, "Policies:");
    assert!(granted.contains(&"Action: lambda:InvokeFunction") && granted.contains(&"Resource: !Ref Webhooks.Alias"));
    let trusted = below(&role, "AssumeRolePolicyDocument:");
    assert!(trusted.contains(&"Principal: { Service: scheduler.amazonaws.com }"));
    assert!(trusted.contains(&"aws:SourceAccount: !Ref AWS::AccountId"));
    let webhooks = resource("Webhooks");
    let schedule = below(&webhooks, "EveryMinute:");
    for line in ["Type: ScheduleV2", "OmitName: true", "RoleArn: !GetAtt SweepRole.Arn", "MaximumRetryAttempts: 0"] {
        assert!(schedule.contains(&line), "{line}");
    }
    assert!(!TEMPLATE.contains("Type: Schedule\n"), "an account has 300 rules of that kind");
}

#[test]
fn an_upgrade_goes_to_a_tenth_of_the_calls_first_and_our_alarms_take_it_back() {
    let globals = below(TEMPLATE, "Globals:");
    assert!(globals.contains(&"AutoPublishAlias: live"));
    let canary = below(TEMPLATE, "DeploymentPreference:");
    assert!(canary.contains(&"Type: Canary10Percent10Minutes"));
    assert!(canary.contains(&"Enabled: !FindInMap [Rollback, !Ref Rollback, Enabled]"));
    let watched: Vec<_> = canary.iter().filter_map(|line| line.strip_prefix("- [!Ref HealthAlarm")).collect();
    assert_eq!(watched.len(), 2, "with both kinds of monitoring");
    for watched in watched {
        assert!(watched.contains("!Sub \"${AWS::StackName}-ApiErrors\""), "{watched}");
    }
    assert!(resource("ApiErrorsAlarm").contains("AlarmName: !Sub \"${AWS::StackName}-ApiErrors\""));
    assert!(TEMPLATE.contains("\"yes\": { Enabled: \"true\", Upgrade: canary }"));
    assert!(below(TEMPLATE, "Rollback:").contains(&"Default: \"yes\""));
}

/// `sam deploy` asks for nothing else.
#[test]
fn the_file_of_answers_has_what_a_tenant_must_know() {
    let answers = include_str!("../../samconfig.toml");
    let (_, list) = answers.split_once("\nparameter_overrides = \"").unwrap();
    let (list, _) = list.split_once('"').unwrap();
    let answered: BTreeSet<_> = list.split(' ').filter_map(|one| Some(one.split_once('=')?.0)).collect();
    let (_, parameters) = TEMPLATE.split_once("\nParameters:\n").unwrap();
    let (parameters, _) = parameters.split_once("\nMappings:\n").unwrap();
    let names = parameters.lines().filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
    let names = names.filter(|name| !name.starts_with([' ', '#']));
    let required: BTreeSet<_> = names
        .filter(|name| !below(TEMPLATE, &format!("{name}:")).iter().any(|line| line.starts_with("Default:")))
        .collect();
    assert_eq!(answered, required);
    assert_eq!(required.len(), 3);
}
